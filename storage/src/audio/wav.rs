//! RIFF, RF64 and RIFX wave: cut at whole sample frames inside the `data` chunk.
//!
//! Head is everything before the samples, tail everything behind them: other chunks, padding, an
//! incomplete frame. A size that is 0, unknown or past the end of the file means: to the end.
//! Compressed wave, whose time cannot be told from its bytes, is a doubt.

use std::io::{Cursor, Read, Seek};

use roles::contract::limits::{FRAGMENT_BYTES_MAX, FRAGMENT_DURATION, PREFIX_BYTES_MAX};
use roles::contract::song::{DecoderPrefix, Format};

use super::cutter::Cutter;
use super::window::{Sure, Window, unsure};
use super::{Cutting, milliseconds};

/// Cuts a file whose `RIFF`, `RF64` or `RIFX` stands at `begin`.
pub(super) fn scan<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<Cutting> {
    let (wave, data) = find_data(window, begin)?;
    let frame = u64::from(wave.frame_bytes);
    let room = window.bytes().saturating_sub(data.offset);
    let frames = data.length.unwrap_or(room).min(room) / frame;
    let duration_ms = milliseconds(frames, wave.rate);
    Ok(Cutting {
        format: Format::Wav,
        duration_ms: u32::try_from(duration_ms).unwrap_or(u32::MAX),
        sample_rate: wave.rate,
        channels: wave.channels,
        prefix: DecoderPrefix::Bytes(wave.prefix()),
        cuts: wave.mark(data.offset, frames)?.finish(
            data.offset + frames * frame,
            duration_ms,
            window.bytes(),
        )?,
    })
}

/// Where the samples lie.
struct Data {
    offset: u64,
    /// As the file says; none if it does not know.
    length: Option<u64>,
}

/// Walks the chunks up to the samples.
fn find_data<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<(Wave, Data)> {
    let [magic @ .., _, _, _, _] = window.array::<8>(begin)?;
    let order = Order {
        big: &magic == b"RIFX",
    };
    let (mut at, mut wave, mut long) = (begin + 12, None, None);
    for _ in 0..CHUNKS_MAX {
        let [k0, k1, k2, k3, size @ ..] = window.array::<8>(at)?;
        let (body, size) = (at + 8, order.u32(size));
        match &[k0, k1, k2, k3] {
            b"fmt " => wave = Some(Wave::read(window, body, size, order)?),
            b"ds64" => long = Some(u64::from_le_bytes(window.array(body + 8)?)),
            b"data" => {
                let length = long.filter(|_| size == u32::MAX).or(match size {
                    0 | u32::MAX => None,
                    size => Some(u64::from(size)),
                });
                let data = Data {
                    offset: body,
                    length: length.filter(|length| *length > 0),
                };
                return wave.map_or(unsure("no format before the samples"), |w| Ok((w, data)));
            }
            _ => (),
        }
        at = body + u64::from(size);
        at += chunk_padding(size.into(), window.up_to(at, 4)?);
    }
    unsure("too many chunks before the samples")
}

/// Bytes between a chunk of `size` bytes and the next one, when `next` stands behind it: one if the
/// size is odd, except where a writer forgot it.
pub(crate) fn chunk_padding(size: u64, next: &[u8]) -> u64 {
    let is_forgotten = CHUNKS.iter().any(|id| next.starts_with(*id));
    u64::from(size % 2 == 1 && !is_forgotten)
}

/// Which byte of a number comes first.
#[derive(Clone, Copy)]
struct Order {
    big: bool,
}

impl Order {
    fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        }
    }

    fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }

    fn u16_bytes(self, number: u16) -> [u8; 2] {
        if self.big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    }

    fn u32_bytes(self, number: u32) -> [u8; 4] {
        if self.big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    }
}

/// The `fmt ` chunk.
struct Wave {
    order: Order,
    /// As it stands in the file.
    chunk: Vec<u8>,
    rate: u32,
    channels: u8,
    /// Bytes of one sample of every channel.
    frame_bytes: u16,
}

