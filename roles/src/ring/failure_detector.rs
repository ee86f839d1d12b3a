//! The failure detector: from silence to verdict.
//!
//! A silent predecessor, a broken connection or a failed probe starts a check: helpers are asked to
//! probe the member. When no helper reaches it, this node suspects it in public. Each node that
//! receives a suspicion probes the suspect itself. The suspect is declared dead when it has not
//! refuted in time: soon if two observers agree, later if there is only one.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::doubts::Check;
use super::{Purpose, Ring, SUCCESSORS, Timer, account};
use crate::contract::id::NodeId;
use crate::contract::member::{Member, MemberState};
use crate::contract::message::Message;
use crate::contract::node::{Asker, Sender};
use crate::contract::record::Address;
use crate::contract::ring::Ring as RingMessage;
use crate::contract::time::Time;
use crate::contract::user::Level;
use crate::cx::Cx;
use crate::mutants::RingMutant;
use crate::purpose::ring::Probe;

/// Helpers asked to probe a silent member.
const HELPERS: usize = 3;

/// In a larger ring, only some members probe each suspect: about half of this number.
const LOOKERS: u64 = 16;

/// How much longer a node that has not itself failed to reach the suspect waits with the verdict.
const HEARSAY_DELAY: Duration = Duration::from_millis(1500);

/// Factor on the patience of a probe of a member that nobody suspects. With the checks and the time
/// to refute, no silence below four seconds ends in a verdict, whichever node notices it first. A
/// refused connection needs no patience.
pub(super) const HEALTHY_PATIENCE: u32 = 4;

impl Ring {
    /// Sets the silence timer for the predecessor.
    pub(super) fn watch(&mut self, now: Time) {
        if self.has_left() {
            return self.timers.disarm(&Timer::Silence);
        }
        let Some(predecessor) = self.members.predecessors(1).first().map(|m| m.node) else {
            self.hearing.watch_nobody();
            return self.timers.disarm(&Timer::Silence);
        };
        if self.config.mutants.has(RingMutant::NeverWatches) {
            return;
        }
        let heard = self.hearing.watch(now, predecessor);
        self.timers
            .arm(Timer::Silence, (heard + self.patience()).max(now));
    }

    pub(super) fn is_predecessor(&self, node: NodeId) -> bool {
        self.members.predecessors(1).first().map(|m| m.node) == Some(node)
    }

    /// How long the predecessor may be silent.
    fn patience(&self) -> Duration {
        self.config.beat * self.config.silent_beats * self.health.factor()
    }

    fn confirm(&self) -> Duration {
        self.config.confirm * self.health.factor()
    }

    pub(super) fn on_silence(&mut self, cx: &mut Cx<'_>) {
        let Some(predecessor) = self.members.predecessors(1).first().copied() else {
            return;
        };
        let heard = self.hearing.of(predecessor.node).unwrap_or_default();
        if cx.now < heard + self.patience() {
            return self.watch(cx.now);
        }
        self.timers.arm(Timer::Silence, cx.now + self.patience());
        self.suspicion(cx, predecessor.node, true);
        // If an arc of adjacent members has died, the member before the silent one is silent, too,
        // and the silent one cannot report that.
        for before in self.members.predecessors(SUCCESSORS).iter().skip(1).take(1) {
            self.verify(cx, before.node);
        }
    }

    /// Probes a member.
    pub(super) fn verify(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        if self.has_left() {
            return;
        }
        let Some(known) = self.members.get(node).map(|entry| entry.member) else {
            return;
        };
        // A member that nobody suspects may only stall for a while, so its probe waits longer.
        let untroubled = known.state == MemberState::Alive && !self.doubts.checks_on(node);
        let patience = self.confirm() * if untroubled { HEALTHY_PATIENCE } else { 1 };
        let question = (RingMessage::Probe { known }, patience);
        let to = vec![known.address];
        let probe = Probe {
            node,
            asked_at: cx.now,
            known: (known.incarnation, known.version),
        };
        self.ask(cx, Purpose::Probe(probe), to, question);
    }

    /// Probes one random member, because a dead arc is noticed only from outside.
    pub(super) fn probe_somebody(&mut self, cx: &mut Cx<'_>) {
        let others: Vec<NodeId> = self.members.others().map(|m| m.node).collect();
        if let Some(node) = self.rng.pick(&others).copied() {
            self.verify(cx, node);
        }
    }

    /// Probes a suspect, because the suspicion is hearsay. In a small ring every member does so; in
    /// a large one, some random members do.
    pub(super) fn look_for_oneself(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        let count = self.members.count() as u64;
        if count <= LOOKERS || self.rng.happens(LOOKERS / 2, count) {
            self.verify(cx, node);
        }
    }

