//! The queue of copies still to be made: on disk, so that a restart forgets none.

use roles::contract::id::{NodeId, SongId};
use roles::contract::job::JobReply;
use rusqlite::Connection;

use super::fault::Stop;
use super::row::{self, node_key, song_key};

/// Notes that these nodes are to get a copy. One that is noted already keeps its place.
pub(super) fn add(db: &Connection, song: SongId, nodes: &[NodeId]) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO copies_due (song, node) VALUES (?1, ?2)";
    let mut statement = db.prepare_cached(sql)?;
    for node in nodes {
        statement.execute((song_key(song), node_key(*node)))?;
    }
    Ok(())
}

/// Answers [`Job::CopiesDue`](roles::contract::job::Job::CopiesDue).
pub(super) fn due(db: &Connection, limit: u32) -> Result<JobReply, Stop> {
    // Row ids grow, so they are the order in which copies fell due.
    let sql = "SELECT song, node FROM copies_due ORDER BY row LIMIT ?1";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map((limit,), |row| {
        Ok((row::song_id(row, 0)?, row::node_id(row, 1)?))
    })?;
    let due = rows.collect::<Result<_, _>>()?;
    Ok(JobReply::CopiesDue { due })
}

/// Answers [`Job::CopyDone`](roles::contract::job::Job::CopyDone). A copy nobody waited for is
/// fine too. Need not be durable: a copy that is made twice is made once.
pub(super) fn done(db: &Connection, song: SongId, node: NodeId) -> Result<JobReply, Stop> {
    let sql = "DELETE FROM copies_due WHERE song = ?1 AND node = ?2";
    db.prepare_cached(sql)?
        .execute((song_key(song), node_key(node)))?;
    Ok(JobReply::Done)
}
