//! Files to add: real sound that the test generates.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Writes a WAV of so many seconds: two tones, so that no two seconds are alike.
pub(super) fn wav(path: &Path, seconds: u32, tone: f32) {
    wav_at(44_100, path, seconds, tone);
}

/// As [`wav`], with so many samples per second.
pub(super) fn wav_at(sample_rate: u32, path: &Path, seconds: u32, tone: f32) {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("a WAV file");
    for n in 0..seconds * spec.sample_rate {
        let t = n as f32 / spec.sample_rate as f32;
        let sample = |f: f32| ((t * f * std::f32::consts::TAU).sin() * 9_000.0) as i16;
        writer.write_sample(sample(tone)).expect("a sample");
        writer.write_sample(sample(tone + t)).expect("a sample");
    }
    writer.finalize().expect("a whole WAV file");
}

/// Transcodes the file to every other supported format, with odd tags. Where ffmpeg is not
/// installed, reports a skip and gives no files.
pub(super) fn transcode(from: &Path, into: &Path) -> Vec<PathBuf> {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        skipped("five of six formats, ffmpeg is not installed");
        return vec![];
    }
    let formats: [(&str, &[&str]); 5] = [
        ("mp3", &["-q:a", "4"]),
        ("flac", &[]),
        ("ogg", &["-c:a", "libvorbis"]),
        ("opus", &["-c:a", "libopus"]),
        ("m4a", &["-c:a", "aac"]),
    ];
    let transcoded = |(suffix, options): &(&str, &[&str])| {
        let path = into.join(format!("song.{suffix}"));
        let title = format!("title={suffix}, \"quoted\" <script>%s\u{1f3b5}");
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-loglevel", "error", "-y", "-i"]).arg(from);
        ffmpeg.args(["-metadata", &title, "-metadata", "artist=Ñandú"]);
        let status = ffmpeg.args(*options).arg(&path).status();
        assert!(status.expect("ffmpeg runs").success(), "{suffix}");
        path
    };
    formats.iter().map(transcoded).collect()
}

/// Writes an MP3 of one second with this title; each number gives a different content.
pub(super) fn mp3_titled(path: &Path, title: &str, number: u8) {
    let text = [b"\x03", title.as_bytes()].concat();
    mp3(path, b"TIT2", &text, number);
}

/// Writes an MP3 of one second with a cover; gives the cover: a JPEG by its first bytes alone.
pub(super) fn mp3_with_cover(path: &Path, bytes: usize, number: u8) -> Vec<u8> {
    let mut cover = b"\xff\xd8\xff\xe0".to_vec();
    cover.extend((4..bytes).map(|n| (n / 7 + n / 1000) as u8 % 251));
    mp3(
        path,
        b"APIC",
        &[b"\0image/jpeg\0\x03\0", &cover[..]].concat(),
        number,
    );
    cover
}

/// Writes an MP3 of one second with these texts in its tag.
pub(super) fn mp3_tagged(path: &Path, texts: &[(&[u8; 4], &str)], number: u8) {
    let bodies: Vec<Vec<u8>> = (texts.iter())
        .map(|(_, text)| [b"\x03", text.as_bytes()].concat())
        .collect();
    let frames = texts.iter().zip(&bodies);
    let frames: Vec<(&[u8; 4], &[u8])> = frames.map(|((id, _), body)| (*id, &body[..])).collect();
    mp3_of_frames(path, &frames, number);
}

fn mp3(path: &Path, id: &[u8; 4], body: &[u8], number: u8) {
    mp3_of_frames(path, &[(id, body)], number);
}

/// Writes an MP3 of one second with these frames in its tag.
pub(super) fn mp3_of_frames(path: &Path, frames: &[(&[u8; 4], &[u8])], number: u8) {
    let synchsafe = |n: usize| [21, 14, 7, 0].map(|shift| (n >> shift & 0x7f) as u8);
    let frame =
        |(id, body): &(&[u8; 4], &[u8])| [&id[..], &synchsafe(body.len()), b"\0\0", body].concat();
    let frame: Vec<u8> = frames.iter().flat_map(frame).collect();
    let tag = [b"ID3\x04\0\0", &synchsafe(frame.len())[..], &frame].concat();
    // A frame head for 128 kbit/s at 44.1 kHz; the frame has no sound in it.
    let mut sound = vec![0xff, 0xfb, 0x90, 0x00];
    sound.resize(417, number);
    fs::write(path, [tag, sound.repeat(38)].concat()).expect("a file");
}

/// A stream of Vorbis in pages of half a second, which no decoder understands.
pub(super) fn vorbis(serial: u8, pages: u64) -> Vec<u8> {
    let page = |flags: u8, granule: u64, fill: u8, begins: &[u8]| {
        let mut page = [&b"OggS\0"[..], &[flags], &granule.to_le_bytes()].concat();
        page.extend([serial, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 40]);
        page.extend(begins);
        page.resize(VORBIS_HEAD_BYTES / 3, fill);
        page
    };
    let mut file = page(2, 0, 0, b"\x01vorbis\0\0\0\0\x02\x44\xac\0\0");
    file.extend(page(0, 0, serial, b"\x03vorbis"));
    file.extend(page(0, 0, serial, b"\x05vorbis"));
    for number in 1..=pages {
        file.extend(page(0, number * 22_050, number as u8, b""));
    }
    file
}

/// The three pages of headers of [`vorbis`].
pub(super) const VORBIS_HEAD_BYTES: usize = 3 * (28 + 40);

/// Writes bytes that are no music at all, different for each seed.
pub(super) fn noise(path: &Path, bytes: usize, seed: u64) {
    let mut state = seed << 1 | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let content: Vec<u8> = (0..bytes).map(|_| next()).collect();
    fs::write(path, content).expect("a file");
}

/// Reports a skipped test, even where the test runner captures output.
pub(super) fn skipped(what: &str) {
    let line = format!("skipped: {what}\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
}

/// Reports a figure, even where the test runner captures output.
pub(super) fn told(figure: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{figure}\n").as_bytes());
}
