//! Files damaged at random: no panic, no byte lost, whatever they have become.

use super::damage::fuzz;
use super::streams::{flac, id3v2, mp3, mp4, ogg, ogg_flac, old_ogg, wav};
use super::*;
use crate::tags;

/// Cuts a file, which asserts that the cutting is whole, and makes what a player needs.
fn use_up(file: &[u8]) {
    let cutting = cut_bytes(file);
    let bytes = file.len() as u64;
    playable_head(&mut Cursor::new(file), bytes, (bytes / 3, bytes));
    headers_alone(file);
    for cut in &cutting.cuts {
        let fragment = &file[cut.offset as usize..][..cut.length as usize];
        is_of_streams(file, fragment);
        stream_headers(fragment);
    }
}

fn tags_of(file: &[u8], format: Format) {
    tags::read(&mut Cursor::new(file), format);
    tags::picture(&mut Cursor::new(file), format);
}

#[test]
fn fuzz_wave() {
    fuzz("WAV", &[wav(8_000, 2, 2_000)], use_up);
}

#[test]
fn fuzz_mp3() {
    fuzz("MP3", &[[id3v2(300), mp3(12)].concat()], use_up);
}

#[test]
fn fuzz_flac() {
    fuzz("FLAC", &[flac(12, false).0, flac(12, true).0], use_up);
}

#[test]
fn fuzz_ogg() {
    let vorbis = ogg(b"\x01vorbis", 12, 1).0;
    let chain = [&vorbis[..], &ogg(b"\x01vorbis", 12, 2).0].concat();
    let opus = ogg(b"OpusHead", 12, 1).0;
    let files = [vorbis, chain, opus, ogg_flac(12), old_ogg(12, true).0];
    fuzz("Ogg", &files, use_up);
}

#[test]
fn fuzz_mp4() {
    let files = [mp4(40, true, b"mp4a").0, mp4(40, false, b"alac").0];
    fuzz("MP4", &files, use_up);
}

/// Tags where no tag is, and whatever format the file is said to have.
#[test]
fn fuzz_tags_of_sound() {
    let files = [
        wav(8_000, 2, 500),
        [id3v2(300), mp3(4)].concat(),
        flac(8, false).0,
        ogg(b"\x01vorbis", 8, 1).0,
        mp4(20, true, b"mp4a").0,
    ];
    fuzz("tags of sound", &files, |file| {
        tags_of(file, Format::Opaque);
        tags_of(file, Format::Flac);
    });
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
