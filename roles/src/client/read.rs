//! An open song: the client finds its holders, fetches its manifest, then reads it fragment by
//! fragment from the cache or a holder.
//!
//! Fragments are delivered in order, as far as the session's credit allows, and a few at most are
//! read ahead. When a fragment does not come, or comes damaged, another holder is asked. When the
//! known holders have failed, a router is asked for the holders again. After the close no fragment
//! is asked for.

mod slot;

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::ask::{Routing, senseless};
use super::find::Found;
use super::{Answer, Progress, Purpose, Shared, failed, local};
use crate::anomalies::Anomaly;
use crate::contract::id::{OperationId, SongPrefix};
use crate::contract::job::{ClientJob, JobFault, JobReply};
use crate::contract::message::{Audio, Catalogue, Holder, Message, Position};
use crate::contract::node::Peer;
use crate::contract::record::Address;
use crate::contract::song::Manifest;
use crate::contract::time::Time;
use crate::contract::user::{ALL_BYTES, Failure, Notice, Origin};
use crate::cx::Cx;
use crate::purpose::client::ReadStep;
use crate::purpose::{Asked, Ordered};
use crate::requests::Policy;
use slot::{Chunk, Part, Slot};

/// Most fragments that are ready or asked for at once, beginning with the next to deliver.
const AHEAD: u32 = 4;

/// Most rounds over all holders without one new fragment. After that the read fails.
const TRIES_MAX: u32 = 6;

/// Unit of the pause between two such rounds. The nth pause is at most `PAUSE` times 2 to the power
/// n.
const PAUSE: Duration = Duration::from_millis(100);

/// The policy for all fragments but the first of a range. An attempt may take long, because a dead
/// holder is noticed earlier by its lost connection.
const FRAGMENT: Policy = Policy {
    deadline: Duration::from_secs(20),
    attempt: Duration::from_secs(3),
    rounds: 2,
};

/// A song that is open.
#[derive(Debug)]
pub(super) struct Read {
    operation: OperationId,
    manifest: Arc<Manifest>,
    pub(super) routing: Routing,
    holders: Vec<Holder>,
    /// The manifest was in the cache, so fragments may be there, too.
    cached: bool,
    next: u32,
    end: u32,
    /// The bytes of the file that are needed: from this offset, to before that.
    needed: (u64, u64),
    /// A range is being read, and its end has not been reported.
    reading: bool,
    credit: u32,
    slots: BTreeMap<u32, Slot>,
    /// No fragment of this range has been delivered. The listener waits for the next one, so a slow
    /// holder is hedged early.
    first: bool,
    tries: u32,
    locating: bool,
    /// Why the last fragment did not come.
    failure: Option<Failure>,
}

impl Read {
    /// A song that was found. Nothing of it is read yet.
    pub(super) fn new(operation: OperationId, found: Found, shared: &mut Shared) -> Self {
        let Found {
            manifest,
            holders,
            cached,
        } = found;
        Read {
            operation,
            manifest: shared.manifests.share(manifest),
            routing: Routing::default(),
            holders,
            cached,
            next: 0,
            end: 0,
            needed: ALL_BYTES,
            reading: false,
            credit: 0,
            slots: BTreeMap::new(),
            first: true,
            tries: 0,
            locating: false,
            failure: None,
        }
    }

    fn locate(&mut self) -> Progress {
        self.locating = true;
        let prefix = self.prefix();
        Progress::AskRouter(Message::Catalogue(Catalogue::Locate { prefix }))
    }

    /// The digits by which the song is looked up.
    pub(super) fn prefix(&self) -> SongPrefix {
        self.manifest.song.id.into()
    }

    fn fail(&self, failure: Failure) -> Progress {
        Progress::Ends(failed(self.operation, failure))
    }

    /// Takes the holders from a router or a look-up.
    pub(super) fn on_router(
        &mut self,
        cx: &mut Cx<'_>,
        answer: Catalogue,
        shared: &mut Shared,
    ) -> Progress {
        self.locating = false;
        let Catalogue::Located { holders, .. } = answer else {
            return self.fail(senseless());
        };
        shared.meet(cx, &holders);
        self.holders = holders;
        if self.holders.is_empty() {
            // One may appear.
            self.failure = Some(Failure::NoCopy);
            return self.try_later(cx.now, shared);
        }
        self.fill(cx, shared)
    }

