//! What a claim does to the table, and which claims cannot be true.

use crate::contract::id::Incarnation;
use crate::contract::member::{Member, MemberState};

/// Largest believable step of a version or incarnation above the known one. A larger one is
/// refused: a single lie could otherwise use up all numbers.
const LEAP_MAX: u64 = 1 << 20;

/// Who makes a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// The very process that the claim is about, on a connection of its own.
    Itself,
    /// Another member, or a table in which it stands.
    Another,
}

/// The effect of a claim on the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absorbed {
    /// Nothing: the claim was known, or the table is full of living members.
    Nothing,
    /// The entry has changed.
    Changed {
        /// The state before the claim; none if the member was unknown.
        before: Option<MemberState>,
    },
    /// Only the list of observers has grown.
    Observed,
    /// The claim is older than the entry. The sender should receive the entry.
    Stale,
    /// The claim is about this node and untrue. This node must refute it with a version above this
    /// one.
    Refute {
        /// The version in the claim.
        version: u32,
    },
    /// The claim names another process than the known one, and that process does not make it
    /// itself. It should be asked.
    Hearsay,
    /// The claim says that another process bears this node's id: a later start, or the same one at
    /// another address.
    Double,
    /// The claim cannot be true.
    Absurd,
}

/// Whether both name one process: a process has one start and listens at one address.
pub(super) fn is_same_process(known: &Member, claimed: &Member) -> bool {
    (known.incarnation, known.address) == (claimed.incarnation, claimed.address)
}

pub(super) fn leaps(known: &Member, claimed: &Member) -> bool {
    let Incarnation(start) = known.incarnation;
    let versions = u64::from(claimed.version.saturating_sub(known.version));
    claimed.incarnation.0.saturating_sub(start) > LEAP_MAX
        || (claimed.incarnation == known.incarnation && versions > LEAP_MAX)
}
