//! An open song: found, described, then read fragment by fragment from the cache or a holder.
//!
//! Delivers in order, as far as the front allows, and reads ahead a few fragments at most. A
//! fragment that does not come, or comes damaged, is asked for elsewhere; when the known holders
//! are exhausted the router is asked who has it by now. Nothing is asked for after the close.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::ask::{Routing, senseless};
use super::{Context, Progress, Purpose, Reply, failed, failure, local};
use crate::anomalies::Anomaly;
use crate::contract::id::{JobId, OperationId, RequestId, SongPrefix};
use crate::contract::job::{ClientJob, JobFault, JobReply};
use crate::contract::message::{Audio, Catalogue, Holder, Message, Position, Refusal};
use crate::contract::node::{Outbox, Peer};
use crate::contract::record::{Address, Role};
use crate::contract::song::Manifest;
use crate::contract::time::Time;
use crate::contract::user::{Failure, Notice, Origin};
use crate::requests::Policy;

/// Fragments asked for ahead of the one to be delivered next.
const AHEAD: u32 = 4;

/// Rounds over all holders without one new fragment before the read gives up.
const TRIES_MAX: u32 = 6;

/// Pause before the first of those rounds begins again; doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// A fragment that is not the first: a lost holder is noticed by its connection long before.
const FRAGMENT: Policy = Policy {
    deadline: Duration::from_secs(20),
    attempt: Duration::from_secs(3),
    rounds: 2,
};

/// A song that is open, or being opened.
#[derive(Debug)]
pub(super) struct Read {
    operation: OperationId,
    prefix: SongPrefix,
    pub(super) routing: Routing,
    stage: Stage,
    holders: Vec<Holder>,
    /// The cache may have fragments of it.
    cached: bool,
    next: u32,
    end: u32,
    /// A range has been asked for and its end not been told.
    reading: bool,
    credit: u32,
    slots: BTreeMap<u32, Slot>,
    /// Nothing of this range has been delivered: what is first is in a hurry.
    first: bool,
    tries: u32,
    locating: bool,
    /// Why the last fragment did not come.
    failure: Option<Failure>,
}

#[derive(Debug)]
enum Stage {
    /// Looking for its manifest in the cache. Holds why the cluster could not help, if it was
    /// asked before.
    Recalling(Option<Failure>),
    Locating,
    Describing,
    Open(Arc<Manifest>),
}

/// A fragment on its way.
#[derive(Debug)]
enum Slot {
    /// Nobody has been asked yet, or the next is to be asked after a pause.
    Wanted,
    Recalling(JobId),
    Asking(RequestId, Address),
    Checking(JobId),
    Ready(Vec<u8>, Origin),
}

/// What a question or a job of a read is for.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Manifest,
    Describe,
    Recall(u32),
    Fetch(u32, Address),
    Check(u32, Address),
}

impl Read {
    /// Begins to open a song: a whole id may stand in the cache already.
    pub(super) fn open(
        operation: OperationId,
        prefix: SongPrefix,
        cx: &mut Context,
        out: &mut Outbox,
    ) -> (Self, Progress) {
        let mut read = Read {
            operation,
            prefix,
            routing: Routing::default(),
            stage: Stage::Locating,
            holders: Vec::new(),
            cached: false,
            next: 0,
            end: 0,
            reading: false,
            credit: 0,
            slots: BTreeMap::new(),
            first: true,
            tries: 0,
            locating: false,
            failure: None,
        };
        let progress = if prefix.is_whole() {
            read.recall(None, cx, out)
        } else {
            read.locate()
        };
        (read, progress)
    }

    fn recall(&mut self, failure: Option<Failure>, cx: &mut Context, out: &mut Outbox) -> Progress {
        self.stage = Stage::Recalling(failure);
        let prefix = self.prefix;
        let purpose = Purpose::Read(self.operation, Step::Manifest);
        cx.jobs
            .run(purpose, ClientJob::CachedManifest { prefix }, out);
        Progress::Waits
    }

