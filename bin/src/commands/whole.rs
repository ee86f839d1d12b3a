//! A song read whole: what `get` and `export` have in common.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use indicatif::{ProgressBar, ProgressStyle};
use roles::contract::id::{ContentHash, SongId};
use roles::contract::song::Song;
use roles::contract::user::Origin;
use signal_hook::consts::SIGINT;

use crate::failure::Failure;
use crate::session::{Opened, Session};

/// Reads the whole song and verifies its hash. `bar` goes on by its bytes.
pub(super) fn fetch(
    session: &Session,
    song: &Opened,
    attempt: &str,
    bar: &ProgressBar,
    mut write: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<Sources, Failure> {
    let manifest = &song.manifest;
    let mut hasher = blake3::Hasher::new();
    let mut sources = Sources::default();
    let whole = (0, manifest.song.fragments);
    song.read(session, whole, attempt, |_, bytes, origin| {
        hasher.update(bytes);
        sources.note(origin);
        bar.inc(bytes.len() as u64);
        write(bytes)
    })?;
    if *hasher.finalize().as_bytes() != manifest.hash.0 {
        let why = "what came is not the file that was added";
        return Err(Failure::failed(attempt, why));
    }
    Ok(sources)
}

/// A bar that shows so many bytes as the whole.
pub(super) fn bar(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
    let bar = ProgressBar::new(bytes);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Counts the origins of the fragments.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) cached: u64,
    pub(super) fetched: u64,
    pub(super) nodes: BTreeSet<String>,
}

impl Sources {
    fn note(&mut self, origin: Origin) {
        match origin {
            Origin::Cache => self.cached += 1,
            Origin::Node(address) => {
                self.fetched += 1;
                self.nodes.insert(address.to_string());
            }
        }
    }

    pub(super) fn text(&self) -> String {
        let mut from: Vec<String> = self.nodes.iter().cloned().collect();
        if self.cached > 0 {
            from.push("the cache".into());
        }
        from.join(", ")
    }
}

/// Whether a file has the bytes of a song: its id is the beginning of their hash.
pub(super) fn is_at(path: &Path, song: &Song) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() != song.bytes {
        return Ok(false);
    }
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut file, &mut hasher)?;
    Ok(SongId::of(&ContentHash(*hasher.finalize().as_bytes())) == song.id)
}

/// A flag that Ctrl-C sets, so that an interrupted fetch leaves no file behind.
pub(super) fn on_interrupt() -> Result<Arc<AtomicBool>, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGINT, Arc::clone(&interrupted))
        .map_err(|error| Failure::failed("listen for signals", error))?;
    Ok(interrupted)
}
