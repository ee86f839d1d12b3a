//! Which places in the segments are taken, and how their room is given back.

use std::io::{self, ErrorKind};

use rusqlite::Connection;

use super::super::fault::Stop;
use super::super::row::{number, sql_number};
use super::super::store::Store;
use super::{BLOCK_BYTES, Place, begin, place};

/// Writes bytes to the end of the last segment. None: they are to lie in their row.
pub(in crate::library) fn append(store: &Store<'_>, bytes: &[u8]) -> Result<Option<Place>, Stop> {
    if !store.segments.take(bytes.len()) {
        return Ok(None);
    }
    let length = (bytes.len() as u64).next_multiple_of(BLOCK_BYTES);
    let place = begin::last(store)?.ok_or_else(|| {
        // Rows that a disk has lost: the next transaction begins with another segment.
        store.segments.want(Some(length));
        io::Error::new(ErrorKind::NotFound, "none is named")
    })?;
    store.segments.write(place, bytes)?;
    begin::lengthen(store, place.segment, place.begin + length, length)?;
    Ok(Some(place))
}

/// The segments that the tables name.
pub(in crate::library) fn numbers(db: &Connection) -> rusqlite::Result<Vec<u32>> {
    let sql = "SELECT number FROM segments WHERE length >= 0
               UNION SELECT segment FROM fragments WHERE segment IS NOT NULL";
    db.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

/// Notes that a place is free. Its room is given back by a later transaction, when no reader and no
/// rollback can need it any longer.
pub(in crate::library) fn free(db: &Store<'_>, place: Place, length: u64) -> rusqlite::Result<()> {
    db.segments.freed.set(true);
    db.prepare_cached("INSERT INTO freed (segment, place, length) VALUES (?1, ?2, ?3)")?
        .execute((place.segment, sql_number(place.begin), sql_number(length)))?;
    Ok(())
}

/// Bytes that are free and not given back yet.
pub(in crate::library) fn freed_bytes(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT coalesce(sum(length), 0) FROM freed")?
        .query_row([], |row| number(row, 0))
}

/// Gives back some of the room that earlier transactions have freed. Must not run in the transaction
/// that has freed it, which may still be rolled back.
pub(in crate::library) fn give_back(store: &Store<'_>) -> Result<(), Stop> {
    let sql = "SELECT segment, place, length, row FROM freed ORDER BY row LIMIT ?1";
    let freed = store
        .prepare_cached(sql)?
        .query_map((GIVEN_BACK_MAX,), |row| {
            Ok((place(row)?, number(row, 2)?, row.get(3)?))
        })?
        .collect::<Result<Vec<(Place, u64, i64)>, _>>()?;
    for (place, length, row) in &freed {
        store.segments.make_hole(*place, *length)?;
        store
            .prepare_cached("DELETE FROM freed WHERE row = ?1")?
            .execute((row,))?;
    }
    if freed.is_empty() {
        return Ok(());
    }
    if freed.len() == GIVEN_BACK_MAX as usize {
        store.segments.freed.set(true); // The next change gives back more.
        return Ok(());
    }
    remove_empty(store)
}

/// Removes the segments that no fragment lies in. The last one stays, because the next fragment
/// goes there and because its number must not be given again.
fn remove_empty(store: &Store<'_>) -> Result<(), Stop> {
    let sql = "SELECT number FROM segments
               WHERE number < (SELECT max(number) FROM segments WHERE length >= 0)
                   AND length >= 0 AND number NOT IN (SELECT segment FROM fragments WHERE segment IS NOT NULL)";
    let empty = store
        .prepare_cached(sql)?
        .query_map([], |row| row.get(0))?
        .collect::<Result<Vec<u32>, _>>()?;
    for segment in empty {
        store.segments.remove(segment)?;
        store
            .prepare_cached("DELETE FROM segments WHERE number = ?1")?
            .execute((segment,))?;
    }
    Ok(())
}

/// After a failed sync nobody knows which sound is on the disk. What was committed is, because each
/// commit was synced; fragments of uploads are asked for again.
pub(in crate::library) fn forget_doubtful(db: &Store<'_>) -> rusqlite::Result<()> {
    if !db.segments.is_doubtful() {
        return Ok(());
    }
    log::warn!("segment not synced: fragments of unfinished uploads are asked for again");
    let sql = "SELECT f.row FROM fragments f JOIN songs song ON song.row = f.song
               WHERE song.revision IS NULL AND f.segment IS NOT NULL";
    let rows = db
        .prepare(sql)?
        .query_map([], |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    rows.into_iter().try_for_each(|row| forget(db, row))
}

/// Removes a row of `fragments`, and notes that its place is free.
pub(in crate::library) fn forget(db: &Store<'_>, row: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO freed (segment, place, length)
               SELECT f.segment, f.place, s.length FROM fragments f
               JOIN slices s ON s.song = f.song AND s.number = f.number
               WHERE f.row = ?1 AND f.segment IS NOT NULL";
    let places = db.prepare_cached(sql)?.execute((row,))?;
    db.segments.freed.set(db.segments.freed.get() || places > 0);
    db.prepare_cached("DELETE FROM fragments WHERE row = ?1")?
        .execute((row,))?;
    Ok(())
}

/// Most places given back in one transaction.
const GIVEN_BACK_MAX: u32 = 256;
