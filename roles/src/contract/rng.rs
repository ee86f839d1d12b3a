//! The source of randomness: one seeded generator per node, given at construction.
//!
//! The generator is xoshiro256++ from the `rand` crate. Its stream for a seed is the same on every
//! machine. A replay by seed needs this, and `SmallRng` does not promise it.

use core::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng as _, SeedableRng};

/// The generator behind every random choice of a node.
#[derive(Clone, Debug)]
pub struct Rng(Xoshiro256PlusPlus);

impl Rng {
    /// The generator whose stream belongs to `seed`.
    pub fn from_seed(seed: u64) -> Self {
        Rng(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// 64 uniform random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Multiply-shift. Its bias of at most bound/2^64 is negligible for the small bounds used
        // here.
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// True with probability `parts` / `whole`.
    pub fn happens(&mut self, parts: u64, whole: u64) -> bool {
        self.below(whole) < parts
    }

    /// A uniform choice from `items`; none if there are no items.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    /// Puts `items` into a uniform random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// A uniform draw from zero to `longest`: full jitter.
    pub fn within(&mut self, longest: Duration) -> Duration {
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.below(nanos.saturating_add(1)))
    }

    /// A uniform draw from the upper half of `longest`: never a short pause, and rarely in step
    /// with others.
    pub fn upper_half(&mut self, longest: Duration) -> Duration {
        longest / 2 + self.within(longest / 2)
    }

    /// A uniform draw from 3/4 to 5/4 of `period`, so that the periods of several nodes drift
    /// apart.
    pub fn around(&mut self, period: Duration) -> Duration {
        period * 3 / 4 + self.within(period / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A replay by seed depends on this stream, so the stream may never change.
    #[test]
    fn the_stream_of_a_seed_is_pinned() {
        let mut rng = Rng::from_seed(42);
        let drawn: [u64; 3] = core::array::from_fn(|_| rng.bits());
        let mut again = Rng::from_seed(42);
        assert_eq!(drawn, core::array::from_fn(|_| again.bits()));
        assert_ne!(drawn, core::array::from_fn(|_| again.bits()));
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut rng = Rng::from_seed(1);
        assert!((0..1000).all(|_| rng.below(7) < 7));
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.pick::<u8>(&[]), None);
        let mut items = [1, 2, 3, 4, 5];
        rng.shuffle(&mut items);
        items.sort_unstable();
        assert_eq!(items, [1, 2, 3, 4, 5]);
    }
}
