//! The ring: servers that watch each other, without a leader.
//!
//! Owns the member table, the reports to the successor, suspicion and verdict, the spreading of
//! news, and the merging of rings that were split. Counting the roles after a death is
//! `census`'s business, changing one's own role the server's.
//!
//! Each member reports to its successor every second and is watched by it; a random member is
//! probed every few seconds, so that a dead arc is seen from outside. Who falls silent is probed,
//! then checked by others, then suspected aloud, and dead only when it has not refuted in time
//! (SWIM with Lifeguard's extensions; see each part).

mod accounts;
mod census;
mod contacts;
mod gossip;
mod health;
mod questions;
mod watch;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::chance::Chance;
use crate::contract::id::{Incarnation, NodeId};
use crate::contract::limits::{CLAIMS_MAX, MEMBERS_MAX};
use crate::contract::member::{Epoch, Member, MemberState, Traits};
use crate::contract::message::{LastAlert, LastSwitch, Letter, Message, Refusal};
use crate::contract::node::{Asker, Lost, Outbox, Peer, Sender};
use crate::contract::record::{Address, Record, Role};
use crate::contract::ring::{Claim, Ring as Words};
use crate::contract::time::Time;
use crate::contract::timers::{Timers, earlier};
use crate::contract::user::Level;
use crate::flaws::{Flaw, Flaws};
use crate::members::Members;
use crate::requests::{Desk, Requests};

use census::Census;
pub use census::EPOCHS_MAX;
use contacts::Contacts;
use gossip::Gossip;
use health::Health;
use watch::Doubt;

/// How a ring behaves. The defaults are those of the specification; a killed process is then
/// dead in two and a half seconds, a silent host in five and a half.
#[derive(Clone, Debug)]
pub struct Config {
    /// Between two reports to the successor.
    pub beat: Duration,
    /// Beats without any traffic before a member is doubted.
    pub silent_beats: u32,
    /// How long a doubted member and those who check it may take to answer.
    pub confirm: Duration,
    /// From suspicion to verdict when two observers agree. Longer means fewer false verdicts on
    /// nodes that stand still for a while.
    pub agreed: Duration,
    /// The same when one observer is alone with its suspicion.
    pub alone: Duration,
    /// Beats between two probes of a random member.
    pub probe_beats: u64,
    /// Beats between two attempts to reach somebody outside the ring.
    pub contact_beats: u64,
    /// No role is changed so soon after another, unless a role has nobody left.
    pub switch_pause: Duration,
    /// How long a death may be known without a census before any survivor begins one.
    pub census_wait: Duration,
    /// How long the roles may be out of balance before the lowest member begins a census.
    pub unease: Duration,
    /// What the simulated world has broken on purpose; nothing in any real node.
    pub flaws: Flaws,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            beat: Duration::from_secs(1),
            silent_beats: 3,
            confirm: Duration::from_millis(500),
            agreed: Duration::from_millis(2_200),
            alone: Duration::from_secs(6),
            probe_beats: 5,
            contact_beats: 10,
            switch_pause: Duration::from_secs(60),
            census_wait: Duration::from_secs(10),
            unease: Duration::from_secs(15),
            flaws: Flaws::default(),
        }
    }
}

/// Successors a member keeps in sight: an alert finds its way past three dead ones in a row.
pub const SUCCESSORS: usize = 4;

