//! The ring: servers that watch each other, without a leader.
//!
//! Owns the member table, the reports to the successor, the failure detector, the spreading of
//! updates, and the merging of rings that were split. Counting the roles after a death is the
//! business of `census`. Changing this node's own role is the business of the server.
//!
//! Each member sends a report to its successor every second, and the successor watches for it. Each
//! member also probes a random other member every few seconds, because a dead arc is noticed only
//! from outside. A silent member is probed, then probed through helpers, then suspected in public.
//! It is declared dead only when it has not refuted the suspicion in time (SWIM with Lifeguard's
//! extensions; each part names its source).

mod census;
mod diagnosis;
mod double;
mod doubts;
mod failure_detector;
mod gossip;
mod hearing;
mod join;
mod local_health;
mod questions;
mod reports;
mod updates;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::id::NodeId;
use crate::contract::limits::{CLAIMS_MAX, MEMBERS_MAX};
use crate::contract::member::{Epoch, Member, MemberState, Traits};
use crate::contract::message::{LastAlert, LastSwitch, Message, Refusal};
use crate::contract::node::{Asker, Lost, Peer, Sender};
use crate::contract::record::{Address, Record, Role};
use crate::contract::ring::{Claim, Ring as RingMessage};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::Timers;
use crate::cx::Cx;
use crate::members::Members;
use crate::mutants::RingMutants;
use crate::purpose::ring::Purpose;

use census::Census;
pub use census::EPOCHS_MAX;
use double::Double;
use doubts::Doubts;
use gossip::Gossip;
use hearing::Hearing;
use join::Contacts;
use local_health::Health;

/// The timing of the ring. The defaults are those of the specification: a killed process is
/// declared dead after two and a half seconds, a silent host after five and a half.
#[derive(Clone, Debug)]
pub struct Config {
    /// Time between two reports to the successor.
    pub beat: Duration,
    /// Beats without any traffic after which a member is checked.
    pub silent_beats: u32,
    /// How long a checked member, and the helpers that probe it, may take to answer.
    pub confirm: Duration,
    /// Time from suspicion to verdict when at least two observers agree. A longer time means fewer
    /// false verdicts on nodes that stall for a while.
    pub agreed: Duration,
    /// The same when there is only one observer.
    pub alone: Duration,
    /// Beats between two probes of a random member.
    pub probe_beats: u64,
    /// Beats between two attempts to reach an address outside the ring.
    pub contact_beats: u64,
    /// Least time between two changes of role, unless a role has no holder left.
    pub switch_pause: Duration,
    /// How long a member waits after a death before it begins the census that the manager has not
    /// begun.
    pub census_wait: Duration,
    /// How long the roles may be out of balance before the lowest member begins a census.
    pub shortage_patience: Duration,
    /// Mutants that the simulated world plants; empty in every real node.
    pub mutants: RingMutants,
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
            shortage_patience: Duration::from_secs(15),
            mutants: RingMutants::default(),
        }
    }
}

/// How many next members are tried in turn: an alert passes three adjacent dead members.
pub const SUCCESSORS: usize = 4;

/// One node's part in the ring.
#[derive(Debug)]
pub struct Ring {
    config: Config,
    members: Members,
    health: Health,
    hearing: Hearing,
    doubts: Doubts,
    gossip: Gossip,
    contacts: Contacts,
    census: Census,
    timers: Timers<Timer>,
    pulse: Pulse,
    /// Jobs that wait at this node; the census names the least loaded member.
    load: u16,
    /// Set when this node is the manager and has named itself.
    own_order: Option<Order>,
    absurd: Absurd,
    double: Double,
    rng: Rng,
}

/// The beats of this node.
#[derive(Debug)]
struct Pulse {
    /// Beats so far.
    count: u64,
    /// When the next one is due.
    due: Time,
    /// Until then this node answers no questions about songs: it has stalled and first asks the
    /// others how they see it.
    unsure_until: Time,
}

/// Claims that cannot be true.
#[derive(Debug, Default)]
struct Absurd {
    count: u64,
    /// Their senders, at most [`ABSURD_SENDERS_MAX`]. Each is logged once.
    senders: BTreeSet<NodeId>,
}

/// How much state one node holds for the ring; each number has a bound.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Entries in the member table, the dead included.
    pub members: usize,
    /// Members whose silence is being checked.
    pub suspicions: usize,
    /// Updates waiting to be passed on.
    pub news: usize,
    /// Censuses remembered.
    pub epochs: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Beat,
    /// The predecessor has been silent for too long.
    Silence,
    /// The helpers that check a silent member have had their time.
    Suspicion(NodeId),
    Verdict(NodeId),
    Spread,
    /// A death is known and no alert about it has arrived.
    CensusDue(NodeId),
    /// The alert of this manager should have returned.
    Return,
    /// The members asked directly should have answered.
    Recount,
    /// What was said of another process with this node's id is to be asked about.
    Double,
}

