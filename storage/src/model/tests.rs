//! The model against the library, and losses of power, which only the model can simulate.

use super::*;
use crate::library::{Library, LibraryWorker};
use crate::testing::{TempDir, manifest_of, song};
use roles::contract::document::{AccountId, Kind, Play, Version};
use roles::contract::job::{FragmentId, PartitionDigest};
use roles::contract::limits::PAGE_SONGS_MAX;
use roles::contract::partition::Partition;
use roles::contract::rng::Rng;
use roles::contract::trash::Mark;

const STORE: StoreId = StoreId(42);
const NODE: NodeId = NodeId(1);

/// In thousands of random jobs, the library answers as the model does.
#[test]
fn the_library_in_memory_agrees_with_the_model() {
    let mut seen = Seen::default();
    for seed in 0..20 {
        let library = Library::open_in_memory(NODE, STORE).expect("memory");
        let mut writer = library.writer().expect("memory");
        let mut model = ModelStore::new(STORE);
        let mut world = World::of(seed);
        for step in 0..1000 {
            world.rot(&mut model, &mut writer);
            let job = world.job();
            let reply = agreed(&mut model, &mut writer, job);
            let reply = reply.unwrap_or_else(|why| panic!("seed {seed} step {step}: {why}"));
            seen.note(&reply);
        }
    }
    seen.assert_everything_happened();
}

/// The same holds on a disk with restarts in between: a restart loses nothing.
#[test]
fn the_library_on_disk_agrees_with_the_model() {
    let dir = TempDir::new();
    let mut model = ModelStore::new(STORE);
    let mut world = World::of(99);
    for start in 0..10 {
        let library = Library::open(dir.path(), NODE, STORE).expect("its own library");
        let mut writer = library.writer().expect("it is open");
        for step in 0..150 {
            world.rot(&mut model, &mut writer);
            let reply = agreed(&mut model, &mut writer, world.job());
            reply.unwrap_or_else(|why| panic!("start {start} step {step}: {why}"));
        }
    }
    assert!(model.overview().revision > 5);
}

/// The coverage of a run. Without it, the two could agree because a case never occurred.
#[derive(Debug, Default)]
struct Seen {
    removed: u32,
    refused_removed: u32,
    refused_quarantined: u32,
    refused_damaged: u32,
    scrubs_with_bad: u32,
    rounds_ended: u32,
    quarantined: u32,
    partitions_of_both: u32,
    added_and_removed: u32,
}

impl Seen {
    fn note(&mut self, reply: &JobReply) {
        let (what, happened) = match reply {
            JobReply::Removed { count, .. } => (&mut self.removed, *count > 0),
            JobReply::Failed(JobFault::Removed) => (&mut self.refused_removed, true),
            JobReply::Failed(JobFault::Quarantined) => (&mut self.refused_quarantined, true),
            JobReply::Failed(JobFault::Damaged) => (&mut self.refused_damaged, true),
            JobReply::Scrubbed(done) if done.after.is_none() => (&mut self.rounds_ended, true),
            JobReply::Scrubbed(done) => (&mut self.scrubs_with_bad, !done.bad.is_empty()),
            JobReply::Quarantined { fragments, .. } => {
                (&mut self.quarantined, !fragments.is_empty())
            }
            JobReply::PartitionDigests { digests } => {
                let side = |f: fn(&PartitionDigest) -> u64| digests.iter().any(|d| f(d) > 0);
                let both = side(|d| d.songs.count) && side(|d| d.tombstones.count);
                (&mut self.partitions_of_both, both)
            }
            JobReply::Changes { changes, .. } => {
                let is_added = |change: &Change| matches!(change, Change::Added(_));
                let added = changes.iter().filter(|change| is_added(change)).count();
                let both = added > 0 && added < changes.len();
                (&mut self.added_and_removed, both)
            }
            _ => return,
        };
        *what += u32::from(happened);
    }

    fn assert_everything_happened(&self) {
        let all = [
            self.removed,
            self.refused_removed,
            self.refused_quarantined,
            self.refused_damaged,
            self.scrubs_with_bad,
            self.rounds_ended,
            self.quarantined,
            self.partitions_of_both,
            self.added_and_removed,
        ];
        assert!(all.iter().all(|count| *count > 5), "{self:?}");
    }
}

/// A loss of power loses what was staged since the last commit, and no committed song.
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
    // The commit synced the log and the fragment stored before it, not the fragment after it.
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
    model.run(LibraryJob::BeginUpload { manifest })
}

fn keep(model: &mut ModelStore, manifest: &Manifest, index: u32, pieces: &[Vec<u8>]) {
    let (song, bytes) = (manifest.song.id, pieces[index as usize].clone());
    let reply = model.run(LibraryJob::KeepFragment { song, index, bytes });
    assert_eq!(reply, JobReply::FragmentStored);
}

