//! One change of one song: into the trash, out of it, or out of the world.
//!
//! The stages follow each other: the mark that is here, the marks that the others have, the decision,
//! the new mark here, the new mark at a second node.

use alloc::vec::Vec;
use core::time::Duration;

use super::{CHANGES_MAX, TOLD_MAX, partners};
use crate::contract::id::{NodeId, SongId};
use crate::contract::job::{JobFault, JobReply, LibraryJob};
use crate::contract::message::{Message, Refusal};
use crate::contract::node::{Asker, Peer};
use crate::contract::trash::Mark;
use crate::contract::upkeep::Upkeep;
use crate::cx::Cx;
use crate::data::{Data, Others, removal};
use crate::mutants::CopyMutant;
use crate::purpose::data::Purpose;
use crate::purpose::trash::{JobFor, Step};
use crate::purpose::{Asked, Ordered};
use crate::requests::Policy;

/// A question about one mark. The answer waits for a writer thread and at most one sync.
const LOOK: Policy = Policy {
    deadline: Duration::from_millis(1000),
    attempt: Duration::from_millis(1000),
    rounds: 1,
};

/// How often a change begins again because another one came between.
const TRIES_MAX: u32 = 4;

/// A change under way.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) song: SongId,
    /// The version of the mark by which a router has it in the trash, 0 if it has not.
    seen: u64,
    goal: Goal,
    waiter: Waiter,
    /// The mark that is here.
    own: Mark,
    /// The mark that outranks all others that have been seen; later the new one.
    best: Mark,
    /// Nodes asked that have not answered.
    open: usize,
    /// Nodes asked that did not answer.
    silent: usize,
    /// A node has a tombstone of the song.
    gone: bool,
    /// The library has been told to remove the song, because its time is over.
    pub(super) ending: bool,
    tries: u32,
}

/// Where the song is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Trash,
    Here,
    /// Removed for good, if it is in the trash.
    Emptied,
    /// The same, because its time is over, or over twice.
    Expired {
        twice: bool,
    },
}

/// Who waits for the change.
#[derive(Clone, Debug)]
pub(super) enum Waiter {
    Client(Asker),
    /// One that knows no trash, and is told that the song is removed.
    EarlierClient(Asker),
    /// The upload of a song that was in the trash, with the nodes that shall have copies.
    Upload(Asker, Vec<NodeId>),
    Nobody,
}

impl Waiter {
    pub(super) fn asker(&self) -> Option<Asker> {
        match self {
            Waiter::Client(asker) | Waiter::EarlierClient(asker) | Waiter::Upload(asker, _) => {
                Some(*asker)
            }
            Waiter::Nobody => None,
        }
    }
}

impl Change {
    /// Who waits for it.
    pub(super) fn asker(&self) -> Option<Asker> {
        self.waiter.asker()
    }

    /// A router has a later mark than every node that has answered: the nodes that had the mark are
    /// away, or lost their disks. A change that does not follow it would change nothing there.
    fn follow_router(&mut self, keep_s: u64) {
        if self.seen > self.best.version {
            self.best = Mark {
                version: self.seen - 1,
                ..Mark::none(self.song)
            }
            .throw(keep_s);
        }
    }
}

impl Data {
    pub(in crate::data) fn throw_for_earlier(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        song: SongId,
    ) {
        self.begin_change(cx, (song, 0), Goal::Trash, Waiter::EarlierClient(asker));
    }

    /// A song that is uploaded is wanted: it leaves the trash before the upload is answered.
    pub(in crate::data) fn restore_for_upload(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        song: SongId,
        owners: Vec<NodeId>,
    ) {
        self.begin_change(cx, (song, 0), Goal::Here, Waiter::Upload(asker, owners));
    }

    pub(super) fn begin_change(
        &mut self,
        cx: &mut Cx<'_>,
        (song, seen): (SongId, u64),
        goal: Goal,
        waiter: Waiter,
    ) {
        if self.trash.changes.len() >= CHANGES_MAX {
            let retry_after_ms = 100;
            return self.refuse_change(cx, &waiter, Refusal::Busy { retry_after_ms });
        }
        self.trash.count += 1;
        let number = self.trash.count;
        let change = Change {
            song,
            seen,
            goal,
            waiter,
            own: Mark::none(song),
            best: Mark::none(song),
            open: 0,
            silent: 0,
            gone: false,
            ending: false,
            tries: 0,
        };
        self.trash.changes.insert(number, change);
        self.look(cx, number);
    }

    fn look(&mut self, cx: &mut Cx<'_>, number: u64) {
        let Some(change) = self.trash.changes.get_mut(&number) else {
            return;
        };
        change.tries += 1;
        (change.open, change.silent, change.gone) = (0, 0, false);
        let marks = [Mark::none(change.song)].into();
        self.trash.note_marks(cx, JobFor::Look(number), marks);
    }

