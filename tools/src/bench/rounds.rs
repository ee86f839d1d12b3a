//! Both sides of a ratio in turns, so that a machine that is busy for a while is so for both.

use std::time::Duration;

use crate::loadgen::Failure;

/// How often both sides are measured.
const ROUNDS: u32 = 3;

/// What both sides showed, round by round.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rounds(Vec<(f64, f64)>);

impl Rounds {
    /// A measurement that cannot be repeated.
    pub(super) fn once(ours: f64, theirs: f64) -> Self {
        Rounds(vec![(ours, theirs)])
    }

    /// Measures ours, theirs, ours, theirs, and so on.
    pub(super) fn alternate(
        mut ours: impl FnMut() -> Result<f64, Failure>,
        mut theirs: impl FnMut() -> Result<f64, Failure>,
    ) -> Result<Self, Failure> {
        let round = |_| Ok((ours()?, theirs()?));
        (0..ROUNDS).map(round).collect::<Result<_, _>>().map(Rounds)
    }

    /// The median of our side.
    pub(super) fn ours(&self) -> f64 {
        median(self.0.iter().map(|(ours, _)| *ours))
    }

    /// The median of the reference.
    pub(super) fn theirs(&self) -> f64 {
        median(self.0.iter().map(|(_, theirs)| *theirs))
    }

    /// The lowest, the median and the highest of the rounds' ratios, ours to theirs.
    pub(super) fn ratios(&self) -> [f64; 3] {
        let ratios = || self.0.iter().map(|(ours, theirs)| ours / theirs);
        let lowest = ratios().fold(f64::INFINITY, f64::min);
        let highest = ratios().fold(0.0, f64::max);
        [lowest, median(ratios()), highest]
    }
}

/// The length of one round, if each side is to be measured for so long in all.
pub(super) fn of_round(seconds: Duration) -> Duration {
    (seconds / ROUNDS).max(Duration::from_secs(1))
}

/// The value in the middle; 0 if there are none.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median(std::iter::empty()), 0.0);
    }

    /// A slow moment that hits both sides of a round leaves the ratio as it is.
    #[test]
    fn a_slow_round_does_not_change_the_ratio() {
        let mut speeds = [10.0, 1.0, 10.0].into_iter();
        let mut speed = || Ok(speeds.next().unwrap_or(1.0));
        let mut last = 0.0;
        let rounds = Rounds::alternate(
            || {
                last = speed()?;
                Ok(last)
            },
            || Ok(10.0),
        );
        assert_eq!(rounds.unwrap().ratios(), [0.1, 1.0, 1.0]);
        let both = Rounds(vec![(10.0, 20.0), (1.0, 2.0), (10.0, 20.0)]);
        assert_eq!(both.ratios(), [0.5, 0.5, 0.5]);
        assert_eq!((both.ours(), both.theirs()), (10.0, 20.0));
    }
}
