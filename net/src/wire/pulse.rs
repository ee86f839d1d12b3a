//! Signs of life and receipts of one connection: who was heard when, which answers have arrived.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use roles::contract::id::RequestId;
use roles::contract::limits::QUESTIONS_PER_PEER_MAX;
use roles::contract::node::Lost;
use roles::contract::time::Time;
use roles::contract::timers::earlier;

use super::outgoing::CREDIT_WINDOW_BYTES;

/// Silence before a ping, while this end waits for something.
const WAITING_PING_AFTER: Duration = Duration::from_secs(1);
/// Silence that ends the connection, while this end waits for something.
const WAITING_LOST_AFTER: Duration = Duration::from_secs(3);
/// Silence before a ping on an idle connection.
const IDLE_PING_AFTER: Duration = Duration::from_secs(15);
/// Silence that ends an idle connection.
const IDLE_LOST_AFTER: Duration = Duration::from_secs(45);

/// Longest time an answer stays without a receipt, for want of a frame to carry it.
const ACK_AFTER: Duration = Duration::from_millis(25);
/// Answers without a receipt that are worth a frame of their own.
const ACK_ANSWERS: u64 = 16;
/// Credit owed that is worth a frame of its own: the sender never runs dry meanwhile.
const ACK_CREDIT_BYTES: u32 = CREDIT_WINDOW_BYTES / 8;
/// How long an answer may stay unacknowledged.
const UNACKNOWLEDGED_AFTER: Duration = Duration::from_secs(10);

/// Whether the other end lives.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// Since when nothing was heard, or nothing had to be.
    silent_since: Time,
    /// When a ping was sent into this silence.
    pinged_at: Option<Time>,
    waiting: bool,
}

impl Pulse {
    pub(crate) fn new(now: Time) -> Self {
        Pulse {
            silent_since: now,
            pinged_at: None,
            waiting: false,
        }
    }

    /// Something was heard.
    pub(crate) fn heard(&mut self, now: Time) {
        self.silent_since = now;
        self.pinged_at = None;
    }

    /// This end waits for something, or does not. The silence before it began counts for nothing.
    pub(crate) fn set_waiting(&mut self, now: Time, waiting: bool) {
        if waiting && !self.waiting {
            self.heard(now);
        }
        self.waiting = waiting;
    }

    /// When [`Pulse::on_tick`] has something to do.
    pub(crate) fn deadline(&self) -> Time {
        let (ping, lost) = self.limits();
        match self.pinged_at {
            None => self.silent_since + ping,
            // A node that slept through its deadlines still leaves time for the reply.
            Some(at) => (self.silent_since + lost).max(at + (lost - ping)),
        }
    }

    /// Whether a ping is due, or why the connection is over.
    pub(crate) fn on_tick(&mut self, now: Time) -> Result<bool, Lost> {
        if now < self.deadline() {
            return Ok(false);
        }
        if self.pinged_at.is_some() {
            return Err(Lost::Silent);
        }
        self.pinged_at = Some(now);
        Ok(true)
    }

    fn limits(&self) -> (Duration, Duration) {
        if self.waiting {
            (WAITING_PING_AFTER, WAITING_LOST_AFTER)
        } else {
            (IDLE_PING_AFTER, IDLE_LOST_AFTER)
        }
    }
}

/// Which answers have arrived, both ways, and what bulk the other end may still send.
#[derive(Debug)]
pub(crate) struct Receipts {
    /// Answers fully received here.
    received: u64,
    /// Of these, answers the other end has been told about.
    told: u64,
    /// When it must be told, if no frame goes out before.
    due: Option<Time>,
    /// Bulk the other end may still send.
    allowed: u32,
    /// Bulk taken off since the last grant.
    owed: u32,
    /// Answers of ours the other end has acknowledged.
    acknowledged: u64,
    /// When the answers after these were fully sent.
    unacknowledged: VecDeque<Time>,
}

impl Receipts {
    pub(crate) fn new() -> Self {
        Receipts {
            received: 0,
            told: 0,
            due: None,
            allowed: CREDIT_WINDOW_BYTES,
            owed: 0,
            acknowledged: 0,
            unacknowledged: VecDeque::new(),
        }
    }

    /// A frame of bulk has been taken off.
    pub(crate) fn on_bulk(&mut self, now: Time, bytes: usize) -> Result<(), Lost> {
        let bytes = u32::try_from(bytes).map_err(|_| Lost::Misbehaved)?;
        self.allowed = self.allowed.checked_sub(bytes).ok_or(Lost::Misbehaved)?;
        self.owed += bytes;
        let soon = if self.owed >= ACK_CREDIT_BYTES {
            now
        } else {
            now + ACK_AFTER
        };
        self.due = earlier(self.due, Some(soon));
        Ok(())
    }

    /// An answer has arrived whole.
    pub(crate) fn on_answer(&mut self, now: Time) {
        self.received += 1;
        let many = self.received - self.told >= ACK_ANSWERS;
        let soon = if many { now } else { now + ACK_AFTER };
        self.due = earlier(self.due, Some(soon));
    }

    /// What the next frame's header says: answers received, bytes granted.
    pub(crate) fn tell(&mut self) -> (u64, u32) {
        let granted = std::mem::take(&mut self.owed);
        self.allowed += granted;
        self.told = self.received;
        self.due = None;
        (self.received, granted)
    }

    /// Whether the other end must be told now.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// An answer of ours has been fully sent.
    pub(crate) fn on_sent(&mut self, now: Time) {
        self.unacknowledged.push_back(now);
    }

