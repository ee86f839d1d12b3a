//! `dispotify add`: adds files and folders to the library.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use roles::contract::id::{OperationId, SongId, SourceId};
use roles::contract::message::Refusal;
use roles::contract::record::Role;
use roles::contract::song::{Format, Manifest};
use roles::contract::user::{self, Command, Notice};
use serde::Serialize;
use storage::import::{Skipped, Walked, walk};

use super::{FileFields, add_preview, json_line, line};
use crate::args::Add;
use crate::failure::{self, Failure};
use crate::patience::Patience;
use crate::session::Session;
use crate::settings::Settings;
use crate::text::{self, Style};

/// Files uploaded at once, however long they are: one can be read while another is sent.
const AT_ONCE: usize = 3;

/// Most files uploaded at once. What a file costs beside its bytes, they share: questions on their
/// way, and syncs of the disk.
const AT_ONCE_MAX: usize = 32;

/// Beyond [`AT_ONCE`], files have at most so many bytes together: their fragments lie in memory.
const AHEAD_BYTES_MAX: u64 = 16 << 20;

/// What is told while files are added.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    /// One JSON object per file instead of words.
    pub(crate) json: bool,
    /// The files and folders that are skipped are named.
    pub(crate) verbose: bool,
    /// A single data node is intended, so songs with one copy cause no warning.
    pub(crate) alone: bool,
    /// Files whose songs are known are not named.
    pub(crate) only_new: bool,
}

/// Where files to add come from, and who hears what has become of each.
pub(crate) trait Supply {
    /// The next file, if one is there. Does not wait.
    fn next(&mut self) -> Option<PathBuf>;

    /// What has become of a file that was given.
    fn ended(&mut self, path: &Path, end: End);
}

/// What has become of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The library has it.
    Held,
    /// The library does not take it.
    Refused,
    /// It could not be read, or was changed meanwhile.
    Unread,
    /// The cluster had no room, no time, or could not be reached.
    Later,
}

/// Files that are all named before.
struct Named(std::vec::IntoIter<PathBuf>);

impl Supply for Named {
    fn next(&mut self) -> Option<PathBuf> {
        self.0.next()
    }

    fn ended(&mut self, _: &Path, _: End) {}
}

/// Adds the named files. A file that fails is reported, and the others continue. When the cluster
/// cannot be reached, or refuses the key, the command ends with that reason.
pub(crate) fn run(settings: &Settings, add: &Add) -> Result<(), Failure> {
    if add.dry_run {
        return add_preview::run(settings, add);
    }
    let session = Session::start(settings)?;
    let report = Report {
        json: add.json,
        verbose: add.verbose,
        ..Report::default()
    };
    add_all(&session, &add.paths, report)
}

/// Adds files and folders through a running client.
pub(crate) fn add_all(session: &Session, paths: &[PathBuf], report: Report) -> Result<(), Failure> {
    let mut songs = BTreeSet::new();
    add_and_note(session, paths, report, &mut songs)
}

/// The same; `songs` collects the songs that the library holds, even when other files fail.
pub(crate) fn add_and_note(
    session: &Session,
    paths: &[PathBuf],
    report: Report,
    songs: &mut BTreeSet<SongId>,
) -> Result<(), Failure> {
    let Walked {
        files,
        faults,
        skipped,
        folders: _,
    } = walk(paths);
    let nothing = files.is_empty() && faults.is_empty();
    let length = files.len();
    let mut files = Named(files.into_iter());
    let mut work = Work::new(session, report, length, songs, &mut files);
    if nothing && !report.json {
        let named: Vec<String> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        work.tell(&format!("no music found in {}", named.join(", ")))?;
    }
    work.skipped = skipped.len() as u64;
    for (path, why) in skipped.iter().filter(|_| report.verbose) {
        work.name_skipped(path, *why)?;
    }
    for (path, fault) in faults {
        work.failed(&path, &fault.to_string())?;
    }
    work.run()?;
    work.end()
}

/// Adds files as long as there are some. Gives the reason, if the cluster could not be reached or
/// refused the key.
pub(crate) fn add_supplied(
    session: &Session,
    report: Report,
    supply: &mut dyn Supply,
) -> Result<Option<user::Failure>, Failure> {
    let mut songs = BTreeSet::new();
    let mut work = Work::new(session, report, 0, &mut songs, supply);
    work.run()?;
    work.bar.finish_and_clear();
    if !report.json && work.added + work.failed > 0 {
        work.sum_up()?;
    }
    Ok(work.stopped.or(work.unreachable))
}

/// The files in progress, and the results of the others.
struct Work<'a> {
    session: &'a Session,
    report: Report,
    bar: ProgressBar,
    underway: BTreeMap<OperationId, Underway>,
    added: u64,
    known: u64,
    failed: u64,
    skipped: u64,
    /// Files that were not added because no file can be.
    left: u64,
    /// Songs added whose only copy lies on one data node.
    single: u64,
    /// Standard output is closed; the remaining files are still added.
    mute: Cell<bool>,
    /// The failure to reach a data node, for the exit code.
    unreachable: Option<user::Failure>,
    /// Why no file can be added.
    stopped: Option<user::Failure>,
    /// The songs that the library holds.
    songs: &'a mut BTreeSet<SongId>,
    supply: &'a mut dyn Supply,
}

