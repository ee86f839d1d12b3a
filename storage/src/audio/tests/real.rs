//! Files of real encoders, judged by ffmpeg.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::damage::{Dice, damage};
use super::streams::wav;
use super::*;
use crate::tags;
use crate::testing::TempDir;

/// Whether real files can be made here; says so if not.
pub(super) fn ffmpeg_is_here() -> bool {
    let mut command = Command::new("ffmpeg");
    let version = command.arg("-version").stdout(Stdio::null()).status();
    let here = version.is_ok_and(|status| status.success());
    if !here {
        skipped("ffmpeg is not installed");
    }
    here
}

/// Says that something is not tested, and why.
pub(super) fn skipped(why: &str) {
    let line = format!("skipped: {why}\n");
    let _ = io::Write::write_all(&mut io::stderr(), line.as_bytes());
}

fn ffmpeg(arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-nostdin", "-y"])
        .args(arguments);
    let output = command.output().expect("ffmpeg is here");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    output.stdout
}

/// Encodes so many seconds of noise; `options` say how.
fn encode(dir: &Path, name: &str, seconds: &str, options: &str) -> Vec<u8> {
    let path = dir.join(name);
    let path = path.to_str().expect("a name of our own making");
    let noise = format!("anoisesrc=d={seconds}:c=pink:seed=7:r=44100:a=0.4");
    let mut arguments = vec!["-f", "lavfi", "-i", &noise, "-ac", "2"];
    arguments.extend(options.split_whitespace());
    arguments.push(path);
    ffmpeg(&arguments);
    fs::read(path).expect("ffmpeg has written it")
}

/// The samples ffmpeg finds in a file, as 32-bit numbers.
fn decode(dir: &Path, bytes: &[u8]) -> Vec<u8> {
    let path = dir.join("decode.bin");
    fs::write(&path, bytes).expect("a directory of our own");
    let path = path.to_str().expect("a name of our own making");
    ffmpeg(&["-i", path, "-f", "s32le", "-"])
}

fn slice<'f>(file: &'f [u8], cut: &Cut) -> &'f [u8] {
    &file[cut.offset as usize..][..cut.length as usize]
}

fn of_part(cutting: &Cutting, part: Part) -> impl Iterator<Item = &Cut> {
    cutting.cuts.iter().filter(move |cut| cut.part == part)
}

fn head(file: &[u8], cutting: &Cutting) -> Vec<u8> {
    match &cutting.prefix {
        DecoderPrefix::None => Vec::new(),
        DecoderPrefix::Bytes(bytes) => bytes.clone(),
        DecoderPrefix::Head => {
            let heads = of_part(cutting, Part::Head).flat_map(|cut| slice(file, cut));
            headers_alone(&heads.copied().collect::<Vec<u8>>())
        }
    }
}

/// Asserts that the fragments, each decoded alone, are the song, and begin when they say.
fn assert_fragments_are_the_song(dir: &Path, file: &[u8]) {
    let cutting = cut_bytes(file);
    assert_ne!(cutting.format, Format::Opaque);
    let prefix = head(file, &cutting);
    let whole = decode(dir, file);
    let frame = 4 * u64::from(cutting.channels);
    let mut at = 0;
    for cut in of_part(&cutting, Part::Audio) {
        let ms = milliseconds(at as u64 / frame, cutting.sample_rate);
        assert_eq!(u64::from(cut.start_ms), ms);
        let alone = decode(dir, &[prefix.as_slice(), slice(file, cut)].concat());
        assert!(whole[at..].starts_with(&alone), "fragment at {ms} ms");
        at += alone.len();
    }
    assert_eq!(at, whole.len());
}

