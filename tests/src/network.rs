//! Connections as TCP really makes and breaks them.
//!
//! Inside a connection no envelope is lost or overtaken. A reset loses an unknown tail of what is
//! under way, and each end learns of it at a moment of its own. A cut or a frozen peer holds
//! envelopes back silently; the keepalive of each end notices after a while. A dial is refused
//! where no process listens, ends in a timeout where nothing answers, and is not repeated until its
//! backoff is over. Of two connections between the same two nodes, as in the real loop, the one
//! dialled by the lower node is used.

mod paths;

use std::collections::BTreeSet;
use std::time::Duration;

use net::wire::codec;
use roles::contract::id::RequestId;
use roles::contract::job::{JobFault, JobReply};
use roles::contract::message::{Envelope, Kind};
use roles::contract::node::{Event, Identity, Lost, Peer, Sender};
use roles::contract::record::Address;
use roles::contract::time::Time;

use crate::resident::{Place, State};
use crate::world::{What, World};

/// Number of a connection; never used again.
pub type ConnId = u64;

/// Longest time that a dial may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Silence that ends a connection on which an answer is awaited.
pub const WAITING_LOST_AFTER: Duration = Duration::from_secs(3);

/// Silence that ends any connection.
const IDLE_LOST_AFTER: Duration = Duration::from_secs(45);

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_LONGEST: Duration = Duration::from_secs(5);

/// Index of the end that dialled.
const DIALLER: usize = 0;
/// Index of the end that was dialled.
const ACCEPTER: usize = 1;

/// A connection, or a dial under way.
#[derive(Debug)]
pub struct Conn {
    /// The end that dialled, then the end that was dialled.
    pub ends: [End; 2],
    /// Envelopes that wait for the dial to succeed; none once the connection is open.
    waiting: Option<Vec<Envelope>>,
    dialled_at: Time,
    /// The two nodes use another connection instead.
    retired: bool,
    /// Since when envelopes do not get through in both directions.
    impaired_since: Option<Time>,
}

/// One end of a connection.
#[derive(Debug)]
pub struct End {
    /// The node at this end.
    pub place: Place,
    start: u64,
    identity: Identity,
    /// How this end calls the other.
    pub peer: Peer,
    /// This end has closed the connection.
    pub gone: bool,
    /// Questions sent from here that have no final answer yet.
    pub awaited: BTreeSet<RequestId>,
    /// Questions received here that have no final answer yet.
    unanswered: BTreeSet<RequestId>,
    /// When the last envelope to this end arrives: no later one arrives before it.
    last_arrival: Time,
    /// What would arrive here later is lost.
    lost_after: Time,
    /// Envelopes to this end that a cut holds back.
    held: Vec<Envelope>,
}

impl End {
    fn of(place: Place, start: u64, identity: Identity, peer: Peer) -> End {
        End {
            place,
            start,
            identity,
            peer,
            gone: false,
            awaited: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            last_arrival: Time::ZERO,
            lost_after: Time::NEVER,
            held: Vec::new(),
        }
    }
}

impl Conn {
    /// Whether the dial has succeeded.
    pub fn is_open(&self) -> bool {
        self.waiting.is_none()
    }

    fn other(&self, end: usize) -> &End {
        &self.ends[1 - end]
    }

    /// The index of the end at `place`.
    pub fn end_at(&self, place: Place) -> usize {
        usize::from(self.ends[DIALLER].place != place)
    }
}

impl World {
    /// Performs a send of a node.
    pub(crate) fn send(&mut self, place: Place, to: Peer, envelope: Envelope) {
        let found = self.connection_for(place, to, &envelope);
        let Some(id) = found.or_else(|| self.dial(place, to)) else {
            return;
        };
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        match &mut conn.waiting {
            Some(waiting) => waiting.push(envelope),
            None => {
                let from = conn.end_at(place);
                self.transmit(id, from, envelope);
            }
        }
    }

    /// The connection for an envelope: an answer takes the one its question came on, anything else
    /// the one in use.
    fn connection_for(&self, place: Place, to: Peer, envelope: &Envelope) -> Option<ConnId> {
        let conns = self.nodes[place].peers.get(&to)?;
        if conns.len() > 1
            && let Kind::Answer { .. } = envelope.kind
        {
            let owes = |id: &&ConnId| {
                let conn = &self.conns[*id];
                conn.is_open()
                    && conn.ends[conn.end_at(place)]
                        .unanswered
                        .contains(&envelope.id)
            };
            if let Some(id) = conns.iter().find(owes) {
                return Some(*id);
            }
        }
        conns.first().copied()
    }

