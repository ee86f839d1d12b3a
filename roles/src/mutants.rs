//! Planted mistakes: what the simulated world makes nodes do wrong, to see whether its checks find
//! it.
//!
//! This is the only place that knows whether a mistake is planted. A site in the roles asks
//! [`Planted::has`] in one line. Without the feature `mutants`, which only the workspace's own tests
//! switch on, the answer is the constant `false`, nothing can be planted, and the compiler removes
//! the mistake from every site.

/// At most one mistake out of a list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planted<M> {
    #[cfg(feature = "mutants")]
    mistake: Option<M>,
    #[cfg(not(feature = "mutants"))]
    mistake: core::marker::PhantomData<M>,
}

// A real node has no place in which a mistake could be planted.
#[cfg(not(feature = "mutants"))]
const _: () = assert!(size_of::<Planted<RingMutant>>() == 0);

/// A mistake of the ring or of the DNS nodes.
pub type RingMutants = Planted<RingMutant>;

/// A mistake of replication.
pub type CopyMutants = Planted<CopyMutant>;

/// A mistake about what listeners write.
pub type DocumentMutants = Planted<DocumentMutant>;

/// A mistake of the circle.
pub type ChordMutants = Planted<ChordMutant>;

impl<M> Default for Planted<M> {
    /// Nothing is planted, as in every real node.
    fn default() -> Self {
        Planted {
            mistake: Default::default(),
        }
    }
}

#[cfg(feature = "mutants")]
impl<M: Copy + PartialEq> Planted<M> {
    /// Only this mistake.
    pub fn only(mistake: M) -> Self {
        let mistake = Some(mistake);
        Planted { mistake }
    }

    /// Whether this mistake is planted.
    pub fn has(self, mistake: M) -> bool {
        self.mistake == Some(mistake)
    }
}

#[cfg(not(feature = "mutants"))]
impl<M: Copy + PartialEq> Planted<M> {
    /// Whether this mistake is planted: never.
    pub const fn has(self, _: M) -> bool {
        false
    }
}

/// Mistakes of the ring and of the DNS nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// A later start of a member is believed of anybody.
    BelievesHearsay,
    /// A member ends when one other says that another process bears its id.
    EndsAtOneWord,
}

impl RingMutant {
    /// Every mutant.
    pub const ALL: [RingMutant; 17] = [
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
        RingMutant::BelievesHearsay,
        RingMutant::EndsAtOneWord,
    ];
}

/// Mistakes of replication.
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
    /// A node that cannot read its tables goes on announcing its songs.
    HidesWhatItCannotRead,
    /// A node whose library was rebuilt announces the old one.
    HidesTheHealed,
    /// A song whose time in the trash is over is removed without asking the other nodes.
    ExpiresUnasked,
    /// A song is taken out of the trash under a version that is not the next one.
    RestoresUnversioned,
    /// A change of the trash is reported as stored on two nodes when it is stored on one.
    MarksAlone,
    /// Nodes do not compare what is in the trash.
    NeverComparesMarks,
    /// Time in the trash passes twice as fast.
    AgesTwice,
}

impl CopyMutant {
    /// Every mutant.
    pub const ALL: [CopyMutant; 17] = [
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
        CopyMutant::HidesWhatItCannotRead,
        CopyMutant::HidesTheHealed,
        CopyMutant::ExpiresUnasked,
        CopyMutant::RestoresUnversioned,
        CopyMutant::MarksAlone,
        CopyMutant::NeverComparesMarks,
        CopyMutant::AgesTwice,
    ];
}

/// Mistakes about what listeners write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentMutant {
    /// What a listener writes is reported as stored on two nodes when it is stored on one.
    WritesAlone,
    /// A write is answered before the routers know it.
    AnswersUntold,
    /// Of what is written at once, other nodes are told the first document.
    TellsTheFirst,
    /// Nodes do not compare their documents.
    NeverComparesDocuments,
    /// Nodes compare half of their documents.
    ComparesHalf,
    /// A node sends its documents to one that lacks some, without those that were deleted.
    SendsNoDeletions,
    /// Routers are not told what is deleted.
    FeedsNoDeletions,
    /// A write that is older than what is there is reported as kept.
    HidesTheLater,
    /// Documents of any clock are taken.
    TrustsAnyClock,
    /// A router keeps what it has heard first, whatever comes later.
    RouterKeepsTheFirst,
    /// A play is counted twice.
    CountsTwice,
    /// A client that is told that something later is there ends as if it had written.
    StampsLow,
}

impl DocumentMutant {
    /// Every mutant.
    pub const ALL: [DocumentMutant; 12] = [
        DocumentMutant::WritesAlone,
        DocumentMutant::AnswersUntold,
        DocumentMutant::TellsTheFirst,
        DocumentMutant::NeverComparesDocuments,
        DocumentMutant::ComparesHalf,
        DocumentMutant::SendsNoDeletions,
        DocumentMutant::FeedsNoDeletions,
        DocumentMutant::HidesTheLater,
        DocumentMutant::TrustsAnyClock,
        DocumentMutant::RouterKeepsTheFirst,
        DocumentMutant::CountsTwice,
        DocumentMutant::StampsLow,
    ];
}

/// Mistakes of the circle. The first four are faults of the published Chord (Zave 2012).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChordMutant {
    /// A joining node takes one pointer and no list.
    JoinsWithOnePointer,
    /// A node adopts the predecessor of its successor before that node has answered.
    AdoptsTheSilent,
    /// A dead predecessor is forgotten before another one is known.
    ClearsPredecessor,
    /// A list is mended entry by entry instead of replaced whole.
    RepairsPiecemeal,
    /// The circle begins with any node that is there, and shrinks without the member table.
    FoundsAlone,
    /// A node adopts the next node of the member table before that node has answered.
    AdoptsTheSuggested,
    /// A node tells its neighbours while an operation is changing them.
    AnswersWhilePending,
    /// An answer counts although its question was given up.
    AcceptsLateAnswers,
    /// A node never checks whether its predecessor lives.
    NeverReplacesPredecessor,
    /// A list has two successors, whatever is configured.
    ListOfTwo,
    /// Any node that is asked for a song answers in place of the owner.
    TrustsFingers,
    /// A node whose predecessor is dead claims every key it is asked for.
    ClaimsFromTheDead,
    /// A look-up continues as long as any node names another.
    NoHopLimit,
}

impl ChordMutant {
    /// Every mutant.
    pub const ALL: [ChordMutant; 13] = [
        ChordMutant::JoinsWithOnePointer,
        ChordMutant::AdoptsTheSilent,
        ChordMutant::ClearsPredecessor,
        ChordMutant::RepairsPiecemeal,
        ChordMutant::FoundsAlone,
        ChordMutant::AdoptsTheSuggested,
        ChordMutant::AnswersWhilePending,
        ChordMutant::AcceptsLateAnswers,
        ChordMutant::NeverReplacesPredecessor,
        ChordMutant::ListOfTwo,
        ChordMutant::TrustsFingers,
        ChordMutant::ClaimsFromTheDead,
        ChordMutant::NoHopLimit,
    ];
}
