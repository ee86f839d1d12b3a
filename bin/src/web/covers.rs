//! Covers and further tags, read from the first and last fragments of songs.
//!
//! Few covers are read at a time, fragment by fragment, and the others wait in line. Requests for one
//! cover wait for one reading of it, and the covers read last are kept on disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use net::http::site::Exchange;
use roles::contract::id::{OperationId, SongId};
use roles::contract::song::{Format, Fragment, Manifest};
use storage::tags::PICTURE_BYTES_MAX;

use super::cover_file::CoverFile;

/// Covers read at once.
const COVERS_AT_ONCE: usize = 2;

/// Covers kept on disk although nobody reads them, and the most bytes of them.
const KEPT_MAX: usize = 64;
const KEPT_BYTES_MAX: u64 = 64 << 20;

/// Most bytes of fragments that are read for one cover: the largest cover that tags give, in base
/// 64 as Ogg keeps it, and what lies beside it.
const PIECES_BYTES_MAX: u64 = 48_000_000;
const _: () = assert!(PIECES_BYTES_MAX > PICTURE_BYTES_MAX as u64 / 3 * 4);

/// What is read out of a song.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    Cover,
    Tags,
}

/// The songs whose covers or tags are wanted, read and kept.
#[derive(Debug, Default)]
pub(super) struct Covers {
    line: VecDeque<(SongId, Wanted)>,
    waiting: BTreeMap<(SongId, Wanted), Vec<Exchange>>,
    pub(super) reading: BTreeMap<OperationId, Reading>,
    /// The one used last is the last.
    kept: VecDeque<(SongId, Arc<CoverFile>)>,
    /// Exchanges that want an empty answer instead of a 404 when a song has no cover, because a
    /// browser logs every 404 of a picture as an error of the page.
    pub(super) quiet: BTreeSet<Exchange>,
}

/// A cover that is being read, or tags.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) song: SongId,
    pub(super) wanted: Wanted,
    pub(super) format: Format,
    /// The fragments still to be read: index, and offset in the file.
    left: VecDeque<(u32, u64)>,
    /// The offset of the fragment that is awaited.
    pub(super) at: u64,
}

impl Covers {
    /// A cover that is at hand.
    pub(super) fn find(&mut self, song: SongId) -> Option<Arc<CoverFile>> {
        let place = self.kept.iter().position(|(other, _)| *other == song)?;
        let kept = self.kept.remove(place)?;
        let cover = Arc::clone(&kept.1);
        self.kept.push_back(kept);
        Some(cover)
    }

    /// Puts a request in line, behind others for the same.
    pub(super) fn wait(&mut self, exchange: Exchange, song: (SongId, Wanted)) {
        let waiting = self.waiting.entry(song).or_default();
        if waiting.is_empty() {
            match song.1 {
                // The tags of the song that plays stand before the covers of a whole grid.
                Wanted::Tags => self.line.push_front(song),
                Wanted::Cover => self.line.push_back(song),
            }
        }
        waiting.push(exchange);
    }

    /// The next song to be read, if there is room for one more reading.
    pub(super) fn next(&mut self) -> Option<(SongId, Wanted)> {
        match self.reading.len() < COVERS_AT_ONCE {
            true => self.line.pop_front(),
            false => None,
        }
    }

    /// Takes the requests that wait for a cover or for tags.
    pub(super) fn take_waiting(&mut self, song: (SongId, Wanted)) -> Vec<Exchange> {
        self.waiting.remove(&song).unwrap_or_default()
    }

    /// Removes a request. When it was the last one for what it waits for, that is not wanted: gives
    /// the operation that reads it.
    pub(super) fn leave(
        &mut self,
        exchange: Exchange,
        song: (SongId, Wanted),
    ) -> Option<OperationId> {
        let waiting = self.waiting.get_mut(&song)?;
        waiting.retain(|other| *other != exchange);
        if !waiting.is_empty() {
            return None;
        }
        self.waiting.remove(&song);
        self.line.retain(|other| *other != song);
        let mut reading = self.reading.iter();
        let of_song = reading.find(|(_, reading)| reading.what() == song);
        of_song.map(|(operation, _)| *operation)
    }

