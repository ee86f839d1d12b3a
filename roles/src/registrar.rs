//! A server's own record, kept alive at every DNS node it knows.
//!
//! Renews at a third of the TTL; a DNS node that does not answer is tried again sooner, so that
//! servers started before their DNS are found soon after it starts.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::message::{Envelope, Message, Names, Refusal};
use crate::contract::node::{Lost, Outbox, Peer};
use crate::contract::record::{Address, Record};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::{Timers, earlier};
use crate::requests::{Outcome, Policy, Requester, Requests};

/// First pause before a silent DNS node is tried again; doubles. A cluster that starts all at once
/// is up as soon as its last node is.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Longest of those pauses.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// What a renewal brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// This DNS node has the record.
    Stands(Address),
    /// This one could not be told; it will be tried again.
    Failed(Address),
    /// A newer start of this node is registered: this process must not go on.
    Outdated,
}

/// Keeps one record registered.
#[derive(Debug)]
pub struct Registrar {
    record: Record,
    dns: Vec<Address>,
    requests: Requests<Address>,
    due: Timers<Address>,
    /// Times each DNS node has not answered since it last did.
    failures: BTreeMap<Address, u32>,
    rng: Rng,
}

impl Registrar {
    /// Will keep `record` alive, renewing at a third of its TTL.
    pub fn new(record: Record, mut rng: Rng) -> Self {
        let requests = Requests::new(Requester::Registrar, Rng::from_seed(rng.bits()));
        Registrar {
            record,
            dns: Vec::new(),
            requests,
            due: Timers::new(),
            failures: BTreeMap::new(),
            rng,
        }
    }

    /// The record as it stands, with its whole TTL.
    pub fn record(&self) -> Record {
        self.record
    }

    /// The record under a new renewal, for a DNS node that asks by itself.
    pub fn renew(&mut self) -> Record {
        self.record.renewals += 1;
        self.record
    }

    /// The server's record is another one from here on: every DNS node hears at once.
    pub fn change(&mut self, now: Time, record: Record) {
        let renewals = self.record.renewals;
        self.record = Record { renewals, ..record };
        for at in &self.dns {
            self.due.arm(*at, now);
        }
    }

    /// The DNS nodes to register with; one that was not there before hears at once.
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
    pub fn withdraw(&mut self, now: Time, out: &mut Outbox) {
        for at in core::mem::take(&mut self.dns) {
            self.due.disarm(&at);
            let goodbye = Message::Names(Names::Withdraw {
                record: self.record,
            });
            let to = [Peer::Node(at)].into();
            self.requests.ask(now, at, to, goodbye, Policy::ONCE, out);
        }
    }

    /// Whether a goodbye or a renewal is still unanswered.
    pub fn is_asking(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Takes an answer.
    pub fn on_answer(
        &mut self,
        now: Time,
        from: Peer,
        envelope: Envelope,
        out: &mut Outbox,
    ) -> Option<Registration> {
        let outcome = self.requests.on_answer(now, from, envelope, out)?;
        Some(self.conclude(now, outcome))
    }

    /// A peer is lost.
    pub fn on_lost(
        &mut self,
        now: Time,
        peer: Peer,
        why: Lost,
        out: &mut Outbox,
    ) -> Vec<Registration> {
        // A DNS node that was lost may have lost its memory, too: it hears from us soon.
        if let Peer::Node(at) = peer
            && self.dns.contains(&at)
        {
            self.due.arm_by(at, now + RETRY_PAUSE);
        }
        let outcomes = self.requests.on_lost(now, peer, why, out);
        self.conclude_all(now, outcomes)
    }

    /// Renews where it is time.
    pub fn on_tick(&mut self, now: Time, out: &mut Outbox) -> Vec<Registration> {
        while let Some(at) = self.due.pop_due(now) {
            self.register(now, at, out);
        }
        let outcomes = self.requests.on_tick(now, out);
        self.conclude_all(now, outcomes)
    }

    /// When [`Registrar::on_tick`] wants to run.
    pub fn deadline(&self) -> Option<Time> {
        earlier(self.due.next(), self.requests.deadline())
    }

    fn register(&mut self, now: Time, at: Address, out: &mut Outbox) {
        let record = self.renew();
        let question = Message::Names(Names::Register { record });
        let to = [Peer::Node(at)].into();
        let asked = self.requests.ask(now, at, to, question, Policy::ONCE, out);
        if asked.is_none() {
            self.due.arm(at, now + RETRY_PAUSE_MAX);
        }
    }

    fn conclude_all(&mut self, now: Time, outcomes: Vec<Outcome<Address>>) -> Vec<Registration> {
        (outcomes.into_iter())
            .map(|outcome| self.conclude(now, outcome))
            .collect()
    }

    fn conclude(&mut self, now: Time, outcome: Outcome<Address>) -> Registration {
        let (at, registration) = match outcome {
            Outcome::Answered {
                purpose: at,
                message,
                ..
            } => match message {
                Message::Refused(Refusal::Outdated) => return Registration::Outdated,
                Message::Names(Names::Registered | Names::Withdrawn) => {
                    (at, Registration::Stands(at))
                }
                Message::Refused(_)
                | Message::Names(_)
                | Message::Catalogue(_)
                | Message::Audio(_)
                | Message::Ring(_)
                | Message::Upkeep(_)
                | Message::Chord(_) => (at, Registration::Failed(at)),
            },
            Outcome::GaveUp { purpose: at, .. } => (at, Registration::Failed(at)),
        };
        if self.dns.contains(&at) {
            let wait = match registration {
                Registration::Stands(_) => {
                    self.failures.remove(&at);
                    self.record.ttl() / 3
                }
                Registration::Failed(_) | Registration::Outdated => {
                    let failures = self.failures.entry(at).or_default();
                    let pause = RETRY_PAUSE * (1 << *failures);
                    *failures = (*failures + 1).min(10);
                    pause.min(RETRY_PAUSE_MAX)
                }
            };
            // A little early and never in step, so that a cluster's renewals spread out.
            self.due
                .arm(at, now + wait * 3 / 4 + self.rng.within(wait / 4));
        }
        registration
    }
}
