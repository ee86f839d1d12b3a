//! Placement: the owners of each partition, by the hash ring of the data nodes that this node sees.
//!
//! A node that died lately keeps its place for a while, because it may come back and its songs have
//! copies elsewhere. When fewer than two owners of a partition live, the dead lose their places in
//! it at once.

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
    /// The live data nodes, this node included unless it hands its songs over.
    living: Vec<NodeId>,
    now: HashRing,
    /// The ring with the nodes that died lately.
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

    /// The live nodes that shall have the songs of a partition: fewer than [`COPIES`] while a dead
    /// owner keeps its place.
    pub(super) fn owners(&self, partition: Partition) -> Vec<NodeId> {
        let mut owners = self.lately.owners(partition, COPIES);
        owners.retain(|node| self.living.contains(node));
        if owners.len() < 2 {
            return self.now.owners(partition, COPIES);
        }
        owners
    }

    /// The owners of a partition without this node.
    pub(super) fn others(&self, partition: Partition) -> Vec<NodeId> {
        let mut owners = self.owners(partition);
        owners.retain(|node| Some(*node) != self.me);
        owners
    }

    /// Whether this node owns a partition.
    pub(super) fn is_mine(&self, partition: Partition) -> bool {
        self.me
            .is_some_and(|me| self.owners(partition).contains(&me))
    }

    /// Whether this node owns a partition, or would if no dead node kept its place. A node that
    /// heard of a death earlier may give that place up earlier, and count on the songs here.
    pub(super) fn may_be_mine(&self, partition: Partition) -> bool {
        let owners = || self.now.owners(partition, COPIES);
        self.is_mine(partition) || self.me.is_some_and(|me| owners().contains(&me))
    }

    /// Whether no other live data node takes songs.
    pub(super) fn is_alone(&self) -> bool {
        self.living.iter().all(|node| Some(*node) == self.me)
    }
}

/// The view: a checksum of the data nodes that take songs and their weights. Two nodes with the
/// same view agree on the owners, and only then act on each other's answers.
pub(super) fn view(others: Others<'_>) -> u64 {
    let own = (!others.draining).then_some((others.own.node, others.own.weight));
    let all = others.data.iter().map(|r| (r.node, r.weight)).chain(own);
    all.fold(0, |view, (node, weight)| {
        let id = node.0 as u64 ^ (node.0 >> 64) as u64;
        view ^ mix(id ^ mix(u64::from(weight)))
    })
}

/// The one of several holders that sends a song. Spread by the song's id, so that holders share the
/// work; `None` if there are no holders.
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

    /// For the grace time no node takes the place of a dead node; then another node does.
    #[test]
    fn a_dead_node_is_waited_for() {
        let early = placement(at(10), &[2, 3, 4], &[(5, 0)], false);
        let late = placement(at(301), &[2, 3, 4], &[(5, 0)], false);
        let owners = |p: &Placement| all().map(|n| p.owners(n).len()).collect::<Vec<_>>();
        assert!(owners(&early).contains(&2) && !owners(&early).contains(&1));
        assert!(owners(&late).iter().all(|count| *count == 3));
    }

    /// With two of three owners dead, the last copy is copied at once.
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

    /// Every holder computes the same sender, and the holders take turns.
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
