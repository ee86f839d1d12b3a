//! Sends copies of songs to the other nodes that shall have them.
//!
//! The list of copies due lies on disk, written in the transaction that makes a song visible, so
//! that no crash forgets a copy. This module owns the copies under way: a few at once, each of
//! which offers the song, gives the missing fragments and commits. A failed copy is tried again
//! later. An upload waits for its first copy only, and only while a copy may still succeed.
//!
//! Repairs (copies that anti-entropy has found missing) are sent in the same way, and forgotten
//! when they fail, because the next round finds them again. While clients are served, repairs get a
//! share of the line only.

mod tasks;
mod throttle;
mod transfer;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use super::{address_of, anti_entropy};
use crate::contract::id::{NodeId, SongId};
use crate::contract::job::{FragmentId, JobFault, JobReply, LibraryJob};
use crate::contract::limits::{COPIES, RECORDS_MAX};
use crate::contract::record::{Address, Record};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::cx::Cx;
use crate::mutants::CopyMutants;
use crate::purpose::Ordered;
use crate::purpose::replication::{Key, Purpose, Ticket};
use tasks::Tasks;
use throttle::Throttle;

/// Copies under way at once: each holds a few fragments in memory.
pub(super) const ACTIVE_MAX: usize = 4;

/// Copies waiting in memory; the rest wait on disk.
const TASKS_MAX: usize = 1024;

/// Most copies in memory: `TASKS_MAX` from the list on disk, one upload beyond that bound, and
/// `TASKS_MAX` repairs.
pub(super) const LEFT_MAX: usize = 2 * TASKS_MAX + COPIES;

/// Copies read from the list on disk at once.
const DUE_PAGE: u32 = 512;

/// The time until the list is read again, because a node was away or memory was full.
const LIST_AGAIN: Duration = Duration::from_secs(30);

/// The time until the list is read again when reading it failed.
const BUSY_AGAIN: Duration = Duration::from_secs(1);

/// What the rest of the data node has to know of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The copy is durable at its new holder.
    Made(Key),
    /// The copy is not made for now.
    NotMade(Key),
    /// A repair has failed.
    RepairFailed,
    /// Bytes here do not match their hash.
    Rotten(FragmentId),
    /// This node misbehaved while it took a copy, or has lost one that it had taken.
    Doubted(NodeId),
}

/// Copies under way and waiting.
#[derive(Debug)]
pub struct Replication {
    tasks: Tasks,
    /// A node has refused a copy because its disk is full, since the last `forget_full_disks`.
    meets_full_disk: bool,
    throttle: Throttle,
    /// How long a node may be absent before its copies are struck off the list.
    grace: Duration,
    /// Nodes that are to get copies and are absent, and since when; at most `RECORDS_MAX`.
    absent: BTreeMap<NodeId, Time>,
    /// When the list on disk is read again: a node was away, memory was full, or reading failed.
    list_at: Option<Time>,
    mutants: CopyMutants,
    /// The reports of the present step.
    reports: Vec<Report>,
    /// Repairs that succeeded; forgotten when the data nodes change or `TASKS_MAX` is reached.
    repaired: BTreeSet<Key>,
}

/// Where a node is that is to get a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whereabouts {
    At(Address),
    /// It may come back: its copy stays on the list.
    Absent,
    /// It has been absent for the grace of a dead data node.
    Gone,
}

impl Replication {
    /// No copy is known until [`Replication::start`] has read the list on disk.
    pub fn new(config: &anti_entropy::Config, rng: Rng) -> Self {
        Replication {
            tasks: Tasks::new(rng),
            meets_full_disk: false,
            throttle: Throttle::new(config.share_percent),
            grace: config.grace,
            absent: BTreeMap::new(),
            list_at: None,
            mutants: config.mutants,
            reports: Vec::new(),
            repaired: BTreeSet::new(),
        }
    }

    /// Takes up the copies on the list on disk: those of an earlier run, or those that did not fit.
    pub fn start(&mut self, cx: &mut Cx<'_>) {
        self.read_due(cx, None);
    }

    /// Reads a page of the list on disk.
    fn read_due(&mut self, cx: &mut Cx<'_>, after: Option<Key>) {
        let limit = DUE_PAGE;
        let job = LibraryJob::CopiesDue { after, limit };
        cx.run(Ordered::Replication(Purpose::Due), job);
    }

