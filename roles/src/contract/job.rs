//! Jobs: the work that may block, and the replies to it.
//!
//! Each family of jobs has its own type and its own worker: a data node's library, a client's cache
//! and import, a server's memory of its ring. Jobs wait in the queue of their [`Lane`]. One thread
//! runs the writes in order; several threads may run the reads, in any order. When a queue is full,
//! the host answers [`JobReply::Failed`] with [`JobFault::Busy`] at once.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::document::{Document, Key, Play};
use super::id::{ContentHash, NodeId, SongId, SongPrefix, SourceId};
use super::member::Member;
use super::message::{Change, Digest, Position, StoreId};
use super::partition::Partition;
use super::record::{Address, Record, Role};
use super::song::{Manifest, Song};
use super::tags::MoreTags;
use super::trash::Mark;

/// A job for the handler pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// For the library of a data node.
    Library(LibraryJob),
    /// For the cache, the import and the remembered peers of a client.
    Client(ClientJob),
    /// For the remembered ring of a server.
    Memory(MemoryJob),
}

/// Work for the library of a data node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LibraryJob {
    /// Asks for the library's totals. Answered by [`JobReply::Overview`].
    Overview,
    /// Whether the disk has room for so many bytes of songs. Answered by [`JobReply::Room`].
    Room {
        /// Bytes beside all that the uploads that have begun still have to bring.
        bytes: u64,
    },
    /// A page of songs by id. Answered by [`JobReply::Songs`].
    Songs {
        /// The page begins after this id; none begins with the first.
        after: Option<SongId>,
        /// Songs on the page.
        limit: u32,
    },
    /// Reads a page of the changes after a revision. Answered by [`JobReply::Changes`].
    Changes {
        /// The page begins after this revision; 0 begins with the first change.
        since: u64,
        /// Changes on the page.
        limit: u32,
    },
    /// Reads the further tags of the next songs that lack them, from the fragments that are here, and
    /// stores them. Durable. Answered by [`JobReply::TagsRead`].
    ReadTags {
        /// Looks at the songs that were committed after this revision.
        after: u64,
    },
    /// Reads a page of the further tags that were stored after a revision of the tags. Answered by
    /// [`JobReply::Tags`].
    TagChanges {
        /// The page begins after this revision of the tags.
        since: u64,
        /// Songs on the page.
        limit: u32,
    },
    /// Reads the manifest of a committed song. Answered by [`JobReply::Described`].
    Describe {
        /// The song's whole id.
        song: SongId,
    },
    /// Reads one fragment of a committed song. Answered by [`JobReply::Fragment`].
    ReadFragment {
        /// The song's whole id.
        song: SongId,
        /// The fragment's index, or a moment that it plays.
        at: Position,
    },
    /// Reads the groups of a fragment of a committed song in which a part of it lies. Answered by
    /// [`JobReply::Part`].
    ReadPart {
        /// The fragment.
        fragment: FragmentId,
        /// The offsets of the part's first byte and of the one after its last.
        part: (u32, u32),
    },
    /// Reserves room for a song. Answered by [`JobReply::Missing`], or by [`JobReply::Stored`] if
    /// the song is committed already. Quarantined fragments of a committed song count as missing.
    /// When the song does not fit beside the uploads that have begun, the answer is
    /// [`JobFault::DiskFull`].
    BeginUpload {
        /// The song's manifest, which has passed [`Manifest::check`].
        manifest: Manifest,
    },
    /// Stores a fragment of an upload that has begun, if its hash is right. Answered by
    /// [`JobReply::FragmentStored`].
    KeepFragment {
        /// The uploaded song.
        song: SongId,
        /// The fragment's index in the manifest, from 0.
        index: u32,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Makes a complete upload visible and durable. The same transaction records the nodes that
    /// must still get a copy. Answered by [`JobReply::Stored`], or by [`JobReply::Missing`] if a
    /// fragment is missing.
    CommitUpload {
        /// The uploaded song.
        song: SongId,
        /// The nodes that must still get a copy.
        copies_due: Vec<NodeId>,
    },
    /// Drops an upload that has not been committed, and begins to free its room. A committed song
    /// stays. Answered by [`JobReply::Reclaimed`].
    DropUpload {
        /// The uploaded song.
        song: SongId,
    },
    /// Drops the uploads that have not been touched for a time. Answered by [`JobReply::Done`].
    SweepUploads {
        /// That time in seconds.
        untouched_s: u64,
    },
    /// Reads a page of the copies still to be made, ordered by song and future holder. Answered by
    /// [`JobReply::CopiesDue`].
    CopiesDue {
        /// The page begins after this copy, so that copies that cannot be made do not hide the
        /// others.
        after: Option<(SongId, NodeId)>,
        /// Copies on the page; at most [`super::limits::PAGE_IDS_MAX`].
        limit: u32,
    },
    /// Notes that a node has a copy, so the copy is no longer due. Answered by [`JobReply::Done`].
    CopyDone {
        /// The copied song.
        song: SongId,
        /// The node that has the copy.
        node: NodeId,
    },
    /// Drops every copy that is due to a node. Answered by [`JobReply::Done`].
    ForgetCopiesDue {
        /// The node that is to get no copies any longer.
        node: NodeId,
    },

    /// Keeps the marks that outrank those that are here. A song with a tombstone gets none. Durable.
    /// Answered by [`JobReply::Noted`].
    NoteMarks {
        /// At most [`super::limits::MARKS_MAX`]. A mark of version 0 changes nothing and asks for the
        /// mark that is here.
        marks: Vec<Mark>,
        /// Seconds for which the node has run since it last told, see [`LibraryJob::AgeTrash`].
        passed_s: u64,
    },
    /// Reads a page of all marks, by song. Answered by [`JobReply::Marks`].
    Marks {
        /// The page begins after this song; none begins with the first.
        after: Option<SongId>,
        /// Marks on the page; at most [`super::limits::MARKS_MAX`].
        limit: u32,
    },
    /// Asks for the digest of all marks. Answered by [`JobReply::MarksDigest`].
    MarksDigest,
    /// Counts time for the songs in the trash. Answered by [`JobReply::Due`].
    AgeTrash {
        /// Seconds for which the node has run since it last told.
        passed_s: u64,
        /// Most songs in the answer.
        limit: u32,
    },
    /// Removes a song for good if it is still in the trash with this mark, as
    /// [`LibraryJob::RemoveSongs`] does; otherwise the answer is [`JobFault::NotFound`]. Durable.
    /// Answered by [`JobReply::Removed`].
    EmptyTrash {
        /// The mark as it was when this was decided.
        mark: Mark,
    },
    /// Keeps the documents that outrank those that are here. Durable. Answered by
    /// [`JobReply::DocumentsNoted`].
    NoteDocuments {
        /// At most [`super::limits::DOCUMENTS_AT_ONCE_MAX`] together with `plays`, each without a
        /// [`Document::fault`].
        documents: Vec<Document>,
        /// Plays to be counted.
        plays: Vec<Play>,
        /// The data node to which a client has written: all is kept or nothing, and the bounds of the
        /// library hold. None: another data node sends what it has.
        by: Option<NodeId>,
    },
    /// Reads a page of the documents, deleted ones among them, by bucket and key. Answered by
    /// [`JobReply::Documents`].
    Documents {
        /// Only those of these buckets, in order.
        buckets: Vec<u16>,
        /// The page begins after this key; none begins with the first.
        after: Option<Key>,
        /// Documents on the page; at most [`super::limits::DOCUMENTS_AT_ONCE_MAX`].
        limit: u32,
    },
    /// Asks for the digests of all documents. Answered by [`JobReply::DocumentSums`].
    DocumentSums,
    /// Removes songs for good, also songs that are not here. Their tombstones prevent every later
    /// upload. Durable. Answered by [`JobReply::Removed`].
    RemoveSongs {
        /// At most [`super::limits::REMOVALS_MAX`].
        songs: Vec<SongId>,
    },
    /// Drops songs that other nodes hold. Leaves no tombstones, so the songs may return. Durable.
    /// Answered by [`JobReply::Removed`].
    DropSongs {
        /// At most [`super::limits::REMOVALS_MAX`].
        songs: Vec<SongId>,
        /// The library's revision when this was decided. A song committed later stays.
        until: u64,
    },
    /// Frees a part of the room that removed songs take. Answered by [`JobReply::Reclaimed`].
    Reclaim,
    /// What each partition holds, in a few numbers. Answered by [`JobReply::PartitionDigests`].
    PartitionDigests,
    /// Reads a page of the songs and tombstones of a partition, by id. Answered by
    /// [`JobReply::PartitionSongs`].
    PartitionSongs {
        /// The partition to read.
        partition: Partition,
        /// The page begins after this id; none begins with the first.
        after: Option<SongId>,
        /// Ids on the page; at most [`super::limits::PAGE_IDS_MAX`].
        limit: u32,
    },

    /// Reads the next fragments and checks them; writes nothing. Answered by
    /// [`JobReply::Scrubbed`].
    Scrub {
        /// Begins after this fragment; none begins a round.
        after: Option<FragmentId>,
        /// Bytes after which the step ends; at most [`super::limits::SCRUB_BYTES_MAX`]. The
        /// fragment that reaches them is still checked.
        bytes: u64,
    },
    /// Notes how far a scrub has come, for a later start: see [`Overview::scrub`]. Answered by
    /// [`JobReply::Done`].
    NoteScrub {
        /// The last fragment checked; none ends a round.
        after: Option<FragmentId>,
    },
    /// Checks a fragment again and puts it into quarantine if it is bad: it is not served until it
    /// is replaced. Answered by [`JobReply::Done`].
    Quarantine {
        /// The suspected fragment.
        fragment: FragmentId,
    },
    /// Reads a page of the fragments in quarantine, in order. Answered by
    /// [`JobReply::Quarantined`].
    Quarantined {
        /// The page begins after this fragment; none begins with the first.
        after: Option<FragmentId>,
        /// Fragments on the page; at most [`super::limits::PAGE_IDS_MAX`].
        limit: u32,
    },
    /// Replaces a bad fragment by good bytes. Answered by [`JobReply::FragmentStored`].
    ReplaceFragment {
        /// A fragment of a committed song.
        fragment: FragmentId,
        /// The fragment's bytes; their hash must be the one in the manifest.
        bytes: Vec<u8>,
    },

    /// Looks at the tables of the next songs, not at their sound; writes nothing. The step that ends
    /// the pass also checks what all songs add up to. Answered by [`JobReply::Inspected`].
    Inspect {
        /// Begins after this song; none begins a pass.
        after: Option<SongId>,
        /// Songs to look at; at most [`super::limits::INSPECT_SONGS_MAX`].
        limit: u32,
    },
    /// Puts right what an inspection has found. Each song is looked at again, and withdrawn if its
    /// tables do not say what was stored: it leaves the list, and what is left of it stays on the
    /// disk until a good copy has come. Durable. Answered by [`JobReply::Removed`].
    Mend {
        /// At most [`super::limits::INSPECT_SONGS_MAX`].
        songs: Vec<SongId>,
        /// Whether to count anew what all songs add up to.
        totals: bool,
    },
    /// Seals songs of a library without seals, each by what other data nodes say of it. A song that
    /// one of them describes alike, or that no other one has, is sealed. A song that two others
    /// describe otherwise is withdrawn. One that a single other describes otherwise stays without a
    /// seal. Durable. Answered by [`JobReply::Removed`].
    Seal {
        /// At most [`super::limits::SEALED_MAX`].
        songs: Vec<Witnessed>,
    },
    /// Takes a withdrawn song that nobody has brought back into the list again, if its sound proves it:
    /// only its tags may be wrong then. One song at a time. Durable. Answered by
    /// [`JobReply::Stored`].
    Restore {
        /// The song was withdrawn at least so many seconds ago.
        untouched_s: u64,
    },
    /// Sets a library that cannot be mended aside and begins an empty one. Durable. Answered by
    /// [`JobReply::Overview`].
    Rebuild {
        /// The identity of the new library.
        store: StoreId,
    },
    /// Takes the next songs out of the library that was set aside, as far as they can be read.
    /// Answered by [`JobReply::Salvaged`].
    Salvage,
}

