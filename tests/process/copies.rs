//! Every song has three copies, whichever nodes die, come back or miss a removal.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::lab::{Lab, Server};
use super::sound;

/// Songs in the library.
const SONGS: u64 = 200;

/// Repair begins soon: its usual pauses give a machine time to restart, which no test needs.
const SOON: [&str; 4] = ["--set", "repair.grace=1s", "--set", "repair.every=3s"];

fn library(lab: &Lab, songs: u64) -> Vec<PathBuf> {
    let folder = lab.dir.join("songs");
    fs::create_dir(&folder).expect("a folder");
    let file = |n: u64| {
        let path = folder.join(format!("song {n}.mp3"));
        sound::noise(&path, 20_000, n);
        path
    };
    let files = (0..songs).map(file).collect();
    lab.ok(&["add", folder.to_str().expect("a plain path")]);
    files
}

/// Waits until each song has exactly three copies, spread over so many data nodes.
fn await_three_copies(lab: &Lab, songs: u64, holders: usize) -> Value {
    lab.await_status("three copies of each song", |status| {
        let nodes = status["nodes"].as_array();
        let is_alive = |n: &&Value| n["state"] == "alive" && n["role"] == "data";
        let alive: Vec<&Value> = nodes.into_iter().flatten().filter(is_alive).collect();
        let kept: u64 = alive.iter().filter_map(|node| node["songs"].as_u64()).sum();
        let whole = status["songs"] == songs && status["copies_missing"] == 0;
        whole && kept == 3 * songs && alive.len() == holders
    })
}

/// Every song is fetched as it was in its file.
fn check_bytes(lab: &Lab, files: &[PathBuf]) {
    let songs = lab.json(&["ls"]);
    assert_eq!(songs.len(), files.len());
    for file in files.iter().step_by(20) {
        let title = file
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("ours");
        let id = lab.id_of(title);
        // The cache is emptied, so that the bytes come from data nodes.
        let _ = fs::remove_dir_all(lab.dir.join("cache/dispotify/songs"));
        let out = lab.ok(&["get", &id, "-o", "-"]);
        assert!(out == fs::read(file).expect("added"), "{title}");
    }
}

/// S36: of five data nodes with 200 songs two die, one after the other, and come back, one of them
/// with an empty disk. Each time every song has three copies, byte for byte. A song that was
/// removed while one of its holders was away does not return with that holder, and no disk has a
/// song twice.
#[test]
fn two_of_five_disks_are_lost_and_no_song() {
    let mut lab = Lab::new("repair");
    lab.settings = SOON.to_vec();
    let (_names, mut data) = lab.cluster(2, 5);
    let files = library(&lab, SONGS);
    await_three_copies(&lab, SONGS, 5);

    data[0].kill();
    await_three_copies(&lab, SONGS, 4);
    data[1].kill();
    await_three_copies(&lab, SONGS, 3);
    check_bytes(&lab, &files);

    data[0] = lab.restart(&data[0], "data0");
    data[1] = lab.restart(&data[1], "data1 anew");
    let status = await_three_copies(&lab, SONGS, 5);
    let nodes = status["nodes"].as_array().expect("a list");
    let alive = nodes
        .iter()
        .filter(|n| n["role"] == "data" && n["state"] == "alive");
    let shares: Vec<u64> = alive.filter_map(|n| n["songs"].as_u64()).collect();
    assert_eq!(shares.len(), 5, "{status}");
    assert!(
        shares.iter().all(|share| (60..=180).contains(share)),
        "{shares:?}"
    );
    check_bytes(&lab, &files);

    data[2].kill();
    let removed = ["song 3", "song 77", "song 150"].map(|title| lab.id_of(title));
    for id in &removed {
        lab.ok(&["rm", "--for-good", id]);
    }
    data[2] = lab.restart(&data[2], "data2");
    let left = SONGS - removed.len() as u64;
    await_three_copies(&lab, left, 5);
    let listed = lab.json(&["ls"]);
    assert!(
        listed
            .iter()
            .all(|song| removed.iter().all(|id| song["id"] != **id))
    );

    data.iter_mut().for_each(Server::kill);
    let dirs = ["data0", "data1 anew", "data2", "data3", "data4"];
    let verified = dirs.map(|dir| songs_of(&lab, dir));
    assert_eq!(verified.iter().sum::<u64>(), 3 * left, "{verified:?}");
}

