//! The name service: the records of all servers.
//!
//! Owns the records, their deadlines and the reservations of roles. Never answers with an expired
//! record, even before the sweep has asked the record's server whether it lives. The whole state is
//! soft: an empty DNS node refills from registrations and from the other DNS nodes. Until it has
//! had time for that, its answers say that it is not settled.
//!
//! The same records also answer DNS packets of any program, see [`Dns::on_packet`].

mod answers;
pub(crate) mod packets;
mod zones;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::id::{Incarnation, NodeId};
use crate::contract::limits::{DNS_NODES_MAX, RECORDS_MAX, WEIGHT_MAX};
use crate::contract::message::{Message, Names, Refusal};
use crate::contract::node::{Asker, Peer, Sender};
use crate::contract::record::{Address, Record, Role};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::Timers;
use crate::contract::user::Level;
use crate::cx::Cx;
use crate::mutants::{RingMutant, RingMutants};
use crate::purpose::Asked;
use crate::purpose::dns::Purpose;
use crate::requests::{Policy, Reply};
use crate::role_assignment::Reservations;

pub use packets::come_back_over_tcp;

/// How a DNS node behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Longest life of a record without renewal.
    pub record_ttl: Duration,
    /// Time between two full exchanges with the other DNS nodes.
    pub share_every: Duration,
    /// How long the server of an expired record may take to confirm that it lives before the record
    /// is removed.
    pub confirm_patience: Duration,
    /// How long a role stays reserved for a server that does not register.
    pub reservation: Duration,
    /// The mutants that are switched on: mistakes planted on purpose, only in simulated runs.
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

/// How long a DNS node that starts for the first time is unsettled. It is longer than the pause
/// that servers make between two attempts to reach a DNS node that is not up yet.
const FRESH_UNSETTLED: Duration = Duration::from_secs(3);

/// Two starts of one node that register within this time count as simultaneous.
const STARTED_TOGETHER: Duration = Duration::from_secs(3);

/// The DNS role and its state.
#[derive(Debug)]
pub struct Dns {
    config: Config,
    me: NodeId,
    entries: BTreeMap<NodeId, Entry>,
    gone: BTreeMap<NodeId, Gone>,
    reservations: Reservations,
    /// Other DNS nodes that have come to be known since they were last taken.
    fresh_dns: Vec<Address>,
    /// From this time on, an empty answer means that no server has the role.
    settled_at: Time,
    timers: Timers<Timer>,
    rng: Rng,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    record: Record,
    expires_at: Time,
    /// Since when this start of the node is known at this address.
    since: Time,
    /// The process that the record names has registered here itself. Hearsay refuses nobody.
    met: bool,
}

impl Entry {
    /// Whether `other` claims the same start of the node at another address while this record is
    /// valid. Then two machines run with copies of one disk, and the machine that registered first
    /// keeps the record.
    fn is_twin(&self, now: Time, other: &Record) -> bool {
        self.record.incarnation == other.incarnation
            && self.record.address != other.address
            && now < self.expires_at
    }

    /// Whether the record gives way to a twin that has just registered. Two that start together may
    /// reach two DNS nodes in different orders: each DNS node would keep another, both would be
    /// refused somewhere, and both would end. So the lower address stays.
    fn yields_to(&self, now: Time, twin: &Record) -> bool {
        now.since(self.since) < STARTED_TOGETHER && twin.address < self.record.address
    }
}

/// A withdrawn record. Another DNS node may still have it, and must not bring it back by an
/// exchange.
#[derive(Clone, Copy, Debug)]
struct Gone {
    incarnation: Incarnation,
    renewals: u64,
    until: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Expire(NodeId),
    Share,
}

impl Dns {
    /// A DNS node without records. `fresh` says that it has never run before. Then only servers
    /// that are waiting for it can be unknown to it, and these retry often, so it settles sooner.
    pub fn new(config: Config, me: NodeId, now: Time, fresh: bool, rng: Rng) -> Self {
        let unsettled = if fresh {
            FRESH_UNSETTLED.min(config.record_ttl / 3)
        } else {
            config.record_ttl / 3
        };
        let settled_at = now + unsettled;
        let mut timers = Timers::new();
        timers.arm(Timer::Share, now);
        Dns {
            config,
            me,
            entries: BTreeMap::new(),
            gone: BTreeMap::new(),
            reservations: Reservations::default(),
            fresh_dns: Vec::new(),
            settled_at,
            timers,
            rng,
        }
    }

