//! Maintenance of copies: answers the questions of other data nodes, and drives anti-entropy,
//! repairs and removals here.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::announcer::News;
use super::answers::answer_to;
use super::digests::{Chosen, Digests};
use super::replication::Report;
use super::{
    Data, Others, Purpose, anti_entropy, documents, mending, removal, replication, scrub, trash,
};
use crate::anomalies::Anomaly;
use crate::contract::id::SongId;
use crate::contract::job::{FragmentId, JobReply, LibraryJob, Overview};
use crate::contract::limits::PAGE_IDS_MAX;
use crate::contract::message::{Message, Position, Refusal};
use crate::contract::node::Asker;
use crate::contract::partition::Partition;
use crate::contract::record::{Features, Record};
use crate::contract::time::Time;
use crate::contract::upkeep::Upkeep;
use crate::cx::Cx;
use crate::mutants::CopyMutant;
use crate::purpose::Ordered;
use crate::purpose::data::Stream;
use crate::purpose::trash::JobFor;

/// How long a data node that starts with songs does not announce them, unless a round ends earlier:
/// the songs may have been removed while it was away.
const SILENT: Duration = Duration::from_secs(5);

/// The same when it knows no other data node by then: it may be alone.
const ALONE: Duration = Duration::from_millis(300);

/// The length of one queue in a data node's memory.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    /// The name of what waits.
    pub name: &'static str,
    /// Entries waiting.
    pub length: usize,
    /// The bound on `length`.
    pub most: usize,
}

/// The time after a start in which a data node announces nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    since: Time,
    /// `ALONE` has passed, so the absence of other data nodes counts.
    looked: bool,
}

impl Silence {
    fn from(since: Time) -> Self {
        let looked = false;
        Silence { since, looked }
    }

    fn is_over(&mut self, now: Time, alone: bool) -> bool {
        self.looked |= now >= self.since + ALONE;
        now >= self.since + SILENT || (self.looked && alone)
    }

    /// The next time at which the silence may be over.
    pub(super) fn until(&self) -> Time {
        self.since + if self.looked { SILENT } else { ALONE }
    }
}

impl Data {
    /// Answers another node's question about copies. A question from another view is not ready to
    /// be answered: the two nodes would disagree about the owners.
    pub fn on_upkeep(&mut self, cx: &mut Cx<'_>, asker: Asker, words: Upkeep, others: Others<'_>) {
        match words {
            Upkeep::Sums { view, .. } | Upkeep::Holdings { view, .. }
                if view != others.owners.view() =>
            {
                cx.out.refuse(asker, Refusal::NotReady);
            }
            Upkeep::Sums { chosen, each, .. } => match Chosen::read(chosen) {
                Some(chosen) => {
                    let purpose = Purpose::Sums(asker, chosen, each);
                    cx.run(Ordered::Data(purpose), LibraryJob::PartitionDigests);
                }
                None => self.refuse_doubted(cx, asker, "another circle".into()),
            },
            Upkeep::Holdings {
                partition, after, ..
            } => self.on_holdings(cx, asker, partition, after),
            Upkeep::Bury { songs, copy } => match removal::check(&songs) {
                Ok(songs) if !copy && !self.trash.is_off() => {
                    self.on_earlier_removal(cx, asker, &songs);
                }
                Ok(songs) => {
                    let purpose = Purpose::Bury(asker, songs.clone(), copy);
                    cx.run(Ordered::Data(purpose), LibraryJob::RemoveSongs { songs });
                }
                Err(why) => self.refuse_doubted(cx, asker, why),
            },
            Upkeep::Note { marks } => self.on_note(cx, asker, marks),
            Upkeep::CompareMarks { digest } => {
                let purpose = JobFor::Alike(asker, digest);
                cx.run(Ordered::Trash(purpose), LibraryJob::MarksDigest);
            }
            Upkeep::Change { song, to, seen } => self.on_fate(cx, asker, (song, to, seen)),
            Upkeep::Write { documents, plays } => {
                self.on_write(cx, asker, (documents, plays), others);
            }
            Upkeep::NoteDocuments { documents } => {
                self.on_note_documents(cx, asker, documents, others);
            }
            Upkeep::CompareDocuments { sums } => self.on_compare_documents(cx, asker, sums),
            Upkeep::Summed { .. }
            | Upkeep::Held { .. }
            | Upkeep::Buried { .. }
            | Upkeep::Noted { .. }
            | Upkeep::Alike { .. }
            | Upkeep::Written { .. }
            | Upkeep::Late { .. }
            | Upkeep::DocumentsNoted { .. }
            | Upkeep::Differ { .. }
            | Upkeep::Changed { .. } => cx.out.refuse(asker, Refusal::WrongRole),
        }
    }

    /// A client that knows no trash removes a song: it may be taken back all the same.
    fn on_earlier_removal(&mut self, cx: &mut Cx<'_>, asker: Asker, songs: &[SongId]) {
        match songs {
            [song] => self.throw_for_earlier(cx, asker, *song),
            _ => self.refuse_doubted(cx, asker, "a client removes one song at a time".into()),
        }
    }

