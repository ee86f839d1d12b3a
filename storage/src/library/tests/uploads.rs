//! Uploads, from the first offer of a song to its commit, with interruptions.

use super::*;

/// A song becomes visible with its commit, as a whole, and not earlier.
#[test]
fn a_song_is_seen_from_its_commit_on() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[100, 70_000, 1_000_000]);
    let id = manifest.song.id;

    assert_eq!(begin(&mut library, &manifest), missing(&[(0, 3)]));
    for (index, bytes) in (0..).zip(&pieces) {
        assert_eq!(
            keep(&mut library, id, index, bytes),
            JobReply::FragmentStored
        );
        assert_nothing_is_seen(&mut library, id);
    }
    let overview = Overview {
        store: STORE,
        revision: 1,
        digest: digest(&[id]),
        bytes: 1_070_100,
        ..Overview::default()
    };
    assert_eq!(commit(&mut library, id, &[]), JobReply::Stored { overview });

    assert_eq!(
        library.run(LibraryJob::Overview),
        JobReply::Overview(overview)
    );
    let described = library.run(LibraryJob::Describe { song: id });
    assert_eq!(
        described,
        JobReply::Described {
            manifest: manifest.clone()
        }
    );
    for (index, bytes) in (0..).zip(pieces) {
        assert_eq!(
            read(&mut library, id, index),
            JobReply::Fragment { index, bytes }
        );
    }
    assert_eq!(
        songs(&mut library, None, 9),
        (vec![manifest.song.clone()], false)
    );
    assert_eq!(
        changes(&mut library, 0, 9),
        (vec![Change::Added(manifest.song)], 1)
    );
    assert_eq!(changes(&mut library, 1, 9), (vec![], 1));
    assert_eq!(changes(&mut library, 99, 9), (vec![], 1));
}

/// A repeated job gets the same answer again and makes no second song.
#[test]
fn every_step_of_an_upload_may_be_repeated() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[10, 20]);
    let id = manifest.song.id;
    assert_eq!(begin(&mut library, &manifest), missing(&[(0, 2)]));
    assert_eq!(begin(&mut library, &manifest), missing(&[(0, 2)]));
    assert_eq!(commit(&mut library, id, &[]), missing(&[(0, 2)]));
    for _ in 0..2 {
        assert_eq!(
            keep(&mut library, id, 1, &pieces[1]),
            JobReply::FragmentStored
        );
    }
    assert_eq!(begin(&mut library, &manifest), missing(&[(0, 1)]));
    assert_eq!(
        keep(&mut library, id, 0, &pieces[0]),
        JobReply::FragmentStored
    );

    let stored = commit(&mut library, id, &[NodeId(9), NodeId(3)]);
    assert!(matches!(stored, JobReply::Stored { .. }));
    assert_eq!(commit(&mut library, id, &[NodeId(3), NodeId(5)]), stored);
    assert_eq!(begin(&mut library, &manifest), stored);
    assert_eq!(
        keep(&mut library, id, 0, &pieces[0]),
        JobReply::FragmentStored
    );
    assert_eq!(
        keep(&mut library, id, 0, &pieces[1]),
        failed(JobFault::Damaged)
    );

    // Each copy is due once.
    let due = |nodes: &[u128], more| JobReply::CopiesDue {
        due: nodes.iter().map(|node| (id, NodeId(*node))).collect(),
        more,
    };
    let page = |after: Option<u128>, limit| LibraryJob::CopiesDue {
        after: after.map(|node| (id, NodeId(node))),
        limit,
    };
    assert_eq!(library.run(page(None, 9)), due(&[3, 5, 9], false));
    assert_eq!(library.run(page(None, 2)), due(&[3, 5], true));
    assert_eq!(library.run(page(Some(5), 2)), due(&[9], false));
    for _ in 0..2 {
        let done = LibraryJob::CopyDone {
            song: id,
            node: NodeId(3),
        };
        assert_eq!(library.run(done), JobReply::Done);
    }
    assert_eq!(library.run(page(None, 9)), due(&[5, 9], false));
    let node = NodeId(5);
    assert_eq!(
        library.run(LibraryJob::ForgetCopiesDue { node }),
        JobReply::Done
    );
    assert_eq!(library.run(page(None, 9)), due(&[9], false));
}

