//! The members of the ring and the server's role, kept over a restart.
//!
//! Owns `members.json` in the data directory and replaces the file by a rename. If the file is
//! wrong in any way, the server remembers nothing, which costs only a look-up in the DNS.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use roles::contract::id::{Incarnation, NodeId};
use roles::contract::job::JobReply;
use roles::contract::limits::MEMBERS_MAX;
use roles::contract::member::{Member, MemberState, Traits};
use roles::contract::record::{Address, Features, Role};
use serde::{Deserialize, Serialize};

use crate::disk_space::in_words;
use crate::private;

/// Largest file that is read: the longest table, and then some.
const BYTES_MAX: u64 = 1 << 20;

/// A server's memory.
#[derive(Clone, Debug)]
pub struct Memory {
    dir: PathBuf,
}

impl Memory {
    /// A memory in this directory, which must exist.
    pub fn new(dir: PathBuf) -> Self {
        Memory { dir }
    }

    /// The members and the role stored last. A directory with a library but no memory belongs to a
    /// data node.
    pub fn recall(&self) -> JobReply {
        let (members, role) = self.read().unwrap_or_else(|| {
            let names = ["library.db", "library.db.mending"];
            let kept_songs = names.iter().any(|name| self.dir.join(name).exists());
            (Vec::new(), kept_songs.then_some(Role::Data))
        });
        JobReply::Members { members, role }
    }

    /// Replaces the stored members and role. A failure costs only what [`Memory::recall`] would
    /// have saved.
    pub fn remember(&self, members: &[Member], role: Role) -> JobReply {
        if let Err(why) = self.write(members, role) {
            let why = in_words(&self.dir, &why);
            log::warn!("remember the ring in {}: {why}", self.dir.display());
        }
        JobReply::Done
    }

    fn read(&self) -> Option<(Vec<Member>, Option<Role>)> {
        let path = self.dir.join(FILE);
        if fs::metadata(&path).ok()?.len() > BYTES_MAX {
            return None;
        }
        let kept: Kept = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        let role = Role::from_domain(&kept.role);
        let members = kept.members.iter().take(MEMBERS_MAX);
        Some((members.filter_map(Line::member).collect(), role))
    }

    /// Writes the file without a sync: losing the last change in a power cut does no harm.
    fn write(&self, members: &[Member], role: Role) -> io::Result<()> {
        let kept = Kept {
            role: role.name().to_owned(),
            members: members.iter().take(MEMBERS_MAX).map(Line::of).collect(),
        };
        let draft = self.dir.join("members.json.new");
        let text = serde_json::to_vec(&kept)?;
        let written = private::create(&draft)
            .and_then(|mut file| file.write_all(&text))
            .and_then(|()| fs::rename(&draft, self.dir.join(FILE)));
        if written.is_err() {
            // A draft that is left would keep an inode. The first failure is the one to report.
            let _ = fs::remove_file(&draft);
        }
        written
    }
}

const FILE: &str = "members.json";

#[derive(Serialize, Deserialize)]
struct Kept {
    role: String,
    members: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    node: String,
    incarnation: u64,
    version: u32,
    role: String,
    address: String,
    features: u32,
    weight: u16,
    traits: u8,
}

impl Line {
    fn of(member: &Member) -> Line {
        Line {
            node: member.node.to_string(),
            incarnation: member.incarnation.0,
            version: member.version,
            role: member.role.name().to_owned(),
            address: member.address.to_string(),
            features: member.features.0,
            weight: member.weight,
            traits: member.traits.0,
        }
    }

    fn member(&self) -> Option<Member> {
        let member = Member {
            node: NodeId::parse(&self.node)?,
            incarnation: Incarnation(self.incarnation),
            version: self.version,
            state: MemberState::Alive,
            role: Role::from_domain(&self.role)?,
            address: Address(self.address.parse().ok()?),
            features: Features(self.features),
            weight: self.weight,
            traits: Traits(self.traits),
        };
        member.is_possible().then_some(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn member(n: u8) -> Member {
        Member {
            node: NodeId(u128::from(n)),
            incarnation: Incarnation(3),
            version: 1,
            state: MemberState::Alive,
            role: Role::Router,
            address: Address(([127, 0, 0, n], 7700).into()),
            features: Features::AES,
            weight: 0,
            traits: Traits::AUTO,
        }
    }

    #[test]
    fn the_ring_is_remembered() {
        let dir = TempDir::new();
        let memory = Memory::new(dir.path().to_owned());
        memory.remember(&[member(1), member(2)], Role::Router);
        let recalled = JobReply::Members {
            members: vec![member(1), member(2)],
            role: Some(Role::Router),
        };
        assert_eq!(memory.recall(), recalled);
    }

    /// Nothing, garbage, and lines that cannot be: the node begins as one without a past.
    #[test]
    fn a_spoilt_memory_is_none() {
        let dir = TempDir::new();
        let memory = Memory::new(dir.path().to_owned());
        let nothing = |role| JobReply::Members {
            members: Vec::new(),
            role,
        };
        assert_eq!(memory.recall(), nothing(None));
        fs::write(dir.path().join(FILE), b"{\"role\":\"data\",").expect("our own");
        assert_eq!(memory.recall(), nothing(None));
        let absurd = br#"{"role":"data","members":[{"node":"zz","incarnation":1,"version":0,
            "role":"router","address":"x","features":0,"weight":0,"traits":0}]}"#;
        fs::write(dir.path().join(FILE), absurd).expect("our own");
        assert_eq!(memory.recall(), nothing(Some(Role::Data)));
    }

    /// A directory from before there was a memory: its songs decide.
    #[test]
    fn a_library_alone_makes_a_data_node() {
        let dir = TempDir::new();
        fs::write(dir.path().join("library.db"), b"").expect("our own");
        let memory = Memory::new(dir.path().to_owned());
        let JobReply::Members { role, .. } = memory.recall() else {
            panic!("another reply");
        };
        assert_eq!(role, Some(Role::Data));
    }
}
