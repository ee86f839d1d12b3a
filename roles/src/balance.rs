//! Whether the roles are in balance, and which members can change if they are not.
//!
//! The target for a number of servers is the result of the start-up rule after as many joins, so
//! that joining and changing never work against each other.

use alloc::vec::Vec;

use crate::contract::id::NodeId;
use crate::contract::member::{Tally, Traits};
use crate::contract::record::Role;
use crate::role_assignment::needed_role;

/// A role that is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The role that is short.
    pub wanted: Role,
    /// How many of it are missing.
    pub missing: usize,
    /// No server has the role at all.
    pub total: bool,
}

/// The wanted numbers of data nodes and routers, in this order, for a number of servers.
pub fn target(servers: usize) -> (usize, usize) {
    let mut counts = (0, 0);
    for _ in 0..servers {
        match needed_role(counts.0, counts.1) {
            Role::Data => counts.0 += 1,
            Role::Router | Role::Dns => counts.1 += 1,
        }
    }
    counts
}

/// The shortage for these numbers of data nodes and routers, if any. A single server lacks nothing,
/// because it cannot have both roles.
pub fn shortage(data: usize, routers: usize) -> Option<Shortage> {
    if data + routers < 2 {
        return None;
    }
    let (wanted_data, wanted_routers) = target(data + routers);
    let (wanted, missing, there) = if data < wanted_data {
        (Role::Data, wanted_data - data, data)
    } else if routers < wanted_routers {
        (Role::Router, wanted_routers - routers, routers)
    } else {
        return None;
    };
    let total = there == 0;
    Some(Shortage {
        wanted,
        missing,
        total,
    })
}

/// The numbers of data nodes and routers among these, in this order. A node that drains in order to
/// end does not count.
pub fn count(tallies: &[Tally]) -> (usize, usize) {
    let stays = tallies.iter().filter(|tally| !tally.traits.ends_soon());
    let with = |role| stays.clone().filter(|tally| tally.role == role).count();
    (with(Role::Data), with(Role::Router))
}

/// The members that can take the role, in the order in which they are named: the least loaded
/// first. A candidate has the other role, was started without a fixed one, is well and is not
/// changing. Nobody is a candidate if the other role has fewer than two holders.
pub fn candidates(shortage: Shortage, tallies: &[Tally]) -> Vec<NodeId> {
    let other = |tally: &&Tally| tally.role != shortage.wanted && !tally.traits.ends_soon();
    if tallies.iter().filter(other).count() < 2 {
        return Vec::new();
    }
    let held_back = Traits::DRAINING.0 | Traits::SICK.0;
    let able = |tally: &&Tally| tally.traits.has(Traits::AUTO) && tally.traits.0 & held_back == 0;
    let mut able: Vec<&Tally> = tallies.iter().filter(other).filter(able).collect();
    able.sort_unstable_by_key(|tally| (tally.load, tally.node));
    able.iter().map(|tally| tally.node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::id::Incarnation;
    use alloc::vec;

    fn tally(node: u128, role: Role, load: u16, traits: u8) -> Tally {
        Tally {
            node: NodeId(node),
            incarnation: Incarnation(1),
            role,
            load,
            traits: Traits(traits),
            spent: false,
        }
    }

    fn lacks(data: usize, routers: usize) -> Option<(Role, usize, bool)> {
        shortage(data, routers).map(|s| (s.wanted, s.missing, s.total))
    }

    #[test]
    fn the_target_is_the_start_up_order() {
        let targets: Vec<_> = (0..=10).map(target).collect();
        let wanted = [
            (0, 0),
            (1, 0),
            (1, 1),
            (2, 1),
            (2, 2),
            (2, 3),
            (3, 3),
            (3, 4),
            (3, 5),
            (4, 5),
            (4, 6),
        ];
        assert_eq!(targets, wanted);
    }

    /// S50 to S52 of the scenarios.
    #[test]
    fn a_death_leads_to_at_most_one_change() {
        assert_eq!(lacks(1, 3), Some((Role::Data, 1, false)));
        assert_eq!(lacks(3, 1), Some((Role::Router, 1, false)));
        assert_eq!(lacks(1, 1), None);
        assert_eq!(lacks(0, 2), Some((Role::Data, 1, true)));
        assert_eq!(lacks(0, 1), None);
        assert_eq!(lacks(1, 0), None);
    }

    /// A data node that drains in order to end counts as missing before it has gone.
    #[test]
    fn who_is_about_to_end_does_not_count() {
        let (auto, draining) = (Traits::AUTO.0, Traits::DRAINING.0);
        let tallies = [
            tally(1, Role::Data, 0, auto),
            tally(2, Role::Data, 0, draining),
            tally(3, Role::Router, 0, auto | draining),
            tally(4, Role::Router, 0, 0),
        ];
        assert_eq!(count(&tallies), (1, 2));
        let short = shortage(2, 0).expect("a router is missing");
        assert_eq!(candidates(short, &tallies[..2]), vec![]);
    }

    #[test]
    fn the_least_loaded_who_can_is_asked_first() {
        let short = shortage(1, 3).expect("a data node is missing");
        let auto = Traits::AUTO.0;
        let tallies = [
            tally(1, Role::Data, 0, auto),
            tally(2, Role::Router, 9, auto),
            tally(3, Role::Router, 1, auto),
            tally(4, Role::Router, 0, auto | Traits::DRAINING.0),
            tally(5, Role::Router, 0, 0),
        ];
        assert_eq!(candidates(short, &tallies), vec![NodeId(3), NodeId(2)]);
        let last = [tally(1, Role::Router, 0, auto)];
        assert_eq!(candidates(short, &last), vec![]);
    }
}
