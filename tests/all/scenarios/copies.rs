//! Copies are repaired, handed over, healed and removed. Seeds found several of these scenarios.

use roles::contract::id::SongId;
use roles::contract::job::FragmentId;
use roles::contract::message::{Audio, Message};
use roles::contract::node::Event;
use roles::contract::record::Role;
use roles::contract::upkeep::Upkeep;
use tests::faults::Death;
use tests::resident::{Place, State};
use tests::workload::Ended;
use tests::world::World;

use super::{assert_fine, assert_read, end, list, millis, read, secs, upload, world};

/// Seconds for which a dead node is waited for in these worlds.
const GRACE: u64 = 15;

/// A world of so many data nodes, with so many songs uploaded.
fn library(data: usize, songs: u64, drain: bool) -> (World, Vec<SongId>) {
    let mut world = world(|climate| {
        climate.data = data;
        climate.upkeep.anti_entropy.grace = secs(GRACE);
        climate.upkeep.drain = drain;
    });
    let songs = (0..songs).map(|source| upload(&mut world, source));
    let songs: Vec<SongId> = songs.collect();
    world.run_for(secs(10));
    (world, songs)
}

/// The data nodes that have a song.
fn holders(world: &World, song: SongId) -> Vec<Place> {
    let has = |place: &Place| {
        let disk = world.nodes[*place].disk.as_ref();
        disk.is_some_and(|disk| disk.has(song))
    };
    world.servers(Role::Data).into_iter().filter(has).collect()
}

fn assert_copies(world: &World, songs: &[SongId], copies: usize) {
    assert_fine(world);
    for song in songs {
        assert_eq!(holders(world, *song).len(), copies, "{song:?}");
    }
}

fn rot(world: &mut World, place: Place, song: SongId, index: u32) {
    let disk = world.nodes[place].disk.as_mut().expect("servers have one");
    assert!(disk.rot(FragmentId { song, index }));
}

fn is_sound(world: &World, place: Place, song: SongId) -> bool {
    let disk = world.nodes[place].disk.as_ref();
    disk.and_then(|disk| disk.unsound(song)) == Some(Vec::new())
}

/// S20: a data node that restarts with its disk has its songs and gets what it missed; no song has
/// a copy too many.
#[test]
fn a_node_that_restarts_gets_what_it_missed() {
    let (mut world, mut songs) = library(3, 3, false);
    let away = world.place("data-1");
    let node = world.nodes[away].identity.node;
    world.crash(away, Death::Kill);
    world.run_for(secs(4));
    songs.extend((3..6).map(|source| upload(&mut world, source)));
    world.start(away);
    world.run_for(secs(60));
    assert_eq!(world.nodes[away].identity.node, node);
    assert_copies(&world, &songs, 3);
    assert_eq!(list(&mut world).len(), 6);
}

/// S36: two of four holders die for good, one after the other: no song is lost.
#[test]
fn two_holders_die_one_after_the_other() {
    let (mut world, songs) = library(4, 8, false);
    for name in ["data-0", "data-2"] {
        let place = world.place(name);
        world.crash(place, Death::PowerCut);
        world.wipe(place);
        world.run_for(secs(GRACE + 40));
    }
    assert_copies(&world, &songs, 2);
    songs
        .iter()
        .for_each(|song| assert_read(&read(&mut world, *song)));
}

/// S39: a newcomer dies while it is being given its share, and comes back; then a node dies that
/// gives. No song is lost, and none is offered in part.
#[test]
fn a_newcomer_dies_in_the_middle() {
    let (mut world, songs) = library(3, 12, false);
    let late = world.add("data-9", tests::resident::Kind::Server(Some(Role::Data)));
    world.start(late);
    let some = |w: &World| w.nodes[late].disk.iter().flat_map(|d| d.songs()).count() > 1;
    assert!(world.run_till(secs(60), some), "the newcomer gets nothing");
    world.crash(late, Death::PowerCut);
    world.run_for(secs(5));
    world.start(late);
    world.run_for(millis(4_500));
    let giver = world.place("data-0");
    world.crash(giver, Death::Kill);
    world.run_for(secs(GRACE + 60));
    world.start(giver);
    world.run_for(secs(90));
    assert_copies(&world, &songs, 3);
    songs
        .iter()
        .for_each(|song| assert_read(&read(&mut world, *song)));
}

