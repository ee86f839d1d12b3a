//! What a server remembers over a restart: the members of its ring, and its role.
//!
//! A change of role is written at once. A change of the members is written at most every half
//! minute. An idle node writes nothing.

use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::job::{JobFault, JobReply, MemoryJob};
use crate::contract::member::Member;
use crate::contract::record::{Address, Role};
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::cx::Cx;
use crate::members::Members;
use crate::purpose::Ordered;
use crate::purpose::memory::Purpose;

/// Least time between two writes.
const PAUSE: Duration = Duration::from_secs(30);

/// Delay of a write after a change, so that a ring that is forming is written once.
const FIRST: Duration = Duration::from_secs(3);

/// Delay after a change of role: the write only waits for the other changes of the same event.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Pause before a job is repeated that the busy pool has refused.
const BUSY: Duration = Duration::from_millis(200);

/// The members and the role stored by an earlier run.
pub(super) type Recalled = (Vec<Member>, Option<Role>);

/// Reads the memory once, writes it when it has changed.
#[derive(Debug)]
pub(super) struct Memory {
    /// The addresses and roles of the members that are stored, or on their way to the disk.
    kept: Vec<(Address, Role)>,
    /// The role that is stored, or on its way to the disk.
    role: Option<Role>,
    due: Option<Time>,
    /// When the stored state is read again, after the pool was busy.
    recall_at: Option<Time>,
    written_at: Option<Time>,
    revision: u64,
}

impl Memory {
    pub(super) fn new() -> Self {
        Memory {
            kept: Vec::new(),
            role: None,
            due: None,
            recall_at: None,
            written_at: None,
            revision: 0,
        }
    }

    /// Starts to read the stored state.
    pub(super) fn recall(&mut self, cx: &mut Cx<'_>) {
        cx.run(Ordered::Memory(Purpose::Recall), MemoryJob::RecallMembers);
    }

    /// Returns the stored state, if this job has read it.
    pub(super) fn on_done(
        &mut self,
        now: Time,
        purpose: Purpose,
        reply: JobReply,
    ) -> Option<Recalled> {
        match (purpose, reply) {
            (Purpose::Recall, JobReply::Members { members, role }) => Some((members, role)),
            // A node that took another role because the pool was busy would not serve its songs, so
            // the read is repeated.
            (Purpose::Recall, JobReply::Failed(JobFault::Busy)) => {
                self.recall_at = Some(now + BUSY);
                None
            }
            // On any other failure the node starts as one without stored state.
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

    /// Notes a change of the member table and schedules a write if one is needed.
    pub(super) fn look(&mut self, now: Time, members: &Members) {
        if self.revision == members.revision() {
            return;
        }
        self.revision = members.revision();
        if self.role != Some(members.me().role) {
            // A node that crashed before the write would come back in its old role and not serve
            // the songs it took in this one.
            self.due = Some(now + AT_ONCE);
        }
        if self.due.is_none() && places(members) != self.kept {
            let earliest = self.written_at.map_or(Time::ZERO, |at| at + PAUSE);
            self.due = Some((now + FIRST).max(earliest));
        }
    }

    /// Repeats the read if that is due.
    pub(super) fn recall_again(&mut self, cx: &mut Cx<'_>) {
        if self.recall_at.take_if(|at| *at <= cx.now).is_some() {
            self.recall(cx);
        }
    }

    /// Writes if that is due.
    pub(super) fn on_tick(&mut self, cx: &mut Cx<'_>, members: &Members) {
        if self.due.is_none_or(|due| cx.now < due) {
            return;
        }
        self.due = None;
        let role = members.me().role;
        // A write for a change of role does not delay the next write of the members.
        if self.role.replace(role) == Some(role) {
            self.written_at = Some(cx.now);
        }
        self.kept = places(members);
        let members = members.living().copied().collect();
        let job = MemoryJob::RememberMembers { members, role };
        cx.run(Ordered::Memory(Purpose::Remember), job);
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        earlier(self.due, self.recall_at)
    }
}

fn places(members: &Members) -> Vec<(Address, Role)> {
    members.living().map(|m| (m.address, m.role)).collect()
}
