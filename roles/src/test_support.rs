//! Addresses, records and moments for tests.

use crate::contract::id::RequestId;
use crate::contract::id::{Incarnation, NodeId};
use crate::contract::message::{Envelope, Kind, Message};
use crate::contract::node::Outbox;
use crate::contract::node::Peer;
use crate::contract::record::{Address, Features, Record, Role};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::cx::{Cx, Pending};
use crate::ownership::Owners;
use crate::purpose::Asked;
use crate::requests::Reply;
use alloc::vec::Vec;

pub(crate) fn at(seconds: u64) -> Time {
    Time::from_secs(seconds)
}

pub(crate) fn addr(n: u8) -> Address {
    Address(([127, 0, 0, n], 7700).into())
}

/// The record of node `n` in its first start, at [`addr`].
pub(crate) fn record(n: u8, role: Role) -> Record {
    Record {
        role,
        node: NodeId(u128::from(n)),
        incarnation: Incarnation(1),
        renewals: 1,
        address: addr(n),
        features: Features::default(),
        weight: 1,
        ttl_ms: 30_000,
    }
}

/// The owners among these data nodes.
pub(crate) fn owners<'a>(data: impl IntoIterator<Item = &'a Record>) -> Owners {
    Owners::of(data.into_iter().map(|record| (record.node, record.weight)))
}

/// A host that only collects what a part of a node does.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) out: Outbox,
    pending: Pending,
}

impl Default for Host {
    fn default() -> Self {
        Host {
            out: Outbox::new(),
            pending: Pending::new(Rng::from_seed(1)),
        }
    }
}

impl Host {
    /// The context of an event at `now`.
    pub(crate) fn at(&mut self, now: Time) -> Cx<'_> {
        self.pending.cx(now, &mut self.out)
    }

    /// When a question of the part is due.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.pending.deadline()
    }

    /// The end of the question that this answer ends.
    pub(crate) fn answered(
        &mut self,
        now: Time,
        from: Peer,
        (id, message): (RequestId, Message),
    ) -> Option<(Asked, Reply)> {
        let envelope = Envelope {
            id,
            kind: Kind::Answer { more: false },
            message,
            body: Vec::new(),
        };
        let outcome = self.at(now).on_answer(from, envelope)?;
        Some((outcome.purpose, outcome.reply))
    }
}
