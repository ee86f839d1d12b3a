//! The cluster key: what a machine has, what nodes say to it, and how one takes the place of another
//! while music plays.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;

use super::lab::{Lab, Server, failure, rest, write_key};
use super::sound;

/// A player that is read a piece at a time.
struct Playing {
    child: Child,
    out: ChildStdout,
    heard: Vec<u8>,
}

impl Playing {
    fn begin(lab: &Lab, id: &str) -> Self {
        let mut command = lab.command(&["play", id, "--stdout"]);
        // Without a cache every byte comes from a node.
        command.arg("--cache-dir").arg(lab.dir.join("none"));
        command.args(["--set", "cache.bytes=0B"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let out = child.stdout.take().expect("it is piped");
        Playing {
            child,
            out,
            heard: Vec::new(),
        }
    }

    fn go_on(&mut self) {
        let mut piece = vec![0; 1_000_000];
        self.out.read_exact(&mut piece).expect("it plays on");
        self.heard.append(&mut piece);
    }

    fn end(mut self) -> Vec<u8> {
        let heard = rest(self.out, self.heard);
        assert!(self.child.wait().expect("it ends").success());
        heard
    }
}

/// Restarts one node after the other, with their present key file; the music goes on between them.
fn restart_all(lab: &Lab, nodes: &mut [(Server, String)], playing: &mut Playing) {
    let count = nodes.len();
    for (server, name) in nodes {
        server.signal("TERM");
        server.wait();
        let again = lab.restart(server, name);
        *server = again;
        playing.go_on();
        lab.await_status("every node is alive", |status| {
            let all = status["nodes"].as_array().map_or(&[][..], |nodes| nodes);
            all.len() == count && all.iter().all(|node| node["state"] == "alive")
        });
    }
}

fn key_file(path: &Path, text: impl AsRef<[u8]>) {
    fs::write(path, text).expect("a key file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its mode");
}

/// Add, use, remove, every node restarted each time: what plays loses no byte, and at the end the old
/// key and those derived from it are a stranger's.
#[test]
fn the_key_of_a_playing_cluster_is_changed() {
    let mut lab = Lab::new("rotate");
    let (names, data) = lab.cluster(1, 2);
    let of = |servers: Vec<Server>, what: [&str; 2]| {
        let names = what.map(str::to_owned);
        servers.into_iter().zip(names).collect::<Vec<_>>()
    };
    let mut nodes = of(names, ["dns", "router0"]);
    nodes.extend(of(data, ["data0", "data1"]));
    let song = lab.dir.join("long.wav");
    sound::wav(&song, 120, 440.0);
    let bytes = fs::read(&song).expect("the song");
    lab.ok(&["add", song.to_str().expect("a path")]);
    lab.await_copies(1);
    let id = lab.id_of("long");
    let (old, listen) = (lab.dir.join("old"), lab.dir.join("listen"));
    fs::copy(lab.dir.join("key"), &old).expect("a key");
    key_file(&listen, lab.ok(&["key", "derive", "listen"]));
    let with = |key: &Path, words: &[&str]| {
        let mut command = lab.command_without_key(words);
        command
            .arg("--key-file")
            .arg(key)
            .output()
            .expect("it runs")
    };

    let mut playing = Playing::begin(&lab, &id);
    playing.go_on();
    lab.ok(&["key", "rotate", "add"]);
    assert_eq!(lab.json(&["key", "show"]).len(), 2);
    let said = lab.fails(&["key", "rotate", "use"], 1);
    assert!(
        said.contains("copy the key file there, and restart"),
        "{said}"
    );
    assert_eq!(lab.run(&["key", "check"]).status.code(), Some(1));
    restart_all(&lab, &mut nodes, &mut playing);
    lab.ok(&["key", "check"]);
    lab.ok(&["key", "rotate", "use"]);
    restart_all(&lab, &mut nodes, &mut playing);
    assert!(with(&old, &["ls"]).status.success(), "both are accepted");
    assert!(playing.end() == bytes, "every byte");

    let mut playing = Playing::begin(&lab, &id);
    playing.go_on();
    lab.ok(&["key", "rotate", "remove"]);
    restart_all(&lab, &mut nodes, &mut playing);
    assert!(playing.end() == bytes, "every byte");
    lab.ok(&["key", "check"]);
    for key in [&old, &listen] {
        let said = failure(with(key, &["ls"]), 3);
        assert!(said.contains("refused this key"), "{said}");
        failure(with(key, &["key", "check"]), 3);
    }
    let newly = lab.dir.join("newly");
    key_file(&newly, lab.ok(&["key", "derive", "listen"]));
    assert!(with(&newly, &["ls"]).status.success());

    // A node with the old key is refused by all: it never becomes ready.
    let mut node = lab.command_without_key(&["node", "data", "--host", "127.0.0.1", "--port", "0"]);
    node.arg("--data-dir").arg(lab.dir.join("late"));
    node.arg("--key-file").arg(&old).args(["--log", "debug"]);
    let dialled = lab.read_log().matches("handshake refused").count();
    let _late = lab.launch(node);
    lab.await_log("handshake refused", dialled + 1);
    lab.await_status("the late one is not there", |status| {
        status["nodes"].as_array().map_or(0, Vec::len) == nodes.len()
    });
}

/// What a machine has is told without telling the secret; what is no key to rotate is refused.
#[test]
fn keys_are_shown_by_their_fingerprints() {
    let mut lab = Lab::new("key-show");
    let shown = lab.json(&["key", "show"]).remove(0);
    assert_eq!(
        (&shown["purpose"], &shown["used"]),
        (&"cluster".into(), &true.into())
    );
    assert!(shown["secret"].is_null(), "{shown}");
    let line = String::from_utf8(lab.ok(&["key", "show"])).expect("text");
    assert!(!line.contains(&"5e".repeat(32)), "{line}");
    let secret = lab.json(&["key", "show", "--secret"]).remove(0);
    assert_eq!(secret["secret"], "5e".repeat(32));
    let said = lab.fails(&["key", "rotate", "use"], 1);
    assert!(
        said.contains("begin with `dispotify key rotate add`"),
        "{said}"
    );
    let said = lab.fails(&["key", "check", "--dns", "127.0.0.1:9"], 3);
    assert!(said.contains("is a node running?"), "{said}");
    let listen = lab.dir.join("listen");
    key_file(&listen, lab.ok(&["key", "derive", "listen"]));
    let with_listen = ["--key-file", listen.to_str().expect("a path")];
    let mut rotate = lab.command_without_key(&["key", "rotate", "add"]);
    let said = failure(rotate.args(with_listen).output().expect("it runs"), 2);
    assert!(said.contains("this key is for one purpose"), "{said}");

    let _cluster = lab.cluster(1, 1);
    let mut check = lab.command_without_key(&["key", "check", "--json"]);
    let checked = check.args(with_listen).output().expect("it runs");
    assert!(checked.status.success());
    let lines: Vec<Value> = serde_json::Deserializer::from_slice(&checked.stdout)
        .into_iter()
        .map(|line| line.expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    let is_well = |line: &Value| line["verdict"] == "accepted" && line["purpose"] == "listen";
    assert!(lines.iter().all(is_well), "{lines:?}");
    write_key(&lab.dir.join("other"), "a7");
    let mut check = lab.command_without_key(&["key", "check"]);
    check.arg("--key-file").arg(lab.dir.join("other"));
    let refused = failure(check.output().expect("it runs"), 3);
    assert!(refused.contains("every node refuses it"), "{refused}");
}
