//! Faults of disks: lost, rotten, restored from the past, failing, slow. And worlds about copies.
//!
//! In worlds about copies no more than two disks are lost within one repair window. There the
//! invariant is exact: no acknowledged song is ever lost.

use std::time::Duration;

use roles::contract::id::SongId;
use roles::contract::job::FragmentId;
use roles::contract::limits::COPIES;
use roles::contract::rng::Rng;
use roles::contract::time::Time;
use roles::data::anti_entropy;

use crate::climate::{Climate, Faults};
use crate::faults::{Death, Fault};
use crate::resident::Place;
use crate::world::{What, World};

/// How copies are kept in a world, and how often users remove songs.
#[derive(Clone, Debug, Default)]
pub struct Upkeep {
    /// Settings of every data node's anti-entropy, repair and scrub.
    pub anti_entropy: anti_entropy::Config,
    /// Data nodes hand their songs over when they are stopped.
    pub drain: bool,
    /// So many of a hundred user actions remove a song.
    pub removals: u64,
    /// Disks are lost so far apart that repair can keep every song.
    pub spaced: bool,
    /// How long a removed song can be taken back; zero: it cannot.
    pub trash: Duration,
}

/// Mean time between two disk faults of each kind; `None`: that kind does not happen.
#[derive(Clone, Debug, Default)]
pub struct DiskFaults {
    /// A data node's disk is lost; the node starts again with a new id and an empty disk.
    pub lose: Option<Duration>,
    /// A fragment is altered.
    pub rot: Option<Duration>,
    /// The tables of a song are altered.
    pub alter: Option<Duration>,
    /// The root of a table is spoilt: a library cannot be read any more, or only song by song.
    pub wreck: Option<Duration>,
    /// A disk goes back to what it was some starts ago.
    pub age: Option<Duration>,
    /// Every job that touches songs fails, for a while.
    pub fail: Option<Duration>,
    /// A disk takes a second more for each job, for a while.
    pub slow: Option<Duration>,
    /// A sender with the cluster key uploads a song whose content does not match its id.
    pub forge: Option<Duration>,
}

/// A kind of disk fault.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Ill {
    Lose,
    Rot,
    Alter,
    Wreck,
    Age,
    Fail,
    Slow,
    Forge,
}

impl Ill {
    /// Every kind of disk fault.
    pub const ALL: [Ill; 8] = [
        Ill::Lose,
        Ill::Rot,
        Ill::Age,
        Ill::Fail,
        Ill::Slow,
        Ill::Forge,
        Ill::Alter,
        Ill::Wreck,
    ];
}

impl DiskFaults {
    pub(crate) fn every(&self, ill: Ill) -> Option<Duration> {
        match ill {
            Ill::Lose => self.lose,
            Ill::Rot => self.rot,
            Ill::Alter => self.alter,
            Ill::Wreck => self.wreck,
            Ill::Age => self.age,
            Ill::Fail => self.fail,
            Ill::Slow => self.slow,
            Ill::Forge => self.forge,
        }
    }

    /// Whether no kind of disk fault happens.
    pub fn is_none(&self) -> bool {
        Ill::ALL.iter().all(|ill| self.every(*ill).is_none())
    }
}

impl Upkeep {
    /// Settings for a world that lasts minutes: repair and scrub wait seconds.
    pub(crate) fn hasty(rng: &mut Rng) -> Upkeep {
        Upkeep {
            anti_entropy: anti_entropy::Config {
                every: Duration::from_secs(20 + rng.below(41)),
                grace: Duration::from_secs(10 + rng.below(20)),
                scrub: Duration::from_secs(40),
                ..anti_entropy::Config::default()
            },
            drain: rng.happens(1, 2),
            removals: [0, 2, 5, 10][rng.below(4) as usize],
            spaced: false,
            trash: Duration::ZERO,
        }
    }

    /// The repair window: a disk that is lost within this time after another may have held the
    /// copies that were to replace the first one's.
    pub(crate) fn window(&self) -> Duration {
        self.anti_entropy.grace + REPAIR_WITHIN + DOWN_LONGEST
    }
}

/// Missing copies are made within this time, once no dead node is waited for any longer.
pub const REPAIR_WITHIN: Duration = Duration::from_secs(60);

/// Longest time for which a crashed node stays down in a world about copies.
const DOWN_LONGEST: Duration = Duration::from_secs(80);

/// No trash.
const ZERO: Duration = Duration::ZERO;

/// Time between two questions of a forger.
const FORGED_AFTER: Duration = Duration::from_secs(2);

