//! Join, stabilise, rectify: how neighbours change. One operation at a time, one question each.

use alloc::vec::Vec;

use super::arc::between;
use super::flaws::Flaw;
use super::{Chord, HELD_MAX, Neighbours, ROUNDS_MORE, Standing, Table, Words, message};
use crate::contract::id::NodeId;
use crate::contract::limits::NEIGHBOURS_MAX;
use crate::contract::message::{Message, Refusal};
use crate::contract::node::{Asker, Outbox, Peer};
use crate::contract::time::Time;
use crate::requests::{Outcome, Policy};

/// An operation that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) number: u64,
    pub(super) until: Time,
    step: Step,
    of: NodeId,
    request: crate::contract::id::RequestId,
}

/// What the answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Of the node that will be the first successor, or of one behind it.
    Join {
        /// How many are nearer, and have refused.
        place: usize,
    },
    /// Of the first successor: part A of a stabilisation.
    Successor,
    /// Of the node between it and this one: part B.
    Candidate,
    /// Of the node that the member table has next, where the list passes it by.
    Suggested {
        /// Whom part B is about if it does not answer.
        candidate: Option<NodeId>,
    },
    /// Of the node that the member table has before, where another or none is known.
    Behind,
    /// Of the predecessor, which another believes itself to be.
    Predecessor {
        /// Who does.
        notifier: NodeId,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Ask { number: u64, step: Step, of: NodeId },
    Notify,
}

/// Times that everybody has refused a newcomer, one after the other, before it believes that nobody
/// else is on the circle either.
const REFUSALS: u32 = 3;

/// Most nodes a newcomer turns to, the nearest first: where there is a circle, one of so many
/// adjacent nodes is on it.
pub(super) const HOSTS_MAX: usize = 16;

impl Chord {
    /// Whether a question must wait until the operation under way is over.
    pub(super) fn must_wait(&self, words: &Words) -> bool {
        let tells = matches!(words, Words::Neighbours { .. });
        let hasty = tells && self.config.flaws.has(Flaw::AnswersWhilePending);
        self.pending.is_some() && self.standing == Standing::Joined && !hasty
    }

    pub(super) fn hold(&mut self, asker: Asker, words: Words, out: &mut Outbox) {
        if self.held.len() >= HELD_MAX {
            let retry_after_ms = 100;
            return out.refuse(asker, Refusal::Busy { retry_after_ms });
        }
        self.held.push_back((asker, words));
    }

    /// Answers what was held back, until an answer needs an operation of its own.
    pub(super) fn release(&mut self, now: Time, table: &dyn Table, out: &mut Outbox) {
        while self.pending.is_none()
            && let Some((asker, words)) = self.held.pop_front()
        {
            if now <= asker.until {
                self.on_question(now, asker, words, table, out);
            }
        }
    }

    pub(super) fn on_neighbours(&mut self, asker: Asker, of: NodeId, out: &mut Outbox) {
        if of != self.me || self.standing == Standing::Apart {
            return out.refuse(asker, Refusal::NotReady);
        }
        let Neighbours {
            successors,
            predecessor,
        } = self.beside.clone();
        let words = Words::Neighbourhood {
            predecessor,
            successors,
        };
        out.answer(asker, message(words));
    }

    /// Rectify: somebody believes that it stands before this node.
    pub(super) fn on_notify(
        &mut self,
        now: Time,
        asker: Asker,
        table: &dyn Table,
        out: &mut Outbox,
    ) {
        let notifier = asker.sender.node;
        // Of somebody the ring does not count among the data nodes nothing is believed.
        if self.standing == Standing::Apart || notifier == self.me || table.is_dead(notifier) {
            return out.refuse(asker, Refusal::NotReady);
        }
        out.answer(asker, message(Words::Noted));
        if self.standing == Standing::Joined {
            self.rectify(now, notifier, table, out);
        }
    }

    fn rectify(&mut self, now: Time, notifier: NodeId, table: &dyn Table, out: &mut Outbox) {
        match self.beside.predecessor {
            Some(known) if known == notifier => (),
            Some(known) if !between(known, notifier, self.me) => {
                if !self.config.flaws.has(Flaw::NeverReplacesPredecessor) {
                    self.ask(now, Step::Predecessor { notifier }, known, table, out);
                }
            }
            Some(_) | None => self.precede(now, notifier),
        }
    }

    fn precede(&mut self, now: Time, node: NodeId) {
        self.beside.predecessor = Some(node);
        self.stir(now, ROUNDS_MORE);
    }

