//! Tests of the library, one file for each subject.

mod aside;
mod damage;
mod documents;
mod killed;
mod lists;
mod migration;
mod opening;
mod owners;
mod parts;
mod removal;
mod repair;
mod segments;
mod tables;
mod trash;
mod uploads;
mod verify;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::testing::{TempDir, manifest_of, song};
use roles::contract::id::{ContentHash, SongId};
use roles::contract::job::JobFault;
use roles::contract::job::{FragmentId, Overview, PartitionDigest, ScrubNote, Scrubbed};
use roles::contract::limits::{PAGE_BYTES_MAX, PAGE_SONGS_MAX};
use roles::contract::message::{Change, Digest, Position};
use roles::contract::partition::Partition;
use roles::contract::song::{DecoderPrefix, Format, Manifest, Part, Song};

const NODE: NodeId = NodeId(0xabc);
const STORE: StoreId = StoreId(u64::MAX - 5);

fn in_memory() -> LibraryWorker {
    let library = Library::open_in_memory(NODE, STORE).expect("memory");
    library.writer().expect("memory")
}

fn writer(dir: &TempDir) -> LibraryWorker {
    let library = Library::open(dir.path(), NODE, STORE).expect("a library or nothing");
    library.writer().expect("it was opened just before")
}

/// The error when the library is refused, and whether its file stays unchanged.
fn refusal(dir: &TempDir, node: NodeId) -> (String, bool) {
    let path = dir.path().join("library.db");
    let before = fs::read(&path).expect("it is there");
    let error = Library::open(dir.path(), node, STORE).expect_err("it must be refused");
    let after = fs::read(&path).expect("it is there");
    (error.to_string(), before == after)
}

fn begin(library: &mut LibraryWorker, manifest: &Manifest) -> JobReply {
    let manifest = manifest.clone();
    library.run(LibraryJob::BeginUpload { manifest })
}

fn keep(library: &mut LibraryWorker, song: SongId, index: u32, bytes: &[u8]) -> JobReply {
    let bytes = bytes.to_vec();
    library.run(LibraryJob::KeepFragment { song, index, bytes })
}

fn commit(library: &mut LibraryWorker, song: SongId, copies_due: &[NodeId]) -> JobReply {
    let copies_due = copies_due.to_vec();
    library.run(LibraryJob::CommitUpload { song, copies_due })
}

fn upload(library: &mut LibraryWorker, manifest: &Manifest, pieces: &[Vec<u8>]) -> JobReply {
    let begun = begin(library, manifest);
    assert!(matches!(begun, JobReply::Missing { .. }), "{begun:?}");
    for (index, bytes) in (0..).zip(pieces) {
        assert_eq!(
            keep(library, manifest.song.id, index, bytes),
            JobReply::FragmentStored
        );
    }
    commit(library, manifest.song.id, &[])
}

fn read(library: &mut LibraryWorker, song: SongId, index: u32) -> JobReply {
    let at = Position::Index(index);
    library.run(LibraryJob::ReadFragment { song, at })
}

fn songs(library: &mut LibraryWorker, after: Option<SongId>, limit: u32) -> (Vec<Song>, bool) {
    match library.run(LibraryJob::Songs { after, limit }) {
        JobReply::Songs { songs, more } => (songs, more),
        other => panic!("{other:?}"),
    }
}

fn changes(library: &mut LibraryWorker, since: u64, limit: u32) -> (Vec<Change>, u64) {
    match library.run(LibraryJob::Changes { since, limit }) {
        JobReply::Changes { changes, revision } => (changes, revision),
        other => panic!("{other:?}"),
    }
}

fn assert_nothing_is_seen(library: &mut LibraryWorker, song: SongId) {
    let overview = Overview {
        store: STORE,
        ..Overview::default()
    };
    assert_eq!(
        library.run(LibraryJob::Overview),
        JobReply::Overview(overview)
    );
    assert_eq!(songs(library, None, 9), (vec![], false));
    assert_eq!(changes(library, 0, 9), (vec![], 0));
    assert_eq!(
        library.run(LibraryJob::Describe { song }),
        failed(JobFault::NotFound)
    );
    assert_eq!(read(library, song, 0), failed(JobFault::NotFound));
}

