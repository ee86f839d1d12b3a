//! The node that runs on servers: name resolution, the ring, one role, and the parts they share.
//!
//! A server passes through phases, see `Phase`; each event goes to what the phase holds, and every
//! deadline comes from there. Every question passes the dedup window before a role sees it, and
//! every answer passes it on the way out.

mod known;
mod memory;
mod role;
mod serving;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use crate::anomalies::Anomalies;
use crate::chord::{self, Chord};
use crate::contract::id::JobId;
use crate::contract::job::JobReply;
use crate::contract::member::Epoch;
use crate::contract::message::{Envelope, Kind, Message, Refusal};
use crate::contract::node::{
    Asker, DnsTransport, Event, Figure, Identity, Lost, Node, Outbox, Peer, Sender,
};
use crate::contract::record::{Address, Features, Record, Role};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::contract::user::{Level, Notice};
use crate::cx::{Cx, Pending};
use crate::data;
use crate::dedup::{self, Admission, DedupWindow};
use crate::dns;
use crate::purpose::{Asked, Ordered};
use crate::registrar::{Registrar, Registration};
use crate::requests::Outcome;
use crate::resolver::{self, Resolved, Resolver};
use crate::ring::{self, Order, Ring};
use crate::role_assignment::{Assignment, Reservations};
use crate::router;

use known::Known;
use memory::{Memory, Recalled};
use role::{HANDING_OVER_TO_END, HandOver};
use serving::Serving;

/// Consecutive failed DNS look-ups after which the log says so.
const DNS_FAILURES_TOLD: u32 = 6;

/// How long a stopping server waits until its goodbyes have arrived.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long a stopping server waits while it has songs that may be stored nowhere else.
const LAST_COPIES: Duration = Duration::from_secs(10);

/// The configuration of a server. Valid by construction: see each part.
#[derive(Clone, Debug)]
pub struct Config {
    /// The fixed role. None: the server asks for a role, and a manager may change it later.
    pub role: Option<Role>,
    /// Its weight on the hash ring while it is a data node.
    pub weight: u16,
    /// The DNS nodes that the user has given.
    pub dns_nodes: Vec<Address>,
    /// Where a DNS node may be, if none is given or found.
    pub dns_guesses: Vec<Address>,
    /// Whether DNS nodes that the host finds on the link are used, see [`Event::Found`].
    pub seeks_dns: bool,
    /// Longest time between two look-ups of the same role.
    pub refresh: Duration,
    /// Whether a data node that is told to stop hands all its songs over first.
    pub drain: bool,
    /// Configuration of the ring.
    pub ring: ring::Config,
    /// Configuration of the DNS role.
    pub dns: dns::Config,
    /// Configuration of the router role.
    pub router: router::Config,
    /// Configuration of the data role.
    pub data: data::Config,
    /// Configuration of a data node's place on the hash ring.
    pub chord: chord::Config,
}

impl Config {
    /// Longest time from the order to stop to the end. With `drain` it is long enough that the
    /// operator decides when to stop waiting.
    pub fn stop_within(&self) -> Duration {
        let drain = if self.drain {
            HANDING_OVER_TO_END
        } else {
            Duration::ZERO
        };
        drain + LAST_COPIES + GOODBYE
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            role: None,
            weight: 1,
            dns_nodes: Vec::new(),
            dns_guesses: Vec::new(),
            seeks_dns: false,
            refresh: Duration::from_secs(20),
            drain: false,
            ring: ring::Config::default(),
            dns: dns::Config::default(),
            router: router::Config::default(),
            data: data::Config::default(),
            chord: chord::Config::default(),
        }
    }
}

/// A server.
#[derive(Debug)]
pub struct Server {
    pending: Pending,
    core: Core,
}

/// A server without its open questions and jobs.
#[derive(Debug)]
struct Core {
    common: Common,
    window: DedupWindow,
    phase: Phase,
}

/// What a server has in every phase.
#[derive(Debug)]
struct Common {
    config: Config,
    me: Identity,
    address: Address,
    resolver: Resolver,
    known: Known,
    memory: Memory,
    /// Roles promised to joining servers that have found no DNS node.
    reservations: Reservations,
    /// Consecutive look-ups that no DNS node has answered.
    dns_failures: u32,
    rng: Rng,
}

