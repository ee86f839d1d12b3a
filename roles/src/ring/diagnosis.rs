//! What this member doubts, for people who look at the cluster. Nothing here decides.

use alloc::vec::Vec;

use super::Ring;
use crate::contract::limits::SUSPECTS_TOLD_MAX;
use crate::contract::member::MemberState;
use crate::contract::node::Figure;
use crate::contract::ring::{Diagnosis, Suspect};
use crate::contract::time::Time;
use crate::members::Entry;

impl Ring {
    /// The doubts of this member about others and about itself, but for what it thinks of songs.
    pub fn diagnosis(&self, now: Time) -> Diagnosis {
        let suspect = |entry: &Entry| Suspect {
            node: entry.member.node,
            observers: entry.observers.clone(),
            for_ms: now.since(entry.changed_at).as_millis() as u64,
        };
        Diagnosis {
            suspects: self
                .suspects()
                .take(SUSPECTS_TOLD_MAX)
                .map(suspect)
                .collect(),
            checked: self.doubts.checked().take(SUSPECTS_TOLD_MAX).collect(),
            patience: self.health.factor(),
            cut_off: self.blames_itself(),
            unsure: self.is_unsure(now),
            absurd_claims: self.absurd.count,
            anomalies: Vec::new(),
        }
    }

    /// The same in numbers, for who watches the node.
    pub fn figure(&self) -> Figure {
        Figure::Ring {
            suspects: self.suspects().count(),
            checks: self.doubts.checks(),
            patience: self.health.factor(),
            cut_off: self.blames_itself(),
        }
    }

    fn suspects(&self) -> impl Iterator<Item = &Entry> {
        let all = self.members.entries();
        all.filter(|entry| entry.member.state == MemberState::Suspect)
    }
}
