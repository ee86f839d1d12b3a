//! Tags at the end of a file: APE, ID3v2 with a footer, ID3v1, in this order of worth.

use std::io::{Read, Seek};

use super::TAG_IN_MEMORY_BYTES_MAX;
use super::decode::{latin1, utf8_or_latin1};
use super::file::File;
use super::found::{Field, Found, Want};
use super::genres;
use super::id3v2;
use crate::trailing::{self, Kind};

/// The tags behind the sound, the one that counts most first.
pub(super) fn read<S: Read + Seek>(file: &mut File<'_, S>, want: Want) -> Vec<Found> {
    let (mut tags, mut end, mut old) = (Vec::new(), file.bytes, None);
    for _ in 0..TAGS_MAX {
        let look = end.saturating_sub(trailing::LOOK_BYTES as u64);
        let last = file.at(look, end - look);
        let Some((kind, length)) = trailing::block_before(&last) else {
            break;
        };
        let from = end.saturating_sub(length);
        end = match kind {
            Kind::Id3v1 => {
                old = old.or_else(|| Some(id3v1(&file.at(from, length), want)));
                from
            }
            Kind::Ape(size) => {
                let (tag, from) = ape_before(file, end, size, want);
                tags.push(tag);
                from
            }
            Kind::Id3v2 => {
                tags.extend(id3v2::at(file, from, want).map(|(tag, _)| tag));
                from
            }
            Kind::Unread => from,
        };
    }
    tags.extend(old);
    tags
}

/// The APE tag at `at`, in front of the sound, and its length.
pub(super) fn ape_at<S: Read + Seek>(
    file: &mut File<'_, S>,
    at: u64,
    want: Want,
) -> Option<(Found, u64)> {
    let size = trailing::ape_behind(&file.at(at, APE_HEADER_BYTES))?;
    let items = file.at(at + APE_HEADER_BYTES, size.min(TAG_IN_MEMORY_BYTES_MAX));
    Some((ape(&items, want), APE_HEADER_BYTES + size))
}

/// The APE tag whose footer ends at `end`, and where it begins.
fn ape_before<S: Read + Seek>(
    file: &mut File<'_, S>,
    end: u64,
    size: u64,
    want: Want,
) -> (Found, u64) {
    let items = end.saturating_sub(size);
    let bytes = file.at(items, size.min(TAG_IN_MEMORY_BYTES_MAX));
    // A footer may be wrong about a header: no other tag ends within one.
    let header = items.checked_sub(APE_HEADER_BYTES);
    let header = header.filter(|from| file.at(*from, 8) == b"APETAGEX");
    (ape(&bytes, want), header.unwrap_or(items))
}

/// Reads items up to the first that is not whole, however many are announced.
fn ape(items: &[u8], want: Want) -> Found {
    let mut found = Found::new(want);
    let mut rest = &items[..items.len().saturating_sub(32)];
    while let Some(([a, b, c, d, _, _, _, _], behind)) = rest.split_first_chunk::<8>() {
        let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        let Some(key_bytes) = behind
            .iter()
            .take(KEY_BYTES_MAX)
            .position(|byte| *byte == 0)
        else {
            break;
        };
        let Some((value, behind)) = behind[key_bytes + 1..].split_at_checked(length) else {
            break;
        };
        take_item(&mut found, &rest[8..8 + key_bytes], value);
        rest = behind;
    }
    found
}

fn take_item(found: &mut Found, key: &[u8], value: &[u8]) {
    let field = match &*key.to_ascii_lowercase() {
        b"title" => Field::Title,
        b"artist" => Field::Artist,
        b"album" => Field::Album,
        b"genre" => Field::Genre,
        b"track" => Field::Track,
        b"disc" | b"media" => Field::Disc,
        b"year" => Field::RecordingDate,
        b"record date" => Field::Year,
        b"cover art (front)" => return take_picture(found, true, value),
        b"cover art (back)" => return take_picture(found, false, value),
        name => match Field::named(name) {
            Some(field) => field,
            None => return,
        },
    };
    found.add(field, &utf8_or_latin1(value));
}

/// A name up to a zero, then the image.
fn take_picture(found: &mut Found, front: bool, value: &[u8]) {
    if let Some(zero) = value.iter().position(|byte| *byte == 0) {
        found.add_picture(front, &value[zero + 1..]);
    }
}

fn id3v1(tag: &[u8], want: Want) -> Found {
    let mut found = Found::new(want);
    let text = |from: usize, to: usize| {
        let field = tag.get(from..to).unwrap_or_default();
        let end = field.iter().position(|byte| *byte == 0);
        latin1(&field[..end.unwrap_or(field.len())])
    };
    found.add(Field::Title, &text(3, 33));
    found.add(Field::Artist, &text(33, 63));
    found.add(Field::Album, &text(63, 93));
    found.add(Field::Year, &text(93, 97));
    if let Some([0, track, genre]) = tag.get(125..128) {
        found.add(Field::Track, &track.to_string());
        found.add(Field::Genre, genres::name(*genre).unwrap_or_default());
    } else if let Some(genre) = tag.get(127) {
        found.add(Field::Genre, genres::name(*genre).unwrap_or_default());
    }
    found
}

/// Tags one behind the other that are read; nobody writes more.
const TAGS_MAX: usize = 8;

const APE_HEADER_BYTES: u64 = 32;

/// Longest key of an item, as the standard has it.
const KEY_BYTES_MAX: usize = 256;
