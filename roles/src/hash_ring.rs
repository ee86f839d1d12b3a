//! Placement: the nodes that own each song, by points on a hash ring.
//!
//! Each data node has 256 points on the hash ring per unit of weight. A point is a fixed mix of the
//! node's id and the point's number. The top bits of a song's id divide the ring into 4096
//! partitions. The first distinct nodes clockwise of a partition's start own the partition. A
//! joining node therefore moves only its share, and only whole partitions. This module decides
//! ownership only; looking up a song is left to others.

use alloc::vec::Vec;

use crate::contract::id::NodeId;
use crate::contract::limits::WEIGHT_MAX;
use crate::contract::partition::Partition;

/// Points of a node of weight one. With this many, the fullest of ten nodes holds 1.06 times the
/// mean.
pub const POINTS_PER_WEIGHT: u32 = 256;

/// The points of all data nodes, in circular order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HashRing {
    points: Vec<(u64, NodeId)>,
    nodes: usize,
}

impl HashRing {
    /// The hash ring of these nodes and weights. A weight is clamped to 1..=[`WEIGHT_MAX`]. A node
    /// named twice counts once, with the larger weight.
    pub fn of(nodes: impl IntoIterator<Item = (NodeId, u16)>) -> Self {
        let mut points: Vec<(u64, NodeId)> = nodes
            .into_iter()
            .flat_map(|(node, weight)| {
                let weight = u32::from(weight.clamp(1, WEIGHT_MAX));
                (0..weight * POINTS_PER_WEIGHT).map(move |i| (point(node, i), node))
            })
            .collect();
        // When two nodes share a point, the smaller id goes first, so that every node computes the
        // same owners. A node named twice has equal points, of which only one may stay.
        points.sort_unstable();
        points.dedup();
        let mut ids: Vec<NodeId> = points.iter().map(|(_, node)| *node).collect();
        ids.sort_unstable();
        ids.dedup();
        let nodes = ids.len();
        HashRing { points, nodes }
    }

    /// The first `count` distinct nodes clockwise of the partition's start, nearest first. Returns
    /// all nodes if there are fewer.
    pub fn owners(&self, partition: Partition, count: usize) -> Vec<NodeId> {
        let first = self
            .points
            .partition_point(|(at, _)| *at < partition.start());
        let (before, after) = self.points.split_at(first);
        let wanted = count.min(self.nodes);
        let mut owners = Vec::with_capacity(wanted);
        for (_, node) in after.iter().chain(before) {
            if owners.len() == wanted {
                break;
            }
            if !owners.contains(node) {
                owners.push(*node);
            }
        }
        owners
    }
}

/// The place of point `number` of `node`: the finaliser of SplitMix64 (Steele, Lea, Flood 2014)
/// over both halves of the id and the number. Must never change, because the place of every copy
/// depends on it.
fn point(node: NodeId, number: u32) -> u64 {
    let high = mix((node.0 >> 64) as u64);
    let both = mix(high ^ node.0 as u64);
    mix(both ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The finaliser of SplitMix64: every bit of the result depends on every bit of `x`.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::id::SongId;
    use crate::contract::partition::PARTITIONS;
    use crate::contract::rng::Rng;
    use alloc::collections::BTreeMap;
    use alloc::vec;

    fn ids(count: usize, seed: u64) -> Vec<NodeId> {
        let mut rng = Rng::from_seed(seed);
        let mut id = || NodeId(u128::from(rng.bits()) << 64 | u128::from(rng.bits()));
        (0..count).map(|_| id()).collect()
    }

    fn even(nodes: &[NodeId]) -> HashRing {
        HashRing::of(nodes.iter().map(|node| (*node, 1)))
    }

    fn shares(circle: &HashRing, copies: usize) -> BTreeMap<NodeId, usize> {
        let mut shares = BTreeMap::new();
        for partition in Partition::all() {
            for owner in circle.owners(partition, copies) {
                *shares.entry(owner).or_default() += 1;
            }
        }
        shares
    }

    /// Pinned vectors: if one changes, every song of every cluster is in the wrong place.
    #[test]
    fn points_are_pinned() {
        // SplitMix64 with state 0 begins with this number (reference implementation).
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        let vectors: Vec<u64> = (0..3).map(|i| point(NodeId(1), i)).collect();
        assert_eq!(vectors, PINNED);
    }

    const PINNED: [u64; 3] = [
        4_964_578_127_960_768_432,
        16_533_833_224_507_470_192,
        458_532_736_257_804_216,
    ];

    #[test]
    fn the_hottest_of_ten_nodes_is_close_to_the_mean() {
        let nodes = ids(10, 3);
        let shares = shares(&even(&nodes), 3);
        let mean = usize::from(PARTITIONS) * 3 / 10;
        let hottest = shares.values().max().copied().unwrap_or(0);
        assert!(
            hottest * 100 <= mean * 115,
            "hottest {hottest}, mean {mean}"
        );
    }

    /// A newcomer takes its share from the others; nothing moves between them.
    #[test]
    fn a_newcomer_moves_only_its_share() {
        let nodes = ids(10, 4);
        let (old, new) = (even(&nodes[..9]), even(&nodes));
        for partition in Partition::all() {
            let before = old.owners(partition, 3);
            let after = new.owners(partition, 3);
            let kept: Vec<NodeId> = after.into_iter().filter(|n| *n != nodes[9]).collect();
            assert_eq!(before[..kept.len()], kept);
        }
    }

    #[test]
    fn a_heavier_node_keeps_more() {
        let nodes = ids(4, 5);
        let weights = [(nodes[0], 2), (nodes[1], 1), (nodes[2], 1), (nodes[3], 1)];
        let shares = shares(&HashRing::of(weights), 1);
        assert!(shares[&nodes[0]] * 10 > shares[&nodes[1]] * 15);
    }

    #[test]
    fn few_nodes_own_everything_they_can() {
        let nodes = ids(2, 6);
        assert_eq!(even(&[]).owners(Partition::of(SongId(0)), 3), vec![]);
        assert_eq!(
            even(&nodes[..1]).owners(Partition::of(SongId(9 << 116)), 3),
            vec![nodes[0]]
        );
        assert_eq!(
            even(&nodes)
                .owners(Partition::of(SongId(9 << 116)), 3)
                .len(),
            2
        );
        let twice = HashRing::of([(nodes[0], 1), (nodes[0], 1)]);
        assert_eq!(
            twice.owners(Partition::of(SongId(1 << 116)), 3),
            vec![nodes[0]]
        );
    }
}
