//! Faults: what breaks, when, and how it is mended.

use std::time::Duration;

use roles::contract::id::{Incarnation, SongId};
use roles::contract::job::Lane;
use roles::contract::node::{Event, Identity};
use roles::contract::rng::Rng;
use roles::contract::time::Time;

use crate::climate::Climate;
use crate::disk_faults::{Ailing, Ill};
use crate::resident::{Kind, Place, State};
use crate::ring_faults::Snares;
use crate::world::{What, World};

/// Something that breaks, or is mended.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// A node starts, unless it lives already.
    Start(Place),
    /// A frozen node goes on.
    Thaw(Place),
    /// A full disk has room again.
    Room(Place),
    /// Envelopes travel again from the first node to the second.
    Mend(Place, Place),
    /// A node is killed, if it is still in this start.
    Strike(Place, u64),
    /// A node is killed, if it lives.
    Kill(Place),
    /// A node is frozen.
    Hold(Place),
    /// Envelopes travel no longer from the first node to the second, until the given time.
    Sever(Place, Place, Time),
    /// The next crash of a server.
    Crash,
    /// The next freeze.
    Freeze,
    /// The next broken connection.
    Reset,
    /// The next cut between nodes.
    Cut,
    /// The next full disk.
    DiskFull,
    /// The next stop of a server.
    Stop,
    /// The next altered cache of a client.
    Cache,
    /// The next crash of a client.
    ClientCrash,
    /// The next death of two ring neighbours.
    Neighbours,
    /// The next death of a census manager.
    Manager,
    /// The next death of a node that a census names.
    Named,
    /// The next split.
    Split,
    /// The next link that flaps.
    FlapLink,
    /// The next server that flaps.
    FlapNode,
    /// The next event loop that stalls.
    Lag,
    /// The next restart under an earlier incarnation.
    RollBack,
    /// The next death of all DNS nodes.
    LoseNames,
    /// The next nonsense.
    Nonsense,
    /// The next strangers.
    Strangers,
    /// The next disk fault of this kind.
    DiskFaults(Ill),
    /// A failing or slow disk is well again.
    Recover(Place),
}

/// How a process is ended by force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The process is killed: its peers see their connections close.
    Kill,
    /// The machine loses power: its peers see nothing, and what was not synced is lost.
    PowerCut,
}

/// What is to break, beyond what is planned in the event queue.
#[derive(Debug)]
pub struct Faults {
    /// Which fault happens when, and to which node.
    pub(crate) rng: Rng,
    /// Whether the climate planned no fault when the world was made.
    calm: bool,
    /// The next server that orders a commit is killed while that job runs.
    ambush: bool,
    /// Kills that wait for a moment of the ring's own, such as the next census.
    pub snares: Snares,
    /// Faults are over: what was planned before the healing does nothing.
    healed: bool,
}

impl Faults {
    /// The faults of a world with this climate.
    pub(crate) fn new(rng: Rng, climate: &Climate) -> Faults {
        Faults {
            rng,
            calm: climate.is_calm(),
            ambush: false,
            snares: Snares::default(),
            healed: false,
        }
    }

    /// Whether no fault was planned when the world was made.
    pub(crate) fn is_calm(&self) -> bool {
        self.calm
    }

    fn heal(&mut self) {
        self.ambush = false;
        self.snares = Snares::default();
        self.healed = true;
    }
}

impl World {
    pub(crate) fn plan_faults(&mut self) {
        let kinds = [
            Fault::Crash,
            Fault::Freeze,
            Fault::Reset,
            Fault::Cut,
            Fault::DiskFull,
            Fault::Stop,
            Fault::Cache,
            Fault::ClientCrash,
            Fault::Neighbours,
            Fault::Manager,
            Fault::Named,
            Fault::Split,
            Fault::FlapLink,
            Fault::FlapNode,
            Fault::Lag,
            Fault::RollBack,
            Fault::LoseNames,
            Fault::Nonsense,
            Fault::Strangers,
        ];
        let ills = Ill::ALL.map(Fault::DiskFaults);
        for kind in kinds.into_iter().chain(ills) {
            self.plan_fault(kind);
        }
    }

    fn plan_fault(&mut self, kind: Fault) {
        if let Some(mean) = every(&self.climate, kind) {
            let wait = mean / 4 + self.faults.rng.within(mean * 3 / 2);
            self.agenda.plan(self.now + wait, What::Fault(kind));
        }
    }

