//! How fast a ring of real processes detects deaths, what it costs while nothing happens, and how
//! fast a lost disk is repaired, beside a plain copy of as many bytes on the same disk: `cargo run
//! --release -p tests --example ring`.
// Figures go to standard output, and an unexpected event ends the run.
#![allow(clippy::print_stdout, clippy::wildcard_enum_match_arm)]

#[allow(dead_code)]
#[path = "../process/lab.rs"]
mod lab;
#[allow(dead_code)]
#[path = "../process/sound.rs"]
mod sound;

use std::fs;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use lab::{Lab, Server};

/// Number of deaths of each kind.
const DEATHS: usize = 7;

/// Songs in the cluster that loses a disk, and their size: enough for some seconds of work.
const SONGS: usize = 2_000;
const SONG_BYTES: usize = 100_000;

fn main() {
    idle();
    deaths("killed", true);
    deaths("silent", false);
    repair();
}

fn five(lab: &mut Lab) -> (Server, Vec<Server>) {
    let dns = lab.start("dns", "dns", &[]);
    lab.use_dns(&dns.address);
    let roles = ["data", "data", "router", "router", "router"];
    let start = |(n, role): (usize, &&str)| start(lab, role, n);
    let servers: Vec<Server> = roles.iter().enumerate().map(start).collect();
    await_ring(lab, servers.len());
    (dns, servers)
}

/// Starts a node with the default pauses of a real node.
fn start(lab: &Lab, role: &str, n: usize) -> Server {
    let mut command = lab.command(&["node", role, "--host", "127.0.0.1", "--port", "0"]);
    command
        .arg("--data-dir")
        .arg(lab.dir.join(format!("{role}{n}")));
    lab.spawn(command)
}

fn await_ring(lab: &Lab, size: usize) {
    lab.await_status("one ring", |status| {
        status["ring"].as_array().map_or(0, Vec::len) == size
    });
}

/// Measures wake-ups and bytes of an idle ring of five, per node and second.
fn idle() {
    let mut lab = Lab::new("idle");
    let (_dns, servers) = five(&mut lab);
    thread::sleep(Duration::from_secs(40)); // Until nothing has changed for a while.
    let (before, bytes) = (wakes(&servers), loopback());
    let span = 60;
    thread::sleep(Duration::from_secs(span));
    let nodes = servers.len() as f64;
    let per_node = |all: u64| all as f64 / nodes / span as f64;
    let (woken, moved) = (wakes(&servers) - before, loopback() - bytes);
    println!(
        "idle ring of five: {:.2} wake-ups and {:.0} bytes (the machine's loopback in all) per node and second",
        per_node(woken),
        per_node(moved)
    );
}

/// How often all threads of these processes went to sleep.
fn wakes(servers: &[Server]) -> u64 {
    let of = |server: &Server| -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", server.pid()));
        let tasks = tasks.into_iter().flatten().flatten();
        let status = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
        status
            .map(|text| number(&text, "voluntary_ctxt_switches:"))
            .sum()
    };
    servers.iter().map(of).sum()
}

fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name));
    let word = line.and_then(|line| line.split_whitespace().nth(1));
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn loopback() -> u64 {
    let text = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let line = text
        .lines()
        .find(|line| line.trim_start().starts_with("lo:"));
    let word = line.and_then(|line| line.split_whitespace().nth(1));
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Measures the time from the kill or freeze to the verdict at every survivor.
fn deaths(kind: &str, killed: bool) {
    let mut lab = Lab::new("deaths");
    let (_dns, mut servers) = five(&mut lab);
    let mut took = Vec::new();
    for death in 0..DEATHS {
        let place = death % servers.len();
        let lost = format!("ring lost node={}", servers[place].id);
        let before = lab.read_log().matches(&lost).count();
        let begun = Instant::now();
        if killed {
            servers[place].kill();
        } else {
            servers[place].signal("STOP");
        }
        while lab.read_log().matches(&lost).count() < before + servers.len() - 1 {
            assert!(begun.elapsed() < lab::PATIENCE, "{}", lab.read_log());
            thread::sleep(Duration::from_millis(5));
        }
        took.push(begun.elapsed());
        if killed {
            let role = servers[place].role.clone();
            servers[place] = start(&lab, &role, place);
        } else {
            servers[place].signal("CONT");
        }
        await_ring(&lab, servers.len());
        thread::sleep(Duration::from_millis(137 * death as u64)); // Any phase of a probe round.
    }
    took.sort_unstable();
    println!(
        "{kind}: dead at every survivor after {:.2} s (median of {DEATHS}), longest {:.2} s",
        took[DEATHS / 2].as_secs_f64(),
        took[DEATHS - 1].as_secs_f64()
    );
}

/// One of four data nodes is lost: how fast its songs are copied to others.
fn repair() {
    let mut lab = Lab::new("repair");
    lab.settings = vec!["--set", "repair.grace=1s", "--set", "repair.every=60s"];
    let (_names, mut data) = lab.cluster(1, 4);
    let folder = lab.dir.join("songs");
    fs::create_dir(&folder).expect("a folder");
    for n in 0..SONGS {
        sound::noise(&folder.join(format!("{n}.mp3")), SONG_BYTES, n as u64);
    }
    lab.ok(&["add", folder.to_str().expect("a plain path")]);
    lab.await_copies(SONGS as u64);
    let status = lab.await_status("counted", |status| status["copies_missing"] == 0);
    let nodes = status["nodes"].as_array().expect("a list");
    let victim = nodes.iter().find(|node| node["id"] == data[0].id.as_str());
    let lost = victim.and_then(|node| node["songs"].as_u64()).unwrap_or(0);
    data[0].kill();
    lab.await_status("it is dead", |status| status["copies_missing"] != 0);
    let begun = Instant::now();
    lab.await_copies(SONGS as u64);
    let took = begun.elapsed().as_secs_f64();
    let rate = lost as f64 * SONG_BYTES as f64 / took / 1e6;
    let reference = plain_copy(&lab, lost as usize);
    println!(
        "repair of {lost} songs of 100 kB: {took:.1} s, {rate:.0} MB/s; written and synced one by one to the same disk: \
         {reference:.0} MB/s ({:.0} %)",
        100.0 * rate / reference
    );
}

/// Writes as many files, each synced before the next: the disk's own speed for durable files.
fn plain_copy(lab: &Lab, files: usize) -> f64 {
    let folder = lab.dir.join("plain");
    fs::create_dir(&folder).expect("a folder");
    let bytes = vec![7; SONG_BYTES];
    let begun = Instant::now();
    for n in 0..files {
        let mut file = fs::File::create(folder.join(n.to_string())).expect("room");
        file.write_all(&bytes)
            .and_then(|()| file.sync_all())
            .expect("room");
    }
    (files * SONG_BYTES) as f64 / begun.elapsed().as_secs_f64() / 1e6
}
