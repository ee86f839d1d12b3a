//! The cache of played fragments on disk, shared by all clients of a user.
//!
//! `songs/<2 digits>/<song>/` holds a song's fragments under their indices and its `manifest`; behind
//! the bytes of a fragment stand the values by which a part of it is checked (`cache/part.rs`). A
//! fragment of which only parts have come has the same file with holes, `<index>.part`.
//! `peers` holds the known servers. `size` holds the bytes of all songs, and writers lock it.
//! A writer writes a temporary file and renames it, so that a reader sees a whole file or none.
//! A reader checks every file and removes a damaged one. Nothing is synced, because a lost cache
//! costs only a download. The modification time of a song's folder says when the song was last
//! used. The least recently used songs go first, and the cache never grows past its cap.

mod part;
mod room;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use roles::contract::id::{ContentHash, SongId, SongPrefix};
use roles::contract::job::JobFault;
use roles::contract::limits::{MESSAGE_BYTES_MAX, RECORDS_MAX};
use roles::contract::record::Record;
use roles::contract::song::Manifest;

use room::Room;

use crate::client::Groups;
use crate::disk_space::in_words;
use crate::groups;
use crate::private;

/// A cache on disk. Clones share it, and so may other processes.
#[derive(Clone, Debug)]
pub struct Cache {
    shared: Arc<Shared>,
    /// The name of the file that holds the known servers.
    peers: Arc<str>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    room: Room,
    /// When each song was last marked as used.
    touched: Mutex<BTreeMap<SongId, Instant>>,
    /// Whether a failing write has been reported.
    warned: AtomicBool,
    /// A number that keeps the names of this process's temporary files distinct.
    next: AtomicU64,
}

impl Cache {
    /// Opens the cache in `dir` with a cap of `bytes_max` bytes. Makes the directory if needed, and
    /// closes it to other users.
    pub fn open(dir: impl Into<PathBuf>, bytes_max: u64) -> io::Result<Cache> {
        let dir = dir.into();
        private::claim_dir(&dir)?;
        private::claim_dir(&dir.join("songs"))?;
        private::claim_files(&dir);
        let shared = Shared {
            room: Room::new(&dir, bytes_max),
            dir,
            touched: Mutex::default(),
            warned: AtomicBool::new(false),
            next: AtomicU64::new(0),
        };
        Ok(Cache {
            shared: Arc::new(shared),
            peers: PEERS.into(),
        })
    }

    /// The same cache, but with a list of servers for this cluster alone, because servers learned
    /// from one cluster must not be used for another.
    pub fn scoped(self, cluster: &str) -> Cache {
        let name = blake3::hash(cluster.as_bytes()).to_hex();
        Cache {
            peers: format!("{PEERS}-{}", &name[..16]).into(),
            ..self
        }
    }

    /// A fragment, if the cache has it with this length and hash. A damaged fragment is removed.
    pub fn fragment(
        &self,
        song: SongId,
        index: u32,
        length: u32,
        hash: &ContentHash,
    ) -> Option<Vec<u8>> {
        self.part(song, index, (0, length), length, hash)
    }

    /// The bytes `from..to` of a fragment, if the cache has it with this length and hash. Reads and
    /// checks only the groups of 64 KiB that they lie in. A damaged fragment is removed.
    pub fn part(
        &self,
        song: SongId,
        index: u32,
        part: (u32, u32),
        length: u32,
        hash: &ContentHash,
    ) -> Option<Vec<u8>> {
        let dir = self.song_dir(song);
        let path = dir.join(index.to_string());
        let bytes = match File::open(&path) {
            Ok(file) => {
                let read = part::read(&file, part, length as usize, hash);
                if read.is_none() && part.0 <= part.1 {
                    self.remove_damaged(&path);
                }
                read?
            }
            // What is not there yet is a hole, and matches nothing: no damage.
            Err(_) => {
                let file = File::open(dir.join(part_name(index))).ok()?;
                part::read_of_part(&file, part, length, hash)?
            }
        };
        self.touch(song);
        Some(bytes)
    }

    /// Stores a fragment. A failed write is only logged, because the reader already has the bytes.
    pub fn keep_fragment(&self, song: SongId, index: u32, bytes: &[u8]) {
        self.keep(song, &index.to_string(), &[bytes, &groups::values(bytes)]);
        let part = self.song_dir(song).join(part_name(index));
        if part.exists() {
            // Eviction takes it if this fails.
            let _ = self.shared.room.remove(&part);
        }
    }

