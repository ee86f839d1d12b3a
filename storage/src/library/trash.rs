//! The marks of songs: which are in the trash, and for how long.
//!
//! Marks stand apart from the songs, because every data node keeps all of them. Time is counted by
//! the library's own clock, which goes on only while the node runs and something is in the trash:
//! no wall clock ends a song's time. A tombstone takes the place of a mark.

use roles::contract::id::SongId;
use roles::contract::job::{Due, JobFault, JobReply};
use roles::contract::limits::{MARKS_MAX, TRASH_S_MAX};
use roles::contract::message::Change;
use roles::contract::trash::Mark;
use rusqlite::{Connection, OptionalExtension, Row};

use super::fault::Stop;
use super::row::{number, song_id, song_key, sql_number};
use super::tombstones::is_buried;
use super::totals::{advance, is_trash_used, totals};

/// The table of marks, and the library's clock for them. `since` and `until` are moments of that
/// clock in seconds; `since` is below zero for a song that came into the trash before the clock began.
pub(super) const TABLES: &str = "
    CREATE TABLE trash (
        song        BLOB    PRIMARY KEY,
        version     INTEGER NOT NULL,
        thrown      INTEGER NOT NULL,
        since       INTEGER NOT NULL,
        until       INTEGER NOT NULL,
        revision    INTEGER NOT NULL UNIQUE
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX trash_thrown ON trash (until) WHERE thrown = 1;

    ALTER TABLE meta ADD COLUMN trash_s INTEGER NOT NULL DEFAULT 0;
";

/// Approximate size of a mark in a page of changes, in bytes.
pub(super) const MARK_BYTES: usize = 48;

/// Answers [`LibraryJob::NoteMarks`](roles::contract::job::LibraryJob::NoteMarks).
pub(super) fn note(db: &Connection, marks: &[Mark], passed_s: u64) -> Result<JobReply, Stop> {
    if marks.len() > MARKS_MAX || marks.iter().any(|mark| !mark.is_possible()) {
        let why = format!("at most {MARKS_MAX} marks are noted at once, with possible versions");
        return Err(JobFault::Invalid(why).into());
    }
    let clock = go_on(db, passed_s)?;
    let (mut newer, mut gone) = (Vec::new(), Vec::new());
    for mark in marks {
        if is_buried(db, mark.song)? {
            gone.push(mark.song);
            continue;
        }
        let own = find(db, mark.song, clock)?.unwrap_or(Mark::none(mark.song));
        if mark.outranks(&own) {
            write(db, mark, clock)?;
        } else if own.outranks(mark) {
            newer.push(own);
        }
    }
    let overview = totals(db)?;
    Ok(JobReply::Noted {
        newer,
        gone,
        overview,
    })
}

/// Answers [`LibraryJob::Marks`](roles::contract::job::LibraryJob::Marks).
pub(super) fn page(db: &Connection, after: Option<SongId>, limit: u32) -> Result<JobReply, Stop> {
    let limit = (limit as usize).clamp(1, MARKS_MAX);
    let clock = clock(db)?;
    let sql = "SELECT song, version, thrown, since, until FROM trash
               WHERE song > ?1 ORDER BY song LIMIT ?2";
    let key = after.map(song_key);
    // An empty blob sorts before every id.
    let key: &[u8] = key.as_ref().map_or(&[], |key| key);
    let mut marks = db
        .prepare_cached(sql)?
        .query_map((key, limit as i64 + 1), |row| mark_of(row, clock))?
        .collect::<Result<Vec<Mark>, _>>()?;
    let more = marks.len() > limit;
    marks.truncate(limit);
    let next = marks.last().map(|mark| mark.song).filter(|_| more);
    Ok(JobReply::Marks { marks, next })
}

/// Answers [`LibraryJob::MarksDigest`](roles::contract::job::LibraryJob::MarksDigest).
pub(super) fn digest(db: &Connection) -> Result<JobReply, Stop> {
    let mut digest = 0_u64;
    let sql = "SELECT song, version, thrown, since, until FROM trash";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        digest = digest.wrapping_add(mark_of(row, 0)?.digest());
    }
    Ok(JobReply::MarksDigest { digest })
}

