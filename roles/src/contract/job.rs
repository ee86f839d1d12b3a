//! Everything that may block: what the handler pool is asked to do, and what comes back.
//!
//! Each family of jobs has its own type, and so its own worker: a data node's library, a client's
//! cache and its import, a server's memory of its ring. A host runs jobs of one [`Lane`] in order on
//! one thread each; it answers [`JobReply::Failed`] with
//! [`JobFault::Busy`] at once when the lane's queue is full.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::id::{ContentHash, NodeId, SongId, SongPrefix, SourceId};
use super::member::Member;
use super::message::{Change, Digest, Position, StoreId};
use super::partition::Partition;
use super::record::{Record, Role};
use super::song::{Manifest, Song};

/// Work for the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// For the library of a data node.
    Library(LibraryJob),
    /// For the cache, the import and the memory of a client.
    Client(ClientJob),
    /// For the memory of a server.
    Memory(MemoryJob),
}

/// Work for the library of a data node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LibraryJob {
    /// What the library holds as a whole. Answered by [`JobReply::Overview`].
    Overview,
    /// Whether the disk has room for so many bytes of songs. Answered by [`JobReply::Room`].
    Room {
        /// Bytes beside all that the uploads that have begun still have to bring.
        bytes: u64,
    },
    /// A page of songs by id. Answered by [`JobReply::Songs`].
    Songs {
        /// Begins after this id.
        after: Option<SongId>,
        /// At most this many.
        limit: u32,
    },
    /// The changes after a revision. Answered by [`JobReply::Changes`].
    Changes {
        /// Begins after this revision.
        since: u64,
        /// At most this many.
        limit: u32,
    },
    /// The manifest of a committed song. Answered by [`JobReply::Described`].
    Describe {
        /// Which song.
        song: SongId,
    },
    /// One fragment of a committed song. Answered by [`JobReply::Fragment`].
    ReadFragment {
        /// Which song.
        song: SongId,
        /// Which fragment.
        at: Position,
    },
    /// Makes room for a song. Answered by [`JobReply::Missing`], or [`JobReply::Stored`] if the
    /// song is committed already; if fragments of it are set aside, those are missing. A song that
    /// does not fit beside the uploads that have begun is answered by [`JobFault::DiskFull`].
    BeginUpload {
        /// Checked already.
        manifest: Manifest,
    },
    /// Keeps a fragment of a begun upload, if its hash is right. Answered by [`JobReply::FragmentStored`].
    KeepFragment {
        /// Which song.
        song: SongId,
        /// Which fragment.
        index: u32,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Makes a complete upload visible and durable, in one transaction with the note of who is
    /// still to get a copy. Answered by [`JobReply::Stored`], or [`JobReply::Missing`] if a
    /// fragment is not there.
    CommitUpload {
        /// Which song.
        song: SongId,
        /// Nodes that shall get a copy.
        copies_due: Vec<NodeId>,
    },
    /// Forgets an upload that has not been committed, and begins to free its room. A committed song
    /// stays. Answered by [`JobReply::Reclaimed`].
    DropUpload {
        /// Which song.
        song: SongId,
    },
    /// Forgets uploads that nobody has touched for so long. Answered by [`JobReply::Done`].
    SweepUploads {
        /// Seconds.
        untouched_s: u64,
    },
    /// The copies still to be made, by song and future holder. Answered by
    /// [`JobReply::CopiesDue`].
    CopiesDue {
        /// The page begins after this copy: those nobody can make hide no others.
        after: Option<(SongId, NodeId)>,
        /// At most this many, and at most [`super::limits::PAGE_IDS_MAX`].
        limit: u32,
    },
    /// A copy has been confirmed by its new holder. Answered by [`JobReply::Done`].
    CopyDone {
        /// Which song.
        song: SongId,
        /// Who has it.
        node: NodeId,
    },
    /// This node is to get no copies any longer. Answered by [`JobReply::Done`].
    ForgetCopiesDue {
        /// Who has gone for good.
        node: NodeId,
    },

    /// Removes songs for good, here or not: their tombstones keep them from being uploaded ever
    /// again. Durable. Answered by [`JobReply::Removed`].
    RemoveSongs {
        /// At most [`super::limits::REMOVALS_MAX`].
        songs: Vec<SongId>,
    },
    /// Lets go of songs that others keep: without tombstones, so that they may come back. Durable.
    /// Answered by [`JobReply::Removed`].
    DropSongs {
        /// At most [`super::limits::REMOVALS_MAX`].
        songs: Vec<SongId>,
        /// The library's revision when it was decided: a song committed later stays.
        until: u64,
    },
    /// Frees a little of the room that removed songs take. Answered by [`JobReply::Reclaimed`].
    Reclaim,
    /// What each partition holds, in a few numbers. Answered by [`JobReply::PartitionDigests`].
    PartitionDigests,
    /// A page of what a partition holds, by id. Answered by [`JobReply::PartitionSongs`].
    PartitionSongs {
        /// Which partition.
        partition: Partition,
        /// Begins after this id.
        after: Option<SongId>,
        /// At most this many, and at most [`super::limits::PAGE_IDS_MAX`].
        limit: u32,
    },

    /// Reads the next fragments and checks them; writes nothing. Answered by
    /// [`JobReply::Scrubbed`].
    Scrub {
        /// Begins after this fragment; none begins a round.
        after: Option<FragmentId>,
        /// Ends with the fragment that reaches so many bytes; at most
        /// [`super::limits::SCRUB_BYTES_MAX`].
        bytes: u64,
    },
    /// Remembers how far a scrub has come, for a later start: see [`Overview::scrub`]. Answered
    /// by [`JobReply::Done`].
    NoteScrub {
        /// The last fragment checked; none ends a round.
        after: Option<FragmentId>,
    },
    /// Sets a fragment aside if it is bad indeed: it is not served until it is replaced. Answered
    /// by [`JobReply::Done`].
    Quarantine {
        /// Which fragment.
        fragment: FragmentId,
    },
    /// A page of the fragments set aside, in order. Answered by [`JobReply::Quarantined`].
    Quarantined {
        /// Begins after this fragment.
        after: Option<FragmentId>,
        /// At most this many, and at most [`super::limits::PAGE_IDS_MAX`].
        limit: u32,
    },
    /// Puts good bytes in the place of a bad fragment. Answered by [`JobReply::FragmentStored`].
    ReplaceFragment {
        /// Which fragment of a committed song.
        fragment: FragmentId,
        /// Its bytes, with the hash that the manifest says.
        bytes: Vec<u8>,
    },
}