    pub(super) fn refuse_doubted(&mut self, cx: &mut Cx<'_>, asker: Asker, why: String) {
        self.anomalies.note(cx, Anomaly::Upkeep, asker.sender.node);
        cx.out.refuse(asker, Refusal::Invalid(why));
    }

    fn on_holdings(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        partition: u16,
        after: Option<SongId>,
    ) {
        let Some(partition) = Partition::from_number(partition) else {
            return self.refuse_doubted(cx, asker, "another circle".into());
        };
        let job = LibraryJob::PartitionSongs {
            partition,
            after,
            limit: PAGE_IDS_MAX as u32,
        };
        cx.run(Ordered::Data(Purpose::Answer(asker)), job);
    }

    /// Takes the result of a removal, and passes the removal on unless another data node does.
    pub(super) fn on_buried(
        &mut self,
        cx: &mut Cx<'_>,
        (asker, songs, copy): (Asker, Vec<SongId>, bool),
        reply: JobReply,
        others: Others<'_>,
    ) {
        let JobReply::Removed { count, overview } = reply else {
            return cx.out.answer(asker, answer_to(reply));
        };
        if (count as usize) < songs.len() {
            self.anomalies.note(cx, Anomaly::Removal, asker.sender.node);
        }
        self.change(cx.now, overview);
        cx.run(Ordered::Data(Purpose::Reclaim), LibraryJob::Reclaim);
        if copy {
            cx.out.answer(asker, removal::buried(1));
        } else {
            self.removal.spread(cx, asker, &songs, others);
        }
    }

    /// Frees disk space a step at a time, until the library has no more to free.
    pub(super) fn on_reclaimed(&mut self, cx: &mut Cx<'_>, reply: &JobReply) {
        if *reply == (JobReply::Reclaimed { more: true }) {
            cx.run(Ordered::Data(Purpose::Reclaim), LibraryJob::Reclaim);
        } else if *reply == (JobReply::Reclaimed { more: false }) {
            self.on_freed_room(cx);
        }
    }

    /// A fragment that a client asked for is damaged: the scrub replaces it.
    pub(super) fn on_rot(&mut self, cx: &mut Cx<'_>, stream: &Stream) {
        if let Position::Index(index) = stream.at {
            let song = stream.song;
            self.scrub.on_rot(cx, FragmentId { song, index });
        }
    }

    /// Hands what has become of copies to the parts that wait for it.
    pub(super) fn on_copies(&mut self, cx: &mut Cx<'_>, reports: Vec<Report>) {
        for report in reports {
            match report {
                Report::Made((song, _)) => self.acknowledgements.on_copy(cx.now, song),
                Report::NotMade(key) => self.acknowledgements.on_no_copy(cx.now, key),
                Report::RepairFailed => self.anti_entropy.hold_on(cx.now),
                Report::Rotten(fragment) => self.scrub.on_rot(cx, fragment),
                Report::Doubted(node) => self.anomalies.note(cx, Anomaly::Copy, node),
            }
        }
    }

    /// Carries out what anti-entropy has ordered, and begins the next round when it is due.
    pub(super) fn keep_up(&mut self, cx: &mut Cx<'_>, others: Others<'_>) {
        let orders = self.anti_entropy.take_orders();
        for from in self.scrub.take_doubted() {
            self.anomalies.note(cx, Anomaly::Bytes, from);
        }
        for node in orders.doubted {
            self.anomalies.note(cx, Anomaly::Upkeep, node);
        }
        if let Some(overview) = orders.changed {
            self.change(cx.now, overview);
            cx.run(Ordered::Data(Purpose::Reclaim), LibraryJob::Reclaim);
        }
        self.mend(cx);
        self.mending.ask_witnesses(cx, others);
        self.look_after_trash(cx, others);
        self.compare_documents(cx, others);
        if !orders.copies.is_empty() {
            let reports = (self.copies).repair(cx, orders.copies, others.data);
            self.on_copies(cx, reports);
        }
        if let Some(overview) = self.overview {
            let busy = self.copies.repairs() > 0;
            if self.anti_entropy.sees_change(others) {
                self.copies.forget_repaired();
                self.scrub.forget_who_lacks();
            }
            if self.ends {
                self.anti_entropy.leave_out(self.scrub.unreadable());
            }
            self.anti_entropy.look(cx, others, overview, busy);
        }
        // A whole round has seen the tombstones of the others, so the removed songs are known.
        if self.anti_entropy.has_compared() {
            self.silence = None;
        }
    }

    /// Does what follows from the state of the tables.
    fn mend(&mut self, cx: &mut Cx<'_>) {
        let orders = self.mending.take_orders();
        if let Some(overview) = orders.renewed {
            self.renew(cx, overview);
        }
        let known =
            |overview: Overview| self.overview.is_none_or(|old| old.store == overview.store);
        match orders.changed {
            Some(overview) if known(overview) => self.change(cx.now, overview),
            // Its history could not be trusted, so it has begun another.
            Some(overview) => self.renew(cx, overview),
            None => (),
        }
        for fragment in orders.missing {
            self.scrub.on_rot(cx, fragment);
        }
        if orders.turned {
            self.announcer.on_change(cx.now);
        }
    }

