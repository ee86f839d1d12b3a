//! What jobs are done on: a data node's disk, a client's machine.

use std::collections::BTreeMap;

use roles::contract::chance::Chance;
use roles::contract::id::{ContentHash, NodeId, SongId, SongPrefix};
use roles::contract::job::{FragmentId, Job, JobFault, JobReply};
use roles::contract::member::Member;
use roles::contract::message::{Position, StoreId};
use roles::contract::record::{Record, Role};
use roles::contract::song::Manifest;
use storage::library::{Library, LibraryWorker};
use storage::model::{ModelStore, agreed, spoiled};

use crate::careless::Slip;
use crate::music::{Music, hash_of};

/// Which disk: a wiped node gets another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskId(pub u64);

/// A server's disk.
#[derive(Debug)]
pub struct Disk {
    /// Which.
    pub id: DiskId,
    model: ModelStore,
    /// The real library beside the model, in the worlds that compare them.
    real: Option<LibraryWorker>,
    /// Writes find no room.
    pub full: bool,
    /// The ring as it was, and the node's role in it.
    memory: Option<(Vec<Member>, Role)>,
    /// As it was at the last start and at the one before.
    past: [Option<ModelStore>; 2],
    /// What was planted in it.
    slip: Option<Slip>,
    /// As it was before its last removal, if that is not synced.
    unsynced: Option<ModelStore>,
}

impl Disk {
    /// An empty disk.
    pub fn new(id: DiskId, node: NodeId, store: StoreId, with_library: bool) -> Disk {
        let real = with_library.then(|| {
            let library = Library::open_in_memory(node, store).expect("memory has room");
            library.writer().expect("the library is open")
        });
        Disk {
            id,
            model: ModelStore::new(store),
            real,
            full: false,
            memory: None,
            past: [None, None],
            slip: None,
            unsynced: None,
        }
    }

    /// A process starts on it.
    pub fn mark_start(&mut self) {
        if self.real.is_none() {
            self.past.swap(0, 1);
            self.past[1] = Some(self.model.clone());
        }
    }

    /// It is as it was two starts ago, or one. False: nothing is known of that.
    pub fn go_back(&mut self) -> bool {
        let past = self.past.iter_mut().find_map(Option::take);
        past.map(|past| self.model = past).is_some()
    }

    /// It makes this mistake from here on.
    pub fn slip(&mut self, slip: Slip) {
        if slip == Slip::CommitsUnchecked {
            self.model.trust();
        }
        self.slip = Some(slip);
    }

    /// Songs removed for good.
    pub fn buried(&self) -> impl Iterator<Item = SongId> {
        self.model.buried()
    }

    /// Whether a song has been removed for good.
    pub fn is_buried(&self, song: SongId) -> bool {
        self.model.is_buried(song)
    }

    /// Whether a song stands.
    pub fn has(&self, song: SongId) -> bool {
        self.model.is_committed(song)
    }

    /// Whether a song stands, and stood at that revision of the library.
    pub fn has_since(&self, song: SongId, revision: u64) -> bool {
        self.model.is_committed_by(song, revision)
    }

    /// Fragments of a song that are not as they should be. None: it does not stand here.
    pub fn unsound(&self, song: SongId) -> Option<Vec<u32>> {
        self.model.unsound(song)
    }

    /// Does a job; an error tells how model and library differ.
    pub fn run(&mut self, job: Job) -> Result<JobReply, String> {
        if self.full && needs_room(&job) {
            return Ok(JobReply::Failed(JobFault::DiskFull));
        }
        if job == Job::RecallMembers {
            return Ok(self.recall());
        }
        if let Job::RememberMembers { members, role } = job {
            self.memory = Some((members, role));
            return Ok(JobReply::Done);
        }
        if self.slip == Some(Slip::ForgetsRemovals) {
            if let Job::RemoveSongs { .. } = job {
                self.unsynced = Some(self.model.clone());
            } else if let Job::CommitUpload { .. } = job {
                self.unsynced = None;
            }
        }
        match &mut self.real {
            Some(real) => agreed(&mut self.model, real, job).map_err(|why| why.to_string()),
            None => Ok(self.model.run(job)),
        }
    }

    fn recall(&self) -> JobReply {
        let (members, role) = match &self.memory {
            Some((members, role)) => (members.clone(), Some(*role)),
            None => (Vec::new(), None),
        };
        JobReply::Members { members, role }
    }

    /// The power fails: what is not durable is gone.
    pub fn lose_power(&mut self) {
        debug_assert!(self.real.is_none(), "the library would remember");
        if let Some(before) = self.unsynced.take() {
            self.model = before;
        }
        self.model.crash();
    }

    /// A fragment of a song that stands is altered. False: there is none to alter.
    pub fn rot(&mut self, fragment: FragmentId) -> bool {
        match &mut self.real {
            Some(real) => spoiled(&mut self.model, real, fragment),
            None => self.model.rot(fragment),
        }
    }

    /// The songs that stand.
    pub fn songs(&self) -> impl Iterator<Item = SongId> {
        self.model.committed()
    }

    /// Whether a song stands whole, byte for byte.
    pub fn holds(&mut self, song: SongId, music: &Music) -> bool {
        let Some(tune) = music.by_id(song) else {
            return false;
        };
        (0..tune.manifest.song.fragments).all(|index| {
            let at = Position::Index(index);
            let reply = self.model.run(Job::ReadFragment { song, at });
            let JobReply::Fragment { bytes, .. } = reply else {
                return false;
            };
            tune.fragment(index) == Some(&bytes[..])
        })
    }

    /// The copies this disk still owes.
    pub fn copies_due(&self) -> impl Iterator<Item = (SongId, NodeId)> {
        self.model.due()
    }
}

