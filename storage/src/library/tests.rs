//! The library told as stories: uploads cut short, full and rotten disks, foreign files.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::testing::{TempDir, manifest_of, song};
use roles::contract::id::{ContentHash, SongId};
use roles::contract::job::Overview;
use roles::contract::limits::{PAGE_BYTES_MAX, PAGE_SONGS_MAX};
use roles::contract::message::{Change, Digest, Position};
use roles::contract::song::{DecoderPrefix, Format, Manifest, Part, Song};

const NODE: NodeId = NodeId(0xabc);
const STORE: StoreId = StoreId(u64::MAX - 5);

/// A song is seen from its commit on, whole, and not a moment earlier.
#[test]
fn a_song_is_seen_from_its_commit_on() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[100, 70_000, 1_000_000]);
    let id = manifest.song.id;

    assert_eq!(begin(&mut library, &manifest), missing(&[(0, 3)]));
    for (index, bytes) in (0..).zip(&pieces) {
        assert_eq!(keep(&mut library, id, index, bytes), JobReply::Kept);
        assert_nothing_is_seen(&mut library, id);
    }
    let overview = Overview {
        store: STORE,
        revision: 1,
        digest: digest(&[id]),
        bytes: 1_070_100,
    };
    assert_eq!(commit(&mut library, id, &[]), JobReply::Stored { overview });

    assert_eq!(library.run(Job::Overview), JobReply::Overview(overview));
    let described = library.run(Job::Describe { song: id });
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

/// Whoever repeats a question whose answer was lost gets it again, and no second song.
#[test]
fn every_step_of_an_upload_may_be_repeated() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[10, 20]);
    let id = manifest.song.id;
    assert_eq!(begin(&mut library, &manifest), missing(&[(0, 2)]));
    assert_eq!(begin(&mut library, &manifest), missing(&[(0, 2)]));
    assert_eq!(commit(&mut library, id, &[]), missing(&[(0, 2)]));
    for _ in 0..2 {
        assert_eq!(keep(&mut library, id, 1, &pieces[1]), JobReply::Kept);
    }
    assert_eq!(begin(&mut library, &manifest), missing(&[(0, 1)]));
    assert_eq!(keep(&mut library, id, 0, &pieces[0]), JobReply::Kept);

    let stored = commit(&mut library, id, &[NodeId(9), NodeId(3)]);
    assert!(matches!(stored, JobReply::Stored { .. }));
    assert_eq!(commit(&mut library, id, &[NodeId(3), NodeId(5)]), stored);
    assert_eq!(begin(&mut library, &manifest), stored);
    assert_eq!(keep(&mut library, id, 0, &pieces[0]), JobReply::Kept);
    assert_eq!(
        keep(&mut library, id, 0, &pieces[1]),
        failed(JobFault::Damaged)
    );

    // Each copy is due once, in the order they fell due.
    let due = |nodes: &[u128]| JobReply::CopiesDue {
        due: nodes.iter().map(|node| (id, NodeId(*node))).collect(),
    };
    assert_eq!(library.run(Job::CopiesDue { limit: 9 }), due(&[9, 3, 5]));
    assert_eq!(library.run(Job::CopiesDue { limit: 2 }), due(&[9, 3]));
    for _ in 0..2 {
        let done = Job::CopyDone {
            song: id,
            node: NodeId(3),
        };
        assert_eq!(library.run(done), JobReply::Done);
    }
    assert_eq!(library.run(Job::CopiesDue { limit: 9 }), due(&[9, 5]));
}

/// What was sent before a restart need not be sent again.
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
    let due = vec![(id, NodeId(7))];
    assert_eq!(
        library.run(Job::CopiesDue { limit: 9 }),
        JobReply::CopiesDue { due }
    );
}

/// Another client may cut the same file in another way: the later cut stands alone.
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
        library.run(Job::Describe { song: id }),
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

/// Fragments that fit a manifest that does not fit its file: nothing of it stays.
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

