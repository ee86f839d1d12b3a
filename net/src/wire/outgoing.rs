//! The send queues of one connection: control goes before bulk, and bulk needs credit.
//!
//! An envelope with a body, or a long one, is bulk. Every other envelope is control and overtakes
//! bulk between two frames. Answers to one question keep their order: a control answer waits in
//! the bulk queue while a bulk answer with the same id is in it.

use std::collections::VecDeque;

use roles::contract::id::RequestId;
use roles::contract::limits::FRAME_BODY_BYTES_MAX;
use roles::contract::message::{Envelope, Kind};

use super::codec::{self, CodecError, Encoded};
use super::frame::{FRAME_HEAD_BYTES, Flags, FrameHead, FrameKind};

/// An envelope without a body is bulk above this length: four frames.
const CONTROL_BYTES_MAX: usize = 4 * FRAME_BODY_BYTES_MAX;

/// Bytes of bulk that a peer may have on their way to this node. The window holds several
/// fragments, so the connection does not idle for want of a grant, yet fits a small machine.
pub const CREDIT_WINDOW_BYTES: u32 = 2 << 20;

/// A message that is being sent.
#[derive(Debug)]
struct Outgoing {
    kind: FrameKind,
    id: RequestId,
    marks: Flags,
    message: Encoded,
    sent: usize,
}

/// The two send queues of one connection.
#[derive(Debug)]
pub(crate) struct Outgoings {
    control: VecDeque<Outgoing>,
    bulk: VecDeque<Outgoing>,
    bytes: usize,
    /// The part of `bytes` that is in the control queue.
    control_bytes: usize,
    credit: u64,
}

/// A frame whose body is in place; its header is not written yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) kind: FrameKind,
    pub(crate) id: RequestId,
    pub(crate) flags: Flags,
    /// Length of the body, which lies after the space for the header.
    pub(crate) body: usize,
    /// Whether the frame completes its message.
    pub(crate) last: bool,
}

impl Outgoings {
    pub(crate) fn new() -> Self {
        Outgoings {
            control: VecDeque::new(),
            bulk: VecDeque::new(),
            bytes: 0,
            control_bytes: 0,
            credit: u64::from(CREDIT_WINDOW_BYTES),
        }
    }

    /// Encodes an envelope and queues it.
    pub(crate) fn push(&mut self, envelope: Envelope) -> Result<(), CodecError> {
        let (kind, more) = match envelope.kind {
            Kind::Question { .. } => (FrameKind::Question, false),
            Kind::Answer { more } => (FrameKind::Answer, more),
            Kind::OneWay => (FrameKind::OneWay, false),
        };
        let message = codec::encode(envelope.kind, &envelope.message, envelope.body)?;
        let bulk = !message.body.is_empty()
            || message.bytes() > CONTROL_BYTES_MAX
            || self
                .bulk
                .iter()
                .any(|o| (o.kind, o.id) == (kind, envelope.id));
        self.bytes += message.bytes();
        if !bulk {
            self.control_bytes += message.bytes();
        }
        let queue = if bulk {
            &mut self.bulk
        } else {
            &mut self.control
        };
        queue.push_back(Outgoing {
            kind,
            id: envelope.id,
            marks: Flags::default()
                .with(Flags::MORE_ANSWERS, more)
                .with(Flags::BULK, bulk),
            message,
            sent: 0,
        });
        Ok(())
    }

    /// Adds `bytes` of credit that the peer has granted.
    pub(crate) fn grant(&mut self, bytes: u32) {
        self.credit = self.credit.saturating_add(bytes.into());
    }

    /// Writes the next frame's body into `frame`, after the space for its header. Returns `None`
    /// when both queues are empty or the next bulk frame exceeds the credit.
    pub(crate) fn next_piece(&mut self, frame: &mut [u8]) -> Option<Piece> {
        let from_control = !self.control.is_empty();
        let queue = if from_control {
            &mut self.control
        } else {
            &mut self.bulk
        };
        let front = queue.front_mut()?;
        let left = (front.message.bytes() - front.sent).min(FRAME_BODY_BYTES_MAX);
        if !from_control && self.credit < left as u64 {
            return None;
        }
        let room = &mut frame[FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + left];
        let body = front.message.slice_into(front.sent, room);
        front.sent += body;
        let last = front.sent == front.message.bytes();
        let piece = Piece {
            kind: front.kind,
            id: front.id,
            flags: front.marks.with(Flags::MORE, !last),
            body,
            last,
        };
        if last {
            queue.pop_front();
        }
        self.bytes -= body;
        if from_control {
            self.control_bytes -= body;
        } else {
            self.credit -= body as u64;
        }
        Some(piece)
    }

