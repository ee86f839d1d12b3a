//! Addresses, records and moments for tests.

use crate::contract::id::{Incarnation, NodeId};
use crate::contract::node::Outbox;
use crate::contract::record::{Address, Features, Record, Role};
use crate::contract::time::Time;
use crate::cx::Cx;
use crate::ownership::Owners;

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
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) out: Outbox,
}

impl Host {
    /// The context of an event at `now`.
    pub(crate) fn at(&mut self, now: Time) -> Cx<'_> {
        Cx::new(now, &mut self.out)
    }
}
