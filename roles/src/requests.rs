//! Questions in flight: to whom, until when, and whom to ask next.
//!
//! Owns the retry policy of every role. A failed attempt goes elsewhere first: the candidates are
//! asked in turn, and only a whole round of failures waits (full jitter, doubling). An attempt
//! that is merely late stays open beside the next one, and its answer still counts. What an
//! answer means, and what to do when nobody is left, is the asking role's business.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::id::RequestId;
use crate::contract::limits::QUESTIONS_ASKED_MAX;
use crate::contract::message::{Envelope, Kind, Message, Refusal};
use crate::contract::node::{Lost, Outbox, Peer};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::Timers;

/// The part of a node that a question or job belongs to. It is the top byte of the number, so that
/// an answer finds its part and two parts never give out the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Requester {
    /// Registration with the DNS nodes.
    Registrar = 1,
    /// Names to addresses.
    Resolver = 2,
    /// A DNS node.
    Dns = 3,
    /// A data node's own answers.
    Data = 4,
    /// A data node telling the routers what it keeps.
    Announcer = 5,
    /// A data node making copies.
    Replication = 6,
    /// A server asking for its role.
    Assignment = 7,
    /// A client.
    Client = 8,
    /// A member of the ring.
    Ring = 9,
    /// A data node comparing what it holds with the others.
    Upkeep = 10,
    /// A data node replacing what has rotted.
    Scrub = 11,
    /// A data node telling the others what is gone.
    Removal = 12,
    /// A data node keeping its place on the hash ring.
    Chord = 13,
    /// A router or client looking a song up at the data nodes.
    Locator = 14,
}

impl Requester {
    /// The part of the node that has given out a number; none if the top byte names no part.
    pub fn of(number: u64) -> Option<Self> {
        [
            Requester::Registrar,
            Requester::Resolver,
            Requester::Dns,
            Requester::Data,
            Requester::Announcer,
            Requester::Replication,
            Requester::Assignment,
            Requester::Client,
            Requester::Ring,
            Requester::Upkeep,
            Requester::Scrub,
            Requester::Removal,
            Requester::Chord,
            Requester::Locator,
        ]
        .into_iter()
        .find(|requester| *requester as u64 == number >> 56)
    }

    /// The number after `count` others of the same part.
    pub fn number(self, count: u64) -> u64 {
        (self as u64) << 56 | count
    }
}

/// How patient a question is.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// When to give up.
    pub deadline: Duration,
    /// How long one candidate may take before the next is asked beside it.
    pub attempt: Duration,
    /// How many rounds over the candidates: 1 never asks anyone twice.
    pub rounds: u32,
}

impl Policy {
    /// A short question to a group: half a second each, rounds until the deadline for those who
    /// are there and not ready.
    pub const GROUP: Policy = Policy {
        deadline: Duration::from_secs(5),
        attempt: Duration::from_millis(500),
        rounds: 8,
    };

    /// A look-up at the DNS nodes: told soon where none is there.
    pub const RESOLVE: Policy = Policy {
        deadline: Duration::from_secs(3),
        rounds: 2,
        ..Policy::GROUP
    };

    /// A song offered to one data node, by whoever has it.
    pub const OFFER: Policy = Policy {
        deadline: Duration::from_secs(10),
        attempt: Duration::from_secs(10),
        rounds: 1,
    };

    /// A short question to one node, asked again by its own period, not by retries.
    pub const ONCE: Policy = Policy {
        deadline: Duration::from_secs(2),
        attempt: Duration::from_secs(2),
        rounds: 1,
    };
}

/// How long one fragment of an offered song may take to arrive and be kept.
pub const GIVE_PATIENCE: Duration = Duration::from_secs(30);

/// What became of a question.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<P> {
    /// An answer; `more` of them follow if it says so.
    Answered {
        /// What it was asked for.
        purpose: P,
        /// Who answered.
        from: Peer,
        /// The answer, never a refusal that another candidate might not give.
        message: Message,
        /// The bytes behind it.
        body: Vec<u8>,
        /// Whether more follow.
        more: bool,
    },
    /// Nobody answered in time, or everyone asked refused.
    GaveUp {
        /// What it was asked for.
        purpose: P,
        /// The last refusal heard.
        refusal: Option<Refusal>,
        /// The last loss seen.
        lost: Option<Lost>,
    },
}

