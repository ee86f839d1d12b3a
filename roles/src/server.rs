//! The node that runs on servers: name resolution, the ring, one role, and the parts they share.
//!
//! Routes each event to its part and merges the deadlines; decides nothing itself. Every question
//! passes the dedup window before a role sees it, and every answer passes it on the way out.

mod circle;
mod known;
mod memory;
mod role;

use alloc::vec::Vec;
use core::time::Duration;

use crate::anomalies::Anomalies;
use crate::chord::{self, Chord};
use crate::contract::id::JobId;
use crate::contract::job::JobReply;
use crate::contract::member::Epoch;
use crate::contract::member::Traits;
use crate::contract::message::{Envelope, Kind, Message, Names, Refusal};
use crate::contract::node::{Asker, Event, Identity, Lost, Node, Outbox, Peer, Sender};
use crate::contract::record::{Address, Record, Role};
use crate::contract::ring::Ring as RingMessage;
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::contract::user::{Level, Notice};
use crate::data;
use crate::dedup::{self, Admission, DedupWindow};
use crate::dns;
use crate::registrar::{Registrar, Registration};
use crate::requests::Requester;
use crate::resolver::{self, Resolved, Resolver};
use crate::ring::{self, Ring};
use crate::role_assignment::{Assignment, Reservations};
use crate::router;

use known::Known;
use memory::Memory;
use role::{Leaving, Part, Retiring};

/// Consecutive failed DNS look-ups after which the log says so.
const DNS_FAILURES_TOLD: u32 = 6;

/// How long a stopping server waits until its goodbyes have arrived.
const GOODBYE: Duration = Duration::from_secs(1);

/// The same while it still has to copy songs that may be nowhere else.
const LAST_COPIES: Duration = Duration::from_secs(10);

/// The configuration of a server. Valid by construction: see each part.
#[derive(Clone, Debug)]
pub struct Config {
    /// The fixed role. None: the server asks for a role, and a manager may change it later.
    pub role: Option<Role>,
    /// Its weight on the circle while it is a data node.
    pub weight: u16,
    /// The DNS nodes that the user has given.
    pub dns_nodes: Vec<Address>,
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
    /// Configuration of a data node's place on the circle.
    pub chord: chord::Config,
}

impl Config {
    /// Longest time from the order to stop to the end. With `drain` it is long enough that the
    /// operator decides when to stop waiting.
    pub fn stop_within(&self) -> Duration {
        let drain = if self.drain {
            role::HANDING_OVER_TO_END
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
    config: Config,
    me: Identity,
    address: Address,
    window: DedupWindow,
    resolver: Resolver,
    part: Part,
    /// The previous role, which still answers for a while after a change of role.
    retiring: Option<Retiring>,
    /// Set while a data node hands its songs over, before it changes its role or ends.
    leaving: Option<Leaving>,
    /// Until then this data node declines orders to change, because another data node's disk was
    /// full.
    stays_until: Time,
    /// Consecutive look-ups that no DNS node has answered.
    dns_failures: u32,
    /// The server ends because another node knows a later start of it.
    outdated: bool,
    /// The census for which this server last changed its role.
    changed_for: Option<Epoch>,
    /// Present in data nodes and routers: they are members of the ring.
    ring: Option<Ring>,
    /// Present in data nodes: they have a place on the circle.
    chord: Option<Chord>,
    known: Known,
    memory: Memory,
    /// Roles promised to joining servers that have found no DNS node.
    reservations: Reservations,
    registrar: Option<Registrar>,
    /// The user has been told that the server is registered.
    ready: bool,
    stopping: Option<Time>,
    rng: Rng,
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
            watched: Role::ALL.to_vec(),
            refresh: config.refresh,
        };
        Server {
            me,
            address,
            window: DedupWindow::default(),
            resolver: Resolver::new(resolver, part()),
            part: Part::Idle(Assignment::new(dns, part())),
            retiring: None,
            leaving: None,
            stays_until: Time::ZERO,
            dns_failures: 0,
            outdated: false,
            changed_for: None,
            ring: None,
            chord: None,
            known: Known::default(),
            memory: Memory::new(),
            reservations: Reservations::default(),
            registrar: None,
            ready: false,
            stopping: None,
            rng: part(),
            config,
        }
    }

