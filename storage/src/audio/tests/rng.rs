//! Files damaged at random: no panic, no byte lost, whatever they have become.

use super::streams::{flac, id3v2, mp3, mp4, ogg, wav};
use super::*;
use crate::tags;

/// A generator of its own, so that a failure is found again by its number.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `n`, or 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.roll() % n.max(1) as u64) as usize
    }

    fn garbage(&mut self) -> Vec<u8> {
        let length = self.below(3000);
        (0..length).map(|_| self.roll() as u8).collect()
    }
}

/// Changes a file in one to four places, each in one of the ways files are damaged.
pub(super) fn damage(file: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(file.len());
        match dice.below(8) {
            0 => file.truncate(at),
            1 => drop(file.splice(at..at, dice.garbage())),
            2 => drop(file.drain(at..(at + dice.below(2000)).min(file.len()))),
            3 => file.extend(dice.garbage()),
            4 => drop(file.splice(0..0, dice.garbage())),
            5 => file.extend_from_within(at..),
            6 => file
                .iter_mut()
                .skip(at)
                .take(8)
                .for_each(|byte| *byte = 0xff),
            _ => {
                for _ in 0..dice.below(20) {
                    // Headers and tables lie in front: they are hit more often than the sound.
                    let near = if dice.below(2) == 0 { 200 } else { file.len() };
                    let place = dice.below(near.min(file.len()));
                    if let Some(byte) = file.get_mut(place) {
                        *byte ^= 1 << dice.below(8);
                    }
                }
            }
        }
    }
}

#[test]
fn no_damage_loses_a_byte() {
    let files = [
        wav(8_000, 2, 20_000),
        [id3v2(300), mp3(120)].concat(),
        flac(120, false).0,
        flac(120, true).0,
        ogg(b"\x01vorbis", 90, 1).0,
        ogg(b"OpusHead", 90, 1).0,
        mp4(400, true, b"mp4a").0,
        mp4(400, false, b"alac").0,
    ];
    for seed in 0..2000 {
        let mut dice = Dice::new(seed);
        for file in &files {
            let mut file = file.clone();
            damage(&mut file, &mut dice);
            if !file.is_empty() {
                // Asserts that the cutting is whole.
                cut_bytes(&file);
            }
        }
    }
}

/// Every length a download may have been broken off at.
#[test]
fn a_file_may_end_anywhere() {
    for file in [
        wav(8_000, 1, 300),
        [id3v2(30), mp3(6)].concat(),
        flac(6, false).0,
        ogg(b"\x01vorbis", 6, 1).0,
        mp4(20, true, b"mp4a").0,
        mp4(20, false, b"mp4a").0,
    ] {
        for length in 1..file.len() {
            cut_bytes(&file[..length]);
        }
    }
}

/// Files on which lofty gives up, or goes mad, have no tags.
#[test]
fn no_damage_stops_the_reading_of_tags() {
    for seed in 0..150 {
        let mut dice = Dice::new(seed);
        for (mut file, format) in [
            (wav(8_000, 2, 2_000), Format::Wav),
            ([id3v2(300), mp3(20)].concat(), Format::Mp3),
            (flac(20, false).0, Format::Flac),
            (ogg(b"\x01vorbis", 20, 1).0, Format::Vorbis),
            (mp4(40, true, b"mp4a").0, Format::M4a),
        ] {
            damage(&mut file, &mut dice);
            tags::read(&mut Cursor::new(&file), format);
            tags::read(&mut Cursor::new(&file), Format::Opaque);
        }
    }
}