/// The store does not rely on its caller: what cannot be true never gets a row.
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
fn the_jobs_of_a_client_are_not_done_here() {
    let mut library = in_memory();
    let said = "this is a client's job, not a job of a library";
    assert_eq!(
        library.run(Job::RecallPeers),
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
        library.run(Job::SweepUploads { untouched_s: 3600 }),
        JobReply::Done
    );
    assert_eq!(begin(&mut library, &manifest), missing(&[]));
    let pages = pragma(&library, "page_count");

    assert_eq!(
        library.run(Job::SweepUploads { untouched_s: 0 }),
        JobReply::Done
    );
    assert_eq!(begin(&mut library, &manifest), missing(&[(0, 3)]));
    assert_eq!(songs(&mut library, None, 9).0, [stays.song]);
    // Three megabytes went back to the file system.
    assert!(pragma(&library, "page_count") <= pages - 180);
}

/// A moment belongs to the last sound that began no later, as the manifest itself would say.
#[test]
fn a_moment_finds_the_fragment_the_manifest_says() {
    let mut library = in_memory();
    let (mut manifest, pieces) = song(1, &[10, 20, 30, 40, 50]);
    manifest.fragments[4].part = Part::Tail;
    manifest.fragments[4].start_ms = 4000;
    upload(&mut library, &manifest, &pieces);
    let id = manifest.song.id;
    for ms in [0, 1, 999, 1000, 1001, 2500, 3999, 4000, u32::MAX] {
        let at = Position::Time(ms);
        let index = manifest.index_at(ms);
        let bytes = pieces[index as usize].clone();
        let reply = library.run(Job::ReadFragment { song: id, at });
        assert_eq!(reply, JobReply::Fragment { index, bytes }, "{ms} ms");
    }
    assert_eq!(read(&mut library, id, 5), failed(JobFault::NotFound));
    assert_eq!(read(&mut library, id, u32::MAX), failed(JobFault::NotFound));
    assert_eq!(read(&mut library, SongId(1), 0), failed(JobFault::NotFound));
}

/// Titles are data, whatever they look like.
#[test]
fn any_title_comes_back_as_it_was() {
    let mut library = in_memory();
    let long = "ñ".repeat(512);
    let titles = [
        "it's \"quoted\", 100 % ; DROP TABLE songs; --",
        "two\nlines\r\n\tand a tab",
        "<script>alert(1)</script> &amp; \\",
        "🎵 Κόσμε 音楽 e\u{301}",
        "nul \u{0} inside",
        "",
        &long,
    ];
    for (seed, title) in (0..).zip(titles) {
        let (mut manifest, pieces) = song(seed, &[10 + usize::from(seed)]);
        let tags = &mut manifest.song;
        for tag in [
            &mut tags.title,
            &mut tags.artist,
            &mut tags.album,
            &mut tags.genre,
        ] {
            *tag = title.into();
        }
        upload(&mut library, &manifest, &pieces);
        let reply = library.run(Job::Describe {
            song: manifest.song.id,
        });
        assert_eq!(reply, JobReply::Described { manifest });
    }
}

#[test]
fn every_format_part_and_prefix_comes_back_as_it_was() {
    let mut library = in_memory();
    let prefixes = [
        DecoderPrefix::None,
        DecoderPrefix::Head,
        DecoderPrefix::Bytes(vec![0; 256]),
    ];
    for (seed, format) in (0..).zip(Format::ALL) {
        let (mut manifest, pieces) = song(seed, &[5, 6, 7]);
        manifest.song.format = format;
        manifest.prefix = prefixes[usize::from(seed) % 3].clone();
        manifest.fragments[2].part = Part::Tail;
        manifest.song.year = u16::MAX;
        manifest.sample_rate = u32::MAX;
        manifest.song.duration_ms = u32::MAX;
        upload(&mut library, &manifest, &pieces);
        let reply = library.run(Job::Describe {
            song: manifest.song.id,
        });
        assert_eq!(reply, JobReply::Described { manifest });
    }
}

/// Both lists, followed page by page, give every song once, in their order.
#[test]
fn pages_follow_each_other_without_gap_or_overlap() {
    let mut library = in_memory();
    let mut all: Vec<Song> = Vec::new();
    for seed in 0..23 {
        let (manifest, pieces) = song(seed, &[10]);
        upload(&mut library, &manifest, &pieces);
        all.push(manifest.song);
    }
    let mut since = 0;
    for page in all.chunks(4) {
        let (changes, revision) = changes(&mut library, since, 4);
        assert_eq!(
            changes,
            page.iter().cloned().map(Change::Added).collect::<Vec<_>>()
        );
        since = revision;
    }
    assert_eq!(since, 23);

    all.sort_by_key(|song| song.id);
    let mut after = None;
    for (number, page) in (1..).zip(all.chunks(4)) {
        let (songs, more) = songs(&mut library, after, 4);
        assert_eq!(songs, page);
        assert_eq!(more, number < 6);
        after = songs.last().map(|song| song.id);
    }
    assert_eq!(songs(&mut library, after, 4), (vec![], false));
    assert_eq!(songs(&mut library, None, 0), (vec![], true));
    assert_eq!(songs(&mut library, None, 23), (all, false));
}

