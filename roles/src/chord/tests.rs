//! One operation at a time: the question it asks, and the effect of the answer.

use super::*;
use crate::contract::id::{Incarnation, RequestId, SongId};
use crate::contract::message::{Envelope, Kind};

use crate::contract::node::Peer;
use crate::contract::node::{Action, Sender};
use crate::purpose::Asked;
use crate::test_support::{Host, at};
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

fn show(chord: &mut Chord, living: &Living, host: &mut Host) {
    let mut others = living.0.clone();
    others.retain(|id| NodeId(*id) != chord.me);
    let takers = others.iter().map(|id| (NodeId(*id), 1));
    let owners = Arc::new(Owners::of(takers));
    let others: Vec<_> = (others.iter())
        .map(|id| (NodeId(*id), Incarnation(1)))
        .collect();
    chord.see(&mut host.at(at(0)), &others, &owners, living);
}

/// Node 10 of seven data nodes, placed when they became enough for a circle.
fn placed(living: &Living) -> Chord {
    let mut chord = Chord::new(Config::default(), NodeId(10), Rng::from_seed(1));
    let mut host = Host::default();
    show(&mut chord, &Living(vec![10, 20]), &mut host);
    show(&mut chord, living, &mut host);
    chord
}

fn seven() -> Living {
    Living(vec![10, 20, 30, 40, 50, 60, 70])
}

fn asked(host: &mut Host) -> Option<(RequestId, ChordMessage, Peer)> {
    match host.out.pop()? {
        Action::Send { to, envelope } => match envelope.message {
            Message::Chord(words) => Some((envelope.id, words, to)),
            _ => None,
        },
        _ => None,
    }
}

/// Takes the answer to the question for neighbours, and returns the question that follows.
fn told(
    chord: &mut Chord,
    living: &Living,
    now: Time,
    (predecessor, successors): (Option<u128>, &[u128]),
    host: &mut Host,
) -> Option<ChordMessage> {
    let (id, _, from) = asked(host).expect("a question");
    let words = ChordMessage::Neighbourhood {
        predecessor: predecessor.map(NodeId),
        successors: ids(successors),
    };
    if let Some((Asked::Chord(purpose), reply)) = host.answered(now, from, (id, message(words))) {
        chord.conclude(&mut host.at(now), purpose, reply, living);
    }
    asked(host).map(|(_, words, _)| words)
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
    let mut chord = Chord::new(Config::default(), NodeId(10), Rng::from_seed(1));
    let mut host = Host::default();
    show(&mut chord, &Living(vec![5, 10, 20]), &mut host);
    assert_eq!(chord.standing(), Standing::Listed);
    assert_eq!(chord.beside().successors, ids(&[20, 5]));
    assert_eq!(chord.beside().predecessor, Some(NodeId(5)));
    assert!(chord.deadline().is_none() && host.out.is_empty());
}

/// A node that was there when the nodes became enough has the lists of the table; a later one must
/// ask.
#[test]
fn a_newcomer_joins_by_its_successor() {
    let living = seven();
    assert_eq!(placed(&living).standing(), Standing::Joined);
    let mut chord = Chord::new(Config::default(), NodeId(10), Rng::from_seed(1));
    let mut host = Host::default();
    show(&mut chord, &living, &mut host);
    assert_eq!(chord.standing(), Standing::Apart);
    chord.on_tick(&mut host.at(at(1)), &living);
    told(
        &mut chord,
        &living,
        at(1),
        (Some(70), &[30, 40, 50, 60]),
        &mut host,
    );
    assert_eq!(chord.standing(), Standing::Joined);
    assert_eq!(chord.beside().successors, ids(&[20, 30, 40, 50]));
    assert_eq!(chord.beside().predecessor, None);
}

