//! Damage to the tables: found, withdrawn, mended or rebuilt, and never believed.

use std::io::{Seek, SeekFrom, Write};

use super::*;
use crate::library::verify::{Depth, verify};
use roles::contract::job::{Inspected, Witnessed};

const PAGE: u64 = 4096;

/// Three songs, as they were uploaded.
fn library(dir: &TempDir) -> Vec<(Manifest, Vec<Vec<u8>>)> {
    let songs = vec![
        song(1, &[10, 100, 20_000, 30_000]),
        song(2, &[10, 40_000]),
        song(3, &[10, 20, 30]),
    ];
    let mut library = writer(dir);
    for (manifest, pieces) in &songs {
        upload(&mut library, manifest, pieces);
        commit(&mut library, manifest.song.id, &[NodeId(4)]);
    }
    let (gone, pieces) = song(4, &[10]);
    upload(&mut library, &gone, &pieces);
    let songs_gone = vec![gone.song.id];
    library.run(LibraryJob::RemoveSongs { songs: songs_gone });
    library.run(LibraryJob::Reclaim);
    songs
}

/// The root page of each table and index, by name.
fn roots(dir: &TempDir) -> Vec<(String, u64)> {
    let db = Connection::open(dir.path().join("library.db")).expect("a library");
    let sql = "SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0";
    let mut statement = db.prepare(sql).expect("SQL");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)));
    rows.and_then(Iterator::collect).expect("rows")
}

/// Writes 4 KiB of garbage over a page, behind SQLite's back.
fn garble(dir: &TempDir, page: u64) {
    let path = dir.path().join("library.db");
    let mut file = fs::OpenOptions::new().write(true).open(path).expect("it");
    let garbage: Vec<u8> = (0..4096u32)
        .map(|i| (i.wrapping_mul(97) >> 3) as u8)
        .collect();
    file.seek(SeekFrom::Start((page - 1) * PAGE))
        .expect("within");
    file.write_all(&garbage).expect("room");
}

fn inspect(library: &mut LibraryWorker, after: Option<SongId>) -> Result<Inspected, JobFault> {
    let limit = 2;
    match library.run(LibraryJob::Inspect { after, limit }) {
        JobReply::Inspected(inspected) => Ok(inspected),
        JobReply::Failed(fault) => Err(fault),
        other => panic!("{other:?}"),
    }
}

/// Looks at everything and mends it, as a node does.
fn heal(library: &mut LibraryWorker) {
    let (mut songs, mut totals, mut after) = (Vec::new(), false, None);
    let whole = loop {
        let Ok(seen) = inspect(library, after) else {
            break false;
        };
        songs.extend(seen.odd);
        totals |= seen.astray;
        after = seen.after;
        for fragment in seen.missing {
            library.run(LibraryJob::Quarantine { fragment });
        }
        if after.is_none() {
            break true;
        }
    };
    let needs = totals || !songs.is_empty();
    let mended = |library: &mut LibraryWorker| {
        let mended = library.run(LibraryJob::Mend { songs, totals });
        matches!(mended, JobReply::Removed { .. })
    };
    if !whole || needs && !mended(library) {
        rebuild(library);
    }
}

/// Reads all sound and replaces what is bad, as the scrub of a node does. A library that does not take
/// good bytes is rebuilt.
fn replace_what_is_bad(library: &mut LibraryWorker, all: &[(Manifest, Vec<Vec<u8>>)]) {
    for (manifest, pieces) in all {
        let song = manifest.song.id;
        for (index, bytes) in (0..).zip(pieces) {
            if read(library, song, index) != failed(JobFault::Damaged) {
                continue;
            }
            let (fragment, bytes) = (FragmentId { song, index }, bytes.clone());
            library.run(LibraryJob::Quarantine { fragment });
            let replaced = library.run(LibraryJob::ReplaceFragment { fragment, bytes });
            if let JobReply::Failed(JobFault::Corrupt(_)) = replaced {
                rebuild(library);
            }
        }
    }
}

