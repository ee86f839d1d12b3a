//! A model of the library: the same jobs, the same answers, in memory.
//!
//! The model stands in for the real [`Library`](crate::library::Library) in the simulated world.
//! It is also the library's specification: [`agreed`] runs a job on both and compares the answers.
//! The model is deterministic and uses neither a clock nor SQL. It derives on demand everything
//! that can be derived. Unlike the library, it can simulate a loss of power.

mod agreement;
mod documents;
mod further_tags;
mod removal;
mod repair;
mod tables;
mod trash;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roles::contract::document::{Document, Key};
use roles::contract::id::{ContentHash, NodeId, SongId};
use roles::contract::job::{FragmentId, JobFault, JobReply, LibraryJob, Overview, ScrubNote};
use roles::contract::limits::{PAGE_BYTES_MAX, PAGE_IDS_MAX, PAGE_SONGS_MAX};
use roles::contract::message::{Change, Digest, Position, StoreId};
use roles::contract::song::{Manifest, Song};

use crate::groups;
use trash::Marked;

pub use agreement::{Disagreement, agreed, spoiled};

/// A store held as a plain value, so that a test can clone it and throw it away.
#[derive(Clone, Debug)]
pub struct ModelStore {
    store: StoreId,
    /// The content that the next job sees.
    present: Content,
    /// The content that a loss of power leaves: a copy made at the last sync.
    durable: Content,
    trusts: bool,
    /// A table cannot be read: every job fails until the library is rebuilt.
    wrecked: bool,
    /// What was set aside and is still to be salvaged.
    aside: Option<Content>,
    believes: bool,
}

/// Everything a store holds. All clones share the bytes of the fragments.
#[derive(Clone, Debug, Default)]
struct Content {
    revision: u64,
    songs: BTreeMap<SongId, Kept>,
    staged: BTreeMap<SongId, Kept>,
    copies_due: BTreeSet<(SongId, NodeId)>,
    /// Songs that have left, and the revision at which each left.
    removals: BTreeMap<SongId, u64>,
    tombstones: BTreeSet<SongId>,
    /// How many fragments of songs that have left still take up space.
    leftover: u64,
    scrub: ScrubNote,
    /// Songs that were withdrawn and have not come back.
    withdrawn: BTreeMap<SongId, Kept>,
    marks: BTreeMap<SongId, Marked>,
    /// What listeners have written, and the revision at which each was.
    documents: BTreeMap<Key, (Document, u64)>,
    /// The clock by which songs in the trash age, in seconds.
    trash_s: i64,
    /// Nothing can be read of it any more.
    bare: bool,
    tags: BTreeMap<SongId, further_tags::Read>,
    /// The latest revision of the tags.
    tag_revision: u64,
}

#[derive(Clone, Debug)]
struct Kept {
    /// The revision at which the song was committed; 0 while it is staged.
    revision: u64,
    manifest: Arc<Manifest>,
    fragments: BTreeMap<u32, Arc<[u8]>>,
    /// Fragments that the simulated disk would return with altered bytes.
    rotten: BTreeSet<u32>,
    quarantined: BTreeSet<u32>,
    /// The tables do not say what was stored.
    altered: bool,
}

impl ModelStore {
    /// An empty store.
    pub fn new(store: StoreId) -> Self {
        ModelStore {
            store,
            present: Content::default(),
            durable: Content::default(),
            trusts: false,
            wrecked: false,
            aside: None,
            believes: false,
        }
    }