    /// Unsent bytes in both queues.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Unsent bytes in the control queue.
    pub(crate) fn control_bytes(&self) -> usize {
        self.control_bytes
    }

    /// Envelopes not yet fully sent.
    pub(crate) fn envelopes(&self) -> usize {
        self.control.len() + self.bulk.len()
    }

    /// Empties both queues and returns their envelopes. Call only before anything has been sent.
    pub(crate) fn take_all(&mut self) -> Vec<Envelope> {
        self.bytes = 0;
        self.control_bytes = 0;
        let queued = self.control.drain(..).chain(self.bulk.drain(..));
        queued.filter_map(Outgoing::into_letter).collect()
    }

    /// Frees the queues while they are empty.
    pub(crate) fn trim(&mut self) {
        if self.envelopes() == 0 {
            self.control = VecDeque::new();
            self.bulk = VecDeque::new();
        }
    }
}

impl Outgoing {
    fn into_letter(self) -> Option<Envelope> {
        let head = &self.message.head;
        let kind = match self.kind {
            FrameKind::Question => Kind::Question {
                patience: codec::prefix(head).ok()?.patience,
            },
            FrameKind::OneWay => Kind::OneWay,
            FrameKind::Answer
            | FrameKind::Ping
            | FrameKind::Pong
            | FrameKind::Ack
            | FrameKind::Hello
            | FrameKind::Goodbye => Kind::Answer {
                more: self.marks.has(Flags::MORE_ANSWERS),
            },
        };
        Some(Envelope {
            id: self.id,
            kind,
            message: codec::decode(&head[codec::PREFIX_BYTES..]).ok()?,
            body: self.message.body,
        })
    }
}

impl Piece {
    /// The header of this frame, with the connection's acknowledgement and credit.
    pub(crate) fn head(&self, ack: u64, credit: u32) -> FrameHead {
        FrameHead {
            kind: self.kind,
            flags: self.flags,
            id: self.id.0,
            ack,
            credit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::FRAME_BYTES_MAX;
    use roles::contract::message::{Message, Names, Refusal};
    use std::time::Duration;

    #[test]
    fn control_overtakes_bulk_between_frames() {
        let mut queue = Outgoings::new();
        queue.push(answer(1, 40_000, false)).unwrap();
        assert!(next(&mut queue).is_some_and(|p| p.flags.has(Flags::BULK.with(Flags::MORE, true))));
        queue.push(question(2)).unwrap();
        assert_eq!(next(&mut queue).map(|p| p.id), Some(RequestId(2)));
        assert_eq!(next(&mut queue).map(|p| p.id), Some(RequestId(1)));
    }

    /// A refusal after a fragment must not arrive before it.
    #[test]
    fn answers_to_one_question_keep_their_order() {
        let mut queue = Outgoings::new();
        queue.push(answer(1, 40_000, true)).unwrap();
        queue.push(answer(1, 0, false)).unwrap();
        let pieces: Vec<Piece> = std::iter::from_fn(|| next(&mut queue)).collect();
        assert_eq!(pieces.len(), 4);
        assert!(pieces[..3].iter().all(|p| p.flags.has(Flags::MORE_ANSWERS)));
        assert!(!pieces[3].flags.has(Flags::MORE_ANSWERS));
    }

    #[test]
    fn bulk_stops_where_credit_ends() {
        let mut queue = Outgoings::new();
        for id in 0..4 {
            queue.push(answer(id, 900_000, false)).unwrap();
        }
        let sent = |queue: &mut Outgoings| -> usize {
            std::iter::from_fn(|| next(queue)).map(|p| p.body).sum()
        };
        let first = sent(&mut queue);
        assert!(first <= CREDIT_WINDOW_BYTES as usize);
        assert!(first + FRAME_BODY_BYTES_MAX > CREDIT_WINDOW_BYTES as usize);
        queue.grant(100_000);
        let second = sent(&mut queue);
        assert!(first + second <= CREDIT_WINDOW_BYTES as usize + 100_000);
        // Control passes while bulk waits.
        queue.push(question(9)).unwrap();
        assert_eq!(next(&mut queue).map(|p| p.id), Some(RequestId(9)));
    }

    fn next(queue: &mut Outgoings) -> Option<Piece> {
        queue.next_piece(&mut vec![0; FRAME_BYTES_MAX])
    }

    fn answer(id: u64, body: usize, more: bool) -> Envelope {
        Envelope {
            id: RequestId(id),
            kind: Kind::Answer { more },
            message: Message::Refused(Refusal::NotFound),
            body: vec![7; body],
        }
    }

    fn question(id: u64) -> Envelope {
        Envelope {
            id: RequestId(id),
            kind: Kind::Question {
                patience: Duration::from_secs(1),
            },
            message: Message::Names(Names::Reserve),
            body: Vec::new(),
        }
    }
}
