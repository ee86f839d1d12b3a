//! Acknowledgements and credit of one connection.

use std::collections::VecDeque;
use std::time::Duration;

use roles::contract::node::Lost;
use roles::contract::time::Time;
use roles::contract::timers::earlier;

use super::outgoing::CREDIT_WINDOW_BYTES;

/// Longest time before an answer is acknowledged when no other frame carries the acknowledgement.
const ACK_AFTER: Duration = Duration::from_millis(25);
/// Unacknowledged answers that justify a frame of their own.
const ACK_ANSWERS: u64 = 16;
/// Withheld credit that justifies a frame of its own, so that the sender does not run out.
const ACK_CREDIT_BYTES: u32 = CREDIT_WINDOW_BYTES / 8;
/// How long the other end may acknowledge and grant nothing, while a sent answer is
/// unacknowledged, before the connection ends. A peer that takes what it is sent, however slowly,
/// is not dead: it is busy, or many share its line.
const UNACKNOWLEDGED_AFTER: Duration = Duration::from_secs(10);

/// Acknowledgements of answers in both directions, and the credit granted to the other end.
#[derive(Debug)]
pub(crate) struct Receipts {
    /// Answers fully received on this connection.
    received: u64,
    /// The part of `received` that the other end has been told.
    told: u64,
    /// When an acknowledgement or grant goes out at the latest.
    due: Option<Time>,
    /// Bytes of bulk that the other end may still send.
    allowed: u32,
    /// Bytes of bulk received since the last grant.
    ungranted: u32,
    /// Sent answers that the other end has acknowledged.
    acknowledged: u64,
    /// When each unacknowledged answer was fully sent, oldest first.
    unacknowledged: VecDeque<Time>,
    /// When the other end last acknowledged an answer or granted credit, or may have done so.
    progress_at: Time,
}

impl Receipts {
    pub(crate) fn new() -> Self {
        Receipts {
            received: 0,
            told: 0,
            due: None,
            allowed: CREDIT_WINDOW_BYTES,
            ungranted: 0,
            acknowledged: 0,
            unacknowledged: VecDeque::new(),
            progress_at: Time::ZERO,
        }
    }

    /// Counts a received bulk frame; an error when it exceeds the granted credit.
    pub(crate) fn on_bulk(&mut self, now: Time, bytes: usize) -> Result<(), Lost> {
        let bytes = u32::try_from(bytes).map_err(|_| Lost::Misbehaved)?;
        self.allowed = self.allowed.checked_sub(bytes).ok_or(Lost::Misbehaved)?;
        self.ungranted += bytes;
        let soon = if self.ungranted >= ACK_CREDIT_BYTES {
            now
        } else {
            now + ACK_AFTER
        };
        self.due = earlier(self.due, Some(soon));
        Ok(())
    }

    /// Counts a complete answer from the peer.
    pub(crate) fn on_answer(&mut self, now: Time) {
        self.received += 1;
        let many = self.received - self.told >= ACK_ANSWERS;
        let soon = if many { now } else { now + ACK_AFTER };
        self.due = earlier(self.due, Some(soon));
    }

    /// The acknowledgement and the grant, in bytes, for the next frame's header. The caller must
    /// send them: they count as told.
    pub(crate) fn tell(&mut self) -> (u64, u32) {
        let granted = std::mem::take(&mut self.ungranted);
        self.allowed += granted;
        self.told = self.received;
        self.due = None;
        (self.received, granted)
    }

    /// Whether an acknowledgement or grant is due, in a frame of its own if need be.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Notes that one of this end's answers has been fully sent.
    pub(crate) fn on_sent(&mut self, now: Time) {
        self.unacknowledged.push_back(now);
    }

    /// Takes the peer's running total of received answers, and the bytes that it grants. An error if
    /// the total falls or counts too many.
    pub(crate) fn on_ack(&mut self, now: Time, ack: u64, granted: u32) -> Result<(), Lost> {
        let more = ack
            .checked_sub(self.acknowledged)
            .filter(|more| *more <= self.unacknowledged.len() as u64)
            .ok_or(Lost::Misbehaved)?;
        self.unacknowledged.drain(..more as usize);
        self.acknowledged = ack;
        if more > 0 || granted > 0 {
            self.excuse(now);
        }
        Ok(())
    }

    /// The other end's acknowledgements may lie unread here: its time begins anew.
    pub(crate) fn excuse(&mut self, now: Time) {
        self.progress_at = now;
    }

    /// Whether any sent answer is unacknowledged.
    pub(crate) fn waiting(&self) -> bool {
        !self.unacknowledged.is_empty()
    }

    /// When an acknowledgement or grant is due, or a sent answer is overdue, whichever is earlier.
    pub(crate) fn deadline(&self) -> Option<Time> {
        earlier(self.due, self.overdue_at())
    }

    /// An error when a sent answer is overdue and the other end has made no progress.
    pub(crate) fn on_tick(&self, now: Time) -> Result<(), Lost> {
        if self.overdue_at().is_some_and(|at| at <= now) {
            return Err(Lost::Unacknowledged);
        }
        Ok(())
    }

    /// When the oldest unacknowledged answer becomes overdue, unless progress is made before.
    pub(crate) fn overdue_at(&self) -> Option<Time> {
        let oldest = *self.unacknowledged.front()?;
        Some(oldest.max(self.progress_at) + UNACKNOWLEDGED_AFTER)
    }

    /// Frees the queue while it is empty.
    pub(crate) fn trim(&mut self) {
        if self.unacknowledged.is_empty() {
            self.unacknowledged = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(receipts.on_ack(at(2), 1, 0), Ok(()));
        assert_eq!(receipts.on_tick(at(11)), Ok(()));
        assert_eq!(receipts.on_tick(at(12)), Err(Lost::Unacknowledged));
        assert_eq!(receipts.on_ack(at(12), 3, 0), Err(Lost::Misbehaved));
        assert_eq!(receipts.on_ack(at(12), 0, 0), Err(Lost::Misbehaved));
    }

    /// A peer that reads slowly takes longer for one answer than the limit. Grants, and what may lie
    /// unread, show that it takes it; a frame that says nothing new does not.
    #[test]
    fn a_slow_reader_is_not_dead() {
        let mut receipts = Receipts::new();
        receipts.on_sent(at(1));
        assert_eq!(receipts.on_ack(at(9), 0, 4096), Ok(()));
        assert_eq!(receipts.on_tick(at(18)), Ok(()));
        receipts.excuse(at(18));
        assert_eq!(receipts.on_ack(at(20), 0, 0), Ok(()));
        assert_eq!(receipts.overdue_at(), Some(at(28)));
        assert_eq!(receipts.on_tick(at(28)), Err(Lost::Unacknowledged));
    }

    fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }
}