/// Work for the cache, the import and the remembered peers of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientJob {
    /// Reads a song's manifest from the cache. Answered by [`JobReply::Described`].
    CachedManifest {
        /// The song's id, or its leading digits.
        prefix: SongPrefix,
    },
    /// Stores a manifest in the cache. Answered by [`JobReply::Done`].
    CacheManifest {
        /// The manifest as a holder described it.
        manifest: Manifest,
    },
    /// Reads a part of a fragment from the cache, if it is there and proves to be of the fragment with
    /// this hash. Answered by [`JobReply::Fragment`] with the bytes of the part alone, or by
    /// [`JobFault::NotFound`].
    CachedFragment {
        /// The song's whole id.
        song: SongId,
        /// The fragment's index in the manifest, from 0.
        index: u32,
        /// The offsets of the part's first byte and of the one after its last.
        part: (u32, u32),
        /// The bytes that it must have.
        length: u32,
        /// The hash it must have.
        hash: ContentHash,
    },
    /// Checks a received fragment, stores it in the cache and returns its bytes. Answered by
    /// [`JobReply::Fragment`], or by [`JobFault::Damaged`].
    CacheFragment {
        /// The song's whole id.
        song: SongId,
        /// The fragment's index in the manifest, from 0.
        index: u32,
        /// The hash it must have.
        hash: ContentHash,
        /// Whether to store the fragment; false for a song larger than the cache, which is only
        /// checked.
        keep: bool,
        /// The bytes as received.
        bytes: Vec<u8>,
    },
    /// Checks the groups of a fragment in which a part of it lies, stores them in the cache and returns
    /// the bytes of the part alone. Answered by [`JobReply::Fragment`], or by [`JobFault::Damaged`].
    CachePart {
        /// The song's whole id.
        song: SongId,
        /// The fragment's index in the manifest, from 0.
        index: u32,
        /// The offsets of the part's first byte and of the one after its last.
        part: (u32, u32),
        /// The bytes that the fragment must have.
        length: u32,
        /// The hash that the fragment must have.
        hash: ContentHash,
        /// Whether to store the groups.
        keep: bool,
        /// The chaining values of all groups, as received.
        values: Vec<u8>,
        /// The bytes of the groups, as received.
        bytes: Vec<u8>,
    },
    /// Reads the peers that an earlier run has stored. Answered by [`JobReply::Peers`].
    RecallPeers,
    /// Stores the known peers for a later run. Answered by [`JobReply::Done`].
    RememberPeers {
        /// Records of routers.
        records: Vec<Record>,
    },
    /// Reads a whole file for its hash, its tags and its fragments. Answered by
    /// [`JobReply::Described`].
    Scan {
        /// The file to be added.
        source: SourceId,
    },
    /// Reads one fragment of a scanned file. Answered by [`JobReply::Fragment`].
    ReadSource {
        /// The scanned file.
        source: SourceId,
        /// The fragment's index, which the reply repeats.
        index: u32,
        /// Where the fragment begins, in bytes from the file's start.
        offset: u64,
        /// The fragment's bytes.
        length: u32,
        /// The hash that the bytes had in the scan.
        hash: ContentHash,
    },
}

