//! The totals of a library, stored beside the songs and changed in the same transactions.

use roles::contract::id::SongId;
use roles::contract::job::{JobReply, Overview, ScrubNote};
use roles::contract::message::StoreId;
use rusqlite::{Connection, OptionalExtension};

use super::fault::Stop;
use super::partitions;
use super::row::{self, number, sql_number};

/// Answers [`LibraryJob::Overview`](roles::contract::job::LibraryJob::Overview).
pub(super) fn overview(db: &Connection) -> Result<JobReply, Stop> {
    Ok(JobReply::Overview(totals(db)?))
}

/// The totals, and what is counted beside them.
pub(super) fn totals(db: &Connection) -> rusqlite::Result<Overview> {
    let sql = "SELECT store, revision, songs, xor, bytes, removed, removed_xor,
                   scrub_rounds, scrub_song, scrub_number FROM meta";
    let quarantined = quarantined(db)?;
    let withdrawn = withdrawn(db)?;
    let trash = is_trash_used(db)?;
    let tags = latest_tags(db)?;
    db.prepare_cached(sql)?.query_row([], |row| {
        Ok(Overview {
            store: StoreId(row.get::<_, i64>(0)?.cast_unsigned()),
            revision: number(row, 1)?,
            digest: row::digest(row, 2)?,
            bytes: number(row, 4)?,
            tombstones: row::digest(row, 5)?,
            quarantined,
            scrub: ScrubNote {
                rounds: number(row, 7)?,
                after: row::fragment_id(row, 8)?,
            },
            tags,
            withdrawn,
            salvaging: false,
            trash,
        })
    })
}

/// Adds a song to the totals. Returns the revision at which the song is committed.
pub(super) fn count_in(db: &Connection, song: SongId, bytes: u64) -> rusqlite::Result<u64> {
    let mut totals = totals(db)?;
    totals.digest.insert(song);
    totals.bytes = totals.bytes.saturating_add(bytes);
    partitions::change(db, song, |digest| digest.songs.insert(song))?;
    advance(db, &totals)
}

/// Subtracts a song from the totals. Returns the revision at which the song leaves.
pub(super) fn count_out(db: &Connection, song: SongId, bytes: u64) -> rusqlite::Result<u64> {
    let mut totals = totals(db)?;
    totals.digest.remove(song);
    totals.bytes = totals.bytes.saturating_sub(bytes);
    partitions::change(db, song, |digest| digest.songs.remove(song))?;
    advance(db, &totals)
}

/// Writes the totals with the next revision, and returns that revision.
pub(super) fn advance(db: &Connection, totals: &Overview) -> rusqlite::Result<u64> {
    let revision = totals.revision.saturating_add(1);
    let sql = "UPDATE meta SET revision = ?1, songs = ?2, xor = ?3, bytes = ?4";
    db.prepare_cached(sql)?.execute((
        sql_number(revision),
        sql_number(totals.digest.count),
        totals.digest.xor.to_be_bytes(),
        sql_number(totals.bytes),
    ))?;
    Ok(revision)
}

/// How many fragments are quarantined.
fn quarantined(db: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM quarantine";
    db.prepare_cached(sql)?.query_row([], |row| number(row, 0))
}

/// How many songs are withdrawn and have not come back.
fn withdrawn(db: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM songs WHERE revision IS NULL AND touched < -1";
    db.prepare_cached(sql)?.query_row([], |row| number(row, 0))
}

/// Whether anything is in the trash.
pub(super) fn is_trash_used(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM trash WHERE thrown = 1")?
        .exists([])
}

/// The latest revision of the tags.
fn latest_tags(db: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT tags FROM meta";
    let latest = db.prepare_cached(sql)?.query_row([], |row| number(row, 0));
    Ok(latest.optional()?.unwrap_or(0))
}