fn rebuild(library: &mut LibraryWorker) {
    let store = StoreId(77);
    let begun = library.run(LibraryJob::Rebuild { store });
    assert!(
        matches!(
            begun,
            JobReply::Overview(Overview {
                store: StoreId(77),
                salvaging: true,
                ..
            })
        ),
        "{begun:?}"
    );
    while let JobReply::Salvaged { more: true, .. } = library.run(LibraryJob::Salvage) {}
    let overview = library.run(LibraryJob::Overview);
    assert!(
        matches!(
            overview,
            JobReply::Overview(Overview {
                salvaging: false,
                ..
            })
        ),
        "{overview:?}"
    );
}

/// What is listed can be read, byte for byte, with true tags; totals and digests agree with it.
fn check_what_is_listed(library: &mut LibraryWorker, all: &[(Manifest, Vec<Vec<u8>>)], name: &str) {
    let (listed, _) = songs(library, None, 9);
    let ids: Vec<SongId> = listed.iter().map(|song| song.id).collect();
    for (manifest, pieces) in all {
        let id = manifest.song.id;
        if !ids.contains(&id) {
            continue;
        }
        let manifest = manifest.clone();
        let described = library.run(LibraryJob::Describe { song: id });
        assert_eq!(described, JobReply::Described { manifest }, "{name}");
        for (index, piece) in (0..).zip(pieces) {
            let got = read(library, id, index);
            let aside = got == failed(JobFault::Quarantined);
            assert!(
                aside || got == fragment(index, piece),
                "{name}: {index} {got:?}"
            );
        }
    }
    let JobReply::Overview(overview) = library.run(LibraryJob::Overview) else {
        panic!("{name}: no overview");
    };
    assert_eq!(overview.digest, digest(&ids), "{name}");
    let (feed, _) = changes(library, 0, 99);
    let added = feed
        .iter()
        .filter(|change| matches!(change, Change::Added(_)));
    assert_eq!(added.count(), ids.len(), "{name}");
}

/// The other holders send what is not here, and the library is as whole as before.
fn send_again(library: &mut LibraryWorker, all: &[(Manifest, Vec<Vec<u8>>)], name: &str) {
    for (manifest, pieces) in all {
        let id = manifest.song.id;
        begin(library, manifest);
        for (index, bytes) in (0..).zip(pieces) {
            let kept = keep(library, id, index, bytes);
            assert_eq!(kept, JobReply::FragmentStored, "{name}");
        }
        let stored = commit(library, id, &[]);
        assert!(
            matches!(stored, JobReply::Stored { .. }),
            "{name}: {stored:?}"
        );
    }
    assert_eq!(songs(library, None, 9).0.len(), all.len(), "{name}");
}

/// 4 KiB of garbage over the root of any table or index, or over the very first page: what the
/// library then lists is right, what it does not list can be sent again, and nothing is left of the
/// damage.
#[test]
fn garbage_over_any_root_is_healed() {
    let probe = TempDir::new();
    library(&probe);
    let mut places = roots(&probe);
    assert!(places.len() > 12, "{places:?}");
    places.push(("the first page".to_owned(), 1));
    for (name, page) in places {
        let dir = TempDir::new();
        let all = library(&dir);
        garble(&dir, page);
        let mut library = writer(&dir);
        heal(&mut library);
        replace_what_is_bad(&mut library, &all);
        check_what_is_listed(&mut library, &all, &name);
        send_again(&mut library, &all, &name);
        while let JobReply::Salvaged { more: true, .. } = library.run(LibraryJob::Salvage) {}
        // The index that finds sound in the tables, and the tags, are read by nothing else.
        for job in [LibraryJob::Reclaim, LibraryJob::ReadTags { after: 0 }] {
            if let JobReply::Failed(JobFault::Corrupt(_)) = library.run(job) {
                rebuild(&mut library);
            }
        }
        drop(library);
        let report = verify(dir.path(), NODE, Depth::Whole, &mut |_| ()).expect("it can be opened");
        assert_eq!(report.findings, [], "{name}");
        assert_eq!(report.songs, 3, "{name}");
    }
}

