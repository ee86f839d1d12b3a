//! A server with a role: its registration, and either the DNS role or its membership of the ring.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Common;
use super::role::{HandOver, RingMember};
use crate::contract::job::JobReply;
use crate::contract::message::{Envelope, Message, Names, Refusal};
use crate::contract::node::{Asker, Lost, Peer};
use crate::contract::record::{Address, Role};
use crate::contract::ring::Ring as RingMessage;
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::contract::user::Notice;
use crate::cx::Cx;
use crate::dns::Dns;
use crate::mutants::RingMutant;
use crate::purpose::{Asked, Ordered};
use crate::registrar::Registrar;
use crate::requests::Reply;
use crate::ring::{Order, Ring};

/// A server with a role.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) registrar: Registrar,
    /// Whether the user has been told that the server is registered.
    ready: bool,
    work: Work,
}

/// What a server does. DNS nodes are in no ring and never change their role.
#[derive(Debug)]
enum Work {
    Dns(Dns),
    Member(Box<RingMember>),
}

impl Serving {
    /// Begins the first role.
    pub(super) fn begin(cx: &mut Cx<'_>, common: &mut Common, role: Role) -> Self {
        let record = common.record(role);
        let registrar = Registrar::new(record, common.draw());
        let work = match role {
            Role::Dns => {
                let fresh = common.me.incarnation.0 <= 1;
                let config = common.config.dns.clone();
                let mut dns = Dns::new(config, common.me.node, cx.now, fresh, common.draw());
                dns.keep_own(cx.now, record);
                Work::Dns(dns)
            }
            Role::Router | Role::Data => {
                Work::Member(Box::new(RingMember::join(cx, common, record)))
            }
        };
        Serving {
            registrar,
            ready: false,
            work,
        }
    }

    pub(super) fn role(&self) -> Role {
        match &self.work {
            Work::Dns(_) => Role::Dns,
            Work::Member(member) => member.role(),
        }
    }

    pub(super) fn dns(&self) -> Option<&Dns> {
        match &self.work {
            Work::Dns(dns) => Some(dns),
            Work::Member(_) => None,
        }
    }

    pub(super) fn dns_mut(&mut self) -> Option<&mut Dns> {
        match &mut self.work {
            Work::Dns(dns) => Some(dns),
            Work::Member(_) => None,
        }
    }

    pub(super) fn member(&self) -> Option<&RingMember> {
        match &self.work {
            Work::Dns(_) => None,
            Work::Member(member) => Some(member),
        }
    }

    pub(super) fn member_mut(&mut self) -> Option<&mut RingMember> {
        match &mut self.work {
            Work::Dns(_) => None,
            Work::Member(member) => Some(member),
        }
    }

    pub(super) fn tell_ready(&mut self, cx: &mut Cx<'_>) {
        if !self.ready {
            self.ready = true;
            let record = self.registrar.record();
            cx.out.tell(Notice::Ready { record });
        }
    }

    /// Registers with every DNS node known so far.
    pub(super) fn register(&mut self, cx: &mut Cx<'_>, common: &Common) {
        let own = common.address;
        let dns = common.resolver.dns().filter(|at| *at != own);
        self.registrar.serve(cx.now, dns);
        self.registrar.on_tick(cx)
    }

    /// Answers a question. Returns an order to change the role, if the question is one.
    pub(super) fn on_question(
        &mut self,
        cx: &mut Cx<'_>,
        common: &mut Common,
        asker: Asker,
        envelope: Envelope,
    ) -> Option<Order> {
        let own = self.registrar.record();
        match (envelope.message, &mut self.work) {
            (Message::Refused(_), _) => (), // A refusal is no question.
            (Message::Names(Names::Confirm { role }), _) => self.on_confirm(cx, asker, role),
            (Message::Names(names), Work::Dns(dns)) => {
                let peers: Vec<Address> = common.resolver.dns().collect();
                dns.on_question(cx, asker, names, &peers);
            }
            (Message::Names(names), Work::Member(member)) => {
                on_reserve(cx, common, &member.ring, (asker, names));
            }
            (Message::Ring(RingMessage::Diagnose), Work::Member(member)) => {
                let diagnosis = member.diagnosis(cx.now);
                let told = Message::Ring(RingMessage::Diagnosis(diagnosis));
                cx.out.answer(asker, told);
            }
            (Message::Ring(words), Work::Member(member)) => {
                return member.ring.on_question(cx, asker, words);
            }
            // This node has stalled, and does not know yet whether the others have declared it dead
            // meanwhile.
            (
                Message::Catalogue(_) | Message::Audio(_) | Message::Upkeep(_) | Message::Chord(_),
                Work::Member(member),
            ) if member.ring.is_unsure(cx.now) => cx.out.refuse(asker, Refusal::NotReady),
            (Message::Catalogue(words), Work::Member(member)) => {
                member.on_catalogue(cx, common, own, (asker, words));
            }
            (Message::Catalogue(_), Work::Dns(_)) => cx.out.refuse(asker, Refusal::WrongRole),
            (Message::Audio(audio), Work::Member(member)) => {
                let others = common.known.others(own);
                member.on_audio(cx, asker, audio, envelope.body, others);
            }
            (Message::Upkeep(words), Work::Member(member)) => {
                member.on_upkeep(cx, asker, words, common.known.others(own));
            }
            (Message::Chord(words), Work::Member(member)) => {
                member.on_chord(cx, asker, words);
            }
            (
                Message::Ring(_) | Message::Audio(_) | Message::Upkeep(_) | Message::Chord(_),
                Work::Dns(_),
            ) => cx.out.refuse(asker, Refusal::WrongRole),
        }
        None
    }

