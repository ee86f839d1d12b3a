//! Between a user's front (command line, web player) and the client, and what
//! any node tells whoever runs it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::browse::{Browse, Browsed};
use super::document::{AccountId, Documents, Key, Reading};
use super::id::{OperationId, SongId, SongPrefix, SourceId};
use super::job::JobFault;
use super::lost::Lost;
use super::message::{Cursor, Holder, Listed, Query, Refusal, Status};
use super::record::{Address, Record, Role};
use super::song::Manifest;
use super::trash::{Fate, Trashed};

/// Every byte of a file, for [`Command::Read`].
pub const ALL_BYTES: (u64, u64) = (0, u64::MAX);

/// A command of a user to a client. An operation ends with one final notice, unless
/// [`Command::Close`] ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Asks for a page of the catalogue. Ends with [`Notice::Songs`].
    List {
        /// The operation's number.
        operation: OperationId,
        /// The search, the order and the place of the page.
        query: Query,
    },
    /// Asks for the state of the cluster. Ends with [`Notice::Status`].
    Status {
        /// The operation's number.
        operation: OperationId,
    },
    /// Asks the DNS for the servers of a role. Ends with [`Notice::Records`].
    Resolve {
        /// The operation's number.
        operation: OperationId,
        /// The role.
        role: Role,
    },
    /// Opens a song from the cache or the cluster. [`Notice::Opened`] says that the song can be
    /// read. The song stays open until [`Command::Close`] or a failure.
    Open {
        /// The operation's number.
        operation: OperationId,
        /// The song's id, or its leading digits.
        song: SongPrefix,
        /// Whether the holders are to be named even if the cache has the whole song. If no router
        /// or data node can be asked, the cache opens the song without holders.
        holders: bool,
    },
    /// Delivers fragments `first..end` of an open song, in order, as far as [`Command::Take`]
    /// allows. Replaces an earlier range. [`Notice::ReadDone`] follows the last fragment.
    Read {
        /// The operation that opened the song.
        operation: OperationId,
        /// The first fragment.
        first: u32,
        /// The index after the last fragment.
        end: u32,
        /// The offsets in the file of the first byte that is needed, and of the one after the last. A
        /// fragment that comes from the cache may come without its other bytes.
        bytes: (u64, u64),
    },
    /// Allows `count` more fragments to be delivered.
    Take {
        /// The operation that opened the song.
        operation: OperationId,
        /// Number of fragments, added to those allowed before.
        count: u32,
    },
    /// Ends an operation. The client sends no further requests for it, and no notice follows.
    Close {
        /// The operation's number.
        operation: OperationId,
    },
    /// Puts a song into the trash, takes it out, or removes it for good. Ends with
    /// [`Notice::Changed`], or with [`Notice::Removed`] if the song is removed for good.
    Change {
        /// The operation's number.
        operation: OperationId,
        /// The song's id, or its leading digits.
        song: SongPrefix,
        /// What is to become of it.
        to: Fate,
    },
    /// Asks for a page of the trash. Ends with [`Notice::Trash`].
    ListTrash {
        /// The operation's number.
        operation: OperationId,
        /// The page begins after this song; none begins with the first.
        after: Option<SongId>,
        /// Songs on the page, from 1 to [`super::limits::PAGE_SONGS_MAX`].
        limit: u32,
    },
    /// Adds a file to the cluster. Ends with [`Notice::Uploaded`].
    Upload {
        /// The operation's number.
        operation: OperationId,
        /// The file to be added.
        source: SourceId,
    },
    /// Asks about albums, artists, genres or years. Ends with [`Notice::Browsed`].
    Browse {
        /// The operation's number.
        operation: OperationId,
        /// The question.
        browse: Browse,
    },
    /// Asks for documents of a listener. Ends with [`Notice::Documents`].
    ReadDocuments {
        /// The operation's number.
        operation: OperationId,
        /// The question.
        reading: Reading,
    },
    /// Writes documents, all or none, and counts plays. Ends with [`Notice::Written`].
    WriteDocuments {
        /// The operation's number.
        operation: OperationId,
        /// At most [`super::limits::DOCUMENTS_AT_ONCE_MAX`] together with `plays`.
        drafts: Vec<Draft>,
        /// Songs that were heard.
        plays: Vec<Heard>,
    },
}

/// A song that a listener has heard, and that is to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Who heard it.
    pub owner: AccountId,
    /// What was heard.
    pub song: SongId,
    /// Drawn for this play: a command that is given again counts it once.
    pub token: u64,
}

/// A document that is to be written: the client gives it its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its name.
    pub key: Key,
    /// Its bytes; none deletes it.
    pub body: Option<Vec<u8>>,
}

