//! The node that runs on servers: names, one role, and what they share.
//!
//! Sorts events by family and merges deadlines; decides nothing itself. Every question passes
//! the window before its role sees it, every answer on its way out.

use alloc::vec::Vec;
use core::time::Duration;

use crate::assign::Assignment;
use crate::contract::chance::Chance;
use crate::contract::id::JobId;
use crate::contract::job::JobReply;
use crate::contract::message::{Kind, Letter, Message, Names, Refusal};
use crate::contract::node::{Asker, Event, Identity, Lost, Node, Outbox, Peer, Sender};
use crate::contract::record::{Address, Record, Role};
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::contract::user::{Level, Notice};
use crate::data::{self, Data, Others};
use crate::dns::{self, Dns};
use crate::registrar::{Registrar, Registration};
use crate::requests::Desk;
use crate::resolver::{self, Resolver};
use crate::router::{self, Router};
use crate::window::{Admission, Window};

/// How long a stopping server waits for its goodbyes to be heard.
const GOODBYE: Duration = Duration::from_secs(1);

/// How a server behaves. Valid by construction: see each part.
#[derive(Clone, Debug)]
pub struct Config {
    /// The role it was started with; none: it asks for one.
    pub role: Option<Role>,
    /// Its share of the circle while it is a data node.
    pub weight: u16,
    /// DNS nodes given by the user.
    pub dns_nodes: Vec<Address>,
    /// Longest time between two look-ups of the groups it works with.
    pub refresh: Duration,
    /// As a DNS node.
    pub dns: dns::Config,
    /// As a router.
    pub router: router::Config,
    /// As a data node.
    pub data: data::Config,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            role: None,
            weight: 1,
            dns_nodes: Vec::new(),
            refresh: Duration::from_secs(5),
            dns: dns::Config::default(),
            router: router::Config::default(),
            data: data::Config::default(),
        }
    }
}

/// A server.
#[derive(Debug)]
pub struct Server {
    config: Config,
    me: Identity,
    address: Address,
    window: Window,
    resolver: Resolver,
    part: Part,
    registrar: Option<Registrar>,
    /// It has told its user that it is registered.
    ready: bool,
    stopping: Option<Time>,
    chance: Chance,
}

#[derive(Debug)]
enum Part {
    /// No role yet.
    Idle(Assignment),
    Dns(Dns),
    Router(Router),
    Data(Data),
}

