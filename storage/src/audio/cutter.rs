//! Fragments out of marks: the one place that decides how long a fragment becomes.
//!
//! A scanner marks every place where a fragment may begin. A fragment is the longest run between
//! two marks that is neither longer than ten seconds nor larger than a fragment may be. A run
//! between two neighbouring marks that is too large by itself is sliced by size.

use roles::contract::limits::{FRAGMENT_BYTES_MAX, FRAGMENT_DURATION, FRAGMENTS_MAX};
use roles::contract::song::Part;

use super::Cut;
use super::window::{Sure, unsure};

/// A place where a fragment may begin.
#[derive(Clone, Copy, Debug)]
struct Mark {
    offset: u64,
    ms: u64,
}

/// The fragments found so far.
pub(super) struct Cutter {
    cuts: Vec<Cut>,
    /// Where the fragment begins that is being gathered.
    begun: Mark,
    /// The latest mark.
    last: Mark,
    /// The latest mark inside a packet.
    continued: Mark,
}

impl Cutter {
    /// Begins a file whose sound begins at `offset`; what lies before is its head.
    pub(super) fn after_head(offset: u64) -> Sure<Self> {
        Cutter::after_head_with_sound(offset, 0)
    }

    /// The same; the head holds the sound up to `ms`.
    pub(super) fn after_head_with_sound(offset: u64, ms: u64) -> Sure<Self> {
        let zero = Mark { offset: 0, ms: 0 };
        let sound = Mark { offset, ms };
        let mut cutter = Cutter {
            cuts: Vec::new(),
            begun: sound,
            last: sound,
            continued: sound,
        };
        cutter.slice(zero, sound, Part::Head)?;
        Ok(cutter)
    }

    /// A fragment may begin at `offset`, whose sound begins at `ms`. Marks come in order.
    pub(super) fn mark(&mut self, offset: u64, ms: u64) -> Sure<()> {
        self.last = self.reach(offset, ms)?;
        Ok(())
    }

    /// A fragment may begin at `offset`, inside a packet, if it would become too long otherwise: a
    /// decoder drops what is left of the packet.
    pub(super) fn mark_continued(&mut self, offset: u64, ms: u64) -> Sure<()> {
        self.continued = self.reach(offset, ms)?;
        Ok(())
    }

    /// Closes the fragments that end before the mark.
    fn reach(&mut self, offset: u64, ms: u64) -> Sure<Mark> {
        let mark = Mark { offset, ms };
        let in_order = |before: Mark| offset >= before.offset && ms >= before.ms;
        if !in_order(self.last) || !in_order(self.continued) {
            return unsure("the sound does not lie in order");
        }
        while !self.fits(mark) {
            let best = [self.last, self.continued];
            match best.into_iter().find(|b| b.offset > self.begun.offset) {
                Some(end) => self.close_at(end)?,
                None => break,
            }
        }
        Ok(mark)
    }

    /// A fragment must begin at `offset`: another stream begins there.
    pub(super) fn seal(&mut self, offset: u64, ms: u64) -> Sure<()> {
        self.mark(offset, ms)?;
        self.continued = self.last;
        self.close_at(self.last)
    }

    /// The sound ends at `offset`; what follows up to `bytes` is the tail.
    pub(super) fn finish(mut self, offset: u64, ms: u64, bytes: u64) -> Sure<Vec<Cut>> {
        self.seal(offset, ms)?;
        if !self.cuts.iter().any(|cut| cut.part == Part::Audio) {
            return unsure("there is no sound");
        }
        let end = Mark { offset: bytes, ms };
        self.slice(self.last, end, Part::Tail)?;
        Ok(self.cuts)
    }

    fn fits(&self, mark: Mark) -> bool {
        mark.offset - self.begun.offset <= FRAGMENT_BYTES_MAX as u64
            && u128::from(mark.ms - self.begun.ms) <= FRAGMENT_DURATION.as_millis()
    }

    fn close_at(&mut self, end: Mark) -> Sure<()> {
        self.slice(self.begun, end, Part::Audio)?;
        self.begun = end;
        Ok(())
    }

