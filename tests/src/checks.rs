//! What must be true after every event. Each rule is one function that can fail.
//!
//! The rules are those of the reference on simulation, by their numbers: S2 acknowledged songs
//! stand, S4 nothing is done twice, S8 everything has a bound, S9 no expired record is served.
//! S3, byte exactness, is checked where users hear: in [`crate::workload`]. What must be true of
//! the copies is in [`crate::keeping`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use roles::contract::id::{Incarnation, NodeId, RequestId, SongId};
use roles::contract::job::Lane;
use roles::contract::limits::{QUESTIONS_ASKED_MAX, WINDOW_LIFETIME};
use roles::contract::message::{Audio, Kind, Letter, Message, Names};
use roles::contract::node::{Action, Event, Peer, Sender};
use roles::contract::record::{Address, Record, Role};
use roles::contract::time::Time;

use crate::disk::DiskId;
use crate::resident::Place;
use crate::world::World;

/// A server's record lives at most so long at a DNS node (the roles' default).
const RECORD_TTL: Duration = Duration::from_secs(30);

/// What the world knows better than its nodes.
#[derive(Debug, Default)]
pub struct Checks {
    /// Acknowledged songs, when, and how many copies were promised.
    pub promised: BTreeMap<SongId, (Time, u8)>,
    /// Disks on which a song was committed, lost ones included.
    held: BTreeMap<SongId, BTreeSet<DiskId>>,
    wiped: BTreeSet<DiskId>,
    books: BTreeMap<Place, Book>,
    asked: BTreeMap<Asked, Heard>,
    asked_in_order: VecDeque<(Time, Asked, Peer)>,
    /// Which question an answer to this peer belongs to.
    asked_by: BTreeMap<(Place, Peer, RequestId), Asked>,
    /// The question that is being handled.
    present: Option<Asked>,
    /// Fetches under way, by client.
    fetches: BTreeMap<Place, BTreeMap<RequestId, Time>>,
    steps: u64,
}

/// Who was asked what by whom, in which start of each.
type Asked = (Place, u64, NodeId, Incarnation, RequestId);

/// What a question led to.
#[derive(Debug, Default)]
struct Heard {
    times: u32,
    /// Jobs that write, ordered while it was handled.
    writes: u32,
    answer: Option<Message>,
}

/// What one DNS node has been told.
#[derive(Debug, Default)]
struct Book {
    /// Until when each node's record may be served at the very most.
    bound: BTreeMap<NodeId, Time>,
    /// The latest start of each node that was told of.
    latest: BTreeMap<NodeId, Incarnation>,
    /// Until when each registered node must be served.
    stands: BTreeMap<NodeId, (Record, Time)>,
    /// The latest registration of each node that was heard: one that comes again after long may be
    /// confirmed from memory, when its time is over.
    registered: BTreeMap<NodeId, (Incarnation, u64)>,
    /// Registrations on their way to being confirmed.
    pending: BTreeMap<(Peer, RequestId), Record>,
    /// Which group was asked for.
    resolving: BTreeMap<(Peer, RequestId), Role>,
}

impl Checks {
    /// A server has started anew: what its earlier process knew is gone.
    pub fn forget(&mut self, place: Place) {
        self.books.remove(&place);
        self.fetches.remove(&place);
    }

    /// A song has been committed on a disk.
    pub fn on_committed(&mut self, song: SongId, disk: DiskId) {
        self.held.entry(song).or_default().insert(disk);
    }

    /// S2: whoever says that so many copies are durable has made them so.
    pub fn on_promise(&mut self, now: Time, song: SongId, copies: u8) -> Option<String> {
        let made = self.held.get(&song).map_or(0, BTreeSet::len);
        let promise = self.promised.entry(song).or_insert((now, copies));
        promise.1 = promise.1.max(copies);
        (made < usize::from(copies))
            .then(|| format!("{song:?} is said to have {copies} copies and has {made}"))
    }

    /// A disk is lost for good.
    pub fn on_wiped(&mut self, disk: DiskId) {
        self.wiped.insert(disk);
    }

