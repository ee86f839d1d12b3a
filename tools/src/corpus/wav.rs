//! WAV: noise at the sample rate whose bit rate is nearest, with an ID3 tag behind it.

use std::io::{self, Cursor};

use hound::{SampleFormat, WavSpec, WavWriter};
use roles::contract::rng::Rng;

use super::{Sheet, tags};

/// Sample rates and channels, all of 16 bits.
const RATES: [(u32, u16); 6] = [
    (8_000, 1),
    (16_000, 1),
    (22_050, 1),
    (44_100, 1),
    (44_100, 2),
    (48_000, 2),
];

pub(super) fn file(sheet: &Sheet, rng: &mut Rng) -> io::Result<Vec<u8>> {
    let (sample_rate, channels) = nearest(sheet.kbps);
    let spec = WavSpec {
        channels,
        sample_rate,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut bytes, spec).map_err(io::Error::other)?;
    let moments = (sheet.seconds * f64::from(sample_rate)).round() as u64;
    for _ in 0..moments * u64::from(channels) {
        let sample = (rng.bits() >> 52) as i16 - 2048;
        writer.write_sample(sample).map_err(io::Error::other)?;
    }
    writer.finalize().map_err(io::Error::other)?;
    Ok(with_tag(bytes.into_inner(), &tags::id3v2(&sheet.tags)))
}

fn nearest(kbps: u32) -> (u32, u16) {
    let distance =
        |(rate, channels): &(u32, u16)| (rate * u32::from(*channels) * 16 / 1000).abs_diff(kbps);
    let nearest = RATES.into_iter().min_by_key(distance);
    nearest.unwrap_or((44_100, 2))
}

/// The file with a chunk for the tag, and with the length of all chunks in its head.
fn with_tag(mut file: Vec<u8>, tag: &[u8]) -> Vec<u8> {
    file.extend_from_slice(b"id3 ");
    file.extend_from_slice(&(tag.len() as u32).to_le_bytes());
    file.extend_from_slice(tag);
    if tag.len() % 2 == 1 {
        file.push(0); // Chunks begin at even places.
    }
    let length = (file.len() - 8) as u32;
    file[4..8].copy_from_slice(&length.to_le_bytes());
    file
}
