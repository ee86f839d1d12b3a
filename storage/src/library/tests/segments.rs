//! The segments: sound is written once, a crash leaves nothing that counts, room comes back, and
//! older libraries move their sound there.

use std::path::PathBuf;

use super::*;
use crate::library::verify::{Depth, verify};

fn path(dir: &TempDir, number: u32) -> PathBuf {
    dir.path().join(format!("segment.{number}"))
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

fn assert_clean(dir: &TempDir) {
    let report = verify(dir.path(), NODE, Depth::Whole, &mut |_| ()).expect("a library");
    assert_eq!(report.findings, []);
}

/// Sound lies in blocks of its own in a segment, short fragments in the tables.
#[test]
fn sound_lies_beside_the_tables() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &[1024, 1025, 300_000, 100]);
    upload(&mut library, &manifest, &pieces);
    for (index, bytes) in (0..).zip(&pieces) {
        let got = read(&mut library, manifest.song.id, index);
        assert_eq!(got, fragment(index, bytes));
    }
    drop(library);
    let sound = fs::read(path(&dir, 1)).expect("it is there");
    assert!(sound[..1025] == pieces[1] && sound[4096..] == pieces[2]);
    assert!(length(&dir.path().join("library.db")) < 200_000);
    assert_clean(&dir);
}

/// What a failed transaction has written belongs to nobody, and the next one writes over it.
#[test]
fn what_was_not_committed_is_written_over() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &[5000, 6000]);
    let song = manifest.song.id;
    begin(&mut library, &manifest);
    let bytes = pieces[0].clone();
    let first = LibraryJob::KeepFragment {
        song,
        index: 0,
        bytes,
    };
    sql(
        &library,
        "CREATE TEMP TRIGGER broken BEFORE INSERT ON quarantine
        BEGIN SELECT raise(ROLLBACK, 'planted'); END",
    );
    let fragment_1 = FragmentId { song, index: 1 };
    let together = [
        first,
        LibraryJob::Quarantine {
            fragment: fragment_1,
        },
    ];
    assert!(library.run_together(&together).is_some());
    drop(library);
    // A process that was killed may have left more than any row names.
    let mut sound = fs::read(path(&dir, 1)).expect("it is there");
    assert_eq!(sound.len(), 5000);
    sound.resize(50_000, 7);
    fs::write(path(&dir, 1), sound).expect("a writable directory");

    let mut library = writer(&dir);
    upload(&mut library, &manifest, &pieces);
    assert_eq!(read(&mut library, song, 0), fragment(0, &pieces[0]));
    assert_eq!(read(&mut library, song, 1), fragment(1, &pieces[1]));
    assert_eq!(length(&path(&dir, 1)), 8192 + 6000);
}

/// After a power cut the rows of an upload may be there without their bytes: these are asked for
/// again, and what was committed is not touched.
#[test]
fn bytes_lost_in_a_power_cut_are_asked_for_again() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (stays, kept) = song(1, &[5000]);
    upload(&mut library, &stays, &kept);
    let (manifest, pieces) = song(2, &[5000, 6000, 7000]);
    let id = manifest.song.id;
    begin(&mut library, &manifest);
    (0..)
        .zip(&pieces)
        .for_each(|(index, bytes)| drop(keep(&mut library, id, index, bytes)));
    drop(library);
    let mut sound = fs::read(path(&dir, 1)).expect("it is there");
    sound.truncate(8192 + 8192 + 8192 + 10);
    sound[8192 + 8192..].fill(0);
    fs::write(path(&dir, 1), sound).expect("a writable directory");

    let mut library = writer(&dir);
    assert_eq!(begin(&mut library, &manifest), missing(&[]));
    assert_eq!(commit(&mut library, id, &[]), missing(&[(1, 3)]));
    assert!(matches!(
        upload(&mut library, &manifest, &pieces),
        JobReply::Stored { .. }
    ));
    assert_eq!(read(&mut library, stays.song.id, 0), fragment(0, &kept[0]));
    drop(library);
    assert_clean(&dir);
}

/// After a failed sync the fragments of unfinished uploads come again, though they can be read.
#[test]
fn a_failed_sync_is_not_forgotten() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (stays, kept) = song(1, &[5000]);
    upload(&mut library, &stays, &kept);
    let (manifest, pieces) = song(2, &[5000, 10]);
    let id = manifest.song.id;
    begin(&mut library, &manifest);
    keep(&mut library, id, 0, &pieces[0]);
    keep(&mut library, id, 1, &pieces[1]);
    library.segments.doubt();
    assert_eq!(commit(&mut library, id, &[]), missing(&[(0, 1)]));
    keep(&mut library, id, 0, &pieces[0]);
    let stored = commit(&mut library, id, &[]);
    assert!(matches!(stored, JobReply::Stored { .. }), "{stored:?}");
    assert_eq!(read(&mut library, stays.song.id, 0), fragment(0, &kept[0]));
}

/// A segment that is missing or too short is damage of the fragments in it, and heals as such.
#[test]
fn a_missing_segment_is_damage() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &[5000, 10]);
    let song = manifest.song.id;
    upload(&mut library, &manifest, &pieces);
    drop(library);
    fs::remove_file(path(&dir, 1)).expect("it is there");
    let mut library = writer(&dir);
    assert_eq!(read(&mut library, song, 0), failed(JobFault::Quarantined));
    assert_eq!(read(&mut library, song, 1), fragment(1, &pieces[1]));
    let (bad, bytes) = (FragmentId { song, index: 0 }, pieces[0].clone());
    let fragment_0 = LibraryJob::ReplaceFragment {
        fragment: bad,
        bytes,
    };
    assert_eq!(library.run(fragment_0), JobReply::FragmentStored);
    assert_eq!(read(&mut library, song, 0), fragment(0, &pieces[0]));
    drop(library);
    assert_clean(&dir);
}

