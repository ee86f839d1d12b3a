//! `ls` and `search` as whole commands, against `cat` of the same output.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::disk;
use super::rounds::{self, Rounds};
use super::stage::{Cluster, Stage};
use super::{Figure, Outcome};
use crate::loadgen::Failure;

/// How often each command runs; the median counts.
const TIMES: usize = 9;

/// The list of all songs, and a search of one word.
pub(super) fn lists(stage: &Stage, songs: u32) -> Result<Outcome, Failure> {
    let (folder, _) = disk::small(stage, songs)?;
    let cluster = stage.cluster(false)?;
    cluster.add(&folder)?;
    Ok(Outcome::Measured(vec![
        figure(stage, &cluster, &["ls"], format!("ls of {songs} songs"))?,
        figure(
            stage,
            &cluster,
            &["search", "maple"],
            format!("search in {songs} songs"),
        )?,
    ]))
}

fn figure(
    stage: &Stage,
    cluster: &Cluster<'_>,
    words: &[&str],
    what: String,
) -> Result<Figure, Failure> {
    let (said, _) = cluster.run(words)?;
    let file = stage.dir.join(format!("said{}", stage.number()));
    fs::write(&file, said).map_err(|error| Failure::failed("keep the output", error))?;
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..TIMES {
        ours.push(cluster.run(words)?.1);
        let begun = Instant::now();
        let status = Command::new("cat")
            .arg(&file)
            .stdout(Stdio::null())
            .status();
        status.map_err(|error| Failure::failed("run cat", error))?;
        theirs.push(begun.elapsed().as_secs_f64());
    }
    let rounds = Rounds::once(
        rounds::median(ours.into_iter()),
        rounds::median(theirs.into_iter()),
    );
    Ok(Figure::less_is_better(what, &rounds, "cat", super::seconds))
}
