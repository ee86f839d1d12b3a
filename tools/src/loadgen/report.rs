//! The result of a run: figures, histograms and course; for people, and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::course::{Course, Row};
use super::fail_on::FailOn;
use super::latencies::{Latencies, PERCENTILES, in_words};
use crate::units::bytes_in_words;

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Count,
    Seconds,
    Bytes,
    PerSecond,
}

/// One named number.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// The name in JSON and in `--fail-on`.
    pub(crate) name: &'static str,
    /// The name for people.
    pub(crate) words: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
}

/// What a run has shown.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// The kind of load, in words.
    pub(crate) title: String,
    pub(crate) took: Duration,
    pub(crate) figures: Vec<Figure>,
    /// Named histograms; the first is the one that `p99` in `--fail-on` means.
    pub(crate) histograms: Vec<(String, Latencies)>,
    pub(crate) course: Course,
    pub(crate) warnings: Vec<String>,
}

/// The figures that every report has from its first histogram, for `--fail-on`.
pub(crate) const OF_LATENCY: [&str; 7] = ["p50", "p90", "p99", "p99.9", "p99.99", "max", "mean"];

impl Figure {
    pub(crate) fn count(name: &'static str, words: &'static str, value: u64) -> Self {
        Figure {
            name,
            words,
            value: value as f64,
            unit: Unit::Count,
        }
    }

    pub(crate) fn of(name: &'static str, words: &'static str, value: f64, unit: Unit) -> Self {
        Figure {
            name,
            words,
            value,
            unit,
        }
    }

    fn in_words(&self) -> String {
        match self.unit {
            Unit::Count => format!("{:.0}", self.value),
            Unit::Seconds => in_words(Duration::from_secs_f64(self.value.max(0.0))),
            Unit::Bytes => bytes_in_words(self.value),
            Unit::PerSecond => format!("{:.1} per second", self.value),
        }
    }
}

impl Report {
    /// The value of a figure, durations in seconds; none if the run has no such figure.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        let figure = self.figures.iter().find(|figure| figure.name == name);
        let latency = || {
            let (_, all) = self.histograms.first()?;
            latency(all, name).map(|latency| latency.as_secs_f64())
        };
        figure.map(|figure| figure.value).or_else(latency)
    }

    /// A line for each condition that is true.
    pub(crate) fn broken(&self, fail_on: &FailOn) -> Vec<String> {
        let broken = fail_on.broken(|name| self.value(name));
        broken.iter().map(ToString::to_string).collect()
    }

    /// The summary for people.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let took = in_words(self.took);
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}, {took}", self.title);
        for figure in &self.figures {
            let _ = writeln!(out, "  {:<26} {}", figure.words, figure.in_words());
        }
        let _ = write!(out, "\n  {:<12} {:>9}", "latency", "count");
        for percent in PERCENTILES {
            let _ = write!(out, " {:>9}", percent_name(percent));
        }
        out.push('\n');
        for (name, all) in self.histograms.iter().filter(|(_, all)| all.count() > 0) {
            let _ = write!(out, "  {name:<12} {:>9}", all.count());
            for percent in PERCENTILES {
                let _ = write!(out, " {:>9}", in_words(all.at(percent)));
            }
            out.push('\n');
        }
        for (moment, words) in &self.course.events {
            let felt = match self.course.felt_for(*moment) {
                Some(0) => "nobody felt it".into(),
                Some(seconds) => format!("felt for {seconds} s"),
                None => "felt until the end of the run".into(),
            };
            let _ = writeln!(out, "  at {moment:.1} s: {words}: {felt}");
        }
        for warning in &self.warnings {
            let _ = writeln!(out, "  warning: {warning}");
        }
        out
    }

    /// The same for programs. Durations are in seconds.
    pub(crate) fn json(&self, broken: &[String]) -> Value {
        let figures = self
            .figures
            .iter()
            .map(|figure| (figure.name.to_owned(), json!(figure.value)));
        let histograms = self.histograms.iter().map(|(name, all)| {
            let mut percentiles = serde_json::Map::new();
            percentiles.insert("count".into(), json!(all.count()));
            percentiles.insert("mean".into(), json!(all.mean().as_secs_f64()));
            for percent in PERCENTILES {
                let at = all.at(percent).as_secs_f64();
                percentiles.insert(percent_name(percent), json!(at));
            }
            (name.clone(), Value::Object(percentiles))
        });
        let events = self.course.events.iter().map(|(moment, words)| {
            json!({"at": moment, "what": words, "felt_for": self.course.felt_for(*moment)})
        });
        json!({
            "title": self.title,
            "seconds": self.took.as_secs_f64(),
            "figures": figures.collect::<serde_json::Map<_, _>>(),
            "latency": histograms.collect::<serde_json::Map<_, _>>(),
            "course": self.course.rows.iter().map(row_json).collect::<Vec<_>>(),
            "events": events.collect::<Vec<_>>(),
            "warnings": self.warnings,
            "broken": broken,
        })
    }
}

fn row_json(row: &Row) -> Value {
    json!({
        "second": row.second, "done": row.done, "failed": row.failed, "open": row.open,
        "waiting": row.waiting, "stalls": row.stalls, "switches": row.switches, "bytes": row.bytes,
        "p50": row.p50.as_secs_f64(), "p99": row.p99.as_secs_f64(), "max": row.max.as_secs_f64(),
        "busy": row.busy, "late": row.late.as_secs_f64(),
    })
}

fn latency(all: &Latencies, name: &str) -> Option<Duration> {
    match name {
        "max" => Some(all.max()),
        "mean" => Some(all.mean()),
        _ => {
            let percent: f64 = name.strip_prefix('p')?.parse().ok()?;
            Some(all.at(percent))
        }
    }
}

/// `p99.9`, and `max` for all.
pub(crate) fn percent_name(percent: f64) -> String {
    if percent >= 100.0 {
        return "max".into();
    }
    format!("p{percent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut all = Latencies::new();
        (1..=100).for_each(|n| all.add(Duration::from_millis(n)));
        Report {
            title: "requests".into(),
            took: Duration::from_secs(10),
            figures: vec![Figure::count("stalls", "stalls", 3)],
            histograms: vec![("all".into(), all)],
            course: Course::default(),
            warnings: vec!["slow".into()],
        }
    }

    #[test]
    fn figures_and_percentiles_have_names() {
        let report = report();
        assert_eq!(report.value("stalls"), Some(3.0));
        let p99 = report.value("p99").unwrap();
        assert!((0.0985..0.0995).contains(&p99), "{p99}");
        assert_eq!(report.value("nonsense"), None);
        let fail_on = FailOn::parse("p99>50ms,max>1s,stalls>0").unwrap();
        assert_eq!(report.broken(&fail_on), ["p99>50ms", "stalls>0"]);
    }

    #[test]
    fn people_and_programs_get_the_same() {
        let report = report();
        let text = report.text();
        assert!(text.contains("stalls") && text.contains("p99.99"), "{text}");
        assert!(text.contains("warning: slow"), "{text}");
        let json = report.json(&[]);
        assert_eq!(json["figures"]["stalls"], 3.0);
        assert_eq!(json["latency"]["all"]["count"], 100);
    }
}
