//! Where to cut a file so that its pieces can be played.
//!
//! A fragment is a slice of the file as it is: nothing is taken apart or put together again, so
//! the fragments one after another are the file, whatever a scanner believed to see. The scanners
//! only choose the places. What a file is, is found in its bytes, never in its name; on any doubt
//! it is cut by size and called opaque. Only a failing read is an error. Tags and hashes are left
//! to [`crate::tags`] and [`crate::import`].

mod window;

mod cutter;
mod flac;
mod mp3;
mod mp4;
mod ogg;
mod opaque;
mod properties;
mod tag_blocks;
mod wav;

use std::io::{self, Read, Seek};

use roles::contract::limits::{FRAGMENT_BYTES_MAX, FRAGMENTS_MAX, PREFIX_BYTES_MAX};
use roles::contract::song::{DecoderPrefix, Format, Part};

pub(crate) use mp4::playable_head;
pub(crate) use ogg::{headers_alone, is_of_streams, stream_headers};
pub(crate) use wav::chunk_padding;
use window::{Sure, Uncertainty, Window};

/// What is known of a file's sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Properties {
    duration_ms: u32,
    sample_rate: u32,
    channels: u8,
}

impl Properties {
    /// So many samples per channel.
    fn of_samples(samples: u64, rate: u32, channels: u32) -> Self {
        Properties::of_ms(milliseconds(samples, rate), rate, channels)
    }

    /// So many milliseconds.
    fn of_ms(ms: u64, rate: u32, channels: u32) -> Self {
        let duration_ms = u32::try_from(ms).unwrap_or(0);
        Properties {
            duration_ms: if rate == 0 { 0 } else { duration_ms },
            sample_rate: rate,
            channels: u8::try_from(channels).unwrap_or(0),
        }
    }
}

/// A file's slices and what is known of its sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cutting {
    /// What the bytes are.
    pub format: Format,
    /// Length in milliseconds; 0 if unknown.
    pub duration_ms: u32,
    /// Samples per second; 0 if unknown.
    pub sample_rate: u32,
    /// Channels; 0 if unknown.
    pub channels: u8,
    /// What a decoder needs before a fragment.
    pub prefix: DecoderPrefix,
    /// The slices, in the order of the file.
    pub cuts: Vec<Cut>,
}

/// One slice of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where it begins in the file.
    pub offset: u64,
    /// Bytes, at least 1 and at most [`FRAGMENT_BYTES_MAX`].
    pub length: u32,
    /// When its sound begins, in milliseconds; the head begins at 0, the tail at the end.
    pub start_ms: u32,
    /// What it holds.
    pub part: Part,
}

/// Finds where to cut a file of `bytes` bytes.
///
/// Reads through a window of bounded size, so that the file's length does not matter. An empty
/// file, or one of more fragments than a song may have, is [`io::ErrorKind::InvalidData`]; every
/// other error is the source's own.
pub fn cut<S: Read + Seek>(source: &mut S, bytes: u64) -> io::Result<Cutting> {
    if bytes == 0 {
        return Err(refused("the file is empty"));
    }
    if bytes > SONG_BYTES_MAX {
        return Err(refused("the file is larger than 14 GB"));
    }
    let mut window = Window::new(source, bytes);
    match scan(&mut window) {
        Ok(cutting) if cutting.is_whole(bytes) => return Ok(cutting),
        Ok(cutting) => log::warn!("audio cut wrong format={} bytes={bytes}", cutting.format),
        Err(Uncertainty::Unsure(why)) => log::debug!("audio opaque bytes={bytes} why={why:?}"),
        Err(Uncertainty::Broken(error)) => return Err(error),
    }
    match properties::read(&mut window) {
        Ok(properties) => Ok(opaque::slice(bytes, properties)),
        Err(Uncertainty::Unsure(_)) => Ok(opaque::slice(bytes, Properties::default())),
        Err(Uncertainty::Broken(error)) => Err(error),
    }
}

/// Largest file that can be a song.
pub const SONG_BYTES_MAX: u64 = FRAGMENTS_MAX as u64 * FRAGMENT_BYTES_MAX as u64;

impl Cutting {
    /// Whether the slices are the whole file, in order, each within its bounds: the check that
    /// stands between every scanner and the library.
    pub fn is_whole(&self, bytes: u64) -> bool {
        (1..=FRAGMENTS_MAX).contains(&self.cuts.len())
            && self.lies_end_to_end(bytes)
            && self.is_in_order()
            && self.has_its_prefix()
    }

