//! FLAC: frames are found by their headers, as no frame says how long it is.
//!
//! A header counts when its fields make sense, its checksum is right, and its number is the one
//! that must come next: bytes of sound that look like a header do not pass. Where no such header
//! follows, the stream is damaged, and goes on at the next frame of a later number that another
//! one confirms; what lies between stays inside a fragment. A stream of more damage than sound is a
//! doubt. Metadata blocks that lie about their lengths lead to no frame: the first frame is then
//! looked for behind them.

mod frame;

use std::io::{Read, Seek};

use roles::contract::song::{DecoderPrefix, Format};

#[cfg(test)]
pub(super) use frame::crc8;
use frame::{FRAME_BYTES_MIN, Frame};

use super::cutter::Cutter;
use super::window::{Sure, Window, unsure};
use super::{Cutting, milliseconds, tag_blocks};

/// Cuts a file whose `fLaC` stands at `begin`.
pub(super) fn scan<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<Cutting> {
    let info = StreamInfo::read(window, begin + 4)?;
    let head = after_metadata(window, begin + 4)?;
    let end = tag_blocks::before_old_tags(window, head)?;
    let sound = walk(window, &info, head, end)?;
    let duration_ms = milliseconds(sound.samples, info.rate);
    Ok(Cutting {
        format: Format::Flac,
        duration_ms: u32::try_from(duration_ms).unwrap_or(u32::MAX),
        sample_rate: info.rate,
        channels: info.channels,
        prefix: DecoderPrefix::Bytes(info.prefix()),
        cuts: sound
            .cutter
            .finish(sound.end, duration_ms, window.bytes())?,
    })
}

/// What a walk over the frames has found.
struct Sound {
    cutter: Cutter,
    samples: u64,
    end: u64,
}

fn walk<S: Read + Seek>(
    window: &mut Window<'_, S>,
    info: &StreamInfo,
    head: u64,
    end: u64,
) -> Sure<Sound> {
    let (mut frames, head) = Frames::open(window, info, head, end)?;
    let mut cutter = Cutter::after_head(head)?;
    loop {
        let begin = milliseconds(frames.begun_samples(), info.rate);
        // The first fragment begins behind the metadata, whatever became of its first frame.
        let at = if frames.is_first { head } else { frames.at };
        cutter.mark(at, begin)?;
        if !frames.advance(window)? {
            break;
        }
    }
    let samples = frames.ended_samples();
    let last_end = end.min(frames.at + info.frame_bytes_max(frames.frame.block));
    // Where frames are missing at the end, what follows are their remains. How many samples are
    // announced proves no more: a broken recording has another number of them, or an unknown one.
    let is_missing = samples < info.samples;
    let behind = end - last_end;
    let unexplained = if is_missing || info.samples == 0 {
        behind
    } else {
        0
    };
    if frames.damaged + unexplained > (end - head) / 2 {
        return unsure("more damage than frames");
    }
    Ok(Sound {
        cutter,
        samples,
        end: if is_missing { end } else { last_end },
    })
}

/// The way from frame to frame.
struct Frames<'i> {
    info: &'i StreamInfo,
    /// The number at which the stream begins.
    first: u64,
    /// Samples per frame, where frames are counted.
    step: u64,
    at: u64,
    frame: Frame,
    is_first: bool,
    end: u64,
    /// Bytes that belong to no frame that was found.
    damaged: u64,
    /// Frames behind damage that may still be tried.
    tries: usize,
}

impl<'i> Frames<'i> {
    /// The way that begins at `head`, and where the sound begins.
    fn open<S: Read + Seek>(
        window: &mut Window<'_, S>,
        info: &'i StreamInfo,
        mut head: u64,
        end: u64,
    ) -> Sure<(Self, u64)> {
        let mut frames = Frames {
            info,
            first: 0,
            step: 0,
            at: head,
            frame: Frame::UNKNOWN,
            is_first: true,
            end,
            damaged: 0,
            tries: TRIES_MAX,
        };
        if let Some(frame) = Frame::at(window, head)? {
            (frames.frame, frames.first) = (frame, frame.number);
        } else {
            let Some((at, frame)) = frames.first_behind(window)? else {
                return unsure("no frame behind the metadata");
            };
            (frames.at, frames.frame) = (at, frame);
            // Before the very first frame lies metadata, before another one lies damage.
            match frame.number {
                0 => head = at,
                _ => frames.damaged = at - head,
            }
        }
        frames.step = match frames.frame.variable {
            true => 1,
            false => u64::from(frames.frame.block),
        };
        Ok((frames, head))
    }

    /// The first frame behind what is none. Its number is small: a damaged frame or two may have
    /// stood before it.
    fn first_behind<S: Read + Seek>(
        &mut self,
        window: &mut Window<'_, S>,
    ) -> Sure<Option<(u64, Frame)>> {
        let limit = self.end.min(self.at + LYING_BYTES_MAX);
        let mut from = self.at;
        while let Some(found) = window.find(0xff, from, limit)? {
            if let Some(frame) = Frame::at(window, found)? {
                let near = frame.number <= self.most_between(self.at, found, frame.variable);
                if near && self.is_confirmed(window, found, frame)? {
                    return Ok(Some((found, frame)));
                }
            }
            from = found + 1;
        }
        Ok(None)
    }

