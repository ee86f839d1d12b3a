//! Mutants of the circle: faults that tests plant to see whether their checks find them.
//!
//! The first four are faults of the published Chord (Zave 2012). No real node has any mutant.

/// One planted mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs)]
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

/// At most one mutant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChordMutants(Option<ChordMutant>);

impl ChordMutants {
    /// Only this mutant.
    pub fn only(mutant: ChordMutant) -> Self {
        ChordMutants(Some(mutant))
    }

    /// Whether it is planted.
    pub fn has(self, mutant: ChordMutant) -> bool {
        self.0 == Some(mutant)
    }
}
