//! Looking a song up: which node answers for it, and how the asker gets there.
//!
//! A node is responsible for the keys between its predecessor and itself. Other nodes name the
//! closest nodes they know before the key, and the responsible one answers with the owners by
//! points, as it sees them. So the result comes from a node that was asked itself and claims the
//! key. An asker that knows all data nodes begins at the one that should be responsible, and needs
//! one question while the circle is in order ([`toward`]).
//!
//! A node whose predecessor is dead cannot know how far back its share reaches, because living
//! nodes before the dead one may be unknown to it. The asker knows more: it tells which living node
//! before the key has led it here. The share begins after that node.
//!
//! The asker goes from node to node by itself. It repeats no question that could bring no further
//! answer, and gives up after [`HOPS_MAX`] questions, because nodes that name each other would
//! otherwise lead it round for ever.

use alloc::vec::Vec;

use super::arc::{belongs, between, distance};
use super::{Chord, ChordMessage, Standing, Table, message};
use crate::contract::id::{NodeId, SongId};
use crate::contract::limits::NEIGHBOURS_MAX;
use crate::contract::message::Refusal;
use crate::contract::node::Asker;
use crate::cx::Cx;
use crate::mutants::{ChordMutant, ChordMutants};

/// Bound on the questions of one look-up: four times the expected number at 2048 nodes, which is
/// log2 N / 2 + 0.9, rounded up.
pub const HOPS_MAX: usize = 28;

/// The answer of a node that is asked for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// The node is responsible.
    Mine,
    /// These nodes are closer to the key, the most promising first.
    Closer(Vec<NodeId>),
}

impl Chord {
    pub(super) fn on_find(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        song: SongId,
        before: Option<NodeId>,
        table: &dyn Table,
    ) {
        if self.standing == Standing::Apart {
            return cx.out.refuse(asker, Refusal::NotReady);
        }
        let way = self.way(NodeId(song.0), before, table);
        let speaks = self.config.mutants.has(ChordMutant::TrustsFingers);
        match way {
            Way::Closer(nodes) if nodes.is_empty() => cx.out.refuse(asker, Refusal::NotReady),
            Way::Closer(nodes) if !speaks => cx
                .out
                .answer(asker, message(ChordMessage::Closer { nodes })),
            Way::Mine | Way::Closer(_) => {
                let owners = self.owners(song);
                cx.out
                    .answer(asker, message(ChordMessage::Found { owners }));
            }
        }
    }

    /// The nodes that keep a song, nearest first, by the points of the nodes that take songs.
    pub fn owners(&self, song: SongId) -> Vec<NodeId> {
        self.owners.of_song(song)
    }

    /// Where a look-up goes from here: it ends, returns to a joined node that the asker has passed
    /// by, goes to the successor that is responsible, or goes to the closest nodes known before the
    /// key. `before` is the living node that led the asker here ([`ChordMessage::Find`]).
    pub fn way(&self, key: NodeId, before: Option<NodeId>, table: &dyn Table) -> Way {
        let lives = |node: &NodeId| !table.is_dead(*node);
        let led = before.is_some_and(|node| node != self.me && belongs(node, key, self.me));
        let predecessor = self.beside.predecessor.filter(lives);
        if self.is_mine(key, led, predecessor) {
            return Way::Mine;
        }
        if let Some(nearer) = predecessor.filter(|_| led) {
            return Way::Closer([nearer].into());
        }
        let next = self.beside.successors.iter().copied().find(lives);
        let Some(next) = next else {
            return Way::Closer(Vec::new());
        };
        if belongs(self.me, key, next) {
            return Way::Closer([next].into());
        }
        let fingers = self.fingers.preceding(self.me, key).filter(lives);
        let listed = (self.beside.successors.iter().copied())
            .filter(|node| between(self.me, *node, key) && lives(node));
        let mut nodes: Vec<NodeId> = fingers.take(NEIGHBOURS_MAX).chain(listed).collect();
        nodes.sort_unstable_by_key(|node| distance(*node, key));
        nodes.dedup();
        nodes.truncate(NEIGHBOURS_MAX);
        Way::Closer(nodes)
    }

