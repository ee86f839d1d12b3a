//! How long what takes: measured on the side, for the report of a long run.

use std::collections::BTreeMap;
use std::time::Duration;

use roles::contract::id::{Incarnation, NodeId};
use roles::contract::time::Time;

/// Durations of one run.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// From a kill to the first verdict.
    pub killed: Vec<Duration>,
    /// From a power cut to the first verdict.
    pub silent: Vec<Duration>,
    /// From the healing to one ring, in worlds where nobody was cut off.
    pub ideal: Vec<Duration>,
    /// The same where somebody was.
    pub merged: Vec<Duration>,
    /// From one ring to the ideal circle of data nodes.
    pub circle: Vec<Duration>,
    /// Deaths without a verdict yet: when, and whether anybody could hear of it.
    deaths: BTreeMap<(NodeId, Incarnation), (Time, bool)>,
}

impl Figures {
    /// A process has died; `heard`: its peers have heard so.
    pub fn on_death(&mut self, now: Time, who: (NodeId, Incarnation), heard: bool) {
        self.deaths.insert(who, (now, heard));
    }

    /// Somebody calls it dead.
    pub fn on_verdict(&mut self, now: Time, node: NodeId, incarnation: Incarnation) {
        match self.deaths.remove(&(node, incarnation)) {
            Some((at, true)) => self.killed.push(now.since(at)),
            Some((at, false)) => self.silent.push(now.since(at)),
            None => (),
        }
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: Figures) {
        self.killed.extend(other.killed);
        self.silent.extend(other.silent);
        self.ideal.extend(other.ideal);
        self.merged.extend(other.merged);
        self.circle.extend(other.circle);
    }
}
