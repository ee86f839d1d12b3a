//! Benchmarks: each figure beside a reference that is measured in the same run.
//!
//! One machine, one moment, one ratio: the machine's speed and its other work fall out of it. A
//! benchmark whose reference is not installed is skipped and says so.

mod disk;
mod idle;
mod instructions;
mod lists;
mod names;
mod peers;
mod proc;
mod rounds;
mod stage;
mod streams;
mod wire;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde_json::json;

use crate::loadgen::Failure;
use crate::units::duration;
use rounds::Rounds;
use stage::Stage;

/// Benchmarks of dispotify beside programs that do a part of the same.
#[derive(Debug, Parser)]
#[command(name = "bench", version, max_term_width = 100)]
pub(crate) struct Args {
    /// What to measure; `all` measures everything
    #[arg(value_enum, required_unless_present = "hot")]
    names: Vec<Name>,
    /// The binary under test [default: `dispotify` beside this program]
    #[arg(long, value_name = "FILE")]
    dispotify: Option<PathBuf>,
    /// Where songs and libraries go; several GB, on the kind of disk that is to be measured
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// How long each side of a ratio is measured
    #[arg(long, default_value = "5", value_name = "TIME", value_parser = duration)]
    seconds: Duration,
    /// Megabytes that `import` and `written` add
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    megabytes: u32,
    /// Songs that `import-small` adds and `ls` and `search` ask for
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    songs: u32,
    /// Print one JSON object per line instead of a table
    #[arg(long)]
    json: bool,
    /// Run a hot path and nothing else: the process that `instructions` counts
    #[arg(long, hide = true, value_enum)]
    hot: Option<instructions::Path>,
    #[arg(long, hide = true, default_value_t = 1)]
    times: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Random 256 KiB ranges of /stream against nginx
    Ranges,
    /// Whole songs of /stream against nginx
    Songs,
    /// Fragments over the node protocol against nginx
    Fragments,
    /// The same without encryption
    FragmentsPlain,
    /// Locate, 64 in flight, against redis GET
    Locate,
    /// Adding music, and bytes written for it, against cp and sync
    Import,
    /// Adding many small songs against cp and sync
    ImportSmall,
    /// Fragments read from a library against plain files
    Reads,
    /// Processor time per GB of fragments against nginx
    Cpu,
    /// Memory and wake-ups of idle nodes
    Idle,
    /// `ls` and `search`, whole commands
    Lists,
    /// DNS packets against knot
    Names,
    /// Instructions of the hot paths against the table
    Instructions,
    /// Everything
    All,
}

/// One line of the table.
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) ours: String,
    /// The reference in the same unit, and its name.
    pub(crate) reference: Option<(String, &'static str)>,
    /// How many times as good as the reference: the lowest, the median and the highest of all
    /// rounds.
    pub(crate) ratio: Option<[f64; 3]>,
}

/// What a benchmark gives.
pub(crate) enum Outcome {
    Measured(Vec<Figure>),
    /// Measured, and worse than it may be; the line says where.
    Missed(Vec<Figure>, String),
    Skipped(String),
}

/// Runs benchmarks with the process's arguments.
pub fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report("bench"),
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    if let Some(path) = args.hot {
        instructions::run(path, args.times);
        return Ok(());
    }
    let stage = Stage::new(args)?;
    let all = args.names.contains(&Name::All);
    let chosen = Name::value_variants().iter().copied();
    let mut missed = Vec::new();
    let chosen = chosen.filter(|name| *name != Name::All && (all || args.names.contains(name)));
    for name in chosen {
        let outcome = measure(name, &stage, args)?;
        let words = name.to_possible_value();
        let words = words.map_or(String::new(), |value| value.get_name().to_owned());
        tell(&words, &outcome, args.json)
            .map_err(|error| Failure::failed("print the figures", error))?;
        if let Outcome::Missed(_, line) = outcome {
            missed.push(line);
        }
    }
    if missed.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(missed.join("; ")))
}

