//! Test support of this crate: temporary directories, and songs made from a seed.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use roles::contract::id::ContentHash;
use roles::contract::song::{DecoderPrefix, Format, Fragment, Manifest, Part, Song};

/// A temporary directory, removed when the value is dropped.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    /// Makes a directory that no other test uses.
    pub(crate) fn new() -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("dispotify-storage-{}-{count}", process::id()));
        fs::create_dir_all(&path).expect("the system's directory for such things is writable");
        TempDir(path)
    }

    /// The path of the directory.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

/// The mode bits of a file or folder.
pub(crate) fn mode(path: &Path) -> u32 {
    let meta = fs::metadata(path).expect("it is there");
    meta.permissions().mode() & 0o7777
}

/// Sets the mode bits of a file or folder.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is our own");
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A song with fragments of these lengths: its manifest and its pieces. `seed` varies the bytes.
pub(crate) fn song(seed: u8, lengths: &[usize]) -> (Manifest, Vec<Vec<u8>>) {
    let pieces: Vec<Vec<u8>> = (0..)
        .zip(lengths)
        .map(|(i, &n)| piece(seed, i, n))
        .collect();
    (manifest_of(&pieces), pieces)
}

fn piece(seed: u8, index: u32, length: usize) -> Vec<u8> {
    let bytes = (0u32..).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
    bytes
        .map(|b| b ^ seed ^ (index as u8).rotate_left(3))
        .take(length)
        .collect()
}

/// The manifest of a file cut into these pieces: a head, then sound of a second each.
pub(crate) fn manifest_of(pieces: &[Vec<u8>]) -> Manifest {
    let hash = ContentHash(*blake3::hash(&pieces.concat()).as_bytes());
    let fragments: Vec<Fragment> = (0..)
        .zip(pieces)
        .map(|(i, bytes)| slice(i, bytes))
        .collect();
    let manifest = Manifest::of(hash, fragments);
    Manifest {
        song: Song {
            title: format!("song {hash}"),
            artist: "artist".into(),
            album: "album".into(),
            genre: "genre".into(),
            year: 1971,
            disc: 1,
            track: 2,
            duration_ms: 1000 * pieces.len() as u32,
            format: Format::Flac,
            ..manifest.song
        },
        sample_rate: 44_100,
        channels: 2,
        picture: true,
        prefix: DecoderPrefix::Bytes(vec![1, 2, 3]),
        ..manifest
    }
}

fn slice(index: u32, bytes: &[u8]) -> Fragment {
    Fragment {
        length: bytes.len() as u32,
        start_ms: index.saturating_sub(1) * 1000,
        part: if index == 0 { Part::Head } else { Part::Audio },
        hash: ContentHash(*blake3::hash(bytes).as_bytes()),
    }
}