fn needs_room(job: &Job) -> bool {
    matches!(
        job,
        Job::BeginUpload { .. }
            | Job::KeepFragment { .. }
            | Job::CommitUpload { .. }
            | Job::ReplaceFragment { .. }
    )
}

/// A client's machine: files to upload, a cache, the routers it remembers.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    manifests: BTreeMap<SongId, Manifest>,
    fragments: BTreeMap<(SongId, u32), Vec<u8>>,
    peers: Vec<Record>,
}

impl Machine {
    /// Does a client's job.
    pub fn run(&mut self, job: Job, music: &Music) -> JobReply {
        let done = match job {
            Job::CachedManifest { prefix } => self.cached_manifest(prefix),
            Job::CacheManifest { manifest } => {
                self.manifests.insert(manifest.song.id, manifest);
                Ok(JobReply::Done)
            }
            Job::CachedFragment {
                song,
                index,
                length,
                hash,
            } => self.cached_fragment(song, index, length, hash),
            Job::CacheFragment {
                song,
                index,
                hash,
                keep,
                bytes,
            } => self.cache_fragment((song, index), hash, keep, bytes),
            Job::RecallPeers => Ok(JobReply::Peers {
                records: self.peers.clone(),
            }),
            Job::RememberPeers { records } => {
                self.peers = records;
                Ok(JobReply::Done)
            }
            Job::Scan { source } => {
                let manifest = music.tune(source.0).map(|tune| tune.manifest.clone());
                manifest.map_or(Err(JobFault::NotFound), |manifest| {
                    Ok(JobReply::Described { manifest })
                })
            }
            Job::ReadSource {
                source,
                index,
                offset,
                length,
                hash,
            } => read_source(music, source.0, index, (offset, length), hash),
            Job::RecallMembers
            | Job::RememberMembers { .. }
            | Job::Overview
            | Job::Songs { .. }
            | Job::Changes { .. }
            | Job::Describe { .. }
            | Job::ReadFragment { .. }
            | Job::BeginUpload { .. }
            | Job::KeepFragment { .. }
            | Job::CommitUpload { .. }
            | Job::SweepUploads { .. }
            | Job::CopiesDue { .. }
            | Job::CopyDone { .. }
            | Job::ForgetCopiesDue { .. }
            | Job::RemoveSongs { .. }
            | Job::DropSongs { .. }
            | Job::Reclaim
            | Job::Tombstones { .. }
            | Job::PartitionDigests
            | Job::PartitionSongs { .. }
            | Job::Scrub { .. }
            | Job::NoteScrub { .. }
            | Job::Quarantine { .. }
            | Job::Quarantined { .. }
            | Job::ReplaceFragment { .. } => {
                Err(JobFault::Invalid("a client keeps no songs".into()))
            }
        };
        done.unwrap_or_else(JobReply::Failed)
    }

    fn cached_manifest(&self, prefix: SongPrefix) -> Result<JobReply, JobFault> {
        let range = prefix.first()..=prefix.last();
        let found: Vec<SongId> = self.manifests.range(range).map(|(id, _)| *id).collect();
        match &found[..] {
            [] => Err(JobFault::NotFound),
            [song] => Ok(JobReply::Described {
                manifest: self.manifests[song].clone(),
            }),
            several => Err(JobFault::Ambiguous(
                several.iter().copied().take(5).collect(),
            )),
        }
    }

    fn cached_fragment(
        &mut self,
        song: SongId,
        index: u32,
        length: u32,
        hash: ContentHash,
    ) -> Result<JobReply, JobFault> {
        let bytes = (self.fragments.get(&(song, index))).ok_or(JobFault::NotFound)?;
        if bytes.len() != length as usize || hash_of(bytes) != hash {
            self.fragments.remove(&(song, index));
            return Err(JobFault::NotFound);
        }
        let bytes = bytes.clone();
        Ok(JobReply::Fragment { index, bytes })
    }

    fn cache_fragment(
        &mut self,
        (song, index): (SongId, u32),
        hash: ContentHash,
        keep: bool,
        bytes: Vec<u8>,
    ) -> Result<JobReply, JobFault> {
        if hash_of(&bytes) != hash {
            return Err(JobFault::Damaged);
        }
        if keep {
            self.fragments.insert((song, index), bytes.clone());
        }
        Ok(JobReply::Fragment { index, bytes })
    }

    /// Fragments in the cache.
    pub fn cached(&self) -> usize {
        self.fragments.len()
    }

    /// Alters or cuts one cached fragment. False: there is none.
    pub fn spoil(&mut self, chance: &mut Chance) -> bool {
        let number = chance.below(self.fragments.len() as u64) as usize;
        let Some(bytes) = self.fragments.values_mut().nth(number) else {
            return false;
        };
        if chance.happens(1, 2) {
            bytes.truncate(bytes.len() / 2);
        } else if let Some(byte) = bytes.first_mut() {
            *byte ^= 0x20;
        }
        true
    }

    /// Forgets every song and every peer.
    pub fn clear(&mut self) {
        *self = Machine::default();
    }
}

fn read_source(
    music: &Music,
    source: u64,
    index: u32,
    (offset, length): (u64, u32),
    hash: ContentHash,
) -> Result<JobReply, JobFault> {
    let tune = music.tune(source).ok_or(JobFault::NotFound)?;
    let (from, length) = (offset as usize, length as usize);
    let bytes = (tune.bytes.get(from..from + length)).ok_or(JobFault::NotFound)?;
    if hash_of(bytes) != hash {
        return Err(JobFault::Damaged);
    }
    let bytes = bytes.to_vec();
    Ok(JobReply::Fragment { index, bytes })
}
