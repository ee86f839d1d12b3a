//! The further tags of songs, read from the fragments that are here and stored beside the songs.
//!
//! Each song's tags carry the version of the reader that read them: a later version reads them
//! again. They have revisions of their own, so that a router follows them as it follows the songs.

use roles::contract::job::JobReply;
use roles::contract::limits::{TAGGED_BYTES_MAX, TAGGED_LOOKED_AT_MAX, TAGGED_SONGS_MAX};
use roles::contract::song::Manifest;
use roles::contract::tags::MoreTags;
use rusqlite::types::Type;
use rusqlite::{Connection, Row};

use super::fault::Stop;
use super::fragments;
use super::quarantine;
use super::row::{number, song_id, sql_number};
use super::seal::{Verdict, judge};
use super::songs::Page;
use super::store::Store;
use super::totals::totals;
use crate::tags::{self, Edges, READER};

/// Answers [`LibraryJob::ReadTags`](roles::contract::job::LibraryJob::ReadTags). A song of which a fragment
/// cannot be had is passed over.
pub(super) fn step(db: &Store<'_>, after: u64) -> Result<JobReply, Stop> {
    let songs = committed_after(db, after)?;
    let (mut seen, mut read, mut passed, mut bytes) = (after, 0, 0, 0);
    let mut all = songs.len() < TAGGED_LOOKED_AT_MAX;
    for (row, id, revision) in songs {
        if read >= TAGGED_SONGS_MAX || bytes >= TAGGED_BYTES_MAX {
            all = false;
            break;
        }
        seen = revision;
        if is_read(db, row)? {
            continue;
        }
        let said = judge(db, id, row)?;
        let (Verdict::True(manifest) | Verdict::Unsealed(manifest)) = said else {
            passed += 1;
            continue;
        };
        let (tags, loaded) = tags_of(db, row, &manifest);
        bytes += loaded;
        match tags {
            Some(tags) => {
                read += 1;
                store(db, row, &tags)?;
            }
            None => passed += 1,
        }
    }
    let overview = totals(db)?;
    Ok(JobReply::TagsRead {
        store: overview.store,
        after: seen,
        more: !all,
        passed,
        tags: overview.tags,
    })
}

type Candidate = (i64, roles::contract::id::SongId, u64);

fn committed_after(db: &Connection, after: u64) -> rusqlite::Result<Vec<Candidate>> {
    let sql = "SELECT row, id, revision FROM songs WHERE revision > ?1 ORDER BY revision LIMIT ?2";
    let most = TAGGED_LOOKED_AT_MAX as i64;
    let candidate = |row: &Row<'_>| Ok((row.get(0)?, song_id(row, 1)?, number(row, 2)?));
    db.prepare_cached(sql)?
        .query_map((sql_number(after), most), candidate)?
        .collect()
}

fn is_read(db: &Connection, row: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM tags WHERE song = ?1 AND reader >= ?2";
    db.prepare_cached(sql)?.exists((row, READER))
}

/// The tags in a song's fragments, and how many bytes were read for them.
fn tags_of(db: &Store<'_>, row: i64, manifest: &Manifest) -> (Option<MoreTags>, u64) {
    let mut file = Edges::of(manifest, |index| {
        let slice = manifest.fragments.get(index as usize)?;
        if quarantine::holds(db, row, index).ok()? {
            return None;
        }
        fragments::read(db, row, index, slice).ok()
    });
    let tags = tags::more(&mut file, manifest.song.format);
    ((!file.lacks).then_some(tags), file.loaded)
}

fn store(db: &Connection, row: i64, tags: &MoreTags) -> Result<(), Stop> {
    let revision = totals(db)?.tags.saturating_add(1);
    db.prepare_cached("UPDATE meta SET tags = ?1")?
        .execute((sql_number(revision),))?;
    let sql = "INSERT OR REPLACE INTO tags (song, reader, revision, body) VALUES (?1, ?2, ?3, ?4)";
    db.prepare_cached(sql)?
        .execute((row, READER, sql_number(revision), encoded(tags)))?;
    Ok(())
}

/// Answers [`LibraryJob::TagChanges`](roles::contract::job::LibraryJob::TagChanges).
pub(super) fn page(db: &Connection, since: u64, limit: u32) -> Result<JobReply, Stop> {
    // What a committed song was touched by last is the upload that brought it.
    let sql = "SELECT songs.id, tags.body, tags.revision, songs.revision, max(songs.touched, 0)
               FROM tags JOIN songs ON songs.row = tags.song
               WHERE tags.revision > ?1 AND songs.revision IS NOT NULL
               ORDER BY tags.revision LIMIT ?2";
    let mut page = Page::of(limit);
    let (mut revision, mut needs, mut added) = (since, 0, Vec::new());
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query((sql_number(since), page.rows()))?;
    while let Some(row) = rows.next()? {
        let tags = decoded(row, 1)?;
        let bytes = tags.page_bytes();
        if !page.push((song_id(row, 0)?, tags), bytes) {
            break;
        }
        added.push(u32::try_from(number(row, 4)?).unwrap_or(0));
        revision = number(row, 2)?;
        needs = needs.max(number(row, 3)?);
    }
    if !page.more {
        // The songs of the latest revisions may have left.
        revision = totals(db)?.tags.max(since);
    }
    Ok(JobReply::Tags {
        songs: page.items,
        revision,
        needs,
        added,
    })
}

fn encoded(tags: &MoreTags) -> Vec<u8> {
    let encoded = bincode::encode_to_vec(tags, bincode::config::standard());
    // Encoding into memory has no way to fail; nothing is what a song without tags has.
    encoded.unwrap_or_default()
}

fn decoded(row: &Row<'_>, column: usize) -> rusqlite::Result<MoreTags> {
    let body = row.get_ref(column)?.as_blob()?;
    let config = bincode::config::standard().with_limit::<BODY_BYTES_MAX>();
    let decoded = bincode::decode_from_slice::<MoreTags, _>(body, config);
    decoded.map(|(tags, _)| tags).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, error.into())
    })
}

/// The tags of a song. Any change of the song's revision, such as its commit or its return after
/// damage, has them read again, so that every router hears of them once more.
pub(super) const TABLES: &str = "
    CREATE TABLE tags (
        song        INTEGER PRIMARY KEY REFERENCES songs (row) ON DELETE CASCADE,
        reader      INTEGER NOT NULL,
        revision    INTEGER NOT NULL UNIQUE,
        body        BLOB    NOT NULL
    ) STRICT;

    CREATE TRIGGER tags_anew AFTER UPDATE OF revision ON songs BEGIN
        DELETE FROM tags WHERE song = NEW.row;
    END;

    ALTER TABLE meta ADD COLUMN tags INTEGER NOT NULL DEFAULT 0;
";

/// Most bytes that the tags of one song may decode to: far above their bound.
const BODY_BYTES_MAX: usize = 64 * 1024;
