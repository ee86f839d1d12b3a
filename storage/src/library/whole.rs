//! The hash of a whole file, made while its fragments come: a commit then reads nothing back.
//!
//! Each fragment counts that has proved to be what the manifest says, if it comes in order and to
//! this worker; that is how clients and nodes send. A song of which a fragment came otherwise, or
//! before a restart, is read at its commit. What was hashed in a transaction that is rolled back may
//! be of a manifest that is no longer there: all is forgotten then.

use std::cell::RefCell;

use roles::contract::id::{ContentHash, SongId};

/// The uploads that are being hashed, the one that got a fragment last at the end.
#[derive(Debug, Default)]
pub(super) struct Wholes(RefCell<Vec<Whole>>);

#[derive(Debug)]
struct Whole {
    song: SongId,
    /// The fragment that comes next.
    next: u32,
    hasher: Box<blake3::Hasher>,
}

impl Wholes {
    /// Takes a fragment that is what the manifest says.
    pub(super) fn add(&self, song: SongId, index: u32, bytes: &[u8]) {
        let mut wholes = self.0.borrow_mut();
        let mut whole = match wholes.iter().position(|whole| whole.song == song) {
            Some(at) => wholes.remove(at),
            None => Whole::of(song),
        };
        if whole.next == index {
            whole.hasher.update(bytes);
            whole.next += 1;
        }
        if wholes.len() >= WHOLES_MAX {
            wholes.remove(0);
        }
        if whole.next > 0 {
            wholes.push(whole);
        }
    }

    /// Ends a song: whether its `count` fragments were seen and have this hash together.
    pub(super) fn prove(&self, song: SongId, count: u32, hash: &ContentHash) -> bool {
        let mut wholes = self.0.borrow_mut();
        let Some(at) = wholes.iter().position(|whole| whole.song == song) else {
            return false;
        };
        let whole = wholes.remove(at);
        whole.next == count && whole.hasher.finalize() == hash.0
    }

    /// Another manifest of this song is there.
    pub(super) fn forget(&self, song: SongId) {
        self.0.borrow_mut().retain(|whole| whole.song != song);
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

impl Whole {
    fn of(song: SongId) -> Self {
        let (next, hasher) = (0, Box::default());
        Whole { song, next, hasher }
    }
}

/// Most uploads hashed at once, of 2 KiB each: as many as one client sends.
const WHOLES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(bytes: &[u8]) -> ContentHash {
        ContentHash(*blake3::hash(bytes).as_bytes())
    }

    /// Only what came in order, and as a whole, proves a song; a fragment that comes twice does no harm.
    #[test]
    fn a_song_is_proved_by_its_fragments_in_order() {
        let wholes = Wholes::default();
        let prove = |song, indexes: &[u32], count| {
            for index in indexes {
                wholes.add(song, *index, &[b"ab", b"cd", b"ef"][*index as usize][..]);
            }
            wholes.prove(song, count, &hash(b"abcdef"))
        };
        assert!(prove(SongId(1), &[0, 1, 1, 2, 0], 3));
        assert!(!prove(SongId(1), &[], 3), "it has ended");
        assert!(!prove(SongId(2), &[0, 2, 1], 3));
        assert!(!prove(SongId(3), &[0, 1], 3));
        assert!(!prove(SongId(4), &[1, 2], 3));
        assert!(!prove(SongId(5), &[0, 1, 2], 4));
    }

    /// The uploads that wait longest are given up for new ones.
    #[test]
    fn uploads_that_never_end_take_no_memory() {
        let wholes = Wholes::default();
        for song in 0..100 {
            wholes.add(SongId(song), 0, b"ab");
        }
        assert_eq!(wholes.0.borrow().len(), WHOLES_MAX);
        assert!(wholes.prove(SongId(99), 1, &hash(b"ab")));
        assert!(!wholes.prove(SongId(0), 1, &hash(b"ab")));
    }
}
