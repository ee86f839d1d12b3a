//! Songs to load a cluster with, made without other programs: same seed, same bytes.
//!
//! The sound is of no interest to a listener, but it is valid: the frames, lengths and tags are those
//! that a player or a tag reader expects.

mod flac;
mod mp3;
mod opus;
mod plan;
mod tags;
mod wav;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use roles::contract::rng::Rng;

use crate::units::{bytes_in_words, duration};
use plan::Plan;

/// Options of `loadgen corpus`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder to write into; it is made, and must be empty
    #[arg(value_name = "FOLDER")]
    out: PathBuf,
    /// How many songs
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// Format of the songs
    #[arg(long, value_enum, default_value_t = Choice::Mp3)]
    format: Choice,
    /// Length of a song
    #[arg(long, default_value = "200", value_name = "TIME", value_parser = duration)]
    seconds: Duration,
    /// Bit rate; MP3 and WAV take the nearest that they have
    #[arg(long, default_value_t = 192, value_name = "KBIT/S", value_parser = clap::value_parser!(u32).range(8..=1_500))]
    kbps: u32,
    /// Make songs of 1 to 32 times the length, the shortest most often: k times as long with a
    /// chance of 1/k to this power
    #[arg(long, value_name = "EXPONENT", value_parser = exponent)]
    size_zipf: Option<f64>,
}

fn exponent(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|n| (0.0..=5.0).contains(n));
    number.ok_or_else(|| "write a number from 0 to 5".into())
}

/// The formats that can be made, and a mixture of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Choice {
    Mp3,
    Flac,
    Opus,
    Wav,
    Mixed,
}

/// A format that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Mp3,
    Flac,
    Opus,
    Wav,
}

impl Format {
    fn suffix(self) -> &'static str {
        match self {
            Format::Mp3 => "mp3",
            Format::Flac => "flac",
            Format::Opus => "opus",
            Format::Wav => "wav",
        }
    }
}

/// What a song says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tags {
    title: String,
    artist: String,
    album: String,
    genre: String,
    year: u16,
    track: u16,
}

/// A song before its bytes are made.
#[derive(Clone, Debug)]
struct Sheet {
    format: Format,
    seconds: f64,
    kbps: u32,
    tags: Tags,
    /// Where the bytes of its sound begin: two songs have no sound in common.
    seed: u64,
}

impl Sheet {
    /// The whole file.
    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut rng = Rng::from_seed(self.seed);
        match self.format {
            Format::Mp3 => Ok(mp3::file(self, &mut rng)),
            Format::Flac => Ok(flac::file(self, &mut rng)),
            Format::Opus => Ok(opus::file(self, &mut rng)),
            Format::Wav => wav::file(self, &mut rng),
        }
    }
}

/// Writes songs into a folder, with options as on the command line and the seed 1.
pub(crate) fn make_with(out: &Path, options: &str) -> io::Result<String> {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }
    let out = out.as_os_str();
    let words = [OsStr::new("corpus"), out].into_iter();
    let words = words.chain(options.split_whitespace().map(OsStr::new));
    let line = <Line as clap::Parser>::try_parse_from(words).map_err(io::Error::other)?;
    make(&line.args, 1)
}

/// Writes the songs; says in a line what was made.
pub(crate) fn make(args: &Args, seed: u64) -> io::Result<String> {
    fs::create_dir_all(&args.out)?;
    if fs::read_dir(&args.out)?.next().is_some() {
        let why = format!("{} is not empty", args.out.display());
        return Err(io::Error::other(why));
    }
    let mut plan = Plan::new(args, seed);
    let mut bytes = 0.0;
    for number in 0..args.count {
        bytes += write(&args.out, &plan.song(number), number)? as f64;
    }
    let (count, folder) = (args.count, args.out.display());
    Ok(format!(
        "{count} songs, {}, in {folder}",
        bytes_in_words(bytes)
    ))
}

fn write(out: &Path, sheet: &Sheet, number: u32) -> io::Result<usize> {
    let folder = out.join(&sheet.tags.artist).join(&sheet.tags.album);
    fs::create_dir_all(&folder)?;
    let name = format!("{number:06} {}.{}", sheet.tags.title, sheet.format.suffix());
    let bytes = sheet.bytes()?;
    fs::write(folder.join(name), &bytes)?;
    Ok(bytes.len())
}

/// Random bytes, none of which looks like the beginning of a frame.
fn noise(rng: &mut Rng, length: usize, out: &mut Vec<u8>) {
    let end = out.len() + length;
    while out.len() < end {
        let word = rng.bits() & 0x7f7f_7f7f_7f7f_7f7f;
        let left = end - out.len();
        out.extend_from_slice(&word.to_le_bytes()[..left.min(8)]);
    }
}

#[cfg(test)]
mod tests;