/// A part's questions in flight.
#[derive(Debug)]
pub struct Requests<P> {
    requester: Requester,
    asked: BTreeMap<RequestId, Asked<P>>,
    timers: Timers<(RequestId, Due)>,
    budget: Budget,
    rng: Rng,
    count: u64,
}

#[derive(Debug)]
struct Asked<P> {
    purpose: P,
    /// None once it has been sent with a body, which is not kept for a second sending.
    message: Option<Message>,
    candidates: Vec<Peer>,
    /// Index of the next candidate, counted on over the rounds.
    turn: usize,
    rounds: u32,
    /// Asked and neither failed nor answered.
    open: Vec<Peer>,
    /// Those that will say the same however often they are asked.
    denied: Vec<Peer>,
    /// Those at whose address nobody listened or let us in, once.
    absent: Vec<Peer>,
    attempt: Duration,
    until: Time,
    refusal: Option<Refusal>,
    lost: Option<Lost>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The candidate is late, or the wait between rounds is over.
    Attempt,
    /// The patience is over.
    Deadline,
}

impl<P: Clone> Requests<P> {
    /// Nothing asked yet.
    pub fn new(requester: Requester, mut rng: Rng) -> Self {
        // Each start counts from another number: an answer to its predecessor, which finds the
        // same address, must not look like an answer to a question of its own.
        let count = rng.bits() >> 16;
        Requests {
            requester,
            asked: BTreeMap::new(),
            timers: Timers::new(),
            budget: Budget::default(),
            rng,
            count,
        }
    }

    /// Asks the candidates in the order given. None: too much is asked already, or there is
    /// nobody to ask; the purpose is dropped.
    pub fn ask(
        &mut self,
        now: Time,
        purpose: P,
        candidates: Vec<Peer>,
        message: Message,
        policy: Policy,
        out: &mut Outbox,
    ) -> Option<RequestId> {
        if candidates.is_empty() {
            return None;
        }
        let asked = Asked {
            purpose,
            message: Some(message),
            candidates,
            turn: 0,
            rounds: policy.rounds,
            open: Vec::new(),
            denied: Vec::new(),
            absent: Vec::new(),
            attempt: policy.attempt,
            until: now + policy.deadline,
            refusal: None,
            lost: None,
        };
        let id = self.admit(asked)?;
        self.budget.earn();
        self.attempt(now, id, out);
        Some(id)
    }

    /// Asks one peer once, with bytes behind the question.
    pub fn ask_with(
        &mut self,
        now: Time,
        purpose: P,
        to: Peer,
        (message, body): (Message, Vec<u8>),
        patience: Duration,
        out: &mut Outbox,
    ) -> Option<RequestId> {
        let asked = Asked {
            purpose,
            message: None,
            candidates: alloc::vec![to],
            turn: 1,
            rounds: 1,
            open: alloc::vec![to],
            denied: Vec::new(),
            absent: Vec::new(),
            attempt: patience,
            until: now + patience,
            refusal: None,
            lost: None,
        };
        let id = self.admit(asked)?;
        out.ask(to, id, patience, message, body);
        Some(id)
    }

    fn admit(&mut self, asked: Asked<P>) -> Option<RequestId> {
        if self.asked.len() >= QUESTIONS_ASKED_MAX {
            return None;
        }
        self.count += 1;
        let id = RequestId(self.requester.number(self.count));
        self.timers.arm((id, Due::Deadline), asked.until);
        self.asked.insert(id, asked);
        Some(id)
    }

    /// Forgets a question; its answer will find nobody.
    pub fn cancel(&mut self, id: RequestId) {
        self.asked.remove(&id);
        self.timers.disarm(&(id, Due::Attempt));
        self.timers.disarm(&(id, Due::Deadline));
    }

    /// What a question in flight is for.
    pub fn purpose(&self, id: RequestId) -> Option<&P> {
        self.asked.get(&id).map(|asked| &asked.purpose)
    }