/// A page fits a message, whatever limit is asked for and however long the tags are.
#[test]
fn a_page_ends_at_its_bounds() {
    let mut library = in_memory();
    for number in 0..PAGE_SONGS_MAX as u32 + 1 {
        let bytes = number.to_le_bytes().to_vec();
        let manifest = manifest_of(&[bytes.clone()]);
        upload(&mut library, &manifest, &[bytes]);
    }
    let (page, more) = songs(&mut library, None, u32::MAX);
    assert_eq!((page.len(), more), (PAGE_SONGS_MAX, true));
    assert_eq!(changes(&mut library, 0, u32::MAX).0.len(), PAGE_SONGS_MAX);

    sql(
        &library,
        "UPDATE songs SET title = printf('%.1024c', 'x'), album = title",
    );
    sql(
        &library,
        "UPDATE songs SET album = title, artist = title, genre = title",
    );
    let (page, more) = songs(&mut library, None, u32::MAX);
    let bytes: usize = page.iter().map(Song::page_bytes).sum();
    assert!(more && bytes <= PAGE_BYTES_MAX && bytes + 4 * 1024 + 128 > PAGE_BYTES_MAX);
    let (changes, revision) = changes(&mut library, 0, u32::MAX);
    assert_eq!((changes.len(), revision), (page.len(), page.len() as u64));
}

/// Removals stand in the feed where they happened.
#[test]
fn a_removal_is_a_change_like_any_other() {
    let mut library = in_memory();
    let mut added = Vec::new();
    for seed in 0..4 {
        let (manifest, pieces) = song(seed, &[10]);
        upload(&mut library, &manifest, &pieces);
        added.push(Change::Added(manifest.song));
    }
    sql(
        &library,
        "UPDATE songs SET revision = -revision; UPDATE songs SET revision = revision * -3;
         INSERT INTO tombstones VALUES (x'00000000000000000000000000000001', 1), (x'00000000000000000000000000000002', 7),
             (x'00000000000000000000000000000003', 8), (x'00000000000000000000000000000004', 14);
         UPDATE meta SET revision = 14;",
    );
    let gone = |id| Change::Removed(SongId(id));
    let [a, b, c, d] = added.try_into().expect("four");
    let feed = [gone(1), a, b, gone(2), gone(3), c, d, gone(4)];
    let revisions = [1, 3, 6, 7, 8, 9, 12, 14];
    assert_eq!(changes(&mut library, 0, 99), (feed.to_vec(), 14));
    for from in 0..8 {
        for limit in 1..=8 - from {
            let since = if from == 0 { 0 } else { revisions[from - 1] };
            let expected = (
                feed[from..from + limit].to_vec(),
                revisions[from + limit - 1],
            );
            assert_eq!(changes(&mut library, since, limit as u32), expected);
        }
    }
}

/// A full disk costs the upload that met it, and nothing else.
#[test]
fn a_full_disk_is_said_and_survived() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (stays, kept) = song(1, &[500_000]);
    upload(&mut library, &stays, &kept);
    let (manifest, pieces) = song(2, &[1_000_000, 1_000_000]);
    let id = manifest.song.id;
    begin(&mut library, &manifest);
    assert_eq!(keep(&mut library, id, 0, &pieces[0]), JobReply::Kept);

    let full = pragma(&library, "page_count") + 3;
    sql(&library, &format!("PRAGMA max_page_count = {full}"));
    assert_eq!(
        keep(&mut library, id, 1, &pieces[1]),
        failed(JobFault::DiskFull)
    );
    assert_eq!(begin(&mut library, &manifest), missing(&[(1, 2)]));
    assert_eq!(read(&mut library, stays.song.id, 0), fragment(0, &kept[0]));
    let (long, _) = song(3, &[10; 5_000]);
    assert_eq!(begin(&mut library, &long), failed(JobFault::DiskFull));

    sql(&library, "PRAGMA max_page_count = 1000000");
    assert_eq!(keep(&mut library, id, 1, &pieces[1]), JobReply::Kept);
    assert!(matches!(
        commit(&mut library, id, &[]),
        JobReply::Stored { .. }
    ));
    assert_eq!(songs(&mut library, None, 9).0.len(), 2);
}

