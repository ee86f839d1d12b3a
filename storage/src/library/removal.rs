//! Songs that leave: removed for good, or let go because others keep them.
//!
//! A song leaves in one small transaction: its row loses its id and its revision, so that no job
//! finds the song. Later transactions free its fragments, a few at a time. A song of gigabytes
//! therefore blocks no other job, and a crash in between leaves only space to reclaim. A tombstone
//! stays for ever: the library never accepts a song with that id again.

use roles::contract::id::SongId;
use roles::contract::job::{JobFault, JobReply};
use roles::contract::limits::REMOVALS_MAX;
use roles::contract::trash::Mark;
use rusqlite::Connection;

use super::fault::Stop;
use super::hidden::{first_unlinked, release, unlink};
use super::moving::move_some;
use super::open;
use super::room::Room;
use super::row::{number, song_key};
use super::segments::places;
use super::songs::{Found, find};
use super::store::Store;
use super::tombstones::{bury, note_removal};
use super::totals::{advance, count_out, totals};
use super::trash;

/// Most fragments freed in one transaction: their pages come to a few megabytes of log at most.
pub(crate) const RECLAIM_FRAGMENTS: u32 = 64;

/// Most bytes of the file given back to the file system in one transaction.
const VACUUM_BYTES: u64 = 16 << 20;

/// Answers [`LibraryJob::RemoveSongs`](roles::contract::job::LibraryJob::RemoveSongs).
pub(super) fn remove(db: &Store<'_>, songs: &[SongId]) -> Result<JobReply, Stop> {
    check_length(songs)?;
    let mut count = 0;
    for song in songs {
        let found = find(db, *song)?;
        let stood = found.as_ref().is_some_and(|found| !found.staged);
        if let Some(found) = found {
            count += u32::from(stood);
            take_out(db, *song, found)?;
        }
        release(db, *song)?;
        trash::forget(db, *song)?;
        db.prepare_cached("DELETE FROM copies_due WHERE song = ?1")?
            .execute((song_key(*song),))?;
        if bury(db, *song)? && !stood {
            note_removal(db, *song, advance(db, &totals(db)?)?)?;
        }
    }
    removed(db, count)
}

/// Answers [`LibraryJob::EmptyTrash`](roles::contract::job::LibraryJob::EmptyTrash).
pub(super) fn empty_trash(db: &Store<'_>, mark: &Mark) -> Result<JobReply, Stop> {
    let own = trash::find(db, mark.song, 0)?.unwrap_or(Mark::none(mark.song));
    if !own.thrown || own.version != mark.version {
        return Err(JobFault::NotFound.into());
    }
    remove(db, &[mark.song])
}

/// Answers [`LibraryJob::DropSongs`](roles::contract::job::LibraryJob::DropSongs).
pub(super) fn drop(db: &Store<'_>, songs: &[SongId], until: u64) -> Result<JobReply, Stop> {
    check_length(songs)?;
    let mut count = 0;
    for song in songs {
        let standing = find(db, *song)?.filter(|found| !found.staged);
        let Some(found) = standing else {
            continue;
        };
        if revision_of(db, found.row)? > until {
            continue; // The song was committed after the decision to let it go.
        }
        take_out(db, *song, found)?;
        db.prepare_cached("DELETE FROM copies_due WHERE song = ?1")?
            .execute((song_key(*song),))?;
        count += 1;
    }
    removed(db, count)
}

fn check_length(songs: &[SongId]) -> Result<(), JobFault> {
    if songs.len() > REMOVALS_MAX {
        let why = format!("at most {REMOVALS_MAX} songs are removed at once");
        return Err(JobFault::Invalid(why));
    }
    Ok(())
}

fn revision_of(db: &Connection, row: i64) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT revision FROM songs WHERE row = ?1")?
        .query_row((row,), |row| number(row, 0))
}

/// Hides a song. For a committed song, also notes a removal in the change feed.
fn take_out(db: &Connection, song: SongId, found: Found) -> rusqlite::Result<()> {
    if !found.staged {
        let sql = "SELECT bytes FROM songs WHERE row = ?1";
        let bytes = db
            .prepare_cached(sql)?
            .query_row((found.row,), |row| number(row, 0))?;
        note_removal(db, song, count_out(db, song, bytes)?)?;
    }
    unlink(db, found.row)
}

fn removed(db: &Store<'_>, count: u32) -> Result<JobReply, Stop> {
    free_fragments(db)?;
    let overview = totals(db)?;
    Ok(JobReply::Removed { count, overview })
}

/// Answers [`LibraryJob::Reclaim`](roles::contract::job::LibraryJob::Reclaim): frees room, and moves sound that
/// does not lie where it should.
pub(super) fn tidy(db: &Store<'_>, room: &Room) -> Result<JobReply, Stop> {
    let moves = move_some(db, room)?;
    let more = reclaim(db, room)? || moves;
    Ok(JobReply::Reclaimed { more })
}

/// Frees room inside the library. True: there is more to free, which is left to [`tidy`].
pub(super) fn reclaim(db: &Store<'_>, room: &Room) -> Result<bool, Stop> {
    free_fragments(db)?;
    let page_bytes = open::page_bytes(db)?;
    let step = u32::try_from(VACUUM_BYTES / page_bytes).unwrap_or(u32::MAX);
    let pages_max = room.pages_to_move_max(page_bytes).min(step);
    let cut_short = give_back_pages(db, pages_max)? && pages_max < step;
    Ok(cut_short || first_unlinked(db)?.is_some())
}

/// Frees a few fragments of hidden songs. A song's row goes with its last fragment.
pub(super) fn free_fragments(db: &Store<'_>) -> rusqlite::Result<()> {
    let mut left = RECLAIM_FRAGMENTS as usize;
    while let Some(row) = first_unlinked(db)? {
        let sql = "SELECT row FROM fragments WHERE song = ?1 LIMIT ?2";
        let fragments = db
            .prepare_cached(sql)?
            .query_map((row, left as i64), |row| row.get(0))?
            .collect::<Result<Vec<i64>, _>>()?;
        left -= fragments.len().min(left);
        (fragments.into_iter()).try_for_each(|fragment| places::forget(db, fragment))?;
        let sql = "SELECT 1 FROM fragments WHERE song = ?1";
        if db.prepare_cached(sql)?.exists((row,))? {
            break;
        }
        db.prepare_cached("DELETE FROM songs WHERE row = ?1")?
            .execute((row,))?;
    }
    Ok(())
}

/// Gives some free pages back to the file system: the pragma frees one page per step. True: some
/// were given back, and more are free.
pub(super) fn give_back_pages(db: &Connection, pages_max: u32) -> rusqlite::Result<bool> {
    let free =
        |db: &Connection| db.pragma_query_value(None, "freelist_count", |row| number(row, 0));
    let before = free(db)?;
    let mut shrinking = db.prepare(&format!("PRAGMA incremental_vacuum({pages_max})"))?;
    let mut steps = shrinking.query([])?;
    while steps.next()?.is_some() {}
    let left = free(db)?;
    Ok(left > 0 && left < before)
}
