//! Anomalies: statements of other nodes about songs and copies that cannot be true, or promises
//! that were not kept.
//!
//! Each case is counted. The log has one line for each kind and node, so that a misbehaving node
//! cannot fill the disk. An anomaly has no other consequence: the code that checks a statement
//! refuses it, and no node is trusted less for it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::contract::node::Figure;
use crate::contract::ring::AnomalyCount;
use crate::contract::user::Level;
use crate::cx::Cx;

/// The kind of an anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anomaly {
    /// Bytes that do not match the song's manifest, or an impossible manifest.
    Bytes,
    /// A node lacks a song that it has announced.
    Holder,
    /// Announcements that do not add up to the digest that their sender states, or that name
    /// another node.
    Announcement,
    /// Digests or lists of songs computed for another hash ring, or impossible removals.
    Upkeep,
    /// The removal of songs that this node lacks. This happens among honest nodes, because a holder
    /// tells every node.
    Removal,
    /// A node accepted a copy and did not keep it.
    Copy,
}

/// The anomalies that one node has noticed.
#[derive(Debug, Default)]
pub struct Anomalies {
    counts: BTreeMap<Anomaly, u64>,
    told: BTreeSet<(Anomaly, String)>,
}

/// Bound on the remembered log lines; after that many, no further line is written.
const TOLD_MAX: usize = 256;

impl Anomalies {
    /// The number of cases of this kind since the start.
    pub fn count(&self, doubt: Anomaly) -> u64 {
        self.counts.get(&doubt).copied().unwrap_or(0)
    }

    /// Every kind with its number, for who watches the node.
    pub fn figures(&self) -> Vec<Figure> {
        let figure = |kind: Anomaly| Figure::Doubts {
            kind: kind.word(),
            count: self.count(kind),
        };
        Anomaly::ALL.into_iter().map(figure).collect()
    }

    /// Every kind of which there was a case, for a diagnosis.
    pub fn told(&self) -> Vec<AnomalyCount> {
        let of_kind = |(kind, count): (&Anomaly, &u64)| AnomalyCount {
            kind: kind.word().to_string(),
            count: *count,
        };
        self.counts.iter().map(of_kind).collect()
    }

    /// Counts a case, and logs the first one of its kind with this node.
    pub fn note(&mut self, cx: &mut Cx<'_>, doubt: Anomaly, from: impl fmt::Display) {
        *self.counts.entry(doubt).or_default() += 1;
        let from = from.to_string();
        let line = alloc::format!("doubt: {doubt}, from={from}");
        if self.told.len() < TOLD_MAX && self.told.insert((doubt, from)) {
            cx.out.fact(doubt.level(), line);
        }
    }
}

impl Anomaly {
    /// Every kind.
    pub const ALL: [Anomaly; 6] = [
        Anomaly::Bytes,
        Anomaly::Holder,
        Anomaly::Announcement,
        Anomaly::Upkeep,
        Anomaly::Removal,
        Anomaly::Copy,
    ];

    /// The kind in one word.
    pub fn word(self) -> &'static str {
        match self {
            Anomaly::Bytes => "bytes",
            Anomaly::Holder => "holder",
            Anomaly::Announcement => "announcement",
            Anomaly::Upkeep => "upkeep",
            Anomaly::Removal => "removal",
            Anomaly::Copy => "copy",
        }
    }

    /// Two kinds happen among honest nodes while songs move, so they are no warnings.
    fn level(self) -> Level {
        match self {
            Anomaly::Holder | Anomaly::Removal => Level::Info,
            Anomaly::Bytes | Anomaly::Announcement | Anomaly::Upkeep | Anomaly::Copy => Level::Warn,
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Anomaly::Bytes => "bytes that are not what their song's manifest says",
            Anomaly::Holder => "it lacks a song that it has announced",
            Anomaly::Announcement => "its announcements do not add up",
            Anomaly::Upkeep => "words about copies that cannot be true",
            Anomaly::Removal => "it removes a song that is not here",
            Anomaly::Copy => "it has accepted a copy and not kept it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::id::NodeId;
    use crate::contract::node::Action;
    use crate::contract::time::Time;
    use crate::test_support::Host;

    /// Every case counts; the log has one line for each kind and node, and only so many in all.
    #[test]
    fn a_doubt_is_counted_always_and_told_once() {
        let (mut anomalies, mut host) = (Anomalies::default(), Host::default());
        for n in 0..3000u128 {
            anomalies.note(&mut host.at(Time::ZERO), Anomaly::Bytes, NodeId(n % 2));
            anomalies.note(&mut host.at(Time::ZERO), Anomaly::Copy, NodeId(1));
        }
        assert_eq!(anomalies.count(Anomaly::Bytes), 3000);
        assert_eq!(anomalies.count(Anomaly::Copy), 3000);
        assert_eq!(anomalies.count(Anomaly::Holder), 0);
        let mut told = || core::iter::from_fn(|| host.out.pop()).count();
        assert_eq!(told(), 3);

        for n in 0..3000u128 {
            anomalies.note(&mut host.at(Time::ZERO), Anomaly::Upkeep, NodeId(n));
        }
        let is_told = |action: &Action| matches!(action, Action::Tell(_));
        let lines = core::iter::from_fn(|| host.out.pop())
            .filter(is_told)
            .count();
        assert_eq!(lines, TOLD_MAX - 3);
    }
}
