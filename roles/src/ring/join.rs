//! How rings find each other: joining, and merging after a split.
//!
//! Joining is merging: a new node is a ring of one. Two members of different rings exchange their
//! tables, the later entry of each member wins, and what has changed spreads as updates. Every few
//! seconds a member tries one address outside the ring it sees: one from the DNS, from an earlier
//! run, or of a member that died within the last day (Shafaat, Ghodsi, Haridi: "Dealing with
//! network partitions in structured overlay networks").

use alloc::vec;
use alloc::vec::Vec;

use super::{Purpose, Ring, account};
use crate::contract::limits::MEMBERS_MAX;
use crate::contract::member::{Member, MemberState};
use crate::contract::message::{Message, Refusal};
use crate::contract::node::{Asker, Peer, Sender};
use crate::contract::record::{Address, Record, Role};
use crate::contract::ring::Ring as RingMessage;
use crate::contract::time::Time;
use crate::cx::Cx;
use crate::mutants::RingMutant;
use crate::requests::Policy;

/// Consecutive reports with a different view of the ring before the tables are compared. A single
/// difference is usually an update that is still on its way.
const DIFFERING_MAX: u32 = 2;

/// Bound on the addresses of an earlier run that are tried.
const SEEDS_MAX: usize = 64;

/// Addresses outside the ring that this node can try.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    seeds: Vec<Address>,
    differing: u32,
    /// When this node last joined an unknown member because that member had spoken.
    met_at: Option<Time>,
}

impl Contacts {
    /// Notes whether a report shows the same view of the ring as this node's. Returns true when the
    /// views have differed [`DIFFERING_MAX`] times in a row, and starts counting anew.
    pub(super) fn differs(&mut self, same: bool) -> bool {
        self.differing = if same { 0 } else { self.differing + 1 };
        let over = self.differing >= DIFFERING_MAX;
        if over {
            self.differing = 0;
        }
        over
    }
}

impl Ring {
    /// Remembers members of an earlier run as addresses to try.
    pub fn remember(&mut self, members: &[Member]) {
        let me = self.members.me().address;
        let others = members.iter().map(|m| m.address).filter(|at| *at != me);
        self.contacts.seeds = others.take(SEEDS_MAX).collect();
    }

    /// Tries one address outside the ring. A data node or router that the DNS names and the table
    /// lacks is tried at every beat. The dead and the members of an earlier run are tried only at
    /// every [`super::Config::contact_beats`]th beat, unless this node is alone.
    pub(super) fn reach_out(&mut self, cx: &mut Cx<'_>, outside: &[Record]) {
        if self.config.mutants.has(RingMutant::NeverMerges) && self.members.count() > 1 {
            return;
        }
        let me = self.members.me();
        let strange = |r: &&Record| {
            r.role != Role::Dns && r.address != me.address && !self.is_in_ring(r.address)
        };
        let named: Vec<&Record> = outside.iter().filter(strange).collect();
        let unknown = |r: &&&Record| self.members.get(r.node).is_none();
        let unknown: Vec<Address> = named.iter().filter(unknown).map(|r| r.address).collect();
        if let Some(address) = self.rng.pick(&unknown).copied() {
            return self.join(cx, vec![address]);
        }
        let alone = self.members.count() == 1;
        if !alone && !self.pulse.count.is_multiple_of(self.config.contact_beats) {
            return;
        }
        let mut all: Vec<Address> = named.iter().map(|r| r.address).collect();
        let dead = self.members.all().filter(|m| m.state == MemberState::Dead);
        all.extend(dead.map(|m| m.address));
        all.extend(&self.contacts.seeds);
        all.retain(|at| !self.is_in_ring(*at) && *at != me.address);
        if let Some(address) = self.rng.pick(&all).copied() {
            self.join(cx, vec![address]);
        }
    }

    /// An unknown node speaks to this one as a member. This node joins it at once, because the
    /// unknown node has this one in its ring and may be waiting for its reports. It does so at most
    /// once per beat.
    pub(super) fn meet(&mut self, cx: &mut Cx<'_>, from: Sender) {
        let Peer::Node(address) = from.peer else {
            return;
        };
        let known = self.members.get(from.node).is_some() || from.node == self.members.me().node;
        let lately = |at: Time| cx.now.since(at) < self.config.beat;
        let stays_apart =
            self.config.mutants.has(RingMutant::NeverMerges) && self.members.count() > 1;
        if known || self.contacts.met_at.is_some_and(lately) || self.has_left() || stays_apart {
            return;
        }
        self.contacts.met_at = Some(cx.now);
        self.join(cx, vec![address]);
    }

    fn is_in_ring(&self, address: Address) -> bool {
        self.members.living().any(|m| m.address == address)
    }

    /// Exchanges member tables with the first candidate that answers.
    pub(super) fn join(&mut self, cx: &mut Cx<'_>, to: Vec<Address>) {
        let members = self.members.all().copied().collect();
        let question = (RingMessage::Join { members }, Policy::ONCE.deadline);
        self.ask(cx, Purpose::Join, to, question);
    }

    pub(super) fn on_join(&mut self, cx: &mut Cx<'_>, asker: Asker, members: Vec<Member>) {
        if members.len() > MEMBERS_MAX {
            let why = alloc::format!("a table has at most {MEMBERS_MAX} members");
            self.note_absurd(cx, asker.sender.node);
            return cx.out.refuse(asker, Refusal::Invalid(why));
        }
        for member in members {
            self.take(cx, asker.sender, account(member));
        }
        let members = self.members.all().copied().collect();
        cx.out
            .answer(asker, Message::Ring(RingMessage::Joined { members }));
    }

    pub(super) fn on_joined(&mut self, cx: &mut Cx<'_>, from: Sender, members: Vec<Member>) {
        for member in members.into_iter().take(MEMBERS_MAX) {
            self.take(cx, from, account(member));
        }
    }
}
