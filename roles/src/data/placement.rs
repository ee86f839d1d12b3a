//! Placement: the owners of each partition, by the hash ring of the data nodes that this node sees.
//!
//! A node that died lately keeps its place for a while, because it may come back and its songs have
//! copies elsewhere. When fewer than two owners of a partition live, the dead lose their places in
//! it at once.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::Others;
use crate::contract::id::NodeId;
use crate::contract::partition::Partition;
use crate::contract::time::Time;
use crate::hash_ring::mix;
use crate::ownership::Owners;

/// The owners of every partition at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Placement {
    me: Option<NodeId>,
    /// The owners among the live data nodes, this node included unless it hands its songs over.
    now: Arc<Owners>,
    /// The owners if the nodes that died lately lived. None: nobody is waited for.
    lately: Option<Owners>,
}

impl Placement {
    pub(super) fn of(now: Time, grace: Duration, others: Others<'_>) -> Self {
        let waited_for: Vec<(NodeId, u16)> = (others.dead.iter())
            .filter(|(_, died_at)| now.since(*died_at) < grace)
            .map(|(record, _)| (record.node, record.weight))
            .collect();
        let lately = (!waited_for.is_empty()).then(|| others.owners.with(waited_for));
        Placement {
            me: Some(others.own.node),
            now: Arc::clone(others.owners),
            lately,
        }
    }

    /// The live nodes that shall have the songs of a partition: fewer than [`COPIES`](crate::contract::limits::COPIES) while a dead
    /// owner keeps its place.
    pub(super) fn owners(&self, partition: Partition) -> Vec<NodeId> {
        let Some(lately) = &self.lately else {
            return self.now.of_partition(partition);
        };
        let mut owners = lately.of_partition(partition);
        owners.retain(|node| self.lives(*node));
        if owners.len() < 2 {
            return self.now.of_partition(partition);
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
        let owners = || self.now.of_partition(partition);
        self.is_mine(partition) || self.me.is_some_and(|me| owners().contains(&me))
    }

    fn lives(&self, node: NodeId) -> bool {
        self.now.takers().iter().any(|(taker, _)| *taker == node)
    }

    /// Whether no other live data node takes songs.
    pub(super) fn is_alone(&self) -> bool {
        let takers = self.now.takers();
        takers.iter().all(|(node, _)| Some(*node) == self.me)
    }
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
        let own = (!draining).then(|| record(1));
        let owners = Arc::new(test_support::owners(data.iter().chain(&own)));
        let others = Others {
            unix_ms: 0,
            data: &data,
            owners: &owners,
            leaving: &[],
            dead: &dead,
            routers: &[],
            own: record(1),
            draining,
        };
        Placement::of(now, Duration::from_secs(300), others)
    }

    fn all() -> impl Iterator<Item = Partition> {
        Partition::all()
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
