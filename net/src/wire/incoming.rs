//! Assembles frames into envelopes.
//!
//! At most [`PARTIALS_MAX`] messages of one connection arrive at once, each within the bound for
//! messages. Their buffers grow as bytes arrive, whatever length is announced. Head and body are
//! collected in separate buffers, so the body of a fragment is moved on without a copy.

use roles::contract::id::RequestId;
use roles::contract::limits::{FRAME_BODY_BYTES_MAX, MESSAGE_BYTES_MAX};
use roles::contract::message::{Envelope, Kind};

use super::codec::{self, CodecError, PREFIX_BYTES, Prefix};
use super::frame::{Flags, FrameHead, FrameKind};

/// Incomplete messages at once: an honest sender interleaves at most one per queue and kind.
const PARTIALS_MAX: usize = 4;

/// An incomplete message.
#[derive(Debug)]
struct Partial {
    kind: FrameKind,
    id: u64,
    prefix: Prefix,
    head: Vec<u8>,
    body: Vec<u8>,
}

/// The incomplete messages of one connection.
#[derive(Debug, Default)]
pub(crate) struct Incomings {
    partials: Vec<Partial>,
    /// Length of the last body: the size reserved for the next one. A peer must have sent a body of
    /// this length before this node reserves as much again.
    body_expected: usize,
}

/// Why frames do not form an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IncomingError {
    /// The message itself is invalid.
    Codec(CodecError),
    /// More incomplete messages than an honest sender produces.
    TooMany,
    /// A frame that is neither the last of its message nor full.
    Thin,
}

impl Incomings {
    /// Takes a frame of a question, an answer or a word; returns the envelope that it completes.
    pub(crate) fn take(
        &mut self,
        head: &FrameHead,
        body: &[u8],
    ) -> Result<Option<Envelope>, IncomingError> {
        let more = head.flags.has(Flags::MORE);
        if more && body.len() != FRAME_BODY_BYTES_MAX {
            return Err(IncomingError::Thin);
        }
        let mut partial = match self.under_way(head) {
            Some(at) => self.partials.swap_remove(at),
            None => self.begin(head)?,
        };
        partial.add(body, self.body_expected)?;
        if more {
            self.partials.push(partial);
            return Ok(None);
        }
        if !partial.body.is_empty() {
            self.body_expected = partial.body.len();
        }
        partial.finish(head).map(Some)
    }

    fn under_way(&self, head: &FrameHead) -> Option<usize> {
        let same = |p: &Partial| (p.kind, p.id) == (head.kind, head.id);
        self.partials.iter().position(same)
    }

    fn begin(&self, head: &FrameHead) -> Result<Partial, IncomingError> {
        if self.partials.len() == PARTIALS_MAX {
            return Err(IncomingError::TooMany);
        }
        Ok(Partial {
            kind: head.kind,
            id: head.id,
            prefix: Prefix::default(),
            head: Vec::new(),
            body: Vec::new(),
        })
    }

    /// Frees all buffers while no message is incomplete.
    pub(crate) fn trim(&mut self) {
        if self.partials.is_empty() {
            *self = Incomings::default();
        }
    }
}