/// A notice of a node to its user.
#[derive(Clone, PartialEq, Eq)]
pub enum Notice {
    /// A line for the log.
    Fact {
        /// The line's severity.
        level: Level,
        /// The line: words first, then fields.
        text: String,
    },
    /// The server has its role and is registered.
    Ready {
        /// The server's own record.
        record: Record,
    },
    /// The server ends because another process has its identity: a later start, or a copy of its
    /// disk elsewhere. [`Notice::Stopped`] follows.
    Outdated,
    /// The node has left the cluster and may be dropped.
    Stopped,
    /// A page of the catalogue.
    Songs {
        /// The operation's number.
        operation: OperationId,
        /// The songs, in the order that the query asks for.
        songs: Vec<Listed>,
        /// The number of songs on all pages together.
        total: u64,
        /// Where the next page begins; none on the last page.
        next: Option<Cursor>,
    },
    /// What a router has found about albums, artists, genres or years.
    Browsed {
        /// The operation's number.
        operation: OperationId,
        /// The answer.
        found: Browsed,
    },
    /// The state of the cluster.
    Status {
        /// The operation's number.
        operation: OperationId,
        /// The state, as one router sees it.
        status: Status,
        /// The address of that router.
        router: Address,
    },
    /// The DNS's answer.
    Records {
        /// The operation's number.
        operation: OperationId,
        /// The records that are valid at this moment.
        records: Vec<Record>,
    },
    /// The song can be read.
    Opened {
        /// The operation's number.
        operation: OperationId,
        /// The song and its fragments.
        manifest: Manifest,
        /// Live holders of the song; empty if the song is known only from the cache.
        holders: Vec<Holder>,
    },
    /// The next fragment of a read. Its hash has been checked.
    Fragment {
        /// The operation's number.
        operation: OperationId,
        /// The fragment's index in the manifest, from 0.
        index: u32,
        /// How many bytes at its beginning are left out, because they were not needed.
        skipped: u32,
        /// Its bytes, at least those that were needed.
        bytes: Vec<u8>,
        /// The source of the bytes.
        origin: Origin,
    },
    /// Every fragment of the read has been delivered.
    ReadDone {
        /// The operation's number.
        operation: OperationId,
    },
    /// The file has been read completely and its upload begins.
    Scanned {
        /// The operation's number.
        operation: OperationId,
        /// The song and its fragments.
        manifest: Manifest,
    },
    /// More of a file has arrived at a data node.
    Progress {
        /// The operation's number.
        operation: OperationId,
        /// Bytes of the file that have arrived, in all.
        bytes: u64,
    },
    /// The song is committed and durable.
    Uploaded {
        /// The operation's number.
        operation: OperationId,
        /// The uploaded song.
        song: SongId,
        /// Durable copies that the data node knows of.
        copies: u8,
        /// Whether the cluster held the song before this upload.
        known: bool,
    },
    /// The song is removed, and cannot be added again.
    Removed {
        /// The operation's number.
        operation: OperationId,
        /// The removed song.
        song: SongId,
        /// Data nodes known to have stored the tombstone durably.
        copies: u8,
    },
    /// The song stands as the user wanted.
    Changed {
        /// The operation's number.
        operation: OperationId,
        /// The song.
        song: SongId,
        /// Where it is.
        to: Fate,
        /// Data nodes known to have stored this durably.
        copies: u8,
    },
    /// A page of the trash.
    Trash {
        /// The operation's number.
        operation: OperationId,
        /// The songs, by id.
        songs: Vec<Trashed>,
        /// Songs in the whole trash.
        total: u64,
        /// Bytes of one copy of each of them.
        bytes: u64,
        /// The next page begins after this song; none at the end.
        next: Option<SongId>,
    },
    /// A page of documents.
    Documents {
        /// The operation's number.
        operation: OperationId,
        /// The page.
        page: Documents,
    },
    /// What a listener wrote is durable, and the routers that keep up know it.
    Written {
        /// The operation's number.
        operation: OperationId,
        /// Data nodes known to have stored it durably.
        copies: u8,
    },
    /// The operation has failed.
    Failed {
        /// The operation's number.
        operation: OperationId,
        /// The reason.
        failure: Failure,
    },
}

/// The severity of a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A part of this node is broken.
    Error,
    /// Something is odd, and the node works on.
    Warn,
    /// A change that a user would notice.
    Info,
    /// A decision of the node.
    Debug,
}

/// The source of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This machine's cache.
    Cache,
    /// The data node at this address.
    Node(Address),
}

/// Why an operation has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No node of this role can be reached.
    Unreachable {
        /// The role.
        role: Role,
        /// How the last attempt failed; none if no node of the role is known.
        last: Option<Lost>,
    },
    /// The cluster does not accept this key or cluster name.
    KeyRefused,
    /// The nodes asked did not fulfil the request. This is the last refusal.
    Refused(Refusal),
    /// No song begins with these digits.
    NotFound,
    /// The song is in the trash.
    Trashed(SongId),
    /// No song in the trash begins with these digits.
    NotInTrash,
    /// Several songs begin with these digits. Names at most five of them.
    Ambiguous(Vec<SongId>),
    /// The song is known, and no live node has a copy.
    NoCopy,
    /// No data node is there to store the song.
    NoData,
    /// A job on this machine has failed.
    Local(JobFault),
    /// The client runs too many operations already.
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
            Failure::Trashed(song) => write!(
                f,
                "it is in the trash; `dispotify trash restore {song}` takes it back"
            ),
            Failure::NotInTrash => f.write_str("no such song is in the trash"),
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
            Notice::Outdated => f.write_str("Outdated"),
            Notice::Stopped => f.write_str("Stopped"),
            Notice::Songs {
                operation, songs, ..
            } => write!(f, "Songs({operation:?}, {})", songs.len()),
            Notice::Browsed { operation, .. } => write!(f, "Browsed({operation:?})"),
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
                skipped: _,
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
            Notice::Changed {
                operation,
                song,
                to,
                copies,
            } => write!(f, "Changed({operation:?}, {song:?}, {to:?}, {copies})"),
            Notice::Trash {
                operation, songs, ..
            } => write!(f, "Trash({operation:?}, {})", songs.len()),
            Notice::Documents { operation, page } => {
                write!(f, "Documents({operation:?}, {})", page.documents.len())
            }
            Notice::Written { operation, copies } => write!(f, "Written({operation:?}, {copies})"),
            Notice::Failed { operation, failure } => {
                write!(f, "Failed({operation:?}, {failure:?})")
            }
        }
    }
}
