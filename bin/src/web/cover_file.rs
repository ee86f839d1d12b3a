//! Covers on disk: the pieces of a song are spooled to a file, the cover in them becomes a file of its
//! own, and all who read it share that.
//!
//! A cover, and the tag in which it lies, may take 32 MiB each. So the large ones are looked for by a
//! short-lived process of this program, which gives its memory back; the page's own process holds a
//! fragment of a song, or a block of a cover, at a time.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use roles::contract::id::OperationId;
use roles::contract::song::Format;
use storage::{disk_space, private, tags};

use super::covers::Wanted;
use super::spool_dir::SpoolDir;
use crate::args::FIND_COVER;

/// A cover on disk; removed when nobody uses it.
#[derive(Debug)]
pub(super) struct CoverFile {
    path: PathBuf,
    pub(super) bytes: u64,
    pub(super) media_type: &'static str,
}

impl CoverFile {
    pub(super) fn at(path: PathBuf, bytes: u64, media_type: &'static str) -> Self {
        CoverFile {
            path,
            bytes,
            media_type,
        }
    }

    /// Reads a block. The file is opened for each one, so that many covers take few descriptors.
    pub(super) fn read(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut block = vec![0; length];
        File::open(&self.path)?.read_exact_at(&mut block, at)?;
        Ok(block)
    }
}

impl Drop for CoverFile {
    fn drop(&mut self) {
        // What cannot be removed goes with this process's folder.
        let _ = fs::remove_file(&self.path);
    }
}

/// A task for the thread that finds covers. The operation that reads the song names the cover.
#[derive(Debug)]
pub(super) enum CoverTask {
    /// Keep these bytes of the song, which begin at the offset `at`.
    Piece {
        operation: OperationId,
        at: u64,
        bytes: Vec<u8>,
    },
    /// Every piece is there: find the cover in them, or read the tags.
    Find {
        operation: OperationId,
        format: Format,
        wanted: Wanted,
    },
    /// The cover is not wanted any more.
    Forget { operation: OperationId },
}

/// The result of a task.
#[derive(Debug)]
pub(super) enum CoverDone {
    /// The piece is on disk.
    Kept { operation: OperationId },
    /// The cover; `None` when the pieces hold none.
    Found {
        operation: OperationId,
        cover: Option<CoverFile>,
    },
    /// What the tags in the pieces say.
    Tags {
        operation: OperationId,
        details: Box<tags::Details>,
    },
    /// The disk does not take the pieces, or the search failed.
    Failed {
        operation: OperationId,
        error: io::Error,
    },
}

/// Finds covers until no task can come any more.
pub(super) fn work(base: PathBuf, tasks: &Receiver<CoverTask>, tell: impl Fn(CoverDone)) {
    let mut finder = Finder {
        dir: SpoolDir::new(base, PREFIX),
        spools: BTreeMap::new(),
    };
    for task in tasks {
        finder.perform(task, &tell);
    }
}

struct Finder {
    dir: SpoolDir,
    spools: BTreeMap<OperationId, Spool>,
}

/// The pieces of one song: a file with holes where nothing is needed.
struct Spool {
    path: PathBuf,
    file: File,
    /// Bytes of all pieces.
    bytes: u64,
}

impl Finder {
    fn perform(&mut self, task: CoverTask, tell: &impl Fn(CoverDone)) {
        match task {
            CoverTask::Piece {
                operation,
                at,
                bytes,
            } => match self.keep(operation, at, &bytes) {
                Ok(()) => tell(CoverDone::Kept { operation }),
                Err(error) => {
                    self.forget(operation);
                    let error = self.dir.in_words(error);
                    tell(CoverDone::Failed { operation, error });
                }
            },
            CoverTask::Find {
                operation,
                format,
                wanted,
            } => {
                let found = match wanted {
                    Wanted::Cover => self
                        .find(operation, format)
                        .map(|cover| CoverDone::Found { operation, cover }),
                    Wanted::Tags => self
                        .read_tags(operation, format)
                        .map(|details| CoverDone::Tags { operation, details }),
                };
                self.forget(operation);
                tell(found.unwrap_or_else(|error| CoverDone::Failed { operation, error }));
            }
            CoverTask::Forget { operation } => self.forget(operation),
        }
    }

