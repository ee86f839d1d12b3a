//! What a data node asks and orders for the documents of listeners.

use alloc::vec::Vec;

use crate::contract::document::Key;
use crate::contract::id::NodeId;
use crate::contract::node::Asker;

/// The purpose of a question to another data node.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// To keep what a client has written: the write of this number.
    Tell(u64),
    /// Where it has other documents.
    Compare(NodeId),
    /// To keep a page of documents; the next page begins after the key, if there is one.
    Push(NodeId, Option<Key>),
}

/// The purpose of a job.
#[derive(Clone, Debug)]
pub(crate) enum JobFor {
    /// What a client has written is made durable.
    Write(Asker),
    /// Another data node has sent documents, of which so many are ahead of this node's clock.
    Merge(Asker, u32),
    /// Another data node asks where its documents differ; with its digests.
    Differ(Asker, Vec<u64>),
    /// To compare the documents with those of this node.
    Sums(NodeId),
    /// To send a page of documents to this node.
    Push(NodeId),
}
