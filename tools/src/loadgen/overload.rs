//! More than the nodes can serve: what they can, some times as much, and afterwards.
//!
//! First a closed loop finds how much is answered. Then come three open loops: a third of that, several
//! times that, and a third again. The conditions of `--fail-on` are about the last one: a cluster that
//! was asked too much must be as it was before.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::{Load, Requests};
use super::failure::Failure;
use super::latencies;
use super::report::Report;
use super::session::{Session, print, verdict};

/// Requests that each connection keeps in flight while the capacity is looked for.
const PIPELINE: u32 = 16;

/// The part of the capacity that is asked for before and after.
const AT_EASE: f64 = 1.0 / 3.0;

/// What came out of one load.
struct Phase {
    name: &'static str,
    /// Requests a second; none: as fast as they are answered.
    rate: Option<f64>,
    report: Report,
}

/// The figures of a row, in its order.
const FIGURES: [&str; 6] = ["answered", "refused", "late", "lost", "unreachable", "rate"];

/// The latencies of a row, in its order.
const LATENCIES: [&str; 3] = ["p50", "p99", "max"];

/// Loads the cluster with `times` what it can serve.
pub(super) fn run(
    session: &mut Session<'_>,
    requests: &Requests,
    times: f64,
) -> Result<ExitCode, Failure> {
    let closed = Requests {
        rate: None,
        pipeline: Some(PIPELINE),
        ..requests.clone()
    };
    let report = session.run(&Load::Requests(closed), &[])?;
    let capacity = report.value("rate").unwrap_or(0.0);
    if capacity <= 0.0 {
        return Err(Failure::failed("find the capacity", "nothing was answered"));
    }
    let mut phases = vec![Phase {
        name: "capacity",
        rate: None,
        report,
    }];
    for (name, part) in [("before", AT_EASE), ("overload", times), ("after", AT_EASE)] {
        let rate = capacity * part;
        let open = Requests {
            rate: Some(rate),
            pipeline: None,
            ..requests.clone()
        };
        let report = session.run(&Load::Requests(open), &[])?;
        let rate = Some(rate);
        phases.push(Phase { name, rate, report });
    }
    let last = phases.last().map(|phase| &phase.report);
    let broken = last.map_or_else(Vec::new, |last| last.broken(&session.common.fail_on));
    print(&if session.common.json {
        format!("{}\n", object(capacity, &phases, &broken))
    } else {
        table(&phases)
    })?;
    Ok(verdict(&broken))
}

fn object(capacity: f64, phases: &[Phase], broken: &[String]) -> Value {
    let phase = |phase: &Phase| {
        let names = FIGURES.iter().chain(&LATENCIES);
        let figures = names.map(|name| ((*name).to_owned(), json!(phase.report.value(name))));
        let figures: serde_json::Map<String, Value> = figures.collect();
        json!({"name": phase.name, "offered": phase.rate, "figures": figures})
    };
    let phases: Vec<Value> = phases.iter().map(phase).collect();
    json!({"capacity": capacity, "phases": phases, "broken": broken})
}

fn table(phases: &[Phase]) -> String {
    let mut text = format!("{:<10} {:>10}", "", "offered/s");
    for name in FIGURES.iter().chain(&LATENCIES) {
        let name = match *name {
            "rate" => "answered/s",
            "unreachable" => "not asked",
            name => name,
        };
        text += &format!(" {name:>10}");
    }
    for Phase { name, rate, report } in phases {
        let rate = rate.map_or("closed".to_owned(), |rate| format!("{rate:.0}"));
        text += &format!("\n{name:<10} {rate:>10}");
        for name in FIGURES {
            text += &format!(" {:>10.0}", report.value(name).unwrap_or(0.0));
        }
        for name in LATENCIES {
            let latency = Duration::from_secs_f64(report.value(name).unwrap_or(0.0));
            text += &format!(" {:>10}", latencies::in_words(latency));
        }
    }
    text + "\n"
}
