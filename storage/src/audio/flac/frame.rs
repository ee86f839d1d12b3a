//! Headers of FLAC frames.

use std::io::{Read, Seek};

use crate::audio::window::{Sure, Window};

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Numbers count samples instead of frames.
    pub(super) variable: bool,
    /// Codes of the sample rate and the sample size, the same in all frames.
    pub(super) fields: (u8, u8),
    pub(super) number: u64,
    /// Samples.
    pub(super) block: u32,
}

impl Frame {
    /// Stands where no frame was found yet.
    pub(super) const UNKNOWN: Frame = Frame {
        variable: false,
        fields: (0, 0),
        number: 0,
        block: 0,
    };

    pub(super) fn at<S: Read + Seek>(window: &mut Window<'_, S>, at: u64) -> Sure<Option<Self>> {
        Ok(Frame::parse(window.up_to(at, HEADER_BYTES_MAX)?))
    }

    /// The first frame that fits behind this one at `at`, and where it begins before `limit`.
    pub(super) fn find<S: Read + Seek>(
        self,
        window: &mut Window<'_, S>,
        at: u64,
        limit: u64,
        fits: fn(Frame, Frame) -> bool,
    ) -> Sure<Option<(u64, Frame)>> {
        let mut from = at + FRAME_BYTES_MIN;
        while let Some(found) = window.find(0xff, from, limit)? {
            if let Some(frame) = Frame::at(window, found)?
                && self.is_like(frame)
                && fits(self, frame)
            {
                return Ok(Some((found, frame)));
            }
            from = found + 1;
        }
        Ok(None)
    }

    pub(super) fn is_like(self, other: Frame) -> bool {
        self.variable == other.variable && self.fields == other.fields
    }

    pub(super) fn is_before(self, next: Frame) -> bool {
        next.number == self.next_number()
    }

    pub(super) fn is_long_before(self, later: Frame) -> bool {
        later.number > self.next_number()
    }

    fn next_number(self) -> u64 {
        let step = if self.variable { self.block } else { 1 };
        self.number + u64::from(step)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let &[0xff, sync, sizes, fields, ..] = bytes else {
            return None;
        };
        let (channels, bits) = (fields >> 4, fields >> 1 & 7);
        if sync & 0xfe != 0xf8 || channels > 10 || bits == 3 || fields & 1 != 0 {
            return None;
        }
        let (number, mut at) = coded_number(bytes, 4)?;
        let block = block_size(sizes >> 4, bytes, &mut at)?;
        at += rate_bytes(sizes & 15)?;
        (crc8(bytes.get(..at)?) == *bytes.get(at)?).then_some(Frame {
            variable: sync & 1 != 0,
            fields: (sizes & 15, bits),
            number,
            block,
        })
    }
}

/// The number at `at`, coded like a long UTF-8 character, and where it ends.
fn coded_number(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = *bytes.get(at)?;
    let ones = first.leading_ones() as usize;
    if ones == 0 {
        return Some((u64::from(first), at + 1));
    }
    let rest = bytes.get(at + 1..at + ones)?;
    if ones == 1 || ones == 8 || rest.iter().any(|byte| byte >> 6 != 2) {
        return None;
    }
    let high = u64::from(first) & (0x7f >> ones);
    let number = rest
        .iter()
        .fold(high, |sum, byte| sum << 6 | u64::from(byte & 0x3f));
    Some((number, at + ones))
}

fn block_size(code: u8, bytes: &[u8], at: &mut usize) -> Option<u32> {
    let extra = match code {
        6 => 1,
        7 => 2,
        _ => 0,
    };
    let value = bytes
        .get(*at..*at + extra)?
        .iter()
        .fold(0, |sum, byte| sum << 8 | u32::from(*byte));
    *at += extra;
    match code {
        0 => None,
        1 => Some(192),
        2..=5 => Some(576 << (code - 2)),
        6 | 7 => Some(value + 1),
        _ => Some(256 << (code - 8)),
    }
}

fn rate_bytes(code: u8) -> Option<usize> {
    match code {
        0..=11 => Some(0),
        12 => Some(1),
        13 | 14 => Some(2),
        _ => None,
    }
}

pub(in crate::audio) fn crc8(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0, |crc, byte| CRC8[usize::from(crc ^ byte)])
}

/// Polynomial x^8 + x^2 + x + 1.
const CRC8: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = (i as u8, 0);
        while bit < 8 {
            let carry = crc & 0x80 != 0;
            crc <<= 1;
            if carry {
                crc ^= 7;
            }
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// Sync, codes, the longest number, block size, sample rate, checksum.
const HEADER_BYTES_MAX: usize = 16;

/// The shortest frame: header, one constant sample, checksum.
pub(super) const FRAME_BYTES_MIN: u64 = 9;
