//! Measures the library on this machine's disk.
//!
//! `cargo run --release -p storage --example library_speed [DIR]`: writes a song of 100
//! fragments of a megabyte several times over, reads it back, checks it, lists pages of 500 songs
//! and the digests of 10 000, inspects their tables, removes songs large and small, and verifies what is left.
#![expect(clippy::print_stdout, reason = "its figures are what it is for")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, process};

use roles::contract::id::{ContentHash, NodeId, SongId};
use roles::contract::job::{JobReply, LibraryJob};
use roles::contract::message::{Position, StoreId};
use roles::contract::partition::Partition;
use roles::contract::song::{DecoderPrefix, Format, Fragment, Manifest, Part, Song};
use storage::library::verify::{Depth, verify};
use storage::library::{Library, LibraryWorker};

/// Songs in the lists that are measured.
const SMALL_SONGS: u32 = 10_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let parent = env::args_os()
        .nth(1)
        .map_or_else(env::temp_dir, PathBuf::from);
    let dir = parent.join(format!("library-speed-{}", process::id()));
    fs::create_dir_all(&dir)?;
    let measured = measure(&dir);
    fs::remove_dir_all(&dir)?;
    measured
}

fn measure(dir: &Path) -> Outcome<()> {
    let library = Library::open(dir, NodeId(1), StoreId(1))?;
    let (mut writer, mut reader) = (library.writer()?, library.reader()?);
    let mut ids = Vec::new();
    for round in 0..4 {
        ids.push(write_song(&mut writer, round)?);
    }
    ids.iter().try_for_each(|id| read_song(&mut reader, *id))?;
    scrub(&mut reader)?;
    small_songs(&mut writer)?;
    for _ in 0..3 {
        lists(&mut reader)?;
    }
    digests(&mut reader)?;
    inspection(&mut reader)?;
    for id in &ids[1..] {
        remove(&mut writer, *id)?;
    }
    let_go(&mut writer, &mut reader)?;
    drop((writer, reader));
    check(dir)
}

fn write_song(writer: &mut LibraryWorker, round: u32) -> Outcome<SongId> {
    let pieces: Vec<Vec<u8>> = (0..100)
        .map(|i| noise(100 * round + i, 1_000_000))
        .collect();
    let manifest = manifest(&pieces, "large");
    let song = manifest.song.id;
    let begun = Instant::now();
    let (_, begin) = timed(writer, LibraryJob::BeginUpload { manifest })?;
    let mut keeps = Vec::new();
    for (index, bytes) in (0..).zip(pieces) {
        keeps.push(timed(writer, LibraryJob::KeepFragment { song, index, bytes })?.1);
    }
    let copies_due = Vec::new();
    let (_, commit) = timed(writer, LibraryJob::CommitUpload { song, copies_due })?;
    let rate = 100.0 / begun.elapsed().as_secs_f64();
    keeps.sort();
    println!(
        "write {rate:.0} MB/s; begin {begin:.1?}, keep p50 {:.1?} p99 {:.1?}, commit {commit:.1?}",
        keeps[50], keeps[98]
    );
    Ok(song)
}

fn read_song(reader: &mut LibraryWorker, song: SongId) -> Outcome<()> {
    let begun = Instant::now();
    let mut reads = Vec::new();
    for index in 0..100 {
        let at = Position::Index(index);
        reads.push(timed(reader, LibraryJob::ReadFragment { song, at })?.1);
    }
    let rate = 100.0 / begun.elapsed().as_secs_f64();
    reads.sort();
    println!(
        "read {rate:.0} MB/s with hash; p50 {:.1?} p99 {:.1?}",
        reads[50], reads[98]
    );
    Ok(())
}

fn small_songs(writer: &mut LibraryWorker) -> Outcome<()> {
    let begun = Instant::now();
    for number in 0..SMALL_SONGS {
        let pieces = [
            noise(1_000_000 + number, 2000),
            noise(2_000_000 + number, 2000),
        ];
        let manifest = manifest(&pieces, &format!("a title of usual length {number}"));
        let song = manifest.song.id;
        timed(writer, LibraryJob::BeginUpload { manifest })?;
        for (index, bytes) in (0..).zip(pieces) {
            timed(writer, LibraryJob::KeepFragment { song, index, bytes })?;
        }
        let copies_due = vec![NodeId(2), NodeId(3)];
        timed(writer, LibraryJob::CommitUpload { song, copies_due })?;
    }
    println!("{SMALL_SONGS} songs of 4 kB in {:.2?}", begun.elapsed());
    Ok(())
}

fn lists(reader: &mut LibraryWorker) -> Outcome<()> {
    let (_, songs) = timed(
        reader,
        LibraryJob::Songs {
            after: None,
            limit: 500,
        },
    )?;
    let after = Some(SongId(u128::MAX / 2));
    let (_, middle) = timed(reader, LibraryJob::Songs { after, limit: 500 })?;
    let (_, changes) = timed(
        reader,
        LibraryJob::Changes {
            since: 1000,
            limit: 500,
        },
    )?;
    let (_, overview) = timed(reader, LibraryJob::Overview)?;
    println!(
        "page of 500: songs {songs:.1?}, {middle:.1?}; changes {changes:.1?}; overview {overview:.1?}"
    );
    Ok(())
}