/// The two nearest nodes live, and never answer a newcomer: it joins by the third.
#[test]
fn a_newcomer_passes_over_those_that_never_answer() {
    let living = seven();
    let mut alone = alone::Alone::new(Config::default(), NodeId(10), Rng::from_seed(1));
    let mut host = Host::default();
    let others = [20, 30, 40, 50, 60, 70].map(|id| (NodeId(id), Incarnation(1)));
    alone.see(at(0), &others, &Arc::default(), &living, &mut host.out);
    let mut asked_of = Vec::new();
    for now in (1..120).map(at) {
        alone.on_tick(now, &living, &mut host.out);
        let Some((id, ChordMessage::Neighbours { of }, from)) = asked(&mut host) else {
            continue;
        };
        asked_of.push(of.0);
        if of.0 > 30 && alone.standing() == Standing::Apart {
            let words = ChordMessage::Neighbourhood {
                predecessor: Some(NodeId(30)),
                successors: ids(&[50, 60, 70]),
            };
            let envelope = Envelope {
                id,
                kind: Kind::Answer { more: false },
                message: message(words),
                body: Vec::new(),
            };
            alone.on_answer(now, from, envelope, &living, &mut host.out);
            break;
        }
    }
    assert_eq!(alone.standing(), Standing::Joined, "{asked_of:?}");
    assert_eq!(alone.beside().successors, ids(&[40, 50, 60, 70]));
    assert_eq!(asked_of.iter().filter(|of| **of == 30).count(), 3);
}

/// A node between this one and its successor is adopted only after its own answer.
#[test]
fn a_candidate_must_answer() {
    let mut living = seven();
    let mut chord = placed(&living);
    living.0.push(15);
    let mut host = Host::default();
    chord.on_tick(&mut host.at(at(1)), &living);
    let next = told(
        &mut chord,
        &living,
        at(1),
        (Some(15), &[30, 40, 50, 60]),
        &mut host,
    );
    assert_eq!(next, Some(ChordMessage::Neighbours { of: NodeId(15) }));
    assert_eq!(chord.beside().successors, ids(&[20, 30, 40, 50]));
}

#[test]
fn the_dead_leave_the_head_of_the_list() {
    let mut chord = placed(&seven());
    let living = Living(vec![10, 40, 50, 60, 70]);
    let mut host = Host::default();
    chord.on_tick(&mut host.at(at(1)), &living);
    let next = told(
        &mut chord,
        &living,
        at(1),
        (Some(30), &[50, 60, 70, 10]),
        &mut host,
    );
    assert_eq!(
        next,
        Some(ChordMessage::Notify),
        "the dead candidate is not asked"
    );
    assert_eq!(chord.beside().successors, ids(&[40, 50, 60, 70]));
}

/// A farther node replaces the predecessor only when the predecessor is dead.
#[test]
fn a_predecessor_is_replaced_when_it_is_dead() {
    let living = seven();
    let mut chord = placed(&living);
    let mut host = Host::default();
    chord.on_question(
        &mut host.at(at(1)),
        asker(60),
        ChordMessage::Notify,
        &living,
    );
    assert_eq!(
        asked(&mut host).map(|asked| asked.1),
        Some(ChordMessage::Noted)
    );
    let question = asked(&mut host).map(|asked| asked.1);
    assert_eq!(question, Some(ChordMessage::Neighbours { of: NodeId(70) }));
    assert_eq!(chord.beside().predecessor, Some(NodeId(70)));
    let left = Living(vec![10, 20, 30, 40, 50, 60]);
    chord.on_tick(&mut host.at(at(1)), &left);
    assert_eq!(chord.beside().predecessor, Some(NodeId(60)));
}

/// A node with no predecessor or a dead one asks the node that the table has before it.
#[test]
fn a_node_that_nobody_told_looks_back() {
    let living = Living(vec![10, 20, 30, 40, 50, 60]);
    let mut chord = placed(&seven());
    let mut host = Host::default();
    show(&mut chord, &living, &mut host);
    chord.on_tick(&mut host.at(at(1)), &living);
    let theirs: (_, &[u128]) = (Some(10), &[30, 40, 50, 60]);
    let next = told(&mut chord, &living, at(1), theirs, &mut host);
    assert_eq!(next, Some(ChordMessage::Neighbours { of: NodeId(60) }));
    assert_eq!(chord.beside().predecessor, Some(NodeId(70)));
}

