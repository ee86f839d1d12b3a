use super::*;
use crate::contract::id::RequestId;
use crate::contract::message::Kind;
use crate::contract::node::{Action, Sender};
use crate::purpose::Asked;
use crate::requests::Outcome;
use crate::test_support::{Host, addr, at, record};
use alloc::vec;

fn asker(n: u8) -> Asker {
    Asker {
        sender: Sender {
            peer: Peer::Node(addr(n)),
            node: NodeId(u128::from(n)),
            incarnation: Incarnation(1),
        },
        id: RequestId(1),
        until: at(1_000),
    }
}

struct World {
    dns: Dns,
    host: Host,
}

impl World {
    fn new() -> Self {
        let rng = Rng::from_seed(1);
        let dns = Dns::new(Config::default(), NodeId(200), at(0), true, rng);
        World {
            dns,
            host: Host::default(),
        }
    }

    fn ask(&mut self, now: Time, who: u8, names: Names) -> Message {
        self.dns
            .on_question(&mut self.host.at(now), asker(who), names, &[]);
        self.answer()
    }

    fn answer(&mut self) -> Message {
        while let Some(action) = self.host.out.pop() {
            if let Action::Send { envelope, .. } = action
                && envelope.kind == (Kind::Answer { more: false })
            {
                return envelope.message;
            }
        }
        panic!("no answer");
    }

    fn register(&mut self, now: Time, record: Record) -> Message {
        let mut asker = asker(record.node.0 as u8);
        asker.sender.peer = Peer::Node(record.address);
        asker.sender.incarnation = record.incarnation;
        let names = Names::Register { record };
        self.dns
            .on_question(&mut self.host.at(now), asker, names, &[]);
        self.answer()
    }

    fn resolve(&mut self, now: Time, role: Role) -> Vec<Record> {
        match self.ask(now, 99, Names::Resolve { role }) {
            Message::Names(Names::Records { records, .. }) => records,
            other => panic!("no records but {other:?}"),
        }
    }

    fn reserve(&mut self, now: Time, who: u8) -> Message {
        self.ask(now, who, Names::Reserve)
    }

    /// The sweep's questions, with their numbers.
    fn sweep(&mut self, now: Time) -> Vec<(Peer, RequestId)> {
        let ended = self.host.at(now).on_tick();
        for Outcome { purpose, reply } in ended {
            if let Asked::Dns(purpose) = purpose {
                let cx = &mut self.host.at(now);
                self.dns.conclude(cx, purpose, reply);
            }
        }
        self.dns.on_tick(&mut self.host.at(now), &[]);
        let mut asked = vec![];
        while let Some(action) = self.host.out.pop() {
            if let Action::Send { to, envelope } = action {
                asked.push((to, envelope.id));
            }
        }
        asked
    }
}

const REGISTERED: Message = Message::Names(Names::Registered);

/// A record nobody renewed leaves the answers at its deadline, not at the next sweep.
#[test]
fn expired_record_is_not_served() {
    let mut world = World::new();
    world.register(at(0), record(1, Role::Data));

    assert_eq!(world.resolve(at(29), Role::Data).len(), 1);
    assert_eq!(world.resolve(at(30), Role::Data), []);
}

#[test]
fn a_remaining_life_is_told() {
    let mut world = World::new();
    world.register(at(0), record(1, Role::Data));
    assert_eq!(world.resolve(at(20), Role::Data)[0].ttl_ms, 10_000);
}

/// The server behind an expired record is asked and renews it with its answer.
#[test]
fn a_sweep_renews_who_answers() {
    let mut world = World::new();
    world.register(at(0), record(1, Role::Data));
    let asked = world.sweep(at(30));
    assert_eq!(asked.len(), 1);
    let (to, id) = asked[0];
    let record = record(1, Role::Data);
    let confirmed = Message::Names(Names::Confirmed { record });
    let ended = world.host.answered(at(30), to, (id, confirmed));
    let Some((Asked::Dns(purpose), reply)) = ended else {
        panic!("no end of the question: {ended:?}");
    };
    let cx = &mut world.host.at(at(30));
    world.dns.conclude(cx, purpose, reply);
    assert_eq!(world.resolve(at(59), Role::Data).len(), 1);
}

/// Fifty dead hosts cost one patience; a registration meanwhile is kept.
#[test]
fn a_sweep_of_fifty_dead_hosts_takes_one_patience() {
    let mut world = World::new();
    for n in 1..=50 {
        world.register(at(0), record(n, Role::Data));
    }
    assert_eq!(world.sweep(at(30)).len(), 50);
    world.register(at(30), record(7, Role::Data));
    world.sweep(at(31));
    assert_eq!(world.dns.entries.len(), 1);
    assert_eq!(world.resolve(at(31), Role::Data).len(), 1);
}

