//! A model of the library: the same jobs, the same answers, in memory.
//!
//! Stands in for the real [`Library`](crate::library::Library) in the simulated world, and says
//! what the real one must do: [`agreed`] runs a job on both. Deterministic, no clock, no SQL;
//! everything that can be derived is derived on demand. Unlike the real one it can lose power.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use roles::contract::id::{ContentHash, NodeId, SongId};
use roles::contract::job::{Job, JobFault, JobReply, Overview};
use roles::contract::limits::{PAGE_BYTES_MAX, PAGE_SONGS_MAX};
use roles::contract::message::{Change, Digest, Position, StoreId};
use roles::contract::song::{Manifest, Song};

use crate::library::{LibraryWorker, not_ours};

/// A store that is a value: cloned, compared, thrown away.
#[derive(Clone, Debug)]
pub struct ModelStore {
    store: StoreId,
    /// What the next job sees.
    present: Content,
    /// What a loss of power leaves.
    durable: Content,
}

/// Bytes are shared between the two contents and all clones.
#[derive(Clone, Debug, Default)]
struct Content {
    revision: u64,
    songs: BTreeMap<SongId, Kept>,
    staged: BTreeMap<SongId, Kept>,
    /// Oldest first.
    copies_due: Vec<(SongId, NodeId)>,
}

#[derive(Clone, Debug)]
struct Kept {
    /// When it was committed; 0 while staged.
    revision: u64,
    manifest: Arc<Manifest>,
    fragments: BTreeMap<u32, Arc<[u8]>>,
}

impl ModelStore {
    /// An empty store.
    pub fn new(store: StoreId) -> Self {
        ModelStore {
            store,
            present: Content::default(),
            durable: Content::default(),
        }
    }

    /// Does a job of a data node.
    pub fn run(&mut self, job: Job) -> JobReply {
        let done = match job {
            Job::Overview => Ok(JobReply::Overview(self.overview())),
            Job::Songs { after, limit } => Ok(self.songs(after, limit)),
            Job::Changes { since, limit } => Ok(self.changes(since, limit)),
            Job::Describe { song } => self.describe(song),
            Job::ReadFragment { song, at } => self.read_fragment(song, at),
            Job::BeginUpload { manifest } => self.begin(manifest),
            Job::KeepFragment { song, index, bytes } => self.keep(song, index, &bytes),
            Job::CommitUpload { song, copies_due } => self.commit(song, &copies_due),
            Job::SweepUploads { untouched_s } => Ok(self.sweep(untouched_s)),
            Job::CopiesDue { limit } => Ok(self.copies_due(limit)),
            Job::CopyDone { song, node } => Ok(self.copy_done(song, node)),
            Job::CachedManifest { .. }
            | Job::CacheManifest { .. }
            | Job::CachedFragment { .. }
            | Job::CacheFragment { .. }
            | Job::RecallPeers
            | Job::RecallMembers
            | Job::RememberMembers { .. }
            | Job::RememberPeers { .. }
            | Job::Scan { .. }
            | Job::ReadSource { .. } => Err(not_ours()),
        };
        done.unwrap_or_else(JobReply::Failed)
    }

    /// The power fails: everything after the last durable commit is lost. The worst case: a real
    /// disk may have kept some of it.
    pub fn crash(&mut self) {
        self.present = self.durable.clone();
    }

    /// The ids of the committed songs, in order.
    pub fn committed(&self) -> impl Iterator<Item = SongId> {
        self.present.songs.keys().copied()
    }

