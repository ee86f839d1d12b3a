//! Files as careless writers, recorders and joiners leave them, which players play: each is a recipe,
//! and the format and the length that it must have.

use super::streams::{flac, id3v2, mp3, mp3_frame, mp4, ogg, wav};
use super::*;

/// Frames of MPEG-1 layer III at 48 kHz: 24 ms each.
fn faster_mp3(frames: usize) -> Vec<u8> {
    let mut frame = mp3_frame(0);
    frame[2] = 0x94;
    frame.truncate(384);
    frame.repeat(frames)
}

/// An APE tag in front of the sound, with a cover of so many bytes.
fn ape_in_front(bytes: usize) -> Vec<u8> {
    let item = [
        &(bytes as u32).to_le_bytes()[..],
        &[0; 4],
        b"Cover Art (Front)\0",
        &vec![7; bytes],
    ]
    .concat();
    let end = |flags: u32| {
        let size = (item.len() as u32 + 32).to_le_bytes();
        let numbers = [&size[..], &[1, 0, 0, 0], &flags.to_le_bytes()].concat();
        [&b"APETAGEX\xd0\x07\0\0"[..], &numbers, &[0; 8]].concat()
    };
    [end(0xa000_0000), item.clone(), end(0x8000_0000)].concat()
}

/// A FLAC file of 50 frames (4643 ms) after `change`.
fn flac_with(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (mut file, _) = flac(50, false);
    change(&mut file);
    file
}

/// So many samples are announced, of which 0 is unknown.
fn flac_of(samples: u32, behind: &[u8]) -> Vec<u8> {
    let mut file = flac_with(|file| file[22..26].copy_from_slice(&samples.to_be_bytes()));
    file.extend(behind);
    file
}

/// A FLAC file whose last metadata block is a cover that is larger than its length says.
fn flac_with_cover(bytes: usize, length: u32) -> Vec<u8> {
    flac_with(|file| {
        let cover = [&[0x86], &length.to_be_bytes()[1..], &vec![0x55; bytes]].concat();
        file[42] = 0x04;
        file.splice(51..51, cover);
    })
}

/// WAV at 8 kHz, mono, 8 bits: three seconds, in chunks that forget their padding where they are odd.
fn unpadded_wave() -> Vec<u8> {
    let chunk = |kind: &[u8], body: &[u8]| {
        let length = (body.len() as u32).to_le_bytes();
        [kind, &length, body].concat()
    };
    let fmt = [1, 0, 1, 0, 0x40, 0x1f, 0, 0, 0x40, 0x1f, 0, 0, 1, 0, 8, 0];
    let body = [
        chunk(b"junk", b"odd"),
        chunk(b"fmt ", &fmt),
        chunk(b"data", &[0x80; 24_000]),
    ];
    chunk(b"RIFF", &[&b"WAVE"[..], &body.concat()].concat())
}

/// Every granule but those of the headers is later by so many samples.
fn later(file: Vec<u8>, starts: &[u64], samples: u64) -> Vec<u8> {
    let mut file = file;
    for at in starts {
        let place = *at as usize + 6..*at as usize + 14;
        let granule = u64::from_le_bytes(file[place.clone()].try_into().expect("eight bytes"));
        file[place].copy_from_slice(&granule.wrapping_add(samples).to_le_bytes());
    }
    file
}

fn later_ogg(magic: &[u8], samples: u64) -> Vec<u8> {
    let (file, starts) = ogg(magic, 60, 1);
    later(file, &starts, samples)
}

/// The file without its type: old ones begin with their sound or their index.
fn without_type(index_in_front: bool, begins: &[u8; 4]) -> Vec<u8> {
    let (mut file, _) = mp4(1000, index_in_front, b"mp4a");
    file[4..8].copy_from_slice(begins);
    file
}