    /// Does a job of a data node.
    pub fn run(&mut self, job: LibraryJob) -> JobReply {
        let rebuilds = matches!(job, LibraryJob::Rebuild { .. });
        if self.wrecked && !rebuilds {
            return JobReply::Failed(self.damage());
        }
        let done = match job {
            LibraryJob::Overview => Ok(JobReply::Overview(self.overview())),
            // Memory has room.
            LibraryJob::Room { .. } => Ok(JobReply::Room { full: false }),
            LibraryJob::Songs { after, limit } => Ok(self.songs(after, limit)),
            LibraryJob::Changes { since, limit } => Ok(self.changes(since, limit)),
            LibraryJob::ReadTags { after } => Ok(self.read_tags(after)),
            LibraryJob::TagChanges { since, limit } => Ok(self.tag_changes(since, limit)),
            LibraryJob::Describe { song } => self.describe(song),
            LibraryJob::ReadFragment { song, at } => self.read_fragment(song, at),
            LibraryJob::ReadPart { fragment, part } => self.read_part(fragment, part),
            LibraryJob::BeginUpload { manifest } => self.begin(manifest),
            LibraryJob::KeepFragment { song, index, bytes } => self.keep(song, index, &bytes),
            LibraryJob::CommitUpload { song, copies_due } => self.commit(song, &copies_due),
            LibraryJob::DropUpload { song } => Ok(self.drop_upload(song)),
            LibraryJob::SweepUploads { untouched_s } => Ok(self.sweep(untouched_s)),
            LibraryJob::CopiesDue { after, limit } => Ok(self.copies_due(after, limit)),
            LibraryJob::CopyDone { song, node } => Ok(self.copy_done(song, node)),
            LibraryJob::ForgetCopiesDue { node } => Ok(self.forget_copies_due(node)),
            LibraryJob::RemoveSongs { songs } => self.remove(&songs),
            LibraryJob::NoteMarks { marks, passed_s } => self.note_marks(&marks, passed_s),
            LibraryJob::Marks { after, limit } => Ok(self.marks_page(after, limit)),
            LibraryJob::MarksDigest => Ok(self.marks_digest()),
            LibraryJob::NoteDocuments {
                documents,
                plays,
                by,
            } => self.note_documents((&documents, &plays), by),
            LibraryJob::Documents {
                buckets,
                after,
                limit,
            } => Ok(self.documents_page(&buckets, after.as_ref(), limit)),
            LibraryJob::DocumentSums => Ok(self.document_sums()),
            LibraryJob::AgeTrash { passed_s, limit } => Ok(self.age_trash(passed_s, limit)),
            LibraryJob::EmptyTrash { mark } => self.empty_trash(&mark),
            LibraryJob::DropSongs { songs, until } => self.let_go(&songs, until),
            LibraryJob::Reclaim => Ok(self.reclaim()),
            LibraryJob::PartitionDigests => Ok(self.partition_digests()),
            LibraryJob::PartitionSongs {
                partition,
                after,
                limit,
            } => Ok(self.partition_songs(partition, after, limit)),
            LibraryJob::Scrub { after, bytes } => Ok(self.scrub(after, bytes)),
            LibraryJob::NoteScrub { after } => Ok(self.note_scrub(after)),
            LibraryJob::Quarantine { fragment } => self.quarantine(fragment),
            LibraryJob::Quarantined { after, limit } => Ok(self.quarantined(after, limit)),
            LibraryJob::ReplaceFragment { fragment, bytes } => self.replace(fragment, &bytes),
            LibraryJob::Inspect { after, limit } => Ok(self.inspect(after, limit)),
            LibraryJob::Mend { songs, totals } => self.mend(&songs, totals),
            LibraryJob::Seal { .. } => self.mend(&[], false), // The model seals every song.
            LibraryJob::Restore { untouched_s } => Ok(self.restore(untouched_s)),
            LibraryJob::Rebuild { store } => Ok(self.rebuild(store)),
            LibraryJob::Salvage => self.salvage(),
        };
        done.unwrap_or_else(JobReply::Failed)
    }

    /// Simulates a loss of power: everything after the last durable commit is lost. This is the
    /// worst case, because a real disk may have kept some of the later changes.
    pub fn crash(&mut self) {
        self.present = self.durable.clone();
    }

    /// Plants a mutant: from here on, a commit does not check the hash of the whole song.
    pub fn trust(&mut self) {
        self.trusts = true;
    }

    /// The ids of songs removed for good, in order.
    pub fn buried(&self) -> impl Iterator<Item = SongId> {
        self.present.tombstones.iter().copied()
    }

    /// Whether a song has been removed for good.
    pub fn is_buried(&self, song: SongId) -> bool {
        self.present.tombstones.contains(&song)
    }

