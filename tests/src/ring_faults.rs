//! Faults aimed at the ring: census managers and named nodes die, links and nodes flap, old
//! incarnations return.

use std::time::Duration;

use roles::contract::id::Incarnation;
use roles::contract::record::Role;

use crate::faults::{Death, Fault};
use crate::resident::{Kind, Place, State};
use crate::world::{What, World};

/// The moments of the ring for which a kill waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snares {
    /// The next manager of a census is killed while its alert travels.
    pub manager: bool,
    /// The next node that a census names is killed before or after it has switched its role.
    pub named: bool,
}

impl World {
    /// Kills two neighbours on the ring at the same moment, if the ring has four members or more.
    pub(crate) fn kill_neighbours(&mut self) {
        let mut ring: Vec<Place> = (0..self.nodes.len())
            .filter(|p| self.nodes[*p].lives() && self.is_member(*p))
            .collect();
        ring.sort_unstable_by_key(|p| self.nodes[*p].identity.node);
        if ring.len() < 4 {
            return;
        }
        let first = self.faults.rng.below(ring.len() as u64) as usize;
        for step in 0..2 {
            self.crash_for_a_while(ring[(first + step) % ring.len()]);
        }
        self.seen.neighbours_killed += 1;
    }

    pub(crate) fn is_member(&self, place: Place) -> bool {
        let server = self.nodes[place].resident.as_ref().and_then(|n| n.server());
        server.is_some_and(|server| server.ring().is_some())
    }

    /// Whether the node is a member and knows of other members.
    pub(crate) fn has_neighbours(&self, place: Place) -> bool {
        let server = self.nodes[place].resident.as_ref().and_then(|n| n.server());
        let ring = server.and_then(|server| server.ring());
        ring.is_some_and(|ring| ring.members().count() > 1)
    }

    fn strike_soon(&mut self, place: Place, longest: Duration) {
        let at = self.now + self.faults.rng.within(longest);
        let start = self.nodes[place].start;
        self.agenda
            .plan(at, What::Fault(Fault::Strike(place, start)));
    }

    /// A node has begun a census: it is killed soon, if a kill waits for a manager.
    pub(crate) fn strike_manager(&mut self, place: Place) {
        if std::mem::take(&mut self.faults.snares.manager) {
            self.seen.managers_killed += 1;
            let longest = 6 * self.climate.latency;
            self.strike_soon(place, longest);
        }
    }

    /// A node has been named: half of the waiting kills strike it soon, before it switches.
    pub(crate) fn strike_named(&mut self, place: Place) {
        if self.faults.snares.named && self.faults.rng.happens(1, 2) {
            self.faults.snares.named = false;
            self.seen.named_killed += 1;
            let longest = 4 * self.climate.job;
            self.strike_soon(place, longest);
        }
    }

    /// A node has switched its role. If it left its songs, they must be elsewhere; a kill that
    /// still waits for a named node strikes soon.
    pub(crate) fn strike_switcher(&mut self, place: Place) {
        if self.nodes[place].role() == Some(Role::Router) {
            self.check_farewell(place, true);
        }
        if std::mem::take(&mut self.faults.snares.named) {
            self.seen.named_killed += 1;
            self.strike_soon(place, Duration::from_millis(100));
        }
    }

    /// Splits the nodes into two or three parts; sometimes one node still reaches all of them.
    pub(crate) fn split(&mut self) {
        let span = self.some_while(Duration::from_secs(2), Duration::from_secs(100));
        let parts = 2 + self.faults.rng.below(2);
        let count = self.nodes.len();
        let side: Vec<u64> = (0..count).map(|_| self.faults.rng.below(parts)).collect();
        let bridge = self.faults.rng.happens(1, 3);
        let bridge = bridge.then(|| self.faults.rng.below(count as u64) as usize);
        for a in 0..count {
            for b in (0..count).filter(|b| side[a] != side[*b]) {
                if Some(a) != bridge && Some(b) != bridge {
                    self.cut_for(a, b, span);
                }
            }
        }
        self.seen.splits += 1;
        self.review_paths();
    }