    /// Moves to the next frame; false at the last.
    fn advance<S: Read + Seek>(&mut self, window: &mut Window<'_, S>) -> Sure<bool> {
        let limit = self
            .end
            .min(self.at + self.info.frame_bytes_max(self.frame.block));
        let next = self.frame.find(window, self.at, limit, Frame::is_before)?;
        let next = match next {
            Some(next) => Some(next),
            None => self.behind_damage(window)?,
        };
        if let Some((at, frame)) = next {
            (self.at, self.frame, self.is_first) = (at, frame, false);
        }
        Ok(next.is_some())
    }

    fn behind_damage<S: Read + Seek>(
        &mut self,
        window: &mut Window<'_, S>,
    ) -> Sure<Option<(u64, Frame)>> {
        if self.info.samples != 0 && self.ended_samples() >= self.info.samples {
            return Ok(None);
        }
        let mut from = self.at;
        while let Some((at, later)) =
            (self.frame).find(window, from, self.end, Frame::is_long_before)?
        {
            let most = self.most_between(self.at, at, later.variable);
            let near = later.number - self.frame.number <= most;
            if near && self.is_confirmed(window, at, later)? {
                self.damaged += at - self.at;
                return Ok(Some((at, later)));
            }
            from = at;
        }
        Ok(None)
    }

    /// Whether the stream goes on behind this frame, or ends with it.
    fn is_confirmed<S: Read + Seek>(
        &mut self,
        window: &mut Window<'_, S>,
        at: u64,
        frame: Frame,
    ) -> Sure<bool> {
        if self.tries == 0 {
            return unsure("damage upon damage");
        }
        self.tries -= 1;
        let limit = self.end.min(at + self.info.frame_bytes_max(frame.block));
        let goes_on = frame.find(window, at, limit, Frame::is_before)?.is_some();
        let samples = self.samples_at(frame) + u64::from(frame.block);
        Ok(goes_on || self.step != 0 && samples == self.info.samples)
    }

    /// How far numbers can have counted between two places.
    fn most_between(&self, from: u64, to: u64, variable: bool) -> u64 {
        let frames = (to - from) / FRAME_BYTES_MIN + 1;
        let step = if variable { BLOCK_MAX } else { 1 };
        frames * step
    }

    fn samples_at(&self, frame: Frame) -> u64 {
        frame.number.saturating_sub(self.first) * self.step
    }

    /// Samples before this frame.
    fn begun_samples(&self) -> u64 {
        self.samples_at(self.frame)
    }

    /// Samples up to the end of this frame.
    fn ended_samples(&self) -> u64 {
        self.begun_samples() + u64::from(self.frame.block)
    }
}

/// Where the metadata ends. Where the blocks do not lead to its end, the first that is none.
fn after_metadata<S: Read + Seek>(window: &mut Window<'_, S>, mut at: u64) -> Sure<u64> {
    loop {
        let [kind, a, b, c] = window.array(at)?;
        let end = at + 4 + u64::from(u32::from_be_bytes([0, a, b, c]));
        if kind == NO_BLOCK || end >= window.bytes() {
            return Ok(at);
        }
        at = end;
        if kind & 0x80 != 0 {
            return Ok(at);
        }
    }
}

/// The first metadata block.
struct StreamInfo {
    body: [u8; 34],
    rate: u32,
    channels: u8,
    bits: u8,
    /// Of the whole stream; 0 if unknown.
    samples: u64,
}

impl StreamInfo {
    fn read<S: Read + Seek>(window: &mut Window<'_, S>, at: u64) -> Sure<Self> {
        let [kind, a, b, c] = window.array(at)?;
        let body: [u8; 34] = window.array(at + 4)?;
        let [
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            f0,
            f1,
            f2,
            f3,
            f4,
            f5,
            f6,
            f7,
            ..,
        ] = body;
        let fields = u64::from_be_bytes([f0, f1, f2, f3, f4, f5, f6, f7]);
        let info = StreamInfo {
            body,
            rate: (fields >> 44) as u32,
            channels: (fields >> 41 & 7) as u8 + 1,
            bits: (fields >> 36 & 31) as u8 + 1,
            samples: fields & SAMPLES_MASK,
        };
        if kind & 0x7f != 0 || [a, b, c] != [0, 0, 34] || info.rate == 0 {
            return unsure("no stream information");
        }
        Ok(info)
    }

    /// A whole FLAC header for any of the frames: how many samples follow, and their checksum,
    /// are said to be unknown, as they are those of the whole file.
    fn prefix(&self) -> Vec<u8> {
        let mut prefix = b"fLaC\x80\x00\x00\x22".to_vec();
        prefix.extend_from_slice(&self.body[..13]);
        prefix.push(self.body[13] & 0xf0);
        prefix.resize(42, 0);
        prefix
    }

    /// Twice the size of a frame of raw samples: no encoder writes more.
    fn frame_bytes_max(&self, block: u32) -> u64 {
        let bits = u64::from(block) * (u64::from(self.bits) + 1) * u64::from(self.channels);
        2 * (bits / 8 + 64)
    }
}

/// Begins a frame, and no metadata block.
const NO_BLOCK: u8 = 0xff;

/// How far the first frame is looked for behind blocks that lie: beyond the largest cover.
const LYING_BYTES_MAX: u64 = 48 << 20;

/// The low 36 bits.
const SAMPLES_MASK: u64 = (1 << 36) - 1;

/// Most samples of a frame.
const BLOCK_MAX: u64 = 65_536;

/// Frames behind damage that are tried in one file: each costs a search.
const TRIES_MAX: usize = 256;
