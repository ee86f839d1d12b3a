//! Identities of nodes, songs, jobs and questions.
//!
//! Each kind of number has its own type, so that two numbers cannot be swapped. Text forms are
//! lower-case hexadecimal and round-trip. Arithmetic on the hash ring lives in `hash_ring` and
//! `chord::arc`.

use alloc::string::String;
use core::fmt;

use bincode::{Decode, Encode};

/// A node's id: 128 random bits, drawn at its first start and stored in its data directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct NodeId(pub u128);

/// A song's id: the first 128 bits of the BLAKE3 hash of the file's bytes. The same file has the
/// same id on every node, and every copy can be checked against it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct SongId(pub u128);

/// An album's id: a hash of what makes it one album (see [`crate::albums`]), so every router, every
/// client and every restart agree about it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct AlbumId(pub u128);

/// An artist's id: a hash of the folded name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ArtistId(pub u128);

/// The number of a node's start. Each start raises it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Incarnation(pub u64);

/// A question's number, counted by the node that asks. Never used twice within one incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct RequestId(pub u64);

/// A job's number, counted by the node that orders the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// The number of a user's command, counted by the front end that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationId(pub u64);

/// The number of a file to be added, counted by the front end that named the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceId(pub u64);

/// BLAKE3-256 of a fragment's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ContentHash(pub [u8; 32]);

impl SongId {
    /// The id of a file whose BLAKE3 hash is `hash`.
    pub fn of(hash: &ContentHash) -> Self {
        let mut head = [0; 16];
        head.copy_from_slice(&hash.0[..16]);
        SongId(u128::from_be_bytes(head))
    }
}

macro_rules! hexadecimal {
    ($id:ident) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{:08x}", stringify!($id), (self.0 >> 96) as u32)
            }
        }

        impl $id {
            /// Reads the 32 hexadecimal digits that [`fmt::Display`] writes.
            pub fn parse(text: &str) -> Option<Self> {
                let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
                digits
                    .then(|| u128::from_str_radix(text, 16).ok().map($id))
                    .flatten()
            }
        }
    };
}

hexadecimal!(NodeId);
hexadecimal!(SongId);
hexadecimal!(AlbumId);
hexadecimal!(ArtistId);

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The leading hexadecimal digits of a song's id, as a person types them; 1 to 32 digits.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct SongPrefix {
    /// The digits, left-aligned in 128 bits; the bits past them are zero.
    bits: u128,
    /// Number of digits, 1 to 32 unless a peer has sent another one.
    digits: u8,
}

impl SongPrefix {
    /// Reads 1 to 32 hexadecimal digits of either case.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = u8::try_from(text.len())
            .ok()
            .filter(|n| (1..=32).contains(n))?;
        if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let value = u128::from_str_radix(text, 16).ok()?;
        Some(SongPrefix {
            bits: value << (128 - 4 * u32::from(digits)),
            digits,
        })
    }

    /// Whether `song` begins with these digits.
    pub fn matches(&self, song: SongId) -> bool {
        (self.first()..=self.last()).contains(&song)
    }

    /// The smallest id with these digits.
    pub fn first(&self) -> SongId {
        SongId(self.bits)
    }

    /// The largest id with these digits. A peer may send any number of digits, so the number is
    /// clamped.
    pub fn last(&self) -> SongId {
        let free = 128 - 4 * u32::from(self.digits.min(32));
        // A shift by all 128 bits would overflow.
        let low = if free == 128 {
            u128::MAX
        } else {
            (1 << free) - 1
        };
        SongId(self.bits | low)
    }

    /// Whether all 32 digits are given.
    pub fn is_whole(&self) -> bool {
        self.digits >= 32
    }
}

impl From<SongId> for SongPrefix {
    fn from(song: SongId) -> Self {
        SongPrefix {
            bits: song.0,
            digits: 32,
        }
    }
}

impl fmt::Display for SongPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole: String = alloc::format!("{:032x}", self.bits);
        f.write_str(&whole[..usize::from(self.digits.clamp(1, 32))])
    }
}

impl fmt::Debug for SongPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// An id that a person copies from a listing can be parsed again.
    #[test]
    fn ids_round_trip_through_text() {
        let song = SongId(0x00ab_cdef << 96 | 7);
        assert_eq!(SongId::parse(&song.to_string()), Some(song));
        assert_eq!(SongId::parse("ab"), None);
        assert_eq!(SongId::parse("+0000000000000000000000000000000"), None);
    }

    #[test]
    fn a_prefix_matches_what_begins_with_it() {
        let prefix = SongPrefix::parse("0Ab").expect("three digits");
        assert!(prefix.matches(SongId(0x0ab << 116)));
        assert!(prefix.matches(SongId(0x0abf << 112)));
        assert!(!prefix.matches(SongId(0x0ac << 116)));
        assert_eq!(prefix.to_string(), "0ab");
        assert_eq!(SongPrefix::parse(""), None);
        assert_eq!(SongPrefix::parse("xyz"), None);
        assert_eq!(SongPrefix::parse(&"0".repeat(33)), None);
    }

    /// A number of digits that no honest peer sends neither panics nor matches by accident.
    #[test]
    fn an_absurd_digit_count_is_clamped() {
        let none = SongPrefix { bits: 0, digits: 0 };
        assert!(none.matches(SongId(u128::MAX)));
        let many = SongPrefix {
            bits: 5,
            digits: 255,
        };
        assert!(many.matches(SongId(5)));
        assert_eq!(many.to_string().len(), 32);
        assert_eq!(none.to_string().len(), 1);
    }
}