/// A node outside the living data nodes becomes no predecessor, and a list above the bound is no
/// answer.
#[test]
fn strangers_and_absurd_lists_change_nothing() {
    let living = seven();
    let mut chord = placed(&living);
    let before = chord.beside().clone();
    let mut host = Host::default();
    chord.on_question(&mut host.at(at(1)), asker(5), ChordMessage::Notify, &living);
    chord.on_question(
        &mut host.at(at(1)),
        asker(10),
        ChordMessage::Notify,
        &living,
    );
    while let Some(action) = host.out.pop() {
        let Action::Send { envelope, .. } = action else {
            continue;
        };
        assert!(
            matches!(envelope.message, Message::Refused(_)),
            "{envelope:?}"
        );
    }
    chord.on_tick(&mut host.at(at(1)), &living);
    let long: Vec<u128> = (21..60).collect();
    told(&mut chord, &living, at(1), (None, &long), &mut host);
    assert_eq!(*chord.beside(), before);
    assert_eq!(chord.strange_answers(), 1);
}

/// A node that waits for an answer holds back questions about its neighbours, and answers them
/// afterwards.
#[test]
fn questions_wait_for_the_operation() {
    let living = seven();
    let mut chord = placed(&living);
    let mut host = Host::default();
    chord.on_tick(&mut host.at(at(1)), &living);
    let (_, question, _) = asked(&mut host).expect("it stabilises");
    assert_eq!(question, ChordMessage::Neighbours { of: NodeId(20) });
    let ask = ChordMessage::Neighbours { of: NodeId(10) };
    chord.on_question(&mut host.at(at(1)), asker(70), ask, &living);
    assert!(host.out.is_empty());
    chord.on_tick(&mut host.at(at(4)), &living);
    let told = asked(&mut host).map(|asked| asked.1);
    assert!(
        matches!(told, Some(ChordMessage::Neighbourhood { .. })),
        "{told:?}"
    );
}

/// A look-up begins at the node that should be responsible, then asks those before the key.
#[test]
fn a_look_up_begins_at_the_responsible_node() {
    let toward = |key| toward(NodeId(key), ids(&[30, 10, 20, 40]));
    assert_eq!(toward(25), ids(&[30, 20, 10, 40]));
    assert_eq!(toward(20), ids(&[20, 10, 40, 30]));
    assert_eq!(toward(50), ids(&[10, 40, 30, 20]));
    assert_eq!(super::toward(NodeId(1), []), []);
}

/// Node 40, which knows only some nodes at a distance and has 30 as predecessor.
fn thinned(living: &Living) -> Chord {
    let config = Config {
        fingers: 0,
        ..Config::default()
    };
    let mut chord = Chord::new(config, NodeId(40), Rng::from_seed(1));
    let mut host = Host::default();
    show(&mut chord, &Living(vec![30, 40]), &mut host);
    show(&mut chord, living, &mut host);
    chord
}

/// Node 40 knows no node between 10 and itself except the dead 30. The keys before 20 belong to 20.
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

/// A joined node between the asker's guide and this node, unknown to the guide, comes first.
#[test]
fn a_newcomer_that_was_passed_by_is_named() {
    let chord = thinned(&seven());
    let way = chord.way(NodeId(25), Some(NodeId(20)), &seven());
    assert_eq!(way, Way::Closer(ids(&[30])));
}

/// Node 40 is asked first and does not know that the key is its own. When 20 leads the asker back,
/// it does.
#[test]
fn who_could_not_tell_is_asked_again_by_a_better_guide() {
    let ask = |node: u128, before: Option<u128>| {
        let before = before.map(NodeId);
        let node = NodeId(node);
        Some(Ask { node, before })
    };
    let mut search = Search::new(SongId(25), ids(&[40]), ChordMutants::default());
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

/// A look-up ends although two nodes name each other.
#[test]
fn a_search_ends() {
    let song = SongId(9);
    let mut search = Search::new(song, [NodeId(1)], ChordMutants::default());
    while let Some(Ask { node, .. }) = search.next_asked() {
        search.go_on([NodeId(3 - node.0)]);
    }
    assert_eq!(
        search.hops(),
        3,
        "the first again, now that 2 has led there"
    );
    let mut search = Search::new(song, [NodeId(1)], ChordMutants::default());
    while let Some(Ask { node, .. }) = search.next_asked() {
        search.go_on([NodeId(node.0 + 1)]);
    }
    assert_eq!(search.hops(), HOPS_MAX);
}
