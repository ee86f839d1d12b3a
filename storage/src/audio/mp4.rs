//! AAC, ALAC and other codecs in MP4: the tables of the sound's track say where each sample lies.
//!
//! Head is what lies before the first sample (the index, if it stands in front, and the cover in
//! it), tail what lies behind the last. A piece cannot be played without the index. Files in
//! movie fragments, of unknown codecs, or with tables that contradict each other are doubts; how
//! long the former sound is counted all the same.

use std::io::{Read, Seek};

use roles::contract::song::{DecoderPrefix, Format};

use super::Properties;
use super::cutter::Cutter;
use super::window::{Sure, Window, unsure};
use super::{Cutting, milliseconds};

mod fragments;
mod playable;

pub(crate) use playable::playable_head;

pub(super) use fragments::properties as fragmented;

/// Cuts a file that begins with `ftyp`.
pub(super) fn scan<S: Read + Seek>(window: &mut Window<'_, S>) -> Sure<Cutting> {
    let moov = find_moov(window)?;
    let track = find_track(window, &moov)?;
    if !CODECS.contains(&track.codec) {
        return unsure("a codec that is not known");
    }
    let tables = Tables::read(window, &track)?;
    let sound = tables.walk(track.timescale, window.bytes())?;
    let duration_ms = milliseconds(sound.ticks, track.timescale);
    Ok(Cutting {
        format: Format::M4a,
        duration_ms: u32::try_from(duration_ms).unwrap_or(u32::MAX),
        sample_rate: track.rate,
        channels: track.channels,
        prefix: DecoderPrefix::None,
        cuts: sound
            .cutter
            .finish(sound.end, duration_ms, window.bytes())?,
    })
}

fn find_moov<S: Read + Seek>(window: &mut Window<'_, S>) -> Sure<Span> {
    let file = Span {
        kind: *b"file",
        body: 0,
        end: window.bytes(),
    };
    let boxes = file.children(window)?;
    if boxes.iter().any(|b| &b.kind == b"moof") {
        return unsure("in movie fragments");
    }
    match boxes.into_iter().find(|b| &b.kind == b"moov") {
        Some(moov) => Ok(moov),
        None => unsure("no index"),
    }
}

fn find_track<S: Read + Seek>(window: &mut Window<'_, S>, moov: &Span) -> Sure<Track> {
    let children = moov.children(window)?;
    if children.iter().any(|child| &child.kind == b"mvex") {
        return unsure("in movie fragments");
    }
    sound_of(window, &children)
}

/// The first track of sound among the boxes of an index.
fn sound_of<S: Read + Seek>(window: &mut Window<'_, S>, children: &[Span]) -> Sure<Track> {
    for trak in children.iter().filter(|child| &child.kind == b"trak") {
        let mdia = trak.child(window, b"mdia")?;
        let hdlr = mdia.child(window, b"hdlr")?;
        if &window.array::<4>(hdlr.body + 8)? == b"soun" {
            return Track::read(window, trak, &mdia);
        }
    }
    unsure("no track of sound")
}

/// A box: its kind and where its content lies.
#[derive(Clone, Copy)]
struct Span {
    kind: [u8; 4],
    body: u64,
    end: u64,
}

impl Span {
    /// The boxes inside, up to the first that is none.
    fn children<S: Read + Seek>(&self, window: &mut Window<'_, S>) -> Sure<Vec<Span>> {
        let mut children = Vec::new();
        let mut at = self.body;
        while let Some(child) = Span::at(window, at, self.end)? {
            at = child.end;
            children.push(child);
            if children.len() == BOXES_MAX {
                return unsure("too many boxes");
            }
        }
        Ok(children)
    }

    fn child<S: Read + Seek>(&self, window: &mut Window<'_, S>, kind: &[u8; 4]) -> Sure<Span> {
        let children = self.children(window)?;
        match children.into_iter().find(|child| &child.kind == kind) {
            Some(child) => Ok(child),
            None => unsure("a box is missing"),
        }
    }

