//! The client's state machine, used by both the command line and the web player.
//!
//! Owns the user's operations and what it has learned of the servers. Each operation ends with
//! exactly one final notice, whichever servers die meanwhile. When a server fails, a question goes
//! to the next router, a fragment to the next holder and an upload to the next owner. The next
//! server receives or delivers only what is missing.

mod ask;
mod lookup;
mod manifests;
mod peers;
mod read;
mod remove;
mod upload;

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
use crate::jobs::Jobs;
use crate::locator::Locator;
use crate::requests::{Outcome, Policy, Requester, Requests};
use crate::resolver::{self, Resolved, Resolver};

use ask::Ask;
use manifests::Manifests;
use peers::Peers;
use read::Read;
use remove::Remove;
use upload::Upload;

/// Most operations at once. It is enough for a web player with many tabs, and stops a session that
/// never closes its operations.
const OPERATIONS_MAX: usize = 1024;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses of the DNS nodes that the user has given.
    pub dns_nodes: Vec<Address>,
    /// Longest time the routers' addresses are used without asking the DNS again.
    pub refresh: Duration,
    /// How long the first fragment of a range may take before a second holder is asked, too.
    pub hedge_after: Duration,
    /// Most bytes in the cache. A song larger than half of it is not cached.
    pub cache_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            dns_nodes: Vec::new(),
            refresh: Duration::from_secs(10),
            hedge_after: Duration::from_millis(150),
            cache_bytes: 1_000_000_000,
        }
    }
}

/// A client.
#[derive(Debug)]
pub struct Client {
    cx: Context,
    operations: BTreeMap<OperationId, Operation>,
}

/// The state that all operations share: questions, jobs, timers and what is known of servers.
#[derive(Debug)]
struct Context {
    config: Config,
    resolver: Resolver,
    requests: Requests<Purpose>,
    locator: Locator<OperationId>,
    jobs: Jobs<Purpose>,
    timers: Timers<OperationId>,
    peers: Peers,
    manifests: Manifests,
    anomalies: Anomalies,
    rng: Rng,
    /// Whether a look-up of the routers has ended since the start, with or without success.
    looked_up: bool,
    /// Why the last look-up of the routers failed, if it did.
    dns_lost: Option<Lost>,
    /// The cause of the last failed dial that started a backoff. It stands in for `Lost::Backoff`
    /// in what the user sees.
    undialled: Option<Lost>,
    /// The routers stored on disk for a later run.
    remembered: Vec<Record>,
}

#[derive(Debug)]
enum Operation {
    Ask(Ask),
    Remove(Remove),
    Read(Read),
    Upload(Upload),
}

/// The purpose of a question or a job: where its outcome goes.
#[derive(Clone, Debug)]
enum Purpose {
    /// A router's answer for an operation.
    Router(OperationId),
    /// The records of a DNS node, for a user who asks to see them.
    Names(OperationId),
    Read(OperationId, read::Step),
    Upload(OperationId, upload::Step),
    Remove(OperationId),
    RecallPeers,
    /// A job whose end no operation waits for.
    Note,
}

