//! The words of the ring: reports, news, probes, alerts.
//!
//! Reports and news are [`Kind::OneWay`](super::message::Kind): nobody answers them. Everything else
//! is a question with an answer.

use alloc::vec::Vec;

use bincode::{Decode, Encode};

use super::id::NodeId;
use super::member::{Epoch, Member, Tally};
use super::record::{Address, Role};

/// Between data nodes and routers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Ring {
    /// What I know; tell me what you know. How a newcomer joins and how split rings merge.
    /// Answered by `Joined`.
    Join {
        /// The sender's table, at most [`super::limits::MEMBERS_MAX`].
        members: Vec<Member>,
    },
    /// The table after taking over what was told.
    Joined {
        /// At most [`super::limits::MEMBERS_MAX`].
        members: Vec<Member>,
    },
    /// To the successor, each second: I live, and this is the ring I see. Not answered: the
    /// report that goes round is the other's sign of life.
    Report {
        /// The sender.
        me: Member,
        /// A digest of the living members it knows.
        view: u64,
    },
    /// What has changed, passed on by everyone to whom it is new. Not answered.
    News {
        /// At most [`super::limits::CLAIMS_MAX`].
        claims: Vec<Claim>,
    },
    /// Do you live? Answered by `Probed`.
    Probe {
        /// The receiver, as the sender knows it: it may have to refute that.
        known: Member,
    },
    /// Yes.
    Probed {
        /// The receiver, as it is.
        me: Member,
    },
    /// Can you reach this member? Answered by `Checked`.
    Check {
        /// Who.
        node: NodeId,
        /// Where.
        address: Address,
    },
    /// Whether it has been reached.
    Checked {
        /// It answered a probe.
        reached: bool,
    },
    /// Somebody is dead: add your role and load and pass it on. Answered by `Heard` at once.
    Alert {
        /// Which death.
        epoch: Epoch,
        /// Who counts.
        manager: Member,
        /// Members that may still pass it on.
        hops: u16,
        /// Those it has visited, the manager first; at most [`super::limits::MEMBERS_MAX`].
        tallies: Vec<Tally>,
    },
    /// It will be passed on.
    Heard,
    /// The manager to those whom its alert has not visited. Answered by `Counted`.
    Count {
        /// Which death.
        epoch: Epoch,
        /// Who counts.
        manager: NodeId,
    },
    /// The answer to it.
    Counted {
        /// Of the member asked.
        tally: Tally,
    },
    /// Take this role. Answered by `Accepted`, or refused.
    Unbalance {
        /// Which death.
        epoch: Epoch,
        /// Who counted.
        manager: NodeId,
        /// The role that is short.
        wanted: Role,
        /// How many of it are missing.
        missing: u16,
        /// The member that is to take it: the receiver.
        named: NodeId,
    },
    /// It is being taken.
    Accepted,
}

/// An account of a member, and who has found out by itself.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Claim {
    /// The account.
    pub member: Member,
    /// For a suspicion or a verdict: who could not reach it; at most
    /// [`super::limits::OBSERVERS_MAX`].
    pub observers: Vec<NodeId>,
}