    /// Stores this DNS node's own record, which never expires here.
    pub fn keep_own(&mut self, now: Time, record: Record) {
        let entry = Entry {
            record,
            expires_at: Time::NEVER,
            since: now,
            met: true,
        };
        debug_assert!(record.node == self.me && now < Time::NEVER);
        self.entries.insert(self.me, entry);
    }

    /// The valid records, in the order of their node ids. The TTL of each is its remaining time.
    pub fn valid(&self, now: Time) -> impl Iterator<Item = Record> {
        let ttl = self.config.record_ttl;
        (self.entries.values())
            .filter(move |entry| now < entry.expires_at)
            .map(move |entry| Record {
                ttl_ms: millis(entry.expires_at.since(now).min(ttl)),
                ..entry.record
            })
    }

    /// The other DNS nodes that have come to be known since the last call.
    pub fn take_fresh_dns(&mut self) -> Vec<Address> {
        core::mem::take(&mut self.fresh_dns)
    }

    /// Answers a question to the name service. `peers` are the other DNS nodes.
    pub fn on_question(&mut self, cx: &mut Cx<'_>, asker: Asker, names: Names, peers: &[Address]) {
        match names {
            Names::Resolve { role } => self.on_resolve(cx, asker, role),
            Names::Register { record } => self.on_register(cx, asker, record, peers),
            Names::Withdraw { record } => self.on_withdraw(cx, asker, record),
            Names::Share { records, pull } => self.on_share(cx, asker, records, pull),
            Names::Reserve => self.on_reserve(cx, asker),
            Names::Confirm { .. }
            | Names::Records { .. }
            | Names::Registered
            | Names::Withdrawn
            | Names::Confirmed { .. }
            | Names::Shared { .. }
            | Names::Reserved { .. } => cx.out.refuse(asker, Refusal::WrongRole),
        }
    }

    fn on_resolve(&mut self, cx: &mut Cx<'_>, asker: Asker, role: Role) {
        let mut records: Vec<Record> = self.valid(cx.now).filter(|r| r.role == role).collect();
        self.rng.shuffle(&mut records);
        let settled = self.is_settled(cx.now);
        let answer = Names::Records { records, settled };
        cx.out.answer(asker, Message::Names(answer));
    }

    fn on_register(&mut self, cx: &mut Cx<'_>, asker: Asker, record: Record, peers: &[Address]) {
        if let Err(why) = self.check(cx.now, asker, &record, !peers.is_empty()) {
            return cx.out.refuse(asker, why);
        }
        // Only an unknown node is pushed to the other DNS nodes. A renewal also reaches them
        // directly, because a server registers with every DNS node.
        let known = self.entries.contains_key(&record.node);
        self.store(cx.now, record, true);
        if !known {
            let Record { role, address, .. } = record;
            cx.out.fact(
                Level::Info,
                alloc::format!("registered {role} {address} node={}", record.node),
            );
            self.push(cx, record, peers);
        }
        cx.out.answer(asker, Message::Names(Names::Registered));
    }

