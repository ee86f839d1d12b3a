//! Messages to bytes and back: the only module that knows how a message is encoded.
//!
//! A message is `[head length: u32][patience in ms: u32][head][body]`, little endian. The head is
//! the encoded [`Message`]; the body is the raw bytes of a fragment, moved and sliced, never
//! encoded. Lengths are compared with their bounds before anything is allocated. The decoder
//! charges every list against the longest message before it allocates room for the list.

use std::fmt;
use std::time::Duration;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use roles::contract::limits::{DEADLINE_MAX, MESSAGE_BYTES_MAX, MESSAGE_HEAD_BYTES_MAX};
use roles::contract::message::{Kind, Message};

/// Length of the prefix: the head's length and the asker's patience.
pub const PREFIX_BYTES: usize = 8;

/// An encoded message as two buffers that follow each other on the wire.
#[derive(Debug)]
pub struct Encoded {
    /// Prefix and head.
    pub head: Vec<u8>,
    /// The raw bytes after the head.
    pub body: Vec<u8>,
}

/// The first [`PREFIX_BYTES`] of a message, with both fields checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// Length of the head that follows.
    pub head_bytes: usize,
    /// The time the asker still waits, at most [`DEADLINE_MAX`]; zero for answers and words.
    pub patience: Duration,
}

/// Why a message cannot be encoded or decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// Head and body together exceed [`MESSAGE_BYTES_MAX`].
    TooLong,
    /// The announced head exceeds [`MESSAGE_HEAD_BYTES_MAX`].
    HeadTooLong {
        /// Bytes announced.
        announced: u32,
    },
    /// The message ends before its prefix or head is complete.
    Cut,
    /// Bytes follow the encoded message within the head.
    Trailing,
    /// The head is not a valid message, or cannot be encoded; the text is bincode's reason.
    Malformed(String),
}

/// Encodes `message` for an envelope of `kind`, with `body` after it.
pub fn encode(kind: Kind, message: &Message, body: Vec<u8>) -> Result<Encoded, CodecError> {
    let mut head = vec![0; PREFIX_BYTES];
    bincode::encode_into_std_write(message, &mut head, CONFIG)
        .map_err(|e| CodecError::Malformed(e.to_string()))?;
    if head.len() + body.len() > MESSAGE_BYTES_MAX {
        return Err(CodecError::TooLong);
    }
    let length = (head.len() - PREFIX_BYTES) as u32;
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..8].copy_from_slice(&patience_ms(kind).to_le_bytes());
    Ok(Encoded { head, body })
}

fn patience_ms(kind: Kind) -> u32 {
    match kind {
        Kind::Question { patience } => patience.min(DEADLINE_MAX).as_millis() as u32,
        Kind::Answer { .. } | Kind::OneWay => 0,
    }
}

/// Decodes the prefix of a message; limits its patience to [`DEADLINE_MAX`].
pub fn prefix(bytes: &[u8]) -> Result<Prefix, CodecError> {
    let ([a, b, c, d, e, f, g, h], _) = bytes
        .split_first_chunk::<PREFIX_BYTES>()
        .ok_or(CodecError::Cut)?;
    let announced = u32::from_le_bytes([*a, *b, *c, *d]);
    if announced as usize > MESSAGE_HEAD_BYTES_MAX {
        return Err(CodecError::HeadTooLong { announced });
    }
    let patience = Duration::from_millis(u32::from_le_bytes([*e, *f, *g, *h]).into());
    Ok(Prefix {
        head_bytes: announced as usize,
        patience: patience.min(DEADLINE_MAX),
    })
}

/// Decodes a complete head. Bytes left over are an error.
pub fn decode(head: &[u8]) -> Result<Message, CodecError> {
    let (message, used) = bincode::decode_from_slice(head, CONFIG)
        .map_err(|e| CodecError::Malformed(e.to_string()))?;
    if used != head.len() {
        return Err(CodecError::Trailing);
    }
    Ok(message)
}