    /// The current role; none until a role is assigned.
    pub fn role(&self) -> Option<Role> {
        self.part.role()
    }

    /// The census for which this server last changed its role since its start.
    pub fn changed_for(&self) -> Option<Epoch> {
        self.changed_for
    }

    /// The ring, if this server is a member.
    pub fn ring(&self) -> Option<&Ring> {
        self.ring.as_ref()
    }

    /// The lengths and bounds of the queues of a data node, the dedup window last. Other roles
    /// report only the window.
    pub fn queues(&self) -> Vec<data::Queue> {
        let window = data::Queue {
            name: "questions",
            length: self.window.len(),
            most: dedup::LENGTH_MAX,
        };
        match &self.part {
            Part::Data(data) => data.queues().into_iter().chain([window]).collect(),
            Part::Idle(_) | Part::Dns(_) | Part::Router(_) => [window].into(),
        }
    }

    /// The anomalies noticed by a data node or router: statements of other nodes about songs and
    /// copies that cannot be true. Other servers have none.
    pub fn anomalies(&self) -> Option<&Anomalies> {
        match &self.part {
            Part::Data(data) => Some(data.anomalies()),
            Part::Router(router) => Some(router.anomalies()),
            Part::Idle(_) | Part::Dns(_) => None,
        }
    }

    /// Whether the server ends because another node knows a later start of it.
    pub fn is_outdated(&self) -> bool {
        self.outdated
    }

    /// Whether this data node is handing its songs over.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// The valid records of a DNS node; none for other roles.
    pub fn records(&self, now: Time) -> Vec<Record> {
        match &self.part {
            Part::Dns(dns) => dns.valid(now).collect(),
            Part::Idle(_) | Part::Router(_) | Part::Data(_) => Vec::new(),
        }
    }

    fn on_start(&mut self, now: Time, out: &mut Outbox) {
        self.resolver.start(now, out);
        if self.config.role != Some(Role::Dns) {
            self.memory.recall(out);
        }
        if let Some(role) = self.config.role {
            self.take(now, role, out);
        }
    }

    /// Registers with every DNS node known so far, unless the server is stopping.
    fn register(&mut self, now: Time, out: &mut Outbox) {
        if self.stopping.is_some() {
            return;
        }
        if let Some(registrar) = &mut self.registrar {
            let own = self.address;
            let dns = self.resolver.dns().filter(|at| *at != own);
            registrar.serve(now, dns);
            let ended = registrar.on_tick(now, out);
            self.on_registrations(ended, out);
        }
    }

    fn on_registrations(&mut self, ended: Vec<Registration>, out: &mut Outbox) {
        for registration in ended {
            match registration {
                Registration::Stands(_) => self.tell_ready(out),
                Registration::Failed(_) => (),
                Registration::Outdated => self.end_outdated(out),
            }
        }
    }

    /// Ends the server: its disk is an old copy, or runs on two machines. The next start has a
    /// higher incarnation.
    fn end_outdated(&mut self, out: &mut Outbox) {
        if self.stopping != Some(Time::NEVER) {
            self.stopping = Some(Time::NEVER);
            self.outdated = true;
            let line = "a newer start of this node is known, or one elsewhere: stopping";
            out.fact(Level::Warn, line.into());
            out.tell(Notice::Stopped);
        }
    }

    fn tell_ready(&mut self, out: &mut Outbox) {
        if let Some(registrar) = &self.registrar
            && !self.ready
            && self.stopping.is_none()
        {
            self.ready = true;
            out.tell(Notice::Ready {
                record: registrar.record(),
            });
        }
    }

    fn on_message(&mut self, now: Time, from: Sender, envelope: Envelope, out: &mut Outbox) {
        if let Some(ring) = &mut self.ring {
            ring.on_heard(now, from, out);
        }
        match envelope.kind {
            Kind::Question { patience } => {
                let asker = Asker {
                    sender: from,
                    id: envelope.id,
                    until: now + patience,
                };
                match self.window.admit(now, from, &envelope) {
                    Admission::Fresh => self.on_question(now, asker, envelope, out),
                    Admission::Repeated(message) => out.answer(asker, message),
                    Admission::Working => (),
                    Admission::TooMany => out.refuse(
                        asker,
                        Refusal::Busy {
                            retry_after_ms: 100,
                        },
                    ),
                }
            }
            Kind::Answer { .. } => self.on_answer(now, from.peer, envelope, out),
            Kind::OneWay => self.on_one_way(now, from, envelope, out),
        }
    }

