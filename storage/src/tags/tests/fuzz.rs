//! Tags damaged at random: reading them neither panics, nor takes long, nor takes much memory.

use super::*;
use crate::audio::damage::fuzz;

fn use_up(file: &[u8]) {
    of(file);
    picture_of(file);
}

fn frames() -> [Vec<u8>; 5] {
    let apic = [&b"\0image/png\0\x03\0"[..], &image(300)].concat();
    [
        utf8("TIT2", "t"),
        frame("APIC", &apic),
        utf16_frame("TPE1", "A"),
        frame("COMM", b"\0engx\0y"),
        utf8("TDRC", "1959"),
    ]
}

#[test]
fn fuzz_id3v2() {
    let packed = |codes: &[u8]| flagged("TIT2", 0x80, &[&[0; 4][..], codes].concat());
    let files = [
        [id3(3, &frames()), id3(4, &frames()), mp3_frames()].concat(),
        unsynchronised(3, &frames()),
        id3(3, &[packed(OWN_CODES)]),
        id3(3, &[packed(FIXED_CODES)]),
        id3v22(&[("TT2", b"\0t"), ("PIC", b"\0PNG\x03\0abc"), ("TP1", b"\0A")]),
    ];
    fuzz("ID3v2", &files, use_up);
}

#[test]
fn fuzz_vorbis_comments() {
    let block = picture_block(3, &image(300));
    let coded = format!("METADATA_BLOCK_PICTURE={}", base64(&block));
    let comments = comment(&["TITLE=t", &coded, "ARTIST=A"]);
    let files = [
        flac(&[(4, &comments), (6, &block)]),
        ogg(b"\x01vorbis", b"\x03vorbis", &comments),
        ogg(b"OpusHead", b"OpusTags", &comments),
    ];
    fuzz("Vorbis comments", &files, use_up);
}

#[test]
fn fuzz_mp4_items() {
    let items = [
        text_item(b"\xa9nam", "t"),
        atom(b"covr", &data(14, &image(300))),
        atom(b"trkn", &data(0, &[0, 0, 0, 3, 0, 12, 0, 0])),
    ];
    let files = [
        mp4(&items),
        places::movie(&[places::keyed(&[(b"title", "t"), (b"artist", "A")])], b""),
        places::movie(&[places::quick_text(b"\xa9nam", "t")], b""),
    ];
    fuzz("MP4 items", &files, use_up);
}

#[test]
fn fuzz_riff_and_trailing_tags() {
    let front = [&b"cover.png\0"[..], &image(300)].concat();
    let lyrics = [&b"LYRICSBEGIN"[..], &[b'x'; 100], b"LYRICSEND"].concat();
    let files = [
        wave(&[("INAM", b"t"), ("IART", b"A")]),
        [
            ape(&[("Title", b"t"), ("Cover Art (Front)", &front)]),
            lyrics,
            id3v1("t", "A", "B", "1", 1),
        ]
        .concat(),
    ];
    fuzz("RIFF and trailing tags", &files, use_up);
}
