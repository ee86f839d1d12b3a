//! The sending half of a link, in this order: control frames, envelopes, goodbye, acknowledgement.

use roles::contract::message::{Envelope, Kind};
use roles::contract::node::Lost;
use roles::contract::time::Time;

use super::{Link, QUEUE_LETTERS_MAX, SendError, State};
use crate::wire::frame::{FRAME_HEAD_BYTES, FrameHead, FrameKind};
use crate::wire::hello::{Farewell, Hello};
use crate::wire::seal::Scratch;

/// Most bytes queued in one link: every question a peer may have open, answered with a page. A
/// link that would exceed this ends, because its peer does not read.
const QUEUE_BYTES_MAX: usize = 32 << 20;

impl Link {
    /// Queues an envelope. Until the link opens, the envelope waits.
    pub fn send(&mut self, now: Time, envelope: Envelope) -> Result<(), SendError> {
        if matches!(self.state, State::Over(_) | State::Leaving { .. }) {
            return Err(SendError::Ended);
        }
        let bytes = self.outgoing.bytes() + envelope.body.len();
        if bytes > QUEUE_BYTES_MAX || self.outgoing.envelopes() >= QUEUE_LETTERS_MAX {
            self.end(Lost::Full);
            return Err(SendError::Full);
        }
        let (id, kind) = (envelope.id, envelope.kind);
        self.outgoing.push(envelope).map_err(SendError::Codec)?;
        match kind {
            Kind::Question { patience } => self.asked.open(id, now + patience),
            Kind::Answer { more: false } => self.pending.close(id),
            Kind::Answer { more: true } | Kind::OneWay => (),
        }
        self.note_waiting(now);
        Ok(())
    }

    /// Appends sealed frames to `out` until it holds `limit` bytes or nothing more can be sent.
    pub fn fill(&mut self, now: Time, scratch: &mut Scratch, out: &mut Vec<u8>, limit: usize) {
        out.append(&mut self.raw);
        if matches!(self.state, State::Over(_)) {
            return;
        }
        self.fill_duties(scratch, out);
        if matches!(self.state, State::Open(_) | State::Leaving { .. }) {
            self.fill_letters(now, scratch, out, limit);
            self.fill_farewell(scratch, out);
        }
        if self.session.is_some() && self.receipts.is_due(now) {
            self.emit(FrameHead::bare(FrameKind::Ack), 0, scratch, out);
        }
        self.note_waiting(now);
    }

    fn fill_duties(&mut self, scratch: &mut Scratch, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.duty.hello) {
            let hello = Hello::of(self.identity);
            let body = hello.write(&mut scratch.frame[FRAME_HEAD_BYTES..]);
            self.emit(FrameHead::bare(FrameKind::Hello), body, scratch, out);
        }
        if std::mem::take(&mut self.duty.pong) {
            self.emit(FrameHead::bare(FrameKind::Pong), 0, scratch, out);
        }
        if std::mem::take(&mut self.duty.ping) {
            self.emit(FrameHead::bare(FrameKind::Ping), 0, scratch, out);
        }
    }

    fn fill_letters(&mut self, now: Time, scratch: &mut Scratch, out: &mut Vec<u8>, limit: usize) {
        while out.len() < limit {
            let Some(piece) = self.outgoing.next_piece(&mut scratch.frame) else {
                return;
            };
            if piece.last && piece.kind == FrameKind::Answer {
                self.receipts.on_sent(now);
            }
            self.emit(piece.head(0, 0), piece.body, scratch, out);
        }
    }

    fn fill_farewell(&mut self, scratch: &mut Scratch, out: &mut Vec<u8>) {
        let Some(farewell) = self.farewell else {
            return;
        };
        // A replaced connection says goodbye only after its own questions are answered. It ends
        // only when the peer has said the same, so no answer on its way is lost.
        let quiet = farewell != Farewell::Replaced || self.asked.is_empty();
        if !self.farewell_said && quiet && self.outgoing.envelopes() == 0 {
            self.farewell_said = true;
            scratch.frame[FRAME_HEAD_BYTES] = farewell as u8;
            self.emit(FrameHead::bare(FrameKind::Goodbye), 1, scratch, out);
        }
        if self.farewell_said && self.replaced_heard && self.is_idle() {
            self.end(Lost::Closed);
        }
    }

    /// Seals the frame whose body is in `scratch`, with acknowledgement and credit in its header.
    fn emit(&mut self, head: FrameHead, body: usize, scratch: &mut Scratch, out: &mut Vec<u8>) {
        let Some(session) = &mut self.session else {
            return;
        };
        let (ack, credit) = self.receipts.tell();
        let frame = &mut scratch.frame[..FRAME_HEAD_BYTES + body];
        FrameHead {
            ack,
            credit,
            ..head
        }
        .write(frame);
        session.seal(frame, out);
    }
}
