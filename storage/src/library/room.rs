//! Whether a song fits on the disk, and what the reserve is for.
//!
//! The estimate counts what the library is about to grow by: each fragment with what it takes beside
//! its bytes, everything that begun uploads still have to bring, the pages that wait in the log, and
//! the log itself. What is free and about to be given back counts as room. Other programs may take the room meanwhile: then an upload ends later.

use std::path::Path;

use roles::contract::job::{JobFault, JobReply, LibraryJob};
use rusqlite::Connection;

use super::fault::{Stop, is_unexplained};
use super::open;
use super::open_fault::OpenFault;
use super::row::number;
use super::segments::places;
use crate::disk_space::{DiskSpace, in_words, is_no_room, is_read_only};

/// The room that a library has.
#[derive(Debug)]
pub(super) struct Room {
    /// None: the library lies in memory, whose bound it does not know.
    space: Option<DiskSpace>,
    /// Whether the reserve was complete when it was last looked at.
    reserve_whole: bool,
}

impl Room {
    /// The room of a library in this directory.
    pub(super) fn around(dir: &Path) -> Room {
        Room {
            space: Some(DiskSpace::around(dir)),
            reserve_whole: false,
        }
    }

    /// The room of a library in memory.
    pub(super) fn unbounded() -> Room {
        Room {
            space: None,
            reserve_whole: true,
        }
    }

    /// From here on at most `bytes` are said to be available.
    #[cfg(test)]
    pub(super) fn limit(&mut self, bytes: u64) {
        self.space.iter_mut().for_each(|space| space.limit(bytes));
    }

    /// Frees the reserve. False: there is none.
    pub(super) fn give_up_reserve(&mut self) -> bool {
        self.reserve_whole = false;
        self.space.as_ref().is_some_and(DiskSpace::give_up_reserve)
    }

    /// Takes the reserve again, as far as there is room.
    pub(super) fn restore_reserve(&mut self) {
        if let Some(space) = self.space.as_ref().filter(|_| !self.reserve_whole) {
            self.reserve_whole = space.restore_reserve();
        }
    }

    /// Most pages that may be moved towards the beginning of the file in one transaction: each is
    /// written to the log first, and the log must find room.
    pub(super) fn pages_to_move_max(&self, page_bytes: u64) -> u32 {
        let Some(space) = &self.space else {
            return u32::MAX;
        };
        let room = space.available() / 2 + space.length(LOG) / 2;
        u32::try_from(room / page_bytes)
            .unwrap_or(u32::MAX)
            .max(PAGES_MOVED_MIN)
    }

    /// Whether so many bytes are free beside the reserve.
    pub(super) fn has(&self, bytes: u64) -> bool {
        let free = |space: &DiskSpace| space.available() >= bytes + space.reserve_missing();
        self.space.as_ref().is_none_or(free)
    }

    /// What is answered for work that ended early. SQLite calls a quota that is used up and a
    /// read-only file system by no name: the file system is asked.
    pub(super) fn fault_of(&self, stop: Stop, attempt: &str) -> JobFault {
        let unexplained = match &stop {
            Stop::Sql(reason) => is_unexplained(reason),
            Stop::Disk(_) => true,
            Stop::Fault(_) => false,
        };
        let space = self.space.as_ref().filter(|_| unexplained);
        let Some(obstacle) = space.and_then(DiskSpace::obstacle) else {
            return stop.into_fault(attempt);
        };
        let words = space.and_then(|space| space.words(&obstacle));
        let words = words.unwrap_or("nothing can be written");
        log::warn!("library takes nothing attempt={attempt:?} reason={words:?}");
        if is_read_only(&obstacle) {
            return JobFault::Broken(format!("{attempt}: {words}"));
        }
        JobFault::DiskFull
    }
}

/// Opens a library in this directory; on a full disk once more, with the room of the reserve, which
/// stays given up until the library has been written to. What prevents it is told in plain words.
pub(super) fn open_with_reserve(
    dir: &Path,
    mut attempt: impl FnMut() -> Result<(), OpenFault>,
) -> Result<(), OpenFault> {
    let fault = match attempt() {
        Err(fault @ (OpenFault::DiskFull | OpenFault::Broken(_))) => fault,
        opened => return opened,
    };
    let space = DiskSpace::around(dir);
    let Some(obstacle) = space.obstacle() else {
        return Err(fault);
    };
    log::warn!("library not opened reason={fault:?}");
    if is_no_room(&obstacle) && space.give_up_reserve() {
        return attempt();
    }
    Err(OpenFault::Broken(in_words(dir, &obstacle)))
}

impl Drop for Room {
    /// The last connection has removed SQLite's log and its index: their inodes are kept for the next
    /// start.
    fn drop(&mut self) {
        self.restore_reserve();
    }
}

/// Whether a job that finds no room may have that of the reserve: all but those that bring songs.
pub(super) fn may_use_reserve(job: &LibraryJob) -> bool {
    !matches!(
        job,
        LibraryJob::BeginUpload { .. }
            | LibraryJob::KeepFragment { .. }
            | LibraryJob::ReadTags { .. }
    )
}

/// Answers [`LibraryJob::Room`].
pub(super) fn answer(db: &Connection, room: &Room, bytes: u64) -> Result<JobReply, Stop> {
    let full = !fits(db, room, bytes)?;
    Ok(JobReply::Room { full })
}

/// Whether `bytes` more fit beside all that the begun uploads still have to bring.
pub(super) fn fits(db: &Connection, room: &Room, bytes: u64) -> rusqlite::Result<bool> {
    let Some(space) = &room.space else {
        return Ok(true);
    };
    let growth = promised(db)?.saturating_add(bytes);
    let pages: u64 = db.pragma_query_value(None, "page_count", |row| number(row, 0))?;
    let in_log_alone = (pages * open::page_bytes(db)?).saturating_sub(space.length(FILE));
    let log = growth.min(LOG_BYTES_MAX).saturating_sub(space.length(LOG));
    let rest = in_log_alone + log + space.reserve_missing();
    let freed = places::freed_bytes(db)?;
    Ok(growth.saturating_sub(freed).saturating_add(rest) <= space.available())
}

/// Bytes that the library takes for all fragments that begun uploads lack.
fn promised(db: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(sum(s.length + ?1), 0) FROM songs
               JOIN slices s ON s.song = songs.row
               WHERE songs.revision IS NULL AND songs.touched >= 0
                   AND NOT EXISTS (SELECT 1 FROM fragments f
                       WHERE f.song = s.song AND f.number = s.number)";
    db.prepare_cached(sql)?
        .query_row((BESIDE_BYTES,), |row| number(row, 0))
}

const FILE: &str = "library.db";
const LOG: &str = "library.db-wal";

/// Bytes of the smallest page of a library; those of earlier versions have larger ones, multiples of it.
pub(super) const PAGE_BYTES: u64 = 4096;

/// What a fragment takes beside its bytes: the rest of its last block, its row and its slice.
const BESIDE_BYTES: i64 = 2 * 4096;

/// The log is emptied when it has 4 MiB; the transaction that fills it may have as many more.
const LOG_BYTES_MAX: u64 = 8 << 20;

/// Pages moved even where there is no room: the log may have some that it can use again.
const PAGES_MOVED_MIN: u32 = 16;
