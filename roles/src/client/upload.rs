//! An upload: the client scans the file, asks a router for its owners, offers the song to one of
//! them, gives the missing fragments and commits.
//!
//! An owner answers each offer with what it lacks, so an interrupted upload continues where it
//! stopped. When an owner fails, the next owner is offered the song.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::ask::{Routing, senseless};
use super::{Answer, Progress, Purpose, Shared, failed, failure};
use crate::contract::id::{OperationId, SourceId};
use crate::contract::job::{ClientJob, JobFault, JobReply};
use crate::contract::limits::COPIES_ACKNOWLEDGED;
use crate::contract::message::{Audio, Catalogue, Holder, Message, Refusal};
use crate::contract::node::{Lost, Peer};
use crate::contract::record::{Address, Role};
use crate::contract::song::Manifest;
use crate::contract::time::Time;
use crate::contract::user::{Failure, Notice};
use crate::cx::Cx;
use crate::purpose::client::UploadStep;
use crate::purpose::{Asked, Ordered};
use crate::requests::{GIVE_PATIENCE, Policy};
use crate::transfer::{Next, Told, Transfer};

/// Most fragments on their way to the owner at once.
const GIVES_MAX: usize = 4;

/// Most times the owners are asked for again before the upload fails.
const TRIES_MAX: u32 = 5;

/// Most offers in a row to one owner without a fragment taken. After that the next owner is offered
/// the song.
const BUSY_MAX: u32 = 100;

const PAUSE: Duration = Duration::from_millis(200);

/// An owner that commits reads the whole song once and waits for a second node to store it.
const COMMIT: Policy = Policy {
    deadline: Duration::from_secs(600),
    attempt: Duration::from_secs(600),
    rounds: 1,
};

/// An upload under way.
#[derive(Debug)]
pub(super) struct Upload {
    operation: OperationId,
    source: SourceId,
    pub(super) routing: Routing,
    file: Option<File>,
    owners: VecDeque<Holder>,
    owner: Option<Address>,
    /// The song on its way to the current owner.
    transfer: Option<Transfer>,
    /// The number of the current offer. Answers and jobs of earlier offers carry a lower number and
    /// are ignored.
    round: u32,
    tries: u32,
    busy: u32,
    /// The connection to this owner broke once. A second time, the next owner is offered the song.
    lost: bool,
    /// A commit was sent. If an owner has the song afterwards, this upload may have stored it, so
    /// the song is not reported as known before.
    committing: bool,
    /// After the current pause the same owner is offered the song again. Otherwise the owners are
    /// asked for again.
    again: bool,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct File {
    manifest: Manifest,
    /// The offset of each fragment in the file.
    offsets: Vec<u64>,
    /// Bytes that have arrived at the current owner.
    arrived: u64,
}

impl Upload {
    /// Begins to scan a file.
    pub(super) fn begin(cx: &mut Cx<'_>, operation: OperationId, source: SourceId) -> Self {
        let purpose = Purpose::Upload(operation, UploadStep::Scan);
        cx.run(Ordered::Client(purpose), ClientJob::Scan { source });
        Upload {
            operation,
            source,
            routing: Routing::default(),
            file: None,
            owners: VecDeque::new(),
            owner: None,
            transfer: None,
            round: 0,
            tries: 0,
            busy: 0,
            lost: false,
            committing: false,
            again: false,
            failure: None,
        }
    }

    fn fail(&self, failure: Failure) -> Progress {
        Progress::Ends(failed(self.operation, failure))
    }

    /// Takes the reply to a job of this machine.
    pub(super) fn on_done(
        &mut self,
        cx: &mut Cx<'_>,
        step: UploadStep,
        reply: JobReply,
        shared: &mut Shared,
    ) -> Progress {
        match (step, reply) {
            (UploadStep::Scan, JobReply::Described { manifest }) => self.on_scanned(cx, manifest),
            // The fragment was read for an earlier offer.
            (UploadStep::Read(round), _) if round != self.round => Progress::Waits,
            (UploadStep::Read(_), JobReply::Fragment { index, bytes }) => {
                self.give(cx, index, bytes, shared)
            }
            // The connection to the owner was lost before the fragment was read for it.
            (UploadStep::Read(_), JobReply::Failed(JobFault::Abandoned)) => {
                self.failure = Some(failure(Role::Data, None, Some(Lost::Closed)));
                self.offer_next(cx, shared)
            }
            (_, JobReply::Failed(JobFault::Busy)) if self.file.is_some() => {
                self.offer_again(cx, shared)
            }
            (_, JobReply::Failed(fault)) => self.fail(Failure::Local(fault)),
            (_, _) => self.fail(senseless()),
        }
    }

    /// Asks a router for the scanned song, because the cluster may have it already.
    fn on_scanned(&mut self, cx: &mut Cx<'_>, manifest: Manifest) -> Progress {
        let lengths = manifest.fragments.iter().map(|f| u64::from(f.length));
        let offsets = lengths
            .scan(0, |next, length| {
                let offset = *next;
                *next += length;
                Some(offset)
            })
            .collect();
        let prefix = manifest.song.id.into();
        cx.out.tell(Notice::Scanned {
            operation: self.operation,
            manifest: manifest.clone(),
        });
        self.file = Some(File {
            manifest,
            offsets,
            arrived: 0,
        });
        Progress::AskRouter(Message::Catalogue(Catalogue::Locate { prefix }))
    }

