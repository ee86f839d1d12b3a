//! Formats that are cut by size and say how long they last: files made by hand.

use super::damage::fuzz;
use super::*;
use crate::tags;

/// Each lasts three seconds at 8 kHz, with two channels.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("AIFF", aiff()),
        ("compressed WAV", compressed_wave()),
        ("AU", au()),
        ("TTA", tta()),
        ("WavPack", wavpack()),
        ("Wave64", wave64()),
        ("CAF", caf()),
        ("ADTS", adts()),
        ("Matroska", matroska(true)),
        ("live Matroska", matroska(false)),
        ("MP4 in fragments", fragments()),
        ("Monkey's Audio", monkeys()),
        ("an old Monkey's Audio", old_monkeys()),
        ("DSF", dsf()),
        ("WMA", wma()),
        ("Speex", speex()),
    ]
}

#[test]
fn other_formats_are_known_by_their_headers() {
    for (name, file) in files() {
        let cutting = cut_bytes(&file);
        assert_eq!(cutting.format, Format::Opaque, "{name}");
        assert!(
            cutting.duration_ms.abs_diff(3_000) <= 128,
            "{name}: {}",
            cutting.duration_ms
        );
        let sound = (cutting.sample_rate, cutting.channels);
        assert_eq!(sound, (8_000, 2), "{name}");
        assert_eq!(parts(&cutting, Part::Audio), 0, "{name}");
    }
}

/// The tags of a track count, then those of its album; a cover is attached.
#[test]
fn matroska_says_its_words() {
    let found = tags::read(&mut Cursor::new(matroska(true)), Format::Opaque);
    let words = (found.title.as_str(), found.album.as_str(), found.year);
    assert_eq!((words, found.picture), (("T", "B", 1959), true));
    let found = tags::picture(&mut Cursor::new(matroska(true)), Format::Opaque);
    assert_eq!(found.map(|picture| picture.media_type), Some("image/png"));
}

#[test]
fn fuzz_other_formats() {
    let files: Vec<Vec<u8>> = files().into_iter().map(|(_, file)| file).collect();
    fuzz("other formats", &files, |file| {
        cut_bytes(file);
        tags::picture(&mut Cursor::new(file), Format::Opaque);
    });
}

/// Musepack has no rate of 8 kHz.
#[test]
fn musepack_is_known_by_its_header() {
    let frames = 115u32.to_le_bytes();
    let old = [&b"MP+\x17"[..], &frames, &[0, 0, 0, 0], &[0; 20]].concat();
    // 132 300 samples are 8, 9, 76 as digits of seven bits.
    let body = [0, 0, 0, 0, 8, 0x88, 0x89, 0x4c, 0, 0, 0x10];
    let new = [&b"MPCKSH"[..], &[3 + body.len() as u8], &body, &[0; 20]].concat();
    for (name, file) in [("version 7", old), ("version 8", new)] {
        let cutting = cut_bytes(&file);
        assert!(
            cutting.duration_ms.abs_diff(3_000) <= 30,
            "{name}: {}",
            cutting.duration_ms
        );
        assert_eq!(
            (cutting.sample_rate, cutting.channels),
            (44_100, 2),
            "{name}"
        );
    }
}

/// The words of WMA come from both of its objects, and a cover is attached.
#[test]
fn wma_says_its_words() {
    let found = tags::read(&mut Cursor::new(wma()), Format::Opaque);
    let words = (
        found.title.as_str(),
        found.artist.as_str(),
        found.album.as_str(),
    );
    assert_eq!(words, ("T\u{e9}", "A", "B"));
    assert_eq!((found.track, found.picture), (7, true));
}

/// The tag of DSF lies behind the sound, where its head says.
#[test]
fn dsf_says_its_words() {
    let found = tags::read(&mut Cursor::new(dsf()), Format::Opaque);
    assert_eq!(found.title, "T");
}

fn monkeys() -> Vec<u8> {
    let mut file = b"MAC \x96\x0f\0\0".to_vec();
    file.extend(52u32.to_le_bytes());
    file.extend([0; 40]);
    file.extend([0xd0, 7, 0, 0]);
    for number in [10_000u32, 4_000, 3] {
        file.extend(number.to_le_bytes());
    }
    file.extend([16, 0, 2, 0]);
    file.extend(8_000u32.to_le_bytes());
    file.extend([0; 20]);
    file
}

