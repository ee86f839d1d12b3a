//! One node's part in the ring, driven from outside. The simulated world tests how many nodes work
//! together.

use crate::test_support::{Host, addr};
use alloc::vec;
use alloc::vec::Vec;

use super::failure_detector::HEALTHY_PATIENCE;
use super::*;
use crate::contract::id::{Incarnation, RequestId};
use crate::contract::member::Tally;
use crate::contract::message::Kind;
use crate::contract::node::Action;
use crate::contract::record::Features;
use crate::contract::timers::earlier;
use crate::purpose::Asked;
use crate::requests::Outcome;

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn member(n: u8) -> Member {
    Member {
        node: NodeId(u128::from(n)),
        incarnation: Incarnation(1),
        version: 0,
        state: MemberState::Alive,
        role: if n.is_multiple_of(2) {
            Role::Data
        } else {
            Role::Router
        },
        address: addr(n),
        features: Features::default(),
        weight: u16::from(n.is_multiple_of(2)),
        traits: Traits::AUTO,
    }
}

fn sender(n: u8) -> Sender {
    start(n, 1)
}

fn start(n: u8, incarnation: u64) -> Sender {
    Sender {
        peer: Peer::Node(addr(n)),
        node: NodeId(u128::from(n)),
        incarnation: Incarnation(incarnation),
    }
}

/// A message that was sent.
type Put = (Peer, RequestId, RingMessage);

struct World {
    ring: Ring,
    host: Host,
    now: Time,
}

impl World {
    /// Member 5 of a ring of the members 1 to `count`.
    fn of(count: u8) -> World {
        let ring = Ring::new(Config::default(), at(0), member(5), Rng::from_seed(1));
        let mut world = World {
            ring,
            host: Host::default(),
            now: at(0),
        };
        let members = (1..=count).map(member).collect();
        world.ask(1, RingMessage::Join { members });
        world.said();
        world
    }

    fn ask(&mut self, who: u8, words: RingMessage) -> Option<Order> {
        let asker = Asker {
            sender: sender(who),
            id: RequestId(1),
            until: at(u64::MAX / 2_000_000),
        };
        self.ring
            .on_question(&mut self.host.at(self.now), asker, words)
    }

    fn tell(&mut self, who: u8, words: RingMessage) {
        self.tell_as(sender(who), words);
    }

    fn tell_as(&mut self, who: Sender, words: RingMessage) {
        let cx = &mut self.host.at(self.now);
        self.ring.on_heard(cx, who);
        self.ring.on_one_way(cx, who, words);
    }

    /// The questions and words sent since the last call, each with its receiver and id.
    fn asked(&mut self) -> Vec<Put> {
        let put = |action| match action {
            Action::Send { to, envelope } => match envelope.message {
                Message::Ring(words) => Some((to, envelope.id, words)),
                _ => None,
            },
            _ => None,
        };
        core::iter::from_fn(|| self.host.out.pop())
            .filter_map(put)
            .collect()
    }

    /// `who` answers those of the questions that are put to it and that `reply` has an answer to.
    fn answer(
        &mut self,
        who: Sender,
        asked: &[Put],
        reply: impl Fn(&RingMessage) -> Option<RingMessage>,
    ) {
        for (to, id, words) in asked {
            let Some(reply) = reply(words).filter(|_| *to == who.peer) else {
                continue;
            };
            let answer = (*id, Message::Ring(reply));
            let answered = self.host.answered(self.now, who.peer, answer);
            let (purpose, reply) = answered.expect("it was asked");
            self.ring.on_heard(&mut self.host.at(self.now), who);
            self.conclude(vec![Outcome { purpose, reply }]);
        }
    }

    /// The messages sent since the last call, each with its receiver.
    fn said(&mut self) -> Vec<(Peer, Message)> {
        let sent = |action| match action {
            Action::Send { to, envelope } => Some((to, envelope.message)),
            _ => None,
        };
        core::iter::from_fn(|| self.host.out.pop())
            .filter_map(sent)
            .collect()
    }

