//! Tags at the end of a file: APE, ID3v2 with a footer, ID3v1, in this order of worth.

use std::io::{Read, Seek};

use super::TAG_IN_MEMORY_BYTES_MAX;
use super::container::{File, id3v2_at};
use super::decode::{latin1, utf8_or_latin1};
use super::found::{Field, Found, Want};
use super::genres;

/// The tags behind the sound, the one that counts most first.
pub(super) fn read<S: Read + Seek>(file: &mut File<'_, S>, want: Want) -> Vec<Found> {
    let (mut tags, mut end, mut old) = (Vec::new(), file.bytes, None);
    for _ in 0..TAGS_MAX {
        let last = file.at(end.saturating_sub(128), end.min(128));
        let length = if last.len() == 128 && last.starts_with(b"TAG") {
            old = old.or_else(|| Some(id3v1(&last, want)));
            128
        } else if let Some(length) = ape_bytes(&last) {
            let from = end.saturating_sub(u64::from(length));
            let items = file.at(from, u64::from(length).min(TAG_IN_MEMORY_BYTES_MAX));
            tags.push(ape(&items, want));
            // The header is 32 bytes more; where there is none, no tag ends within them.
            u64::from(length) + 32 * u64::from(has_header(file, from))
        } else if let Some(length) = id3v2_bytes(&last) {
            let tag = id3v2_at(file, end.saturating_sub(length), want);
            tags.extend(tag.map(|(tag, _)| tag));
            length
        } else if let Some(length) = lyrics_bytes(&last) {
            length
        } else {
            break;
        };
        end = end.saturating_sub(length);
    }
    tags.extend(old);
    tags
}

fn has_header<S: Read + Seek>(file: &mut File<'_, S>, items: u64) -> bool {
    let from = items.checked_sub(32);
    from.is_some_and(|from| file.at(from, 8) == b"APETAGEX")
}

/// Bytes of the items and the footer of the APE tag that ends here.
fn ape_bytes(last: &[u8]) -> Option<u32> {
    let footer = last.last_chunk::<32>()?.strip_prefix(b"APETAGEX")?;
    let size = u32::from_le_bytes(*footer.get(4..)?.first_chunk()?);
    (size >= 32).then_some(size)
}

/// Bytes of the ID3v2 tag whose footer ends here.
fn id3v2_bytes(last: &[u8]) -> Option<u64> {
    let [b'3', b'D', b'I', _, _, _, size @ ..] = last.last_chunk::<10>()? else {
        return None;
    };
    let body = size
        .iter()
        .fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f));
    Some(body + 20)
}

fn lyrics_bytes(last: &[u8]) -> Option<u64> {
    let digits = last.last_chunk::<15>()?.strip_suffix(b"LYRICS200")?;
    let size: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(size + 15)
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
        _ => return,
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

/// Longest key of an item, as the standard has it.
const KEY_BYTES_MAX: usize = 256;
