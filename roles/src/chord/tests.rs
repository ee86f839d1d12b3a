//! One operation after the other: what is asked, and what an answer changes.

use super::*;
use crate::contract::id::{Incarnation, RequestId, SongId};
use crate::contract::message::Kind;
use crate::contract::node::{Action, Sender};
use crate::samples::at;
use alloc::vec;

struct Living(Vec<u128>);

impl Table for Living {
    fn address(&self, node: NodeId) -> Option<Address> {
        let address = Address(([10, 0, 0, node.0 as u8], 7700).into());
        self.0.contains(&node.0).then_some(address)
    }
}

fn ids(ids: &[u128]) -> Vec<NodeId> {
    ids.iter().map(|id| NodeId(*id)).collect()
}

fn show(chord: &mut Chord, living: &Living, out: &mut Outbox) {
    let mut others = living.0.clone();
    others.retain(|id| NodeId(*id) != chord.me);
    let takers = others.iter().map(|id| (NodeId(*id), 1)).collect();
    let others: Vec<_> = (others.iter())
        .map(|id| (NodeId(*id), Incarnation(1)))
        .collect();
    chord.see(at(0), &others, takers, living, out);
}

/// Node 10 of seven, placed while there were two.
fn placed(living: &Living) -> Chord {
    let mut chord = Chord::new(Config::default(), NodeId(10), Chance::from_seed(1));
    let mut out = Outbox::new();
    show(&mut chord, &Living(vec![10, 20]), &mut out);
    show(&mut chord, living, &mut out);
    chord
}

fn seven() -> Living {
    Living(vec![10, 20, 30, 40, 50, 60, 70])
}

fn asked(out: &mut Outbox) -> Option<(RequestId, Words, Peer)> {
    match out.pop()? {
        Action::Send { to, letter } => match letter.message {
            Message::Chord(words) => Some((letter.id, words, to)),
            _ => None,
        },
        _ => None,
    }
}

/// Asks for neighbours, is told these, and says what is asked next.
fn told(
    chord: &mut Chord,
    living: &Living,
    now: Time,
    (predecessor, successors): (Option<u128>, &[u128]),
    out: &mut Outbox,
) -> Option<Words> {
    let (id, _, from) = asked(out).expect("a question");
    let words = Words::Neighbourhood {
        predecessor: predecessor.map(NodeId),
        successors: ids(successors),
    };
    let letter = Letter {
        id,
        kind: Kind::Answer { more: false },
        message: message(words),
        body: Vec::new(),
    };
    chord.on_answer(now, from, letter, living, out);
    asked(out).map(|(_, words, _)| words)
}

fn asker(node: u128) -> Asker {
    let sender = Sender {
        peer: Peer::Guest(1),
        node: NodeId(node),
        incarnation: Incarnation(1),
    };
    Asker {
        sender,
        id: RequestId(1),
        until: at(99),
    }
}

#[test]
fn few_nodes_stand_as_the_member_table_says() {
    let mut chord = Chord::new(Config::default(), NodeId(10), Chance::from_seed(1));
    let mut out = Outbox::new();
    show(&mut chord, &Living(vec![5, 10, 20]), &mut out);
    assert_eq!(chord.standing(), Standing::Listed);
    assert_eq!(chord.beside().successors, ids(&[20, 5]));
    assert_eq!(chord.beside().predecessor, Some(NodeId(5)));
    assert!(chord.deadline().is_none() && out.is_empty());
}

/// Whoever was there when they became enough holds the lists of the table; a newcomer asks.
#[test]
fn a_newcomer_joins_by_its_successor() {
    let living = seven();
    assert_eq!(placed(&living).standing(), Standing::Joined);
    let mut chord = Chord::new(Config::default(), NodeId(10), Chance::from_seed(1));
    let mut out = Outbox::new();
    show(&mut chord, &living, &mut out);
    assert_eq!(chord.standing(), Standing::Apart);
    chord.on_tick(at(1), &living, &mut out);
    told(
        &mut chord,
        &living,
        at(1),
        (Some(70), &[30, 40, 50, 60]),
        &mut out,
    );
    assert_eq!(chord.standing(), Standing::Joined);
    assert_eq!(chord.beside().successors, ids(&[20, 30, 40, 50]));
    assert_eq!(chord.beside().predecessor, None);
}

