//! The words of data nodes that keep their copies in order: what do you have, what is gone.

use alloc::vec::Vec;

use bincode::{Decode, Encode};

use super::id::SongId;

/// Partitions in one group of sums: the bits of one word.
pub const GROUP: usize = 64;

/// Groups: 4096 partitions in all.
pub const GROUPS: usize = 64;

/// Between data nodes, and from a client that removes a song.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Upkeep {
    /// What do these partitions come to at yours? Answered by `Summed`, or `Refused(NotReady)`
    /// while the receiver sees other data nodes than the sender.
    Sums {
        /// The data nodes the sender sees.
        view: u64,
        /// [`GROUPS`] words, a bit for each partition.
        chosen: Vec<u64>,
        /// A sum for each chosen partition, instead of one for each group.
        each: bool,
    },
    /// In order: one for each group, or one for each chosen partition.
    Summed {
        /// Zero for what is empty.
        sums: Vec<u64>,
    },
    /// Which songs of this partition do you have? Answered by `Held`, or `Refused(NotReady)`.
    Holdings {
        /// The data nodes the sender sees.
        view: u64,
        /// Which partition.
        partition: u16,
        /// The page begins after this id.
        after: Option<SongId>,
    },
    /// A page of them.
    Held {
        /// Committed songs, by id; at most [`super::limits::PAGE_IDS_MAX`] with those that follow.
        songs: Vec<SongId>,
        /// Songs removed for good, by id.
        gone: Vec<SongId>,
        /// The next page begins after this id; none at the end.
        next: Option<SongId>,
    },
    /// Remove these songs for good. Answered by `Buried`.
    Bury {
        /// At most [`super::limits::REMOVALS_MAX`].
        songs: Vec<SongId>,
        /// Whether it is a copy of somebody else's removal, which its receiver tells nobody.
        copy: bool,
    },
    /// They are gone, and stay so.
    Buried {
        /// Data nodes known to have noted it durably, the sender included.
        copies: u8,
    },
}
