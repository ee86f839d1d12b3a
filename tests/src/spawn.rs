//! How nodes enter a world: with which disk, as which kind of node, and when.

use std::collections::BTreeMap;

use net::peering::Backoffs;
use roles::chord;
use roles::client::{self, Client};
use roles::contract::id::{Incarnation, NodeId};
use roles::contract::message::StoreId;
use roles::contract::node::{Event, Identity};
use roles::contract::record::{Address, Features, Role};
use roles::contract::rng::Rng;
use roles::mutants::ChordMutants;
use roles::mutants::RingMutants;
use roles::server::{self, Server};

use crate::climate::Climate;
use crate::data_mutants::DataMutant;
use crate::disk::{Disk, DiskId};
use crate::faults::Fault;
use crate::resident::{Kind, Place, Probe, Resident, Slot, State, Stutter};
use crate::strangers::Border;
use crate::world::{What, World, Wrap};

/// What enters a world: the next node, its disk, and the mistakes that are planted in it.
pub struct Spawner {
    /// The seeds of the nodes' own generators, and the ids of nodes and stores.
    rng: Rng,
    places: BTreeMap<Address, Place>,
    disks: u64,
    wraps: BTreeMap<Place, Wrap>,
    mutants: RingMutants,
    chord: chord::Config,
    disk_mutant: Option<DataMutant>,
}

impl Spawner {
    /// A spawner that plants nothing.
    pub(crate) fn new(rng: Rng) -> Spawner {
        Spawner {
            rng,
            places: BTreeMap::new(),
            disks: 0,
            wraps: BTreeMap::new(),
            mutants: RingMutants::default(),
            chord: chord::Config::default(),
            disk_mutant: None,
        }
    }

    /// The node that listens at an address.
    pub(crate) fn at(&self, address: Address) -> Option<Place> {
        self.places.get(&address).copied()
    }

    /// Plants mutants in the ring and DNS code of every server that starts.
    pub(crate) fn plant_in_ring(&mut self, mutants: RingMutants) {
        self.mutants = mutants;
    }

    /// Plants mutants in the Chord code of every server that starts.
    pub(crate) fn plant_in_chord(&mut self, mutants: ChordMutants) {
        self.chord.mutants = mutants;
    }

    /// Every server that starts keeps only the fingers that it would keep in a large cluster, so
    /// that look-ups depend on the successor lists.
    pub(crate) fn thin_fingers_out(&mut self) {
        self.chord.fingers = 0;
    }

    /// Whether the fingers are as in a large cluster.
    pub(crate) fn are_fingers_thin(&self) -> bool {
        self.chord.fingers == 0
    }

    /// Plants a mutant in every disk that is made.
    pub(crate) fn plant_in_disks(&mut self, mutant: DataMutant) {
        self.disk_mutant = Some(mutant);
    }
}

impl World {
    pub(crate) fn populate(&mut self) {
        let Climate {
            dns,
            routers,
            data,
            auto,
            clients,
            ..
        } = self.climate;
        for number in 0..dns {
            self.add(&format!("dns-{number}"), Kind::Server(Some(Role::Dns)));
        }
        for number in 0..routers {
            self.add(
                &format!("router-{number}"),
                Kind::Server(Some(Role::Router)),
            );
        }
        for number in 0..data {
            self.add(&format!("data-{number}"), Kind::Server(Some(Role::Data)));
        }
        for number in 0..auto {
            self.add(&format!("auto-{number}"), Kind::Server(None));
        }
        for number in 0..clients {
            self.add(&format!("client-{number}"), Kind::Client);
        }
        self.add("probe", Kind::Probe);
    }

    /// Adds a node that has not started. A server gets an address and an empty disk.
    pub fn add(&mut self, name: &str, kind: Kind) -> Place {
        let place = self.nodes.len();
        let address = matches!(kind, Kind::Server(_))
            .then(|| Address(([10, 0, 0, 1 + place as u8], 7700).into()));
        let identity = Identity {
            node: self.fresh_node(),
            incarnation: Incarnation(0),
            address,
            features: Features::AES,
        };
        let mut slot = Slot::new(name.into(), kind, address, identity);
        if let Some(address) = address {
            self.spawner.places.insert(address, place);
            slot.disk = Some(self.fresh_disk(identity.node));
        }
        self.nodes.push(slot);
        place
    }

