//! Why a library cannot be opened, in words that say what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use roles::contract::id::NodeId;
use roles::contract::job::JobFault;
use rusqlite::ErrorCode;

use super::fault::Stop;

/// Why a library could not be opened.
#[derive(Debug)]
pub struct OpenError {
    /// The file that could not be opened.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: OpenFault,
}

/// What is wrong with a library.
#[derive(Debug)]
pub enum OpenFault {
    /// A later version made the library, with a schema that this version does not know.
    Newer {
        /// Its schema.
        theirs: i64,
        /// The latest that this version knows.
        latest: i64,
    },
    /// The library belongs to another node.
    Foreign {
        /// The owner of the library.
        theirs: NodeId,
        /// The node that tried to open it.
        ours: NodeId,
    },
    /// It is no library: another file, or the database of another program.
    NotALibrary,
    /// The library is damaged; the text says how.
    Corrupt(String),
    /// An earlier version made the library, and no migration has run.
    Older {
        /// Its schema.
        theirs: i64,
    },
    /// There is no file, or an empty one.
    Absent,
    /// The disk is full.
    DiskFull,
    /// The system or the database refused.
    Broken(String),
}

impl OpenError {
    pub(super) fn at(path: &Path, why: OpenFault) -> Self {
        OpenError {
            path: path.to_owned(),
            why,
        }
    }
}

impl From<rusqlite::Error> for OpenFault {
    fn from(reason: rusqlite::Error) -> Self {
        match reason.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => OpenFault::NotALibrary,
            Some(ErrorCode::DatabaseCorrupt) => OpenFault::Corrupt(reason.to_string()),
            Some(ErrorCode::DiskFull) => OpenFault::DiskFull,
            _ => OpenFault::Broken(reason.to_string()),
        }
    }
}

impl OpenFault {
    /// The fault of a job whose worker could not open the library again.
    pub(super) fn into_fault(self, attempt: &str) -> JobFault {
        let why = format!("{attempt}: {self}");
        match self {
            OpenFault::DiskFull => JobFault::DiskFull,
            OpenFault::Corrupt(_) | OpenFault::NotALibrary => JobFault::Corrupt(why),
            OpenFault::Newer { .. }
            | OpenFault::Foreign { .. }
            | OpenFault::Older { .. }
            | OpenFault::Absent
            | OpenFault::Broken(_) => JobFault::Broken(why),
        }
    }
}

impl From<OpenFault> for Stop {
    fn from(why: OpenFault) -> Self {
        Stop::Fault(why.into_fault("open the library"))
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "open library {}: {}", self.path.display(), self.why)
    }
}

impl fmt::Display for OpenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenFault::Newer { theirs, latest } => write!(
                f,
                "it has schema {theirs}, this version knows up to {latest}: use a newer version"
            ),
            OpenFault::Foreign { theirs, ours } => write!(
                f,
                "it belongs to node {theirs}, not to {ours}: restore that node's node.json, \
                 or move the file away"
            ),
            OpenFault::NotALibrary => f.write_str("it is not a library of dispotify: move it away"),
            OpenFault::Corrupt(reason) => write!(
                f,
                "it is damaged ({reason}): move it and the segments beside it (segment.*) away, \
                 and the node fetches its songs again"
            ),
            OpenFault::Older { theirs } => write!(
                f,
                "it has schema {theirs}: a node of this version must be started on it once"
            ),
            OpenFault::Absent => f.write_str("there is nothing in it"),
            OpenFault::DiskFull => f.write_str("disk full"),
            OpenFault::Broken(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for OpenError {}