#[test]
fn roles_are_reserved_for_joiners_at_once() {
    let mut world = World::new();
    let roles: Vec<Message> = (1..=10).map(|n| world.reserve(at(3), n)).collect();
    let data = Message::Names(Names::Reserved { role: Role::Data });
    assert_eq!(roles.iter().filter(|m| **m == data).count(), 4);
    // The same joiner asking again does not count twice.
    assert_eq!(world.reserve(at(4), 1), data);
    // A reservation nobody registered for ends.
    assert_eq!(world.reserve(at(34), 50), data);
}

#[test]
fn a_restarted_dns_does_not_claim_that_nobody_is_there() {
    let rng = Rng::from_seed(1);
    let mut world = World::new();
    world.dns = Dns::new(Config::default(), NodeId(200), at(0), false, rng);
    let unsettled = Message::Names(Names::Records {
        records: vec![],
        settled: false,
    });
    let resolve = Names::Resolve { role: Role::Data };
    assert_eq!(world.ask(at(1), 9, resolve), unsettled);
    assert_eq!(world.reserve(at(1), 9), Message::Refused(Refusal::NotReady));
    assert_eq!(
        world.reserve(at(10), 9),
        Message::Names(Names::Reserved { role: Role::Data })
    );
}

#[test]
fn a_server_registers_only_itself_and_only_its_latest_start() {
    let mut world = World::new();
    let record = record(1, Role::Data);
    let foreign = world.ask(at(0), 2, Names::Register { record });
    assert!(matches!(foreign, Message::Refused(Refusal::Invalid(_))));
    let later = Record {
        incarnation: Incarnation(2),
        ..record
    };
    assert_eq!(world.register(at(0), later), REGISTERED);
    let outdated = world.register(at(1), record);
    assert_eq!(outdated, Message::Refused(Refusal::Outdated));
    let elsewhere = Record {
        address: addr(9),
        ..later
    };
    let copied = world.register(at(1), elsewhere);
    assert_eq!(copied, Message::Refused(Refusal::Outdated));
}

/// Two machines with copies of one disk start together, and reach two DNS nodes in different orders:
/// one of them is refused everywhere, the other nowhere for long. Later on the first one stays.
#[test]
fn of_two_twins_one_stays() {
    let peers = [addr(250)];
    let ask = |world: &mut World, now, record: Record| {
        let words = Names::Register { record };
        let mut asker = asker(1);
        asker.sender.peer = Peer::Node(record.address);
        let cx = &mut world.host.at(now);
        world.dns.on_question(cx, asker, words, &peers);
        world.answer()
    };
    let low = record(1, Role::Data);
    let high = Record {
        address: addr(9),
        ..low
    };
    let refused = Message::Refused(Refusal::Outdated);
    let (mut one, mut other) = (World::new(), World::new());
    assert_eq!(ask(&mut one, at(1), low), REGISTERED);
    assert_eq!(ask(&mut other, at(1), high), REGISTERED);
    assert_eq!(ask(&mut one, at(2), high), refused);
    assert_eq!(ask(&mut other, at(2), low), REGISTERED);
    assert_eq!(ask(&mut other, at(9), high), refused);
    let mut first = World::new();
    assert_eq!(ask(&mut first, at(1), high), REGISTERED);
    assert_eq!(ask(&mut first, at(8), high), REGISTERED);
    assert_eq!(ask(&mut first, at(9), low), refused);
}

/// A server registers the process that it is, whatever its words say. What another DNS node tells of
/// a later start refuses nobody.
#[test]
fn a_false_start_shuts_nobody_out() {
    let mut world = World::new();
    let record = record(1, Role::Data);
    let false_start = Record {
        incarnation: Incarnation(65),
        renewals: 9,
        ..record
    };
    let register = |record| Names::Register { record };
    let refused = world.ask(at(1), 1, register(false_start));
    assert!(matches!(refused, Message::Refused(Refusal::Invalid(_))));
    let elsewhere = Record {
        address: addr(9),
        ..record
    };
    let refused = world.ask(at(1), 1, register(elsewhere));
    assert!(matches!(refused, Message::Refused(Refusal::Invalid(_))));

    let share = Names::Share {
        records: vec![false_start],
        pull: false,
    };
    world.ask(at(2), 2, share);
    assert_eq!(world.register(at(3), record), REGISTERED);
    assert_eq!(
        world.resolve(at(4), Role::Data)[0].incarnation,
        record.incarnation
    );
}

