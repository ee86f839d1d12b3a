//! Copies of songs to the other nodes that shall have them.
//!
//! The list of what is to be copied lies on disk, written in the transaction that makes a song
//! visible, so that no crash forgets a copy. Here live the copies under way: a few at once,
//! each offering the song, giving what is missing, committing. A copy that fails is tried again
//! later; an upload waits for its first copy only, and only as long as one may still succeed.
//! Copies that a comparison has found missing are sent in the same way, and forgotten when they
//! fail: the next comparison finds them again. While clients are served they get a share only.

mod throttle;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use super::{address_of, keeper};
use crate::contract::chance::Chance;
use crate::contract::id::{JobId, NodeId, SongId};
use crate::contract::job::{FragmentId, Job, JobFault, JobReply};
use crate::contract::limits::COPIES;
use crate::contract::message::{Audio, Letter, Message, Position, Refusal};
use crate::contract::node::{Asker, Lost, Outbox, Peer};
use crate::contract::record::{Address, Record};
use crate::contract::song::Manifest;
use crate::contract::time::Time;
use crate::contract::timers::{Timers, earlier};
use crate::jobs::Jobs;
use crate::lapses::Lapse;
use crate::requests::{Desk, GIVE_PATIENCE, Outcome, Policy, Requests};
use throttle::Throttle;

/// Copies under way at once: each holds a few fragments in memory.
pub(super) const ACTIVE_MAX: usize = 4;

/// Fragments of one copy in memory at once: one being read while one is being sent.
const GIVES_MAX: usize = 2;

/// Copies waiting in memory; the rest wait on disk.
const TASKS_MAX: usize = 1024;

/// In memory at most: those on the list on disk, with one upload beyond, and as many repairs.
pub(super) const LEFT_MAX: usize = 2 * TASKS_MAX + COPIES;

/// Copies read from the list on disk at once.
const DUE_PAGE: u32 = 512;

/// Until the list is read again for the sake of those who were away.
const LIST_AGAIN: Duration = Duration::from_secs(30);

/// First pause after a failure; doubles up to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Times a new holder may say what it lacks: once at first, once more if it has lost something.
const WANTED_MAX: u32 = 3;

/// How long a commit may take: it reads the whole song once.
const COMMIT: Policy = Policy {
    deadline: Duration::from_secs(120),
    attempt: Duration::from_secs(120),
    rounds: 1,
};

/// An upload that can be answered: so many copies are durable.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// Who uploaded.
    pub asker: Asker,
    /// This node's copy included.
    pub copies: u8,
}

/// Copies under way and waiting.
#[derive(Debug)]
pub struct Copies {
    tasks: BTreeMap<Key, Task>,
    waiting: BTreeMap<SongId, Vec<Waiting>>,
    requests: Requests<Ticket>,
    jobs: Jobs<Purpose>,
    retry: Timers<Key>,
    /// How many tasks are active.
    active: usize,
    /// How many tasks are repairs.
    repairs: usize,
    /// A repair has failed since this was asked.
    has_failed: bool,
    throttle: Throttle,
    /// When the list on disk is read again, its readers having been busy.
    list_at: Option<Time>,
    chance: Chance,
    rounds: u32,
    lapse: Option<Lapse>,
    /// Fragments that were not what they should be when they were read.
    rotten: BTreeSet<FragmentId>,
    /// Who has accepted copies and not kept them, a case each.
    doubted: Vec<NodeId>,
    /// Repairs that have come to their end, as far as they are remembered.
    repaired: BTreeSet<Key>,
}

type Key = (SongId, NodeId);

#[derive(Debug)]
struct Task {
    state: State,
    failures: u32,
    /// Found missing by a comparison; otherwise it is on the list on disk.
    repair: bool,
}

#[derive(Debug)]
enum State {
    /// For its timer, or for room among the active.
    Waiting,
    Active(Active),
}

#[derive(Debug)]
struct Active {
    /// Tells this attempt's answers and jobs from an earlier one's.
    round: u32,
    to: Address,
    manifest: Option<Manifest>,
    missing: VecDeque<u32>,
    gives: usize,
    /// How often the new holder has said what it lacks.
    wanted: u32,
}

