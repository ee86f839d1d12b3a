//! How much the cache holds, and what goes when more comes.
//!
//! The size stands in a file that every writer locks, so that several processes together keep the
//! cap. It is counted anew at a process's first write and whenever the cap would be passed: what a
//! crash has left uncounted, or counted twice, is set right then.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

/// The bytes that may lie below a folder.
#[derive(Debug)]
pub(super) struct Room {
    songs: PathBuf,
    size: PathBuf,
    bytes_max: u64,
    /// Whether this process has counted. Held while it changes the size: threads of one process
    /// share what processes share the file for.
    counted: Mutex<bool>,
}

impl Room {
    pub(super) fn new(dir: &Path, bytes_max: u64) -> Self {
        Room {
            songs: dir.join("songs"),
            size: dir.join("size"),
            bytes_max,
            counted: Mutex::new(false),
        }
    }

    /// Makes room for `bytes`, lets `write` use it, and takes off what it says it has replaced.
    /// More than the whole cache holds is not written at all.
    pub(super) fn with(
        &self,
        bytes: u64,
        write: impl FnOnce() -> io::Result<u64>,
    ) -> io::Result<()> {
        if bytes > self.bytes_max {
            return Ok(());
        }
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut size = Size::lock(&self.size)?;
        let mut total = match size.read() {
            Some(total) if *counted => total,
            _ => self.count()?,
        };
        *counted = true;
        if total + bytes > self.bytes_max {
            total = self.evict(bytes)?;
        }
        // Counted before it is written: after a crash in between, the cache holds less than it says.
        size.write(total + bytes)?;
        match write() {
            Ok(replaced) => size.write((total + bytes).saturating_sub(replaced)),
            Err(error) => size.write(total).and(Err(error)),
        }
    }

    /// Removes a file and takes its bytes off.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut size = Size::lock(&self.size)?;
        let bytes = fs::metadata(path)?.len();
        fs::remove_file(path)?;
        match size.read() {
            Some(total) if *counted => size.write(total.saturating_sub(bytes)),
            _ => Ok(()),
        }
    }

    fn count(&self) -> io::Result<u64> {
        let songs = self.songs()?;
        Ok(songs.iter().map(|song| song.bytes).sum())
    }

    /// Removes the songs unused for longest until `bytes` more leave some room to spare: then the
    /// next fragments need no look through the folders. Gives the bytes left.
    fn evict(&self, bytes: u64) -> io::Result<u64> {
        let mut songs = self.songs()?;
        let mut total: u64 = songs.iter().map(|song| song.bytes).sum();
        let goal = (self.bytes_max - self.bytes_max / SPARE).saturating_sub(bytes);
        songs.sort_by(|a, b| (a.used, &a.dir).cmp(&(b.used, &b.dir)));
        for song in songs {
            if total <= goal {
                break;
            }
            total = total.saturating_sub(song.shrink(total - goal)?);
        }
        Ok(total)
    }

    fn songs(&self) -> io::Result<Vec<Song>> {
        let mut songs = Vec::new();
        for group in folders(&self.songs)? {
            for dir in folders(&group)? {
                songs.extend(Song::look(dir));
            }
        }
        Ok(songs)
    }
}

/// A song's folder.
struct Song {
    dir: PathBuf,
    used: SystemTime,
    bytes: u64,
}

impl Song {
    /// Looks into a folder; none if another process has removed it meanwhile.
    fn look(dir: PathBuf) -> Option<Song> {
        let used = fs::metadata(&dir).and_then(|m| m.modified()).ok()?;
        let bytes = files(&dir).iter().map(|file| file.bytes).sum();
        Some(Song { dir, used, bytes })
    }

    /// Removes files, oldest first, until `excess` bytes are gone. Gives the bytes removed.
    fn shrink(&self, excess: u64) -> io::Result<u64> {
        let mut removed = 0;
        let mut files = files(&self.dir);
        files.sort_by(|a, b| (a.written, &a.path).cmp(&(b.written, &b.path)));
        for file in files {
            if removed >= excess {
                // To remove a file makes a folder young: it is still the one to go on with.
                return File::open(&self.dir)
                    .and_then(|dir| dir.set_modified(self.used))
                    .map(|()| removed);
            }
            fs::remove_file(&file.path)?;
            removed += file.bytes;
        }
        // Fails if another process has just put something in: then it stays.
        let _ = fs::remove_dir(&self.dir);
        Ok(removed)
    }
}

struct Kept {
    path: PathBuf,
    written: SystemTime,
    bytes: u64,
}

fn files(dir: &Path) -> Vec<Kept> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(|m| m.is_file())?;
            Some(Kept {
                path: entry.path(),
                written: metadata.modified().ok()?,
                bytes: metadata.len(),
            })
        })
        .collect()
}

fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// The file with the size, locked while this lives.
struct Size(File);

impl Size {
    /// Waits for other processes, but not for long: one that was stopped while it held the lock
    /// must not stop the music of the others, who go on without keeping what they hear.
    fn lock(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path)?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Size(file)),
                // Without locks (some network disks) a process keeps the cap alone.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(Size(file));
                }
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn read(&mut self) -> Option<u64> {
        let mut text = [0; 8];
        self.0.rewind().ok()?;
        self.0.read_exact(&mut text).ok()?;
        Some(u64::from_le_bytes(text))
    }

    fn write(&mut self, total: u64) -> io::Result<()> {
        self.0.rewind()?;
        self.0.write_all(&total.to_le_bytes())
    }
}

/// How often a lock is tried for, and how long between: a second together.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// What part of the cache is left free after a clean-up.
const SPARE: u64 = 8;
