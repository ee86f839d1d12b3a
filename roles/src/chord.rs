//! Chord: the neighbours of each data node on the circle of ids, and look-ups that the owner
//! confirms.
//!
//! Owns the successor list, the predecessor and the fingers of one data node. Keeps them by the
//! corrected operations of Zave ("Reasoning about identifier spaces", 2017). A successor list is
//! only ever replaced whole, with the answer of a node that has just answered. A predecessor is
//! replaced only by a closer node, or when it is dead. These rules keep two invariants, and with
//! them a single, ordered circle: every member has a living successor, and at least one node more
//! than the length of a list is skipped by no list.
//!
//! The circle stands beside the ring and repeats nothing of it. The member table ([`Table`]) says
//! which nodes live and where. With fewer than five data nodes the lists themselves are read from
//! the table, because even the corrected rules fail on so small a circle. A node without any living
//! successor joins anew through the table. When a list skips the next node of the table, this node
//! asks that node and adopts it after its answer, because a split leaves two circles that know
//! nothing of each other. Points decide which songs a node keeps ([`crate::hash_ring`]). A look-up
//! ends at a node that confirms its responsibility.
//!
//! The proof assumes that questions are answered at once, which a network does not do. A node that
//! waits for an answer therefore holds back questions about its neighbours. It gives its own
//! operation up after a random time, so that a cycle of waiting nodes breaks. It never acts on an
//! answer that arrives later.

pub mod alone;
pub mod arc;
mod fingers;
mod lookup;
mod operations;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::chord::Chord as ChordMessage;
use crate::contract::id::{Incarnation, NodeId};
use crate::contract::limits::NEIGHBOURS_MAX;
use crate::contract::message::{Message, Refusal};
use crate::contract::node::Asker;
use crate::contract::record::{Address, Role};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::cx::Cx;
use crate::members::Members;
use crate::mutants::{ChordMutant, ChordMutants};
use crate::ownership::Owners;

use arc::around;
pub use fingers::Fingers;
pub use lookup::{Ask, HOPS_MAX, Search, Way, toward};
use operations::{HOSTS_MAX, Pending};

/// The timing and the bounds of the circle.
#[derive(Clone, Debug)]
pub struct Config {
    /// Length of a successor list, at most [`NEIGHBOURS_MAX`] on the wire. Two adjacent deaths
    /// break a list of two. The circle needs at least one node more than this; with fewer, the
    /// member table gives the neighbours.
    pub successors: usize,
    /// Up to so many other data nodes, all are fingers; with more, only some at every distance are.
    pub fingers: usize,
    /// Time between two stabilisations while something changes.
    pub round: Duration,
    /// The same while nothing changes. This is a precaution, because the member table reports every
    /// change.
    pub every: Duration,
    /// How long an operation may wait for its answer.
    pub patience: Duration,
    /// Consecutive unanswered questions after which a node counts as dead here although the ring
    /// says that it lives.
    pub silences: u32,
    /// Mutants that the schedules plant; empty in every real node.
    pub mutants: ChordMutants,
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
            mutants: ChordMutants::default(),
        }
    }
}

/// Rounds of stabilisation after a change of the members. At most twelve have been seen before any
/// circle was in order.
const ROUNDS: u32 = 12;

/// Rounds after one that changed a neighbour, because lists travel one node per round.
const ROUNDS_MORE: u32 = 6;

/// Bound on the questions held back. Each comes from a different node that has this one as
/// neighbour.
const HELD_MAX: usize = 64;

/// The living data nodes, as the member table has them.
pub trait Table {
    /// The address of a data node, if it lives.
    fn address(&self, node: NodeId) -> Option<Address>;

    /// Whether the ring does not count the node among the living data nodes.
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

/// The neighbours of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// The next nodes clockwise, nearest first.
    pub successors: Vec<NodeId>,
    /// The next node counter-clockwise.
    pub predecessor: Option<NodeId>,
}

/// The relation of a node to the circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There are too few nodes for a circle: the member table gives the neighbours.
    Listed,
    /// Not on the circle: no node has it in a list, and it refuses every question.
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
    /// The next nodes in the member table, nearest first: a joining node asks them.
    hosts: Vec<NodeId>,
    /// Digest of the living data nodes from which the lists were made.
    made_of: u64,
    fingers: Fingers,
    owners: Arc<Owners>,
    pending: Option<Pending>,
    held: VecDeque<(Asker, ChordMessage)>,
    operations: u64,
    /// Consecutive attempts to join in which every host refused.
    refused: u32,
    /// The node that left the last question unanswered, and how many in a row.
    silent: Option<(NodeId, u32)>,
    /// Hosts that count as dead here although the ring says that they live.
    mute: Vec<NodeId>,
    due_at: Time,
    rounds: u32,
    strange: u64,
    rng: Rng,
}

