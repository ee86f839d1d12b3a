//! One connection's protocol, without sockets and clock.
//!
//! Bytes in, [`LinkEvent`]s out; letters in, bytes out. Owns the handshake, both send queues,
//! credit, receipts, keep-alive and the reason why it ended. Which of two connections to a peer is
//! used, and who may connect at all, is `conns`' business.

use std::sync::Arc;
use std::time::Duration;

use log::debug;
use roles::contract::id::RequestId;
use roles::contract::message::{Kind, Letter, Message, Refusal};
use roles::contract::node::{Identity, Lost};
use roles::contract::time::Time;
use roles::contract::timers::earlier;

use super::codec::CodecError;
use super::frame::{FRAME_HEAD_BYTES, FrameError, FrameHead, FrameKind};
use super::hello::{Farewell, Hello};
use super::incoming::{IncomingError, Incomings};
use super::outgoing::Outgoings;
use super::pulse::{Pulse, Questions, Receipts};
use super::record::RecordReader;
use super::seal::{self, Call, HANDSHAKE_BYTES, Opening, Scratch, Security, Session, Suite};

/// How long a handshake may take, hello included.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one end waits for the other to close after its goodbye.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Most bytes that may wait in one link: every question a peer may have open, answered with a
/// page. A link that would hold more is cut: its peer takes nothing off.
const QUEUE_BYTES_MAX: usize = 32 << 20;

/// Most letters that may wait in one link.
const QUEUE_LETTERS_MAX: usize = 8192;

/// Below this, more bulk may be made ready for the peer.
const ROOM_BYTES: usize = 1 << 20;

/// What came out of the bytes of a peer.
#[derive(Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The peer has proved that it holds the key, and said who it is.
    Opened(Hello),
    /// A letter, whole.
    Letter(Letter),
}

/// Why a letter was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError {
    /// Too much waits: the link is over.
    Full,
    /// The letter cannot be written: a fault of this node.
    Codec(CodecError),
    /// The link is over, or about to be.
    Ended,
}

/// One connection's protocol.
pub struct Link {
    state: State,
    security: Arc<Security>,
    identity: Identity,
    /// Bytes that precede all frames: preamble and handshake.
    raw: Vec<u8>,
    /// Handshake bytes of the peer, until they are whole.
    gathered: Vec<u8>,
    session: Option<Session>,
    reader: RecordReader,
    incoming: Incomings,
    outgoing: Outgoings,
    pulse: Pulse,
    receipts: Receipts,
    /// Questions of ours.
    asked: Questions,
    /// Questions of theirs.
    pending: Questions,
    duty: Duty,
    farewell: Option<Farewell>,
    farewell_said: bool,
    replaced_heard: bool,
}

enum State {
    /// Dialled; the responder's handshake message is awaited.
    Calling { call: Call, until: Time },
    /// Accepted; preamble and first handshake message are awaited.
    Awaiting { until: Time },
    /// Sealed; the other's hello is awaited.
    Greeting { until: Time },
    /// Letters flow.
    Open(Hello),
    /// Our goodbye is said or about to be; nothing more is listened to.
    Leaving { until: Time },
    /// Nothing more happens.
    Over(Lost),
}

/// Frames without content that are due.
#[derive(Default)]
struct Duty {
    hello: bool,
    ping: bool,
    pong: bool,
}

impl Link {
    /// The dialer's end.
    pub fn dial(now: Time, security: &Arc<Security>, identity: Identity, suite: Suite) -> Self {
        let mut link = Link::new(now, security, identity);
        match seal::call(security, suite, &mut link.raw) {
            Ok(Opening::Waiting(call)) => {
                let until = now + HANDSHAKE_TIMEOUT;
                link.state = State::Calling { call, until };
            }
            Ok(Opening::Done(session)) => link.greet(now + HANDSHAKE_TIMEOUT, session),
            Err(_) => link.state = State::Over(Lost::HandshakeRefused),
        }
        link
    }

    /// The listener's end.
    pub fn accept(now: Time, security: &Arc<Security>, identity: Identity) -> Self {
        Link::new(now, security, identity)
    }