impl Partial {
    /// Appends the body of the next frame.
    fn add(&mut self, mut bytes: &[u8], body_expected: usize) -> Result<(), IncomingError> {
        // The first frame holds the whole prefix, because only a message's last frame may be short.
        if self.head.is_empty() {
            self.prefix = codec::prefix(bytes).map_err(IncomingError::Codec)?;
        }
        if self.head.len() + self.body.len() + bytes.len() > MESSAGE_BYTES_MAX {
            return Err(IncomingError::Codec(CodecError::TooLong));
        }
        let missing = PREFIX_BYTES + self.prefix.head_bytes - self.head.len();
        if missing > 0 {
            let (head, rest) = bytes.split_at(missing.min(bytes.len()));
            self.head.extend_from_slice(head);
            bytes = rest;
        }
        if self.body.is_empty() && !bytes.is_empty() {
            self.body.reserve_exact(bytes.len().max(body_expected));
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self, head: &FrameHead) -> Result<Envelope, IncomingError> {
        if self.head.len() < PREFIX_BYTES + self.prefix.head_bytes {
            return Err(IncomingError::Codec(CodecError::Cut));
        }
        let message = codec::decode(&self.head[PREFIX_BYTES..]).map_err(IncomingError::Codec)?;
        // The buffer was reserved for a body as long as the last one; a short body must not keep
        // it.
        if self.body.capacity() > 2 * self.body.len() {
            self.body.shrink_to_fit();
        }
        Ok(Envelope {
            id: RequestId(self.id),
            kind: self.letter_kind(head),
            message,
            body: self.body,
        })
    }

    fn letter_kind(&self, head: &FrameHead) -> Kind {
        if self.kind == FrameKind::Question {
            return Kind::Question {
                patience: self.prefix.patience,
            };
        }
        if self.kind == FrameKind::OneWay {
            return Kind::OneWay;
        }
        let more = head.flags.has(Flags::MORE_ANSWERS);
        Kind::Answer { more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use roles::contract::message::{Message, Refusal};

    #[test]
    fn messages_interleave() {
        let mut incomings = Incomings::default();
        let (one, two) = (message(20_000, 1), message(20_000, 2));
        let (first, second) = (frame(1, Flags::MORE), frame(2, Flags::MORE));
        assert_eq!(
            incomings.take(&first, &one[..FRAME_BODY_BYTES_MAX]),
            Ok(None)
        );
        assert_eq!(
            incomings.take(&second, &two[..FRAME_BODY_BYTES_MAX]),
            Ok(None)
        );
        let last = frame(1, Flags::default());
        let envelope = incomings.take(&last, &one[FRAME_BODY_BYTES_MAX..]);
        let envelope = envelope.unwrap().expect("complete");
        assert_eq!(
            (envelope.id, envelope.body),
            (RequestId(1), vec![1; 20_000])
        );
    }

    #[test]
    fn more_messages_than_any_sender_needs_are_refused() {
        let mut incomings = Incomings::default();
        let bytes = message(20_000, 1);
        for id in 0..PARTIALS_MAX as u64 {
            let frame = frame(id, Flags::MORE);
            assert_eq!(
                incomings.take(&frame, &bytes[..FRAME_BODY_BYTES_MAX]),
                Ok(None)
            );
        }
        let frame = frame(99, Flags::MORE);
        assert_eq!(
            incomings.take(&frame, &bytes[..FRAME_BODY_BYTES_MAX]),
            Err(IncomingError::TooMany)
        );
    }

    #[test]
    fn a_message_above_the_bound_is_refused() {
        let mut incomings = Incomings::default();
        let first = message(FRAME_BODY_BYTES_MAX, 1);
        let mut result = incomings.take(&frame(1, Flags::MORE), &first[..FRAME_BODY_BYTES_MAX]);
        for _ in 0..MESSAGE_BYTES_MAX / FRAME_BODY_BYTES_MAX {
            assert_eq!(result, Ok(None));
            result = incomings.take(&frame(1, Flags::MORE), &[0; FRAME_BODY_BYTES_MAX]);
        }
        assert_eq!(result, Err(IncomingError::Codec(CodecError::TooLong)));
    }

    /// Thousands of tiny frames for one message cost more than they carry, so they are refused.
    #[test]
    fn thin_and_cut_messages_are_refused() {
        let mut incomings = Incomings::default();
        let thin = incomings.take(&frame(1, Flags::MORE), &message(0, 0));
        assert_eq!(thin, Err(IncomingError::Thin));
        let bytes = message(0, 0);
        let cut = incomings.take(&frame(1, Flags::default()), &bytes[..bytes.len() - 1]);
        assert_eq!(cut, Err(IncomingError::Codec(CodecError::Cut)));
        let empty = incomings.take(&frame(1, Flags::default()), &[]);
        assert_eq!(empty, Err(IncomingError::Codec(CodecError::Cut)));
    }

    fn frame(id: u64, flags: Flags) -> FrameHead {
        FrameHead {
            flags,
            id,
            ..FrameHead::bare(FrameKind::Answer)
        }
    }

    fn message(body: usize, fill: u8) -> Vec<u8> {
        let message = Message::Refused(Refusal::NotFound);
        let kind = Kind::Answer { more: false };
        let encoded = codec::encode(kind, &message, vec![fill; body]).unwrap();
        [encoded.head, encoded.body].concat()
    }
}
