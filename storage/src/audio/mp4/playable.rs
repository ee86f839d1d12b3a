//! A head that lets a player begin in the middle of an MP4 file, or before its index has come.
//!
//! The head is an index of its own for the samples from one place on, made of the file's: what
//! follows is the file's bytes from there. Video, covers and words are left out.

use std::io::{Read, Seek};

use super::{Span, Tables, Track, find_moov, sound_of};
use crate::audio::window::{Sure, Window, unsure};

/// The bytes to put before the bytes `from..to` of a file of `bytes` bytes, so that a player reads
/// both as a file. Of the source only the index is read. None if the file has no tables of samples,
/// or none of its samples lies there.
pub(crate) fn playable_head<S: Read + Seek>(
    source: &mut S,
    bytes: u64,
    (from, to): (u64, u64),
) -> Option<Vec<u8>> {
    head(&mut Window::new(source, bytes), (from, to)).ok()
}

fn head<S: Read + Seek>(window: &mut Window<'_, S>, (from, to): (u64, u64)) -> Sure<Vec<u8>> {
    let moov = find_moov(window)?;
    let children = moov.children(window)?;
    let track = sound_of(window, &children)?;
    let samples = samples(&Tables::read(window, &track)?, (from, to))?;
    let mut index = Index {
        window,
        moov,
        track,
        samples,
    };
    let ftyp = atom(b"ftyp", &[b"M4A \0\0\0\0M4A isom"]);
    let mdat_bytes = (MDAT_HEAD_BYTES + to - from).to_be_bytes();
    let mdat = [&[0, 0, 0, 1], &b"mdat"[..], &mdat_bytes].concat();
    // Offsets have the same width whatever they are: a first draft tells how long the index is.
    let length = index.draft(0)?.len() as u64;
    let begin = ftyp.len() as u64 + length + MDAT_HEAD_BYTES;
    let moov = index.draft(begin)?;
    Ok([ftyp, moov, mdat].concat())
}

/// A sample that is played: where it lies behind the first byte given, its bytes, its ticks.
type Sample = (u64, u32, u32);

fn samples(tables: &Tables, (from, to): (u64, u64)) -> Sure<Vec<Sample>> {
    let mut samples: Vec<Sample> = Vec::new();
    tables.each(to, |at, size, ticks| {
        if at < from {
            return Ok(());
        }
        if samples.len() == SAMPLES_MAX {
            return unsure("too many samples");
        }
        let clamp = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        samples.push((at - from, clamp(size), clamp(ticks)));
        Ok(())
    })?;
    match samples.is_empty() {
        true => unsure("no sample lies there"),
        false => Ok(samples),
    }
}

/// The index that is made, and what it is made of.
struct Index<'w, 'a, S> {
    window: &'w mut Window<'a, S>,
    moov: Span,
    track: Track,
    samples: Vec<Sample>,
}

impl<S: Read + Seek> Index<'_, '_, S> {
    /// The index of a file whose sound begins at `begin`.
    fn draft(&mut self, begin: u64) -> Sure<Vec<u8>> {
        let (trak, window) = (self.track.trak, &mut *self.window);
        let mdia = trak.child(window, b"mdia")?;
        let minf = mdia.child(window, b"minf")?;
        let ticks = self.samples.iter().map(|s| u64::from(s.2)).sum::<u64>();
        let mvhd = self.moov.child(window, b"mvhd")?;
        let movie = scaled(window, &mvhd, ticks, self.track.timescale)?;
        let mvhd = lasting(copy(window, &mvhd)?, 12, movie);
        let tkhd = lasting(copy_of(window, &trak, b"tkhd")?, 16, movie);
        let mdhd = lasting(copy_of(window, &mdia, b"mdhd")?, 12, ticks);
        let hdlr = copy_of(window, &mdia, b"hdlr")?;
        let mut inside = Vec::new();
        for kind in [b"smhd", b"dinf"] {
            if let Ok(span) = minf.child(window, kind) {
                inside.extend(copy(window, &span)?);
            }
        }
        let stsd = copy_of(window, &self.track.stbl, b"stsd")?;
        let stbl = atom(b"stbl", &[&stsd, &self.tables(begin)]);
        let minf = atom(b"minf", &[&inside, &stbl]);
        let mdia = atom(b"mdia", &[&mdhd, &hdlr, &minf]);
        let trak = atom(b"trak", &[&tkhd, &mdia]);
        Ok(atom(b"moov", &[&mvhd, &trak]))
    }

    /// The tables of the samples, each in a chunk of its own.
    fn tables(&self, begin: u64) -> Vec<u8> {
        let count = self.samples.len() as u32;
        let runs = self.samples.chunk_by(|a, b| a.2 == b.2);
        let times: Vec<u8> = runs
            .flat_map(|run| numbers(&[run.len() as u32, run[0].2]))
            .collect();
        let sizes: Vec<u8> = self
            .samples
            .iter()
            .flat_map(|s| s.1.to_be_bytes())
            .collect();
        let offsets = self
            .samples
            .iter()
            .flat_map(|s| (begin + s.0).to_be_bytes());
        let offsets: Vec<u8> = offsets.collect();
        [
            atom(b"stts", &[&numbers(&[0, times.len() as u32 / 8]), &times]),
            atom(b"stsc", &[&numbers(&[0, 1, 1, 1, 1])]),
            atom(b"stsz", &[&numbers(&[0, 0, count]), &sizes]),
            atom(b"co64", &[&numbers(&[0, count]), &offsets]),
        ]
        .concat()
    }
}

/// So many ticks of the track in ticks of the movie.
fn scaled<S: Read + Seek>(
    window: &mut Window<'_, S>,
    mvhd: &Span,
    ticks: u64,
    timescale: u32,
) -> Sure<u64> {
    let [version] = window.array(mvhd.body)?;
    let at = mvhd.body + if version == 1 { 20 } else { 12 };
    let movie = u128::from(u32::from_be_bytes(window.array(at)?));
    Ok((u128::from(ticks) * movie / u128::from(timescale.max(1))) as u64)
}

/// The box with another duration. `before` is where, in version 0, the number before it stands in
/// the content: all three boxes with a duration begin with two moments.
fn lasting(mut atom: Vec<u8>, before: usize, ticks: u64) -> Vec<u8> {
    let long = atom.get(8) == Some(&1);
    let at = 8 + before + if long { 12 } else { 4 };
    let short = u32::try_from(ticks).unwrap_or(u32::MAX).to_be_bytes();
    let number: &[u8] = if long { &ticks.to_be_bytes() } else { &short };
    if let Some(place) = atom.get_mut(at..at + number.len()) {
        place.copy_from_slice(number);
    }
    atom
}

fn copy_of<S: Read + Seek>(
    window: &mut Window<'_, S>,
    parent: &Span,
    kind: &[u8; 4],
) -> Sure<Vec<u8>> {
    let child = parent.child(window, kind)?;
    copy(window, &child)
}

fn copy<S: Read + Seek>(window: &mut Window<'_, S>, span: &Span) -> Sure<Vec<u8>> {
    let body = window.table(span.body, span.end - span.body)?;
    Ok(atom(&span.kind, &[&body]))
}

fn atom(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = 8 + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut atom = (length as u32).to_be_bytes().to_vec();
    atom.extend(kind);
    parts.iter().for_each(|part| atom.extend(*part));
    atom
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
}

/// The head of a box whose length has 64 bits.
const MDAT_HEAD_BYTES: u64 = 16;

/// Samples of one head: a day of sound.
const SAMPLES_MAX: usize = 4_000_000;
