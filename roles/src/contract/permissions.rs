//! The right that each message needs.
//!
//! The table is here alone, and complete: a new message does not compile without a line in it. The
//! host of a node applies it before the node hears a message.

use super::chord::Chord;
use super::document::Document;
use super::message::{Audio, Catalogue, Message, Names};
use super::rights::Right;
use super::ring::Ring;
use super::upkeep::Upkeep;

impl Message {
    /// The right that the sender of this message needs. Answers need that of a node: clients are
    /// asked nothing.
    pub fn right_needed(&self) -> Right {
        match self {
            Message::Refused(_) => Right::Node,
            Message::Ring(ring) => match ring {
                Ring::Diagnose => Right::Listen,
                Ring::Join { .. }
                | Ring::Joined { .. }
                | Ring::Report { .. }
                | Ring::News { .. }
                | Ring::Probe { .. }
                | Ring::Probed { .. }
                | Ring::Check { .. }
                | Ring::Checked { .. }
                | Ring::Alert { .. }
                | Ring::Heard
                | Ring::Count { .. }
                | Ring::Counted { .. }
                | Ring::Unbalance { .. }
                | Ring::Accepted
                | Ring::Diagnosis(_) => Right::Node,
            },
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
                Catalogue::List { .. }
                | Catalogue::Locate { .. }
                | Catalogue::ListTrash { .. }
                | Catalogue::Browse(_)
                | Catalogue::Read(_)
                | Catalogue::Inspect => Right::Listen,
                Catalogue::Place { .. } => Right::Upload,
                Catalogue::Songs { .. }
                | Catalogue::Located { .. }
                | Catalogue::Placed { .. }
                | Catalogue::Announce(_)
                | Catalogue::Announced { .. }
                | Catalogue::Trash { .. }
                | Catalogue::Status(_)
                | Catalogue::Browsed(_)
                | Catalogue::Tag(_)
                | Catalogue::TagAdded(..)
                | Catalogue::Tagged { .. }
                | Catalogue::Documents(_) => Right::Node,
            },
            Message::Audio(audio) => match audio {
                Audio::ListSongs { .. }
                | Audio::Describe { .. }
                | Audio::Fetch { .. }
                | Audio::FetchPart { .. } => Right::Listen,
                Audio::Offer { copy: false, .. }
                | Audio::Give { .. }
                | Audio::Commit { copy: false, .. } => Right::Upload,
                Audio::Offer { copy: true, .. }
                | Audio::Commit { copy: true, .. }
                | Audio::SongPage { .. }
                | Audio::Described { .. }
                | Audio::Chunk { .. }
                | Audio::ChunkPart { .. }
                | Audio::Wanted { .. }
                | Audio::Taken
                | Audio::Stored { .. } => Right::Node,
            },
            Message::Upkeep(upkeep) => match upkeep {
                Upkeep::Bury { copy: false, .. } | Upkeep::Change { .. } => Right::Admin,
                Upkeep::Write { documents, .. } if all_annotations(documents) => Right::Listen,
                Upkeep::Write { .. } => Right::Admin,
                Upkeep::Bury { copy: true, .. }
                | Upkeep::Sums { .. }
                | Upkeep::Summed { .. }
                | Upkeep::Holdings { .. }
                | Upkeep::Held { .. }
                | Upkeep::Buried { .. }
                | Upkeep::Note { .. }
                | Upkeep::Noted { .. }
                | Upkeep::CompareMarks { .. }
                | Upkeep::Alike { .. }
                | Upkeep::Written { .. }
                | Upkeep::Late { .. }
                | Upkeep::NoteDocuments { .. }
                | Upkeep::DocumentsNoted { .. }
                | Upkeep::CompareDocuments { .. }
                | Upkeep::Differ { .. }
                | Upkeep::Changed { .. } => Right::Node,
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

/// Whether listeners write such documents. Accounts, and kinds without a name, are for administrators.
fn all_annotations(documents: &[Document]) -> bool {
    documents
        .iter()
        .all(|document| document.key.kind.is_annotation())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::document::{AccountId, Key, Kind, Version};
    use alloc::vec;

    /// Who listens may say what pleases, and makes no accounts.
    #[test]
    fn listeners_write_annotations() {
        let right = |kind| {
            let document = Document {
                key: Key {
                    owner: AccountId::LISTENER,
                    kind,
                    subject: vec![],
                },
                version: Version::default(),
                body: None,
            };
            let (documents, plays) = (vec![document], vec![]);
            Message::Upkeep(Upkeep::Write { documents, plays }).right_needed()
        };
        assert_eq!(right(Kind::STAR), Right::Listen);
        assert_eq!(right(Kind::SHARE), Right::Listen);
        assert_eq!(right(Kind::ACCOUNT), Right::Admin);
        assert_eq!(right(Kind(999)), Right::Admin);
    }

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
}
