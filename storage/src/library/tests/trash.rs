//! The trash: marks of songs, and the time that they count.

use super::*;
use roles::contract::trash::Mark;

fn note(library: &mut LibraryWorker, marks: &[Mark], passed_s: u64) -> (Vec<Mark>, Vec<SongId>) {
    let marks = marks.to_vec();
    match library.run(LibraryJob::NoteMarks { marks, passed_s }) {
        JobReply::Noted { newer, gone, .. } => (newer, gone),
        other => panic!("{other:?}"),
    }
}

fn due(library: &mut LibraryWorker, passed_s: u64) -> Vec<(SongId, bool)> {
    let limit = 9;
    match library.run(LibraryJob::AgeTrash { passed_s, limit }) {
        JobReply::Due { due } => due.iter().map(|due| (due.mark.song, due.twice)).collect(),
        other => panic!("{other:?}"),
    }
}

/// A song in the trash is in no list, and every byte of it stays until it is restored.
#[test]
fn a_song_in_the_trash_is_hidden_and_kept() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &[10, 20]);
    let id = manifest.song.id;
    upload(&mut library, &manifest, &pieces);

    let thrown = Mark::none(id).throw(60);
    assert_eq!(note(&mut library, &[thrown], 0), (vec![], vec![]));
    assert_eq!(songs(&mut library, None, 9), (vec![], false));
    assert_eq!(read(&mut library, id, 1), fragment(1, &pieces[1]));
    let (feed, revision) = changes(&mut library, 1, 9);
    assert!(matches!(feed[..], [Change::Marked(mark)] if mark.thrown));
    assert_eq!(revision, 2);

    drop(library);
    let mut library = writer(&dir);
    assert_eq!(songs(&mut library, None, 9), (vec![], false), "restarted");
    note(&mut library, &[thrown.restore()], 0);
    assert_eq!(songs(&mut library, None, 9).0, [manifest.song]);
}

/// Of two marks the one that outranks the other stays, whatever comes first.
#[test]
fn older_marks_are_answered_with_the_newer_one() {
    let mut library = in_memory();
    let thrown = Mark::none(SongId(7)).throw(60);
    let restored = thrown.restore();
    note(&mut library, &[restored], 0);
    assert_eq!(note(&mut library, &[thrown], 0), (vec![restored], vec![]));
    assert_eq!(note(&mut library, &[restored], 0), (vec![], vec![]));
    let (newer, _) = note(&mut library, &[Mark::none(SongId(7))], 0);
    assert_eq!(newer, [restored], "a question");
}

/// Only the time that the node tells counts; it is over once, then twice.
#[test]
fn time_is_counted_while_the_node_runs() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    assert_eq!(due(&mut library, 1000), [], "nothing is in the trash");
    let id = SongId(7);
    note(&mut library, &[Mark::none(id).throw(60)], 0);
    assert_eq!(due(&mut library, 60), []);
    drop(library);
    let mut library = writer(&dir);
    assert_eq!(due(&mut library, 1), [(id, false)]);
    assert_eq!(due(&mut library, 61), [(id, true)]);
}

/// What is emptied is a tombstone, and only the mark that was decided on is.
#[test]
fn the_trash_is_emptied_by_mark() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &[10, 20]);
    let id = manifest.song.id;
    upload(&mut library, &manifest, &pieces);
    let thrown = Mark::none(id).throw(60);
    let again = thrown.restore().throw(60);
    note(&mut library, &[again], 0);
    let refused = library.run(LibraryJob::EmptyTrash { mark: thrown });
    assert_eq!(refused, failed(JobFault::NotFound));
    let emptied = library.run(LibraryJob::EmptyTrash { mark: again });
    assert!(matches!(emptied, JobReply::Removed { count: 1, .. }));
    assert_eq!(rows(&library, "trash"), 0);
    assert_eq!(rows(&library, "fragments"), 0);
    assert_eq!(begin(&mut library, &manifest), failed(JobFault::Removed));
    assert_eq!(
        note(&mut library, &[again.restore()], 0),
        (vec![], vec![id])
    );
}

/// A version that no change could follow is refused.
#[test]
fn an_impossible_version_is_refused() {
    let mut library = in_memory();
    let mark = Mark {
        version: u64::MAX,
        ..Mark::none(SongId(7))
    };
    let (marks, passed_s) = (vec![mark], 0);
    let reply = library.run(LibraryJob::NoteMarks { marks, passed_s });
    assert!(matches!(reply, JobReply::Failed(JobFault::Invalid(_))));
}
