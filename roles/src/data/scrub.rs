//! Reads every fragment once in a configured time, and replaces fragments that have rotted.
//!
//! The scrub reads a little at a time, so that the whole library is read well within a month
//! without slowing clients. A fragment that does not match its hash is set aside and fetched from
//! another holder. Until then this node does not serve it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use super::answers::is_lack;
use super::placement::Placement;
use super::{Others, anti_entropy};
use crate::contract::id::{NodeId, SongId};
use crate::contract::job::{FragmentId, JobFault, JobReply, LibraryJob, Overview, Scrubbed};
use crate::contract::limits::SCRUB_BYTES_MAX;
use crate::contract::message::{Audio, Message, Position};
use crate::contract::node::Peer;
use crate::contract::partition::Partition;
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::contract::user::Level;
use crate::cx::Cx;
use crate::mutants::CopyMutant;
use crate::purpose::scrub::Purpose;
use crate::purpose::{Asked, Ordered};
use crate::requests::{Policy, Reply};

/// Longest and shortest time between two steps, and how many a round has at least.
const STEP: Duration = Duration::from_secs(600);
const STEP_MIN: Duration = Duration::from_secs(1);
const STEPS_MIN: u32 = 8;

/// The least time between two notes of the position on disk, so that an idle node hardly writes.
/// The end of a round is noted at once.
const NOTE: Duration = Duration::from_secs(6 * 3600);

/// The time until a fragment that no node could give is asked for again.
const AGAIN: Duration = Duration::from_secs(60);

/// The same when no other data node was known: a node that has just started meets them soon.
const NOBODY: Duration = Duration::from_secs(5);

/// Bad fragments in memory at once; further ones are left for later.
pub(super) const BAD_MAX: usize = 256;

/// Nodes asked for one fragment in one attempt, one after the other.
const ASKED_MAX: usize = 16;

/// How long one holder may take for a fragment.
const FETCH: Policy = Policy {
    deadline: Duration::from_secs(10),
    attempt: Duration::from_secs(10),
    rounds: 1,
};

/// The scrub of one library.
#[derive(Debug)]
pub(super) struct Scrub {
    /// The time in which the whole library is read.
    within: Duration,
    /// The time between two steps.
    step: Duration,
    due: Time,
    noted_at: Time,
    /// Where the next step begins. `None`: at the beginning of a round, or the overview is not read
    /// yet.
    after: Option<FragmentId>,
    begun: bool,
    /// Bytes still to be read in the present step.
    left: u64,
    bad: BTreeMap<FragmentId, Care>,
    /// The list of quarantined fragments that has been ordered lacks none that is in `bad`.
    lists_all: bool,
    /// Those of the bad fragments that every other data node has been asked for and lacks, since
    /// the data nodes last changed.
    nowhere: BTreeSet<FragmentId>,
    again: Option<Time>,
    rng: Rng,
    looks_away: bool,
    /// Peers that have given damaged bytes, one entry per case.
    doubted: Vec<Peer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Care {
    /// This node is setting it aside.
    SetAside,
    /// No node has been asked, or no node could give it.
    Waiting,
    /// A question for the bytes is open, or the bytes are being written.
    Asked(Inquiry),
}

/// The nodes that are asked for one fragment, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Inquiry {
    /// Those still to be asked; the next one is last.
    left: Vec<Peer>,
    /// Every node asked so far has said that it lacks the bytes, and all data nodes are asked.
    all_lack: bool,
}

impl Scrub {
    pub(super) fn new(config: &anti_entropy::Config, rng: Rng) -> Self {
        Scrub {
            within: config.scrub,
            step: (config.scrub / STEPS_MIN).clamp(STEP_MIN, STEP),
            due: Time::NEVER,
            noted_at: Time::ZERO,
            after: None,
            begun: false,
            left: 0,
            bad: BTreeMap::new(),
            lists_all: false,
            nowhere: BTreeSet::new(),
            again: None,
            rng,
            looks_away: config.mutants.has(CopyMutant::ScrubLooksAway),
            doubted: Vec::new(),
        }
    }

    /// Sets the time of the first step, at random within a step, so that nodes do not read in
    /// unison.
    pub(super) fn arm(&mut self, now: Time) {
        self.due = now + self.rng.within(self.step);
        self.noted_at = now;
    }

    /// Takes the position and the quarantined fragments that an earlier run left. Only the first
    /// call counts.
    pub(super) fn start(&mut self, cx: &mut Cx<'_>, overview: &Overview) {
        if !self.begun {
            self.begun = true;
            self.after = overview.scrub.after;
            if overview.quarantined > 0 {
                self.list(cx);
            }
        }
    }

    pub(super) fn list(&mut self, cx: &mut Cx<'_>) {
        self.lists_all = self.bad.values().all(|care| *care != Care::SetAside);
        let limit = BAD_MAX as u32;
        let job = LibraryJob::Quarantined { after: None, limit };
        cx.run(Ordered::Scrub(Purpose::List), job);
    }

