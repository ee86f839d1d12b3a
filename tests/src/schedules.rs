//! Random schedules for the Chord circle: joins, deaths, slow envelopes, half-done operations.
//!
//! Up to twelve data nodes run the real state machine in a small space of ids, message by message.
//! After every message the invariants of Zave 2017 are checked. Failure detection is perfect, and
//! no node dies that the operating assumption of the proof needs, in the lists as they are and as
//! they are under way: when a member dies while a list that names it travels, no rule of a single
//! node can repair that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use roles::chord::alone::Alone;
use roles::chord::arc::{around, between};
use roles::chord::{Ask, Config, HOPS_MAX, Search, Standing, Table, Way};
use roles::contract::chord::Chord as ChordMessage;
use roles::contract::id::{Incarnation, NodeId, RequestId, SongId};
use roles::contract::message::{Envelope, Kind, Message};
use roles::contract::node::{Action, Asker, Outbox, Peer, Sender};
use roles::contract::record::Address;
use roles::contract::rng::Rng;
use roles::contract::time::Time;
use roles::mutants::{ChordMutant, ChordMutants};
use roles::ownership::Owners;

/// Most nodes at a time, and the number of ids; each id is used once.
const NODES_MAX: usize = 12;
const IDS: u128 = 64;

/// Steps of time in one run; envelopes arrive between them.
const BEATS: u64 = 400;

const BEAT: Duration = Duration::from_millis(5);
const ROUND: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_millis(40);

/// Rounds, each with its questions, after which the circle is ideal if nothing changes any longer.
const ROUNDS_TO_IDEAL: u32 = 12;

/// The result of a run.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// The first invariant that was broken, and the state that broke it.
    pub broken: Option<(&'static str, String)>,
    /// Look-ups made.
    pub lookups: u64,
    /// How often the invariants were checked.
    pub steps: u64,
}

/// The living nodes, as every member table has them.
#[derive(Clone, Debug, Default)]
pub struct Living(pub BTreeSet<NodeId>);

impl Table for Living {
    fn address(&self, node: NodeId) -> Option<Address> {
        self.0.contains(&node).then(|| address_of(node))
    }
}

/// Node ids use only the upper bits, so that song ids can lie between them.
const SHIFT: u32 = 112;

fn address_of(node: NodeId) -> Address {
    let number = (node.0 >> SHIFT) as u16;
    let [high, low] = number.to_be_bytes();
    Address(([10, 0, high, low], 7700).into())
}

struct Flight {
    at: Time,
    from: NodeId,
    to: NodeId,
    envelope: Envelope,
}

/// A circle of data nodes and its network.
pub struct Circle {
    now: Time,
    nodes: BTreeMap<NodeId, Alone>,
    living: Living,
    flights: Vec<Flight>,
    used: BTreeSet<NodeId>,
    /// The asker's Chord operation to which a question belongs.
    operations: BTreeMap<(NodeId, RequestId), u64>,
    config: Config,
    /// Every envelope arrives before the next step begins.
    atomic: bool,
    /// There are two circles: no invariant is checked before [`Circle::settle`].
    split: bool,
    /// A join reaches most member tables only with the next death.
    slow_news: bool,
    rng: Rng,
    ran: Ran,
}

/// Runs one random schedule.
pub fn run(seed: u64, mutants: ChordMutants) -> Ran {
    let mut circle = Circle::of_seed(seed, mutants);
    for beat in 0..BEATS {
        circle.beat();
        if beat % 4 == 0 {
            circle.churn();
        }
        if beat % 8 == 0 {
            circle.look_up(false);
        }
        if circle.ran.broken.is_some() {
            return circle.ran;
        }
    }
    circle.settle();
    circle.ran
}

/// Starts with two circles, each whole and in order, as a split leaves them. Then every member
/// table has all nodes again, and the circles must become one.
pub fn mend(seed: u64) -> Ran {
    let mut circle = Circle::of_seed(seed, ChordMutants::default());
    let one = std::mem::take(&mut circle.used);
    while circle.used.len() < one.len() {
        let id = circle.fresh_id();
        if !one.contains(&id) {
            circle.used.insert(id);
        }
    }
    circle.found();
    circle.used.extend(&one);
    circle.living.0.extend(&one);
    circle.split = true;
    circle.show_all();
    circle.settle();
    circle.ran
}

/// The first of these schedules in which a mutant breaks an invariant, and which invariant.
pub fn found(mutant: ChordMutant, schedules: u64) -> Option<(u64, &'static str)> {
    (0..schedules).find_map(|seed| Some((seed, run(seed, ChordMutants::only(mutant)).broken?.0)))
}