    /// The library is another one: what was known of the old one holds no longer. The routers hear at
    /// once what is not here, even if songs were removed elsewhere meanwhile. What was durable in the
    /// old library is not acknowledged any more.
    pub(super) fn renew(&mut self, cx: &mut Cx<'_>, overview: Overview) {
        if (self.config.anti_entropy.mutants).has(CopyMutant::HidesTheHealed) {
            return;
        }
        self.overview = Some(overview);
        self.silence = None;
        self.scrub.renew();
        self.anti_entropy.start_over(cx.now);
        self.announcer.start_over(cx.now);
        self.acknowledgements.refuse(cx.out);
        self.removal.refuse(cx.out);
        self.trash.refuse(cx.out);
        self.writes.refuse(cx.out);
        self.tagging.start_over(cx.now);
    }

    /// Begins the silence, because a library that was away may hold songs removed meanwhile.
    pub(super) fn hold_back(&mut self, now: Time, overview: &Overview) {
        if self.overview.is_none() && overview.digest.count > 0 {
            self.silence = Some(Silence::from(now));
        }
    }

    pub(super) fn is_held_back(&mut self, now: Time, others: Others<'_>) -> bool {
        let alone = others.data.is_empty();
        let over = |silence: &mut Silence| silence.is_over(now, alone);
        self.silence.take_if(over);
        self.silence.is_some()
    }

    /// Whether this node may leave its role: every song is with all its owners, of which this node
    /// is none.
    pub fn is_drained(&self, cx: &Cx<'_>) -> bool {
        let Some(overview) = self.overview else {
            return false;
        };
        if (self.config.anti_entropy.mutants).has(CopyMutant::DrainsAtOnce) {
            return true;
        }
        let empty = overview.digest.count == 0;
        // Copies due to an absent node do not delay the end: every song is with all live owners.
        let placed = self.anti_entropy.all_placed(overview.revision) && self.copies.repairs() == 0;
        !self.is_taking(cx) && (empty || placed) && self.writes.is_handed_over()
    }

    /// Whether a node has refused a copy because its disk is full: the drain will take long.
    pub fn meets_full_disk(&self) -> bool {
        self.copies.meets_full_disk()
    }

    /// Whether copies from the list on disk are still to be made.
    pub fn owes_copies(&self) -> bool {
        self.copies.left() > self.copies.repairs()
    }

    /// The lengths and bounds of this node's queues.
    pub fn queues(&self) -> [Queue; 8] {
        let queue = |name, length, most| Queue { name, length, most };
        [
            queue("copies", self.copies.left(), replication::LEFT_MAX),
            queue(
                "copies under way",
                self.copies.under_way(),
                replication::ACTIVE_MAX,
            ),
            queue(
                "partitions",
                self.anti_entropy.looked_into(),
                anti_entropy::PARTITIONS_AT_ONCE,
            ),
            queue("bad fragments", self.scrub.bad(), scrub::BAD_MAX),
            queue("removals", self.removal.waiting(), removal::WAITING_MAX),
            queue(
                "changes of the trash",
                self.trash.changes(),
                trash::CHANGES_MAX,
            ),
            queue("writes", self.writes.under_way(), documents::WRITES_MAX),
            queue("songs to mend", self.mending.odd(), mending::ODD_MAX),
        ]
    }

    /// Begins a round at once, to hand every song over. A song that no node can read keeps no node that
    /// `ends`. A node that is to change its role keeps it: there, what is left of the song is listed.
    pub fn drain(&mut self, now: Time, ends: bool) {
        self.ends = ends;
        self.copies.forget_full_disks();
        self.writes.hand_over(now);
        self.anti_entropy.start_over(now);
    }

    pub(super) fn news(&self, cx: &Cx<'_>, mut record: Record) -> News {
        let features = record.features.with(Features::FULL, self.room.is_full());
        record.features = features.with(Features::MENDING, self.mending.is_sick());
        let overview = self.overview.unwrap_or_default();
        let damaged = overview.withdrawn.saturating_add(self.scrub.bad() as u64);
        News {
            record,
            overview,
            load: Self::load(cx),
            repairing: u32::try_from(self.copies.left()).unwrap_or(u32::MAX),
            damaged: u32::try_from(damaged).unwrap_or(u32::MAX),
        }
    }
}

/// Answers with the digests of the chosen partitions.
pub(super) fn on_sums(cx: &mut Cx<'_>, asker: Asker, chosen: &Chosen, each: bool, reply: JobReply) {
    let JobReply::PartitionDigests { digests } = reply else {
        return cx.out.answer(asker, answer_to(reply));
    };
    let sums = Digests::of(&digests);
    let sums = if each {
        sums.each(chosen)
    } else {
        sums.by_group(chosen)
    };
    cx.out
        .answer(asker, Message::Upkeep(Upkeep::Summed { sums }));
}
