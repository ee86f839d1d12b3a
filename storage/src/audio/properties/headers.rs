//! Formats whose header says all: one chunk, or one block of numbers.

use std::io::{Read, Seek};

use super::Properties;
use crate::audio::chunk_padding;
use crate::audio::window::{Sure, Window, unsure};

/// AIFF and AIFF-C: the chunk `COMM`.
pub(super) fn aiff<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<Properties> {
    let comm = chunk(window, begin + 12, b"COMM", u32::from_be_bytes)?;
    let [c0, c1, f0, f1, f2, f3, _, _, rate @ ..] = window.array::<18>(comm)?;
    let frames = u32::from_be_bytes([f0, f1, f2, f3]);
    let channels = u32::from(u16::from_be_bytes([c0, c1]));
    Ok(Properties::of_samples(
        frames.into(),
        extended(rate),
        channels,
    ))
}

/// A whole number as a float of 80 bits; 0 if it is none that could be a rate.
fn extended([e0, e1, m @ ..]: [u8; 10]) -> u32 {
    let exponent = i32::from(u16::from_be_bytes([e0, e1])) - 16_383;
    let mantissa = u64::from_be_bytes(m);
    match exponent {
        0..=31 => (mantissa >> (63 - exponent)) as u32,
        _ => 0,
    }
}

/// Compressed WAV: `fact` counts samples where it stands, else the bytes per second tell.
pub(super) fn wave<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<Properties> {
    let number = u32::from_le_bytes;
    let fmt = chunk(window, begin + 12, b"fmt ", number)?;
    let [_, _, c0, c1, r0, r1, r2, r3, b0, b1, b2, b3] = window.array::<12>(fmt)?;
    let channels = u32::from(u16::from_le_bytes([c0, c1]));
    let (rate, bytes) = (number([r0, r1, r2, r3]), number([b0, b1, b2, b3]));
    if let Ok(fact) = chunk(window, begin + 12, b"fact", number) {
        let samples = number(window.array(fact)?);
        if samples != 0 && samples != u32::MAX {
            return Ok(Properties::of_samples(samples.into(), rate, channels));
        }
    }
    let data = chunk(window, begin + 12, b"data", number)?;
    let announced = u64::from(number(window.array(data - 4)?));
    let length = announced.min(window.bytes() - data);
    let ms = length.saturating_mul(1000).checked_div(bytes.into());
    let ms = ms.unwrap_or(0);
    Ok(Properties::of_ms(ms, rate, channels))
}

/// Where the body of the first chunk of this kind lies.
fn chunk<S: Read + Seek>(
    window: &mut Window<'_, S>,
    mut at: u64,
    wanted: &[u8; 4],
    number: fn([u8; 4]) -> u32,
) -> Sure<u64> {
    for _ in 0..CHUNKS_MAX {
        let [k0, k1, k2, k3, size @ ..] = window.array::<8>(at)?;
        if &[k0, k1, k2, k3] == wanted {
            return Ok(at + 8);
        }
        let size = u64::from(number(size));
        at += 8 + size;
        at += chunk_padding(size, window.up_to(at, 4)?);
    }
    unsure("too many chunks")
}

/// Wave64: chunks with names of 16 bytes and sizes of 8, their heads among them.
pub(super) fn wave64<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<Properties> {
    let (mut at, mut format) = (begin + 40, None);
    for _ in 0..CHUNKS_MAX {
        let [k0, k1, k2, k3] = window.array::<4>(at)?;
        let size = u64::from_le_bytes(window.array(at + 16)?);
        match &[k0, k1, k2, k3] {
            b"fmt " => format = Some(window.array::<14>(at + 24)?),
            b"data" => {
                let Some([_, _, c0, c1, r0, r1, r2, r3, _, _, _, _, f0, f1]) = format else {
                    return unsure("no format before the samples");
                };
                let frame = u64::from(u16::from_le_bytes([f0, f1])).max(1);
                let room = window.bytes().saturating_sub(at);
                return Ok(Properties::of_samples(
                    size.min(room).saturating_sub(24) / frame,
                    u32::from_le_bytes([r0, r1, r2, r3]),
                    u16::from_le_bytes([c0, c1]).into(),
                ));
            }
            _ => (),
        }
        at = at.saturating_add(size.max(24).saturating_add(7) & !7);
    }
    unsure("too many chunks")
}

