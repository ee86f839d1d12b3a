//! A picture of a run: the course second by second above, the percentiles below.

use std::fmt::Write as _;

use super::latencies::{Latencies, in_words};
use super::report::{Report, percent_name};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 820.0;

/// Draws a report.
pub(crate) fn draw(report: &Report) -> String {
    let mut out = String::new();
    let open = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} 640\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"{WIDTH}\" height=\"640\" fill=\"white\"/>"
    );
    out.push_str(&open);
    text(&mut out, (LEFT, 28.0), "start", &report.title);
    course(&mut out, report);
    percentiles(&mut out, report);
    out.push_str("</svg>\n");
    out
}

/// What is done per second as bars, its 99th percentile as a line, stalls and failures as marks,
/// strokes as vertical lines.
fn course(out: &mut String, report: &Report) {
    let rows = &report.course.rows;
    let (top, bottom) = (50.0, 290.0);
    let wide = (RIGHT - LEFT) / rows.len().max(1) as f64;
    let most = rows.iter().map(|row| row.done).max().unwrap_or(0).max(1) as f64;
    let slow = rows
        .iter()
        .map(|row| row.p99.as_secs_f64())
        .fold(1e-6, f64::max);
    let at = |second: f64| LEFT + second * wide;
    let mut line = String::new();
    for (n, row) in rows.iter().enumerate() {
        let high = row.done as f64 / most * (bottom - top);
        let x = at(n as f64);
        rectangle(out, (x, bottom - high, wide * 0.9, high), "#cfe3f5");
        let y = bottom - row.p99.as_secs_f64() / slow * (bottom - top);
        // Writing to a string cannot fail, here and below.
        let _ = write!(line, "{:.1},{y:.1} ", x + wide / 2.0);
        if row.stalls + row.failed > 0 {
            rectangle(out, (x, bottom + 2.0, wide * 0.9, 8.0), "#d33");
        }
    }
    let _ = write!(
        out,
        "<polyline points=\"{line}\" fill=\"none\" stroke=\"#e07b00\" stroke-width=\"2\"/>"
    );
    for (moment, words) in &report.course.events {
        let x = at(*moment);
        let _ = write!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#d33\" stroke-dasharray=\"4\"/>"
        );
        text(out, (x + 4.0, top + 10.0), "start", words);
    }
    let slowest = in_words(std::time::Duration::from_secs_f64(slow));
    text(out, (LEFT - 6.0, top + 8.0), "end", &format!("{most:.0}"));
    text(out, (RIGHT + 6.0, top + 8.0), "start", &slowest);
    let caption = format!(
        "{} seconds: blue done per second, orange 99th percentile, red stalls or failures",
        rows.len()
    );
    text(out, (LEFT, bottom + 26.0), "start", &caption);
}

/// Latency over percentile, each further nine as wide as the one before; both from one histogram
/// per line.
fn percentiles(out: &mut String, report: &Report) {
    let (top, bottom) = (350.0, 590.0);
    let shown = report.histograms.iter().filter(|(_, all)| all.count() > 0);
    let shown: Vec<&(String, Latencies)> = shown.take(COLOURS.len()).collect();
    let slow = shown
        .iter()
        .map(|(_, all)| all.max().as_secs_f64())
        .fold(1e-5, f64::max);
    let fast = shown
        .iter()
        .map(|(_, all)| all.at(1.0).as_secs_f64())
        .fold(slow, f64::min);
    let decades = (slow / fast.max(1e-6)).log10().max(0.1);
    let x_of = |percent: f64| {
        let nines = -(1.0 - percent / 100.0).max(1e-5).log10();
        LEFT + nines / 5.0 * (RIGHT - LEFT)
    };
    let y_of = |seconds: f64| {
        let up = (seconds.max(1e-6) / fast.max(1e-6)).log10() / decades;
        bottom - up * (bottom - top)
    };
    for percent in [0.0, 90.0, 99.0, 99.9, 99.99, 99.999] {
        let x = x_of(percent);
        let _ = write!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/>"
        );
        text(out, (x, bottom + 16.0), "middle", &percent_name(percent));
    }
    for ((name, all), colour) in shown.iter().zip(COLOURS) {
        let mut line = String::new();
        for step in 0..=100 {
            let percent = 100.0 * (1.0 - 10_f64.powf(-f64::from(step) / 20.0));
            let (x, y) = (x_of(percent), y_of(all.at(percent).as_secs_f64()));
            let _ = write!(line, "{x:.1},{y:.1} ");
        }
        let _ = write!(
            out,
            "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
        let y = y_of(all.max().as_secs_f64());
        text(out, (RIGHT + 6.0, y + 4.0), "start", name);
    }
    let low = in_words(std::time::Duration::from_secs_f64(fast));
    let high = in_words(std::time::Duration::from_secs_f64(slow));
    text(out, (LEFT - 6.0, bottom), "end", &low);
    text(out, (LEFT - 6.0, top + 8.0), "end", &high);
    text(
        out,
        (LEFT, bottom + 36.0),
        "start",
        "latency by percentile, logarithmic",
    );
}

const COLOURS: [&str; 7] = [
    "#222", "#1f77b4", "#2ca02c", "#9467bd", "#e07b00", "#d33", "#888",
];

fn rectangle(out: &mut String, (x, y, wide, high): (f64, f64, f64, f64), fill: &str) {
    let _ = write!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{high:.1}\" fill=\"{fill}\"/>"
    );
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = write!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use super::super::course::{Course, Row};

    /// A picture has every second, every event and every histogram, and no open tags in its words.
    #[test]
    fn a_picture_shows_the_whole_run() {
        let mut all = Latencies::new();
        (1..=1000).for_each(|n| all.add(Duration::from_micros(n * 7)));
        let row = |second| Row {
            second,
            done: 100,
            p99: Duration::from_millis(2),
            ..Row::default()
        };
        let report = Report {
            title: "a < b".into(),
            took: Duration::from_secs(3),
            figures: Vec::new(),
            histograms: vec![("all".into(), all)],
            course: Course {
                rows: (1..=3).map(row).collect(),
                events: vec![(1.5, "kill & run".into())],
            },
            warnings: Vec::new(),
        };
        let drawn = draw(&report);
        assert_eq!(drawn.matches("#cfe3f5").count(), 3);
        assert!(drawn.contains("a &lt; b") && drawn.contains("kill &amp; run"));
        assert!(drawn.trim_end().ends_with("</svg>") && !drawn.contains("NaN"));
    }

    /// A run that was stopped before its first second has a picture, too.
    #[test]
    fn an_empty_run_can_be_drawn() {
        let report = Report {
            title: String::new(),
            took: Duration::ZERO,
            figures: Vec::new(),
            histograms: vec![("all".into(), Latencies::new())],
            course: Course::default(),
            warnings: Vec::new(),
        };
        assert!(!draw(&report).contains("NaN"));
    }
}
