//! A link in memory: what one machine sends to the group reaches all of them, itself included.

use alloc::boxed::Box;
use alloc::vec;
use core::time::Duration;

use super::packets::{Data, Name, Question, Record};
use super::*;
use crate::dns::packets::kind;

struct Link {
    now: Time,
    machines: Vec<Machine>,
    /// Packets to the group, with their senders.
    heard: Vec<(Ipv4Addr, Packet)>,
    /// Packets to one asker.
    alone: Vec<(SocketAddrV4, Packet)>,
}

struct Machine {
    mdns: Box<Mdns>,
    found: Vec<Address>,
    facts: Vec<String>,
    /// Its cable is out.
    away: bool,
    ticks: u32,
}

fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

fn cluster(mark: u8) -> Cluster {
    Cluster {
        name: "dispotify".into(),
        mark: [mark; 8],
        accepted: Vec::new(),
    }
}

fn config(n: u8, mark: u8) -> Config {
    Config {
        address: ip(n),
        prefix: 24,
        cluster: cluster(mark),
        dns: None,
        page: None,
    }
}

/// A machine with a DNS node.
fn dns(n: u8, mark: u8) -> Config {
    Config {
        dns: Some((NodeId(u128::from(n)), 7700)),
        ..config(n, mark)
    }
}

/// A machine with a page.
fn page(n: u8, mark: u8) -> Config {
    Config {
        page: Some(8080),
        ..config(n, mark)
    }
}

fn pages() -> Name {
    Name::of(&[b"dispotify", b"local"])
}

fn pages_2() -> Name {
    Name::of(&[b"dispotify-2", b"local"])
}

impl Link {
    fn new(configs: Vec<Config>) -> Link {
        let mut link = Link {
            now: Time::ZERO,
            machines: Vec::new(),
            heard: Vec::new(),
            alone: Vec::new(),
        };
        configs.into_iter().for_each(|config| link.add(config));
        link
    }

    fn add(&mut self, config: Config) {
        let seed = self.machines.len() as u64 + 1;
        self.machines.push(Machine {
            mdns: Box::new(Mdns::new(config, self.now, Rng::from_seed(seed))),
            found: Vec::new(),
            facts: Vec::new(),
            away: false,
            ticks: 0,
        });
    }

