//! Streams of frames without a header: AAC in ADTS, and MPEG layers I and II.

use std::io::{Read, Seek};

use super::Properties;
use crate::audio::JUNK_BYTES_MAX;
use crate::audio::tag_blocks;
use crate::audio::window::{Sure, Window, unsure};

/// Counts the frames from `begin` on. Junk between frames is passed over; where it goes on for
/// long, the sound has ended.
pub(super) fn read<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<Properties> {
    let end = tag_blocks::before_old_tags(window, begin)?;
    let mut at = begin;
    let Some(first) = run_at(window, begin, end, FIRST_RUN)? else {
        return unsure("no run of frames");
    };
    let (mut samples, mut junk) = (0, 0);
    while at < end {
        if let Some(frame) = frame_at(window, at)?.filter(|frame| frame.is_like(first)) {
            samples += u64::from(frame.samples);
            at += u64::from(frame.length);
        } else if let Some(next) = after_junk(window, at, end, first)? {
            junk += next - at;
            at = next;
        } else {
            break;
        }
    }
    if junk > (at - begin) / 2 {
        return unsure("more junk than frames");
    }
    Ok(Properties::of_samples(samples, first.rate, first.channels))
}

fn after_junk<S: Read + Seek>(
    window: &mut Window<'_, S>,
    at: u64,
    end: u64,
    first: Frame,
) -> Sure<Option<u64>> {
    let limit = end.min(at + JUNK_BYTES_MAX);
    let mut from = at + 1;
    while let Some(found) = window.find(0xff, from, limit)? {
        let run = run_at(window, found, end, NEXT_RUN)?;
        if run.is_some_and(|frame| frame.is_like(first)) {
            return Ok(Some(found));
        }
        from = found + 1;
    }
    Ok(None)
}

/// The frame at `at`, if as many stand in a row, or fewer that reach the end.
fn run_at<S: Read + Seek>(
    window: &mut Window<'_, S>,
    mut at: u64,
    end: u64,
    run: usize,
) -> Sure<Option<Frame>> {
    let first = frame_at(window, at)?;
    for _ in 0..run {
        match (frame_at(window, at)?, first) {
            (Some(frame), Some(first)) if frame.is_like(first) => at += u64::from(frame.length),
            _ => return Ok(None),
        }
        if at >= end {
            break;
        }
    }
    Ok(first)
}

fn frame_at<S: Read + Seek>(window: &mut Window<'_, S>, at: u64) -> Sure<Option<Frame>> {
    let bytes = window.up_to(at, 7)?;
    Ok(bytes.try_into().ok().and_then(Frame::parse))
}

#[derive(Clone, Copy)]
struct Frame {
    layer: u8,
    rate: u32,
    channels: u32,
    samples: u32,
    /// Bytes, at least 7.
    length: u32,
}

impl Frame {
    fn is_like(self, other: Frame) -> bool {
        (self.layer, self.rate) == (other.layer, other.rate)
    }

    fn parse(bytes: [u8; 7]) -> Option<Self> {
        let [0xff, kind, ..] = bytes else {
            return None;
        };
        match kind & 0xf6 {
            0xf0 => Frame::of_adts(bytes),
            _ => Frame::of_mpeg(bytes),
        }
    }

    fn of_adts([_, _, c, d, e, f, g]: [u8; 7]) -> Option<Self> {
        let length = u32::from_be_bytes([0, d & 3, e, f]) >> 5;
        let channels = u32::from(c & 1) << 2 | u32::from(d >> 6);
        let frame = Frame {
            layer: 0,
            rate: *ADTS_RATES.get(usize::from(c >> 2 & 15))?,
            channels: if channels == 7 { 8 } else { channels },
            samples: 1024 * (u32::from(g & 3) + 1),
            length,
        };
        (length >= 7).then_some(frame)
    }

    fn of_mpeg([_, kind, rates, mode, ..]: [u8; 7]) -> Option<Self> {
        let (version, layer) = (kind >> 3 & 3, 4 - (kind >> 1 & 3));
        let old = version == 3;
        if kind < 0xe0 || version == 1 || !(1..=2).contains(&layer) {
            return None;
        }
        let table = match (old, layer) {
            (true, 1) => &KBPS[0],
            (true, _) => &KBPS[1],
            (false, 1) => &KBPS[2],
            (false, _) => &KBPS[3],
        };
        let kbps = u32::from(*table.get(usize::from(rates >> 4))?);
        let rate = *[44_100, 48_000, 32_000].get(usize::from(rates >> 2 & 3))?;
        let rate = rate >> [2, 0, 1, 0][usize::from(version)];
        let padding = u32::from(rates >> 1 & 1);
        let length = match layer {
            1 => (12_000 * kbps / rate + padding) * 4,
            _ => 144_000 * kbps / rate + padding,
        };
        let frame = Frame {
            layer,
            rate,
            channels: if mode >> 6 == 3 { 1 } else { 2 },
            samples: if layer == 1 { 384 } else { 1152 },
            length,
        };
        (kbps > 0 && length >= 7).then_some(frame)
    }
}

const ADTS_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Thousands of bits per second of layers I and II, for MPEG-1 and for the lower sample rates.
const KBPS: [[u16; 15]; 4] = [
    [
        0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448,
    ],
    [
        0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
    ],
    [
        0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256,
    ],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// Frames that must stand in a row before a file counts: any bytes may look like one or two.
const FIRST_RUN: usize = 4;

/// Frames that must stand in a row before the sound goes on after junk.
const NEXT_RUN: usize = 2;
