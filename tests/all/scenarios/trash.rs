//! Songs in the trash: what a restore, a removal and the end of their time make of each other, in one
//! cluster and in halves of one.

use roles::contract::id::SongId;
use roles::contract::message::{Catalogue, Message};
use roles::contract::record::Role;
use roles::contract::trash::Fate;
use roles::contract::upkeep::Upkeep;
use roles::contract::user::Failure;
use tests::faults::Death;
use tests::resident::Place;
use tests::workload::Ended;
use tests::world::World;

use super::{assert_fine, assert_read, end, list, read, secs, upload, world};

/// Seconds for which songs stay in the trash in these worlds.
const KEEP: u64 = 60;

/// Three data nodes that compare their marks every ten seconds, and one song.
fn with_song() -> (World, SongId) {
    let mut world = world(|climate| {
        climate.data = 3;
        climate.upkeep.trash = secs(KEEP);
        climate.upkeep.anti_entropy.every = secs(10);
        climate.upkeep.anti_entropy.grace = secs(15);
    });
    let song = upload(&mut world, 0);
    (world, song)
}

fn change(world: &mut World, song: SongId, to: Fate) -> Ended {
    change_by(world, "client-0", song, to)
}

fn change_by(world: &mut World, client: &str, song: SongId, to: Fate) -> Ended {
    let client = world.place(client);
    let operation = world.change(client, song, to);
    let ended = world.end_of(client, operation, secs(60));
    assert_fine(world);
    ended.unwrap_or_else(|| panic!("{to:?} does not end"))
}

/// The songs in the trash, as the first client gets them.
fn trash(world: &mut World) -> Vec<SongId> {
    let client = world.place("client-0");
    let operation = world.list_trash(client);
    let ended = end(world, operation);
    let Ended::Trash(songs) = ended else {
        panic!("the trash is listed with {ended:?}");
    };
    songs.into_iter().map(|trashed| trashed.song.id).collect()
}

/// How many data nodes have the song, a mark that it is in the trash, and its tombstone.
fn stand(world: &World, song: SongId) -> [usize; 3] {
    let data = world.servers(Role::Data);
    let disks = || data.iter().filter_map(|p| world.nodes[*p].disk.as_ref());
    [
        disks().filter(|disk| disk.has(song)).count(),
        disks().filter(|disk| disk.mark_of(song).thrown).count(),
        disks().filter(|disk| disk.is_buried(song)).count(),
    ]
}

/// A song in the trash is in no list and cannot be read, and its copies stay; restored, it is as
/// before.
#[test]
fn a_song_comes_back_as_it_was() {
    let (mut world, song) = with_song();
    assert_eq!(change(&mut world, song, Fate::Trash), Ended::Changed(2));
    world.run_for(secs(2));
    assert_eq!((list(&mut world), trash(&mut world)), (vec![], vec![song]));
    let refused = Ended::Failed(Failure::Trashed(song));
    assert_eq!(read(&mut world, song), refused);
    assert_eq!(
        change(&mut world, song, Fate::Trash),
        refused,
        "once is enough"
    );
    assert_eq!(stand(&world, song), [3, 3, 0]);

    assert_eq!(change(&mut world, song, Fate::Here), Ended::Changed(2));
    world.run_for(secs(2));
    assert_eq!((list(&mut world), trash(&mut world)), (vec![song], vec![]));
    assert_read(&read(&mut world, song));
    world.run_for(secs(3 * KEEP));
    assert_eq!(stand(&world, song), [3, 0, 0], "it stays");
    let twice = change(&mut world, song, Fate::Here);
    assert_eq!(twice, Ended::Failed(Failure::NotInTrash));
}

/// When its time is over, the song has a tombstone on every node, and no bytes.
#[test]
fn a_song_goes_when_its_time_is_over() {
    let (mut world, song) = with_song();
    change(&mut world, song, Fate::Trash);
    world.run_for(secs(KEEP - 5));
    assert_eq!(stand(&world, song), [3, 3, 0]);
    world.run_for(secs(40));
    assert_eq!(stand(&world, song), [0, 0, 3]);
    assert_eq!((list(&mut world), trash(&mut world)), (vec![], vec![]));
}

/// Adding the same file again takes the song back.
#[test]
fn an_upload_takes_a_song_back() {
    let (mut world, song) = with_song();
    change(&mut world, song, Fate::Trash);
    world.run_for(secs(2));
    assert_eq!(upload(&mut world, 0), song);
    assert_eq!(stand(&world, song), [3, 0, 0]);
    assert_eq!(list(&mut world), [song]);
}

/// A client of an earlier version knows one removal: it goes into the trash.
#[test]
fn an_earlier_client_removes_into_the_trash() {
    let (mut world, song) = with_song();
    let songs = vec![song];
    let question = Message::Upkeep(Upkeep::Bury { songs, copy: false });
    let to = world.place("data-0");
    let answer = world.answer(to, question);
    let copies = 2;
    assert_eq!(answer, Some(Message::Upkeep(Upkeep::Buried { copies })));
    world.run_for(secs(2));
    assert_eq!(stand(&world, song), [3, 3, 0]);
}

