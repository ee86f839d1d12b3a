//! One listener's machine: the product's own client, hosted on the shared loop.
//!
//! The same state machine as behind the command line and the web player decides whom to ask, when
//! to ask another holder too, and where to go on when a node dies. This host gives it sockets. Its
//! jobs are done at once: a fragment's hash is checked, and nothing is kept on disk.

use std::collections::{BTreeMap, VecDeque};

use net::peering::Backoffs;
use net::peering::backoff::is_failed_dial;
use net::why_not_connected;
use roles::client::{self, Client};
use roles::contract::job::{Job, JobFault, JobReply};
use roles::contract::node::{Action, Event, Identity, Lost, Node, Outbox, Peer, Sender};
use roles::contract::record::{Address, Features};
use roles::contract::rng::Rng;
use roles::contract::time::Time;
use roles::contract::user::{Command, Notice};
use storage::client::{ClientStore, ClientWorker};

use super::super::sockets::{ConnId, Happened, Sockets};

/// What all machines of a run share.
pub(crate) struct Shared {
    /// Runs every machine's jobs.
    worker: ClientWorker,
    /// The processors of nodes that were met.
    met: BTreeMap<Address, Features>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Shared {
            worker: ClientStore::default().worker(),
            met: BTreeMap::new(),
        }
    }
}

/// A client machine.
pub(crate) struct Machine {
    owner: usize,
    identity: Identity,
    client: Box<Client>,
    peers: BTreeMap<Address, Line>,
    backoffs: Backoffs,
    rng: Rng,
    events: VecDeque<Event>,
    outbox: Outbox,
}

/// The connection to one node.
struct Line {
    conn: ConnId,
    /// The node, once it has said who it is.
    node: Option<Identity>,
}

impl Machine {
    /// A machine whose events on sockets come back under `owner`.
    pub(crate) fn new(
        owner: usize,
        identity: Identity,
        config: client::Config,
        rng: &mut Rng,
    ) -> Self {
        Machine {
            owner,
            identity,
            client: Box::new(Client::new(config, Rng::from_seed(rng.bits()))),
            peers: BTreeMap::new(),
            backoffs: Backoffs::default(),
            rng: Rng::from_seed(rng.bits()),
            events: VecDeque::new(),
            outbox: Outbox::new(),
        }
    }

    /// Switches the machine on.
    pub(crate) fn start(&mut self, now: Time, world: &mut World<'_>) {
        self.events.push_back(Event::Start);
        self.work(now, world);
    }

    /// Gives the client a command.
    pub(crate) fn command(&mut self, now: Time, command: Command, world: &mut World<'_>) {
        self.events.push_back(Event::User(command));
        self.work(now, world);
    }

    /// Lets the client do what is due.
    pub(crate) fn on_tick(&mut self, now: Time, world: &mut World<'_>) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.events.push_back(Event::Tick);
            self.work(now, world);
        }
    }

    /// When the client has something to do.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.client.deadline()
    }

    /// Takes what has happened on a connection of this machine.
    pub(crate) fn on_happened(
        &mut self,
        now: Time,
        conn: ConnId,
        happened: Happened,
        world: &mut World<'_>,
    ) {
        let found = self.peers.iter_mut().find(|(_, line)| line.conn == conn);
        let Some((address, line)) = found.map(|(address, line)| (*address, line)) else {
            return;
        };
        let peer = Peer::Node(address);
        match happened {
            Happened::Opened(hello) => {
                line.node = Some(hello.identity);
                self.backoffs.succeeded(address);
                world.shared.met.insert(address, hello.identity.features);
            }
            Happened::Envelope(envelope) => {
                if let Some(Identity {
                    node, incarnation, ..
                }) = line.node
                {
                    let from = Sender {
                        peer,
                        node,
                        incarnation,
                    };
                    self.events.push_back(Event::Message { from, envelope });
                }
            }
            Happened::Lost(why) => {
                let opened = line.node.is_some();
                self.peers.remove(&address);
                if is_failed_dial(opened, why) {
                    self.backoffs.failed(address, now, &mut self.rng);
                }
                self.events.push_back(Event::Lost { peer, why });
            }
            Happened::Connected | Happened::Answer(_) => (),
        }
        self.work(now, world);
    }

    /// Hands the client its events and performs its actions until neither are left.
    fn work(&mut self, now: Time, world: &mut World<'_>) {
        while let Some(event) = self.events.pop_front() {
            let mut outbox = std::mem::take(&mut self.outbox);
            self.client.handle(now, event, &mut outbox);
            while let Some(action) = outbox.pop() {
                self.perform(now, action, world);
            }
            self.outbox = outbox;
        }
    }

    fn perform(&mut self, now: Time, action: Action, world: &mut World<'_>) {
        match action {
            Action::Send { to, envelope } => match self.line_to(now, to, world) {
                Ok(conn) => world.sockets.send(conn, envelope),
                Err(why) => self.events.push_back(Event::Lost { peer: to, why }),
            },
            Action::Run { job, work, .. } => {
                let reply = match work {
                    Job::Client(work) => world.shared.worker.run(work),
                    Job::Library(_) | Job::Memory(_) => JobReply::Failed(JobFault::NotFound),
                };
                self.events.push_back(Event::Done { job, reply });
            }
            Action::Hang { peer } => {
                if let Peer::Node(address) = peer
                    && let Some(line) = self.peers.remove(&address)
                {
                    world.sockets.leave(line.conn);
                }
            }
            Action::Meet { address, features } => {
                world.shared.met.insert(address, features);
            }
            Action::Tell(notice) => world.notices.push(notice),
        }
    }

    fn line_to(&mut self, now: Time, to: Peer, world: &mut World<'_>) -> Result<ConnId, Lost> {
        let Peer::Node(address) = to else {
            return Err(Lost::Closed);
        };
        if let Some(line) = self.peers.get(&address) {
            return Ok(line.conn);
        }
        if self.backoffs.holds(address, now) {
            return Err(Lost::Backoff);
        }
        let theirs = world.shared.met.get(&address).copied();
        let dialled = (world.sockets).dial_node(self.owner, address.0, self.identity, theirs);
        let conn = dialled.map_err(|error| {
            self.backoffs.failed(address, now, &mut self.rng);
            why_not_connected(&error)
        })?;
        self.peers.insert(address, Line { conn, node: None });
        Ok(conn)
    }
}

/// Everything around a machine while it works.
pub(crate) struct World<'a> {
    pub(crate) sockets: &'a mut Sockets,
    pub(crate) shared: &'a mut Shared,
    /// What the client tells its user.
    pub(crate) notices: &'a mut Vec<Notice>,
}