    /// Stores groups of a fragment, the first of which begins at this offset. When all have come, it
    /// is a whole fragment. A failed write is only logged.
    pub(crate) fn keep_part(&self, song: SongId, index: u32, begin: u32, groups: &Groups) {
        let dir = self.song_dir(song);
        let (part, whole) = (dir.join(part_name(index)), dir.join(index.to_string()));
        if whole.exists() {
            return;
        }
        let bytes = u64::from(groups.length) + groups.values.len() as u64;
        // The whole is counted with the first part, because the others fill its holes.
        let there = fs::metadata(&part).is_ok_and(|there| there.len() == bytes);
        let kept = self.shared.room.with(if there { 0 } else { bytes }, || {
            private::make_dir(&dir)?;
            if part::add(&part, begin, groups)? {
                fs::rename(&part, &whole)?;
            }
            Ok(0)
        });
        if let Err(error) = kept {
            self.warn("keep a part of a fragment", &error);
        }
    }

    /// The cached fragments of a song as half-open ranges of indices, in order. The fragments are
    /// not checked here; reading one checks it.
    pub fn kept(&self, song: SongId) -> Vec<Range<u32>> {
        let names = names(&self.song_dir(song));
        let mut indices: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
        indices.sort_unstable();
        let runs = indices.chunk_by(|one, next| one.checked_add(1) == Some(*next));
        let run = |run: &[u32]| Some(*run.first()?..run.last()?.checked_add(1)?);
        runs.filter_map(run).collect()
    }

    /// The manifest of the one song that begins with these digits.
    pub fn manifest(&self, prefix: SongPrefix) -> Result<Manifest, JobFault> {
        let songs = self.songs_with_manifest(prefix);
        match songs.as_slice() {
            [] => Err(JobFault::NotFound),
            [song] => self.manifest_of(*song).ok_or(JobFault::NotFound),
            several => Err(JobFault::Ambiguous(
                several.iter().take(5).copied().collect(),
            )),
        }
    }

    /// Stores a manifest. A failed write is only logged.
    pub fn keep_manifest(&self, manifest: &Manifest) {
        match sealed(manifest) {
            Some(bytes) => self.keep(manifest.song.id, MANIFEST, &[&bytes]),
            None => self.warn("encode a manifest", &io::Error::other("it is too long")),
        }
    }

    /// The servers known from an earlier run; empty if the file is missing or damaged.
    pub fn peers(&self) -> Vec<Record> {
        let read = read_bounded(
            &self.shared.dir.join(&*self.peers),
            MESSAGE_BYTES_MAX as u64,
        );
        let mut peers: Vec<Record> = read.and_then(|bytes| unsealed(&bytes)).unwrap_or_default();
        peers.truncate(RECORDS_MAX);
        peers
    }

    /// Keeps the servers known for a later run.
    pub fn keep_peers(&self, records: &[Record]) {
        let records = records.get(..RECORDS_MAX).unwrap_or(records).to_vec();
        let Some(bytes) = sealed(&records) else {
            return;
        };
        let dir = &self.shared.dir;
        if let Err(error) = self.write(dir, &self.peers, &[&bytes]) {
            self.warn("keep the known servers", &error);
        }
    }

    fn song_dir(&self, song: SongId) -> PathBuf {
        let name = song.to_string();
        self.shared.dir.join("songs").join(&name[..2]).join(name)
    }

    fn songs_with_manifest(&self, prefix: SongPrefix) -> Vec<SongId> {
        if prefix.is_whole() {
            return vec![prefix.first()];
        }
        let group = |song: SongId| (song.0 >> 120) as u8;
        let groups = group(prefix.first())..=group(prefix.last());
        let mut songs: Vec<SongId> = groups
            .flat_map(|group| names(&self.shared.dir.join("songs").join(format!("{group:02x}"))))
            .filter_map(|name| SongId::parse(&name))
            .filter(|song| prefix.matches(*song))
            .filter(|song| self.song_dir(*song).join(MANIFEST).exists())
            .collect();
        songs.sort_unstable();
        songs
    }

    fn manifest_of(&self, song: SongId) -> Option<Manifest> {
        let path = self.song_dir(song).join(MANIFEST);
        let bytes = read_bounded(&path, MESSAGE_BYTES_MAX as u64)?;
        let manifest: Option<Manifest> = unsealed(&bytes);
        let right = manifest.filter(|m| m.song.id == song && m.check().is_ok());
        match right {
            Some(_) => self.touch(song),
            None => self.remove_damaged(&path),
        }
        right
    }

