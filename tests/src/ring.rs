//! Invariants of the ring, checked after every event. Each is one function that can fail.
//!
//! S1: the ring read from a member table is a ring. S4: a role changes at most once per order. S6:
//! roles stay filled and change with restraint. S8: work in progress is bounded. S10: what is known
//! of a member never gets older. And no member calls a node dead that lives, runs and could be
//! heard.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use roles::contract::id::{Incarnation, NodeId, SongId};
use roles::contract::limits::MEMBERS_MAX;
use roles::contract::member::{Age, Epoch, Member, MemberState, Traits};
use roles::contract::message::{Envelope, Message};
use roles::contract::record::Role;
use roles::contract::ring::Ring as RingMessage;
use roles::contract::time::Time;
use roles::members::Members;
use roles::ring::{EPOCHS_MAX, SUCCESSORS};

use crate::climate::Climate;
use crate::resident::{Kind, Place, State};
use crate::world::World;

/// A node that was frozen for less than this must not be called dead.
const STILL_MAX: Duration = Duration::from_secs(4);

/// The same bound in worlds where envelopes may be late as well.
const STILL_AND_LATE_MAX: Duration = Duration::from_secs(2);

/// A freeze that begins within this time after a thaw is added to the freeze before it.
const STILL_AGAIN: Duration = Duration::from_secs(20);

/// After a death, a start or a cut, a role may be without a node for so long.
const ROLES_AFTER: Duration = Duration::from_secs(20);

/// A data node that has handed over its last song has left its role within this time.
const LOOKS_AGAIN: Duration = Duration::from_secs(6);

/// Every member knows of a single death within this time, even of a silent one.
const MISSED_AFTER: Duration = Duration::from_secs(11);

/// News of a change reaches every member within this time.
const NEWS: Duration = Duration::from_secs(3);

/// After a start, a freeze or a cut, all members see one ring within this time.
const MERGED_AFTER: Duration = Duration::from_secs(45);

/// How often the roles of the whole world are checked.
const ROLES_EVERY: Duration = Duration::from_millis(500);

/// Least time between two changes of role (the default of the roles), except to fill an empty role.
/// Also the span over which [`ALERTS_BEGUN_MAX`] counts.
const SWITCH_PAUSE: Duration = Duration::from_secs(60);

/// A change younger than this may not be known to every member.
const HEARSAY: Duration = Duration::from_secs(30);

/// How often one node may receive the alert of one epoch: several managers may send it, each of
/// them through several members that could not tell whether it had arrived.
const ALERTS_HEARD_MAX: u32 = 24;

/// How many censuses one node may begin in a minute.
const ALERTS_BEGUN_MAX: usize = 24;

/// What the checks know of the ring.
#[derive(Debug, Default)]
pub struct RingBook {
    tables: BTreeMap<Place, Table>,
    /// Starts of nodes that were cut off, frozen for long, or numbered like an earlier start:
    /// others may rightly have called them dead.
    stained: BTreeMap<Place, u64>,
    /// Freezes of each node: since when, and how long the recent ones were.
    still: BTreeMap<Place, Still>,
    /// The latest 64 changes of role.
    switches: VecDeque<Switch>,
    /// How often a node received the alert of an epoch, and when it last did.
    heard: BTreeMap<(Place, u64, Epoch), (u32, Time)>,
    begun: BTreeMap<Place, Begun>,
    /// The highest incarnation of each node so far; a node with a restored disk may repeat one.
    starts: BTreeMap<NodeId, Incarnation>,
    /// When a process, a link or a freeze last began or ended.
    disturbed_at: Time,
    /// The same without deaths: what may leave the member tables different for a while.
    confused_at: Time,
    /// When the roles of the whole world were last checked.
    looked_at: Time,
    /// The disturbance after which all members were found to agree.
    agreed_at: Time,
    /// Since when a role is empty although some node could take it.
    roleless_at: Option<Time>,
    /// Since when the members disagree although they should agree.
    disagreed_at: Option<Time>,
    /// The latest death came at least [`HEARSAY`] after any other disturbance.
    single: bool,
    /// Nodes that thawed after a long freeze and have not heard from a member since, with the time
    /// of the thaw.
    asleep: BTreeMap<Place, Time>,
    /// Envelopes are late at times although nothing is broken.
    late: bool,
}

