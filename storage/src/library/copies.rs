//! The queue of copies still to be made. It is on disk, so that a restart loses none.

use roles::contract::id::{NodeId, SongId};
use roles::contract::job::JobReply;
use roles::contract::limits::PAGE_IDS_MAX;
use rusqlite::Connection;

use super::fault::Stop;
use super::row::{self, node_key, song_key};

/// Notes that each of these nodes is to get a copy of the song.
pub(super) fn add(db: &Connection, song: SongId, nodes: &[NodeId]) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO copies_due (song, node) VALUES (?1, ?2)";
    let mut statement = db.prepare_cached(sql)?;
    for node in nodes {
        statement.execute((song_key(song), node_key(*node)))?;
    }
    Ok(())
}

/// Answers [`LibraryJob::CopiesDue`](roles::contract::job::LibraryJob::CopiesDue).
pub(super) fn due(
    db: &Connection,
    after: Option<(SongId, NodeId)>,
    limit: u32,
) -> Result<JobReply, Stop> {
    let sql = "SELECT song, node FROM copies_due WHERE (song, node) > (?1, ?2)
               ORDER BY song, node LIMIT ?3";
    let limit = PAGE_IDS_MAX.min(limit as usize);
    // An empty blob sorts before every id.
    let (song, node) = match after {
        Some((song, node)) => (song_key(song).to_vec(), node_key(node).to_vec()),
        None => (Vec::new(), Vec::new()),
    };
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map((song, node, limit as i64 + 1), |row| {
        Ok((row::song_id(row, 0)?, row::node_id(row, 1)?))
    })?;
    let mut due = rows.collect::<Result<Vec<_>, _>>()?;
    let more = due.len() > limit;
    due.truncate(limit);
    Ok(JobReply::CopiesDue { due, more })
}

/// Answers [`LibraryJob::ForgetCopiesDue`](roles::contract::job::LibraryJob::ForgetCopiesDue).
pub(super) fn forget(db: &Connection, node: NodeId) -> Result<JobReply, Stop> {
    db.prepare_cached("DELETE FROM copies_due WHERE node = ?1")?
        .execute((node_key(node),))?;
    Ok(JobReply::Done)
}

/// Answers [`LibraryJob::CopyDone`](roles::contract::job::LibraryJob::CopyDone). A copy that is not in the queue
/// is no error. The change need not be durable, because making a copy twice does no harm.
pub(super) fn done(db: &Connection, song: SongId, node: NodeId) -> Result<JobReply, Stop> {
    let sql = "DELETE FROM copies_due WHERE song = ?1 AND node = ?2";
    db.prepare_cached(sql)?
        .execute((song_key(song), node_key(node)))?;
    Ok(JobReply::Done)
}
