//! The nodes of the world: the real roles, and a probe that only asks.

use std::collections::BTreeMap;

use net::peering::connections::Start;
use net::peering::{Backoffs, Connections};
use roles::client::Client;
use roles::contract::id::{Incarnation, JobId, OperationId};
use roles::contract::job::Job;
use roles::contract::node::{Event, Identity, Node, Outbox, Peer};
use roles::contract::record::{Address, Role};
use roles::contract::rng::Rng;
use roles::contract::time::Time;
use roles::server::Server;

use crate::disk::{Disk, Machine};
use crate::disk_faults::Ailing;
use crate::network::ConnId;
use crate::strangers::Border;
use crate::world::What;

/// Index of a node in the world; it stays the same across all starts of the node.
pub type Place = usize;

/// A node whose inside the checks can see.
pub trait Resident: Node {
    /// The server inside, if the node is one.
    fn server(&self) -> Option<&Server> {
        None
    }

    /// The client inside, if the node is one.
    fn client(&self) -> Option<&Client> {
        None
    }
}

impl Resident for Server {
    fn server(&self) -> Option<&Server> {
        Some(self)
    }
}

impl Resident for Client {
    fn client(&self) -> Option<&Client> {
        Some(self)
    }
}

/// Sends the questions that a check gives it; the world keeps the answers. A check looks at a
/// server in this way from outside.
#[derive(Debug, Default)]
pub struct Probe;

impl Node for Probe {
    fn handle(&mut self, _: Time, _: Event, _: &mut Outbox) {}

    fn deadline(&self) -> Option<Time> {
        None
    }
}

impl Resident for Probe {}

/// Sends some questions twice under the same id, as an asker that lost its connection may do. Only
/// questions that are not read-only are repeated: the receiver must act on them once.
pub struct Stutter {
    inner: Box<dyn Resident>,
    permille: u64,
    rng: Rng,
}

impl Stutter {
    /// Wraps `inner`; `permille` of a thousand of its questions are repeated.
    pub fn new(inner: Box<dyn Resident>, permille: u64, rng: Rng) -> Self {
        Stutter {
            inner,
            permille,
            rng,
        }
    }
}

impl Node for Stutter {
    fn handle(&mut self, now: Time, event: Event, out: &mut Outbox) {
        use roles::contract::message::Kind;
        use roles::contract::node::Action;
        let mut own = Outbox::new();
        self.inner.handle(now, event, &mut own);
        while let Some(action) = own.pop() {
            if let Action::Send { to, envelope } = &action
                && let Kind::Question { .. } = envelope.kind
                && !envelope.message.only_reads()
                && self.rng.happens(self.permille, 1000)
            {
                let envelope = envelope.clone();
                out.push(Action::Send { to: *to, envelope });
            }
            out.push(action);
        }
    }

    fn set_clock(&mut self, unix_ms: u64) {
        self.inner.set_clock(unix_ms);
    }

    fn deadline(&self) -> Option<Time> {
        self.inner.deadline()
    }
}

impl Resident for Stutter {
    fn server(&self) -> Option<&Server> {
        self.inner.server()
    }

    fn client(&self) -> Option<&Client> {
        self.inner.client()
    }
}

/// What a node is started as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A server with this role, or one that asks for it.
    Server(Option<Role>),
    /// A client.
    Client,
    /// A [`Probe`].
    Probe,
}

/// The state of a node's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The process has not been started, was killed, or has stopped.
    Down,
    /// The process runs.
    Up,
    /// The process is frozen: it handles nothing, and its peers see only silence.
    Frozen,
    /// The machine is off: a dial ends in silence, and open connections see no close.
    Dark,
}

/// A job that was ordered and has not ended.
#[derive(Debug)]
pub struct Running {
    /// The job itself.
    pub work: Job,
    /// The peer for whom the result is meant.
    pub toward: Option<Peer>,
    /// The job waits until its peer has room.
    pub parked: bool,
}

/// One node, with everything its host keeps for it.
pub struct Slot {
    /// Its name in scenarios and traces.
    pub name: String,
    /// What it is started as.
    pub kind: Kind,
    /// The address at which it listens; none for a client and the probe.
    pub address: Option<Address>,
    /// Its identity in the present start.
    pub identity: Identity,
    /// Number of its present or last process; what was planned for an earlier one does nothing.
    pub start: u64,
    /// State of its process.
    pub state: State,
    /// The node itself; none while it is down, and while it handles an event.
    pub resident: Option<Box<dyn Resident>>,
    /// The deadline for which a wake is planned.
    pub armed: Option<Time>,
    /// Its connections by peer, and which of them it uses.
    pub peers: Connections<ConnId>,
    /// The newcomers at its border, in a world with strangers.
    pub border: Border,
    /// Addresses that could not be dialled.
    pub backoffs: Backoffs,
    /// Jobs that have not ended.
    pub jobs: BTreeMap<JobId, Running>,
    /// When the writer has done all jobs that are queued.
    pub writer_free: Time,
    /// A server's disk.
    pub disk: Option<Disk>,
    /// What is wrong with the disk at present.
    pub ailing: Ailing,
    /// A client's files, cache and remembered routers.
    pub machine: Machine,
    /// What waits until the node, which is frozen, goes on.
    pub backlog: Vec<What>,
    /// The number of a client's latest operation.
    pub operation: u64,
    /// The number of the probe's latest question.
    pub question: u64,
}

impl Slot {
    /// A node that has not started.
    pub fn new(name: String, kind: Kind, address: Option<Address>, identity: Identity) -> Slot {
        Slot {
            name,
            kind,
            address,
            identity,
            start: 0,
            state: State::Down,
            resident: None,
            armed: None,
            peers: Connections::default(),
            border: Border::default(),
            backoffs: Backoffs::default(),
            jobs: BTreeMap::new(),
            writer_free: Time::ZERO,
            disk: None,
            ailing: Ailing::default(),
            machine: Machine::default(),
            backlog: Vec::new(),
            operation: 0,
            question: 0,
        }
    }

    /// Who it is in its present start.
    pub fn who(&self) -> Start {
        (self.identity.node, self.identity.incarnation)
    }

    /// Whether its process exists, running or frozen.
    pub fn lives(&self) -> bool {
        matches!(self.state, State::Up | State::Frozen)
    }

    /// The role its server has taken; none if it has none, is down, or is no server.
    pub fn role(&self) -> Option<Role> {
        self.resident.as_ref()?.server()?.role()
    }

    /// The next id for an operation of this client.
    pub fn next_operation(&mut self) -> OperationId {
        self.operation += 1;
        OperationId(self.operation)
    }

    /// Counts a start: a new process, and the next incarnation of the same node.
    pub fn grow(&mut self) {
        self.start += 1;
        self.identity.incarnation = Incarnation(self.identity.incarnation.0 + 1);
    }
}
