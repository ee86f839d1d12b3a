//! Music that packages of the system have brought: files of many encoders and years, none of them
//! made for these tests. Each is cut, and lasts as long as ffprobe says.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::import;

/// Where packages put music.
const FOLDERS: [&str; 3] = [
    "/usr/share/games",
    "/usr/share/sounds",
    "/usr/share/scummvm",
];

/// Files that are looked at: a large collection of games adds time, and nothing else.
const FILES_MAX: usize = 500;

/// What ffprobe says of a file: the codec, and milliseconds.
fn probe(path: &Path) -> Option<(String, f64)> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "a:0"]);
    command.args(["-show_entries", "stream=codec_name:format=duration"]);
    command.args(["-of", "default=noprint_wrappers=1:nokey=1"]);
    let output = command.arg(path).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (codec, seconds) = text.trim().split_once('\n')?;
    Some((codec.to_owned(), seconds.parse::<f64>().ok()? * 1e3))
}

/// The format of a file of this codec, where a file of it is cut at its frames.
fn format_of(codec: &str, path: &Path) -> Option<Format> {
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    Some(match (codec, suffix?.to_ascii_lowercase().as_str()) {
        ("vorbis", "ogg" | "oga") => Format::Vorbis,
        ("opus", "ogg" | "oga" | "opus") => Format::Opus,
        ("mp3", "mp3") => Format::Mp3,
        ("flac", "flac") => Format::Flac,
        ("aac" | "alac", "m4a") => Format::M4a,
        (codec, "wav") if codec.starts_with("pcm_") => Format::Wav,
        _ => return None,
    })
}

/// What is wrong with the cutting of a file, if anything.
fn fault(path: &Path) -> Option<String> {
    let (codec, ms) = probe(path)?;
    let format = format_of(&codec, path)?;
    let bytes = fs::metadata(path).expect("a file").len();
    let cutting = cut(&mut File::open(path).expect("a file"), bytes).expect("it can be read");
    let near = (f64::from(cutting.duration_ms) - ms).abs() <= 100.0;
    let fits = cutting.format == format && cutting.is_whole(bytes) && near;
    let found = (cutting.format, cutting.duration_ms);
    (!fits).then(|| format!("{}: {found:?}, not {format} {ms}", path.display()))
}

#[test]
fn music_of_packages_is_cut() {
    if !real::ffmpeg_is_here() {
        return;
    }
    let folders = FOLDERS.map(PathBuf::from).into_iter();
    let folders: Vec<PathBuf> = folders.filter(|folder| folder.is_dir()).collect();
    let mut files = import::walk(&folders).files;
    files.truncate(FILES_MAX);
    if files.is_empty() {
        real::skipped("music of packages, none is installed");
        return;
    }
    let faults: Vec<String> = files.iter().filter_map(|path| fault(path)).collect();
    assert!(
        faults.is_empty(),
        "{} of {}: {faults:#?}",
        faults.len(),
        files.len()
    );
}