impl Circle {
    fn of_seed(seed: u64, mutants: ChordMutants) -> Circle {
        let mut rng = Rng::from_seed(seed);
        let successors = 2 + rng.below(2) as usize;
        let config = Config {
            successors,
            fingers: [0, 512][rng.below(2) as usize],
            round: ROUND,
            every: ROUND * 3,
            patience: PATIENCE,
            silences: u32::MAX, // Detection is perfect: silence is never a death.
            mutants,
        };
        let mut circle = Circle::new(config, rng.happens(1, 4), rng);
        circle.slow_news = circle.rng.happens(1, 2);
        let alone = mutants.has(ChordMutant::FoundsAlone);
        let count = if alone { 1 } else { successors + 1 };
        while circle.used.len() < count {
            let id = circle.fresh_id();
            circle.used.insert(id);
        }
        circle.found();
        circle
    }

    /// A circle without nodes.
    pub fn new(config: Config, atomic: bool, rng: Rng) -> Circle {
        Circle {
            now: Time::from_secs(1),
            nodes: BTreeMap::new(),
            living: Living::default(),
            flights: Vec::new(),
            used: BTreeSet::new(),
            operations: BTreeMap::new(),
            config,
            atomic,
            split: false,
            slow_news: false,
            rng,
            ran: Ran::default(),
        }
    }

    fn fresh_id(&mut self) -> NodeId {
        NodeId(u128::from(self.rng.below(IDS as u64)) << SHIFT)
    }

    /// Founds the circle: every node of `used` gets its lists from one member table.
    fn found(&mut self) {
        let ids: Vec<NodeId> = self.used.iter().copied().collect();
        self.living.0 = ids.iter().copied().collect();
        for id in &ids {
            let seed = self.rng.bits();
            let chord = Alone::new(self.config.clone(), *id, Rng::from_seed(seed));
            self.nodes.insert(*id, chord);
            // First it sees one other node only, and then all of them: a node that was there while
            // they were few takes its place from the table.
            let other = ids.iter().copied().find(|node| node != id);
            self.show(*id, &other.into_iter().collect::<Vec<_>>());
        }
        self.show_all();
    }

    fn show(&mut self, id: NodeId, nodes: &[NodeId]) {
        let others = nodes.iter().filter(|node| **node != id);
        let others: Vec<_> = others.map(|node| (*node, Incarnation(1))).collect();
        let mut out = Outbox::new();
        let owners = Arc::new(Owners::of(self.takers(id)));
        if let Some(chord) = self.nodes.get_mut(&id) {
            chord.see(self.now, &others, &owners, &self.living, &mut out);
        }
        self.perform(id, out);
    }

    /// Nodes that take songs, as `of` knows them. Every third node hands its songs over and takes
    /// none, but the others hear of that only by chance.
    fn takers(&mut self, of: NodeId) -> Vec<(NodeId, u16)> {
        let leaves = |node: NodeId| (node.0 >> SHIFT).is_multiple_of(3);
        let mut known = |node: &NodeId| *node == of || self.rng.happens(1, 2);
        let living = self.living.0.iter().copied();
        living
            .filter(|node| !(leaves(*node) && known(node)))
            .map(|node| (node, 1))
            .collect()
    }

    fn show_all(&mut self) {
        let living: Vec<NodeId> = self.living.0.iter().copied().collect();
        for id in &living {
            self.show(*id, &living);
        }
    }

    fn beat(&mut self) {
        self.now = self.now + BEAT;
        self.deliver();
        let mut ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        self.rng.shuffle(&mut ids);
        for id in ids {
            self.tick(id);
        }
    }

    fn tick(&mut self, id: NodeId) {
        let mut out = Outbox::new();
        let mut forgotten = false;
        if let Some(chord) = self.nodes.get_mut(&id) {
            let knew = chord.beside().predecessor.is_some();
            chord.on_tick(self.now, &self.living, &mut out);
            let placed = chord.standing() == Standing::Joined;
            forgotten = knew && placed && chord.beside().predecessor.is_none();
        }
        if forgotten {
            self.broken("no predecessor is forgotten", format!("{id:?}"));
        }
        self.perform(id, out);
        self.check();
    }

    fn deliver(&mut self) {
        loop {
            let due = (self.flights.iter().enumerate())
                .filter(|(_, flight)| flight.at <= self.now)
                .min_by_key(|(place, flight)| (flight.at, *place));
            let Some((place, _)) = due else {
                return;
            };
            let flight = self.flights.remove(place);
            self.arrive(flight);
            self.check();
        }
    }

