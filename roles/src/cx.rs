//! What every part of a node works with while it handles one event.

use crate::contract::node::Outbox;
use crate::contract::time::Time;

/// The context of one event: the time, and where the effects go.
#[derive(Debug)]
pub struct Cx<'a> {
    /// The moment at which the event is handled.
    pub now: Time,
    /// The effects, in order.
    pub out: &'a mut Outbox,
}

impl<'a> Cx<'a> {
    /// The context of an event that is handled at `now`.
    pub fn new(now: Time, out: &'a mut Outbox) -> Self {
        Cx { now, out }
    }
}
