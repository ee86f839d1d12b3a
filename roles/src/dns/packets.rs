//! DNS packets (RFC 1035, 6891): one question in, one answer out.
//!
//! Owns the bytes and nothing else. A packet comes from anybody: every length is checked, a name
//! without a size that the RFC allows is an error, and an answer is never longer than its limit. A
//! packet that is itself an answer is not read at all, or two servers could answer each other for
//! ever.

mod name;
mod writer;

pub(super) use name::Name;
pub(crate) use name::{LABEL_BYTES_MAX, NAME_BYTES_MAX};
pub(super) use writer::{Section, Writer};

use alloc::vec::Vec;

use crate::contract::node::DnsTransport;

/// Bytes of a header: id, flags, and four counts.
pub(crate) const HEADER_BYTES: usize = 12;

/// Longest answer over UDP to who does not offer more.
pub(super) const PLAIN_BYTES_MAX: usize = 512;

/// Longest answer over UDP, whatever is offered: it fits every path without fragments.
pub(super) const EDNS_BYTES_MAX: usize = 1232;

/// Longest answer over TCP: its length is told in two bytes.
pub(super) const STREAM_BYTES_MAX: usize = u16::MAX as usize;

/// The highest EDNS version that is understood.
const EDNS_VERSION: u8 = 0;

pub(crate) mod kind {
    pub(crate) const A: u16 = 1;
    pub(crate) const NS: u16 = 2;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const HINFO: u16 = 13;
    pub(crate) const TXT: u16 = 16;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const SRV: u16 = 33;
    pub(crate) const OPT: u16 = 41;
    /// Which kinds of record a name has; by multicast the way to say that there is no other.
    pub(crate) const NSEC: u16 = 47;
    /// The first of the kinds that ask for more than records: keys, signatures, transfers.
    pub(crate) const META: u16 = 249;
    pub(crate) const ANY: u16 = 255;
}

/// The Internet, the only class here.
pub(crate) const CLASS_IN: u16 = 1;

/// What became of a question: the RFC's response codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    NoError = 0,
    FormErr = 1,
    ServFail = 2,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
    /// An EDNS version that is not understood: its upper bits go into the OPT record.
    BadVers = 16,
}

/// The EDNS record of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edns {
    /// The longest answer that the asker takes over UDP.
    bytes: u16,
    version: u8,
}

/// A packet that deserves an answer.
#[derive(Debug)]
pub(super) struct Query<'a> {
    id: [u8; 2],
    /// The operation and "recursion desired", as they go back.
    flags: u8,
    /// Name, kind and class as they came; empty if they could not be read.
    question: &'a [u8],
    edns: Option<Edns>,
    /// What is asked, or why it cannot be answered.
    pub(super) asked: Result<Asked, Code>,
}

/// What a packet asks.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) name: Name,
    pub(super) kind: u16,
    pub(super) class: u16,
}

