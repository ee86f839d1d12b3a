//! Mutants of the ring: mistakes that the simulated world plants to see whether its checks find
//! them.
//!
//! No real node has any: [`RingMutants::default`] is empty, and only tests set one.

/// One planted mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum RingMutant {
    /// An alert goes to one successor only, dead or alive, and its loss is not noticed.
    ListOfOne,
    /// A silent member is declared dead without any check.
    NeverConfirms,
    /// A member does not refute a suspicion.
    NeverRefutes,
    /// The dead are forgotten at once.
    ForgetsTheDead,
    /// A member passes an alert on again each time it arrives, without end.
    ForgetsEpochs,
    /// Each member that an alert reaches, and that sees the shortage, changes its role.
    FirstWhoHearsSwitches,
    /// Roles change as soon as they can.
    NeverPauses,
    /// A census counts the dead as if they lived.
    CountsTheDead,
    /// Rings that were split stay split.
    NeverMerges,
    /// Reserved roles are not counted.
    IgnoresReservations,
    /// After a stall, a node believes that the others were silent.
    TrustsItsClock,
    /// A member spreads no updates about other members, and compares no tables.
    KeepsNewsToItself,
    /// A change of role is not told to the DNS.
    StaysRegistered,
    /// No member begins a census.
    NeverCounts,
    /// A member does not notice the silence of its predecessor.
    NeverWatches,
}

impl RingMutant {
    /// Every mutant.
    pub const ALL: [RingMutant; 15] = [
        RingMutant::ListOfOne,
        RingMutant::NeverConfirms,
        RingMutant::NeverRefutes,
        RingMutant::ForgetsTheDead,
        RingMutant::ForgetsEpochs,
        RingMutant::FirstWhoHearsSwitches,
        RingMutant::NeverPauses,
        RingMutant::CountsTheDead,
        RingMutant::NeverMerges,
        RingMutant::IgnoresReservations,
        RingMutant::TrustsItsClock,
        RingMutant::KeepsNewsToItself,
        RingMutant::StaysRegistered,
        RingMutant::NeverCounts,
        RingMutant::NeverWatches,
    ];
}

/// A set of mutants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingMutants(u32);

impl RingMutants {
    /// Only this mutant.
    pub fn only(mutant: RingMutant) -> Self {
        RingMutants(1 << mutant as u32)
    }

    /// Whether this mutant is in the set.
    pub fn has(self, mutant: RingMutant) -> bool {
        self.0 & 1 << mutant as u32 != 0
    }
}
