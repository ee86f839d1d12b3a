//! What a server remembers over a restart: the ring it was part of, and its role.
//!
//! Written when who is there has changed, and not more often than every half minute: an idle node
//! writes nothing.

use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::id::JobId;
use crate::contract::job::{Job, JobFault, JobReply};
use crate::contract::member::Member;
use crate::contract::node::Outbox;
use crate::contract::record::{Address, Role};
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::jobs::Jobs;
use crate::members::Members;
use crate::requests::Desk;

/// Between two writes.
const PAUSE: Duration = Duration::from_secs(30);

/// After a change, so that a ring that is forming is written once.
const FIRST: Duration = Duration::from_secs(3);

/// A change of role is written with whatever else the same event brings.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Until a job is tried again that found the pool busy.
const BUSY: Duration = Duration::from_millis(200);

/// What was kept of an earlier run.
pub(super) type Recalled = (Vec<Member>, Option<Role>);

#[derive(Debug)]
enum Purpose {
    Recall,
    Remember,
}

/// Reads the memory once, writes it when it has changed.
#[derive(Debug)]
pub(super) struct Memory {
    jobs: Jobs<Purpose>,
    /// What is written, or on its way to be.
    kept: Vec<(Address, Role)>,
    /// The role that is written, or on its way to be.
    role: Option<Role>,
    due: Option<Time>,
    /// When what was kept is asked for again, the pool having been busy.
    recall_at: Option<Time>,
    written_at: Option<Time>,
    revision: u64,
}

impl Memory {
    pub(super) fn new() -> Self {
        Memory {
            jobs: Jobs::new(Desk::Ring),
            kept: Vec::new(),
            role: None,
            due: None,
            recall_at: None,
            written_at: None,
            revision: 0,
        }
    }

    /// Asks what was kept.
    pub(super) fn recall(&mut self, out: &mut Outbox) {
        self.jobs.run(Purpose::Recall, Job::RecallMembers, out);
    }

    /// What was kept, if the job was to find out.
    pub(super) fn on_done(&mut self, now: Time, job: JobId, reply: JobReply) -> Option<Recalled> {
        match (self.jobs.done(job)?, reply) {
            (Purpose::Recall, JobReply::Members { members, role }) => Some((members, role)),
            // A role forgotten for a busy moment would leave the songs of that role unserved.
            (Purpose::Recall, JobReply::Failed(JobFault::Busy)) => {
                self.recall_at = Some(now + BUSY);
                None
            }
            // Whatever else is wrong with the memory: the node begins as one without.
            (Purpose::Recall, _) => Some((Vec::new(), None)),
            (Purpose::Remember, JobReply::Done) => None,
            (Purpose::Remember, _) => {
                (self.written_at, self.role) = (None, None);
                self.kept.clear();
                self.due = Some(now + BUSY);
                None
            }
        }
    }

    /// Notes that somebody has come or gone.
    pub(super) fn look(&mut self, now: Time, members: &Members) {
        if self.revision == members.revision() {
            return;
        }
        self.revision = members.revision();
        if self.role != Some(members.me().role) {
            // Back as something else, it would sit on the songs it took in this role.
            self.due = Some(now + AT_ONCE);
        }
        if self.due.is_none() && places(members) != self.kept {
            let earliest = self.written_at.map_or(Time::ZERO, |at| at + PAUSE);
            self.due = Some((now + FIRST).max(earliest));
        }
    }

    /// Asks again what was kept, if it is time.
    pub(super) fn recall_again(&mut self, now: Time, out: &mut Outbox) {
        if self.recall_at.take_if(|at| *at <= now).is_some() {
            self.recall(out);
        }
    }

    /// Writes if it is time.
    pub(super) fn on_tick(&mut self, now: Time, members: &Members, out: &mut Outbox) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        self.due = None;
        let role = members.me().role;
        if self.role.replace(role) == Some(role) {
            self.written_at = Some(now);
        }
        self.kept = places(members);
        let members = members.living().copied().collect();
        let job = Job::RememberMembers { members, role };
        self.jobs.run(Purpose::Remember, job, out);
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        earlier(self.due, self.recall_at)
    }
}

fn places(members: &Members) -> Vec<(Address, Role)> {
    members.living().map(|m| (m.address, m.role)).collect()
}