    fn new(now: Time, security: &Arc<Security>, identity: Identity) -> Self {
        Link {
            state: State::Awaiting {
                until: now + HANDSHAKE_TIMEOUT,
            },
            security: Arc::clone(security),
            identity,
            raw: Vec::new(),
            gathered: Vec::new(),
            session: None,
            reader: RecordReader::default(),
            incoming: Incomings::default(),
            outgoing: Outgoings::new(),
            pulse: Pulse::new(now),
            receipts: Receipts::new(),
            asked: Questions::default(),
            pending: Questions::default(),
            duty: Duty::default(),
            farewell: None,
            farewell_said: false,
            replaced_heard: false,
        }
    }

    fn greet(&mut self, until: Time, session: Session) {
        self.session = Some(session);
        self.duty.hello = true;
        self.state = State::Greeting { until };
    }

    /// Begins the handshake's time again: the connection itself took until now.
    pub fn connected(&mut self, now: Time) {
        if let State::Calling { until, .. } | State::Greeting { until } = &mut self.state {
            *until = now + HANDSHAKE_TIMEOUT;
        }
    }

    /// Takes bytes of the peer. Look at [`Link::over`] afterwards.
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
                State::Awaiting { until } => self.on_preamble(*until, &mut bytes),
                State::Calling { until, .. } => self.on_handshake(*until, &mut bytes),
                State::Greeting { .. } | State::Open(_) | State::Leaving { .. } => {
                    self.on_record(now, &mut bytes, scratch, events)
                }
            };
            if let Err(why) = step {
                self.end(why);
            }
        }
        self.note_waiting(now);
    }

    fn on_preamble(&mut self, until: Time, bytes: &mut &[u8]) -> Result<(), Lost> {
        let before = self.gathered.len();
        let taken = bytes.len().min(GREETING_BYTES_MAX - before);
        self.gathered.extend_from_slice(&bytes[..taken]);
        match seal::answer(&self.security, &self.gathered, &mut self.raw) {
            Ok(Some((used, session))) => {
                *bytes = &bytes[used - before..];
                self.gathered = Vec::new();
                self.greet(until, session);
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

    fn on_handshake(&mut self, until: Time, bytes: &mut &[u8]) -> Result<(), Lost> {
        let missing = HANDSHAKE_BYTES - self.gathered.len();
        let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
        self.gathered.extend_from_slice(taken);
        *bytes = rest;
        if self.gathered.len() < HANDSHAKE_BYTES {
            return Ok(());
        }
        let message = std::mem::take(&mut self.gathered);
        let state = std::mem::replace(&mut self.state, State::Over(Lost::HandshakeRefused));
        let State::Calling { call, .. } = state else {
            return Err(Lost::Misbehaved);
        };
        let session = call
            .answered(&message)
            .map_err(|_| Lost::HandshakeRefused)?;
        self.greet(until, session);
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
        self.pulse.heard(now);
        self.receipts.on_ack(head.ack)?;
        self.outgoing.grant(head.credit);
        if matches!(self.state, State::Greeting { .. }) && head.kind != FrameKind::Hello {
            return self.on_goodbye_or_else(head, body);
        }
        match head.kind {
            FrameKind::Question | FrameKind::Answer | FrameKind::Word => {
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

    /// Before its hello a peer may only take its leave.
    fn on_goodbye_or_else(&mut self, head: &FrameHead, body: &[u8]) -> Result<(), Lost> {
        if head.kind == FrameKind::Goodbye {
            return self.on_goodbye(body);
        }
        Err(Lost::Misbehaved)
    }

    fn on_hello(&mut self, body: &[u8], events: &mut Vec<LinkEvent>) -> Result<(), Lost> {
        if !matches!(self.state, State::Greeting { .. }) {
            return Err(Lost::Misbehaved);
        }
        let hello = Hello::read(body).ok_or(Lost::Misbehaved)?;
        if !hello.is_understood() {
            return Err(Lost::Version);
        }
        self.state = State::Open(hello);
        events.push(LinkEvent::Opened(hello));
        Ok(())
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
        if head.flags.has(super::frame::Flags::BULK) {
            self.receipts.on_bulk(now, body.len())?;
        }
        let letter = self.incoming.take(head, body).map_err(|why| {
            debug!("link broken why={why:?}");
            misbehaved(&why)
        })?;
        match letter {
            Some(letter) => self.on_letter(now, letter, events),
            None => Ok(()),
        }
    }

    fn on_letter(
        &mut self,
        now: Time,
        letter: Letter,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), Lost> {
        match letter.kind {
            Kind::Answer { more } => {
                self.receipts.on_answer(now);
                if !more {
                    self.asked.close(letter.id);
                }
            }
            Kind::Question { patience } => {
                if self.pending.is_full(now) {
                    return self.refuse_busy(letter.id);
                }
                self.pending.open(letter.id, now + patience);
            }
            Kind::Word => (),
        }
        // What comes after our own goodbye is acknowledged and forgotten.
        if matches!(self.state, State::Open(_)) {
            events.push(LinkEvent::Letter(letter));
        }
        Ok(())
    }

    fn refuse_busy(&mut self, id: RequestId) -> Result<(), Lost> {
        if self.outgoing.letters() >= QUEUE_LETTERS_MAX {
            return Err(Lost::Full);
        }
        let busy = Refusal::Busy {
            retry_after_ms: BUSY_RETRY_AFTER_MS,
        };
        let letter = Letter {
            id,
            kind: Kind::Answer { more: false },
            message: Message::Refused(busy),
            body: Vec::new(),
        };
        self.outgoing.push(letter).map_err(|_| Lost::Misbehaved)
    }

    /// Queues a letter; before the handshake is over it waits.
    pub fn send(&mut self, now: Time, letter: Letter) -> Result<(), SendError> {
        if matches!(self.state, State::Over(_) | State::Leaving { .. }) {
            return Err(SendError::Ended);
        }
        let bytes = self.outgoing.bytes() + letter.body.len();
        if bytes > QUEUE_BYTES_MAX || self.outgoing.letters() >= QUEUE_LETTERS_MAX {
            self.end(Lost::Full);
            return Err(SendError::Full);
        }
        let (id, kind) = (letter.id, letter.kind);
        self.outgoing.push(letter).map_err(SendError::Codec)?;
        match kind {
            Kind::Question { patience } => self.asked.open(id, now + patience),
            Kind::Answer { more: false } => self.pending.close(id),
            Kind::Answer { more: true } | Kind::Word => (),
        }
        self.note_waiting(now);
        Ok(())
    }

    /// Appends what can be sent now to `out`, until it holds `limit` bytes or nothing is left.
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
        let quiet = farewell != Farewell::Replaced || self.asked.is_empty();
        if !self.farewell_said && quiet && self.outgoing.letters() == 0 {
            self.farewell_said = true;
            scratch.frame[FRAME_HEAD_BYTES] = farewell as u8;
            self.emit(FrameHead::bare(FrameKind::Goodbye), 1, scratch, out);
        }
        if self.farewell_said && self.replaced_heard && self.is_idle() {
            self.end(Lost::Closed);
        }
    }

    /// Seals the frame whose body stands in the scratch, with receipts and credit in its header.
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

    /// The peer has closed, or the connection broke.
    pub fn on_closed(&mut self, reset: bool) {
        let why = match &self.state {
            State::Calling { .. } | State::Greeting { .. } | State::Awaiting { .. } => {
                Lost::HandshakeRefused
            }
            State::Open(_) | State::Leaving { .. } if reset => Lost::Reset,
            State::Open(_) | State::Leaving { .. } => Lost::Closed,
            State::Over(why) => *why,
        };
        self.end(why);
    }

    /// Ends the connection well: what waits is sent, then a goodbye.
    pub fn leave(&mut self, now: Time, farewell: Farewell) {
        if matches!(self.state, State::Over(_) | State::Leaving { .. }) {
            return;
        }
        if self.session.is_none() {
            return self.end(Lost::Closed);
        }
        self.farewell = Some(farewell);
        self.farewell_said = false;
        self.state = State::Leaving {
            until: now + LEAVE_TIMEOUT,
        };
    }

    /// Asks nothing more here and ends once both ends have nothing outstanding.
    pub fn retire(&mut self) {
        self.farewell.get_or_insert(Farewell::Replaced);
    }

    /// When [`Link::on_tick`] has something to do.
    pub fn deadline(&self) -> Option<Time> {
        match &self.state {
            State::Calling { until, .. }
            | State::Awaiting { until }
            | State::Greeting { until }
            | State::Leaving { until } => Some(*until),
            State::Open(_) => earlier(Some(self.pulse.deadline()), self.receipts.deadline()),
            State::Over(_) => None,
        }
    }

    /// [`Link::deadline`] while the socket takes nothing: a receipt that is due goes out when it
    /// does, and until then is no reason to wake.
    pub fn deadline_while_blocked(&self) -> Option<Time> {
        match &self.state {
            State::Open(_) => earlier(Some(self.pulse.deadline()), self.receipts.overdue_at()),
            State::Calling { .. }
            | State::Awaiting { .. }
            | State::Greeting { .. }
            | State::Leaving { .. }
            | State::Over(_) => self.deadline(),
        }
    }

    /// Lets time pass. What is due goes out with the next [`Link::fill`].
    pub fn on_tick(&mut self, now: Time) {
        let step = match &self.state {
            State::Calling { until, .. }
            | State::Awaiting { until }
            | State::Greeting { until } => {
                if *until <= now {
                    Err(Lost::Silent)
                } else {
                    Ok(())
                }
            }
            State::Leaving { until } => {
                if *until <= now {
                    Err(Lost::Closed)
                } else {
                    Ok(())
                }
            }
            State::Open(_) => self.on_tick_open(now),
            State::Over(_) => Ok(()),
        };
        if let Err(why) = step {
            self.end(why);
        }
    }

    fn on_tick_open(&mut self, now: Time) -> Result<(), Lost> {
        self.asked.expire(now);
        self.pending.expire(now);
        self.note_waiting(now);
        self.receipts.on_tick(now)?;
        if self.pulse.on_tick(now)? {
            self.duty.ping = true;
            self.trim();
        }
        Ok(())
    }

    /// Gives back what the last rush has left behind.
    fn trim(&mut self) {
        self.raw = Vec::new();
        self.reader.trim();
        self.incoming.trim();
        self.outgoing.trim();
        self.receipts.trim();
    }

    /// The socket takes bytes while this end does not read: that is life enough.
    pub fn heard(&mut self, now: Time) {
        self.pulse.heard(now);
    }

    fn note_waiting(&mut self, now: Time) {
        let waiting = !self.asked.is_empty() || self.receipts.waiting();
        self.pulse.set_waiting(now, waiting);
    }

    fn end(&mut self, why: Lost) {
        if !matches!(self.state, State::Over(_)) {
            self.state = State::Over(why);
        }
    }

    /// Why nothing more will happen, if so.
    pub fn over(&self) -> Option<Lost> {
        match &self.state {
            State::Over(why) => Some(*why),
            State::Calling { .. }
            | State::Awaiting { .. }
            | State::Greeting { .. }
            | State::Open(_)
            | State::Leaving { .. } => None,
        }
    }

    /// Who is at the other end, while letters flow.
    pub fn hello(&self) -> Option<&Hello> {
        match &self.state {
            State::Open(hello) => Some(hello),
            State::Calling { .. }
            | State::Awaiting { .. }
            | State::Greeting { .. }
            | State::Leaving { .. }
            | State::Over(_) => None,
        }
    }

    /// Whether the handshake is still under way.
    pub fn is_greeting(&self) -> bool {
        matches!(
            self.state,
            State::Calling { .. } | State::Awaiting { .. } | State::Greeting { .. }
        )
    }

    /// Whether this end is only waiting for the other to close.
    pub fn is_leaving(&self) -> bool {
        matches!(self.state, State::Leaving { .. })
    }

    /// Whether nothing is asked, pending, queued or unacknowledged.
    pub fn is_idle(&self) -> bool {
        self.asked.is_empty()
            && self.pending.is_empty()
            && self.outgoing.letters() == 0
            && !self.receipts.waiting()
    }

    /// Whether the peer has asked `id` here and waits for its last answer.
    pub fn owes(&self, id: RequestId) -> bool {
        self.pending.holds(id)
    }

    /// Bytes that wait to be sent.
    pub fn queued_bytes(&self) -> usize {
        self.outgoing.bytes() + self.raw.len()
    }

    /// Bytes that wait and need no credit.
    pub(crate) fn control_bytes(&self) -> usize {
        self.outgoing.control_bytes()
    }

    /// Whether more bulk may be made ready for this peer.
    pub fn room(&self) -> bool {
        self.queued_bytes() < ROOM_BYTES
    }

    /// Questions of ours without their last answer.
    pub fn questions_open(&self) -> usize {
        self.asked.len()
    }

    /// Takes the letters out that wait, if none was sent: for another connection to the peer.
    pub fn take_waiting(&mut self) -> Vec<Letter> {
        if self.hello().is_some() || self.is_leaving() {
            return Vec::new();
        }
        self.outgoing.take_all()
    }
}

/// More than a dialer has to say before the listener can answer.
const GREETING_BYTES_MAX: usize = 128;

/// How long a peer with too many questions is told to wait.
const BUSY_RETRY_AFTER_MS: u32 = 100;

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

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
