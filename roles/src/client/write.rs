//! What a listener writes. A router gives the clock and names data nodes; one of them keeps the
//! documents.
//!
//! The version is fixed before the first data node is asked: one that is asked in vain, and keeps the
//! documents late, changes nothing that was written since.

use alloc::vec::Vec;

use super::ask::{Routing, senseless};
use super::{Answer, Progress, Purpose, Shared, failed, failure};
use crate::contract::document::{AccountId, Document, Documents, Kind, Play, Reading, Version};
use crate::contract::id::OperationId;
use crate::contract::message::{Catalogue, Holder, Message};
use crate::contract::node::Peer;
use crate::contract::record::{Features, Role};
use crate::contract::upkeep::Upkeep;
use crate::contract::user::{Draft, Failure, Heard, Notice};
use crate::cx::Cx;
use crate::mutants::DocumentMutant;
use crate::purpose::Asked;
use crate::requests::Policy;

/// How often a write takes a later clock, because something later was there already. Each time its
/// clock is later than all that the data node has under the same names.
const STAMPS_MAX: u32 = 4;

/// A write under way.
#[derive(Debug)]
pub(super) struct Write {
    operation: OperationId,
    documents: Vec<Document>,
    plays: Vec<Play>,
    /// The data nodes that may be asked.
    writers: Vec<Holder>,
    stamps: u32,
    pub(super) routing: Routing,
}

impl Write {
    pub(super) fn begin(
        operation: OperationId,
        drafts: Vec<Draft>,
        heard: Vec<Heard>,
    ) -> (Self, Progress) {
        let documents = drafts.into_iter().map(|Draft { key, body }| Document {
            key,
            version: Version::default(),
            body,
        });
        let plays = heard.into_iter().map(|heard| Play {
            owner: heard.owner,
            song: heard.song,
            token: heard.token,
            clock: 0,
        });
        let write = Write {
            operation,
            documents: documents.collect(),
            plays: plays.collect(),
            writers: Vec::new(),
            stamps: 0,
            routing: Routing::default(),
        };
        let clock = Catalogue::Read(Reading {
            owner: AccountId::LISTENER,
            kind: Kind::STAR,
            within: Vec::new(),
            after: None,
            limit: 0,
        });
        (write, Progress::AskRouter(Message::Catalogue(clock)))
    }

    /// Takes the clock and the data nodes that a router has named.
    pub(super) fn on_router(
        &mut self,
        cx: &mut Cx<'_>,
        answer: Catalogue,
        shared: &mut Shared,
    ) -> Progress {
        let Catalogue::Documents(Documents { clock, writers, .. }) = answer else {
            return self.fail(senseless());
        };
        self.writers = writers;
        self.ask(cx, clock, shared)
    }

    /// Gives everything one version, which is later than all that this client has written before, and
    /// asks the data nodes in turn.
    fn ask(&mut self, cx: &mut Cx<'_>, clock: u64, shared: &mut Shared) -> Progress {
        self.stamps += 1;
        let clock = clock.max(shared.clock.saturating_add(1));
        shared.clock = clock;
        let writer = shared.writer;
        for document in &mut self.documents {
            document.version = Version { clock, writer };
        }
        for play in &mut self.plays {
            play.clock = clock;
        }
        let knows = |holder: &&Holder| holder.features.has(Features::DOCUMENTS);
        let able = self.writers.iter().filter(knows);
        let candidates: Vec<Peer> = able.map(|holder| Peer::Node(holder.address)).collect();
        let (documents, plays) = (self.documents.clone(), self.plays.clone());
        let question = Message::Upkeep(Upkeep::Write { documents, plays });
        // The data node waits for a second one and for the routers.
        let policy = Policy {
            attempt: Policy::GROUP.deadline / 2,
            ..Policy::GROUP
        };
        let purpose = Asked::Client(Purpose::Write(self.operation));
        match cx.ask(purpose, candidates, question, policy) {
            Some(_) => Progress::Waits,
            None => self.fail(Failure::NoData),
        }
    }

    pub(super) fn on_reply(
        &mut self,
        cx: &mut Cx<'_>,
        reply: Answer,
        shared: &mut Shared,
    ) -> Progress {
        let operation = self.operation;
        match reply {
            Ok((_, Message::Upkeep(Upkeep::Written { copies }), _)) => {
                Progress::Ends(Notice::Written { operation, copies })
            }
            Ok((_, Message::Upkeep(Upkeep::Late { .. }), _))
                if shared.config.mutants.has(DocumentMutant::StampsLow) =>
            {
                Progress::Ends(Notice::Written {
                    operation,
                    copies: 2,
                })
            }
            Ok((_, Message::Upkeep(Upkeep::Late { clock }), _)) if self.stamps < STAMPS_MAX => {
                self.ask(cx, clock.saturating_add(1), shared)
            }
            Ok((_, Message::Upkeep(Upkeep::Late { .. }), _)) => self.fail(Failure::Busy),
            Ok((_, Message::Refused(why), _)) => self.fail(failure(Role::Data, Some(why), None)),
            Ok(_) => self.fail(senseless()),
            Err((refusal, lost)) => self.fail(failure(Role::Data, refusal, lost)),
        }
    }

    fn fail(&self, failure: Failure) -> Progress {
        Progress::Ends(failed(self.operation, failure))
    }
}
