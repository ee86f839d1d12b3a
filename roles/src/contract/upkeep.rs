//! The messages of anti-entropy (digests, and lists of songs), of removals, of the trash and of the
//! documents of listeners.

use alloc::vec::Vec;

use bincode::{Decode, Encode};

use super::document::{Document, Play};
use super::id::SongId;
use super::trash::{Fate, Mark};

/// Partitions in one group of digests: one for each bit of a word.
pub const GROUP: usize = 64;

/// Groups: 4096 partitions in all.
pub const GROUPS: usize = 64;

/// Between data nodes, and from a client that removes a song.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Upkeep {
    /// Asks for the receiver's digests of these partitions. Answered by `Summed`, or by
    /// `Refused(NotReady)` while sender and receiver know different data nodes.
    Sums {
        /// A digest of the data nodes that the sender knows.
        view: u64,
        /// The chosen partitions: [`GROUPS`] words with a bit for each partition.
        chosen: Vec<u64>,
        /// Whether to send one digest for each chosen partition, in place of one for each group.
        each: bool,
    },
    /// The digests asked for, in the order of the groups or of the chosen partitions.
    Summed {
        /// Zero for a group or partition that is empty.
        sums: Vec<u64>,
    },
    /// Asks which songs of a partition the receiver holds. Answered by `Held`, or by
    /// `Refused(NotReady)`.
    Holdings {
        /// A digest of the data nodes that the sender knows.
        view: u64,
        /// The partition's number.
        partition: u16,
        /// The page begins after this id.
        after: Option<SongId>,
    },
    /// One page of the songs and tombstones of a partition.
    Held {
        /// Committed songs, by id; at most [`super::limits::PAGE_IDS_MAX`] together with `gone`.
        songs: Vec<SongId>,
        /// Songs removed for good, by id.
        gone: Vec<SongId>,
        /// The next page begins after this id; none at the end.
        next: Option<SongId>,
    },
    /// Asks the receiver to remove songs. From a data node (`copy`): for good. From a client: into
    /// the trash, or for good if the receiver keeps none; clients of earlier versions know no other
    /// removal. Answered by `Buried`.
    Bury {
        /// At most [`super::limits::REMOVALS_MAX`].
        songs: Vec<SongId>,
        /// Whether another data node passes the removal on. Its receiver then passes it to nobody.
        copy: bool,
    },
    /// The tombstones of the songs are durable, or their marks if the songs went into the trash.
    Buried {
        /// Data nodes known to have stored them durably, the answering node included.
        copies: u8,
    },
    /// Between data nodes: the sender's marks. The receiver keeps those that outrank its own.
    /// Answered by `Noted`. A mark of version 0 asks what the receiver knows of the song.
    Note {
        /// At most [`super::limits::MARKS_MAX`].
        marks: Vec<Mark>,
    },
    /// The marks that outrank those of the sender are durable.
    Noted {
        /// The receiver's own marks that outrank those that came.
        newer: Vec<Mark>,
        /// Those of the songs that are removed for good here.
        gone: Vec<SongId>,
    },
    /// Between data nodes: a digest of all marks of the sender. Answered by `Alike`.
    CompareMarks {
        /// The wrapping sum of [`Mark::digest`].
        digest: u64,
    },
    /// Whether the receiver has the same marks, barring a collision.
    Alike {
        /// It has.
        alike: bool,
    },
    /// From a client: what is to become of a song. Answered by `Changed`, or by `Buried` if the song
    /// was removed for good.
    Change {
        /// The song's whole id.
        song: SongId,
        /// What is to become of it.
        to: Fate,
        /// The version of the mark by which a router has it in the trash; 0 if the client has asked
        /// none. The change follows this version even if no data node has the mark any more.
        seen: u64,
    },
    /// The song stands as the asker wanted, durably.
    Changed {
        /// Data nodes known to have stored the mark durably, the answering node included.
        copies: u8,
    },
    /// From a client: documents that it has written, and songs that were heard. All are kept or none.
    /// Answered by `Written` or `Late`. Twice has the same effect as once. Only sent to data nodes with
    /// [`Features::DOCUMENTS`](super::record::Features::DOCUMENTS), as all that follows.
    Write {
        /// At most [`super::limits::DOCUMENTS_AT_ONCE_MAX`] together with `plays`.
        documents: Vec<Document>,
        /// Plays to be counted.
        plays: Vec<Play>,
    },
    /// The documents are durable, and the routers that keep up know them.
    Written {
        /// Data nodes known to have stored them durably, the answering node included.
        copies: u8,
    },
    /// A document here is later than the one written: nothing is kept. The writer takes a later clock,
    /// and writes again.
    Late {
        /// The clock of the latest such document.
        clock: u64,
    },
    /// Between data nodes: documents of the sender. The receiver keeps those that outrank its own.
    /// Answered by `DocumentsNoted`.
    NoteDocuments {
        /// At most [`super::limits::DOCUMENTS_AT_ONCE_MAX`].
        documents: Vec<Document>,
    },
    /// The documents that outrank those of the receiver are durable.
    DocumentsNoted {
        /// So many are not kept, because their clocks are ahead of the receiver's.
        ahead: u32,
    },
    /// Between data nodes: digests of all documents of the sender. Answered by `Differ`.
    CompareDocuments {
        /// For each bucket the wrapping sum of [`Document::digest`];
        /// [`super::limits::DOCUMENTS_BUCKETS`] of them.
        sums: Vec<u64>,
    },
    /// Where the receiver has other documents.
    Differ {
        /// Numbers of buckets, in order.
        buckets: Vec<u16>,
    },
}
