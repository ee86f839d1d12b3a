//! `dispotify verify`: a data directory checked while no node runs on it. Writes nothing.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use roles::contract::id::NodeId;
use serde::Serialize;
use storage::data_dir::{DataDirFault, Visit};
use storage::library::OpenFault;
use storage::library::verify::{self, Depth, Finding, Progress, Report};

use super::{json_line, line};
use crate::args::Verify;
use crate::failure::Failure;
use crate::settings;
use crate::text;

/// Checks a library; reports faults and how to repair them.
pub(crate) fn run(verify: &Verify) -> Result<(), Failure> {
    let (dir, visit) = visited(verify)?;
    let depth = if verify.quick {
        Depth::Quick
    } else {
        Depth::Whole
    };
    let report = checked(&dir, &visit, depth)?;
    if verify.json {
        json_line(&Object::of(&dir, visit.node, &report))?;
    } else {
        show(&dir, visit.node, &report, depth)?;
    }
    if report.is_clean() {
        return Ok(());
    }
    let wrong = report.findings.len() as u64 + report.more;
    let wrong = text::count(wrong, "finding");
    Err(Failure::failed(format!("verify {}", dir.display()), wrong))
}

/// The directory to check, locked while it is read. The directory of `serve` contains one directory
/// for each of its nodes.
fn visited(verify: &Verify) -> Result<(PathBuf, Visit), Failure> {
    let dir = match &verify.data_dir {
        Some(dir) => dir.clone(),
        None => settings::data_dir("serve")?,
    };
    let inner = dir.join("data");
    let dir = if !dir.join("node.json").exists() && inner.join("node.json").exists() {
        inner
    } else {
        dir
    };
    let visit = Visit::begin(&dir).map_err(|error| match error.why {
        DataDirFault::Absent => Failure::Usage(format!("{error}: give that of one by --data-dir")),
        DataDirFault::InUse { .. } => {
            Failure::Failed(format!("{error}: stop the node (or `serve`) first"))
        }
        DataDirFault::OtherKind { .. }
        | DataDirFault::Newer { .. }
        | DataDirFault::Corrupt(_)
        | DataDirFault::Io { .. } => Failure::Failed(error.to_string()),
    })?;
    if !["data", "auto"].contains(&visit.kind.as_str()) {
        return Err(Failure::Usage(format!(
            "{} belongs to a {} node, which keeps no songs: give the directory of a data node",
            dir.display(),
            visit.kind
        )));
    }
    Ok((dir, visit))
}

fn checked(dir: &Path, visit: &Visit, depth: Depth) -> Result<Report, Failure> {
    let bar = ProgressBar::new_spinner();
    let mut progress = |progress| match progress {
        Progress::Structure => {
            bar.set_message("checking the structure of the database");
            bar.tick();
        }
        Progress::Songs { bytes } => measure(&bar, bytes),
        Progress::Checked { bytes } => bar.inc(bytes),
    };
    let report = verify::verify(dir, visit.node, depth, &mut progress);
    bar.finish_and_clear();
    report.or_else(|error| match error.why {
        // An `auto` node may never have been a data node, and then it has no library.
        OpenFault::Absent if visit.kind == "auto" => Ok(Report::default()),
        OpenFault::Absent
        | OpenFault::Newer { .. }
        | OpenFault::Older { .. }
        | OpenFault::Foreign { .. }
        | OpenFault::NotALibrary
        | OpenFault::Corrupt(_)
        | OpenFault::DiskFull
        | OpenFault::Broken(_) => Err(Failure::Failed(error.to_string())),
    })
}

fn measure(bar: &ProgressBar, bytes: u64) {
    let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_length(bytes);
}

fn show(dir: &Path, node: NodeId, report: &Report, depth: Depth) -> Result<(), Failure> {
    line(&format!("{} of node {node}", dir.display()))?;
    line(&contents(report))?;
    for finding in &report.findings {
        line(&format!("wrong: {finding}"))?;
    }
    if report.more > 0 {
        line(&format!("and {}", text::count(report.more, "more finding")))?;
    }
    let mut cures: Vec<&str> = report.findings.iter().map(Finding::cure).collect();
    cures.sort_unstable();
    cures.dedup();
    for cure in cures {
        line(&format!("to do: {cure}"))?;
    }
    if report.is_clean() {
        line(match depth {
            Depth::Whole => "nothing is wrong",
            Depth::Quick => "nothing is wrong in its tables; the sound was not looked at",
        })?;
    }
    Ok(())
}

/// The contents as text, without the kinds that are absent.
fn contents(report: &Report) -> String {
    let mut parts = vec![
        text::count(report.songs, "song"),
        text::count(report.fragments, "fragment"),
        text::bytes(report.bytes),
    ];
    let more = [
        (report.staged, "upload"),
        (report.tombstones, "tombstone"),
        (report.leaving, "song to be cleared away"),
    ];
    let there = more.into_iter().filter(|(number, _)| *number > 0);
    parts.extend(there.map(|(number, noun)| match noun.split_once(' ') {
        Some((noun, rest)) => format!("{} {rest}", text::count(number, noun)),
        None => text::count(number, noun),
    }));
    parts.join(", ")
}

/// The report in JSON. The field names are a public interface.
#[derive(Serialize)]
struct Object {
    directory: String,
    node: String,
    clean: bool,
    songs: u64,
    fragments: u64,
    bytes: u64,
    uploads: u64,
    leaving: u64,
    tombstones: u64,
    copies_due: u64,
    scrubbed_at: Option<i64>,
    findings: Vec<Line>,
    findings_more: u64,
}

#[derive(Serialize)]
struct Line {
    kind: &'static str,
    song: Option<String>,
    fragment: Option<u32>,
    text: String,
    cure: &'static str,
}

impl Object {
    fn of(dir: &Path, node: NodeId, report: &Report) -> Self {
        Object {
            directory: dir.display().to_string(),
            node: node.to_string(),
            clean: report.is_clean(),
            songs: report.songs,
            fragments: report.fragments,
            bytes: report.bytes,
            uploads: report.staged,
            leaving: report.leaving,
            tombstones: report.tombstones,
            copies_due: report.copies_due,
            scrubbed_at: report.scrubbed_at,
            findings: report.findings.iter().map(Line::of).collect(),
            findings_more: report.more,
        }
    }
}

impl Line {
    fn of(finding: &Finding) -> Self {
        Line {
            kind: finding.kind(),
            song: finding.song().map(|song| song.to_string()),
            fragment: finding.fragment(),
            text: finding.to_string(),
            cure: finding.cure(),
        }
    }
}
