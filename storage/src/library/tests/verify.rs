//! A library checked offline: the check names every fault and changes no file.

use super::*;
use crate::library::verify::{Depth, FINDINGS_MAX, Finding, FindingKind, Progress, Report, verify};
use roles::contract::trash::Mark;
use std::path::Path;
use std::time::SystemTime;

fn check(dir: &Path, depth: Depth) -> Report {
    verify(dir, NODE, depth, &mut |_| ()).expect("it can be opened")
}

fn kinds(report: &Report) -> Vec<&'static str> {
    let mut kinds: Vec<_> = report.findings.iter().map(Finding::kind).collect();
    kinds.dedup();
    kinds
}

/// A library with two songs, an upload, a leaving song, a tombstone, a removal and a copy due.
fn a_bit_of_everything(library: &mut LibraryWorker) -> (SongId, SongId) {
    let (first, pieces) = song(1, &[10, 100, 20_000, 30_000]);
    upload(library, &first, &pieces);
    let (second, pieces) = song(2, &[10, 40_000]);
    upload(library, &second, &pieces);
    commit(library, second.song.id, &[NodeId(4)]);
    let (staged, pieces) = song(3, &[10, 20]);
    begin(library, &staged);
    keep(library, staged.song.id, 0, &pieces[0]);
    let (leaving, pieces) = song(4, &[10; 200]);
    upload(library, &leaving, &pieces);
    let songs = vec![leaving.song.id];
    library.run(LibraryJob::RemoveSongs { songs });
    let (dropped, pieces) = song(5, &[10]);
    upload(library, &dropped, &pieces);
    let songs = vec![dropped.song.id];
    let until = u64::MAX;
    library.run(LibraryJob::DropSongs { songs, until });
    library.run(LibraryJob::NoteScrub { after: None });
    let (marks, passed_s) = (vec![Mark::none(second.song.id).throw(60)], 0);
    library.run(LibraryJob::NoteMarks { marks, passed_s });
    library.run(LibraryJob::ReadTags { after: 0 });
    documents::write(library, &documents::star(1, 5));
    (first.song.id, second.song.id)
}

/// Every file of a directory with its bytes and the time of its last change.
fn snapshot(dir: &Path) -> Vec<(String, Vec<u8>, SystemTime)> {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let changed = fs::metadata(&path).and_then(|file| file.modified());
            let bytes = fs::read(&path).expect("a file");
            (path.display().to_string(), bytes, changed.expect("a time"))
        })
        .collect();
    files.sort();
    files
}

/// The check sees everything, whether the node stopped cleanly or was killed with everything still
/// in the log. No file appears, goes or changes.
#[test]
fn a_check_sees_everything_and_leaves_no_trace() {
    let (live, killed, odd, torn) = (
        TempDir::new(),
        TempDir::new(),
        TempDir::new(),
        TempDir::new(),
    );
    let mut library = writer(&live);
    a_bit_of_everything(&mut library);
    for file in ["library.db", "library.db-wal", "segment.1"] {
        let bytes = fs::read(live.path().join(file)).expect("it is there");
        fs::write(killed.path().join(file), bytes).expect("a writable directory");
    }
    drop(library);
    let named = odd.path().join("a #1 100% ?mode=rw&x=ñ");
    fs::create_dir(&named).expect("any name will do");
    fs::copy(live.path().join("library.db"), named.join("library.db")).expect("it is there");
    // A log that ended before its first frame.
    fs::copy(
        live.path().join("library.db"),
        torn.path().join("library.db"),
    )
    .expect("it is there");
    for dir in [named.as_path(), torn.path()] {
        fs::copy(live.path().join("segment.1"), dir.join("segment.1")).expect("it is there");
    }
    let log = fs::read(killed.path().join("library.db-wal")).expect("it is there");
    fs::write(torn.path().join("library.db-wal"), &log[..50]).expect("a writable directory");
    for dir in [live.path(), killed.path(), torn.path(), &named] {
        let before = snapshot(dir);
        for depth in [Depth::Whole, Depth::Quick] {
            let report = check(dir, depth);
            assert_eq!(report.findings, []);
            let seen = (report.songs, report.fragments, report.bytes, report.staged);
            assert_eq!(seen, (2, 6, 90_120, 1));
            let seen = (report.leaving, report.tombstones, report.copies_due);
            assert_eq!(seen, (2, 1, 1));
            assert!(report.scrubbed_at.is_some());
        }
        assert!(snapshot(dir) == before, "{}", dir.display());
    }
    // A killed library still starts afterwards, with the content that was checked.
    // One of its two songs is in the trash.
    let mut library = writer(&killed);
    assert_eq!(songs(&mut library, None, 9).0.len(), 1);
}