    /// How many questions are in flight.
    pub fn len(&self) -> usize {
        self.asked.len()
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Takes an answer. None: nobody here asked that peer for it, or another candidate is asked
    /// because of it.
    pub fn on_answer(
        &mut self,
        now: Time,
        from: Peer,
        envelope: Envelope,
        out: &mut Outbox,
    ) -> Option<Outcome<P>> {
        let Kind::Answer { more } = envelope.kind else {
            return None;
        };
        let asked = self.asked.get_mut(&envelope.id)?;
        if !asked.candidates.contains(&from) {
            return None;
        }
        if let Message::Refused(why) = &envelope.message
            && !why.is_final()
        {
            asked.refusal = Some(why.clone());
            if why.is_lasting() && !asked.denied.contains(&from) {
                asked.denied.push(from);
            }
            return self.fail_attempt(now, envelope.id, from, out);
        }
        let purpose = asked.purpose.clone();
        if more {
            // A stream of answers has begun: whoever sends it is asked alone from here on.
            asked.turn = usize::MAX;
            self.timers.disarm(&(envelope.id, Due::Attempt));
        } else {
            self.cancel(envelope.id);
        }
        Some(Outcome::Answered {
            purpose,
            from,
            message: envelope.message,
            body: envelope.body,
            more,
        })
    }

    /// Moves every question that waited for `peer` on to its next candidate.
    pub fn on_lost(
        &mut self,
        now: Time,
        peer: Peer,
        why: Lost,
        out: &mut Outbox,
    ) -> Vec<Outcome<P>> {
        let waiting = |asked: &Asked<P>| asked.open.contains(&peer);
        let ids: Vec<RequestId> = (self.asked.iter())
            .filter(|(_, asked)| waiting(asked))
            .map(|(id, _)| *id)
            .collect();
        let mut outcomes = Vec::new();
        for id in ids {
            if let Some(asked) = self.asked.get_mut(&id) {
                // That it was dialled in vain a moment ago says less than why it was in vain.
                if why != Lost::Backoff || asked.lost.is_none() {
                    asked.lost = Some(why);
                }
                if matches!(why, Lost::ConnectRefused | Lost::HandshakeRefused) {
                    asked.note_absent(peer);
                }
            }
            outcomes.extend(self.fail_attempt(now, id, peer, out));
        }
        outcomes
    }

    /// Asks the next candidates of late questions, gives up those whose time is over.
    pub fn on_tick(&mut self, now: Time, out: &mut Outbox) -> Vec<Outcome<P>> {
        let mut outcomes = Vec::new();
        while let Some((id, due)) = self.timers.pop_due(now) {
            match due {
                Due::Deadline => outcomes.extend(self.give_up(id)),
                Due::Attempt => self.on_late(now, id, out),
            }
        }
        outcomes
    }

    /// When [`Requests::on_tick`] wants to run.
    pub fn deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Nobody has answered yet: the next candidate is asked beside the late one. Only this way
    /// of asking again adds load where there may be too much already, so only it is budgeted.
    fn on_late(&mut self, now: Time, id: RequestId, out: &mut Outbox) {
        let Some(asked) = self.asked.get(&id) else {
            return;
        };
        if asked.peek().is_none() {
            return; // Everyone who could still answer has been asked and is at work.
        }
        if asked.open.is_empty() || self.budget.spend() {
            self.attempt(now, id, out);
        } else {
            self.timers.arm((id, Due::Attempt), now + asked.attempt);
        }
    }

    fn attempt(&mut self, now: Time, id: RequestId, out: &mut Outbox) {
        let Some(asked) = self.asked.get_mut(&id) else {
            return;
        };
        let (Some(turn), Some(message)) = (asked.peek(), &asked.message) else {
            return;
        };
        let peer = asked.candidates[turn % asked.candidates.len()];
        asked.turn = turn + 1;
        asked.open.push(peer);
        out.ask(peer, id, asked.until - now, message.clone(), Vec::new());
        self.timers.arm((id, Due::Attempt), now + asked.attempt);
    }

    /// One candidate has failed: the next is asked at once, or after a pause if all have.
    fn fail_attempt(
        &mut self,
        now: Time,
        id: RequestId,
        peer: Peer,
        out: &mut Outbox,
    ) -> Option<Outcome<P>> {
        let asked = self.asked.get_mut(&id)?;
        asked.open.retain(|other| *other != peer);
        let Some(turn) = asked.peek() else {
            return asked.open.is_empty().then(|| self.give_up(id)).flatten();
        };
        let count = asked.candidates.len();
        if turn / count == asked.turn.saturating_sub(1) / count {
            self.attempt(now, id, out);
        } else if asked.open.is_empty() {
            let round = (turn / count) as u32;
            let pause = round_pause(round, &mut self.rng);
            self.timers.arm((id, Due::Attempt), now + pause);
        }
        None
    }

    fn give_up(&mut self, id: RequestId) -> Option<Outcome<P>> {
        let asked = self.asked.remove(&id)?;
        self.timers.disarm(&(id, Due::Attempt));
        self.timers.disarm(&(id, Due::Deadline));
        Some(Outcome::GaveUp {
            purpose: asked.purpose,
            refusal: asked.refusal,
            lost: asked.lost,
        })
    }
}

impl<P> Asked<P> {
    /// Nobody listens there, or nobody who accepts our key: it may be starting again or have no
    /// room, so it is tried once more, and that is all.
    fn note_absent(&mut self, peer: Peer) {
        let again = self.absent.contains(&peer);
        let list = if again {
            &mut self.denied
        } else {
            &mut self.absent
        };
        list.push(peer);
    }

