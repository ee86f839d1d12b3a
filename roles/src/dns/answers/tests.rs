extern crate std;

use std::collections::BTreeSet;
use std::string::{String, ToString};

use alloc::vec;

use simple_dns::rdata::RData;
use simple_dns::{Packet, PacketFlag, RCODE};

use super::*;
use crate::dns::Config;
use crate::dns::packets::{EDNS_BYTES_MAX, PLAIN_BYTES_MAX, come_back_over_tcp};
use crate::test_support::{at, record};
use DnsTransport::{Tcp, Udp};

/// A settled DNS node with the id 200 and these further records.
fn dns(records: impl IntoIterator<Item = Record>) -> Dns {
    let mut dns = Dns::new(
        Config::default(),
        NodeId(200),
        at(0),
        true,
        Rng::from_seed(1),
    );
    dns.keep_own(at(0), record(200, Role::Dns));
    dns.merge(at(100), records.into_iter().collect());
    dns
}

/// So many data nodes, and one router.
fn cluster(data: u8) -> Dns {
    let data = (1..=data).map(|n| record(n, Role::Data));
    dns(data.chain([record(199, Role::Router)]))
}

fn name(text: &str) -> Vec<u8> {
    let mut bytes = vec![];
    for text in text.split('.').filter(|text| !text.is_empty()) {
        label(text.as_bytes(), &mut bytes);
    }
    bytes.push(0);
    bytes
}

