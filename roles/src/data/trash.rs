//! The trash: songs that are removed for now.
//!
//! Owns the changes under way and the exchange of marks with the other data nodes
//! ([`crate::contract::trash`] has the order in which marks merge). A change asks the other data
//! nodes what they know of the song before it takes the next version, so it follows every change
//! that was acknowledged before, if one of the nodes that stored it answers. The mark is durable
//! here before any other node is told, and the answer goes out when a second node has it, too.
//!
//! When a song's time is over, the node asks all others once more: nothing is removed for good that
//! one of them knows to be restored. While a data node is dead or does not answer, the song stays,
//! until its time is over twice.

mod change;
mod exchange;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use self::change::{Change, Goal, Waiter};
use super::answers::{answer_to, refuse_fault, set_aside};
use super::exchange::Exchange;
use super::{Data, Others};
use crate::contract::id::SongId;
use crate::contract::job::{Due, JobReply, LibraryJob};
use crate::contract::limits::{MARK_VERSION_MAX, MARKS_MAX, TRASH_S_MAX};
use crate::contract::message::{Message, Refusal};
use crate::contract::node::{Asker, Outbox};
use crate::contract::record::{Features, Record};
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::contract::trash::{Fate, Mark};
use crate::contract::upkeep::Upkeep;
use crate::cx::Cx;
use crate::mutants::{CopyMutant, CopyMutants};
use crate::purpose::Ordered;
use crate::purpose::data::Purpose;
use crate::purpose::trash::{JobFor, Step};
use crate::requests::Reply;

/// Changes under way. A further one is refused as busy.
pub(super) const CHANGES_MAX: usize = 256;

/// Data nodes asked about one change; the others learn of it by the exchange of marks.
const TOLD_MAX: usize = 32;

/// Songs whose end is decided at once.
const DUE_MAX: u32 = 16;

/// A song that another node has asked about so lately does not end: somebody may be taking it back, and
/// be answered before this node's disk has heard of it.
const WANTED_FOR: Duration = Duration::from_secs(10);

/// Songs remembered as asked about; beyond them, those that were asked about first are forgotten.
const WANTED_MAX: usize = 1024;

/// Longest time between two counts of time: what a crash may take from a song's age.
const COUNT_EVERY: Duration = Duration::from_secs(600);

/// The trash of a data node.
#[derive(Debug)]
pub(super) struct Trash {
    keep_s: u64,
    changes: BTreeMap<u64, Change>,
    count: u64,
    /// Time is counted up to here.
    counted_at: Time,
    /// When time is counted next.
    count_at: Time,
    exchange: Exchange,
    /// When another node that was not about to remove a song last asked about it.
    wanted: BTreeMap<SongId, Time>,
    /// Something is in the trash, as far as the library has said.
    used: bool,
    mutants: CopyMutants,
}

impl Trash {
    /// A trash that keeps songs for `keep` and compares its marks once per `compare_every`.
    pub(super) fn new(keep: Duration, compare_every: Duration, mutants: CopyMutants) -> Self {
        Trash {
            keep_s: keep.as_secs().min(TRASH_S_MAX),
            changes: BTreeMap::new(),
            count: 0,
            counted_at: Time::ZERO,
            count_at: Time::ZERO,
            exchange: Exchange::new(compare_every),
            wanted: BTreeMap::new(),
            used: false,
            mutants,
        }
    }

    /// Whether songs are removed for good at once.
    pub(super) fn is_off(&self) -> bool {
        self.keep_s == 0
    }

    /// Changes under way.
    pub(super) fn changes(&self) -> usize {
        self.changes.len()
    }

    /// The library that had the marks of these changes is set aside: each client hears it, and asks
    /// again.
    pub(super) fn refuse(&mut self, out: &mut Outbox) {
        for change in core::mem::take(&mut self.changes).into_values() {
            if let Some(asker) = change.asker() {
                out.answer(asker, set_aside());
            }
        }
    }

    /// Takes whether the library says that something is in the trash.
    pub(super) fn note(&mut self, now: Time, used: bool) {
        if used && !self.used {
            // Time counts from now on.
            self.counted_at = now;
            self.count_at = now + self.count_every();
        }
        self.used = used;
    }

    /// Whether the removal of a song whose time is over has been ordered.
    fn is_ending(&self, song: SongId) -> bool {
        let mut changes = self.changes.values();
        changes.any(|change| change.song == song && change.ending)
    }