    /// Something is going on: the next round comes soon, and so many at least.
    fn stir(&mut self, now: Time, rounds: u32) {
        self.rounds = self.rounds.max(rounds);
        let soon = now + self.config.round;
        if self.due_at > soon {
            self.due_at = soon;
        }
    }

    /// Joins, or stabilises.
    pub(super) fn begin(&mut self, now: Time, table: &dyn Table, out: &mut Outbox) {
        self.rounds = self.rounds.saturating_sub(1);
        if self.beside != self.suggested {
            self.rounds = self.rounds.max(1); // It is not where it should be yet.
        }
        let pause = if self.rounds > 0 {
            self.config.round
        } else {
            self.config.every
        };
        self.due_at = now + self.chance.upper_half(pause);
        match self.standing {
            Standing::Listed => self.due_at = Time::NEVER,
            Standing::Apart => self.join(now, table, out),
            Standing::Joined => self.stabilise(now, table, out),
        }
    }

    fn join(&mut self, now: Time, table: &dyn Table, out: &mut Outbox) {
        self.rounds = self.rounds.max(1); // Until it is on the circle, it is restless.
        self.join_by(now, 0, table, out);
    }

    /// Asks the node that comes so many places after this one, where those in between have refused.
    /// The nearest is joined by; that another answers tells only that there is a circle, and that
    /// the nearest is still on its way there: a list that begins behind it might skip it once it
    /// has arrived.
    fn join_by(&mut self, now: Time, place: usize, table: &dyn Table, out: &mut Outbox) {
        if let Some(next) = self.hosts.get(place).copied() {
            return self.ask(now, Step::Join { place }, next, table, out);
        }
        self.refused += 1;
        if self.refused >= REFUSALS {
            self.found();
        }
    }

    /// Part A: drops the dead at the head of the list, then asks the first that lives.
    fn stabilise(&mut self, now: Time, table: &dyn Table, out: &mut Outbox) {
        if self.config.flaws.has(Flaw::ClearsPredecessor) {
            self.beside.predecessor.take_if(|node| table.is_dead(*node));
        }
        let dead = |node: &&NodeId| table.is_dead(**node);
        let count = self.beside.successors.iter().take_while(dead).count();
        self.beside.successors.drain(..count);
        if let Some(first) = self.beside.successors.first().copied() {
            return self.ask(now, Step::Successor, first, table, out);
        }
        if !self.config.flaws.has(Flaw::FoundsAlone) {
            // Nobody of the list lives: a place is found anew through the member table.
            self.standing = Standing::Apart;
            return self.join(now, table, out);
        }
        if let Some(candidate) = self.beside.predecessor {
            self.ask(now, Step::Candidate, candidate, table, out);
        }
    }

    fn ask(&mut self, now: Time, step: Step, of: NodeId, table: &dyn Table, out: &mut Outbox) {
        let Some(address) = table.address(of) else {
            return self.on_dead(now, step, of, table, out);
        };
        self.operations += 1;
        let number = self.operations;
        let patience = self.config.patience;
        let policy = Policy {
            deadline: patience,
            attempt: patience,
            rounds: 1,
        };
        let purpose = Purpose::Ask { number, step, of };
        let question = message(Words::Neighbours { of });
        let to = [Peer::Node(address)].into();
        if let Some(request) = (self.requests).ask(now, purpose, to, question, policy, out) {
            self.pending = Some(Pending {
                number,
                until: now + self.chance.upper_half(patience),
                step,
                of,
                request,
            });
        }
    }

    fn notify(&mut self, now: Time, node: NodeId, table: &dyn Table, out: &mut Outbox) {
        if let Some(address) = table.address(node) {
            let to = [Peer::Node(address)].into();
            let question = message(Words::Notify);
            let _ = (self.requests).ask(now, Purpose::Notify, to, question, Policy::ONCE, out);
        }
    }

    /// Ends an operation whose target has died, or that has waited for long enough.
    pub(super) fn look_after(&mut self, now: Time, table: &dyn Table, out: &mut Outbox) {
        let Some(pending) = self.pending else {
            return;
        };
        if table.is_dead(pending.of) {
            self.give_up();
            self.on_dead(now, pending.step, pending.of, table, out);
            self.release(now, table, out);
        } else if pending.until <= now {
            self.give_up();
            self.on_silence(now, pending.step, pending.of, table, out);
        }
    }

    /// The operation under way is over; its answer will find nobody.
    pub(super) fn give_up(&mut self) {
        if let Some(pending) = self.pending.take()
            && !self.config.flaws.has(Flaw::AcceptsLateAnswers)
        {
            self.requests.cancel(pending.request);
        }
    }

