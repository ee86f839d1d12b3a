//! Whether this node can read its library, and what it does when it cannot.
//!
//! Owns the inspection of the tables, which goes on for ever, a few songs at a time, and the decision
//! that a library is sick. The rules:
//!
//! - A song whose tables do not say what was stored is withdrawn. It leaves the list like any song
//!   that leaves, and [`anti_entropy`] of its other owners sends it again.
//! - A withdrawn song that nobody brings is taken into the list again if its sound proves it, because
//!   then only its tags may be wrong.
//! - A song without a seal, from a library of before seals, is sealed by what its other owners say of
//!   it, or as it is if no other node has it.
//! - Totals, digests and indexes that are not what the songs add up to are made anew.
//! - A job that fails because of the tables, and not because of one song, makes the library suspect:
//!   a hurried pass looks at every song. When tables cannot be inspected or put right, or fail again
//!   after a pass that found nothing, the library is set aside and an empty one begins. What can be
//!   read of the old one is taken over; the other owners send the rest.
//!
//! The sound is the business of [`scrub`](super::scrub).

mod replacement;
mod witnesses;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use super::anti_entropy;
use crate::contract::id::SongId;
use crate::contract::job::{FragmentId, Inspected, JobFault, JobReply, LibraryJob, Overview};
use crate::contract::limits::INSPECT_SONGS_MAX;
use crate::contract::message::StoreId;
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::contract::user::Level;
use crate::cx::Cx;
use crate::mutants::CopyMutant;
use crate::purpose::Ordered;
use crate::purpose::mending::Purpose;
use crate::requests::Reply;
use replacement::{Replacement, Salvaged};
use witnesses::Witnesses;

/// The time in which every song's tables are looked at once, unless the scrub is quicker.
const WITHIN: Duration = Duration::from_secs(6 * 3600);

/// Longest and shortest time between two steps. Each step reads the roots of the tables, so that a
/// node notices within a minute when it can read nothing.
const STEP: Duration = Duration::from_secs(60);
const STEP_MIN: Duration = Duration::from_secs(1);

/// How many steps a pass has at least.
const STEPS_MIN: u32 = 8;

/// Songs that wait to be put right; a later pass finds the others.
pub(super) const ODD_MAX: usize = 4 * INSPECT_SONGS_MAX;

/// How long a pass that found nothing speaks for the tables: a failure after it has another reason,
/// which only a rebuilt library removes.
const CLEAN: Duration = Duration::from_secs(600);

/// After this time the other owners no longer bring a withdrawn song back: they have none, or it is no
/// longer this node's.
const BROUGHT_BACK: Duration = Duration::from_secs(1800);

/// The time until a job of this part that failed is ordered again.
const AGAIN: Duration = Duration::from_secs(10);

/// The state of the tables, as far as it is known.
#[derive(Debug)]
pub(super) struct Mending {
    within: Duration,
    step: Duration,
    due: Time,
    /// The overview has been read.
    begun: bool,
    /// Where the next step begins. `None`: at the beginning of a pass.
    after: Option<SongId>,
    /// Songs still to be looked at in the present step.
    left: u64,
    /// An inspection is under way.
    looking: bool,
    /// A job has failed: the pass goes on without pauses.
    suspect: bool,
    /// The present pass has found something to put right.
    found: bool,
    /// Inspections that failed one after the other.
    blind: u32,
    /// When the last pass ended that found nothing.
    clean_at: Option<Time>,
    /// Songs to be put right.
    odd: BTreeSet<SongId>,
    /// Totals, digests and indexes are to be made anew.
    astray: bool,
    /// A job has failed because of one of the odd songs.
    blamed: bool,
    mend: Wait,
    /// A [`LibraryJob::Restore`] is under way.
    restoring: bool,
    /// No other data node is known.
    alone: bool,
    replacement: Replacement,
    witnesses: Witnesses,
    /// Songs without a seal, of which other owners are to be asked.
    unsealed: Vec<SongId>,
    /// Whether the node was last known to be sick.
    shown: bool,
    rng: Rng,
    looks_away: bool,
    /// What the other parts have to do.
    orders: Orders,
}

