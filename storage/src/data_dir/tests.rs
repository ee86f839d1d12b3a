use super::*;
use crate::testing::{TempDir, mode, set_mode};

const FIRST: NodeId = NodeId(7);
const OTHER: NodeId = NodeId(8);

/// The identity is made once. Each start has an incarnation of its own.
#[test]
fn a_node_keeps_its_id_and_counts_its_starts() {
    let dir = TempDir::new();
    let home = dir.path().join("deep").join("home");
    for start in 1..4 {
        let fresh = NodeId(6 + u128::from(start));
        let opened = DataDir::open(&home, "data", fresh).expect("a free directory");
        assert_eq!(opened.node(), FIRST);
        assert_eq!(opened.incarnation(), Incarnation(start));
        assert_eq!(opened.dir(), home);
    }
    assert_eq!(mode(&home), 0o700);
}

/// A directory that others could read is closed to them, with the files that lie in it.
#[test]
fn an_open_directory_is_closed() {
    let dir = TempDir::new();
    let left = dir.path().join("members.json");
    fs::write(&left, "").expect("a writable directory");
    set_mode(&left, 0o644);
    set_mode(dir.path(), 0o755);

    let _held = DataDir::open(dir.path(), "data", FIRST).expect("a free directory");

    assert_eq!((mode(dir.path()), mode(&left)), (0o700, 0o600));
}

#[test]
fn two_nodes_cannot_share_a_directory() {
    let dir = TempDir::new();
    let first = DataDir::open(dir.path(), "data", FIRST).expect("a free directory");

    let error = DataDir::open(dir.path(), "data", OTHER).expect_err("it is taken");
    let path = dir.path().display();
    assert_eq!(
        error.to_string(),
        format!(
            "open data directory {path}: it is in use by process {}",
            process::id()
        )
    );
    // The id of a killed process in the lock file is ignored.
    fs::write(dir.path().join(LOCK), "4294967295").expect("a writable directory");
    let error = Visit::begin(dir.path()).expect_err("it is taken");
    assert!(error.to_string().ends_with("in use by another process"));

    drop(first);
    let again = DataDir::open(dir.path(), "data", OTHER).expect("it is free again");
    // The refused attempt did not count as a start.
    assert_eq!((again.node(), again.incarnation()), (FIRST, Incarnation(2)));
}

/// A look takes the lock, names the owner of the directory, and changes no file.
#[test]
fn a_visit_changes_nothing() {
    let dir = TempDir::new();
    let missing = Visit::begin(dir.path()).expect_err("nobody lives there");
    let said = "it is not the data directory of a node";
    assert!(missing.to_string().ends_with(said), "{missing}");
    assert_eq!(fs::read_dir(dir.path()).expect("it is there").count(), 0);

    drop(DataDir::open(dir.path(), "data", FIRST).expect("a free directory"));
    let before = text_of(&dir);
    let visit = Visit::begin(dir.path()).expect("it is free");
    assert_eq!((visit.node, visit.kind.as_str()), (FIRST, "data"));
    assert!(DataDir::open(dir.path(), "data", OTHER).is_err());
    drop(visit);
    assert_eq!(text_of(&dir), before);
}

#[test]
fn a_directory_of_another_kind_is_refused() {
    let dir = TempDir::new();
    drop(DataDir::open(dir.path(), "data", FIRST).expect("a free directory"));
    let before = text_of(&dir);

    let error = DataDir::open(dir.path(), "dns", OTHER).expect_err("it is a data node's");
    let said = error.to_string();
    assert!(
        said.contains("started as data, not dns: start it as data"),
        "{said}"
    );
    assert_eq!(text_of(&dir), before);
}

/// A damaged identity is an error: with a fresh one, the node would return as a stranger.
#[test]
fn a_file_that_cannot_be_read_is_left_alone() {
    let id = "0".repeat(31);
    let short = format!("{{\"format\":1,\"node\":\"{id}\",\"incarnation\":1,\"kind\":\"data\"}}");
    let spent = short
        .replace(&id, &"0".repeat(32))
        .replace(":1,\"kind", ":18446744073709551615,\"kind");
    let cases = [
        ("", "damaged"),
        ("{\"format\":1", "damaged"),
        ("\u{0}\u{0}\u{0}", "damaged"),
        ("{\"format\":1,\"node\":\"xyz\"}", "damaged"),
        (&short, "not 32 hexadecimal digits"),
        (&spent, "cannot grow"),
        ("{\"format\":2,\"who\":\"me\"}", "format 2"),
    ];
    for (text, said) in cases {
        let dir = TempDir::new();
        fs::write(dir.path().join(IDENTITY), text).expect("a writable directory");
        let error = DataDir::open(dir.path(), "data", FIRST).expect_err(text);
        assert!(error.to_string().contains(said), "{text}: {error}");
        assert_eq!(text_of(&dir), text);
    }
}

/// A temporary file left by a crash before the rename is ignored.
#[test]
fn a_torn_draft_is_ignored() {
    let dir = TempDir::new();
    drop(DataDir::open(dir.path(), "data", FIRST).expect("a free directory"));
    fs::write(dir.path().join("node.json.new"), "{\"form").expect("a writable directory");
    let home = DataDir::open(dir.path(), "data", OTHER).expect("the old file stands");
    assert_eq!((home.node(), home.incarnation()), (FIRST, Incarnation(2)));
}

#[test]
fn a_path_that_is_no_directory_is_named() {
    let dir = TempDir::new();
    let file = dir.path().join("file");
    fs::write(&file, "x").expect("a writable directory");
    let error = DataDir::open(&file, "data", FIRST).expect_err("a file");
    let said = error.to_string();
    assert!(said.starts_with(&format!(
        "open data directory {}: create it: ",
        file.display()
    )));
}

fn text_of(dir: &TempDir) -> String {
    fs::read_to_string(dir.path().join(IDENTITY)).expect("it is there")
}

/// Where no new file can be made, the old one is written over; what it says is the same.
#[test]
fn a_start_is_counted_in_place_if_it_must_be() {
    let dir = TempDir::new();
    drop(DataDir::open(dir.path(), "data", FIRST).expect("a free directory"));
    let read = || Identity::read(&dir.path().join(IDENTITY)).expect("it can be read");
    for start in [9, 10, 100] {
        let identity = Identity {
            incarnation: start,
            ..read().expect("it is there")
        };
        identity.overwrite(dir.path()).expect("it is writable");
        assert_eq!(read().map(|known| known.incarnation), Some(start));
    }
}
