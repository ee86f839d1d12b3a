//! Questions in flight: which peers were asked, until when, and which candidate is next.
//!
//! Owns the order in which candidates are asked. When an attempt fails, the next candidate is asked at once.
//! Only when a whole round of candidates has failed does the question pause (exponential backoff
//! with jitter). An attempt that is merely late stays open beside the next one, and its answer
//! still counts. The meaning of an answer, and what happens when no candidate is left, are the
//! business of the role that asked.

mod policy;

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

use policy::{Budget, REST_MAX, round_pause};
pub use policy::{GIVE_PATIENCE, Policy};

/// The end of a question, or one of several answers to it.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome<P> {
    /// What it was asked for.
    pub purpose: P,
    /// What became of it.
    pub reply: Reply,
}

/// What became of a question.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// An answer. Further answers follow if `more` is set.
    Answered {
        /// The peer that answered.
        from: Peer,
        /// The answer, never a refusal that another candidate might not give.
        message: Message,
        /// The bytes that follow the answer.
        body: Vec<u8>,
        /// Whether more follow.
        more: bool,
    },
    /// No candidate answered in time, or every candidate refused.
    GaveUp {
        /// The last refusal received, if there was one.
        refusal: Option<Refusal>,
        /// Why the last connection to a candidate was lost, if one was.
        lost: Option<Lost>,
    },
}

/// An answer with its sender and the bytes behind it, or the last refusal and the last loss if
/// there is none.
pub type Answer = Result<(Peer, Message, Vec<u8>), (Option<Refusal>, Option<Lost>)>;

impl Reply {
    /// The same as a result, for a question with one answer.
    pub fn into_result(self) -> Answer {
        match self {
            Reply::Answered {
                from,
                message,
                body,
                ..
            } => Ok((from, message, body)),
            Reply::GaveUp { refusal, lost } => Err((refusal, lost)),
        }
    }

    /// The answer; none if the question was given up.
    pub fn message(self) -> Option<Message> {
        match self {
            Reply::Answered { message, .. } => Some(message),
            Reply::GaveUp { .. } => None,
        }
    }
}

/// The questions in flight of one node.
#[derive(Debug)]
pub struct Requests<P> {
    asked: BTreeMap<RequestId, Question<P>>,
    timers: Timers<(RequestId, Due)>,
    budget: Budget,
    rng: Rng,
    count: u64,
}

#[derive(Debug)]
struct Question<P> {
    purpose: P,
    /// None if the question was sent with a body: the body is not stored, so the question cannot be
    /// sent again.
    message: Option<Message>,
    candidates: Vec<Peer>,
    /// Index of the next candidate. It counts on over the rounds: round n begins at n times the
    /// number of candidates.
    turn: usize,
    rounds: u32,
    /// Candidates that have been asked and have neither failed nor answered.
    open: Vec<Peer>,
    /// Candidates that would give the same refusal however often they are asked. They are not asked
    /// again.
    denied: Vec<Peer>,
    /// Candidates that refused the connection or the handshake once. A second time moves them to
    /// `denied`.
    absent: Vec<Peer>,
    attempt: Duration,
    until: Time,
    refusal: Option<Refusal>,
    lost: Option<Lost>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The candidate is late, or the pause between two rounds is over.
    Attempt,
    /// The question as a whole has run out of time.
    Deadline,
}

impl<P: Clone> Requests<P> {
    /// No questions in flight.
    pub fn new(mut rng: Rng) -> Self {
        // Each start of a node counts from another number. An answer to the earlier start arrives
        // at the same address, and must not match a question of this start.
        let count = rng.bits() >> 16;
        Requests {
            asked: BTreeMap::new(),
            timers: Timers::new(),
            budget: Budget::default(),
            rng,
            count,
        }
    }