/// Each fragment of a lossless file is exactly its window of the song.
#[test]
fn fragments_of_flac_and_wave_are_sample_exact() {
    if !ffmpeg_is_here() {
        return;
    }
    let dir = TempDir::new();
    let dir = dir.path();
    for (name, seconds, options) in [
        ("30.flac", "30", "-c:a flac"),
        ("60.flac", "60", "-c:a flac -sample_fmt s32 -ar 96000"),
        (
            "9.flac",
            "9.99",
            "-c:a flac -compression_level 0 -frame_size 1152",
        ),
        ("0.flac", "0.3", "-c:a flac -ac 1"),
        ("30.wav", "30", "-c:a pcm_s16le"),
        ("24.wav", "20", "-c:a pcm_s24le"),
        ("32.wav", "9.99", "-c:a pcm_f32le"),
        ("64.wav", "3", "-c:a pcm_f64le"),
        ("8.wav", "0.3", "-c:a pcm_u8"),
        ("6.wav", "12", "-c:a pcm_s16le -ac 6"),
        ("law.wav", "12", "-c:a pcm_mulaw -ar 8000"),
        ("rf64.wav", "12", "-c:a pcm_s16le -rf64 always"),
    ] {
        assert_fragments_are_the_song(dir, &encode(dir, name, seconds, options));
    }
    assert_fragments_are_the_song(dir, &wav(22_050, 1, 22_050 * 31));
}

/// A flipped bit in a header and a hole of 4 KiB cost what they hit, and no more.
#[test]
fn damaged_flac_is_cut_at_its_frames() {
    if !ffmpeg_is_here() {
        return;
    }
    let dir = TempDir::new();
    for options in ["-c:a flac", "-c:a flac -ac 1 -ar 8000 -frame_size 256"] {
        let file = encode(dir.path(), "a.flac", "33", options);
        let cuts = cut_bytes(&file).cuts;
        let mut hole = file.clone();
        hole[file.len() / 2..][..4096].fill(0);
        let mut flipped = file.clone();
        flipped[cuts[2].offset as usize + 3] ^= 4;
        for damaged in [hole, flipped] {
            let cutting = cut_bytes(&damaged);
            assert_eq!(cutting.format, Format::Flac, "{options}");
            assert_eq!(cutting.duration_ms, 33_000, "{options}");
            assert!(cutting.cuts.len() >= cuts.len(), "{options}");
        }
    }
}

/// Pages of Ogg behind the header pages play; the first packet alone only primes the decoder.
#[test]
fn fragments_of_ogg_play_behind_the_head() {
    if !ffmpeg_is_here() {
        return;
    }
    let dir = TempDir::new();
    let dir = dir.path();
    let cover = dir.join("cover.png");
    let cover = cover.to_str().expect("a name of our own making");
    ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=64x64",
        "-frames:v",
        "1",
        cover,
    ]);
    let theora = format!("-i {cover} -map 1:v -map 0:a -ac 2 -c:v libtheora -c:a libvorbis");
    for (name, options) in [
        ("a.ogg", "-c:a libvorbis -q 4"),
        ("a.opus", "-c:a libopus -b:a 96k"),
        ("a.oga", "-c:a flac"),
        ("cover.ogg", &theora),
    ] {
        let file = encode(dir, name, "33", options);
        let cutting = cut_bytes(&file);
        assert!(cutting.duration_ms.abs_diff(33_000) <= 30, "{name}");
        let head = head(&file, &cutting);
        let audio: Vec<&Cut> = of_part(&cutting, Part::Audio).collect();
        assert!((4..=5).contains(&audio.len()), "{name}");
        for (i, cut) in audio.iter().enumerate() {
            let next = audio.get(i + 1).map_or(cutting.duration_ms, |n| n.start_ms);
            let alone = decode(dir, &[head.as_slice(), slice(&file, cut)].concat());
            let ms = milliseconds(alone.len() as u64 / 8, cutting.sample_rate);
            let expected = u64::from(next - cut.start_ms);
            assert!(ms.abs_diff(expected) <= 110, "{name}: {ms} {expected}");
        }
    }
}

