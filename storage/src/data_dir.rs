//! A node's data directory.
//!
//! Owns the lock that keeps two nodes off one directory, and `node.json` with the node's id, its
//! incarnation and its kind. Other modules own the other files of the directory.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;

use roles::contract::id::{Incarnation, NodeId};
use serde::{Deserialize, Serialize};

use crate::disk_space::{DiskSpace, is_no_room};
use crate::private;

/// A data directory, held for as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    dir: PathBuf,
    node: NodeId,
    incarnation: Incarnation,
    /// Closing the file releases the lock. The system closes it when the process is killed.
    _lock: File,
}

impl DataDir {
    /// Locks the directory for a node of this kind and counts the start. At the first start, makes
    /// the directory and gives the node the id `fresh`. The directory and the files in it are closed
    /// to other users, whatever they were before.
    pub fn open(dir: &Path, kind: &str, fresh: NodeId) -> Result<DataDir, DataDirError> {
        DataDir::take(dir, kind, fresh).map_err(|why| DataDirError::at(dir, why))
    }

    fn take(dir: &Path, kind: &str, fresh: NodeId) -> Result<DataDir, DataDirFault> {
        private::make_dir(dir).map_err(DataDirFault::io("create it"))?;
        let lock = lock(dir)?;
        let path = dir.join(IDENTITY);
        let identity = match Identity::read(&path)? {
            Some(known) => known.started_as(kind)?,
            None => Identity::first(kind, fresh),
        };
        // The directory of another kind of node was refused above and keeps its mode.
        private::claim_dir(dir).map_err(DataDirFault::io("close it to others"))?;
        private::claim_files(dir);
        identity
            .record(dir)
            .map_err(DataDirFault::io("write node.json"))?;
        Ok(DataDir {
            dir: dir.to_owned(),
            node: identity.node()?,
            incarnation: Incarnation(identity.incarnation),
            _lock: lock,
        })
    }

    /// The path of the directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The node's id, the same at every start.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The number of this start: 1 at the first, larger at each later start.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }
}

fn lock(dir: &Path) -> Result<File, DataDirFault> {
    let mut options = OpenOptions::new();
    let opening = options.create(true).truncate(false).write(true);
    let file = private::open(&dir.join(LOCK), opening);
    let file = file.map_err(DataDirFault::io("open its lock"))?;
    let mut file = locked(file, dir)?;
    // The process id lets a refused process say which process holds the lock. A failed write is
    // ignored, because the lock works without the id.
    let _ = file.set_len(0);
    let _ = write!(file, "{}", process::id());
    Ok(file)
}

fn locked(file: File, dir: &Path) -> Result<File, DataDirFault> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DataDirFault::InUse { by: holder(dir) }),
        Err(TryLockError::Error(reason)) => Err(DataDirFault::io("lock it")(reason)),
    }
}

/// A data directory locked for a look at it. No node can start in the directory meanwhile, and
/// nothing in it changes.
#[derive(Debug)]
pub struct Visit {
    /// The id of the node that owns the directory.
    pub node: NodeId,
    /// The kind that the node was started as.
    pub kind: String,
    _lock: File,
}

impl Visit {
    /// Locks and reads the directory of a node that is not running.
    pub fn begin(dir: &Path) -> Result<Visit, DataDirError> {
        Visit::look(dir).map_err(|why| DataDirError::at(dir, why))
    }

    fn look(dir: &Path) -> Result<Visit, DataDirFault> {
        let file = File::open(dir.join(LOCK)).map_err(|reason| {
            let absent = [ErrorKind::NotFound, ErrorKind::NotADirectory];
            if absent.contains(&reason.kind()) {
                return DataDirFault::Absent;
            }
            DataDirFault::io("open its lock")(reason)
        })?;
        let lock = locked(file, dir)?;
        let identity = Identity::read(&dir.join(IDENTITY))?.ok_or(DataDirFault::Absent)?;
        Ok(Visit {
            node: identity.node()?,
            kind: identity.kind,
            _lock: lock,
        })
    }
}

/// The process that holds a directory, if it is known and alive. The check is needed because a
/// killed process leaves its id in the lock file.
fn holder(dir: &Path) -> Option<u32> {
    let process: u32 = fs::read_to_string(dir.join(LOCK)).ok()?.parse().ok()?;
    let lives = Path::new("/proc").join(process.to_string()).exists();
    lives.then_some(process)
}

/// The content of `node.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    format: u64,
    node: String,
    incarnation: u64,
    kind: String,
}

/// The one field that every format has.
#[derive(Deserialize)]
struct Header {
    format: u64,
}

impl Identity {
    fn first(kind: &str, fresh: NodeId) -> Identity {
        Identity {
            format: FORMAT,
            node: fresh.to_string(),
            incarnation: 1,
            kind: kind.to_owned(),
        }
    }