/// The job that puts right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Idle,
    Ordered,
    /// The last one failed; none is ordered before this time.
    Until(Time),
}

/// What follows for the other parts from a step.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// The library is another one.
    pub(super) renewed: Option<Overview>,
    /// The library has changed.
    pub(super) changed: Option<Overview>,
    /// Fragments that are not there.
    pub(super) missing: Vec<FragmentId>,
    /// The node shows itself as sick, or no longer.
    pub(super) turned: bool,
}

impl Mending {
    pub(super) fn new(config: &anti_entropy::Config, rng: Rng) -> Self {
        let within = WITHIN.min(config.scrub);
        Mending {
            within,
            step: (within / STEPS_MIN).clamp(STEP_MIN, STEP),
            due: Time::NEVER,
            begun: false,
            after: None,
            left: 0,
            looking: false,
            suspect: false,
            found: false,
            blind: 0,
            clean_at: None,
            odd: BTreeSet::new(),
            astray: false,
            blamed: false,
            mend: Wait::Idle,
            restoring: false,
            alone: false,
            replacement: Replacement::new(config.every * 2),
            witnesses: Witnesses::default(),
            unsealed: Vec::new(),
            shown: false,
            rng,
            looks_away: config.mutants.has(CopyMutant::HidesWhatItCannotRead),
            orders: Orders::default(),
        }
    }

    /// Sets the time of the first step, at random within a step.
    pub(super) fn arm(&mut self, now: Time) {
        self.due = now + self.rng.within(self.step);
    }

    /// Takes the library's overview. A salvage that an earlier run has begun goes on.
    pub(super) fn start(&mut self, cx: &mut Cx<'_>, overview: &Overview) {
        if !self.begun {
            self.begun = true;
            if overview.salvaging && self.replacement.is_over() {
                self.replacement.salvage(cx);
            }
        }
    }

    /// Whether the node shows itself as sick: its library is being rebuilt, or songs still come back.
    pub(super) fn is_sick(&self) -> bool {
        self.replacement.is_sick()
    }

    /// A song has come while the library fills up again.
    pub(super) fn on_song(&mut self, now: Time) {
        self.replacement.on_song(now);
    }

    /// Songs that wait to be put right.
    pub(super) fn odd(&self) -> usize {
        self.odd.len()
    }

    /// Hands out what the last steps have ordered.
    pub(super) fn take_orders(&mut self) -> Orders {
        let turned = self.shown != self.is_sick();
        self.shown = self.is_sick();
        Orders {
            turned,
            ..core::mem::take(&mut self.orders)
        }
    }

    /// A job has failed because of the tables. `song`: it was about this song.
    pub(super) fn on_fault(&mut self, cx: &mut Cx<'_>, song: Option<SongId>) {
        let Some(song) = song else {
            return self.suspect(cx);
        };
        self.blamed = true;
        self.on_odd(cx, [song]);
    }

    /// Songs were found whose tables do not say what was stored.
    pub(super) fn on_odd(&mut self, cx: &mut Cx<'_>, songs: impl IntoIterator<Item = SongId>) {
        if self.looks_away {
            return;
        }
        let room = ODD_MAX.saturating_sub(self.odd.len());
        self.odd.extend(songs.into_iter().take(room));
        self.put_right(cx);
    }

    fn suspect(&mut self, cx: &mut Cx<'_>) {
        if self.looks_away || !self.replacement.is_over() {
            return;
        }
        if self.clean_at.is_some_and(|at| cx.now.since(at) < CLEAN) {
            return self.rebuild(cx);
        }
        if !self.suspect {
            self.suspect = true;
            self.after = None;
            self.found = false;
            cx.out
                .fact(Level::Warn, "library suspect: its tables are read".into());
            self.look(cx);
        }
    }

