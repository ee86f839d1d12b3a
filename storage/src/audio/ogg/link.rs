//! One stream of Ogg: its header pages, and what its granules say of the time.

use std::io::{Read, Seek};

use super::{BEGINS, Codec, Page};
use crate::audio::milliseconds;
use crate::audio::window::{Sure, Window, unsure};

/// One stream, and how far it has come.
pub(super) struct Link {
    pub(super) serial: u32,
    /// Streams beside it that hold no sound.
    pub(super) silent: Vec<u32>,
    pub(super) codec: Codec,
    /// Where the granules begin to count; known at the first page of sound.
    base: Option<u64>,
    /// The first page of sound, until the second one tells how much the first holds.
    first: Option<FirstSound>,
    /// When the stream begins in the file.
    start_ms: u64,
    /// When its latest page has ended.
    pub(super) now_ms: u64,
}

impl Link {
    /// Reads the header pages at `at`; they end with the page in which the last header packet does.
    pub(super) fn open<S: Read + Seek>(
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
    pub(super) fn on_granule(&mut self, granule: u64, packets: usize) {
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
    pub(super) fn finish(&mut self) {
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

/// Most seconds of a first page that is believed to begin at zero before the second page is read.
const FIRST_SECONDS_MAX: u64 = 5;

/// Most samples of a page: 255 packets of 120 ms of Opus, or of 8192 samples of Vorbis.
const PAGE_SAMPLES_MAX: u64 = 255 * 8192;

/// No packet ends in the page.
const NO_GRANULE: u64 = u64::MAX;

/// As much of a first packet as says what it is: FLAC's is the longest.
const FIRST_PACKET_BYTES: usize = 51;

/// Streams beside the sound; an honest file has one or two.
const SILENT_STREAMS_MAX: usize = 16;
