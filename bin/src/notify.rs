//! Words to a supervisor that gave this process `NOTIFY_SOCKET`, as systemd does: ready, alive, ending.
//!
//! The sign of life follows from turns of the loop: a thread wakes the loop twice in each interval and
//! speaks only if the loop has turned. Without the variable nothing happens.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use net::PulseHandle;

use crate::failure::Failure;

/// What must become ready before the process is: nodes, pages.
static MISSING: AtomicUsize = AtomicUsize::new(1);

/// The process is ready once [`ready`] was called so many times.
pub(crate) fn expect(parts: usize) {
    MISSING.store(parts.max(1), Ordering::Relaxed);
}

/// A part of this process is ready.
pub(crate) fn ready() {
    let less = |missing: usize| missing.checked_sub(1);
    let before = MISSING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    if before == Ok(1) {
        say("READY=1");
    }
}

/// The process has been told to end.
pub(crate) fn stopping() {
    say("STOPPING=1");
}

/// Tells the supervisor that the loop turns, if it wants to know.
pub(crate) fn watch(pulse: PulseHandle) -> Result<(), Failure> {
    let Some(every) = interval() else {
        return Ok(());
    };
    let work = move || {
        loop {
            let before = pulse.turns();
            pulse.ring();
            thread::sleep(every / 2);
            if pulse.turns() != before {
                say("WATCHDOG=1");
            }
        }
    };
    thread::Builder::new()
        .name("watchdog".into())
        .stack_size(128 * 1024)
        .spawn(work)
        .map(drop)
        .map_err(|error| Failure::failed("start the watchdog", error))
}

/// How often the supervisor wants to hear. The variable may be meant for another process.
fn interval() -> Option<Duration> {
    let for_us = |pid: String| pid.parse() == Ok(std::process::id());
    if !env::var("WATCHDOG_PID").map_or(true, for_us) {
        return None;
    }
    let micros: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}

/// Says a word. A supervisor that does not listen changes nothing here.
fn say(word: &str) {
    if let Err(error) = try_say(word) {
        log::debug!("supervisor not told {word}: {error}");
    }
}

fn try_say(word: &str) -> io::Result<()> {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let address = match path.as_encoded_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&path)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A supervisor that reads nothing must not stop the loop.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(word.as_bytes(), &address).map(drop)
}
