//! The workers of a server: its small persistent memory, and a data node's library, which is opened
//! at the start or by the first job.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use net::{Worker, Workers};
use rand::random;
use roles::contract::id::NodeId;
use roles::contract::job::{JobFault, JobReply, LibraryJob, MemoryJob};
use roles::contract::message::StoreId;
use storage::library::{Library, LibraryWorker, OpenError};
use storage::memory::Memory;

use crate::failure::Failure;

/// The workers of one node: those of its readers, and those of its writer.
pub(crate) type Threads = (Vec<Workers>, Option<Workers>);

/// Workers of a fixed data node. The library is opened now, so that a fault prevents the start.
pub(crate) fn workers(dir: &Path, node: NodeId, readers: usize) -> Result<Threads, Failure> {
    let opened = Arc::new(Place::new(dir, node));
    let there = opened.with(|_| Ok(()));
    there.map_err(|e| Failure::Failed(e.to_string()))?;
    Ok(lazy(opened, readers))
}

/// Workers of a node that may become a data node. The first job opens the library.
pub(crate) fn workers_on_demand(dir: &Path, node: NodeId, readers: usize) -> Threads {
    lazy(Arc::new(Place::new(dir, node)), readers)
}

/// The worker of a node that never stores songs.
pub(crate) fn memory_only(dir: &Path) -> Threads {
    let writer = Workers {
        memory: Some(Box::new(Remembering(Memory::new(dir.to_path_buf())))),
        ..Workers::default()
    };
    (Vec::new(), Some(writer))
}

fn lazy(place: Arc<Place>, readers: usize) -> Threads {
    let library = |writes| -> Option<Box<dyn Worker<LibraryJob>>> {
        Some(Box::new(OnDemand {
            place: Arc::clone(&place),
            writes,
            worker: None,
        }))
    };
    let reader = |_| Workers {
        library: library(false),
        ..Workers::default()
    };
    let writer = Workers {
        library: library(true),
        memory: Some(Box::new(Remembering(Memory::new(place.dir.clone())))),
        ..Workers::default()
    };
    ((0..readers).map(reader).collect(), Some(writer))
}

/// The worker for the memory of a server.
struct Remembering(Memory);

impl Worker<MemoryJob> for Remembering {
    fn run(&mut self, job: MemoryJob) -> JobReply {
        match job {
            MemoryJob::RecallMembers => self.0.recall(),
            MemoryJob::RememberMembers { members, role, dns } => {
                self.0.remember(&members, role, &dns)
            }
        }
    }
}

/// The location of a library, and the node that owns it.
struct Place {
    dir: PathBuf,
    node: NodeId,
    /// The library, once it has been opened: all workers are of one library, which can then be
    /// replaced under them.
    library: Mutex<Option<Library>>,
}

impl Place {
    fn new(dir: &Path, node: NodeId) -> Self {
        let dir = dir.to_path_buf();
        Place {
            dir,
            node,
            library: Mutex::new(None),
        }
    }

    /// Does something with the library, which is opened first if need be.
    fn with<T>(&self, work: impl FnOnce(&Library) -> Result<T, OpenError>) -> Result<T, OpenError> {
        let mut library = self.library.lock().unwrap_or_else(PoisonError::into_inner);
        if library.is_none() {
            *library = Some(Library::open(&self.dir, self.node, StoreId(random()))?);
        }
        work(library.as_ref().expect("it was opened above"))
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
            let writes = self.writes;
            let worker = |library: &Library| {
                if writes {
                    library.writer()
                } else {
                    library.reader()
                }
            };
            self.worker = Some(self.place.with(worker)?);
        }
        Ok(self.worker.as_mut().expect("it was made above"))
    }
}

impl Worker<LibraryJob> for OnDemand {
    fn run(&mut self, job: LibraryJob) -> JobReply {
        match self.worker() {
            Ok(worker) => worker.run(job),
            Err(error) => JobReply::Failed(JobFault::Broken(error.to_string())),
        }
    }

    fn run_together(&mut self, jobs: &[LibraryJob]) -> Option<Vec<JobReply>> {
        self.worker().ok()?.run_together(jobs)
    }
}