    pub(crate) fn on_fault(&mut self, fault: Fault) {
        let mends = matches!(
            fault,
            Fault::Start(_) | Fault::Thaw(_) | Fault::Room(_) | Fault::Mend(..) | Fault::Recover(_)
        );
        let planned = matches!(
            fault,
            Fault::Strike(..) | Fault::Kill(_) | Fault::Hold(_) | Fault::Sever(..)
        );
        let over = if planned {
            self.faults.healed
        } else {
            every(&self.climate, fault).is_none()
        };
        if !mends && over {
            return; // Planned before everything was mended.
        }
        match fault {
            Fault::Start(place) => return self.start(place),
            Fault::Thaw(place) => return self.thaw(place),
            Fault::Room(place) => return self.fill_disk(place, false),
            Fault::Mend(a, b) => return self.mend(a, b),
            Fault::Strike(place, start) => return self.strike(place, start),
            Fault::Kill(place) => return self.crash(place, Death::Kill),
            Fault::Hold(place) => return self.freeze(place),
            Fault::Sever(a, b, until) => return self.sever(a, b, until),
            Fault::Crash => self.crash_somebody(),
            Fault::Freeze => self.freeze_somebody(),
            Fault::Reset => self.reset_something(),
            Fault::Cut => self.cut_something(),
            Fault::DiskFull => self.fill_some_disk(),
            Fault::Stop => self.stop_somebody(),
            Fault::Cache => self.spoil_some_cache(),
            Fault::ClientCrash => self.crash_some_client(),
            Fault::Neighbours => self.kill_neighbours(),
            Fault::Manager => self.faults.snares.manager = true,
            Fault::Named => self.faults.snares.named = true,
            Fault::Split => self.split(),
            Fault::FlapLink => self.flap_link(),
            Fault::FlapNode => self.flap_node(),
            Fault::Lag => self.lag(),
            Fault::RollBack => self.roll_back(),
            Fault::LoseNames => self.lose_names(),
            Fault::Nonsense => self.talk_nonsense(),
            Fault::Strangers => self.strangers_come(),
            Fault::DiskFaults(ill) => self.on_ill(ill),
            Fault::Recover(place) => {
                self.nodes[place].ailing = Ailing::default();
                return;
            }
        }
        self.plan_fault(fault);
    }

    pub(crate) fn some(&mut self, wanted: impl Fn(&World, Place) -> bool) -> Option<Place> {
        let all: Vec<Place> = (0..self.nodes.len())
            .filter(|place| wanted(self, *place))
            .collect();
        self.faults.rng.pick(&all).copied()
    }

    fn crash_somebody(&mut self) {
        // Random moments rarely hit a commit, so a third of the crashes wait for one.
        if self.faults.rng.happens(1, 3) {
            self.faults.ambush = true;
            return;
        }
        let Some(place) = self.some(|w, p| w.is_server(p) && w.nodes[p].lives()) else {
            return;
        };
        self.crash_for_a_while(place);
    }

    /// Kills the next server that orders a commit, at a random moment of that job.
    pub(crate) fn spring(&mut self, place: Place, takes: Duration) {
        if self.faults.ambush && self.is_server(place) {
            self.faults.ambush = false;
            let start = self.nodes[place].start;
            let at = self.now + self.faults.rng.within(takes);
            self.agenda
                .plan(at, What::Fault(Fault::Strike(place, start)));
        }
    }

    fn strike(&mut self, place: Place, start: u64) {
        if self.nodes[place].start == start && self.nodes[place].lives() {
            self.crash_for_a_while(place);
        }
    }

    pub(crate) fn crash_for_a_while(&mut self, place: Place) {
        let power = self.climate.power_cuts && self.faults.rng.happens(1, 2);
        let death = if power { Death::PowerCut } else { Death::Kill };
        let percent = self.climate.faults.wipe_percent;
        let wipe = self.faults.rng.happens(percent, 100);
        self.crash(place, death);
        if wipe {
            self.wipe(place);
        }
        let down = self.some_while(Duration::from_millis(100), Duration::from_secs(90));
        let down = down + self.climate.faults.down_shortest;
        self.agenda
            .plan(self.now + down, What::Fault(Fault::Start(place)));
    }

