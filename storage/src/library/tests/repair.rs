//! Damaged fragments: found, quarantined and replaced.

use super::*;

fn scrub(library: &mut LibraryWorker, after: Option<FragmentId>, bytes: u64) -> Scrubbed {
    match library.run(LibraryJob::Scrub { after, bytes }) {
        JobReply::Scrubbed(done) => done,
        other => panic!("{other:?}"),
    }
}

fn set_aside(library: &mut LibraryWorker, fragment: FragmentId) {
    assert_eq!(
        library.run(LibraryJob::Quarantine { fragment }),
        JobReply::Done
    );
}

fn quarantined(library: &mut LibraryWorker, after: Option<FragmentId>) -> Vec<FragmentId> {
    match library.run(LibraryJob::Quarantined { after, limit: 9 }) {
        JobReply::Quarantined { fragments, .. } => fragments,
        other => panic!("{other:?}"),
    }
}

fn overview(library: &mut LibraryWorker) -> Overview {
    match library.run(LibraryJob::Overview) {
        JobReply::Overview(overview) => overview,
        other => panic!("{other:?}"),
    }
}

/// A scrub round visits every fragment once, in steps of the requested size.
#[test]
fn a_scrub_visits_every_fragment_once() {
    let mut library = in_memory();
    let mut all = Vec::new();
    for seed in 0..5 {
        let (manifest, pieces) = song(seed, &[100; 7]);
        upload(&mut library, &manifest, &pieces);
        let song = manifest.song.id;
        all.extend((0..7).map(|index| FragmentId { song, index }));
    }
    all.sort_unstable();
    let (staged, _) = song(9, &[10]);
    begin(&mut library, &staged);

    let (mut after, mut at, mut fragments) = (None, 0, 0);
    loop {
        let done = scrub(&mut library, after, 250);
        assert_eq!(done.bad, []);
        fragments += done.fragments;
        assert_eq!(done.bytes, u64::from(done.fragments) * 100);
        after = done.after;
        let Some(last) = after else {
            break;
        };
        at += 3;
        assert_eq!((last, done.fragments), (all[at - 1], 3));
    }
    assert_eq!(fragments, 35);
    let whole = scrub(&mut library, None, u64::MAX);
    assert_eq!((whole.after, whole.fragments), (None, 35));
    assert_eq!(scrub(&mut library, None, 0).fragments, 1);
}

/// A step is bounded, however many bytes it is asked for, because readers wait behind it.
#[test]
fn a_step_of_a_scrub_is_bounded() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[1_000_000; 18]);
    upload(&mut library, &manifest, &pieces);
    let song = manifest.song.id;
    let done = scrub(&mut library, None, u64::MAX);
    assert_eq!(done.after, Some(FragmentId { song, index: 16 }));
    let (manifest, pieces) = super::song(2, &[1; 5000]);
    upload(&mut library, &manifest, &pieces);
    let after = (manifest.song.id > song).then_some(FragmentId { song, index: 17 });
    assert_eq!(scrub(&mut library, after, u64::MAX).fragments, 4096);
}

/// The scrub finds every kind of damage to a fragment, and the other fragments pass.
#[test]
fn a_scrub_finds_every_kind_of_rot() {
    let damages = [
        "UPDATE fragments SET data = CAST(substr(data, 1, 99) || x'00' AS BLOB) WHERE number = 1",
        "UPDATE fragments SET data = x'' WHERE number = 1",
        "UPDATE fragments SET data = zeroblob(3000000) WHERE number = 1",
        "DELETE FROM fragments WHERE number = 1",
    ];
    let altered = [
        "UPDATE slices SET hash = zeroblob(32) WHERE number = 1",
        "UPDATE slices SET hash = x'00' WHERE number = 1",
        "UPDATE slices SET part = 77 WHERE number = 1",
        "UPDATE slices SET length = 4294967295 WHERE number = 1",
    ];
    for damage in damages.into_iter().chain(altered) {
        let mut library = in_memory();
        let (manifest, pieces) = song(1, &[10, 100, 1000]);
        let song = manifest.song.id;
        upload(&mut library, &manifest, &pieces);
        sql(&library, damage);
        let (mut after, mut bad, mut strange, mut steps) = (None, Vec::new(), Vec::new(), 0);
        while steps == 0 || after.is_some() {
            let done = scrub(&mut library, after, 1);
            bad.extend(done.bad);
            strange.extend(done.altered);
            after = done.after;
            steps += 1;
        }
        // Where the manifest is altered, nothing can be said of the fragment.
        if altered.contains(&damage) {
            assert_eq!((bad, strange), (vec![], vec![song]), "{damage}");
        } else {
            assert_eq!(bad, [FragmentId { song, index: 1 }], "{damage}");
        }
        // A slice without a valid length counts no bytes of the step.
        assert!((3..=4).contains(&steps), "{damage}");
    }
}