    /// Lets so much time pass.
    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            let here = self.machines.iter().filter(|m| !m.away);
            let next = here.filter_map(|m| m.mdns.deadline()).min();
            let Some(next) = next.filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(next);
            for n in 0..self.machines.len() {
                let machine = &mut self.machines[n];
                if !machine.away && machine.mdns.deadline().is_some_and(|at| at <= self.now) {
                    machine.ticks += 1;
                    let mut out = Effects::default();
                    machine.mdns.on_tick(self.now, &mut out);
                    self.spread(n, out);
                }
            }
        }
        self.now = until;
    }

    fn spread(&mut self, sender: usize, out: Effects) {
        let machine = &mut self.machines[sender];
        machine.found.extend(out.found);
        machine
            .facts
            .extend(out.facts.into_iter().map(|(_, line)| line));
        let from = machine.mdns.config.address;
        for Datagram { to, bytes } in out.datagrams {
            let packet = Packet::read(&bytes).expect("own packets are readable");
            match to {
                None => {
                    self.heard.push((from, packet));
                    self.tell(SocketAddrV4::new(from, PORT), &bytes);
                }
                Some(to) => self.alone.push((to, packet)),
            }
        }
    }

    /// A packet to the group from anybody.
    fn tell(&mut self, from: SocketAddrV4, bytes: &[u8]) {
        for n in 0..self.machines.len() {
            if self.machines[n].away {
                continue;
            }
            let mut out = Effects::default();
            self.machines[n]
                .mdns
                .on_packet(self.now, from, bytes, &mut out);
            self.spread(n, out);
        }
    }

    fn tell_all(&mut self, from: u8, packet: Packet) {
        for bytes in packet.write() {
            self.tell(SocketAddrV4::new(ip(from), PORT), &bytes);
        }
    }

    fn ask(&mut self, from: SocketAddrV4, name: Name, kind: u16, known: Vec<Record>) {
        let packet = Packet {
            id: 7,
            questions: [Question {
                name,
                kind,
                alone: false,
            }]
            .into(),
            answers: known,
            ..Packet::default()
        };
        for bytes in packet.write() {
            self.tell(from, &bytes);
        }
    }

    /// Asks in the group and gives the answers of the next second.
    fn answers(&mut self, name: Name, kind: u16) -> Vec<Record> {
        self.heard.clear();
        self.ask(SocketAddrV4::new(ip(200), PORT), name, kind, Vec::new());
        self.pass(SECOND);
        self.heard_answers()
    }

    fn heard_answers(&self) -> Vec<Record> {
        let packets = self.heard.iter().filter(|(_, p)| p.answers_something);
        packets.flat_map(|(_, p)| p.answers.clone()).collect()
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn addresses(records: &[Record], name: &Name) -> Vec<Ipv4Addr> {
    let a = |record: &Record| match record.data {
        Data::A(ip) if record.name == *name => Some(ip),
        _ => None,
    };
    let mut all: Vec<Ipv4Addr> = records.iter().filter_map(a).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn at(n: u8) -> Address {
    Address((ip(n), 7700).into())
}

/// A newcomer hears of the DNS node at its first question, and a waiting one at the announcement.
#[test]
fn dns_nodes_are_found() {
    let mut link = Link::new(vec![config(2, 1), dns(1, 1)]);
    link.machines[0].mdns.seek(link.now, true);
    link.pass(2 * SECOND);
    assert_eq!(link.machines[0].found, [at(1)]);
    link.add(config(3, 1));
    link.machines[2].mdns.seek(link.now, true);
    link.pass(Duration::from_millis(1200));
    assert_eq!(link.machines[2].found, [at(1)]);
    assert_eq!(link.machines[1].found, [], "nobody finds itself");
}

/// A node of another cluster, another key under the same name, and a stranger that names somebody else.
#[test]
fn only_who_speaks_for_itself_and_this_cluster_is_found() {
    let other = Config {
        cluster: Cluster {
            name: "theirs".into(),
            mark: [1; 8],
            accepted: Vec::new(),
        },
        ..dns(4, 1)
    };
    let mut link = Link::new(vec![config(2, 1), dns(3, 9), other]);
    link.machines[0].mdns.seek(link.now, true);
    link.pass(5 * SECOND);
    assert_eq!(link.machines[0].found, []);
    // What machine 1 would say, said by machine 66; the same from another network.
    let mut words = Effects::default();
    let mut one = Mdns::new(dns(1, 1), link.now, Rng::from_seed(1));
    for second in 0..3 {
        one.on_tick(link.now + second * SECOND, &mut words);
        one.on_tick(link.now + second * SECOND + SECOND / 2, &mut words);
    }
    for from in [ip(66), Ipv4Addr::new(10, 0, 1, 1)] {
        for datagram in &words.datagrams {
            link.tell(SocketAddrV4::new(from, PORT), &datagram.bytes);
        }
    }
    assert_eq!(link.machines[0].found, []);
    for datagram in &words.datagrams {
        link.tell(SocketAddrV4::new(ip(1), PORT), &datagram.bytes);
    }
    assert_eq!(link.machines[0].found, [at(1)], "the test speaks its words");
}

/// What one machine has asked serves all, and what is known is not said again.
#[test]
fn known_answers_are_not_repeated() {
    let mut link = Link::new(vec![dns(1, 1)]);
    link.pass(5 * SECOND);
    let service = own::dns_service();
    let answers = link.answers(service.clone(), kind::PTR);
    assert_eq!(answers.len(), 1);
    link.pass(2 * SECOND);
    link.heard.clear();
    let asker = SocketAddrV4::new(ip(200), PORT);
    link.ask(asker, service.clone(), kind::PTR, answers.clone());
    link.pass(SECOND);
    assert_eq!(link.heard_answers(), []);
    let old = Record {
        ttl: answers[0].ttl / 2 - 1,
        ..answers[0].clone()
    };
    link.ask(asker, service, kind::PTR, [old].into());
    link.pass(SECOND);
    assert_eq!(link.heard_answers().len(), 1, "it would soon be forgotten");
}

/// The known answers of a question may come in a second packet.
#[test]
fn further_known_answers_are_waited_for() {
    let mut link = Link::new(vec![dns(1, 1)]);
    link.pass(5 * SECOND);
    let service = own::dns_service();
    let answers = link.answers(service, kind::PTR);
    link.pass(2 * SECOND);
    link.heard.clear();
    let question = Packet {
        truncated: true,
        ..querier::question(Vec::new())
    };
    let more = Packet {
        answers,
        ..Packet::default()
    };
    link.tell_all(200, question.clone());
    link.tell_all(200, more.clone());
    link.pass(SECOND);
    assert_eq!(link.heard_answers(), []);
    // Somebody else's knowledge is not the asker's.
    link.tell_all(200, question);
    link.tell_all(201, more);
    link.pass(SECOND);
    assert_eq!(link.heard_answers().len(), 1);
}

/// All pages of a cluster share the name, and nobody contradicts anybody.
#[test]
fn pages_share_a_name_and_name_each_other() {
    let mut link = Link::new(vec![page(1, 1), page(2, 1), page(3, 1)]);
    link.pass(5 * SECOND);
    assert!(link.machines.iter().all(|m| m.facts.is_empty()));
    let answers = link.answers(pages(), kind::A);
    assert_eq!(addresses(&answers, &pages()), [ip(1), ip(2), ip(3)]);
    assert!(answers.iter().all(|record| !record.flush));
    // Right after that each knows that the others live, and says so to who asks alone.
    link.ask(SocketAddrV4::new(ip(200), 40_000), pages(), kind::A, vec![]);
    for (_, packet) in &link.alone {
        assert_eq!(addresses(&packet.answers, &pages()), [ip(1), ip(2), ip(3)]);
    }
    assert_eq!(link.alone.len(), 3);
}

/// A page whose machine is gone is named by nobody after ten seconds, and an orderly end at once.
#[test]
fn the_dead_are_not_named() {
    let mut link = Link::new(vec![page(1, 1), page(2, 1), page(3, 1)]);
    link.pass(5 * SECOND);
    link.answers(pages(), kind::A);
    link.machines[2].away = true;
    let mut out = Effects::default();
    link.machines[1].mdns.say_goodbye(&mut out);
    link.spread(1, out);
    link.pass(SECOND / 2);
    let answers = link.answers(pages(), kind::A);
    assert_eq!(addresses(&answers, &pages()), [ip(1), ip(3)]);
    link.pass(10 * SECOND);
    let answers = link.answers(pages(), kind::A);
    assert_eq!(addresses(&answers, &pages()), [ip(1)]);
}

fn strangers_a(name: Name) -> Packet {
    let record = Record {
        name,
        flush: true,
        ttl: 120,
        data: Data::A(ip(66)),
    };
    Packet::response([record].into(), Vec::new())
}

/// A machine of that name answers the claim: this one takes the next name, and says so once.
#[test]
fn a_name_that_a_stranger_has_is_not_taken() {
    let mut link = Link::new(vec![page(1, 1)]);
    link.pass(Duration::from_millis(300));
    link.tell_all(66, strangers_a(pages()));
    link.pass(5 * SECOND);
    let facts = &link.machines[0].facts;
    assert_eq!(facts.len(), 1);
    assert!(facts[0].contains("dispotify-2.local"), "{facts:?}");
    assert_eq!(link.answers(pages(), kind::A), []);
    let answers = link.answers(pages_2(), kind::A);
    assert_eq!(addresses(&answers, &pages_2()), [ip(1)]);
}

/// A stranger that comes later does not get the name by saying so: the claim is made again, and stands if
/// nobody answers it.
#[test]
fn a_name_that_is_had_is_defended() {
    let mut link = Link::new(vec![page(1, 1)]);
    link.pass(5 * SECOND);
    link.tell_all(66, strangers_a(pages()));
    link.pass(5 * SECOND);
    let answers = link.answers(pages(), kind::A);
    assert_eq!(addresses(&answers, &pages()), [ip(1)]);
    // To who claims it, it is named at once.
    link.heard.clear();
    let claim = Packet {
        authorities: strangers_a(pages()).answers,
        questions: [Question {
            name: pages(),
            kind: kind::ANY,
            alone: false,
        }]
        .into(),
        ..Packet::default()
    };
    link.pass(SECOND);
    link.tell_all(66, claim);
    link.pass(Duration::from_millis(1));
    assert_eq!(addresses(&link.heard_answers(), &pages()), [ip(1)]);
}

/// Two clusters on one link, started at the same moment: one has the name, whole, the other the next.
#[test]
fn two_clusters_have_two_names() {
    let mut link = Link::new(vec![page(1, 1), page(2, 9), page(3, 1), page(4, 9)]);
    link.pass(10 * SECOND);
    let mut held = [pages(), pages_2()].map(|name| {
        let answers = link.answers(name.clone(), kind::A);
        link.pass(SECOND);
        addresses(&answers, &name)
    });
    held.sort_unstable();
    assert_eq!(held, [[ip(1), ip(3)], [ip(2), ip(4)]]);
}

/// A node of the cluster that has the plain name again leads the others back to it.
#[test]
fn the_plain_name_is_taken_back() {
    let mut link = Link::new(vec![page(1, 1)]);
    link.pass(Duration::from_millis(300));
    link.tell_all(66, strangers_a(pages()));
    link.pass(5 * SECOND);
    link.add(page(2, 1)); // The stranger is gone.
    link.pass(5 * SECOND);
    let answers = link.answers(pages(), kind::A);
    assert_eq!(addresses(&answers, &pages()), [ip(1), ip(2)]);
}

/// Whoever contradicts everything silences a name, and costs little.
#[test]
fn endless_contradiction_ends() {
    let mut link = Link::new(vec![page(1, 1)]);
    let mut packets = 0;
    for _ in 0..2000 {
        link.pass(SECOND / 2);
        let mut names = link.heard.iter().flat_map(|(_, p)| p.questions.clone());
        let last = names.rfind(|q| q.kind == kind::ANY);
        packets += link.heard.len();
        link.heard.clear();
        if let Some(question) = last {
            link.tell_all(66, strangers_a(question.name));
        }
    }
    assert!(packets < 1000, "{packets} packets");
    assert!(link.machines[0].facts.len() <= 250, "lines in the log");
}

/// A program that speaks no multicast DNS is answered alone, with its own number and question.
#[test]
fn plain_questions_are_answered_alone() {
    let mut link = Link::new(vec![dns(1, 1)]);
    link.pass(5 * SECOND);
    link.heard.clear();
    let asker = SocketAddrV4::new(ip(200), 40_000);
    link.ask(asker, own::dns_service(), kind::PTR, Vec::new());
    let [(to, packet)] = &link.alone[..] else {
        panic!("one answer");
    };
    assert_eq!((*to, packet.id, packet.questions.len()), (asker, 7, 1));
    assert!(
        packet
            .records()
            .all(|record| record.ttl <= 10 && !record.flush)
    );
    let bytes = packet.clone().write().remove(0);
    assert_eq!(answered(&cluster(1), ip(1), &bytes), [at(1)]);
    assert_eq!(answered(&cluster(9), ip(1), &bytes), []);
    assert!(link.heard.is_empty());
}

/// Whoever asks without end makes a machine say little: each record once a second to the group, and a
/// rate for single askers.
#[test]
fn floods_are_answered_at_a_rate() {
    let mut link = Link::new(vec![Config {
        page: Some(8080),
        ..dns(1, 1)
    }]);
    link.pass(5 * SECOND);
    link.heard.clear();
    for n in 0..2000u64 {
        let port = if n % 2 == 0 { PORT } else { 1024 + n as u16 };
        let from = SocketAddrV4::new(ip(2 + (n % 200) as u8), port);
        let name = [pages(), own::dns_service()][n as usize / 2 % 2].clone();
        link.ask(from, name, kind::ANY, Vec::new());
        link.pass(Duration::from_millis(1));
    }
    assert!(link.heard.len() <= 12, "{} to the group", link.heard.len());
    assert!(link.alone.len() <= 150, "{} alone", link.alone.len());
    // A thousand DNS nodes that nobody has: sixteen are kept.
    for n in 0..1000u32 {
        let config = Config {
            address: Ipv4Addr::from(0x0A00_0000 | (n % 250 + 1)),
            dns: Some((NodeId(u128::from(n)), 1024 + n as u16)),
            ..dns(1, 1)
        };
        let own = Own::new(config.clone());
        let records = own.keys(&[]).into_iter().map(|key| own.record(key));
        let packet = Packet::response(records.collect(), Vec::new());
        let from = SocketAddrV4::new(config.address, PORT);
        packet
            .write()
            .iter()
            .for_each(|bytes| link.tell(from, bytes));
    }
    assert!(link.machines[0].mdns.querier.heard_count() <= FOUND_MAX);
}

/// An hour in which nothing happens: a machine that has what it needs never wakes up, one that seeks
/// wakes up a dozen times.
#[test]
fn idle_machines_rest() {
    let mut link = Link::new(vec![dns(1, 1), page(2, 1), config(3, 1)]);
    link.pass(10 * SECOND);
    link.machines[2].mdns.seek(link.now, true);
    link.pass(60 * SECOND);
    link.machines[2].mdns.seek(link.now, false);
    let before: Vec<u32> = link.machines.iter().map(|m| m.ticks).collect();
    link.heard.clear();
    link.pass(3600 * SECOND);
    let after: Vec<u32> = link.machines.iter().map(|m| m.ticks).collect();
    assert_eq!((before, link.heard.len()), (after.clone(), 0));
    link.machines[2].away = false;
    link.add(config(4, 9));
    link.machines[3].mdns.seek(link.now, true);
    link.pass(3600 * SECOND);
    assert!(link.machines[3].ticks <= 13, "{}", link.machines[3].ticks);
}

/// A name has an address of one family: who asks for the other hears that there is none, and does not wait.
#[test]
fn other_kinds_are_denied() {
    let mut link = Link::new(vec![page(1, 1)]);
    link.pass(5 * SECOND);
    let answers = link.answers(pages(), kind::AAAA);
    let kinds: Vec<u16> = answers.iter().map(|r| r.data.kind()).collect();
    assert_eq!(kinds, [kind::NSEC]);
}

/// While a cluster's key is changed, machines that tell of the old one and of the new one find each other.
#[test]
fn a_cluster_that_changes_its_key_is_found() {
    let changing = |n: u8, own: u8, other: u8| {
        let mut config = config(n, own);
        config.cluster.accepted.push([other; 8]);
        config
    };
    let told = Config {
        dns: dns(3, 9).dns,
        ..changing(3, 9, 1)
    };
    let mut link = Link::new(vec![changing(2, 1, 9), told, config(4, 1)]);
    link.machines[0].mdns.seek(link.now, true);
    link.machines[2].mdns.seek(link.now, true);
    link.pass(5 * SECOND);
    assert_eq!(link.machines[0].found, [at(3)]);
    assert_eq!(link.machines[2].found, [], "it does not accept the new key");
}
