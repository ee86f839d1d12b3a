//! Updates on their way through the ring.
//!
//! A member that learns an update passes it on once, after a short delay and together with all
//! other updates that have gathered. In a small ring it tells every member. In a large ring it
//! tells its two neighbours and a few random others. A suspect is told by the member that suspects
//! it, because it can refute the suspicion soonest.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Ring, Timer};
use crate::contract::id::NodeId;
use crate::contract::limits::CLAIMS_MAX;
use crate::contract::member::{Member, MemberState};
use crate::contract::node::Sender;
use crate::contract::ring::{Claim, Ring as RingMessage};
use crate::contract::time::Time;
use crate::cx::Cx;
use crate::mutants::RingMutant;

/// How long an update waits for others, so that one message carries them.
pub(super) const GATHERING: Duration = Duration::from_millis(20);

/// With at most so many others, every member is told.
const EVERYBODY: usize = 6;

/// Random members told in a larger ring, besides the two neighbours.
const SOME: usize = 4;

/// The members whose updates are to be passed on, each with the node that told this one.
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
    /// Queues the changed entry of `node`. `from` is the member that told this node; it is not told
    /// again.
    pub(super) fn spread(&mut self, now: Time, node: NodeId, from: Option<NodeId>) {
        if self.config.mutants.has(RingMutant::KeepsNewsToItself) && node != self.members.me().node
        {
            return;
        }
        self.gossip.fresh.insert(node, from);
        self.timers.arm_by(Timer::Spread, now + GATHERING);
    }

    /// Sends the queued updates.
    pub(super) fn tell_news(&mut self, cx: &mut Cx<'_>) {
        let fresh = core::mem::take(&mut self.gossip.fresh);
        let news: Vec<(Claim, Option<NodeId>)> = (fresh.iter())
            .filter_map(|(node, from)| Some((self.members.claim(*node)?, *from)))
            .collect();
        for target in self.audience() {
            let not_from = |(_, from): &&(Claim, _)| *from != Some(target.node);
            let claims: Vec<Claim> = news.iter().filter(not_from).map(|n| n.0.clone()).collect();
            self.tell(cx, target, claims);
        }
        self.tell_the_suspects(cx, &news);
        self.timers.disarm(&Timer::Spread);
        debug_assert!(cx.now < Time::NEVER);
    }

    fn tell(&mut self, cx: &mut Cx<'_>, to: Member, claims: Vec<Claim>) {
        for page in claims.chunks(CLAIMS_MAX) {
            let claims = page.to_vec();
            self.say(cx, to.address, RingMessage::News { claims });
        }
    }

    /// Sends a suspicion or verdict of this node's own directly to the accused member, so that it
    /// can refute.
    fn tell_the_suspects(&mut self, cx: &mut Cx<'_>, news: &[(Claim, Option<NodeId>)]) {
        for (claim, from) in news {
            let accused = matches!(claim.member.state, MemberState::Suspect | MemberState::Dead);
            if accused && from.is_none() {
                self.tell(cx, claim.member, [claim.clone()].into());
            }
        }
    }

    /// The members that this node tells.
    fn audience(&mut self) -> Vec<Member> {
        let mut others: Vec<Member> = self.members.others().copied().collect();
        if others.len() <= EVERYBODY {
            return others;
        }
        let mut told = self.members.successors(1);
        told.extend(self.members.predecessors(1));
        others.retain(|m| told.iter().all(|t| t.node != m.node));
        self.rng.shuffle(&mut others);
        told.extend(others.iter().take(SOME));
        told
    }

    pub(super) fn on_news(&mut self, cx: &mut Cx<'_>, from: Sender, claims: Vec<Claim>) {
        if claims.len() > CLAIMS_MAX {
            return self.note_absurd(cx, from.node);
        }
        for claim in claims {
            self.take(cx, from, claim);
        }
    }

    /// The node `to` sent an outdated update about `node`; it receives the later one. This node
    /// itself is never the receiver.
    pub(super) fn correct(&mut self, cx: &mut Cx<'_>, node: NodeId, to: NodeId) {
        let me = self.members.me().node;
        let member = self.members.get(to).map(|entry| entry.member);
        let member = member.filter(|member| member.node != me);
        if let (Some(member), Some(claim)) = (member, self.members.claim(node)) {
            self.tell(cx, member, [claim].into());
        }
    }
}
