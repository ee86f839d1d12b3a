//! Invariants that are checked after every event. Each is one function that can fail.
//!
//! The numbers are those of the reference on simulation: S2 acknowledged songs stand, S4 nothing is
//! done twice, S8 everything has a bound, S9 no expired record is served. S3, byte exactness, is
//! checked where users receive bytes: in [`crate::workload`]. The invariants of copies are in
//! [`crate::copy_invariants`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use roles::contract::id::{Incarnation, NodeId, RequestId, SongId};
use roles::contract::job::Lane;
use roles::contract::limits::{QUESTIONS_ASKED_MAX, WINDOW_LIFETIME};
use roles::contract::message::{Audio, Envelope, Kind, Message, Names};
use roles::contract::node::{Action, Event, Peer, Sender};
use roles::contract::record::{Address, Record, Role};
use roles::contract::time::Time;

use crate::disk::DiskId;
use crate::resident::Place;
use crate::world::World;

/// Longest life of a server's record at a DNS node (the default of the roles).
const RECORD_TTL: Duration = Duration::from_secs(30);

/// What the checks know from seeing every node.
#[derive(Debug, Default)]
pub struct Checks {
    /// Acknowledged songs: when first, and the highest number of copies acknowledged.
    promised: BTreeMap<SongId, (Time, u8)>,
    /// The disks on which each song was committed, lost disks included.
    held: BTreeMap<SongId, BTreeSet<DiskId>>,
    wiped: BTreeSet<DiskId>,
    books: BTreeMap<Place, Book>,
    asked: BTreeMap<Asked, Heard>,
    /// The keys of `asked`, oldest first, so that old ones can be removed.
    asked_in_order: VecDeque<(Time, Asked, Peer)>,
    /// The question to which an answer from this node to this peer belongs.
    asked_by: BTreeMap<(Place, Peer, RequestId), Asked>,
    /// The question that is being handled, so that the jobs it orders are counted for it.
    present: Option<Asked>,
    /// When each open fetch of a client is given up.
    fetches: BTreeMap<Place, BTreeMap<RequestId, Time>>,
    steps: u64,
}

/// The node that was asked and its start; the asker and its incarnation; the question's id.
type Asked = (Place, u64, NodeId, Incarnation, RequestId);

/// What one question has led to.
#[derive(Debug, Default)]
struct Heard {
    times: u32,
    /// Writing jobs that were ordered while the question was handled.
    writes: u32,
    answer: Option<Message>,
}

/// What one DNS node has received, and therefore may or must serve.
#[derive(Debug, Default)]
struct Book {
    /// Until when each node's record may be served at the latest.
    bound: BTreeMap<NodeId, Time>,
    /// The highest incarnation of each node that the DNS node heard of.
    latest: BTreeMap<NodeId, Incarnation>,
    /// Until when each registered node's record must be served.
    stands: BTreeMap<NodeId, (Record, Time)>,
    /// The latest registration of each node. The same registration may come again long afterwards
    /// and be confirmed from the dedup window, although its time is over.
    registered: BTreeMap<NodeId, (Incarnation, u64, Role)>,
    /// Registrations that have not been confirmed yet.
    pending: BTreeMap<(Peer, RequestId), Record>,
    /// The role that each open question asks for.
    resolving: BTreeMap<(Peer, RequestId), Role>,
}

impl Checks {
    /// The songs whose upload was acknowledged, removed ones included.
    pub fn promised(&self) -> impl Iterator<Item = SongId> {
        self.promised.keys().copied()
    }

    /// When a song was first acknowledged, and the highest number of copies acknowledged.
    pub(crate) fn promise(&self, song: SongId) -> Option<(Time, u8)> {
        self.promised.get(&song).copied()
    }

    /// A server has started anew: its new process knows nothing of what the earlier one knew.
    pub fn forget(&mut self, place: Place) {
        self.books.remove(&place);
        self.fetches.remove(&place);
    }

    /// A song has been committed on a disk.
    pub fn on_committed(&mut self, song: SongId, disk: DiskId) {
        self.held.entry(song).or_default().insert(disk);
    }

    /// S2: at least as many disks as an acknowledgement promises have committed the song.
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

    /// Whether a song was committed on some disk that is not lost.
    pub fn stands(&self, song: SongId) -> bool {
        (self.held.get(&song)).is_some_and(|held| held.difference(&self.wiped).next().is_some())
    }

