//! A client's blocking work: its cache and the files it imports.
//!
//! Answers a client's jobs on any thread. A cache that is missing or cannot be written to never
//! prevents playback.

use roles::contract::id::{ContentHash, SongId, SongPrefix, SourceId};
use roles::contract::job::{ClientJob, JobFault, JobReply};
use roles::contract::record::Record;
use roles::contract::song::Manifest;

use crate::cache::Cache;
use crate::groups;
use crate::import::Sources;

/// What a client keeps on disk and may read from it.
#[derive(Clone, Debug, Default)]
pub struct ClientStore {
    /// The cache of fragments. Without a cache, every fragment is fetched.
    pub cache: Option<Cache>,
    /// The files the front has named.
    pub sources: Sources,
}

impl ClientStore {
    /// A worker for one thread of the pool.
    pub fn worker(&self) -> ClientWorker {
        ClientWorker {
            store: self.clone(),
            unwritten: None,
        }
    }
}

/// Runs a client's jobs, one at a time.
#[derive(Clone, Debug)]
pub struct ClientWorker {
    store: ClientStore,
    /// What is to be written to the cache. Whoever asks for it before it is written fetches it again.
    unwritten: Option<(SongId, u32, Unwritten)>,
}

/// What is to be written of a fragment, checked.
#[derive(Clone, Debug)]
enum Unwritten {
    Whole(Vec<u8>),
    /// Some groups, and where they begin.
    Part(u32, Groups),
}

/// Some groups of a fragment.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    /// Bytes of the whole fragment.
    pub(crate) length: u32,
    /// The chaining values of all its groups.
    pub(crate) values: Vec<u8>,
    /// The bytes of these groups.
    pub(crate) bytes: Vec<u8>,
}

impl ClientWorker {
    /// Runs a job to its end, but for what [`ClientWorker::finish`] does.
    pub fn run(&mut self, job: ClientJob) -> JobReply {
        self.finish();
        let done = match job {
            ClientJob::CachedManifest { prefix } => self.cached_manifest(prefix),
            ClientJob::CacheManifest { manifest } => self.cache_manifest(&manifest),
            ClientJob::CachedFragment {
                song,
                index,
                part,
                length,
                hash,
            } => self.cached_fragment((song, index), part, length, &hash),
            ClientJob::CacheFragment {
                song,
                index,
                hash,
                keep,
                bytes,
            } => self.cache_fragment((song, index), &hash, keep, bytes),
            ClientJob::CachePart {
                song,
                index,
                part,
                length,
                hash,
                keep,
                values,
                bytes,
            } => {
                let groups = Groups {
                    length,
                    values,
                    bytes,
                };
                self.cache_part((song, index), part, &hash, keep, groups)
            }
            ClientJob::RecallPeers => self.recall_peers(),
            ClientJob::RememberPeers { records } => self.remember_peers(&records),
            ClientJob::Scan { source } => self.scan(source),
            ClientJob::ReadSource {
                source,
                index,
                offset,
                length,
                hash,
            } => self.read_source(source, index, (offset, length), hash),
        };
        done.unwrap_or_else(JobReply::Failed)
    }

    fn cached_manifest(&self, prefix: SongPrefix) -> Done {
        let cache = self.cache().ok_or(JobFault::NotFound)?;
        let manifest = cache.manifest(prefix)?;
        Ok(JobReply::Described { manifest })
    }

    fn cache_manifest(&self, manifest: &Manifest) -> Done {
        if let Some(cache) = self.cache() {
            cache.keep_manifest(manifest);
        }
        Ok(JobReply::Done)
    }

    fn cached_fragment(
        &self,
        (song, index): (SongId, u32),
        part: (u32, u32),
        length: u32,
        hash: &ContentHash,
    ) -> Done {
        let found = self
            .cache()
            .and_then(|cache| cache.part(song, index, part, length, hash));
        let bytes = found.ok_or(JobFault::NotFound)?;
        Ok(JobReply::Fragment { index, bytes })
    }

    /// Checks a fragment and returns the bytes in the same allocation. If `keep` says so, it is stored
    /// in the cache once the answer is on its way: nobody who listens waits for the disk.
    fn cache_fragment(
        &mut self,
        (song, index): (SongId, u32),
        hash: &ContentHash,
        keep: bool,
        bytes: Vec<u8>,
    ) -> Done {
        if blake3::hash(&bytes) != hash.0 {
            return Err(JobFault::Damaged);
        }
        if keep && self.cache().is_some() {
            self.unwritten = Some((song, index, Unwritten::Whole(bytes.clone())));
        }
        Ok(JobReply::Fragment { index, bytes })
    }

    /// Checks groups of a fragment and returns the bytes of the part alone. If `keep` says so, the
    /// groups are stored in the cache, as a whole fragment is.
    fn cache_part(
        &mut self,
        (song, index): (SongId, u32),
        part: (u32, u32),
        hash: &ContentHash,
        keep: bool,
        groups: Groups,
    ) -> Done {
        let (begin, end) = groups::around(part, groups.length).ok_or(JobFault::Damaged)?;
        let whole = groups.bytes.len() == (end - begin) as usize;
        let proof = (begin, groups.bytes.as_slice());
        if !whole || !groups::prove(proof, &groups.values, groups.length, hash) {
            return Err(JobFault::Damaged);
        }
        let (from, to) = ((part.0 - begin) as usize, (part.1 - begin) as usize);
        let bytes = if keep && self.cache().is_some() {
            let part = groups.bytes[from..to].to_vec();
            self.unwritten = Some((song, index, Unwritten::Part(begin, groups)));
            part
        } else {
            let mut bytes = groups.bytes;
            bytes.truncate(to);
            bytes.drain(..from);
            bytes
        };
        Ok(JobReply::Fragment { index, bytes })
    }