/// One node's part in the ring.
#[derive(Debug)]
pub struct Ring {
    config: Config,
    members: Members,
    health: Health,
    /// When each member was last heard by this node itself.
    heard: BTreeMap<NodeId, Time>,
    /// Whose silence is being measured: the predecessor.
    watched: Option<NodeId>,
    doubts: BTreeMap<NodeId, Doubt>,
    /// Suspects whose verdict this node has put off because it may be the deaf one.
    postponed: BTreeSet<NodeId>,
    /// Suspects that were heard although they are suspected, and got more time for it.
    spared: BTreeSet<NodeId>,
    gossip: Gossip,
    contacts: Contacts,
    census: Census,
    requests: Requests<Purpose>,
    timers: Timers<Timer>,
    beats: u64,
    beat_due: Time,
    /// Having stood still, this node asks how it is seen before it answers anything.
    unsure_until: Time,
    /// Jobs that wait at this node.
    load: u16,
    words: u64,
    /// This node, as manager, has named itself.
    own_order: Option<Order>,
    /// Claims that cannot be true, and whom they came from.
    absurd: (u64, BTreeSet<NodeId>),
    /// When the dead who speak were last asked about it.
    told: BTreeMap<NodeId, Time>,
    /// Members whose connection broke and who have not been heard since.
    unreached: BTreeSet<NodeId>,
    /// A later start of this node is known.
    outdated: bool,
    chance: Chance,
}

/// How much one node keeps for the ring.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Accounts in the table, of the dead, too.
    pub members: usize,
    /// Members it is finding out about.
    pub doubts: usize,
    /// Accounts waiting to be passed on.
    pub news: usize,
    /// Censuses remembered.
    pub epochs: usize,
    /// Questions it waits for.
    pub questions: usize,
}

/// What a question of the ring is for.
#[derive(Clone, Debug)]
enum Purpose {
    Join,
    /// Whether a member lives.
    Probe(Probe),
    Check {
        of: NodeId,
        by: NodeId,
    },
    /// A probe on behalf of somebody else.
    CheckFor(Asker, NodeId),
    Alert,
    Count,
    Unbalance(NodeId),
}

/// A question whether a member lives.
#[derive(Clone, Copy, Debug)]
struct Probe {
    node: NodeId,
    asked_at: Time,
    /// What it had last said of itself.
    known: (Incarnation, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Beat,
    /// The predecessor has been silent for too long.
    Silence,
    /// Those who check a doubted member have had their time.
    Doubt(NodeId),
    Verdict(NodeId),
    Spread,
    /// A death is known and nobody has counted.
    CensusDue(NodeId),
    /// The alert should be back.
    Return,
    /// Those asked directly should have answered.
    Recount,
}

/// A manager has named this node.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Who waits for a yes; nobody, if this node is the manager itself.
    pub asker: Option<Asker>,
    /// The role to take.
    pub role: Role,
    /// For which census.
    pub epoch: Epoch,
}

/// Times that a probe is sent; between them it waits longer and longer.
const PROBE_ROUNDS: u32 = 8;

/// Most senders of absurd claims that are remembered by name.
const ABSURD_SENDERS_MAX: usize = 64;

impl Ring {
    /// A ring of one.
    pub fn new(config: Config, now: Time, me: Member, mut chance: Chance) -> Self {
        let mut part = || Chance::from_seed(chance.bits());
        let requests = Requests::new(Desk::Ring, part());
        let mut timers = Timers::new();
        // Members that start together shall not beat together.
        let beat_due = now + part().within(config.beat);
        timers.arm(Timer::Beat, beat_due);
        Ring {
            members: Members::new(now, me),
            health: Health::default(),
            heard: BTreeMap::new(),
            watched: None,
            doubts: BTreeMap::new(),
            postponed: BTreeSet::new(),
            spared: BTreeSet::new(),
            gossip: Gossip::default(),
            contacts: Contacts::default(),
            census: Census::default(),
            requests,
            timers,
            beats: 0,
            beat_due,
            unsure_until: Time::ZERO,
            load: 0,
            words: part().bits() >> 16,
            own_order: None,
            absurd: (0, BTreeSet::new()),
            told: BTreeMap::new(),
            unreached: BTreeSet::new(),
            outdated: false,
            chance: part(),
            config,
        }
    }

    /// The member table.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// When this node last heard a member itself.
    pub fn heard_at(&self, node: NodeId) -> Option<Time> {
        self.heard.get(&node).copied()
    }

    /// Claims that were refused because they cannot be true.
    pub fn absurd_claims(&self) -> u64 {
        self.absurd.0
    }

