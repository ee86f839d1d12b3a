//! The router role: it answers from memory which songs there are and which data nodes have them.
//!
//! Owns the catalogue, built from the announcements of the data nodes, and the state of the data
//! nodes themselves. A song that the catalogue lacks is looked up at the data nodes
//! ([`crate::locator`]), because they know more than a router that has just started or has not
//! received the announcement of an upload yet. Storing and serving songs is the data nodes'
//! business.

pub mod catalogue;
mod documents;
mod groups;
mod order;
mod search;
mod slot_set;
mod word_index;

pub(crate) mod folding;

mod holders;

use alloc::vec::Vec;
use core::time::Duration;

use crate::anomalies::{Anomalies, Anomaly};
use crate::contract::browse::Browse;
use crate::contract::document::Reading;
use crate::contract::id::{NodeId, SongId, SongPrefix};
use crate::contract::limits::{COPIES, HOLDERS_MAX, PAGE_SONGS_MAX};
use crate::contract::member::{Member, MemberState, Traits};
use crate::contract::message::{
    Announcement, Catalogue as CatalogueMessage, Message, NodeState, NodeStatus, Query, Refusal,
    Status,
};
use crate::contract::node::{Asker, Peer};
use crate::contract::record::{Address, Features, Record, Role};
use crate::contract::rng::Rng;
use crate::contract::tags::TagNews;
use crate::contract::time::Time;
use crate::cx::Cx;
use crate::locator::{self, DataNodes, Ending, Locator};
use crate::mutants::DocumentMutants;
use crate::ownership::Owners;
use crate::purpose::locator::Step;
use crate::requests::Reply;
use crate::ring::Ring;

use catalogue::Catalogue;
use documents::Documents;
use holders::Holders;

/// The other servers, as a router knows them while it handles one event.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// The records of all known servers of all roles, this node included.
    pub servers: &'a [Record],
    /// The owners of each song, among the data nodes that take songs.
    pub owners: &'a Owners,
    /// The ring, once this node is part of it.
    pub ring: Option<&'a Ring>,
    /// This node's clock: milliseconds since 1970, 0 while its host has given none.
    pub unix_ms: u64,
}

/// How a router behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a data node outside the ring may be silent before it is suspected. A suspected node
    /// is offered after the others.
    pub suspect_after: Duration,
    /// How long such a data node may be silent before it counts as dead. For nodes in the ring, the
    /// ring decides.
    pub dead_after: Duration,
    /// Planted mistakes, for tests.
    pub mutants: DocumentMutants,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            suspect_after: Duration::from_secs(45),
            dead_after: Duration::from_secs(60),
            mutants: DocumentMutants::default(),
        }
    }
}

/// The router role and its state.
#[derive(Debug)]
pub struct Router {
    catalogue: Catalogue,
    documents: Documents,
    holders: Holders,
    /// Until this time the catalogue may lack songs, because data nodes may not have announced them
    /// yet.
    listening_until: Time,
    anomalies: Anomalies,
    /// The look-ups under way, each with its asker and the prefix of a song that the catalogue
    /// lacks.
    locator: Locator<(Asker, SongPrefix)>,
    /// The node has taken another role. This router starts no look-ups, and answers from memory
    /// only.
    retired: bool,
    rng: Rng,
}

/// How long a router that has just started says that it is not ready where it would find nothing.
/// It is longer than a data node needs to find the router.
const LISTENING: Duration = Duration::from_secs(3);

impl Router {
    /// A router with an empty catalogue.
    pub fn new(config: Config, now: Time, rng: Rng) -> Self {
        Router {
            locator: Locator::default(),
            retired: false,
            listening_until: now + LISTENING,
            catalogue: Catalogue::default(),
            documents: Documents::new(config.mutants),
            holders: Holders::new(config),
            anomalies: Anomalies::default(),
            rng,
        }
    }

