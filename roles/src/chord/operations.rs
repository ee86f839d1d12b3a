//! Join, stabilise, rectify: how neighbours change. At most one operation runs at a time, and it
//! waits for one question.

use alloc::vec::Vec;

use super::arc::between;
use super::{Chord, ChordMessage, HELD_MAX, Neighbours, ROUNDS_MORE, Standing, Table, message};
use crate::contract::id::NodeId;
use crate::contract::limits::NEIGHBOURS_MAX;
use crate::contract::message::{Message, Refusal};
use crate::contract::node::{Asker, Peer};
use crate::contract::time::Time;
use crate::cx::Cx;
use crate::mutants::ChordMutant;
use crate::purpose::Asked;
use crate::purpose::chord::{Purpose, Step};
use crate::requests::{Policy, Reply};

/// An operation that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) number: u64,
    pub(super) until: Time,
    step: Step,
    of: NodeId,
    request: crate::contract::id::RequestId,
}

/// How often all hosts must refuse a joining node before it believes that no other node is on the
/// circle either.
const REFUSALS: u32 = 3;

/// Bound on the hosts a joining node asks, nearest first. Where a circle exists, one of so many
/// adjacent nodes is on it.
pub(super) const HOSTS_MAX: usize = 16;

impl Chord {
    /// Whether a question must wait until the running operation ends: its answer could be half of a
    /// change.
    pub(super) fn must_wait(&self, words: &ChordMessage) -> bool {
        let tells = matches!(words, ChordMessage::Neighbours { .. });
        let hasty = tells && self.config.mutants.has(ChordMutant::AnswersWhilePending);
        self.pending.is_some() && self.standing == Standing::Joined && !hasty
    }

    pub(super) fn hold(&mut self, cx: &mut Cx<'_>, asker: Asker, words: ChordMessage) {
        if self.held.len() >= HELD_MAX {
            let retry_after_ms = 100;
            return cx.out.refuse(asker, Refusal::Busy { retry_after_ms });
        }
        self.held.push_back((asker, words));
    }

    /// Answers the questions held back, until one of them starts an operation.
    pub(super) fn release(&mut self, cx: &mut Cx<'_>, table: &dyn Table) {
        while self.pending.is_none()
            && let Some((asker, words)) = self.held.pop_front()
        {
            if cx.now <= asker.until {
                self.on_question(cx, asker, words, table);
            }
        }
    }

    pub(super) fn on_neighbours(&mut self, cx: &mut Cx<'_>, asker: Asker, of: NodeId) {
        if of != self.me || self.standing == Standing::Apart {
            return cx.out.refuse(asker, Refusal::NotReady);
        }
        let Neighbours {
            successors,
            predecessor,
        } = self.beside.clone();
        let words = ChordMessage::Neighbourhood {
            predecessor,
            successors,
        };
        cx.out.answer(asker, message(words));
    }

    /// Rectify: the asker believes that it is the predecessor of this node.
    pub(super) fn on_notify(&mut self, cx: &mut Cx<'_>, asker: Asker, table: &dyn Table) {
        let notifier = asker.sender.node;
        // The member table does not count this asker among the living data nodes, so nothing it
        // says about the circle is believed.
        if self.standing == Standing::Apart || notifier == self.me || table.is_dead(notifier) {
            return cx.out.refuse(asker, Refusal::NotReady);
        }
        cx.out.answer(asker, message(ChordMessage::Noted));
        if self.standing == Standing::Joined {
            self.rectify(cx, notifier, table);
        }
    }

    fn rectify(&mut self, cx: &mut Cx<'_>, notifier: NodeId, table: &dyn Table) {
        match self.beside.predecessor {
            Some(known) if known == notifier => (),
            Some(known) if !between(known, notifier, self.me) => {
                if !self
                    .config
                    .mutants
                    .has(ChordMutant::NeverReplacesPredecessor)
                {
                    self.ask(cx, Step::Predecessor { notifier }, known, table);
                }
            }
            Some(_) | None => self.precede(cx.now, notifier),
        }
    }

    fn precede(&mut self, now: Time, node: NodeId) {
        self.beside.predecessor = Some(node);
        self.stir(now, ROUNDS_MORE);
    }

    /// Something has changed: the next round comes soon, and at least `rounds` rounds follow.
    fn stir(&mut self, now: Time, rounds: u32) {
        self.rounds = self.rounds.max(rounds);
        let soon = now + self.config.round;
        if self.due_at > soon {
            self.due_at = soon;
        }
    }

