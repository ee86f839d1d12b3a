//! Every word on the wire, by family. Questions and answers pair up: `Resolve`/`Records`,
//! `Locate`/`Located`, `Fetch`/`Chunk`.
//!
//! No type here is recursive, and every list has a bound in [`super::limits`] that its receiver
//! checks: the decoder bounds only the whole. Raw bytes of songs never stand inside a message:
//! they travel behind it as the [`Envelope`]'s body.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use core::{fmt, mem};

use bincode::{Decode, Encode};

use super::chord::Chord;
use super::id::{ContentHash, Incarnation, NodeId, RequestId, SongId, SongPrefix};
use super::member::Epoch;
use super::record::{Address, Features, Record, Role};
use super::ring::Ring;
use super::song::{Manifest, Song};
use super::upkeep::Upkeep;

/// One message on its way: what is said, under which number, with which bytes behind it.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The number its asker gave the question.
    pub id: RequestId,
    /// Question or answer.
    pub kind: Kind,
    /// What is said.
    pub message: Message,
    /// The bytes of a fragment, for the few messages that carry one; empty otherwise.
    pub body: Vec<u8>,
}

/// The direction of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Wants an answer within this time; work on it may be dropped afterwards.
    Question {
        /// The time that the asker still waits, when the envelope is sent.
        patience: Duration,
    },
    /// Answers the question of the same number.
    Answer {
        /// More answers to the same question follow.
        more: bool,
    },
    /// Wants no answer: a later one replaces it, or it is told to several.
    OneWay,
}

/// What can be said.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    /// The question was understood and is not answered.
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

/// Why a question is not answered. Callers match on it: it decides whether to ask elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Refusal {
    /// Too much to do; ask again after this many milliseconds, or somebody else at once.
    Busy {
        /// Milliseconds to wait.
        retry_after_ms: u32,
    },
    /// No such thing here.
    NotFound,
    /// Several songs begin with these digits: at most five of them.
    Ambiguous(Vec<SongId>),
    /// The node does not have the role that answers this.
    WrongRole,
    /// The node knows too little yet, having just started.
    NotReady,
    /// The node is about to end.
    ShuttingDown,
    /// The message cannot be true or exceeds a bound; the text says why.
    Invalid(String),
    /// The disk is full.
    DiskFull,
    /// The disk failed; says how.
    Broken(String),
    /// A newer start of the same node has been seen.
    Outdated,
}

/// Between everybody and the DNS nodes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Names {
    /// Who serves this role? Answered by `Records`.
    Resolve {
        /// The group asked for.
        role: Role,
    },
    /// The valid records of a group, in random order.
    Records {
        /// At most [`super::limits::RECORDS_MAX`].
        records: Vec<Record>,
        /// False while the DNS node is too fresh for an empty list to mean that nobody is there.
        settled: bool,
    },
    /// Here I am, or still am. Answered by `Registered`.
    Register {
        /// The sender's own record.
        record: Record,
    },
    /// The record stands until its time is over.
    Registered,
    /// I leave the group. Answered by `Withdrawn`.
    Withdraw {
        /// The sender's own record, as last registered.
        record: Record,
    },
    /// The record is gone.
    Withdrawn,
    /// Are you still there? A DNS node's question to the server behind an expired record.
    /// Answered by `Confirmed`, or `Refused(WrongRole)` if the role has changed.
    Confirm {
        /// The role the record claims.
        role: Role,
    },
    /// Yes: the server's current record.
    Confirmed {
        /// To be stored as if registered.
        record: Record,
    },
    /// Between DNS nodes: what I know. Answered by `Shared`.
    Share {
        /// At most [`super::limits::RECORDS_MAX`], with what is left of their time.
        records: Vec<Record>,
        /// Whether the sender wants the receiver's own records in return.
        pull: bool,
    },
    /// Between DNS nodes: what I know in return; empty if it was not asked for.
    Shared {
        /// At most [`super::limits::RECORDS_MAX`].
        records: Vec<Record>,
    },
    /// Which role should I take? Asked by a server started without one. Answered by `Reserved`.
    Reserve,
    /// That one; kept for the asker until it registers, at most 30 seconds.
    Reserved {
        /// The role to take.
        role: Role,
    },
}

/// Between clients, routers and data nodes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Catalogue {
    /// A page of the catalogue. Answered by `Songs`.
    List {
        /// Which songs, in which order.
        query: Query,
    },
    /// A page, at most [`super::limits::PAGE_SONGS_MAX`] songs.
    Songs {
        /// In the order asked for.
        songs: Vec<Listed>,
        /// How many songs the query finds in all.
        total: u64,
        /// Where the next page begins; none at the end.
        next: Option<Cursor>,
    },
    /// Who has this song? Answered by `Located`.
    Locate {
        /// Its id or the beginning of it.
        prefix: SongPrefix,
    },
    /// The song and who can give it.
    Located {
        /// Its line in the catalogue.
        song: Song,
        /// At most [`super::limits::HOLDERS_MAX`] live holders in random order.
        holders: Vec<Holder>,
    },
    /// Who should keep a song of this id? Answered by `Placed`.
    Place {
        /// The song to be uploaded.
        song: SongId,
    },
    /// Its owners on the circle, first the one to upload to, and other live data nodes after
    /// them, for when an owner dies under the upload.
    Placed {
        /// Live data nodes.
        owners: Vec<Holder>,
    },
    /// A data node tells a router what it keeps. Answered by `Announced`.
    Announce(Announcement),
    /// How far the router has followed the sender's changes.
    Announced {
        /// The store it speaks of.
        store: StoreId,
        /// All changes up to this revision are known; 0 asks for everything again.
        revision: u64,
    },
    /// What does the cluster look like? Answered by `Status`.
    Inspect,
    /// As the answering router sees it.
    Status(Status),
}

