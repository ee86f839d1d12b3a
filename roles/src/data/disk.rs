//! Whether this node's disk still answers.
//!
//! A disk that hangs or fails makes a node's songs unavailable without notice, and the others would
//! go on asking for them. So a node none of whose jobs succeed for a while declares itself sick
//! (gray failure): it stays a member, is asked last, and gets no further songs. A node without jobs
//! and without failures is not probed.

use core::time::Duration;

use crate::contract::job::{JobFault, JobReply};
use crate::contract::time::Time;

/// The time without a success after which a small job probes the disk.
const PROBE_AFTER: Duration = Duration::from_secs(5);

/// The time without a success after which the disk is sick.
const SICK_AFTER: Duration = Duration::from_secs(10);

/// What is known of the disk.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// The last success, or the last look at which the disk was idle.
    well_at: Time,
    /// The last look: after a long gap, the node was stalled and knows nothing of its disk.
    looked_at: Time,
    /// The disk has failed, and no job has succeeded since.
    failed: bool,
    probed_at: Option<Time>,
}

impl Disk {
    /// Takes the reply of a job.
    pub(super) fn on_reply(&mut self, now: Time, reply: &JobReply) {
        let JobReply::Failed(fault) = reply else {
            return self.on_success(now);
        };
        match fault {
            JobFault::Broken(_) | JobFault::Corrupt(_) => self.failed = true,
            // Such a job may never have reached the disk.
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

    /// The disk has answered, even if the job failed for another reason.
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

    /// A disk that hangs is probed after five seconds, is sick after ten, and is well with the
    /// first answer.
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

    /// A node that stalls does not blame its disk for the gap.
    #[test]
    fn who_stood_still_is_not_sick() {
        let mut disk = Disk::default();
        disk.wants_probe(at(100), true);
        assert!(!disk.wants_probe(at(200), true) && !disk.is_sick(at(200)));
    }

    /// A disk whose jobs fail at once is sick, although no job is under way.
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
