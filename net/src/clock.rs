//! The machine's monotonic clock, as [`Time`] since the reactor's start.

use std::time::Instant;

use roles::contract::time::Time;

/// A monotonic clock that counts from its creation.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Starts at zero.
    pub fn start() -> Self {
        Clock(Instant::now())
    }

    /// Time since the start.
    pub fn now(&self) -> Time {
        Time::ZERO + self.0.elapsed()
    }
}