/// S45: the only holder of songs hands them over before it ends.
#[test]
fn the_last_holder_hands_over_first() {
    let (mut world, songs) = library(1, 4, true);
    let late = world.add("data-9", tests::resident::Kind::Server(Some(Role::Data)));
    world.start(late);
    world.run_for(secs(3));
    let leaver = world.place("data-0");
    world.stop(leaver);
    let gone = |w: &World| w.nodes[leaver].state == State::Down;
    assert!(world.run_till(secs(120), gone), "it does not end");
    world.run_for(secs(10));
    assert_copies(&world, &songs, 1);
    songs
        .iter()
        .for_each(|song| assert_read(&read(&mut world, *song)));
}

/// A disk that now and then is too busy for a job delays only the question that needed it, not the
/// whole anti-entropy round. Found by a world about the ring.
#[test]
fn a_busy_disk_does_not_keep_a_leaver() {
    let (mut world, songs) = library(2, 12, true);
    assert_copies(&world, &songs, 2);
    world.climate.busy_permille = 200;
    let leaver = world.place("data-0");
    world.stop(leaver);
    let gone = |w: &World| w.nodes[leaver].state == State::Down;
    assert!(world.run_till(secs(20), gone), "it does not end");
}

/// An owner that restarts learns of an old death as if it had just happened, so it waits for the
/// dead node, as owners do. It must not conclude that its own copy is superfluous: the others wait
/// for no node and count on that copy. Found by a world about copies.
#[test]
fn an_old_death_costs_no_copy() {
    let (mut world, songs) = library(6, 12, false);
    let dead = world.place("data-0");
    world.crash(dead, Death::Kill);
    world.run_for(secs(GRACE + 120));
    assert_copies(&world, &songs, 3);
    for name in ["data-1", "data-2", "data-3", "data-4", "data-5"] {
        let place = world.place(name);
        world.crash(place, Death::Kill);
        world.run_for(millis(200));
        world.start(place);
        for _ in 0..GRACE {
            world.run_for(secs(1));
            let fewest = songs.iter().map(|song| holders(&world, *song).len());
            assert_eq!(fewest.min(), Some(3), "after {name} came back");
        }
    }
}

/// The holder whose turn it is to send has a rotten fragment. It notices when it reads the
/// fragment, heals it and sends, long before its next scrub. Found by a world about copies.
#[test]
fn a_rotten_sender_heals_itself() {
    let (mut world, songs) = library(3, 6, false);
    let rotten = world.place("data-0");
    for song in &songs {
        rot(&mut world, rotten, *song, 0);
    }
    let dead = world.place("data-1");
    world.crash(dead, Death::Kill);
    world.wipe(dead);
    world.start(dead);
    world.run_for(secs(GRACE + 120));
    assert_copies(&world, &songs, 3);
}

/// The only good fragment is on a node that hands over and takes part in nothing else: that node is
/// asked all the same. Found by a seed.
#[test]
fn what_is_good_with_a_leaver_only_is_fetched_from_it() {
    let (mut world, songs) = library(2, 1, true);
    let (stays, leaves) = (world.place("data-0"), world.place("data-1"));
    let late = world.add("data-9", tests::resident::Kind::Server(Some(Role::Data)));
    rot(&mut world, stays, songs[0], 0);
    world.start(late);
    world.run_for(millis(1_200));
    world.stop(leaves);
    let gone = |w: &World| w.nodes[leaves].state == State::Down;
    assert!(world.run_till(secs(200), gone), "it does not end");
    world.run_for(secs(5));
    assert!(is_sound(&world, stays, songs[0]) && is_sound(&world, late, songs[0]));
}