    /// Takes a router's answer: the holders of the song, or its owners.
    pub(super) fn on_router(
        &mut self,
        cx: &mut Cx<'_>,
        answer: Catalogue,
        shared: &mut Shared,
    ) -> Progress {
        match answer {
            Catalogue::Located { holders, .. } if holders.len() >= COPIES_ACKNOWLEDGED => {
                let copies = u8::try_from(holders.len()).unwrap_or(u8::MAX);
                self.end(copies, true)
            }
            // The song has too few living holders, perhaps none. The owners know better than the
            // router, and an offer to them creates the missing copies.
            Catalogue::Located { .. } => self.place(),
            Catalogue::Placed { owners } => {
                for owner in &owners {
                    cx.out.meet(owner.address, owner.features);
                }
                self.owners = owners.into();
                self.offer_next(cx, shared)
            }
            Catalogue::List { .. }
            | Catalogue::Songs { .. }
            | Catalogue::Locate { .. }
            | Catalogue::Place { .. }
            | Catalogue::Announce(_)
            | Catalogue::Announced { .. }
            | Catalogue::Inspect
            | Catalogue::ListTrash { .. }
            | Catalogue::Trash { .. }
            | Catalogue::Status(_)
            | Catalogue::Browse(_)
            | Catalogue::Browsed(_)
            | Catalogue::Tag(_)
            | Catalogue::TagAdded(..)
            | Catalogue::Tagged { .. }
            | Catalogue::Read(_)
            | Catalogue::Documents(_) => self.fail(senseless()),
        }
    }

    /// Continues when no router knows the song, as expected of a new one, or when no router could
    /// be reached.
    pub(super) fn on_unrouted(
        &mut self,
        now: Time,
        failure: Failure,
        shared: &mut Shared,
    ) -> Progress {
        if failure == Failure::NotFound {
            return self.place();
        }
        self.failure = Some(failure);
        self.try_later(now, shared)
    }

    fn place(&mut self) -> Progress {
        let Some(file) = &self.file else {
            return Progress::Waits;
        };
        let song = file.manifest.song.id;
        Progress::AskRouter(Message::Catalogue(Catalogue::Place { song }))
    }

    /// Offers the song to the next owner.
    fn offer_next(&mut self, cx: &mut Cx<'_>, shared: &mut Shared) -> Progress {
        let Some(owner) = self.owners.pop_front() else {
            self.failure.get_or_insert(Failure::NoData);
            return self.try_later(cx.now, shared);
        };
        self.owner = Some(owner.address);
        (self.busy, self.lost) = (0, false);
        self.offer(cx)
    }

    fn offer(&mut self, cx: &mut Cx<'_>) -> Progress {
        self.round += 1;
        let Some(file) = &self.file else {
            return Progress::Waits;
        };
        let transfer = Transfer::new(file.manifest.clone(), false);
        let offer = transfer.offer();
        self.transfer = Some(transfer);
        self.ask(cx, offer, Policy::OFFER)
    }

    fn ask(&mut self, cx: &mut Cx<'_>, question: Message, policy: Policy) -> Progress {
        let candidates: Vec<Peer> = self.owner.into_iter().map(Peer::Node).collect();
        let purpose = Purpose::Upload(self.operation, UploadStep::Ask(self.round));
        let asked = cx.ask(Asked::Client(purpose), candidates, question, policy);
        match asked {
            Some(_) => Progress::Waits,
            None => self.fail(Failure::Busy),
        }
    }

    fn give(
        &mut self,
        cx: &mut Cx<'_>,
        index: u32,
        bytes: Vec<u8>,
        shared: &mut Shared,
    ) -> Progress {
        let (Some(transfer), Some(owner)) = (&self.transfer, self.owner) else {
            return Progress::Waits;
        };
        let purpose = Purpose::Upload(self.operation, UploadStep::Give(self.round, index));
        let question = (transfer.give(index), bytes);
        let to = Peer::Node(owner);
        let asked = cx.ask_with(Asked::Client(purpose), to, question, GIVE_PATIENCE);
        match asked {
            Some(_) => Progress::Waits,
            None => self.offer_again(cx, shared),
        }
    }

    /// Takes the answer of the owner, or its failure.
    pub(super) fn on_reply(
        &mut self,
        cx: &mut Cx<'_>,
        step: UploadStep,
        reply: Answer,
        shared: &mut Shared,
    ) -> Progress {
        let (round, given) = match step {
            UploadStep::Ask(round) => (round, None),
            UploadStep::Give(round, index) => (round, Some(index)),
            UploadStep::Scan | UploadStep::Read(_) => return Progress::Waits,
        };
        if round != self.round {
            return Progress::Waits;
        }
        match reply {
            Ok((_, Message::Audio(answer), _)) => self.on_told(cx, given, &answer, shared),
            Ok((_, Message::Refused(why @ Refusal::Invalid(_)), _)) => {
                self.fail(Failure::Refused(why))
            }
            Err((Some(Refusal::Busy { .. }), _)) => self.offer_again(cx, shared),
            // The connection broke. The same owner may live and has most of the song, so it is
            // offered the song once more before the next owner.
            Err((None, Some(_))) if !self.lost => {
                self.lost = true;
                self.offer_again(cx, shared)
            }
            Err((refusal, lost)) => {
                self.failure = Some(failure(Role::Data, refusal, lost));
                self.offer_next(cx, shared)
            }
            Ok(_) => self.fail(senseless()),
        }
    }

