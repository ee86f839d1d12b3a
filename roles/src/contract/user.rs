//! Between a user's front (command line, web player, load generator) and the client, and what
//! any node tells whoever runs it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::id::{OperationId, SongId, SongPrefix, SourceId};
use super::job::JobFault;
use super::message::{Cursor, Holder, Listed, Query, Refusal, Status};
use super::node::Lost;
use super::record::{Address, Record, Role};
use super::song::Manifest;

/// What a user can ask of a client. Each operation ends with exactly one final notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A page of the catalogue. Ends with [`Notice::Songs`].
    List {
        /// Its number.
        operation: OperationId,
        /// Which songs.
        query: Query,
    },
    /// The state of the cluster. Ends with [`Notice::Status`].
    Status {
        /// Its number.
        operation: OperationId,
    },
    /// What the DNS says of a group. Ends with [`Notice::Records`].
    Resolve {
        /// Its number.
        operation: OperationId,
        /// The group.
        role: Role,
    },
    /// Finds a song, in the cache or in the cluster. [`Notice::Opened`] says that it can be read;
    /// it stays open until [`Command::Close`] or a failure.
    Open {
        /// Its number.
        operation: OperationId,
        /// Its id or the beginning of it.
        song: SongPrefix,
    },
    /// Delivers fragments `first..end` of an open song, in order, as far as
    /// [`Command::Take`] allows; replaces an earlier range. [`Notice::ReadDone`] follows the last.
    Read {
        /// The open song.
        operation: OperationId,
        /// The first fragment.
        first: u32,
        /// The fragment after the last.
        end: u32,
    },
    /// Allows so many more fragments to be delivered.
    Take {
        /// The open song.
        operation: OperationId,
        /// How many.
        count: u32,
    },
    /// Ends an operation: nothing more is asked for on its behalf. No notice follows.
    Close {
        /// Its number.
        operation: OperationId,
    },
    /// Removes a song everywhere and for good. Ends with [`Notice::Removed`].
    Remove {
        /// Its number.
        operation: OperationId,
        /// Its id or the beginning of it.
        song: SongPrefix,
    },
    /// Adds a file. Ends with [`Notice::Uploaded`].
    Upload {
        /// Its number.
        operation: OperationId,
        /// Which file.
        source: SourceId,
    },
}

/// What a node tells its user.
#[derive(Clone, PartialEq, Eq)]
pub enum Notice {
    /// A line for the log.
    Fact {
        /// How much it matters.
        level: Level,
        /// The line: words, then fields.
        text: String,
    },
    /// The server has its role and is registered.
    Ready {
        /// Its own record.
        record: Record,
    },
    /// The node has said its goodbyes and may be dropped.
    Stopped,
    /// A page of the catalogue.
    Songs {
        /// Which operation.
        operation: OperationId,
        /// The page.
        songs: Vec<Listed>,
        /// How many songs the query finds in all.
        total: u64,
        /// Where the next page begins.
        next: Option<Cursor>,
    },
    /// The state of the cluster.
    Status {
        /// Which operation.
        operation: OperationId,
        /// As one router sees it.
        status: Status,
        /// That router.
        router: Address,
    },
    /// What the DNS says.
    Records {
        /// Which operation.
        operation: OperationId,
        /// Valid at this moment.
        records: Vec<Record>,
    },
    /// The song can be read.
    Opened {
        /// Which operation.
        operation: OperationId,
        /// What it is.
        manifest: Manifest,
        /// Who can give it; empty if only the cache is known to.
        holders: Vec<Holder>,
    },
    /// The next fragment of a read, checked.
    Fragment {
        /// Which operation.
        operation: OperationId,
        /// Which fragment.
        index: u32,
        /// Its bytes.
        bytes: Vec<u8>,
        /// Where it came from.
        origin: Origin,
    },
    /// Every fragment of the read has been delivered.
    ReadDone {
        /// Which operation.
        operation: OperationId,
    },
    /// A file has been read through and is about to be sent.
    Scanned {
        /// Which operation.
        operation: OperationId,
        /// What it is.
        manifest: Manifest,
    },
    /// So much of a file has arrived.
    Progress {
        /// Which operation.
        operation: OperationId,
        /// Bytes that have arrived.
        bytes: u64,
    },
    /// The song stands.
    Uploaded {
        /// Which operation.
        operation: OperationId,
        /// Which song.
        song: SongId,
        /// Durable copies known of.
        copies: u8,
        /// Whether the cluster had it already.
        known: bool,
    },
    /// The song is gone, and cannot be added again.
    Removed {
        /// Which operation.
        operation: OperationId,
        /// Which song.
        song: SongId,
        /// Data nodes that have noted it durably.
        copies: u8,
    },
    /// The operation ended without success.
    Failed {
        /// Which operation.
        operation: OperationId,
        /// Why.
        failure: Failure,
    },
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something of ours is broken.
    Error,
    /// Odd, but it works.
    Warn,
    /// A change a user would notice.
    Info,
    /// A decision.
    Debug,
}

