//! Puts right what an inspection has found in the tables.
//!
//! A song whose tables do not say what was stored is withdrawn: it leaves the list, and the routers
//! and the other data nodes hear of it as of any song that leaves. The other owners then send it
//! again, as they send every song that this node lacks. What is left of it stays until the song is
//! whole here again or removed for good, because it may be all that is left anywhere.

use roles::contract::id::SongId;
use roles::contract::job::{JobFault, JobReply, Witnessed};
use roles::contract::limits::{INSPECT_SONGS_MAX, SEALED_MAX};
use roles::contract::message::{Digest, StoreId};
use roles::contract::song::Manifest;
use rusqlite::{Connection, OptionalExtension};

use super::documents;
use super::fault::{Stop, is_corrupt};
use super::fragments::{self, are_whole};
use super::hidden::{hide, release};
use super::partitions;
use super::row::{clock_s, number, song_id, song_key, sql_number};
use super::seal::{self, Verdict, judge};
use super::songs::{find, manifest as manifest_of};
use super::store::Store;
use super::tombstones::{is_buried, note_removal};
use super::totals::{advance, count_out, totals};
use super::uploads::publish;
use super::verify::damaged_tables;

/// Answers [`LibraryJob::Mend`](roles::contract::job::LibraryJob::Mend).
pub(super) fn mend(db: &Connection, songs: &[SongId], anew: bool) -> Result<JobReply, Stop> {
    if songs.len() > INSPECT_SONGS_MAX {
        let why = format!("at most {INSPECT_SONGS_MAX} songs are mended at once");
        return Err(JobFault::Invalid(why).into());
    }
    let mut count = 0;
    for song in songs {
        let Some(found) = find(db, *song)?.filter(|found| !found.staged) else {
            continue;
        };
        match judge(db, *song, found.row)? {
            Verdict::True(_) | Verdict::Unsealed(_) => (),
            Verdict::Altered(how) => {
                log::warn!("song withdrawn song={song} reason={how:?}");
                withdraw(db, *song, found.row)?;
                count += 1;
            }
        }
    }
    if anew {
        log::warn!("library counted anew: totals, digests or indexes were wrong");
        reindex(db)?;
        count_anew(db)?;
    } else if count > 0 {
        count_bytes(db)?;
    }
    let overview = totals(db)?;
    Ok(JobReply::Removed { count, overview })
}

/// Answers [`LibraryJob::Seal`](roles::contract::job::LibraryJob::Seal).
pub(super) fn seal(db: &Connection, songs: &[Witnessed]) -> Result<JobReply, Stop> {
    if songs.len() > SEALED_MAX {
        let why = format!("at most {SEALED_MAX} songs are sealed at once");
        return Err(JobFault::Invalid(why).into());
    }
    let mut count = 0;
    for Witnessed { song, manifests } in songs {
        let Some(found) = find(db, *song)?.filter(|found| !found.staged) else {
            continue;
        };
        let Verdict::Unsealed(own) = judge(db, *song, found.row)? else {
            continue;
        };
        match agreement(&own, manifests) {
            Agreement::Sealed => seal::set(db, found.row, &own)?,
            Agreement::Alone => {
                log::info!("song sealed as it was found, no other data node has it song={song}");
                seal::set(db, found.row, &own)?;
            }
            Agreement::Outvoted => {
                log::warn!("song withdrawn, two data nodes describe it otherwise song={song}");
                withdraw(db, *song, found.row)?;
                count += 1;
            }
            Agreement::Open => {
                log::warn!("song not sealed, another data node describes it otherwise song={song}");
            }
        }
    }
    if count > 0 {
        count_bytes(db)?;
    }
    let overview = totals(db)?;
    Ok(JobReply::Removed { count, overview })
}

/// What the descriptions of other data nodes say of one's own.
enum Agreement {
    /// One of them is the same: two disks do not alter a song in the same way.
    Sealed,
    /// There is none.
    Alone,
    /// Two of them are the same, and not this one.
    Outvoted,
    /// Nobody can tell which of two is the right one.
    Open,
}

fn agreement(own: &Manifest, others: &[Manifest]) -> Agreement {
    let twice = |manifest: &Manifest| others.iter().filter(|other| *other == manifest).count() > 1;
    if others.contains(own) {
        Agreement::Sealed
    } else if others.is_empty() {
        Agreement::Alone
    } else if others.iter().any(twice) {
        Agreement::Outvoted
    } else {
        Agreement::Open
    }
}

/// Takes a song out of the list. Its row keeps the song's id, by which what is left is found again;
/// see [`release`].
fn withdraw(db: &Connection, song: SongId, row: i64) -> rusqlite::Result<()> {
    // The bytes that the row states cannot be trusted: they are counted anew.
    let revision = count_out(db, song, 0)?;
    note_removal(db, song, revision)?;
    hide(db, song, row)?;
    db.prepare_cached("DELETE FROM quarantine WHERE song = ?1")?
        .execute((row,))?;
    Ok(())
}

/// The `touched` of a withdrawn song whose sound does not prove it.
const HOPELESS: i64 = -2;

/// Answers [`LibraryJob::Restore`](roles::contract::job::LibraryJob::Restore).
pub(super) fn restore(db: &Store<'_>, untouched_s: u64) -> Result<JobReply, Stop> {
    let latest = clock_s().saturating_sub(sql_number(untouched_s));
    let sql = "SELECT substr(id, 9), row FROM songs
               WHERE revision IS NULL AND touched < ?1 AND touched >= ?2 LIMIT 1";
    let found = db
        .prepare_cached(sql)?
        .query_row((HOPELESS, -latest), |row| {
            Ok((song_id(row, 0)?, row.get::<_, i64>(1)?))
        });
    if let Some((song, row)) = found.optional()? {
        match find(db, song)? {
            // Somebody is bringing it.
            Some(found) if found.staged => (),
            Some(_) => release(db, song)?,
            None if is_buried(db, song)? => release(db, song)?,
            None => bring_back(db, song, row)?,
        }
    }
    let overview = totals(db)?;
    Ok(JobReply::Stored { overview })
}

