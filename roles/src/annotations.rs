//! What stands in the documents of listeners: the form of their subjects and bodies, kind by kind.
//!
//! | kind | subject | body |
//! |---|---|---|
//! | star | what is starred: 0 song, 1 album, 2 artist; its id | empty |
//! | rating | the same | one byte, 1 to 5 |
//! | plays | song; the library that counts | [`Plays`] |
//! | playlist, entries, left | see [`playlist`] | |
//!
//! Numbers are big end first. A body that does not have its form is left out by who reads it: a later
//! version may have written it.

pub mod playlist;

use alloc::vec::Vec;

use crate::contract::document::{AccountId, Document, Key, Kind, Play};
use crate::contract::id::{AlbumId, ArtistId, SongId};
use crate::contract::message::StoreId;

/// Plays that a counter remembers, to see whether one is told again.
const RECENT: usize = 16;

/// What can be starred and rated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A song.
    Song(SongId),
    /// An album.
    Album(AlbumId),
    /// An artist.
    Artist(ArtistId),
}

impl Subject {
    /// The bytes of a subject.
    pub fn encode(self) -> Vec<u8> {
        let (of, id) = match self {
            Subject::Song(SongId(id)) => (0, id),
            Subject::Album(AlbumId(id)) => (1, id),
            Subject::Artist(ArtistId(id)) => (2, id),
        };
        let mut bytes = Vec::from([of]);
        bytes.extend(id.to_be_bytes());
        bytes
    }

    /// Reads the bytes of a subject.
    pub fn decode(bytes: &[u8]) -> Option<Subject> {
        let (of, id) = bytes.split_first()?;
        let id = u128::from_be_bytes(id.try_into().ok()?);
        match of {
            0 => Some(Subject::Song(SongId(id))),
            1 => Some(Subject::Album(AlbumId(id))),
            2 => Some(Subject::Artist(ArtistId(id))),
            _ => None,
        }
    }
}

/// The name of a star.
pub fn star(owner: AccountId, of: Subject) -> Key {
    Key {
        owner,
        kind: Kind::STAR,
        subject: of.encode(),
    }
}

/// The name of a rating.
pub fn rating(owner: AccountId, of: Subject) -> Key {
    Key {
        kind: Kind::RATING,
        ..star(owner, of)
    }
}

/// Reads a rating, from 1 to 5.
pub fn stars_of(body: &[u8]) -> Option<u8> {
    let [stars] = body else { return None };
    (1..=5).contains(stars).then_some(*stars)
}

/// How often one library has counted a song. Each library counts by itself, and what all have counted
/// is the sum: two halves of a cluster that count alone lose nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plays {
    /// How many plays.
    pub count: u64,
    /// The clock of the last one, see [`crate::contract::document::Version`].
    pub last: u64,
    /// The tokens of the latest ones, the last behind.
    pub recent: Vec<u64>,
}

impl Plays {
    /// The name of the counter of a library. Its identity is that of the library, not of the node: a
    /// library that begins anew must not go on from 0 under the old name.
    pub fn key(owner: AccountId, song: SongId, store: StoreId) -> Key {
        let mut subject = song.0.to_be_bytes().to_vec();
        subject.extend(store.0.to_be_bytes());
        Key {
            owner,
            kind: Kind::PLAYS,
            subject,
        }
    }

    /// The song of a counter.
    pub fn song_of(key: &Key) -> Option<SongId> {
        let id = key.subject.get(..16).filter(|_| key.subject.len() == 24)?;
        Some(SongId(u128::from_be_bytes(id.try_into().ok()?)))
    }

    /// Counts a play. False: it was counted before.
    pub fn count(&mut self, play: &Play) -> bool {
        if self.recent.contains(&play.token) {
            return false;
        }
        if self.recent.len() == RECENT {
            self.recent.remove(0);
        }
        self.recent.push(play.token);
        self.count = self.count.saturating_add(1);
        self.last = self.last.max(play.clock);
        true
    }

    /// Adds what another library has counted. A play that both were told counts once, as long as it is
    /// among the latest of both: a client asks a second data node only within seconds.
    pub fn add(&mut self, other: &Plays) {
        let both = |token: &&u64| self.recent.contains(token);
        let twice = other.recent.iter().filter(both).count() as u64;
        self.count = self.count.saturating_add(other.count.saturating_sub(twice));
        self.last = self.last.max(other.last);
        self.recent.extend(&other.recent);
    }

    /// The bytes of a body.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + 8 * self.recent.len());
        bytes.extend(self.count.to_be_bytes());
        bytes.extend(self.last.to_be_bytes());
        bytes.extend(self.recent.iter().flat_map(|token| token.to_be_bytes()));
        bytes
    }

    /// Reads a body.
    pub fn decode(body: &[u8]) -> Option<Plays> {
        let mut words = body.chunks_exact(8);
        let numbers: Vec<u64> = (words.by_ref())
            .filter_map(|word| word.try_into().ok().map(u64::from_be_bytes))
            .collect();
        let (&[count, last], recent) = numbers.split_first_chunk()?;
        let fits = words.remainder().is_empty() && recent.len() <= RECENT;
        fits.then(|| Plays {
            count,
            last,
            recent: recent.to_vec(),
        })
    }

    /// What a document counts, with its song.
    pub fn of(document: &Document) -> Option<(SongId, Plays)> {
        let song = Plays::song_of(&document.key)?;
        Some((song, Plays::decode(document.body.as_ref()?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(token: u64) -> Play {
        Play {
            owner: AccountId::LISTENER,
            song: SongId(1),
            token,
            clock: token,
        }
    }

    #[test]
    fn subjects_come_back() {
        for subject in [
            Subject::Song(SongId(7)),
            Subject::Album(AlbumId(8)),
            Subject::Artist(ArtistId(9)),
        ] {
            assert_eq!(Subject::decode(&subject.encode()), Some(subject));
        }
        assert_eq!(Subject::decode(&[3; 17]), None);
        assert_eq!(Subject::decode(&[0; 16]), None);
        assert_eq!(Subject::decode(&[]), None);
    }

    /// A play that is told twice to one library, or to two, counts once.
    #[test]
    fn repeated_play_counts_once() {
        let (mut one, mut two) = (Plays::default(), Plays::default());
        assert!(one.count(&play(1)));
        assert!(!one.count(&play(1)));
        assert!(one.count(&play(2)));
        assert!(two.count(&play(2)));
        assert!(two.count(&play(3)));
        let mut all = Plays::default();
        all.add(&one);
        all.add(&two);
        assert_eq!((all.count, all.last), (3, 3));
    }

    /// A counter stays small, and comes back from its bytes.
    #[test]
    fn counter_comes_back() {
        let mut plays = Plays::default();
        for token in 1..=100 {
            assert!(plays.count(&play(token)));
        }
        let bytes = plays.encode();
        assert_eq!(bytes.len(), 16 + 8 * RECENT);
        assert_eq!(Plays::decode(&bytes), Some(plays));
        assert_eq!(Plays::decode(&bytes[..9]), None);
        assert_eq!(Plays::decode(&[0; 8 * 19]), None);
    }
}
