//! Connections as TCP really makes and breaks them.
//!
//! Inside a connection no envelope is lost or overtaken. A reset loses an unknown tail of what is
//! under way, and each end learns of it at a moment of its own. A cut or a frozen peer holds
//! envelopes back silently. A dial is refused where no process listens, and nothing answers it
//! where the machine is off. When an address is dialled again, when a silent peer is lost and which
//! of two connections is used is decided by [`net::peering`], as on real servers.

mod dials;
mod paths;

use std::collections::BTreeMap;
use std::time::Duration;

use net::peering::{Handshake, Keepalive, Questions, backoff};
use net::wire::codec;
use roles::contract::job::{JobFault, JobReply};
use roles::contract::message::{Envelope, Kind};
use roles::contract::node::{Event, Identity, Lost, Peer, Sender};
use roles::contract::rng::Rng;
use roles::contract::time::Time;

use crate::resident::{Place, Slot, State};
use crate::world::{What, World};

/// Number of a connection; never used again.
pub type ConnId = u64;

/// Index of the end that dialled.
pub(crate) const DIALLER: usize = 0;
/// Index of the end that was dialled.
const ACCEPTER: usize = 1;

/// A connection, or a dial under way.
#[derive(Debug)]
struct Conn {
    /// The end that dialled, then the end that was dialled.
    ends: [End; 2],
    /// Envelopes that wait for the dial to succeed; none once the connection is open.
    waiting: Option<Vec<Envelope>>,
    handshake: Handshake,
    /// Envelopes do not get through in both directions.
    impaired: bool,
}

/// One end of a connection.
#[derive(Debug)]
struct End {
    /// The node at this end.
    place: Place,
    identity: Identity,
    /// How this end calls the other.
    peer: Peer,
    /// This end has closed the connection.
    gone: bool,
    /// Questions sent from here that have no final answer yet.
    awaited: Questions,
    /// Questions received here that have no final answer yet.
    unanswered: Questions,
    keepalive: Keepalive,
    /// The moment for which a look at the keepalive is planned.
    armed: Option<Time>,
    /// When the last envelope to this end arrives: no later one arrives before it.
    last_arrival: Time,
    /// What would arrive here later is lost.
    lost_after: Time,
    /// Envelopes to this end that a cut holds back.
    held: Vec<Envelope>,
}

impl End {
    fn of(now: Time, place: Place, slot: &Slot, peer: Peer) -> End {
        End {
            place,
            identity: slot.identity,
            peer,
            gone: false,
            awaited: Questions::default(),
            unanswered: Questions::default(),
            keepalive: Keepalive::new(now),
            armed: None,
            last_arrival: Time::ZERO,
            lost_after: Time::NEVER,
            held: Vec::new(),
        }
    }

    fn note_sent(&mut self, now: Time, envelope: &Envelope) {
        match envelope.kind {
            Kind::Question { patience } => self.awaited.open(envelope.id, now + patience),
            Kind::Answer { more: false } => self.unanswered.close(envelope.id),
            Kind::Answer { more: true } | Kind::OneWay => (),
        }
        self.keepalive.set_waiting(now, !self.awaited.is_empty());
    }

    fn note_received(&mut self, now: Time, envelope: &Envelope) {
        match envelope.kind {
            Kind::Question { patience } => self.unanswered.open(envelope.id, now + patience),
            Kind::Answer { more: false } => self.awaited.close(envelope.id),
            Kind::Answer { more: true } | Kind::OneWay => (),
        }
        self.keepalive.heard(now);
        self.keepalive.set_waiting(now, !self.awaited.is_empty());
    }
}

impl Conn {
    /// Whether the dial has succeeded.
    fn is_open(&self) -> bool {
        self.waiting.is_none()
    }

    fn other(&self, end: usize) -> &End {
        &self.ends[1 - end]
    }