/// Checks a library of a stopped node, every byte of it, and gives its number of songs.
fn songs_of(lab: &Lab, dir: &str) -> u64 {
    let dir = lab.dir.join(dir);
    let dir = dir.to_str().expect("a plain path");
    let report = lab.json(&["verify", "--data-dir", dir]).remove(0);
    report["songs"].as_u64().expect("a number")
}

/// A song that is removed while one holder is away does not return with that holder, and cannot be
/// added again.
#[test]
fn a_removed_song_stays_removed() {
    let mut lab = Lab::new("removed");
    lab.settings = SOON.to_vec();
    let (_names, mut data) = lab.cluster(1, 3);
    let files = library(&lab, 5);
    await_three_copies(&lab, 5, 3);
    let id = lab.id_of("song 3");

    data[2].kill();
    let said = lab.json(&["rm", "--for-good", &id]);
    assert_eq!(said[0]["copies"], 2, "{said:?}");
    lab.await_status("it is gone", |status| status["songs"] == 4);
    lab.fails(&["get", &id], 1);
    data[2] = lab.restart(&data[2], "data2");
    await_three_copies(&lab, 4, 3);
    assert!(
        lab.json(&["ls"])
            .iter()
            .all(|song| song["id"] != id.as_str())
    );

    let file = files[3].to_str().expect("a plain path");
    let again = lab.run(&["add", file]);
    assert!(!again.status.success());
    await_three_copies(&lab, 4, 3);
}

/// A data node that is set to hand over on a stop does so before it ends.
#[test]
fn a_drained_node_leaves_nothing_behind() {
    let mut lab = Lab::new("drain");
    lab.settings = SOON.to_vec();
    let (_names, _data) = lab.cluster(1, 2);
    let mut third: Server = lab.start("data", "third", &["--drain"]);
    library(&lab, 20);
    await_three_copies(&lab, 20, 3);
    let fourth = lab.start("data", "fourth", &[]);
    await_three_copies(&lab, 20, 4);
    third.signal("TERM");
    assert!(third.wait().success());
    // It says goodbye when its songs are elsewhere, so the others need not detect its death.
    let status = &lab.json(&["status"])[0];
    let nodes = status["nodes"].as_array().expect("a list");
    assert!(
        nodes.iter().all(|node| node["state"] == "alive"),
        "{status}"
    );
    await_three_copies(&lab, 20, 3);
    drop(fourth);
}

/// A fragment that rots on disk is noticed when it is read, fetched from another holder, and good
/// from then on.
#[test]
fn a_rotten_fragment_is_healed() {
    let mut lab = Lab::new("rot");
    lab.settings = SOON.to_vec();
    let (_names, mut data) = lab.cluster(1, 3);
    let files = library(&lab, 1);
    await_three_copies(&lab, 1, 3);
    for place in [0, 1] {
        data[place].kill();
        spoil(&lab.dir.join(format!("data{place}/segment.1")));
        data[place] = lab.restart(&data[place], &format!("data{place}"));
    }
    await_three_copies(&lab, 1, 3);
    let id = lab.id_of("song 0");
    for _ in 0..20 {
        let _ = fs::remove_dir_all(lab.dir.join("cache/dispotify/songs"));
        let out = lab.ok(&["get", &id, "-o", "-"]);
        assert!(out == fs::read(&files[0]).expect("added"));
    }
    lab.await_status("nothing is damaged any longer", |status| {
        let nodes = status["nodes"].as_array();
        nodes.into_iter().flatten().all(|node| node["damaged"] == 0)
    });
    for node in &mut data {
        node.signal("TERM");
        node.wait();
    }
    let verified = |place: usize| {
        let dir = lab.dir.join(format!("data{place}"));
        let mut verify: Command = lab.command(&["verify", "--data-dir"]);
        verify.arg(dir).status().expect("it runs").success()
    };
    let read = lab.read_log();
    assert!(
        !read.contains("rot song=") || read.contains("healed song="),
        "{read}"
    );
    assert!(verified(2));
}

/// Changes one byte of the music in a segment.
fn spoil(segment: &Path) {
    let mut bytes = fs::read(segment).expect("a segment");
    let place = bytes.len() - 100;
    bytes[place] ^= 0x55;
    fs::write(segment, bytes).expect("room");
}
