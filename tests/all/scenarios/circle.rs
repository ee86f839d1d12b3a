//! The Chord circle: look-ups find the owners of songs, whichever data node they begin at.

use std::collections::VecDeque;

use roles::chord::HOPS_MAX;
use roles::contract::chord::Chord as ChordMessage;
use roles::contract::id::{NodeId, SongId};
use roles::contract::limits::COPIES;
use roles::contract::message::{Envelope, Message};
use roles::contract::partition::Partition;
use roles::contract::record::Role;
use roles::hash_ring::HashRing;
use roles::mutants::{ChordMutant, ChordMutants};
use tests::faults::Death;
use tests::liar::Liar;
use tests::resident::{Resident, State};
use tests::world::World;

use super::{assert_fine, secs, unstarted};

/// Song ids spread evenly over the circle.
fn songs() -> impl Iterator<Item = SongId> {
    (0..16).map(|number| SongId(number << 124 | u128::MAX >> 5))
}

/// Every data node finds the same owners for each song.
fn assert_found(world: &mut World) {
    let data = world.servers(Role::Data);
    let ids: Vec<NodeId> = data.iter().map(|p| world.nodes[*p].identity.node).collect();
    let points = HashRing::of(ids.iter().map(|node| (*node, 1)));
    for place in data {
        for song in songs() {
            let owners = points.owners(Partition::of(song), COPIES);
            assert_eq!(world.look_up(place, song), Some(owners), "{song:?}");
        }
    }
    assert_fine(world);
}

/// S33: data nodes start at once or up to ten seconds apart; three rounds after the last start,
/// every song is found. The original found 62 % after four minutes.
#[test]
fn look_ups_are_right_soon_after_the_last_has_joined() {
    for (count, gap) in [(4, 0), (4, 1), (4, 3), (4, 10), (8, 0), (8, 2)] {
        let mut world = unstarted(|c| c.data = count);
        for name in ["dns-0", "router-0", "probe"] {
            let place = world.place(name);
            world.start(place);
        }
        world.run_for(secs(5));
        for number in 0..count {
            let place = world.place(&format!("data-{number}"));
            world.start(place);
            world.run_for(secs(gap));
        }
        world.run_till(secs(10), |world| world.workload.ready().len() >= count + 2);
        world.run_for(secs(3));
        assert_eq!(world.servers(Role::Data).len(), count);
        assert_found(&mut world);
        world.run_till(secs(12), |world| world.circle_fault().is_none());
        assert_eq!(world.circle_fault(), None, "{count} nodes, {gap} s apart");
    }
}

/// S35: two machines have a copy of one disk: the second one says so and ends. It learns of the
/// first from the DNS, or from the ring when the DNS has just started and knows no node. The
/// original kept both silently.
#[test]
fn one_id_is_one_node() {
    for dns_knows in [true, false] {
        let mut world = unstarted(|c| c.data = 5);
        let (one, other) = (world.place("data-0"), world.place("data-1"));
        world.impersonate(other, one);
        for name in [
            "dns-0", "router-0", "probe", "data-2", "data-3", "data-4", "data-0",
        ] {
            let place = world.place(name);
            world.start(place);
        }
        world.run_for(secs(10));
        if !dns_knows {
            let dns = world.place("dns-0");
            world.crash(dns, Death::Kill);
            world.start(dns);
        }
        world.start(other);
        let ended = |world: &World| world.nodes[other].state == State::Down;
        assert!(
            world.run_till(secs(10), ended),
            "a DNS node knows: {dns_knows}"
        );
        world.run_for(secs(10));
        // A DNS node that knows only the second machine tells the first one the same, so the first
        // may end as well.
        assert!(!dns_knows || world.nodes[one].state == State::Up);
        assert_eq!(world.circle_fault(), None);
        assert_fine(&world);
    }
}

/// Two machines have a copy of one disk, and the second one is started until its number is the
/// higher one. The peers of the first machine then close their connections with it and say why, so
/// that it ends at once instead of dialling nodes that all refuse it.
#[test]
fn the_earlier_of_two_starts_is_told_by_its_peers() {
    let mut world = unstarted(|c| c.data = 3);
    let (one, other) = (world.place("data-0"), world.place("data-1"));
    world.impersonate(other, one);
    for name in ["dns-0", "router-0", "probe", "data-2", "data-0"] {
        let place = world.place(name);
        world.start(place);
    }
    world.run_for(secs(10));
    for _ in 0..2 {
        world.start(other);
        world.crash(other, Death::Kill);
    }
    world.trace.lines = Some(VecDeque::new());
    world.start(other);
    world.run_till(secs(5), |world| world.nodes[one].state == State::Down);

    let lines = world.trace.lines.take().unwrap_or_default();
    let told = |line: &String| line.contains("data-0") && line.contains("why: Outdated");
    assert!(lines.iter().any(told), "{lines:#?}");
    assert_eq!(world.nodes[one].state, State::Down);
}