    fn transmit(&mut self, id: ConnId, from: usize, envelope: Envelope) {
        let envelope = if self.climate.codec {
            self.through_codec(envelope)
        } else {
            envelope
        };
        let latency = self.latency();
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let (a, b) = (conn.ends[from].place, conn.ends[1 - from].place);
        let question = matches!(envelope.kind, Kind::Question { .. });
        if question {
            conn.ends[from].awaited.insert(envelope.id);
        } else if envelope.kind == (Kind::Answer { more: false }) {
            conn.ends[from].unanswered.remove(&envelope.id);
        }
        // An impaired connection is watched only from the cut on: a later question needs a watch of
        // its own.
        if question && conn.impaired_since.is_some() {
            let what = What::Silence {
                conn: id,
                end: from,
            };
            self.agenda.plan(now + WAITING_LOST_AFTER, what);
        }
        let to = &mut conn.ends[1 - from];
        if to.gone {
            return;
        }
        if self.cuts.contains_key(&(a, b)) {
            to.held.push(envelope);
            return;
        }
        to.last_arrival = to.last_arrival.max(now + latency);
        let (at, end) = (to.last_arrival, 1 - from);
        let envelope = Box::new(envelope);
        self.agenda.plan(
            at,
            What::Arrive {
                conn: id,
                end,
                envelope,
            },
        );
    }

    /// Encodes and decodes an envelope; the result must equal the original.
    fn through_codec(&mut self, envelope: Envelope) -> Envelope {
        let Envelope {
            id,
            kind,
            message,
            body,
        } = envelope;
        let encoded = codec::encode(kind, &message, body);
        let decoded = encoded.and_then(|encoded| {
            let prefix = codec::prefix(&encoded.head)?;
            let head = &encoded.head[codec::PREFIX_BYTES..];
            debug_assert_eq!(prefix.head_bytes, head.len());
            Ok((codec::decode(head)?, encoded.body))
        });
        match decoded {
            Ok((heard, body)) => {
                if heard != message {
                    self.violated("codec", format!("{message:?} was heard as {heard:?}"));
                }
                Envelope {
                    id,
                    kind,
                    message: heard,
                    body,
                }
            }
            Err(why) => {
                self.violated("codec", format!("{message:?} cannot be written: {why}"));
                let body = Vec::new();
                Envelope {
                    id,
                    kind,
                    message,
                    body,
                }
            }
        }
    }

    /// An envelope reaches an end.
    pub(crate) fn on_arrive(&mut self, id: ConnId, end: usize, envelope: Box<Envelope>) {
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let place = conn.ends[end].place;
        if conn.ends[end].gone || now > conn.ends[end].lost_after {
            return;
        }
        if self.nodes[place].state == State::Frozen {
            let what = What::Arrive {
                conn: id,
                end,
                envelope,
            };
            self.backlogs.entry(place).or_default().push(what);
            return;
        }
        match envelope.kind {
            Kind::Question { .. } => {
                conn.ends[end].unanswered.insert(envelope.id);
            }
            Kind::Answer { more: false } => {
                conn.ends[end].awaited.remove(&envelope.id);
            }
            Kind::Answer { more: true } | Kind::OneWay => (),
        }
        let Identity {
            node, incarnation, ..
        } = conn.other(end).identity;
        let peer = conn.ends[end].peer;
        let from = Sender {
            peer,
            node,
            incarnation,
        };
        let envelope = *envelope;
        self.hand(place, Event::Message { from, envelope });
    }

    fn dial(&mut self, place: Place, to: Peer) -> Option<ConnId> {
        let Peer::Node(address) = to else {
            return None; // A guest that is gone cannot be dialled.
        };
        let held = self.nodes[place].backoffs.get(&address);
        if held.is_some_and(|(_, until)| self.now < *until) {
            let why = Lost::Backoff;
            self.soon(place, Event::Lost { peer: to, why });
            return None;
        }
        self.conn_count += 1;
        let id = self.conn_count;
        let slot = &self.nodes[place];
        let dialler = End::of(place, slot.start, slot.identity, to);
        // The listener is known only when the dial ends; until then no node is at the other end.
        let nobody = End::of(
            usize::MAX,
            0,
            slot.identity,
            slot.address.map_or(to, Peer::Node),
        );
        let conn = Conn {
            ends: [dialler, nobody],
            waiting: Some(Vec::new()),
            dialled_at: self.now,
            retired: false,
            impaired_since: None,
        };
        self.conns.insert(id, conn);
        self.nodes[place].peers.entry(to).or_default().push(id);
        let takes = self.latency() + self.latency();
        self.agenda
            .plan(self.now + takes, What::DialEnds { conn: id });
        Some(id)
    }