    /// The copies still to be made, each with the node that is to get it.
    pub fn due(&self) -> impl Iterator<Item = (SongId, NodeId)> {
        self.present.copies_due.iter().copied()
    }

    /// The songs whose upload has begun and not ended, in order.
    pub fn staged(&self) -> impl Iterator<Item = SongId> {
        self.present.staged.keys().copied()
    }

    /// Whether a song is committed.
    pub fn is_committed(&self, song: SongId) -> bool {
        self.present.songs.contains_key(&song)
    }

    /// Whether a song is committed, and was already committed at that revision.
    pub fn is_committed_by(&self, song: SongId, revision: u64) -> bool {
        let old = |kept: &Kept| kept.revision <= revision;
        self.present.songs.get(&song).is_some_and(old)
    }

    /// The ids of the committed songs, in order.
    pub fn committed(&self) -> impl Iterator<Item = SongId> {
        self.present.songs.keys().copied()
    }

    fn overview(&self) -> Overview {
        let digest = digest_of(self.present.songs.keys());
        let bytes = self
            .present
            .songs
            .values()
            .map(|kept| kept.manifest.song.bytes);
        Overview {
            store: self.store,
            revision: self.present.revision,
            digest,
            bytes: bytes.sum(),
            tombstones: digest_of(self.present.tombstones.iter()),
            quarantined: self.quarantined_count(),
            scrub: self.present.scrub,
            tags: self.present.tag_revision,
            withdrawn: self.present.withdrawn.len() as u64,
            salvaging: self.aside.is_some(),
            trash: self.uses_trash(),
        }
    }

    fn songs(&self, after: Option<SongId>, limit: u32) -> JobReply {
        let beyond = |id: &SongId| after.is_none_or(|after| *id > after);
        let all = self.present.songs.iter();
        let all = all.filter(|(id, _)| beyond(id) && !self.is_thrown(**id));
        let all: Vec<&Song> = all.map(|(_, kept)| &kept.manifest.song).collect();
        let fit = how_many_fit(all.iter().map(|song| song.page_bytes()), limit);
        JobReply::Songs {
            songs: all[..fit].iter().copied().cloned().collect(),
            more: fit < all.len(),
        }
    }

    fn changes(&self, since: u64, limit: u32) -> JobReply {
        let added = self.present.songs.values();
        let added = added.map(|kept| (kept.revision, Change::Added(kept.manifest.song.clone())));
        let removed = self.present.removals.iter();
        let removed = removed.map(|(song, revision)| {
            let buried = self.present.tombstones.contains(song);
            let change = if buried {
                Change::Buried(*song)
            } else {
                Change::Removed(*song)
            };
            (*revision, change)
        });
        let mut later: Vec<(u64, Change)> = added
            .chain(removed)
            .chain(self.marks_changed())
            .chain(self.documents_changed())
            .filter(|(revision, _)| *revision > since)
            .collect();
        later.sort_by_key(|(revision, _)| *revision);
        let sizes = later.iter().map(|(_, change)| match change {
            Change::Added(song) => song.page_bytes(),
            Change::Removed(_) | Change::Buried(_) => REMOVAL_BYTES,
            Change::Marked(_) => MARK_BYTES,
            Change::Wrote(document) => document.weight(),
        });
        later.truncate(how_many_fit(sizes, limit));
        let last = later.last().map(|(revision, _)| *revision);
        JobReply::Changes {
            changes: later.into_iter().map(|(_, change)| change).collect(),
            revision: last.unwrap_or(since.min(self.present.revision)),
        }
    }

    fn standing(&self, song: SongId) -> Result<&Kept, JobFault> {
        self.present.songs.get(&song).ok_or(JobFault::NotFound)
    }

    fn describe(&self, song: SongId) -> Result<JobReply, JobFault> {
        let kept = self.standing(song)?;
        let mut manifest = Manifest::clone(&kept.manifest);
        if kept.altered && !self.believes {
            return Err(self.damage());
        }
        if kept.altered {
            manifest.song.title.push('?');
        }
        Ok(JobReply::Described { manifest })
    }

