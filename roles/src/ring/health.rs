//! How well this node itself hears (Lifeguard, section IV.A): who is slow must not call others
//! dead.

/// Worst score; every patience is then nine times as long.
const WORST: u32 = 8;

/// A score from 0, well, to 8.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    score: u32,
}

impl Health {
    /// A timer came late, somebody else reached whom this node could not, or it had to refute.
    pub(super) fn worse(&mut self) {
        self.score = (self.score + 1).min(WORST);
    }

    /// A period went by as it should.
    pub(super) fn better(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// By how much every patience is longer.
    pub(super) fn factor(self) -> u32 {
        1 + self.score
    }
}
