//! What listeners say: small documents, one for each fact.
//!
//! A star, a rating, a run of songs in a playlist is one document each, so that two listeners who write
//! at the same moment seldom meet. Every data node keeps every document; every router serves all of
//! them from memory.
//!
//! Documents with one key merge by one order, on every node the same whatever arrives first: the
//! larger [`Version`] wins. A document that is deleted leaves its version behind, for good: a node that
//! was away for years, and still has the text, must lose to it. What is deleted under a key costs some
//! sixty bytes, and is used again when the key is written again.
//!
//! A node keeps kinds that it does not know and passes them on, so that a later version may add some.

use alloc::vec::Vec;

use bincode::{Decode, Encode};

use super::id::SongId;
use super::limits::{
    CLOCK_AHEAD_MS_MAX, CLOCK_MAX, DOCUMENT_BYTES_MAX, DOCUMENTS_AT_ONCE_MAX, DOCUMENTS_BUCKETS,
    PAGE_BYTES_MAX, SUBJECT_BYTES_MAX,
};
use super::message::Holder;

/// Whose documents they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct AccountId(pub u128);

impl AccountId {
    /// The one account of a cluster in which nobody has made any.
    pub const LISTENER: AccountId = AccountId(u128::from_be_bytes(*b"listener........"));
}

/// What a document is about. The numbers are for ever; one without a name here is kept and passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Kind(pub u16);

impl Kind {
    /// A starred song, album or artist.
    pub const STAR: Kind = Kind(1);
    /// The rating of a song, album or artist.
    pub const RATING: Kind = Kind(2);
    /// How often a song was played, and when last, as one library has counted it.
    pub const PLAYS: Kind = Kind(3);
    /// The name of a playlist.
    pub const PLAYLIST: Kind = Kind(4);
    /// A run of songs in a playlist, with its place.
    pub const ENTRIES: Kind = Kind(5);
    /// A song of such a run that has left it.
    pub const LEFT: Kind = Kind(6);
    /// What a listener is playing, from machine to machine.
    pub const QUEUE: Kind = Kind(7);
    /// A place within a song.
    pub const BOOKMARK: Kind = Kind(8);
    /// What a listener shares with others.
    pub const SHARE: Kind = Kind(9);
    /// A listener.
    pub const ACCOUNT: Kind = Kind(10);

    /// Whether every listener may write documents of this kind.
    pub fn is_annotation(self) -> bool {
        (Kind::STAR..=Kind::SHARE).contains(&self)
    }
}

/// Names one document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Key {
    /// Whose it is.
    pub owner: AccountId,
    /// What it is about.
    pub kind: Kind,
    /// Which one; at most [`SUBJECT_BYTES_MAX`] bytes. Its form follows from the kind, see
    /// [`crate::annotations`].
    pub subject: Vec<u8>,
}

/// When a document was written: a hybrid logical clock, and who wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Version {
    /// Milliseconds since 1970 in the upper 48 bits, a count in the lower 16, see [`clock_at`]. At
    /// most [`CLOCK_MAX`].
    pub clock: u64,
    /// The writer: two of them may have one clock.
    pub writer: u128,
}

/// One document, or what is left of one that was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Document {
    /// Its name.
    pub key: Key,
    /// When it was written.
    pub version: Version,
    /// Its bytes, at most [`DOCUMENT_BYTES_MAX`]; none: it is deleted.
    pub body: Option<Vec<u8>>,
}

/// A song that a listener has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Play {
    /// Who heard it.
    pub owner: AccountId,
    /// What was heard.
    pub song: SongId,
    /// Drawn for this play: one that is told twice counts once.
    pub token: u64,
    /// When, as a [`Version::clock`].
    pub clock: u64,
}

/// A question for documents of one owner and kind, in the order of their subjects.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Reading {
    /// Whose.
    pub owner: AccountId,
    /// Which.
    pub kind: Kind,
    /// Only subjects that begin with these bytes.
    pub within: Vec<u8>,
    /// The page begins after this subject.
    pub after: Option<Vec<u8>>,
    /// Documents on the page, at most [`super::limits::DOCUMENTS_PAGE_MAX`]; none asks for the clock
    /// and the data nodes alone.
    pub limit: u32,
}

