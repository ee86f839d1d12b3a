//! `verify` checks the library of a stopped node.

use std::fs;

use super::lab::Lab;
use super::sound;

/// The check is refused while the node runs, passes afterwards, and names the song with a flipped
/// bit.
#[test]
fn a_stopped_library_is_checked() {
    let mut lab = Lab::new("verify");
    let (_names, mut data) = lab.cluster(1, 1);
    let file = lab.dir.join("tone.wav");
    sound::wav(&file, 25, 440.0);
    lab.ok(&["add", file.to_str().expect("a path")]);
    let id = lab.id_of("tone");
    let dir = lab.dir.join("data0");
    let dir = dir.to_str().expect("a path");
    let running = lab.fails(&["verify", "--data-dir", dir], 1);
    assert!(running.contains("it is in use by process"), "{running}");

    data[0].kill();
    for more in [&[][..], &["--quick"]] {
        let report = lab
            .json(&[&["verify", "--data-dir", dir], more].concat())
            .remove(0);
        assert_eq!(
            (&report["clean"], &report["songs"]),
            (&true.into(), &1.into())
        );
        assert_eq!(report["findings"], serde_json::json!([]));
    }
    let said = lab.ok(&["verify", "--data-dir", dir]);
    let said = String::from_utf8(said).expect("text");
    assert!(
        said.contains("1 song, ") && said.ends_with("nothing is wrong\n"),
        "{said}"
    );

    // The sound lies in a segment as it is, where the test can flip a bit.
    let segment = lab.dir.join("data0/segment.1");
    let mut bytes = fs::read(&segment).expect("it is there");
    let sound = fs::read(&file).expect("added");
    let inside = &sound[1_500_000..1_500_400];
    let at = bytes.windows(400).position(|window| window == inside);
    bytes[at.expect("it lies there as it is") + 3] ^= 1;
    fs::write(&segment, bytes).expect("altered");
    let output = lab.run(&["verify", "--data-dir", dir, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let finding = &report["findings"][0];
    assert_eq!(finding["kind"], "fragment", "{report}");
    assert_eq!(finding["song"], id.as_str());
    let words = lab.run(&["verify", "--data-dir", dir]);
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    assert!(
        words.contains("does not have its hash") && words.contains("to do: "),
        "{words}"
    );
}

/// A directory that is no library gets another error than a damaged library.
#[test]
fn a_directory_without_songs_is_a_misunderstanding() {
    let mut lab = Lab::new("verify-other");
    drop(lab.cluster(1, 0));
    let router = lab.dir.join("router0");
    let said = lab.fails(
        &["verify", "--data-dir", router.to_str().expect("a path")],
        2,
    );
    assert!(
        said.contains("belongs to a router node, which keeps no songs"),
        "{said}"
    );
    let nowhere = lab.dir.join("nowhere");
    let said = lab.fails(
        &["verify", "--data-dir", nowhere.to_str().expect("a path")],
        2,
    );
    assert!(
        said.contains("it is not the data directory of a node"),
        "{said}"
    );
    assert!(!nowhere.exists());
    let said = lab.fails(&["verify"], 2);
    assert!(said.contains("dispotify/serve"), "{said}");
}
