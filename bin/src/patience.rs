//! How long a command goes on trying when the cluster is there but has no room, or is about to start
//! again.
//!
//! Many commands that start at the same moment do not fit a small node all at once. Each tries for
//! ten seconds, with pauses of its own length. A closed handshake is no proof of a wrong key: only
//! a cluster that does so for some seconds, and never answers, has refused the key.

use std::thread;
use std::time::{Duration, Instant};

use rand::random;
use roles::contract::message::Refusal;
use roles::contract::node::Lost;
use roles::contract::user::Failure;

/// The attempts of one operation that have failed.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    first_at: Option<Instant>,
    attempts: u32,
    /// The last failure was a refused key.
    refused: bool,
}

impl Patience {
    /// Waits for a while, if another attempt makes sense after this failure; false if it does not.
    pub(crate) fn again(&mut self, failure: &Failure) -> bool {
        let begun = *self.first_at.get_or_insert_with(Instant::now);
        let Some(pause) = self.pause(failure, begun.elapsed(), random()) else {
            return false;
        };
        thread::sleep(pause);
        true
    }

    /// When the key counts as refused although another attempt is under way: one at an address that
    /// has closed before waits longer each time. `None` while the key is not in doubt.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let first_at = self.first_at.filter(|_| self.refused);
        first_at.map(|at| at + REFUSALS_TIME)
    }

    /// Notes that the operation got on: the time begins anew.
    pub(crate) fn got_on(&mut self) {
        *self = Patience::default();
    }

    /// The pause before the next attempt, `elapsed` after the first failure.
    fn pause(&mut self, failure: &Failure, elapsed: Duration, chance: u32) -> Option<Duration> {
        let attempts = self.attempts;
        self.refused = matches!(failure, Failure::KeyRefused);
        self.attempts += 1;
        let most = match passes(failure) {
            Passes::Never => return None,
            Passes::Perhaps => PATIENCE,
            Passes::IfNoProof => REFUSALS_TIME,
        };
        let longest = (PAUSE_FIRST * 2_u32.saturating_pow(attempts)).min(PAUSE_LONGEST);
        // Between half and all of it, so that commands that failed together do not come together.
        let pause = longest / 2 + longest.mul_f64(f64::from(chance) / f64::from(u32::MAX)) / 2;
        (elapsed + pause < most).then_some(pause)
    }
}

/// Whether a failure may be over soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passes {
    Never,
    Perhaps,
    /// It looks like a wrong key; a few more attempts show whether it is one.
    IfNoProof,
}

fn passes(failure: &Failure) -> Passes {
    match failure {
        Failure::KeyRefused => Passes::IfNoProof,
        Failure::Unreachable {
            last: Some(lost), ..
        } => match lost {
            Lost::ConnectTimeout
            | Lost::HandshakeRefused
            | Lost::Closed
            | Lost::Reset
            | Lost::Silent
            | Lost::Unacknowledged
            | Lost::Full
            | Lost::Backoff => Passes::Perhaps,
            // Nobody listens, or the peer is one with which there is no speaking.
            Lost::ConnectRefused | Lost::Version | Lost::Outdated | Lost::Misbehaved => {
                Passes::Never
            }
        },
        Failure::Refused(Refusal::Busy { .. }) => Passes::Perhaps,
        Failure::Unreachable { last: None, .. }
        | Failure::Refused(_)
        | Failure::NotFound
        | Failure::Trashed(_)
        | Failure::NotInTrash
        | Failure::Ambiguous(_)
        | Failure::NoCopy
        | Failure::NoData
        | Failure::Local(_)
        | Failure::Busy => Passes::Never,
    }
}

/// How long a command tries.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long after the first closed handshake a key counts as refused. A cluster that was closing
/// for another reason has then had several more attempts to answer.
const REFUSALS_TIME: Duration = Duration::from_secs(4);

/// Longest first pause; each further one may be twice as long, up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_LONGEST: Duration = Duration::from_millis(1600);

#[cfg(test)]
mod tests {
    use super::*;
    use roles::contract::record::Role;

    fn lost(last: Lost) -> Failure {
        Failure::Unreachable {
            role: Role::Dns,
            last: Some(last),
        }
    }

    /// The time after which an attempt is the last, and how many there were.
    fn tries(failure: &Failure) -> (Duration, u32) {
        let (mut patience, mut at) = (Patience::default(), Duration::ZERO);
        while let Some(pause) = patience.pause(failure, at, u32::MAX / 2) {
            at += pause;
        }
        (at, patience.attempts)
    }

    #[test]
    fn a_crowded_node_is_tried_for_ten_seconds() {
        let (time, attempts) = tries(&lost(Lost::Full));
        assert!(time > PATIENCE - PAUSE_LONGEST && time < PATIENCE);
        assert!((8..20).contains(&attempts), "{attempts}");
    }

    #[test]
    fn a_refused_key_is_tried_a_few_times() {
        let (time, attempts) = tries(&Failure::KeyRefused);
        assert!(time < REFUSALS_TIME, "{time:?}");
        assert!((4..8).contains(&attempts), "{attempts}");
        let mut patience = Patience::default();
        assert!(patience.deadline().is_none());
        patience.again(&Failure::KeyRefused);
        assert!(patience.deadline().is_some());
    }

    #[test]
    fn where_nobody_listens_there_is_nothing_to_wait_for() {
        assert_eq!(tries(&lost(Lost::ConnectRefused)).1, 1);
        assert_eq!(tries(&Failure::NotFound).1, 1);
    }

    /// Two commands that failed at the same moment wait differently.
    #[test]
    fn pauses_differ() {
        let pause = |chance| Patience::default().pause(&lost(Lost::Full), Duration::ZERO, chance);
        assert_eq!(pause(0), Some(PAUSE_FIRST / 2));
        assert_eq!(pause(u32::MAX), Some(PAUSE_FIRST));
    }
}