    /// The index of the end at `place`.
    fn end_at(&self, place: Place) -> usize {
        usize::from(self.ends[DIALLER].place != place)
    }
}

/// The connections of a world, and the ways between its nodes.
#[derive(Debug)]
pub struct Network {
    conns: BTreeMap<ConnId, Conn>,
    conn_count: u64,
    guests: u64,
    /// How many cuts lie on the way from the first node to the second.
    cuts: BTreeMap<(Place, Place), u32>,
    /// Latencies, resets, jitter of dials.
    rng: Rng,
}

impl Network {
    /// A network without connections, on which everything gets through.
    pub(crate) fn new(rng: Rng) -> Network {
        Network {
            conns: BTreeMap::new(),
            conn_count: 0,
            guests: 0,
            cuts: BTreeMap::new(),
            rng,
        }
    }

    /// Whether something happens that does so `times` of `of` times.
    pub(crate) fn draw(&mut self, times: u64, of: u64) -> bool {
        self.rng.happens(times, of)
    }

    /// A number for another connection.
    pub(crate) fn fresh_conn(&mut self) -> ConnId {
        self.conn_count += 1;
        self.conn_count
    }

    /// The connections whose dial has succeeded.
    pub(crate) fn open_conns(&self) -> Vec<ConnId> {
        let open = self.conns.iter().filter(|(_, conn)| conn.is_open());
        open.map(|(id, _)| *id).collect()
    }

    /// How many answers the end of a connection at `place` waits for.
    pub(crate) fn awaited(&self, id: ConnId, place: Place) -> usize {
        let conn = self.conns.get(&id);
        conn.map_or(0, |conn| conn.ends[conn.end_at(place)].awaited.len())
    }
}

