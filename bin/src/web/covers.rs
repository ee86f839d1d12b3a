//! Covers, read from the first and last fragments of songs.
//!
//! Few covers are read at a time and the others wait, so a page of a hundred covers takes little
//! more memory than one cover: its fragments, the tag, and the image.

use std::collections::{BTreeSet, VecDeque};

use net::http::site::Exchange;
use roles::contract::id::{OperationId, SongId};
use roles::contract::song::{Fragment, Manifest};
use storage::tags::PICTURE_BYTES_MAX;

use super::workers::Pieces;

/// Covers read at once.
pub(super) const COVERS_AT_ONCE: usize = 2;

/// Most bytes of fragments that are read for one cover: the largest cover that tags give, in base
/// 64 as Ogg keeps it, and what lies beside it.
const PIECES_BYTES_MAX: u64 = 48_000_000;
const _: () = assert!(PIECES_BYTES_MAX > PICTURE_BYTES_MAX as u64 / 3 * 4);

/// The queue of cover requests, and the number being read.
#[derive(Debug, Default)]
pub(super) struct Covers {
    pub(super) line: VecDeque<(Exchange, SongId)>,
    pub(super) at_work: usize,
    /// Exchanges that want an empty answer instead of a 404 when a song has no cover, because a
    /// browser logs every 404 of a picture as an error of the page.
    pub(super) quiet: BTreeSet<Exchange>,
}

/// A cover that is being read.
#[derive(Debug)]
pub(super) struct Cover {
    pub(super) operation: OperationId,
    pieces: Option<Pieces>,
    /// The file offset at which each fragment begins.
    starts: Vec<u64>,
    /// Ranges of fragment indices still to be read.
    ranges: VecDeque<(u32, u32)>,
}

impl Cover {
    pub(super) fn new(operation: OperationId) -> Self {
        Cover {
            operation,
            pieces: None,
            starts: Vec::new(),
            ranges: VecDeque::new(),
        }
    }

    /// Takes the song's manifest; returns whether the song can have a cover that is small enough.
    pub(super) fn on_opened(&mut self, exchange: Exchange, manifest: &Manifest) -> bool {
        let count = manifest.song.fragments;
        self.ranges = ranges(manifest).into();
        if !manifest.picture || self.ranges.is_empty() {
            return false;
        }
        self.starts = (0..count).map(|n| manifest.offset_of(n)).collect();
        self.pieces = Some(Pieces {
            exchange,
            format: manifest.song.format,
            length: manifest.song.bytes,
            parts: Vec::new(),
        });
        true
    }

    /// Removes and returns the next range of fragments to read.
    pub(super) fn next_range(&mut self) -> Option<(u32, u32)> {
        self.ranges.pop_front()
    }

    pub(super) fn on_fragment(&mut self, index: u32, bytes: Vec<u8>) {
        if let (Some(pieces), Some(start)) = (&mut self.pieces, self.starts.get(index as usize)) {
            pieces.parts.push((*start, bytes));
        }
    }

    /// Takes all pieces read so far.
    pub(super) fn take_pieces(&mut self) -> Option<Pieces> {
        self.pieces.take()
    }
}

/// The ranges of fragments in which a cover may lie; none if they are too many. The tags of a song
/// without sound lie at its beginning or its end.
fn ranges(manifest: &Manifest) -> Vec<(u32, u32)> {
    let fragments = &manifest.fragments;
    let count = fragments.len() as u32;
    let fits = manifest.silent_bytes() <= PIECES_BYTES_MAX;
    let (head, tail) = match manifest.sound() {
        Some(sound) if fits => sound,
        Some(_) => return Vec::new(),
        None if fits => (count, count),
        None => (
            fitting(fragments.iter()),
            count - fitting(fragments.iter().rev()),
        ),
    };
    let ranges = [(0, head), (tail, count)];
    ranges.into_iter().filter(|(a, b)| a < b).collect()
}

/// How many of the fragments together have at most half the bytes that may be read.
fn fitting<'f>(fragments: impl Iterator<Item = &'f Fragment>) -> u32 {
    let mut bytes = 0;
    let fits = |fragment: &&Fragment| {
        bytes += u64::from(fragment.length);
        bytes <= PIECES_BYTES_MAX / 2
    };
    fragments.take_while(fits).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use roles::contract::id::ContentHash;
    use roles::contract::song::{Format, Part};

    /// A song with a cover, of so many fragments of a million bytes before, in and behind its sound.
    fn manifest(head: u32, sound: u32, tail: u32) -> Manifest {
        let hash = ContentHash([7; 32]);
        let parts = [(Part::Head, head), (Part::Audio, sound), (Part::Tail, tail)];
        let fragments: Vec<Fragment> = parts
            .into_iter()
            .flat_map(|(part, count)| (0..count).map(move |_| part))
            .map(|part| Fragment {
                length: 1_000_000,
                start_ms: 0,
                part,
                hash,
            })
            .collect();
        let mut manifest = Manifest::of(hash, fragments);
        (manifest.song.format, manifest.picture) = (Format::Mp3, true);
        manifest
    }

    /// The largest cover that tags give, in base 64 as Ogg keeps it, lies in 43 fragments.
    #[test]
    fn a_large_cover_is_read_from_head_and_tail() {
        assert_eq!(ranges(&manifest(33, 5, 1)), [(0, 33), (38, 39)]);
        assert_eq!(ranges(&manifest(1, 5, 33)), [(0, 1), (6, 39)]);
        assert_eq!(ranges(&manifest(45, 5, 0)), [(0, 45)]);
        assert_eq!(ranges(&manifest(0, 5, 0)), []);
    }

    /// Of a head above the bound nothing is read. A song without sound has its tags at its ends.
    #[test]
    fn what_is_read_for_a_cover_is_bounded() {
        assert_eq!(ranges(&manifest(60, 5, 0)), []);
        assert_eq!(ranges(&manifest(20, 0, 0)), [(0, 20)]);
        assert_eq!(ranges(&manifest(200, 0, 0)), [(0, 24), (176, 200)]);
    }
}
