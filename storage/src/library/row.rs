//! Converts songs and slices to rows and back. A row with content that no version writes gives an
//! error, never a panic.

use std::time::{SystemTime, UNIX_EPOCH};

use roles::contract::id::{ContentHash, NodeId, SongId};
use roles::contract::job::FragmentId;
use roles::contract::message::Digest;
use roles::contract::song::{DecoderPrefix, Format, Fragment, Part, Song};
use rusqlite::Row;
use rusqlite::types::Type;

/// A song's id as the database stores it.
pub(super) fn song_key(song: SongId) -> [u8; 16] {
    song.0.to_be_bytes()
}

/// A node's id as the database stores it.
pub(super) fn node_key(node: NodeId) -> [u8; 16] {
    node.0.to_be_bytes()
}

/// Reads a column that [`song_key`] wrote.
pub(super) fn song_id(row: &Row<'_>, column: usize) -> rusqlite::Result<SongId> {
    Ok(SongId(u128::from_be_bytes(row.get(column)?)))
}

/// Reads a column that [`node_key`] wrote.
pub(super) fn node_id(row: &Row<'_>, column: usize) -> rusqlite::Result<NodeId> {
    Ok(NodeId(u128::from_be_bytes(row.get(column)?)))
}

/// Reads a count of bytes or songs, or a revision.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// Reads a count and the exclusive or of as many ids, from this column and the next.
pub(super) fn digest(row: &Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    Ok(Digest {
        count: number(row, column)?,
        xor: u128::from_be_bytes(row.get(column + 1)?),
    })
}

/// A number as the database stores it. SQL integers end below 2^63, far above every count here.
pub(super) fn sql_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Seconds since 1970 by the system's clock, the only clock that continues across a restart. If
/// the clock jumps, uploads are swept early or late. A client whose upload was swept starts again.
pub(super) fn clock_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| sql_number(since.as_secs()))
}

/// Reads a fragment's song and index from this column and the next, if there is one.
pub(super) fn fragment_id(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<FragmentId>> {
    let Some(key) = row.get::<_, Option<[u8; 16]>>(column)? else {
        return Ok(None);
    };
    let song = SongId(u128::from_be_bytes(key));
    let index: u32 = row.get(column + 1)?;
    Ok(Some(FragmentId { song, index }))
}

/// The columns that [`song`] reads, in its order.
macro_rules! song_columns {
    () => {
        "id, title, artist, album, genre, year, disc, track, duration_ms, bytes, format, fragments"
    };
}
pub(super) use song_columns;

/// How many columns [`song`] reads. Further columns of a statement begin at this index.
pub(super) const SONG_COLUMNS: usize = 12;

/// Reads a song with its tags.
pub(super) fn song(row: &Row<'_>) -> rusqlite::Result<Song> {
    let format: String = row.get(10)?;
    Ok(Song {
        id: song_id(row, 0)?,
        title: row.get(1)?,
        artist: row.get(2)?,
        album: row.get(3)?,
        genre: row.get(4)?,
        year: row.get(5)?,
        disc: row.get(6)?,
        track: row.get(7)?,
        duration_ms: row.get(8)?,
        bytes: number(row, 9)?,
        format: Format::from_name(&format).ok_or_else(|| strange(10, "a song's format"))?,
        fragments: row.get(11)?,
    })
}

/// Reads length, start, part and hash of a slice.
pub(super) fn slice(row: &Row<'_>) -> rusqlite::Result<Fragment> {
    Ok(Fragment {
        length: row.get(0)?,
        start_ms: row.get(1)?,
        part: part(row, 2)?,
        hash: ContentHash(row.get(3)?),
    })
}

/// The number of a part in the database. It never changes, even if the enum's order does.
pub(super) fn part_code(part: Part) -> u8 {
    match part {
        Part::Head => 0,
        Part::Audio => 1,
        Part::Tail => 2,
    }
}

fn part(row: &Row<'_>, column: usize) -> rusqlite::Result<Part> {
    let code: i64 = row.get(column)?;
    match code {
        0 => Ok(Part::Head),
        1 => Ok(Part::Audio),
        2 => Ok(Part::Tail),
        _ => Err(strange(column, "a slice's part")),
    }
}

/// Kind and bytes of a decoder prefix in the database.
pub(super) fn prefix_code(prefix: &DecoderPrefix) -> (u8, &[u8]) {
    match prefix {
        DecoderPrefix::None => (0, &[]),
        DecoderPrefix::Bytes(bytes) => (1, bytes),
        DecoderPrefix::Head => (2, &[]),
    }
}

/// Reads what [`prefix_code`] wrote into this column and the next.
pub(super) fn prefix(row: &Row<'_>, column: usize) -> rusqlite::Result<DecoderPrefix> {
    let code: i64 = row.get(column)?;
    match code {
        0 => Ok(DecoderPrefix::None),
        1 => Ok(DecoderPrefix::Bytes(row.get(column + 1)?)),
        2 => Ok(DecoderPrefix::Head),
        _ => Err(strange(column, "a song's prefix")),
    }
}

pub(super) fn strange(column: usize, what: &str) -> rusqlite::Error {
    let reason = format!("{what} is none that this version knows");
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, reason.into())
}
