//! From the first offer of a song to its commit.
//!
//! A staged song lies in the same tables as a committed song, but has no revision. It survives a
//! restart, so an interrupted upload continues where it stopped. If two clients cut the same file
//! in different ways, the later manifest replaces the earlier manifest and its fragments.

use roles::contract::id::{ContentHash, NodeId, SongId};
use roles::contract::job::{JobFault, JobReply};
use roles::contract::song::{Fragment, Manifest};
use rusqlite::{Connection, params};

use super::copies;
use super::fault::Stop;
use super::fragments;
use super::hidden::{release, unlink};
use super::quarantine;
use super::removal::{free_fragments, reclaim};
use super::replace::put_in_place;
use super::room::{self, Room};
use super::row::{clock_s, number, part_code, prefix_code, song_key, sql_number};
use super::seal::{self, Verdict};
use super::songs::{find, manifest as manifest_of};
use super::store::Store;
use super::tombstones::{absence, is_buried};
use super::totals::{count_in, totals};

/// Answers [`LibraryJob::BeginUpload`](roles::contract::job::LibraryJob::BeginUpload). Refused is what does not
/// fit beside all that other uploads still have to bring.
pub(super) fn begin(db: &Store<'_>, room: &Room, manifest: &Manifest) -> Result<JobReply, Stop> {
    let lie = |fault| JobFault::Invalid(format!("the manifest cannot be true: {fault}"));
    manifest.check().map_err(lie)?;
    if is_buried(db, manifest.song.id)? {
        return Err(JobFault::Removed.into());
    }
    let row = match find(db, manifest.song.id)? {
        Some(found) if !found.staged => return standing(db, found.row, manifest),
        Some(found) if is_staged_as(db, found.row, manifest)? => found.row,
        Some(found) => {
            give_up(db, found.row)?;
            stage(db, manifest)?
        }
        None => stage(db, manifest)?,
    };
    touch(db, row)?;
    // The transaction is rolled back: nothing of a song that is refused stays.
    if !room::fits(db, room, 0)? {
        return Err(JobFault::DiskFull.into());
    }
    let ranges = fragments::missing(db, row)?;
    Ok(JobReply::Missing { ranges })
}

/// Whether an upload of exactly this manifest has begun. Tables that say what cannot be say something
/// else.
fn is_staged_as(db: &Connection, row: i64, manifest: &Manifest) -> Result<bool, Stop> {
    let said = seal::judge(db, manifest.song.id, row)?;
    Ok(matches!(said, Verdict::True(staged) if *staged == *manifest))
}

/// The answer for a committed song. If fragments of the song are quarantined, the answer asks for
/// them, so that a client that uploads a damaged song again repairs it.
fn standing(db: &Connection, row: i64, manifest: &Manifest) -> Result<JobReply, Stop> {
    let indexes = quarantine::of_song(db, row)?;
    if indexes.is_empty() || manifest_of(db, row)?.fragments != manifest.fragments {
        return stored(db); // Fragments of another cut are of no use.
    }
    let ranges = fragments::ranges(indexes);
    Ok(JobReply::Missing { ranges })
}

fn stage(db: &Store<'_>, manifest: &Manifest) -> rusqlite::Result<i64> {
    db.segments.wholes.forget(manifest.song.id);
    let row = insert_song(db, manifest)?;
    let sql = "INSERT INTO slices (song, number, length, start_ms, part, hash)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut statement = db.prepare_cached(sql)?;
    for (number, slice) in (0u32..).zip(&manifest.fragments) {
        let Fragment {
            length,
            start_ms,
            part,
            hash,
        } = slice;
        statement.execute((row, number, length, start_ms, part_code(*part), hash.0))?;
    }
    seal::set(db, row, manifest)?;
    Ok(row)
}

fn insert_song(db: &Connection, manifest: &Manifest) -> rusqlite::Result<i64> {
    let song = &manifest.song;
    let (prefix_kind, prefix) = prefix_code(&manifest.prefix);
    // A row that a disk has dropped may have left slices and fragments: they are no other song's.
    let sql = "INSERT INTO songs (row, id, touched, title, artist, album, genre, year, disc, track,
                   duration_ms, bytes, format, fragments, hash, sample_rate, channels, picture,
                   prefix_kind, prefix)
               VALUES (1 + max(coalesce((SELECT max(row) FROM songs), 0),
                               coalesce((SELECT max(song) FROM slices), 0),
                               coalesce((SELECT max(song) FROM fragments), 0)),
                   ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    db.prepare_cached(sql)?.insert(params![
        song_key(song.id),
        song.title,
        song.artist,
        song.album,
        song.genre,
        song.year,
        song.disc,
        song.track,
        song.duration_ms,
        sql_number(song.bytes),
        song.format.name(),
        song.fragments,
        manifest.hash.0,
        manifest.sample_rate,
        manifest.channels,
        manifest.picture,
        prefix_kind,
        prefix,
    ])
}

/// Drops a staged song with its fragments.
fn give_up(db: &Store<'_>, row: i64) -> rusqlite::Result<()> {
    unlink(db, row)?;
    free_fragments(db)
}

/// Notes that the upload is alive, at most once a second, because each note costs a page of log.
fn touch(db: &Connection, row: i64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE songs SET touched = ?2 WHERE row = ?1 AND touched <> ?2")?
        .execute((row, clock_s()))?;
    Ok(())
}

