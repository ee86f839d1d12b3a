//! Arithmetic on the circle of ids. It lives here and nowhere else.

use crate::contract::id::NodeId;

/// Whether `x` lies strictly between `a` and `b`, going clockwise; with `a` equal to `b`, every
/// other id does.
pub fn between(a: NodeId, x: NodeId, b: NodeId) -> bool {
    if a < b {
        a < x && x < b
    } else {
        x > a || x < b
    }
}

/// Whether a key belongs to `b`, whose predecessor is `a`: it lies strictly after `a` and not after
/// `b`. When `a` equals `b`, every key does.
pub fn belongs(a: NodeId, key: NodeId, b: NodeId) -> bool {
    key == b || between(a, key, b)
}

/// How far `to` lies clockwise of `from`.
pub fn distance(from: NodeId, to: NodeId) -> u128 {
    to.0.wrapping_sub(from.0)
}

/// The neighbours of `me` in a sorted list of the others: the next `count`, and the one before.
pub fn around(me: NodeId, sorted: &[NodeId], count: usize) -> super::Neighbours {
    let first = sorted.partition_point(|node| *node < me);
    let (before, after) = sorted.split_at(first);
    let round = after.iter().chain(before).copied();
    super::Neighbours {
        successors: round.take(count).collect(),
        predecessor: before.last().or(after.last()).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_circle_has_no_end() {
        let [a, b, c] = [2, 5, 9].map(NodeId);
        assert!(between(a, b, c) && !between(a, c, b));
        assert!(between(c, a, b) && between(b, c, a));
        assert!(between(a, b, a) && !between(a, a, a) && !between(a, a, b));
        assert!(belongs(a, b, b) && !belongs(a, a, b) && belongs(a, a, a));
        assert_eq!(distance(c, a), u128::MAX - 6);
    }
}