    fn run_to(&mut self, millis: u64) {
        while let Some(due) = self.deadline().filter(|due| *due <= at(millis)) {
            self.now = due.max(self.now);
            self.tick();
        }
        self.now = at(millis);
    }

    fn deadline(&self) -> Option<Time> {
        earlier(self.ring.deadline(), self.host.deadline())
    }

    fn tick(&mut self) {
        let ended = self.host.at(self.now).on_tick();
        self.conclude(ended);
        self.ring.on_tick(&mut self.host.at(self.now), &[]);
    }

    fn lose(&mut self, peer: Peer, why: Lost) {
        let ended = self.host.at(self.now).on_lost(peer, why);
        self.conclude(ended);
        let cx = &mut self.host.at(self.now);
        self.ring.on_lost(cx, peer, why);
    }

    fn conclude(&mut self, ended: Vec<Outcome<Asked>>) {
        for Outcome { purpose, reply } in ended {
            let Asked::Ring(purpose) = purpose else {
                panic!("the question of another part: {purpose:?}");
            };
            let cx = &mut self.host.at(self.now);
            self.ring.conclude(cx, purpose, reply);
        }
    }

    fn state(&self, n: u8) -> Option<MemberState> {
        let entry = self.ring.members().get(NodeId(u128::from(n)))?;
        Some(entry.member.state)
    }

    fn report(&mut self, n: u8) {
        let view = self.ring.members().view();
        let me = member(n);
        self.ring.on_heard(&mut self.host.at(self.now), sender(n));
        self.tell(n, RingMessage::Report { me, view });
    }
}

fn suspected(n: u8, observers: &[u8]) -> Claim {
    Claim {
        member: Member {
            state: MemberState::Suspect,
            ..member(n)
        },
        observers: observers.iter().map(|o| NodeId(u128::from(*o))).collect(),
    }
}

fn epoch(about: u8) -> Epoch {
    Epoch {
        about: NodeId(u128::from(about)),
        incarnation: Incarnation(1),
        attempt: 0,
    }
}

/// A verdict is put off because this node may be the one cut off. Then another node is heard at the
/// suspect's address. The suspicion ends there, and this node accepts songs again.
#[test]
fn a_verdict_put_off_ends_with_its_suspect() {
    let mut world = World::of(7);
    let claims = vec![suspected(6, &[1])];
    world.tell(1, RingMessage::News { claims });
    world.ring.doubts.may_postpone(NodeId(6));
    assert!(world.ring.blames_itself());

    let node = NodeId(60);
    let me = Member { node, ..member(6) };
    let from = Sender { node, ..sender(6) };
    let view = 0;
    let report = RingMessage::Report { me, view };
    world
        .ring
        .on_one_way(&mut world.host.at(world.now), from, report);
    assert_eq!(world.state(6), Some(MemberState::Left));
    assert!(!world.ring.blames_itself());
}

/// While the successor does not answer, the member behind it receives the reports, too. That member
/// may know of the death already, and would otherwise suspect this node next.
#[test]
fn who_follows_a_doubted_successor_hears_as_well() {
    let mut world = World::of(7);
    world.run_to(1500);
    world.said();
    for why in [Lost::Reset, Lost::ConnectRefused] {
        let peer = Peer::Node(addr(6));
        world.lose(peer, why);
    }
    world.run_to(2500);
    let report = |message: &Message| matches!(message, Message::Ring(RingMessage::Report { .. }));
    let said = world.said().into_iter();
    let heard = said.filter(|(_, message)| report(message));
    let heard: Vec<Peer> = heard.map(|(to, _)| to).collect();
    assert_eq!(heard, [Peer::Node(addr(6)), Peer::Node(addr(7))]);
}