    fn overview(&self) -> Overview {
        let mut digest = Digest::default();
        self.committed().for_each(|song| digest.insert(song));
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
        }
    }

    fn songs(&self, after: Option<SongId>, limit: u32) -> JobReply {
        let beyond = |id: &SongId| after.is_none_or(|after| *id > after);
        let all = self.present.songs.iter().filter(|(id, _)| beyond(id));
        let all: Vec<&Song> = all.map(|(_, kept)| &kept.manifest.song).collect();
        let fit = how_many_fit(&all, limit);
        JobReply::Songs {
            songs: all[..fit].iter().copied().cloned().collect(),
            more: fit < all.len(),
        }
    }

    fn changes(&self, since: u64, limit: u32) -> JobReply {
        let later = self
            .present
            .songs
            .values()
            .filter(|kept| kept.revision > since);
        let mut later: Vec<&Kept> = later.collect();
        later.sort_by_key(|kept| kept.revision);
        let songs: Vec<&Song> = later.iter().map(|kept| &kept.manifest.song).collect();
        let fit = how_many_fit(&songs, limit);
        let last = later[..fit].last().map(|kept| kept.revision);
        JobReply::Changes {
            changes: songs[..fit]
                .iter()
                .copied()
                .cloned()
                .map(Change::Added)
                .collect(),
            revision: last.unwrap_or(since.min(self.present.revision)),
        }
    }

    fn standing(&self, song: SongId) -> Result<&Kept, JobFault> {
        self.present.songs.get(&song).ok_or(JobFault::NotFound)
    }

    fn describe(&self, song: SongId) -> Result<JobReply, JobFault> {
        let manifest = Manifest::clone(&self.standing(song)?.manifest);
        Ok(JobReply::Described { manifest })
    }

    fn read_fragment(&self, song: SongId, at: Position) -> Result<JobReply, JobFault> {
        let kept = self.standing(song)?;
        let index = match at {
            Position::Index(index) => index,
            Position::Time(ms) => kept.manifest.index_at(ms),
        };
        let bytes = kept.fragments.get(&index).ok_or(JobFault::NotFound)?;
        let bytes = bytes.to_vec();
        Ok(JobReply::Fragment { index, bytes })
    }

    fn begin(&mut self, manifest: Manifest) -> Result<JobReply, JobFault> {
        let lie = |fault| JobFault::Invalid(format!("the manifest cannot be true: {fault}"));
        manifest.check().map_err(lie)?;
        let id = manifest.song.id;
        if self.present.songs.contains_key(&id) {
            return Ok(self.stored());
        }
        let known = self.present.staged.get(&id);
        if known.is_none_or(|staged| *staged.manifest != manifest) {
            self.present.staged.insert(id, Kept::nothing_of(manifest));
        }
        let ranges = self.present.staged[&id].missing();
        Ok(JobReply::Missing { ranges })
    }

    fn keep(&mut self, song: SongId, index: u32, bytes: &[u8]) -> Result<JobReply, JobFault> {
        let Content { songs, staged, .. } = &mut self.present;
        let kept = staged.get_mut(&song).or(songs.get_mut(&song));
        let kept = kept.ok_or(JobFault::NotFound)?;
        let slice = kept.manifest.fragments.get(index as usize);
        let slice =
            slice.ok_or_else(|| JobFault::Invalid(format!("the song has no fragment {index}")))?;
        if bytes.len() != slice.length as usize || hash_of(bytes) != slice.hash {
            return Err(JobFault::Damaged);
        }
        kept.fragments.entry(index).or_insert_with(|| bytes.into());
        Ok(JobReply::Kept)
    }

    fn commit(&mut self, song: SongId, copies_due: &[NodeId]) -> Result<JobReply, JobFault> {
        let mut changed = false;
        if let Some(staged) = self.present.staged.get(&song) {
            let ranges = staged.missing();
            if !ranges.is_empty() {
                return Ok(JobReply::Missing { ranges });
            }
        }
        if let Some(mut staged) = self.present.staged.remove(&song) {
            if staged.hash() != staged.manifest.hash {
                return Err(JobFault::Damaged);
            }
            self.present.revision += 1;
            staged.revision = self.present.revision;
            self.present.songs.insert(song, staged);
            changed = true;
        }
        self.standing(song)?;
        let due = |node: &NodeId| (song, *node);
        for due in copies_due.iter().map(due) {
            if !self.present.copies_due.contains(&due) {
                self.present.copies_due.push(due);
                changed = true;
            }
        }
        // A commit that changes nothing syncs nothing either.
        if changed {
            self.durable = self.present.clone();
        }
        Ok(self.stored())
    }

    fn stored(&self) -> JobReply {
        JobReply::Stored {
            overview: self.overview(),
        }
    }

    /// Without a clock, every upload has just been touched: only a sweep of all finds them.
    fn sweep(&mut self, untouched_s: u64) -> JobReply {
        if untouched_s == 0 {
            self.present.staged.clear();
        }
        JobReply::Done
    }

    fn copies_due(&self, limit: u32) -> JobReply {
        let due = self.present.copies_due.iter().take(limit as usize);
        JobReply::CopiesDue {
            due: due.copied().collect(),
        }
    }

    fn copy_done(&mut self, song: SongId, node: NodeId) -> JobReply {
        self.present.copies_due.retain(|due| *due != (song, node));
        JobReply::Done
    }
}

impl Kept {
    fn nothing_of(manifest: Manifest) -> Self {
        Kept {
            revision: 0,
            manifest: Arc::new(manifest),
            fragments: BTreeMap::new(),
        }
    }

    fn missing(&self) -> Vec<(u32, u32)> {
        let all = 0..self.manifest.song.fragments;
        let lacking: Vec<u32> = all.filter(|i| !self.fragments.contains_key(i)).collect();
        let runs = lacking.chunk_by(|a, b| a + 1 == *b);
        runs.map(|run| (run[0], run[run.len() - 1] + 1)).collect()
    }

