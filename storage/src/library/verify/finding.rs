//! The findings of a check: what is wrong with a library, and what to do about it.

use std::fmt;

use roles::contract::id::SongId;
use roles::contract::job::FragmentId;
use roles::contract::partition::Partition;
use roles::contract::song::ManifestFault;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The structure of the database is damaged; the text is SQLite's.
    Structure(String),
    /// A part of the check failed before its end.
    Unreadable {
        /// What.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A manifest cannot be read.
    ManifestUnreadable {
        /// Of which song.
        song: SongId,
        /// Why.
        reason: String,
    },
    /// A manifest cannot be true.
    Manifest {
        /// Of which song.
        song: SongId,
        /// What is wrong with it.
        fault: ManifestFault,
    },
    /// A fragment is not what its manifest says.
    Fragment {
        /// Which.
        fragment: FragmentId,
        /// What is wrong with it.
        flaw: FindingKind,
    },
    /// Every fragment matches its hash, but all together do not match the song's hash.
    Whole {
        /// Which song.
        song: SongId,
    },
    /// Rows that belong to nothing.
    Stray {
        /// What they are.
        what: &'static str,
        /// How many.
        rows: u64,
    },
    /// A stored total differs from the total computed from the songs.
    Total {
        /// Which.
        what: &'static str,
    },
    /// A running digest differs from the digest computed from the songs and tombstones.
    Digest {
        /// Of which partition.
        partition: Partition,
    },
    /// A song is committed or staged although it has a tombstone.
    Risen {
        /// Which.
        song: SongId,
    },
}

/// What is wrong with a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// Its bytes are not there.
    Missing,
    /// The fragment is longer or shorter than its manifest says.
    Length,
    /// Its bytes have been altered.
    Hash,
    /// The fragment cannot be read; the text says why.
    Unreadable(String),
    /// The node has quarantined the fragment and waits for good bytes.
    Quarantined,
}

impl Finding {
    /// A stable word for scripts. It never changes.
    pub fn kind(&self) -> &'static str {
        match self {
            Finding::Structure(_) => "structure",
            Finding::Unreadable { .. } => "unreadable",
            Finding::ManifestUnreadable { .. } | Finding::Manifest { .. } => "manifest",
            Finding::Fragment { .. } => "fragment",
            Finding::Whole { .. } => "whole",
            Finding::Stray { .. } => "stray",
            Finding::Total { .. } => "total",
            Finding::Digest { .. } => "digest",
            Finding::Risen { .. } => "risen",
        }
    }

    /// The song that the finding is about, if any.
    pub fn song(&self) -> Option<SongId> {
        match self {
            Finding::ManifestUnreadable { song, .. }
            | Finding::Manifest { song, .. }
            | Finding::Whole { song }
            | Finding::Risen { song } => Some(*song),
            Finding::Fragment { fragment, .. } => Some(fragment.song),
            Finding::Structure(_)
            | Finding::Unreadable { .. }
            | Finding::Stray { .. }
            | Finding::Total { .. }
            | Finding::Digest { .. } => None,
        }
    }

    /// The fragment that the finding is about, if any.
    pub fn fragment(&self) -> Option<u32> {
        if let Finding::Fragment { fragment, .. } = self {
            return Some(fragment.index);
        }
        None
    }

    /// What to do about the finding.
    pub fn cure(&self) -> &'static str {
        match self {
            Finding::Fragment { .. } => {
                "start the node: when it reads the fragment, within 20 days at the latest, it \
                 fetches it from another node that keeps the song (--set scrub.within=1h: sooner)"
            }
            Finding::Risen { .. } => "remove the song once more",
            Finding::Stray { .. } => "nothing: it only takes room",
            Finding::Structure(_)
            | Finding::Unreadable { .. }
            | Finding::ManifestUnreadable { .. }
            | Finding::Manifest { .. }
            | Finding::Whole { .. }
            | Finding::Total { .. }
            | Finding::Digest { .. } => {
                "if other nodes keep its songs: move library.db and the segments (segment.*) away \
                 and start the node, which fetches them again"
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Structure(said) => write!(f, "the database is damaged: {said}"),
            Finding::Unreadable { what, reason } => write!(f, "{what} cannot be read: {reason}"),
            Finding::ManifestUnreadable { song, reason } => {
                write!(f, "song {song}: its manifest cannot be read: {reason}")
            }
            Finding::Manifest { song, fault } => {
                write!(f, "song {song}: its manifest cannot be true: {fault}")
            }
            Finding::Fragment { fragment, flaw } => {
                write!(
                    f,
                    "song {}: fragment {} {flaw}",
                    fragment.song, fragment.index
                )
            }
            Finding::Whole { song } => write!(f, "song {song}: its fragments are another file"),
            Finding::Stray { what, rows } => write!(f, "{rows} {what}"),
            Finding::Total { what } => write!(f, "{what} noted is not the one there is"),
            Finding::Digest { partition } => {
                write!(f, "the digest of partition {} is wrong", partition.number())
            }
            Finding::Risen { song } => write!(f, "song {song} has been removed and is there"),
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FindingKind::Missing => f.write_str("is missing"),
            FindingKind::Length => f.write_str("does not have its length"),
            FindingKind::Hash => f.write_str("does not have its hash"),
            FindingKind::Unreadable(reason) => write!(f, "cannot be read: {reason}"),
            FindingKind::Quarantined => f.write_str("is set aside as damaged"),
        }
    }
}