    /// Whether a song still stands on some disk.
    pub fn stands(&self, song: SongId) -> bool {
        (self.held.get(&song)).is_some_and(|held| held.difference(&self.wiped).next().is_some())
    }

    /// An event has been handled whole.
    pub fn handled(&mut self) {
        self.present = None;
    }

    fn question(&mut self, now: Time, key: Asked, peer: Peer) -> bool {
        while let Some((at, old, peer)) = self.asked_in_order.front()
            && *at + WINDOW_LIFETIME / 2 < now
        {
            self.asked.remove(old);
            self.asked_by.remove(&(old.0, *peer, old.4));
            self.asked_in_order.pop_front();
        }
        self.present = Some(key);
        self.asked_by.insert((key.0, peer, key.4), key);
        let heard = self.asked.entry(key).or_default();
        heard.times += 1;
        if heard.times == 1 {
            self.asked_in_order.push_back((now, key, peer));
        }
        heard.times > 1
    }
}

impl World {
    /// Looks at an event before its node does.
    pub(crate) fn observe_event(&mut self, place: Place, event: &Event) {
        self.checks.steps += 1;
        if self.checks.steps.is_multiple_of(64) {
            self.check_bounds(place);
            self.check_upkeep(place);
        }
        if let Event::Message { from, letter } = event {
            if self.is_server(place) {
                self.on_upkeep_heard(place, *from, letter);
                self.on_ring_heard(place, letter);
                if self.places.contains_key(&address_of(from.peer)) {
                    self.ring.on_awake(self.now, place, true);
                }
            } else {
                self.on_heard_by_client(place, letter);
                return;
            }
            let mut again = false;
            match letter.kind {
                Kind::Question { .. } if !letter.message.only_reads() => {
                    let start = self.nodes[place].start;
                    let key = (place, start, from.node, from.incarnation, letter.id);
                    again = self.checks.question(self.now, key, from.peer);
                    self.seen.questions_repeated += u64::from(again);
                }
                Kind::Question { .. } | Kind::Answer { .. } | Kind::Word => (),
            }
            // What comes twice is answered from memory and changes nothing, but for lists: they are
            // too long to be remembered, and taken over once more.
            if let Message::Names(names) = &letter.message
                && (!again || matches!(names, Names::Share { .. }))
                && self.nodes[place].role() == Some(Role::Dns)
            {
                self.on_names(place, *from, letter.id, names);
            }
        }
    }

    fn on_heard_by_client(&mut self, place: Place, letter: &Letter) {
        if let Kind::Answer { more: false } = letter.kind {
            if let Some(fetches) = self.checks.fetches.get_mut(&place) {
                fetches.remove(&letter.id);
            }
            if matches!(self.nodes[place].kind, crate::resident::Kind::Probe) {
                self.answers.insert(letter.id, letter.clone());
            }
        }
    }

    /// Looks at what a node does before it is performed.
    pub(crate) fn observe_action(&mut self, place: Place, action: &Action) {
        match action {
            Action::Send { to, letter } => {
                self.seen.messages += 1;
                if let Message::Ring(words) = &letter.message {
                    self.on_ring_said(place, words);
                }
                if let Message::Catalogue(_) = &letter.message
                    && letter.kind == (Kind::Answer { more: false })
                    && self.has_neighbours(place)
                    && self.ring.on_awake(self.now, place, false)
                {
                    let text = format!("{} answers in its sleep", self.nodes[place].name);
                    self.violated("who stood still asks first", text);
                }
                self.on_upkeep_said(place, *to, letter);
                match letter.kind {
                    Kind::Answer { more: false } => self.check_answer(place, *to, letter),
                    Kind::Answer { more: true } | Kind::Word => (),
                    Kind::Question { .. } => self.check_question(place, letter),
                }
            }
            Action::Run { work, .. } => {
                self.on_ordered(place, work);
                if work.lane() == Lane::Write
                    && let Some(key) = self.checks.present
                    && let Some(heard) = self.checks.asked.get_mut(&key)
                {
                    heard.writes += 1;
                    if heard.times > 1 && heard.writes > 1 {
                        let text = format!("question {:?} was worked on twice", key.4);
                        self.violated("S4 at most once", text);
                    }
                }
            }
            Action::Hang { .. } | Action::Meet { .. } | Action::Tell(_) => (),
        }
    }

