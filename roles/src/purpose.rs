//! Whose each question and each job is, and what for.
//!
//! A node has one table of questions and one of jobs, for all its parts. The purpose leads the end
//! of each back to its part. Purposes know nothing of the parts, so that the tables need not either.

pub(crate) mod anti_entropy;
pub(crate) mod chord;
pub(crate) mod client;
pub(crate) mod data;
pub(crate) mod dns;
pub(crate) mod documents;
pub(crate) mod locator;
pub(crate) mod memory;
pub(crate) mod mending;
pub(crate) mod replication;
pub(crate) mod ring;
pub(crate) mod scrub;
pub(crate) mod trash;

use crate::contract::id::SongId;
use crate::contract::job::FragmentId;
use crate::contract::record::{Address, Role};

/// The part that has asked a question, and what for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// A server asks for its first role.
    Assignment,
    /// The registration with this DNS node.
    Registrar(Address),
    /// A look-up of the servers of a role.
    Resolver(Role),
    /// A DNS node.
    Dns(dns::Purpose),
    /// A member of the ring.
    Ring(ring::Purpose),
    /// A router or client that looks a song up at the data nodes.
    Locator(locator::Step),
    /// A data node's place on the circle.
    Chord(chord::Purpose),
    /// A data node announces its songs to this router.
    Announcer(Address),
    /// A data node tells this router the tags of its songs.
    TagAnnouncer(Address),
    /// A data node sends a copy.
    Replication(replication::Ticket),
    /// A data node compares its songs with those of another.
    AntiEntropy(anti_entropy::Step),
    /// A data node replaces this damaged fragment.
    Scrub(FragmentId),
    /// A data node asks another how it describes this song, which has no seal here.
    Witness(SongId),
    /// A data node passes the removal of this number on.
    Removal(u64),
    /// A data node tells or asks another what is in the trash.
    Trash(trash::Step),
    /// A data node tells another of documents, or compares them.
    Documents(documents::Step),
    /// A client.
    Client(client::Purpose),
}

/// The part that has ordered a job, and what for.
#[derive(Debug)]
pub(crate) enum Ordered {
    /// What a server remembers over a restart.
    Memory(memory::Purpose),
    /// A data node answers a question, or looks after its library.
    Data(data::Purpose),
    /// A data node reads the changes after this revision, to announce them to this router.
    Announcer(Address, u64),
    /// A data node reads the tags after this revision, to tell them to this router.
    TagAnnouncer(Address, u64),
    /// A data node makes a copy.
    Replication(replication::Purpose),
    /// A data node compares its songs with those of others.
    AntiEntropy(anti_entropy::JobFor),
    /// A data node reads its fragments to find damage.
    Scrub(scrub::Purpose),
    /// A data node looks at the tables of its library, or puts them right.
    Mending(mending::Purpose),
    /// A data node notes what is in the trash.
    Trash(trash::JobFor),
    /// A data node keeps documents of listeners.
    Documents(documents::JobFor),
    /// A client.
    Client(client::Purpose),
}

impl Asked {
    /// Whether the question belongs to the node itself and not to its role.
    pub(crate) fn outlives_role(&self) -> bool {
        match self {
            Asked::Assignment
            | Asked::Registrar(_)
            | Asked::Resolver(_)
            | Asked::Dns(_)
            | Asked::Ring(_)
            | Asked::Client(_) => true,
            Asked::Locator(_)
            | Asked::Chord(_)
            | Asked::Announcer(_)
            | Asked::TagAnnouncer(_)
            | Asked::Replication(_)
            | Asked::AntiEntropy(_)
            | Asked::Scrub(_)
            | Asked::Witness(_)
            | Asked::Removal(_)
            | Asked::Trash(_)
            | Asked::Documents(_) => false,
        }
    }
}

impl Ordered {
    /// The song that the job is about, if it is about one.
    pub(crate) fn song(&self) -> Option<SongId> {
        match self {
            Ordered::Data(purpose) => purpose.song(),
            Ordered::Replication(purpose) => purpose.song(),
            Ordered::Scrub(purpose) => purpose.song(),
            Ordered::Memory(_)
            | Ordered::Announcer(..)
            | Ordered::TagAnnouncer(..)
            | Ordered::AntiEntropy(_)
            | Ordered::Mending(_)
            | Ordered::Trash(_)
            | Ordered::Documents(_)
            | Ordered::Client(_) => None,
        }
    }

    /// Whether somebody still waits for the job after its node has left its role.
    pub(crate) fn outlives_role(&self) -> bool {
        match self {
            Ordered::Memory(_) | Ordered::Data(_) | Ordered::Client(_) => true,
            Ordered::Announcer(..)
            | Ordered::TagAnnouncer(..)
            | Ordered::Replication(_)
            | Ordered::AntiEntropy(_)
            | Ordered::Scrub(_)
            | Ordered::Mending(_)
            | Ordered::Trash(_)
            | Ordered::Documents(_) => false,
        }
    }
}
