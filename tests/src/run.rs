//! Runs a seed from beginning to end: faults, then healing, then every check at rest must pass.

use std::collections::BTreeSet;
use std::time::Duration;

use roles::contract::id::{NodeId, SongId};
use roles::contract::limits::COPIES;
use roles::contract::message::{Catalogue, Listed, Message, NodeState, Query};
use roles::contract::record::{Address, Role};
use roles::contract::time::Time;
use roles::role_assignment::needed_role;

use crate::coverage::Coverage;
use crate::disk_faults::REPAIR_WITHIN;
use crate::figures::Figures;
use crate::resident::{Kind, Place, State};
use crate::trace::Trace;
use crate::workload::Ended;
use crate::world::{Violation, World};

/// How long the phase with faults is.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// Events after which the phase with faults ends.
    pub events: u64,
    /// Virtual time after which the phase with faults ends in any case.
    pub longest: Duration,
}

impl Length {
    /// The standard seed: with the healing, about 20 000 events.
    pub const STANDARD: Length = Length {
        events: 14_000,
        longest: Duration::from_secs(600),
    };

    /// An hour of virtual time, whatever happens in it.
    pub const HOUR: Length = Length {
        events: u64::MAX,
        longest: Duration::from_secs(3600),
    };

    /// For a test that runs many seeds in little time.
    pub const SHORT: Length = Length {
        events: 5_000,
        longest: Duration::from_secs(240),
    };
}

/// After the healing, users go on for this long.
const BUSY_AFTER: Duration = Duration::from_secs(20);

/// Then everything settles: longer than the longest pause between two attempts at a copy.
const SETTLE: Duration = Duration::from_secs(80);

/// Routers and DNS nodes know within this time what a node has or has become.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// Routers have the further tags of all songs within this time: a song of which a fragment was damaged
/// is read again half a minute later.
const GROUPED_WITHIN: Duration = Duration::from_secs(90);

/// An operation that was begun before has ended within this time.
const END_WITHIN: Duration = Duration::from_secs(60);

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The first invariant that was broken.
    pub violation: Option<Violation>,
    /// Events handled, in both phases.
    pub events: u64,
    /// Virtual time at the end.
    pub span: Time,
    /// Nodes of all kinds, clients and the probe included.
    pub nodes: u64,
    /// A hash of all events; two runs of one seed have the same.
    pub hash: u64,
    /// How often each fault happened and each check ran.
    pub seen: Coverage,
    /// Measured durations.
    pub figures: Figures,
    /// The last lines of the trace, if it was kept as text.
    pub lines: Vec<String>,
}

/// Runs a seed.
pub fn run(seed: u64, length: Length) -> Outcome {
    run_world(seed, World::of_seed(seed), length)
}

/// Runs a seed and keeps the last lines of its trace as text.
pub fn tell(seed: u64, length: Length) -> Outcome {
    let mut world = World::of_seed(seed);
    world.trace.lines = Some(Default::default());
    run_world(seed, world, length)
}

/// Runs the small world about the ring; keeps the trace as text if `told`.
pub fn run_ring(seed: u64, length: Length, told: bool) -> Outcome {
    let mut world = World::of_ring(seed);
    world.trace.lines = told.then(Default::default);
    run_world(seed, world, length)
}

/// Runs the world in which no node may be called dead; keeps the trace as text if `told`.
pub fn run_ruffled(seed: u64, length: Length, told: bool) -> Outcome {
    let mut world = World::ruffled(seed);
    world.trace.lines = told.then(Default::default);
    run_world(seed, world, length)
}

/// Runs the small world about the Chord circle; keeps the trace as text if `told`.
pub fn run_circle(seed: u64, length: Length, told: bool) -> Outcome {
    let mut world = World::of_circle(seed);
    world.trace.lines = told.then(Default::default);
    run_world(seed, world, length)
}

/// Runs the small world in which one member lies; keeps the trace as text if `told`.
pub fn run_liars(seed: u64, length: Length, told: bool) -> Outcome {
    let mut world = World::of_liars(seed);
    world.trace.lines = told.then(Default::default);
    run_world(seed, world, length)
}

/// Runs the small world with silent strangers; keeps the trace as text if `told`.
pub fn run_strangers(seed: u64, length: Length, told: bool) -> Outcome {
    let mut world = World::of_strangers(seed);
    world.trace.lines = told.then(Default::default);
    run_world(seed, world, length)
}

