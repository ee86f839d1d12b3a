//! The switch of a role: the manager names one member, which accepts or declines.

use alloc::vec;

use super::{NAMED, Stage};
use crate::balance::{self, Shortage};
use crate::contract::id::NodeId;
use crate::contract::member::{Epoch, Member, MemberState, Traits};
use crate::contract::message::{Message, Refusal};
use crate::contract::node::Asker;
use crate::contract::record::Role;
use crate::contract::ring::Ring as RingMessage;
use crate::contract::time::Time;
use crate::contract::user::Level;
use crate::cx::Cx;
use crate::mutants::RingMutant;
use crate::ring::{Order, Purpose, Ring};

impl Ring {
    /// The method of the original system, kept as a mutant: each member that sees the shortage
    /// changes its role.
    pub(super) fn switch_by_oneself(&mut self, epoch: Epoch) {
        if !self.config.mutants.has(RingMutant::FirstWhoHearsSwitches) {
            return;
        }
        let with = |role| self.members.with_role(role);
        let short = balance::shortage(with(Role::Data), with(Role::Router));
        if let Some(short) = short
            && self.members.me().role != short.wanted
            && self.members.me().traits.has(Traits::AUTO)
        {
            self.own_order = Some(Order {
                asker: None,
                role: short.wanted,
                epoch,
            });
        }
    }

    /// Whether a role may change. It may not soon after another change, unless a role has no holder
    /// left.
    pub(super) fn may_switch(&self, now: Time, shortage: Shortage) -> bool {
        let pause = self.config.switch_pause;
        let lately = (self.members.switched()).is_some_and(|(at, ..)| now.since(at) < pause);
        // A data node hands its songs over before its role changes, so its change has begun
        // although the table still shows the old role. A hand-over longer than the pause no longer
        // blocks the others.
        let begun = |m: &Member| {
            let since = self
                .members
                .get(m.node)
                .map_or(Time::ZERO, |e| e.changed_at);
            let changes = m.traits.has(Traits::AUTO) && m.traits.has(Traits::DRAINING);
            changes && now.since(since) < pause
        };
        let changing = self.members.living().any(begun);
        shortage.total || !(lately || changing) || self.config.mutants.has(RingMutant::NeverPauses)
    }

    pub(super) fn name_next(&mut self, cx: &mut Cx<'_>) {
        let Some(running) = &mut self.census.running else {
            return;
        };
        let epoch = running.epoch;
        let Stage::Naming { shortage, next } = &mut running.stage else {
            return;
        };
        let (wanted, missing) = (shortage.wanted, shortage.missing);
        let Some(named) = next.pop_front() else {
            self.census.fruitless += 1;
            let line = alloc::format!("ring epoch={epoch}: nobody can become {wanted}");
            cx.out.fact(Level::Info, line);
            self.census.running = None;
            return;
        };
        let line = alloc::format!("ring unbalance epoch={epoch} wanted={wanted} named={named}");
        cx.out.fact(Level::Info, line);
        let Some(member) = self.members.get(named).map(|entry| entry.member) else {
            return self.name_next(cx);
        };
        let me = self.members.me().node;
        if named == me {
            // Since the tallies were collected, the other holders of this node's role may have been
            // declared dead.
            if !self.others_stay() {
                return self.name_next(cx);
            }
            return self.name_oneself(epoch, wanted);
        }
        let order = RingMessage::Unbalance {
            epoch,
            manager: me,
            wanted,
            missing: u16::try_from(missing).unwrap_or(u16::MAX),
            named,
        };
        self.ask(
            cx,
            Purpose::Unbalance(named),
            vec![member.address],
            (order, NAMED),
        );
    }

    fn name_oneself(&mut self, epoch: Epoch, role: Role) {
        self.census.spend(epoch);
        self.own_order = Some(Order {
            asker: None,
            role,
            epoch,
        });
    }

    /// Accepts an order: answers the manager.
    pub fn accept(&mut self, cx: &mut Cx<'_>, order: Order) {
        match order.asker {
            Some(asker) => cx.out.answer(asker, Message::Ring(RingMessage::Accepted)),
            None => self.on_accepted(cx, self.members.me().node),
        }
    }

    /// Declines an order. The epoch is free again, so the manager can name another member.
    pub fn decline(&mut self, cx: &mut Cx<'_>, order: Order, why: &str) {
        if let Some(seen) = self.census.seen.get_mut(&order.epoch) {
            seen.spent = false;
        }
        match order.asker {
            Some(asker) => cx.out.refuse(asker, Refusal::Invalid(why.into())),
            None => self.on_declined(cx, self.members.me().node),
        }
    }

    pub(in crate::ring) fn on_accepted(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        let Some(running) = self.census.running.take() else {
            return;
        };
        self.census.spend(running.epoch);
        self.census.fruitless = 0;
        let line = alloc::format!("ring epoch={} node={node} changes its role", running.epoch);
        cx.out.fact(Level::Info, line);
    }

    pub(in crate::ring) fn on_declined(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        let line = alloc::format!("ring node={node} does not change its role");
        cx.out.fact(Level::Debug, line);
        self.name_next(cx);
    }

    /// A manager names this node. The order is refused unless all of this holds: this node knows
    /// the sender as manager of the epoch, no role has changed in the epoch, and this node can
    /// leave its role.
    pub(in crate::ring) fn on_unbalance(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        (epoch, manager, wanted, named): (Epoch, NodeId, Role, NodeId),
    ) -> Option<Order> {
        let me = self.members.me();
        let known = self.census.seen.get(&epoch);
        let right = known.is_some_and(|seen| seen.manager == manager && !seen.spent);
        if named != me.node || manager != asker.sender.node || wanted == Role::Dns {
            self.note_absurd(cx, asker.sender.node);
            let why = "an order comes from its manager to whom it names".into();
            cx.out.refuse(asker, Refusal::Invalid(why));
            return None;
        }
        let left = self.others_stay();
        let can = me.traits.has(Traits::AUTO) && !me.traits.has(Traits::DRAINING);
        if !right || !can || me.role == wanted || !left || self.is_unsure(cx.now) {
            let why = "this node does not change its role for that".into();
            cx.out.refuse(asker, Refusal::Invalid(why));
            return None;
        }
        // The epoch is spent before the server acts, so that a second order of the same epoch is
        // refused.
        self.census.spend(epoch);
        Some(Order {
            asker: Some(asker),
            role: wanted,
            epoch,
        })
    }

    /// Whether another member keeps this node's role. A member that is draining or suspected does
    /// not count, because it may be gone a moment later.
    pub fn others_stay(&self) -> bool {
        let role = self.members.me().role;
        let stays = |m: &Member| {
            m.role == role && m.state == MemberState::Alive && !m.traits.has(Traits::DRAINING)
        };
        self.members.others().any(stays)
    }
}