    /// A dial has ended, or has to wait for its timeout.
    pub(crate) fn on_dial_ends(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let (place, peer) = (conn.ends[DIALLER].place, conn.ends[DIALLER].peer);
        let timeout = conn.dialled_at + CONNECT_TIMEOUT;
        let Peer::Node(address) = peer else {
            return;
        };
        if self.nodes[place].state == State::Frozen {
            let what = What::DialEnds { conn: id };
            self.backlogs.entry(place).or_default().push(what);
            return;
        }
        let target = self.places.get(&address).copied();
        let reached = target.filter(|t| self.is_through(place, *t));
        let Some(target) = reached else {
            if self.now < timeout {
                return self.agenda.plan(timeout, What::DialEnds { conn: id });
            }
            return self.dial_failed(id, address, Lost::ConnectTimeout);
        };
        match self.nodes[target].state {
            State::Down => self.dial_failed(id, address, Lost::ConnectRefused),
            State::Frozen | State::Dark if self.now < timeout => {
                self.agenda.plan(timeout, What::DialEnds { conn: id });
            }
            State::Frozen | State::Dark => self.dial_failed(id, address, Lost::Silent),
            State::Up if target == place => {
                self.violated("own voice", format!("{peer} dials itself"));
                self.dial_failed(id, address, Lost::Misbehaved);
            }
            State::Up => self.join(id, target, address),
        }
    }

    fn dial_failed(&mut self, id: ConnId, address: Address, why: Lost) {
        self.seen.dials_failed += 1;
        let place = self.conns[&id].ends[DIALLER].place;
        let jitter = self.chances.network.within(BACKOFF_FIRST);
        let now = self.now;
        let backoff = self.nodes[place].backoffs.entry(address).or_default();
        let pause = (BACKOFF_FIRST * (1 << backoff.0.min(6))).min(BACKOFF_LONGEST);
        *backoff = (backoff.0 + 1, now + pause / 2 + jitter.min(pause / 2));
        self.lose(id, DIALLER, why);
    }