/// A disk that gives back other bytes than it was given harms nobody but itself.
#[test]
fn a_rotten_fragment_goes_to_nobody() {
    let damages = [
        "UPDATE fragments SET data = CAST(substr(data, 1, 99) || x'00' AS BLOB) WHERE number = 1",
        "UPDATE fragments SET data = x'' WHERE number = 1",
        "UPDATE fragments SET data = CAST(data || x'00' AS BLOB) WHERE number = 1",
        "UPDATE fragments SET data = zeroblob(30000000) WHERE number = 1",
        "DELETE FROM fragments WHERE number = 1",
        "UPDATE slices SET hash = zeroblob(32) WHERE number = 1",
        "UPDATE slices SET length = 4294967295 WHERE number = 1",
    ];
    for damage in damages {
        let mut library = in_memory();
        let (manifest, pieces) = song(1, &[10, 100, 1000]);
        let id = manifest.song.id;
        upload(&mut library, &manifest, &pieces);
        sql(&library, damage);
        assert_eq!(
            read(&mut library, id, 1),
            failed(JobFault::Damaged),
            "{damage}"
        );
        assert_eq!(
            read(&mut library, id, 2),
            fragment(2, &pieces[2]),
            "{damage}"
        );
    }
}

/// Rot between an upload's fragments and its commit: the song does not come into being.
#[test]
fn a_fragment_that_rots_before_the_commit_is_noticed() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[10, 100]);
    let id = manifest.song.id;
    begin(&mut library, &manifest);
    keep(&mut library, id, 0, &pieces[0]);
    keep(&mut library, id, 1, &pieces[1]);
    sql(
        &library,
        "UPDATE fragments SET data = zeroblob(100) WHERE number = 1",
    );
    assert_eq!(commit(&mut library, id, &[]), failed(JobFault::Damaged));
    assert_eq!(begin(&mut library, &manifest), missing(&[(0, 2)]));
}

/// Whatever stands in a row, the answer is an error, and the worker goes on.
#[test]
fn nonsense_in_a_row_never_panics() {
    let damages = [
        "UPDATE songs SET format = 'vinyl'",
        "UPDATE songs SET year = -1, track = 70000, bytes = -5",
        "UPDATE songs SET id = x'0102'",
        "UPDATE songs SET title = CAST(x'ff00fe' AS TEXT)",
        "UPDATE songs SET hash = x''",
        "UPDATE songs SET prefix_kind = 7",
        "UPDATE songs SET fragments = 9223372036854775807",
        "UPDATE songs SET revision = -3",
        "UPDATE songs SET revision = NULL, hash = x'00'",
        "UPDATE slices SET part = 9, start_ms = -1",
        "UPDATE slices SET number = number + 4294967290",
        "UPDATE slices SET hash = x'00'",
        "DELETE FROM slices",
        "DELETE FROM meta",
        "UPDATE meta SET revision = -1, bytes = -1, songs = -1, xor = x'00'",
        "UPDATE meta SET revision = 9223372036854775807, bytes = 9223372036854775807",
        "INSERT INTO copies_due VALUES (1, x'00', x'')",
        "INSERT INTO tombstones VALUES (x'', 5)",
        "DROP TABLE fragments",
    ];
    for damage in damages {
        let mut library = in_memory();
        let (manifest, pieces) = song(1, &[10, 100]);
        let id = manifest.song.id;
        upload(&mut library, &manifest, &pieces);
        sql(&library, "PRAGMA foreign_keys = OFF");
        sql(&library, damage);
        let (other, _) = song(2, &[10]);
        for job in every_job(id, &manifest)
            .into_iter()
            .chain(every_job(other.song.id, &other))
        {
            library.run(job);
        }
        sql(&library, "SELECT 1");
    }
}