/// Where a server stands between its start and its end. It only goes forward.
#[derive(Debug)]
enum Phase {
    /// The server has no role yet: it reads what an earlier run has stored, then asks for a role.
    Newcomer(Assignment),
    /// The server has a role, and may change it.
    Serving(Box<Serving>),
    /// The server refuses questions, says goodbye and makes the last copies.
    Stopping {
        serving: Box<Serving>,
        /// When it ends, whether or not the goodbyes have arrived.
        until: Time,
    },
    /// The server has ended; its host drops it.
    Stopped {
        /// It ended because another node knows a later start of it.
        outdated: bool,
    },
}

impl Phase {
    /// The role and its parts, from the moment a role is assigned to the end.
    fn serving(&self) -> Option<&Serving> {
        match self {
            Phase::Serving(serving) | Phase::Stopping { serving, .. } => Some(serving),
            Phase::Newcomer(_) | Phase::Stopped { .. } => None,
        }
    }

    fn serving_mut(&mut self) -> Option<&mut Serving> {
        match self {
            Phase::Serving(serving) | Phase::Stopping { serving, .. } => Some(serving),
            Phase::Newcomer(_) | Phase::Stopped { .. } => None,
        }
    }

    fn deadline(&self) -> Option<Time> {
        match self {
            Phase::Newcomer(assignment) => assignment.deadline(),
            Phase::Serving(serving) => serving.deadline(),
            Phase::Stopping { serving, until } => earlier(serving.deadline(), Some(*until)),
            Phase::Stopped { .. } => None,
        }
    }
}

impl Common {
    fn draw(&mut self) -> Rng {
        Rng::from_seed(self.rng.bits())
    }

    /// This server's record in a role.
    fn record(&self, role: Role) -> Record {
        let ttl = self.config.dns.record_ttl.as_millis();
        Record {
            role,
            node: self.me.node,
            incarnation: self.me.incarnation,
            renewals: 0,
            address: self.address,
            features: self.me.features.with(Features::OF_SERVERS, true),
            weight: if role == Role::Data {
                self.config.weight
            } else {
                0
            },
            ttl_ms: u32::try_from(ttl).unwrap_or(u32::MAX),
        }
    }

    /// Tells the operator when no DNS node answers any longer, and when one answers again.
    fn note_names(&mut self, cx: &mut Cx<'_>, Resolved { failed, .. }: Resolved) {
        let before = self.dns_failures;
        self.dns_failures = failed.map_or(0, |_| before.saturating_add(1));
        match failed {
            Some(why) if self.dns_failures == DNS_FAILURES_TOLD => {
                let line = alloc::format!("no dns node answers, the last one: {why}");
                cx.out.fact(Level::Warn, line);
            }
            None if before >= DNS_FAILURES_TOLD => {
                cx.out.fact(Level::Info, "a dns node answers again".into());
            }
            Some(_) | None => (),
        }
    }
}

impl Server {
    /// A server that has not started. `address` is where it listens, and must agree with the
    /// identity.
    pub fn new(config: Config, me: Identity, address: Address, mut rng: Rng) -> Self {
        let mut part = || Rng::from_seed(rng.bits());
        // A DNS node whose own address is among the given ones is not its own peer.
        let dns: Vec<Address> = (config.dns_nodes.iter().copied())
            .filter(|at| *at != address)
            .collect();
        let resolver = resolver::Config {
            own: Some(address),
            dns: dns.clone(),
            guesses: config.dns_guesses.clone(),
            watched: Role::ALL.to_vec(),
            refresh: config.refresh,
        };
        let resolver = Resolver::new(resolver, part());
        let dns = dns.into_iter().chain(config.dns_guesses.iter().copied());
        let phase = Phase::Newcomer(Assignment::new(dns.collect(), part()));
        let pending = part();
        let common = Common {
            me,
            address,
            resolver,
            known: Known::default(),
            memory: Memory::new(),
            reservations: Reservations::default(),
            dns_failures: 0,
            rng: part(),
            config,
        };
        let window = DedupWindow::default();
        Server {
            pending: Pending::new(pending),
            core: Core {
                common,
                window,
                phase,
            },
        }
    }