/// A question as `dig +noedns +norecurse` writes it.
fn question_for(text: &str, kind: u16) -> Vec<u8> {
    let mut packet = vec![0xAB, 0xCD, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    packet.extend(name(text));
    packet.extend(kind.to_be_bytes());
    packet.extend([0, 1]);
    packet
}

/// The same with an EDNS record of a version, which offers so many bytes.
fn offering(text: &str, kind: u16, (bytes, version): (u16, u8)) -> Vec<u8> {
    let mut packet = question_for(text, kind);
    packet[11] = 1;
    packet.extend([0, 0, 41]);
    packet.extend(bytes.to_be_bytes());
    packet.extend([0, version, 0, 0, 0, 0]);
    packet
}

fn ask(dns: &mut Dns, packet: &[u8], transport: DnsTransport) -> Vec<u8> {
    let mut out = vec![1, 2, 3];
    dns.on_packet(at(100), packet, transport, &mut out);
    out
}

/// The answer to a question over UDP in words: code, then sections as `NAME TTL DATA`.
fn told(dns: &mut Dns, text: &str, kind: u16) -> String {
    let answer = ask(dns, &question_for(text, kind), Udp);
    let read = Packet::parse(&answer).expect("an answer that another reader understands");
    assert_eq!(read.id(), 0xABCD);
    assert!(
        read.has_flags(PacketFlag::RESPONSE) && !read.has_flags(PacketFlag::RECURSION_AVAILABLE)
    );
    let ours = read.has_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    let mut words = std::format!("{:?}{}", read.rcode(), if ours { " ours" } else { "" });
    let sections = [
        ("", &read.answers),
        (" ns:", &read.name_servers),
        (" more:", &read.additional_records),
    ];
    for (title, records) in sections {
        if records.is_empty() {
            continue;
        }
        words.push_str(title);
        for one in records {
            let data = match &one.rdata {
                RData::A(a) => std::net::Ipv4Addr::from(a.address).to_string(),
                RData::AAAA(a) => std::net::Ipv6Addr::from(a.address).to_string(),
                RData::NS(ns) => std::format!("NS {}", short(&ns.0.to_string())),
                RData::SOA(soa) => std::format!(
                    "SOA {} {} {}",
                    short(&soa.mname.to_string()),
                    soa.serial,
                    soa.minimum
                ),
                RData::SRV(srv) => {
                    std::format!("SRV {} {}", srv.port, short(&srv.target.to_string()))
                }
                RData::TXT(txt) => std::format!(
                    "TXT {:?}",
                    txt.attributes()
                        .into_iter()
                        .collect::<std::collections::BTreeMap<_, _>>()
                ),
                RData::HINFO(hinfo) => std::format!("HINFO {}", hinfo.cpu),
                other => panic!("nobody sends {other:?}"),
            };
            words.push_str(&std::format!(
                " {} {} {data}",
                short(&one.name.to_string()),
                one.ttl
            ));
        }
    }
    words
}

/// Ids without their zeros, and names without their common ends.
fn short(name: &str) -> String {
    let name = name.replace("n-000000000000000000000000000000", "n-");
    name.replace(".dispotify", "").replace("dispotify.", "")
}

/// What each name and kind is answered with.
#[test]
fn a_question_gets_the_answer_that_the_rfcs_ask_for() {
    let one = "n-00000000000000000000000000000001.dispotify.data";
    let gone = "n-00000000000000000000000000000009.dispotify.data";
    let negative = "ns: data 2 SOA n-c8.data 100 2";
    let table: &[(&str, u16, String)] = &[
        ("dispotify.data", kind::A, "NoError ours data 10 127.0.0.1".into()),
        ("dispotify.router", kind::A, "NoError ours router 10 127.0.0.199".into()),
        ("dispotify.dns", kind::A, "NoError ours dns 10 127.0.0.200".into()),
        // musl takes anything else than "no record of this kind" for a failure of the name.
        ("dispotify.data", kind::AAAA, std::format!("NoError ours {negative}")),
        ("dispotify.data", kind::TXT, std::format!("NoError ours {negative}")),
        ("dispotify.data", 15, std::format!("NoError ours {negative}")),
        ("dispotify.data", kind::SOA, "NoError ours data 2 SOA n-c8.data 100 2".into()),
        ("dispotify.data", kind::NS, "NoError ours data 10 NS n-c8.data more: n-c8.data 10 127.0.0.200".into()),
        ("dispotify.data", kind::ANY, "NoError ours data 10 HINFO RFC8482".into()),
        ("_dispotify._tcp.dispotify.data", kind::SRV, "NoError ours __tcp.data 10 SRV 7700 n-01.data more: n-01.data 10 127.0.0.1".into()),
        ("_tcp.dispotify.data", kind::SRV, std::format!("NoError ours {negative}")),
        (one, kind::A, "NoError ours n-01.data 10 127.0.0.1".into()),
        (one, kind::TXT, "NoError ours n-01.data 10 TXT {\"port\": Some(\"7700\"), \"role\": Some(\"data\"), \"start\": Some(\"1\"), \"weight\": Some(\"1\")}".into()),
        (one, kind::AAAA, std::format!("NoError ours {negative}")),
        (gone, kind::A, std::format!("NameError ours {negative}")),
        ("www.dispotify.data", kind::A, std::format!("NameError ours {negative}")),
        ("a.b.c.dispotify.data", kind::A, std::format!("NameError ours {negative}")),
        ("n-01.dispotify.data", kind::A, std::format!("NameError ours {negative}")),
        // The name server of the zone has a name in it.
        ("n-000000000000000000000000000000c8.dispotify.data", kind::A, "NoError ours n-c8.data 10 127.0.0.200".into()),
        // Below the name that resolvers may be told of alone.
        ("data.dispotify.internal", kind::A, "NoError ours data.internal 10 127.0.0.1".into()),
        ("data.dispotify.internal", kind::SOA, "NoError ours ns: internal 2 SOA n-c8.dns.internal 100 2".into()),
        ("dispotify.internal", kind::NS, "NoError ours internal 10 NS n-c8.dns.internal more: n-c8.dns.internal 10 127.0.0.200".into()),
        ("dispotify.internal", kind::A, "NoError ours ns: internal 2 SOA n-c8.dns.internal 100 2".into()),
        ("_dispotify._tcp.data.dispotify.internal", kind::SRV, "NoError ours __tcp.data.internal 10 SRV 7700 n-01.data.internal more: n-01.data.internal 10 127.0.0.1".into()),
        ("x.dispotify.internal", kind::A, "NameError ours ns: internal 2 SOA n-c8.dns.internal 100 2".into()),
        // Elsewhere.
        ("example.org", kind::A, "Refused".into()),
        ("dispotify.org", kind::A, "Refused".into()),
        ("data", kind::A, "Refused".into()),
        ("", kind::NS, "Refused".into()),
        ("dispotify.data.org", kind::A, "Refused".into()),
        // Transfers, signatures.
        ("dispotify.data", 252, "Refused".into()),
        ("dispotify.data", 251, "Refused".into()),
    ];
    for (name, kind, expected) in table {
        assert_eq!(
            told(&mut cluster(1), name, *kind),
            *expected,
            "{name} {kind}"
        );
    }
}

/// The question goes back as it came, which some resolvers use against forgers.
#[test]
fn case_is_kept_and_does_not_count() {
    let packet = question_for("DisPoTify.DATA", kind::A);
    let answer = ask(&mut cluster(1), &packet, Udp);
    assert_eq!(answer[12..packet.len()], packet[12..]);
    assert_eq!(answer[7], 1);
}

/// Sixty data nodes: who offers 512 bytes gets 24 of them, another set each time, and is not sent
/// elsewhere; who offers more, or comes over TCP, gets all.
#[test]
fn a_large_group_fits_every_asker() {
    let mut dns = cluster(60);
    let plain = question_for("dispotify.data", kind::A);
    let addresses = |answer: &[u8]| -> Vec<u32> {
        let read = Packet::parse(answer).expect("an answer");
        assert!(!read.has_flags(PacketFlag::TRUNCATION));
        let address = |one: &simple_dns::ResourceRecord<'_>| match &one.rdata {
            RData::A(a) => a.address,
            other => panic!("{other:?}"),
        };
        read.answers.iter().map(address).collect()
    };
    let mut seen = BTreeSet::new();
    for _ in 0..50 {
        let answer = ask(&mut dns, &plain, Udp);
        assert!(answer.len() <= PLAIN_BYTES_MAX);
        let some = addresses(&answer);
        assert_eq!(some.iter().collect::<BTreeSet<_>>().len(), 24);
        seen.extend(some);
    }
    assert_eq!(seen.len(), 60);
    let large = offering("dispotify.data", kind::A, (4096, 0));
    let answer = ask(&mut dns, &large, Udp);
    assert!(answer.len() <= EDNS_BYTES_MAX);
    assert_eq!(addresses(&answer).len(), 60);
    assert_eq!(addresses(&ask(&mut dns, &plain, Tcp)).len(), 60);
}

