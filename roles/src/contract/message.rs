//! Every message on the wire, by family. Questions and answers pair up: `Resolve`/`Records`,
//! `Locate`/`Located`, `Fetch`/`Chunk`.
//!
//! No type here is recursive. Every list has a bound in [`super::limits`], which the receiver
//! checks, because the decoder bounds only the message as a whole. The raw bytes of songs are never
//! part of a message: they follow it as the [`Envelope`]'s body.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use core::{fmt, mem};

use bincode::{Decode, Encode};

use super::browse::{Browse, Browsed};
use super::chord::Chord;
use super::document::{Document, Documents, Reading};
use super::id::{ContentHash, Incarnation, NodeId, RequestId, SongId, SongPrefix};
use super::member::Epoch;
use super::record::{Address, Features, Record, Role};
use super::rights::Right;
use super::ring::Ring;
use super::song::{Manifest, Song};
use super::tags::TagNews;
use super::trash::{Mark, Trashed};
use super::upkeep::Upkeep;

/// One message in transit, with its number, its direction and its body.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The number that the asker gave the question; an answer carries the same number.
    pub id: RequestId,
    /// Question or answer.
    pub kind: Kind,
    /// The message itself.
    pub message: Message,
    /// The bytes of a fragment, for the few messages that carry one; empty otherwise.
    pub body: Vec<u8>,
}

/// The direction of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Wants an answer within `patience`; the receiver may drop work on it afterwards.
    Question {
        /// How much longer the asker waits, counted from when the envelope is sent.
        patience: Duration,
    },
    /// Answers the question with the same number.
    Answer {
        /// More answers to the same question follow.
        more: bool,
    },
    /// Wants no answer, because a later message replaces it or because several nodes receive it.
    OneWay,
}

/// A message of one of the families.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    /// The receiver understood the question and does not fulfil it.
    Refused(Refusal),
    /// Messages of the DNS.
    Names(Names),
    /// Messages of the routers.
    Catalogue(Catalogue),
    /// Messages that carry or describe songs.
    Audio(Audio),
    /// Messages of the membership ring.
    Ring(Ring),
    /// Messages of anti-entropy and of removals.
    Upkeep(Upkeep),
    /// Messages of the Chord hash ring.
    Chord(Chord),
}

/// Why a question is not answered. The caller decides by it whether to ask another node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Refusal {
    /// The node has too much to do. The asker may ask another node at once, or this one later.
    Busy {
        /// Milliseconds to wait before asking the same node again.
        retry_after_ms: u32,
    },
    /// The node does not have the thing asked for.
    NotFound,
    /// Several songs begin with these digits. Names at most five of them.
    Ambiguous(Vec<SongId>),
    /// The node does not have the role that answers this question.
    WrongRole,
    /// The node has just started and knows too little yet.
    NotReady,
    /// The node is shutting down.
    ShuttingDown,
    /// The message cannot be true or exceeds a bound; the text gives the reason.
    Invalid(String),
    /// The disk is full.
    DiskFull,
    /// The disk failed; the text says how.
    Broken(String),
    /// The receiver has seen a later start of the asking node.
    Outdated,
    /// The asker's key has no right to ask for this; the right that it lacks. Only holders of a
    /// derived key are told so: earlier versions have none, and do not know this refusal.
    NotAllowed(Right),
}

