//! Keeps every song with its owners: hand-off, repair and anti-entropy are one mechanism.
//!
//! In each round, and soon after every change among the data nodes, this node compares what it
//! holds with each owner: first the digests of groups of partitions, then the digests of
//! partitions, then the ids in the partitions that differ. A song that an owner lacks is sent by
//! one of its holders; the other holders send it only when that holder fails to. A song that this
//! node need not keep is let go once every owner has said that it has the song. A song removed for
//! good on any owner is removed here, too. Sending is [`super::replication`]'s business.
//!
//! A node acts only on the answers of nodes that see the same data nodes: each question carries the
//! asker's view, and a node with another view answers "not ready".

mod diff;
mod reconcile;

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::digests::Digests;
use super::placement::Placement;
use super::{Others, address_of};
use crate::contract::id::{NodeId, SongId};
use crate::contract::job::{JobReply, LibraryJob, Overview};
use crate::contract::message::Message;
use crate::contract::node::Peer;
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::contract::upkeep::Upkeep;
use crate::cx::Cx;
use crate::mutants::{CopyMutant, CopyMutants};
use crate::purpose::anti_entropy::{JobFor, Step, What};
use crate::purpose::{Asked, Ordered};
use crate::requests::{Policy, Reply};

use diff::Diff;
pub(super) use reconcile::PARTITIONS_AT_ONCE;
use reconcile::Reconcile;

/// From a change among the data nodes to the next round: changes seldom come alone.
const SETTLING: Duration = Duration::from_secs(2);

/// From a round that ordered copies to the next round, which checks that they arrived.
const AGAIN: Duration = Duration::from_secs(2);

/// From an unfinished round to the next: an owner did not answer, or the view changed.
const UNFINISHED: Duration = Duration::from_secs(5);

/// Whole rounds that find the same copies missing before every holder sends them: the chosen sender
/// may be unable to.
const STUCK_ROUNDS: u32 = 3;

/// How long an answer about digests or holdings may take.
const ASK: Policy = Policy {
    deadline: Duration::from_secs(5),
    attempt: Duration::from_secs(5),
    rounds: 1,
};

/// How a data node keeps its copies in order.
#[derive(Clone, Debug)]
pub struct Config {
    /// The time between two rounds when nothing changes.
    pub every: Duration,
    /// How long a dead data node keeps its place before its songs are copied elsewhere.
    pub grace: Duration,
    /// Repairs' share, in percent, of the bytes sent while clients are served.
    pub share_percent: u32,
    /// The time in which the scrub reads and checks every fragment once.
    pub scrub: Duration,
    /// A planted mistake; only the simulated world sets one.
    pub mutants: CopyMutants,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            every: Duration::from_secs(60),
            grace: Duration::from_secs(300),
            share_percent: 30,
            scrub: Duration::from_secs(20 * 24 * 3600),
            mutants: CopyMutants::default(),
        }
    }
}

/// What the data node has to do after a step of a round.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Songs to copy, each with the node that lacks it.
    pub(super) copies: Vec<(SongId, NodeId)>,
    /// The library's overview after songs were removed or let go.
    pub(super) changed: Option<Overview>,
    /// Nodes whose answers cannot be true, one entry per answer.
    pub(super) doubted: Vec<NodeId>,
}

/// The anti-entropy rounds of one data node.
#[derive(Debug)]
pub(super) struct AntiEntropy {
    config: Config,
    stage: Stage,
    due: Option<Time>,
    /// The view for which the next round was last planned.
    seen: Option<u64>,
    /// How many songs the last whole round found missing at an owner, and the library's revision
    /// when that round began. `None` until a round has seen everything.
    unplaced: Option<(u64, u64)>,
    stuck: Stuck,
    unreadable: BTreeSet<SongId>,
    orders: Orders,
    rounds: u64,
    rng: Rng,
}

/// Consecutive whole rounds that found the same copies missing.
#[derive(Clone, Copy, Debug, Default)]
struct Stuck {
    /// The checksum of those copies.
    missing: u64,
    rounds: u32,
}

#[derive(Debug)]
enum Stage {
    Resting,
    /// The digests of this node's own library are being read.
    Loading(Round),
    Comparing(Diff),
    Gathering(Reconcile),
}