/// Work for what a server remembers of the others beyond a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryJob {
    /// Reads the ring that an earlier run has stored. Answered by [`JobReply::Members`].
    RecallMembers,
    /// Stores the ring for a later run. Answered by [`JobReply::Done`].
    RememberMembers {
        /// The living members; at most [`super::limits::MEMBERS_MAX`].
        members: Vec<Member>,
        /// This node's role at present.
        role: Role,
        /// The DNS nodes that it knows; at most [`super::limits::DNS_NODES_MAX`].
        dns: Vec<Address>,
    },
}

/// The result of a job.
#[derive(Clone, PartialEq, Eq)]
pub enum JobReply {
    /// The job is done and has no result.
    Done,
    /// The library's totals.
    Overview(Overview),
    /// The room on the disk.
    Room {
        /// So many bytes do not fit.
        full: bool,
    },
    /// A page of songs.
    Songs {
        /// In the order of their ids.
        songs: Vec<Song>,
        /// Whether another page follows.
        more: bool,
    },
    /// A page of changes.
    Changes {
        /// In the order in which they happened.
        changes: Vec<Change>,
        /// The revision after the last of these changes.
        revision: u64,
    },
    /// The further tags of some songs have been read.
    TagsRead {
        /// The library.
        store: StoreId,
        /// All songs committed up to this revision have been looked at.
        after: u64,
        /// Whether more songs were committed after it.
        more: bool,
        /// Songs that were passed over, because a fragment or the tables are damaged.
        passed: u32,
        /// The latest revision of the tags.
        tags: u64,
    },
    /// A page of further tags.
    Tags {
        /// In the order in which they were stored.
        songs: Vec<(SongId, MoreTags)>,
        /// The revision of the tags after the last of them.
        revision: u64,
        /// All these songs were committed up to this revision.
        needs: u64,
        /// When each was added, in seconds since 1970; 0 if that is not known.
        added: Vec<u32>,
    },
    /// A manifest.
    Described {
        /// The manifest.
        manifest: Manifest,
    },
    /// A fragment.
    Fragment {
        /// The fragment's index in the manifest, from 0.
        index: u32,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// The groups in which a part of a fragment lies.
    Part {
        /// The fragment's index in the manifest, from 0.
        index: u32,
        /// The chaining values of all groups of the fragment.
        values: Vec<u8>,
        /// The bytes of the groups.
        bytes: Vec<u8>,
    },
    /// The fragments that an upload lacks.
    Missing {
        /// Half-open index ranges, in order; empty if the upload is complete.
        ranges: Vec<(u32, u32)>,
    },
    /// The fragment is stored, and not necessarily durable.
    FragmentStored,
    /// The song is committed and durable.
    Stored {
        /// The library's totals after the commit.
        overview: Overview,
    },
    /// A page of the copies still to be made.
    CopiesDue {
        /// Each song with its future holder, in order.
        due: Vec<(SongId, NodeId)>,
        /// Whether another page follows.
        more: bool,
    },
    /// The songs are removed, and the removal is durable.
    Removed {
        /// How many of the songs were here.
        count: u32,
        /// The library's totals after the removal.
        overview: Overview,
    },
    /// The marks that outrank those that were here are durable.
    Noted {
        /// The marks here that outrank those that came.
        newer: Vec<Mark>,
        /// Those of the songs that have a tombstone here.
        gone: Vec<SongId>,
        /// The library's totals afterwards.
        overview: Overview,
    },
    /// A page of marks.
    Marks {
        /// By song.
        marks: Vec<Mark>,
        /// The next page begins after this song; none at the end.
        next: Option<SongId>,
    },
    /// The digest of all marks.
    MarksDigest {
        /// The wrapping sum of [`Mark::digest`].
        digest: u64,
    },
    /// The documents that outrank those that were here are durable.
    DocumentsNoted {
        /// The clock of the latest document here that is later than the one that a client wrote: then
        /// nothing was kept.
        late: Option<u64>,
        /// What a client wrote, with the documents that count its plays; empty if another data node
        /// has sent what it has.
        written: Vec<Document>,
        /// The library's totals afterwards.
        overview: Overview,
    },
    /// A page of documents.
    Documents {
        /// By bucket and key.
        documents: Vec<Document>,
        /// The next page begins after this key; none at the end.
        next: Option<Key>,
    },
    /// The digests of all documents.
    DocumentSums {
        /// For each bucket the wrapping sum of [`Document::digest`].
        sums: Vec<u64>,
    },
    /// The songs whose time in the trash is over, the longest first.
    Due {
        /// At most as many as were asked for.
        due: Vec<Due>,
    },
    /// Some room has been freed.
    Reclaimed {
        /// Whether removed songs still take room.
        more: bool,
    },
    /// What each partition holds.
    PartitionDigests {
        /// The partitions that hold a song or a tombstone, in order.
        digests: Vec<PartitionDigest>,
    },
    /// A page of the songs and tombstones of a partition.
    PartitionSongs {
        /// The committed songs up to `next`, by id.
        songs: Vec<SongId>,
        /// The tombstones up to `next`, by id.
        tombstones: Vec<SongId>,
        /// The next page begins after this id; none at the end.
        next: Option<SongId>,
    },
    /// A step of a scrub has ended.
    Scrubbed(Scrubbed),
    /// A step of an inspection has ended.
    Inspected(Inspected),
    /// A part of the library that was set aside has been taken over.
    Salvaged {
        /// Whether more is to be had of it.
        more: bool,
        /// The library's totals afterwards.
        overview: Overview,
    },
    /// A page of the fragments in quarantine.
    Quarantined {
        /// By song, then index.
        fragments: Vec<FragmentId>,
        /// Whether another page follows.
        more: bool,
    },
    /// The peers that an earlier run has stored.
    Peers {
        /// Records of routers.
        records: Vec<Record>,
    },
    /// The ring that an earlier run has stored.
    Members {
        /// The members that lived; empty at the first start.
        members: Vec<Member>,
        /// The role of this node in that run; none at the first start.
        role: Option<Role>,
        /// The DNS nodes that it knew in that run.
        dns: Vec<Address>,
    },
    /// The job has failed.
    Failed(JobFault),
}

/// The library's totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The store's identity.
    pub store: StoreId,
    /// Its latest revision.
    pub revision: u64,
    /// Digest of its committed songs.
    pub digest: Digest,
    /// Bytes of its committed songs.
    pub bytes: u64,
    /// Digest of the songs removed for good.
    pub tombstones: Digest,
    /// Fragments in quarantine.
    pub quarantined: u64,
    /// How far the scrub had come when this was last noted.
    pub scrub: ScrubNote,
    /// The latest revision of the further tags.
    pub tags: u64,
    /// Songs withdrawn by a [`LibraryJob::Mend`] that have not come back.
    pub withdrawn: u64,
    /// Whether a library that was set aside is still to be salvaged.
    pub salvaging: bool,
    /// Whether a mark says that a song is in the trash.
    pub trash: bool,
}