    fn look(&mut self, cx: &mut Cx<'_>) {
        if !self.looking && !self.looks_away {
            self.looking = true;
            let most = if self.suspect { u64::MAX } else { self.left };
            let job = LibraryJob::Inspect {
                after: self.after,
                limit: most.clamp(1, INSPECT_SONGS_MAX as u64) as u32,
            };
            cx.run(Ordered::Mending(Purpose::Inspect), job);
        }
    }

    fn put_right(&mut self, cx: &mut Cx<'_>) {
        let idle = self.mend == Wait::Idle && self.replacement.is_over();
        if idle && (self.astray || !self.odd.is_empty()) {
            self.mend = Wait::Ordered;
            let songs: Vec<SongId> = (self.odd.iter().copied()).take(INSPECT_SONGS_MAX).collect();
            for song in &songs {
                self.odd.remove(song);
            }
            let totals = core::mem::take(&mut self.astray);
            let job = LibraryJob::Mend { songs, totals };
            cx.run(Ordered::Mending(Purpose::Mend), job);
        }
    }

    fn rebuild(&mut self, cx: &mut Cx<'_>) {
        let store = StoreId(self.rng.bits());
        self.replacement.begin(cx, store);
    }

    /// Takes the reply of a job of this part.
    pub(super) fn on_done(&mut self, cx: &mut Cx<'_>, purpose: Purpose, reply: JobReply) {
        match purpose {
            Purpose::Inspect => self.on_inspected(cx, reply),
            Purpose::Mend => self.on_mended(cx, reply),
            Purpose::Seal => self.on_sealed(&reply),
            Purpose::Restore(before) => self.on_restored(cx, before, &reply),
            Purpose::Rebuild => self.on_rebuilt(cx, reply),
            Purpose::Salvage => self.on_salvaged(cx, reply),
        }
    }

    fn on_inspected(&mut self, cx: &mut Cx<'_>, reply: JobReply) {
        self.looking = false;
        if let JobReply::Inspected(seen) = reply {
            return self.on_seen(cx, seen);
        }
        // After another failure the pass goes on with the next step.
        let corrupt = matches!(reply, JobReply::Failed(JobFault::Corrupt(_)));
        if corrupt && self.replacement.is_over() {
            self.blind += 1;
            // One failure may be an accident of the machine; the second is the library.
            if self.blind > 1 {
                return self.rebuild(cx);
            }
            self.look(cx);
        }
    }

    fn on_seen(&mut self, cx: &mut Cx<'_>, seen: Inspected) {
        self.blind = 0;
        self.found |= seen.astray;
        self.astray |= seen.astray;
        self.orders.missing.extend(seen.missing);
        self.after = seen.after;
        self.left = self.left.saturating_sub(u64::from(seen.songs).max(1));
        if !seen.unsealed.is_empty() && !self.looks_away {
            self.unsealed = seen.unsealed;
        }
        self.on_odd(cx, seen.odd);
        if seen.after.is_none() {
            self.end_pass(cx.now);
        } else if self.suspect || self.left > 0 {
            self.look(cx);
        }
    }

    /// What was found late in the pass may not be put right yet; then the pass proves nothing.
    fn end_pass(&mut self, now: Time) {
        let clean = !self.found && self.odd.is_empty() && self.mend == Wait::Idle;
        self.clean_at = clean.then_some(now);
        (self.suspect, self.found, self.left) = (false, false, 0);
    }

    fn on_mended(&mut self, cx: &mut Cx<'_>, reply: JobReply) {
        self.mend = Wait::Idle;
        if let JobReply::Removed { count, overview } = reply {
            self.found |= count > 0;
            self.orders.changed = Some(overview);
            // The song that was blamed says what was stored, so the failure has another reason.
            if core::mem::take(&mut self.blamed) && count == 0 {
                self.suspect(cx);
            }
            return self.put_right(cx);
        }
        let corrupt = matches!(reply, JobReply::Failed(JobFault::Corrupt(_)));
        if corrupt && self.replacement.is_over() {
            return self.rebuild(cx);
        }
        // The next pass finds it again.
        self.mend = Wait::Until(cx.now + AGAIN);
    }