    /// Keeps a cover for those who ask next.
    pub(super) fn keep(&mut self, song: SongId, cover: &Arc<CoverFile>) {
        self.kept.push_back((song, Arc::clone(cover)));
        let bytes = |kept: &VecDeque<(SongId, Arc<CoverFile>)>| -> u64 {
            kept.iter().map(|(_, cover)| cover.bytes).sum()
        };
        while self.kept.len() > KEPT_MAX || bytes(&self.kept) > KEPT_BYTES_MAX {
            self.kept.pop_front();
        }
    }
}

impl Reading {
    pub(super) fn of((song, wanted): (SongId, Wanted)) -> Self {
        Reading {
            song,
            wanted,
            format: Format::Opaque,
            left: VecDeque::new(),
            at: 0,
        }
    }

    /// The song, and what is read out of it.
    pub(super) fn what(&self) -> (SongId, Wanted) {
        (self.song, self.wanted)
    }

    /// Takes the song's manifest; returns whether the song can have what is wanted, and that it is
    /// small enough.
    pub(super) fn on_opened(&mut self, manifest: &Manifest) -> bool {
        self.format = manifest.song.format;
        if !manifest.picture && self.wanted == Wanted::Cover {
            return false;
        }
        let ranges = ranges(manifest).into_iter();
        let indices = ranges.flat_map(|(first, end)| first..end);
        self.left = indices
            .map(|index| (index, manifest.offset_of(index)))
            .collect();
        !self.left.is_empty()
    }

    /// The index of the next fragment to read.
    pub(super) fn next_fragment(&mut self) -> Option<u32> {
        let (index, at) = self.left.pop_front()?;
        self.at = at;
        Some(index)
    }
}

/// The ranges of fragments in which a cover may lie; none if they are too many. The tags of a song
/// without sound lie at its beginning or its end.
pub(crate) fn ranges(manifest: &Manifest) -> Vec<(u32, u32)> {
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
    use roles::contract::song::Part;

    fn song(n: u8) -> SongId {
        SongId::of(&ContentHash([n; 32]))
    }

    fn exchange() -> Exchange {
        Exchange::of_test(1, 1)
    }

    /// Requests for one cover wait together, and the reading ends with the last of them.
    #[test]
    fn one_cover_is_read_once_for_all() {
        let (first, second) = (Exchange::of_test(1, 1), Exchange::of_test(2, 1));
        let mut covers = Covers::default();
        let cover = (song(1), Wanted::Cover);
        covers.wait(first, cover);
        covers.wait(second, cover);
        assert_eq!((covers.next(), covers.next()), (Some(cover), None));
        let operation = OperationId(7);
        covers.reading.insert(operation, Reading::of(cover));
        assert_eq!(covers.leave(first, cover), None);
        assert_eq!(covers.leave(second, cover), Some(operation));
        assert_eq!(covers.take_waiting(cover), []);
    }

    /// The tags of the song that plays do not wait behind the covers of a grid.
    #[test]
    fn tags_come_before_covers() {
        let mut covers = Covers::default();
        covers.wait(exchange(), (song(1), Wanted::Cover));
        covers.wait(exchange(), (song(2), Wanted::Tags));
        assert_eq!(covers.next(), Some((song(2), Wanted::Tags)));
    }

    /// What is kept has a bound in bytes.
    #[test]
    fn the_cover_unused_for_longest_is_not_kept() {
        let mut covers = Covers::default();
        covers.wait(exchange(), (song(1), Wanted::Cover));
        for n in 1..=3 {
            let cover = CoverFile::at("/nowhere/cover".into(), KEPT_BYTES_MAX / 2, "image/png");
            covers.keep(song(n), &Arc::new(cover));
            assert!(covers.find(song(1)).is_some());
        }
        assert!(covers.find(song(2)).is_none() && covers.find(song(3)).is_some());
    }

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