/// Each kind of fault has its own finding. A quick check finds all faults except in the sound.
#[test]
fn what_is_wrong_is_named() {
    let first = "(SELECT row FROM songs WHERE bytes = 50110)";
    let cases: &[(&str, &[&str], bool)] = &[
        (
            "UPDATE fragments SET place = 4096 WHERE song = {} AND number = 2",
            &["fragment"],
            false,
        ),
        (
            "UPDATE fragments SET segment = 7 WHERE song = {} AND number = 2",
            &["fragment"],
            true,
        ),
        (
            "DELETE FROM fragments WHERE song = {} AND number = 3",
            &["fragment"],
            true,
        ),
        (
            "UPDATE fragments SET place = 1000000 WHERE song = {} AND number = 2",
            &["fragment"],
            true,
        ),
        (
            "UPDATE fragments SET data = x'00' WHERE song = {} AND number = 1",
            &["fragment"],
            true,
        ),
        ("INSERT INTO quarantine VALUES ({}, 3)", &["fragment"], true),
        (
            "UPDATE songs SET hash = CAST(substr(hash, 1, 16) || zeroblob(16) AS BLOB) WHERE row = {}",
            &["manifest", "whole"],
            true,
        ),
        (
            "UPDATE songs SET title = 'another' WHERE row = {}",
            &["manifest"],
            true,
        ),
        (
            "UPDATE songs SET fragments = 5 WHERE row = {}",
            &["manifest"],
            true,
        ),
        (
            "UPDATE songs SET format = 'vinyl' WHERE row = {}",
            &["manifest"],
            true,
        ),
        (
            "DELETE FROM slices WHERE song = {} AND number = 3",
            &["stray", "manifest", "whole"],
            false,
        ),
        (
            "INSERT INTO fragments VALUES (9999, 777, 0, x'', NULL, NULL, NULL)",
            &["stray"],
            true,
        ),
        (
            "INSERT INTO fragments VALUES (9999, {}, 777, x'', NULL, NULL, NULL)",
            &["stray"],
            true,
        ),
        (
            "INSERT INTO slices VALUES (777, 0, 1, 0, 0, x'')",
            &["stray"],
            true,
        ),
        ("INSERT INTO quarantine VALUES (777, 3)", &["stray"], true),
        ("UPDATE meta SET songs = 3", &["total"], true),
        ("UPDATE meta SET xor = zeroblob(16)", &["total"], true),
        ("UPDATE meta SET bytes = 1", &["total"], true),
        ("UPDATE meta SET removed = 0", &["total"], true),
        ("UPDATE meta SET revision = 1", &["total"], true),
        (
            "UPDATE partitions SET songs = 9 WHERE songs = 1",
            &["digest"],
            true,
        ),
        ("DELETE FROM partitions", &["digest"], true),
        (
            "INSERT INTO partitions VALUES (4095, 1, zeroblob(16), 0, zeroblob(16))",
            &["digest"],
            true,
        ),
        ("UPDATE partitions SET xor = x'00'", &["unreadable"], true),
        (
            "INSERT INTO tombstones SELECT id, 0 FROM songs WHERE row = {}",
            &["total", "digest", "risen"],
            true,
        ),
        ("DELETE FROM meta", &["unreadable"], true),
        ("DROP TABLE partitions", &["structure", "unreadable"], true),
        (
            "UPDATE songs SET id = x'00' WHERE row = {}",
            &["unreadable"],
            true,
        ),
    ];
    for (damage, expected, quick_sees) in cases {
        let dir = TempDir::new();
        let mut library = writer(&dir);
        a_bit_of_everything(&mut library);
        sql(&library, "PRAGMA foreign_keys = OFF");
        sql(&library, &damage.replace("{}", first));
        drop(library);
        let whole = check(dir.path(), Depth::Whole);
        let found = kinds(&whole);
        let fits = expected
            .iter()
            .all(|kind| found.contains(kind) || *kind == "structure");
        assert!(fits && !found.is_empty(), "{damage}: {:?}", whole.findings);
        let quick = check(dir.path(), Depth::Quick);
        assert_eq!(
            !quick.is_clean(),
            *quick_sees || expected.len() > 1,
            "{damage}"
        );
        for finding in &whole.findings {
            assert!(!finding.to_string().is_empty() && !finding.cure().is_empty());
        }
    }
}

