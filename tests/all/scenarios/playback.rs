//! A song is being played when something fails.

use std::time::Duration;

use roles::contract::id::SongId;
use roles::contract::limits::GROUP_BYTES;
use roles::contract::message::{Audio, Catalogue, Envelope, Message};
use roles::contract::node::Event;
use roles::contract::user::Command;
use tests::faults::Death;
use tests::liar::Liar;
use tests::resident::{Place, Resident};
use tests::workload::Ended;
use tests::world::World;

use super::{
    assert_fine, assert_read, end, fetches, list, millis, read, secs, serving, upload, world,
};

/// A song of many fragments on two data nodes, on a network slow enough to interrupt it midway.
fn playing() -> (World, SongId, u32) {
    let mut world = world(|c| {
        (c.routers, c.data, c.tunes, c.fragments_max) = (2, 2, 12, 60);
        c.latency = millis(40);
    });
    let tune = |s: &u64| {
        world
            .music
            .tune(*s)
            .map_or(0, |t| t.manifest.fragments.len())
    };
    let source = (0..12).max_by_key(tune).expect("a dozen");
    let count = tune(&source) as u32;
    let song = upload(&mut world, source);
    assert_eq!(world.copies(song), 2);
    world.tap.record();
    (world, song, count)
}

/// Begins to read, and runs until a few fragments have come. Gives the serving node too.
fn midway(world: &mut World, song: SongId) -> (roles::contract::id::OperationId, Place) {
    let client = world.place("client-0");
    let operation = world.open(client, song);
    let before = world.seen.fragments;
    assert!(world.run_till(secs(10), |w| w.seen.fragments >= before + 8));
    let data = serving(world).expect("somebody serves");
    (operation, data)
}

fn longest_wait(ended: &Ended) -> Duration {
    let Ended::Read { longest_wait, .. } = ended else {
        panic!("the read ended with {ended:?}");
    };
    *longest_wait
}

/// S22: the serving node is killed; the rest comes from the other, and nothing comes twice.
#[test]
fn a_killed_holder_does_not_stop_the_music() {
    let (mut world, song, count) = playing();
    let (operation, data) = midway(&mut world, song);
    world.crash(data, Death::Kill);
    let ended = end(&mut world, operation);
    assert!(longest_wait(&ended) < secs(2), "{ended:?}");
    let again = fetches(&world).saturating_sub(count as usize);
    assert!(again <= 9, "{again} fragments were asked for again");
}

/// S23: the serving node freezes; the wait is shorter than the music that was read ahead.
#[test]
fn a_frozen_holder_does_not_stop_the_music() {
    let (mut world, song, _) = playing();
    let (operation, data) = midway(&mut world, song);
    world.freeze(data);
    let ended = end(&mut world, operation);
    assert!(longest_wait(&ended) < secs(10), "{ended:?}");
}

/// S23: the serving node loses power; the wait is just as short.
#[test]
fn a_dark_holder_does_not_stop_the_music() {
    let (mut world, song, _) = playing();
    let (operation, data) = midway(&mut world, song);
    world.crash(data, Death::PowerCut);
    let ended = end(&mut world, operation);
    assert!(longest_wait(&ended) < secs(10), "{ended:?}");
}

/// S24: the router is not needed once the song is open.
#[test]
fn killed_routers_do_not_stop_the_music() {
    let (mut world, song, _) = playing();
    let (operation, _) = midway(&mut world, song);
    for router in ["router-0", "router-1"] {
        let router = world.place(router);
        world.crash(router, Death::Kill);
    }
    let ended = end(&mut world, operation);
    assert!(longest_wait(&ended) < secs(1), "{ended:?}");
}

/// No router is left: the data nodes lead the client to a holder. So a song can be opened as long
/// as any node that keeps it lives.
#[test]
fn a_song_opens_without_any_router() {
    let (mut world, song, _) = playing();
    for router in ["router-0", "router-1"] {
        let router = world.place(router);
        world.crash(router, Death::Kill);
    }
    world.run_for(secs(1));
    empty_cache(&mut world);
    let ended = read(&mut world, song);
    assert!(longest_wait(&ended) < secs(8), "{ended:?}");
}

fn empty_cache(world: &mut World) {
    let client = world.place("client-0");
    world.nodes[client].machine.clear();
}

/// A router that has just started has heard of no song yet, here because no announcement reaches
/// it. It finds the song through the data nodes.
#[test]
fn a_router_plays_a_song_as_soon_as_it_runs() {
    let (mut world, song, _) = playing();
    let routers = ["router-0", "router-1"].map(|name| world.place(name));
    for router in routers {
        world.crash(router, Death::Kill);
    }
    empty_cache(&mut world);
    let deaf = |inner| -> Box<dyn Resident> {
        let hear = |envelope: &Envelope| {
            let Message::Catalogue(Catalogue::Announce(news)) = &envelope.message else {
                return None;
            };
            let (store, revision) = (news.store, 0);
            Some(Message::Catalogue(Catalogue::Announced { store, revision }))
        };
        Box::new(Liar::new(inner).hearing(hear))
    };
    world.wrap(routers[0], Box::new(deaf));
    world.start(routers[0]);
    world.run_for(secs(1));
    let ended = read(&mut world, song);
    assert!(longest_wait(&ended) < secs(2), "{ended:?}");
}

