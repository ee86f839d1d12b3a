//! A song on its way to one data node that stores it: offered, given fragment by fragment,
//! committed.
//!
//! Owns which fragments the taker lacks, and how many are on their way. A client that uploads a
//! song and a data node that makes a copy send it in this way. Which node is to take the song, and
//! what follows from a failure, is the sender's business.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::contract::id::SongId;
use crate::contract::message::{Audio, Message};
use crate::contract::song::Manifest;

/// Times that the taker may list the fragments that it lacks. Once is normal; more mean that it has
/// lost something that it took.
const WANTED_MAX: u32 = 3;

/// A song offered to one taker.
#[derive(Debug)]
pub(crate) struct Transfer {
    manifest: Manifest,
    /// The sender is a data node, so the taker has no further copies to make.
    copy: bool,
    missing: VecDeque<u32>,
    /// Fragments being read or on their way.
    under_way: usize,
    /// How often the taker has listed the fragments that it lacks.
    wanted: u32,
}

/// What follows from an answer of the taker.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The song is stored, in so many copies.
    Stored(u8),
    /// The taker lacks fragments, or has taken one: [`Transfer::next`] says what to send.
    GoesOn,
    /// No honest taker answers so, or the taker has lost what it took once too often.
    Senseless,
}

/// What to send to the taker.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// These fragments.
    Fragments(Vec<u32>),
    /// The commit: every fragment has arrived.
    Commit(Message),
    /// Nothing before the next answer.
    Nothing,
}

impl Transfer {
    /// A song that is to be offered.
    pub(crate) fn new(manifest: Manifest, copy: bool) -> Self {
        Transfer {
            manifest,
            copy,
            missing: VecDeque::new(),
            under_way: 0,
            wanted: 0,
        }
    }

    /// The question that begins the transfer.
    pub(crate) fn offer(&self) -> Message {
        Message::Audio(Audio::Offer {
            manifest: self.manifest.clone(),
            copy: self.copy,
        })
    }

    /// The question that gives a fragment, whose bytes follow it.
    pub(crate) fn give(&self, index: u32) -> Message {
        let song = self.song();
        Message::Audio(Audio::Give { song, index })
    }

    fn song(&self) -> SongId {
        self.manifest.song.id
    }

    /// Takes an answer of the taker.
    pub(crate) fn on_told(&mut self, answer: &Audio) -> Told {
        let goes_on = match answer {
            Audio::Stored { copies } => return Told::Stored(*copies),
            Audio::Taken => self.on_taken(),
            Audio::Wanted { missing } => self.on_wanted(missing),
            Audio::ListSongs { .. }
            | Audio::SongPage { .. }
            | Audio::Describe { .. }
            | Audio::Described { .. }
            | Audio::Fetch { .. }
            | Audio::FetchPart { .. }
            | Audio::Chunk { .. }
            | Audio::ChunkPart { .. }
            | Audio::Offer { .. }
            | Audio::Give { .. }
            | Audio::Commit { .. } => None,
        };
        goes_on.map_or(Told::Senseless, |()| Told::GoesOn)
    }

    fn on_taken(&mut self) -> Option<()> {
        self.under_way = self.under_way.checked_sub(1)?;
        Some(())
    }

    fn on_wanted(&mut self, missing: &[(u32, u32)]) -> Option<()> {
        let missing = self.manifest.missing(missing)?;
        self.wanted += 1;
        // A taker that keeps losing fragments would be served for ever.
        if self.under_way > 0 || self.wanted > WANTED_MAX {
            return None;
        }
        self.missing = missing;
        Some(())
    }

    /// What to send now, with at most so many fragments under way at once.
    pub(crate) fn next(&mut self, most: usize) -> Next {
        let room = most.saturating_sub(self.under_way).min(self.missing.len());
        self.under_way += room;
        if room > 0 {
            Next::Fragments(self.missing.drain(..room).collect())
        } else if self.under_way == 0 && self.missing.is_empty() {
            let (song, copy) = (self.song(), self.copy);
            Next::Commit(Message::Audio(Audio::Commit { song, copy }))
        } else {
            Next::Nothing
        }
    }

    /// Whether fragments are missing and none is under way.
    pub(crate) fn is_held_back(&self) -> bool {
        self.under_way == 0 && !self.missing.is_empty()
    }

    /// Whether the taker has begun to take the song.
    pub(crate) fn has_begun(&self) -> bool {
        self.wanted > 0
    }

    /// Bytes of the fragments that are missing and not under way.
    pub(crate) fn bytes_missing(&self) -> u64 {
        let lengths = self.missing.iter().map(|index| self.length(*index));
        lengths.sum()
    }

    fn length(&self, index: u32) -> u64 {
        let fragment = self.manifest.fragments.get(index as usize);
        fragment.map_or(0, |fragment| u64::from(fragment.length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::id::ContentHash;
    use crate::contract::song::{Fragment, Part};
    use alloc::vec;

    /// A song of three fragments.
    fn song() -> Transfer {
        let hash = ContentHash([7; 32]);
        let fragment = Fragment {
            length: 10,
            start_ms: 0,
            part: Part::Audio,
            hash,
        };
        Transfer::new(Manifest::of(hash, vec![fragment; 3]), true)
    }

    fn wanted(ranges: &[(u32, u32)]) -> Audio {
        let missing = ranges.to_vec();
        Audio::Wanted { missing }
    }

    /// The taker lacks two fragments. Both are given one after the other, then comes the commit.
    #[test]
    fn what_is_missing_is_given_before_the_commit() {
        let mut song = song();
        assert_eq!(song.on_told(&wanted(&[(1, 3)])), Told::GoesOn);
        assert_eq!(song.bytes_missing(), 20);
        assert_eq!(song.next(1), Next::Fragments(vec![1]));
        assert_eq!(song.next(1), Next::Nothing);
        assert_eq!(song.on_told(&Audio::Taken), Told::GoesOn);
        assert_eq!(song.next(1), Next::Fragments(vec![2]));
        assert_eq!(song.on_told(&Audio::Taken), Told::GoesOn);
        assert!(matches!(song.next(1), Next::Commit(_)));
        let stored = Audio::Stored { copies: 2 };
        assert_eq!(song.on_told(&stored), Told::Stored(2));
    }

    /// A taker that takes fragments and lists them as missing again is given up.
    #[test]
    fn a_taker_that_keeps_losing_fragments_is_given_up() {
        let mut song = song();
        for _ in 0..WANTED_MAX {
            assert_eq!(song.on_told(&wanted(&[(0, 1)])), Told::GoesOn);
            assert_eq!(song.next(4), Next::Fragments(vec![0]));
            assert_eq!(song.on_told(&Audio::Taken), Told::GoesOn);
        }
        assert_eq!(song.on_told(&wanted(&[(0, 1)])), Told::Senseless);
    }

    #[test]
    fn an_answer_to_nothing_makes_no_sense() {
        let mut song = song();
        assert_eq!(song.on_told(&Audio::Taken), Told::Senseless);
        assert_eq!(song.on_told(&wanted(&[(2, 9)])), Told::Senseless);
    }
}
