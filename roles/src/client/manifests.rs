//! Manifests of the songs that are open: one of each, however many read it.
//!
//! A song of three hours has a thousand fragments, 50 kB to know; two hundred listeners of it
//! would hold ten megabytes of the same words.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};

use crate::contract::id::SongId;
use crate::contract::song::Manifest;

/// The manifests in use. Keeps none of them alive.
#[derive(Debug, Default)]
pub(super) struct Manifests {
    open: BTreeMap<SongId, Weak<Manifest>>,
}

impl Manifests {
    /// The same manifest, in the place of one that is open already if there is such a one.
    pub(super) fn share(&mut self, manifest: Manifest) -> Arc<Manifest> {
        let song = manifest.song.id;
        let open = self.open.get(&song).and_then(Weak::upgrade);
        // Two nodes may have cut the same file in two ways: each reader keeps to his own.
        if let Some(open) = open.filter(|open| **open == manifest) {
            return open;
        }
        // No more are remembered than songs are open.
        self.open.retain(|_, open| open.strong_count() > 0);
        let manifest = Arc::new(manifest);
        self.open.insert(song, Arc::downgrade(&manifest));
        manifest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::id::ContentHash;
    use crate::contract::song::{DecoderPrefix, Format, Song};
    use alloc::string::String;
    use alloc::vec::Vec;

    fn manifest(n: u8, sample_rate: u32) -> Manifest {
        let hash = ContentHash([n; 32]);
        let song = Song {
            id: SongId::of(&hash),
            title: String::new(),
            artist: String::new(),
            album: String::new(),
            genre: String::new(),
            year: 0,
            disc: 0,
            track: 0,
            duration_ms: 0,
            bytes: 0,
            format: Format::Opaque,
            fragments: 0,
        };
        Manifest {
            song,
            hash,
            sample_rate,
            channels: 2,
            picture: false,
            prefix: DecoderPrefix::None,
            fragments: Vec::new(),
        }
    }

    /// Readers of one song hold one manifest, and nothing of it is left after the last of them.
    #[test]
    fn readers_of_one_song_share_its_manifest() {
        let mut manifests = Manifests::default();
        let one = manifests.share(manifest(1, 44_100));
        let same = manifests.share(manifest(1, 44_100));
        assert!(Arc::ptr_eq(&one, &same));
        let other = manifests.share(manifest(2, 44_100));
        assert_eq!(*other, manifest(2, 44_100));
        drop((one, same));
        manifests.share(manifest(3, 44_100));
        assert_eq!(manifests.open.len(), 2);
    }

    /// A song that another node has cut otherwise is read as that node has cut it.
    #[test]
    fn each_reader_has_the_manifest_he_was_given() {
        let mut manifests = Manifests::default();
        let _one = manifests.share(manifest(1, 44_100));
        let other = manifests.share(manifest(1, 48_000));
        assert_eq!(*other, manifest(1, 48_000));
    }
}
