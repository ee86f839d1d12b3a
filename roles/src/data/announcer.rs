//! Tells every router which songs this data node holds: changes as they happen, and a digest each
//! period.
//!
//! Each router answers with the revision up to which it has followed, and the next announcement
//! begins there. A router whose digest differs answers 0, and gets everything again, a page at a
//! time.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::document::Key;
use crate::contract::id::SongId;
use crate::contract::job::{JobReply, LibraryJob, Overview};
use crate::contract::limits::{DOCUMENTS_AT_ONCE_MAX, DOCUMENTS_BUCKETS, PAGE_SONGS_MAX};
use crate::contract::message::{Announcement, Catalogue, Change, Message, StoreId};
use crate::contract::node::Peer;
use crate::contract::record::{Address, Features, Record};
use crate::contract::rng::Rng;
use crate::contract::tags::TagNews;
use crate::contract::time::Time;
use crate::contract::timers::Timers;
use crate::cx::Cx;
use crate::mutants::{DocumentMutant, DocumentMutants};
use crate::purpose::{Asked, Ordered};
use crate::requests::{Policy, Reply};

/// The facts of an announcement, the changes excepted.
#[derive(Clone, Copy, Debug)]
pub struct News {
    /// This node's record.
    pub record: Record,
    /// The library's overview.
    pub overview: Overview,
    /// Jobs under way.
    pub load: u16,
    /// Copies still to be made.
    pub repairing: u32,
    /// Fragments that wait for good bytes.
    pub damaged: u32,
}

/// How far each router has followed.
#[derive(Debug)]
pub struct Announcer {
    every: Duration,
    routers: BTreeMap<Address, Router>,
    due: Timers<Address>,
    rng: Rng,
    mutants: DocumentMutants,
}

#[derive(Debug, Default)]
struct Router {
    /// The revision that the router has confirmed; 0 until its first answer.
    known: u64,
    /// An announcement is under way, or its page is being read.
    busy: bool,
    /// The library has changed since that announcement was begun.
    behind: bool,
    /// The library's revision when the router was last told anything.
    told: u64,
    /// The router's last answer came in time and showed that it had everything.
    prompt: bool,
    /// What the router understands.
    features: Features,
    /// The page of all marks that the router is to be told: those after this song.
    marks_due: Option<Option<SongId>>,
    /// The page of all documents that the router is to be told: those after this key.
    documents_due: Option<Option<Key>>,
    /// When the router last went back to an earlier revision and was served at once.
    restarted_at: Time,
    tags: Tags,
}

/// How far a router has followed the further tags of the songs.
#[derive(Debug, Default)]
struct Tags {
    /// The revision of the tags that the router has confirmed.
    known: u64,
    /// Tags are being read, or are on their way.
    busy: bool,
    /// The router did not take the last ones: nothing is sent before.
    rest_until: Time,
}

/// The pause after tags that a router did not take.
const TAGS_REST: Duration = Duration::from_secs(2);

impl Announcer {
    /// Announces at least once per `every`.
    pub fn new(every: Duration, rng: Rng, mutants: DocumentMutants) -> Self {
        Announcer {
            mutants,
            every,
            routers: BTreeMap::new(),
            due: Timers::new(),
            rng,
        }
    }

    /// The library has changed: makes an announcement to every router due.
    pub fn on_change(&mut self, now: Time) {
        for (at, router) in &mut self.routers {
            router.behind = true;
            self.due.arm(*at, now);
        }
    }

    /// The library is another one, whose revisions begin anew.
    pub fn start_over(&mut self, now: Time) {
        for router in self.routers.values_mut() {
            (router.known, router.told) = (0, 0);
            router.tags.known = 0;
        }
        self.on_change(now);
    }

