//! Finding a song: its manifest and, unless the cache has it, its holders.
//!
//! With a whole id the cache is asked first. A shorter prefix goes to a router first, because only
//! the cluster knows whether it is ambiguous. Reading the song that was found is
//! [`read`](super::read)'s business.

use alloc::vec::Vec;

use super::ask::{Routing, senseless};
use super::{Answer, Progress, Purpose, Shared, failed, failure, local};
use crate::contract::id::{OperationId, SongPrefix};
use crate::contract::job::{ClientJob, JobFault, JobReply};
use crate::contract::message::{Audio, Catalogue, Holder, Message, Refusal};
use crate::contract::node::Peer;
use crate::contract::record::Role;
use crate::contract::song::Manifest;
use crate::contract::user::Failure;
use crate::cx::Cx;
use crate::purpose::{Asked, Ordered};
use crate::requests::Policy;

/// A song that is being found.
#[derive(Debug)]
pub(super) struct Find {
    operation: OperationId,
    /// The whole id, as soon as it is known.
    prefix: SongPrefix,
    pub(super) routing: Routing,
    stage: Stage,
    holders: Vec<Holder>,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// The manifest is looked for in the cache.
    Recalling(Recall),
    /// A router or the data nodes are asked for the holders. `recalled`: the cache has been asked
    /// and has no manifest.
    Locating { recalled: bool },
    /// A holder is asked for the manifest.
    Describing,
}

/// Why the cache is asked, and so what follows if it has no manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Recall {
    /// It is asked before the cluster.
    First,
    /// The holders are known.
    Located,
    /// The cluster could not help, for this reason.
    Alone(Failure),
}

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) manifest: Manifest,
    /// Holders of the song; none if the cache was asked first and has the manifest.
    pub(super) holders: Vec<Holder>,
    /// The manifest was in the cache, so fragments may be there, too.
    pub(super) cached: bool,
}

impl Find {
    /// Begins to find a song. `holders`: they are to be named even if the cache has the whole song.
    pub(super) fn begin(
        cx: &mut Cx<'_>,
        operation: OperationId,
        prefix: SongPrefix,
        holders: bool,
    ) -> (Self, Progress) {
        let mut find = Find {
            operation,
            prefix,
            routing: Routing::default(),
            stage: Stage::Locating { recalled: false },
            holders: Vec::new(),
        };
        let progress = if prefix.is_whole() && !holders {
            find.recall(cx, Recall::First)
        } else {
            find.locate(false)
        };
        (find, progress)
    }

    fn recall(&mut self, cx: &mut Cx<'_>, why: Recall) -> Progress {
        self.stage = Stage::Recalling(why);
        let job = ClientJob::CachedManifest {
            prefix: self.prefix,
        };
        cx.run(Ordered::Client(Purpose::Find(self.operation)), job);
        Progress::Waits
    }

    fn locate(&mut self, recalled: bool) -> Progress {
        self.stage = Stage::Locating { recalled };
        let prefix = self.prefix;
        Progress::AskRouter(Message::Catalogue(Catalogue::Locate { prefix }))
    }

    /// The digits by which the song is looked up.
    pub(super) fn prefix(&self) -> SongPrefix {
        self.prefix
    }

    fn fail(&self, failure: Failure) -> Progress {
        Progress::Ends(failed(self.operation, failure))
    }

    /// Takes the song and its holders from a router or a look-up.
    pub(super) fn on_router(
        &mut self,
        cx: &mut Cx<'_>,
        answer: Catalogue,
        shared: &mut Shared,
    ) -> Progress {
        let (Catalogue::Located { song, holders }, Stage::Locating { recalled }) =
            (answer, &self.stage)
        else {
            return self.fail(senseless());
        };
        let recalled = *recalled;
        shared.meet(cx, &holders);
        self.holders = holders;
        self.prefix = song.id.into();
        if recalled {
            return self.describe(cx, shared);
        }
        self.recall(cx, Recall::Located)
    }

    /// Continues without a router: with the cache, if it has not been asked.
    pub(super) fn on_unrouted(&mut self, cx: &mut Cx<'_>, failure: Failure) -> Progress {
        let reachable = matches!(
            failure,
            Failure::NotFound | Failure::Ambiguous(_) | Failure::Trashed(_) | Failure::Refused(_)
        );
        if reachable || self.stage == (Stage::Locating { recalled: true }) {
            return self.fail(failure);
        }
        self.recall(cx, Recall::Alone(failure))
    }

    /// Takes what the cache has.
    pub(super) fn on_done(
        &mut self,
        cx: &mut Cx<'_>,
        reply: JobReply,
        shared: &mut Shared,
    ) -> Progress {
        let Stage::Recalling(why) = &self.stage else {
            return Progress::Waits;
        };
        match (reply, why.clone()) {
            (JobReply::Described { manifest }, _) if self.prefix.matches(manifest.song.id) => {
                self.found(manifest, true)
            }
            (JobReply::Failed(fault @ JobFault::Ambiguous(_)), Recall::Alone(_)) => {
                self.fail(local(fault))
            }
            (_, Recall::Alone(failure)) => self.fail(failure),
            (_, Recall::First) => self.locate(true),
            (_, Recall::Located) => self.describe(cx, shared),
        }
    }

    fn describe(&mut self, cx: &mut Cx<'_>, shared: &mut Shared) -> Progress {
        if self.holders.is_empty() {
            return self.fail(Failure::NoCopy);
        }
        self.stage = Stage::Describing;
        let order = (shared.peers).better_of_two(cx.now, &self.holders, &mut shared.rng);
        let candidates = order.into_iter().map(Peer::Node).collect();
        let song = self.prefix.first();
        let question = Message::Audio(Audio::Describe { song });
        let purpose = Asked::Client(Purpose::Find(self.operation));
        match cx.ask(purpose, candidates, question, Policy::GROUP) {
            Some(_) => Progress::Waits,
            None => self.fail(Failure::Busy),
        }
    }

    /// Takes the manifest from a holder.
    pub(super) fn on_reply(
        &mut self,
        cx: &mut Cx<'_>,
        reply: Answer,
        shared: &mut Shared,
    ) -> Progress {
        let manifest = match reply {
            Ok((_, Message::Audio(Audio::Described { manifest }), _)) => manifest,
            Ok((_, Message::Refused(why), _)) => {
                return self.fail(failure(Role::Data, Some(why), None));
            }
            Ok(_) => return self.fail(senseless()),
            // A router knows the song, so the song exists and its copies are missing.
            Err((Some(Refusal::NotFound), _)) => return self.fail(Failure::NoCopy),
            Err((refusal, lost)) => return self.fail(failure(Role::Data, refusal, lost)),
        };
        if manifest.check().is_err() || !self.prefix.matches(manifest.song.id) {
            return self.fail(senseless());
        }
        if shared.caches(&manifest) {
            let manifest = manifest.clone();
            let job = ClientJob::CacheManifest { manifest };
            cx.run(Ordered::Client(Purpose::Note), job);
        }
        self.found(manifest, false)
    }

    fn found(&mut self, manifest: Manifest, cached: bool) -> Progress {
        let holders = core::mem::take(&mut self.holders);
        Progress::Opens(Found {
            manifest,
            holders,
            cached,
        })
    }
}
