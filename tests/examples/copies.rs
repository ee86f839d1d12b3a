//! What keeping copies costs and how fast repair is, with real processes on this machine's loopback
//! and disk: `cargo run --release -p tests --example copies`. Takes some ten minutes; `-- repair`,
//! `-- newcomer` and `-- digests` run one measurement.
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
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use lab::{Lab, Server};
use roles::contract::id::NodeId;
use roles::contract::job::{JobReply, LibraryJob};
use roles::contract::message::StoreId;
use serde_json::Value;
use storage::import::{read_source, scan};
use storage::library::Library;

/// Songs of each of three data nodes, one of which is lost.
const SONGS: usize = 10_000;
const SONG_BYTES: usize = 100_000;

/// Songs in the other measurements.
const FEW: usize = 2_000;

/// Data nodes of an idle cluster, and how long the cluster is measured.
const IDLE_NODES: usize = 4;
const IDLE_FOR: Duration = Duration::from_secs(120);

/// Thousands of songs take minutes, and a node looks only once a minute for songs to drop.
const PATIENCE: Duration = Duration::from_secs(400);

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let all: [(&str, fn()); 3] = [
        ("digests", digests),
        ("newcomer", newcomer),
        ("repair", repair),
    ];
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|word| word == name);
    for (_, measure) in all.into_iter().filter(|(name, _)| wanted(name)) {
        measure();
    }
}

/// Writes so many songs into one folder.
fn songs(lab: &Lab, count: usize) -> std::path::PathBuf {
    let folder = lab.dir.join("songs");
    fs::create_dir(&folder).expect("a folder");
    for n in 0..count {
        sound::noise(&folder.join(format!("{n}.mp3")), SONG_BYTES, n as u64);
    }
    folder
}

fn fill(lab: &Lab, count: usize) {
    let folder = songs(lab, count);
    lab.ok(&["add", folder.to_str().expect("a plain path")]);
    await_state(lab, |status| {
        status["copies_missing"] == 0 && status["songs"] == count as u64
    });
}