/// Between any node and the DNS nodes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Names {
    /// Asks for the servers of a role. Answered by `Records`.
    Resolve {
        /// The role; its servers form one group.
        role: Role,
    },
    /// The valid records of a group, in random order.
    Records {
        /// At most [`super::limits::RECORDS_MAX`].
        records: Vec<Record>,
        /// False while the DNS node has run too briefly for an empty list to mean that the group is
        /// empty.
        settled: bool,
    },
    /// Registers the sender, or renews its record. Answered by `Registered`.
    Register {
        /// The sender's own record.
        record: Record,
    },
    /// The DNS node serves the record until its TTL ends.
    Registered,
    /// The sender leaves its group. Answered by `Withdrawn`.
    Withdraw {
        /// The sender's own record, as last registered.
        record: Record,
    },
    /// The record is removed.
    Withdrawn,
    /// Asks whether the server behind an expired record still lives. Sent by a DNS node. Answered
    /// by `Confirmed`, or by `Refused(WrongRole)` if the role has changed.
    Confirm {
        /// The role in the expired record.
        role: Role,
    },
    /// The server lives.
    Confirmed {
        /// Its current record, which the DNS node stores as if it were registered.
        record: Record,
    },
    /// From one DNS node to another: the records that the sender knows. Answered by `Shared`.
    Share {
        /// At most [`super::limits::RECORDS_MAX`]; each TTL is the time that remains.
        records: Vec<Record>,
        /// Whether the receiver should send its own records in return.
        pull: bool,
    },
    /// The answering DNS node's own records; empty unless the question had `pull` set.
    Shared {
        /// At most [`super::limits::RECORDS_MAX`].
        records: Vec<Record>,
    },
    /// Asks which role to take. Sent by a server that was started without one. Answered by
    /// `Reserved`.
    Reserve,
    /// The DNS node reserves the role for the asker until it registers, for at most 30 seconds.
    Reserved {
        /// The role to take.
        role: Role,
    },
}

/// Between clients, routers and data nodes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Catalogue {
    /// Asks for a page of the catalogue. Answered by `Songs`.
    List {
        /// The search, the order and the place of the page.
        query: Query,
    },
    /// One page of the catalogue; at most [`super::limits::PAGE_SONGS_MAX`] songs.
    Songs {
        /// In the order that the query asks for.
        songs: Vec<Listed>,
        /// The number of songs on all pages together.
        total: u64,
        /// Where the next page begins; none on the last page.
        next: Option<Cursor>,
    },
    /// Asks which nodes hold a song. Answered by `Located`.
    Locate {
        /// The song's id, or its leading digits.
        prefix: SongPrefix,
    },
    /// The song and its live holders.
    Located {
        /// The song's entry in the catalogue.
        song: Song,
        /// At most [`super::limits::HOLDERS_MAX`] live holders, the healthiest first. Holders of
        /// equal health are in random order.
        holders: Vec<Holder>,
    },
    /// Asks which nodes should store a song. Answered by `Placed`.
    Place {
        /// The song to be uploaded; the catalogue need not know it.
        song: SongId,
    },
    /// The nodes to upload to. The client tries them in this order.
    Placed {
        /// Live data nodes: the song's owners on the hash ring, then the others, which stand in
        /// when an owner dies during the upload.
        owners: Vec<Holder>,
    },
    /// A data node tells a router which songs it holds. Answered by `Announced`.
    Announce(Announcement),
    /// How far the router has applied the sender's changes.
    Announced {
        /// The store that the revision belongs to.
        store: StoreId,
        /// The router knows all changes up to this revision; 0 asks for everything again.
        revision: u64,
    },
    /// Asks for the state of the cluster. Answered by `Status`.
    Inspect,
    /// The state of the cluster, as the answering router sees it.
    Status(Status),
    /// Asks which songs are in the trash. Answered by `Trash`.
    ListTrash {
        /// Only songs whose ids begin with these digits.
        prefix: Option<SongPrefix>,
        /// The page begins after this id.
        after: Option<SongId>,
        /// Songs on the page, from 1 to [`super::limits::PAGE_SONGS_MAX`].
        limit: u32,
    },
    /// One page of the trash.
    Trash {
        /// By id.
        songs: Vec<Trashed>,
        /// Songs in the whole trash, whatever the prefix.
        total: u64,
        /// Bytes of one copy of each of them.
        bytes: u64,
        /// The next page begins after this id; none at the end.
        next: Option<SongId>,
    },
    /// Asks about albums, artists, genres or years. Answered by `Browsed`. Only sent to routers with
    /// [`Features::ALBUMS`].
    Browse(Browse),
    /// What the router found.
    Browsed(Browsed),
    /// A data node tells a router the further tags of its songs. Answered by `Tagged`. Only sent to
    /// routers with [`Features::ALBUMS`].
    Tag(TagNews),
    /// How far the router has taken the sender's tags over.
    Tagged {
        /// The store that the revision belongs to.
        store: StoreId,
        /// The router knows the tags up to this revision; 0 asks for all of them again.
        revision: u64,
    },
    /// The same as `Tag`, with the time at which the sender got each song, in seconds since 1970; 0
    /// if that is not known. Answered by `Tagged`. Only sent to routers with [`Features::LISTS`].
    TagAdded(TagNews, Vec<u32>),
    /// Asks for documents of listeners. Answered by `Documents`. Only sent to routers with
    /// [`Features::DOCUMENTS`].
    Read(Reading),
    /// What the router has, and who takes more.
    Documents(Documents),
}