/// The packets of a Vorbis file of one packet a page, in pages of so many segments that begin and
/// end wherever they are full, the first behind the header packets: as encoders of 2004 wrote.
fn repaged(file: &[u8], segments: usize) -> Vec<u8> {
    let (mut at, mut packet, mut packets) = (0, Vec::new(), Vec::new());
    while let Some(header) = file.get(at..at + 27) {
        let granule: [u8; 8] = header[6..14].try_into().expect("eight bytes");
        let mut body = at + 27 + usize::from(header[26]);
        for lacing in &file[at + 27..body] {
            packet.extend(&file[body..body + usize::from(*lacing)]);
            body += usize::from(*lacing);
            if *lacing < 255 {
                packets.push((std::mem::take(&mut packet), granule));
            }
        }
        at = body;
    }
    let mut pages = Vec::new();
    let mut page = |flags: u8, granule: [u8; 8], lacing: &[u8], body: &[u8]| {
        let number = (pages.len() as u32).to_le_bytes();
        let mut bytes = [b"OggS\0", &[flags][..], &granule, &[1, 0, 0, 0], &number].concat();
        bytes.extend([0, 0, 0, 0, lacing.len() as u8]);
        bytes.extend(lacing);
        bytes.extend(body);
        let checksum = ogg::checksum(&bytes);
        bytes[22..26].copy_from_slice(&checksum.to_le_bytes());
        pages.push(bytes);
    };
    let first = packets.remove(0).0;
    page(2, [0; 8], &[first.len() as u8], &first);
    let (mut lacing, mut body, mut flags, mut granule) = (Vec::new(), Vec::new(), 0, [0xff; 8]);
    for (packet, ends_at) in packets {
        for i in 0..=packet.len() / 255 {
            let segment = &packet[i * 255..packet.len().min(i * 255 + 255)];
            body.extend(segment);
            lacing.push(segment.len() as u8);
            if segment.len() < 255 {
                granule = ends_at;
            }
            if lacing.len() == segments {
                page(flags, granule, &lacing, &body);
                (flags, granule) = (u8::from(segment.len() == 255), [0xff; 8]);
                (lacing, body) = (Vec::new(), Vec::new());
            }
        }
    }
    page(flags | 4, granule, &lacing, &body);
    pages.concat()
}

/// Pages that continue a packet, one after another, are cut like others, and play alone.
#[test]
fn ogg_is_cut_where_packets_run_across_pages() {
    if !ffmpeg_is_here() {
        return;
    }
    let dir = TempDir::new();
    let dir = dir.path();
    let options = "-c:a libvorbis -q 10 -page_duration 1";
    let file = encode(dir, "a.ogg", "33", options);
    for segments in [3, 17, 200] {
        let file = repaged(&file, segments);
        let cutting = cut_bytes(&file);
        assert_eq!(cutting.format, Format::Vorbis, "{segments}");
        let whole = decode(dir, &file).len() as u64 / 8;
        let whole_ms = milliseconds(whole, 44_100);
        assert!(u64::from(cutting.duration_ms).abs_diff(whole_ms) <= 100);
        let head = head(&file, &cutting);
        let audio: Vec<&Cut> = of_part(&cutting, Part::Audio).collect();
        assert!(
            (4..=6).contains(&audio.len()),
            "{segments}: {}",
            audio.len()
        );
        for (i, cut) in audio.iter().enumerate() {
            let next = audio.get(i + 1).map_or(cutting.duration_ms, |n| n.start_ms);
            let alone = decode(dir, &[head.as_slice(), slice(&file, cut)].concat());
            let ms = milliseconds(alone.len() as u64 / 8, 44_100);
            let expected = u64::from(next - cut.start_ms);
            assert!(ms.abs_diff(expected) <= 100, "{segments}: {ms} {expected}");
        }
    }
}

