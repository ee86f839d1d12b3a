//! The parameters of a seed's world: number of nodes, delays, and how often which fault happens.
//!
//! Drawn in swarm style: each kind of fault is switched off in a share of the seeds, so that some
//! worlds have a single kind of fault, some have all kinds, and some have none.

use std::time::Duration;

use roles::contract::rng::Rng;

use crate::disk_faults::{DiskFaults, Upkeep};
use crate::documents::Listening;

/// The parameters of a world.
#[derive(Clone, Debug)]
pub struct Climate {
    /// DNS nodes.
    pub dns: usize,
    /// Servers started as routers.
    pub routers: usize,
    /// Servers started as data nodes.
    pub data: usize,
    /// Servers started without a role: they ask for one.
    pub auto: usize,
    /// Clients.
    pub clients: usize,
    /// Files that clients may upload.
    pub tunes: usize,
    /// Most fragments in one file.
    pub fragments_max: u64,
    /// Each node starts at a random moment within this time.
    pub start_spread: Duration,
    /// Mean one-way delay of an envelope.
    pub latency: Duration,
    /// One envelope in so many takes two to nineteen times as long; 0: none does.
    pub latency_tail: u64,
    /// The mean time a job takes.
    pub job: Duration,
    /// One job in so many, of those whose reply goes to a connected peer, waits until that peer has
    /// room; 0: none waits.
    pub park: u64,
    /// Mean time between two actions of a client.
    pub act_every: Duration,
    /// Mean times between faults.
    pub faults: Faults,
    /// So many of a thousand jobs find their queue full.
    pub busy_permille: u64,
    /// So many of a thousand jobs that touch songs fail.
    pub broken_permille: u64,
    /// Every envelope is encoded and decoded with the codec of the wire.
    pub codec: bool,
    /// So many of a thousand questions that are not read-only are sent twice under the same id.
    pub stutter_permille: u64,
    /// The real library runs beside the model, and the two must agree.
    pub real_library: bool,
    /// About half of the random crashes are power cuts: peers see no close, and what the disk has
    /// not synced is lost.
    pub power_cuts: bool,
    /// How copies are repaired, and what users do to them.
    pub upkeep: Upkeep,
    /// What listeners write.
    pub listening: Listening,
}

/// Mean time between two faults of each kind in the whole world; `None`: that kind does not happen.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// A server's process dies. See [`Faults::wipe_percent`].
    pub crash: Option<Duration>,
    /// Least time for which a crashed server stays down; a random time is added.
    pub down_shortest: Duration,
    /// So many of a hundred crashes lose the disk too.
    pub wipe_percent: u64,
    /// A node is frozen for a while.
    pub freeze: Option<Duration>,
    /// A connection breaks.
    pub reset: Option<Duration>,
    /// Envelopes stop between some nodes, in one direction or in both.
    pub cut: Option<Duration>,
    /// A disk is full for a while.
    pub disk_full: Option<Duration>,
    /// A server is asked to stop, and starts again.
    pub stop: Option<Duration>,
    /// A fragment in a client's cache is altered or cut short.
    pub cache: Option<Duration>,
    /// A client's process dies and starts again.
    pub client_crash: Option<Duration>,
    /// Longest freeze.
    pub freeze_longest: Duration,
    /// Two neighbours on the ring die at the same moment.
    pub neighbours: Option<Duration>,
    /// The manager of the next census is killed while its alert travels.
    pub manager: Option<Duration>,
    /// The node that the next census names is killed before or after it has switched its role.
    pub named: Option<Duration>,
    /// The nodes split into two or three parts that cannot reach each other.
    pub split: Option<Duration>,
    /// A link is cut and mended several times.
    pub flap_link: Option<Duration>,
    /// A server is killed and started several times.
    pub flap_node: Option<Duration>,
    /// A server's event loop stalls several times, for less than a second each.
    pub lag: Option<Duration>,
    /// A server starts under the incarnation of an earlier start, as a restored disk would make it.
    pub roll_back: Option<Duration>,
    /// All DNS nodes die at the same moment.
    pub lose_names: Option<Duration>,
    /// A member receives a well-formed message that cannot be true.
    pub nonsense: Option<Duration>,
    /// Strangers connect to a server, many at once.
    pub strangers: Option<Duration>,
    /// Faults of disks.
    pub decay: DiskFaults,
}