/// A song whose time in the trash is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The song's mark.
    pub mark: Mark,
    /// Twice its time is over.
    pub twice: bool,
}

/// How far a scrub of the library has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubNote {
    /// Completed rounds through the whole library.
    pub rounds: u64,
    /// The last fragment checked in the present round; none at its beginning.
    pub after: Option<FragmentId>,
}

/// One fragment of one song, in the order of a scrub: by song, then index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FragmentId {
    /// The song's whole id.
    pub song: SongId,
    /// The fragment's index in the manifest, from 0.
    pub index: u32,
}

/// The result of a [`LibraryJob::Scrub`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// The last fragment visited, after which the next step begins; none when the round is
    /// complete.
    pub after: Option<FragmentId>,
    /// Fragments checked; those in quarantine are skipped.
    pub fragments: u32,
    /// Bytes of the fragments checked.
    pub bytes: u64,
    /// The fragments whose bytes are missing or wrong, without those in quarantine already.
    pub bad: Vec<FragmentId>,
    /// The songs whose tables do not say what was stored: their fragments cannot be judged.
    pub altered: Vec<SongId>,
}

/// A song without a seal, and what other data nodes say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// The song.
    pub song: SongId,
    /// The manifests by which other data nodes describe it; none if no other one has it.
    pub manifests: Vec<Manifest>,
}

