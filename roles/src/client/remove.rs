//! The removal of a song for good: a router names the song and its holders, and a holder removes
//! it.

use alloc::vec::Vec;

use super::ask::{Routing, senseless};
use super::{Answer, Progress, Purpose, failed, failure};
use crate::contract::id::{OperationId, SongId, SongPrefix};
use crate::contract::message::{Catalogue, Holder, Message};
use crate::contract::node::Peer;
use crate::contract::record::Role;
use crate::contract::upkeep::Upkeep;
use crate::contract::user::{Failure, Notice};
use crate::cx::Cx;
use crate::purpose::Asked;
use crate::requests::Policy;

/// A removal under way.
#[derive(Debug)]
pub(super) struct Remove {
    operation: OperationId,
    /// The id of the song, from the moment a router has named it.
    song: Option<SongId>,
    pub(super) routing: Routing,
}

impl Remove {
    pub(super) fn begin(operation: OperationId, prefix: SongPrefix) -> (Self, Progress) {
        let remove = Remove {
            operation,
            song: None,
            routing: Routing::default(),
        };
        let question = Message::Catalogue(Catalogue::Locate { prefix });
        (remove, Progress::AskRouter(question))
    }

    /// Takes a router's answer: the song and its holders, or the song's owners if no holder lives.
    pub(super) fn on_router(&mut self, cx: &mut Cx<'_>, answer: Catalogue) -> Progress {
        match (answer, self.song) {
            (Catalogue::Located { song, holders }, None) => {
                self.song = Some(song.id);
                if holders.is_empty() {
                    let place = Catalogue::Place { song: song.id };
                    return Progress::AskRouter(Message::Catalogue(place));
                }
                self.bury(cx, song.id, &holders)
            }
            (Catalogue::Placed { owners }, Some(song)) => self.bury(cx, song, &owners),
            _ => Progress::Ends(failed(self.operation, senseless())),
        }
    }

    fn bury(&mut self, cx: &mut Cx<'_>, song: SongId, holders: &[Holder]) -> Progress {
        let candidates: Vec<Peer> = holders.iter().map(|h| Peer::Node(h.address)).collect();
        let songs = [song].into();
        let question = Message::Upkeep(Upkeep::Bury { songs, copy: false });
        let purpose = Purpose::Remove(self.operation);
        // A holder answers when a second data node has stored the removal, too, or cannot. The
        // attempt is long, so that the other holders are not asked in vain meanwhile.
        let policy = Policy {
            attempt: Policy::GROUP.deadline / 2,
            ..Policy::GROUP
        };
        let asked = cx.ask(Asked::Client(purpose), candidates, question, policy);
        match asked {
            Some(_) => Progress::Waits,
            None => Progress::Ends(failed(self.operation, Failure::NoData)),
        }
    }

    pub(super) fn on_reply(&self, reply: Answer) -> Progress {
        let operation = self.operation;
        let notice = match (reply, self.song) {
            (Ok((_, Message::Upkeep(Upkeep::Buried { copies }), _)), Some(song)) => {
                Notice::Removed {
                    operation,
                    song,
                    copies,
                }
            }
            (Ok((_, Message::Refused(why), _)), _) => {
                failed(operation, failure(Role::Data, Some(why), None))
            }
            (Ok(_), _) => failed(operation, senseless()),
            (Err((refusal, lost)), _) => failed(operation, failure(Role::Data, refusal, lost)),
        };
        Progress::Ends(notice)
    }
}