/// A row that was altered or dropped: its song is withdrawn, or its fragment is missing, or totals
/// are counted anew; after the other holders have sent what is missing, all is as before.
#[test]
fn an_altered_row_is_never_believed() {
    let first = "(SELECT row FROM songs WHERE bytes = 50110)";
    let damages = [
        "UPDATE songs SET title = 'another' WHERE row = {}",
        "UPDATE songs SET year = 1999 WHERE row = {}",
        "UPDATE songs SET year = -1, track = 70000 WHERE row = {}",
        "UPDATE songs SET fragments = 5 WHERE row = {}",
        "UPDATE songs SET bytes = bytes + 1 WHERE row = {}",
        "UPDATE songs SET hash = zeroblob(32) WHERE row = {}",
        "UPDATE songs SET format = 'vinyl' WHERE row = {}",
        "UPDATE songs SET prefix = x'00' WHERE row = {}",
        "UPDATE songs SET seal = x'01' WHERE row = {}",
        "UPDATE songs SET id = x'0102' WHERE row = {}",
        "UPDATE songs SET id = zeroblob(16) WHERE row = {}",
        "UPDATE songs SET revision = 99 WHERE row = {}",
        "UPDATE songs SET revision = NULL WHERE row = {}",
        "DELETE FROM songs WHERE row = {}",
        "UPDATE slices SET hash = zeroblob(32) WHERE song = {} AND number = 2",
        "UPDATE slices SET length = 7 WHERE song = {} AND number = 2",
        "UPDATE slices SET start_ms = 7 WHERE song = {} AND number = 1",
        "UPDATE slices SET part = 9 WHERE song = {} AND number = 1",
        "UPDATE slices SET number = 77 WHERE song = {} AND number = 2",
        "DELETE FROM slices WHERE song = {} AND number = 2",
        "DELETE FROM slices WHERE song = {}",
        "DELETE FROM fragments WHERE song = {} AND number = 2",
        "DELETE FROM fragments WHERE song = {}",
        "UPDATE meta SET songs = 7",
        "UPDATE meta SET xor = zeroblob(16), bytes = 1",
        "UPDATE meta SET revision = 1",
        "UPDATE meta SET bytes = -1",
        "UPDATE partitions SET songs = 9",
        "DELETE FROM partitions",
        "UPDATE partitions SET number = 70000 WHERE number = (SELECT min(number) FROM partitions)",
        "DELETE FROM meta",
    ];
    for damage in damages {
        let dir = TempDir::new();
        let all = library(&dir);
        let mut library = writer(&dir);
        sql(&library, "PRAGMA foreign_keys = OFF");
        sql(&library, &damage.replace("{}", first));
        heal(&mut library);
        replace_what_is_bad(&mut library, &all);
        check_what_is_listed(&mut library, &all, damage);
        heal(&mut library);
        let (seen, damaged) = (inspect(&mut library, None), failed(JobFault::Damaged));
        assert!(seen.is_ok_and(|seen| seen.odd.is_empty()), "{damage}");
        assert_ne!(read(&mut library, all[0].0.song.id, 2), damaged, "{damage}");
        send_again(&mut library, &all, damage);
    }
}