impl Climate {
    /// A small, fast world without faults: named scenarios start from it.
    pub fn calm() -> Climate {
        Climate {
            dns: 1,
            routers: 1,
            data: 2,
            auto: 0,
            clients: 1,
            tunes: 12,
            fragments_max: 12,
            start_spread: Duration::ZERO,
            latency: Duration::from_millis(2),
            latency_tail: 0,
            job: Duration::from_millis(1),
            park: 0,
            act_every: Duration::ZERO,
            faults: Faults::default(),
            busy_permille: 0,
            broken_permille: 0,
            codec: true,
            stutter_permille: 0,
            real_library: false,
            power_cuts: false,
            upkeep: Upkeep::default(),
            listening: Listening::default(),
        }
    }

    /// The general world of a seed: every tenth has no faults, every tenth has only those of
    /// `ruffle`.
    pub fn of(seed: u64, rng: &mut Rng) -> Climate {
        let mut pick = |from: u64, to: u64| from + rng.below(to - from + 1);
        let (dns, routers, data) = (pick(1, 3), pick(1, 3), pick(1, 5));
        let (auto, clients) = (pick(0, 3).saturating_sub(1), pick(1, 4));
        let mut climate = Climate {
            dns: dns as usize,
            routers: routers as usize,
            data: data as usize,
            auto: auto as usize,
            clients: clients as usize,
            tunes: pick(5, 120) as usize,
            fragments_max: pick(1, 24),
            start_spread: Duration::from_millis(pick(0, 5_000)),
            latency: Duration::from_micros(pick(50, 30_000)),
            latency_tail: [0, 0, 20, 100][pick(0, 3) as usize],
            job: Duration::from_micros(pick(20, 20_000)),
            park: [0, 2, 4, 10][pick(0, 3) as usize],
            act_every: Duration::from_millis(pick(30, 800)),
            ..Climate::calm()
        };
        if rng.happens(1, 3) {
            climate.nobody_has_a_role(rng);
        }
        if rng.happens(1, 3) {
            // With fewer user actions, the same number of events covers a longer time.
            climate.act_every *= 10;
        }
        climate.codec = rng.happens(1, 4);
        climate.real_library = seed % 50 == 49;
        climate.stutter_permille = [0, 0, 100, 400][rng.below(4) as usize];
        climate.upkeep = Upkeep::hasty(rng);
        if seed % 4 == 1 {
            climate.upkeep.trash = Duration::from_secs(40);
        }
        match seed % 10 {
            0 => (),
            5 => climate.ruffle(rng),
            _ => {
                climate.trouble(rng);
                climate.decay(rng);
            }
        }
        climate
    }

    /// A small world about the ring alone: one user who does little, and faults that concern
    /// members. Every sixth has no faults but all nodes start at once; every sixth has no deaths.
    pub fn of_ring(seed: u64, rng: &mut Rng) -> Climate {
        let mut climate = Climate {
            dns: 1 + rng.below(2) as usize,
            routers: 0,
            data: 0,
            auto: 4 + rng.below(7) as usize,
            tunes: 8,
            fragments_max: 2,
            start_spread: Duration::from_millis(rng.below(3) * 1500),
            latency: Duration::from_millis(1 + rng.below(10)),
            act_every: Duration::from_secs(4),
            codec: false,
            ..Climate::calm()
        };
        match seed % 6 {
            0 => climate.crowd(rng),
            1 => {
                climate.ruffle(rng);
                climate.faults.freeze = Some(Duration::from_secs(3 + rng.below(6)));
            }
            2 | 3 => climate.wear_out(rng),
            _ => climate.stir(rng),
        }
        climate
    }

    /// Servers that all stay alive, where connections break, envelopes are slow and nodes freeze
    /// for moments: no member may call another dead.
    pub fn ruffled(seed: u64, rng: &mut Rng) -> Climate {
        let mut climate = Climate::of_ring(seed - seed % 6 + 1, rng);
        climate.auto = 4 + rng.below(4) as usize;
        climate.ruffle(rng);
        climate
    }

    /// A small world about the Chord circle: it starts with at least five data nodes, though faults
    /// may leave fewer. Every sixth has no faults.
    pub fn of_circle(seed: u64, rng: &mut Rng) -> Climate {
        let mut climate = Climate::of_ring(seed, rng);
        climate.auto = 0;
        climate.routers = 1;
        climate.data = 5 + rng.below(7) as usize;
        if !seed.is_multiple_of(6) {
            climate.faults.split = Some(Duration::from_secs(15 + rng.below(30)));
            climate.faults.neighbours = Some(Duration::from_secs(15 + rng.below(30)));
        }
        climate
    }

    /// All nodes start at the same moment, over a slow network.
    fn crowd(&mut self, rng: &mut Rng) {
        (self.dns, self.auto) = (1, 6 + rng.below(5) as usize);
        self.start_spread = Duration::ZERO;
        self.latency = Duration::from_millis(50 + rng.below(100));
    }

