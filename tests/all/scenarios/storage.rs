//! Uploads, and the songs that are stored afterwards.

use std::time::Duration;

use roles::contract::id::SongId;
use roles::contract::job::{Job, LibraryJob};
use roles::contract::message::Refusal;
use roles::contract::user::Failure;
use tests::faults::Death;
use tests::resident::Slot;
use tests::workload::Ended;
use tests::world::World;

use super::{assert_fine, assert_read, end, list, millis, read, secs, unstarted, upload, world};

/// S34: a second data node with songs of its own joins: the cluster has all songs of both.
#[test]
fn two_libraries_are_one() {
    let mut world = unstarted(|_| ());
    for name in ["dns-0", "router-0", "data-0", "client-0", "probe"] {
        let place = world.place(name);
        world.start(place);
    }
    world.run_for(secs(8));
    let first = upload(&mut world, 0);
    let (one, other) = (world.place("data-0"), world.place("data-1"));
    world.crash(one, Death::Kill);
    world.start(other);
    world.run_for(secs(40));
    let second = upload(&mut world, 1);
    world.start(one);
    world.run_for(secs(10));
    let mut both = [first, second];
    both.sort_unstable();
    let mut listed = list(&mut world);
    listed.sort_unstable();
    assert_eq!(listed, both);
    both.iter()
        .for_each(|song| assert_read(&read(&mut world, *song)));
}

/// S37: the node that took the upload dies, disk included, at the moment of its answer.
#[test]
fn an_acknowledged_song_survives_its_owner() {
    let mut world = world(|c| c.data = 3);
    let client = world.place("client-0");
    let operation = world.upload(client, 0);
    let ended = end(&mut world, operation);
    let Ended::Uploaded {
        song, copies: 2, ..
    } = ended
    else {
        panic!("not two copies: {ended:?}");
    };
    let data = ["data-0", "data-1", "data-2"].map(|name| world.place(name));
    let holds = |w: &World, place: usize, song: SongId| {
        w.nodes[place]
            .disk
            .as_ref()
            .is_some_and(|disk| disk.songs().any(|s| s == song))
    };
    let owner = data.into_iter().find(|place| holds(&world, *place, song));
    let owner = owner.expect("somebody has it");
    world.crash(owner, Death::PowerCut);
    world.wipe(owner);
    world.run_for(secs(20));
    assert_read(&read(&mut world, song));
}

fn long_upload() -> (World, u64) {
    let world = world(|c| {
        (c.data, c.fragments_max, c.latency) = (3, 60, millis(40));
        c.park = 2;
    });
    let tune = |s: &u64| {
        world
            .music
            .tune(*s)
            .map_or(0, |t| t.manifest.fragments.len())
    };
    let source = (0..12).max_by_key(tune).expect("a dozen");
    (world, source)
}

/// Runs until a few fragments have arrived; gives the node that takes the song.
fn midway(world: &mut World) -> usize {
    let taken = |w: &World| {
        let keeps = |slot: &tests::resident::Slot| {
            slot.jobs.values().any(|job| {
                matches!(
                    job.work,
                    Job::Library(LibraryJob::KeepFragment { index: 5.., .. })
                )
            })
        };
        w.nodes.iter().position(keeps)
    };
    assert!(world.run_till(secs(10), |w| taken(w).is_some()));
    taken(world).expect("found")
}

/// S38: the accepting node dies in the middle: the next owner takes the song, and no partial song
/// is listed.
#[test]
fn an_upload_goes_on_at_the_next_owner() {
    for death in [Death::Kill, Death::PowerCut] {
        let (mut world, source) = long_upload();
        let client = world.place("client-0");
        let operation = world.upload(client, source);
        let owner = midway(&mut world);
        world.crash(owner, death);
        assert_eq!(list(&mut world), []);
        let ended = end(&mut world, operation);
        assert!(
            matches!(ended, Ended::Uploaded { .. }),
            "{death:?}: {ended:?}"
        );
    }
}

/// S38: the client dies in the middle: nothing is listed, and a second attempt succeeds.
#[test]
fn an_upload_cut_short_is_taken_up_again() {
    let (mut world, source) = long_upload();
    let client = world.place("client-0");
    world.upload(client, source);
    midway(&mut world);
    world.crash(client, Death::Kill);
    world.run_for(secs(5));
    world.start(client);
    assert_eq!(list(&mut world), []);
    let song = upload(&mut world, source);
    assert_eq!(list(&mut world), [song]);
    assert_read(&read(&mut world, song));
}

fn commits(work: &Job) -> bool {
    matches!(work, Job::Library(LibraryJob::CommitUpload { .. }))
}

