//! A server's own record, kept registered at every DNS node that it knows.
//!
//! It renews the record at a third of the TTL. A DNS node that does not answer is tried again
//! sooner, so that servers started before their DNS node are found soon after it starts.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::message::{Message, Names, Refusal};
use crate::contract::node::Peer;
use crate::contract::record::{Address, Record};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::Timers;
use crate::cx::Cx;
use crate::purpose::Asked;
use crate::requests::{Policy, Reply};

/// First pause before a silent DNS node is tried again. It doubles. It is short, so that a cluster
/// whose nodes start together is complete soon after its last node has started.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Longest pause before a silent DNS node is tried again.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// The outcome of a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// The DNS node has stored the record, or has taken the goodbye.
    Stands,
    /// The DNS node did not take the record. It will be tried again.
    Failed,
    /// A newer start of this node is registered: this process must not go on.
    Outdated,
}

/// Keeps one record registered.
#[derive(Debug)]
pub struct Registrar {
    record: Record,
    dns: Vec<Address>,
    due: Timers<Address>,
    /// Consecutive failures of each DNS node.
    failures: BTreeMap<Address, u32>,
    rng: Rng,
}

impl Registrar {
    /// Will keep `record` alive, renewing at a third of its TTL.
    pub fn new(record: Record, rng: Rng) -> Self {
        Registrar {
            record,
            dns: Vec::new(),
            due: Timers::new(),
            failures: BTreeMap::new(),
            rng,
        }
    }

    /// The current record, with its whole TTL.
    pub fn record(&self) -> Record {
        self.record
    }

    /// Counts a renewal and returns the record. Each registration, and each answer to a DNS node
    /// that asks whether this server lives, is a renewal.
    pub fn renew(&mut self) -> Record {
        self.record.renewals += 1;
        self.record
    }

    /// Replaces the record, and registers the replacement at every DNS node at once.
    pub fn change(&mut self, now: Time, record: Record) {
        let renewals = self.record.renewals;
        self.record = Record { renewals, ..record };
        for at in &self.dns {
            self.due.arm(*at, now);
        }
    }

    /// Sets the DNS nodes to register with. An added DNS node is registered with at once.
    pub fn serve(&mut self, now: Time, dns: impl Iterator<Item = Address>) {
        let own = self.record.address;
        let dns: Vec<Address> = dns.filter(|at| *at != own).collect();
        for gone in self.dns.iter().filter(|at| !dns.contains(at)) {
            self.due.disarm(gone);
        }
        for fresh in dns.iter().filter(|at| !self.dns.contains(at)) {
            self.due.arm(*fresh, now);
        }
        self.failures.retain(|at, _| dns.contains(at));
        self.dns = dns;
    }

    /// Says goodbye to every DNS node.
    pub fn withdraw(&mut self, cx: &mut Cx<'_>) {
        for at in core::mem::take(&mut self.dns) {
            self.due.disarm(&at);
            let goodbye = Message::Names(Names::Withdraw {
                record: self.record,
            });
            let to = [Peer::Node(at)].into();
            cx.ask(Asked::Registrar(at), to, goodbye, Policy::ONCE);
        }
    }

    /// Whether a goodbye or a renewal is still unanswered.
    pub fn is_asking(cx: &Cx<'_>) -> bool {
        cx.asks(|asked| matches!(asked, Asked::Registrar(_)))
    }

    /// Registers again soon with a DNS node whose connection is lost.
    pub fn on_lost(&mut self, now: Time, peer: Peer) {
        // A lost DNS node may have restarted without its records, so the server registers again
        // soon and does not wait for a third of the TTL.
        if let Peer::Node(at) = peer
            && self.dns.contains(&at)
        {
            self.due.arm_by(at, now + RETRY_PAUSE);
        }
    }

    /// Renews the record at the DNS nodes where it is due.
    pub fn on_tick(&mut self, cx: &mut Cx<'_>) {
        while let Some(at) = self.due.pop_due(cx.now) {
            self.register(cx, at);
        }
    }

    /// When [`Registrar::on_tick`] wants to run.
    pub fn deadline(&self) -> Option<Time> {
        self.due.next()
    }

    fn register(&mut self, cx: &mut Cx<'_>, at: Address) {
        let record = self.renew();
        let question = Message::Names(Names::Register { record });
        let to = [Peer::Node(at)].into();
        let asked = cx.ask(Asked::Registrar(at), to, question, Policy::ONCE);
        if asked.is_none() {
            self.due.arm(at, cx.now + RETRY_PAUSE_MAX);
        }
    }

    /// Takes the end of a renewal or a goodbye at this DNS node.
    pub(crate) fn conclude(&mut self, now: Time, at: Address, reply: Reply) -> Registration {
        let registration = match reply.message() {
            Some(Message::Refused(Refusal::Outdated)) => return Registration::Outdated,
            Some(Message::Names(Names::Registered | Names::Withdrawn)) => Registration::Stands,
            _ => Registration::Failed,
        };
        if self.dns.contains(&at) {
            let wait = match registration {
                Registration::Stands => {
                    self.failures.remove(&at);
                    self.record.ttl() / 3
                }
                Registration::Failed | Registration::Outdated => {
                    let failures = self.failures.entry(at).or_default();
                    let pause = RETRY_PAUSE * (1 << *failures);
                    *failures = (*failures + 1).min(10);
                    pause.min(RETRY_PAUSE_MAX)
                }
            };
            // Each renewal is a little early by a random amount, so that the renewals of a cluster
            // spread over time.
            self.due
                .arm(at, now + wait * 3 / 4 + self.rng.within(wait / 4));
        }
        registration
    }
}
