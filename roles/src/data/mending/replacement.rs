//! The replacement of a library that cannot be mended: set aside, begun anew, salvaged.
//!
//! Owns when that may happen, and how long the node shows itself as sick because of it.

use core::time::Duration;

use super::Purpose;
use crate::contract::job::{JobFault, JobReply, LibraryJob, Overview};
use crate::contract::message::StoreId;
use crate::contract::repeats::Repeats;
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::contract::user::Level;
use crate::cx::Cx;
use crate::purpose::Ordered;

/// Least time between two rebuilds, doubled up to the longest while they follow each other: a disk
/// that fails must not be written to without end.
const PAUSE: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// The time until a salvage that failed goes on.
const AGAIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Replacement {
    stage: Stage,
    rebuilt_at: Option<Time>,
    /// How long no further rebuild begins after the last one.
    pause: Duration,
    /// When the node no longer shows itself as sick, unless a song comes before.
    settled_at: Option<Time>,
    settles: Duration,
    /// When it was last told that the salvage finds no room.
    no_room: Repeats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The library is in use, and there is no other.
    Over,
    /// The library is to be set aside at this time; none: it is being set aside.
    Rebuilding(Option<Time>),
    /// The library is new, and the next part of the old one is to be taken over at this time; none:
    /// it is being taken over.
    Salvaging(Option<Time>),
}

/// What a step of the salvage has come to.
pub(super) enum Salvaged {
    /// The new library has changed.
    Changed(Overview),
    /// The new library is damaged, too.
    Corrupt,
    /// The step is repeated later.
    Later,
}

impl Replacement {
    /// Nothing is replaced. After a rebuild the node counts as sick until no song has come for
    /// `settles`.
    pub(super) fn new(settles: Duration) -> Self {
        Replacement {
            stage: Stage::Over,
            rebuilt_at: None,
            pause: PAUSE,
            settled_at: None,
            settles,
            no_room: Repeats::default(),
        }
    }

    /// Whether the library is in use, and none is being replaced.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Whether the library is being replaced, or its songs still come back.
    pub(super) fn is_sick(&self) -> bool {
        !self.is_over() || self.settled_at.is_some()
    }

    /// A song has come.
    pub(super) fn on_song(&mut self, now: Time) {
        if self.settled_at.is_some() {
            self.settled_at = Some(now + self.settles);
        }
    }

    /// Rebuilds the library, now or when the pause after the last rebuild is over.
    pub(super) fn begin(&mut self, cx: &mut Cx<'_>, store: StoreId) {
        let earliest = self.rebuilt_at.map(|at| at + self.pause);
        if let Some(at) = earliest.filter(|at| cx.now < *at) {
            self.stage = Stage::Rebuilding(Some(at));
            return;
        }
        self.rebuild(cx, store);
    }

    fn rebuild(&mut self, cx: &mut Cx<'_>, store: StoreId) {
        let rested = self.rebuilt_at.map(|at| cx.now.since(at));
        let again = rested.is_some_and(|rested| rested < 2 * PAUSE_MAX);
        self.pause = if again {
            (self.pause * 2).min(PAUSE_MAX)
        } else {
            PAUSE
        };
        self.rebuilt_at = Some(cx.now);
        self.stage = Stage::Rebuilding(None);
        let line = "library cannot be read: it is set aside, and its songs are fetched again";
        cx.out.fact(Level::Warn, line.into());
        let job = LibraryJob::Rebuild { store };
        cx.run(Ordered::Mending(Purpose::Rebuild), job);
    }

    /// Takes the next part of the library that was set aside over.
    pub(super) fn salvage(&mut self, cx: &mut Cx<'_>) {
        self.settled_at = Some(cx.now + self.settles);
        self.stage = Stage::Salvaging(None);
        cx.run(Ordered::Mending(Purpose::Salvage), LibraryJob::Salvage);
    }

    /// Takes the reply of a rebuild. Returns the overview of the new library.
    pub(super) fn on_rebuilt(&mut self, cx: &mut Cx<'_>, reply: &JobReply) -> Option<Overview> {
        let JobReply::Overview(overview) = reply else {
            self.stage = Stage::Rebuilding(Some(cx.now + self.pause));
            return None;
        };
        self.salvage(cx);
        Some(*overview)
    }

    /// Takes the reply of a step of the salvage.
    pub(super) fn on_salvaged(&mut self, cx: &mut Cx<'_>, reply: &JobReply) -> Salvaged {
        if let JobReply::Salvaged { more, overview } = reply {
            if *more {
                self.salvage(cx);
            } else {
                self.stage = Stage::Over;
            }
            return Salvaged::Changed(*overview);
        }
        if let JobReply::Failed(JobFault::Corrupt(_)) = reply {
            self.stage = Stage::Over;
            return Salvaged::Corrupt;
        }
        if *reply == JobReply::Failed(JobFault::DiskFull)
            && let Some(times) = self.no_room.note(cx.now)
        {
            let line = "library set aside and disk full: make room, or, if no copies are missing, \
                        delete library.db.mending and each segment.* that is not newer";
            cx.out
                .fact(Level::Warn, alloc::format!("{line} times={times}"));
        }
        self.stage = Stage::Salvaging(Some(cx.now + AGAIN));
        Salvaged::Later
    }

    /// Does what is due; `store` makes the identity of a new library.
    pub(super) fn on_tick(&mut self, cx: &mut Cx<'_>, store: impl FnOnce() -> StoreId) {
        match self.stage {
            Stage::Rebuilding(Some(at)) if at <= cx.now => self.rebuild(cx, store()),
            Stage::Salvaging(Some(at)) if at <= cx.now => self.salvage(cx),
            Stage::Over | Stage::Rebuilding(_) | Stage::Salvaging(_) => (),
        }
        self.settled_at.take_if(|at| *at <= cx.now);
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        let step = match self.stage {
            Stage::Over => None,
            Stage::Rebuilding(at) | Stage::Salvaging(at) => at,
        };
        earlier(step, self.settled_at)
    }
}