/// The result of a [`LibraryJob::Inspect`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// The last song looked at, after which the next step begins; none when the pass is complete.
    pub after: Option<SongId>,
    /// Songs looked at.
    pub songs: u32,
    /// The songs that a [`LibraryJob::Mend`] has to look at: their tables do not say what was
    /// stored.
    pub odd: Vec<SongId>,
    /// Songs without a seal whose rows lie side by side: their tables say something possible, which
    /// nothing proves. At most [`super::limits::SEALED_MAX`]; a later step finds the others.
    pub unsealed: Vec<SongId>,
    /// Fragments of the other songs that are not there at all.
    pub missing: Vec<FragmentId>,
    /// Totals, digests or indexes are not what the songs add up to. Known at the end of a pass.
    pub astray: bool,
}

/// The digests of one partition: 50 bytes of content. Nodes with equal digests hold the same songs
/// and tombstones, barring a collision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionDigest {
    /// The partition's number.
    pub partition: Partition,
    /// Digest of its committed songs.
    pub songs: Digest,
    /// Digest of its songs removed for good.
    pub tombstones: Digest,
}

/// Why a job has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobFault {
    /// The queue of the job's lane is full.
    Busy,
    /// The thing asked for is not there.
    NotFound,
    /// Several songs begin with these digits. Names at most five of them.
    Ambiguous(Vec<SongId>),
    /// The bytes do not have the required hash.
    Damaged,
    /// The fragment is in quarantine and waits for good bytes.
    Quarantined,
    /// The song has been removed for good.
    Removed,
    /// The data given to the job is not valid; the text gives the reason.
    Invalid(String),
    /// The disk is full.
    DiskFull,
    /// The disk, the file or the database has failed; the text says what was attempted.
    Broken(String),
    /// The tables of the library are damaged, or say what was never stored; the text says where.
    Corrupt(String),
    /// The peer that waits for the reply is gone, so the job was not begun.
    Abandoned,
}

