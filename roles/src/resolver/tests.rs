use super::*;
use crate::contract::id::RequestId;

use crate::contract::node::Action;
use crate::purpose::Asked;
use crate::test_support::{Host, addr, at, record};
use alloc::vec;

fn resolver() -> Resolver {
    let config = Config {
        guesses: Vec::new(),
        own: Some(addr(9)),
        dns: vec![addr(1)],
        watched: vec![],
        refresh: Duration::from_secs(5),
    };
    Resolver::new(config, Rng::from_seed(1))
}

fn ask(resolver: &mut Resolver, now: Time, host: &mut Host) -> RequestId {
    assert!(resolver.resolve(&mut host.at(now), Role::Router,));
    match host.out.pop() {
        Some(Action::Send { envelope, .. }) => envelope.id,
        other => panic!("no question but {other:?}"),
    }
}

/// Takes the answer of the DNS node.
fn hear(
    resolver: &mut Resolver,
    now: Time,
    host: &mut Host,
    answer: (RequestId, Message),
) -> Option<Resolved> {
    match host.answered(now, Peer::Node(addr(1)), answer)? {
        (Asked::Resolver(role), reply) => Some(resolver.conclude(&mut host.at(now), role, reply)),
        (other, _) => panic!("the question of another part: {other:?}"),
    }
}

fn tell(resolver: &mut Resolver, now: Time, records: Vec<Record>, settled: bool) {
    let mut host = Host::default();
    let id = ask(resolver, now, &mut host);
    let message = Message::Names(Names::Records { records, settled });
    let got = hear(resolver, now, &mut host, (id, message));
    assert!(got.is_some_and(|resolved| resolved.failed.is_none()));
}

#[test]
fn records_are_fresh_for_their_time_and_known_after_it() {
    let mut resolver = resolver();
    tell(&mut resolver, at(0), vec![record(2, Role::Router)], true);
    assert!(resolver.is_fresh(at(4), Role::Router));
    assert!(!resolver.is_fresh(at(5), Role::Router));
    assert_eq!(resolver.records(Role::Router), [record(2, Role::Router)]);
}

/// A DNS node that lost its memory must not make the cluster vanish.
#[test]
fn an_unsettled_empty_answer_forgets_nothing() {
    let mut resolver = resolver();
    tell(&mut resolver, at(0), vec![record(2, Role::Router)], true);
    tell(&mut resolver, at(6), vec![], false);
    assert_eq!(resolver.records(Role::Router), [record(2, Role::Router)]);
    tell(&mut resolver, at(7), vec![], true);
    assert_eq!(resolver.records(Role::Router), []);
}

/// The first to register again must not push out those who have not yet.
#[test]
fn an_unsettled_answer_takes_nobody_away() {
    let mut resolver = resolver();
    tell(
        &mut resolver,
        at(0),
        vec![record(2, Role::Router), record(3, Role::Router)],
        true,
    );
    tell(&mut resolver, at(6), vec![record(3, Role::Router)], false);
    assert_eq!(resolver.records(Role::Router).len(), 2);
    tell(&mut resolver, at(12), vec![record(3, Role::Router)], true);
    assert_eq!(resolver.records(Role::Router), [record(3, Role::Router)]);
}

#[test]
fn a_dead_dns_leaves_the_last_thing_known() {
    let mut resolver = resolver();
    tell(&mut resolver, at(0), vec![record(2, Role::Router)], true);
    let mut host = Host::default();
    ask(&mut resolver, at(40), &mut host);
    let refused = Lost::ConnectRefused;
    let cx = &mut host.at(at(40));
    assert!(cx.on_lost(Peer::Node(addr(1)), refused).is_empty());
    let ended = host.at(at(43)).on_tick().pop();
    let reply = ended.expect("the look-up has ended").reply;
    let resolved = resolver.conclude(&mut host.at(at(43)), Role::Router, reply);
    assert_eq!(resolved.failed, Some(refused));
    assert_eq!(resolver.records(Role::Router), [record(2, Role::Router)]);
}