/// The hash of the whole file is the song's id: if all fragments together have it, the cut is right,
/// and the hashes of the fragments are those of the bytes.
fn bring_back(db: &Store<'_>, song: SongId, row: i64) -> Result<(), Stop> {
    db.prepare_cached("UPDATE songs SET id = ?2, touched = 0 WHERE row = ?1")?
        .execute((row, song_key(song)))?;
    let Some(manifest) = proved(db, song, row)? else {
        hide(db, song, row)?;
        db.prepare_cached("UPDATE songs SET touched = ?2 WHERE row = ?1")?
            .execute((row, HOPELESS))?;
        return Ok(());
    };
    log::warn!("song restored song={song}: its tags may be wrong");
    seal::set(db, row, &manifest)?;
    publish(db, song, row)?;
    Ok(())
}

fn proved(db: &Store<'_>, song: SongId, row: i64) -> Result<Option<Manifest>, Stop> {
    match are_whole(db, row) {
        Ok(true) => hash_anew(db, row)?,
        Ok(false) => return Ok(None),
        Err(stop) if stop.is_lost() => return Ok(None),
        Err(stop) => return Err(stop),
    }
    let manifest = match manifest_of(db, row) {
        Ok(manifest) => manifest,
        Err(reason) if is_corrupt(&reason) => return Ok(None),
        Err(reason) => return Err(reason.into()),
    };
    let right = manifest.check().is_ok() && manifest.song.id == song;
    Ok(right.then_some(manifest))
}

/// Writes the hashes of fragments that have proved to be right.
fn hash_anew(db: &Store<'_>, song: i64) -> Result<(), Stop> {
    let sql = "SELECT s.number, s.length, f.row, f.segment, f.place FROM slices s
               JOIN fragments f ON f.song = s.song AND f.number = s.number WHERE s.song = ?1";
    let rows = db
        .prepare_cached(sql)?
        .query_map((song,), |row| {
            Ok((row.get(0)?, row.get(1)?, fragments::kept(row, 2)?))
        })?
        .collect::<Result<Vec<(u32, u32, fragments::Kept)>, _>>()?;
    let mut bytes = Vec::new();
    for (number, length, kept) in rows {
        fragments::load(db, &kept, length, &mut bytes)?;
        let hash = *blake3::hash(&bytes).as_bytes();
        let sql = "UPDATE slices SET hash = ?3 WHERE song = ?1 AND number = ?2 AND hash <> ?3";
        db.prepare_cached(sql)?.execute((song, number, hash))?;
    }
    Ok(())
}

/// Makes the indexes of the small tables anew where they contradict their tables. Fails if that does
/// not help: then the library must be rebuilt.
fn reindex(db: &Connection) -> Result<(), Stop> {
    for table in damaged_tables(db)? {
        db.execute_batch(&format!("REINDEX {table}"))?;
    }
    if let Some(table) = damaged_tables(db)?.first() {
        return Err(JobFault::Corrupt(format!("the table {table} is damaged")).into());
    }
    Ok(())
}

/// Counts totals and digests anew from the songs and tombstones. The library gets another identity,
/// because its feed may lack changes: the routers read all of it again.
fn count_anew(db: &Connection) -> Result<(), Stop> {
    let strange = "SELECT row FROM songs WHERE revision IS NOT NULL AND length(id) <> 16";
    let strange = db
        .prepare(strange)?
        .query_map([], |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    for row in strange {
        hide(db, SongId(0), row)?;
    }
    db.execute("DELETE FROM partitions", [])?;
    partitions::count_all(db)?;
    let mut sum = Digest::default();
    for digest in partitions::all(db)? {
        sum.count += digest.songs.count;
        sum.xor ^= digest.songs.xor;
    }
    let latest = "SELECT max(coalesce((SELECT max(revision) FROM songs), 0),
                             coalesce((SELECT max(revision) FROM removals), 0),
                             coalesce((SELECT max(revision) FROM trash), 0),
                             coalesce((SELECT max(revision) FROM documents), 0),
                             (SELECT revision FROM meta))";
    let latest = db.query_row(latest, [], |row| number(row, 0))?;
    db.execute(
        "UPDATE meta SET revision = ?1, songs = ?2, xor = ?3",
        (
            sql_number(latest),
            sql_number(sum.count),
            sum.xor.to_be_bytes(),
        ),
    )?;
    documents::count_anew(db)?;
    count_bytes(db)?;
    let totals = totals(db)?;
    let revision = advance(db, &totals)?;
    db.execute(
        "UPDATE meta SET store = ?1",
        (another(totals.store, revision),),
    )?;
    Ok(())
}

/// The identity after this one. A step of the clock between two of them makes them differ even where
/// an old copy of the file came back.
fn another(store: StoreId, revision: u64) -> i64 {
    let mut hash = blake3::Hasher::new();
    hash.update(&store.0.to_be_bytes());
    hash.update(&revision.to_be_bytes());
    hash.update(&clock_s().to_be_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize().as_bytes()[..8]);
    i64::from_be_bytes(first)
}

fn count_bytes(db: &Connection) -> rusqlite::Result<()> {
    let sql = "UPDATE meta SET bytes =
                   (SELECT coalesce(sum(bytes), 0) FROM songs WHERE revision IS NOT NULL)";
    db.execute(sql, [])?;
    Ok(())
}