    /// The other end has received so many answers in all.
    pub(crate) fn on_ack(&mut self, ack: u64) -> Result<(), Lost> {
        let more = ack
            .checked_sub(self.acknowledged)
            .filter(|more| *more <= self.unacknowledged.len() as u64)
            .ok_or(Lost::Misbehaved)?;
        self.unacknowledged.drain(..more as usize);
        self.acknowledged = ack;
        Ok(())
    }

    /// Whether answers of ours wait for their receipt.
    pub(crate) fn waiting(&self) -> bool {
        !self.unacknowledged.is_empty()
    }

    /// When the other end must be told, or an answer of ours has waited too long.
    pub(crate) fn deadline(&self) -> Option<Time> {
        earlier(self.due, self.overdue_at())
    }

    /// An error once an answer has waited too long.
    pub(crate) fn on_tick(&self, now: Time) -> Result<(), Lost> {
        if self.overdue_at().is_some_and(|at| at <= now) {
            return Err(Lost::Unacknowledged);
        }
        Ok(())
    }

    /// When an answer of ours will have waited too long.
    pub(crate) fn overdue_at(&self) -> Option<Time> {
        self.unacknowledged
            .front()
            .map(|sent| *sent + UNACKNOWLEDGED_AFTER)
    }

    /// Gives back memory while nothing waits.
    pub(crate) fn trim(&mut self) {
        if self.unacknowledged.is_empty() {
            self.unacknowledged = VecDeque::new();
        }
    }
}

/// Questions without their last answer, until their asker's patience ends.
#[derive(Debug, Default)]
pub(crate) struct Questions(BTreeMap<RequestId, Time>);

impl Questions {
    /// Notes a question.
    pub(crate) fn open(&mut self, id: RequestId, until: Time) {
        self.0.insert(id, until);
    }

    /// Its last answer has come, or gone.
    pub(crate) fn close(&mut self, id: RequestId) {
        self.0.remove(&id);
    }

    /// Whether a question waits for its last answer.
    pub(crate) fn holds(&self, id: RequestId) -> bool {
        self.0.contains_key(&id)
    }

    /// Whether a further question is one too many.
    pub(crate) fn is_full(&mut self, now: Time) -> bool {
        if self.0.len() >= QUESTIONS_PER_PEER_MAX {
            self.expire(now);
        }
        self.0.len() >= QUESTIONS_PER_PEER_MAX
    }

    /// Forgets questions nobody waits for any longer.
    pub(crate) fn expire(&mut self, now: Time) {
        self.0.retain(|_, until| *until > now);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_line_is_pinged_late_and_a_waiting_one_soon() {
        let mut pulse = Pulse::new(at(0));
        assert_eq!(pulse.deadline(), at(15));
        pulse.set_waiting(at(10), true);
        assert_eq!(pulse.deadline(), at(11));
        assert_eq!(pulse.on_tick(at(11)), Ok(true));
        assert_eq!(pulse.on_tick(at(12)), Ok(false));
        assert_eq!(pulse.deadline(), at(13));
        assert_eq!(pulse.on_tick(at(13)), Err(Lost::Silent));
    }

    /// A node that slept through its deadlines asks before it judges.
    #[test]
    fn nobody_is_lost_who_was_not_asked() {
        let mut pulse = Pulse::new(at(0));
        assert_eq!(pulse.on_tick(at(1000)), Ok(true));
        assert_eq!(pulse.on_tick(at(1029)), Ok(false));
        assert_eq!(pulse.deadline(), at(1030));
        pulse.heard(at(1029));
        assert_eq!(pulse.on_tick(at(1031)), Ok(false));
    }

    #[test]
    fn receipts_are_told_late_alone_and_at_once_when_many() {
        let mut receipts = Receipts::new();
        receipts.on_answer(at(1));
        assert!(!receipts.is_due(at(1)));
        assert!(receipts.is_due(at(1) + ACK_AFTER));
        assert_eq!(receipts.tell(), (1, 0));
        assert_eq!(receipts.deadline(), None);
        for _ in 0..ACK_ANSWERS {
            receipts.on_answer(at(2));
        }
        assert!(receipts.is_due(at(2)));
    }

    #[test]
    fn bulk_beyond_what_was_granted_is_misbehaviour() {
        let mut receipts = Receipts::new();
        let window = CREDIT_WINDOW_BYTES as usize;
        assert_eq!(receipts.on_bulk(at(0), window), Ok(()));
        assert_eq!(receipts.on_bulk(at(0), 1), Err(Lost::Misbehaved));
        assert!(receipts.is_due(at(0)));
        assert_eq!(receipts.tell(), (0, CREDIT_WINDOW_BYTES));
        assert_eq!(receipts.on_bulk(at(0), 1), Ok(()));
    }

    #[test]
    fn an_answer_without_receipt_ends_the_connection() {
        let mut receipts = Receipts::new();
        receipts.on_sent(at(1));
        receipts.on_sent(at(2));
        assert_eq!(receipts.on_ack(1), Ok(()));
        assert_eq!(receipts.on_tick(at(11)), Ok(()));
        assert_eq!(receipts.on_tick(at(12)), Err(Lost::Unacknowledged));
        assert_eq!(receipts.on_ack(3), Err(Lost::Misbehaved));
        assert_eq!(receipts.on_ack(0), Err(Lost::Misbehaved));
    }

    fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }
}
