//! Wakes the loop from other threads: once, however often it is rung before the loop looks.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::{Registry, Token, Waker};

/// Shared by everybody who has something for the loop.
#[derive(Debug)]
pub(crate) struct Bell {
    waker: Waker,
    rung: AtomicBool,
}

impl Bell {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Bell {
            waker: Waker::new(registry, token)?,
            rung: AtomicBool::new(false),
        })
    }

    /// Wakes the loop. Call after the thing to be seen is in its queue.
    pub(crate) fn ring(&self) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = self.waker.wake() {
            log::error!("loop cannot be woken: {error}");
        }
    }

    /// The loop is awake. Call before looking into the queues: what comes later rings again.
    pub(crate) fn hush(&self) {
        self.rung.store(false, Ordering::Release);
    }
}