/// A record of another group in an answer is a lie or a bug: it is not believed.
#[test]
fn foreign_records_are_dropped() {
    let mut resolver = resolver();
    let foreign = Record {
        role: Role::Data,
        ..record(3, Role::Router)
    };
    tell(
        &mut resolver,
        at(0),
        vec![foreign, record(2, Role::Router)],
        true,
    );
    assert_eq!(resolver.records(Role::Router), [record(2, Role::Router)]);
}

/// Asked by a DNS node, another one names the asker too: it must not dial itself, nor take its
/// own word for another's.
#[test]
fn a_dns_node_does_not_learn_of_itself() {
    let mut resolver = resolver();
    let mut host = Host::default();
    assert!(resolver.resolve(&mut host.at(at(0)), Role::Dns,));
    let Some(Action::Send { envelope, .. }) = host.out.pop() else {
        panic!("no question");
    };
    let dns = |n| Record {
        role: Role::Dns,
        ..record(n, Role::Router)
    };
    let records = vec![dns(1), dns(2), dns(9)];
    let settled = true;
    let message = Message::Names(Names::Records { records, settled });
    hear(&mut resolver, at(0), &mut host, (envelope.id, message));
    assert_eq!(resolver.dns().collect::<Vec<_>>(), [addr(1), addr(2)]);
}

fn order(resolver: &mut Resolver, role: Role) -> Vec<Address> {
    let address = |peer| match peer {
        Peer::Node(address) => address,
        Peer::Guest(_) => panic!("a guest cannot be asked"),
    };
    resolver.candidates(role).into_iter().map(address).collect()
}

/// What is heard on the link is asked about DNS nodes first, two at a time, and about others last, until a
/// DNS node answers; what an earlier run knew is asked when nobody else is left.
#[test]
fn what_is_heard_is_asked_until_a_dns_node_answers() {
    let (mut resolver, mut host) = (resolver(), Host::default());
    resolver.recall(vec![addr(8), addr(1)]);
    let heard = [addr(2), addr(3), addr(4), addr(9), addr(1)];
    resolver.find(&mut host.at(at(1)), &heard);
    let Some(Action::Send { envelope, .. }) = host.out.pop() else {
        panic!("it asks at once");
    };
    let about_dns = Message::Names(Names::Resolve { role: Role::Dns });
    assert_eq!(envelope.message, about_dns);
    let asked = order(&mut resolver, Role::Dns);
    assert_eq!((asked[2], asked[4]), (addr(1), addr(8)), "{asked:?}");
    let asked = order(&mut resolver, Role::Router);
    assert_eq!((asked[0], asked[4], asked.len()), (addr(1), addr(8), 5));
    // None of them is registered with before it has answered.
    assert!(resolver.dns().eq([addr(1)]));
    let named = vec![record(3, Role::Dns), record(5, Role::Dns)];
    resolver.on_records(&mut host.at(at(2)), Role::Dns, named, true);
    assert!(resolver.dns().eq([addr(1), addr(3), addr(5)]));
    let mut asked = order(&mut resolver, Role::Dns);
    assert_eq!(asked.pop(), Some(addr(8)));
    // The others go, and are remembered.
    let named = vec![record(5, Role::Dns)];
    resolver.on_records(&mut host.at(at(3)), Role::Dns, named, true);
    assert!(resolver.dns().eq([addr(1), addr(5)]));
    assert_eq!(order(&mut resolver, Role::Router)[2..], [addr(3), addr(8)]);
}

/// However many are heard or remembered, few are kept.
#[test]
fn heard_and_remembered_addresses_are_bounded() {
    let (mut resolver, mut host) = (resolver(), Host::default());
    let many = |from: u8| (from..from + 100).map(addr).collect::<Vec<_>>();
    for _ in 0..3 {
        resolver.find(&mut host.at(at(1)), &many(20));
        resolver.recall(many(130));
    }
    assert_eq!(order(&mut resolver, Role::Dns).len(), 1 + 2 * DNS_NODES_MAX);
}