/// CAF: `desc` says the format; `pakt` counts the samples, or the length of `data` does.
pub(super) fn core_audio<S: Read + Seek>(
    window: &mut Window<'_, S>,
    begin: u64,
) -> Sure<Properties> {
    let rate = f64::from_be_bytes(window.array(begin + 20)?);
    let [packet_bytes, per_packet, channels] = [36, 40, 44].map(|at| begin + at);
    let mut number = |at| window.array(at).map(u32::from_be_bytes);
    let (packet_bytes, per_packet) = (number(packet_bytes)?, number(per_packet)?);
    let channels = number(channels)?;
    let rate = rate as u32;
    let mut at = begin + 8;
    for _ in 0..CHUNKS_MAX {
        let [k0, k1, k2, k3] = window.array::<4>(at)?;
        let size = u64::from_be_bytes(window.array(at + 4)?);
        match &[k0, k1, k2, k3] {
            b"pakt" => {
                let frames = u64::from_be_bytes(window.array(at + 20)?);
                return Ok(Properties::of_samples(frames, rate, channels));
            }
            b"data" if packet_bytes > 0 => {
                let room = window.bytes().saturating_sub(at + 12);
                let packets = size.min(room).saturating_sub(4) / u64::from(packet_bytes);
                let frames = packets.saturating_mul(u64::from(per_packet));
                return Ok(Properties::of_samples(frames, rate, channels));
            }
            _ => (),
        }
        at = at.saturating_add(12).saturating_add(size);
    }
    unsure("too many chunks")
}

/// AU: where the samples begin, how long they are, how they are coded.
pub(super) fn au<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<Properties> {
    let number = |window: &mut Window<'_, S>, at| window.array(begin + at).map(u32::from_be_bytes);
    let (offset, length) = (number(window, 4)?, number(window, 8)?);
    let (encoding, rate, channels) = (
        number(window, 12)?,
        number(window, 16)?,
        number(window, 20)?,
    );
    let bits = match encoding {
        1 | 2 | 27 => 8,
        3 => 16,
        4 => 24,
        5 | 6 => 32,
        7 => 64,
        _ => return unsure("a compressed sound"),
    };
    let room = window.bytes().saturating_sub(begin + u64::from(offset));
    let length = u64::from(length).min(room);
    let frame = u64::from(channels).max(1) * bits / 8;
    Ok(Properties::of_samples(length / frame, rate, channels))
}

/// WavPack: the first block that holds sound.
pub(super) fn wavpack<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<Properties> {
    let block = window.array::<32>(begin)?;
    let number = |at: usize| {
        block[at..]
            .first_chunk()
            .map_or(0, |b| u32::from_le_bytes(*b))
    };
    let (low, flags) = (number(12), number(24));
    let rate = WAVPACK_RATES.get((flags >> 23 & 15) as usize);
    let samples = if low == u32::MAX {
        0
    } else {
        u64::from(block[11]) << 32 | u64::from(low)
    };
    let channels = if flags & 4 != 0 { 1 } else { 2 };
    Ok(Properties::of_samples(
        samples,
        rate.copied().unwrap_or(0),
        channels,
    ))
}

/// TTA: channels, bits, rate, samples.
pub(super) fn true_audio<S: Read + Seek>(
    window: &mut Window<'_, S>,
    begin: u64,
) -> Sure<Properties> {
    let [c0, c1, _, _, r0, r1, r2, r3, s0, s1, s2, s3] = window.array::<12>(begin + 6)?;
    Ok(Properties::of_samples(
        u32::from_le_bytes([s0, s1, s2, s3]).into(),
        u32::from_le_bytes([r0, r1, r2, r3]),
        u16::from_le_bytes([c0, c1]).into(),
    ))
}

/// Rates by number; another one stands elsewhere.
const WAVPACK_RATES: [u32; 15] = [
    6_000, 8_000, 9_600, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000,
    88_200, 96_000, 192_000,
];

/// Chunks that are passed over; an honest file has a handful.
const CHUNKS_MAX: usize = 10_000;
