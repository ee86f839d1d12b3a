//! The client's state machine, used by both the command line and the web player.
//!
//! Owns the user's operations and what it has learned of the servers. Each operation ends with
//! exactly one final notice, whichever servers die meanwhile. When a server fails, a question goes
//! to the next router, a fragment to the next holder and an upload to the next owner. The next
//! server receives or delivers only what is missing.

mod ask;
mod find;
mod lookup;
mod manifests;
mod peers;
mod read;
mod remove;
mod shared;
mod trashed;
mod upload;
mod write;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::anomalies::{Anomalies, Anomaly};
use crate::contract::id::{JobId, OperationId};
use crate::contract::job::{ClientJob, JobFault, JobReply};
use crate::contract::message::{Catalogue, Envelope, Message, Names, Refusal};
use crate::contract::node::{Event, Lost, Node, Outbox, Peer, Sender};
use crate::contract::record::{Address, Record, Role};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::{Timers, earlier};
use crate::contract::user::{Command, Failure, Notice};
use crate::cx::{Cx, Pending};
use crate::locator::Locator;
use crate::mutants::DocumentMutants;
use crate::purpose::client::{Purpose, ReadStep};
use crate::purpose::{Asked, Ordered};
use crate::requests::{Answer, Outcome, Policy};
use crate::resolver::{self, Resolved, Resolver};

use ask::Ask;
use find::{Find, Found};
use manifests::Manifests;
use peers::Peers;
use read::Read;
use remove::Remove;
use shared::Shared;
use upload::Upload;
use write::Write;

/// Most operations at once. It is enough for a web player with many tabs, and stops a session that
/// never closes its operations.
const OPERATIONS_MAX: usize = 1024;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses of the DNS nodes that the user has given.
    pub dns_nodes: Vec<Address>,
    /// Where a DNS node may be, if none is given or found.
    pub dns_guesses: Vec<Address>,
    /// Whether DNS nodes that the host finds on the link are used, see [`Event::Found`].
    pub seeks_dns: bool,
    /// Longest time the routers' addresses are used without asking the DNS again.
    pub refresh: Duration,
    /// How long the first fragment of a range may take before a second holder is asked, too.
    pub hedge_after: Duration,
    /// The nodes of this process: what they give is not cached, because it lies on the disk already.
    pub here: Vec<Address>,
    /// Most bytes in the cache. A song larger than half of it is not cached.
    pub cache_bytes: u64,
    /// Planted mistakes, for tests.
    pub mutants: DocumentMutants,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            dns_nodes: Vec::new(),
            dns_guesses: Vec::new(),
            seeks_dns: false,
            refresh: Duration::from_secs(10),
            hedge_after: Duration::from_millis(150),
            here: Vec::new(),
            cache_bytes: 1_000_000_000,
            mutants: DocumentMutants::default(),
        }
    }
}

/// A client.
#[derive(Debug)]
pub struct Client {
    pending: Pending,
    core: Core,
}

/// A client without its open questions and jobs.
#[derive(Debug)]
struct Core {
    shared: Shared,
    operations: BTreeMap<OperationId, Operation>,
    /// Commands that came before the client had read which servers an earlier run knew; none afterwards.
    early: Option<Vec<Command>>,
}

#[derive(Debug)]
enum Operation {
    Ask(Ask),
    Remove(Remove),
    Find(Find),
    Read(Box<Read>),
    Upload(Upload),
    Write(Write),
}

/// How an operation goes on after an event.
#[derive(Debug)]
enum Progress {
    /// The operation waits for an answer, a job or a pause.
    Waits,
    /// The operation needs a router's answer to this question.
    AskRouter(Message),
    /// The operation has found its song, and reads it from here on.
    Opens(Found),
    /// The operation has ended. This is its final notice.
    Ends(Notice),
}

impl Client {
    /// A client that knows the DNS nodes of its configuration and nothing else.
    pub fn new(config: Config, mut rng: Rng) -> Self {
        let mut part = || Rng::from_seed(rng.bits());
        let resolver = resolver::Config {
            own: None,
            dns: config.dns_nodes.clone(),
            guesses: config.dns_guesses.clone(),
            watched: Vec::new(),
            refresh: config.refresh,
        };
        let mut shared = Shared {
            resolver: Resolver::new(resolver, part()),
            timers: Timers::new(),
            peers: Peers::default(),
            manifests: Manifests::default(),
            anomalies: Anomalies::default(),
            rng: part(),
            writer: 0,
            clock: 0,
            locator: Locator::default(),
            looked_up: false,
            hurry_at: None,
            dns_lost: None,
            undialled: None,
            key_accepted: false,
            remembered: Vec::new(),
            config,
        };
        let operations = BTreeMap::new();
        let pending = Pending::new(part());
        let mut drawn = part();
        shared.writer = u128::from(drawn.bits()) << 64 | u128::from(drawn.bits());
        Client {
            pending,
            core: Core {
                shared,
                operations,
                early: None,
            },
        }
    }