    /// The mark that is here is known: asks the others for theirs.
    pub(super) fn on_looked(
        &mut self,
        cx: &mut Cx<'_>,
        number: u64,
        reply: JobReply,
        others: Others<'_>,
    ) {
        let JobReply::Noted { newer, gone, .. } = reply else {
            return self.drop_change(cx, number, reply);
        };
        let Some(change) = self.trash.changes.get_mut(&number) else {
            return;
        };
        change.own = newer.first().copied().unwrap_or(Mark::none(change.song));
        change.best = change.own;
        change.gone = !gone.is_empty();
        let asks = !matches!(change.goal, Goal::Expired { .. })
            || !self.trash.mutants.has(CopyMutant::ExpiresUnasked);
        if asks && !change.gone {
            let mut mark = change.own;
            if !matches!(change.goal, Goal::Expired { .. }) {
                // No time left would say that this node is about to remove it.
                mark.left_s = mark.left_s.max(1);
            }
            change.open = tell(cx, mark, Step::Look(number), others);
        }
        self.decide_if_seen(cx, number, others);
    }

    /// Takes what another node knows of the song; none if it did not answer.
    pub(super) fn on_seen(
        &mut self,
        cx: &mut Cx<'_>,
        number: u64,
        reply: Option<(Vec<Mark>, Vec<SongId>)>,
        others: Others<'_>,
    ) {
        let Some(change) = self.trash.changes.get_mut(&number) else {
            return;
        };
        change.open = change.open.saturating_sub(1);
        match reply {
            Some((newer, gone)) => {
                change.gone |= gone.contains(&change.song);
                for theirs in newer.iter().filter(|mark| mark.song == change.song) {
                    if theirs.outranks(&change.best) {
                        change.best = *theirs;
                    }
                }
            }
            None => change.silent += 1,
        }
        self.decide_if_seen(cx, number, others);
    }

    fn decide_if_seen(&mut self, cx: &mut Cx<'_>, number: u64, others: Others<'_>) {
        let changes = &mut self.trash.changes;
        let Some(change) = changes.get_mut(&number).filter(|c| c.open == 0) else {
            return;
        };
        if change.gone {
            return self.on_gone(cx, number);
        }
        change.follow_router(self.trash.keep_s);
        match change.goal {
            Goal::Trash => {
                let keep_s = self.trash.keep_s;
                let next = if change.best.thrown {
                    change.best
                } else {
                    change.best.throw(keep_s)
                };
                self.write(cx, number, next);
            }
            Goal::Here if change.best.version == 0 => self.finish_change(cx, number, 1, others),
            Goal::Here if change.best.thrown => {
                let mut next = change.best.restore();
                if self.trash.mutants.has(CopyMutant::RestoresUnversioned) {
                    next.version = change.best.version.saturating_sub(1);
                }
                self.write(cx, number, next);
            }
            Goal::Here => {
                let next = change.best;
                self.write(cx, number, next);
            }
            Goal::Emptied => self.empty(cx, number),
            Goal::Expired { twice } => self.expire(cx, number, twice, others),
        }
    }

