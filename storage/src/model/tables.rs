//! The model's side of mending: tables that say something else than was stored, or nothing at all.

use roles::contract::document::Document;
use roles::contract::id::SongId;
use roles::contract::job::{FragmentId, Inspected, JobFault, JobReply};
use roles::contract::limits::{INSPECT_SONGS_MAX, MARKS_MAX};
use roles::contract::message::StoreId;
use roles::contract::trash::Mark;

use super::{Content, Kept, ModelStore};

impl ModelStore {
    /// Simulates a disk that alters the tables of a committed song. Returns false if there is no such
    /// song, or if they are altered already.
    pub fn alter(&mut self, song: SongId) -> bool {
        let spoil = |kept: &mut Kept| !std::mem::replace(&mut kept.altered, true);
        if let Some(kept) = self.durable.songs.get_mut(&song) {
            spoil(kept);
        }
        self.present.songs.get_mut(&song).is_some_and(spoil)
    }

    /// Simulates a disk that spoils the root of a table: no job is done until the library is rebuilt.
    /// `bare`: nothing can be salvaged of it.
    pub fn wreck(&mut self, bare: bool) {
        self.wrecked = true;
        if bare {
            for content in [&mut self.present, &mut self.durable] {
                content.bare = true;
            }
        }
    }

    /// Whether the library has to be rebuilt before it does a job.
    pub fn is_wrecked(&self) -> bool {
        self.wrecked
    }

    /// Plants a mutant: from here on altered tables are believed.
    pub fn believe(&mut self) {
        self.believes = true;
    }

    pub(super) fn damage(&self) -> JobFault {
        JobFault::Corrupt("the model's tables are damaged".to_owned())
    }

    pub(super) fn inspect(&self, after: Option<SongId>, limit: u32) -> JobReply {
        let limit = (limit as usize).clamp(1, INSPECT_SONGS_MAX);
        let beyond = |song: &SongId| after.is_none_or(|after| *song > after);
        let songs = self.present.songs.iter().filter(|(song, _)| beyond(song));
        let songs: Vec<(SongId, &Kept)> = songs.take(limit).map(|(id, kept)| (*id, kept)).collect();
        let mut done = Inspected {
            songs: songs.len() as u32,
            ..Inspected::default()
        };
        for (song, kept) in &songs {
            if kept.altered && !self.believes {
                done.odd.push(*song);
            } else {
                let lacking = kept.missing().into_iter().flat_map(|(from, to)| from..to);
                let lacking = lacking.filter(|index| !kept.quarantined.contains(index));
                done.missing
                    .extend(lacking.map(|index| FragmentId { song: *song, index }));
            }
        }
        if songs.len() == limit {
            done.after = songs.last().map(|(song, _)| *song);
        }
        JobReply::Inspected(done)
    }

    pub(super) fn mend(&mut self, songs: &[SongId], totals: bool) -> Result<JobReply, JobFault> {
        if songs.len() > INSPECT_SONGS_MAX {
            let why = format!("at most {INSPECT_SONGS_MAX} songs are mended at once");
            return Err(JobFault::Invalid(why));
        }
        let mut count = 0;
        for song in songs {
            let altered = |kept: &Kept| kept.altered;
            if self.present.songs.get(song).is_some_and(altered)
                && let Some(kept) = self.present.songs.remove(song)
            {
                self.present.revision += 1;
                self.present.removals.insert(*song, self.present.revision);
                self.present.withdrawn.insert(*song, kept);
                count += 1;
            }
        }
        if totals {
            self.present.revision += 1;
        }
        self.sync();
        let overview = self.overview();
        Ok(JobReply::Removed { count, overview })
    }

    /// Without a clock, every song has just been withdrawn. What the sound proves is as it was stored.
    pub(super) fn restore(&mut self, untouched_s: u64) -> JobReply {
        let sound = |(_, kept): &(&SongId, &Kept)| kept.rotten.is_empty();
        let first = self.present.withdrawn.iter().find(sound);
        let first = first.map(|(song, _)| *song).filter(|_| untouched_s == 0);
        if let Some(song) = first.filter(|song| !self.present.staged.contains_key(song))
            && let Some(mut kept) = self.present.withdrawn.remove(&song)
        {
            self.present.removals.remove(&song);
            self.present.revision += 1;
            (kept.revision, kept.altered) = (self.present.revision, false);
            self.present.songs.insert(song, kept);
            self.sync();
        }
        let overview = self.overview();
        JobReply::Stored { overview }
    }

    pub(super) fn rebuild(&mut self, store: StoreId) -> JobReply {
        self.aside = Some(std::mem::take(&mut self.present));
        self.store = store;
        self.wrecked = false;
        self.sync();
        JobReply::Overview(self.overview())
    }

    /// Takes everything over at once.
    pub(super) fn salvage(&mut self) -> Result<JobReply, JobFault> {
        if let Some(old) = self.aside.take().filter(|old| !old.bare) {
            self.take_over(old)?;
        }
        self.sync();
        let (more, overview) = (false, self.overview());
        Ok(JobReply::Salvaged { more, overview })
    }

    fn take_over(&mut self, old: Content) -> Result<(), JobFault> {
        for song in old.tombstones {
            self.remove(&[song])?;
        }
        let marks: Vec<Mark> = old
            .marks
            .iter()
            .map(|(song, marked)| marked.mark(*song, old.trash_s))
            .collect();
        for page in marks.chunks(MARKS_MAX) {
            self.note_marks(page, 0)?;
        }
        let documents: Vec<Document> = old.documents.into_values().map(|(one, _)| one).collect();
        for page in documents.chunks(64) {
            self.note_documents((page, &[]), None)?;
        }
        for (song, mut kept) in old.songs {
            let known = self.present.tombstones.contains(&song) || self.is_committed(song);
            if kept.altered || known {
                continue;
            }
            self.present.staged.remove(&song);
            self.present.removals.remove(&song);
            self.present.revision += 1;
            kept.revision = self.present.revision;
            kept.quarantined.extend(kept.rotten.iter().copied());
            self.present.songs.insert(song, kept);
        }
        Ok(())
    }
}
