//! Resolves roles to the records of their servers, on the asking side.
//!
//! Owns the records of each group, that is, of all servers of one role. It has them from the DNS
//! nodes, and goes on using the last known ones after they expire. A dead DNS therefore does not
//! stop a node that has resolved a group before. Watched groups are looked up again without being
//! asked for.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::limits::{DNS_NODES_MAX, RECORDS_MAX};
use crate::contract::message::{Message, Names};
use crate::contract::node::{Lost, Peer};
use crate::contract::record::{Address, Record, Role};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::Timers;
use crate::contract::user::Level;
use crate::cx::Cx;
use crate::purpose::Asked;
use crate::requests::{Policy, Reply};

/// How many of the addresses heard on the link are asked before the known DNS nodes. What is heard may be
/// a stranger's, who keeps an asker waiting.
const FOUND_FIRST: usize = 2;

/// Pause between look-ups of a group that has just changed. It doubles with each look-up that finds
/// no change.
const FIRST_REFRESH: Duration = Duration::from_millis(250);

/// The value of `calm` after an answer from a DNS node that is not settled: the next look-up
/// follows after about a second.
const CALM_AFTER_RESTART: u32 = 2;

/// How a resolver behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address where this node listens, if it does. It is left out of the DNS nodes that are
    /// asked.
    pub own: Option<Address>,
    /// DNS nodes given by the user. They name further DNS nodes.
    pub dns: Vec<Address>,
    /// Where a DNS node may be, if nobody has given or found one.
    pub guesses: Vec<Address>,
    /// Groups that are looked up again without being asked for.
    pub watched: Vec<Role>,
    /// Longest time a watched group's records are used without asking again.
    pub refresh: Duration,
}

/// The end of a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The group.
    pub role: Role,
    /// None: the records are fresh. Otherwise no DNS node has answered, and this is the reason of
    /// the last failure.
    pub failed: Option<Lost>,
}

/// The records of each group, and the look-ups under way.
#[derive(Debug)]
pub struct Resolver {
    config: Config,
    learned: Vec<Address>,
    /// Addresses at which a DNS node may be: guessed, or heard on the link. None has answered yet, so
    /// nobody registers there.
    found: Vec<Address>,
    /// DNS nodes that an earlier run knew, or that this one has known. They are asked last.
    remembered: Vec<Address>,
    groups: BTreeMap<Role, Group>,
    timers: Timers<Role>,
    /// Grows whenever a group's records are replaced.
    revision: u64,
    rng: Rng,
}

#[derive(Debug, Default)]
struct Group {
    records: Vec<Record>,
    good_until: Time,
    asking: bool,
    /// Look-ups since the last change of the group. The more there are, the longer the next pause.
    calm: u32,
}

impl Resolver {
    /// Knows the DNS nodes of the configuration and nothing else.
    pub fn new(config: Config, rng: Rng) -> Self {
        Resolver {
            found: config.guesses.clone(),
            config,
            learned: Vec::new(),
            remembered: Vec::new(),
            groups: BTreeMap::new(),
            timers: Timers::new(),
            revision: 0,
            rng,
        }
    }

    /// Grows whenever a group's records are replaced.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Starts the first look-up of each watched group.
    pub fn start(&mut self, cx: &mut Cx<'_>) {
        for role in self.config.watched.clone() {
            self.resolve(cx, role);
        }
    }

    /// Every DNS node known, those given by the user first.
    pub fn dns(&self) -> impl Iterator<Item = Address> {
        self.config.dns.iter().chain(&self.learned).copied()
    }

    /// Takes addresses at which DNS nodes may be, and asks them at once. One that answers is known from
    /// then on, and names the others that it knows.
    pub fn find(&mut self, cx: &mut Cx<'_>, addresses: &[Address]) {
        let known: Vec<Address> = self.dns().chain(self.config.own).collect();
        let fresh = |at: &Address| !known.contains(at) && !self.found.contains(at);
        let fresh: Vec<Address> = addresses.iter().copied().filter(fresh).collect();
        if fresh.is_empty() {
            return;
        }
        // What was heard last is the likeliest to be there.
        self.found.splice(0..0, fresh);
        self.found.truncate(DNS_NODES_MAX);
        self.resolve(cx, Role::Dns);
    }

