//! Any number of DNS nodes: they are learned, remembered over a restart, and may be gone for good.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::lab::{Lab, PATIENCE, Server};

fn ids(lab: &Lab, name: &str) -> Vec<String> {
    let output = lab.run(&["resolve", name, "--json"]);
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let read = |line| serde_json::from_slice::<Value>(line).ok();
    let id = |record: Value| record["node"].as_str().map(str::to_owned);
    let mut ids: Vec<String> = lines.filter_map(read).filter_map(id).collect();
    ids.sort();
    ids
}

/// Waits until a name resolves to these servers and no others.
pub(super) fn await_ids(lab: &Lab, name: &str, servers: &[&Server]) {
    let mut expected: Vec<String> = servers.iter().map(|server| server.id.clone()).collect();
    expected.sort();
    let begun = Instant::now();
    loop {
        let found = ids(lab, name);
        if found == expected {
            return;
        }
        let late = begun.elapsed() >= PATIENCE;
        assert!(
            !late,
            "{name}: {found:?}, not {expected:?}\n{}",
            lab.read_log()
        );
    }
}

fn await_words(file: &Path, words: &str) {
    let begun = Instant::now();
    while !fs::read_to_string(file).unwrap_or_default().contains(words) {
        let late = begun.elapsed() >= PATIENCE;
        assert!(!late, "{} has no {words}", file.display());
    }
}

/// Everybody was told of one DNS node only. It goes for good, then the next one, and those that were never
/// named to anybody take their places: for nodes that run, for nodes that start again, for commands.
#[test]
fn dns_nodes_go_one_after_the_other() {
    let mut lab = Lab::new("dns-list");
    lab.settings = vec!["--set", "dns.ttl=2s"];
    let mut first = lab.start("dns", "first", &[]);
    lab.use_dns(&first.address);
    let router = lab.start("router", "router", &[]);
    let mut data = lab.start("data", "data", &[]);
    let mut second = lab.start("dns", "second", &[]);
    await_ids(&lab, "dispotify.dns", &[&first, &second]);
    lab.ok(&["ls"]);
    await_words(&lab.dir.join("data/members.json"), &second.address);

    first.kill();
    await_ids(&lab, "dispotify.dns", &[&second]);
    await_ids(&lab, "dispotify.data", &[&data]);
    data.kill();
    data = lab.start("data", "data", &[]);
    await_ids(&lab, "dispotify.data", &[&data]);
    await_ids(&lab, "dispotify.router", &[&router]);

    let third = lab.start("dns", "third", &["--dns", &second.address]);
    await_ids(&lab, "dispotify.dns", &[&second, &third]);
    lab.ok(&["ls"]);
    await_words(&lab.dir.join("second/members.json"), &third.address);
    await_words(&lab.dir.join("data/members.json"), &third.address);
    second.kill();
    await_ids(&lab, "dispotify.dns", &[&third]);
    await_ids(&lab, "dispotify.data", &[&data]);
    await_ids(&lab, "dispotify.router", &[&router]);
    // A DNS node, too, finds the others by what it remembers: it was told of the first one only.
    second = lab.start("dns", "second", &[]);
    await_ids(&lab, "dispotify.dns", &[&second, &third]);
}

/// A DNS node moves to another address. Nobody is told: the other DNS node names it.
#[test]
fn a_dns_node_moves_and_is_found() {
    let mut lab = Lab::new("dns-moves");
    lab.settings = vec!["--set", "dns.ttl=2s"];
    let mut moves = lab.start("dns", "moves", &[]);
    lab.use_dns(&moves.address);
    let stays = lab.start("dns", "stays", &[]);
    let router = lab.start("router", "router", &[]);
    await_ids(&lab, "dispotify.dns", &[&moves, &stays]);
    lab.ok(&["ls"]);
    moves.signal("TERM");
    assert!(moves.wait().success());
    let mut command = lab.node_on("127.0.0.2", "dns", "moves", "0");
    command.args(["--dns", &stays.address]);
    let moved = lab.spawn(command);
    assert_eq!(moved.id, moves.id);
    await_ids(&lab, "dispotify.dns", &[&moved, &stays]);
    lab.use_dns(&moved.address);
    await_ids(&lab, "dispotify.router", &[&router]);
}

/// A data node moves to another address with its disk: the same node, the same songs.
#[test]
fn a_data_node_moves_with_its_songs() {
    let mut lab = Lab::new("data-moves");
    let (_names, mut data) = lab.cluster(1, 1);
    let file = lab.dir.join("tone.wav");
    super::sound::wav(&file, 3, 440.0);
    lab.ok(&["add", file.to_str().expect("a plain path")]);
    let id = lab.id_of("tone");
    data[0].signal("TERM");
    assert!(data[0].wait().success());
    let moved = lab.spawn(lab.node_on("127.0.0.2", "data", "data0", "0"));
    assert_eq!(moved.id, data[0].id);
    lab.await_status("the node is at its new address", |status| {
        let nodes = status["nodes"].as_array().into_iter().flatten();
        let mut nodes = nodes.filter(|node| node["id"] == moved.id.as_str());
        nodes.any(|n| n["state"] == "alive" && n["address"] == moved.address.as_str())
    });
    fs::remove_dir_all(lab.dir.join("cache")).expect("a cache");
    assert!(lab.ok(&["get", &id, "-o", "-"]) == fs::read(&file).expect("added"));
}
