//! Measures the Chord circle with the roles' own code and prints the figures beside the papers'.
//!
//! Papers: Stoica and others, SIGCOMM 2001 and ToN 2003. Reference: a small, independent simulator
//! of the same operations. A hop is one question after the first: the first node asked costs no
//! hop, the question that the owner answers costs one.

#[path = "chord/keys.rs"]
mod keys;
#[path = "chord/rounds.rs"]
mod rounds;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use roles::chord::alone::Alone;
use roles::chord::{Ask, Config, Search, Table, Way};
use roles::contract::chord::Chord as ChordMessage;
use roles::contract::id::{Incarnation, NodeId, RequestId, SongId};
use roles::contract::limits::COPIES;
use roles::contract::message::Message;
use roles::contract::node::{Action, Asker, Outbox, Peer, Sender};
use roles::contract::partition::Partition;
use roles::contract::record::Address;
use roles::contract::rng::Rng;
use roles::contract::time::Time;
use roles::hash_ring::HashRing;
use roles::mutants::{ChordMutant, ChordMutants};
use roles::ownership::Owners;
use tests::schedules;

/// Look-ups per row of path lengths.
const LOOK_UPS: u64 = 20_000;

/// Look-ups in each circle after deaths.
const LOOK_UPS_EACH: u64 = 500;

/// Length of a real node's successor list.
const SUCCESSORS: usize = 4;

/// Prints every figure. Returns false if a target is missed.
pub(crate) fn tell(schedules: u64) -> io::Result<bool> {
    let out = &mut io::stdout().lock();
    let fine = [
        paths(out)?,
        one_hop(out)?,
        keys::shares(out)?,
        keys::newcomers(out)?,
        deaths(out)?,
        rounds::tell(out)?,
        circles(out, schedules)?,
    ];
    Ok(fine.into_iter().all(|fine| fine))
}

/// The living nodes and their addresses.
#[derive(Default)]
struct Living(BTreeMap<NodeId, Address>);

impl Living {
    fn of(ids: &[NodeId]) -> Living {
        let address = |number: usize| {
            let [.., a, b, c] = (number as u32).to_be_bytes();
            Address(([10, a, b, c], 7700).into())
        };
        let numbered = ids.iter().enumerate();
        Living(numbered.map(|(n, id)| (*id, address(n))).collect())
    }
}

impl Table for Living {
    fn address(&self, node: NodeId) -> Option<Address> {
        self.0.get(&node).copied()
    }
}

fn random(rng: &mut Rng) -> u128 {
    u128::from(rng.bits()) << 64 | u128::from(rng.bits())
}

/// The random ids of `count` nodes, in order.
fn ids(count: usize, rng: &mut Rng) -> Vec<NodeId> {
    let mut ids: Vec<NodeId> = (0..count).map(|_| NodeId(random(rng))).collect();
    ids.sort_unstable();
    ids
}

/// All nodes except `but`, in the form that [`Alone::see`] takes.
fn seen(all: &[NodeId], but: NodeId) -> Vec<(NodeId, Incarnation)> {
    let others = all.iter().filter(|id| **id != but);
    others.map(|id| (*id, Incarnation(1))).collect()
}

/// A node with the ideal lists. The node first sees one other node, which gives it a place in a
/// circle of two, and then sees all nodes.
fn placed(me: NodeId, all: &[NodeId], config: &Config, living: &Living, rng: &mut Rng) -> Alone {
    let mut chord = Alone::new(config.clone(), me, Rng::from_seed(rng.bits()));
    let mut out = Outbox::new();
    let others = seen(all, me);
    chord.see(Time::ZERO, &others[..1], &Arc::default(), living, &mut out);
    chord.see(Time::ZERO, &others, &Arc::default(), living, &mut out);
    chord
}

fn asker(node: NodeId, living: &Living, id: RequestId) -> Asker {
    let peer = living
        .0
        .get(&node)
        .map_or(Peer::Guest(1), |at| Peer::Node(*at));
    let incarnation = Incarnation(1);
    let sender = Sender {
        peer,
        node,
        incarnation,
    };
    let until = Time::NEVER;
    Asker { sender, id, until }
}

