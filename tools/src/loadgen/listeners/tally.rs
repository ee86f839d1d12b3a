//! What all listeners felt: of the whole run, and of the present second.

use std::time::Duration;

use super::super::course::{Course, Row};
use super::super::latencies::Latencies;
use super::super::player::{Cause, Change};
use super::super::report::{Figure, Report, Unit};
use super::heard::Heard;

/// Sums over all listeners.
pub(crate) struct Tally {
    starts: Latencies,
    jumps: Latencies,
    stalls: Latencies,
    /// From a press to sound, in this second.
    second: Latencies,
    row: Row,
    total: Row,
    songs: u64,
    /// Stalled listeners, at present.
    stalled: u64,
}

/// Names of the figures, for `--fail-on`.
pub(crate) const FIGURES: [&str; 10] = [
    "listeners",
    "never_started",
    "songs",
    "stalls",
    "stall_seconds",
    "stall_max",
    "switches",
    "refused",
    "bytes",
    "rate",
];

impl Tally {
    pub(crate) fn new() -> Self {
        Tally {
            starts: Latencies::new(),
            jumps: Latencies::new(),
            stalls: Latencies::new(),
            second: Latencies::new(),
            row: Row::default(),
            total: Row::default(),
            songs: 0,
            stalled: 0,
        }
    }

    /// Notes a change of a player.
    pub(crate) fn on_change(&mut self, change: Change) {
        match change {
            Change::Plays(Cause::Start, after) => {
                self.starts.add(after);
                self.second.add(after);
            }
            Change::Plays(Cause::Jump, after) => {
                self.jumps.add(after);
                self.second.add(after);
            }
            Change::Plays(Cause::Stall, after) => {
                self.stalls.add(after);
                self.stalled = self.stalled.saturating_sub(1);
            }
            Change::Stalled => {
                self.row.stalls += 1;
                self.stalled += 1;
            }
            Change::Ended => self.songs += 1,
        }
    }

    /// Notes what came from a source.
    pub(crate) fn on_heard(&mut self, heard: Heard) {
        match heard {
            Heard::Sound { bytes, .. } => {
                self.row.done += 1;
                self.row.bytes += bytes;
            }
            Heard::Switch => self.row.switches += 1,
            Heard::Refused => self.row.failed += 1,
            Heard::Last => (),
        }
    }

    /// A stall that the listener ended by asking for something else, or that the run's end cut off.
    pub(crate) fn on_stall_left(&mut self, after: Duration) {
        self.stalls.add(after);
        self.stalled = self.stalled.saturating_sub(1);
    }

    /// The second that has passed; `playing` listeners hear sound.
    pub(crate) fn row(&mut self, playing: u64) -> Row {
        let mut row = std::mem::take(&mut self.row);
        row.open = playing;
        row.waiting = self.stalled;
        row.set_latencies(&self.second);
        self.second.clear();
        self.total.done += row.done;
        self.total.failed += row.failed;
        self.total.stalls += row.stalls;
        self.total.switches += row.switches;
        self.total.bytes += row.bytes;
        row
    }

    /// The result of a run with so many listeners, of whom some never heard anything.
    pub(crate) fn report(
        &mut self,
        (count, never): (u64, u64),
        title: String,
        took: Duration,
    ) -> Report {
        let playing = count - never;
        self.row(playing);
        let total = &self.total;
        let seconds = took.as_secs_f64().max(1e-9);
        let stalled = self.stalls.sum().as_secs_f64();
        let longest = self.stalls.max().as_secs_f64();
        let figures = vec![
            Figure::count("listeners", "listeners", count),
            Figure::count("never_started", "heard nothing at all", never),
            Figure::count("songs", "songs heard to their end", self.songs),
            Figure::count("stalls", "stalls", total.stalls),
            Figure::of(
                "stall_seconds",
                "all stalls together",
                stalled,
                Unit::Seconds,
            ),
            Figure::of("stall_max", "longest stall", longest, Unit::Seconds),
            Figure::count("switches", "switches of holder", total.switches),
            Figure::count("refused", "songs that did not come", total.failed),
            Figure::of("bytes", "bytes", total.bytes as f64, Unit::Bytes),
            Figure::of(
                "rate",
                "bytes per second",
                total.bytes as f64 / seconds,
                Unit::Bytes,
            ),
        ];
        let histograms = [
            ("start", &self.starts),
            ("jump", &self.jumps),
            ("stall", &self.stalls),
        ];
        Report {
            title,
            took,
            figures,
            histograms: histograms
                .map(|(name, all)| (name.to_owned(), all.clone()))
                .into(),
            course: Course::default(),
            warnings: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every figure that `--fail-on` accepts is in the report.
    #[test]
    fn the_names_are_those_of_the_report() {
        let report = Tally::new().report((2, 1), "x".into(), Duration::from_secs(1));
        let names: Vec<&str> = report.figures.iter().map(|figure| figure.name).collect();
        assert_eq!(names, FIGURES);
    }

    #[test]
    fn a_stall_is_counted_when_it_begins_and_measured_when_it_ends() {
        let mut tally = Tally::new();
        tally.on_change(Change::Stalled);
        let row = tally.row(9);
        assert_eq!((row.stalls, row.waiting, row.open), (1, 1, 9));
        let second = Duration::from_secs(1);
        tally.on_change(Change::Plays(Cause::Stall, second));
        assert_eq!(tally.row(10).waiting, 0);
        let report = tally.report((10, 0), "x".into(), second);
        assert_eq!(report.value("stalls"), Some(1.0));
        assert!(report.value("stall_max").unwrap() >= 1.0);
    }
}