    /// A node has a tombstone of the song: it is removed here, too, for good.
    fn on_gone(&mut self, cx: &mut Cx<'_>, number: u64) {
        let Some(change) = self.trash.changes.remove(&number) else {
            return;
        };
        let songs = Vec::from([change.song]);
        match (change.goal, change.waiter) {
            (Goal::Trash | Goal::Emptied, Waiter::Client(asker) | Waiter::EarlierClient(asker)) => {
                let purpose = Purpose::Bury(asker, songs.clone(), false);
                cx.run(Ordered::Data(purpose), LibraryJob::RemoveSongs { songs });
            }
            (_, waiter) => {
                self.trash.learn(cx, Vec::new(), songs);
                self.fail_change(cx, &waiter, JobReply::Failed(JobFault::Removed));
            }
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, number: u64, mark: Mark) {
        if let Some(change) = self.trash.changes.get_mut(&number) {
            change.best = mark;
            let marks = [mark].into();
            self.trash.note_marks(cx, JobFor::Write(number), marks);
        }
    }

    fn empty(&mut self, cx: &mut Cx<'_>, number: u64) {
        let Some(change) = self.trash.changes.get(&number) else {
            return;
        };
        let (own, mark) = (change.own, change.best);
        if !mark.thrown {
            let waiter = change.waiter.clone();
            self.trash.changes.remove(&number);
            return self.refuse_change(cx, &waiter, not_there());
        }
        if mark != own {
            self.trash.note_marks(cx, JobFor::Learn, [mark].into());
        }
        let job = LibraryJob::EmptyTrash { mark };
        cx.run(Ordered::Trash(JobFor::Empty(number)), job);
    }

    fn expire(&mut self, cx: &mut Cx<'_>, number: u64, twice: bool, others: Others<'_>) {
        let wanted = |song| self.trash.is_wanted(cx.now, song);
        let Some(change) = self.trash.changes.get(&number).filter(|c| !wanted(c.song)) else {
            self.trash.changes.remove(&number);
            return;
        };
        let (own, mark) = (change.own, change.best);
        let alike = own == mark;
        let unsure = change.silent > 0 || !others.dead.is_empty();
        let careless = self.trash.mutants.has(CopyMutant::ExpiresUnasked);
        if alike && mark.thrown && (!unsure || twice || careless) {
            if let Some(change) = self.trash.changes.get_mut(&number) {
                change.ending = true;
            }
            let job = LibraryJob::EmptyTrash { mark };
            cx.run(Ordered::Trash(JobFor::Empty(number)), job);
            return;
        }
        self.trash.changes.remove(&number);
        if !alike {
            self.trash.note_marks(cx, JobFor::Learn, [mark].into());
        }
    }

    /// The song is removed for good, if it was still in the trash.
    pub(super) fn on_emptied(
        &mut self,
        cx: &mut Cx<'_>,
        number: u64,
        reply: JobReply,
        others: Others<'_>,
    ) {
        let Some(change) = self.trash.changes.remove(&number) else {
            return;
        };
        if let JobReply::Removed { .. } = reply {
            cx.run(Ordered::Data(Purpose::Reclaim), LibraryJob::Reclaim);
            if let Waiter::Client(asker) = change.waiter {
                self.removal.spread(cx, asker, &[change.song], others);
            }
        } else if reply == JobReply::Failed(JobFault::NotFound) {
            self.refuse_change(cx, &change.waiter, not_there());
        } else {
            self.fail_change(cx, &change.waiter, reply);
        }
    }

    /// The new mark is durable here, or another one has come between.
    pub(super) fn on_written(
        &mut self,
        cx: &mut Cx<'_>,
        number: u64,
        reply: JobReply,
        others: Others<'_>,
    ) {
        let JobReply::Noted { newer, gone, .. } = reply else {
            return self.drop_change(cx, number, reply);
        };
        let Some(change) = self.trash.changes.get_mut(&number) else {
            return;
        };
        let careless = self.trash.mutants.has(CopyMutant::RestoresUnversioned);
        if !careless && (!newer.is_empty() || !gone.is_empty()) {
            if change.tries < TRIES_MAX {
                return self.look(cx, number);
            }
            let fault = JobReply::Failed(JobFault::Busy);
            return self.drop_change(cx, number, fault);
        }
        if self.trash.mutants.has(CopyMutant::MarksAlone) {
            return self.finish_change(cx, number, 2, others);
        }
        change.open = tell(cx, change.best, Step::Tell(number), others);
        if change.open == 0 {
            self.finish_change(cx, number, 1, others);
        }
    }

    /// Another node has noted the mark, or knows a newer one; none if it did not answer.
    pub(super) fn on_told(
        &mut self,
        cx: &mut Cx<'_>,
        number: u64,
        reply: Option<(Vec<Mark>, Vec<SongId>)>,
        others: Others<'_>,
    ) {
        let noted = reply
            .as_ref()
            .is_some_and(|(newer, gone)| newer.is_empty() && gone.is_empty());
        if let Some((newer, gone)) = reply {
            self.trash.learn(cx, newer, gone);
        }
        let Some(change) = self.trash.changes.get_mut(&number) else {
            return;
        };
        change.open = change.open.saturating_sub(1);
        if noted || change.open == 0 {
            let copies = 1 + u8::from(noted);
            self.finish_change(cx, number, copies, others);
        }
    }

    fn finish_change(&mut self, cx: &mut Cx<'_>, number: u64, copies: u8, others: Others<'_>) {
        let Some(change) = self.trash.changes.remove(&number) else {
            return;
        };
        match change.waiter {
            Waiter::Client(asker) => {
                let changed = Message::Upkeep(Upkeep::Changed { copies });
                cx.out.answer(asker, changed);
            }
            Waiter::EarlierClient(asker) => cx.out.answer(asker, removal::buried(copies)),
            Waiter::Upload(asker, owners) => {
                self.wait_for_copies(cx, (asker, change.song, owners), others);
            }
            Waiter::Nobody => (),
        }
    }

    fn drop_change(&mut self, cx: &mut Cx<'_>, number: u64, reply: JobReply) {
        if let Some(change) = self.trash.changes.remove(&number) {
            self.fail_change(cx, &change.waiter, reply);
        }
    }
}

/// Sends a mark to the other data nodes. Returns how many were asked.
fn tell(cx: &mut Cx<'_>, mark: Mark, step: Step, others: Others<'_>) -> usize {
    let mut open = 0;
    for record in partners(&others).take(TOLD_MAX) {
        let to = [Peer::Node(record.address)].into();
        let marks = [mark].into();
        let question = Message::Upkeep(Upkeep::Note { marks });
        open += usize::from(cx.ask(Asked::Trash(step), to, question, LOOK).is_some());
    }
    open
}

fn not_there() -> Refusal {
    Refusal::Invalid("the song is not in the trash".into())
}