/// How an operation goes on after an event.
#[derive(Debug)]
enum Progress {
    /// The operation waits for an answer, a job or a pause.
    Waits,
    /// The operation needs a router's answer to this question.
    AskRouter(Message),
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
            watched: Vec::new(),
            refresh: config.refresh,
        };
        let cx = Context {
            resolver: Resolver::new(resolver, part()),
            requests: Requests::new(Requester::Client, part()),
            jobs: Jobs::new(Requester::Client),
            timers: Timers::new(),
            peers: Peers::default(),
            manifests: Manifests::default(),
            anomalies: Anomalies::default(),
            rng: part(),
            locator: Locator::new(part()),
            looked_up: false,
            dns_lost: None,
            undialled: None,
            remembered: Vec::new(),
            config,
        };
        Client {
            cx,
            operations: BTreeMap::new(),
        }
    }

    /// The anomalies noticed in what data nodes say about songs.
    pub fn anomalies(&self) -> &Anomalies {
        &self.cx.anomalies
    }

    /// How many operations are under way.
    pub fn operations(&self) -> usize {
        self.operations.len()
    }

    fn on_command(&mut self, now: Time, command: Command, out: &mut Outbox) {
        match command {
            Command::List { operation, query } => {
                let question = Message::Catalogue(Catalogue::List { query });
                self.begin_ask(now, operation, question, out);
            }
            Command::Status { operation } => {
                let question = Message::Catalogue(Catalogue::Inspect);
                self.begin_ask(now, operation, question, out);
            }
            Command::Resolve { operation, role } => self.on_resolve(now, operation, role, out),
            Command::Open { operation, song } => {
                if self.admit(operation, out) {
                    let (read, progress) = Read::open(operation, song, &mut self.cx, out);
                    self.operations.insert(operation, Operation::Read(read));
                    self.go_on(now, operation, progress, out);
                }
            }
            Command::Read {
                operation,
                first,
                end,
            } => self.with_read(now, operation, out, |read, cx, out| {
                read.range(now, first, end, cx, out)
            }),
            Command::Take { operation, count } => {
                self.with_read(now, operation, out, |read, cx, out| {
                    read.take(now, count, cx, out)
                });
            }
            Command::Close { operation } => self.close(operation),
            Command::Remove { operation, song } => {
                if self.admit(operation, out) {
                    let (remove, progress) = Remove::begin(operation, song);
                    self.operations.insert(operation, Operation::Remove(remove));
                    self.go_on(now, operation, progress, out);
                }
            }
            Command::Upload { operation, source } => {
                if self.admit(operation, out) {
                    let upload = Upload::begin(operation, source, &mut self.cx, out);
                    self.operations.insert(operation, Operation::Upload(upload));
                }
            }
        }
    }

    fn admit(&self, operation: OperationId, out: &mut Outbox) -> bool {
        let room =
            self.operations.len() < OPERATIONS_MAX && !self.operations.contains_key(&operation);
        if !room {
            let failure = Failure::Busy;
            out.tell(Notice::Failed { operation, failure });
        }
        room
    }

    fn begin_ask(
        &mut self,
        now: Time,
        operation: OperationId,
        question: Message,
        out: &mut Outbox,
    ) {
        if self.admit(operation, out) {
            let ask = Operation::Ask(Ask::new(operation));
            self.operations.insert(operation, ask);
            self.go_on(now, operation, Progress::AskRouter(question), out);
        }
    }

    fn on_resolve(&mut self, now: Time, operation: OperationId, role: Role, out: &mut Outbox) {
        if !self.admit(operation, out) {
            return;
        }
        let ask = Operation::Ask(Ask::new(operation));
        self.operations.insert(operation, ask);
        let candidates: Vec<Peer> = self.cx.resolver.dns().map(Peer::Node).collect();
        let question = Message::Names(Names::Resolve { role });
        let purpose = Purpose::Names(operation);
        let policy = Policy::RESOLVE;
        let asked = self
            .cx
            .requests
            .ask(now, purpose, candidates, question, policy, out);
        if asked.is_none() {
            let nobody = unreachable(Role::Dns, None);
            self.end(failed(operation, nobody), operation, out);
        }
    }

    /// Applies a step to an open song. Does nothing if the operation is not an open song.
    fn with_read(
        &mut self,
        now: Time,
        operation: OperationId,
        out: &mut Outbox,
        step: impl FnOnce(&mut Read, &mut Context, &mut Outbox) -> Progress,
    ) {
        if let Some(Operation::Read(read)) = self.operations.get_mut(&operation) {
            let progress = step(read, &mut self.cx, out);
            self.go_on(now, operation, progress, out);
        }
    }

    fn with_upload(
        &mut self,
        now: Time,
        operation: OperationId,
        out: &mut Outbox,
        step: impl FnOnce(&mut Upload, &mut Context, &mut Outbox) -> Progress,
    ) {
        if let Some(Operation::Upload(upload)) = self.operations.get_mut(&operation) {
            let progress = step(upload, &mut self.cx, out);
            self.go_on(now, operation, progress, out);
        }
    }

    fn close(&mut self, operation: OperationId) {
        self.cx.timers.disarm(&operation);
        match self.operations.remove(&operation) {
            Some(Operation::Read(read)) => read.close(&mut self.cx),
            Some(Operation::Ask(_) | Operation::Upload(_) | Operation::Remove(_)) | None => (),
        }
    }

    fn go_on(&mut self, now: Time, operation: OperationId, progress: Progress, out: &mut Outbox) {
        match progress {
            Progress::Waits => (),
            Progress::AskRouter(question) => {
                let routing = self.routing(operation);
                if let Some(routing) = routing {
                    *routing = ask::Routing::wants(question);
                    self.ask_router(now, operation, out);
                }
            }
            Progress::Ends(notice) => self.end(notice, operation, out),
        }
    }

    fn end(&mut self, notice: Notice, operation: OperationId, out: &mut Outbox) {
        if self.operations.contains_key(&operation) {
            self.close(operation);
            out.tell(self.cx.with_cause(notice));
        }
    }

    fn on_answer(&mut self, now: Time, from: Peer, envelope: Envelope, out: &mut Outbox) {
        match Requester::of(envelope.id.0) {
            Some(Requester::Resolver) => {
                let resolved = self.cx.resolver.on_answer(now, from, envelope, out);
                self.on_resolved(now, resolved.into_iter().collect(), out);
            }
            Some(Requester::Client) => {
                self.note_holder(from, &envelope, out);
                if let Some(outcome) = self.cx.requests.on_answer(now, from, envelope, out) {
                    self.on_outcome(now, outcome, out);
                }
            }
            Some(Requester::Locator) => {
                let ended = (self.cx).with_locator(|locator, nodes| {
                    locator.on_answer(now, from, envelope, nodes, out)
                });
                self.on_looked_up(now, ended, out);
            }
            Some(
                Requester::Registrar
                | Requester::Dns
                | Requester::Data
                | Requester::Announcer
                | Requester::Replication
                | Requester::Assignment
                | Requester::Ring
                | Requester::Upkeep
                | Requester::Scrub
                | Requester::Removal
                | Requester::Chord,
            )
            | None => (),
        }
    }

    /// Notes an anomaly when a data node lacks a song that a router has named it a holder of. The
    /// read then asks another holder.
    fn note_holder(&mut self, from: Peer, envelope: &Envelope, out: &mut Outbox) {
        let of_holder = |purpose: &Purpose| {
            let Purpose::Read(_, step) = purpose else {
                return false;
            };
            matches!(step, read::Step::Describe | read::Step::Fetch(..))
        };
        let lacks = envelope.message == Message::Refused(Refusal::NotFound);
        // This runs before the answer is taken, because a refusal that leads to another holder
        // gives no outcome.
        if lacks && self.cx.requests.purpose(envelope.id).is_some_and(of_holder) {
            self.cx.anomalies.note(Anomaly::Holder, from, out);
        }
    }

    fn on_outcome(&mut self, now: Time, outcome: Outcome<Purpose>, out: &mut Outbox) {
        let (purpose, reply) = match outcome {
            Outcome::Answered {
                purpose,
                from,
                message,
                body,
                ..
            } => (purpose, Ok((from, message, body))),
            Outcome::GaveUp {
                purpose,
                refusal,
                lost,
            } => (purpose, Err((refusal, lost))),
        };
        match purpose {
            Purpose::Router(operation) => self.on_routed(now, operation, reply, out),
            Purpose::Names(operation) => self.on_names(operation, reply, out),
            Purpose::Read(operation, step) => {
                self.with_read(now, operation, out, |read, cx, out| {
                    read.on_reply(now, step, reply, cx, out)
                });
            }
            Purpose::Upload(operation, step) => {
                self.with_upload(now, operation, out, |upload, cx, out| {
                    upload.on_reply(now, step, reply, cx, out)
                });
            }
            Purpose::Remove(operation) => {
                if let Some(Operation::Remove(remove)) = self.operations.get(&operation) {
                    let progress = remove.on_reply(reply);
                    self.go_on(now, operation, progress, out);
                }
            }
            Purpose::RecallPeers | Purpose::Note => (),
        }
    }

    fn on_names(&mut self, operation: OperationId, reply: Reply, out: &mut Outbox) {
        let notice = match reply {
            Ok((_, Message::Names(Names::Records { records, .. }), _)) => {
                Notice::Records { operation, records }
            }
            Ok(_) => failed(operation, unreachable(Role::Dns, Some(Lost::Misbehaved))),
            Err((_, lost)) => failed(operation, unreachable(Role::Dns, lost)),
        };
        self.end(notice, operation, out);
    }

    fn on_lost(&mut self, now: Time, peer: Peer, why: Lost, out: &mut Outbox) {
        if let Peer::Node(address) = peer {
            self.cx.peers.on_lost(now, address);
            if starts_backoff(why) {
                self.cx.undialled = Some(why);
            }
        }
        let resolved = self.cx.resolver.on_lost(now, peer, why, out);
        let outcomes = self.cx.requests.on_lost(now, peer, why, out);
        for outcome in outcomes {
            self.on_outcome(now, outcome, out);
        }
        self.on_resolved(now, resolved, out);
        let ended =
            (self.cx).with_locator(|locator, nodes| locator.on_lost(now, (peer, why), nodes, out));
        self.on_looked_up(now, ended, out);
    }

    fn on_done(&mut self, now: Time, job: JobId, reply: JobReply, out: &mut Outbox) {
        match self.cx.jobs.done(job) {
            Some(Purpose::Read(operation, step)) => {
                self.with_read(now, operation, out, |read, cx, out| {
                    read.on_done(now, step, reply, cx, out)
                });
            }
            Some(Purpose::Upload(operation, step)) => {
                self.with_upload(now, operation, out, |upload, cx, out| {
                    upload.on_done(now, step, reply, cx, out)
                });
            }
            Some(Purpose::RecallPeers) => {
                if let JobReply::Peers { records } = reply {
                    self.cx.remembered.clone_from(&records);
                    self.cx.resolver.remember(Role::Router, records, out);
                }
            }
            Some(Purpose::Router(_) | Purpose::Names(_) | Purpose::Remove(_) | Purpose::Note)
            | None => (),
        }
    }

    fn on_tick(&mut self, now: Time, out: &mut Outbox) {
        let resolved = self.cx.resolver.on_tick(now, out);
        for outcome in self.cx.requests.on_tick(now, out) {
            self.on_outcome(now, outcome, out);
        }
        self.on_resolved(now, resolved, out);
        if self.cx.locator.deadline().is_some_and(|due| due <= now) {
            let ended = (self.cx).with_locator(|locator, nodes| locator.on_tick(now, nodes, out));
            self.on_looked_up(now, ended, out);
        }
        while let Some(operation) = self.cx.timers.pop_due(now) {
            self.with_read(now, operation, out, |read, cx, out| {
                read.on_timer(now, cx, out)
            });
            self.with_upload(now, operation, out, |upload, cx, out| {
                upload.on_timer(now, cx, out)
            });
        }
    }

    fn on_resolved(&mut self, now: Time, resolved: Vec<Resolved>, out: &mut Outbox) {
        for Resolved { role, failed } in resolved {
            if role == Role::Router {
                self.cx.looked_up = true;
                self.cx.dns_lost = failed;
                self.cx.remember_routers(out);
                self.ask_waiting_routers(now, out);
            }
            if role == Role::Data {
                self.look_up_waiting(now, out);
            }
        }
    }
}