/// Runs the small world about copies; keeps the trace as text if `told`.
pub fn run_copies(seed: u64, length: Length, told: bool) -> Outcome {
    let mut world = World::of_copies(seed);
    world.trace.lines = told.then(Default::default);
    run_world(seed, world, length)
}

/// Runs the small world about what listeners write; keeps the trace as text if `told`.
pub fn run_documents(seed: u64, length: Length, told: bool) -> Outcome {
    let mut world = World::of_documents(seed);
    world.trace.lines = told.then(Default::default);
    run_world(seed, world, length)
}

/// Runs a world that the caller may have changed, for example with a mutant.
pub fn run_world(seed: u64, mut world: World, length: Length) -> Outcome {
    world.start_all();
    let until = world.now + length.longest;
    while world.violation.is_none() && world.trace.events < length.events && world.now < until {
        if !world.step() {
            break;
        }
    }
    world.recover();
    world.seen.words_altered = world.lies.count();
    world.seen.strangers = world.strangers.count;
    world.seen.answered_at_borders = world.strangers.answered;
    let Trace { events, lines, .. } = &mut world.trace;
    let (events, lines) = (*events, lines.take().unwrap_or_default().into());
    Outcome {
        seed,
        events,
        span: world.now,
        nodes: world.nodes.len() as u64,
        hash: world.trace.hash(),
        seen: world.seen,
        figures: world.figures,
        lines,
        violation: world.violation,
    }
}

impl World {
    /// Mends everything and checks that the cluster recovers.
    pub fn recover(&mut self) {
        if self.violation.is_some() {
            return;
        }
        // The ring comes first: the circle, roles and copies are decided from its member tables.
        self.heal();
        self.await_one_ring();
        self.await_circle();
        self.await_roles();
        self.run_for(BUSY_AFTER);
        self.workload.rest();
        self.run_for(SETTLE);
        self.check_ended();
        if self.violation.is_some() {
            return;
        }
        self.check_circle_at_rest();
        self.check_names();
        self.check_roles();
        self.check_copies();
        self.check_placement();
        self.check_routers();
        self.check_songs();
        self.check_removed();
        self.check_upload();
        self.check_trash();
        self.check_documents();
    }

    /// Every operation ends, as the users see it and in the clients themselves.
    fn check_ended(&mut self) {
        self.run_till(END_WITHIN, |world| world.workload.is_idle());
        let open = self.workload.open().next();
        if let Some(((place, id), operation)) = open {
            let name = &self.nodes[*place].name;
            let text = format!("{name}: {id:?} has not ended: {operation:?}");
            self.violated("every operation ends", text);
        }
        let dangling = (self.clients().into_iter()).find_map(|place| {
            let slot = &self.nodes[place];
            let open = slot.resident.as_ref()?.client()?.operations();
            (open > 0).then(|| format!("{} still has {open}", slot.name))
        });
        if let Some(text) = dangling {
            self.violated("every operation ends", text);
        }
    }

    /// Every DNS node knows exactly the servers that run, with their roles and addresses.
    fn check_names(&mut self) {
        // A role may have changed a moment ago, so the DNS nodes get time to hear of it.
        if let Some(text) = self.await_none(HEARD_WITHIN, World::names_fault) {
            self.violated("DNS nodes agree with the world", text);
        }
    }

    fn names_fault(&self) -> Option<String> {
        let mut expected: BTreeSet<(Role, NodeId, Address)> = BTreeSet::new();
        for slot in self.nodes.iter().filter(|slot| slot.state == State::Up) {
            if let (Some(role), Some(address)) = (slot.role(), slot.address) {
                expected.insert((role, slot.identity.node, address));
            }
        }
        self.servers(Role::Dns).into_iter().find_map(|place| {
            let slot = &self.nodes[place];
            let server = slot.resident.as_ref().and_then(|node| node.server());
            let records = server.map_or(Vec::new(), |server| server.records(self.now));
            let place_of = |r: &roles::contract::record::Record| (r.role, r.node, r.address);
            let known: BTreeSet<_> = records.iter().map(place_of).collect();
            let differs = known != expected;
            differs.then(|| format!("{} knows {known:?}, there are {expected:?}", slot.name))
        })
    }

