//! Chord: each data node's neighbours on the circle of ids, and look-ups that the owner confirms.
//!
//! Owns the successor list, the predecessor and the fingers of one data node, and keeps them by
//! the corrected operations of Zave ("Reasoning about identifier spaces", 2017): a list is only
//! ever replaced whole, by what a node that has just answered says; a predecessor only by a closer
//! node, or when it is dead. They keep two things true, and with them the circle one and in order:
//! every member has a living successor, and at least one node more than a list is long is skipped
//! by no list.
//!
//! It stands beside the ring and repeats nothing of it. Who lives, and where, is read off the
//! member table ([`Table`]); below five data nodes the lists themselves are read off it, because
//! so small a circle is where even corrected rules go wrong, and a node without any living
//! successor begins anew from it. Whom the table has next is asked where a list passes it by, and
//! adopted once it has answered: a split leaves two circles that know nothing of each other. Which
//! songs a node keeps is decided by points ([`crate::circle`]); a look-up ends at a node that is responsible and says so.
//!
//! The proof takes questions to be answered at once. They are not: a node that waits for an answer
//! holds questions about its neighbours back, gives its own operation up after a while drawn at
//! random, so that a circle of waits breaks, and never acts on an answer that comes later.

pub mod arc;
mod fingers;
pub mod flaws;
mod lookup;
mod operations;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::circle::Circle;
use crate::contract::chance::Chance;
use crate::contract::chord::Chord as Words;
use crate::contract::id::{Incarnation, NodeId};
use crate::contract::limits::NEIGHBOURS_MAX;
use crate::contract::message::{Letter, Message, Refusal};
use crate::contract::node::{Asker, Lost, Outbox, Peer};
use crate::contract::record::{Address, Role};
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::members::Members;
use crate::requests::{Desk, Requests};

use arc::around;
pub use fingers::Fingers;
use flaws::{Flaw, Flaws};
pub use lookup::{Ask, HOPS_MAX, Search, Way};
use operations::{HOSTS_MAX, Pending, Purpose};

/// How a data node keeps its place on the circle.
#[derive(Clone, Debug)]
pub struct Config {
    /// Successors in a list, at most [`NEIGHBOURS_MAX`] on the wire: two adjacent deaths break a
    /// list of two. The circle works by itself with one node more than this.
    pub successors: usize,
    /// Others that are all known; past them only some at every distance are.
    pub fingers: usize,
    /// Between two stabilisations while something changes.
    pub round: Duration,
    /// The same when nothing does: a precaution, for every change among the members is heard of.
    pub every: Duration,
    /// How long an operation may wait for its answer.
    pub patience: Duration,
    /// Questions in a row that a node may leave unanswered before it counts as dead here although
    /// the ring says that it lives.
    pub silences: u32,
    /// What the schedules have broken on purpose; nothing in any real node.
    pub flaws: Flaws,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            successors: NEIGHBOURS_MAX,
            fingers: 512,
            round: Duration::from_secs(1),
            every: Duration::from_secs(60),
            patience: Duration::from_secs(2),
            silences: 3,
            flaws: Flaws::default(),
        }
    }
}

/// Rounds that bring any circle into order once nothing changes: never more than twelve were seen.
const ROUNDS: u32 = 12;

/// Rounds after one that has changed something: lists are passed on node by node.
const ROUNDS_MORE: u32 = 6;

/// Questions held back; each comes from another node that has this one for its neighbour.
const HELD_MAX: usize = 64;

/// The living data nodes, as the ring sees them.
pub trait Table {
    /// Where a data node listens, if it lives.
    fn address(&self, node: NodeId) -> Option<Address>;

    /// Whether the ring does not, or no longer, count it among the living data nodes.
    fn is_dead(&self, node: NodeId) -> bool {
        self.address(node).is_none()
    }
}

impl Table for Members {
    fn address(&self, node: NodeId) -> Option<Address> {
        let member = self.get(node)?.member;
        (member.lives() && member.role == Role::Data).then_some(member.address)
    }
}

