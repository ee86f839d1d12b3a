//! Which update about a member wins.

use crate::test_support::{addr, at};
use alloc::vec;

use super::*;
use crate::contract::id::Incarnation;
use crate::contract::record::Features;

fn member(n: u8) -> Member {
    Member {
        node: NodeId(u128::from(n)),
        incarnation: Incarnation(5),
        version: 3,
        state: MemberState::Alive,
        role: Role::Router,
        address: addr(n),
        features: Features::default(),
        weight: 0,
        traits: Traits::default(),
    }
}

fn claim(member: Member) -> Claim {
    Claim {
        member,
        observers: vec![],
    }
}

fn table(others: &[u8]) -> Members {
    let mut members = Members::new(at(0), member(5));
    for n in others {
        members.absorb(at(0), &claim(member(*n)), Voice::Another);
    }
    members
}

fn ids(members: &[Member]) -> Vec<u128> {
    members.iter().map(|m| m.node.0).collect()
}

/// The ring is circular: the lowest id follows the highest.
#[test]
fn neighbours_are_read_off_the_table() {
    let members = table(&[2, 8, 9, 3, 7]);
    assert_eq!(ids(&members.successors(4)), [7, 8, 9, 2]);
    assert_eq!(ids(&members.predecessors(3)), [3, 2, 9]);
    assert_eq!(ids(&members.successors(99)), [7, 8, 9, 2, 3]);
    let alone = table(&[]);
    assert!(alone.successors(4).is_empty() && alone.predecessors(4).is_empty());
    assert_eq!(ids(&table(&[6]).successors(4)), [6]);
}

/// A restored disk uses one incarnation twice: once as a router, once as a data node. Every member
/// believes the same of two updates of equal age, and the member itself must refute.
#[test]
fn of_two_roles_in_one_start_all_believe_the_same() {
    let role = |role| Member { role, ..member(7) };
    for known in [Role::Data, Role::Router] {
        let mut members = table(&[]);
        members.absorb(at(0), &claim(role(known)), Voice::Another);
        let views = [Role::Data, Role::Router].map(|other| {
            members.absorb(at(1), &claim(role(other)), Voice::Another);
            members.view()
        });
        let believed = members.get(NodeId(7)).expect("a member").member;
        assert_eq!(believed.role, Role::Router);
        assert_eq!(views[0] == views[1], known == Role::Router);
    }
    let mut members = table(&[7]);
    let traits = Traits::DRAINING;
    let before = members.view();
    members.absorb(
        at(1),
        &claim(Member {
            traits,
            ..member(7)
        }),
        Voice::Another,
    );
    assert_ne!(members.view(), before);
    let mut data = Members::new(at(0), role(Role::Data));
    let refute = Absorbed::Refute { version: 3 };
    assert_eq!(
        data.absorb(at(0), &claim(role(Role::Router)), Voice::Another),
        refute
    );
}

/// Updates are ordered by incarnation, then by version, then with the worse state last.
#[test]
fn the_later_account_wins() {
    let known = member(7);
    let (state, version) = (MemberState::Suspect, 2);
    let older = Member { version, ..known };
    let worse = Member { state, ..known };
    let later = Member {
        version: 4,
        ..known
    };
    let before = Some(MemberState::Alive);
    for (claimed, expected) in [
        (known, Absorbed::Nothing),
        (older, Absorbed::Stale),
        (worse, Absorbed::Changed { before }),
        (later, Absorbed::Changed { before }),
    ] {
        let mut members = table(&[7]);
        assert_eq!(
            members.absorb(at(1), &claim(claimed), Voice::Another),
            expected,
            "{claimed:?}"
        );
        if expected != Absorbed::Stale {
            let kept = members.get(known.node).map(|entry| entry.member);
            assert_eq!(kept, Some(claimed));
        }
    }
}

/// Two halves of a split ring hold each other dead; when they meet, no member dies of it.
#[test]
fn a_verdict_from_elsewhere_leaves_time_to_refute() {
    let mut members = table(&[7]);
    let dead = Member {
        state: MemberState::Dead,
        ..member(7)
    };
    let state = |members: &Members| members.get(dead.node).map(|e| e.member.state);
    members.absorb(at(1), &claim(dead), Voice::Another);
    assert_eq!(state(&members), Some(MemberState::Suspect));
    members.absorb(at(1), &claim(dead), Voice::Another);
    assert_eq!(state(&members), Some(MemberState::Suspect), "told twice");
    members.absorb(at(3), &claim(dead), Voice::Another);
    assert_eq!(state(&members), Some(MemberState::Suspect), "not tried");
    members.judge(at(3), NodeId(7), MemberState::Suspect, &[NodeId(5)]);
    members.absorb(at(3), &claim(dead), Voice::Another);
    assert_eq!(state(&members), Some(MemberState::Dead), "not refuted");
    let refuted = Member {
        version: 4,
        ..member(7)
    };
    members.absorb(at(9), &claim(refuted), Voice::Another);
    assert_eq!(
        state(&members),
        Some(MemberState::Alive),
        "dead is reversible"
    );
}

