//! Who waits for the answer to a durable upload or write, and for which facts.
//!
//! A client that is told that its song is stored may lose the machine that stores it the next
//! moment, or ask any router for the song. So the answer waits for a second copy, as long as one
//! may still succeed, and then until every router that keeps up knows the song. A router that does
//! not answer delays one upload by at most `ROUTERS_PATIENCE`, and later uploads not at all.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use super::answers::{set_aside, stored};
use crate::contract::id::{NodeId, SongId};
use crate::contract::message::Message;
use crate::contract::node::{Asker, Outbox};
use crate::contract::time::Time;
use crate::contract::timers::{Timers, earlier};
use crate::purpose::replication::Key;
use crate::requests::GIVE_PATIENCE;

/// Longest wait for the routers: many times the duration of an announcement, and short beside the
/// writes of an upload.
const ROUTERS_PATIENCE: Duration = Duration::from_millis(250);

/// What is durable here and not answered yet: uploads, and what listeners write. Each belongs to an admitted question, so
/// the limit on questions bounds their number.
#[derive(Debug, Default)]
pub(super) struct Acknowledgements {
    /// Uploads that wait for a second copy.
    copies: BTreeMap<SongId, Vec<AwaitingCopy>>,
    /// When the first upload of a song has waited long enough for its copy.
    due: Timers<SongId>,
    /// Who waits for the routers, in the order in which they began to wait.
    routers: VecDeque<AwaitingRouters>,
}

/// A song that is durable here, and the client that waits for the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upload {
    pub(super) asker: Asker,
    pub(super) song: SongId,
    /// The library's revision with the song in it.
    pub(super) revision: u64,
}

#[derive(Debug)]
struct AwaitingCopy {
    upload: Upload,
    /// Nodes whose copy may still succeed; never empty.
    nodes: Vec<NodeId>,
}

#[derive(Debug)]
struct AwaitingRouters {
    asker: Asker,
    /// What the asker hears.
    answer: Message,
    /// The library's revision that the routers are to know.
    revision: u64,
    until: Time,
}

impl AwaitingCopy {
    /// The client must be answered in time, with or without a second copy.
    fn until(&self) -> Time {
        let patience = self.upload.asker.until.since(Time::ZERO);
        Time::ZERO + patience.saturating_sub(GIVE_PATIENCE)
    }
}

impl Acknowledgements {
    /// Takes an upload that copies to these nodes may follow.
    pub(super) fn wait(&mut self, now: Time, upload: Upload, nodes: Vec<NodeId>) {
        if nodes.is_empty() {
            return self.have_copies(now, upload, 1);
        }
        let awaiting = AwaitingCopy { upload, nodes };
        self.due.arm_by(upload.song, awaiting.until());
        self.copies.entry(upload.song).or_default().push(awaiting);
    }

    /// A second copy of the song is durable.
    pub(super) fn on_copy(&mut self, now: Time, song: SongId) {
        self.due.disarm(&song);
        for AwaitingCopy { upload, .. } in self.copies.remove(&song).unwrap_or_default() {
            self.have_copies(now, upload, 2);
        }
    }

    /// That copy is not made for now, so nobody waits for it any longer.
    pub(super) fn on_no_copy(&mut self, now: Time, (song, node): Key) {
        self.release(now, song, |one| {
            one.nodes.retain(|other| *other != node);
            one.nodes.is_empty()
        });
    }

    /// Ends the waits of a song for its second copy that are over.
    fn release(
        &mut self,
        now: Time,
        song: SongId,
        mut over: impl FnMut(&mut AwaitingCopy) -> bool,
    ) {
        let Some(waiting) = self.copies.get_mut(&song) else {
            return;
        };
        let ended: Vec<AwaitingCopy> = waiting.extract_if(.., |one| over(one)).collect();
        if let Some(next) = waiting.iter().map(AwaitingCopy::until).min() {
            self.due.arm(song, next);
        } else {
            self.copies.remove(&song);
            self.due.disarm(&song);
        }
        for AwaitingCopy { upload, .. } in ended {
            self.have_copies(now, upload, 1);
        }
    }

    /// What was asked for is durable: the answer waits only until the routers know this revision.
    pub(super) fn await_routers(
        &mut self,
        now: Time,
        asker: Asker,
        (answer, revision): (Message, u64),
    ) {
        let until = now + ROUTERS_PATIENCE;
        self.routers.push_back(AwaitingRouters {
            asker,
            answer,
            revision,
            until,
        });
    }

    fn have_copies(&mut self, now: Time, upload: Upload, copies: u8) {
        self.await_routers(now, upload.asker, (stored(copies), upload.revision));
    }

    /// Ends the waits for a copy for which there is no time left. Returns the latest revision among
    /// the uploads that have waited long enough for the routers.
    pub(super) fn on_tick(&mut self, now: Time) -> Option<u64> {
        while let Some(song) = self.due.pop_due(now) {
            self.release(now, song, |one| one.until() <= now);
        }
        let overdue = self.routers.iter().take_while(|one| one.until <= now);
        overdue.map(|one| one.revision).max()
    }

    /// Answers what every prompt router knows. `heard` is the least revision among
    /// prompt routers; `None` (no such router) answers all that wait for routers.
    pub(super) fn answer(&mut self, heard: Option<u64>, out: &mut Outbox) {
        self.routers.retain(|one| {
            let known = heard.is_none_or(|heard| heard >= one.revision);
            if known {
                out.answer(one.asker, one.answer.clone());
            }
            !known
        });
    }

    /// The library that had these songs is set aside: each client hears it, and stores again.
    pub(super) fn refuse(&mut self, out: &mut Outbox) {
        let for_copy = core::mem::take(&mut self.copies).into_values().flatten();
        for upload in for_copy.map(|one| one.upload) {
            self.due.disarm(&upload.song);
            out.answer(upload.asker, set_aside());
        }
        for one in core::mem::take(&mut self.routers) {
            out.answer(one.asker, set_aside());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.copies.is_empty() && self.routers.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let routers = self.routers.front().map(|one| one.until);
        earlier(self.due.next(), routers)
    }
}

#[cfg(test)]
mod tests;
