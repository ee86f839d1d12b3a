//! A server as the ring knows it, and the parts of a census of roles.

use core::fmt;

use bincode::{Decode, Encode};

use super::id::{Incarnation, NodeId};
use super::record::{Address, Features, Record, Role};

/// One server in the member table. Of two updates about the same member, the one with the higher
/// [`Member::age`] wins. SWIM (section 4.2) uses an incarnation number for this; here the
/// incarnation counts the starts, and a version counts the updates within one start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Member {
    /// The member's id.
    pub node: NodeId,
    /// The number of its current start.
    pub incarnation: Incarnation,
    /// Counts the updates within one start. Only the member itself raises it: for each refutation
    /// and for each change of its own entry.
    pub version: u32,
    /// Its state in the failure detector.
    pub state: MemberState,
    /// Its role, data or router.
    pub role: Role,
    /// The address at which it listens.
    pub address: Address,
    /// Facts about its machine.
    pub features: Features,
    /// Its share of the hash ring; 0 outside the data role.
    pub weight: u16,
    /// Further facts about the member.
    pub traits: Traits,
}

/// The state of a member in the failure detector. The order decides between updates of the same
/// version: the worse state wins until the member refutes it with a later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum MemberState {
    /// No node suspects the member.
    Alive,
    /// Some node cannot reach the member.
    Suspect,
    /// The failure detector has declared the member dead. A later version from the member itself
    /// reverses this.
    Dead,
    /// The member has left the ring by itself.
    Left,
}

/// A set of facts about a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Traits(pub u8);

/// The identity of one census of the roles. At most one role changes for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Epoch {
    /// The dead member, or the living member that found the roles out of balance.
    pub about: NodeId,
    /// The number of that member's start.
    pub incarnation: Incarnation,
    /// Grows with each census about the same member. Its range tells the [`Cause`].
    pub attempt: u32,
}

/// Why the roles are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The member that the epoch names has died.
    Death,
    /// The member that the epoch names lives, and has found the roles out of balance.
    Shortage,
}

/// Attempts from this number on have the cause [`Cause::Shortage`]; smaller ones [`Cause::Death`].
const SHORTAGES: u32 = 1 << 30;

impl Epoch {
    /// The cause of this census.
    pub fn cause(&self) -> Cause {
        if self.attempt < SHORTAGES {
            Cause::Death
        } else {
            Cause::Shortage
        }
    }
}

impl Cause {
    /// The attempt number of the `count`th census for this cause. After 2^30 censuses the numbers
    /// repeat.
    pub fn attempt(self, count: u32) -> u32 {
        let first = match self {
            Cause::Death => 0,
            Cause::Shortage => SHORTAGES,
        };
        first + count % SHORTAGES
    }
}

/// The entry of one member in a census.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Tally {
    /// The member's id.
    pub node: NodeId,
    /// The number of its current start.
    pub incarnation: Incarnation,
    /// The member's role. While the member changes its role, this is the role that it is about to
    /// take.
    pub role: Role,
    /// Jobs that wait at the member.
    pub load: u16,
    /// Its traits when it made the tally.
    pub traits: Traits,
    /// Whether the member knows that a role has been changed in this epoch already.
    pub spent: bool,
}

impl Traits {
    /// The member was started without a role, so it may be ordered to change its role.
    pub const AUTO: Traits = Traits(1);
    /// The member hands its songs over or changes its role, and takes nothing new on. A member that
    /// is about to end gives up [`Traits::AUTO`].
    pub const DRAINING: Traits = Traits(2);
    /// The disk of the member has not answered for a while. The member stays in the ring and gets
    /// no new songs.
    pub const SICK: Traits = Traits(4);

    const KNOWN: u8 = 7;

    /// Whether all of `wanted` hold.
    pub fn has(self, wanted: Traits) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// Whether the member hands its songs over and then ends. A member that only changes its role
    /// still has [`Traits::AUTO`].
    pub fn ends_soon(self) -> bool {
        self.has(Traits::DRAINING) && !self.has(Traits::AUTO)
    }

    /// These traits, with `changed` set or cleared.
    pub fn with(self, changed: Traits, set: bool) -> Traits {
        if set {
            Traits(self.0 | changed.0)
        } else {
            Traits(self.0 & !changed.0)
        }
    }
}

/// The rank of an update: start, version, state, then the fields that may differ within one
/// version. A node whose disk was restored from an older copy may give out one version twice, with
/// different fields. Including the fields lets every member choose the same update.
pub type Age = (Incarnation, u32, MemberState, (Role, u8, u16));

impl Member {
    /// The rank of this update among the updates about the same member.
    pub fn age(&self) -> Age {
        let rest = (self.role, self.traits.0, self.weight);
        (self.incarnation, self.version, self.state, rest)
    }

    /// Whether the member takes part in the ring: it is alive or only suspected.
    pub fn lives(&self) -> bool {
        self.state < MemberState::Dead
    }

    /// Whether the update can be true. Only data nodes and routers are members. Unknown traits and
    /// an excessive weight are refused. So are incarnations and versions in the upper half of their
    /// range, because a false one near the end would leave the member no later number.
    pub fn is_possible(&self) -> bool {
        self.role != Role::Dns
            && self.traits.0 <= Traits::KNOWN
            && self.incarnation.0 < u64::MAX / 2
            && self.version < u32::MAX / 2
            && self.weight <= super::limits::WEIGHT_MAX
    }

    /// The member as a DNS record. Its TTL is 0, so it must not be served.
    pub fn record(&self) -> Record {
        Record {
            role: self.role,
            node: self.node,
            incarnation: self.incarnation,
            renewals: 0,
            address: self.address,
            features: self.features,
            weight: self.weight,
            ttl_ms: 0,
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = (self.about.0 >> 96) as u32;
        write!(f, "{head:08x}/{}/{}", self.incarnation.0, self.attempt)
    }
}
