//! Rounds to the ideal circle. In a round, every node stabilises once, in random order.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use roles::chord::alone::Alone;
use roles::chord::arc::around;
use roles::chord::{Config, Standing};
use roles::contract::id::NodeId;
use roles::contract::message::{Envelope, Kind, Message};
use roles::contract::node::{Action, Outbox, Peer};
use roles::contract::rng::Rng;
use roles::contract::time::Time;

use super::{Living, asker, ids, placed, seen, verdict};

const CIRCLES: u64 = 50;

const ROUND: Duration = Duration::from_secs(1);

/// Rounds after which a run counts as not ideal. No run has needed more.
const ROUNDS_MAX: usize = 12;

/// What happens to an ideal circle.
#[derive(Clone, Copy)]
enum Change {
    /// This many adjacent nodes die.
    Adjacent(usize),
    /// This many per cent of the nodes die, chosen at random.
    Deaths(usize),
    /// This many per cent of the nodes' number join.
    Joins(usize),
}

pub(super) fn tell(out: &mut impl Write) -> io::Result<bool> {
    writeln!(
        out,
        "\nrounds to the ideal circle, of {CIRCLES} circles; target: {ROUNDS_MAX} at most\n"
    )?;
    writeln!(
        out,
        "    N   r  what happens            mean  longest  reference"
    )?;
    let rows = [
        (10, 2, "one dies", Change::Adjacent(1), "2.0"),
        (200, 4, "one dies", Change::Adjacent(1), "2.8"),
        (50, 3, "two adjacent die", Change::Adjacent(2), "3.7"),
        (50, 4, "10 % die", Change::Deaths(10), "3.1"),
        (50, 4, "30 % join", Change::Joins(30), "4.5, longest 9"),
        (500, 4, "30 % join", Change::Joins(30), ""),
    ];
    let mut all = true;
    for (count, successors, what, change, reference) in rows {
        let rounds: Vec<usize> = (0..CIRCLES)
            .map(|seed| Rounds::of(count, successors, seed).until_ideal(change))
            .collect();
        let longest = rounds.iter().max().copied().unwrap_or(0);
        let fine = longest <= ROUNDS_MAX;
        all &= fine;
        let mean = super::mean(&rounds);
        writeln!(
            out,
            "{count:5} {successors:3}  {what:<22} {mean:5.1} {longest:8}  {reference}{}",
            verdict(fine)
        )?;
    }
    Ok(all)
}

/// A circle in which every envelope arrives at once.
struct Rounds {
    now: Time,
    config: Config,
    nodes: BTreeMap<NodeId, Alone>,
    living: Living,
    envelopes: VecDeque<(NodeId, NodeId, Envelope)>,
    rng: Rng,
}

impl Rounds {
    fn of(count: usize, successors: usize, seed: u64) -> Rounds {
        let mut rng = Rng::from_seed(seed);
        let all = ids(count, &mut rng);
        let config = Config {
            successors,
            round: ROUND,
            every: ROUND,
            ..Config::default()
        };
        let living = Living::of(&all);
        let nodes = (all.iter())
            .map(|id| (*id, placed(*id, &all, &config, &living, &mut rng)))
            .collect();
        Rounds {
            now: Time::ZERO,
            config,
            nodes,
            living,
            envelopes: VecDeque::new(),
            rng,
        }
    }

    fn until_ideal(&mut self, change: Change) -> usize {
        self.happen(change);
        let mut rounds = 0;
        while rounds <= ROUNDS_MAX && !self.is_ideal() {
            self.round();
            rounds += 1;
        }
        rounds
    }

    fn happen(&mut self, change: Change) {
        let mut all: Vec<NodeId> = self.nodes.keys().copied().collect();
        let share = |percent: usize| all.len() * percent / 100;
        match change {
            Change::Adjacent(count) => all.truncate(count),
            Change::Deaths(percent) => {
                let count = share(percent);
                self.rng.shuffle(&mut all);
                all.truncate(count);
            }
            Change::Joins(percent) => {
                let count = share(percent);
                all.clear();
                self.join(count);
            }
        }
        for dead in all {
            self.nodes.remove(&dead);
            self.living.0.remove(&dead);
        }
        self.show();
    }

    fn join(&mut self, count: usize) {
        for id in ids(count, &mut self.rng) {
            let seed = Rng::from_seed(self.rng.bits());
            self.nodes
                .insert(id, Alone::new(self.config.clone(), id, seed));
        }
        let all: Vec<NodeId> = self.nodes.keys().copied().collect();
        self.living = Living::of(&all);
    }

    /// Tells every node which nodes live.
    fn show(&mut self) {
        let all: Vec<NodeId> = self.nodes.keys().copied().collect();
        let mut out = Outbox::new();
        for (id, chord) in &mut self.nodes {
            chord.see(
                self.now,
                &seen(&all, *id),
                &Arc::default(),
                &self.living,
                &mut out,
            );
        }
    }

    fn round(&mut self) {
        self.now = self.now + ROUND;
        let mut all: Vec<NodeId> = self.nodes.keys().copied().collect();
        self.rng.shuffle(&mut all);
        for id in all {
            let mut out = Outbox::new();
            if let Some(chord) = self.nodes.get_mut(&id) {
                chord.on_tick(self.now, &self.living, &mut out);
            }
            self.post(id, &mut out);
            while let Some((from, to, envelope)) = self.envelopes.pop_front() {
                self.deliver(from, to, envelope);
            }
        }
    }

    fn post(&mut self, from: NodeId, out: &mut Outbox) {
        while let Some(action) = out.pop() {
            let Action::Send { to, envelope } = action else {
                continue;
            };
            let mut living = self.living.0.iter();
            if let Some((to, _)) = living.find(|(_, at)| Peer::Node(**at) == to) {
                self.envelopes.push_back((from, *to, envelope));
            }
        }
    }

    fn deliver(&mut self, from: NodeId, to: NodeId, envelope: Envelope) {
        let mut out = Outbox::new();
        let Some(chord) = self.nodes.get_mut(&to) else {
            return;
        };
        let asker = asker(from, &self.living, envelope.id);
        match (envelope.kind, envelope.message) {
            (Kind::Question { .. }, Message::Chord(words)) => {
                chord.on_question(self.now, asker, words, &self.living, &mut out);
            }
            (kind, message) => {
                let peer = asker.sender.peer;
                let envelope = Envelope {
                    kind,
                    message,
                    ..envelope
                };
                chord.on_answer(self.now, peer, envelope, &self.living, &mut out);
            }
        }
        self.post(to, &mut out);
    }

    fn is_ideal(&self) -> bool {
        let all: Vec<NodeId> = self.nodes.keys().copied().collect();
        self.nodes.iter().all(|(id, chord)| {
            let others: Vec<NodeId> = all.iter().copied().filter(|n| n != id).collect();
            let ideal = around(*id, &others, self.config.successors);
            chord.standing() == Standing::Joined && *chord.beside() == ideal
        })
    }
}