/// An upload waiting for its first copy.
#[derive(Debug)]
struct Waiting {
    asker: Asker,
    /// Nodes that may still bring it.
    nodes: Vec<NodeId>,
}

/// Which step of which attempt something belongs to.
type Ticket = (Key, u32);

#[derive(Debug)]
enum Purpose {
    Due,
    Describe(Ticket),
    Read(Ticket, u32),
    Note(Key),
}

impl Copies {
    /// Nothing under way.
    pub fn new(config: &keeper::Config, mut chance: Chance) -> Self {
        let requests = Requests::new(Desk::Copies, Chance::from_seed(chance.bits()));
        Copies {
            tasks: BTreeMap::new(),
            waiting: BTreeMap::new(),
            requests,
            jobs: Jobs::new(Desk::Copies),
            retry: Timers::new(),
            active: 0,
            repairs: 0,
            has_failed: false,
            throttle: Throttle::new(config.share_percent),
            list_at: None,
            chance,
            rounds: 0,
            lapse: config.lapse,
            rotten: BTreeSet::new(),
            doubted: Vec::new(),
            repaired: BTreeSet::new(),
        }
    }

    /// Takes up what an earlier run left.
    pub fn start(&mut self, out: &mut Outbox) {
        self.read_due(None, out);
    }

    /// Reads a page of the list on disk.
    fn read_due(&mut self, after: Option<Key>, out: &mut Outbox) {
        let limit = DUE_PAGE;
        let job = Job::CopiesDue { after, limit };
        self.jobs.run(Purpose::Due, job, out);
    }

    /// Takes up what is due; pages of copies that nobody can take hide no others.
    fn take_up(
        &mut self,
        now: Time,
        (due, more): (Vec<Key>, bool),
        data: &[Record],
        out: &mut Outbox,
    ) {
        let last = due.last().copied();
        for key in due {
            let there = address_of(key.1, data).is_some();
            if there && self.tasks.len() < TASKS_MAX {
                self.add(now, key);
            } else {
                // Whoever is away may be back by then.
                self.list_at = earlier(self.list_at, Some(now + LIST_AGAIN));
            }
        }
        if more && self.tasks.len() < TASKS_MAX {
            self.read_due(last, out);
        }
    }

    /// A song has been uploaded here: copies it to `nodes`, and answers when the first has it.
    pub fn upload(
        &mut self,
        now: Time,
        song: SongId,
        nodes: &[NodeId],
        asker: Asker,
        data: &[Record],
        out: &mut Outbox,
    ) -> Vec<Made> {
        if self.tasks.len() >= TASKS_MAX {
            // They are on the list on disk, from which they are taken up when there is room.
            self.list_at = earlier(self.list_at, Some(now + LIST_AGAIN));
            return [Made { asker, copies: 1 }].into();
        }
        let nodes = nodes.to_vec();
        for node in &nodes {
            self.add(now, (song, *node));
        }
        let waiting = Waiting { asker, nodes };
        self.waiting.entry(song).or_default().push(waiting);
        self.begin_due(now, data, out)
    }

    /// Copies that a comparison has found missing.
    pub fn repair(
        &mut self,
        now: Time,
        copies: Vec<(SongId, NodeId)>,
        data: &[Record],
        out: &mut Outbox,
    ) -> Vec<Made> {
        for key in copies {
            if self.repaired.remove(&key) {
                self.doubted.push(key.1); // It has said that it has it, and lacks it again.
            }
            match self.tasks.get(&key).map(|task| &task.state) {
                // Whoever lacks it has just said so: it is there, and worth another attempt.
                Some(State::Waiting) => self.retry.arm(key, now),
                Some(State::Active(_)) => (),
                None if self.repairs >= TASKS_MAX => (),
                None => {
                    self.add(now, key);
                    self.repairs += 1;
                    if let Some(task) = self.tasks.get_mut(&key) {
                        task.repair = true;
                    }
                }
            }
        }
        self.begin_due(now, data, out)
    }

