//! `dispotify add --dry-run`: what `add` would do, file by file; nothing is sent and nothing is changed.

use roles::contract::song::{Format, Manifest};
use storage::import::{self, Walked, walk};

use super::add::{Line, kind};
use super::{FileFields, json_line, line};
use crate::args::Add;
use crate::failure::Failure;
use crate::session::{Session, Standing};
use crate::settings::Settings;
use crate::text;

/// Reads the files and asks which of them the library has.
pub(crate) fn run(settings: &Settings, add: &Add) -> Result<(), Failure> {
    let session = Session::start(settings)?;
    let Walked {
        files,
        faults,
        skipped,
        folders: _,
    } = walk(&add.paths);
    let mut sum = Sum::default();
    for (path, why) in skipped.iter().filter(|_| add.verbose) {
        tell(add, path, "skipped", None, Some(&why.to_string()))?;
    }
    for (path, fault) in &faults {
        sum.failed += 1;
        tell(add, path, "failed", None, Some(&fault.to_string()))?;
    }
    for path in &files {
        let manifest = match import::scan(path) {
            Ok(manifest) => manifest,
            Err(fault) => {
                sum.failed += 1;
                tell(add, path, "failed", None, Some(&fault.to_string()))?;
                continue;
            }
        };
        let attempt = format!("look for {}", path.display());
        let outcome = match session.standing(&attempt, manifest.song.id)? {
            Standing::New => "new",
            Standing::Known => "known",
            Standing::Trashed => "trashed",
        };
        sum.count(outcome, manifest.song.bytes);
        tell(add, path, outcome, Some(&manifest), None)?;
    }
    if !add.json {
        line(&sum.words(skipped.len()))?;
    }
    Ok(())
}

/// What came of all files.
#[derive(Default)]
struct Sum {
    new: u64,
    known: u64,
    trashed: u64,
    failed: u64,
    bytes: u64,
}

impl Sum {
    fn count(&mut self, outcome: &str, bytes: u64) {
        let number = match outcome {
            "known" => &mut self.known,
            "trashed" => &mut self.trashed,
            _ => {
                self.bytes += bytes;
                &mut self.new
            }
        };
        *number += 1;
    }

    fn words(&self, skipped: usize) -> String {
        let Sum {
            new,
            known,
            trashed,
            failed,
            bytes,
        } = self;
        let mut words = format!(
            "{new} would be added ({}), {known} known",
            text::bytes(*bytes)
        );
        if *trashed > 0 {
            words += &format!(", {trashed} would be taken back from the trash");
        }
        if *failed > 0 {
            words += &format!(", {failed} cannot be read");
        }
        if skipped > 0 {
            words += &format!(", {skipped} skipped");
        }
        words
    }
}

fn tell(
    add: &Add,
    path: &std::path::Path,
    outcome: &str,
    manifest: Option<&Manifest>,
    error: Option<&str>,
) -> Result<(), Failure> {
    if add.json {
        return json_line(&Line {
            file: FileFields::of(path),
            outcome,
            id: manifest.map(|manifest| manifest.song.id.to_string()),
            copies: 0,
            error,
        });
    }
    let Some(manifest) = manifest else {
        let why = error.unwrap_or_default();
        return line(&format!("{outcome}  {}: {why}", path.display()));
    };
    let song = &manifest.song;
    let words = [&song.title, &song.artist, &song.album].map(|tag| text::cell(tag));
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|w| !w.is_empty())
        .collect();
    let length = match (song.format, song.duration_ms) {
        (Format::Opaque, 0) => String::new(),
        (_, ms) => format!(", {}", text::length(ms)),
    };
    line(&format!(
        "{outcome:<7}  {}{length}{}",
        words.join(" | "),
        kind(manifest)
    ))
}
