//! The alert that goes round the ring after a death, and the census at its end.
//!
//! Among the observers of the death, the one with the smallest id is the manager. It sends the
//! alert to its successor, each member adds its role and load, and the manager counts when the
//! alert is back. When a role is short, the manager names one member that takes it.
//!
//! An epoch identifies the death and the attempt. A member passes each epoch on once, and at most
//! one role changes for it. When one epoch has two managers, every member keeps the smaller.

mod shortage;
mod switch;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Purpose, Ring, SUCCESSORS, Timer};
use crate::balance::{self, Shortage};
use crate::contract::id::{NodeId, RequestId};
use crate::contract::limits::MEMBERS_MAX;
use crate::contract::member::{Cause, Epoch, Member, MemberState, Tally, Traits};
use crate::contract::message::{LastAlert, Message, Refusal};
use crate::contract::node::{Asker, Peer};
use crate::contract::record::{Address, Role};
use crate::contract::ring::Ring as RingMessage;
use crate::contract::time::Time;
use crate::contract::user::Level;
use crate::cx::Cx;
use crate::mutants::RingMutant;
use crate::purpose::Asked;
use crate::requests::Policy;

/// Epochs remembered; far more than there are deaths while one alert travels.
pub const EPOCHS_MAX: usize = 256;

/// Time an alert may take per member; a tour has at least [`RECOUNT`].
const PER_MEMBER: Duration = Duration::from_millis(400);

/// Time in which the members asked directly must answer.
const RECOUNT: Duration = Duration::from_secs(1);

/// Time in which a named member must accept.
const NAMED: Duration = Duration::from_secs(5);

/// The next member must confirm an alert within an attempt. After that, the alert also goes to the
/// member behind it.
const PASS_ON: Policy = Policy {
    deadline: Duration::from_secs(3),
    attempt: Duration::from_millis(500),
    rounds: 1,
};

/// How long a role without any holder must persist before the lowest member begins a census.
const NOBODY_LEFT: Duration = Duration::from_secs(3);

/// How long after the alert of another manager this node begins no census. Otherwise both would
/// fill the same gap.
const ANOTHER_COUNTS: Duration = Duration::from_secs(1);

/// After so many fruitless censuses in a row, the pause before the next one stops doubling.
const FRUITLESS_MAX: u32 = 2;

/// Time between the turns of the survivors, any of which may begin the census that is due.
const TURN: Duration = Duration::from_millis(500);

/// The alerts this node has seen, and the census it manages.
#[derive(Debug, Default)]
pub(super) struct Census {
    seen: BTreeMap<Epoch, Seen>,
    order: VecDeque<Epoch>,
    running: Option<Running>,
    /// The question that carries the alert of this node's last census to the next member.
    alert: Option<RequestId>,
    last: Option<(Time, Epoch, NodeId)>,
    /// Censuses in a row whose candidates have all refused or disappeared.
    fruitless: u32,
    /// Number of censuses this node has begun because of a shortage and not of a death.
    own: u32,
    /// The shortage that this node, as lowest member, sees, and since when.
    shortage: Option<(Shortage, Time)>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    manager: NodeId,
    /// A role has been changed in this epoch, or is being changed.
    spent: bool,
}

/// The census of which this node is the manager.
#[derive(Debug)]
struct Running {
    epoch: Epoch,
    since: Time,
    tallies: Vec<Tally>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The alert is on its way.
    Touring,
    /// The alert is overdue: the manager asks the members it lacks directly.
    Recounting,
    /// The manager has named a member and waits for its answer.
    Naming {
        shortage: Shortage,
        /// The candidates to name next, in order.
        next: VecDeque<NodeId>,
    },
}

type Alert = (Epoch, Member, u16, Vec<Tally>);

impl Census {
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    pub(super) fn last_alert(&self, now: Time) -> Option<LastAlert> {
        let (at, epoch, manager) = self.last?;
        let ago_ms = now.since(at).as_millis() as u64;
        Some(LastAlert {
            epoch,
            manager,
            ago_ms,
        })
    }

    fn note(&mut self, now: Time, epoch: Epoch, manager: NodeId) {
        self.last = Some((now, epoch, manager));
        if let Some(seen) = self.seen.get_mut(&epoch) {
            seen.manager = seen.manager.min(manager);
            return;
        }
        if self.order.len() >= EPOCHS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        self.order.push_back(epoch);
        let spent = false;
        self.seen.insert(epoch, Seen { manager, spent });
    }

