//! Tables checked against each other: structure, counts, digests, tombstones.

use std::collections::BTreeMap;

use roles::contract::message::Digest;
use rusqlite::Connection;

use super::super::fault::Stop;
use super::super::row::{number, song_id};
use super::super::{documents as listeners, partitions as digests, totals};
use super::{Depth, Finding, Report};

/// One part of the check.
pub(super) type Check = fn(&Connection, &mut Report) -> Result<(), Stop>;

/// Lets SQLite check the database. A quick check leaves out the table with the sound.
pub(super) fn structure(db: &Connection, depth: Depth, report: &mut Report) -> Result<(), Stop> {
    if depth == Depth::Whole {
        return ask(db, "PRAGMA integrity_check", report);
    }
    for table in SMALL_TABLES {
        ask(db, &format!("PRAGMA integrity_check({table})"), report)?;
    }
    Ok(())
}

/// The tables, all but the one with the sound, in which SQLite finds something wrong.
pub(super) fn damaged(db: &Connection) -> Result<Vec<&'static str>, Stop> {
    let mut damaged = Vec::new();
    for table in SMALL_TABLES {
        let mut report = Report::default();
        ask(db, &format!("PRAGMA integrity_check({table})"), &mut report)?;
        if !report.is_clean() {
            damaged.push(table);
        }
    }
    Ok(damaged)
}

/// All tables but the one with the sound.
const SMALL_TABLES: [&str; 13] = [
    "meta",
    "segments",
    "freed",
    "songs",
    "slices",
    "removals",
    "tombstones",
    "trash",
    "partitions",
    "quarantine",
    "copies_due",
    "documents",
    "document_buckets",
];

fn ask(db: &Connection, sql: &str, report: &mut Report) -> Result<(), Stop> {
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let said: String = row.get(0)?;
        if said != "ok" {
            report.find(Finding::Structure(said));
        }
    }
    Ok(())
}

/// Counts songs, fragments, bytes, tombstones and copies due.
pub(super) fn count(db: &Connection, report: &mut Report) -> Result<(), Stop> {
    let sql = "SELECT count(*) FILTER (WHERE revision IS NOT NULL),
                      coalesce(sum(fragments) FILTER (WHERE revision IS NOT NULL), 0),
                      coalesce(sum(bytes) FILTER (WHERE revision IS NOT NULL), 0),
                      count(*) FILTER (WHERE revision IS NULL AND touched >= 0),
                      count(*) FILTER (WHERE revision IS NULL AND touched < 0),
                      (SELECT count(*) FROM tombstones),
                      (SELECT count(*) FROM copies_due),
                      (SELECT scrubbed_at FROM meta)
               FROM songs";
    db.query_row(sql, [], |row| {
        report.songs = number(row, 0)?;
        report.fragments = number(row, 1)?;
        report.bytes = number(row, 2)?;
        report.staged = number(row, 3)?;
        report.leaving = number(row, 4)?;
        report.tombstones = number(row, 5)?;
        report.copies_due = number(row, 6)?;
        report.scrubbed_at = row.get(7)?;
        Ok(())
    })?;
    Ok(())
}

/// Looks for rows that belong to nothing.
pub(super) fn strays(db: &Connection, report: &mut Report) -> Result<(), Stop> {
    for (what, sql) in STRAYS {
        let rows = db.query_row(sql, [], |row| number(row, 0))?;
        if rows > 0 {
            report.find(Finding::Stray { what, rows });
        }
    }
    Ok(())
}

/// None of these queries reads the sound: indexes answer them.
const STRAYS: [(&str, &str); 4] = [
    (
        "fragments belong to no song",
        "SELECT count(*) FROM fragments WHERE song NOT IN (SELECT row FROM songs)",
    ),
    (
        "fragments stand in no manifest",
        "SELECT count(*) FROM fragments f WHERE song IN (SELECT row FROM songs) AND NOT EXISTS
             (SELECT 1 FROM slices s WHERE s.song = f.song AND s.number = f.number)",
    ),
    (
        "lines of manifests belong to no song",
        "SELECT count(*) FROM slices WHERE song NOT IN (SELECT row FROM songs)",
    ),
    (
        "fragments set aside stand in no manifest",
        "SELECT count(*) FROM quarantine q WHERE NOT EXISTS
             (SELECT 1 FROM slices s WHERE s.song = q.song AND s.number = q.number)",
    ),
];

/// Compares the stored totals with totals computed from the songs and tombstones.
pub(super) fn totals(db: &Connection, report: &mut Report) -> Result<(), Stop> {
    let noted = totals::totals(db)?;
    let (mut songs, mut tombstones) = (Digest::default(), Digest::default());
    for digest in digests::counted(db)? {
        add(&mut songs, digest.songs);
        add(&mut tombstones, digest.tombstones);
    }
    let sql = "SELECT max(coalesce((SELECT max(revision) FROM songs), 0),
                          coalesce((SELECT max(revision) FROM removals), 0),
                          coalesce((SELECT max(revision) FROM trash), 0),
                          coalesce((SELECT max(revision) FROM documents), 0))";
    let latest = db.query_row(sql, [], |row| number(row, 0))?;
    let wrong = [
        ("the number of songs", noted.digest.count != songs.count),
        ("the digest of the songs", noted.digest.xor != songs.xor),
        ("the number of bytes", noted.bytes != report.bytes),
        (
            "the number or digest of tombstones",
            noted.tombstones != tombstones,
        ),
        ("the latest revision", noted.revision < latest),
    ];
    for (what, _) in wrong.into_iter().filter(|(_, wrong)| *wrong) {
        report.find(Finding::Total { what });
    }
    Ok(())
}

fn add(sum: &mut Digest, part: Digest) {
    sum.count += part.count;
    sum.xor ^= part.xor;
}

/// Compares the running digests with digests computed from the songs and tombstones.
pub(super) fn partitions(db: &Connection, report: &mut Report) -> Result<(), Stop> {
    let mut running = BTreeMap::new();
    for digest in digests::all(db)? {
        running.insert(digest.partition, digest);
    }
    for counted in digests::counted(db)? {
        let partition = counted.partition;
        if running.remove(&partition) != Some(counted) {
            report.find(Finding::Digest { partition });
        }
    }
    for partition in running.into_keys() {
        report.find(Finding::Digest { partition });
    }
    Ok(())
}

/// Looks for songs that are here although they have a tombstone.
pub(super) fn tombstones(db: &Connection, report: &mut Report) -> Result<(), Stop> {
    let sql = "SELECT id FROM songs JOIN tombstones ON song = id ORDER BY id";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let song = song_id(row, 0)?;
        report.find(Finding::Risen { song });
    }
    Ok(())
}

/// Looks at what listeners have written: each document by its digest, and all of them by their buckets.
pub(super) fn documents(db: &Connection, report: &mut Report) -> Result<(), Stop> {
    if let Some(what) = listeners::wrong(db)? {
        report.find(Finding::Total { what });
    }
    Ok(())
}