    pub(crate) fn fresh_node(&mut self) -> NodeId {
        let rng = &mut self.spawner.rng;
        NodeId(u128::from(rng.bits()) << 64 | u128::from(rng.bits()))
    }

    pub(crate) fn fresh_disk(&mut self, node: NodeId) -> Disk {
        self.spawner.disks += 1;
        let store = StoreId(self.spawner.rng.bits());
        let mut disk = Disk::new(
            DiskId(self.spawner.disks),
            node,
            store,
            self.climate.real_library,
        );
        if let Some(mutant) = self.spawner.disk_mutant {
            disk.mutant(mutant);
        }
        disk
    }

    /// The node with this name. Panics if there is none.
    pub fn place(&self, name: &str) -> Place {
        let found = self.nodes.iter().position(|slot| slot.name == name);
        found.unwrap_or_else(|| panic!("no node is called {name}"))
    }

    /// Wraps the node at `place` whenever it starts, from its next start on.
    pub fn wrap(&mut self, place: Place, wrap: Wrap) {
        self.spawner.wraps.insert(place, wrap);
    }

    /// Plans the start of every node within the climate's spread, the users' work and the faults.
    pub fn start_all(&mut self) {
        for place in 0..self.nodes.len() {
            let at = self.faults.rng.within(self.climate.start_spread);
            self.agenda
                .plan(self.now + at, What::Fault(Fault::Start(place)));
        }
        self.plan_work();
        self.plan_faults();
    }

    /// Starts a node's process, unless it lives already.
    pub fn start(&mut self, place: Place) {
        if self.nodes[place].lives() {
            return;
        }
        self.nodes[place].grow();
        let resident = self.make(place);
        let resident = match self.spawner.wraps.get(&place) {
            Some(wrap) => wrap(resident),
            None => resident,
        };
        let slot = &mut self.nodes[place];
        slot.resident = Some(resident);
        slot.state = State::Up;
        slot.armed = None;
        slot.writer_free = self.now;
        slot.backoffs = Backoffs::default();
        slot.border = Border::default();
        if let Some(disk) = &mut slot.disk {
            disk.mark_start();
        }
        self.checks.forget(place);
        self.keeping.documents.on_start(self.now);
        self.keeping.on_running(self.now, place);
        let who = self.nodes[place].identity;
        let start = self.nodes[place].start;
        (self.ring).on_start(self.now, place, start, (who.node, who.incarnation));
        // A link that is cut at the start also keeps others from hearing this process.
        if self.network.is_cut_at(place) {
            self.ring.on_cut(self.now, [(place, start), (place, start)]);
        }
        self.hand(place, Event::Start);
        self.review_paths();
    }

    fn make(&mut self, place: Place) -> Box<dyn Resident> {
        let dns = self
            .nodes
            .iter()
            .filter(|slot| slot.kind == Kind::Server(Some(Role::Dns)));
        let dns_nodes: Vec<Address> = dns.filter_map(|slot| slot.address).collect();
        let rng = Rng::from_seed(self.spawner.rng.bits());
        let slot = &self.nodes[place];
        let resident: Box<dyn Resident> = match slot.kind {
            Kind::Server(role) => {
                let mut config = server::Config {
                    role,
                    dns_nodes,
                    ..server::Config::default()
                };
                config.ring.mutants = self.spawner.mutants;
                config.dns.mutants = self.spawner.mutants;
                config.chord = self.spawner.chord.clone();
                config.drain = self.climate.upkeep.drain;
                config.data.anti_entropy = self.climate.upkeep.anti_entropy.clone();
                config.data.trash_keep = self.climate.upkeep.trash;
                config.data.mutants = self.climate.listening.mutants;
                config.router.mutants = self.climate.listening.mutants;
                let address = slot.address.expect("servers listen");
                Box::new(Server::new(config, slot.identity, address, rng))
            }
            Kind::Client => {
                let config = client::Config {
                    dns_nodes,
                    mutants: self.climate.listening.mutants,
                    ..client::Config::default()
                };
                Box::new(Client::new(config, rng))
            }
            Kind::Probe => Box::new(Probe),
        };
        let permille = self.climate.stutter_permille;
        if permille == 0 {
            return resident;
        }
        let rng = Rng::from_seed(self.spawner.rng.bits());
        Box::new(Stutter::new(resident, permille, rng))
    }
}