    /// Every server has a role. In a world without faults, the servers that asked for a role took
    /// the roles that were needed.
    fn check_roles(&mut self) {
        let idle = (self.nodes.iter())
            .find(|slot| matches!(slot.kind, Kind::Server(_)) && slot.role().is_none());
        if let Some(slot) = idle {
            let text = format!("{} has no role", slot.name);
            return self.violated("every server has a role", text);
        }
        if !self.faults.is_calm() || self.climate.data + self.climate.routers > 0 {
            return; // A server with a fixed role may come after the choice was made.
        }
        let (mut data, mut routers) = (0, 0);
        for _ in 0..self.climate.auto {
            match needed_role(data, routers) {
                Role::Data => data += 1,
                Role::Router | Role::Dns => routers += 1,
            }
        }
        if self.climate.dns == 1 && self.seen.role_changes > 0 {
            let text = format!("{} changes among newcomers", self.seen.role_changes);
            return self.violated("roles are right at once", text);
        }
        let there = self.servers(Role::Data).len();
        if there.abs_diff(data) > 1 {
            let text = format!("{there} data nodes where {data} are wanted");
            self.violated("roles follow two to three", text);
        }
    }

    /// Every copy that is due to a living node that takes songs has been made.
    fn check_copies(&mut self) {
        if let Some(text) = self.await_none(REPAIR_WITHIN, World::copies_fault) {
            return self.violated("copies are made", text);
        }
        self.check_left_behind();
        // Copies are decided on when a song is committed; a later change of role changes the
        // owners.
        if self.faults.is_calm() && self.seen.role_changes == 0 {
            self.check_number_of_copies();
        }
    }

    /// A copy that a data node still owes to a node that takes songs, of a song that is whole
    /// somewhere.
    fn copies_fault(&self) -> Option<String> {
        let data = self.servers(Role::Data);
        let takers = || data.iter().filter(|place| !self.is_leaving(**place));
        let takes = |node: &NodeId| takers().any(|p| self.nodes[*p].identity.node == *node);
        let whole = |song| self.is_whole_among(data.iter().copied(), song);
        data.iter().find_map(|place| {
            let slot = &self.nodes[*place];
            let mut due = slot.disk.as_ref()?.copies_due();
            let (song, to) = due.find(|(song, to)| takes(to) && whole(*song))?;
            Some(format!("{} still owes {song:?} to {to:?}", slot.name))
        })
    }

    /// No song is on a router's disk, where it is not served, while no data node has it.
    fn check_left_behind(&mut self) {
        // Of a song that lost a copy, the lost one may have been the last that was served.
        let promised = self.promised().filter(|song| !self.keeping.has_lost(*song));
        let promised: Vec<SongId> = promised.collect();
        let left = (promised.into_iter()).find(|song| self.copies(*song) == 0);
        let Some(song) = left else {
            return;
        };
        let keeps = |place: &Place| {
            let slot = &self.nodes[*place];
            let up = slot.state == State::Up;
            up && slot.disk.iter().flat_map(|d| d.songs()).any(|s| s == song)
        };
        if let Some(place) = self.servers(Role::Router).into_iter().find(keeps) {
            let text = format!("{} has {song:?} alone", self.nodes[place].name);
            self.violated("S2 no song is left behind", text);
        }
    }

    /// In a world without faults, every song committed after all nodes knew each other has all its
    /// copies.
    fn check_number_of_copies(&mut self) {
        let data = self.servers(Role::Data);
        let wanted = data.len().min(COPIES);
        let songs: Vec<(SongId, Time)> = (self.promised())
            .filter_map(|song| Some((song, self.checks.promise(song)?.0)))
            .collect();
        let all_known_at = Time::ZERO + self.climate.start_spread + Duration::from_secs(15);
        for (song, at) in songs {
            let copies = self.copies(song);
            if copies < wanted && at > all_known_at {
                let text = format!("{song:?} has {copies} of {wanted}");
                return self.violated("copies are made", text);
            }
        }
    }

    /// How many running data nodes have a song.
    pub fn copies(&self, song: SongId) -> usize {
        let holds = |place: &Place| {
            let disk = self.nodes[*place].disk.as_ref();
            disk.is_some_and(|disk| disk.songs().any(|s| s == song))
        };
        self.servers(Role::Data).iter().filter(|p| holds(p)).count()
    }

    /// Every router lists every acknowledged song with its number of copies, and counts every node.
    fn check_routers(&mut self) {
        for place in self.servers(Role::Router) {
            // The last copy may have been made a moment ago, so the router gets time to hear of it.
            let until = self.now + HEARD_WITHIN;
            while let Some(text) = self.listing_fault(place) {
                if self.now >= until || self.violation.is_some() {
                    return self.violated("routers list every song", text);
                }
                self.run_for(HEARD_WITHIN / 10);
            }
            self.check_groups(place);
            self.check_status(place);
        }
    }