/// A circle of many nodes, each with the lists of the ideal state.
struct Many {
    nodes: BTreeMap<NodeId, Alone>,
    living: Living,
}

impl Many {
    fn of(count: usize, successors: usize, rng: &mut Rng) -> Many {
        let all = ids(count, rng);
        let config = Config {
            successors,
            fingers: 0,
            ..Config::default()
        };
        let living = Living::of(&all);
        let nodes = (all.iter())
            .map(|id| (*id, placed(*id, &all, &config, &living, rng)))
            .collect();
        Many { nodes, living }
    }

    /// Asks from node to node until a node says that it owns the key. Returns the hops, or none if
    /// that node is not the owner or the search fails.
    fn look_up(&self, from: NodeId, key: NodeId) -> Option<usize> {
        let mut search = Search::new(SongId(key.0), [from], ChordMutants::default());
        while let Some(Ask { node, before }) = search.next_asked() {
            match self.nodes[&node].way(key, before, &self.living) {
                Way::Mine if self.owner(key) == Some(node) => return Some(search.hops() - 1),
                Way::Mine => return None,
                Way::Closer(nodes) => search.go_on(nodes),
            }
        }
        None
    }

    fn owner(&self, key: NodeId) -> Option<NodeId> {
        let living = &self.living.0;
        let mut round = living.range(key..).chain(living.iter());
        round.next().map(|(id, _)| *id)
    }

    /// Runs look-ups from nodes that do not own the key. Returns the sorted hops, and how many
    /// look-ups failed.
    fn look_ups(&self, count: u64, rng: &mut Rng) -> (Vec<usize>, u64) {
        let living: Vec<NodeId> = self.living.0.keys().copied().collect();
        let (mut hops, mut failed) = (Vec::new(), 0);
        while hops.len() as u64 + failed < count && living.len() > 1 {
            let key = NodeId(random(rng));
            let from = rng.pick(&living).copied();
            let Some(from) = from.filter(|from| self.owner(key) != Some(*from)) else {
                continue;
            };
            match self.look_up(from, key) {
                Some(count) => hops.push(count),
                None => failed += 1,
            }
        }
        hops.sort_unstable();
        (hops, failed)
    }

    fn kill(&mut self, percent: u64, rng: &mut Rng) {
        let mut all: Vec<NodeId> = self.living.0.keys().copied().collect();
        rng.shuffle(&mut all);
        let dead = all.len() * percent as usize / 100;
        for id in &all[..dead] {
            self.living.0.remove(id);
        }
    }
}

fn mean(hops: &[usize]) -> f64 {
    hops.iter().sum::<usize>() as f64 / hops.len().max(1) as f64
}

fn verdict(fine: bool) -> &'static str {
    if fine { "" } else { "  MISSED" }
}

const PATHS: &str = "
path length where fingers stand at powers of two, by nodes that are not the owner
target, for lists of two: 1/2 log2 N + 0.9, within 0.3 (papers: about 1/2 log2 N)

             lists of two                       lists of four
      N   mean  99th  longest  target      mean  99th  longest   reference
";

