//! How well this node itself hears (Lifeguard, section IV.A). A slow node lengthens its own
//! timeouts, so that it does not declare healthy members dead.

/// Worst score; every timeout is nine times as long then.
const WORST: u32 = 8;

/// A score from 0 (healthy) to 8.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    score: u32,
}

impl Health {
    /// Raises the score. The causes are a late timer, a member that a helper reached and this node
    /// did not, and a refutation this node had to send.
    pub(super) fn worse(&mut self) {
        self.score = (self.score + 1).min(WORST);
    }

    /// Lowers the score after a beat.
    pub(super) fn better(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// The factor by which every timeout is longer, from 1 to 9.
    pub(super) fn factor(self) -> u32 {
        1 + self.score
    }
}