/// Between clients and data nodes, and between data nodes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Audio {
    /// The report's first question to a data node: which songs do you keep? Answered by `SongPage`.
    ListSongs {
        /// The page begins after this id.
        after: Option<SongId>,
        /// At most [`super::limits::PAGE_SONGS_MAX`].
        limit: u32,
    },
    /// A page of the songs kept, by id.
    SongPage {
        /// The page.
        songs: Vec<Song>,
        /// Whether more follow.
        more: bool,
    },
    /// The second: can you offer this song? Answered by `Described`.
    Describe {
        /// Which song.
        song: SongId,
    },
    /// Yes, and this is how to fetch it and check it.
    Described {
        /// The song's manifest.
        manifest: Manifest,
    },
    /// The third and the fourth: the fragment at a moment, or several from it on. Answered by as
    /// many `Chunk`s, in order, fewer at the song's end.
    Fetch {
        /// Which song.
        song: SongId,
        /// The first fragment.
        from: Position,
        /// How many, 1 to [`super::limits::FETCH_FRAGMENTS_MAX`].
        count: u32,
    },
    /// One fragment; its bytes are the envelope's body.
    Chunk {
        /// Which fragment.
        index: u32,
        /// How many jobs wait at the sender: the client prefers the less loaded holder.
        load: u16,
    },
    /// I have this song for you. Answered by `Wanted`, or `Stored` if it is known already.
    Offer {
        /// How it is cut, what it is.
        manifest: Manifest,
        /// Whether the offer is itself a copy: its receiver makes no further ones.
        copy: bool,
    },
    /// Send me these fragments; none missing means: commit.
    Wanted {
        /// Missing fragments as half-open index ranges, in order, at most
        /// [`super::limits::FRAGMENTS_MAX`].
        missing: Vec<(u32, u32)>,
    },
    /// One fragment of an offered song; its bytes are the envelope's body. Answered by `Taken`.
    Give {
        /// Which song.
        song: SongId,
        /// Which fragment.
        index: u32,
    },
    /// The fragment is there and has the right hash.
    Taken,
    /// Everything is sent. Answered by `Stored` when the copies are durable.
    Commit {
        /// Which song.
        song: SongId,
        /// Whether this is itself a copy.
        copy: bool,
    },
    /// The song stands.
    Stored {
        /// Durable copies that the sender knows of, itself included.
        copies: u8,
    },
}

/// Which songs, in which order, how many.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Query {
    /// Every word must occur in title, artist, album, genre or year; empty finds all.
    pub words: String,
    /// The order.
    pub sort: Sort,
    /// The order reversed.
    pub descending: bool,
    /// Where the page begins: the previous page's `next`.
    pub after: Option<Cursor>,
    /// At most [`super::limits::PAGE_SONGS_MAX`].
    pub limit: u32,
}

/// The order of a list. Songs without the value stand last, in both directions.
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
    /// Length, title.
    Duration,
}

/// A place in an ordered list that stays right when songs come and go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Cursor {
    /// The sort key of the last song seen, at most [`super::limits::SONG_BYTES_MAX`] bytes.
    pub key: String,
    /// Its id, for songs of equal key.
    pub id: SongId,
}

/// A song in a list, and how well it stands.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Listed {
    /// The song.
    pub song: Song,
    /// Its copies on live data nodes.
    pub copies: u8,
}

/// A live data node that has a song, or should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Holder {
    /// Who.
    pub node: NodeId,
    /// Where.
    pub address: Address,
    /// What its machine can do.
    pub features: Features,
    /// Jobs that waited there at its last report.
    pub load: u16,
}

/// Which fragment to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Position {
    /// By number.
    Index(u32),
    /// By the moment it sounds, in milliseconds.
    Time(u32),
}

/// A store, from its creation to its end: revisions of another store mean nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct StoreId(pub u64);

/// What a data node keeps, told to a router: the changes after `since`, and a digest of the whole.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Announcement {
    /// The sender's record: an announcement is also a sign of life.
    pub record: Record,
    /// Its store.
    pub store: StoreId,
    /// The changes begin after this revision.
    pub since: u64,
    /// In the order they happened; at most [`super::limits::PAGE_SONGS_MAX`].
    pub changes: Vec<Change>,
    /// The revision after these changes.
    pub revision: u64,
    /// The store's latest revision: if larger, more changes follow.
    pub latest: u64,
    /// The songs at the latest revision.
    pub digest: Digest,
    /// Bytes of all songs kept.
    pub bytes: u64,
    /// Jobs that wait.
    pub load: u16,
    /// Copies that are still to be made from here.
    pub repairing: u32,
    /// Fragments set aside because they have rotted.
    pub damaged: u32,
}