    /// The box at `at`; one that would end behind `end` is cut off there.
    fn at<S: Read + Seek>(window: &mut Window<'_, S>, at: u64, end: u64) -> Sure<Option<Span>> {
        if at.saturating_add(8) > end {
            return Ok(None);
        }
        let [a, b, c, d, kind @ ..] = window.array::<8>(at)?;
        let (head, length) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (8, end - at),
            1 => (16, u64::from_be_bytes(window.array(at + 8)?)),
            length => (8, u64::from(length)),
        };
        let span = Span {
            kind,
            body: at + head,
            end: at.saturating_add(length).min(end),
        };
        Ok((length >= head && span.body <= span.end).then_some(span))
    }

    /// The content behind the version, the flags and `skip` more bytes.
    fn table<S: Read + Seek>(&self, window: &mut Window<'_, S>, skip: u64) -> Sure<Vec<u8>> {
        let from = self.body + 4 + skip;
        window.table(from, self.end.saturating_sub(from))
    }
}

/// The track of the sound.
struct Track {
    trak: Span,
    codec: [u8; 4],
    stbl: Span,
    /// Ticks per second.
    timescale: u32,
    /// How long the index says that it is.
    ticks: u64,
    rate: u32,
    channels: u8,
}

impl Track {
    fn read<S: Read + Seek>(window: &mut Window<'_, S>, trak: &Span, mdia: &Span) -> Sure<Self> {
        let (timescale, ticks) = clock(window, mdia)?;
        let stbl = mdia.child(window, b"minf")?.child(window, b"stbl")?;
        let entry = stbl.child(window, b"stsd")?.body + 8;
        let [_, _, _, _, codec @ ..] = window.array::<8>(entry)?;
        let [_, channels] = window.array(entry + 24)?;
        let rate = u32::from_be_bytes(window.array(entry + 32)?) >> 16;
        Ok(Track {
            trak: *trak,
            codec,
            stbl,
            timescale,
            ticks,
            // A rate above 65535 has no room in its field; such tracks tick once per sample.
            rate: if rate == 0 { timescale } else { rate },
            channels,
        })
    }
}

/// Ticks per second, and how many the track lasts; 0 if that is unknown.
fn clock<S: Read + Seek>(window: &mut Window<'_, S>, mdia: &Span) -> Sure<(u32, u64)> {
    let mdhd = mdia.child(window, b"mdhd")?;
    let [version] = window.array(mdhd.body)?;
    let (timescale, ticks) = match version {
        1 => {
            let [t0, t1, t2, t3, ticks @ ..] = window.array::<12>(mdhd.body + 20)?;
            ([t0, t1, t2, t3], u64::from_be_bytes(ticks))
        }
        _ => {
            let [t0, t1, t2, t3, ticks @ ..] = window.array::<8>(mdhd.body + 12)?;
            ([t0, t1, t2, t3], u64::from(u32::from_be_bytes(ticks)))
        }
    };
    match u32::from_be_bytes(timescale) {
        0 => unsure("a clock that stands still"),
        timescale => Ok((timescale, ticks)),
    }
}

/// Where the samples lie and how long they sound.
struct Tables {
    /// Bytes of every sample, where all are alike; else 0.
    size: u32,
    /// How many samples there are.
    count: u32,
    /// Bytes per sample.
    sizes: Vec<u8>,
    /// Offset per chunk.
    chunks: Vec<u8>,
    /// Bytes of an offset.
    offset_bytes: usize,
    /// First chunk, samples per chunk, description.
    runs: Vec<u8>,
    /// Samples, ticks per sample.
    times: Vec<u8>,
}

/// What a walk over the samples has found.
struct Sound {
    cutter: Cutter,
    ticks: u64,
    end: u64,
}

impl Tables {
    fn read<S: Read + Seek>(window: &mut Window<'_, S>, track: &Track) -> Sure<Self> {
        let children = track.stbl.children(window)?;
        let find = |kind: &[u8; 4]| children.iter().find(|child| &child.kind == kind);
        let (Some(stsz), Some(stsc), Some(stts)) = (find(b"stsz"), find(b"stsc"), find(b"stts"))
        else {
            return unsure("a table is missing");
        };
        let (chunks, offset_bytes) = match (find(b"stco"), find(b"co64")) {
            (Some(stco), None) => (stco.table(window, 4)?, 4),
            (None, Some(co64)) => (co64.table(window, 4)?, 8),
            (None, None) | (Some(_), Some(_)) => return unsure("no table of chunks"),
        };
        let [s0, s1, s2, s3, c0, c1, c2, c3] = window.array::<8>(stsz.body + 4)?;
        Ok(Tables {
            size: u32::from_be_bytes([s0, s1, s2, s3]),
            count: u32::from_be_bytes([c0, c1, c2, c3]),
            sizes: stsz.table(window, 8)?,
            chunks,
            offset_bytes,
            runs: stsc.table(window, 4)?,
            times: stts.table(window, 4)?,
        })
    }