    fn on_one_way(&mut self, now: Time, from: Sender, envelope: Envelope, out: &mut Outbox) {
        if let (Message::Ring(words), Some(ring)) = (envelope.message, &mut self.ring) {
            ring.on_one_way(now, from, words, out);
        }
    }

    fn on_question(&mut self, now: Time, asker: Asker, envelope: Envelope, out: &mut Outbox) {
        if self.stopping.is_some() {
            return out.refuse(asker, Refusal::ShuttingDown);
        }
        match envelope.message {
            Message::Refused(_) => (), // A refusal is no question.
            Message::Ring(words) => self.on_ring(now, asker, words, out),
            Message::Names(names) => self.on_names(now, asker, names, out),
            // This node has stalled and does not know yet whether it still has its role.
            Message::Catalogue(_) | Message::Audio(_) | Message::Upkeep(_) | Message::Chord(_)
                if self.ring.as_ref().is_some_and(|ring| ring.is_unsure(now)) =>
            {
                out.refuse(asker, Refusal::NotReady);
            }
            Message::Catalogue(words) => self.on_catalogue(now, asker, words, out),
            Message::Audio(audio) => self.on_audio(asker, audio, envelope.body, out),
            Message::Upkeep(words) => self.on_upkeep(asker, words, out),
            Message::Chord(words) => self.on_chord(now, asker, words, out),
        }
    }

    fn on_ring(&mut self, now: Time, asker: Asker, words: RingMessage, out: &mut Outbox) {
        let Some(ring) = &mut self.ring else {
            return out.refuse(asker, Refusal::WrongRole);
        };
        if let Some(order) = ring.on_question(now, asker, words, out) {
            self.obey(now, order, out);
        }
    }

    fn on_names(&mut self, now: Time, asker: Asker, names: Names, out: &mut Outbox) {
        match (names, &mut self.part, &self.ring) {
            (Names::Confirm { role }, ..) => self.on_confirm(asker, role, out),
            (names, Part::Dns(dns), _) => {
                let peers: Vec<Address> = self.resolver.dns().collect();
                dns.on_question(now, asker, names, &peers, out);
            }
            // When no DNS node reserves roles, the member that admits the joining server does.
            (Names::Reserve, _, Some(ring)) => {
                let with = |role| ring.members().with_role(role);
                let there = (with(Role::Data), with(Role::Router));
                let until = now + self.config.dns.reservation;
                let role = (self.reservations).reserve(now, asker.sender.node, there, until);
                out.answer(asker, Message::Names(Names::Reserved { role }));
            }
            (_, Part::Idle(_) | Part::Router(_) | Part::Data(_), _) => {
                out.refuse(asker, Refusal::WrongRole);
            }
        }
    }

    /// A DNS node asks whether this server still has the role that it registered.
    fn on_confirm(&mut self, asker: Asker, role: Role, out: &mut Outbox) {
        match &mut self.registrar {
            Some(registrar) if registrar.record().role == role => {
                let record = registrar.renew();
                out.answer(asker, Message::Names(Names::Confirmed { record }));
            }
            Some(_) | None => out.refuse(asker, Refusal::WrongRole),
        }
    }

    fn on_answer(&mut self, now: Time, from: Peer, envelope: Envelope, out: &mut Outbox) {
        match (Requester::of(envelope.id.0), &mut self.part) {
            (Some(Requester::Resolver), _) => {
                let resolved = self.resolver.on_answer(now, from, envelope, out);
                self.note_names(resolved, out);
                self.register(now, out);
            }
            (Some(Requester::Registrar), _) => {
                if let Some(registrar) = &mut self.registrar {
                    let ended = registrar.on_answer(now, from, envelope, out);
                    self.on_registrations(ended.into_iter().collect(), out);
                }
            }
            (Some(Requester::Ring), _) => {
                if let Some(ring) = &mut self.ring {
                    ring.on_answer(now, from, envelope, out);
                }
            }
            (Some(Requester::Chord), _) => self.on_chord_answer(now, from, envelope, out),
            (Some(Requester::Assignment), Part::Idle(assignment)) => {
                if let Some(role) = assignment.on_answer(now, from, envelope, out) {
                    self.take(now, role, out);
                }
            }
            (Some(Requester::Dns), Part::Dns(dns)) => dns.on_answer(now, from, envelope, out),
            (
                Some(
                    Requester::Announcer
                    | Requester::Replication
                    | Requester::Upkeep
                    | Requester::Scrub
                    | Requester::Removal,
                ),
                Part::Data(data),
            ) => {
                if let Some(registrar) = &self.registrar {
                    let others = self.known.others(registrar.record());
                    data.on_answer(now, from, envelope, others, out);
                }
            }
            _ => (), // The role that asked is gone.
        }
    }

