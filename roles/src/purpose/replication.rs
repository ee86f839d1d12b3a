//! What a data node asks and orders to make copies.

use crate::contract::id::{NodeId, SongId};

pub(crate) type Key = (SongId, NodeId);

/// The copy and the number of its attempt, so that a late answer to an earlier attempt is ignored.
pub(crate) type Ticket = (Key, u32);

#[derive(Debug)]
pub(crate) enum Purpose {
    Due,
    Describe(Ticket),
    Read(Ticket, u32),
    Note(Key),
    Forget,
}

impl Purpose {
    /// The song that is read.
    pub(super) fn song(&self) -> Option<SongId> {
        match self {
            Purpose::Describe((key, _)) | Purpose::Read((key, _), _) => Some(key.0),
            Purpose::Due | Purpose::Note(_) | Purpose::Forget => None,
        }
    }
}
