use super::*;

#[test]
fn both_suites_carry_records_across_key_changes() {
    for suite in [Suite::ChaCha, Suite::Aes] {
        let (mut a, mut b) = pair(suite);
        (a.records_per_key, b.records_per_key) = (4, 4);
        for n in 0..20u8 {
            assert_eq!(across(&mut a, &mut b, &[n; 40]), Ok(vec![n; 40]));
            assert_eq!(across(&mut b, &mut a, &[n; 50]), Ok(vec![n; 50]));
        }
    }
}

#[test]
fn altered_replayed_and_cut_records_are_refused() {
    for suite in [Suite::ChaCha, Suite::Aes] {
        let (mut a, mut b) = pair(suite);
        let mut room = vec![0; RECORD_BYTES_MAX];
        let record = sealed(&mut a, &[7; 40]);
        let mut altered = record.clone();
        altered[20] ^= 1;
        assert_eq!(b.open(&altered, &mut room), Err(NotAuthentic));
        assert_eq!(b.open(&record[..30], &mut room), Err(NotAuthentic));
        assert_eq!(b.open(&record, &mut room), Ok(&[7; 40][..]));
        assert_eq!(b.open(&record, &mut room), Err(NotAuthentic));
    }
}

/// A peer that lacks the key, the cluster name or the version is refused without a byte in reply.
#[test]
fn strangers_get_no_byte() {
    let own = keyed(1, "music");
    let strangers = [
        first(&keyed(2, "music"), Suite::ChaCha),
        first(&keyed(1, "other"), Suite::ChaCha),
        first(&Security::insecure("music").unwrap(), Suite::Plain),
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[b'x'; 90]].concat(),
        with(first(&own, Suite::Aes), 4, 9),
        // Another suite than the handshake message was made for: the prologue differs.
        with(first(&own, Suite::Aes), 5, 1),
        with(first(&own, Suite::ChaCha), 30, 0xff),
    ];
    for bytes in strangers {
        let mut reply = Vec::new();
        assert!(answer(&own, &bytes, &mut reply).is_err(), "{bytes:?}");
        assert!(reply.is_empty());
    }
}

/// Whichever byte is wrong, the listener waits for the whole opening: a stranger that tries one byte
/// after another does not learn where it went wrong.
#[test]
fn an_opening_is_read_whole_before_it_is_refused() {
    let own = keyed(1, "music");
    let right = first(&own, Suite::ChaCha);
    for at in (0..right.len()).filter(|at| ![SUITE_AT, NAME_LENGTH_AT].contains(at)) {
        let wrong = with(right.clone(), at, right[at] ^ 0x55);
        for cut in 0..wrong.len() {
            let early = answer(&own, &wrong[..cut], &mut Vec::new());
            assert!(matches!(early, Ok(None)), "byte {at} is told after {cut}");
        }
        assert!(answer(&own, &wrong, &mut Vec::new()).is_err(), "byte {at}");
    }
}

/// How many bytes are read of an opening depends on the opening, not on the listener's secrets.
#[test]
fn two_clusters_refuse_the_same_opening_at_the_same_byte() {
    let listeners = [keyed(1, "music"), keyed(2, "a much longer name")];
    for name_bytes in [0, 5, 18, 32, 33, 255] {
        for suite in 0..4 {
            let mut bytes = with(vec![7; 200], SUITE_AT, suite);
            bytes[NAME_LENGTH_AT] = name_bytes;
            let [one, other] = listeners.each_ref().map(|own| {
                let refuses = |to: &usize| answer(own, &bytes[..*to], &mut Vec::new()).is_err();
                (0..bytes.len()).find(refuses)
            });
            assert_eq!(one, other);
            assert!(one.is_some());
        }
    }
}

/// A recorded opening is worth nothing to whoever sends it again.
#[test]
fn a_replayed_opening_gets_no_byte() {
    let own = keyed(1, "music");
    for suite in [Suite::ChaCha, Suite::Aes] {
        let bytes = first(&own, suite);
        assert!(matches!(answer(&own, &bytes, &mut Vec::new()), Ok(Some(_))));
        let mut reply = Vec::new();
        let again = answer(&own, &bytes, &mut reply);
        assert_eq!(again.err(), Some(Unwelcome::Replayed));
        assert!(reply.is_empty());
    }
}

