//! Packets of multicast DNS (RFC 6762, section 18): several questions and records in one, in both directions.
//!
//! Owns the bytes and nothing else. A packet comes from anybody on the link: every length is checked, a
//! pointer goes backwards only, so that no name loops, and what has more parts than a sane packet is not read.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv4Addr;

use crate::dns::packets::{
    CLASS_IN, HEADER_BYTES, IS_ANSWER, LABEL_BYTES_MAX, LABEL_TYPE, NAME_BYTES_MAX, OPERATION, kind,
};

/// Longest packet that is read: the RFC's own limit (section 17).
pub const PACKET_BYTES_MAX: usize = 9000;

/// Longest packet that is sent: it fits an Ethernet frame with every header.
const SENT_BYTES_MAX: usize = 1440;

/// Most questions, and most records, of a packet that is read. Whole caches of known answers stay below.
const QUESTIONS_MAX: usize = 64;
const RECORDS_MAX: usize = 256;

/// The highest bit of a class: of a question "answer me alone", of a record "forget what you had".
const TOP_BIT: u16 = 0x8000;

/// Any class, in questions.
const CLASS_ANY: u16 = 255;

/// The second flag byte of a header: a failure, which multicast DNS does not have.
const FAILURE: u8 = 0x0F;

const AUTHORITATIVE: u8 = 0x04;

const TRUNCATED: u8 = 0x02;

/// A name in lower case, as it stands in packets, with the root's byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(Box<[u8]>);

impl Name {
    /// The name with these labels, each of 1 to 63 bytes; the top level is the last one.
    pub(super) fn of(labels: &[&[u8]]) -> Name {
        let mut bytes = Vec::new();
        for label in labels {
            let label = &label[..label.len().min(LABEL_BYTES_MAX)];
            bytes.push(label.len() as u8);
            bytes.extend(label.iter().map(u8::to_ascii_lowercase));
        }
        bytes.push(0);
        Name(bytes.into())
    }

    /// Whether this name lies right below `parent`.
    pub(super) fn is_child_of(&self, parent: &Name) -> bool {
        let first = usize::from(self.0[0]);
        first > 0 && self.0.get(first + 1..) == Some(&parent.0)
    }

    /// Reads the name at `begin`; also gives where the bytes behind it begin.
    fn read(packet: &[u8], begin: usize) -> Option<(Name, usize)> {
        let mut bytes = Vec::new();
        let (mut at, mut lowest, mut end) = (begin, begin, None);
        loop {
            let length = *packet.get(at)?;
            match length & LABEL_TYPE {
                0 => {
                    let next = at + 1 + usize::from(length);
                    let label = packet.get(at..next)?;
                    if bytes.len() + label.len() > NAME_BYTES_MAX {
                        return None;
                    }
                    bytes.extend(label.iter().map(u8::to_ascii_lowercase));
                    at = next;
                    if length == 0 {
                        return Some((Name(bytes.into()), end.unwrap_or(at)));
                    }
                }
                LABEL_TYPE => {
                    let low = *packet.get(at + 1)?;
                    let to = usize::from(u16::from_be_bytes([length & !LABEL_TYPE, low]));
                    // Each pointer leads further back than everything read so far.
                    if !(HEADER_BYTES..lowest).contains(&to) {
                        return None;
                    }
                    end = end.or(Some(at + 2));
                    (at, lowest) = (to, to);
                }
                _ => return None,
            }
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = &self.0[..];
        let mut dot = "";
        while let [length, behind @ ..] = rest
            && *length > 0
        {
            let (label, more) = behind.split_at(usize::from(*length).min(behind.len()));
            write!(f, "{dot}{}", label.escape_ascii())?;
            (rest, dot) = (more, ".");
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A question in a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) name: Name,
    pub(super) kind: u16,
    /// The asker would rather be answered alone.
    pub(super) alone: bool,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Data {
    A(Ipv4Addr),
    Ptr(Name),
    Srv { port: u16, target: Name },
    Txt(Vec<u8>),
    Other { kind: u16, bytes: Vec<u8> },
}

impl Data {
    pub(super) fn kind(&self) -> u16 {
        match self {
            Data::A(_) => kind::A,
            Data::Ptr(_) => kind::PTR,
            Data::Srv { .. } => kind::SRV,
            Data::Txt(_) => kind::TXT,
            Data::Other { kind, .. } => *kind,
        }
    }

    /// The bytes of the data without compression: what two hosts compare that claim one name at once.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Data::A(ip) => ip.octets().into(),
            Data::Ptr(name) => name.0.to_vec(),
            // All instances are equal: priority 0, weight 0.
            Data::Srv { port, target } => {
                [&[0, 0, 0, 0], &port.to_be_bytes()[..], &target.0].concat()
            }
            Data::Txt(bytes) | Data::Other { bytes, .. } => bytes.clone(),
        }
    }

    fn read(packet: &[u8], kind: u16, (begin, end): (usize, usize)) -> Option<Data> {
        let bytes = packet.get(begin..end)?;
        Some(match kind {
            kind::A => Data::A(Ipv4Addr::from(*bytes.first_chunk::<4>()?)),
            kind::PTR => Data::Ptr(Name::read(packet, begin)?.0),
            kind::SRV => {
                let port = u16::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
                let target = Name::read(packet, begin + 6)?.0;
                Data::Srv { port, target }
            }
            kind::TXT => Data::Txt(bytes.to_vec()),
            kind => Data::Other {
                kind,
                bytes: bytes.to_vec(),
            },
        })
    }
}

/// A record in a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: Name,
    /// It replaces what the hearer knows of this name and kind.
    pub(super) flush: bool,
    /// Seconds for which it may be kept; 0 takes it back.
    pub(super) ttl: u32,
    pub(super) data: Data,
}