fn old_monkeys() -> Vec<u8> {
    // Version 3.20: frames of 9216 samples.
    let mut file = b"MAC \x80\x0c\xd0\x07\0\0\x02\0".to_vec();
    for number in [8_000u32, 44, 0, 3, 24_000 - 2 * 9_216] {
        file.extend(number.to_le_bytes());
    }
    file.extend([0; 20]);
    file
}

fn dsf() -> Vec<u8> {
    let tag = [&b"ID3\x03\0\0\0\0\0\x0cTIT2\0\0\0\x02\0\0\0T"[..]].concat();
    let mut file = b"DSD ".to_vec();
    for number in [28u64, 92 + tag.len() as u64, 92] {
        file.extend(number.to_le_bytes());
    }
    file.extend(b"fmt ");
    file.extend(52u64.to_le_bytes());
    for number in [1u32, 0, 2, 2, 8_000, 1] {
        file.extend(number.to_le_bytes());
    }
    file.extend(24_000u64.to_le_bytes());
    file.resize(92, 0);
    file.extend(tag);
    file
}

fn wma() -> Vec<u8> {
    let wide = |text: &str| -> Vec<u8> {
        let units = text.encode_utf16().chain([0]);
        units.flat_map(u16::to_le_bytes).collect()
    };
    let object = |name: [u8; 16], body: &[u8]| {
        let size = 24 + body.len() as u64;
        [&name[..], &size.to_le_bytes(), body].concat()
    };
    let mut properties = vec![0; 40];
    // Three seconds behind a preroll of a tenth, in steps of 100 ns.
    properties.extend(31_000_000u64.to_le_bytes());
    properties.extend([0; 8]);
    properties.extend(100u64.to_le_bytes());
    let audio = [
        0x40, 0x9e, 0x69, 0xf8, 0x4d, 0x5b, 0xcf, 0x11, 0xa8, 0xfd, 0, 0x80, 0x5f, 0x5c, 0x44, 0x2b,
    ];
    let mut stream = audio.to_vec();
    stream.extend([0; 38]);
    stream.extend([0x61, 1, 2, 0]);
    stream.extend(8_000u32.to_le_bytes());
    let (title, author) = (wide("T\u{e9}"), wide("A"));
    let lengths = [title.len() as u16, author.len() as u16, 0, 0, 0];
    let lengths: Vec<u8> = lengths.iter().flat_map(|n| n.to_le_bytes()).collect();
    let content = [lengths, title, author].concat();
    let descriptor = |name: &str, kind: u16, value: &[u8]| {
        let name = wide(name);
        let parts: [&[u8]; 5] = [
            &(name.len() as u16).to_le_bytes(),
            &name,
            &kind.to_le_bytes(),
            &(value.len() as u16).to_le_bytes(),
            value,
        ];
        parts.concat()
    };
    let cover = [
        &[3, 8, 0, 0, 0][..],
        &wide("image/png"),
        &wide(""),
        b"\x89PNG\r\n\x1a\n",
    ]
    .concat();
    let extended = [
        3u16.to_le_bytes().to_vec(),
        descriptor("WM/AlbumTitle", 0, &wide("B")),
        descriptor("WM/TrackNumber", 3, &7u32.to_le_bytes()),
        descriptor("WM/Picture", 1, &cover),
    ]
    .concat();
    let tail = [0xa6, 0xd9, 0, 0xaa, 0, 0x62, 0xce, 0x6c];
    let named = |first: u8| {
        let mut name = [0; 16];
        name[..8].copy_from_slice(&[first, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11]);
        name[8..].copy_from_slice(&tail);
        name
    };
    let second = |first: [u8; 6]| {
        let mut name = [0; 16];
        name[..6].copy_from_slice(&first);
        name[6..].copy_from_slice(&[
            0xcf,
            0x11,
            0x8e,
            if first[0] == 0xa1 { 0xe4 } else { 0xe6 },
            0,
            0xc0,
            0x0c,
            0x20,
            0x53,
            0x65,
        ]);
        name
    };
    let objects = [
        object(second([0xa1, 0xdc, 0xab, 0x8c, 0x47, 0xa9]), &properties),
        object(second([0x91, 0x07, 0xdc, 0xb7, 0xb7, 0xa9]), &stream),
        object(named(0x33), &content),
        object(EXTENDED_CONTENT, &extended),
    ];
    let body: Vec<u8> = objects.concat();
    let mut file = named(0x30).to_vec();
    file.extend((30 + body.len() as u64).to_le_bytes());
    file.extend((objects.len() as u32).to_le_bytes());
    file.extend([1, 2]);
    file.extend(body);
    file.extend(named(0x36));
    file.extend(50u64.to_le_bytes());
    file
}

