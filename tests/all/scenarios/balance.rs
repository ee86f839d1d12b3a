//! Other servers take roles that are missing, one at a time and no more than needed.

use roles::balance::target;
use roles::contract::record::Role;
use tests::faults::Death;
use tests::resident::Place;
use tests::world::World;

use super::ring::{assert_one_ring, expect_one_ring, in_order, ring_of};
use super::{assert_fine, list, millis, resolve, secs, unstarted, upload, world};

fn counts(world: &World) -> (usize, usize) {
    let with = |role| world.servers(role).len();
    (with(Role::Data), with(Role::Router))
}

/// After `seconds` the roles are those of a start with as many servers, give or take one.
fn expect_balance(world: &mut World, seconds: u64) {
    world.run_for(secs(seconds));
    assert_one_ring(world);
    let (data, routers) = counts(world);
    let wanted = target(data + routers);
    assert!(
        data.abs_diff(wanted.0) <= 1,
        "{data} data nodes, {routers} routers"
    );
    assert!(data > 0 && routers > 0);
}

/// Seven servers are three data nodes and four routers; any one of them may die.
#[test]
fn of_seven_anyone_may_die() {
    for victim in 0..7 {
        let mut world = ring_of(7);
        assert_eq!(counts(&world), (3, 4));
        let victim = in_order(&world)[victim];
        world.crash(victim, Death::Kill);
        expect_balance(&mut world, 90);
        assert!(world.seen.role_changes <= 1);
    }
}

/// Any two neighbours of seven may die at once.
#[test]
fn of_seven_any_two_neighbours_may_die() {
    for first in 0..7 {
        let mut world = ring_of(7);
        let order = in_order(&world);
        world.crash(order[first], Death::PowerCut);
        world.crash(order[(first + 1) % 7], Death::PowerCut);
        expect_balance(&mut world, 120);
    }
}

/// Any one of seven may die, and then the manager of the census about that death.
#[test]
fn of_seven_one_and_the_manager_may_die() {
    for victim in 0..7 {
        let mut world = ring_of(7);
        world.faults.snares.manager = true;
        let victim = in_order(&world)[victim];
        world.crash(victim, Death::Kill);
        expect_balance(&mut world, 120);
        assert_eq!(world.seen.managers_killed, 1);
    }
}

/// Two data nodes and three routers.
fn two_and_three() -> World {
    let world = ring_of(5);
    assert_eq!(counts(&world), (2, 3));
    world
}

/// S50: a data node dies, and exactly one router takes its role, everywhere.
#[test]
fn a_router_becomes_a_data_node() {
    let mut world = two_and_three();
    upload(&mut world, 0);
    // Two data nodes of four servers are right by the start-up rule: the second death makes the
    // shortage.
    let victim = world.servers(Role::Data)[0];
    world.crash(victim, Death::Kill);
    expect_one_ring(&mut world, 10);
    world.run_for(secs(40));
    assert_eq!(world.seen.role_changes, 1);
    assert_eq!(counts(&world), (2, 2));
    assert_eq!(resolve(&mut world, "dns-0", Role::Data).len(), 2);
    assert_eq!(resolve(&mut world, "dns-0", Role::Router).len(), 2);
    assert_eq!(list(&mut world).len(), 1);
}

/// S51: routers die where data nodes are many: one data node becomes a router, and no song is lost.
#[test]
fn a_data_node_becomes_a_router() {
    let mut world = ring_of(6);
    assert_eq!(counts(&world), (3, 3));
    let songs: Vec<_> = (0..6).map(|source| upload(&mut world, source)).collect();
    let victim = world.servers(Role::Router)[0];
    world.crash(victim, Death::Kill);
    world.run_for(secs(60));
    assert_one_ring(&world);
    assert_eq!(counts(&world), (2, 3));
    for song in songs {
        assert!(world.copies(song) > 0);
    }
    assert_eq!(list(&mut world).len(), 6);
}

/// S52: the last router stays one.
#[test]
fn the_last_router_stays() {
    let mut world = ring_of(3);
    assert_eq!(counts(&world), (2, 1));
    let victim = world.servers(Role::Data)[0];
    world.crash(victim, Death::Kill);
    world.run_for(secs(60));
    assert_eq!(counts(&world), (1, 1));
    assert_eq!(world.seen.role_changes, 0);
}

