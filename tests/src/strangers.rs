//! Silent strangers: connections without the key that take the places of newcomers.
//!
//! In such a world every connection of a node is accepted first and opens later, when the dialler's
//! opening has travelled there and back. Meanwhile it is a newcomer among others: who makes room for
//! whom, and how long a newcomer may stay, is decided by [`net::peering`], as on real servers.
//! Strangers connect in bursts: they say nothing, or they send half an opening, or an opening that
//! was recorded elsewhere, after which they cannot go on.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use net::peering::{Handshake, Newcomers};
use roles::contract::id::{RequestId, SongId};
use roles::contract::message::{Audio, Catalogue, Message, Names};
use roles::contract::node::{Lost, Peer};
use roles::contract::record::Role;
use roles::contract::rng::Rng;
use roles::contract::time::Time;

use crate::climate::Climate;
use crate::mutants::RING_LENGTH;
use crate::network::{ConnId, DIALLER};
use crate::resident::{Kind, Place, State};
use crate::run;
use crate::world::{What, World};

/// Places for newcomers at each node: few, so that small bursts fill them.
const PLACES: usize = 16;

/// A newcomer is safe until so many others have come after it: one address has half of the places.
/// Where more of them than that are held by newcomers with a proof, the rest counts.
const SAFE_FROM: usize = PLACES / 2;

/// A question over a connection of its own is answered within this time: a few lost handshakes and
/// the pauses after them.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// Time between two such questions.
const ASKED_EVERY: Duration = Duration::from_millis(500);

/// The most strangers that come at one moment.
const BURST_MAX: u64 = 24;

/// A mistake in the use of the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BorderMutant {
    /// A newcomer for whom there is no place is refused, and the oldest one stays.
    RefusesTheNew,
    /// The newcomer that came last makes room.
    GivesUpTheYoungest,
    /// The handshake of a newcomer has no time limit, and it makes no room.
    NeverTimesOut,
    /// A connection that has opened keeps its place among the newcomers.
    CountsMembers,
}

impl BorderMutant {
    /// Every mutant.
    pub const ALL: [BorderMutant; 4] = [
        BorderMutant::RefusesTheNew,
        BorderMutant::GivesUpTheYoungest,
        BorderMutant::NeverTimesOut,
        BorderMutant::CountsMembers,
    ];
}

/// The newcomers at one node.
#[derive(Debug)]
pub struct Border {
    newcomers: Newcomers<ConnId>,
    waiting: BTreeMap<ConnId, Waiting>,
    arrivals: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    stranger: bool,
    /// Its opening has arrived, made under the key.
    proven: bool,
    /// Arrivals at this node before it.
    after: u64,
    handshake: Handshake,
}

impl Default for Border {
    fn default() -> Self {
        Border {
            newcomers: Newcomers::new(PLACES),
            waiting: BTreeMap::new(),
            arrivals: 0,
        }
    }
}

impl Border {
    fn prove(&mut self, conn: ConnId) {
        self.newcomers.proved(conn);
        if let Some(waiting) = self.waiting.get_mut(&conn) {
            waiting.proven = true;
        }
    }

    /// How many others must follow a newcomer before it may be given up.
    fn safe(&self) -> u64 {
        let proven = self.waiting.values().filter(|waiting| waiting.proven);
        let free = PLACES.saturating_sub(proven.count());
        SAFE_FROM.min(free).saturating_sub(1) as u64
    }

    fn leave(&mut self, conn: ConnId) -> Option<Waiting> {
        self.newcomers.left(conn);
        self.waiting.remove(&conn)
    }

    fn youngest(&self) -> Option<ConnId> {
        let youngest = self.waiting.iter().max_by_key(|(_, waiting)| waiting.after);
        youngest.map(|(conn, _)| *conn)
    }
}

/// A question of the probe.
#[derive(Clone, Copy, Debug)]
struct Asked {
    place: Place,
    start: u64,
    since: Time,
    id: RequestId,
}

/// What the world knows of strangers.
#[derive(Debug, Default)]
pub struct Strangers {
    /// The world has a border.
    on: bool,
    mutant: Option<BorderMutant>,
    /// The question of the probe that waits for its answer.
    asked: Option<Asked>,
    /// When the probe last began to ask.
    asked_at: Time,
    /// Strangers so far.
    pub(crate) count: u64,
    /// Questions answered over connections of their own.
    pub(crate) answered: u64,
}

