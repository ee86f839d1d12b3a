//! The data nodes as a router knows them: the state of each, and how much of its change feed the
//! catalogue contains.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::catalogue::Catalogue;
use super::{Config, Sight, is_at, state_of};
use crate::contract::id::{NodeId, SongId};
use crate::contract::limits::RECORDS_MAX;
use crate::contract::message::{
    Announcement, Change, Digest, Holder, NodeState, NodeStatus, StoreId,
};
use crate::contract::node::Peer;
use crate::contract::record::{Features, Record, Role};
use crate::contract::tags::TagNews;
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
    /// The catalogue contains all changes of this data node up to this revision.
    revision: u64,
    /// The catalogue contains the tags of this data node up to this revision of the tags.
    tagged: u64,
    /// The latest revision that the data node has announced.
    latest: u64,
    digest: Digest,
    bytes: u64,
    load: u16,
    repairing: u32,
    damaged: u32,
    heard_at: Time,
    /// When the connection to it broke, if it has announced nothing since.
    broken_at: Option<Time>,
}

impl Holders {
    pub(super) fn new(config: Config) -> Self {
        Holders {
            config,
            nodes: BTreeMap::new(),
        }
    }

    /// Applies an announcement to the catalogue. Returns the revision up to which the catalogue
    /// follows the data node, and whether the songs add up to the announced digest.
    pub(super) fn on_announce(
        &mut self,
        now: Time,
        news: Announcement,
        catalogue: &mut Catalogue,
    ) -> (u64, bool) {
        let id = news.record.node;
        if self.nodes.len() >= RECORDS_MAX && !self.nodes.contains_key(&id) {
            // The table is full. The songs of this data node are in no list, but look-ups find
            // them.
            return (0, true);
        }
        let node = self
            .nodes
            .entry(id)
            .or_insert_with(|| DataNode::unknown(news.record, now));
        let earlier = news.record.incarnation < node.record.incarnation;
        if earlier && node.state(now, &self.config) != NodeState::Dead {
            return (node.revision, true); // A late announcement of an earlier start.
        }
        // If the store id differs, or revisions or incarnations have gone back, the disk was
        // replaced or restored from an older state. Nothing announced before can be relied on.
        if earlier || node.store != news.store || news.latest < node.revision {
            node.reset(news.store);
            catalogue.forget(id);
        }
        node.hear(now, &news);
        // Changes after a gap are not applied. The returned revision stays, so the data node sends
        // the changes from there.
        if news.since == node.revision {
            node.follow(now, id, news.changes, catalogue);
            node.revision = news.revision.max(node.revision);
        }
        let adds_up = node.revision != news.latest || node.digest == news.digest;
        if !adds_up {
            // The catalogue has missed a change. It drops the node's songs, and the returned
            // revision 0 asks for all of them again.
            node.reset(news.store);
            catalogue.forget(id);
        }
        catalogue.settle();
        (node.revision, adds_up)
    }

    /// Takes the tags of songs over. Returns the revision of the tags up to which the catalogue has
    /// them. Tags of songs that the catalogue has not heard of yet are not taken: the data node sends
    /// them again.
    pub(super) fn on_tags(
        &mut self,
        news: TagNews,
        added: &[u32],
        catalogue: &mut Catalogue,
    ) -> u64 {
        let known = self.nodes.get_mut(&news.record.node);
        let Some(node) = known.filter(|node| node.store == news.store) else {
            return 0;
        };
        if news.since == node.tagged && news.needs <= node.revision {
            // Missing times are unknown ones.
            let times = added.iter().copied().chain(core::iter::repeat(0));
            for ((song, more), added) in news.songs.into_iter().zip(times) {
                catalogue.tag(song, more);
                catalogue.note_added(song, added);
            }
            node.tagged = news.revision.max(node.tagged);
            catalogue.settle();
        }
        node.tagged
    }

    pub(super) fn on_lost(&mut self, now: Time, peer: Peer) {
        for node in self.nodes.values_mut() {
            if is_at(peer, node.record.address) {
                node.broken_at = Some(now);
            }
        }
    }

    /// Whether the catalogue contains all songs that a data node has announced.
    pub(super) fn has_followed(&self, node: NodeId) -> bool {
        let whole = |node: &DataNode| node.revision >= node.latest;
        self.nodes.get(&node).is_some_and(whole)
    }