/// The only router dies while one of two data nodes has a full disk. The other data node has a song
/// that it cannot hand over and keeps its role, so the one with the full disk becomes the router.
#[test]
fn a_full_disk_keeps_no_role_without_anybody() {
    for full in 0..2 {
        let mut world = ring_of(3);
        let data = world.servers(Role::Data);
        upload(&mut world, 0);
        world.fill_disk(data[full], true);
        let song = upload(&mut world, 1);
        assert_eq!(world.copies(song), 1);
        let router = world.servers(Role::Router)[0];
        world.crash(router, Death::Kill);
        world.run_for(secs(60));
        assert_fine(&world);
        assert_eq!(world.servers(Role::Router), [data[full]]);
        assert_eq!(world.copies(song), 1);
    }
}

/// A role that no server has is filled within seconds.
#[test]
fn a_role_without_anybody_is_taken_at_once() {
    let mut world = ring_of(5);
    for victim in world.servers(Role::Data) {
        world.crash(victim, Death::Kill);
    }
    world.run_for(secs(15));
    assert_fine(&world);
    let (data, routers) = counts(&world);
    assert!(data >= 1 && routers >= 1);
}

/// S53: a node that switches its role dies in the middle: the role is filled all the same.
#[test]
fn a_change_survives_the_death_of_its_node() {
    let mut world = ring_of(7);
    world.faults.snares.named = true;
    let victim = world.servers(Role::Data)[0];
    let other = world.servers(Role::Data)[1];
    world.crash(victim, Death::Kill);
    world.crash(other, Death::Kill);
    expect_balance(&mut world, 150);
}

/// S54: no server can take the missing role: there are two censuses at most, and no role changes.
#[test]
fn a_shortage_nobody_can_mend_is_left_alone() {
    let mut world = world(|c| (c.routers, c.data) = (3, 2));
    let victim = world.place("data-0");
    world.crash(victim, Death::Kill);
    world.run_for(secs(300));
    assert_fine(&world);
    assert_eq!(counts(&world), (1, 3));
    assert!(world.seen.censuses <= 2, "{}", world.seen.censuses);
}

/// Uploads that are under way when a data node is told to become a router all end, and the songs
/// that they stored stay reachable.
#[test]
fn a_change_of_role_strands_no_upload() {
    for seed in 0..8 {
        let mut world = busy(seed);
        let victim = world.servers(Role::Router)[0];
        world.crash(victim, Death::Kill);
        world.run_for(secs(20));
        world.workload.rest();
        world.run_for(secs(60));
        assert_fine(&world);
        let open = world.workload.open().next();
        assert!(open.is_none(), "{open:?}");
        for song in world.checks.promised() {
            assert!(world.copies(song) > 0, "{song:?} is out of reach");
        }
    }
}

/// Six servers with slow disks and users who upload all the time.
fn busy(seed: u64) -> World {
    let mut climate = tests::climate::Climate::calm();
    (climate.routers, climate.data, climate.auto) = (0, 0, 6);
    (climate.clients, climate.tunes) = (4, 120);
    (climate.job, climate.act_every) = (millis(60), millis(40));
    let mut world = World::new(seed, climate);
    world.start_all();
    world.run_for(secs(12));
    world
}

/// A node that has become a data node comes back as one, however soon it dies.
#[test]
fn a_new_role_is_remembered_at_once() {
    let mut world = two_and_three();
    let victim = world.servers(Role::Data)[0];
    world.crash(victim, Death::Kill);
    let changed = |w: &World| w.seen.role_changes == 1;
    assert!(world.run_till(secs(40), changed));
    world.run_for(millis(200));
    let fresh: Vec<Place> = world.servers(Role::Data);
    for place in &fresh {
        world.crash(*place, Death::Kill);
    }
    for place in &fresh {
        world.start(*place);
    }
    world.run_for(secs(2));
    assert_eq!(world.servers(Role::Data), fresh);
}

/// Ten that join at once take the roles that ten in a row would have taken.
#[test]
fn ten_at_once_are_four_and_six() {
    for seed in 0..5 {
        let mut climate = tests::climate::Climate::calm();
        (climate.routers, climate.data, climate.auto) = (0, 0, 10);
        let mut world = World::new(seed, climate);
        world.start_all();
        world.run_for(secs(20));
        assert_fine(&world);
        assert_eq!(counts(&world), (4, 6));
        assert_eq!(world.seen.role_changes, 0);
    }
}

/// Without any DNS node, the member that admits a newcomer reserves its role.
#[test]
fn a_role_is_found_without_names() {
    let mut world = unstarted(|c| (c.routers, c.data, c.auto) = (0, 0, 5));
    world.start_all();
    world.run_for(secs(45));
    let dns = world.place("dns-0");
    world.crash(dns, Death::Kill);
    let victim = world.servers(Role::Router)[0];
    world.crash(victim, Death::Kill);
    world.run_for(secs(5));
    world.start(victim);
    world.run_for(secs(10));
    assert_eq!(world.nodes[victim].role(), Some(Role::Router));
    assert_one_ring(&world);
}