    /// A random time from a geometric scale, so that short times are as likely as long ones.
    pub(crate) fn some_while(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let rng = &mut self.faults.rng;
        let doublings = rng.below(12) as u32;
        (shortest * (1 << doublings)).min(longest) * 3 / 4 + rng.within(shortest)
    }

    /// Ends a process by force.
    pub fn crash(&mut self, place: Place, death: Death) {
        if !self.nodes[place].lives() {
            return;
        }
        self.seen.crashes += 1;
        if self.is_member(place) {
            let Identity {
                node, incarnation, ..
            } = self.nodes[place].identity;
            let heard = death == Death::Kill;
            self.figures.on_death(self.now, (node, incarnation), heard);
        }
        self.note(0xc4a5, place as u64);
        self.finish_unheard(place);
        if self.is_server(place) && death == Death::PowerCut {
            self.seen.power_cuts += 1;
            self.lose_power(place);
        }
        let state = match death {
            Death::Kill => State::Down,
            Death::PowerCut => State::Dark,
        };
        self.end_process(place, state, death == Death::Kill);
    }

    /// The write job that runs at the moment of a crash may have been done, although nobody gets
    /// its reply.
    fn finish_unheard(&mut self, place: Place) {
        let writes = |(job, running): (&_, &crate::resident::Running)| {
            let waits = running.parked || running.work.lane() != Lane::Write;
            (!waits).then_some(*job)
        };
        let first = self.nodes[place].jobs.iter().find_map(writes);
        let done = self.faults.rng.happens(1, 2);
        if let (Some(job), true) = (first, done)
            && let Some(running) = self.nodes[place].jobs.remove(&job)
        {
            self.seen.jobs_orphaned += 1;
            self.do_job(place, running.work);
        }
    }

    fn lose_power(&mut self, place: Place) {
        let Some(disk) = &mut self.nodes[place].disk else {
            return;
        };
        let before: Vec<_> = disk.songs().collect();
        let buried: Vec<_> = disk.buried().collect();
        disk.lose_power();
        let risen = buried.iter().find(|song| !disk.is_buried(**song));
        if let Some(song) = risen {
            let text = format!("{song:?} was removed for good and may come back");
            return self.violated("S5 a removal lasts", text);
        }
        let lost = before
            .iter()
            .find(|song| !disk.songs().any(|s| s == **song));
        if let Some(song) = lost {
            let text = format!("{song:?} was committed and is gone");
            self.violated("S2 a commit lasts", text);
        }
    }

    /// The disk of a dead node is lost: the next start has a new node id and an empty disk.
    pub fn wipe(&mut self, place: Place) {
        debug_assert!(!self.nodes[place].lives());
        self.seen.wipes += 1;
        let node = self.fresh_node();
        let disk = self.fresh_disk(node);
        let slot = &mut self.nodes[place];
        slot.identity.node = node;
        slot.identity.incarnation = Incarnation(0);
        let old = slot.disk.replace(disk);
        if let Some(old) = old {
            self.checks.on_wiped(old.id);
            let songs: Vec<SongId> = old.songs().collect();
            let buried: Vec<SongId> = old.buried().collect();
            self.keeping.on_forgotten(old.id, &buried);
            self.on_loss(place, &songs, true);
        }
    }

    /// A node that has not started takes another node's id, as on a machine with a copied disk.
    pub fn impersonate(&mut self, place: Place, whose: Place) {
        debug_assert!(!self.nodes[place].lives());
        let node = self.nodes[whose].identity.node;
        self.nodes[place].identity.node = node;
        self.nodes[place].disk = Some(self.fresh_disk(node));
    }

    fn freeze_somebody(&mut self) {
        let Some(place) = self.some(|w, p| w.nodes[p].state == State::Up && w.is_server(p)) else {
            return;
        };
        self.freeze(place);
        let longest = self.climate.faults.freeze_longest;
        let span = self.some_while(Duration::from_millis(50), longest);
        self.agenda
            .plan(self.now + span, What::Fault(Fault::Thaw(place)));
    }

