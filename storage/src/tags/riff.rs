//! Chunks of WAV and AIFF: an ID3v2 tag, INFO, and the texts of AIFF.

use std::io::{Read, Seek};

use super::decode::{TEXT_BYTES_MAX, utf8_or_latin1};
use super::file::File;
use super::found::{Field, Found, Want};
use super::id3v2;
use crate::audio::chunk_padding;

/// The tags in the chunks behind the `magic` at `begin`; an ID3v2 tag comes first.
pub(super) fn read<S: Read + Seek>(
    file: &mut File<'_, S>,
    begin: u64,
    magic: &[u8],
    want: Want,
) -> Vec<Found> {
    let big = match magic {
        [b'R', b'I', b'F', b'F', ..] | [b'R', b'F', b'6', b'4', ..] => false,
        [b'R', b'I', b'F', b'X', ..] | [b'F', b'O', b'R', b'M', ..] => true,
        _ => return Vec::new(),
    };
    let number = if big {
        u32::from_be_bytes
    } else {
        u32::from_le_bytes
    };
    let (mut id3, mut words) = (Vec::new(), Found::new(want));
    let (mut at, mut long) = (begin + 12, None);
    for _ in 0..CHUNKS_MAX {
        let Some([k0, k1, k2, k3, size @ ..]) = file.array::<8>(at) else {
            break;
        };
        let (body, size) = (at + 8, u64::from(number(size)));
        match &[k0, k1, k2, k3] {
            b"id3 " | b"ID3 " if id3.len() < ID3_TAGS_MAX => {
                id3.extend(id3v2::at(file, body, want).map(|(tag, _)| tag))
            }
            b"LIST" => take_info(&mut words, &file.at(body, size.min(INFO_BYTES_MAX)), number),
            b"NAME" => words.add(
                Field::Title,
                &text(&file.at(body, size.min(TEXT_BYTES_MAX as u64))),
            ),
            b"AUTH" => words.add(
                Field::Artist,
                &text(&file.at(body, size.min(TEXT_BYTES_MAX as u64))),
            ),
            b"ds64" => long = file.array(body + 8).map(u64::from_le_bytes),
            _ => (),
        }
        let size = match long {
            Some(long) if [k0, k1, k2, k3] == *b"data" && size == u64::from(u32::MAX) => long,
            _ => size,
        };
        at = body.saturating_add(size);
        if size % 2 == 1 {
            at = at.saturating_add(chunk_padding(size, &file.at(at, 4)));
        }
    }
    id3.push(words);
    id3
}

/// Takes the items of a list, if it is one of INFO.
fn take_info(found: &mut Found, list: &[u8], number: fn([u8; 4]) -> u32) {
    let Some(mut rest) = list.strip_prefix(b"INFO") else {
        return;
    };
    while let Some(([k0, k1, k2, k3, size @ ..], behind)) = rest.split_first_chunk::<8>() {
        let length = (number(*size) as usize).min(behind.len());
        let (value, behind) = behind.split_at(length);
        if let Some(field) = field(&[*k0, *k1, *k2, *k3]) {
            found.add(field, &text(value));
        }
        // An item of odd length is followed by one byte, except where a writer forgot it.
        rest = match behind {
            [0, padded @ ..] if length % 2 == 1 => padded,
            behind => behind,
        };
    }
}

fn field(id: &[u8; 4]) -> Option<Field> {
    Some(match &id.to_ascii_uppercase()[..] {
        b"INAM" => Field::Title,
        b"IART" => Field::Artist,
        b"IPRD" => Field::Album,
        b"IGNR" => Field::Genre,
        b"ICRD" => Field::RecordingDate,
        b"YEAR" | b"IYER" => Field::Year,
        b"ITRK" | b"IPRT" | b"TRCK" => Field::Track,
        _ => return None,
    })
}

/// The text up to its first zero.
fn text(value: &[u8]) -> String {
    let end = value
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(value.len());
    utf8_or_latin1(&value[..end])
}

/// Chunks that are passed over; an honest file has a handful.
const CHUNKS_MAX: usize = 10_000;

/// Most of a list that is read.
const INFO_BYTES_MAX: u64 = 1 << 20;

/// Chunks of ID3v2 that are read; each may reach to the end of the file.
const ID3_TAGS_MAX: usize = 4;