    fn keep(&self, song: SongId, name: &str, pieces: &[&[u8]]) {
        let dir = self.song_dir(song);
        let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        let kept = self.shared.room.with(bytes as u64, || {
            let before = fs::metadata(dir.join(name)).map_or(0, |old| old.len());
            self.write(&dir, name, pieces)?;
            Ok(before)
        });
        if let Err(error) = kept {
            self.warn("keep a fragment", &error);
        }
    }

    /// Writes a temporary file and renames it, so that no reader sees half a file.
    fn write(&self, dir: &Path, name: &str, pieces: &[&[u8]]) -> io::Result<()> {
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let beside = dir.join(format!(".{name}.{}.{number}", std::process::id()));
        private::make_dir(dir)?;
        let written = private::create(&beside)
            .and_then(|mut file| pieces.iter().try_for_each(|piece| file.write_all(piece)))
            .and_then(|()| fs::rename(&beside, dir.join(name)));
        if written.is_err() {
            // The caller reports the first failure; a failed clean-up adds nothing.
            let _ = fs::remove_file(&beside);
        }
        written
    }

    /// Marks a song as used, at most once a minute. That is precise enough for eviction and saves
    /// the disk a write for every fragment that is read.
    fn touch(&self, song: SongId) {
        let touched = self.shared.touched.lock();
        let mut touched = touched.unwrap_or_else(PoisonError::into_inner);
        let recent = |at: &Instant| at.elapsed() < TOUCH_EVERY;
        if touched.get(&song).is_some_and(recent) {
            return;
        }
        if touched.len() >= TOUCHED_MAX {
            touched.retain(|_, at| recent(at));
        }
        touched.insert(song, Instant::now());
        // A failure is ignored: a cache that cannot be written to can still be read.
        let _ = File::open(self.song_dir(song)).and_then(|d| d.set_modified(SystemTime::now()));
    }

    fn remove_damaged(&self, path: &Path) {
        log::warn!("cache damaged path={}", path.display());
        if let Err(error) = self.shared.room.remove(path) {
            self.warn("remove a damaged fragment", &error);
        }
    }

    fn warn(&self, what: &str, error: &io::Error) {
        if !self.shared.warned.swap(true, Ordering::Relaxed) {
            let error = in_words(&self.shared.dir, error);
            let dir = self.shared.dir.display();
            log::warn!("cache unwritable dir={dir} what={what:?} error={error}");
        }
    }
}

/// The file of a fragment of which only parts have come.
fn part_name(index: u32) -> String {
    format!("{index}.part")
}

/// The first `bytes_max` bytes of a file; none if the file cannot be read.
fn read_bounded(path: &Path, bytes_max: u64) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len().min(bytes_max);
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(bytes_max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The names in a folder; none if it cannot be read.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Encodes a value and puts the hash of the encoding before it, because a manifest altered on disk
/// may still decode. Returns none if the result is longer than `MESSAGE_BYTES_MAX`.
fn sealed<T: bincode::Encode>(value: &T) -> Option<Vec<u8>> {
    let config = bincode::config::standard();
    let body = bincode::encode_to_vec(value, config).ok()?;
    let seal = blake3::hash(&body);
    let fits = seal.as_bytes().len() + body.len() <= MESSAGE_BYTES_MAX;
    fits.then(|| [seal.as_bytes(), body.as_slice()].concat())
}

fn unsealed<T: bincode::Decode<()>>(bytes: &[u8]) -> Option<T> {
    let (seal, body) = bytes.split_first_chunk::<32>()?;
    if blake3::hash(body) != *seal {
        return None;
    }
    let config = bincode::config::standard().with_limit::<DECODE_BYTES_MAX>();
    let (value, _) = bincode::decode_from_slice(body, config).ok()?;
    Some(value)
}

const MANIFEST: &str = "manifest";
const PEERS: &str = "peers";

/// Shortest time between two marks of the same song as used.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

/// When the table holds this many songs, the marks older than `TOUCH_EVERY` are removed from it.
const TOUCHED_MAX: usize = 1024;

/// Most memory a decoded manifest or list of servers takes.
const DECODE_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;

#[cfg(test)]
mod tests;
