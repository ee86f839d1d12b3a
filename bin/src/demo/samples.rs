//! A few generated melodies, so that the demo has music without any file.
//!
//! Plucked notes over slow chords and a bass, with an echo; each piece has its key, its chords and
//! its cover. Written as WAV with an ID3 tag, the way other programs do it.

mod cover;
mod sound;

use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};

use crate::failure::Failure;

/// Samples per second: half of what an ear can hear at best, plenty for these instruments.
const RATE: u32 = 32_000;

/// A piece of music, in as few words as it takes.
struct Piece {
    title: &'static str,
    genre: &'static str,
    /// Beats per minute.
    tempo: f32,
    /// The key: steps of a semitone above the C of 65 Hz.
    key: i32,
    /// The chords, a bar of four beats each: semitones above the key.
    chords: &'static [[i32; 4]],
    /// The order in which a chord's notes are plucked, in eighths; none rests.
    pattern: [Option<usize>; 8],
    /// The tune above, in quarters: semitones above the key; none holds.
    tune: &'static [Option<i32>],
    /// How often the chords are gone through.
    rounds: u32,
    /// Two colours of the cover.
    colours: ([u8; 3], [u8; 3]),
}

const ALBUM: &str = "Six Small Machines";
const ARTIST: &str = "dispotify";

const I: [i32; 4] = [0, 4, 7, 12];
const II: [i32; 4] = [2, 5, 9, 14];
const IV: [i32; 4] = [5, 9, 12, 17];
const V: [i32; 4] = [7, 11, 14, 19];
const VI: [i32; 4] = [9, 12, 16, 21];
const III: [i32; 4] = [4, 7, 11, 16];

const PIECES: [Piece; 5] = [
    Piece {
        title: "Morning on Three Disks",
        genre: "Ambient",
        tempo: 84.0,
        key: 7,
        chords: &[I, VI, IV, V],
        pattern: [
            Some(0),
            Some(1),
            Some(2),
            Some(3),
            Some(2),
            Some(1),
            Some(2),
            Some(1),
        ],
        tune: &[
            Some(24),
            None,
            Some(28),
            Some(31),
            Some(33),
            None,
            Some(31),
            Some(28),
            Some(29),
            None,
            Some(33),
            Some(31),
            Some(26),
            None,
            Some(31),
            None,
        ],
        rounds: 3,
        colours: ([255, 183, 77], [78, 52, 109]),
    },
    Piece {
        title: "The Plug Is Pulled",
        genre: "Electronic",
        tempo: 112.0,
        key: 2,
        chords: &[VI, IV, I, V],
        pattern: [
            Some(0),
            Some(2),
            Some(3),
            Some(2),
            Some(1),
            Some(3),
            Some(2),
            Some(3),
        ],
        tune: &[
            Some(33),
            Some(31),
            None,
            Some(28),
            Some(29),
            None,
            Some(28),
            Some(24),
            Some(28),
            None,
            Some(31),
            None,
            Some(35),
            Some(33),
            Some(31),
            None,
        ],
        rounds: 4,
        colours: ([41, 182, 246], [13, 27, 62]),
    },
    Piece {
        title: "Waltz of the Heartbeats",
        genre: "Classical",
        tempo: 96.0,
        key: 5,
        chords: &[I, III, IV, I, IV, II, V, I],
        pattern: [
            Some(0),
            None,
            Some(2),
            Some(1),
            Some(3),
            None,
            Some(2),
            Some(1),
        ],
        tune: &[
            Some(28),
            None,
            Some(31),
            Some(28),
            Some(28),
            None,
            Some(23),
            None,
            Some(29),
            Some(28),
            Some(24),
            None,
            Some(24),
            None,
            None,
            Some(26),
        ],
        rounds: 2,
        colours: ([239, 154, 154], [62, 39, 35]),
    },
    Piece {
        title: "Ring Report",
        genre: "Electronic",
        tempo: 120.0,
        key: 9,
        chords: &[I, V, VI, IV],
        pattern: [
            Some(0),
            Some(3),
            Some(1),
            Some(2),
            Some(0),
            Some(3),
            Some(2),
            Some(1),
        ],
        tune: &[
            Some(31),
            None,
            Some(28),
            Some(24),
            Some(26),
            None,
            Some(23),
            None,
            Some(24),
            Some(28),
            Some(33),
            None,
            Some(29),
            Some(28),
            Some(24),
            None,
        ],
        rounds: 4,
        colours: ([165, 214, 167], [0, 77, 64]),
    },
    Piece {
        title: "Good Night, Router",
        genre: "Ambient",
        tempo: 66.0,
        key: 0,
        chords: &[IV, I, II, V, IV, III, II, I],
        pattern: [
            Some(0),
            Some(1),
            Some(3),
            None,
            Some(2),
            None,
            Some(1),
            None,
        ],
        tune: &[
            Some(29),
            None,
            None,
            Some(28),
            Some(24),
            None,
            None,
            None,
            Some(26),
            None,
            Some(29),
            Some(26),
            Some(23),
            None,
            None,
            None,
        ],
        rounds: 1,
        colours: ([179, 157, 219], [18, 18, 48]),
    },
];