    fn read(path: &Path) -> Result<Option<Identity>, DataDirFault> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(reason) if reason.kind() == ErrorKind::NotFound => return Ok(None),
            Err(reason) => return Err(DataDirFault::io("read node.json")(reason)),
        };
        // The format is read first, because a later format may have other fields.
        let Header { format } = parsed(&text)?;
        if format > FORMAT {
            return Err(DataDirFault::Newer { theirs: format });
        }
        let identity: Identity = parsed(&text)?;
        identity.node()?;
        Ok(Some(identity))
    }

    fn node(&self) -> Result<NodeId, DataDirFault> {
        NodeId::parse(&self.node)
            .ok_or_else(|| DataDirFault::Corrupt("its node id is not 32 hexadecimal digits".into()))
    }

    fn started_as(mut self, kind: &str) -> Result<Identity, DataDirFault> {
        if self.kind != kind {
            return Err(DataDirFault::OtherKind {
                recorded: self.kind,
                given: kind.to_owned(),
            });
        }
        let next = self.incarnation.checked_add(1);
        self.incarnation =
            next.ok_or_else(|| DataDirFault::Corrupt("its incarnation cannot grow".into()))?;
        Ok(self)
    }

    /// Writes `node.json`, on a disk without a free byte or inode too: then the reserve is given up,
    /// and without one the file is overwritten where it lies.
    fn record(&self, dir: &Path) -> io::Result<()> {
        let written = self.write(dir);
        let Err(error) = written else {
            return Ok(());
        };
        if !is_no_room(&error) {
            return Err(error);
        }
        let written = if DiskSpace::around(dir).give_up_reserve() {
            self.write(dir)
        } else {
            Err(error)
        };
        written.or_else(|error| self.overwrite(dir).map_err(|_| error))
    }

    /// Writes over the `node.json` that is there, which takes no room: it never becomes shorter, and
    /// both fit in one sector, which a disk writes whole or not at all.
    fn overwrite(&self, dir: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(dir.join(IDENTITY))?;
        file.write_all(&self.text()?)?;
        file.sync_all()
    }

    fn text(&self) -> io::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// Replaces `node.json` in one step: whoever reads it, after whatever crash, finds the old
    /// one or this one. The directory is synced too, or a crash could undo the rename and the
    /// node would use an incarnation twice.
    fn write(&self, dir: &Path) -> io::Result<()> {
        let draft = dir.join("node.json.new");
        let drafted = private::create(&draft).and_then(|mut file| {
            file.write_all(&self.text()?)?;
            file.sync_all()
        });
        if let Err(error) = drafted.and_then(|()| fs::rename(&draft, dir.join(IDENTITY))) {
            // A draft that is left would keep an inode. The first failure is the one to report.
            let _ = fs::remove_file(&draft);
            return Err(error);
        }
        File::open(dir)?.sync_all()
    }
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, DataDirFault> {
    serde_json::from_slice(text).map_err(|reason| DataDirFault::Corrupt(reason.to_string()))
}

/// Why a data directory could not be opened.
#[derive(Debug)]
pub struct DataDirError {
    /// The directory.
    pub dir: PathBuf,
    /// What is wrong with it.
    pub why: DataDirFault,
}

/// What is wrong with a data directory.
#[derive(Debug)]
pub enum DataDirFault {
    /// Another process holds it.
    InUse {
        /// The id of that process, if it is known.
        by: Option<u32>,
    },
    /// It is not the data directory of a node.
    Absent,
    /// It belongs to a node of another kind.
    OtherKind {
        /// The kind in `node.json`.
        recorded: String,
        /// The kind that the caller asked for.
        given: String,
    },
    /// A later version wrote it.
    Newer {
        /// Its format.
        theirs: u64,
    },
    /// `node.json` cannot be parsed; the text says where.
    Corrupt(String),
    /// The system refused.
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// The system's error.
        reason: io::Error,
    },
}

impl DataDirError {
    fn at(dir: &Path, why: DataDirFault) -> DataDirError {
        let why = match why {
            DataDirFault::Io { attempt, reason } => {
                let words = DiskSpace::around(dir).words(&reason);
                let reason = match words {
                    Some(words) => io::Error::new(reason.kind(), words),
                    None => reason,
                };
                DataDirFault::Io { attempt, reason }
            }
            DataDirFault::InUse { .. }
            | DataDirFault::Absent
            | DataDirFault::OtherKind { .. }
            | DataDirFault::Newer { .. }
            | DataDirFault::Corrupt(_) => why,
        };
        DataDirError {
            dir: dir.to_owned(),
            why,
        }
    }
}

impl DataDirFault {
    fn io(attempt: &'static str) -> impl FnOnce(io::Error) -> DataDirFault {
        move |reason| DataDirFault::Io { attempt, reason }
    }
}

impl fmt::Display for DataDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "open data directory {}: {}",
            self.dir.display(),
            self.why
        )
    }
}

impl fmt::Display for DataDirFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataDirFault::InUse { by: Some(process) } => {
                write!(f, "it is in use by process {process}")
            }
            DataDirFault::InUse { by: None } => f.write_str("it is in use by another process"),
            DataDirFault::Absent => f.write_str("it is not the data directory of a node"),
            DataDirFault::OtherKind { recorded, given } => write!(
                f,
                "it belongs to a node started as {recorded}, not {given}: start it as {recorded}, \
                 or give another directory"
            ),
            DataDirFault::Newer { theirs } => write!(
                f,
                "its node.json has format {theirs}, this version reads up to {FORMAT}: \
                 use a newer version"
            ),
            DataDirFault::Corrupt(reason) => write!(
                f,
                "its node.json is damaged ({reason}): restore it, or give another directory"
            ),
            DataDirFault::Io { attempt, reason } => write!(f, "{attempt}: {reason}"),
        }
    }
}

impl std::error::Error for DataDirError {}

const IDENTITY: &str = "node.json";

const LOCK: &str = "lock";

/// The format of `node.json` that this version writes.
const FORMAT: u64 = 1;

#[cfg(test)]
mod tests;