/// Fragments sent before a restart need not be sent again.
#[test]
fn an_upload_goes_on_after_a_restart() {
    let dir = TempDir::new();
    let (manifest, pieces) = song(1, &[10, 20, 30, 40, 50]);
    let id = manifest.song.id;
    {
        let mut library = writer(&dir);
        begin(&mut library, &manifest);
        for index in [1, 2, 4] {
            keep(&mut library, id, index, &pieces[index as usize]);
        }
    }
    let mut library = writer(&dir);
    assert_nothing_is_seen(&mut library, id);
    assert_eq!(begin(&mut library, &manifest), missing(&[(0, 1), (3, 4)]));
    keep(&mut library, id, 0, &pieces[0]);
    keep(&mut library, id, 3, &pieces[3]);
    let stored = commit(&mut library, id, &[NodeId(7)]);
    drop(library);

    let mut library = writer(&dir);
    assert_eq!(begin(&mut library, &manifest), stored);
    let (due, more) = (vec![(id, NodeId(7))], false);
    let (after, limit) = (None, 9);
    assert_eq!(
        library.run(LibraryJob::CopiesDue { after, limit }),
        JobReply::CopiesDue { due, more }
    );
}

/// If another client cuts the same file differently, only the later cut stays.
#[test]
fn a_later_cut_of_the_same_file_replaces_the_earlier_one() {
    let mut library = in_memory();
    let (early, pieces) = song(1, &[10, 20, 30]);
    let (id, file) = (early.song.id, pieces.concat());
    begin(&mut library, &early);
    keep(&mut library, id, 0, &pieces[0]);

    let halves = [file[..30].to_vec(), file[30..].to_vec()];
    let late = manifest_of(&halves);
    assert_eq!(late.song.id, id);
    assert_eq!(begin(&mut library, &late), missing(&[(0, 2)]));
    assert_eq!(
        keep(&mut library, id, 1, &pieces[1]),
        failed(JobFault::Damaged)
    );
    let absent = JobFault::Invalid("the song has no fragment 2".into());
    assert_eq!(keep(&mut library, id, 2, &pieces[2]), failed(absent));
    assert!(matches!(
        upload(&mut library, &late, &halves),
        JobReply::Stored { .. }
    ));
    assert_eq!(
        library.run(LibraryJob::Describe { song: id }),
        JobReply::Described { manifest: late }
    );
}

#[test]
fn bytes_that_are_not_the_fragment_are_refused() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[10, 20]);
    let id = manifest.song.id;
    assert_eq!(
        keep(&mut library, id, 0, &pieces[0]),
        failed(JobFault::NotFound)
    );
    assert_eq!(commit(&mut library, id, &[]), failed(JobFault::NotFound));
    begin(&mut library, &manifest);
    let mut wrong = pieces[0].clone();
    wrong[9] ^= 1;
    assert_eq!(keep(&mut library, id, 0, &wrong), failed(JobFault::Damaged));
    assert_eq!(
        keep(&mut library, id, 0, &pieces[0][..9]),
        failed(JobFault::Damaged)
    );
    assert_eq!(
        keep(&mut library, id, 0, &pieces[1]),
        failed(JobFault::Damaged)
    );
    assert_eq!(begin(&mut library, &manifest), missing(&[(0, 2)]));
}

/// If the fragments match the manifest but not the hash of the file, nothing stays.
#[test]
fn a_manifest_that_lied_about_the_file_is_dropped_whole() {
    let mut library = in_memory();
    let (mut manifest, pieces) = song(1, &[10, 20]);
    manifest.hash = ContentHash([5; 32]);
    manifest.song.id = SongId::of(&manifest.hash);
    let id = manifest.song.id;
    assert_eq!(
        upload(&mut library, &manifest, &pieces),
        failed(JobFault::Damaged)
    );
    assert_nothing_is_seen(&mut library, id);
    assert_eq!(rows(&library, "fragments"), 0);
    assert_eq!(commit(&mut library, id, &[]), failed(JobFault::NotFound));
    assert_eq!(begin(&mut library, &manifest), missing(&[(0, 2)]));
}

/// The library does not trust its caller: a manifest that cannot be true gets no row.
#[test]
fn a_manifest_that_cannot_be_true_is_refused() {
    let mut library = in_memory();
    let (mut manifest, _) = song(1, &[10]);
    manifest.song.bytes = u64::MAX;
    let said = "the manifest cannot be true: its fragments are not as long as the file";
    assert_eq!(
        begin(&mut library, &manifest),
        failed(JobFault::Invalid(said.into()))
    );
}

