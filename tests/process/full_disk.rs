//! Disks without a free byte, without a free inode, and read-only ones: small file systems that are
//! mounted in a namespace of the test's own.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::lab::{Lab, Server, failure};
use super::{netlab, powercut, sound};

/// Bytes of a large song.
const LARGE: usize = 12_000_000;

/// A small file system; unmounted when dropped, so that the lab's folder can be removed.
struct Disk(PathBuf);

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A lab with a DNS node, a router, and a small disk for a data node.
fn lab_with_disk(name: &str, options: &str) -> (Lab, Disk, Vec<Server>) {
    let mut lab = Lab::new(name);
    let (servers, _) = lab.cluster(1, 0);
    let disk = mount(lab.dir.join("disk"), options);
    (lab, disk, servers)
}

fn small_disk(lab: &Lab, name: &str) -> Disk {
    mount(lab.dir.join(name), "size=48m")
}

fn mount(disk: PathBuf, options: &str) -> Disk {
    fs::create_dir(&disk).expect("a folder");
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", options, "none"])
        .arg(&disk);
    assert!(mount.status().expect("mount runs").success());
    Disk(disk)
}

/// Takes every byte that is left.
fn take_bytes(disk: &Path, name: &str) -> PathBuf {
    let path = disk.join(name);
    let mut file = File::create(&path).expect("an inode");
    while file.write_all(&[1; 4096]).is_ok() {}
    path
}

/// Takes every inode that is left.
fn take_inodes(disk: &Path, name: &str) {
    let make = |number: u32| File::create(disk.join(format!("{name}{number}")));
    assert!((0..10_000).any(|number| make(number).is_err()));
}

fn stop(server: &mut Server) {
    server.signal("TERM");
    assert!(server.wait().success());
}

/// Adds a song of noise, which must have room.
fn add(lab: &Lab, seed: u64, bytes: usize) -> String {
    let file = lab.dir.join(format!("{seed}.mp3"));
    sound::noise(&file, bytes, seed);
    let added = lab
        .json(&["add", file.to_str().expect("a plain path")])
        .remove(0);
    added["id"].as_str().expect("an id").to_owned()
}

fn state_of_data(status: &Value) -> &str {
    let mut nodes = status["nodes"].as_array().into_iter().flatten();
    let data = nodes.find(|node| node["role"] == "data");
    data.and_then(|node| node["state"].as_str())
        .unwrap_or_default()
}

/// Waits until the data node takes part again, with so many songs.
fn await_songs(lab: &Lab, songs: u64) {
    lab.await_status("its songs are there", |status| {
        let there = ["alive", "full"].contains(&state_of_data(status));
        there && status["songs"] == songs
    });
}

fn verify(lab: &Lab) {
    let dir = lab.dir.join("disk/data0");
    lab.ok(&["verify", "--data-dir", dir.to_str().expect("a plain path")]);
}

/// Six songs are added to a disk that has room for a few. Those that find no room keep none: a small
/// song is added afterwards. Then others take every byte: songs are removed, the node starts again,
/// and it takes songs again when there is room.
#[test]
fn a_disk_without_a_byte_locks_no_library() {
    if !netlab::inside("full_disk::a_disk_without_a_byte_locks_no_library", 1) {
        return;
    }
    let (lab, mounted, _servers) = lab_with_disk("bytes", "size=64m");
    let disk = mounted.0.clone();
    let mut data = lab.start("data", "disk/data0", &[]);
    let folder = lab.dir.join("songs");
    fs::create_dir(&folder).expect("a folder");
    for seed in 0..6 {
        sound::noise(&folder.join(format!("{seed}.mp3")), LARGE, seed);
    }
    let output = lab.run(&["add", "--json", folder.to_str().expect("a plain path")]);
    let said = String::from_utf8(output.stdout).expect("text");
    let added = said.matches("\"outcome\":\"added\"").count();
    assert!((3..6).contains(&added), "{said}");
    assert_eq!(said.matches("disk is full").count(), 6 - added, "{said}");
    let small = add(&lab, 100, 24_000);
    lab.await_status("the node is full", |status| state_of_data(status) == "full");
    let status = String::from_utf8(lab.ok(&["status"])).expect("text");
    let cure = format!(
        "the disk of {} ({}) is full: remove",
        &data.id[..8],
        data.address
    );
    assert!(status.contains(&cure), "{status}");

    let filler = take_bytes(&disk, "filler");
    let songs = lab.json(&["ls"]);
    let large = songs.iter().filter(|song| song["bytes"] == LARGE);
    let large: Vec<&str> = large.filter_map(|song| song["id"].as_str()).collect();
    lab.ok(&["rm", "--for-good", large[0]]);
    take_bytes(&disk, "more");
    stop(&mut data);
    take_bytes(&disk, "still more");
    verify(&lab);
    let mut data = lab.restart(&data, "disk/data0");
    await_songs(&lab, added as u64);
    lab.ok(&["rm", large[1]]);
    lab.ok(&["trash", "empty", large[1]]);
    assert!(lab.ok(&["get", &small, "-o", "-"]) == fs::read(lab.dir.join("100.mp3")).expect("it"));
    take_bytes(&disk, "all");
    data.kill();
    let mut data = lab.restart(&data, "disk/data0");
    await_songs(&lab, added as u64 - 1);

    fs::remove_file(filler).expect("our own");
    add(&lab, 101, 2_000_000);
    lab.ok(&["rm", "--for-good", large[2]]);
    lab.await_status("there is room again", |status| {
        state_of_data(status) == "alive"
    });
    stop(&mut data);
    verify(&lab);
}

