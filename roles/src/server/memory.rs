//! What a server remembers over a restart: the members of its ring, its role, and the DNS nodes.
//!
//! A change of role is written at once. A change of the others is written at most every half
//! minute. An idle node writes nothing.

use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::job::{JobFault, JobReply, MemoryJob};
use crate::contract::limits::DNS_NODES_MAX;
use crate::contract::member::Member;
use crate::contract::record::{Address, Role};
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::cx::Cx;
use crate::members::Members;
use crate::purpose::Ordered;
use crate::purpose::memory::Purpose;
use crate::resolver::Resolver;

/// Least time between two writes.
const PAUSE: Duration = Duration::from_secs(30);

/// Delay of a write after a change, so that a ring that is forming is written once.
const FIRST: Duration = Duration::from_secs(3);

/// Delay after a change of role: the write only waits for the other changes of the same event.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Pause before a job is repeated that the busy pool has refused.
const BUSY: Duration = Duration::from_millis(200);

/// What an earlier run has stored.
#[derive(Debug, Default)]
pub(super) struct Recalled {
    pub(super) members: Vec<Member>,
    pub(super) role: Option<Role>,
    pub(super) dns: Vec<Address>,
}

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
    /// The DNS nodes that are known, and those that are stored or on their way to the disk.
    dns: Vec<Address>,
    dns_kept: Vec<Address>,
    dns_revision: u64,
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
            dns: Vec::new(),
            dns_kept: Vec::new(),
            dns_revision: 0,
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
            (Purpose::Recall, JobReply::Members { members, role, dns }) => {
                self.dns_kept.clone_from(&dns);
                Some(Recalled { members, role, dns })
            }
            // A node that took another role because the pool was busy would not serve its songs, so
            // the read is repeated.
            (Purpose::Recall, JobReply::Failed(JobFault::Busy)) => {
                self.recall_at = Some(now + BUSY);
                None
            }
            // On any other failure the node starts as one without stored state.
            (Purpose::Recall, _) => Some(Recalled::default()),
            (Purpose::Remember, JobReply::Done) => None,
            (Purpose::Remember, _) => {
                (self.written_at, self.role) = (None, None);
                self.kept.clear();
                self.dns_kept.clear();
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
        if places(members) != self.kept {
            self.plan(now);
        }
    }

    /// Notes a change of the DNS nodes that are known, and schedules a write if one is needed. Where none
    /// is known any longer, those that were are the ones to remember.
    pub(super) fn look_at_dns(&mut self, now: Time, resolver: &Resolver) {
        if self.dns_revision == resolver.revision() {
            return;
        }
        self.dns_revision = resolver.revision();
        let mut dns: Vec<Address> = resolver.dns().take(DNS_NODES_MAX).collect();
        dns.sort_unstable();
        if dns.is_empty() {
            return;
        }
        self.dns = dns;
        if self.dns != self.dns_kept {
            self.plan(now);
        }
    }

    fn plan(&mut self, now: Time) {
        if self.due.is_none() {
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

    /// Writes if that is due. A DNS node has no members.
    pub(super) fn on_tick(&mut self, cx: &mut Cx<'_>, members: Option<&Members>) {
        if self.due.is_none_or(|due| cx.now < due) {
            return;
        }
        self.due = None;
        let role = members.map_or(Role::Dns, |members| members.me().role);
        // A write for a change of role does not delay the next write of the members.
        if self.role.replace(role) == Some(role) {
            self.written_at = Some(cx.now);
        }
        self.kept = members.map_or(Vec::new(), places);
        self.dns_kept.clone_from(&self.dns);
        let living = members.into_iter().flat_map(Members::living);
        let job = MemoryJob::RememberMembers {
            members: living.copied().collect(),
            role,
            dns: self.dns.clone(),
        };
        cx.run(Ordered::Memory(Purpose::Remember), job);
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        earlier(self.due, self.recall_at)
    }
}

fn places(members: &Members) -> Vec<(Address, Role)> {
    members.living().map(|m| (m.address, m.role)).collect()
}