    /// S8: a client has no more questions open than it may.
    fn check_question(&mut self, place: Place, letter: &Letter) {
        if let Message::Audio(Audio::Fetch { .. }) = letter.message {
            let operations = self.nodes[place].resident.as_ref();
            let operations = operations
                .and_then(|node| node.client())
                .map_or(0, |c| c.operations());
            let fetches = self.checks.fetches.entry(place).or_default();
            if let Kind::Question { patience } = letter.kind {
                fetches.insert(letter.id, self.now + patience);
            }
            // One whose connection broke is never answered: it counts while it is waited for.
            if fetches.len() > 64 {
                fetches.retain(|_, until| *until > self.now);
            }
            if fetches.len() > QUESTIONS_ASKED_MAX {
                let text = format!("{} fetches for {operations} operations", fetches.len());
                self.violated("S8 bounds", text);
            }
        }
    }

    /// S4: the same question is always answered the same. S9: records are checked on their way.
    fn check_answer(&mut self, place: Place, to: Peer, letter: &Letter) {
        let asked = self.checks.asked_by.get(&(place, to, letter.id)).copied();
        if let Some(heard) = asked.and_then(|key| self.checks.asked.get_mut(&key)) {
            // A long answer is not remembered but made again, and a DNS node's list ages meanwhile.
            let ages = matches!(letter.message, Message::Names(Names::Shared { .. }));
            match (&letter.message, &heard.answer) {
                // Who was refused may ask again, and be heard.
                (Message::Refused(_), _) => heard.writes = 0,
                (message, Some(before)) if before != message && !ages => {
                    let text = format!("{:?}: {before:?}, then {message:?}", letter.id);
                    self.violated("S4 at most once", text);
                }
                (message, _) => heard.answer = Some(message.clone()),
            }
        }
        if let Message::Names(Names::Records { records, settled }) = &letter.message {
            self.check_records(place, (to, letter.id), records, *settled);
        }
        if let Message::Names(Names::Registered) = &letter.message {
            self.on_registered(place, (to, letter.id));
        }
    }

    /// S8: what a node has open stays within its bounds.
    fn check_bounds(&mut self, place: Place) {
        let slot = &self.nodes[place];
        let peers = slot.peers.values().flatten();
        let awaited = peers.filter_map(|id| {
            let conn = self.conns.get(id)?;
            Some(conn.ends[conn.end_at(place)].awaited.len())
        });
        let awaited: usize = awaited.sum();
        if awaited > QUESTIONS_ASKED_MAX {
            let text = format!("{} waits for {awaited} answers", slot.name);
            self.violated("S8 bounds", text);
        }
    }

    /// A DNS node hears something of the names.
    fn on_names(&mut self, place: Place, from: Sender, id: RequestId, names: &Names) {
        let now = self.now;
        let book = self.checks.books.entry(place).or_default();
        match names {
            Names::Register { record } => {
                book.learn(now, record);
                let age = (record.incarnation, record.renewals);
                let before = book.registered.insert(record.node, age);
                if before.is_none_or(|before| before != age) {
                    book.pending.insert((from.peer, id), *record);
                }
            }
            // One that comes too late is not listened to: it may be served and need not be.
            Names::Confirmed { record } => book.learn(now, record),
            Names::Share { records, .. } | Names::Shared { records } => {
                for record in records {
                    book.learn(now, record);
                    book.overhear(now, record);
                }
            }
            // One that was under way for long speaks of an earlier start.
            Names::Withdraw { record } if book.knows_later(record) => (),
            Names::Withdraw { .. } => {
                book.stands.remove(&from.node);
                book.bound.remove(&from.node);
            }
            Names::Resolve { role } => {
                book.resolving.insert((from.peer, id), *role);
            }
            Names::Confirm { .. }
            | Names::Records { .. }
            | Names::Registered
            | Names::Withdrawn
            | Names::Reserve
            | Names::Reserved { .. } => (),
        }
    }

