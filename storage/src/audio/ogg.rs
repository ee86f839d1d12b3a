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

use std::io::{Read, Seek};

use roles::contract::song::{DecoderPrefix, Format};

#[cfg(test)]
pub(super) use headers::checksum;
pub(crate) use headers::{headers_alone, is_of_streams, stream_headers};

use super::cutter::Cutter;
use super::window::{Sure, Window, unsure};
use super::{Cutting, milliseconds};

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

/// One stream, and how far it has come.
struct Link {
    serial: u32,
    /// Streams beside it that hold no sound.
    silent: Vec<u32>,
    codec: Codec,
    /// Where the granules begin to count; known at the first page of sound.
    base: Option<u64>,
    /// The first page of sound, until the second one tells how much the first holds.
    first: Option<FirstSound>,
    /// When the stream begins in the file.
    start_ms: u64,
    /// When its latest page has ended.
    now_ms: u64,
}

impl Link {
    /// Reads the header pages at `at`; they end with the page in which the last header packet does.
    fn open<S: Read + Seek>(
        window: &mut Window<'_, S>,
        at: u64,
        start_ms: u64,
    ) -> Sure<(Self, u64)> {
        let first_pages = FirstPages::read(window, at)?;
        let (mut end, mut packets, mut granule) = (first_pages.end, 1, 0);
        let is_header = |page: &Page| {
            page.flags & BEGINS == 0
                && (page.serial == first_pages.serial || first_pages.silent.contains(&page.serial))
        };
        while packets < first_pages.codec.header_packets {
            let page = Page::at(window, end)?;
            let Some(page) = page.filter(is_header) else {
                return unsure("header pages are missing");
            };
            if page.serial == first_pages.serial {
                packets += page.packets_ended;
                granule = page.granule;
            }
            end += page.length;
        }
        // Headers of the other streams may stand behind those of the sound.
        let is_other = |page: &Page| page.serial != first_pages.serial && page.granule == 0;
        while let Some(page) = Page::at(window, end)?.filter(is_header).filter(is_other) {
            end += page.length;
        }
        let codec = first_pages.codec;
        let mut link = Link {
            serial: first_pages.serial,
            silent: first_pages.silent,
            codec,
            base: None,
            first: None,
            start_ms,
            now_ms: start_ms,
        };
        if packets > codec.header_packets {
            link.on_granule(granule, packets - codec.header_packets);
        }
        Ok((link, end))
    }

    /// A page ends at `granule`, and so many packets with it.
    fn on_granule(&mut self, granule: u64, packets: usize) {
        // Below zero begins what an editor has cut off: no player gives it out.
        if granule == NO_GRANULE || granule > i64::MAX as u64 {
            return;
        }
        match (self.base, &self.first) {
            (Some(_), _) => (),
            (None, None) => self.first = Some(FirstSound { granule, packets }),
            (None, Some(first)) => self.base = Some(first.base(&self.codec, granule, packets)),
        }
        // The first page alone is believed if it is as short as most are.
        let short = u64::from(self.codec.rate) * FIRST_SECONDS_MAX + self.codec.skip;
        let base = self.base.unwrap_or(match granule <= short {
            true => self.codec.skip,
            false => granule,
        });
        self.reach(granule, base);
    }

    /// The stream ends: its only page of sound begins at zero, unless it ends later than a page can.
    fn finish(&mut self) {
        if let (None, Some(first)) = (self.base, &self.first)
            && first.granule <= PAGE_SAMPLES_MAX
        {
            self.reach(first.granule, self.codec.skip);
        }
    }

    fn reach(&mut self, granule: u64, base: u64) {
        let samples = granule.saturating_sub(base);
        let now_ms = self.start_ms + milliseconds(samples, self.codec.rate);
        self.now_ms = self.now_ms.max(now_ms);
    }
}

/// The first page of sound, which says where it ends, but not where it begins.
struct FirstSound {
    granule: u64,
    packets: usize,
}

impl FirstSound {
    /// Where the granules begin to count, once the second page of sound is known: at zero, or, in a
    /// recording of a broadcast, anywhere. The packets of the second page tell how long those of the
    /// first are.
    fn base(&self, codec: &Codec, granule: u64, packets: usize) -> u64 {
        let second = granule.saturating_sub(self.granule);
        let each = second / packets.max(1) as u64;
        let expected = each.saturating_mul(self.packets as u64);
        let begins = self.granule.saturating_sub(expected);
        let zero = codec.skip;
        match begins > zero.saturating_add(u64::from(codec.rate)) {
            // The skipped samples stand in front of a broadcast, too.
            true => begins.saturating_add(zero).min(self.granule),
            false => zero,
        }
    }
}

/// The first pages of streams that begin together.
struct FirstPages {
    serial: u32,
    codec: Codec,
    silent: Vec<u32>,
    end: u64,
}

impl FirstPages {
    fn read<S: Read + Seek>(window: &mut Window<'_, S>, at: u64) -> Sure<Self> {
        let (mut end, mut sound, mut silent) = (at, None, Vec::new());
        while let Some(page) = Page::at(window, end)?.filter(|page| page.flags & BEGINS != 0) {
            let codec = Codec::parse(window.up_to(end + page.body, FIRST_PACKET_BYTES)?);
            match codec {
                Some(_) if sound.is_some() => return unsure("streams of sound side by side"),
                Some(_) if page.packets_ended != 1 => return unsure("sound in the first page"),
                Some(codec) => sound = Some((page.serial, codec)),
                None if silent.len() == SILENT_STREAMS_MAX => return unsure("too many streams"),
                None => silent.push(page.serial),
            }
            end += page.length;
        }
        match sound {
            Some((serial, codec)) => Ok(FirstPages {
                serial,
                codec,
                silent,
                end,
            }),
            None => unsure("neither Vorbis, Opus nor FLAC"),
        }
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

/// No packet ends in the page.
const NO_GRANULE: u64 = u64::MAX;

/// As much of a first packet as says what it is: FLAC's is the longest.
const FIRST_PACKET_BYTES: usize = 51;

/// Streams beside the sound; an honest file has one or two.
const SILENT_STREAMS_MAX: usize = 16;

/// Fixed fields and the longest table of segments.
const HEADER_BYTES_MAX: usize = 27 + 255;

/// Most seconds of a first page that is believed to begin at zero before the second page is read.
const FIRST_SECONDS_MAX: u64 = 5;

/// Most samples of a page: 255 packets of 120 ms of Opus, or of 8192 samples of Vorbis.
const PAGE_SAMPLES_MAX: u64 = 255 * 8192;