    /// Takes a damaged fragment that some reader has found, and sets it aside. Ignored beyond
    /// `BAD_MAX`; the next round finds it again.
    pub(super) fn on_rot(&mut self, cx: &mut Cx<'_>, fragment: FragmentId) {
        let known = self.bad.contains_key(&fragment);
        if !known && self.bad.len() < BAD_MAX && !self.looks_away {
            self.bad.insert(fragment, Care::SetAside);
            self.lists_all = false;
            let job = LibraryJob::Quarantine { fragment };
            cx.run(Ordered::Scrub(Purpose::SetAside(fragment)), job);
        }
    }

    /// Hands out the peers that have given damaged bytes since the last call.
    pub(super) fn take_doubted(&mut self) -> Vec<Peer> {
        core::mem::take(&mut self.doubted)
    }

    /// Fragments in memory that wait for good bytes.
    pub(super) fn bad(&self) -> usize {
        self.bad.len()
    }

    /// Songs of which a fragment is damaged here and lacking at every other data node.
    pub(super) fn unreadable(&self) -> BTreeSet<SongId> {
        self.nowhere.iter().map(|fragment| fragment.song).collect()
    }

    /// Takes the reply of a job. Returns the songs whose tables do not say what was stored.
    pub(super) fn on_done(
        &mut self,
        cx: &mut Cx<'_>,
        purpose: Purpose,
        reply: JobReply,
        others: Others<'_>,
    ) -> Vec<SongId> {
        match (purpose, reply) {
            (Purpose::Step, JobReply::Scrubbed(mut found)) => {
                let altered = core::mem::take(&mut found.altered);
                self.on_scrubbed(cx, found);
                return altered;
            }
            // The song is gone, or it is its manifest that is damaged.
            (
                Purpose::SetAside(fragment) | Purpose::Replace(fragment, _),
                JobReply::Failed(JobFault::NotFound | JobFault::Removed | JobFault::Corrupt(_)),
            ) => drop(self.bad.remove(&fragment)),
            (Purpose::SetAside(fragment), _) => {
                self.bad.insert(fragment, Care::Waiting);
                let line = alloc::format!("rot song={} fragment={}", fragment.song, fragment.index);
                cx.out.fact(Level::Warn, line);
                self.fetch(cx, others);
            }
            (Purpose::List, JobReply::Quarantined { fragments, more }) => {
                self.on_list(&fragments, more);
                self.fetch(cx, others);
            }
            (Purpose::Replace(fragment, _), JobReply::FragmentStored) => {
                self.bad.remove(&fragment);
                self.nowhere.remove(&fragment);
                let line =
                    alloc::format!("healed song={} fragment={}", fragment.song, fragment.index);
                cx.out.fact(Level::Info, line);
            }
            (Purpose::Replace(fragment, from), JobReply::Failed(JobFault::Damaged)) => {
                self.doubted.push(from);
                self.go_on(cx, fragment, true);
            }
            (Purpose::Replace(fragment, _), _) => self.put_off(cx.now, fragment, AGAIN),
            (Purpose::Step | Purpose::List | Purpose::Note, _) => (),
        }
        Vec::new()
    }

    /// The library is another one: begins again with what is known of it.
    pub(super) fn renew(&mut self) {
        self.bad.clear();
        self.nowhere.clear();
        (self.after, self.left) = (None, 0);
    }

    /// Takes the quarantined fragments. What a whole list lacks is gone with its song, or was stored
    /// anew.
    fn on_list(&mut self, fragments: &[FragmentId], more: bool) {
        if !more && self.lists_all {
            (self.bad).retain(|one, care| *care != Care::Waiting || fragments.contains(one));
            self.nowhere.retain(|one| self.bad.contains_key(one));
        }
        for fragment in fragments.iter().take(BAD_MAX) {
            self.bad.entry(*fragment).or_insert(Care::Waiting);
        }
    }

    fn on_scrubbed(&mut self, cx: &mut Cx<'_>, found: Scrubbed) {
        let bad: BTreeSet<FragmentId> = found.bad.iter().copied().collect();
        bad.into_iter()
            .for_each(|fragment| self.on_rot(cx, fragment));
        self.after = found.after;
        self.left = self.left.saturating_sub(found.bytes.max(1));
        let round_over = found.after.is_none();
        if round_over || cx.now.since(self.noted_at) >= NOTE {
            self.noted_at = cx.now;
            let job = LibraryJob::NoteScrub { after: self.after };
            cx.run(Ordered::Scrub(Purpose::Note), job);
        }
        if self.left > 0 && !round_over {
            self.step(cx);
        }
    }

    fn step(&mut self, cx: &mut Cx<'_>) {
        let job = LibraryJob::Scrub {
            after: self.after,
            bytes: self.left.min(SCRUB_BYTES_MAX),
        };
        cx.run(Ordered::Scrub(Purpose::Step), job);
    }

