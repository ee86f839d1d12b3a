//! MPEG-1, 2 and 2.5 layer III: frame after frame, each as long as its header says.
//!
//! The first frame is head when it holds a Xing, Info or VBRI table: it is silence and not part of
//! the song. Junk between frames stays where it is; the sound goes on at the next two frames that
//! fit what came before, or at four of another kind: songs that were joined may differ in their
//! sample rates. What follows the last whole frame is tail. Free format is a doubt.

use std::io::{Read, Seek};

use roles::contract::song::{DecoderPrefix, Format};

use super::cutter::Cutter;
use super::window::{Sure, Window, unsure};
use super::{Cutting, JUNK_BYTES_MAX, milliseconds, tag_blocks};

/// Cuts a file whose ID3v2 tags end at `begin`.
pub(super) fn scan<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<Cutting> {
    let end = tag_blocks::before_old_tags(window, begin)?;
    let begin = window.after_zeros(begin, end.min(TAG_BYTES_MAX))?;
    let mut frames = Frames {
        window,
        end,
        tags_lie: false,
    };
    let junk_end = end.min(begin.saturating_add(JUNK_BYTES_MAX));
    let mut found = frames.settle(begin, junk_end, None)?;
    if found.is_none() && tag_blocks::id3v2_at(frames.window, 0)?.is_some() {
        // The tag lies about its size: the sound begins anywhere behind its header.
        let from = tag_blocks::ID3V2_HEADER_BYTES;
        found = frames.settle(from, end.min(TAG_BYTES_MAX), None)?;
    }
    let Some((first, header)) = found else {
        return unsure("no run of frames");
    };
    let head = match frames.is_table(first, header)? {
        true => first + u64::from(header.length),
        false => first,
    };
    frames.walk(head, header)
}

/// The frames of a file, up to where its sound ends.
struct Frames<'w, 'a, S> {
    window: &'w mut Window<'a, S>,
    end: u64,
    /// No sound was found behind a tag between the frames: further tags are not believed, as each
    /// would cost a search to the end.
    tags_lie: bool,
}

impl<S: Read + Seek> Frames<'_, '_, S> {
    fn walk(&mut self, head: u64, first: Header) -> Sure<Cutting> {
        let mut cutter = Cutter::after_head(head)?;
        let (mut at, mut clock, mut junk) = (head, Clock::of(first), 0);
        loop {
            cutter.mark(at, clock.ms())?;
            if let Some(frame) = self.whole_frame(at, clock.like)? {
                clock.samples += u64::from(frame.samples);
                at += u64::from(frame.length);
            } else if let Some((next, frame)) = self.after_junk(at, clock.like)? {
                junk += next - at;
                at = next;
                clock.go_on(frame);
            } else {
                break;
            }
        }
        if junk > (at - head) / 2 {
            return unsure("more junk than frames");
        }
        let duration_ms = clock.ms();
        Ok(Cutting {
            format: Format::Mp3,
            duration_ms: u32::try_from(duration_ms).unwrap_or(u32::MAX),
            sample_rate: first.rate,
            channels: first.channels,
            prefix: DecoderPrefix::None,
            cuts: cutter.finish(at, duration_ms, self.window.bytes())?,
        })
    }

    fn header(&mut self, at: u64) -> Sure<Option<Header>> {
        let bytes = self.window.up_to(at, 4)?;
        Ok(bytes.try_into().ok().and_then(Header::parse))
    }

    fn whole_frame(&mut self, at: u64, like: Header) -> Sure<Option<Header>> {
        let header = self.header(at)?;
        let inside = |h: &Header| at + u64::from(h.length) <= self.end;
        Ok(header.filter(|h| h.is_like(like)).filter(inside))
    }

    /// Where the sound goes on that breaks off at `at`, and how.
    fn after_junk(&mut self, at: u64, like: Header) -> Sure<Option<(u64, Header)>> {
        if let Some(other) = self.header(at)?
            && self.is_run(at, other, FIRST_RUN)?
        {
            return Ok(Some((at, other)));
        }
        // The tag of a song that was appended may hold a cover, which is not searched, unless the
        // tag claims more than it has.
        if let Some(length) = tag_blocks::id3v2_at(self.window, at)?
            && !self.tags_lie
        {
            if let Some(found) = self.settle(at + length, self.end, Some(like))? {
                return Ok(Some(found));
            }
            self.tags_lie = true;
        }
        self.settle(at + 1, self.end, Some(like))
    }