/// The answer to a [`Reading`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Documents {
    /// Those that are not deleted, by subject.
    pub documents: Vec<Document>,
    /// The next page begins after this subject; none at the end.
    pub next: Option<Vec<u8>>,
    /// A clock that is later than every document that the router knows: what is written next takes a
    /// later one.
    pub clock: u64,
    /// Live data nodes that take documents, in random order; at most
    /// [`super::limits::HOLDERS_MAX`].
    pub writers: Vec<Holder>,
}

impl Version {
    /// The milliseconds since 1970 at which it was written.
    pub fn unix_ms(&self) -> u64 {
        self.clock >> 16
    }
}

/// The first clock of a millisecond since 1970.
pub fn clock_at(unix_ms: u64) -> u64 {
    unix_ms.min(CLOCK_MAX >> 16) << 16
}

/// Whether a clock is so far ahead of a node's own that it cannot be right.
pub fn is_ahead(clock: u64, unix_ms: u64) -> bool {
    clock > clock_at(unix_ms.saturating_add(CLOCK_AHEAD_MS_MAX))
}

impl Document {
    /// Whether this document replaces `other` of the same key.
    pub fn outranks(&self, other: &Document) -> bool {
        self.rank() > other.rank()
    }

    fn rank(&self) -> Rank<'_> {
        rank(self.version, self.body.as_deref())
    }

    /// Why no node may keep it, if so.
    pub fn fault(&self) -> Option<&'static str> {
        let body = self.body.as_ref().map_or(0, Vec::len);
        if self.key.subject.len() > SUBJECT_BYTES_MAX {
            Some("the subject of a document has at most 64 bytes")
        } else if body > DOCUMENT_BYTES_MAX {
            Some("a document has at most 64 kB")
        } else if self.version.clock == 0 || self.version.clock > CLOCK_MAX {
            Some("the version of a document is impossible")
        } else {
            None
        }
    }

    /// Bytes that it takes in the memory of a router, with the node of the map that holds it.
    pub fn weight(&self) -> usize {
        let body = self.body.as_ref().map_or(0, Vec::len);
        DOCUMENT_OVERHEAD + self.key.subject.len() + body
    }

    /// A number for digests and for the check of what lies on a disk: two nodes with equal sums of it
    /// have the same documents, barring a collision.
    pub fn digest(&self) -> u64 {
        let mut hash = self.key.hash();
        hash = step(hash, self.version.clock);
        hash = fold(hash, &self.version.writer.to_be_bytes());
        match &self.body {
            Some(body) => mix(fold(step(hash, 1), body)),
            None => mix(step(hash, 0)),
        }
    }
}

/// What decides between two documents of one key.
pub type Rank<'a> = (Version, bool, Option<&'a [u8]>);

/// The rank of a document: the larger one stands. Of two with one version, which only a faulty writer
/// makes, the deleted one wins, then the larger text: on every node alike.
pub fn rank(version: Version, body: Option<&[u8]>) -> Rank<'_> {
    (version, body.is_none(), body)
}

impl Key {
    /// The bucket in which two nodes compare it, below [`DOCUMENTS_BUCKETS`].
    pub fn bucket(&self) -> u16 {
        (mix(self.hash()) % DOCUMENTS_BUCKETS as u64) as u16
    }

    fn hash(&self) -> u64 {
        let hash = fold(0xcbf2_9ce4_8422_2325, &self.owner.0.to_be_bytes());
        fold(step(hash, u64::from(self.kind.0)), &self.subject)
    }
}

/// Why a node may not take these documents and plays in one message, if so.
pub fn fault_of(documents: &[Document], plays: &[Play]) -> Option<&'static str> {
    let many = documents.len() + plays.len();
    let bytes: usize = documents.iter().map(Document::weight).sum();
    if many == 0 || many > DOCUMENTS_AT_ONCE_MAX || bytes > PAGE_BYTES_MAX {
        return Some("1 to 512 documents are written at once, of 512 kB together");
    }
    if plays.iter().any(|play| play.clock > CLOCK_MAX) {
        return Some("the time of a play is impossible");
    }
    documents.iter().find_map(Document::fault)
}