/// Ports are for programs that come back over TCP.
#[test]
fn an_answer_of_ports_that_does_not_fit_says_so() {
    let mut dns = cluster(60);
    let packet = question_for("_dispotify._tcp.dispotify.data", kind::SRV);
    let short = ask(&mut dns, &packet, Udp);
    let read = Packet::parse(&short).expect("an answer");
    assert!(short.len() <= PLAIN_BYTES_MAX && read.has_flags(PacketFlag::TRUNCATION));
    let whole = ask(&mut dns, &packet, Tcp);
    let read = Packet::parse(&whole).expect("an answer");
    assert!(!read.has_flags(PacketFlag::TRUNCATION));
    assert_eq!(
        (read.answers.len(), read.additional_records.len()),
        (60, 60)
    );
}

/// No answer outlives a record, and all of a set live as long.
#[test]
fn an_answer_lives_as_long_as_its_shortest_record() {
    let short = Record {
        ttl_ms: 3_900,
        ..record(2, Role::Data)
    };
    let mut dns = dns([record(1, Role::Data), short]);
    let answer = ask(&mut dns, &question_for("dispotify.data", kind::A), Udp);
    let read = Packet::parse(&answer).expect("an answer");
    assert_eq!(
        read.answers.iter().map(|one| one.ttl).collect::<Vec<_>>(),
        [3, 3]
    );
    let mut out = vec![];
    dns.on_packet(
        at(104),
        &question_for("dispotify.data", kind::A),
        Udp,
        &mut out,
    );
    assert_eq!(Packet::parse(&out).expect("an answer").answers.len(), 1);
}