/// When the two ends see different preambles, the handshake fails.
#[test]
fn the_preamble_is_bound_by_the_handshake() {
    let own = keyed(1, "music");
    let shared = own.keys.own();
    let preamble = own.preamble(Suite::ChaCha, shared.as_ref());
    let build = |prologue| {
        noise(shared, Suite::ChaCha, prologue)
            .ok()
            .flatten()
            .unwrap()
    };
    let mut dialer = build(&preamble).build_initiator().unwrap();
    let mut message = Vec::new();
    assert!(write_handshake(&mut dialer, &mut message).is_ok());
    let altered = with(preamble.clone(), 10, 7);
    let mut same = build(&preamble).build_responder().unwrap();
    let mut other = build(&altered).build_responder().unwrap();
    assert!(same.read_message(&message, &mut []).is_ok());
    assert!(other.read_message(&message, &mut []).is_err());
}

#[test]
fn a_secured_node_is_no_guest_of_an_open_one() {
    let open = Security::insecure("music").unwrap();
    let bytes = first(&keyed(1, "music"), Suite::ChaCha);
    assert!(answer(&open, &bytes, &mut Vec::new()).is_err());
    // The hint of no key is no way in either.
    let bytes = [open.preamble(Suite::ChaCha, None), vec![0; HANDSHAKE_BYTES]].concat();
    assert!(answer(&open, &bytes, &mut Vec::new()).is_err());
}

/// A node knows by the key of a dialer what it may ask for.
#[test]
fn a_derived_key_opens_the_door_for_its_purpose() {
    let nodes = keyed(1, "music");
    for suite in [Suite::ChaCha, Suite::Aes] {
        for right in Right::DERIVED {
            let bytes = first(&derived(1, right), suite);
            let mut reply = Vec::new();
            let Ok(Some((used, session))) = answer(&nodes, &bytes, &mut reply) else {
                panic!("refused");
            };
            assert_eq!((used, session.right()), (bytes.len(), right));
        }
        let Ok(Some((_, session))) = answer(&nodes, &first(&nodes, suite), &mut Vec::new()) else {
            panic!("refused");
        };
        assert_eq!(session.right(), Right::Node);
    }
    let bytes = first(&derived(2, Right::Listen), Suite::ChaCha);
    let refused = answer(&nodes, &bytes, &mut Vec::new()).err();
    assert_eq!(refused, Some(Unwelcome::Preamble));
}

/// While a key takes the place of another, nodes with either end of the change speak with each other,
/// and so do the clients of both keys. When it is over, the old ones are strangers.
#[test]
fn one_key_takes_the_place_of_another() {
    let ring = |first: u8, others: &[u8]| {
        let others: Vec<[u8; 32]> = others.iter().map(|byte| [*byte; 32]).collect();
        Security::keyed_by_ring([first; 32], &others, "music").unwrap()
    };
    let right_of = |nodes: &Security, dialer: &Security| {
        let (mut first, mut reply) = (Vec::new(), Vec::new());
        let Ok(Opening::Waiting(call)) = call(dialer, Suite::ChaCha, &mut first) else {
            panic!("a handshake");
        };
        let (_, session) = answer(nodes, &first, &mut reply).ok()??;
        assert!(call.answered(&reply).is_ok(), "the answer is believed");
        Some(session.right())
    };
    let steps = [ring(1, &[]), ring(1, &[2]), ring(2, &[1]), ring(2, &[])];
    for pair in steps.windows(2) {
        for (a, b) in [(0, 1), (1, 0)] {
            assert_eq!(right_of(&pair[a], &pair[b]), Some(Right::Node));
        }
    }
    for right in Right::DERIVED {
        let old = steps
            .each_ref()
            .map(|nodes| right_of(nodes, &derived(1, right)));
        assert_eq!(old, [Some(right), Some(right), Some(right), None]);
        let new = steps
            .each_ref()
            .map(|nodes| right_of(nodes, &derived(2, right)));
        assert_eq!(new, [None, Some(right), Some(right), Some(right)]);
    }
    assert_eq!(right_of(&steps[3], &steps[1]), None);
}