    fn read_fragment(&self, song: SongId, at: Position) -> Result<JobReply, JobFault> {
        let kept = self.standing(song)?;
        let index = match at {
            Position::Index(index) => index,
            Position::Time(ms) => kept.manifest.index_at(ms),
        };
        let bytes = kept.fragments.get(&index).ok_or(JobFault::NotFound)?;
        if kept.altered && !self.believes {
            return Err(self.damage());
        }
        if kept.quarantined.contains(&index) {
            return Err(JobFault::Quarantined);
        }
        if kept.rotten.contains(&index) {
            return Err(JobFault::Damaged);
        }
        let bytes = bytes.to_vec();
        Ok(JobReply::Fragment { index, bytes })
    }

    fn read_part(&self, fragment: FragmentId, part: (u32, u32)) -> Result<JobReply, JobFault> {
        let reply = self.read_fragment(fragment.song, Position::Index(fragment.index))?;
        let JobReply::Fragment { index, mut bytes } = reply else {
            return Ok(reply);
        };
        let Some((begin, end)) = groups::around(part, bytes.len() as u32) else {
            let why = format!("fragment {index} has no part {part:?}");
            return Err(JobFault::Invalid(why));
        };
        let values = groups::values(&bytes);
        bytes.truncate(end as usize);
        bytes.drain(..begin as usize);
        Ok(JobReply::Part {
            index,
            values,
            bytes,
        })
    }

    fn begin(&mut self, manifest: Manifest) -> Result<JobReply, JobFault> {
        let lie = |fault| JobFault::Invalid(format!("the manifest cannot be true: {fault}"));
        manifest.check().map_err(lie)?;
        let id = manifest.song.id;
        if self.present.tombstones.contains(&id) {
            return Err(JobFault::Removed);
        }
        if let Some(kept) = self.present.songs.get(&id) {
            if kept.quarantined.is_empty() || kept.manifest.fragments != manifest.fragments {
                return Ok(self.stored());
            }
            let ranges = ranges(kept.quarantined.iter().copied());
            return Ok(JobReply::Missing { ranges });
        }
        let known = self.present.staged.get(&id);
        // A different manifest means a different cut: fragments of the earlier cut are of no use.
        if known.is_none_or(|staged| *staged.manifest != manifest) {
            self.give_up(id);
            self.present.staged.insert(id, Kept::nothing_of(manifest));
        }
        let ranges = self.present.staged[&id].missing();
        Ok(JobReply::Missing { ranges })
    }

    fn keep(&mut self, song: SongId, index: u32, bytes: &[u8]) -> Result<JobReply, JobFault> {
        let absence = self.absence(song);
        let Content { songs, staged, .. } = &mut self.present;
        let kept = staged.get_mut(&song).or(songs.get_mut(&song));
        let kept = kept.ok_or(absence)?;
        let slice = kept.manifest.fragments.get(index as usize);
        let slice =
            slice.ok_or_else(|| JobFault::Invalid(format!("the song has no fragment {index}")))?;
        if bytes.len() != slice.length as usize || hash_of(bytes) != slice.hash {
            return Err(JobFault::Damaged);
        }
        kept.fragments.entry(index).or_insert_with(|| bytes.into());
        if kept.quarantined.remove(&index) {
            kept.rotten.remove(&index);
        }
        Ok(JobReply::FragmentStored)
    }

    fn commit(&mut self, song: SongId, copies_due: &[NodeId]) -> Result<JobReply, JobFault> {
        let mut changed = false;
        if let Some(staged) = self.present.staged.get(&song) {
            let ranges = staged.missing();
            if !ranges.is_empty() {
                return Ok(JobReply::Missing { ranges });
            }
        }
        if let Some(staged) = self.present.staged.get(&song)
            && !self.trusts
            && staged.hash() != staged.manifest.hash
        {
            self.give_up(song);
            return Err(JobFault::Damaged);
        }
        if let Some(mut staged) = self.present.staged.remove(&song) {
            self.present.removals.remove(&song);
            self.present.withdrawn.remove(&song);
            self.present.revision += 1;
            staged.revision = self.present.revision;
            self.present.songs.insert(song, staged);
            changed = true;
        }
        self.standing(song).map_err(|_| self.absence(song))?;
        for node in copies_due {
            changed |= self.present.copies_due.insert((song, *node));
        }
        // A commit that changes nothing syncs nothing either.
        if changed {
            self.sync();
        }
        Ok(self.stored())
    }