    fn hash(&self) -> ContentHash {
        let mut whole = blake3::Hasher::new();
        for bytes in self.fragments.values() {
            whole.update(bytes);
        }
        ContentHash(*whole.finalize().as_bytes())
    }
}

fn hash_of(bytes: &[u8]) -> ContentHash {
    ContentHash(*blake3::hash(bytes).as_bytes())
}

fn how_many_fit(songs: &[&Song], limit: u32) -> usize {
    let mut bytes = 0;
    let fits = |song: &&&Song| {
        bytes += song.page_bytes();
        bytes <= PAGE_BYTES_MAX
    };
    let most = PAGE_SONGS_MAX.min(limit as usize);
    songs.iter().take(most).take_while(fits).count()
}

/// Does a job on the model and on a real library that began like it, and gives the answer of
/// both, or tells how they differ. As the real one loses nothing while its process lives, the
/// model must not [`crash`](ModelStore::crash) beside it.
pub fn agreed(
    model: &mut ModelStore,
    library: &mut LibraryWorker,
    job: Job,
) -> Result<JobReply, Disagreement> {
    let expected = model.run(job.clone());
    let given = library.run(job.clone());
    if expected == given {
        return Ok(given);
    }
    Err(Disagreement {
        job: Box::new(job),
        expected: Box::new(expected),
        given: Box::new(given),
    })
}

/// A job that the model and the real library answer differently: one of them is wrong.
#[derive(Debug)]
pub struct Disagreement {
    /// The job.
    pub job: Box<Job>,
    /// The model's answer.
    pub expected: Box<JobReply>,
    /// The library's.
    pub given: Box<JobReply>,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the library answers {:?} where the model answers {:?}, to {:?}",
            self.given, self.expected, self.job
        )
    }
}

impl std::error::Error for Disagreement {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::Library;
    use crate::testing::{TempDir, manifest_of, song};
    use roles::contract::chance::Chance;
    use roles::contract::limits::PAGE_SONGS_MAX;

    const STORE: StoreId = StoreId(42);
    const NODE: NodeId = NodeId(1);

    /// Thousands of random jobs: the model says what the library does.
    #[test]
    fn the_library_in_memory_agrees_with_the_model() {
        for seed in 0..20 {
            let library = Library::open_in_memory(NODE, STORE).expect("memory");
            let mut writer = library.writer().expect("memory");
            let mut model = ModelStore::new(STORE);
            let mut world = World::of(seed);
            for step in 0..1000 {
                let job = world.job();
                let reply = agreed(&mut model, &mut writer, job);
                reply.unwrap_or_else(|why| panic!("seed {seed} step {step}: {why}"));
            }
        }
    }

    /// The same on a disk, with restarts in between: a process that ends forgets nothing.
    #[test]
    fn the_library_on_disk_agrees_with_the_model() {
        let dir = TempDir::new();
        let mut model = ModelStore::new(STORE);
        let mut world = World::of(99);
        for start in 0..10 {
            let library = Library::open(dir.path(), NODE, STORE).expect("its own library");
            let mut writer = library.writer().expect("it is open");
            for step in 0..150 {
                let reply = agreed(&mut model, &mut writer, world.job());
                reply.unwrap_or_else(|why| panic!("start {start} step {step}: {why}"));
            }
        }
        assert!(model.committed().count() > 5);
    }

    /// A loss of power takes what was staged since the last commit, and no song.
    #[test]
    fn a_crash_takes_uploads_and_leaves_songs() {
        let mut model = ModelStore::new(STORE);
        let (first, pieces) = song(1, &[10, 20]);
        let (second, more) = song(2, &[30, 40]);
        begin(&mut model, &second);
        keep(&mut model, &second, 0, &more);
        begin(&mut model, &first);
        keep(&mut model, &first, 0, &pieces);
        keep(&mut model, &first, 1, &pieces);
        let stored = commit(&mut model, &first);
        assert!(matches!(stored, JobReply::Stored { .. }));
        // The commit synced the log, and with it the fragment kept before; not the one after.
        keep(&mut model, &second, 1, &more);
        let before = model.clone();
        model.crash();

        assert_eq!(begin(&mut model, &first), stored);
        let ranges = vec![(1, 2)];
        assert_eq!(begin(&mut model, &second), JobReply::Missing { ranges });
        let mut before = before;
        assert_eq!(
            begin(&mut before, &second),
            JobReply::Missing { ranges: vec![] }
        );
    }

    fn begin(model: &mut ModelStore, manifest: &Manifest) -> JobReply {
        let manifest = manifest.clone();
        model.run(Job::BeginUpload { manifest })
    }

    fn keep(model: &mut ModelStore, manifest: &Manifest, index: u32, pieces: &[Vec<u8>]) {
        let (song, bytes) = (manifest.song.id, pieces[index as usize].clone());
        let reply = model.run(Job::KeepFragment { song, index, bytes });
        assert_eq!(reply, JobReply::Kept);
    }

