//! What an operator, a supervisor and a container use.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::lab::{Lab, PATIENCE, Server, dispotify};
use super::netlab;
use super::sound;
use super::web::http::ask;

fn said(output: Vec<u8>) -> String {
    String::from_utf8(output).expect("text")
}

/// One line and 0 for each role; a stopped node is not well, a frozen one neither.
#[test]
fn health_looks_at_one_node() {
    let mut lab = Lab::new("health");
    let (mut names, data) = lab.cluster(1, 1);
    let well = |server: &Server, beginning: &str| {
        let line = said(lab.ok(&["health", &server.address]));
        assert_eq!(line.lines().count(), 1);
        assert!(
            line.starts_with(&format!("healthy {beginning} {}", server.address)),
            "{line}"
        );
    };
    well(&names[0], "dns");
    well(&names[1], "router");
    well(&data[0], "data");
    // The node is asked, not the cluster.
    names[0].kill();
    well(&data[0], "data");
    let line = lab.fails(&["health", &names[0].address], 3);
    assert!(line.contains("no node listens"), "{line}");
    data[0].signal("STOP");
    let line = lab.fails(&["health", &data[0].address], 3);
    data[0].signal("CONT");
    assert!(line.contains("ask 127.0.0.1"), "{line}");
    assert!(
        lab.fails(&["health", "nowhere"], 2)
            .contains("write an IP address")
    );
}

/// A node that has found no DNS node yet listens, and is not well.
#[test]
fn health_tells_a_node_without_a_role() {
    let lab = Lab::new("roleless");
    let mut command = lab.node("auto", "auto", "0");
    command.env("DISPOTIFY_DNS", "127.0.0.1:1");
    let _waiting = lab.launch(command);
    let address = lab.await_listening();
    let line = lab.fails(&["health", &address], 1);
    assert!(line.contains("no role yet"), "{line}");
    super::lab::write_key(&lab.dir.join("other"), "77");
    let other = lab.dir.join("other").display().to_string();
    let mut strange = lab.command_without_key(&["health", &address, "--key-file", &other]);
    let line = super::lab::failure(strange.output().expect("it runs"), 3);
    assert!(line.contains("refuses this key"), "{line}");
}

/// The page of a node's own process: it plays, it is well, and it ends with the node.
#[test]
fn a_node_serves_the_page() {
    let mut lab = Lab::new("nodeweb");
    let (_names, _data) = lab.cluster(1, 1);
    let mut command = lab.node("data", "page", "0");
    command.args(["--web", "127.0.0.1:0"]);
    let mut page = lab.spawn_when(command, "ready web");
    let at = page
        .address
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    lab.await_status("the node with the page is there", |status| {
        status["nodes"].as_array().map_or(0, Vec::len) == 4
    });
    let line = said(lab.ok(&["health", "--web", &at]));
    assert!(line.starts_with("healthy web"), "{line}");
    page.signal("TERM");
    assert!(page.wait().success());
    let line = lab.fails(&["health", "--web", &at], 3);
    assert!(line.contains("ask http://"), "{line}");
}

/// A machine with one address needs no `--host`, and a supervisor on it no address.
#[test]
fn a_machine_with_one_address_takes_it() {
    if !netlab::inside("operator::a_machine_with_one_address_takes_it", 1) {
        return;
    }
    let mut lab = Lab::new("onlyhost");
    lab.host = Some(netlab::host(1));
    let mut command = lab.command(&["node", "dns"]);
    command.arg("--data-dir").arg(lab.dir.join("dns"));
    let dns = lab.spawn(command);
    assert_eq!(dns.address, format!("{}:7700", netlab::address(1)));
    assert!(
        lab.read_log()
            .contains(&format!("host {}", netlab::address(1)))
    );
    let line = said(lab.ok(&["health"]));
    assert!(
        line.starts_with(&format!("healthy dns {}", dns.address)),
        "{line}"
    );
    let mut second = Command::new("ip");
    second.args([
        "-n",
        &netlab::host(1),
        "addr",
        "add",
        "10.78.0.1/24",
        "dev",
        "eth0",
    ]);
    assert!(second.status().expect("ip runs").success());
    let line = lab.fails(&["node", "router"], 2);
    assert!(line.contains("10.77.0.11, 10.78.0.1"), "{line}");
}