/// A DNS node that has just started knows nobody yet, and must not say that nobody is there.
#[test]
fn an_empty_node_that_fills_does_not_say_none() {
    let mut dns = Dns::new(
        Config::default(),
        NodeId(200),
        at(100),
        false,
        Rng::from_seed(1),
    );
    dns.keep_own(at(100), record(200, Role::Dns));
    let node = "n-00000000000000000000000000000001.dispotify.data";
    for name in ["dispotify.data", node, "_dispotify._tcp.dispotify.data"] {
        assert_eq!(told(&mut dns, name, kind::A), "ServerFailure", "{name}");
    }
    // What does not depend on records is known, and so is what has arrived.
    assert!(told(&mut dns, "www.dispotify.data", kind::A).starts_with("NameError"));
    assert!(told(&mut dns, "dispotify.dns", kind::A).starts_with("NoError ours dns 10"));
    let mut out = vec![];
    dns.on_packet(
        at(110),
        &question_for("dispotify.data", kind::A),
        Udp,
        &mut out,
    );
    assert_eq!(
        Packet::parse(&out).expect("an answer").rcode(),
        RCODE::NoError
    );
}

/// IPv6 addresses are answered to those who ask for them.
#[test]
fn addresses_have_their_kinds() {
    let six = Record {
        address: crate::contract::record::Address(([0xfd00u16, 0, 0, 0, 0, 0, 0, 7], 7700).into()),
        ..record(2, Role::Data)
    };
    let mut dns = dns([record(1, Role::Data), six]);
    assert_eq!(
        told(&mut dns, "dispotify.data", kind::AAAA),
        "NoError ours data 10 fd00::7"
    );
    assert_eq!(
        told(&mut dns, "dispotify.data", kind::A),
        "NoError ours data 10 127.0.0.1"
    );
}

fn code(answer: &[u8]) -> u8 {
    answer[3] & 0x0F
}

/// Bytes that are no question: each gets the shortest answer, or none.
#[test]
fn what_is_no_question_is_told_so() {
    let good = question_for("dispotify.data", kind::A);
    let changed = |at: usize, byte: u8| {
        let mut packet = good.clone();
        packet[at] = byte;
        packet
    };
    let end = good.len() - 4;
    let table: &[(&str, Vec<u8>, Option<u8>)] = &[
        ("nothing", vec![], None),
        ("half a header", good[..11].to_vec(), None),
        ("an answer", changed(2, 0x80), None),
        (
            "an answer that is cut",
            changed(2, 0x80)[..20].to_vec(),
            None,
        ),
        ("no question", changed(5, 0), Some(1)),
        ("two questions", changed(5, 2), Some(1)),
        ("65535 questions", changed(4, 0xFF), Some(1)),
        ("a name without its end", good[..end - 1].to_vec(), Some(1)),
        ("a name without its kind", good[..end].to_vec(), Some(1)),
        (
            "a name without its class",
            good[..end + 2].to_vec(),
            Some(1),
        ),
        ("bytes behind it", [&good[..], &[0]].concat(), Some(1)),
        ("a record that is missing", changed(11, 1), Some(1)),
        ("a label of 65", changed(12, 65), Some(1)),
        ("a label of the unused type", changed(12, 0x80), Some(1)),
        ("a pointer into itself", changed(12, 0xC0), Some(1)),
        ("a status", changed(2, 0x10), Some(4)),
        ("a notify", changed(2, 0x20), Some(4)),
        ("an update", changed(2, 0x28), Some(4)),
        ("a signature", changed(good.len() - 3, 250), Some(5)),
        ("another class", changed(good.len() - 1, 3), Some(5)),
        ("any class", changed(good.len() - 1, 255), Some(5)),
    ];
    let mut dns = cluster(1);
    for (what, packet, expected) in table {
        let answer = ask(&mut dns, packet, Udp);
        assert_eq!(answer.get(3).map(|_| code(&answer)), *expected, "{what}");
        assert!(answer.len() <= packet.len().max(12), "{what}");
    }
}

/// A name of 255 bytes is a name; one more, and it is none.
#[test]
fn names_have_their_bounds() {
    let long = |last: usize| {
        let full = ["x"; 63].concat();
        [full.as_str(), &full, &full, &["y"].repeat(last).concat()].join(".")
    };
    let mut dns = cluster(1);
    for (last, expected) in [(61, 5), (62, 1)] {
        let answer = ask(&mut dns, &question_for(&long(last), kind::A), Udp);
        assert_eq!(code(&answer), expected, "{last}");
    }
    let many = ["a"; 127].join(".");
    assert_eq!(code(&ask(&mut dns, &question_for(&many, kind::A), Udp)), 5);
    let labels = ["a"; 65].join(".") + ".dispotify.data";
    assert_eq!(
        code(&ask(&mut dns, &question_for(&labels, kind::A), Udp)),
        3
    );
}