    /// Answers a question.
    pub fn on_question(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        words: CatalogueMessage,
        sight: Sight<'_>,
    ) {
        match words {
            CatalogueMessage::List { .. } if self.knows_too_little(cx.now, sight.servers) => {
                cx.out.refuse(asker, Refusal::NotReady);
            }
            CatalogueMessage::List { query } => self.on_list(cx, asker, &query, sight),
            CatalogueMessage::Locate { prefix }
                if self.catalogue.find(prefix) == Err(Refusal::NotFound)
                    && self.catalogue.has_thrown(prefix) =>
            {
                cx.out.refuse(asker, Refusal::NotFound);
            }
            CatalogueMessage::Locate { prefix }
                if self.catalogue.find(prefix) == Err(Refusal::NotFound) =>
            {
                self.look_up(cx, asker, prefix, sight);
            }
            CatalogueMessage::Locate { prefix } => self.on_locate(cx, asker, prefix, sight),
            CatalogueMessage::Place { song } => self.on_place(cx, asker, song, sight),
            CatalogueMessage::Announce(news) => self.on_announce(cx, asker, news, sight.unix_ms),
            CatalogueMessage::Inspect => self.on_inspect(cx, asker, sight),
            CatalogueMessage::ListTrash { .. } if self.knows_too_little(cx.now, sight.servers) => {
                cx.out.refuse(asker, Refusal::NotReady);
            }
            CatalogueMessage::ListTrash {
                prefix,
                after,
                limit,
            } => self.on_list_trash(cx, asker, prefix, (after, limit), sight),
            CatalogueMessage::Browse(_) if self.knows_too_little(cx.now, sight.servers) => {
                cx.out.refuse(asker, Refusal::NotReady);
            }
            CatalogueMessage::Browse(browse) => self.on_browse(cx, asker, &browse, sight),
            CatalogueMessage::Read(_) if self.knows_too_little(cx.now, sight.servers) => {
                cx.out.refuse(asker, Refusal::NotReady);
            }
            CatalogueMessage::Read(reading) => self.on_read(cx, asker, &reading, sight),
            CatalogueMessage::Tag(news) => self.on_tag(cx, asker, news, &[]),
            CatalogueMessage::TagAdded(news, added) => self.on_tag(cx, asker, news, &added),
            CatalogueMessage::Songs { .. }
            | CatalogueMessage::Located { .. }
            | CatalogueMessage::Placed { .. }
            | CatalogueMessage::Announced { .. }
            | CatalogueMessage::Trash { .. }
            | CatalogueMessage::Browsed(_)
            | CatalogueMessage::Documents(_)
            | CatalogueMessage::Tagged { .. }
            | CatalogueMessage::Status(_) => cx.out.refuse(asker, Refusal::WrongRole),
        }
    }

    /// Whether the catalogue is too incomplete to list. The empty list of a router that has just
    /// started would look like an empty library. The router is ready when every known data node has
    /// announced all its songs, or when `LISTENING` is over.
    fn knows_too_little(&self, now: Time, servers: &[Record]) -> bool {
        if self.listening_until <= now {
            return false;
        }
        let mut data = servers.iter().filter(|r| r.role == Role::Data).peekable();
        data.peek().is_none() || data.any(|r| !self.holders.has_followed(r.node))
    }

    /// Prepares for the time after a change of role. Ends all look-ups, because their answers no
    /// longer reach this router.
    pub fn retire(&mut self, cx: &mut Cx<'_>) {
        self.retired = true;
        for (asker, _) in self.locator.give_up() {
            cx.out.refuse(asker, Refusal::NotReady);
        }
    }

    /// Looks up a song that the catalogue lacks at the data nodes.
    fn look_up(&mut self, cx: &mut Cx<'_>, asker: Asker, prefix: SongPrefix, sight: Sight<'_>) {
        let asked = (asker, prefix);
        if self.retired || !locator::can_find(prefix) {
            return self.on_looked_up(cx, asked, Ending::Failed, sight);
        }
        let nodes = DataNodes::among(sight.servers);
        let ended = (self.locator).start(cx, (asked, asker.until), prefix, &nodes);
        if let Some((asked, ending)) = ended {
            self.on_looked_up(cx, asked, ending, sight);
        }
    }