/// Answers a look-up with the next four of `names` and never as the owner.
fn lead_round(envelope: &mut Envelope, names: &mut [NodeId]) {
    if let Message::Chord(ChordMessage::Found { .. } | ChordMessage::Closer { .. }) =
        envelope.message
    {
        names.rotate_left(4);
        let nodes = names[..4].to_vec();
        envelope.message = Message::Chord(ChordMessage::Closer { nodes });
    }
}

/// S44: in a circle of forty where every node sends look-ups on, a look-up ends without a result.
#[test]
fn a_look_up_that_is_led_round_ends() {
    let mut world = unstarted(|c| c.data = 40);
    let data: Vec<usize> = (0..40).map(|n| world.place(&format!("data-{n}"))).collect();
    let names: Vec<NodeId> = data.iter().map(|p| world.nodes[*p].identity.node).collect();
    for (number, place) in data.into_iter().enumerate() {
        let mut names = names.clone();
        names.rotate_left(number * 7 % 40);
        let lie = move |inner| -> Box<dyn Resident> {
            let mut names = names.clone();
            Box::new(Liar::new(inner).saying(move |envelope| lead_round(envelope, &mut names)))
        };
        world.wrap(place, Box::new(lie));
    }
    world.start_all();
    world.run_for(secs(20));
    let place = world.place("data-0");
    let searched = world.search(place, SongId(7), ChordMutants::default());
    assert_eq!((searched.owners, searched.asked), (None, HOPS_MAX));
    let endless = ChordMutants::only(ChordMutant::NoHopLimit);
    assert!(world.search(place, SongId(7), endless).asked > HOPS_MAX);
}

/// S44: half of eight die at once, and no node knows it yet. Look-ups fail or find, but they end;
/// they find again after the ring's verdicts.
#[test]
fn look_ups_among_the_dead_end() {
    let mut world = unstarted(|c| c.data = 8);
    world.start_all();
    world.run_for(secs(20));
    assert_eq!(world.circle_fault(), None);
    for number in 0..4 {
        let place = world.place(&format!("data-{number}"));
        world.crash(place, Death::Kill);
    }
    for place in world.servers(Role::Data) {
        for song in songs().take(4) {
            let searched = world.search(place, song, ChordMutants::default());
            assert!(searched.asked <= 8, "{searched:?}");
        }
    }
    world.run_for(secs(10));
    assert_found(&mut world);
}

/// A data node restarts before any member has missed it. It has forgotten its neighbours on the
/// circle, and they have no other reason to tell it.
#[test]
fn who_comes_back_at_once_has_its_place_again() {
    let mut world = unstarted(|c| c.data = 6);
    world.start_all();
    world.run_for(secs(20));
    let place = world.place("data-3");
    world.crash(place, Death::Kill);
    world.start(place);
    world.run_for(secs(12));
    assert_eq!(world.circle_fault(), None);
    assert_fine(&world);
}

/// Half a minute after the last change the circle causes no wake-ups of its own: each node asks its
/// successor once a minute, with a tick that comes anyway.
#[test]
fn a_circle_at_rest_wakes_nobody() {
    let mut world = unstarted(|c| c.data = 6);
    world.start_all();
    world.run_for(secs(40));
    world.tap.record();
    for _ in 0..60 {
        world.run_for(secs(1));
        for place in world.servers(Role::Data) {
            let server = world.nodes[place].resident.as_ref();
            let chord = server.and_then(|resident| resident.server()?.chord());
            let deadline = chord.and_then(|chord| chord.deadline());
            assert!(
                deadline.is_none_or(|at| at > world.now + secs(1)),
                "{deadline:?}"
            );
        }
    }
    let asked = (world.tap.sent().iter()).filter(|(_, _, _, envelope)| {
        matches!(
            envelope.message,
            Message::Chord(ChordMessage::Neighbours { .. } | ChordMessage::Notify)
        )
    });
    let asked = asked.count();
    assert!((6..=12).contains(&asked), "{asked} questions of six nodes");
}
