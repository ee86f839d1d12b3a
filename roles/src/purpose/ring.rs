//! What a member of the ring asks for.

use crate::contract::id::{Incarnation, NodeId};
use crate::contract::node::Asker;
use crate::contract::time::Time;

/// The purpose of a question that this node has asked.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    Join,
    /// Does this member live?
    Probe(Probe),
    /// Does the process exist that another member says this member is?
    Seek(NodeId),
    /// Does this member say, too, that another process bears this node's id?
    Double,
    Check {
        of: NodeId,
        by: NodeId,
    },
    /// A probe on behalf of the asker, which checks the node named second.
    CheckFor(Asker, NodeId),
    Alert,
    Count,
    Unbalance(NodeId),
}

/// A question whether a member lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub(crate) node: NodeId,
    pub(crate) asked_at: Time,
    /// The incarnation and version this node knew when it asked. A later one proves life.
    pub(crate) known: (Incarnation, u32),
}
