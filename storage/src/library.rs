//! The songs of a data node, in one SQLite file.
//!
//! Owns `library.db`: `songs` with their tags, `slices` with each song's manifest, `fragments`
//! with the sound, and small tables for totals, removals and copies still to be made. A song is
//! seen only once it is committed: whole, checked against its hash, and on the disk. Two nodes
//! on one file are kept apart by [`Home`](crate::home::Home), not here.

mod changes;
mod copies;
mod fault;
mod fragments;
mod open;
mod partitions;
mod quarantine;
mod removal;
mod row;
mod schema;
mod scrub;
mod songs;
mod uploads;
pub mod verify;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use roles::contract::id::NodeId;
use roles::contract::job::{FragmentId, Job, JobFault, JobReply};
use roles::contract::message::StoreId;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use fault::Stop;
pub use open::{OpenError, OpenFault};
use open::{Part, connect, found};
pub(crate) use removal::RECLAIM_FRAGMENTS;

/// A library, opened and up to date: hands out workers.
#[derive(Debug)]
pub struct Library {
    place: Place,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    /// Ends with its connection, so all workers share that one.
    Memory(Arc<Mutex<Connection>>),
}

impl Library {
    /// Opens `library.db` in this directory, or makes it with the identity `fresh`.
    pub fn open(dir: &Path, node: NodeId, fresh: StoreId) -> Result<Library, OpenError> {
        let path = dir.join("library.db");
        let opened = open::reach(&path, OpenFlags::SQLITE_OPEN_CREATE);
        let checked = opened.and_then(|mut db| found(&mut db, node, fresh));
        checked.map_err(|why| OpenError::at(&path, why))?;
        let place = Place::File(path);
        Ok(Library { place })
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
        let place = Place::Memory(Arc::new(Mutex::new(db)));
        Ok(Library { place })
    }

    /// A worker for every job. One at a time writes: further ones wait for each other.
    pub fn writer(&self) -> Result<LibraryWorker, OpenError> {
        self.worker(Part::Writer)
    }

    /// A worker for jobs that read. Any number of them work while another one writes.
    pub fn reader(&self) -> Result<LibraryWorker, OpenError> {
        self.worker(Part::Reader)
    }

    fn worker(&self, part: Part) -> Result<LibraryWorker, OpenError> {
        let db = match &self.place {
            Place::File(path) => {
                let db = connect(path, part).map_err(|why| OpenError::at(path, why))?;
                Arc::new(Mutex::new(db))
            }
            Place::Memory(db) => Arc::clone(db),
        };
        Ok(LibraryWorker { db })
    }
}

/// One connection to a library: does one job after the other, on whatever thread holds it.
#[derive(Debug)]
pub struct LibraryWorker {
    /// Contended in memory only: a worker on a file has its own.
    db: Arc<Mutex<Connection>>,
}