    /// The number of nodes among these from which a song can be read. A suspected node counts until it
    /// is declared dead; one whose disk does not answer does not count.
    pub(super) fn living_among(&self, now: Time, nodes: &[NodeId], sight: Sight<'_>) -> usize {
        let unable = [NodeState::Dead, NodeState::Sick];
        let reads = |id: &&NodeId| !unable.contains(&self.state(now, **id, sight));
        nodes.iter().filter(reads).count()
    }

    /// The nodes among these that may be asked for a song, with their state: all but the dead.
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
                (state, Holder::of(&node.record, node.load))
            })
            .filter(|(state, _)| *state != NodeState::Dead)
            .collect()
    }

    /// The data nodes to which a song may be uploaded: its owners in the order of the hash ring,
    /// then every other data node that takes songs. Nodes on probation, which have come and gone
    /// lately, come last.
    pub(super) fn owners(&self, now: Time, song: SongId, sight: Sight<'_>) -> Vec<Holder> {
        let mut well: BTreeMap<NodeId, Holder> = BTreeMap::new();
        for record in self.records(sight) {
            if self.takes_songs(now, record.node, sight) {
                let load = self.nodes.get(&record.node).map_or(0, |node| node.load);
                well.insert(record.node, Holder::of(&record, load));
            }
        }
        let mut order = sight.owners.in_order(song);
        // A data node that is known from its announcements alone is in no hash ring. It is the last
        // resort.
        let strangers = well.keys().filter(|node| !order.contains(node));
        let strangers: Vec<NodeId> = strangers.copied().collect();
        order.extend(strangers);
        order.sort_by_key(|id| is_on_probation(now, *id, sight));
        order.iter().filter_map(|id| well.remove(id)).collect()
    }

    /// Every known data node, from the server records or from its announcements.
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

    /// Completes the status of a data node with what it has announced.
    pub(super) fn complete(&self, now: Time, line: &mut NodeStatus, sight: Sight<'_>) {
        let Some(node) = self
            .nodes
            .get(&line.node)
            .filter(|_| line.role == Role::Data)
        else {
            return;
        };
        line.state = self.state(now, line.node, sight);
        let has = |feature| node.record.features.has(feature);
        if line.state == NodeState::Alive && has(Features::MENDING) {
            line.state = NodeState::Sick;
        } else if line.state == NodeState::Alive && has(Features::FULL) {
            line.state = NodeState::Full;
        }
        line.songs = node.digest.count;
        line.bytes = node.bytes;
        (line.repairing, line.damaged) = (node.repairing, node.damaged);
        line.heard_ms = now.since(node.heard_at).as_millis() as u64;
    }

    /// The state of a data node. The ring decides about its members. For other nodes, their
    /// announcements are the only sign of life.
    fn state(&self, now: Time, id: NodeId, sight: Sight<'_>) -> NodeState {
        let node = self.nodes.get(&id);
        let Some(member) = sight.member(id) else {
            return node.map_or(NodeState::Dead, |node| node.state(now, &self.config));
        };
        if member.role != Role::Data {
            return NodeState::Dead; // It has changed its role and serves no songs.
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
            tagged: 0,
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
        (self.revision, self.tagged) = (0, 0);
        self.digest = Digest::default();
    }

    fn hear(&mut self, now: Time, news: &Announcement) {
        if news.record.incarnation != self.record.incarnation {
            // A disk that went back in time gives a revision of the tags twice, and no digest shows it.
            self.tagged = 0;
        }
        self.record = news.record;
        self.latest = news.latest;
        self.bytes = news.bytes;
        self.load = news.load;
        (self.repairing, self.damaged) = (news.repairing, news.damaged);
        self.heard_at = now;
        self.broken_at = None;
    }

    fn follow(&mut self, now: Time, id: NodeId, changes: Vec<Change>, catalogue: &mut Catalogue) {
        for change in changes {
            match change {
                Change::Added(song) => {
                    let song_id = song.id;
                    if catalogue.add(id, song) {
                        self.digest.insert(song_id);
                    }
                }
                // A feed from revision 0 also contains removals of songs that were never added
                // here. The digest changes only if the catalogue did.
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
                Change::Marked(mark) => catalogue.mark(now, mark),
                Change::Wrote(_) => (), // The router has taken documents before.
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