    /// Whether this node is responsible for a key, given its living predecessor. Without a living
    /// predecessor it answers for the keys after the dead one, and for a key that a living node
    /// before the key has led the asker here for.
    fn is_mine(&self, key: NodeId, led: bool, predecessor: Option<NodeId>) -> bool {
        if let Some(before) = predecessor {
            return belongs(before, key, self.me);
        }
        if self.config.mutants.has(ChordMutant::ClaimsFromTheDead) {
            return true;
        }
        let dead = self.beside.predecessor;
        let alone = self.standing == Standing::Listed && self.beside.successors.is_empty();
        alone || led || dead.is_some_and(|dead| belongs(dead, key, self.me))
    }
}

/// The nodes at which a look-up begins: the first at or after the key, which is responsible if the
/// asker knows all nodes, then those that stand closest before it.
pub fn toward(key: NodeId, nodes: impl IntoIterator<Item = NodeId>) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = nodes.into_iter().collect();
    nodes.sort_unstable_by_key(|node| distance(*node, key));
    nodes.dedup();
    // The farthest before the key is the first after it, unless a node stands at the key itself.
    if nodes.first().is_some_and(|nearest| *nearest != key) {
        nodes.rotate_right(1);
    }
    nodes.truncate(NEIGHBOURS_MAX);
    nodes
}

/// One question of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The node to ask.
    pub node: NodeId,
    /// The value of `before` in [`ChordMessage::Find`].
    pub before: Option<NodeId>,
}

/// A look-up in progress, at the node that makes it.
#[derive(Clone, Debug)]
pub struct Search {
    key: NodeId,
    asked: Vec<Ask>,
    /// The nodes to ask; the next one is last.
    ahead: Vec<NodeId>,
    /// The node closest before the key among those that have answered.
    before: Option<NodeId>,
    mutants: ChordMutants,
}

impl Search {
    /// Begins a look-up at these nodes, in the order given.
    pub fn new(
        song: SongId,
        first: impl IntoIterator<Item = NodeId>,
        mutants: ChordMutants,
    ) -> Self {
        let mut search = Search {
            key: NodeId(song.0),
            asked: Vec::new(),
            ahead: Vec::new(),
            before: None,
            mutants,
        };
        search.go_on(first);
        search
    }

    /// The next question. None: the look-up has failed.
    pub fn next_asked(&mut self) -> Option<Ask> {
        let endless = self.mutants.has(ChordMutant::NoHopLimit);
        while self.asked.len() < HOPS_MAX || endless {
            let node = self.ahead.pop()?;
            let leads = |b: &NodeId| *b != node && belongs(*b, self.key, node);
            let before = self.before.filter(leads);
            let ask = Ask { node, before };
            if endless || !self.has_asked(ask) {
                self.asked.push(ask);
                return Some(ask);
            }
        }
        None
    }

    /// Whether that node has been asked and was told at least as much. So no node is asked more
    /// than twice.
    fn has_asked(&self, ask: Ask) -> bool {
        let as_much = |asked: &Ask| asked.before.is_some() || ask.before.is_none();
        (self.asked.iter()).any(|asked| asked.node == ask.node && as_much(asked))
    }

    /// Takes the closer nodes that the last node asked has named. They are asked before all nodes
    /// named earlier.
    pub fn go_on(&mut self, nodes: impl IntoIterator<Item = NodeId>) {
        if let Some(Ask { node, .. }) = self.asked.last().copied()
            && node != self.key
            && self.before.is_none_or(|b| between(b, node, self.key))
        {
            self.before = Some(node);
        }
        let at = self.ahead.len();
        self.ahead.extend(nodes.into_iter().take(NEIGHBOURS_MAX));
        self.ahead[at..].reverse();
        let surplus = self.ahead.len().saturating_sub(HOPS_MAX * NEIGHBOURS_MAX);
        self.ahead.drain(..surplus);
    }

    /// Questions asked so far.
    pub fn hops(&self) -> usize {
        self.asked.len()
    }
}
