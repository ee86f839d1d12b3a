//! Songs in the trash: removed for now, and for good when their time is over.
//!
//! Whether a song is in the trash stands in its *mark*, apart from the song. Every data node keeps
//! every mark, because a node that does not hold the song may hold it later. A song that was never
//! in the trash has no mark.
//!
//! Marks of one song merge by one order, on every node the same whatever arrives first: the higher
//! version wins; of two marks with one version, "here" beats "in the trash", because a song that is
//! kept too long can be removed again. A tombstone beats every mark, for good, and takes its place.
//!
//! No clock decides. A mark carries how long the song has been in the trash and how long it stays.
//! Each node counts both on while it runs, so a clock that is wrong, or was set, ends no song's time.

use bincode::{Decode, Encode};

use super::id::SongId;
use super::limits::MARK_VERSION_MAX;
use super::song::Song;

/// Where one song stands: the last change that a node knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Mark {
    /// The song. The node need not hold it.
    pub song: SongId,
    /// The number of the change, from 1; each change is one more than the last known one. At most
    /// [`MARK_VERSION_MAX`]. 0 stands for a song without a mark.
    pub version: u64,
    /// In the trash; otherwise taken out of it again.
    pub thrown: bool,
    /// Seconds since it came into the trash, counted while nodes run; 0 if it is not there.
    pub age_s: u64,
    /// Seconds until it is removed for good, counted likewise; 0 if it is not in the trash.
    pub left_s: u64,
}

impl Mark {
    /// What is known of a song without a mark.
    pub fn none(song: SongId) -> Mark {
        Mark {
            song,
            version: 0,
            thrown: false,
            age_s: 0,
            left_s: 0,
        }
    }

    /// The change after this one: into the trash for `keep_s` seconds.
    pub fn throw(&self, keep_s: u64) -> Mark {
        Mark {
            version: self.version.saturating_add(1),
            thrown: true,
            left_s: keep_s,
            ..Mark::none(self.song)
        }
    }

    /// The change after this one: out of the trash.
    pub fn restore(&self) -> Mark {
        Mark {
            version: self.version.saturating_add(1),
            ..Mark::none(self.song)
        }
    }

    /// Whether this mark replaces `other` of the same song.
    pub fn outranks(&self, other: &Mark) -> bool {
        self.rank() > other.rank()
    }

    /// Whether a change of this mark would still have a version.
    pub fn is_possible(&self) -> bool {
        self.version <= MARK_VERSION_MAX
    }

    fn rank(&self) -> (u64, bool) {
        (self.version, !self.thrown)
    }

    /// A number for digests: two nodes with equal sums of it have the same marks, barring a
    /// collision. Ages do not count, because they differ between nodes.
    pub fn digest(&self) -> u64 {
        let folded = self.song.0 ^ (self.song.0 >> 64);
        let mixed = (folded as u64) ^ (self.version << 1 | u64::from(self.thrown));
        // SplitMix64's last steps: each bit of the input changes half of the output.
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What a user wants to become of a song.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Fate {
    /// Into the trash.
    Trash,
    /// Out of the trash.
    Here,
    /// Removed for good, wherever it is.
    Gone,
    /// Removed for good if it is in the trash.
    Emptied,
}

/// A song in the trash, as a router sees it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Trashed {
    /// The song.
    pub song: Song,
    /// The version of its mark.
    pub version: u64,
    /// Seconds since it came into the trash.
    pub age_s: u64,
    /// Seconds until it is removed for good, if the nodes go on running.
    pub left_s: u64,
    /// Copies on live data nodes.
    pub copies: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SONG: SongId = SongId(7);

    /// Whatever the order in which two nodes receive three changes, they end with the same mark.
    #[test]
    fn marks_merge_alike_in_any_order() {
        let first = Mark::none(SONG).throw(60);
        let (restored, thrown) = (first.restore(), first.throw(60));
        let marks = [first, restored, thrown];
        let merge = |order: [usize; 3]| {
            let mut best = Mark::none(SONG);
            for n in order {
                if marks[n].outranks(&best) {
                    best = marks[n];
                }
            }
            best
        };
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ] {
            assert_eq!(merge(order), restored);
        }
    }

    /// An older change that arrives late changes nothing, and neither does the same change twice.
    #[test]
    fn older_mark_does_not_replace_a_newer_one() {
        let thrown = Mark::none(SONG).throw(60);
        let restored = thrown.restore();
        assert!(!thrown.outranks(&restored));
        assert!(!restored.outranks(&restored));
    }

    /// The digest sees version and side, and not the age.
    #[test]
    fn digest_is_of_the_change_alone() {
        let thrown = Mark::none(SONG).throw(60);
        let older = Mark {
            age_s: 30,
            left_s: 30,
            ..thrown
        };
        assert_eq!(thrown.digest(), older.digest());
        assert_ne!(thrown.digest(), thrown.restore().digest());
    }
}
