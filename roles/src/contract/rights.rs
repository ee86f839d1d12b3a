//! Purposes of keys.
//!
//! The cluster key carries every right. Keys for one purpose are derived from it; each purpose
//! includes those before it. What each message needs is in [`permissions`](super::permissions).

use core::fmt;

use bincode::{Decode, Encode};

/// A purpose of a key. A later one includes the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Right {
    /// Lists, searches, fetches songs, sees the state of the cluster.
    Listen,
    /// Adds songs as well.
    Upload,
    /// Removes songs as well.
    Admin,
    /// Speaks as a node. Only the cluster key carries it.
    Node,
}

impl Right {
    /// The purposes for which a key can be derived. A node has the cluster key itself, because it
    /// checks the keys for every purpose.
    pub const DERIVED: [Right; 3] = [Right::Listen, Right::Upload, Right::Admin];

    /// The name on the command line and in key files.
    pub fn name(self) -> &'static str {
        match self {
            Right::Listen => "listen",
            Right::Upload => "upload",
            Right::Admin => "admin",
            Right::Node => "node",
        }
    }

    /// The derived purpose with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let named = |right: &Right| right.name() == name;
        Right::DERIVED.into_iter().find(named)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for right in Right::DERIVED {
            assert_eq!(Right::from_name(right.name()), Some(right));
        }
        assert_eq!(Right::from_name("node"), None);
    }
}