struct Underway {
    path: PathBuf,
    /// Bytes of the file.
    bytes: u64,
    source: SourceId,
    manifest: Option<Manifest>,
    patience: Patience,
    /// Bytes already counted in the progress bar.
    shown: u64,
}

impl<'a> Work<'a> {
    fn new(
        session: &'a Session,
        report: Report,
        files: usize,
        songs: &'a mut BTreeSet<SongId>,
        supply: &'a mut dyn Supply,
    ) -> Self {
        let bar = ProgressBar::new(0);
        let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if files > 0 {
            bar.set_message(text::count(files as u64, "file"));
        }
        Work {
            session,
            report,
            bar,
            underway: BTreeMap::new(),
            added: 0,
            known: 0,
            failed: 0,
            skipped: 0,
            left: 0,
            single: 0,
            mute: Cell::new(false),
            unreachable: None,
            stopped: None,
            songs,
            supply,
        }
    }

    /// Adds what is supplied, until nothing is left or nothing can be added.
    fn run(&mut self) -> Result<(), Failure> {
        while self.stopped.is_none() {
            while self.takes_more()
                && let Some(path) = self.supply.next()
            {
                self.begin(path)?;
            }
            if self.underway.is_empty() {
                break;
            }
            self.step()?;
        }
        self.leave()
    }

    /// Whether one more file can be begun.
    fn takes_more(&self) -> bool {
        let bytes = || self.underway.values().map(|one| one.bytes).sum::<u64>();
        let count = self.underway.len();
        count < AT_ONCE || (count < AT_ONCE_MAX && bytes() < AHEAD_BYTES_MAX)
    }

    fn begin(&mut self, path: PathBuf) -> Result<(), Failure> {
        let operation = self.session.operation();
        let source = self.session.sources.add(&path);
        // What cannot be looked at fails when it is read.
        let bytes = fs::metadata(&path).map_or(0, |file| file.len());
        let underway = Underway {
            path,
            bytes,
            source,
            manifest: None,
            patience: Patience::default(),
            shown: 0,
        };
        self.underway.insert(operation, underway);
        self.session.give(Command::Upload { operation, source })
    }

