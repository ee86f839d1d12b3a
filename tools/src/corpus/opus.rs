//! Opus in Ogg: packets of twenty milliseconds, as long as the bit rate asks for.

use roles::contract::rng::Rng;

use super::{Sheet, noise, tags};

/// Samples of one packet, at the 48 kHz that the container always counts in.
const SAMPLES: u64 = 960;

/// Packets on a page: a second of sound.
const PACKETS: usize = 50;

pub(super) fn file(sheet: &Sheet, rng: &mut Rng) -> Vec<u8> {
    let mut ogg = Ogg {
        out: Vec::new(),
        serial: rng.bits() as u32,
        number: 0,
    };
    // Version 1, two channels, nothing to skip, 48 kHz, no gain, one stream.
    let head = b"OpusHead\x01\x02\x00\x00\x80\xbb\x00\x00\x00\x00\x00".to_vec();
    ogg.page(&[head], 0, BEGIN);
    let comment = [b"OpusTags".as_slice(), &tags::vorbis(&sheet.tags)].concat();
    ogg.page(&[comment], 0, 0);
    let all = ((sheet.seconds * 50.0).round() as usize).max(1);
    // A packet of 255 bytes and more needs two entries of a page's table; both fit.
    let length = (sheet.kbps * 125 / 50).clamp(2, 1200) as usize;
    for first in (0..all).step_by(PACKETS) {
        let end = (first + PACKETS).min(all);
        let packets: Vec<Vec<u8>> = (first..end).map(|_| packet(length, rng)).collect();
        let last = if end == all { END } else { 0 };
        ogg.page(&packets, end as u64 * SAMPLES, last);
    }
    ogg.out
}

/// One frame of full bandwidth, stereo, twenty milliseconds.
fn packet(length: usize, rng: &mut Rng) -> Vec<u8> {
    let mut packet = vec![31 << 3 | 1 << 2];
    noise(rng, length - 1, &mut packet);
    packet
}

const BEGIN: u8 = 2;
const END: u8 = 4;

struct Ogg {
    out: Vec<u8>,
    serial: u32,
    number: u32,
}

impl Ogg {
    /// Writes a page of whole packets. All of a page's packets need at most 255 table entries.
    fn page(&mut self, packets: &[Vec<u8>], granule: u64, flags: u8) {
        let begin = self.out.len();
        let mut table = Vec::new();
        for packet in packets {
            table.extend(std::iter::repeat_n(255, packet.len() / 255));
            table.push((packet.len() % 255) as u8);
        }
        self.out.extend_from_slice(b"OggS\0");
        self.out.push(flags);
        self.out.extend_from_slice(&granule.to_le_bytes());
        self.out.extend_from_slice(&self.serial.to_le_bytes());
        self.out.extend_from_slice(&self.number.to_le_bytes());
        self.out.extend_from_slice(&[0; 4]);
        self.out.push(table.len() as u8);
        self.out.extend(table);
        packets
            .iter()
            .for_each(|packet| self.out.extend_from_slice(packet));
        let sum = crc32(&self.out[begin..]);
        self.out[begin + 22..begin + 26].copy_from_slice(&sum.to_le_bytes());
        self.number += 1;
    }
}

/// The container's checksum: the polynomial of Ethernet, unreflected, beginning with 0.
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum: u32, byte| {
        sum << 8 ^ CRC32[usize::from((sum >> 24) as u8 ^ byte)]
    })
}

const CRC32: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut sum = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            let carry = if sum & 0x8000_0000 != 0 {
                0x04c1_1db7
            } else {
                0
            };
            sum = sum << 1 ^ carry;
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
};