/// Between clients and data nodes, and between data nodes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Audio {
    /// Asks which songs a data node holds: the report's first question. Answered by `SongPage`.
    ListSongs {
        /// The page begins after this id.
        after: Option<SongId>,
        /// At most [`super::limits::PAGE_SONGS_MAX`].
        limit: u32,
    },
    /// One page of the songs that the data node holds.
    SongPage {
        /// In the order of their ids; at most [`super::limits::PAGE_SONGS_MAX`].
        songs: Vec<Song>,
        /// Whether another page follows.
        more: bool,
    },
    /// Asks whether the node holds a song: the report's second question. Answered by `Described`.
    Describe {
        /// The song's whole id.
        song: SongId,
    },
    /// The node holds the song.
    Described {
        /// How to fetch the song and how to check it.
        manifest: Manifest,
    },
    /// Asks for the fragment at a moment, or for several from there on: the report's third and
    /// fourth questions. Answered by one `Chunk` per fragment, in order, and by fewer at the song's
    /// end.
    Fetch {
        /// The song's whole id.
        song: SongId,
        /// The first fragment.
        from: Position,
        /// Number of fragments, from 1 to [`super::limits::FETCH_FRAGMENTS_MAX`].
        count: u32,
    },
    /// One fragment. The envelope's body holds its bytes.
    Chunk {
        /// The fragment's index in the manifest, from 0.
        index: u32,
        /// Jobs that wait at the sender. The client prefers the less loaded holder.
        load: u16,
    },
    /// Offers a song for storage. Answered by `Wanted`, or by `Stored` if the song is stored
    /// already.
    Offer {
        /// The offered song and its fragments.
        manifest: Manifest,
        /// Whether a data node makes a copy. The receiver of a copy makes no further ones.
        copy: bool,
    },
    /// The fragments that the receiver of the offer lacks. An empty list asks for the commit.
    Wanted {
        /// Half-open index ranges, in order; at most [`super::limits::FRAGMENTS_MAX`].
        missing: Vec<(u32, u32)>,
    },
    /// One fragment of an offered song; the envelope's body holds its bytes. Answered by `Taken`.
    Give {
        /// The offered song.
        song: SongId,
        /// The fragment's index in the manifest, from 0.
        index: u32,
    },
    /// The fragment has arrived and its hash is right.
    Taken,
    /// Ends an upload. Answered by `Stored` when the copies are durable, or by `Wanted` when a
    /// fragment is missing.
    Commit {
        /// The offered song.
        song: SongId,
        /// Whether a data node makes a copy, as in the offer.
        copy: bool,
    },
    /// The song is committed and durable.
    Stored {
        /// Durable copies that the sender knows of, its own included.
        copies: u8,
    },
    /// Asks for a part of one fragment. Answered by `ChunkPart`. Only sent to data nodes with
    /// [`Features::PARTS`].
    FetchPart {
        /// The song's whole id.
        song: SongId,
        /// The fragment's index in the manifest, from 0.
        index: u32,
        /// The offsets in the fragment of the part's first byte and of the one after its last.
        part: (u32, u32),
    },
    /// The groups of a fragment in which a part of it lies: the envelope's body holds their bytes.
    ChunkPart {
        /// The fragment's index in the manifest, from 0.
        index: u32,
        /// Jobs that wait at the sender.
        load: u16,
        /// The chaining values of all groups of the fragment, one behind the other, which prove the
        /// bytes by the fragment's hash; at most [`super::limits::GROUP_VALUES_BYTES_MAX`].
        values: Vec<u8>,
    },
}

/// A search in the catalogue, and the page of its result.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Query {
    /// Each word must occur in title, artist, album, genre or year; an empty text finds every song.
    pub words: String,
    /// The order.
    pub sort: Sort,
    /// Whether the order is reversed.
    pub descending: bool,
    /// Where the page begins: the previous page's `next`.
    pub after: Option<Cursor>,
    /// Songs on the page; at most [`super::limits::PAGE_SONGS_MAX`].
    pub limit: u32,
}

