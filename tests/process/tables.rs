//! Rot in the tables of a library: found, told and healed, as rot in the sound is.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

use super::lab::{Lab, Server};
use super::sound;

/// Tables are looked at within seconds, and copies are compared every second.
const SOON: [&str; 4] = ["--set", "scrub.within=4s", "--set", "repair.every=1s"];

/// Songs in the library.
const SONGS: u64 = 12;

/// Three data nodes with twelve songs each, whose libraries lie whole in their files.
fn three_nodes(name: &str) -> (Lab, Vec<Server>, Vec<Server>, Vec<PathBuf>) {
    let mut lab = Lab::new(name);
    lab.settings = SOON.to_vec();
    let (names, mut data) = lab.cluster(1, 3);
    let folder = lab.dir.join("songs");
    fs::create_dir(&folder).expect("a folder");
    let file = |n: u64| {
        let path = folder.join(format!("song {n}.mp3"));
        sound::noise(&path, 60_000, n);
        path
    };
    let files = (0..SONGS).map(file).collect();
    lab.ok(&["add", folder.to_str().expect("a plain path")]);
    await_whole(&lab);
    stop(&mut data[0]);
    (lab, names, data, files)
}

/// An orderly stop writes the whole log into the library's file.
fn stop(server: &mut Server) {
    server.signal("TERM");
    assert!(server.wait().success());
}

/// Waits until three data nodes that are well have every song.
fn await_whole(lab: &Lab) {
    lab.await_status("every song is on three nodes", |status| {
        let well = |node: &&Value| {
            node["role"] == "data" && node["state"] == "alive" && node["songs"] == SONGS
        };
        let nodes = status["nodes"].as_array().into_iter().flatten();
        let damaged = nodes.clone().any(|node| node["damaged"] != 0);
        let whole = status["songs"] == SONGS && status["copies_missing"] == 0;
        whole && !damaged && nodes.filter(well).count() == 3
    });
}

/// Waits until the router shows the node as sick.
fn await_sick(lab: &Lab, node: &Server) {
    lab.await_status("the node is sick", |status| {
        let mut nodes = status["nodes"].as_array().into_iter().flatten();
        nodes.any(|line| line["id"] == *node.id && line["state"] == "sick")
    });
}

fn await_log(lab: &Lab, line: &str, count: usize) {
    lab.await_status(line, |_| lab.read_log().matches(line).count() >= count);
}

fn library(lab: &Lab, place: usize) -> PathBuf {
    lab.dir.join(format!("data{place}/library.db"))
}

/// Writes everything from the log into the file: a page that is still in the log hides garbage under it.
fn empty_log(library: &Path) -> Connection {
    let db = Connection::open(library).expect("a library");
    let sql = "PRAGMA busy_timeout = 10000; PRAGMA wal_checkpoint(TRUNCATE)";
    db.execute_batch(sql).expect("SQL");
    db
}

/// Writes 4 KiB of garbage over the root page of each of these tables or indexes.
fn garble(library: &Path, names: &[&str]) {
    let db = empty_log(library);
    let root = |name: &&str| {
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
        let root: i64 = db
            .query_row(sql, [name], |row| row.get(0))
            .expect("a table");
        root as u64
    };
    let roots: Vec<u64> = names.iter().map(root).collect();
    drop(db);
    let mut file = OpenOptions::new().write(true).open(library).expect("it");
    for root in roots {
        let at = (root - 1) * 4096;
        file.seek(SeekFrom::Start(at)).expect("within");
        file.write_all(&[0xa7; 4096]).expect("room");
    }
}

/// The two other nodes die: every song is read, byte for byte, from the one that was damaged.
fn everything_is_read_from_the_first(lab: &Lab, data: &mut [Server], files: &[PathBuf]) {
    data[1..].iter_mut().for_each(Server::kill);
    lab.await_status("the others are dead", |status| {
        let nodes = status["nodes"].as_array().into_iter().flatten();
        nodes.filter(|node| node["state"] == "dead").count() == 2
    });
    for (number, file) in (0..).zip(files) {
        let id = lab.id_of(&format!("song {number}"));
        let _ = fs::remove_dir_all(lab.dir.join("cache/dispotify/songs"));
        let out = lab.ok(&["get", &id, "-o", "-"]);
        assert!(out == fs::read(file).expect("added"), "song {number}");
    }
}

