//! Faults of the circle that tests plant to see whether their checks find them.
//!
//! The first four are those of the published Chord (Zave 2012); no real node has any.

/// One way of being wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs)]
pub enum Flaw {
    /// A newcomer takes one pointer and no list.
    JoinsWithOnePointer,
    /// The successor's predecessor is adopted without having answered.
    AdoptsTheSilent,
    /// A dead predecessor is forgotten before another is known.
    ClearsPredecessor,
    /// A list is mended entry by entry instead of replaced whole.
    RepairsPiecemeal,
    /// The circle begins with whoever is there, and shrinks without the member table.
    FoundsAlone,
    /// The node that the member table has next is adopted without having answered.
    AdoptsTheSuggested,
    /// Neighbours are told while they are being changed.
    AnswersWhilePending,
    /// An answer counts after its question was given up.
    AcceptsLateAnswers,
    /// Nobody looks whether the predecessor lives.
    NeverReplacesPredecessor,
    /// Two successors, whatever was asked for.
    ListOfTwo,
    /// Whoever is asked for a song speaks for its owner.
    TrustsFingers,
    /// A node whose predecessor is dead answers for whatever it is asked for.
    ClaimsFromTheDead,
    /// A look-up goes on as long as somebody names somebody.
    NoHopLimit,
}

impl Flaw {
    /// Every one.
    pub const ALL: [Flaw; 13] = [
        Flaw::JoinsWithOnePointer,
        Flaw::AdoptsTheSilent,
        Flaw::ClearsPredecessor,
        Flaw::RepairsPiecemeal,
        Flaw::FoundsAlone,
        Flaw::AdoptsTheSuggested,
        Flaw::AnswersWhilePending,
        Flaw::AcceptsLateAnswers,
        Flaw::NeverReplacesPredecessor,
        Flaw::ListOfTwo,
        Flaw::TrustsFingers,
        Flaw::ClaimsFromTheDead,
        Flaw::NoHopLimit,
    ];
}

/// At most one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws(Option<Flaw>);

impl Flaws {
    /// Just this one.
    pub fn only(flaw: Flaw) -> Self {
        Flaws(Some(flaw))
    }

    /// Whether it is planted.
    pub fn has(self, flaw: Flaw) -> bool {
        self.0 == Some(flaw)
    }
}
