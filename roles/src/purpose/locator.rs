//! What a look-up asks for.

use crate::contract::message::Holder;

/// What a question is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The next node on the way to the owners of this look-up.
    Find(u64),
    /// Whether this owner has the song.
    List(u64, Holder),
}
