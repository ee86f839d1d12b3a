//! Who is there: the records of all servers, and nobody else's.
//!
//! Owns the records, their deadlines and the reservations of roles. Never answers with a record
//! whose time is over, even before the sweep has asked its server. Everything here is soft
//! state: an empty DNS node refills from registrations and from the other DNS nodes, and says
//! that it is not settled until it has.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::id::{Incarnation, NodeId};
use crate::contract::limits::RECORDS_MAX;
use crate::contract::limits::WEIGHT_MAX;
use crate::contract::message::{Envelope, Message, Names, Refusal};
use crate::contract::node::{Asker, Lost, Outbox, Peer};
use crate::contract::record::{Address, Record, Role};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::{Timers, earlier};
use crate::contract::user::Level;
use crate::requests::{Outcome, Policy, Requester, Requests};
use crate::ring_mutants::{RingMutant, RingMutants};
use crate::role_assignment::Reservations;

/// How a DNS node behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Longest life of a record without renewal.
    pub record_ttl: Duration,
    /// Between two full exchanges with the other DNS nodes.
    pub share_every: Duration,
    /// How long a silent server is waited for before its expired record goes.
    pub confirm_patience: Duration,
    /// How long a role stays reserved for a server that does not register.
    pub reservation: Duration,
    /// What the simulated world has broken on purpose.
    pub mutants: RingMutants,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            record_ttl: Duration::from_secs(30),
            share_every: Duration::from_secs(5),
            confirm_patience: Duration::from_secs(1),
            reservation: Duration::from_secs(30),
            mutants: RingMutants::default(),
        }
    }
}

/// How long a DNS node without a past is not sure of an empty answer: longer than servers pause
/// between two attempts to reach one that is not there yet.
const FRESH_UNSETTLED: Duration = Duration::from_secs(3);

/// A DNS node's memory.
#[derive(Debug)]
pub struct Dns {
    config: Config,
    me: NodeId,
    entries: BTreeMap<NodeId, Entry>,
    gone: BTreeMap<NodeId, Gone>,
    reservations: Reservations,
    /// From here on an empty answer means that nobody is there.
    settled_at: Time,
    requests: Requests<Question>,
    timers: Timers<Timer>,
    rng: Rng,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    record: Record,
    expires_at: Time,
}

impl Entry {
    /// Whether a record is of the same start at another address while this one is good: two
    /// machines run with a copy of one disk, and whoever came first goes on.
    fn is_twin(&self, now: Time, other: &Record) -> bool {
        self.record.incarnation == other.incarnation
            && self.record.address != other.address
            && now < self.expires_at
    }
}

/// A record that was taken back: another DNS node may still know it and must not bring it back.
#[derive(Clone, Copy, Debug)]
struct Gone {
    incarnation: Incarnation,
    renewals: u64,
    until: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Confirm(NodeId),
    Share,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Expire(NodeId),
    Share,
}

impl Dns {
    /// Empty. `fresh`: this node has never run before, so that only servers that wait for it can
    /// be unknown to it, and they ask often.
    pub fn new(config: Config, me: NodeId, now: Time, fresh: bool, mut rng: Rng) -> Self {
        let unsettled = if fresh {
            FRESH_UNSETTLED.min(config.record_ttl / 3)
        } else {
            config.record_ttl / 3
        };
        let settled_at = now + unsettled;
        let requests = Requests::new(Requester::Dns, Rng::from_seed(rng.bits()));
        let mut timers = Timers::new();
        timers.arm(Timer::Share, now);
        Dns {
            config,
            me,
            entries: BTreeMap::new(),
            gone: BTreeMap::new(),
            reservations: Reservations::default(),
            settled_at,
            requests,
            timers,
            rng,
        }
    }

    /// Stores this DNS node's own record; it never expires here.
    pub fn keep_own(&mut self, now: Time, record: Record) {
        let entry = Entry {
            record,
            expires_at: Time::NEVER,
        };
        debug_assert!(record.node == self.me && now < Time::NEVER);
        self.entries.insert(self.me, entry);
    }

