//! The messages of the Chord hash ring: the neighbours of a node, and the nodes that keep a song.
//!
//! A message names nodes by their ids alone. Each receiver reads a node's address, and whether the
//! node lives, from its own member table.

use alloc::vec::Vec;

use bincode::{Decode, Encode};

use super::id::{NodeId, SongId};

/// Between data nodes, and from routers and clients that look a song up: see [`crate::locator`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Chord {
    /// Asks for the receiver's neighbours. Answered by `Neighbourhood`, or by `Refused(NotReady)`
    /// from a node that has not joined the hash ring or is not `of`.
    Neighbours {
        /// The node that the sender means to ask. Another node at the same address refuses.
        of: NodeId,
    },
    /// The answering node's neighbours. A joined node delays this answer while an operation of its
    /// own runs, because the answer could show half of a change.
    Neighbourhood {
        /// The node before the answering node; none if it knows none.
        predecessor: Option<NodeId>,
        /// The nodes after the answering node, nearest first; at most
        /// [`super::limits::NEIGHBOURS_MAX`].
        successors: Vec<NodeId>,
    },
    /// The sender believes that it is the receiver's predecessor. Answered by `Noted`, or by
    /// `Refused(NotReady)` from a node that has not joined or counts the sender as dead.
    Notify,
    /// The notice has arrived. The receiver may still keep the predecessor that it knows.
    Noted,
    /// Asks which nodes keep a song. Answered by `Found`, `Closer` or `Refused(NotReady)`.
    Find {
        /// The song; it need not exist.
        song: SongId,
        /// The node closest before the song among those that have answered the sender; none unless
        /// the song lies between that node and the receiver. A receiver whose predecessor is dead
        /// takes its share to begin after this node.
        before: Option<NodeId>,
    },
    /// The answering node is responsible for the song. It computes the owners from the data nodes
    /// that it knows.
    Found {
        /// Nearest first; at most [`super::limits::COPIES`].
        owners: Vec<NodeId>,
    },
    /// The answering node is not responsible for the song. These nodes are closer to it.
    Closer {
        /// The most promising first; at most [`super::limits::NEIGHBOURS_MAX`].
        nodes: Vec<NodeId>,
    },
}