/// S40: a data node is killed at a hundred moments around a commit: its disk has the whole song or
/// none of it.
#[test]
fn a_commit_is_whole_or_nothing() {
    let mut whole = 0;
    for moment in 0..100 {
        let mut world = unstarted(|c| {
            (c.data, c.tunes, c.fragments_max) = (1, 1, 3);
            c.power_cuts = true;
        });
        world.start_all();
        world.run_for(secs(3));
        let client = world.place("client-0");
        world.upload(client, 0);
        let begun = |w: &World| {
            let jobs = |slot: &Slot| slot.jobs.values().any(|job| commits(&job.work));
            w.nodes.iter().any(jobs)
        };
        assert!(world.run_till(secs(5), begun));
        world.run_for(Duration::from_micros(100) * moment);
        let data = world.place("data-0");
        world.crash(data, Death::PowerCut);
        let song = world.music.tune(0).expect("one").id();
        let disk = world.nodes[data].disk.as_mut().expect("it has one");
        if disk.songs().any(|s| s == song) {
            assert!(disk.holds(song, &world.music));
            whole += 1;
        }
        assert_fine(&world);
    }
    assert!((1..100).contains(&whole), "{whole} of 100 were whole");
}

/// S41: a data node with a full disk refuses the upload, gives the reason, and goes on serving.
#[test]
fn a_full_disk_refuses_and_serves() {
    let mut world = world(|c| c.data = 1);
    let song = upload(&mut world, 0);
    let data = world.place("data-0");
    world.fill_disk(data, true);
    let client = world.place("client-0");
    let operation = world.upload(client, 1);
    let refused = Ended::Failed(Failure::Refused(Refusal::DiskFull));
    assert_eq!(end(&mut world, operation), refused);
    assert_read(&read(&mut world, song));
    world.fill_disk(data, false);
    upload(&mut world, 1);
    assert_eq!(list(&mut world).len(), 2);
}

/// S41: a disk becomes full in the middle of an upload: the upload fails, and nothing of it keeps
/// room.
#[test]
fn a_failed_upload_gives_its_room_back() {
    let (mut world, source) = long_upload();
    let client = world.place("client-0");
    let operation = world.upload(client, source);
    midway(&mut world);
    let data: Vec<_> = (0..world.nodes.len())
        .filter(|place| world.nodes[*place].disk.is_some())
        .collect();
    let staged = |w: &World| {
        let disks = w.nodes.iter().filter_map(|slot| slot.disk.as_ref());
        disks.map(|disk| disk.staged().count()).sum::<usize>()
    };
    assert_eq!(staged(&world), 1);
    data.iter().for_each(|place| world.fill_disk(*place, true));
    let refused = Ended::Failed(Failure::Refused(Refusal::DiskFull));
    assert_eq!(end(&mut world, operation), refused);
    world.run_for(secs(1));
    assert_eq!(staged(&world), 0);

    data.iter().for_each(|place| world.fill_disk(*place, false));
    let song = upload(&mut world, source);
    assert_read(&read(&mut world, song));
}

/// S41: where another data node has room, that node takes the song.
#[test]
fn a_full_disk_is_passed_over() {
    let mut world = world(|c| c.data = 2);
    let data = world.place("data-0");
    world.fill_disk(data, true);
    for source in 0..5 {
        upload(&mut world, source);
    }
    assert_eq!(list(&mut world).len(), 5);
}

/// S42: two clients upload the same song at once: it is stored once, and both are told so.
#[test]
fn the_same_song_twice_at_once_is_one() {
    let mut world = world(|c| (c.routers, c.data, c.clients) = (2, 3, 2));
    let (one, two) = (world.place("client-0"), world.place("client-1"));
    let operations = [(one, world.upload(one, 0)), (two, world.upload(two, 0))];
    for (client, operation) in operations {
        let ended = world.end_of(client, operation, secs(30));
        assert!(matches!(ended, Some(Ended::Uploaded { .. })), "{ended:?}");
    }
    world.run_for(secs(5));
    assert_eq!(list(&mut world).len(), 1);
    assert_fine(&world);
}

/// A data node whose library is busy at its start announces its songs all the same. Found by seed
/// 7.
#[test]
fn a_busy_library_is_looked_into_again() {
    let mut world = world(|c| c.data = 1);
    let song = upload(&mut world, 0);
    let data = world.place("data-0");
    world.crash(data, Death::Kill);
    world.run_for(secs(20));
    world.climate.busy_permille = 1000;
    world.start(data);
    world.run_for(secs(3));
    world.climate.busy_permille = 0;
    world.run_for(secs(5));
    assert_read(&read(&mut world, song));
}
