//! What listeners write: kept by version, told in the feed, mended when the disk alters it.

use super::*;
use crate::library::verify::{Depth, verify};
use roles::annotations::Plays;
use roles::contract::document::{AccountId, Document, Key, Kind, Play, Version};
use roles::contract::limits::{DOCUMENT_BYTES_MAX, DOCUMENTS_BYTES_MAX};

pub(super) fn star(subject: u8, clock: u64) -> Document {
    Document {
        key: Key {
            owner: AccountId::LISTENER,
            kind: Kind::STAR,
            subject: vec![subject],
        },
        version: Version { clock, writer: 1 },
        body: Some(vec![]),
    }
}

fn note(library: &mut LibraryWorker, documents: Vec<Document>, plays: Vec<Play>) -> JobReply {
    let by = Some(NODE);
    library.run(LibraryJob::NoteDocuments {
        documents,
        plays,
        by,
    })
}

pub(super) fn write(library: &mut LibraryWorker, document: &Document) -> Option<u64> {
    match note(library, vec![document.clone()], vec![]) {
        JobReply::DocumentsNoted { late, .. } => late,
        other => panic!("{other:?}"),
    }
}

fn all(library: &mut LibraryWorker) -> Vec<Document> {
    let job = LibraryJob::Documents {
        buckets: (0..256).collect(),
        after: None,
        limit: 512,
    };
    match library.run(job) {
        JobReply::Documents { documents, .. } => documents,
        other => panic!("{other:?}"),
    }
}

/// A client that writes what something later has replaced is told so; another data node is not.
#[test]
fn later_document_stays() {
    let mut library = in_memory();
    assert_eq!(write(&mut library, &star(1, 5)), None);
    assert_eq!(write(&mut library, &star(1, 5)), None, "twice");
    assert_eq!(write(&mut library, &star(1, 4)), Some(5));
    let documents = vec![star(1, 4), star(2, 4)];
    let reply = note(&mut library, documents.clone(), vec![]);
    assert!(matches!(
        reply,
        JobReply::DocumentsNoted { late: Some(5), .. }
    ));
    assert_eq!(all(&mut library), [star(1, 5)], "all or none");
    let (plays, by) = (vec![], None);
    library.run(LibraryJob::NoteDocuments {
        documents,
        plays,
        by,
    });
    assert_eq!(all(&mut library).len(), 2);
}

/// What was deleted is told as such, and survives a restart.
#[test]
fn deleted_document_stays_deleted() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    write(&mut library, &star(1, 5));
    let gone = Document {
        body: None,
        ..star(1, 6)
    };
    write(&mut library, &gone);
    drop(library);
    let mut library = writer(&dir);
    assert_eq!(write(&mut library, &star(1, 5)), Some(6));
    let (feed, revision) = changes(&mut library, 0, 9);
    assert_eq!((feed, revision), (vec![Change::Wrote(gone)], 2));
}

/// Each play is counted once, whoever repeats it.
#[test]
fn plays_add_up() {
    let mut library = in_memory();
    let play = |token| Play {
        owner: AccountId::LISTENER,
        song: SongId(7),
        token,
        clock: token,
    };
    note(&mut library, vec![], vec![play(1), play(2)]);
    note(&mut library, vec![], vec![play(2), play(3)]);
    let [counter] = &all(&mut library)[..] else {
        panic!("one counter");
    };
    let (song, plays) = Plays::of(counter).expect("a counter");
    assert_eq!((song, plays.count, plays.last), (SongId(7), 3, 3));
}

/// A library takes so much from clients and no more, and says so. Deleting always has room.
#[test]
fn bounds_are_kept() {
    let mut library = in_memory();
    let big = |n: u64| Document {
        body: Some(vec![0; DOCUMENT_BYTES_MAX]),
        key: Key {
            subject: n.to_be_bytes().to_vec(),
            ..star(1, 5).key
        },
        ..star(1, 5)
    };
    let fit = DOCUMENTS_BYTES_MAX / big(0).weight() as u64;
    for n in 0..fit {
        assert_eq!(write(&mut library, &big(n)), None);
    }
    let refused = note(&mut library, vec![big(fit)], vec![]);
    assert!(
        matches!(refused, JobReply::Failed(JobFault::Invalid(_))),
        "{refused:?}"
    );
    let mut gone = big(3);
    (gone.version.clock, gone.body) = (6, None);
    assert_eq!(write(&mut library, &gone), None);
    assert_eq!(write(&mut library, &big(fit)), None);
}

/// A disk that alters a document is found out: nobody is told the altered text, `verify` names it, and
/// counting anew removes it, so that other nodes send it again.
#[test]
fn altered_document_is_removed() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    write(&mut library, &star(1, 5));
    write(&mut library, &star(2, 5));
    sql(
        &library,
        "UPDATE documents SET body = x'07' WHERE subject = x'01'",
    );
    let look = || verify(dir.path(), NODE, Depth::Quick, &mut |_| ()).expect("a library");
    drop(library);
    assert!(!look().is_clean());
    let mut library = writer(&dir);
    let feed = library.run(LibraryJob::Changes { since: 0, limit: 9 });
    assert!(matches!(feed, JobReply::Failed(JobFault::Corrupt(_))));
    let (songs, totals) = (vec![], true);
    library.run(LibraryJob::Mend { songs, totals });
    assert_eq!(all(&mut library), [star(2, 5)]);
    drop(library);
    assert!(look().is_clean(), "{:?}", look());
}