fn every_job(song: SongId, manifest: &Manifest) -> Vec<LibraryJob> {
    vec![
        LibraryJob::Overview,
        LibraryJob::Songs {
            after: None,
            limit: 9,
        },
        LibraryJob::Changes { since: 0, limit: 9 },
        LibraryJob::Describe { song },
        LibraryJob::ReadFragment {
            song,
            at: Position::Index(1),
        },
        LibraryJob::ReadFragment {
            song,
            at: Position::Time(5000),
        },
        LibraryJob::BeginUpload {
            manifest: manifest.clone(),
        },
        LibraryJob::KeepFragment {
            song,
            index: 0,
            bytes: song_bytes(manifest),
        },
        LibraryJob::CommitUpload {
            song,
            copies_due: vec![NodeId(1)],
        },
        LibraryJob::CopiesDue {
            after: None,
            limit: 9,
        },
        LibraryJob::CopyDone {
            song,
            node: NodeId(1),
        },
        LibraryJob::DropUpload { song },
        LibraryJob::Room { bytes: 1 },
        LibraryJob::SweepUploads { untouched_s: 0 },
        LibraryJob::PartitionDigests,
        LibraryJob::PartitionSongs {
            partition: Partition::of(song),
            after: None,
            limit: 9,
        },
        LibraryJob::Scrub {
            after: None,
            bytes: 1 << 20,
        },
        LibraryJob::NoteScrub {
            after: Some(FragmentId { song, index: 0 }),
        },
        LibraryJob::NoteScrub { after: None },
        LibraryJob::Quarantine {
            fragment: FragmentId { song, index: 0 },
        },
        LibraryJob::Quarantined {
            after: None,
            limit: 9,
        },
        LibraryJob::ReplaceFragment {
            fragment: FragmentId { song, index: 0 },
            bytes: song_bytes(manifest),
        },
        LibraryJob::DropSongs {
            songs: vec![song],
            until: u64::MAX,
        },
        LibraryJob::RemoveSongs { songs: vec![song] },
        LibraryJob::ForgetCopiesDue { node: NodeId(1) },
        LibraryJob::Reclaim,
        LibraryJob::Inspect {
            after: None,
            limit: 9,
        },
        LibraryJob::Mend {
            songs: vec![song],
            totals: true,
        },
        LibraryJob::Restore { untouched_s: 0 },
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

/// Changes the tables behind the library's back, as a faulty disk would.
fn sql(library: &LibraryWorker, text: &str) {
    let slot = library.db.lock().expect("nobody panicked");
    let db = slot.as_ref().expect("it is open");
    db.execute_batch(text).expect(text);
}

fn rows(library: &LibraryWorker, table: &str) -> i64 {
    let slot = library.db.lock().expect("nobody panicked");
    let db = slot.as_ref().expect("it is open");
    let count = format!("SELECT count(*) FROM {table}");
    db.query_row(&count, [], |row| row.get(0)).expect("a table")
}

/// Bytes of the disk that the segments take; a hole takes none.
fn sound_on_disk(dir: &TempDir) -> u64 {
    let files = fs::read_dir(dir.path()).expect("a directory");
    let segments = files
        .map(|file| file.expect("an entry"))
        .filter(|file| file.file_name().to_string_lossy().starts_with("segment."));
    let blocks = segments.map(|file| file.metadata().expect("a file").blocks());
    blocks.sum::<u64>() * 512
}

fn pragma(library: &LibraryWorker, name: &str) -> i64 {
    let slot = library.db.lock().expect("nobody panicked");
    let db = slot.as_ref().expect("it is open");
    let value = db.pragma_query_value(None, name, |row| row.get(0));
    value.expect("a setting with a number")
}
