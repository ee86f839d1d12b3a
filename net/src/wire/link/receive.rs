//! The receiving half of a link: from the peer's bytes to events.

use log::debug;
use roles::contract::id::RequestId;
use roles::contract::message::{Envelope, Kind, Message, Refusal};
use roles::contract::node::Lost;
use roles::contract::rights::Right;
use roles::contract::time::Time;

use super::{Link, LinkEvent, QUEUE_LETTERS_MAX, State};
use crate::wire::frame::{Flags, FrameError, FrameHead, FrameKind};
use crate::wire::hello::{Farewell, Hello};
use crate::wire::incoming::IncomingError;
use crate::wire::seal::{self, HANDSHAKE_BYTES, Scratch};

/// More bytes than a dialer sends before the listener replies.
const GREETING_BYTES_MAX: usize = 128;

/// The retry delay given to a peer that has too many open questions.
const BUSY_RETRY_AFTER_MS: u32 = 100;

impl Link {
    /// Processes bytes of the peer. The caller checks [`Link::over`] afterwards.
    pub fn receive(
        &mut self,
        now: Time,
        mut bytes: &[u8],
        scratch: &mut Scratch,
        events: &mut Vec<LinkEvent>,
    ) {
        while !bytes.is_empty() {
            let step = match &self.state {
                State::Over(_) => return,
                State::Awaiting => self.on_preamble(&mut bytes),
                State::Calling(_) => self.on_handshake(&mut bytes),
                State::Greeting | State::Open(_) | State::Leaving { .. } => {
                    self.on_record(now, &mut bytes, scratch, events)
                }
            };
            if let Err(why) = step {
                self.end(why);
            }
        }
        self.note_waiting(now);
    }

    fn on_preamble(&mut self, bytes: &mut &[u8]) -> Result<(), Lost> {
        let before = self.gathered.len();
        let taken = bytes.len().min(GREETING_BYTES_MAX - before);
        self.gathered.extend_from_slice(&bytes[..taken]);
        match seal::answer(&self.security, &self.gathered, &mut self.raw) {
            Ok(Some((used, session))) => {
                *bytes = &bytes[used - before..];
                self.gathered = Vec::new();
                self.greet(session);
                Ok(())
            }
            Ok(None) => {
                *bytes = &bytes[taken..];
                Ok(())
            }
            Err(why) => {
                debug!("link refused why={why:?}");
                Err(Lost::HandshakeRefused)
            }
        }
    }

    fn on_handshake(&mut self, bytes: &mut &[u8]) -> Result<(), Lost> {
        let missing = HANDSHAKE_BYTES - self.gathered.len();
        let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
        self.gathered.extend_from_slice(taken);
        *bytes = rest;
        if self.gathered.len() < HANDSHAKE_BYTES {
            return Ok(());
        }
        // Completing the handshake consumes `call`, so a failure must leave the link in `Over`.
        let message = std::mem::take(&mut self.gathered);
        let state = std::mem::replace(&mut self.state, State::Over(Lost::HandshakeRefused));
        let State::Calling(call) = state else {
            return Err(Lost::Misbehaved);
        };
        let session = call
            .answered(&message)
            .map_err(|_| Lost::HandshakeRefused)?;
        self.greet(session);
        Ok(())
    }

    fn on_record(
        &mut self,
        now: Time,
        bytes: &mut &[u8],
        scratch: &mut Scratch,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), Lost> {
        let Scratch { opened, record, .. } = scratch;
        let next = self.reader.next(bytes, record);
        let Some(record) = next.map_err(|_| Lost::Misbehaved)? else {
            return Ok(());
        };
        let session = self.session.as_mut().ok_or(Lost::Misbehaved)?;
        let frame = session.open(record, opened).map_err(|_| Lost::Misbehaved)?;
        let (head, body) = FrameHead::parse(frame).map_err(why_lost)?;
        self.on_frame(now, &head, body, events)
    }

    fn on_frame(
        &mut self,
        now: Time,
        head: &FrameHead,
        body: &[u8],
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), Lost> {
        self.keepalive.heard(now);
        self.receipts.on_ack(now, head.ack, head.credit)?;
        self.outgoing.grant(head.credit);
        if matches!(self.state, State::Greeting) && head.kind != FrameKind::Hello {
            return self.on_goodbye_or_else(head, body);
        }
        match head.kind {
            FrameKind::Question | FrameKind::Answer | FrameKind::OneWay => {
                self.on_piece(now, head, body, events)
            }
            FrameKind::Ping => {
                self.duty.pong = true;
                Ok(())
            }
            FrameKind::Pong | FrameKind::Ack => Ok(()),
            FrameKind::Hello => self.on_hello(body, events),
            FrameKind::Goodbye => self.on_goodbye(body),
        }
    }