    pub(super) fn on_probed(&mut self, cx: &mut Cx<'_>, from: Sender, node: NodeId, me: Member) {
        if me.node == node {
            self.hearing.restart(cx.now, node);
            self.doubts.end(node);
            self.take(cx, from, account(me));
            self.settle(cx.now, me);
        } else if let Some(known) = self.members.get(node).map(|entry| entry.member)
            && known.address == me.address
            && known.lives()
        {
            // Another node answers at this address: the machine has lost its disk and started anew.
            self.take(cx, from, account(me));
            self.settle(cx.now, me);
        }
    }

    pub(super) fn on_probe_failed(&mut self, cx: &mut Cx<'_>, probe: Probe) {
        let node = probe.node;
        let Some(entry) = self.members.get(node).filter(|_| !self.has_left()) else {
            return;
        };
        // The member has spoken since the probe was sent, so it was only hard to reach: it was
        // starting, or its connection broke.
        let heard = self.hearing.is_after(node, probe.asked_at);
        let anew = (entry.member.incarnation, entry.member.version) > probe.known;
        if (heard || anew) && !self.doubts.checks_on(node) {
            return;
        }
        match entry.member.state {
            MemberState::Alive if self.doubts.checks_on(node) => {
                self.doubts.on_own_probe_failed(node);
                self.settle_if_all_said(cx, node);
            }
            MemberState::Alive => self.suspicion(cx, node, false),
            MemberState::Suspect => self.agree(cx.now, node),
            MemberState::Dead | MemberState::Left => (),
        }
    }

    /// This node cannot reach a suspect either, and becomes one of its observers.
    fn agree(&mut self, now: Time, node: NodeId) {
        let me = self.members.me().node;
        let Some(entry) = self.members.get(node) else {
            return;
        };
        let known = entry.observers.len();
        if entry.observers.contains(&me) {
            return;
        }
        self.members.judge(now, node, MemberState::Suspect, &[me]);
        self.await_verdict(now, node);
        // Two observers already set the shorter wait, so a few more need no spreading.
        if known <= 2 {
            self.spread(now, node, None);
        }
    }

    /// Starts a check. With `probing`, this node also probes the member itself.
    fn suspicion(&mut self, cx: &mut Cx<'_>, node: NodeId, probing: bool) {
        let Some(member) = self.members.get(node).map(|entry| entry.member) else {
            return;
        };
        if member.state != MemberState::Alive || self.doubts.checks_on(node) {
            return;
        }
        if self.config.mutants.has(RingMutant::NeverConfirms) {
            let me = self.members.me().node;
            self.suspect(cx, node, &[me]);
            return self.on_verdict_due(cx, node);
        }
        let mut helpers: Vec<Member> = (self.members.others())
            .filter(|m| m.node != node && m.state == MemberState::Alive)
            .copied()
            .collect();
        self.rng.shuffle(&mut helpers);
        helpers.truncate(HELPERS);
        let check = Check {
            asked: helpers.iter().map(|m| m.node).collect(),
            observers: vec![self.members.me().node],
            probing,
        };
        self.doubts.begin(node, check);
        // The probes of the helpers take as long as this node's own. Their answers need a little
        // more.
        let patience = self.confirm();
        self.timers
            .arm(Timer::Suspicion(node), cx.now + patience + patience / 10);
        if probing {
            self.verify(cx, node);
        }
        let address = member.address;
        for helper in helpers {
            let question = (RingMessage::Check { node, address }, patience);
            let purpose = Purpose::Check {
                of: node,
                by: helper.node,
            };
            self.ask(cx, purpose, vec![helper.address], question);
        }
        self.settle_if_all_said(cx, node);
    }

    /// Another member asks this node to probe `node`. When this node knows nobody of that id at
    /// that address, it answers that it cannot reach it.
    pub(super) fn on_check(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        node: NodeId,
        address: Address,
    ) {
        let known = self.members.get(node).map(|entry| entry.member);
        let Some(known) = known.filter(|m| m.address == address) else {
            let reached = false;
            return cx
                .out
                .answer(asker, Message::Ring(RingMessage::Checked { reached }));
        };
        let question = (RingMessage::Probe { known }, self.config.confirm * 9 / 10);
        let purpose = Purpose::CheckFor(asker, node);
        self.ask(cx, purpose, vec![address], question);
    }

    pub(super) fn on_checked(&mut self, cx: &mut Cx<'_>, of: NodeId, by: NodeId, reached: bool) {
        if !reached {
            self.doubts.on_helper(of, by, true);
            return self.settle_if_all_said(cx, of);
        }
        // The helper reached the member, so the fault is in this node or between the two. This node
        // trusts its own hearing less (Lifeguard).
        if self.doubts.end(of).is_some() {
            self.timers.disarm(&Timer::Suspicion(of));
            self.health.worse();
            self.hearing.restart(cx.now, of);
            self.watch(cx.now);
        }
    }

    pub(super) fn on_check_failed(&mut self, cx: &mut Cx<'_>, of: NodeId, by: NodeId) {
        self.doubts.on_helper(of, by, false);
        self.settle_if_all_said(cx, of);
    }