    /// Begins a round: joins or stabilises.
    pub(super) fn begin(&mut self, cx: &mut Cx<'_>, table: &dyn Table) {
        self.rounds = self.rounds.saturating_sub(1);
        if self.beside != self.suggested {
            self.rounds = self.rounds.max(1); // The neighbours are not yet those of the table.
        }
        let pause = if self.rounds > 0 {
            self.config.round
        } else {
            self.config.every
        };
        self.due_at = cx.now + self.rng.upper_half(pause);
        match self.standing {
            Standing::Listed => self.due_at = Time::NEVER,
            Standing::Apart => self.join(cx, table),
            Standing::Joined => self.stabilise(cx, table),
        }
    }

    fn join(&mut self, cx: &mut Cx<'_>, table: &dyn Table) {
        self.rounds = self.rounds.max(1); // A joining node never rests.
        if self.hosts.iter().all(|host| self.mute.contains(host)) {
            self.mute.clear(); // Then it is this node that was not heard.
        }
        let place = self.hosts.iter().position(|host| !self.mute.contains(host));
        self.join_by(cx, place.unwrap_or(0), table);
    }

    /// Joins through the node that is `place` places behind the nearest. Only the nearest node is
    /// joined by, or the first behind those that never answer: they count as dead here, and are
    /// adopted like any other node as soon as they answer. When the nearest refuses and a farther
    /// node answers, there is a circle and the nearest is still joining. This node then waits,
    /// because a list that begins behind the nearest might skip it once it has arrived.
    fn join_by(&mut self, cx: &mut Cx<'_>, place: usize, table: &dyn Table) {
        if let Some(next) = self.hosts.get(place).copied() {
            return self.ask(cx, Step::Join { place }, next, table);
        }
        self.refused += 1;
        if self.refused >= REFUSALS {
            self.found();
        }
    }

    /// Part A: drops the dead nodes at the head of the list, then asks the first living one.
    fn stabilise(&mut self, cx: &mut Cx<'_>, table: &dyn Table) {
        if self.config.mutants.has(ChordMutant::ClearsPredecessor) {
            self.beside.predecessor.take_if(|node| table.is_dead(*node));
        }
        let dead = |node: &&NodeId| table.is_dead(**node);
        let count = self.beside.successors.iter().take_while(dead).count();
        self.beside.successors.drain(..count);
        if let Some(first) = self.beside.successors.first().copied() {
            return self.ask(cx, Step::Successor, first, table);
        }
        if !self.config.mutants.has(ChordMutant::FoundsAlone) {
            // No node of the list lives, so this node joins anew through the member table.
            self.standing = Standing::Apart;
            return self.join(cx, table);
        }
        if let Some(candidate) = self.beside.predecessor {
            self.ask(cx, Step::Candidate, candidate, table);
        }
    }

    fn ask(&mut self, cx: &mut Cx<'_>, step: Step, of: NodeId, table: &dyn Table) {
        let Some(address) = table.address(of) else {
            return self.on_dead(cx, step, of, table);
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
        let question = message(ChordMessage::Neighbours { of });
        let to = [Peer::Node(address)].into();
        if let Some(request) = cx.ask(Asked::Chord(purpose), to, question, policy) {
            self.pending = Some(Pending {
                number,
                until: cx.now + self.rng.upper_half(patience),
                step,
                of,
                request,
            });
        }
    }

    fn notify(&mut self, cx: &mut Cx<'_>, node: NodeId, table: &dyn Table) {
        if let Some(address) = table.address(node) {
            let to = [Peer::Node(address)].into();
            let question = message(ChordMessage::Notify);
            let _ = cx.ask(Asked::Chord(Purpose::Notify), to, question, Policy::ONCE);
        }
    }

    /// Ends an operation whose target has died, or that has waited too long.
    pub(super) fn look_after(&mut self, cx: &mut Cx<'_>, table: &dyn Table) {
        let Some(pending) = self.pending else {
            return;
        };
        if table.is_dead(pending.of) {
            self.give_up(cx);
            self.on_dead(cx, pending.step, pending.of, table);
            self.release(cx, table);
        } else if pending.until <= cx.now {
            self.give_up(cx);
            self.on_silence(cx, pending.step, pending.of, table);
        }
    }

    /// Gives up the running operation. The question is cancelled, so that a late answer changes
    /// nothing.
    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>) {
        if let Some(pending) = self.pending.take()
            && !self.config.mutants.has(ChordMutant::AcceptsLateAnswers)
        {
            cx.cancel(pending.request);
        }
    }