    /// A node is frozen: it handles nothing until it thaws.
    pub fn freeze(&mut self, place: Place) {
        if self.nodes[place].state == State::Up {
            self.seen.freezes += 1;
            self.note(0xf4ee, place as u64);
            self.nodes[place].state = State::Frozen;
            self.ring.on_freeze(self.now, place);
            self.keeping.on_outage(self.now, place);
            self.review_paths();
        }
    }

    /// A frozen node goes on: its timers are overdue, and all that arrived meanwhile is handled
    /// now.
    pub fn thaw(&mut self, place: Place) {
        if self.nodes[place].state != State::Frozen {
            return;
        }
        self.nodes[place].state = State::Up;
        let start = self.nodes[place].start;
        self.seen.thaws += 1;
        self.ring.on_thaw(self.now, place, start);
        self.keeping.on_running(self.now, place);
        for what in std::mem::take(&mut self.nodes[place].backlog) {
            self.agenda.plan(self.now, what);
        }
        self.rearm(place);
        self.review_paths();
    }

    fn reset_something(&mut self) {
        let open = self.network.open_conns();
        if let Some(id) = self.faults.rng.pick(&open).copied() {
            self.seen.resets += 1;
            self.reset(id);
        }
    }

    /// Cuts one node from all others or from one, or two random halves; one way or both.
    fn cut_something(&mut self) {
        let span = self.some_while(Duration::from_millis(200), Duration::from_secs(40));
        let count = self.nodes.len();
        let side: Vec<bool> = match self.faults.rng.below(3) {
            0 => (0..count).map(|_| self.faults.rng.happens(1, 2)).collect(),
            _ => {
                let one = self.faults.rng.below(count as u64) as usize;
                (0..count).map(|place| place == one).collect()
            }
        };
        let both = self.faults.rng.happens(2, 3);
        let lonely = self.faults.rng.happens(1, 3);
        let other = self.faults.rng.below(count as u64) as usize;
        let mut any = false;
        for a in (0..count).filter(|a| side[*a]) {
            for b in (0..count).filter(|b| !side[*b] && (!lonely || *b == other)) {
                any = true;
                self.cut_for(a, b, span);
                if both {
                    self.cut_for(b, a, span);
                }
            }
        }
        self.seen.cuts += u64::from(any);
        self.review_paths();
    }

    /// Nothing travels from `a` to `b` until as many mends have followed; see [`World::cut_both`].
    fn cut(&mut self, a: Place, b: Place) {
        self.network.cut(a, b);
        let ends = [a, b].map(|place| (place, self.nodes[place].start));
        self.ring.on_cut(self.now, ends);
    }

    pub(crate) fn cut_for(&mut self, a: Place, b: Place, span: Duration) {
        self.cut(a, b);
        self.agenda
            .plan(self.now + span, What::Fault(Fault::Mend(a, b)));
    }

    fn sever(&mut self, a: Place, b: Place, until: Time) {
        self.cut_for(a, b, until.since(self.now));
        self.seen.cuts += 1;
        self.review_paths();
    }

    /// Nothing travels from `a` to `b` from here on.
    pub fn cut_one_way(&mut self, a: Place, b: Place) {
        self.seen.cuts += 1;
        self.cut(a, b);
        self.review_paths();
    }

    /// Nothing travels between `a` and `b` from here on.
    pub fn cut_both(&mut self, a: Place, b: Place) {
        self.cut(b, a);
        self.cut_one_way(a, b);
    }

    /// Ends one cut from `a` to `b`; envelopes travel again when no other cut is left.
    pub fn mend_one_way(&mut self, a: Place, b: Place) {
        self.mend(a, b);
    }

    /// Ends one cut in each direction between `a` and `b`.
    pub fn mend_both(&mut self, a: Place, b: Place) {
        self.mend(a, b);
        self.mend(b, a);
    }

    // Cuts overlap, so they are counted: a link is mended with the last of them.
    fn mend(&mut self, a: Place, b: Place) {
        if self.network.mend(a, b) {
            let ends = [a, b].map(|place| (place, self.nodes[place].start));
            self.ring.on_cut(self.now, ends);
            self.review_paths();
        }
    }

    fn fill_some_disk(&mut self) {
        let holds = |w: &World, p: Place| w.nodes[p].disk.as_ref().is_some_and(|d| !d.full);
        if let Some(place) = self.some(holds) {
            self.fill_disk(place, true);
            let span = self.some_while(Duration::from_millis(200), Duration::from_secs(30));
            self.agenda
                .plan(self.now + span, What::Fault(Fault::Room(place)));
        }
    }