/// Whoever has a key to listen answers nobody as a node would: not others with the same key, which
/// know the public key of the nodes, nor nodes.
#[test]
fn a_derived_key_makes_no_node() {
    let listener = derived(1, Right::Listen);
    let mut first = Vec::new();
    let Ok(Opening::Waiting(victim)) = call(&listener, Suite::ChaCha, &mut first) else {
        panic!("a handshake");
    };
    assert!(answer(&listener, &first, &mut Vec::new()).is_err());
    // The attacker has the secret that both share, and a key pair of its own.
    let Keys::Derived(key) = &listener.keys else {
        panic!("a derived key");
    };
    let own = Shared {
        right: Right::Listen,
        secret: &key.secret,
        nodes: Nodes::Private(&[7; 32]),
    };
    let (preamble, message) = first.split_at(first.len() - HANDSHAKE_BYTES);
    let builder = noise(Some(own), Suite::ChaCha, preamble).ok().flatten();
    let mut attacker = builder.unwrap().build_responder().unwrap();
    // It cannot read the first message, and what it makes up is not believed.
    assert!(attacker.read_message(message, &mut []).is_err());
    assert!(victim.answered(&[7; HANDSHAKE_BYTES]).is_err());
}

/// What a client says of its node id is neither believed nor kept.
#[test]
fn a_client_has_no_id_of_a_node() {
    let nodes = keyed(1, "music");
    assert_ne!(nodes.guest(NodeId(5)), NodeId(5));
    assert_eq!(nodes.guest(NodeId(5)), nodes.guest(NodeId(5)));
    assert_ne!(nodes.guest(NodeId(5)), keyed(2, "music").guest(NodeId(5)));
}

/// Another version must derive the same keys: a key file outlives it.
#[test]
fn derived_keys_stay_the_same() {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    let key = DerivedKey::of(&[1; 32], Right::Listen).unwrap();
    assert_eq!(hex(&key.secret[..8]), "5b685710cc19c29b");
    assert_eq!(hex(&key.nodes[..8]), "773525d96af51ee7");
}

fn derived(byte: u8, right: Right) -> Security {
    let key = DerivedKey::of(&[byte; 32], right).unwrap();
    Security::derived(key, "music").unwrap()
}

#[test]
fn an_unfinished_preamble_waits() {
    let own = keyed(1, "music");
    let bytes = first(&own, Suite::ChaCha);
    for cut in 0..bytes.len() {
        let mut reply = Vec::new();
        assert!(matches!(answer(&own, &bytes[..cut], &mut reply), Ok(None)));
        assert!(reply.is_empty());
    }
}

#[test]
fn the_suite_needs_both_machines() {
    let own = keyed(1, "music");
    let (with, without) = (Features::AES, Features::default());
    assert_eq!(own.suite(with, Some(with)), Suite::Aes);
    assert_eq!(own.suite(with, Some(without)), Suite::ChaCha);
    assert_eq!(own.suite(without, Some(with)), Suite::ChaCha);
    assert_eq!(own.suite(with, None), Suite::ChaCha);
}

#[test]
fn a_key_never_shows_in_a_log() {
    let text = format!("{:?}", keyed(0xab, "music"));
    assert_eq!(text, "Security(keyed, \"music\")");
    assert!(Security::keyed([0; 32], &"x".repeat(33)).is_err());
}

fn keyed(byte: u8, cluster: &str) -> Security {
    Security::keyed([byte; 32], cluster).unwrap()
}

fn first(security: &Security, suite: Suite) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(call(security, suite, &mut bytes).is_ok());
    bytes
}

fn with(mut bytes: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
    bytes[at] = value;
    bytes
}

fn pair(suite: Suite) -> (Session, Session) {
    let security = keyed(1, "music");
    let (mut there, mut back) = (Vec::new(), Vec::new());
    let Ok(Opening::Waiting(call)) = call(&security, suite, &mut there) else {
        panic!("a keyed dialer waits for an answer");
    };
    let Ok(Some((used, responder))) = answer(&security, &there, &mut back) else {
        panic!("the first message is whole");
    };
    assert_eq!((used, back.len()), (there.len(), HANDSHAKE_BYTES));
    let Ok(dialer) = call.answered(&back) else {
        panic!("the answer was made under the key");
    };
    (dialer, responder)
}

fn sealed(session: &mut Session, frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    session.seal(frame, &mut out);
    out.split_off(LENGTH_BYTES)
}

fn across(from: &mut Session, to: &mut Session, frame: &[u8]) -> Result<Vec<u8>, NotAuthentic> {
    let mut room = vec![0; RECORD_BYTES_MAX];
    let record = sealed(from, frame);
    to.open(&record, &mut room).map(<[u8]>::to_vec)
}
