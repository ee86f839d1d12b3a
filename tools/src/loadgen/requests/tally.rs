//! What became of all requests: of the whole run, and of the present second.

use std::time::Duration;

use super::super::course::{Course, Row};
use super::super::latencies::Latencies;
use super::super::report::{Figure, Report, Unit};
use super::mix::Kind;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Answered,
    /// The node said no, or answered something else.
    Refused,
    /// No answer in time.
    Late,
    /// Its connection was lost.
    Lost,
    /// No connection to a node that could answer.
    Unreachable,
}

/// Names of the figures, for `--fail-on`.
pub(crate) const FIGURES: [&str; 9] = [
    "answered",
    "rate",
    "failed",
    "refused",
    "late",
    "lost",
    "unreachable",
    "bytes",
    "throughput",
];

/// Sums over all requests.
pub(crate) struct Tally {
    all: Latencies,
    kinds: Vec<(Kind, Latencies)>,
    second: Latencies,
    row: Row,
    answered: u64,
    refused: u64,
    late: u64,
    lost: u64,
    unreachable: u64,
    bytes: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let kinds = Kind::ALL.map(|kind| (kind, Latencies::new()));
        Tally {
            all: Latencies::new(),
            kinds: kinds.into(),
            second: Latencies::new(),
            row: Row::default(),
            answered: 0,
            refused: 0,
            late: 0,
            lost: 0,
            unreachable: 0,
            bytes: 0,
        }
    }

    /// Notes the end of a request. A late or lost one has a latency, too: leaving it out would make
    /// a node look the faster the more it loses. A refusal has none, because it answers nothing.
    pub(crate) fn on_end(&mut self, kind: Kind, ended: Ended, took: Duration) {
        let count = match ended {
            Ended::Answered => &mut self.answered,
            Ended::Refused => &mut self.refused,
            Ended::Late => &mut self.late,
            Ended::Lost => &mut self.lost,
            Ended::Unreachable => &mut self.unreachable,
        };
        *count += 1;
        match ended {
            Ended::Answered => self.row.done += 1,
            Ended::Refused | Ended::Late | Ended::Lost | Ended::Unreachable => {
                self.row.failed += 1;
            }
        }
        if matches!(ended, Ended::Answered | Ended::Late | Ended::Lost) {
            self.all.add(took);
            self.second.add(took);
            if let Some((_, of)) = self.kinds.iter_mut().find(|(k, _)| *k == kind) {
                of.add(took);
            }
        }
    }

    /// Notes bytes of songs that came or went.
    pub(crate) fn on_bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.row.bytes += bytes;
    }

    /// Requests that nobody could take.
    pub(crate) fn unreachable(&self) -> u64 {
        self.unreachable
    }

    /// The second that has passed.
    pub(crate) fn row(&mut self, open: u64, waiting: u64) -> Row {
        let mut row = std::mem::take(&mut self.row);
        (row.open, row.waiting, row.steady) = (open, waiting, true);
        row.set_latencies(&self.second);
        self.second.clear();
        row
    }

    /// The result of a run.
    pub(crate) fn report(&mut self, title: String, took: Duration) -> Report {
        let seconds = took.as_secs_f64().max(1e-9);
        let failed = self.refused + self.late + self.lost + self.unreachable;
        let (rate, throughput) = (self.answered as f64 / seconds, self.bytes as f64 / seconds);
        let figures = vec![
            Figure::count("answered", "answered", self.answered),
            Figure::of("rate", "rate", rate, Unit::PerSecond),
            Figure::count("failed", "without an answer", failed),
            Figure::count("refused", "  refused", self.refused),
            Figure::count("late", "  later than 5 s", self.late),
            Figure::count("lost", "  connection lost", self.lost),
            Figure::count("unreachable", "  nobody to ask", self.unreachable),
            Figure::of("bytes", "bytes of songs", self.bytes as f64, Unit::Bytes),
            Figure::of("throughput", "bytes per second", throughput, Unit::Bytes),
        ];
        let kinds = self
            .kinds
            .iter()
            .map(|(kind, of)| (kind.name().to_owned(), of.clone()));
        let histograms = [("all".to_owned(), self.all.clone())]
            .into_iter()
            .chain(kinds);
        Report {
            title,
            took,
            figures,
            histograms: histograms.collect(),
            course: Course::default(),
            warnings: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_report() {
        let report = Tally::new().report("x".into(), Duration::from_secs(1));
        let names: Vec<&str> = report.figures.iter().map(|figure| figure.name).collect();
        assert_eq!(names, FIGURES);
    }

    /// What was lost is as slow as it was; what was refused is not fast.
    #[test]
    fn lost_requests_have_latencies_and_refused_ones_have_none() {
        let mut tally = Tally::new();
        tally.on_end(Kind::List, Ended::Answered, Duration::from_millis(1));
        tally.on_end(Kind::List, Ended::Lost, Duration::from_secs(2));
        tally.on_end(Kind::List, Ended::Refused, Duration::from_micros(9));
        let row = tally.row(0, 0);
        assert_eq!((row.done, row.failed), (1, 2));
        let report = tally.report("x".into(), Duration::from_secs(1));
        assert_eq!(report.histograms[0].1.count(), 2);
        assert!(report.value("max").unwrap() >= 2.0);
        assert_eq!(report.value("failed"), Some(2.0));
    }
}
