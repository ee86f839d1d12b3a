//! Every segment file has an owner: whenever the process dies, the tables name the file, or the next
//! start removes it. Files of a library that was moved away are not touched.

use super::*;
use crate::library::change::begin_change;
use crate::library::jobs::apply;
use crate::library::segments::{begin, places};
use std::collections::BTreeSet;

fn files(dir: &TempDir) -> BTreeSet<u32> {
    let entries = fs::read_dir(dir.path()).expect("a directory");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let number = |name: std::ffi::OsString| name.to_str()?.strip_prefix("segment.")?.parse().ok();
    entries.map(name).filter_map(number).collect()
}

fn named(library: &LibraryWorker) -> BTreeSet<u32> {
    let slot = library.db.lock().expect("nobody panicked");
    let db = slot.as_ref().expect("it is open");
    let numbers = places::numbers(db).expect("a table");
    numbers.into_iter().collect()
}

fn assert_owned(dir: &TempDir, library: &LibraryWorker, when: &str) {
    assert_eq!(files(dir), named(library), "{when}");
}

/// Begins to store the first fragment, and dies before the commit.
fn die_within(library: &mut LibraryWorker, seed: u8) {
    let (manifest, pieces) = song(seed, &[5000]);
    begin(library, &manifest);
    let (segments, room) = (&library.segments, &library.room);
    let slot = &mut *library.db.lock().expect("nobody panicked");
    let db = slot.as_mut().expect("it is open");
    let change = begin_change(db, segments, Durable::Later).ok();
    let change = change.expect("a transaction");
    let job = LibraryJob::KeepFragment {
        song: manifest.song.id,
        index: 0,
        bytes: pieces[0].clone(),
    };
    let db = &change;
    let kept = apply(&Store { db, segments }, room, &job).ok();
    assert_eq!(kept, Some(JobReply::FragmentStored));
}

/// A process that dies within the first transaction of a segment leaves no file behind.
#[test]
fn a_death_in_the_first_transaction_leaves_no_segment() {
    let dir = TempDir::new();
    die_within(&mut writer(&dir), 1);
    assert_eq!(files(&dir).len(), 1, "it was written to");
    let mut library = writer(&dir);
    let (manifest, pieces) = song(2, &[5000]);
    upload(&mut library, &manifest, &pieces);
    assert_owned(&dir, &library, "after an upload");
    assert_eq!(
        read(&mut library, manifest.song.id, 0),
        fragment(0, &pieces[0])
    );
}

/// How far the making of a segment had come when the process died.
const DEATHS: [fn(&mut LibraryWorker); 4] = [
    |library| assert_ne!(reserve(library), 0),
    |library| {
        let number = reserve(library);
        library.segments.create(number).expect("no such file");
    },
    |library| {
        let slot = library.db.lock().expect("nobody panicked");
        let (db, segments) = (slot.as_ref().expect("it is open"), &library.segments);
        let made = begin::prepare(&Store { db, segments });
        assert!(made.is_ok());
    },
    |library| die_within(library, 1),
];

fn reserve(library: &LibraryWorker) -> u32 {
    let slot = library.db.lock().expect("nobody panicked");
    let (db, segments) = (slot.as_ref().expect("it is open"), &library.segments);
    let number = begin::reserve(&Store { db, segments }).ok();
    number.expect("a number")
}

/// Wherever the process dies, no file is left over, and no number is given again that a file had.
#[test]
fn every_death_leaves_only_segments_with_an_owner() {
    for (number, death) in (0..).zip(DEATHS) {
        let dir = TempDir::new();
        death(&mut writer(&dir));
        for seed in [2, 3] {
            let mut library = writer(&dir);
            let (manifest, pieces) = song(seed, &[5000]);
            upload(&mut library, &manifest, &pieces);
            assert_owned(&dir, &library, &format!("death {number}, song {seed}"));
            let got = read(&mut library, manifest.song.id, 0);
            assert_eq!(got, fragment(0, &pieces[0]));
        }
    }
}

/// Of two libraries in one directory, whichever is moved away keeps its sound, however far it had
/// come when it was moved.
#[test]
fn two_libraries_in_turns_keep_their_sound() {
    for (number, (first, second)) in (0..).zip((0..16).map(|n| (DEATHS[n / 4], DEATHS[n % 4]))) {
        let dir = TempDir::new();
        let place = |name: &str| dir.path().join(name);
        let swap = || {
            let moves = [
                ("library.db", "away"),
                ("back", "library.db"),
                ("away", "back"),
            ];
            for (from, to) in moves {
                let moved = fs::rename(place(from), place(to));
                assert!(moved.is_ok() || !place(from).exists());
            }
        };
        first(&mut writer(&dir));
        swap();
        second(&mut writer(&dir));
        for round in 0..4 {
            swap();
            let mut library = writer(&dir);
            let (mine, sound) = song(100 + round, &[5000 + 5000 * usize::from(round)]);
            upload(&mut library, &mine, &sound);
        }
        for turn in 0..2 {
            swap();
            let mut library = writer(&dir);
            for round in [turn, turn + 2] {
                let (mine, sound) = song(100 + round, &[5000 + 5000 * usize::from(round)]);
                let got = read(&mut library, mine.song.id, 0);
                assert!(got == fragment(0, &sound[0]), "case {number} round {round}");
            }
        }
    }
}

