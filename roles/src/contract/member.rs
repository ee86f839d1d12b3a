//! A server as the ring knows it, and what its members tell each other of a death.

use core::fmt;

use bincode::{Decode, Encode};

use super::id::{Incarnation, NodeId};
use super::record::{Address, Features, Record, Role};

/// One server in the member table. Of two accounts of the same member the one with the higher
/// [`Member::age`] is right (SWIM, section 4.2: incarnation numbers; here the start and, within
/// it, a version).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Member {
    /// Who.
    pub node: NodeId,
    /// In which start.
    pub incarnation: Incarnation,
    /// Raised by the member alone, within one start: by each refutation and each change of what it
    /// says of itself.
    pub version: u32,
    /// How it is.
    pub state: MemberState,
    /// What it does.
    pub role: Role,
    /// Where it listens.
    pub address: Address,
    /// What its machine can do.
    pub features: Features,
    /// Its share of the circle, 0 outside the data role.
    pub weight: u16,
    /// What else matters about it.
    pub traits: Traits,
}

/// How a member is. The order decides between accounts of equal age: bad news wins until the
/// member itself refutes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum MemberState {
    /// As far as anybody knows.
    Alive,
    /// Somebody cannot reach it.
    Suspect,
    /// The verdict. Reversible: by a later version of the member's own.
    Dead,
    /// It has said goodbye.
    Left,
}

/// A set of facts about a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Traits(pub u8);

/// A death, or another reason to count the roles: at most one role changes for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Epoch {
    /// The dead member, or the member that found the roles out of balance.
    pub about: NodeId,
    /// In which start.
    pub incarnation: Incarnation,
    /// Grows with each census about the same, and names the [`Cause`].
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

/// Attempts for a [`Cause::Shortage`] are numbered from here on, those for a death below.
const SHORTAGES: u32 = 1 << 30;

impl Epoch {
    /// What this census is about.
    pub fn cause(&self) -> Cause {
        if self.attempt < SHORTAGES {
            Cause::Death
        } else {
            Cause::Shortage
        }
    }
}

impl Cause {
    /// The attempt number of the `count`th census for this cause. After 2^30 they begin again.
    pub fn attempt(self, count: u32) -> u32 {
        let first = match self {
            Cause::Death => 0,
            Cause::Shortage => SHORTAGES,
        };
        first + count % SHORTAGES
    }
}

/// What one member adds to an alert on its way round the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Tally {
    /// Who.
    pub node: NodeId,
    /// In which start.
    pub incarnation: Incarnation,
    /// What it does, or is about to do.
    pub role: Role,
    /// Jobs that wait there.
    pub load: u16,
    /// [`Traits`] at this moment.
    pub traits: Traits,
    /// It knows that a role has been changed in this epoch.
    pub spent: bool,
}

impl Traits {
    /// Started without a role: may be asked to change it.
    pub const AUTO: Traits = Traits(1);
    /// Is handing its songs over, or changing its role: takes nothing new on. Without
    /// [`Traits::AUTO`], which it then gives up, it ends when it has done so.
    pub const DRAINING: Traits = Traits(2);
    /// Its disk has not answered for a while: a member, but no owner of new songs.
    pub const SICK: Traits = Traits(4);

    const KNOWN: u8 = 7;

    /// Whether all of `wanted` hold.
    pub fn has(self, wanted: Traits) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// Whether it hands its songs over to end: whoever changes its role is one that may.
    pub fn ends_soon(self) -> bool {
        self.has(Traits::DRAINING) && !self.has(Traits::AUTO)
    }

    /// These, with `changed` set or cleared.
    pub fn with(self, changed: Traits, set: bool) -> Traits {
        if set {
            Traits(self.0 | changed.0)
        } else {
            Traits(self.0 & !changed.0)
        }
    }
}

/// The age of an account: start, version, how bad it is; then all that may differ in two accounts of
/// one start and version, which a disk that went back gives out twice. All must believe the same.
pub type Age = (Incarnation, u32, MemberState, (Role, u8, u16));

impl Member {
    /// How this account compares with others of the same member.
    pub fn age(&self) -> Age {
        let rest = (self.role, self.traits.0, self.weight);
        (self.incarnation, self.version, self.state, rest)
    }

    /// Whether it takes part in the ring: alive, or only suspected.
    pub fn lives(&self) -> bool {
        self.state < MemberState::Dead
    }

    /// Whether anything about it cannot be: only data nodes and routers are members, and traits
    /// that no version of this program has set make it a lie.
    pub fn is_possible(&self) -> bool {
        self.role != Role::Dns
            && self.traits.0 <= Traits::KNOWN
            && self.incarnation.0 < u64::MAX / 2
            && self.version < u32::MAX / 2
            && self.weight <= super::limits::WEIGHT_MAX
    }

    /// The same member as a DNS record, for those who work with records.
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