impl Climate {
    /// A small world about copies. Data nodes come late, lose their disks, hand over and restart;
    /// disks rot, go back in time, fail and fill up; users remove songs. Every sixth has no faults.
    pub fn of_copies(seed: u64, rng: &mut Rng) -> Climate {
        let mut pick = |from: u64, to: u64| from + rng.below(to - from + 1);
        let mut climate = Climate {
            data: pick(3, 6) as usize,
            clients: pick(1, 2) as usize,
            tunes: pick(8, 40) as usize,
            fragments_max: pick(1, 6),
            start_spread: Duration::from_secs(pick(0, 3) * 20),
            latency: Duration::from_micros(pick(200, 10_000)),
            job: Duration::from_micros(pick(20, 5_000)),
            act_every: Duration::from_millis(pick(400, 2_500)),
            codec: false,
            ..Climate::calm()
        };
        climate.upkeep = Upkeep {
            spaced: true,
            removals: pick(0, 8),
            // Drawn from no generator, so that the other parameters of a seed stay what they are.
            trash: [ZERO, Duration::from_secs(20), Duration::from_secs(45)][seed as usize % 3],
            ..Upkeep::hasty(rng)
        };
        if !climate.upkeep.trash.is_zero() {
            climate.upkeep.removals = climate.upkeep.removals * 2 + 5;
        }
        climate.power_cuts = rng.happens(1, 2);
        if !seed.is_multiple_of(6) {
            climate.wither(rng);
        }
        climate
    }

    fn wither(&mut self, rng: &mut Rng) {
        let mut some = |share: u64, seconds: u64| {
            let every = Duration::from_secs(seconds / 2) + rng.within(Duration::from_secs(seconds));
            rng.happens(share, 100).then_some(every)
        };
        self.faults = Faults {
            crash: some(50, 40),
            stop: some(40, 60),
            disk_full: some(30, 40),
            decay: DiskFaults {
                lose: some(60, 60),
                rot: some(50, 10),
                age: some(25, 90),
                fail: some(25, 60),
                slow: some(25, 60),
                forge: some(25, 30),
                alter: some(40, 15),
                wreck: some(30, 60),
            },
            ..Faults::default()
        };
    }

    /// Disk faults of the general world, beside all other faults.
    pub(crate) fn decay(&mut self, rng: &mut Rng) {
        let mut some = |share: u64| {
            let every = Duration::from_secs(5) + rng.within(Duration::from_secs(40));
            rng.happens(share, 100).then_some(every)
        };
        self.faults.decay = DiskFaults {
            lose: None, // A share of all crashes takes the disk along.
            rot: some(25),
            age: some(10),
            fail: some(15),
            slow: some(15),
            forge: some(10),
            alter: some(20),
            wreck: some(10),
        };
    }
}

impl World {
    /// The small world of a seed that is about copies.
    pub fn of_copies(seed: u64) -> World {
        let mut rng = Rng::from_seed(seed);
        let climate = Climate::of_copies(seed, &mut rng);
        World::new(rng.bits(), climate)
    }

    pub(crate) fn on_ill(&mut self, ill: Ill) {
        match ill {
            Ill::Lose => self.lose_somebody(),
            Ill::Rot => self.rot_something(),
            Ill::Alter => self.alter_some_tables(),
            Ill::Wreck => self.wreck_some_library(),
            Ill::Age => self.age_some_disk(),
            Ill::Fail => self.fail_some_disk(),
            Ill::Slow => self.slow_some_disk(),
            Ill::Forge => self.forge_something(),
        }
    }

    fn some_data_node(&mut self) -> Option<Place> {
        self.some(|w, p| w.nodes[p].lives() && w.keeps_songs(p))
    }

    /// Whether the node is a data node with at least one song.
    fn keeps_songs(&self, place: Place) -> bool {
        let slot = &self.nodes[place];
        let disk = slot.disk.as_ref();
        slot.role() == Some(roles::contract::record::Role::Data)
            && disk.is_some_and(|disk| disk.songs().next().is_some())
    }

    /// Whether another disk may be lost without a loss of songs.
    fn may_lose(&mut self) -> bool {
        let window = self.climate.upkeep.window();
        let since = |at: &Time| self.now.since(*at) < window;
        let lately = self.keeping.lost.iter().filter(|at| since(at)).count();
        !self.climate.upkeep.spaced || lately + 1 < COPIES
    }

    fn lose_somebody(&mut self) {
        if !self.may_lose() {
            return;
        }
        let Some(place) = self.some_data_node() else {
            return;
        };
        self.seen.disks_lost += 1;
        let death = [Death::Kill, Death::PowerCut][self.faults.rng.below(2) as usize];
        self.crash(place, death);
        self.wipe(place);
        let down = self.some_while(Duration::from_millis(100), Duration::from_secs(60));
        self.agenda
            .plan(self.now + down, What::Fault(Fault::Start(place)));
    }

    /// A random song of a random data node.
    fn some_copy(&mut self) -> Option<(Place, SongId)> {
        let place = self.some_data_node()?;
        let disk = self.nodes[place].disk.as_ref();
        let songs: Vec<SongId> = disk.into_iter().flat_map(|disk| disk.songs()).collect();
        Some((place, *self.faults.rng.pick(&songs)?))
    }

