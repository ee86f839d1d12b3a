//! Tags around the sound: ID3v2 and APE before it; what [`crate::trailing`] knows behind it.
//!
//! Only their extent is read here. Of a tag in front that claims more bytes than there are, only
//! the header is sure; one between or behind the sound that does so is not a tag.

use std::io::{Read, Seek};

use super::window::{Sure, Window};
use crate::trailing;

/// Where the file begins once the tags in front, one after another, are skipped.
pub(super) fn after_front_tags<S: Read + Seek>(window: &mut Window<'_, S>) -> Sure<u64> {
    let mut at = 0;
    loop {
        if let Some(length) = id3v2_at(window, at)? {
            if at + length >= window.bytes() {
                return Ok(at + ID3V2_HEADER_BYTES);
            }
            at += length;
            continue;
        }
        match trailing::ape_behind(window.up_to(at, APE_HEADER_BYTES as usize)?) {
            Some(length) if at + APE_HEADER_BYTES + length < window.bytes() => {
                at += APE_HEADER_BYTES + length;
            }
            _ => return Ok(at),
        }
    }
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
        let look = end.saturating_sub(trailing::LOOK_BYTES as u64);
        let last = window.up_to(look, (end - look) as usize)?;
        match trailing::block_before(last) {
            Some((_, length)) if end - from >= length => end -= length,
            _ => break,
        }
    }
    Ok(end)
}

/// Tags one behind the other that are taken off; nobody writes more.
const OLD_TAGS_MAX: usize = 8;

const APE_HEADER_BYTES: u64 = 32;

/// Bytes of a tag's header.
pub(super) const ID3V2_HEADER_BYTES: u64 = 10;
