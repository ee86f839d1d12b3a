//! Segments that are missing, or shorter than rows say: the fragments in them are lost.
//!
//! Only names and lengths of files are looked at, never the sound. The files are found by name: one
//! that was removed while a worker has it open can still be read, but not after the next start.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use super::super::fault::Stop;
use super::super::row::{number, sql_number};
use super::super::store::Store;
use super::{Place, Segments};

/// Quarantines every fragment of a committed song that lies where no file reaches: other nodes are
/// asked for it as soon as the node runs. Tells of each segment once.
pub(in crate::library) fn set_aside(db: &Connection, dir: &Path) -> Result<(), Stop> {
    let segments = Segments::around(dir);
    let sql = "SELECT number, length FROM segments WHERE length > 0";
    let named = db
        .prepare(sql)?
        .query_map([], super::place)?
        .collect::<Result<Vec<Place>, _>>()?;
    for Place { segment, begin } in named {
        let length = segments.length_by_name(segment);
        if length < begin {
            let fragments = quarantine_behind(db, segment, length)?;
            if fragments > 0 {
                log::error!(
                    "segment lost number={segment} fragments={fragments}: \
                     they are fetched from other nodes"
                );
            }
        }
    }
    Ok(())
}

fn quarantine_behind(db: &Connection, segment: u32, length: u64) -> rusqlite::Result<usize> {
    let sql = "INSERT OR IGNORE INTO quarantine (song, number)
               SELECT f.song, f.number FROM fragments f
               JOIN songs song ON song.row = f.song
               JOIN slices s ON s.song = f.song AND s.number = f.number
               WHERE f.segment = ?1 AND f.place + s.length > ?2 AND song.revision IS NOT NULL";
    db.execute(sql, (segment, sql_number(length)))
}

/// The lengths of the files, each looked at once.
#[derive(Debug, Default)]
pub(in crate::library) struct Lengths(BTreeMap<u32, u64>);

/// The fragments of a song that lie where no file reaches, but for those that are quarantined.
pub(in crate::library) fn of_song(
    store: &Store<'_>,
    song: i64,
    lengths: &mut Lengths,
) -> rusqlite::Result<Vec<u32>> {
    let sql = "SELECT f.segment, f.place + s.length, f.number FROM fragments f
               JOIN slices s ON s.song = f.song AND s.number = f.number
               WHERE f.song = ?1 AND f.segment IS NOT NULL AND NOT EXISTS
                   (SELECT 1 FROM quarantine q WHERE q.song = f.song AND q.number = f.number)
               ORDER BY f.number";
    let mut statement = store.prepare_cached(sql)?;
    let mut rows = statement.query((song,))?;
    let mut lost = Vec::new();
    while let Some(row) = rows.next()? {
        let (segment, end) = (row.get(0)?, number(row, 1)?);
        let look = || store.segments.length_by_name(segment);
        if *lengths.0.entry(segment).or_insert_with(look) < end {
            store.segments.tell_lost(segment);
            lost.push(row.get(2)?);
        }
    }
    Ok(lost)
}
