//! The time limits of a connection that is not open yet.
//!
//! Connecting and shaking hands have a limit each, so that a slow network does not use up the time
//! of a slow peer. Whatever the peer does or leaves undone, the wait ends.

use std::time::Duration;

use roles::contract::node::Lost;
use roles::contract::time::Time;

/// How far a connection has come, and until when its next step may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    step: Step,
    until: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The kernels connect; no byte of the peer's node can arrive yet.
    Connecting,
    /// The nodes exchange their handshake and their hellos.
    Greeting,
}

impl Handshake {
    /// The limits of a connection that this node dials.
    pub fn dialled(now: Time) -> Self {
        Handshake {
            step: Step::Connecting,
            until: now + CONNECT_TIMEOUT,
        }
    }

    /// The limits of a connection that this node has accepted.
    pub fn accepted(now: Time) -> Self {
        Handshake {
            step: Step::Greeting,
            until: now + HANDSHAKE_TIMEOUT,
        }
    }

    /// Notes that the kernels are connected: the time for the handshake begins.
    pub fn connected(&mut self, now: Time) {
        if self.is_connecting() {
            *self = Handshake::accepted(now);
        }
    }

    /// Whether the kernels are not connected yet.
    pub fn is_connecting(&self) -> bool {
        self.step == Step::Connecting
    }

    /// When [`Handshake::on_tick`] gives up.
    pub fn deadline(&self) -> Time {
        self.until
    }

    /// An error when the present step has used up its time.
    pub fn on_tick(&self, now: Time) -> Result<(), Lost> {
        match self.step {
            _ if now < self.until => Ok(()),
            Step::Connecting => Err(Lost::ConnectTimeout),
            Step::Greeting => Err(Lost::Silent),
        }
    }
}

/// How long a TCP connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a handshake may take, the peer's hello included.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_connect_leaves_the_handshake_its_time() {
        let mut handshake = Handshake::dialled(at(0));
        assert_eq!(handshake.on_tick(at(1999)), Ok(()));
        assert_eq!(handshake.on_tick(at(2000)), Err(Lost::ConnectTimeout));
        handshake.connected(at(1999));
        assert_eq!(handshake.deadline(), at(3999));
        assert_eq!(handshake.on_tick(at(3998)), Ok(()));
        assert_eq!(handshake.on_tick(at(3999)), Err(Lost::Silent));
    }

    /// Only the first connect starts the handshake's time; a peer cannot prolong it.
    #[test]
    fn the_time_of_a_handshake_is_given_once() {
        let mut handshake = Handshake::accepted(at(0));
        handshake.connected(at(1500));
        assert_eq!(handshake.deadline(), at(2000));
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }
}
