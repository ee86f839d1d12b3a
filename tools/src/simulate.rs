//! Runs many seeds of the simulated world, and tells what broke and how fast it went.
//!
//! `simulate --seeds 2000` takes a few minutes on two cores; `--from` lets a long run be made in
//! pieces. Exits with 1 if any seed breaks a rule.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use tests::run::{self, Length, Outcome};
use tests::world::Seen;

/// Runs many seeds of the simulated world.
#[derive(Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Threads; by default one per core.
    #[arg(long)]
    threads: Option<usize>,
    /// Events of a seed's troubled phase.
    #[arg(long, default_value_t = Length::STANDARD.events)]
    events: u64,
    /// Tells the last lines of every seed that breaks a rule.
    #[arg(long)]
    trace: bool,
}

/// Sums over all seeds so far.
#[derive(Default)]
struct Total {
    seeds: u64,
    events: u64,
    simulated: Duration,
    broken: Vec<Outcome>,
    seen: Vec<Seen>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let length = Length {
        events: args.events,
        ..Length::STANDARD
    };
    let threads = args.threads.unwrap_or_else(cores);
    let begun = Instant::now();
    let total = run_all(&args, length, threads);
    let took = begun.elapsed();
    let told = report(&args, &total, took, threads);
    if told.is_err() || !total.broken.is_empty() {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

fn run_all(args: &Args, length: Length, threads: usize) -> Total {
    let next = AtomicU64::new(args.from);
    let end = args.from + args.seeds;
    let total = Mutex::new(Total::default());
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let mut outcome = run::run(seed, length);
                    if outcome.violation.is_some() && args.trace {
                        outcome = run::tell(seed, length);
                    }
                    if let Ok(mut total) = total.lock() {
                        total.add(outcome);
                        // Progress is a courtesy: that it cannot be shown is no failure.
                        let _ = progress(&total, args.seeds);
                    }
                }
            });
        }
    });
    total
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Total {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.events += outcome.events;
        self.simulated += Duration::from_nanos(outcome.span.as_nanos());
        self.seen.push(outcome.seen);
        if outcome.violation.is_some() {
            self.broken.push(outcome);
        }
    }
}

fn progress(total: &Total, seeds: u64) -> io::Result<()> {
    if !total.seeds.is_multiple_of(20) && total.seeds != seeds {
        return Ok(());
    }
    let mut err = io::stderr().lock();
    let broken = total.broken.len();
    write!(err, "\r{}/{seeds} seeds, {broken} violations", total.seeds)?;
    err.flush()
}

fn report(args: &Args, total: &Total, took: Duration, threads: usize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(io::stderr())?;
    for outcome in &total.broken {
        let Some(violation) = &outcome.violation else {
            continue;
        };
        for line in &outcome.lines {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "seed {:#x}: {violation}", outcome.seed)?;
    }
    let seconds = took.as_secs_f64().max(1e-9);
    let per_core = total.events as f64 / seconds / threads as f64;
    let days = total.simulated.as_secs_f64() / 86_400.0;
    writeln!(out, "seeds           {} from {}", total.seeds, args.from)?;
    writeln!(out, "simulated       {days:.2} days in {seconds:.1} s")?;
    writeln!(
        out,
        "events          {}, {per_core:.0} per second and core",
        total.events
    )?;
    for (name, count) in faults(&total.seen) {
        writeln!(out, "{name:<15} {count}")?;
    }
    writeln!(out, "violations      {}", total.broken.len())
}

fn faults(seen: &[Seen]) -> Vec<(&'static str, u64)> {
    let sum = |of: fn(&Seen) -> u64| seen.iter().map(of).sum();
    tests::run::COUNTED
        .iter()
        .map(|(name, of)| (*name, sum(*of)))
        .collect()
}