/// Prometheus' own checker reads the figures, in a process with a node; they are told without a router,
/// too, and to nobody who comes by a name of somebody else's.
#[test]
fn metrics_are_what_prometheus_reads() {
    let mut lab = Lab::new("metrics");
    let (server, page) = lab.serve();
    sound::wav(&lab.dir.join("one.wav"), 1, 440.0);
    lab.ok(&["add", &lab.dir.join("one.wav").display().to_string()]);
    lab.await_status("the song is there", |status| status["songs"] == 1);
    let figures = |fields: &[&str]| {
        let answer = ask(&page, "GET /metrics", fields, b"");
        assert_eq!(answer.status, 200);
        String::from_utf8(answer.body).expect("text")
    };
    figures(&[]);
    let text = figures(&[]);
    for line in [
        "dispotify_up 1",
        "dispotify_songs 1",
        "dispotify_nodes{role=\"data\",state=\"alive\"} 1",
        "dispotify_http_requests_total{route=\"metrics\",code=\"200\"} 1",
        "dispotify_connections{with=\"browsers\"} 1",
    ] {
        assert!(text.lines().any(|told| told == line), "{line}\n{text}");
    }
    let id = format!("node=\"{}\"", server.id);
    assert!(
        text.contains(&id) && text.contains("dispotify_queue_length"),
        "{text}"
    );
    let memory = text
        .lines()
        .find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    let memory: f64 = memory
        .and_then(|bytes| bytes.parse().ok())
        .expect("a number");
    assert!(memory > 1e6);
    let open = figures(&["Accept: application/openmetrics-text; version=1.0.0"]);
    assert!(open.ends_with("# EOF\n") && open.contains("# TYPE dispotify_http_requests counter"));
    assert_eq!(
        ask(&page, "GET /metrics", &["Host: evil.example"], b"").status,
        421
    );
    checked_by_promtool(&text);
}

fn checked_by_promtool(text: &str) {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    let Ok(mut child) = promtool
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        return sound::skipped("figures read by promtool, it is not installed");
    };
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

/// The log goes to a file, and after SIGHUP to a new one of the same name, as rotation wants it.
#[test]
fn sighup_begins_a_new_log() {
    let lab = Lab::new("sighup");
    let (file, moved) = (lab.dir.join("node.log"), lab.dir.join("node.log.1"));
    let mut command = lab.node("dns", "dns", "0");
    command.arg("--log-file").arg(&file);
    let mut node = lab.spawn(command);
    // "ready" is printed before the log is written.
    let begun = Instant::now();
    while !fs::read_to_string(&file).is_ok_and(|log| log.contains(" start=")) {
        assert!(begun.elapsed() < PATIENCE, "nothing in the log");
        lab.ok(&["resolve", "dispotify.dns", "--dns", &node.address]);
    }
    fs::rename(&file, &moved).expect("it is moved");
    node.signal("HUP");
    let begun = Instant::now();
    while !file.exists() {
        assert!(begun.elapsed() < PATIENCE, "no new log");
        lab.ok(&["resolve", "dispotify.dns", "--dns", &node.address]);
    }
    node.signal("TERM");
    assert!(node.wait().success());
    let log = fs::read_to_string(&file).expect("a log");
    assert!(
        log.contains("log reopened") && log.contains("stopped"),
        "{log}"
    );
    let missing = lab.dir.join("none/node.log").display().to_string();
    let line = lab.fails(
        &["node", "dns", "--host", "127.0.0.1", "--log-file", &missing],
        1,
    );
    assert!(line.contains("none/node.log"), "{line}");
}

