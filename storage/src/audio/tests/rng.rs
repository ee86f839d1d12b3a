//! Files damaged at random: no panic, no byte lost, whatever they have become.

use super::damage::{Dice, damage};
use super::streams::{flac, id3v2, mp3, mp4, ogg, wav};
use super::*;
use crate::tags;

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
                let bytes = file.len() as u64;
                playable_head(&mut Cursor::new(&file), bytes, (bytes / 3, bytes));
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

/// Tags of damaged files are read as far as they go.
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
