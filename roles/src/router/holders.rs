//! The data nodes, as a router sees them: alive, suspected, dead; how far it has followed each.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::catalogue::Catalogue;
use super::{Config, holder, is_at};
use crate::circle::{Circle, Partition};
use crate::contract::id::{NodeId, SongId};
use crate::contract::limits::RECORDS_MAX;
use crate::contract::message::{
    Announcement, Change, Digest, Holder, NodeState, NodeStatus, StoreId,
};
use crate::contract::node::Peer;
use crate::contract::record::{Record, Role};
use crate::contract::time::Time;

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
    heard_at: Time,
    /// Its connection broke and it has not spoken since.
    broken: bool,
}

impl Holders {
    pub(super) fn new(config: Config) -> Self {
        Holders {
            config,
            nodes: BTreeMap::new(),
        }
    }

    /// Takes over what a data node tells; says up to which revision it is known.
    pub(super) fn on_announce(
        &mut self,
        now: Time,
        news: Announcement,
        catalogue: &mut Catalogue,
    ) -> u64 {
        let id = news.record.node;
        if self.nodes.len() >= RECORDS_MAX && !self.nodes.contains_key(&id) {
            return 0;
        }
        let node = self
            .nodes
            .entry(id)
            .or_insert_with(|| DataNode::unknown(news.record, now));
        if node.record.incarnation > news.record.incarnation {
            return node.revision; // A late word of an earlier start.
        }
        // A store whose revisions have gone back was restored from an older state.
        if node.store != news.store || news.latest < node.revision {
            node.reset(news.store);
            catalogue.forget(id);
        }
        node.hear(now, &news);
        if news.since == node.revision {
            node.follow(id, news.changes, catalogue);
            node.revision = news.revision.max(node.revision);
        }
        if node.revision == news.latest && node.digest != news.digest {
            // Something was missed on the way: everything again.
            node.reset(news.store);
            catalogue.forget(id);
        }
        node.revision
    }

    pub(super) fn on_lost(&mut self, peer: Peer) {
        for node in self.nodes.values_mut() {
            if is_at(peer, node.record.address) {
                node.broken = true;
            }
        }
    }

    /// Whether everything a data node keeps is in the catalogue.
    pub(super) fn has_followed(&self, node: NodeId) -> bool {
        let whole = |node: &DataNode| node.revision >= node.latest;
        self.nodes.get(&node).is_some_and(whole)
    }

    /// How many of these nodes live.
    pub(super) fn alive_among(&self, now: Time, nodes: &[NodeId]) -> usize {
        let alive = |id: &&NodeId| self.state(now, **id) == NodeState::Alive;
        nodes.iter().filter(alive).count()
    }

    /// Those of these nodes that may be asked for a song, and how they are.
    pub(super) fn offer(&self, now: Time, nodes: &[NodeId]) -> Vec<(NodeState, Holder)> {
        let known = nodes.iter().filter_map(|id| self.nodes.get(id));
        known
            .map(|node| {
                (
                    node.state(now, &self.config),
                    holder(&node.record, node.load),
                )
            })
            .filter(|(state, _)| *state != NodeState::Dead)
            .collect()
    }

    /// Where a song belongs: its owners in circular order, then every other living data node.
    pub(super) fn owners(&self, now: Time, song: SongId, servers: &[Record]) -> Vec<Holder> {
        let mut living: BTreeMap<NodeId, Holder> = BTreeMap::new();
        let mut weights = Vec::new();
        let registered = servers.iter().filter(|r| r.role == Role::Data);
        for record in registered.filter(|r| !self.nodes.contains_key(&r.node)) {
            living.insert(record.node, holder(record, 0));
            weights.push((record.node, record.weight));
        }
        for (id, node) in &self.nodes {
            if node.state(now, &self.config) == NodeState::Alive {
                living.insert(*id, holder(&node.record, node.load));
                weights.push((*id, node.record.weight));
            }
        }
        let circle = Circle::of(weights);
        let order = circle.owners(Partition::of(song), living.len());
        order.iter().filter_map(|id| living.remove(id)).collect()
    }

    pub(super) fn status(&self, now: Time) -> Vec<NodeStatus> {
        let status = |(id, node): (&NodeId, &DataNode)| NodeStatus {
            node: *id,
            role: Role::Data,
            state: node.state(now, &self.config),
            address: node.record.address,
            incarnation: node.record.incarnation,
            songs: node.digest.count,
            bytes: node.bytes,
            heard_ms: now.since(node.heard_at).as_millis() as u64,
        };
        self.nodes.iter().map(status).collect()
    }

    fn state(&self, now: Time, id: NodeId) -> NodeState {
        (self.nodes.get(&id)).map_or(NodeState::Dead, |node| node.state(now, &self.config))
    }
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
            heard_at: now,
            broken: false,
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
        self.heard_at = now;
        self.broken = false;
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
            }
        }
    }

    fn state(&self, now: Time, config: &Config) -> NodeState {
        let silent = now.since(self.heard_at);
        if silent >= config.dead_after {
            NodeState::Dead
        } else if self.broken || silent >= config.suspect_after {
            NodeState::Suspect
        } else {
            NodeState::Alive
        }
    }
}