/// A library that was moved away can be moved back: the next one does not write into its segments.
#[test]
fn segments_of_another_library_are_left_alone() {
    let dir = TempDir::new();
    let (manifest, pieces) = song(1, &[5000]);
    upload(&mut writer(&dir), &manifest, &pieces);
    let away = dir.path().join("away");
    fs::rename(dir.path().join("library.db"), &away).expect("it is there");
    let (other, sound) = song(2, &[5000]);
    upload(&mut writer(&dir), &other, &sound);
    assert!(fs::read(path(&dir, 1)).expect("it is there") == pieces[0]);
    assert!(fs::read(path(&dir, 2)).expect("it is there") == sound[0]);
    fs::rename(away, dir.path().join("library.db")).expect("it is there");
    let mut library = writer(&dir);
    assert_eq!(
        read(&mut library, manifest.song.id, 0),
        fragment(0, &pieces[0])
    );
}

/// Where there are no holes, segments of which little is left are emptied and removed.
#[test]
fn without_holes_room_comes_back_a_file_at_a_time() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    library.segments.limit(100_000);
    let songs: Vec<_> = (0..12).map(|seed| song(seed, &[20_000, 20_000])).collect();
    for (manifest, pieces) in &songs {
        upload(&mut library, manifest, pieces);
    }
    assert_eq!(rows(&library, "segments"), 7, "the last one is empty");
    let gone = songs.iter().skip(1).step_by(2).chain(&songs[2..5]);
    let gone = gone.map(|(manifest, _)| manifest.song.id).collect();
    library.run(LibraryJob::DropSongs {
        songs: gone,
        until: u64::MAX,
    });
    for _ in 0..9 {
        library.run(LibraryJob::Reclaim);
    }
    assert_eq!(
        library.run(LibraryJob::Reclaim),
        JobReply::Reclaimed { more: false }
    );
    let left = sound_on_disk(&dir);
    assert!(left <= 4 * 110_000, "{left}");
    for at in [0, 6, 8, 10] {
        let (manifest, pieces) = &songs[at];
        for index in [0, 1] {
            let got = read(&mut library, manifest.song.id, index);
            assert_eq!(got, fragment(index, &pieces[index as usize]));
        }
    }
    drop(library);
    assert_clean(&dir);
}

/// An older library, with its sound in the tables: two songs, an upload, and a damaged fragment.
fn older(dir: &TempDir) -> [(Manifest, Vec<Vec<u8>>); 3] {
    let mut library = writer(dir);
    let songs = [1, 2, 3].map(|seed| song(seed, &[100, 300_000, 200_000, 5000]));
    for (manifest, pieces) in &songs[..2] {
        upload(&mut library, manifest, pieces);
    }
    let (staged, pieces) = &songs[2];
    begin(&mut library, staged);
    keep(&mut library, staged.song.id, 1, &pieces[1]);
    let slot = library.db.lock().expect("nobody panicked");
    let db = slot.as_ref().expect("it is open");
    for (manifest, pieces) in &songs {
        for (index, bytes) in (0u32..).zip(pieces) {
            let sql = "UPDATE fragments SET data = ?3, segment = NULL, place = NULL
                       WHERE number = ?2 AND song = (SELECT row FROM songs WHERE id = ?1)";
            let key = manifest.song.id.0.to_be_bytes();
            db.execute(sql, (key, index, bytes)).expect("a row");
        }
    }
    db.execute_batch("DELETE FROM segments; DELETE FROM freed")
        .expect("SQL");
    drop(slot);
    let (song, index) = (songs[1].0.song.id, 2);
    drop(library);
    fs::remove_file(path(dir, 1)).expect("it is there");
    let mut library = writer(dir);
    assert!(library.rot(FragmentId { song, index }));
    songs
}

/// The sound of an older library moves in small steps, checked, and across restarts. Meanwhile and
/// afterwards everything can be read.
#[test]
fn an_older_library_moves_its_sound() {
    let dir = TempDir::new();
    let songs = older(&dir);
    let file = dir.path().join("library.db");
    let before = length(&file);
    assert!(before > 1_000_000);
    let mut more = true;
    for step in 0..20 {
        let mut library = writer(&dir);
        for (manifest, pieces) in &songs[..2] {
            for (index, bytes) in (0..).zip(pieces) {
                let bad = (manifest, index) == (&songs[1].0, 2);
                let got = read(&mut library, manifest.song.id, index);
                assert_eq!(got == fragment(index, bytes), !bad, "step {step}: {got:?}");
            }
        }
        if !more {
            break;
        }
        more = library.run(LibraryJob::Reclaim) == (JobReply::Reclaimed { more: true });
    }
    assert!(!more);
    assert_eq!(
        length(&path(&dir, 1)),
        2 * 8192 + 200_704 + 303_104 + 300_000
    );
    let mut library = writer(&dir);
    let (song, index) = (songs[1].0.song.id, 2);
    assert_eq!(
        read(&mut library, song, index),
        failed(JobFault::Quarantined)
    );
    let (staged, pieces) = &songs[2];
    assert!(matches!(
        upload(&mut library, staged, pieces),
        JobReply::Stored { .. }
    ));
    let (bad, bytes) = (FragmentId { song, index }, songs[1].1[2].clone());
    library.run(LibraryJob::ReplaceFragment {
        fragment: bad,
        bytes,
    });
    while library.run(LibraryJob::Reclaim) == (JobReply::Reclaimed { more: true }) {}
    sql(&library, "PRAGMA wal_checkpoint(TRUNCATE)");
    drop(library);
    assert_clean(&dir);
    assert!(length(&file) < before / 5, "{}", length(&file));
}
