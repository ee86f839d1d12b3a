//! The network is split in two or more parts, and healed.

use std::time::Duration;

use roles::contract::record::Role;
use tests::resident::Place;
use tests::workload::Ended;
use tests::world::World;

use super::ring::{expect_one_ring, in_order, ring_of};
use super::{assert_fine, millis, resolve, secs, world};

/// Two data nodes, two routers, two clients and a DNS node; each half has one of each, and one half
/// has the DNS node.
fn two_halves() -> (World, [Vec<Place>; 2]) {
    let world = world(|c| (c.routers, c.data, c.clients) = (2, 2, 2));
    let places = |names: &[&str]| names.iter().map(|name| world.place(name)).collect();
    let with_dns = places(&["dns-0", "data-0", "router-0", "client-0", "probe"]);
    let without = places(&["data-1", "router-1", "client-1"]);
    (world, [with_dns, without])
}

fn split(world: &mut World, [left, right]: &[Vec<Place>; 2]) {
    for a in left {
        for b in right {
            world.cut_both(*a, *b);
        }
    }
}

fn heal(world: &mut World, [left, right]: &[Vec<Place>; 2]) {
    for a in left {
        for b in right {
            world.mend_both(*a, *b);
        }
    }
}

fn uploads(world: &mut World, client: &str, source: u64) {
    let client = world.place(client);
    let operation = world.upload(client, source);
    let ended = world.end_of(client, operation, secs(60));
    assert!(matches!(ended, Some(Ended::Uploaded { .. })), "{ended:?}");
}

/// S46: while the cluster is split, each side serves the clients that know a router there.
#[test]
fn both_halves_serve() {
    let (mut world, halves) = two_halves();
    for client in world.clients() {
        world.list(client);
    }
    world.run_for(secs(5));
    split(&mut world, &halves);
    for _ in 0..30 {
        for client in world.clients() {
            let begun = world.now;
            let operation = world.list(client);
            let ended = world.end_of(client, operation, secs(30));
            assert!(matches!(ended, Some(Ended::Songs(_))), "{ended:?}");
            assert!(
                world.now.since(begun) < secs(3),
                "{:?}",
                world.now.since(begun)
            );
        }
        world.run_for(secs(1));
    }
    assert_fine(&world);
}

/// S47: healed after five seconds, a good minute, ten minutes: there is one ring and one list of
/// records, and what was uploaded on either side is there.
#[test]
fn healed_halves_are_one_again() {
    for span in [5, 75, 600] {
        let (mut world, halves) = two_halves();
        uploads(&mut world, "client-1", 2);
        split(&mut world, &halves);
        world.run_for(secs(span));
        uploads(&mut world, "client-0", 0);
        uploads(&mut world, "client-1", 1);
        heal(&mut world, &halves);
        expect_one_ring(&mut world, 45);
        world.run_for(secs(60));
        assert_eq!(resolve(&mut world, "dns-0", Role::Data).len(), 2);
        assert_eq!(resolve(&mut world, "dns-0", Role::Router).len(), 2);
        for router in world.servers(Role::Router) {
            assert_eq!(world.list_of(router).map(|songs| songs.len()), Some(3));
        }
        assert_fine(&world);
    }
}

/// Each half of a ring of eight balances its roles, and the halves merge.
#[test]
fn halves_of_eight_merge() {
    for span in [8, 90] {
        let mut world = ring_of(8);
        let order = in_order(&world);
        let (mut left, mut right) = (vec![world.place("dns-0")], Vec::new());
        for (number, place) in order.into_iter().enumerate() {
            if number % 2 == 0 {
                &mut left
            } else {
                &mut right
            }
            .push(place);
        }
        let halves = [left, right];
        split(&mut world, &halves);
        world.run_for(secs(span));
        heal(&mut world, &halves);
        expect_one_ring(&mut world, 45);
    }
}

/// The ring is split in three parts, but one node reaches all: it carries news between them,
/// without a storm of messages.
#[test]
fn a_bridge_between_three_parts() {
    let mut world = ring_of(7);
    let order = in_order(&world);
    for (a, left) in order.iter().enumerate().skip(1) {
        for right in order.iter().skip(a + 1).filter(|_| true) {
            if (a % 3) != (order.iter().position(|p| p == right).unwrap_or(0) % 3) {
                world.cut_both(*left, *right);
            }
        }
    }
    world.run_for(secs(120));
    assert_fine(&world);
    assert!(
        world.seen.censuses < 60,
        "{} in two minutes",
        world.seen.censuses
    );
    world.heal();
    expect_one_ring(&mut world, 45);
}

/// S48: one direction between two members is lost, or comes and goes every second: there are few
/// alerts, and no role changes.
#[test]
fn a_bad_link_makes_no_storm() {
    for flapping in [false, true] {
        let mut world = ring_of(6);
        let order = in_order(&world);
        let (a, b) = (order[1], order[2]);
        let mut cut = false;
        for _ in 0..60 {
            if !cut || flapping {
                cut = !cut;
                if cut {
                    world.cut_one_way(a, b)
                } else {
                    world.mend_one_way(a, b)
                }
            }
            world.run_for(secs(1));
        }
        assert_fine(&world);
        assert!(
            world.seen.censuses <= 12,
            "{} in a minute",
            world.seen.censuses
        );
        assert!(world.seen.role_changes <= 1);
        world.heal();
        expect_one_ring(&mut world, 30);
    }
}

/// The network is slow and connections break, but envelopes arrive: no node is called dead.
#[test]
fn a_slow_network_kills_nobody() {
    let mut climate = tests::climate::Climate::calm();
    (climate.routers, climate.data, climate.auto) = (0, 0, 6);
    climate.latency = millis(200);
    climate.faults.reset = Some(Duration::from_millis(500));
    let mut world = World::new(5, climate);
    world.start_all();
    world.run_for(secs(300));
    assert_fine(&world);
    assert_eq!(world.seen.verdicts_on_the_living, 0);
    assert_eq!(world.ring_fault(), None);
}

/// S49: the DNS is on the other side: a newcomer waits, or joins by what it remembers, and never
/// founds a ring of its own.
#[test]
fn a_newcomer_without_names_begins_no_ring() {
    let mut world = ring_of(5);
    let newcomer = world.add("late", tests::resident::Kind::Server(None));
    let dns = world.place("dns-0");
    for place in in_order(&world).into_iter().chain([newcomer]) {
        world.cut_both(dns, place);
    }
    world.start(newcomer);
    world.run_for(secs(60));
    assert_eq!(world.nodes[newcomer].role(), None);
    world.heal();
    expect_one_ring(&mut world, 45);
    assert!(world.nodes[newcomer].role().is_some());
}