    /// The current role; none until a role is assigned.
    pub fn role(&self) -> Option<Role> {
        self.core.phase.serving().map(Serving::role)
    }

    /// The census for which this server last changed its role since its start.
    pub fn changed_for(&self) -> Option<Epoch> {
        self.core.phase.serving()?.member()?.changed_for()
    }

    /// The ring, if this server is a member.
    pub fn ring(&self) -> Option<&Ring> {
        Some(&self.core.phase.serving()?.member()?.ring)
    }

    /// The place on the hash ring, if this server is a data node.
    pub fn chord(&self) -> Option<&Chord> {
        Some(&self.core.phase.serving()?.member()?.data()?.chord)
    }

    /// The lengths and bounds of the queues of a data node, the dedup window last. Other roles
    /// report only the window.
    pub fn queues(&self) -> Vec<data::Queue> {
        let window = data::Queue {
            name: "questions",
            length: self.core.window.len(),
            most: dedup::LENGTH_MAX,
        };
        let member = self.core.phase.serving().and_then(Serving::member);
        match member.and_then(|member| member.data()) {
            Some(node) => node.data.queues().into_iter().chain([window]).collect(),
            None => [window].into(),
        }
    }

    /// The anomalies noticed by a data node or router: statements of other nodes about songs and
    /// copies that cannot be true. Other servers have none.
    pub fn anomalies(&self) -> Option<&Anomalies> {
        Some(self.core.phase.serving()?.member()?.anomalies())
    }

    /// Whether the server ended because another node knows a later start of it.
    pub fn is_outdated(&self) -> bool {
        matches!(self.core.phase, Phase::Stopped { outdated: true })
    }

    /// Whether this data node is handing its songs over.
    pub fn is_leaving(&self) -> bool {
        let member = self.core.phase.serving().and_then(Serving::member);
        member.is_some_and(|member| member.is_handing_over())
    }

    /// The valid records of a DNS node; none for other roles.
    pub fn records(&self, now: Time) -> Vec<Record> {
        let dns = self.core.phase.serving().and_then(Serving::dns);
        dns.map_or(Vec::new(), |dns| dns.valid(now).collect())
    }

    /// How many questions of this server are in flight.
    pub fn questions(&self) -> usize {
        self.pending.questions()
    }
}

impl Core {
    fn handle(&mut self, cx: &mut Cx<'_>, event: Event) {
        let mark = cx.out.len();
        if let Phase::Serving(serving) = &mut self.phase
            && let Some(member) = serving.member_mut()
        {
            member.ring.on_event(cx);
        }
        match event {
            Event::Start => self.on_start(cx),
            Event::Tick => self.on_tick(cx),
            Event::Message { from, envelope } => self.on_message(cx, from, envelope),
            Event::Lost { peer, why } => self.on_lost(cx, peer, why),
            Event::Done { job, reply } => self.on_done(cx, job, reply),
            Event::Found { dns } => self.on_found(cx, &dns),
            Event::User(_) => (), // A server has no user.
            Event::Stop => self.on_stop(cx),
        }
        self.settle(cx);
        self.end_if_heard(cx);
        // This comes last, so that the dedup window sees every answer that the event has caused.
        self.window.observe(cx.now, mark, cx.out);
    }

    fn on_start(&mut self, cx: &mut Cx<'_>) {
        let common = &mut self.common;
        common.resolver.start(cx);
        common.memory.recall(cx);
        if let Some(role) = common.config.role {
            self.take(cx, role);
        }
    }

    /// Asks what may be DNS nodes. Each is believed when it answers, and not before.
    fn on_found(&mut self, cx: &mut Cx<'_>, dns: &[Address]) {
        if !self.common.config.seeks_dns {
            return;
        }
        self.common.resolver.find(cx, dns);
        if let Phase::Newcomer(assignment) = &mut self.phase {
            assignment.find(cx.now, dns);
        }
    }

    /// Takes the first role: begins its work, joins the ring, registers.
    fn take(&mut self, cx: &mut Cx<'_>, role: Role) {
        let serving = Serving::begin(cx, &mut self.common, role);
        self.phase = Phase::Serving(Box::new(serving));
        let line = alloc::format!("role {role} at {}", self.common.address);
        cx.out.fact(Level::Info, line);
        self.register(cx);
        // The first DNS node of a network has no other one to confirm its registration.
        if role == Role::Dns
            && let Phase::Serving(serving) = &mut self.phase
        {
            serving.tell_ready(cx);
        }
    }