    /// Asks the candidates in the order given. Returns none, and drops the purpose, if there are no
    /// candidates or `QUESTIONS_ASKED_MAX` questions are in flight.
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
        let asked = Question {
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

    /// Asks one peer once, with bytes behind the question. Returns none if `QUESTIONS_ASKED_MAX`
    /// questions are in flight.
    pub fn ask_with(
        &mut self,
        now: Time,
        purpose: P,
        to: Peer,
        (message, body): (Message, Vec<u8>),
        patience: Duration,
        out: &mut Outbox,
    ) -> Option<RequestId> {
        let asked = Question {
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

    fn admit(&mut self, asked: Question<P>) -> Option<RequestId> {
        if self.asked.len() >= QUESTIONS_ASKED_MAX {
            return None;
        }
        let id = self.next_id();
        self.timers.arm((id, Due::Deadline), asked.until);
        self.asked.insert(id, asked);
        Some(id)
    }

    /// The number for one more question, or for a message that wants no answer.
    pub fn next_id(&mut self) -> RequestId {
        self.count += 1;
        RequestId(self.count)
    }

    /// Drops the questions whose purpose is not to stay. Their answers will be ignored.
    pub fn retain(&mut self, stays: impl Fn(&P) -> bool) {
        let gone = self
            .asked
            .iter()
            .filter(|(_, asked)| !stays(&asked.purpose));
        let gone: Vec<RequestId> = gone.map(|(id, _)| *id).collect();
        for id in gone {
            self.cancel(id);
        }
    }

    /// Whether a question with such a purpose is in flight.
    pub fn any(&self, such: impl Fn(&P) -> bool) -> bool {
        self.asked.values().any(|asked| such(&asked.purpose))
    }

    /// Drops a question. Its answer will be ignored.
    pub fn cancel(&mut self, id: RequestId) {
        self.asked.remove(&id);
        self.timers.disarm(&(id, Due::Attempt));
        self.timers.disarm(&(id, Due::Deadline));
    }

    /// The purpose of a question in flight.
    pub fn purpose(&self, id: RequestId) -> Option<&P> {
        self.asked.get(&id).map(|asked| &asked.purpose)
    }

    /// How many questions are in flight.
    pub fn len(&self) -> usize {
        self.asked.len()
    }

    /// Whether no question is in flight.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Takes an answer. Returns none if no question here was put to that peer, or if the answer is
    /// a refusal and the question goes on with other candidates.
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
        // Only a candidate may answer. An answer of another peer under this id is a mistake or a
        // forgery.
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
            let rest = why.rest_ms();
            return self.fail_attempt(now, envelope.id, from, rest, out);
        }
        let purpose = asked.purpose.clone();
        if more {
            // A stream of answers has begun, so no further candidate is asked, however long the
            // stream takes. A late candidate must not add to it.
            asked.turn = usize::MAX;
            asked.candidates = alloc::vec![from];
            asked.open = alloc::vec![from];
            self.timers.disarm(&(envelope.id, Due::Attempt));
        } else {
            self.cancel(envelope.id);
        }
        let reply = Reply::Answered {
            from,
            message: envelope.message,
            body: envelope.body,
            more,
        };
        Some(Outcome { purpose, reply })
    }

    /// Moves every question that waits for `peer` on to its next candidate. Returns the questions
    /// that have no candidate left.
    pub fn on_lost(
        &mut self,
        now: Time,
        peer: Peer,
        why: Lost,
        out: &mut Outbox,
    ) -> Vec<Outcome<P>> {
        let waiting = |asked: &Question<P>| asked.open.contains(&peer);
        let ids: Vec<RequestId> = (self.asked.iter())
            .filter(|(_, asked)| waiting(asked))
            .map(|(id, _)| *id)
            .collect();
        let mut outcomes = Vec::new();
        for id in ids {
            if let Some(asked) = self.asked.get_mut(&id) {
                // A backoff only says that an earlier dial failed. The cause of that failure says
                // more, so a backoff does not replace it.
                if why != Lost::Backoff || asked.lost.is_none() {
                    asked.lost = Some(why);
                }
                if matches!(why, Lost::ConnectRefused | Lost::HandshakeRefused) {
                    asked.note_absent(peer);
                }
            }
            outcomes.extend(self.fail_attempt(now, id, peer, None, out));
        }
        outcomes
    }

    /// Asks the next candidate of each late question, and gives up the questions whose time is
    /// over.
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

    /// Asks the next candidate while the late one may still answer. Only this kind of retry adds
    /// load to a group that may have too much already, so only this kind spends the budget.
    fn on_late(&mut self, now: Time, id: RequestId, out: &mut Outbox) {
        let Some(asked) = self.asked.get(&id) else {
            return;
        };
        if asked.peek().is_none() {
            return; // Every candidate that could still answer has been asked and is at work.
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

    /// Handles the failure of one candidate. The next candidate of the same round is asked at once.
    /// After the last candidate of a round, the next round begins after a pause. A candidate that is
    /// too busy asks for a rest of so many milliseconds: then the next question spends the budget of
    /// retries, because where one has too much to do the others may, too, and without budget it comes
    /// after the longest pause.
    fn fail_attempt(
        &mut self,
        now: Time,
        id: RequestId,
        peer: Peer,
        rest_ms: Option<u32>,
        out: &mut Outbox,
    ) -> Option<Outcome<P>> {
        let asked = self.asked.get_mut(&id)?;
        asked.open.retain(|other| *other != peer);
        let Some(turn) = asked.peek() else {
            return asked.open.is_empty().then(|| self.give_up(id)).flatten();
        };
        let count = asked.candidates.len();
        let same_round = turn / count == asked.turn.saturating_sub(1) / count;
        let may_ask = rest_ms.is_none() || self.budget.spend();
        if same_round && may_ask {
            self.attempt(now, id, out);
        } else if asked.open.is_empty() {
            let round = if may_ask {
                (turn / count) as u32
            } else {
                u32::MAX
            };
            let rest = Duration::from_millis(rest_ms.unwrap_or(0).into()).min(REST_MAX);
            let pause = round_pause(round, &mut self.rng).max(rest);
            self.timers.arm((id, Due::Attempt), now + pause);
        }
        None
    }

    fn give_up(&mut self, id: RequestId) -> Option<Outcome<P>> {
        let asked = self.asked.remove(&id)?;
        self.timers.disarm(&(id, Due::Attempt));
        self.timers.disarm(&(id, Due::Deadline));
        Some(Outcome {
            purpose: asked.purpose,
            reply: Reply::GaveUp {
                refusal: asked.refusal,
                lost: asked.lost,
            },
        })
    }
}

impl<P> Question<P> {
    /// Notes that a candidate refused the connection or the handshake. It may be restarting or have
    /// no room for the connection, so it is tried once more and then given up.
    fn note_absent(&mut self, peer: Peer) {
        let again = self.absent.contains(&peer);
        let list = if again {
            &mut self.denied
        } else {
            &mut self.absent
        };
        list.push(peer);
    }

    /// The turn of the next candidate worth asking: a candidate that is not at work on the question
    /// and has not refused for good. None: the remaining rounds have no such candidate.
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

#[cfg(test)]
mod tests;
