//! The handler pool: work that may block runs here, never on the loop.
//!
//! Each host has one writer thread and any number of readers. The writer runs its jobs in order and
//! batches those that are queued together; the readers share a queue. Queues are bounded: a job
//! that finds its queue full fails as busy at once. A job that panics fails as broken; its thread
//! goes on.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use roles::contract::id::JobId;
use roles::contract::job::{ClientJob, Job, JobFault, JobReply, Lane, LibraryJob, MemoryJob};

use crate::waker::LoopWaker;

/// Jobs that may be queued per lane: more than every question of four busy peers.
pub const JOBS_QUEUED_MAX: usize = 256;

/// Replies that may be queued for the loop; a worker waits while the queue is full.
const REPLIES_QUEUED_MAX: usize = 1024;

/// Most jobs in one batch, because every job of a batch waits for the whole batch.
const TOGETHER_MAX: usize = 32;

/// A batch whose weight reaches this takes no further job.
const TOGETHER_WEIGHT: usize = 2 << 20;

/// Stack of a worker thread: ample for SQLite and this code, a quarter of the default.
const STACK_BYTES: usize = 512 * 1024;

/// Does one family of jobs on one thread. Owns that thread's database connection and buffers.
pub trait Worker<J>: Send {
    /// Does one job. A panic is caught and reported as [`JobFault::Broken`].
    fn run(&mut self, job: J) -> JobReply;

    /// Does several queued jobs in order, at the cost of one. `None` means that nothing has been
    /// done: the pool then runs the jobs one by one, as it does after a panic.
    fn run_together(&mut self, _jobs: &[J]) -> Option<Vec<JobReply>> {
        None
    }

    /// Does what the last job has left for the time after its answer.
    fn finish(&mut self) {}
}

/// The workers of one thread: one for each family of jobs that its node orders. A job without a
/// worker fails.
#[derive(Default)]
pub struct Workers {
    /// Present in nodes that may keep songs.
    pub library: Option<Box<dyn Worker<LibraryJob>>>,
    /// Present in clients.
    pub client: Option<Box<dyn Worker<ClientJob>>>,
    /// Present in data nodes and routers.
    pub memory: Option<Box<dyn Worker<MemoryJob>>>,
}

// A bounded queue allocates all its slots at the start; boxed entries keep an idle host small.
type Waiting = (JobId, Box<Job>);
type Replied = (JobId, Box<JobReply>);

/// A finished job.
pub(crate) type Finished = (JobId, JobReply);

/// The threads of one host.
pub(crate) struct Pool {
    write: Option<Sender<Waiting>>,
    read: Option<Sender<Waiting>>,
    finished: Receiver<Replied>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    pub(crate) fn start(
        writer: Option<Workers>,
        readers: Vec<Workers>,
        loop_waker: &Arc<LoopWaker>,
    ) -> io::Result<Self> {
        let (done, finished) = bounded(REPLIES_QUEUED_MAX);
        let mut pool = Pool {
            write: None,
            read: None,
            finished,
            threads: Vec::new(),
        };
        let writers = writer.into_iter().collect();
        pool.write = pool.start_lane("writer", TOGETHER_MAX, writers, &done, loop_waker)?;
        pool.read = pool.start_lane("reader", 1, readers, &done, loop_waker)?;
        Ok(pool)
    }

    fn start_lane(
        &mut self,
        name: &str,
        most: usize,
        workers: Vec<Workers>,
        done: &Sender<Replied>,
        loop_waker: &Arc<LoopWaker>,
    ) -> io::Result<Option<Sender<Waiting>>> {
        if workers.is_empty() {
            return Ok(None);
        }
        let (jobs, queue) = bounded(JOBS_QUEUED_MAX);
        for (number, workers) in workers.into_iter().enumerate() {
            let (queue, done, loop_waker) = (queue.clone(), done.clone(), Arc::clone(loop_waker));
            let thread = thread::Builder::new()
                .name(format!("{name}-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || work(workers, most, &queue, &done, &loop_waker))?;
            self.threads.push(thread);
        }
        Ok(Some(jobs))
    }

    /// Queues a job without blocking; an error when its lane is full, absent or gone.
    pub(crate) fn submit(&self, job: JobId, work: impl Into<Job>) -> Result<(), JobFault> {
        let work = work.into();
        let lane = match work.lane() {
            Lane::Read => &self.read,
            Lane::Write => &self.write,
        };
        let Some(lane) = lane else {
            return Err(JobFault::Broken("this node has no disk".to_owned()));
        };
        lane.try_send((job, Box::new(work)))
            .map_err(|error| match error {
                TrySendError::Full(_) => JobFault::Busy,
                TrySendError::Disconnected(_) => {
                    JobFault::Broken("the handler threads are gone".to_owned())
                }
            })
    }

    /// The next finished job.
    pub(crate) fn finished(&self) -> Option<Finished> {
        let (job, reply) = self.finished.try_recv().ok()?;
        Some((job, *reply))
    }
}

impl Drop for Pool {
    /// Waits for running jobs, so that no transaction is cut off.
    fn drop(&mut self) {
        self.write = None;
        self.read = None;
        // A worker may be blocked on the full reply queue: dropping the receiver makes its send
        // fail.
        self.finished = bounded(0).1;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a handler thread has panicked outside its job");
            }
        }
    }
}