/// What the table of one process has shown so far.
#[derive(Debug, Default)]
struct Table {
    revision: u64,
    role: Option<Role>,
    /// Since when the node is handing its songs over in order to change its role.
    ordered_at: Option<Time>,
    /// The latest age of each member, and whether the member itself had spoken by then.
    known: BTreeMap<NodeId, (Age, bool)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Still {
    since: Option<Time>,
    lately: Duration,
    ended_at: Time,
}

#[derive(Clone, Copy, Debug)]
struct Switch {
    /// When the change was ordered: handing songs over may delay the change itself.
    ordered_at: Time,
    place: Place,
    start: u64,
    epoch: Option<Epoch>,
}

#[derive(Debug, Default)]
struct Begun {
    lately: VecDeque<Time>,
    attempts: BTreeMap<(NodeId, Incarnation), u32>,
}

impl RingBook {
    /// What is known before any node has started.
    pub(crate) fn new(climate: &Climate) -> RingBook {
        RingBook {
            late: climate.latency_tail > 0,
            ..RingBook::default()
        }
    }

    /// A process has started.
    pub fn on_start(&mut self, now: Time, place: Place, start: u64, who: (NodeId, Incarnation)) {
        self.tables.remove(&place);
        self.stained.remove(&place);
        // A node with a restored disk repeats an incarnation: members that know the later one
        // refuse it, and may rightly call it dead.
        let last = self.starts.entry(who.0).or_default();
        if *last >= who.1 {
            self.stained.insert(place, start);
        }
        *last = who.1.max(*last);
        self.still.remove(&place);
        self.begun.remove(&place);
        (self.disturbed_at, self.confused_at) = (now, now);
    }

    /// Everything has been mended.
    pub fn on_healed(&mut self, now: Time) {
        (self.disturbed_at, self.confused_at) = (now, now);
        self.single = false;
    }

    /// A process has ended.
    pub fn on_end(&mut self, now: Time) {
        self.single = self.disturbed_at + HEARSAY < now;
        self.disturbed_at = now;
    }

    /// Notes that a node receives a member's message (`heard`) or answers a question after a long
    /// freeze. True: it answers at the moment of its thaw, before it has heard from any member.
    pub fn on_awake(&mut self, now: Time, place: Place, heard: bool) -> bool {
        let Some(thawed) = self.asleep.get(&place).copied() else {
            return false;
        };
        if heard || now > thawed {
            self.asleep.remove(&place);
        }
        !heard && now == thawed
    }

    /// Something has been cut or mended. Mending counts too, because the tables still have to
    /// merge.
    pub fn on_cut(&mut self, now: Time, ends: [(Place, u64); 2]) {
        self.stained.extend(ends);
        (self.disturbed_at, self.confused_at) = (now, now);
    }

    /// A node freezes.
    pub fn on_freeze(&mut self, now: Time, place: Place) {
        self.still.entry(place).or_default().since = Some(now);
        (self.disturbed_at, self.confused_at) = (now, now);
    }

    /// A frozen node goes on.
    pub fn on_thaw(&mut self, now: Time, place: Place, start: u64) {
        if self.stood_still(now, place) >= self.still_max() {
            self.stained.insert(place, start);
        }
        let lately = self.stood_still(now, place);
        let since = self.still.get(&place).and_then(|still| still.since);
        if since.is_some_and(|since| now.since(since) >= STILL_MAX) {
            self.asleep.insert(place, now);
        }
        let still = self.still.entry(place).or_default();
        *still = Still {
            since: None,
            lately,
            ended_at: now,
        };
        (self.disturbed_at, self.confused_at) = (now, now);
    }

    fn still_max(&self) -> Duration {
        if self.late {
            STILL_AND_LATE_MAX
        } else {
            STILL_MAX
        }
    }