    fn arrive(&mut self, flight: Flight) {
        let Flight {
            from, to, envelope, ..
        } = flight;
        let mut out = Outbox::new();
        let Some(chord) = self.nodes.get_mut(&to) else {
            return;
        };
        let peer = Peer::Node(address_of(from));
        let mut fault = None;
        match (envelope.kind, envelope.message) {
            (Kind::Question { patience }, Message::Chord(words)) => {
                let waits = chord.operation().is_some() && chord.standing() == Standing::Joined;
                let asker = asker(from, envelope.id, self.now + patience);
                chord.on_question(self.now, asker, words, &self.living, &mut out);
                if waits && !out.is_empty() {
                    fault = Some("who waits tells nothing");
                }
            }
            (kind, message) => {
                let envelope = Envelope {
                    kind,
                    message,
                    ..envelope
                };
                let asked = self.operations.get(&(to, envelope.id)).copied();
                let late = asked.is_some() && asked != chord.operation();
                let before = chord.beside().clone();
                chord.on_answer(self.now, peer, envelope, &self.living, &mut out);
                if late && before != *chord.beside() {
                    fault = Some("late answers change nothing");
                }
            }
        }
        if let Some(rule) = fault {
            self.broken(rule, format!("{to:?}, {from:?}"));
        }
        self.perform(to, out);
    }

    fn perform(&mut self, from: NodeId, mut out: Outbox) {
        while let Some(action) = out.pop() {
            let Action::Send { to, envelope } = action else {
                continue;
            };
            let to = self
                .used
                .iter()
                .copied()
                .find(|n| Peer::Node(address_of(*n)) == to);
            let Some(to) = to else {
                continue;
            };
            let number = self.nodes.get(&from).and_then(|node| node.operation());
            if let (Message::Chord(ChordMessage::Neighbours { .. }), Some(number)) =
                (&envelope.message, number)
            {
                self.operations.insert((from, envelope.id), number);
            }
            let at = self.now + self.latency();
            let flight = Flight {
                at,
                from,
                to,
                envelope,
            };
            if self.atomic {
                self.arrive(flight);
            } else {
                self.flights.push(flight);
            }
        }
    }

    fn latency(&mut self) -> Duration {
        let base = Duration::from_micros(500 + self.rng.below(2_000));
        if self.rng.happens(1, 20) {
            return base * (5 + self.rng.below(16) as u32);
        }
        base
    }

    fn churn(&mut self) {
        match self.rng.below(5) {
            0 | 1 if self.nodes.len() < NODES_MAX => {
                let id = self.fresh_id();
                if self.used.insert(id) {
                    self.join(id);
                }
            }
            2 | 3 => {
                let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
                if let Some(id) = self.rng.pick(&ids).copied()
                    && self.may_die(id)
                {
                    self.kill(id);
                }
            }
            _ => (),
        }
        self.check();
    }

    fn join(&mut self, id: NodeId) {
        let seed = self.rng.bits();
        let chord = Alone::new(self.config.clone(), id, Rng::from_seed(seed));
        self.nodes.insert(id, chord);
        self.living.0.insert(id);
        let living: Vec<NodeId> = self.living.0.iter().copied().collect();
        for node in &living {
            // Not every member hears of a newcomer at once: the circle does not need it.
            if *node == id || !self.slow_news || self.rng.happens(1, 4) {
                self.show(*node, &living);
            }
        }
    }

    fn kill(&mut self, id: NodeId) {
        self.nodes.remove(&id);
        self.living.0.remove(&id);
        self.show_all();
    }

    /// The operating assumption: without this node both parts of the invariant still hold,
    /// whichever of the lists under way arrive.
    fn may_die(&self, id: NodeId) -> bool {
        let left: BTreeSet<NodeId> = self.living.0.iter().copied().filter(|n| *n != id).collect();
        let mut lists = self.lists();
        lists.extend(self.lists_under_way());
        lists.retain(|list| list[0] != id);
        if self.config.mutants.has(ChordMutant::FoundsAlone) {
            return left.len() > 1 && has_living(&lists, &left);
        }
        let members = self.members();
        let members: Vec<NodeId> = members.into_iter().filter(|n| *n != id).collect();
        has_living(&lists, &left) && principals(&members, &lists) > self.config.successors
    }

    fn members(&self) -> Vec<NodeId> {
        let joined = self
            .nodes
            .iter()
            .filter(|(_, chord)| chord.standing() == Standing::Joined);
        joined.map(|(id, _)| *id).collect()
    }

