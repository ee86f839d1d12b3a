//! Removal that can be taken back: by command, by adding the file again, by the page.

use std::fs;

use serde_json::Value;

use super::lab::{Lab, Server};
use super::sound;
use super::web::http::{ask, dialled, get};

/// A cluster with songs of these names, each with two copies.
fn with_songs(lab: &mut Lab, names: &[&str]) -> (Vec<Server>, Vec<Server>) {
    let servers = lab.cluster(1, 2);
    for (name, tone) in names.iter().zip([440.0, 550.0, 660.0]) {
        let path = lab.dir.join(format!("{name}.wav"));
        sound::wav(&path, 1, tone);
        lab.ok(&["add", path.to_str().expect("a plain path")]);
    }
    lab.await_copies(names.len() as u64);
    servers
}

fn await_listed(lab: &Lab, songs: u64, trash: u64) -> Value {
    lab.await_status("the songs are where they were put", |status| {
        status["songs"] == songs && status["trash_songs"] == trash
    })
}

/// What is removed vanishes, is kept, says how it comes back, and comes back byte for byte, also
/// when a holder was away meanwhile.
#[test]
fn a_removed_song_can_be_taken_back() {
    let mut lab = Lab::new("trash");
    let (_names, mut data) = with_songs(&mut lab, &["a", "b"]);
    let id = lab.id_of("a");

    data[1].kill();
    let said = &lab.json(&["rm", &id[..8]])[0];
    assert_eq!(
        (&said["id"], &said["outcome"]),
        (&id.as_str().into(), &"trash".into())
    );
    let status = await_listed(&lab, 1, 1);
    assert!(
        status["trash_bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 1000)
    );
    assert!(lab.json(&["ls"]).iter().all(|song| song["title"] != "a"));
    let _ = fs::remove_dir_all(lab.dir.join("cache"));
    for refused in [&["get", &id, "-o", "-"][..], &["play", &id, "--stdout"]] {
        let said = lab.fails(refused, 1);
        assert!(
            said.contains(&format!("`dispotify trash restore {id}`")),
            "{said}"
        );
    }
    let said = lab.fails(&["rm", &id], 1);
    assert!(said.contains("is in the trash"), "{said}");
    let trash = &lab.json(&["trash"])[0];
    assert_eq!(
        (&trash["id"], &trash["title"]),
        (&id.as_str().into(), &"a".into())
    );
    let left_s = trash["left_s"].as_u64().expect("a number");
    assert!((29 * 86_400..=30 * 86_400 + 1).contains(&left_s), "{trash}");

    data[1] = lab.restart(&data[1], "data1");
    await_listed(&lab, 1, 1);
    assert_eq!(
        lab.json(&["trash", "restore", &id[..6]])[0]["outcome"],
        "restored"
    );
    await_listed(&lab, 2, 0);
    let heard = lab.ok(&["get", &id, "-o", "-"]);
    assert!(heard == fs::read(lab.dir.join("a.wav")).expect("the song"));
    let said = lab.fails(&["trash", "restore", &id], 1);
    assert!(said.contains("no such song is in the trash"), "{said}");
}

/// Adding the same file again takes it back; what is emptied is gone for good, and so is what was
/// removed with `--for-good`.
#[test]
fn adding_takes_back_and_emptying_does_not() {
    let mut lab = Lab::new("emptied");
    let (_names, mut data) = with_songs(&mut lab, &["a", "b", "c"]);
    let ids = ["a", "b", "c"].map(|title| lab.id_of(title));
    lab.ok(&["rm", &ids[0], &ids[1]]);
    await_listed(&lab, 1, 2);
    let file = lab.dir.join("a.wav");
    lab.ok(&["add", file.to_str().expect("a plain path")]);
    await_listed(&lab, 2, 1);

    let emptied = lab.json(&["trash", "empty"]);
    assert_eq!(
        (emptied.len(), &emptied[0]["outcome"]),
        (1, &"removed".into())
    );
    await_listed(&lab, 2, 0);
    let file = lab.dir.join("b.wav");
    assert!(
        !lab.run(&["add", file.to_str().expect("a plain path")])
            .status
            .success()
    );

    lab.ok(&["rm", &ids[0]]);
    await_listed(&lab, 1, 1);
    assert_eq!(
        lab.json(&["rm", "--for-good", &ids[0], &ids[2]])[1]["outcome"],
        "removed"
    );
    await_listed(&lab, 0, 0);
    data.iter_mut().for_each(Server::kill);
    for dir in ["data0", "data1"] {
        let dir = lab.dir.join(dir);
        let dir = dir.to_str().expect("a plain path");
        let report = lab.json(&["verify", "--data-dir", dir]).remove(0);
        assert_eq!(report["songs"], 0, "{report}");
    }
}

/// When its time is over, a song goes for good by itself; with no time at all, at once.
#[test]
fn what_is_over_goes_for_good() {
    let mut lab = Lab::new("over");
    lab.settings = vec!["--set", "trash.keep=1s"];
    let (_names, _data) = with_songs(&mut lab, &["a"]);
    lab.ok(&["rm", &lab.id_of("a")]);
    lab.await_status("it is gone", |status| {
        let nodes = status["nodes"].as_array().expect("a list");
        let kept = |node: &Value| node["songs"].as_u64().unwrap_or(0);
        nodes.iter().map(kept).sum::<u64>() == 0
    });
    await_listed(&lab, 0, 0);
    let file = lab.dir.join("a.wav");
    let file = file.to_str().expect("a plain path");
    assert!(!lab.run(&["add", file]).status.success());

    let mut lab = Lab::new("off");
    lab.settings = vec!["--set", "trash.keep=0s"];
    let (_names, _data) = with_songs(&mut lab, &["a"]);
    assert_eq!(lab.json(&["rm", &lab.id_of("a")])[0]["outcome"], "removed");
    await_listed(&lab, 0, 0);
}

/// The page removes into the trash, lists it, takes back and empties, where it may remove.
#[test]
fn the_page_takes_back_what_it_removed() {
    let mut lab = Lab::new("trash-page");
    let (_names, _data) = with_songs(&mut lab, &["a"]);
    let id = lab.id_of("a");
    let page = |at: &str, more: &[&str]| {
        let mut command = lab.command(&["web", "--listen", at]);
        command.args(more);
        lab.spawn(command)
    };
    let near = page("127.0.0.1:0", &[]);
    let near = dialled(&near);
    let far = page("0.0.0.0:0", &[]);
    let far = dialled(&far).replace("0.0.0.0", "127.0.0.1");
    let removed = ask(&near, &format!("DELETE /api/songs/{id}"), &[], b"");
    assert_eq!(removed.status, 204);
    assert!(
        removed.head.contains(&format!("Location: /api/trash/{id}")),
        "{}",
        removed.head
    );
    await_listed(&lab, 0, 1);
    let trash = |at: &str| {
        let body = get(at, "/api/trash?limit=5").body;
        serde_json::from_slice::<Value>(&body).expect("JSON")
    };
    let listed = trash(&near);
    assert_eq!(
        (&listed["songs"][0]["id"], &listed["allowed"]),
        (&id.as_str().into(), &true.into())
    );
    assert_eq!(trash(&far)["allowed"], false);
    for method in ["POST", "DELETE"] {
        let refused = ask(&far, &format!("{method} /api/%74rash/{id}"), &[], b"");
        assert_eq!(refused.status, 403, "{method}: {}", refused.head);
        let foreign = ["Origin: http://elsewhere.example"];
        let refused = ask(&near, &format!("{method} /api/trash/{id}"), &foreign, b"");
        assert_eq!(refused.status, 403, "{method}: {}", refused.head);
    }
    let restored = ask(&near, &format!("POST /api/trash/{id}"), &[], b"");
    assert_eq!(restored.status, 204, "{}", restored.head);
    await_listed(&lab, 1, 0);
    ask(&near, &format!("DELETE /api/songs/{id}"), &[], b"");
    await_listed(&lab, 0, 1);
    let emptied = ask(&near, &format!("DELETE /api/trash/{id}"), &[], b"");
    assert_eq!(emptied.status, 204, "{}", emptied.head);
    await_listed(&lab, 0, 0);
    let missing = ask(&near, &format!("POST /api/trash/{id}"), &[], b"");
    assert_eq!(missing.status, 404, "{}", missing.head);
}
