//! Whose turn it is: once per period, a data node compares what all data nodes keep (marks of songs,
//! documents of listeners) with each other data node, one at a time, and at once with a new one.

use alloc::collections::BTreeSet;
use core::time::Duration;

use crate::contract::id::NodeId;
use crate::contract::time::Time;

/// The comparison with each other data node in turn.
#[derive(Debug)]
pub(super) struct Exchange {
    every: Duration,
    begins_at: Time,
    /// The node that is compared with.
    with: Option<NodeId>,
    /// The nodes of this round that are done.
    done: BTreeSet<NodeId>,
    /// The nodes of the last round: with a new one, a round begins at once.
    known: BTreeSet<NodeId>,
    /// A whole round has ended since [`Exchange::start_over`].
    whole: bool,
}

impl Exchange {
    pub(super) fn new(every: Duration) -> Self {
        Exchange {
            every,
            begins_at: Time::ZERO,
            with: None,
            done: BTreeSet::new(),
            known: BTreeSet::new(),
            whole: true,
        }
    }

    /// Compares with every other node once more, from now on.
    pub(super) fn start_over(&mut self, now: Time) {
        self.begins_at = now;
        self.done.clear();
        self.whole = false;
    }

    /// Whether a whole round has ended since.
    pub(super) fn has_compared(&self) -> bool {
        self.whole
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.with.is_none().then_some(self.begins_at)
    }

    /// The node to compare with from now on, if a comparison is due and none is under way. It is the
    /// partner until [`Exchange::end`].
    pub(super) fn next(&mut self, now: Time, nodes: BTreeSet<NodeId>) -> Option<NodeId> {
        if !nodes.is_subset(&self.known) {
            self.begins_at = now;
        }
        self.known = nodes;
        if self.with.is_some() || self.begins_at > now {
            return None;
        }
        self.with = self.known.difference(&self.done).next().copied();
        if self.with.is_none() {
            self.done.clear();
            self.begins_at = now + self.every;
            self.whole = true;
        }
        self.with
    }

    /// Compares with nobody, for a whole period.
    pub(super) fn pass_over(&mut self, now: Time) {
        self.begins_at = now + self.every;
        self.whole = true;
    }

    /// The comparison with a node is over, whatever came of it.
    pub(super) fn end(&mut self, node: NodeId) {
        if self.with == Some(node) {
            self.with = None;
            self.done.insert(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::at;

    /// Each node has its turn once a period, and a new one has it at once.
    #[test]
    fn nodes_take_turns() {
        let (one, two) = (NodeId(1), NodeId(2));
        let mut exchange = Exchange::new(Duration::from_secs(60));
        assert_eq!(exchange.next(at(1), [one].into()), Some(one));
        assert_eq!(exchange.next(at(1), [one].into()), None);
        exchange.end(one);
        assert_eq!(exchange.next(at(2), [one].into()), None);
        assert_eq!(exchange.deadline(), Some(at(62)));
        assert_eq!(exchange.next(at(3), [one, two].into()), Some(one));
        exchange.end(one);
        assert_eq!(exchange.next(at(3), [one, two].into()), Some(two));
    }
}