    /// Whether another manager is likely to be counting now.
    fn hears_another(&self, now: Time, me: NodeId) -> bool {
        let lately = |at: Time| now.since(at) < ANOTHER_COUNTS;
        (self.last).is_some_and(|(at, _, manager)| manager != me && lately(at))
    }

    fn is_spent(&self, epoch: Epoch) -> bool {
        self.seen.get(&epoch).is_some_and(|seen| seen.spent)
    }

    fn spend(&mut self, epoch: Epoch) {
        if let Some(seen) = self.seen.get_mut(&epoch) {
            seen.spent = true;
        }
    }

    /// The attempt that follows all those seen for the same death.
    fn next_attempt(&self, about: &Member) -> u32 {
        let same = |epoch: &&Epoch| {
            epoch.about == about.node
                && epoch.incarnation == about.incarnation
                && epoch.cause() == Cause::Death
        };
        let seen = self.seen.keys().filter(same);
        seen.map(|epoch| epoch.attempt + 1).max().unwrap_or(0)
    }
}

impl Ring {
    /// A member has died. The smallest living observer begins the census at once. Every other
    /// member sets a timer, and begins the census itself if no alert arrives: the manager may have
    /// died, too.
    pub(super) fn expect_census(&mut self, cx: &mut Cx<'_>, dead: Member, observers: &[NodeId]) {
        if self.config.mutants.has(RingMutant::NeverCounts) {
            return;
        }
        let me = self.members.me().node;
        let smallest = (observers.iter())
            .filter(|o| self.members.get(**o).is_some_and(|e| e.member.lives()))
            .min();
        if smallest == Some(&me) {
            return self.begin_census(cx, dead, 0);
        }
        if self.census.next_attempt(&dead) == 0 {
            let rank = self.members.living().take_while(|m| m.node != me).count();
            let wait = self.config.census_wait + TURN * rank.min(20) as u32;
            self.timers.arm(Timer::CensusDue(dead.node), cx.now + wait);
        }
    }

    /// No alert has arrived after a death, or this node's census had to wait.
    pub(super) fn on_census_due(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        let Some(dead) = self.members.get(node).map(|entry| entry.member) else {
            return;
        };
        if dead.state == MemberState::Dead {
            let attempt = self.census.next_attempt(&dead);
            self.begin_census(cx, dead, attempt);
        }
    }

    fn begin_census(&mut self, cx: &mut Cx<'_>, about: Member, attempt: u32) {
        let me = self.members.me();
        let epoch = Epoch {
            about: about.node,
            incarnation: about.incarnation,
            attempt,
        };
        if self.census.seen.contains_key(&epoch) {
            return;
        }
        if self.census.running.is_some() || self.census.hears_another(cx.now, me.node) {
            // Censuses run one after the other, so that the second one counts the role that the
            // first one changed.
            let again = cx.now + Duration::from_secs(1);
            if about.state == MemberState::Dead {
                self.timers.arm(Timer::CensusDue(about.node), again);
            }
            return;
        }
        self.census.note(cx.now, epoch, me.node);
        let tallies = vec![self.tally(epoch)];
        self.census.running = Some(Running {
            epoch,
            since: cx.now,
            tallies: tallies.clone(),
            stage: Stage::Touring,
        });
        let count = self.members.count();
        let line = alloc::format!(
            "ring alert epoch={epoch} manager={} members={count}",
            me.node
        );
        cx.out.fact(Level::Info, line);
        if count == 1 {
            return self.finish_census(cx);
        }
        let hops = u16::try_from(2 * count).unwrap_or(u16::MAX);
        let back = cx.now + (PER_MEMBER * count as u32).max(RECOUNT);
        self.timers.arm(Timer::Return, back);
        // The alert of an earlier census that nobody has taken is not offered to further members.
        if let Some(earlier) = self.census.alert.take() {
            cx.cancel(earlier);
        }
        self.census.alert = self.pass_on(cx, (epoch, me, hops, tallies));
    }

    fn tally(&self, epoch: Epoch) -> Tally {
        Tally {
            load: self.load,
            spent: self.census.is_spent(epoch),
            ..tally_of(&self.members.me())
        }
    }