fn measure(name: Name, stage: &Stage, args: &Args) -> Result<Outcome, Failure> {
    match name {
        Name::Ranges => streams::ranges(stage, args.seconds),
        Name::Songs => streams::songs(stage, args.seconds),
        Name::Fragments => wire::fragments(stage, args.seconds, false),
        Name::FragmentsPlain => wire::fragments(stage, args.seconds, true),
        Name::Locate => wire::locate(stage, args.seconds),
        Name::Import => disk::import(stage, args.megabytes),
        Name::ImportSmall => disk::import_small(stage, args.songs),
        Name::Reads => disk::reads(stage),
        Name::Cpu => wire::cpu(stage, args.seconds),
        Name::Idle => idle::idle(stage, args.seconds),
        Name::Lists => lists::lists(stage, args.songs),
        Name::Names => names::names(stage, args.seconds),
        Name::Instructions => instructions::instructions(),
        Name::All => Ok(Outcome::Measured(Vec::new())),
    }
}

fn tell(name: &str, outcome: &Outcome, as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match outcome {
        Outcome::Skipped(why) if as_json => {
            writeln!(out, "{}", json!({"bench": name, "skipped": why}))
        }
        Outcome::Skipped(why) => writeln!(out, "{name:<16} skipped: {why}"),
        Outcome::Measured(figures) | Outcome::Missed(figures, _) => {
            for figure in figures {
                let line = if as_json {
                    figure.json(name)
                } else {
                    figure.line(name)
                };
                writeln!(out, "{line}")?;
            }
            Ok(())
        }
    }
}

impl Figure {
    /// A figure and its reference, both so many per something: more is better.
    fn more_is_better(
        what: impl Into<String>,
        rounds: &Rounds,
        peer: &'static str,
        words: impl Fn(f64) -> String,
    ) -> Self {
        Figure {
            what: what.into(),
            ours: words(rounds.ours()),
            reference: Some((words(rounds.theirs()), peer)),
            ratio: Some(rounds.ratios()),
        }
    }

    /// The same where less is better.
    fn less_is_better(
        what: impl Into<String>,
        rounds: &Rounds,
        peer: &'static str,
        words: impl Fn(f64) -> String,
    ) -> Self {
        let [lowest, median, highest] = rounds.ratios();
        Figure {
            ratio: Some([1.0 / highest, 1.0 / median, 1.0 / lowest]),
            ..Figure::more_is_better(what, rounds, peer, words)
        }
    }

    /// A figure without a reference.
    fn alone(what: impl Into<String>, ours: String) -> Self {
        Figure {
            what: what.into(),
            ours,
            reference: None,
            ratio: None,
        }
    }

    fn line(&self, name: &str) -> String {
        let reference = match &self.reference {
            Some((value, peer)) => format!("{peer} {value}"),
            None => String::new(),
        };
        let ratio = match self.ratio {
            None => String::new(),
            Some([lowest, median, highest]) if lowest == highest => format!("ratio {median:.2}"),
            Some([lowest, median, highest]) => {
                format!("ratio {median:.2} ({lowest:.2} to {highest:.2})")
            }
        };
        let line = format!(
            "{name:<16} {:<34} {:>16}   {reference:<28} {ratio}",
            self.what, self.ours
        );
        line.trim_end().to_owned()
    }

    fn json(&self, name: &str) -> String {
        let reference = self.reference.as_ref();
        json!({
            "bench": name,
            "what": self.what,
            "ours": self.ours,
            "reference": reference.map(|(value, _)| value),
            "peer": reference.map(|(_, peer)| peer),
            "ratio": self.ratio.map(|[_, median, _]| median),
            "ratios": self.ratio,
        })
        .to_string()
    }
}

/// So many per second, for people.
pub(crate) fn per_second(value: f64) -> String {
    format!("{value:.0}/s")
}

/// Bytes per second, for people.
pub(crate) fn megabytes_per_second(value: f64) -> String {
    format!("{:.0} MB/s", value / 1e6)
}

/// Seconds, for people.
pub(crate) fn seconds(value: f64) -> String {
    format!("{value:.3} s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    /// A ratio above 1 is always in our favour.
    #[test]
    fn ratios_point_the_same_way() {
        let more = Figure::more_is_better("x", &Rounds::once(200.0, 100.0), "peer", per_second);
        let less = Figure::less_is_better("x", &Rounds::once(1.0, 2.0), "peer", seconds);
        assert_eq!((more.ratio, less.ratio), (Some([2.0; 3]), Some([2.0; 3])));
        assert!(
            more.line("name").contains("peer 100/s") && more.line("name").ends_with("ratio 2.00")
        );
        assert!(less.json("name").contains("\"ratio\":2.0"));
    }
}
