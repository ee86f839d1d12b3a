//! Bad input gets one clear line and the right exit code, and no data is lost.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::lab::{Lab, dispotify, failure, write_key};
use super::sound;

/// Every kind of node refuses a client with a wrong key, with exit code 3 within ten seconds. So it
/// does with another cluster name and with `--insecure`.
#[test]
fn a_wrong_key_is_refused() {
    let mut lab = Lab::new("key");
    let (names, data) = lab.cluster(1, 1);
    write_key(&lab.dir.join("other"), "a7");
    let other = lab.dir.join("other");
    for server in names.iter().chain(&data) {
        let begun = Instant::now();
        let mut ls = lab.command(&["ls", "--dns", &server.address]);
        ls.arg("--key-file").arg(&other);
        let said = failure(ls.output().expect("it runs"), 3);
        assert!(said.contains("key"), "{}: {said}", server.role);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    let said = lab.fails(&["ls", "--cluster", "another"], 3);
    assert!(said.contains("cluster name"), "{said}");
    let said = lab.fails(&["ls", "--insecure"], 3);
    assert!(said.contains("refused"), "{said}");
}

/// More commands at once than a node has places for: each is served within its ten seconds, and none
/// is told that its key was refused.
#[test]
fn a_crowd_is_served_one_after_the_other() {
    let mut lab = Lab::new("crowd");
    let (_serve, _) = lab.serve_with_files(72);
    let file = lab.dir.join("tone.wav");
    sound::wav(&file, 3, 440.0);
    let added = lab.json(&["add", file.to_str().expect("a path")]);
    let id = added[0]["id"].as_str().expect("an id");
    let get = |n| {
        let mut get = lab.command(&["get", id, "-o", &format!("{}/{n}.wav", lab.dir.display())]);
        get.arg("--cache-dir")
            .arg(lab.dir.join(format!("cache-{n}")));
        get.stdout(Stdio::null()).stderr(Stdio::piped());
        get.spawn().expect("it starts")
    };
    let all: Vec<_> = (0..80).map(get).collect();
    for get in all {
        let output = get.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
    }
}

/// Without a key, nodes and commands speak on one machine only.
#[test]
fn insecure_ends_at_this_machine() {
    let lab = Lab::new("insecure");
    let beyond = lab.fails(&["ls", "--insecure", "--dns", "192.0.2.1"], 2);
    assert!(beyond.contains("--insecure"), "{beyond}");
    for words in [
        &["node", "dns", "--host", "192.0.2.1"][..],
        &["serve", "--web", "off", "--host", "192.0.2.1"],
    ] {
        let said = lab.fails(&[words, &["--port", "0", "--insecure"]].concat(), 2);
        assert!(said.contains("--insecure"), "{said}");
    }
    assert!(!lab.dir.join("share").exists(), "nothing was begun");
}

/// `add` says once that the key is refused, and stops; JSON has a line for each file.
#[test]
fn a_wrong_key_stops_an_add_at_once() {
    let mut lab = Lab::new("add-key");
    let _cluster = lab.cluster(1, 1);
    let folder = lab.dir.join("songs");
    fs::create_dir_all(&folder).expect("a folder");
    for n in 0..9 {
        sound::noise(&folder.join(format!("{n}.mp3")), 1_000, n + 1);
    }
    // The client knows the routers from an earlier run, and asks them, too.
    lab.ok(&["ls"]);
    write_key(&lab.dir.join("other"), "a7");
    let add = |more: &[&str]| {
        let mut add = lab.command(&["add", folder.to_str().expect("a path")]);
        add.arg("--key-file").arg(lab.dir.join("other")).args(more);
        let output = add.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (said, failure(output, 3))
    };
    let (said, reason) = add(&[]);
    assert_eq!(said, "");
    assert_eq!(reason.matches("refused this key").count(), 1, "{reason}");
    assert_eq!(reason.lines().count(), 1, "{reason}");
    let (said, reason) = add(&["--json"]);
    let lines: Vec<Value> = (said.lines())
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    assert_eq!(lines.len(), 9);
    for line in lines {
        let error = line["error"].as_str().expect("a reason");
        assert!(error.contains("refused this key"), "{line}");
    }
    assert!(reason.contains("refused this key"), "{reason}");
}

#[test]
fn nobody_there_is_exit_code_three() {
    let mut lab = Lab::new("nobody");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let free = listener.local_addr().expect("its address").to_string();
    drop(listener);
    lab.use_dns(&free);
    for words in [
        &["ls"][..],
        &["status"],
        &["get", "ab"],
        &["resolve", "data"],
    ] {
        let said = lab.fails(words, 3);
        assert!(said.contains("no dns node can be reached"), "{said}");
    }
    let file = lab.dir.join("tone.wav");
    sound::wav(&file, 1, 440.0);
    let output = lab.run(&["add", file.to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn what_makes_no_sense_is_exit_code_two() {
    let lab = Lab::new("usage");
    lab.fails(&["get", "xyz"], 2);
    lab.fails(&["ls", "--dns", "localhost"], 2);
    lab.fails(&["ls", "--set", "no.such=1s"], 2);
    lab.fails(&["ls", "--set", "data.announce=1"], 2);
    lab.fails(&["ls", "--set", "router.suspect=1s"], 2);
    lab.fails(&["resolve", "example.org"], 2);
    for words in [&["nonsense"][..], &["node"], &["ls", "--bogus"]] {
        assert_eq!(lab.run(words).status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn unknown_and_ambiguous_ids_are_told_apart() {
    let mut lab = Lab::new("ids");
    let _cluster = lab.cluster(1, 1);
    // With seventeen songs at least two ids begin with the same hex digit.
    let folder = lab.dir.join("songs");
    fs::create_dir_all(&folder).expect("a folder");
    for n in 0..17 {
        sound::noise(&folder.join(format!("{n}.mp3")), 1_000, n + 1);
    }
    lab.ok(&["add", folder.to_str().expect("a path")]);
    let ids: Vec<String> = (lab.json(&["ls"]).iter())
        .map(|song| song["id"].as_str().expect("an id").to_owned())
        .collect();
    let shared = |digit: &&str| ids.iter().filter(|id| id.starts_with(digit)).count() > 1;
    let digits: Vec<String> = (0..16).map(|n| format!("{n:x}")).collect();
    let digit = digits.iter().map(String::as_str).find(shared);
    let said = lab.fails(&["get", digit.expect("17 songs, 16 digits")], 1);
    assert!(said.contains("give more digits"), "{said}");
    let said = lab.fails(&["get", &"f".repeat(32)], 1);
    assert!(said.contains("no such song"), "{said}");
}

/// Files that cannot be added are named; the other files are added.
#[test]
fn unreadable_files_are_named() {
    let mut lab = Lab::new("files");
    let _cluster = lab.cluster(1, 1);
    let folder = lab.dir.join("songs");
    fs::create_dir_all(&folder).expect("a folder");
    sound::wav(&folder.join("good.wav"), 1, 440.0);
    fs::write(folder.join("empty.mp3"), "").expect("a file");
    let (folder, missing) = (folder.to_str().expect("a path"), "/no/such/file.mp3");
    let output = lab.run(&["add", folder, missing]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("added") && said.contains("empty.mp3") && said.contains(missing),
        "{said}"
    );
    assert!(said.contains("1 added, 0 known, 2 failed"), "{said}");
    assert_eq!(lab.json(&["ls"]).len(), 1);
}

/// What is skipped in a folder is counted, and named on demand; it is no failure. A name that is
/// no UTF-8 stands in JSON so that a script finds the file.
#[test]
fn what_is_skipped_is_counted_and_named() {
    let mut lab = Lab::new("skipped");
    let _cluster = lab.cluster(1, 1);
    let folder = lab.dir.join("songs");
    fs::create_dir_all(folder.join(".trash")).expect("a folder");
    let odd = OsStr::from_bytes(b"caf\xe9 100%.wav");
    for (name, tone) in [(OsStr::new("...And So On.wav"), 300.0), (odd, 500.0)] {
        sound::wav(&folder.join(name), 1, tone);
    }
    for name in [".hidden.mp3", "cover.jpg", ".trash/old.mp3"] {
        fs::write(folder.join(name), "x").expect("a file");
    }
    symlink("/no/such/file.mp3", folder.join("dead.mp3")).expect("a link");
    let folder = folder.to_str().expect("a path");

    let said = String::from_utf8(lab.ok(&["add", folder])).expect("text");
    assert!(
        said.contains("2 added, 0 known, 0 failed, 4 skipped"),
        "{said}"
    );
    assert!(!said.contains("cover.jpg"), "{said}");
    assert_eq!(said.matches("one copy only").count(), 1, "{said}");
    assert!(said.contains("2 songs with one copy only"), "{said}");
    let said = String::from_utf8(lab.ok(&["add", "--verbose", folder])).expect("text");
    for name in ["cover.jpg", "dead.mp3", ".hidden.mp3", ".trash"] {
        assert!(said.contains(&format!("{folder}/{name}: ")), "{said}");
    }
    let lines = lab.json(&["add", folder]);
    assert_eq!(lines.len(), 2);
    let bytes = |line: &Value| line["file_bytes"].as_str().map(str::to_owned);
    let encoded: Vec<String> = lines.iter().filter_map(bytes).collect();
    assert_eq!(encoded.len(), 1);
    assert!(
        encoded[0].ends_with("%2Fcaf%E9%20100%25.wav"),
        "{encoded:?}"
    );
}

#[test]
fn a_port_or_a_directory_has_one_node() {
    let mut lab = Lab::new("taken");
    let (_names, data) = lab.cluster(1, 1);
    let (_, port) = data[0].address.rsplit_once(':').expect("an address");
    let taken = lab.node("data", "fresh", port).output();
    let said = last_line(taken.expect("it runs"));
    assert!(
        said.contains("listen on") && said.contains("--port"),
        "{said}"
    );
    let in_use = lab.node("data", "data0", "0").output();
    let said = last_line(in_use.expect("it runs"));
    assert!(
        said.contains("data directory") && said.contains("in use"),
        "{said}"
    );
    let other = lab.node("router", "data0", "0").output();
    assert_eq!(other.expect("it runs").status.code(), Some(1));
}

/// An older copy of a node's folder is started elsewhere, after the node itself has started a few
/// more times. The others refuse the copy, so it says why and ends; the node goes on.
#[test]
fn an_older_copy_of_a_folder_ends() {
    let mut lab = Lab::new("older");
    let (_names, mut data) = lab.cluster(1, 2);
    data[0].signal("TERM");
    data[0].wait();
    let (folder, copy) = (lab.dir.join("data0"), lab.dir.join("copy"));
    let copied = Command::new("cp")
        .arg("-r")
        .arg(&folder)
        .arg(&copy)
        .status();
    assert!(copied.expect("cp runs").success());
    // As an earlier version leaves it: the copy cannot ask the original.
    fs::remove_file(copy.join("address")).expect("its address");
    for _ in 0..3 {
        data[0] = lab.restart(&data[0], "data0");
        data[0].kill();
    }
    data[0] = lab.restart(&data[0], "data0");
    lab.launch(lab.node("data", "copy", "0")).wait();
    assert!(
        lab.read_log()
            .contains("a newer start of this node is known")
    );
    lab.await_status("the node is there", |status| {
        let nodes = status["nodes"].as_array();
        let alive = |node: &&Value| node["role"] == "data" && node["state"] == "alive";
        nodes.into_iter().flatten().filter(alive).count() == 2
    });
}

#[test]
fn a_foreign_or_newer_library_is_left_alone() {
    let mut lab = Lab::new("foreign");
    let (_names, mut data) = lab.cluster(1, 2);
    data.iter_mut().for_each(super::lab::Server::kill);
    let place = |name: &str| lab.dir.join(name).join("library.db");
    fs::copy(place("data0"), place("data1")).expect("a copied library");
    let said = last_line(lab.node("data", "data1", "0").output().expect("it runs"));
    assert!(
        said.contains("library.db") && said.contains("belongs to node"),
        "{said}"
    );
    fs::write(place("data0"), "this is no library").expect("garbage");
    let _ = fs::remove_file(lab.dir.join("data0/library.db-wal"));
    let said = last_line(lab.node("data", "data0", "0").output().expect("it runs"));
    assert!(said.contains("library.db"), "{said}");
    assert_eq!(fs::read(place("data0")).expect("it"), b"this is no library");
}

/// S41: a data node with a full disk refuses uploads and goes on serving; the song goes to another
/// data node, or the upload fails.
#[test]
fn a_full_disk_is_told_and_survived() {
    let mut lab = Lab::new("full");
    let dns = lab.start("dns", "dns", &[]);
    lab.use_dns(&dns.address);
    let _router = lab.start("router", "router0", &[]);
    let dir = lab.dir.join("data0");
    fs::create_dir_all(&dir).expect("a folder");
    if !small_disk(&dir)
        .arg("true")
        .status()
        .is_ok_and(|status| status.success())
    {
        sound::skipped("a small disk, there are no user namespaces");
        return;
    }
    let mut limited = small_disk(&dir);
    limited.arg(dispotify());
    lab.dress(&mut limited);
    limited.args(["node", "data", "--host", "127.0.0.1", "--port", "0"]);
    limited.arg("--data-dir").arg(&dir);
    let _full = lab.spawn(limited);
    let (small, big) = (lab.dir.join("small.wav"), lab.dir.join("big.wav"));
    sound::wav(&small, 2, 440.0);
    sound::wav(&big, 60, 440.0);
    lab.ok(&["add", small.to_str().expect("a path")]);
    let output = lab.run(&["add", big.to_str().expect("a path")]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("disk is full"), "{said}");
    let id = lab.id_of("small");
    assert!(lab.ok(&["get", &id, "-o", "-"]) == fs::read(&small).expect("added"));
    assert_eq!(lab.json(&["ls"]).len(), 1);

    let roomy = lab.start("data", "roomy", &[]);
    lab.await_status("there is room again", |status| {
        let nodes = status["nodes"].as_array().into_iter().flatten();
        nodes.filter(|node| node["role"] == "data").count() == 2
    });
    // Either data node may be asked first, so several songs are added.
    for n in 0..5 {
        let file = lab.dir.join(format!("{n}.mp3"));
        sound::noise(&file, 5_000_000, n);
        let added = lab.json(&["add", file.to_str().expect("a path")]).remove(0);
        assert_eq!(added["copies"], 1, "{added}");
        let id = added["id"].as_str().expect("an id");
        assert!(lab.ok(&["get", id, "-o", "-"]) == fs::read(&file).expect("added"));
    }
    drop(roomy);
    fs::remove_dir_all(lab.dir.join("cache")).expect("a cache");
    assert!(lab.ok(&["get", &id, "-o", "-"]) == fs::read(&small).expect("added"));
}

/// Runs the arguments that follow in a namespace where a disk of four megabytes is mounted at
/// `dir`.
fn small_disk(dir: &std::path::Path) -> Command {
    let mut unshare = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=4m none \"$0\" && exec \"$@\"";
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", mount]);
    unshare.arg(dir).arg("env");
    unshare
}

/// A command whose output is closed by its reader ends quietly.
#[test]
fn a_closed_pipe_is_no_error() {
    let mut lab = Lab::new("pipe");
    let _cluster = lab.cluster(1, 1);
    let file = lab.dir.join("tone.wav");
    sound::wav(&file, 20, 440.0);
    lab.ok(&["add", file.to_str().expect("a path")]);
    let id = lab.id_of("tone");
    let mut play = lab.command(&["play", &id, "--stdout"]);
    let piped = play.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = piped.expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
}

/// The last line of error output of a node that could not start; its log comes before.
fn last_line(output: std::process::Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said.lines().last().unwrap_or_default().to_owned()
}