    /// Sends the alert to the next member that takes it. Members that have tallied are skipped,
    /// except the manager, where the tour ends.
    fn pass_on(
        &mut self,
        cx: &mut Cx<'_>,
        (epoch, manager, hops, tallies): Alert,
    ) -> Option<RequestId> {
        let mut to: Vec<Address> = Vec::new();
        for next in self.members.successors(MEMBERS_MAX) {
            let home = next.node == manager.node;
            let visited = tallies.iter().any(|tally| tally.node == next.node);
            let again = self.config.mutants.has(RingMutant::ForgetsEpochs);
            if !home && visited && !again {
                continue;
            }
            to.push(next.address);
            if (home && !again) || to.len() == SUCCESSORS {
                break;
            }
        }
        if to.is_empty() {
            to.push(manager.address);
        }
        if self.config.mutants.has(RingMutant::ListOfOne) {
            to.truncate(1);
        }
        let alert = RingMessage::Alert {
            epoch,
            manager,
            hops,
            tallies,
        };
        let own = self.members.me().address;
        // The entry of an earlier start with another disk may carry this node's own address. A
        // question to it would return to this node.
        let to = to.into_iter().filter(|at| *at != own);
        let to = to.map(Peer::Node).collect();
        let question = Message::Ring(alert);
        // An alert that is lost here does not return to the manager, which then asks the missing
        // members directly.
        cx.ask(Asked::Ring(Purpose::Alert), to, question, PASS_ON)
    }

    pub(super) fn on_alert(&mut self, cx: &mut Cx<'_>, asker: Asker, alert: Alert) {
        let (epoch, manager, hops, mut tallies) = alert;
        if tallies.len() > MEMBERS_MAX
            || usize::from(hops) > 2 * MEMBERS_MAX
            || !manager.is_possible()
            || epoch.attempt > u32::MAX / 2
        {
            self.note_absurd(cx, asker.sender.node);
            let why = "an alert cannot have visited so many".into();
            return cx.out.refuse(asker, Refusal::Invalid(why));
        }
        cx.out.answer(asker, Message::Ring(RingMessage::Heard));
        let me = self.members.me().node;
        if manager.node == me {
            return self.on_returned(cx, epoch, tallies);
        }
        let known = self.census.seen.get(&epoch).map(|seen| seen.manager);
        let forgets = self.config.mutants.has(RingMutant::ForgetsEpochs);
        if known.is_some_and(|known| known <= manager.node) && !forgets {
            return;
        }
        self.census.note(cx.now, epoch, manager.node);
        // A census for this death is under way, so this node need not begin one.
        self.timers.disarm(&Timer::CensusDue(epoch.about));
        let running = self.census.running.as_ref().map(|r| r.epoch);
        if running == Some(epoch) {
            self.census.running = None; // The smaller manager of the two goes on.
        } else if manager.node < me {
            self.give_way(cx.now);
        }
        if hops == 0 && !forgets {
            return;
        }
        let line = alloc::format!("ring passes alert epoch={epoch} on");
        cx.out.fact(Level::Debug, line);
        tallies.push(self.tally(epoch));
        self.switch_by_oneself(epoch);
        let hops = hops.saturating_sub(1);
        let _ = self.pass_on(cx, (epoch, manager, hops, tallies));
    }

    /// Two managers count at once, for different deaths. The smaller one goes on. This one stops
    /// and counts again later, when it knows which role the other has changed. A census that has
    /// already named a member goes on.
    fn give_way(&mut self, now: Time) {
        let touring = |r: &&Running| matches!(r.stage, Stage::Touring | Stage::Recounting);
        let Some(epoch) = self
            .census
            .running
            .as_ref()
            .filter(touring)
            .map(|r| r.epoch)
        else {
            return;
        };
        self.census.running = None;
        self.timers.disarm(&Timer::Return);
        self.timers.disarm(&Timer::Recount);
        if epoch.cause() == Cause::Death {
            let again = now + 2 * ANOTHER_COUNTS;
            self.timers.arm(Timer::CensusDue(epoch.about), again);
        }
    }

    fn on_returned(&mut self, cx: &mut Cx<'_>, epoch: Epoch, tallies: Vec<Tally>) {
        let Some(running) = &mut self.census.running else {
            return;
        };
        if running.epoch != epoch || !matches!(running.stage, Stage::Touring) {
            return;
        }
        running.add(tallies);
        self.finish_census(cx);
    }

