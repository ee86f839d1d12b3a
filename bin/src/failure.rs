//! Errors of a command: one line that says what to do, and an exit code.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use roles::contract::message::Refusal;
use roles::contract::user;

use crate::text;

/// Why the process ends without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The attempt failed, or the requested thing does not exist.
    Failed(String),
    /// The command line is invalid.
    Usage(String),
    /// No node could be reached, or every node refused the key.
    Unreachable(String),
    /// The reader of standard output has closed it. This is not reported as an error.
    OutputClosed,
}

impl Failure {
    /// A failure with the attempt and its reason.
    pub(crate) fn failed(attempt: impl Display, reason: impl Display) -> Self {
        Failure::Failed(format!("{attempt}: {reason}"))
    }

    /// The failure of an operation of the client.
    pub(crate) fn of(attempt: impl Display, failure: &user::Failure) -> Self {
        let line = format!("{attempt}: {failure}");
        match failure {
            user::Failure::Unreachable { .. } => {
                Failure::Unreachable(format!("{line} (is a node running? see --dns)"))
            }
            user::Failure::KeyRefused => Failure::Unreachable(line),
            user::Failure::NotFound => Failure::Failed(format!("{line} (see `dispotify ls`)")),
            user::Failure::Ambiguous(_) => Failure::Failed(format!("{line} (give more digits)")),
            user::Failure::NotInTrash => Failure::Failed(format!("{line} (see `dispotify trash`)")),
            user::Failure::Trashed(_)
            | user::Failure::Refused(_)
            | user::Failure::NoCopy
            | user::Failure::NoData
            | user::Failure::Local(_)
            | user::Failure::Busy => Failure::Failed(line),
        }
    }

    /// Prints the failure on standard error; returns the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (line, code) = match self {
            Failure::Failed(line) => (line, 1),
            Failure::Usage(line) => (line, 2),
            Failure::Unreachable(line) => (line, 3),
            Failure::OutputClosed => return ExitCode::SUCCESS,
        };
        // When standard error is closed as well, no channel is left for the message.
        let _ = writeln!(io::stderr(), "dispotify: {line}");
        ExitCode::from(code)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Failed(line) | Failure::Usage(line) | Failure::Unreachable(line) => line,
            Failure::OutputClosed => "nobody reads the output",
        })
    }
}

/// Why a file could not be added, and what becomes of that part of it that has `arrived` at a data
/// node: what found no room is given up at once, what was cut short waits for another attempt.
pub(crate) fn of_upload(failure: &user::Failure, arrived: bool, kept_for: Duration) -> String {
    match failure {
        user::Failure::Refused(Refusal::DiskFull) => {
            format!("{failure}, and nothing of the file was kept (see `dispotify status`)")
        }
        user::Failure::Unreachable { .. }
        | user::Failure::NoData
        | user::Failure::Busy
        | user::Failure::Refused(
            Refusal::Busy { .. }
            | Refusal::NotReady
            | Refusal::ShuttingDown
            | Refusal::WrongRole
            | Refusal::NotFound,
        ) if arrived => {
            let kept_for = text::duration(kept_for);
            format!("{failure} (what has arrived is kept for {kept_for}: add it again to go on)")
        }
        user::Failure::Unreachable { .. }
        | user::Failure::KeyRefused
        | user::Failure::Refused(_)
        | user::Failure::NotFound
        | user::Failure::Trashed(_)
        | user::Failure::NotInTrash
        | user::Failure::Ambiguous(_)
        | user::Failure::NoCopy
        | user::Failure::NoData
        | user::Failure::Local(_)
        | user::Failure::Busy => failure.to_string(),
    }
}

/// Converts an error of standard output. A broken pipe only means that the reader has enough.
pub(crate) fn output(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::OutputClosed;
    }
    Failure::failed("write output", error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use roles::contract::node::Lost;
    use roles::contract::record::Role;

    /// Out of room: nothing is kept. Cut short: what has arrived is kept, and for how long.
    #[test]
    fn a_failed_upload_says_what_becomes_of_it() {
        let unreachable = user::Failure::Unreachable {
            role: Role::Data,
            last: Some(Lost::Closed),
        };
        let said = |failure, arrived| of_upload(failure, arrived, Duration::from_secs(86_400));
        let kept = "kept for 1 day: add it again to go on";
        assert!(said(&unreachable, true).contains(kept));
        assert!(!said(&unreachable, false).contains("kept"));
        let full = user::Failure::Refused(Refusal::DiskFull);
        assert!(said(&full, true).contains("disk is full, and nothing of the file was kept"));
        let wrong = user::Failure::Refused(Refusal::Invalid("it lies".into()));
        assert!(!said(&wrong, true).contains("kept"));
    }
}
