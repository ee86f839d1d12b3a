//! Everything that may block: what the handler pool is asked to do, and what comes back.
//!
//! Jobs of a data node go to its library, jobs of a client to its cache and its import. A host
//! runs jobs of one [`Lane`] in order on one thread each; it answers [`JobReply::Failed`] with
//! [`JobFault::Busy`] at once when the lane's queue is full.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::id::{ContentHash, NodeId, SongId, SongPrefix, SourceId};
use super::member::Member;
use super::message::{Change, Digest, Position, StoreId};
use super::record::{Record, Role};
use super::song::{Manifest, Song};

/// Work for the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// What the library holds as a whole. Answered by [`JobReply::Overview`].
    Overview,
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
    /// song is committed already.
    BeginUpload {
        /// Checked already.
        manifest: Manifest,
    },
    /// Keeps a fragment of a begun upload, if its hash is right. Answered by [`JobReply::Kept`].
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
    /// Forgets uploads that nobody has touched for so long. Answered by [`JobReply::Done`].
    SweepUploads {
        /// Seconds.
        untouched_s: u64,
    },
    /// The copies still to be made, oldest first. Answered by [`JobReply::CopiesDue`].
    CopiesDue {
        /// At most this many.
        limit: u32,
    },
    /// A copy has been confirmed by its new holder. Answered by [`JobReply::Done`].
    CopyDone {
        /// Which song.
        song: SongId,
        /// Who has it.
        node: NodeId,
    },

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
    /// The ring as it was in an earlier run. Answered by [`JobReply::Members`].
    RecallMembers,
    /// Keeps the ring for a later run. Answered by [`JobReply::Done`].
    RememberMembers {
        /// The living, at most [`super::limits::MEMBERS_MAX`].
        members: Vec<Member>,
        /// What this node does at present.
        role: Role,
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

/// What came of a job.
#[derive(Clone, PartialEq, Eq)]
pub enum JobReply {
    /// Done; nothing to say.
    Done,
    /// The library as a whole.
    Overview(Overview),
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
    Kept,
    /// The song is committed and durable.
    Stored {
        /// The library after it.
        overview: Overview,
    },
    /// Copies still to be made.
    CopiesDue {
        /// Song and future holder.
        due: Vec<(SongId, NodeId)>,
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

impl Job {
    /// Where the job waits.
    pub fn lane(&self) -> Lane {
        match self {
            Job::Overview
            | Job::Songs { .. }
            | Job::Changes { .. }
            | Job::Describe { .. }
            | Job::ReadFragment { .. }
            | Job::CopiesDue { .. }
            | Job::CachedManifest { .. }
            | Job::CachedFragment { .. }
            | Job::RecallPeers
            | Job::Scan { .. }
            | Job::ReadSource { .. } => Lane::Read,
            Job::BeginUpload { .. }
            | Job::KeepFragment { .. }
            | Job::CommitUpload { .. }
            | Job::SweepUploads { .. }
            | Job::CopyDone { .. }
            | Job::CacheManifest { .. }
            | Job::CacheFragment { .. }
            | Job::RememberPeers { .. }
            // Few and small, and a node without a library has but one thread.
            | Job::RecallMembers
            | Job::RememberMembers { .. } => Lane::Write,
        }
    }
}

impl fmt::Debug for JobReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobReply::Done => f.write_str("Done"),
            JobReply::Overview(o) => write!(f, "Overview({o:?})"),
            JobReply::Songs { songs, more } => write!(f, "Songs({}, more: {more})", songs.len()),
            JobReply::Changes { changes, revision } => {
                write!(f, "Changes({}, revision: {revision})", changes.len())
            }
            JobReply::Described { manifest } => write!(f, "Described({:?})", manifest.song.id),
            JobReply::Fragment { index, bytes } => write!(f, "Fragment({index}, {}B)", bytes.len()),
            JobReply::Missing { ranges } => write!(f, "Missing({ranges:?})"),
            JobReply::Kept => f.write_str("Kept"),
            JobReply::Stored { overview } => write!(f, "Stored(revision: {})", overview.revision),
            JobReply::CopiesDue { due } => write!(f, "CopiesDue({due:?})"),
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
            JobFault::Invalid(why) | JobFault::Broken(why) => f.write_str(why),
            JobFault::DiskFull => f.write_str("disk full"),
            JobFault::Abandoned => f.write_str("nobody waits for it any longer"),
        }
    }
}