/// EDNS is answered with EDNS; a version of the future is told which one there is.
#[test]
fn edns_is_answered_with_edns() {
    let mut dns = cluster(1);
    let answer = ask(
        &mut dns,
        &offering("dispotify.data", kind::A, (1400, 0)),
        Udp,
    );
    let read = Packet::parse(&answer).expect("an answer");
    assert_eq!(read.opt().map(|opt| opt.udp_packet_size), Some(1232));
    let answer = ask(
        &mut dns,
        &offering("dispotify.data", kind::A, (1400, 1)),
        Udp,
    );
    // The upper bits of the code stand in the EDNS record, 16 in all.
    assert_eq!(
        (code(&answer), &answer[answer.len() - 11..]),
        (0, &[0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0][..])
    );
    assert_eq!(answer[7], 0);
    let mut twice = offering("dispotify.data", kind::A, (1400, 0));
    twice[11] = 2;
    twice.extend_from_within(twice.len() - 11..);
    assert_eq!(code(&ask(&mut dns, &twice, Udp)), 1);
    // Fewer than 512 bytes are not offered by anybody who means it.
    let answer = ask(&mut dns, &offering("dispotify.data", kind::A, (0, 0)), Udp);
    assert_eq!(Packet::parse(&answer).expect("an answer").answers.len(), 1);
}

/// Whoever asks too much hears of TCP in an answer that is not longer than the question.
#[test]
fn the_answer_to_a_flood_is_short() {
    let mut out = vec![];
    let packet = question_for("dispotify.data", kind::A);
    assert!(come_back_over_tcp(&packet, &mut out));
    assert!(out.len() <= packet.len());
    assert!(
        Packet::parse(&out)
            .expect("an answer")
            .has_flags(PacketFlag::TRUNCATION)
    );
    assert!(
        !come_back_over_tcp(&out, &mut vec![]),
        "answers are not answered"
    );
}

/// Whatever comes: no panic, no answer to an answer, no answer beyond its limit, and each can be
/// read by somebody else.
#[test]
fn damaged_packets_do_no_harm() {
    let mut rng = Rng::from_seed(7);
    let mut dns = cluster(60);
    let names = [
        "dispotify.data",
        "_dispotify._tcp.dispotify.data",
        "dispotify.internal",
        "a.example",
    ];
    let kinds = [
        kind::A,
        kind::AAAA,
        kind::SRV,
        kind::SOA,
        kind::NS,
        kind::TXT,
        kind::ANY,
        252,
    ];
    for _ in 0..60_000 {
        let name = *rng.pick(&names).expect("names");
        let kind = *rng.pick(&kinds).expect("kinds");
        let mut packet = match rng.below(2) {
            0 => question_for(name, kind),
            _ => offering(name, kind, (rng.below(65_536) as u16, 0)),
        };
        for _ in 0..rng.below(4) {
            let at = rng.below(packet.len() as u64) as usize;
            packet[at] = rng.bits() as u8;
        }
        let cut = rng.below(3) * rng.below(20);
        packet.truncate(packet.len().saturating_sub(cut as usize));
        let transport = if rng.happens(1, 2) { Udp } else { Tcp };
        let answer = ask(&mut dns, &packet, transport);
        if answer.is_empty() {
            assert!(packet.len() < 12 || packet[2] & 0x80 != 0);
            continue;
        }
        assert!(packet.len() >= 12 && packet[2] & 0x80 == 0 && answer[2] & 0x80 != 0);
        assert!(transport == Tcp || answer.len() <= EDNS_BYTES_MAX);
        // The other reader knows fewer kinds.
        if Packet::parse(&packet).is_ok() {
            Packet::parse(&answer).expect("an answer that another reader understands");
        }
    }
}