    /// Takes all room from a disk, or gives it back.
    pub fn fill_disk(&mut self, place: Place, full: bool) {
        if let Some(disk) = &mut self.nodes[place].disk {
            disk.full = full;
            self.seen.disks_full += u64::from(full);
        }
    }

    fn stop_somebody(&mut self) {
        if let Some(place) = self.some(|w, p| w.is_server(p) && w.nodes[p].state == State::Up) {
            self.stop(place);
            let down = self.some_while(Duration::from_secs(3), Duration::from_secs(40));
            self.agenda
                .plan(self.now + down, What::Fault(Fault::Start(place)));
        }
    }

    /// A server is asked to stop in an orderly way.
    pub fn stop(&mut self, place: Place) {
        self.seen.stops += 1;
        self.note_stop(place);
        self.hand(place, Event::Stop);
    }

    fn spoil_some_cache(&mut self) {
        let caches = |w: &World, p: Place| w.nodes[p].machine.cached() > 0;
        if let Some(place) = self.some(caches) {
            let spoilt = self.nodes[place].machine.spoil(&mut self.faults.rng);
            self.seen.caches_spoilt += u64::from(spoilt);
        }
    }

    fn crash_some_client(&mut self) {
        let up = |w: &World, p: Place| w.nodes[p].kind == Kind::Client && w.nodes[p].lives();
        if let Some(place) = self.some(up) {
            self.seen.client_crashes += 1;
            self.crash(place, Death::Kill);
            let down = self.some_while(Duration::from_millis(100), Duration::from_secs(5));
            self.agenda
                .plan(self.now + down, What::Fault(Fault::Start(place)));
        }
    }

    /// Mends everything, starts every node, and ends all faults.
    pub fn heal(&mut self) {
        self.climate.faults = Default::default();
        self.faults.heal();
        self.lies.end();
        self.ring.on_healed(self.now);
        (self.climate.busy_permille, self.climate.broken_permille) = (0, 0);
        self.network.mend_all();
        for place in 0..self.nodes.len() {
            self.fill_disk(place, false);
            self.nodes[place].ailing = Ailing::default();
            self.thaw(place);
            self.hurry_out(place);
            if !self.nodes[place].lives() {
                self.start(place);
            }
            // A node that was stopping when it froze ends only after its thaw. A node under an
            // incarnation that was used before ends at each start, until it reaches a fresh one.
            for seconds in [3, 6, 9, 12] {
                let later = self.now + Duration::from_secs(seconds);
                self.agenda.plan(later, What::Fault(Fault::Start(place)));
            }
        }
        self.review_paths();
    }

    pub(crate) fn is_server(&self, place: Place) -> bool {
        matches!(self.nodes[place].kind, Kind::Server(_))
    }
}

/// Mean time between two faults of a kind; none if the kind is off or is planned one by one.
fn every(climate: &Climate, kind: Fault) -> Option<Duration> {
    let faults = &climate.faults;
    match kind {
        Fault::Start(_)
        | Fault::Thaw(_)
        | Fault::Room(_)
        | Fault::Mend(..)
        | Fault::Strike(..)
        | Fault::Kill(_)
        | Fault::Hold(_)
        | Fault::Sever(..)
        | Fault::Recover(_) => None,
        Fault::Crash => faults.crash,
        Fault::Freeze => faults.freeze,
        Fault::Reset => faults.reset,
        Fault::Cut => faults.cut,
        Fault::DiskFull => faults.disk_full,
        Fault::Stop => faults.stop,
        Fault::Cache => faults.cache,
        Fault::ClientCrash => faults.client_crash,
        Fault::Neighbours => faults.neighbours,
        Fault::Manager => faults.manager,
        Fault::Named => faults.named,
        Fault::Split => faults.split,
        Fault::FlapLink => faults.flap_link,
        Fault::FlapNode => faults.flap_node,
        Fault::Lag => faults.lag,
        Fault::RollBack => faults.roll_back,
        Fault::LoseNames => faults.lose_names,
        Fault::Nonsense => faults.nonsense,
        Fault::Strangers => faults.strangers,
        Fault::DiskFaults(ill) => faults.decay.every(ill),
    }
}