/// A restarted node that knows no other is probed. The asker has it in its ring and waits for its
/// reports, so it joins the asker at once. It joins at most once a second.
#[test]
fn a_stranger_that_asks_is_joined() {
    let mut world = World::of(0);
    let joins = |said: Vec<(Peer, Message)>| -> Vec<Peer> {
        let join = |message: &Message| matches!(message, Message::Ring(RingMessage::Join { .. }));
        let all = said.into_iter().filter(|(_, message)| join(message));
        all.map(|(to, _)| to).collect()
    };
    for who in [2, 3] {
        world.ask(who, RingMessage::Probe { known: member(5) });
    }
    assert_eq!(joins(world.said()), [Peer::Node(addr(2))]);
    world.now = at(1000);
    let claims = vec![suspected(7, &[3])];
    world.tell(3, RingMessage::News { claims });
    assert_eq!(joins(world.said()), [Peer::Node(addr(3))]);
    world.report(3);
    let members = vec![member(3), member(5)];
    world.ask(3, RingMessage::Join { members });
    world.now = at(2000);
    world.ask(3, RingMessage::Probe { known: member(5) });
    assert_eq!(joins(world.said()), []);
}

/// One report a second goes to the successor alone, and nobody answers it.
#[test]
fn the_successor_hears_every_second() {
    let mut world = World::of(7);
    let first = world.ring.pulse.due.since(Time::ZERO).as_millis() as u64;
    for second in 0..4 {
        let beat = first + second * 1000;
        world.run_to(beat.saturating_sub(1));
        world.report(4);
        world.run_to(beat + 499);
        let reports: Vec<Peer> = world
            .said()
            .into_iter()
            .filter(|(_, message)| matches!(message, Message::Ring(RingMessage::Report { .. })))
            .map(|(to, _)| to)
            .collect();
        assert_eq!(reports, [Peer::Node(addr(6))]);
    }
}

/// After three silent seconds helpers are asked. The member becomes a suspect only when they fail,
/// too.
#[test]
fn silence_is_checked_before_it_is_suspicion() {
    let mut world = World::of(7);
    world.run_to(500);
    world.report(4);
    world.said();
    world.run_to(3_499);
    assert!(world.said().iter().all(|(_, m)| !checks(m)));
    world.run_to(3_501);
    let asked = world.said().iter().filter(|(_, m)| checks(m)).count();
    assert_eq!(asked, 3);
    assert_eq!(world.state(4), Some(MemberState::Alive));
    let told = world.ring.diagnosis(at(3_501));
    assert_eq!((told.checked, told.suspects), (vec![NodeId(4)], vec![]));
    world.run_to(4_100);
    assert_eq!(world.state(4), Some(MemberState::Suspect));
    let told = world.ring.diagnosis(at(5_000));
    let [suspect] = &told.suspects[..] else {
        panic!("{told:?}");
    };
    assert!(told.checked.is_empty() && suspect.node == NodeId(4));
    assert!((900..=1_000).contains(&suspect.for_ms), "{suspect:?}");
    assert_eq!(
        suspect.observers.first(),
        Some(&world.ring.members().me().node),
        "{suspect:?}"
    );
}

fn checks(message: &Message) -> bool {
    matches!(message, Message::Ring(RingMessage::Check { .. }))
}

/// Two observers reach the verdict sooner than one alone.
#[test]
fn two_who_agree_decide_sooner() {
    let mut world = World::of(7);
    let claims = vec![suspected(7, &[1])];
    world.tell(1, RingMessage::News { claims });
    world.run_to(2_100);
    assert_eq!(world.state(7), Some(MemberState::Suspect), "may refute");
    world.run_to(2_300);
    assert_eq!(
        world.state(7),
        Some(MemberState::Dead),
        "it cannot reach it either"
    );

    let mut pair = World::of(0);
    let members = vec![member(4)];
    pair.ask(4, RingMessage::Join { members });
    pair.run_to(9_400);
    assert_eq!(pair.state(4), Some(MemberState::Suspect), "silent since 0");
    pair.run_to(9_600);
    assert_eq!(pair.state(4), Some(MemberState::Dead), "3 s, 0.5 s, 6 s");
}