    fn stood_still(&self, now: Time, place: Place) -> Duration {
        let Some(still) = self.still.get(&place) else {
            return Duration::ZERO;
        };
        let since = still.since.unwrap_or(now);
        let again = since.since(still.ended_at) < STILL_AGAIN;
        let before = if again { still.lately } else { Duration::ZERO };
        before + now.since(since)
    }

    /// Whether the others could hear this process all the time, but for short freezes.
    fn was_there(&self, now: Time, place: Place, start: u64) -> bool {
        self.stained.get(&place) != Some(&start) && self.stood_still(now, place) < self.still_max()
    }

    /// Whether no node's latest process was cut off, frozen for long or numbered like an earlier
    /// start.
    pub fn is_clean(&self) -> bool {
        self.stained.is_empty()
    }
}

impl World {
    /// Checks one node's member table after an event, if the table has changed.
    pub(crate) fn check_ring(&mut self, place: Place) {
        if self.ring.looked_at + ROLES_EVERY <= self.now {
            self.ring.looked_at = self.now;
            self.check_roles_filled();
        }
        let Some(server) = self.nodes[place].resident.as_ref().and_then(|n| n.server()) else {
            return;
        };
        let Some(ring) = server.ring() else {
            return;
        };
        let (members, sizes) = (ring.members(), ring.sizes());
        let questions = server.questions();
        let table = self.ring.tables.entry(place).or_default();
        if table.revision == members.revision() {
            return;
        }
        table.revision = members.revision();
        let ordered_at = table.ordered_at.unwrap_or(self.now);
        let switched = (table.role.is_some() && table.role != server.role()).then(|| {
            let last = last_of_its_role(members, table.role);
            (server.changed_for(), last, ordered_at)
        });
        table.role = server.role();
        let changing = members.me().traits.has(Traits::DRAINING);
        table.ordered_at = changing.then_some(ordered_at);
        let fault = (is_a_ring(members).map(|text| ("S1 ring", text)))
            .or_else(|| table.grows(members).map(|text| ("S10 accounts grow", text)))
            .or_else(|| is_bounded(sizes, questions).map(|text| ("S8 bounds", text)));
        self.seen.tables_checked += 1;
        // A liar may name a node dead that the others have not met. It joins when it speaks.
        let hearsay = |node| self.lies.are_told() && members.get(node).is_none_or(|e| !e.met);
        let dead = members.all().filter(|m| !m.lives() && !hearsay(m.node));
        let dead: Vec<Member> = dead.copied().collect();
        let left = members.me().state == MemberState::Left;
        if let Some((rule, text)) = fault {
            let text = format!("{}: {text}", self.nodes[place].name);
            self.violated(rule, text);
        }
        if let Some((epoch, last, ordered_at)) = switched {
            self.on_switched(place, epoch, last, ordered_at);
        }
        for member in dead {
            self.check_verdict(place, &member);
        }
        if left {
            self.check_farewell(place, false);
        }
        self.check_circle(place);
    }

    /// No member calls a node dead that lives, runs and could always be heard.
    fn check_verdict(&mut self, place: Place, dead: &Member) {
        if dead.state != MemberState::Dead {
            return;
        }
        let Some(about) = self.spawner.at(dead.address) else {
            return;
        };
        self.figures
            .on_verdict(self.now, dead.node, dead.incarnation);
        let slot = &self.nodes[about];
        let same = slot.identity.node == dead.node && slot.identity.incarnation == dead.incarnation;
        if !same || !slot.lives() {
            return;
        }
        self.seen.verdicts_on_the_living += 1;
        if self.ring.was_there(self.now, about, slot.start) {
            let text = format!("{} calls {} dead", self.nodes[place].name, slot.name);
            self.violated("no false verdict", text);
        }
    }