fn commit(model: &mut ModelStore, manifest: &Manifest) -> JobReply {
    let (song, copies_due) = (manifest.song.id, Vec::new());
    model.run(LibraryJob::CommitUpload { song, copies_due })
}

/// A few songs, some cut in two ways, some with a false manifest, and random jobs about them.
struct World {
    rng: Rng,
    songs: Vec<(Manifest, Vec<Vec<u8>>)>,
    /// Every fragment that the disk has altered, even if it was replaced later.
    rotten: Vec<FragmentId>,
}

impl World {
    fn of(seed: u64) -> World {
        let mut rng = Rng::from_seed(seed);
        let mut songs = Vec::new();
        for number in 0..12 {
            let count = 1 + rng.below(6);
            let lengths: Vec<usize> = (0..count).map(|_| 1 + rng.below(3000) as usize).collect();
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
        World {
            rng,
            songs,
            rotten: Vec::new(),
        }
    }

    fn job(&mut self) -> LibraryJob {
        let (manifest, pieces) = self.rng.pick(&self.songs).expect("a dozen").clone();
        let song = manifest.song.id;
        let node = NodeId(self.rng.bits().into());
        let limit = *self.rng.pick(&[0, 1, 3, 500, u32::MAX]).expect("five");
        match self.rng.below(170) {
            100..106 => self.removal_job(song),
            106..118 => self.partition_job(song, limit),
            118..130 => self.repair_job(song, &pieces, limit),
            130..142 => self.trash_job(song, limit),
            142.. => self.documents_job(song, node, limit),
            0..15 => LibraryJob::BeginUpload { manifest },
            15..60 => self.fragment(song, &pieces),
            60..75 => LibraryJob::CommitUpload {
                song,
                copies_due: vec![NodeId(node.0 % 4), node],
            },
            75..80 => LibraryJob::ReadFragment {
                song,
                at: Position::Index(self.small()),
            },
            80..84 => LibraryJob::ReadFragment {
                song,
                at: Position::Time(1000 * self.small() + 3),
            },
            84..86 => LibraryJob::Describe { song },
            86..88 => LibraryJob::Songs {
                after: self.rng.happens(1, 2).then_some(song),
                limit,
            },
            88..91 => LibraryJob::Changes {
                since: self.rng.below(12),
                limit,
            },
            91..96 => self.copies_job(song, node, limit),
            96 => LibraryJob::SweepUploads {
                untouched_s: 1_000_000 * u64::from(self.small().min(1)),
            },
            _ => LibraryJob::Overview,
        }
    }

    fn copies_job(&mut self, song: SongId, node: NodeId, limit: u32) -> LibraryJob {
        let node = NodeId(node.0 % 4);
        match self.rng.below(10) {
            0..5 => LibraryJob::CopyDone { song, node },
            5 => LibraryJob::ForgetCopiesDue { node },
            _ => LibraryJob::CopiesDue {
                after: self.rng.happens(1, 2).then_some((song, node)),
                limit,
            },
        }
    }

    fn any_song(&mut self) -> SongId {
        let (manifest, _) = self.rng.pick(&self.songs).expect("a dozen");
        manifest.song.id
    }

    /// Mostly lets songs go, because these may come back. A run removes only a few songs for good.
    fn removal_job(&mut self, song: SongId) -> LibraryJob {
        let songs = vec![song, self.any_song(), song];
        match self.rng.below(12) {
            0 => LibraryJob::RemoveSongs {
                songs: songs[..self.rng.below(3) as usize].to_vec(),
            },
            1..4 => LibraryJob::DropSongs {
                songs,
                until: self.rng.below(20),
            },
            4..6 => LibraryJob::DropSongs {
                songs,
                until: u64::MAX,
            },
            6 => LibraryJob::DropSongs {
                songs: vec![song; 501],
                until: u64::MAX,
            },
            7 => LibraryJob::DropUpload { song },
            _ => LibraryJob::Reclaim,
        }
    }

    fn trash_job(&mut self, song: SongId, limit: u32) -> LibraryJob {
        let after = self.rng.happens(1, 3).then(|| self.any_song());
        let passed_s = self.rng.below(4) * 5;
        let mark = Mark {
            song,
            version: self.rng.below(5),
            thrown: self.rng.happens(1, 2),
            age_s: self.rng.below(9),
            left_s: self.rng.below(40),
        };
        let marks = vec![mark, Mark::none(self.any_song())];
        match self.rng.below(12) {
            0..6 => LibraryJob::NoteMarks { marks, passed_s },
            6 => LibraryJob::Marks { after, limit },
            7 => LibraryJob::MarksDigest,
            8..11 => LibraryJob::AgeTrash { passed_s, limit },
            _ => LibraryJob::EmptyTrash { mark },
        }
    }

    fn document(&mut self) -> Document {
        let length = *self.rng.pick(&[0, 1, 3000, 60_000]).expect("four");
        Document {
            key: Key {
                owner: AccountId::LISTENER,
                kind: Kind(1 + self.rng.below(2) as u16),
                subject: vec![self.small() as u8; 1 + self.small() as usize],
            },
            version: Version {
                clock: self.rng.below(9),
                writer: self.rng.below(2).into(),
            },
            body: self.rng.happens(3, 4).then(|| vec![7; length]),
        }
    }

    fn documents_job(&mut self, song: SongId, node: NodeId, limit: u32) -> LibraryJob {
        let play = Play {
            owner: AccountId::LISTENER,
            song,
            token: self.rng.below(40),
            clock: self.rng.below(40),
        };
        let count = self.rng.below(4);
        let documents: Vec<Document> = (0..count).map(|_| self.document()).collect();
        let plays = vec![play; self.rng.below(3) as usize];
        let by = self.rng.happens(1, 2).then_some(node);
        let after = self.rng.happens(1, 2).then(|| self.document().key);
        let first = self.rng.below(256) as u16;
        match self.rng.below(12) {
            0..9 => LibraryJob::NoteDocuments {
                documents,
                plays: if by.is_some() { plays } else { vec![] },
                by,
            },
            9..11 => LibraryJob::Documents {
                buckets: (first..256).collect(),
                after,
                limit,
            },
            _ => LibraryJob::DocumentSums,
        }
    }

    fn partition_job(&mut self, song: SongId, limit: u32) -> LibraryJob {
        let after = self.rng.happens(1, 3).then(|| self.any_song());
        match self.rng.below(2) {
            0 => LibraryJob::PartitionDigests,
            _ => LibraryJob::PartitionSongs {
                partition: Partition::of(song),
                after,
                limit,
            },
        }
    }

    fn repair_job(&mut self, song: SongId, pieces: &[Vec<u8>], limit: u32) -> LibraryJob {
        let index = self.small();
        let rotten = self.rng.pick(&self.rotten).copied();
        let rotten = rotten.filter(|_| self.rng.happens(3, 4));
        let fragment = rotten.unwrap_or(FragmentId { song, index });
        let FragmentId { song, index } = fragment;
        let after = self.rng.happens(2, 3).then_some(fragment);
        match self.rng.below(15) {
            12.. => LibraryJob::ReadFragment {
                song,
                at: Position::Index(index),
            },
            0..4 => LibraryJob::Scrub {
                after,
                bytes: *self.rng.pick(&[0, 1, 4000, u64::MAX]).expect("four"),
            },
            4 => LibraryJob::NoteScrub { after },
            5..8 => LibraryJob::Quarantine { fragment },
            8 => LibraryJob::Quarantined { after, limit },
            _ => LibraryJob::ReplaceFragment {
                fragment,
                bytes: self.some_bytes(fragment, pieces),
            },
        }
    }

    /// Bytes for a fragment: mostly the right ones, from one of the cuts of its song.
    fn some_bytes(&mut self, fragment: FragmentId, pieces: &[Vec<u8>]) -> Vec<u8> {
        let cuts = self
            .songs
            .iter()
            .filter(|(m, _)| m.song.id == fragment.song);
        let fitting: Vec<&Vec<u8>> = cuts
            .filter_map(|(_, pieces)| pieces.get(fragment.index as usize))
            .collect();
        let fitting = self.rng.pick(&fitting).copied();
        fitting.unwrap_or(&pieces[0]).clone()
    }

    /// Sometimes lets the disk alter a fragment.
    fn rot(&mut self, model: &mut ModelStore, library: &mut LibraryWorker) {
        if self.rng.happens(1, 20) {
            let songs: Vec<SongId> = model.committed().collect();
            let song = self.rng.pick(&songs).copied().unwrap_or(SongId(0));
            let index = self.rng.below(3) as u32;
            let fragment = FragmentId { song, index };
            if spoiled(model, library, fragment) {
                self.rotten.push(fragment);
            }
        }
    }

    fn small(&mut self) -> u32 {
        self.rng.below(8) as u32
    }

    fn fragment(&mut self, song: SongId, pieces: &[Vec<u8>]) -> LibraryJob {
        let index = self.rng.below(pieces.len() as u64) as u32;
        let mut bytes = pieces[index as usize].clone();
        if self.rng.happens(1, 20) {
            bytes[0] ^= 1;
        }
        let beyond = u32::from(self.rng.happens(1, 40));
        LibraryJob::KeepFragment {
            song,
            index: index + beyond,
            bytes,
        }
    }
}

/// The model and the library end a page at the same song, by number and by bytes.
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
        run(LibraryJob::BeginUpload { manifest });
        run(LibraryJob::KeepFragment { song, index, bytes });
        run(LibraryJob::CommitUpload { song, copies_due });
    }
    let limit = u32::MAX;
    let mut after = None;
    while let JobReply::Songs { songs, more: true } = run(LibraryJob::Songs { after, limit }) {
        after = songs.last().map(|song| song.id);
    }
    for since in 0..20 {
        run(LibraryJob::Changes { since, limit });
    }
}