/// A node on a disk without a byte hands its songs over to another one, and ends.
#[test]
fn a_full_node_hands_its_songs_over() {
    if !netlab::inside("full_disk::a_full_node_hands_its_songs_over", 1) {
        return;
    }
    let (lab, mounted, _servers) = lab_with_disk("leaver", "size=64m");
    let disk = mounted.0.clone();
    let mut full = lab.start("data", "disk/data0", &["--drain"]);
    for seed in 0..3 {
        add(&lab, seed, 3_000_000);
    }
    take_bytes(&disk, "filler");
    let _roomy = lab.start("data", "roomy", &[]);
    lab.await_status("both are known", |status| {
        let nodes = status["nodes"].as_array().into_iter().flatten();
        nodes.filter(|node| node["role"] == "data").count() == 2
    });
    stop(&mut full);
    await_songs(&lab, 3);
    for song in lab.json(&["ls"]) {
        let id = song["id"].as_str().expect("an id");
        lab.ok(&["get", id, "-o", "-"]);
    }
}

/// Three data nodes whose disks are full to the last byte, killed all at once with the DNS and the
/// router: after the start everything is read, songs are removed, and then songs are added again.
#[test]
fn disks_that_are_all_full_start_and_are_freed() {
    if !netlab::inside("full_disk::disks_that_are_all_full_start_and_are_freed", 1) {
        return;
    }
    let mut lab = Lab::new("all-full");
    let (mut names, _) = lab.cluster(1, 0);
    let disks: Vec<Disk> = (0..3)
        .map(|n| small_disk(&lab, &format!("disk{n}")))
        .collect();
    let place = |n: usize| format!("disk{n}/data");
    let mut data: Vec<Server> = (0..3).map(|n| lab.start("data", &place(n), &[])).collect();
    lab.await_status("everyone is known", |status| {
        let nodes = status["nodes"].as_array().into_iter().flatten();
        nodes.filter(|node| node["role"] == "data").count() == 3
    });
    let songs: Vec<String> = (0..4).map(|seed| add(&lab, seed, 3_000_000)).collect();
    lab.await_copies(4);
    disks
        .iter()
        .for_each(|disk| drop(take_bytes(&disk.0, "filler")));
    let file = lab.dir.join("more.mp3");
    sound::noise(&file, 3_000_000, 77);
    let file = file.to_str().expect("a plain path");
    lab.fails(&["add", file], 1);
    disks
        .iter()
        .for_each(|disk| drop(take_bytes(&disk.0, "more")));

    data.iter_mut().chain(&mut names).for_each(Server::kill);
    let names: Vec<Server> = ["dns", "router0"]
        .iter()
        .zip(&names)
        .map(|(name, server)| lab.restart(server, name))
        .collect();
    assert_eq!(names.len(), 2);
    let mut data: Vec<Server> = (0..3).map(|n| lab.restart(&data[n], &place(n))).collect();
    lab.await_copies(4);
    for (seed, song) in (0..).zip(&songs) {
        let _ = fs::remove_dir_all(lab.dir.join("cache/dispotify/songs"));
        let added = fs::read(lab.dir.join(format!("{seed}.mp3"))).expect("added");
        assert!(lab.ok(&["get", song, "-o", "-"]) == added, "{seed}");
    }
    lab.ok(&["rm", "--for-good", &songs[0]]);
    lab.ok(&["rm", "--for-good", &songs[1]]);
    // What was removed leaves its room to others first, and a song needs more than was there.
    disks
        .iter()
        .for_each(|disk| fs::remove_file(disk.0.join("filler")).expect("our own"));
    lab.ok(&["add", file]);
    lab.await_copies(3);
    data.iter_mut().for_each(stop);
    for n in 0..3 {
        let dir = lab.dir.join(place(n));
        lab.ok(&["verify", "--data-dir", dir.to_str().expect("a plain path")]);
    }
}