/// The assumptions of a round. When the view changes, the round is given up.
#[derive(Clone, Debug)]
struct Round {
    view: u64,
    placement: Placement,
    /// The library's revision at the beginning. Songs that arrive later are not let go.
    revision: u64,
    /// Sends the copies that fall to other holders, too: earlier rounds found them still missing.
    sends_all: bool,
    /// This node hands its songs over. The round lets no song go.
    draining: bool,
    /// Songs that no node can read: nobody waits for their copies.
    unreadable: BTreeSet<SongId>,
    number: u64,
}

impl AntiEntropy {
    pub(super) fn new(config: Config, rng: Rng) -> Self {
        AntiEntropy {
            config,
            stage: Stage::Resting,
            due: None,
            seen: None,
            unplaced: None,
            stuck: Stuck::default(),
            unreadable: BTreeSet::new(),
            orders: Orders::default(),
            rounds: 0,
            rng,
        }
    }

    /// Whether the last whole round found every song with all its owners, and the library has not
    /// changed since.
    pub(super) fn all_placed(&self, revision: u64) -> bool {
        self.unplaced == Some((0, revision))
    }

    /// Whether the latest round was whole, or found no other data node. A change among the data
    /// nodes resets this.
    pub(super) fn has_compared(&self) -> bool {
        self.unplaced.is_some()
    }

    /// Partitions being reconciled.
    pub(super) fn looked_into(&self) -> usize {
        match &self.stage {
            Stage::Gathering(gather) => gather.open(),
            Stage::Resting | Stage::Loading(_) | Stage::Comparing(_) => 0,
        }
    }

    /// Hands out what the last steps have ordered.
    pub(super) fn take_orders(&mut self) -> Orders {
        core::mem::take(&mut self.orders)
    }

    /// Names the songs that no node can read, for the next round.
    pub(super) fn leave_out(&mut self, unreadable: BTreeSet<SongId>) {
        self.unreadable = unreadable;
    }

    /// Whether the data nodes have changed since the last `look`.
    pub(super) fn sees_change(&self, others: Others<'_>) -> bool {
        self.seen != Some(others.owners.view())
    }

    /// Plans a round when the data nodes have changed, and begins one when it is due. `busy`:
    /// copies of the last round are still under way.
    pub(super) fn look(
        &mut self,
        cx: &mut Cx<'_>,
        others: Others<'_>,
        overview: Overview,
        busy: bool,
    ) {
        let view = others.owners.view();
        if self.seen != Some(view) {
            self.seen = Some(view);
            self.unplaced = None;
            self.stuck = Stuck::default();
            let soon = if self.rounds == 0 {
                Duration::ZERO
            } else {
                SETTLING + self.rng.within(SETTLING / 2)
            };
            self.due = earlier(self.due, Some(cx.now + soon)).or(Some(cx.now + soon));
        }
        if self.config.mutants.has(CopyMutant::NeverCompares) {
            self.due = None;
        }
        if busy || self.due.is_none_or(|due| cx.now < due) {
            return;
        }
        if matches!(self.stage, Stage::Resting) {
            self.begin(cx, others, overview);
        }
    }

    /// Copies that were ordered have failed: puts the next round off by at least `AGAIN`.
    pub(super) fn hold_on(&mut self, now: Time) {
        self.due = self.due.map(|due| due.max(now + AGAIN));
    }

    /// Begins a new round as soon as possible. A round under way is given up: this node hands its
    /// songs over from now on, and that round still counts it among the owners.
    pub(super) fn start_over(&mut self, now: Time) {
        self.stage = Stage::Resting;
        self.due = Some(now);
        self.unplaced = None;
    }

    fn begin(&mut self, cx: &mut Cx<'_>, others: Others<'_>, overview: Overview) {
        let placement = self.placement(cx.now, others);
        self.rounds += 1;
        if placement.is_alone() {
            self.unplaced = Some((overview.digest.count, overview.revision));
            return self.rest(cx.now, self.config.every);
        }
        self.due = None;
        let round = Round {
            view: others.owners.view(),
            placement,
            revision: overview.revision,
            sends_all: self.stuck.rounds >= STUCK_ROUNDS,
            draining: others.draining,
            unreadable: self.unreadable.clone(),
            number: self.rounds,
        };
        self.stage = Stage::Loading(round);
        let purpose = JobFor::Digests(self.rounds);
        cx.run(Ordered::AntiEntropy(purpose), LibraryJob::PartitionDigests);
    }