impl Climate {
    /// A small world with strangers: bursts of them, many times a second. Every third has no other
    /// fault; in the others connections break and servers die or freeze.
    pub fn of_strangers(seed: u64, rng: &mut Rng) -> Climate {
        let mut climate = Climate::of_liars(seed, rng);
        climate.latency = Duration::from_micros(200 + rng.below(5_000));
        climate.faults.cut = None;
        climate.faults.strangers = Some(Duration::from_millis(20 + rng.below(200)));
        climate
    }
}

impl World {
    /// The small world of a seed with strangers.
    pub fn of_strangers(seed: u64) -> World {
        let mut rng = Rng::from_seed(seed);
        let climate = Climate::of_strangers(seed, &mut rng);
        let mut world = World::new(rng.bits(), climate);
        world.strangers.on = true;
        world
    }

    /// Makes every border wrong in one way.
    pub fn plant_at_borders(&mut self, mutant: BorderMutant) {
        self.strangers.mutant = Some(mutant);
    }

    pub(crate) fn has_borders(&self) -> bool {
        self.strangers.on
    }

    /// A burst of strangers comes to a running server.
    pub(crate) fn strangers_come(&mut self) {
        let up = |w: &World, p: Place| w.is_server(p) && w.nodes[p].state == State::Up;
        let Some(place) = self.some(up) else {
            return;
        };
        let count = 1 + self.faults.rng.below(BURST_MAX);
        let own = self.faults.rng.happens(1, 4);
        let spread = [1, 4, 200][self.faults.rng.below(3) as usize];
        for _ in 0..count {
            let number = self.faults.rng.below(spread) as u8;
            // Some strangers sit behind the address of an honest server.
            let from = if own {
                origin(0, number % self.nodes.len() as u8)
            } else {
                origin(99, number)
            };
            self.stranger_comes(place, from);
        }
        self.probe_border();
    }

    fn stranger_comes(&mut self, place: Place, from: IpAddr) {
        self.strangers.count += 1;
        let id = self.network.fresh_conn();
        self.accept(place, id, from, true);
        // An opening that was recorded elsewhere proves the key. No hello can follow it.
        if self.faults.rng.happens(1, 8) {
            self.nodes[place].border.prove(id);
        }
    }

    /// A connection arrives at a node. When there is no place for it, another newcomer goes.
    fn accept(&mut self, place: Place, id: ConnId, from: IpAddr, stranger: bool) {
        let mutant = self.strangers.mutant;
        let border = &mut self.nodes[place].border;
        let mut other = border.newcomers.in_the_way_of(from);
        match mutant {
            Some(BorderMutant::RefusesTheNew) if other.is_some() => return,
            Some(BorderMutant::GivesUpTheYoungest) => other = other.and(border.youngest()),
            Some(BorderMutant::NeverTimesOut) if other.is_some() => return,
            Some(_) | None => (),
        }
        let safe = border.safe();
        let given_up = other.and_then(|other| Some((other, border.leave(other)?)));
        let after = border.arrivals;
        border.arrivals += 1;
        border.newcomers.arrived(id, from);
        let handshake = Handshake::accepted(self.now);
        let waiting = Waiting {
            stranger,
            proven: false,
            after,
            handshake,
        };
        border.waiting.insert(id, waiting);
        if border.newcomers.len() > PLACES {
            let text = format!("{} has {}", self.nodes[place].name, PLACES + 1);
            self.violated("places are bounded", text);
        }
        let start = self.nodes[place].start;
        let conn = id;
        let ends = What::NewcomerEnds { place, start, conn };
        self.agenda.plan(handshake.deadline(), ends);
        if let Some((other, waiting)) = given_up {
            self.on_given_up(place, other, waiting, safe);
        }
    }

    fn on_given_up(&mut self, place: Place, id: ConnId, waiting: Waiting, safe: u64) {
        if waiting.stranger {
            return;
        }
        // The newcomer in whose favour it goes has been counted already.
        let since = self.nodes[place].border.arrivals - waiting.after - 1;
        if since < safe {
            let name = &self.nodes[place].name;
            let text = format!("{name} gives up a dialler that {since} others have followed");
            self.violated("strangers push nobody out at once", text);
        }
        self.lose(id, DIALLER, Lost::HandshakeRefused);
    }

    /// A node's dial arrives. It opens when the two hellos have travelled.
    pub(crate) fn knock(&mut self, id: ConnId, dialler: Place, target: Place) {
        let from = match self.nodes[dialler].kind {
            Kind::Server(_) => origin(0, dialler as u8),
            Kind::Client | Kind::Probe => origin(1, dialler as u8),
        };
        self.accept(target, id, from, false);
        if !self.nodes[target].border.waiting.contains_key(&id) {
            return self.lose(id, DIALLER, Lost::HandshakeRefused);
        }
        // Mostly the opening is there when the connection is accepted.
        if self.network.draw(3, 4) {
            self.nodes[target].border.prove(id);
        }
        let takes = self.latency() + self.latency();
        let start = self.nodes[target].start;
        let what = What::Greets {
            place: target,
            start,
            conn: id,
        };
        self.agenda.plan(self.now + takes, what);
    }