    /// Cuts and mends the link between two nodes several times.
    pub(crate) fn flap_link(&mut self) {
        let count = self.nodes.len() as u64;
        let (a, b) = (self.faults.rng.below(count), self.faults.rng.below(count));
        let (a, b) = (a as usize, b as usize);
        if a == b {
            return;
        }
        let both = self.faults.rng.happens(2, 3);
        let mut at = Duration::ZERO;
        for _ in 0..2 + self.faults.rng.below(6) {
            let span = Duration::from_secs(1) + self.faults.rng.within(Duration::from_secs(9));
            let until = self.now + at + span;
            self.agenda
                .plan(self.now + at, What::Fault(Fault::Sever(a, b, until)));
            if both {
                self.agenda
                    .plan(self.now + at, What::Fault(Fault::Sever(b, a, until)));
            }
            let pause = Duration::from_secs(1) + self.faults.rng.within(Duration::from_secs(9));
            at += span + pause;
        }
        self.seen.links_flapping += 1;
    }

    /// Kills and starts a server several times.
    pub(crate) fn flap_node(&mut self) {
        let Some(place) = self.some(|w, p| w.is_server(p) && w.nodes[p].lives()) else {
            return;
        };
        let mut at = Duration::ZERO;
        for _ in 0..2 + self.faults.rng.below(4) {
            let down = Duration::from_millis(50) + self.faults.rng.within(Duration::from_secs(9));
            let up = Duration::from_secs(1) + self.faults.rng.within(Duration::from_secs(9));
            self.agenda
                .plan(self.now + at, What::Fault(Fault::Kill(place)));
            self.agenda
                .plan(self.now + at + down, What::Fault(Fault::Start(place)));
            at += down + up;
        }
        self.seen.nodes_flapping += 1;
    }

    /// Stalls a server's event loop several times.
    pub(crate) fn lag(&mut self) {
        let Some(place) = self.some(|w, p| w.is_server(p) && w.nodes[p].state == State::Up) else {
            return;
        };
        let mut at = Duration::ZERO;
        for _ in 0..4 {
            let still = self.faults.rng.within(Duration::from_millis(900));
            self.agenda
                .plan(self.now + at, What::Fault(Fault::Hold(place)));
            self.agenda
                .plan(self.now + at + still, What::Fault(Fault::Thaw(place)));
            at += still + self.faults.rng.within(Duration::from_secs(2));
        }
        self.seen.lags += 1;
    }

    /// Kills a server that will start under an earlier incarnation, as if its disk had been
    /// restored.
    pub(crate) fn roll_back(&mut self) {
        let Some(place) = self.some(|w, p| w.is_member(p) && w.nodes[p].lives()) else {
            return;
        };
        self.crash(place, Death::Kill);
        let starts = 1 + self.faults.rng.below(2);
        self.rewind(place, starts);
        let down = self.some_while(Duration::from_millis(100), Duration::from_secs(30));
        self.agenda
            .plan(self.now + down, What::Fault(Fault::Start(place)));
    }

    /// Sets a dead node's incarnation back, so that its next start repeats a number.
    pub fn rewind(&mut self, place: Place, starts: u64) {
        let Incarnation(last) = self.nodes[place].identity.incarnation;
        self.nodes[place].identity.incarnation = Incarnation(last.saturating_sub(starts));
        self.seen.rollbacks += 1;
    }

    /// Kills every DNS node; a member restarts meanwhile.
    pub(crate) fn lose_names(&mut self) {
        let back = self.some_while(Duration::from_secs(1), Duration::from_secs(90));
        for place in self.servers(Role::Dns) {
            self.crash(place, Death::Kill);
            self.agenda
                .plan(self.now + back, What::Fault(Fault::Start(place)));
        }
        if let Some(place) = self.some(|w, p| w.is_member(p) && w.nodes[p].lives()) {
            self.crash(place, Death::Kill);
            let down = self.faults.rng.within(Duration::from_secs(10));
            self.agenda
                .plan(self.now + down, What::Fault(Fault::Start(place)));
        }
        self.seen.names_lost += 1;
    }

    /// Servers that were started without a role.
    pub fn autos(&self) -> Vec<Place> {
        let auto = |p: &Place| self.nodes[*p].kind == Kind::Server(None);
        (0..self.nodes.len()).filter(auto).collect()
    }
}