/// Takes eight bytes into a hash (FNV-1a, by words).
fn step(hash: u64, word: u64) -> u64 {
    (hash ^ word)
        .wrapping_mul(0x0000_0100_0000_01b3)
        .rotate_left(29)
}

fn fold(hash: u64, bytes: &[u8]) -> u64 {
    let words = bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    // The length tells a text from one with zeros behind it.
    words.fold(step(hash, bytes.len() as u64), |hash, word| {
        mix(step(hash, word))
    })
}

/// SplitMix64's last steps: each bit of the input changes half of the output.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Bytes of a document beside subject and body: the rest of its key, its version, the places of both
/// in memory, and its share of the map.
const DOCUMENT_OVERHEAD: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn document(clock: u64, writer: u128, body: Option<&[u8]>) -> Document {
        Document {
            key: Key {
                owner: AccountId::LISTENER,
                kind: Kind::STAR,
                subject: vec![7],
            },
            version: Version { clock, writer },
            body: body.map(<[u8]>::to_vec),
        }
    }

    /// Whatever the order in which two nodes receive four writes, they end with the same document.
    #[test]
    fn documents_merge_alike_in_any_order() {
        let all = [
            document(1, 9, Some(b"a")),
            document(2, 1, Some(b"a")),
            document(2, 1, Some(b"b")),
            document(2, 1, None),
        ];
        for turn in 0..24 {
            let mut order = all.to_vec();
            order.rotate_left(turn % 4);
            order.swap(turn / 4 % 4, turn / 8);
            let best = order.into_iter().reduce(
                |best, next| {
                    if next.outranks(&best) { next } else { best }
                },
            );
            assert_eq!(best.as_ref(), Some(&all[3]));
        }
        assert!(!all[2].outranks(&all[2]));
    }

    /// The digest sees every part of a document, and tells a deleted one from an empty one.
    #[test]
    fn digest_is_of_all_parts() {
        let one = document(1, 9, Some(b""));
        let mut others = vec![
            document(2, 9, Some(b"")),
            document(1, 8, Some(b"")),
            document(1, 9, None),
            document(1, 9, Some(b"\0")),
            document(1, 9, Some(b"\0\0")),
        ];
        let mut other = one.clone();
        other.key.kind = Kind::RATING;
        others.push(other);
        let mut digests: Vec<u64> = others.iter().map(Document::digest).collect();
        digests.push(one.digest());
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 7);
    }

    /// Ten thousand stars spread over the buckets.
    #[test]
    fn buckets_are_alike() {
        let mut counts = vec![0; DOCUMENTS_BUCKETS];
        for n in 0..10_000_u128 {
            let mut key = document(1, 1, None).key;
            key.subject = n.to_be_bytes().to_vec();
            counts[usize::from(key.bucket())] += 1;
        }
        let most = counts.iter().max().copied().unwrap_or(0);
        assert!(most < 3 * 10_000 / DOCUMENTS_BUCKETS, "{most}");
    }

    #[test]
    fn bounds_are_named() {
        let mut long = document(1, 1, Some(b""));
        long.key.subject = vec![0; SUBJECT_BYTES_MAX + 1];
        assert!(long.fault().is_some_and(|why| why.contains("subject")));
        let big = document(1, 1, Some(&vec![0; DOCUMENT_BYTES_MAX + 1]));
        assert!(big.fault().is_some_and(|why| why.contains("64 kB")));
        assert!(document(0, 1, None).fault().is_some());
        assert!(document(CLOCK_MAX + 1, 1, None).fault().is_some());
        assert!(fault_of(&[], &[]).is_some());
    }

    #[test]
    fn clock_five_minutes_ahead_is_refused() {
        let now = 1_800_000_000_000;
        assert!(!is_ahead(clock_at(now + CLOCK_AHEAD_MS_MAX), now));
        assert!(is_ahead(clock_at(now + CLOCK_AHEAD_MS_MAX) + 1, now));
        assert!(is_ahead(1 << 17, 0) == (CLOCK_AHEAD_MS_MAX < 2));
    }
}
