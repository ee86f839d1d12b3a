//! The members of the ring, the server's role and the DNS nodes, kept over a restart.
//!
//! Owns `members.json` in the data directory and replaces the file by a rename. If the file is
//! wrong in any way, the server remembers nothing, which costs only a look-up in the DNS.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use roles::contract::id::{Incarnation, NodeId};
use roles::contract::job::JobReply;
use roles::contract::limits::{DNS_NODES_MAX, MEMBERS_MAX};
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

    /// What was stored last. A directory with a library but no memory belongs to a
    /// data node.
    pub fn recall(&self) -> JobReply {
        self.read().unwrap_or_else(|| {
            let names = ["library.db", "library.db.mending"];
            let kept_songs = names.iter().any(|name| self.dir.join(name).exists());
            JobReply::Members {
                members: Vec::new(),
                role: kept_songs.then_some(Role::Data),
                dns: Vec::new(),
            }
        })
    }

    /// Replaces the stored members, role and DNS nodes. A failure costs only what [`Memory::recall`] would
    /// have saved.
    pub fn remember(&self, members: &[Member], role: Role, dns: &[Address]) -> JobReply {
        if let Err(why) = self.write(members, role, dns) {
            let why = in_words(&self.dir, &why);
            log::warn!("remember the ring in {}: {why}", self.dir.display());
        }
        JobReply::Done
    }

    fn read(&self) -> Option<JobReply> {
        let path = self.dir.join(FILE);
        if fs::metadata(&path).ok()?.len() > BYTES_MAX {
            return None;
        }
        let kept: Kept = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        let members = kept.members.iter().take(MEMBERS_MAX);
        let dns = kept.dns.iter().take(DNS_NODES_MAX);
        Some(JobReply::Members {
            members: members.filter_map(Line::member).collect(),
            role: Role::from_domain(&kept.role),
            dns: dns.filter_map(|at| at.parse().ok().map(Address)).collect(),
        })
    }

    /// Writes the file without a sync: losing the last change in a power cut does no harm.
    fn write(&self, members: &[Member], role: Role, dns: &[Address]) -> io::Result<()> {
        let kept = Kept {
            role: role.name().to_owned(),
            members: members.iter().take(MEMBERS_MAX).map(Line::of).collect(),
            dns: dns.iter().map(ToString::to_string).collect(),
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
    /// Files of earlier versions have none.
    #[serde(default)]
    dns: Vec<String>,
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
        let dns = vec![Address(([10, 0, 0, 1], 7700).into())];
        memory.remember(&[member(1), member(2)], Role::Router, &dns);
        let mut recalled = JobReply::Members {
            members: vec![member(1), member(2)],
            role: Some(Role::Router),
            dns,
        };
        assert_eq!(memory.recall(), recalled);
        // An earlier version has written no DNS nodes.
        let file = dir.path().join(FILE);
        let text = fs::read_to_string(&file).expect("our own");
        let old = text.replace(",\"dns\":[\"10.0.0.1:7700\"]", "");
        assert_ne!(old, text);
        fs::write(&file, old).expect("our own");
        if let JobReply::Members { dns, .. } = &mut recalled {
            dns.clear();
        }
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
            dns: Vec::new(),
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
