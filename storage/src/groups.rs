//! A fragment in groups of 64 KiB, each checked by itself: a part costs what it has, not the whole.
//!
//! The hash of a fragment is the root of BLAKE3's tree over its chunks. A group is a subtree of it,
//! and has a chaining value. Whoever has the values of all groups, and the bytes of one, checks those
//! bytes against the hash of the whole: nothing else than that hash is believed.

use blake3::Hasher;
use blake3::hazmat::{self, ChainingValue, HasherExt, Mode};
use roles::contract::id::ContentHash;
pub(crate) use roles::contract::limits::GROUP_BYTES;
use roles::contract::limits::GROUP_VALUE_BYTES as VALUE_BYTES;

/// The chaining values of all groups, one behind the other; none for a fragment of a single group,
/// which the hash itself proves.
pub(crate) fn values(bytes: &[u8]) -> Vec<u8> {
    if bytes.len() <= GROUP_BYTES {
        return Vec::new();
    }
    let groups = (0..).zip(bytes.chunks(GROUP_BYTES));
    groups.flat_map(|(at, group)| value(at, group)).collect()
}

/// Bytes of the values of a fragment of this length.
pub(crate) fn values_bytes(length: usize) -> usize {
    match length.div_ceil(GROUP_BYTES) {
        0 | 1 => 0,
        groups => groups * VALUE_BYTES,
    }
}

/// The hash of a fragment, and its [`values`]: one pass over its bytes.
pub(crate) fn hash_and_values(bytes: &[u8]) -> (ContentHash, Vec<u8>) {
    let values = values(bytes);
    let hash = root(values.as_chunks::<VALUE_BYTES>().0).unwrap_or_else(|| blake3::hash(bytes));
    (ContentHash(*hash.as_bytes()), values)
}

/// The offsets of the groups in which a part of a fragment of `length` bytes lies: of the first byte,
/// and of the one after the last. None if there is no such part.
pub(crate) fn around((from, to): (u32, u32), length: u32) -> Option<(u32, u32)> {
    let group = GROUP_BYTES as u32;
    let inside = from < to && to <= length;
    inside.then(|| (from / group * group, to.next_multiple_of(group).min(length)))
}

/// Whether `bytes` are the groups from offset `begin` on of the fragment with this length and hash, by
/// these values of all its groups.
pub(crate) fn prove(
    (begin, bytes): (u32, &[u8]),
    values: &[u8],
    length: u32,
    hash: &ContentHash,
) -> bool {
    if length as usize <= GROUP_BYTES {
        return values.is_empty()
            && bytes.len() == length as usize
            && blake3::hash(bytes) == hash.0;
    }
    !bytes.is_empty()
        && values.len() == values_bytes(length as usize)
        && are_of(values, hash)
        && match_values(values, begin as usize / GROUP_BYTES, bytes)
}

/// Whether these are the values of all groups of the fragment with this hash.
pub(crate) fn are_of(values: &[u8], hash: &ContentHash) -> bool {
    let (values, rest) = values.as_chunks::<VALUE_BYTES>();
    rest.is_empty() && root(values).is_some_and(|root| root == hash.0)
}

/// Whether `bytes` are those of the groups from `first` on that these values are of.
pub(crate) fn match_values(values: &[u8], first: usize, bytes: &[u8]) -> bool {
    let (values, _) = values.as_chunks::<VALUE_BYTES>();
    let mut groups = (first..).zip(bytes.chunks(GROUP_BYTES));
    groups.all(|(at, group)| values.get(at) == Some(&value(at, group)))
}

fn value(at: usize, group: &[u8]) -> ChainingValue {
    let mut hasher = Hasher::new();
    hasher.set_input_offset(at as u64 * GROUP_BYTES as u64);
    hasher.update(group).finalize_non_root()
}