#[test]
fn a_sweep_takes_uploads_and_leaves_songs() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (stays, pieces) = song(1, &[1_000_000]);
    upload(&mut library, &stays, &pieces);
    let (manifest, pieces) = song(2, &[1_000_000; 3]);
    begin(&mut library, &manifest);
    for (index, bytes) in (0..).zip(&pieces) {
        keep(&mut library, manifest.song.id, index, bytes);
    }
    assert_eq!(
        library.run(LibraryJob::SweepUploads { untouched_s: 3600 }),
        JobReply::Done
    );
    assert_eq!(begin(&mut library, &manifest), missing(&[]));
    let before = sound_on_disk(&dir);

    assert_eq!(
        library.run(LibraryJob::SweepUploads { untouched_s: 0 }),
        JobReply::Done
    );
    assert_eq!(begin(&mut library, &manifest), missing(&[(0, 3)]));
    assert_eq!(songs(&mut library, None, 9).0, [stays.song]);
    // Three megabytes went back to the file system.
    assert!(sound_on_disk(&dir) <= before - 3_000_000);
}

/// A full disk fails the upload that meets it, and nothing else.
#[test]
fn a_full_disk_is_said_and_survived() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (stays, kept) = song(1, &[500_000]);
    upload(&mut library, &stays, &kept);
    let (manifest, pieces) = song(2, &[1_000_000, 1_000_000]);
    let id = manifest.song.id;
    begin(&mut library, &manifest);
    assert_eq!(
        keep(&mut library, id, 0, &pieces[0]),
        JobReply::FragmentStored
    );

    let full = pragma(&library, "page_count") + 3;
    sql(&library, &format!("PRAGMA max_page_count = {full}"));
    assert_eq!(read(&mut library, stays.song.id, 0), fragment(0, &kept[0]));
    let (long, _) = song(3, &[10; 5_000]);
    assert_eq!(begin(&mut library, &long), failed(JobFault::DiskFull));

    sql(&library, "PRAGMA max_page_count = 1000000");
    assert_eq!(
        keep(&mut library, id, 1, &pieces[1]),
        JobReply::FragmentStored
    );
    assert!(matches!(
        commit(&mut library, id, &[]),
        JobReply::Stored { .. }
    ));
    assert_eq!(songs(&mut library, None, 9).0.len(), 2);
}

/// An upload that is dropped gives back its room, a song that is committed stays.
#[test]
fn a_dropped_upload_leaves_nothing() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (stays, kept) = song(1, &[500_000]);
    upload(&mut library, &stays, &kept);
    let (manifest, pieces) = song(2, &[900_000; 40]);
    let id = manifest.song.id;
    begin(&mut library, &manifest);
    for (index, bytes) in (0..39).zip(&pieces) {
        keep(&mut library, id, index, bytes);
    }
    let before = sound_on_disk(&dir);
    for song in [id, stays.song.id, SongId(7)] {
        let reply = library.run(LibraryJob::DropUpload { song });
        assert_eq!(reply, JobReply::Reclaimed { more: false });
    }
    library.run(LibraryJob::Reclaim);
    assert!(sound_on_disk(&dir) < before / 2);
    let tables = ["songs", "slices", "fragments"].map(|table| rows(&library, table));
    assert_eq!(tables, [1, 1, 1]);
    assert_eq!(
        keep(&mut library, id, 39, &pieces[39]),
        failed(JobFault::NotFound)
    );
    assert_eq!(begin(&mut library, &manifest), missing(&[(0, 40)]));
    assert_eq!(read(&mut library, stays.song.id, 0), fragment(0, &kept[0]));
}

/// Room that one song is to take is not promised to another one: that is refused before it takes any.
/// A smaller song still finds room, and what a song leaves comes back.
#[test]
fn room_is_promised_once() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    library.run(LibraryJob::Reclaim); // The reserve is whole.
    let is_full = |library: &mut LibraryWorker| {
        library.run(LibraryJob::Room { bytes: 1_000_000 }) == JobReply::Room { full: true }
    };
    library.room.limit(40_000_000);
    let (first, pieces) = song(1, &[1_000_000; 20]);
    let (second, _) = song(2, &[1_000_000; 20]);
    let (small, small_pieces) = song(3, &[1_000_000]);
    assert_eq!(begin(&mut library, &first), missing(&[(0, 20)]));
    for _ in 0..2 {
        assert_eq!(begin(&mut library, &second), failed(JobFault::DiskFull));
        assert_eq!(
            begin(&mut library, &first),
            missing(&[(0, 20)]),
            "it is promised already"
        );
    }
    assert_eq!((rows(&library, "songs"), rows(&library, "slices")), (1, 20));
    assert!(!is_full(&mut library));
    upload(&mut library, &small, &small_pieces);

    // As if the fragments had taken what they take.
    upload(&mut library, &first, &pieces);
    library.room.limit(9_000_000);
    assert_eq!(begin(&mut library, &second), failed(JobFault::DiskFull));
    let before = sound_on_disk(&dir);
    let until = u64::MAX;
    let songs = vec![first.song.id];
    assert!(matches!(
        library.run(LibraryJob::DropSongs { songs, until }),
        JobReply::Removed { count: 1, .. }
    ));
    let back = before - sound_on_disk(&dir);
    assert!(back >= 20_000_000, "only {back} bytes came back");
}

