//! Keys for one purpose, and a page that others can reach: each does what it may, and no more.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::lab::{Lab, failure};
use super::sound;
use super::web::http::{ask, dialled, get};

/// Writes the key for a purpose to a file, and gives the options that use it.
fn derive(lab: &Lab, right: &str) -> [String; 2] {
    let file = lab.dir.join(format!("key-{right}"));
    fs::write(&file, lab.ok(&["key", "derive", right])).expect("a key file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode");
    ["--key-file".into(), file.display().to_string()]
}

/// Listeners list and fetch, uploaders add as well, administrators remove as well; none is a node.
#[test]
fn a_derived_key_does_what_it_is_for() {
    let mut lab = Lab::new("rights");
    let _cluster = lab.cluster(1, 2);
    let keys = ["listen", "upload", "admin"].map(|right| derive(&lab, right));
    let file = |name: &str, tone| {
        let path = lab.dir.join(name);
        sound::wav(&path, 1, tone);
        path.display().to_string()
    };
    let song = file("first.wav", 440.0);
    let run = |key: &[String; 2], words: &[&str]| {
        let mut command = lab.command_without_key(words);
        command.args(key).output().expect("it runs")
    };
    let refused = run(&keys[0], &["add", &song]);
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(said.contains("one for upload is needed"), "{said}");
    failure(refused, 1);
    for (key, name, tone) in [(&keys[1], "b.wav", 500.0), (&keys[2], "c.wav", 600.0)] {
        assert!(run(key, &["add", &file(name, tone)]).status.success());
    }
    lab.await_copies(2);
    let id = lab.id_of("b");
    for key in &keys {
        let listed = run(key, &["ls"]);
        assert!(listed.status.success() && !listed.stdout.is_empty());
        assert!(run(key, &["status"]).status.success());
        let played = run(key, &["play", &id, "--stdout"]);
        assert!(played.stdout == fs::read(lab.dir.join("b.wav")).expect("the song"));
    }
    for key in &keys[..2] {
        let said = failure(run(key, &["rm", &id]), 1);
        assert!(said.contains("one for admin is needed"), "{said}");
    }
    assert_eq!(lab.json(&["ls"]).len(), 2);
    assert!(run(&keys[2], &["rm", &id]).status.success());
    assert_eq!(lab.json(&["ls"]).len(), 1);
    let node = ["node", "data", "--host", "127.0.0.1", "--port", "0"];
    let said = failure(run(&keys[2], &node), 2);
    assert!(said.contains("the cluster key is needed"), "{said}");
    let said = failure(run(&keys[0], &["key", "derive", "admin"]), 2);
    assert!(said.contains("the cluster key is needed"), "{said}");
}

/// A page that other machines can reach removes nothing unless it was told to, and says so at start.
#[test]
fn a_page_beyond_this_machine_removes_nothing() {
    let mut lab = Lab::new("beyond");
    let _cluster = lab.cluster(1, 1);
    let path = lab.dir.join("x.wav");
    sound::wav(&path, 1, 440.0);
    lab.ok(&["add", path.to_str().expect("a path")]);
    lab.await_status("the song is there", |status| status["songs"] == 1);
    let id = lab.id_of("x");
    let remove = |more: &[&str]| {
        let mut command = lab.command(&["web", "--listen", "0.0.0.0:0"]);
        command.args(more);
        let page = lab.spawn(command);
        let at = dialled(&page).replace("0.0.0.0", "127.0.0.1");
        assert_eq!(get(&at, "/").status, 200);
        ask(&at, &format!("DELETE /api/songs/{id}"), &[], b"")
    };
    let refused = remove(&[]);
    assert_eq!(refused.status, 403, "{}", refused.head);
    assert!(lab.read_log().contains("asks for no password"));
    assert_eq!(lab.json(&["ls"]).len(), 1);
    assert_eq!(remove(&["--allow-delete"]).status, 204);
}
