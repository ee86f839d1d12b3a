//! Tells every router what this data node keeps: changes as they happen, a digest each period.
//!
//! Each router says how far it has followed; the next announcement begins there. A router that
//! differs in its digest says 0 and hears everything again, a page at a time.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::id::JobId;
use crate::contract::job::{JobReply, LibraryJob, Overview};
use crate::contract::limits::PAGE_SONGS_MAX;
use crate::contract::message::{Announcement, Catalogue, Change, Envelope, Message};
use crate::contract::node::{Lost, Outbox, Peer};
use crate::contract::record::{Address, Record};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::{Timers, earlier};
use crate::jobs::Jobs;
use crate::requests::{Outcome, Policy, Requester, Requests};

/// What is announced: who, what, how busy.
#[derive(Clone, Copy, Debug)]
pub struct News {
    /// Who.
    pub record: Record,
    /// What it keeps.
    pub overview: Overview,
    /// Jobs that wait.
    pub load: u16,
    /// Copies still to be made.
    pub repairing: u32,
    /// Fragments set aside.
    pub damaged: u32,
}

/// How far each router has followed.
#[derive(Debug)]
pub struct Announcer {
    every: Duration,
    routers: BTreeMap<Address, Router>,
    due: Timers<Address>,
    requests: Requests<Address>,
    jobs: Jobs<(Address, u64)>,
    rng: Rng,
}

#[derive(Debug, Default)]
struct Router {
    /// The revision it has confirmed; 0 until it has said anything.
    known: u64,
    /// An announcement or the page for it is under way.
    busy: bool,
    /// Something has changed since that was begun.
    behind: bool,
    /// The latest revision there was when it was last told anything.
    told: u64,
    /// It had everything when it last answered, and answers in time.
    prompt: bool,
    /// When it last began again from the beginning.
    restarted_at: Time,
}

impl Announcer {
    /// Announces at least once per `every`.
    pub fn new(every: Duration, mut rng: Rng) -> Self {
        let requests = Requests::new(Requester::Announcer, Rng::from_seed(rng.bits()));
        Announcer {
            every,
            routers: BTreeMap::new(),
            due: Timers::new(),
            requests,
            jobs: Jobs::new(Requester::Announcer),
            rng,
        }
    }

    /// The library has changed: every router shall hear at once.
    pub fn on_change(&mut self, now: Time) {
        for (at, router) in &mut self.routers {
            router.behind = true;
            self.due.arm(*at, now);
        }
    }

    /// Tells every router whose time has come.
    pub fn announce(&mut self, now: Time, routers: &[Record], news: News, out: &mut Outbox) {
        self.follow(now, routers);
        while let Some(at) = self.due.pop_due(now) {
            let Some(router) = self.routers.get_mut(&at).filter(|router| !router.busy) else {
                continue; // What is under way ends with an answer, and that arms the timer again.
            };
            router.busy = true;
            router.behind = false;
            let since = router.known;
            if since < news.overview.revision {
                let limit = PAGE_SONGS_MAX as u32;
                self.jobs
                    .run((at, since), LibraryJob::Changes { since, limit }, out);
            } else {
                self.tell(now, at, (since, Vec::new(), since), news, out);
            }
        }
    }

    /// Keeps to the routers the DNS names.
    fn follow(&mut self, now: Time, routers: &[Record]) {
        let due = &mut self.due;
        self.routers.retain(|at, _| {
            let stays = routers.iter().any(|r| r.address == *at);
            if !stays {
                due.disarm(at);
            }
            stays
        });
        for router in routers {
            if let Entry::Vacant(place) = self.routers.entry(router.address) {
                place.insert(Router::default());
                self.due.arm(router.address, now);
            }
        }
    }

    /// The revision that every router knows which keeps up; `None` if there is no such router.
    pub fn heard(&self) -> Option<u64> {
        let prompt = self.routers.values().filter(|router| router.prompt);
        prompt.map(|router| router.known).min()
    }