    /// Uses what an earlier run has stored: the members to look for, and the role. The server takes
    /// the stored role again, because a data node that came back as a router would hold songs and
    /// not serve them.
    fn on_recalled(&mut self, cx: &mut Cx<'_>, recalled: Recalled) {
        let Recalled { members, role, dns } = recalled;
        if let Phase::Newcomer(assignment) = &mut self.phase {
            assignment.find(cx.now, &dns);
        }
        self.common.resolver.recall(dns);
        match (&mut self.phase, role) {
            (Phase::Newcomer(_), Some(role @ (Role::Data | Role::Router))) => {
                self.take(cx, role);
            }
            (Phase::Newcomer(assignment), _) => {
                cx.out
                    .fact(Level::Info, "no role yet: asking for one".into());
                assignment.remember(members.iter().map(|m| m.address).collect());
                assignment.start(cx);
            }
            (Phase::Serving(_) | Phase::Stopping { .. } | Phase::Stopped { .. }, _) => (),
        }
        if let Some(member) = self.phase.serving_mut().and_then(Serving::member_mut) {
            member.ring.remember(&members);
        }
    }

    /// Registers with every DNS node known so far, unless the server is stopping.
    fn register(&mut self, cx: &mut Cx<'_>) {
        if let Phase::Serving(serving) = &mut self.phase {
            serving.register(cx, &self.common);
        }
    }

    fn on_registration(&mut self, cx: &mut Cx<'_>, registration: Registration) {
        match (registration, &mut self.phase) {
            (Registration::Stands, Phase::Serving(serving)) => serving.tell_ready(cx),
            (Registration::Stands | Registration::Failed, _) => (),
            (Registration::Outdated, _) => self.end_outdated(cx),
        }
    }

    /// Ends the server: its disk is an old copy, or runs on two machines. The next start has a
    /// higher incarnation.
    fn end_outdated(&mut self, cx: &mut Cx<'_>) {
        if !matches!(self.phase, Phase::Stopped { .. }) {
            self.phase = Phase::Stopped { outdated: true };
            let line = "a newer start of this node is known, or one elsewhere: stopping";
            cx.out.fact(Level::Warn, line.into());
            cx.out.tell(Notice::Outdated);
            cx.out.tell(Notice::Stopped);
        }
    }

    fn on_message(&mut self, cx: &mut Cx<'_>, from: Sender, envelope: Envelope) {
        if let Some(member) = self.phase.serving_mut().and_then(Serving::member_mut) {
            member.ring.on_heard(cx, from);
        }
        match envelope.kind {
            Kind::Question { patience } => {
                let asker = Asker {
                    sender: from,
                    id: envelope.id,
                    until: cx.now + patience,
                };
                match self.window.admit(cx.now, asker, &envelope.message) {
                    Admission::Fresh => self.on_question(cx, asker, envelope),
                    Admission::Repeated(message) => cx.out.answer(asker, message),
                    Admission::Working => (),
                    Admission::TooMany => cx.out.refuse(
                        asker,
                        Refusal::Busy {
                            retry_after_ms: 100,
                        },
                    ),
                }
            }
            Kind::Answer { .. } => {
                if let Some(outcome) = cx.on_answer(from.peer, envelope) {
                    self.conclude(cx, outcome);
                }
            }
            Kind::OneWay => {
                let member = self.phase.serving_mut().and_then(Serving::member_mut);
                if let (Message::Ring(words), Some(member)) = (envelope.message, member) {
                    member.ring.on_one_way(cx, from, words);
                }
            }
        }
    }