/// A damaged fragment is quarantined and not served, then replaced and served again.
#[test]
fn a_bad_fragment_is_set_aside_and_made_good() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &[10, 100, 1000]);
    let id = manifest.song.id;
    upload(&mut library, &manifest, &pieces);
    let bad = FragmentId { song: id, index: 1 };
    assert!(library.rot(bad));
    assert_eq!(read(&mut library, id, 1), failed(JobFault::Damaged));
    let found = scrub(&mut library, None, u64::MAX).bad;
    assert_eq!(found, [bad]);
    found
        .into_iter()
        .for_each(|bad| set_aside(&mut library, bad));

    drop(library);
    let mut library = writer(&dir);
    assert_eq!(read(&mut library, id, 1), failed(JobFault::Quarantined));
    assert_eq!(read(&mut library, id, 2), fragment(2, &pieces[2]));
    let described = library.run(LibraryJob::Describe { song: id });
    assert!(matches!(described, JobReply::Described { .. }));
    let again = scrub(&mut library, None, u64::MAX);
    assert_eq!((again.bad.len(), again.fragments), (0, 2));
    assert_eq!(overview(&mut library).quarantined, 1);
    assert_eq!(quarantined(&mut library, None), [bad]);
    assert_eq!(quarantined(&mut library, Some(bad)), []);

    let replace = |bytes: &[u8]| LibraryJob::ReplaceFragment {
        fragment: bad,
        bytes: bytes.to_vec(),
    };
    for wrong in [&pieces[0], &pieces[2], &vec![0; 100]] {
        assert_eq!(library.run(replace(wrong)), failed(JobFault::Damaged));
        assert_eq!(read(&mut library, id, 1), failed(JobFault::Quarantined));
    }
    for _ in 0..2 {
        assert_eq!(library.run(replace(&pieces[1])), JobReply::FragmentStored);
        assert_eq!(read(&mut library, id, 1), fragment(1, &pieces[1]));
        assert_eq!(overview(&mut library).quarantined, 0);
    }
    assert_eq!(rows(&library, "fragments"), 3);
    assert_eq!(scrub(&mut library, None, u64::MAX).fragments, 3);
}

/// A client that uploads a damaged song again repairs it, if the cut is the same.
#[test]
fn an_upload_makes_a_damaged_song_good() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[10, 100, 1000, 20]);
    let id = manifest.song.id;
    let stored = upload(&mut library, &manifest, &pieces);
    for index in [1, 2] {
        let bad = FragmentId { song: id, index };
        assert!(library.rot(bad));
        set_aside(&mut library, bad);
    }
    let halves = [pieces[..2].concat(), pieces[2..].concat()];
    let begun = begin(&mut library, &manifest_of(&halves));
    assert!(matches!(begun, JobReply::Stored { .. }), "{begun:?}");

    // Different tags do not make a different cut.
    let mut renamed = manifest.clone();
    renamed.song.title = "the same file by another name".into();
    assert_eq!(begin(&mut library, &renamed), missing(&[(1, 3)]));
    let damaged = keep(&mut library, id, 1, &pieces[0]);
    assert_eq!(damaged, failed(JobFault::Damaged));
    assert_eq!(
        keep(&mut library, id, 2, &pieces[2]),
        JobReply::FragmentStored
    );
    assert_eq!(begin(&mut library, &manifest), missing(&[(1, 2)]));
    assert_eq!(
        keep(&mut library, id, 1, &pieces[1]),
        JobReply::FragmentStored
    );
    assert_eq!(commit(&mut library, id, &[]), stored);
    for (index, bytes) in (0..).zip(&pieces) {
        assert_eq!(read(&mut library, id, index), fragment(index, bytes));
    }
    assert_eq!(rows(&library, "fragments"), 4);
}

