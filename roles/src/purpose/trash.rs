//! What the trash of a data node asks and orders.

use crate::contract::id::{NodeId, SongId};
use crate::contract::node::Asker;

/// The purpose of a question to another data node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// What it knows of the song of this change.
    Look(u64),
    /// To note this change.
    Tell(u64),
    /// Whether it has the same marks.
    Compare(NodeId),
    /// To note a page of marks; the next page begins after the song, if there is one.
    Push(NodeId, Option<SongId>),
}

/// The purpose of a job.
#[derive(Clone, Copy, Debug)]
pub(crate) enum JobFor {
    /// This change begins with the mark that is here.
    Look(u64),
    /// The mark of this change is made durable.
    Write(u64),
    /// The song of this change is removed for good.
    Empty(u64),
    /// Another data node has sent marks.
    Merge(Asker),
    /// Another data node asks whether it has the same marks; with its digest.
    Alike(Asker, u64),
    /// To compare the marks with those of this node.
    Digest(NodeId),
    /// To send a page of marks to this node.
    Push(NodeId),
    /// Marks or removals that another data node knows are noted here.
    Learn,
    /// Time is counted.
    Age,
}