/// A node between this one and its successor is adopted only when it has answered itself.
#[test]
fn a_candidate_must_answer() {
    let mut living = seven();
    let mut chord = placed(&living);
    living.0.push(15);
    let mut out = Outbox::new();
    chord.on_tick(at(1), &living, &mut out);
    let next = told(
        &mut chord,
        &living,
        at(1),
        (Some(15), &[30, 40, 50, 60]),
        &mut out,
    );
    assert_eq!(next, Some(Words::Neighbours { of: NodeId(15) }));
    assert_eq!(chord.beside().successors, ids(&[20, 30, 40, 50]));
}

#[test]
fn the_dead_leave_the_head_of_the_list() {
    let mut chord = placed(&seven());
    let living = Living(vec![10, 40, 50, 60, 70]);
    let mut out = Outbox::new();
    chord.on_tick(at(1), &living, &mut out);
    let next = told(
        &mut chord,
        &living,
        at(1),
        (Some(30), &[50, 60, 70, 10]),
        &mut out,
    );
    assert_eq!(next, Some(Words::Notify), "the dead candidate is not asked");
    assert_eq!(chord.beside().successors, ids(&[40, 50, 60, 70]));
}

/// A farther node replaces the predecessor only when that is dead.
#[test]
fn a_predecessor_is_replaced_when_it_is_dead() {
    let living = seven();
    let mut chord = placed(&living);
    let mut out = Outbox::new();
    chord.on_question(at(1), asker(60), Words::Notify, &living, &mut out);
    assert_eq!(asked(&mut out).map(|asked| asked.1), Some(Words::Noted));
    let question = asked(&mut out).map(|asked| asked.1);
    assert_eq!(question, Some(Words::Neighbours { of: NodeId(70) }));
    assert_eq!(chord.beside().predecessor, Some(NodeId(70)));
    let left = Living(vec![10, 20, 30, 40, 50, 60]);
    chord.on_tick(at(1), &left, &mut out);
    assert_eq!(chord.beside().predecessor, Some(NodeId(60)));
}

/// Who has joined, and has for its predecessor nobody or a dead one, asks whom the table has there.
#[test]
fn a_node_that_nobody_told_looks_back() {
    let living = Living(vec![10, 20, 30, 40, 50, 60]);
    let mut chord = placed(&seven());
    let mut out = Outbox::new();
    show(&mut chord, &living, &mut out);
    chord.on_tick(at(1), &living, &mut out);
    let theirs: (_, &[u128]) = (Some(10), &[30, 40, 50, 60]);
    let next = told(&mut chord, &living, at(1), theirs, &mut out);
    assert_eq!(next, Some(Words::Neighbours { of: NodeId(60) }));
    assert_eq!(chord.beside().predecessor, Some(NodeId(70)));
}

/// Whom the ring does not count among the living data nodes stands before nobody, and a list longer
/// than any is no answer.
#[test]
fn strangers_and_absurd_lists_change_nothing() {
    let living = seven();
    let mut chord = placed(&living);
    let before = chord.beside().clone();
    let mut out = Outbox::new();
    chord.on_question(at(1), asker(5), Words::Notify, &living, &mut out);
    chord.on_question(at(1), asker(10), Words::Notify, &living, &mut out);
    while let Some(action) = out.pop() {
        let Action::Send { letter, .. } = action else {
            continue;
        };
        assert!(matches!(letter.message, Message::Refused(_)), "{letter:?}");
    }
    chord.on_tick(at(1), &living, &mut out);
    let long: Vec<u128> = (21..60).collect();
    told(&mut chord, &living, at(1), (None, &long), &mut out);
    assert_eq!(*chord.beside(), before);
    assert_eq!(chord.strange_answers(), 1);
}

