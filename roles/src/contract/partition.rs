//! Partitions: ranges of song ids that are owned, compared and moved as a whole.

use super::id::{SongId, SongPrefix};

/// Leading bits of a song's id that give its partition.
pub const PARTITION_BITS: u32 = 12;

/// The number of partitions.
pub const PARTITIONS: u16 = 1 << PARTITION_BITS;

/// One partition: the unit of ownership, digests, hand-off and repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition(u16);

impl Partition {
    /// The partition a song lies in.
    pub fn of(song: SongId) -> Self {
        Partition((song.0 >> (128 - PARTITION_BITS)) as u16)
    }

    /// The partition that holds all songs with these leading digits. None if several partitions do,
    /// which is always so with fewer than three digits.
    pub fn containing(prefix: SongPrefix) -> Option<Self> {
        let first = Partition::of(prefix.first());
        (first == Partition::of(prefix.last())).then_some(first)
    }

    /// The partition with this number; none from [`PARTITIONS`] on.
    pub fn from_number(number: u16) -> Option<Self> {
        (number < PARTITIONS).then_some(Partition(number))
    }

    /// Every partition, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..PARTITIONS).map(Partition)
    }

    /// Its number, from 0.
    pub fn number(self) -> u16 {
        self.0
    }

    /// The smallest id that lies in it.
    pub fn first(self) -> SongId {
        SongId(u128::from(self.0) << (128 - PARTITION_BITS))
    }

    /// The largest id that lies in it.
    pub fn last(self) -> SongId {
        SongId(self.first().0 | (u128::MAX >> PARTITION_BITS))
    }

    /// Its start on the hash ring.
    pub(crate) fn start(self) -> u64 {
        u64::from(self.0) << (64 - PARTITION_BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exactly the ids between a partition's bounds lie in it.
    #[test]
    fn a_partition_knows_its_bounds() {
        for number in [0, 1, 2047, PARTITIONS - 1] {
            let partition = Partition::from_number(number).expect("there are so many");
            assert_eq!(partition.number(), number);
            assert_eq!(Partition::of(partition.first()), partition);
            assert_eq!(Partition::of(partition.last()), partition);
            let before = partition.first().0.checked_sub(1).map(SongId);
            assert!(before.is_none_or(|id| Partition::of(id) < partition));
            let behind = partition.last().0.checked_add(1).map(SongId);
            assert!(behind.is_none_or(|id| Partition::of(id) > partition));
        }
        assert_eq!(Partition::from_number(PARTITIONS), None);
    }
}
