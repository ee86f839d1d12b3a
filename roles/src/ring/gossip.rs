//! News on its way through the ring.
//!
//! Whoever learns something passes it on once, a moment later and together with whatever else it
//! has learned by then: to everybody in a small ring, to its neighbours and a few others in a
//! large one. Whoever is suspected hears it, too, and first of all.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Ring, Timer};
use crate::contract::id::NodeId;
use crate::contract::limits::CLAIMS_MAX;
use crate::contract::member::{Member, MemberState};
use crate::contract::node::{Outbox, Sender};
use crate::contract::ring::{Claim, Ring as Words};
use crate::contract::time::Time;
use crate::flaws::Flaw;

/// How long news waits for more of it.
const GATHERING: Duration = Duration::from_millis(20);

/// In a ring of so many others everybody is told.
const EVERYBODY: usize = 6;

/// Others told in a larger ring, beside the two neighbours.
const SOME: usize = 4;

/// What is to be passed on, and who has told us.
#[derive(Debug, Default)]
pub(super) struct Gossip {
    fresh: BTreeMap<NodeId, Option<NodeId>>,
}

impl Gossip {
    pub(super) fn len(&self) -> usize {
        self.fresh.len()
    }
}

impl Ring {
    /// The account of `node` has changed; `from` has told us and need not hear it again.
    pub(super) fn spread(&mut self, now: Time, node: NodeId, from: Option<NodeId>) {
        if self.config.flaws.has(Flaw::KeepsNewsToItself) && node != self.members.me().node {
            return;
        }
        self.gossip.fresh.insert(node, from);
        self.timers.arm_by(Timer::Spread, now + GATHERING);
    }

    /// Passes on what has gathered.
    pub(super) fn tell_news(&mut self, now: Time, out: &mut Outbox) {
        let fresh = core::mem::take(&mut self.gossip.fresh);
        let news: Vec<(Claim, Option<NodeId>)> = (fresh.iter())
            .filter_map(|(node, from)| Some((self.members.claim(*node)?, *from)))
            .collect();
        for target in self.audience() {
            let not_from = |(_, from): &&(Claim, _)| *from != Some(target.node);
            let claims: Vec<Claim> = news.iter().filter(not_from).map(|n| n.0.clone()).collect();
            self.tell(target, claims, out);
        }
        self.tell_the_suspects(&news, out);
        self.timers.disarm(&Timer::Spread);
        debug_assert!(now < Time::NEVER);
    }

    fn tell(&mut self, to: Member, claims: Vec<Claim>, out: &mut Outbox) {
        for page in claims.chunks(CLAIMS_MAX) {
            let claims = page.to_vec();
            self.say(to.address, Words::News { claims }, out);
        }
    }

    /// Who is suspected, or was found dead by this node, hears it directly: it may refute.
    fn tell_the_suspects(&mut self, news: &[(Claim, Option<NodeId>)], out: &mut Outbox) {
        for (claim, from) in news {
            let accused = matches!(claim.member.state, MemberState::Suspect | MemberState::Dead);
            if accused && from.is_none() {
                self.tell(claim.member, [claim.clone()].into(), out);
            }
        }
    }

    /// Whom this node tells.
    fn audience(&mut self) -> Vec<Member> {
        let mut others: Vec<Member> = self.members.others().copied().collect();
        if others.len() <= EVERYBODY {
            return others;
        }
        let mut told = self.members.successors(1);
        told.extend(self.members.predecessors(1));
        others.retain(|m| told.iter().all(|t| t.node != m.node));
        self.chance.shuffle(&mut others);
        told.extend(others.iter().take(SOME));
        told
    }

    pub(super) fn on_news(
        &mut self,
        now: Time,
        from: Sender,
        claims: Vec<Claim>,
        out: &mut Outbox,
    ) {
        if claims.len() > CLAIMS_MAX {
            return self.note_absurd(from.node, out);
        }
        for claim in claims {
            self.take(now, from.node, claim, out);
        }
    }

    /// Somebody spoke of an account that has been overtaken: it hears the later one, unless it is
    /// the very member, which has started anew and knows better.
    pub(super) fn correct(&mut self, node: NodeId, to: NodeId, out: &mut Outbox) {
        let me = self.members.me().node;
        let member = self.members.get(to).map(|entry| entry.member);
        let member = member.filter(|member| member.node != me);
        if let (Some(member), Some(claim)) = (member, self.members.claim(node)) {
            self.tell(member, [claim].into(), out);
        }
    }
}
