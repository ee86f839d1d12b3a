//! Rows that are no longer songs, so that no job finds them: given up or withdrawn.
//!
//! Both lose their revision and the length of their id. A row that was given up has a `touched` of -1
//! and is freed step by step; one that was withdrawn has less, and stays until it is released.

use roles::contract::id::SongId;
use rusqlite::{Connection, OptionalExtension};

use super::row::{clock_s, song_key};

/// Gives up a song's row. The row's id becomes eight bytes long, which no song's id is, and its
/// `touched` becomes negative. Only [`first_unlinked`] looks for such rows.
pub(super) fn unlink(db: &Connection, row: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE songs SET id = ?2, revision = NULL, touched = -1 WHERE row = ?1";
    db.prepare_cached(sql)?.execute((row, row.to_be_bytes()))?;
    db.prepare_cached("DELETE FROM quarantine WHERE song = ?1")?
        .execute((row,))?;
    Ok(())
}

/// A row that was given up and is not freed yet.
pub(super) fn first_unlinked(db: &Connection) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT row FROM songs WHERE revision IS NULL AND touched = -1 LIMIT 1";
    db.prepare_cached(sql)?
        .query_row([], |row| row.get(0))
        .optional()
}

/// Withdraws a song's row. Its id becomes 24 bytes long, which no song's id is, and `touched` becomes
/// less than -1.
pub(super) fn hide(db: &Connection, song: SongId, row: i64) -> rusqlite::Result<()> {
    let id = [&row.to_be_bytes()[..], &song_key(song)].concat();
    db.prepare_cached("UPDATE songs SET id = ?2, revision = NULL, touched = ?3 WHERE row = ?1")?
        .execute((row, id, -clock_s().max(3)))?;
    Ok(())
}

/// The song is whole here again, or removed for good: what was left of it is freed step by step.
pub(super) fn release(db: &Connection, song: SongId) -> rusqlite::Result<()> {
    let sql = "UPDATE songs SET touched = -1
               WHERE revision IS NULL AND touched < -1 AND substr(id, 9) = ?1";
    db.prepare_cached(sql)?.execute((song_key(song),))?;
    Ok(())
}
