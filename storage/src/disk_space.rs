//! Room on the file system of one directory: how much is left, a reserve, and what a failed write
//! means.
//!
//! Owns the files `reserve.0` to `reserve.3`, which hold bytes and inodes for the work that makes
//! room: removals, tombstones, the start of a node. What may use the reserve is decided by the
//! callers. The numbers are those of the moment: other programs write to the same disk.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, StatVfs, fallocate, statvfs};

use crate::private;

/// The room around a directory.
#[derive(Clone, Debug)]
pub(crate) struct DiskSpace {
    dir: PathBuf,
    /// No more than this is said to be available: a test sets it.
    available_max: u64,
}

impl DiskSpace {
    /// The room on the file system on which `dir` lies.
    pub(crate) fn around(dir: &Path) -> DiskSpace {
        DiskSpace {
            dir: dir.to_owned(),
            available_max: UNKNOWN_BYTES,
        }
    }

    /// From here on at most `bytes` are said to be available.
    #[cfg(test)]
    pub(crate) fn limit(&mut self, bytes: u64) {
        self.available_max = bytes;
    }

    /// Bytes that may still be written here. A file system that does not tell has no bound.
    pub(crate) fn available(&self) -> u64 {
        let Ok(stat) = statvfs(&self.dir) else {
            return self.available_max;
        };
        if stat.f_blocks == 0 {
            return self.available_max;
        }
        let available = stat.f_bavail.saturating_mul(stat.f_frsize);
        available.min(self.available_max)
    }

    /// Bytes of the whole file system; 0 if it does not tell.
    pub(crate) fn capacity(&self) -> u64 {
        statvfs(&self.dir).map_or(0, |stat| stat.f_blocks.saturating_mul(stat.f_frsize))
    }

    /// Bytes that caches and spools leave to the other users of the disk.
    pub(crate) fn part_of_others(&self) -> u64 {
        (self.capacity() / OTHERS_SHARE).min(OTHERS_BYTES_MAX)
    }

    /// Bytes of a file in this directory; 0 if there is none.
    pub(crate) fn length(&self, name: &str) -> u64 {
        fs::metadata(self.dir.join(name)).map_or(0, |file| file.len())
    }

    /// Bytes that the reserve lacks.
    pub(crate) fn reserve_missing(&self) -> u64 {
        let whole = self.reserve_file_bytes();
        let missing = |number| whole.saturating_sub(self.length(&reserve_name(number)));
        (0..RESERVE_FILES).map(missing).sum()
    }

    /// Removes the reserve, so that its bytes and its inodes can be used. False: there was none.
    pub(crate) fn give_up_reserve(&self) -> bool {
        let removed = (0..RESERVE_FILES)
            .map(|number| fs::remove_file(self.dir.join(reserve_name(number))))
            .filter(Result::is_ok)
            .count();
        if removed > 0 {
            log::warn!("reserve given up dir={}", self.dir.display());
        }
        removed > 0
    }

    /// Makes the reserve whole, or as large as the room left allows. True: it is whole.
    pub(crate) fn restore_reserve(&self) -> bool {
        let whole = self.reserve_file_bytes();
        for number in 0..RESERVE_FILES {
            let name = reserve_name(number);
            let wanted = whole.saturating_sub(self.length(&name));
            if wanted == 0 {
                continue;
            }
            let spare = self.available().saturating_sub(LEFT_BESIDE_RESERVE_BYTES);
            // A file without bytes still holds an inode.
            let taken = wanted.min(spare) / BLOCK_BYTES * BLOCK_BYTES;
            let grown = grow(&self.dir.join(&name), taken);
            if grown.is_err() || taken < wanted {
                return false;
            }
        }
        true
    }

    fn reserve_file_bytes(&self) -> u64 {
        let share = self.capacity() / RESERVE_SHARE / u64::from(RESERVE_FILES);
        let bytes = share.clamp(RESERVE_FILE_BYTES_MIN, RESERVE_FILE_BYTES_MAX);
        bytes / BLOCK_BYTES * BLOCK_BYTES
    }

    /// Why nothing can be written here, found out by a small file that is removed again; none if it
    /// can. SQLite reports a quota that is used up and a read-only file system as faults without a
    /// reason.
    pub(crate) fn obstacle(&self) -> Option<io::Error> {
        let path = self.dir.join(PROBE);
        let written = private::create(&path).and_then(|mut file| file.write_all(&[1; PROBE_BYTES]));
        // The file is absent if it could not be made, and the first failure is the one to report.
        let _ = fs::remove_file(&path);
        written
            .err()
            .filter(|error| is_no_room(error) || is_read_only(error))
    }

