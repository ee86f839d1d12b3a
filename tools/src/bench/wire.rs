//! The node protocol: fragments against nginx, small requests against redis, processor time per GB.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::peers;
use super::proc;
use super::rounds::{self, Rounds};
use super::stage::{Cluster, Process, Stage};
use super::streams::{self, MUSIC};
use super::{Figure, Outcome, megabytes_per_second, per_second};
use crate::loadgen::{Failure, Report};

/// Bytes of a fragment of the songs: ten seconds at 320 kbit/s.
const FRAGMENT: u64 = 400_000;

/// Eight connections with two fragments in flight each.
const FETCH: &str = "requests --mix fetch=1 --connections 8 --pipeline 2 --zipf 0";

/// Fragments of one data node, against as long ranges at random places from nginx.
pub(super) fn fragments(
    stage: &Stage,
    seconds: Duration,
    insecure: bool,
) -> Result<Outcome, Failure> {
    if let Some(missing) = peers::missing(&["nginx", "wrk"]) {
        return Ok(Outcome::Skipped(missing));
    }
    let cluster = with_music(stage, insecure)?;
    let nginx = Nginx::new(stage, &cluster)?;
    let seconds = rounds::of_round(seconds);
    let rounds = Rounds::alternate(
        || {
            Ok(load(&cluster, FETCH, seconds)?
                .value("throughput")
                .unwrap_or(0.0))
        },
        || Ok(nginx.measure(seconds)?.0),
    )?;
    let what = if insecure {
        "fragments, not encrypted"
    } else {
        "fragments, encrypted"
    };
    let figure = Figure::more_is_better(what, &rounds, "nginx", megabytes_per_second);
    Ok(Outcome::Measured(vec![figure]))
}

/// Locate with 64 in flight, on one connection and on 64, against redis with 64 clients.
pub(super) fn locate(stage: &Stage, seconds: Duration) -> Result<Outcome, Failure> {
    if let Some(missing) = peers::missing(&["redis-server", "redis-benchmark"]) {
        return Ok(Outcome::Skipped(missing));
    }
    let cluster = with_music(stage, false)?;
    let (_redis, at) = peers::redis()?;
    let seconds = rounds::of_round(seconds);
    let mut figures = Vec::new();
    let shapes = [
        (
            "locate, 1 connection, 64 in flight",
            "--connections 1 --pipeline 64",
        ),
        ("locate, 64 connections", "--connections 64 --pipeline 1"),
    ];
    for (what, shape) in shapes {
        let options = format!("requests --mix locate=1 {shape}");
        let rounds = Rounds::alternate(
            || {
                Ok(load(&cluster, &options, seconds)?
                    .value("rate")
                    .unwrap_or(0.0))
            },
            || peers::redis_get(at, 64),
        )?;
        figures.push(Figure::more_is_better(what, &rounds, "redis", per_second));
    }
    Ok(Outcome::Measured(figures))
}

/// Processor seconds of the server per GB: data node with encryption, and without.
pub(super) fn cpu(stage: &Stage, seconds: Duration) -> Result<Outcome, Failure> {
    if let Some(missing) = peers::missing(&["nginx", "wrk"]) {
        return Ok(Outcome::Skipped(missing));
    }
    let mut figures = Vec::new();
    let seconds = rounds::of_round(seconds);
    for (what, insecure) in [("encrypted", false), ("not encrypted", true)] {
        let cluster = with_music(stage, insecure)?;
        let nginx = Nginx::new(stage, &cluster)?;
        let per_gigabyte = || -> Result<f64, Failure> {
            let before = proc::cpu(cluster.data.pid());
            let report = load(&cluster, FETCH, seconds)?;
            let spent = (proc::cpu(cluster.data.pid()) - before).as_secs_f64();
            Ok(spent / (report.value("bytes").unwrap_or(0.0) / 1e9))
        };
        let rounds = Rounds::alternate(per_gigabyte, || Ok(nginx.measure(seconds)?.1))?;
        let what = format!("per GB of fragments, {what}");
        figures.push(Figure::less_is_better(
            what,
            &rounds,
            "nginx",
            super::seconds,
        ));
    }
    Ok(Outcome::Measured(figures))
}

fn with_music(stage: &Stage, insecure: bool) -> Result<Cluster<'_>, Failure> {
    let (music, _) = stage.music("music", MUSIC)?;
    let cluster = stage.cluster(insecure)?;
    cluster.add(&music)?;
    Ok(cluster)
}

/// Runs a load; one that the node did not answer is no figure.
fn load(cluster: &Cluster<'_>, options: &str, seconds: Duration) -> Result<Report, Failure> {
    let seconds = seconds.as_secs_f64();
    let report = cluster.load(&format!("{options} --seconds {seconds}"))?;
    match report.value("failed") {
        Some(failed) if failed > 0.0 => Err(Failure::failed(
            options,
            format!("{failed} requests failed"),
        )),
        Some(_) | None => Ok(report),
    }
}

/// nginx with the same songs, asked for ranges as long as fragments.
struct Nginx {
    process: Process,
    at: SocketAddr,
    script: PathBuf,
}

impl Nginx {
    fn new(stage: &Stage, cluster: &Cluster<'_>) -> Result<Self, Failure> {
        let (music, _) = stage.music("music", MUSIC)?;
        let root = streams::served(stage, cluster, &music)?;
        let script = streams::script(stage, &root, Some(FRAGMENT))?;
        let (process, at) = peers::nginx(stage, &root.folder)?;
        Ok(Nginx {
            process,
            at,
            script,
        })
    }

    /// Bytes per second, and processor seconds per GB.
    fn measure(&self, seconds: Duration) -> Result<(f64, f64), Failure> {
        let (before, begun) = (proc::cpu(self.process.pid()), Instant::now());
        let connections = 2 * streams::CONNECTIONS;
        let measured = peers::wrk(self.at, &self.script, connections, seconds)?;
        let spent = (proc::cpu(self.process.pid()) - before).as_secs_f64();
        let bytes = measured.bytes * begun.elapsed().as_secs_f64();
        Ok((measured.bytes, spent / (bytes / 1e9)))
    }
}
