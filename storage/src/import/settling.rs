//! Files that may still grow, until they have stood still.
//!
//! A file is whole when nobody has it open for writing, as far as that is known, and its size and time
//! have not changed for a while. Time and the looks of files come from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a file must stand still after it was closed or moved: many programs write their tags in a
/// second go.
pub const STILL: Duration = Duration::from_secs(2);

/// How long a file that was found, and was written lately, must stand still: its writer may have had
/// it open before it was watched.
pub const STILL_FOUND: Duration = Duration::from_secs(10);

/// What tells a file that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks {
    /// Size.
    pub bytes: u64,
    /// Seconds and nanoseconds since 1970 of the last writing.
    pub written: (i64, i64),
    /// Its number on its file system.
    pub inode: u64,
}

impl Looks {
    /// The looks of a file.
    pub fn of(file: &Metadata) -> Self {
        Looks {
            bytes: file.len(),
            written: (file.mtime(), file.mtime_nsec()),
            inode: file.ino(),
        }
    }
}

#[derive(Debug)]
struct Waiting {
    looked: Looks,
    still: Duration,
    ready_at: Instant,
}

/// The files that are waited for.
#[derive(Debug, Default)]
pub struct Settling {
    waiting: BTreeMap<PathBuf, Waiting>,
    /// Files that a writer has open since they were made.
    open: BTreeSet<PathBuf>,
}

impl Settling {
    /// A writer has begun this file: it is not whole before it is closed.
    pub fn begun(&mut self, path: PathBuf) {
        self.waiting.remove(&path);
        self.open.insert(path);
    }

    /// The file was closed, moved or found; it is whole when it stands `still`.
    pub fn touched(&mut self, now: Instant, path: PathBuf, looked: Looks, still: Duration) {
        self.open.remove(&path);
        let waiting = Waiting {
            looked,
            still,
            ready_at: now + still,
        };
        self.waiting.insert(path, waiting);
    }

    /// Whether a writer has the file open, so that finding it means nothing.
    pub fn is_open(&self, path: &Path) -> bool {
        self.open.contains(path)
    }

    /// Who closes which file may have been lost: only their looks count.
    pub fn on_lost(&mut self) {
        self.open.clear();
    }

    /// When a file may be whole; none if none is waited for.
    pub fn next_at(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.ready_at).min()
    }

    /// The files that are whole, with their looks; `look` gives none for a file that is gone.
    pub fn whole(
        &mut self,
        now: Instant,
        look: impl Fn(&Path) -> Option<Looks>,
    ) -> Vec<(PathBuf, Looks)> {
        let mut whole = Vec::new();
        self.waiting.retain(|path, waiting| {
            if waiting.ready_at > now {
                return true;
            }
            match look(path) {
                None => false,
                Some(looks) if looks == waiting.looked => {
                    whole.push((path.clone(), looks));
                    false
                }
                Some(looks) => {
                    waiting.looked = looks;
                    waiting.ready_at = now + waiting.still;
                    true
                }
            }
        });
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(bytes: u64) -> Looks {
        Looks {
            bytes,
            written: (7, 0),
            inode: 1,
        }
    }

    fn names(whole: &[(PathBuf, Looks)]) -> Vec<&str> {
        whole.iter().filter_map(|(path, _)| path.to_str()).collect()
    }

    /// A file that has changed since it was closed stands still anew.
    #[test]
    fn a_file_that_grows_is_waited_for() {
        let (mut settling, begun) = (Settling::default(), Instant::now());
        settling.touched(begun, "a.flac".into(), looks(1), STILL);
        assert!(settling.whole(begun, |_| Some(looks(1))).is_empty());
        let at = settling.next_at().expect("it is waited for");
        assert_eq!(at, begun + STILL);
        assert!(settling.whole(at, |_| Some(looks(2))).is_empty());
        let whole = settling.whole(at + STILL, |_| Some(looks(2)));
        assert_eq!(names(&whole), ["a.flac"]);
        assert_eq!(settling.next_at(), None);
    }

    #[test]
    fn a_file_that_is_gone_is_forgotten() {
        let (mut settling, begun) = (Settling::default(), Instant::now());
        settling.touched(begun, "a.flac".into(), looks(1), STILL);
        assert!(settling.whole(begun + STILL, |_| None).is_empty());
        assert_eq!(settling.next_at(), None);
    }

    /// Between its making and its closing a file is not whole, however long its writer pauses.
    #[test]
    fn an_open_file_is_not_whole() {
        let (mut settling, begun) = (Settling::default(), Instant::now());
        settling.touched(begun, "a.flac".into(), looks(1), STILL);
        settling.begun("a.flac".into());
        assert!(settling.is_open(Path::new("a.flac")) && settling.next_at().is_none());
        settling.on_lost();
        assert!(!settling.is_open(Path::new("a.flac")));
    }
}
