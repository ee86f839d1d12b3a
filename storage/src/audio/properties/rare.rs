//! Formats that few libraries have: Monkey's Audio, Musepack, DSF, WMA, and Speex in Ogg.

use std::io::{Read, Seek};

use super::Properties;
use crate::audio::window::{Sure, Window, unsure};

/// Monkey's Audio: a descriptor and a header, or in old files a header alone. Frames are of one length
/// but the last.
pub(super) fn monkeys<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<Properties> {
    let version = u16::from_le_bytes(window.array(begin + 4)?);
    let number = |bytes: &[u8], at: usize| {
        let four = bytes.get(at..).and_then(<[u8]>::first_chunk);
        four.map_or(0, |four| u32::from_le_bytes(*four))
    };
    let (frame, last, frames, channels, rate);
    if version >= 3_980 {
        let descriptor = u64::from(u32::from_le_bytes(window.array(begin + 8)?));
        let header = window.array::<24>(begin + descriptor)?;
        (frame, last, frames) = (number(&header, 4), number(&header, 8), number(&header, 12));
        channels = u32::from(u16::from_le_bytes([header[18], header[19]]));
        rate = number(&header, 20);
    } else {
        let header = window.array::<26>(begin + 6)?;
        let level = u16::from_le_bytes([header[0], header[1]]);
        frame = match version {
            3_950.. => 4 * 73_728,
            3_900.. => 73_728,
            3_800.. if level == 4_000 => 73_728,
            _ => 9_216,
        };
        channels = u32::from(u16::from_le_bytes([header[4], header[5]]));
        (rate, frames, last) = (number(&header, 6), number(&header, 18), number(&header, 22));
    }
    let whole = u64::from(frames.saturating_sub(1)).saturating_mul(frame.into());
    let samples = whole.saturating_add(last.into());
    Ok(Properties::of_samples(samples, rate, channels))
}

/// Musepack of stream version 7: a count of frames.
pub(super) fn musepack_7<S: Read + Seek>(
    window: &mut Window<'_, S>,
    begin: u64,
) -> Sure<Properties> {
    let [version, frames @ ..] = window.array::<5>(begin + 3)?;
    if version & 15 != 7 {
        return unsure("another version of Musepack");
    }
    let [_, _, rate, _] = window.array::<4>(begin + 8)?;
    let samples = u64::from(u32::from_le_bytes(frames)) * 1_152;
    let rate = MUSEPACK_RATES[usize::from(rate & 3)];
    Ok(Properties::of_samples(samples, rate, 2))
}

/// Musepack of stream version 8: packets, of which `SH` says all.
pub(super) fn musepack_8<S: Read + Seek>(
    window: &mut Window<'_, S>,
    begin: u64,
) -> Sure<Properties> {
    let mut at = begin + 4;
    for _ in 0..PACKETS_MAX {
        let key = window.array::<2>(at)?;
        let (size, length) = varied(window, at + 2)?;
        if &key == b"SH" {
            // A checksum and the version stand before the numbers.
            let (samples, a) = varied(window, at + 2 + length + 5)?;
            let (silence, b) = varied(window, at + 2 + length + 5 + a)?;
            let [rate, channels] = window.array(at + 2 + length + 5 + a + b)?;
            let rate = MUSEPACK_RATES.get(usize::from(rate >> 5)).copied();
            return Ok(Properties::of_samples(
                samples.saturating_sub(silence),
                rate.unwrap_or(0),
                u32::from(channels >> 4) + 1,
            ));
        }
        at = at.saturating_add(size.max(3));
    }
    unsure("no header of the stream")
}

/// A number of seven bits a byte, the first byte first, and how many bytes it takes.
fn varied<S: Read + Seek>(window: &mut Window<'_, S>, at: u64) -> Sure<(u64, u64)> {
    let mut number = 0u64;
    for length in 1..=9 {
        let [byte] = window.array(at + length - 1)?;
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok((number, length));
        }
    }
    unsure("a number that is too long")
}

