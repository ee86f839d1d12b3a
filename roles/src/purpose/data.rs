//! What a data node orders to answer questions and to look after its library.

use alloc::vec::Vec;

use crate::contract::id::{NodeId, SongId};
use crate::contract::message::Position;
use crate::contract::node::Asker;
use crate::data::digests::Chosen;

/// The purpose of a job.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// The library's overview, read at the start.
    Overview,
    Sweep,
    /// To read the further tags of songs.
    ReadTags,
    /// To see how much room is left.
    Room,
    /// An upload that found no room gives back what it has.
    Drop(SongId),
    /// An answer whose shape follows from the reply alone.
    Answer(Asker),
    /// The same, for a question about this song.
    Describe(Asker, SongId),
    /// Digests of these partitions; `true`: one for each partition, `false`: one for each group.
    Sums(Asker, Chosen, bool),
    /// A removal of these songs; `true`: another data node passes it on.
    Bury(Asker, Vec<SongId>, bool),
    Reclaim,
    /// A small job that shows whether the disk answers.
    Probe,
    Fetch(Stream),
    /// With its bytes; true: it is a copy.
    Offer(Asker, SongId, bool, u64),
    Give(Asker, SongId),
    /// With the nodes that shall get a copy, as they were written to disk with the song; `None` if
    /// it is a copy itself.
    Commit(Asker, SongId, Option<Vec<NodeId>>),
}

/// One client's fetch, and its position.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) asker: Asker,
    pub(crate) song: SongId,
    /// The fragment that is being read.
    pub(crate) at: Position,
    /// Fragments still to be read after `at`.
    pub(crate) left: u32,
    /// The last fragment read, held back until it is known whether another follows it.
    pub(crate) held: Option<(u32, Vec<u8>)>,
}

impl Purpose {
    /// The committed song that is read, if it is one.
    pub(super) fn song(&self) -> Option<SongId> {
        match self {
            Purpose::Describe(_, song) => Some(*song),
            Purpose::Fetch(stream) => Some(stream.song),
            Purpose::Overview
            | Purpose::Sweep
            | Purpose::ReadTags
            | Purpose::Room
            | Purpose::Drop(_)
            | Purpose::Answer(_)
            | Purpose::Sums(..)
            | Purpose::Bury(..)
            | Purpose::Reclaim
            | Purpose::Probe
            | Purpose::Offer(..)
            | Purpose::Give(..)
            | Purpose::Commit(..) => None,
        }
    }
}
