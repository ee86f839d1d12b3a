//! The sound itself: fragments in, fragments out, each checked against its slice.

use roles::contract::id::{ContentHash, SongId};
use roles::contract::job::{FragmentId, JobFault, JobReply};
use roles::contract::message::Position;
use roles::contract::song::{Fragment, Part};
use rusqlite::{Connection, OptionalExtension, Row};

use super::fault::Stop;
use super::quarantine;
use super::row::{self, number, part_code, sql_number};
use super::seal;
use super::segments::{Place, places};
use super::songs::find;
use super::store::Store;
use crate::groups;

/// Answers [`LibraryJob::ReadFragment`](roles::contract::job::LibraryJob::ReadFragment).
pub(super) fn answer(db: &Store<'_>, song: SongId, at: Position) -> Result<JobReply, Stop> {
    let row = standing(db, song)?;
    let index = match at {
        Position::Index(index) => index,
        Position::Time(ms) => index_at(db, row, ms)?,
    };
    let slice = served(db, song, row, index)?;
    match read(db, row, index, &slice) {
        Ok(bytes) => Ok(JobReply::Fragment { index, bytes }),
        Err(stop) if stop.is_lost() => Err(seal::mismatch(db, song, row)?),
        Err(stop) => Err(stop),
    }
}

/// Answers [`LibraryJob::ReadPart`](roles::contract::job::LibraryJob::ReadPart).
pub(super) fn answer_part(
    db: &Store<'_>,
    FragmentId { song, index }: FragmentId,
    part: (u32, u32),
) -> Result<JobReply, Stop> {
    let row = standing(db, song)?;
    let slice = served(db, song, row, index)?;
    let Some(groups) = groups::around(part, slice.length) else {
        let why = format!("fragment {index} has no part {part:?}");
        return Err(JobFault::Invalid(why).into());
    };
    match read_groups(db, row, index, &slice, groups) {
        Ok((values, bytes)) => Ok(JobReply::Part {
            index,
            values,
            bytes,
        }),
        Err(stop) if stop.is_lost() => Err(seal::mismatch(db, song, row)?),
        Err(stop) => Err(stop),
    }
}

/// The row of a committed song.
fn standing(db: &Connection, song: SongId) -> Result<i64, Stop> {
    let standing = find(db, song)?.filter(|found| !found.staged);
    Ok(standing.ok_or(JobFault::NotFound)?.row)
}

/// The manifest's entry for a fragment that may be served.
fn served(db: &Connection, song: SongId, row: i64, index: u32) -> Result<Fragment, Stop> {
    let slice = listed(db, song, row, index)?;
    if quarantine::holds(db, row, index)? {
        return Err(JobFault::Quarantined.into());
    }
    Ok(slice)
}

/// The values of all groups of a fragment, and the bytes from `begin` to `end`. Reads and checks only
/// these, if the values are known. They are not of a library of an earlier version, and are not
/// believed where they do not fit: then the whole is read and decides.
fn read_groups(
    store: &Store<'_>,
    song: i64,
    index: u32,
    slice: &Fragment,
    (begin, end): (u32, u32),
) -> Result<(Vec<u8>, Vec<u8>), Stop> {
    let sql = "SELECT row, segment, place, groups FROM fragments WHERE song = ?1 AND number = ?2";
    let found = store
        .prepare_cached(sql)?
        .query_row((song, index), |row| {
            Ok((kept(row, 0)?, row.get::<_, Option<Vec<u8>>>(3)?))
        })
        .optional()?;
    let (kept, values) = found.ok_or(JobFault::Damaged)?;
    let mut bytes = Vec::new();
    if let (Some(values), Some(place)) = (values, kept.place) {
        store
            .segments
            .read(place.at(begin), end - begin, &mut bytes)?;
        if groups::prove((begin, &bytes), &values, slice.length, &slice.hash) {
            return Ok((values, bytes));
        }
    }
    load_true(store, &kept, slice, &mut bytes)?;
    let values = groups::values(&bytes);
    bytes.truncate(end as usize);
    bytes.drain(..begin as usize);
    Ok((values, bytes))
}

/// The manifest's entry for a fragment of a song. An entry that should be there is damage.
pub(super) fn listed(
    db: &Connection,
    song: SongId,
    row: i64,
    index: u32,
) -> Result<Fragment, Stop> {
    if let Some(slice) = slice(db, row, index)? {
        return Ok(slice);
    }
    let count = "SELECT fragments FROM songs WHERE row = ?1";
    let count: i64 = db
        .prepare_cached(count)?
        .query_row((row,), |row| row.get(0))?;
    if i64::from(index) < count {
        let how = format!("fragment {index} is not listed");
        return Err(seal::altered(song, &how));
    }
    Err(JobFault::NotFound.into())
}

