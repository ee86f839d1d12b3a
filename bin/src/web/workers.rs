//! Blocking work of the web player: spools uploads to disk, reads covers and the cache.
//!
//! One thread writes and one thread looks things up, so that a slow disk delays no cover. The
//! queues are bounded by what the site may have under way; a full queue is reported to the site.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use net::WakeHandle;
use net::http::site::Exchange;
use roles::contract::id::SongId;
use roles::contract::song::Format;
use storage::cache::Cache;
use storage::disk_space;
use storage::private;
use storage::tags::{self, Picture};

use super::covers::COVERS_AT_ONCE;
use super::uploads::ERRANDS_MAX;
use crate::failure::Failure;
use crate::sparse::Sparse;
use crate::stale_dirs;

/// A command for the thread that spools uploads.
#[derive(Debug)]
pub(super) enum Spool {
    /// Create a file of this name, which will have so many bytes; 0 if that is not known.
    Begin {
        upload: u64,
        name: String,
        bytes: u64,
    },
    /// Append the next bytes.
    Write { upload: u64, bytes: Vec<u8> },
    /// The file is complete.
    Finish { upload: u64 },
    /// Remove the file.
    Remove { upload: u64 },
}

/// A task for the thread that looks things up.
#[derive(Debug)]
pub(super) enum Look {
    /// Find the cover in these pieces of a file.
    Cover(Pieces),
    /// Find which fragments of a song the cache has.
    Kept { exchange: Exchange, song: SongId },
}

/// The pieces of a file in which a cover may lie.
#[derive(Debug)]
pub(super) struct Pieces {
    pub(super) exchange: Exchange,
    pub(super) format: Format,
    pub(super) length: u64,
    /// Each piece: its offset in the file, and its bytes.
    pub(super) parts: Vec<(u64, Vec<u8>)>,
}

/// The result of a command or a task.
#[derive(Debug)]
pub(super) enum Done {
    /// These bytes have been written or discarded, so their share of the queue is free again.
    Wrote { upload: u64, bytes: usize },
    /// The file is complete on disk at this path.
    Spooled { upload: u64, path: PathBuf },
    /// The file cannot be written.
    Failed { upload: u64, error: io::Error },
    /// The cover, or `None` when the pieces hold none.
    Cover {
        exchange: Exchange,
        picture: Option<Picture>,
    },
    /// The ranges of fragment indices that the cache has.
    Kept {
        exchange: Exchange,
        runs: Vec<Range<u32>>,
    },
}

/// The two threads, their queues, and the queue of results.
pub(super) struct Workers {
    spool: Option<Sender<Spool>>,
    looks: Option<Sender<Look>>,
    pub(super) done: Receiver<Done>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts both threads. Uploads are spooled below `base`, in a folder removed with this
    /// process.
    pub(super) fn start(
        base: PathBuf,
        cache: Option<Cache>,
        wake_handle: &WakeHandle,
    ) -> Result<Self, Failure> {
        let (finished, done) = bounded(ERRANDS_MAX + LOOKS_MAX);
        let (spool, spools) = bounded(ERRANDS_MAX);
        let (looks, looked) = bounded(LOOKS_MAX);
        let tell = |wake_handle: WakeHandle, finished: Sender<Done>| {
            move |done| {
                // When the site is gone, no result is wanted.
                let _ = finished.send(done);
                wake_handle.ring();
            }
        };
        let tell_spool = tell(wake_handle.clone(), finished.clone());
        let tell_look = tell(wake_handle.clone(), finished);
        let mut workers = Workers {
            spool: Some(spool),
            looks: Some(looks),
            done,
            threads: Vec::new(),
        };
        workers.thread("spool", move || Spooler::new(base).run(&spools, tell_spool))?;
        workers.thread("looks", move || look(&looked, cache.as_ref(), tell_look))?;
        Ok(workers)
    }

    fn thread(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
        let thread = thread::Builder::new()
            .name(name.into())
            .stack_size(512 * 1024)
            .spawn(work)
            .map_err(|error| Failure::failed("start the web player", error))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Queues a command for the spooler; false when the queue is full.
    pub(super) fn spool(&self, spool: Spool) -> bool {
        self.spool
            .as_ref()
            .is_some_and(|s| s.try_send(spool).is_ok())
    }

    /// Queues a task to look something up; false when the queue is full.
    pub(super) fn look(&self, look: Look) -> bool {
        self.looks
            .as_ref()
            .is_some_and(|s| s.try_send(look).is_ok())
    }
}

impl Drop for Workers {
    /// Waits until both threads have ended and the spooled files are removed.
    fn drop(&mut self) {
        (self.spool, self.looks) = (None, None);
        // A thread may be blocked on the full result queue: dropping the receiver makes its send
        // fail.
        self.done = bounded(0).1;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a thread of the web player has panicked");
            }
        }
    }
}