    /// Takes up a page of copies due, and reads the next page. Copies for absent nodes take no room
    /// in memory, so they do not keep back the copies behind them.
    fn take_up(&mut self, cx: &mut Cx<'_>, (due, more): (Vec<Key>, bool), data: &[Record]) {
        let last = due.last().copied();
        for key in due {
            let there = self.find(cx.now, key.1, data);
            if there == Whereabouts::Gone {
                self.forget_node(cx, key.1);
            } else if there != Whereabouts::Absent && !self.tasks.is_full() {
                self.tasks.add(cx.now, key);
            } else {
                // By then the node may be back, or memory free.
                self.list_at = earlier(self.list_at, Some(cx.now + LIST_AGAIN));
            }
        }
        if more && !self.tasks.is_full() {
            self.read_due(cx, last);
        }
    }

    /// A song has been uploaded here: copies it to `nodes`.
    pub(super) fn upload(
        &mut self,
        cx: &mut Cx<'_>,
        song: SongId,
        nodes: &[NodeId],
        data: &[Record],
    ) -> Vec<Report> {
        let keys = nodes.iter().map(|node| (song, *node));
        if self.tasks.is_full() {
            // The copies are on the list on disk and are taken up when there is room, so the upload
            // does not have to wait.
            self.list_at = earlier(self.list_at, Some(cx.now + LIST_AGAIN));
            return keys.map(Report::NotMade).collect();
        }
        keys.for_each(|key| self.tasks.add(cx.now, key));
        self.begin_due(cx, data)
    }

    /// Takes up copies that anti-entropy has found missing.
    pub(super) fn repair(
        &mut self,
        cx: &mut Cx<'_>,
        copies: Vec<Key>,
        data: &[Record],
    ) -> Vec<Report> {
        for key in copies {
            if self.repaired.remove(&key) {
                // The node confirmed this copy, and lacks it again.
                self.reports.push(Report::Doubted(key.1));
            }
            self.tasks.add_repair(cx.now, key);
        }
        self.begin_due(cx, data)
    }

    /// Whether a node has refused a copy because its disk is full, since `forget_full_disks`.
    pub(super) fn meets_full_disk(&self) -> bool {
        self.meets_full_disk
    }

    pub(super) fn forget_full_disks(&mut self) {
        self.meets_full_disk = false;
    }

    /// Copies in memory that are still to be made: those on the list on disk, and repairs.
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

    /// Notes bytes sent to a client: they give repairs their share.
    pub fn on_served(&mut self, now: Time, bytes: usize) {
        self.throttle.on_served(now, bytes);
    }

    /// Begins the copies that are due, up to `ACTIVE_MAX` at once. Hands out the reports of the
    /// step.
    fn begin_due(&mut self, cx: &mut Cx<'_>, data: &[Record]) -> Vec<Report> {
        while let Some(key) = self.tasks.pop_due(cx.now) {
            match self.find(cx.now, key.1, data) {
                Whereabouts::At(to) => self.begin(cx, key, to),
                Whereabouts::Absent | Whereabouts::Gone if self.tasks.is_repair(key) => {
                    self.reports.push(Report::RepairFailed);
                    self.tasks.remove(key);
                }
                Whereabouts::Absent => {
                    self.tasks.put_off(cx.now, key);
                    self.reports.push(Report::NotMade(key));
                }
                Whereabouts::Gone => self.forget_node(cx, key.1),
            }
        }
        core::mem::take(&mut self.reports)
    }

    /// Where a node is that is to get a copy. While this node sees no other data node, it calls no
    /// node gone: then it may itself be cut off.
    fn find(&mut self, now: Time, node: NodeId, data: &[Record]) -> Whereabouts {
        if let Some(address) = address_of(node, data) {
            self.absent.remove(&node);
            return Whereabouts::At(address);
        }
        let known = self.absent.contains_key(&node);
        if data.is_empty() || (!known && self.absent.len() >= RECORDS_MAX) {
            return Whereabouts::Absent;
        }
        let since = *self.absent.entry(node).or_insert(now);
        if now.since(since) < self.grace {
            Whereabouts::Absent
        } else {
            Whereabouts::Gone
        }
    }

    /// Strikes the copies for a node off the list: other nodes own its songs by now, and comparison
    /// finds what they lack. If the node comes back, comparison finds what it lacks.
    fn forget_node(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        // Further copies for it on the same page of the list need no job of their own.
        self.absent.remove(&node);
        let job = LibraryJob::ForgetCopiesDue { node };
        cx.run(Ordered::Replication(Purpose::Forget), job);
        let keys = self.tasks.remove_node(node);
        self.reports.extend(keys.into_iter().map(Report::NotMade));
    }

