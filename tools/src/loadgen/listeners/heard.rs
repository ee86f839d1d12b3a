//! What a listener notices of its source of sound.

use std::time::Duration;

/// What a listener notices of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// So many bytes came, which sound for so long.
    Sound { bytes: u64, lasts: Duration },
    /// The song's last byte has come.
    Last,
    /// The bytes come from another holder or page than before.
    Switch,
    /// The song does not come; the listener asks for another one later.
    Refused,
}