/// While it waits for an answer, a node tells nothing of its neighbours; then it does.
#[test]
fn questions_wait_for_the_operation() {
    let living = seven();
    let mut chord = placed(&living);
    let mut out = Outbox::new();
    chord.on_tick(at(1), &living, &mut out);
    let (_, question, _) = asked(&mut out).expect("it stabilises");
    assert_eq!(question, Words::Neighbours { of: NodeId(20) });
    let ask = Words::Neighbours { of: NodeId(10) };
    chord.on_question(at(1), asker(70), ask, &living, &mut out);
    assert!(out.is_empty());
    chord.on_tick(at(4), &living, &mut out);
    let told = asked(&mut out).map(|asked| asked.1);
    assert!(
        matches!(told, Some(Words::Neighbourhood { .. })),
        "{told:?}"
    );
}

/// A node that knows one at every distance, and has 30 for its predecessor.
fn thinned(living: &Living) -> Chord {
    let config = Config {
        fingers: 0,
        ..Config::default()
    };
    let mut chord = Chord::new(config, NodeId(40), Chance::from_seed(1));
    let mut out = Outbox::new();
    show(&mut chord, &Living(vec![30, 40]), &mut out);
    show(&mut chord, living, &mut out);
    chord
}

/// Node 40 knows nobody between 10 and itself but the dead 30; what lies before that is 20's.
#[test]
fn who_has_lost_its_predecessor_answers_for_no_one_elses_share() {
    let chord = thinned(&seven());
    let living = Living(vec![10, 20, 40, 50, 60, 70]);
    let way = |key: u128, before: Option<u128>| chord.way(NodeId(key), before.map(NodeId), &living);
    assert_eq!(way(35, None), Way::Mine);
    assert!(matches!(way(15, None), Way::Closer(_)));
    assert!(
        matches!(way(25, None), Way::Closer(_)),
        "as far as it knows"
    );
    assert_eq!(way(25, Some(20)), Way::Mine, "20 lives, and has named it");
    assert!(matches!(way(15, Some(20)), Way::Closer(_)));
}

/// A newcomer before this one, that the asker's guide has not heard of, comes first.
#[test]
fn a_newcomer_that_was_passed_by_is_named() {
    let chord = thinned(&seven());
    let way = chord.way(NodeId(25), Some(NodeId(20)), &seven());
    assert_eq!(way, Way::Closer(ids(&[30])));
}

/// Node 40 is asked first and does not know that the key is its own; led back there, it does.
#[test]
fn who_could_not_tell_is_asked_again_by_a_better_guide() {
    let ask = |node: u128, before: Option<u128>| {
        let before = before.map(NodeId);
        let node = NodeId(node);
        Some(Ask { node, before })
    };
    let mut search = Search::new(SongId(25), ids(&[40]), Flaws::default());
    assert_eq!(search.next_asked(), ask(40, None));
    search.go_on(ids(&[10]));
    assert_eq!(search.next_asked(), ask(10, None));
    search.go_on(ids(&[20]));
    assert_eq!(search.next_asked(), ask(20, None));
    search.go_on(ids(&[40]));
    assert_eq!(search.next_asked(), ask(40, Some(20)));
    search.go_on(ids(&[20, 40]));
    assert_eq!(search.next_asked(), None);
}

/// Two nodes that name each other lead a look-up nowhere.
#[test]
fn a_search_ends() {
    let song = SongId(9);
    let mut search = Search::new(song, [NodeId(1)], Flaws::default());
    while let Some(Ask { node, .. }) = search.next_asked() {
        search.go_on([NodeId(3 - node.0)]);
    }
    assert_eq!(
        search.hops(),
        3,
        "the first again, now that 2 has led there"
    );
    let mut search = Search::new(song, [NodeId(1)], Flaws::default());
    while let Some(Ask { node, .. }) = search.next_asked() {
        search.go_on([NodeId(node.0 + 1)]);
    }
    assert_eq!(search.hops(), HOPS_MAX);
}