    /// Fragments that were found to be bad since this was asked.
    pub(super) fn take_rotten(&mut self) -> BTreeSet<FragmentId> {
        core::mem::take(&mut self.rotten)
    }

    /// Who has accepted copies and not kept them since this was asked.
    pub(super) fn take_doubted(&mut self) -> Vec<NodeId> {
        core::mem::take(&mut self.doubted)
    }

    /// Whether a repair has failed since this was asked.
    pub(super) fn take_failed(&mut self) -> bool {
        core::mem::take(&mut self.has_failed)
    }

    /// Copies still to be made, of both kinds.
    pub fn left(&self) -> usize {
        self.tasks.len()
    }

    /// Copies under way.
    pub(super) fn under_way(&self) -> usize {
        self.active
    }

    /// Repairs under way or waiting.
    pub fn repairs(&self) -> usize {
        self.repairs
    }

    /// So many bytes have gone to clients.
    pub fn on_served(&mut self, now: Time, bytes: usize) {
        self.throttle.on_served(now, bytes);
    }

    /// Whether an upload waits for its first copy.
    pub fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn add(&mut self, now: Time, key: Key) {
        let task = self.tasks.entry(key).or_insert(Task {
            state: State::Waiting,
            failures: 0,
            repair: false,
        });
        // What is on the list on disk has to be struck off it, whoever makes the copy in the end.
        self.repairs -= usize::from(core::mem::take(&mut task.repair));
        if matches!(task.state, State::Waiting) {
            self.retry.arm(key, now);
        }
    }

    /// Begins what is due, as far as there is room.
    fn begin_due(&mut self, now: Time, data: &[Record], out: &mut Outbox) -> Vec<Made> {
        let mut made = Vec::new();
        while !self.is_full() {
            let Some(key) = self.retry.pop_due(now) else {
                break;
            };
            match address_of(key.1, data) {
                Some(to) => self.begin(key, to, out),
                None if self.is_repair(key) => {
                    self.has_failed = true;
                    self.take_off(key);
                }
                None => {
                    self.put_off(now, key);
                    made.extend(self.stop_waiting(key));
                }
            }
        }
        made
    }

    fn is_full(&self) -> bool {
        self.active >= ACTIVE_MAX
    }

    fn begin(&mut self, key: Key, to: Address, out: &mut Outbox) {
        let Some(task) = self.tasks.get_mut(&key) else {
            return;
        };
        self.rounds += 1;
        self.active += usize::from(matches!(task.state, State::Waiting));
        task.state = State::Active(Active {
            round: self.rounds,
            to,
            manifest: None,
            missing: VecDeque::new(),
            gives: 0,
            wanted: 0,
        });
        let purpose = Purpose::Describe((key, self.rounds));
        self.jobs.run(purpose, Job::Describe { song: key.0 }, out);
    }

    /// Takes the reply of a job.
    pub fn on_done(
        &mut self,
        now: Time,
        job: JobId,
        reply: JobReply,
        data: &[Record],
        out: &mut Outbox,
    ) -> Vec<Made> {
        let Some(purpose) = self.jobs.done(job) else {
            return Vec::new();
        };
        let mut made = match (purpose, reply) {
            (Purpose::Due, JobReply::CopiesDue { due, more }) => {
                self.take_up(now, (due, more), data, out);
                Vec::new()
            }
            // Still on the list, it is offered again in a while and found to be there.
            (Purpose::Note(key), JobReply::Failed(_)) => {
                if !self.tasks.contains_key(&key) {
                    self.add(now, key);
                    self.put_off(now, key);
                }
                Vec::new()
            }
            (Purpose::Note(_), _) if self.tasks.is_empty() => {
                self.start(out); // There may be more on disk than memory had room for.
                Vec::new()
            }
            (Purpose::Due, _) => {
                self.list_at = Some(now + PAUSE);
                Vec::new()
            }
            (Purpose::Note(_), _) => Vec::new(),
            (Purpose::Describe(ticket), JobReply::Described { manifest }) => {
                self.offer(now, ticket, manifest, out)
            }
            // The song is not here any longer: there is nothing to copy.
            (Purpose::Describe((key, _)), JobReply::Failed(JobFault::NotFound)) => {
                self.forget(key, out);
                self.stop_waiting(key)
            }
            (Purpose::Read(ticket, _), JobReply::Fragment { index, bytes }) => {
                self.give(now, ticket, index, bytes, out)
            }
            // Too much to do here is no reason to answer an upload with one copy.
            (
                Purpose::Describe((key, _)) | Purpose::Read((key, _), _),
                JobReply::Failed(JobFault::Busy),
            ) => {
                self.put_off(now, key);
                Vec::new()
            }
            // This node may be the only one that sends this song: it must not stay as it is.
            (Purpose::Read(ticket, index), JobReply::Failed(JobFault::Damaged)) => {
                let song = ticket.0.0;
                self.rotten.insert(FragmentId { song, index });
                self.fail(now, ticket)
            }
            (Purpose::Describe(ticket) | Purpose::Read(ticket, _), _) => self.fail(now, ticket),
        };
        made.extend(self.begin_due(now, data, out));
        made
    }

