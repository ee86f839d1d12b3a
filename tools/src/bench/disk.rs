//! The disk: adding music against `cp` and `sync`, and reading a library against plain files.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use roles::contract::id::{NodeId, SongId};
use roles::contract::job::{JobReply, LibraryJob};
use roles::contract::message::{Position, StoreId};
use storage::library::{Library, LibraryWorker};

use super::proc;
use super::rounds::{Rounds, median};
use super::stage::Stage;
use super::streams::MUSIC;
use super::{Figure, Outcome, megabytes_per_second, per_second};
use crate::loadgen::Failure;

/// So many megabytes of mixed music.
pub(super) fn import(stage: &Stage, megabytes: u32) -> Result<Outcome, Failure> {
    // A mixed song of 100 s at 320 kbit/s has 4 MB.
    let options = format!(
        "--count {} --seconds 100 --kbps 320 --format mixed",
        megabytes.div_ceil(4)
    );
    let (folder, bytes) = stage.music(&format!("mixed{megabytes}"), &options)?;
    let mut writes = Vec::new();
    let rounds = Rounds::alternate(
        || {
            let (took, written) = add_and_sync(stage, &folder)?;
            writes.push(written / bytes);
            Ok(bytes / took)
        },
        || Ok(bytes / copy_and_sync(stage, &folder)?),
    )?;
    Ok(Outcome::Measured(vec![
        Figure::more_is_better(
            format!("{:.0} MB of mixed music", bytes / 1e6),
            &rounds,
            "cp + sync",
            megabytes_per_second,
        ),
        Figure::alone(
            "bytes written per byte added",
            format!("{:.2}", median(writes.into_iter())),
        ),
    ]))
}

/// Seconds for adding a folder to an empty cluster until all is on the disk, and the bytes that its
/// data node wrote. What waits in the page cache belongs to this import: it counts, and its time counts.
fn add_and_sync(stage: &Stage, folder: &Path) -> Result<(f64, f64), Failure> {
    let cluster = stage.cluster(false)?;
    sync()?;
    let before = proc::written(cluster.data.pid());
    let took = cluster.add(folder)? + sync()?;
    let written = proc::written(cluster.data.pid()) - before;
    let library = cluster.library();
    drop(cluster); // A data directory belongs to one process at a time.
    let removed = fs::remove_dir_all(&library);
    removed.map_err(|error| Failure::failed("remove the library", error))?;
    Ok((took, written))
}

/// Many songs of 27 kB.
pub(super) fn import_small(stage: &Stage, songs: u32) -> Result<Outcome, Failure> {
    let (folder, _) = small(stage, songs)?;
    let copied = copy_and_sync(stage, &folder)?;
    let cluster = stage.cluster(false)?;
    let took = cluster.add(&folder)?;
    let count = f64::from(songs);
    Ok(Outcome::Measured(vec![Figure::more_is_better(
        format!("{songs} songs of 27 kB"),
        &Rounds::once(count / took, count / copied),
        "cp + sync",
        per_second,
    )]))
}

/// Many songs of 27 kB: 27 seconds at 8 kbit/s.
pub(super) fn small(stage: &Stage, songs: u32) -> Result<(std::path::PathBuf, f64), Failure> {
    let options = format!("--count {songs} --seconds 27 --kbps 8 --format opus");
    stage.music(&format!("small{songs}"), &options)
}

/// Seconds for a copy of a folder that is on the disk at the end.
fn copy_and_sync(stage: &Stage, folder: &Path) -> Result<f64, Failure> {
    sync()?;
    let copy = stage.dir.join(format!("copy{}", stage.number()));
    let begun = Instant::now();
    let status = Command::new("cp").arg("-r").arg(folder).arg(&copy).status();
    let copied = status.and_then(|status| match status.success() {
        true => Ok(()),
        false => Err(io::Error::other("cp failed")),
    });
    copied.map_err(|error| Failure::failed("copy the songs", error))?;
    sync()?;
    let took = begun.elapsed().as_secs_f64();
    let removed = fs::remove_dir_all(&copy);
    removed.map_err(|error| Failure::failed("remove the copy", error))?;
    Ok(took)
}

fn sync() -> Result<f64, Failure> {
    let begun = Instant::now();
    let status = Command::new("sync").status();
    status.map_err(|error| Failure::failed("sync", error))?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Every fragment of a library, in order, hash checked, against the same bytes from plain files.
pub(super) fn reads(stage: &Stage) -> Result<Outcome, Failure> {
    let (folder, _) = stage.music("music", MUSIC)?;
    let cluster = stage.cluster(false)?;
    cluster.add(&folder)?;
    let library = cluster.library();
    drop(cluster); // A data directory belongs to one process at a time.
    let node = node_of(&library)?;
    let opened = Library::open(&library, node, StoreId(0)).and_then(|library| library.reader());
    let mut reader = opened.map_err(|error| Failure::failed("open the library", error))?;
    let fragments = fragments_of(&mut reader)?;
    let rounds = Rounds::alternate(
        || rate_of(|| read_library(&mut reader, &fragments)),
        || rate_of(|| read_files(&folder)),
    )?;
    Ok(Outcome::Measured(vec![Figure::more_is_better(
        "fragments, hash checked",
        &rounds,
        "files",
        megabytes_per_second,
    )]))
}

/// The node whose library it is; the data directory says so.
fn node_of(dir: &Path) -> Result<NodeId, Failure> {
    let opened = storage::data_dir::DataDir::open(dir, "data", NodeId(0));
    let opened = opened.map_err(|error| Failure::failed("open the data directory", error))?;
    Ok(opened.node())
}

/// Every fragment: its song and its index.
fn fragments_of(reader: &mut LibraryWorker) -> Result<Vec<(SongId, u32)>, Failure> {
    let all = LibraryJob::Songs {
        after: None,
        limit: 500,
    };
    let JobReply::Songs { songs, .. } = reader.run(all) else {
        return Err(Failure::failed("list the library", "it did not answer"));
    };
    let of = |song: &roles::contract::song::Song| {
        let id = song.id;
        (0..song.fragments).map(move |index| (id, index))
    };
    Ok(songs.iter().flat_map(of).collect())
}

fn read_library(reader: &mut LibraryWorker, fragments: &[(SongId, u32)]) -> Result<u64, Failure> {
    let mut bytes = 0;
    for (song, index) in fragments {
        let read = LibraryJob::ReadFragment {
            song: *song,
            at: Position::Index(*index),
        };
        let JobReply::Fragment { bytes: got, .. } = reader.run(read) else {
            return Err(Failure::failed("read a fragment", "it did not answer"));
        };
        bytes += got.len() as u64;
    }
    Ok(bytes)
}

/// Reads every file below a folder in pieces as long as a fragment, each into a fresh buffer.
fn read_files(folder: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    let entries = fs::read_dir(folder).map_err(|error| Failure::failed("read the songs", error))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            bytes += read_files(&path)?;
            continue;
        }
        let read = read_file(&path);
        bytes += read.map_err(|error| Failure::failed("read the songs", error))?;
    }
    Ok(bytes)
}

fn read_file(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    let mut at = 0;
    loop {
        let mut piece = vec![0; 400_000];
        match file.read_at(&mut piece, at)? {
            0 => return Ok(at),
            n => at += n as u64,
        }
    }
}

/// Bytes per second of something that reads bytes.
fn rate_of(read: impl FnOnce() -> Result<u64, Failure>) -> Result<f64, Failure> {
    let begun = Instant::now();
    let bytes = read()? as f64;
    Ok(bytes / begun.elapsed().as_secs_f64())
}
