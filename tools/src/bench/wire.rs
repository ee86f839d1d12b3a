//! The node protocol: fragments against nginx, small requests against redis, processor time per GB.

use std::time::{Duration, Instant};

use super::peers;
use super::proc;
use super::stage::{Cluster, Stage};
use super::streams::{self, MUSIC};
use super::{Figure, Outcome, megabytes_per_second, per_second};
use crate::loadgen::{Failure, Report};

/// Bytes of a fragment of the songs: ten seconds at 320 kbit/s.
const FRAGMENT: u64 = 400_000;

/// Eight connections with two fragments in flight each.
const FETCH: &str = "requests --mix fetch=1 --connections 8 --pipeline 2 --zipf 0";

/// Fragments of one data node, against the same number of bytes at random places from nginx.
pub(super) fn fragments(
    stage: &Stage,
    seconds: Duration,
    insecure: bool,
) -> Result<Outcome, Failure> {
    if let Some(missing) = peers::missing(&["nginx", "wrk"]) {
        return Ok(Outcome::Skipped(missing));
    }
    let cluster = with_music(stage, insecure)?;
    let report = load(&cluster, FETCH, seconds)?;
    let ours = report.value("throughput").unwrap_or(0.0);
    let theirs = nginx(stage, &cluster, seconds)?.0;
    let what = if insecure {
        "fragments, not encrypted"
    } else {
        "fragments, encrypted"
    };
    let pair = (ours, theirs);
    Ok(Outcome::Measured(vec![Figure::more_is_better(
        what,
        pair,
        "nginx",
        megabytes_per_second,
    )]))
}

/// Locate with 64 in flight, on one connection and on 64, against redis with 64 clients.
pub(super) fn locate(stage: &Stage, seconds: Duration) -> Result<Outcome, Failure> {
    if let Some(missing) = peers::missing(&["redis-server", "redis-benchmark"]) {
        return Ok(Outcome::Skipped(missing));
    }
    let cluster = with_music(stage, false)?;
    let rate = |shape: &str| -> Result<f64, Failure> {
        let report = load(
            &cluster,
            &format!("requests --mix locate=1 {shape}"),
            seconds,
        )?;
        Ok(report.value("rate").unwrap_or(0.0))
    };
    let one = rate("--connections 1 --pipeline 64")?;
    let many = rate("--connections 64 --pipeline 1")?;
    let (_redis, at) = peers::redis()?;
    let theirs = peers::redis_get(at, 64)?;
    let figure =
        |what: &str, ours| Figure::more_is_better(what, (ours, theirs), "redis", per_second);
    Ok(Outcome::Measured(vec![
        figure("locate, 1 connection, 64 in flight", one),
        figure("locate, 64 connections", many),
    ]))
}

/// Processor seconds of the server per GB: data node with encryption, and without.
pub(super) fn cpu(stage: &Stage, seconds: Duration) -> Result<Outcome, Failure> {
    if let Some(missing) = peers::missing(&["nginx", "wrk"]) {
        return Ok(Outcome::Skipped(missing));
    }
    let mut figures = Vec::new();
    for (what, insecure) in [("encrypted", false), ("not encrypted", true)] {
        let cluster = with_music(stage, insecure)?;
        let before = proc::cpu(cluster.data.pid());
        let report = load(&cluster, FETCH, seconds)?;
        let spent = (proc::cpu(cluster.data.pid()) - before).as_secs_f64();
        let ours = spent / (report.value("bytes").unwrap_or(0.0) / 1e9);
        let theirs = nginx(stage, &cluster, seconds)?.1;
        let what = format!("per GB of fragments, {what}");
        figures.push(Figure::less_is_better(
            what,
            (ours, theirs),
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

/// Bytes per second of nginx for ranges as long as fragments, and its processor seconds per GB.
fn nginx(stage: &Stage, cluster: &Cluster<'_>, seconds: Duration) -> Result<(f64, f64), Failure> {
    let (music, _) = stage.music("music", MUSIC)?;
    let root = streams::served(stage, cluster, &music)?;
    let script = streams::script(stage, &root, Some(FRAGMENT))?;
    let (nginx, at) = peers::nginx(stage, &root.folder)?;
    let (before, begun) = (proc::cpu(nginx.pid()), Instant::now());
    let measured = peers::wrk(at, &script, 2 * streams::CONNECTIONS, seconds)?;
    let spent = (proc::cpu(nginx.pid()) - before).as_secs_f64();
    let bytes = measured.bytes * begun.elapsed().as_secs_f64();
    Ok((measured.bytes, spent / (bytes / 1e9)))
}
