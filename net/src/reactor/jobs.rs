//! Jobs: submitted to the pool, or parked until the peer that waits for the reply has space.

use std::collections::VecDeque;

use roles::contract::id::JobId;
use roles::contract::job::{Job, JobFault, JobReply};
use roles::contract::limits::FRAGMENT_BYTES_MAX;
use roles::contract::node::{Event, Peer};

use super::Reactor;
use crate::conns::ConnId;

/// Bytes queued for all peers above which no further job with a reply for a peer starts.
const OUTBOX_BYTES_MAX: usize = 32 << 20;

/// Most jobs parked per peer: all questions it may have open, with all fragments it may ask for.
const PARKED_MAX: usize = 1024;

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
        if !self.hosts[host].peers.knows(peer) {
            return match peer {
                Peer::Node(_) => self.submit(host, job, work, None),
                Peer::Guest(_) => self.fail(host, job, JobFault::Abandoned),
            };
        }
        let parked = self.hosts[host].parked.entry(peer).or_default();
        if parked.len() >= PARKED_MAX {
            return self.fail(host, job, JobFault::Busy);
        }
        parked.push_back((job, work));
        self.parked.insert((host, peer));
        self.release(host, peer);
    }

    /// Starts parked jobs whose peers have space again.
    pub(super) fn release_parked(&mut self) {
        if self.outbox_bytes >= OUTBOX_BYTES_MAX {
            return;
        }
        let peers: Vec<(usize, Peer)> = self.parked.iter().copied().collect();
        for (host, peer) in peers {
            self.release(host, peer);
        }
    }

    fn release(&mut self, host: usize, peer: Peer) {
        while let Some(id) = self.has_room(host, peer) {
            let parked = self.hosts[host].parked.get_mut(&peer);
            let Some((job, work)) = parked.and_then(VecDeque::pop_front) else {
                self.hosts[host].parked.remove(&peer);
                self.parked.remove(&(host, peer));
                return;
            };
            self.submit(host, job, work, Some(id));
        }
    }

    /// The peer's connection in use, when both it and the process can hold another fragment.
    fn has_room(&self, host: usize, peer: Peer) -> Option<ConnId> {
        let id = self.hosts[host].peers.in_use(peer)?;
        let room = self.conns.get(id)?.has_room();
        (room && self.outbox_bytes < OUTBOX_BYTES_MAX).then_some(id)
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
