//! Songs that leave: removed for good, or let go because other nodes keep them.

use super::*;
use roles::contract::limits::{PAGE_IDS_MAX, REMOVALS_MAX};

fn remove(library: &mut LibraryWorker, songs: &[SongId]) -> (u32, Overview) {
    let songs = songs.to_vec();
    removed(library.run(LibraryJob::RemoveSongs { songs }))
}

fn let_go(library: &mut LibraryWorker, song: SongId, until: u64) -> (u32, Overview) {
    let songs = vec![song];
    removed(library.run(LibraryJob::DropSongs { songs, until }))
}

fn removed(reply: JobReply) -> (u32, Overview) {
    match reply {
        JobReply::Removed { count, overview } => (count, overview),
        other => panic!("{other:?}"),
    }
}

/// The songs removed for good that lie in the partition of `song`.
fn tombstones(library: &mut LibraryWorker, song: SongId) -> Vec<SongId> {
    let job = LibraryJob::PartitionSongs {
        partition: Partition::of(song),
        after: None,
        limit: 9,
    };
    match library.run(job) {
        JobReply::PartitionSongs { tombstones, .. } => tombstones,
        other => panic!("{other:?}"),
    }
}

fn digests(library: &mut LibraryWorker) -> Vec<PartitionDigest> {
    match library.run(LibraryJob::PartitionDigests) {
        JobReply::PartitionDigests { digests } => digests,
        other => panic!("{other:?}"),
    }
}

/// A removed song is gone from every list, from the tables and from the totals. Its space is free,
/// and the change feed has its removal.
#[test]
fn a_removed_song_leaves_nothing_but_its_tombstone() {
    let mut library = in_memory();
    let (stays, kept) = song(1, &[10]);
    let (goes, pieces) = song(2, &[10, 20]);
    let id = goes.song.id;
    upload(&mut library, &stays, &kept);
    upload(&mut library, &goes, &pieces);
    commit(&mut library, id, &[NodeId(7)]);

    let (count, overview) = remove(&mut library, &[id]);
    let expected = Overview {
        store: STORE,
        revision: 3,
        digest: digest(&[stays.song.id]),
        bytes: 10,
        tombstones: digest(&[id]),
        ..Overview::default()
    };
    assert_eq!((count, overview), (1, expected));
    assert_eq!(
        library.run(LibraryJob::Overview),
        JobReply::Overview(expected)
    );
    assert_eq!(
        songs(&mut library, None, 9).0,
        std::slice::from_ref(&stays.song)
    );
    let gone = library.run(LibraryJob::Describe { song: id });
    assert_eq!(gone, failed(JobFault::NotFound));
    assert_eq!(read(&mut library, id, 0), failed(JobFault::NotFound));
    let feed = vec![Change::Added(stays.song), Change::Buried(id)];
    assert_eq!(changes(&mut library, 0, 9), (feed, 3));
    let left = ["songs", "fragments", "slices", "copies_due"].map(|table| rows(&library, table));
    assert_eq!(left, [1, 1, 1, 0]);
}

/// A tombstone wins over every step of an upload, whether the upload began before or after it.
#[test]
fn a_tombstone_wins_for_ever() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &[10, 20]);
    let id = manifest.song.id;
    begin(&mut library, &manifest);
    keep(&mut library, id, 0, &pieces[0]);
    // No song leaves, but the feed has a removal, because a follower may know the song from a
    // node that is gone.
    let (count, overview) = remove(&mut library, &[id, id]);
    assert_eq!((count, overview.revision), (0, 1));
    assert_eq!(changes(&mut library, 0, 9), (vec![Change::Buried(id)], 1));
    for _ in 0..2 {
        let refused = failed(JobFault::Removed);
        assert_eq!(begin(&mut library, &manifest), refused);
        assert_eq!(keep(&mut library, id, 1, &pieces[1]), refused);
        assert_eq!(commit(&mut library, id, &[NodeId(1)]), refused);
        let fragment = FragmentId { song: id, index: 0 };
        let bytes = pieces[0].clone();
        let replace = LibraryJob::ReplaceFragment { fragment, bytes };
        assert_eq!(library.run(replace), refused);
        assert_eq!(rows(&library, "fragments"), 0);
        drop(library);
        library = writer(&dir);
        remove(&mut library, &[id]);
        assert_eq!(tombstones(&mut library, id), [id]);
    }
    let (other, _) = song(2, &[10]);
    assert_eq!(begin(&mut library, &other), missing(&[(0, 1)]));
}