    /// One server after the other dies and stays down for a long time.
    fn wear_out(&mut self, rng: &mut Rng) {
        self.auto += 3;
        self.faults.crash = Some(Duration::from_secs(12 + rng.below(25)));
        self.faults.down_shortest = Duration::from_secs(100);
        self.power_cuts = rng.happens(2, 3);
    }

    /// The faults that concern ring membership, and no others.
    fn stir(&mut self, rng: &mut Rng) {
        let mut some = |share: u64| {
            let every = Duration::from_secs(10) + rng.within(Duration::from_secs(40));
            rng.happens(share, 100).then_some(every)
        };
        self.faults = Faults {
            crash: some(70),
            freeze: some(30),
            split: some(40),
            neighbours: some(40),
            manager: some(30),
            named: some(30),
            lose_names: some(20),
            freeze_longest: Duration::from_secs(40),
            ..Faults::default()
        };
        self.power_cuts = rng.happens(1, 2);
    }

    /// No server starts with a role except the DNS nodes: the others ask for one. Mostly they are a
    /// few, sometimes up to fifty.
    fn nobody_has_a_role(&mut self, rng: &mut Rng) {
        (self.routers, self.data) = (0, 0);
        self.auto = match rng.below(60) {
            0 => 50,
            1..=4 => 11 + rng.below(20) as usize,
            _ => 2 + rng.below(9) as usize,
        };
        if self.auto > 10 {
            self.act_every = Duration::from_secs(5);
        }
        if rng.happens(1, 3) {
            self.start_spread = Duration::ZERO;
        }
    }

    /// Nobody dies, but connections break, envelopes are slow and nodes freeze for moments: no
    /// member may call another dead.
    fn ruffle(&mut self, rng: &mut Rng) {
        // Freezes and delays stay below what the failure detector forgives, so a verdict is a
        // violation.
        self.latency = Duration::from_millis(20 + rng.below(180));
        self.latency_tail = 0;
        self.faults.freeze_longest = Duration::from_millis(3_800);
        self.faults.freeze = Some(Duration::from_secs(8 + rng.below(20)));
        self.faults.reset = Some(Duration::from_millis(300 + rng.below(3000)));
        self.faults.lag = rng.happens(1, 2).then_some(Duration::from_secs(10));
        self.faults.nonsense = rng.happens(1, 2).then_some(Duration::from_secs(5));
    }

    fn trouble(&mut self, rng: &mut Rng) {
        let often = Duration::from_secs(2 + rng.below(20));
        let mut some = |share: u64| {
            let there = rng.happens(share, 100);
            let every = often / 2 + rng.within(often * 2);
            there.then_some(every)
        };
        self.faults = Faults {
            crash: some(60),
            freeze: some(50),
            reset: some(60),
            cut: some(50),
            disk_full: some(30),
            stop: some(30),
            cache: some(40),
            client_crash: some(30),
            down_shortest: Duration::ZERO,
            wipe_percent: 0,
            freeze_longest: Duration::from_secs(120),
            neighbours: some(20),
            manager: some(20),
            named: some(20),
            split: some(15),
            flap_link: some(15),
            flap_node: some(15),
            lag: some(20),
            roll_back: some(10),
            lose_names: some(15),
            nonsense: some(25),
            strangers: None,
            decay: DiskFaults::default(),
        };
        self.faults.wipe_percent = [0, 0, 15, 40][rng.below(4) as usize];
        self.busy_permille = [0, 0, 5, 40][rng.below(4) as usize];
        self.broken_permille = [0, 0, 0, 5][rng.below(4) as usize];
        // The real library is kept in memory: it cannot lose what a power cut takes from the model.
        self.power_cuts = !self.real_library && rng.happens(1, 2);
    }

    /// Whether this world plans no fault. Nonsense does not count: it must change nothing.
    pub fn is_calm(&self) -> bool {
        let f = &self.faults;
        let kinds = [
            f.crash,
            f.freeze,
            f.reset,
            f.cut,
            f.disk_full,
            f.stop,
            f.cache,
            f.client_crash,
            f.neighbours,
            f.manager,
            f.named,
            f.split,
            f.flap_link,
            f.flap_node,
            f.lag,
            f.roll_back,
            f.lose_names,
            f.strangers,
        ];
        let sound = f.decay.is_none();
        sound && kinds.iter().all(Option::is_none) && self.busy_permille + self.broken_permille == 0
    }

    /// How many servers there are.
    pub fn servers(&self) -> usize {
        self.dns + self.routers + self.data + self.auto
    }
}