    /// Answers the asker of a look-up that has ended.
    fn on_looked_up(
        &mut self,
        cx: &mut Cx<'_>,
        (asker, prefix): (Asker, SongPrefix),
        ending: Ending,
        sight: Sight<'_>,
    ) {
        // A look-up that ends so late was interrupted by a stall of this node, after which it may
        // know too little to answer. Nobody waits for the answer.
        if asker.until < cx.now {
            return;
        }
        // An announcement of the song may have arrived during the look-up. The catalogue names more
        // holders than a look-up.
        if self.catalogue.find(prefix) != Err(Refusal::NotFound) {
            return self.on_locate(cx, asker, prefix, sight);
        }
        match ending {
            // A data node that has not heard of the removal still has it, or still lists it.
            Ending::Found(song, _)
                if self.catalogue.is_buried(song.id) || self.catalogue.is_thrown(song.id) =>
            {
                cx.out.refuse(asker, Refusal::NotFound);
            }
            Ending::Found(song, holder) => {
                let holders = [holder].into();
                let located = CatalogueMessage::Located { song, holders };
                cx.out.answer(asker, Message::Catalogue(located));
            }
            Ending::Ambiguous(songs) => cx.out.refuse(asker, Refusal::Ambiguous(songs)),
            Ending::Failed if self.knows_too_little(cx.now, sight.servers) => {
                cx.out.refuse(asker, Refusal::NotReady);
            }
            Ending::Unknown | Ending::Failed => cx.out.refuse(asker, Refusal::NotFound),
        }
    }

    /// Takes the end of a question of a look-up.
    pub(crate) fn conclude(&mut self, cx: &mut Cx<'_>, step: Step, reply: Reply, sight: Sight<'_>) {
        let nodes = DataNodes::among(sight.servers);
        let ended = self.locator.conclude(cx, step, reply, &nodes);
        if let Some((asked, ending)) = ended {
            self.on_looked_up(cx, asked, ending, sight);
        }
    }

    /// Notes that the connection to a data node broke: the node is offered after the others until
    /// it is heard again.
    pub fn on_lost(&mut self, now: Time, peer: Peer) {
        self.holders.on_lost(now, peer);
    }

    /// The anomalies in the announcements of data nodes.
    pub fn anomalies(&self) -> &Anomalies {
        &self.anomalies
    }

    /// Songs in the catalogue.
    pub fn songs(&self) -> u64 {
        self.catalogue.len()
    }

    fn on_list(&mut self, cx: &mut Cx<'_>, asker: Asker, query: &Query, sight: Sight<'_>) {
        if let Err(why) = catalogue::check(query) {
            return cx.out.refuse(asker, Refusal::Invalid(why));
        }
        let holders = &self.holders;
        let page = self
            .catalogue
            .page(query, |nodes| holders.living_among(cx.now, nodes, sight));
        cx.out.answer(asker, Message::Catalogue(page));
    }

    fn on_list_trash(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        prefix: Option<SongPrefix>,
        (after, limit): (Option<SongId>, u32),
        sight: Sight<'_>,
    ) {
        if limit == 0 || limit as usize > PAGE_SONGS_MAX {
            let why = alloc::format!("a page is 1 to {PAGE_SONGS_MAX} songs");
            return cx.out.refuse(asker, Refusal::Invalid(why));
        }
        let holders = &self.holders;
        let alive = |nodes: &[NodeId]| holders.living_among(cx.now, nodes, sight);
        let page = self.catalogue.trash(cx.now, prefix, (after, limit), alive);
        cx.out.answer(asker, Message::Catalogue(page));
    }