/// Work for the cache, the import and the memory of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientJob {
    /// A song's manifest from the cache. Answered by [`JobReply::Described`].
    CachedManifest {
        /// Which song.
        prefix: SongPrefix,
    },
    /// Keeps a manifest in the cache. Answered by [`JobReply::Done`].
    CacheManifest {
        /// As a holder described it.
        manifest: Manifest,
    },
    /// A fragment from the cache, if it is there and its hash is right. Answered by
    /// [`JobReply::Fragment`], or [`JobFault::NotFound`].
    CachedFragment {
        /// Which song.
        song: SongId,
        /// Which fragment.
        index: u32,
        /// How long it must be.
        length: u32,
        /// The hash it must have.
        hash: ContentHash,
    },
    /// Checks a fragment that has come and keeps it in the cache; gives the bytes back. Answered
    /// by [`JobReply::Fragment`], or [`JobFault::Damaged`].
    CacheFragment {
        /// Which song.
        song: SongId,
        /// Which fragment.
        index: u32,
        /// The hash it must have.
        hash: ContentHash,
        /// Whether it is kept, or only checked: a song larger than the cache is not kept.
        keep: bool,
        /// As they came.
        bytes: Vec<u8>,
    },
    /// The servers known from an earlier run. Answered by [`JobReply::Peers`].
    RecallPeers,
    /// Keeps the servers known for a later run. Answered by [`JobReply::Done`].
    RememberPeers {
        /// Router records.
        records: Vec<Record>,
    },
    /// Reads a file through: its hash, its tags, where to cut it. Answered by
    /// [`JobReply::Described`].
    Scan {
        /// Which file.
        source: SourceId,
    },
    /// A slice of a scanned file. Answered by [`JobReply::Fragment`].
    ReadSource {
        /// Which file.
        source: SourceId,
        /// Which fragment it is, to be given back.
        index: u32,
        /// Where it begins.
        offset: u64,
        /// How long it is.
        length: u32,
        /// The hash it had when the file was scanned.
        hash: ContentHash,
    },
}