    fn on_lost(&mut self, now: Time, peer: Peer, why: Lost, out: &mut Outbox) {
        if why == Lost::Outdated {
            // Every peer would refuse this start, and no answer could ever arrive to say so.
            return self.end_outdated(out);
        }
        let resolved = self.resolver.on_lost(now, peer, why, out);
        if let Some(registrar) = &mut self.registrar {
            let ended = registrar.on_lost(now, peer, why, out);
            self.on_registrations(ended, out);
        }
        if let Some(ring) = &mut self.ring {
            ring.on_lost(now, peer, why, out);
        }
        self.on_chord_lost(now, peer, why, out);
        match &mut self.part {
            Part::Idle(assignment) => assignment.on_lost(now, peer, why, out),
            Part::Dns(dns) => dns.on_lost(now, peer, why, out),
            Part::Router(router) => router.on_lost(now, peer),
            Part::Data(data) => {
                if let Some(registrar) = &self.registrar {
                    let others = self.known.others(registrar.record());
                    data.on_lost(now, peer, why, others, out);
                }
            }
        }
        if !resolved.is_empty() {
            self.note_names(resolved, out);
            self.register(now, out);
        }
    }

    /// Tells the operator when no DNS node answers any longer, and when one answers again.
    fn note_names(&mut self, resolved: impl IntoIterator<Item = Resolved>, out: &mut Outbox) {
        for Resolved { failed, .. } in resolved {
            let before = self.dns_failures;
            self.dns_failures = failed.map_or(0, |_| before.saturating_add(1));
            match failed {
                Some(why) if self.dns_failures == DNS_FAILURES_TOLD => {
                    let line = alloc::format!("no dns node answers, the last one: {why}");
                    out.fact(Level::Warn, line);
                }
                None if before >= DNS_FAILURES_TOLD => {
                    out.fact(Level::Info, "a dns node answers again".into());
                }
                Some(_) | None => (),
            }
        }
    }

    fn on_done(&mut self, now: Time, job: JobId, reply: JobReply, out: &mut Outbox) {
        match Requester::of(job.0) {
            Some(Requester::Ring) => {
                if let Some(recalled) = self.memory.on_done(now, job, reply) {
                    self.on_recalled(now, recalled, out);
                }
            }
            _ => self.on_data_done(now, job, reply, out),
        }
    }

    fn on_tick(&mut self, now: Time, out: &mut Outbox) {
        self.memory.recall_again(now, out);
        let resolved = self.resolver.on_tick(now, out);
        if let Some(registrar) = &mut self.registrar {
            let ended = registrar.on_tick(now, out);
            self.on_registrations(ended, out);
        }
        if !resolved.is_empty() {
            self.note_names(resolved, out);
            self.register(now, out);
        }
        self.on_ring_tick(now, out);
        self.on_chord_tick(now, out);
        self.retiring.take_if(|old| old.is_over(now));
        match &mut self.part {
            Part::Idle(assignment) => assignment.on_tick(now, out),
            Part::Dns(dns) => {
                let peers: Vec<Address> = self.resolver.dns().collect();
                dns.on_tick(now, &peers, out);
            }
            Part::Router(_) => (),
            Part::Data(data) => {
                if let Some(registrar) = &self.registrar {
                    let others = self.known.others(registrar.record());
                    data.on_tick(now, others, out);
                }
            }
        }
        self.end_if_heard(now, out);
    }