    /// Announces to every router that is due, unless an announcement to it is under way.
    pub fn announce(&mut self, cx: &mut Cx<'_>, routers: &[Record], news: News) {
        self.follow(cx.now, routers);
        while let Some(at) = self.due.pop_due(cx.now) {
            let Some(router) = self.routers.get_mut(&at).filter(|router| !router.busy) else {
                continue; // The end of the announcement under way arms the timer again.
            };
            router.busy = true;
            router.behind = false;
            let since = router.known;
            if let Some(after) = router
                .marks_due
                .take()
                .filter(|_| news.overview.revision > 0)
            {
                let limit = PAGE_SONGS_MAX as u32;
                let job = LibraryJob::Marks { after, limit };
                cx.run(Ordered::Announcer(at, since), job);
            } else if let Some(after) = router
                .documents_due
                .take()
                .filter(|_| news.overview.revision > 0)
            {
                let job = LibraryJob::Documents {
                    buckets: (0..DOCUMENTS_BUCKETS as u16).collect(),
                    after,
                    limit: DOCUMENTS_AT_ONCE_MAX as u32,
                };
                cx.run(Ordered::Announcer(at, since), job);
            } else if since < news.overview.revision {
                let limit = PAGE_SONGS_MAX as u32;
                cx.run(
                    Ordered::Announcer(at, since),
                    LibraryJob::Changes { since, limit },
                );
            } else {
                self.tell(cx, at, (since, Vec::new(), since), news);
            }
        }
        self.read_tags(cx, routers, news);
    }

    /// Reads the next tags for every router that has all songs and lacks tags.
    fn read_tags(&mut self, cx: &mut Cx<'_>, routers: &[Record], news: News) {
        let able = routers.iter().filter(|r| r.features.has(Features::ALBUMS));
        for at in able.map(|router| router.address) {
            let Some(router) = self.routers.get_mut(&at) else {
                continue;
            };
            let tags = &mut router.tags;
            let lacks = tags.known < news.overview.tags && router.known > 0;
            if lacks && !tags.busy && tags.rest_until <= cx.now {
                tags.busy = true;
                let (since, limit) = (tags.known, PAGE_SONGS_MAX as u32);
                cx.run(
                    Ordered::TagAnnouncer(at, since),
                    LibraryJob::TagChanges { since, limit },
                );
            }
        }
    }

    /// Sends tags that have been read, unless the router does not know the songs yet.
    pub fn tell_tags(
        &mut self,
        cx: &mut Cx<'_>,
        (at, since): (Address, u64),
        reply: JobReply,
        news: News,
    ) {
        let Some(router) = self.routers.get_mut(&at) else {
            return;
        };
        router.tags.busy = false;
        router.tags.rest_until = cx.now + TAGS_REST;
        if let JobReply::Tags {
            songs,
            revision,
            needs,
            added,
        } = reply
            && needs <= router.known
            // Tags beyond the library's latest are those of a library that has been set aside.
            && revision <= news.overview.tags
        {
            let tags = TagNews {
                record: news.record,
                store: news.overview.store,
                since,
                songs,
                revision,
                needs,
            };
            let question = Message::Catalogue(match router.features.has(Features::LISTS) {
                true => Catalogue::TagAdded(tags, added),
                false => Catalogue::Tag(tags),
            });
            let to = [Peer::Node(at)].into();
            let asked = cx.ask(Asked::TagAnnouncer(at), to, question, Policy::ONCE);
            router.tags.busy = asked.is_some();
        }
    }

    /// Takes the end of a message with tags. A router that took them gets the next ones at once.
    /// A router that speaks of another library than `ours` is told everything.
    pub(crate) fn on_tagged(&mut self, now: Time, at: Address, reply: Reply, ours: StoreId) {
        let Some(router) = self.routers.get_mut(&at) else {
            return;
        };
        router.tags.busy = false;
        router.tags.rest_until = now + TAGS_REST;
        if let Some(Message::Catalogue(Catalogue::Tagged { store, revision })) = reply.message() {
            let revision = if store == ours { revision } else { 0 };
            if revision > router.tags.known {
                router.tags.rest_until = now;
            }
            router.tags.known = revision;
        }
    }

    /// Adds and drops routers to match those that the DNS names.
    fn follow(&mut self, now: Time, routers: &[Record]) {
        let due = &mut self.due;
        self.routers.retain(|at, _| {
            let stays = routers.iter().any(|r| r.address == *at);
            if !stays {
                due.disarm(at);
            }
            stays
        });
        for record in routers {
            let features = record.features;
            let router = match self.routers.entry(record.address) {
                Entry::Vacant(place) => {
                    self.due.arm(record.address, now);
                    // It is told everything from the beginning.
                    let new = Router {
                        features,
                        ..Router::default()
                    };
                    place.insert(new)
                }
                Entry::Occupied(place) => place.into_mut(),
            };
            // A router that did not know marks or documents may have been told changes without them.
            let gains = |of: Features| features.has(of) && !router.features.has(of);
            let (marks, documents) = (gains(Features::TRASH), gains(Features::DOCUMENTS));
            if marks {
                router.marks_due = Some(None);
            }
            if documents {
                router.documents_due = Some(None);
            }
            if marks || documents {
                self.due.arm(record.address, now);
            }
            router.features = features;
        }
    }

