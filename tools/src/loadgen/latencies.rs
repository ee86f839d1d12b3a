//! Durations as a histogram: percentiles with three digits, from a microsecond to ten minutes.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The percentiles that a report shows.
pub(crate) const PERCENTILES: [f64; 7] = [50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 100.0];

/// Longest duration that is told apart from longer ones.
const LONGEST_MICROS: u64 = 600_000_000;

/// Measured durations.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// No durations yet.
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_MICROS, 3);
        Latencies(histogram.expect("the bounds are constants that the histogram accepts"))
    }

    /// Adds a duration.
    pub(crate) fn add(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.max(1));
    }

    /// Number of durations.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration below which this percentage lies; zero if there are none.
    pub(crate) fn at(&self, percent: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(percent / 100.0))
    }

    /// The mean.
    pub(crate) fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.0.mean() / 1e6)
    }

    /// The longest.
    pub(crate) fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// Sum of all durations.
    pub(crate) fn sum(&self) -> Duration {
        self.mean().mul_f64(self.count() as f64)
    }

    /// Forgets all durations and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }
}

/// A duration for people: 431 µs, 12.3 ms, 4.56 s.
pub(crate) fn in_words(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..100_000 => format!("{:.1} ms", micros as f64 / 1e3),
        100_000..1_000_000 => format!("{} ms", micros / 1000),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_to_three_digits() {
        let mut latencies = Latencies::new();
        (1..=10_000).for_each(|n| latencies.add(Duration::from_micros(n * 100)));
        let close = |percent: f64, millis: f64| {
            let error = latencies.at(percent).as_secs_f64() * 1e3 / millis - 1.0;
            assert!(error.abs() < 0.002, "{percent}: {error}");
        };
        close(50.0, 500.0);
        close(99.0, 990.0);
        close(99.99, 999.9);
        close(100.0, 1000.0);
        assert_eq!(latencies.count(), 10_000);
    }

    /// Neither nothing nor more than the longest is lost or panics.
    #[test]
    fn the_ends_of_the_range_hold() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.at(99.0), Duration::ZERO);
        latencies.add(Duration::ZERO);
        latencies.add(Duration::from_secs(100_000));
        assert_eq!(latencies.count(), 2);
        assert!(latencies.max() >= Duration::from_secs(599));
    }

    #[test]
    fn durations_have_units() {
        let words = [431, 12_345, 431_000, 4_560_000].map(|us| in_words(Duration::from_micros(us)));
        assert_eq!(words, ["431 µs", "12.3 ms", "431 ms", "4.56 s"]);
    }
}
