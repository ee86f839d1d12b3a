//! Jobs in the pool, and what each was for.

use alloc::collections::BTreeMap;

use crate::contract::id::JobId;
use crate::contract::job::Job;
use crate::contract::node::{Outbox, Peer};
use crate::requests::Requester;

/// A part's jobs in the pool.
#[derive(Debug)]
pub struct Jobs<P> {
    requester: Requester,
    running: BTreeMap<JobId, P>,
    count: u64,
}

impl<P> Jobs<P> {
    /// Nothing ordered yet.
    pub fn new(requester: Requester) -> Self {
        Jobs {
            requester,
            running: BTreeMap::new(),
            count: 0,
        }
    }

    /// Orders a job.
    pub fn run(&mut self, purpose: P, work: impl Into<Job>, out: &mut Outbox) -> JobId {
        let job = self.admit(purpose);
        out.run(job, work.into());
        job
    }

    /// Orders a job whose reply goes to `peer`: it begins when that peer has room.
    pub fn run_toward(
        &mut self,
        purpose: P,
        work: impl Into<Job>,
        peer: Peer,
        out: &mut Outbox,
    ) -> JobId {
        let job = self.admit(purpose);
        out.run_toward(job, work.into(), peer);
        job
    }

    /// What an ended job was for. None: nobody waits for it any longer.
    pub fn done(&mut self, job: JobId) -> Option<P> {
        self.running.remove(&job)
    }

    /// Forgets a job; its reply will find nobody.
    pub fn forget(&mut self, job: JobId) {
        self.running.remove(&job);
    }

    /// How many jobs run or wait.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether no job runs or waits.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// What the jobs that run or wait are for.
    pub fn purposes(&self) -> impl Iterator<Item = &P> {
        self.running.values()
    }

    fn admit(&mut self, purpose: P) -> JobId {
        self.count += 1;
        let job = JobId(self.requester.number(self.count));
        self.running.insert(job, purpose);
        job
    }
}
