//! Which files a watcher has added, remembered over restarts.
//!
//! Without it every start would read all music again, and put back what was removed meanwhile. A file
//! is remembered by a hash of its path and looks, eight bytes, so one that has changed is another one.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use storage::import::Looks;
use storage::private;

/// Most files that are remembered; a file beyond is added again at the next start, which costs only
/// its reading.
const FILES_MAX: usize = 4_000_000;

/// Bytes of one file in the memory.
const MARK_BYTES: usize = 8;

#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    marks: BTreeSet<u64>,
    file: Option<File>,
}

impl Memory {
    /// Reads what is remembered there; nothing, if it cannot be read or shall be forgotten.
    pub(super) fn open(path: PathBuf, forget: bool) -> Self {
        let bytes = match forget {
            true => Vec::new(),
            false => fs::read(&path).unwrap_or_default(),
        };
        let whole = bytes.chunks_exact(MARK_BYTES).take(FILES_MAX);
        let marks = whole.filter_map(|mark| mark.try_into().ok().map(u64::from_le_bytes));
        let mut memory = Memory {
            marks: marks.collect(),
            path,
            file: None,
        };
        if let Err(error) = memory.begin(forget || !bytes.len().is_multiple_of(MARK_BYTES)) {
            let path = memory.path.display();
            log::warn!("what was added is not remembered: {path}: {error}");
        }
        memory
    }

    fn begin(&mut self, anew: bool) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            private::make_dir(folder)?;
        }
        if anew {
            self.write_whole()?;
        }
        let mut options = File::options();
        let file = options.append(true).create(true).open(&self.path)?;
        self.file = Some(file);
        Ok(())
    }

    /// Whether this file was added, with these looks.
    pub(super) fn has(&self, path: &Path, looks: Looks) -> bool {
        self.marks.contains(&mark(path, looks))
    }

    pub(super) fn add(&mut self, path: &Path, looks: Looks) {
        let mark = mark(path, looks);
        if self.marks.len() >= FILES_MAX || !self.marks.insert(mark) {
            return;
        }
        if let Some(file) = &mut self.file {
            // What is not remembered is looked at again.
            let _ = file.write_all(&mark.to_le_bytes());
        }
    }

    /// Forgets all other files, if they are more than these.
    pub(super) fn keep_only<'f>(&mut self, files: impl Iterator<Item = (&'f Path, Looks)>) {
        let there: BTreeSet<u64> = files
            .map(|(path, looks)| mark(path, looks))
            .filter(|mark| self.marks.contains(mark))
            .collect();
        if self.marks.len() <= 2 * there.len() {
            return;
        }
        self.marks = there;
        let rewritten = self.begin(true);
        if let Err(error) = rewritten {
            log::warn!("rewrite {}: {error}", self.path.display());
        }
    }

    fn write_whole(&self) -> io::Result<()> {
        let part = self.path.with_extension("part");
        let bytes: Vec<u8> = (self.marks.iter())
            .flat_map(|mark| mark.to_le_bytes())
            .collect();
        private::create(&part)?.write_all(&bytes)?;
        fs::rename(&part, &self.path)
    }
}

fn mark(path: &Path, looks: Looks) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(path.as_os_str().as_bytes());
    hasher.update(&looks.bytes.to_le_bytes());
    hasher.update(&looks.written.0.to_le_bytes());
    hasher.update(&looks.written.1.to_le_bytes());
    hasher.update(&looks.inode.to_le_bytes());
    let mut head = [0; MARK_BYTES];
    head.copy_from_slice(&hasher.finalize().as_bytes()[..MARK_BYTES]);
    u64::from_le_bytes(head)
}
