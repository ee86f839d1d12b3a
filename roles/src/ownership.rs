//! Who owns which songs, as one server sees the data nodes.
//!
//! A server builds its [`Owners`] when the data nodes that take songs change. Uploads, comparison,
//! look-ups and routers all read these, so that they cannot disagree within one server. Servers
//! that see different data nodes do disagree for a moment: [`Owners::view`] tells two of them so.

use alloc::vec::Vec;

use crate::contract::id::{NodeId, SongId};
use crate::contract::limits::COPIES;
use crate::contract::partition::Partition;
use crate::hash_ring::{HashRing, mix};

/// The owners of every song: the first [`COPIES`] nodes clockwise of its partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    takers: Vec<(NodeId, u16)>,
    ring: HashRing,
}

impl Owners {
    /// The owners among these data nodes, each with its weight. They are those that take songs: a
    /// node that hands its songs over is not among them.
    pub fn of(takers: impl IntoIterator<Item = (NodeId, u16)>) -> Self {
        let takers: Vec<(NodeId, u16)> = takers.into_iter().collect();
        let ring = HashRing::of(takers.iter().copied());
        Owners { takers, ring }
    }

    /// The data nodes that take songs, each with its weight.
    pub fn takers(&self) -> &[(NodeId, u16)] {
        &self.takers
    }

    /// The owners of a song, nearest first; fewer than [`COPIES`] if there are fewer nodes.
    pub fn of_song(&self, song: SongId) -> Vec<NodeId> {
        self.of_partition(Partition::of(song))
    }

    /// The same for every song of a partition.
    pub fn of_partition(&self, partition: Partition) -> Vec<NodeId> {
        self.ring.owners(partition, COPIES)
    }

    /// All nodes in the order in which a song goes to them: its owners first.
    pub fn in_order(&self, song: SongId) -> Vec<NodeId> {
        self.ring.owners(Partition::of(song), self.takers.len())
    }

    /// The owners if these nodes took songs, too.
    pub fn with(&self, more: impl IntoIterator<Item = (NodeId, u16)>) -> Self {
        Owners::of(self.takers.iter().copied().chain(more))
    }

    /// The takers as a number. Two nodes compare it before they act on each other's word.
    pub fn view(&self) -> u64 {
        self.takers.iter().fold(0, |view, (node, weight)| {
            let id = node.0 as u64 ^ (node.0 >> 64) as u64;
            view ^ mix(id ^ mix(u64::from(*weight)))
        })
    }
}