/// A song let go may come back. The feed shows the song once, with its latest change.
#[test]
fn a_song_let_go_may_come_back() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[10, 20]);
    let id = manifest.song.id;
    upload(&mut library, &manifest, &pieces);
    for round in 1..4 {
        let (count, overview) = let_go(&mut library, id, u64::MAX);
        assert_eq!((count, overview.digest), (1, Digest::default()));
        assert_eq!(digests(&mut library), []);
        let gone = vec![Change::Removed(id)];
        assert_eq!(changes(&mut library, 0, 9), (gone, 2 * round));
        // Repeating the job changes nothing.
        assert_eq!(let_go(&mut library, id, u64::MAX), (0, overview));

        upload(&mut library, &manifest, &pieces);
        let added = vec![Change::Added(manifest.song.clone())];
        assert_eq!(changes(&mut library, 0, 9), (added, 2 * round + 1));
        assert_eq!(read(&mut library, id, 1), fragment(1, &pieces[1]));
    }
    assert_eq!(tombstones(&mut library, id), []);
}

/// A song committed after the decision stays, and so does a staged song.
#[test]
fn a_song_wanted_since_is_not_let_go() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[10]);
    let id = manifest.song.id;
    begin(&mut library, &manifest);
    assert_eq!(let_go(&mut library, id, u64::MAX).0, 0);
    upload(&mut library, &manifest, &pieces);
    assert_eq!(let_go(&mut library, id, 0).0, 0);
    assert_eq!(read(&mut library, id, 0), fragment(0, &pieces[0]));
    assert_eq!(let_go(&mut library, id, 1).0, 1);
}

#[test]
fn too_many_removals_at_once_are_refused_whole() {
    let mut library = in_memory();
    let many = vec![SongId(1); REMOVALS_MAX + 1];
    for job in [
        LibraryJob::RemoveSongs {
            songs: many.clone(),
        },
        LibraryJob::DropSongs {
            songs: many,
            until: 0,
        },
    ] {
        let refused = library.run(job);
        assert!(
            matches!(refused, JobReply::Failed(JobFault::Invalid(_))),
            "{refused:?}"
        );
    }
    assert_eq!(rows(&library, "tombstones"), 0);
}

/// Both lists of ids, read page by page, give every id once, in order.
#[test]
fn pages_of_ids_follow_each_other() {
    let mut library = in_memory();
    let partition = Partition::from_number(0xabc).expect("there are so many");
    let inside = |n: u128| SongId(partition.first().0 + n);
    let all: Vec<SongId> = (0..25).map(|n| inside(n * n)).collect();
    let outside = [
        SongId(partition.first().0 - 1),
        SongId(partition.last().0 + 1),
    ];
    remove(&mut library, &all);
    remove(&mut library, &[outside[1], outside[0]]);
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let reply = library.run(LibraryJob::PartitionSongs {
            partition,
            after,
            limit: 4,
        });
        let JobReply::PartitionSongs {
            songs,
            tombstones,
            next,
        } = reply
        else {
            panic!("{reply:?}");
        };
        assert!(songs.is_empty() && tombstones.len() <= 4);
        found.extend(tombstones);
        after = next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(found, all);

    let counts: Vec<u64> = digests(&mut library)
        .iter()
        .map(|d| d.tombstones.count)
        .collect();
    assert_eq!(counts, [1, 25, 1]);
}

