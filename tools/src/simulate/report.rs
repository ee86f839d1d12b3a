//! Totals over many seeds, and the table at the end of a run.

use std::fs;
use std::io::{self, Write};
use std::time::Duration;

use tests::coverage::{COUNTED, Coverage, OF_LISTENERS};
use tests::figures::Figures;
use tests::run::Outcome;

/// Totals over all seeds so far.
#[derive(Default)]
pub(crate) struct Total {
    seeds: u64,
    events: u64,
    simulated: Duration,
    /// Simulated lifetime of all nodes together, in seconds.
    lived: f64,
    broken: Vec<Outcome>,
    seen: Vec<Coverage>,
    figures: Figures,
    /// Processor time of all threads together.
    pub(crate) busy: Duration,
}

impl Total {
    /// Adds a seed's outcome.
    pub(crate) fn add(&mut self, mut outcome: Outcome) {
        self.seeds += 1;
        self.events += outcome.events;
        self.simulated += Duration::from_nanos(outcome.span.as_nanos());
        self.lived += outcome.nodes as f64 * outcome.span.as_nanos() as f64 / 1e9;
        self.seen.push(outcome.seen);
        self.figures.add(std::mem::take(&mut outcome.figures));
        if outcome.violation.is_some() {
            self.broken.push(outcome);
        }
    }

    /// Whether no seed broke an invariant.
    pub(crate) fn is_fine(&self) -> bool {
        self.broken.is_empty()
    }

    /// Shows the progress after every 20 seeds and at the end.
    pub(crate) fn progress(&self, seeds: u64) -> io::Result<()> {
        if !self.seeds.is_multiple_of(20) && self.seeds != seeds {
            return Ok(());
        }
        let mut err = io::stderr().lock();
        let broken = self.broken.len();
        write!(err, "\r{}/{seeds} seeds, {broken} violations", self.seeds)?;
        err.flush()
    }

    /// Prints the broken seeds and the table.
    pub(crate) fn tell(&self, from: u64, took: Duration, out: &mut impl Write) -> io::Result<()> {
        self.tell_broken(out)?;
        let days = self.simulated.as_secs_f64() / 86_400.0;
        let seconds = took.as_secs_f64();
        let busy = if self.busy.is_zero() { took } else { self.busy };
        let per_core = self.events as f64 / busy.as_secs_f64().max(1e-9);
        writeln!(out, "seeds           {} from {from}", self.seeds)?;
        writeln!(out, "simulated       {days:.2} days in {seconds:.1} s")?;
        writeln!(
            out,
            "events          {}, {per_core:.0} per second and core",
            self.events
        )?;
        for (name, of) in COUNTED.iter().chain(OF_LISTENERS) {
            let count: u64 = self.seen.iter().map(of).sum();
            writeln!(out, "{name:<15} {count}")?;
        }
        let messages: u64 = self.seen.iter().map(|seen| seen.messages).sum();
        let rate = messages as f64 / self.lived.max(1e-9);
        writeln!(out, "per node        {rate:.2} messages a second")?;
        let Figures {
            killed,
            silent,
            ideal,
            merged,
            circle,
            ..
        } = &self.figures;
        let rows = [
            ("killed, missed", killed),
            ("silent, missed", silent),
            // A round is the second between two reports.
            ("ideal ring", ideal),
            ("after a cut", merged),
            ("ideal circle", circle),
        ];
        for (name, durations) in rows {
            writeln!(out, "{name:<15} {}", spread(durations))?;
        }
        writeln!(out, "violations      {}", self.broken.len())
    }

    fn tell_broken(&self, out: &mut impl Write) -> io::Result<()> {
        for outcome in &self.broken {
            for line in &outcome.lines {
                writeln!(out, "{line}")?;
            }
            if let Some(violation) = &outcome.violation {
                writeln!(out, "seed {:#x}: {violation}", outcome.seed)?;
            }
        }
        Ok(())
    }
}

/// The median, the mean, the 99th percentile and the maximum of durations, in seconds.
fn spread(durations: &[Duration]) -> String {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let at = |permille: usize| {
        let index = sorted.len().saturating_sub(1) * permille / 1000;
        sorted.get(index).map_or(0.0, Duration::as_secs_f64)
    };
    let mean = sorted.iter().sum::<Duration>().as_secs_f64() / sorted.len().max(1) as f64;
    format!(
        "median {:.2} s, mean {mean:.2} s, 99th {:.2} s, longest {:.2} s of {}",
        at(500),
        at(990),
        at(1000),
        sorted.len()
    )
}

/// Processor time of this thread; zero where the system does not report it.
pub(crate) fn processor_time() -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let spent = told.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(spent.unwrap_or(0))
}