/// An answer with its sender and the bytes behind it, or the last refusal and the last loss if
/// there is none.
type Reply = Result<(Peer, Message, Vec<u8>), (Option<Refusal>, Option<Lost>)>;

impl Context {
    /// Names the cause of a backoff in place of the backoff. A server that was dialled in vain for
    /// one operation is not dialled for the next, which fails for the same reason.
    fn with_cause(&self, notice: Notice) -> Notice {
        match (notice, self.undialled) {
            (
                Notice::Failed {
                    operation,
                    failure:
                        Failure::Unreachable {
                            role,
                            last: Some(Lost::Backoff),
                        },
                },
                Some(cause),
            ) => failed(operation, unreachable(role, Some(cause))),
            (notice, _) => notice,
        }
    }

    /// Stores the routers for a later run, if they differ from those on disk.
    fn remember_routers(&mut self, out: &mut Outbox) {
        let place = |record: &Record| (record.node, record.address);
        let mut records = self.resolver.records(Role::Router).to_vec();
        records.sort_unstable_by_key(place);
        records.truncate(64);
        let same = records
            .iter()
            .map(place)
            .eq(self.remembered.iter().map(place));
        if !records.is_empty() && !same {
            self.remembered.clone_from(&records);
            self.jobs
                .run(Purpose::Note, ClientJob::RememberPeers { records }, out);
        }
    }

