//! Copies of songs to the other nodes that shall have them.
//!
//! The list of what is to be copied lies on disk, written in the transaction that makes a song
//! visible, so that no crash forgets a copy. Here live the copies under way: a few at once,
//! each offering the song, giving what is missing, committing. A copy that fails is tried again
//! later; an upload waits for its first copy only, and only as long as one may still succeed.
//! Copies that a comparison has found missing are sent in the same way, and forgotten when they
//! fail: the next comparison finds them again. While clients are served they get a share only.

mod tasks;
mod throttle;
mod transfer;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use super::{address_of, anti_entropy};
use crate::contract::id::{JobId, NodeId, SongId};
use crate::contract::job::{FragmentId, JobFault, JobReply, LibraryJob};
use crate::contract::limits::COPIES;
use crate::contract::message::Envelope;
use crate::contract::node::{Asker, Lost, Outbox, Peer};
use crate::contract::record::{Address, Record};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::copy_mutants::CopyMutant;
use crate::jobs::Jobs;
use crate::requests::{Requester, Requests};
use tasks::Tasks;
use throttle::Throttle;

/// Copies under way at once: each holds a few fragments in memory.
pub(super) const ACTIVE_MAX: usize = 4;

/// Copies waiting in memory; the rest wait on disk.
const TASKS_MAX: usize = 1024;

/// In memory at most: those on the list on disk, with one upload beyond, and as many repairs.
pub(super) const LEFT_MAX: usize = 2 * TASKS_MAX + COPIES;

/// Copies read from the list on disk at once.
const DUE_PAGE: u32 = 512;

/// Until the list is read again for the sake of those who were away.
const LIST_AGAIN: Duration = Duration::from_secs(30);

/// The same when the library was too busy to read it.
const BUSY_AGAIN: Duration = Duration::from_secs(1);

/// An upload that can be answered: so many copies are durable.
#[derive(Clone, Copy, Debug)]
pub struct StoredUpload {
    /// Who uploaded.
    pub asker: Asker,
    /// This node's copy included.
    pub copies: u8,
}

/// Copies under way and waiting.
#[derive(Debug)]
pub struct Replication {
    tasks: Tasks,
    waiting: BTreeMap<SongId, Vec<Waiting>>,
    requests: Requests<Ticket>,
    jobs: Jobs<Purpose>,
    /// A repair has failed since this was asked.
    has_failed: bool,
    /// A copy was refused because its taker's disk is full.
    meets_full_disk: bool,
    throttle: Throttle,
    /// When the list on disk is read again, its readers having been busy.
    list_at: Option<Time>,
    mutant: Option<CopyMutant>,
    /// Fragments that were not what they should be when they were read.
    rotten: BTreeSet<FragmentId>,
    /// Who has accepted copies and not kept them, a case each.
    doubted: Vec<NodeId>,
    /// Repairs that have come to their end, as far as they are remembered.
    repaired: BTreeSet<Key>,
}

type Key = (SongId, NodeId);

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

