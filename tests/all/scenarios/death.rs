//! One node dies, in each of three ways, while a user lists songs twice a second.

use std::time::Duration;

use roles::contract::record::Role;
use roles::contract::time::Time;
use tests::faults::Death;
use tests::workload::Ended;
use tests::world::World;

use super::{assert_fine, list, millis, secs, upload, world};

/// Lists songs sixty times, half a second apart; every list succeeds. Returns the slowest time.
fn slowest_list(world: &mut World) -> Duration {
    let client = world.place("client-0");
    let mut slowest = Duration::ZERO;
    for _ in 0..60 {
        let begun: Time = world.now;
        let operation = world.list(client);
        let ended = world.end_of(client, operation, secs(60));
        assert!(matches!(ended, Some(Ended::Songs(_))), "{ended:?}");
        slowest = slowest.max(world.now - begun);
        world.run_for(millis(500));
    }
    assert_fine(world);
    slowest
}

fn two_and_two() -> World {
    let mut world = world(|c| (c.routers, c.data) = (2, 2));
    upload(&mut world, 0);
    list(&mut world);
    world
}

/// S10: a killed data node fails no list; the original failed all of them for seconds.
#[test]
fn a_killed_data_node_is_not_felt() {
    let mut world = two_and_two();
    let data = world.place("data-0");
    world.crash(data, Death::Kill);
    assert!(slowest_list(&mut world) < secs(1));
}

/// S11: a data node whose machine loses power fails no list either.
#[test]
fn a_dark_data_node_is_not_felt() {
    let mut world = two_and_two();
    let data = world.place("data-0");
    world.crash(data, Death::PowerCut);
    assert!(slowest_list(&mut world) < secs(2));
}

/// S12: nor does a data node that freezes.
#[test]
fn a_frozen_data_node_is_not_felt() {
    let mut world = two_and_two();
    let data = world.place("data-0");
    world.freeze(data);
    assert!(slowest_list(&mut world) < secs(2));
}

/// S13: when a router dies, the other one answers.
#[test]
fn a_killed_router_is_not_felt() {
    let mut world = two_and_two();
    let router = world.place("router-0");
    world.crash(router, Death::Kill);
    assert!(slowest_list(&mut world) < secs(1));
}

/// A frozen router delays one question; the client then asks it last.
#[test]
fn a_frozen_router_costs_little() {
    let mut world = two_and_two();
    let router = world.place("router-0");
    world.freeze(router);
    assert!(slowest_list(&mut world) < secs(2));
}

/// S20: a data node comes back with its disk: the same node, the same songs, none twice.
#[test]
fn a_restarted_data_node_is_the_same() {
    let mut world = two_and_two();
    let data = world.place("data-0");
    let node = world.nodes[data].identity.node;
    world.crash(data, Death::PowerCut);
    world.run_for(secs(20));
    let song = upload(&mut world, 1);
    world.start(data);
    world.run_for(secs(70));
    assert_eq!(world.nodes[data].identity.node, node);
    assert_eq!(list(&mut world).len(), 2);
    for router in world.servers(Role::Router) {
        let listed = world.list_of(router).expect("it answers");
        assert!(
            listed
                .iter()
                .all(|l| usize::from(l.copies) == world.copies(l.song.id))
        );
    }
    assert!(world.copies(song) >= 1);
    assert_fine(&world);
}