    /// Lets an operation go on after a pause.
    fn pause(&mut self, now: Time, operation: OperationId, pause: Duration) {
        let at = now + self.rng.upper_half(pause);
        self.timers.arm(operation, at);
    }
}

impl Node for Client {
    fn handle(&mut self, now: Time, event: Event, out: &mut Outbox) {
        match event {
            Event::Start => {
                self.cx
                    .jobs
                    .run(Purpose::RecallPeers, ClientJob::RecallPeers, out);
            }
            Event::Tick => self.on_tick(now, out),
            Event::Message {
                from: Sender { peer, .. },
                envelope,
            } => self.on_answer(now, peer, envelope, out),
            Event::Lost { peer, why } => self.on_lost(now, peer, why, out),
            Event::Done { job, reply } => self.on_done(now, job, reply, out),
            Event::User(command) => self.on_command(now, command, out),
            Event::Stop => out.tell(Notice::Stopped),
        }
    }

    fn deadline(&self) -> Option<Time> {
        let asked = earlier(self.cx.requests.deadline(), self.cx.resolver.deadline());
        let asked = earlier(asked, self.cx.locator.deadline());
        earlier(self.cx.timers.next(), asked)
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
        | JobFault::Quarantined
        | JobFault::Removed
        | JobFault::Abandoned => Failure::Local(fault),
    }
}
