//! Idle nodes: memory, wake-ups, bytes written. There is no reference: the aim is as little as can
//! be.

use std::thread;
use std::time::Duration;

use super::proc;
use super::stage::{Process, Stage};
use super::{Figure, Outcome};
use crate::loadgen::Failure;
use crate::units::bytes_in_words;

/// After this time nodes that have just started rest.
const SETTLES: Duration = Duration::from_secs(20);

/// Each role on its own, and `serve`.
pub(super) fn idle(stage: &Stage, seconds: Duration) -> Result<Outcome, Failure> {
    let cluster = stage.cluster_with(false, &[])?;
    let mut serve = stage.command(&["serve", "--host", "127.0.0.1", "--port", "0"]);
    serve.args(["--web", "off", "--log", "warn", "--data-dir"]);
    serve.arg(stage.dir.join(format!("serve{}", stage.number())));
    let serve = stage.start(serve)?;
    let nodes = [
        ("dns", &cluster.dns),
        ("router", &cluster.router),
        ("data", &cluster.data),
        ("serve", &serve),
    ];
    // What is measured is rest, so this benchmark waits by design.
    thread::sleep(SETTLES);
    let before = nodes.map(|(_, node)| (proc::sleeps(node.pid()), proc::written(node.pid())));
    thread::sleep(seconds);
    let mut figures = Vec::new();
    for ((name, node), before) in nodes.into_iter().zip(before) {
        figures.extend(figures_of(name, node, before, seconds));
    }
    Ok(Outcome::Measured(figures))
}

fn figures_of(
    name: &str,
    node: &Process,
    (sleeps, written): (f64, f64),
    seconds: Duration,
) -> [Figure; 3] {
    let pid = node.pid();
    let wakes = (proc::sleeps(pid) - sleeps) / seconds.as_secs_f64();
    let written = proc::written(pid) - written;
    [
        Figure::alone(format!("{name}: memory"), bytes_in_words(proc::memory(pid))),
        Figure::alone(format!("{name}: wake-ups"), format!("{wakes:.1}/s")),
        Figure::alone(format!("{name}: written"), bytes_in_words(written)),
    ]
}
