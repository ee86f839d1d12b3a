//! One job or several in one transaction: read at one moment, or changed as a whole or not at all.

use roles::contract::job::{JobFault, JobReply, LibraryJob};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::fault::Stop;
use super::jobs::{Durable, apply};
use super::room::Room;
use super::segments::{Segments, begin, places};
use super::store::Store;

/// Does a job that only reads. What seems damaged is looked at once more: a fragment that has left
/// since the transaction began has given its room back.
pub(super) fn look(
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
pub(super) fn write(
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
pub(super) fn together(
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
pub(super) fn give_back(db: &mut Connection, segments: &Segments, anyway: bool) {
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

pub(super) fn begin_change<'a>(
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
pub(super) fn finish(
    change: Transaction<'_>,
    segments: &Segments,
    durable: Durable,
) -> Result<(), Stop> {
    segments.sync(durable == Durable::Now)?;
    change.commit()?;
    segments.end();
    Ok(())
}
