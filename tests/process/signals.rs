//! Signals that would kill other programs, and the one that must end this one in time.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::lab::{Lab, dispotify, failure};
use super::sound;

/// A command of this lab whose files may not grow beyond so many MiB.
fn limited(lab: &Lab, mib: u32, words: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let limit = format!("ulimit -f {}; exec \"$@\"", mib * 2048);
    command.args(["-c", &limit, "sh"]).arg(dispotify());
    lab.dress(&mut command);
    command.args(words);
    command
}

/// A limit on the size of files (SIGXFSZ) makes a write fail, with a reason: it kills neither a command
/// nor a node, and the node goes on serving what it has.
#[test]
fn a_limit_of_file_size_kills_nothing() {
    let mut lab = Lab::new("xfsz");
    let _names = lab.cluster(1, 0);
    let data = lab.dir.join("data0");
    let mut node = limited(
        &lab,
        16,
        &["node", "data", "--host", "127.0.0.1", "--port", "0"],
    );
    node.arg("--data-dir").arg(&data).args(["--log", "debug"]);
    node.args(["--set", "resolve.refresh=500ms"]);
    let node = lab.spawn(node);
    let song = |name: &str, seconds: u32| {
        let path = lab.dir.join(name);
        sound::wav(&path, seconds, 300.0 + seconds as f32);
        path.display().to_string()
    };
    lab.ok(&["add", &song("small.wav", 5)]);
    let id = lab.id_of("small");

    // What is fetched does not fit; what is added does not fit either.
    let get = |mib| {
        let to = lab.dir.join("out.wav").display().to_string();
        let mut get = limited(&lab, mib, &["get", &id, "-o", &to]);
        get.arg("--cache-dir").arg(lab.dir.join("none"));
        get.output().expect("it runs")
    };
    let said = failure(get(0), 1);
    assert!(said.contains("File too large"), "{said}");
    assert!(get(8).status.success());
    let added = lab.run(&["add", &song("large.wav", 150)]);
    assert_eq!(added.status.code(), Some(1), "{added:?}");
    let whole = fs::read(lab.dir.join("small.wav")).expect("the song");
    assert!(lab.ok(&["play", &id, "--stdout"]) == whole);
    assert!(Path::new(&format!("/proc/{}", node.pid())).exists());
}

/// A reader that goes away (SIGPIPE) ends a command without an error, and no node.
#[test]
fn a_closed_pipe_kills_nothing() {
    let mut lab = Lab::new("pipe");
    let dns = lab.start("dns", "dns", &[]);
    lab.use_dns(&dns.address);
    let mut node = lab.node("router", "router", "0");
    let mut node = (node.stdout(Stdio::piped()).stderr(Stdio::piped()))
        .spawn()
        .expect("it starts");
    let mut ready = String::new();
    let out = node.stdout.take().expect("it is piped");
    BufReader::new(out).read_line(&mut ready).expect("a line");
    assert!(ready.starts_with("ready router "), "{ready}");
    let mut first = [0; 1];
    let mut log = node.stderr.take().expect("it is piped");
    log.read_exact(&mut first).expect("a log");
    drop(log);
    // Each connection is a line in a log that nobody reads.
    for _ in 0..3 {
        lab.await_status("the router answers", |status| status["songs"] == 0);
    }
    assert!(node.try_wait().expect("ours").is_none());
    node.kill().expect("it runs");
    node.wait().expect("ours");

    let mut resolve = lab.command(&["help"]);
    let mut resolve = resolve.stdout(Stdio::piped()).spawn().expect("it starts");
    drop(resolve.stdout.take());
    let status = resolve.wait().expect("ours");
    assert_eq!(status.signal(), None, "{status}");
}

/// A node that is told to end does so within its bound, although nobody hears its goodbyes and an
/// upload hangs.
#[test]
fn a_node_ends_in_time() {
    let mut lab = Lab::new("term");
    let (mut names, mut data) = lab.cluster(1, 2);
    let song = lab.dir.join("long.wav");
    sound::wav(&song, 60, 440.0);
    let mut add = lab.command(&["add", song.to_str().expect("a path")]);
    let mut add = (add.stdout(Stdio::null()).stderr(Stdio::null()))
        .spawn()
        .expect("it starts");
    data[1].signal("STOP");
    for server in &names {
        server.signal("STOP");
    }
    data[0].signal("TERM");
    let begun = Instant::now();
    data[0].wait();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}");
    add.kill().expect("ours");
    add.wait().expect("ours");
    data[1].kill();
    names.iter_mut().for_each(|server| server.kill());
}