/// A node that lost its disk comes back under another id at the same address.
#[test]
fn one_address_has_one_record() {
    let mut world = World::new();
    world.register(at(0), record(1, Role::Data));
    let reborn = Record {
        node: NodeId(5),
        ..record(1, Role::Data)
    };
    world.register(at(1), reborn);
    assert_eq!(world.resolve(at(1), Role::Data).len(), 1);
}

#[test]
fn what_was_withdrawn_stays_gone() {
    let mut world = World::new();
    let record = record(1, Role::Data);
    world.register(at(0), record);
    world.ask(at(1), 1, Names::Withdraw { record });
    let share = |renewals| Names::Share {
        records: vec![Record { renewals, ..record }],
        pull: false,
    };
    world.ask(at(2), 9, share(1));
    assert_eq!(world.resolve(at(2), Role::Data), []);
    world.ask(at(3), 9, share(2));
    assert_eq!(world.resolve(at(3), Role::Data).len(), 1);
}

/// A server changes its role and leaves before that was heard: it is gone in its old role, too.
/// Goodbyes that come late say nothing of what was registered after them.
#[test]
fn a_goodbye_is_to_every_earlier_record() {
    let mut world = World::new();
    let router = record(1, Role::Router);
    world.register(at(0), router);
    let data = Record {
        renewals: 2,
        ..record(1, Role::Data)
    };
    world.ask(at(1), 1, Names::Withdraw { record: data });
    assert_eq!(world.resolve(at(1), Role::Router), []);

    let of_a_later_disk = Record {
        renewals: 9,
        ..router
    };
    world.register(at(2), of_a_later_disk);
    world.ask(at(2), 1, Names::Withdraw { record: data });
    assert_eq!(world.resolve(at(2), Role::Router), []);

    let back = Record {
        incarnation: Incarnation(2),
        ..router
    };
    world.register(at(2), back);
    world.ask(at(3), 1, Names::Withdraw { record: data });
    assert_eq!(world.resolve(at(3), Role::Router).len(), 1);
}

impl World {
    /// A record runs out, and its server is asked in vain. Returns a later renewal of it.
    fn find_dead(&mut self, record: Record) -> Record {
        self.register(at(0), record);
        self.sweep(at(30));
        self.sweep(at(31));
        Record {
            renewals: 9,
            ..record
        }
    }

    /// Another DNS node tells of a record.
    fn hear_of(&mut self, record: Record) {
        let (records, pull) = (vec![record], false);
        self.ask(at(32), 9, Names::Share { records, pull });
    }
}

/// What was found dead by asking is not brought back by hearsay, only by itself.
#[test]
fn hearsay_does_not_raise_the_dead() {
    let mut world = World::new();
    let later = world.find_dead(record(1, Role::Data));
    world.hear_of(later);
    assert_eq!(world.resolve(at(32), Role::Data), []);
    world.register(at(33), later);
    assert_eq!(world.resolve(at(33), Role::Data).len(), 1);
}

/// A goodbye that was sent before the death arrives after it: what it says is older than what is
/// known, and lets no hearsay in.
#[test]
fn a_late_goodbye_does_not_raise_the_dead() {
    let mut world = World::new();
    let record = record(1, Role::Data);
    let later = world.find_dead(record);
    world.ask(at(31), 1, Names::Withdraw { record });
    world.hear_of(later);
    assert_eq!(world.resolve(at(32), Role::Data), []);
}

/// Two DNS nodes that tell each other of a dead server cannot keep it alive.
#[test]
fn sharing_does_not_prolong_a_record() {
    let mut world = World::new();
    let record = record(1, Role::Data);
    world.register(at(0), record);
    world.ask(
        at(29),
        9,
        Names::Share {
            records: vec![record],
            pull: false,
        },
    );
    assert_eq!(world.resolve(at(30), Role::Data), []);
}

/// A node came back without its disk, as somebody else at the same address. Another DNS node
/// still tells of who was there before: that must not push the living one out.
#[test]
fn hearsay_does_not_displace_who_registered_here() {
    let mut world = World::new();
    let old = record(1, Role::Data);
    let new = Record {
        node: NodeId(5),
        ..record(1, Role::Data)
    };
    world.register(at(10), new);
    let records = vec![Record {
        ttl_ms: 25_000,
        ..old
    }];
    let pull = false;
    world.ask(at(11), 9, Names::Share { records, pull });
    let there = world.resolve(at(11), Role::Data);
    assert_eq!(there.iter().map(|r| r.node).collect::<Vec<_>>(), [new.node]);
}