/// One change of what a data node keeps.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Change {
    /// A song is there.
    Added(Song),
    /// A song is not there any longer; others may have it.
    Removed(SongId),
    /// A song has been removed for good, wherever it is.
    Buried(SongId),
}

/// A set of songs in 24 bytes. Two stores with equal digests hold the same songs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Digest {
    /// How many.
    pub count: u64,
    /// The exclusive or of their ids, which are hashes already.
    pub xor: u128,
}

impl Digest {
    /// Adds a song that was not there.
    pub fn insert(&mut self, song: SongId) {
        self.count = self.count.wrapping_add(1);
        self.xor ^= song.0;
    }

    /// Takes out a song that was there.
    pub fn remove(&mut self, song: SongId) {
        self.count = self.count.wrapping_sub(1);
        self.xor ^= song.0;
    }
}

/// The cluster, as one router sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Status {
    /// Every server known, by role, then id.
    pub nodes: Vec<NodeStatus>,
    /// Songs in the catalogue.
    pub songs: u64,
    /// The sum over songs of `min(3, live data nodes)` less their live copies, never below 0.
    pub copies_missing: u64,
    /// The living members of the ring, in its order.
    pub ring: Vec<NodeId>,
    /// The last alert this router has seen.
    pub last_alert: Option<LastAlert>,
    /// The last change of a role it knows of.
    pub last_switch: Option<LastSwitch>,
}

/// An alert, as a member remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LastAlert {
    /// What it was about.
    pub epoch: Epoch,
    /// Who counted.
    pub manager: NodeId,
    /// Milliseconds since it was seen.
    pub ago_ms: u64,
}

/// A change of a role, as a member remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LastSwitch {
    /// Who.
    pub node: NodeId,
    /// The role it took.
    pub role: Role,
    /// Milliseconds since it was heard of.
    pub ago_ms: u64,
}

/// One server, as one router sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodeStatus {
    /// Who.
    pub node: NodeId,
    /// What it does.
    pub role: Role,
    /// How it is.
    pub state: NodeState,
    /// Where it listens.
    pub address: Address,
    /// Its current start.
    pub incarnation: Incarnation,
    /// Songs it keeps.
    pub songs: u64,
    /// Bytes of those songs.
    pub bytes: u64,
    /// Milliseconds since it was last heard of.
    pub heard_ms: u64,
    /// Copies that it has still to make for others.
    pub repairing: u32,
    /// Fragments it has set aside because they have rotted, and not replaced yet.
    pub damaged: u32,
}

/// How a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum NodeState {
    /// As far as anybody knows.
    Alive,
    /// Handing its songs over, or changing its role.
    Draining,
    /// Somebody cannot reach it.
    Suspect,
    /// Its disk does not answer.
    Sick,
    /// By the verdict of those who watch it: it no longer counts.
    Dead,
    /// Alive, and its disk has no room for songs. Last, so that the others keep their number on the
    /// wire.
    Full,
}

impl NodeState {
    /// The word in tables and JSON.
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
    /// Whether it is one of the questions that only read songs.
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            Audio::ListSongs { .. } | Audio::Describe { .. } | Audio::Fetch { .. }
        )
    }
}

impl Message {
    /// Whether asking twice does the same as asking once, so that a lost answer may simply be
    /// made again.
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
                | Catalogue::Inspect => true,
                Catalogue::Announce(_)
                | Catalogue::Songs { .. }
                | Catalogue::Located { .. }
                | Catalogue::Placed { .. }
                | Catalogue::Announced { .. }
                | Catalogue::Status(_) => false,
            },
            Message::Audio(audio) => match audio {
                Audio::ListSongs { .. } | Audio::Describe { .. } | Audio::Fetch { .. } => true,
                Audio::Offer { .. }
                | Audio::Give { .. }
                | Audio::Commit { .. }
                | Audio::SongPage { .. }
                | Audio::Described { .. }
                | Audio::Chunk { .. }
                | Audio::Wanted { .. }
                | Audio::Taken
                | Audio::Stored { .. } => false,
            },
            Message::Ring(ring) => match ring {
                Ring::Join { .. }
                | Ring::Probe { .. }
                | Ring::Check { .. }
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
                | Ring::Accepted => false,
            },
            Message::Upkeep(upkeep) => match upkeep {
                Upkeep::Sums { .. } | Upkeep::Holdings { .. } => true,
                Upkeep::Bury { .. }
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
        }
    }
}

// A message is moved along the path of every fragment: it stays small enough for that.
const _: () = assert!(mem::size_of::<Message>() <= 512);
// The hash of a whole file stands in its manifest, not in the message.
const _: () = assert!(mem::size_of::<ContentHash>() == 32);
