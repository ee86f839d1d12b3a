//! The songs of a data node, in one SQLite file and the segments that hold their sound.
//!
//! Owns `library.db`: `songs` with their tags, `slices` with each song's manifest, `fragments`
//! with the sound or its place in a segment, and small tables for totals, removals and copies still
//! to be made. A song is visible only once it is committed: whole, checked against its hash, and on the disk.
//! [`DataDir`](crate::data_dir::DataDir), not this module, keeps two nodes off one file.

mod change_feed;
mod copies;
mod fault;
mod fragments;
mod further_tags;
mod inspect;
mod mend;
mod open;
mod open_fault;
mod partitions;
mod quarantine;
mod rebuild;
mod removal;
mod room;
mod row;
mod salvage;
mod schema;
mod scrub;
mod seal;
mod segments;
mod songs;
mod store;
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
use rusqlite::{Connection, Transaction, TransactionBehavior};

use fault::{Complaints, Stop};
use open::{Part, found};
pub use open_fault::{OpenError, OpenFault};
use rebuild::{Files, Slot};
pub(crate) use removal::RECLAIM_FRAGMENTS;
use room::Room;
use salvage::Salvage;
use segments::{Segments, begin, places};
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
            .map(|db| quarantine::rot(&Store { db, segments }, fragment));
        rotted.and_then(Result::ok).unwrap_or(false)
    }
}

/// When a change must have reached the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Durable {
    /// At the latest together with the next `Now` change, because the log is synced as a whole.
    Later,
    /// Before the answer is given.
    Now,
}

/// How durable a job's change must be before its answer, or none if the job only reads or has
/// transactions of its own; and a text that says what the job attempts, for the report of a failure.
fn nature(job: &LibraryJob) -> (Option<Durable>, &'static str) {
    let (later, now) = (Some(Durable::Later), Some(Durable::Now));
    match job {
        LibraryJob::Overview => (None, "read the library's totals"),
        LibraryJob::Room { .. } => (None, "see how much room is left"),
        LibraryJob::Songs { .. } => (None, "list songs"),
        LibraryJob::Changes { .. } => (None, "list changes"),
        // A revision that a router has heard of must not be given twice.
        LibraryJob::ReadTags { .. } => (now, "read the tags of songs"),
        LibraryJob::TagChanges { .. } => (None, "list tags"),
        LibraryJob::Describe { .. } => (None, "describe a song"),
        LibraryJob::ReadFragment { .. } => (None, "read a fragment"),
        LibraryJob::ReadPart { .. } => (None, "read a part of a fragment"),
        LibraryJob::CopiesDue { .. } => (None, "list copies due"),
        LibraryJob::BeginUpload { .. } => (later, "begin an upload"),
        LibraryJob::KeepFragment { .. } => (later, "keep a fragment"),
        LibraryJob::CommitUpload { .. } => (now, "commit an upload"),
        LibraryJob::DropUpload { .. } => (later, "forget an upload"),
        LibraryJob::SweepUploads { .. } => (later, "forget old uploads"),
        LibraryJob::CopyDone { .. } => (later, "note a copy as done"),
        LibraryJob::ForgetCopiesDue { .. } => (later, "forget copies due"),
        // A revision that a router has heard of must not be given twice: the disk first.
        LibraryJob::RemoveSongs { .. } => (now, "remove songs"),
        LibraryJob::NoteMarks { .. } => (now, "note what is in the trash"),
        LibraryJob::Marks { .. } => (None, "list marks"),
        LibraryJob::MarksDigest => (None, "read the digest of the marks"),
        LibraryJob::AgeTrash { .. } => (later, "count time for the trash"),
        LibraryJob::EmptyTrash { .. } => (now, "empty the trash"),
        LibraryJob::DropSongs { .. } => (now, "let go of songs"),
        LibraryJob::Reclaim => (later, "reclaim room"),
        LibraryJob::PartitionDigests => (None, "read the digests"),
        LibraryJob::PartitionSongs { .. } => (None, "list a partition"),
        LibraryJob::Scrub { .. } => (None, "check fragments"),
        LibraryJob::NoteScrub { .. } => (later, "note the scrub"),
        LibraryJob::Quarantine { .. } => (later, "set a fragment aside"),
        LibraryJob::Quarantined { .. } => (None, "list fragments set aside"),
        LibraryJob::ReplaceFragment { .. } => (later, "replace a fragment"),
        LibraryJob::Inspect { .. } => (None, "inspect the tables"),
        LibraryJob::Mend { .. } => (now, "mend the tables"),
        LibraryJob::Seal { .. } => (now, "seal songs"),
        LibraryJob::Restore { .. } => (now, "restore a song"),
        LibraryJob::Rebuild { .. } => (None, "rebuild the library"),
        LibraryJob::Salvage => (None, "salvage the library"),
    }
}

