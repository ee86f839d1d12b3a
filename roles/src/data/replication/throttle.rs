//! Limits repairs to a share of the bytes that leave this node.

use alloc::vec::Vec;
use core::time::Duration;

use super::Ticket;
use crate::contract::time::Time;
use crate::contract::timers::earlier;

/// The time until a repair without allowance is tried again.
const SHARE_AGAIN: Duration = Duration::from_millis(50);

/// The allowance of repairs: a share of what clients get, and all of the line while no client is
/// served.
#[derive(Debug)]
pub(super) struct Throttle {
    share_percent: u64,
    /// Bytes that repairs may still send while clients are served.
    allowed: u64,
    served_at: Option<Time>,
    /// Repairs that wait for an allowance.
    held: Vec<Ticket>,
    again: Option<Time>,
}

/// Once no client has been served for this time, repairs are not limited.
const CLIENTS_GONE: Duration = Duration::from_secs(1);

/// Most allowance, in bytes, that repairs can save up.
const ALLOWED_MAX: u64 = 4 << 20;

impl Throttle {
    pub(super) fn new(share_percent: u32) -> Self {
        Throttle {
            share_percent: u64::from(share_percent.clamp(1, 90)),
            allowed: 0,
            served_at: None,
            held: Vec::new(),
            again: None,
        }
    }

    pub(super) fn on_served(&mut self, now: Time, bytes: usize) {
        let others = 100 - self.share_percent;
        let more = bytes as u64 * self.share_percent / others;
        self.allowed = (self.allowed + more).min(ALLOWED_MAX);
        self.served_at = Some(now);
    }

    pub(super) fn allows(&self, now: Time) -> bool {
        let alone = (self.served_at).is_none_or(|at| now.since(at) >= CLIENTS_GONE);
        alone || self.allowed > 0
    }

    pub(super) fn spend(&mut self, bytes: usize) {
        self.allowed = self.allowed.saturating_sub(bytes as u64);
    }

    pub(super) fn hold_back(&mut self, now: Time, ticket: Ticket) {
        self.held.push(ticket);
        self.again = earlier(self.again, Some(now + SHARE_AGAIN));
    }

    pub(super) fn take_held(&mut self, now: Time) -> Vec<Ticket> {
        if self.again.is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.again = None;
        core::mem::take(&mut self.held)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.again
    }
}
