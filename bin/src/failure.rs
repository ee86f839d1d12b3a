//! Errors of a command: one line that says what to do, and an exit code.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;

use roles::contract::user;

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
            user::Failure::Refused(_)
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

/// Converts an error of standard output. A broken pipe only means that the reader has enough.
pub(crate) fn output(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::OutputClosed;
    }
    Failure::failed("write output", error)
}