    /// Asks other holders for the fragments that wait.
    fn fetch(&mut self, cx: &mut Cx<'_>, others: Others<'_>) {
        let waiting = self.bad.iter().filter(|(_, care)| **care == Care::Waiting);
        let waiting: Vec<FragmentId> = waiting.map(|(fragment, _)| *fragment).collect();
        let placement = Placement::of(cx.now, Duration::ZERO, others);
        for fragment in waiting {
            let inquiry = self.inquiry(&placement.others(Partition::of(fragment.song)), others);
            if inquiry.left.is_empty() {
                self.put_off(cx.now, fragment, NOBODY);
            } else {
                self.ask_next(cx, fragment, inquiry);
            }
        }
    }

    /// Asks the owners first. Then all others: a former owner keeps a song until all owners have
    /// it, and it or a draining node may have the only good fragment.
    fn inquiry(&mut self, owners: &[NodeId], others: Others<'_>) -> Inquiry {
        let mut all = [others.data, others.leaving].concat();
        self.rng.shuffle(&mut all);
        all.sort_by_key(|record| !owners.contains(&record.node));
        let all_lack = (1..=ASKED_MAX).contains(&all.len());
        all.truncate(ASKED_MAX);
        let left = all.iter().rev().map(|r| Peer::Node(r.address)).collect();
        Inquiry { left, all_lack }
    }

    /// Asks the next node for the fragment. When all have been asked in vain, they are asked again
    /// later.
    fn ask_next(&mut self, cx: &mut Cx<'_>, fragment: FragmentId, mut inquiry: Inquiry) {
        while let Some(peer) = inquiry.left.pop() {
            let question = Message::Audio(Audio::Fetch {
                song: fragment.song,
                from: Position::Index(fragment.index),
                count: 1,
            });
            if cx
                .ask(Asked::Scrub(fragment), [peer].into(), question, FETCH)
                .is_some()
            {
                self.bad.insert(fragment, Care::Asked(inquiry));
                return;
            }
            inquiry.all_lack = false;
        }
        if inquiry.all_lack {
            self.nowhere.insert(fragment);
        } else {
            self.nowhere.remove(&fragment);
        }
        self.put_off(cx.now, fragment, AGAIN);
    }

    /// The data nodes have changed: one that has not been asked may have the fragments.
    pub(super) fn forget_who_lacks(&mut self) {
        self.nowhere.clear();
    }

    fn put_off(&mut self, now: Time, fragment: FragmentId, pause: Duration) {
        if let Some(care) = self.bad.get_mut(&fragment) {
            *care = Care::Waiting;
            self.again = earlier(self.again, Some(now + self.rng.around(pause)));
        }
    }

    /// Takes the end of a question for the bytes of a fragment.
    pub(super) fn conclude(&mut self, cx: &mut Cx<'_>, fragment: FragmentId, reply: Reply) {
        match reply {
            Reply::Answered {
                from,
                message: Message::Audio(Audio::Chunk { index, .. }),
                body,
                ..
            } if index == fragment.index => {
                let bytes = body;
                let job = LibraryJob::ReplaceFragment { fragment, bytes };
                cx.run(Ordered::Scrub(Purpose::Replace(fragment, from)), job);
            }
            Reply::Answered { .. } => self.go_on(cx, fragment, false),
            // Only these refusals prove anything: a node that is busy, starts or is silent may have
            // the bytes.
            Reply::GaveUp { refusal, .. } => {
                self.go_on(cx, fragment, refusal.as_ref().is_some_and(is_lack));
            }
        }
    }

    fn go_on(&mut self, cx: &mut Cx<'_>, fragment: FragmentId, lacks: bool) {
        if let Some(Care::Asked(inquiry)) = self.bad.get(&fragment) {
            let mut inquiry = inquiry.clone();
            inquiry.all_lack &= lacks;
            self.ask_next(cx, fragment, inquiry);
        }
    }

    /// Reads the next step when it is due, and asks again for fragments that wait.
    pub(super) fn on_tick(&mut self, cx: &mut Cx<'_>, overview: Overview, others: Others<'_>) {
        if self.again.is_some_and(|at| at <= cx.now) {
            self.again = None;
            self.fetch(cx, others);
        }
        if self.due > cx.now {
            return;
        }
        self.due = cx.now + self.rng.around(self.step);
        // The list could not be read, it is longer than `BAD_MAX`, or bad fragments are gone.
        if self.begun && overview.quarantined != self.bad.len() as u64 {
            self.list(cx);
        }
        let steps = (self.within.as_secs() / self.step.as_secs().max(1)).max(1);
        if self.begun && overview.bytes > 0 {
            self.left = (overview.bytes / steps).max(1);
            self.step(cx);
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        earlier(Some(self.due), self.again)
    }
}