    /// The records that are valid at this moment, in order of their nodes, with what is left of
    /// their time.
    pub fn valid(&self, now: Time) -> impl Iterator<Item = Record> {
        let ttl = self.config.record_ttl;
        (self.entries.values())
            .filter(move |entry| now < entry.expires_at)
            .map(move |entry| Record {
                ttl_ms: millis(entry.expires_at.since(now).min(ttl)),
                ..entry.record
            })
    }

    /// Answers a question to the name service.
    pub fn on_question(
        &mut self,
        now: Time,
        asker: Asker,
        names: Names,
        peers: &[Address],
        out: &mut Outbox,
    ) {
        match names {
            Names::Resolve { role } => self.on_resolve(now, asker, role, out),
            Names::Register { record } => self.on_register(now, asker, record, peers, out),
            Names::Withdraw { record } => self.on_withdraw(now, asker, record, out),
            Names::Share { records, pull } => self.on_share(now, asker, records, pull, out),
            Names::Reserve => self.on_reserve(now, asker, out),
            Names::Confirm { .. }
            | Names::Records { .. }
            | Names::Registered
            | Names::Withdrawn
            | Names::Confirmed { .. }
            | Names::Shared { .. }
            | Names::Reserved { .. } => out.refuse(asker, Refusal::WrongRole),
        }
    }

    fn on_resolve(&mut self, now: Time, asker: Asker, role: Role, out: &mut Outbox) {
        let mut records: Vec<Record> = self.valid(now).filter(|r| r.role == role).collect();
        self.rng.shuffle(&mut records);
        let settled = self.is_settled(now);
        let answer = Names::Records { records, settled };
        out.answer(asker, Message::Names(answer));
    }

    fn on_register(
        &mut self,
        now: Time,
        asker: Asker,
        record: Record,
        peers: &[Address],
        out: &mut Outbox,
    ) {
        if let Err(why) = self.check(now, asker, &record) {
            return out.refuse(asker, why);
        }
        let known = self.entries.contains_key(&record.node);
        self.store(now, record);
        if !known {
            let Record { role, address, .. } = record;
            out.fact(
                Level::Info,
                alloc::format!("registered {role} {address} node={}", record.node),
            );
            self.push(now, record, peers, out);
        }
        out.answer(asker, Message::Names(Names::Registered));
    }

