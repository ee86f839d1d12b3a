//! Turns a failure of the database into the fault that answers a job, and tells of it.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use roles::contract::job::{JobFault, JobReply};
use rusqlite::ErrorCode;

use crate::disk_space::is_no_room;

/// Why the work on a job ended early.
pub(super) enum Stop {
    /// The database failed.
    Sql(rusqlite::Error),
    /// A segment could not be written.
    Disk(io::Error),
    /// The job cannot be done, though the database works.
    Fault(JobFault),
}

impl Stop {
    /// What is answered; `attempt` says what was to be done, for a failure that needs a person.
    pub(super) fn into_fault(self, attempt: &str) -> JobFault {
        match self {
            Stop::Fault(fault) => fault,
            Stop::Sql(reason) if is_disk_full(&reason) => JobFault::DiskFull,
            Stop::Sql(reason) if is_corrupt(&reason) => {
                JobFault::Corrupt(format!("{attempt}: {reason}"))
            }
            Stop::Disk(reason) if is_no_room(&reason) => JobFault::DiskFull,
            Stop::Disk(reason) => JobFault::Broken(format!("{attempt}: in a segment: {reason}")),
            Stop::Sql(reason) => JobFault::Broken(format!("{attempt}: {reason}")),
        }
    }

    /// Whether the tables are damaged, or say what no version writes.
    pub(super) fn is_corrupt(&self) -> bool {
        match self {
            Stop::Sql(reason) => is_corrupt(reason),
            // A segment that cannot be read or written says nothing of the tables.
            Stop::Disk(_) => false,
            Stop::Fault(fault) => matches!(fault, JobFault::Corrupt(_)),
        }
    }

    /// Whether a failed read means that the bytes are damaged, as far as the tables can be trusted.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Stop::Fault(JobFault::Damaged)) || self.is_corrupt()
    }

    /// Whether a failed read means that the bytes are lost, not just that the read could not be made.
    pub(super) fn is_bad(&self) -> bool {
        match self {
            Stop::Fault(fault) => matches!(fault, JobFault::Damaged | JobFault::Broken(_)),
            Stop::Disk(_) => false,
            Stop::Sql(reason) => {
                let code = reason.sqlite_error_code();
                is_corrupt(reason) || code == Some(ErrorCode::SystemIoFailure)
            }
        }
    }
}

/// Whether the tables are damaged: SQLite finds a page that cannot be, a row has a value that no
/// version writes, or rows contradict each other. Every statement of the library is right for tables
/// that are right, so a statement that SQLite refuses shows damage, too.
pub(super) fn is_corrupt(reason: &rusqlite::Error) -> bool {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, QueryReturnedNoRows,
        SqlInputError, SqliteFailure,
    };
    if let SqliteFailure(error, _) = reason {
        let codes = [
            ErrorCode::DatabaseCorrupt,
            ErrorCode::NotADatabase,
            ErrorCode::ConstraintViolation,
            ErrorCode::TypeMismatch,
        ];
        return codes.contains(&error.code) || error.extended_code == rusqlite::ffi::SQLITE_ERROR;
    }
    matches!(
        reason,
        FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | QueryReturnedNoRows
            | SqlInputError { .. }
    )
}

/// Tells of a library that fails: at once the first time, then once a minute with how often it came
/// back, so that a log neither fills the disk nor hides the fault.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    since: u64,
}

impl Complaints {
    /// Takes the reply of a job.
    pub(super) fn note(&self, reply: &JobReply) {
        if let JobReply::Failed(JobFault::Broken(why) | JobFault::Corrupt(why)) = reply
            && let Some(times) = self.is_due(Instant::now())
        {
            log::error!("library broken times={times} reason={why:?}");
        }
    }

    /// How often it has failed since it was told, when it is to be told.
    fn is_due(&self, now: Instant) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.since += 1;
        if told.at.is_some_and(|at| now < at + TELL_EVERY) {
            return None;
        }
        told.at = Some(now);
        Some(std::mem::take(&mut told.since))
    }
}

/// Between two lines about a library that fails.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// A full disk appears as two errors: one where SQLite writes, the other where SQLite enlarges the
/// shared index of its log.
fn is_disk_full(reason: &rusqlite::Error) -> bool {
    reason.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::DiskFull
            || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
    })
}

/// Whether SQLite could not write, make or open a file and does not say why.
pub(super) fn is_unexplained(reason: &rusqlite::Error) -> bool {
    let codes = [
        ErrorCode::SystemIoFailure,
        ErrorCode::CannotOpen,
        ErrorCode::ReadOnly,
    ];
    reason
        .sqlite_error_code()
        .is_some_and(|code| codes.contains(&code))
}

impl From<rusqlite::Error> for Stop {
    fn from(reason: rusqlite::Error) -> Self {
        Stop::Sql(reason)
    }
}

impl From<io::Error> for Stop {
    fn from(reason: io::Error) -> Self {
        Stop::Disk(reason)
    }
}

impl From<JobFault> for Stop {
    fn from(fault: JobFault) -> Self {
        Stop::Fault(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten failures a second for a minute: one line, and a second one with the count.
    #[test]
    fn a_failure_is_told_once_then_counted() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(complaints.is_due(at(0)), Some(1));
        assert!((1..600).all(|n| complaints.is_due(at(100 * n)).is_none()));
        assert_eq!(complaints.is_due(at(60_000)), Some(600));
    }
}
