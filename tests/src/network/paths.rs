//! Whether bytes get through between two machines, and what that means for a connection.

use super::{ACCEPTER, Conn, ConnId, DIALLER, Network};
use crate::resident::{Place, State};
use crate::world::{What, World};
use net::peering::Connections;
use roles::contract::node::Lost;
use roles::contract::time::Time;

impl Network {
    /// Nothing travels from `a` to `b` until as many mends have followed.
    pub(crate) fn cut(&mut self, a: Place, b: Place) {
        *self.cuts.entry((a, b)).or_default() += 1;
    }

    /// Takes one cut away. True: it was the last, so envelopes travel again.
    pub(crate) fn mend(&mut self, a: Place, b: Place) -> bool {
        let Some(count) = self.cuts.get_mut(&(a, b)) else {
            return false;
        };
        *count -= 1;
        *count == 0 && self.cuts.remove(&(a, b)).is_some()
    }

    /// Takes every cut away.
    pub(crate) fn mend_all(&mut self) {
        self.cuts.clear();
    }

    /// Whether every way is open.
    pub(crate) fn is_whole(&self) -> bool {
        self.cuts.is_empty()
    }

    /// Whether a cut lies on a way from or to `place`.
    pub(crate) fn is_cut_at(&self, place: Place) -> bool {
        self.cuts.keys().any(|(a, b)| *a == place || *b == place)
    }
}

impl World {
    /// Breaks a connection: each direction loses an unknown tail of what is under way.
    pub fn reset(&mut self, id: ConnId) {
        for end in [DIALLER, ACCEPTER] {
            let wait = self.network.rng.within(2 * self.climate.latency);
            self.end_later(id, end, wait, Lost::Reset);
        }
    }

    /// Closes all ends of a dead process; its peers learn of it if `heard`.
    pub(crate) fn cut_off(&mut self, place: Place, heard: bool) {
        self.nodes[place].peers = Connections::default();
        let here = |conn: &Conn| conn.ends.iter().any(|end| end.place == place && !end.gone);
        let ids: Vec<ConnId> = (self.network.conns.iter())
            .filter(|(_, conn)| here(conn))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let Some(conn) = self.network.conns.get_mut(&id) else {
                continue;
            };
            let end = conn.end_at(place);
            conn.ends[end].gone = true;
            if !conn.is_open() || conn.ends[1 - end].gone {
                self.network.conns.remove(&id);
            } else if heard {
                let wait = self.network.rng.within(2 * self.climate.latency);
                let other = self.network.conns[&id].ends[1 - end].place;
                if !self.network.cuts.contains_key(&(place, other)) {
                    self.end_later(id, 1 - end, wait, Lost::Closed);
                }
            }
        }
        self.review_paths();
    }

    /// Whether envelopes get through between two nodes in both directions.
    pub(super) fn is_through(&self, a: Place, b: Place) -> bool {
        !self.network.cuts.contains_key(&(a, b)) && !self.network.cuts.contains_key(&(b, a))
    }

    /// After a change of cuts or states: starts to watch connections that became silent, and lets
    /// connections go on that survived their silence.
    pub(crate) fn review_paths(&mut self) {
        let ids: Vec<ConnId> = self.network.conns.keys().copied().collect();
        for id in ids {
            let conn = &self.network.conns[&id];
            if !conn.is_open() {
                continue;
            }
            let (a, b) = (conn.ends[0].place, conn.ends[1].place);
            let silent = [a, b].iter().any(|p| {
                let state = self.nodes[*p].state;
                matches!(state, State::Frozen | State::Dark)
            });
            let impaired = silent || !self.is_through(a, b);
            match (impaired, conn.impaired) {
                (true, false) => self.watch(id),
                (false, _) => self.resume(id),
                (true, true) => (),
            }
        }
    }

    /// A connection becomes silent. Until this moment pings and pongs have got through, so both
    /// ends have just heard each other.
    fn watch(&mut self, id: ConnId) {
        for end in [DIALLER, ACCEPTER] {
            if let Some(conn) = self.network.conns.get_mut(&id) {
                conn.impaired = true;
                conn.ends[end].keepalive.heard(self.now);
            }
            self.watch_end(id, end);
        }
    }

    /// Plans a look at the keepalive of an end for its next deadline.
    pub(super) fn watch_end(&mut self, id: ConnId, end: usize) {
        let Some(conn) = self.network.conns.get_mut(&id) else {
            return;
        };
        let watched = &mut conn.ends[end];
        // A node that was frozen may be overdue: it looks at once.
        let at = watched.keepalive.deadline().max(self.now);
        if watched.armed.is_none_or(|armed| at < armed) {
            watched.armed = Some(at);
            self.agenda.plan(at, What::Silence { conn: id, end });
        }
    }

    /// Delivers what was held back; an end whose other end has closed meanwhile learns of that.
    pub(super) fn resume(&mut self, id: ConnId) {
        for end in [DIALLER, ACCEPTER] {
            let wait = self.latency();
            let Some(conn) = self.network.conns.get_mut(&id) else {
                return;
            };
            conn.impaired = false;
            let other_gone = conn.ends[1 - end].gone;
            let to = &mut conn.ends[end];
            for envelope in std::mem::take(&mut to.held) {
                to.last_arrival = to.last_arrival.max(self.now + wait);
                let envelope = Box::new(envelope);
                let what = What::Arrive {
                    conn: id,
                    end,
                    envelope,
                };
                self.agenda.plan(to.last_arrival, what);
            }
            if other_gone && !to.gone && to.lost_after == Time::NEVER {
                self.end_later(id, end, wait, Lost::Reset);
            }
        }
    }

    /// The keepalive of an end acts on the silence of the other.
    pub(crate) fn on_silence(&mut self, id: ConnId, end: usize) {
        let now = self.now;
        let Some(conn) = self.network.conns.get_mut(&id) else {
            return;
        };
        let (impaired, silent) = (conn.impaired, &mut conn.ends[end]);
        match self.nodes[silent.place].state {
            State::Up => (),
            State::Frozen => {
                let what = What::Silence { conn: id, end };
                return self.nodes[silent.place].backlog.push(what);
            }
            State::Down | State::Dark => return,
        }
        if silent.armed.is_none_or(|at| at > now) {
            return; // A later look is planned.
        }
        silent.armed = None;
        if silent.gone || !impaired {
            return;
        }
        silent.awaited.expire(now);
        (silent.keepalive).set_waiting(now, !silent.awaited.is_empty());
        match silent.keepalive.on_tick(now) {
            Err(why) => return self.lose(id, end, why),
            Ok(true) => self.ping(id, end),
            Ok(false) => (),
        }
        self.watch_end(id, end);
    }

    /// The ping of an end is a sign of life for the other end, if it gets there. Its pong gets
    /// nowhere, or the connection would not be watched.
    fn ping(&mut self, id: ConnId, end: usize) {
        let Some(conn) = self.network.conns.get_mut(&id) else {
            return;
        };
        let (from, to) = (conn.ends[end].place, conn.ends[1 - end].place);
        let hears =
            !self.network.cuts.contains_key(&(from, to)) && self.nodes[to].state == State::Up;
        if hears {
            conn.ends[1 - end].keepalive.heard(self.now);
        }
    }
}