/// A number that another program's file has taken meanwhile is not used.
#[test]
fn a_file_that_appears_is_not_taken() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let number = reserve(&library);
    fs::write(dir.path().join(format!("segment.{number}")), b"mine").expect("a directory");
    let (manifest, pieces) = song(1, &[5000]);
    upload(&mut library, &manifest, &pieces);
    let other = fs::read(dir.path().join(format!("segment.{number}"))).expect("it is there");
    assert_eq!(other, b"mine");
    assert_eq!(named(&library), [number + 1].into());
}

/// Three segments are filled; the fragments of the middle one are lost.
fn with_lost_segment(dir: &TempDir) -> (Vec<FragmentId>, Vec<FragmentId>) {
    let mut library = writer(dir);
    library.segments.limit(100_000);
    let songs: Vec<_> = (0..6).map(|seed| song(seed, &[20_000, 20_000])).collect();
    for (manifest, pieces) in &songs {
        upload(&mut library, manifest, pieces);
    }
    let all = |songs: &[(Manifest, Vec<Vec<u8>>)]| {
        let ids = songs.iter().map(|(manifest, _)| manifest.song.id);
        let fragments = ids.flat_map(|song| [0, 1].map(|index| FragmentId { song, index }));
        fragments.collect::<Vec<_>>()
    };
    let mut lost = all(&songs[2..4]);
    lost.sort_unstable();
    let stay = [all(&songs[..2]), all(&songs[4..])].concat();
    (lost, stay)
}

fn quarantined(library: &mut LibraryWorker) -> Vec<FragmentId> {
    let (after, limit) = (None, 99);
    match library.run(LibraryJob::Quarantined { after, limit }) {
        JobReply::Quarantined { fragments, .. } => fragments,
        other => panic!("{other:?}"),
    }
}

fn inspect(library: &mut LibraryWorker) -> Vec<FragmentId> {
    let (after, limit) = (None, 99);
    match library.run(LibraryJob::Inspect { after, limit }) {
        JobReply::Inspected(done) => done.missing,
        other => panic!("{other:?}"),
    }
}

/// A segment that is missing, or too short, at a start: all that was in it waits for other nodes.
#[test]
fn a_start_sets_aside_what_was_in_a_lost_segment() {
    for cut in [None, Some(0), Some(100)] {
        let dir = TempDir::new();
        let (lost, stay) = with_lost_segment(&dir);
        let path = dir.path().join("segment.2");
        match cut {
            None => fs::remove_file(path).expect("it is there"),
            Some(length) => {
                let file = fs::OpenOptions::new().write(true).open(path);
                let cut = file.and_then(|file| file.set_len(length));
                cut.expect("it is there");
            }
        }
        let mut library = writer(&dir);
        assert_eq!(quarantined(&mut library), lost);
        assert_eq!(inspect(&mut library), []);
        for FragmentId { song, index } in stay {
            let got = read(&mut library, song, index);
            assert!(matches!(got, JobReply::Fragment { .. }), "{got:?}");
        }
    }
}

/// A segment that goes while the node runs is found by the inspection, though workers have it open;
/// what replaces its fragments goes to a file that has a name.
#[test]
fn the_inspection_finds_a_lost_segment() {
    let dir = TempDir::new();
    let (lost, _) = with_lost_segment(&dir);
    let mut library = writer(&dir);
    let FragmentId { song: one, index } = lost[0];
    let JobReply::Fragment { bytes, .. } = read(&mut library, one, index) else {
        panic!("it is there");
    };
    assert_eq!(inspect(&mut library), []);
    for number in files(&dir) {
        let emptied = number != 2;
        let path = dir.path().join(format!("segment.{number}"));
        if !emptied {
            fs::remove_file(path).expect("it is there");
        }
    }
    assert_eq!(inspect(&mut library), lost);
    for fragment in &lost {
        let fragment = *fragment;
        library.run(LibraryJob::Quarantine { fragment });
    }
    assert_eq!(inspect(&mut library), []);
    assert_eq!(quarantined(&mut library), lost);
    let fragment = lost[0];
    let again = LibraryJob::ReplaceFragment {
        fragment,
        bytes: bytes.clone(),
    };
    assert_eq!(library.run(again), JobReply::FragmentStored);
    drop(library);
    let mut library = writer(&dir);
    assert!(read(&mut library, one, index) == JobReply::Fragment { index, bytes });
}

/// The segment that sound is added to goes while the node runs: nothing more is added to it.
#[test]
fn nothing_is_added_to_a_file_without_a_name() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &[5000, 6000]);
    let song_1 = manifest.song.id;
    upload(&mut library, &manifest, &pieces);
    fs::remove_file(dir.path().join("segment.1")).expect("it is there");
    for fragment in inspect(&mut library) {
        library.run(LibraryJob::Quarantine { fragment });
    }
    for (index, bytes) in (0..).zip(pieces.clone()) {
        let fragment = FragmentId {
            song: song_1,
            index,
        };
        let stored = library.run(LibraryJob::ReplaceFragment { fragment, bytes });
        assert_eq!(stored, JobReply::FragmentStored);
    }
    drop(library);
    let mut library = writer(&dir);
    for (index, bytes) in (0..).zip(&pieces) {
        assert_eq!(read(&mut library, song_1, index), fragment(index, bytes));
    }
}
