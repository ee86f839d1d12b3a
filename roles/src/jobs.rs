//! Jobs in the pool, and the purpose of each.

use alloc::collections::BTreeMap;

use crate::contract::id::JobId;
use crate::contract::job::Job;
use crate::contract::node::{Outbox, Peer};

/// The jobs in the pool of one node.
#[derive(Debug)]
pub struct Jobs<P> {
    running: BTreeMap<JobId, P>,
    count: u64,
}

impl<P> Default for Jobs<P> {
    fn default() -> Self {
        Jobs {
            running: BTreeMap::new(),
            count: 0,
        }
    }
}

impl<P> Jobs<P> {
    /// Orders a job.
    pub fn run(&mut self, purpose: P, work: impl Into<Job>, out: &mut Outbox) -> JobId {
        let job = self.admit(purpose);
        out.run(job, work.into());
        job
    }

    /// Orders a job whose result will be sent to `peer`. The job begins when the connection to that
    /// peer has room.
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

    /// The purpose of an ended job. None: the job was forgotten.
    pub fn done(&mut self, job: JobId) -> Option<P> {
        self.running.remove(&job)
    }

    /// Drops the purpose of a job. The job still runs, and its reply will be ignored.
    pub fn forget(&mut self, job: JobId) {
        self.running.remove(&job);
    }

    /// Drops the jobs whose purpose is not to stay. They still run, and their replies will be
    /// ignored.
    pub fn retain(&mut self, stays: impl Fn(&P) -> bool) {
        self.running.retain(|_, purpose| stays(purpose));
    }

    /// How many jobs run or wait. Forgotten jobs do not count.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether no job runs or waits.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// The purposes of the jobs that run or wait.
    pub fn purposes(&self) -> impl Iterator<Item = &P> {
        self.running.values()
    }

    fn admit(&mut self, purpose: P) -> JobId {
        self.count += 1;
        let job = JobId(self.count);
        self.running.insert(job, purpose);
        job
    }
}