/// Where the hash in the manifest is altered, it is not the bytes that are called damaged: neither
/// those here nor those that another node gives.
#[test]
fn an_altered_hash_accuses_nobody() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[10, 100, 1000]);
    let id = manifest.song.id;
    upload(&mut library, &manifest, &pieces);
    sql(
        &library,
        "UPDATE slices SET hash = zeroblob(32) WHERE number = 1",
    );
    let corrupt = |reply: JobReply| matches!(reply, JobReply::Failed(JobFault::Corrupt(_)));
    assert!(corrupt(read(&mut library, id, 1)));
    let fragment = FragmentId { song: id, index: 1 };
    assert!(corrupt(library.run(LibraryJob::Quarantine { fragment })));
    let bytes = pieces[1].clone();
    assert!(corrupt(
        library.run(LibraryJob::ReplaceFragment { fragment, bytes })
    ));
    let (after, bytes) = (None, 1 << 20);
    let JobReply::Scrubbed(seen) = library.run(LibraryJob::Scrub { after, bytes }) else {
        panic!("no step");
    };
    assert_eq!((seen.bad, seen.altered), (vec![], vec![id]));
    assert!(corrupt(library.run(LibraryJob::Describe { song: id })));
}

/// What is left of a withdrawn song stays until the song is whole here again, and is freed then.
#[test]
fn what_is_left_of_a_withdrawn_song_stays_until_it_is_back() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[10, 100, 1000]);
    let id = manifest.song.id;
    upload(&mut library, &manifest, &pieces);
    sql(&library, "UPDATE songs SET title = 'another'");
    let (songs, totals) = (vec![id], false);
    let mended = library.run(LibraryJob::Mend { songs, totals });
    let JobReply::Removed { count: 1, overview } = mended else {
        panic!("{mended:?}");
    };
    assert_eq!((overview.digest, overview.withdrawn), (digest(&[]), 1));
    assert_eq!(changes(&mut library, 1, 9).0, [Change::Removed(id)]);
    library.run(LibraryJob::SweepUploads { untouched_s: 0 });
    library.run(LibraryJob::Reclaim);
    assert_eq!(rows(&library, "fragments"), 3);

    upload(&mut library, &manifest, &pieces);
    let reply = library.run(LibraryJob::Overview);
    assert!(
        matches!(reply, JobReply::Overview(Overview { withdrawn: 0, .. })),
        "{reply:?}"
    );
    library.run(LibraryJob::Reclaim);
    assert_eq!(
        (rows(&library, "fragments"), rows(&library, "songs")),
        (3, 1)
    );
}

/// A withdrawn song that nobody brings: if its sound proves it, it is listed again, with the tags it
/// has; if not, it stays aside.
#[test]
fn what_the_sound_proves_is_restored() {
    let restored = [
        "UPDATE songs SET title = 'another', year = 5",
        "UPDATE slices SET hash = zeroblob(32) WHERE number = 1",
    ];
    let kept_aside = [
        "UPDATE slices SET hash = zeroblob(32) WHERE number = 1; DELETE FROM fragments WHERE number = 0",
        "UPDATE songs SET hash = zeroblob(32)",
        "UPDATE songs SET title = 'another'; DELETE FROM fragments WHERE number = 1",
        "DELETE FROM slices WHERE number = 2",
    ];
    for damage in kept_aside.into_iter().chain(restored) {
        let mut library = in_memory();
        let (manifest, pieces) = song(1, &[10, 100, 1000]);
        let id = manifest.song.id;
        upload(&mut library, &manifest, &pieces);
        sql(&library, damage);
        let (withdrawn, totals) = (vec![id], false);
        library.run(LibraryJob::Mend {
            songs: withdrawn,
            totals,
        });
        assert_eq!(songs(&mut library, None, 9).0, [], "{damage}");
        let later = library.run(LibraryJob::Restore { untouched_s: 60 });
        assert!(matches!(later, JobReply::Stored { overview } if overview.withdrawn == 1));
        for _ in 0..2 {
            let reply = library.run(LibraryJob::Restore { untouched_s: 0 });
            let JobReply::Stored { overview } = reply else {
                panic!("{damage}: {reply:?}");
            };
            let back = restored.contains(&damage);
            assert_eq!(overview.withdrawn, u64::from(!back), "{damage}");
            assert_eq!(overview.digest.count, u64::from(back), "{damage}");
        }
        if restored.contains(&damage) {
            assert_eq!(read(&mut library, id, 1), fragment(1, &pieces[1]));
            assert_eq!(read(&mut library, id, 2), fragment(2, &pieces[2]));
            let seen = inspect(&mut library, None).expect("tables that can be read");
            assert_eq!((seen.odd, seen.astray), (vec![], false));
        } else {
            upload(&mut library, &manifest, &pieces);
            library.run(LibraryJob::Reclaim);
            assert_eq!(rows(&library, "songs"), 1, "{damage}");
        }
    }
}

