//! The beats of this node: its reports to the next members, and what it hears of the others.

use super::questions::is_of;
use super::{Ring, SUCCESSORS, Timer, account};
use crate::contract::member::Member;
use crate::contract::node::{Peer, Sender};
use crate::contract::record::Record;
use crate::contract::ring::Ring as RingMessage;
use crate::contract::time::Time;
use crate::contract::user::Level;
use crate::cx::Cx;
use crate::mutants::RingMutant;
use core::time::Duration;

impl Ring {
    /// Runs before each event and measures how late this node is. A short delay lengthens its
    /// timeouts (Lifeguard). A long one makes the node ask the others how they see it.
    pub fn on_event(&mut self, cx: &mut Cx<'_>) {
        let lag = cx.now.since(self.pulse.due);
        if lag <= self.config.beat / 2 || self.timers.next().is_none() {
            return;
        }
        if self.config.mutants.has(RingMutant::TrustsItsClock) {
            return;
        }
        self.health.worse();
        self.hearing.on_stall(cx.now, lag);
        self.pulse.due = cx.now;
        self.timers.arm(Timer::Beat, cx.now);
        self.postpone_verdicts(lag);
        if lag > self.config.beat * self.config.silent_beats {
            self.on_slept(cx, lag);
        }
        self.watch(cx.now);
    }

    fn on_slept(&mut self, cx: &mut Cx<'_>, lag: Duration) {
        let line = alloc::format!("stood still for_ms={}", lag.as_millis());
        cx.out.fact(Level::Info, line);
        self.doubts.end_all();
        let neighbours = self.members.successors(SUCCESSORS);
        if neighbours.is_empty() {
            return;
        }
        self.pulse.unsure_until = cx.now + self.config.confirm * 2;
        // Two are asked because one of them may have died during the stall.
        for member in neighbours.iter().take(2) {
            self.join(cx, [member.address].into());
        }
    }

    /// A message of a member arrived, whatever its content. A sender of an earlier start is
    /// ignored.
    pub fn on_heard(&mut self, cx: &mut Cx<'_>, from: Sender) {
        self.hearing.on_speaker(from);
        if let Peer::Node(address) = from.peer {
            self.members.meet(from.node, from.incarnation, address);
        }
        let Some(member) = self.members.get(from.node).map(|entry| entry.member) else {
            return;
        };
        if from.incarnation < member.incarnation {
            return;
        }
        self.hearing.on_message(cx.now, from.node);
        self.doubts.end(from.node);
        self.pulse.unsure_until = Time::ZERO;
        if self.is_predecessor(from.node) {
            self.watch(cx.now);
        }
        // A dead member that speaks is probed. The probe carries the verdict, so the member can
        // refute it.
        if !member.lives()
            && from.incarnation == member.incarnation
            && self.hearing.may_tell(cx.now, from.node, self.config.beat)
        {
            self.verify(cx, from.node);
        }
    }

    pub(super) fn on_beat(&mut self, cx: &mut Cx<'_>, outside: &[Record]) {
        self.pulse.count += 1;
        self.pulse.due = cx.now + self.config.beat;
        self.timers.arm(Timer::Beat, self.pulse.due);
        self.health.better();
        self.report(cx);
        if self.pulse.count.is_multiple_of(self.config.probe_beats) {
            self.probe_somebody(cx);
        }
        self.reach_out(cx, outside);
        self.check_shortage(cx);
        if self.pulse.count.is_multiple_of(60) {
            self.members.forget_old(cx.now);
            self.hearing.keep(&self.members);
        }
        self.watch(cx.now);
    }

    fn report(&mut self, cx: &mut Cx<'_>) {
        debug_assert!(cx.now < Time::NEVER);
        let report = RingMessage::Report {
            me: self.members.me(),
            view: self.members.view(),
        };
        for successor in self.members.successors(SUCCESSORS) {
            self.say(cx, successor.address, report.clone());
            // The member after an unreachable one may know already that it is dead, and may be
            // waiting for this node's reports. It would suspect this node if none came.
            if !self.hearing.is_unreached(successor.node) {
                break;
            }
        }
    }

    pub(super) fn on_report(&mut self, cx: &mut Cx<'_>, from: Sender, me: Member, view: u64) {
        if !is_of(&from, &me) {
            return self.note_absurd(cx, from.node);
        }
        self.take(cx, from, account(me));
        self.on_heard(cx, from);
        self.settle(cx.now, me);
        let alike = view == self.members.view();
        if self.contacts.differs(alike) && !self.config.mutants.has(RingMutant::KeepsNewsToItself) {
            self.join(cx, [me.address].into());
        }
    }
}
