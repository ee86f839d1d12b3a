//! `dispotify add`: adds files and folders to the library.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use roles::contract::id::{OperationId, SongId, SourceId};
use roles::contract::song::{Format, Manifest};
use roles::contract::user::{self, Command, Notice};
use serde::Serialize;
use storage::import::walk;

use super::{json_line, line};
use crate::args::Add;
use crate::failure::Failure;
use crate::session::Session;
use crate::settings::Settings;
use crate::text;

/// Files uploaded at once: one can be read while another is sent.
const AT_ONCE: usize = 3;

/// Adds the named files. A file that fails is reported, and the others continue.
pub(crate) fn run(settings: &Settings, add: &Add) -> Result<(), Failure> {
    let session = Session::start(settings)?;
    add_all(&session, &add.paths, add.json, false)
}

/// Adds files and folders through a running client. `alone` means that a single data node is
/// intended, so songs with one copy cause no warning.
pub(crate) fn add_all(
    session: &Session,
    paths: &[PathBuf],
    json: bool,
    alone: bool,
) -> Result<(), Failure> {
    let mut songs = BTreeSet::new();
    add_and_note(session, paths, (json, alone), &mut songs)
}

/// The same; `songs` collects the songs that the library holds, even when other files fail.
pub(crate) fn add_and_note(
    session: &Session,
    paths: &[PathBuf],
    (json, alone): (bool, bool),
    songs: &mut BTreeSet<SongId>,
) -> Result<(), Failure> {
    let (files, unreadable) = walk(paths);
    let nothing = files.is_empty() && unreadable.is_empty();
    let mut work = Work::new(session, (json, alone), files.len(), songs);
    if nothing && !json {
        let named: Vec<String> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        work.tell(&format!("no music found in {}", named.join(", ")))?;
    }
    for (path, error) in unreadable {
        work.failed(&path, &error.to_string())?;
    }
    for path in files {
        while work.underway.len() >= AT_ONCE {
            work.step()?;
        }
        work.begin(path)?;
    }
    while !work.underway.is_empty() {
        work.step()?;
    }
    work.end()
}

/// The files in progress, and the results of the others.
struct Work<'a> {
    session: &'a Session,
    json: bool,
    alone: bool,
    bar: ProgressBar,
    underway: BTreeMap<OperationId, Underway>,
    added: u64,
    known: u64,
    failed: u64,
    /// Standard output is closed; the remaining files are still added.
    mute: Cell<bool>,
    /// The failure to reach the cluster, for the exit code.
    unreachable: Option<user::Failure>,
    /// The songs that the library holds.
    songs: &'a mut BTreeSet<SongId>,
}

struct Underway {
    path: PathBuf,
    source: SourceId,
    manifest: Option<Manifest>,
    /// Bytes already counted in the progress bar.
    shown: u64,
}

impl<'a> Work<'a> {
    fn new(
        session: &'a Session,
        (json, alone): (bool, bool),
        files: usize,
        songs: &'a mut BTreeSet<SongId>,
    ) -> Self {
        let bar = ProgressBar::new(0);
        let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(text::count(files as u64, "file"));
        Work {
            session,
            json,
            alone,
            bar,
            underway: BTreeMap::new(),
            added: 0,
            known: 0,
            failed: 0,
            mute: Cell::new(false),
            unreachable: None,
            songs,
        }
    }

    fn begin(&mut self, path: PathBuf) -> Result<(), Failure> {
        let operation = self.session.operation();
        let source = self.session.sources.add(&path);
        let underway = Underway {
            path,
            source,
            manifest: None,
            shown: 0,
        };
        self.underway.insert(operation, underway);
        self.session.give(Command::Upload { operation, source })
    }

    /// Waits for one notice and handles it.
    fn step(&mut self) -> Result<(), Failure> {
        match self.session.hear()? {
            Notice::Scanned {
                operation,
                manifest,
            } => {
                self.bar.inc_length(manifest.song.bytes);
                if let Some(underway) = self.underway.get_mut(&operation) {
                    underway.manifest = Some(manifest);
                }
            }
            Notice::Progress { operation, bytes } => self.on_progress(operation, bytes),
            Notice::Uploaded {
                operation,
                song,
                copies,
                known,
            } => return self.on_uploaded(operation, song, copies, known),
            Notice::Failed { operation, failure } => return self.on_failed(operation, failure),
            Notice::Fact { .. }
            | Notice::Ready { .. }
            | Notice::Stopped
            | Notice::Songs { .. }
            | Notice::Status { .. }
            | Notice::Records { .. }
            | Notice::Opened { .. }
            | Notice::Fragment { .. }
            | Notice::Removed { .. }
            | Notice::ReadDone { .. } => (), // These do not concern uploads.
        }
        Ok(())
    }

