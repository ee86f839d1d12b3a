use super::*;
use crate::contract::message::Names;
use crate::contract::node::Action;
use crate::contract::record::Address;
use alloc::vec;

const QUESTION: Message = Message::Names(Names::Reserve);
const ANSWER: Message = Message::Names(Names::Registered);

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn peer(n: u8) -> Peer {
    Peer::Node(Address(([127, 0, 0, n], 7700).into()))
}

fn requests() -> Requests<&'static str> {
    Requests::new(Rng::from_seed(1))
}

fn asked(out: &mut Outbox) -> Vec<(Peer, RequestId)> {
    let mut sent = vec![];
    while let Some(action) = out.pop() {
        if let Action::Send { to, envelope } = action {
            sent.push((to, envelope.id));
        }
    }
    sent
}

fn answer(id: RequestId, message: Message) -> Envelope {
    Envelope {
        id,
        kind: Kind::Answer { more: false },
        message,
        body: vec![],
    }
}

fn begin(candidates: &[u8], policy: Policy) -> (Requests<&'static str>, Outbox, RequestId) {
    let (mut requests, mut out) = (requests(), Outbox::new());
    let peers = candidates.iter().map(|n| peer(*n)).collect();
    let id = requests.ask(at(0), "why", peers, QUESTION, policy, &mut out);
    assert_eq!(asked(&mut out).len(), 1);
    (requests, out, id.expect("candidates were given"))
}

#[test]
fn the_first_answer_wins_and_the_second_finds_nobody() {
    let (mut requests, mut out, id) = begin(&[1, 2], Policy::GROUP);
    let got = requests.on_answer(at(1), peer(1), answer(id, ANSWER), &mut out);
    assert!(matches!(
        got,
        Some(Outcome {
            purpose: "why",
            reply: Reply::Answered { .. }
        })
    ));
    let again = requests.on_answer(at(2), peer(1), answer(id, ANSWER), &mut out);
    assert_eq!(again, None);
    assert_eq!(requests.deadline(), None);
}

/// An answer from somebody who was not asked is not an answer.
#[test]
fn a_stranger_cannot_answer() {
    let (mut requests, mut out, id) = begin(&[1], Policy::GROUP);
    let got = requests.on_answer(at(1), peer(9), answer(id, ANSWER), &mut out);
    assert_eq!(got, None);
    assert_eq!(requests.len(), 1);
}

#[test]
fn a_lost_peer_sends_the_question_elsewhere_at_once() {
    let (mut requests, mut out, id) = begin(&[1, 2], Policy::GROUP);
    assert_eq!(
        requests.on_lost(at(1), peer(1), Lost::Reset, &mut out),
        vec![]
    );
    assert_eq!(asked(&mut out), vec![(peer(2), id)]);
}

/// A whole round of failures waits before it begins again with the same number, so that
/// whoever did the work already answers from its window.
#[test]
fn a_failed_round_pauses_then_repeats_the_number() {
    let (mut requests, mut out, id) = begin(&[1, 2], Policy::GROUP);
    requests.on_lost(at(1), peer(1), Lost::Reset, &mut out);
    requests.on_lost(at(1), peer(2), Lost::Reset, &mut out);
    assert_eq!(asked(&mut out), vec![(peer(2), id)]);
    let due = requests.deadline().expect("a pause");
    assert!(due > at(1) && due <= at(301));
    requests.on_tick(due, &mut out);
    assert_eq!(asked(&mut out), vec![(peer(1), id)]);
}

/// Late is not lost: the slow one's answer still counts.
#[test]
fn a_late_candidate_may_still_answer() {
    let (mut requests, mut out, id) = begin(&[1, 2], Policy::GROUP);
    requests.on_tick(at(500), &mut out);
    assert_eq!(asked(&mut out), vec![(peer(2), id)]);
    let got = requests.on_answer(at(600), peer(1), answer(id, ANSWER), &mut out);
    assert!(matches!(
        got,
        Some(Outcome {
            reply: Reply::Answered { .. },
            ..
        })
    ));
}

/// TCP repeats what is lost: who is at work on a question is not asked it a second time.
#[test]
fn who_is_at_work_is_not_asked_again() {
    let (mut requests, mut out, _) = begin(&[1], Policy::GROUP);
    requests.on_tick(at(500), &mut out);
    requests.on_tick(at(1_500), &mut out);
    assert_eq!(asked(&mut out), vec![]);
}

#[test]
fn a_refusal_others_might_not_give_goes_elsewhere() {
    let (mut requests, mut out, id) = begin(&[1, 2], Policy::ONCE);
    let refused = |why| answer(id, Message::Refused(why));
    let busy = Refusal::Busy { retry_after_ms: 1 };
    assert_eq!(
        requests.on_answer(at(1), peer(1), refused(busy), &mut out),
        None
    );
    assert_eq!(asked(&mut out), vec![(peer(2), id)]);
    let got = requests.on_answer(at(2), peer(2), refused(Refusal::NotFound), &mut out);
    assert_eq!(
        got,
        Some(Outcome {
            purpose: "why",
            reply: Reply::GaveUp {
                refusal: Some(Refusal::NotFound),
                lost: None
            }
        })
    );
}

/// What nobody has is told at once, not after rounds of asking again.
#[test]
fn what_nobody_has_is_asked_for_once() {
    let (mut requests, mut out, id) = begin(&[1, 2], Policy::GROUP);
    let refused = || answer(id, Message::Refused(Refusal::NotFound));
    assert_eq!(
        requests.on_answer(at(1), peer(1), refused(), &mut out),
        None
    );
    assert_eq!(asked(&mut out), vec![(peer(2), id)]);
    let got = requests.on_answer(at(2), peer(2), refused(), &mut out);
    assert!(matches!(
        got,
        Some(Outcome {
            reply: Reply::GaveUp { .. },
            ..
        })
    ));
}