/// An order of a manager: this node shall change its role.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// The manager that waits for the answer; none if this node is the manager itself.
    pub asker: Option<Asker>,
    /// The role to take; never [`Role::Dns`].
    pub role: Role,
    /// The census that the order comes from.
    pub epoch: Epoch,
}

/// How often a probe is sent within its patience, with growing backoff between the attempts.
const PROBE_ROUNDS: u32 = 8;

/// Bound on the remembered senders of impossible claims. Each of them is logged once.
const ABSURD_SENDERS_MAX: usize = 64;

impl Ring {
    /// A ring of one.
    pub fn new(config: Config, now: Time, me: Member, mut rng: Rng) -> Self {
        let mut part = || Rng::from_seed(rng.bits());
        let mut timers = Timers::new();
        // Members that start together must not send their reports at the same moment.
        let beat_due = now + part().within(config.beat);
        timers.arm(Timer::Beat, beat_due);
        Ring {
            members: Members::new(now, me),
            health: Health::default(),
            hearing: Hearing::default(),
            doubts: Doubts::default(),
            gossip: Gossip::default(),
            contacts: Contacts::default(),
            census: Census::default(),
            timers,
            pulse: Pulse {
                count: 0,
                due: beat_due,
                unsure_until: Time::ZERO,
            },
            load: 0,
            own_order: None,
            absurd: Absurd::default(),
            double: Double::default(),
            rng: part(),
            config,
        }
    }

    /// The member table.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// When this node itself last heard a member.
    pub fn heard_at(&self, node: NodeId) -> Option<Time> {
        self.hearing.of(node)
    }

    /// How many claims were refused because they cannot be true.
    pub fn absurd_claims(&self) -> u64 {
        self.absurd.count
    }

    /// Whether another process bears this node's id and must go on in its place: other members have
    /// met it. Then the disk of this node is an old copy, or one of two.
    pub fn is_outdated(&self) -> bool {
        self.double.is_proven()
    }