impl Replication {
    /// Nothing under way.
    pub fn new(config: &anti_entropy::Config, mut rng: Rng) -> Self {
        let requests = Requests::new(Requester::Replication, Rng::from_seed(rng.bits()));
        Replication {
            tasks: Tasks::new(rng),
            waiting: BTreeMap::new(),
            requests,
            jobs: Jobs::new(Requester::Replication),
            has_failed: false,
            meets_full_disk: false,
            throttle: Throttle::new(config.share_percent),
            list_at: None,
            mutant: config.mutant,
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
        let job = LibraryJob::CopiesDue { after, limit };
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
            if there && !self.tasks.is_full() {
                self.tasks.add(now, key);
            } else {
                // Whoever is away may be back by then.
                self.list_at = earlier(self.list_at, Some(now + LIST_AGAIN));
            }
        }
        if more && !self.tasks.is_full() {
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
    ) -> Vec<StoredUpload> {
        if self.tasks.is_full() {
            // They are on the list on disk, from which they are taken up when there is room.
            self.list_at = earlier(self.list_at, Some(now + LIST_AGAIN));
            return [StoredUpload { asker, copies: 1 }].into();
        }
        let nodes = nodes.to_vec();
        for node in &nodes {
            self.tasks.add(now, (song, *node));
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
    ) -> Vec<StoredUpload> {
        for key in copies {
            if self.repaired.remove(&key) {
                self.doubted.push(key.1); // It has said that it has it, and lacks it again.
            }
            self.tasks.add_repair(now, key);
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

    /// Whether a copy was refused because a disk is full, since that was last forgotten.
    pub(super) fn meets_full_disk(&self) -> bool {
        self.meets_full_disk
    }

    pub(super) fn forget_full_disks(&mut self) {
        self.meets_full_disk = false;
    }

    /// Copies still to be made, of both kinds.
    pub fn left(&self) -> usize {
        self.tasks.len()
    }

    /// Copies under way.
    pub(super) fn under_way(&self) -> usize {
        self.tasks.under_way()
    }

    /// Repairs under way or waiting.
    pub fn repairs(&self) -> usize {
        self.tasks.repairs()
    }

    /// So many bytes have gone to clients.
    pub fn on_served(&mut self, now: Time, bytes: usize) {
        self.throttle.on_served(now, bytes);
    }

    /// Whether an upload waits for its first copy.
    pub fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Begins what is due, as far as there is room.
    fn begin_due(&mut self, now: Time, data: &[Record], out: &mut Outbox) -> Vec<StoredUpload> {
        let mut made = Vec::new();
        while let Some(key) = self.tasks.pop_due(now) {
            match address_of(key.1, data) {
                Some(to) => self.begin(key, to, out),
                None if self.tasks.is_repair(key) => {
                    self.has_failed = true;
                    self.tasks.remove(key);
                }
                None => {
                    self.tasks.put_off(now, key);
                    made.extend(self.stop_waiting(key));
                }
            }
        }
        made
    }

    fn begin(&mut self, key: Key, to: Address, out: &mut Outbox) {
        if let Some(ticket) = self.tasks.begin(key, to) {
            let job = LibraryJob::Describe { song: key.0 };
            self.jobs.run(Purpose::Describe(ticket), job, out);
        }
    }

    /// Takes the reply of a job.
    pub fn on_done(
        &mut self,
        now: Time,
        job: JobId,
        reply: JobReply,
        data: &[Record],
        out: &mut Outbox,
    ) -> Vec<StoredUpload> {
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
                if !self.tasks.contains(key) {
                    self.tasks.add(now, key);
                    self.tasks.put_off(now, key);
                }
                Vec::new()
            }
            (Purpose::Note(_), _) if self.tasks.len() == 0 => {
                self.start(out); // There may be more on disk than memory had room for.
                Vec::new()
            }
            (Purpose::Due, _) => {
                self.list_at = Some(now + BUSY_AGAIN);
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
                self.tasks.put_off(now, key);
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

    /// Takes an answer.
    pub fn on_answer(
        &mut self,
        now: Time,
        from: Peer,
        envelope: Envelope,
        data: &[Record],
        out: &mut Outbox,
    ) -> Vec<StoredUpload> {
        let Some(outcome) = self.requests.on_answer(now, from, envelope, out) else {
            return Vec::new();
        };
        let mut made = self.conclude(now, outcome, out);
        made.extend(self.begin_due(now, data, out));
        made
    }

    /// Other data nodes: whoever has let a copy go since was right to.
    pub(super) fn forget_repaired(&mut self) {
        self.repaired.clear();
    }

    /// A peer is lost.
    pub fn on_lost(
        &mut self,
        now: Time,
        peer: Peer,
        why: Lost,
        data: &[Record],
        out: &mut Outbox,
    ) -> Vec<StoredUpload> {
        let outcomes = self.requests.on_lost(now, peer, why, out);
        let mut made = Vec::new();
        for outcome in outcomes {
            made.extend(self.conclude(now, outcome, out));
        }
        made.extend(self.begin_due(now, data, out));
        made
    }

    /// Begins again what had failed.
    pub fn on_tick(&mut self, now: Time, data: &[Record], out: &mut Outbox) -> Vec<StoredUpload> {
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

    /// When something is due.
    pub fn deadline(&self) -> Option<Time> {
        let waits = earlier(self.list_at, self.throttle.deadline());
        earlier(
            earlier(self.tasks.deadline(), waits),
            self.requests.deadline(),
        )
    }

    /// The copy stands: it is struck off the list on disk, and who waited for it is answered.
    fn finish(&mut self, key: Key, out: &mut Outbox) -> Vec<StoredUpload> {
        self.forget(key, out);
        let waiting = self.waiting.remove(&key.0).unwrap_or_default();
        (waiting.into_iter())
            .map(|Waiting { asker, .. }| StoredUpload { asker, copies: 2 })
            .collect()
    }

    fn forget(&mut self, key: Key, out: &mut Outbox) {
        self.tasks.remove(key);
        let (song, node) = key;
        self.jobs
            .run(Purpose::Note(key), LibraryJob::CopyDone { song, node }, out);
    }

    /// The attempt failed: it is put off, and an upload that has nobody left to wait for is
    /// answered with the one copy there is.
    #[must_use]
    fn fail(&mut self, now: Time, ticket: Ticket) -> Vec<StoredUpload> {
        if self.tasks.active(ticket).is_none() {
            return Vec::new();
        }
        if self.tasks.is_repair(ticket.0) {
            self.has_failed = true;
            self.tasks.remove(ticket.0);
        } else {
            self.tasks.put_off(now, ticket.0);
        }
        self.stop_waiting(ticket.0)
    }

    #[must_use]
    fn stop_waiting(&mut self, (song, node): Key) -> Vec<StoredUpload> {
        let Some(waiting) = self.waiting.get_mut(&song) else {
            return Vec::new();
        };
        let mut made = Vec::new();
        waiting.retain_mut(|one| {
            one.nodes.retain(|other| *other != node);
            if one.nodes.is_empty() {
                made.push(StoredUpload {
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