/// A suspect refutes with a later version of itself, sent to every member.
#[test]
fn a_suspicion_of_oneself_is_refuted() {
    let mut world = World::of(7);
    let claims = vec![suspected(5, &[1, 2])];
    world.tell(1, RingMessage::News { claims });
    world.run_to(100);
    let refuted = |(_, message): &(Peer, Message)| match message {
        Message::Ring(RingMessage::News { claims }) => claims
            .iter()
            .any(|c| c.member.node == NodeId(5) && c.member.version == 1),
        _ => false,
    };
    assert_eq!(world.said().iter().filter(|said| refuted(said)).count(), 6);
}

/// A node that stalled suspects nobody for messages that it could not receive.
#[test]
fn who_stood_still_suspects_nobody() {
    let mut world = World::of(7);
    world.run_to(1_000);
    world.said();
    world.now = at(60_000);
    world.ring.on_event(&mut world.host.at(world.now));
    assert!(world.ring.is_unsure(world.now));
    world.tick();
    let joins = |(_, m): &(Peer, Message)| matches!(m, Message::Ring(RingMessage::Join { .. }));
    assert!(world.said().iter().any(joins), "it asks how it is seen");
    world.run_to(60_400);
    assert!((1..=7).all(|n| world.state(n) == Some(MemberState::Alive)));
    world
        .ring
        .on_heard(&mut world.host.at(world.now), sender(6));
    assert!(!world.ring.is_unsure(world.now));
}

/// An epoch is passed on once, and again only for a smaller manager.
#[test]
fn an_alert_is_passed_on_once() {
    let mut world = World::of(7);
    let alert = |manager| RingMessage::Alert {
        epoch: epoch(9),
        manager: member(manager),
        hops: 14,
        tallies: vec![],
    };
    let passed = |world: &mut World| {
        let is_alert =
            |(_, m): &(Peer, Message)| matches!(m, Message::Ring(RingMessage::Alert { .. }));
        world.said().iter().filter(|said| is_alert(said)).count()
    };
    world.ask(4, alert(3));
    assert_eq!(passed(&mut world), 1);
    world.ask(4, alert(3));
    assert_eq!(passed(&mut world), 0, "seen already");
    world.ask(4, alert(6));
    assert_eq!(passed(&mut world), 0, "a larger manager");
    world.ask(4, alert(2));
    assert_eq!(passed(&mut world), 1, "a smaller one");
    let no_hops = RingMessage::Alert {
        epoch: epoch(8),
        manager: member(3),
        hops: 0,
        tallies: vec![],
    };
    world.ask(4, no_hops);
    assert_eq!(passed(&mut world), 0, "it has travelled far enough");
}

/// An order is obeyed once per epoch, only from the manager whose alert came by, and never by the
/// last holder of a role.
#[test]
fn an_order_needs_its_alert() {
    let order = |manager: u8, wanted| RingMessage::Unbalance {
        epoch: epoch(9),
        manager: NodeId(u128::from(manager)),
        wanted,
        missing: 1,
        named: NodeId(5),
    };
    let mut world = World::of(7);
    assert!(world.ask(3, order(3, Role::Data)).is_none(), "no alert");
    let alert = RingMessage::Alert {
        epoch: epoch(9),
        manager: member(3),
        hops: 14,
        tallies: vec![],
    };
    world.ask(4, alert);
    assert!(world.ask(2, order(2, Role::Data)).is_none(), "another");
    assert!(world.ask(2, order(3, Role::Data)).is_none(), "not itself");
    assert!(world.ask(3, order(3, Role::Router)).is_none(), "is one");
    assert!(world.ask(3, order(3, Role::Data)).is_some());
    assert!(world.ask(3, order(3, Role::Data)).is_none(), "spent");
}