impl Record {
    /// Whether both say the same of the same name, for however long.
    pub(super) fn says_as(&self, other: &Record) -> bool {
        self.name == other.name && self.data == other.data
    }
}

/// A packet, read or to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Packet {
    /// Zero, except in questions of programs that speak no multicast DNS, and their answers.
    pub(super) id: u16,
    pub(super) answers_something: bool,
    /// More known answers follow in another packet.
    pub(super) truncated: bool,
    pub(super) questions: Vec<Question>,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
}

impl Packet {
    /// A response.
    pub(super) fn response(answers: Vec<Record>, additionals: Vec<Record>) -> Packet {
        Packet {
            answers_something: true,
            answers,
            additionals,
            ..Packet::default()
        }
    }

    /// The records of all sections.
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        let sections = [&self.answers, &self.authorities, &self.additionals];
        sections.into_iter().flatten()
    }

    /// Reads a packet. None: it is cut, loops, says a failure or has too many parts. Records of
    /// other classes than the Internet are left out.
    pub(super) fn read(bytes: &[u8]) -> Option<Packet> {
        let head: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let count = |at: usize| usize::from(u16::from_be_bytes([head[at], head[at + 1]]));
        let counts = [count(6), count(8), count(10)];
        let too_many = count(4) > QUESTIONS_MAX || counts.iter().sum::<usize>() > RECORDS_MAX;
        if head[2] & OPERATION != 0 || head[3] & FAILURE != 0 || too_many {
            return None;
        }
        let mut rest = Rest {
            packet: bytes,
            at: HEADER_BYTES,
        };
        let mut packet = Packet {
            id: u16::from_be_bytes([head[0], head[1]]),
            answers_something: head[2] & IS_ANSWER != 0,
            truncated: head[2] & TRUNCATED != 0,
            ..Packet::default()
        };
        for _ in 0..count(4) {
            packet.questions.extend(rest.question()?);
        }
        let [answers, authorities, additionals] = counts;
        packet.answers = rest.records(answers)?;
        packet.authorities = rest.records(authorities)?;
        packet.additionals = rest.records(additionals)?;
        Some(packet)
    }

    /// Writes the packet, in several where it is too long for one. Additional records are left out
    /// before that.
    pub(super) fn write(mut self) -> Vec<Vec<u8>> {
        let bytes = self.bytes();
        if bytes.len() <= SENT_BYTES_MAX {
            return [bytes].into();
        }
        if !self.additionals.is_empty() {
            self.additionals.clear();
            return self.write();
        }
        if self.answers.len() < 2 {
            return [bytes].into();
        }
        let behind = Packet {
            answers: self.answers.split_off(self.answers.len() / 2),
            questions: Vec::new(),
            authorities: Vec::new(),
            ..self.clone()
        };
        // What follows the known answers of a question is more of them.
        self.truncated = !self.answers_something;
        let mut all = self.write();
        all.extend(behind.write());
        all
    }

    fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        let first = if self.answers_something {
            IS_ANSWER | AUTHORITATIVE
        } else {
            0
        };
        let cut = if self.truncated { TRUNCATED } else { 0 };
        writer.out.extend(self.id.to_be_bytes());
        writer.out.extend([first | cut, 0]);
        let sections = [&self.answers, &self.authorities, &self.additionals];
        let counts = [self.questions.len()]
            .into_iter()
            .chain(sections.map(Vec::len));
        counts.for_each(|count| writer.number(count as u16));
        for question in &self.questions {
            writer.name(&question.name);
            writer.number(question.kind);
            writer.number(CLASS_IN | if question.alone { TOP_BIT } else { 0 });
        }
        sections
            .into_iter()
            .flatten()
            .for_each(|record| writer.record(record));
        writer.out
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

    fn name(&mut self) -> Option<Name> {
        let (name, next) = Name::read(self.packet, self.at)?;
        self.at = next;
        Some(name)
    }

    /// The inner option is empty for a class that nobody here speaks of.
    fn question(&mut self) -> Option<Option<Question>> {
        let name = self.name()?;
        let (kind, class) = (self.number()?, self.number()?);
        let known = matches!(class & !TOP_BIT, CLASS_IN | CLASS_ANY);
        Some(known.then_some(Question {
            name,
            kind,
            alone: class & TOP_BIT != 0,
        }))
    }

    fn records(&mut self, count: usize) -> Option<Vec<Record>> {
        let mut records = Vec::new();
        for _ in 0..count {
            records.extend(self.record()?);
        }
        Some(records)
    }

    fn record(&mut self) -> Option<Option<Record>> {
        let name = self.name()?;
        let (kind, class) = (self.number()?, self.number()?);
        let ttl = self.take().map(u32::from_be_bytes)?;
        let length = usize::from(self.number()?);
        let (begin, end) = (self.at, self.at + length);
        self.packet.get(begin..end)?;
        self.at = end;
        if class & !TOP_BIT != CLASS_IN {
            return Some(None);
        }
        let data = Data::read(self.packet, kind, (begin, end))?;
        Some(Some(Record {
            name,
            flush: class & TOP_BIT != 0,
            ttl,
            data,
        }))
    }
}

