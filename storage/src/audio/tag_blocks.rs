//! Tags around the sound: ID3v2 before it; ID3v1, APE and Lyrics3 behind it.
//!
//! Only their extent is read here. Of a tag in front that claims more bytes than there are, only
//! the header is sure; one between or behind the sound that does so is not a tag.

use std::io::{Read, Seek};

use super::window::{Sure, Window};

/// Where the file begins once its ID3v2 tags, one after another, are skipped.
pub(super) fn after_id3v2<S: Read + Seek>(window: &mut Window<'_, S>) -> Sure<u64> {
    let mut at = 0;
    while let Some(length) = id3v2_at(window, at)? {
        if at + length >= window.bytes() {
            return Ok(at + ID3V2_HEADER_BYTES);
        }
        at += length;
    }
    Ok(at)
}

/// How long the ID3v2 tag at `at` is, if there is one.
pub(super) fn id3v2_at<S: Read + Seek>(window: &mut Window<'_, S>, at: u64) -> Sure<Option<u64>> {
    let &[b'I', b'D', b'3', major, minor, flags, a, b, c, d] = window.up_to(at, 10)? else {
        return Ok(None);
    };
    let size = [a, b, c, d];
    if major == 0xff || minor == 0xff {
        return Ok(None);
    }
    // Some writers do not code the size in seven bits a byte, as the standard wants it.
    let body = match size.iter().any(|byte| *byte >= 0x80) {
        true => u64::from(u32::from_be_bytes(size)),
        false => size.iter().fold(0, |sum, byte| sum << 7 | u64::from(*byte)),
    };
    let footer = if flags & 0x10 != 0 { 10 } else { 0 };
    Ok(Some(ID3V2_HEADER_BYTES + body + footer))
}

/// Where the sound ends that began at `from`, once the tags behind it are taken off.
pub(super) fn before_old_tags<S: Read + Seek>(window: &mut Window<'_, S>, from: u64) -> Sure<u64> {
    let mut end = window.bytes();
    for _ in 0..OLD_TAGS_MAX {
        match old_tag_before(window, end)? {
            Some(length) if end - from >= length => end -= length,
            _ => break,
        }
    }
    Ok(end)
}

fn old_tag_before<S: Read + Seek>(window: &mut Window<'_, S>, end: u64) -> Sure<Option<u64>> {
    let id3v1 = before(window, end, 128)?;
    if id3v1.starts_with(b"TAG") {
        return Ok(Some(128));
    }
    if let Some(length) = ape_length(&before(window, end, 32)?) {
        return Ok(Some(length));
    }
    Ok(lyrics_length(&before(window, end, 15)?))
}

/// The `want` bytes that end at `end`; none if there are not so many.
fn before<S: Read + Seek>(window: &mut Window<'_, S>, end: u64, want: usize) -> Sure<Vec<u8>> {
    match end.checked_sub(want as u64) {
        Some(from) => Ok(window.up_to(from, want)?.to_vec()),
        None => Ok(Vec::new()),
    }
}

fn ape_length(footer: &[u8]) -> Option<u64> {
    let rest = footer.strip_prefix(b"APETAGEX")?;
    let number = |at: usize| {
        let bytes = rest.get(at..at + 4)?.try_into().ok()?;
        Some(u64::from(u32::from_le_bytes(bytes)))
    };
    let (size, flags) = (number(4)?, number(12)?);
    let header = if flags & 0x8000_0000 != 0 { 32 } else { 0 };
    (size >= 32).then_some(size + header)
}

fn lyrics_length(footer: &[u8]) -> Option<u64> {
    let digits = footer.strip_suffix(b"LYRICS200")?;
    let size = std::str::from_utf8(digits).ok()?.parse::<u32>().ok()?;
    Some(u64::from(size) + 15)
}

/// Tags one behind the other that are taken off; nobody writes more.
const OLD_TAGS_MAX: usize = 8;

/// Bytes of a tag's header.
pub(super) const ID3V2_HEADER_BYTES: u64 = 10;
