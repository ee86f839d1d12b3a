//! The words of the Chord circle: who stands beside you, and who keeps this song.
//!
//! Nodes are named by their ids alone: where they listen, and whether they live, everybody reads
//! off the member table of the ring.

use alloc::vec::Vec;

use bincode::{Decode, Encode};

use super::id::{NodeId, SongId};

/// Between data nodes, and from routers that look a song up.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Chord {
    /// Who stands beside you? Answered by `Neighbourhood`, or `Refused(NotReady)` by a node that
    /// is not on the circle yet.
    Neighbours {
        /// The receiver, as the sender knows it: nobody answers for another.
        of: NodeId,
    },
    /// The receiver's neighbours. Held back while it is changing them itself.
    Neighbourhood {
        /// The one before it, if it has heard of one.
        predecessor: Option<NodeId>,
        /// The next ones, nearest first; at most [`super::limits::NEIGHBOURS_MAX`].
        successors: Vec<NodeId>,
    },
    /// I believe that I stand before you. Answered by `Noted`.
    Notify,
    /// It is weighed against whom the receiver knows.
    Noted,
    /// Who keeps this song? Answered by `Found` or `Closer`.
    Find {
        /// The song, known or not.
        song: SongId,
        /// Of the nodes that have answered, the one closest before the song, if the song lies
        /// between it and the receiver: a receiver whose predecessor is dead goes by it.
        before: Option<NodeId>,
    },
    /// The sender is responsible for it, and these shall keep it: as it sees the data nodes.
    Found {
        /// Nearest first; at most [`super::limits::COPIES`].
        owners: Vec<NodeId>,
    },
    /// Not the sender; these are closer.
    Closer {
        /// The most promising first; at most [`super::limits::NEIGHBOURS_MAX`].
        nodes: Vec<NodeId>,
    },
}
