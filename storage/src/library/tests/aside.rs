//! A library that was set aside keeps its segments until what they hold is in the new one.

use std::path::PathBuf;

use super::*;
use crate::library::verify::{Depth, verify};

/// More songs than a step of the salvage takes.
const SONGS: u8 = 70;

type Uploaded = Vec<(Manifest, Vec<Vec<u8>>)>;

fn library(dir: &TempDir) -> Uploaded {
    let songs: Uploaded = (0..SONGS).map(|seed| song(seed, &[10, 5000])).collect();
    let mut library = writer(dir);
    for (manifest, pieces) in &songs {
        upload(&mut library, manifest, pieces);
    }
    songs
}

fn segment(dir: &TempDir, number: u32) -> PathBuf {
    dir.path().join(format!("segment.{number}"))
}

fn salvage(library: &mut LibraryWorker) {
    while let JobReply::Salvaged { more: true, .. } = library.run(LibraryJob::Salvage) {}
}

fn assert_all_there(library: &mut LibraryWorker, all: &Uploaded) {
    for (manifest, pieces) in all {
        for (index, bytes) in (0..).zip(pieces) {
            let got = read(library, manifest.song.id, index);
            assert_eq!(got, fragment(index, bytes));
        }
    }
}

/// How far setting aside and salvaging had come when the process died.
const DEATHS: [fn(&TempDir); 5] = [
    |dir| {
        let name = |name: &str| dir.path().join(name);
        fs::rename(name("library.db"), name("library.db.mending")).expect("it is there");
    },
    |dir| {
        DEATHS[0](dir);
        fs::write(dir.path().join("library.db"), "").expect("a writable directory");
    },
    |dir| {
        let store = StoreId(7);
        writer(dir).run(LibraryJob::Rebuild { store });
    },
    |dir| {
        DEATHS[2](dir);
        // Songs come meanwhile, and some of them leave.
        let mut library = writer(dir);
        for seed in [201, 202] {
            let (manifest, pieces) = song(seed, &[9000]);
            upload(&mut library, &manifest, &pieces);
        }
        let songs = vec![song(202, &[9000]).0.song.id];
        library.run(LibraryJob::RemoveSongs { songs });
        library.run(LibraryJob::Reclaim);
    },
    |dir| {
        DEATHS[2](dir);
        let step = writer(dir).run(LibraryJob::Salvage);
        assert!(matches!(step, JobReply::Salvaged { more: true, .. }));
    },
];

/// Wherever the process dies: the segments of the library that was set aside are as they were, the
/// next start takes everything out of them, and they go with it.
#[test]
fn segments_of_a_library_set_aside_outlive_every_crash() {
    for (number, death) in (0..).zip(DEATHS) {
        let dir = TempDir::new();
        let all = library(&dir);
        let before = fs::read(segment(&dir, 1)).expect("it is there");
        death(&dir);
        let mut library = writer(&dir);
        let after = fs::read(segment(&dir, 1)).expect("it is there");
        assert!(before == after, "death {number}");
        salvage(&mut library);
        assert_all_there(&mut library, &all);
        assert!(!segment(&dir, 1).exists(), "death {number}");
        for name in ["library.db.mending", "library.db.kept"] {
            assert!(!dir.path().join(name).exists(), "death {number}: {name}");
        }
        let (another, pieces) = song(210, &[70_000]);
        upload(&mut library, &another, &pieces);
        assert_all_there(&mut library, &all);
        drop(library);
        let report = verify(dir.path(), NODE, Depth::Whole, &mut |_| ()).expect("a library");
        assert_eq!(report.findings, [], "death {number}");
    }
}

/// The process dies when the old segments have gone and the file that names them has not.
#[test]
fn a_salvage_whose_segments_have_gone_ends() {
    let dir = TempDir::new();
    let all = library(&dir);
    let mut library = writer(&dir);
    library.run(LibraryJob::Rebuild { store: StoreId(7) });
    let (aside, copy) = (
        dir.path().join("library.db.mending"),
        dir.path().join("copy"),
    );
    fs::copy(&aside, &copy).expect("it is there");
    salvage(&mut library);
    drop(library);
    assert!(!segment(&dir, 1).exists());
    fs::rename(copy, &aside).expect("it is there");
    let mut library = writer(&dir);
    salvage(&mut library);
    assert_all_there(&mut library, &all);
    assert!(!aside.exists() && !dir.path().join("library.db.kept").exists());
}

/// A library of which something could not be had is kept with its segments, until another one takes
/// its place. No number is given twice, and a reader sees the right bytes all the time.
#[test]
fn a_kept_library_keeps_its_segments() {
    let dir = TempDir::new();
    let all = library(&dir);
    let opened = Library::open(dir.path(), NODE, STORE).expect("a library");
    let (mut library, mut reader) = (opened.writer().expect("it"), opened.reader().expect("it"));
    let (song, index) = (all[0].0.song.id, 1);
    let bad = FragmentId { song, index };
    for round in 1..=3 {
        assert_all_there(&mut reader, &all);
        assert!(library.rot(bad));
        library.run(LibraryJob::Rebuild {
            store: StoreId(round),
        });
        salvage(&mut library);
        assert!(dir.path().join("library.db.kept").exists());
        let there: Vec<u32> = (1..9).filter(|n| segment(&dir, *n).exists()).collect();
        let round = round as u32;
        assert_eq!(there, [round, round + 1]);
        let aside = read(&mut reader, song, index);
        assert_eq!(aside, failed(JobFault::Quarantined));
        let (fragment, bytes) = (bad, all[0].1[1].clone());
        let replaced = library.run(LibraryJob::ReplaceFragment { fragment, bytes });
        assert_eq!(replaced, JobReply::FragmentStored);
    }
}

/// Rows of segments that a disk has lost cost no sound: their numbers are not given again.
#[test]
fn a_lost_row_of_a_segment_costs_no_sound() {
    let dir = TempDir::new();
    let all = library(&dir);
    sql(&writer(&dir), "DELETE FROM segments");
    let mut library = writer(&dir);
    let (another, pieces) = song(210, &[70_000]);
    upload(&mut library, &another, &pieces);
    assert_all_there(&mut library, &all);
    assert!(segment(&dir, 2).exists());
}

/// All songs were removed while they were set aside: the old segments go, and though there is no
/// file left, the next one has another number, because a reader may still hold the old file.
#[test]
fn a_number_is_not_given_twice_where_nothing_was_taken() {
    let dir = TempDir::new();
    let (old, sound) = song(1, &[5000]);
    upload(&mut writer(&dir), &old, &sound);
    let opened = Library::open(dir.path(), NODE, STORE).expect("a library");
    let (mut library, mut reader) = (opened.writer().expect("it"), opened.reader().expect("it"));
    assert_eq!(read(&mut reader, old.song.id, 0), fragment(0, &sound[0]));
    library.run(LibraryJob::Rebuild { store: StoreId(7) });
    let songs = vec![old.song.id];
    library.run(LibraryJob::RemoveSongs { songs });
    salvage(&mut library);
    assert!(!segment(&dir, 1).exists());
    let (another, pieces) = song(2, &[5000]);
    upload(&mut library, &another, &pieces);
    assert_eq!(
        read(&mut reader, another.song.id, 0),
        fragment(0, &pieces[0])
    );
}
