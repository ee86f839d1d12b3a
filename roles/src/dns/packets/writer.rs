//! An answer being written, never longer than its limit.

use alloc::vec::Vec;

use super::{CLASS_IN, Code, EDNS_BYTES_MAX, HEADER_BYTES, PLAIN_BYTES_MAX, kind};

/// Bytes of the EDNS record.
const EDNS_BYTES: usize = 11;

/// The parts of an answer, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Answer = 6,
    Authority = 8,
    Additional = 10,
}

/// Writes records behind a question.
pub(crate) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Longest answer, less the EDNS record that ends it.
    limit: usize,
    edns: bool,
    offers_more: bool,
    cut: bool,
}

impl<'o> Writer<'o> {
    /// `out` holds the header and the question.
    pub(super) fn new(out: &'o mut Vec<u8>, limit: usize, edns: bool) -> Self {
        Writer {
            out,
            limit: if edns { limit - EDNS_BYTES } else { limit },
            edns,
            offers_more: limit > PLAIN_BYTES_MAX,
            cut: false,
        }
    }

    /// How many records of so many bytes fit.
    pub(crate) fn places(&self, bytes: usize) -> usize {
        self.limit.saturating_sub(self.out.len()) / bytes
    }

    /// Whether the asker takes more than the least that every program takes.
    pub(crate) fn offers_more(&self) -> bool {
        self.offers_more
    }

    /// Says that not all of the answer is there.
    pub(crate) fn cut(&mut self) {
        self.cut = true;
    }

    /// Writes a record: its name, by which `name` writes one or more labels and a pointer, and what
    /// `data` writes. False, and nothing is written, if it does not fit.
    pub(crate) fn record(
        &mut self,
        section: Section,
        name: impl FnOnce(&mut Vec<u8>),
        (kind, ttl): (u16, u32),
        data: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let begin = self.out.len();
        name(self.out);
        self.out.extend(kind.to_be_bytes());
        self.out.extend(CLASS_IN.to_be_bytes());
        self.out.extend(ttl.to_be_bytes());
        let length_at = self.out.len();
        self.out.extend([0, 0]);
        data(self.out);
        let length = self.out.len() - length_at - 2;
        if self.out.len() > self.limit {
            self.out.truncate(begin);
            return false;
        }
        // The limit is at most 65535, so the length fits.
        self.out[length_at..length_at + 2].copy_from_slice(&(length as u16).to_be_bytes());
        self.count(section);
        true
    }

    fn count(&mut self, section: Section) {
        let at = section as usize;
        let count = u16::from_be_bytes([self.out[at], self.out[at + 1]]).saturating_add(1);
        self.out[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }

    /// Ends the answer. `ours` says that the name lies in a zone that is served here.
    pub(crate) fn end(mut self, code: Code, ours: bool) {
        let code = code as u16;
        if self.edns {
            self.limit += EDNS_BYTES;
            let bytes = (EDNS_BYTES_MAX as u16).to_be_bytes();
            let upper = (code >> 4) as u8;
            self.out.push(0);
            self.out.extend(kind::OPT.to_be_bytes());
            self.out.extend(bytes);
            self.out.extend([upper, 0, 0, 0, 0, 0]);
            self.count(Section::Additional);
        }
        self.out[2] |= if ours { AUTHORITATIVE } else { 0 };
        self.out[2] |= if self.cut { CUT } else { 0 };
        self.out[3] = (code & 0x0F) as u8;
        debug_assert!(self.out.len() >= HEADER_BYTES && self.out.len() <= self.limit);
    }
}

const AUTHORITATIVE: u8 = 0x04;

const CUT: u8 = 0x02;