    /// Takes a question about one song. A node that is about to end a song says that it has no time left.
    fn note_wanted(&mut self, now: Time, mark: &Mark) {
        if mark.thrown && mark.left_s == 0 {
            return;
        }
        self.wanted.retain(|_, at| now.since(*at) < WANTED_FOR);
        if self.wanted.len() >= WANTED_MAX {
            let first = self.wanted.iter().min_by_key(|(_, at)| **at);
            let first = first.map(|(song, _)| *song);
            first.map(|song| self.wanted.remove(&song));
        }
        self.wanted.insert(mark.song, now);
    }

    fn is_wanted(&self, now: Time, song: SongId) -> bool {
        let asked = self.wanted.get(&song);
        asked.is_some_and(|at| now.since(*at) < WANTED_FOR)
    }

    fn count_every(&self) -> Duration {
        let share = Duration::from_secs(self.keep_s / 60);
        let shortest = Duration::from_secs(1);
        if self.is_off() {
            COUNT_EVERY
        } else {
            share.clamp(shortest, COUNT_EVERY)
        }
    }

    /// Whole seconds that have passed and are not counted yet. They count as counted from here on:
    /// where the job fails, a song stays so much longer.
    fn passed_s(&mut self, now: Time) -> u64 {
        if !self.used {
            return 0;
        }
        let passed = Duration::from_secs(now.since(self.counted_at).as_secs());
        self.counted_at = self.counted_at + passed;
        if self.mutants.has(CopyMutant::AgesTwice) {
            return 2 * passed.as_secs();
        }
        passed.as_secs()
    }

    fn note_marks(&mut self, cx: &mut Cx<'_>, purpose: JobFor, marks: Vec<Mark>) {
        let passed_s = self.passed_s(cx.now);
        let job = LibraryJob::NoteMarks { marks, passed_s };
        cx.run(Ordered::Trash(purpose), job);
    }

    /// Notes what another node has answered: its newer marks, and what is removed for good there.
    fn learn(&mut self, cx: &mut Cx<'_>, newer: Vec<Mark>, gone: Vec<SongId>) {
        if !newer.is_empty() {
            self.note_marks(cx, JobFor::Learn, newer);
        }
        for songs in gone.chunks(crate::contract::limits::REMOVALS_MAX) {
            let songs = songs.to_vec();
            cx.run(
                Ordered::Trash(JobFor::Learn),
                LibraryJob::RemoveSongs { songs },
            );
        }
    }

    /// When [`Data::look_after_trash`] has something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        let count = self.used.then_some(self.count_at);
        earlier(count, self.exchange.deadline())
    }
}

/// The data nodes that are told of a mark: those that know the trash.
fn partners<'a>(others: &Others<'a>) -> impl Iterator<Item = &'a Record> {
    let all = others.data.iter().chain(others.leaving);
    all.filter(|record| record.features.has(Features::TRASH))
}

/// Reads another node's answer to marks.
fn noted(reply: Reply) -> Option<(Vec<Mark>, Vec<SongId>)> {
    let Some(Message::Upkeep(Upkeep::Noted { newer, gone })) = reply.message() else {
        return None;
    };
    let bounded = newer.len() <= MARKS_MAX && gone.len() <= MARKS_MAX;
    let possible = newer.iter().all(Mark::is_possible);
    (bounded && possible).then_some((newer, gone))
}

impl Data {
    /// A client wants a song to be somewhere.
    pub(super) fn on_fate(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        (song, to, seen): (SongId, Fate, u64),
    ) {
        if seen > MARK_VERSION_MAX {
            let why = alloc::format!("a change follows a version of at most {MARK_VERSION_MAX}");
            return self.refuse_doubted(cx, asker, why);
        }
        let goal = match to {
            Fate::Trash if !self.trash.is_off() => Goal::Trash,
            Fate::Trash | Fate::Gone => {
                let songs = Vec::from([song]);
                let purpose = Purpose::Bury(asker, songs.clone(), false);
                cx.run(Ordered::Data(purpose), LibraryJob::RemoveSongs { songs });
                return;
            }
            Fate::Here => Goal::Here,
            Fate::Emptied => Goal::Emptied,
        };
        self.begin_change(cx, (song, seen), goal, Waiter::Client(asker));
    }