    /// A DNS node asks whether this server still has the role that it registered.
    fn on_confirm(&mut self, cx: &mut Cx<'_>, asker: Asker, role: Role) {
        if self.registrar.record().role == role {
            let record = self.registrar.renew();
            cx.out
                .answer(asker, Message::Names(Names::Confirmed { record }));
        } else {
            cx.out.refuse(asker, Refusal::WrongRole);
        }
    }

    /// Takes the end of a question of the role or of the ring.
    pub(super) fn conclude(
        &mut self,
        cx: &mut Cx<'_>,
        common: &Common,
        asked: Asked,
        reply: Reply,
    ) {
        match (asked, &mut self.work) {
            (Asked::Dns(purpose), Work::Dns(dns)) => dns.conclude(cx, purpose, reply),
            (_, Work::Dns(_)) => (),
            (asked, Work::Member(member)) => {
                member.conclude(cx, common, self.registrar.record(), (asked, reply));
            }
        }
    }

    /// Takes note of a lost connection.
    pub(super) fn on_lost(&mut self, cx: &mut Cx<'_>, peer: Peer, why: Lost) {
        self.registrar.on_lost(cx.now, peer);
        if let Work::Member(member) = &mut self.work {
            member.on_lost(cx, peer, why);
        }
    }

    /// Takes the reply to a job of the data role, which this server has or has just left.
    pub(super) fn on_done(
        &mut self,
        cx: &mut Cx<'_>,
        common: &Common,
        ordered: Ordered,
        reply: JobReply,
    ) {
        if let Work::Member(member) = &mut self.work {
            let others = common.known.others(self.registrar.record());
            member.on_done(cx, (ordered, reply), others);
        }
    }

    /// Does what is due.
    pub(super) fn on_tick(&mut self, cx: &mut Cx<'_>, common: &mut Common) {
        self.registrar.on_tick(cx);
        match &mut self.work {
            Work::Dns(dns) => {
                let peers: Vec<Address> = common.resolver.dns().collect();
                dns.on_tick(cx, &peers);
                common.memory.on_tick(cx, None);
            }
            Work::Member(member) => member.on_tick(cx, common, self.registrar.record()),
        }
    }

    /// Passes changes of the ring and of the known names to all parts.
    pub(super) fn see(&mut self, cx: &mut Cx<'_>, common: &mut Common) {
        let members = self.member().map(|member| member.ring.members());
        let changed = common
            .known
            .refresh(common.me.node, members, &common.resolver);
        let own = self.registrar.record();
        if let (true, Work::Member(member)) = (changed, &mut self.work) {
            member.see(cx, common.known.others(own));
        }
    }

    /// Carries out an order of a manager to change the role. Returns true if the role has changed
    /// and is to be registered.
    pub(super) fn obey(&mut self, cx: &mut Cx<'_>, common: &mut Common, order: Order) -> bool {
        let Work::Member(member) = &mut self.work else {
            return false;
        };
        let changed = member.obey(cx, common, order);
        if changed {
            self.note_change(cx, common);
        }
        changed
    }

    /// Tells the process that started this node, and the DNS nodes, the changed role.
    fn note_change(&mut self, cx: &mut Cx<'_>, common: &Common) {
        if common.config.ring.mutants.has(RingMutant::StaysRegistered) {
            return;
        }
        self.registrar.change(cx.now, common.record(self.role()));
        let record = self.registrar.record();
        cx.out.tell(Notice::Ready { record });
    }

    /// Starts to hand the songs over when a data node with `drain` is told to stop; returns whether
    /// it did. When told to stop a second time, the node stops at once.
    pub(super) fn hands_over_first(&mut self, cx: &mut Cx<'_>, drain: bool) -> bool {
        self.member_mut()
            .is_some_and(|member| member.hands_over_first(cx, drain))
    }

    /// Ends the hand-over when every song is with all nodes that shall have it, or when it has
    /// failed.
    pub(super) fn leave_if_drained(
        &mut self,
        cx: &mut Cx<'_>,
        common: &mut Common,
    ) -> Option<HandOver> {
        let end = self.member_mut()?.leave_if_drained(cx, common);
        if end == Some(HandOver::Changed) {
            self.note_change(cx, common);
        }
        end
    }

    /// Whether songs are here that may be nowhere else.
    pub(super) fn owes_copies(&self) -> bool {
        let data = self.member().and_then(RingMember::data);
        data.is_some_and(|node| node.data.owes_copies())
    }

    /// Tells the ring and the DNS nodes that this server ends.
    pub(super) fn say_goodbye(&mut self, cx: &mut Cx<'_>) {
        if let Work::Member(member) = &mut self.work {
            member.ring.leave(cx);
        }
        self.registrar.withdraw(cx);
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let work = match &self.work {
            Work::Dns(dns) => dns.deadline(),
            Work::Member(member) => member.deadline(),
        };
        earlier(self.registrar.deadline(), work)
    }
}

/// When no DNS node reserves roles, the member that admits the joining server does.
fn on_reserve(cx: &mut Cx<'_>, common: &mut Common, ring: &Ring, (asker, names): (Asker, Names)) {
    let Names::Reserve = names else {
        return cx.out.refuse(asker, Refusal::WrongRole);
    };
    let with = |role| ring.members().with_role(role);
    let there = (with(Role::Data), with(Role::Router));
    let until = cx.now + common.config.dns.reservation;
    let role = (common.reservations).reserve(cx.now, asker.sender.node, there, until);
    cx.out
        .answer(asker, Message::Names(Names::Reserved { role }));
}