    /// Routers that do not know this revision do not keep up: until they do again, nobody waits
    /// for them.
    pub fn leave_behind(&mut self, revision: u64) {
        for router in self.routers.values_mut() {
            router.prompt &= router.known >= revision;
        }
    }

    fn tell(
        &mut self,
        now: Time,
        at: Address,
        (since, changes, revision): (u64, Vec<Change>, u64),
        news: News,
        out: &mut Outbox,
    ) {
        let overview = news.overview;
        if let Some(router) = self.routers.get_mut(&at) {
            router.told = overview.revision;
        }
        let announcement = Announcement {
            record: news.record,
            store: overview.store,
            since,
            changes,
            revision,
            latest: overview.revision,
            digest: overview.digest,
            bytes: overview.bytes,
            load: news.load,
            repairing: news.repairing,
            damaged: news.damaged,
        };
        let question = Message::Catalogue(Catalogue::Announce(announcement));
        let to = [Peer::Node(at)].into();
        let asked = self.requests.ask(now, at, to, question, Policy::ONCE, out);
        if asked.is_none() {
            self.rest(now, at);
        }
    }

    /// A page of changes has been read.
    pub fn on_done(
        &mut self,
        now: Time,
        job: JobId,
        reply: JobReply,
        news: News,
        out: &mut Outbox,
    ) {
        let Some((at, since)) = self.jobs.done(job) else {
            return;
        };
        if let JobReply::Changes { changes, revision } = reply {
            self.tell(now, at, (since, changes, revision), news, out);
        } else {
            self.rest(now, at);
        }
    }

    /// A router has answered.
    pub fn on_answer(&mut self, now: Time, from: Peer, envelope: Envelope, out: &mut Outbox) {
        if let Some(outcome) = self.requests.on_answer(now, from, envelope, out) {
            self.conclude(now, outcome);
        }
    }

    /// A peer is lost.
    pub fn on_lost(&mut self, now: Time, peer: Peer, why: Lost, out: &mut Outbox) {
        for outcome in self.requests.on_lost(now, peer, why, out) {
            self.conclude(now, outcome);
        }
    }

    /// Gives up what nobody answered.
    pub fn on_tick(&mut self, now: Time, out: &mut Outbox) {
        for outcome in self.requests.on_tick(now, out) {
            self.conclude(now, outcome);
        }
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Time> {
        earlier(self.due.next(), self.requests.deadline())
    }

    fn conclude(&mut self, now: Time, outcome: Outcome<Address>) {
        match outcome {
            Outcome::Answered {
                purpose: at,
                message: Message::Catalogue(Catalogue::Announced { revision, .. }),
                ..
            } => self.on_announced(now, at, revision),
            Outcome::Answered { purpose: at, .. } | Outcome::GaveUp { purpose: at, .. } => {
                if let Some(router) = self.routers.get_mut(&at) {
                    router.prompt = false;
                }
                self.rest(now, at);
            }
        }
    }

    /// A router that has moved gets the next page at once, if there is one; the period bounds
    /// everything else.
    fn on_announced(&mut self, now: Time, at: Address, revision: u64) {
        self.rest(now, at);
        let Some(router) = self.routers.get_mut(&at) else {
            return;
        };
        // One that has gone back starts over at once, but not more often than once a period: it
        // may go back again and again.
        let restarts = revision < router.known && router.restarted_at + self.every <= now;
        if restarts {
            router.restarted_at = now;
        }
        router.prompt = revision >= router.told;
        let moves = router.behind || restarts || (revision > router.known && !router.prompt);
        router.known = revision;
        if moves {
            self.due.arm(at, now);
        }
    }

    fn rest(&mut self, now: Time, at: Address) {
        if let Some(router) = self.routers.get_mut(&at) {
            router.busy = false;
            let pause = self.rng.around(self.every);
            self.due.arm_by(at, now + pause);
        }
    }
}