/// The order of a list. A song without a value for the sort key stands last in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Sort {
    /// Artist, album, disc, track, title.
    #[default]
    Artist,
    /// Title, artist.
    Title,
    /// Album, artist without guests, disc, track, title.
    Album,
    /// Genre, then as by artist.
    Genre,
    /// Year, then as by artist.
    Year,
    /// Duration, title.
    Duration,
    /// When the song was added, then as by album. Only sent to routers with [`Features::LISTS`].
    Added,
}

/// A place in an ordered list. It stays valid when songs are added or removed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Cursor {
    /// The sort key of the last song on the page; at most [`super::limits::SONG_BYTES_MAX`] bytes.
    pub key: String,
    /// The same song's id, which orders songs with equal keys.
    pub id: SongId,
}

/// A song in a list, with its number of copies.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Listed {
    /// The song.
    pub song: Song,
    /// Copies on live data nodes.
    pub copies: u8,
}

/// A live data node that holds a song, or should hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Holder {
    /// The node's id.
    pub node: NodeId,
    /// The address at which the node listens.
    pub address: Address,
    /// Facts about the node's machine.
    pub features: Features,
    /// Jobs that waited at the node when it last reported them.
    pub load: u16,
}

impl Holder {
    /// A data node as it is reached, with the load that it last reported.
    pub fn of(record: &Record, load: u16) -> Self {
        Holder {
            node: record.node,
            address: record.address,
            features: record.features,
            load,
        }
    }
}

/// The fragment at which a fetch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Position {
    /// The fragment's index in the manifest, from 0.
    Index(u32),
    /// A moment of the song in milliseconds; selects the fragment that plays then.
    Time(u32),
}

/// The identity of one store, from its creation on. Revisions of two stores cannot be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct StoreId(pub u64);

/// The songs of a data node, told to a router: the changes after `since`, and a digest of all
/// songs.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Announcement {
    /// The sender's record: an announcement also shows that the sender lives.
    pub record: Record,
    /// The sender's store.
    pub store: StoreId,
    /// The changes begin after this revision.
    pub since: u64,
    /// In the order they happened; at most [`super::limits::PAGE_SONGS_MAX`].
    pub changes: Vec<Change>,
    /// The revision after the last of these changes.
    pub revision: u64,
    /// The store's latest revision. If it is larger than `revision`, more changes follow.
    pub latest: u64,
    /// Digest of all songs at the latest revision.
    pub digest: Digest,
    /// Bytes of all songs in the store.
    pub bytes: u64,
    /// Jobs that wait at the sender.
    pub load: u16,
    /// Copies that the sender has still to make on other nodes.
    pub repairing: u32,
    /// Fragments that have rotted and are in quarantine, and songs whose tables have.
    pub damaged: u32,
}

/// One change of the songs that a data node holds.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Change {
    /// The node has gained this song.
    Added(Song),
    /// The node no longer holds this song; other nodes may hold it.
    Removed(SongId),
    /// The song is removed for good, on every node.
    Buried(SongId),
    /// The song has come into the trash or out of it, on every node. Told only to routers whose
    /// records say [`Features::TRASH`].
    Marked(Mark),
    /// A document was written or deleted, on every node. Told only to routers whose records say
    /// [`Features::DOCUMENTS`].
    Wrote(Document),
}

/// A set of songs in 24 bytes. Stores with equal digests hold the same songs, barring a collision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Digest {
    /// The number of songs.
    pub count: u64,
    /// The exclusive or of the ids, which are hashes already.
    pub xor: u128,
}

impl Digest {
    /// Adds a song. The set must not hold it yet, because adding it twice cancels it out.
    pub fn insert(&mut self, song: SongId) {
        self.count = self.count.wrapping_add(1);
        self.xor ^= song.0;
    }

    /// Removes a song. The set must hold it.
    pub fn remove(&mut self, song: SongId) {
        self.count = self.count.wrapping_sub(1);
        self.xor ^= song.0;
    }
}