    fn offer(
        &mut self,
        now: Time,
        ticket: Ticket,
        manifest: Manifest,
        out: &mut Outbox,
    ) -> Vec<Made> {
        let Some(active) = self.active(ticket) else {
            return Vec::new();
        };
        active.manifest = Some(manifest.clone());
        let to = active.to;
        let offer = Audio::Offer {
            manifest,
            copy: true,
        };
        self.ask(now, ticket, to, offer, Policy::OFFER, out)
    }

    fn ask(
        &mut self,
        now: Time,
        ticket: Ticket,
        to: Address,
        question: Audio,
        policy: Policy,
        out: &mut Outbox,
    ) -> Vec<Made> {
        let candidates = [Peer::Node(to)].into();
        let question = Message::Audio(question);
        let asked = self
            .requests
            .ask(now, ticket, candidates, question, policy, out);
        match asked {
            Some(_) => Vec::new(),
            None => self.fail(now, ticket),
        }
    }

    fn give(
        &mut self,
        now: Time,
        ticket: Ticket,
        index: u32,
        bytes: Vec<u8>,
        out: &mut Outbox,
    ) -> Vec<Made> {
        let Some(active) = self.active(ticket) else {
            return Vec::new();
        };
        let to = Peer::Node(active.to);
        let song = ticket.0.0;
        self.throttle.spend(bytes.len());
        let question = (Message::Audio(Audio::Give { song, index }), bytes);
        let asked = self
            .requests
            .ask_with(now, ticket, to, question, GIVE_PATIENCE, out);
        match asked {
            Some(_) => Vec::new(),
            None => self.fail(now, ticket),
        }
    }

    /// Takes an answer.
    pub fn on_answer(
        &mut self,
        now: Time,
        from: Peer,
        letter: Letter,
        data: &[Record],
        out: &mut Outbox,
    ) -> Vec<Made> {
        let Some(outcome) = self.requests.on_answer(now, from, letter, out) else {
            return Vec::new();
        };
        let mut made = self.conclude(now, outcome, out);
        made.extend(self.begin_due(now, data, out));
        made
    }

    fn conclude(&mut self, now: Time, outcome: Outcome<Ticket>, out: &mut Outbox) -> Vec<Made> {
        let (ticket, answer) = match outcome {
            Outcome::Answered {
                purpose,
                message: Message::Audio(answer),
                ..
            } => (purpose, answer),
            // The new holder is there and has too much to do: it is waited for.
            Outcome::GaveUp {
                purpose: (key, _),
                refusal: Some(Refusal::Busy { .. }),
                ..
            } if self.is_waited_for(now, key) => {
                self.put_off(now, key);
                return Vec::new();
            }
            Outcome::Answered { purpose, .. } | Outcome::GaveUp { purpose, .. }
                if self.lapse == Some(Lapse::CountsRefusedCopies) =>
            {
                return self.finish(purpose.0, out);
            }
            // It has begun to take it, is there, and does not come to an end.
            Outcome::GaveUp {
                purpose,
                refusal: None | Some(Refusal::Broken(_)),
                lost: None,
            } => {
                self.doubt_taker(purpose);
                return self.fail(now, purpose);
            }
            Outcome::Answered { purpose, .. } | Outcome::GaveUp { purpose, .. } => {
                return self.fail(now, purpose);
            }
        };
        if self.active(ticket).is_none() {
            return Vec::new();
        }
        if let Audio::Stored { .. } = answer {
            self.note_repaired(ticket.0);
            return self.finish(ticket.0, out);
        }
        if self.on_progress(ticket, answer).is_none() {
            self.doubted.push(ticket.0.1);
            return self.fail(now, ticket);
        }
        self.pump(now, ticket, out)
    }

