//! When a connection counts as silent.
//!
//! A peer is lost only after it was pinged and had its time to reply. While this end waits for the
//! peer the limits are short; an idle peer has no reason to speak and gets long ones.

use std::time::Duration;

use roles::contract::node::Lost;
use roles::contract::time::Time;

/// The keepalive timer: pings a silent peer and reports a peer that stays silent.
#[derive(Debug)]
pub struct Keepalive {
    /// When the peer was last heard, or when this end began to wait, whichever is later.
    silent_since: Time,
    /// When the current silence was answered with a ping.
    pinged_at: Option<Time>,
    waiting: bool,
}

impl Keepalive {
    /// The keepalive of a connection that has opened at `now`.
    pub fn new(now: Time) -> Self {
        Keepalive {
            silent_since: now,
            pinged_at: None,
            waiting: false,
        }
    }

    /// The peer has shown a sign of life: the silence begins anew.
    pub fn heard(&mut self, now: Time) {
        self.silent_since = now;
        self.pinged_at = None;
    }

    /// Notes whether this end waits for the peer. When the wait begins, earlier silence is
    /// discarded, because an idle peer has no reason to speak.
    pub fn set_waiting(&mut self, now: Time, waiting: bool) {
        if waiting && !self.waiting {
            self.heard(now);
        }
        self.waiting = waiting;
    }

    /// When [`Keepalive::on_tick`] next sends a ping or gives up the peer.
    pub fn deadline(&self) -> Time {
        let (ping, lost) = self.limits();
        match self.pinged_at {
            None => self.silent_since + ping,
            // When this node wakes late (a suspended machine), the peer still gets its time to
            // reply.
            Some(at) => (self.silent_since + lost).max(at + (lost - ping)),
        }
    }

    /// Returns whether a ping is due, or an error when the peer has not replied to the ping in
    /// time.
    pub fn on_tick(&mut self, now: Time) -> Result<bool, Lost> {
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

/// Silence before a ping while this end waits for an answer or an acknowledgement.
const WAITING_PING_AFTER: Duration = Duration::from_secs(1);
/// Silence that ends the connection while this end waits.
const WAITING_LOST_AFTER: Duration = Duration::from_secs(3);
/// Silence before a ping on an idle connection.
const IDLE_PING_AFTER: Duration = Duration::from_secs(15);
/// Silence that ends an idle connection.
const IDLE_LOST_AFTER: Duration = Duration::from_secs(45);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_line_is_pinged_late_and_a_waiting_one_soon() {
        let mut keepalive = Keepalive::new(at(0));
        assert_eq!(keepalive.deadline(), at(15));
        keepalive.set_waiting(at(10), true);
        assert_eq!(keepalive.deadline(), at(11));
        assert_eq!(keepalive.on_tick(at(11)), Ok(true));
        assert_eq!(keepalive.on_tick(at(12)), Ok(false));
        assert_eq!(keepalive.deadline(), at(13));
        assert_eq!(keepalive.on_tick(at(13)), Err(Lost::Silent));
    }

    /// A node that wakes late sends a ping before it gives up the peer.
    #[test]
    fn nobody_is_lost_who_was_not_asked() {
        let mut keepalive = Keepalive::new(at(0));
        assert_eq!(keepalive.on_tick(at(1000)), Ok(true));
        assert_eq!(keepalive.on_tick(at(1029)), Ok(false));
        assert_eq!(keepalive.deadline(), at(1030));
        keepalive.heard(at(1029));
        assert_eq!(keepalive.on_tick(at(1031)), Ok(false));
    }

    fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }
}