fn work(
    mut workers: Workers,
    most: usize,
    queue: &Receiver<Waiting>,
    done: &Sender<Replied>,
    loop_waker: &LoopWaker,
) {
    while let Ok(first) = queue.recv() {
        let (ids, jobs) = take_waiting(first, most, queue);
        let replies = run_all(&mut workers, jobs);
        for (id, reply) in ids.into_iter().zip(replies) {
            if done.send((id, Box::new(reply))).is_err() {
                return;
            }
        }
        loop_waker.ring();
        if let Some(client) = &mut workers.client {
            // What is left has been answered for: its failure is nobody's.
            let _ = catch_unwind(AssertUnwindSafe(|| client.finish()));
        }
    }
}

/// The job plus queued jobs behind it, up to the limits of one batch.
fn take_waiting(
    (id, job): Waiting,
    most: usize,
    queue: &Receiver<Waiting>,
) -> (Vec<JobId>, Vec<Job>) {
    let mut weight = job.weight();
    let (mut ids, mut jobs) = (vec![id], vec![*job]);
    while jobs.len() < most
        && weight < TOGETHER_WEIGHT
        && let Ok((id, job)) = queue.try_recv()
    {
        weight = weight.saturating_add(job.weight());
        ids.push(id);
        jobs.push(*job);
    }
    (ids, jobs)
}

/// Does the jobs of a batch. Those of a library are done together if that works.
fn run_all(workers: &mut Workers, jobs: Vec<Job>) -> Vec<JobReply> {
    if jobs.len() > 1
        && let Some(library) = &mut workers.library
        && jobs.iter().all(|job| matches!(job, Job::Library(_)))
    {
        let jobs: Vec<LibraryJob> = (jobs.into_iter())
            .filter_map(|job| match job {
                Job::Library(job) => Some(job),
                Job::Client(_) | Job::Memory(_) => None,
            })
            .collect();
        let together = catch_unwind(AssertUnwindSafe(|| library.run_together(&jobs)));
        let together = together.ok().flatten();
        return match together.filter(|replies| replies.len() == jobs.len()) {
            Some(replies) => replies,
            None => (jobs.into_iter())
                .map(|job| run_caught(&mut workers.library, job))
                .collect(),
        };
    }
    jobs.into_iter().map(|job| run_one(workers, job)).collect()
}

fn run_one(workers: &mut Workers, job: Job) -> JobReply {
    match job {
        Job::Library(job) => run_caught(&mut workers.library, job),
        Job::Client(job) => run_caught(&mut workers.client, job),
        Job::Memory(job) => run_caught(&mut workers.memory, job),
    }
}

