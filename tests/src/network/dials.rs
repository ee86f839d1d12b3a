//! How a connection comes to be: the dial, its answer or its timeout, and the two hellos.

use net::peering::Handshake;
use roles::contract::node::{Event, Lost, Peer};
use roles::contract::record::Address;

use super::{ACCEPTER, Conn, ConnId, DIALLER, End};
use crate::resident::{Place, State};
use crate::world::{What, World};

impl World {
    pub(super) fn dial(&mut self, place: Place, to: Peer) -> Option<ConnId> {
        let Peer::Node(address) = to else {
            return None; // A guest that is gone cannot be dialled.
        };
        if self.nodes[place].backoffs.holds(address, self.now) {
            let why = Lost::Backoff;
            self.soon(place, Event::Lost { peer: to, why });
            return None;
        }
        let id = self.network.fresh_conn();
        let slot = &self.nodes[place];
        let dialler = End::of(self.now, place, slot, to);
        // The listener is known only when the dial ends; until then no node is at the other end.
        let own = slot.address.map_or(to, Peer::Node);
        let nobody = End::of(self.now, usize::MAX, slot, own);
        let conn = Conn {
            ends: [dialler, nobody],
            waiting: Some(Vec::new()),
            handshake: Handshake::dialled(self.now),
            impaired: false,
        };
        self.network.conns.insert(id, conn);
        self.nodes[place].peers.dialled(to, id);
        let takes = self.latency() + self.latency();
        self.agenda
            .plan(self.now + takes, What::DialEnds { conn: id });
        Some(id)
    }

    /// A dial has ended, or has to wait for its timeout.
    pub(crate) fn on_dial_ends(&mut self, id: ConnId) {
        let Some(conn) = self.network.conns.get_mut(&id) else {
            return;
        };
        let (place, peer) = (conn.ends[DIALLER].place, conn.ends[DIALLER].peer);
        let Peer::Node(address) = peer else {
            return;
        };
        if self.nodes[place].state == State::Frozen {
            let what = What::DialEnds { conn: id };
            self.nodes[place].backlog.push(what);
            return;
        }
        let target = self.spawner.at(address);
        let reached = target.filter(|t| self.is_through(place, *t));
        let Some(target) = reached else {
            return self.wait_for_hello(id);
        };
        match self.nodes[target].state {
            State::Down => self.lose(id, DIALLER, Lost::ConnectRefused),
            State::Dark => self.wait_for_hello(id),
            State::Frozen => {
                // The kernel of a frozen process accepts; only the process stays silent.
                if let Some(conn) = self.network.conns.get_mut(&id) {
                    conn.handshake.connected(self.now);
                }
                self.wait_for_hello(id);
            }
            State::Up if target == place => {
                self.violated("own voice", format!("{peer} dials itself"));
                self.lose(id, DIALLER, Lost::Misbehaved);
            }
            State::Up if self.has_borders() => self.knock(id, place, target),
            State::Up => self.join(id, target, address),
        }
    }

    /// The hellos of an accepted connection have travelled.
    pub(crate) fn on_greets(&mut self, place: Place, start: u64, id: ConnId) {
        if self.nodes[place].state == State::Frozen {
            let conn = id;
            let what = What::Greets { place, start, conn };
            return self.nodes[place].backlog.push(what);
        }
        let greets = self.greets(place, start, id);
        let dialler = self.network.conns.get(&id).map(|conn| &conn.ends[DIALLER]);
        if let (Some(dialler), true) = (dialler, greets)
            && let Peer::Node(address) = dialler.peer
        {
            if self.is_through(dialler.place, place) && self.nodes[place].state == State::Up {
                self.join(id, place, address);
            } else {
                self.wait_for_hello(id);
            }
        }
    }

    /// A dial without an answer is looked at again when its time is over, and then fails.
    fn wait_for_hello(&mut self, id: ConnId) {
        let handshake = self.network.conns[&id].handshake;
        match handshake.on_tick(self.now) {
            Ok(()) => {
                let at = handshake.deadline();
                self.agenda.plan(at, What::DialEnds { conn: id });
            }
            Err(why) => self.lose(id, DIALLER, why),
        }
    }

    fn join(&mut self, id: ConnId, target: Place, address: Address) {
        let Some(conn) = self.network.conns.get(&id) else {
            return;
        };
        let place = conn.ends[DIALLER].place;
        if self.nodes[target]
            .peers
            .is_outdated(self.nodes[place].who())
        {
            return self.lose(id, DIALLER, Lost::Outdated);
        }
        let named = match self.nodes[place].address {
            Some(address) => Peer::Node(address),
            None => {
                self.network.guests += 1;
                Peer::Guest(self.network.guests)
            }
        };
        if self.nodes[place]
            .peers
            .is_outdated(self.nodes[target].who())
        {
            self.lose(id, DIALLER, Lost::Closed);
            return self.farewell_outdated(target, named);
        }
        self.nodes[place].backoffs.succeeded(address);
        if let Peer::Node(dialler) = named {
            self.nodes[target].backoffs.succeeded(dialler);
        }
        let now = self.now;
        let dialler = End::of(now, place, &self.nodes[place], Peer::Node(address));
        let accepter = End::of(now, target, &self.nodes[target], named);
        let Some(conn) = self.network.conns.get_mut(&id) else {
            return;
        };
        conn.ends = [dialler, accepter];
        let waiting = conn.waiting.take().unwrap_or_default();
        self.greet(id, DIALLER);
        self.greet(id, ACCEPTER);
        self.note(0x0be9, id);
        for envelope in waiting {
            self.transmit(id, DIALLER, envelope);
        }
    }

    /// A node that was refused by the peer it had accepted learns that a later start of it exists.
    fn farewell_outdated(&mut self, place: Place, peer: Peer) {
        if !self.nodes[place].peers.knows(peer) {
            let why = Lost::Outdated;
            self.soon(place, Event::Lost { peer, why });
        }
    }

    /// An end hears the hello of the other: connections to earlier starts of that node end, and of
    /// those to this start one is used. The others stand until their peer is lost, because the
    /// world does not simulate the goodbye of a retired connection.
    fn greet(&mut self, id: ConnId, end: usize) {
        // The first end may have ended this connection together with an outdated one.
        let Some(conn) = self.network.conns.get(&id) else {
            return;
        };
        let (place, peer) = (conn.ends[end].place, conn.ends[end].peer);
        let dialled_by = conn.ends[DIALLER].identity.node;
        let who = self.nodes[conn.other(end).place].who();
        for outdated in self.nodes[place].peers.outdated_by(who) {
            if let Some(conn) = self.network.conns.get(&outdated) {
                let end = conn.end_at(place);
                self.close(outdated, end, Lost::Closed, Lost::Outdated);
            }
        }
        let peers = &mut self.nodes[place].peers;
        peers.opened(peer, id, who, dialled_by);
    }
}
