//! The seal of a manifest: a hash over all that the tables say of a song, stored with the song.
//!
//! The sound is proved by its hashes, and the whole file by the song's id. Nothing proves the tags,
//! the cut and those hashes themselves once a disk has altered them: the seal does. It is made from
//! the manifest that was offered, never from what the tables say later. A song of a library without
//! seals is sealed by what other data nodes say of it; see `mend`.

use roles::contract::id::SongId;
use roles::contract::job::{JobFault, JobReply};
use roles::contract::song::{DecoderPrefix, Fragment, Manifest, Song};
use rusqlite::Connection;

use super::fault::{Stop, is_corrupt};
use super::row::{part_code, prefix_code};
use super::songs;

/// What the tables say of a song.
pub(super) enum Verdict {
    /// What was stored.
    True(Box<Manifest>),
    /// Something possible, and there is no seal.
    Unsealed(Box<Manifest>),
    /// Something else than was stored; the text says what.
    Altered(String),
}

/// Looks at the tables of a song with this id. Fails only if they cannot be read for another reason
/// than damage.
pub(super) fn judge(db: &Connection, song: SongId, row: i64) -> Result<Verdict, Stop> {
    let read = songs::manifest(db, row).and_then(|manifest| Ok((manifest, noted(db, row)?)));
    let (manifest, seal) = match read {
        Ok(read) => read,
        Err(reason) if is_corrupt(&reason) => return Ok(Verdict::Altered(reason.to_string())),
        Err(reason) => return Err(reason.into()),
    };
    if let Err(fault) = manifest.check() {
        return Ok(Verdict::Altered(fault.to_string()));
    }
    if manifest.song.id != song {
        return Ok(Verdict::Altered("it is that of another song".to_owned()));
    }
    let manifest = Box::new(manifest);
    Ok(match seal {
        None => Verdict::Unsealed(manifest),
        Some(seal) if seal == of(&manifest) => Verdict::True(manifest),
        Some(_) => Verdict::Altered("it is not what was stored".to_owned()),
    })
}

/// Answers [`LibraryJob::Describe`](roles::contract::job::LibraryJob::Describe).
pub(super) fn describe(db: &Connection, song: SongId) -> Result<JobReply, Stop> {
    let standing = songs::find(db, song)?.filter(|found| !found.staged);
    let found = standing.ok_or(JobFault::NotFound)?;
    let manifest = manifest(db, song, found.row)?;
    Ok(JobReply::Described { manifest })
}

/// The manifest of a committed song, if the tables say what was stored.
pub(super) fn manifest(db: &Connection, song: SongId, row: i64) -> Result<Manifest, Stop> {
    match judge(db, song, row)? {
        Verdict::True(manifest) | Verdict::Unsealed(manifest) => Ok(*manifest),
        Verdict::Altered(how) => Err(altered(song, &how)),
    }
}

/// What is answered where the bytes of a fragment do not match the tables: either the bytes are
/// damaged, or the tables are, and then nothing can be said of bytes.
pub(super) fn mismatch(db: &Connection, song: SongId, row: i64) -> Result<Stop, Stop> {
    Ok(match judge(db, song, row)? {
        Verdict::True(_) | Verdict::Unsealed(_) => JobFault::Damaged.into(),
        Verdict::Altered(how) => altered(song, &how),
    })
}

/// The fault of a song whose tables are damaged.
pub(super) fn altered(song: SongId, how: &str) -> Stop {
    JobFault::Corrupt(format!("the manifest of song {song} is damaged: {how}")).into()
}

/// Seals a song as the tables describe it.
pub(super) fn set(db: &Connection, row: i64, manifest: &Manifest) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE songs SET seal = ?2 WHERE row = ?1")?
        .execute((row, of(manifest)))?;
    Ok(())
}

fn noted(db: &Connection, row: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    db.prepare_cached("SELECT seal FROM songs WHERE row = ?1")?
        .query_row((row,), |row| row.get(0))
}

/// Which facts a seal covers, and in which form. A version that stores more facts of a song gets the
/// next number, and seals the songs anew.
const VERSION: u8 = 1;

/// The seal of a manifest: the version, and 16 bytes of a BLAKE3 hash.
pub(super) fn of(manifest: &Manifest) -> Vec<u8> {
    let mut hash = blake3::Hasher::new();
    add_song(&mut hash, &manifest.song);
    // Every fact is named here, so that a new one does not compile before it is sealed, too.
    let Manifest {
        song: _,
        hash: whole,
        sample_rate,
        channels,
        picture,
        prefix,
        fragments,
    } = manifest;
    hash.update(&whole.0);
    add_numbers(
        &mut hash,
        &[
            u64::from(*sample_rate),
            u64::from(*channels),
            u64::from(*picture),
        ],
    );
    add_prefix(&mut hash, prefix);
    for fragment in fragments {
        let Fragment {
            length,
            start_ms,
            part,
            hash: own,
        } = fragment;
        let part = part_code(*part);
        add_numbers(
            &mut hash,
            &[u64::from(*length), u64::from(*start_ms), u64::from(part)],
        );
        hash.update(&own.0);
    }
    let mut seal = vec![VERSION];
    seal.extend(&hash.finalize().as_bytes()[..16]);
    seal
}

fn add_song(hash: &mut blake3::Hasher, song: &Song) {
    let Song {
        id,
        title,
        artist,
        album,
        genre,
        year,
        disc,
        track,
        duration_ms,
        bytes,
        format,
        fragments,
    } = song;
    hash.update(&id.0.to_be_bytes());
    for text in [title, artist, album, genre] {
        add_bytes(hash, text.as_bytes());
    }
    add_bytes(hash, format.name().as_bytes());
    let numbers = [
        u64::from(*year),
        u64::from(*disc),
        u64::from(*track),
        u64::from(*duration_ms),
        *bytes,
        u64::from(*fragments),
    ];
    add_numbers(hash, &numbers);
}

fn add_prefix(hash: &mut blake3::Hasher, prefix: &DecoderPrefix) {
    let (kind, bytes) = prefix_code(prefix);
    add_numbers(hash, &[u64::from(kind)]);
    add_bytes(hash, bytes);
}

fn add_numbers(hash: &mut blake3::Hasher, numbers: &[u64]) {
    for number in numbers {
        hash.update(&number.to_be_bytes());
    }
}

/// The length first: otherwise a letter could move from one text to the next.
fn add_bytes(hash: &mut blake3::Hasher, bytes: &[u8]) {
    add_numbers(hash, &[bytes.len() as u64]);
    hash.update(bytes);
}