/// Does a job in the transaction that is open.
fn apply(db: &Store<'_>, room: &Room, job: &LibraryJob) -> Result<JobReply, Stop> {
    match job {
        LibraryJob::Overview => songs::overview(db),
        LibraryJob::Room { bytes } => room::answer(db, room, *bytes),
        LibraryJob::Songs { after, limit } => songs::page(db, *after, *limit),
        LibraryJob::Changes { since, limit } => change_feed::page(db, *since, *limit),
        LibraryJob::ReadTags { after } => further_tags::step(db, *after),
        LibraryJob::TagChanges { since, limit } => further_tags::page(db, *since, *limit),
        LibraryJob::Describe { song } => songs::describe(db, *song),
        LibraryJob::ReadFragment { song, at } => fragments::answer(db, *song, *at),
        LibraryJob::ReadPart { fragment, part } => fragments::answer_part(db, *fragment, *part),
        LibraryJob::CopiesDue { after, limit } => copies::due(db, *after, *limit),
        LibraryJob::BeginUpload { manifest } => uploads::begin(db, room, manifest),
        LibraryJob::KeepFragment { song, index, bytes } => uploads::keep(db, *song, *index, bytes),
        LibraryJob::CommitUpload { song, copies_due } => uploads::commit(db, *song, copies_due),
        LibraryJob::DropUpload { song } => uploads::drop(db, room, *song),
        LibraryJob::SweepUploads { untouched_s } => uploads::sweep(db, room, *untouched_s),
        LibraryJob::CopyDone { song, node } => copies::done(db, *song, *node),
        LibraryJob::ForgetCopiesDue { node } => copies::forget(db, *node),
        LibraryJob::RemoveSongs { songs } => removal::remove(db, songs),
        LibraryJob::NoteMarks { marks, passed_s } => trash::note(db, marks, *passed_s),
        LibraryJob::Marks { after, limit } => trash::page(db, *after, *limit),
        LibraryJob::MarksDigest => trash::digest(db),
        LibraryJob::AgeTrash { passed_s, limit } => trash::age(db, *passed_s, *limit),
        LibraryJob::EmptyTrash { mark } => trash::empty(db, mark),
        LibraryJob::DropSongs { songs, until } => removal::drop(db, songs, *until),
        LibraryJob::Reclaim => removal::tidy(db, room),
        LibraryJob::PartitionDigests => partitions::digests(db),
        LibraryJob::PartitionSongs {
            partition,
            after,
            limit,
        } => partitions::songs(db, *partition, *after, *limit),
        LibraryJob::Scrub { after, bytes } => scrub::step(db, *after, *bytes),
        LibraryJob::NoteScrub { after } => scrub::note(db, *after),
        LibraryJob::Quarantine { fragment } => quarantine::set_aside(db, *fragment),
        LibraryJob::Quarantined { after, limit } => quarantine::page(db, *after, *limit),
        LibraryJob::ReplaceFragment { fragment, bytes } => {
            quarantine::replace(db, *fragment, bytes)
        }
        LibraryJob::Inspect { after, limit } => inspect::step(db, *after, *limit),
        LibraryJob::Mend { songs, totals } => mend::mend(db, songs, *totals),
        LibraryJob::Seal { songs } => mend::seal(db, songs),
        LibraryJob::Restore { untouched_s } => mend::restore(db, *untouched_s),
        LibraryJob::Rebuild { .. } | LibraryJob::Salvage => {
            Err(JobFault::Invalid("it is no job of one transaction".to_owned()).into())
        }
    }
}