    /// `has_peers`: there are other DNS nodes, which may know a twin.
    fn check(
        &self,
        now: Time,
        asker: Asker,
        record: &Record,
        has_peers: bool,
    ) -> Result<(), Refusal> {
        if !is_of(&asker.sender, record) {
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
            Some(entry) if entry.met && entry.record.incarnation > record.incarnation => {
                Err(Refusal::Outdated)
            }
            Some(entry)
                if entry.met
                    && entry.is_twin(now, record)
                    && !(has_peers && entry.yields_to(now, record)) =>
            {
                Err(Refusal::Outdated)
            }
            None if self.entries.len() >= RECORDS_MAX => Err(Refusal::Busy {
                retry_after_ms: millis(self.config.record_ttl),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Stores a record for the TTL it claims, at most for the configured TTL. `met`: the process that
    /// it names has registered it.
    fn store(&mut self, now: Time, record: Record, met: bool) {
        let expires_at = now + record.ttl().min(self.config.record_ttl);
        // Only one process can listen at an address, so any other node registered there is gone.
        self.entries.retain(|node, entry| {
            *node == record.node
                || entry.record.address != record.address
                || entry.expires_at == Time::NEVER
        });
        self.reservations.release(record.node);
        self.gone.remove(&record.node);
        let same = |entry: &&Entry| {
            let known = &entry.record;
            (known.incarnation, known.address) == (record.incarnation, record.address)
        };
        let since = self.entries.get(&record.node).filter(same);
        if record.role == Role::Dns && since.is_none() && self.fresh_dns.len() < DNS_NODES_MAX {
            self.fresh_dns.push(record.address);
        }
        let entry = Entry {
            record,
            expires_at,
            since: since.map_or(now, |entry| entry.since),
            met: met || since.is_some_and(|entry| entry.met),
        };
        self.entries.insert(record.node, entry);
        self.timers.arm(Timer::Expire(record.node), expires_at);
    }

    /// Tells the other DNS nodes of a server that was unknown so far, because the next exchange may
    /// be seconds away.
    fn push(&mut self, cx: &mut Cx<'_>, record: Record, peers: &[Address]) {
        for peer in peers {
            let news = Message::Names(Names::Share {
                records: [record].into(),
                pull: false,
            });
            let to = [Peer::Node(*peer)].into();
            cx.ask(Asked::Dns(Purpose::Share), to, news, Policy::ONCE);
        }
    }

    fn on_withdraw(&mut self, cx: &mut Cx<'_>, asker: Asker, record: Record) {
        let node = asker.sender.node;
        let stored = self.entries.get(&node).map(|entry| entry.record);
        // A goodbye is the last message of a start, so the stored record goes even if it differs.
        // It may name the role that the server had before, or belong to an earlier run under the
        // same incarnation whose disk was restored since.
        let incarnation = asker.sender.incarnation;
        let ours = stored.is_some_and(|stored| stored.incarnation <= incarnation);
        if ours && node != self.me {
            self.entries.remove(&node);
            self.timers.disarm(&Timer::Expire(node));
        }
        self.note_gone(cx.now, node, incarnation, record.renewals);
        self.reservations.release(node);
        cx.out.answer(asker, Message::Names(Names::Withdrawn));
    }

    fn on_share(&mut self, cx: &mut Cx<'_>, asker: Asker, records: Vec<Record>, pull: bool) {
        self.merge(cx.now, records);
        let records = if pull {
            self.valid(cx.now).collect()
        } else {
            Vec::new()
        };
        cx.out
            .answer(asker, Message::Names(Names::Shared { records }));
    }

    /// Takes over the records that are newer than the stored ones: of a later start, or of a later
    /// renewal.
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
                self.store(now, record, false);
            }
        }
    }

    /// Whether another node has registered the record's address and its record lasts at least as
    /// long. This happens when a node restarts without its disk, and thus under another id, while
    /// another DNS node still has the record of the old id.
    fn is_succeeded(&self, now: Time, record: &Record) -> bool {
        let expires_at = now + record.ttl().min(self.config.record_ttl);
        let same_place = |entry: &&Entry| {
            entry.record.address == record.address && entry.record.node != record.node
        };
        let there = self.entries.values().filter(same_place);
        there.map(|entry| entry.expires_at).max() >= Some(expires_at)
    }

    fn on_reserve(&mut self, cx: &mut Cx<'_>, asker: Asker) {
        if !self.is_settled(cx.now) {
            return cx.out.refuse(asker, Refusal::NotReady);
        }
        let others = |wanted: Role| {
            let there = self.valid(cx.now).filter(|r| r.role == wanted);
            there.filter(|r| r.node != asker.sender.node).count()
        };
        let there = (others(Role::Data), others(Role::Router));
        let until = cx.now + self.config.reservation;
        if self.config.mutants.has(RingMutant::IgnoresReservations) {
            self.reservations = Reservations::default();
        }
        let role = self
            .reservations
            .reserve(cx.now, asker.sender.node, there, until);
        cx.out
            .answer(asker, Message::Names(Names::Reserved { role }));
    }

    fn is_settled(&self, now: Time) -> bool {
        self.settled_at <= now
    }

    /// Checks the expired records, and exchanges records with the other DNS nodes.
    pub fn on_tick(&mut self, cx: &mut Cx<'_>, peers: &[Address]) {
        while let Some(timer) = self.timers.pop_due(cx.now) {
            match timer {
                Timer::Expire(node) => self.confirm(cx, node),
                Timer::Share => self.share(cx, peers),
            }
        }
    }

    /// When [`Dns::on_tick`] wants to run.
    pub fn deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Asks the server of an expired record whether it lives. These questions run in parallel, so
    /// fifty dead hosts take one `confirm_patience`, not fifty.
    fn confirm(&mut self, cx: &mut Cx<'_>, node: NodeId) {
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
        let asked = cx.ask(Asked::Dns(Purpose::Confirm(node)), to, question, policy);
        if asked.is_none() {
            self.timers.arm(Timer::Expire(node), cx.now + patience);
        }
    }

    fn share(&mut self, cx: &mut Cx<'_>, peers: &[Address]) {
        let every = self.config.share_every;
        self.timers
            .arm(Timer::Share, cx.now + self.rng.around(every));
        for peer in peers {
            let records = self.valid(cx.now).collect();
            let ours = Message::Names(Names::Share {
                records,
                pull: true,
            });
            let to = [Peer::Node(*peer)].into();
            cx.ask(Asked::Dns(Purpose::Share), to, ours, Policy::ONCE);
        }
    }

    /// Takes the end of a question to a server that was asked whether it lives, or to another DNS
    /// node.
    pub(crate) fn conclude(&mut self, cx: &mut Cx<'_>, purpose: Purpose, reply: Reply) {
        match (purpose, reply) {
            (
                Purpose::Confirm(node),
                Reply::Answered {
                    from,
                    message: Message::Names(Names::Confirmed { record }),
                    ..
                },
            ) if record.node == node
                && from == Peer::Node(record.address)
                && is_possible(&record) =>
            {
                self.confirmed(cx.now, record);
            }
            (Purpose::Confirm(node), Reply::Answered { .. }) => {
                self.drop_expired(cx, node, "it no longer serves this");
            }
            (Purpose::Confirm(node), Reply::GaveUp { lost, .. }) => {
                let why = lost.map_or("it does not answer".into(), |lost| lost.to_string());
                self.drop_expired(cx, node, &why);
            }
            (Purpose::Share, reply) => {
                // If there is no answer, the next exchange tries again.
                if let Some(Message::Names(Names::Shared { records })) = reply.message() {
                    self.on_shared(cx.now, records);
                }
            }
        }
    }

    fn on_shared(&mut self, now: Time, records: Vec<Record>) {
        // A DNS node that has just started itself has only records of DNS nodes to share. That is
        // no sign of an empty cluster, so it does not settle this node.
        let learned = records.iter().any(|r| r.role != Role::Dns);
        self.merge(now, records);
        if learned {
            self.settled_at = self.settled_at.min(now);
        }
    }

    /// Renews an expired record whose server lives. The server may have registered a later start
    /// meanwhile.
    fn confirmed(&mut self, now: Time, record: Record) {
        let known = self.entries.get(&record.node);
        if known.is_none_or(|entry| entry.record.incarnation <= record.incarnation) {
            self.store(now, record, false);
        }
    }

    /// Removes a record whose server is gone, unless it has registered while it was asked.
    fn drop_expired(&mut self, cx: &mut Cx<'_>, node: NodeId, why: &str) {
        let Some(entry) = self.entries.get(&node) else {
            return;
        };
        // The server has renewed its record while this question was open.
        if cx.now < entry.expires_at {
            return;
        }
        let Record { role, address, .. } = entry.record;
        let line: String = alloc::format!("dropped {role} {address} node={node}: {why}");
        cx.out.fact(Level::Info, line);
        let incarnation = entry.record.incarnation;
        self.entries.remove(&node);
        // This DNS node has just asked the server in vain. A renewal that another DNS node received
        // earlier must not bring the record back.
        self.note_gone(cx.now, node, incarnation, u64::MAX);
    }

    fn note_gone(&mut self, now: Time, node: NodeId, incarnation: Incarnation, renewals: u64) {
        self.gone.retain(|_, gone| gone.until > now);
        let known = self.gone.get(&node);
        if known.is_none() && self.gone.len() >= RECORDS_MAX {
            return;
        }
        // A goodbye that comes late must not let a record in that is known to be gone.
        let known = known.map(|gone| (gone.incarnation, gone.renewals));
        let (incarnation, renewals) = (incarnation, renewals).max(known.unwrap_or_default());
        let gone = Gone {
            incarnation,
            renewals,
            until: now + self.config.record_ttl,
        };
        self.gone.insert(node, gone);
    }
}

/// Whether a record names the process that sends it.
fn is_of(from: &Sender, record: &Record) -> bool {
    (from.node, from.incarnation) == (record.node, record.incarnation)
        && from.peer == Peer::Node(record.address)
}

/// Whether a record has a TTL and a weight within its bounds. A record without a TTL would expire
/// at once and be confirmed again without end.
fn is_possible(record: &Record) -> bool {
    record.ttl_ms > 0 && record.weight <= WEIGHT_MAX
}

/// Whole milliseconds, rounded up, so that a valid record is never served with a TTL of zero.
fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