    /// The hellos of a dial have travelled. True: the connection still has its place, and opens.
    pub(crate) fn greets(&mut self, place: Place, start: u64, id: ConnId) -> bool {
        let slot = &mut self.nodes[place];
        if slot.start != start {
            self.lose(id, DIALLER, Lost::Closed);
            return false;
        }
        if self.strangers.mutant == Some(BorderMutant::CountsMembers) {
            slot.border.prove(id);
            return slot.border.waiting.remove(&id).is_some();
        }
        slot.border.leave(id).is_some()
    }

    /// The time of a newcomer is over.
    pub(crate) fn on_newcomer_ends(&mut self, place: Place, start: u64, id: ConnId) {
        let mutant = self.strangers.mutant;
        let slot = &mut self.nodes[place];
        if slot.start != start || mutant == Some(BorderMutant::NeverTimesOut) {
            return;
        }
        let Some(waiting) = slot.border.waiting.get(&id).copied() else {
            return;
        };
        if waiting.handshake.on_tick(self.now).is_ok() {
            return;
        }
        slot.border.leave(id);
        if !waiting.stranger {
            self.lose(id, DIALLER, Lost::HandshakeRefused);
        }
    }

    /// The probe asks some server over a connection of its own, and must be answered in time.
    fn probe_border(&mut self) {
        if let Some(asked) = self.strangers.asked {
            return self.look_for_answer(asked);
        }
        let probe = self.place("probe");
        let asks = self.nodes[probe].state == State::Up;
        if !asks || self.now.since(self.strangers.asked_at) < ASKED_EVERY {
            return;
        }
        let has_role = |w: &World, p: Place| w.can_answer(p);
        if let Some(place) = self.some(has_role) {
            if let Some(address) = self.nodes[place].address {
                self.hang(probe, Peer::Node(address));
            }
            self.strangers.asked_at = self.now;
            self.ask_at_border(place, self.now);
        }
    }

    fn can_answer(&self, place: Place) -> bool {
        let slot = &self.nodes[place];
        slot.state == State::Up && slot.role().is_some()
    }

    fn ask_at_border(&mut self, place: Place, since: Time) {
        // A refusal is an answer, too.
        let question = match self.nodes[place].role() {
            Some(Role::Dns) => Message::Names(Names::Resolve { role: Role::Data }),
            Some(Role::Router) => Message::Catalogue(Catalogue::Inspect),
            Some(Role::Data) | None => Message::Audio(Audio::Describe { song: SongId(0) }),
        };
        let start = self.nodes[place].start;
        let id = self.ask(place, question);
        let asked = Asked {
            place,
            start,
            since,
            id,
        };
        self.strangers.asked = Some(asked);
    }

    fn look_for_answer(&mut self, asked: Asked) {
        let Asked {
            place,
            start,
            since,
            id,
        } = asked;
        if self.tap.take_answer(id).is_some() {
            self.strangers.answered += 1;
            self.strangers.asked = None;
        } else if !self.can_answer(place) || self.nodes[place].start != start {
            self.strangers.asked = None;
        } else if self.now.since(since) > ANSWERED_WITHIN {
            let name = &self.nodes[place].name;
            let text = format!("{name} has not answered a question of {since:?}");
            self.violated("strangers delay nobody", text);
        } else if !self.is_asking(place) {
            self.ask_at_border(place, since);
        }
    }

    /// Whether the probe has a connection to this node, or dials one.
    fn is_asking(&self, place: Place) -> bool {
        let probe = self.place("probe");
        let peer = self.nodes[place].address.map(Peer::Node);
        peer.is_some_and(|peer| self.nodes[probe].peers.knows(peer))
    }
}

fn origin(network: u8, number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, network, number))
}

/// The first world with strangers in which a mutant breaks an invariant, and which.
pub fn found_among_strangers(mutant: BorderMutant, worlds: u64) -> Option<(u64, &'static str)> {
    (0..worlds).find_map(|seed| {
        let mut world = World::of_strangers(seed);
        world.plant_at_borders(mutant);
        let outcome = run::run_world(seed, world, RING_LENGTH);
        Some((seed, outcome.violation?.rule))
    })
}
