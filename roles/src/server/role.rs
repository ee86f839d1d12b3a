//! A member of the ring: a router or a data node, and the change from one to the other.
//!
//! A server that changes its role keeps its address and its place in the ring. The previous role
//! goes on answering questions until the others have learned of the change.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::Common;
use crate::anomalies::Anomalies;
use crate::chord::Chord;
use crate::contract::chord::Chord as ChordMessage;
use crate::contract::id::{Incarnation, NodeId};
use crate::contract::job::JobReply;
use crate::contract::member::{Epoch, Member, MemberState, Traits};
use crate::contract::message::{Audio, Catalogue, Refusal};
use crate::contract::node::{Asker, Lost, Peer};
use crate::contract::record::{Record, Role};
use crate::contract::ring::Diagnosis;
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::contract::upkeep::Upkeep;
use crate::contract::user::Level;
use crate::cx::Cx;
use crate::data::{Data, Others};
use crate::purpose::{Asked, Ordered};
use crate::requests::Reply;
use crate::ring::{Order, Ring};
use crate::router::{Router, Sight};

/// How long the previous role goes on answering.
const RETIREMENT: Duration = Duration::from_secs(10);

/// How long a data node may hand its songs over before it keeps its role after all.
const HANDING_OVER: Duration = Duration::from_secs(900);

/// How long a data node may hand its songs over before it ends. It is long enough that the operator
/// decides when to stop waiting.
pub(super) const HANDING_OVER_TO_END: Duration = Duration::from_secs(24 * 3600);

/// How long a data node declines orders after it met a full disk. Another member may be able to
/// change instead.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(60);

/// A router or a data node with its place in the ring.
#[derive(Debug)]
pub(super) struct RingMember {
    pub(super) ring: Ring,
    part: Part,
    /// The previous role, which still answers for a while after a change of role.
    retired: Option<Retired>,
    /// The census for which this server last changed its role.
    changed_for: Option<Epoch>,
}

/// The current role of a member and its state.
#[derive(Debug)]
enum Part {
    /// The catalogue of songs.
    Router(Box<Router>),
    /// The songs themselves.
    Data(Box<DataNode>),
}

/// The data role, and what only a data node has.
#[derive(Debug)]
pub(super) struct DataNode {
    pub(super) data: Data,
    /// Its place on the hash ring.
    pub(super) chord: Chord,
    /// Set while it hands its songs over, before it changes its role or ends.
    leaving: Option<Leaving>,
    /// Until then it declines orders to change, because another data node's disk was full.
    stays_until: Time,
}

/// The previous role, which answers until its time is over.
#[derive(Debug)]
struct Retired {
    part: Part,
    until: Time,
}

/// Why a data node hands its songs over, and how long it may take.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    /// The order to take another role. None: the node ends afterwards.
    order: Option<Order>,
    until: Time,
}

/// How a hand-over has ended, if the server is to do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandOver {
    /// The node has taken its new role.
    Changed,
    /// The node is to stop.
    Ends,
}

impl Part {
    /// Begins a role. A member of the ring is never ordered to become a DNS node, see
    /// [`Order::role`].
    fn begin(cx: &mut Cx<'_>, common: &mut Common, role: Role, rng: Rng) -> Part {
        match role {
            Role::Router | Role::Dns => {
                let config = common.config.router.clone();
                Part::Router(Box::new(Router::new(config, cx.now, rng)))
            }
            Role::Data => {
                let mut data = Data::new(common.config.data.clone(), rng);
                data.start(cx);
                let config = common.config.chord.clone();
                let chord = Chord::new(config, common.me.node, common.draw());
                Part::Data(Box::new(DataNode {
                    data,
                    chord,
                    leaving: None,
                    stays_until: Time::ZERO,
                }))
            }
        }
    }
}

impl RingMember {
    /// Begins the first role and joins the ring.
    pub(super) fn join(cx: &mut Cx<'_>, common: &mut Common, record: Record) -> Self {
        let (for_part, for_ring) = (common.draw(), common.draw());
        let part = Part::begin(cx, common, record.role, for_part);
        let auto = common.config.role.is_none();
        let me = Member {
            node: record.node,
            incarnation: record.incarnation,
            version: 0,
            state: MemberState::Alive,
            role: record.role,
            address: record.address,
            features: record.features,
            weight: record.weight,
            traits: Traits::default().with(Traits::AUTO, auto),
        };
        RingMember {
            ring: Ring::new(common.config.ring.clone(), cx.now, me, for_ring),
            part,
            retired: None,
            changed_for: None,
        }
    }

