//! The load generator against real processes: what it makes is accepted, what it measures adds up,
//! and it says what is wrong with what it is given.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::lab::{self, Lab, PATIENCE, within, write_key};

/// A run of the load generator with this lab's key and DNS nodes.
fn load(lab: &Lab, words: &str) -> Command {
    let mut command = Command::new(lab::loadgen());
    lab.dress(&mut command);
    command.args(words.split(' '));
    command
}

fn run(mut command: Command) -> Output {
    command.output().expect("loadgen runs")
}

/// The object that a run with `--json` prints, and its exit code.
fn measured(output: &Output) -> (Value, Option<i32>) {
    let said = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout);
    (
        report.unwrap_or_else(|error| panic!("{error}: {said}")),
        output.status.code(),
    )
}

/// A cluster with songs that the load generator has made.
fn with_songs(lab: &mut Lab, data: usize, options: &str) -> Vec<lab::Server> {
    let (names, nodes) = lab.cluster(1, data);
    let music = lab.dir.join("music");
    let music = music.to_str().expect("a plain path");
    let made = run(load(lab, &format!("corpus {music} {options}")));
    assert!(made.status.success(), "{made:?}");
    lab.ok(&["add", music]);
    names.into_iter().chain(nodes).collect()
}

/// Thirty people listen while a data node is killed: sound goes on for all of them, and nobody is
/// refused a song.
#[test]
fn listeners_live_through_the_death_of_a_data_node() {
    let mut lab = Lab::new("listeners");
    let servers = with_songs(&mut lab, 3, "--count 6 --seconds 200 --kbps 64");
    lab.await_copies(6);
    let victim = servers.last().expect("a data node").pid();
    // At ten times the songs' own rate a fragment sounds for one second, so every listener fetches
    // several after the kill.
    let mut command = load(&lab, "--json chaos --run");
    command.arg(format!("2s:kill -9 {victim}"));
    let listeners = "listeners --count 30 --kbps 640 --seconds 5 --ramp 1 --buffer 4";
    command.args(listeners.split(' '));
    let (report, code) = measured(&run(command));
    assert_eq!(code, Some(0), "{report}");
    let figure = |name: &str| report["figures"][name].as_f64().expect("a number");
    assert_eq!(figure("listeners"), 30.0, "{report}");
    assert_eq!(figure("never_started"), 0.0, "{report}");
    assert_eq!(figure("refused"), 0.0, "{report}");
    assert_eq!(figure("stalls"), 0.0, "{report}");
    let rows = report["course"].as_array().expect("seconds");
    let after: u64 = rows
        .iter()
        .skip(3)
        .filter_map(|row| row["done"].as_u64())
        .sum();
    assert!(after > 0, "no sound came after the kill: {report}");
    let event = report["events"][0]["what"].as_str().expect("an event");
    assert_eq!(event, format!("kill -9 {victim}"));
}

/// An open loop keeps its rate, every kind of request is answered, and a true condition is named
/// and fails the run.
#[test]
fn requests_keep_their_rate() {
    let mut lab = Lab::new("requests");
    let _servers = with_songs(
        &mut lab,
        1,
        "--count 5 --seconds 20 --kbps 64 --format mixed",
    );
    let mix = "list=1,search=1,locate=1,resolve=1,fetch=1,upload=1";
    let words = format!("--json requests --mix {mix} --rate 200 --seconds 2 --connections 2");
    let (report, code) = measured(&run(load(&lab, &words)));
    assert_eq!(code, Some(0), "{report}");
    let figure = |name: &str| report["figures"][name].as_f64().expect("a number");
    assert_eq!(figure("failed"), 0.0, "{report}");
    assert!((395.0..=401.0).contains(&figure("answered")), "{report}");
    for kind in ["list", "search", "locate", "resolve", "fetch", "upload"] {
        let count = report["latency"][kind]["count"].as_u64();
        assert!(count > Some(20), "{kind}: {report}");
    }
    let words = "--json --fail-on answered>1,failed>0 requests --mix locate --seconds 500ms";
    let output = run(load(&lab, words));
    let (report, code) = measured(&output);
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(report["broken"], serde_json::json!(["answered>1"]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.ends_with("loadgen: failed: answered>1\n"), "{said}");
}

/// Sixty connections ask a data node for three times what it can send. What it takes in is answered
/// soon, the rest is refused, no connection is lost, nobody is called dead, and afterwards all is as
/// before.
#[test]
fn an_overloaded_node_refuses_and_recovers() {
    let mut lab = Lab::new("overload");
    let _servers = with_songs(&mut lab, 1, "--count 5 --seconds 60 --kbps 320");
    let words =
        "--json --fail-on failed>0 overload --times 3 --mix fetch --connections 60 --seconds 2";
    let (report, code) = measured(&run(load(&lab, words)));
    assert_eq!(code, Some(0), "{report}");
    let figure = |phase: usize, name: &str| {
        let figure = report["phases"][phase]["figures"][name].as_f64();
        figure.unwrap_or_else(|| panic!("{phase} {name}: {report}"))
    };
    for phase in 0..4 {
        assert_eq!(figure(phase, "lost"), 0.0, "{report}");
        assert_eq!(figure(phase, "late"), 0.0, "{report}");
    }
    let (overload, capacity) = (2, report["capacity"].as_f64().expect("a number"));
    assert!(figure(overload, "refused") > capacity, "{report}");
    assert!(figure(overload, "answered") > 0.0, "{report}");
    let status: Vec<Value> = lab.json(&["status"]);
    let nodes = status[0]["nodes"].as_array().expect("nodes");
    assert!(
        nodes.iter().all(|node| node["state"] == "alive"),
        "{status:?}"
    );
}

/// The page's `/stream` is listened to like the node protocol; songs come from its own list.
#[test]
fn listeners_at_a_page_hear_sound() {
    let mut lab = Lab::new("page");
    let _servers = with_songs(&mut lab, 1, "--count 3 --seconds 30 --kbps 64");
    let (_web, at) = super::web::http::web(&lab, &[]);
    let words = format!(
        "--json --svg {} listeners --http http://{at} --count 8 --seconds 2 --ramp 500ms --jumps 60",
        lab.dir.join("run.svg").display()
    );
    let (report, code) = measured(&run(load(&lab, &words)));
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["figures"]["never_started"], 0.0, "{report}");
    assert_eq!(report["latency"]["start"]["count"], 8, "{report}");
    assert!(
        report["latency"]["jump"]["count"].as_u64() > Some(0),
        "{report}"
    );
    let drawn = std::fs::read_to_string(lab.dir.join("run.svg"));
    assert!(drawn.expect("a picture").starts_with("<svg"));
}