    fn rot_something(&mut self) {
        let Some((place, song)) = self.some_copy() else {
            return;
        };
        let Some(tune) = self.music.by_id(song) else {
            return;
        };
        let index = self
            .faults
            .rng
            .below(u64::from(tune.manifest.song.fragments)) as u32;
        // The last good copy of a fragment is spared, because no node could heal it.
        let elsewhere = (self.nodes.iter().enumerate())
            .filter(|(other, _)| *other != place)
            .filter_map(|(_, slot)| slot.disk.as_ref()?.unsound(song))
            .any(|unsound| !unsound.contains(&index));
        let Some(disk) = self.nodes[place].disk.as_mut().filter(|_| elsewhere) else {
            return;
        };
        if disk.rot(FragmentId { song, index }) {
            self.seen.rots += 1;
            self.on_loss(place, &[song], false);
        }
    }

    fn alter_some_tables(&mut self) {
        let Some((place, song)) = self.some_copy() else {
            return;
        };
        // The last good copy is spared, because no node could heal it.
        let others = (0..self.nodes.len()).filter(|other| *other != place);
        if !self.is_whole_among(others, song) {
            return;
        }
        let disk = self.nodes[place].disk.as_mut();
        if disk.is_some_and(|disk| disk.alter(song)) {
            self.seen.tables_altered += 1;
            self.on_loss(place, &[song], false);
        }
    }

    /// Spoils the root of a table of a library while its node lives. Sometimes its songs can still be
    /// taken out one by one, sometimes nothing can: then a disk is lost.
    fn wreck_some_library(&mut self) {
        let bare = self.faults.rng.happens(1, 2);
        if bare && !self.may_lose() {
            return;
        }
        if let Some(place) = self.some_data_node() {
            self.wreck(place, bare);
        }
    }

    /// Spoils the root of a table; `bare`: nothing can be salvaged.
    pub fn wreck(&mut self, place: Place, bare: bool) {
        let Some(disk) = &mut self.nodes[place].disk else {
            return;
        };
        if !disk.wreck(bare) {
            return;
        }
        self.seen.libraries_wrecked += 1;
        let id = disk.id;
        let songs: Vec<SongId> = disk.songs().collect();
        let buried: Vec<SongId> = disk.buried().collect();
        if bare {
            self.keeping.on_forgotten(id, &buried);
        }
        self.on_loss(place, &songs, bare);
    }

    fn age_some_disk(&mut self) {
        if !self.may_lose() {
            return;
        }
        let Some(place) = self.some_data_node() else {
            return;
        };
        self.crash(place, Death::Kill);
        self.go_back(place);
        let down = self.some_while(Duration::from_millis(100), Duration::from_secs(30));
        self.agenda
            .plan(self.now + down, What::Fault(Fault::Start(place)));
    }

    /// Gives a dead node its disk as it was some starts ago, if that is known.
    pub fn go_back(&mut self, place: Place) {
        debug_assert!(!self.nodes[place].lives());
        let Some(disk) = &mut self.nodes[place].disk else {
            return;
        };
        let before: Vec<SongId> = disk.songs().collect();
        let buried: Vec<SongId> = disk.buried().collect();
        if !disk.go_back() {
            return;
        }
        let id = disk.id;
        let lost = |song: &SongId| !disk.songs().any(|s| s == *song);
        let lost: Vec<SongId> = before.into_iter().filter(lost).collect();
        let risen: Vec<SongId> = buried.into_iter().filter(|s| !disk.is_buried(*s)).collect();
        self.seen.disks_of_old += 1;
        self.keeping.on_forgotten(id, &risen);
        self.on_loss(place, &lost, true);
    }

    fn fail_some_disk(&mut self) {
        if let Some(place) = self.some_data_node() {
            self.nodes[place].ailing.fails = true;
            self.seen.disks_failing += 1;
            self.recover_later(place);
        }
    }

    fn slow_some_disk(&mut self) {
        if let Some(place) = self.some_data_node() {
            self.nodes[place].ailing.slow = true;
            self.seen.disks_slow += 1;
            self.recover_later(place);
        }
    }

    fn recover_later(&mut self, place: Place) {
        let span = self.some_while(Duration::from_millis(200), Duration::from_secs(30));
        self.agenda
            .plan(self.now + span, What::Fault(Fault::Recover(place)));
    }

    /// Uploads a song of good fragments whose whole does not have the hash that its id claims.
    fn forge_something(&mut self) {
        let Some(place) = self.some_data_node() else {
            return;
        };
        let source = self.faults.rng.below(self.music.len() as u64);
        let lie = self.faults.rng.bits();
        let Some(tune) = self.music.tune(source) else {
            return;
        };
        self.seen.forged += 1;
        for (step, (message, body)) in tune.forged(lie).into_iter().enumerate() {
            let event = self.stranger_says(message, body);
            let start = self.nodes[place].start;
            let event = Box::new(event);
            let at = self.now + FORGED_AFTER * step as u32;
            let what = What::Event {
                place,
                start,
                event,
            };
            self.agenda.plan(at, what);
        }
    }
}

/// What is wrong with a node's disk at present.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ailing {
    /// Every job that touches songs fails.
    pub fails: bool,
    /// Jobs take a second more.
    pub slow: bool,
}