/// Reads go on at full speed while songs come in: never refused, never wrong.
#[test]
fn readers_read_while_the_writer_writes() {
    let dir = TempDir::new();
    let library = Library::open(dir.path(), NODE, STORE).expect("a free directory");
    let mut writer = library.writer().expect("it is open");
    let (manifest, pieces) = song(0, &[400_000; 3]);
    upload(&mut writer, &manifest, &pieces);
    let written = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let mut reader = library.reader().expect("it is open");
                let (id, pieces, written) = (manifest.song.id, &pieces, &written);
                scope.spawn(move || {
                    let mut last = 0;
                    let mut rounds = 0;
                    while !written.load(Ordering::Acquire) || rounds < 10 {
                        assert_eq!(read(&mut reader, id, 1), fragment(1, &pieces[1]));
                        let (songs, _) = songs(&mut reader, None, 500);
                        // Totals and list may lie a commit apart, never more backwards.
                        assert!(songs.len() >= last);
                        last = songs.len();
                        rounds += 1;
                    }
                    last
                })
            })
            .collect();
        for seed in 1..30 {
            let (manifest, pieces) = song(seed, &[300_000; 2]);
            let reply = upload(&mut writer, &manifest, &pieces);
            assert!(matches!(reply, JobReply::Stored { .. }), "{reply:?}");
        }
        written.store(true, Ordering::Release);
        for reader in readers {
            assert!(reader.join().expect("it read well") <= 30);
        }
    });
    let mut reader = library.reader().expect("it is open");
    assert_eq!(songs(&mut reader, None, 500).0.len(), 30);
}

#[test]
fn a_reader_writes_nothing() {
    let dir = TempDir::new();
    let library = Library::open(dir.path(), NODE, STORE).expect("a free directory");
    let mut reader = library.reader().expect("it is open");
    let (manifest, _) = song(1, &[10]);
    let reply = begin(&mut reader, &manifest);
    let JobReply::Failed(JobFault::Broken(said)) = reply else {
        panic!("{reply:?}");
    };
    assert!(said.starts_with("begin an upload: "), "{said}");
}

#[test]
fn the_file_has_the_layout_that_was_measured() {
    let dir = TempDir::new();
    let library = writer(&dir);
    let settings = [
        ("page_size", 16_384),
        ("auto_vacuum", 2),
        ("mmap_size", 0),
        ("cache_size", -500),
        ("wal_autocheckpoint", 256),
        ("journal_size_limit", 8_388_608),
        ("foreign_keys", 1),
        ("user_version", schema::LATEST),
    ];
    for (name, value) in settings {
        assert_eq!(pragma(&library, name), value, "{name}");
    }
    let db = library.db.lock().expect("nobody panicked");
    let mode = db.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
    assert_eq!(mode.expect("a setting"), "wal");
}

/// A crash between the making of the file and its first page leaves an empty file.
#[test]
fn an_empty_file_becomes_a_library() {
    let dir = TempDir::new();
    fs::write(dir.path().join("library.db"), "").expect("a writable directory");
    let mut library = writer(&dir);
    assert_eq!(pragma(&library, "page_size"), 16_384);
    let (manifest, pieces) = song(1, &[10]);
    assert!(matches!(
        upload(&mut library, &manifest, &pieces),
        JobReply::Stored { .. }
    ));
}

/// The first identity stays; a crash before it was written is made good.
#[test]
fn a_store_keeps_its_identity() {
    let dir = TempDir::new();
    drop(writer(&dir));
    Library::open(dir.path(), NODE, StoreId(1)).expect("its own library");
    let mut library = writer(&dir);
    let reply = library.run(Job::Overview);
    let overview = Overview {
        store: STORE,
        ..Overview::default()
    };
    assert_eq!(reply, JobReply::Overview(overview));

    sql(&library, "DELETE FROM meta");
    drop(library);
    let library = Library::open(dir.path(), NODE, StoreId(1)).expect("its own library");
    let reply = library.writer().expect("it is open").run(Job::Overview);
    let overview = Overview {
        store: StoreId(1),
        ..Overview::default()
    };
    assert_eq!(reply, JobReply::Overview(overview));
}

