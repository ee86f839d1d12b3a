//! Blocking work of the web player: spools uploads to disk, finds and reads covers, reads the cache.
//!
//! One thread writes uploads, one finds covers, and one looks things up, so that none of them delays
//! another. The queues are bounded by what the site may have under way; a full queue is reported to the site.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use net::WakeHandle;
use net::http::site::Exchange;
use roles::contract::id::SongId;
use storage::cache::Cache;
use storage::{disk_space, private};

use super::buffer_budget::ON_WAY_MAX;
use super::cover_file::{self, CoverDone, CoverFile, CoverTask};
use super::spool_dir::SpoolDir;
use super::uploads::ERRANDS_MAX;
use crate::failure::Failure;

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
    /// Read a block of a cover for a stream.
    Block {
        exchange: Exchange,
        cover: Arc<CoverFile>,
        index: u32,
        at: u64,
        length: usize,
    },
    /// Find which fragments of a song the cache has.
    Kept { exchange: Exchange, song: SongId },
}

/// The result of a command or a task.
#[derive(Debug)]
pub(super) enum Done {
    /// These bytes have been written or discarded, so their share of the queue is free again.
    Wrote {
        upload: u64,
        bytes: usize,
    },
    /// The file is complete on disk at this path.
    Spooled {
        upload: u64,
        path: PathBuf,
    },
    /// The file cannot be written.
    Failed {
        upload: u64,
        error: io::Error,
    },
    Cover(CoverDone),
    /// A block of a cover.
    Block {
        exchange: Exchange,
        index: u32,
        bytes: io::Result<Vec<u8>>,
    },
    /// The ranges of fragment indices that the cache has.
    Kept {
        exchange: Exchange,
        runs: Vec<Range<u32>>,
    },
}

