//! What did not work, in one line that says what to do, and the exit code that goes with it.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;

use roles::contract::user;

/// Why the process ends without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was tried and did not work, or what was asked for is not there.
    Failed(String),
    /// What was typed makes no sense.
    Usage(String),
    /// Nobody could be reached, or everybody refused the key.
    Unreachable(String),
    /// Whoever read our output has enough: no failure at all.
    OutputClosed,
}

impl Failure {
    /// What was attempted, and what came of it.
    pub(crate) fn failed(attempt: impl Display, reason: impl Display) -> Self {
        Failure::Failed(format!("{attempt}: {reason}"))
    }

    /// An operation of the client did not work.
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

    /// Says it on standard error.
    pub(crate) fn report(self) -> ExitCode {
        let (line, code) = match self {
            Failure::Failed(line) => (line, 1),
            Failure::Usage(line) => (line, 2),
            Failure::Unreachable(line) => (line, 3),
            Failure::OutputClosed => return ExitCode::SUCCESS,
        };
        // Nothing is left to tell it to if standard error is gone as well.
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

/// Output that cannot be written: a closed pipe is the reader's right.
pub(crate) fn output(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::OutputClosed;
    }
    Failure::failed("write output", error)
}