    fn commit(model: &mut ModelStore, manifest: &Manifest) -> JobReply {
        let (song, copies_due) = (manifest.song.id, Vec::new());
        model.run(Job::CommitUpload { song, copies_due })
    }

    /// A few songs, some in two cuts, some with a lie, and jobs about them drawn at random.
    struct World {
        chance: Chance,
        songs: Vec<(Manifest, Vec<Vec<u8>>)>,
    }

    impl World {
        fn of(seed: u64) -> World {
            let mut chance = Chance::from_seed(seed);
            let mut songs = Vec::new();
            for number in 0..12 {
                let count = 1 + chance.below(6);
                let lengths: Vec<usize> = (0..count)
                    .map(|_| 1 + chance.below(3000) as usize)
                    .collect();
                let (manifest, pieces) = song(number, &lengths);
                let whole = vec![pieces.concat()];
                songs.push((manifest_of(&whole), whole));
                songs.push((manifest, pieces));
            }
            songs[0].0.song.title = "x".repeat(1024);
            let (liar, _) = &mut songs[3];
            liar.hash = ContentHash([9; 32]);
            liar.song.id = SongId::of(&liar.hash);
            songs[5].0.song.bytes += 1;
            World { chance, songs }
        }

        fn job(&mut self) -> Job {
            let (manifest, pieces) = self.chance.pick(&self.songs).expect("a dozen").clone();
            let song = manifest.song.id;
            let node = NodeId(self.chance.bits().into());
            let limit = *self.chance.pick(&[0, 1, 3, 500, u32::MAX]).expect("five");
            match self.chance.below(100) {
                0..15 => Job::BeginUpload { manifest },
                15..60 => self.fragment(song, &pieces),
                60..75 => Job::CommitUpload {
                    song,
                    copies_due: vec![NodeId(node.0 % 4), node],
                },
                75..80 => Job::ReadFragment {
                    song,
                    at: Position::Index(self.small()),
                },
                80..84 => Job::ReadFragment {
                    song,
                    at: Position::Time(1000 * self.small() + 3),
                },
                84..86 => Job::Describe { song },
                86..88 => Job::Songs {
                    after: self.chance.happens(1, 2).then_some(song),
                    limit,
                },
                88..91 => Job::Changes {
                    since: self.chance.below(12),
                    limit,
                },
                91..93 => Job::CopiesDue {
                    limit: self.small(),
                },
                93..96 => Job::CopyDone {
                    song,
                    node: NodeId(node.0 % 4),
                },
                96 => Job::SweepUploads {
                    untouched_s: 1_000_000 * u64::from(self.small().min(1)),
                },
                97 => Job::RecallPeers,
                _ => Job::Overview,
            }
        }

        fn small(&mut self) -> u32 {
            self.chance.below(8) as u32
        }

        fn fragment(&mut self, song: SongId, pieces: &[Vec<u8>]) -> Job {
            let index = self.chance.below(pieces.len() as u64) as u32;
            let mut bytes = pieces[index as usize].clone();
            if self.chance.happens(1, 20) {
                bytes[0] ^= 1;
            }
            let beyond = u32::from(self.chance.happens(1, 40));
            Job::KeepFragment {
                song,
                index: index + beyond,
                bytes,
            }
        }
    }

    /// Both cut a page at the same song, by number and by bytes.
    #[test]
    fn the_library_ends_its_pages_where_the_model_does() {
        let library = Library::open_in_memory(NODE, STORE).expect("memory");
        let mut writer = library.writer().expect("memory");
        let mut model = ModelStore::new(STORE);
        let mut run = |job| agreed(&mut model, &mut writer, job).expect("one answer");
        for number in 0..PAGE_SONGS_MAX as u32 + 2 {
            let bytes = number.to_le_bytes().to_vec();
            let mut manifest = manifest_of(std::slice::from_ref(&bytes));
            let tags = &mut manifest.song;
            if number % 3 == 0 {
                tags.album = "a".repeat(1024);
                tags.title = "t".repeat(1024);
                tags.artist = "r".repeat(1024);
                tags.genre = "g".repeat(1024);
            }
            let (song, index, copies_due) = (tags.id, 0, Vec::new());
            run(Job::BeginUpload { manifest });
            run(Job::KeepFragment { song, index, bytes });
            run(Job::CommitUpload { song, copies_due });
        }
        let limit = u32::MAX;
        let mut after = None;
        while let JobReply::Songs { songs, more: true } = run(Job::Songs { after, limit }) {
            after = songs.last().map(|song| song.id);
        }
        for since in 0..20 {
            run(Job::Changes { since, limit });
        }
    }
}