    /// Another data node sends marks, or asks what is known of songs.
    pub(super) fn on_note(&mut self, cx: &mut Cx<'_>, asker: Asker, marks: Vec<Mark>) {
        let possible = marks.iter().all(Mark::is_possible);
        if marks.is_empty() || marks.len() > MARKS_MAX || !possible {
            let why = alloc::format!("1 to {MARKS_MAX} marks with possible versions are noted");
            return self.refuse_doubted(cx, asker, why);
        }
        if let [mark] = marks.as_slice() {
            if self.trash.is_ending(mark.song) {
                // The library hears of it too late: the removal waits there already.
                let (newer, gone) = (Vec::new(), [mark.song].into());
                let answer = Message::Upkeep(Upkeep::Noted { newer, gone });
                return cx.out.answer(asker, answer);
            }
            self.trash.note_wanted(cx.now, mark);
        }
        self.trash.note_marks(cx, JobFor::Merge(asker), marks);
    }

    /// Takes the end of a question of the trash.
    pub(super) fn conclude_trash(
        &mut self,
        cx: &mut Cx<'_>,
        step: Step,
        reply: Reply,
        others: Others<'_>,
    ) {
        match step {
            Step::Look(number) => self.on_seen(cx, number, noted(reply), others),
            Step::Tell(number) => self.on_told(cx, number, noted(reply), others),
            Step::Compare(node) => self.trash.on_compared(cx, node, reply),
            Step::Push(node, next) => self.trash.on_pushed(cx, node, next, noted(reply)),
        }
    }

    /// Takes the reply of a job of the trash.
    pub(super) fn on_trash_done(
        &mut self,
        cx: &mut Cx<'_>,
        purpose: JobFor,
        reply: JobReply,
        others: Others<'_>,
    ) {
        if let JobReply::Noted { overview, .. } | JobReply::Removed { overview, .. } = &reply {
            self.change(cx.now, *overview);
        }
        match purpose {
            JobFor::Look(number) => self.on_looked(cx, number, reply, others),
            JobFor::Write(number) => self.on_written(cx, number, reply, others),
            JobFor::Empty(number) => self.on_emptied(cx, number, reply, others),
            JobFor::Merge(asker) => cx.out.answer(asker, answer_to(reply)),
            JobFor::Alike(asker, theirs) => {
                let JobReply::MarksDigest { digest } = reply else {
                    return cx.out.answer(asker, answer_to(reply));
                };
                let alike = digest == theirs;
                let answer = Message::Upkeep(Upkeep::Alike { alike });
                cx.out.answer(asker, answer);
            }
            JobFor::Digest(node) => self.trash.on_digest(cx, node, &reply, others),
            JobFor::Push(node) => self.trash.on_page(cx, node, reply, others),
            JobFor::Learn => {
                if let JobReply::Removed { .. } = reply {
                    cx.run(Ordered::Data(Purpose::Reclaim), LibraryJob::Reclaim);
                }
            }
            JobFor::Age => self.on_due(cx, reply),
        }
    }

    /// Compares marks with the other data nodes, and counts time for what is in the trash.
    pub(super) fn look_after_trash(&mut self, cx: &mut Cx<'_>, others: Others<'_>) {
        let Some(overview) = self.overview else {
            return;
        };
        self.trash.note(cx.now, overview.trash);
        self.trash.compare(cx, others);
        if overview.trash && self.trash.count_at <= cx.now {
            self.trash.count_at = cx.now + self.trash.count_every();
            let passed_s = self.trash.passed_s(cx.now);
            let limit = DUE_MAX;
            let job = LibraryJob::AgeTrash { passed_s, limit };
            cx.run(Ordered::Trash(JobFor::Age), job);
        }
    }

    fn on_due(&mut self, cx: &mut Cx<'_>, reply: JobReply) {
        let JobReply::Due { due } = reply else {
            return;
        };
        for Due { mark, twice } in due {
            let under_way = |change: &Change| change.song == mark.song;
            if !self.trash.changes.values().any(under_way) {
                self.begin_change(cx, (mark.song, 0), Goal::Expired { twice }, Waiter::Nobody);
            }
        }
    }

    /// Answers who waits for a change that cannot be made.
    fn refuse_change(&mut self, cx: &mut Cx<'_>, waiter: &Waiter, why: Refusal) {
        if let Some(asker) = waiter.asker() {
            cx.out.refuse(asker, why);
        }
    }

    fn fail_change(&mut self, cx: &mut Cx<'_>, waiter: &Waiter, reply: JobReply) {
        self.refuse_change(cx, waiter, refuse_fault(reply));
    }
}