/// Without a log file SIGHUP ends a node in order, as when its terminal is closed.
#[test]
fn sighup_ends_a_node_without_a_log_file() {
    let lab = Lab::new("hangup");
    let mut node = lab.start("dns", "dns", &[]);
    node.signal("HUP");
    assert!(node.wait().success());
}

/// A supervisor hears when the node is ready, that its loop turns, and that it ends.
#[test]
fn a_supervisor_is_told() {
    let lab = Lab::new("notify");
    let path = lab.dir.join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let heard = || {
        let mut buffer = [0; 200];
        let length = socket.recv(&mut buffer).expect("a word");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut command = lab.node("dns", "dns", "0");
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000");
    let mut node = lab.spawn(command);
    let mut words = vec![heard()];
    while words.iter().filter(|word| *word == "WATCHDOG=1").count() < 3 {
        words.push(heard());
    }
    assert!(words.iter().any(|word| word == "READY=1"), "{words:?}");
    node.signal("TERM");
    while heard() != "STOPPING=1" {}
    assert!(node.wait().success());
}

/// The units are complete, and leave the process little to do harm with.
#[test]
fn units_are_what_systemd_takes() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/systemd"));
    let lab = Lab::new("units");
    for name in [
        "dispotify-node@.service",
        "dispotify-web.service",
        "dispotify-serve.service",
    ] {
        let text = fs::read_to_string(folder.join(name)).expect("a unit");
        // The program is not installed where tests run.
        let text = text.replace("/usr/bin/dispotify", &dispotify().display().to_string());
        let unit = lab.dir.join(name.replace('@', "@data"));
        fs::write(&unit, text).expect("a file");
        let analyze = |words: &[&str]| {
            let mut command = Command::new("systemd-analyze");
            command.args(words).arg(&unit).output().ok()
        };
        let Some(verified) = analyze(&["verify", "--man=no"]) else {
            return sound::skipped("units read by systemd-analyze, it is not installed");
        };
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        let ours: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("dispotify"))
            .collect();
        assert!(ours.is_empty(), "{name}: {ours:?}");
        let secure = analyze(&["security", "--offline=true", "--threshold=20"]).expect("it runs");
        let said = String::from_utf8_lossy(&secure.stdout).into_owned();
        assert!(secure.status.success(), "{name}: {said}");
    }
}

/// Completions for each shell, and a page of the manual for each command.
#[test]
fn completions_and_man_pages_are_written() {
    let lab = Lab::new("man");
    for (shell, word) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef dispotify"),
        ("fish", "complete -c dispotify"),
    ] {
        let text = said(lab.ok(&["completions", shell]));
        assert!(text.contains(word) && text.contains("health"), "{shell}");
    }
    let folder = lab.dir.join("man1");
    lab.ok(&["man", &folder.display().to_string()]);
    for page in [
        "dispotify.1",
        "dispotify-node.1",
        "dispotify-health.1",
        "dispotify-key-derive.1",
    ] {
        let text = fs::read_to_string(folder.join(page)).expect("a page");
        assert!(text.contains(".TH"), "{page}");
    }
    assert!(!folder.join("dispotify-find-cover.1").exists());
    let node = fs::read_to_string(folder.join("dispotify-node.1")).expect("a page");
    assert!(node.contains("dns\\-port") && node.contains("SYNOPSIS"));
}

/// The status again and again, one object a line, until the reader has enough.
#[test]
fn status_is_watched() {
    let mut lab = Lab::new("watch");
    let _cluster = lab.cluster(1, 1);
    let mut command = lab.command(&["status", "--json", "--watch", "100ms"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
    let out = child.stdout.take().expect("it is piped");
    let lines: Vec<String> = BufReader::new(out)
        .lines()
        .map_while(Result::ok)
        .take(3)
        .collect();
    child.kill().expect("it runs");
    child.wait().expect("it was ours");
    assert_eq!(lines.len(), 3);
    for line in lines {
        let status: serde_json::Value = serde_json::from_str(&line).expect("an object");
        assert_eq!(status["nodes"].as_array().map_or(0, Vec::len), 3);
    }
}