/// Who stands beside a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// The next ones, nearest first.
    pub successors: Vec<NodeId>,
    /// The one before.
    pub predecessor: Option<NodeId>,
}

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The nodes are too few for a circle: neighbours are those of the member table.
    Listed,
    /// Not on the circle: nobody has it in a list, and it tells nobody anything.
    Apart,
    /// On the circle.
    Joined,
}

/// One data node's place on the circle.
#[derive(Debug)]
pub struct Chord {
    config: Config,
    me: NodeId,
    standing: Standing,
    beside: Neighbours,
    /// The neighbours that the member table suggests.
    suggested: Neighbours,
    /// The next ones in the member table, nearest first: whom a newcomer asks.
    hosts: Vec<NodeId>,
    /// Stands for the living data nodes of which all this was made.
    made_of: u64,
    fingers: Fingers,
    /// Data nodes that take songs, with their weights.
    takers: Vec<(NodeId, u16)>,
    /// Their points, once somebody has asked.
    points: Option<Circle>,
    pending: Option<Pending>,
    held: VecDeque<(Asker, Words)>,
    requests: Requests<Purpose>,
    operations: u64,
    /// Attempts to join that were refused, in a row.
    refused: u32,
    /// Who has left how many questions in a row unanswered.
    silent: Option<(NodeId, u32)>,
    due_at: Time,
    rounds: u32,
    strange: u64,
    chance: Chance,
}

impl Chord {
    /// A node that knows of nobody yet.
    pub fn new(config: Config, me: NodeId, mut chance: Chance) -> Self {
        Chord {
            requests: Requests::new(Desk::Chord, Chance::from_seed(chance.bits())),
            config,
            me,
            standing: Standing::Listed,
            beside: Neighbours::default(),
            suggested: Neighbours::default(),
            hosts: Vec::new(),
            made_of: 0,
            fingers: Fingers::default(),
            takers: Vec::new(),
            points: None,
            pending: None,
            held: VecDeque::new(),
            operations: 0,
            refused: 0,
            silent: None,
            due_at: Time::NEVER,
            rounds: 0,
            strange: 0,
            chance,
        }
    }

    /// Its neighbours.
    pub fn beside(&self) -> &Neighbours {
        &self.beside
    }

    /// Whether it stands on the circle, is on its way there, or needs none.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Whom its look-ups can be sent to.
    pub fn fingers(&self) -> &Fingers {
        &self.fingers
    }

    /// The number of the operation it waits in, if any.
    pub fn operation(&self) -> Option<u64> {
        self.pending.as_ref().map(|pending| pending.number)
    }

    /// Answers that no honest node gives.
    pub fn strange_answers(&self) -> u64 {
        self.strange
    }

    /// Questions it holds back, and those it waits for: both are bounded.
    pub fn sizes(&self) -> (usize, usize) {
        (self.held.len(), self.requests.len())
    }

    /// Takes over who lives (the others, in the order of their ids, each with its start) and who
    /// takes songs, with weights and this node among them if it does.
    pub fn see(
        &mut self,
        now: Time,
        others: &[(NodeId, Incarnation)],
        takers: Vec<(NodeId, u16)>,
        table: &dyn Table,
        out: &mut Outbox,
    ) {
        if self.takers != takers {
            self.takers = takers;
            self.points = None;
        }
        let made_of = digest(others);
        if self.made_of == made_of {
            return;
        }
        self.made_of = made_of;
        let others: Vec<NodeId> = others.iter().map(|(node, _)| *node).collect();
        self.fingers = Fingers::of(self.me, &others, self.config.fingers);
        self.suggested = around(self.me, &others, self.successors_max());
        self.hosts = around(self.me, &others, HOSTS_MAX).successors;
        self.rounds = ROUNDS;
        self.take_stand(now, others.len());
        self.release(now, table, out);
    }