    fn check(&self, now: Time, asker: Asker, record: &Record) -> Result<(), Refusal> {
        if record.node != asker.sender.node {
            return Err(Refusal::Invalid("a server registers only itself".into()));
        }
        if record.node == self.me {
            return Err(Refusal::Invalid("this DNS node has the same id".into()));
        }
        if !is_possible(record) {
            let why = alloc::format!("a record has a life, and a weight of at most {WEIGHT_MAX}");
            return Err(Refusal::Invalid(why));
        }
        match self.entries.get(&record.node) {
            Some(entry) if entry.record.incarnation > record.incarnation => Err(Refusal::Outdated),
            Some(entry) if entry.is_twin(now, record) => Err(Refusal::Outdated),
            None if self.entries.len() >= RECORDS_MAX => Err(Refusal::Busy {
                retry_after_ms: millis(self.config.record_ttl),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Stores a record with the life it claims, at most our own TTL.
    fn store(&mut self, now: Time, record: Record) {
        let expires_at = now + record.ttl().min(self.config.record_ttl);
        // Only one process can listen at an address: whoever registered it before is gone.
        self.entries.retain(|node, entry| {
            *node == record.node
                || entry.record.address != record.address
                || entry.expires_at == Time::NEVER
        });
        self.reservations.release(record.node);
        self.gone.remove(&record.node);
        self.entries
            .insert(record.node, Entry { record, expires_at });
        self.timers.arm(Timer::Expire(record.node), expires_at);
    }

    /// Tells the other DNS nodes of a newcomer at once, rather than at the next exchange.
    fn push(&mut self, now: Time, record: Record, peers: &[Address], out: &mut Outbox) {
        for peer in peers {
            let news = Message::Names(Names::Share {
                records: [record].into(),
                pull: false,
            });
            let to = [Peer::Node(*peer)].into();
            self.requests
                .ask(now, Question::Share, to, news, Policy::ONCE, out);
        }
    }

    fn on_withdraw(&mut self, now: Time, asker: Asker, record: Record, out: &mut Outbox) {
        let node = asker.sender.node;
        let stored = self.entries.get(&node).map(|entry| entry.record);
        // Nothing follows a goodbye in the same start: the record that is known may be of the role
        // it had before, or of a start under the same number, before its disk went back.
        let ours = stored.is_some_and(|stored| stored.incarnation <= record.incarnation);
        if ours && node != self.me {
            self.entries.remove(&node);
            self.timers.disarm(&Timer::Expire(node));
        }
        self.note_gone(now, node, record.incarnation, record.renewals);
        self.reservations.release(node);
        out.answer(asker, Message::Names(Names::Withdrawn));
    }

    fn on_share(
        &mut self,
        now: Time,
        asker: Asker,
        records: Vec<Record>,
        pull: bool,
        out: &mut Outbox,
    ) {
        self.merge(now, records);
        let records = if pull {
            self.valid(now).collect()
        } else {
            Vec::new()
        };
        out.answer(asker, Message::Names(Names::Shared { records }));
    }

    /// Takes over what another DNS node knows better: a later start, or a later renewal.
    fn merge(&mut self, now: Time, records: Vec<Record>) {
        self.gone.retain(|_, gone| gone.until > now);
        for record in records.into_iter().take(RECORDS_MAX) {
            if record.node == self.me || !is_possible(&record) {
                continue;
            }
            let taken_back = self.gone.get(&record.node).is_some_and(|gone| {
                (gone.incarnation, gone.renewals) >= (record.incarnation, record.renewals)
            });
            let newer = match self.entries.get(&record.node) {
                Some(entry) => record.supersedes(&entry.record) && !entry.is_twin(now, &record),
                None => self.entries.len() < RECORDS_MAX,
            };
            if newer && !taken_back && !self.is_succeeded(now, &record) {
                self.store(now, record);
            }
        }
    }

    /// Whether somebody else has registered the record's address for longer than the record lasts:
    /// a node that started anew without its disk, while another DNS node still tells of the old.
    fn is_succeeded(&self, now: Time, record: &Record) -> bool {
        let expires_at = now + record.ttl().min(self.config.record_ttl);
        let same_place = |entry: &&Entry| {
            entry.record.address == record.address && entry.record.node != record.node
        };
        let there = self.entries.values().filter(same_place);
        there.map(|entry| entry.expires_at).max() >= Some(expires_at)
    }

    fn on_reserve(&mut self, now: Time, asker: Asker, out: &mut Outbox) {
        if !self.is_settled(now) {
            return out.refuse(asker, Refusal::NotReady);
        }
        let others = |wanted: Role| {
            let there = self.valid(now).filter(|r| r.role == wanted);
            there.filter(|r| r.node != asker.sender.node).count()
        };
        let there = (others(Role::Data), others(Role::Router));
        let until = now + self.config.reservation;
        if self.config.mutants.has(RingMutant::IgnoresReservations) {
            self.reservations = Reservations::default();
        }
        let role = self
            .reservations
            .reserve(now, asker.sender.node, there, until);
        out.answer(asker, Message::Names(Names::Reserved { role }));
    }

    fn is_settled(&self, now: Time) -> bool {
        self.settled_at <= now
    }

    /// Takes an answer of a server that was asked whether it lives, or of another DNS node.
    pub fn on_answer(&mut self, now: Time, from: Peer, envelope: Envelope, out: &mut Outbox) {
        if let Some(outcome) = self.requests.on_answer(now, from, envelope, out) {
            self.conclude(now, outcome, out);
        }
    }

    /// A peer is lost.
    pub fn on_lost(&mut self, now: Time, peer: Peer, why: Lost, out: &mut Outbox) {
        for outcome in self.requests.on_lost(now, peer, why, out) {
            self.conclude(now, outcome, out);
        }
    }

    /// Sweeps expired records, exchanges with the other DNS nodes.
    pub fn on_tick(&mut self, now: Time, peers: &[Address], out: &mut Outbox) {
        for outcome in self.requests.on_tick(now, out) {
            self.conclude(now, outcome, out);
        }
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Expire(node) => self.confirm(now, node, out),
                Timer::Share => self.share(now, peers, out),
            }
        }
    }

    /// When [`Dns::on_tick`] wants to run.
    pub fn deadline(&self) -> Option<Time> {
        earlier(self.timers.next(), self.requests.deadline())
    }

    /// Asks the server behind an expired record whether it lives. All such questions are in
    /// flight at once: fifty dead hosts cost one patience, not fifty.
    fn confirm(&mut self, now: Time, node: NodeId, out: &mut Outbox) {
        let Some(entry) = self.entries.get(&node) else {
            return;
        };
        let Record { address, role, .. } = entry.record;
        let question = Message::Names(Names::Confirm { role });
        let patience = self.config.confirm_patience;
        let policy = Policy {
            deadline: patience,
            attempt: patience,
            rounds: 1,
        };
        let to = [Peer::Node(address)].into();
        let asked = self
            .requests
            .ask(now, Question::Confirm(node), to, question, policy, out);
        if asked.is_none() {
            self.timers.arm(Timer::Expire(node), now + patience);
        }
    }

    fn share(&mut self, now: Time, peers: &[Address], out: &mut Outbox) {
        let every = self.config.share_every;
        self.timers.arm(Timer::Share, now + self.rng.around(every));
        for peer in peers {
            let records = self.valid(now).collect();
            let ours = Message::Names(Names::Share {
                records,
                pull: true,
            });
            let to = [Peer::Node(*peer)].into();
            self.requests
                .ask(now, Question::Share, to, ours, Policy::ONCE, out);
        }
    }

    fn conclude(&mut self, now: Time, outcome: Outcome<Question>, out: &mut Outbox) {
        match outcome {
            Outcome::Answered {
                purpose: Question::Confirm(node),
                message: Message::Names(Names::Confirmed { record }),
                ..
            } if record.node == node && is_possible(&record) => self.confirmed(now, record),
            Outcome::Answered {
                purpose: Question::Confirm(node),
                ..
            } => self.drop_expired(now, node, "it no longer serves this", out),
            Outcome::GaveUp {
                purpose: Question::Confirm(node),
                lost,
                ..
            } => {
                let why = lost.map_or("it does not answer".into(), |lost| lost.to_string());
                self.drop_expired(now, node, &why, out);
            }
            Outcome::Answered {
                purpose: Question::Share,
                message: Message::Names(Names::Shared { records }),
                ..
            } => {
                let learned = records.iter().any(|r| r.role != Role::Dns);
                self.merge(now, records);
                if learned {
                    self.settled_at = self.settled_at.min(now);
                }
            }
            Outcome::Answered {
                purpose: Question::Share,
                ..
            }
            | Outcome::GaveUp {
                purpose: Question::Share,
                ..
            } => (), // The next exchange tries again.
        }
    }

    /// The server behind an expired record lives. It may have registered a later start meanwhile.
    fn confirmed(&mut self, now: Time, record: Record) {
        let known = self.entries.get(&record.node);
        if known.is_none_or(|entry| entry.record.incarnation <= record.incarnation) {
            self.store(now, record);
        }
    }

    /// Removes a record whose server is gone, unless it has registered while it was asked.
    fn drop_expired(&mut self, now: Time, node: NodeId, why: &str, out: &mut Outbox) {
        let Some(entry) = self.entries.get(&node) else {
            return;
        };
        if now < entry.expires_at {
            return;
        }
        let Record { role, address, .. } = entry.record;
        let line: String = alloc::format!("dropped {role} {address} node={node}: {why}");
        out.fact(Level::Info, line);
        let incarnation = entry.record.incarnation;
        self.entries.remove(&node);
        // We have just asked it ourselves: what another DNS node heard earlier does not count.
        self.note_gone(now, node, incarnation, u64::MAX);
    }

    fn note_gone(&mut self, now: Time, node: NodeId, incarnation: Incarnation, renewals: u64) {
        self.gone.retain(|_, gone| gone.until > now);
        if self.gone.len() < RECORDS_MAX {
            let gone = Gone {
                incarnation,
                renewals,
                until: now + self.config.record_ttl,
            };
            self.gone.insert(node, gone);
        }
    }
}

/// Whether a record can be kept at all: one without a life would be asked after without end.
fn is_possible(record: &Record) -> bool {
    record.ttl_ms > 0 && record.weight <= WEIGHT_MAX
}

/// Whole milliseconds, rounded up: a record is never served as already over.
fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
