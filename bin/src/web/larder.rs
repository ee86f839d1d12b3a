//! How much of all streams may be in memory at once.
//!
//! Every fragment is paid for before it is asked for, and given back when its bytes have gone out.
//! Streams wait in line for what is not there: two hundred of them stay below the bound together,
//! whatever they play.

use std::collections::VecDeque;

use net::http::site::Exchange;

/// Most bytes of fragments held or on their way: with everything else the process stays small.
const BYTES_MAX: usize = 12 << 20;

/// Fragments on their way at once: fewer than one data node answers at a time.
const ON_WAY_MAX: u32 = 48;

/// Above this, nobody reads ahead.
const BYTES_EASY: usize = BYTES_MAX / 2;

/// The account, and who waits.
#[derive(Debug, Default)]
pub(super) struct Larder {
    bytes: usize,
    on_way: u32,
    line: VecDeque<Exchange>,
}

impl Larder {
    /// Takes a place in the line.
    pub(super) fn wait(&mut self, exchange: Exchange) {
        self.line.push_back(exchange);
    }

    /// Who is next.
    pub(super) fn next(&self) -> Option<Exchange> {
        self.line.front().copied()
    }

    /// The next one has been served, or has gone.
    pub(super) fn step(&mut self) {
        self.line.pop_front();
    }

    pub(super) fn forget(&mut self, exchange: Exchange) {
        self.line.retain(|waiting| *waiting != exchange);
    }

    /// Whether one more question may be asked at all.
    pub(super) fn may_ask(&self) -> bool {
        self.on_way < ON_WAY_MAX
    }

    /// Whether so many bytes more are there. A single fragment always is.
    pub(super) fn has(&self, bytes: usize) -> bool {
        self.bytes == 0 || self.bytes + bytes <= BYTES_MAX
    }

    /// Whether there is enough for reading ahead.
    pub(super) fn is_easy(&self, bytes: usize) -> bool {
        self.may_ask() && self.bytes + bytes <= BYTES_EASY
    }

    /// A fragment is asked for.
    pub(super) fn pay(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.on_way += 1;
    }

    /// A fragment has come, or is not waited for any longer.
    pub(super) fn arrived(&mut self) {
        self.on_way -= 1;
    }

    /// The bytes of a fragment are gone.
    pub(super) fn give_back(&mut self, bytes: usize) {
        self.bytes -= bytes;
    }
}