    fn doubt_taker(&mut self, ticket: Ticket) {
        if self.active(ticket).is_some_and(|active| active.wanted > 0) {
            self.doubted.push(ticket.0.1);
        }
    }

    /// Other data nodes: whoever has let a copy go since was right to.
    pub(super) fn forget_repaired(&mut self) {
        self.repaired.clear();
    }

    /// If the same copy is found missing once more, its holder has not kept it.
    fn note_repaired(&mut self, key: Key) {
        if !self.is_repair(key) {
            return; // Found missing while it was under way, it may be ordered again with reason.
        }
        if self.repaired.len() >= TASKS_MAX {
            self.repaired.clear();
        }
        self.repaired.insert(key);
    }

    /// Whether an upload can still wait for this copy: half of its asker's patience is left for
    /// the answer.
    fn is_waited_for(&self, now: Time, (song, node): Key) -> bool {
        let waiting = self.waiting.get(&song).into_iter().flatten();
        let mut mine = waiting.filter(|one| one.nodes.contains(&node));
        mine.all(|one| now + GIVE_PATIENCE < one.asker.until)
    }

    /// Notes what the new holder wants or has taken. None: it makes no sense.
    fn on_progress(&mut self, ticket: Ticket, answer: Audio) -> Option<()> {
        let active = self.active(ticket)?;
        if answer == Audio::Taken {
            active.gives = active.gives.checked_sub(1)?;
            return Some(());
        }
        let Audio::Wanted { missing } = answer else {
            return None;
        };
        let missing = active.manifest.as_ref()?.missing(&missing)?;
        active.wanted += 1;
        // A holder that lacks again what it has taken is left alone for a while.
        if active.gives > 0 || active.wanted > WANTED_MAX {
            return None;
        }
        active.missing = missing;
        Some(())
    }

    /// Keeps a few fragments on their way; commits when all have arrived.
    fn pump(&mut self, now: Time, ticket: Ticket, out: &mut Outbox) -> Vec<Made> {
        let Some(active) = self.active(ticket) else {
            return Vec::new();
        };
        let to = active.to;
        let mut room = GIVES_MAX
            .saturating_sub(active.gives)
            .min(active.missing.len());
        let idle = active.gives == 0;
        if self.is_repair(ticket.0) && room > 0 && !self.throttle.allows(now) {
            if idle {
                self.throttle.hold_back(now, ticket);
                return Vec::new();
            }
            room = 0;
        }
        let Some(active) = self.active(ticket) else {
            return Vec::new();
        };
        active.gives += room;
        let next: Vec<u32> = active.missing.drain(..room).collect();
        let done = active.gives == 0;
        let song = ticket.0.0;
        for index in next {
            let job = Job::ReadFragment {
                song,
                at: Position::Index(index),
            };
            let purpose = Purpose::Read(ticket, index);
            self.jobs.run_toward(purpose, job, Peer::Node(to), out);
        }
        if !done {
            return Vec::new();
        }
        let commit = Audio::Commit { song, copy: true };
        self.ask(now, ticket, to, commit, COMMIT, out)
    }

