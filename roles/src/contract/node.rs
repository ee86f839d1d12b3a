//! The contract between a node and the world.
//!
//! A node hears [`Event`]s and answers with [`Action`]s. Both are closed and matched without
//! wildcards in exactly two hosts outside this crate: the event loop in `net` and the simulated
//! world in `tests`. A new variant makes both fail to compile until they agree.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::id::{Incarnation, JobId, NodeId, RequestId};
use super::job::{Job, JobReply};
use super::message::{Envelope, Kind, Message, Refusal};
use super::record::{Address, Features};
use super::time::Time;
use super::user::{Command, Notice};

/// A node, seen by whoever hosts it.
pub trait Node {
    /// Reacts to one event. Every effect goes to `out`; nothing else is touched.
    fn handle(&mut self, now: Time, event: Event, out: &mut Outbox);

    /// The earliest moment at which [`Event::Tick`] would change anything.
    fn deadline(&self) -> Option<Time>;
}

/// What can happen to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first event of a node's life.
    Start,
    /// A deadline of the node has come.
    Tick,
    /// An envelope has arrived whole.
    Message {
        /// The node that has sent it.
        from: Sender,
        /// The envelope.
        envelope: Envelope,
    },
    /// Nothing more comes from this peer until this node sends to it again. Envelopes on their way
    /// to it may be lost.
    Lost {
        /// Which peer.
        peer: Peer,
        /// Why.
        why: Lost,
    },
    /// A job has ended.
    Done {
        /// Which.
        job: JobId,
        /// What came of it.
        reply: JobReply,
    },
    /// The user wants something.
    User(Command),
    /// End well: say goodbye, then tell [`Notice::Stopped`].
    Stop,
}

/// What a node can ask of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send an envelope; if it cannot be delivered, an [`Event::Lost`] of that peer follows.
    Send {
        /// To whom.
        to: Peer,
        /// The envelope.
        envelope: Envelope,
    },
    /// Run a job; an [`Event::Done`] follows.
    Run {
        /// The node's own number for it.
        job: JobId,
        /// What to do.
        work: Job,
        /// If the reply is meant for a peer: begin only when that peer has taken what is on its
        /// way already, so that a slow reader never piles up fragments in memory.
        toward: Option<Peer>,
    },
    /// End the connection with a peer. No [`Event::Lost`] follows.
    Hang {
        /// Which.
        peer: Peer,
    },
    /// What this node knows of a peer's machine before it has spoken with it.
    Meet {
        /// Where it listens.
        address: Address,
        /// What it can do.
        features: Features,
    },
    /// Tell the user.
    Tell(Notice),
}

/// Somebody to speak with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Can be dialled, and dialled again.
    Node(Address),
    /// Came by itself and can be answered only while its connection lives. A guest's number is
    /// never used again, so that a late answer goes nowhere instead of to a stranger.
    Guest(u64),
}

/// The sender of an envelope. The handshake proves that it holds the cluster key; its id and
/// incarnation are those it gives in its hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// How to answer.
    pub peer: Peer,
    /// Who.
    pub node: NodeId,
    /// In which start.
    pub incarnation: Incarnation,
}

/// What a node says of itself when a connection opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub node: NodeId,
    /// In which start.
    pub incarnation: Incarnation,
    /// Where it listens; clients do not.
    pub address: Option<Address>,
    /// What its machine can do.
    pub features: Features,
}

/// Why a peer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nobody listens at its address.
    ConnectRefused,
    /// Its address does not answer, or cannot be reached.
    ConnectTimeout,
    /// It closed during the handshake: another key, another cluster, or overload.
    HandshakeRefused,
    /// It speaks another version of the protocol.
    Version,
    /// It knows a newer start of this node.
    Outdated,
    /// It closed the connection.
    Closed,
    /// The connection broke.
    Reset,
    /// It has not been heard of although it was asked.
    Silent,
    /// It has not acknowledged an answer in time.
    Unacknowledged,
    /// It sent what no peer may send.
    Misbehaved,
    /// This node has no room for another connection.
    Full,
    /// It was dialled in vain a moment ago; it will be dialled again when the backoff is over.
    Backoff,
}

