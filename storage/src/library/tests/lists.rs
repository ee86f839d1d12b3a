//! Lists, descriptions and reads, page by page and while songs come in.

use super::*;

/// A time belongs to the last audio fragment that begins no later, as in the manifest.
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
        let reply = library.run(LibraryJob::ReadFragment { song: id, at });
        assert_eq!(reply, JobReply::Fragment { index, bytes }, "{ms} ms");
    }
    assert_eq!(read(&mut library, id, 5), failed(JobFault::NotFound));
    assert_eq!(read(&mut library, id, u32::MAX), failed(JobFault::NotFound));
    assert_eq!(read(&mut library, SongId(1), 0), failed(JobFault::NotFound));
}

/// Titles are data, even if they look like SQL.
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
        let reply = library.run(LibraryJob::Describe {
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
        let reply = library.run(LibraryJob::Describe {
            song: manifest.song.id,
        });
        assert_eq!(reply, JobReply::Described { manifest });
    }
}

/// Both lists, read page by page, give every song once, in order.
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
        let manifest = manifest_of(std::slice::from_ref(&bytes));
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
    // A removal would still fit the page, but it must not overtake songs that do not fit.
    sql(
        &library,
        "INSERT INTO removals VALUES (zeroblob(16), 502); UPDATE meta SET revision = 502",
    );
    let (changes, revision) = changes(&mut library, 0, u32::MAX);
    assert_eq!((changes.len(), revision), (page.len(), page.len() as u64));
}

/// The feed has each removal at its place in the order of revisions.
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
         INSERT INTO removals VALUES (x'00000000000000000000000000000001', 1), (x'00000000000000000000000000000002', 7),
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

/// While songs come in, reads are never refused and never wrong.
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
                        // A later list never has fewer songs than an earlier one.
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