impl Server {
    /// A server that has not started. `address` is where it listens; the identity says the same.
    pub fn new(config: Config, me: Identity, address: Address, mut chance: Chance) -> Self {
        let mut part = || Chance::from_seed(chance.bits());
        // A DNS node given its own address is not its own peer.
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
            window: Window::default(),
            resolver: Resolver::new(resolver, part()),
            part: Part::Idle(Assignment::new(dns, part())),
            registrar: None,
            ready: false,
            stopping: None,
            chance: part(),
            config,
        }
    }

    /// The role it has at present.
    pub fn role(&self) -> Option<Role> {
        match &self.part {
            Part::Idle(_) => None,
            Part::Dns(_) => Some(Role::Dns),
            Part::Router(_) => Some(Role::Router),
            Part::Data(_) => Some(Role::Data),
        }
    }

    /// The records it would answer with, if it is a DNS node.
    pub fn records(&self, now: Time) -> Vec<Record> {
        match &self.part {
            Part::Dns(dns) => dns.valid(now).collect(),
            Part::Idle(_) | Part::Router(_) | Part::Data(_) => Vec::new(),
        }
    }

    fn on_start(&mut self, now: Time, out: &mut Outbox) {
        self.resolver.start(now, out);
        match (self.config.role, &mut self.part) {
            (Some(role), _) => self.take(now, role, out),
            (None, Part::Idle(assignment)) => {
                out.fact(Level::Info, "no role yet: asking for one".into());
                assignment.start(now, out);
            }
            (None, Part::Dns(_) | Part::Router(_) | Part::Data(_)) => (),
        }
    }

    /// Takes a role: begins its work and registers.
    fn take(&mut self, now: Time, role: Role, out: &mut Outbox) {
        let record = self.record(role);
        let mut part = || Chance::from_seed(self.chance.bits());
        self.registrar = Some(Registrar::new(record, part()));
        self.part = match role {
            Role::Dns => {
                let fresh = self.me.incarnation.0 <= 1;
                let config = self.config.dns.clone();
                let mut dns = Dns::new(config, self.me.node, now, fresh, part());
                dns.keep_own(now, record);
                Part::Dns(dns)
            }
            Role::Router => Part::Router(Router::new(self.config.router.clone(), now, part())),
            Role::Data => {
                let mut data = Data::new(self.config.data.clone(), part());
                data.start(now, out);
                Part::Data(data)
            }
        };
        out.fact(
            Level::Info,
            alloc::format!("role {role} at {}", self.address),
        );
        self.register(now, out);
        if role == Role::Dns {
            self.tell_ready(out);
        }
    }

    fn record(&self, role: Role) -> Record {
        let ttl = self.config.dns.record_ttl.as_millis();
        Record {
            role,
            node: self.me.node,
            incarnation: self.me.incarnation,
            renewals: 0,
            address: self.address,
            features: self.me.features,
            weight: if role == Role::Data {
                self.config.weight
            } else {
                0
            },
            ttl_ms: u32::try_from(ttl).unwrap_or(u32::MAX),
        }
    }

    /// Registers with every DNS node known by now.
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
                Registration::Outdated => {
                    let line = "a newer start of this node is registered: stopping";
                    out.fact(Level::Warn, line.into());
                    out.tell(Notice::Stopped);
                }
            }
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

    fn on_message(&mut self, now: Time, from: Sender, letter: Letter, out: &mut Outbox) {
        match letter.kind {
            Kind::Question { patience } => {
                let asker = Asker {
                    sender: from,
                    id: letter.id,
                    until: now + patience,
                };
                match self.window.admit(now, from, &letter) {
                    Admission::Fresh => self.on_question(now, asker, letter, out),
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
            Kind::Answer { .. } => self.on_answer(now, from.peer, letter, out),
        }
    }

    fn on_question(&mut self, now: Time, asker: Asker, letter: Letter, out: &mut Outbox) {
        if self.stopping.is_some() {
            return out.refuse(asker, Refusal::ShuttingDown);
        }
        let others = others(&self.resolver, &self.registrar);
        match (letter.message, &mut self.part) {
            (Message::Names(Names::Confirm { role }), _) => self.on_confirm(asker, role, out),
            (Message::Names(names), Part::Dns(dns)) => {
                let peers: Vec<Address> = self.resolver.dns().collect();
                dns.on_question(now, asker, names, &peers, out);
            }
            (Message::Catalogue(words), Part::Router(router)) => {
                let own = self.registrar.as_ref().map(Registrar::record);
                let servers = servers(&self.resolver, own);
                router.on_question(now, asker, words, &servers, out);
            }
            (Message::Audio(audio), Part::Data(data)) => {
                if let Some(others) = others {
                    data.on_question(asker, audio, letter.body, others, out);
                }
            }
            (Message::Refused(_), _) => (), // A refusal is no question.
            (Message::Names(_), Part::Idle(_) | Part::Router(_) | Part::Data(_))
            | (Message::Catalogue(_), Part::Idle(_) | Part::Dns(_) | Part::Data(_))
            | (Message::Audio(_), Part::Idle(_) | Part::Dns(_) | Part::Router(_)) => {
                out.refuse(asker, Refusal::WrongRole);
            }
        }
    }

    /// A DNS node asks whether this server still has the role it registered.
    fn on_confirm(&mut self, asker: Asker, role: Role, out: &mut Outbox) {
        match &mut self.registrar {
            Some(registrar) if registrar.record().role == role => {
                let record = registrar.renew();
                out.answer(asker, Message::Names(Names::Confirmed { record }));
            }
            Some(_) | None => out.refuse(asker, Refusal::WrongRole),
        }
    }

    fn on_answer(&mut self, now: Time, from: Peer, letter: Letter, out: &mut Outbox) {
        match (Desk::of(letter.id.0), &mut self.part) {
            (Some(Desk::Resolver), _) => {
                self.resolver.on_answer(now, from, letter, out);
                self.on_resolved(now, out);
            }
            (Some(Desk::Registrar), _) => {
                if let Some(registrar) = &mut self.registrar {
                    let ended = registrar.on_answer(now, from, letter, out);
                    self.on_registrations(ended.into_iter().collect(), out);
                }
            }
            (Some(Desk::Assignment), Part::Idle(assignment)) => {
                if let Some(role) = assignment.on_answer(now, from, letter, out) {
                    self.take(now, role, out);
                }
            }
            (Some(Desk::Dns), Part::Dns(dns)) => dns.on_answer(now, from, letter, out),
            (Some(Desk::Announcer | Desk::Copies), Part::Data(data)) => {
                if let Some(others) = others(&self.resolver, &self.registrar) {
                    data.on_answer(now, from, letter, others, out);
                }
            }
            _ => (), // An answer to a part this server does not have any longer.
        }
    }

    /// What the DNS says has changed: new DNS nodes hear of us, new routers of our songs.
    fn on_resolved(&mut self, now: Time, out: &mut Outbox) {
        self.register(now, out);
        if let (Part::Data(data), Some(others)) =
            (&mut self.part, others(&self.resolver, &self.registrar))
        {
            data.announce(now, others, out);
        }
    }

    fn on_lost(&mut self, now: Time, peer: Peer, why: Lost, out: &mut Outbox) {
        let resolved = self.resolver.on_lost(now, peer, why, out);
        if let Some(registrar) = &mut self.registrar {
            let ended = registrar.on_lost(now, peer, why, out);
            self.on_registrations(ended, out);
        }
        let others = others(&self.resolver, &self.registrar);
        match &mut self.part {
            Part::Idle(assignment) => assignment.on_lost(now, peer, why, out),
            Part::Dns(dns) => dns.on_lost(now, peer, why, out),
            Part::Router(router) => router.on_lost(peer),
            Part::Data(data) => {
                if let Some(others) = others {
                    data.on_lost(now, peer, why, others, out);
                }
            }
        }
        if !resolved.is_empty() {
            self.on_resolved(now, out);
        }
    }

    fn on_done(&mut self, now: Time, job: JobId, reply: JobReply, out: &mut Outbox) {
        if let (Part::Data(data), Some(others)) =
            (&mut self.part, others(&self.resolver, &self.registrar))
        {
            data.on_done(now, job, reply, others, out);
        }
    }

    fn on_tick(&mut self, now: Time, out: &mut Outbox) {
        let resolved = self.resolver.on_tick(now, out);
        if let Some(registrar) = &mut self.registrar {
            let ended = registrar.on_tick(now, out);
            self.on_registrations(ended, out);
        }
        if !resolved.is_empty() {
            self.on_resolved(now, out);
        }
        let others = others(&self.resolver, &self.registrar);
        match &mut self.part {
            Part::Idle(assignment) => assignment.on_tick(now, out),
            Part::Dns(dns) => {
                let peers: Vec<Address> = self.resolver.dns().collect();
                dns.on_tick(now, &peers, out);
            }
            Part::Router(_) => (),
            Part::Data(data) => {
                if let Some(others) = others {
                    data.on_tick(now, others, out);
                }
            }
        }
        self.end_if_heard(now, out);
    }

    fn on_stop(&mut self, now: Time, out: &mut Outbox) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(now + GOODBYE);
        if let Some(registrar) = &mut self.registrar {
            registrar.withdraw(now, out);
        }
        self.end_if_heard(now, out);
    }

    /// Ends a stopping server once its goodbyes are heard, or their time is over.
    fn end_if_heard(&mut self, now: Time, out: &mut Outbox) {
        let Some(until) = self.stopping else {
            return;
        };
        let heard = !self.registrar.as_ref().is_some_and(Registrar::is_asking);
        if heard || until <= now {
            self.stopping = Some(Time::NEVER);
            out.tell(Notice::Stopped);
        }
    }
}

