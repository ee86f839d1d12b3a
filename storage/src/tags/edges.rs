//! A song as a file of which only head and tail can be read: there its tags lie.

use std::io::{self, Read, Seek, SeekFrom};

use roles::contract::song::{Manifest, Part};

/// The file of a manifest. Fragments are loaded when something in them is read; sound reads as
/// zeros, and behind the bound the file ends.
pub(crate) struct Edges<'m, F> {
    manifest: &'m Manifest,
    load: F,
    at: u64,
    /// The fragment that was loaded last: where it begins, and its bytes.
    held: Option<(u64, Vec<u8>)>,
    /// Bytes that were loaded.
    pub(crate) loaded: u64,
    /// A fragment that was wanted could not be had.
    pub(crate) lacks: bool,
}

impl<'m, F: FnMut(u32) -> Option<Vec<u8>>> Edges<'m, F> {
    /// The file whose fragments `load` gives by their index; none if one cannot be had.
    pub(crate) fn of(manifest: &'m Manifest, load: F) -> Self {
        Edges {
            manifest,
            load,
            at: 0,
            held: None,
            loaded: 0,
            lacks: false,
        }
    }

    /// Makes the fragment at the current position the one that is held. Returns where it ends, and
    /// whether it has bytes.
    fn hold(&mut self) -> (u64, bool) {
        if let Some((start, bytes)) = &self.held {
            let end = start + bytes.len() as u64;
            if (*start..end).contains(&self.at) {
                return (end, true);
            }
        }
        let mut start = 0;
        let is_cut = self.manifest.sound().is_some();
        for (index, fragment) in (0u32..).zip(&self.manifest.fragments) {
            let end = start + u64::from(fragment.length);
            if self.at < end {
                let wanted = !is_cut || fragment.part != Part::Audio;
                return (end, wanted && self.take(start, index));
            }
            start = end;
        }
        (self.manifest.song.bytes, false)
    }

    fn take(&mut self, start: u64, index: u32) -> bool {
        if self.loaded >= LOADED_BYTES_MAX {
            return false;
        }
        let bytes = (self.load)(index);
        self.lacks |= bytes.is_none();
        self.loaded += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        self.held = bytes.map(|bytes| (start, bytes));
        self.held.is_some()
    }
}

impl<F: FnMut(u32) -> Option<Vec<u8>>> Read for Edges<'_, F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.manifest.song.bytes {
            return Ok(0);
        }
        let (end, has_bytes) = self.hold();
        let most = end.saturating_sub(self.at).min(into.len() as u64) as usize;
        match self.held.as_ref().filter(|_| has_bytes) {
            Some((start, bytes)) => {
                let from = (self.at - start) as usize;
                let most = most.min(bytes.len().saturating_sub(from));
                into[..most].copy_from_slice(&bytes[from..from + most]);
                self.at += most as u64;
                Ok(most)
            }
            // A tag that says it is longer than the bound ends here, and takes no more memory.
            None if self.loaded >= LOADED_BYTES_MAX => Ok(0),
            None => {
                into[..most].fill(0);
                self.at += most as u64;
                Ok(most)
            }
        }
    }
}

impl<F> Seek for Edges<'_, F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let moved = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.manifest.song.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = moved.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// Most bytes of one song that are loaded: tags lie in front of larger covers, or behind smaller
/// ones. The reader holds all of a tag in memory, in the process that serves as well.
const LOADED_BYTES_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use roles::contract::id::ContentHash;
    use roles::contract::song::Fragment;

    fn manifest(parts: &[Part]) -> Manifest {
        let part = |part: &Part| Fragment {
            length: 4,
            start_ms: 0,
            part: *part,
            hash: ContentHash([0; 32]),
        };
        Manifest::of(ContentHash([0; 32]), parts.iter().map(part).collect())
    }

    /// Head and tail are read where they lie, and sound is not loaded.
    #[test]
    fn only_the_edges_are_loaded() {
        let manifest = manifest(&[Part::Head, Part::Audio, Part::Tail]);
        let mut asked = Vec::new();
        let mut file = Edges::of(&manifest, |index| {
            asked.push(index);
            Some(vec![index as u8 + 1; 4])
        });
        let mut all = Vec::new();
        file.read_to_end(&mut all).expect("memory");
        assert_eq!(all, [1, 1, 1, 1, 0, 0, 0, 0, 3, 3, 3, 3]);
        assert_eq!((file.loaded, file.lacks), (8, false));
        assert_eq!(asked, [0, 2]);
    }

    /// A file without known sound is read wherever its tags may lie; what is lost reads as zeros.
    #[test]
    fn a_lost_fragment_is_noticed() {
        let manifest = manifest(&[Part::Head, Part::Head]);
        let mut file = Edges::of(&manifest, |index| (index == 0).then(|| vec![1; 4]));
        let mut all = Vec::new();
        file.read_to_end(&mut all).expect("memory");
        assert_eq!(all, [1, 1, 1, 1, 0, 0, 0, 0]);
        assert!(file.lacks);
    }
}