    /// Every router shows the albums and artists that its songs make.
    fn check_groups(&mut self, place: Place) {
        let until = self.now + GROUPED_WITHIN;
        while let Some(text) = self.group_fault(place) {
            if self.now >= until || self.violation.is_some() {
                return self.violated("routers group songs alike", text);
            }
            self.run_for(HEARD_WITHIN / 5);
        }
        self.seen.routers_grouped += 1;
    }

    fn listing_fault(&mut self, router: Place) -> Option<String> {
        let listed = self.list_of(router);
        let name = self.nodes[router].name.clone();
        let Some(listed) = listed else {
            return Some(format!("{name} does not answer"));
        };
        self.promised_and_standing().into_iter().find_map(|song| {
            let copies = self.copies(song);
            let found = listed.iter().find(|listed| listed.song.id == song);
            let right = found.is_some_and(|l| usize::from(l.copies) == copies);
            (!right).then(|| format!("{name} lists {found:?} where {song:?} has {copies}"))
        })
    }

    fn check_status(&mut self, place: Place) {
        let question = Message::Catalogue(Catalogue::Inspect);
        let Some(Message::Catalogue(Catalogue::Status(status))) = self.answer(place, question)
        else {
            return self.violated("routers know every node", "no status".into());
        };
        // A node shows itself as sick for some time after its library was rebuilt.
        let rebuilt = self.seen.libraries_rebuilt > 0;
        let alive = status.nodes.iter().filter(|node| match node.state {
            NodeState::Alive | NodeState::Full | NodeState::Suspect | NodeState::Draining => true,
            NodeState::Sick => rebuilt,
            NodeState::Dead => false,
        });
        let servers =
            (self.nodes.iter()).filter(|slot| slot.state == State::Up && slot.role().is_some());
        if alive.count() != servers.count() {
            let text = format!("{} sees {:?}", self.nodes[place].name, status.nodes);
            self.violated("routers know every node", text);
        }
    }

    /// All songs that a router lists, page by page; none if it fails to answer.
    pub fn list_of(&mut self, router: Place) -> Option<Vec<Listed>> {
        let mut listed = Vec::new();
        let mut query = Query::all(7);
        loop {
            let question = Message::Catalogue(Catalogue::List {
                query: query.clone(),
            });
            let Some(Message::Catalogue(Catalogue::Songs { songs, next, .. })) =
                self.answer(router, question)
            else {
                return None;
            };
            listed.extend(songs);
            if next.is_none() {
                return Some(listed);
            }
            query.after = next;
        }
    }

    /// Acknowledged songs that are whole among the running data nodes. A node that has become a
    /// router left its songs to others: they stay on its disk and are not served.
    pub fn promised_and_standing(&self) -> Vec<SongId> {
        let songs = self.promised();
        let data = self.servers(Role::Data);
        let stands = |song: &SongId| {
            !self.keeping.trash.may_be_thrown(*song)
                && self.checks.stands(*song)
                && self.is_whole_among(data.iter().copied(), *song)
        };
        songs.filter(stands).collect()
    }

    /// A client with an empty cache can read every acknowledged song, byte for byte.
    fn check_songs(&mut self) {
        let Some(client) = self.clients().first().copied() else {
            return;
        };
        self.nodes[client].machine.clear();
        self.workload.keep_results();
        for song in self.promised_and_standing() {
            if self.violation.is_some() {
                return;
            }
            self.seen.songs_verified += 1;
            self.check_disks(song);
            let operation = self.open(client, song);
            let ended = self.end_of(client, operation, Duration::from_secs(30));
            if !matches!(ended, Some(Ended::Read { .. })) {
                let text = format!("{song:?}: {ended:?}");
                return self.violated("acknowledged songs can be read", text);
            }
        }
    }

    /// Every data node that says it has a song has all of it. (A song that a router has kept may
    /// have rotted; a router serves none.)
    fn check_disks(&mut self, song: SongId) {
        for place in self.servers(Role::Data) {
            let slot = &mut self.nodes[place];
            let Some(disk) = &mut slot.disk else {
                continue;
            };
            if disk.songs().any(|s| s == song) && !disk.holds(song, &self.music) {
                let text = format!("{} has {song:?} in part", slot.name);
                return self.violated("S3 byte exactness", text);
            }
        }
    }
}