/// Does a job that only reads. What seems damaged is looked at once more: a fragment that has left
/// since the transaction began has given its room back.
fn look(
    db: &mut Connection,
    segments: &Segments,
    attempt: &str,
    room: &Room,
    job: &LibraryJob,
) -> JobReply {
    let damaged = JobReply::Failed(JobFault::Damaged);
    let mut read = || read(db, attempt, |db| apply(&Store { db, segments }, room, job));
    let first = read();
    if first != damaged {
        return first;
    }
    let second = read();
    if second == damaged {
        log::error!("fragment damaged job={job:?}");
    }
    second
}

/// Runs a read in one transaction, so that the answer describes one moment of the library.
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
    segments: &Segments,
    durable: Durable,
    attempt: &str,
    room: &Room,
    job: &LibraryJob,
) -> JobReply {
    let changed = changed(db, segments, durable, room, job);
    changed.unwrap_or_else(|stop| JobReply::Failed(room.fault_of(stop, attempt)))
}

fn changed(
    db: &mut Connection,
    segments: &Segments,
    durable: Durable,
    room: &Room,
    job: &LibraryJob,
) -> Result<JobReply, Stop> {
    let change = begin_change(db, segments, durable)?;
    let db = &change;
    let reply = apply(&Store { db, segments }, room, job)?;
    finish(change, segments, durable)?;
    Ok(reply)
}

/// Runs several changes in one transaction, each in its own savepoint.
fn together(
    db: &mut Connection,
    segments: &Segments,
    durable: Durable,
    room: &Room,
    jobs: &[LibraryJob],
) -> Result<Vec<JobReply>, Stop> {
    let mut change = begin_change(db, segments, durable)?;
    let mut replies = Vec::with_capacity(jobs.len());
    for job in jobs {
        let one = change.savepoint()?;
        let db = &one;
        match apply(&Store { db, segments }, room, job) {
            Ok(reply) => {
                one.commit()?;
                replies.push(reply);
            }
            Err(Stop::Fault(fault)) => {
                one.finish()?; // Rolled back: it was not committed.
                segments.wholes.clear();
                replies.push(JobReply::Failed(fault));
            }
            Err(stop @ (Stop::Sql(_) | Stop::Disk(_))) => return Err(stop),
        }
    }
    // When the commit fails, all jobs report failure and the changes are not tried again: after a
    // failed sync, a later attempt that succeeds does not prove that the data is on the disk.
    if let Err(stop) = finish(change, segments, durable) {
        let fault = room.fault_of(stop, "write changes");
        replies.fill(JobReply::Failed(fault));
    }
    Ok(replies)
}

/// Gives back the room of fragments that have left with the last change, or with one before it. What
/// fails is left to the next [`LibraryJob::Reclaim`].
fn give_back(db: &mut Connection, segments: &Segments, anyway: bool) {
    if !segments.take_freed() && !anyway {
        return;
    }
    let given = begin_change(db, segments, Durable::Later).and_then(|change| {
        let db = &change;
        places::give_back(&Store { db, segments })?;
        finish(change, segments, Durable::Later)
    });
    if let Err(stop) = given {
        let fault = stop.into_fault("give room back");
        log::warn!("room not given back yet reason={fault:?}");
    }
}

fn begin_change<'a>(
    db: &'a mut Connection,
    segments: &Segments,
    durable: Durable,
) -> Result<Transaction<'a>, Stop> {
    begin::prepare(&Store { db, segments })?;
    // Set before every change, not only where it differs: a promise of durability must not
    // depend on an earlier job having put the setting back.
    let level = match durable {
        Durable::Now => "FULL",
        Durable::Later => "NORMAL",
    };
    db.pragma_update(None, "synchronous", level)?;
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    segments.begin();
    let db = &change;
    places::forget_doubtful(&Store { db, segments })?;
    Ok(change)
}

/// Commits a change. The sound that it names comes to the disk first.
fn finish(change: Transaction<'_>, segments: &Segments, durable: Durable) -> Result<(), Stop> {
    segments.sync(durable == Durable::Now)?;
    change.commit()?;
    segments.end();
    Ok(())
}