impl Chord {
    /// A node that knows no other yet.
    pub fn new(config: Config, me: NodeId, rng: Rng) -> Self {
        Chord {
            config,
            me,
            standing: Standing::Listed,
            beside: Neighbours::default(),
            suggested: Neighbours::default(),
            hosts: Vec::new(),
            made_of: 0,
            fingers: Fingers::default(),
            owners: Arc::default(),
            pending: None,
            held: VecDeque::new(),
            operations: 0,
            refused: 0,
            silent: None,
            mute: Vec::new(),
            due_at: Time::NEVER,
            rounds: 0,
            strange: 0,
            rng,
        }
    }

    /// The neighbours of this node.
    pub fn beside(&self) -> &Neighbours {
        &self.beside
    }

    /// Whether this node is on the circle, is joining it, or needs none.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The nodes to which look-ups can be sent.
    pub fn fingers(&self) -> &Fingers {
        &self.fingers
    }

    /// The number of the operation that waits for an answer, if any.
    pub fn operation(&self) -> Option<u64> {
        self.pending.as_ref().map(|pending| pending.number)
    }

    /// The number of answers that no honest node gives.
    pub fn strange_answers(&self) -> u64 {
        self.strange
    }

    /// The number of questions held back, which is bounded.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes over the living data nodes (the others, in the order of their ids, each with its
    /// incarnation) and who owns which songs.
    pub fn see(
        &mut self,
        cx: &mut Cx<'_>,
        others: &[(NodeId, Incarnation)],
        owners: &Arc<Owners>,
        table: &dyn Table,
    ) {
        self.owners = Arc::clone(owners);
        let made_of = digest(others);
        if self.made_of == made_of {
            return;
        }
        self.made_of = made_of;
        let others: Vec<NodeId> = others.iter().map(|(node, _)| *node).collect();
        self.fingers = Fingers::of(self.me, &others, self.config.fingers);
        self.suggested = around(self.me, &others, self.successors_max());
        self.hosts = around(self.me, &others, HOSTS_MAX).successors;
        self.mute.clear();
        self.rounds = ROUNDS;
        self.take_stand(cx, others.len());
        self.release(cx, table);
    }

    /// Answers a question: at once, or after the running operation, which may change the answer.
    pub fn on_question(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        words: ChordMessage,
        table: &dyn Table,
    ) {
        match words {
            ChordMessage::Neighbours { .. } | ChordMessage::Notify if self.must_wait(&words) => {
                self.hold(cx, asker, words);
            }
            ChordMessage::Neighbours { of } => self.on_neighbours(cx, asker, of),
            ChordMessage::Notify => self.on_notify(cx, asker, table),
            ChordMessage::Find { song, before } => self.on_find(cx, asker, song, before, table),
            ChordMessage::Neighbourhood { .. }
            | ChordMessage::Noted
            | ChordMessage::Found { .. }
            | ChordMessage::Closer { .. } => cx.out.refuse(asker, Refusal::WrongRole),
        }
    }

    /// Ends operations that have waited too long, and stabilises when that is due.
    pub fn on_tick(&mut self, cx: &mut Cx<'_>, table: &dyn Table) {
        self.look_after(cx, table);
        if self.due_at <= cx.now && self.pending.is_none() {
            self.begin(cx, table);
        }
    }

    /// When [`Chord::on_tick`] wants to run. A circle in which nothing changes waits for another
    /// event of its node, so it never wakes an idle machine.
    pub fn deadline(&self) -> Option<Time> {
        let operation = self.pending.as_ref().map(|pending| pending.until);
        let restless = self.rounds > 0 && self.pending.is_none();
        let round = (restless && self.due_at < Time::NEVER).then_some(self.due_at);
        earlier(operation, round)
    }

    fn successors_max(&self) -> usize {
        if self.config.mutants.has(ChordMutant::ListOfTwo) {
            return self.config.successors.min(2);
        }
        self.config.successors
    }

    /// Decides by the number of data nodes whether they form a circle. When they have just become
    /// enough, this node takes its neighbours from the table: every node that was there before has
    /// the lists of the same table, so they agree.
    fn take_stand(&mut self, cx: &mut Cx<'_>, others: usize) {
        let alone = self.config.mutants.has(ChordMutant::FoundsAlone);
        let few = others < self.config.successors;
        if few && !alone {
            self.give_up(cx);
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
            .min(cx.now + self.rng.within(self.config.round / 4));
    }

    /// Takes the neighbours that the member table suggests, and is on the circle.
    fn found(&mut self) {
        self.standing = Standing::Joined;
        self.beside = self.suggested.clone();
        self.refused = 0;
    }
}

/// A digest of a set of nodes; never 0. The incarnations are part of it, because a node that
/// restarts before any other has missed it has forgotten its neighbours.
fn digest(nodes: &[(NodeId, Incarnation)]) -> u64 {
    nodes.iter().fold(1, |sum: u64, (node, start)| {
        let id = crate::hash_ring::mix(node.0 as u64 ^ (node.0 >> 64) as u64);
        crate::hash_ring::mix(sum ^ id ^ crate::hash_ring::mix(start.0))
    }) | 1
}

/// Wraps the words in a message.
fn message(words: ChordMessage) -> Message {
    Message::Chord(words)
}

#[cfg(test)]
mod tests;