/// Two candidates were asked, and both send many answers. They must not be mixed.
#[test]
fn only_the_first_stream_of_answers_counts() {
    let (mut requests, mut out, id) = begin(&[1, 2], Policy::GROUP);
    requests.on_tick(at(500), &mut out);
    assert_eq!(asked(&mut out), vec![(peer(2), id)]);
    let part = || Envelope {
        kind: Kind::Answer { more: true },
        ..answer(id, ANSWER)
    };
    assert!(
        requests
            .on_answer(at(501), peer(2), part(), &mut out)
            .is_some()
    );
    assert!(
        requests
            .on_answer(at(502), peer(1), part(), &mut out)
            .is_none()
    );
    assert!(
        requests
            .on_answer(at(503), peer(2), answer(id, ANSWER), &mut out)
            .is_some()
    );
}

#[test]
fn a_final_refusal_is_an_answer() {
    let (mut requests, mut out, id) = begin(&[1, 2], Policy::GROUP);
    let refused = answer(id, Message::Refused(Refusal::Ambiguous(vec![])));
    let got = requests.on_answer(at(1), peer(1), refused, &mut out);
    assert!(matches!(
        got,
        Some(Outcome {
            reply: Reply::Answered { .. },
            ..
        })
    ));
    assert_eq!(asked(&mut out), vec![]);
}

/// Where nobody listens twice, nobody is waited for until the deadline.
#[test]
fn an_absent_group_is_given_up_soon() {
    let (mut requests, mut out, _) = begin(&[1], Policy::GROUP);
    requests.on_lost(at(1), peer(1), Lost::ConnectRefused, &mut out);
    let due = requests.deadline().expect("a pause");
    requests.on_tick(due, &mut out);
    let ended = requests.on_lost(due, peer(1), Lost::ConnectRefused, &mut out);
    assert!(matches!(
        ended[..],
        [Outcome {
            reply: Reply::GaveUp { .. },
            ..
        }]
    ));
}

#[test]
fn patience_ends_at_the_deadline() {
    let (mut requests, mut out, _) = begin(&[1], Policy::GROUP);
    requests.on_lost(at(1), peer(1), Lost::ConnectRefused, &mut out);
    let outcomes = requests.on_tick(at(5_000), &mut out);
    assert!(matches!(
        outcomes[..],
        [Outcome {
            reply: Reply::GaveUp {
                lost: Some(Lost::ConnectRefused),
                ..
            },
            ..
        }]
    ));
    assert!(requests.is_empty());
}

/// A hundred late questions make no hundred second ones: the budget holds.
#[test]
fn late_questions_do_not_double_the_load() {
    let (mut requests, mut out) = (requests(), Outbox::new());
    for _ in 0..100 {
        let both = vec![peer(1), peer(2)];
        requests.ask(at(0), "q", both, QUESTION, Policy::GROUP, &mut out);
    }
    asked(&mut out);
    requests.on_tick(at(500), &mut out);
    assert_eq!(asked(&mut out).len(), 10);
}

/// Three busy nodes and a hundred questions: a tenth is asked elsewhere at once, the others rest for
/// a while, and nobody asks before the time that the nodes have named.
#[test]
fn busy_nodes_are_not_asked_by_all_at_once() {
    let (mut requests, mut out) = (requests(), Outbox::new());
    let three = || vec![peer(1), peer(2), peer(3)];
    let ids: Vec<RequestId> = (0..100)
        .filter_map(|_| requests.ask(at(0), "q", three(), QUESTION, Policy::GROUP, &mut out))
        .collect();
    asked(&mut out);
    let busy = Refusal::Busy {
        retry_after_ms: 300,
    };
    let refuse = |requests: &mut Requests<&str>, out: &mut Outbox, from, id| {
        let refused = answer(id, Message::Refused(busy.clone()));
        assert_eq!(requests.on_answer(at(1), from, refused, out), None);
    };
    for id in ids {
        refuse(&mut requests, &mut out, peer(1), id);
    }
    let elsewhere = asked(&mut out);
    assert_eq!(elsewhere.len(), 10);
    for (to, id) in elsewhere {
        assert_eq!(to, peer(2));
        refuse(&mut requests, &mut out, to, id);
    }
    requests.on_tick(at(300), &mut out);
    assert_eq!(asked(&mut out), vec![]);
    requests.on_tick(at(2_001), &mut out);
    assert_eq!(asked(&mut out).len(), 100);
}

#[test]
fn questions_in_flight_are_bounded() {
    let (mut requests, mut out) = (requests(), Outbox::new());
    let mut ask = || requests.ask(at(0), "q", vec![peer(1)], QUESTION, Policy::ONCE, &mut out);
    assert!((0..QUESTIONS_ASKED_MAX).all(|_| ask().is_some()));
    assert_eq!(ask(), None);
}

/// A node that was killed and started again at the same address must not take the answer to
/// its earlier start for an answer to a question of its own.
#[test]
fn another_start_numbers_its_questions_apart() {
    let mut out = Outbox::new();
    let mut ask = |seed| {
        let mut requests = Requests::new(Rng::from_seed(seed));
        let candidates = vec![peer(1)];
        requests.ask(at(0), (), candidates, QUESTION, Policy::ONCE, &mut out)
    };
    assert_ne!(ask(1), ask(2));
}
