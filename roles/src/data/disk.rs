//! Whether this node's disk still answers.
//!
//! A disk that hangs or fails takes a node's songs away without a word: everybody would go on
//! asking it. So a node whose jobs have had no success for a while says that it is sick: it stays
//! a member, is asked last, and gets nothing new (gray failure). Idle, it is left alone.

use core::time::Duration;

use crate::contract::job::{JobFault, JobReply};
use crate::contract::time::Time;

/// Without success for so long, a small job is ordered to find out.
const PROBE_AFTER: Duration = Duration::from_secs(5);

/// Without success for so long, the disk is sick.
const SICK_AFTER: Duration = Duration::from_secs(10);

/// What is known of the disk.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// The last success, or the last moment at which nothing was asked of it.
    well_at: Time,
    /// The last look: a node that stood still has seen nothing of its disk.
    looked_at: Time,
    /// The last reply told of a fault of the disk.
    failed: bool,
    probed_at: Option<Time>,
}

impl Disk {
    /// A job has ended.
    pub(super) fn on_reply(&mut self, now: Time, reply: &JobReply) {
        let JobReply::Failed(fault) = reply else {
            return self.on_success(now);
        };
        match fault {
            JobFault::Broken(_) => self.failed = true,
            // These say nothing of the disk.
            JobFault::Busy | JobFault::Abandoned => (),
            JobFault::NotFound
            | JobFault::Ambiguous(_)
            | JobFault::Damaged
            | JobFault::Quarantined
            | JobFault::Removed
            | JobFault::Invalid(_)
            | JobFault::DiskFull => self.on_success(now),
        }
    }

    /// It has read or written, whatever came of it.
    fn on_success(&mut self, now: Time) {
        self.failed = false;
        self.well_at = now;
        self.probed_at = None;
    }

    /// Whether a small job should find out how the disk is; `waits`: jobs are under way.
    pub(super) fn wants_probe(&mut self, now: Time, waits: bool) -> bool {
        let stood_still = now.since(self.looked_at) > PROBE_AFTER;
        self.looked_at = now;
        if stood_still || (!waits && !self.failed) {
            self.well_at = now;
            self.probed_at = None;
            return false;
        }
        let lately = (self.probed_at).is_some_and(|at| now.since(at) < PROBE_AFTER);
        if lately || now.since(self.well_at) < PROBE_AFTER {
            return false;
        }
        self.probed_at = Some(now);
        true
    }

    pub(super) fn is_sick(&self, now: Time) -> bool {
        now.since(self.well_at) >= SICK_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::at;

    #[test]
    fn an_idle_disk_is_well() {
        let mut disk = Disk::default();
        assert!(!disk.wants_probe(at(1000), false));
        assert!(!disk.is_sick(at(1000)));
    }

    /// It hangs: after five seconds it is probed, after ten it is sick, and well with the first
    /// answer.
    #[test]
    fn a_disk_that_hangs_is_sick_until_it_answers() {
        let mut disk = Disk::default();
        disk.wants_probe(at(100), false);
        assert!((101..105).all(|s| !disk.wants_probe(at(s), true)));
        assert!(disk.wants_probe(at(105), true));
        assert!(!disk.wants_probe(at(106), true), "one probe at a time");
        assert!(!disk.is_sick(at(109)) && disk.is_sick(at(110)));
        disk.on_reply(at(120), &JobReply::Failed(JobFault::Busy));
        assert!(
            disk.is_sick(at(120)),
            "a full queue is no answer of the disk"
        );
        disk.on_reply(at(121), &JobReply::Done);
        assert!(!disk.is_sick(at(121)));
    }

    /// The node stood still, and its disk with it.
    #[test]
    fn who_stood_still_is_not_sick() {
        let mut disk = Disk::default();
        disk.wants_probe(at(100), true);
        assert!(!disk.wants_probe(at(200), true) && !disk.is_sick(at(200)));
    }

    /// It fails at once: nothing waits, and it is sick all the same.
    #[test]
    fn a_disk_that_fails_is_probed_and_sick() {
        let mut disk = Disk::default();
        disk.wants_probe(at(100), false);
        disk.on_reply(at(101), &JobReply::Failed(JobFault::Broken("read".into())));
        assert!((101..105).all(|s| !disk.wants_probe(at(s), false)));
        assert!(disk.wants_probe(at(106), false));
        disk.on_reply(at(106), &JobReply::Failed(JobFault::Broken("read".into())));
        assert!(disk.is_sick(at(111)));
    }
}