    fn locate(&mut self) -> Progress {
        self.locating = true;
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

    /// A router says who has the song.
    pub(super) fn on_router(
        &mut self,
        now: Time,
        answer: Catalogue,
        cx: &mut Context,
        out: &mut Outbox,
    ) -> Progress {
        self.locating = false;
        let Catalogue::Located { song, holders } = answer else {
            return self.fail(senseless());
        };
        for holder in &holders {
            cx.peers.on_load(holder.address, holder.load);
            out.meet(holder.address, holder.features);
        }
        self.holders = holders;
        if let Stage::Open(_) = self.stage {
            return self.after_locating(now, cx, out);
        }
        let known = self.prefix.is_whole();
        self.prefix = song.id.into();
        if known && !matches!(self.stage, Stage::Recalling(_)) {
            return self.describe(now, cx, out); // The cache has been asked before.
        }
        self.recall(None, cx, out)
    }

    /// Fresh holders for an open song: go on, or wait a little for one to appear.
    fn after_locating(&mut self, now: Time, cx: &mut Context, out: &mut Outbox) -> Progress {
        if self.holders.is_empty() {
            self.failure = Some(Failure::NoCopy);
            return self.try_later(now, cx);
        }
        self.fill(now, cx, out)
    }

    /// No router could help: the cache may, or the holders known before.
    pub(super) fn on_unrouted(
        &mut self,
        now: Time,
        failure: Failure,
        cx: &mut Context,
        out: &mut Outbox,
    ) -> Progress {
        self.locating = false;
        if let Stage::Open(_) = self.stage {
            self.failure = Some(failure);
            return self.try_later(now, cx);
        }
        let reachable = matches!(
            failure,
            Failure::NotFound | Failure::Ambiguous(_) | Failure::Refused(_)
        );
        if reachable || self.prefix.is_whole() {
            return self.fail(failure);
        }
        self.recall(Some(failure), cx, out)
    }

    fn describe(&mut self, now: Time, cx: &mut Context, out: &mut Outbox) -> Progress {
        if self.holders.is_empty() {
            return self.fail(Failure::NoCopy);
        }
        self.stage = Stage::Describing;
        let order = cx.peers.better_of_two(now, &self.holders, &mut cx.rng);
        let candidates = order.into_iter().map(Peer::Node).collect();
        let song = self.prefix.first();
        let question = Message::Audio(Audio::Describe { song });
        let purpose = Purpose::Read(self.operation, Step::Describe);
        let asked = cx
            .requests
            .ask(now, purpose, candidates, question, Policy::GROUP, out);
        match asked {
            Some(_) => Progress::Waits,
            None => self.fail(Failure::Busy),
        }
    }

    fn opened(&mut self, manifest: Manifest, cx: &mut Context, out: &mut Outbox) -> Progress {
        out.tell(Notice::Opened {
            operation: self.operation,
            manifest: manifest.clone(),
            holders: self.holders.clone(),
        });
        self.prefix = manifest.song.id.into();
        self.stage = Stage::Open(cx.manifests.share(manifest));
        Progress::Waits
    }

    /// Delivers another range from here on.
    pub(super) fn range(
        &mut self,
        now: Time,
        first: u32,
        end: u32,
        cx: &mut Context,
        out: &mut Outbox,
    ) -> Progress {
        let Stage::Open(manifest) = &self.stage else {
            return Progress::Waits;
        };
        let count = manifest.song.fragments;
        (self.next, self.end) = (first.min(count), end.min(count));
        let kept = self.next..self.end;
        let dropped: Vec<u32> = (self.slots.keys().copied())
            .filter(|index| !kept.contains(index))
            .collect();
        for index in dropped {
            self.drop_slot(index, cx);
        }
        (self.first, self.reading, self.tries) = (true, true, 0);
        self.fill(now, cx, out)
    }

    /// The front has room for more.
    pub(super) fn take(
        &mut self,
        now: Time,
        count: u32,
        cx: &mut Context,
        out: &mut Outbox,
    ) -> Progress {
        self.credit = self.credit.saturating_add(count);
        self.fill(now, cx, out)
    }

    /// Ends it: what is asked for and ordered will find nobody.
    pub(super) fn close(mut self, cx: &mut Context) {
        let all: Vec<u32> = self.slots.keys().copied().collect();
        for index in all {
            self.drop_slot(index, cx);
        }
    }

    fn drop_slot(&mut self, index: u32, cx: &mut Context) {
        match self.slots.remove(&index) {
            Some(Slot::Asking(id, at)) => {
                cx.requests.cancel(id);
                cx.peers.on_ended(at);
            }
            Some(Slot::Recalling(job) | Slot::Checking(job)) => cx.jobs.forget(job),
            Some(Slot::Wanted | Slot::Ready(..)) | None => (),
        }
    }

    /// Delivers what is ready, asks for what is missing.
    fn fill(&mut self, now: Time, cx: &mut Context, out: &mut Outbox) -> Progress {
        if !matches!(self.stage, Stage::Open(_)) {
            return Progress::Waits;
        }
        self.deliver(out);
        let ahead = self.end.min(self.next.saturating_add(AHEAD));
        for index in self.next..ahead {
            if let Entry::Vacant(slot) = self.slots.entry(index) {
                slot.insert(Slot::Wanted);
                self.recall_fragment(index, cx, out);
            }
        }
        self.fetch_wanted(now, cx, out)
    }

    fn deliver(&mut self, out: &mut Outbox) {
        while self.credit > 0
            && let Some(Slot::Ready(..)) = self.slots.get(&self.next)
        {
            if let Some(Slot::Ready(bytes, origin)) = self.slots.remove(&self.next) {
                out.tell(Notice::Fragment {
                    operation: self.operation,
                    index: self.next,
                    bytes,
                    origin,
                });
            }
            self.next += 1;
            self.credit -= 1;
            self.first = false;
        }
        if self.reading && self.next >= self.end {
            self.reading = false;
            out.tell(Notice::ReadDone {
                operation: self.operation,
            });
        }
    }

    fn recall_fragment(&mut self, index: u32, cx: &mut Context, out: &mut Outbox) {
        let Stage::Open(manifest) = &self.stage else {
            return;
        };
        let Some(fragment) = manifest.fragments.get(index as usize) else {
            return;
        };
        if !self.cached {
            return;
        }
        let job = ClientJob::CachedFragment {
            song: manifest.song.id,
            index,
            length: fragment.length,
            hash: fragment.hash,
        };
        let purpose = Purpose::Read(self.operation, Step::Recall(index));
        let job = cx.jobs.run(purpose, job, out);
        self.slots.insert(index, Slot::Recalling(job));
    }

    /// Asks holders for every fragment that nobody has been asked for.
    fn fetch_wanted(&mut self, now: Time, cx: &mut Context, out: &mut Outbox) -> Progress {
        if self.locating || cx.timers.armed(&self.operation).is_some() {
            return Progress::Waits;
        }
        let wanted = |(_, slot): &(&u32, &Slot)| matches!(slot, Slot::Wanted);
        let wanted: Vec<u32> = self.slots.iter().filter(wanted).map(|(i, _)| *i).collect();
        if wanted.is_empty() {
            return Progress::Waits;
        }
        if self.holders.is_empty() {
            return self.locate();
        }
        for index in wanted {
            self.fetch(now, index, cx, out);
        }
        Progress::Waits
    }

    fn fetch(&mut self, now: Time, index: u32, cx: &mut Context, out: &mut Outbox) {
        let order = cx.peers.better_of_two(now, &self.holders, &mut cx.rng);
        let Some(best) = order.first().copied() else {
            return;
        };
        let hurry = self.first && index == self.next;
        let policy = Policy {
            attempt: if hurry {
                cx.config.hedge_after
            } else {
                FRAGMENT.attempt
            },
            ..FRAGMENT
        };
        let question = Message::Audio(Audio::Fetch {
            song: self.prefix.first(),
            from: Position::Index(index),
            count: 1,
        });
        let candidates = order.into_iter().map(Peer::Node).collect();
        let purpose = Purpose::Read(self.operation, Step::Fetch(index, best));
        let asked = cx
            .requests
            .ask(now, purpose, candidates, question, policy, out);
        if let Some(id) = asked {
            cx.peers.on_asked(best);
            self.slots.insert(index, Slot::Asking(id, best));
        } else {
            // Too many questions are open: this one waits for its turn.
            cx.pause(now, self.operation, PAUSE);
        }
    }

    /// An answer of a data node, or why there is none.
    pub(super) fn on_reply(
        &mut self,
        now: Time,
        step: Step,
        reply: Reply,
        cx: &mut Context,
        out: &mut Outbox,
    ) -> Progress {
        match step {
            Step::Describe => self.on_described(reply, cx, out),
            Step::Fetch(index, asked) => {
                cx.peers.on_ended(asked);
                self.on_chunk(now, index, reply, cx, out)
            }
            Step::Manifest | Step::Recall(_) | Step::Check(..) => Progress::Waits,
        }
    }

    fn on_described(&mut self, reply: Reply, cx: &mut Context, out: &mut Outbox) -> Progress {
        let manifest = match reply {
            Ok((_, Message::Audio(Audio::Described { manifest }), _)) => manifest,
            Ok((_, Message::Refused(why), _)) => {
                return self.fail(failure(Role::Data, Some(why), None));
            }
            Ok(_) => return self.fail(senseless()),
            // The router knows it: not the song is unknown, its copies are.
            Err((Some(Refusal::NotFound), _)) => return self.fail(Failure::NoCopy),
            Err((refusal, lost)) => return self.fail(failure(Role::Data, refusal, lost)),
        };
        if manifest.check().is_err() || !self.prefix.matches(manifest.song.id) {
            return self.fail(senseless());
        }
        if keeps(&manifest, cx) {
            let job = ClientJob::CacheManifest {
                manifest: manifest.clone(),
            };
            cx.jobs.run(Purpose::Note, job, out);
        }
        self.opened(manifest, cx, out)
    }

    fn on_chunk(
        &mut self,
        now: Time,
        index: u32,
        reply: Reply,
        cx: &mut Context,
        out: &mut Outbox,
    ) -> Progress {
        let (from, bytes) = match reply {
            Ok((Peer::Node(from), Message::Audio(Audio::Chunk { index: which, load }), bytes))
                if which == index =>
            {
                cx.peers.on_load(from, load);
                (from, bytes)
            }
            Ok((_, Message::Refused(why), _)) => {
                return self.miss(now, index, failure(Role::Data, Some(why), None), cx);
            }
            Ok(_) => return self.miss(now, index, senseless(), cx),
            Err((refusal, lost)) => {
                return self.miss(now, index, failure(Role::Data, refusal, lost), cx);
            }
        };
        self.check(index, from, bytes, cx, out);
        Progress::Waits
    }

    /// The bytes are checked on a handler's thread, and kept by the same job.
    fn check(
        &mut self,
        index: u32,
        from: Address,
        bytes: Vec<u8>,
        cx: &mut Context,
        out: &mut Outbox,
    ) {
        let Stage::Open(manifest) = &self.stage else {
            return;
        };
        let Some(fragment) = manifest.fragments.get(index as usize) else {
            return;
        };
        let job = ClientJob::CacheFragment {
            song: manifest.song.id,
            index,
            hash: fragment.hash,
            keep: keeps(manifest, cx),
            bytes,
        };
        let purpose = Purpose::Read(self.operation, Step::Check(index, from));
        let job = cx.jobs.run(purpose, job, out);
        self.slots.insert(index, Slot::Checking(job));
    }

    /// The fragment did not come: the next round begins after a pause, with fresh holders.
    fn miss(&mut self, now: Time, index: u32, why: Failure, cx: &mut Context) -> Progress {
        self.slots.insert(index, Slot::Wanted);
        self.failure = Some(why);
        self.holders.clear();
        if cx.timers.armed(&self.operation).is_some() || self.locating {
            return Progress::Waits;
        }
        self.try_later(now, cx)
    }

    fn try_later(&mut self, now: Time, cx: &mut Context) -> Progress {
        self.tries += 1;
        if self.tries > TRIES_MAX {
            // A holder that lacks a song it has announced: not the song is unknown, its copies are.
            let failure = self.failure.take().filter(|why| *why != Failure::NotFound);
            return self.fail(failure.unwrap_or(Failure::NoCopy));
        }
        cx.pause(now, self.operation, PAUSE * (1 << self.tries));
        Progress::Waits
    }

    /// A pause is over.
    pub(super) fn on_timer(&mut self, now: Time, cx: &mut Context, out: &mut Outbox) -> Progress {
        self.fill(now, cx, out)
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
        match step {
            Step::Manifest => self.on_recalled(now, reply, cx, out),
            Step::Recall(index) => self.on_recalled_fragment(now, index, reply, cx, out),
            Step::Check(index, from) => self.on_checked(now, index, from, reply, cx, out),
            Step::Describe | Step::Fetch(..) => Progress::Waits,
        }
    }

    fn on_recalled(
        &mut self,
        now: Time,
        reply: JobReply,
        cx: &mut Context,
        out: &mut Outbox,
    ) -> Progress {
        let Stage::Recalling(before) = &mut self.stage else {
            return Progress::Waits;
        };
        let before = before.take();
        match (reply, before) {
            (JobReply::Described { manifest }, _) if self.prefix.matches(manifest.song.id) => {
                self.cached = true;
                self.opened(manifest, cx, out)
            }
            (JobReply::Failed(fault @ JobFault::Ambiguous(_)), Some(_)) => self.fail(local(fault)),
            (_, Some(failure)) => self.fail(failure),
            (_, None) if self.holders.is_empty() => {
                self.stage = Stage::Locating;
                self.locate()
            }
            (_, None) => self.describe(now, cx, out),
        }
    }

    fn on_recalled_fragment(
        &mut self,
        now: Time,
        index: u32,
        reply: JobReply,
        cx: &mut Context,
        out: &mut Outbox,
    ) -> Progress {
        let slot = if let JobReply::Fragment { bytes, .. } = reply {
            Slot::Ready(bytes, Origin::Cache)
        } else {
            Slot::Wanted
        };
        self.slots.insert(index, slot);
        self.fill(now, cx, out)
    }

    fn on_checked(
        &mut self,
        now: Time,
        index: u32,
        from: Address,
        reply: JobReply,
        cx: &mut Context,
        out: &mut Outbox,
    ) -> Progress {
        if let JobReply::Fragment { bytes, .. } = reply {
            self.tries = 0;
            let slot = Slot::Ready(bytes, Origin::Node(from));
            self.slots.insert(index, slot);
            return self.fill(now, cx, out);
        }
        let JobReply::Failed(fault) = reply else {
            return self.miss(now, index, senseless(), cx);
        };
        if fault == JobFault::Damaged {
            cx.anomalies.note(Anomaly::Bytes, from, out);
            // That holder is asked last from here on; another has the song whole.
            cx.peers.on_lost(now, from);
        }
        self.miss(now, index, local(fault), cx)
    }
}

/// A song of more than half the cache would push everything else out.
fn keeps(manifest: &Manifest, cx: &Context) -> bool {
    manifest.song.bytes <= cx.config.cache_bytes / 2
}