/// Garbage over the roots of `songs` and `slices` while the node runs: it says that it is sick, its
/// copies no longer count, it fetches its songs again, and then it has them all.
#[test]
fn garbage_over_the_roots_of_tables_is_told_and_healed() {
    let (lab, _names, mut data, files) = three_nodes("roots");
    data[0] = lab.restart(&data[0], "data0");
    await_whole(&lab);
    garble(&library(&lab, 0), &["songs", "slices"]);
    lab.await_status("the node is sick and copies are missing", |status| {
        let mut nodes = status["nodes"].as_array().into_iter().flatten();
        nodes.any(|node| node["id"] == *data[0].id && node["state"] == "sick")
    });
    await_whole(&lab);
    everything_is_read_from_the_first(&lab, &mut data, &files);
    let told = lab.read_log().matches("library cannot be read").count();
    assert!((1..=2).contains(&told), "{}", lab.read_log());
}

/// The same over the very first page, before the start, and over the sound's table and index.
#[test]
fn garbage_over_other_pages_is_healed() {
    for (number, names) in [
        &["sqlite_schema"][..],
        &["fragments"],
        &["sqlite_autoindex_songs_1"],
    ]
    .into_iter()
    .enumerate()
    {
        let (lab, _names, mut data, files) = three_nodes(&format!("pages{number}"));
        if names == ["sqlite_schema"] {
            drop(empty_log(&library(&lab, 0)));
            let mut file = OpenOptions::new()
                .write(true)
                .open(library(&lab, 0))
                .expect("it");
            file.write_all(&[0xa7; 4096]).expect("room");
        } else {
            garble(&library(&lab, 0), names);
        }
        data[0] = lab.restart(&data[0], "data0");
        await_log(&lab, "set aside", 1);
        // Until the router hears of it, it shows what was there before.
        await_sick(&lab, &data[0]);
        await_whole(&lab);
        everything_is_read_from_the_first(&lab, &mut data, &files);
    }
}

/// Rows that are dropped or altered while the node stands still: nothing of it is believed, and no
/// other node is accused of it.
#[test]
fn altered_and_dropped_rows_are_healed() {
    let (lab, _names, mut data, files) = three_nodes("rows");
    let db = Connection::open(library(&lab, 0)).expect("a library");
    let song = |number: u32| format!("(SELECT row FROM songs WHERE title = 'song {number}')");
    let damage = [
        format!("DELETE FROM songs WHERE row = {}", song(0)),
        format!("UPDATE songs SET year = 1999 WHERE row = {}", song(1)),
        format!("UPDATE songs SET track = -7 WHERE row = {}", song(2)),
        format!(
            "UPDATE slices SET hash = zeroblob(32) WHERE song = {}",
            song(3)
        ),
        format!("DELETE FROM slices WHERE song = {} AND number = 0", song(4)),
        format!("DELETE FROM fragments WHERE song = {}", song(5)),
        format!("UPDATE songs SET fragments = 9000 WHERE row = {}", song(6)),
        format!("UPDATE songs SET title = 'another' WHERE row = {}", song(7)),
        "UPDATE meta SET bytes = 1".to_owned(),
    ];
    db.execute_batch("PRAGMA foreign_keys = OFF").expect("SQL");
    db.execute_batch(&damage.join(";")).expect("SQL");
    drop(db);
    data[0] = lab.restart(&data[0], "data0");
    for (line, count) in [
        ("song withdrawn", 6),
        ("healed song=", 1),
        ("counted anew", 1),
    ] {
        await_log(&lab, line, count);
    }
    await_whole(&lab);
    everything_is_read_from_the_first(&lab, &mut data, &files);
    let log = lab.read_log();
    assert!(!log.contains("doubt: "), "{log}");
    stop(&mut data[0]);
    let dir = lab.dir.join("data0");
    let dir = dir.to_str().expect("a plain path");
    let output = lab.run(&["verify", "--data-dir", dir, "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut findings = report["findings"].as_array().into_iter().flatten();
    // What was left of the dropped song belongs to nothing: it only takes room.
    assert!(
        findings.all(|finding| finding["kind"] == "stray"),
        "{report}"
    );
    assert_eq!(report["songs"], SONGS);
}
