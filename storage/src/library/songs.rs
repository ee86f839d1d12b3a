//! Lists committed songs, and finds songs and their manifests by id.

use roles::contract::id::{ContentHash, SongId};
use roles::contract::job::JobReply;
use roles::contract::limits::{PAGE_BYTES_MAX, PAGE_SONGS_MAX};
use roles::contract::song::{Fragment, Manifest};
use rusqlite::{Connection, OptionalExtension};

use super::fault::Stop;
use super::row::{self, SONG_COLUMNS, song_columns};

/// Answers [`LibraryJob::Songs`](roles::contract::job::LibraryJob::Songs).
pub(super) fn page(db: &Connection, after: Option<SongId>, limit: u32) -> Result<JobReply, Stop> {
    const FIRST: &str = concat!(
        "SELECT ",
        song_columns!(),
        " FROM songs WHERE revision IS NOT NULL",
        " AND NOT EXISTS (SELECT 1 FROM trash WHERE song = id AND thrown = 1)",
        " ORDER BY id LIMIT ?1"
    );
    const NEXT: &str = concat!(
        "SELECT ",
        song_columns!(),
        " FROM songs WHERE revision IS NOT NULL AND id > ?2",
        " AND NOT EXISTS (SELECT 1 FROM trash WHERE song = id AND thrown = 1)",
        " ORDER BY id LIMIT ?1"
    );
    let mut page = Page::of(limit);
    let mut statement = db.prepare_cached(if after.is_some() { NEXT } else { FIRST })?;
    let mut rows = match after {
        None => statement.query((page.rows(),))?,
        Some(after) => statement.query((page.rows(), row::song_key(after)))?,
    };
    while let Some(row) = rows.next()? {
        let song = row::song(row)?;
        let bytes = song.page_bytes();
        if !page.push(song, bytes) {
            break;
        }
    }
    Ok(JobReply::Songs {
        songs: page.items,
        more: page.more,
    })
}

/// A page of a list while it is filled. It ends at its limit of items or at the bytes that a
/// message holds.
pub(super) struct Page<T> {
    /// The items on the page.
    pub(super) items: Vec<T>,
    /// Whether an item did not fit.
    pub(super) more: bool,
    bytes: usize,
    limit: usize,
}

impl<T> Page<T> {
    /// An empty page for at most `limit` items.
    pub(super) fn of(limit: u32) -> Self {
        Page {
            items: Vec::new(),
            more: false,
            bytes: 0,
            limit: PAGE_SONGS_MAX.min(limit as usize),
        }
    }

    /// Rows to ask the database for: one more than the limit, to know whether more follow.
    pub(super) fn rows(&self) -> i64 {
        self.limit as i64 + 1
    }

    /// Adds an item of this size in bytes. If the item does not fit, sets `more` and returns false.
    pub(super) fn push(&mut self, item: T, bytes: usize) -> bool {
        let fits = self.items.len() < self.limit && self.bytes + bytes <= PAGE_BYTES_MAX;
        if fits {
            self.items.push(item);
            self.bytes += bytes;
        }
        self.more |= !fits;
        fits
    }
}

/// A song that is here, committed or staged.
#[derive(Clone, Copy)]
pub(super) struct Found {
    /// Its key in the other tables.
    pub(super) row: i64,
    /// Whether the song is not committed. A staged song appears in no list and cannot be read.
    pub(super) staged: bool,
}

/// The committed or staged song with this id.
pub(super) fn find(db: &Connection, song: SongId) -> rusqlite::Result<Option<Found>> {
    let sql = "SELECT row, revision IS NULL FROM songs WHERE id = ?1";
    let found = db
        .prepare_cached(sql)?
        .query_row((row::song_key(song),), |row| {
            Ok(Found {
                row: row.get(0)?,
                staged: row.get(1)?,
            })
        });
    found.optional()
}

/// The manifest as the upload gave it.
pub(super) fn manifest(db: &Connection, row: i64) -> rusqlite::Result<Manifest> {
    const SQL: &str = concat!(
        "SELECT ",
        song_columns!(),
        ", hash, sample_rate, channels, picture, prefix_kind, prefix",
        " FROM songs WHERE row = ?1"
    );
    let fragments = slices(db, row)?;
    db.prepare_cached(SQL)?.query_row((row,), |row| {
        Ok(Manifest {
            song: row::song(row)?,
            hash: ContentHash(row.get(SONG_COLUMNS)?),
            sample_rate: row.get(SONG_COLUMNS + 1)?,
            channels: row.get(SONG_COLUMNS + 2)?,
            picture: row.get(SONG_COLUMNS + 3)?,
            prefix: row::prefix(row, SONG_COLUMNS + 4)?,
            fragments,
        })
    })
}

fn slices(db: &Connection, song: i64) -> rusqlite::Result<Vec<Fragment>> {
    let sql = "SELECT length, start_ms, part, hash FROM slices WHERE song = ?1 ORDER BY number";
    db.prepare_cached(sql)?
        .query_map((song,), row::slice)?
        .collect()
}
