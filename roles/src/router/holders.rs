//! The data nodes, as a router sees them: alive, suspected, dead; how far it has followed each.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::catalogue::Catalogue;
use super::{Config, Sight, holder, is_at, state_of};
use crate::contract::id::{NodeId, SongId};
use crate::contract::limits::RECORDS_MAX;
use crate::contract::message::{
    Announcement, Change, Digest, Holder, NodeState, NodeStatus, StoreId,
};
use crate::contract::node::Peer;
use crate::contract::record::{Features, Record, Role};
use crate::contract::time::Time;
use crate::members;

/// The data nodes that have announced themselves.
#[derive(Debug)]
pub(super) struct Holders {
    config: Config,
    nodes: BTreeMap<NodeId, DataNode>,
}

#[derive(Debug)]
struct DataNode {
    record: Record,
    store: StoreId,
    /// All its changes up to here are in the catalogue.
    revision: u64,
    /// Its latest revision, as it last said.
    latest: u64,
    digest: Digest,
    bytes: u64,
    load: u16,
    repairing: u32,
    damaged: u32,
    heard_at: Time,
    /// When its connection broke, if it has not announced anything since.
    broken_at: Option<Time>,
}

impl Holders {
    pub(super) fn new(config: Config) -> Self {
        Holders {
            config,
            nodes: BTreeMap::new(),
        }
    }

    /// Takes over what a data node tells; says up to which revision it is known, and whether all
    /// of it came to what the node says it comes to.
    pub(super) fn on_announce(
        &mut self,
        now: Time,
        news: Announcement,
        catalogue: &mut Catalogue,
    ) -> (u64, bool) {
        let id = news.record.node;
        if self.nodes.len() >= RECORDS_MAX && !self.nodes.contains_key(&id) {
            return (0, true);
        }
        let node = self
            .nodes
            .entry(id)
            .or_insert_with(|| DataNode::unknown(news.record, now));
        let earlier = news.record.incarnation < node.record.incarnation;
        if earlier && node.state(now, &self.config) != NodeState::Dead {
            return (node.revision, true); // A late word of an earlier start.
        }
        // A store whose revisions or starts have gone back was restored from an older state.
        if earlier || node.store != news.store || news.latest < node.revision {
            node.reset(news.store);
            catalogue.forget(id);
        }
        node.hear(now, &news);
        if news.since == node.revision {
            node.follow(id, news.changes, catalogue);
            node.revision = news.revision.max(node.revision);
        }
        let adds_up = node.revision != news.latest || node.digest == news.digest;
        if !adds_up {
            // Something was missed on the way: everything again.
            node.reset(news.store);
            catalogue.forget(id);
        }
        (node.revision, adds_up)
    }

    pub(super) fn on_lost(&mut self, now: Time, peer: Peer) {
        for node in self.nodes.values_mut() {
            if is_at(peer, node.record.address) {
                node.broken_at = Some(now);
            }
        }
    }

    /// Whether everything a data node keeps is in the catalogue.
    pub(super) fn has_followed(&self, node: NodeId) -> bool {
        let whole = |node: &DataNode| node.revision >= node.latest;
        self.nodes.get(&node).is_some_and(whole)
    }

    /// How many of these nodes live: a suspected one still counts, until the verdict.
    pub(super) fn living_among(&self, now: Time, nodes: &[NodeId], sight: Sight<'_>) -> usize {
        let lives = |id: &&NodeId| self.state(now, **id, sight) != NodeState::Dead;
        nodes.iter().filter(lives).count()
    }

    /// Those of these nodes that may be asked for a song, and how they are.
    pub(super) fn offer(
        &self,
        now: Time,
        nodes: &[NodeId],
        sight: Sight<'_>,
    ) -> Vec<(NodeState, Holder)> {
        let known = nodes
            .iter()
            .filter_map(|id| Some((id, self.nodes.get(id)?)));
        known
            .map(|(id, node)| {
                let state = self.state(now, *id, sight);
                (state, holder(&node.record, node.load))
            })
            .filter(|(state, _)| *state != NodeState::Dead)
            .collect()
    }

    /// Where a song belongs: its owners in circular order, then every other data node that is
    /// well. Who comes and goes stands behind those who stay.
    pub(super) fn owners(&self, now: Time, song: SongId, sight: Sight<'_>) -> Vec<Holder> {
        let mut well: BTreeMap<NodeId, Holder> = BTreeMap::new();
        for record in self.records(sight) {
            if self.takes_songs(now, record.node, sight) {
                let load = self.nodes.get(&record.node).map_or(0, |node| node.load);
                well.insert(record.node, holder(&record, load));
            }
        }
        let mut order = sight.owners.in_order(song);
        // A data node that only its announcements tell of takes what the others do not.
        let strangers = well.keys().filter(|node| !order.contains(node));
        let strangers: Vec<NodeId> = strangers.copied().collect();
        order.extend(strangers);
        order.sort_by_key(|id| is_on_probation(now, *id, sight));
        order.iter().filter_map(|id| well.remove(id)).collect()
    }

