//! What others have said about songs and their copies that cannot be true, or came to nothing.
//!
//! Each case is counted; the log has one line for each kind of doubt and node, so that whoever
//! talks nonsense all day fills no disk. Nothing follows from a doubt: what is refused is refused
//! by those who check it, and whose word is worth what does not depend on it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use core::fmt;

use crate::contract::node::Outbox;
use crate::contract::user::Level;

/// What is doubted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// Bytes that are not what the song's manifest says, or a manifest that cannot be true.
    Bytes,
    /// A song that its announced holder does not have.
    Holder,
    /// Announcements that come to something else than their sender says.
    Announcement,
    /// Sums or lists of songs as of another circle, or removals out of all bounds.
    Upkeep,
    /// The removal of songs that are not here: this may be well, for their holders tell everybody.
    Removal,
    /// A copy that was accepted and not kept.
    Copy,
}

/// Doubts of one node.
#[derive(Debug, Default)]
pub struct Doubts {
    counts: BTreeMap<Doubt, u64>,
    told: BTreeSet<(Doubt, String)>,
}

/// Most lines that are remembered to have been written; past them nothing more is written.
const TOLD_MAX: usize = 256;

impl Doubts {
    /// How often there was this doubt since the start.
    pub fn count(&self, doubt: Doubt) -> u64 {
        self.counts.get(&doubt).copied().unwrap_or(0)
    }

    /// Counts a case, and tells of the first of its kind with this node.
    pub fn note(&mut self, doubt: Doubt, from: impl fmt::Display, out: &mut Outbox) {
        *self.counts.entry(doubt).or_default() += 1;
        let from = from.to_string();
        let line = alloc::format!("doubt: {doubt}, from={from}");
        if self.told.len() < TOLD_MAX && self.told.insert((doubt, from)) {
            out.fact(doubt.level(), line);
        }
    }
}

impl Doubt {
    /// Two of them happen among honest nodes while songs move.
    fn level(self) -> Level {
        match self {
            Doubt::Holder | Doubt::Removal => Level::Info,
            Doubt::Bytes | Doubt::Announcement | Doubt::Upkeep | Doubt::Copy => Level::Warn,
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Doubt::Bytes => "bytes that are not what their song's manifest says",
            Doubt::Holder => "it lacks a song that it has announced",
            Doubt::Announcement => "its announcements do not add up",
            Doubt::Upkeep => "words about copies that cannot be true",
            Doubt::Removal => "it removes a song that is not here",
            Doubt::Copy => "it has accepted a copy and not kept it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::id::NodeId;
    use crate::contract::node::Action;

    /// Every case counts; the log has one line for each kind and node, and only so many in all.
    #[test]
    fn a_doubt_is_counted_always_and_told_once() {
        let (mut doubts, mut out) = (Doubts::default(), Outbox::new());
        for n in 0..3000u128 {
            doubts.note(Doubt::Bytes, NodeId(n % 2), &mut out);
            doubts.note(Doubt::Copy, NodeId(1), &mut out);
        }
        assert_eq!(doubts.count(Doubt::Bytes), 3000);
        assert_eq!(doubts.count(Doubt::Copy), 3000);
        assert_eq!(doubts.count(Doubt::Holder), 0);
        let mut told = || core::iter::from_fn(|| out.pop()).count();
        assert_eq!(told(), 3);

        for n in 0..3000u128 {
            doubts.note(Doubt::Upkeep, NodeId(n), &mut out);
        }
        let is_told = |action: &Action| matches!(action, Action::Tell(_));
        let lines = core::iter::from_fn(|| out.pop()).filter(is_told).count();
        assert_eq!(lines, TOLD_MAX - 3);
    }
}
