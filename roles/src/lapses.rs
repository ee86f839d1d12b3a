//! Lapses in keeping copies that the simulated world plants to see whether its checks find them.
//!
//! What [`crate::flaws`] is to the ring. No real node has any: the default configuration names
//! none, and nothing outside the tests can.

/// One way of keeping copies badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// Hand-off: a song that is another's is let go although nobody has said that he has it.
    LetsGoUnconfirmed,
    /// A copy that has become superfluous is kept.
    NeverLetsGo,
    /// In the table that repair goes by, the dead live.
    TrustsAStaleTable,
    /// A dead node is waited for without end.
    RepairNeverStarts,
    /// Nobody compares what he holds.
    NeverCompares,
    /// Who holds nothing of a partition is sent nothing of it.
    GivesNewcomersNothing,
    /// A copy that was refused counts as made.
    CountsRefusedCopies,
    /// A drain is over as soon as it begins.
    DrainsAtOnce,
    /// Bad fragments are noticed and left as they are.
    ScrubLooksAway,
    /// A removal is said to stand on two nodes when it stands on one.
    BuriesAlone,
}

impl Lapse {
    /// Every one.
    pub const ALL: [Lapse; 10] = [
        Lapse::LetsGoUnconfirmed,
        Lapse::NeverLetsGo,
        Lapse::TrustsAStaleTable,
        Lapse::RepairNeverStarts,
        Lapse::NeverCompares,
        Lapse::GivesNewcomersNothing,
        Lapse::CountsRefusedCopies,
        Lapse::DrainsAtOnce,
        Lapse::ScrubLooksAway,
        Lapse::BuriesAlone,
    ];
}