    /// Waits for one notice and handles it.
    fn step(&mut self) -> Result<(), Failure> {
        let doubts = self.underway.iter();
        let doubts = doubts.filter_map(|(id, one)| Some((one.patience.deadline()?, *id)));
        let first = doubts.min();
        let until = first.map(|(until, _)| until);
        let Some(notice) = self.session.hear_until(until)? else {
            let refused = user::Failure::KeyRefused;
            return first.map_or(Ok(()), |(_, id)| self.on_failed(id, refused));
        };
        match notice {
            Notice::Scanned {
                operation,
                manifest,
            } => {
                if let Some(underway) = self.underway.get_mut(&operation) {
                    if underway.manifest.is_none() {
                        self.bar.inc_length(manifest.song.bytes);
                    }
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
            | Notice::Outdated
            | Notice::Stopped
            | Notice::Songs { .. }
            | Notice::Browsed { .. }
            | Notice::Status { .. }
            | Notice::Records { .. }
            | Notice::Opened { .. }
            | Notice::Fragment { .. }
            | Notice::Removed { .. }
            | Notice::Changed { .. }
            | Notice::Trash { .. }
            | Notice::Documents { .. }
            | Notice::Written { .. }
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
        self.supply.ended(&underway.path, End::Held);
        self.songs.insert(song);
        self.single += u64::from(copies < 2 && !known);
        let outcome = if known { "known" } else { "added" };
        if self.report.json {
            return self.tell_json(&underway.path, outcome, Some(song), copies, None);
        }
        if known && self.report.only_new {
            return Ok(());
        }
        let (title, kind) = underway.manifest.map_or_else(
            || (underway.path.display().to_string(), ""),
            |manifest| (text::cell(&manifest.song.title), kind(&manifest)),
        );
        let mut id = song.to_string();
        id.truncate(8);
        let outcome = text::styled(if known { Style::Dim } else { Style::Good }, outcome);
        self.tell(&format!("{outcome}  {id}  {title}{kind}"))
    }

    fn on_failed(&mut self, operation: OperationId, failure: user::Failure) -> Result<(), Failure> {
        if let Some(underway) = self.underway.get_mut(&operation)
            && underway.patience.again(&failure)
        {
            let source = underway.source;
            return self.session.give(Command::Upload { operation, source });
        }
        let Some(underway) = self.take(operation) else {
            return Ok(());
        };
        self.supply.ended(&underway.path, end_of(&failure));
        if stops_all(&failure) {
            self.stopped = Some(failure);
            return self.leave_one(&underway.path);
        }
        let kept_for = self.session.uploads_kept_for;
        let reason = failure::of_upload(&failure, underway.shown > 0, kept_for);
        if let user::Failure::Unreachable { .. } = failure {
            self.unreachable = Some(failure);
        }
        self.failed(&underway.path, &reason)
    }

    /// Counts the files that are not added because no file can be, those in progress among them.
    /// JSON has a line for each; people read the reason once, at the end.
    fn leave(&mut self) -> Result<(), Failure> {
        let Some(failure) = &self.stopped else {
            return Ok(());
        };
        let end = end_of(failure);
        for one in std::mem::take(&mut self.underway).into_values() {
            self.supply.ended(&one.path, end);
            self.leave_one(&one.path)?;
        }
        while let Some(path) = self.supply.next() {
            self.leave_one(&path)?;
        }
        Ok(())
    }

    fn leave_one(&mut self, path: &Path) -> Result<(), Failure> {
        self.left += 1;
        match &self.stopped {
            Some(reason) if self.report.json => {
                self.tell_json(path, "failed", None, 0, Some(&reason.to_string()))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn name_skipped(&self, path: &Path, why: Skipped) -> Result<(), Failure> {
        if self.report.json {
            return self.tell_json(path, "skipped", None, 0, Some(&why.to_string()));
        }
        self.tell(&format!("skipped  {}: {why}", path.display()))
    }

    fn failed(&mut self, path: &Path, reason: &str) -> Result<(), Failure> {
        self.failed += 1;
        if self.report.json {
            return self.tell_json(path, "failed", None, 0, Some(reason));
        }
        // A reason from the disk names the file already.
        let named = reason.contains(&*path.to_string_lossy());
        let failed = text::styled(Style::Bad, "failed");
        let line = if named {
            format!("{failed}  {reason}")
        } else {
            format!("{failed}  {}: {reason}", path.display())
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
                file: FileFields::of(path),
                outcome,
                id: song.map(|song| song.to_string()),
                copies,
                error,
            })
        })
    }

    /// The last lines for people: the numbers, and what all songs have in common. Nothing, where
    /// the reason for stopping says it all.
    fn sum_up(&self) -> Result<(), Failure> {
        let Work {
            added,
            known,
            failed,
            skipped,
            left,
            single,
            ..
        } = self;
        if self.stopped.is_some() && added + known + failed == 0 {
            return Ok(());
        }
        let mut sum = format!("{added} added, {known} known, {failed} failed");
        if *left > 0 {
            sum += &format!(", {left} not tried");
        }
        if *skipped > 0 {
            sum += &format!(", {skipped} skipped");
            if !self.report.verbose {
                sum += " (`dispotify add --verbose` names what is skipped)";
            }
        }
        self.tell(&sum)?;
        if *single > 0 && !self.report.alone {
            let songs = text::count(*single, "song");
            self.tell(&format!(
                "{songs} with one copy only: no second data node is reachable"
            ))?;
        }
        Ok(())
    }

    fn end(self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        if !self.report.json {
            self.sum_up()?;
        }
        if let Some(failure) = self.stopped.as_ref().or(self.unreachable.as_ref()) {
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
pub(super) fn kind(manifest: &Manifest) -> &'static str {
    let is_opaque = manifest.song.format == Format::Opaque;
    match (is_opaque, manifest.sample_rate) {
        (false, _) => "",
        (true, 0) => "  (not recognised as music: kept as it is)",
        (true, _) => "  (plays only as a whole)",
    }
}

/// Whether the other files of the command would fail for the same reason. Which data nodes are
/// asked depends on the song, so another song may find one that answers.
fn stops_all(failure: &user::Failure) -> bool {
    match failure {
        user::Failure::KeyRefused => true,
        user::Failure::Unreachable { role, .. } => *role != Role::Data,
        user::Failure::Refused(_)
        | user::Failure::NotFound
        | user::Failure::Trashed(_)
        | user::Failure::NotInTrash
        | user::Failure::Ambiguous(_)
        | user::Failure::NoCopy
        | user::Failure::NoData
        | user::Failure::Local(_)
        | user::Failure::Busy => false,
    }
}

/// What a failure means for the file.
fn end_of(failure: &user::Failure) -> End {
    match failure {
        user::Failure::Unreachable { .. }
        | user::Failure::KeyRefused
        | user::Failure::NoCopy
        | user::Failure::NoData
        | user::Failure::Busy
        | user::Failure::Refused(
            Refusal::Busy { .. }
            | Refusal::NotReady
            | Refusal::ShuttingDown
            | Refusal::WrongRole
            | Refusal::DiskFull
            | Refusal::Broken(_)
            | Refusal::NotFound
            | Refusal::NotAllowed(_)
            | Refusal::Outdated,
        ) => End::Later,
        user::Failure::Refused(Refusal::Invalid(_) | Refusal::Ambiguous(_))
        | user::Failure::NotFound
        | user::Failure::Trashed(_)
        | user::Failure::NotInTrash
        | user::Failure::Ambiguous(_) => End::Refused,
        user::Failure::Local(_) => End::Unread,
    }
}

/// The result of a file in JSON. The field names are a public interface.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    #[serde(flatten)]
    pub(super) file: FileFields,
    pub(super) outcome: &'a str,
    pub(super) id: Option<String>,
    pub(super) copies: u8,
    pub(super) error: Option<&'a str>,
}
