//! When requests leave: the arrivals of an open loop.
//!
//! The moments are fixed before the run and do not depend on answers. A request that leaves late,
//! because the generator or the server was late, is counted from the moment at which it should have
//! left. So a server that stands still for a second shows a second of latency in every request that
//! fell into it, and not in one only ("coordinated omission").

use std::time::Duration;

use roles::contract::time::Time;

/// Evenly spaced moments, so many per second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    begin: Time,
    per_second: f64,
    sent: u64,
}

impl Schedule {
    /// Moments from `begin` on. The rate is above 0.
    pub(crate) fn new(begin: Time, per_second: f64) -> Self {
        Schedule {
            begin,
            per_second,
            sent: 0,
        }
    }

    /// The moment of the next request.
    pub(crate) fn next(&self) -> Time {
        // Counted from the beginning each time: adding up rounded gaps would drift.
        self.begin + Duration::from_secs_f64(self.sent as f64 / self.per_second)
    }

    /// Takes the next moment if it has come.
    pub(crate) fn due(&mut self, now: Time) -> Option<Time> {
        let at = self.next();
        if at > now {
            return None;
        }
        self.sent += 1;
        Some(at)
    }
}

/// The moment at which client `number` of `count` begins, when all begin within `ramp`.
pub(crate) fn ramped(begin: Time, ramp: Duration, number: usize, count: usize) -> Time {
    begin + ramp.mul_f64(number as f64 / count.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After a second of silence all requests of that second are due, each at its own moment.
    #[test]
    fn late_requests_keep_their_moments() {
        let mut schedule = Schedule::new(Time::from_secs(1), 10.0);
        assert_eq!(schedule.due(Time::from_millis(999)), None);
        let now = Time::from_millis(1950);
        let due: Vec<u64> = std::iter::from_fn(|| schedule.due(now))
            .map(Time::as_millis)
            .collect();
        assert_eq!(
            due,
            [1000, 1100, 1200, 1300, 1400, 1500, 1600, 1700, 1800, 1900]
        );
        assert_eq!(schedule.next(), Time::from_secs(2));
    }

    /// A rate that divides no second evenly does not drift.
    #[test]
    fn an_uneven_rate_holds_for_an_hour() {
        let mut schedule = Schedule::new(Time::ZERO, 333.0);
        while schedule.due(Time::from_secs(3600)).is_some() {}
        assert_eq!(schedule.sent, 333 * 3600 + 1);
    }

    #[test]
    fn a_ramp_spreads_its_clients() {
        let at = |n| ramped(Time::ZERO, Duration::from_secs(10), n, 5).as_millis();
        assert_eq!([at(0), at(1), at(4)], [0, 2000, 8000]);
    }
}
