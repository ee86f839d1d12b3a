//! Reads the further tags of songs in the background, step by step.
//!
//! Owns how far the library has been gone through. Songs of older libraries and songs just committed
//! are treated alike: what has no tags of this version gets them. The library reads and stores them;
//! telling them to the routers is [`super::announcer`]'s business.

use core::time::Duration;

use super::Data;
use crate::contract::job::{JobReply, LibraryJob};
use crate::contract::time::Time;
use crate::cx::Cx;
use crate::purpose::Ordered;
use crate::purpose::data::Purpose;

/// The state of the reading.
#[derive(Debug, Default)]
pub(super) struct Tagging {
    /// All songs committed up to this revision have been looked at.
    after: u64,
    /// When the next step is due.
    due: Option<Time>,
    /// A step is under way.
    runs: bool,
    /// A song has been passed over because it is damaged here.
    passed: bool,
}

impl Tagging {
    /// Songs have come. The step waits a little, so that it reads several at once.
    pub(super) fn on_song(&mut self, now: Time) {
        let soon = now + GATHER;
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
    }

    /// Begins with the first song again: the library is another one.
    pub(super) fn start_over(&mut self, now: Time) {
        self.after = 0;
        self.on_song(now);
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.due.filter(|_| !self.runs)
    }
}

impl Data {
    /// Orders the next step when it is due.
    pub(super) fn read_tags(&mut self, cx: &mut Cx<'_>) {
        let tagging = &mut self.tagging;
        if tagging.runs || tagging.due.is_none_or(|due| cx.now < due) {
            return;
        }
        (tagging.runs, tagging.due) = (true, None);
        let after = tagging.after;
        cx.run(
            Ordered::Data(Purpose::ReadTags),
            LibraryJob::ReadTags { after },
        );
    }

    /// Takes the result of a step.
    pub(super) fn on_tags_read(&mut self, now: Time, reply: &JobReply) {
        let tagging = &mut self.tagging;
        tagging.runs = false;
        let JobReply::TagsRead {
            store,
            after,
            more,
            passed,
            tags,
        } = *reply
        else {
            tagging.due = Some(now + LATER);
            return;
        };
        // The answer of a library that has been set aside tells nothing of this one.
        let ours = self.overview.as_mut().filter(|all| all.store == store);
        if let Some(overview) = ours {
            overview.tags = overview.tags.max(tags);
            tagging.after = after;
        }
        tagging.passed |= passed > 0;
        if more {
            tagging.due = Some(now + BETWEEN);
        } else if tagging.due.is_none() {
            tagging.after = 0;
            let pause = if tagging.passed { MENDED_IN } else { AGAIN };
            (tagging.passed, tagging.due) = (false, Some(now + pause));
        }
    }
}

/// How long a step waits for more songs after one has come.
const GATHER: Duration = Duration::from_millis(250);

/// The pause between two steps, so that uploads and listeners come first.
const BETWEEN: Duration = Duration::from_millis(10);

/// The pause after a step that failed.
const LATER: Duration = Duration::from_secs(10);

/// The time until songs that are damaged are looked at again.
const MENDED_IN: Duration = Duration::from_secs(30);

/// The time until the whole library is gone through again.
const AGAIN: Duration = Duration::from_secs(6 * 3600);
