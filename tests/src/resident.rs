//! Who lives in the world: the real roles, and a node that only asks.

use std::collections::BTreeMap;

use roles::client::Client;
use roles::contract::chance::Chance;
use roles::contract::id::{Incarnation, JobId, OperationId};
use roles::contract::job::Job;
use roles::contract::node::{Event, Identity, Node, Outbox, Peer};
use roles::contract::record::{Address, Role};
use roles::contract::time::Time;
use roles::server::Server;

use crate::decay::Ailing;
use crate::disk::{Disk, Machine};
use crate::network::ConnId;

/// A place of the world: nodes are named by where they stand, across all their starts.
pub type Place = usize;

/// A node that can be looked into by the checks.
pub trait Resident: Node {
    /// The server it is.
    fn server(&self) -> Option<&Server> {
        None
    }

    /// The client it is.
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

/// Asks what the world tells it to ask, and hears the answers: how a check looks at a server
/// through the front door.
#[derive(Debug, Default)]
pub struct Probe;

impl Node for Probe {
    fn handle(&mut self, _: Time, _: Event, _: &mut Outbox) {}

    fn deadline(&self) -> Option<Time> {
        None
    }
}

impl Resident for Probe {}

/// Sends some of the questions that do something twice under the same number, as an asker may
/// that has lost its connection: whoever is asked must do it once.
pub struct Stutter {
    inner: Box<dyn Resident>,
    permille: u64,
    chance: Chance,
}

impl Stutter {
    /// Lets `inner` stutter in so many of a thousand questions.
    pub fn new(inner: Box<dyn Resident>, permille: u64, chance: Chance) -> Self {
        Stutter {
            inner,
            permille,
            chance,
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
            if let Action::Send { to, letter } = &action
                && let Kind::Question { .. } = letter.kind
                && !letter.message.only_reads()
                && self.chance.happens(self.permille, 1000)
            {
                let letter = letter.clone();
                out.push(Action::Send { to: *to, letter });
            }
            out.push(action);
        }
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

/// How a node's process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has not been started, or was killed, or has stopped.
    Down,
    /// It runs.
    Up,
    /// It stands still: nothing is handled, nobody hears of it.
    Frozen,
    /// Its machine is off: nobody listens, and nobody hears that nobody does.
    Dark,
}

/// A job under way.
#[derive(Debug)]
pub struct Running {
    /// What is to be done; none once it is done.
    pub work: Job,
    /// Whom the reply is for.
    pub toward: Option<Peer>,
    /// It waits for its peer to have room.
    pub parked: bool,
}

/// One node with all a host keeps for it.
pub struct Slot {
    /// What it is called in a trace.
    pub name: String,
    /// What it is started as.
    pub kind: Kind,
    /// Where it listens.
    pub address: Option<Address>,
    /// Who it is in this start.
    pub identity: Identity,
    /// Which process this is; what belongs to an earlier one finds nobody.
    pub start: u64,
    /// How the process is.
    pub state: State,
    /// The node itself.
    pub resident: Option<Box<dyn Resident>>,
    /// The deadline the agenda knows of.
    pub armed: Option<Time>,
    /// Its connections, by peer; the first is the one in use.
    pub peers: BTreeMap<Peer, Vec<ConnId>>,
    /// Addresses dialled in vain: how often, and when to dial again.
    pub backoffs: BTreeMap<Address, (u32, Time)>,
    /// Jobs under way.
    pub jobs: BTreeMap<JobId, Running>,
    /// When the writer is free again.
    pub writer_free: Time,
    /// A server's disk.
    pub disk: Option<Disk>,
    /// What ails it.
    pub ailing: Ailing,
    /// A client's machine.
    pub machine: Machine,
    /// Events that wait for a frozen node to go on.
    pub backlog: Vec<Event>,
    /// A client's next operation.
    pub operation: u64,
    /// A probe's next question.
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
            peers: BTreeMap::new(),
            backoffs: BTreeMap::new(),
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

    /// Whether its process exists.
    pub fn lives(&self) -> bool {
        matches!(self.state, State::Up | State::Frozen)
    }

    /// Its role at present.
    pub fn role(&self) -> Option<Role> {
        self.resident.as_ref()?.server()?.role()
    }

    /// The next number for an operation.
    pub fn next_operation(&mut self) -> OperationId {
        self.operation += 1;
        OperationId(self.operation)
    }

    /// The next start of the same node.
    pub fn grow(&mut self) {
        self.start += 1;
        self.identity.incarnation = Incarnation(self.identity.incarnation.0 + 1);
    }
}