    fn on_question(&mut self, cx: &mut Cx<'_>, asker: Asker, envelope: Envelope) {
        match &mut self.phase {
            Phase::Newcomer(_) => match envelope.message {
                Message::Refused(_) => (), // A refusal is no question.
                Message::Ring(_)
                | Message::Names(_)
                | Message::Catalogue(_)
                | Message::Audio(_)
                | Message::Upkeep(_)
                | Message::Chord(_) => cx.out.refuse(asker, Refusal::WrongRole),
            },
            Phase::Serving(serving) => {
                let order = serving.on_question(cx, &mut self.common, asker, envelope);
                if let Some(order) = order {
                    self.obey(cx, order);
                }
            }
            Phase::Stopping { .. } | Phase::Stopped { .. } => {
                cx.out.refuse(asker, Refusal::ShuttingDown);
            }
        }
    }

    /// Carries out an order of a manager to change the role.
    fn obey(&mut self, cx: &mut Cx<'_>, order: Order) {
        match &mut self.phase {
            Phase::Serving(serving) => {
                if serving.obey(cx, &mut self.common, order) {
                    self.register(cx);
                }
            }
            Phase::Stopping { serving, .. } => {
                if let Some(member) = serving.member_mut() {
                    member.decline(cx, order, "another change is under way");
                }
            }
            Phase::Newcomer(_) | Phase::Stopped { .. } => (),
        }
    }

    /// Hands the end of a question to the part that has asked it.
    fn conclude(&mut self, cx: &mut Cx<'_>, Outcome { purpose, reply }: Outcome<Asked>) {
        match (purpose, &mut self.phase) {
            (Asked::Resolver(role), _) => {
                let resolved = self.common.resolver.conclude(cx, role, reply);
                self.common.note_names(cx, resolved);
                self.register(cx);
            }
            (Asked::Assignment, Phase::Newcomer(assignment)) => {
                if let Some(role) = assignment.conclude(cx.now, reply) {
                    self.take(cx, role);
                }
            }
            (Asked::Registrar(at), Phase::Serving(serving) | Phase::Stopping { serving, .. }) => {
                let registration = serving.registrar.conclude(cx.now, at, reply);
                self.on_registration(cx, registration);
            }
            (purpose, Phase::Serving(serving) | Phase::Stopping { serving, .. }) => {
                serving.conclude(cx, &self.common, purpose, reply);
            }
            (_, Phase::Newcomer(_) | Phase::Stopped { .. }) => (), // The part that asked is gone.
        }
    }

    fn on_lost(&mut self, cx: &mut Cx<'_>, peer: Peer, why: Lost) {
        if why == Lost::Outdated {
            // Every peer would refuse this start, and no answer could ever arrive to say so.
            return self.end_outdated(cx);
        }
        for outcome in cx.on_lost(peer, why) {
            self.conclude(cx, outcome);
        }
        if let Some(serving) = self.phase.serving_mut() {
            serving.on_lost(cx, peer, why);
        }
    }

    fn on_done(&mut self, cx: &mut Cx<'_>, job: JobId, reply: JobReply) {
        match (cx.on_done(job), &mut self.phase) {
            (Some(Ordered::Memory(purpose)), _) => {
                if let Some(recalled) = self.common.memory.on_done(cx.now, purpose, reply) {
                    self.on_recalled(cx, recalled);
                }
            }
            (Some(ordered), Phase::Serving(serving) | Phase::Stopping { serving, .. }) => {
                serving.on_done(cx, &self.common, ordered, reply);
            }
            (Some(_), Phase::Newcomer(_) | Phase::Stopped { .. }) | (None, _) => (),
        }
    }

    fn on_tick(&mut self, cx: &mut Cx<'_>) {
        for outcome in cx.on_tick() {
            self.conclude(cx, outcome);
        }
        self.common.memory.recall_again(cx);
        self.common.resolver.on_tick(cx);
        match &mut self.phase {
            Phase::Newcomer(assignment) => assignment.on_tick(cx),
            Phase::Serving(serving) | Phase::Stopping { serving, .. } => {
                serving.on_tick(cx, &mut self.common);
            }
            Phase::Stopped { .. } => (),
        }
    }

    fn on_stop(&mut self, cx: &mut Cx<'_>) {
        match &mut self.phase {
            Phase::Newcomer(_) => self.end(cx),
            Phase::Serving(serving) => {
                if !serving.hands_over_first(cx, self.common.config.drain) {
                    self.stop(cx);
                }
            }
            Phase::Stopping { .. } | Phase::Stopped { .. } => (),
        }
    }

