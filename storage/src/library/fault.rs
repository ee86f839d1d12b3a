//! Turns a failure of the database into the fault that answers a job.

use roles::contract::job::JobFault;
use rusqlite::ErrorCode;

/// Why the work on a job ended early.
pub(super) enum Stop {
    /// The database failed.
    Sql(rusqlite::Error),
    /// The job cannot be done, though the database works.
    Fault(JobFault),
}

impl Stop {
    /// What is answered; `attempt` says what was to be done, for a failure that needs a person.
    pub(super) fn into_fault(self, attempt: &str) -> JobFault {
        match self {
            Stop::Fault(fault) => fault,
            Stop::Sql(reason) if is_disk_full(&reason) => JobFault::DiskFull,
            Stop::Sql(reason) => {
                log::error!("library broken attempt={attempt:?} reason={reason:?}");
                JobFault::Broken(format!("{attempt}: {reason}"))
            }
        }
    }
}

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

impl From<JobFault> for Stop {
    fn from(fault: JobFault) -> Self {
        Stop::Fault(fault)
    }
}
