//! Faulty disks: the answer to a read is right or is an error.

use super::*;

/// Bytes that the disk has altered are never served.
#[test]
fn a_rotten_fragment_goes_to_nobody() {
    let damages = [
        "UPDATE fragments SET data = CAST(substr(data, 1, 99) || x'00' AS BLOB) WHERE number = 1",
        "UPDATE fragments SET data = x'' WHERE number = 1",
        "UPDATE fragments SET data = CAST(data || x'00' AS BLOB) WHERE number = 1",
        "UPDATE fragments SET data = zeroblob(30000000) WHERE number = 1",
        "DELETE FROM fragments WHERE number = 1",
    ];
    let altered = [
        "UPDATE slices SET hash = zeroblob(32) WHERE number = 1",
        "UPDATE slices SET length = 4294967295 WHERE number = 1",
        "DELETE FROM slices WHERE number = 1",
    ];
    for damage in damages.into_iter().chain(altered) {
        let mut library = in_memory();
        let (manifest, pieces) = song(1, &[10, 100, 1000]);
        let id = manifest.song.id;
        upload(&mut library, &manifest, &pieces);
        sql(&library, damage);
        let said = read(&mut library, id, 1);
        if altered.contains(&damage) {
            let corrupt = matches!(said, JobReply::Failed(JobFault::Corrupt(_)));
            assert!(corrupt, "{damage}: {said:?}");
        } else {
            assert_eq!(said, failed(JobFault::Damaged), "{damage}");
        }
        assert_eq!(
            read(&mut library, id, 2),
            fragment(2, &pieces[2]),
            "{damage}"
        );
    }
}

/// If the disk alters a fragment while an upload waits for a restart, the song is not committed, and
/// only that fragment has to come again. Without a restart the commit relies on what it saw come.
#[test]
fn a_fragment_that_rots_before_the_commit_is_noticed() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &[10, 100]);
    let id = manifest.song.id;
    begin(&mut library, &manifest);
    keep(&mut library, id, 0, &pieces[0]);
    keep(&mut library, id, 1, &pieces[1]);
    sql(
        &library,
        "UPDATE fragments SET data = zeroblob(100) WHERE number = 1",
    );
    drop(library);
    let mut library = writer(&dir);
    assert_eq!(commit(&mut library, id, &[]), missing(&[(1, 2)]));
    assert_eq!(begin(&mut library, &manifest), missing(&[(1, 2)]));
    keep(&mut library, id, 1, &pieces[1]);
    let stored = commit(&mut library, id, &[]);
    assert!(matches!(stored, JobReply::Stored { .. }), "{stored:?}");
}

/// With any damage to a row, the answer is an error, and the worker continues.
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
        "INSERT INTO tombstones VALUES (x'0102', -5)",
        "INSERT INTO removals VALUES (x'', 5)",
        "INSERT INTO quarantine VALUES (1, 77)",
        "INSERT INTO quarantine VALUES (99, -1)",
        "UPDATE partitions SET songs = -1, xor = x''",
        "UPDATE partitions SET number = 70000",
        "DELETE FROM partitions",
        "UPDATE meta SET removed = -1, removed_xor = x'00'",
        "UPDATE meta SET scrub_rounds = -1, scrub_song = x'00', scrub_number = -1",
        "UPDATE meta SET scrub_song = zeroblob(16)",
        "UPDATE songs SET revision = NULL, touched = -1",
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

/// A truncated library is set aside at the start, or gives an error when a job needs the missing part.
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
    fs::write(&path, &scratched).expect("a writable directory");
    let mut library = writer(&dir);
    let reply = library.run(LibraryJob::Overview);
    let begun = matches!(&reply, JobReply::Overview(o) if o.salvaging && o.digest.count == 0);
    assert!(begun, "{reply:?}");
    let aside = fs::read(dir.path().join("library.db.mending")).expect("the damaged file");
    assert!(aside == scratched);
}