/// DSF: the chunk `fmt ` behind the first one.
pub(super) fn dsf<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<Properties> {
    if &window.array::<4>(begin + 28)? != b"fmt " {
        return unsure("no format behind the head");
    }
    let mut number = |at| window.array(begin + at).map(u32::from_le_bytes);
    let (channels, rate) = (number(52)?, number(56)?);
    let samples = u64::from_le_bytes(window.array(begin + 64)?);
    Ok(Properties::of_samples(samples, rate, channels))
}

/// ASF, the container of WMA: the objects of its header, each with a name of 16 bytes.
pub(super) fn asf<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<Properties> {
    let objects = u32::from_le_bytes(window.array(begin + 24)?).min(OBJECTS_MAX);
    let (mut at, mut ms, mut sound) = (begin + 30, 0, None);
    for _ in 0..objects {
        let name = window.array::<16>(at)?;
        let size = u64::from_le_bytes(window.array(at + 16)?);
        if name == FILE_PROPERTIES {
            let ticks = u64::from_le_bytes(window.array(at + 64)?);
            let preroll = u64::from_le_bytes(window.array(at + 80)?);
            ms = (ticks / 10_000).saturating_sub(preroll);
        } else if name == STREAM_PROPERTIES && window.array::<16>(at + 24)? == AUDIO_MEDIA {
            let [c0, c1, rate @ ..] = window.array::<6>(at + 80)?;
            sound = Some((u32::from_le_bytes(rate), u16::from_le_bytes([c0, c1])));
        }
        at = at.saturating_add(size.max(24));
    }
    let Some((rate, channels)) = sound else {
        return unsure("no sound in it");
    };
    Ok(Properties::of_ms(ms, rate, channels.into()))
}

/// Speex in Ogg: the first packet says the rate, the last page how many samples came before its end.
pub(super) fn speex<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<Properties> {
    let [segments] = window.array(begin + 26)?;
    let packet = begin + 27 + u64::from(segments);
    if &window.array::<8>(packet)? != b"Speex   " {
        return unsure("another codec in Ogg");
    }
    let rate = u32::from_le_bytes(window.array(packet + 36)?);
    let channels = u32::from_le_bytes(window.array(packet + 48)?);
    let look = window.bytes().saturating_sub(LAST_PAGE_BYTES);
    let last = window.up_to(look, LAST_PAGE_BYTES as usize)?;
    let page = last.windows(4).rposition(|bytes| bytes == b"OggS");
    let granule = page.and_then(|page| last.get(page + 6..)?.first_chunk());
    let samples = granule.map_or(0, |granule| u64::from_le_bytes(*granule));
    Ok(Properties::of_samples(samples, rate, channels))
}

const MUSEPACK_RATES: [u32; 4] = [44_100, 48_000, 37_800, 32_000];

/// Packets before the header of a stream; an honest file has none.
const PACKETS_MAX: usize = 64;

/// Objects of a header that are looked at; an honest file has a dozen.
const OBJECTS_MAX: u32 = 1_000;

/// A page of Ogg is at most so long.
const LAST_PAGE_BYTES: u64 = 65_307;

const FILE_PROPERTIES: [u8; 16] = [
    0xa1, 0xdc, 0xab, 0x8c, 0x47, 0xa9, 0xcf, 0x11, 0x8e, 0xe4, 0, 0xc0, 0x0c, 0x20, 0x53, 0x65,
];
const STREAM_PROPERTIES: [u8; 16] = [
    0x91, 0x07, 0xdc, 0xb7, 0xb7, 0xa9, 0xcf, 0x11, 0x8e, 0xe6, 0, 0xc0, 0x0c, 0x20, 0x53, 0x65,
];
const AUDIO_MEDIA: [u8; 16] = [
    0x40, 0x9e, 0x69, 0xf8, 0x4d, 0x5b, 0xcf, 0x11, 0xa8, 0xfd, 0, 0x80, 0x5f, 0x5c, 0x44, 0x2b,
];