impl Node for Server {
    fn handle(&mut self, now: Time, event: Event, out: &mut Outbox) {
        let mark = out.len();
        match event {
            Event::Start => self.on_start(now, out),
            Event::Tick => self.on_tick(now, out),
            Event::Message { from, letter } => self.on_message(now, from, letter, out),
            Event::Lost { peer, why } => self.on_lost(now, peer, why, out),
            Event::Done { job, reply } => self.on_done(now, job, reply, out),
            Event::User(_) => (), // A server has no user.
            Event::Stop => self.on_stop(now, out),
        }
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
        earlier(stopping, earlier(names, part))
    }
}

/// What a data node needs to know of the others. None: it has no record of its own yet.
fn others<'a>(resolver: &'a Resolver, registrar: &Option<Registrar>) -> Option<Others<'a>> {
    Some(Others {
        data: resolver.records(Role::Data),
        routers: resolver.records(Role::Router),
        own: registrar.as_ref()?.record(),
    })
}

/// Every record known, of every group, this node's own among them.
fn servers(resolver: &Resolver, own: Option<Record>) -> Vec<Record> {
    let groups = Role::ALL.into_iter();
    let known = groups.flat_map(|role| resolver.records(role).iter().copied());
    let others = known.filter(|record| own.is_none_or(|own| own.node != record.node));
    others.chain(own).collect()
}