    /// S4 and S6: a role has changed.
    fn on_switched(&mut self, place: Place, epoch: Option<Epoch>, last: bool, ordered_at: Time) {
        let now = self.now;
        let (name, start) = (self.nodes[place].name.clone(), self.nodes[place].start);
        let role = self.nodes[place].role();
        self.seen.role_changes += 1;
        let others = self.servers_with(role, place);
        if last && role == Some(Role::Router) {
            let text = format!("{name} was the last data node");
            self.violated("S6 the last data node stays", text);
        }
        let twice = (self.ring.switches.iter())
            .any(|s| (s.place, s.start) == (place, start) && s.epoch == epoch);
        if twice || epoch.is_none() {
            let text = format!("{name} changes its role twice for {epoch:?}");
            self.violated("S4 at most once", text);
        }
        // A manager with a restored disk may use the epochs of an earlier start again.
        let repeated = epoch.is_some_and(|epoch| self.is_stained(epoch.about));
        let clear = self.ring.confused_at + HEARSAY < now && !repeated;
        // The manager of a node that dies before its answer has arrived names another one.
        let lives = |s: &&Switch| {
            let slot = &self.nodes[s.place];
            slot.lives() && slot.start == s.start
        };
        let same = self.ring.switches.iter().rev().find(|s| s.epoch == epoch);
        let same = same.filter(lives);
        if let (Some(same), true) = (same, clear) {
            let text = format!(
                "{name} and {} change for {epoch:?}",
                self.nodes[same.place].name
            );
            self.violated("S6 one change per census", text);
        }
        if let Some(apart) = self.apart_from_another(ordered_at)
            && others > 0
        {
            let text = format!("{name} becomes {role:?} {apart:?} after another");
            self.violated("S6 pause between changes", text);
        }
        self.ring.switches.push_back(Switch {
            ordered_at,
            place,
            start,
            epoch,
        });
        if self.ring.switches.len() > 64 {
            self.ring.switches.pop_front();
        }
        self.strike_switcher(place);
    }

    fn is_stained(&self, node: NodeId) -> bool {
        let place = self.nodes.iter().position(|s| s.identity.node == node);
        place.is_some_and(|place| self.ring.stained.get(&place) == Some(&self.nodes[place].start))
    }

    /// The time between the orders of this change and of the closest other one, if it is too short
    /// and the manager of the later one had to know of the earlier.
    fn apart_from_another(&self, ordered_at: Time) -> Option<Duration> {
        let apart = |s: &&Switch| s.ordered_at.since(ordered_at) + ordered_at.since(s.ordered_at);
        let before = self.ring.switches.iter().filter(|s| {
            // A node that died after its change does not count: the members see its role as
            // missing.
            let slot = &self.nodes[s.place];
            slot.lives() && slot.start == s.start
        });
        let closest = before.min_by_key(apart)?;
        let known = self.ring.confused_at + HEARSAY < closest.ordered_at.min(ordered_at);
        Some(apart(&closest)).filter(|apart| known && *apart < SWITCH_PAUSE)
    }

    fn servers_with(&self, role: Option<Role>, but: Place) -> usize {
        let all = (0..self.nodes.len()).filter(|p| *p != but);
        all.filter(|p| self.nodes[*p].lives() && self.nodes[*p].role() == role)
            .count()
    }

    /// S6: no role stays empty for long while some node could take it.
    fn check_roles_filled(&mut self) {
        if self.ring.single && self.ring.disturbed_at + MISSED_AFTER < self.now {
            self.check_agreement();
        }
        let quiet = self.ring.disturbed_at + ROLES_AFTER < self.now && self.network.is_whole();
        if !quiet {
            self.ring.roleless_at = None;
            return;
        }
        let up = |role| self.servers(role);
        let (data, routers) = (up(Role::Data), up(Role::Router));
        let still = self.nodes.iter().any(|slot| slot.state == State::Frozen);
        if data.len() + routers.len() < 2 || still {
            return;
        }
        // No data node can hand songs over to a full disk, so the named node keeps its role for a
        // while.
        let full = |p: &Place| self.nodes[*p].disk.as_ref().is_some_and(|disk| disk.full);
        if data.iter().any(full) {
            self.ring.roleless_at = None;
            return;
        }
        self.seen.roles_checked += 1;
        self.check_agreement();
        let can_take = |p: &Place| self.nodes[*p].kind == Kind::Server(None) && !self.is_ending(*p);
        let text = if data.is_empty() && routers.len() > 1 && routers.iter().any(can_take) {
            "no data node"
        } else if routers.is_empty() && data.iter().any(|p| can_take(p) && self.can_leave(*p)) {
            "no router"
        } else {
            self.ring.roleless_at = None;
            return;
        };
        // A node that has just handed over its last song checks once more before it leaves its
        // role.
        let since = *self.ring.roleless_at.get_or_insert(self.now);
        if self.now.since(since) > LOOKS_AGAIN {
            self.violated("S6 no role is without anybody", text.into());
        }
    }