/// An impossible claim is counted, is logged once for each sender, and changes nothing.
#[test]
fn nonsense_changes_nothing() {
    let mut world = World::of(7);
    let view = world.ring.members().view();
    let mut lie = suspected(3, &[]);
    lie.member.incarnation = Incarnation(u64::MAX);
    let me = Member {
        version: u32::MAX / 4,
        ..member(5)
    };
    let claims = vec![
        lie,
        Claim {
            member: me,
            observers: vec![],
        },
    ];
    world.tell(
        2,
        RingMessage::News {
            claims: claims.clone(),
        },
    );
    world.tell(2, RingMessage::News { claims });
    world.tell(
        2,
        RingMessage::Report {
            me: member(3),
            view: 0,
        },
    );
    let many = vec![suspected(3, &[]); CLAIMS_MAX + 1];
    world.tell(2, RingMessage::News { claims: many });
    let tally = Tally {
        node: NodeId(1),
        incarnation: Incarnation(1),
        role: Role::Data,
        load: 0,
        traits: Traits::default(),
        spent: false,
    };
    let absurd = RingMessage::Alert {
        epoch: epoch(3),
        manager: member(2),
        hops: 60_000,
        tallies: vec![tally],
    };
    world.ask(2, absurd);
    assert_eq!(world.ring.members().view(), view);
    assert_eq!(world.ring.absurd_claims(), 7);
    assert!(world.ring.last_alert(world.now).is_none());
}

/// A report is a one-way message: its receiver sends no answer.
#[test]
fn reports_are_words() {
    let mut world = World::of(2);
    world.run_to(1_500);
    let mut kinds =
        core::iter::from_fn(|| world.host.out.pop()).filter_map(|action| match action {
            Action::Send { envelope, .. } => match envelope.message {
                Message::Ring(RingMessage::Report { .. }) => Some(envelope.kind),
                _ => None,
            },
            _ => None,
        });
    assert_eq!(kinds.next(), Some(Kind::OneWay));
}

/// A node that has left receives no reports any longer, so it suspects nobody.
#[test]
fn who_has_left_suspects_nobody() {
    let mut world = World::of(7);
    world.run_to(500);
    world.said();
    world.ring.leave(&mut world.host.at(world.now));
    world
        .ring
        .on_heard(&mut world.host.at(world.now), sender(4));
    let lost = Peer::Node(addr(3));
    world.lose(lost, Lost::Silent);
    let claims = vec![suspected(7, &[1, 2])];
    world.tell(1, RingMessage::News { claims });
    world.run_to(20_000);
    let told = |(_, m): &(Peer, Message)| matches!(m, Message::Ring(RingMessage::News { .. }));
    assert!(world.said().iter().all(told), "it only passes news on");
    assert_eq!(world.state(3), Some(MemberState::Alive));
    assert_eq!(world.state(4), Some(MemberState::Alive));
    assert_eq!(world.state(7), Some(MemberState::Suspect));
}

/// A suspicion of an earlier start arrives just before the later start does. The failed probe of
/// the earlier start is no evidence against the later one.
#[test]
fn a_later_start_is_not_blamed_for_a_probe_of_the_earlier_one() {
    let mut world = World::of(7);
    world.run_to(500);
    let claims = vec![suspected(7, &[1])];
    world.tell(1, RingMessage::News { claims });
    let later = Member {
        incarnation: Incarnation(2),
        ..member(7)
    };
    let claims = vec![account(later)];
    world.tell_as(start(7, 2), RingMessage::News { claims });
    world.said();
    world.run_to(1_600);
    assert!(world.said().iter().all(|(_, m)| !checks(m)), "no doubt");
    assert_eq!(world.state(7), Some(MemberState::Alive));
}

/// A check of one start of a member is no evidence against its next start.
#[test]
fn a_later_start_is_not_doubted_for_the_earlier_one() {
    let mut world = World::of(7);
    world.run_to(500);
    world.report(4);
    world.run_to(3_501);
    let later = Member {
        incarnation: Incarnation(2),
        ..member(4)
    };
    let claims = vec![account(later)];
    world.tell_as(start(4, 2), RingMessage::News { claims });
    world.run_to(6_000);
    assert_eq!(world.state(4), Some(MemberState::Alive));
    world.run_to(8_000);
    assert_eq!(world.state(4), Some(MemberState::Suspect), "silent, too");
}