    fn on_browse(&mut self, cx: &mut Cx<'_>, asker: Asker, browse: &Browse, sight: Sight<'_>) {
        if let Err(why) = catalogue::check_browse(browse) {
            return cx.out.refuse(asker, Refusal::Invalid(why));
        }
        let holders = &self.holders;
        let alive = |nodes: &[NodeId]| holders.living_among(cx.now, nodes, sight);
        match self.catalogue.browse(browse, alive) {
            Ok(found) => {
                let answer = CatalogueMessage::Browsed(found);
                cx.out.answer(asker, Message::Catalogue(answer));
            }
            Err(why) => cx.out.refuse(asker, why),
        }
    }

    fn on_read(&mut self, cx: &mut Cx<'_>, asker: Asker, reading: &Reading, sight: Sight<'_>) {
        if let Err(why) = documents::check(reading) {
            return cx.out.refuse(asker, Refusal::Invalid(why));
        }
        // Any data node takes a document; the drawn song chooses among them.
        let drawn = SongId(u128::from(self.rng.bits()) << 64);
        let mut writers = self.holders.owners(cx.now, drawn, sight);
        writers.retain(|holder| holder.features.has(Features::DOCUMENTS));
        writers.truncate(HOLDERS_MAX);
        let page = self.documents.read(reading, sight.unix_ms, writers);
        let answer = CatalogueMessage::Documents(page);
        cx.out.answer(asker, Message::Catalogue(answer));
    }

    fn on_locate(&mut self, cx: &mut Cx<'_>, asker: Asker, prefix: SongPrefix, sight: Sight<'_>) {
        let (song, nodes) = match self.catalogue.find(prefix) {
            Ok(found) => found,
            Err(why) => return cx.out.refuse(asker, why),
        };
        let mut holders = self.holders.offer(cx.now, nodes, sight);
        self.rng.shuffle(&mut holders);
        // The sort is stable: within the living and within the suspected, the order stays random.
        holders.sort_by_key(|(state, _)| *state);
        let holders = (holders.into_iter())
            .map(|(_, holder)| holder)
            .take(HOLDERS_MAX)
            .collect();
        let song = song.clone();
        let located = CatalogueMessage::Located { song, holders };
        cx.out.answer(asker, Message::Catalogue(located));
    }

    fn on_place(&mut self, cx: &mut Cx<'_>, asker: Asker, song: SongId, sight: Sight<'_>) {
        let owners = self.holders.owners(cx.now, song, sight);
        let placed = CatalogueMessage::Placed { owners };
        cx.out.answer(asker, Message::Catalogue(placed));
    }

    fn on_announce(&mut self, cx: &mut Cx<'_>, asker: Asker, mut news: Announcement, unix_ms: u64) {
        // Without this check, a node could overwrite the songs that another data node has
        // announced.
        if news.record.node != asker.sender.node || news.record.role != Role::Data {
            self.anomalies
                .note(cx, Anomaly::Announcement, asker.sender.node);
            let why = "a data node announces only itself".into();
            return cx.out.refuse(asker, Refusal::Invalid(why));
        }
        // The order of documents is their own: it does not matter what has been followed before.
        for document in documents::taken(&mut news.changes) {
            self.documents.note(document, unix_ms);
        }
        let store = news.store;
        let (revision, adds_up) = self.holders.on_announce(cx.now, news, &mut self.catalogue);
        if !adds_up {
            self.anomalies
                .note(cx, Anomaly::Announcement, asker.sender.node);
        }
        let announced = CatalogueMessage::Announced { store, revision };
        cx.out.answer(asker, Message::Catalogue(announced));
    }

    fn on_tag(&mut self, cx: &mut Cx<'_>, asker: Asker, news: TagNews, added: &[u32]) {
        if news.record.node != asker.sender.node || news.record.role != Role::Data {
            (self.anomalies).note(cx, Anomaly::Announcement, asker.sender.node);
            let why = "a data node tells only its own tags".into();
            return cx.out.refuse(asker, Refusal::Invalid(why));
        }
        let store = news.store;
        let revision = self.holders.on_tags(news, added, &mut self.catalogue);
        let tagged = CatalogueMessage::Tagged { store, revision };
        cx.out.answer(asker, Message::Catalogue(tagged));
    }