    fn on_registered(&mut self, place: Place, question: (Peer, RequestId)) {
        let now = self.now;
        if let Some(book) = self.checks.books.get_mut(&place)
            && let Some(record) = book.pending.remove(&question)
        {
            book.stand(now, record);
        }
    }

    /// S9: no record is served past its time, and none is missing within it.
    fn check_records(
        &mut self,
        place: Place,
        question: (Peer, RequestId),
        records: &[Record],
        settled: bool,
    ) {
        let now = self.now;
        let own = self.nodes[place].identity.node;
        let name = self.nodes[place].name.clone();
        let Some(book) = self.checks.books.get_mut(&place) else {
            return;
        };
        let role = book.resolving.remove(&question);
        self.seen.records_checked += 1;
        let late = records.iter().find(|record| {
            let bound = book.bound.get(&record.node).copied().unwrap_or_default();
            record.node != own && bound <= now
        });
        let served = |node: &NodeId| records.iter().any(|record| record.node == *node);
        let missing = book.stands.iter().find(|(node, (record, until))| {
            Some(record.role) == role && now < *until && !served(node)
        });
        self.seen.records_expired += book.bound.values().filter(|at| **at <= now).count() as u64;
        let text = match (late, missing) {
            (Some(record), _) => format!("{name} serves {:?}, whose time is over", record.node),
            (None, Some((node, _))) => {
                format!("{name} does not serve {node:?} (settled: {settled})")
            }
            (None, None) => return,
        };
        self.violated("S9 names", text);
    }
}

/// Where a peer listens; nowhere, if it is a guest.
fn address_of(peer: Peer) -> Address {
    match peer {
        Peer::Node(address) => address,
        Peer::Guest(_) => Address(([0, 0, 0, 0], 0).into()),
    }
}

impl Book {
    /// However it is heard, a record lives for what is left of its time from here on.
    fn learn(&mut self, now: Time, record: &Record) {
        let until = now + record.ttl().min(RECORD_TTL);
        let bound = self.bound.entry(record.node).or_default();
        *bound = until.max(*bound);
        let latest = self.latest.entry(record.node).or_default();
        *latest = record.incarnation.max(*latest);
    }

    fn knows_later(&self, record: &Record) -> bool {
        let latest = self.latest.get(&record.node);
        latest.is_some_and(|latest| *latest > record.incarnation)
    }

    /// A server has registered: whoever had its address is gone.
    fn stand(&mut self, now: Time, record: Record) {
        let until = now + record.ttl().min(RECORD_TTL);
        let node = record.node;
        self.displace(record.address, node, Time::NEVER);
        // One with its disk of old is taken where its later starts are forgotten.
        self.latest.insert(node, record.incarnation);
        self.stands.insert(node, (record, until));
    }

    /// Another DNS node knows something later.
    fn overhear(&mut self, now: Time, record: &Record) {
        let until = now + record.ttl().min(RECORD_TTL);
        if let Some((known, stands)) = self.stands.get_mut(&record.node)
            && record.supersedes(known)
        {
            if record.role != known.role {
                // Heard too late it is not listened to: it may be served as either, or not.
                self.stands.remove(&record.node);
            } else {
                // It may have come too late, too: of all that follows the registration, the one
                // that ends first may be the one that is known.
                *stands = until.min(*stands);
            }
        }
        self.displace(record.address, record.node, until);
    }

    /// Only one server can be at an address: the one whose record lasts longer.
    fn displace(&mut self, address: Address, node: NodeId, until: Time) {
        self.stands.retain(|other, (record, stands)| {
            *other == node || record.address != address || *stands > until
        });
    }
}
