//! Jobs: submitted to the pool, those with a reply for a peer when that peer has room for it.

use std::mem;

use roles::contract::id::JobId;
use roles::contract::job::{Job, JobFault, JobReply};
use roles::contract::limits::FRAGMENT_BYTES_MAX;
use roles::contract::node::{Event, Peer};

use super::Reactor;
use crate::backlog::For;
use crate::conns::ConnId;

/// Bytes queued for all peers above which no further job with a reply for a peer starts.
const OUTBOX_BYTES_MAX: usize = 32 << 20;

/// Finished jobs fetched per turn and host.
const JOBS_PER_TURN: usize = 256;

impl Reactor {
    /// Fetches finished jobs from all pools, a bounded number from each.
    pub(super) fn collect_jobs(&mut self) {
        self.loop_waker.hush();
        for host in 0..self.hosts.len() {
            let mut left = JOBS_PER_TURN;
            while left > 0
                && let Some((job, reply)) = self.hosts[host].pool.finished()
            {
                self.keep_promise(host, job);
                self.quiet_at = self
                    .settings
                    .on_quiet
                    .map(|_| self.now + super::QUIET_AFTER);
                self.pending.push_back((host, Event::Done { job, reply }));
                left -= 1;
            }
            if left == 0 {
                self.loop_waker.ring();
            }
        }
    }

    fn keep_promise(&mut self, host: usize, job: JobId) {
        let Some(id) = self.hosts[host].toward.remove(&job) else {
            return;
        };
        if let Some(conn) = self.conns.get_mut(id) {
            conn.promised -= FRAGMENT_BYTES_MAX;
            self.recount(id);
        }
    }

    pub(super) fn run_job(&mut self, host: usize, job: JobId, work: Job, toward: Option<Peer>) {
        let Some(peer) = toward else {
            return self.submit(host, job, work, None);
        };
        let whom = match peer {
            Peer::Node(_) => For::Server,
            Peer::Guest(_) => For::Client,
        };
        if !self.hosts[host].peers.knows(peer) {
            return match whom {
                For::Server => self.submit(host, job, work, None),
                For::Client => self.fail(host, job, JobFault::Abandoned),
            };
        }
        let room = self.room_of(host, peer).is_some();
        let pushed = (self.backlog).push(self.now, ((host, peer), whom), (job, work), room);
        if pushed.is_err() {
            self.fail(host, job, JobFault::Busy);
        }
    }

    /// Starts the jobs whose peers have room, and refuses those that have waited too long. To be
    /// called after the flush, which makes room.
    pub(super) fn release_parked(&mut self) {
        if self.backlog.is_empty() {
            return;
        }
        let mut backlog = mem::take(&mut self.backlog);
        while self.outbox_bytes < OUTBOX_BYTES_MAX
            && let next = backlog.next(|(host, peer)| self.room_of(host, peer).is_some())
            && let Some(((host, peer), (job, work))) = next
        {
            self.submit(host, job, work, self.room_of(host, peer));
        }
        backlog.look(self.now, |(host, peer)| self.room_of(host, peer).is_some());
        for ((host, _), (job, _)) in backlog.overdue(self.now) {
            self.fail(host, job, JobFault::Busy);
        }
        self.backlog = backlog;
    }

    /// The peer's connection in use, if it can hold another fragment.
    fn room_of(&self, host: usize, peer: Peer) -> Option<ConnId> {
        let id = self.hosts[host].peers.in_use(peer)?;
        self.conns.get(id)?.has_room().then_some(id)
    }

    fn submit(&mut self, host: usize, job: JobId, work: Job, toward: Option<ConnId>) {
        if let Err(fault) = self.hosts[host].pool.submit(job, work) {
            return self.fail(host, job, fault);
        }
        let Some(id) = toward else {
            return;
        };
        if let Some(conn) = self.conns.get_mut(id) {
            // The reply's space is reserved at once; otherwise a hundred jobs would start into one
            // gap.
            conn.promised += FRAGMENT_BYTES_MAX;
            self.hosts[host].toward.insert(job, id);
            self.recount(id);
        }
    }

    pub(super) fn fail(&mut self, host: usize, job: JobId, fault: JobFault) {
        let reply = JobReply::Failed(fault);
        self.pending.push_back((host, Event::Done { job, reply }));
    }
}
