//! Stars, plays and playlists: written through one node, read through any other, and still there when
//! machines die.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::lab::{Lab, Server};
use super::sound;
use super::web::http::{ask, dialled, get};

/// A cluster with three short songs, each with two copies.
fn with_songs(
    lab: &mut Lab,
    routers: usize,
    data: usize,
) -> (Vec<Server>, Vec<Server>, [String; 3]) {
    let (names, data) = lab.cluster(routers, data);
    for (name, tone) in [("a", 440.0), ("b", 550.0), ("c", 660.0)] {
        let path = lab.dir.join(format!("{name}.wav"));
        sound::wav(&path, 1, tone);
        lab.ok(&["add", path.to_str().expect("a plain path")]);
    }
    lab.await_copies(3);
    (names, data, ["a", "b", "c"].map(|title| lab.id_of(title)))
}

/// What a data node has of listeners, on its disk.
fn documents(lab: &Lab, name: &str) -> Vec<(Vec<u8>, i64)> {
    let path = lab.dir.join(name).join("library.db");
    let read = || -> rusqlite::Result<Vec<(Vec<u8>, i64)>> {
        let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut all = db.prepare("SELECT subject, clock FROM documents ORDER BY subject, kind")?;
        let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    };
    read().expect("a library")
}

fn ids(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .filter_map(|line| line["id"].as_str())
        .collect()
}

/// Each command asks a router of its own choice: what one has written, all the following read. The
/// first data node dies, and all is there; it comes back and has what was written meanwhile.
#[test]
fn what_listeners_write_survives_a_machine() {
    let mut lab = Lab::new("listeners");
    let (_names, mut data, [a, b, c]) = with_songs(&mut lab, 2, 2);

    assert_eq!(lab.json(&["star", &a[..8], &b])[0]["copies"], 2);
    lab.ok(&["playlist", "new", "Evening", &c, &a]);
    for _ in 0..4 {
        assert_eq!(ids(&lab.json(&["ls", "--starred"])), [&a, &b]);
        assert_eq!(ids(&lab.json(&["playlist", "show", "Evening"])), [&c, &a]);
        lab.ok(&["playlist", "add", "Evening", &b]);
        assert_eq!(
            ids(&lab.json(&["playlist", "show", "Evening"])),
            [&c, &a, &b]
        );
        lab.ok(&["playlist", "rm", "Evening", &b[..8]]);
    }

    data[0].kill();
    let alone = &lab.json(&["unstar", &b])[0];
    assert_eq!(alone["copies"], 1, "{alone}");
    lab.ok(&["playlist", "move", "Evening", "2", "1"]);
    assert_eq!(ids(&lab.json(&["ls", "--starred"])), [&a]);
    assert_eq!(ids(&lab.json(&["playlist", "show", "Evening"])), [&a, &c]);

    data[0] = lab.restart(&data[0], "data0");
    lab.await_status("both are alive", |status| {
        let nodes = status["nodes"].as_array().expect("a list");
        nodes.iter().all(|node| node["state"] == "alive")
    });
    let begun = Instant::now();
    while documents(&lab, "data0") != documents(&lab, "data1") {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "they do not agree"
        );
        thread::yield_now();
    }
    data[1].kill();
    assert_eq!(ids(&lab.json(&["ls", "--starred"])), [&a]);
    assert_eq!(ids(&lab.json(&["playlist", "show", "Evening"])), [&a, &c]);
    lab.ok(&["playlist", "delete", "Evening"]);
    assert_eq!(lab.json(&["playlist", "ls"]).len(), 0);
}

/// A listener's mistakes are told in a line, and change nothing.
#[test]
fn mistakes_are_told() {
    let mut lab = Lab::new("listeners-told");
    let (_names, _data, [a, b, _]) = with_songs(&mut lab, 1, 1);
    lab.ok(&["playlist", "new", "x", &a]);
    for (words, code, told) in [
        (&["star", "0123456789"][..], 1, "no such song"),
        (&["star", "no-id"], 2, "hexadecimal"),
        (&["playlist", "new", "x"], 1, "there is one of this name"),
        (&["playlist", "new", " "], 1, "the name of a playlist"),
        (&["playlist", "show", "y"], 1, "there is none"),
        (&["playlist", "rm", "x"], 2, "playlist delete"),
        (&["playlist", "rm", "x", &b], 1, "is not in it"),
        (&["playlist", "rm", "x", "--at", "2"], 1, "it has 1 song"),
        (&["playlist", "move", "x", "1", "9"], 1, "it has 1 song"),
        (
            &["playlist", "import", "/nonexistent"],
            1,
            "import /nonexistent",
        ),
    ] {
        let said = lab.fails(words, code);
        assert!(said.contains(told), "{words:?}: {said}");
    }
    assert_eq!(lab.run(&["rate", &a, "6"]).status.code(), Some(2));
    assert_eq!(ids(&lab.json(&["playlist", "show", "x"])), [&a]);
    let key = lab.dir.join("listen.key");
    fs::write(&key, lab.ok(&["key", "derive", "listen"])).expect("a file");
    let mut mode = std::process::Command::new("chmod");
    assert!(mode.arg("600").arg(&key).status().expect("chmod").success());
    let key = key.to_str().expect("a plain path");
    let mut star = lab.command_without_key(&["star", &a, "--key-file", key]);
    assert!(
        star.status().expect("it runs").success(),
        "a listener stars"
    );
}

