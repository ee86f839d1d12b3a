//! The text itself: families of samples, in either of two formats.

use std::fmt::Write as _;

/// What a family's numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    /// It only grows. Its samples end in `_total`.
    Counter,
    Histogram,
}

/// A page being written. Writing to a string cannot fail.
pub(super) struct Page {
    text: String,
    open_metrics: bool,
    /// The name of the samples of the present family.
    name: String,
}

impl Page {
    pub(super) fn new(open_metrics: bool) -> Self {
        Page {
            text: String::new(),
            open_metrics,
            name: String::new(),
        }
    }

    /// Begins a family; its samples follow.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let (word, suffix) = match kind {
            Kind::Gauge => ("gauge", ""),
            Kind::Counter => ("counter", "_total"),
            Kind::Histogram => ("histogram", ""),
        };
        self.name = format!("{name}{suffix}");
        // The older text names a counter as its samples are named.
        let family = if self.open_metrics { name } else { &self.name };
        let _ = writeln!(self.text, "# HELP {family} {help}");
        let _ = writeln!(self.text, "# TYPE {family} {word}");
    }

    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.line("", labels, value);
    }

    /// The samples of a histogram: how many were within each bound, then how many there were and
    /// their sum.
    pub(super) fn histogram(
        &mut self,
        label: (&str, &str),
        within: &[(f64, u64)],
        (count, sum): (u64, f64),
    ) {
        for (bound, below) in within {
            let bound = number(*bound);
            self.line("_bucket", &[label, ("le", &bound)], *below as f64);
        }
        self.line("_bucket", &[label, ("le", "+Inf")], count as f64);
        self.line("_sum", &[label], sum);
        self.line("_count", &[label], count as f64);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (place, (name, text)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{name}=\"{}\"", escaped(text));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{after} {}", number(value));
    }

    pub(super) fn end(mut self) -> String {
        if self.open_metrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// A number as both formats read it; bounds of histograms have a point.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    value.to_string()
}

fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\");
    text.replace('"', "\\\"").replace('\n', "\\n")
}