const EXTENDED_CONTENT: [u8; 16] = [
    0x40, 0xa4, 0xd0, 0xd2, 0x07, 0xe3, 0xd2, 0x11, 0x97, 0xf0, 0, 0xa0, 0xc9, 0x5e, 0xa8, 0x50,
];

fn speex() -> Vec<u8> {
    let mut head = b"Speex   1.2".to_vec();
    head.resize(36, 0);
    head.extend(8_000u32.to_le_bytes());
    head.resize(48, 0);
    head.extend(2u32.to_le_bytes());
    head.resize(80, 0);
    let page = |kind: u8, granule: u64, body: &[u8]| {
        let mut page = b"OggS\0".to_vec();
        page.push(kind);
        page.extend(granule.to_le_bytes());
        page.extend([0; 12]);
        page.extend([1, body.len() as u8]);
        page.extend(body);
        page
    };
    [page(2, 0, &head), page(4, 24_000, &[1; 60])].concat()
}

fn aiff() -> Vec<u8> {
    let comm = [&[0, 2][..], &24_000u32.to_be_bytes(), &[0, 16]].concat();
    // 8000 is 1.953125 times two to the twelfth.
    let rate = [
        &0x400b_u16.to_be_bytes()[..],
        &(8_000u64 << 51).to_be_bytes(),
    ]
    .concat();
    let comm = [&b"COMM\0\0\0\x12"[..], &comm, &rate].concat();
    [&b"FORM\0\0\0\0AIFF"[..], &comm, b"SSND\0\0\0\x08", &[0; 8]].concat()
}

fn compressed_wave() -> Vec<u8> {
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x11\0\x02\0".to_vec();
    file.extend(8_000u32.to_le_bytes());
    file.extend(100u32.to_le_bytes());
    file.extend(b"\0\x02\x04\0data");
    file.extend(300u32.to_le_bytes());
    file.extend([7; 300]);
    file
}

fn au() -> Vec<u8> {
    let numbers = [24u32, u32::MAX, 3, 8_000, 2];
    let head: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
    [&b".snd"[..], &head, &vec![1; 96_000]].concat()
}

fn tta() -> Vec<u8> {
    let mut file = b"TTA1\x01\0\x02\0\x10\0".to_vec();
    file.extend(8_000u32.to_le_bytes());
    file.extend(24_000u32.to_le_bytes());
    file.extend([0; 20]);
    file
}

fn wavpack() -> Vec<u8> {
    let mut file = b"wvpk\x18\0\0\0\x10\x04\0\0".to_vec();
    file.extend(24_000u32.to_le_bytes());
    file.extend([0; 8]);
    file.extend((1u32 << 23).to_le_bytes());
    file.extend([0; 20]);
    file
}

fn wave64() -> Vec<u8> {
    let chunk = |id: &[u8; 4], body: &[u8]| {
        let size = (body.len() as u64 + 24).to_le_bytes();
        [&id[..], &[9; 12], &size, body].concat()
    };
    let mut fmt = vec![1, 0, 2, 0];
    fmt.extend(8_000u32.to_le_bytes());
    fmt.extend(32_000u32.to_le_bytes());
    fmt.extend([4, 0, 16, 0]);
    fmt.resize(16, 0);
    let mut file = b"riff\x2e\x91\xcf\x11".to_vec();
    file.resize(40, 0);
    [file, chunk(b"fmt ", &fmt), chunk(b"data", &vec![1; 96_000])].concat()
}

fn caf() -> Vec<u8> {
    let mut file = b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20".to_vec();
    file.extend(8_000f64.to_be_bytes());
    file.extend(b"lpcm\0\0\0\0");
    for number in [4u32, 1, 2, 16] {
        file.extend(number.to_be_bytes());
    }
    file.extend(b"data\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0");
    file.extend(vec![1; 96_000]);
    file
}

