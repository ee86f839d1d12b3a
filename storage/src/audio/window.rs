//! A bounded view of a file, for scanners.
//!
//! Holds one window of bytes and moves it as it is asked. What lies past the end of the file is
//! short or a doubt, never an error: only the source's own failures are errors.

use std::io::{self, Read, Seek, SeekFrom};

/// Why a scanner gave up.
#[derive(Debug)]
pub(super) enum Uncertainty {
    /// The source could not be read.
    Broken(io::Error),
    /// The bytes are not what they seemed to be.
    Unsure(&'static str),
}

/// What a scanner is sure of.
pub(super) type Sure<T> = Result<T, Uncertainty>;

impl From<io::Error> for Uncertainty {
    fn from(error: io::Error) -> Self {
        Uncertainty::Broken(error)
    }
}

/// The doubt that says `why`.
pub(super) fn unsure<T>(why: &'static str) -> Sure<T> {
    Err(Uncertainty::Unsure(why))
}

/// A file of which at most [`WINDOW_BYTES`] are in memory.
pub(super) struct Window<'a, S> {
    source: &'a mut S,
    bytes: u64,
    /// Where in the file the buffer begins.
    start: u64,
    buffer: Vec<u8>,
}

impl<'a, S: Read + Seek> Window<'a, S> {
    /// A view of the first `bytes` bytes of `source`.
    pub(super) fn new(source: &'a mut S, bytes: u64) -> Self {
        Window {
            source,
            bytes,
            start: 0,
            buffer: Vec::new(),
        }
    }

    /// How long the file is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Up to `want` bytes (at most a window) from `offset` on; fewer at the end of the file.
    pub(super) fn up_to(&mut self, offset: u64, want: usize) -> Sure<&[u8]> {
        if offset >= self.bytes {
            return Ok(&[]);
        }
        let end = offset.saturating_add(want as u64).min(self.bytes);
        if offset < self.start || end > self.end() {
            self.fill(offset)?;
        }
        let from = (offset - self.start) as usize;
        let to = from.saturating_add(want).min(self.buffer.len());
        Ok(self.buffer.get(from..to).unwrap_or(&[]))
    }

    /// Exactly `N` bytes from `offset` on.
    pub(super) fn array<const N: usize>(&mut self, offset: u64) -> Sure<[u8; N]> {
        let slice = self.up_to(offset, N)?;
        slice
            .try_into()
            .or_else(|_| unsure("the file ends too early"))
    }

    /// Where `byte` first stands within `from..to`.
    pub(super) fn find(&mut self, byte: u8, from: u64, to: u64) -> Sure<Option<u64>> {
        self.position(from, to, |b| b == byte)
    }

    /// Where the zeros end that stand at `from`; `to` if nothing else stands before it.
    pub(super) fn after_zeros(&mut self, from: u64, to: u64) -> Sure<u64> {
        Ok(self.position(from, to, |b| b != 0)?.unwrap_or(to))
    }

    fn position(
        &mut self,
        mut from: u64,
        to: u64,
        is_it: impl Fn(u8) -> bool,
    ) -> Sure<Option<u64>> {
        let to = to.min(self.bytes);
        while from < to {
            // One byte is asked for, all that is at hand is searched: the window stays where it is.
            self.up_to(from, 1)?;
            let at_hand = (from.saturating_sub(self.start) as usize).min(self.buffer.len());
            let slice = &self.buffer[at_hand..];
            let slice = &slice[..slice.len().min((to - from) as usize)];
            if slice.is_empty() {
                return Ok(None);
            }
            if let Some(found) = slice.iter().position(|b| is_it(*b)) {
                return Ok(Some(from + found as u64));
            }
            from += slice.len() as u64;
        }
        Ok(None)
    }

    /// A whole table of at most [`TABLE_BYTES_MAX`] bytes.
    pub(super) fn table(&mut self, offset: u64, length: u64) -> Sure<Vec<u8>> {
        let inside = offset
            .checked_add(length)
            .is_some_and(|end| end <= self.bytes);
        if length > TABLE_BYTES_MAX || !inside {
            return unsure("a table is too long");
        }
        let mut table = Vec::with_capacity(length as usize);
        while (table.len() as u64) < length {
            let want = (length as usize - table.len()).min(WINDOW_BYTES);
            let slice = self.up_to(offset + table.len() as u64, want)?;
            if slice.is_empty() {
                return unsure("a table ends too early");
            }
            table.extend_from_slice(slice);
        }
        Ok(table)
    }

    fn end(&self) -> u64 {
        self.start + self.buffer.len() as u64
    }

    fn fill(&mut self, offset: u64) -> io::Result<()> {
        self.start = offset;
        self.buffer.clear();
        // The whole room at once: reading to the end then never asks for more.
        self.buffer.reserve_exact(WINDOW_BYTES);
        let room = (WINDOW_BYTES as u64).min(self.bytes - offset);
        self.source.seek(SeekFrom::Start(offset))?;
        self.source
            .by_ref()
            .take(room)
            .read_to_end(&mut self.buffer)?;
        Ok(())
    }
}

/// Most of the file in memory: long reads from a disk, small beside a fragment.
pub(super) const WINDOW_BYTES: usize = 256 * 1024;

/// Longest table held: the sample sizes of a song of a day and a half.
const TABLE_BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn file() -> Vec<u8> {
        (0..WINDOW_BYTES * 2 + 100)
            .map(|i| (i % 251) as u8)
            .collect()
    }

    /// Bytes are the file's own, wherever the window stood before.
    #[test]
    fn any_place_can_be_read_in_any_order() {
        let file = file();
        let mut source = Cursor::new(&file);
        let mut window = Window::new(&mut source, file.len() as u64);
        for offset in [0, WINDOW_BYTES - 2, 5, 2 * WINDOW_BYTES + 90, WINDOW_BYTES] {
            let want = &file[offset..(offset + 8).min(file.len())];
            assert_eq!(window.up_to(offset as u64, 8).expect("memory"), want);
        }
        let past = window.up_to(u64::MAX, 8).expect("memory");
        assert!(past.is_empty());
    }

    /// A source shorter than announced is short, and does not loop.
    #[test]
    fn a_shrunken_file_ends_early() {
        let mut source = Cursor::new(vec![1; 10]);
        let mut window = Window::new(&mut source, 1000);
        assert_eq!(window.up_to(8, 4).expect("memory"), [1, 1]);
        assert!(window.array::<4>(8).is_err());
        assert_eq!(window.find(7, 0, 1000).expect("memory"), None);
        assert!(window.table(0, 100).is_err());
    }

    #[test]
    fn a_byte_is_found_across_windows() {
        let mut file = vec![0; 2 * WINDOW_BYTES];
        file[WINDOW_BYTES + 7] = 9;
        let mut source = Cursor::new(&file);
        let mut window = Window::new(&mut source, file.len() as u64);
        let place = WINDOW_BYTES as u64 + 7;
        let end = file.len() as u64;
        assert_eq!(window.find(9, 3, end).expect("memory"), Some(place));
        assert_eq!(window.find(9, place + 1, end).expect("memory"), None);
        assert_eq!(window.find(9, 0, place).expect("memory"), None);
    }
}
