//! Durations that a run measures on the side, for the report of a long run.

use std::collections::BTreeMap;
use std::time::Duration;

use roles::contract::id::{Incarnation, NodeId};
use roles::contract::time::Time;

/// Durations of one or more runs.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// From the kill of a process to the first verdict that it is dead.
    pub killed: Vec<Duration>,
    /// From a power cut to the first verdict that the node is dead.
    pub silent: Vec<Duration>,
    /// From the healing to one ring, where no process was cut off or frozen for long.
    pub ideal: Vec<Duration>,
    /// From the healing to one ring, where a process was cut off or frozen for long.
    pub merged: Vec<Duration>,
    /// From one ring to the ideal Chord circle.
    pub circle: Vec<Duration>,
    /// Deaths without a verdict yet: when, and whether peers saw the connections close.
    deaths: BTreeMap<(NodeId, Incarnation), (Time, bool)>,
}

impl Figures {
    /// A process has died. `heard`: its peers see their connections close.
    pub fn on_death(&mut self, now: Time, who: (NodeId, Incarnation), heard: bool) {
        self.deaths.insert(who, (now, heard));
    }

    /// A member has called the node dead; only the first verdict counts.
    pub fn on_verdict(&mut self, now: Time, node: NodeId, incarnation: Incarnation) {
        match self.deaths.remove(&(node, incarnation)) {
            Some((at, true)) => self.killed.push(now.since(at)),
            Some((at, false)) => self.silent.push(now.since(at)),
            None => (),
        }
    }

    /// Adds the durations of another run.
    pub fn add(&mut self, other: Figures) {
        self.killed.extend(other.killed);
        self.silent.extend(other.silent);
        self.ideal.extend(other.ideal);
        self.merged.extend(other.merged);
        self.circle.extend(other.circle);
    }
}