    fn keep(&mut self, operation: OperationId, at: u64, bytes: &[u8]) -> io::Result<()> {
        let own = self.dir.path()?;
        // Twice: the pieces, and the cover in them.
        if disk_space::spare(&own) < 2 * bytes.len() as u64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if !self.spools.contains_key(&operation) {
            while self.spools.len() >= SPOOLS_MAX
                && let Some((_, oldest)) = self.spools.pop_first()
            {
                let _ = fs::remove_file(&oldest.path);
            }
            let path = own.join(format!("song-{}", operation.0));
            let file = private::create_new(&path)?;
            let bytes = 0;
            self.spools.insert(operation, Spool { path, file, bytes });
        }
        let spool = self.spools.get_mut(&operation);
        let spool = spool.ok_or(io::ErrorKind::NotFound)?;
        spool.bytes += bytes.len() as u64;
        spool.file.write_all_at(bytes, at)
    }

    fn find(&mut self, operation: OperationId, format: Format) -> io::Result<Option<CoverFile>> {
        let Some(spool) = self.spools.get(&operation) else {
            return Ok(None);
        };
        let path = self.dir.path()?.join(format!("cover-{}", operation.0));
        let file = private::create_new(&path)?;
        // Removes the file wherever this ends early.
        let mut cover = CoverFile::at(path, 0, "");
        match spool.bytes <= HERE_BYTES_MAX {
            true => write_cover(&spool.path, format, file)?,
            false => find_elsewhere(&spool.path, format, file)?,
        }
        cover.bytes = fs::metadata(&cover.path)?.len();
        let mut first = Vec::new();
        File::open(&cover.path)?
            .take(TYPE_BYTES)
            .read_to_end(&mut first)?;
        let media_type = tags::image_type(&first);
        Ok(media_type.map(|media_type| {
            cover.media_type = media_type;
            cover
        }))
    }

    fn read_tags(&self, operation: OperationId, format: Format) -> io::Result<Box<tags::Details>> {
        let Some(spool) = self.spools.get(&operation) else {
            return Ok(Box::default());
        };
        let mut song = File::open(&spool.path)?;
        Ok(Box::new(tags::details(&mut song, format)))
    }

    fn forget(&mut self, operation: OperationId) {
        if let Some(spool) = self.spools.remove(&operation) {
            let _ = fs::remove_file(&spool.path);
        }
    }
}

/// Writes the cover in a song to `into`; nothing if there is none.
pub(crate) fn write_cover(song: &Path, format: Format, mut into: impl Write) -> io::Result<()> {
    let picture = tags::picture(&mut File::open(song)?, format);
    picture.map_or(Ok(()), |picture| into.write_all(&picture.bytes))
}

/// The same by a process of its own.
fn find_elsewhere(song: &Path, format: Format, into: File) -> io::Result<()> {
    // This program, even if its file has been replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.args([FIND_COVER, format.name()]).arg(song);
    command.env_clear().stdin(Stdio::null()).stdout(into);
    let mut child = command.stderr(Stdio::null()).spawn()?;
    match ended(&mut child, PATIENCE)? {
        true => Ok(()),
        false => Err(io::Error::other("its tag cannot be read")),
    }
}

/// Waits for the end of a process, and makes it end when its time is over. Whether it succeeded.
fn ended(child: &mut Child, patience: Duration) -> io::Result<bool> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if begun.elapsed() > patience {
            child.kill()?;
        }
        thread::sleep(pause);
        pause = (2 * pause).min(Duration::from_millis(20));
    }
}

/// How long a process may look for a cover. The largest takes a fifth of a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pieces of at most so many bytes are searched in this process: a process of its own costs a few
/// milliseconds.
const HERE_BYTES_MAX: u64 = 1 << 20;

/// Songs whose pieces may lie on disk, forgotten ones included.
const SPOOLS_MAX: usize = 64;

/// The first bytes of a picture, by which its type is known.
const TYPE_BYTES: u64 = 16;

/// Prefix of a process's folder for covers.
const PREFIX: &str = "covers-";
