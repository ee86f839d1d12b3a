//! A frame: 32 bytes of header, then at most 16 KiB of body.
//!
//! Little endian. A frame is refused, never repaired: a malformed frame ends the connection.
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | CRC-32 of all bytes that follow, body included |
//! | 4..8 | body length |
//! | 8 | protocol version |
//! | 9 | [`FrameKind`] |
//! | 10..12 | [`Flags`] |
//! | 12..20 | request id |
//! | 20..28 | answers fully received on this connection so far |
//! | 28..32 | bytes of bulk that the sender grants beyond its earlier grants |

use std::fmt;

use roles::contract::limits::FRAME_BODY_BYTES_MAX;

/// The protocol version of this build.
pub const PROTOCOL_VERSION: u8 = 3;

/// Length of a frame's header.
pub const FRAME_HEAD_BYTES: usize = 32;

/// Longest frame: header and body.
pub const FRAME_BYTES_MAX: usize = FRAME_HEAD_BYTES + FRAME_BODY_BYTES_MAX;

/// The kind of a frame's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrameKind {
    /// A piece of a question.
    Question = 1,
    /// A piece of an answer.
    Answer = 2,
    /// Asks the peer for a sign of life; the peer replies with [`FrameKind::Pong`].
    Ping = 3,
    /// The reply to a ping.
    Pong = 4,
    /// A bare header: it carries only an acknowledgement and credit.
    Ack = 5,
    /// The first frame in each direction: the sender's identity and protocol versions.
    Hello = 6,
    /// The last frame in its direction: the reason why the sender leaves.
    Goodbye = 7,
    /// A piece of a message that expects no answer.
    OneWay = 8,
}

/// The flag bits of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

/// The fields of a header that its sender chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// The kind of the content.
    pub kind: FrameKind,
    /// The flag bits.
    pub flags: Flags,
    /// The id of the question that the frame belongs to; 0 for frames without one.
    pub id: u64,
    /// Answers that the sender has fully received on this connection so far.
    pub ack: u64,
    /// Bytes of bulk that the sender grants beyond its earlier grants.
    pub credit: u32,
}

/// Why bytes are not a valid frame. The connection ends; the node is unaffected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Fewer bytes than a header.
    Short,
    /// The sender speaks another protocol version.
    Version {
        /// The version in the sender's header.
        theirs: u8,
    },
    /// The announced length exceeds `FRAME_BODY_BYTES_MAX`; nothing is allocated for the body.
    TooLong {
        /// Bytes announced.
        announced: u32,
    },
    /// The body is not as long as the header says.
    Length,
    /// The checksum does not match the header and body.
    Checksum,
    /// A kind that this version does not have.
    UnknownKind {
        /// The unknown kind byte.
        kind: u8,
    },
    /// A flag bit that this version does not define.
    UnknownFlags {
        /// All flag bits of the frame.
        flags: u16,
    },
}

impl Flags {
    /// Further frames of this message follow.
    pub const MORE: Flags = Flags(1);
    /// Further answers to the same question follow.
    pub const MORE_ANSWERS: Flags = Flags(2);
    /// The body counts against the receiver's credit.
    pub const BULK: Flags = Flags(4);

    const KNOWN: u16 = 7;

    /// These flags, plus `more` when `set` is true.
    pub fn with(self, more: Flags, set: bool) -> Self {
        if set { Flags(self.0 | more.0) } else { self }
    }

    /// Whether every flag of `wanted` is set.
    pub fn has(self, wanted: Flags) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

impl FrameKind {
    fn from_wire(kind: u8) -> Option<Self> {
        Some(match kind {
            1 => FrameKind::Question,
            2 => FrameKind::Answer,
            3 => FrameKind::Ping,
            4 => FrameKind::Pong,
            5 => FrameKind::Ack,
            6 => FrameKind::Hello,
            7 => FrameKind::Goodbye,
            8 => FrameKind::OneWay,
            _ => return None,
        })
    }
}

impl FrameHead {
    /// A header without flags, question id, acknowledgement or credit.
    pub fn bare(kind: FrameKind) -> Self {
        FrameHead {
            kind,
            flags: Flags::default(),
            id: 0,
            ack: 0,
            credit: 0,
        }
    }

    /// Writes the header into the first [`FRAME_HEAD_BYTES`] bytes of `frame`, before the body.
    ///
    /// # Panics
    /// If `frame` is shorter than a header or its body exceeds the bound: a fault of this program.
    pub fn write(&self, frame: &mut [u8]) {
        let body = frame.len() - FRAME_HEAD_BYTES;
        assert!(body <= FRAME_BODY_BYTES_MAX);
        frame[4..8].copy_from_slice(&(body as u32).to_le_bytes());
        frame[8] = PROTOCOL_VERSION;
        frame[9] = self.kind as u8;
        frame[10..12].copy_from_slice(&self.flags.0.to_le_bytes());
        frame[12..20].copy_from_slice(&self.id.to_le_bytes());
        frame[20..28].copy_from_slice(&self.ack.to_le_bytes());
        frame[28..32].copy_from_slice(&self.credit.to_le_bytes());
        let sum = crc32fast::hash(&frame[4..]);
        frame[..4].copy_from_slice(&sum.to_le_bytes());
    }

