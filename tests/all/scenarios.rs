//! The failures of the original program, one by one: the test's name is the claim, and the numbers
//! are those of the reference.

mod anomalies;
mod balance;
mod circle;
mod copies;
mod death;
mod names;
mod partition;
mod playback;
mod ring;

mod startup;
mod storage;
mod tables;
mod trash;

use std::time::Duration;

use roles::contract::id::{OperationId, SongId};
use roles::contract::message::{Audio, Message, Names};
use roles::contract::record::{Record, Role};
use tests::climate::Climate;
use tests::resident::Place;
use tests::workload::Ended;
use tests::world::World;

/// A world without faults, ten seconds after its start, whose users do only what the test says.
fn world(change: impl FnOnce(&mut Climate)) -> World {
    let mut world = unstarted(change);
    world.start_all();
    world.run_for(secs(10));
    assert_fine(&world);
    world
}

fn unstarted(change: impl FnOnce(&mut Climate)) -> World {
    let mut climate = Climate::calm();
    change(&mut climate);
    let mut world = World::new(1, climate);
    world.workload.keep_results();
    world
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn assert_fine(world: &World) {
    if let Some(violation) = &world.violation {
        panic!("{violation}");
    }
}

/// Uploads a file and waits for its copies.
fn upload(world: &mut World, source: u64) -> SongId {
    let client = world.place("client-0");
    let operation = world.upload(client, source);
    let ended = end(world, operation);
    let Ended::Uploaded { song, .. } = ended else {
        panic!("the upload ended with {ended:?}");
    };
    world.run_for(secs(5));
    song
}

fn end(world: &mut World, operation: OperationId) -> Ended {
    let client = world.place("client-0");
    let ended = world.end_of(client, operation, secs(60));
    assert_fine(world);
    ended.unwrap_or_else(|| panic!("{operation:?} does not end"))
}

/// Reads a whole song with the first client.
fn read(world: &mut World, song: SongId) -> Ended {
    let client = world.place("client-0");
    let operation = world.open(client, song);
    end(world, operation)
}

fn assert_read(ended: &Ended) {
    assert!(matches!(ended, Ended::Read { .. }), "{ended:?}");
}

/// The songs in the list that the first client gets.
fn list(world: &mut World) -> Vec<SongId> {
    let client = world.place("client-0");
    let operation = world.list(client);
    let ended = end(world, operation);
    let Ended::Songs(songs) = ended else {
        panic!("the list ended with {ended:?}");
    };
    songs.into_iter().map(|listed| listed.song.id).collect()
}

/// The records of a role that a DNS node gives.
fn resolve(world: &mut World, dns: &str, role: Role) -> Vec<Record> {
    let dns = world.place(dns);
    match world.answer(dns, Message::Names(Names::Resolve { role })) {
        Some(Message::Names(Names::Records { records, .. })) => records,
        other => panic!("the DNS says {other:?}"),
    }
}

/// How many fragments were asked for since logging began.
fn fetches(world: &World) -> usize {
    let fetch = |message: &Message| matches!(message, Message::Audio(Audio::Fetch { .. }));
    (world.tap.sent().iter())
        .filter(|(_, _, _, envelope)| fetch(&envelope.message))
        .count()
}

/// The data node that was last asked for a fragment.
fn serving(world: &World) -> Option<Place> {
    let fetched = world
        .tap
        .sent()
        .iter()
        .rev()
        .find_map(|(_, _, to, envelope)| {
            matches!(envelope.message, Message::Audio(Audio::Fetch { .. })).then_some(*to)
        })?;
    let at = |slot: &tests::resident::Slot| {
        slot.address.map(roles::contract::node::Peer::Node) == Some(fetched)
    };
    world.nodes.iter().position(at)
}