/// Answers [`LibraryJob::KeepFragment`](roles::contract::job::LibraryJob::KeepFragment). A repeated fragment is
/// checked and changes nothing, even after the commit. If the stored fragment is quarantined, the
/// repeated one replaces it.
pub(super) fn keep(
    db: &Store<'_>,
    song: SongId,
    index: u32,
    bytes: &[u8],
) -> Result<JobReply, Stop> {
    let Some(found) = find(db, song)? else {
        return Err(absence(db, song)?);
    };
    let slice = fragments::slice(db, found.row, index)?;
    let slice = slice.ok_or_else(|| no_such_fragment(index))?;
    let Some(sound) = fragments::Checked::by(&slice, bytes) else {
        return Err(seal::mismatch(db, song, found.row)?);
    };
    if found.staged {
        fragments::insert(db, found.row, index, &sound)?;
        db.segments.wholes.add(song, index, bytes);
        touch(db, found.row)?;
    } else if quarantine::holds(db, found.row, index)? {
        put_in_place(db, found.row, index, &sound)?;
    }
    Ok(JobReply::FragmentStored)
}

/// The fault for a fragment that the manifest does not list.
fn no_such_fragment(index: u32) -> JobFault {
    JobFault::Invalid(format!("the song has no fragment {index}"))
}

/// Answers [`LibraryJob::CommitUpload`](roles::contract::job::LibraryJob::CommitUpload). Fragments that the
/// disk has altered since they came are asked for again. If all are right and together do not have
/// the song's hash, the staged song is dropped.
pub(super) fn commit(
    db: &Store<'_>,
    song: SongId,
    copies_due: &[NodeId],
) -> Result<JobReply, Stop> {
    let Some(found) = find(db, song)? else {
        return Err(absence(db, song)?);
    };
    if found.staged {
        let ranges = fragments::missing(db, found.row)?;
        if !ranges.is_empty() {
            return Ok(JobReply::Missing { ranges });
        }
        if !is_whole(db, song, found.row)? {
            let why = seal::mismatch(db, song, found.row)?;
            // Nothing can be said of bytes where it is the manifest that is damaged.
            if matches!(why, Stop::Fault(JobFault::Damaged)) {
                fragments::forget_damaged(db, found.row)?;
                let ranges = fragments::missing(db, found.row)?;
                if !ranges.is_empty() {
                    return Ok(JobReply::Missing { ranges });
                }
            }
            give_up(db, found.row)?;
            // Returned as `Ok`, because an error would roll back the removal of the staged song.
            return Ok(JobReply::Failed(why.into_fault("commit an upload")));
        }
        publish(db, song, found.row)?;
    }
    copies::add(db, song, copies_due)?;
    stored(db)
}

/// Whether all fragments together have the hash of the whole file: as they came, or else as they lie
/// on the disk.
fn is_whole(db: &Store<'_>, song: SongId, row: i64) -> Result<bool, Stop> {
    let sql = "SELECT hash, fragments FROM songs WHERE row = ?1";
    let (hash, count) = db
        .prepare_cached(sql)?
        .query_row((row,), |row| Ok((ContentHash(row.get(0)?), row.get(1)?)))?;
    Ok(db.segments.wholes.prove(song, count, &hash) || fragments::are_whole(db, row)?)
}

/// Makes a staged song visible.
pub(super) fn publish(db: &Connection, song: SongId, row: i64) -> rusqlite::Result<()> {
    release(db, song)?;
    let sql = "SELECT bytes FROM songs WHERE row = ?1";
    let bytes = db
        .prepare_cached(sql)?
        .query_row((row,), |row| number(row, 0))?;
    let revision = count_in(db, song, bytes)?;
    db.prepare_cached("UPDATE songs SET revision = ?2 WHERE row = ?1")?
        .execute((row, sql_number(revision)))?;
    // The song may have been let go earlier. The change feed shows only its latest change.
    db.prepare_cached("DELETE FROM removals WHERE song = ?1")?
        .execute((song_key(song),))?;
    Ok(())
}

/// Makes a staged song visible of which these fragments cannot be had: they are quarantined, and so
/// fetched from other nodes.
pub(super) fn publish_in_part(db: &Connection, song: SongId, lacking: &[u32]) -> Result<(), Stop> {
    if let Some(found) = find(db, song)?.filter(|found| found.staged) {
        publish(db, song, found.row)?;
        for index in lacking {
            quarantine::note(db, found.row, *index)?;
        }
    }
    Ok(())
}

/// Drops a staged song.
pub(super) fn withdraw_offer(db: &Store<'_>, song: SongId) -> Result<(), Stop> {
    if let Some(found) = find(db, song)?.filter(|found| found.staged) {
        give_up(db, found.row)?;
    }
    Ok(())
}

fn stored(db: &Connection) -> Result<JobReply, Stop> {
    let overview = totals(db)?;
    Ok(JobReply::Stored { overview })
}

/// Answers [`LibraryJob::DropUpload`](roles::contract::job::LibraryJob::DropUpload). A committed song stays.
pub(super) fn drop(db: &Store<'_>, room: &Room, song: SongId) -> Result<JobReply, Stop> {
    if let Some(found) = find(db, song)?.filter(|found| found.staged) {
        unlink(db, found.row)?;
    }
    let more = reclaim(db, room)?;
    Ok(JobReply::Reclaimed { more })
}

/// Answers [`LibraryJob::SweepUploads`](roles::contract::job::LibraryJob::SweepUploads), and begins to free
/// their room; what is too much for one transaction is left to
/// [`LibraryJob::Reclaim`](roles::contract::job::LibraryJob::Reclaim).
pub(super) fn sweep(db: &Store<'_>, room: &Room, untouched_s: u64) -> Result<JobReply, Stop> {
    let before = clock_s().saturating_sub(sql_number(untouched_s));
    let sql = "SELECT row FROM songs
               WHERE revision IS NULL AND touched BETWEEN 0 AND ?1";
    let old = db
        .prepare_cached(sql)?
        .query_map((before,), |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    old.into_iter().try_for_each(|row| unlink(db, row))?;
    reclaim(db, room)?;
    Ok(JobReply::Done)
}