/// The frames add up to the song, at constant and variable rates and all three versions.
#[test]
fn mp3_lasts_as_long_as_its_frames() {
    if !ffmpeg_is_here() {
        return;
    }
    let dir = TempDir::new();
    for (name, seconds, options) in [
        ("30.mp3", "30", "-b:a 192k"),
        ("60.mp3", "60", "-q:a 4"),
        ("9.mp3", "9.99", "-b:a 320k -write_xing 0 -id3v2_version 0"),
        ("0.mp3", "0.3", "-b:a 128k"),
        ("2.mp3", "30", "-ar 22050 -b:a 64k"),
        ("25.mp3", "30", "-ar 8000 -ac 1 -b:a 16k -write_id3v1 1"),
    ] {
        let file = encode(dir.path(), name, seconds, options);
        let cutting = cut_bytes(&file);
        assert_eq!(cutting.format, Format::Mp3, "{name}");
        let seconds: f64 = seconds.parse().expect("a number");
        let beyond = f64::from(cutting.duration_ms) - seconds * 1000.0;
        // An encoder begins with its delay and fills the last frame: at 8 kHz a frame is 72 ms.
        assert!((0.0..250.0).contains(&beyond), "{name}: {beyond} ms beyond");
        for cut in of_part(&cutting, Part::Audio) {
            assert_eq!(slice(&file, cut)[0], 0xff, "{name}");
            assert!(!decode(dir.path(), slice(&file, cut)).is_empty());
        }
    }
}

#[test]
fn mp4_is_cut_wherever_its_index_stands() {
    if !ffmpeg_is_here() {
        return;
    }
    let dir = TempDir::new();
    for (name, options, tails) in [
        ("back.m4a", "-c:a aac -b:a 128k", 1),
        ("front.m4a", "-c:a aac -b:a 128k -movflags +faststart", 0),
        ("lossless.m4a", "-c:a alac", 1),
    ] {
        let file = encode(dir.path(), name, "45", options);
        let cutting = cut_bytes(&file);
        assert_eq!(cutting.format, Format::M4a, "{name}");
        assert!(cutting.duration_ms.abs_diff(45_000) < 100, "{name}");
        assert_eq!(parts(&cutting, Part::Tail), tails, "{name}");
        assert!(parts(&cutting, Part::Audio) >= 5, "{name}");
        let long = |cut: &Cut| cut.length > 400_000 && name != "lossless.m4a";
        assert!(!cutting.cuts.iter().any(long), "{name}");
    }
    let fragmented = "-c:a aac -movflags +frag_keyframe+empty_moov";
    expect_opaque(&encode(dir.path(), "frag.mp4", "5", fragmented));
}

/// From any fragment on, ffmpeg plays the rest out of a pipe, exactly where no codec forbids it.
#[test]
fn mp4_plays_through_a_pipe_from_anywhere() {
    if !ffmpeg_is_here() {
        return;
    }
    let dir = TempDir::new();
    for (name, options) in [
        ("back.m4a", "-c:a aac"),
        ("front.m4a", "-c:a aac -movflags +faststart"),
        ("lossless.m4a", "-c:a alac"),
        ("flac.mp4", "-c:a flac -strict -2"),
    ] {
        let file = encode(dir.path(), name, "33", options);
        let cutting = cut_bytes(&file);
        let whole = decode(dir.path(), &file);
        let audio: Vec<&Cut> = of_part(&cutting, Part::Audio).collect();
        let last = audio.last().expect("sound");
        let end = last.offset + u64::from(last.length);
        for cut in audio {
            let bytes = &file[cut.offset as usize..end as usize];
            let length = file.len() as u64;
            let head = playable_head(&mut Cursor::new(&file), length, (cut.offset, end));
            let rest = [head.expect("an index").as_slice(), bytes].concat();
            let heard = piped(&rest);
            let ms = milliseconds(heard.len() as u64 / 8, 44_100);
            let expected = u64::from(cutting.duration_ms - cut.start_ms);
            assert!(ms.abs_diff(expected) <= 100, "{name}: {ms} {expected}");
            if !options.contains("aac") {
                assert!(whole.ends_with(&heard), "{name} at {}", cut.start_ms);
            }
        }
    }
}