/// Every holder of a song has lost the same fragment to rot: a leaver does not wait for copies that
/// nobody can make.
#[test]
fn what_nobody_can_read_keeps_no_leaver() {
    let (mut world, songs) = library(2, 2, true);
    let leaves = world.place("data-1");
    for holder in holders(&world, songs[0]) {
        rot(&mut world, holder, songs[0], 0);
    }
    let late = world.add("data-9", tests::resident::Kind::Server(Some(Role::Data)));
    world.start(late);
    world.run_for(millis(1_200));
    world.stop(leaves);
    let gone = |w: &World| w.nodes[leaves].state == State::Down;
    assert!(world.run_till(secs(200), gone), "it does not end");
    world.run_for(secs(60));
    assert!(is_sound(&world, late, songs[1]));
}

/// A data node that must hand over before it knows its own songs waits without a busy loop. Found
/// by a seed: it asked for the same deadline again and again.
#[test]
fn who_hands_over_too_early_waits() {
    let (mut world, _) = library(2, 2, true);
    let place = world.place("data-0");
    world.crash(place, Death::Kill);
    world.nodes[place].ailing.slow = true;
    world.start(place);
    world.run_for(millis(500));
    world.hand_event(place, Event::Stop);
    world.run_for(secs(20));
    assert_fine(&world);
}

/// A song whose only holder is gone for good can be removed: no router lists it afterwards. Found
/// by a world about copies.
#[test]
fn a_lost_song_can_be_removed() {
    let (mut world, songs) = library(1, 2, false);
    let (lost, late) = (world.place("data-0"), songs[0]);
    world.crash(lost, Death::Kill);
    world.wipe(lost);
    world.start(lost);
    world.run_for(secs(30));
    assert!(list(&mut world).contains(&late), "routers remember it");
    let client = world.place("client-0");
    let operation = world.remove(client, late);
    assert!(matches!(end(&mut world, operation), Ended::Removed(_)));
    world.run_for(secs(5));
    assert!(!list(&mut world).contains(&late));
}

/// Messages with the cluster key that cannot be true are refused, and no copy changes.
#[test]
fn no_lie_changes_a_copy() {
    let (mut world, songs) = library(3, 3, false);
    let place = world.place("data-0");
    let (view, each, after) = (0, false, None);
    let (song, unknown) = (songs[0], SongId(7));
    let lies = [
        Message::Audio(Audio::Give { song, index: 0 }),
        Message::Audio(Audio::Give { song, index: 999 }),
        Message::Audio(Audio::Give {
            song: unknown,
            index: 0,
        }),
        Message::Audio(Audio::Commit {
            song: unknown,
            copy: true,
        }),
        Message::Upkeep(Upkeep::Sums {
            view,
            chosen: vec![u64::MAX; 63],
            each,
        }),
        Message::Upkeep(Upkeep::Holdings {
            view,
            partition: 5000,
            after,
        }),
        Message::Upkeep(Upkeep::Bury {
            songs: Vec::new(),
            copy: false,
        }),
        Message::Upkeep(Upkeep::Bury {
            songs: vec![unknown; 501],
            copy: false,
        }),
    ];
    for lie in lies {
        let text = format!("{lie:?}");
        let id = world.ask_with(place, lie, vec![1; 99]);
        assert!(world.run_till(secs(5), |w| w.tap.has_answer(id)), "{text}");
        let answer = world.tap.take_answer(id).expect("it is there");
        assert!(matches!(answer, Message::Refused(_)), "{text}: {answer:?}");
    }
    // The removal of an unknown song is recorded, and touches nothing else.
    let bury = Upkeep::Bury {
        songs: vec![unknown],
        copy: false,
    };
    let answer = world.answer(place, Message::Upkeep(bury));
    assert!(
        matches!(answer, Some(Message::Upkeep(Upkeep::Buried { .. }))),
        "{answer:?}"
    );
    world.run_for(secs(70));
    assert_copies(&world, &songs, 3);
    let data = world.servers(Role::Data);
    assert!(data.iter().all(|place| is_sound(&world, *place, song)));
}