/// A missing row is repaired like a damaged one.
#[test]
fn a_lost_fragment_is_made_good() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[10, 100]);
    let song = manifest.song.id;
    upload(&mut library, &manifest, &pieces);
    sql(&library, "DELETE FROM fragments WHERE number = 1");
    let (fragment, bytes) = (FragmentId { song, index: 1 }, pieces[1].clone());
    let reply = library.run(LibraryJob::ReplaceFragment { fragment, bytes });
    assert_eq!(reply, JobReply::FragmentStored);
    assert_eq!(read(&mut library, song, 1), super::fragment(1, &pieces[1]));
}

/// No job makes the library replace a good fragment, or accept a fragment it does not know.
#[test]
fn only_what_is_bad_is_set_aside() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[10]);
    upload(&mut library, &manifest, &pieces);
    let song = manifest.song.id;
    set_aside(&mut library, FragmentId { song, index: 0 });
    assert_eq!(quarantined(&mut library, None), []);
    let unknown = [
        FragmentId { song, index: 1 },
        FragmentId {
            song: SongId(1),
            index: 0,
        },
    ];
    for fragment in unknown {
        let reply = library.run(LibraryJob::Quarantine { fragment });
        assert_eq!(reply, failed(JobFault::NotFound));
        let bytes = pieces[0].clone();
        let reply = library.run(LibraryJob::ReplaceFragment { fragment, bytes });
        assert_eq!(reply, failed(JobFault::NotFound));
    }
}

/// When a song leaves, its fragments leave the quarantine.
#[test]
fn a_song_that_leaves_is_not_damaged_any_longer() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[10; 100]);
    let song = manifest.song.id;
    upload(&mut library, &manifest, &pieces);
    for index in [3, 99] {
        let bad = FragmentId { song, index };
        assert!(library.rot(bad));
        set_aside(&mut library, bad);
    }
    assert_eq!(overview(&mut library).quarantined, 2);
    library.run(LibraryJob::DropSongs {
        songs: vec![song],
        until: u64::MAX,
    });
    assert_eq!(overview(&mut library).quarantined, 0);
    assert_eq!(quarantined(&mut library, None), []);
}

/// After a restart, the scrub continues at the last noted position.
#[test]
fn a_scrub_goes_on_after_a_restart() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let song = SongId(u128::MAX - 1);
    let noted = FragmentId {
        song,
        index: 13_999,
    };
    for (after, rounds) in [(Some(noted), 0), (None, 1), (None, 2), (Some(noted), 2)] {
        assert_eq!(library.run(LibraryJob::NoteScrub { after }), JobReply::Done);
        drop(library);
        library = writer(&dir);
        assert_eq!(overview(&mut library).scrub, ScrubNote { rounds, after });
    }
}

/// Checking writes nothing: a reader can do it, and the files stay as they are.
#[test]
fn a_scrub_writes_nothing() {
    let dir = TempDir::new();
    let library = Library::open(dir.path(), NODE, STORE).expect("a free directory");
    let mut writer = library.writer().expect("it is open");
    let (manifest, pieces) = song(1, &[100_000; 5]);
    upload(&mut writer, &manifest, &pieces);
    let (song, index) = (manifest.song.id, 2);
    assert!(writer.rot(FragmentId { song, index }));
    let mut reader = library.reader().expect("it is open");
    let files = ["library.db", "library.db-wal"].map(|name| dir.path().join(name));
    let bytes = || {
        files
            .clone()
            .map(|path| fs::read(path).expect("it is there"))
    };
    let before = bytes();
    let done = scrub(&mut reader, None, u64::MAX);
    assert_eq!((done.fragments, done.bad.len()), (5, 1));
    assert!(bytes() == before);
}
