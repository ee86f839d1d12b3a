//! The model's side of removal: songs that leave, tombstones, and what each partition holds.

use std::collections::BTreeMap;

use roles::contract::id::SongId;
use roles::contract::job::{JobFault, JobReply, PartitionDigest};
use roles::contract::limits::{PAGE_IDS_MAX, REMOVALS_MAX};
use roles::contract::message::Digest;
use roles::contract::partition::Partition;

use super::ModelStore;
use crate::library::RECLAIM_FRAGMENTS;

impl ModelStore {
    pub(super) fn remove(&mut self, songs: &[SongId]) -> Result<JobReply, JobFault> {
        check_length(songs)?;
        let mut count = 0;
        for song in songs {
            if let Some(staged) = self.present.staged.remove(song) {
                self.present.leftover += staged.count();
            }
            let stood = self.take_out(*song);
            self.present.withdrawn.remove(song);
            self.forget_mark(*song);
            count += u32::from(stood);
            if self.present.tombstones.insert(*song) && !stood {
                self.note_removal(*song);
            }
            self.present.copies_due.retain(|(due, _)| due != song);
        }
        Ok(self.removed(count))
    }

    pub(super) fn let_go(&mut self, songs: &[SongId], until: u64) -> Result<JobReply, JobFault> {
        check_length(songs)?;
        let mut count = 0;
        for song in songs {
            if self.is_committed_by(*song, until) {
                count += u32::from(self.take_out(*song));
                self.present.copies_due.retain(|(due, _)| due != song);
            }
        }
        Ok(self.removed(count))
    }

    /// Takes a committed song out and notes a removal in the change feed. Returns false if the song
    /// is not here.
    fn take_out(&mut self, song: SongId) -> bool {
        let Some(kept) = self.present.songs.remove(&song) else {
            return false;
        };
        self.present.leftover += kept.count();
        self.note_removal(song);
        true
    }

    fn note_removal(&mut self, song: SongId) {
        self.present.revision += 1;
        self.present.removals.insert(song, self.present.revision);
    }

    /// Ends a removal: frees some fragments in the same transaction and makes everything durable.
    fn removed(&mut self, count: u32) -> JobReply {
        self.free_fragments();
        self.sync();
        let overview = self.overview();
        JobReply::Removed { count, overview }
    }

    /// Drops a staged song with its fragments.
    pub(super) fn give_up(&mut self, song: SongId) {
        if let Some(staged) = self.present.staged.remove(&song) {
            self.present.leftover += staged.count();
            self.free_fragments();
        }
    }

    /// The fault that says why a song is not here.
    pub(super) fn absence(&self, song: SongId) -> JobFault {
        if self.present.tombstones.contains(&song) {
            return JobFault::Removed;
        }
        JobFault::NotFound
    }

    fn free_fragments(&mut self) {
        let left = self.present.leftover;
        self.present.leftover = left.saturating_sub(RECLAIM_FRAGMENTS.into());
    }

    pub(super) fn reclaim(&mut self) -> JobReply {
        self.free_fragments();
        let more = self.present.leftover > 0;
        JobReply::Reclaimed { more }
    }

    pub(super) fn partition_digests(&self) -> JobReply {
        let mut digests: BTreeMap<Partition, (Digest, Digest)> = BTreeMap::new();
        for song in self.present.songs.keys() {
            let (songs, _) = digests.entry(Partition::of(*song)).or_default();
            songs.insert(*song);
        }
        for song in &self.present.tombstones {
            let (_, tombstones) = digests.entry(Partition::of(*song)).or_default();
            tombstones.insert(*song);
        }
        let digest = |(partition, (songs, tombstones))| PartitionDigest {
            partition,
            songs,
            tombstones,
        };
        JobReply::PartitionDigests {
            digests: digests.into_iter().map(digest).collect(),
        }
    }

    pub(super) fn partition_songs(
        &self,
        partition: Partition,
        after: Option<SongId>,
        limit: u32,
    ) -> JobReply {
        let inside = partition.first()..=partition.last();
        let songs = self.present.songs.range(inside.clone());
        let songs = songs.map(|(song, _)| (*song, false));
        let tombstones = self.present.tombstones.range(inside);
        let tombstones = tombstones.map(|song| (*song, true));
        let mut all: Vec<(SongId, bool)> = songs.chain(tombstones).collect();
        all.sort_unstable();
        all.retain(|(song, _)| Some(*song) > after);
        let more = all.len() > PAGE_IDS_MAX.min(limit as usize);
        all.truncate(PAGE_IDS_MAX.min(limit as usize));
        let of = |side| all.iter().filter(move |(_, removed)| *removed == side);
        JobReply::PartitionSongs {
            songs: of(false).map(|(song, _)| *song).collect(),
            tombstones: of(true).map(|(song, _)| *song).collect(),
            next: all.last().map(|(song, _)| *song).filter(|_| more),
        }
    }
}

fn check_length(songs: &[SongId]) -> Result<(), JobFault> {
    if songs.len() > REMOVALS_MAX {
        let why = format!("at most {REMOVALS_MAX} songs are removed at once");
        return Err(JobFault::Invalid(why));
    }
    Ok(())
}
