//! How much longer an honest command takes while strangers hold connections open.
//!
//! `cargo run --release -p net --example strangers [held] [per second] [addresses] [commands]`
//!
//! Needs about as many file descriptors as connections are held (`ulimit -n`).
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod attack;

use std::thread;
use std::time::{Duration, Instant};

use attack::{Attack, Server};

fn main() {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse().unwrap());
    let mut next = |default| numbers.next().unwrap_or(default);
    let (held, rate, addresses) = (next(5000), next(1000), next(1));
    let commands = next(500);
    let server = Server::start();
    measure("alone", &server, commands);
    for (name, says) in [("silent", &b""[..]), ("half an opening", b"dspf")] {
        let attack = Attack {
            held,
            rate,
            addresses,
            says,
        };
        let begun = Instant::now();
        let strangers = attack.start(server.address);
        measure(name, &server, commands);
        let per_second = strangers.end() as f64 / begun.elapsed().as_secs_f64();
        println!("{name}: {per_second:.0} dials a second");
    }
}

fn measure(name: &str, server: &Server, commands: usize) {
    let one = |_| {
        thread::sleep(BETWEEN_COMMANDS);
        server.command()
    };
    let results: Vec<_> = (0..commands).map(one).collect();
    let mut times: Vec<Duration> = results.into_iter().flatten().collect();
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len().max(1) - 1));
    println!(
        "{name}: {} of {commands} answered, median {:?}, 99th {:?}, longest {:?}",
        times.len(),
        at(50).copied().unwrap_or_default(),
        at(99).copied().unwrap_or_default(),
        times.last().copied().unwrap_or_default(),
    );
}

/// Spreads the commands over the attack.
const BETWEEN_COMMANDS: Duration = Duration::from_millis(10);
