//! Which songs have been removed for good, and which have left the list.

use roles::contract::id::SongId;
use roles::contract::job::JobFault;
use rusqlite::Connection;

use super::fault::Stop;
use super::partitions;
use super::row::{clock_s, song_key, sql_number};
use super::totals::totals;

/// Adds a song's tombstone. If there is one, the tombstone keeps its date and the result is false.
pub(super) fn bury(db: &Connection, song: SongId) -> rusqlite::Result<bool> {
    let sql = "INSERT OR IGNORE INTO tombstones (song, noted_at) VALUES (?1, ?2)";
    let fresh = db
        .prepare_cached(sql)?
        .execute((song_key(song), clock_s()))?;
    if fresh == 0 {
        return Ok(false);
    }
    let mut removed = totals(db)?.tombstones;
    removed.insert(song);
    db.prepare_cached("UPDATE meta SET removed = ?1, removed_xor = ?2")?
        .execute((sql_number(removed.count), removed.xor.to_be_bytes()))?;
    partitions::change(db, song, |digest| digest.tombstones.insert(song))?;
    Ok(true)
}

/// Whether a song has been removed for good.
pub(super) fn is_buried(db: &Connection, song: SongId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM tombstones WHERE song = ?1")?
        .exists((song_key(song),))
}

/// The fault for a job that needs a song which is neither committed nor staged.
pub(super) fn absence(db: &Connection, song: SongId) -> Result<Stop, Stop> {
    let buried = is_buried(db, song)?;
    Ok(if buried {
        JobFault::Removed.into()
    } else {
        JobFault::NotFound.into()
    })
}

/// Puts a removal into the change feed. A song that was never here gets one too: a follower of the
/// feed may know that song from a node that is gone.
pub(super) fn note_removal(db: &Connection, song: SongId, revision: u64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO removals (song, revision) VALUES (?1, ?2)")?
        .execute((song_key(song), sql_number(revision)))?;
    Ok(())
}