/// Measures path lengths. The papers' figure and the reference use fingers alone, so the target is
/// for lists of two, the shortest list here. A longer list shortens the end of the path, because
/// more of the nodes before the key know its owner.
fn paths(out: &mut impl Write) -> io::Result<bool> {
    write!(out, "{}", PATHS.trim_start())?;
    let reference = |count: usize| match count {
        1024 => "5.86",
        4096 => "6.86",
        16384 => "7.85",
        _ => "",
    };
    let mut all = true;
    for power in 4..=14 {
        let count = 1 << power;
        let target = power as f64 / 2.0 + 0.9;
        let mut rng = Rng::from_seed(power);
        let mut row = |successors: usize| {
            let many = Many::of(count, successors, &mut rng);
            let (hops, failed) = many.look_ups(LOOK_UPS, &mut rng);
            let high = hops[hops.len() * 99 / 100];
            (mean(&hops), high, hops[hops.len() - 1], failed)
        };
        let (two, two_high, two_last, lost) = row(2);
        let (four, four_high, four_last, lost_too) = row(SUCCESSORS);
        let fine = lost + lost_too == 0 && (two - target).abs() <= 0.3;
        all &= fine;
        writeln!(
            out,
            "{count:7} {two:6.2} {two_high:5} {two_last:8} {target:7.2}    {four:6.2} {four_high:5} {four_last:8}   {}{}",
            reference(count),
            verdict(fine)
        )?;
    }
    Ok(all)
}

/// Measures look-ups where every node knows all nodes: the first node asked names the owner, and
/// the owner confirms, so each look-up takes one hop.
fn one_hop(out: &mut impl Write) -> io::Result<bool> {
    writeln!(
        out,
        "\nlook-ups where everybody is known, asked of real nodes\n"
    )?;
    writeln!(out, "      N  look-ups  mean hops  longest  failed")?;
    let mut all = true;
    for (count, look_ups) in [(5, 500), (50, 500), (512, 100)] {
        let mut rng = Rng::from_seed(count as u64);
        let nodes = ids(count, &mut rng);
        let points = HashRing::of(nodes.iter().map(|node| (*node, 1)));
        let mut hops = Vec::new();
        for _ in 0..look_ups {
            let song = SongId(random(&mut rng));
            let owners = points.owners(Partition::of(song), COPIES);
            if let Some(from) = rng.pick(&nodes).copied()
                && let Some((count, found)) = find(&nodes, from, song, &mut rng)
                && found == owners
            {
                hops.push(count);
            }
        }
        let longest = hops.iter().max().copied().unwrap_or(0);
        let failed = look_ups - hops.len();
        let fine = longest == 1 && failed == 0;
        all &= fine;
        let (mean, mark) = (mean(&hops), verdict(fine));
        writeln!(
            out,
            "{count:7} {look_ups:9} {mean:10.2} {longest:8} {failed:7}{mark}"
        )?;
    }
    Ok(all)
}

/// One look-up by messages, with the settings of real nodes. Returns the hops and the owners that
/// the first owner names. Each node is made when it is asked, because the points of all nodes at
/// once would fill a gigabyte.
fn find(
    nodes: &[NodeId],
    from: NodeId,
    song: SongId,
    rng: &mut Rng,
) -> Option<(usize, Vec<NodeId>)> {
    let living = Living::of(nodes);
    let mut search = Search::new(song, [from], ChordMutants::default());
    while let Some(Ask { node, before }) = search.next_asked() {
        let mut out = Outbox::new();
        let mut chord = Alone::new(Config::default(), node, Rng::from_seed(rng.bits()));
        let owners = Arc::new(Owners::of(nodes.iter().map(|node| (*node, 1))));
        let others = seen(nodes, node);
        // The node first sees one other node, so that it has a place in the circle.
        chord.see(Time::ZERO, &others[..1], &Arc::default(), &living, &mut out);
        chord.see(Time::ZERO, &others, &owners, &living, &mut out);
        let asker = asker(from, &living, RequestId(1));
        chord.on_question(
            Time::ZERO,
            asker,
            ChordMessage::Find { song, before },
            &living,
            &mut out,
        );
        match answered(&mut out)? {
            ChordMessage::Closer { nodes } => search.go_on(nodes),
            ChordMessage::Found { owners } if owners.first() == Some(&node) => {
                return Some((search.hops() - 1, owners));
            }
            ChordMessage::Neighbours { .. }
            | ChordMessage::Neighbourhood { .. }
            | ChordMessage::Notify
            | ChordMessage::Noted
            | ChordMessage::Find { .. }
            | ChordMessage::Found { .. } => return None,
        }
    }
    None
}

