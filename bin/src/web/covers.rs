//! Covers, read from the first and last fragments of songs.
//!
//! Few covers are read at a time and the others wait, so a page of a hundred covers takes little
//! more memory than one cover.

use std::collections::{BTreeSet, VecDeque};

use net::http::site::Exchange;
use roles::contract::id::{OperationId, SongId};
use roles::contract::song::{Manifest, Part};

use super::workers::Pieces;

/// Covers read at once.
pub(super) const COVERS_AT_ONCE: usize = 2;

/// Most bytes of fragments that are read for one cover.
const PIECES_BYTES_MAX: u64 = 8 << 20;

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
        let sounds = |index: &usize| manifest.fragments[*index].part == Part::Audio;
        let count = manifest.fragments.len();
        let head = (0..count).find(sounds).unwrap_or(count);
        let tail = (0..count).rfind(sounds).map_or(count, |last| last + 1);
        let silent = manifest.fragments.iter().filter(|f| f.part != Part::Audio);
        let bytes: u64 = silent.map(|f| u64::from(f.length)).sum();
        if !manifest.picture || bytes == 0 || bytes > PIECES_BYTES_MAX {
            return false;
        }
        let ranges = [(0, head as u32), (tail as u32, count as u32)];
        self.ranges = ranges.into_iter().filter(|(a, b)| a < b).collect();
        self.starts = (0..count as u32).map(|n| manifest.offset_of(n)).collect();
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
