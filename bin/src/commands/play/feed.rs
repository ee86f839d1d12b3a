//! What a player is given of a song: its bytes in order, behind what a decoder needs first.

use roles::contract::song::{DecoderPrefix, Format, Manifest};
use storage::import::{decoder_prefix, is_of_head, playable_head, stream_headers};

use crate::failure::Failure;
use crate::session::{Opened, Session};
use crate::sparse::Sparse;
use crate::text;

/// Most bytes before and behind the sound that are fetched for an index.
const INDEX_BYTES_MAX: u64 = 48_000_000;

/// The fragment in which the moment lies; none if the song is to be played as it is.
pub(super) fn first(
    manifest: &Manifest,
    from: Option<u32>,
    attempt: &str,
) -> Result<Option<u32>, Failure> {
    let Some(from) = from else {
        return Ok(None);
    };
    if manifest.song.duration_ms == 0 || manifest.sound().is_none() {
        let why = "--from: where its moments lie is not known, it plays only as a whole";
        return Err(Failure::failed(attempt, why));
    }
    if from > manifest.song.duration_ms {
        let length = text::length(manifest.song.duration_ms);
        let why = format!("--from lies behind its end ({length})");
        return Err(Failure::failed(attempt, why));
    }
    Ok(Some(manifest.index_at(from)))
}

/// The first fragment with sound, if the song's index may stand behind the sound: a player that
/// reads from a pipe would come to it too late.
pub(super) fn first_behind_index(manifest: &Manifest) -> Option<u32> {
    let (first, end) = manifest.sound()?;
    let has_tail = end < manifest.song.fragments;
    (manifest.song.format == Format::M4a && has_tail).then_some(first)
}

/// Gives the file as it is.
pub(super) fn whole(
    session: &Session,
    song: &Opened,
    attempt: &str,
    mut give: impl FnMut(u32, &[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let all = (0, song.manifest.song.fragments);
    song.read(session, all, attempt, |index, bytes, _| give(index, bytes))
}

/// Gives what a decoder needs, and the fragments from `first` on.
pub(super) fn stream(
    session: &Session,
    song: &Opened,
    first: u32,
    attempt: &str,
    mut give: impl FnMut(u32, &[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let manifest = &song.manifest;
    let (begin, end) = manifest.sound().unwrap_or((0, manifest.song.fragments));
    if manifest.song.format == Format::M4a
        && let Some(head) = index(session, song, first.max(begin), attempt)?
    {
        give(first, &head)?;
        let rest = (first.max(begin), end);
        return song.read(session, rest, attempt, |index, bytes, _| give(index, bytes));
    }
    let head = (0, begin.min(first));
    if manifest.prefix == DecoderPrefix::Head && first > begin {
        let head = bytes(session, song, head, attempt)?;
        give(0, &prefix(session, song, first, &head, attempt)?)?;
    } else if manifest.prefix != DecoderPrefix::None && first > begin {
        // Made of what the song was found to be: its own head may be damaged, or say how long the
        // whole song is.
        give(0, &decoder_prefix(manifest, &[]))?;
    } else if head.1 > 0 {
        song.read(session, head, attempt, |index, bytes, _| give(index, bytes))?;
    }
    let rest = (first, manifest.song.fragments);
    song.read(session, rest, attempt, |index, bytes, _| give(index, bytes))
}

/// What a decoder needs before the fragment `first`: the head of the song, or, behind the first
/// stream of a chain, the header pages of the stream in which the fragment lies.
fn prefix(
    session: &Session,
    song: &Opened,
    first: u32,
    head: &[u8],
    attempt: &str,
) -> Result<Vec<u8>, Failure> {
    for index in (1..=first).rev() {
        let fragment = bytes(session, song, (index, index + 1), attempt)?;
        if index == first && is_of_head(head, &fragment) {
            break;
        }
        match stream_headers(&fragment) {
            // It brings its own.
            Some(_) if index == first => return Ok(Vec::new()),
            Some(headers) => return Ok(headers),
            None => (),
        }
    }
    Ok(decoder_prefix(&song.manifest, head))
}

/// An index for the fragments from `first` on, made of the song's own.
fn index(
    session: &Session,
    song: &Opened,
    first: u32,
    attempt: &str,
) -> Result<Option<Vec<u8>>, Failure> {
    let manifest = &song.manifest;
    let Some((begin, end)) = manifest.sound() else {
        return Ok(None);
    };
    if manifest.silent_bytes() > INDEX_BYTES_MAX {
        return Ok(None);
    }
    let around = [(0, begin), (end, manifest.song.fragments)];
    let parts = parts(session, song, &around, attempt)?;
    let mut file = Sparse::new(manifest.song.bytes, parts);
    let range = (manifest.offset_of(first), manifest.offset_of(end));
    Ok(playable_head(&mut file, manifest.song.bytes, range))
}

/// The bytes of a range of fragments.
fn bytes(
    session: &Session,
    song: &Opened,
    range: (u32, u32),
    attempt: &str,
) -> Result<Vec<u8>, Failure> {
    let parts = parts(session, song, &[range], attempt)?;
    Ok(parts.into_iter().flat_map(|(_, bytes)| bytes).collect())
}

/// The fragments of these ranges, each with its offset in the file.
fn parts(
    session: &Session,
    song: &Opened,
    ranges: &[(u32, u32)],
    attempt: &str,
) -> Result<Vec<(u64, Vec<u8>)>, Failure> {
    let mut parts = Vec::new();
    for range in ranges.iter().filter(|(first, end)| first < end) {
        song.read(session, *range, attempt, |index, bytes, _| {
            parts.push((song.manifest.offset_of(index), bytes.to_vec()));
            Ok(())
        })?;
    }
    Ok(parts)
}