    /// For each member a list: itself, then its successors.
    fn lists(&self) -> Vec<Vec<NodeId>> {
        let members = self.members().into_iter();
        members
            .map(|id| [&[id], self.nodes[&id].beside().successors.as_slice()].concat())
            .collect()
    }

    /// The lists that members will have once the answers under way have arrived.
    fn lists_under_way(&self) -> Vec<Vec<NodeId>> {
        let list = |flight: &Flight| {
            let Message::Chord(ChordMessage::Neighbourhood { successors, .. }) =
                &flight.envelope.message
            else {
                return None;
            };
            let number = self.operations.get(&(flight.to, flight.envelope.id))?;
            let waits = self.nodes.get(&flight.to)?.operation() == Some(*number);
            let mut list = [&[flight.to, flight.from], successors.as_slice()].concat();
            list.truncate(self.config.successors + 1);
            waits.then_some(list)
        };
        self.flights.iter().filter_map(list).collect()
    }

    /// A member that lies between a key and `node` and is in every list that spans it; the key is
    /// then that member's. A member does not count while `node`'s known predecessor, dead or alive,
    /// lies before it: `node` need not have heard of it yet.
    fn passed_by(&self, key: NodeId, node: NodeId) -> Option<NodeId> {
        let lists = self.lists();
        let known = self.nodes[&node].beside().predecessor;
        let unheard = |member: NodeId| known.is_some_and(|known| between(known, member, node));
        let passed = |member: NodeId| member == key || between(key, member, node);
        let before = |member: &NodeId| passed(*member) && !unheard(*member);
        let mut members = self.members().into_iter().filter(|m| *m != node);
        members.find(|member| before(member) && principals(&[*member], &lists) > 0)
    }

    fn broken(&mut self, rule: &'static str, text: String) {
        self.ran.broken.get_or_insert((rule, text));
    }

    /// Checks what holds for the members in every state.
    fn check(&mut self) {
        self.ran.steps += 1;
        if self.split {
            return;
        }
        let lists = self.lists();
        let members = self.members();
        let apart = |node: &&NodeId| self.living.0.contains(node) && !members.contains(node);
        if let Some(node) = lists.iter().flatten().find(apart) {
            self.broken("lists name members", format!("{node:?} in {lists:?}"));
        }
        let alone = self.config.mutants.has(ChordMutant::FoundsAlone) && members.len() < 2;
        if alone || self.ran.broken.is_some() {
            return;
        }
        let fault = fault(&lists, &self.living.0);
        let few = principals(&members, &lists) <= self.config.successors;
        if let Some((rule, text)) = fault {
            self.broken(rule, text);
        } else if few && !self.config.mutants.has(ChordMutant::FoundsAlone) {
            self.broken("I2 principals", format!("{lists:?}"));
        }
    }

    /// Lets the circle rest: then every node is on it and has exactly its ideal neighbours.
    fn settle(&mut self) {
        let span = (ROUND + PATIENCE) * ROUNDS_TO_IDEAL;
        let until = self.now + span;
        while self.now < until {
            self.beat();
        }
        let living: Vec<NodeId> = self.living.0.iter().copied().collect();
        for (id, chord) in &self.nodes {
            let others: Vec<NodeId> = living.iter().copied().filter(|n| n != id).collect();
            let ideal = around(*id, &others, self.config.successors);
            if chord.standing() != Standing::Joined || *chord.beside() != ideal {
                let text = format!("{id} has {:?} where {ideal:?} are", chord.beside());
                return self.broken("L1 ideal", text);
            }
        }
        for _ in 0..4 {
            self.look_up(true);
        }
    }

    /// Looks a random song up, from a random member.
    fn look_up(&mut self, ideal: bool) {
        let ids = self.members();
        let Some(first) = self.rng.pick(&ids).copied() else {
            return;
        };
        // Half a step past a node id, so that no song's key equals a node's id.
        let song = SongId(self.fresh_id().0 + (1 << (SHIFT - 1)));
        let mut search = Search::new(song, [first], self.config.mutants);
        self.ran.lookups += 1;
        while let Some(ask) = search.next_asked() {
            if search.hops() > HOPS_MAX {
                return self.broken("look-ups end", format!("{song:?} from {first:?}"));
            }
            match self.find(ask, song) {
                Some(ChordMessage::Found { .. }) => return self.check_found(ask, song, ideal),
                Some(ChordMessage::Closer { nodes }) => search.go_on(nodes),
                Some(_) | None => (),
            }
        }
        if ideal {
            self.broken("L3 look-ups find", format!("{song:?} from {first:?}"));
        }
    }

