//! Files damaged at random, from a seed.

/// A generator of its own, so that a failure is found again by its number.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `n`, or 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.roll() % n.max(1) as u64) as usize
    }

    fn garbage(&mut self) -> Vec<u8> {
        let length = self.below(3000);
        (0..length).map(|_| self.roll() as u8).collect()
    }
}

/// Changes a file in one to four places, each in one of the ways files are damaged.
pub(crate) fn damage(file: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(file.len());
        match dice.below(8) {
            0 => file.truncate(at),
            1 => drop(file.splice(at..at, dice.garbage())),
            2 => drop(file.drain(at..(at + dice.below(2000)).min(file.len()))),
            3 => file.extend(dice.garbage()),
            4 => drop(file.splice(0..0, dice.garbage())),
            5 => file.extend_from_within(at..),
            6 => file
                .iter_mut()
                .skip(at)
                .take(8)
                .for_each(|byte| *byte = 0xff),
            _ => {
                for _ in 0..dice.below(20) {
                    // Headers and tables lie in front: they are hit more often than the sound.
                    let near = if dice.below(2) == 0 { 200 } else { file.len() };
                    let place = dice.below(near.min(file.len()));
                    if let Some(byte) = file.get_mut(place) {
                        *byte ^= 1 << dice.below(8);
                    }
                }
            }
        }
    }
}