    /// Every data node known, from the names or from its announcements.
    pub(super) fn records(&self, sight: Sight<'_>) -> Vec<Record> {
        let named = sight.servers.iter().filter(|r| r.role == Role::Data);
        let mut records: Vec<Record> = named.copied().collect();
        for (id, node) in &self.nodes {
            if records.iter().all(|r| r.node != *id) {
                records.push(node.record);
            }
        }
        records
    }

    fn takes_songs(&self, now: Time, id: NodeId, sight: Sight<'_>) -> bool {
        let known = self.nodes.contains_key(&id);
        let well = !known || self.state(now, id, sight) == NodeState::Alive;
        well && sight.member(id).is_none_or(members::takes_songs)
    }

    /// Adds what a data node has announced to its line.
    pub(super) fn complete(&self, now: Time, line: &mut NodeStatus, sight: Sight<'_>) {
        let Some(node) = self
            .nodes
            .get(&line.node)
            .filter(|_| line.role == Role::Data)
        else {
            return;
        };
        line.state = self.state(now, line.node, sight);
        if line.state == NodeState::Alive && node.record.features.has(Features::FULL) {
            line.state = NodeState::Full;
        }
        line.songs = node.digest.count;
        line.bytes = node.bytes;
        (line.repairing, line.damaged) = (node.repairing, node.damaged);
        line.heard_ms = now.since(node.heard_at).as_millis() as u64;
    }

    /// How a node is: the ring decides; of those it does not know their announcements are the
    /// only sign of life.
    fn state(&self, now: Time, id: NodeId, sight: Sight<'_>) -> NodeState {
        let node = self.nodes.get(&id);
        let Some(member) = sight.member(id) else {
            return node.map_or(NodeState::Dead, |node| node.state(now, &self.config));
        };
        if member.role != Role::Data {
            return NodeState::Dead; // It has changed its role: its songs are not served.
        }
        let heard_at = sight.ring.and_then(|ring| ring.heard_at(id));
        let broken = node.and_then(|node| node.broken_at) > heard_at;
        let state = state_of(member);
        if broken && state == NodeState::Alive {
            return NodeState::Suspect;
        }
        state
    }
}

fn is_on_probation(now: Time, id: NodeId, sight: Sight<'_>) -> bool {
    let until = (sight.ring).and_then(|ring| ring.members().probation(id));
    until.is_some_and(|until| now < until)
}

impl DataNode {
    fn unknown(record: Record, now: Time) -> Self {
        DataNode {
            record,
            store: StoreId::default(),
            revision: 0,
            latest: 0,
            digest: Digest::default(),
            bytes: 0,
            load: 0,
            repairing: 0,
            damaged: 0,
            heard_at: now,
            broken_at: None,
        }
    }

    fn reset(&mut self, store: StoreId) {
        self.store = store;
        self.revision = 0;
        self.digest = Digest::default();
    }

    fn hear(&mut self, now: Time, news: &Announcement) {
        self.record = news.record;
        self.latest = news.latest;
        self.bytes = news.bytes;
        self.load = news.load;
        (self.repairing, self.damaged) = (news.repairing, news.damaged);
        self.heard_at = now;
        self.broken_at = None;
    }

    fn follow(&mut self, id: NodeId, changes: Vec<Change>, catalogue: &mut Catalogue) {
        for change in changes {
            match change {
                Change::Added(song) => {
                    let song_id = song.id;
                    if catalogue.add(id, song) {
                        self.digest.insert(song_id);
                    }
                }
                // A feed from the beginning also tells of what was removed before we listened.
                Change::Removed(song) => {
                    if catalogue.remove(id, song) {
                        self.digest.remove(song);
                    }
                }
                Change::Buried(song) => {
                    if catalogue.remove(id, song) {
                        self.digest.remove(song);
                    }
                    catalogue.bury(song);
                }
            }
        }
    }

    fn state(&self, now: Time, config: &Config) -> NodeState {
        let silent = now.since(self.heard_at);
        if silent >= config.dead_after {
            NodeState::Dead
        } else if self.broken_at.is_some() || silent >= config.suspect_after {
            NodeState::Suspect
        } else {
            NodeState::Alive
        }
    }
}
