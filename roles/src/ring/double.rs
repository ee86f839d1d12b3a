//! Whether another process bears this node's id.
//!
//! Two machines may run with copies of one disk, or a disk may have been restored from an older
//! copy. Then one of the two processes must end. What one member says is no proof of that, because
//! that member may lie, so this node asks: its teller and a few others. It ends when two of them say
//! so in answer. A member answers from its table after it has heard this node's question, and then
//! its table names another process only if that process has spoken to it, too.
//!
//! In a ring of two, the only other member must say so in answer to two questions.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use super::gossip::GATHERING;
use super::{Purpose, Ring, Timer};
use crate::contract::id::NodeId;
use crate::contract::limits::MEMBERS_MAX;
use crate::contract::member::Member;
use crate::contract::node::Sender;
use crate::contract::ring::Ring as RingMessage;
use crate::contract::time::Time;
use crate::cx::Cx;
use crate::mutants::RingMutant;
use crate::purpose::Asked;
use crate::requests::Policy;

/// How many members must say so in answer, or how often the only other one.
const WITNESSES: usize = 2;

/// How many members are asked at once.
const ASKED: usize = 3;

/// What others have said of another process with this node's id.
#[derive(Debug, Default)]
pub(super) struct Double {
    /// Who has said so unasked since the last questions; at most [`ASKED`].
    tellers: BTreeSet<NodeId>,
    /// Who has said so in answer; at most [`WITNESSES`].
    witnesses: Vec<NodeId>,
    /// When members were last asked.
    asked_at: Option<Time>,
    proven: bool,
}

impl Double {
    /// Whether this process must end.
    pub(super) fn is_proven(&self) -> bool {
        self.proven
    }
}

impl Ring {
    /// A member says, unasked, that another process bears this node's id.
    pub(super) fn hear_of_double(&mut self, cx: &mut Cx<'_>, from: Sender) {
        if self.config.mutants.has(RingMutant::EndsAtOneWord) {
            self.double.proven = true;
        }
        if self.has_left() {
            return;
        }
        if self.double.tellers.len() < ASKED {
            self.double.tellers.insert(from.node);
        }
        // The table that says so may name the members to ask further down. A member that says so
        // again and again is not asked more than once per beat.
        let again = self
            .double
            .asked_at
            .map_or(cx.now, |at| at + self.config.beat);
        let at = again.max(cx.now + GATHERING);
        self.timers.arm_by(Timer::Double, at);
    }

    /// Asks the tellers, then other members, at most [`ASKED`] in all. Questions that are under way
    /// are awaited first.
    pub(super) fn ask_about_double(&mut self, cx: &mut Cx<'_>) {
        let tellers = core::mem::take(&mut self.double.tellers);
        if cx.asks(|asked| matches!(asked, Asked::Ring(Purpose::Double))) {
            return;
        }
        let mut others: Vec<Member> = self.members.others().copied().collect();
        self.rng.shuffle(&mut others);
        others.sort_by_key(|member| !tellers.contains(&member.node));
        self.double.witnesses.clear();
        self.double.asked_at = Some(cx.now);
        for member in others.into_iter().take(ASKED) {
            self.ask_for_double(cx, member);
        }
    }

    fn ask_for_double(&mut self, cx: &mut Cx<'_>, member: Member) {
        let members = self.members.all().copied().collect();
        let question = (RingMessage::Join { members }, Policy::ONCE.deadline);
        let purpose = Purpose::Double;
        self.ask(cx, purpose, vec![member.address], question);
    }

    /// A member that was asked has answered with its table.
    pub(super) fn on_double_told(&mut self, cx: &mut Cx<'_>, from: Sender, members: Vec<Member>) {
        let mut says_so = false;
        for member in members.into_iter().take(MEMBERS_MAX) {
            if self.members.is_double(&member) && member.is_possible() {
                says_so = true;
            } else {
                self.take(cx, from, super::account(member));
            }
        }
        if says_so {
            self.on_witness(cx, from.node);
        }
    }

    fn on_witness(&mut self, cx: &mut Cx<'_>, witness: NodeId) {
        let others: Vec<Member> = self.members.others().take(2).copied().collect();
        let is_only = others.len() < 2;
        if !is_only && self.double.witnesses.contains(&witness) {
            return;
        }
        self.double.witnesses.push(witness);
        self.double.proven |= self.double.witnesses.len() >= WITNESSES;
        if let (Some(only), true, false) = (others.first(), is_only, self.double.proven) {
            self.ask_for_double(cx, *only);
        }
    }
}