/// Files that are being uploaded.
struct Spooler {
    base: PathBuf,
    /// The spool folder of this process, once it is created.
    own: Option<PathBuf>,
    files: BTreeMap<u64, Spooled>,
}

/// A file that is being uploaded.
struct Spooled {
    path: PathBuf,
    file: File,
    /// Bytes that are still to come, as far as that is known.
    left: u64,
}

impl Spooled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.left = self.left.saturating_sub(bytes.len() as u64);
        self.file.write_all(bytes)
    }
}

impl Spooler {
    fn new(base: PathBuf) -> Self {
        Spooler {
            base,
            own: None,
            files: BTreeMap::new(),
        }
    }

    fn run(mut self, spools: &Receiver<Spool>, tell: impl Fn(Done)) {
        for spool in spools {
            match spool {
                Spool::Begin {
                    upload,
                    name,
                    bytes,
                } => {
                    if let Err(error) = self.begin(upload, &name, bytes) {
                        let error = self.in_words(error);
                        tell(Done::Failed { upload, error });
                    }
                }
                Spool::Write { upload, bytes } => {
                    let written = match self.files.get_mut(&upload) {
                        Some(spooled) => spooled.write(&bytes),
                        None => Ok(()), // The failure is reported already.
                    };
                    if let Err(error) = written {
                        self.remove(upload);
                        let error = self.in_words(error);
                        tell(Done::Failed { upload, error });
                    }
                    let bytes = bytes.len();
                    tell(Done::Wrote { upload, bytes });
                }
                Spool::Finish { upload } => {
                    if let Some(spooled) = self.files.get(&upload) {
                        let path = spooled.path.clone();
                        tell(Done::Spooled { upload, path });
                    }
                }
                Spool::Remove { upload } => self.remove(upload),
            }
        }
    }

    /// What does not fit beside the files that are on their way is refused before it comes.
    fn begin(&mut self, upload: u64, name: &str, bytes: u64) -> io::Result<()> {
        let own = self.own_dir()?;
        let promised: u64 = self.files.values().map(|spooled| spooled.left).sum();
        if promised.saturating_add(bytes) > disk_space::available(&own) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let dir = own.join(upload.to_string());
        private::create_dir(&dir)?;
        let path = dir.join(name);
        let file = private::create_new(&path)?;
        let left = bytes;
        self.files.insert(upload, Spooled { path, file, left });
        Ok(())
    }

    fn in_words(&self, error: io::Error) -> io::Error {
        let words = disk_space::in_words(&self.base, &error);
        io::Error::new(error.kind(), words)
    }

    fn own_dir(&mut self) -> io::Result<PathBuf> {
        if let Some(own) = &self.own {
            return Ok(own.clone());
        }
        private::make_dir(&self.base)?;
        stale_dirs::remove(&self.base, PREFIX);
        let own = self.base.join(format!("{PREFIX}{}", std::process::id()));
        // A leftover folder with this process id belongs to an earlier, dead process.
        let _ = fs::remove_dir_all(&own);
        private::create_dir(&own)?;
        self.own = Some(own.clone());
        Ok(own)
    }

    fn remove(&mut self, upload: u64) {
        if let Some(Spooled { path, file, .. }) = self.files.remove(&upload) {
            drop(file);
            // A file that cannot be removed is removed with this process's folder.
            let _ = fs::remove_file(&path);
            let _ = path.parent().map(fs::remove_dir);
        }
    }
}

impl Drop for Spooler {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            let _ = fs::remove_dir_all(own);
        }
    }
}

/// Prefix of a process's spool folder.
const PREFIX: &str = "upload-";

/// Tasks that may be queued: the covers being read, and pages that open a song.
const LOOKS_MAX: usize = COVERS_AT_ONCE + 32;

fn look(looks: &Receiver<Look>, cache: Option<&Cache>, tell: impl Fn(Done)) {
    for look in looks {
        tell(match look {
            Look::Cover(pieces) => {
                let (exchange, format) = (pieces.exchange, pieces.format);
                let mut file = Sparse::new(pieces.length, pieces.parts);
                let picture = tags::picture(&mut file, format);
                Done::Cover { exchange, picture }
            }
            Look::Kept { exchange, song } => {
                let runs = cache.map(|cache| cache.kept(song)).unwrap_or_default();
                Done::Kept { exchange, runs }
            }
        });
    }
}
