//! The messages of the membership ring: reports, updates, probes and alerts.
//!
//! Reports and updates (`News`) are [`Kind::OneWay`](super::message::Kind) and get no answer. All
//! other messages are questions with an answer.

use alloc::string::String;
use alloc::vec::Vec;

use bincode::{Decode, Encode};

use super::id::NodeId;
use super::member::{Epoch, Member, Tally};
use super::record::{Address, Role};

/// Between data nodes and routers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Ring {
    /// Exchanges whole member tables. A node joins the ring with this question, and split rings
    /// merge with it. Answered by `Joined`.
    Join {
        /// The sender's table; at most [`super::limits::MEMBERS_MAX`].
        members: Vec<Member>,
    },
    /// The receiver's table after it has merged the sender's.
    Joined {
        /// At most [`super::limits::MEMBERS_MAX`].
        members: Vec<Member>,
    },
    /// From each member to its successor, every second: the sender lives. Not answered, because the
    /// report that the receiver gets from its own predecessor is the sign of life it needs.
    Report {
        /// The sender.
        me: Member,
        /// A digest of the living members that the sender knows.
        view: u64,
    },
    /// Updates about members. A member passes on each update that is new to it. Not answered.
    News {
        /// At most [`super::limits::CLAIMS_MAX`].
        claims: Vec<Claim>,
    },
    /// Asks whether the receiver lives. Answered by `Probed`.
    Probe {
        /// The receiver as the sender knows it. A receiver that lives refutes a suspicion or
        /// verdict in it.
        known: Member,
    },
    /// The receiver lives.
    Probed {
        /// The answering member's own entry.
        me: Member,
    },
    /// Asks a helper to probe a member that the sender cannot reach. Answered by `Checked`.
    Check {
        /// The member to probe.
        node: NodeId,
        /// The address at which the member listens.
        address: Address,
    },
    /// The result of the helper's probe.
    Checked {
        /// Whether the member answered the probe.
        reached: bool,
    },
    /// A census goes round the ring: each member adds its role and load and passes the alert on.
    /// Answered by `Heard` at once.
    Alert {
        /// The death or shortage that the census is about.
        epoch: Epoch,
        /// The member that counts the roles.
        manager: Member,
        /// How many more times the alert may be passed on.
        hops: u16,
        /// The tallies of the members visited, the manager first; at most
        /// [`super::limits::MEMBERS_MAX`].
        tallies: Vec<Tally>,
    },
    /// The alert has arrived. This does not say whether the member passes it on.
    Heard,
    /// The manager asks a member that its alert has not visited. Answered by `Counted`.
    Count {
        /// The death or shortage that the census is about.
        epoch: Epoch,
        /// The member that counts the roles.
        manager: NodeId,
    },
    /// The answering member's part in the census.
    Counted {
        /// The tally that the member would have added to the alert.
        tally: Tally,
    },
    /// Orders the receiver to change its role. Answered by `Accepted`, or refused.
    Unbalance {
        /// The death or shortage that the census is about.
        epoch: Epoch,
        /// The member that counted the roles.
        manager: NodeId,
        /// The role that is short, which the receiver is to take.
        wanted: Role,
        /// How many holders of the role are missing.
        missing: u16,
        /// The member that is to take the role: the receiver.
        named: NodeId,
    },
    /// The receiver changes its role.
    Accepted,
    /// A client asks what the receiver doubts. Only to a server with
    /// [`Features::DIAGNOSIS`](super::record::Features::DIAGNOSIS). Answered by `Diagnosis`.
    Diagnose,
    /// What the answering member doubts.
    Diagnosis(Diagnosis),
}

/// What one member doubts: others, and itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Diagnosis {
    /// Members that it suspects; at most [`super::limits::SUSPECTS_TOLD_MAX`].
    pub suspects: Vec<Suspect>,
    /// Members that were silent and are being checked; at most
    /// [`super::limits::SUSPECTS_TOLD_MAX`].
    pub checked: Vec<NodeId>,
    /// How many times as long as usual it waits, from 1 to 9, because it hears badly itself.
    pub patience: u32,
    /// It believes that it is cut off, rather than that the others are dead, and takes no new songs.
    pub cut_off: bool,
    /// It has stalled, and asks first how the others see it.
    pub unsure: bool,
    /// Claims about members that it refused, because they cannot be true.
    pub absurd_claims: u64,
    /// Statements about songs and copies that cannot be true, by kind; those without a case are left
    /// out.
    pub anomalies: Vec<AnomalyCount>,
}

/// A member that is suspected.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Suspect {
    /// The member.
    pub node: NodeId,
    /// The nodes that could not reach it; at most [`super::limits::OBSERVERS_MAX`].
    pub observers: Vec<NodeId>,
    /// Milliseconds since the answering member took up the suspicion.
    pub for_ms: u64,
}

/// How often something of one kind happened since a node's start.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AnomalyCount {
    /// The kind, in one word.
    pub kind: String,
    /// How often.
    pub count: u64,
}

/// An update about a member, with the nodes that observed its failure.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Claim {
    /// The member and its state.
    pub member: Member,
    /// The nodes that could not reach the member, for a suspicion or a verdict; at most
    /// [`super::limits::OBSERVERS_MAX`].
    pub observers: Vec<NodeId>,
}