    /// Asks the other owners about the songs that have no seal.
    pub(super) fn ask_witnesses(&mut self, cx: &mut Cx<'_>, others: super::Others<'_>) {
        if !self.unsealed.is_empty() {
            let songs = core::mem::take(&mut self.unsealed);
            self.witnesses.ask(cx, songs, others);
        }
    }

    /// Takes what another data node says of a song without a seal.
    pub(super) fn on_witness(&mut self, cx: &mut Cx<'_>, song: SongId, reply: Reply) {
        self.witnesses.conclude(cx, song, reply);
    }

    /// A job that failed is repeated when a later pass finds the songs again.
    fn on_sealed(&mut self, reply: &JobReply) {
        self.witnesses.on_sealed();
        if let JobReply::Removed { count, overview } = reply {
            self.found |= *count > 0;
            self.orders.changed = Some(*overview);
        }
    }

    /// Takes withdrawn songs that nobody has brought back into the list again, one by one.
    fn restore(&mut self, cx: &mut Cx<'_>, withdrawn: u64) {
        if withdrawn > 0 && !self.restoring && self.replacement.is_over() {
            self.restoring = true;
            // Where no other data node is known, nobody will bring them.
            let untouched = if self.alone {
                Duration::ZERO
            } else {
                BROUGHT_BACK
            };
            let untouched_s = untouched.as_secs();
            let job = LibraryJob::Restore { untouched_s };
            cx.run(Ordered::Mending(Purpose::Restore(withdrawn)), job);
        }
    }

    fn on_restored(&mut self, cx: &mut Cx<'_>, before: u64, reply: &JobReply) {
        self.restoring = false;
        if let JobReply::Stored { overview } = reply {
            self.orders.changed = Some(*overview);
            if overview.withdrawn < before {
                self.restore(cx, overview.withdrawn);
            }
        }
    }

    fn on_rebuilt(&mut self, cx: &mut Cx<'_>, reply: JobReply) {
        let Some(overview) = self.replacement.on_rebuilt(cx, &reply) else {
            return;
        };
        (self.after, self.left, self.blind, self.clean_at) = (None, 0, 0, None);
        (self.suspect, self.astray, self.found) = (false, false, false);
        self.blamed = false;
        self.odd.clear();
        self.orders.renewed = Some(overview);
    }

    fn on_salvaged(&mut self, cx: &mut Cx<'_>, reply: JobReply) {
        match self.replacement.on_salvaged(cx, &reply) {
            Salvaged::Changed(overview) => self.orders.changed = Some(overview),
            Salvaged::Corrupt => self.suspect(cx),
            Salvaged::Later => (),
        }
    }

    /// Looks at the next songs when it is due, and repeats what has failed.
    /// `alone`: there is no other data node, alive or dead.
    pub(super) fn on_tick(&mut self, cx: &mut Cx<'_>, overview: Overview, alone: bool) {
        self.alone = alone;
        let rng = &mut self.rng;
        self.replacement.on_tick(cx, || StoreId(rng.bits()));
        if matches!(self.mend, Wait::Until(at) if at <= cx.now) {
            self.mend = Wait::Idle;
            self.put_right(cx);
        }
        if self.due <= cx.now {
            self.due = cx.now + self.rng.around(self.step);
            if self.begun && self.replacement.is_over() {
                let steps = (self.within.as_secs() / self.step.as_secs().max(1)).max(1);
                self.left = overview.digest.count / steps + 1;
                self.look(cx);
                self.restore(cx, overview.withdrawn);
            }
        }
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        let mend = match self.mend {
            Wait::Until(at) => Some(at),
            Wait::Idle | Wait::Ordered => None,
        };
        let own = earlier(Some(self.due), mend);
        earlier(own, self.replacement.deadline())
    }
}

#[cfg(test)]
mod tests;
