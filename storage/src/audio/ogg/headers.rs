//! The header pages as a prefix for any fragment: without the sound that the last may hold.
//!
//! In a chain, each stream has header pages of its own, and those of another one are of no use.

use super::{BEGINS, Codec, Page};

/// The header pages in the head of a file, without the sound that its last page may hold. A head
/// without a whole set of them comes back as it is. Tags and junk in front are left out.
pub(crate) fn headers_alone(head: &[u8]) -> Vec<u8> {
    without_sound(head).unwrap_or_else(|| head.to_vec())
}

/// The header pages of the stream that begins where `fragment` does, without sound; none if no
/// stream begins there.
pub(crate) fn stream_headers(fragment: &[u8]) -> Option<Vec<u8>> {
    Page::parse(fragment).filter(|page| page.flags & BEGINS != 0)?;
    headers_and_rest(fragment).map(|(headers, _)| headers)
}

/// Whether the pages of `fragment` belong to a stream that begins in `head`. What is no page belongs
/// to any.
pub(crate) fn is_of_streams(head: &[u8], fragment: &[u8]) -> bool {
    let Some(page) = Page::parse(fragment) else {
        return true;
    };
    let mut at = (head.windows(5)).position(|five| five == b"OggS\0");
    while let Some(from) = at
        && let Some(first) = head.get(from..).and_then(Page::parse)
    {
        if first.serial == page.serial {
            return true;
        }
        at = from.checked_add(first.length as usize);
    }
    false
}

fn without_sound(head: &[u8]) -> Option<Vec<u8>> {
    let at = head.windows(5).position(|five| five == b"OggS\0")?;
    let (headers, rest) = headers_and_rest(head.get(at..)?)?;
    Some([&headers, rest].concat())
}

/// What stands up to the end of the last header packet, and behind its page.
fn headers_and_rest(head: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut at = 0;
    let mut sound: Option<(u32, usize)> = None;
    loop {
        let bytes = head.get(at..)?;
        let page = Page::parse(bytes)?;
        if sound.is_none() && page.flags & BEGINS != 0 {
            let codec = Codec::parse(bytes.get(page.body as usize..)?);
            sound = codec.map(|codec| (page.serial, codec.header_packets));
        }
        if let Some((serial, left)) = &mut sound
            && *serial == page.serial
        {
            if page.packets_ended >= *left {
                let rest = bytes.get(page.length as usize..)?;
                return Some(([&head[..at], &first_packets(bytes, *left)?].concat(), rest));
            }
            *left -= page.packets_ended;
        }
        at += page.length as usize;
    }
}

/// The page that `bytes` begin with, up to the end of so many of its packets.
fn first_packets(bytes: &[u8], packets: usize) -> Option<Vec<u8>> {
    let (fixed, rest) = bytes.split_first_chunk::<27>()?;
    let (lacing, body) = rest.split_at_checked(usize::from(fixed[26]))?;
    let ends = lacing.iter().enumerate().filter(|(_, n)| **n < 255);
    let segments = ends.map(|(i, _)| i + 1).nth(packets.checked_sub(1)?)?;
    let lacing = &lacing[..segments];
    let length = lacing.iter().map(|n| usize::from(*n)).sum();
    let mut page = [&fixed[..], lacing, body.get(..length)?].concat();
    page[6..14].fill(0);
    page[22..26].fill(0);
    page[26] = segments as u8;
    let checksum = checksum(&page);
    page[22..26].copy_from_slice(&checksum.to_le_bytes());
    Some(page)
}

/// The checksum of a page whose own checksum reads as 0: polynomial 0x04c11db7, high bits first.
pub(in crate::audio) fn checksum(page: &[u8]) -> u32 {
    page.iter().fold(0, |sum, byte| {
        let shifted = |sum: u32, _| sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 };
        (0..8).fold(sum ^ u32::from(*byte) << 24, shifted)
    })
}
