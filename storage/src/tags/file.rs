//! A file of which the tags are read.

use std::io::{Read, Seek, SeekFrom};

/// A file of which parts are read. What cannot be read is missing, as what lies past the end is.
pub(super) struct File<'s, S> {
    source: &'s mut S,
    /// Its length.
    pub(super) bytes: u64,
}

impl<'s, S: Read + Seek> File<'s, S> {
    /// The file of `bytes` bytes behind `source`.
    pub(super) fn new(source: &'s mut S, bytes: u64) -> Self {
        File { source, bytes }
    }

    /// The bytes from `offset` on, `length` or as many as there are.
    pub(super) fn at(&mut self, offset: u64, length: u64) -> Vec<u8> {
        let length = length.min(self.bytes.saturating_sub(offset));
        let mut bytes = Vec::new();
        if length > 0 && self.source.seek(SeekFrom::Start(offset)).is_ok() {
            // No more than the file has: doubling would take up to twice as much.
            bytes.reserve_exact(length as usize);
            let _ = self.source.by_ref().take(length).read_to_end(&mut bytes);
        }
        bytes
    }

    /// Exactly `N` bytes from `offset` on.
    pub(super) fn array<const N: usize>(&mut self, offset: u64) -> Option<[u8; N]> {
        self.at(offset, N as u64).try_into().ok()
    }
}
