//! Tests of two links in memory, with bytes and time moved by the test.

use super::*;
use crate::wire::outgoing::CREDIT_WINDOW_BYTES;
use crate::wire::seal::{DerivedKey, Scratch};
use roles::contract::id::{Incarnation, NodeId};
use roles::contract::limits::{FRAME_BODY_BYTES_MAX, QUESTIONS_PER_PEER_MAX};
use roles::contract::message::{Kind, Message, Names, Refusal};
use roles::contract::record::Features;

#[test]
fn two_ends_meet_and_exchange_letters_under_every_suite() {
    for suite in [Suite::Plain, Suite::ChaCha, Suite::Aes] {
        let mut pair = Pair::open(suite);
        pair.a.send(at(0), question(1)).unwrap();
        pair.b.send(at(0), answer(1, 1_000_000, false)).unwrap();
        pair.settle(at(0));
        assert_eq!(pair.b_heard, [question(1)]);
        assert_eq!(pair.a_heard, [answer(1, 1_000_000, false)]);
    }
}

/// Wherever the bytes are cut, the same envelopes come out.
#[test]
fn one_byte_at_a_time_is_enough() {
    let mut pair = Pair::new(Suite::ChaCha);
    pair.step = 1;
    pair.settle(at(0));
    pair.a.send(at(0), question(1)).unwrap();
    pair.b.send(at(0), answer(1, 40_000, false)).unwrap();
    pair.settle(at(0));
    assert_eq!(pair.a_heard, [answer(1, 40_000, false)]);
    assert_eq!(pair.b_heard, [question(1)]);
}

#[test]
fn a_wrong_key_gets_no_byte() {
    let mut pair = Pair::new(Suite::ChaCha);
    let other = Arc::new(Security::keyed([9; 32], "music").unwrap());
    pair.b = Link::accept(at(0), &other, identity(2));
    let first = pair.out_of_a(at(0));
    pair.give_b(at(0), &first);
    assert_eq!(pair.b.over(), Some(Lost::HandshakeRefused));
    assert_eq!(pair.out_of_b(at(0)), []);
    pair.a.on_closed(true);
    assert_eq!(pair.a.over(), Some(Lost::HandshakeRefused));
}

/// Any altered byte of a sealed or plain stream ends the connection and yields no envelope.
#[test]
fn altered_streams_end_the_connection() {
    for suite in [Suite::Plain, Suite::ChaCha] {
        let length = stream_of_two(suite).1.len();
        for at_byte in 0..length {
            let (mut pair, mut stream) = stream_of_two(suite);
            stream[at_byte] ^= 0x10;
            // An increased length makes the reader wait for more bytes, so more bytes are supplied.
            stream.extend_from_slice(&[0; FRAME_BODY_BYTES_MAX]);
            pair.give_b(at(0), &stream);
            let broken = [Some(Lost::Misbehaved), Some(Lost::Version)];
            assert!(broken.contains(&pair.b.over()), "byte {at_byte}");
            assert!(pair.b_heard.len() <= 1);
        }
    }
}

#[test]
fn a_replayed_stream_ends_the_connection() {
    let (mut pair, stream) = stream_of_two(Suite::ChaCha);
    pair.give_b(at(0), &stream);
    pair.give_b(at(0), &stream);
    assert_eq!(pair.b.over(), Some(Lost::Misbehaved));
    assert_eq!(pair.b_heard.len(), 2);
}

#[test]
fn a_frame_of_another_version_is_named() {
    let (mut pair, mut stream) = stream_of_two(Suite::Plain);
    stream[2 + 8] += 1;
    pair.give_b(at(0), &stream);
    assert_eq!(pair.b.over(), Some(Lost::Version));
}

#[test]
fn a_small_letter_overtakes_a_fragment() {
    let mut pair = Pair::open(Suite::ChaCha);
    pair.b.send(at(0), answer(1, 900_000, false)).unwrap();
    let mut bytes = Vec::new();
    pair.b.fill(at(0), &mut pair.scratch, &mut bytes, 100_000);
    pair.b.send(at(0), question(2)).unwrap();
    pair.give_a(at(0), &bytes);
    pair.settle(at(0));
    assert_eq!(pair.a_heard, [question(2), answer(1, 900_000, false)]);
}