impl Encoded {
    /// Length of head and body, without frame headers.
    pub fn bytes(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Copies bytes from position `from` of head plus body into `into`; returns the number copied.
    pub fn slice_into(&self, from: usize, into: &mut [u8]) -> usize {
        let mut copied = 0;
        if from < self.head.len() {
            copied = copy(&self.head[from..], into);
        }
        if copied < into.len() {
            let at = (from + copied).saturating_sub(self.head.len());
            copied += copy(&self.body[at..], &mut into[copied..]);
        }
        copied
    }
}

fn copy(from: &[u8], into: &mut [u8]) -> usize {
    let n = from.len().min(into.len());
    into[..n].copy_from_slice(&from[..n]);
    n
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::TooLong => write!(f, "a message is above {MESSAGE_BYTES_MAX} bytes"),
            CodecError::HeadTooLong { announced } => {
                write!(f, "a message announces a head of {announced} bytes")
            }
            CodecError::Cut => f.write_str("a message ends within its head"),
            CodecError::Trailing => f.write_str("bytes follow the message in its head"),
            CodecError::Malformed(why) => write!(f, "not a message: {why}"),
        }
    }
}

impl std::error::Error for CodecError {}

const CONFIG: Configuration<LittleEndian, Varint, Limit<MESSAGE_BYTES_MAX>> =
    bincode::config::standard().with_limit::<MESSAGE_BYTES_MAX>();

#[cfg(test)]
mod tests {
    use super::*;
    use roles::contract::message::Refusal;

    #[test]
    fn a_message_comes_back_with_its_patience() {
        let kind = Kind::Question {
            patience: Duration::from_millis(1500),
        };
        let encoded = encode(kind, &refused("no"), vec![1, 2, 3]).unwrap();
        let read = prefix(&encoded.head).unwrap();
        assert_eq!(read.patience, Duration::from_millis(1500));
        assert_eq!(read.head_bytes + PREFIX_BYTES, encoded.head.len());
        assert_eq!(decode(&encoded.head[PREFIX_BYTES..]), Ok(refused("no")));
    }

    #[test]
    fn patience_is_bounded_on_both_sides() {
        let patience = Duration::from_secs(1 << 40);
        let encoded = encode(Kind::Question { patience }, &refused(""), Vec::new()).unwrap();
        assert_eq!(prefix(&encoded.head).unwrap().patience, DEADLINE_MAX);
        let hostile = [0, 0, 0, 0, 255, 255, 255, 255];
        assert_eq!(prefix(&hostile).unwrap().patience, DEADLINE_MAX);
    }

    #[test]
    fn lengths_are_bounded_before_use() {
        let announced = u32::MAX;
        assert_eq!(
            prefix(&[255, 255, 255, 255, 0, 0, 0, 0]),
            Err(CodecError::HeadTooLong { announced })
        );
        assert_eq!(prefix(&[1, 2, 3]), Err(CodecError::Cut));
        let body = vec![0; MESSAGE_BYTES_MAX];
        let kind = Kind::Answer { more: false };
        assert_eq!(
            encode(kind, &refused(""), body).unwrap_err(),
            CodecError::TooLong
        );
    }

    #[test]
    fn a_head_with_bytes_behind_its_message_is_refused() {
        let encoded = encode(Kind::Answer { more: false }, &refused("x"), Vec::new()).unwrap();
        let mut head = encoded.head[PREFIX_BYTES..].to_vec();
        head.push(0);
        assert_eq!(decode(&head), Err(CodecError::Trailing));
    }

    /// A list of 2^60 entries in a dozen bytes is an error, not an allocation.
    #[test]
    fn a_hostile_list_is_refused() {
        // Refused(Ambiguous(list of 2^60)): variants 0 and 2, then a length of eight bytes.
        let mut head = vec![0, 2, 253];
        head.extend_from_slice(&(1u64 << 60).to_le_bytes());
        assert!(matches!(decode(&head), Err(CodecError::Malformed(_))));
    }

    #[test]
    fn slices_run_from_the_head_into_the_body() {
        let encoded = Encoded {
            head: vec![1, 2, 3],
            body: vec![4, 5],
        };
        let mut two = [0; 2];
        assert_eq!(encoded.slice_into(2, &mut two), 2);
        assert_eq!(two, [3, 4]);
        assert_eq!(encoded.slice_into(4, &mut two), 1);
        assert_eq!(two[0], 5);
    }

    fn refused(why: &str) -> Message {
        Message::Refused(Refusal::Invalid(why.into()))
    }
}
