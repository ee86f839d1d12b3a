//! How rings find each other: joining, and merging what was split.
//!
//! A ring of one that finds a member joins its ring; two halves that find each other merge: both
//! exchange their tables, the later account of each member wins, and what is new goes round as
//! news. So there is no other way to join than to merge. Every few seconds a member tries one
//! address outside the ring it sees: of the DNS, of earlier runs, of the dead of the last day
//! (Shafaat, Ghodsi, Haridi: "Dealing with network partitions in structured overlay networks").

use alloc::vec;
use alloc::vec::Vec;

use super::{Purpose, Ring, account};
use crate::contract::limits::MEMBERS_MAX;
use crate::contract::member::{Member, MemberState};
use crate::contract::message::{Message, Refusal};
use crate::contract::node::{Asker, Outbox, Peer, Sender};
use crate::contract::record::{Address, Record, Role};
use crate::contract::ring::Ring as Words;
use crate::contract::time::Time;
use crate::flaws::Flaw;
use crate::requests::Policy;

/// Reports in a row with another view of the ring before the tables are compared: what changes is
/// on its way by then.
const DIFFERING_MAX: u32 = 2;

/// Addresses of earlier runs that are tried.
const SEEDS_MAX: usize = 64;

/// Whom this node could ask outside its ring.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    seeds: Vec<Address>,
    differing: u32,
    /// When a stranger was last joined because it spoke.
    met_at: Option<Time>,
}

impl Contacts {
    /// Notes whether the predecessor sees the same ring; true once it has not for a while.
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
    /// Members of an earlier run, to be tried.
    pub fn remember(&mut self, members: &[Member]) {
        let me = self.members.me().address;
        let others = members.iter().map(|m| m.address).filter(|at| *at != me);
        self.contacts.seeds = others.take(SEEDS_MAX).collect();
    }

    /// Tries somebody outside: a member the DNS names and the ring does not know at once, the dead
    /// and the forgotten now and then.
    pub(super) fn reach_out(&mut self, now: Time, outside: &[Record], out: &mut Outbox) {
        if self.config.flaws.has(Flaw::NeverMerges) && self.members.count() > 1 {
            return;
        }
        let me = self.members.me();
        let strange = |r: &&Record| {
            r.role != Role::Dns && r.address != me.address && !self.is_in_ring(r.address)
        };
        let named: Vec<&Record> = outside.iter().filter(strange).collect();
        let unknown = |r: &&&Record| self.members.get(r.node).is_none();
        let unknown: Vec<Address> = named.iter().filter(unknown).map(|r| r.address).collect();
        if let Some(address) = self.chance.pick(&unknown).copied() {
            return self.join(now, vec![address], out);
        }
        let alone = self.members.count() == 1;
        if !alone && !self.beats.is_multiple_of(self.config.contact_beats) {
            return;
        }
        let mut all: Vec<Address> = named.iter().map(|r| r.address).collect();
        let dead = self.members.all().filter(|m| m.state == MemberState::Dead);
        all.extend(dead.map(|m| m.address));
        all.extend(&self.contacts.seeds);
        all.retain(|at| !self.is_in_ring(*at) && *at != me.address);
        if let Some(address) = self.chance.pick(&all).copied() {
            self.join(now, vec![address], out);
        }
    }

    /// A node that this one does not know speaks as a member to a member: it is asked at once who
    /// is there, for it waits for this node's reports.
    pub(super) fn meet(&mut self, now: Time, from: Sender, out: &mut Outbox) {
        let Peer::Node(address) = from.peer else {
            return;
        };
        let known = self.members.get(from.node).is_some() || from.node == self.members.me().node;
        let lately = |at: Time| now.since(at) < self.config.beat;
        let stays_apart = self.config.flaws.has(Flaw::NeverMerges) && self.members.count() > 1;
        if known || self.contacts.met_at.is_some_and(lately) || self.has_left() || stays_apart {
            return;
        }
        self.contacts.met_at = Some(now);
        self.join(now, vec![address], out);
    }

    fn is_in_ring(&self, address: Address) -> bool {
        self.members.living().any(|m| m.address == address)
    }

    /// Exchanges tables.
    pub(super) fn join(&mut self, now: Time, to: Vec<Address>, out: &mut Outbox) {
        let members = self.members.all().copied().collect();
        let question = (Words::Join { members }, Policy::ONCE.deadline);
        self.ask(now, Purpose::Join, to, question, out);
    }

    pub(super) fn on_join(
        &mut self,
        now: Time,
        asker: Asker,
        members: Vec<Member>,
        out: &mut Outbox,
    ) {
        if members.len() > MEMBERS_MAX {
            let why = alloc::format!("a table has at most {MEMBERS_MAX} members");
            self.note_absurd(asker.sender.node, out);
            return out.refuse(asker, Refusal::Invalid(why));
        }
        for member in members {
            self.take(now, asker.sender.node, account(member), out);
        }
        let members = self.members.all().copied().collect();
        out.answer(asker, Message::Ring(Words::Joined { members }));
    }

    pub(super) fn on_joined(&mut self, now: Time, members: Vec<Member>, out: &mut Outbox) {
        let me = self.members.me();
        // Two machines with a copy of one disk: whoever came first goes on.
        let double = |member: &Member| {
            (member.node, member.incarnation) == (me.node, me.incarnation)
                && member.address != me.address
                && member.lives()
        };
        self.outdated |= members.iter().take(MEMBERS_MAX).any(double);
        for member in members.into_iter().take(MEMBERS_MAX) {
            self.take(now, me.node, account(member), out);
        }
    }
}