    /// Takes the end of a question.
    pub(crate) fn conclude(
        &mut self,
        cx: &mut Cx<'_>,
        purpose: Purpose,
        reply: Reply,
        table: &dyn Table,
    ) {
        let (answer, refused) = match reply {
            Reply::Answered { message, .. } => (Some(message), false),
            Reply::GaveUp { refusal, .. } => (None, refusal.is_some()),
        };
        let Purpose::Ask { number, step, of } = purpose else {
            return; // A lost notice is repeated in the next round.
        };
        // The outcome of an operation that was given up changes nothing. An answer gets past this
        // test only under a mutant, because `give_up` otherwise cancels the question.
        let current = self.operation() == Some(number);
        if current {
            self.pending = None;
        } else if answer.is_none() {
            return;
        }
        match self.neighbours_in(answer) {
            Some(theirs) => self.on_neighbourhood(cx, step, of, theirs, table),
            None if !current => (),
            // Only a refusal moves a joining node on to the next host at once. Silence may mean a
            // lost message, so it is counted before the host is passed over.
            None => {
                if let (Step::Join { place }, true) = (step, refused) {
                    self.join_by(cx, place + 1, table);
                } else {
                    self.on_silence(cx, step, of, table);
                }
            }
        }
        self.release(cx, table);
    }