    pub(super) fn role(&self) -> Role {
        match &self.part {
            Part::Router(_) => Role::Router,
            Part::Data(_) => Role::Data,
        }
    }

    pub(super) fn changed_for(&self) -> Option<Epoch> {
        self.changed_for
    }

    pub(super) fn data(&self) -> Option<&DataNode> {
        match &self.part {
            Part::Router(_) => None,
            Part::Data(node) => Some(node),
        }
    }

    /// What this node doubts, for people.
    pub(super) fn diagnosis(&self, now: Time) -> Diagnosis {
        Diagnosis {
            anomalies: self.anomalies().told(),
            ..self.ring.diagnosis(now)
        }
    }

    pub(super) fn anomalies(&self) -> &Anomalies {
        match &self.part {
            Part::Router(router) => router.anomalies(),
            Part::Data(node) => node.data.anomalies(),
        }
    }

    pub(super) fn is_handing_over(&self) -> bool {
        self.data().is_some_and(|node| node.leaving.is_some())
    }

    /// Carries out an order of a manager to change the role. Returns true if the role has changed.
    pub(super) fn obey(&mut self, cx: &mut Cx<'_>, common: &mut Common, order: Order) -> bool {
        match &mut self.part {
            Part::Data(node) if node.leaving.is_some() => {
                self.decline(cx, order, "another change is under way");
                false
            }
            Part::Data(node) if cx.now < node.stays_until => {
                self.decline(cx, order, "nobody has room for its songs");
                false
            }
            Part::Data(node) => {
                // Every census from here on counts this node in its future role.
                self.ring.set_trait(cx.now, Traits::DRAINING, true);
                // The order is accepted before the songs are handed over. The manager waits only a
                // few seconds for the answer, and a hand-over takes longer.
                self.ring.accept(cx, order);
                node.drain(cx.now, Some(order), HANDING_OVER);
                false
            }
            Part::Router(_) => {
                self.ring.set_trait(cx.now, Traits::DRAINING, true);
                self.switch(cx, common, order);
                true
            }
        }
    }

    /// Starts to hand the songs over when a data node with `drain` is told to stop; returns whether
    /// it did. When told to stop a second time, the node stops at once.
    pub(super) fn hands_over_first(&mut self, cx: &mut Cx<'_>, drain: bool) -> bool {
        let Part::Data(node) = &mut self.part else {
            return false;
        };
        let twice = (node.leaving.take()).is_some_and(|leaving| leaving.order.is_none());
        if !drain || twice {
            return false;
        }
        cx.out
            .fact(Level::Info, "hands its songs over before it stops".into());
        self.ring.restate(cx.now, |me| {
            me.traits = me.traits.with(Traits::DRAINING, true);
            // Draining without AUTO tells the others that this node ends and takes no other role.
            me.traits = me.traits.with(Traits::AUTO, false);
        });
        node.drain(cx.now, None, HANDING_OVER_TO_END);
        true
    }

    /// Ends the hand-over when every song is with all nodes that shall have it, or when it has
    /// failed. Returns what the server is to do, if anything.
    pub(super) fn leave_if_drained(
        &mut self,
        cx: &mut Cx<'_>,
        common: &mut Common,
    ) -> Option<HandOver> {
        let Part::Data(node) = &mut self.part else {
            return None;
        };
        let Leaving { order, until } = node.leaving?;
        // The other data nodes, which would have stayed data nodes, are gone. Handing over cannot
        // succeed.
        if order.is_some() && !self.ring.others_stay() {
            let line = "stays what it is: nobody else keeps songs";
            cx.out.fact(Level::Info, line.into());
            self.stay(cx.now);
        } else if node.data.is_drained(cx) {
            node.leaving = None;
            let Some(order) = order else {
                return Some(HandOver::Ends);
            };
            self.switch(cx, common, order);
            return Some(HandOver::Changed);
        } else if order.is_some() && node.data.meets_full_disk() {
            let line = "stays what it is: a disk that should take its songs is full";
            cx.out.fact(Level::Warn, line.into());
            node.stays_until = cx.now + FULL_DISK_PAUSE;
            self.stay(cx.now);
        } else if until <= cx.now {
            cx.out
                .fact(Level::Warn, "could not hand all its songs over".into());
            if order.is_none() {
                // A node that is about to end remains marked as draining. Otherwise the others
                // would count on it for a moment.
                node.leaving = None;
                return Some(HandOver::Ends);
            }
            self.stay(cx.now);
        }
        None
    }

    /// Gives a change of role up: the data node keeps its role.
    fn stay(&mut self, now: Time) {
        if let Part::Data(node) = &mut self.part {
            node.leaving = None;
        }
        self.ring.set_trait(now, Traits::DRAINING, false);
    }