    pub(super) fn conclude(
        &mut self,
        now: Time,
        outcome: Outcome<Purpose>,
        table: &dyn Table,
        out: &mut Outbox,
    ) {
        let (purpose, answer, refused) = match outcome {
            Outcome::Answered {
                purpose, message, ..
            } => (purpose, Some(message), false),
            Outcome::GaveUp {
                purpose, refusal, ..
            } => (purpose, None, refusal.is_some()),
        };
        let Purpose::Ask { number, step, of } = purpose else {
            return; // A notice that is not heard is given again in the next round.
        };
        let current = self.operation() == Some(number);
        if current {
            self.pending = None;
        } else if answer.is_none() {
            return;
        }
        match self.neighbours_in(answer) {
            Some(theirs) => self.on_neighbourhood(now, step, of, theirs, table, out),
            None if !current => (),
            None => {
                if let (Step::Join { place }, true) = (step, refused) {
                    self.join_by(now, place + 1, table, out);
                } else {
                    self.on_silence(now, step, of, table, out);
                }
            }
        }
        self.release(now, table, out);
    }

    fn neighbours_in(&mut self, answer: Option<Message>) -> Option<Neighbours> {
        let Message::Chord(Words::Neighbourhood {
            predecessor,
            successors,
        }) = answer?
        else {
            self.strange += 1;
            return None;
        };
        if successors.len() > NEIGHBOURS_MAX.max(self.config.successors) {
            self.strange += 1;
            return None;
        }
        Some(Neighbours {
            successors,
            predecessor,
        })
    }

    fn on_neighbourhood(
        &mut self,
        now: Time,
        step: Step,
        of: NodeId,
        theirs: Neighbours,
        table: &dyn Table,
        out: &mut Outbox,
    ) {
        self.silent = None;
        match step {
            Step::Join { place: 0 } => self.on_led(now, of, &theirs.successors),
            Step::Join { .. } => self.refused = 0,
            Step::Successor => self.on_successor(now, of, theirs, table, out),
            Step::Candidate | Step::Suggested { .. } => {
                self.adopt(now, of, &theirs.successors);
                self.notify(now, of, table, out);
            }
            Step::Behind => self.rectify(now, of, table, out),
            Step::Predecessor { .. } => (), // It lives, and stays.
        }
    }

    /// Only from here on is this node on the circle; nobody has it in a list yet.
    fn on_led(&mut self, now: Time, next: NodeId, theirs: &[NodeId]) {
        self.refused = 0;
        self.standing = Standing::Joined;
        let pointer = self.config.flaws.has(Flaw::JoinsWithOnePointer);
        self.adopt(now, next, if pointer { &[] } else { theirs });
        self.beside.predecessor = None;
    }

    fn on_successor(
        &mut self,
        now: Time,
        of: NodeId,
        theirs: Neighbours,
        table: &dyn Table,
        out: &mut Outbox,
    ) {
        self.adopt(now, of, &theirs.successors);
        // What is held back may be told now: part B is a question of its own.
        self.release(now, table, out);
        let nearer = |node: &NodeId| between(self.me, *node, of);
        match theirs.predecessor.filter(nearer) {
            Some(candidate) if self.config.flaws.has(Flaw::AdoptsTheSilent) => {
                let list = self.beside.successors.clone();
                self.adopt(now, candidate, &list);
                self.notify(now, candidate, table, out);
            }
            // The notice that has just been answered may be worked on: that goes before.
            Some(_) | None if self.pending.is_some() => self.stir(now, 1),
            candidate => {
                let known = theirs.predecessor == Some(self.me);
                self.close_up(now, candidate, known, table, out);
            }
        }
    }

    /// Part B: asks the nearest node that is said to stand before the successor. That may be the
    /// successor's predecessor. It may be one that the member table has next: where a split has
    /// left two circles, each of them is whole and knows nothing of the other. Whoever it is, it
    /// is adopted when it has answered itself.
    fn close_up(
        &mut self,
        now: Time,
        candidate: Option<NodeId>,
        known: bool,
        table: &dyn Table,
        out: &mut Outbox,
    ) {
        let Some(nearest) = candidate.or(self.beside.successors.first().copied()) else {
            return;
        };
        let nearer = |node: &NodeId| between(self.me, *node, nearest) && !table.is_dead(*node);
        let suggested = self.suggested.successors.first().copied().filter(nearer);
        match (suggested, candidate) {
            (Some(next), _) if self.config.flaws.has(Flaw::AdoptsTheSuggested) => {
                let list = self.beside.successors.clone();
                self.adopt(now, next, &list);
                self.notify(now, next, table, out);
            }
            (Some(next), candidate) => {
                self.ask(now, Step::Suggested { candidate }, next, table, out);
            }
            (None, Some(candidate)) => self.ask(now, Step::Candidate, candidate, table, out),
            // Told by the very node that it stands before: it would change nothing.
            (None, None) if known => self.look_back(now, table, out),
            (None, None) => {
                self.notify_first(now, table, out);
                self.look_back(now, table, out);
            }
        }
    }