/// A packet being written.
#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    /// Where names and their ends stand, to be pointed to.
    names: Vec<(Box<[u8]>, u16)>,
}

impl Writer {
    fn number(&mut self, number: u16) {
        self.out.extend(number.to_be_bytes());
    }

    fn name(&mut self, name: &Name) {
        let mut rest = &name.0[..];
        while let [length, ..] = rest
            && *length > 0
        {
            if let Some((_, at)) = self.names.iter().find(|(known, _)| **known == *rest) {
                return self.number(POINTER | at);
            }
            if let Ok(at) = u16::try_from(self.out.len())
                && at < POINTER
            {
                self.names.push((rest.into(), at));
            }
            let (label, behind) = rest.split_at(usize::from(*length) + 1);
            self.out.extend(label);
            rest = behind;
        }
        self.out.push(0);
    }

    fn record(&mut self, record: &Record) {
        self.name(&record.name);
        self.number(record.data.kind());
        self.number(CLASS_IN | if record.flush { TOP_BIT } else { 0 });
        self.out.extend(record.ttl.to_be_bytes());
        let length_at = self.out.len();
        self.number(0);
        match &record.data {
            Data::Ptr(name) => self.name(name),
            // A program that speaks no multicast DNS reads no pointers in the others.
            data @ (Data::A(_) | Data::Srv { .. } | Data::Txt(_) | Data::Other { .. }) => {
                self.out.extend(data.bytes());
            }
        }
        let length = (self.out.len() - length_at - 2) as u16;
        self.out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
    }
}

const POINTER: u16 = 0xC000;

#[cfg(test)]
mod tests;
