//! A data node whose disk is full: uploads that give back their room, and what is told of it.
//!
//! Owns whether the disk counts as full, and the uploads that are still to be forgotten. How much
//! room there is decides the library.

use alloc::collections::BTreeSet;
use core::time::Duration;

use super::{Data, LOOK_AGAIN, Purpose};
use crate::contract::id::SongId;
use crate::contract::job::{JobFault, JobReply, LibraryJob};
use crate::contract::limits::FRAGMENT_BYTES_MAX;
use crate::contract::time::Time;
use crate::contract::user::Level;
use crate::cx::Cx;
use crate::purpose::Ordered;

/// Between two warnings of a full disk.
const FULL_TOLD_EVERY: Duration = Duration::from_secs(60);

/// Between two looks at the room left. A look is due with the next tick: it wakes nobody.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A node that has refused a song counts as full for so long while that song still does not fit, even
/// if a smaller one does: people look for the reason a little later.
const FULL_AFTER_REFUSAL: Duration = Duration::from_secs(600);

/// Most uploads that wait to be forgotten; further ones are swept when nobody has touched them for
/// long.
const DROPS_MAX: usize = 256;

/// What a data node knows of the room on its disk.
#[derive(Debug, Default)]
pub(super) struct Room {
    full: bool,
    /// Bytes of the song that was refused last, and until when it counts.
    refused: Option<(u64, Time)>,
    /// When the room is looked at again; none before the start.
    look_at: Option<Time>,
    /// A full disk has been told of until then.
    told_until: Time,
    /// Uploads whose room is still taken, the library having been busy.
    drops: BTreeSet<SongId>,
    /// When they are tried again.
    drop_at: Option<Time>,
}

impl Room {
    /// Whether the disk counts as full.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// When uploads are to be forgotten that could not be.
    pub(super) fn drop_at(&self) -> Option<Time> {
        self.drop_at
    }
}

impl Data {
    /// A job has found no room. An upload gives back what it has: it would keep out what is smaller.
    pub(super) fn on_disk_full(&mut self, cx: &mut Cx<'_>, purpose: &Purpose) {
        self.set_full(cx.now, true);
        let bytes = if let Purpose::Offer(_, _, _, bytes) = purpose {
            *bytes
        } else {
            FRAGMENT_BYTES_MAX as u64
        };
        self.room.refused = Some((bytes, cx.now + FULL_AFTER_REFUSAL));
        if self.room.told_until <= cx.now {
            self.room.told_until = cx.now + FULL_TOLD_EVERY;
            cx.out
                .fact(Level::Warn, "disk full: songs are refused".into());
        }
        if let Purpose::Offer(_, song, ..) | Purpose::Give(_, song) | Purpose::Commit(_, song, _) =
            purpose
        {
            self.drop_upload(cx, *song);
        }
    }

    fn drop_upload(&mut self, cx: &mut Cx<'_>, song: SongId) {
        cx.run(
            Ordered::Data(Purpose::Drop(song)),
            LibraryJob::DropUpload { song },
        );
    }

    /// An upload is forgotten, or the library was too busy for it.
    pub(super) fn on_dropped(&mut self, cx: &mut Cx<'_>, song: SongId, reply: &JobReply) {
        let busy = *reply == JobReply::Failed(JobFault::Busy);
        if busy && self.room.drops.len() < DROPS_MAX {
            self.room.drops.insert(song);
            self.room.drop_at.get_or_insert(cx.now + LOOK_AGAIN);
        }
        self.on_reclaimed(cx, reply);
    }

    /// Looks at the room when it is time, and forgets uploads that are still to be forgotten.
    pub(super) fn on_room_tick(&mut self, cx: &mut Cx<'_>) {
        if self.room.look_at.is_some_and(|at| at <= cx.now) {
            self.look_at_room(cx);
        }
        if self.room.drop_at.take_if(|at| *at <= cx.now).is_some() {
            for song in core::mem::take(&mut self.room.drops) {
                self.drop_upload(cx, song);
            }
        }
    }

    pub(super) fn look_at_room(&mut self, cx: &mut Cx<'_>) {
        self.room.look_at = Some(cx.now + LOOK_EVERY);
        self.room.refused.take_if(|(_, until)| *until <= cx.now);
        self.order_look(cx);
    }

    fn order_look(&mut self, cx: &mut Cx<'_>) {
        let refused = self.room.refused.map(|(bytes, _)| bytes);
        let bytes = refused.unwrap_or(FRAGMENT_BYTES_MAX as u64);
        cx.run(Ordered::Data(Purpose::Room), LibraryJob::Room { bytes });
    }

    /// The library says how much room is left.
    pub(super) fn on_room(&mut self, now: Time, reply: &JobReply) {
        if let JobReply::Room { full } = *reply {
            self.set_full(now, full);
        }
    }

    /// Room has been freed: a full node may be so no longer.
    pub(super) fn on_freed_room(&mut self, cx: &mut Cx<'_>) {
        if self.room.full {
            self.order_look(cx);
        }
    }

    /// The routers hear at once of a disk that has become full, or has room again.
    fn set_full(&mut self, now: Time, full: bool) {
        if self.room.full != full {
            self.room.full = full;
            self.announcer.on_change(now);
        }
    }
}