#[test]
fn odd_files_are_cut() {
    let vorbis = b"\x01vorbis";
    let rates = [mp3(500), faster_mp3(500), mp3(500)];
    let tagged = [mp3(500), id3v2(300_000), faster_mp3(500)];
    let zeros = |n: usize| vec![0; n];
    let large = (1 << 24) + 5;
    let sound = [wav(8_000, 1, 24_000), zeros(3)].concat();
    let cases = [
        (
            "zeros before MP3",
            [zeros(600_000), mp3(500)].concat(),
            Format::Mp3,
            13_061,
        ),
        (
            "an APE tag before MP3",
            [ape_in_front(400_000), mp3(500)].concat(),
            Format::Mp3,
            13_061,
        ),
        ("MP3 of two rates", rates.concat(), Format::Mp3, 38_122),
        (
            "MP3 of two rates and a tag",
            tagged.concat(),
            Format::Mp3,
            25_061,
        ),
        (
            "FLAC, unknown length, junk behind",
            flac_of(0, &zeros(2_000)),
            Format::Flac,
            4_643,
        ),
        (
            "FLAC, unknown length, a tag behind",
            flac_of(0, &[b'3'; 900]),
            Format::Flac,
            4_643,
        ),
        (
            "FLAC of more frames than announced",
            flac_of(10 * 4096, b""),
            Format::Flac,
            4_643,
        ),
        (
            "FLAC of less frames than announced",
            flac_of(80 * 4096, b""),
            Format::Flac,
            4_643,
        ),
        (
            "FLAC, no last block",
            flac_with(|file| file[42] = 4),
            Format::Flac,
            4_643,
        ),
        (
            "FLAC, a block too short",
            flac_with(|file| file[45] = 2),
            Format::Flac,
            4_643,
        ),
        (
            "FLAC, a block past the end",
            flac_with(|file| file[43] = 0xff),
            Format::Flac,
            4_643,
        ),
        (
            "FLAC, a cover without room",
            flac_with_cover(large, 5),
            Format::Flac,
            4_643,
        ),
        (
            "junk before FLAC",
            [zeros(9), flac(50, false).0].concat(),
            Format::Flac,
            4_643,
        ),
        (
            "junk before Vorbis",
            [zeros(9), ogg(vorbis, 60, 1).0].concat(),
            Format::Vorbis,
            30_000,
        ),
        (
            "Vorbis that begins after an hour",
            later_ogg(vorbis, 44_100 * 3600),
            Format::Vorbis,
            30_000,
        ),
        (
            "Vorbis that begins after ten seconds",
            later_ogg(vorbis, 441_000),
            Format::Vorbis,
            30_000,
        ),
        (
            "Vorbis that begins before zero",
            later_ogg(vorbis, 0u64.wrapping_sub(44_100)),
            Format::Vorbis,
            29_000,
        ),
        (
            "Opus that begins after ten seconds",
            later_ogg(b"OpusHead", 480_000),
            Format::Opus,
            29_993,
        ),
        (
            "MP4 that begins with a free box",
            without_type(true, b"free"),
            Format::M4a,
            23_219,
        ),
        (
            "MP4 that begins with a wide box",
            without_type(false, b"wide"),
            Format::M4a,
            23_219,
        ),
        ("WAV without padding", unpadded_wave(), Format::Wav, 3_000),
        ("WAV with zeros behind", sound, Format::Wav, 3_000),
    ];
    let wrong: Vec<String> = cases
        .iter()
        .map(|(name, file, format, ms)| (name, cut_bytes(file), format, ms))
        // Of a first page, nothing says exactly where it begins.
        .filter(|(_, found, format, ms)| {
            found.format != **format || found.duration_ms.abs_diff(**ms) > 30
        })
        .map(|(name, found, ..)| format!("{name}: {} {}", found.format, found.duration_ms))
        .collect();
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
}

/// Many tags that lie about their lengths, each before two frames, do not cost a search each.
#[test]
fn tags_that_lie_cost_one_search() {
    let mut lie = id3v2(0);
    lie[6..10].copy_from_slice(&[0, 0x7f, 0x7f, 0x7f]);
    let lies = [mp3(4), lie].concat().repeat(400);
    let file = [lies, vec![0; 3_000_000]].concat();
    struct Counting<'f>(Cursor<&'f [u8]>, u64);
    impl Read for Counting<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(buffer)?;
            self.1 += read as u64;
            Ok(read)
        }
    }
    impl Seek for Counting<'_> {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    let mut source = Counting(Cursor::new(&file), 0);
    let cutting = cut(&mut source, file.len() as u64).expect("memory can be read");
    assert_eq!((cutting.format, cutting.duration_ms), (Format::Mp3, 41_795));
    assert!(source.1 < 10 * file.len() as u64, "{} bytes read", source.1);
}