    fn join(&mut self, id: ConnId, target: Place, address: Address) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let place = conn.ends[DIALLER].place;
        let named = match self.nodes[place].address {
            Some(address) => Peer::Node(address),
            None => {
                self.guests += 1;
                Peer::Guest(self.guests)
            }
        };
        self.nodes[place].backoffs.remove(&address);
        if let Peer::Node(dialler) = named {
            self.nodes[target].backoffs.remove(&dialler);
        }
        self.end_outdated(place, target);
        self.end_outdated(target, place);
        let slot = &self.nodes[target];
        let accepter = End::of(target, slot.start, slot.identity, named);
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        conn.ends[ACCEPTER] = accepter;
        let waiting = conn.waiting.take().unwrap_or_default();
        self.choose(place, Peer::Node(address), id);
        self.choose(target, named, id);
        self.note(0x0be9, id);
        for envelope in waiting {
            self.transmit(id, DIALLER, envelope);
        }
    }

    /// Ends the connections to earlier starts of a node, because a later start of it has said
    /// hello.
    fn end_outdated(&mut self, place: Place, other: Place) {
        let start = self.nodes[other].start;
        let own = self.nodes[place].start;
        let old = |conn: &Conn| {
            let end = conn.end_at(place);
            let (mine, theirs) = (&conn.ends[end], conn.other(end));
            let same = theirs.identity.node == self.nodes[other].identity.node;
            mine.place == place
                && mine.start == own
                && !mine.gone
                && theirs.place == other
                && theirs.start < start
                && same
        };
        let ids: Vec<(ConnId, usize)> = (self.conns.iter())
            .filter(|(_, conn)| conn.is_open() && old(conn))
            .map(|(id, conn)| (*id, conn.end_at(place)))
            .collect();
        for (id, end) in ids {
            self.lose(id, end, Lost::Closed);
        }
    }

    /// Chooses which of several connections between two nodes is used: the one dialled by the lower
    /// node; of two dialled by the same node, the later one.
    fn choose(&mut self, place: Place, peer: Peer, id: ConnId) {
        let nodes = &mut self.nodes;
        // The new connection goes first, so that the minimum below prefers it among equals.
        let all = nodes[place].peers.entry(peer).or_default();
        all.retain(|other| *other != id);
        all.insert(0, id);
        let conns = &self.conns;
        let open = all.iter().filter(|id| {
            let conn = &conns[*id];
            conn.is_open() && !conn.retired
        });
        let used = open.min_by_key(|id| conns[*id].ends[DIALLER].identity.node);
        let used = used.copied().unwrap_or(id);
        all.retain(|other| *other != used);
        all.insert(0, used);
        for other in all.clone() {
            if let Some(conn) = self.conns.get_mut(&other) {
                conn.retired = other != used && conn.is_open();
            }
        }
    }

    /// One end closes a connection. Its node learns of the loss if no other connection stands.
    pub(crate) fn lose(&mut self, id: ConnId, end: usize, why: Lost) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if conn.ends[end].gone {
            return;
        }
        conn.ends[end].gone = true;
        let (place, peer, retired) = (conn.ends[end].place, conn.ends[end].peer, conn.retired);
        let waiting = conn.waiting.take();
        let dialling = waiting.is_some();
        self.note(0x105e, id);
        self.seen.conns_lost += 1;
        if !dialling {
            self.tell_other_end(id, 1 - end);
        }
        if dialling || self.conns[&id].ends[1 - end].gone {
            self.conns.remove(&id);
        }
        let Some(all) = self.nodes[place].peers.get_mut(&peer) else {
            return;
        };
        all.retain(|other| *other != id);
        let stands = all.iter().any(|id| !self.conns[id].retired);
        if stands {
            for envelope in waiting.unwrap_or_default() {
                self.send(place, peer, envelope);
            }
            return;
        }
        if retired && !all.is_empty() {
            return;
        }
        let rest = self.nodes[place].peers.remove(&peer).unwrap_or_default();
        for other in rest {
            self.drop_end(other, place);
        }
        self.abandon(place, peer);
        self.soon(place, Event::Lost { peer, why });
    }

    /// Closes one end of a connection without telling its node.
    pub(crate) fn drop_end(&mut self, id: ConnId, place: Place) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let end = conn.end_at(place);
        conn.ends[end].gone = true;
        if conn.waiting.is_some() || conn.ends[1 - end].gone {
            self.conns.remove(&id);
        } else {
            self.tell_other_end(id, 1 - end);
        }
    }

    /// The other end learns that the connection is over, unless nothing reaches that end at
    /// present.
    fn tell_other_end(&mut self, id: ConnId, end: usize) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let (to, from) = (conn.ends[end].place, conn.other(end).place);
        if conn.ends[end].gone || self.cuts.contains_key(&(from, to)) {
            return;
        }
        if self.nodes[from].state == State::Dark {
            return;
        }
        let wait = self.latency();
        self.end_later(id, end, wait, Lost::Closed);
    }

    /// An end learns after `wait` that its connection is over; what arrives later than that is
    /// lost.
    fn end_later(&mut self, id: ConnId, end: usize, wait: Duration, why: Lost) {
        let at = self.now + wait;
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.ends[end].lost_after = conn.ends[end].lost_after.min(at);
            self.agenda.plan(at, What::EndConn { conn: id, end, why });
        }
    }

    /// An end learns that its connection is over.
    pub(crate) fn on_end_conn(&mut self, id: ConnId, end: usize, why: Lost) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let place = conn.ends[end].place;
        if self.nodes[place].state == State::Frozen {
            let what = What::EndConn { conn: id, end, why };
            self.backlogs.entry(place).or_default().push(what);
            return;
        }
        self.lose(id, end, why);
    }

    /// Parked jobs for a peer that is gone fail: it will never have room for them.
    fn abandon(&mut self, place: Place, peer: Peer) {
        let slot = &self.nodes[place];
        let parked = |job: &&roles::contract::id::JobId| {
            let running = &slot.jobs[*job];
            running.parked && running.toward == Some(peer)
        };
        let jobs: Vec<_> = slot.jobs.keys().filter(parked).copied().collect();
        for job in jobs {
            self.nodes[place].jobs.remove(&job);
            self.seen.jobs_abandoned += 1;
            let reply = JobReply::Failed(JobFault::Abandoned);
            self.soon(place, Event::Done { job, reply });
        }
    }

    /// A random delay for one envelope.
    fn latency(&mut self) -> Duration {
        let mean = self.climate.latency;
        let tail = self.climate.latency_tail;
        let rng = &mut self.chances.network;
        let usual = mean / 2 + rng.within(mean);
        if tail > 0 && rng.happens(1, tail) {
            return usual * (2 + rng.below(18) as u32);
        }
        usual
    }
}
