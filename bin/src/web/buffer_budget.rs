//! The memory budget of all streams together.
//!
//! Every fragment is charged before it is requested and credited when its bytes have been sent. A
//! stream that finds too little budget waits in a queue. So two hundred streams stay below the
//! bound together, whatever they play.

use std::collections::VecDeque;

use net::http::site::Exchange;

/// Most bytes of fragments held or requested; chosen to keep the whole process small.
const BYTES_MAX: usize = 12 << 20;

/// Most fragments requested at once: fewer than one data node answers at a time.
pub(super) const ON_WAY_MAX: u32 = 48;

/// While more than this is charged, no stream reads ahead.
const BYTES_EASY: usize = BYTES_MAX / 2;

/// The bytes charged, the fragments requested, and the queue of waiting streams.
#[derive(Debug, Default)]
pub(super) struct BufferBudget {
    bytes: usize,
    on_way: u32,
    line: VecDeque<Exchange>,
}

impl BufferBudget {
    /// Bytes in memory for all streams.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a stream to the end of the queue.
    pub(super) fn wait(&mut self, exchange: Exchange) {
        self.line.push_back(exchange);
    }

    /// The stream at the front of the queue.
    pub(super) fn next(&self) -> Option<Exchange> {
        self.line.front().copied()
    }

    /// Removes the front of the queue: it has been served or is gone.
    pub(super) fn step(&mut self) {
        self.line.pop_front();
    }

    pub(super) fn forget(&mut self, exchange: Exchange) {
        self.line.retain(|waiting| *waiting != exchange);
    }

    /// Whether one more fragment may be requested at all.
    pub(super) fn may_ask(&self) -> bool {
        self.on_way < ON_WAY_MAX
    }

    /// Whether the budget has space for `bytes` more. With nothing charged, any single fragment
    /// fits.
    pub(super) fn has(&self, bytes: usize) -> bool {
        self.bytes == 0 || self.bytes + bytes <= BYTES_MAX
    }

    /// Whether the budget is ample enough for reading ahead.
    pub(super) fn is_easy(&self, bytes: usize) -> bool {
        self.may_ask() && self.bytes + bytes <= BYTES_EASY
    }

    /// Charges a fragment that is being requested.
    pub(super) fn pay(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.on_way += 1;
    }

    /// Notes that a requested fragment has arrived or is not awaited any more. Its bytes stay
    /// charged.
    pub(super) fn arrived(&mut self) {
        self.on_way -= 1;
    }

    /// Credits the bytes of a fragment that has left memory.
    pub(super) fn give_back(&mut self, bytes: usize) {
        self.bytes -= bytes;
    }
}
