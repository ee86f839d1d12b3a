//! MP3: frames of MPEG-1 layer III with a constant bit rate.
//!
//! Each frame says that it has no music in it (its side information is zero), so a decoder plays
//! silence; the rest of the frame is noise that no decoder looks at.

use roles::contract::rng::Rng;

use super::{Sheet, noise, tags};

const SAMPLE_RATE: u32 = 44_100;

/// Samples of one frame.
const SAMPLES: u32 = 1152;

/// Header and side information of a stereo frame.
const HEAD_BYTES: usize = 4 + 32;

/// The bit rates of the format, by their number in a header.
const KBPS: [u32; 14] = [
    32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
];

pub(super) fn file(sheet: &Sheet, rng: &mut Rng) -> Vec<u8> {
    let mut out = tags::id3v2(&sheet.tags);
    let (number, kbps) = nearest(sheet.kbps);
    let frames = (sheet.seconds * f64::from(SAMPLE_RATE) / f64::from(SAMPLES)).round();
    // 1152 samples are 144 bytes at one bit per sample and second.
    let (whole, rest) = (144_000 * kbps / SAMPLE_RATE, 144_000 * kbps % SAMPLE_RATE);
    let mut owed = 0;
    for _ in 0..(frames as u64).max(1) {
        owed += rest;
        let padded = owed >= SAMPLE_RATE;
        owed -= if padded { SAMPLE_RATE } else { 0 };
        let padding = u8::from(padded);
        out.extend_from_slice(&[0xff, 0xfb, (number as u8) << 4 | padding << 1, 0]);
        out.extend_from_slice(&[0; 32]);
        let length = (whole + u32::from(padding)) as usize;
        noise(rng, length - HEAD_BYTES, &mut out);
    }
    out
}

/// The nearest bit rate of the format, and its number in a header.
fn nearest(kbps: u32) -> (usize, u32) {
    let rates = KBPS.into_iter().enumerate();
    let nearest = rates.min_by_key(|(_, rate)| rate.abs_diff(kbps));
    nearest.map_or((9, 128), |(index, rate)| (index + 1, rate))
}
