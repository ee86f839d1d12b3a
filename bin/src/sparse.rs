//! A file of which only some pieces are at hand.

use std::io::{self, Read, Seek, SeekFrom};

/// A file with only some pieces present; the gaps read as zeros.
pub(crate) struct Sparse {
    length: u64,
    parts: Vec<(u64, Vec<u8>)>,
    at: u64,
}

impl Sparse {
    /// A file of `length` bytes. Each part is its offset in the file and its bytes; parts come in
    /// order.
    pub(crate) fn new(length: u64, parts: Vec<(u64, Vec<u8>)>) -> Self {
        let at = 0;
        Sparse { length, parts, at }
    }

    /// The bytes present at the current position, if any, and where that piece or gap ends.
    fn here(&self) -> (Option<&[u8]>, u64) {
        for (start, bytes) in &self.parts {
            let end = start + bytes.len() as u64;
            if self.at < *start {
                return (None, *start);
            }
            if self.at < end {
                return (Some(&bytes[(self.at - start) as usize..]), end);
            }
        }
        (None, self.length)
    }
}

impl Read for Sparse {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (bytes, end) = self.here();
        let most = end.saturating_sub(self.at).min(into.len() as u64) as usize;
        match bytes {
            Some(bytes) => into[..most].copy_from_slice(&bytes[..most]),
            None => into[..most].fill(0),
        }
        self.at += most as u64;
        Ok(most)
    }
}

impl Seek for Sparse {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => add(self.length, by)?,
            SeekFrom::Current(by) => add(self.at, by)?,
        };
        Ok(self.at)
    }
}

fn add(at: u64, by: i64) -> io::Result<u64> {
    at.checked_add_signed(by)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}
