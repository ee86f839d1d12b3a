//! Manifests of the open songs: one manifest for each song, shared by all its readers.
//!
//! The manifest of a song of three hours has a thousand fragments and takes 50 kB. Two hundred
//! listeners with a copy each would hold ten megabytes.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};

use crate::contract::id::SongId;
use crate::contract::song::Manifest;

/// The manifests in use. It holds weak references, so a manifest is freed with its last reader.
#[derive(Debug, Default)]
pub(super) struct Manifests {
    open: BTreeMap<SongId, Weak<Manifest>>,
}

impl Manifests {
    /// Returns the shared copy of an equal manifest if one is open, otherwise this manifest.
    pub(super) fn share(&mut self, manifest: Manifest) -> Arc<Manifest> {
        let song = manifest.song.id;
        let open = self.open.get(&song).and_then(Weak::upgrade);
        // Two data nodes may have cut the same file into fragments in two ways. Each reader keeps
        // the manifest that it was given.
        if let Some(open) = open.filter(|open| **open == manifest) {
            return open;
        }
        // Dead entries are removed here, so the map holds at most one entry for each open song.
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
    use alloc::vec::Vec;

    fn manifest(n: u8, sample_rate: u32) -> Manifest {
        Manifest {
            sample_rate,
            ..Manifest::of(ContentHash([n; 32]), Vec::new())
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

    /// A reader keeps the manifest it was given, even if another manifest of the song is open.
    #[test]
    fn each_reader_has_the_manifest_he_was_given() {
        let mut manifests = Manifests::default();
        let _one = manifests.share(manifest(1, 44_100));
        let other = manifests.share(manifest(1, 48_000));
        assert_eq!(*other, manifest(1, 48_000));
    }
}