/// Without a grant, the bulk on its way never exceeds the window.
#[test]
fn bulk_waits_for_credit() {
    let mut pair = Pair::open(Suite::Plain);
    for id in 0..5 {
        pair.b.send(at(0), answer(id, 900_000, false)).unwrap();
    }
    let sent = pair.out_of_b(at(0));
    assert!(sent.len() < CREDIT_WINDOW_BYTES as usize + 10_000);
    assert_eq!(pair.out_of_b(at(0)), []);
    pair.give_a(at(0), &sent);
    pair.settle(at(0));
    assert_eq!(pair.a_heard.len(), 5);
}

#[test]
fn a_receipt_rides_in_the_next_question() {
    let mut pair = answered_once();
    assert!(!pair.b.is_idle());
    pair.a.send(at(0), question(2)).unwrap();
    let bytes = pair.out_of_a(at(0));
    pair.give_b(at(0), &bytes);
    pair.b.send(at(0), answer(2, 0, false)).unwrap();
    assert!(!pair.b.receipts.waiting());
}

#[test]
fn a_receipt_goes_alone_after_a_moment() {
    let mut pair = answered_once();
    assert_eq!(pair.out_of_a(millis(10)), []);
    assert_eq!(pair.a.deadline(), Some(millis(25)));
    let lone = pair.out_of_a(millis(25));
    assert!(!lone.is_empty());
    pair.give_b(millis(25), &lone);
    assert!(pair.b.is_idle());
}

/// An acknowledgement that cannot be sent must not wake the loop again and again.
#[test]
fn a_blocked_link_does_not_wake_for_its_receipts() {
    let pair = answered_once();
    assert_eq!(pair.a.deadline(), Some(millis(25)));
    assert_eq!(pair.a.deadline_while_blocked(), Some(at(15)));
    assert_eq!(pair.b.deadline_while_blocked(), Some(at(1)));
}

#[test]
fn an_answer_without_receipt_loses_the_peer() {
    let mut pair = answered_once();
    for second in 1..10 {
        pair.b.heard(at(second));
        pair.b.on_tick(at(second));
        assert_eq!(pair.b.over(), None);
    }
    pair.b.on_tick(at(10));
    assert_eq!(pair.b.over(), Some(Lost::Unacknowledged));
}

#[test]
fn a_peer_that_owes_an_answer_is_soon_called_silent() {
    let mut pair = Pair::open(Suite::ChaCha);
    pair.a.send(at(14), question(1)).unwrap();
    let _ = pair.out_of_a(at(14));
    pair.a.on_tick(at(15));
    assert!(!pair.out_of_a(at(15)).is_empty(), "a ping");
    pair.a.on_tick(at(16));
    assert_eq!(pair.a.over(), None);
    pair.a.on_tick(at(17));
    assert_eq!(pair.a.over(), Some(Lost::Silent));
}

#[test]
fn an_idle_pair_lives_on_pings() {
    let mut pair = Pair::open(Suite::ChaCha);
    for second in 1..200 {
        pair.a.on_tick(at(second));
        pair.b.on_tick(at(second));
        pair.settle(at(second));
    }
    assert_eq!((pair.a.over(), pair.b.over()), (None, None));
    for second in 200..250 {
        pair.a.on_tick(at(second));
    }
    assert_eq!(pair.a.over(), Some(Lost::Silent));
}

#[test]
fn a_handshake_has_two_seconds() {
    let mut pair = Pair::new(Suite::ChaCha);
    assert_eq!(pair.b.deadline(), Some(at(2)));
    pair.a.on_tick(at(2));
    pair.b.on_tick(at(2));
    assert_eq!(pair.a.over(), Some(Lost::Silent));
    assert_eq!(pair.b.over(), Some(Lost::Silent));
}

#[test]
fn one_question_too_many_is_refused_by_the_link_itself() {
    let mut pair = Pair::open(Suite::Plain);
    let most = QUESTIONS_PER_PEER_MAX as u64;
    for id in 0..=most {
        pair.a.send(at(0), question(id)).unwrap();
    }
    pair.settle(at(0));
    assert_eq!(pair.b_heard.len(), QUESTIONS_PER_PEER_MAX);
    let [refused] = &pair.a_heard[..] else {
        panic!("one refusal, not {:?}", pair.a_heard);
    };
    assert_eq!(refused.id, RequestId(most));
    assert!(matches!(
        refused.message,
        Message::Refused(Refusal::Busy { .. })
    ));
}