/// S25: the DNS is not needed once the song is open.
#[test]
fn a_killed_dns_does_not_stop_the_music() {
    let (mut world, song, _) = playing();
    let (operation, _) = midway(&mut world, song);
    let dns = world.place("dns-0");
    world.crash(dns, Death::Kill);
    assert!(longest_wait(&end(&mut world, operation)) < secs(1));
}

/// S26: a client that stops asks for no more fragments; what has come is not fetched again.
#[test]
fn stopping_stops_and_playing_resumes() {
    let (mut world, song, count) = playing();
    let (operation, _) = midway(&mut world, song);
    let client = world.place("client-0");
    world.workload.give_up(client, operation);
    let start = world.nodes[client].start;
    world.command(client, start, Command::Close { operation });
    world.tap.clear();
    world.run_for(secs(5));
    assert_eq!(fetches(&world), 0);
    let Ended::Read {
        cached, fetched, ..
    } = read(&mut world, song)
    else {
        panic!("it is read");
    };
    assert!(cached >= 8 && cached + fetched == count);
}

/// S27: a client that vanishes in the middle of a fragment leaves no work behind.
#[test]
fn a_vanished_client_costs_nothing() {
    let (mut world, song, _) = playing();
    let (_, data) = midway(&mut world, song);
    let client = world.place("client-0");
    world.crash(client, Death::Kill);
    world.run_for(secs(1));
    let guest =
        |peer: roles::contract::node::Peer| matches!(peer, roles::contract::node::Peer::Guest(_));
    assert!(!world.nodes[data].peers.peers().any(guest));
    world.tap.clear();
    world.run_for(secs(2));
    let chunk = |m: &Message| matches!(m, Message::Audio(Audio::Chunk { .. }));
    assert!(
        !world
            .tap
            .sent()
            .iter()
            .any(|(_, _, _, envelope)| chunk(&envelope.message))
    );
}

/// Whoever needs the middle of a file alone gets the groups that it lies in, not whole fragments; what
/// a holder alters in them is noticed as in a whole one.
#[test]
fn a_part_of_a_fragment_costs_its_groups() {
    let (mut world, ..) = playing();
    let lengths = [900_000, 300_000];
    let mut rng = roles::contract::rng::Rng::from_seed(7);
    let source = world.music.add(&mut rng, &lengths);
    let song = upload(&mut world, source);
    let client = world.place("client-0");
    world.tap.clear();
    let mut parts = 0;
    // Every third read needs the second quarter of the file.
    for _ in 0..3 {
        world.nodes[client].machine.clear();
        assert_read(&read(&mut world, song));
    }
    for (_, _, _, envelope) in world.tap.sent() {
        if let Message::Audio(Audio::ChunkPart { index, .. }) = envelope.message {
            assert_eq!(index, 0);
            assert!(envelope.body.len() <= 300_000 + 2 * GROUP_BYTES);
            assert!(envelope.body.len() >= 300_000);
            parts += 1;
        }
    }
    // One that is late is asked for at a second holder, too.
    assert!((1..=2).contains(&parts), "{parts}");
}

/// S31: a cached fragment that was altered or cut is noticed and fetched again.
#[test]
fn a_spoilt_cache_is_noticed() {
    let (mut world, song, _) = playing();
    assert_read(&read(&mut world, song));
    let client = world.place("client-0");
    for _ in 0..5 {
        let spoilt = world.nodes[client]
            .machine
            .spoil(&mut roles::contract::rng::Rng::from_seed(3));
        assert!(spoilt);
    }
    let Ended::Read { fetched, .. } = read(&mut world, song) else {
        panic!("it is read");
    };
    assert!(fetched >= 1, "the spoilt fragment came from a data node");
}

/// S32: a song that was played once is played again from the cache, without any question.
#[test]
fn a_cached_song_asks_nobody() {
    let (mut world, song, count) = playing();
    assert_read(&read(&mut world, song));
    world.tap.clear();
    let begun = world.now;
    let Ended::Read { cached, .. } = read(&mut world, song) else {
        panic!("it is read");
    };
    assert_eq!(cached, count);
    assert!(
        world.now - begun < millis(200),
        "fragment by fragment, from this disk"
    );
    let client = world.place("client-0");
    assert!(
        !world
            .tap
            .sent()
            .iter()
            .any(|(_, place, _, _)| *place == client)
    );
}

/// S55: hundreds of short connections leave nothing behind.
#[test]
fn short_connections_leave_nothing_behind() {
    let mut world = world(|_| ());
    upload(&mut world, 0);
    let client = world.place("client-0");
    for _ in 0..500 {
        list(&mut world);
        world.crash(client, Death::Kill);
        world.start(client);
    }
    world.run_for(secs(5));
    for slot in &world.nodes {
        assert!(
            slot.peers.peers().len() < 10,
            "{} has {}",
            slot.name,
            slot.peers.peers().len()
        );
        assert!(slot.jobs.is_empty());
    }
    assert_fine(&world);
}

/// A server that is asked to stop says goodbye: its records are gone at once.
#[test]
fn a_stopped_server_leaves_the_names_at_once() {
    let mut world = world(|_| ());
    let data = world.place("data-1");
    world.hand_event(data, Event::Stop);
    world.run_for(secs(1));
    let records = super::resolve(&mut world, "dns-0", roles::contract::record::Role::Data);
    assert_eq!(records.len(), 1);
    assert!(!world.nodes[data].lives());
}
