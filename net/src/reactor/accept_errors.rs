//! What an error of `accept` is about: this process, or only the connection that arrives.

use std::io;

/// Whether the process, or the machine, has no file descriptor left: EMFILE is 24 and ENFILE 23 on every
/// Unix; they have no stable kind.
pub(super) fn is_about_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

/// Whether an accept error concerns only the arriving connection, not this process.
pub(super) fn is_about_newcomer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
    )
}
