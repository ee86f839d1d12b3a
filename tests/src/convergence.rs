//! Checks once everything is mended: one ring, roles in balance.

use std::collections::BTreeSet;
use std::time::Duration;

use roles::balance::target;
use roles::contract::id::{Incarnation, NodeId};
use roles::contract::member::MemberState;
use roles::contract::record::{Address, Role};

use crate::resident::{Kind, Place, State};
use crate::world::World;

/// A server that was still stopping at the healing is started again after three seconds.
const LAST_STARTS: Duration = Duration::from_secs(3);

/// L1, L2: longest time to one ring where no process was cut off.
const IDEAL_WITHIN: Duration = Duration::from_secs(15);

/// L7: longest time to one ring where a process was cut off.
const MERGED_WITHIN: Duration = Duration::from_secs(45);

/// L5: longest time from one ring to balanced roles. Beside two minutes for the changes, a data
/// node may take one to hand its songs over, perhaps in vain.
const ROLES_WITHIN: Duration = Duration::from_secs(180);

/// For each further change of role: the pause between two changes, and some.
const PER_CHANGE: Duration = Duration::from_secs(65);

const LOOK_EVERY: Duration = Duration::from_millis(250);

type Seat = (NodeId, Incarnation, Role, Address);

impl World {
    /// L1, L2, L7: all servers form one ring, and every member table shows the same.
    pub fn await_one_ring(&mut self) {
        let clean = self.ring.is_clean() && self.seen.rollbacks == 0;
        let begun = self.now;
        let (rule, within) = if clean {
            ("L1 ideal ring", LAST_STARTS + IDEAL_WITHIN)
        } else {
            ("L7 one ring", MERGED_WITHIN)
        };
        if let Some(text) = self.await_none(within, World::ring_fault) {
            return self.violated(rule, text);
        }
        let took = self.now.since(begun);
        let figures = &mut self.figures;
        if clean {
            &mut figures.ideal
        } else {
            &mut figures.merged
        }
        .push(took);
        self.seen.rings_checked += 1;
    }

    /// L5: roles are balanced as at a start, give or take one server.
    pub fn await_roles(&mut self) {
        let off = self.roles_off();
        let within = ROLES_WITHIN + PER_CHANGE * off.saturating_sub(2) as u32;
        if let Some(text) = self.await_none(within, World::role_fault) {
            self.violated("L5 roles in balance", text);
        }
    }

    /// Runs until `fault` finds nothing; gives what it still finds after `within`.
    pub(crate) fn await_none(
        &mut self,
        within: Duration,
        fault: fn(&World) -> Option<String>,
    ) -> Option<String> {
        let until = self.now + within;
        loop {
            let found = fault(self);
            if found.is_none() || self.now >= until || self.violation.is_some() {
                return found;
            }
            self.run_for(LOOK_EVERY);
        }
    }

    fn seats(&self) -> BTreeSet<Seat> {
        let has_left = |place: Place| {
            let ring = self.nodes[place].resident.as_ref()?.server()?.ring()?;
            Some(ring.members().me().state == MemberState::Left)
        };
        let seat = |place: Place| {
            let slot = &self.nodes[place];
            if has_left(place) == Some(true) {
                return None; // It has said goodbye and waits for its last copies.
            }
            let Some(role @ (Role::Data | Role::Router)) = slot.role() else {
                return None;
            };
            let (node, incarnation) = (slot.identity.node, slot.identity.incarnation);
            Some((node, incarnation, role, slot.address?))
        };
        let up = (0..self.nodes.len()).filter(|p| self.nodes[*p].state == State::Up);
        up.filter_map(seat).collect()
    }

    /// A server whose member table differs from the servers that run; none if all agree.
    pub fn ring_fault(&self) -> Option<String> {
        let seats = self.seats();
        for slot in self.nodes.iter().filter(|slot| slot.state == State::Up) {
            let Some(server) = slot.resident.as_ref().and_then(|node| node.server()) else {
                continue;
            };
            let Some(ring) = server.ring() else {
                if slot.kind == Kind::Server(None) {
                    return Some(format!("{} has no role", slot.name));
                }
                continue;
            };
            let living = ring.members().living();
            let seen: BTreeSet<Seat> = living
                .map(|m| (m.node, m.incarnation, m.role, m.address))
                .collect();
            if seen != seats {
                let missing: Vec<_> = seats.difference(&seen).collect();
                let wrong: Vec<_> = seen.difference(&seats).collect();
                return Some(format!(
                    "{} misses {missing:?}, believes {wrong:?}",
                    slot.name
                ));
            }
        }
        None
    }

    /// By how many the number of data nodes differs from the target.
    fn roles_off(&self) -> usize {
        let (data, routers) = (
            self.servers(Role::Data).len(),
            self.servers(Role::Router).len(),
        );
        target(data + routers).0.abs_diff(data)
    }

    fn role_fault(&self) -> Option<String> {
        let (data, routers) = (self.servers(Role::Data), self.servers(Role::Router));
        let wanted = target(data.len() + routers.len());
        // A data node that cannot finish handing over is counted by the ring as the router that it
        // is about to become.
        let stuck = data.iter().filter(|place| self.is_stuck(**place)).count();
        let auto = |p: &&Place| self.nodes[**p].kind == Kind::Server(None);
        let short_of_data =
            data.len() - stuck + 1 < wanted.0 && routers.iter().filter(auto).count() > 0;
        let able = || data.iter().filter(auto).any(|p| self.can_leave(*p));
        let short_of_routers = routers.len() + stuck + 1 < wanted.1 && able();
        (short_of_data || short_of_routers).then(|| {
            let (data, routers) = (data.len(), routers.len());
            format!("{data} data nodes and {routers} routers where {wanted:?} are wanted")
        })
    }
}