    /// The first place in `from..to` with a short run of frames like `like`, or a longer one of
    /// frames like each other.
    fn settle(
        &mut self,
        mut from: u64,
        to: u64,
        like: Option<Header>,
    ) -> Sure<Option<(u64, Header)>> {
        while let Some(at) = self.window.find(0xff, from, to)? {
            if let Some(header) = self.header(at)? {
                let run = match like {
                    Some(like) if header.is_like(like) => NEXT_RUN,
                    _ => FIRST_RUN,
                };
                if self.is_run(at, header, run)? {
                    return Ok(Some((at, header)));
                }
            }
            from = at + 1;
        }
        Ok(None)
    }

    /// Whether `run` frames stand one behind the other, or fewer that reach the end.
    fn is_run(&mut self, mut at: u64, like: Header, run: usize) -> Sure<bool> {
        for _ in 0..run {
            match self.whole_frame(at, like)? {
                Some(frame) => at += u64::from(frame.length),
                None => return Ok(false),
            }
            if at == self.end {
                break;
            }
        }
        Ok(true)
    }

    /// Whether the frame holds a table of the song instead of sound.
    fn is_table(&mut self, at: u64, header: Header) -> Sure<bool> {
        let xing = self.window.up_to(at + u64::from(header.table), 4)?;
        if xing == b"Xing" || xing == b"Info" {
            return Ok(true);
        }
        Ok(self.window.up_to(at + VBRI_OFFSET, 4)? == b"VBRI")
    }
}

/// How long the sound has lasted, over changes of the sample rate.
struct Clock {
    like: Header,
    /// Samples since the sound has the rate of `like`.
    samples: u64,
    before_ms: u64,
}

impl Clock {
    fn of(first: Header) -> Self {
        Clock {
            like: first,
            samples: 0,
            before_ms: 0,
        }
    }

    fn ms(&self) -> u64 {
        self.before_ms + milliseconds(self.samples, self.like.rate)
    }

    fn go_on(&mut self, frame: Header) {
        if !frame.is_like(self.like) {
            *self = Clock {
                like: frame,
                samples: 0,
                before_ms: self.ms(),
            };
        }
    }
}

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    version: u8,
    rate: u32,
    channels: u8,
    /// Bytes, the header among them.
    length: u32,
    samples: u32,
    /// Where a Xing table would begin.
    table: u32,
}

impl Header {
    fn parse([sync, kind, rates, mode]: [u8; 4]) -> Option<Self> {
        let version = kind >> 3 & 3;
        let layer_three = kind >> 1 & 3 == 1;
        if sync != 0xff || kind < 0xe0 || version == 1 || !layer_three {
            return None;
        }
        let lsf = version != MPEG_1;
        let kbps = KBPS[usize::from(lsf)][usize::from(rates >> 4)];
        let rate = *RATES[usize::from(version)].get(usize::from(rates >> 2 & 3))?;
        // A bit rate of 0 is free format, an emphasis of 2 is reserved.
        if kbps == 0 || mode & 3 == 2 {
            return None;
        }
        let mono = mode >> 6 == 3;
        let samples = if lsf { 576 } else { 1152 };
        Some(Header {
            version,
            rate,
            channels: if mono { 1 } else { 2 },
            length: samples * 125 * kbps / rate + u32::from(rates >> 1 & 1),
            samples,
            table: 4 + side_information(lsf, mono),
        })
    }

    /// Whether both can belong to one stream.
    fn is_like(self, other: Header) -> bool {
        self.version == other.version && self.rate == other.rate
    }
}

fn side_information(lsf: bool, mono: bool) -> u32 {
    match (lsf, mono) {
        (false, false) => 32,
        (false, true) | (true, false) => 17,
        (true, true) => 9,
    }
}

const MPEG_1: u8 = 3;

/// Thousands of bits per second, for MPEG-1 and for the lower sample rates; 0 where none is meant.
const KBPS: [[u32; 16]; 2] = [
    [
        0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0,
    ],
    [
        0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0,
    ],
];

/// Samples per second of MPEG-2.5, none, MPEG-2 and MPEG-1.
const RATES: [[u32; 3]; 4] = [
    [11_025, 12_000, 8_000],
    [1, 1, 1],
    [22_050, 24_000, 16_000],
    [44_100, 48_000, 32_000],
];

/// Where a VBRI table stands in its frame, whatever the frame.
const VBRI_OFFSET: u64 = 36;

/// Frames that must stand in a row before a file counts as MP3: any bytes may look like one or two.
const FIRST_RUN: usize = 4;

/// Frames that must stand in a row before the sound goes on after junk.
const NEXT_RUN: usize = 2;

/// How far the sound is looked for behind zeros, or behind a tag that lies: beyond the largest
/// cover.
const TAG_BYTES_MAX: u64 = 48 << 20;