/// Seals a song by these descriptions of other data nodes. Returns how many songs were withdrawn.
fn seal(library: &mut LibraryWorker, song: SongId, manifests: &[&Manifest]) -> u32 {
    let manifests = manifests.iter().map(|manifest| (*manifest).clone());
    let manifests = manifests.collect();
    let songs = vec![Witnessed { song, manifests }];
    let JobReply::Removed { count, .. } = library.run(LibraryJob::Seal { songs }) else {
        panic!("not sealed");
    };
    count
}

/// A library of before there were seals, with one song, and the song's manifest.
fn without_seals() -> (LibraryWorker, Manifest) {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[10, 100]);
    upload(&mut library, &manifest, &pieces);
    sql(&library, "UPDATE songs SET seal = NULL");
    (library, manifest)
}

/// A song from before there were seals is sealed when another data node describes it alike, or when no
/// other one has it.
#[test]
fn a_song_without_a_seal_is_sealed() {
    for alone in [false, true] {
        let (mut library, manifest) = without_seals();
        let id = manifest.song.id;
        let seen = inspect(&mut library, None).expect("tables that can be read");
        assert_eq!((seen.odd, seen.unsealed), (vec![], vec![id]));
        let (songs, totals) = (vec![id], false);
        library.run(LibraryJob::Mend { songs, totals });
        let seen = inspect(&mut library, None).expect("tables that can be read");
        assert_eq!(seen.unsealed, [id], "nobody has been asked");
        let alike = [&manifest];
        let withdrawn = seal(&mut library, id, if alone { &[] } else { &alike });
        assert_eq!(withdrawn, 0);
        let seen = inspect(&mut library, None).expect("tables that can be read");
        assert_eq!((seen.odd, seen.unsealed), (vec![], vec![]));
        assert!(!seen.astray);
        sql(&library, "UPDATE songs SET year = 5");
        let seen = inspect(&mut library, None).expect("tables that can be read");
        assert_eq!(seen.odd, [id]);
    }
}

/// A song that was altered before it was first looked at is not sealed: two others that agree bring it
/// again, and one other alone may be the altered one.
#[test]
fn a_song_altered_before_its_seal_is_not_sealed() {
    let (mut library, manifest) = without_seals();
    let id = manifest.song.id;
    sql(&library, "UPDATE songs SET year = 5");
    assert_eq!(seal(&mut library, id, &[&manifest]), 0);
    let seen = inspect(&mut library, None).expect("tables that can be read");
    assert_eq!((seen.odd, seen.unsealed), (vec![], vec![id]));
    assert_eq!(
        songs(&mut library, None, 9).0.len(),
        1,
        "it is still listed"
    );

    let mut third = manifest.clone();
    third.song.year = 6;
    assert_eq!(seal(&mut library, id, &[&manifest, &third]), 0);
    assert_eq!(seal(&mut library, id, &[&manifest, &manifest]), 1);
    assert_eq!(songs(&mut library, None, 9).0, []);
    let JobReply::Overview(overview) = library.run(LibraryJob::Overview) else {
        panic!("no overview");
    };
    assert_eq!(overview.withdrawn, 1);
    let (_, pieces) = song(1, &[10, 100]);
    upload(&mut library, &manifest, &pieces);
    let seen = inspect(&mut library, None).expect("tables that can be read");
    assert_eq!((seen.odd, seen.unsealed), (vec![], vec![]));
}