/// Every inode is taken while the node runs and while it stands still.
#[test]
fn a_disk_without_an_inode_locks_no_library() {
    if !netlab::inside("full_disk::a_disk_without_an_inode_locks_no_library", 1) {
        return;
    }
    let (lab, mounted, _servers) = lab_with_disk("inodes", "size=64m,nr_inodes=64");
    let disk = mounted.0.clone();
    let mut data = lab.start("data", "disk/data0", &[]);
    let songs = [0, 1, 2].map(|seed| add(&lab, seed, 100_000));
    take_inodes(&disk, "a");
    add(&lab, 3, 100_000);
    lab.ok(&["rm", "--for-good", &songs[0]]);
    for (round, song) in (1..).zip(&songs[1..]) {
        stop(&mut data);
        take_inodes(&disk, &format!("stopped{round}-"));
        verify(&lab);
        data = lab.restart(&data, "disk/data0");
        await_songs(&lab, 4 - round);
        take_inodes(&disk, &format!("running{round}-"));
        lab.ok(&["rm", "--for-good", song]);
    }
    data.kill();
    lab.restart(&data, "disk/data0");
}

/// A disk on which nothing can be made is named with what to do, and `verify` reads it all the same.
#[test]
fn a_disk_that_takes_nothing_is_named() {
    if !netlab::inside("full_disk::a_disk_that_takes_nothing_is_named", 1) {
        return;
    }
    let (lab, mounted, _servers) = lab_with_disk("read-only", "size=64m");
    let disk = mounted.0.clone();
    let mut data = lab.start("data", "disk/data0", &[]);
    add(&lab, 0, 100_000);
    stop(&mut data);
    take_bytes(&disk, "filler");
    let refused = |name: &str| {
        let output = lab.node("data", name, "0").output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        said.lines().last().unwrap_or_default().to_owned()
    };
    let said = refused("disk/fresh");
    assert!(
        said.contains("the disk is full: remove something"),
        "{said}"
    );
    let remount = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(&disk)
        .status();
    assert!(remount.expect("mount runs").success());
    let said = refused("disk/data0");
    assert!(
        said.contains("the file system is read-only: mount it writable"),
        "{said}"
    );
    verify(&lab);
}

/// A file system turns read-only under a running node, as one does whose disk reports errors. The
/// node says so and serves what it has; when it starts on the same disk, mounted anew, it takes songs
/// again.
#[test]
fn a_disk_that_turns_read_only_goes_on_serving() {
    if !netlab::inside("full_disk::a_disk_that_turns_read_only_goes_on_serving", 1) {
        return;
    }
    let mut lab = Lab::new("turns");
    let disk = match powercut::Disk::new(&lab) {
        Ok(disk) => disk,
        Err(why) => return sound::skipped(&format!("a disk that turns read-only, {why}")),
    };
    let (_servers, _) = lab.cluster(1, 0);
    let mut data = lab.start("data", "disk/data0", &[]);
    let song = add(&lab, 0, 3_000_000);
    disk.turn_read_only().expect("an error of the file system");
    let fetch = || {
        let _ = fs::remove_dir_all(lab.dir.join("cache/dispotify/songs"));
        assert!(lab.ok(&["get", &song, "-o", "-"]) == fs::read(lab.dir.join("0.mp3")).expect("it"));
    };
    fetch();
    let file = lab.dir.join("1.mp3");
    sound::noise(&file, 100_000, 1);
    let words = "the file system is read-only: mount it writable";
    for refused in [
        &["add", file.to_str().expect("a plain path")][..],
        &["rm", "--for-good", &song],
    ] {
        let output = lab.run(refused);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(
            output.status.code() == Some(1) && said.contains(words),
            "{refused:?}: {said}"
        );
    }
    let log = lab.read_log();
    assert!(log.contains(words), "{log}");
    fetch();
    stop(&mut data);
    disk.unmount().expect("nobody uses it");
    disk.mount().expect("its errors are forgotten");
    let mut data = lab.restart(&data, "disk/data0");
    await_songs(&lab, 1);
    fetch();
    add(&lab, 1, 100_000);
    lab.ok(&["rm", "--for-good", &song]);
    stop(&mut data);
    verify(&lab);
}

/// The cache of a client shares the full disk with the library: what is heard is heard all the same.
#[test]
fn a_cache_on_a_full_disk_stops_no_music() {
    if !netlab::inside("full_disk::a_cache_on_a_full_disk_stops_no_music", 1) {
        return;
    }
    let (lab, mounted, _servers) = lab_with_disk("cache", "size=64m");
    let disk = mounted.0.clone();
    let _data = lab.start("data", "disk/data0", &[]);
    let song = add(&lab, 0, 3_000_000);
    take_bytes(&disk, "filler");
    let mut get = lab.command(&["get", &song, "-o", "-"]);
    let output = get.env("XDG_CACHE_HOME", disk.join("cache")).output();
    let output = output.expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout == fs::read(lab.dir.join("0.mp3")).expect("added"));
    let file = disk.join("copy.mp3");
    let said = failure(
        lab.run(&["get", &song, "-o", file.to_str().expect("a plain path")]),
        1,
    );
    assert!(
        said.contains("the disk is full: remove something"),
        "{said}"
    );
}