    pub(super) fn on_return_due(&mut self, cx: &mut Cx<'_>) {
        let Some(running) = &mut self.census.running else {
            return;
        };
        if self.config.mutants.has(RingMutant::ListOfOne) {
            return;
        }
        let epoch = running.epoch;
        running.stage = Stage::Recounting;
        let tallied: Vec<NodeId> = running.tallies.iter().map(|t| t.node).collect();
        let missing: Vec<Member> = (self.members.others())
            .filter(|m| !tallied.contains(&m.node))
            .copied()
            .collect();
        let line = alloc::format!("ring alert epoch={epoch} is not back: asking directly");
        cx.out.fact(Level::Debug, line);
        self.timers.arm(Timer::Recount, cx.now + RECOUNT);
        let manager = self.members.me().node;
        for member in missing {
            let question = (RingMessage::Count { epoch, manager }, RECOUNT);
            let to = vec![member.address];
            self.ask(cx, Purpose::Count, to, question);
        }
    }

    pub(super) fn on_count(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        epoch: Epoch,
        manager: NodeId,
    ) {
        if manager != asker.sender.node {
            self.note_absurd(cx, asker.sender.node);
            let why = "only the manager counts".into();
            return cx.out.refuse(asker, Refusal::Invalid(why));
        }
        self.census.note(cx.now, epoch, manager);
        self.timers.disarm(&Timer::CensusDue(epoch.about));
        let tally = self.tally(epoch);
        cx.out
            .answer(asker, Message::Ring(RingMessage::Counted { tally }));
    }

    pub(super) fn on_counted(&mut self, cx: &mut Cx<'_>, tally: Tally) {
        let living = self.members.count();
        let Some(running) = &mut self.census.running else {
            return;
        };
        running.add(vec![tally]);
        if matches!(running.stage, Stage::Recounting) && running.tallies.len() >= living {
            self.finish_census(cx);
        }
    }

    /// Counts the tallies, and names a member if a role is short.
    pub(super) fn finish_census(&mut self, cx: &mut Cx<'_>) {
        self.timers.disarm(&Timer::Return);
        self.timers.disarm(&Timer::Recount);
        let Some(running) = &mut self.census.running else {
            return;
        };
        let (epoch, took) = (running.epoch, cx.now.since(running.since));
        let mut tallies = running.tallies.clone();
        let spent = tallies.iter().any(|tally| tally.spent);
        // A member that was not reached counts in the role that the table gives it. Without its
        // traits it cannot be named.
        let counts = |m: &&Member| {
            let lives = m.lives() || self.config.mutants.has(RingMutant::CountsTheDead);
            lives && !m.traits.ends_soon()
        };
        let unreached = (self.members.all().filter(counts))
            .filter(|m| tallies.iter().all(|tally| tally.node != m.node))
            .map(unreached);
        let unreached: Vec<Tally> = unreached.collect();
        let reached = tallies.len();
        tallies.extend(unreached);
        let (data, routers) = balance::count(&tallies);
        let line = alloc::format!(
            "ring census epoch={epoch} data={data} routers={routers} reached={reached} took_ms={}",
            took.as_millis()
        );
        cx.out.fact(Level::Info, line);
        let shortage =
            // A member that has tallied this epoch as spent has already changed a role for it.
            balance::shortage(data, routers).filter(|s| !spent && self.may_switch(cx.now, *s));
        let named = shortage.map(|s| (s, balance::candidates(s, &tallies)));
        match (named, &mut self.census.running) {
            (Some((shortage, named)), Some(running)) if !named.is_empty() => {
                let next = named.into();
                running.stage = Stage::Naming { shortage, next };
                self.name_next(cx);
            }
            (None | Some(_), _) => self.census.running = None,
        }
    }
}

impl Running {
    fn add(&mut self, tallies: Vec<Tally>) {
        for tally in tallies.into_iter().take(MEMBERS_MAX) {
            if self.tallies.iter().all(|known| known.node != tally.node) {
                self.tallies.push(tally);
            }
        }
    }
}

/// A member that is changing its role counts in the role it will have.
fn tally_of(member: &Member) -> Tally {
    let changes = member.traits.has(Traits::AUTO) && member.traits.has(Traits::DRAINING);
    let role = match member.role {
        Role::Data if changes => Role::Router,
        Role::Router if changes => Role::Data,
        role @ (Role::Data | Role::Router | Role::Dns) => role,
    };
    Tally {
        node: member.node,
        incarnation: member.incarnation,
        role,
        load: 0,
        traits: member.traits,
        spent: false,
    }
}

fn unreached(member: &Member) -> Tally {
    Tally {
        traits: Traits::default(),
        ..tally_of(member)
    }
}
