//! Folders that are watched for new music, by the kernel's inotify.
//!
//! A folder is watched before it is read, so what comes meanwhile is seen by one or the other. Each
//! event is a hint: what it names may be gone, or may still grow ([`super::settling`]). When the
//! kernel loses events it says so, and everything is looked through again.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::{Walked, is_hidden, sounds, walk};

/// Folders under watch.
#[derive(Debug)]
pub struct Folders {
    inotify: Arc<OwnedFd>,
    by_watch: BTreeMap<i32, PathBuf>,
    /// The kernel did not watch a folder, because its limit is reached.
    is_short: bool,
}

/// Waits for events of watched folders, on a thread of its own.
#[derive(Debug)]
pub struct Events {
    inotify: Arc<OwnedFd>,
}

/// What the kernel has seen in a folder.
#[derive(Debug)]
pub struct Event {
    watch: i32,
    flags: ReadFlags,
    name: OsString,
}

/// What an event means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A file of music is there, begun and not ended: a writer has it open.
    Begun(PathBuf),
    /// A file of music has been written and closed, moved here, or linked here.
    Ended(PathBuf),
    /// A folder has come, perhaps with files in it.
    Folder(PathBuf),
    /// A folder that is watched is gone.
    Gone(PathBuf),
    /// Events are lost.
    Lost,
}

/// Nothing is watched yet. Fails when this user has too many watchers (`max_user_instances`).
pub fn watch() -> io::Result<(Folders, Events)> {
    let inotify = Arc::new(inotify::init(CreateFlags::CLOEXEC)?);
    let folders = Folders {
        inotify: Arc::clone(&inotify),
        by_watch: BTreeMap::new(),
        is_short: false,
    };
    Ok((folders, Events { inotify }))
}

impl Folders {
    /// Watches these folders with all below them, and gives the music that is in them.
    pub fn look_through(&mut self, folders: &[PathBuf]) -> Walked {
        let mut walked = walk(folders);
        loop {
            let known = self.by_watch.len();
            for folder in &walked.folders {
                self.add(folder);
            }
            // What came between the reading of a folder and its watch is in the second reading.
            let again = walk(folders);
            let quiet = again.folders == walked.folders;
            walked = again;
            if quiet || self.by_watch.len() == known {
                return walked;
            }
        }
    }

    /// Whether a folder is not watched because the kernel's limit (`max_user_watches`) is reached.
    pub fn is_short(&self) -> bool {
        self.is_short
    }

    /// Whether this folder is watched.
    pub fn has(&self, folder: &Path) -> bool {
        self.by_watch.values().any(|watched| watched == folder)
    }

    fn add(&mut self, folder: &Path) {
        match inotify::add_watch(&*self.inotify, folder, INTEREST) {
            Ok(watch) => _ = self.by_watch.insert(watch, folder.to_owned()),
            Err(Errno::NOSPC | Errno::NOMEM) => self.is_short = true,
            // It is gone again, or not for this user: the walk tells.
            Err(_) => (),
        }
    }

    /// What an event means; none if nothing that concerns music.
    pub fn change(&mut self, event: &Event) -> Option<Change> {
        let flags = event.flags;
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            return Some(Change::Lost);
        }
        if flags.contains(ReadFlags::IGNORED) {
            return self.by_watch.remove(&event.watch).map(Change::Gone);
        }
        let folder = self.by_watch.get(&event.watch)?;
        if flags.contains(ReadFlags::MOVE_SELF) {
            // The folder above tells of it first, if that is watched: then this watch is unknown by now.
            let folder = folder.clone();
            self.forget_below(&folder);
            return Some(Change::Gone(folder));
        }
        if event.name.is_empty() {
            return None; // The kernel ends the watch, and says so with the next event.
        }
        let path = folder.join(&event.name);
        if is_hidden(&path) {
            return None;
        }
        if flags.contains(ReadFlags::ISDIR) {
            if flags.contains(ReadFlags::MOVED_FROM) {
                self.forget_below(&path);
                return None;
            }
            return Some(Change::Folder(path));
        }
        if !sounds(&path) || flags.contains(ReadFlags::MOVED_FROM) {
            return None;
        }
        if flags.contains(ReadFlags::CREATE) && !is_linked(&path) {
            return Some(Change::Begun(path));
        }
        Some(Change::Ended(path))
    }

    /// A folder that has moved is watched under its next name, or nowhere.
    fn forget_below(&mut self, folder: &Path) {
        let below = self
            .by_watch
            .iter()
            .filter(|(_, at)| at.starts_with(folder));
        let below: Vec<i32> = below.map(|(watch, _)| *watch).collect();
        for watch in below {
            self.by_watch.remove(&watch);
            // It may have ended by itself.
            let _ = inotify::remove_watch(&*self.inotify, watch);
        }
    }
}

impl Events {
    /// Gives every event to `take`, until that returns false. Blocks.
    pub fn read(self, mut take: impl FnMut(Event) -> bool) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(&*self.inotify, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let name = event.file_name().map_or(&[][..], std::ffi::CStr::to_bytes);
            let event = Event {
                watch: event.wd(),
                flags: event.events(),
                name: OsStr::from_bytes(name).to_owned(),
            };
            if !take(event) {
                return Ok(());
            }
        }
    }
}

/// A file that was not written here: a link to one that is whole.
fn is_linked(path: &Path) -> bool {
    let found = fs::symlink_metadata(path);
    found.is_ok_and(|found| found.is_symlink() || found.nlink() > 1)
}

/// Writing is not among them: a file that grows would flood the queue.
const INTEREST: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Some dozens of events at once.
const BUFFER_BYTES: usize = 16 * 1024;
