//! Mutants of replication: mistakes that the simulated world plants to see whether its checks find
//! them.
//!
//! They are to the data role what [`crate::ring_mutants`] is to the ring. No real node has any: the
//! default configuration names none, and only tests set one.

/// One planted mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyMutant {
    /// Hand-off: a node drops a song that belongs to another although that node has not confirmed
    /// it.
    LetsGoUnconfirmed,
    /// A copy that has become superfluous is kept.
    NeverLetsGo,
    /// Repair works from a table in which dead nodes still live.
    TrustsAStaleTable,
    /// Repair waits for a dead node without end.
    RepairNeverStarts,
    /// Nodes do not compare their digests.
    NeverCompares,
    /// An owner that holds nothing of a partition is sent nothing of it.
    GivesNewcomersNothing,
    /// A refused copy counts as made.
    CountsRefusedCopies,
    /// A drain is over as soon as it begins.
    DrainsAtOnce,
    /// Bad fragments are noticed and left as they are.
    ScrubLooksAway,
    /// A removal is reported as stored on two nodes when it is stored on one.
    BuriesAlone,
}

impl CopyMutant {
    /// Every mutant.
    pub const ALL: [CopyMutant; 10] = [
        CopyMutant::LetsGoUnconfirmed,
        CopyMutant::NeverLetsGo,
        CopyMutant::TrustsAStaleTable,
        CopyMutant::RepairNeverStarts,
        CopyMutant::NeverCompares,
        CopyMutant::GivesNewcomersNothing,
        CopyMutant::CountsRefusedCopies,
        CopyMutant::DrainsAtOnce,
        CopyMutant::ScrubLooksAway,
        CopyMutant::BuriesAlone,
    ];
}