    fn find(&mut self, Ask { node, before }: Ask, song: SongId) -> Option<ChordMessage> {
        let asker = asker(NodeId(u128::MAX), RequestId(1), Time::NEVER);
        let mut out = Outbox::new();
        let words = ChordMessage::Find { song, before };
        let chord = self.nodes.get_mut(&node)?;
        chord.on_question(self.now, asker, words, &self.living, &mut out);
        if let Action::Send { envelope, .. } = out.pop()?
            && let Message::Chord(words) = envelope.message
        {
            return Some(words);
        }
        None
    }

    /// The node that confirms a song is responsible for it; in the ideal state it is the true
    /// owner.
    fn check_found(&mut self, ask: Ask, song: SongId, ideal: bool) {
        let Ask { node, before } = ask;
        let key = NodeId(song.0);
        if self.nodes[&node].way(key, before, &self.living) != Way::Mine {
            let text = format!("{node:?} answers for {song:?}");
            return self.broken("the owner confirms", text);
        }
        if let Some(passed) = self.passed_by(key, node) {
            let text = format!("{node:?} answers for {song:?}, which is {passed:?}'s");
            return self.broken("nobody is passed by", text);
        }
        let after = self.living.0.range(key..).next().or(self.living.0.first());
        if ideal && after != Some(&node) {
            self.broken("L3 look-ups find", format!("{song:?} at {node:?}"));
        }
    }
}

fn asker(node: NodeId, id: RequestId, until: Time) -> Asker {
    let sender = Sender {
        peer: Peer::Node(address_of(node)),
        node,
        incarnation: Incarnation(1),
    };
    Asker { sender, id, until }
}

/// I1: every list has a living successor.
fn has_living(lists: &[Vec<NodeId>], living: &BTreeSet<NodeId>) -> bool {
    lists
        .iter()
        .all(|list| list[1..].iter().any(|node| living.contains(node)))
}

/// The number of these members that no list skips (Zave's principals).
fn principals(members: &[NodeId], lists: &[Vec<NodeId>]) -> usize {
    let skips = |list: &Vec<NodeId>, node: NodeId| {
        list.windows(2).any(|pair| between(pair[0], node, pair[1]))
    };
    let skipped = |node: &&NodeId| lists.iter().any(|list| skips(list, **node));
    members.iter().filter(|node| !skipped(node)).count()
}

/// The invariant that these lists break, if they break one.
pub fn fault(lists: &[Vec<NodeId>], living: &BTreeSet<NodeId>) -> Option<(&'static str, String)> {
    let text = |list: &Vec<NodeId>| format!("{list:?} in {lists:?}");
    for list in lists {
        if !list[1..].iter().any(|node| living.contains(node)) {
            return Some(("I1 a living successor", text(list)));
        }
        let distinct: BTreeSet<&NodeId> = list.iter().collect();
        if distinct.len() < list.len() {
            return Some(("no duplicates", text(list)));
        }
        if !list
            .windows(3)
            .all(|three| between(three[0], three[1], three[2]))
        {
            return Some(("lists in order", text(list)));
        }
    }
    let best: BTreeMap<NodeId, NodeId> = (lists.iter())
        .filter_map(|list| Some((list[0], *list[1..].iter().find(|n| living.contains(n))?)))
        .collect();
    ring_fault(&best).map(|rule| (rule, format!("{best:?}")))
}

/// The best successors form one ring, in order of ids, which every member reaches.
fn ring_fault(best: &BTreeMap<NodeId, NodeId>) -> Option<&'static str> {
    let mut rings: BTreeSet<VecDeque<NodeId>> = BTreeSet::new();
    for start in best.keys() {
        let mut at = *start;
        for _ in 0..best.len() {
            at = *best.get(&at)?;
        }
        let mut ring = VecDeque::from([at]);
        let mut next = *best.get(&at)?;
        while next != at {
            ring.push_back(next);
            next = *best.get(&next)?;
        }
        let least = ring.iter().enumerate().min_by_key(|(_, node)| **node);
        let least = least.map_or(0, |(place, _)| place);
        ring.rotate_left(least);
        rings.insert(ring);
    }
    if rings.len() > 1 {
        return Some("one ring");
    }
    let ring = rings.first()?;
    let ordered = ring.iter().zip(ring.iter().skip(1)).all(|(a, b)| a < b);
    (!ordered).then_some("the ring in order")
}