    /// Writes to the cache what the last job has left for it. To be called after every answer.
    pub fn finish(&mut self) {
        if let Some((song, index, unwritten)) = self.unwritten.take()
            && let Some(cache) = self.cache()
        {
            match unwritten {
                Unwritten::Whole(bytes) => cache.keep_fragment(song, index, &bytes),
                Unwritten::Part(begin, groups) => cache.keep_part(song, index, begin, &groups),
            }
        }
    }

    fn recall_peers(&self) -> Done {
        let records = self.cache().map(Cache::peers).unwrap_or_default();
        Ok(JobReply::Peers { records })
    }

    fn remember_peers(&self, records: &[Record]) -> Done {
        if let Some(cache) = self.cache() {
            cache.keep_peers(records);
        }
        Ok(JobReply::Done)
    }

    fn scan(&self, source: SourceId) -> Done {
        let manifest = self.store.sources.scan(source)?;
        Ok(JobReply::Described { manifest })
    }

    fn read_source(
        &self,
        source: SourceId,
        index: u32,
        place: (u64, u32),
        hash: ContentHash,
    ) -> Done {
        let bytes = self.store.sources.read(source, place, hash)?;
        Ok(JobReply::Fragment { index, bytes })
    }

    fn cache(&self) -> Option<&Cache> {
        self.store.cache.as_ref()
    }
}

/// The result of a job before it becomes a reply.
type Done = Result<JobReply, JobFault>;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use crate::testing::{TempDir, song};

    fn with_cache(dir: &TempDir) -> ClientStore {
        let cache = Cache::open(dir.path().join("cache"), 1 << 20);
        ClientStore {
            cache: Some(cache.expect("a directory of our own")),
            sources: Sources::default(),
        }
    }

    fn keep(manifest: &Manifest, index: u32, keep: bool, bytes: Vec<u8>) -> ClientJob {
        ClientJob::CacheFragment {
            song: manifest.song.id,
            index,
            hash: manifest.fragments[index as usize].hash,
            keep,
            bytes,
        }
    }

    fn recall(manifest: &Manifest, index: u32) -> ClientJob {
        let fragment = &manifest.fragments[index as usize];
        ClientJob::CachedFragment {
            song: manifest.song.id,
            index,
            part: (0, fragment.length),
            length: fragment.length,
            hash: fragment.hash,
        }
    }

    /// The next process finds a played song in the cache, with all fragments and its manifest.
    #[test]
    fn what_was_heard_is_not_fetched_again() {
        let dir = TempDir::new();
        let (manifest, pieces) = song(3, &[100, 200]);
        let mut worker = with_cache(&dir).worker();
        let described = JobReply::Described {
            manifest: manifest.clone(),
        };
        let keep_manifest = ClientJob::CacheManifest {
            manifest: manifest.clone(),
        };
        assert_eq!(worker.run(keep_manifest), JobReply::Done);
        for (index, bytes) in (0..).zip(pieces.clone()) {
            let reply = worker.run(keep(&manifest, index, true, bytes));
            assert!(matches!(reply, JobReply::Fragment { .. }));
        }
        worker.finish();

        let mut later = with_cache(&dir).worker();
        let prefix = SongPrefix::from(manifest.song.id);
        assert_eq!(later.run(ClientJob::CachedManifest { prefix }), described);
        for (index, bytes) in (0..).zip(pieces) {
            let fragment = JobReply::Fragment { index, bytes };
            assert_eq!(later.run(recall(&manifest, index)), fragment);
        }
    }

    /// The bytes come back in the allocation they came in. Damaged bytes do not come back.
    #[test]
    fn a_fragment_is_checked_and_not_copied() {
        let (manifest, pieces) = song(3, &[100, 200]);
        let dir = TempDir::new();
        for store in [with_cache(&dir), ClientStore::default()] {
            let mut worker = store.worker();
            let bytes = pieces[1].clone();
            let address = bytes.as_ptr();
            let reply = worker.run(keep(&manifest, 1, false, bytes));
            let JobReply::Fragment { index: 1, bytes } = reply else {
                panic!("{reply:?}");
            };
            assert_eq!(bytes.as_ptr(), address);
            let missing = JobReply::Failed(JobFault::NotFound);
            assert_eq!(worker.run(recall(&manifest, 1)), missing);
            let damaged = JobReply::Failed(JobFault::Damaged);
            assert_eq!(worker.run(keep(&manifest, 1, true, vec![0; 200])), damaged);
        }
    }

    #[test]
    fn a_file_is_scanned_and_read_by_its_number() {
        let dir = TempDir::new();
        let path = dir.path().join("x.bin");
        fs::write(&path, b"some bytes").expect("a directory of our own");
        let store = with_cache(&dir);
        let source = store.sources.add(&path);
        let mut worker = store.worker();
        let reply = worker.run(ClientJob::Scan { source });
        let JobReply::Described { manifest } = reply else {
            panic!("{reply:?}");
        };
        let read = ClientJob::ReadSource {
            source,
            index: 0,
            offset: 0,
            length: 10,
            hash: manifest.fragments[0].hash,
        };
        let bytes = b"some bytes".to_vec();
        assert_eq!(worker.run(read), JobReply::Fragment { index: 0, bytes });
        store.sources.forget(source);
        assert!(matches!(
            worker.run(ClientJob::Scan { source }),
            JobReply::Failed(JobFault::Invalid(_))
        ));
    }
}