    /// An event has been handled completely.
    pub fn handled(&mut self) {
        self.present = None;
    }

    /// Notes that a question arrives; true if it has arrived before.
    fn question(&mut self, now: Time, key: Asked, peer: Peer) -> bool {
        // Half the window's lifetime is surely remembered by the node; later a repetition may count
        // as new.
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
    /// Checks an event before its node handles it.
    pub(crate) fn observe_event(&mut self, place: Place, event: &Event) {
        self.checks.steps += 1;
        if self.checks.steps.is_multiple_of(64) {
            self.check_bounds(place);
            self.check_upkeep(place);
        }
        if let Event::Message { from, envelope } = event {
            if self.is_server(place) {
                self.on_upkeep_heard(place, *from, envelope);
                self.on_ring_heard(place, envelope);
                if self.spawner.at(address_of(from.peer)).is_some() {
                    self.ring.on_awake(self.now, place, true);
                }
            } else {
                self.on_heard_by_client(place, envelope);
                return;
            }
            let mut again = false;
            match envelope.kind {
                Kind::Question { .. } if !envelope.message.only_reads() => {
                    let start = self.nodes[place].start;
                    let key = (place, start, from.node, from.incarnation, envelope.id);
                    again = self.checks.question(self.now, key, from.peer);
                    self.seen.questions_repeated += u64::from(again);
                }
                Kind::Question { .. } | Kind::Answer { .. } | Kind::OneWay => (),
            }
            // A repeated question is answered from the dedup window and changes nothing. Lists are
            // the exception: they are too long to be kept there, so the node merges them once more.
            if let Message::Names(names) = &envelope.message
                && (!again || matches!(names, Names::Share { .. }))
                && self.nodes[place].role() == Some(Role::Dns)
            {
                self.on_names(place, *from, envelope.id, names);
            }
        }
    }

    fn on_heard_by_client(&mut self, place: Place, envelope: &Envelope) {
        if let Kind::Answer { more: false } = envelope.kind {
            if let Some(fetches) = self.checks.fetches.get_mut(&place) {
                fetches.remove(&envelope.id);
            }
            if matches!(self.nodes[place].kind, crate::resident::Kind::Probe) {
                self.tap.keep_answer(envelope);
            }
        }
    }

    /// Checks what a node does before the world performs it.
    pub(crate) fn observe_action(&mut self, place: Place, action: &Action) {
        match action {
            Action::Send { to, envelope } => {
                self.seen.messages += 1;
                if self.lies.are_of(place) {
                    return;
                }
                if let Message::Ring(words) = &envelope.message {
                    self.on_ring_said(place, words);
                }
                if let Message::Catalogue(_) = &envelope.message
                    && envelope.kind == (Kind::Answer { more: false })
                    && self.has_neighbours(place)
                    && self.ring.on_awake(self.now, place, false)
                {
                    let text = format!("{} answers in its sleep", self.nodes[place].name);
                    self.violated("who stood still asks first", text);
                }
                self.on_upkeep_said(place, *to, envelope);
                match envelope.kind {
                    Kind::Answer { more: false } => self.check_answer(place, *to, envelope),
                    Kind::Answer { more: true } | Kind::OneWay => (),
                    Kind::Question { .. } => self.check_question(place, envelope),
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

    /// S8: a client has no more questions open than it may have.
    fn check_question(&mut self, place: Place, envelope: &Envelope) {
        if let Message::Audio(Audio::Fetch { .. } | Audio::FetchPart { .. }) = envelope.message {
            let operations = self.nodes[place].resident.as_ref();
            let operations = operations
                .and_then(|node| node.client())
                .map_or(0, |c| c.operations());
            let fetches = self.checks.fetches.entry(place).or_default();
            if let Kind::Question { patience } = envelope.kind {
                fetches.insert(envelope.id, self.now + patience);
            }
            // A question whose connection broke is never answered: it counts until its patience is
            // over.
            if fetches.len() > 64 {
                fetches.retain(|_, until| *until > self.now);
            }
            if fetches.len() > QUESTIONS_ASKED_MAX {
                let text = format!("{} fetches for {operations} operations", fetches.len());
                self.violated("S8 bounds", text);
            }
        }
    }

    /// S4: a question always gets the same answer. S9: records are checked when they are sent.
    fn check_answer(&mut self, place: Place, to: Peer, envelope: &Envelope) {
        let asked = self.checks.asked_by.get(&(place, to, envelope.id)).copied();
        if let Some(heard) = asked.and_then(|key| self.checks.asked.get_mut(&key)) {
            // A long answer is made again instead of kept, and a DNS node's list ages in between.
            let ages = matches!(envelope.message, Message::Names(Names::Shared { .. }));
            match (&envelope.message, &heard.answer) {
                // A refusal changes nothing, so the same question may be tried again and succeed.
                (Message::Refused(_), _) => heard.writes = 0,
                (message, Some(before)) if before != message && !ages => {
                    let text = format!("{:?}: {before:?}, then {message:?}", envelope.id);
                    self.violated("S4 at most once", text);
                }
                (message, _) => heard.answer = Some(message.clone()),
            }
        }
        if let Message::Names(Names::Records { records, settled }) = &envelope.message {
            self.check_records(place, (to, envelope.id), records, *settled);
        }
        if let Message::Names(Names::Registered) = &envelope.message {
            self.on_registered(place, (to, envelope.id));
        }
    }

    /// S8: a node waits for no more answers than it may.
    fn check_bounds(&mut self, place: Place) {
        let slot = &self.nodes[place];
        let awaited = |id| self.network.awaited(id, place);
        let awaited: usize = slot.peers.all().map(awaited).sum();
        if awaited > QUESTIONS_ASKED_MAX {
            let text = format!("{} waits for {awaited} answers", slot.name);
            self.violated("S8 bounds", text);
        }
    }

    /// A DNS node receives a message about names.
    fn on_names(&mut self, place: Place, from: Sender, id: RequestId, names: &Names) {
        let now = self.now;
        let book = self.checks.books.entry(place).or_default();
        match names {
            Names::Register { record } => {
                book.learn(now, record);
                // A node whose disk was restored may reach the same numbers again in another role.
                let age = (record.incarnation, record.renewals, record.role);
                let before = book.registered.insert(record.node, age);
                if before.is_none_or(|before| before != age) {
                    book.pending.insert((from.peer, id), *record);
                }
            }
            // A confirmation that comes too late is ignored: its record may be served and need not
            // be.
            Names::Confirmed { record } => book.learn(now, record),
            Names::Share { records, .. } | Names::Shared { records } => {
                for record in records {
                    book.learn(now, record);
                    book.overhear(now, record);
                }
            }
            // A withdrawal that was under way for long belongs to an earlier start.
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

    /// S9: no record is served after its time is over, and no record that stands is missing.
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

/// The address at which a peer listens; `0.0.0.0:0`, where no node listens, if the peer is a guest.
fn address_of(peer: Peer) -> Address {
    match peer {
        Peer::Node(address) => address,
        Peer::Guest(_) => Address(([0, 0, 0, 0], 0).into()),
    }
}

impl Book {
    /// By whatever message it comes, a record lives for its remaining time from here on.
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

    /// A server has registered: any other node with its address is gone.
    fn stand(&mut self, now: Time, record: Record) {
        let until = now + record.ttl().min(RECORD_TTL);
        let node = record.node;
        self.displace(record.address, node, Time::NEVER);
        // A node with a restored disk registers under an earlier incarnation; the DNS node accepts
        // it once it has forgotten the later ones.
        self.latest.insert(node, record.incarnation);
        self.stands.insert(node, (record, until));
    }

    /// Another DNS node tells of a record; it may be later than the one known here.
    fn overhear(&mut self, now: Time, record: &Record) {
        let until = now + record.ttl().min(RECORD_TTL);
        if let Some((known, stands)) = self.stands.get_mut(&record.node)
            && record.supersedes(known)
        {
            if record.role != known.role {
                // If it came too late, the DNS node ignored it: either role may be served, or
                // neither.
                self.stands.remove(&record.node);
            } else {
                // This one may have come too late as well. Any of the records since the
                // registration may be the one that the DNS node has, so only the earliest end is
                // certain.
                *stands = until.min(*stands);
            }
        }
        self.displace(record.address, record.node, until);
    }

    /// Only one server can be at an address: the one whose record lasts longest.
    fn displace(&mut self, address: Address, node: NodeId, until: Time) {
        self.stands.retain(|other, (record, stands)| {
            *other == node || record.address != address || *stands > until
        });
    }
}