fn scrub(reader: &mut LibraryWorker) -> Outcome<()> {
    let (mut after, mut bytes, mut steps) = (None, 0, Vec::new());
    let begun = Instant::now();
    loop {
        let step = LibraryJob::Scrub {
            after,
            bytes: 4_000_000,
        };
        let (JobReply::Scrubbed(done), time) = timed(reader, step)? else {
            return Err("another reply".into());
        };
        bytes += done.bytes;
        steps.push(time);
        after = done.after;
        if after.is_none() {
            break;
        }
    }
    let rate = bytes as f64 / 1e6 / begun.elapsed().as_secs_f64();
    steps.sort();
    println!(
        "scrub {rate:.0} MB/s; step of 4 MB p50 {:.1?}",
        steps[steps.len() / 2]
    );
    Ok(())
}

/// A pass over the tables of all songs. The last step also checks indexes, totals and digests.
fn inspection(reader: &mut LibraryWorker) -> Outcome<()> {
    let (mut after, mut songs, mut steps) = (None, 0, Vec::new());
    loop {
        let step = LibraryJob::Inspect { after, limit: 256 };
        let (JobReply::Inspected(done), time) = timed(reader, step)? else {
            return Err("another reply".into());
        };
        songs += done.songs;
        steps.push(time);
        after = done.after;
        if after.is_none() {
            break;
        }
    }
    let last = steps.pop().unwrap_or_default();
    steps.sort();
    println!(
        "inspection of {songs} songs: step of 256 p50 {:.1?}, the last one {last:.1?}",
        steps[steps.len() / 2]
    );
    Ok(())
}

fn digests(reader: &mut LibraryWorker) -> Outcome<()> {
    let (_, cold) = timed(reader, LibraryJob::PartitionDigests)?;
    let mut warm = Vec::new();
    for _ in 0..21 {
        warm.push(timed(reader, LibraryJob::PartitionDigests)?.1);
    }
    warm.sort();
    let (after, limit) = (None, 4096);
    let partition = Partition::of(SongId(u128::MAX / 3));
    let page = LibraryJob::PartitionSongs {
        partition,
        after,
        limit,
    };
    let (_, page) = timed(reader, page)?;
    println!(
        "digests of all partitions {cold:.1?}, then p50 {:.1?}; ids of one {page:.1?}",
        warm[10]
    );
    Ok(())
}

fn remove(writer: &mut LibraryWorker, song: SongId) -> Outcome<()> {
    let songs = vec![song];
    let (_, removal) = timed(writer, LibraryJob::RemoveSongs { songs })?;
    let mut longest = Duration::ZERO;
    loop {
        let (reply, time) = timed(writer, LibraryJob::Reclaim)?;
        longest = longest.max(time);
        if reply == (JobReply::Reclaimed { more: false }) {
            break;
        }
    }
    println!("remove 100 MB {removal:.1?}, then {longest:.1?} at most per step");
    Ok(())
}

fn let_go(writer: &mut LibraryWorker, reader: &mut LibraryWorker) -> Outcome<()> {
    let (after, limit) = (None, 500);
    let (JobReply::Songs { songs, .. }, _) = timed(reader, LibraryJob::Songs { after, limit })?
    else {
        return Err("another reply".into());
    };
    let songs = songs.into_iter().map(|song| song.id).collect();
    let until = u64::MAX;
    let (_, time) = timed(writer, LibraryJob::DropSongs { songs, until })?;
    println!("let go of 500 songs {time:.1?}");
    Ok(())
}

fn check(dir: &Path) -> Outcome<()> {
    for depth in [Depth::Quick, Depth::Whole] {
        let begun = Instant::now();
        let report = verify(dir, NodeId(1), depth, &mut |_| ())?;
        let sound = if report.is_clean() {
            "sound"
        } else {
            "damaged"
        };
        println!(
            "verify {depth:?}: {} songs, {} MB in {:.1?}: {sound}",
            report.songs,
            report.bytes / 1_000_000,
            begun.elapsed()
        );
    }
    Ok(())
}

fn timed(worker: &mut LibraryWorker, job: LibraryJob) -> Outcome<(JobReply, Duration)> {
    let begun = Instant::now();
    let reply = worker.run(job);
    if let JobReply::Failed(fault) = &reply {
        return Err(fault.to_string().into());
    }
    Ok((reply, begun.elapsed()))
}

/// Pseudo-random bytes that differ from seed to seed (xorshift).
fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = u64::from(seed) * 2 + 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn manifest(pieces: &[Vec<u8>], title: &str) -> Manifest {
    let hash = ContentHash(*blake3::hash(&pieces.concat()).as_bytes());
    let slice = |(index, bytes): (u32, &Vec<u8>)| Fragment {
        length: bytes.len() as u32,
        start_ms: 10_000 * index,
        part: Part::Audio,
        hash: ContentHash(*blake3::hash(bytes).as_bytes()),
    };
    Manifest {
        song: Song {
            id: SongId::of(&hash),
            title: title.into(),
            artist: "an artist".into(),
            album: "an album of the artist".into(),
            genre: "genre".into(),
            year: 1971,
            disc: 1,
            track: 1,
            duration_ms: 10_000 * pieces.len() as u32,
            bytes: pieces.iter().map(|bytes| bytes.len() as u64).sum(),
            format: Format::Flac,
            fragments: pieces.len() as u32,
        },
        hash,
        sample_rate: 44_100,
        channels: 2,
        picture: false,
        prefix: DecoderPrefix::None,
        fragments: (0..).zip(pieces).map(slice).collect(),
    }
}