#[test]
fn a_goodbye_follows_what_was_queued() {
    let mut pair = Pair::open(Suite::ChaCha);
    pair.b.send(at(0), answer(1, 100_000, false)).unwrap();
    pair.b.leave(at(0), Farewell::Outdated);
    assert!(pair.b.send(at(0), question(3)).is_err());
    pair.settle(at(0));
    assert_eq!(pair.a_heard.len(), 1);
    assert_eq!(pair.a.over(), Some(Lost::Outdated));
    pair.b.on_closed(false);
    assert_eq!(pair.b.over(), Some(Lost::Closed));
}

/// A replaced connection still answers the questions asked on it, then both ends close it.
#[test]
fn a_replaced_connection_ends_when_nothing_is_outstanding() {
    let mut pair = Pair::open(Suite::ChaCha);
    pair.b.send(at(0), question(7)).unwrap();
    let asked = pair.out_of_b(at(0));
    pair.a.retire();
    pair.b.retire();
    pair.settle(at(0));
    pair.give_a(at(0), &asked);
    pair.settle(at(0));
    assert_eq!((pair.a.over(), pair.b.over()), (None, None));
    pair.a.send(at(0), answer(7, 0, false)).unwrap();
    pair.settle(at(0));
    pair.settle(millis(30));
    pair.settle(millis(30));
    assert_eq!(pair.b_heard.len(), 1);
    assert_eq!(pair.b.over(), Some(Lost::Closed));
}

/// Envelopes queued during a failed handshake can be sent over another connection.
#[test]
fn waiting_letters_can_be_taken_back() {
    let mut pair = Pair::new(Suite::ChaCha);
    pair.a.send(at(0), question(1)).unwrap();
    assert_eq!(pair.a.take_waiting(), [question(1)]);
    assert_eq!(pair.a.take_waiting(), []);
}

#[test]
fn an_idle_link_holds_little() {
    let mut pair = Pair::open(Suite::ChaCha);
    pair.b.send(at(0), answer(1, 900_000, false)).unwrap();
    pair.settle(at(0));
    pair.settle(millis(50));
    pair.a.on_tick(at(20));
    assert_eq!(pair.a.raw.capacity() + pair.a.gathered.capacity(), 0);
    assert_eq!(pair.a.queued_bytes(), 0);
    assert!(size_of::<Link>() < 2048, "{}", size_of::<Link>());
}

/// A key to listen gets answers to what listeners ask, and a refusal for all else.
#[test]
fn a_derived_key_asks_for_its_purpose_alone() {
    let mut pair = Pair::derived(identity(1));
    pair.settle(at(0));
    let known = pair.b.hello().map(|hello| hello.identity.node);
    assert!(known.is_some_and(|node| node != NodeId(1)));
    let list = Message::Names(Names::Resolve {
        role: roles::contract::record::Role::Router,
    });
    let allowed = Envelope {
        message: list,
        ..question(1)
    };
    pair.a.send(at(0), allowed.clone()).unwrap();
    pair.a.send(at(0), question(2)).unwrap();
    pair.settle(at(0));
    assert_eq!(pair.b_heard, [allowed]);
    let refused = Message::Refused(Refusal::NotAllowed(Right::Node));
    assert_eq!(pair.a_heard.len(), 1);
    assert_eq!(
        (pair.a_heard[0].id, &pair.a_heard[0].message),
        (RequestId(2), &refused)
    );
    assert_eq!((pair.a.over(), pair.b.over()), (None, None));
    let told = Envelope {
        kind: Kind::OneWay,
        ..question(3)
    };
    pair.a.send(at(0), told).unwrap();
    pair.settle(at(0));
    assert_eq!(pair.b.over(), Some(Lost::Misbehaved));
    assert_eq!(pair.b_heard.len(), 1);
}

/// Who claims to be a node without the key of one is shut out.
#[test]
fn a_derived_key_claims_no_address() {
    let address = roles::contract::record::Address(([127, 0, 0, 1], 7700).into());
    let mut pair = Pair::derived(Identity {
        address: Some(address),
        ..identity(1)
    });
    pair.settle(at(0));
    assert_eq!(pair.b.over(), Some(Lost::Misbehaved));
}

struct Pair {
    a: Link,
    b: Link,
    a_heard: Vec<Envelope>,
    b_heard: Vec<Envelope>,
    scratch: Scratch,
    /// Bytes delivered in one call.
    step: usize,
}

impl Pair {
    fn new(suite: Suite) -> Self {
        let security = Arc::new(match suite {
            Suite::Plain => Security::insecure("music").unwrap(),
            Suite::ChaCha | Suite::Aes => Security::keyed([1; 32], "music").unwrap(),
        });
        let mut a = Link::dial(at(0), &security, identity(1), suite);
        a.connected(at(0));
        Pair {
            a,
            b: Link::accept(at(0), &security, identity(2)),
            a_heard: Vec::new(),
            b_heard: Vec::new(),
            scratch: Scratch::new(),
            step: usize::MAX,
        }
    }