    /// Cuts at the samples, up to the first that is not whole.
    fn walk(&self, timescale: u32, bytes: u64) -> Sure<Sound> {
        let mut sound = None;
        self.each(bytes, |at, size, ticks| {
            let sound = match &mut sound {
                Some(sound) => sound,
                none => none.insert(Sound {
                    cutter: Cutter::after_head(at)?,
                    ticks: 0,
                    end: at,
                }),
            };
            sound
                .cutter
                .mark(at, milliseconds(sound.ticks, timescale))?;
            sound.end = at + size;
            sound.ticks = sound.ticks.saturating_add(ticks);
            Ok(())
        })?;
        sound.map_or(unsure("no sample"), Ok)
    }

    /// Gives offset, bytes and ticks of the samples in the order of time, up to the first that does
    /// not end before `bytes`.
    fn each(&self, bytes: u64, mut give: impl FnMut(u64, u64, u64) -> Sure<()>) -> Sure<()> {
        let mut chunks = Chunks::of(self);
        let mut times = Times::of(&self.times);
        let mut at = chunks.next_sample();
        for i in 0..self.count {
            let (Some(offset), Some(size)) = (at, self.size_of(i)) else {
                break;
            };
            let end = offset.saturating_add(size);
            if end > bytes {
                break;
            }
            give(offset, size, times.next_ticks())?;
            at = chunks
                .next_sample()
                .map(|chunk| if chunk == 0 { end } else { chunk });
        }
        Ok(())
    }

    fn size_of(&self, sample: u32) -> Option<u64> {
        match self.size {
            0 => number(&self.sizes, sample as usize * 4, 4),
            size => Some(u64::from(size)),
        }
    }
}

/// The chunks in the order of the table, sample by sample.
struct Chunks<'t> {
    tables: &'t Tables,
    chunk: u64,
    run: usize,
    /// Samples of this chunk still to come.
    left: u64,
}

impl<'t> Chunks<'t> {
    fn of(tables: &'t Tables) -> Self {
        Chunks {
            tables,
            chunk: 0,
            run: 0,
            left: 0,
        }
    }

    /// Where the next sample lies: the offset of the chunk it begins, or 0 if it lies behind the
    /// sample before. No chunk begins at 0, where `ftyp` stands.
    fn next_sample(&mut self) -> Option<u64> {
        if self.left > 0 {
            self.left -= 1;
            return Some(0);
        }
        let width = self.tables.offset_bytes;
        let offset = number(&self.tables.chunks, self.chunk as usize * width, width)?;
        self.chunk += 1;
        let run_of = |run: usize| number(&self.tables.runs, run * 12, 4);
        while run_of(self.run + 1).is_some_and(|first| first <= self.chunk) {
            self.run += 1;
        }
        let samples = number(&self.tables.runs, self.run * 12 + 4, 4)?;
        self.left = samples.checked_sub(1)?;
        Some(offset).filter(|offset| *offset > 0)
    }
}

/// How long sample after sample sounds.
struct Times<'t> {
    table: &'t [u8],
    entry: usize,
    used: u64,
}

impl<'t> Times<'t> {
    fn of(table: &'t [u8]) -> Self {
        Times {
            table,
            entry: 0,
            used: 0,
        }
    }

    fn next_ticks(&mut self) -> u64 {
        while number(self.table, self.entry * 8, 4).is_some_and(|count| self.used >= count) {
            self.entry += 1;
            self.used = 0;
        }
        self.used += 1;
        number(self.table, self.entry * 8 + 4, 4).unwrap_or(0)
    }
}

/// The number of `width` bytes at `at`.
fn number(table: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = table.get(at..at.checked_add(width)?)?;
    Some(
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    )
}

/// Boxes inside one other; an honest file has a few dozen.
const BOXES_MAX: usize = 4096;

/// Codecs of sound whose samples are understood by every player that reads their name.
const CODECS: [[u8; 4]; 7] = [
    *b"mp4a", *b"alac", *b"fLaC", *b"Opus", *b"ac-3", *b"ec-3", *b".mp3",
];