/// The cluster, as one router sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Status {
    /// Every known server except those that have left, ordered by role, then id.
    pub nodes: Vec<NodeStatus>,
    /// Songs in the catalogue.
    pub songs: u64,
    /// The missing copies: for each song `min(3, live data nodes)` less its live copies, at least
    /// 0.
    pub copies_missing: u64,
    /// The living members of the ring, in the order of their ids.
    pub ring: Vec<NodeId>,
    /// The last alert this router has seen.
    pub last_alert: Option<LastAlert>,
    /// The last change of a role that this router knows of.
    pub last_switch: Option<LastSwitch>,
}

/// The last alert that a member has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LastAlert {
    /// The death or the shortage that the alert is about.
    pub epoch: Epoch,
    /// The member that counts the roles.
    pub manager: NodeId,
    /// Milliseconds since the member saw the alert.
    pub ago_ms: u64,
}

/// The last change of a role that a member knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LastSwitch {
    /// The node that changed its role.
    pub node: NodeId,
    /// The role it took.
    pub role: Role,
    /// Milliseconds since the member heard of the change.
    pub ago_ms: u64,
}

/// One server, as one router sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodeStatus {
    /// The server's id.
    pub node: NodeId,
    /// The server's role.
    pub role: Role,
    /// Its health, as this router knows it.
    pub state: NodeState,
    /// The address at which it listens.
    pub address: Address,
    /// The number of its current start.
    pub incarnation: Incarnation,
    /// Songs that it holds; 0 outside the data role.
    pub songs: u64,
    /// Bytes of those songs.
    pub bytes: u64,
    /// Milliseconds since this router last received something from it; 0 if never, or if it is this
    /// router.
    pub heard_ms: u64,
    /// Copies that it has still to make on other nodes.
    pub repairing: u32,
    /// Fragments in its quarantine that are not replaced yet, and songs withdrawn because their tables
    /// were damaged that have not come back.
    pub damaged: u32,
}

/// The health of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum NodeState {
    /// No node reports a problem with the server.
    Alive,
    /// The server hands its songs over, or changes its role.
    Draining,
    /// The server is suspected: some node cannot reach it.
    Suspect,
    /// The server's disk does not answer, or its library could not be read and fills up again.
    Sick,
    /// The failure detector has declared the server dead, or it no longer serves its role.
    Dead,
    /// The server lives and its disk has no room for songs. This variant stands last, so that the
    /// others keep their numbers on the wire.
    Full,
}

impl NodeState {
    /// The state's name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            NodeState::Alive => "alive",
            NodeState::Suspect => "suspect",
            NodeState::Draining => "draining",
            NodeState::Sick => "sick",
            NodeState::Dead => "dead",
            NodeState::Full => "full",
        }
    }
}

impl Query {
    /// The first page of everything, in the default order.
    pub fn all(limit: u32) -> Self {
        Query {
            words: String::new(),
            sort: Sort::default(),
            descending: false,
            after: None,
            limit,
        }
    }
}

impl Audio {
    /// Whether this is one of the questions that only read songs.
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            Audio::ListSongs { .. }
                | Audio::Describe { .. }
                | Audio::Fetch { .. }
                | Audio::FetchPart { .. }
        )
    }
}

