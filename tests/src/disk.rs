//! Where jobs are done: a server's disk, a client's machine.

use std::collections::BTreeMap;

use roles::contract::document::{Document, Key};
use roles::contract::id::{ContentHash, NodeId, SongId, SongPrefix};
use roles::contract::job::{ClientJob, FragmentId, JobFault, JobReply, LibraryJob, MemoryJob};
use roles::contract::member::Member;
use roles::contract::message::{Position, StoreId};
use roles::contract::record::{Address, Record, Role};
use roles::contract::rng::Rng;
use roles::contract::song::Manifest;
use roles::contract::trash::Mark;
use storage::client::ClientStore;
use storage::library::{Library, LibraryWorker};
use storage::model::{ModelStore, agreed, spoiled};

use crate::data_mutants::DataMutant;
use crate::music::{Music, hash_of};

/// Number of a disk; a wiped node gets another disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskId(pub u64);

/// A server's disk.
#[derive(Debug)]
pub struct Disk {
    /// Its number.
    pub id: DiskId,
    model: ModelStore,
    /// The real library beside the model, in the worlds that compare them.
    real: Option<LibraryWorker>,
    /// Whether writes fail for want of room.
    pub full: bool,
    /// How often the root of a table was spoilt.
    wrecks: u32,
    /// The ring members and the node's role that were last remembered.
    memory: Option<(Vec<Member>, Role, Vec<Address>)>,
    /// The content at the start before the last one, and at the last one.
    past: [Option<ModelStore>; 2],
    /// The mutant in this disk.
    mutant: Option<DataMutant>,
    /// The content before the last removal, while a power cut would take that removal back
    /// (mutant).
    unsynced: Option<ModelStore>,
}

/// Before the fourth rebuild a node waits for longer than a world that is to be whole again.
const WRECKS_MAX: u32 = 3;

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
            wrecks: 0,
            memory: None,
            past: [None, None],
            mutant: None,
            unsynced: None,
        }
    }

    /// A process starts on this disk: its content is kept for [`Disk::go_back`].
    pub fn mark_start(&mut self) {
        if self.real.is_none() {
            self.past.swap(0, 1);
            self.past[1] = Some(self.model.clone());
        }
    }

    /// Restores the content of two starts ago, or else of the last start. False: neither is known.
    pub fn go_back(&mut self) -> bool {
        let past = self.past.iter_mut().find_map(Option::take);
        past.map(|past| self.model = past).is_some()
    }

    /// Gives the disk this mutant.
    pub fn mutant(&mut self, mutant: DataMutant) {
        if mutant == DataMutant::CommitsUnchecked {
            self.model.trust();
        }
        if mutant == DataMutant::BelievesItsTables {
            self.model.believe();
        }
        self.mutant = Some(mutant);
    }

    /// The songs with a tombstone.
    pub fn buried(&self) -> impl Iterator<Item = SongId> {
        self.model.buried()
    }

    /// Whether a song has a tombstone.
    pub fn is_buried(&self, song: SongId) -> bool {
        self.model.is_buried(song)
    }

    /// The mark of a song; of version 0 if it has none.
    pub fn mark_of(&self, song: SongId) -> Mark {
        self.model.mark_of(song)
    }

    /// All documents, deleted ones among them, by key.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.model.documents()
    }

    /// The document with this key.
    pub fn document(&self, key: &Key) -> Option<&Document> {
        self.model.document(key)
    }

    /// All marks, by song.
    pub fn marks(&self) -> impl Iterator<Item = Mark> {
        self.model.marks()
    }

    /// Whether a song's time in the trash is over twice.
    pub fn is_over_twice(&self, song: SongId) -> bool {
        self.model.is_over_twice(song)
    }

    /// Whether a song is committed.
    pub fn has(&self, song: SongId) -> bool {
        self.model.is_committed(song)
    }

    /// Whether a song is committed, and was so at that revision of the library.
    pub fn has_since(&self, song: SongId, revision: u64) -> bool {
        self.model.is_committed_by(song, revision)
    }

    /// Fragments of a song that are not good. None: the song is not committed here.
    pub fn unsound(&self, song: SongId) -> Option<Vec<u32>> {
        self.model.unsound(song)
    }

    /// Does a job; an error says how model and library differ.
    pub fn run(&mut self, job: LibraryJob) -> Result<JobReply, String> {
        if self.full && needs_room(&job) {
            return Ok(JobReply::Failed(JobFault::DiskFull));
        }
        if let LibraryJob::Room { .. } = job {
            return Ok(JobReply::Room { full: self.full });
        }
        if self.mutant == Some(DataMutant::ForgetsRemovals) {
            if let LibraryJob::RemoveSongs { .. } = job {
                self.unsynced = Some(self.model.clone());
            } else if let LibraryJob::CommitUpload { .. } = job {
                self.unsynced = None;
            }
        }
        match &mut self.real {
            Some(real) => agreed(&mut self.model, real, job).map_err(|why| why.to_string()),
            None => Ok(self.model.run(job)),
        }
    }

    /// Does a job for the memory of the server.
    pub fn remember(&mut self, job: MemoryJob) -> JobReply {
        match job {
            MemoryJob::RecallMembers => self.recall(),
            MemoryJob::RememberMembers { members, role, dns } => {
                self.memory = Some((members, role, dns));
                JobReply::Done
            }
        }
    }

    fn recall(&self) -> JobReply {
        let (members, role, dns) = match &self.memory {
            Some((members, role, dns)) => (members.clone(), Some(*role), dns.clone()),
            None => (Vec::new(), None, Vec::new()),
        };
        JobReply::Members { members, role, dns }
    }

    /// The power fails: what is not durable is lost.
    pub fn lose_power(&mut self) {
        debug_assert!(self.real.is_none(), "the library would remember");
        if let Some(before) = self.unsynced.take() {
            self.model = before;
        }
        self.model.crash();
    }

    /// Alters a fragment of a committed song. False: there is none to alter.
    pub fn rot(&mut self, fragment: FragmentId) -> bool {
        match &mut self.real {
            Some(real) => spoiled(&mut self.model, real, fragment),
            None => self.model.rot(fragment),
        }
    }

    /// Alters the tables of a committed song. False: there is none to alter. Worlds with the real
    /// library have no such faults, because the model does not know which values are damaged.
    pub fn alter(&mut self, song: SongId) -> bool {
        self.real.is_none() && self.model.alter(song)
    }

    /// Spoils the root of a table; `bare`: nothing can be read of the library any more. False: the
    /// world has the real library, this one is spoilt already, or it was too often: the pauses of its
    /// node between two rebuilds double.
    pub fn wreck(&mut self, bare: bool) -> bool {
        if self.real.is_some() || self.model.is_wrecked() || self.wrecks == WRECKS_MAX {
            return false;
        }
        self.wrecks += 1;
        self.model.wreck(bare);
        true
    }

    /// The songs whose upload has begun and not ended.
    pub fn staged(&self) -> impl Iterator<Item = SongId> {
        self.model.staged()
    }

    /// The committed songs.
    pub fn songs(&self) -> impl Iterator<Item = SongId> {
        self.model.committed()
    }

    /// Whether all fragments of a song can be read and are right, byte for byte.
    pub fn holds(&mut self, song: SongId, music: &Music) -> bool {
        let Some(tune) = music.by_id(song) else {
            return false;
        };
        (0..tune.manifest.song.fragments).all(|index| {
            let at = Position::Index(index);
            let reply = self.model.run(LibraryJob::ReadFragment { song, at });
            let JobReply::Fragment { bytes, .. } = reply else {
                return false;
            };
            tune.fragment(index) == Some(&bytes[..])
        })
    }

    /// The copies that this disk still records as due: the song, and the node that shall get it.
    pub fn copies_due(&self) -> impl Iterator<Item = (SongId, NodeId)> {
        self.model.due()
    }
}