    /// Takes DNS nodes that have registered at this one; returns whether one was unknown.
    pub fn join(&mut self, dns: Vec<Address>) -> bool {
        let known: Vec<Address> = self.dns().chain(self.config.own).collect();
        let room = DNS_NODES_MAX.saturating_sub(self.learned.len());
        let fresh = dns.into_iter().filter(|at| !known.contains(at)).take(room);
        let before = self.learned.len();
        self.learned.extend(fresh);
        let grown = self.learned.len() > before;
        self.revision += u64::from(grown);
        grown
    }

    /// Takes the DNS nodes that an earlier run knew. They are asked when no other answers.
    pub fn recall(&mut self, dns: Vec<Address>) {
        let fresh = dns.into_iter().filter(|at| !self.remembered.contains(at));
        let fresh: Vec<Address> = fresh.collect();
        self.remembered.extend(fresh);
        self.remembered.truncate(DNS_NODES_MAX);
    }

    /// The last known records of the group, possibly expired.
    pub fn records(&self, role: Role) -> &[Record] {
        self.groups.get(&role).map_or(&[], |group| &group.records)
    }

    /// Whether the group's records have not expired.
    pub fn is_fresh(&self, now: Time, role: Role) -> bool {
        (self.groups.get(&role)).is_some_and(|group| now < group.good_until)
    }

    /// Whether the group's records expired more than two refresh periods ago, or were never
    /// received.
    pub fn is_stale(&self, now: Time, role: Role) -> bool {
        let heard = |group: &Group| now < group.good_until + self.config.refresh * 2;
        !self.groups.get(&role).is_some_and(heard)
    }

    /// Uses records from an earlier run, if the group has none yet.
    pub fn remember(&mut self, cx: &mut Cx<'_>, role: Role, records: Vec<Record>) {
        let group = self.groups.entry(role).or_default();
        if group.records.is_empty() {
            meet(cx, &records);
            group.records = records;
            self.revision += 1;
        }
    }

    /// Looks a group up at the DNS nodes, unless a look-up of it is under way. A [`Resolved`]
    /// follows. Returns false if no question could be sent, for example because no DNS node is
    /// known. Then no [`Resolved`] follows.
    pub fn resolve(&mut self, cx: &mut Cx<'_>, role: Role) -> bool {
        if self.groups.entry(role).or_default().asking {
            return true;
        }
        let candidates = self.candidates(role);
        let question = Message::Names(Names::Resolve { role });
        let policy = Policy::RESOLVE;
        let asked = cx.ask(Asked::Resolver(role), candidates, question, policy);
        self.groups.entry(role).or_default().asking = asked.is_some();
        if asked.is_none() && self.config.watched.contains(&role) {
            self.timers.arm(role, cx.now + self.config.refresh);
        }
        asked.is_some()
    }

    /// Whom to ask about a role, in order. Those that may be DNS nodes are asked last; about the DNS nodes
    /// some of them are asked first, because that is how they become known.
    pub(crate) fn candidates(&mut self, role: Role) -> Vec<Peer> {
        let mut known: Vec<Address> = self.dns().collect();
        self.rng.shuffle(&mut known);
        let mut found = self.found.clone();
        self.rng.shuffle(&mut found);
        let later = match role {
            Role::Dns => found.split_off(found.len().min(FOUND_FIRST)),
            Role::Router | Role::Data => core::mem::take(&mut found),
        };
        let mut all = found;
        for at in known
            .into_iter()
            .chain(later)
            .chain(self.remembered.iter().copied())
        {
            if !all.contains(&at) && Some(at) != self.config.own {
                all.push(at);
            }
        }
        all.into_iter().map(Peer::Node).collect()
    }

    /// Starts the look-ups that are due.
    pub fn on_tick(&mut self, cx: &mut Cx<'_>) {
        // Groups without changes are looked up together, so that an idle node wakes up once instead
        // of three times.
        let soon = cx.now + self.config.refresh / 2;
        let mut until = cx.now;
        while let Some(role) = self.timers.pop_due(until) {
            self.resolve(cx, role);
            if self.is_calm(role) {
                until = soon;
            }
        }
    }