fn answered(out: &mut Outbox) -> Option<ChordMessage> {
    while let Some(action) = out.pop() {
        if let Action::Send { envelope, .. } = action
            && let Message::Chord(words) = envelope.message
        {
            return Some(words);
        }
    }
    None
}

const DEATHS: &str = "
look-ups that fail right after deaths, before any repair, per cent; in brackets the reference
everybody knows who is dead, so that nobody is asked in vain; target: r = 20 never fails

    N   r          10 %          20 %          30 %          50 %   path at 10 % and 50 %
";

/// The reference's failures in per cent after 10, 20, 30 and 50 % deaths.
type Reference = [Option<f64>; 4];

fn deaths(out: &mut impl Write) -> io::Result<bool> {
    write!(out, "{DEATHS}")?;
    let none = [None; 4];
    let of = |figures: [f64; 4]| figures.map(Some);
    let rows: [(usize, usize, Reference); 9] = [
        (10, 2, of([0.0, 10.5, 28.7, 72.8])),
        (10, 3, of([0.0, 0.0, 4.5, 38.6])),
        (10, 4, of([0.0, 0.0, 0.0, 12.4])),
        (30, 2, of([3.5, 17.4, 38.9, 79.1])),
        (30, 5, of([0.0, 0.0, 0.8, 15.2])),
        (1000, 2, of([9.6, 28.3, 54.5, 92.4])),
        (1000, 3, none),
        (1000, 4, none),
        (1000, 20, of([0.0; 4])),
    ];
    let mut all = true;
    for (count, successors, reference) in rows {
        write!(out, "{count:5} {successors:3}")?;
        let mut paths = Vec::new();
        let mut fine = true;
        for (percent, reference) in [10, 20, 30, 50].into_iter().zip(reference) {
            let (failed, path) = after_deaths(count, successors, percent);
            let told = reference.map_or(String::new(), |known| format!("({known:.1})"));
            write!(out, "{failed:7.1} {told:<6}")?;
            fine &= successors < 20 || failed == 0.0;
            paths.push(path);
        }
        all &= fine;
        writeln!(out, "  {:5.2} {:5.2}{}", paths[0], paths[3], verdict(fine))?;
    }
    Ok(all)
}

/// Failed look-ups in per cent after `percent` of the nodes have died, and the mean path of the
/// successful look-ups.
fn after_deaths(count: usize, successors: usize, percent: u64) -> (f64, f64) {
    let mut rng = Rng::from_seed(percent);
    let circles = if count > 100 { 4 } else { 200 };
    let (mut lost, mut paths) = (0, Vec::new());
    for _ in 0..circles {
        let mut many = Many::of(count, successors, &mut rng);
        many.kill(percent, &mut rng);
        let (hops, failed) = many.look_ups(LOOK_UPS_EACH, &mut rng);
        lost += failed;
        paths.extend(hops);
    }
    let made = circles * LOOK_UPS_EACH;
    (lost as f64 * 100.0 / made as f64, mean(&paths))
}

/// Runs schedules of messages. Checks that the invariants hold and that each mutant is found.
fn circles(out: &mut impl Write, count: u64) -> io::Result<bool> {
    writeln!(
        out,
        "\n{count} schedules, every rule after every message, ideal after 12 rounds"
    )?;
    let (mut broken, mut steps) = (0, 0);
    for seed in 0..count {
        let ran = schedules::run(seed, ChordMutants::default());
        steps += ran.steps;
        if let Some((rule, text)) = ran.broken {
            broken += 1;
            writeln!(out, "schedule {seed}: {rule}: {text}")?;
        }
    }
    writeln!(out, "\nsteps {steps}, schedules broken {broken}\n")?;
    let mut all = broken == 0;
    for mutant in ChordMutant::ALL {
        let found = schedules::found(mutant, count.max(40));
        all &= found.is_some();
        writeln!(out, "{:<26} {found:?}", format!("{mutant:?}"))?;
    }
    Ok(all)
}
