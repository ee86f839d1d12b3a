//! A file on its way into the cluster: scanned, placed, offered, given, committed.
//!
//! Each offer is answered with what is missing, so an upload that was cut, here or there, goes
//! on where it stood. When an owner dies, the next one on the circle is offered the song.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::ask::{Routing, senseless};
use super::{Context, Progress, Purpose, Reply, failed, failure};
use crate::contract::id::{OperationId, SourceId};
use crate::contract::job::{ClientJob, JobFault, JobReply};
use crate::contract::limits::COPIES_ACKNOWLEDGED;
use crate::contract::message::{Audio, Catalogue, Holder, Message, Refusal};
use crate::contract::node::{Lost, Outbox, Peer};
use crate::contract::record::{Address, Role};
use crate::contract::song::Manifest;
use crate::contract::time::Time;
use crate::contract::user::{Failure, Notice};
use crate::requests::{GIVE_PATIENCE, Policy};

/// Fragments on their way at once.
const GIVES_MAX: usize = 4;

/// Times the owners are asked for anew before the upload gives up.
const TRIES_MAX: u32 = 5;

/// Times a busy owner is waited for.
const BUSY_MAX: u32 = 100;

/// Times an owner may lack at the commit what it had taken.
const LACKING_MAX: u32 = 10;

const PAUSE: Duration = Duration::from_millis(200);

/// A commit reads the whole song once and waits for a second disk.
const COMMIT: Policy = Policy {
    deadline: Duration::from_secs(600),
    attempt: Duration::from_secs(600),
    rounds: 1,
};

/// A file being added.
#[derive(Debug)]
pub(super) struct Upload {
    operation: OperationId,
    source: SourceId,
    pub(super) routing: Routing,
    file: Option<File>,
    owners: VecDeque<Holder>,
    owner: Option<Address>,
    missing: VecDeque<u32>,
    gives: usize,
    /// Tells this offer's answers and jobs from an earlier one's.
    round: u32,
    tries: u32,
    busy: u32,
    /// Times an owner lacked at the commit what it had taken.
    lacking: u32,
    /// The connection with this owner broke once.
    lost: bool,
    /// A commit has been asked for: a song that is known afterwards may be known by it.
    committing: bool,
    /// The pause that runs is over when the same owner may be offered again.
    again: bool,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct File {
    manifest: Manifest,
    /// Where each fragment begins.
    offsets: Vec<u64>,
    /// Bytes that have arrived at the present owner.
    arrived: u64,
}

/// What a question or a job of an upload is for; the number is the round.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Scan,
    Read(u32),
    Offer(u32),
    Give(u32, u32),
    Commit(u32),
}

impl Upload {
    /// Begins to read a file through.
    pub(super) fn begin(
        operation: OperationId,
        source: SourceId,
        cx: &mut Context,
        out: &mut Outbox,
    ) -> Self {
        let purpose = Purpose::Upload(operation, Step::Scan);
        cx.jobs.run(purpose, ClientJob::Scan { source }, out);
        Upload {
            operation,
            source,
            routing: Routing::default(),
            file: None,
            owners: VecDeque::new(),
            owner: None,
            missing: VecDeque::new(),
            gives: 0,
            round: 0,
            tries: 0,
            busy: 0,
            lacking: 0,
            lost: false,
            committing: false,
            again: false,
            failure: None,
        }
    }

    fn fail(&self, failure: Failure) -> Progress {
        Progress::Ends(failed(self.operation, failure))
    }

    /// A job on this machine has ended.
    pub(super) fn on_done(
        &mut self,
        now: Time,
        step: Step,
        reply: JobReply,
        cx: &mut Context,
        out: &mut Outbox,
    ) -> Progress {
        match (step, reply) {
            (Step::Scan, JobReply::Described { manifest }) => self.on_scanned(manifest, out),
            // Read for an owner that is not asked any longer.
            (Step::Read(round), _) if round != self.round => Progress::Waits,
            (Step::Read(_), JobReply::Fragment { index, bytes }) => {
                self.give(now, index, bytes, cx, out)
            }
            // The owner went before the fragment was read for it.
            (Step::Read(_), JobReply::Failed(JobFault::Abandoned)) => {
                self.failure = Some(failure(Role::Data, None, Some(Lost::Closed)));
                self.offer_next(now, cx, out)
            }
            (_, JobReply::Failed(JobFault::Busy)) if self.file.is_some() => {
                self.offer_again(now, cx, out)
            }
            (_, JobReply::Failed(fault)) => self.fail(Failure::Local(fault)),
            (_, _) => self.fail(senseless()),
        }
    }