/// One flipped bit anywhere in a song's pages is found, with the song and the fragment named.
#[test]
fn a_flipped_bit_is_found_where_it_is() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &[200_000, 300_000, 250_000]);
    upload(&mut library, &manifest, &pieces);
    drop(library);
    let path = dir.path().join("segment.1");
    let whole = fs::read(&path).expect("it is there");
    for (index, piece) in (0..).zip(&pieces) {
        let inside = &piece[150_000..150_400];
        let at = whole.windows(400).position(|window| window == inside);
        let mut flipped = whole.clone();
        flipped[at.expect("it lies there as it is") + 7] ^= 0x10;
        fs::write(&path, flipped).expect("a writable directory");
        let song = manifest.song.id;
        let fragment = FragmentId { song, index };
        let flaw = FindingKind::Hash;
        let report = check(dir.path(), Depth::Whole);
        assert_eq!(report.findings, [Finding::Fragment { fragment, flaw }]);

        let mut library = writer(&dir);
        let JobReply::Scrubbed(done) = library.run(LibraryJob::Scrub {
            after: None,
            bytes: u64::MAX,
        }) else {
            panic!("no scrub");
        };
        assert_eq!(done.bad, [fragment]);
    }
}

/// With any damage to the file, the check ends with a finding or an error, and never panics.
#[test]
fn a_torn_or_scratched_file_is_told_and_not_a_panic() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    a_bit_of_everything(&mut library);
    let free = pragma(&library, "freelist_count");
    drop(library);
    let path = dir.path().join("library.db");
    let whole = fs::read(&path).expect("it is there");
    let torn = (1..8).map(|part| whole[..whole.len() * part / 8].to_vec());
    let scratched = (0..whole.len() / 4096).map(|page| {
        let mut bytes = whole.clone();
        bytes[page * 4096 + 100..(page + 1) * 4096].fill(0xa5);
        bytes
    });
    let mut clean = 0;
    for bytes in torn.chain(scratched) {
        fs::write(&path, &bytes).expect("a writable directory");
        for depth in [Depth::Quick, Depth::Whole] {
            let checked = verify(dir.path(), NODE, depth, &mut |_| ());
            let is_clean = checked.is_ok_and(|report| report.is_clean());
            clean += i64::from(is_clean && depth == Depth::Whole);
        }
        assert!(fs::read(&path).expect("it is there") == bytes);
    }
    // Damage to a free page, to what is free in the page of an empty table, or to the map's entries
    // for pages beyond the file, harms nothing.
    assert!(clean <= free + 3, "{clean} passed, {free} are free");
}

#[test]
fn what_is_no_library_of_this_node_is_refused() {
    let dir = TempDir::new();
    let path = dir.path().join("library.db");
    let said = |node| {
        let refused = verify(dir.path(), node, Depth::Quick, &mut |_| ());
        refused.expect_err("it must be refused").to_string()
    };
    assert!(said(NODE).ends_with("there is nothing in it"));
    assert!(!path.exists());
    fs::write(&path, "x".repeat(70_000)).expect("a writable directory");
    assert!(said(NODE).contains("it is not a library of dispotify"));
    fs::remove_file(&path).expect("it is there");
    let library = writer(&dir);
    sql(&library, "PRAGMA user_version = 1");
    drop(library);
    assert!(said(NODE).contains("it has schema 1: a node of this version"));
    let db = Connection::open(&path).expect("it is there");
    let newer = db.execute_batch("PRAGMA user_version = 78");
    newer.expect("a setting");
    drop(db);
    assert!(said(NODE).contains("it has schema 78"));
    fs::remove_file(&path).expect("it is there");
    drop(writer(&dir));
    assert!(said(NodeId(1)).contains("it belongs to node"));
}

/// The progress adds up to the whole, and the number of findings is bounded.
#[test]
fn findings_are_bounded_and_progress_adds_up() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &[10; 1200]);
    upload(&mut library, &manifest, &pieces);
    sql(&library, "UPDATE fragments SET data = x'00'");
    drop(library);
    let mut seen = Vec::new();
    let report = verify(dir.path(), NODE, Depth::Whole, &mut |p| seen.push(p));
    let report = report.expect("it can be opened");
    assert_eq!((report.findings.len(), report.more), (FINDINGS_MAX, 200));
    let bytes = 12_000;
    let expected = [
        Progress::Structure,
        Progress::Songs { bytes },
        Progress::Checked { bytes },
    ];
    assert_eq!(seen, expected);
}
