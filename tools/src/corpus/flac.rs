//! FLAC: frames that hold their samples verbatim, and frames of silence that hold one.
//!
//! The more of the frames are silent, the lower the bit rate.

use roles::contract::rng::Rng;

use super::{Sheet, noise, tags};

const SAMPLE_RATE: u32 = 44_100;

/// Samples of one frame and channel.
const SAMPLES: u32 = 4096;

pub(super) fn file(sheet: &Sheet, rng: &mut Rng) -> Vec<u8> {
    let frames = (sheet.seconds * f64::from(SAMPLE_RATE) / f64::from(SAMPLES)).round();
    let frames = (frames as u32).max(1);
    let mut out = b"fLaC".to_vec();
    out.extend(streaminfo(frames));
    let comment = tags::vorbis(&sheet.tags);
    out.push(0x84); // The last block of metadata: a Vorbis comment.
    out.extend_from_slice(&(comment.len() as u32).to_be_bytes()[1..]);
    out.extend(comment);
    let begin = out.len();
    let bytes_each = f64::from(sheet.kbps) * 125.0 * f64::from(SAMPLES) / f64::from(SAMPLE_RATE);
    for number in 0..frames {
        let due = begin as f64 + f64::from(number + 1) * bytes_each;
        frame(number, (out.len() as f64) < due, rng, &mut out);
    }
    out
}

/// The first block of metadata: 16 bits, stereo, checksum of the sound unknown.
fn streaminfo(frames: u32) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 34];
    out.extend_from_slice(&(SAMPLES as u16).to_be_bytes());
    out.extend_from_slice(&(SAMPLES as u16).to_be_bytes());
    out.extend_from_slice(&[0; 6]); // Sizes of frames are unknown.
    let samples = u64::from(frames) * u64::from(SAMPLES);
    let packed = u64::from(SAMPLE_RATE) << 44 | 1 << 41 | 15 << 36 | samples;
    out.extend_from_slice(&packed.to_be_bytes());
    out.extend_from_slice(&[0; 16]);
    out
}

fn frame(number: u32, sounds: bool, rng: &mut Rng, out: &mut Vec<u8>) {
    let begin = out.len();
    // Fixed block size; 4096 samples, 44.1 kHz; two channels, 16 bits.
    out.extend_from_slice(&[0xff, 0xf8, 0xc9, 0x18]);
    coded_number(number, out);
    out.push(crc8(&out[begin..]));
    for _ in 0..2 {
        if sounds {
            out.push(0x02); // Verbatim.
            noise(rng, 2 * SAMPLES as usize, out);
        } else {
            out.extend_from_slice(&[0x00, 0, 0]); // Constant: one sample for all.
        }
    }
    let sum = crc16(&out[begin..]);
    out.extend_from_slice(&sum.to_be_bytes());
}

/// A number in the manner of UTF-8, as the format writes the numbers of its frames.
fn coded_number(number: u32, out: &mut Vec<u8>) {
    if number < 0x80 {
        return out.push(number as u8);
    }
    let more = match number {
        0..0x800 => 1,
        0x800..0x1_0000 => 2,
        0x1_0000..0x20_0000 => 3,
        _ => 4,
    };
    let lead = !(0x7f_u8 >> more);
    out.push(lead | (number >> (6 * more)) as u8);
    for left in (0..more).rev() {
        out.push(0x80 | (number >> (6 * left) & 0x3f) as u8);
    }
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, byte| {
        (0..8).fold(sum ^ byte, |sum, _| {
            let carry = if sum & 0x80 != 0 { 0x07 } else { 0 };
            sum << 1 ^ carry
        })
    })
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum: u16, byte| {
        sum << 8 ^ CRC16[usize::from((sum >> 8) as u8 ^ byte)]
    })
}

/// The remainders of all bytes; computing them bit by bit for megabytes of noise would take longer
/// than the noise.
const CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut sum = (index as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            let carry = if sum & 0x8000 != 0 { 0x8005 } else { 0 };
            sum = sum << 1 ^ carry;
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are those of UTF-8 as long as UTF-8 has them.
    #[test]
    fn numbers_are_written_like_characters() {
        for number in [0, 0x7f, 0x80, 0x7ff, 0x800, 0xffff, 0x1_0000, 0x10_ffff] {
            let mut out = Vec::new();
            coded_number(number, &mut out);
            let character = char::from_u32(number).unwrap_or('\u{fffd}');
            assert_eq!(out, character.to_string().as_bytes(), "{number:#x}");
        }
    }

    /// Check values of the two polynomials, from the catalogue of CRC algorithms (CRC-8/SMBUS and
    /// CRC-16/UMTS).
    #[test]
    fn checksums_are_those_of_the_format() {
        assert_eq!(crc8(b"123456789"), 0xf4);
        assert_eq!(crc16(b"123456789"), 0xfee8);
    }
}