    /// What an error of a write here means and what to do, if it tells of a disk that takes nothing.
    pub(crate) fn words(&self, error: &io::Error) -> Option<&'static str> {
        let no_inode = |stat: StatVfs| stat.f_files > 0 && stat.f_favail == 0;
        let kind = error.kind();
        if kind == ErrorKind::StorageFull && statvfs(&self.dir).is_ok_and(no_inode) {
            return Some(NO_INODE);
        }
        let words = [
            (ErrorKind::StorageFull, FULL),
            (ErrorKind::QuotaExceeded, QUOTA),
            (ErrorKind::ReadOnlyFilesystem, READ_ONLY),
        ];
        words
            .into_iter()
            .find_map(|(of, words)| (kind == of).then_some(words))
    }
}

/// Whether an error says that bytes or inodes are used up, on the disk or of a quota.
pub(crate) fn is_no_room(error: &io::Error) -> bool {
    [ErrorKind::StorageFull, ErrorKind::QuotaExceeded].contains(&error.kind())
}

/// Whether an error says that the file system takes no change.
pub(crate) fn is_read_only(error: &io::Error) -> bool {
    error.kind() == ErrorKind::ReadOnlyFilesystem
}

/// An error of a write in `dir` in plain words that say what to do: for a full disk, a disk without
/// inodes, a quota that is used up and a read-only file system. Other errors in the system's words.
pub fn in_words(dir: &Path, error: &io::Error) -> String {
    let words = DiskSpace::around(dir).words(error);
    words.map_or_else(|| error.to_string(), str::to_owned)
}

/// Bytes that may still be written in `dir` if other users of the disk keep their part: a sixteenth
/// of it, at most 256 MiB.
pub fn spare(dir: &Path) -> u64 {
    let space = DiskSpace::around(dir);
    space.available().saturating_sub(space.part_of_others())
}

/// Bytes that may still be written in `dir`; a file system that does not tell counts as large.
pub fn available(dir: &Path) -> u64 {
    DiskSpace::around(dir).available()
}

fn reserve_name(number: u32) -> String {
    format!("reserve.{number}")
}

/// Adds bytes to a file, which is made if it is not there. They are bytes of the disk, not a hole.
fn grow(path: &Path, bytes: u64) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = private::open(path, options.create(true).append(true))?;
    if bytes == 0 {
        return Ok(());
    }
    let begin = file.metadata()?.len();
    match fallocate(&file, FallocateFlags::empty(), begin, bytes) {
        Err(error) if error == rustix::io::Errno::OPNOTSUPP => {
            // Bytes that a file system which compresses cannot shrink.
            let mut noise = blake3::Hasher::new()
                .update(path.as_os_str().as_encoded_bytes())
                .finalize_xof();
            let mut block = vec![0; BLOCK_BYTES as usize];
            for _ in 0..bytes / BLOCK_BYTES {
                noise.fill(&mut block);
                file.write_all(&block)?;
            }
            Ok(())
        }
        allocated => Ok(allocated?),
    }
}

/// The part of the disk that is left to others, and the most of it.
const OTHERS_SHARE: u64 = 16;
const OTHERS_BYTES_MAX: u64 = 256 << 20;

const FULL: &str = "the disk is full: remove something from it, or choose a directory on another";
const NO_INODE: &str =
    "the disk has no inode free: remove some files from it, or choose a directory on another";
const QUOTA: &str = "the disk quota is used up: remove files, or have the quota raised";
const READ_ONLY: &str = "the file system is read-only: mount it writable (the system's log says why it \
     is not), or choose a directory on another";

/// Files of the reserve: as many inodes as a start needs (`node.json.new`, SQLite's log and the
/// index of the log), and one more.
const RESERVE_FILES: u32 = 4;

/// The reserve takes at most this part of the disk.
const RESERVE_SHARE: u64 = 16;

/// Largest file of the reserve: all four together take the log of the largest removal.
const RESERVE_FILE_BYTES_MAX: u64 = 2 << 20;

const RESERVE_FILE_BYTES_MIN: u64 = 16 << 10;

/// The reserve leaves so much for small files such as `members.json`.
const LEFT_BESIDE_RESERVE_BYTES: u64 = 64 << 10;

/// Sizes are multiples of it.
const BLOCK_BYTES: u64 = 4096;

const PROBE: &str = "probe";

/// More than SQLite's smallest step: the index of its log grows by 32 KiB.
const PROBE_BYTES: usize = 64 << 10;

/// What a file system has that does not tell: more than any library takes, and no sum overflows.
const UNKNOWN_BYTES: u64 = 1 << 60;

#[cfg(test)]
mod tests;