    /// Whom the member table has next does not answer; most likely it is on its way to the circle.
    fn do_without(
        &mut self,
        now: Time,
        candidate: Option<NodeId>,
        table: &dyn Table,
        out: &mut Outbox,
    ) {
        match candidate {
            Some(candidate) => self.ask(now, Step::Candidate, candidate, table, out),
            None => self.notify_first(now, table, out),
        }
    }

    /// A node that has lost its place and found it again is told by nobody who stands before it:
    /// there, nothing has changed. Whom the member table has there is taken, once it has answered,
    /// as if it had told so itself.
    fn look_back(&mut self, now: Time, table: &dyn Table, out: &mut Outbox) {
        let nearer = |node: &NodeId| match self.beside.predecessor {
            Some(known) => table.is_dead(known) || between(known, *node, self.me),
            None => true,
        };
        let before = self.suggested.predecessor.filter(nearer);
        if let Some(before) = before.filter(|node| !table.is_dead(*node)) {
            self.ask(now, Step::Behind, before, table, out);
        }
    }

    /// Tells the successor; whether it has taken that in is asked in another round.
    fn notify_first(&mut self, now: Time, table: &dyn Table, out: &mut Outbox) {
        if let Some(first) = self.beside.successors.first().copied() {
            self.notify(now, first, table, out);
            self.stir(now, 1);
        }
    }

    /// Replaces the whole list by a node that has just answered, and its list.
    fn adopt(&mut self, now: Time, first: NodeId, theirs: &[NodeId]) {
        let mut list: Vec<NodeId> = Vec::with_capacity(self.successors_max());
        list.push(first);
        if self.config.flaws.has(Flaw::RepairsPiecemeal) {
            let own = self.beside.successors.iter().filter(|n| **n != first);
            list.extend(own);
            let last = *list.last().unwrap_or(&first);
            list.extend(theirs.iter().filter(|n| between(last, **n, self.me)));
        } else {
            // Where a list leads past this node, the circle is smaller than the list.
            list.extend(theirs.iter().take_while(|node| **node != self.me));
        }
        list.truncate(self.successors_max());
        if self.beside.successors != list {
            self.beside.successors = list;
            self.stir(now, ROUNDS_MORE);
        }
    }

    /// It has not answered, or refused to. That is no death, unless it goes on like this.
    fn on_silence(
        &mut self,
        now: Time,
        step: Step,
        of: NodeId,
        table: &dyn Table,
        out: &mut Outbox,
    ) {
        self.stir(now, 1);
        match step {
            Step::Suggested { candidate } => self.do_without(now, candidate, table, out),
            Step::Behind => (),
            Step::Join { .. } | Step::Successor | Step::Candidate | Step::Predecessor { .. } => {
                self.count_silence(now, step, of, table, out);
            }
        }
        self.release(now, table, out);
    }

    fn count_silence(
        &mut self,
        now: Time,
        step: Step,
        of: NodeId,
        table: &dyn Table,
        out: &mut Outbox,
    ) {
        let before = self.silent.filter(|(node, _)| *node == of);
        let count = before.map_or(1, |(_, count)| count + 1);
        self.silent = Some((of, count));
        if count >= self.config.silences {
            self.silent = None;
            self.on_dead(now, step, of, table, out);
        }
    }

    fn on_dead(&mut self, now: Time, step: Step, of: NodeId, table: &dyn Table, out: &mut Outbox) {
        match step {
            Step::Join { place } => self.join_by(now, place + 1, table, out),
            Step::Successor => {
                self.beside.successors.retain(|node| *node != of);
                self.stabilise(now, table, out);
            }
            Step::Candidate => self.notify_first(now, table, out),
            Step::Suggested { candidate } => self.do_without(now, candidate, table, out),
            Step::Behind => (),
            Step::Predecessor { notifier } => self.precede(now, notifier),
        }
    }
}