impl<'a> Query<'a> {
    /// Reads a packet. None: it is too short to be answered, or an answer itself.
    pub(super) fn read(packet: &'a [u8]) -> Option<Query<'a>> {
        let head: &[u8; HEADER_BYTES] = packet.first_chunk()?;
        if head[2] & IS_ANSWER != 0 {
            return None;
        }
        let mut query = Query {
            id: [head[0], head[1]],
            flags: head[2] & (OPERATION | RECURSION_DESIRED),
            question: &[],
            edns: None,
            asked: Err(Code::FormErr),
        };
        query.asked = match head[2] & OPERATION {
            0 => query.read_body(head, packet),
            _ => Err(Code::NotImp),
        };
        Some(query)
    }

    fn read_body(&mut self, head: &[u8; HEADER_BYTES], packet: &'a [u8]) -> Result<Asked, Code> {
        let count = |at: usize| usize::from(u16::from_be_bytes([head[at], head[at + 1]]));
        if count(4) != 1 {
            return Err(Code::FormErr);
        }
        let mut rest = Rest {
            packet,
            at: HEADER_BYTES,
        };
        let name = rest.name().ok_or(Code::FormErr)?;
        let (kind, class) = (rest.number(), rest.number());
        let (Some(kind), Some(class)) = (kind, class) else {
            return Err(Code::FormErr);
        };
        self.question = &packet[HEADER_BYTES..rest.at];
        for _ in 0..count(6) + count(8) {
            rest.record().ok_or(Code::FormErr)?;
        }
        for _ in 0..count(10) {
            let found = rest.record().ok_or(Code::FormErr)?;
            let twice = found.is_some() && self.edns.is_some();
            if twice {
                return Err(Code::FormErr);
            }
            self.edns = self.edns.or(found);
        }
        if rest.at != packet.len() {
            return Err(Code::FormErr);
        }
        if self.edns.is_some_and(|edns| edns.version > EDNS_VERSION) {
            return Err(Code::BadVers);
        }
        Ok(Asked { name, kind, class })
    }

    /// Longest answer that the asker takes.
    fn limit(&self, transport: DnsTransport) -> usize {
        match (transport, self.edns) {
            (DnsTransport::Tcp, _) => STREAM_BYTES_MAX,
            (DnsTransport::Udp, None) => PLAIN_BYTES_MAX,
            (DnsTransport::Udp, Some(edns)) => {
                usize::from(edns.bytes).clamp(PLAIN_BYTES_MAX, EDNS_BYTES_MAX)
            }
        }
    }

    /// Begins the answer to this packet in `out`, which loses what it holds.
    pub(super) fn answer<'o>(&self, transport: DnsTransport, out: &'o mut Vec<u8>) -> Writer<'o> {
        out.clear();
        out.extend(self.id);
        out.extend([self.flags | IS_ANSWER, 0]);
        let questions = u8::from(!self.question.is_empty());
        out.extend([0, questions, 0, 0, 0, 0, 0, 0]);
        out.extend(self.question);
        Writer::new(out, self.limit(transport), self.edns.is_some())
    }
}

/// The part of a packet that has not been read.
struct Rest<'a> {
    packet: &'a [u8],
    at: usize,
}

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.packet.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(*bytes)
    }

    fn number(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    /// The name of the question. Nothing stands before it to which it could point back.
    fn name(&mut self) -> Option<Name> {
        let (name, length) = Name::read(self.packet.get(self.at..)?)?;
        self.at += length;
        Some(name)
    }

    /// Skips the name of a record; true if it is the root's. Its labels end at a pointer, which is
    /// not followed: of these records only EDNS counts, whose name is the root's.
    fn skip_name(&mut self) -> Option<bool> {
        let begin = self.at;
        loop {
            let [length] = self.take()?;
            match length & LABEL_TYPE {
                0 if length == 0 => return Some(self.at == begin + 1),
                0 => self.at += usize::from(length),
                LABEL_TYPE => {
                    let [low] = self.take()?;
                    let to = usize::from(u16::from_be_bytes([length & !LABEL_TYPE, low]));
                    let backwards = (HEADER_BYTES..begin).contains(&to);
                    return backwards.then_some(false);
                }
                _ => return None,
            }
            if self.at - begin > NAME_BYTES_MAX {
                return None;
            }
        }
    }

    /// Skips a record; gives what it says if it is an EDNS record.
    fn record(&mut self) -> Option<Option<Edns>> {
        let is_root = self.skip_name()?;
        let (kind, class) = (self.number()?, self.number()?);
        let [_, version, _, _] = self.take()?;
        let length = usize::from(self.number()?);
        self.at = self.at.checked_add(length)?;
        if self.at > self.packet.len() || (kind == kind::OPT && !is_root) {
            return None;
        }
        let edns = Edns {
            bytes: class,
            version,
        };
        Some((kind == kind::OPT).then_some(edns))
    }
}

/// Writes the answer that tells an asker to come back over TCP. It is no longer than the question
/// with an EDNS record. False, and nothing is written, if the packet deserves no answer.
pub fn come_back_over_tcp(packet: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let Some(query) = Query::read(packet) else {
        return false;
    };
    let mut writer = query.answer(DnsTransport::Udp, out);
    writer.cut();
    writer.end(Code::NoError, false);
    true
}

/// The first flag: the packet is an answer.
pub(crate) const IS_ANSWER: u8 = 0x80;

pub(crate) const OPERATION: u8 = 0x78;

const RECURSION_DESIRED: u8 = 0x01;

/// The two bits that tell a label's length from a pointer.
pub(crate) const LABEL_TYPE: u8 = 0xC0;