    /// Whether the others know a later start of this node: its disk is older than it was.
    pub fn is_outdated(&self) -> bool {
        self.outdated
    }

    /// How much it keeps of what is under way: each has a bound.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            members: self.members.all().count(),
            doubts: self.doubts.len(),
            news: self.gossip.len(),
            epochs: self.census.len(),
            questions: self.requests.len(),
        }
    }

    /// The last alert seen.
    pub fn last_alert(&self, now: Time) -> Option<LastAlert> {
        self.census.last_alert(now)
    }

    /// The last change of a role heard of.
    pub fn last_switch(&self, now: Time) -> Option<LastSwitch> {
        let (at, node, role) = self.members.switched()?;
        let ago_ms = now.since(at).as_millis() as u64;
        Some(LastSwitch { node, role, ago_ms })
    }

    /// Whether this node must first hear how the others see it: it has stood still for a while,
    /// and the world may have gone on without it.
    pub fn is_unsure(&self, now: Time) -> bool {
        now < self.unsure_until
    }

    /// Whether it hears so few of the others that it rather believes itself cut off than them
    /// dead. It takes no new songs then.
    pub fn blames_itself(&self) -> bool {
        let awaits = |node: &NodeId| {
            let entry = self.members.get(*node);
            entry.is_some_and(|entry| entry.member.state == MemberState::Suspect)
        };
        self.postponed.iter().any(awaits)
    }

    /// How many jobs wait at this node; told in the next census.
    pub fn set_load(&mut self, load: u16) {
        self.load = load;
    }

    /// Says something else of this node.
    pub fn restate(&mut self, now: Time, change: impl FnOnce(&mut Member)) {
        self.members.restate(now, 0, change);
        let me = self.members.me().node;
        self.spread(now, me, None);
    }

    /// Sets or clears a trait of this node, if it is not so already.
    pub fn set_trait(&mut self, now: Time, changed: Traits, set: bool) {
        if self.members.me().traits.has(changed) != set {
            self.restate(now, |me| me.traits = me.traits.with(changed, set));
        }
    }

    /// Says goodbye to the neighbours, who pass it on.
    pub fn leave(&mut self, now: Time, out: &mut Outbox) {
        self.members
            .restate(now, 0, |me| me.state = MemberState::Left);
        let me = self.members.me().node;
        self.spread(now, me, None);
        self.tell_news(now, out);
        self.timers = Timers::new();
        self.doubts.clear();
    }

    /// Whether it has said goodbye. Nobody reports to it any longer: what it does not hear says
    /// nothing about anybody.
    fn has_left(&self) -> bool {
        self.members.me().state == MemberState::Left
    }

    /// Before anything else at each event: how late this node is. A little makes it careful, much
    /// makes it ask how it is seen.
    pub fn on_event(&mut self, now: Time, out: &mut Outbox) {
        let lag = now.since(self.beat_due);
        if lag <= self.config.beat / 2 || self.timers.next().is_none() {
            return;
        }
        if self.config.flaws.has(Flaw::TrustsItsClock) {
            return;
        }
        self.health.worse();
        // What could not be heard meanwhile says nothing about the others.
        for at in self.heard.values_mut() {
            *at = (*at + lag).min(now);
        }
        self.beat_due = now;
        self.timers.arm(Timer::Beat, now);
        self.postpone_verdicts(lag);
        if lag > self.config.beat * self.config.silent_beats {
            self.on_slept(now, lag, out);
        }
        self.watch(now);
    }

    fn on_slept(&mut self, now: Time, lag: Duration, out: &mut Outbox) {
        let line = alloc::format!("stood still for_ms={}", lag.as_millis());
        out.fact(Level::Info, line);
        self.doubts.clear();
        let neighbours = self.members.successors(SUCCESSORS);
        if neighbours.is_empty() {
            return;
        }
        self.unsure_until = now + self.config.confirm * 2;
        for member in neighbours.iter().take(2) {
            self.join(now, [member.address].into(), out);
        }
    }

    /// A member was heard, whatever it said.
    pub fn on_heard(&mut self, now: Time, from: Sender, out: &mut Outbox) {
        let Some(member) = self.members.get(from.node).map(|entry| entry.member) else {
            return;
        };
        if from.incarnation < member.incarnation {
            return;
        }
        self.heard.insert(from.node, now);
        self.unreached.remove(&from.node);
        self.doubts.remove(&from.node);
        self.unsure_until = Time::ZERO;
        if self.is_predecessor(from.node) {
            self.watch(now);
        }
        // A dead member that speaks is told the verdict, and can refute it.
        let told = self.told.get(&from.node);
        let lately = told.is_some_and(|at| now.since(*at) < self.config.beat);
        if !member.lives() && from.incarnation == member.incarnation && !lately {
            self.told.insert(from.node, now);
            self.verify(now, from.node, out);
        }
    }

    /// Takes what wants no answer.
    pub fn on_word(&mut self, now: Time, from: Sender, words: Words, out: &mut Outbox) {
        self.meet(now, from, out);
        match words {
            Words::Report { me, view } => self.on_report(now, from, me, view, out),
            Words::News { claims } => self.on_news(now, from, claims, out),
            Words::Join { .. }
            | Words::Joined { .. }
            | Words::Probe { .. }
            | Words::Probed { .. }
            | Words::Check { .. }
            | Words::Checked { .. }
            | Words::Alert { .. }
            | Words::Heard
            | Words::Count { .. }
            | Words::Counted { .. }
            | Words::Unbalance { .. }
            | Words::Accepted => self.note_absurd(from.node, out),
        }
    }

    /// Answers a question. An order is left to the server to carry out and to answer.
    pub fn on_question(
        &mut self,
        now: Time,
        asker: Asker,
        words: Words,
        out: &mut Outbox,
    ) -> Option<Order> {
        if !matches!(words, Words::Join { .. }) {
            self.meet(now, asker.sender, out);
        }
        match words {
            Words::Join { members } => self.on_join(now, asker, members, out),
            Words::Probe { known } => self.on_probe(now, asker, known, out),
            Words::Check { node, address } => self.on_check(now, asker, node, address, out),
            Words::Alert {
                epoch,
                manager,
                hops,
                tallies,
            } => self.on_alert(now, asker, (epoch, manager, hops, tallies), out),
            Words::Count { epoch, manager } => self.on_count(now, asker, epoch, manager, out),
            Words::Unbalance {
                epoch,
                manager,
                wanted,
                named,
                ..
            } => return self.on_unbalance(now, asker, (epoch, manager, wanted, named), out),
            Words::Joined { .. }
            | Words::Report { .. }
            | Words::News { .. }
            | Words::Probed { .. }
            | Words::Checked { .. }
            | Words::Heard
            | Words::Counted { .. }
            | Words::Accepted => out.refuse(asker, Refusal::WrongRole),
        }
        None
    }

    /// Takes an answer.
    pub fn on_answer(&mut self, now: Time, from: Peer, letter: Letter, out: &mut Outbox) {
        if let Some(outcome) = self.requests.on_answer(now, from, letter, out) {
            self.conclude(now, outcome, out);
        }
    }

    /// A peer is lost: if it is a member, it is asked at once whether it lives.
    pub fn on_lost(&mut self, now: Time, peer: Peer, why: Lost, out: &mut Outbox) {
        for outcome in self.requests.on_lost(now, peer, why, out) {
            self.conclude(now, outcome, out);
        }
        if let Peer::Node(address) = peer
            && let Some(member) = self.members.at(address)
        {
            self.unreached.insert(member.node);
        }
        if let (Peer::Node(address), true) = (peer, why != Lost::Backoff)
            && let Some(member) = self.members.at(address)
            && !self.doubts.contains_key(&member.node)
        {
            self.on_broken(now, member.node, why);
            self.verify(now, member.node, out);
        }
    }

    /// A connection that breaks takes the last words with it, and says itself that somebody was
    /// there a moment ago: the silence begins here. Who was killed is told from it by the refused
    /// connection that follows.
    fn on_broken(&mut self, now: Time, node: NodeId, why: Lost) {
        if matches!(why, Lost::Reset | Lost::Closed) {
            self.heard.insert(node, now);
            if self.is_predecessor(node) {
                self.watch(now);
            }
        }
    }

    /// An order this node has given itself.
    pub fn take_own_order(&mut self) -> Option<Order> {
        self.own_order.take()
    }

    /// Does what is due.
    pub fn on_tick(&mut self, now: Time, outside: &[Record], out: &mut Outbox) {
        for outcome in self.requests.on_tick(now, out) {
            self.conclude(now, outcome, out);
        }
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Beat => self.on_beat(now, outside, out),
                Timer::Silence => self.on_silence(now, out),
                Timer::Doubt(node) => self.settle_doubt(now, node, out),
                Timer::Verdict(node) => self.on_verdict_due(now, node, out),
                Timer::Spread => self.tell_news(now, out),
                Timer::CensusDue(node) => self.on_census_due(now, node, out),
                Timer::Return => self.on_return_due(now, out),
                Timer::Recount => self.finish_census(now, out),
            }
        }
    }

    /// When [`Ring::on_tick`] wants to run.
    pub fn deadline(&self) -> Option<Time> {
        earlier(self.timers.next(), self.requests.deadline())
    }

    fn on_beat(&mut self, now: Time, outside: &[Record], out: &mut Outbox) {
        self.beats += 1;
        self.beat_due = now + self.config.beat;
        self.timers.arm(Timer::Beat, self.beat_due);
        self.health.better();
        self.report(now, out);
        if self.beats.is_multiple_of(self.config.probe_beats) {
            self.probe_somebody(now, out);
        }
        self.reach_out(now, outside, out);
        self.feel_unease(now, out);
        if self.beats.is_multiple_of(60) {
            self.members.forget_old(now);
            let members = &self.members;
            self.heard.retain(|node, _| members.get(*node).is_some());
            self.told.retain(|node, _| members.get(*node).is_some());
            self.unreached.retain(|node| members.get(*node).is_some());
        }
        self.watch(now);
    }

    fn report(&mut self, now: Time, out: &mut Outbox) {
        debug_assert!(now < Time::NEVER);
        let report = Words::Report {
            me: self.members.me(),
            view: self.members.view(),
        };
        for successor in self.members.successors(SUCCESSORS) {
            self.say(successor.address, report.clone(), out);
            // Whoever comes after a member that cannot be reached may have heard of its death, and
            // wait for this node's reports already.
            if !self.unreached.contains(&successor.node) {
                break;
            }
        }
    }

    fn on_report(&mut self, now: Time, from: Sender, me: Member, view: u64, out: &mut Outbox) {
        if me.node != from.node || !is_from(&from, me.address) {
            return self.note_absurd(from.node, out);
        }
        self.take(now, from.node, account(me), out);
        self.on_heard(now, from, out);
        self.settle(now, me);
        let alike = view == self.members.view();
        if self.contacts.differs(alike) && !self.config.flaws.has(Flaw::KeepsNewsToItself) {
            self.join(now, [me.address].into(), out);
        }
    }

    fn on_probe(&mut self, now: Time, asker: Asker, known: Member, out: &mut Outbox) {
        if known.node == self.members.me().node {
            self.take(now, asker.sender.node, account(known), out);
        }
        let me = self.members.me();
        out.answer(asker, Message::Ring(Words::Probed { me }));
    }
}

/// An account nobody has doubted.
fn account(member: Member) -> Claim {
    Claim {
        member,
        observers: Vec::new(),
    }
}

/// Whether a sender speaks from where it says it listens.
fn is_from(from: &Sender, address: Address) -> bool {
    match from.peer {
        Peer::Node(at) => at == address,
        Peer::Guest(_) => false,
    }
}

const _: () = assert!(CLAIMS_MAX <= MEMBERS_MAX);

#[cfg(test)]
mod tests;
