//! The songs of a data node, in one SQLite file and the segments that hold their sound.
//!
//! Owns `library.db`: `songs` with their tags, `slices` with each song's manifest, `fragments`
//! with the sound or its place in a segment, and small tables for totals, removals and copies still
//! to be made. A song is visible only once it is committed: whole, checked against its hash, and on the disk.
//! [`DataDir`](crate::data_dir::DataDir), not this module, keeps two nodes off one file.

mod change;
mod change_feed;
mod copies;
mod documents;
mod fault;
mod fragments;
mod further_tags;
mod hidden;
mod inspect;
mod jobs;
mod mend;
mod moving;
mod open;
mod open_fault;
mod partitions;
mod quarantine;
mod rebuild;
mod removal;
mod replace;
mod room;
mod row;
mod salvage;
mod schema;
mod scrub;
mod seal;
mod segments;
mod songs;
mod store;
mod tombstones;
mod totals;
mod trash;
mod uploads;
pub mod verify;
mod whole;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use roles::contract::id::NodeId;
use roles::contract::job::{FragmentId, JobFault, JobReply, LibraryJob, Overview};
use roles::contract::message::StoreId;
use rusqlite::Connection;

use change::{give_back, look, together, write};
use fault::Complaints;
use jobs::{Durable, nature};
use open::{Part, found};
pub use open_fault::{OpenError, OpenFault};
use rebuild::{Files, Slot};
pub(crate) use removal::RECLAIM_FRAGMENTS;
use room::Room;
use salvage::Salvage;
use segments::Segments;
use store::Store;

/// A library, opened and up to date: hands out workers.
#[derive(Debug)]
pub struct Library {
    place: Place,
    complaints: Arc<Complaints>,
}

#[derive(Debug)]
enum Place {
    File(Arc<Files>),
    /// The database ends with its connection, so all workers share one connection.
    Memory(Slot),
}

impl Library {
    /// Opens `library.db` in this directory, or makes it with the identity `fresh`. A damaged file is
    /// set aside for [`LibraryJob::Salvage`], and an empty library begins. One value at a time opens a
    /// directory: it has to know all connections.
    pub fn open(dir: &Path, node: NodeId, fresh: StoreId) -> Result<Library, OpenError> {
        let place = Place::File(Arc::new(Files::open(dir, node, fresh)?));
        let complaints = Arc::default();
        Ok(Library { place, complaints })
    }

    /// Makes a library that ends with its last worker.
    pub fn open_in_memory(node: NodeId, fresh: StoreId) -> Result<Library, OpenError> {
        let path = Path::new(":memory:");
        let opened = Connection::open_in_memory().map_err(OpenFault::from);
        let made = opened.and_then(|mut db| {
            found(&mut db, node, fresh)?;
            open::prepare(&db, Part::Writer)?;
            Ok(db)
        });
        let db = made.map_err(|why| OpenError::at(path, why))?;
        let place = Place::Memory(Arc::new(Mutex::new(Some(db))));
        let complaints = Arc::default();
        Ok(Library { place, complaints })
    }

    /// A worker that can do every job. Only one worker writes at a time; other writers wait.
    pub fn writer(&self) -> Result<LibraryWorker, OpenError> {
        self.worker(Part::Writer)
    }

    /// A worker for jobs that only read. Any number of readers work while a writer writes.
    pub fn reader(&self) -> Result<LibraryWorker, OpenError> {
        self.worker(Part::Reader)
    }

    fn worker(&self, part: Part) -> Result<LibraryWorker, OpenError> {
        let (db, segments, room, files) = match &self.place {
            Place::File(files) => {
                let slot = files.slot(part).map_err(|why| files.at(why))?;
                let (segments, room) = (Segments::around(files.dir()), Room::around(files.dir()));
                (slot, segments, room, Some(Arc::clone(files)))
            }
            Place::Memory(db) => (Arc::clone(db), Segments::none(), Room::unbounded(), None),
        };
        Ok(LibraryWorker {
            db,
            segments,
            part,
            files,
            salvage: None,
            complaints: Arc::clone(&self.complaints),
            room,
        })
    }
}

/// One connection to a library: does one job after the other, on whatever thread holds it.
#[derive(Debug)]
pub struct LibraryWorker {
    /// Contended only for a library in memory, and while a library is rebuilt: a worker on a file has
    /// its own connection.
    db: Slot,
    segments: Segments,
    part: Part,
    /// None: the library lies in memory.
    files: Option<Arc<Files>>,
    /// The library that was set aside, while this worker salvages it.
    salvage: Option<Salvage>,
    complaints: Arc<Complaints>,
    /// Dropped after the connection, whose end frees the inodes that the reserve takes again.
    room: Room,
}

