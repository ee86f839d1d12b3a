//! `/stream` of a web player, with a data node behind it, against nginx serving the same bytes.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::peers::{self, Wrk};
use super::rounds::{self, Rounds};
use super::stage::{Cluster, Stage};
use super::{Figure, Outcome, megabytes_per_second, per_second};
use crate::loadgen::Failure;

/// Songs of eight megabytes.
pub(super) const MUSIC: &str = "--count 24 --seconds 200 --kbps 320";

/// Connections of wrk.
pub(super) const CONNECTIONS: u32 = 8;

/// Random ranges of 256 KiB.
pub(super) fn ranges(stage: &Stage, seconds: Duration) -> Result<Outcome, Failure> {
    let against = against(stage, Some(262_144), seconds, |wrk| wrk.requests)?;
    Ok(against.map_or_else(Outcome::Skipped, |rounds| {
        let what = "ranges of 256 KiB";
        let figure = Figure::more_is_better(what, &rounds, "nginx", per_second);
        Outcome::Measured(vec![figure])
    }))
}

/// Whole songs.
pub(super) fn songs(stage: &Stage, seconds: Duration) -> Result<Outcome, Failure> {
    let against = against(stage, None, seconds, |wrk| wrk.bytes)?;
    Ok(against.map_or_else(Outcome::Skipped, |rounds| {
        let what = "whole songs of 8 MB";
        let figure = Figure::more_is_better(what, &rounds, "nginx", megabytes_per_second);
        Outcome::Measured(vec![figure])
    }))
}

/// Measures a figure of wrk on both sides; or says what is missing.
fn against(
    stage: &Stage,
    range: Option<u64>,
    seconds: Duration,
    figure: impl Fn(Wrk) -> f64,
) -> Result<Result<Rounds, String>, Failure> {
    if let Some(missing) = peers::missing(&["nginx", "wrk"]) {
        return Ok(Err(missing));
    }
    let (music, _) = stage.music("music", MUSIC)?;
    let cluster = stage.cluster(false)?;
    cluster.add(&music)?;
    let root = served(stage, &cluster, &music)?;
    let script = script(stage, &root, range)?;
    let (_web, page) = cluster.web()?;
    let (_nginx, nginx) = peers::nginx(stage, &root.folder)?;
    let seconds = rounds::of_round(seconds);
    let measure = |at: SocketAddr| -> Result<f64, Failure> {
        let measured = peers::wrk(at, &script, CONNECTIONS, seconds)?;
        if measured.failed > 0.0 {
            let line = format!("{} requests failed", measured.failed);
            return Err(Failure::failed("stream", line));
        }
        Ok(figure(measured))
    };
    Rounds::alternate(|| measure(page), || measure(nginx)).map(Ok)
}

/// The songs under the paths by which a page serves them.
pub(super) struct Root {
    pub(super) folder: PathBuf,
    /// Each with its id and size.
    songs: Vec<(String, u64)>,
}

/// A folder in which each song of the cluster has the path that the page gives it.
pub(super) fn served(stage: &Stage, cluster: &Cluster<'_>, music: &Path) -> Result<Root, Failure> {
    let (listed, _) = cluster.run(&["ls", "--json"])?;
    let lines = listed
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let songs = lines.filter_map(|line| {
        let song: Value = serde_json::from_slice(line).ok()?;
        let text = |name: &str| song[name].as_str().map(str::to_owned);
        Some((text("id")?, text("title")?, song["bytes"].as_u64()?))
    });
    let songs: Vec<(String, String, u64)> = songs.collect();
    let folder = stage.dir.join(format!("root{}", stage.number()));
    let failed = |error| Failure::failed("lay out songs for nginx", error);
    fs::create_dir_all(folder.join("stream")).map_err(failed)?;
    let mut files = Vec::new();
    files_below(music, &mut files);
    for (id, title, _) in &songs {
        // The title is in the file's name, and no two songs have the same.
        let named = |file: &&PathBuf| {
            file.file_stem()
                .is_some_and(|s| s.to_string_lossy().ends_with(title.as_str()))
        };
        if let Some(file) = files.iter().find(named) {
            fs::hard_link(file, folder.join("stream").join(id)).map_err(failed)?;
        }
    }
    let songs = songs.into_iter().map(|(id, _, bytes)| (id, bytes));
    Ok(Root {
        folder,
        songs: songs.collect(),
    })
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// A script for wrk: a random song, and a random range of it if a length is given.
pub(super) fn script(stage: &Stage, root: &Root, range: Option<u64>) -> Result<PathBuf, Failure> {
    let mut text = String::from("local songs = {\n");
    for (id, bytes) in &root.songs {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {{\"/stream/{id}\", {bytes}}},");
    }
    text.push_str(
        "}\nmath.randomseed(1)\nfunction request()\n  local song = songs[math.random(#songs)]\n",
    );
    match range {
        Some(length) => {
            let _ = writeln!(
                text,
                "  local from = math.random(0, song[2] - {length} - 1)\n  \
                 return wrk.format(\"GET\", song[1], {{Range = \"bytes=\" .. from .. \"-\" .. (from + {})}})",
                length - 1
            );
        }
        None => text.push_str("  return wrk.format(\"GET\", song[1])\n"),
    }
    text.push_str("end\n");
    let file = stage.dir.join(format!("script{}.lua", stage.number()));
    fs::write(&file, text).map_err(|error| Failure::failed("write wrk's script", error))?;
    Ok(file)
}