    fn on_inspect(&mut self, cx: &mut Cx<'_>, asker: Asker, sight: Sight<'_>) {
        let nodes = self.nodes(cx.now, sight);
        let lives = |node: &&NodeStatus| node.role == Role::Data && node.state != NodeState::Dead;
        let wanted = nodes.iter().filter(lives).count().min(COPIES);
        let holders = &self.holders;
        let living = |nodes: &[NodeId]| holders.living_among(cx.now, nodes, sight);
        let status = Status {
            songs: self.catalogue.len(),
            copies_missing: self.catalogue.missing(wanted, living),
            nodes,
            ring: sight.living().map(|member| member.node).collect(),
            last_alert: sight.ring.and_then(|ring| ring.last_alert(cx.now)),
            last_switch: sight.ring.and_then(|ring| ring.last_switch(cx.now)),
        };
        cx.out
            .answer(asker, Message::Catalogue(CatalogueMessage::Status(status)));
    }

    /// The status of every server: members of the ring, dead ones included, and servers that only
    /// DNS records or announcements name.
    fn nodes(&self, now: Time, sight: Sight<'_>) -> Vec<NodeStatus> {
        let members = sight.ring.into_iter().flat_map(|ring| ring.members().all());
        let there = members.filter(|member| member.state != MemberState::Left);
        let mut nodes: Vec<NodeStatus> = there.map(member_status).collect();
        for record in sight.servers.iter().chain(&self.holders.records(sight)) {
            let left = |member: &Member| member.state == MemberState::Left;
            let gone = sight.member(record.node).is_some_and(left);
            if !gone && nodes.iter().all(|node| node.node != record.node) {
                nodes.push(silent_status(record));
            }
        }
        let own = sight.ring.map(|ring| ring.members().me().node);
        for node in &mut nodes {
            self.holders.complete(now, node, sight);
            if Some(node.node) != own
                && let Some(heard_at) = sight.ring.and_then(|ring| ring.heard_at(node.node))
            {
                let ms = now.since(heard_at).as_millis() as u64;
                node.heard_ms = if node.heard_ms == 0 {
                    ms
                } else {
                    ms.min(node.heard_ms)
                };
            }
        }
        nodes.sort_unstable_by_key(|node| (node.role, node.node));
        nodes
    }
}

impl Sight<'_> {
    fn member(&self, node: NodeId) -> Option<&Member> {
        Some(&self.ring?.members().get(node)?.member)
    }

    fn living(&self) -> impl Iterator<Item = &Member> {
        (self.ring.into_iter()).flat_map(|ring| ring.members().living())
    }
}

fn member_status(member: &Member) -> NodeStatus {
    NodeStatus {
        state: state_of(member),
        ..silent_status(&member.record())
    }
}

/// The state of a member, as the status shows it.
fn state_of(member: &Member) -> NodeState {
    match member.state {
        MemberState::Dead | MemberState::Left => NodeState::Dead,
        MemberState::Suspect => NodeState::Suspect,
        MemberState::Alive if member.traits.has(Traits::SICK) => NodeState::Sick,
        MemberState::Alive if member.traits.has(Traits::DRAINING) => NodeState::Draining,
        MemberState::Alive => NodeState::Alive,
    }
}

/// A server known from the DNS alone: its record is valid, so it lives.
fn silent_status(record: &Record) -> NodeStatus {
    NodeStatus {
        node: record.node,
        role: record.role,
        state: NodeState::Alive,
        address: record.address,
        incarnation: record.incarnation,
        songs: 0,
        bytes: 0,
        heard_ms: 0,
        repairing: 0,
        damaged: 0,
    }
}

/// Whether a peer is the node that listens at `address`.
fn is_at(peer: Peer, address: Address) -> bool {
    peer == Peer::Node(address)
}

#[cfg(test)]
mod tests;
