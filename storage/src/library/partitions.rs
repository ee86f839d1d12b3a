//! The songs and tombstones of each partition of the hash ring: running digests, and pages of ids.
//!
//! A partition has a row while it holds a song or a tombstone. A transaction that changes the songs
//! also changes the row. Comparing two nodes therefore reads at most 4096 rows, however many songs
//! the nodes hold.

use std::collections::BTreeMap;

use roles::contract::id::SongId;
use roles::contract::job::{JobReply, PartitionDigest};
use roles::contract::limits::PAGE_IDS_MAX;
use roles::contract::message::Digest;
use roles::contract::partition::Partition;
use rusqlite::{Connection, OptionalExtension, Row};

use super::fault::Stop;
use super::row::{digest, number, song_id, song_key, sql_number};

/// Answers [`LibraryJob::PartitionDigests`](roles::contract::job::LibraryJob::PartitionDigests).
pub(super) fn digests(db: &Connection) -> Result<JobReply, Stop> {
    let digests = all(db)?;
    Ok(JobReply::PartitionDigests { digests })
}

/// The digests of all partitions that hold anything, in order.
pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<PartitionDigest>> {
    let sql = "SELECT songs, xor, removed, removed_xor, number FROM partitions ORDER BY number";
    db.prepare_cached(sql)?
        .query_map([], |row| {
            let given: u16 = row.get(4)?;
            let partition = Partition::from_number(given)
                .ok_or(rusqlite::Error::IntegralValueOutOfRange(4, given.into()))?;
            Ok(PartitionDigest {
                partition,
                ..both(row, partition)?
            })
        })?
        .collect()
}

/// Reads a partition's two digests from the first four columns.
fn both(row: &Row<'_>, partition: Partition) -> rusqlite::Result<PartitionDigest> {
    Ok(PartitionDigest {
        partition,
        songs: digest(row, 0)?,
        tombstones: digest(row, 2)?,
    })
}

/// Changes the digests of the partition in which `song` lies.
pub(super) fn change(
    db: &Connection,
    song: SongId,
    change: impl FnOnce(&mut PartitionDigest),
) -> rusqlite::Result<()> {
    let partition = Partition::of(song);
    let sql = "SELECT songs, xor, removed, removed_xor FROM partitions WHERE number = ?1";
    let found = db
        .prepare_cached(sql)?
        .query_row((partition.number(),), |row| both(row, partition))
        .optional()?;
    let mut digest = found.unwrap_or_else(|| empty(partition));
    change(&mut digest);
    write(db, &digest)
}

fn empty(partition: Partition) -> PartitionDigest {
    PartitionDigest {
        partition,
        songs: Digest::default(),
        tombstones: Digest::default(),
    }
}

fn write(db: &Connection, digest: &PartitionDigest) -> rusqlite::Result<()> {
    let PartitionDigest {
        partition,
        songs,
        tombstones,
    } = digest;
    if (songs.count, tombstones.count) == (0, 0) {
        let sql = "DELETE FROM partitions WHERE number = ?1";
        db.prepare_cached(sql)?.execute((partition.number(),))?;
        return Ok(());
    }
    let sql = "INSERT OR REPLACE INTO partitions (number, songs, xor, removed, removed_xor)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    db.prepare_cached(sql)?.execute((
        partition.number(),
        sql_number(songs.count),
        songs.xor.to_be_bytes(),
        sql_number(tombstones.count),
        tombstones.xor.to_be_bytes(),
    ))?;
    Ok(())
}

/// Computes the digests from the songs and tombstones themselves. Reads all of their ids.
pub(super) fn counted(db: &Connection) -> rusqlite::Result<Vec<PartitionDigest>> {
    let mut counted = BTreeMap::new();
    let mut add = |song: SongId, change: fn(&mut PartitionDigest, SongId)| {
        let partition = Partition::of(song);
        let digest = counted.entry(partition).or_insert_with(|| empty(partition));
        change(digest, song);
    };
    each_id(
        db,
        "SELECT id FROM songs WHERE revision IS NOT NULL",
        |song| {
            add(song, |digest, song| digest.songs.insert(song));
        },
    )?;
    each_id(db, "SELECT song FROM tombstones", |song| {
        add(song, |digest, song| digest.tombstones.insert(song));
    })?;
    Ok(counted.into_values().collect())
}

fn each_id(db: &Connection, sql: &str, mut each: impl FnMut(SongId)) -> rusqlite::Result<()> {
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(song_id(row, 0)?);
    }
    Ok(())
}

/// Computes and writes the running digests: the part of a migration that SQL cannot do.
pub(super) fn count_all(db: &Connection) -> rusqlite::Result<()> {
    let mut removed = Digest::default();
    for digest in counted(db)? {
        removed.count += digest.tombstones.count;
        removed.xor ^= digest.tombstones.xor;
        write(db, &digest)?;
    }
    db.execute(
        "UPDATE meta SET removed = ?1, removed_xor = ?2",
        (sql_number(removed.count), removed.xor.to_be_bytes()),
    )?;
    Ok(())
}

/// Answers [`LibraryJob::PartitionSongs`](roles::contract::job::LibraryJob::PartitionSongs). Songs and tombstones
/// share one limit, so that a page ends both lists at the same id.
pub(super) fn songs(
    db: &Connection,
    partition: Partition,
    after: Option<SongId>,
    limit: u32,
) -> Result<JobReply, Stop> {
    let sql = "SELECT id, 0 FROM songs
               WHERE revision IS NOT NULL AND id >= ?1 AND id <= ?2 AND id > ?3
               UNION ALL
               SELECT song, 1 FROM tombstones WHERE song >= ?1 AND song <= ?2 AND song > ?3
               ORDER BY 1 LIMIT ?4";
    let limit = PAGE_IDS_MAX.min(limit as usize);
    let bounds = [partition.first(), partition.last()].map(song_key);
    // An empty blob sorts before every id.
    let after = after.map(song_key);
    let after: &[u8] = after.as_ref().map_or(&[], |key| key);
    let mut statement = db.prepare_cached(sql)?;
    let rows = (limit as i64).saturating_add(1);
    let mut rows = statement.query((bounds[0], bounds[1], after, rows))?;
    let (mut songs, mut tombstones, mut last) = (Vec::new(), Vec::new(), None);
    while let Some(row) = rows.next()? {
        if songs.len() + tombstones.len() == limit {
            return Ok(page(songs, tombstones, last));
        }
        let id = song_id(row, 0)?;
        let removed = number(row, 1)? == 1;
        (if removed { &mut tombstones } else { &mut songs }).push(id);
        last = Some(id);
    }
    Ok(page(songs, tombstones, None))
}

fn page(songs: Vec<SongId>, tombstones: Vec<SongId>, next: Option<SongId>) -> JobReply {
    JobReply::PartitionSongs {
        songs,
        tombstones,
        next,
    }
}