    /// A client with a key to listen dials a node.
    fn derived(client: Identity) -> Self {
        let key = DerivedKey::of(&[1; 32], Right::Listen).unwrap();
        let security = Arc::new(Security::derived(key, "music").unwrap());
        let mut pair = Pair::new(Suite::ChaCha);
        pair.a = Link::dial(at(0), &security, client, Suite::ChaCha);
        pair.a.connected(at(0));
        pair
    }

    fn open(suite: Suite) -> Self {
        let mut pair = Pair::new(suite);
        pair.settle(at(0));
        assert_eq!(pair.a.hello(), Some(&Hello::of(identity(2))));
        assert_eq!(pair.b.hello(), Some(&Hello::of(identity(1))));
        pair
    }

    /// Carries bytes in both directions until neither end has any.
    fn settle(&mut self, now: Time) {
        loop {
            let (there, back) = (self.out_of_a(now), self.out_of_b(now));
            if there.is_empty() && back.is_empty() {
                return;
            }
            self.give_b(now, &there);
            self.give_a(now, &back);
        }
    }

    fn out_of_a(&mut self, now: Time) -> Vec<u8> {
        let mut out = Vec::new();
        self.a.fill(now, &mut self.scratch, &mut out, usize::MAX);
        out
    }

    fn out_of_b(&mut self, now: Time) -> Vec<u8> {
        let mut out = Vec::new();
        self.b.fill(now, &mut self.scratch, &mut out, usize::MAX);
        out
    }

    fn give_a(&mut self, now: Time, bytes: &[u8]) {
        deliver(
            &mut self.a,
            now,
            bytes,
            self.step,
            &mut self.scratch,
            &mut self.a_heard,
        );
    }

    fn give_b(&mut self, now: Time, bytes: &[u8]) {
        deliver(
            &mut self.b,
            now,
            bytes,
            self.step,
            &mut self.scratch,
            &mut self.b_heard,
        );
    }
}

fn deliver(
    link: &mut Link,
    now: Time,
    bytes: &[u8],
    step: usize,
    scratch: &mut Scratch,
    heard: &mut Vec<Envelope>,
) {
    let mut events = Vec::new();
    for piece in bytes.chunks(step) {
        link.receive(now, piece, scratch, &mut events);
    }
    heard.extend(events.into_iter().filter_map(|event| match event {
        LinkEvent::Envelope(envelope) => Some(envelope),
        LinkEvent::Opened(_) => None,
    }));
}

/// An open pair, and the bytes of two questions from a to b that have not been delivered.
fn stream_of_two(suite: Suite) -> (Pair, Vec<u8>) {
    let mut pair = Pair::open(suite);
    pair.a.send(at(0), question(1)).unwrap();
    pair.a.send(at(0), question(2)).unwrap();
    let stream = pair.out_of_a(at(0));
    (pair, stream)
}

/// An open pair: a has asked, b has answered, a has not acknowledged.
fn answered_once() -> Pair {
    let mut pair = Pair::open(Suite::ChaCha);
    pair.a.send(at(0), question(1)).unwrap();
    let bytes = pair.out_of_a(at(0));
    pair.give_b(at(0), &bytes);
    pair.b.send(at(0), answer(1, 10, false)).unwrap();
    let bytes = pair.out_of_b(at(0));
    pair.give_a(at(0), &bytes);
    assert_eq!(pair.a_heard.len(), 1);
    pair
}

fn identity(node: u128) -> Identity {
    Identity {
        node: NodeId(node),
        incarnation: Incarnation(1),
        address: None,
        features: Features::default(),
    }
}

fn question(id: u64) -> Envelope {
    Envelope {
        id: RequestId(id),
        kind: Kind::Question {
            patience: Duration::from_secs(30),
        },
        message: Message::Names(Names::Reserve),
        body: Vec::new(),
    }
}

fn answer(id: u64, body: usize, more: bool) -> Envelope {
    Envelope {
        id: RequestId(id),
        kind: Kind::Answer { more },
        message: Message::Refused(Refusal::NotFound),
        body: vec![7; body],
    }
}

fn at(seconds: u64) -> Time {
    Time::from_secs(seconds)
}

fn millis(millis: u64) -> Time {
    Time::from_millis(millis)
}
