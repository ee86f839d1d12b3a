//! What a data node asks and orders to compare its songs with those of others.

use crate::contract::id::NodeId;

/// The purpose of a question.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) round: u64,
    pub(crate) with: NodeId,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Groups,
    Each,
    Holdings(u16),
    Bury,
}

#[derive(Debug)]
pub(crate) enum JobFor {
    Digests(u64),
    Songs(u64, u16),
    /// Songs are removed for good, or let go.
    Change,
}
