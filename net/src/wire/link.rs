//! The protocol of one connection, without sockets and clock.
//!
//! Received bytes become [`LinkEvent`]s; queued envelopes become bytes. Owns the handshake, both
//! send queues, credit, acknowledgements, keepalive and the reason why the connection ended.
//! `conns` and `reactor` decide which connections exist and which of them a peer uses.

mod receive;
mod send;

use std::sync::Arc;
use std::time::Duration;

use roles::contract::id::RequestId;
use roles::contract::message::Envelope;
use roles::contract::node::{Identity, Lost};
use roles::contract::rights::Right;
use roles::contract::time::Time;
use roles::contract::timers::earlier;

use super::codec::CodecError;
use super::hello::{Farewell, Hello};
use super::incoming::Incomings;
use super::outgoing::Outgoings;
use super::receipts::Receipts;
use super::record::RecordReader;
use super::seal::{self, Call, Opening, Security, Session, Suite};
use crate::peering::{Handshake, Keepalive, Questions};

/// How long this end waits for the peer to close after the goodbye.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Most envelopes queued in one link.
const QUEUE_LETTERS_MAX: usize = 8192;

/// While fewer bytes are queued, more bulk may be prepared for the peer.
const ROOM_BYTES: usize = 1 << 20;

/// An event that the bytes of a peer have caused.
#[derive(Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The handshake is complete and the peer has sent its hello.
    Opened(Hello),
    /// A complete envelope.
    Envelope(Envelope),
}

/// Why an envelope is not accepted.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError {
    /// The queues have reached their bound. The link has ended.
    Full,
    /// The envelope cannot be encoded: a fault of this node.
    Codec(CodecError),
    /// The link has ended, or its goodbye is queued.
    Ended,
}

/// The state of one connection's protocol.
pub struct Link {
    state: State,
    /// The time limits until the link opens.
    handshake: Handshake,
    security: Arc<Security>,
    identity: Identity,
    /// Unsent bytes that precede all frames: preamble and handshake.
    raw: Vec<u8>,
    /// The peer's preamble and handshake bytes while they are incomplete.
    gathered: Vec<u8>,
    session: Option<Session>,
    reader: RecordReader,
    incoming: Incomings,
    outgoing: Outgoings,
    keepalive: Keepalive,
    receipts: Receipts,
    /// Open questions that this end has asked.
    asked: Questions,
    /// Open questions that the peer has asked.
    pending: Questions,
    duty: Duty,
    farewell: Option<Farewell>,
    farewell_said: bool,
    replaced_heard: bool,
}

enum State {
    /// Dialled; waits for the responder's handshake message.
    Calling(Call),
    /// Accepted; waits for the preamble and the first handshake message.
    Awaiting,
    /// The handshake is done; waits for the peer's hello.
    Greeting,
    /// Both hellos are exchanged; envelopes flow.
    Open(Hello),
    /// This end's goodbye is queued or sent; received envelopes are acknowledged and dropped.
    Leaving { until: Time },
    /// The connection has ended for this reason.
    Over(Lost),
}

/// Frames that are due and carry no envelope.
#[derive(Default)]
struct Duty {
    hello: bool,
    ping: bool,
    pong: bool,
}

impl Link {
    /// The dialer's end of a connection.
    pub fn dial(now: Time, security: &Arc<Security>, identity: Identity, suite: Suite) -> Self {
        let mut link = Link::new(now, security, identity, Handshake::dialled(now));
        match seal::call(security, suite, &mut link.raw) {
            Ok(Opening::Waiting(call)) => link.state = State::Calling(call),
            Ok(Opening::Done(session)) => link.greet(session),
            Err(_) => link.state = State::Over(Lost::HandshakeRefused),
        }
        link
    }

    /// The listener's end of a connection.
    pub fn accept(now: Time, security: &Arc<Security>, identity: Identity) -> Self {
        Link::new(now, security, identity, Handshake::accepted(now))
    }

    fn new(now: Time, security: &Arc<Security>, identity: Identity, handshake: Handshake) -> Self {
        Link {
            state: State::Awaiting,
            handshake,
            security: Arc::clone(security),
            identity,
            raw: Vec::new(),
            gathered: Vec::new(),
            session: None,
            reader: RecordReader::default(),
            incoming: Incomings::default(),
            outgoing: Outgoings::new(),
            keepalive: Keepalive::new(now),
            receipts: Receipts::new(),
            asked: Questions::default(),
            pending: Questions::default(),
            duty: Duty::default(),
            farewell: None,
            farewell_said: false,
            replaced_heard: false,
        }
    }

    fn greet(&mut self, session: Session) {
        self.session = Some(session);
        self.duty.hello = true;
        self.state = State::Greeting;
    }

    /// Notes that the TCP connection of a dialled link stands. No bytes move before.
    pub fn connected(&mut self, now: Time) {
        self.handshake.connected(now);
    }

    /// Notes that the peer has closed the connection, or, when `reset`, that the connection broke.
    pub fn on_closed(&mut self, reset: bool) {
        let why = match &self.state {
            // A peer that has the same key closes for another reason.
            State::Greeting if self.is_sealed() && reset => Lost::Reset,
            State::Greeting if self.is_sealed() => Lost::Closed,
            State::Calling(_) | State::Greeting | State::Awaiting => Lost::HandshakeRefused,
            State::Open(_) | State::Leaving { .. } if reset => Lost::Reset,
            State::Open(_) | State::Leaving { .. } => Lost::Closed,
            State::Over(why) => *why,
        };
        self.end(why);
    }