#[test]
fn what_is_said_of_oneself_is_refuted_or_absurd() {
    let mut members = table(&[]);
    let say = |change: fn(&mut Member)| {
        let mut said = member(5);
        change(&mut said);
        claim(said)
    };
    let suspected = say(|m| m.state = MemberState::Suspect);
    assert_eq!(
        members.absorb(at(1), &suspected, Voice::Another),
        Absorbed::Refute { version: 3 }
    );
    members.restate(at(1), 3, |_| ());
    assert_eq!(members.me().version, 4);
    assert_eq!(
        members.absorb(at(2), &suspected, Voice::Another),
        Absorbed::Stale
    );
    // This node said so before its disk was restored.
    let forgotten = say(|m| m.version = 9);
    let refute = Absorbed::Refute { version: 9 };
    assert_eq!(members.absorb(at(2), &forgotten, Voice::Another), refute);
    let doubles: [fn(&mut Member); 2] =
        [|m| m.incarnation = Incarnation(6), |m| m.address = addr(6)];
    for double in doubles {
        let said = members.absorb(at(2), &say(double), Voice::Another);
        assert_eq!(said, Absorbed::Double);
    }
    let leaps = say(|m| m.version = 1 << 30);
    assert_eq!(
        members.absorb(at(2), &leaps, Voice::Another),
        Absorbed::Absurd
    );
}

/// Another process under a known id is believed of that process alone.
#[test]
fn of_another_process_only_its_own_word_counts() {
    let restarted = Member {
        incarnation: Incarnation(6),
        version: 0,
        ..member(7)
    };
    let elsewhere = Member {
        address: addr(9),
        version: 4,
        ..member(7)
    };
    for other in [restarted, elsewhere] {
        let mut members = table(&[7]);
        let told = members.absorb(at(1), &claim(other), Voice::Another);
        assert_eq!(told, Absorbed::Hearsay);
        assert_eq!(kept(&members), Some(member(7)));
        members.absorb(at(1), &claim(other), Voice::Itself);
        assert_eq!(kept(&members), Some(other));
    }
}

/// Of a member that this node has not heard itself, the first lie is believed, and no longer than
/// until the member speaks, although the lie names a later start.
#[test]
fn a_member_that_speaks_undoes_hearsay() {
    let lie = Member {
        incarnation: Incarnation(70),
        ..member(7)
    };
    let mut members = table(&[]);
    members.absorb(at(1), &claim(lie), Voice::Another);
    assert_eq!(kept(&members), Some(lie));
    members.absorb(at(2), &claim(member(7)), Voice::Itself);
    assert_eq!(kept(&members), Some(member(7)));
    let told = members.absorb(at(3), &claim(lie), Voice::Another);
    assert_eq!(told, Absorbed::Hearsay);

    // A later start that was met gives way to a copy of its disk on another machine only when it is
    // dead.
    let later = Member {
        incarnation: Incarnation(6),
        ..member(7)
    };
    let copy = Member {
        address: addr(9),
        ..member(7)
    };
    members.absorb(at(4), &claim(later), Voice::Itself);
    let told = members.absorb(at(5), &claim(copy), Voice::Itself);
    assert_eq!((told, kept(&members)), (Absorbed::Stale, Some(later)));
    members.judge(at(6), NodeId(7), MemberState::Dead, &[]);
    members.absorb(at(7), &claim(copy), Voice::Itself);
    assert_eq!(kept(&members), Some(copy));
}

/// A disk was restored: the earlier start speaks where the later one listened.
#[test]
fn an_earlier_start_at_the_same_address_is_believed() {
    let later = Member {
        incarnation: Incarnation(6),
        ..member(7)
    };
    let mut members = table(&[]);
    members.absorb(at(1), &claim(later), Voice::Itself);
    members.absorb(at(2), &claim(member(7)), Voice::Another);
    assert_eq!(kept(&members), Some(later));
    members.absorb(at(3), &claim(member(7)), Voice::Itself);
    assert_eq!(kept(&members), Some(member(7)));
}