/// The samples ffmpeg finds in a file that comes through a pipe.
fn piped(bytes: &[u8]) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i", "pipe:0", "-f", "s32le", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("ffmpeg is here");
    let mut input = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        scope.spawn(move || io::Write::write_all(&mut input, bytes));
        let output = child.wait_with_output().expect("ffmpeg ends");
        assert!(output.status.success());
        output.stdout
    })
}

/// Files that are not cut at their frames say how long they last, at which rate, and their words.
#[test]
fn other_formats_say_how_long_they_last() {
    if !ffmpeg_is_here() {
        return;
    }
    let dir = TempDir::new();
    let fragmented = "-movflags +frag_keyframe+empty_moov";
    let mut wrong = Vec::new();
    for (name, options, tagged) in [
        ("a.aiff", "-c:a pcm_s16be -write_id3v2 1", true),
        ("a.aac", "-c:a aac -write_id3v2 1", true),
        ("a.wv", "-c:a wavpack", true),
        ("a.mka", "-c:a libmp3lame", true),
        ("b.mka", "-c:a flac", true),
        ("a.webm", "-c:a libopus", true),
        ("live.webm", "-c:a libopus -live 1", true),
        ("frag.mp4", &format!("-c:a aac {fragmented}"), true),
        (
            "dash.mp4",
            "-c:a aac -movflags +dash -frag_duration 500000",
            true,
        ),
        (
            "global.mp4",
            &format!("-c:a alac {fragmented}+default_base_moof"),
            true,
        ),
        ("a.mp2", "-c:a mp2", false),
        ("a.au", "-c:a pcm_s16be", false),
        ("a.tta", "-c:a tta", true),
        ("a.w64", "-c:a pcm_s16le", false),
        ("a.caf", "-c:a pcm_s16le", false),
        ("adpcm.wav", "-c:a adpcm_ms", true),
    ] {
        let file = encode(
            dir.path(),
            name,
            "3",
            &format!("{options} -metadata title=T -metadata artist=A"),
        );
        let cutting = cut_bytes(&file);
        let tags = tags::read(&mut Cursor::new(&file), cutting.format);
        let expected = if tagged { ("T", "A") } else { ("", "") };
        let known = (cutting.format, cutting.sample_rate, cutting.channels);
        let rate = if name.contains("webm") {
            48_000
        } else {
            44_100
        };
        if known != (Format::Opaque, rate, 2)
            || cutting.duration_ms.abs_diff(3_000) > 100
            || (tags.title.as_str(), tags.artist.as_str()) != expected
        {
            let ms = cutting.duration_ms;
            wrong.push(format!(
                "{name}: {known:?} {ms} {} {}",
                tags.title, tags.artist
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// MP4 is cut by its tables, whatever the codec of its sound.
#[test]
fn flac_and_opus_in_mp4_are_cut() {
    if !ffmpeg_is_here() {
        return;
    }
    let dir = TempDir::new();
    for options in [
        "-c:a flac -strict -2",
        "-c:a libopus",
        "-c:a ac3",
        "-c:a libmp3lame",
    ] {
        let cutting = cut_bytes(&encode(dir.path(), "a.mp4", "33", options));
        assert_eq!(cutting.format, Format::M4a, "{options}");
        assert!(cutting.duration_ms.abs_diff(33_000) < 100, "{options}");
        assert!(parts(&cutting, Part::Audio) >= 4, "{options}");
    }
}

/// Words are read in every format, and a cover is found in the head alone.
#[test]
fn tags_of_real_files_are_read() {
    if !ffmpeg_is_here() {
        return;
    }
    let dir = TempDir::new();
    let cover = dir.path().join("cover.png");
    let cover = cover.to_str().expect("a name of our own making");
    let image = ["-f", "lavfi", "-i", "testsrc2=s=600x600", "-frames:v", "1"];
    ffmpeg(&[&image[..], &[cover]].concat());
    let words = "-metadata title=T\u{e9}\u{1f3b5} -metadata artist=A -metadata album=B \
                 -metadata genre=Jazz -metadata date=1959 -metadata track=3/9";
    let with_cover = format!("-i {cover} -map 0:a -map 1:v -c:v copy -disposition:v attached_pic");
    for (name, options, format, has_cover) in [
        ("a.mp3", "-b:a 96k -id3v2_version 3", Format::Mp3, true),
        ("a.flac", "-c:a flac", Format::Flac, true),
        ("a.m4a", "-c:a aac -movflags +faststart", Format::M4a, true),
        ("a.ogg", "-c:a libvorbis", Format::Vorbis, false),
        ("a.opus", "-c:a libopus", Format::Opus, false),
        ("a.wav", "-c:a pcm_s16le", Format::Wav, false),
        (
            "a.aiff",
            "-c:a pcm_s16be -write_id3v2 1",
            Format::Opaque,
            false,
        ),
    ] {
        let picture = if has_cover { with_cover.as_str() } else { "" };
        let options = format!("{picture} {options} {words}");
        let file = encode(dir.path(), name, "2", &options);
        let cutting = cut_bytes(&file);
        assert_eq!(cutting.format, format, "{name}");
        let tags = tags::read(&mut Cursor::new(&file), format);
        let found = (
            tags.title.as_str(),
            tags.artist.as_str(),
            tags.album.as_str(),
        );
        assert_eq!(found, ("T\u{e9}\u{1f3b5}", "A", "B"), "{name}");
        assert_eq!((tags.genre.as_str(), tags.year), ("Jazz", 1959), "{name}");
        assert_eq!((tags.track, tags.picture), (3, has_cover), "{name}");
        if has_cover {
            let heads = of_part(&cutting, Part::Head).flat_map(|cut| slice(&file, cut));
            let head: Vec<u8> = heads.copied().collect();
            let found = tags::picture(&mut Cursor::new(head), format);
            let found = found.map(|picture| picture.bytes);
            assert_eq!(found, fs::read(cover).ok(), "{name}");
        }
    }
}

#[test]
fn no_damage_to_a_real_file_loses_a_byte() {
    if !ffmpeg_is_here() {
        return;
    }
    let dir = TempDir::new();
    let files = [
        ("a.mp3", "-q:a 4"),
        ("a.flac", "-c:a flac"),
        ("a.ogg", "-c:a libvorbis"),
        ("a.opus", "-c:a libopus"),
        ("a.m4a", "-c:a aac"),
        ("a.wav", "-c:a pcm_s16le"),
        ("a.oga", "-c:a flac"),
        ("a.aiff", "-c:a pcm_s16be -write_id3v2 1"),
        ("a.aac", "-c:a aac"),
        ("a.wv", "-c:a wavpack"),
        ("a.mka", "-c:a libmp3lame -metadata title=T"),
        ("a.mp4", "-c:a aac -movflags +frag_keyframe+empty_moov"),
        ("a.caf", "-c:a alac"),
        ("a.w64", "-c:a pcm_s16le"),
        ("a.mp2", "-c:a mp2"),
        ("adpcm.wav", "-c:a adpcm_ms"),
    ]
    .map(|(name, options)| encode(dir.path(), name, "2", options));
    for seed in 0..150 {
        let mut dice = Dice::new(seed);
        for file in &files {
            let mut file = file.clone();
            damage(&mut file, &mut dice);
            if !file.is_empty() {
                let format = cut_bytes(&file).format;
                tags::read(&mut Cursor::new(&file), format);
            }
        }
    }
}
