//! Bad fragments: set aside, and replaced by bytes from another node.

use roles::contract::job::{FragmentId, JobReply};
use roles::contract::song::Fragment;
use rusqlite::Connection;

use super::fault::Stop;
use super::fragments::{self, Checked};
use super::quarantine::{holds, note};
use super::seal;
use super::segments::places;
use super::songs::find;
use super::store::Store;
use super::tombstones::absence;

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
        Err(stop) if stop.is_bad() => drop(seal::manifest(db, fragment.song, row)?),
        Err(stop) => return Err(stop),
    }
    note(db, row, fragment.index)?;
    Ok(JobReply::Done)
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