    /// Parses one complete frame into its header and its body.
    pub fn parse(frame: &[u8]) -> Result<(FrameHead, &[u8]), FrameError> {
        let (head, body) = frame
            .split_first_chunk::<FRAME_HEAD_BYTES>()
            .ok_or(FrameError::Short)?;
        // The version is checked first, because another version may define the other fields anew.
        if head[8] != PROTOCOL_VERSION {
            return Err(FrameError::Version { theirs: head[8] });
        }
        let announced = u32_at(head, 4);
        if announced as usize > FRAME_BODY_BYTES_MAX {
            return Err(FrameError::TooLong { announced });
        }
        if announced as usize != body.len() {
            return Err(FrameError::Length);
        }
        if u32_at(head, 0) != crc32fast::hash(&frame[4..]) {
            return Err(FrameError::Checksum);
        }
        Ok((FrameHead::fields(head)?, body))
    }

    fn fields(head: &[u8; FRAME_HEAD_BYTES]) -> Result<FrameHead, FrameError> {
        let kind =
            FrameKind::from_wire(head[9]).ok_or(FrameError::UnknownKind { kind: head[9] })?;
        let flags = u16::from_le_bytes([head[10], head[11]]);
        if flags & !Flags::KNOWN != 0 {
            return Err(FrameError::UnknownFlags { flags });
        }
        Ok(FrameHead {
            kind,
            flags: Flags(flags),
            id: u64_at(head, 12),
            ack: u64_at(head, 20),
            credit: u32_at(head, 28),
        })
    }
}

fn u32_at(head: &[u8; FRAME_HEAD_BYTES], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&head[at..at + 4]);
    u32::from_le_bytes(bytes)
}

fn u64_at(head: &[u8; FRAME_HEAD_BYTES], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&head[at..at + 8]);
    u64::from_le_bytes(bytes)
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Short => f.write_str("a frame is shorter than its header"),
            FrameError::Version { theirs } => {
                write!(f, "protocol version {theirs} instead of {PROTOCOL_VERSION}")
            }
            FrameError::TooLong { announced } => write!(f, "a frame announces {announced} bytes"),
            FrameError::Length => f.write_str("a frame is not as long as it says"),
            FrameError::Checksum => f.write_str("a frame's checksum is wrong"),
            FrameError::UnknownKind { kind } => write!(f, "a frame of unknown kind {kind}"),
            FrameError::UnknownFlags { flags } => {
                write!(f, "a frame with unknown marks {flags:#x}")
            }
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_as_it_was() {
        let frame = written(b"body");
        assert_eq!(FrameHead::parse(&frame), Ok((head(), &b"body"[..])));
    }

    /// A frame with one altered byte is refused, for every position and every value.
    #[test]
    fn every_single_byte_corruption_is_found() {
        let good = written(b"some body");
        for at in 0..good.len() {
            for wrong in (0..=255u8).filter(|wrong| *wrong != good[at]) {
                let mut frame = good.clone();
                frame[at] = wrong;
                assert!(FrameHead::parse(&frame).is_err(), "byte {at} as {wrong}");
            }
        }
    }

    #[test]
    fn a_cut_frame_is_refused_wherever_it_is_cut() {
        let good = written(b"some body");
        for cut in 0..good.len() {
            assert!(FrameHead::parse(&good[..cut]).is_err(), "cut at {cut}");
        }
    }

    /// The announced length is compared with the bound before any other field is trusted.
    #[test]
    fn four_gigabytes_are_refused_from_the_header_alone() {
        let mut frame = written(b"");
        frame[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let announced = u32::MAX;
        assert_eq!(
            FrameHead::parse(&frame),
            Err(FrameError::TooLong { announced })
        );
    }

    #[test]
    fn another_version_is_named() {
        let mut frame = written(b"");
        frame[8] = 9;
        assert_eq!(
            FrameHead::parse(&frame),
            Err(FrameError::Version { theirs: 9 })
        );
    }

    #[test]
    fn unknown_marks_and_kinds_are_errors() {
        let mut marked = written(b"");
        marked[10] |= 0x40;
        resum(&mut marked);
        let flags = 0x42;
        assert_eq!(
            FrameHead::parse(&marked),
            Err(FrameError::UnknownFlags { flags })
        );
        let mut odd = written(b"");
        odd[9] = 77;
        resum(&mut odd);
        let kind = 77;
        assert_eq!(
            FrameHead::parse(&odd),
            Err(FrameError::UnknownKind { kind })
        );
    }

    fn head() -> FrameHead {
        FrameHead {
            kind: FrameKind::Answer,
            flags: Flags::default().with(Flags::MORE_ANSWERS, true),
            id: 7,
            ack: 3,
            credit: 65_536,
        }
    }

    fn written(body: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; FRAME_HEAD_BYTES];
        frame.extend_from_slice(body);
        head().write(&mut frame);
        frame
    }

    fn resum(frame: &mut [u8]) {
        let sum = crc32fast::hash(&frame[4..]);
        frame[..4].copy_from_slice(&sum.to_le_bytes());
    }
}