impl LibraryWorker {
    /// Does a job of a data node. A job that fails has changed nothing.
    pub fn run(&mut self, job: Job) -> JobReply {
        // Every change is a transaction: what a panic interrupts is rolled back, not half done.
        let db = &mut *self.db.lock().unwrap_or_else(PoisonError::into_inner);
        match job {
            Job::Overview => read(db, "read the library's totals", songs::overview),
            Job::Songs { after, limit } => {
                read(db, "list songs", |db| songs::page(db, after, limit))
            }
            Job::Changes { since, limit } => {
                read(db, "list changes", |db| changes::page(db, since, limit))
            }
            Job::Describe { song } => read(db, "describe a song", |db| songs::describe(db, song)),
            Job::ReadFragment { song, at } => {
                read(db, "read a fragment", |db| fragments::answer(db, song, at))
            }
            Job::CopiesDue { after, limit } => {
                read(db, "list copies due", |db| copies::due(db, after, limit))
            }
            Job::BeginUpload { manifest } => write(db, Durable::Later, "begin an upload", |db| {
                uploads::begin(db, &manifest)
            }),
            Job::KeepFragment { song, index, bytes } => {
                write(db, Durable::Later, "keep a fragment", |db| {
                    uploads::keep(db, song, index, &bytes)
                })
            }
            Job::CommitUpload { song, copies_due } => {
                write(db, Durable::Now, "commit an upload", |db| {
                    uploads::commit(db, song, &copies_due)
                })
            }
            Job::SweepUploads { untouched_s } => {
                write(db, Durable::Later, "forget old uploads", |db| {
                    uploads::sweep(db, untouched_s)
                })
            }
            Job::CopyDone { song, node } => {
                write(db, Durable::Later, "note a copy as done", |db| {
                    copies::done(db, song, node)
                })
            }
            Job::ForgetCopiesDue { node } => write(db, Durable::Later, "forget copies due", |db| {
                copies::forget(db, node)
            }),
            // A revision that a router has heard of must not be given twice: the disk first.
            Job::RemoveSongs { songs } => write(db, Durable::Now, "remove songs", |db| {
                removal::remove(db, &songs)
            }),
            Job::DropSongs { songs, until } => write(db, Durable::Now, "let go of songs", |db| {
                removal::drop(db, &songs, until)
            }),
            Job::Reclaim => write(db, Durable::Later, "reclaim room", removal::reclaim),
            Job::Tombstones { after, limit } => read(db, "list tombstones", |db| {
                removal::tombstones(db, after, limit)
            }),
            Job::PartitionDigests => read(db, "read the digests", partitions::digests),
            Job::PartitionSongs {
                partition,
                after,
                limit,
            } => read(db, "list a partition", |db| {
                partitions::songs(db, partition, after, limit)
            }),
            Job::Scrub { after, bytes } => {
                read(db, "check fragments", |db| scrub::step(db, after, bytes))
            }
            Job::NoteScrub { after } => write(db, Durable::Later, "note the scrub", |db| {
                scrub::note(db, after)
            }),
            Job::Quarantine { fragment } => {
                write(db, Durable::Later, "set a fragment aside", |db| {
                    quarantine::set_aside(db, fragment)
                })
            }
            Job::Quarantined { after, limit } => read(db, "list fragments set aside", |db| {
                quarantine::page(db, after, limit)
            }),
            Job::ReplaceFragment { fragment, bytes } => {
                write(db, Durable::Later, "replace a fragment", |db| {
                    quarantine::replace(db, fragment, &bytes)
                })
            }
            Job::CachedManifest { .. }
            | Job::CacheManifest { .. }
            | Job::CachedFragment { .. }
            | Job::CacheFragment { .. }
            | Job::RecallPeers
            | Job::RecallMembers
            | Job::RememberMembers { .. }
            | Job::RememberPeers { .. }
            | Job::Scan { .. }
            | Job::ReadSource { .. } => JobReply::Failed(not_ours()),
        }
    }
}

impl LibraryWorker {
    /// Alters one byte of a fragment of a committed song behind the library's back, as a rotten
    /// disk would: for worlds with faults. False: there is none.
    pub fn rot(&mut self, fragment: FragmentId) -> bool {
        let db = &mut *self.db.lock().unwrap_or_else(PoisonError::into_inner);
        quarantine::rot(db, fragment).unwrap_or(false)
    }
}

/// When a change must have reached the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durable {
    /// Before the answer is given.
    Now,
    /// At the latest with the next change that is durable at once: the log is synced as a whole.
    Later,
}

/// Answers from one moment of the library, whatever is written meanwhile.
fn read(
    db: &mut Connection,
    attempt: &str,
    work: impl FnOnce(&Connection) -> Result<JobReply, Stop>,
) -> JobReply {
    let done = db
        .transaction()
        .map_err(Stop::from)
        .and_then(|moment| work(&moment));
    done.unwrap_or_else(|stop| JobReply::Failed(stop.into_fault(attempt)))
}

/// Changes the library as a whole or not at all.
fn write(
    db: &mut Connection,
    durable: Durable,
    attempt: &str,
    work: impl FnOnce(&Connection) -> Result<JobReply, Stop>,
) -> JobReply {
    changed(db, durable, work).unwrap_or_else(|stop| JobReply::Failed(stop.into_fault(attempt)))
}

fn changed(
    db: &mut Connection,
    durable: Durable,
    work: impl FnOnce(&Connection) -> Result<JobReply, Stop>,
) -> Result<JobReply, Stop> {
    // Set before every change, not only where it differs: a promise of durability must not
    // depend on an earlier job having put the setting back.
    let level = match durable {
        Durable::Now => "FULL",
        Durable::Later => "NORMAL",
    };
    db.pragma_update(None, "synchronous", level)?;
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let reply = work(&change)?;
    change.commit()?;
    Ok(reply)
}

/// The answer to the jobs of a client.
pub(crate) fn not_ours() -> JobFault {
    JobFault::Invalid("this is a client's job, not a job of a library".into())
}
