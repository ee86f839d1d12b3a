//! Wakes the loop from other threads: one wake-up, however often `ring` is called before it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::{Registry, Token, Waker};

/// The loop's waker, shared by all threads that queue something for the loop.
#[derive(Debug)]
pub(crate) struct LoopWaker {
    waker: Waker,
    rung: AtomicBool,
}

impl LoopWaker {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(LoopWaker {
            waker: Waker::new(registry, token)?,
            rung: AtomicBool::new(false),
        })
    }

    /// Wakes the loop. Call after queueing the item, so that the loop finds the item when it wakes.
    pub(crate) fn ring(&self) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = self.waker.wake() {
            log::error!("loop cannot be woken: {error}");
        }
    }

    /// Notes that the loop is awake. Call before reading the queues, so that an item queued later
    /// wakes the loop again.
    pub(crate) fn hush(&self) {
        self.rung.store(false, Ordering::Release);
    }
}