/// The rule of [`Manifest::index_at`](roles::contract::song::Manifest::index_at), without
/// reading the whole manifest.
fn index_at(db: &Connection, song: i64, ms: u32) -> rusqlite::Result<u32> {
    let sql = "SELECT number FROM slices WHERE song = ?1 AND part = ?2 AND start_ms <= ?3
               ORDER BY number DESC LIMIT 1";
    let found = db
        .prepare_cached(sql)?
        .query_row((song, part_code(Part::Audio), ms), |row| row.get(0));
    Ok(found.optional()?.unwrap_or(0))
}

/// The manifest's entry for a fragment.
pub(super) fn slice(db: &Connection, song: i64, index: u32) -> rusqlite::Result<Option<Fragment>> {
    let sql = "SELECT length, start_ms, part, hash FROM slices WHERE song = ?1 AND number = ?2";
    let found = db.prepare_cached(sql)?.query_row((song, index), row::slice);
    found.optional()
}

/// Whether the bytes have the length and the hash of the manifest's entry.
pub(super) fn is_true(slice: &Fragment, bytes: &[u8]) -> bool {
    bytes.len() == slice.length as usize && hash_of(bytes) == slice.hash
}

fn hash_of(bytes: &[u8]) -> ContentHash {
    ContentHash(*blake3::hash(bytes).as_bytes())
}

/// A fragment that is here.
pub(super) struct Kept {
    /// Its row.
    pub(super) row: i64,
    /// Where its bytes lie; none: in the row.
    pub(super) place: Option<Place>,
}

/// Reads row, segment and place of a fragment from this column and the next two.
pub(super) fn kept(row: &Row<'_>, column: usize) -> rusqlite::Result<Kept> {
    let segment: Option<u32> = row.get(column + 1)?;
    let place = match segment {
        Some(segment) => {
            let begin = number(row, column + 2)?;
            Some(Place { segment, begin })
        }
        None => None,
    };
    let row = row.get(column)?;
    Ok(Kept { row, place })
}

/// The fragment with this index, if it is here.
pub(super) fn find_kept(db: &Connection, song: i64, index: u32) -> rusqlite::Result<Option<Kept>> {
    let sql = "SELECT row, segment, place FROM fragments WHERE song = ?1 AND number = ?2";
    db.prepare_cached(sql)?
        .query_row((song, index), |row| kept(row, 0))
        .optional()
}

/// A fragment's bytes, read into a buffer of their size. Bytes that do not match the manifest are
/// never returned, because a disk may return other bytes than were written.
pub(super) fn read(
    store: &Store<'_>,
    song: i64,
    index: u32,
    slice: &Fragment,
) -> Result<Vec<u8>, Stop> {
    let kept = find_kept(store, song, index)?.ok_or(JobFault::Damaged)?;
    let mut bytes = Vec::new();
    load_true(store, &kept, slice, &mut bytes)?;
    Ok(bytes)
}

/// Reads a fragment into `bytes`. One that does not match the manifest is `Damaged`.
pub(super) fn load_true(
    store: &Store<'_>,
    kept: &Kept,
    slice: &Fragment,
    bytes: &mut Vec<u8>,
) -> Result<(), Stop> {
    load(store, kept, slice.length, bytes)?;
    if !is_true(slice, bytes) {
        return Err(JobFault::Damaged.into());
    }
    Ok(())
}

/// Reads a fragment into `bytes`. One of another length is `Damaged`, before any allocation.
pub(super) fn load(
    store: &Store<'_>,
    kept: &Kept,
    length: u32,
    bytes: &mut Vec<u8>,
) -> Result<(), Stop> {
    if let Some(place) = kept.place {
        return Ok(store.segments.read(place, length, bytes)?);
    }
    let blob = store.blob_open("main", "fragments", "data", kept.row, true)?;
    if blob.len() != length as usize {
        return Err(JobFault::Damaged.into());
    }
    bytes.resize(blob.len(), 0);
    blob.read_at_exact(bytes, 0)?;
    Ok(())
}

/// Bytes that are those of a fragment, with the chaining values of its groups.
pub(super) struct Checked<'a> {
    bytes: &'a [u8],
    values: Vec<u8>,
}

