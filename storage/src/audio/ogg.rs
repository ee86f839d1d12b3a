//! Vorbis, Opus and FLAC in Ogg: cut before pages that do not continue a packet, or before any page where
//! packets run across all of them.
//!
//! The header pages are the head, and every fragment's prefix; old encoders begin the sound in the
//! last of them, which [`headers_alone`] takes off. A page says at which sample it ends, so a
//! fragment begins where the page before it ended. A stream behind the end of another (a chain)
//! begins a fragment of its own, and time goes on. Pages of streams without sound (a cover in Theora,
//! an index) lie in whatever fragment they lie. Two streams of sound side by side, other codecs and
//! pages that belong to nothing are doubts.

mod headers;
mod link;

use std::io::{Read, Seek};

use roles::contract::song::{DecoderPrefix, Format};

#[cfg(test)]
pub(super) use headers::checksum;
pub(crate) use headers::{headers_alone, is_of_streams, stream_headers};
use link::Link;

use super::Cutting;
use super::cutter::Cutter;
use super::window::{Sure, Window, unsure};

/// Cuts a file whose first page stands at `begin`.
pub(super) fn scan<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<Cutting> {
    let (link, head) = Link::open(window, begin, 0)?;
    let codec = link.codec;
    let mut walk = Walk {
        window,
        cutter: Cutter::after_head_with_sound(head, link.now_ms)?,
        link,
        junk: 0,
    };
    let end = walk.run(head)?;
    walk.link.finish();
    if walk.junk > (end - head) / 2 {
        return unsure("more junk than pages");
    }
    let duration_ms = walk.link.now_ms;
    let bytes = walk.window.bytes();
    Ok(Cutting {
        format: codec.format,
        duration_ms: u32::try_from(duration_ms).unwrap_or(u32::MAX),
        sample_rate: codec.rate,
        channels: codec.channels,
        prefix: DecoderPrefix::Head,
        cuts: walk.cutter.finish(end, duration_ms, bytes)?,
    })
}

/// The way through the pages behind the header.
struct Walk<'w, 'a, S> {
    window: &'w mut Window<'a, S>,
    cutter: Cutter,
    link: Link,
    junk: u64,
}

impl<S: Read + Seek> Walk<'_, '_, S> {
    /// Walks to the end of the last whole page.
    fn run(&mut self, mut at: u64) -> Sure<u64> {
        loop {
            if let Some(page) = Page::at(self.window, at)? {
                at = self.on_page(at, &page)?;
            } else if let Some(next) = self.after_junk(at)? {
                self.junk += next - at;
                at = next;
            } else {
                return Ok(at);
            }
        }
    }

    fn on_page(&mut self, at: u64, page: &Page) -> Sure<u64> {
        if page.flags & BEGINS != 0 {
            return self.on_link(at);
        }
        if self.link.silent.contains(&page.serial) {
            return Ok(at + page.length);
        }
        if page.serial != self.link.serial {
            return unsure("a page of no stream");
        }
        match page.flags & CONTINUES {
            0 => self.cutter.mark(at, self.link.now_ms)?,
            _ => self.cutter.mark_continued(at, self.link.now_ms)?,
        }
        self.link.on_granule(page.granule, page.packets_ended);
        Ok(at + page.length)
    }

    fn on_link(&mut self, at: u64) -> Sure<u64> {
        self.link.finish();
        let (link, end) = Link::open(self.window, at, self.link.now_ms)?;
        if link.codec.format != self.link.codec.format {
            return unsure("a chain of several formats");
        }
        self.cutter.seal(at, self.link.now_ms)?;
        self.link = link;
        Ok(end)
    }

    fn after_junk(&mut self, at: u64) -> Sure<Option<u64>> {
        let (mut from, end) = (at + 1, self.window.bytes());
        while let Some(found) = self.window.find(b'O', from, end)? {
            let page = Page::at(self.window, found)?;
            if page.is_some_and(|page| page.serial == self.link.serial) {
                return Ok(Some(found));
            }
            from = found + 1;
        }
        Ok(None)
    }
}

/// What the first packet says.
#[derive(Clone, Copy)]
struct Codec {
    format: Format,
    rate: u32,
    channels: u8,
    header_packets: usize,
    /// Samples before the song begins.
    skip: u64,
}

impl Codec {
    fn parse(packet: &[u8]) -> Option<Self> {
        let bytes = |at: usize| packet.get(at..)?.first_chunk::<4>().copied();
        if packet.starts_with(b"\x01vorbis") {
            let rate = u32::from_le_bytes(bytes(12)?);
            return (rate > 0).then_some(Codec {
                format: Format::Vorbis,
                rate,
                channels: packet[11],
                header_packets: VORBIS_HEADER_PACKETS,
                skip: 0,
            });
        }
        if packet.starts_with(b"OpusHead") {
            let [_, channels, s0, s1] = bytes(8)?;
            return Some(Codec {
                format: Format::Opus,
                // Opus counts and decodes at this rate, whatever was recorded.
                rate: 48_000,
                channels,
                header_packets: OPUS_HEADER_PACKETS,
                skip: u64::from(u16::from_le_bytes([s0, s1])),
            });
        }
        // The mapping's version, the number of further header packets, `fLaC`, STREAMINFO.
        if packet.starts_with(b"\x7fFLAC\x01") && packet.get(9..13) == Some(b"fLaC") {
            let further = u16::from_be_bytes([packet[7], packet[8]]);
            let [r0, r1, r2, _] = bytes(27)?;
            let fields = u32::from_be_bytes([0, r0, r1, r2]);
            return (further > 0 && fields >> 4 > 0).then_some(Codec {
                format: Format::Flac,
                rate: fields >> 4,
                channels: (fields >> 1 & 7) as u8 + 1,
                header_packets: 1 + usize::from(further),
                skip: 0,
            });
        }
        None
    }
}

/// A page's header.
struct Page {
    /// Bytes, all of the page.
    length: u64,
    /// Bytes before its packets.
    body: u64,
    flags: u8,
    /// The sample at which its last whole packet ends.
    granule: u64,
    serial: u32,
    packets_ended: usize,
}

impl Page {
    /// The whole page at `at`, if there is one.
    fn at<S: Read + Seek>(window: &mut Window<'_, S>, at: u64) -> Sure<Option<Self>> {
        let end = window.bytes();
        let page = Page::parse(window.up_to(at, HEADER_BYTES_MAX)?);
        Ok(page.filter(|page| at + page.length <= end))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let [b'O', b'g', b'g', b'S', 0, flags, rest @ ..] = bytes else {
            return None;
        };
        let granule = u64::from_le_bytes(*rest.first_chunk()?);
        let serial = u32::from_le_bytes(*rest.get(8..)?.first_chunk()?);
        let segments = usize::from(*rest.get(20)?);
        let lacing = rest.get(21..21 + segments)?;
        let body = 27 + segments as u64;
        Some(Page {
            length: body + lacing.iter().map(|n| u64::from(*n)).sum::<u64>(),
            body,
            flags: *flags,
            granule,
            serial,
            packets_ended: lacing.iter().filter(|n| **n < 255).count(),
        })
    }
}

const VORBIS_HEADER_PACKETS: usize = 3;
const OPUS_HEADER_PACKETS: usize = 2;

/// The page goes on with a packet of the page before.
const CONTINUES: u8 = 1;

/// The page is a stream's first.
const BEGINS: u8 = 2;

/// Fixed fields and the longest table of segments.
const HEADER_BYTES_MAX: usize = 27 + 255;
