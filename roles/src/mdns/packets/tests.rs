use alloc::string::ToString;
use alloc::vec;

use super::*;
use crate::contract::rng::Rng;

fn name(text: &str) -> Name {
    let labels: Vec<&[u8]> = text.split('.').map(str::as_bytes).collect();
    Name::of(&labels)
}

fn record(owner: &str, data: Data) -> Record {
    Record {
        name: name(owner),
        flush: matches!(data, Data::A(_)),
        ttl: 120,
        data,
    }
}

fn whole() -> Packet {
    let target = name("n-7.local");
    Packet {
        questions: [
            Question {
                name: name("_dispotify._tcp.local"),
                kind: kind::PTR,
                alone: true,
            },
            Question {
                name: name("dispotify.local"),
                kind: kind::ANY,
                alone: false,
            },
        ]
        .into(),
        answers: [record(
            "_dispotify._tcp.local",
            Data::Ptr(name("n-7._dispotify._tcp.local")),
        )]
        .into(),
        authorities: [record(
            "n-7._dispotify._tcp.local",
            Data::Srv { port: 7700, target },
        )]
        .into(),
        additionals: [
            record("n-7.local", Data::A(Ipv4Addr::new(10, 0, 0, 7))),
            record("n-7._dispotify._tcp.local", Data::Txt(b"\x04a=bc".to_vec())),
        ]
        .into(),
        ..Packet::response(Vec::new(), Vec::new())
    }
}

fn bytes(packet: Packet) -> Vec<u8> {
    let mut packets = packet.write();
    assert_eq!(packets.len(), 1);
    packets.remove(0)
}

#[test]
fn what_is_written_is_read() {
    assert_eq!(Packet::read(&bytes(whole())), Some(whole()));
}

/// A crate that others wrote reads the same.
#[test]
fn another_reader_agrees() {
    let bytes = bytes(whole());
    let theirs = simple_dns::Packet::parse(&bytes).expect("it is well formed");
    assert_eq!(
        theirs.questions[0].qname.to_string(),
        "_dispotify._tcp.local"
    );
    assert!(theirs.questions[0].unicast_response);
    let simple_dns::rdata::RData::PTR(instance) = &theirs.answers[0].rdata else {
        panic!("another kind");
    };
    assert_eq!(instance.0.to_string(), "n-7._dispotify._tcp.local");
    let simple_dns::rdata::RData::SRV(srv) = &theirs.name_servers[0].rdata else {
        panic!("another kind");
    };
    assert_eq!(
        (srv.port, srv.target.to_string()),
        (7700, "n-7.local".into())
    );
    assert!(theirs.additional_records[0].cache_flush);
}

/// More records than fit a packet go in several, and none is lost.
#[test]
fn long_packets_are_parted() {
    let address = |n: u8| record("dispotify.local", Data::A(Ipv4Addr::new(10, 0, 0, n)));
    let answers: Vec<Record> = (0..250).map(address).collect();
    let packets = Packet::response(answers.clone(), answers.clone()).write();
    assert!(packets.iter().all(|packet| packet.len() <= 1440));
    let read = packets.iter().filter_map(|packet| Packet::read(packet));
    assert_eq!(read.flat_map(|p| p.answers).collect::<Vec<_>>(), answers);
}

#[test]
fn a_packet_cut_anywhere_is_none() {
    let whole = bytes(whole());
    for length in 0..whole.len() {
        assert_eq!(Packet::read(&whole[..length]), None, "{length}");
    }
}

fn with_question(name: &[u8]) -> Vec<u8> {
    let head = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    [&head[..], name, &[0, 12, 0, 1]].concat()
}

/// A name that points to itself, forwards, into the header, at a name that points back, or that is too long.
#[test]
fn names_that_loop_or_never_end_are_none() {
    for pointer in [[0xC0, 12], [0xC0, 14], [0xC0, 0], [0xC0, 11], [0xFF, 0xFF]] {
        assert_eq!(Packet::read(&with_question(&pointer)), None, "{pointer:?}");
    }
    let two = [1, b'a', 0xC0, 16, 1, b'b', 0xC0, 12];
    assert_eq!(Packet::read(&with_question(&two)), None);
    for reserved in [0x40, 0x80] {
        assert_eq!(Packet::read(&with_question(&[reserved, 1, 0])), None);
    }
    let labels = |count: usize, length: u8| {
        let label = [vec![length], vec![b'x'; usize::from(length)]].concat();
        [label.repeat(count), vec![0]].concat()
    };
    // 65 labels are a name; 255 bytes are the longest.
    let long = Packet::read(&with_question(&labels(65, 1))).expect("a name");
    assert_eq!(long.questions[0].name, Name(labels(65, 1).into()));
    assert!(Packet::read(&with_question(&labels(127, 1))).is_some());
    assert_eq!(Packet::read(&with_question(&labels(128, 1))), None);
    assert_eq!(Packet::read(&with_question(&labels(65, 3))), None);
    assert_eq!(Packet::read(&with_question(&labels(4, 63))), None);
}

/// Pointers that lead back step by step are no way to make a short packet long.
#[test]
fn chains_of_pointers_end() {
    let mut chain = vec![0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0];
    chain.extend([1, b'a', 0, 0, 12, 0, 1]);
    for number in 1..64u16 {
        let to = 12 + (number - 1) * 7 + if number == 1 { 0 } else { 1 };
        chain.extend([1, b'a']);
        chain.extend((0xC000 | to).to_be_bytes());
        chain.extend([0, 12, 0, 1]);
    }
    let read = Packet::read(&chain);
    assert!(read.is_none_or(|packet| packet.questions.len() == 64));
}

#[test]
fn failures_other_operations_and_crowds_are_none() {
    let whole = bytes(whole());
    for (at, value) in [(2, 0x28), (3, 3), (4, 9), (6, 2)] {
        let mut packet = whole.clone();
        packet[at] = value;
        assert_eq!(Packet::read(&packet), None, "byte {at}");
    }
}

/// Bytes of every kind, and packets with some bytes changed: nothing panics.
#[test]
fn noise_is_read_or_not() {
    let mut rng = Rng::from_seed(7);
    let whole = bytes(whole());
    for _ in 0..20_000 {
        let mut packet = whole.clone();
        for _ in 0..=rng.below(4) {
            let at = rng.below(packet.len() as u64) as usize;
            packet[at] = rng.bits() as u8;
        }
        let _ = Packet::read(&packet).map(Packet::write);
        let length = rng.below(80) as usize;
        let noise: Vec<u8> = (0..length).map(|_| rng.bits() as u8).collect();
        let _ = Packet::read(&noise);
    }
}
