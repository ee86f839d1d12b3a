//! How long a file in movie fragments sounds: the runs of its fragments, added up.

use std::io::{Read, Seek};

use super::{Properties, Span, Track, milliseconds, number, sound_of};
use crate::audio::window::{Sure, Window, unsure};

/// Reads a file of MP4 that is not cut at its samples.
pub(in crate::audio) fn properties<S: Read + Seek>(window: &mut Window<'_, S>) -> Sure<Properties> {
    let mut movie = None;
    let (mut at, end, mut ticks) = (0, window.bytes(), 0u64);
    for _ in 0..BOXES_MAX {
        let Some(span) = Span::at(window, at, end)? else {
            break;
        };
        match (&span.kind, &movie) {
            (b"moov", None) => movie = Some(Movie::read(window, &span)?),
            (b"moof", Some(movie)) => ticks = ticks.saturating_add(movie.ticks_of(window, &span)?),
            _ => (),
        }
        at = span.end;
    }
    let Some(Movie {
        track,
        ticks: announced,
        ..
    }) = movie
    else {
        return unsure("no index");
    };
    let ticks = if ticks > 0 { ticks } else { announced };
    let ms = milliseconds(ticks, track.timescale);
    Ok(Properties::of_ms(ms, track.rate, track.channels.into()))
}

struct Movie {
    track: Track,
    id: u32,
    /// How long the index says that the track is.
    ticks: u64,
    /// Ticks of a sample of which nothing else is said.
    sample_ticks: u64,
}

impl Movie {
    fn read<S: Read + Seek>(window: &mut Window<'_, S>, moov: &Span) -> Sure<Self> {
        let children = moov.children(window)?;
        let track = sound_of(window, &children)?;
        let tkhd = track.trak.child(window, b"tkhd")?;
        let [version] = window.array(tkhd.body)?;
        let id = window.array(tkhd.body + if version == 1 { 20 } else { 12 })?;
        let id = u32::from_be_bytes(id);
        let mut sample_ticks = 0;
        for mvex in children.iter().filter(|child| &child.kind == b"mvex") {
            for trex in mvex
                .children(window)?
                .iter()
                .filter(|child| &child.kind == b"trex")
            {
                let [a, b, c, d, _, _, _, _, ticks @ ..] = window.array::<12>(trex.body + 4)?;
                if u32::from_be_bytes([a, b, c, d]) == id {
                    sample_ticks = u64::from(u32::from_be_bytes(ticks));
                }
            }
        }
        Ok(Movie {
            ticks: track.ticks,
            track,
            id,
            sample_ticks,
        })
    }

    fn ticks_of<S: Read + Seek>(&self, window: &mut Window<'_, S>, moof: &Span) -> Sure<u64> {
        let mut ticks = 0u64;
        for traf in moof
            .children(window)?
            .iter()
            .filter(|child| &child.kind == b"traf")
        {
            let children = traf.children(window)?;
            let Some(tfhd) = children.iter().find(|child| &child.kind == b"tfhd") else {
                continue;
            };
            let [_, flags @ .., a, b, c, d] = window.array::<8>(tfhd.body)?;
            if u32::from_be_bytes([a, b, c, d]) != self.id {
                continue;
            }
            let sample_ticks = match flags[2] & 8 {
                0 => self.sample_ticks,
                _ => {
                    let skip = u64::from(flags[2] & 1) * 8 + u64::from(flags[2] >> 1 & 1) * 4;
                    u64::from(u32::from_be_bytes(window.array(tfhd.body + 8 + skip)?))
                }
            };
            for trun in children.iter().filter(|child| &child.kind == b"trun") {
                ticks = ticks.saturating_add(run_ticks(window, trun, sample_ticks)?);
            }
        }
        Ok(ticks)
    }
}

/// Ticks of one run of samples.
fn run_ticks<S: Read + Seek>(
    window: &mut Window<'_, S>,
    trun: &Span,
    sample_ticks: u64,
) -> Sure<u64> {
    let [_, _, high, low, c0, c1, c2, c3] = window.array::<8>(trun.body)?;
    let count = u64::from(u32::from_be_bytes([c0, c1, c2, c3]));
    if high & 1 == 0 {
        return Ok(count.saturating_mul(sample_ticks));
    }
    let width = 4 * (high & 15).count_ones() as usize;
    let skip = 4 + 4 * u64::from((low & 5).count_ones());
    let samples = trun.table(window, skip)?;
    // Rows that are announced and not there last no time.
    let rows = samples.chunks_exact(width).take(count as usize);
    let ticks = rows.filter_map(|row| number(row, 0, 4));
    Ok(ticks.fold(0, u64::saturating_add))
}

/// Boxes that are walked: two for each fragment, of a day of sound.
const BOXES_MAX: usize = 100_000;