    fn neighbours_in(&mut self, answer: Option<Message>) -> Option<Neighbours> {
        let Message::Chord(ChordMessage::Neighbourhood {
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
        cx: &mut Cx<'_>,
        step: Step,
        of: NodeId,
        theirs: Neighbours,
        table: &dyn Table,
    ) {
        self.silent = None;
        match step {
            Step::Join { place } if self.are_mute_before(place) => {
                self.on_led(cx.now, of, &theirs.successors);
            }
            Step::Join { .. } => self.refused = 0,
            Step::Successor => self.on_successor(cx, of, theirs, table),
            Step::Candidate | Step::Suggested { .. } => {
                self.adopt(cx.now, of, &theirs.successors);
                self.notify(cx, of, table);
            }
            Step::Behind => self.rectify(cx, of, table),
            Step::Predecessor { .. } => (), // The known predecessor lives and stays.
        }
    }

    /// Whether every host nearer than this one counts as dead here.
    fn are_mute_before(&self, place: usize) -> bool {
        let nearer = self.hosts.iter().take(place);
        nearer.into_iter().all(|host| self.mute.contains(host))
    }

    /// The nearest node has answered, so this node is on the circle from here on. No node has it in
    /// a list yet.
    fn on_led(&mut self, now: Time, next: NodeId, theirs: &[NodeId]) {
        self.refused = 0;
        self.mute.clear();
        self.standing = Standing::Joined;
        let pointer = self.config.mutants.has(ChordMutant::JoinsWithOnePointer);
        self.adopt(now, next, if pointer { &[] } else { theirs });
        self.beside.predecessor = None;
    }

    fn on_successor(&mut self, cx: &mut Cx<'_>, of: NodeId, theirs: Neighbours, table: &dyn Table) {
        self.adopt(cx.now, of, &theirs.successors);
        // The list is whole again, so questions held back may be answered here. Part B asks a
        // question of its own.
        self.release(cx, table);
        let nearer = |node: &NodeId| between(self.me, *node, of);
        match theirs.predecessor.filter(nearer) {
            Some(candidate) if self.config.mutants.has(ChordMutant::AdoptsTheSilent) => {
                let list = self.beside.successors.clone();
                self.adopt(cx.now, candidate, &list);
                self.notify(cx, candidate, table);
            }
            // A notice answered just before may have started an operation, and only one may run.
            // Part B waits for the next round.
            Some(_) | None if self.pending.is_some() => self.stir(cx.now, 1),
            candidate => {
                let known = theirs.predecessor == Some(self.me);
                self.close_up(cx, candidate, known, table);
            }
        }
    }

    /// Part B: asks the nearest node that is said to stand between this node and its successor.
    /// That is the successor's predecessor, or the next node of the member table: a split leaves
    /// two circles, each of which is whole and knows nothing of the other. Either node is adopted
    /// only after its own answer.
    fn close_up(
        &mut self,
        cx: &mut Cx<'_>,
        candidate: Option<NodeId>,
        known: bool,
        table: &dyn Table,
    ) {
        let Some(nearest) = candidate.or(self.beside.successors.first().copied()) else {
            return;
        };
        let nearer = |node: &NodeId| between(self.me, *node, nearest) && !table.is_dead(*node);
        let suggested = self.suggested.successors.first().copied().filter(nearer);
        match (suggested, candidate) {
            (Some(next), _) if self.config.mutants.has(ChordMutant::AdoptsTheSuggested) => {
                let list = self.beside.successors.clone();
                self.adopt(cx.now, next, &list);
                self.notify(cx, next, table);
            }
            (Some(next), candidate) => {
                self.ask(cx, Step::Suggested { candidate }, next, table);
            }
            (None, Some(candidate)) => self.ask(cx, Step::Candidate, candidate, table),
            // The successor already has this node as its predecessor, so a notice would change
            // nothing.
            (None, None) if known => self.look_back(cx, table),
            (None, None) => {
                self.notify_first(cx, table);
                self.look_back(cx, table);
            }
        }
    }

    /// The next node of the member table has not answered; most likely it is still joining. Part B
    /// goes on without it.
    fn do_without(&mut self, cx: &mut Cx<'_>, candidate: Option<NodeId>, table: &dyn Table) {
        match candidate {
            Some(candidate) => self.ask(cx, Step::Candidate, candidate, table),
            None => self.notify_first(cx, table),
        }
    }

    /// Looks for a better predecessor in the member table. A node that has lost its place and found
    /// it again gets no notice from the node before it, because nothing has changed there. This
    /// node therefore asks that node, and treats an answer like a notice.
    fn look_back(&mut self, cx: &mut Cx<'_>, table: &dyn Table) {
        let nearer = |node: &NodeId| match self.beside.predecessor {
            Some(known) => table.is_dead(known) || between(known, *node, self.me),
            None => true,
        };
        let before = self.suggested.predecessor.filter(nearer);
        if let Some(before) = before.filter(|node| !table.is_dead(*node)) {
            self.ask(cx, Step::Behind, before, table);
        }
    }

    /// Notifies the successor. A further round checks that the successor has taken the notice in.
    fn notify_first(&mut self, cx: &mut Cx<'_>, table: &dyn Table) {
        if let Some(first) = self.beside.successors.first().copied() {
            self.notify(cx, first, table);
            self.stir(cx.now, 1);
        }
    }

    /// Replaces the whole list with a node that has just answered, followed by its list.
    fn adopt(&mut self, now: Time, first: NodeId, theirs: &[NodeId]) {
        let mut list: Vec<NodeId> = Vec::with_capacity(self.successors_max());
        list.push(first);
        if self.config.mutants.has(ChordMutant::RepairsPiecemeal) {
            let own = self.beside.successors.iter().filter(|n| **n != first);
            list.extend(own);
            let last = *list.last().unwrap_or(&first);
            list.extend(theirs.iter().filter(|n| between(last, **n, self.me)));
        } else {
            // A list that reaches this node has gone all the way round: the circle is smaller than
            // the list.
            list.extend(theirs.iter().take_while(|node| **node != self.me));
        }
        list.truncate(self.successors_max());
        if self.beside.successors != list {
            self.beside.successors = list;
            self.stir(now, ROUNDS_MORE);
        }
    }

    /// The node has not answered, or has refused. It counts as dead only after several silences in
    /// a row.
    fn on_silence(&mut self, cx: &mut Cx<'_>, step: Step, of: NodeId, table: &dyn Table) {
        self.stir(cx.now, 1);
        match step {
            Step::Suggested { candidate } => self.do_without(cx, candidate, table),
            Step::Behind => (),
            Step::Join { .. } | Step::Successor | Step::Candidate | Step::Predecessor { .. } => {
                self.count_silence(cx, step, of, table);
            }
        }
        self.release(cx, table);
    }

    fn count_silence(&mut self, cx: &mut Cx<'_>, step: Step, of: NodeId, table: &dyn Table) {
        let before = self.silent.filter(|(node, _)| *node == of);
        let count = before.map_or(1, |(_, count)| count + 1);
        self.silent = Some((of, count));
        if count >= self.config.silences {
            self.silent = None;
            if let Step::Join { .. } = step {
                self.mute.push(of);
            }
            self.on_dead(cx, step, of, table);
        }
    }

    fn on_dead(&mut self, cx: &mut Cx<'_>, step: Step, of: NodeId, table: &dyn Table) {
        match step {
            Step::Join { place } => self.join_by(cx, place + 1, table),
            Step::Successor => {
                self.beside.successors.retain(|node| *node != of);
                self.stabilise(cx, table);
            }
            Step::Candidate => self.notify_first(cx, table),
            Step::Suggested { candidate } => self.do_without(cx, candidate, table),
            Step::Behind => (),
            Step::Predecessor { notifier } => self.precede(cx.now, notifier),
        }
    }
}
