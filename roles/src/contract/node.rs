//! The contract between a node and the world.
//!
//! A node hears [`Event`]s and answers with [`Action`]s. Both enums are closed. Two hosts outside
//! this crate perform the actions: the event loop in `net` and the simulated world in `tests`. Both
//! match them without wildcards, so a new action makes both fail to compile until they agree.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

pub use super::lost::Lost;

use super::id::{Incarnation, JobId, NodeId, RequestId};
use super::job::{Job, JobReply};
use super::message::{Envelope, Kind, Message, Refusal};
use super::record::{Address, Features};
use super::time::Time;
use super::user::{Command, Notice};

/// A node, as its host sees it.
pub trait Node {
    /// Reacts to one event. Every effect goes to `out`; the node touches nothing else.
    fn handle(&mut self, now: Time, event: Event, out: &mut Outbox);

    /// The earliest moment at which [`Event::Tick`] would change anything; none if only another
    /// event can.
    fn deadline(&self) -> Option<Time>;

    /// Takes the clock of the machine, in milliseconds since 1970. The host gives it before each event:
    /// clocks are set while a node runs. No timer follows it.
    fn set_clock(&mut self, _unix_ms: u64) {}

    /// Answers a DNS packet into `out`, which loses what it holds. It stays empty if the packet
    /// deserves no answer, or if this is no DNS node. Nothing but the answer comes of a packet, so
    /// that a host may leave out any of them.
    fn answer_dns(
        &mut self,
        _now: Time,
        _packet: &[u8],
        _transport: DnsTransport,
        out: &mut Vec<u8>,
    ) {
        out.clear();
    }

    /// Whether this node would use DNS nodes that its host finds on the link: see [`Event::Found`].
    fn seeks_dns(&self) -> bool {
        false
    }

    /// Queues and doubts of this node, each name once.
    fn figures(&self) -> Vec<Figure> {
        Vec::new()
    }
}

/// A number about a node, for who watches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// A queue.
    Queue {
        /// The name of what waits.
        name: &'static str,
        /// How much waits.
        length: usize,
        /// The bound on `length`.
        most: usize,
    },
    /// Statements of other nodes that cannot be true.
    Doubts {
        /// What they were about, in one word.
        kind: &'static str,
        /// How many there were since the start.
        count: u64,
    },
    /// What a member of the ring doubts.
    Ring {
        /// Members that it suspects.
        suspects: usize,
        /// Silent members that are being checked.
        checks: usize,
        /// How many times as long as usual it waits, because it hears badly itself.
        patience: u32,
        /// It believes that it is cut off, and takes no new songs.
        cut_off: bool,
    },
}

/// How a DNS packet has come: it decides how long the answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsTransport {
    /// As a datagram.
    Udp,
    /// Within a stream, where its length stands before it.
    Tcp,
}

/// An event that a host hands to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first event in a node's life.
    Start,
    /// A deadline of the node is due.
    Tick,
    /// A complete envelope has arrived.
    Message {
        /// The node that sent the envelope.
        from: Sender,
        /// The envelope.
        envelope: Envelope,
    },
    /// The connection with a peer is lost. No more messages come from the peer until this node
    /// sends to it again. Envelopes in transit to the peer may be lost.
    Lost {
        /// The lost peer.
        peer: Peer,
        /// The reason.
        why: Lost,
    },
    /// A job has ended.
    Done {
        /// The number that the node gave the job.
        job: JobId,
        /// The job's result.
        reply: JobReply,
    },
    /// The host has heard on the link of DNS nodes that say that they are of this cluster.
    Found {
        /// Where they listen; anybody may have said so.
        dns: Vec<Address>,
    },
    /// A command of the user.
    User(Command),
    /// Shut down: withdraw from the others, then tell [`Notice::Stopped`].
    Stop,
}

/// An action that a node asks of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send an envelope. If it cannot be delivered, an [`Event::Lost`] of that peer follows.
    Send {
        /// The receiver.
        to: Peer,
        /// The envelope.
        envelope: Envelope,
    },
    /// Run a job; an [`Event::Done`] follows.
    Run {
        /// The number that the node gives the job.
        job: JobId,
        /// The work.
        work: Job,
        /// The peer that the reply is meant for, if any. The host begins the job only when that
        /// peer has taken the bytes already queued for it, so that a slow reader does not fill the
        /// memory with fragments.
        toward: Option<Peer>,
    },
    /// End the connection with a peer. No [`Event::Lost`] follows.
    Hang {
        /// The peer to disconnect.
        peer: Peer,
    },
    /// Tells the host about a peer's machine before the first connection to it.
    Meet {
        /// The address at which the peer listens.
        address: Address,
        /// Facts about the peer's machine.
        features: Features,
    },
    /// Tell the user something.
    Tell(Notice),
}

/// The other end of a conversation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// A node that listens at this address. It can be dialled again after a loss.
    Node(Address),
    /// A peer that has dialled this node. It can be answered only while its connection lives. A
    /// guest's number is never used again, so that a late answer cannot reach a different peer.
    Guest(u64),
}

/// The sender of an envelope. The handshake proves that the sender holds the cluster key. Its id
/// and incarnation are not proven: they are those in its hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The peer that an answer goes to.
    pub peer: Peer,
    /// The sender's id.
    pub node: NodeId,
    /// The number of the sender's current start.
    pub incarnation: Incarnation,
}

/// The facts that a node states about itself when a connection opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The node's id.
    pub node: NodeId,
    /// The number of its current start.
    pub incarnation: Incarnation,
    /// The address at which it listens; none for a client.
    pub address: Option<Address>,
    /// Facts about its machine.
    pub features: Features,
}

/// A question that waits for its answer: its sender, its number and its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The node that asks.
    pub sender: Sender,
    /// The asker's number for the question.
    pub id: RequestId,
    /// The moment after which the asker no longer waits.
    pub until: Time,
}

/// The actions of a node while it handles one event, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    actions: VecDeque<Action>,
}

impl Outbox {
    /// An outbox without actions.
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

    /// The actions after the first `mark`, so that one part of a node can change what another part
    /// added.
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

    /// Answers a question and adds the bytes of a fragment. `more` says that further answers
    /// follow.
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

    /// Sends a message that wants no answer.
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

    /// Runs a job whose reply goes to no particular peer.
    pub fn run(&mut self, job: JobId, work: Job) {
        self.push(Action::Run {
            job,
            work,
            toward: None,
        });
    }

    /// Runs a job whose reply goes to `peer`, see [`Action::Run`].
    pub fn run_toward(&mut self, job: JobId, work: Job, peer: Peer) {
        self.push(Action::Run {
            job,
            work,
            toward: Some(peer),
        });
    }

    /// Tells the host about a peer's machine, see [`Action::Meet`].
    pub fn meet(&mut self, address: Address, features: Features) {
        self.push(Action::Meet { address, features });
    }

    /// Tells the user something.
    pub fn tell(&mut self, notice: Notice) {
        self.push(Action::Tell(notice));
    }

    /// Writes a line to the log.
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
