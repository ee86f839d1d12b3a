//! The further tags of songs in the model.

use roles::contract::id::SongId;
use roles::contract::job::JobReply;
use roles::contract::limits::{
    PAGE_BYTES_MAX, PAGE_SONGS_MAX, TAGGED_BYTES_MAX, TAGGED_LOOKED_AT_MAX, TAGGED_SONGS_MAX,
};
use roles::contract::tags::MoreTags;

use super::{Kept, ModelStore};
use crate::tags::{self, Edges};

/// The tags of a song.
#[derive(Clone, Debug)]
pub(super) struct Read {
    /// The revision of these tags.
    revision: u64,
    /// The revision of the song of which they are: those of an earlier one do not count.
    of: u64,
    tags: MoreTags,
}

impl ModelStore {
    pub(super) fn read_tags(&mut self, after: u64) -> JobReply {
        let mut later: Vec<(u64, SongId)> = (self.present.songs.iter())
            .map(|(id, kept)| (kept.revision, *id))
            .filter(|(revision, _)| *revision > after)
            .collect();
        later.sort_unstable();
        let mut all = later.len() < TAGGED_LOOKED_AT_MAX;
        later.truncate(TAGGED_LOOKED_AT_MAX);
        let (mut seen, mut read, mut passed, mut bytes) = (after, 0, 0, 0);
        for (revision, id) in later {
            if read >= TAGGED_SONGS_MAX || bytes >= TAGGED_BYTES_MAX {
                all = false;
                break;
            }
            seen = revision;
            if self.tags_of(id).is_some() {
                continue;
            }
            let (tags, loaded) = self.present.songs[&id].read_tags(self.believes);
            bytes += loaded;
            passed += u32::from(tags.is_none());
            if let Some(tags) = tags {
                read += 1;
                self.present.tag_revision += 1;
                let revision_of_tags = self.present.tag_revision;
                let found = Read {
                    revision: revision_of_tags,
                    of: revision,
                    tags,
                };
                self.present.tags.insert(id, found);
            }
        }
        if read > 0 {
            self.sync();
        }
        JobReply::TagsRead {
            store: self.store,
            after: seen,
            more: !all,
            passed,
            tags: self.present.tag_revision,
        }
    }

    /// The tags of a song as it is committed now.
    fn tags_of(&self, id: SongId) -> Option<&Read> {
        let kept = self.present.songs.get(&id)?;
        let read = self.present.tags.get(&id)?;
        (read.of == kept.revision).then_some(read)
    }

    pub(super) fn tag_changes(&self, since: u64, limit: u32) -> JobReply {
        let mut later: Vec<(&Read, SongId)> = (self.present.songs.keys())
            .filter_map(|id| Some((self.tags_of(*id)?, *id)))
            .filter(|(read, _)| read.revision > since)
            .collect();
        later.sort_by_key(|(read, _)| read.revision);
        let (mut songs, mut bytes) = (Vec::new(), 0);
        let (mut revision, mut needs, mut all) = (since, 0, true);
        for (read, id) in later {
            bytes += read.tags.page_bytes();
            if songs.len() >= PAGE_SONGS_MAX.min(limit as usize) || bytes > PAGE_BYTES_MAX {
                all = false;
                break;
            }
            songs.push((id, read.tags.clone()));
            (revision, needs) = (read.revision, needs.max(read.of));
        }
        if all {
            revision = self.present.tag_revision.max(since);
        }
        JobReply::Tags {
            songs,
            revision,
            needs,
            // The model has no clock.
            added: Vec::new(),
        }
    }
}

impl Kept {
    fn read_tags(&self, believes: bool) -> (Option<MoreTags>, u64) {
        if self.altered && !believes {
            return (None, 0);
        }
        let mut file = Edges::of(&self.manifest, |index| {
            let lost = self.rotten.contains(&index) || self.quarantined.contains(&index);
            let bytes = self.fragments.get(&index).filter(|_| !lost);
            bytes.map(|bytes| bytes.to_vec())
        });
        let tags = tags::more(&mut file, self.manifest.song.format);
        ((!file.lacks).then_some(tags), file.loaded)
    }
}