/// Work for the memory of a server: it outlives a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryJob {
    /// The ring as it was in an earlier run. Answered by [`JobReply::Members`].
    RecallMembers,
    /// Keeps the ring for a later run. Answered by [`JobReply::Done`].
    RememberMembers {
        /// The living, at most [`super::limits::MEMBERS_MAX`].
        members: Vec<Member>,
        /// What this node does at present.
        role: Role,
    },
}

/// What came of a job.
#[derive(Clone, PartialEq, Eq)]
pub enum JobReply {
    /// Done; nothing to say.
    Done,
    /// The library as a whole.
    Overview(Overview),
    /// How it is with the disk.
    Room {
        /// So many bytes do not fit.
        full: bool,
    },
    /// A page of songs.
    Songs {
        /// By id.
        songs: Vec<Song>,
        /// Whether more follow.
        more: bool,
    },
    /// A page of changes.
    Changes {
        /// In the order they happened.
        changes: Vec<Change>,
        /// The revision after them.
        revision: u64,
    },
    /// A manifest.
    Described {
        /// The manifest.
        manifest: Manifest,
    },
    /// A fragment.
    Fragment {
        /// Which.
        index: u32,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// What an upload still lacks: half-open index ranges, in order.
    Missing {
        /// Empty if it is complete.
        ranges: Vec<(u32, u32)>,
    },
    /// The fragment is kept, not yet durable.
    FragmentStored,
    /// The song is committed and durable.
    Stored {
        /// The library after it.
        overview: Overview,
    },
    /// Copies still to be made.
    CopiesDue {
        /// Song and future holder, in order.
        due: Vec<(SongId, NodeId)>,
        /// Whether more follow.
        more: bool,
    },
    /// The songs are gone, and durably so.
    Removed {
        /// How many of them were here.
        count: u32,
        /// The library after it.
        overview: Overview,
    },
    /// Some room is free again.
    Reclaimed {
        /// Whether removed songs still take room.
        more: bool,
    },
    /// What each partition holds.
    PartitionDigests {
        /// Those that hold anything, in order.
        digests: Vec<PartitionDigest>,
    },
    /// A page of what a partition holds.
    PartitionSongs {
        /// The committed songs up to `next`, by id.
        songs: Vec<SongId>,
        /// The tombstones up to `next`, by id.
        tombstones: Vec<SongId>,
        /// The next page begins after this id; none at the end.
        next: Option<SongId>,
    },
    /// Fragments have been checked.
    Scrubbed(Scrubbed),
    /// A page of the fragments set aside.
    Quarantined {
        /// In order.
        fragments: Vec<FragmentId>,
        /// Whether more follow.
        more: bool,
    },
    /// Servers known from an earlier run.
    Peers {
        /// Router records.
        records: Vec<Record>,
    },
    /// The ring as it was.
    Members {
        /// Those that lived; empty at the first start.
        members: Vec<Member>,
        /// What this node did.
        role: Option<Role>,
    },
    /// It did not work.
    Failed(JobFault),
}

/// The library in a few numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The store's identity.
    pub store: StoreId,
    /// Its latest revision.
    pub revision: u64,
    /// Its songs.
    pub digest: Digest,
    /// Bytes of its songs.
    pub bytes: u64,
    /// The songs removed for good.
    pub tombstones: Digest,
    /// Fragments set aside.
    pub quarantined: u64,
    /// How far the scrub had come when it was last noted.
    pub scrub: ScrubNote,
}

/// How far a library has been checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubNote {
    /// Rounds through the whole library.
    pub rounds: u64,
    /// The last fragment checked in the present round; none at its beginning.
    pub after: Option<FragmentId>,
}

/// One fragment of one song; ordered as a scrub goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FragmentId {
    /// Which song.
    pub song: SongId,
    /// Which fragment.
    pub index: u32,
}

/// What came of a [`LibraryJob::Scrub`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// The last fragment checked: the next step begins after it. None: the round is complete.
    pub after: Option<FragmentId>,
    /// How many were checked.
    pub fragments: u32,
    /// How many bytes they have.
    pub bytes: u64,
    /// Those that are not what they should be, and are not set aside yet.
    pub bad: Vec<FragmentId>,
}

/// What a partition holds, in 50 bytes. Two nodes that agree in it hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionDigest {
    /// Which partition.
    pub partition: Partition,
    /// Its committed songs.
    pub songs: Digest,
    /// Its songs removed for good.
    pub tombstones: Digest,
}

