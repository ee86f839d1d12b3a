//! The scrub: reads every fragment from time to time, to find damage before a listener does.
//!
//! A step reads a bounded number of bytes and writes nothing. Steps go in order of song and
//! fragment, not of place on the disk, so that a position stays valid when songs come and go. A
//! fragment counts as bad if the disk cannot read it or returns altered bytes.

use roles::contract::job::{FragmentId, JobFault, JobReply, Scrubbed};
use roles::contract::limits::{SCRUB_BYTES_MAX, SCRUB_FRAGMENTS_MAX};
use roles::contract::song::Fragment;
use rusqlite::{Connection, OptionalExtension, Row};

use super::fault::Stop;
use super::fragments;
use super::quarantine;
use super::row::{self, clock_s, song_id, song_key, sql_number};
use super::seal::{Verdict, judge};
use super::store::Store;

/// Answers [`LibraryJob::Scrub`](roles::contract::job::LibraryJob::Scrub).
pub(super) fn step(
    db: &Store<'_>,
    after: Option<FragmentId>,
    bytes: u64,
) -> Result<JobReply, Stop> {
    let budget = bytes.min(SCRUB_BYTES_MAX);
    let mut done = Scrubbed {
        after,
        ..Scrubbed::default()
    };
    let mut visited = 0;
    loop {
        let Some(next) = next(db, done.after)? else {
            done.after = None;
            break;
        };
        check(db, &next, &mut done)?;
        done.after = Some(next.id);
        visited += 1;
        // The number of fragments is bounded too: a quarantined fragment, or one whose slice is
        // damaged, adds no bytes, so the budget alone would not end the step.
        if done.bytes >= budget || visited == SCRUB_FRAGMENTS_MAX {
            break;
        }
    }
    Ok(JobReply::Scrubbed(done))
}

/// The next fragment that a manifest lists.
struct Next {
    id: FragmentId,
    row: i64,
    /// None if the manifest's row for the fragment is damaged.
    slice: Option<Fragment>,
}

fn next(db: &Connection, after: Option<FragmentId>) -> rusqlite::Result<Option<Next>> {
    const SAME: &str = "
        SELECT s.length, s.start_ms, s.part, s.hash, s.number, song.row, song.id
        FROM songs song JOIN slices s ON s.song = song.row
        WHERE song.id = ?1 AND song.revision IS NOT NULL AND s.number > ?2
        ORDER BY s.number LIMIT 1";
    const LATER: &str = "
        SELECT s.length, s.start_ms, s.part, s.hash, s.number, song.row, song.id
        FROM songs song JOIN slices s ON s.song = song.row
        WHERE song.id > ?1 AND song.revision IS NOT NULL
        ORDER BY song.id, s.number LIMIT 1";
    let Some(after) = after else {
        // An empty blob sorts before every id.
        let first = db.prepare_cached(LATER)?.query_row(([0u8; 0],), read_next);
        return first.optional();
    };
    let key = song_key(after.song);
    let same = db
        .prepare_cached(SAME)?
        .query_row((key, after.index), read_next);
    match same.optional()? {
        Some(next) => Ok(Some(next)),
        None => db
            .prepare_cached(LATER)?
            .query_row((key,), read_next)
            .optional(),
    }
}

fn read_next(row: &Row<'_>) -> rusqlite::Result<Next> {
    let id = FragmentId {
        song: song_id(row, 6)?,
        index: row.get(4)?,
    };
    Ok(Next {
        id,
        row: row.get(5)?,
        slice: row::slice(row).ok(),
    })
}

/// Reads a fragment and notes it if it is bad. A quarantined fragment is known to be bad.
fn check(db: &Store<'_>, next: &Next, done: &mut Scrubbed) -> Result<(), Stop> {
    let index = next.id.index;
    if quarantine::holds(db, next.row, index)? {
        return Ok(());
    }
    let read = match &next.slice {
        Some(slice) => fragments::read(db, next.row, index, slice),
        None => Err(JobFault::Damaged.into()),
    };
    done.fragments += 1;
    done.bytes += next.slice.map_or(0, |slice| slice.length.into());
    match read {
        Ok(_) => (),
        Err(stop) if stop.is_bad() => match judge(db, next.id.song, next.row)? {
            Verdict::Altered(_) if done.altered.last() == Some(&next.id.song) => (),
            Verdict::Altered(_) => done.altered.push(next.id.song),
            Verdict::True(_) | Verdict::Unsealed(_) => done.bad.push(next.id),
        },
        Err(stop) => return Err(stop),
    }
    Ok(())
}

/// Answers [`LibraryJob::NoteScrub`](roles::contract::job::LibraryJob::NoteScrub).
pub(super) fn note(db: &Connection, after: Option<FragmentId>) -> Result<JobReply, Stop> {
    match after {
        Some(FragmentId { song, index }) => db
            .prepare_cached("UPDATE meta SET scrub_song = ?1, scrub_number = ?2")?
            .execute((song_key(song), index))?,
        None => db
            .prepare_cached(
                "UPDATE meta SET scrub_song = NULL, scrub_number = NULL, scrubbed_at = ?1,
                     scrub_rounds = min(scrub_rounds, ?2) + 1",
            )?
            .execute((clock_s(), sql_number(u64::MAX) - 1))?,
    };
    Ok(JobReply::Done)
}