impl Message {
    /// Whether this question may be handled twice with the same effect as once. The dedup window
    /// then stores no answer: a repeated question is simply handled again.
    pub fn only_reads(&self) -> bool {
        match self {
            Message::Refused(_) => true,
            Message::Names(names) => match names {
                Names::Resolve { .. } | Names::Confirm { .. } => true,
                Names::Register { .. }
                | Names::Withdraw { .. }
                | Names::Share { .. }
                | Names::Reserve
                | Names::Records { .. }
                | Names::Registered
                | Names::Withdrawn
                | Names::Confirmed { .. }
                | Names::Shared { .. }
                | Names::Reserved { .. } => false,
            },
            Message::Catalogue(catalogue) => match catalogue {
                Catalogue::List { .. }
                | Catalogue::Locate { .. }
                | Catalogue::Place { .. }
                | Catalogue::ListTrash { .. }
                | Catalogue::Inspect
                | Catalogue::Read(_)
                | Catalogue::Browse(_) => true,
                Catalogue::Announce(_)
                | Catalogue::Browsed(_)
                | Catalogue::Documents(_)
                | Catalogue::Tag(_)
                | Catalogue::TagAdded(..)
                | Catalogue::Tagged { .. }
                | Catalogue::Songs { .. }
                | Catalogue::Located { .. }
                | Catalogue::Placed { .. }
                | Catalogue::Announced { .. }
                | Catalogue::Trash { .. }
                | Catalogue::Status(_) => false,
            },
            Message::Audio(audio) => match audio {
                Audio::ListSongs { .. }
                | Audio::Describe { .. }
                | Audio::Fetch { .. }
                | Audio::FetchPart { .. } => true,
                Audio::Offer { .. }
                | Audio::Give { .. }
                | Audio::Commit { .. }
                | Audio::SongPage { .. }
                | Audio::Described { .. }
                | Audio::Chunk { .. }
                | Audio::ChunkPart { .. }
                | Audio::Wanted { .. }
                | Audio::Taken
                | Audio::Stored { .. } => false,
            },
            Message::Ring(ring) => match ring {
                Ring::Join { .. }
                | Ring::Probe { .. }
                | Ring::Check { .. }
                | Ring::Diagnose
                | Ring::Count { .. } => true,
                Ring::Alert { .. }
                | Ring::Unbalance { .. }
                | Ring::Joined { .. }
                | Ring::Report { .. }
                | Ring::News { .. }
                | Ring::Probed { .. }
                | Ring::Checked { .. }
                | Ring::Heard
                | Ring::Counted { .. }
                | Ring::Diagnosis(_)
                | Ring::Accepted => false,
            },
            Message::Upkeep(upkeep) => match upkeep {
                Upkeep::Sums { .. }
                | Upkeep::Holdings { .. }
                | Upkeep::Note { .. }
                | Upkeep::CompareMarks { .. }
                | Upkeep::Write { .. }
                | Upkeep::NoteDocuments { .. }
                | Upkeep::CompareDocuments { .. } => true,
                Upkeep::Bury { .. }
                | Upkeep::Noted { .. }
                | Upkeep::Alike { .. }
                | Upkeep::Change { .. }
                | Upkeep::Changed { .. }
                | Upkeep::Written { .. }
                | Upkeep::Late { .. }
                | Upkeep::DocumentsNoted { .. }
                | Upkeep::Differ { .. }
                | Upkeep::Summed { .. }
                | Upkeep::Held { .. }
                | Upkeep::Buried { .. } => false,
            },
            Message::Chord(chord) => match chord {
                Chord::Neighbours { .. } | Chord::Notify | Chord::Find { .. } => true,
                Chord::Neighbourhood { .. }
                | Chord::Noted
                | Chord::Found { .. }
                | Chord::Closer { .. } => false,
            },
        }
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, more) = match self.kind {
            Kind::Question { .. } => ('?', ""),
            Kind::Answer { more: false } => ('!', ""),
            Kind::Answer { more: true } => ('!', "+"),
            Kind::OneWay => ('.', ""),
        };
        write!(f, "{mark}{}{more} {:?}", self.id.0, self.message)?;
        if self.body.is_empty() {
            return Ok(());
        }
        write!(f, " +{}B", self.body.len())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Busy { .. } => f.write_str("it is busy"),
            Refusal::NotFound => f.write_str("it does not have that"),
            Refusal::Ambiguous(_) => f.write_str("several songs begin with these digits"),
            Refusal::WrongRole => f.write_str("it does not have the role for that"),
            Refusal::NotReady => f.write_str("it has just started and knows too little yet"),
            Refusal::ShuttingDown => f.write_str("it is shutting down"),
            Refusal::Invalid(what) => write!(f, "it refused the request: {what}"),
            Refusal::DiskFull => f.write_str("its disk is full"),
            Refusal::Broken(how) => write!(f, "its disk failed: {how}"),
            Refusal::Outdated => f.write_str("it knows a newer start of this node"),
            Refusal::NotAllowed(right) => {
                write!(f, "this key may not do that: one for {right} is needed")
            }
        }
    }
}

// Every fragment moves its message through several layers, so the message must stay small.
const _: () = assert!(mem::size_of::<Message>() <= 512);
// The hash of a whole file stands in its manifest, not in the message.
const _: () = assert!(mem::size_of::<ContentHash>() == 32);