    /// The anomalies noticed in what data nodes say about songs.
    pub fn anomalies(&self) -> &Anomalies {
        &self.core.shared.anomalies
    }

    /// How many operations are under way.
    pub fn operations(&self) -> usize {
        self.core.operations.len()
    }
}

impl Core {
    fn on_command(&mut self, cx: &mut Cx<'_>, command: Command) {
        match command {
            Command::List { operation, query } => {
                let question = Message::Catalogue(Catalogue::List { query });
                self.begin_ask(cx, operation, question);
            }
            Command::Browse { operation, browse } => {
                let question = Message::Catalogue(Catalogue::Browse(browse));
                self.begin_ask(cx, operation, question);
            }
            Command::Status { operation } => {
                let question = Message::Catalogue(Catalogue::Inspect);
                self.begin_ask(cx, operation, question);
            }
            Command::Resolve { operation, role } => self.on_resolve(cx, operation, role),
            Command::Open {
                operation,
                song,
                holders,
            } => {
                if self.admit(cx, operation) {
                    let (find, progress) = Find::begin(cx, operation, song, holders);
                    self.operations.insert(operation, Operation::Find(find));
                    self.go_on(cx, operation, progress);
                }
            }
            Command::Read {
                operation,
                first,
                end,
                bytes,
            } => self.with_read(cx, operation, |read, shared, cx| {
                read.range(cx, (first, end), bytes, shared)
            }),
            Command::Take { operation, count } => {
                self.with_read(cx, operation, |read, shared, cx| {
                    read.take(cx, count, shared)
                });
            }
            Command::Close { operation } => self.close(cx, operation),
            Command::ListTrash {
                operation,
                after,
                limit,
            } => {
                let question = Message::Catalogue(Catalogue::ListTrash {
                    prefix: None,
                    after,
                    limit,
                });
                self.begin_ask(cx, operation, question);
            }
            Command::Change {
                operation,
                song,
                to,
            } => {
                if self.admit(cx, operation) {
                    let (remove, progress) = Remove::begin(operation, song, to);
                    self.operations.insert(operation, Operation::Remove(remove));
                    self.go_on(cx, operation, progress);
                }
            }
            Command::ReadDocuments { operation, reading } => {
                let question = Message::Catalogue(Catalogue::Read(reading));
                self.begin_ask(cx, operation, question);
            }
            Command::WriteDocuments {
                operation,
                drafts,
                plays,
            } => {
                if self.admit(cx, operation) {
                    let (write, progress) = Write::begin(operation, drafts, plays);
                    self.operations.insert(operation, Operation::Write(write));
                    self.go_on(cx, operation, progress);
                }
            }
            Command::Upload { operation, source } => {
                if self.admit(cx, operation) {
                    let upload = Upload::begin(cx, operation, source);
                    self.operations.insert(operation, Operation::Upload(upload));
                }
            }
        }
    }

    fn admit(&self, cx: &mut Cx<'_>, operation: OperationId) -> bool {
        let room =
            self.operations.len() < OPERATIONS_MAX && !self.operations.contains_key(&operation);
        if !room {
            let failure = Failure::Busy;
            cx.out.tell(Notice::Failed { operation, failure });
        }
        room
    }

    fn begin_ask(&mut self, cx: &mut Cx<'_>, operation: OperationId, question: Message) {
        if self.admit(cx, operation) {
            let ask = Operation::Ask(Ask::new(operation));
            self.operations.insert(operation, ask);
            self.go_on(cx, operation, Progress::AskRouter(question));
        }
    }

    fn on_resolve(&mut self, cx: &mut Cx<'_>, operation: OperationId, role: Role) {
        if !self.admit(cx, operation) {
            return;
        }
        let ask = Operation::Ask(Ask::new(operation));
        self.operations.insert(operation, ask);
        let candidates = self.shared.resolver.candidates(role);
        let question = Message::Names(Names::Resolve { role });
        let purpose = Purpose::Names(operation);
        let policy = Policy::RESOLVE;
        let asked = cx.ask(Asked::Client(purpose), candidates, question, policy);
        if asked.is_none() {
            let nobody = unreachable(Role::Dns, None);
            self.end(cx, failed(operation, nobody), operation);
        }
    }