    /// Ends the connection in order: queued envelopes are sent, then a goodbye. A connection
    /// without a finished handshake ends at once.
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

    /// Lets another connection take over. The goodbye follows once no question of this end is open;
    /// the link ends once neither end has anything outstanding.
    pub fn retire(&mut self) {
        self.farewell.get_or_insert(Farewell::Replaced);
    }

    /// When [`Link::on_tick`] has something to do.
    pub fn deadline(&self) -> Option<Time> {
        match &self.state {
            State::Calling(_) | State::Awaiting | State::Greeting => {
                Some(self.handshake.deadline())
            }
            State::Leaving { until } => Some(*until),
            State::Open(_) => earlier(Some(self.keepalive.deadline()), self.receipts.deadline()),
            State::Over(_) => None,
        }
    }

    /// [`Link::deadline`] while the socket accepts no bytes. A due acknowledgement cannot be sent
    /// now, so it is no reason to wake: the loop would spin.
    pub fn deadline_while_blocked(&self) -> Option<Time> {
        match &self.state {
            State::Open(_) => earlier(Some(self.keepalive.deadline()), self.receipts.overdue_at()),
            State::Calling(_)
            | State::Awaiting
            | State::Greeting
            | State::Leaving { .. }
            | State::Over(_) => self.deadline(),
        }
    }

    /// Handles every timeout up to `now`. The next [`Link::fill`] sends the frames that are due.
    pub fn on_tick(&mut self, now: Time) {
        let step = match &self.state {
            State::Calling(_) | State::Awaiting | State::Greeting => self.handshake.on_tick(now),
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
        if self.keepalive.on_tick(now)? {
            self.duty.ping = true;
            self.trim();
        }
        Ok(())
    }

    /// Frees buffers that the last burst has left behind.
    fn trim(&mut self) {
        self.raw = Vec::new();
        self.reader.trim();
        self.incoming.trim();
        self.outgoing.trim();
        self.receipts.trim();
    }

    /// Counts bytes that the socket accepts as a sign of life, while this end does not read the
    /// peer.
    pub fn heard(&mut self, now: Time) {
        self.keepalive.heard(now);
    }

    /// Notes that bytes of the peer lie unread, because others are read first. Whatever they say, the
    /// peer is not silent.
    pub fn unread(&mut self, now: Time) {
        self.keepalive.heard(now);
        self.receipts.excuse(now);
    }

    fn note_waiting(&mut self, now: Time) {
        let waiting = !self.asked.is_empty() || self.receipts.waiting();
        self.keepalive.set_waiting(now, waiting);
    }

    fn end(&mut self, why: Lost) {
        if !matches!(self.state, State::Over(_)) {
            self.state = State::Over(why);
        }
    }

    /// The reason why the link has ended; `None` before.
    pub fn over(&self) -> Option<Lost> {
        match &self.state {
            State::Over(why) => Some(*why),
            State::Calling(_)
            | State::Awaiting
            | State::Greeting
            | State::Open(_)
            | State::Leaving { .. } => None,
        }
    }

    /// The peer's hello, while the link is open.
    pub fn hello(&self) -> Option<&Hello> {
        match &self.state {
            State::Open(hello) => Some(hello),
            State::Calling(_)
            | State::Awaiting
            | State::Greeting
            | State::Leaving { .. }
            | State::Over(_) => None,
        }
    }

    /// Whether the handshake is still under way.
    pub fn is_greeting(&self) -> bool {
        matches!(
            self.state,
            State::Calling(_) | State::Awaiting | State::Greeting
        )
    }

    /// Whether the peer has proven that it holds the cluster key, if the cluster has one.
    pub(crate) fn is_proven(&self) -> bool {
        self.session.is_some()
    }

    /// What the peer may ask for, by the key that it has.
    fn right(&self) -> Right {
        self.session.as_ref().map_or(Right::Listen, Session::right)
    }

    fn is_sealed(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_sealed)
    }

    /// Whether this end has dialled and the TCP connection does not stand yet.
    pub fn is_connecting(&self) -> bool {
        self.handshake.is_connecting()
    }

    /// Whether this end has decided to leave and the connection has not ended yet.
    pub fn is_leaving(&self) -> bool {
        matches!(self.state, State::Leaving { .. })
    }

    /// Whether no question is open, no envelope queued and no answer unacknowledged.
    pub fn is_idle(&self) -> bool {
        self.asked.is_empty()
            && self.pending.is_empty()
            && self.outgoing.envelopes() == 0
            && !self.receipts.waiting()
    }

    /// Whether question `id` of the peer is open on this link.
    pub fn owes(&self, id: RequestId) -> bool {
        self.pending.holds(id)
    }

    /// Bytes queued to be sent.
    pub fn queued_bytes(&self) -> usize {
        self.outgoing.bytes() + self.raw.len()
    }

    /// Queued bytes of control, which need no credit.
    pub(crate) fn control_bytes(&self) -> usize {
        self.outgoing.control_bytes()
    }

    /// Whether more bulk may be prepared for this peer.
    pub fn room(&self) -> bool {
        self.queued_bytes() < ROOM_BYTES
    }

    /// The number of open questions that this end has asked.
    pub fn questions_open(&self) -> usize {
        self.asked.len()
    }

    /// Removes and returns the queued envelopes, so that another connection to the peer can send
    /// them. Empty once the link has opened, because then some of them may already be on their way.
    pub fn take_waiting(&mut self) -> Vec<Envelope> {
        if self.hello().is_some() || self.is_leaving() {
            return Vec::new();
        }
        self.outgoing.take_all()
    }
}

#[cfg(test)]
mod tests;
