//! Which members this node doubts, and how far the doubt has gone.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::contract::id::NodeId;

/// Checks of silent members, and verdicts that wait.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    checks: BTreeMap<NodeId, Check>,
    /// Suspects whose verdict this node has put off, because this node may be the one cut off.
    postponed: BTreeSet<NodeId>,
    /// Suspects that this node heard during their suspicion and gave more time, once each.
    spared: BTreeSet<NodeId>,
}

/// The check of a silent member, before any suspicion.
#[derive(Debug)]
pub(super) struct Check {
    /// Helpers that have been asked and have not answered.
    pub(super) asked: BTreeSet<NodeId>,
    /// This node and the helpers that could not reach the member.
    pub(super) observers: Vec<NodeId>,
    /// The probe by this node itself has not ended.
    pub(super) probing: bool,
}

impl Check {
    fn is_over(&self) -> bool {
        self.asked.is_empty() && !self.probing
    }
}

impl Doubts {
    /// How many members are being checked.
    pub(super) fn checks(&self) -> usize {
        self.checks.len()
    }

    /// The members that are being checked.
    pub(super) fn checked(&self) -> impl Iterator<Item = NodeId> {
        self.checks.keys().copied()
    }

    /// Whether the member is being checked.
    pub(super) fn checks_on(&self, node: NodeId) -> bool {
        self.checks.contains_key(&node)
    }

    /// Begins a check.
    pub(super) fn begin(&mut self, node: NodeId, check: Check) {
        self.checks.insert(node, check);
    }

    /// The probe by this node itself has failed.
    pub(super) fn on_own_probe_failed(&mut self, node: NodeId) {
        if let Some(check) = self.checks.get_mut(&node) {
            check.probing = false;
        }
    }

    /// A helper has ended its probe. `failed`: it could not reach the member. A helper that does
    /// not answer is no evidence against the member, so it becomes no observer.
    pub(super) fn on_helper(&mut self, node: NodeId, helper: NodeId, failed: bool) {
        if let Some(check) = self.checks.get_mut(&node) {
            check.asked.remove(&helper);
            if failed {
                check.observers.push(helper);
            }
        }
    }

    /// Whether a check is under way and nothing more is to be heard for it.
    pub(super) fn is_all_said(&self, node: NodeId) -> bool {
        self.checks.get(&node).is_some_and(Check::is_over)
    }

    /// Ends a check. Returns those that could not reach the member.
    pub(super) fn end(&mut self, node: NodeId) -> Option<Vec<NodeId>> {
        self.checks.remove(&node).map(|check| check.observers)
    }

    /// Ends all checks.
    pub(super) fn end_all(&mut self) {
        self.checks.clear();
    }

    /// Whether the verdict may be put off. It is put off once: the suspect may really be dead.
    pub(super) fn may_postpone(&mut self, node: NodeId) -> bool {
        self.postponed.insert(node)
    }

    /// The suspects whose verdict was put off.
    pub(super) fn postponed(&self) -> impl Iterator<Item = NodeId> {
        self.postponed.iter().copied()
    }

    /// Whether the verdict about the suspect was put off.
    pub(super) fn is_postponed(&self, node: NodeId) -> bool {
        self.postponed.contains(&node)
    }

    /// Whether a suspect that has spoken may get more time. It gets it once for each suspicion.
    pub(super) fn may_spare(&mut self, node: NodeId) -> bool {
        self.spared.insert(node)
    }

    /// Drops every doubt about the member.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.checks.remove(&node);
        self.postponed.remove(&node);
        self.spared.remove(&node);
    }
}
