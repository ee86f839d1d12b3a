//! What a place on the circle asks for.

use crate::contract::id::NodeId;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Ask { number: u64, step: Step, of: NodeId },
    Notify,
}

/// The node that is asked, and the purpose of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Asks the node that will be the first successor, or a node behind it.
    Join {
        /// How many nearer nodes have refused, or are dead.
        place: usize,
    },
    /// Asks the first successor: part A of a stabilisation.
    Successor,
    /// Asks the node between the first successor and this node: part B.
    Candidate,
    /// Asks the next node of the member table, which the list skips.
    Suggested {
        /// The candidate of part B if the suggested node does not answer.
        candidate: Option<NodeId>,
    },
    /// Asks the node that the member table has before this one, when another predecessor or none is
    /// known.
    Behind,
    /// Asks the known predecessor, because another node claims to be the predecessor.
    Predecessor {
        /// The node that claims it.
        notifier: NodeId,
    },
}