fn run_caught<J>(worker: &mut Option<Box<dyn Worker<J>>>, job: J) -> JobReply {
    let Some(worker) = worker else {
        return JobReply::Failed(JobFault::Broken("this node has no disk for it".to_owned()));
    };
    // The worker itself must stay usable after a panic: it must survive losing a job midway.
    catch_unwind(AssertUnwindSafe(|| worker.run(job)))
        .unwrap_or_else(|_| JobReply::Failed(JobFault::Broken("a job has panicked".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll, Token};
    use roles::contract::job::Overview;
    use std::time::Duration;

    #[test]
    fn jobs_of_both_lanes_are_answered_and_a_panic_is_only_a_failure() {
        let (mut poll, pool) = pool(|job| match job {
            LibraryJob::Overview => JobReply::Done,
            LibraryJob::PartitionDigests => panic!("planted"),
            other => panic!("unexpected {other:?}"),
        });
        pool.submit(JobId(1), LibraryJob::PartitionDigests).unwrap();
        pool.submit(JobId(2), LibraryJob::Overview).unwrap();
        let first = next(&mut poll, &pool);
        assert!(matches!(
            first,
            (JobId(1), JobReply::Failed(JobFault::Broken(_)))
        ));
        assert_eq!(next(&mut poll, &pool), (JobId(2), JobReply::Done));
        let write = pool.submit(JobId(3), LibraryJob::SweepUploads { untouched_s: 1 });
        assert!(matches!(write, Err(JobFault::Broken(_))), "no writer here");
    }

    #[test]
    fn a_full_queue_is_busy_at_once() {
        let (let_go, hold) = bounded::<()>(0);
        let (mut poll, pool) = pool(move |_| {
            let _ = hold.recv();
            JobReply::Done
        });
        let results: Vec<_> = (0..JOBS_QUEUED_MAX as u64 + 2)
            .map(|id| pool.submit(JobId(id), LibraryJob::Overview))
            .collect();
        assert_eq!(results.last(), Some(&Err(JobFault::Busy)));
        drop(let_go);
        assert_eq!(next(&mut poll, &pool), (JobId(0), JobReply::Done));
    }

    fn revision(revision: u64) -> JobReply {
        let overview = Overview {
            revision,
            ..Overview::default()
        };
        JobReply::Stored { overview }
    }

    /// A worker whose reply tells how many jobs its batch held; batches with a removal panic.
    struct Counts {
        begun: Sender<()>,
        hold: Receiver<()>,
    }

    impl Worker<LibraryJob> for Counts {
        fn run(&mut self, job: LibraryJob) -> JobReply {
            let _ = self.begun.send(());
            let _ = self.hold.recv();
            match job {
                LibraryJob::RemoveSongs { .. } => panic!("planted"),
                _ => revision(1),
            }
        }

        fn run_together(&mut self, jobs: &[LibraryJob]) -> Option<Vec<JobReply>> {
            let odd = |job: &LibraryJob| matches!(job, LibraryJob::RemoveSongs { .. });
            assert!(!jobs.iter().any(odd), "planted");
            Some(jobs.iter().map(|_| revision(jobs.len() as u64)).collect())
        }
    }

    /// Jobs queued behind a running job form one batch; when the batch fails, each runs alone.
    #[test]
    fn the_writer_takes_together_what_waits() {
        let ((let_go, hold), (begun, begins)) = (bounded::<()>(0), bounded::<()>(9));
        let mut poll = Poll::new().unwrap();
        let loop_waker = Arc::new(LoopWaker::new(poll.registry(), Token(0)).unwrap());
        let writer = library(Counts { begun, hold });
        let pool = Pool::start(Some(writer), Vec::new(), &loop_waker).unwrap();
        let sweep = || LibraryJob::NoteScrub { after: None };
        let stored = |id, count| (JobId(id), revision(count));
        pool.submit(JobId(1), sweep()).unwrap();
        begins.recv().unwrap();
        for id in 2..5 {
            pool.submit(JobId(id), sweep()).unwrap();
        }
        let_go.send(()).unwrap();
        assert_eq!(next(&mut poll, &pool), stored(1, 1));
        for id in 2..5 {
            assert_eq!(next(&mut poll, &pool), stored(id, 3));
        }

        pool.submit(JobId(5), sweep()).unwrap();
        begins.recv().unwrap();
        pool.submit(JobId(6), sweep()).unwrap();
        pool.submit(JobId(7), LibraryJob::RemoveSongs { songs: vec![] })
            .unwrap();
        drop(let_go);
        assert_eq!(next(&mut poll, &pool), stored(5, 1));
        assert_eq!(next(&mut poll, &pool), stored(6, 1), "not its fault");
        let broken = next(&mut poll, &pool);
        assert!(matches!(broken.1, JobReply::Failed(JobFault::Broken(_))));
    }

    fn library(worker: impl Worker<LibraryJob> + 'static) -> Workers {
        Workers {
            library: Some(Box::new(worker)),
            ..Workers::default()
        }
    }

    struct Does<F>(F);

    impl<F: FnMut(LibraryJob) -> JobReply + Send> Worker<LibraryJob> for Does<F> {
        fn run(&mut self, job: LibraryJob) -> JobReply {
            (self.0)(job)
        }
    }

    fn pool(does: impl FnMut(LibraryJob) -> JobReply + Send + 'static) -> (Poll, Pool) {
        let poll = Poll::new().unwrap();
        let loop_waker = Arc::new(LoopWaker::new(poll.registry(), Token(0)).unwrap());
        let pool = Pool::start(None, vec![library(Does(does))], &loop_waker).unwrap();
        (poll, pool)
    }

    fn next(poll: &mut Poll, pool: &Pool) -> Finished {
        let Ok((job, reply)) = pool.finished.recv_timeout(Duration::from_secs(10)) else {
            let _ = poll.poll(&mut Events::with_capacity(4), Some(Duration::ZERO));
            panic!("no reply");
        };
        (job, *reply)
    }
}