impl LibraryWorker {
    /// Does a job of a data node. A job that fails has changed nothing. On a full disk, what takes
    /// no song in is done with the bytes and inodes of the reserve.
    pub fn run(&mut self, job: LibraryJob) -> JobReply {
        let reply = if let LibraryJob::Rebuild { store } = job {
            self.rebuild(store)
        } else if job == LibraryJob::Salvage {
            self.salvage()
        } else {
            self.run_in_place(&job)
        };
        self.complaints.note(&reply);
        reply
    }

    fn run_in_place(&mut self, job: &LibraryJob) -> JobReply {
        let (durable, attempt) = nature(job);
        // Every change is a transaction: what a panic interrupts is rolled back, not half done.
        let slot = &mut *self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let db = match reached(slot, self.files.as_deref(), self.part) {
            Ok(db) => db,
            Err(why) => return JobReply::Failed(why.into_fault(attempt)),
        };
        let (segments, room) = (&self.segments, &mut self.room);
        let Some(durable) = durable else {
            if let LibraryJob::Inspect { .. } = job {
                // What the connection remembers of its pages says nothing of the disk.
                let _ = db.execute_batch("PRAGMA shrink_memory");
            }
            // The reserve is left to the writer, which may just have given it up for its next attempt.
            let reply = look(db, segments, attempt, room, job);
            return with_files(reply, self.files.as_deref());
        };
        // Without holes, a file that sound was moved out of is removed: the move must be on the disk.
        let gives_files_back = *job == LibraryJob::Reclaim && !segments.make_holes();
        let durable = if gives_files_back {
            Durable::Now
        } else {
            durable
        };
        let mut reply = write(db, segments, durable, attempt, room, job);
        let full = reply == JobReply::Failed(JobFault::DiskFull);
        if full && room::may_use_reserve(job) && room.give_up_reserve() {
            reply = write(db, segments, durable, attempt, room, job);
        }
        give_back(db, segments, *job == LibraryJob::Reclaim);
        if room::may_use_reserve(job) {
            room.restore_reserve();
        }
        reply
    }

    /// Does several changes in order in one transaction. Afterwards all changes are as durable as
    /// the most durable of them must be. A job that fails changes nothing and does not stop the
    /// others. If the commit fails, all jobs fail.
    ///
    /// Returns none, and changes nothing, if `jobs` is empty, if a job only reads, or if the
    /// database fails within a job. The caller then has to run each job alone.
    pub fn run_together(&mut self, jobs: &[LibraryJob]) -> Option<Vec<JobReply>> {
        let durable: Option<Vec<Durable>> = jobs.iter().map(|job| nature(job).0).collect();
        let durable = durable?.into_iter().max()?;
        let slot = &mut *self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let db = reached(slot, self.files.as_deref(), self.part).ok()?;
        // What has failed within one of them is told by the job that meets it alone.
        let replies = together(db, &self.segments, durable, &self.room, jobs).ok()?;
        replies.iter().for_each(|reply| self.complaints.note(reply));
        give_back(db, &self.segments, jobs.contains(&LibraryJob::Reclaim));
        Some(replies)
    }
}

/// The connection of a worker; a new one after the library was rebuilt.
fn reached<'a>(
    slot: &'a mut Option<Connection>,
    files: Option<&Files>,
    part: Part,
) -> Result<&'a mut Connection, OpenFault> {
    if slot.is_none()
        && let Some(files) = files
    {
        *slot = Some(files.connect(part)?);
    }
    slot.as_mut().ok_or(OpenFault::Absent)
}

/// Adds to an overview what the files beside the library tell.
fn with_files(reply: JobReply, files: Option<&Files>) -> JobReply {
    let JobReply::Overview(overview) = reply else {
        return reply;
    };
    JobReply::Overview(Overview {
        salvaging: files.is_some_and(Files::is_salvaging),
        ..overview
    })
}

impl LibraryWorker {
    /// Alters one byte of a fragment of a committed song, as a faulty disk would. For simulated
    /// worlds with faults. Returns false if there is no such fragment.
    pub fn rot(&mut self, fragment: FragmentId) -> bool {
        let slot = &*self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let segments = &self.segments;
        let rotted = slot
            .as_ref()
            .map(|db| replace::rot(&Store { db, segments }, fragment));
        rotted.and_then(Result::ok).unwrap_or(false)
    }
}