/// The queue in which a job waits. Reads may run side by side; writes run in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Reads.
    Read,
    /// Writes.
    Write,
}

/// Assumed weight of a commit. A commit hashes the whole song, whose size the job does not tell.
const COMMIT_WEIGHT: usize = 256 << 10;

impl Job {
    /// The lane in which the job waits.
    pub fn lane(&self) -> Lane {
        match self {
            Job::Library(job) => job.lane(),
            Job::Client(job) => job.lane(),
            // These jobs are few and small, and a node without a library has only the writer
            // thread.
            Job::Memory(MemoryJob::RecallMembers | MemoryJob::RememberMembers { .. }) => {
                Lane::Write
            }
        }
    }

    /// About how many bytes the job writes or hashes, see [`LibraryJob::weight`].
    pub fn weight(&self) -> usize {
        match self {
            Job::Library(job) => job.weight(),
            Job::Client(_) | Job::Memory(_) => 0,
        }
    }
}

impl From<LibraryJob> for Job {
    fn from(job: LibraryJob) -> Job {
        Job::Library(job)
    }
}

impl From<ClientJob> for Job {
    fn from(job: ClientJob) -> Job {
        Job::Client(job)
    }
}

impl From<MemoryJob> for Job {
    fn from(job: MemoryJob) -> Job {
        Job::Memory(job)
    }
}