/// A failed dial proves little: the probe is repeated for as long as a member may stall without a
/// verdict.
#[test]
fn a_dial_in_vain_is_tried_again() {
    let mut world = World::of(7);
    world.run_to(500);
    let lost = Peer::Node(addr(3));
    world.lose(lost, Lost::Silent);
    let until = world.now + world.ring.config.confirm * HEALTHY_PATIENCE;
    while world.now < until {
        let probes = |(to, m): &(Peer, Message)| {
            *to == lost && matches!(m, Message::Ring(RingMessage::Probe { .. }))
        };
        let said = world.said();
        assert!(!said.iter().any(|(_, m)| checks(m)), "at {:?}", world.now);
        if said.iter().any(probes) {
            world.lose(lost, Lost::Backoff);
        }
        let due = world.deadline().unwrap_or(until);
        world.run_to(due.since(Time::ZERO).as_millis() as u64 + 1);
    }
    world.run_to(3_000);
    assert!(world.said().iter().any(|(_, m)| checks(m)));
}

fn joined(members: &[Member]) -> impl Fn(&RingMessage) -> Option<RingMessage> {
    let members = members.to_vec();
    move |words| match words {
        RingMessage::Join { .. } => Some(RingMessage::Joined {
            members: members.clone(),
        }),
        _ => None,
    }
}

fn later(n: u8) -> Member {
    Member {
        incarnation: Incarnation(2),
        ..member(n)
    }
}

/// A member tells of a later start of another one. The known one stays, and the other is asked
/// itself, once however often it is told.
#[test]
fn a_later_start_is_asked_itself() {
    let mut world = World::of(7);
    world.run_to(500);
    world.said();
    for _ in 0..3 {
        let claims = vec![account(later(7))];
        world.tell(1, RingMessage::News { claims });
    }
    let known = member(7);
    let asked = Message::Ring(RingMessage::Probe { known });
    assert_eq!(world.said(), [(Peer::Node(addr(7)), asked)]);
    let entry = world.ring.members().get(NodeId(7));
    assert_eq!(entry.map(|entry| entry.member), Some(known));

    let claims = vec![account(later(7))];
    world.tell_as(start(7, 2), RingMessage::News { claims });
    let entry = world.ring.members().get(NodeId(7));
    assert_eq!(entry.map(|entry| entry.member), Some(later(7)));
}

/// A member that names another process in its account of itself is not believed.
#[test]
fn an_account_of_itself_names_its_own_process() {
    let mut world = World::of(7);
    world.run_to(500);
    world.said();
    let lost = Peer::Node(addr(3));
    world.lose(lost, Lost::Silent);
    let me = later(3);
    let asked = world.asked();
    world.answer(sender(3), &asked, |words| match words {
        RingMessage::Probe { .. } => Some(RingMessage::Probed { me }),
        _ => None,
    });
    let entry = world.ring.members().get(NodeId(3));
    assert_eq!(entry.map(|entry| entry.member), Some(member(3)));
    assert_eq!(world.ring.absurd_claims(), 1);
}

/// One member that lies cannot end this node. Two that say so in answer can.
#[test]
fn one_word_ends_nobody() {
    let honest: Vec<Member> = (1..=7).map(member).collect();
    let mut lie = honest.clone();
    lie[4] = later(5);
    for liars in [1, 2] {
        let mut world = World::of(3);
        world.run_to(500);
        world.said();
        let claims = vec![account(later(5))];
        world.tell(1, RingMessage::News { claims });
        world.run_to(520);
        let asked = world.asked();
        for n in 1..=3 {
            let table = if n <= liars { &lie } else { &honest };
            world.answer(sender(n), &asked, joined(table));
        }
        assert_eq!(world.ring.is_outdated(), liars == 2, "{liars} say so");
    }
}

/// In a ring of two, the only other member must say so twice.
#[test]
fn the_only_other_member_must_say_so_twice() {
    let mut world = World::of(1);
    world.run_to(500);
    world.said();
    let claims = vec![account(later(5))];
    world.tell(1, RingMessage::News { claims });
    world.run_to(520);
    for times in 1..=2 {
        assert!(!world.ring.is_outdated());
        let asked = world.asked();
        world.answer(sender(1), &asked, joined(&[member(1), later(5)]));
        assert_eq!(world.ring.is_outdated(), times == 2);
    }
}