    fn begin(&mut self, cx: &mut Cx<'_>, key: Key, to: Address) {
        if let Some(ticket) = self.tasks.begin(key, to) {
            let job = LibraryJob::Describe { song: key.0 };
            cx.run(Ordered::Replication(Purpose::Describe(ticket)), job);
        }
    }

    /// Takes the reply of a job.
    pub(super) fn on_done(
        &mut self,
        cx: &mut Cx<'_>,
        purpose: Purpose,
        reply: JobReply,
        data: &[Record],
    ) -> Vec<Report> {
        match (purpose, reply) {
            (Purpose::Due, JobReply::CopiesDue { due, more }) => {
                self.take_up(cx, (due, more), data)
            }
            // The copy is still on the list. It is offered again later, and its holder answers that
            // it has the song.
            (Purpose::Note(key), JobReply::Failed(_)) => {
                if !self.tasks.contains(key) {
                    self.tasks.add(cx.now, key);
                    self.tasks.put_off(cx.now, key);
                }
            }
            // The disk may list more than memory had room for.
            (Purpose::Note(_), _) if self.tasks.len() == 0 => self.start(cx),
            (Purpose::Due, _) => self.list_at = Some(cx.now + BUSY_AGAIN),
            // A list that could not be changed is read again, and says the same again.
            (Purpose::Note(_) | Purpose::Forget, _) => (),
            (Purpose::Describe(ticket), JobReply::Described { manifest }) => {
                self.offer(cx, ticket, manifest)
            }
            // The song is no longer here, so there is nothing to copy.
            (Purpose::Describe((key, _)), JobReply::Failed(JobFault::NotFound)) => {
                self.forget(cx, key);
                self.reports.push(Report::NotMade(key));
            }
            (Purpose::Read(ticket, _), JobReply::Fragment { index, bytes }) => {
                self.give(cx, ticket, index, bytes)
            }
            // A busy library passes. The upload goes on waiting for this copy instead of being
            // answered with one.
            (
                Purpose::Describe((key, _)) | Purpose::Read((key, _), _),
                JobReply::Failed(JobFault::Busy),
            ) => self.tasks.put_off(cx.now, key),
            // This node may be the only sender of the song, so the scrub has to replace the
            // fragment.
            (Purpose::Read(ticket, index), JobReply::Failed(JobFault::Damaged)) => {
                let song = ticket.0.0;
                self.reports
                    .push(Report::Rotten(FragmentId { song, index }));
                self.fail(cx.now, ticket);
            }
            (Purpose::Describe(ticket) | Purpose::Read(ticket, _), _) => self.fail(cx.now, ticket),
        }
        self.begin_due(cx, data)
    }

    /// The data nodes have changed, so a node that lacks a repaired copy may have let it go
    /// rightly.
    pub(super) fn forget_repaired(&mut self) {
        self.repaired.clear();
    }

    /// Tries again the copies whose pause is over.
    pub(super) fn on_tick(&mut self, cx: &mut Cx<'_>, data: &[Record]) -> Vec<Report> {
        if self.list_at.is_some_and(|at| at <= cx.now) {
            self.list_at = None;
            self.start(cx);
        }
        for ticket in self.throttle.take_held(cx.now) {
            self.pump(cx, ticket);
        }
        self.begin_due(cx, data)
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Time> {
        let waits = earlier(self.list_at, self.throttle.deadline());
        earlier(self.tasks.deadline(), waits)
    }

    /// The copy is durable at its new holder: strikes it off the list on disk.
    fn finish(&mut self, cx: &mut Cx<'_>, key: Key) {
        self.forget(cx, key);
        self.reports.push(Report::Made(key));
    }

    fn forget(&mut self, cx: &mut Cx<'_>, key: Key) {
        self.tasks.remove(key);
        let (song, node) = key;
        cx.run(
            Ordered::Replication(Purpose::Note(key)),
            LibraryJob::CopyDone { song, node },
        );
    }

    /// An attempt failed. A copy from the list on disk is tried again later, a repair is forgotten.
    fn fail(&mut self, now: Time, ticket: Ticket) {
        let key = ticket.0;
        if self.tasks.active(ticket).is_none() {
            return;
        }
        if self.tasks.is_repair(key) {
            self.reports.push(Report::RepairFailed);
            self.tasks.remove(key);
        } else {
            self.tasks.put_off(now, key);
        }
        self.reports.push(Report::NotMade(key));
    }
}
