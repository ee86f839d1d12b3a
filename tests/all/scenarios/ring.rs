//! The ring: how it forms, loses members, and merges.

use std::collections::BTreeSet;

use roles::contract::member::{Epoch, Traits};
use roles::contract::message::{Audio, Message};
use roles::contract::record::Role;
use roles::contract::ring::Ring as RingMessage;
use tests::faults::Death;
use tests::resident::Place;
use tests::world::World;

use super::{assert_fine, millis, secs, unstarted};

/// A ring of `count` servers without fixed roles, formed and at rest.
pub(super) fn ring_of(count: usize) -> World {
    let mut world = unstarted(|c| (c.routers, c.data, c.auto) = (0, 0, count));
    world.start_all();
    world.run_for(secs(15));
    assert_one_ring(&world);
    world
}

pub(super) fn assert_one_ring(world: &World) {
    assert_fine(world);
    assert_eq!(world.ring_fault(), None);
}

/// All members see one ring within so many seconds.
pub(super) fn expect_one_ring(world: &mut World, seconds: u64) {
    world.run_till(secs(seconds), |world| world.ring_fault().is_none());
    assert_one_ring(world);
}

/// The running members, in the order of the ring.
pub(super) fn in_order(world: &World) -> Vec<Place> {
    let mut places = world.autos();
    places.retain(|p| world.nodes[*p].lives());
    places.sort_unstable_by_key(|p| world.nodes[*p].identity.node);
    places
}

/// The alerts in the log: each epoch, and the most members that one of its alerts had visited.
fn alerts(world: &World) -> Vec<(Epoch, usize)> {
    let mut all: Vec<(Epoch, usize)> = Vec::new();
    for (_, _, _, envelope) in world.tap.sent() {
        let Message::Ring(RingMessage::Alert { epoch, tallies, .. }) = &envelope.message else {
            continue;
        };
        match all.iter_mut().find(|(known, _)| known == epoch) {
            Some((_, visited)) => *visited = tallies.len().max(*visited),
            None => all.push((*epoch, tallies.len())),
        }
    }
    all
}

/// S5: two nodes join a ring of one at the same instant: they form one ring of three, whatever the
/// delay.
#[test]
fn two_may_join_a_ring_of_one_at_once() {
    for delay in 0..20 {
        let mut world = unstarted(|c| (c.routers, c.data, c.auto) = (0, 0, 3));
        for name in ["dns-0", "probe", "auto-0"] {
            let place = world.place(name);
            world.start(place);
        }
        world.run_for(secs(5));
        let (first, second) = (world.place("auto-1"), world.place("auto-2"));
        world.start(first);
        world.run_for(millis(delay * 7));
        world.start(second);
        expect_one_ring(&mut world, 12);
    }
}

/// S6: eight, or fifty, join at once and see one ring.
#[test]
fn many_may_join_at_once() {
    for count in [8, 50] {
        let mut world = unstarted(|c| (c.routers, c.data, c.auto) = (0, 0, count));
        world.start_all();
        expect_one_ring(&mut world, 15);
    }
}

/// S14: one node of a ring of three, four or six is killed: the others are one ring in a few
/// seconds, and one alert visits all of them.
#[test]
fn a_death_is_counted_once_by_all() {
    for count in [3, 4, 6] {
        let mut world = ring_of(count);
        world.tap.record();
        let victim = in_order(&world)[1];
        world.crash(victim, Death::Kill);
        expect_one_ring(&mut world, 4);
        world.run_for(secs(5));
        let visited = alerts(&world);
        assert_eq!(visited.len(), 1, "{visited:?}");
        assert_eq!(visited[0].1, count - 1);
    }
}

/// A ring of two becomes a ring of one, and of two again; a ring of one stays one.
#[test]
fn the_smallest_rings_stand() {
    let mut world = ring_of(1);
    world.run_for(secs(60));
    assert_one_ring(&world);
    let mut world = ring_of(2);
    let victim = in_order(&world)[0];
    world.crash(victim, Death::PowerCut);
    expect_one_ring(&mut world, 15);
    world.start(victim);
    expect_one_ring(&mut world, 12);
}

/// S15: two neighbours die at once, killed or silent.
#[test]
fn two_neighbours_may_die_at_once() {
    for death in [Death::Kill, Death::PowerCut] {
        for first in 0..5 {
            let mut world = ring_of(5);
            let order = in_order(&world);
            world.crash(order[first], death);
            world.crash(order[(first + 1) % 5], death);
            expect_one_ring(&mut world, 15);
        }
    }
}

/// S16: the manager of a census dies during the census: another member completes it.
#[test]
fn a_census_is_completed_when_its_manager_dies() {
    let mut world = ring_of(6);
    world.tap.record();
    world.faults.snares.manager = true;
    let victim = in_order(&world)[5];
    world.crash(victim, Death::Kill);
    world.run_for(secs(40));
    assert_eq!(world.seen.managers_killed, 1);
    assert_one_ring(&world);
    let about = world.nodes[victim].identity.node;
    let complete = alerts(&world)
        .iter()
        .any(|(epoch, n)| epoch.about == about && *n >= 4);
    assert!(complete, "{:?}", alerts(&world));
}

