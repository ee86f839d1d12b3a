//! Why a run ends without success: one line that says what to do, and an exit code.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why the process ends without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The attempt failed, or a condition of `--fail-on` is true.
    Failed(String),
    /// The command line is invalid.
    Usage(String),
    /// No node could be reached, or every node refused the key.
    Unreachable(String),
}

impl Failure {
    /// A failure with the attempt and its reason.
    pub(crate) fn failed(attempt: impl Display, reason: impl Display) -> Self {
        Failure::Failed(format!("{attempt}: {reason}"))
    }

    /// An invalid command line: the option and what is wrong with it.
    pub(crate) fn usage(option: impl Display, reason: impl Display) -> Self {
        Failure::Usage(format!("{option}: {reason}"))
    }

    /// Prints the failure on standard error; gives the exit code.
    pub(crate) fn report(self, program: &str) -> ExitCode {
        let (line, code) = match self {
            Failure::Failed(line) => (line, 1),
            Failure::Usage(line) => (line, 2),
            Failure::Unreachable(line) => (line, 3),
        };
        // When standard error is closed as well, no channel is left for the message.
        let _ = writeln!(io::stderr(), "{program}: {line}");
        ExitCode::from(code)
    }
}
