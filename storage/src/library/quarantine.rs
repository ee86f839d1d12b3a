//! Quarantine: the list of fragments known to be bad, until bytes from another node replace them.
//!
//! A song with a fragment in quarantine stays listed and described, and its other fragments are
//! served. The bad bytes stay where they are until good ones take their place.

use roles::contract::job::{FragmentId, JobReply};
use roles::contract::limits::PAGE_IDS_MAX;
use rusqlite::Connection;

use super::fault::Stop;
use super::row::{song_id, song_key};

/// Whether a fragment is quarantined.
pub(super) fn holds(db: &Connection, song: i64, index: u32) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM quarantine WHERE song = ?1 AND number = ?2")?
        .exists((song, index))
}

/// Quarantines a fragment.
pub(super) fn note(db: &Connection, song: i64, index: u32) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO quarantine (song, number) VALUES (?1, ?2)")?
        .execute((song, index))?;
    Ok(())
}

/// The quarantined fragments of a song, in order.
pub(super) fn of_song(db: &Connection, song: i64) -> rusqlite::Result<Vec<u32>> {
    db.prepare_cached("SELECT number FROM quarantine WHERE song = ?1 ORDER BY number")?
        .query_map((song,), |row| row.get(0))?
        .collect()
}

/// Answers [`LibraryJob::Quarantined`](roles::contract::job::LibraryJob::Quarantined).
pub(super) fn page(
    db: &Connection,
    after: Option<FragmentId>,
    limit: u32,
) -> Result<JobReply, Stop> {
    let sql = "SELECT song.id, q.number FROM quarantine q JOIN songs song ON song.row = q.song
               WHERE song.id > ?1 OR (song.id = ?1 AND q.number > ?2)
               ORDER BY song.id, q.number LIMIT ?3";
    let limit = PAGE_IDS_MAX.min(limit as usize);
    let (key, index) = match after {
        Some(FragmentId { song, index }) => (song_key(song).to_vec(), i64::from(index)),
        // An empty blob sorts before every id.
        None => (Vec::new(), -1),
    };
    let mut fragments = db
        .prepare_cached(sql)?
        .query_map((key, index, limit as i64 + 1), |row| {
            let (song, index) = (song_id(row, 0)?, row.get(1)?);
            Ok(FragmentId { song, index })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let more = fragments.len() > limit;
    fragments.truncate(limit);
    Ok(JobReply::Quarantined { fragments, more })
}
