//! What this node has itself heard of the other members.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use crate::contract::id::NodeId;
use crate::contract::node::{Peer, Sender};
use crate::contract::record::Address;
use crate::contract::time::Time;
use crate::members::Members;

/// When each member was last heard, and which connections broke since.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// When this node itself last received something from each member.
    heard: BTreeMap<NodeId, Time>,
    /// The predecessor, whose silence is being measured.
    watched: Option<NodeId>,
    /// Members whose connection broke and that have not been heard since.
    unreached: BTreeSet<NodeId>,
    /// Which process last spoke from each address.
    speakers: BTreeMap<Address, Sender>,
    /// When this node last probed a dead member because that member had spoken.
    told: BTreeMap<NodeId, Time>,
}

impl Hearing {
    /// A process has spoken.
    pub(super) fn on_speaker(&mut self, from: Sender) {
        if let Peer::Node(address) = from.peer {
            self.speakers.insert(address, from);
        }
    }

    /// The process that last spoke as this peer; none if that was no server.
    pub(super) fn speaker(&self, peer: Peer) -> Option<Sender> {
        match peer {
            Peer::Node(address) => self.speakers.get(&address).copied(),
            Peer::Guest(_) => None,
        }
    }

    /// When the member was last heard.
    pub(super) fn of(&self, node: NodeId) -> Option<Time> {
        self.heard.get(&node).copied()
    }

    /// Whether the member was heard after `at`.
    pub(super) fn is_after(&self, node: NodeId, at: Time) -> bool {
        self.of(node).is_some_and(|heard| heard > at)
    }

    /// The silence of the member begins anew.
    pub(super) fn restart(&mut self, now: Time, node: NodeId) {
        self.heard.insert(node, now);
    }

    /// A message of the member has arrived.
    pub(super) fn on_message(&mut self, now: Time, node: NodeId) {
        self.restart(now, node);
        self.unreached.remove(&node);
    }

    /// The connection with the member broke.
    pub(super) fn on_lost(&mut self, node: NodeId) {
        self.unreached.insert(node);
    }

    /// Whether a connection with the member broke and nothing was heard since.
    pub(super) fn is_unreached(&self, node: NodeId) -> bool {
        self.unreached.contains(&node)
    }

    /// Watches this predecessor. Returns when its silence began.
    pub(super) fn watch(&mut self, now: Time, predecessor: NodeId) -> Time {
        // The predecessor has changed. It sent its reports to another member until now, so the time
        // of its last message says nothing. Its silence begins now.
        if self.watched.replace(predecessor) != Some(predecessor) {
            self.restart(now, predecessor);
        }
        *self.heard.entry(predecessor).or_insert(now)
    }

    /// There is no predecessor.
    pub(super) fn watch_nobody(&mut self) {
        self.watched = None;
    }

    /// This node stood still for `lag`. Messages that could not arrive meanwhile are no evidence
    /// against the others, so every silence begins later by `lag`.
    pub(super) fn on_stall(&mut self, now: Time, lag: Duration) {
        for at in self.heard.values_mut() {
            *at = (*at + lag).min(now);
        }
    }

    /// Whether a dead member that speaks is to be probed: at most once in `pause`.
    pub(super) fn may_tell(&mut self, now: Time, node: NodeId, pause: Duration) -> bool {
        let lately = (self.told.get(&node)).is_some_and(|at| now.since(*at) < pause);
        if !lately {
            self.told.insert(node, now);
        }
        !lately
    }

    /// Drops what concerns nodes that the table lacks, so that nothing here outgrows the table.
    pub(super) fn keep(&mut self, members: &Members) {
        let known = |node: &NodeId| members.get(*node).is_some();
        self.heard.retain(|node, _| known(node));
        self.told.retain(|node, _| known(node));
        self.unreached.retain(known);
        let listens: BTreeSet<Address> = members.all().map(|m| m.address).collect();
        self.speakers.retain(|at, _| listens.contains(at));
    }
}
