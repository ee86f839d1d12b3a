//! Named timers: a role arms one timer for each thing it waits for, and tells its host only the
//! earliest deadline.

use alloc::collections::{BTreeMap, BTreeSet};

use super::time::Time;

/// Deadlines by name. Arming an armed name moves its deadline. Timers with the same deadline fire
/// in the order of their names, so that two runs of a simulation agree.
#[derive(Clone, Debug)]
pub struct Timers<K> {
    by_time: BTreeSet<(Time, K)>,
    by_name: BTreeMap<K, Time>,
}

impl<K: Ord + Clone> Timers<K> {
    /// No timers.
    pub fn new() -> Self {
        Timers {
            by_time: BTreeSet::new(),
            by_name: BTreeMap::new(),
        }
    }

    /// Arms `name` to fire at `at`, in place of an earlier deadline of the same name.
    pub fn arm(&mut self, name: K, at: Time) {
        self.disarm(&name);
        self.by_name.insert(name.clone(), at);
        self.by_time.insert((at, name));
    }

    /// Arms `name` unless it already fires at `at` or before.
    pub fn arm_by(&mut self, name: K, at: Time) {
        if self.armed(&name).is_none_or(|old| at < old) {
            self.arm(name, at);
        }
    }

    /// Disarms `name`, if it is armed.
    pub fn disarm(&mut self, name: &K) {
        if let Some(at) = self.by_name.remove(name) {
            self.by_time.remove(&(at, name.clone()));
        }
    }

    /// The deadline of `name`, if it is armed.
    pub fn armed(&self, name: &K) -> Option<Time> {
        self.by_name.get(name).copied()
    }

    /// The earliest deadline, if any timer is armed.
    pub fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Removes and returns the earliest timer that is due.
    pub fn pop_due(&mut self, now: Time) -> Option<K> {
        let (at, _) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let (_, name) = self.by_time.pop_first()?;
        self.by_name.remove(&name);
        Some(name)
    }
}

impl<K: Ord + Clone> Default for Timers<K> {
    fn default() -> Self {
        Timers::new()
    }
}

/// The earlier of two deadlines, where either may be absent.
pub fn earlier(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::at;

    #[test]
    fn timers_fire_in_order_and_once() {
        let mut timers = Timers::new();
        timers.arm("late", at(3));
        timers.arm("early", at(1));
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(timers.pop_due(at(0)), None);
        assert_eq!(timers.pop_due(at(5)), Some("early"));
        assert_eq!(timers.pop_due(at(5)), Some("late"));
        assert_eq!(timers.pop_due(at(5)), None);
        assert_eq!(timers.next(), None);
    }

    /// A moved timer does not also fire where it stood before.
    #[test]
    fn arming_again_moves() {
        let mut timers = Timers::new();
        timers.arm('a', at(1));
        timers.arm('a', at(9));
        assert_eq!(timers.pop_due(at(5)), None);
        timers.arm_by('a', at(12));
        assert_eq!(timers.armed(&'a'), Some(at(9)));
        timers.arm_by('a', at(2));
        assert_eq!(timers.pop_due(at(5)), Some('a'));
    }
}
