//! Jobs: each node has one writer that does its jobs in order, and readers that work in parallel.
//! Also all the ways in which a job fails or never ends.

use std::time::Duration;

use roles::contract::id::JobId;
use roles::contract::job::{ClientJob, Job, JobFault, JobReply, Lane, LibraryJob};
use roles::contract::node::{Event, Peer};
use roles::contract::rng::Rng;

use crate::resident::{Place, Running, State};
use crate::world::{What, World};

/// Jobs that may wait per lane, as in the real pool.
pub const JOBS_QUEUED_MAX: usize = 256;

/// Additional time that a slow disk takes for a job.
const SLOW_DISK: Duration = Duration::from_secs(1);

/// The pools of all nodes, as far as chance decides about them.
#[derive(Debug)]
pub struct Pools {
    /// How long jobs take, and which of them fail.
    rng: Rng,
}

impl Pools {
    /// Pools without jobs.
    pub(crate) fn new(rng: Rng) -> Pools {
        Pools { rng }
    }
}

impl World {
    /// Runs a job that a node has ordered.
    pub(crate) fn run_job(&mut self, place: Place, job: JobId, work: Job, toward: Option<Peer>) {
        if let Some(peer) = toward {
            let connected = self.nodes[place].peers.knows(peer);
            if !connected && matches!(peer, Peer::Guest(_)) {
                self.seen.jobs_abandoned += 1;
                return self.fail_job(place, job, JobFault::Abandoned);
            }
            let park = self.climate.park;
            if connected && park > 0 && self.pools.rng.happens(1, park) {
                return self.park(place, job, work, toward);
            }
        }
        self.submit(place, job, work, toward);
    }

    fn park(&mut self, place: Place, job: JobId, work: Job, toward: Option<Peer>) {
        let wait = self.pools.rng.within(Duration::from_millis(800));
        let running = Running {
            work,
            toward,
            parked: true,
        };
        let start = self.nodes[place].start;
        self.nodes[place].jobs.insert(job, running);
        let what = What::JobBegins { place, start, job };
        self.agenda.plan(self.now + wait, what);
    }

    /// A parked job's peer has room, so the job is submitted, unless it was abandoned meanwhile.
    pub(crate) fn on_job_begins(&mut self, place: Place, start: u64, job: JobId) {
        let slot = &mut self.nodes[place];
        if slot.start != start {
            return;
        }
        if let Some(Running { work, toward, .. }) = slot.jobs.remove(&job) {
            self.submit(place, job, work, toward);
        }
    }

    fn submit(&mut self, place: Place, job: JobId, work: Job, toward: Option<Peer>) {
        let lane = work.lane();
        let slot = &self.nodes[place];
        let queued = slot
            .jobs
            .values()
            .filter(|r| !r.parked && r.work.lane() == lane);
        let full = slot.jobs.len() >= JOBS_QUEUED_MAX && queued.count() >= JOBS_QUEUED_MAX;
        let unlucky = self.climate.busy_permille > 0
            && self.pools.rng.happens(self.climate.busy_permille, 1000);
        if full || unlucky {
            self.seen.jobs_busy += 1;
            return self.fail_job(place, job, JobFault::Busy);
        }
        let mean = self.climate.job;
        let takes = mean / 4 + self.pools.rng.within(mean * 3 / 2);
        if let Job::Library(LibraryJob::CommitUpload { .. }) = work {
            self.spring(place, takes);
        }
        let takes = takes + self.ailing_for(place);
        let slot = &mut self.nodes[place];
        let ends = match lane {
            Lane::Read => self.now + takes,
            Lane::Write => {
                slot.writer_free = slot.writer_free.max(self.now) + takes;
                slot.writer_free
            }
        };
        let running = Running {
            work,
            toward,
            parked: false,
        };
        slot.jobs.insert(job, running);
        let start = slot.start;
        self.agenda.plan(ends, What::JobEnds { place, start, job });
    }