    fn lies_end_to_end(&self, bytes: u64) -> bool {
        let mut end = 0;
        let whole = self.cuts.iter().all(|cut| {
            let fits = (1..=FRAGMENT_BYTES_MAX as u32).contains(&cut.length) && cut.offset == end;
            end += u64::from(cut.length);
            fits
        });
        whole && end == bytes
    }

    fn is_in_order(&self) -> bool {
        let placed = |cut: &Cut| match cut.part {
            Part::Head => cut.start_ms == 0,
            Part::Audio => cut.start_ms <= self.duration_ms,
            Part::Tail => cut.start_ms == self.duration_ms,
        };
        self.cuts.iter().all(placed)
            && self.cuts.is_sorted_by_key(|cut| cut.start_ms)
            && self.cuts.is_sorted_by_key(|cut| part_order(cut.part))
    }

    fn has_its_prefix(&self) -> bool {
        match &self.prefix {
            DecoderPrefix::None => true,
            DecoderPrefix::Bytes(prefix) => (1..=PREFIX_BYTES_MAX).contains(&prefix.len()),
            DecoderPrefix::Head => self.cuts.iter().any(|cut| cut.part == Part::Head),
        }
    }
}

fn part_order(part: Part) -> u8 {
    match part {
        Part::Head => 0,
        Part::Audio => 1,
        Part::Tail => 2,
    }
}

fn scan<S: Read + Seek>(window: &mut Window<'_, S>) -> Sure<Cutting> {
    let begin = tag_blocks::after_front_tags(window)?;
    let magic = window.up_to(begin, MAGIC_BYTES)?.to_vec();
    match Kind::of(&magic) {
        Kind::Wave => wav::scan(window, begin),
        Kind::Flac => flac::scan(window, begin),
        Kind::Ogg => ogg::scan(window, begin),
        Kind::Mp4 => mp4::scan(window),
        Kind::Other => scan_unknown(window, begin),
    }
}

/// MP3 has no magic of its own: its scanner looks for frames, and doubts if there are none. Then
/// junk may stand before a file of another format.
fn scan_unknown<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<Cutting> {
    let doubt = match mp3::scan(window, begin) {
        Err(doubt @ Uncertainty::Unsure(_)) => doubt,
        done => return done,
    };
    let near = window.up_to(begin, JUNK_BYTES_MAX as usize)?;
    let Some(junk) = magic_behind_junk(near) else {
        return Err(doubt);
    };
    let is_flac = near[junk..].starts_with(b"fLaC");
    let begin = begin + junk as u64;
    match is_flac {
        true => flac::scan(window, begin),
        false => ogg::scan(window, begin),
    }
}

/// How many bytes of junk stand before a file of FLAC or Ogg, if there is one.
pub(crate) fn magic_behind_junk(bytes: &[u8]) -> Option<usize> {
    let begins = |at: &[u8]| at == FLAC_BEGINS || at[..6] == *OGG_BEGINS;
    bytes.windows(FLAC_BEGINS.len()).position(begins)
}

/// Whether these first bytes are those of a file of MP4: old ones do not begin with their type.
pub(crate) fn begins_mp4(magic: &[u8]) -> bool {
    let boxes: [&[u8]; 8] = [
        b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot",
    ];
    (magic.get(4..8)).is_some_and(|kind| boxes.contains(&kind))
}

/// What the first bytes promise.
enum Kind {
    Wave,
    Flac,
    Ogg,
    Mp4,
    Other,
}

impl Kind {
    fn of(magic: &[u8]) -> Self {
        let wave = magic.get(8..12) == Some(b"WAVE");
        match magic.get(..4) {
            Some(b"RIFF" | b"RF64" | b"RIFX") if wave => Kind::Wave,
            Some(b"fLaC") => Kind::Flac,
            Some(b"OggS") => Kind::Ogg,
            _ if begins_mp4(magic) => Kind::Mp4,
            _ => Kind::Other,
        }
    }
}

/// How long so many samples sound, in milliseconds.
fn milliseconds(samples: u64, rate: u32) -> u64 {
    let ms = u128::from(samples) * 1000 / u128::from(rate.max(1));
    u64::try_from(ms).unwrap_or(u64::MAX)
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Enough to tell the formats apart.
const MAGIC_BYTES: usize = 12;

/// A FLAC file, its first metadata block among it.
const FLAC_BEGINS: &[u8; 8] = b"fLaC\0\0\0\x22";

/// The first page of a stream.
const OGG_BEGINS: &[u8; 6] = b"OggS\0\x02";

/// Junk before the first frame, or between two, that is searched through.
pub(crate) const JUNK_BYTES_MAX: u64 = 256 * 1024;

#[cfg(test)]
pub(crate) use tests::damage;

#[cfg(test)]
mod tests;