/// Waits for the first status that is `good`; polls often enough to measure seconds.
fn await_state(lab: &Lab, good: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let output = lab.run(&["status", "--json"]);
        let status = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        if status.is_object() && good(&status) {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "{status}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Songs on one node, or on all data nodes together.
fn held(status: &Value, id: Option<&str>) -> u64 {
    let nodes = status["nodes"].as_array().expect("a list");
    let data = nodes
        .iter()
        .filter(|node| node["role"] == "data" && node["state"] == "alive");
    let wanted = data.filter(|node| id.is_none_or(|id| node["id"] == id));
    wanted.filter_map(|node| node["songs"].as_u64()).sum()
}

/// Data nodes that are alive.
fn alive(status: &Value) -> usize {
    let nodes = status["nodes"].as_array().into_iter().flatten();
    nodes
        .filter(|node| node["role"] == "data" && node["state"] == "alive")
        .count()
}

fn loopback() -> u64 {
    let text = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let mut lines = text.lines();
    let line = lines.find(|line| line.trim_start().starts_with("lo:"));
    let word = line.and_then(|line| line.split_whitespace().nth(1));
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// What an idle cluster sends with anti-entropy and without.
fn digests() {
    let with = idle("repair.every=60s");
    let without = idle("repair.every=3600s");
    println!(
        "digests of {FEW} songs: {:.0} bytes per node and second ({with:.0} with, {without:.0} without comparisons)",
        with - without
    );
}

fn idle(every: &'static str) -> f64 {
    let mut lab = Lab::new("idle");
    lab.settings = vec!["--set", every];
    let (_names, _data) = lab.cluster(1, IDLE_NODES);
    fill(&lab, FEW);
    thread::sleep(Duration::from_secs(75)); // Until nothing has changed for a while.
    let before = loopback();
    thread::sleep(IDLE_FOR);
    (loopback() - before) as f64 / IDLE_NODES as f64 / IDLE_FOR.as_secs_f64()
}

/// How many songs move when a fifth data node joins four.
fn newcomer() {
    let mut lab = Lab::new("newcomer");
    let (_names, _data) = lab.cluster(1, 4);
    fill(&lab, FEW);
    let before = loopback();
    let late = lab.start("data", "late", &[]);
    let all = 3 * FEW as u64;
    let status = await_state(&lab, |status| {
        let late = held(status, Some(&late.id));
        late > all / 8 && held(status, None) == all && status["copies_missing"] == 0
    });
    let share = all as f64 / 5.0;
    let got = held(&status, Some(&late.id)) as f64;
    let bytes = (loopback() - before) as f64;
    println!(
        "a fifth data node: {got:.0} songs, its share is {share:.0} ({:.2} times); bytes on the wire {:.2} times those of its share",
        got / share,
        bytes / (share * SONG_BYTES as f64)
    );
}

/// One of three data nodes is lost, and an empty one takes its place; no client is served
/// meanwhile.
fn repair() {
    let mut lab = Lab::new("repair");
    lab.settings = vec!["--set", "repair.grace=1s"];
    let (_names, mut data) = lab.cluster(1, 3);
    fill(&lab, SONGS);
    data[0].kill();
    // With two data nodes left no copy counts as missing, so the death itself is awaited.
    await_state(&lab, |status| alive(status) == 2);
    let fresh: Server = lab.start("data", "fresh", &[]);
    let begun = Instant::now();
    await_state(&lab, |status| held(status, Some(&fresh.id)) > 0);
    let first = begun.elapsed();
    await_state(&lab, |status| {
        status["copies_missing"] == 0 && held(status, Some(&fresh.id)) == SONGS as u64
    });
    let (whole, rate) = (rate(begun.elapsed()), rate(begun.elapsed() - first));
    let files = plain_files(&lab);
    let library = through_a_library(&lab);
    println!(
        "repair of {SONGS} songs of 100 kB: {rate:.0} MB/s from the first song on, which came {:.1} s after the start of the newcomer \
         ({whole:.0} MB/s from there); the same written and synced one by one to the same disk: \
         {files:.0} MB/s ({:.0} %, {:.0} %); committed one by one by a library without a network: {library:.0} MB/s ({:.0} %)",
        first.as_secs_f64(),
        100.0 * rate / files,
        100.0 * whole / files,
        100.0 * rate / library
    );
}

fn rate(took: Duration) -> f64 {
    (SONGS * SONG_BYTES) as f64 / took.as_secs_f64() / 1e6
}

/// Writes as many files, each synced before the next: the disk's own speed for durable files.
fn plain_files(lab: &Lab) -> f64 {
    let folder = lab.dir.join("plain");
    fs::create_dir(&folder).expect("a folder");
    let bytes = vec![7; SONG_BYTES];
    let begun = Instant::now();
    for n in 0..SONGS {
        let mut file = fs::File::create(folder.join(n.to_string())).expect("room");
        let written = file.write_all(&bytes).and_then(|()| file.sync_all());
        written.expect("room");
    }
    rate(begun.elapsed())
}

/// Puts the same songs into a library in this process: the speed of SQLite and the disk.
fn through_a_library(lab: &Lab) -> f64 {
    let folder = lab.dir.join("library");
    fs::create_dir(&folder).expect("a folder");
    let library = Library::open(&folder, NodeId(1), StoreId(1)).expect("an empty folder");
    let mut writer = library.writer().expect("it is open");
    let begun = Instant::now();
    for n in 0..SONGS {
        let path = lab.dir.join("songs").join(format!("{n}.mp3"));
        let commit = keep(&mut |job| writer.run(job), &path);
        assert!(matches!(commit, JobReply::Stored { .. }), "{commit:?}");
    }
    rate(begun.elapsed())
}

fn keep(run: &mut impl FnMut(LibraryJob) -> JobReply, path: &Path) -> JobReply {
    let manifest = scan(path).expect("it was written a moment ago");
    let song = manifest.song.id;
    run(LibraryJob::BeginUpload {
        manifest: manifest.clone(),
    });
    let mut offset = 0;
    for (index, fragment) in (0..).zip(&manifest.fragments) {
        let bytes = read_source(path, offset, fragment.length, fragment.hash).expect("as scanned");
        offset += u64::from(fragment.length);
        run(LibraryJob::KeepFragment { song, index, bytes });
    }
    run(LibraryJob::CommitUpload {
        song,
        copies_due: Vec::new(),
    })
}