/// Songs of every format arrive with the length that they were made with.
#[test]
fn a_corpus_is_accepted() {
    let mut lab = Lab::new("corpus");
    let _servers = with_songs(
        &mut lab,
        1,
        "--count 5 --seconds 12 --kbps 128 --format mixed",
    );
    let songs = lab.json(&["ls"]);
    let mut formats: Vec<&str> = songs
        .iter()
        .filter_map(|song| song["format"].as_str())
        .collect();
    formats.sort_unstable();
    assert_eq!(formats, ["flac", "mp3", "mp3", "opus", "wav"]);
    for song in &songs {
        let millis = song["duration_ms"].as_u64().expect("a length");
        assert!(millis.abs_diff(12_000) < 100, "{song}");
        assert!(
            song["artist"].as_str().expect("text").starts_with("The "),
            "{song}"
        );
    }
}

/// Each mistake is one line that says what to do, with an exit code of its own.
#[test]
fn mistakes_are_named() {
    let mut lab = Lab::new("mistakes");
    let fails = |lab: &Lab, words: &str, code: i32| lab::failure(run(load(lab, words)), code);
    let away = fails(&lab, "--dns 127.0.0.1:1 requests", 3);
    assert!(away.contains("no DNS node can be reached"), "{away}");
    let stranger = fails(&lab, "--dns 192.0.2.1 requests", 2);
    assert!(stranger.contains("--anywhere"), "{stranger}");
    let _servers = lab.cluster(1, 1);
    let empty = fails(&lab, "listeners", 1);
    assert!(
        empty.contains("no songs") && empty.contains("loadgen corpus"),
        "{empty}"
    );
    let figure = fails(&lab, "--fail-on p99>1,dance>1 listeners", 2);
    assert!(figure.contains("dance>1"), "{figure}");
    let find = fails(&lab, "find requests --mix resolve", 2);
    assert!(find.contains("--fail-on"), "{find}");
    let mut limited = Command::new("sh");
    let program = lab::loadgen().display();
    let line = format!("ulimit -n 64; exec {program} \"$@\"");
    limited.args(["-c", &line, "sh"]);
    lab.dress(&mut limited);
    limited.args(["requests", "--mix", "resolve", "--connections", "100"]);
    let few = lab::failure(run(limited), 1);
    assert!(
        few.contains("needs 132 file descriptors") && few.contains("ulimit -n 132"),
        "{few}"
    );
    write_key(&lab.dir.join("key"), "6f");
    let key = fails(&lab, "requests --mix resolve", 3);
    assert!(key.contains("refused this key"), "{key}");
}

/// Ctrl-C ends a run early, with the report of what there was.
#[test]
fn a_run_that_is_stopped_prints_what_it_has() {
    let mut lab = Lab::new("stopped");
    let _servers = lab.cluster(1, 1);
    let mut command = load(
        &lab,
        "--json requests --mix resolve --rate 100 --seconds 600",
    );
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("loadgen starts");
    let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let second = |line: &std::io::Result<String>| {
        line.as_ref()
            .is_ok_and(|line| line.trim_start().starts_with("1 "))
    };
    assert!(lines.any(|line| second(&line)), "no second has passed");
    let kill = Command::new("kill")
        .arg("-INT")
        .arg(child.id().to_string())
        .status();
    assert!(kill.expect("kill runs").success());
    let mut out = child.stdout.take().expect("it is piped");
    let printed = within(PATIENCE, move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let printed = printed.expect("the run ends").expect("text");
    assert!(child.wait().expect("our child").success());
    let report: Value = serde_json::from_str(&printed).expect("JSON");
    assert!(
        report["figures"]["answered"].as_f64() >= Some(50.0),
        "{report}"
    );
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("stopped before its end"), "{warnings}");
}