/// A holder that was away during the restore comes back when the time of the song is over there: it
/// asks before it removes anything.
#[test]
fn a_restore_reaches_a_holder_that_was_away() {
    let (mut world, song) = with_song();
    change(&mut world, song, Fate::Trash);
    world.run_for(secs(KEEP - 10));
    let away = world.place("data-2");
    world.crash(away, Death::Kill);
    world.run_for(secs(6));
    assert_eq!(change(&mut world, song, Fate::Here), Ended::Changed(2));
    world.run_for(secs(30));
    world.start(away);
    world.run_for(secs(3 * KEEP));
    assert_eq!(stand(&world, song), [3, 0, 0]);
    assert_read(&read(&mut world, song));
}

/// While a data node is dead, a song whose time is over waits once more for it.
#[test]
fn what_is_over_waits_for_the_dead() {
    let (mut world, song) = with_song();
    change(&mut world, song, Fate::Trash);
    let away = world.place("data-2");
    world.crash(away, Death::Kill);
    world.run_for(secs(KEEP + 30));
    assert_eq!(stand(&world, song), [2, 2, 0]);
    world.run_for(secs(KEEP));
    assert_eq!(stand(&world, song), [0, 0, 2], "twice its time");
    world.start(away);
    world.run_for(secs(60));
    assert_eq!(stand(&world, song), [0, 0, 3]);
}

/// Every node that had the mark has lost its disk, and routers still have it: a restore brings the song
/// back to their lists all the same.
#[test]
fn a_restore_follows_a_mark_that_routers_alone_remember() {
    let (mut world, song) = with_song();
    let away = world.place("data-2");
    world.crash(away, Death::Kill);
    world.run_for(secs(5));
    change(&mut world, song, Fate::Trash);
    world.run_for(secs(5));
    for name in ["data-0", "data-1"] {
        let place = world.place(name);
        world.crash(place, Death::Kill);
        world.wipe(place);
    }
    for name in ["data-2", "data-0", "data-1"] {
        let place = world.place(name);
        world.start(place);
    }
    world.run_for(secs(40));
    assert_eq!(stand(&world, song), [3, 0, 0]);
    assert_eq!(trash(&mut world), [song]);

    assert_eq!(change(&mut world, song, Fate::Here), Ended::Changed(2));
    world.run_for(secs(2));
    assert_eq!((list(&mut world), trash(&mut world)), (vec![song], vec![]));
    assert_read(&read(&mut world, song));
}

/// Two halves, each with a router, a client and data nodes, one with the DNS node.
fn halves() -> (World, SongId, [Vec<Place>; 2]) {
    let mut world = world(|climate| {
        (climate.routers, climate.data, climate.clients) = (2, 4, 2);
        climate.upkeep.trash = secs(10 * KEEP);
        climate.upkeep.anti_entropy.every = secs(10);
        climate.upkeep.anti_entropy.grace = secs(15);
    });
    let song = upload(&mut world, 0);
    assert_eq!(change(&mut world, song, Fate::Trash), Ended::Changed(2));
    world.run_for(secs(15));
    for client in world.clients() {
        world.list(client);
    }
    world.run_for(secs(5));
    let places = |names: &[&str]| names.iter().map(|name| world.place(name)).collect();
    let with_dns = places(&["dns-0", "data-0", "data-1", "router-0", "client-0", "probe"]);
    let without = places(&["data-2", "data-3", "router-1", "client-1"]);
    (world, song, [with_dns, without])
}

fn each_pair(
    world: &mut World,
    [left, right]: &[Vec<Place>; 2],
    deed: fn(&mut World, Place, Place),
) {
    for a in left {
        for b in right {
            deed(world, *a, *b);
        }
    }
}

/// A restore in one half and an emptying in the other: what is removed for good stays removed.
#[test]
fn an_emptying_in_one_half_beats_a_restore_in_the_other() {
    let (mut world, song, halves) = halves();
    each_pair(&mut world, &halves, World::cut_both);
    world.run_for(secs(40));
    let restored = change_by(&mut world, "client-0", song, Fate::Here);
    assert!(matches!(restored, Ended::Changed(_)), "{restored:?}");
    let emptied = change_by(&mut world, "client-1", song, Fate::Emptied);
    assert!(matches!(emptied, Ended::Removed(_)), "{emptied:?}");
    each_pair(&mut world, &halves, World::mend_both);
    world.run_for(secs(120));
    let [has, thrown, _] = stand(&world, song);
    assert_eq!([has, thrown], [0, 0]);
    assert_eq!((list(&mut world), trash(&mut world)), (vec![], vec![]));
}

/// A restore in one half and nothing in the other: the song is back everywhere.
#[test]
fn a_restore_in_one_half_reaches_the_other() {
    let (mut world, song, halves) = halves();
    each_pair(&mut world, &halves, World::cut_both);
    world.run_for(secs(40));
    let restored = change_by(&mut world, "client-0", song, Fate::Here);
    assert!(matches!(restored, Ended::Changed(_)), "{restored:?}");
    each_pair(&mut world, &halves, World::mend_both);
    world.run_for(secs(120));
    assert_eq!(stand(&world, song), [3, 0, 0]);
    for router in world.servers(Role::Router) {
        let question = Message::Catalogue(Catalogue::ListTrash {
            prefix: None,
            after: None,
            limit: 9,
        });
        let answer = world.answer(router, question);
        let Some(Message::Catalogue(Catalogue::Trash { songs, total, .. })) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!((songs.len(), total), (0, 0));
    }
    assert_read(&read(&mut world, song));
}
