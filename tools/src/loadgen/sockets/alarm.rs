//! A timer that wakes the loop within microseconds.
//!
//! The loop's own wait counts in milliseconds, rounded up: requests would leave up to a millisecond
//! late, and their latency would be the generator's. Turning without a wait would instead burn the
//! processor that the servers need.

use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// The timer's token: no connection has a generation of 0.
const ALARM: Token = Token(0);

/// A timer on the loop.
pub(super) struct Alarm(OwnedFd);

impl Alarm {
    pub(super) fn new(registry: &Registry) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let raw = timer.as_raw_fd();
        // Edge-triggered and never read: setting the timer again also ends its readiness.
        registry.register(&mut SourceFd(&raw), ALARM, Interest::READABLE)?;
        Ok(Alarm(timer))
    }

    /// Wakes the loop once, after `wait`, which is not zero.
    pub(super) fn set(&self, wait: Duration) -> io::Result<()> {
        let value = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let never = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let once = Itimerspec {
            it_interval: never,
            it_value: value,
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}