impl Wave {
    fn read<S: Read + Seek>(
        window: &mut Window<'_, S>,
        at: u64,
        size: u32,
        order: Order,
    ) -> Sure<Self> {
        if !(16..=CHUNK_BYTES_MAX).contains(&size) {
            return unsure("a format of strange length");
        }
        let mut chunk = window.table(at, u64::from(size))?;
        let u16_at = |at: usize| chunk[at..].first_chunk().map_or(0, |b| order.u16(*b));
        let u32_at = |at: usize| chunk[at..].first_chunk().map_or(0, |b| order.u32(*b));
        let tag = match u16_at(0) {
            EXTENSIBLE if size >= 40 => u16_at(24),
            tag => tag,
        };
        let (channels, rate, mut frame_bytes) = (u16_at(2), u32_at(4), u16_at(12));
        let width = u32::from(u16_at(14)).div_ceil(8) * u32::from(channels);
        let Ok(channels) = u8::try_from(channels) else {
            return unsure("more channels than can be counted");
        };
        // Some writers leave out the numbers that follow from the others.
        if let (0, Ok(frame)) = (frame_bytes, u16::try_from(width)) {
            frame_bytes = frame;
            let per_second = rate.saturating_mul(width);
            chunk[8..12].copy_from_slice(&order.u32_bytes(per_second));
            chunk[12..14].copy_from_slice(&order.u16_bytes(frame));
        }
        let plain = [PCM, FLOAT, A_LAW, MU_LAW].contains(&tag);
        if !plain || rate == 0 || width == 0 || width > u32::from(frame_bytes) {
            return unsure("not plain samples");
        }
        let wave = Wave {
            order,
            rate,
            channels,
            frame_bytes,
            chunk,
        };
        wave.judged()
    }

    /// The format as hound sees it must be the format as read here. What hound refuses (A-law, wide
    /// floats, RIFX, a wrong byte rate) it does not judge: players take such files.
    fn judged(self) -> Sure<Self> {
        match hound::WavReader::new(Cursor::new(self.header(0))).map(|reader| reader.spec()) {
            Ok(spec)
                if spec.sample_rate == self.rate && spec.channels == u16::from(self.channels) =>
            {
                Ok(self)
            }
            Ok(_) => unsure("an ambiguous format"),
            Err(_) => Ok(self),
        }
    }

    fn mark(&self, offset: u64, frames: u64) -> Sure<Cutter> {
        let frame = u64::from(self.frame_bytes);
        let lasting = u64::from(self.rate) * FRAGMENT_DURATION.as_secs();
        let step = lasting.min(FRAGMENT_BYTES_MAX as u64 / frame);
        let mut cutter = Cutter::after_head(offset)?;
        let mut at = 0;
        while at < frames {
            cutter.mark(offset + at * frame, milliseconds(at, self.rate))?;
            at += step;
        }
        Ok(cutter)
    }

    /// The shortest header of this format. Its sizes say "unknown", as a live stream's do, so that
    /// it stands before a fragment of any length.
    fn prefix(&self) -> Vec<u8> {
        self.header(u32::MAX)
    }

    fn header(&self, data_bytes: u32) -> Vec<u8> {
        let number = |n: u32| self.order.u32_bytes(n);
        let magic = if self.order.big { b"RIFX" } else { b"RIFF" };
        let mut header = magic.to_vec();
        header.extend(number(u32::MAX));
        header.extend(b"WAVEfmt ");
        header.extend(number(self.chunk.len() as u32));
        header.extend(&self.chunk);
        header.extend(b"data");
        header.extend(number(data_bytes));
        header
    }
}

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const EXTENSIBLE: u16 = 0xfffe;

/// Longest format chunk whose header still fits a prefix.
const CHUNK_BYTES_MAX: u32 = PREFIX_BYTES_MAX as u32 - 28;

/// Chunks that writers place behind others.
const CHUNKS: [&[u8; 4]; 16] = [
    b"data", b"fmt ", b"fact", b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"JUNK", b"junk",
    b"cue ", b"smpl", b"PEAK", b"SSND", b"COMM", b"NAME",
];

/// Chunks before the samples; an honest file has a handful.
const CHUNKS_MAX: usize = 10_000;