impl LibraryJob {
    /// About how many bytes the job writes or hashes. The writer thread runs several light jobs as
    /// one batch; a job that may free or move much at once has the largest weight and ends its batch.
    pub fn weight(&self) -> usize {
        if let LibraryJob::KeepFragment { bytes, .. } | LibraryJob::ReplaceFragment { bytes, .. } =
            self
        {
            return bytes.len();
        }
        if let LibraryJob::NoteDocuments { documents, .. } = self {
            return documents.iter().map(Document::weight).sum();
        }
        let moves_much = matches!(
            self,
            LibraryJob::Reclaim
                | LibraryJob::DropUpload { .. }
                | LibraryJob::SweepUploads { .. }
                | LibraryJob::RemoveSongs { .. }
                | LibraryJob::EmptyTrash { .. }
                | LibraryJob::DropSongs { .. }
                | LibraryJob::Mend { .. }
                | LibraryJob::Seal { .. }
                | LibraryJob::Restore { .. }
                | LibraryJob::Rebuild { .. }
                | LibraryJob::Salvage
        );
        if moves_much {
            usize::MAX
        } else if matches!(
            self,
            LibraryJob::CommitUpload { .. } | LibraryJob::ReadTags { .. }
        ) {
            COMMIT_WEIGHT
        } else {
            0
        }
    }

    fn lane(&self) -> Lane {
        match self {
            LibraryJob::Overview
            | LibraryJob::Room { .. }
            | LibraryJob::Songs { .. }
            | LibraryJob::Changes { .. }
            | LibraryJob::TagChanges { .. }
            | LibraryJob::Describe { .. }
            | LibraryJob::ReadFragment { .. }
            | LibraryJob::ReadPart { .. }
            | LibraryJob::CopiesDue { .. }
            | LibraryJob::PartitionDigests
            | LibraryJob::PartitionSongs { .. }
            | LibraryJob::Marks { .. }
            | LibraryJob::MarksDigest
            | LibraryJob::Documents { .. }
            | LibraryJob::DocumentSums
            | LibraryJob::Scrub { .. }
            | LibraryJob::Inspect { .. }
            | LibraryJob::Quarantined { .. } => Lane::Read,
            LibraryJob::BeginUpload { .. }
            | LibraryJob::KeepFragment { .. }
            | LibraryJob::CommitUpload { .. }
            | LibraryJob::DropUpload { .. }
            | LibraryJob::ReadTags { .. }
            | LibraryJob::SweepUploads { .. }
            | LibraryJob::CopyDone { .. }
            | LibraryJob::ForgetCopiesDue { .. }
            | LibraryJob::RemoveSongs { .. }
            | LibraryJob::NoteMarks { .. }
            | LibraryJob::NoteDocuments { .. }
            | LibraryJob::AgeTrash { .. }
            | LibraryJob::EmptyTrash { .. }
            | LibraryJob::DropSongs { .. }
            | LibraryJob::Reclaim
            | LibraryJob::NoteScrub { .. }
            | LibraryJob::Quarantine { .. }
            | LibraryJob::ReplaceFragment { .. }
            | LibraryJob::Mend { .. }
            | LibraryJob::Seal { .. }
            | LibraryJob::Restore { .. }
            | LibraryJob::Rebuild { .. }
            | LibraryJob::Salvage => Lane::Write,
        }
    }
}

impl ClientJob {
    fn lane(&self) -> Lane {
        match self {
            ClientJob::CachedManifest { .. }
            | ClientJob::CachedFragment { .. }
            | ClientJob::RecallPeers
            | ClientJob::Scan { .. }
            | ClientJob::ReadSource { .. } => Lane::Read,
            ClientJob::CacheManifest { .. }
            | ClientJob::CacheFragment { .. }
            | ClientJob::CachePart { .. }
            | ClientJob::RememberPeers { .. } => Lane::Write,
        }
    }
}