    fn settle_if_all_said(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        if self.doubts.is_all_said(node) {
            self.settle_suspicion(cx, node);
        }
    }

    /// Ends a check that has reached the member in no way: the member becomes a suspect.
    pub(super) fn settle_suspicion(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        self.timers.disarm(&Timer::Suspicion(node));
        if let Some(observers) = self.doubts.end(node) {
            self.suspect(cx, node, &observers);
        }
    }

    fn suspect(&mut self, cx: &mut Cx<'_>, node: NodeId, observers: &[NodeId]) {
        let line = alloc::format!("ring suspects node={node} observers={}", observers.len());
        cx.out.fact(Level::Debug, line);
        self.members
            .judge(cx.now, node, MemberState::Suspect, observers);
        self.await_verdict(cx.now, node);
        self.spread(cx.now, node, None);
    }

    pub(super) fn on_observed(&mut self, now: Time, node: NodeId, from: NodeId) {
        let Some(entry) = self.members.get(node) else {
            return;
        };
        let few = entry.observers.len() <= 2;
        if entry.member.state == MemberState::Suspect {
            self.await_verdict(now, node);
        }
        if few {
            self.spread(now, node, Some(from));
        }
    }

    /// Sets the time of the verdict by the number of observers.
    pub(super) fn await_verdict(&mut self, now: Time, node: NodeId) {
        let Some(entry) = self.members.get(node) else {
            return;
        };
        if self.has_left() {
            return;
        }
        let me = self.members.me().node;
        let mut wait = if entry.observers.len() >= 2 {
            self.config.agreed
        } else {
            self.config.alone
        };
        if !entry.observers.contains(&me) {
            wait += HEARSAY_DELAY;
        }
        let at = entry.changed_at + wait;
        let at = if self.doubts.is_postponed(node) {
            at + self.config.alone
        } else {
            at
        };
        self.timers.arm(Timer::Verdict(node), at.max(now));
    }

    /// This node stalled for `lag` and could hear no refutation meanwhile, so every verdict moves
    /// by `lag`.
    pub(super) fn postpone_verdicts(&mut self, lag: Duration) {
        let suspects: Vec<NodeId> = (self.members.others())
            .filter(|m| m.state == MemberState::Suspect)
            .map(|m| m.node)
            .collect();
        for node in suspects {
            if let Some(at) = self.timers.armed(&Timer::Verdict(node)) {
                self.timers.arm(Timer::Verdict(node), at + lag);
            }
        }
    }

    pub(super) fn on_verdict_due(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        let Some(entry) = self.members.get(node) else {
            return;
        };
        if entry.member.state != MemberState::Suspect {
            return;
        }
        if self.may_be_deaf(node) && self.doubts.may_postpone(node) {
            let line = alloc::format!("ring hears too few to call node={node} dead");
            cx.out.fact(Level::Debug, line);
            return self
                .timers
                .arm(Timer::Verdict(node), cx.now + self.config.alone);
        }
        let heard = self.hearing.is_after(node, entry.changed_at);
        if heard && self.doubts.may_spare(node) {
            // The suspect has spoken since, so its refutation is on the way or was lost. The probe
            // asks for it again. This happens once per suspicion, because messages of a stalled
            // process may still arrive.
            self.verify(cx, node);
            let later = cx.now + self.config.agreed;
            return self.timers.arm(Timer::Verdict(node), later);
        }
        self.members.judge(cx.now, node, MemberState::Dead, &[]);
        let before = Some(MemberState::Suspect);
        self.on_changed(cx, node, before, None);
    }

    /// Whether this node is more likely cut off than the suspect dead: it suspects more than half
    /// of the ring and no other node agrees about this suspect.
    fn may_be_deaf(&self, node: NodeId) -> bool {
        let me = self.members.me().node;
        let others = self.members.others().count();
        let unheard = self
            .members
            .others()
            .filter(|m| m.state == MemberState::Suspect)
            .count();
        let alone = (self.members.get(node)).is_some_and(|entry| entry.observers == [me]);
        others >= 2 && 2 * unheard > others + 1 && alone
    }

    /// A member is declared dead, by this node or by another.
    pub(super) fn on_death(
        &mut self,
        cx: &mut Cx<'_>,
        member: Member,
        before: Option<MemberState>,
    ) {
        let node = member.node;
        let observers = (self.members.get(node)).map_or(Vec::new(), |e| e.observers.clone());
        let was_suspect = before == Some(MemberState::Suspect);
        self.forget_doubts(node);
        if !was_suspect {
            return; // This node learns of an old death; its census is over.
        }
        let line = alloc::format!(
            "ring lost node={node} {} {} members={}",
            member.role,
            member.address,
            self.members.count()
        );
        cx.out.fact(Level::Info, line);
        self.expect_census(cx, member, &observers);
    }
}