/// A verdict at a version that was never suspected here begins as a suspicion: the member can
/// refute it.
#[test]
fn a_verdict_out_of_nowhere_is_a_suspicion() {
    let mut members = table(&[7]);
    let dead = Member {
        version: 4,
        state: MemberState::Dead,
        ..member(7)
    };
    members.absorb(at(1), &claim(dead), Voice::Another);
    let state = |members: &Members| kept(members).map(|m| (m.version, m.state));
    assert_eq!(state(&members), Some((4, MemberState::Suspect)));
    members.judge(at(2), NodeId(7), MemberState::Suspect, &[NodeId(5)]);
    members.absorb(at(3), &claim(dead), Voice::Another);
    assert_eq!(state(&members), Some((4, MemberState::Dead)), "not refuted");
}

fn kept(members: &Members) -> Option<Member> {
    members.get(NodeId(7)).map(|entry| entry.member)
}

/// A claim that no honest member makes changes nothing.
#[test]
fn impossible_accounts_are_refused() {
    let lies: [fn(&mut Member); 6] = [
        |m| m.role = Role::Dns,
        |m| m.traits = Traits(128),
        |m| m.incarnation = Incarnation(u64::MAX),
        |m| m.version = u32::MAX,
        |m| m.version = 1 << 30,
        |m| m.weight = u16::MAX,
    ];
    for lie in lies {
        let mut members = table(&[7]);
        let view = members.view();
        let mut said = member(7);
        lie(&mut said);
        assert_eq!(
            members.absorb(at(1), &claim(said), Voice::Another),
            Absorbed::Absurd
        );
        assert_eq!(members.view(), view);
    }
}

/// A machine that lost its disk returns under another id; its address belongs to the later one
/// only.
#[test]
fn who_is_heard_at_an_address_ends_who_was_there() {
    let mut members = table(&[7]);
    let reborn = Member {
        address: addr(7),
        ..member(8)
    };
    members.absorb(at(1), &claim(reborn), Voice::Another);
    assert_eq!(members.count(), 3, "hearsay ends nobody");
    assert_eq!(members.settle(at(1), reborn.node, addr(7)), [NodeId(7)]);
    assert_eq!(members.count(), 2);
    let mine = Member {
        address: addr(5),
        ..member(9)
    };
    members.absorb(at(1), &claim(mine), Voice::Another);
    assert_eq!(
        members.count(),
        2,
        "nobody else lives at this node's own address"
    );
}

/// The table has a bound: the longest dead member makes room, a living one never does.
#[test]
fn the_table_is_bounded() {
    let mut members = table(&[]);
    let numbered = |n: usize, state| Member {
        node: NodeId(1000 + n as u128),
        address: Address(([10, 0, (n >> 8) as u8, n as u8], 7700).into()),
        state,
        ..member(1)
    };
    members.absorb(
        at(0),
        &claim(numbered(0, MemberState::Dead)),
        Voice::Another,
    );
    for n in 1..=MEMBERS_MAX {
        members.absorb(
            at(1),
            &claim(numbered(n, MemberState::Alive)),
            Voice::Another,
        );
    }
    assert_eq!(members.all().count(), MEMBERS_MAX);
    assert!(
        members.get(NodeId(1000)).is_none(),
        "the dead one made room"
    );
}

#[test]
fn the_dead_are_remembered_for_a_day() {
    let mut members = table(&[7]);
    members.judge(at(1), NodeId(7), MemberState::Dead, &[]);
    members.forget_old(at(80_000));
    assert!(members.get(NodeId(7)).is_some());
    members.forget_old(at(90_000));
    assert!(members.get(NodeId(7)).is_none());
    assert!(members.get(NodeId(5)).is_some(), "this node never");
}

/// One death has no consequence. From the second within ten minutes on, each death doubles the
/// wait.
#[test]
fn who_comes_and_goes_waits_longer_each_time() {
    let mut members = table(&[7]);
    let mut waits = vec![];
    for death in 0..8_u32 {
        let now = at(u64::from(death) * 60);
        members.judge(now, NodeId(7), MemberState::Dead, &[]);
        let until = members.probation(NodeId(7));
        waits.push(until.map_or(0, |until| until.since(now).as_secs() / 60));
        let back = Member {
            version: 4 + death,
            ..member(7)
        };
        members.absorb(now, &claim(back), Voice::Itself);
    }
    assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 32]);
}
