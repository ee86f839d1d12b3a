//! What becomes of a song: into the trash, out of it, or removed for good. A router names the song,
//! and one of its holders makes the change.

use alloc::vec::Vec;

use super::ask::{Routing, senseless, without_trash};
use super::{Answer, Progress, Purpose, failed, failure};
use crate::contract::id::{OperationId, SongId, SongPrefix};
use crate::contract::message::{Catalogue, Holder, Message};
use crate::contract::node::Peer;
use crate::contract::record::{Features, Role};
use crate::contract::trash::{Fate, Trashed};
use crate::contract::upkeep::Upkeep;
use crate::contract::user::{Failure, Notice};
use crate::cx::Cx;
use crate::purpose::Asked;
use crate::requests::Policy;

/// Songs asked for with one prefix: more than one is ambiguous, and a person is told up to five.
const NAMED: u32 = 5;

/// A change under way.
#[derive(Debug)]
pub(super) struct Remove {
    operation: OperationId,
    prefix: SongPrefix,
    to: Fate,
    /// The id of the song, from the moment a router has named it.
    song: Option<SongId>,
    /// The version of the mark by which that router has it in the trash; 0 if it has it outside.
    seen: u64,
    pub(super) routing: Routing,
}

impl Remove {
    pub(super) fn begin(operation: OperationId, prefix: SongPrefix, to: Fate) -> (Self, Progress) {
        let remove = Remove {
            operation,
            prefix,
            to,
            song: None,
            seen: 0,
            routing: Routing::default(),
        };
        let question = match to {
            Fate::Trash | Fate::Gone => Catalogue::Locate { prefix },
            Fate::Here | Fate::Emptied => in_trash(prefix),
        };
        (remove, Progress::AskRouter(Message::Catalogue(question)))
    }

    /// The digits of the song, if it is looked for in the trash although it was to be outside.
    pub(super) fn seeks_outside(&self) -> Option<SongPrefix> {
        let outside = matches!(self.to, Fate::Trash | Fate::Gone) && self.song.is_none();
        outside.then_some(self.prefix)
    }

    /// The song that was not found is in the trash.
    pub(super) fn on_trashed(&mut self, song: SongId) -> Progress {
        match self.to {
            Fate::Gone => self.place(song),
            Fate::Trash | Fate::Here | Fate::Emptied => self.fail(Failure::Trashed(song)),
        }
    }

    fn fail(&self, failure: Failure) -> Progress {
        Progress::Ends(failed(self.operation, failure))
    }

    /// Takes a router's answer: the song and its holders, or the song's owners if no holder lives.
    pub(super) fn on_router(&mut self, cx: &mut Cx<'_>, answer: Catalogue) -> Progress {
        match (answer, self.song) {
            (Catalogue::Located { song, holders }, None) => {
                if holders.is_empty() {
                    return self.place(song.id);
                }
                self.song = Some(song.id);
                self.change(cx, song.id, &holders)
            }
            (Catalogue::Trash { songs, .. }, None) => match one_of(&songs) {
                Ok(song) => {
                    self.seen = songs.first().map_or(0, |trashed| trashed.version);
                    self.place(song)
                }
                Err(Failure::NotFound) => self.fail(Failure::NotInTrash),
                Err(failure) => self.fail(failure),
            },
            (Catalogue::Placed { owners }, Some(song)) => self.change(cx, song, &owners),
            _ => self.fail(senseless()),
        }
    }

    fn place(&mut self, song: SongId) -> Progress {
        self.song = Some(song);
        Progress::AskRouter(Message::Catalogue(Catalogue::Place { song }))
    }

    /// Asks a data node for the change. One that does not know the trash would remove the song for
    /// good, so it is asked for nothing else.
    fn change(&mut self, cx: &mut Cx<'_>, song: SongId, holders: &[Holder]) -> Progress {
        let knows = |holder: &&Holder| holder.features.has(Features::TRASH);
        let address = |holder: &Holder| Peer::Node(holder.address);
        let mut candidates: Vec<Peer> = holders.iter().filter(knows).map(address).collect();
        let (to, seen) = (self.to, self.seen);
        let mut question = Upkeep::Change { song, to, seen };
        if candidates.is_empty() && !holders.is_empty() {
            if self.to != Fate::Gone {
                return self.fail(without_trash());
            }
            candidates = holders.iter().map(address).collect();
            let songs = [song].into();
            question = Upkeep::Bury { songs, copy: false };
        }
        let purpose = Purpose::Remove(self.operation);
        // A data node answers when a second one has stored the change, too, or cannot. The attempt
        // is long, so that the others are not asked in vain meanwhile.
        let policy = Policy {
            attempt: Policy::GROUP.deadline / 2,
            ..Policy::GROUP
        };
        let question = Message::Upkeep(question);
        match cx.ask(Asked::Client(purpose), candidates, question, policy) {
            Some(_) => Progress::Waits,
            None => self.fail(Failure::NoData),
        }
    }

    pub(super) fn on_reply(&self, reply: Answer) -> Progress {
        let (operation, to) = (self.operation, self.to);
        let notice = match (reply, self.song) {
            (Ok((_, Message::Upkeep(Upkeep::Buried { copies }), _)), Some(song)) => {
                Notice::Removed {
                    operation,
                    song,
                    copies,
                }
            }
            (Ok((_, Message::Upkeep(Upkeep::Changed { copies }), _)), Some(song)) => {
                Notice::Changed {
                    operation,
                    song,
                    to,
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

/// The question for the songs in the trash whose ids begin with these digits.
pub(super) fn in_trash(prefix: SongPrefix) -> Catalogue {
    Catalogue::ListTrash {
        prefix: Some(prefix),
        after: None,
        limit: NAMED,
    }
}

/// The song, if it is the only one.
pub(super) fn one_of(songs: &[Trashed]) -> Result<SongId, Failure> {
    match songs {
        [] => Err(Failure::NotFound),
        [one] => Ok(one.song.id),
        several => {
            let ids = several.iter().map(|trashed| trashed.song.id);
            Err(Failure::Ambiguous(ids.take(NAMED as usize).collect()))
        }
    }
}