    /// Slices beyond the first begin where the sound after them begins: nobody who looks for a
    /// moment is led into the middle of what cannot be played from its middle.
    fn slice(&mut self, from: Mark, to: Mark, part: Part) -> Sure<()> {
        if to.offset < from.offset {
            return unsure("the sound does not lie inside the file");
        }
        let mut at = from;
        while at.offset < to.offset {
            if self.cuts.len() == FRAGMENTS_MAX {
                return unsure("too many fragments");
            }
            let length = (to.offset - at.offset).min(FRAGMENT_BYTES_MAX as u64);
            let Ok(start_ms) = u32::try_from(at.ms) else {
                return unsure("longer than a month");
            };
            self.cuts.push(Cut {
                offset: at.offset,
                length: length as u32,
                start_ms,
                part,
            });
            at = Mark {
                offset: at.offset + length,
                ms: to.ms,
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(cuts: &[Cut]) -> Vec<(u64, u32, u32)> {
        let entry = |cut: &Cut| (cut.offset, cut.length, cut.start_ms);
        cuts.iter().map(entry).collect()
    }

    /// Where packets run on for long, a fragment begins inside one; where they do not, it does not.
    #[test]
    fn a_fragment_begins_inside_a_packet_only_if_it_must() {
        let mut cutter = Cutter::after_head(0).expect("no head");
        for (i, continued) in [0, 0, 1, 0, 1, 1, 1, 1, 0, 1].into_iter().enumerate() {
            let (offset, ms) = (i as u64 * 100, i as u64 * 4_000);
            match continued {
                0 => cutter.mark(offset, ms).expect("in order"),
                _ => cutter.mark_continued(offset, ms).expect("in order"),
            }
        }
        let cuts = cutter.finish(1000, 40_000, 1000).expect("sound");
        assert_eq!(
            shape(&cuts),
            [
                (0, 100, 0),
                (100, 200, 4_000),
                (300, 200, 12_000),
                (500, 200, 20_000),
                (700, 100, 28_000),
                (800, 200, 32_000)
            ]
        );
        let mut cutter = Cutter::after_head(0).expect("no head");
        cutter.mark_continued(60, 5).expect("in order");
        assert!(cutter.mark(50, 6).is_err());
        assert!(cutter.mark_continued(70, 4).is_err());
    }

    /// Ten seconds are a whole fragment; a moment more begins the next one.
    #[test]
    fn a_fragment_plays_at_most_ten_seconds() {
        let mut cutter = Cutter::after_head(10).expect("a head");
        for i in 0..6 {
            cutter.mark(10 + i * 100, i * 4_000).expect("in order");
        }
        let cuts = cutter.finish(610, 24_000, 620).expect("sound");
        assert_eq!(
            shape(&cuts),
            [
                (0, 10, 0),
                (10, 200, 0),
                (210, 200, 8_000),
                (410, 200, 16_000),
                (610, 10, 24_000)
            ]
        );
        assert_eq!(cuts[0].part, Part::Head);
        assert_eq!(cuts[4].part, Part::Tail);
    }

    #[test]
    fn a_fragment_is_at_most_a_million_bytes() {
        let mut cutter = Cutter::after_head(0).expect("no head");
        for i in 0..5 {
            cutter.mark(i * 400_000, i).expect("in order");
        }
        let cuts = cutter.finish(2_000_000, 5, 2_000_000).expect("sound");
        assert_eq!(
            shape(&cuts),
            [
                (0, 800_000, 0),
                (800_000, 800_000, 2),
                (1_600_000, 400_000, 4)
            ]
        );
    }

    /// Junk of any size between two frames is kept, and the sound after it can be found.
    #[test]
    fn a_run_that_is_too_large_is_sliced() {
        let mut cutter = Cutter::after_head(0).expect("no head");
        cutter.mark(0, 0).expect("in order");
        cutter.mark(100, 20).expect("in order");
        cutter.mark(2_500_100, 20).expect("in order");
        let cuts = cutter.finish(2_500_200, 40, 2_500_200).expect("sound");
        assert_eq!(
            shape(&cuts),
            [
                (0, 100, 0),
                (100, 1_000_000, 20),
                (1_000_100, 1_000_000, 20),
                (2_000_100, 500_000, 20),
                (2_500_100, 100, 20)
            ]
        );
    }

    #[test]
    fn disorder_is_a_doubt() {
        let mut cutter = Cutter::after_head(50).expect("a head");
        assert!(cutter.mark(40, 0).is_err());
        cutter.mark(60, 5).expect("in order");
        assert!(cutter.mark(70, 4).is_err());
        assert!(
            Cutter::after_head(5)
                .expect("a head")
                .finish(5, 0, 9)
                .is_err()
        );
    }
}
