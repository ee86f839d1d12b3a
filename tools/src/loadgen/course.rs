//! The course of a run, second by second.

use std::time::Duration;

use super::latencies::Latencies;

/// What the clients felt during one second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// The second's number, from 1.
    pub(crate) second: u32,
    /// Answered requests, or fragments and pieces of sound that came.
    pub(crate) done: u64,
    /// Whether as much should be done in every second. Listeners fetch in bursts.
    pub(crate) steady: bool,
    /// Requests without an answer, or listeners who were refused a song.
    pub(crate) failed: u64,
    /// Requests in flight, or listeners who hear sound.
    pub(crate) open: u64,
    /// Requests that wait for a free connection, or listeners who wait in mid-song.
    pub(crate) waiting: u64,
    /// Stalls that began.
    pub(crate) stalls: u64,
    /// Changes of holder or of page.
    pub(crate) switches: u64,
    /// Bytes of sound that came.
    pub(crate) bytes: u64,
    /// Latencies of the second: of answers, or from a press to sound.
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
    /// Share of the second in which the generator's own loop worked.
    pub(crate) busy: f64,
    /// Longest time in which the generator did not look at its sockets.
    pub(crate) late: Duration,
}

impl Row {
    /// Takes the second's latencies.
    pub(crate) fn set_latencies(&mut self, latencies: &Latencies) {
        self.p50 = latencies.at(50.0);
        self.p99 = latencies.at(99.0);
        self.max = latencies.max();
    }

    /// Whether the generator itself was too slow in this second, so that latencies are partly its
    /// own.
    pub(crate) fn is_late(&self) -> bool {
        self.busy > BUSY_MOST || self.late > LATE_MOST
    }
}

/// Above this share of work, requests wait for the generator.
const BUSY_MOST: f64 = 0.9;

/// A loop that does not look at its sockets for longer adds this much to a latency.
const LATE_MOST: Duration = Duration::from_millis(50);

/// All seconds of a run, and what was done to the cluster meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Course {
    pub(crate) rows: Vec<Row>,
    /// Moments in seconds from the beginning, each with words.
    pub(crate) events: Vec<(f64, String)>,
}

impl Course {
    /// A warning if the generator was the bottleneck in more than a twentieth of the seconds.
    pub(crate) fn bottleneck(&self) -> Option<String> {
        let late = self.rows.iter().filter(|row| row.is_late()).count();
        if late * 20 <= self.rows.len() {
            return None;
        }
        let busiest = self.rows.iter().map(|row| row.busy).fold(0.0, f64::max);
        let latest = self.rows.iter().map(|row| row.late).max();
        Some(format!(
            "loadgen itself was the bottleneck in {late} of {} seconds (its loop worked up to {:.0} % of a \
             second and was away for up to {}): latencies are partly its own",
            self.rows.len(),
            busiest * 100.0,
            super::latencies::in_words(latest.unwrap_or_default()),
        ))
    }

    /// How long after `moment` the clients felt it: seconds until the first of two good seconds in
    /// a row. None if it never ended; zero if nobody felt it.
    pub(crate) fn felt_for(&self, moment: f64) -> Option<u32> {
        let first = moment.floor() as usize;
        let before = &self.rows[..first.min(self.rows.len())];
        let usual = before.iter().map(|row| row.done).sum::<u64>() / before.len().max(1) as u64;
        let hurt = |row: &Row| row.stalls > 0 || row.waiting > 0 || row.failed > 0;
        let bad = |row: &Row| hurt(row) || (row.steady && row.done * 2 < usual);
        let after = self.rows.get(first..)?;
        let last = after.iter().rposition(bad);
        match last {
            None => Some(0),
            Some(last) if last + 2 >= after.len() && after.len() > 2 => None,
            Some(last) => Some(last as u32 + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(rows: &[(u64, u64)]) -> Course {
        let row = |(n, (done, stalls)): (usize, &(u64, u64))| Row {
            second: n as u32 + 1,
            done: *done,
            stalls: *stalls,
            steady: true,
            ..Row::default()
        };
        Course {
            rows: rows.iter().enumerate().map(row).collect(),
            events: Vec::new(),
        }
    }

    #[test]
    fn what_nobody_felt_took_no_time() {
        assert_eq!(course(&[(100, 0); 8]).felt_for(3.5), Some(0));
    }

    /// Stalls and a dip of what is done count until the last of them.
    #[test]
    fn a_stroke_is_felt_until_all_is_as_before() {
        let rows = [
            (100, 0),
            (100, 0),
            (90, 2),
            (20, 0),
            (99, 0),
            (99, 0),
            (99, 0),
        ];
        assert_eq!(course(&rows).felt_for(2.1), Some(2));
        assert_eq!(course(&rows[..4]).felt_for(1.0), None);
    }

    #[test]
    fn a_busy_generator_says_so() {
        let mut slow = course(&[(1, 0); 10]);
        assert_eq!(slow.bottleneck(), None);
        slow.rows[3].busy = 0.97;
        let said = slow.bottleneck().unwrap();
        assert!(
            said.contains("1 of 10 seconds") && said.contains("97 %"),
            "{said}"
        );
    }
}
