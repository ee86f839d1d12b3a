//! Moves sound: out of the tables, where earlier versions kept it, and out of segments that are nearly
//! empty where the file system knows no holes.
//!
//! A move is checked against the manifest, is a transaction like any other, and may stop at any
//! time: rows and places always agree.

use roles::contract::job::JobFault;
use rusqlite::{Connection, OptionalExtension, Row};

use super::fault::Stop;
use super::fragments;
use super::room::Room;
use super::row::{self, number, sql_number};
use super::segments::places::{append, free};
use super::store::Store;
use crate::disk_space::is_no_room;

/// Moves a few fragments to the last segment: those that earlier versions have left in the tables,
/// or those of a segment that has to be emptied. True: there may be more.
pub(super) fn move_some(store: &Store<'_>, room: &Room) -> Result<bool, Stop> {
    if !store.segments.take(usize::MAX) || !room.has(MOVED_BYTES_MAX + ROOM_KEPT) {
        return Ok(false);
    }
    let mut rows = inside(store)?;
    tell(store, rows.is_empty())?;
    if rows.is_empty() && !store.segments.make_holes() {
        rows = thinned(store)?;
    }
    let mut moved = 0;
    for (row, length) in rows {
        if moved > 0 && moved + length > MOVED_BYTES_MAX {
            break;
        }
        match move_one(store, row) {
            // What is full stops no other work; the next start goes on.
            Err(Stop::Disk(reason)) if is_no_room(&reason) => return Ok(false),
            ended => ended?,
        }
        moved += length;
    }
    Ok(moved > 0)
}

/// Tells how far an older library has come: at the beginning, from time to time, and at the end.
fn tell(store: &Store<'_>, done: bool) -> rusqlite::Result<()> {
    match store.segments.count_step(done) {
        Some(_) if done => log::info!("library has moved its sound into segments"),
        Some(steps) if steps % STEPS_TOLD == 0 => {
            let left = count_inside(store)?;
            log::info!("library moves its sound into segments fragments_left={left}");
        }
        _ => (),
    }
    Ok(())
}

/// Rows whose bytes lie in the tables, with their lengths. The last come first: their pages are at
/// the end of the file, which is cut off there. Damaged ones wait for good bytes where they are.
fn inside(db: &Connection) -> rusqlite::Result<Vec<(i64, u64)>> {
    let sql = "SELECT f.row, length(f.data) FROM fragments f JOIN songs song ON song.row = f.song
               WHERE f.segment IS NULL AND length(f.data) > 1024 AND song.revision IS NOT NULL
                   AND NOT EXISTS (SELECT 1 FROM quarantine q
                       WHERE q.song = f.song AND q.number = f.number)
               ORDER BY f.row DESC LIMIT ?1";
    db.prepare_cached(sql)?
        .query_map((MOVED_FRAGMENTS_MAX,), row_and_length)?
        .collect()
}

/// Rows of a segment of which less than half is in use.
fn thinned(db: &Connection) -> rusqlite::Result<Vec<(i64, u64)>> {
    const GOOD: &str = "fragments f JOIN songs song ON song.row = f.song
        JOIN slices s ON s.song = f.song AND s.number = f.number
        WHERE song.revision IS NOT NULL AND NOT EXISTS
            (SELECT 1 FROM quarantine q WHERE q.song = f.song AND q.number = f.number)";
    let sql = format!(
        "SELECT f.segment FROM {GOOD} AND f.segment < (SELECT max(number) FROM segments WHERE length >= 0)
         GROUP BY f.segment HAVING sum(s.length) * 2 <
             (SELECT g.length FROM segments g WHERE g.number = f.segment)
         LIMIT 1"
    );
    let thin = db.query_row(&sql, [], |row| row.get(0)).optional()?;
    let segment: Option<u32> = thin;
    let sql = format!("SELECT f.row, s.length FROM {GOOD} AND f.segment = ?1 LIMIT ?2");
    db.prepare(&sql)?
        .query_map((segment, MOVED_FRAGMENTS_MAX), row_and_length)?
        .collect()
}

fn row_and_length(row: &Row<'_>) -> rusqlite::Result<(i64, u64)> {
    Ok((row.get(0)?, number(row, 1)?))
}

/// Moves one fragment, or sets it aside if it is damaged.
fn move_one(store: &Store<'_>, row: i64) -> Result<(), Stop> {
    let sql = "SELECT s.length, s.start_ms, s.part, s.hash, f.row, f.segment, f.place
               FROM fragments f JOIN slices s ON s.song = f.song AND s.number = f.number
               WHERE f.row = ?1";
    let (slice, kept) = store
        .prepare_cached(sql)?
        .query_row((row,), |row| {
            Ok((row::slice(row).ok(), fragments::kept(row, 4)?))
        })
        .optional()?
        .unzip();
    let mut bytes = Vec::new();
    let loaded = match (slice.flatten(), &kept) {
        (Some(slice), Some(kept)) => fragments::load_true(store, kept, &slice, &mut bytes),
        _ => Err(JobFault::Damaged.into()),
    };
    match loaded {
        Ok(()) => (),
        Err(stop) if stop.is_bad() => return set_aside(store, row),
        Err(stop) => return Err(stop),
    }
    let place = append(store, &bytes)?;
    // The safe copy goes with this transaction.
    store.segments.sync_before_commit();
    let sql = "UPDATE fragments SET data = x'', segment = ?2, place = ?3 WHERE row = ?1";
    let (segment, begin) = place
        .map(|place| (place.segment, sql_number(place.begin)))
        .unzip();
    store.prepare_cached(sql)?.execute((row, segment, begin))?;
    let old = kept.and_then(|kept| kept.place);
    old.map_or(Ok(()), |old| free(store, old, bytes.len() as u64))?;
    Ok(())
}

fn set_aside(db: &Connection, row: i64) -> Result<(), Stop> {
    log::error!("fragment damaged row={row}");
    let sql = "INSERT OR IGNORE INTO quarantine (song, number)
               SELECT song, number FROM fragments WHERE row = ?1";
    db.prepare_cached(sql)?.execute((row,))?;
    Ok(())
}

/// Fragments that earlier versions have left in the tables.
fn count_inside(db: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM fragments WHERE segment IS NULL AND length(data) > 1024";
    db.query_row(sql, [], |row| number(row, 0))
}

/// Most fragments and bytes moved in one transaction: other jobs wait for its end.
const MOVED_FRAGMENTS_MAX: u32 = 32;
const MOVED_BYTES_MAX: u64 = 8 << 20;

/// Steps of a move between two log lines: about a gigabyte.
const STEPS_TOLD: u32 = 128;

/// Moving needs room for a moment: it is left alone on a disk with less beside.
const ROOM_KEPT: u64 = 32 << 20;