/// Writes all pieces into a folder, and gives the folder.
pub(super) fn write(folder: &Path) -> Result<PathBuf, Failure> {
    let written = fs::create_dir_all(folder).and_then(|()| {
        (1..).zip(&PIECES).try_for_each(|(track, piece)| {
            let path = folder.join(format!("{track} {}.wav", piece.title));
            fs::write(path, file(track, piece)?)
        })
    });
    written.map_err(|error| Failure::failed("make music", error))?;
    Ok(folder.to_path_buf())
}

/// A piece as a WAV file with its tag before the sound, where a player finds it first.
fn file(track: u16, piece: &Piece) -> io::Result<Vec<u8>> {
    let spec = WavSpec {
        channels: 2,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut plain = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut plain, spec).map_err(io::Error::other)?;
    for sample in sound::play(piece) {
        writer.write_sample(sample).map_err(io::Error::other)?;
    }
    writer.finalize().map_err(io::Error::other)?;
    Ok(with_tag(&plain.into_inner(), &tag(track, piece)))
}

/// Puts an `id3 ` chunk before the `data` chunk, and makes the lengths right again.
fn with_tag(plain: &[u8], tag: &[u8]) -> Vec<u8> {
    let format = plain.len().min(HEAD_BYTES);
    let mut file = plain[..format].to_vec();
    file.extend_from_slice(b"id3 ");
    file.extend_from_slice(&(tag.len() as u32).to_le_bytes());
    file.extend_from_slice(tag);
    file.extend((tag.len() % 2 == 1).then_some(0));
    file.extend_from_slice(&plain[format..]);
    let riff = (file.len() as u32 - 8).to_le_bytes();
    file[4..8].copy_from_slice(&riff);
    file
}

/// `RIFF`, its length, `WAVE`, and a format chunk of 16 bytes, as 16-bit sound has it.
const HEAD_BYTES: usize = 12 + 8 + 16;

/// An ID3 tag, version 2.4.
fn tag(track: u16, piece: &Piece) -> Vec<u8> {
    let mut frames = Vec::new();
    let track = track.to_string();
    let words = [
        ("TIT2", piece.title),
        ("TPE1", ARTIST),
        ("TALB", ALBUM),
        ("TCON", piece.genre),
        ("TDRC", "2026"),
        ("TRCK", &track),
    ];
    for (name, text) in words {
        frame(&mut frames, name, &[&[UTF_8], text.as_bytes()].concat());
    }
    let picture: [&[u8]; 3] = [&[UTF_8], b"image/bmp\0", &[FRONT_COVER, 0]];
    let cover = cover::draw(piece.colours, &track);
    frame(&mut frames, "APIC", &[&picture.concat(), &*cover].concat());
    let mut tag = b"ID3\x04\x00\x00".to_vec();
    tag.extend_from_slice(&synchsafe(frames.len()));
    tag.extend_from_slice(&frames);
    tag
}

fn frame(frames: &mut Vec<u8>, name: &str, content: &[u8]) {
    frames.extend_from_slice(name.as_bytes());
    frames.extend_from_slice(&synchsafe(content.len()));
    frames.extend_from_slice(&[0, 0]);
    frames.extend_from_slice(content);
}

/// A length in four bytes of seven bits each.
fn synchsafe(length: usize) -> [u8; 4] {
    [21, 14, 7, 0].map(|shift| (length >> shift) as u8 & 0x7f)
}

const UTF_8: u8 = 3;
const FRONT_COVER: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use roles::contract::song::Format;

    /// Everything a catalogue shows is found in the file, and it plays as long as it should.
    #[test]
    fn a_piece_is_a_song_like_any_other() {
        let dir = std::env::temp_dir().join(format!("dispotify-samples-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder");
        let path = dir.join("x.wav");
        fs::write(&path, file(5, &PIECES[4]).expect("a file")).expect("written");
        let manifest = storage::import::scan(&path).expect("a song");
        let mut source = fs::File::open(&path).expect("written");
        let picture = storage::tags::picture(&mut source, Format::Wav).expect("a cover");
        fs::remove_dir_all(&dir).expect("removed");

        let song = &manifest.song;
        assert_eq!(song.format, Format::Wav);
        assert_eq!((&*song.title, &*song.artist), (PIECES[4].title, ARTIST));
        assert_eq!((&*song.album, song.year, song.track), (ALBUM, 2026, 5));
        assert!(
            (20_000..60_000).contains(&song.duration_ms),
            "{}",
            song.duration_ms
        );
        assert!(manifest.picture);
        assert_eq!(picture.media_type, "image/bmp");
    }

    #[test]
    fn nothing_is_too_loud_and_nothing_is_silent() {
        let samples = sound::play(&PIECES[4]);
        let loudest = samples.iter().map(|s| s.unsigned_abs()).max();
        assert!(
            (15_000..32_000).contains(&loudest.unwrap_or(0)),
            "{loudest:?}"
        );
        let second = 2 * RATE as usize;
        let heard = |part: &[i16]| part.iter().any(|s| s.unsigned_abs() > 500);
        assert!(samples.chunks(second).take(20).all(heard));
        assert!(
            samples[samples.len() - 10..]
                .iter()
                .all(|s| s.unsigned_abs() < 300)
        );
    }
}
