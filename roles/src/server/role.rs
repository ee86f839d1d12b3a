//! Taking a role, and changing it.
//!
//! A server that changes its role keeps its address and its place in the ring. The previous role
//! goes on answering questions until the others have learned of the change.

use alloc::vec::Vec;
use core::time::Duration;

use super::Server;
use super::memory::Recalled;
use crate::contract::id::JobId;
use crate::contract::job::JobReply;
use crate::contract::member::{Member, MemberState, Traits};
use crate::contract::message::{Audio, Catalogue, Refusal};
use crate::contract::node::{Asker, Outbox};
use crate::contract::record::{Record, Role};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::upkeep::Upkeep;
use crate::contract::user::{Level, Notice};
use crate::data::{Data, Others};
use crate::dns::Dns;
use crate::registrar::Registrar;
use crate::resolver::Resolver;
use crate::ring::{Order, Ring};
use crate::ring_mutants::RingMutant;
use crate::role_assignment::Assignment;
use crate::router::{Router, Sight};

/// How long the previous role goes on answering.
const RETIREMENT: Duration = Duration::from_secs(10);

/// How long a data node may hand its songs over before it keeps its role after all.
const HANDING_OVER: Duration = Duration::from_secs(900);

/// The same before the node ends. It is long enough that the operator decides when to stop waiting.
pub(super) const HANDING_OVER_TO_END: Duration = Duration::from_secs(24 * 3600);

/// How long a data node declines orders after it met a full disk. Another member may be able to
/// change instead.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(60);

/// The current role and its state.
#[derive(Debug)]
pub(super) enum Part {
    /// No role yet: the server is asking for one.
    Idle(Assignment),
    /// Name resolution.
    Dns(Dns),
    /// The catalogue of songs.
    Router(Router),
    /// The songs themselves.
    Data(Data),
}

/// The previous role, which answers until its time is over.
#[derive(Debug)]
pub(super) struct Retiring {
    part: Part,
    until: Time,
}

/// Why a data node hands its songs over, and how long it may take.
#[derive(Debug)]
pub(super) struct Leaving {
    /// The order to take another role. None: the node ends afterwards.
    order: Option<Order>,
    until: Time,
}

impl Leaving {
    pub(super) fn until(&self) -> Time {
        self.until
    }
}

impl Part {
    pub(super) fn role(&self) -> Option<Role> {
        match self {
            Part::Idle(_) => None,
            Part::Dns(_) => Some(Role::Dns),
            Part::Router(_) => Some(Role::Router),
            Part::Data(_) => Some(Role::Data),
        }
    }
}

impl Retiring {
    pub(super) fn until(&self) -> Time {
        self.until
    }

    pub(super) fn is_over(&self, now: Time) -> bool {
        self.until <= now
    }
}

impl Server {
    /// Uses what an earlier run has stored: the members to look for, and the role. The server takes
    /// the stored role again, because a data node that came back as a router would hold songs and
    /// not serve them.
    pub(super) fn on_recalled(&mut self, now: Time, recalled: Recalled, out: &mut Outbox) {
        let (members, role) = recalled;
        match (&mut self.part, role) {
            (Part::Idle(_), Some(role @ (Role::Data | Role::Router))) => {
                self.take(now, role, out);
            }
            (Part::Idle(assignment), _) => {
                out.fact(Level::Info, "no role yet: asking for one".into());
                assignment.remember(members.iter().map(|m| m.address).collect());
                assignment.start(now, out);
            }
            (Part::Dns(_) | Part::Router(_) | Part::Data(_), _) => (),
        }
        if let Some(ring) = &mut self.ring {
            ring.remember(&members);
        }
    }

    /// Takes the first role: begins its work, joins the ring, registers.
    pub(super) fn take(&mut self, now: Time, role: Role, out: &mut Outbox) {
        let record = self.record(role);
        self.registrar = Some(Registrar::new(record, self.draw()));
        self.part = self.begin(now, role, out);
        if role != Role::Dns {
            let (config, rng) = (self.config.ring.clone(), self.draw());
            self.ring = Some(Ring::new(config, now, self.member(record), rng));
        }
        let line = alloc::format!("role {role} at {}", self.address);
        out.fact(Level::Info, line);
        self.register(now, out);
        if role == Role::Dns {
            self.tell_ready(out);
        }
    }

    fn begin(&mut self, now: Time, role: Role, out: &mut Outbox) -> Part {
        match role {
            Role::Dns => {
                let fresh = self.me.incarnation.0 <= 1;
                let config = self.config.dns.clone();
                let mut dns = Dns::new(config, self.me.node, now, fresh, self.draw());
                dns.keep_own(now, self.record(role));
                Part::Dns(dns)
            }
            Role::Router => {
                let config = self.config.router.clone();
                Part::Router(Router::new(config, now, self.draw()))
            }
            Role::Data => {
                let mut data = Data::new(self.config.data.clone(), self.draw());
                data.start(now, out);
                Part::Data(data)
            }
        }
    }

