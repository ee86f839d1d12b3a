//! What becomes of DNS records when servers, or the DNS nodes themselves, go away.

use roles::contract::message::{Catalogue, Message};
use roles::contract::record::Role;
use tests::faults::Death;
use tests::world::World;

use super::{
    assert_fine, assert_read, list, millis, read, resolve, secs, unstarted, upload, world,
};

/// S3: a dead node's record is no longer served once its time is over.
#[test]
fn a_dead_node_leaves_the_names() {
    let mut world = world(|_| ());
    world.run_for(secs(90));
    let data = world.place("data-1");
    world.crash(data, Death::PowerCut);
    world.run_for(secs(31));
    assert_eq!(resolve(&mut world, "dns-0", Role::Data).len(), 1);
}

/// S18: without the DNS, a client that knows a router goes on listing, playing and uploading.
#[test]
fn a_dead_dns_stops_nobody_who_has_resolved_before() {
    let mut world = world(|c| c.tunes = 3);
    let song = upload(&mut world, 0);
    let dns = world.place("dns-0");
    world.crash(dns, Death::Kill);
    world.run_for(secs(90));
    assert_eq!(list(&mut world), [song]);
    assert_read(&read(&mut world, song));
    let other = upload(&mut world, 1);
    assert!(list(&mut world).contains(&other));
}

/// A router goes on asking a dead DNS node, leaves it out of its status, and logs the fact once.
#[test]
fn a_dead_dns_leaves_the_status() {
    let mut world = world(|_| ());
    world.run_for(secs(90));
    let named = |world: &mut World| {
        let inspect = Message::Catalogue(Catalogue::Inspect);
        let router = world.place("router-0");
        let Some(Message::Catalogue(Catalogue::Status(status))) = world.answer(router, inspect)
        else {
            panic!("no status");
        };
        status.nodes.iter().filter(|n| n.role == Role::Dns).count()
    };
    let told = |world: &World, words: &str| {
        let router = world.place("router-0");
        let facts = world.workload.facts().iter();
        let found = facts.filter(|(at, text)| *at == router && text.contains(words));
        found.count()
    };
    assert_eq!(named(&mut world), 1);
    let dns = world.place("dns-0");
    world.crash(dns, Death::Kill);
    world.run_for(secs(61));
    assert_eq!(named(&mut world), 0);
    assert_eq!(told(&world, "no dns node answers"), 1);
    world.start(dns);
    world.run_for(secs(31));
    assert_eq!(named(&mut world), 1);
    assert_eq!(told(&world, "no dns node answers"), 1);
    assert_eq!(told(&world, "a dns node answers again"), 1);
}

/// S19: a DNS node that restarts empty knows every server within one renewal.
#[test]
fn an_emptied_dns_refills() {
    let mut world = world(|c| (c.routers, c.data) = (2, 3));
    let dns = world.place("dns-0");
    world.crash(dns, Death::Kill);
    world.wipe(dns);
    world.run_for(secs(20));
    world.start(dns);
    world.run_for(secs(11));
    assert_eq!(resolve(&mut world, "dns-0", Role::Data).len(), 3);
    assert_eq!(resolve(&mut world, "dns-0", Role::Router).len(), 2);
    assert_fine(&world);
}

/// S57: a node that registers while the sweep asks whether it lives stays registered; the original
/// erased it.
#[test]
fn a_registration_during_the_sweep_stands() {
    let mut world = world(|_| ());
    let data = world.place("data-1");
    world.crash(data, Death::PowerCut);
    let asked = |w: &World| {
        let confirm = roles::contract::message::Names::Confirm { role: Role::Data };
        let confirm = roles::contract::message::Message::Names(confirm);
        w.tap
            .sent()
            .iter()
            .any(|(_, _, _, envelope)| envelope.message == confirm)
    };
    world.tap.record();
    assert!(world.run_till(secs(60), asked), "the sweep asks");
    world.start(data);
    world.run_for(secs(5));
    assert_eq!(resolve(&mut world, "dns-0", Role::Data).len(), 2);
}

/// S58: fifty dead hosts are gone after one time to live, and questions are answered meanwhile.
#[test]
fn fifty_dead_hosts_cost_one_patience() {
    let mut world = unstarted(|c| (c.routers, c.data, c.clients) = (50, 1, 0));
    world.start_all();
    world.run_for(secs(15));
    for place in world.servers(Role::Router) {
        world.crash(place, Death::PowerCut);
    }
    let begun = world.now;
    while !resolve(&mut world, "dns-0", Role::Router).is_empty() {
        let asked = world.now;
        assert_eq!(resolve(&mut world, "dns-0", Role::Data).len(), 1);
        assert!(world.now - asked < millis(50), "answered meanwhile");
        world.run_for(millis(100));
    }
    assert!(world.now - begun <= secs(31), "one time to live, no more");
    world.run_for(secs(3));
    let dns = world.place("dns-0");
    let server = world.nodes[dns]
        .resident
        .as_ref()
        .and_then(|node| node.server());
    let records = server.map_or(0, |server| server.records(world.now).len());
    assert_eq!(records, 2, "the data node and the DNS node itself");
}

/// Three DNS nodes share every record, whichever of them received it.
#[test]
fn dns_nodes_agree() {
    let mut world = world(|c| (c.dns, c.routers, c.data) = (3, 2, 3));
    world.run_for(secs(20));
    for dns in ["dns-0", "dns-1", "dns-2"] {
        assert_eq!(resolve(&mut world, dns, Role::Data).len(), 3);
        assert_eq!(resolve(&mut world, dns, Role::Dns).len(), 3);
    }
    assert_fine(&world);
}

/// A node that restarts without its disk is another node at the same address. A DNS node that still
/// tells of the old one must not displace it. Found by seed 6.
#[test]
fn the_newcomer_at_an_old_address_is_served() {
    let mut world = world(|c| (c.dns, c.data) = (2, 3));
    let (data, other) = (world.place("data-0"), world.place("dns-1"));
    world.cut_both(data, other);
    world.crash(data, Death::Kill);
    world.wipe(data);
    world.start(data);
    let node = world.nodes[data].identity.node;
    for _ in 0..40 {
        world.run_for(secs(1));
        let there = resolve(&mut world, "dns-0", Role::Data);
        assert!(there.iter().any(|record| record.node == node));
        assert_fine(&world);
    }
}
