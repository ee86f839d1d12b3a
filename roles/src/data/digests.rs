//! Digests of partitions: with them two nodes see in a few hundred bytes whether they agree.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use crate::contract::job::PartitionDigest;
use crate::contract::message::Digest;
use crate::contract::partition::Partition;
use crate::contract::upkeep::{GROUP, GROUPS};
use crate::hash_ring::mix;

/// A set of partitions, one bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chosen(Vec<u64>);

/// The digest of each partition; zero for an empty one.
#[derive(Clone, Debug, Default)]
pub(super) struct Digests(BTreeMap<u16, u64>);

impl Chosen {
    /// The partitions for which `wanted` is true.
    pub(super) fn of(wanted: impl Fn(Partition) -> bool) -> Self {
        let mut words = vec![0; GROUPS];
        for partition in Partition::all() {
            if wanted(partition) {
                let number = usize::from(partition.number());
                words[number / GROUP] |= 1 << (number % GROUP);
            }
        }
        Chosen(words)
    }

    /// Decodes a set. `None`: it is for another number of partitions, so it comes from no honest
    /// node.
    pub(super) fn read(words: Vec<u64>) -> Option<Self> {
        (words.len() == GROUPS).then_some(Chosen(words))
    }

    /// Encodes the set for the wire.
    pub(super) fn words(&self) -> Vec<u64> {
        self.0.clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The partitions of the set, in ascending order.
    pub(super) fn partitions(&self) -> impl Iterator<Item = Partition> {
        let has = |partition: &Partition| {
            let number = usize::from(partition.number());
            self.0[number / GROUP] & 1 << (number % GROUP) != 0
        };
        Partition::all().filter(has)
    }

    /// The part of the set in groups for which `wanted` is true.
    fn groups(&self, wanted: impl Fn(usize) -> bool) -> Self {
        let keep = |(group, word): (usize, &u64)| if wanted(group) { *word } else { 0 };
        Chosen(self.0.iter().enumerate().map(keep).collect())
    }
}

impl Digests {
    /// The digests of a library.
    pub(super) fn of(digests: &[PartitionDigest]) -> Self {
        let sum = |d: &PartitionDigest| (d.partition.number(), sum(&d.songs, &d.tombstones));
        Digests(digests.iter().map(sum).collect())
    }

    /// Whether the partition has songs or tombstones.
    pub(super) fn holds(&self, partition: Partition) -> bool {
        self.0.contains_key(&partition.number())
    }

    fn of_partition(&self, partition: Partition) -> u64 {
        self.0.get(&partition.number()).copied().unwrap_or(0)
    }

    /// One digest for each group, of the chosen partitions only; zero for a group without any.
    pub(super) fn by_group(&self, chosen: &Chosen) -> Vec<u64> {
        let mut sums = vec![0; GROUPS];
        for partition in chosen.partitions() {
            let sum = self.of_partition(partition);
            if sum != 0 {
                let number = partition.number();
                sums[usize::from(number) / GROUP] ^= mix(sum ^ u64::from(number));
            }
        }
        sums
    }

    /// One digest for each chosen partition.
    pub(super) fn each(&self, chosen: &Chosen) -> Vec<u64> {
        chosen.partitions().map(|p| self.of_partition(p)).collect()
    }

    /// The chosen partitions in groups that differ. `None`: the answer has the wrong length.
    pub(super) fn differing_groups(&self, chosen: &Chosen, theirs: &[u64]) -> Option<Chosen> {
        let mine = self.by_group(chosen);
        (theirs.len() == GROUPS).then(|| chosen.groups(|group| mine[group] != theirs[group]))
    }

    /// The chosen partitions that differ. `None`: the answer has the wrong length.
    pub(super) fn differing(&self, chosen: &Chosen, theirs: &[u64]) -> Option<Vec<Partition>> {
        let mine = self.each(chosen);
        if theirs.len() != mine.len() {
            return None;
        }
        let differ = chosen.partitions().zip(mine.iter().zip(theirs));
        let differ = differ.filter(|(_, (mine, theirs))| mine != theirs);
        Some(differ.map(|(partition, _)| partition).collect())
    }
}

fn sum(songs: &Digest, tombstones: &Digest) -> u64 {
    let half = |digest: &Digest| {
        let xor = digest.xor as u64 ^ mix((digest.xor >> 64) as u64);
        mix(digest.count ^ mix(xor))
    };
    // Zero stands for an empty partition, so no other partition may come to it.
    mix(half(songs) ^ half(tombstones).rotate_left(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::id::SongId;

    fn digest(number: u16, songs: &[u128], gone: &[u128]) -> PartitionDigest {
        let digest = |ids: &[u128]| {
            let mut digest = Digest::default();
            ids.iter().for_each(|id| digest.insert(SongId(*id)));
            digest
        };
        PartitionDigest {
            partition: Partition::from_number(number).expect("one of them"),
            songs: digest(songs),
            tombstones: digest(gone),
        }
    }

    /// The digests of groups lead to the partitions in which two nodes differ.
    #[test]
    fn what_differs_is_found() {
        let mine = [
            digest(1, &[7], &[]),
            digest(70, &[8], &[]),
            digest(4095, &[], &[9]),
        ];
        let theirs = [
            digest(1, &[7], &[]),
            digest(71, &[8], &[]),
            digest(4095, &[9], &[]),
        ];
        let (mine, theirs) = (Digests::of(&mine), Digests::of(&theirs));
        let all = Chosen::of(|_| true);
        let groups = mine
            .differing_groups(&all, &theirs.by_group(&all))
            .expect("sums");
        assert_eq!(
            groups.partitions().count(),
            128,
            "the second group and the last"
        );
        let found = mine
            .differing(&groups, &theirs.each(&groups))
            .expect("sums");
        let numbers: Vec<u16> = found.into_iter().map(Partition::number).collect();
        assert_eq!(numbers, [70, 71, 4095]);
    }

    #[test]
    fn what_was_not_chosen_does_not_differ() {
        let mine = Digests::of(&[digest(1, &[7], &[])]);
        let none = Chosen::of(|p| p.number() != 1);
        let nothing = Digests::default();
        let groups = mine.differing_groups(&none, &nothing.by_group(&none));
        assert!(groups.expect("sums").is_empty());
    }

    /// Digests of a wrong length come from a faulty node or another protocol.
    #[test]
    fn sums_of_another_length_are_no_answer() {
        let sums = Digests::default();
        let all = Chosen::of(|_| true);
        assert!(Chosen::read(vec![0; 63]).is_none());
        assert!(sums.differing_groups(&all, &[0; 65]).is_none());
        assert!(sums.differing(&all, &[0; 4095]).is_none());
    }
}
