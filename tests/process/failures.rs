//! Processes die or freeze at the worst moment.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::lab::{Lab, PATIENCE, Server, rest, within};
use super::sound;

/// A `get` that has begun: its process, its output so far, and the rest of its output.
struct Begun {
    child: Child,
    bytes: Vec<u8>,
}

impl Begun {
    /// Starts a get and reads its first 100 kB.
    fn new(lab: &Lab, id: &str) -> Self {
        let mut get = lab.command(&["get", id, "-o", "-"]);
        let mut child = get.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut bytes = vec![0; 100_000];
        let out = child.stdout.as_mut().expect("it is piped");
        out.read_exact(&mut bytes).expect("the beginning");
        Begun { child, bytes }
    }

    /// Reads the output to its end; the command must succeed.
    fn finish(mut self) -> Vec<u8> {
        let out = self.child.stdout.take().expect("it is piped");
        let bytes = within(PATIENCE, move || rest(out, self.bytes));
        let bytes = bytes.expect("the get ends");
        assert!(self.child.wait().expect("our child").success());
        bytes
    }
}

/// A 30 MB song with three copies, and its id.
fn big_song(lab: &Lab) -> (Vec<u8>, String) {
    let file = lab.dir.join("big.wav");
    sound::wav(&file, 170, 330.0);
    lab.ok(&["add", path(&file)]);
    lab.await_copies(1);
    (fs::read(&file).expect("added"), lab.id_of("big"))
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Two of three holders are killed during a get, so that the serving one is among them.
#[test]
fn a_get_survives_the_death_of_its_holders() {
    let mut lab = Lab::new("kill");
    let (_names, mut data) = lab.cluster(2, 3);
    let (original, id) = big_song(&lab);
    let get = Begun::new(&lab, &id);
    data[0].kill();
    data[1].kill();
    assert!(get.finish() == original);
}

/// A frozen holder is as useless as a dead one, and its connection stays open.
#[test]
fn a_get_survives_a_frozen_holder() {
    let mut lab = Lab::new("freeze");
    let (_names, data) = lab.cluster(1, 3);
    let (original, id) = big_song(&lab);
    let get = Begun::new(&lab, &id);
    data[0].signal("STOP");
    data[1].signal("STOP");
    assert!(get.finish() == original);
    data.iter().for_each(|node| node.signal("CONT"));
}

/// With a data node and a router killed and another router frozen, lists still succeed.
#[test]
fn lists_survive_dead_and_frozen_nodes() {
    let mut lab = Lab::new("lists");
    let (mut names, mut data) = lab.cluster(3, 2);
    let file = lab.dir.join("tone.wav");
    sound::wav(&file, 1, 440.0);
    lab.ok(&["add", path(&file)]);
    lab.await_copies(1);
    let list = || {
        let begun = std::time::Instant::now();
        assert_eq!(lab.json(&["ls"]).len(), 1);
        assert!(begun.elapsed() < Duration::from_secs(4), "a list was slow");
    };
    data[0].kill();
    (0..5).for_each(|_| list());
    names[1].kill();
    (0..10).for_each(|_| list());
    names[2].signal("STOP");
    (0..10).for_each(|_| list());
    names[2].signal("CONT");
}

/// The router and the DNS are not needed once a song plays.
#[test]
fn a_get_survives_router_and_dns() {
    let mut lab = Lab::new("names");
    let (mut names, _data) = lab.cluster(1, 2);
    let (original, id) = big_song(&lab);
    let get = Begun::new(&lab, &id);
    names.iter_mut().for_each(Server::kill);
    assert!(get.finish() == original);
}

/// An acknowledged upload is on two disks: the owner that acknowledged it may die at once.
#[test]
fn an_acknowledged_song_survives_its_first_owner() {
    let mut lab = Lab::new("ack");
    let (_names, mut data) = lab.cluster(1, 3);
    let file = lab.dir.join("tone.wav");
    sound::wav(&file, 12, 440.0);
    let added = lab.json(&["add", path(&file)]).remove(0);
    assert!(added["copies"].as_u64() >= Some(2), "{added}");
    data[0].kill(); // One of three; each is the first owner in some run.
    let id = added["id"].as_str().expect("an id");
    assert!(lab.ok(&["get", id, "-o", "-"]) == fs::read(&file).expect("added"));
}

/// A client that knows a router goes on without the DNS; a DNS node that restarts empty refills.
#[test]
fn the_dns_may_die_and_come_back_empty() {
    let mut lab = Lab::new("dns");
    let (mut names, _data) = lab.cluster(1, 1);
    lab.ok(&["ls"]);
    names[0].kill();
    lab.ok(&["ls"]);
    let unknown = lab.fails(&["resolve", "dispotify.data"], 3);
    assert!(unknown.contains("no dns node can be reached"), "{unknown}");
    let _again = lab.restart(&names[0], "dns");
    let registered = || lab.run(&["resolve", "dispotify.data"]).status.success();
    let begun = std::time::Instant::now();
    while !registered() {
        assert!(begun.elapsed() < PATIENCE, "{}", lab.read_log());
    }
}

/// A data node comes back as the same node with the same songs, whether it was stopped or killed.
#[test]
fn a_data_node_comes_back_with_its_songs() {
    let mut lab = Lab::new("back");
    let (_names, mut data) = lab.cluster(1, 1);
    let file = lab.dir.join("tone.wav");
    sound::wav(&file, 3, 440.0);
    lab.ok(&["add", path(&file)]);
    let id = lab.id_of("tone");
    for _ in 0..2 {
        data[0].kill();
        data[0] = lab.restart(&data[0], "data0");
        lab.await_status("one data node, one song", |status| {
            let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
            let data = |node: &&serde_json::Value| node["role"] == "data";
            status["songs"] == 1
                && nodes.iter().filter(data).count() == 1
                && nodes.iter().all(|node| node["state"] == "alive")
        });
        fs::remove_dir_all(lab.dir.join("cache")).expect("a cache");
        assert!(lab.ok(&["get", &id, "-o", "-"]) == fs::read(&file).expect("added"));
    }
}

/// A copy of a data directory runs while the original does: the copy says so and ends with 1, the
/// original goes on.
#[test]
fn a_copied_disk_ends_with_one() {
    let mut lab = Lab::new("twins");
    let (_servers, _) = lab.cluster(1, 0);
    let mut data = lab.start("data", "original", &[]);
    data.signal("TERM");
    assert!(data.wait().success());
    let copied = Command::new("cp")
        .arg("-r")
        .args([lab.dir.join("original"), lab.dir.join("copy")])
        .status();
    assert!(copied.expect("cp runs").success());
    let mut data = lab.restart(&data, "original");
    let copy = lab.node("data", "copy", "0").output().expect("it runs");
    let said = String::from_utf8_lossy(&copy.stderr);
    assert_eq!(copy.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.contains("never run a data directory and its copy at once"),
        "{said}"
    );
    lab.await_status("the original goes on", |status| {
        let nodes = status["nodes"].as_array();
        nodes.is_some_and(|nodes| {
            nodes
                .iter()
                .any(|node| node["id"] == *data.id && node["state"] == "alive")
        })
    });
    data.signal("TERM");
    assert!(data.wait().success());
}

/// A directory is copied while its node runs, and started elsewhere: it has the higher number of starts,
/// and ends all the same. Once the original has stopped, it is the node.
#[test]
fn a_younger_copy_does_not_end_the_original() {
    let mut lab = Lab::new("younger");
    let (_servers, _) = lab.cluster(1, 0);
    let mut data = lab.start("data", "original", &[]);
    let copied = Command::new("cp")
        .arg("-r")
        .args([lab.dir.join("original"), lab.dir.join("copy")])
        .status();
    assert!(copied.expect("cp runs").success());
    for _ in 0..2 {
        let copy = lab.node("data", "copy", "0").output().expect("it runs");
        let said = String::from_utf8_lossy(&copy.stderr);
        assert_eq!(copy.status.code(), Some(1), "{said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains(&data.address), "{said}");
    }
    lab.ok(&["ls"]);
    data.signal("TERM");
    assert!(data.wait().success(), "the original ran on");
    let moved = lab.start("data", "copy", &[]);
    assert_eq!(moved.id, data.id);
}

/// Servers without a role take the roles that are needed; a data node that has songs takes its role
/// again after a restart.
#[test]
fn typeless_servers_take_roles_and_keep_them() {
    let mut lab = Lab::new("auto");
    let dns = lab.start("dns", "dns", &[]);
    lab.use_dns(&dns.address);
    let start = |n: usize| lab.start("auto", &format!("auto{n}"), &[]);
    let mut servers: Vec<Server> = (0..3).map(start).collect();
    let roles: Vec<&str> = servers.iter().map(|server| &*server.role).collect();
    assert_eq!(roles, ["data", "router", "data"]);
    servers[0].kill();
    let again = lab.start("auto", "auto0", &[]);
    assert_eq!(again.role, "data");
}

/// S40: a data node is killed a hundred times while songs are being committed. Each time songs and
/// fragments agree, every acknowledged song is there and right, and every listed song can be
/// fetched.
#[test]
fn nothing_acknowledged_is_lost_by_kills() {
    let mut lab = Lab::new("kills");
    let dns = lab.start("dns", "dns", &[]);
    lab.use_dns(&dns.address);
    let _router = lab.start("router", "router0", &[]);
    let mut data = lab.start("data", "data0", &[]);
    let dir = lab.dir.join("data0");
    let verify = ["verify", "--data-dir", path(&dir)];
    let mut acknowledged: BTreeMap<String, String> = BTreeMap::new();
    let mut midway = 0;
    for round in 0..KILLS {
        let folder = lab.dir.join(format!("songs{round}"));
        fs::create_dir_all(&folder).expect("a folder");
        for n in 0..4 {
            sound::noise(
                &folder.join(format!("{n}.mp3")),
                150_000,
                round * 10 + n + 1,
            );
        }
        let mut add = lab.command(&["add", "--json", path(&folder)]);
        let mut child = add.stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = (round % 4) as usize;
        let out = child.stdout.take().expect("it is piped");
        let (mut seen, out) = read_lines(out, lines);
        data.kill();
        let report = lab.json(&[&verify[..], &["--quick"]].concat()).remove(0);
        midway += u64::from(report["uploads"] != 0);
        data = lab.restart(&data, "data0");
        seen.extend(
            String::from_utf8(rest(out, vec![]))
                .expect("text")
                .lines()
                .map(String::from),
        );
        child.wait().expect("our child");
        let parsed = seen
            .iter()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        for line in parsed.filter(|line: &serde_json::Value| line["outcome"] != "failed") {
            let text = |name: &str| line[name].as_str().expect("text").to_owned();
            acknowledged.insert(text("id"), text("file"));
        }
    }
    assert!(midway > 0, "no kill met an upload midway");
    lab.await_status("every acknowledged song is listed", |status| {
        status["songs"].as_u64() >= Some(acknowledged.len() as u64)
    });
    for (id, file) in &acknowledged {
        assert!(
            lab.ok(&["get", id, "-o", "-"]) == fs::read(file).expect("added"),
            "{file}"
        );
    }
    for song in lab.json(&["ls"]) {
        lab.ok(&["get", song["id"].as_str().expect("an id"), "-o", "-"]);
    }
    data.kill();
    lab.ok(&verify);
}

/// How often the data node is killed: each kill costs a restart.
const KILLS: u64 = 100;

fn read_lines(
    out: std::process::ChildStdout,
    count: usize,
) -> (Vec<String>, std::process::ChildStdout) {
    let mut out = out;
    let (mut lines, mut line) = (vec![], vec![]);
    let mut byte = [0];
    while lines.len() < count && out.read(&mut byte).expect("its output") == 1 {
        if byte[0] == b'\n' {
            lines.push(String::from_utf8(std::mem::take(&mut line)).expect("text"));
        } else {
            line.push(byte[0]);
        }
    }
    (lines, out)
}
