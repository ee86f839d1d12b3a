//! The fingers: all other data nodes while these are few, otherwise some at every distance.
//!
//! Fingers are hints. A wrong or dead finger costs one step of a look-up and never changes its
//! result.

use alloc::vec::Vec;

use super::arc::between;
use crate::contract::id::NodeId;

/// The nodes a look-up can be sent to, sorted by id.
#[derive(Clone, Debug, Default)]
pub struct Fingers {
    known: Vec<NodeId>,
}

impl Fingers {
    /// All the others, sorted by id, if there are at most `most`. Otherwise, for each distance that
    /// is a power of two, the first node at or after it (Chord, section 4.3).
    pub fn of(me: NodeId, others: &[NodeId], most: usize) -> Self {
        if others.len() <= most {
            let known = others.to_vec();
            return Fingers { known };
        }
        let mut known: Vec<NodeId> = (0..128)
            .filter_map(|bit| at_or_after(others, NodeId(me.0.wrapping_add(1 << bit))))
            .collect();
        known.sort_unstable();
        known.dedup();
        Fingers { known }
    }

    /// The number of fingers.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The fingers strictly between `me` and `key`, the one closest to `key` first.
    pub fn preceding(&self, me: NodeId, key: NodeId) -> impl Iterator<Item = NodeId> {
        let first = self.known.partition_point(|node| *node < key);
        let (before, after) = self.known.split_at(first);
        let round = before.iter().rev().chain(after.iter().rev()).copied();
        round.take_while(move |node| between(me, *node, key))
    }
}

fn at_or_after(sorted: &[NodeId], key: NodeId) -> Option<NodeId> {
    let first = sorted.partition_point(|node| *node < key);
    sorted.get(first).or(sorted.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn ids(ids: &[u128]) -> Vec<NodeId> {
        ids.iter().map(|id| NodeId(*id)).collect()
    }

    #[test]
    fn few_are_all_known() {
        let fingers = Fingers::of(NodeId(5), &ids(&[1, 3, 9, 12]), 4);
        assert_eq!(fingers.len(), 4);
        let to = |key| {
            fingers
                .preceding(NodeId(5), NodeId(key))
                .collect::<Vec<_>>()
        };
        assert_eq!(to(12), ids(&[9]));
        assert_eq!(to(2), ids(&[1, 12, 9]));
        assert_eq!(to(9), vec![]);
    }

    /// Of a thousand nodes about as many are kept as the number has bits.
    #[test]
    fn many_are_thinned_to_powers_of_two() {
        let step = u128::MAX / 1000;
        let others: Vec<NodeId> = (1..1000).map(|n| NodeId(n * step)).collect();
        let fingers = Fingers::of(NodeId(0), &others, 512);
        assert!((9..=12).contains(&fingers.len()), "{}", fingers.len());
        let key = NodeId(700 * step + 1);
        let best = fingers.preceding(NodeId(0), key).next();
        assert!(best.is_some_and(|node| node > NodeId(u128::MAX / 2) && node < key));
    }
}