/// Why a job did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobFault {
    /// The queue is full.
    Busy,
    /// Not there.
    NotFound,
    /// Several songs begin with these digits: at most five of them.
    Ambiguous(Vec<SongId>),
    /// The bytes do not have the hash they must have.
    Damaged,
    /// The fragment is known to be bad and waits for good bytes.
    Quarantined,
    /// The song has been removed for good.
    Removed,
    /// What was given cannot be kept; says why.
    Invalid(String),
    /// The disk is full.
    DiskFull,
    /// The disk, the file or the database failed; says what was attempted.
    Broken(String),
    /// The peer that was to get the answer is gone: the job was not begun.
    Abandoned,
}

/// The queue a job waits in. Reads of several songs run side by side; writes in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Reads.
    Read,
    /// Writes.
    Write,
}

/// A commit hashes a song of a size that the job does not tell.
const COMMIT_WEIGHT: usize = 256 << 10;

impl Job {
    /// Where the job waits.
    pub fn lane(&self) -> Lane {
        match self {
            Job::Library(job) => job.lane(),
            Job::Client(job) => job.lane(),
            // Few and small, and a node without a library has but one thread.
            Job::Memory(MemoryJob::RecallMembers | MemoryJob::RememberMembers { .. }) => {
                Lane::Write
            }
        }
    }

    /// About how many bytes it writes or hashes, see [`LibraryJob::weight`].
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
    /// About how many bytes it writes or hashes, for a worker that does several jobs in one go. What
    /// may free much room at once is too heavy for any company.
    pub fn weight(&self) -> usize {
        if let LibraryJob::KeepFragment { bytes, .. } | LibraryJob::ReplaceFragment { bytes, .. } =
            self
        {
            return bytes.len();
        }
        let frees_room = matches!(
            self,
            LibraryJob::Reclaim
                | LibraryJob::DropUpload { .. }
                | LibraryJob::SweepUploads { .. }
                | LibraryJob::RemoveSongs { .. }
                | LibraryJob::DropSongs { .. }
        );
        if frees_room {
            usize::MAX
        } else if matches!(self, LibraryJob::CommitUpload { .. }) {
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
            | LibraryJob::Describe { .. }
            | LibraryJob::ReadFragment { .. }
            | LibraryJob::CopiesDue { .. }
            | LibraryJob::PartitionDigests
            | LibraryJob::PartitionSongs { .. }
            | LibraryJob::Scrub { .. }
            | LibraryJob::Quarantined { .. } => Lane::Read,
            LibraryJob::BeginUpload { .. }
            | LibraryJob::KeepFragment { .. }
            | LibraryJob::CommitUpload { .. }
            | LibraryJob::DropUpload { .. }
            | LibraryJob::SweepUploads { .. }
            | LibraryJob::CopyDone { .. }
            | LibraryJob::ForgetCopiesDue { .. }
            | LibraryJob::RemoveSongs { .. }
            | LibraryJob::DropSongs { .. }
            | LibraryJob::Reclaim
            | LibraryJob::NoteScrub { .. }
            | LibraryJob::Quarantine { .. }
            | LibraryJob::ReplaceFragment { .. } => Lane::Write,
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
            JobReply::Described { manifest } => write!(f, "Described({:?})", manifest.song.id),
            JobReply::Fragment { index, bytes } => write!(f, "Fragment({index}, {}B)", bytes.len()),
            JobReply::Missing { ranges } => write!(f, "Missing({ranges:?})"),
            JobReply::FragmentStored => f.write_str("FragmentStored"),
            JobReply::Stored { overview } => write!(f, "Stored(revision: {})", overview.revision),
            JobReply::CopiesDue { due, more } => write!(f, "CopiesDue({due:?}, more: {more})"),
            JobReply::Removed { count, overview } => {
                write!(f, "Removed({count}, revision: {})", overview.revision)
            }
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
            JobReply::Quarantined { fragments, more } => {
                write!(f, "Quarantined({fragments:?}, more: {more})")
            }
            JobReply::Peers { records } => write!(f, "Peers({})", records.len()),
            JobReply::Members { members, role } => {
                write!(f, "Members({}, {role:?})", members.len())
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
            JobFault::Invalid(why) | JobFault::Broken(why) => f.write_str(why),
            JobFault::DiskFull => f.write_str("disk full"),
            JobFault::Abandoned => f.write_str("nobody waits for it any longer"),
        }
    }
}