    /// The file has been read through: perhaps the cluster has it already.
    fn on_scanned(&mut self, manifest: Manifest, out: &mut Outbox) -> Progress {
        let lengths = manifest.fragments.iter().map(|f| u64::from(f.length));
        let offsets = lengths
            .scan(0, |next, length| {
                let offset = *next;
                *next += length;
                Some(offset)
            })
            .collect();
        let prefix = manifest.song.id.into();
        out.tell(Notice::Scanned {
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

    /// A router says who has the song, or who should.
    pub(super) fn on_router(
        &mut self,
        now: Time,
        answer: Catalogue,
        cx: &mut Context,
        out: &mut Outbox,
    ) -> Progress {
        match answer {
            Catalogue::Located { holders, .. } if holders.len() >= COPIES_ACKNOWLEDGED => {
                let copies = u8::try_from(holders.len()).unwrap_or(u8::MAX);
                self.end(copies, true)
            }
            // Known to one that may be dying, or to nobody: its owners know better, and an offer
            // makes the copies that are missing.
            Catalogue::Located { .. } => self.place(),
            Catalogue::Placed { owners } => {
                for owner in &owners {
                    out.meet(owner.address, owner.features);
                }
                self.owners = owners.into();
                self.offer_next(now, cx, out)
            }
            Catalogue::List { .. }
            | Catalogue::Songs { .. }
            | Catalogue::Locate { .. }
            | Catalogue::Place { .. }
            | Catalogue::Announce(_)
            | Catalogue::Announced { .. }
            | Catalogue::Inspect
            | Catalogue::Status(_) => self.fail(senseless()),
        }
    }

    /// No router knows the song, which is as it should be; or none could be asked.
    pub(super) fn on_unrouted(
        &mut self,
        now: Time,
        failure: Failure,
        cx: &mut Context,
        _out: &mut Outbox,
    ) -> Progress {
        if failure == Failure::NotFound {
            return self.place();
        }
        self.failure = Some(failure);
        self.try_later(now, cx)
    }

    fn place(&mut self) -> Progress {
        let Some(file) = &self.file else {
            return Progress::Waits;
        };
        let song = file.manifest.song.id;
        Progress::AskRouter(Message::Catalogue(Catalogue::Place { song }))
    }

    /// Offers the song to the next owner.
    fn offer_next(&mut self, now: Time, cx: &mut Context, out: &mut Outbox) -> Progress {
        let Some(owner) = self.owners.pop_front() else {
            self.failure.get_or_insert(Failure::NoData);
            return self.try_later(now, cx);
        };
        self.owner = Some(owner.address);
        (self.busy, self.lost) = (0, false);
        self.offer(now, cx, out)
    }

    fn offer(&mut self, now: Time, cx: &mut Context, out: &mut Outbox) -> Progress {
        self.round += 1;
        self.gives = 0;
        self.missing.clear();
        let Some(file) = &self.file else {
            return Progress::Waits;
        };
        let offer = Audio::Offer {
            manifest: file.manifest.clone(),
            copy: false,
        };
        self.ask(now, Step::Offer(self.round), offer, Policy::OFFER, cx, out)
    }

    fn ask(
        &mut self,
        now: Time,
        step: Step,
        question: Audio,
        policy: Policy,
        cx: &mut Context,
        out: &mut Outbox,
    ) -> Progress {
        let candidates: Vec<Peer> = self.owner.into_iter().map(Peer::Node).collect();
        let purpose = Purpose::Upload(self.operation, step);
        let question = Message::Audio(question);
        let asked = cx
            .requests
            .ask(now, purpose, candidates, question, policy, out);
        match asked {
            Some(_) => Progress::Waits,
            None => self.fail(Failure::Busy),
        }
    }

    fn give(
        &mut self,
        now: Time,
        index: u32,
        bytes: Vec<u8>,
        cx: &mut Context,
        out: &mut Outbox,
    ) -> Progress {
        let (Some(file), Some(owner)) = (&self.file, self.owner) else {
            return Progress::Waits;
        };
        let song = file.manifest.song.id;
        let purpose = Purpose::Upload(self.operation, Step::Give(self.round, index));
        let question = (Message::Audio(Audio::Give { song, index }), bytes);
        let to = Peer::Node(owner);
        let asked = cx
            .requests
            .ask_with(now, purpose, to, question, GIVE_PATIENCE, out);
        match asked {
            Some(_) => Progress::Waits,
            None => self.offer_again(now, cx, out),
        }
    }

    /// An owner has answered, or has not.
    pub(super) fn on_reply(
        &mut self,
        now: Time,
        step: Step,
        reply: Reply,
        cx: &mut Context,
        out: &mut Outbox,
    ) -> Progress {
        let round = match step {
            Step::Offer(round) | Step::Give(round, _) | Step::Commit(round) => round,
            Step::Scan | Step::Read(_) => return Progress::Waits,
        };
        if round != self.round {
            return Progress::Waits;
        }
        match (step, reply) {
            (Step::Commit(_), Ok((_, Message::Audio(Audio::Stored { copies }), _))) => {
                self.end(copies, false)
            }
            (_, Ok((_, Message::Audio(Audio::Stored { copies }), _))) => {
                self.end(copies, !self.committing)
            }
            (Step::Offer(_), Ok((_, Message::Audio(Audio::Wanted { missing }), _))) => {
                self.on_wanted(now, &missing, cx, out)
            }
            (Step::Commit(_), Ok((_, Message::Audio(Audio::Wanted { missing }), _))) => {
                self.lacking += 1;
                if self.lacking > LACKING_MAX {
                    // It has taken everything again and again, and keeps nothing.
                    self.failure = Some(senseless());
                    return self.offer_next(now, cx, out);
                }
                self.on_wanted(now, &missing, cx, out)
            }
            (Step::Give(_, index), Ok((_, Message::Audio(Audio::Taken), _))) => {
                self.on_taken(now, index, cx, out)
            }
            (_, Ok((_, Message::Refused(why @ Refusal::Invalid(_)), _))) => {
                self.fail(Failure::Refused(why))
            }
            (_, Err((Some(Refusal::Busy { .. }), _))) => self.offer_again(now, cx, out),
            // The connection broke: the same owner has most of the song and may live.
            (_, Err((None, Some(_)))) if !self.lost => {
                self.lost = true;
                self.offer_again(now, cx, out)
            }
            (_, Err((refusal, lost))) => {
                self.failure = Some(failure(Role::Data, refusal, lost));
                self.offer_next(now, cx, out)
            }
            (_, Ok(_)) => self.fail(senseless()),
        }
    }

    fn on_wanted(
        &mut self,
        now: Time,
        missing: &[(u32, u32)],
        cx: &mut Context,
        out: &mut Outbox,
    ) -> Progress {
        let Some(file) = &mut self.file else {
            return Progress::Waits;
        };
        let Some(missing) = file.manifest.missing(missing) else {
            return self.fail(senseless());
        };
        self.missing = missing;
        let lengths = (self.missing.iter()).map(|i| file.length(*i));
        file.arrived = file.manifest.song.bytes - lengths.sum::<u64>();
        self.pump(now, cx, out)
    }

    /// Keeps a few fragments on their way; commits when all have arrived.
    fn pump(&mut self, now: Time, cx: &mut Context, out: &mut Outbox) -> Progress {
        let Some(file) = &self.file else {
            return Progress::Waits;
        };
        while self.gives < GIVES_MAX
            && let Some(index) = self.missing.pop_front()
        {
            let fragment = file.manifest.fragments[index as usize];
            let job = ClientJob::ReadSource {
                source: self.source,
                index,
                offset: file.offsets[index as usize],
                length: fragment.length,
                hash: fragment.hash,
            };
            let purpose = Purpose::Upload(self.operation, Step::Read(self.round));
            match self.owner {
                Some(owner) => cx.jobs.run_toward(purpose, job, Peer::Node(owner), out),
                None => cx.jobs.run(purpose, job, out),
            };
            self.gives += 1;
        }
        if self.gives > 0 {
            return Progress::Waits;
        }
        let song = file.manifest.song.id;
        self.committing = true;
        let commit = Audio::Commit { song, copy: false };
        self.ask(now, Step::Commit(self.round), commit, COMMIT, cx, out)
    }

    fn on_taken(&mut self, now: Time, index: u32, cx: &mut Context, out: &mut Outbox) -> Progress {
        self.gives = self.gives.saturating_sub(1);
        self.busy = 0;
        if let Some(file) = &mut self.file {
            file.arrived += file.length(index);
            out.tell(Notice::Progress {
                operation: self.operation,
                bytes: file.arrived,
            });
        }
        self.pump(now, cx, out)
    }

    /// The owner is busy: the same one again, a little later, with what it lacks by then.
    fn offer_again(&mut self, now: Time, cx: &mut Context, out: &mut Outbox) -> Progress {
        self.round += 1;
        self.busy += 1;
        if self.busy > BUSY_MAX {
            let busy = Refusal::Busy { retry_after_ms: 0 };
            self.failure = Some(Failure::Refused(busy));
            return self.offer_next(now, cx, out);
        }
        self.again = true;
        cx.pause(now, self.operation, PAUSE);
        Progress::Waits
    }

    /// Everyone has failed: ask for owners anew after a pause.
    fn try_later(&mut self, now: Time, cx: &mut Context) -> Progress {
        self.tries += 1;
        let hopeless = matches!(
            self.failure,
            Some(Failure::KeyRefused | Failure::Ambiguous(_))
        );
        if self.tries > TRIES_MAX || hopeless || self.unreachable_at_first() {
            let failure = self.failure.take().unwrap_or(Failure::NoData);
            return self.fail(failure);
        }
        // What is still under way to the last owner counts neither for nor against the next.
        self.round += 1;
        self.again = false;
        cx.pause(now, self.operation, PAUSE * (1 << self.tries));
        Progress::Waits
    }

    /// A cluster that cannot be reached at the very beginning is not waited for.
    fn unreachable_at_first(&self) -> bool {
        let unreachable = matches!(self.failure, Some(Failure::Unreachable { .. }));
        unreachable && self.owner.is_none()
    }

    /// A pause is over.
    pub(super) fn on_timer(&mut self, now: Time, cx: &mut Context, out: &mut Outbox) -> Progress {
        if self.again {
            return self.offer(now, cx, out);
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