    /// The least revision among prompt routers; `None` if no router is prompt.
    pub fn heard(&self) -> Option<u64> {
        let prompt = self.routers.values().filter(|router| router.prompt);
        prompt.map(|router| router.known).min()
    }

    /// Routers that do not know this revision are no longer prompt: no upload waits for them until
    /// they have caught up.
    pub fn leave_behind(&mut self, revision: u64) {
        for router in self.routers.values_mut() {
            router.prompt &= router.known >= revision;
        }
    }

    fn tell(
        &mut self,
        cx: &mut Cx<'_>,
        at: Address,
        (since, mut changes, revision): (u64, Vec<Change>, u64),
        news: News,
    ) {
        let overview = news.overview;
        if let Some(router) = self.routers.get_mut(&at) {
            router.told = overview.revision;
            let deaf = self.mutants.has(DocumentMutant::FeedsNoDeletions);
            changes.retain(|change| match change {
                Change::Marked(_) => router.features.has(Features::TRASH),
                Change::Wrote(document) if deaf && document.body.is_none() => false,
                Change::Wrote(_) => router.features.has(Features::DOCUMENTS),
                Change::Added(_) | Change::Removed(_) | Change::Buried(_) => true,
            });
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
        let asked = cx.ask(Asked::Announcer(at), to, question, Policy::ONCE);
        if asked.is_none() {
            self.rest(cx.now, at);
        }
    }

    /// Announces a page of changes that has been read.
    pub fn on_done(
        &mut self,
        cx: &mut Cx<'_>,
        (at, since): (Address, u64),
        reply: JobReply,
        news: News,
    ) {
        if let JobReply::Marks { marks, next } = reply {
            if let Some(router) = self.routers.get_mut(&at) {
                // Changes beside the feed: the router applies them and stays where it is.
                router.marks_due = next.map(Some);
                router.behind |= next.is_some() || since < news.overview.revision;
            }
            let changes = marks.into_iter().map(Change::Marked).collect();
            return self.tell(cx, at, (since, changes, since), news);
        }
        if let JobReply::Documents { documents, next } = reply {
            if let Some(router) = self.routers.get_mut(&at) {
                router.behind |= next.is_some() || since < news.overview.revision;
                router.documents_due = next.map(Some);
            }
            let changes = documents.into_iter().map(Change::Wrote).collect();
            return self.tell(cx, at, (since, changes, since), news);
        }
        // Changes beyond the library's latest are those of a library that has been set aside.
        if let JobReply::Changes { changes, revision } = reply
            && revision <= news.overview.revision
        {
            self.tell(cx, at, (since, changes, revision), news);
        } else {
            self.rest(cx.now, at);
        }
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Time> {
        self.due.next()
    }

    /// Takes the end of an announcement to this router.
    pub(crate) fn conclude(&mut self, now: Time, at: Address, reply: Reply) {
        if let Some(Message::Catalogue(Catalogue::Announced { revision, .. })) = reply.message() {
            return self.on_announced(now, at, revision);
        }
        if let Some(router) = self.routers.get_mut(&at) {
            router.prompt = false;
        }
        self.rest(now, at);
    }

    /// Takes the revision that a router has confirmed. A router that is behind and gets on is told
    /// more at once; every other announcement waits for the period.
    fn on_announced(&mut self, now: Time, at: Address, revision: u64) {
        self.rest(now, at);
        let Some(router) = self.routers.get_mut(&at) else {
            return;
        };
        // A router that goes back is served at once, but only once a period: a router that goes
        // back each time would otherwise cause an endless stream of announcements.
        let restarts = revision < router.known && router.restarted_at + self.every <= now;
        if restarts {
            router.restarted_at = now;
        }
        router.prompt = revision >= router.told;
        if revision < router.known {
            router.tags.known = 0; // It has forgotten the tags together with the songs.
        }
        if revision > router.known {
            router.tags.rest_until = now;
        }
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