/// A question to be answered: its sender, its number and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The node that asks.
    pub sender: Sender,
    /// The asker's number for the question.
    pub id: RequestId,
    /// The moment after which the asker no longer waits.
    pub until: Time,
}

/// What a node did while it handled one event, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    actions: VecDeque<Action>,
}

impl Outbox {
    /// Nothing yet.
    pub fn new() -> Self {
        Outbox::default()
    }

    /// Takes the next action out.
    pub fn pop(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Adds any action.
    pub fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// Everything done since `mark` actions, for a part that looks at what another part did.
    pub fn since(&mut self, mark: usize) -> impl Iterator<Item = &mut Action> {
        self.actions.range_mut(mark..)
    }

    /// How many actions wait.
    pub fn len(&self) -> usize {
        self.actions.len()
    }

    /// Whether no action waits.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Answers a question.
    pub fn answer(&mut self, asker: Asker, message: Message) {
        self.answer_with(asker, message, Vec::new(), false);
    }

    /// Answers a question with the bytes of a fragment; `more` answers to it may follow.
    pub fn answer_with(&mut self, asker: Asker, message: Message, body: Vec<u8>, more: bool) {
        self.push(Action::Send {
            to: asker.sender.peer,
            envelope: Envelope {
                id: asker.id,
                kind: Kind::Answer { more },
                message,
                body,
            },
        });
    }

    /// Refuses a question.
    pub fn refuse(&mut self, asker: Asker, why: Refusal) {
        self.answer(asker, Message::Refused(why));
    }

    /// Asks a question.
    pub fn ask(
        &mut self,
        to: Peer,
        id: RequestId,
        patience: Duration,
        message: Message,
        body: Vec<u8>,
    ) {
        self.push(Action::Send {
            to,
            envelope: Envelope {
                id,
                kind: Kind::Question { patience },
                message,
                body,
            },
        });
    }

    /// Says something that wants no answer.
    pub fn say(&mut self, to: Peer, id: RequestId, message: Message) {
        self.push(Action::Send {
            to,
            envelope: Envelope {
                id,
                kind: Kind::OneWay,
                message,
                body: Vec::new(),
            },
        });
    }

    /// Runs a job.
    pub fn run(&mut self, job: JobId, work: Job) {
        self.push(Action::Run {
            job,
            work,
            toward: None,
        });
    }

    /// Runs a job whose reply goes to `peer`, once that peer has room.
    pub fn run_toward(&mut self, job: JobId, work: Job, peer: Peer) {
        self.push(Action::Run {
            job,
            work,
            toward: Some(peer),
        });
    }

    /// Says what is known of a peer's machine.
    pub fn meet(&mut self, address: Address, features: Features) {
        self.push(Action::Meet { address, features });
    }

    /// Tells the user.
    pub fn tell(&mut self, notice: Notice) {
        self.push(Action::Tell(notice));
    }

    /// Leaves a line in the log.
    pub fn fact(&mut self, level: super::user::Level, text: String) {
        self.tell(Notice::Fact { level, text });
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Node(address) => address.fmt(f),
            Peer::Guest(number) => write!(f, "guest-{number}"),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lost::ConnectRefused => "nobody listens there",
            Lost::ConnectTimeout => "the address does not answer",
            Lost::HandshakeRefused => "it closed during the handshake: another key or cluster name",
            Lost::Version => "it speaks another version of the protocol",
            Lost::Outdated => "it knows a newer start of this node",
            Lost::Closed => "it closed the connection",
            Lost::Reset => "the connection broke",
            Lost::Silent => "it went silent",
            Lost::Unacknowledged => "it did not acknowledge an answer",
            Lost::Misbehaved => "it broke the protocol",
            Lost::Full => "too many connections are open",
            Lost::Backoff => "it could not be reached a moment ago",
        })
    }
}