    /// Applies a step to an open song. Does nothing if the operation is not an open song.
    fn with_read(
        &mut self,
        cx: &mut Cx<'_>,
        operation: OperationId,
        step: impl FnOnce(&mut Read, &mut Shared, &mut Cx<'_>) -> Progress,
    ) {
        if let Some(Operation::Read(read)) = self.operations.get_mut(&operation) {
            let progress = step(read, &mut self.shared, cx);
            self.go_on(cx, operation, progress);
        }
    }

    fn with_find(
        &mut self,
        cx: &mut Cx<'_>,
        operation: OperationId,
        step: impl FnOnce(&mut Find, &mut Shared, &mut Cx<'_>) -> Progress,
    ) {
        if let Some(Operation::Find(find)) = self.operations.get_mut(&operation) {
            let progress = step(find, &mut self.shared, cx);
            self.go_on(cx, operation, progress);
        }
    }

    /// The song of an operation is found: tells the user, and opens it.
    fn open(&mut self, cx: &mut Cx<'_>, operation: OperationId, found: Found) {
        cx.out.tell(Notice::Opened {
            operation,
            manifest: found.manifest.clone(),
            holders: found.holders.clone(),
        });
        let read = Read::new(operation, found, &mut self.shared);
        (self.operations).insert(operation, Operation::Read(Box::new(read)));
    }

    fn with_upload(
        &mut self,
        cx: &mut Cx<'_>,
        operation: OperationId,
        step: impl FnOnce(&mut Upload, &mut Shared, &mut Cx<'_>) -> Progress,
    ) {
        if let Some(Operation::Upload(upload)) = self.operations.get_mut(&operation) {
            let progress = step(upload, &mut self.shared, cx);
            self.go_on(cx, operation, progress);
        }
    }

    fn close(&mut self, cx: &mut Cx<'_>, operation: OperationId) {
        self.shared.timers.disarm(&operation);
        match self.operations.remove(&operation) {
            Some(Operation::Read(read)) => read.close(cx, &mut self.shared),
            Some(
                Operation::Ask(_)
                | Operation::Find(_)
                | Operation::Upload(_)
                | Operation::Write(_)
                | Operation::Remove(_),
            )
            | None => (),
        }
    }

    fn go_on(&mut self, cx: &mut Cx<'_>, operation: OperationId, progress: Progress) {
        match progress {
            Progress::Waits => (),
            Progress::AskRouter(question) => {
                let routing = self.routing(operation);
                if let Some(routing) = routing {
                    *routing = ask::Routing::wants(question);
                    self.ask_router(cx, operation);
                }
            }
            Progress::Opens(found) => self.open(cx, operation, found),
            Progress::Ends(notice) => self.end(cx, notice, operation),
        }
    }

    fn end(&mut self, cx: &mut Cx<'_>, notice: Notice, operation: OperationId) {
        if self.operations.contains_key(&operation) {
            self.close(cx, operation);
            cx.out.tell(self.shared.with_cause(notice));
        }
    }

    fn on_answer(&mut self, cx: &mut Cx<'_>, from: Peer, envelope: Envelope) {
        self.shared.key_accepted = true;
        self.note_holder(cx, from, &envelope);
        if let Some(outcome) = cx.on_answer(from, envelope) {
            self.conclude(cx, outcome);
        }
    }

    /// Notes an anomaly when a data node lacks a song that a router has named it a holder of. The
    /// read then asks another holder.
    fn note_holder(&mut self, cx: &mut Cx<'_>, from: Peer, envelope: &Envelope) {
        let of_holder = |asked: &Asked| {
            matches!(
                asked,
                Asked::Client(Purpose::Find(_) | Purpose::Read(_, ReadStep::Fetch(..)))
            )
        };
        let lacks = envelope.message == Message::Refused(Refusal::NotFound);
        // This runs before the answer is taken, because a refusal that leads to another holder
        // gives no outcome.
        if lacks && cx.purpose(envelope.id).is_some_and(of_holder) {
            self.shared.anomalies.note(cx, Anomaly::Holder, from);
        }
    }

    /// Hands the end of a question to the part or operation that waits for it.
    fn conclude(&mut self, cx: &mut Cx<'_>, Outcome { purpose, reply }: Outcome<Asked>) {
        match purpose {
            Asked::Resolver(role) => {
                let resolved = self.shared.resolver.conclude(cx, role, reply);
                self.on_resolved(cx, resolved);
            }
            Asked::Locator(step) => {
                let ended = (self.shared)
                    .with_locator(|locator, nodes| locator.conclude(cx, step, reply, nodes));
                self.on_looked_up(cx, ended);
            }
            Asked::Client(purpose) => self.on_reply(cx, purpose, reply.into_result()),
            Asked::Assignment
            | Asked::Registrar(_)
            | Asked::Dns(_)
            | Asked::Ring(_)
            | Asked::Chord(_)
            | Asked::Announcer(_)
            | Asked::TagAnnouncer(_)
            | Asked::Replication(_)
            | Asked::AntiEntropy(_)
            | Asked::Scrub(_)
            | Asked::Witness(_)
            | Asked::Removal(_)
            | Asked::Trash(_)
            | Asked::Documents(_) => (), // A client has no such part.
        }
    }

    fn on_reply(&mut self, cx: &mut Cx<'_>, purpose: Purpose, reply: Answer) {
        match purpose {
            Purpose::Router(operation) => self.on_routed(cx, operation, reply),
            Purpose::Names(operation) => self.on_names(cx, operation, reply),
            Purpose::Find(operation) => {
                self.with_find(cx, operation, |find, shared, cx| {
                    find.on_reply(cx, reply, shared)
                });
            }
            Purpose::Read(operation, step) => {
                self.with_read(cx, operation, |read, shared, cx| {
                    read.on_reply(cx, step, reply, shared)
                });
            }
            Purpose::Upload(operation, step) => {
                self.with_upload(cx, operation, |upload, shared, cx| {
                    upload.on_reply(cx, step, reply, shared)
                });
            }
            Purpose::Remove(operation) => {
                if let Some(Operation::Remove(remove)) = self.operations.get(&operation) {
                    let progress = remove.on_reply(reply);
                    self.go_on(cx, operation, progress);
                }
            }
            Purpose::Write(operation) => {
                if let Some(Operation::Write(write)) = self.operations.get_mut(&operation) {
                    let progress = write.on_reply(cx, reply, &mut self.shared);
                    self.go_on(cx, operation, progress);
                }
            }
            Purpose::InTrash(operation) => self.on_looked_in_trash(cx, operation, reply),
            Purpose::RecallPeers | Purpose::Note => (),
        }
    }

    fn on_names(&mut self, cx: &mut Cx<'_>, operation: OperationId, reply: Answer) {
        let notice = match reply {
            Ok((_, Message::Names(Names::Records { records, .. }), _)) => {
                Notice::Records { operation, records }
            }
            Ok(_) => failed(operation, unreachable(Role::Dns, Some(Lost::Misbehaved))),
            Err((_, lost)) => failed(operation, unreachable(Role::Dns, lost)),
        };
        self.end(cx, notice, operation);
    }

    fn on_lost(&mut self, cx: &mut Cx<'_>, peer: Peer, why: Lost) {
        if let Peer::Node(address) = peer {
            self.shared.peers.on_lost(cx.now, address);
            if starts_backoff(why) {
                self.shared.undialled = Some(why);
            }
        }
        for outcome in cx.on_lost(peer, why) {
            self.conclude(cx, outcome);
        }
    }

    fn on_done(&mut self, cx: &mut Cx<'_>, job: JobId, reply: JobReply) {
        let Some(Ordered::Client(purpose)) = cx.on_done(job) else {
            return;
        };
        match purpose {
            Purpose::Find(operation) => {
                self.with_find(cx, operation, |find, shared, cx| {
                    find.on_done(cx, reply, shared)
                });
            }
            Purpose::Read(operation, step) => {
                self.with_read(cx, operation, |read, shared, cx| {
                    read.on_done(cx, step, reply, shared)
                });
            }
            Purpose::Upload(operation, step) => {
                self.with_upload(cx, operation, |upload, shared, cx| {
                    upload.on_done(cx, step, reply, shared)
                });
            }
            Purpose::RecallPeers => {
                if let JobReply::Peers { records } = reply {
                    self.shared.remembered.clone_from(&records);
                    let (dns, routers): (Vec<Record>, Vec<Record>) =
                        records.into_iter().partition(|r| r.role == Role::Dns);
                    let dns = dns.iter().map(|record| record.address);
                    self.shared.resolver.recall(dns.collect());
                    self.shared.resolver.remember(cx, Role::Router, routers);
                }
                for command in self.early.take().unwrap_or_default() {
                    self.on_command(cx, command);
                }
            }
            Purpose::Router(_)
            | Purpose::Names(_)
            | Purpose::Remove(_)
            | Purpose::InTrash(_)
            | Purpose::Write(_)
            | Purpose::Note => (),
        }
    }

    fn on_tick(&mut self, cx: &mut Cx<'_>) {
        for outcome in cx.on_tick() {
            self.conclude(cx, outcome);
        }
        self.shared.resolver.on_tick(cx);
        if self.shared.hurry_at.take_if(|at| *at <= cx.now).is_some() {
            self.ask_waiting_routers(cx);
        }
        while let Some(operation) = self.shared.timers.pop_due(cx.now) {
            self.with_read(cx, operation, |read, shared, cx| read.on_timer(cx, shared));
            self.with_upload(cx, operation, |upload, _, cx| upload.on_timer(cx));
        }
    }

    fn on_resolved(&mut self, cx: &mut Cx<'_>, Resolved { role, failed }: Resolved) {
        if role == Role::Router {
            self.shared.looked_up = true;
            self.shared.hurry_at = None;
            self.shared.dns_lost = failed;
            self.shared.remember_peers(cx);
            self.ask_waiting_routers(cx);
        }
        if role == Role::Dns {
            self.shared.remember_peers(cx);
        }
        if role == Role::Data {
            self.look_up_waiting(cx);
        }
    }
}

impl Node for Client {
    fn handle(&mut self, now: Time, event: Event, out: &mut Outbox) {
        let cx = &mut self.pending.cx(now, out);
        let core = &mut self.core;
        match event {
            Event::Start => {
                core.early = Some(Vec::new());
                cx.run(
                    Ordered::Client(Purpose::RecallPeers),
                    ClientJob::RecallPeers,
                );
            }
            Event::Tick => core.on_tick(cx),
            Event::Message {
                from: Sender { peer, .. },
                envelope,
            } => core.on_answer(cx, peer, envelope),
            Event::Lost { peer, why } => core.on_lost(cx, peer, why),
            Event::Done { job, reply } => core.on_done(cx, job, reply),
            Event::Found { dns } if core.shared.config.seeks_dns => {
                core.shared.resolver.find(cx, &dns);
            }
            Event::Found { .. } => (),
            Event::User(command) => match &mut core.early {
                Some(early) if early.len() < OPERATIONS_MAX => early.push(command),
                Some(_) | None => core.on_command(cx, command),
            },
            Event::Stop => cx.out.tell(Notice::Stopped),
        }
    }

    fn seeks_dns(&self) -> bool {
        let shared = &self.core.shared;
        let known = shared.resolver.dns().next().is_some();
        shared.config.seeks_dns && (!known || shared.dns_lost.is_some())
    }

    fn deadline(&self) -> Option<Time> {
        let shared = &self.core.shared;
        let parts = earlier(shared.timers.next(), shared.resolver.deadline());
        let parts = earlier(parts, shared.hurry_at);
        earlier(self.pending.deadline(), parts)
    }
}

/// Whether the host waits before it dials the server again after this loss.
fn starts_backoff(why: Lost) -> bool {
    match why {
        Lost::ConnectRefused | Lost::ConnectTimeout | Lost::HandshakeRefused | Lost::Version => {
            true
        }
        Lost::Outdated
        | Lost::Closed
        | Lost::Reset
        | Lost::Silent
        | Lost::Unacknowledged
        | Lost::Misbehaved
        | Lost::Full
        | Lost::Backoff => false,
    }
}

fn failed(operation: OperationId, failure: Failure) -> Notice {
    Notice::Failed { operation, failure }
}

fn unreachable(role: Role, last: Option<Lost>) -> Failure {
    // A refused handshake means that the client has a wrong key, except at a data node. A client
    // with a wrong key is refused by the DNS nodes and routers, which it asks first. A data node
    // that refuses a handshake may have died during it.
    if last == Some(Lost::HandshakeRefused) && role != Role::Data {
        return Failure::KeyRefused;
    }
    Failure::Unreachable { role, last }
}

/// The failure that the user sees when no server has answered.
fn failure(role: Role, refusal: Option<Refusal>, lost: Option<Lost>) -> Failure {
    match refusal {
        Some(Refusal::NotFound) => Failure::NotFound,
        Some(Refusal::Ambiguous(songs)) => Failure::Ambiguous(songs),
        Some(why) => Failure::Refused(why),
        None => unreachable(role, lost),
    }
}

/// The failure that the user sees when a job on this machine has failed.
fn local(fault: JobFault) -> Failure {
    match fault {
        JobFault::NotFound => Failure::NotFound,
        JobFault::Ambiguous(songs) => Failure::Ambiguous(songs),
        JobFault::Busy
        | JobFault::Damaged
        | JobFault::Invalid(_)
        | JobFault::DiskFull
        | JobFault::Broken(_)
        | JobFault::Corrupt(_)
        | JobFault::Quarantined
        | JobFault::Removed
        | JobFault::Abandoned => Failure::Local(fault),
    }
}