    /// L2 during a run: when nothing has happened for a while, all members see one ring.
    fn check_agreement(&mut self) {
        let still = self.nodes.iter().any(|slot| slot.state == State::Frozen);
        let merged = self.ring.confused_at + MERGED_AFTER < self.now;
        let merged = merged && self.network.is_whole() && !still;
        let known = self.ring.agreed_at == self.ring.disturbed_at;
        let dns = |slot: &crate::resident::Slot| slot.kind == Kind::Server(Some(Role::Dns));
        let named = (self.nodes.iter()).all(|slot| !dns(slot) || slot.state == State::Up);
        if known || !merged || !named {
            return;
        }
        // A change that no fault has caused, such as a switch of role, takes a moment to spread.
        let Some(text) = self.ring_fault() else {
            self.ring.disagreed_at = None;
            self.ring.agreed_at = self.ring.disturbed_at;
            self.seen.agreements_checked += 1;
            return;
        };
        let since = *self.ring.disagreed_at.get_or_insert(self.now);
        if self.now.since(since) > NEWS {
            self.violated("L2 one view", text);
        }
    }

    /// Whether every song on a data node's disk is also on another data node's disk.
    pub fn can_leave(&self, place: Place) -> bool {
        let kept = |p: Place| self.nodes[p].disk.iter().flat_map(|disk| disk.songs());
        let others: Vec<Place> = (self.servers(Role::Data).into_iter())
            .filter(|p| *p != place)
            .collect();
        let elsewhere = |song: SongId| others.iter().any(|p| kept(*p).any(|s| s == song));
        !others.is_empty() && kept(place).all(elsewhere)
    }

    /// S8 and S10: a server receives a ring message.
    pub(crate) fn on_ring_heard(&mut self, place: Place, envelope: &Envelope) {
        let Message::Ring(words) = &envelope.message else {
            return;
        };
        match words {
            RingMessage::Alert { epoch, .. } => self.count_alert(place, *epoch),
            RingMessage::Unbalance { .. } => self.strike_named(place),
            RingMessage::Join { .. }
            | RingMessage::Joined { .. }
            | RingMessage::Report { .. }
            | RingMessage::News { .. }
            | RingMessage::Probe { .. }
            | RingMessage::Probed { .. }
            | RingMessage::Check { .. }
            | RingMessage::Checked { .. }
            | RingMessage::Heard
            | RingMessage::Count { .. }
            | RingMessage::Counted { .. }
            | RingMessage::Diagnose
            | RingMessage::Diagnosis(_)
            | RingMessage::Accepted => (),
        }
    }

    fn count_alert(&mut self, place: Place, epoch: Epoch) {
        if self.ring.heard.len() > 4096 {
            self.ring.heard.clear();
        }
        let key = (place, self.nodes[place].start, epoch);
        let now = self.now;
        let (heard, last) = self.ring.heard.entry(key).or_default();
        // A sender of nonsense may repeat the same epoch after a while.
        if *last + HEARSAY < now {
            *heard = 0;
        }
        (*heard, *last) = (*heard + 1, now);
        if *heard > ALERTS_HEARD_MAX {
            let text = format!("{} hears {epoch} {heard} times", self.nodes[place].name);
            self.violated("S8 alerts end", text);
        }
    }

