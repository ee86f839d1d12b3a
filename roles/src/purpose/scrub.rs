//! What a data node orders to find and replace damage.

use crate::contract::id::SongId;
use crate::contract::job::FragmentId;
use crate::contract::node::Peer;

#[derive(Debug)]
pub(crate) enum Purpose {
    Step,
    Note,
    SetAside(FragmentId),
    List,
    /// Replaces a fragment with the bytes that this peer has given.
    Replace(FragmentId, Peer),
}

impl Purpose {
    /// The song whose tables are read. A song that does not take good bytes shows a library that
    /// cannot be written, so [`Purpose::Replace`] is about the library.
    pub(super) fn song(&self) -> Option<SongId> {
        match self {
            Purpose::SetAside(fragment) => Some(fragment.song),
            Purpose::Step | Purpose::Note | Purpose::List | Purpose::Replace(..) => None,
        }
    }
}
