//! A set of songs as a bitmap over their slots in the catalogue.

use alloc::vec::Vec;

/// A song's place in the catalogue, given anew when the song has left.
pub(super) type Slot = u32;

/// A set of slots. Two sets combine word by word: a set of 100 000 takes 1563 steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SlotSet(Vec<u64>);

impl SlotSet {
    pub(super) fn insert(&mut self, slot: Slot) {
        let (word, bit) = place(slot);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        let (word, bit) = place(slot);
        if let Some(word) = self.0.get_mut(word) {
            *word &= !bit;
        }
    }

    pub(super) fn has(&self, slot: Slot) -> bool {
        let (word, bit) = place(slot);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Adds the slots of `other`.
    pub(super) fn add(&mut self, other: &SlotSet) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    /// Leaves the slots that `other` has as well.
    pub(super) fn keep(&mut self, other: &SlotSet) {
        self.0.truncate(other.0.len());
        for (word, kept) in self.0.iter_mut().zip(&other.0) {
            *word &= kept;
        }
    }

    /// Takes the slots of `other` out.
    pub(super) fn take_out(&mut self, other: &SlotSet) {
        for (word, taken) in self.0.iter_mut().zip(&other.0) {
            *word &= !taken;
        }
    }

    /// The slots in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            core::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < u64::BITS).then(|| (at * BITS) as Slot + bit)
            })
        })
    }
}

fn place(slot: Slot) -> (usize, u64) {
    (slot as usize / BITS, 1 << (slot as usize % BITS))
}

const BITS: usize = u64::BITS as usize;

#[cfg(test)]
mod tests {
    use super::*;

    fn set(slots: &[Slot]) -> SlotSet {
        let mut set = SlotSet::default();
        slots.iter().for_each(|slot| set.insert(*slot));
        set
    }

    /// The sets behave as sets, whatever their lengths.
    #[test]
    fn sets_combine() {
        let (few, many) = (set(&[0, 5, 63]), set(&[5, 64, 1000]));
        let combined = |work: fn(&mut SlotSet, &SlotSet), a: &SlotSet, b: &SlotSet| {
            let mut set = a.clone();
            work(&mut set, b);
            set.iter().collect::<Vec<_>>()
        };
        assert_eq!(combined(SlotSet::add, &few, &many), [0, 5, 63, 64, 1000]);
        assert_eq!(combined(SlotSet::add, &many, &few), [0, 5, 63, 64, 1000]);
        assert_eq!(combined(SlotSet::keep, &few, &many), [5]);
        assert_eq!(combined(SlotSet::keep, &many, &few), [5]);
        assert_eq!(combined(SlotSet::take_out, &few, &many), [0, 63]);
        assert_eq!(combined(SlotSet::take_out, &many, &few), [64, 1000]);
        assert_eq!(
            (many.len(), many.has(1000), many.has(999)),
            (3, true, false)
        );
    }
}