    /// Makes the present content durable.
    fn sync(&mut self) {
        self.durable = self.present.clone();
    }

    fn stored(&self) -> JobReply {
        JobReply::Stored {
            overview: self.overview(),
        }
    }

    fn drop_upload(&mut self, song: SongId) -> JobReply {
        if let Some(staged) = self.present.staged.remove(&song) {
            self.present.leftover += staged.count();
        }
        self.reclaim()
    }

    /// Without a clock, every upload has just been touched: only a sweep of all finds them.
    fn sweep(&mut self, untouched_s: u64) -> JobReply {
        if untouched_s == 0 {
            let staged = std::mem::take(&mut self.present.staged);
            self.present.leftover += staged.values().map(Kept::count).sum::<u64>();
        }
        self.reclaim();
        JobReply::Done
    }

    fn copies_due(&self, after: Option<(SongId, NodeId)>, limit: u32) -> JobReply {
        let all = self.present.copies_due.iter().copied();
        let (due, more) = page_of(all.filter(|due| Some(*due) > after), limit);
        JobReply::CopiesDue { due, more }
    }

    fn copy_done(&mut self, song: SongId, node: NodeId) -> JobReply {
        self.present.copies_due.remove(&(song, node));
        JobReply::Done
    }

    fn forget_copies_due(&mut self, node: NodeId) -> JobReply {
        self.present.copies_due.retain(|(_, to)| *to != node);
        JobReply::Done
    }
}

impl Kept {
    fn nothing_of(manifest: Manifest) -> Self {
        Kept {
            revision: 0,
            manifest: Arc::new(manifest),
            fragments: BTreeMap::new(),
            rotten: BTreeSet::new(),
            quarantined: BTreeSet::new(),
            altered: false,
        }
    }

    /// How many fragments are there.
    fn count(&self) -> u64 {
        self.fragments.len() as u64
    }

    fn missing(&self) -> Vec<(u32, u32)> {
        let all = 0..self.manifest.song.fragments;
        ranges(all.filter(|i| !self.fragments.contains_key(i)))
    }

    fn hash(&self) -> ContentHash {
        let mut whole = blake3::Hasher::new();
        for bytes in self.fragments.values() {
            whole.update(bytes);
        }
        ContentHash(*whole.finalize().as_bytes())
    }
}

/// Half-open ranges of indexes that are in order.
fn ranges(indexes: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let indexes: Vec<u32> = indexes.collect();
    let runs = indexes.chunk_by(|a, b| a + 1 == *b);
    runs.map(|run| (run[0], run[run.len() - 1] + 1)).collect()
}

fn hash_of(bytes: &[u8]) -> ContentHash {
    ContentHash(*blake3::hash(bytes).as_bytes())
}

fn digest_of<'a>(songs: impl Iterator<Item = &'a SongId>) -> Digest {
    let mut digest = Digest::default();
    songs.for_each(|song| digest.insert(*song));
    digest
}

fn how_many_fit(sizes: impl Iterator<Item = usize>, limit: u32) -> usize {
    let mut bytes = 0;
    let fits = |size: &usize| {
        bytes += size;
        bytes <= PAGE_BYTES_MAX
    };
    let most = PAGE_SONGS_MAX.min(limit as usize);
    sizes.take(most).take_while(fits).count()
}

/// The first ids of a list, and whether more follow.
fn page_of<T>(items: impl Iterator<Item = T>, limit: u32) -> (Vec<T>, bool) {
    let limit = PAGE_IDS_MAX.min(limit as usize);
    let mut page: Vec<T> = items.take(limit + 1).collect();
    let more = page.len() > limit;
    page.truncate(limit);
    (page, more)
}

/// About how many bytes a removal takes in a page: a tag and an id.
const REMOVAL_BYTES: usize = 24;

/// The same for a mark.
const MARK_BYTES: usize = 48;