/// A list goes to a file and comes back; a song that was played is counted.
#[test]
fn lists_travel_and_plays_count() {
    let mut lab = Lab::new("listeners-files");
    let (_names, _data, [a, b, c]) = with_songs(&mut lab, 1, 1);
    let file = lab.dir.join("list.m3u8");
    let file = file.to_str().expect("a plain path");
    lab.ok(&["playlist", "new", "one", &b, &a, &b]);
    lab.ok(&["playlist", "export", "one", file]);
    lab.ok(&["playlist", "import", file, "--name", "two"]);
    assert_eq!(ids(&lab.json(&["playlist", "show", "two"])), [&b, &a, &b]);

    let player = lab.dir.join("player");
    fs::write(&player, "#!/bin/sh\ncat > /dev/null\nsleep 0.7\n").expect("a script");
    let mut mode = std::process::Command::new("chmod");
    assert!(
        mode.arg("700")
            .arg(&player)
            .status()
            .expect("chmod")
            .success()
    );
    let player = player.to_str().expect("a plain path");
    for id in [&a, &c, &c] {
        lab.ok(&["play", id, "--player", player]);
    }
    let played = lab.json(&["ls", "--sort", "played"]);
    assert_eq!(ids(&played), [&c, &a]);
    assert_eq!(
        (&played[0]["plays"], &played[1]["plays"]),
        (&2.into(), &1.into())
    );
    let path = lab.dir.join("long.wav");
    sound::wav(&path, 120, 330.0);
    lab.ok(&["add", path.to_str().expect("a plain path")]);
    lab.ok(&["play", &lab.id_of("long"), "--player", "true"]);
    let last = lab.json(&["ls", "--sort", "last-played"]);
    assert_eq!(ids(&last), [&c, &a], "what nobody heard does not count");
}

/// The page's interface does the same, for programs and for the page to come.
#[test]
fn the_page_keeps_stars_and_lists() {
    let mut lab = Lab::new("listeners-page");
    let (_names, _data, [a, b, c]) = with_songs(&mut lab, 1, 1);
    let page = lab.spawn(lab.command(&["web", "--listen", "127.0.0.1:0"]));
    let at = dialled(&page);
    let post = |path: &str| ask(&at, &format!("POST /api/{path}"), &[], b"");
    assert_eq!(post(&format!("stars/{a}")).status, 204);
    assert_eq!(post(&format!("stars/{b}")).status, 204);
    assert_eq!(post(&format!("stars/{b}?starred=0")).status, 204);
    assert_eq!(
        get(&at, "/api/stars").json()["songs"],
        serde_json::json!([a])
    );
    assert_eq!(post(&format!("ratings/{a}?stars=3")).status, 204);
    assert_eq!(get(&at, "/api/ratings").json()["ratings"][0]["stars"], 3);
    assert_eq!(post(&format!("plays/{c}")).status, 204);
    assert_eq!(get(&at, "/api/plays").json()["plays"][0]["plays"], 1);

    let made = post("playlists?name=Night").json();
    let list = format!("playlists/{}", made["id"].as_str().expect("an id"));
    assert_eq!(post(&format!("{list}?add={a}&add={b}&add={c}")).status, 204);
    assert_eq!(post(&format!("{list}?from=2&to=0")).status, 204);
    assert_eq!(post(&format!("{list}?remove=1&name=Late")).status, 204);
    let read = get(&at, &format!("/api/{list}")).json();
    assert_eq!(
        (&read["name"], &read["songs"]),
        (&"Late".into(), &serde_json::json!([c, b]))
    );
    assert_eq!(lab.json(&["playlist", "ls"])[0]["name"], "Late");
    for (wrong, status) in [
        (format!("ratings/{a}?stars=9"), 400),
        (format!("stars/{a}?of=planet"), 400),
        ("playlists".to_owned(), 400),
        ("playlists?name=Late".to_owned(), 409),
        (format!("playlists/{a}?name=x"), 404),
        (format!("{list}?remove=7"), 400),
        (format!("{list}?add=xyz"), 400),
    ] {
        assert_eq!(post(&wrong).status, status, "{wrong}");
    }
    let gone = ask(&at, &format!("DELETE /api/{list}"), &[], b"");
    assert_eq!(gone.status, 204);
    assert_eq!(get(&at, &format!("/api/{list}")).status, 404);
}