    /// When [`Resolver::on_tick`] wants to run.
    pub fn deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Whether the group's pause has reached the full refresh period.
    fn is_calm(&self, role: Role) -> bool {
        let group = self.groups.get(&role);
        group.is_some_and(|group| FIRST_REFRESH * (1 << group.calm.min(10)) > self.config.refresh)
    }

    /// Takes the end of a look-up.
    pub(crate) fn conclude(&mut self, cx: &mut Cx<'_>, role: Role, reply: Reply) -> Resolved {
        let failed = match reply {
            Reply::Answered {
                message: Message::Names(Names::Records { records, settled }),
                ..
            } => {
                self.on_records(cx, role, records, settled);
                None
            }
            Reply::Answered { .. } => Some(Lost::Misbehaved),
            Reply::GaveUp { lost, .. } => Some(lost.unwrap_or(Lost::Silent)),
        };
        self.groups.entry(role).or_default().asking = false;
        if self.config.watched.contains(&role) {
            let pause = self.pause(role);
            self.timers.arm(role, cx.now + pause);
        }
        Resolved { role, failed }
    }

    /// The pause until a watched group is looked up again: short while the cluster starts or
    /// changes, the full period when nothing has changed for a while.
    fn pause(&mut self, role: Role) -> Duration {
        let group = self.groups.entry(role).or_default();
        let wait = (FIRST_REFRESH * (1 << group.calm.min(10))).min(self.config.refresh);
        group.calm += 1;
        self.rng.around(wait)
    }

    fn on_records(&mut self, cx: &mut Cx<'_>, role: Role, mut records: Vec<Record>, settled: bool) {
        records.truncate(RECORDS_MAX);
        // A record at this node's own address is this node's own, or that of an earlier node there.
        let own = self.config.own;
        records.retain(|record| record.role == role && Some(record.address) != own);
        let group = self.groups.entry(role).or_default();
        if !settled {
            // A DNS node that has just started knows fewer servers than this node. Its answer adds
            // records and removes none.
            let named = |known: &Record| records.iter().any(|r| r.node == known.node);
            let unnamed = group.records.iter().filter(|known| !named(known));
            let unnamed: Vec<Record> = unnamed.copied().collect();
            records.extend(unnamed);
            group.calm = group.calm.min(CALM_AFTER_RESTART);
        }
        if !same_nodes(&group.records, &records) {
            group.calm = 0;
            let line = alloc::format!("sees {role} nodes={}", records.len());
            cx.out.fact(Level::Debug, line);
        }
        let ttl = records.iter().map(Record::ttl).min().unwrap_or_default();
        group.good_until = cx.now + ttl.min(self.config.refresh);
        meet(cx, &records);
        let dns = records.iter().map(|record| record.address).collect();
        group.records = records;
        self.revision += 1;
        if role == Role::Dns {
            self.learn(dns);
        }
    }

    /// Takes the DNS nodes that one of them has named.
    fn learn(&mut self, mut dns: Vec<Address>) {
        dns.retain(|at| !self.config.dns.contains(at));
        dns.truncate(DNS_NODES_MAX.saturating_sub(self.config.dns.len()));
        self.learned = dns;
        // The answer came from one of them, or else they were silent. What is heard again is asked again.
        self.found.clear();
        let known: Vec<Address> = self.dns().collect();
        self.remembered.retain(|at| !known.contains(at));
        self.remembered.splice(0..0, known);
        self.remembered.truncate(DNS_NODES_MAX);
    }
}

/// Whether both lists name the same nodes at the same addresses, in any order.
fn same_nodes(known: &[Record], heard: &[Record]) -> bool {
    let place = |record: &Record| (record.node, record.address);
    let is_known = |record: &Record| known.iter().any(|other| place(other) == place(record));
    known.len() == heard.len() && heard.iter().all(is_known)
}

fn meet(cx: &mut Cx<'_>, records: &[Record]) {
    for record in records {
        cx.out.meet(record.address, record.features);
    }
}

#[cfg(test)]
mod tests;
