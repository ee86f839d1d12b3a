//! One connection's protocol, without sockets and clock.
//!
//! Bytes in, [`LinkEvent`]s out; letters in, bytes out. Owns the handshake, both send queues,
//! credit, receipts, keep-alive and the reason why it ended. Which of two connections to a peer is
//! used, and who may connect at all, is `conns`' business.

mod hearing;
mod saying;

use std::sync::Arc;
use std::time::Duration;

use roles::contract::id::RequestId;
use roles::contract::message::Letter;
use roles::contract::node::{Identity, Lost};
use roles::contract::time::Time;
use roles::contract::timers::earlier;

use super::codec::CodecError;
use super::hello::{Farewell, Hello};
use super::incoming::Incomings;
use super::outgoing::Outgoings;
use super::pulse::{Pulse, Questions, Receipts};
use super::record::RecordReader;
use super::seal::{self, Call, Opening, Security, Session, Suite};

/// How long a handshake may take, hello included.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one end waits for the other to close after its goodbye.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

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

#[cfg(test)]
mod tests;
