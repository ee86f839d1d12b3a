//! What every part of a node works with while it handles one event.
//!
//! Owns the questions and jobs that have not ended, one table of each for the whole node, each with
//! the part that it belongs to. The node hands the end of each to that part, which concludes it.

use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::id::{JobId, RequestId};
use crate::contract::job::Job;
use crate::contract::message::{Envelope, Message};
use crate::contract::node::{Lost, Outbox, Peer};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::jobs::Jobs;
use crate::purpose::{Asked, Ordered};
use crate::requests::{Outcome, Policy, Requests};

/// The questions and jobs of one node that have not ended.
#[derive(Debug)]
pub struct Pending {
    questions: Requests<Asked>,
    jobs: Jobs<Ordered>,
}

impl Pending {
    /// No questions and no jobs.
    pub fn new(rng: Rng) -> Self {
        Pending {
            questions: Requests::new(rng),
            jobs: Jobs::default(),
        }
    }

    /// The context of an event that is handled at `now`.
    pub fn cx<'a>(&'a mut self, now: Time, out: &'a mut Outbox) -> Cx<'a> {
        Cx {
            now,
            out,
            pending: self,
        }
    }

    /// How many questions are in flight.
    pub fn questions(&self) -> usize {
        self.questions.len()
    }

    /// When the first question is due.
    pub fn deadline(&self) -> Option<Time> {
        self.questions.deadline()
    }
}

/// The context of one event: the time, where the effects go, and what has not ended.
#[derive(Debug)]
pub struct Cx<'a> {
    /// The moment at which the event is handled.
    pub now: Time,
    /// The effects, in order.
    pub out: &'a mut Outbox,
    pending: &'a mut Pending,
}

impl Cx<'_> {
    /// Asks the candidates in turn, see [`Requests::ask`].
    pub(crate) fn ask(
        &mut self,
        purpose: Asked,
        candidates: Vec<Peer>,
        message: Message,
        policy: Policy,
    ) -> Option<RequestId> {
        let questions = &mut self.pending.questions;
        questions.ask(self.now, purpose, candidates, message, policy, self.out)
    }

    /// Asks one peer once, with bytes behind the question, see [`Requests::ask_with`].
    pub(crate) fn ask_with(
        &mut self,
        purpose: Asked,
        to: Peer,
        question: (Message, Vec<u8>),
        patience: Duration,
    ) -> Option<RequestId> {
        let questions = &mut self.pending.questions;
        questions.ask_with(self.now, purpose, to, question, patience, self.out)
    }

    /// Sends a message that wants no answer.
    pub(crate) fn say(&mut self, to: Peer, message: Message) {
        let id = self.pending.questions.next_id();
        self.out.say(to, id, message);
    }

    /// Drops a question. Its answer will be ignored.
    pub(crate) fn cancel(&mut self, question: RequestId) {
        self.pending.questions.cancel(question);
    }

    /// The purpose of a question in flight.
    pub(crate) fn purpose(&self, question: RequestId) -> Option<&Asked> {
        self.pending.questions.purpose(question)
    }

    /// Whether a question with such a purpose is in flight.
    pub(crate) fn asks(&self, such: impl Fn(&Asked) -> bool) -> bool {
        self.pending.questions.any(such)
    }

    /// Orders a job.
    pub(crate) fn run(&mut self, purpose: Ordered, work: impl Into<Job>) -> JobId {
        self.pending.jobs.run(purpose, work, self.out)
    }

    /// Orders a job whose result will be sent to `peer`, see [`Jobs::run_toward`].
    pub(crate) fn run_toward(
        &mut self,
        purpose: Ordered,
        work: impl Into<Job>,
        peer: Peer,
    ) -> JobId {
        self.pending.jobs.run_toward(purpose, work, peer, self.out)
    }

    /// Drops the purpose of a job. The job still runs, and its reply will be ignored.
    pub(crate) fn forget(&mut self, job: JobId) {
        self.pending.jobs.forget(job);
    }

    /// The jobs that run or wait.
    pub(crate) fn jobs(&self) -> &Jobs<Ordered> {
        &self.pending.jobs
    }

    /// Takes an answer. None if nobody here waits for it, or if its question goes on.
    pub(crate) fn on_answer(&mut self, from: Peer, envelope: Envelope) -> Option<Outcome<Asked>> {
        (self.pending.questions).on_answer(self.now, from, envelope, self.out)
    }

    /// Moves the questions to a lost peer on. Returns those that have no candidate left.
    pub(crate) fn on_lost(&mut self, peer: Peer, why: Lost) -> Vec<Outcome<Asked>> {
        (self.pending.questions).on_lost(self.now, peer, why, self.out)
    }

    /// Moves the late questions on. Returns those whose time is over.
    pub(crate) fn on_tick(&mut self) -> Vec<Outcome<Asked>> {
        self.pending.questions.on_tick(self.now, self.out)
    }

    /// The purpose of an ended job. None: the job was forgotten.
    pub(crate) fn on_done(&mut self, job: JobId) -> Option<Ordered> {
        self.pending.jobs.done(job)
    }

    /// Drops the questions and jobs of a role that has ended. What its library still reads and
    /// writes for others goes on.
    pub(crate) fn end_role(&mut self) {
        self.pending.questions.retain(Asked::outlives_role);
        self.pending.jobs.retain(Ordered::outlives_role);
    }
}
