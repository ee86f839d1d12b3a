//! How a segment begins, and which one sound is added to.
//!
//! A number is committed before its file is made, and marked as made before the first byte is
//! written. So every file is named by the tables, whenever the process dies, and no file is removed
//! or written over that this library has not made: a file of a library that was set aside or moved
//! away keeps its name and its bytes. Numbers are never given twice: a reader may still hold the
//! file that had the number.

use std::io::{self, ErrorKind};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::super::fault::Stop;
use super::super::row::sql_number;
use super::super::store::Store;
use super::{BLOCK_BYTES, Place, place};

/// The length of a segment whose file may not have been made yet.
const UNMADE: i64 = -1;

/// How many numbers are tried, should files of other libraries appear meanwhile.
const TRIES: u32 = 8;

/// Sees to it that there is a segment to add to, if one is wanted. Has transactions of its own, so
/// none may be open.
pub(in crate::library) fn prepare(store: &Store<'_>) -> Result<(), Stop> {
    let Some(length) = store.segments.wanted() else {
        return Ok(());
    };
    remove_unmade(store)?;
    let fits = |last: Place| last.begin + length <= store.segments.bytes_max;
    // What follows on a file that has become shorter would lie behind a gap.
    let stands = |last: Place| store.segments.reach_by_name(last.segment, last.begin);
    if !last(store)?.is_some_and(|last| fits(last) && stands(last)) {
        make(store)?;
    }
    store.segments.want(None);
    Ok(())
}

/// The end of the segment that sound is added to.
pub(super) fn last(db: &Connection) -> rusqlite::Result<Option<Place>> {
    let sql = "SELECT number, length FROM segments WHERE length >= 0 ORDER BY number DESC LIMIT 1";
    db.prepare_cached(sql)?.query_row([], place).optional()
}

/// Notes that a segment's named part ends here, and asks for another segment when it is full.
pub(super) fn lengthen(store: &Store<'_>, segment: u32, end: u64, last: u64) -> Result<(), Stop> {
    store
        .prepare_cached("UPDATE segments SET length = ?2 WHERE number = ?1")?
        .execute((segment, sql_number(end)))?;
    // The open transaction may still need this one: the next segment comes before the next
    // transaction, and what this one adds meanwhile makes the segment a little longer.
    if end + last > store.segments.bytes_max {
        store.segments.want(Some(last));
    }
    Ok(())
}

/// Makes a segment: number, file, mark, each on the disk before the next.
fn make(store: &Store<'_>) -> Result<(), Stop> {
    store.pragma_update(None, "synchronous", "FULL")?;
    for _ in 0..TRIES {
        let number = reserve(store)?;
        match store.segments.create(number) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => (),
            created => {
                created?;
                return mark(store, number);
            }
        }
    }
    let why = "another program makes files named segment.N in the data directory";
    Err(io::Error::new(ErrorKind::AlreadyExists, why).into())
}

/// Writes down a number that no row and no file has. Files that no row names belong to a library
/// that was set aside or moved away, or to rows that a disk has lost.
pub(in crate::library) fn reserve(store: &Store<'_>) -> Result<u32, Stop> {
    let change = Transaction::new_unchecked(store.db, TransactionBehavior::Immediate)?;
    let sql = "SELECT coalesce(max(number), 0) FROM segments";
    let highest: u32 = change.query_row(sql, [], |row| row.get(0))?;
    let number = highest.max(store.segments.highest()).saturating_add(1);
    change.execute("DELETE FROM segments WHERE length < 0", [])?;
    let sql = "INSERT INTO segments (number, length) VALUES (?1, ?2)";
    change.execute(sql, (number, UNMADE))?;
    change.commit()?;
    Ok(number)
}

fn mark(store: &Store<'_>, number: u32) -> Result<(), Stop> {
    let sql = "UPDATE segments SET length = 0 WHERE number = ?1";
    store.execute(sql, (number,))?;
    Ok(())
}

/// Removes the empty file of a number that was written down and never used. One with bytes in it is
/// another library's, which has taken the same number while this one was moved away.
pub(super) fn remove_unmade(store: &Store<'_>) -> Result<(), Stop> {
    for number in unmade(store)? {
        store.segments.remove_empty(number)?;
    }
    Ok(())
}

/// The numbers that were written down and not marked as made.
pub(in crate::library) fn unmade(db: &Connection) -> rusqlite::Result<Vec<u32>> {
    let sql = "SELECT number FROM segments WHERE length < 0";
    db.prepare_cached(sql)?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// The first transaction of a worker asks for room for as much.
pub(super) const FIRST_BYTES: u64 = BLOCK_BYTES;