#[test]
fn the_library_of_another_node_is_refused() {
    let dir = TempDir::new();
    drop(writer(&dir));
    let (said, untouched) = refusal(&dir, NodeId(0xdef));
    let owner = "it belongs to node 00000000000000000000000000000abc, not to";
    assert!(said.contains(owner), "{said}");
    assert!(untouched);
}

#[test]
fn a_later_schema_is_refused() {
    let dir = TempDir::new();
    let library = writer(&dir);
    sql(&library, "PRAGMA user_version = 77; DROP TABLE meta");
    drop(library);
    let (said, untouched) = refusal(&dir, NODE);
    let path = dir.path().join("library.db");
    let expected = format!(
        "open library {}: it has schema 77, this version knows up to {}: use a newer version",
        path.display(),
        schema::LATEST
    );
    assert_eq!(said, expected);
    assert!(untouched);
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let dir = TempDir::new();
    let path = dir.path().join("library.db");
    for garbage in ["xy", "this is no database ".repeat(5000).as_str()] {
        fs::write(&path, garbage).expect("a writable directory");
        let (said, untouched) = refusal(&dir, NODE);
        assert!(
            said.ends_with("it is not a library of dispotify: move it away"),
            "{said}"
        );
        assert!(untouched);
    }
    fs::remove_file(&path).expect("it is there");
    let foreign = Connection::open(&path).expect("a writable directory");
    foreign
        .execute_batch("CREATE TABLE bookmarks (url TEXT)")
        .expect("SQL");
    drop(foreign);
    let (said, untouched) = refusal(&dir, NODE);
    assert!(
        said.ends_with("it is not a library of dispotify: move it away"),
        "{said}"
    );
    assert!(untouched);
}

/// A library that was cut off says so at the start, or where the missing part is asked for.
#[test]
fn a_torn_library_is_an_error_and_not_a_panic() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &[200_000; 5]);
    upload(&mut library, &manifest, &pieces);
    drop(library);
    let path = dir.path().join("library.db");
    let whole = fs::read(&path).expect("it is there");
    for part in 1..8 {
        fs::write(&path, &whole[..whole.len() * part / 8]).expect("a writable directory");
        let Ok(library) = Library::open(dir.path(), NODE, STORE) else {
            continue;
        };
        let mut library = library.writer().expect("it was opened just before");
        let replies = every_job(manifest.song.id, &manifest)
            .into_iter()
            .map(|job| library.run(job));
        assert!(replies.last().is_some());
        assert!(!matches!(
            read(&mut library, manifest.song.id, 4),
            JobReply::Fragment { .. }
        ));
    }
    let mut scratched = whole;
    scratched[100..16_384].fill(0xa5);
    fs::write(&path, scratched).expect("a writable directory");
    let (said, _) = refusal(&dir, NODE);
    assert!(said.contains("it is damaged ("), "{said}");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let dir = TempDir::new();
    let absent = dir.path().join("absent");
    let error = Library::open(&absent, NODE, STORE).expect_err("nothing is there");
    let start = format!("open library {}: ", absent.join("library.db").display());
    assert!(error.to_string().starts_with(&start), "{error}");
}

fn in_memory() -> LibraryWorker {
    let library = Library::open_in_memory(NODE, STORE).expect("memory");
    library.writer().expect("memory")
}

fn writer(dir: &TempDir) -> LibraryWorker {
    let library = Library::open(dir.path(), NODE, STORE).expect("a library or nothing");
    library.writer().expect("it was opened just before")
}

/// What is said when the library is refused, and whether its file stays as it was.
fn refusal(dir: &TempDir, node: NodeId) -> (String, bool) {
    let path = dir.path().join("library.db");
    let before = fs::read(&path).expect("it is there");
    let error = Library::open(dir.path(), node, STORE).expect_err("it must be refused");
    let after = fs::read(&path).expect("it is there");
    (error.to_string(), before == after)
}

fn begin(library: &mut LibraryWorker, manifest: &Manifest) -> JobReply {
    let manifest = manifest.clone();
    library.run(Job::BeginUpload { manifest })
}

fn keep(library: &mut LibraryWorker, song: SongId, index: u32, bytes: &[u8]) -> JobReply {
    let bytes = bytes.to_vec();
    library.run(Job::KeepFragment { song, index, bytes })
}

