//! The model's side of repair: rot, the scrub that finds it, quarantine, replacement.

use roles::contract::id::SongId;
use roles::contract::job::{FragmentId, JobFault, JobReply, Scrubbed};
use roles::contract::limits::{SCRUB_BYTES_MAX, SCRUB_FRAGMENTS_MAX};
use roles::contract::song::Fragment;

use super::{Kept, ModelStore, hash_of, page_of};

impl ModelStore {
    /// Simulates a disk that alters a fragment of a committed song. Returns false if there is no
    /// such fragment, or if it is altered already.
    pub fn rot(&mut self, fragment: FragmentId) -> bool {
        let FragmentId { song, index } = fragment;
        let spoil =
            |kept: &mut Kept| kept.fragments.contains_key(&index) && kept.rotten.insert(index);
        if let Some(kept) = self.durable.songs.get_mut(&song) {
            spoil(kept);
        }
        self.present.songs.get_mut(&song).is_some_and(spoil)
    }

    /// The damaged fragments of a committed song; none if the song is not here.
    pub fn unsound(&self, song: SongId) -> Option<Vec<u32>> {
        let kept = self.present.songs.get(&song)?;
        let fit = |(index, slice): &(u32, &Fragment)| {
            let bytes = kept.fragments.get(index);
            let altered = kept.rotten.contains(index)
                || kept.quarantined.contains(index)
                || kept.altered
                || self.wrecked;
            !altered && bytes.is_some_and(|bytes| bytes.len() == slice.length as usize)
        };
        let all = (0..).zip(&kept.manifest.fragments);
        let unsound = all.filter(|fragment| !fit(fragment));
        Some(unsound.map(|(index, _)| index).collect())
    }

    pub(super) fn scrub(&self, after: Option<FragmentId>, bytes: u64) -> JobReply {
        let budget = bytes.min(SCRUB_BYTES_MAX);
        let mut done = Scrubbed {
            after,
            ..Scrubbed::default()
        };
        let mut visited = 0;
        for (id, kept, slice) in self.fragments_after(after) {
            if visited > 0 && (done.bytes >= budget || visited == SCRUB_FRAGMENTS_MAX) {
                return JobReply::Scrubbed(done);
            }
            if !kept.quarantined.contains(&id.index) {
                done.fragments += 1;
                done.bytes += u64::from(slice.length);
                if kept.altered && !self.believes {
                    // The real library may still read a fragment whose slice is as it was.
                    if done.altered.last() != Some(&id.song) {
                        done.altered.push(id.song);
                    }
                } else if kept.rotten.contains(&id.index) {
                    done.bad.push(id);
                }
            }
            done.after = Some(id);
            visited += 1;
        }
        let stopped = visited > 0 && (done.bytes >= budget || visited == SCRUB_FRAGMENTS_MAX);
        done.after = done.after.filter(|_| stopped);
        JobReply::Scrubbed(done)
    }

    fn fragments_after(
        &self,
        after: Option<FragmentId>,
    ) -> impl Iterator<Item = (FragmentId, &Kept, &Fragment)> {
        let first = after.map_or(SongId(0), |after| after.song);
        let songs = self.present.songs.range(first..);
        let all = songs.flat_map(|(song, kept)| {
            let slices = (0..).zip(&kept.manifest.fragments);
            slices.map(move |(index, slice)| (FragmentId { song: *song, index }, kept, slice))
        });
        all.filter(move |(id, ..)| Some(*id) > after)
    }

    pub(super) fn note_scrub(&mut self, after: Option<FragmentId>) -> JobReply {
        let scrub = &mut self.present.scrub;
        scrub.rounds += u64::from(after.is_none());
        scrub.after = after;
        JobReply::Done
    }

    /// A committed song that has this fragment.
    fn kept_mut(&mut self, fragment: FragmentId) -> Result<(&mut Kept, Fragment), JobFault> {
        let absence = self.absence(fragment.song);
        let kept = self.present.songs.get_mut(&fragment.song).ok_or(absence)?;
        let slice = kept.manifest.fragments.get(fragment.index as usize);
        let slice = *slice.ok_or(JobFault::NotFound)?;
        Ok((kept, slice))
    }

    pub(super) fn quarantine(&mut self, fragment: FragmentId) -> Result<JobReply, JobFault> {
        let damage = self.damage();
        let (kept, _) = self.kept_mut(fragment)?;
        if kept.altered {
            return Err(damage);
        }
        if kept.rotten.contains(&fragment.index) {
            kept.quarantined.insert(fragment.index);
        }
        Ok(JobReply::Done)
    }

    pub(super) fn replace(
        &mut self,
        fragment: FragmentId,
        bytes: &[u8],
    ) -> Result<JobReply, JobFault> {
        let damage = self.damage();
        let (kept, slice) = self.kept_mut(fragment)?;
        if kept.altered {
            return Err(damage);
        }
        if bytes.len() != slice.length as usize || hash_of(bytes) != slice.hash {
            return Err(JobFault::Damaged);
        }
        kept.rotten.remove(&fragment.index);
        kept.quarantined.remove(&fragment.index);
        Ok(JobReply::FragmentStored)
    }

    pub(super) fn quarantined(&self, after: Option<FragmentId>, limit: u32) -> JobReply {
        let all = self.present.songs.iter().flat_map(|(song, kept)| {
            let indexes = kept.quarantined.iter();
            indexes.map(|index| FragmentId {
                song: *song,
                index: *index,
            })
        });
        let (fragments, more) = page_of(all.filter(|id| Some(*id) > after), limit);
        JobReply::Quarantined { fragments, more }
    }

    pub(super) fn quarantined_count(&self) -> u64 {
        let songs = self.present.songs.values();
        songs.map(|kept| kept.quarantined.len() as u64).sum()
    }
}