    pub(super) fn decline(&mut self, cx: &mut Cx<'_>, order: Order, why: &str) {
        let line = alloc::format!("stays what it is: {why} epoch={}", order.epoch);
        cx.out.fact(Level::Info, line);
        if !self.is_handing_over() {
            self.ring.set_trait(cx.now, Traits::DRAINING, false);
        }
        self.ring.decline(cx, order, why);
    }

    /// Changes the role in the ring, and for every question that arrives.
    fn switch(&mut self, cx: &mut Cx<'_>, common: &mut Common, order: Order) {
        let role = order.role;
        if let Part::Router(router) = &mut self.part {
            router.retire(cx);
        }
        // This comes before the new role begins, which asks and orders at once.
        cx.end_role();
        let rng = common.draw();
        let part = Part::begin(cx, common, role, rng);
        let part = core::mem::replace(&mut self.part, part);
        let until = cx.now + RETIREMENT;
        self.retired = Some(Retired { part, until });
        self.changed_for = Some(order.epoch);
        let line = alloc::format!("role {role} from here on epoch={}", order.epoch);
        cx.out.fact(Level::Info, line);
        let weight = common.record(role).weight;
        self.ring.restate(cx.now, |me| {
            me.role = role;
            me.weight = weight;
            me.traits = me.traits.with(Traits::DRAINING, false);
        });
        if role == Role::Data {
            self.ring.accept(cx, order); // A data node accepted before its hand-over.
        }
    }

    pub(super) fn on_catalogue(
        &mut self,
        cx: &mut Cx<'_>,
        common: &Common,
        own: Record,
        (asker, words): (Asker, Catalogue),
    ) {
        let servers = servers(cx.now, common, own);
        let sight = sight(&servers, common, &self.ring);
        match (&mut self.part, &mut self.retired) {
            (Part::Router(router), _) => router.on_question(cx, asker, words, sight),
            // The retired router accepts no announcements, but answers with what it knows.
            (
                _,
                Some(Retired {
                    part: Part::Router(router),
                    ..
                }),
            ) if !matches!(words, Catalogue::Announce(_)) => {
                router.on_question(cx, asker, words, sight);
            }
            (Part::Data(_), _) => cx.out.refuse(asker, Refusal::WrongRole),
        }
    }

    pub(super) fn on_audio(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        audio: Audio,
        body: Vec<u8>,
        others: Others<'_>,
    ) {
        // A node that is cut off accepts no new songs, because no node could copy them.
        if self.ring.blames_itself()
            && let Audio::Offer { copy: false, .. } = audio
        {
            return cx.out.refuse(asker, Refusal::NotReady);
        }
        if self.is_handing_over() && matches!(audio, Audio::Offer { .. }) {
            // A song accepted during the hand-over would have to be handed over, too.
            return cx.out.refuse(asker, Refusal::NotReady);
        }
        let lists = matches!(audio, Audio::ListSongs { .. });
        match (&mut self.part, &mut self.retired) {
            (Part::Data(node), _) => node.data.on_question(cx, asker, audio, body, others),
            (
                _,
                Some(Retired {
                    part: Part::Data(node),
                    ..
                }),
            ) if audio.is_read() && !lists => {
                node.data.on_question(cx, asker, audio, body, others);
            }
            (Part::Router(_), _) => cx.out.refuse(asker, Refusal::WrongRole),
        }
    }

    pub(super) fn on_upkeep(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        words: Upkeep,
        others: Others<'_>,
    ) {
        match &mut self.part {
            Part::Data(node) => node.data.on_upkeep(cx, asker, words, others),
            Part::Router(_) => cx.out.refuse(asker, Refusal::WrongRole),
        }
    }

    pub(super) fn on_chord(&mut self, cx: &mut Cx<'_>, asker: Asker, words: ChordMessage) {
        match &mut self.part {
            Part::Data(node) => {
                (node.chord).on_question(cx, asker, words, self.ring.members());
            }
            Part::Router(_) => cx.out.refuse(asker, Refusal::WrongRole),
        }
    }

    /// Takes the end of a question of the ring or of the role.
    pub(super) fn conclude(
        &mut self,
        cx: &mut Cx<'_>,
        common: &Common,
        own: Record,
        (asked, reply): (Asked, Reply),
    ) {
        match (asked, &mut self.part) {
            (Asked::Ring(purpose), _) => self.ring.conclude(cx, purpose, reply),
            (Asked::Locator(step), Part::Router(router)) => {
                let servers = servers(cx.now, common, own);
                let sight = sight(&servers, common, &self.ring);
                router.conclude(cx, step, reply, sight);
            }
            (Asked::Chord(purpose), Part::Data(node)) => {
                (node.chord).conclude(cx, purpose, reply, self.ring.members());
            }
            (asked, Part::Data(node)) => {
                let others = common.known.others(own);
                node.data.conclude(cx, asked, reply, others);
            }
            (_, Part::Router(_)) => (), // The role that asked has ended.
        }
    }

