//! A data node that is to become a router, until it knows that it may.
//!
//! Nobody else may miss a song for it: the ids kept here are compared with what each other data
//! node says that it keeps, page by page. As long as one song is nowhere else, the role is kept.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::chance::Chance;
use crate::contract::id::{JobId, SongId};
use crate::contract::job::{Job, JobReply};
use crate::contract::limits::PAGE_SONGS_MAX;
use crate::contract::message::{Audio, Letter, Message};
use crate::contract::node::{Lost, Outbox, Peer};
use crate::contract::record::{Address, Record};
use crate::contract::time::Time;
use crate::jobs::Jobs;
use crate::requests::{Desk, Outcome, Policy, Requests};
use crate::ring::Order;

/// How long a page of another node's songs may take.
const PAGE: Policy = Policy {
    deadline: Duration::from_secs(2),
    attempt: Duration::from_secs(2),
    rounds: 1,
};

/// A change of role that was ordered.
#[derive(Debug)]
pub(super) struct Change {
    order: Order,
    /// Songs kept here that no other node has been seen to keep.
    only_here: BTreeSet<SongId>,
    /// Data nodes still to be asked.
    others: Vec<Address>,
    jobs: Jobs<()>,
    requests: Requests<Address>,
}

/// What came of looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Still looking.
    Nothing,
    /// Every song is somewhere else, too.
    MayLeave,
    /// So many songs are nowhere else, or this node cannot tell.
    MustStay,
}

impl Change {
    /// Begins to look; `others` are the other data nodes.
    pub(super) fn begin(order: Order, others: &[Record], chance: Chance, out: &mut Outbox) -> Self {
        let mut change = Change {
            order,
            only_here: BTreeSet::new(),
            others: others.iter().map(|record| record.address).collect(),
            jobs: Jobs::new(Desk::Change),
            requests: Requests::new(Desk::Change, chance),
        };
        change.read_own(None, out);
        change
    }

    pub(super) fn order(&self) -> Order {
        self.order
    }

    fn read_own(&mut self, after: Option<SongId>, out: &mut Outbox) {
        let limit = PAGE_SONGS_MAX as u32;
        self.jobs.run((), Job::Songs { after, limit }, out);
    }

    pub(super) fn on_done(
        &mut self,
        now: Time,
        job: JobId,
        reply: JobReply,
        out: &mut Outbox,
    ) -> Found {
        if self.jobs.done(job).is_none() {
            return Found::Nothing;
        }
        let JobReply::Songs { songs, more } = reply else {
            return Found::MustStay;
        };
        let last = songs.last().map(|song| song.id);
        self.only_here.extend(songs.into_iter().map(|song| song.id));
        match last.filter(|_| more) {
            Some(last) => {
                self.read_own(Some(last), out);
                Found::Nothing
            }
            None => self.ask_next(now, out),
        }
    }

    fn ask_next(&mut self, now: Time, out: &mut Outbox) -> Found {
        if self.only_here.is_empty() {
            return Found::MayLeave;
        }
        match self.others.pop() {
            Some(other) => self.ask(now, other, None, out),
            None => Found::MustStay,
        }
    }

    fn ask(&mut self, now: Time, other: Address, after: Option<SongId>, out: &mut Outbox) -> Found {
        let limit = PAGE_SONGS_MAX as u32;
        let question = Message::Audio(Audio::Keep { after, limit });
        let to = [Peer::Node(other)].into();
        let asked = (self.requests).ask(now, other, to, question, PAGE, out);
        match asked {
            Some(_) => Found::Nothing,
            None => self.ask_next(now, out),
        }
    }

    pub(super) fn on_answer(
        &mut self,
        now: Time,
        from: Peer,
        letter: Letter,
        out: &mut Outbox,
    ) -> Found {
        match self.requests.on_answer(now, from, letter, out) {
            Some(outcome) => self.conclude(now, outcome, out),
            None => Found::Nothing,
        }
    }

    pub(super) fn on_lost(&mut self, now: Time, peer: Peer, why: Lost, out: &mut Outbox) -> Found {
        let ended = self.requests.on_lost(now, peer, why, out);
        self.conclude_all(now, ended, out)
    }

    pub(super) fn on_tick(&mut self, now: Time, out: &mut Outbox) -> Found {
        let ended = self.requests.on_tick(now, out);
        self.conclude_all(now, ended, out)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.requests.deadline()
    }

    fn conclude_all(&mut self, now: Time, ended: Vec<Outcome<Address>>, out: &mut Outbox) -> Found {
        let found = ended
            .into_iter()
            .map(|outcome| self.conclude(now, outcome, out));
        found.last().unwrap_or(Found::Nothing)
    }

    fn conclude(&mut self, now: Time, outcome: Outcome<Address>, out: &mut Outbox) -> Found {
        let Outcome::Answered {
            purpose: other,
            message: Message::Audio(Audio::Kept { songs, more }),
            ..
        } = outcome
        else {
            return self.ask_next(now, out);
        };
        for song in &songs {
            self.only_here.remove(&song.id);
        }
        match songs.last().filter(|_| more && !self.only_here.is_empty()) {
            Some(last) => self.ask(now, other, Some(last.id), out),
            None => self.ask_next(now, out),
        }
    }
}