/// The root over at least two subtrees.
fn root(values: &[ChainingValue]) -> Option<blake3::Hash> {
    let (left, right) = halves(values)?;
    let (left, right) = (inner(left)?, inner(right)?);
    Some(hazmat::merge_subtrees_root(&left, &right, Mode::Hash))
}

fn inner(values: &[ChainingValue]) -> Option<ChainingValue> {
    if let [one] = values {
        return Some(*one);
    }
    let (left, right) = halves(values)?;
    let (left, right) = (inner(left)?, inner(right)?);
    Some(hazmat::merge_subtrees_non_root(&left, &right, Mode::Hash))
}

/// A tree's left half has the largest power of two of groups that leaves something for the right.
fn halves(values: &[ChainingValue]) -> Option<(&[ChainingValue], &[ChainingValue])> {
    let left = values.len().checked_next_power_of_two()? / 2;
    (values.len() >= 2).then(|| values.split_at(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n / 7 + n / 65_536) as u8).collect()
    }

    /// For every number of groups, full or not: the values prove the whole, and each group.
    #[test]
    fn values_prove_the_whole_and_each_group() {
        for groups in 2..=17 {
            for length in [(groups - 1) * GROUP_BYTES + 1, groups * GROUP_BYTES] {
                let bytes = bytes(length);
                let hash = ContentHash(*blake3::hash(&bytes).as_bytes());
                let mut values = values(&bytes);
                assert_eq!(values.len(), values_bytes(length));
                assert!(are_of(&values, &hash), "{length}");
                for (at, group) in bytes.chunks(GROUP_BYTES).enumerate() {
                    assert!(match_values(&values, at, group));
                    assert!(!match_values(&values, at + 1, group));
                }
                assert!(match_values(&values, 1, &bytes[GROUP_BYTES..]));
                values[length % 32] ^= 1;
                assert!(!are_of(&values, &hash));
            }
        }
    }

    /// One pass gives what two give, and a part is proven by its groups alone.
    #[test]
    fn a_part_is_proven_by_its_groups() {
        for length in [1, GROUP_BYTES, GROUP_BYTES + 1, 400_000] {
            let bytes = bytes(length);
            let (hash, values) = hash_and_values(&bytes);
            assert_eq!(blake3::hash(&bytes), hash.0);
            assert_eq!(values, super::values(&bytes));
            let length = length as u32;
            for part in [
                (0, 1),
                (0, length),
                (length / 2, length / 2 + 1),
                (length - 1, length),
            ] {
                let (begin, end) = around(part, length).expect("a part of it");
                assert!(begin <= part.0 && part.1 <= end);
                let groups = &bytes[begin as usize..end as usize];
                assert!(prove((begin, groups), &values, length, &hash), "{part:?}");
                assert!(!prove((begin, &groups[1..]), &values, length, &hash));
                assert!(!prove((begin, groups), &[], length + 70_000, &hash));
            }
            assert_eq!(around((0, length + 1), length), None);
            assert_eq!(around((1, 1), length), None);
        }
    }

    #[test]
    fn a_single_group_needs_no_values() {
        for length in [0, 1, GROUP_BYTES] {
            assert_eq!((values(&bytes(length)).len(), values_bytes(length)), (0, 0));
        }
        assert!(!are_of(&[], &ContentHash([0; 32])));
        assert!(!are_of(&[0; 32], &ContentHash([0; 32])));
        assert!(!are_of(&[0; 65], &ContentHash([0; 32])));
    }

    /// Values and bytes that somebody else made up match nothing.
    #[test]
    fn made_up_values_prove_nothing() {
        let (mine, theirs) = (bytes(200_000), vec![9; 200_000]);
        let hash = ContentHash(*blake3::hash(&mine).as_bytes());
        assert!(!are_of(&values(&theirs), &hash));
        assert!(!match_values(&values(&mine), 0, &theirs[..GROUP_BYTES]));
        assert!(!match_values(&values(&mine), 3, &mine[..GROUP_BYTES]));
        assert!(!match_values(&values(&mine), 9, &mine[..1]));
    }
}
