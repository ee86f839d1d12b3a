//! A fault that comes back many times a second is told once, then counted.
//!
//! The first time is told at once, because it is what a user looks for. After that one line a minute
//! says how often it came back, so that a log neither fills the disk nor hides the fault.

use core::time::Duration;

use super::time::Time;

/// When a fault was told, and how often it has come back since.
#[derive(Debug, Default)]
pub struct Repeats {
    told_at: Option<Time>,
    since: u64,
}

impl Repeats {
    /// Notes that the fault is here. Gives how often it has come since it was told, this time
    /// included, when it is to be told.
    pub fn note(&mut self, now: Time) -> Option<u64> {
        self.since += 1;
        if self.told_at.is_some_and(|told| now < told + TELL_EVERY) {
            return None;
        }
        self.told_at = Some(now);
        Some(core::mem::take(&mut self.since))
    }
}

/// Between two lines about the same fault.
const TELL_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    /// Ten times a second for a minute: one line, and a second one with the count.
    #[test]
    fn a_fault_is_told_once_then_counted() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.note(at(5)), Some(1));
        let within = (1..600).filter_map(|n| repeats.note(at(5) + Duration::from_millis(100 * n)));
        assert_eq!(within.count(), 0);
        assert_eq!(repeats.note(at(65)), Some(600));
        assert_eq!(repeats.note(at(66)), None);
    }

    /// Weeks later it is told at once.
    #[test]
    fn a_fault_that_comes_back_late_is_told_at_once() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.note(at(5)), Some(1));
        assert_eq!(repeats.note(at(1_000_000)), Some(1));
    }
}