    /// Additional time for a job on a slow disk. A writer that is far behind gets none, so that its
    /// queue is soon short again after recovery.
    fn ailing_for(&self, place: Place) -> Duration {
        let slot = &self.nodes[place];
        if slot.ailing.slow && slot.writer_free < self.now + 3 * SLOW_DISK {
            SLOW_DISK
        } else {
            Duration::ZERO
        }
    }

    fn fail_job(&mut self, place: Place, job: JobId, fault: JobFault) {
        let reply = JobReply::Failed(fault);
        self.soon(place, Event::Done { job, reply });
    }

    /// A job takes effect at the moment of its end: a crash before that leaves no trace of it.
    pub(crate) fn on_job_ends(&mut self, place: Place, start: u64, job: JobId) {
        let slot = &mut self.nodes[place];
        if slot.start != start {
            return;
        }
        if slot.state == State::Frozen {
            let what = What::JobEnds { place, start, job };
            return self.nodes[place].backlog.push(what);
        }
        let Some(Running { work, .. }) = slot.jobs.remove(&job) else {
            return;
        };
        let reply = self.do_job(place, work);
        self.hand(place, Event::Done { job, reply });
    }

    /// Does a job on its node's disk, or on its client's machine.
    pub(crate) fn do_job(&mut self, place: Place, work: Job) -> JobReply {
        if let Some(fault) = self.mishap(place, &work) {
            return JobReply::Failed(fault);
        }
        let no_disk = || JobReply::Failed(JobFault::Invalid("no disk".into()));
        match work {
            Job::Client(work) => self.nodes[place].machine.run(work, &self.music),
            Job::Memory(work) => match &mut self.nodes[place].disk {
                Some(disk) => disk.remember(work),
                None => no_disk(),
            },
            Job::Library(work) => self.do_library_job(place, work).unwrap_or_else(no_disk),
        }
    }

    /// None: the node has no disk.
    fn do_library_job(&mut self, place: Place, work: LibraryJob) -> Option<JobReply> {
        let committing = if let LibraryJob::CommitUpload { song, .. } = &work {
            Some(*song)
        } else {
            None
        };
        let copied = matches!(work, LibraryJob::CopyDone { .. });
        let touched = self.touched(place, &work);
        let disk = self.nodes[place].disk.as_mut()?;
        let done = disk.run(work);
        let disk = disk.id;
        Some(match done {
            Ok(reply) => {
                if let (Some(song), JobReply::Stored { .. }) = (committing, &reply) {
                    self.checks.on_committed(song, disk);
                }
                self.seen.copies_made += u64::from(copied);
                self.check_done(place, &touched, &reply);
                reply
            }
            Err(why) => {
                self.violated("model and library agree", why);
                JobReply::Failed(JobFault::Busy)
            }
        })
    }

    /// A job that touches songs may fail: always on a failing disk, else now and then.
    fn mishap(&mut self, place: Place, work: &Job) -> Option<JobFault> {
        let permille = self.climate.broken_permille;
        let touches = match work {
            Job::Library(work) => matches!(
                work,
                LibraryJob::ReadFragment { .. }
                    | LibraryJob::ReadPart { .. }
                    | LibraryJob::KeepFragment { .. }
                    | LibraryJob::CommitUpload { .. }
                    | LibraryJob::Describe { .. }
                    | LibraryJob::RemoveSongs { .. }
                    | LibraryJob::NoteMarks { .. }
                    | LibraryJob::NoteDocuments { .. }
                    | LibraryJob::EmptyTrash { .. }
                    | LibraryJob::DropSongs { .. }
                    | LibraryJob::Scrub { .. }
                    | LibraryJob::ReplaceFragment { .. }
            ),
            Job::Client(work) => matches!(work, ClientJob::CachedFragment { .. }),
            Job::Memory(_) => false,
        };
        let ails = touches && self.nodes[place].ailing.fails;
        let strikes = ails || permille > 0 && touches && self.pools.rng.happens(permille, 1000);
        self.seen.jobs_broken += u64::from(strikes);
        strikes.then(|| JobFault::Broken("input/output error".into()))
    }
}