    /// S8 and S10: a node sends a ring message.
    pub(crate) fn on_ring_said(&mut self, place: Place, words: &RingMessage) {
        self.seen.ring_words += 1;
        let RingMessage::Alert {
            epoch,
            manager,
            tallies,
            ..
        } = words
        else {
            return;
        };
        // An alert that has visited only its manager is the beginning of a census.
        let own = manager.node == self.nodes[place].identity.node;
        if own && tallies.len() == 1 {
            self.on_census_begun(place, *epoch);
            self.strike_manager(place);
        }
    }

    fn on_census_begun(&mut self, place: Place, epoch: Epoch) {
        let now = self.now;
        let begun = self.ring.begun.entry(place).or_default();
        let about = (epoch.about, epoch.incarnation);
        let before = begun.attempts.insert(about, epoch.attempt);
        if before == Some(epoch.attempt) {
            return; // The same alert, sent to another member.
        }
        self.seen.censuses += 1;
        begun.lately.push_back(now);
        while begun
            .lately
            .front()
            .is_some_and(|at| *at + SWITCH_PAUSE < now)
        {
            begun.lately.pop_front();
        }
        let storm = begun.lately.len() > ALERTS_BEGUN_MAX;
        if before.is_some_and(|before| before > epoch.attempt) {
            let text = format!("{} counts {epoch} after {before:?}", self.nodes[place].name);
            self.violated("S10 epochs grow", text);
        }
        if storm {
            let text = format!("{} begins a census again and again", self.nodes[place].name);
            self.violated("S8 alerts end", text);
        }
    }
}

impl Table {
    /// S10: what the table knows of a member is never replaced by something older. Only a process
    /// that speaks itself may say that it is not the one that the table had.
    fn grows(&mut self, members: &Members) -> Option<String> {
        for member in members.all() {
            let age = member.age();
            let met = members.get(member.node).is_some_and(|entry| entry.met);
            let known = self.known.insert(member.node, (age, met));
            let corrected = |known: &(Age, bool)| met && (!known.1 || known.0.0 > age.0);
            let known = known.filter(|known| known.0 > age && !corrected(known));
            if let Some((known, _)) = known {
                return Some(format!("{:?} was {known:?} and is {age:?}", member.node));
            }
        }
        None
    }
}

/// S1: the living are in order, without duplicates, this node is among them, and its successors and
/// predecessors are the adjacent ones.
fn is_a_ring(members: &Members) -> Option<String> {
    let me = members.me();
    let living: Vec<NodeId> = members.living().map(|m| m.node).collect();
    if living.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Some(format!("{living:?} is out of order"));
    }
    let here = living.iter().position(|node| *node == me.node);
    let Some(here) = here else {
        let left = me.state == MemberState::Left;
        return (!left).then(|| format!("{living:?} is without {:?}", me.node));
    };
    let count = SUCCESSORS.min(living.len() - 1);
    let next = (1..=count).map(|step| living[(here + step) % living.len()]);
    let before = (1..=count).map(|step| living[(here + living.len() - step) % living.len()]);
    let successors = members.successors(SUCCESSORS);
    let predecessors = members.predecessors(SUCCESSORS);
    let same = next.eq(successors.iter().map(|m| m.node))
        && before.eq(predecessors.iter().map(|m| m.node));
    (!same).then(|| format!("{living:?} is followed as {successors:?}"))
}

/// S8: no collection of the ring exceeds its bound.
fn is_bounded(sizes: roles::ring::Sizes, questions: usize) -> Option<String> {
    let small = sizes.members <= MEMBERS_MAX
        && sizes.suspicions <= sizes.members
        && sizes.news <= sizes.members
        && sizes.epochs <= EPOCHS_MAX
        && questions <= 512 + 16 * sizes.members;
    (!small).then(|| format!("{sizes:?}, {questions} questions"))
}

/// Whether no other member has this role.
fn last_of_its_role(members: &Members, role: Option<Role>) -> bool {
    !members.others().any(|m| Some(m.role) == role)
}
