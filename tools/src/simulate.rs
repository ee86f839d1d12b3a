#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[path = "simulate/chord.rs"]
mod chord;
#[path = "simulate/report.rs"]
mod report;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use roles::mutants as chord_mutants;
use roles::mutants::{DocumentMutant, RingMutant};
use tests::data_mutants::{self, DataMutant};
use tests::documents;
use tests::mutants;
use tests::run::{self, Length, Outcome};
use tests::strangers::{self, BorderMutant};

use report::Total;

/// Runs many seeds of the simulated world.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them, decimal or 0x...
    #[arg(long, default_value = "0", value_parser = number)]
    from: u64,
    /// Threads; by default one per core.
    #[arg(long)]
    threads: Option<usize>,
    /// Events of a seed's troubled phase.
    #[arg(long, default_value_t = Length::STANDARD.events)]
    events: u64,
    /// Prints the last lines of every seed that breaks an invariant.
    #[arg(long)]
    trace: bool,
    /// Runs small worlds about the ring alone.
    #[arg(long)]
    rings: bool,
    /// Runs small worlds about the circle of data nodes.
    #[arg(long)]
    circles: bool,
    /// Runs small worlds about copies and disks.
    #[arg(long)]
    copies: bool,
    /// Runs small worlds about what listeners write.
    #[arg(long)]
    documents: bool,
    /// Runs small worlds in which one member lies: one bit in one of ten of its envelopes is false.
    #[arg(long)]
    liars: bool,
    /// Runs small worlds in which strangers take the places of newcomers, many at once.
    #[arg(long)]
    strangers: bool,
    /// Runs worlds of an hour in which connections break, messages are late and nodes stand still
    /// for less than four seconds. No node may be declared dead.
    #[arg(long)]
    ruffled: bool,
    /// Plants each mutant and prints which world finds it: a world about the ring, or with
    /// `--copies`, `--circles`, `--documents`, `--liars` or `--strangers` a world about those.
    #[arg(long)]
    mutants: bool,
}

#[derive(Subcommand)]
enum What {
    /// Prints the figures of the Chord circle beside the papers'; exits with 1 if a target is missed.
    Chord {
        /// How many schedules of messages to run, and to try for each mutant of the circle.
        #[arg(long, default_value_t = 500)]
        schedules: u64,
    },
}

fn number(text: &str) -> Result<u64, std::num::ParseIntError> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let fine = if let Some(What::Chord { schedules }) = args.what {
        chord::tell(schedules)
    } else if args.mutants && args.copies {
        find_data_mutants(args.seeds)
    } else if args.mutants && args.documents {
        find_document_mutants(args.seeds)
    } else if args.mutants && args.circles {
        find_chord_mutants(args.seeds)
    } else if args.mutants && args.strangers {
        find_border_mutants(args.seeds)
    } else if args.mutants && args.liars {
        find_mutants(&mutants::CREDULOUS, mutants::found_in_liars, args.seeds)
    } else if args.mutants {
        let credulous = |mutant: &RingMutant| mutants::CREDULOUS.contains(mutant);
        let all = RingMutant::ALL.into_iter().filter(|m| !credulous(m));
        let all: Vec<RingMutant> = all.collect();
        find_mutants(&all, mutants::found_in_rings, args.seeds)
    } else {
        run_seeds(&args)
    };
    match fine {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

fn run_seeds(args: &Args) -> io::Result<bool> {
    let threads = args.threads.unwrap_or_else(cores);
    let begun = Instant::now();
    let total = run_all(args, threads);
    writeln!(io::stderr())?;
    total.tell(args.from, begun.elapsed(), &mut io::stdout().lock())?;
    Ok(total.is_fine())
}

fn find_mutants(
    all: &[RingMutant],
    find: fn(RingMutant, u64) -> Option<(u64, &'static str)>,
    worlds: u64,
) -> io::Result<bool> {
    let mut missed = 0;
    for mutant in all {
        let found = find(*mutant, worlds);
        missed += usize::from(found.is_none());
        let name = format!("{mutant:?}");
        writeln!(io::stdout(), "{name:<24} {found:?}")?;
    }
    Ok(missed == 0)
}

/// Tries each mutant of the circle. A mutant that is not found is no failure: the member table
/// repairs the damage of some mutants before a check sees it.
fn find_chord_mutants(worlds: u64) -> io::Result<bool> {
    for mutant in chord_mutants::ChordMutant::ALL {
        let found = mutants::found_in_circles(mutant, worlds);
        let name = format!("{mutant:?}");
        writeln!(io::stdout(), "{name:<26} {found:?}")?;
    }
    Ok(true)
}

fn find_data_mutants(worlds: u64) -> io::Result<bool> {
    let mut missed = 0;
    for mutant in DataMutant::all() {
        let found = data_mutants::found_in_copies(mutant, worlds);
        missed += usize::from(found.is_none());
        let name = format!("{mutant:?}");
        writeln!(io::stdout(), "{name:<32} {found:?}")?;
    }
    Ok(missed == 0)
}

fn find_document_mutants(worlds: u64) -> io::Result<bool> {
    let mut missed = 0;
    for mutant in DocumentMutant::ALL {
        let found = documents::found_in_documents(mutant, worlds);
        missed += usize::from(found.is_none());
        let name = format!("{mutant:?}");
        writeln!(io::stdout(), "{name:<24} {found:?}")?;
    }
    Ok(missed == 0)
}

fn find_border_mutants(worlds: u64) -> io::Result<bool> {
    let mut missed = 0;
    for mutant in BorderMutant::ALL {
        let found = strangers::found_among_strangers(mutant, worlds);
        missed += usize::from(found.is_none());
        let name = format!("{mutant:?}");
        writeln!(io::stdout(), "{name:<24} {found:?}")?;
    }
    Ok(missed == 0)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

fn run_all(args: &Args, threads: usize) -> Total {
    let next = AtomicU64::new(args.from);
    let end = args.from + args.seeds;
    let total = Mutex::new(Total::default());
    let one = || {
        let mut busy = Duration::ZERO;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            let outcome = run_one(args, seed);
            if let Ok(mut total) = total.lock() {
                total.add(outcome);
                let spent = report::processor_time();
                total.busy += spent.saturating_sub(busy);
                busy = spent;
                // A failure to show the progress must not fail the run.
                let _ = total.progress(args.seeds);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(one);
        }
    });
    total
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn run_one(args: &Args, seed: u64) -> Outcome {
    let length = Length {
        events: args.events,
        ..Length::STANDARD
    };
    if args.copies {
        return run::run_copies(seed, data_mutants::LENGTH, args.trace);
    }
    if args.documents {
        return run::run_documents(seed, data_mutants::LENGTH, args.trace);
    }
    if args.ruffled {
        return run::run_ruffled(seed, Length::HOUR, args.trace);
    }
    if args.circles {
        return run::run_circle(seed, mutants::RING_LENGTH, args.trace);
    }
    if args.liars {
        return run::run_liars(seed, mutants::RING_LENGTH, args.trace);
    }
    if args.strangers {
        return run::run_strangers(seed, mutants::RING_LENGTH, args.trace);
    }
    if args.rings {
        return run::run_ring(seed, mutants::RING_LENGTH, args.trace);
    }
    let outcome = run::run(seed, length);
    if outcome.violation.is_some() && args.trace {
        return run::tell(seed, length);
    }
    outcome
}
