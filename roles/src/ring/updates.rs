//! Updates about members, and their consequences (SWIM).
//!
//! Every update passes through [`Ring::take`], from whatever source. A later update than the known
//! entry is stored and passed on. For an earlier one, the sender receives the known entry. An
//! impossible one is counted. One that names another process under a known id is not believed:
//! that process is asked itself.

use alloc::vec;

use super::failure_detector::HEALTHY_PATIENCE;
use super::{ABSURD_SENDERS_MAX, Purpose, Ring, Timer, is_from};
use crate::contract::id::NodeId;
use crate::contract::member::{Member, MemberState};
use crate::contract::node::Sender;
use crate::contract::ring::{Claim, Ring as RingMessage};
use crate::contract::time::Time;
use crate::contract::user::Level;
use crate::cx::Cx;
use crate::members::Voice;
use crate::mutants::RingMutant;
use crate::purpose::Asked;

impl Ring {
    /// Takes one update, with all its consequences. `from` is the node that sent it.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>, from: Sender, claim: Claim) {
        use crate::members::Absorbed;
        let node = claim.member.node;
        let voice = self.voice(&from, &claim.member);
        let teller = from;
        let from = from.node;
        if self.config.mutants.has(RingMutant::ForgetsTheDead) && !claim.member.lives() {
            return self.members.forget(node);
        }
        match self.members.absorb(cx.now, &claim, voice) {
            Absorbed::Nothing => (),
            Absorbed::Changed { before } => self.on_changed(cx, node, before, Some(from)),
            Absorbed::Observed => self.on_observed(cx.now, node, from),
            Absorbed::Stale => self.correct(cx, node, from),
            Absorbed::Refute { version } => self.refute(cx, version),
            Absorbed::Hearsay => self.seek(cx, claim.member),
            Absorbed::Double => self.hear_of_double(cx, teller),
            Absorbed::Absurd => self.note_absurd(cx, from),
        }
    }

    /// Who makes a claim about `member` that `from` sends.
    fn voice(&self, from: &Sender, member: &Member) -> Voice {
        let process = (from.node, from.incarnation) == (member.node, member.incarnation);
        let itself = process && is_from(from, member.address);
        if itself || self.config.mutants.has(RingMutant::BelievesHearsay) {
            Voice::Itself
        } else {
            Voice::Another
        }
    }

    /// Asks a process of which another member has told whether it exists. Only its own answer
    /// counts. Without an answer, the known process is looked at: it may have ended.
    fn seek(&mut self, cx: &mut Cx<'_>, claimed: Member) {
        let node = claimed.node;
        let Some(known) = self.members.get(node).map(|entry| entry.member) else {
            return;
        };
        let under_way =
            |asked: &Asked| matches!(asked, Asked::Ring(Purpose::Seek(n)) if *n == node);
        if self.has_left() || cx.asks(under_way) {
            return;
        }
        let patience = self.config.confirm * HEALTHY_PATIENCE;
        let question = (RingMessage::Probe { known }, patience);
        self.ask(cx, Purpose::Seek(node), vec![claimed.address], question);
    }

    /// The process that was told of does not answer.
    pub(super) fn on_seek_failed(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        if self
            .members
            .get(node)
            .is_some_and(|entry| entry.member.lives())
        {
            self.verify(cx, node);
        }
    }

    fn refute(&mut self, cx: &mut Cx<'_>, version: u32) {
        if self.config.mutants.has(RingMutant::NeverRefutes) {
            return;
        }
        // A false suspicion of this node may mean that this node is slow, so it trusts its own
        // timeouts less (Lifeguard, section IV.A).
        self.health.worse();
        self.members.restate(cx.now, version, |_| ());
        let me = self.members.me();
        let line = alloc::format!("refutes a suspicion version={}", me.version);
        cx.out.fact(Level::Debug, line);
        self.spread(cx.now, me.node, None);
    }

    /// The entry of a member has changed: acts on its state, spreads the entry and checks the
    /// watch. `before` is the state before, none for a new member.
    pub(super) fn on_changed(
        &mut self,
        cx: &mut Cx<'_>,
        node: NodeId,
        before: Option<MemberState>,
        from: Option<NodeId>,
    ) {
        let Some(entry) = self.members.get(node) else {
            return;
        };
        let member = entry.member;
        match member.state {
            MemberState::Alive => self.on_alive(cx, member, before),
            MemberState::Suspect => {
                self.await_verdict(cx.now, node);
                self.look_for_oneself(cx, node);
            }
            MemberState::Dead => self.on_death(cx, member, before),
            MemberState::Left => self.on_left(cx, member, before),
        }
        self.spread(cx.now, node, from);
        self.watch(cx.now);
    }

    fn on_alive(&mut self, cx: &mut Cx<'_>, member: Member, before: Option<MemberState>) {
        let node = member.node;
        // The member spoke after the check began, perhaps as a later start, so the check is void.
        // The member then has the full silence timeout to be heard.
        self.forget_doubts(node);
        self.timers.disarm(&Timer::CensusDue(node));
        self.hearing.restart(cx.now, node);
        if before != Some(MemberState::Alive) && before != Some(MemberState::Suspect) {
            let line = alloc::format!(
                "ring joined node={node} {} {} members={}",
                member.role,
                member.address,
                self.members.count()
            );
            cx.out.fact(Level::Info, line);
        }
        cx.out.meet(member.address, member.features);
    }

    fn on_left(&mut self, cx: &mut Cx<'_>, member: Member, before: Option<MemberState>) {
        self.forget_doubts(member.node);
        if before.is_some_and(|state| state < MemberState::Dead) {
            let line = alloc::format!("ring left node={} {}", member.node, member.address);
            cx.out.fact(Level::Info, line);
        }
    }

    pub(super) fn forget_doubts(&mut self, node: NodeId) {
        self.doubts.forget(node);
        self.timers.disarm(&Timer::Suspicion(node));
        self.timers.disarm(&Timer::Verdict(node));
    }

    /// This node heard `member` at its address itself. Only one process can listen there, so any
    /// other member with this address has ended.
    pub(super) fn settle(&mut self, now: Time, member: Member) {
        for ended in self.members.settle(now, member.node, member.address) {
            self.forget_doubts(ended);
            self.spread(now, ended, None);
        }
    }

    pub(super) fn note_absurd(&mut self, cx: &mut Cx<'_>, from: NodeId) {
        self.absurd.count += 1;
        let senders = &mut self.absurd.senders;
        if senders.len() < ABSURD_SENDERS_MAX && senders.insert(from) {
            let line = alloc::format!("ring refused what cannot be true, from={from}");
            cx.out.fact(Level::Warn, line);
        }
    }
}