    /// The turn of the next candidate worth asking: one who is not at work on it already, and has
    /// not said what it will say again. None: there is no such one in the rounds that are left.
    fn peek(&self) -> Option<usize> {
        self.message.as_ref()?;
        let count = self.candidates.len();
        let end = count * self.rounds as usize;
        (self.turn..end).find(|turn| {
            let peer = &self.candidates[turn % count];
            !self.open.contains(peer) && !self.denied.contains(peer)
        })
    }
}

/// The wait after `round` rounds of failures: full jitter over 100 ms, doubling to 2 s. The floor
/// lets the host's dial backoff pass, or every second round would fail for nothing.
fn round_pause(round: u32, rng: &mut Rng) -> Duration {
    let longest = Duration::from_millis(100 << round.min(5)).min(Duration::from_secs(2));
    rng.upper_half(longest)
}

impl Refusal {
    /// Whether the same node would say the same a little later.
    pub fn is_lasting(&self) -> bool {
        match self {
            Refusal::NotFound | Refusal::WrongRole => true,
            Refusal::Ambiguous(_) | Refusal::Invalid(_) | Refusal::Outdated => self.is_final(),
            Refusal::Busy { .. }
            | Refusal::NotReady
            | Refusal::ShuttingDown
            | Refusal::DiskFull
            | Refusal::Broken(_) => false,
        }
    }

    /// Whether everyone else would say the same.
    pub fn is_final(&self) -> bool {
        match self {
            Refusal::Ambiguous(_) | Refusal::Invalid(_) | Refusal::Outdated => true,
            Refusal::Busy { .. }
            | Refusal::NotFound
            | Refusal::WrongRole
            | Refusal::NotReady
            | Refusal::ShuttingDown
            | Refusal::DiskFull
            | Refusal::Broken(_) => false,
        }
    }
}

/// Lets one question in ten be asked a second time while the first candidate may still be at
/// work, so that a slow group is not drowned by its askers (Dean and Barroso, "The Tail at
/// Scale"). A small stock lets a lone question be retried.
#[derive(Debug)]
struct Budget {
    tenths: u32,
}

const BUDGET_TENTHS_MAX: u32 = 100;

impl Default for Budget {
    fn default() -> Self {
        Budget {
            tenths: BUDGET_TENTHS_MAX,
        }
    }
}

impl Budget {
    fn earn(&mut self) {
        self.tenths = (self.tenths + 1).min(BUDGET_TENTHS_MAX);
    }

    fn spend(&mut self) -> bool {
        let enough = self.tenths >= 10;
        self.tenths -= if enough { 10 } else { 0 };
        enough
    }
}

#[cfg(test)]
mod tests;