/// Answers [`LibraryJob::AgeTrash`](roles::contract::job::LibraryJob::AgeTrash).
pub(super) fn age(db: &Connection, passed_s: u64, limit: u32) -> Result<JobReply, Stop> {
    let clock = go_on(db, passed_s)?;
    let sql = "SELECT song, version, thrown, since, until FROM trash
               WHERE thrown = 1 AND until <= ?1 ORDER BY until, song LIMIT ?2";
    let due = db
        .prepare_cached(sql)?
        .query_map((clock, limit), |row| {
            let (since, until): (i64, i64) = (row.get(3)?, row.get(4)?);
            let twice = clock.saturating_sub(until) >= until.saturating_sub(since);
            let mark = mark_of(row, clock)?;
            Ok(Due { mark, twice })
        })?
        .collect::<Result<Vec<Due>, _>>()?;
    Ok(JobReply::Due { due })
}

/// A tombstone takes the mark's place.
pub(super) fn forget(db: &Connection, song: SongId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM trash WHERE song = ?1")?
        .execute((song_key(song),))?;
    Ok(())
}

/// The marks changed after a revision, in the order of their changes.
pub(super) fn changed(
    db: &Connection,
    since: u64,
    rows: i64,
) -> rusqlite::Result<Vec<(u64, Change)>> {
    let clock = clock(db)?;
    let sql = "SELECT song, version, thrown, since, until, revision FROM trash
               WHERE revision > ?1 ORDER BY revision LIMIT ?2";
    db.prepare_cached(sql)?
        .query_map((sql_number(since), rows), |row| {
            Ok((number(row, 5)?, Change::Marked(mark_of(row, clock)?)))
        })?
        .collect()
}

/// All marks of a library that was set aside, as far as they can be read.
pub(super) fn salvaged(db: &Connection) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut read = || -> rusqlite::Result<()> {
        let clock = clock(db)?;
        let sql = "SELECT song, version, thrown, since, until FROM trash";
        let mut statement = db.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            marks.push(mark_of(row, clock)?);
        }
        Ok(())
    };
    // What is missing comes from the other data nodes, which keep every mark.
    let _ = read();
    marks
}

/// The mark of a song, as it is at this time of the library's clock.
pub(super) fn find(db: &Connection, song: SongId, clock: i64) -> rusqlite::Result<Option<Mark>> {
    let sql = "SELECT song, version, thrown, since, until FROM trash WHERE song = ?1";
    db.prepare_cached(sql)?
        .query_row((song_key(song),), |row| mark_of(row, clock))
        .optional()
}

fn write(db: &Connection, mark: &Mark, clock: i64) -> rusqlite::Result<()> {
    let revision = advance(db, &totals(db)?)?;
    let sql = "INSERT OR REPLACE INTO trash (song, version, thrown, since, until, revision)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    db.prepare_cached(sql)?.execute((
        song_key(mark.song),
        sql_number(mark.version),
        mark.thrown,
        clock.saturating_sub(sql_number(mark.age_s.min(TRASH_S_MAX))),
        // The clock may be up to a second late, and no song goes before its time.
        clock.saturating_add(sql_number(mark.left_s.min(TRASH_S_MAX)) + 1),
        sql_number(revision),
    ))?;
    Ok(())
}

/// Lets the library's clock go on, if anything waits for it. Returns its time.
fn go_on(db: &Connection, passed_s: u64) -> rusqlite::Result<i64> {
    if passed_s > 0 && is_trash_used(db)? {
        let passed_s = sql_number(passed_s.min(TRASH_S_MAX));
        db.prepare_cached("UPDATE meta SET trash_s = trash_s + ?1")?
            .execute((passed_s,))?;
    }
    clock(db)
}

fn clock(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT trash_s FROM meta")?
        .query_row([], |row| row.get(0))
}

/// Reads `song, version, thrown, since, until`.
fn mark_of(row: &Row<'_>, clock: i64) -> rusqlite::Result<Mark> {
    let (thrown, since, until): (bool, i64, i64) = (row.get(2)?, row.get(3)?, row.get(4)?);
    let seconds = |span: i64| u64::try_from(span).unwrap_or(0);
    let counted = |span| if thrown { seconds(span) } else { 0 };
    Ok(Mark {
        song: song_id(row, 0)?,
        version: number(row, 1)?,
        thrown,
        age_s: counted(clock.saturating_sub(since)),
        left_s: counted(until.saturating_sub(clock)),
    })
}
