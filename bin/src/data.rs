//! The workers of a server: its small persistent memory, and a data node's library, which is opened
//! at the start or by the first job.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use net::Worker;
use rand::random;
use roles::contract::id::NodeId;
use roles::contract::job::{Job, JobFault, JobReply};
use roles::contract::message::StoreId;
use storage::library::{Library, LibraryWorker, OpenError};
use storage::memory::Memory;

use crate::failure::Failure;

/// The workers of one node: its readers and its writer.
pub(crate) type Workers = (Vec<Box<dyn Worker>>, Option<Box<dyn Worker>>);

/// Workers of a fixed data node. The library is opened now, so that a fault prevents the start.
pub(crate) fn workers(dir: &Path, node: NodeId, readers: usize) -> Result<Workers, Failure> {
    let opened = Arc::new(Place::new(dir, node));
    let library = opened.open().map_err(|e| Failure::Failed(e.to_string()))?;
    drop(library);
    Ok(lazy(opened, readers))
}

/// Workers of a node that may become a data node. The first job opens the library.
pub(crate) fn workers_on_demand(dir: &Path, node: NodeId, readers: usize) -> Workers {
    lazy(Arc::new(Place::new(dir, node)), readers)
}

/// The worker of a node that never stores songs.
pub(crate) fn memory_only(dir: &Path) -> Workers {
    let writer = Writer {
        memory: Memory::new(dir.to_path_buf()),
        library: None,
    };
    (Vec::new(), Some(Box::new(writer)))
}

fn lazy(place: Arc<Place>, readers: usize) -> Workers {
    let worker = |writes| OnDemand {
        place: Arc::clone(&place),
        writes,
        worker: None,
    };
    let readers = (0..readers)
        .map(|_| Box::new(worker(false)) as Box<dyn Worker>)
        .collect();
    let writer = Writer {
        memory: Memory::new(place.dir.clone()),
        library: Some(worker(true)),
    };
    (readers, Some(Box::new(writer)))
}

/// The worker for write jobs.
struct Writer {
    memory: Memory,
    library: Option<OnDemand>,
}

impl Worker for Writer {
    fn run(&mut self, job: Job) -> JobReply {
        match (job, &mut self.library) {
            (Job::RecallMembers, _) => self.memory.recall(),
            (Job::RememberMembers { members, role }, _) => self.memory.remember(&members, role),
            (job, Some(library)) => library.run(job),
            (_, None) => {
                let why = "this node keeps no library";
                JobReply::Failed(JobFault::Invalid(why.into()))
            }
        }
    }

    fn run_together(&mut self, jobs: &[Job]) -> Option<Vec<JobReply>> {
        self.library.as_mut()?.run_together(jobs)
    }
}

/// The location of a library, and the node that owns it.
struct Place {
    dir: PathBuf,
    node: NodeId,
    /// Held while the library is opened, so that only one thread creates its tables.
    opening: Mutex<()>,
}

impl Place {
    fn new(dir: &Path, node: NodeId) -> Self {
        let dir = dir.to_path_buf();
        Place {
            dir,
            node,
            opening: Mutex::new(()),
        }
    }

    fn open(&self) -> Result<Library, OpenError> {
        let _alone = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        Library::open(&self.dir, self.node, StoreId(random()))
    }
}

struct OnDemand {
    place: Arc<Place>,
    writes: bool,
    worker: Option<LibraryWorker>,
}

impl OnDemand {
    fn worker(&mut self) -> Result<&mut LibraryWorker, OpenError> {
        if self.worker.is_none() {
            let library = self.place.open()?;
            let worker = if self.writes {
                library.writer()?
            } else {
                library.reader()?
            };
            self.worker = Some(worker);
        }
        Ok(self.worker.as_mut().expect("it was made above"))
    }
}

impl Worker for OnDemand {
    fn run(&mut self, job: Job) -> JobReply {
        match self.worker() {
            Ok(worker) => worker.run(job),
            Err(error) => JobReply::Failed(JobFault::Broken(error.to_string())),
        }
    }

    fn run_together(&mut self, jobs: &[Job]) -> Option<Vec<JobReply>> {
        self.worker().ok()?.run_together(jobs)
    }
}