impl Checked<'_> {
    /// These bytes, if they have the length and the hash of the manifest's entry.
    pub(super) fn by<'a>(slice: &Fragment, bytes: &'a [u8]) -> Option<Checked<'a>> {
        if bytes.len() != slice.length as usize {
            return None;
        }
        let (hash, values) = groups::hash_and_values(bytes);
        (hash == slice.hash).then_some(Checked { bytes, values })
    }
}

/// Stores a fragment. A fragment that is stored already stays unchanged.
pub(super) fn insert(
    store: &Store<'_>,
    song: i64,
    index: u32,
    sound: &Checked<'_>,
) -> Result<(), Stop> {
    if find_kept(store, song, index)?.is_some() {
        return Ok(());
    }
    put(store, song, index, sound)
}

/// Stores a fragment that is not here yet.
pub(super) fn put(
    store: &Store<'_>,
    song: i64,
    index: u32,
    Checked { bytes, values }: &Checked<'_>,
) -> Result<(), Stop> {
    let place = places::append(store, bytes)?;
    let inside: &[u8] = if place.is_none() { bytes } else { &[] };
    let (segment, begin) = place
        .map(|place| (place.segment, sql_number(place.begin)))
        .unzip();
    let sql = "INSERT INTO fragments (song, number, data, segment, place, groups)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    store
        .prepare_cached(sql)?
        .execute((song, index, inside, segment, begin, values))?;
    Ok(())
}

/// The missing fragments of a song as half-open index ranges, in order.
pub(super) fn missing(db: &Connection, song: i64) -> rusqlite::Result<Vec<(u32, u32)>> {
    let sql = "SELECT number FROM slices WHERE song = ?1
               EXCEPT SELECT number FROM fragments WHERE song = ?1
               ORDER BY number";
    let mut statement = db.prepare_cached(sql)?;
    let indexes = statement.query_map((song,), |row| row.get(0))?;
    Ok(ranges(indexes.collect::<Result<Vec<u32>, _>>()?))
}

/// Turns sorted indexes into half-open ranges.
pub(super) fn ranges(indexes: Vec<u32>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for index in indexes {
        match ranges.last_mut() {
            Some((_, end)) if *end == index => *end = index.saturating_add(1),
            _ => ranges.push((index, index.saturating_add(1))),
        }
    }
    ranges
}

/// Whether all fragments in order have the hash of the whole file. Holds one fragment in memory.
pub(super) fn are_whole(store: &Store<'_>, song: i64) -> Result<bool, Stop> {
    let sql = "SELECT s.length, f.row, f.segment, f.place FROM slices s
               JOIN fragments f ON f.song = s.song AND f.number = s.number
               WHERE s.song = ?1 ORDER BY s.number";
    let mut whole = blake3::Hasher::new();
    let mut bytes = Vec::new();
    let mut statement = store.prepare_cached(sql)?;
    let mut rows = statement.query((song,))?;
    while let Some(row) = rows.next()? {
        match load(store, &kept(row, 1)?, row.get(0)?, &mut bytes) {
            Ok(()) => whole.update(&bytes),
            Err(Stop::Fault(JobFault::Damaged)) => return Ok(false),
            Err(stop) => return Err(stop),
        };
    }
    let sql = "SELECT hash FROM songs WHERE row = ?1";
    let hash: [u8; 32] = store
        .prepare_cached(sql)?
        .query_row((song,), |row| row.get(0))?;
    Ok(whole.finalize() == hash)
}

/// Removes the fragments that do not match the manifest. After a power cut these may be fragments
/// whose rows were on the disk before their bytes.
pub(super) fn forget_damaged(store: &Store<'_>, song: i64) -> Result<(), Stop> {
    let sql = "SELECT s.length, s.start_ms, s.part, s.hash, f.row, f.segment, f.place
               FROM slices s JOIN fragments f ON f.song = s.song AND f.number = s.number
               WHERE s.song = ?1";
    let all = store
        .prepare_cached(sql)?
        .query_map((song,), |row| Ok((row::slice(row)?, kept(row, 4)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    let mut bytes = Vec::new();
    for (slice, kept) in all {
        match load_true(store, &kept, &slice, &mut bytes) {
            Err(Stop::Fault(JobFault::Damaged)) => places::forget(store, kept.row)?,
            loaded => loaded?,
        }
    }
    Ok(())
}
