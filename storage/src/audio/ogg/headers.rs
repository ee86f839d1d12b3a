//! The header pages as a prefix for any fragment: without the sound that the last may hold.

use super::{BEGINS, Codec, Page};

/// The header pages in the head of a file, without the sound that its last page may hold. A head
/// that holds no sound comes back as it is.
pub(crate) fn headers_alone(head: &[u8]) -> Vec<u8> {
    without_sound(head).unwrap_or_else(|| head.to_vec())
}

fn without_sound(head: &[u8]) -> Option<Vec<u8>> {
    let mut at = head.windows(5).position(|five| five == b"OggS\0")?;
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
                return Some([&head[..at], &first_packets(bytes, *left)?, rest].concat());
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