    fn on_progress(&mut self, operation: OperationId, bytes: u64) {
        if let Some(underway) = self.underway.get_mut(&operation) {
            self.bar.inc(bytes.saturating_sub(underway.shown));
            underway.shown = underway.shown.max(bytes);
        }
    }

    fn take(&mut self, operation: OperationId) -> Option<Underway> {
        let underway = self.underway.remove(&operation)?;
        self.session.sources.forget(underway.source);
        let whole = underway.manifest.as_ref().map_or(0, |m| m.song.bytes);
        self.bar.inc(whole.saturating_sub(underway.shown));
        Some(underway)
    }

    fn on_uploaded(
        &mut self,
        operation: OperationId,
        song: SongId,
        copies: u8,
        known: bool,
    ) -> Result<(), Failure> {
        let Some(underway) = self.take(operation) else {
            return Ok(());
        };
        *(if known {
            &mut self.known
        } else {
            &mut self.added
        }) += 1;
        self.songs.insert(song);
        let outcome = if known { "known" } else { "added" };
        if self.json {
            return self.tell_json(&underway.path, outcome, Some(song), copies, None);
        }
        let (title, kind) = underway.manifest.map_or_else(
            || (underway.path.display().to_string(), ""),
            |manifest| (text::cell(&manifest.song.title), kind(&manifest)),
        );
        let mut id = song.to_string();
        id.truncate(8);
        let alone = "  (one copy only: no second data node is reachable)";
        let risk = if copies < 2 && !known && !self.alone {
            alone
        } else {
            ""
        };
        self.tell(&format!("{outcome}  {id}  {title}{kind}{risk}"))
    }

    fn on_failed(&mut self, operation: OperationId, failure: user::Failure) -> Result<(), Failure> {
        let Some(underway) = self.take(operation) else {
            return Ok(());
        };
        let reason = failure.to_string();
        if matches!(
            failure,
            user::Failure::Unreachable { .. } | user::Failure::KeyRefused
        ) {
            self.unreachable = Some(failure);
        }
        self.failed(&underway.path, &reason)
    }

    fn failed(&mut self, path: &Path, reason: &str) -> Result<(), Failure> {
        self.failed += 1;
        if self.json {
            return self.tell_json(path, "failed", None, 0, Some(reason));
        }
        // A reason from the disk names the file already.
        let named = reason.contains(&*path.to_string_lossy());
        let line = if named {
            format!("failed  {reason}")
        } else {
            format!("failed  {}: {reason}", path.display())
        };
        self.tell(&line)
    }

    fn tell(&self, text: &str) -> Result<(), Failure> {
        self.unless_mute(|| line(text))
    }

    fn unless_mute(&self, tell: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        if self.mute.get() {
            return Ok(());
        }
        let told = self.bar.suspend(tell);
        if let Err(Failure::OutputClosed) = told {
            self.mute.set(true);
            return Ok(());
        }
        told
    }

    fn tell_json(
        &self,
        path: &Path,
        outcome: &str,
        song: Option<SongId>,
        copies: u8,
        error: Option<&str>,
    ) -> Result<(), Failure> {
        self.unless_mute(|| {
            json_line(&Line {
                file: path.display().to_string(),
                outcome,
                id: song.map(|song| song.to_string()),
                copies,
                error,
            })
        })
    }

    fn end(self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        if !self.json {
            let Work {
                added,
                known,
                failed,
                ..
            } = &self;
            self.tell(&format!("{added} added, {known} known, {failed} failed"))?;
        }
        if let Some(failure) = &self.unreachable {
            return Err(Failure::of("add", failure));
        }
        match self.failed {
            0 => Ok(()),
            files => {
                let files = text::count(files, "file");
                Err(Failure::Failed(format!("add: {files} could not be added")))
            }
        }
    }
}

/// What there is to say of a file that is not cut at its frames.
fn kind(manifest: &Manifest) -> &'static str {
    let is_opaque = manifest.song.format == Format::Opaque;
    match (is_opaque, manifest.sample_rate) {
        (false, _) => "",
        (true, 0) => "  (not recognised as music: kept as it is)",
        (true, _) => "  (plays only as a whole)",
    }
}

/// The result of a file in JSON. The field names are a public interface.
#[derive(Serialize)]
struct Line<'a> {
    file: String,
    outcome: &'a str,
    id: Option<String>,
    copies: u8,
    error: Option<&'a str>,
}