    fn on_ring_tick(&mut self, now: Time, out: &mut Outbox) {
        let Some(ring) = &mut self.ring else {
            return;
        };
        if let Part::Data(data) = &mut self.part {
            ring.set_load(data.load());
            ring.set_trait(now, Traits::SICK, data.is_sick(now, out));
        }
        let named = [Role::Data, Role::Router].map(|role| self.resolver.records(role));
        ring.on_tick(now, &named.concat(), out);
        self.memory.on_tick(now, ring.members(), out);
    }

    fn on_stop(&mut self, now: Time, out: &mut Outbox) {
        if self.stopping.is_some() || self.hands_over_first(now, out) {
            return;
        }
        self.stop(now, out);
    }

    pub(super) fn stop(&mut self, now: Time, out: &mut Outbox) {
        let owes = matches!(&self.part, Part::Data(data) if data.owes_copies());
        self.stopping = Some(now + if owes { LAST_COPIES } else { GOODBYE });
        if let Some(ring) = &mut self.ring {
            ring.leave(now, out);
        }
        if let Some(registrar) = &mut self.registrar {
            registrar.withdraw(now, out);
        }
        self.end_if_heard(now, out);
    }

    /// Ends a stopping server when its goodbyes have arrived, or their time is over.
    fn end_if_heard(&mut self, now: Time, out: &mut Outbox) {
        let Some(until) = self.stopping else {
            return;
        };
        let asking = self.registrar.as_ref().is_some_and(Registrar::is_asking);
        let owes = matches!(&self.part, Part::Data(data) if data.owes_copies());
        let heard = !asking && !owes;
        if heard || until <= now {
            self.stopping = Some(Time::NEVER);
            out.tell(Notice::Stopped);
        }
    }

    /// After each event, passes changes of the ring and of the known names to all parts.
    fn settle(&mut self, now: Time, out: &mut Outbox) {
        if self.ring.as_ref().is_some_and(Ring::is_outdated) {
            self.end_outdated(out);
        }
        if let Some(ring) = &mut self.ring {
            self.memory.look(now, ring.members());
            if let Some(order) = ring.take_own_order() {
                self.obey(now, order, out);
            }
        }
        let members = self.ring.as_ref().map(Ring::members);
        let changed = self.known.refresh(self.me.node, members, &self.resolver);
        if changed {
            self.see_circle(now, out);
        }
        if let (true, Part::Data(data), Some(registrar)) =
            (changed, &mut self.part, &self.registrar)
        {
            data.announce(now, self.known.others(registrar.record()), out);
        }
        self.leave_if_drained(now, out);
    }
}

impl Node for Server {
    fn handle(&mut self, now: Time, event: Event, out: &mut Outbox) {
        let mark = out.len();
        if let (Some(ring), None) = (&mut self.ring, self.stopping) {
            ring.on_event(now, out);
        }
        match event {
            Event::Start => self.on_start(now, out),
            Event::Tick => self.on_tick(now, out),
            Event::Message { from, envelope } => self.on_message(now, from, envelope, out),
            Event::Lost { peer, why } => self.on_lost(now, peer, why, out),
            Event::Done { job, reply } => self.on_done(now, job, reply, out),
            Event::User(_) => (), // A server has no user.
            Event::Stop => self.on_stop(now, out),
        }
        self.settle(now, out);
        if self.stopping.is_some_and(|until| until < Time::NEVER) {
            self.end_if_heard(now, out);
        }
        self.window.observe(now, mark, out);
    }

    fn deadline(&self) -> Option<Time> {
        let part = match &self.part {
            Part::Idle(assignment) => assignment.deadline(),
            Part::Dns(dns) => dns.deadline(),
            Part::Router(_) => None,
            Part::Data(data) => data.deadline(),
        };
        let registrar = self.registrar.as_ref().and_then(Registrar::deadline);
        let names = earlier(self.resolver.deadline(), registrar);
        let stopping = self.stopping.filter(|until| *until < Time::NEVER);
        let own = earlier(stopping, earlier(names, part));
        if self.ring.is_none() {
            return earlier(own, self.memory.deadline());
        }
        let ring = self.ring.as_ref().and_then(Ring::deadline);
        let ring = earlier(ring, self.chord.as_ref().and_then(Chord::deadline));
        let change = self.leaving.as_ref().map(Leaving::until);
        let retiring = self.retiring.as_ref().map(Retiring::until);
        let role = earlier(change, earlier(retiring, self.memory.deadline()));
        earlier(own, earlier(ring, role))
    }
}
