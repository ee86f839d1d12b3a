//! Quarantine: fragments known to be bad, until bytes from another node replace them.
//!
//! A song with a fragment in quarantine stays listed and described, and its other fragments are
//! served. The bad bytes stay where they are until good ones take their place.

use roles::contract::job::{FragmentId, JobReply};
use roles::contract::limits::PAGE_IDS_MAX;
use roles::contract::song::Fragment;
use rusqlite::Connection;

use super::fault::Stop;
use super::fragments::{self, Checked};
use super::removal::absence;
use super::row::{song_id, song_key};
use super::scrub::is_bad;
use super::seal;
use super::segments::places;
use super::songs::find;
use super::store::Store;

/// Whether a fragment is quarantined.
pub(super) fn holds(db: &Connection, song: i64, index: u32) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM quarantine WHERE song = ?1 AND number = ?2")?
        .exists((song, index))
}

/// Answers [`LibraryJob::Quarantine`](roles::contract::job::LibraryJob::Quarantine). Reads the fragment again,
/// because it may have been replaced since the scrub found it bad.
pub(super) fn set_aside(db: &Store<'_>, fragment: FragmentId) -> Result<JobReply, Stop> {
    let (row, slice) = slice_of(db, fragment)?;
    let kept = fragments::find_kept(db, row, fragment.index)?;
    if let Some(place) = kept.and_then(|kept| kept.place) {
        db.segments.look_anew(place);
    }
    match fragments::read(db, row, fragment.index, &slice) {
        Ok(_) => return Ok(JobReply::Done),
        // Fails where it is the manifest that is damaged: bytes of another node would not match it.
        Err(stop) if is_bad(&stop) => drop(seal::manifest(db, fragment.song, row)?),
        Err(stop) => return Err(stop),
    }
    note(db, row, fragment.index)?;
    Ok(JobReply::Done)
}

/// Quarantines a fragment.
pub(super) fn note(db: &Connection, song: i64, index: u32) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO quarantine (song, number) VALUES (?1, ?2)")?
        .execute((song, index))?;
    Ok(())
}

/// The row of a committed song, and the manifest's entry for the fragment.
fn slice_of(db: &Connection, fragment: FragmentId) -> Result<(i64, Fragment), Stop> {
    let standing = find(db, fragment.song)?.filter(|found| !found.staged);
    let Some(found) = standing else {
        return Err(absence(db, fragment.song)?);
    };
    let slice = fragments::listed(db, fragment.song, found.row, fragment.index)?;
    Ok((found.row, slice))
}

/// Answers [`LibraryJob::ReplaceFragment`](roles::contract::job::LibraryJob::ReplaceFragment). A good fragment
/// stays as it is, so that a repeated answer from another node causes no second write.
pub(super) fn replace(
    db: &Store<'_>,
    fragment: FragmentId,
    bytes: &[u8],
) -> Result<JobReply, Stop> {
    let (row, slice) = slice_of(db, fragment)?;
    let Some(sound) = Checked::by(&slice, bytes) else {
        return Err(seal::mismatch(db, fragment.song, row)?);
    };
    let index = fragment.index;
    if !holds(db, row, index)? && fragments::read(db, row, index, &slice).is_ok() {
        return Ok(JobReply::FragmentStored);
    }
    put_in_place(db, row, index, &sound)?;
    Ok(JobReply::FragmentStored)
}

/// Puts bytes that have been checked in the place of bad ones.
pub(super) fn put_in_place(
    db: &Store<'_>,
    song: i64,
    index: u32,
    sound: &Checked<'_>,
) -> Result<(), Stop> {
    if let Some(bad) = fragments::find_kept(db, song, index)? {
        places::forget(db, bad.row)?;
    }
    fragments::put(db, song, index, sound)?;
    // The song counts as whole again with this transaction.
    db.segments.sync_before_commit();
    db.prepare_cached("DELETE FROM quarantine WHERE song = ?1 AND number = ?2")?
        .execute((song, index))?;
    Ok(())
}

/// The quarantined fragments of a song, in order.
pub(super) fn of_song(db: &Connection, song: i64) -> rusqlite::Result<Vec<u32>> {
    db.prepare_cached("SELECT number FROM quarantine WHERE song = ?1 ORDER BY number")?
        .query_map((song,), |row| row.get(0))?
        .collect()
}

/// How many fragments are quarantined.
pub(super) fn count(db: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM quarantine";
    db.prepare_cached(sql)?
        .query_row([], |row| super::row::number(row, 0))
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

/// Alters the first byte of a fragment. False: there is no such fragment.
pub(super) fn rot(db: &Store<'_>, fragment: FragmentId) -> Result<bool, Stop> {
    let Ok((song, _)) = slice_of(db, fragment) else {
        return Ok(false);
    };
    let Some(kept) = fragments::find_kept(db, song, fragment.index)? else {
        return Ok(false);
    };
    if let Some(place) = kept.place {
        db.segments.rot(place)?;
        return Ok(true);
    }
    let mut blob = db.blob_open("main", "fragments", "data", kept.row, false)?;
    let mut first = [0];
    blob.read_at_exact(&mut first, 0)?;
    blob.write_at(&[first[0] ^ 1], 0)?;
    Ok(true)
}