    /// Answers a question, at once or when an operation that changes the answer is over.
    pub fn on_question(
        &mut self,
        now: Time,
        asker: Asker,
        words: Words,
        table: &dyn Table,
        out: &mut Outbox,
    ) {
        match words {
            Words::Neighbours { .. } | Words::Notify if self.must_wait(&words) => {
                self.hold(asker, words, out);
            }
            Words::Neighbours { of } => self.on_neighbours(asker, of, out),
            Words::Notify => self.on_notify(now, asker, table, out),
            Words::Find { song, before } => self.on_find(asker, song, before, table, out),
            Words::Neighbourhood { .. }
            | Words::Noted
            | Words::Found { .. }
            | Words::Closer { .. } => out.refuse(asker, Refusal::WrongRole),
        }
    }

    /// Takes an answer.
    pub fn on_answer(
        &mut self,
        now: Time,
        from: Peer,
        letter: Letter,
        table: &dyn Table,
        out: &mut Outbox,
    ) {
        if let Some(outcome) = self.requests.on_answer(now, from, letter, out) {
            self.conclude(now, outcome, table, out);
        }
    }

    /// A peer is lost.
    pub fn on_lost(
        &mut self,
        now: Time,
        peer: Peer,
        why: Lost,
        table: &dyn Table,
        out: &mut Outbox,
    ) {
        for outcome in self.requests.on_lost(now, peer, why, out) {
            self.conclude(now, outcome, table, out);
        }
    }

    /// Gives up what has waited too long, and stabilises when that is due.
    pub fn on_tick(&mut self, now: Time, table: &dyn Table, out: &mut Outbox) {
        for outcome in self.requests.on_tick(now, out) {
            self.conclude(now, outcome, table, out);
        }
        self.look_after(now, table, out);
        if self.due_at <= now && self.pending.is_none() {
            self.begin(now, table, out);
        }
    }

    /// When [`Chord::on_tick`] wants to run. A circle in which nothing changes waits for the next
    /// event of its node: it never wakes anybody by itself.
    pub fn deadline(&self) -> Option<Time> {
        let operation = self.pending.as_ref().map(|pending| pending.until);
        let restless = self.rounds > 0 && self.pending.is_none();
        let round = (restless && self.due_at < Time::NEVER).then_some(self.due_at);
        earlier(self.requests.deadline(), earlier(operation, round))
    }

    fn successors_max(&self) -> usize {
        if self.config.flaws.has(Flaw::ListOfTwo) {
            return self.config.successors.min(2);
        }
        self.config.successors
    }

    /// Decides by how many there are whether they are a circle, and begins one where they have
    /// just become enough: everybody who was there holds the lists of the same table.
    fn take_stand(&mut self, now: Time, others: usize) {
        let alone = self.config.flaws.has(Flaw::FoundsAlone);
        let few = others < self.config.successors;
        if few && !alone {
            self.give_up();
            self.standing = Standing::Listed;
            self.beside = self.suggested.clone();
            self.due_at = Time::NEVER;
            return;
        }
        let unplaced = self.beside.successors.is_empty();
        match self.standing {
            Standing::Listed if alone && others == 0 => self.standing = Standing::Joined,
            Standing::Listed if unplaced => self.standing = Standing::Apart,
            Standing::Listed => self.found(),
            Standing::Apart | Standing::Joined => (),
        }
        self.due_at = self
            .due_at
            .min(now + self.chance.within(self.config.round / 4));
    }

    /// Takes its place as the member table has it.
    fn found(&mut self) {
        self.standing = Standing::Joined;
        self.beside = self.suggested.clone();
        self.refused = 0;
    }
}

/// A short stand-in for a set of nodes; never 0. Their starts count: one that comes back before
/// anybody has missed it has forgotten its neighbours.
fn digest(nodes: &[(NodeId, Incarnation)]) -> u64 {
    nodes.iter().fold(1, |sum: u64, (node, start)| {
        let id = crate::circle::mix(node.0 as u64 ^ (node.0 >> 64) as u64);
        crate::circle::mix(sum ^ id ^ crate::circle::mix(start.0))
    }) | 1
}

/// The message around these words.
fn message(words: Words) -> Message {
    Message::Chord(words)
}

#[cfg(test)]
mod tests;