    /// How much of each bounded collection is in use.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            members: self.members.all().count(),
            suspicions: self.doubts.checks(),
            news: self.gossip.len(),
            epochs: self.census.len(),
        }
    }

    /// The last alert that reached this node, or that it began.
    pub fn last_alert(&self, now: Time) -> Option<LastAlert> {
        self.census.last_alert(now)
    }

    /// The last change of role that this node knows of.
    pub fn last_switch(&self, now: Time) -> Option<LastSwitch> {
        let (at, node, role) = self.members.switched()?;
        let ago_ms = now.since(at).as_millis() as u64;
        Some(LastSwitch { node, role, ago_ms })
    }

    /// Whether this node must first learn how the others see it. It has stalled for a while, and
    /// the others may have declared it dead.
    pub fn is_unsure(&self, now: Time) -> bool {
        now < self.pulse.unsure_until
    }

    /// Whether this node hears so few of the others that it believes itself cut off, rather than
    /// the others dead. It accepts no new songs then.
    pub fn blames_itself(&self) -> bool {
        let awaits = |node: NodeId| {
            let entry = self.members.get(node);
            entry.is_some_and(|entry| entry.member.state == MemberState::Suspect)
        };
        self.doubts.postponed().any(awaits)
    }

    /// Sets the number of jobs that wait at this node; the next census reports it.
    pub fn set_load(&mut self, load: u16) {
        self.load = load;
    }

    /// Changes what this node says of itself, under a new version, and spreads the update.
    pub fn restate(&mut self, now: Time, change: impl FnOnce(&mut Member)) {
        self.members.restate(now, 0, change);
        let me = self.members.me().node;
        self.spread(now, me, None);
    }

    /// Sets or clears a trait of this node. Does nothing if the trait has that value already.
    pub fn set_trait(&mut self, now: Time, changed: Traits, set: bool) {
        if self.members.me().traits.has(changed) != set {
            self.restate(now, |me| me.traits = me.traits.with(changed, set));
        }
    }

    /// Tells the neighbours that this node leaves; they pass it on. All timers of the ring end.
    pub fn leave(&mut self, cx: &mut Cx<'_>) {
        self.members
            .restate(cx.now, 0, |me| me.state = MemberState::Left);
        let me = self.members.me().node;
        self.spread(cx.now, me, None);
        self.tell_news(cx);
        self.timers = Timers::new();
        self.doubts.end_all();
    }

    /// Whether this node has left. The others send it no reports any longer, so their silence
    /// proves nothing.
    fn has_left(&self) -> bool {
        self.members.me().state == MemberState::Left
    }

    /// Takes a one-way message. A message that needs an answer is counted as impossible.
    pub fn on_one_way(&mut self, cx: &mut Cx<'_>, from: Sender, words: RingMessage) {
        self.meet(cx, from);
        match words {
            RingMessage::Report { me, view } => self.on_report(cx, from, me, view),
            RingMessage::News { claims } => self.on_news(cx, from, claims),
            RingMessage::Join { .. }
            | RingMessage::Joined { .. }
            | RingMessage::Probe { .. }
            | RingMessage::Probed { .. }
            | RingMessage::Check { .. }
            | RingMessage::Checked { .. }
            | RingMessage::Alert { .. }
            | RingMessage::Heard
            | RingMessage::Count { .. }
            | RingMessage::Counted { .. }
            | RingMessage::Unbalance { .. }
            | RingMessage::Diagnose
            | RingMessage::Diagnosis(_)
            | RingMessage::Accepted => self.note_absurd(cx, from.node),
        }
    }

    /// Answers a question. An [`Order`] is returned: the server carries it out and answers it.
    pub fn on_question(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        words: RingMessage,
    ) -> Option<Order> {
        if !matches!(words, RingMessage::Join { .. }) {
            self.meet(cx, asker.sender);
        }
        match words {
            RingMessage::Join { members } => self.on_join(cx, asker, members),
            RingMessage::Probe { known } => self.on_probe(cx, asker, known),
            RingMessage::Check { node, address } => self.on_check(cx, asker, node, address),
            RingMessage::Alert {
                epoch,
                manager,
                hops,
                tallies,
            } => self.on_alert(cx, asker, (epoch, manager, hops, tallies)),
            RingMessage::Count { epoch, manager } => self.on_count(cx, asker, epoch, manager),
            RingMessage::Unbalance {
                epoch,
                manager,
                wanted,
                named,
                ..
            } => return self.on_unbalance(cx, asker, (epoch, manager, wanted, named)),
            RingMessage::Joined { .. }
            | RingMessage::Report { .. }
            | RingMessage::News { .. }
            | RingMessage::Probed { .. }
            | RingMessage::Checked { .. }
            | RingMessage::Heard
            | RingMessage::Counted { .. }
            | RingMessage::Diagnose // The server answers it before the ring hears of it.
            | RingMessage::Diagnosis(_)
            | RingMessage::Accepted => cx.out.refuse(asker, Refusal::WrongRole),
        }
        None
    }

    /// A connection is lost. If a member listens at the peer's address, this node probes the member
    /// at once.
    pub fn on_lost(&mut self, cx: &mut Cx<'_>, peer: Peer, why: Lost) {
        if let Peer::Node(address) = peer
            && let Some(member) = self.members.at(address)
        {
            self.hearing.on_lost(member.node);
        }
        // A dial suppressed by backoff is no new evidence, so it starts no probe.
        if let (Peer::Node(address), true) = (peer, why != Lost::Backoff)
            && let Some(member) = self.members.at(address)
            && !self.doubts.checks_on(member.node)
        {
            self.on_broken(cx.now, member.node, why);
            self.verify(cx, member.node);
        }
    }

    /// A broken connection loses the last messages, but shows that a process was there a moment
    /// ago. The silence therefore begins here. If the process was killed, the refused connection
    /// that follows tells so.
    fn on_broken(&mut self, now: Time, node: NodeId, why: Lost) {
        if matches!(why, Lost::Reset | Lost::Closed) {
            self.hearing.restart(now, node);
            if self.is_predecessor(node) {
                self.watch(now);
            }
        }
    }

    /// Takes the order that this node, as manager, has given itself.
    pub fn take_own_order(&mut self) -> Option<Order> {
        self.own_order.take()
    }

    /// Runs what is due. `outside` are the data nodes and routers that the DNS names.
    pub fn on_tick(&mut self, cx: &mut Cx<'_>, outside: &[Record]) {
        while let Some(timer) = self.timers.pop_due(cx.now) {
            match timer {
                Timer::Beat => self.on_beat(cx, outside),
                Timer::Silence => self.on_silence(cx),
                Timer::Suspicion(node) => self.settle_suspicion(cx, node),
                Timer::Verdict(node) => self.on_verdict_due(cx, node),
                Timer::Spread => self.tell_news(cx),
                Timer::CensusDue(node) => self.on_census_due(cx, node),
                Timer::Return => self.on_return_due(cx),
                Timer::Recount => self.finish_census(cx),
                Timer::Double => self.ask_about_double(cx),
            }
        }
    }

    /// When [`Ring::on_tick`] wants to run.
    pub fn deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    fn on_probe(&mut self, cx: &mut Cx<'_>, asker: Asker, known: Member) {
        if known.node == self.members.me().node {
            self.take(cx, asker.sender, account(known));
        }
        let me = self.members.me();
        cx.out
            .answer(asker, Message::Ring(RingMessage::Probed { me }));
    }
}

/// A claim without observers: no node reports this member as unreachable.
fn account(member: Member) -> Claim {
    Claim {
        member,
        observers: Vec::new(),
    }
}

/// Whether a sender's connection comes from the address at which it says it listens.
fn is_from(from: &Sender, address: Address) -> bool {
    match from.peer {
        Peer::Node(at) => at == address,
        Peer::Guest(_) => false,
    }
}

const _: () = assert!(CLAIMS_MAX <= MEMBERS_MAX);

#[cfg(test)]
mod tests;