/// S21: a node that restarts before any member has missed it stays a member, under its next
/// incarnation.
#[test]
fn a_quick_restart_leaves_the_ring_whole() {
    for down in [50, 400, 1500, 2600, 4000] {
        let mut world = ring_of(5);
        let victim = in_order(&world)[2];
        world.crash(victim, Death::Kill);
        world.run_for(millis(down));
        world.start(victim);
        expect_one_ring(&mut world, 12);
    }
}

/// A machine that comes back without its disk is another node at the same address.
#[test]
fn a_lost_disk_leaves_no_ghost() {
    for down in [100, 3000, 30_000] {
        let mut world = ring_of(5);
        let victim = in_order(&world)[2];
        world.crash(victim, Death::Kill);
        world.wipe(victim);
        world.run_for(millis(down));
        world.start(victim);
        expect_one_ring(&mut world, 15);
    }
}

/// A node with a restored disk starts under an earlier incarnation: it must not stay outside the
/// ring for ever.
#[test]
fn a_disk_of_yesterday_finds_back() {
    for names in [true, false] {
        let mut world = ring_of(4);
        let victim = in_order(&world)[1];
        for _ in 0..3 {
            world.crash(victim, Death::Kill);
            world.run_for(secs(1));
            world.start(victim);
            world.run_for(secs(10));
        }
        world.crash(victim, Death::Kill);
        world.rewind(victim, 2);
        if !names {
            let dns = world.place("dns-0");
            world.crash(dns, Death::Kill);
        }
        world.run_for(secs(20));
        // A node that learns of a later start of itself ends, and its host starts it again.
        for _ in 0..4 {
            world.start(victim);
            world.run_for(secs(15));
        }
        assert_one_ring(&world);
    }
}

/// A member that says goodbye is gone at once, without an alert.
#[test]
fn a_goodbye_is_no_death() {
    let mut world = ring_of(5);
    world.tap.record();
    let leaver = in_order(&world)[2];
    world.stop(leaver);
    expect_one_ring(&mut world, 2);
    world.run_for(secs(10));
    assert_eq!(alerts(&world), []);
}

/// A freeze of less than four seconds has no consequence. After a longer one the node is called
/// dead, and is a member again soon after it thaws.
#[test]
fn a_pause_is_forgiven_or_undone() {
    for pause in [300, 2_500, 3_900, 8_000, 40_000, 120_000] {
        let mut world = ring_of(5);
        let sleeper = in_order(&world)[3];
        world.freeze(sleeper);
        world.run_for(millis(pause));
        let missed = world.seen.verdicts_on_the_living > 0;
        world.thaw(sleeper);
        expect_one_ring(&mut world, 12);
        assert_eq!(missed, pause > 7_000, "after {pause} ms");
        assert!(missed || world.seen.verdicts_on_the_living == 0);
    }
}

/// All DNS nodes are gone: a server that restarts finds the ring by the members it remembers.
#[test]
fn the_ring_is_found_without_names() {
    let mut world = ring_of(5);
    world.run_for(secs(40));
    let dns = world.place("dns-0");
    world.crash(dns, Death::Kill);
    for victim in in_order(&world) {
        world.crash(victim, Death::Kill);
        world.run_for(secs(2));
        world.start(victim);
        expect_one_ring(&mut world, 15);
    }
}

/// Every kind of nonsense is refused by every member.
#[test]
fn nonsense_is_refused() {
    let mut world = ring_of(5);
    for place in in_order(&world) {
        for kind in 0..14 {
            world.say_nonsense(place, kind);
            assert_fine(&world);
        }
    }
    world.run_for(secs(20));
    assert_one_ring(&world);
    assert_eq!(world.seen.censuses, 0);
}

/// The traffic of a ring at rest is small and does not grow with time.
#[test]
fn a_ring_at_rest_is_quiet() {
    let mut world = ring_of(5);
    let before = world.seen.ring_words;
    world.run_for(secs(100));
    let per_second = (world.seen.ring_words - before) / 500;
    assert!(per_second <= 3, "{per_second} words per node and second");
    let nodes: BTreeSet<Place> = in_order(&world).into_iter().collect();
    assert_eq!(nodes.len(), 5);
}

/// A disk that hangs marks its node as sick in every table, until its first answer.
#[test]
fn a_hanging_disk_is_seen_by_all() {
    let mut world = ring_of(5);
    let data = world.servers(Role::Data)[0];
    let node = world.nodes[data].identity.node;
    let sick = |world: &World| {
        let seen = |place: &Place| {
            let server = world.nodes[*place].resident.as_ref()?.server()?;
            let entry = server.ring()?.members().get(node)?;
            Some(entry.member.traits.has(Traits::SICK))
        };
        world
            .autos()
            .iter()
            .filter(|place| seen(place) == Some(true))
            .count()
    };
    assert_eq!(sick(&world), 0);
    world.climate.job = secs(40);
    let after = None;
    world.ask(data, Message::Audio(Audio::ListSongs { after, limit: 1 }));
    assert!(world.run_till(secs(25), |world| sick(world) == 5));
    world.climate.job = millis(1);
    assert!(world.run_till(secs(120), |world| sick(world) == 0));
    assert_one_ring(&world);
}