impl fmt::Debug for JobReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobReply::Done => f.write_str("Done"),
            JobReply::Overview(o) => write!(f, "Overview({o:?})"),
            JobReply::Room { full } => write!(f, "Room(full: {full})"),
            JobReply::Songs { songs, more } => write!(f, "Songs({}, more: {more})", songs.len()),
            JobReply::Changes { changes, revision } => {
                write!(f, "Changes({}, revision: {revision})", changes.len())
            }
            JobReply::TagsRead {
                after, more, tags, ..
            } => write!(f, "TagsRead(after: {after}, more: {more}, tags: {tags})"),
            JobReply::Tags {
                songs, revision, ..
            } => write!(f, "Tags({}, revision: {revision})", songs.len()),
            JobReply::Described { manifest } => write!(f, "Described({:?})", manifest.song.id),
            JobReply::Fragment { index, bytes } => write!(f, "Fragment({index}, {}B)", bytes.len()),
            JobReply::Part { index, bytes, .. } => write!(f, "Part({index}, {}B)", bytes.len()),
            JobReply::Missing { ranges } => write!(f, "Missing({ranges:?})"),
            JobReply::FragmentStored => f.write_str("FragmentStored"),
            JobReply::Stored { overview } => write!(f, "Stored(revision: {})", overview.revision),
            JobReply::CopiesDue { due, more } => write!(f, "CopiesDue({due:?}, more: {more})"),
            JobReply::Removed { count, overview } => {
                write!(f, "Removed({count}, revision: {})", overview.revision)
            }
            JobReply::Noted {
                newer,
                gone,
                overview,
            } => write!(
                f,
                "Noted({newer:?}, gone: {gone:?}, revision: {})",
                overview.revision
            ),
            JobReply::Marks { marks, next } => write!(f, "Marks({marks:?}, {next:?})"),
            JobReply::MarksDigest { digest } => write!(f, "MarksDigest({digest:x})"),
            JobReply::DocumentsNoted {
                late,
                written,
                overview,
            } => write!(
                f,
                "DocumentsNoted({}, late: {late:?}, revision: {})",
                written.len(),
                overview.revision
            ),
            JobReply::Documents { documents, next } => {
                write!(
                    f,
                    "Documents({}, more: {})",
                    documents.len(),
                    next.is_some()
                )
            }
            JobReply::DocumentSums { sums } => write!(f, "DocumentSums({})", sums.len()),
            JobReply::Due { due } => write!(f, "Due({due:?})"),
            JobReply::Reclaimed { more } => write!(f, "Reclaimed(more: {more})"),
            JobReply::PartitionDigests { digests } => {
                write!(f, "PartitionDigests({})", digests.len())
            }
            JobReply::PartitionSongs {
                songs,
                tombstones,
                next,
            } => write!(f, "PartitionSongs({songs:?}, {tombstones:?}, {next:?})"),
            JobReply::Scrubbed(scrubbed) => write!(f, "{scrubbed:?}"),
            JobReply::Inspected(inspected) => write!(f, "{inspected:?}"),
            JobReply::Salvaged { more, overview } => {
                write!(f, "Salvaged(more: {more}, revision: {})", overview.revision)
            }
            JobReply::Quarantined { fragments, more } => {
                write!(f, "Quarantined({fragments:?}, more: {more})")
            }
            JobReply::Peers { records } => write!(f, "Peers({})", records.len()),
            JobReply::Members { members, role, dns } => {
                write!(f, "Members({}, {role:?}, {})", members.len(), dns.len())
            }
            JobReply::Failed(fault) => write!(f, "Failed({fault:?})"),
        }
    }
}

impl fmt::Display for JobFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobFault::Busy => f.write_str("too much is waiting"),
            JobFault::NotFound => f.write_str("not found"),
            JobFault::Ambiguous(_) => f.write_str("several songs begin with these digits"),
            JobFault::Damaged => f.write_str("the bytes are damaged"),
            JobFault::Quarantined => f.write_str("the fragment is damaged and waits for another"),
            JobFault::Removed => f.write_str("the song has been removed for good"),
            JobFault::Invalid(why) | JobFault::Broken(why) | JobFault::Corrupt(why) => {
                f.write_str(why)
            }
            JobFault::DiskFull => f.write_str("disk full"),
            JobFault::Abandoned => f.write_str("nobody waits for it any longer"),
        }
    }
}
