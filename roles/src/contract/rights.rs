//! What the holder of a key may ask for, and what each message needs.
//!
//! The cluster key carries every right. Keys for one purpose are derived from it; each purpose
//! includes those before it. The table of needs is here alone, and complete: a new message does not
//! compile without a line in it. The host of a node applies it before the node hears a message.

use core::fmt;

use bincode::{Decode, Encode};

use super::chord::Chord;
use super::message::{Audio, Catalogue, Message, Names};
use super::upkeep::Upkeep;

/// A purpose of a key. A later one includes the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Right {
    /// Lists, searches, fetches songs, sees the state of the cluster.
    Listen,
    /// Adds songs as well.
    Upload,
    /// Removes songs as well.
    Admin,
    /// Speaks as a node. Only the cluster key carries it.
    Node,
}

impl Right {
    /// The purposes for which a key can be derived. A node has the cluster key itself, because it
    /// checks the keys for every purpose.
    pub const DERIVED: [Right; 3] = [Right::Listen, Right::Upload, Right::Admin];

    /// The name on the command line and in key files.
    pub fn name(self) -> &'static str {
        match self {
            Right::Listen => "listen",
            Right::Upload => "upload",
            Right::Admin => "admin",
            Right::Node => "node",
        }
    }

    /// The derived purpose with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let named = |right: &Right| right.name() == name;
        Right::DERIVED.into_iter().find(named)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Message {
    /// The right that the sender of this message needs. Answers need that of a node: clients are
    /// asked nothing.
    pub fn right_needed(&self) -> Right {
        match self {
            Message::Refused(_) | Message::Ring(_) => Right::Node,
            Message::Names(names) => match names {
                Names::Resolve { .. } => Right::Listen,
                Names::Records { .. }
                | Names::Register { .. }
                | Names::Registered
                | Names::Withdraw { .. }
                | Names::Withdrawn
                | Names::Confirm { .. }
                | Names::Confirmed { .. }
                | Names::Share { .. }
                | Names::Shared { .. }
                | Names::Reserve
                | Names::Reserved { .. } => Right::Node,
            },
            Message::Catalogue(catalogue) => match catalogue {
                Catalogue::List { .. } | Catalogue::Locate { .. } | Catalogue::Inspect => {
                    Right::Listen
                }
                Catalogue::Place { .. } => Right::Upload,
                Catalogue::Songs { .. }
                | Catalogue::Located { .. }
                | Catalogue::Placed { .. }
                | Catalogue::Announce(_)
                | Catalogue::Announced { .. }
                | Catalogue::Status(_) => Right::Node,
            },
            Message::Audio(audio) => match audio {
                Audio::ListSongs { .. } | Audio::Describe { .. } | Audio::Fetch { .. } => {
                    Right::Listen
                }
                Audio::Offer { copy: false, .. }
                | Audio::Give { .. }
                | Audio::Commit { copy: false, .. } => Right::Upload,
                Audio::Offer { copy: true, .. }
                | Audio::Commit { copy: true, .. }
                | Audio::SongPage { .. }
                | Audio::Described { .. }
                | Audio::Chunk { .. }
                | Audio::Wanted { .. }
                | Audio::Taken
                | Audio::Stored { .. } => Right::Node,
            },
            Message::Upkeep(upkeep) => match upkeep {
                Upkeep::Bury { copy: false, .. } => Right::Admin,
                Upkeep::Bury { copy: true, .. }
                | Upkeep::Sums { .. }
                | Upkeep::Summed { .. }
                | Upkeep::Holdings { .. }
                | Upkeep::Held { .. }
                | Upkeep::Buried { .. } => Right::Node,
            },
            Message::Chord(chord) => match chord {
                // A client looks a song up by itself when no router answers.
                Chord::Find { .. } => Right::Listen,
                Chord::Neighbours { .. }
                | Chord::Neighbourhood { .. }
                | Chord::Notify
                | Chord::Noted
                | Chord::Found { .. }
                | Chord::Closer { .. } => Right::Node,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_later_purpose_includes_the_earlier() {
        let bury = |copy| {
            Message::Upkeep(Upkeep::Bury {
                songs: vec![],
                copy,
            })
        };
        assert!(Right::Admin >= bury(false).right_needed());
        assert!(Right::Upload < bury(false).right_needed());
        assert!(Right::Admin < bury(true).right_needed());
        assert!(Right::Listen >= Message::Catalogue(Catalogue::Inspect).right_needed());
        assert!(Right::Listen < Right::Upload && Right::Admin < Right::Node);
    }

    #[test]
    fn names_come_back() {
        for right in Right::DERIVED {
            assert_eq!(Right::from_name(right.name()), Some(right));
        }
        assert_eq!(Right::from_name("node"), None);
    }
}