/// A sealed song is not judged by others.
#[test]
fn a_seal_is_not_outvoted() {
    let mut library = in_memory();
    let (manifest, pieces) = song(1, &[10, 100]);
    upload(&mut library, &manifest, &pieces);
    let mut other = manifest.clone();
    other.song.year = 6;
    assert_eq!(seal(&mut library, manifest.song.id, &[&other, &other]), 0);
    assert_eq!(songs(&mut library, None, 9).0.len(), 1);
}

/// An attempt to begin anew that failed half-way, and a process that died between two names: the file
/// that was set aside is still salvaged.
#[test]
fn a_rebuild_that_was_cut_off_goes_on() {
    for rest in [None, Some(&b""[..])] {
        let dir = TempDir::new();
        let all = library(&dir);
        let (path, aside) = ("library.db", "library.db.mending");
        fs::rename(dir.path().join(path), dir.path().join(aside)).expect("it is there");
        if let Some(rest) = rest {
            fs::write(dir.path().join(path), rest).expect("a writable directory");
        }
        let mut library = writer(&dir);
        let store = StoreId(5);
        let begun = library.run(LibraryJob::Rebuild { store });
        assert!(matches!(begun, JobReply::Overview(_)), "{begun:?}");
        while let JobReply::Salvaged { more: true, .. } = library.run(LibraryJob::Salvage) {}
        assert_eq!(songs(&mut library, None, 9).0.len(), all.len());
        check_what_is_listed(&mut library, &all, "cut off");
        assert!(!dir.path().join("library.db.kept").exists());
        assert!(!dir.path().join(aside).exists());
    }
}

/// While a library is rebuilt and salvaged, its readers go on; a crash in between loses nothing; what
/// could not be read is kept aside.
#[test]
fn a_rebuilt_library_is_salvaged_over_a_crash_and_under_its_readers() {
    let dir = TempDir::new();
    let all = library(&dir);
    let lost = all[1].0.song.id;
    let (removed, _) = song(4, &[10]);
    {
        let library = Library::open(dir.path(), NODE, STORE).expect("a library");
        let (mut writer, mut reader) =
            (library.writer().expect("it"), library.reader().expect("it"));
        assert!(matches!(
            read(&mut reader, lost, 1),
            JobReply::Fragment { .. }
        ));
        assert!(writer.rot(FragmentId {
            song: lost,
            index: 1
        }));
        writer.run(LibraryJob::Rebuild { store: StoreId(9) });
        let reply = reader.run(LibraryJob::Overview);
        assert!(
            matches!(
                reply,
                JobReply::Overview(Overview {
                    store: StoreId(9),
                    salvaging: true,
                    ..
                })
            ),
            "{reply:?}"
        );
        let aside = dir.path().join("library.db.mending");
        assert_eq!(crate::testing::mode(&aside), 0o600);
    }
    // The process has died before the salvage; the next start goes on with it.
    let mut library = writer(&dir);
    let reply = library.run(LibraryJob::Overview);
    assert!(
        matches!(
            reply,
            JobReply::Overview(Overview {
                salvaging: true,
                ..
            })
        ),
        "{reply:?}"
    );
    while let JobReply::Salvaged { more: true, .. } = library.run(LibraryJob::Salvage) {}
    check_what_is_listed(&mut library, &all, "salvaged");
    assert_eq!(songs(&mut library, None, 9).0.len(), 3);
    assert_eq!(read(&mut library, lost, 1), failed(JobFault::Quarantined));
    assert_eq!(begin(&mut library, &removed), failed(JobFault::Removed));
    assert!(dir.path().join("library.db.kept").exists());
    assert!(!dir.path().join("library.db.mending").exists());
    assert_eq!(library.run(LibraryJob::Salvage), {
        let JobReply::Overview(overview) = library.run(LibraryJob::Overview) else {
            panic!("no overview");
        };
        let more = false;
        JobReply::Salvaged { more, overview }
    });
}