    /// The only frame other than a hello that a peer may send before its hello is a goodbye.
    fn on_goodbye_or_else(&mut self, head: &FrameHead, body: &[u8]) -> Result<(), Lost> {
        if head.kind == FrameKind::Goodbye {
            return self.on_goodbye(body);
        }
        Err(Lost::Misbehaved)
    }

    fn on_hello(&mut self, body: &[u8], events: &mut Vec<LinkEvent>) -> Result<(), Lost> {
        if !matches!(self.state, State::Greeting) {
            return Err(Lost::Misbehaved);
        }
        let hello = Hello::read(body).ok_or(Lost::Misbehaved)?;
        if !hello.is_understood() {
            return Err(Lost::Version);
        }
        let hello = self.as_known(hello)?;
        self.state = State::Open(hello);
        events.push(LinkEvent::Opened(hello));
        Ok(())
    }

    /// The hello of a peer as this end believes it. A client with a derived key has no address, and
    /// no id of a node.
    fn as_known(&self, mut hello: Hello) -> Result<Hello, Lost> {
        if self.right() < Right::Node {
            if hello.identity.address.is_some() {
                debug!("link refused: a key to {} is none of a node", self.right());
                return Err(Lost::Misbehaved);
            }
            hello.identity.node = self.security.guest(hello.identity.node);
        }
        Ok(hello)
    }

    fn on_goodbye(&mut self, body: &[u8]) -> Result<(), Lost> {
        let farewell = Farewell::from_wire(body).ok_or(Lost::Misbehaved)?;
        if farewell != Farewell::Replaced {
            return Err(farewell.as_lost());
        }
        self.replaced_heard = true;
        self.retire();
        Ok(())
    }

    fn on_piece(
        &mut self,
        now: Time,
        head: &FrameHead,
        body: &[u8],
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), Lost> {
        if head.flags.has(Flags::BULK) {
            self.receipts.on_bulk(now, body.len())?;
        }
        let envelope = self.incoming.take(head, body).map_err(|why| {
            debug!("link broken why={why:?}");
            misbehaved(&why)
        })?;
        match envelope {
            Some(envelope) => self.on_letter(now, envelope, events),
            None => Ok(()),
        }
    }

    fn on_letter(
        &mut self,
        now: Time,
        envelope: Envelope,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), Lost> {
        let needed = envelope.message.right_needed();
        if self.right() < needed {
            return self.refuse_right(&envelope, needed);
        }
        match envelope.kind {
            Kind::Answer { more } => {
                self.receipts.on_answer(now);
                if !more {
                    self.asked.close(envelope.id);
                }
            }
            Kind::Question { patience } => {
                if self.pending.is_full(now) {
                    return self.refuse_busy(envelope.id);
                }
                self.pending.open(envelope.id, now + patience);
            }
            Kind::OneWay => (),
        }
        // After this end's own goodbye, envelopes still count as received but reach no node.
        if matches!(self.state, State::Open(_)) {
            events.push(LinkEvent::Envelope(envelope));
        }
        Ok(())
    }

    /// Refuses a question for which the peer's key is not enough. A peer that speaks as a node without
    /// being asked breaks the protocol.
    fn refuse_right(&mut self, envelope: &Envelope, needed: Right) -> Result<(), Lost> {
        match envelope.kind {
            Kind::Question { .. } => self.refuse(envelope.id, Refusal::NotAllowed(needed)),
            Kind::Answer { .. } | Kind::OneWay => Err(Lost::Misbehaved),
        }
    }

    fn refuse_busy(&mut self, id: RequestId) -> Result<(), Lost> {
        let busy = Refusal::Busy {
            retry_after_ms: BUSY_RETRY_AFTER_MS,
        };
        self.refuse(id, busy)
    }

    fn refuse(&mut self, id: RequestId, why: Refusal) -> Result<(), Lost> {
        if self.outgoing.envelopes() >= QUEUE_LETTERS_MAX {
            return Err(Lost::Full);
        }
        let envelope = Envelope {
            id,
            kind: Kind::Answer { more: false },
            message: Message::Refused(why),
            body: Vec::new(),
        };
        self.outgoing.push(envelope).map_err(|_| Lost::Misbehaved)
    }
}

fn why_lost(error: FrameError) -> Lost {
    debug!("link broken why={error:?}");
    match error {
        FrameError::Version { .. } => Lost::Version,
        FrameError::Short
        | FrameError::TooLong { .. }
        | FrameError::Length
        | FrameError::Checksum
        | FrameError::UnknownKind { .. }
        | FrameError::UnknownFlags { .. } => Lost::Misbehaved,
    }
}

fn misbehaved(why: &IncomingError) -> Lost {
    match why {
        IncomingError::Codec(_) | IncomingError::TooMany | IncomingError::Thin => Lost::Misbehaved,
    }
}
