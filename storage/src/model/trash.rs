//! The model's side of the trash: the marks of songs, and the clock by which they age.

use roles::contract::id::SongId;
use roles::contract::job::{Due, JobFault, JobReply};
use roles::contract::limits::{MARKS_MAX, TRASH_S_MAX};
use roles::contract::message::Change;
use roles::contract::trash::Mark;

use super::ModelStore;

/// A mark as the store keeps it. The moments are those of the store's clock, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marked {
    version: u64,
    thrown: bool,
    since: i64,
    until: i64,
    revision: u64,
}

impl Marked {
    fn is_over_twice(&self, clock: i64) -> bool {
        clock - self.until >= self.until - self.since
    }

    pub(super) fn mark(&self, song: SongId, clock: i64) -> Mark {
        let counted = |span: i64| u64::try_from(span).unwrap_or(0) * u64::from(self.thrown);
        Mark {
            song,
            version: self.version,
            thrown: self.thrown,
            age_s: counted(clock - self.since),
            left_s: counted(self.until - clock),
        }
    }
}

impl ModelStore {
    /// The mark of a song; of version 0 if it has none.
    pub fn mark_of(&self, song: SongId) -> Mark {
        let marked = self.present.marks.get(&song);
        marked.map_or(Mark::none(song), |marked| {
            marked.mark(song, self.present.trash_s)
        })
    }

    /// All marks, by song.
    pub fn marks(&self) -> impl Iterator<Item = Mark> {
        let clock = self.present.trash_s;
        let marks = self.present.marks.iter();
        marks.map(move |(song, marked)| marked.mark(*song, clock))
    }

    /// Whether a song's time in the trash is over twice.
    pub fn is_over_twice(&self, song: SongId) -> bool {
        let clock = self.present.trash_s;
        let marked = self.present.marks.get(&song);
        marked.is_some_and(|marked| marked.is_over_twice(clock))
    }

    pub(super) fn is_thrown(&self, song: SongId) -> bool {
        let marked = self.present.marks.get(&song);
        marked.is_some_and(|marked| marked.thrown)
    }

    pub(super) fn uses_trash(&self) -> bool {
        self.present.marks.values().any(|marked| marked.thrown)
    }

    pub(super) fn note_marks(
        &mut self,
        marks: &[Mark],
        passed_s: u64,
    ) -> Result<JobReply, JobFault> {
        if marks.len() > MARKS_MAX || marks.iter().any(|mark| !mark.is_possible()) {
            let why =
                format!("at most {MARKS_MAX} marks are noted at once, with possible versions");
            return Err(JobFault::Invalid(why));
        }
        self.let_time_pass(passed_s);
        let (mut newer, mut gone) = (Vec::new(), Vec::new());
        let before = self.present.revision;
        for mark in marks {
            if self.is_buried(mark.song) {
                gone.push(mark.song);
                continue;
            }
            let own = self.mark_of(mark.song);
            if mark.outranks(&own) {
                self.write_mark(mark);
            } else if own.outranks(mark) {
                newer.push(own);
            }
        }
        // A commit that changes nothing syncs nothing either.
        if self.present.revision > before {
            self.sync();
        }
        let overview = self.overview();
        Ok(JobReply::Noted {
            newer,
            gone,
            overview,
        })
    }

    fn write_mark(&mut self, mark: &Mark) {
        self.present.revision += 1;
        let marked = Marked {
            version: mark.version,
            thrown: mark.thrown,
            since: self.present.trash_s - mark.age_s.min(TRASH_S_MAX).cast_signed(),
            // The clock may be up to a second late.
            until: self.present.trash_s + mark.left_s.min(TRASH_S_MAX).cast_signed() + 1,
            revision: self.present.revision,
        };
        self.present.marks.insert(mark.song, marked);
    }

    fn let_time_pass(&mut self, passed_s: u64) {
        if self.uses_trash() {
            self.present.trash_s += passed_s.min(TRASH_S_MAX).cast_signed();
        }
    }

    pub(super) fn marks_page(&self, after: Option<SongId>, limit: u32) -> JobReply {
        let limit = (limit as usize).clamp(1, MARKS_MAX);
        let beyond = |mark: &Mark| after.is_none_or(|after| mark.song > after);
        let mut marks: Vec<Mark> = self.marks().filter(beyond).take(limit + 1).collect();
        let more = marks.len() > limit;
        marks.truncate(limit);
        let next = marks.last().map(|mark| mark.song).filter(|_| more);
        JobReply::Marks { marks, next }
    }

    pub(super) fn marks_digest(&self) -> JobReply {
        let add = |sum: u64, mark: Mark| sum.wrapping_add(mark.digest());
        let digest = self.marks().fold(0, add);
        JobReply::MarksDigest { digest }
    }

    pub(super) fn age_trash(&mut self, passed_s: u64, limit: u32) -> JobReply {
        self.let_time_pass(passed_s);
        let clock = self.present.trash_s;
        let marks = self.present.marks.iter();
        let over = marks.filter(|(_, marked)| marked.thrown && marked.until <= clock);
        let mut over: Vec<(i64, SongId, Marked)> = over
            .map(|(song, marked)| (marked.until, *song, *marked))
            .collect();
        over.sort_by_key(|(until, song, _)| (*until, *song));
        over.truncate(limit as usize);
        let due = |(_, song, marked): (i64, SongId, Marked)| Due {
            mark: marked.mark(song, clock),
            twice: marked.is_over_twice(clock),
        };
        let due = over.into_iter().map(due).collect();
        JobReply::Due { due }
    }

    pub(super) fn empty_trash(&mut self, mark: &Mark) -> Result<JobReply, JobFault> {
        let own = self.mark_of(mark.song);
        if !own.thrown || own.version != mark.version {
            return Err(JobFault::NotFound);
        }
        self.remove(&[mark.song])
    }

    pub(super) fn marks_changed(&self) -> impl Iterator<Item = (u64, Change)> {
        let clock = self.present.trash_s;
        let marks = self.present.marks.iter();
        marks.map(move |(song, marked)| {
            let change = Change::Marked(marked.mark(*song, clock));
            (marked.revision, change)
        })
    }

    /// A tombstone takes the mark's place.
    pub(super) fn forget_mark(&mut self, song: SongId) {
        self.present.marks.remove(&song);
    }
}