    /// Takes an answer of the owner: it has the song, it lacks fragments, or it took this one.
    fn on_told(
        &mut self,
        cx: &mut Cx<'_>,
        given: Option<u32>,
        answer: &Audio,
        shared: &mut Shared,
    ) -> Progress {
        let (Some(transfer), Some(file)) = (&mut self.transfer, &mut self.file) else {
            return Progress::Waits;
        };
        match transfer.on_told(answer) {
            Told::Stored(copies) => return self.end(copies, !self.committing),
            // The owner may be faulty, so that it loses again and again what it took.
            Told::Senseless => {
                self.failure = Some(senseless());
                return self.offer_next(cx, shared);
            }
            Told::GoesOn => (),
        }
        match given {
            Some(index) => {
                self.busy = 0;
                file.arrived += file.length(index);
                let (operation, bytes) = (self.operation, file.arrived);
                cx.out.tell(Notice::Progress { operation, bytes });
            }
            // The progress starts from what the owner has, which after a change of owner may be
            // less.
            None => file.arrived = file.manifest.song.bytes - transfer.bytes_missing(),
        }
        self.pump(cx)
    }

    /// Keeps up to `GIVES_MAX` fragments on their way, and commits when all have arrived.
    fn pump(&mut self, cx: &mut Cx<'_>) -> Progress {
        let (Some(transfer), Some(file)) = (&mut self.transfer, &self.file) else {
            return Progress::Waits;
        };
        match transfer.next(GIVES_MAX) {
            Next::Fragments(next) => {
                for index in next {
                    let fragment = file.manifest.fragments[index as usize];
                    let job = ClientJob::ReadSource {
                        source: self.source,
                        index,
                        offset: file.offsets[index as usize],
                        length: fragment.length,
                        hash: fragment.hash,
                    };
                    let purpose = Purpose::Upload(self.operation, UploadStep::Read(self.round));
                    match self.owner {
                        Some(owner) => {
                            cx.run_toward(Ordered::Client(purpose), job, Peer::Node(owner))
                        }
                        None => cx.run(Ordered::Client(purpose), job),
                    };
                }
                Progress::Waits
            }
            Next::Commit(commit) => {
                self.committing = true;
                self.ask(cx, commit, COMMIT)
            }
            Next::Nothing => Progress::Waits,
        }
    }

    /// Offers the song to the same owner again after a short pause. The answer says what the owner
    /// lacks by then.
    fn offer_again(&mut self, cx: &mut Cx<'_>, shared: &mut Shared) -> Progress {
        self.round += 1;
        self.busy += 1;
        if self.busy > BUSY_MAX {
            let busy = Refusal::Busy { retry_after_ms: 0 };
            self.failure = Some(Failure::Refused(busy));
            return self.offer_next(cx, shared);
        }
        self.again = true;
        shared.pause(cx.now, self.operation, PAUSE);
        Progress::Waits
    }

    /// Asks a router for owners again after a pause, because all known owners have failed.
    fn try_later(&mut self, now: Time, shared: &mut Shared) -> Progress {
        self.tries += 1;
        let hopeless = matches!(
            self.failure,
            Some(Failure::KeyRefused | Failure::Ambiguous(_))
        );
        if self.tries > TRIES_MAX || hopeless || self.unreachable_at_first() {
            let failure = self.failure.take().unwrap_or(Failure::NoData);
            return self.fail(failure);
        }
        // Answers from the last owner that are still under way must not count for the next.
        self.round += 1;
        self.again = false;
        shared.pause(now, self.operation, PAUSE * (1 << self.tries));
        Progress::Waits
    }

    /// Whether the cluster could not be reached before any owner was offered the song. Then the
    /// upload fails at once.
    fn unreachable_at_first(&self) -> bool {
        let unreachable = matches!(self.failure, Some(Failure::Unreachable { .. }));
        unreachable && self.owner.is_none()
    }

    /// Continues after a pause.
    pub(super) fn on_timer(&mut self, cx: &mut Cx<'_>) -> Progress {
        if self.again {
            return self.offer(cx);
        }
        self.place()
    }

    fn end(&self, copies: u8, known: bool) -> Progress {
        let Some(file) = &self.file else {
            return Progress::Waits;
        };
        Progress::Ends(Notice::Uploaded {
            operation: self.operation,
            song: file.manifest.song.id,
            copies,
            known,
        })
    }
}

impl File {
    fn length(&self, index: u32) -> u64 {
        (self.manifest.fragments.get(index as usize)).map_or(0, |f| u64::from(f.length))
    }
}