    /// Continues without a router, after a pause.
    pub(super) fn on_unrouted(
        &mut self,
        now: Time,
        failure: Failure,
        shared: &mut Shared,
    ) -> Progress {
        self.locating = false;
        self.failure = Some(failure);
        self.try_later(now, shared)
    }

    /// Reads another range: from fragment `first` to before `end`, both cut to the song's length, and
    /// of these the bytes of the file that are `needed`.
    pub(super) fn range(
        &mut self,
        cx: &mut Cx<'_>,
        (first, end): (u32, u32),
        needed: (u64, u64),
        shared: &mut Shared,
    ) -> Progress {
        let count = self.manifest.song.fragments;
        (self.next, self.end) = (first.min(count), end.min(count));
        let kept = self.next..self.end;
        self.needed = needed;
        let dropped: Vec<u32> = (self.slots.iter())
            .filter(|(index, slot)| !kept.contains(index) || slot.lacks(self.part_of(**index)))
            .map(|(index, _)| *index)
            .collect();
        for index in dropped {
            self.drop_slot(cx, index, shared);
        }
        (self.first, self.reading, self.tries) = (true, true, 0);
        self.fill(cx, shared)
    }

    /// Adds credit: the session has room for `count` more fragments.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>, count: u32, shared: &mut Shared) -> Progress {
        self.credit = self.credit.saturating_add(count);
        self.fill(cx, shared)
    }

    /// Ends the read. Answers and job replies that are still under way will be ignored.
    pub(super) fn close(mut self, cx: &mut Cx<'_>, shared: &mut Shared) {
        let all: Vec<u32> = self.slots.keys().copied().collect();
        for index in all {
            self.drop_slot(cx, index, shared);
        }
    }

    fn drop_slot(&mut self, cx: &mut Cx<'_>, index: u32, shared: &mut Shared) {
        match self.slots.remove(&index) {
            Some(Slot::Asking(id, at, _)) => {
                cx.cancel(id);
                shared.peers.on_ended(at);
            }
            Some(Slot::Recalling(job, _) | Slot::Checking(job, _)) => cx.forget(job),
            Some(Slot::Wanted | Slot::Ready(..)) | None => (),
        }
    }

    /// Delivers the fragments that are ready, and asks for those that are missing.
    fn fill(&mut self, cx: &mut Cx<'_>, shared: &mut Shared) -> Progress {
        self.deliver(cx);
        let ahead = self.end.min(self.next.saturating_add(AHEAD));
        for index in self.next..ahead {
            if let Entry::Vacant(slot) = self.slots.entry(index) {
                slot.insert(Slot::Wanted);
                self.recall_fragment(cx, index);
            }
        }
        self.fetch_wanted(cx, shared)
    }

    fn deliver(&mut self, cx: &mut Cx<'_>) {
        while self.credit > 0
            && let Some(Slot::Ready(..)) = self.slots.get(&self.next)
        {
            if let Some(Slot::Ready((skipped, _), bytes, origin)) = self.slots.remove(&self.next) {
                cx.out.tell(Notice::Fragment {
                    operation: self.operation,
                    index: self.next,
                    skipped,
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
            cx.out.tell(Notice::ReadDone {
                operation: self.operation,
            });
        }
    }

    fn recall_fragment(&mut self, cx: &mut Cx<'_>, index: u32) {
        let Some(fragment) = self.manifest.fragments.get(index as usize) else {
            return;
        };
        if !self.cached {
            return;
        }
        let part = self.part_of(index);
        let job = ClientJob::CachedFragment {
            song: self.manifest.song.id,
            index,
            part,
            length: fragment.length,
            hash: fragment.hash,
        };
        let purpose = Purpose::Read(self.operation, ReadStep::Recall(index));
        let job = cx.run(Ordered::Client(purpose), job);
        self.slots.insert(index, Slot::Recalling(job, part));
    }

    /// The part of a fragment that is needed.
    fn part_of(&self, index: u32) -> Part {
        let length = self.length_of(index);
        let (from, to) = self.needed;
        if self.needed == ALL_BYTES {
            return (0, length);
        }
        let before = self.manifest.fragments.iter().take(index as usize);
        let start: u64 = before.map(|fragment| u64::from(fragment.length)).sum();
        let within = |at: u64| at.saturating_sub(start).min(u64::from(length)) as u32;
        (within(from).min(within(to)), within(to))
    }

    fn length_of(&self, index: u32) -> u32 {
        let fragment = self.manifest.fragments.get(index as usize);
        fragment.map_or(0, |fragment| fragment.length)
    }

    /// Asks holders for every wanted fragment, unless the read waits for a pause or for new
    /// holders.
    fn fetch_wanted(&mut self, cx: &mut Cx<'_>, shared: &mut Shared) -> Progress {
        if self.locating || shared.timers.armed(&self.operation).is_some() {
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
            self.fetch(cx, index, shared);
        }
        Progress::Waits
    }

    fn fetch(&mut self, cx: &mut Cx<'_>, index: u32, shared: &mut Shared) {
        let order = shared
            .peers
            .better_of_two(cx.now, &self.holders, &mut shared.rng);
        let Some(best) = order.first().copied() else {
            return;
        };
        // Only the first fragment is hedged early, because the listener hears silence until it
        // comes. For later fragments an early hedge would only add load.
        let hurry = self.first && index == self.next;
        let policy = Policy {
            attempt: if hurry {
                shared.config.hedge_after
            } else {
                FRAGMENT.attempt
            },
            ..FRAGMENT
        };
        let (song, length) = (self.manifest.song.id, self.length_of(index));
        let part = slot::part_to_ask(self.part_of(index), length, &self.holders);
        let question = Message::Audio(if part == (0, length) {
            Audio::Fetch {
                song,
                from: Position::Index(index),
                count: 1,
            }
        } else {
            Audio::FetchPart { song, index, part }
        });
        let candidates = order.into_iter().map(Peer::Node).collect();
        let purpose = Purpose::Read(self.operation, ReadStep::Fetch(index, best));
        let asked = cx.ask(Asked::Client(purpose), candidates, question, policy);
        if let Some(id) = asked {
            shared.peers.on_asked(best);
            self.slots.insert(index, Slot::Asking(id, best, part));
        } else {
            // Too many questions are in flight, so the fragment stays wanted until after a pause.
            shared.pause(cx.now, self.operation, PAUSE);
        }
    }

    /// Takes the answer of a data node, or the failure of all holders.
    pub(super) fn on_reply(
        &mut self,
        cx: &mut Cx<'_>,
        step: ReadStep,
        reply: Answer,
        shared: &mut Shared,
    ) -> Progress {
        match step {
            ReadStep::Fetch(index, asked) => {
                shared.peers.on_ended(asked);
                self.on_chunk(cx, index, reply, shared)
            }
            ReadStep::Recall(_) | ReadStep::Check(..) => Progress::Waits,
        }
    }

    fn on_chunk(
        &mut self,
        cx: &mut Cx<'_>,
        index: u32,
        reply: Answer,
        shared: &mut Shared,
    ) -> Progress {
        let whole = (0, self.length_of(index));
        let part = self.slots.get(&index).and_then(Slot::part);
        let part = part.unwrap_or(whole);
        let chunk = match slot::chunk_of(reply, index, part == whole) {
            Ok(chunk) => chunk,
            Err(why) => return self.miss(cx.now, index, why, shared),
        };
        shared.peers.on_load(chunk.from, chunk.load);
        self.check(cx, (index, part), chunk, shared);
        Progress::Waits
    }

    /// Starts a job that checks the bytes on a worker thread and, if the song is cached, stores
    /// them.
    fn check(
        &mut self,
        cx: &mut Cx<'_>,
        (index, part): (u32, Part),
        chunk: Chunk,
        shared: &mut Shared,
    ) {
        let Chunk {
            from,
            values,
            bytes,
            ..
        } = chunk;
        let Some(fragment) = self.manifest.fragments.get(index as usize) else {
            return;
        };
        let (song, hash, keep) = (
            self.manifest.song.id,
            fragment.hash,
            shared.caches_from(from, &self.manifest),
        );
        let job = match values {
            None => ClientJob::CacheFragment {
                song,
                index,
                hash,
                keep,
                bytes,
            },
            Some(values) => ClientJob::CachePart {
                song,
                index,
                part,
                length: fragment.length,
                hash,
                keep,
                values,
                bytes,
            },
        };
        let purpose = Purpose::Read(self.operation, ReadStep::Check(index, from));
        let job = cx.run(Ordered::Client(purpose), job);
        self.slots.insert(index, Slot::Checking(job, part));
    }

    /// Handles a fragment that did not come. The next round begins after a pause, and asks a router
    /// for the holders again.
    fn miss(&mut self, now: Time, index: u32, why: Failure, shared: &mut Shared) -> Progress {
        self.slots.insert(index, Slot::Wanted);
        self.failure = Some(why);
        // The list may be outdated. Without it, the next round begins with a router.
        self.holders.clear();
        // Several fragments of one round may fail. They count as one try.
        if shared.timers.armed(&self.operation).is_some() || self.locating {
            return Progress::Waits;
        }
        self.try_later(now, shared)
    }

    fn try_later(&mut self, now: Time, shared: &mut Shared) -> Progress {
        self.tries += 1;
        if self.tries > TRIES_MAX {
            // A holder may lack a song that it has announced. The song exists then, so the failure
            // is a missing copy.
            let failure = self.failure.take().filter(|why| *why != Failure::NotFound);
            return self.fail(failure.unwrap_or(Failure::NoCopy));
        }
        shared.pause(now, self.operation, PAUSE * (1 << self.tries));
        Progress::Waits
    }

    /// Continues after a pause.
    pub(super) fn on_timer(&mut self, cx: &mut Cx<'_>, shared: &mut Shared) -> Progress {
        self.fill(cx, shared)
    }

    /// Takes the reply to a job of this machine.
    pub(super) fn on_done(
        &mut self,
        cx: &mut Cx<'_>,
        step: ReadStep,
        reply: JobReply,
        shared: &mut Shared,
    ) -> Progress {
        match step {
            ReadStep::Recall(index) => self.on_recalled_fragment(cx, index, reply, shared),
            ReadStep::Check(index, from) => self.on_checked(cx, index, from, reply, shared),
            ReadStep::Fetch(..) => Progress::Waits,
        }
    }

    fn on_recalled_fragment(
        &mut self,
        cx: &mut Cx<'_>,
        index: u32,
        reply: JobReply,
        shared: &mut Shared,
    ) -> Progress {
        let slot = match (reply, self.slots.get(&index)) {
            (JobReply::Fragment { bytes, .. }, Some(Slot::Recalling(_, part))) => {
                Slot::Ready(*part, bytes, Origin::Cache)
            }
            (_, _) => Slot::Wanted,
        };
        self.slots.insert(index, slot);
        self.fill(cx, shared)
    }

    fn on_checked(
        &mut self,
        cx: &mut Cx<'_>,
        index: u32,
        from: Address,
        reply: JobReply,
        shared: &mut Shared,
    ) -> Progress {
        if let JobReply::Fragment { bytes, .. } = reply {
            self.tries = 0;
            let part = self.slots.get(&index).and_then(Slot::part);
            let part = part.unwrap_or((0, self.length_of(index)));
            let slot = Slot::Ready(part, bytes, Origin::Node(from));
            self.slots.insert(index, slot);
            return self.fill(cx, shared);
        }
        let JobReply::Failed(fault) = reply else {
            return self.miss(cx.now, index, senseless(), shared);
        };
        if fault == JobFault::Damaged {
            shared.anomalies.note(cx, Anomaly::Bytes, from);
            // A holder of a damaged copy is asked after the others for a while, like one that
            // failed.
            shared.peers.on_lost(cx.now, from);
        }
        self.miss(cx.now, index, local(fault), shared)
    }
}
