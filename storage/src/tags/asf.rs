//! Words of ASF, the container of WMA: two objects of its header.

use std::io::{Read, Seek};

use super::file::File;
use super::found::{Field, Found, Want};

/// The tag in the header at `begin`.
pub(super) fn read<S: Read + Seek>(file: &mut File<'_, S>, begin: u64, want: Want) -> Vec<Found> {
    let mut found = Found::new(want);
    let mut at = begin + 30;
    for _ in 0..OBJECTS_MAX {
        let Some(name) = file.array::<16>(at) else {
            break;
        };
        let Some(size) = file.array(at + 16).map(u64::from_le_bytes) else {
            break;
        };
        let body = size.saturating_sub(24).min(OBJECT_BYTES_MAX);
        match name {
            CONTENT => take_content(&mut found, &file.at(at + 24, body)),
            EXTENDED => take_extended(&mut found, &file.at(at + 24, body)),
            // The header extension holds no words; the sound ends the header.
            DATA => break,
            _ => (),
        }
        at = at.saturating_add(size.max(24));
    }
    vec![found]
}

/// Title and author, each with its length in front of all.
fn take_content(found: &mut Found, body: &[u8]) {
    let Some((lengths, mut rest)) = body.split_first_chunk::<10>() else {
        return;
    };
    for (n, field) in [Field::Title, Field::Artist].into_iter().enumerate() {
        let length = usize::from(u16::from_le_bytes([lengths[2 * n], lengths[2 * n + 1]]));
        let (text, behind) = rest.split_at(length.min(rest.len()));
        add(found, field, &wide(text));
        rest = behind;
    }
}

/// Descriptors: a name, a type and a value each.
fn take_extended(found: &mut Found, body: &[u8]) {
    let Some((count, mut rest)) = body.split_first_chunk::<2>() else {
        return;
    };
    for _ in 0..u16::from_le_bytes(*count) {
        let Some((name, behind)) = sized(rest) else {
            return;
        };
        let Some((kind, behind)) = behind.split_first_chunk::<2>() else {
            return;
        };
        let Some((value, behind)) = sized(behind) else {
            return;
        };
        rest = behind;
        let name = wide(name);
        let name = name.trim_end_matches('\0');
        if name == "WM/Picture" {
            take_picture(found, value);
        } else if let Some(field) = field(name) {
            let text = match u16::from_le_bytes(*kind) {
                0 => wide(value),
                // A truth, and numbers of two, four and eight bytes.
                2..=5 => number(value).to_string(),
                _ => continue,
            };
            add(found, field, &text);
        }
    }
}

/// A type, a length, a media type and a description in wide characters, the picture.
fn take_picture(found: &mut Found, value: &[u8]) {
    let Some(([kind, ..], mut rest)) = value.split_first_chunk::<5>() else {
        return;
    };
    for _ in 0..2 {
        let pairs = rest.as_chunks::<2>().0;
        let Some(end) = pairs.iter().position(|pair| *pair == [0, 0]) else {
            return;
        };
        rest = &rest[2 * (end + 1)..];
    }
    found.add_picture(*kind == FRONT, rest);
}

fn add(found: &mut Found, field: Field, text: &str) {
    let text = text.trim_end_matches('\0');
    if !text.is_empty() {
        found.add(field, text);
    }
}

/// What a length of two bytes is followed by, and the rest.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

fn wide(bytes: &[u8]) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    String::from_utf16_lossy(&units)
}

fn number(bytes: &[u8]) -> u64 {
    let digits = bytes.iter().take(8).rev();
    digits.fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn field(name: &str) -> Option<Field> {
    Some(match name {
        "Title" => Field::Title,
        "Author" => Field::Artist,
        "WM/AlbumTitle" => Field::Album,
        "WM/AlbumArtist" => Field::AlbumArtist,
        "WM/Genre" => Field::Genre,
        "WM/Year" => Field::RecordingDate,
        "WM/OriginalReleaseYear" => Field::OriginalDate,
        "WM/TrackNumber" => Field::Track,
        "WM/PartOfSet" => Field::Disc,
        "WM/Composer" => Field::Composer,
        "WM/IsCompilation" => Field::Compilation,
        "WM/ArtistSortOrder" => Field::ArtistSort,
        "WM/AlbumArtistSortOrder" => Field::AlbumArtistSort,
        "WM/AlbumSortOrder" => Field::AlbumSort,
        "WM/BeatsPerMinute" => Field::Bpm,
        "WM/Lyrics" => Field::Lyrics,
        name => return Field::named(name.as_bytes()),
    })
}

/// The front cover, as ID3v2 numbers kinds of pictures.
const FRONT: u8 = 3;

/// Objects of a header that are looked at; an honest file has a dozen.
const OBJECTS_MAX: usize = 1_000;

/// Most of an object that is read: a cover of 32 MiB lies in one.
const OBJECT_BYTES_MAX: u64 = super::TAG_IN_MEMORY_BYTES_MAX;

const CONTENT: [u8; 16] = [
    0x33, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, 0xa6, 0xd9, 0, 0xaa, 0, 0x62, 0xce, 0x6c,
];
const EXTENDED: [u8; 16] = [
    0x40, 0xa4, 0xd0, 0xd2, 0x07, 0xe3, 0xd2, 0x11, 0x97, 0xf0, 0, 0xa0, 0xc9, 0x5e, 0xa8, 0x50,
];
const DATA: [u8; 16] = [
    0x36, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, 0xa6, 0xd9, 0, 0xaa, 0, 0x62, 0xce, 0x6c,
];
