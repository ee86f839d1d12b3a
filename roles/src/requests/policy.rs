//! How patient a question is, what a refusal means for it, and how many retries a node may add.

use core::time::Duration;

use crate::contract::message::Refusal;
use crate::contract::rng::Rng;

/// How patient a question is.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Time after which the question is given up.
    pub deadline: Duration,
    /// How long one candidate may take before the next is asked beside it.
    pub attempt: Duration,
    /// How many rounds over the candidates: 1 never asks anyone twice.
    pub rounds: u32,
}

impl Policy {
    /// A short question to a group of servers: half a second for each candidate, and several rounds
    /// within the deadline, for candidates that are running but not ready.
    pub const GROUP: Policy = Policy {
        deadline: Duration::from_secs(5),
        attempt: Duration::from_millis(500),
        rounds: 8,
    };

    /// A look-up at the DNS nodes. It has fewer rounds than [`Policy::GROUP`], so that a failure is
    /// reported soon when no DNS node is there.
    pub const RESOLVE: Policy = Policy {
        deadline: Duration::from_secs(3),
        rounds: 2,
        ..Policy::GROUP
    };

    /// A song offered to one data node, by a client or by another data node.
    pub const OFFER: Policy = Policy {
        deadline: Duration::from_secs(10),
        attempt: Duration::from_secs(10),
        rounds: 1,
    };

    /// A short question to one node. The asker repeats it in its own period, so it is not retried.
    pub const ONCE: Policy = Policy {
        deadline: Duration::from_secs(2),
        attempt: Duration::from_secs(2),
        rounds: 1,
    };
}

/// How long one fragment of an offered song may take to arrive and be stored.
pub const GIVE_PATIENCE: Duration = Duration::from_secs(30);

/// Longest rest that a busy candidate is believed to need: as long as the longest pause.
pub(super) const REST_MAX: Duration = Duration::from_secs(2);

/// The pause after `round` failed rounds: random in the upper half of a span of 100 ms that doubles
/// up to 2 s. The lower bound lets the dial backoff of the host pass. With a shorter pause, every
/// second round would fail because of that backoff.
pub(super) fn round_pause(round: u32, rng: &mut Rng) -> Duration {
    let longest = Duration::from_millis(100 << round.min(5)).min(REST_MAX);
    rng.upper_half(longest)
}

impl Refusal {
    /// Whether the same node would give the same refusal a little later.
    pub fn is_lasting(&self) -> bool {
        match self {
            Refusal::NotFound | Refusal::WrongRole => true,
            Refusal::Ambiguous(_)
            | Refusal::Invalid(_)
            | Refusal::Outdated
            | Refusal::NotAllowed(_) => self.is_final(),
            Refusal::Busy { .. }
            | Refusal::NotReady
            | Refusal::ShuttingDown
            | Refusal::DiskFull
            | Refusal::Broken(_) => false,
        }
    }

    /// How long a node that is too busy wants to be left alone, in milliseconds; none if it is not
    /// the reason.
    pub(super) fn rest_ms(&self) -> Option<u32> {
        match self {
            Refusal::Busy { retry_after_ms } => Some(*retry_after_ms),
            Refusal::Ambiguous(_)
            | Refusal::Invalid(_)
            | Refusal::Outdated
            | Refusal::NotAllowed(_)
            | Refusal::NotFound
            | Refusal::WrongRole
            | Refusal::NotReady
            | Refusal::ShuttingDown
            | Refusal::DiskFull
            | Refusal::Broken(_) => None,
        }
    }

    /// Whether every other candidate would give the same refusal.
    pub fn is_final(&self) -> bool {
        match self {
            Refusal::Ambiguous(_)
            | Refusal::Invalid(_)
            | Refusal::Outdated
            | Refusal::NotAllowed(_) => true,
            Refusal::Busy { .. }
            | Refusal::NotFound
            | Refusal::WrongRole
            | Refusal::NotReady
            | Refusal::ShuttingDown
            | Refusal::DiskFull
            | Refusal::Broken(_) => false,
        }
    }
}

/// Limits retries to one for every ten questions while the first candidate may still be at work or is
/// too busy, so that retries do not overload a slow group (Dean and Barroso, "The Tail at Scale"). A
/// small stock lets a lone question be retried.
#[derive(Debug)]
pub(super) struct Budget {
    tenths: u32,
}

const BUDGET_TENTHS_MAX: u32 = 100;

impl Default for Budget {
    fn default() -> Self {
        Budget {
            tenths: BUDGET_TENTHS_MAX,
        }
    }
}

impl Budget {
    pub(super) fn earn(&mut self) {
        self.tenths = (self.tenths + 1).min(BUDGET_TENTHS_MAX);
    }

    pub(super) fn spend(&mut self) -> bool {
        let enough = self.tenths >= 10;
        self.tenths -= if enough { 10 } else { 0 };
        enough
    }
}