fn commit(library: &mut LibraryWorker, song: SongId, copies_due: &[NodeId]) -> JobReply {
    let copies_due = copies_due.to_vec();
    library.run(Job::CommitUpload { song, copies_due })
}

fn upload(library: &mut LibraryWorker, manifest: &Manifest, pieces: &[Vec<u8>]) -> JobReply {
    let begun = begin(library, manifest);
    assert!(matches!(begun, JobReply::Missing { .. }), "{begun:?}");
    for (index, bytes) in (0..).zip(pieces) {
        assert_eq!(
            keep(library, manifest.song.id, index, bytes),
            JobReply::Kept
        );
    }
    commit(library, manifest.song.id, &[])
}

fn read(library: &mut LibraryWorker, song: SongId, index: u32) -> JobReply {
    let at = Position::Index(index);
    library.run(Job::ReadFragment { song, at })
}

fn songs(library: &mut LibraryWorker, after: Option<SongId>, limit: u32) -> (Vec<Song>, bool) {
    match library.run(Job::Songs { after, limit }) {
        JobReply::Songs { songs, more } => (songs, more),
        other => panic!("{other:?}"),
    }
}

fn changes(library: &mut LibraryWorker, since: u64, limit: u32) -> (Vec<Change>, u64) {
    match library.run(Job::Changes { since, limit }) {
        JobReply::Changes { changes, revision } => (changes, revision),
        other => panic!("{other:?}"),
    }
}

fn assert_nothing_is_seen(library: &mut LibraryWorker, song: SongId) {
    let overview = Overview {
        store: STORE,
        ..Overview::default()
    };
    assert_eq!(library.run(Job::Overview), JobReply::Overview(overview));
    assert_eq!(songs(library, None, 9), (vec![], false));
    assert_eq!(changes(library, 0, 9), (vec![], 0));
    assert_eq!(
        library.run(Job::Describe { song }),
        failed(JobFault::NotFound)
    );
    assert_eq!(read(library, song, 0), failed(JobFault::NotFound));
}

fn every_job(song: SongId, manifest: &Manifest) -> Vec<Job> {
    vec![
        Job::Overview,
        Job::Songs {
            after: None,
            limit: 9,
        },
        Job::Changes { since: 0, limit: 9 },
        Job::Describe { song },
        Job::ReadFragment {
            song,
            at: Position::Index(1),
        },
        Job::ReadFragment {
            song,
            at: Position::Time(5000),
        },
        Job::BeginUpload {
            manifest: manifest.clone(),
        },
        Job::KeepFragment {
            song,
            index: 0,
            bytes: song_bytes(manifest),
        },
        Job::CommitUpload {
            song,
            copies_due: vec![NodeId(1)],
        },
        Job::CopiesDue { limit: 9 },
        Job::CopyDone {
            song,
            node: NodeId(1),
        },
        Job::SweepUploads { untouched_s: 0 },
    ]
}

/// Bytes of the right length for the first fragment.
fn song_bytes(manifest: &Manifest) -> Vec<u8> {
    vec![0; manifest.fragments[0].length as usize]
}

fn digest(songs: &[SongId]) -> Digest {
    let mut digest = Digest::default();
    songs.iter().for_each(|song| digest.insert(*song));
    digest
}

fn missing(ranges: &[(u32, u32)]) -> JobReply {
    let ranges = ranges.to_vec();
    JobReply::Missing { ranges }
}

fn fragment(index: u32, bytes: &[u8]) -> JobReply {
    let bytes = bytes.to_vec();
    JobReply::Fragment { index, bytes }
}

fn failed(fault: JobFault) -> JobReply {
    JobReply::Failed(fault)
}

/// Works on the tables past the library, as a rotten disk would.
fn sql(library: &LibraryWorker, text: &str) {
    let db = library.db.lock().expect("nobody panicked");
    db.execute_batch(text).expect(text);
}

fn rows(library: &LibraryWorker, table: &str) -> i64 {
    let db = library.db.lock().expect("nobody panicked");
    let count = format!("SELECT count(*) FROM {table}");
    db.query_row(&count, [], |row| row.get(0)).expect("a table")
}

fn pragma(library: &LibraryWorker, name: &str) -> i64 {
    let db = library.db.lock().expect("nobody panicked");
    let value = db.pragma_query_value(None, name, |row| row.get(0));
    value.expect("a setting with a number")
}