/// Only what promises durability waits for the disk, and that always does.
#[test]
fn a_commit_is_synced_and_a_fragment_is_not() {
    let (normal, full) = (1, 2);
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &[10]);
    begin(&mut library, &manifest);
    keep(&mut library, manifest.song.id, 0, &pieces[0]);
    assert_eq!(pragma(&library, "synchronous"), normal);
    commit(&mut library, manifest.song.id, &[]);
    assert_eq!(pragma(&library, "synchronous"), full);

    // A follower that knows a removal must never see its revision with another change.
    let (songs, until) = (vec![manifest.song.id], u64::MAX);
    let drop = LibraryJob::DropSongs {
        songs: songs.clone(),
        until,
    };
    for removal in [drop, LibraryJob::RemoveSongs { songs }] {
        library.run(LibraryJob::Reclaim);
        assert_eq!(pragma(&library, "synchronous"), normal);
        library.run(removal);
        assert_eq!(pragma(&library, "synchronous"), full);
    }
}

/// Several changes with one write to the disk: each job gets the answer it would get alone, and a
/// job that fails does not stop the others.
#[test]
fn jobs_done_together_are_answered_as_alone() {
    let (mut alone, mut together) = (in_memory(), in_memory());
    let (one, one_pieces) = song(1, &[10, 20]);
    let (two, two_pieces) = song(2, &[30]);
    let (id, other) = (one.song.id, two.song.id);
    let keep = |song, index, bytes: &[u8]| LibraryJob::KeepFragment {
        song,
        index,
        bytes: bytes.to_vec(),
    };
    let begin = |manifest: &Manifest| LibraryJob::BeginUpload {
        manifest: manifest.clone(),
    };
    let commit = |song| LibraryJob::CommitUpload {
        song,
        copies_due: vec![],
    };
    let jobs = vec![
        begin(&one),
        keep(id, 0, &one_pieces[0]),
        keep(id, 1, b"not what its hash says"),
        begin(&two),
        commit(id),
        keep(other, 0, &two_pieces[0]),
        commit(other),
        keep(id, 1, &one_pieces[1]),
        commit(id),
    ];
    let expected: Vec<JobReply> = jobs.iter().map(|job| alone.run(job.clone())).collect();
    assert!(matches!(expected[2], JobReply::Failed(_)));
    assert!(matches!(expected[8], JobReply::Stored { .. }));
    assert_eq!(together.run_together(&jobs), Some(expected));
    assert_eq!(read(&mut together, id, 1), read(&mut alone, id, 1));
    assert_eq!(
        together.run(LibraryJob::Overview),
        alone.run(LibraryJob::Overview)
    );
}

/// A job that only reads is not run together with changes. If the database fails, nothing has
/// changed.
#[test]
fn jobs_that_cannot_be_done_together_change_nothing() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[10]);
    let song = manifest.song.id;
    let begin = LibraryJob::BeginUpload { manifest };
    assert_eq!(
        library.run_together(&[begin.clone(), LibraryJob::Overview]),
        None
    );
    assert_eq!(library.run_together(&[]), None);
    let bytes = pieces[0].clone();
    let keep = LibraryJob::KeepFragment {
        song,
        index: 0,
        bytes,
    };
    let limit = "PRAGMA max_page_count = 1"; // Clamped to what there is: no room for a page more.
    let slot = library.db.lock().expect("no worker has panicked");
    let db = slot.as_ref().expect("it is open");
    db.execute_batch(limit).expect("a setting");
    drop(slot);
    let (large, _) = crate::testing::song(2, &[1000; 400]);
    let large = LibraryJob::BeginUpload { manifest: large };
    assert_eq!(
        library.run_together(&[begin.clone(), keep.clone(), large.clone()]),
        None
    );
    assert!(
        matches!(library.run(keep), JobReply::Failed(_)),
        "no upload has begun"
    );
    let full = library.run(large);
    assert_eq!(full, JobReply::Failed(JobFault::DiskFull));
    assert!(matches!(library.run(begin), JobReply::Missing { .. }));
}