/// Frames of 1024 samples and 40 bytes.
fn adts() -> Vec<u8> {
    let mut frame = vec![0xff, 0xf1, 0x40 | 11 << 2, 0x80, 0x05, 0x1f, 0xfc];
    frame.resize(40, 3);
    frame.repeat(24)
}

/// An element of EBML: its id, its size in four bytes, its content.
fn element(id: u32, content: &[u8]) -> Vec<u8> {
    let id = id.to_be_bytes();
    let id = &id[id.iter().take_while(|byte| **byte == 0).count()..];
    let size = 0x1000_0000 | content.len() as u32;
    [id, &size.to_be_bytes(), content].concat()
}

fn matroska(says_how_long: bool) -> Vec<u8> {
    let simple = |name: &str, value: &str| {
        let parts = [
            element(0x45a3, name.as_bytes()),
            element(0x4487, value.as_bytes()),
        ];
        element(0x67c8, &parts.concat())
    };
    let targets = element(0x63c0, &element(0x68ca, &[30]));
    let track_tag = element(0x7373, &[targets, simple("TITLE", "T")].concat());
    let album_tag = [simple("TITLE", "B"), simple("DATE_RELEASED", "1959-08")].concat();
    let tags = element(
        0x1254_c367,
        &[track_tag, element(0x7373, &album_tag)].concat(),
    );
    let image = element(0x465c, b"\x89PNG\r\n\x1a\nimage");
    let named = element(0x466e, b"cover.png");
    let attached = element(0x1941_a469, &element(0x61a7, &[named, image].concat()));
    let audio = [element(0xb5, &8_000f32.to_be_bytes()), element(0x9f, &[2])].concat();
    let track = [element(0x83, &[2]), element(0xe1, &audio)].concat();
    let tracks = element(0x1654_ae6b, &element(0xae, &track));
    let duration = match says_how_long {
        true => element(0x4489, &3_000f64.to_be_bytes()),
        false => Vec::new(),
    };
    let scale = element(0x2a_d7b1, &1_000_000u32.to_be_bytes());
    let info = element(0x1549_a966, &[scale, duration].concat());
    let cluster = |ms: u16| element(0x1f43_b675, &element(0xe7, &ms.to_be_bytes()));
    let sound = [cluster(0), cluster(1_000), cluster(2_950)].concat();
    let segment = [info, tracks, tags, attached, sound].concat();
    [
        element(0x1a45_dfa3, b""),
        b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        segment,
    ]
    .concat()
}

/// An index without samples, and three fragments of eight samples of 1000 ticks each.
fn fragments() -> Vec<u8> {
    let numbers =
        |numbers: &[u32]| -> Vec<u8> { numbers.iter().flat_map(|n| n.to_be_bytes()).collect() };
    let atom = |kind: &[u8; 4], body: &[u8]| {
        [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
    };
    let mut entry = vec![0; 28];
    entry[7] = 1;
    entry[17] = 2;
    entry[24..26].copy_from_slice(&8_000u16.to_be_bytes());
    let stsd = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &atom(b"mp4a", &entry)].concat();
    let stbl = atom(b"stbl", &atom(b"stsd", &stsd));
    let mdia = [
        atom(b"mdhd", &numbers(&[0, 0, 0, 8_000, 0, 0])),
        atom(b"hdlr", &[&[0; 8][..], b"soun", &[0; 12]].concat()),
        atom(b"minf", &stbl),
    ];
    let tkhd = atom(b"tkhd", &numbers(&[0, 0, 0, 7, 0, 0, 0]));
    let trak = atom(b"trak", &[tkhd, atom(b"mdia", &mdia.concat())].concat());
    let trex = atom(b"mvex", &atom(b"trex", &numbers(&[0, 7, 1, 1_000, 0, 0])));
    let moov = atom(b"moov", &[trak, trex].concat());
    let fragment = |run: Vec<u8>| {
        let tfhd = atom(b"tfhd", &numbers(&[0, 7]));
        let traf = atom(b"traf", &[tfhd, atom(b"trun", &run)].concat());
        [atom(b"moof", &traf), atom(b"mdat", &[5; 80])].concat()
    };
    let timed: Vec<u32> = [0x100, 8].into_iter().chain([1_000; 8]).collect();
    [
        atom(b"ftyp", b"isom\0\0\0\0"),
        moov,
        fragment(numbers(&[0, 8])),
        fragment(numbers(&timed)),
        fragment(numbers(&[1, 8, 100])),
    ]
    .concat()
}