    /// A peer is lost.
    pub fn on_lost(
        &mut self,
        now: Time,
        peer: Peer,
        why: Lost,
        data: &[Record],
        out: &mut Outbox,
    ) -> Vec<Made> {
        let outcomes = self.requests.on_lost(now, peer, why, out);
        let mut made = Vec::new();
        for outcome in outcomes {
            made.extend(self.conclude(now, outcome, out));
        }
        made.extend(self.begin_due(now, data, out));
        made
    }

    /// Begins again what had failed.
    pub fn on_tick(&mut self, now: Time, data: &[Record], out: &mut Outbox) -> Vec<Made> {
        if self.list_at.is_some_and(|at| at <= now) {
            self.list_at = None;
            self.start(out);
        }
        let outcomes = self.requests.on_tick(now, out);
        let mut made = Vec::new();
        for outcome in outcomes {
            made.extend(self.conclude(now, outcome, out));
        }
        for ticket in self.throttle.take_held(now) {
            made.extend(self.pump(now, ticket, out));
        }
        made.extend(self.begin_due(now, data, out));
        made
    }

    fn is_repair(&self, key: Key) -> bool {
        self.tasks.get(&key).is_some_and(|task| task.repair)
    }

    /// When something is due. While no more may be active, nothing is: an end wakes the next.
    pub fn deadline(&self) -> Option<Time> {
        let retry = if self.is_full() {
            None
        } else {
            self.retry.next()
        };
        let waits = earlier(self.list_at, self.throttle.deadline());
        earlier(earlier(retry, waits), self.requests.deadline())
    }

    fn active(&mut self, (key, round): Ticket) -> Option<&mut Active> {
        match &mut self.tasks.get_mut(&key)?.state {
            State::Active(active) if active.round == round => Some(active),
            State::Active(_) | State::Waiting => None,
        }
    }

    /// The copy stands: it is struck off the list on disk, and who waited for it is answered.
    fn finish(&mut self, key: Key, out: &mut Outbox) -> Vec<Made> {
        self.forget(key, out);
        let waiting = self.waiting.remove(&key.0).unwrap_or_default();
        (waiting.into_iter())
            .map(|Waiting { asker, .. }| Made { asker, copies: 2 })
            .collect()
    }

    fn forget(&mut self, key: Key, out: &mut Outbox) {
        self.take_off(key);
        let (song, node) = key;
        self.jobs
            .run(Purpose::Note(key), Job::CopyDone { song, node }, out);
    }

    fn take_off(&mut self, key: Key) {
        if let Some(task) = self.tasks.remove(&key) {
            self.active -= usize::from(matches!(task.state, State::Active(_)));
            self.repairs -= usize::from(task.repair);
        }
        self.retry.disarm(&key);
    }

    /// The attempt failed: it is put off, and an upload that has nobody left to wait for is
    /// answered with the one copy there is.
    #[must_use]
    fn fail(&mut self, now: Time, ticket: Ticket) -> Vec<Made> {
        if self.active(ticket).is_none() {
            return Vec::new();
        }
        if self.is_repair(ticket.0) {
            self.has_failed = true;
            self.take_off(ticket.0);
        } else {
            self.put_off(now, ticket.0);
        }
        self.stop_waiting(ticket.0)
    }

    fn put_off(&mut self, now: Time, key: Key) {
        if let Some(task) = self.tasks.get_mut(&key) {
            self.active -= usize::from(matches!(task.state, State::Active(_)));
            task.state = State::Waiting;
            task.failures = (task.failures + 1).min(10);
            let pause = (PAUSE * (1 << (task.failures - 1))).min(PAUSE_MAX);
            self.retry.arm(key, now + self.chance.upper_half(pause));
        }
    }

    #[must_use]
    fn stop_waiting(&mut self, (song, node): Key) -> Vec<Made> {
        let Some(waiting) = self.waiting.get_mut(&song) else {
            return Vec::new();
        };
        let mut made = Vec::new();
        waiting.retain_mut(|one| {
            one.nodes.retain(|other| *other != node);
            if one.nodes.is_empty() {
                made.push(Made {
                    asker: one.asker,
                    copies: 1,
                });
            }
            !one.nodes.is_empty()
        });
        if waiting.is_empty() {
            self.waiting.remove(&song);
        }
        made
    }
}