    fn placement(&self, now: Time, others: Others<'_>) -> Placement {
        let Config { grace, mutants, .. } = self.config;
        if mutants.has(CopyMutant::RepairNeverStarts) {
            return Placement::of(now, Duration::MAX, others);
        }
        if mutants.has(CopyMutant::TrustsAStaleTable) {
            let dead = others.dead.iter();
            let dead = dead.map(|(record, _)| (record.node, record.weight));
            let owners = &Arc::new(others.owners.with(dead));
            return Placement::of(now, grace, Others { owners, ..others });
        }
        Placement::of(now, grace, others)
    }

    fn rest(&mut self, now: Time, pause: Duration) {
        self.stage = Stage::Resting;
        self.due = Some(now + self.rng.around(pause));
    }

    /// Ends a round that cannot be finished; another follows after `UNFINISHED`.
    fn give_up(&mut self, now: Time) {
        self.rest(now, UNFINISHED);
    }

    /// Takes the reply of a job.
    pub(super) fn on_done(
        &mut self,
        cx: &mut Cx<'_>,
        purpose: JobFor,
        reply: JobReply,
        others: Others<'_>,
    ) {
        match (purpose, reply) {
            (JobFor::Digests(number), JobReply::PartitionDigests { digests }) => {
                self.compare(cx, number, Digests::of(&digests), others);
            }
            (
                JobFor::Songs(number, partition),
                JobReply::PartitionSongs {
                    songs,
                    tombstones,
                    next,
                },
            ) => self.on_own(cx, (number, partition), (songs, tombstones, next), others),
            (JobFor::Change, JobReply::Removed { overview, .. }) => {
                self.orders.changed = Some(overview);
            }
            (JobFor::Digests(number), _) if self.is_present(number) => self.give_up(cx.now),
            (JobFor::Songs(number, partition), _) if self.is_present(number) => {
                self.on_unread(cx, partition, others);
            }
            (JobFor::Digests(_) | JobFor::Songs(..) | JobFor::Change, _) => (),
        }
    }

    fn is_present(&self, number: u64) -> bool {
        let present = match &self.stage {
            Stage::Resting => None,
            Stage::Loading(round) => Some(round.number),
            Stage::Comparing(compare) => Some(compare.round.number),
            Stage::Gathering(gather) => Some(gather.round.number),
        };
        present == Some(number)
    }

    /// When something is due. While copies are under way (`busy`) no round is: the end of the last
    /// copy wakes the next round.
    pub(super) fn deadline(&self, busy: bool) -> Option<Time> {
        let resting = matches!(self.stage, Stage::Resting) && !busy;
        self.due.filter(|_| resting)
    }

    /// Takes the end of a question to another data node.
    pub(super) fn conclude(
        &mut self,
        cx: &mut Cx<'_>,
        step: Step,
        reply: Reply,
        others: Others<'_>,
    ) {
        let words = match reply {
            Reply::Answered {
                message: Message::Upkeep(words),
                ..
            } => Some(words),
            Reply::Answered { .. } => {
                self.orders.doubted.push(step.with);
                None
            }
            Reply::GaveUp { .. } => None,
        };
        if !self.is_present(step.round) {
            return;
        }
        match step.what {
            What::Groups | What::Each => self.on_summed(cx, step, words, others),
            What::Holdings(partition) => {
                self.on_held(cx, (step.with, partition), words, others);
            }
            What::Bury => (), // If this is lost, the next round tells it again.
        }
    }

    /// Asks one data node. `false`: the node is no longer known, or the question cannot be asked.
    fn ask(&mut self, cx: &mut Cx<'_>, step: Step, words: Upkeep, others: Others<'_>) -> bool {
        let Some(address) = address_of(step.with, others.data) else {
            return false;
        };
        let to = [Peer::Node(address)].into();
        let question = Message::Upkeep(words);
        let asked = cx.ask(Asked::AntiEntropy(step), to, question, ASK);
        asked.is_some()
    }
}