/// Where a fragment came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From this machine's cache.
    Cache,
    /// From this data node.
    Node(Address),
}

/// Why an operation did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody of this role could be reached; the last thing seen is named.
    Unreachable {
        /// Whom it was about.
        role: Role,
        /// What happened last.
        last: Option<Lost>,
    },
    /// A key or cluster name that the cluster does not accept.
    KeyRefused,
    /// Everyone asked refused, the last one so.
    Refused(Refusal),
    /// No song begins with these digits.
    NotFound,
    /// Several do: at most five of them.
    Ambiguous(Vec<SongId>),
    /// The song is known, and no live node has it.
    NoCopy,
    /// No data node is there to keep the song.
    NoData,
    /// Something on this machine did not work.
    Local(JobFault),
    /// Too many operations at once.
    Busy,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unreachable { role, last: None } => {
                write!(f, "no {role} node is known")
            }
            Failure::Unreachable {
                role,
                last: Some(last),
            } => {
                write!(f, "no {role} node can be reached: {last}")
            }
            Failure::KeyRefused => {
                f.write_str("the cluster refused this key or cluster name (see --key-file)")
            }
            Failure::Refused(why) => why.fmt(f),
            Failure::NotFound => f.write_str("no such song"),
            Failure::Ambiguous(songs) => {
                f.write_str("several songs begin with these digits:")?;
                songs.iter().try_for_each(|song| write!(f, " {song}"))
            }
            Failure::NoCopy => f.write_str("no live node has a copy of it"),
            Failure::NoData => f.write_str("no data node is there to keep it"),
            Failure::Local(fault) => fault.fmt(f),
            Failure::Busy => f.write_str("too many operations at once"),
        }
    }
}

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Fact { level, text } => write!(f, "{level:?} {text}"),
            Notice::Ready { record } => write!(f, "Ready({} {})", record.role, record.address),
            Notice::Stopped => f.write_str("Stopped"),
            Notice::Songs {
                operation, songs, ..
            } => write!(f, "Songs({operation:?}, {})", songs.len()),
            Notice::Status { operation, .. } => write!(f, "Status({operation:?})"),
            Notice::Records { operation, records } => {
                write!(f, "Records({operation:?}, {})", records.len())
            }
            Notice::Opened {
                operation,
                manifest,
                ..
            } => write!(f, "Opened({operation:?}, {:?})", manifest.song.id),
            Notice::Fragment {
                operation,
                index,
                bytes,
                origin,
            } => write!(
                f,
                "Fragment({operation:?}, {index}, {}B, {origin:?})",
                bytes.len()
            ),
            Notice::ReadDone { operation } => write!(f, "ReadDone({operation:?})"),
            Notice::Scanned { operation, .. } => write!(f, "Scanned({operation:?})"),
            Notice::Progress { operation, bytes } => write!(f, "Progress({operation:?}, {bytes})"),
            Notice::Uploaded {
                operation,
                song,
                copies,
                known,
            } => write!(
                f,
                "Uploaded({operation:?}, {song:?}, {copies}, known: {known})"
            ),
            Notice::Removed {
                operation,
                song,
                copies,
            } => write!(f, "Removed({operation:?}, {song:?}, {copies})"),
            Notice::Failed { operation, failure } => {
                write!(f, "Failed({operation:?}, {failure:?})")
            }
        }
    }
}