/// A page of ids fits a message, whatever limit is asked for.
#[test]
fn a_page_of_ids_ends_at_its_bound() {
    let mut library = in_memory();
    let all: Vec<SongId> = (0..5000).map(SongId).collect();
    for songs in all.chunks(REMOVALS_MAX) {
        remove(&mut library, songs);
    }
    let reply = library.run(LibraryJob::PartitionSongs {
        partition: Partition::of(SongId(0)),
        after: None,
        limit: u32::MAX,
    });
    let JobReply::PartitionSongs {
        tombstones, next, ..
    } = reply
    else {
        panic!("{reply:?}");
    };
    assert_eq!(tombstones, all[..PAGE_IDS_MAX]);
    assert_eq!(next, Some(all[PAGE_IDS_MAX - 1]));
}

/// A long song leaves at once. Its space is freed in small steps, across a restart, and the log
/// does not grow with the song.
#[test]
fn a_long_song_leaves_without_a_long_transaction() {
    const LENGTH: usize = 300;
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &[200_000; LENGTH]);
    let id = manifest.song.id;
    upload(&mut library, &manifest, &pieces);
    sql(&library, "PRAGMA wal_checkpoint(TRUNCATE)");

    assert_eq!(remove(&mut library, &[id]).0, 1);
    let step = i64::from(removal::RECLAIM_FRAGMENTS);
    assert_eq!(rows(&library, "fragments"), LENGTH as i64 - step);
    assert_eq!(songs(&mut library, None, 9), (vec![], false));
    assert_eq!(begin(&mut library, &manifest), failed(JobFault::Removed));
    let log = fs::metadata(dir.path().join("library.db-wal")).expect("a log");
    assert!(log.len() < 4 << 20, "the log grew by {}", log.len());
    drop(library);

    let mut library = writer(&dir);
    let mut steps = 0;
    while library.run(LibraryJob::Reclaim) == (JobReply::Reclaimed { more: true }) {
        steps += 1;
        assert!(steps < 10, "it comes to an end");
    }
    assert_eq!(steps, 3);
    let left = ["songs", "slices", "fragments"].map(|table| rows(&library, table));
    assert_eq!(left, [0, 0, 0]);
    (0..8).for_each(|_| {
        assert_eq!(
            library.run(LibraryJob::Reclaim),
            JobReply::Reclaimed { more: false }
        )
    });
    assert!(sound_on_disk(&dir) < 100_000);
}

/// A long song may be uploaded again while the space of its earlier copy is still being freed.
#[test]
fn a_long_song_let_go_may_come_back_at_once() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[30; 150]);
    upload(&mut library, &manifest, &pieces);
    let id = manifest.song.id;
    let_go(&mut library, id, u64::MAX);
    upload(&mut library, &manifest, &pieces);
    while library.run(LibraryJob::Reclaim) == (JobReply::Reclaimed { more: true }) {}
    assert_eq!(rows(&library, "fragments"), 150);
    for (index, bytes) in (0..).zip(&pieces) {
        assert_eq!(read(&mut library, id, index), fragment(index, bytes));
    }
}

/// The running digests always equal the digests computed from the songs and tombstones.
#[test]
fn digests_stay_true() {
    let mut library = in_memory();
    for seed in 0..40 {
        let (manifest, pieces) = song(seed, &[10]);
        upload(&mut library, &manifest, &pieces);
        let id = manifest.song.id;
        match seed % 4 {
            0 => drop(let_go(&mut library, id, u64::MAX)),
            1 => drop(remove(&mut library, &[id, SongId(u128::from(seed) << 120)])),
            _ => (),
        }
    }
    let running = digests(&mut library);
    let slot = library.db.lock().expect("nobody panicked");
    let counted = partitions::counted(slot.as_ref().expect("it is open"));
    assert_eq!(running, counted.expect("they can be read"));
    let count = |f: fn(&PartitionDigest) -> u64| running.iter().map(f).sum::<u64>();
    assert_eq!(count(|d| d.songs.count), 20);
    assert_eq!(count(|d| d.tombstones.count), 20);
}