/// The threads, their queues, and the queue of results.
pub(super) struct Workers {
    spool: Option<Sender<Spool>>,
    looks: Option<Sender<Look>>,
    covers: Option<Sender<CoverTask>>,
    pub(super) done: Receiver<Done>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts the threads. Uploads and covers are spooled below `base`, in folders removed with this
    /// process.
    pub(super) fn start(
        base: PathBuf,
        cache: Option<Cache>,
        wake_handle: &WakeHandle,
    ) -> Result<Self, Failure> {
        let (finished, done) = bounded(ERRANDS_MAX + LOOKS_MAX + COVER_TASKS_MAX);
        let (spool, spools) = bounded(ERRANDS_MAX);
        let (looks, looked) = bounded(LOOKS_MAX);
        let (covers, tasks) = bounded(COVER_TASKS_MAX);
        let tell = |wake_handle: WakeHandle, finished: Sender<Done>| {
            move |done| {
                // When the site is gone, no result is wanted.
                let _ = finished.send(done);
                wake_handle.ring();
            }
        };
        let tell_spool = tell(wake_handle.clone(), finished.clone());
        let tell_cover = tell(wake_handle.clone(), finished.clone());
        let tell_look = tell(wake_handle.clone(), finished);
        let cover_base = base.clone();
        let mut workers = Workers {
            spool: Some(spool),
            looks: Some(looks),
            covers: Some(covers),
            done,
            threads: Vec::new(),
        };
        workers.thread("spool", move || Spooler::new(base).run(&spools, tell_spool))?;
        let find =
            move || cover_file::work(cover_base, &tasks, |done| tell_cover(Done::Cover(done)));
        workers.thread("covers", find)?;
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

    /// Queues a task to look something up; false when the queue is full. What a page wants to know
    /// leaves room for what a reader waits for.
    pub(super) fn look(&self, look: Look) -> bool {
        let most = match look {
            Look::Kept { .. } => PAGES_MAX,
            Look::Block { .. } => LOOKS_MAX,
        };
        let looks = self.looks.as_ref().filter(|looks| looks.len() < most);
        looks.is_some_and(|looks| looks.try_send(look).is_ok())
    }

    /// Queues a task for the thread that finds covers; false when the queue is full.
    pub(super) fn cover(&self, task: CoverTask) -> bool {
        self.covers
            .as_ref()
            .is_some_and(|s| s.try_send(task).is_ok())
    }
}

impl Drop for Workers {
    /// Waits until the threads have ended and the spooled files are removed.
    fn drop(&mut self) {
        (self.spool, self.looks, self.covers) = (None, None, None);
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
    dir: SpoolDir,
    files: BTreeMap<u64, Spooled>,
}

/// A file that is being uploaded.
struct Spooled {
    path: PathBuf,
    file: File,
    /// Bytes that are still to come, as far as that is known.
    left: u64,
    /// Bytes written since it was last looked how much room there is.
    unlooked: u64,
}

impl Spooled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.left = self.left.saturating_sub(bytes.len() as u64);
        self.unlooked += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

impl Spooler {
    fn new(base: PathBuf) -> Self {
        Spooler {
            dir: SpoolDir::new(base, PREFIX),
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
                        let error = self.dir.in_words(error);
                        tell(Done::Failed { upload, error });
                    }
                }
                Spool::Write { upload, bytes } => {
                    let written = self.write(upload, &bytes);
                    if let Err(error) = written {
                        self.remove(upload);
                        let error = self.dir.in_words(error);
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
        let own = self.dir.path()?;
        let needed = self.promised().saturating_add(bytes);
        if needed.saturating_add(LEFT_BYTES) > disk_space::available(&own) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let dir = own.join(upload.to_string());
        private::create_dir(&dir)?;
        let path = dir.join(name);
        let file = private::create_new(&path)?;
        let spooled = Spooled {
            path,
            file,
            left: bytes,
            unlooked: 0,
        };
        self.files.insert(upload, spooled);
        Ok(())
    }

    /// A file of unknown length may fill the disk: it ends when what others were promised, or the
    /// least that a disk needs, would be lacking.
    fn write(&mut self, upload: u64, bytes: &[u8]) -> io::Result<()> {
        let promised = self.promised();
        let Some(spooled) = self.files.get_mut(&upload) else {
            return Ok(()); // The failure is reported already.
        };
        spooled.write(bytes)?;
        if spooled.left > 0 || spooled.unlooked < LOOK_BYTES {
            return Ok(());
        }
        spooled.unlooked = 0;
        if disk_space::available(&self.dir.path()?) < promised + LEFT_BYTES {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// Bytes that the files on their way will still take.
    fn promised(&self) -> u64 {
        self.files.values().map(|spooled| spooled.left).sum()
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

/// Bytes of the disk that uploads leave.
const LEFT_BYTES: u64 = 8 << 20;

/// Bytes of a file of unknown length between two looks at the room that is left.
const LOOK_BYTES: u64 = 1 << 20;

/// Prefix of a process's spool folder.
const PREFIX: &str = "upload-";

/// Pages that open a song, and wait for what the cache has of it.
const PAGES_MAX: usize = 32;

/// Tasks that may be queued: pages, and twice the blocks of covers that are read at once, because
/// readers that left may still have theirs in the queue.
const LOOKS_MAX: usize = PAGES_MAX + 2 * ON_WAY_MAX as usize;

/// Tasks of covers that may be queued: one for each cover being read, and those given up.
const COVER_TASKS_MAX: usize = 64;

fn look(looks: &Receiver<Look>, cache: Option<&Cache>, tell: impl Fn(Done)) {
    for look in looks {
        tell(match look {
            Look::Block {
                exchange,
                cover,
                index,
                at,
                length,
            } => Done::Block {
                exchange,
                index,
                bytes: cover.read(at, length),
            },
            Look::Kept { exchange, song } => {
                let runs = cache.map(|cache| cache.kept(song)).unwrap_or_default();
                Done::Kept { exchange, runs }
            }
        });
    }
}
