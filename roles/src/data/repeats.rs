//! A fault that comes back many times a second is told once, then counted once a minute.

use core::time::Duration;

use crate::contract::time::Time;

/// When a fault was told, and how often it has come back since.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    told_at: Option<Time>,
    since: u64,
}

impl Repeats {
    /// Notes that the fault is here. Gives how often it has come since it was told, this time
    /// included, when it is to be told.
    pub(super) fn note(&mut self, now: Time) -> Option<u64> {
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
    use crate::test_support::at;

    /// Five times a second for a minute: one line, and a second one with the count.
    #[test]
    fn a_fault_is_told_once_then_counted() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.note(at(5)), Some(1));
        assert!((6..65).all(|second| repeats.note(at(second)).is_none()));
        assert_eq!(repeats.note(at(65)), Some(60));
        assert_eq!(repeats.note(at(1_000_000)), Some(1));
    }
}