fn needs_room(job: &LibraryJob) -> bool {
    matches!(
        job,
        LibraryJob::BeginUpload { .. }
            | LibraryJob::KeepFragment { .. }
            | LibraryJob::CommitUpload { .. }
            | LibraryJob::ReplaceFragment { .. }
            | LibraryJob::NoteDocuments { .. }
    )
}

/// A client's machine: its cache and the routers it remembers.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    manifests: BTreeMap<SongId, Manifest>,
    fragments: BTreeMap<(SongId, u32), Vec<u8>>,
    peers: Vec<Record>,
}

impl Machine {
    /// Does a client's job.
    pub fn run(&mut self, job: ClientJob, music: &Music) -> JobReply {
        let done = match job {
            ClientJob::CachedManifest { prefix } => self.cached_manifest(prefix),
            ClientJob::CacheManifest { manifest } => {
                self.manifests.insert(manifest.song.id, manifest);
                Ok(JobReply::Done)
            }
            ClientJob::CachedFragment {
                song,
                index,
                part,
                length,
                hash,
            } => self.cached_fragment((song, index), part, length, hash),
            ClientJob::CacheFragment {
                song,
                index,
                hash,
                keep,
                bytes,
            } => self.cache_fragment((song, index), hash, keep, bytes),
            // Parts are checked as on a real machine without a cache.
            part @ ClientJob::CachePart { .. } => Ok(ClientStore::default().worker().run(part)),
            ClientJob::RecallPeers => Ok(JobReply::Peers {
                records: self.peers.clone(),
            }),
            ClientJob::RememberPeers { records } => {
                self.peers = records;
                Ok(JobReply::Done)
            }
            ClientJob::Scan { source } => {
                let manifest = music.tune(source.0).map(|tune| tune.manifest.clone());
                manifest.map_or(Err(JobFault::NotFound), |manifest| {
                    Ok(JobReply::Described { manifest })
                })
            }
            ClientJob::ReadSource {
                source,
                index,
                offset,
                length,
                hash,
            } => read_source(music, source.0, index, (offset, length), hash),
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
        (song, index): (SongId, u32),
        (from, to): (u32, u32),
        length: u32,
        hash: ContentHash,
    ) -> Result<JobReply, JobFault> {
        let bytes = (self.fragments.get(&(song, index))).ok_or(JobFault::NotFound)?;
        if bytes.len() != length as usize || hash_of(bytes) != hash {
            self.fragments.remove(&(song, index));
            return Err(JobFault::NotFound);
        }
        let part = bytes.get(from as usize..to as usize);
        let bytes = part.ok_or(JobFault::NotFound)?.to_vec();
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

    /// Alters or cuts short one cached fragment. False: none is cached.
    pub fn spoil(&mut self, rng: &mut Rng) -> bool {
        let number = rng.below(self.fragments.len() as u64) as usize;
        let Some(bytes) = self.fragments.values_mut().nth(number) else {
            return false;
        };
        if rng.happens(1, 2) {
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
