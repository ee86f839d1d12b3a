//! Songs of the simulated world: random bytes in small fragments, with true manifests.

use std::sync::Arc;

use roles::contract::id::{ContentHash, SongId};
use roles::contract::message::{Audio, Message};
use roles::contract::rng::Rng;
use roles::contract::song::{Fragment, Manifest, Part, Song};

/// A file that a user can upload, with its manifest.
#[derive(Clone, Debug)]
pub struct Tune {
    /// The manifest that a scan of the file gives.
    pub manifest: Manifest,
    /// The content of the file.
    pub bytes: Arc<[u8]>,
}

/// All files of a world; a source's number is its index.
#[derive(Clone, Debug, Default)]
pub struct Music {
    tunes: Vec<Tune>,
}

impl Music {
    /// `count` files of 1 to `fragments_max` fragments.
    pub fn compose(rng: &mut Rng, count: usize, fragments_max: u64) -> Music {
        let tunes = (0..count)
            .map(|number| {
                let fragments = 1 + rng.below(fragments_max.max(1)) as usize;
                Tune::compose(rng, number, fragments)
            })
            .collect();
        Music { tunes }
    }

    /// Adds a file with fragments of these lengths; gives its source's number.
    pub fn add(&mut self, rng: &mut Rng, lengths: &[usize]) -> u64 {
        let number = self.tunes.len();
        self.tunes.push(Tune::of(rng, number, lengths));
        number as u64
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.tunes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tunes.is_empty()
    }

    /// The file behind a source's number.
    pub fn tune(&self, source: u64) -> Option<&Tune> {
        self.tunes.get(source as usize)
    }

    /// The file that has this id.
    pub fn by_id(&self, song: SongId) -> Option<&Tune> {
        (self.tunes.iter()).find(|tune| tune.manifest.song.id == song)
    }

    /// The number of the tune with this id.
    pub fn source_of(&self, song: SongId) -> Option<u64> {
        let is_it = |source: &u64| self.tune(*source).is_some_and(|tune| tune.id() == song);
        (0..self.len() as u64).find(is_it)
    }

    /// The bytes a fragment must have.
    pub fn fragment(&self, song: SongId, index: u32) -> Option<&[u8]> {
        self.by_id(song)?.fragment(index)
    }
}

impl Tune {
    /// A file of so many fragments of 8 to 599 bytes each. The sizes are small because no simulated
    /// node depends on them.
    pub fn compose(rng: &mut Rng, number: usize, fragments: usize) -> Tune {
        let lengths: Vec<usize> = (0..fragments)
            .map(|_| 8 + rng.below(592) as usize)
            .collect();
        Tune::of(rng, number, &lengths)
    }

    fn of(rng: &mut Rng, number: usize, lengths: &[usize]) -> Tune {
        let total: usize = lengths.iter().sum();
        let mut bytes = Vec::with_capacity(total + 8);
        while bytes.len() < total {
            bytes.extend_from_slice(&rng.bits().to_le_bytes());
        }
        bytes.truncate(total);
        tag(number, &mut bytes, lengths);
        let manifest = manifest(number, &bytes, lengths);
        debug_assert_eq!(manifest.check(), Ok(()));
        let bytes = bytes.into();
        Tune { manifest, bytes }
    }

    /// The bytes of a fragment.
    pub fn fragment(&self, index: u32) -> Option<&[u8]> {
        let length = self.manifest.fragments.get(index as usize)?.length as usize;
        let from = self.manifest.offset_of(index) as usize;
        self.bytes.get(from..from + length)
    }

    /// The questions of a forger: an offer, the true fragments, and a commit, under the id of
    /// another content.
    pub fn forged(&self, lie: u64) -> Vec<(Message, Vec<u8>)> {
        let mut manifest = self.manifest.clone();
        manifest.hash = hash_of(&lie.to_le_bytes());
        let song = SongId::of(&manifest.hash);
        manifest.song.id = song;
        let gives = (0..manifest.song.fragments).map(|index| {
            let bytes = self.fragment(index).unwrap_or_default().to_vec();
            (Audio::Give { song, index }, bytes)
        });
        let gives: Vec<_> = gives.collect();
        let offer = Audio::Offer {
            manifest,
            copy: false,
        };
        let commit = Audio::Commit { song, copy: false };
        let all = [(offer, Vec::new())].into_iter().chain(gives);
        let all = all.chain([(commit, Vec::new())]);
        all.map(|(words, body)| (Message::Audio(words), body))
            .collect()
    }

    /// The song id of the file.
    pub fn id(&self) -> SongId {
        self.manifest.song.id
    }
}

/// The hash of some bytes.
pub fn hash_of(bytes: &[u8]) -> ContentHash {
    ContentHash(*blake3::hash(bytes).as_bytes())
}

/// Puts a tag with the album's artist in front of every second file that has room for it in a
/// fragment of its own.
fn tag(number: usize, bytes: &mut [u8], lengths: &[usize]) {
    let frame = [
        b"TPE2\0\0\0\x06\0\0\x03Band ",
        &[b'0' + (number % 4) as u8][..],
    ]
    .concat();
    let frame = [&frame[..7], &[(frame.len() - 10) as u8], &frame[8..]].concat();
    let tag = [b"ID3\x04\0\0\0\0\0", &[frame.len() as u8][..], &frame].concat();
    if is_tagged(number, lengths) && tag.len() <= lengths[0] {
        bytes[..tag.len()].copy_from_slice(&tag);
    }
}

fn is_tagged(number: usize, lengths: &[usize]) -> bool {
    number % 2 == 1 && lengths.len() > 1
}

fn manifest(number: usize, bytes: &[u8], lengths: &[usize]) -> Manifest {
    let hash = hash_of(bytes);
    let mut from = 0;
    let fragments: Vec<Fragment> = (lengths.iter().enumerate())
        .map(|(index, length)| {
            let slice = &bytes[from..from + length];
            from += length;
            Fragment {
                length: *length as u32,
                start_ms: index as u32 * 10_000,
                part: match index {
                    0 if is_tagged(number, lengths) => Part::Head,
                    _ => Part::Audio,
                },
                hash: hash_of(slice),
            }
        })
        .collect();
    let manifest = Manifest::of(hash, fragments);
    let song = Song {
        title: format!("Song {number}"),
        artist: format!("Artist {}", number % 5),
        album: format!("Album, \"{}\" <b>% \u{1f3b5}", number % 3),
        genre: String::new(),
        year: 1970 + number as u16,
        disc: 1,
        track: number as u16,
        duration_ms: lengths.len() as u32 * 10_000,
        ..manifest.song
    };
    Manifest { song, ..manifest }
}