    /// Says goodbye to the ring and to the DNS nodes.
    fn stop(&mut self, cx: &mut Cx<'_>) {
        let ended = Phase::Stopped { outdated: false };
        match core::mem::replace(&mut self.phase, ended) {
            Phase::Serving(mut serving) => {
                let pause = if serving.owes_copies() {
                    LAST_COPIES
                } else {
                    GOODBYE
                };
                serving.say_goodbye(cx);
                let until = cx.now + pause;
                self.phase = Phase::Stopping { serving, until };
            }
            other @ (Phase::Newcomer(_) | Phase::Stopping { .. } | Phase::Stopped { .. }) => {
                self.phase = other;
            }
        }
    }

    /// Ends a stopping server when its goodbyes have arrived, or their time is over.
    fn end_if_heard(&mut self, cx: &mut Cx<'_>) {
        if let Phase::Stopping { serving, until } = &self.phase
            && (*until <= cx.now || (!Registrar::is_asking(cx) && !serving.owes_copies()))
        {
            self.end(cx);
        }
    }

    fn end(&mut self, cx: &mut Cx<'_>) {
        self.phase = Phase::Stopped { outdated: false };
        cx.out.tell(Notice::Stopped);
    }

    /// After each event, passes changes of the ring and of the known names to all parts.
    fn settle(&mut self, cx: &mut Cx<'_>) {
        if let Some(dns) = self.phase.serving_mut().and_then(Serving::dns_mut) {
            let fresh = dns.take_fresh_dns();
            if !fresh.is_empty() && self.common.resolver.join(fresh) {
                self.register(cx);
            }
        }
        // A server without a role writes nothing.
        if self.phase.serving().is_some() {
            let common = &mut self.common;
            common.memory.look_at_dns(cx.now, &common.resolver);
        }
        let member = self.phase.serving_mut().and_then(Serving::member_mut);
        if let Some(member) = member {
            if member.ring.is_outdated() {
                return self.end_outdated(cx);
            }
            self.common.memory.look(cx.now, member.ring.members());
            if let Some(order) = member.ring.take_own_order() {
                self.obey(cx, order);
            }
        }
        if let Some(serving) = self.phase.serving_mut() {
            serving.see(cx, &mut self.common);
        }
        if let Phase::Serving(serving) = &mut self.phase {
            match serving.leave_if_drained(cx, &mut self.common) {
                Some(HandOver::Changed) => self.register(cx),
                Some(HandOver::Ends) => self.stop(cx),
                None => (),
            }
        }
    }
}

impl Node for Server {
    fn handle(&mut self, now: Time, event: Event, out: &mut Outbox) {
        let cx = &mut self.pending.cx(now, out);
        self.core.handle(cx, event);
    }

    fn set_clock(&mut self, unix_ms: u64) {
        self.core.common.known.unix_ms = unix_ms;
    }

    fn deadline(&self) -> Option<Time> {
        if let Phase::Stopped { .. } = self.core.phase {
            return None;
        }
        let common = &self.core.common;
        let names = earlier(common.resolver.deadline(), common.memory.deadline());
        let parts = earlier(names, self.core.phase.deadline());
        earlier(self.pending.deadline(), parts)
    }

    fn answer_dns(&mut self, now: Time, packet: &[u8], transport: DnsTransport, out: &mut Vec<u8>) {
        let serving = self.core.phase.serving_mut();
        match serving.and_then(Serving::dns_mut) {
            Some(dns) => dns.on_packet(now, packet, transport, out),
            None => out.clear(),
        }
    }

    fn seeks_dns(&self) -> bool {
        let common = &self.core.common;
        let known = common.resolver.dns().next().is_some();
        common.config.seeks_dns && (!known || common.dns_failures > 0)
    }

    fn figures(&self) -> Vec<Figure> {
        let queue = |queue: data::Queue| Figure::Queue {
            name: queue.name,
            length: queue.length,
            most: queue.most,
        };
        let queues = self.queues().into_iter().map(queue);
        let doubts = self.anomalies().map(Anomalies::figures);
        let member = self.core.phase.serving().and_then(Serving::member);
        let ring = member.map(|member| member.ring.figure());
        (queues.chain(doubts.unwrap_or_default()).chain(ring)).collect()
    }
}
