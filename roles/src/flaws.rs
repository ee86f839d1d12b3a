//! Faults that the simulated world plants to see whether its checks find them.
//!
//! No real node has any: [`Flaws::default`] is empty, and nothing outside the tests can set one.

/// One way of being wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Flaw {
    /// An alert is handed to one successor only, dead or alive, and not missed when it is lost.
    ListOfOne,
    /// Whoever is silent is dead: nobody asks.
    NeverConfirms,
    /// A member does not object to being called dead.
    NeverRefutes,
    /// The dead are forgotten at once.
    ForgetsTheDead,
    /// An alert is passed on by those it has visited, without end.
    ForgetsEpochs,
    /// Whoever first hears of an imbalance changes its role.
    FirstWhoHearsSwitches,
    /// Roles change as soon as they can.
    NeverPauses,
    /// A census counts the dead as if they lived.
    CountsTheDead,
    /// Rings that were split stay split.
    NeverMerges,
    /// Reserved roles are not counted.
    IgnoresReservations,
    /// After standing still, a node believes that the others did.
    TrustsItsClock,
    /// Verdicts stay with whoever came to them, and nobody compares tables.
    KeepsNewsToItself,
    /// A change of role is not told to the DNS.
    StaysRegistered,
    /// Nobody counts after a death.
    NeverCounts,
    /// The predecessor's silence is not noticed.
    NeverWatches,
}

impl Flaw {
    /// Every one.
    pub const ALL: [Flaw; 15] = [
        Flaw::ListOfOne,
        Flaw::NeverConfirms,
        Flaw::NeverRefutes,
        Flaw::ForgetsTheDead,
        Flaw::ForgetsEpochs,
        Flaw::FirstWhoHearsSwitches,
        Flaw::NeverPauses,
        Flaw::CountsTheDead,
        Flaw::NeverMerges,
        Flaw::IgnoresReservations,
        Flaw::TrustsItsClock,
        Flaw::KeepsNewsToItself,
        Flaw::StaysRegistered,
        Flaw::NeverCounts,
        Flaw::NeverWatches,
    ];
}

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws(u32);

impl Flaws {
    /// Just this one.
    pub fn only(flaw: Flaw) -> Self {
        Flaws(1 << flaw as u32)
    }

    /// Whether it is planted.
    pub fn has(self, flaw: Flaw) -> bool {
        self.0 & 1 << flaw as u32 != 0
    }
}
