//! Which song comes next: popularity by Zipf's law.
//!
//! The song of rank k is chosen with a probability proportional to 1 / k^s. Music libraries are
//! heard like this: a few songs very often, most of them hardly ever.

use roles::contract::rng::Rng;

/// A choice among `n` ranks, 0 being the most popular.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    /// The probability of all ranks up to and including this one.
    cumulative: Vec<f64>,
}

impl Zipf {
    /// The distribution over `count` ranks with this exponent; 0 makes all ranks equal.
    pub(crate) fn new(count: usize, exponent: f64) -> Self {
        let weights = (1..=count).map(|rank| (rank as f64).powf(-exponent));
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        cumulative.iter_mut().for_each(|part| *part /= sum);
        Zipf { cumulative }
    }

    /// Draws a rank; 0 if there are no ranks.
    pub(crate) fn draw(&self, rng: &mut Rng) -> usize {
        let at = unit(rng);
        let rank = self.cumulative.partition_point(|part| *part <= at);
        rank.min(self.cumulative.len().saturating_sub(1))
    }
}

/// A uniform number from 0 up to, and without, 1.
pub(crate) fn unit(rng: &mut Rng) -> f64 {
    // 53 bits are all that fit into the mantissa.
    (rng.bits() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Seconds until the next event of a Poisson process with this many events per second. Infinite if
/// the rate is 0.
pub(crate) fn gap(rng: &mut Rng, per_second: f64) -> f64 {
    -(1.0 - unit(rng)).ln() / per_second
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With exponent 1, the second song is heard half as often as the first, the tenth a tenth.
    #[test]
    fn a_rank_is_as_popular_as_its_inverse() {
        let (zipf, mut rng) = (Zipf::new(1000, 1.0), Rng::from_seed(1));
        let mut counts = vec![0_u32; 1000];
        (0..200_000).for_each(|_| counts[zipf.draw(&mut rng)] += 1);
        let ratio = |rank: usize| f64::from(counts[rank - 1]) / f64::from(counts[0]);
        assert!((0.45..0.55).contains(&ratio(2)), "{}", ratio(2));
        assert!((0.08..0.12).contains(&ratio(10)), "{}", ratio(10));
    }

    #[test]
    fn exponent_zero_makes_all_equal_and_no_rank_is_no_panic() {
        let (flat, mut rng) = (Zipf::new(4, 0.0), Rng::from_seed(2));
        let mut counts = [0_u32; 4];
        (0..4000).for_each(|_| counts[flat.draw(&mut rng)] += 1);
        assert!(counts.iter().all(|count| (850..1150).contains(count)));
        assert_eq!(Zipf::new(0, 1.0).draw(&mut rng), 0);
    }

    #[test]
    fn gaps_have_the_mean_of_their_rate() {
        let mut rng = Rng::from_seed(3);
        let sum: f64 = (0..20_000).map(|_| gap(&mut rng, 4.0)).sum();
        assert!((0.24..0.26).contains(&(sum / 20_000.0)));
        assert_eq!(gap(&mut rng, 0.0), f64::INFINITY);
    }
}