impl World {
    /// Performs a send of a node.
    pub(crate) fn send(&mut self, place: Place, to: Peer, envelope: Envelope) {
        let found = self.connection_for(place, to, &envelope);
        let Some(id) = found.or_else(|| self.dial(place, to)) else {
            return;
        };
        let Some(conn) = self.network.conns.get_mut(&id) else {
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

    /// The connection that carries an envelope to a peer, if there is one.
    fn connection_for(&self, place: Place, to: Peer, envelope: &Envelope) -> Option<ConnId> {
        let owes = |id| {
            let conn = &self.network.conns[&id];
            let end = &conn.ends[conn.end_at(place)];
            conn.is_open() && end.unanswered.holds(envelope.id)
        };
        self.nodes[place].peers.carrier(to, envelope, owes)
    }

    fn transmit(&mut self, id: ConnId, from: usize, envelope: Envelope) {
        let envelope = if self.climate.codec {
            self.through_codec(envelope)
        } else {
            envelope
        };
        let latency = self.latency();
        let now = self.now;
        let Some(conn) = self.network.conns.get_mut(&id) else {
            return;
        };
        let (a, b) = (conn.ends[from].place, conn.ends[1 - from].place);
        conn.ends[from].note_sent(now, &envelope);
        if conn.impaired {
            self.watch_end(id, from);
        }
        let Some(conn) = self.network.conns.get_mut(&id) else {
            return;
        };
        let to = &mut conn.ends[1 - from];
        if to.gone {
            return;
        }
        if self.network.cuts.contains_key(&(a, b)) {
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
        let Some(conn) = self.network.conns.get_mut(&id) else {
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
            self.nodes[place].backlog.push(what);
            return;
        }
        conn.ends[end].note_received(now, &envelope);
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

    /// An end loses its connection, and its node learns of it if no other connection stands.
    pub(crate) fn lose(&mut self, id: ConnId, end: usize, why: Lost) {
        self.close(id, end, why, Lost::Closed);
    }

    /// One end closes a connection for the reason `why`; the other end is `told` a reason of its
    /// own.
    fn close(&mut self, id: ConnId, end: usize, why: Lost, told: Lost) {
        let Some(conn) = self.network.conns.get_mut(&id) else {
            return;
        };
        if conn.ends[end].gone {
            return;
        }
        conn.ends[end].gone = true;
        let (place, peer) = (conn.ends[end].place, conn.ends[end].peer);
        let waiting = conn.waiting.take();
        let dialling = waiting.is_some();
        self.note(0x105e, id);
        self.seen.conns_lost += 1;
        if let (DIALLER, Peer::Node(address)) = (end, peer)
            && backoff::is_failed_dial(!dialling, why)
        {
            self.seen.dials_failed += 1;
            let rng = &mut self.network.rng;
            self.nodes[place].backoffs.failed(address, self.now, rng);
        }
        if !dialling {
            self.tell_other_end(id, 1 - end, told);
        }
        if dialling || self.network.conns[&id].ends[1 - end].gone {
            self.network.conns.remove(&id);
        }
        let lost = self.nodes[place].peers.closed(peer, id);
        if let Some(retired) = lost {
            for other in retired {
                self.drop_end(other, place);
            }
            self.abandon(place, peer);
            self.soon(place, Event::Lost { peer, why });
        } else if self.nodes[place].peers.knows(peer) {
            for envelope in waiting.unwrap_or_default() {
                self.send(place, peer, envelope);
            }
        }
    }

    /// Performs a hang-up of a node: it is told no loss.
    pub(crate) fn hang(&mut self, place: Place, peer: Peer) {
        for id in self.nodes[place].peers.with(peer) {
            self.nodes[place].peers.closed(peer, id);
            self.drop_end(id, place);
        }
        self.abandon(place, peer);
    }

    /// Closes one end of a connection without telling its node.
    pub(crate) fn drop_end(&mut self, id: ConnId, place: Place) {
        let Some(conn) = self.network.conns.get_mut(&id) else {
            return;
        };
        let end = conn.end_at(place);
        conn.ends[end].gone = true;
        if conn.waiting.is_some() || conn.ends[1 - end].gone {
            self.network.conns.remove(&id);
        } else {
            self.tell_other_end(id, 1 - end, Lost::Closed);
        }
    }

    /// The other end learns that the connection is over, unless nothing reaches that end at
    /// present.
    fn tell_other_end(&mut self, id: ConnId, end: usize, told: Lost) {
        let Some(conn) = self.network.conns.get(&id) else {
            return;
        };
        let (to, from) = (conn.ends[end].place, conn.other(end).place);
        if conn.ends[end].gone || self.network.cuts.contains_key(&(from, to)) {
            return;
        }
        if self.nodes[from].state == State::Dark {
            return;
        }
        let wait = self.latency();
        self.end_later(id, end, wait, told);
    }

    /// An end learns after `wait` that its connection is over; what arrives later than that is
    /// lost.
    fn end_later(&mut self, id: ConnId, end: usize, wait: Duration, why: Lost) {
        let at = self.now + wait;
        if let Some(conn) = self.network.conns.get_mut(&id) {
            conn.ends[end].lost_after = conn.ends[end].lost_after.min(at);
            self.agenda.plan(at, What::EndConn { conn: id, end, why });
        }
    }

    /// An end learns that its connection is over.
    pub(crate) fn on_end_conn(&mut self, id: ConnId, end: usize, why: Lost) {
        let Some(conn) = self.network.conns.get(&id) else {
            return;
        };
        let place = conn.ends[end].place;
        if self.nodes[place].state == State::Frozen {
            let what = What::EndConn { conn: id, end, why };
            self.nodes[place].backlog.push(what);
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
    pub(crate) fn latency(&mut self) -> Duration {
        let mean = self.climate.latency;
        let tail = self.climate.latency_tail;
        let rng = &mut self.network.rng;
        let usual = mean / 2 + rng.within(mean);
        if tail > 0 && rng.happens(1, tail) {
            return usual * (2 + rng.below(18) as u32);
        }
        usual
    }
}
