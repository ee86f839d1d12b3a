//! The size of the cache, and the eviction of songs when the cache is full.
//!
//! A file holds the size. Every writer locks the file, so that several processes together keep
//! below the cap. A process counts the size anew at its first write and whenever a write would
//! pass the cap. The new count corrects bytes that a crash has left uncounted or counted twice.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::disk_space::DiskSpace;
use crate::private;

/// The bytes that may lie below a folder.
#[derive(Debug)]
pub(super) struct Room {
    songs: PathBuf,
    size: PathBuf,
    bytes_max: u64,
    space: DiskSpace,
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
            space: DiskSpace::around(dir),
            counted: Mutex::new(false),
        }
    }

    /// Makes room for `bytes`, lets `write` use it, and takes off what it says it has replaced.
    /// More than the whole cache holds is not written at all, nor what the disk needs for others: then
    /// the songs unused for longest go, too.
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
            total = self.evict(bytes, self.bytes_max)?;
        }
        let lacking = self.disk_lacks(bytes);
        if lacking > 0 {
            total = self.evict(bytes, total.saturating_sub(lacking))?;
            size.write(total)?;
            if self.disk_lacks(bytes) > 0 {
                return Ok(());
            }
        }
        // The size is raised before the write. After a crash in between, the cache holds less than
        // the file says, so it never passes the cap.
        size.write(total + bytes)?;
        match write() {
            Ok(replaced) => size.write((total + bytes).saturating_sub(replaced)),
            Err(error) => size.write(total).and(Err(error)),
        }
    }

    /// Removes a file and subtracts its bytes from the size.
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

    /// How many bytes are lacking on the disk if the cache takes `bytes` and leaves others their part.
    fn disk_lacks(&self, bytes: u64) -> u64 {
        (bytes + self.space.part_of_others()).saturating_sub(self.space.available())
    }

    /// Removes the songs unused for longest until `bytes` more stay below `bytes_max` with some room
    /// to spare: then the next fragments need no look through the folders. Gives the bytes left.
    fn evict(&self, bytes: u64, bytes_max: u64) -> io::Result<u64> {
        let mut songs = self.songs()?;
        let mut total: u64 = songs.iter().map(|song| song.bytes).sum();
        let goal = (bytes_max - bytes_max / SPARE).saturating_sub(bytes);
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
    /// Measures a folder. Returns none if another process has removed the folder meanwhile.
    fn look(dir: PathBuf) -> Option<Song> {
        let used = fs::metadata(&dir).and_then(|m| m.modified()).ok()?;
        let bytes = files(&dir).iter().map(|file| file.bytes).sum();
        Some(Song { dir, used, bytes })
    }

    /// Removes files, oldest first, until `excess` bytes are gone. Returns the bytes removed.
    fn shrink(&self, excess: u64) -> io::Result<u64> {
        let mut removed = 0;
        let mut files = files(&self.dir);
        files.sort_by(|a, b| (a.written, &a.path).cmp(&(b.written, &b.path)));
        for file in files {
            if removed >= excess {
                // Removing a file changes the folder's modification time. The old time is restored,
                // so that the next eviction continues with this song.
                return File::open(&self.dir)
                    .and_then(|dir| dir.set_modified(self.used))
                    .map(|()| removed);
            }
            fs::remove_file(&file.path)?;
            removed += file.bytes;
        }
        // This fails if another process has just put a file into the folder; the folder then stays.
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

/// The file that holds the size. The file stays locked until this value is dropped.
struct Size(File);

impl Size {
    /// Waits about a second for the lock, then fails. A process that was stopped while it held the
    /// lock must not stop playback in other processes; those continue without caching.
    fn lock(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = private::open(path, options)?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Size(file)),
                // Some network disks have no locks. There, each process keeps the cap by itself.
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

/// How many times a process tries to take the lock. Together with the pauses: one second.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// An eviction leaves one part in this many of the cache free.
const SPARE: u64 = 8;