    fn draw(&mut self) -> Rng {
        Rng::from_seed(self.rng.bits())
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

    fn member(&self, record: Record) -> Member {
        let auto = self.config.role.is_none();
        Member {
            node: record.node,
            incarnation: record.incarnation,
            version: 0,
            state: MemberState::Alive,
            role: record.role,
            address: record.address,
            features: record.features,
            weight: record.weight,
            traits: Traits::default().with(Traits::AUTO, auto),
        }
    }

    /// Carries out an order of a manager to change the role.
    pub(super) fn obey(&mut self, now: Time, order: Order, out: &mut Outbox) {
        if self.leaving.is_some() || self.stopping.is_some() {
            return self.decline(now, order, "another change is under way", out);
        }
        if matches!(self.part, Part::Data(_)) && now < self.stays_until {
            return self.decline(now, order, "nobody has room for its songs", out);
        }
        let Some(ring) = &mut self.ring else {
            return;
        };
        // Every census from here on counts this node in its future role.
        ring.set_trait(now, Traits::DRAINING, true);
        match &mut self.part {
            Part::Router(_) => self.switch(now, order, out),
            Part::Data(data) => {
                // The order is accepted before the songs are handed over. The manager waits only a
                // few seconds for the answer, and a hand-over takes longer.
                ring.accept(order, out);
                data.drain(now);
                self.leaving = Some(Leaving {
                    order: Some(order),
                    until: now + HANDING_OVER,
                });
            }
            Part::Idle(_) | Part::Dns(_) => self.decline(now, order, "it has no such role", out),
        }
    }

    /// Starts to hand the songs over when a data node with `drain` is told to stop; returns whether
    /// it did. When told to stop a second time, the node stops at once.
    pub(super) fn hands_over_first(&mut self, now: Time, out: &mut Outbox) -> bool {
        let twice = (self.leaving.take()).is_some_and(|leaving| leaving.order.is_none());
        let (Part::Data(data), Some(ring), true) =
            (&mut self.part, &mut self.ring, self.config.drain && !twice)
        else {
            return false;
        };
        out.fact(Level::Info, "hands its songs over before it stops".into());
        ring.restate(now, |me| {
            me.traits = me.traits.with(Traits::DRAINING, true);
            // Draining without AUTO tells the others that this node ends and takes no other role.
            me.traits = me.traits.with(Traits::AUTO, false);
        });
        data.drain(now);
        self.leaving = Some(Leaving {
            order: None,
            until: now + HANDING_OVER_TO_END,
        });
        true
    }

    /// Ends the hand-over when every song is with all nodes that shall have it, or when it has
    /// failed.
    pub(super) fn leave_if_drained(&mut self, now: Time, out: &mut Outbox) {
        let (Some(leaving), Part::Data(data)) = (&self.leaving, &self.part) else {
            return;
        };
        let (order, over) = (leaving.order, leaving.until <= now);
        // The other data nodes, which would have kept the role, are gone.
        let last = self.ring.as_ref().is_some_and(|ring| !ring.others_stay());
        if order.is_some() && last {
            let line = "stays what it is: nobody else keeps songs";
            out.fact(Level::Info, line.into());
            self.stay(now);
        } else if data.is_drained() {
            self.leaving = None;
            match order {
                Some(order) => self.switch(now, order, out),
                None => self.stop(now, out),
            }
        } else if order.is_some() && data.meets_full_disk() {
            let line = "stays what it is: a disk that should take its songs is full";
            out.fact(Level::Warn, line.into());
            self.stays_until = now + FULL_DISK_PAUSE;
            self.stay(now);
        } else if over {
            out.fact(Level::Warn, "could not hand all its songs over".into());
            self.stay(now);
            if order.is_none() {
                self.stop(now, out);
            }
        }
    }

    /// Stops handing over.
    fn stay(&mut self, now: Time) {
        let leaving = self.leaving.take();
        // A node that is about to end remains marked as draining. Otherwise the others would count
        // on it for a moment.
        if leaving.is_some_and(|leaving| leaving.order.is_some())
            && let Some(ring) = &mut self.ring
        {
            ring.set_trait(now, Traits::DRAINING, false);
        }
    }

    fn decline(&mut self, now: Time, order: Order, why: &str, out: &mut Outbox) {
        let line = alloc::format!("stays what it is: {why} epoch={}", order.epoch);
        out.fact(Level::Info, line);
        if let Some(ring) = &mut self.ring {
            if self.leaving.is_none() {
                ring.set_trait(now, Traits::DRAINING, false);
            }
            ring.decline(now, order, why, out);
        }
    }

    /// Changes the role: in the ring, at every DNS node, and for every question that arrives.
    fn switch(&mut self, now: Time, order: Order, out: &mut Outbox) {
        let role = order.role;
        let record = self.record(role);
        let part = self.begin(now, role, out);
        let part = core::mem::replace(&mut self.part, part);
        let until = now + RETIREMENT;
        self.retiring = Some(Retiring { part, until });
        self.changed_for = Some(order.epoch);
        let line = alloc::format!("role {role} from here on epoch={}", order.epoch);
        out.fact(Level::Info, line);
        if let Some(ring) = &mut self.ring {
            ring.restate(now, |me| {
                me.role = role;
                me.weight = record.weight;
                me.traits = me.traits.with(Traits::DRAINING, false);
            });
            if role == Role::Data {
                ring.accept(order, out); // A data node accepted before its hand-over.
            }
        }
        if let Some(registrar) = &mut self.registrar
            && !self.config.ring.mutants.has(RingMutant::StaysRegistered)
        {
            registrar.change(now, record);
            // The process that started this node learns its role.
            let record = registrar.record();
            out.tell(Notice::Ready { record });
        }
        self.register(now, out);
    }

    pub(super) fn on_catalogue(
        &mut self,
        now: Time,
        asker: Asker,
        words: Catalogue,
        out: &mut Outbox,
    ) {
        let own = self.registrar.as_ref().map(Registrar::record);
        let servers = servers(
            now,
            (&self.known.data, &self.known.routers),
            &self.resolver,
            own,
        );
        let sight = Sight {
            servers: &servers,
            ring: self.ring.as_ref(),
        };
        let retiring = self.retiring.as_mut().map(|old| &mut old.part);
        match (&mut self.part, retiring) {
            (Part::Router(router), _) => router.on_question(now, asker, words, sight, out),
            // The retired router accepts no announcements, but answers with what it knows.
            (_, Some(Part::Router(router))) if !matches!(words, Catalogue::Announce(_)) => {
                router.on_question(now, asker, words, sight, out);
            }
            (Part::Idle(_) | Part::Dns(_) | Part::Data(_), _) => {
                out.refuse(asker, Refusal::WrongRole);
            }
        }
    }

    pub(super) fn on_upkeep(&mut self, asker: Asker, words: Upkeep, out: &mut Outbox) {
        match (&mut self.part, &self.registrar) {
            (Part::Data(data), Some(registrar)) => {
                let others = self.known.others(registrar.record());
                data.on_upkeep(asker, words, others, out);
            }
            (Part::Idle(_) | Part::Dns(_) | Part::Router(_) | Part::Data(_), _) => {
                out.refuse(asker, Refusal::WrongRole);
            }
        }
    }

    pub(super) fn on_audio(&mut self, asker: Asker, audio: Audio, body: Vec<u8>, out: &mut Outbox) {
        let Some(registrar) = &self.registrar else {
            return out.refuse(asker, Refusal::WrongRole);
        };
        // A node that is cut off accepts no new songs, because no node could copy them.
        let deaf = self.ring.as_ref().is_some_and(Ring::blames_itself);
        if deaf && let Audio::Offer { copy: false, .. } = audio {
            return out.refuse(asker, Refusal::NotReady);
        }
        let lists = matches!(audio, Audio::ListSongs { .. });
        if self.leaving.is_some() && matches!(audio, Audio::Offer { .. }) {
            // A song accepted during the hand-over would have to be handed over, too.
            return out.refuse(asker, Refusal::NotReady);
        }
        let others = self.known.others(registrar.record());
        let retiring = self.retiring.as_mut().map(|old| &mut old.part);
        match (&mut self.part, retiring) {
            (Part::Data(data), _) => data.on_question(asker, audio, body, others, out),
            (_, Some(Part::Data(data))) if audio.is_read() && !lists => {
                data.on_question(asker, audio, body, others, out);
            }
            (Part::Idle(_) | Part::Dns(_) | Part::Router(_), _) => {
                out.refuse(asker, Refusal::WrongRole);
            }
        }
    }

    /// Takes the reply to a job of the data role, which this server has or has just left.
    pub(super) fn on_data_done(
        &mut self,
        now: Time,
        job: JobId,
        reply: JobReply,
        out: &mut Outbox,
    ) {
        let Some(registrar) = &self.registrar else {
            return;
        };
        let others = self.known.others(registrar.record());
        let retiring = self.retiring.as_mut().map(|old| &mut old.part);
        match (&mut self.part, retiring) {
            (Part::Data(data), _) => data.on_done(now, job, reply, others, out),
            (_, Some(Part::Data(data))) => {
                // A retired data role announces nothing and copies nothing, so it sees no other
                // nodes.
                let quiet = Others {
                    data: &[],
                    leaving: &[],
                    dead: &[],
                    routers: &[],
                    ..others
                };
                data.on_done(now, job, reply, quiet, out);
            }
            (Part::Idle(_) | Part::Dns(_) | Part::Router(_), _) => (),
        }
    }
}

/// Every known record of every role, this node's own included. DNS nodes are in no ring: they are
/// listed as long as the last answer of a DNS node is fresh.
fn servers(
    now: Time,
    (data, routers): (&[Record], &[Record]),
    resolver: &Resolver,
    own: Option<Record>,
) -> Vec<Record> {
    let names = if resolver.is_stale(now, Role::Dns) {
        &[]
    } else {
        resolver.records(Role::Dns)
    };
    let all = data.iter().chain(routers).chain(names).copied();
    let others = all.filter(|record| own.is_none_or(|own| own.node != record.node));
    others.chain(own).collect()
}
