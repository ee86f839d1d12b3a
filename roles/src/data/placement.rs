//! Who has to keep what: the circle of the data nodes as this node sees them.
//!
//! A node that died a moment ago keeps its place for a while: it may come back, and its songs are
//! still twice elsewhere. Where fewer than two owners live, nobody is waited for.

use alloc::vec::Vec;
use core::time::Duration;

use super::Others;
use crate::contract::id::NodeId;
use crate::contract::limits::COPIES;
use crate::contract::time::Time;
use crate::hash_ring::{HashRing, Partition, mix};

/// The owners of every partition at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Placement {
    me: Option<NodeId>,
    /// The living, this node among them unless it is handing its songs over.
    living: Vec<NodeId>,
    now: HashRing,
    /// With those who died lately.
    lately: HashRing,
}

impl Placement {
    pub(super) fn of(now: Time, grace: Duration, others: Others<'_>) -> Self {
        let own = (!others.draining).then_some((others.own.node, others.own.weight));
        let there = others.data.iter().map(|r| (r.node, r.weight));
        let living: Vec<(NodeId, u16)> = there.chain(own).collect();
        let waited_for = (others.dead.iter())
            .filter(|(_, died_at)| now.since(*died_at) < grace)
            .map(|(record, _)| (record.node, record.weight));
        Placement {
            me: Some(others.own.node),
            lately: HashRing::of(living.iter().copied().chain(waited_for)),
            now: HashRing::of(living.iter().copied()),
            living: living.iter().map(|(node, _)| *node).collect(),
        }
    }

    /// The living nodes that shall have the songs of a partition.
    pub(super) fn owners(&self, partition: Partition) -> Vec<NodeId> {
        let mut owners = self.lately.owners(partition, COPIES);
        owners.retain(|node| self.living.contains(node));
        if owners.len() < 2 {
            return self.now.owners(partition, COPIES);
        }
        owners
    }

    /// Those that are not this node.
    pub(super) fn others(&self, partition: Partition) -> Vec<NodeId> {
        let mut owners = self.owners(partition);
        owners.retain(|node| Some(*node) != self.me);
        owners
    }

    /// Whether this node shall keep a partition.
    pub(super) fn is_mine(&self, partition: Partition) -> bool {
        self.me
            .is_some_and(|me| self.owners(partition).contains(&me))
    }

    /// Whether this node would have to keep a partition if nobody were waited for: another one may
    /// wait for nobody, having heard of a death earlier, and count on what is here.
    pub(super) fn may_be_mine(&self, partition: Partition) -> bool {
        let owners = || self.now.owners(partition, COPIES);
        self.is_mine(partition) || self.me.is_some_and(|me| owners().contains(&me))
    }

    /// Whether anybody but this node could keep anything.
    pub(super) fn is_alone(&self) -> bool {
        self.living.iter().all(|node| Some(*node) == self.me)
    }
}

/// The data nodes that take songs, as a number that two nodes compare before they act on each
/// other's word.
pub(super) fn view(others: Others<'_>) -> u64 {
    let own = (!others.draining).then_some((others.own.node, others.own.weight));
    let all = others.data.iter().map(|r| (r.node, r.weight)).chain(own);
    all.fold(0, |view, (node, weight)| {
        let id = node.0 as u64 ^ (node.0 >> 64) as u64;
        view ^ mix(id ^ mix(u64::from(weight)))
    })
}

/// Of several nodes that could send a song, this one does: each song falls to another.
pub(super) fn sender(song: u128, holders: &[NodeId]) -> Option<NodeId> {
    let draw = |node: &&NodeId| mix(mix((song ^ node.0) as u64) ^ ((song ^ node.0) >> 64) as u64);
    holders.iter().min_by_key(draw).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::record::{Record, Role};
    use crate::hash_ring::PARTITIONS;
    use crate::test_support::{self, at};
    use alloc::vec;

    fn record(n: u8) -> Record {
        Record {
            node: NodeId(u128::from(n) << 64 | 7),
            ..test_support::record(n, Role::Data)
        }
    }

    fn placement(now: Time, living: &[u8], dead: &[(u8, u64)], draining: bool) -> Placement {
        let data: Vec<Record> = living.iter().map(|n| record(*n)).collect();
        let dead: Vec<_> = dead.iter().map(|(n, s)| (record(*n), at(*s))).collect();
        let others = Others {
            data: &data,
            leaving: &[],
            dead: &dead,
            routers: &[],
            own: record(1),
            draining,
        };
        Placement::of(now, Duration::from_secs(300), others)
    }

    fn all() -> impl Iterator<Item = Partition> {
        (0..PARTITIONS).filter_map(Partition::from_number)
    }

    /// For five minutes nobody takes the place of a dead node; then somebody does.
    #[test]
    fn a_dead_node_is_waited_for() {
        let early = placement(at(10), &[2, 3, 4], &[(5, 0)], false);
        let late = placement(at(301), &[2, 3, 4], &[(5, 0)], false);
        let owners = |p: &Placement| all().map(|n| p.owners(n).len()).collect::<Vec<_>>();
        assert!(owners(&early).contains(&2) && !owners(&early).contains(&1));
        assert!(owners(&late).iter().all(|count| *count == 3));
    }

    /// Two of three owners dead: what is left is copied at once.
    #[test]
    fn nobody_is_waited_for_when_one_copy_is_left() {
        let placement = placement(at(1), &[2], &[(3, 0), (4, 0)], false);
        assert!(all().all(|n| placement.owners(n).len() == 2));
    }

    #[test]
    fn who_hands_over_owns_nothing() {
        let placement = placement(at(1), &[2, 3, 4], &[], true);
        assert!(all().all(|n| !placement.is_mine(n) && placement.owners(n).len() == 3));
    }

    /// Every holder comes to the same sender, and the senders take turns.
    #[test]
    fn one_of_the_holders_sends() {
        let holders: Vec<NodeId> = (1..=3).map(|n| record(n).node).collect();
        let backwards: Vec<NodeId> = holders.iter().rev().copied().collect();
        let mut turns = vec![0; 3];
        for song in 0..300u128 {
            let song = song << 100 | song;
            let chosen = sender(song, &holders);
            assert_eq!(chosen, sender(song, &backwards));
            let place = holders.iter().position(|node| Some(*node) == chosen);
            turns[place.expect("one of them")] += 1;
        }
        assert!(turns.iter().all(|turns| *turns > 60), "{turns:?}");
    }
}