    pub(super) fn on_lost(&mut self, cx: &mut Cx<'_>, peer: Peer, why: Lost) {
        self.ring.on_lost(cx, peer, why);
        if let Part::Router(router) = &mut self.part {
            router.on_lost(cx.now, peer);
        }
    }

    /// Takes the reply to a job of the data role, which this server has or has just left.
    pub(super) fn on_done(
        &mut self,
        cx: &mut Cx<'_>,
        (ordered, reply): (Ordered, JobReply),
        others: Others<'_>,
    ) {
        match (&mut self.part, &mut self.retired) {
            (Part::Data(node), _) => node.data.on_done(cx, ordered, reply, others),
            (
                _,
                Some(Retired {
                    part: Part::Data(node),
                    ..
                }),
            ) => {
                // A retired data role announces nothing and copies nothing, so it sees no other
                // nodes.
                let quiet = Others {
                    data: &[],
                    leaving: &[],
                    dead: &[],
                    routers: &[],
                    ..others
                };
                node.data.on_done(cx, ordered, reply, quiet);
            }
            (Part::Router(_), _) => (),
        }
    }

    pub(super) fn on_tick(&mut self, cx: &mut Cx<'_>, common: &mut Common, own: Record) {
        if let Part::Data(node) = &mut self.part {
            self.ring.set_load(Data::load(cx));
            let sick = node.data.is_sick(cx);
            self.ring.set_trait(cx.now, Traits::SICK, sick);
        }
        let named = [Role::Data, Role::Router].map(|role| common.resolver.records(role));
        self.ring.on_tick(cx, &named.concat());
        common.memory.on_tick(cx, Some(self.ring.members()));
        self.retired.take_if(|old| old.until <= cx.now);
        if let Part::Data(node) = &mut self.part {
            node.chord.on_tick(cx, self.ring.members());
            node.data.on_tick(cx, common.known.others(own));
        }
    }

    /// Takes new lists of the other servers. The hash ring is rebuilt from the data nodes that live
    /// and the owners that take songs, and the routers receive the announcements they lack.
    pub(super) fn see(&mut self, cx: &mut Cx<'_>, others: Others<'_>) {
        let Part::Data(node) = &mut self.part else {
            return;
        };
        let members = self.ring.members();
        let living = members.others().filter(|m| m.role == Role::Data);
        let living: Vec<(NodeId, Incarnation)> = living.map(|m| (m.node, m.incarnation)).collect();
        node.chord.see(cx, &living, others.owners, members);
        node.data.announce(cx, others);
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let part = match &self.part {
            Part::Router(_) => None,
            Part::Data(node) => node.deadline(),
        };
        let retired = self.retired.as_ref().map(|old| old.until);
        earlier(self.ring.deadline(), earlier(retired, part))
    }
}

/// Every known record of every role, this node's own included. DNS nodes are in no ring: they are
/// listed as long as the last answer of a DNS node is fresh.
fn servers(now: Time, common: &Common, own: Record) -> Vec<Record> {
    let names = if common.resolver.is_stale(now, Role::Dns) {
        &[]
    } else {
        common.resolver.records(Role::Dns)
    };
    let (data, routers) = (&common.known.data, &common.known.routers);
    let all = data.iter().chain(routers).chain(names).copied();
    // A record of another node at this node's own address belongs to an earlier node there.
    let others = all.filter(|record| own.node != record.node && own.address != record.address);
    others.chain([own]).collect()
}

/// What the router role sees of the others.
fn sight<'a>(servers: &'a [Record], common: &'a Common, ring: &'a Ring) -> Sight<'a> {
    Sight {
        servers,
        owners: &common.known.owners,
        ring: Some(ring),
        unix_ms: common.known.unix_ms,
    }
}

impl DataNode {
    /// Begins to hand the songs over.
    fn drain(&mut self, now: Time, order: Option<Order>, within: Duration) {
        self.data.drain(now, order.is_none());
        self.leaving = Some(Leaving {
            order,
            until: now + within,
        });
    }

    fn deadline(&self) -> Option<Time> {
        let leaving = self.leaving.map(|leaving| leaving.until);
        let parts = earlier(self.data.deadline(), self.chord.deadline());
        earlier(leaving, parts)
    }
}
