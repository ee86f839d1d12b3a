//! The inspection: looks at the tables from time to time, to find damage before a listener does.
//!
//! A step looks at a few songs and writes nothing: does the manifest say what was stored, is there a
//! row for each of its fragments, and does its segment reach so far? The step that ends a pass checks indexes, totals and
//! digests. The sound itself is the scrub's business. What was found is put right by `mend`.

use roles::contract::id::SongId;
use roles::contract::job::{FragmentId, Inspected, JobReply};
use roles::contract::limits::{INSPECT_SONGS_MAX, SEALED_MAX};
use rusqlite::Connection;

use super::fault::Stop;
use super::row::{song_id, song_key};
use super::seal::{Verdict, judge};
use super::segments::lost::{self, Lengths};
use super::store::Store;
use super::verify::adds_up;
use super::{fragments, quarantine};

/// Most missing fragments in one answer; a later pass finds the others.
const MISSING_MAX: usize = 256;

/// Answers [`LibraryJob::Inspect`](roles::contract::job::LibraryJob::Inspect).
pub(super) fn step(db: &Store<'_>, after: Option<SongId>, limit: u32) -> Result<JobReply, Stop> {
    let limit = (limit as usize).clamp(1, INSPECT_SONGS_MAX);
    let songs = page(db, after, limit)?;
    let mut done = Inspected {
        songs: songs.len() as u32,
        ..Inspected::default()
    };
    let mut lengths = Lengths::default();
    for (song, row) in &songs {
        look_at(db, (*song, *row), &mut lengths, &mut done)?;
    }
    if songs.len() == limit {
        done.after = songs.last().map(|(song, _)| *song);
    } else {
        done.astray = !adds_up(db)?;
    }
    Ok(JobReply::Inspected(done))
}

fn page(
    db: &Connection,
    after: Option<SongId>,
    limit: usize,
) -> rusqlite::Result<Vec<(SongId, i64)>> {
    // A row whose id has another length is found at the end of the pass.
    let sql = "SELECT id, row FROM songs
               WHERE revision IS NOT NULL AND id > ?1 AND length(id) = 16 ORDER BY id LIMIT ?2";
    let key = after.map(song_key);
    // An empty blob sorts before every id.
    let key: &[u8] = key.as_ref().map_or(&[], |key| key);
    db.prepare_cached(sql)?
        .query_map((key, limit as i64), |row| {
            Ok((song_id(row, 0)?, row.get(1)?))
        })?
        .collect()
}

fn look_at(
    db: &Store<'_>,
    (song, row): (SongId, i64),
    lengths: &mut Lengths,
    done: &mut Inspected,
) -> Result<(), Stop> {
    match judge(db, song, row)? {
        Verdict::True(_) => (),
        Verdict::Unsealed(_) if done.unsealed.is_empty() => done.unsealed = beside(db, row)?,
        Verdict::Unsealed(_) => (),
        Verdict::Altered(_) => {
            done.odd.push(song);
            return Ok(());
        }
    }
    let mut missing = lost::of_song(db, row, lengths)?;
    for index in (fragments::missing(db, row)?.into_iter()).flat_map(|(from, to)| from..to) {
        if !quarantine::holds(db, row, index)? {
            missing.push(index);
        }
    }
    missing.sort_unstable();
    let room = MISSING_MAX.saturating_sub(done.missing.len());
    let missing = missing.into_iter().take(room);
    done.missing
        .extend(missing.map(|index| FragmentId { song, index }));
    Ok(())
}

/// The songs without a seal whose rows lie beside this one, because they share its page: a library
/// without seals is so written once, and not once for each song.
fn beside(db: &Connection, row: i64) -> rusqlite::Result<Vec<SongId>> {
    let first = row - row.rem_euclid(SEALED_MAX as i64);
    let sql = "SELECT id FROM songs
               WHERE row >= ?1 AND row < ?2 AND revision IS NOT NULL AND seal IS NULL
                   AND length(id) = 16";
    db.prepare_cached(sql)?
        .query_map((first, first + SEALED_MAX as i64), |row| song_id(row, 0))?
        .collect()
}
