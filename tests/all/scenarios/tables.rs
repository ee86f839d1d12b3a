//! Tables that rot: what a node cannot read it does not announce, and it has its songs back soon.

use roles::contract::id::SongId;
use roles::contract::message::{Catalogue, Message, NodeState, Status};
use roles::contract::record::Role;
use tests::faults::Death;
use tests::resident::Place;
use tests::world::World;

use super::{assert_fine, assert_read, list, read, secs, upload, world};

/// Songs in these worlds.
const SONGS: u64 = 8;

/// So many data nodes with a copy of each song.
fn library(data: usize) -> (World, Vec<SongId>) {
    let mut world = world(|climate| {
        climate.data = data;
        climate.upkeep.anti_entropy.every = secs(10);
        climate.upkeep.anti_entropy.scrub = secs(40);
    });
    let songs = (0..SONGS).map(|source| upload(&mut world, source));
    let songs = songs.collect();
    world.run_for(secs(10));
    (world, songs)
}

fn status(world: &mut World) -> Status {
    let router = world.servers(Role::Router)[0];
    let inspect = Message::Catalogue(Catalogue::Inspect);
    match world.answer(router, inspect) {
        Some(Message::Catalogue(Catalogue::Status(status))) => status,
        other => panic!("no status: {other:?}"),
    }
}

/// The state of a node, its damage, and the copies that are missing in all, as the router sees them.
fn told(world: &mut World, place: Place) -> (NodeState, u32, u64) {
    let node = world.nodes[place].identity.node;
    let status = status(world);
    let line = status.nodes.iter().find(|line| line.node == node);
    let line = line.expect("the router knows it");
    (line.state, line.damaged, status.copies_missing)
}

fn is_sound(world: &World, place: Place, song: SongId) -> bool {
    let disk = world.nodes[place].disk.as_ref();
    disk.and_then(|disk| disk.unsound(song)) == Some(Vec::new())
}

fn wreck(world: &mut World, place: Place, bare: bool) {
    world.wreck(place, bare);
    assert!(
        !world.nodes[place]
            .disk
            .as_ref()
            .expect("one")
            .songs()
            .any(|song| is_sound(world, place, song))
    );
}

/// The other data nodes die, and each song is read.
fn read_all_from(world: &mut World, place: Place, songs: &[SongId]) {
    for other in world.servers(Role::Data) {
        if other != place {
            world.crash(other, Death::Kill);
        }
    }
    world.run_for(secs(20));
    for song in songs {
        assert_read(&read(world, *song));
    }
    assert_fine(world);
}

/// The attack: the roots of the tables of one of three disks are spoilt, and nothing can be read. The
/// node says that it is sick, its copies are missing, and then it has them again.
#[test]
fn a_library_that_cannot_be_read_is_told_and_filled_again() {
    let (mut world, songs) = library(3);
    let place = world.place("data-1");
    wreck(&mut world, place, true);
    let mut seen = (false, false);
    for _ in 0..120 {
        world.run_for(secs(1) / 2);
        let (state, _, missing) = told(&mut world, place);
        seen = (seen.0 || state == NodeState::Sick, seen.1 || missing > 0);
    }
    assert_eq!(seen, (true, true), "sick, copies missing");
    assert_eq!(told(&mut world, place), (NodeState::Alive, 0, 0));
    assert!(songs.iter().all(|song| is_sound(&world, place, *song)));
    read_all_from(&mut world, place, &songs);
}

/// A node that is alone takes out of its damaged library what can be read, and loses nothing.
#[test]
fn a_library_that_is_damaged_in_part_is_salvaged() {
    let (mut world, songs) = library(1);
    let place = world.place("data-0");
    wreck(&mut world, place, false);
    world.run_for(secs(60));
    assert!(songs.iter().all(|song| is_sound(&world, place, *song)));
    let listed = list(&mut world);
    assert_eq!(listed.len(), songs.len());
    for song in &songs {
        assert_read(&read(&mut world, *song));
    }
    assert_fine(&world);
}

/// A node whose library was spoilt while it was away, or while it is being mended, starts and mends it.
#[test]
fn a_node_starts_on_a_library_that_cannot_be_read() {
    let (mut world, songs) = library(3);
    let place = world.place("data-2");
    for bare in [false, true] {
        world.crash(place, Death::Kill);
        wreck(&mut world, place, bare);
        world.start(place);
        world.run_for(secs(3));
        world.crash(place, Death::PowerCut);
        world.start(place);
        world.run_for(secs(100));
        assert!(
            songs.iter().all(|song| is_sound(&world, place, *song)),
            "{bare}"
        );
    }
    assert_eq!(told(&mut world, place), (NodeState::Alive, 0, 0));
    read_all_from(&mut world, place, &songs);
}

/// Tables of a song that were altered: the song is withdrawn, counts as damaged, and comes back. No
/// node is accused of it.
#[test]
fn a_song_whose_tables_were_altered_is_withdrawn_and_comes_back() {
    let (mut world, songs) = library(3);
    let place = world.place("data-0");
    let disk = world.nodes[place].disk.as_mut().expect("servers have one");
    assert!(disk.alter(songs[0]) && disk.alter(songs[5]));
    let withdrawn = |world: &World| {
        let disk = world.nodes[place].disk.as_ref();
        disk.is_some_and(|disk| !disk.has(songs[0]) || !disk.has(songs[5]))
    };
    assert!(
        world.run_till(secs(60), withdrawn),
        "they are not withdrawn"
    );
    world.run_for(secs(1));
    let (state, damaged, missing) = told(&mut world, place);
    assert_eq!(state, NodeState::Alive);
    assert!(damaged > 0 && missing > 0, "{damaged} {missing}");
    world.run_for(secs(90));
    assert_eq!(told(&mut world, place), (NodeState::Alive, 0, 0));
    let facts = world.workload.facts().iter();
    let doubts = facts
        .filter(|(_, text)| text.starts_with("doubt: "))
        .count();
    assert_eq!(doubts, 0);
    read_all_from(&mut world, place, &songs);
}

/// A node that is alone takes a song into its list again whose sound proves it.
#[test]
fn an_altered_song_without_another_copy_comes_back() {
    let (mut world, songs) = library(1);
    let place = world.place("data-0");
    let disk = world.nodes[place].disk.as_mut().expect("servers have one");
    assert!(disk.alter(songs[2]));
    let gone = |world: &World| {
        !world.nodes[place]
            .disk
            .as_ref()
            .is_some_and(|disk| disk.has(songs[2]))
    };
    assert!(world.run_till(secs(60), gone), "it is not withdrawn");
    world.run_for(secs(30));
    assert_read(&read(&mut world, songs[2]));
    assert_eq!(told(&mut world, place), (NodeState::Alive, 0, 0));
    assert_fine(&world);
}

/// A song whose tables were altered is not described to a listener, who reads it from another holder.
#[test]
fn an_altered_manifest_reaches_nobody() {
    let (mut world, songs) = library(3);
    for name in ["data-0", "data-1"] {
        let place = world.place(name);
        let disk = world.nodes[place].disk.as_mut().expect("servers have one");
        songs.iter().for_each(|song| assert!(disk.alter(*song)));
    }
    for song in &songs {
        assert_read(&read(&mut world, *song));
    }
    assert_fine(&world);
}
