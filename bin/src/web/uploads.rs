//! Uploads from a browser: each file is spooled to disk, then added to the library as `add` does
//! it.
//!
//! A file for which there is no place waits in line, and is not read meanwhile. An upload that comes
//! slower than a bad line brings it gives its place to the first in line.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use net::http::request::{Length, Request};
use net::http::site::Exchange;
use roles::contract::id::{OperationId, SourceId};
use roles::contract::time::Time;
use serde::Serialize;

/// Largest file that is accepted.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// Most uploads at once.
const UPLOADS_MAX: usize = 32;

/// Most uploads that wait for a place. Each has at most 16 KiB of its file in memory.
const LINE_MAX: usize = 256;

/// An upload that brings fewer bytes a second than this, for so long, gives its place to others.
const SLOW_BYTES: u64 = 16 * 1024;
const SLOW_AFTER: Duration = Duration::from_secs(2);

/// How often it is looked whether an upload is slow, while others wait.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Bytes of one file that may be queued for the disk: 4 MiB in all uploads.
const WAITING_BYTES_MAX: usize = 128 * 1024;

/// The least that a queued piece counts as, so that tiny pieces cannot fill the queue.
const PIECE_BYTES_MIN: usize = 4096;

/// Spool commands that may be queued: every piece of every file, plus its beginning and end.
pub(super) const ERRANDS_MAX: usize = UPLOADS_MAX * (WAITING_BYTES_MAX / PIECE_BYTES_MIN + 32);

#[derive(Debug, Default)]
pub(super) struct Uploads {
    pub(super) all: BTreeMap<u64, Upload>,
    line: VecDeque<Waiting>,
    /// When it is looked again whether an upload is slow.
    look_at: Option<Time>,
    latest: u64,
}

/// A file that waits for a place.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) exchange: Exchange,
    /// Its file name on disk.
    pub(super) name: String,
    /// Its bytes; 0 if they are not known.
    pub(super) bytes: u64,
}

/// One upload.
#[derive(Debug)]
pub(super) struct Upload {
    /// The exchange that waits for the result; `None` once the browser is gone.
    pub(super) exchange: Option<Exchange>,
    /// Bytes queued for the disk, each piece counted as [`cost`] says.
    waiting: usize,
    total: u64,
    /// When the bytes of the latest look began to be counted, and those bytes.
    counted_at: Time,
    counted: u64,
    /// The body has come to its end.
    whole: bool,
    /// The operation that adds the complete file to the library, once it has begun.
    pub(super) adding: Option<(OperationId, SourceId)>,
    pub(super) title: String,
    /// A data node has a part of the file.
    pub(super) arrived: bool,
}

/// Why an upload is refused: status and text.
pub(super) type Refusal = (u16, &'static str);

impl Uploads {
    /// Puts a file in line.
    pub(super) fn wait(&mut self, exchange: Exchange, request: &Request) -> Result<(), Refusal> {
        let bytes = match request.length {
            Length::Known(0) => return Err(EMPTY),
            Length::Known(bytes) if bytes > FILE_BYTES_MAX => return Err(TOO_LARGE),
            Length::Known(bytes) => bytes,
            Length::Chunked => 0,
        };
        let name = name(request.field("x-filename").unwrap_or_default())
            .ok_or((400, "X-Filename is not percent-encoded"))?;
        if self.line.len() >= LINE_MAX {
            return Err((503, "too many files are on their way: try again soon"));
        }
        self.line.push_back(Waiting {
            exchange,
            name,
            bytes,
        });
        Ok(())
    }

    /// Takes a file out of the line.
    pub(super) fn leave_line(&mut self, exchange: Exchange) {
        self.line.retain(|waiting| waiting.exchange != exchange);
    }

    /// Begins the upload of the first file in line, if there is a place: gives the file, and the
    /// upload's number.
    pub(super) fn begin(&mut self, now: Time) -> Option<(Waiting, u64)> {
        if self.all.len() >= UPLOADS_MAX {
            return None;
        }
        let waiting = self.line.pop_front()?;
        self.latest += 1;
        let upload = Upload {
            exchange: Some(waiting.exchange),
            waiting: 0,
            total: 0,
            counted_at: now,
            counted: 0,
            whole: false,
            adding: None,
            title: String::new(),
            arrived: false,
        };
        self.all.insert(self.latest, upload);
        Some((waiting, self.latest))
    }

    /// The slowest upload, if it is slow and others wait for its place.
    pub(super) fn too_slow(&mut self, now: Time) -> Option<u64> {
        self.look_at = (!self.line.is_empty()).then_some(now + LOOK_EVERY);
        self.look_at?;
        if self.all.len() < UPLOADS_MAX {
            return None;
        }
        let uploads = self.all.iter_mut();
        let rates = uploads.filter_map(|(number, upload)| Some((upload.slow_rate(now)?, *number)));
        rates.min().map(|(_, number)| number)
    }

    /// When [`Uploads::too_slow`] is asked next.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.look_at
    }
}

impl Upload {
    /// Counts bytes received from the browser; an error above the largest size.
    pub(super) fn on_bytes(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.waiting += cost(bytes);
        self.total += bytes as u64;
        self.counted += bytes as u64;
        if self.total > FILE_BYTES_MAX {
            return Err(TOO_LARGE);
        }
        Ok(())
    }

    /// The bytes that came in the last while, if they are few; none while the peer has its time, or
    /// this end has the next move.
    fn slow_rate(&mut self, now: Time) -> Option<u64> {
        let slow = self.counted < SLOW_BYTES * SLOW_AFTER.as_secs();
        let counts = !self.whole && self.wants_body() && now >= self.counted_at + SLOW_AFTER;
        if counts && !slow {
            (self.counted_at, self.counted) = (now, 0);
        }
        (counts && slow).then_some(self.counted)
    }

    /// Counts bytes written to disk or discarded.
    pub(super) fn on_written(&mut self, bytes: usize) {
        self.waiting -= cost(bytes);
    }

    /// Checks the end of the body: an empty file is refused.
    pub(super) fn on_end(&mut self) -> Result<(), Refusal> {
        self.whole = true;
        if self.total == 0 { Err(EMPTY) } else { Ok(()) }
    }

    pub(super) fn wants_body(&self) -> bool {
        self.waiting < WAITING_BYTES_MAX
    }
}

fn cost(bytes: usize) -> usize {
    bytes.max(PIECE_BYTES_MIN)
}

/// Why an upload gave its place to another.
pub(super) const TOO_SLOW: Refusal = (
    408,
    "the file came too slowly while others waited: try again",
);

const EMPTY: Refusal = (400, "the file is empty");
const TOO_LARGE: Refusal = (413, "the file is larger than 4 GiB");

/// The last component of a name, safe for any file system. It becomes the title of an untagged
/// song.
fn name(encoded: &str) -> Option<String> {
    let decoded = net::http::percent::decode(encoded)?;
    let last = decoded.rsplit(['/', '\\']).next().unwrap_or_default();
    let safe = |c: char| !c.is_control() && !r#":*?"<>|"#.contains(c);
    let kept: String = last
        .chars()
        .map(|c| if safe(c) { c } else { '_' })
        .collect();
    let kept = kept.trim().trim_start_matches('.');
    if kept.is_empty() {
        return Some("untitled".to_owned());
    }
    // A long name keeps its beginning and its suffix, which tells the format.
    let (stem, suffix) = kept.rsplit_once('.').unwrap_or((kept, ""));
    let suffix = &suffix[..suffix.floor_char_boundary(16)];
    let stem = &stem[..stem.floor_char_boundary(200)];
    Some(if suffix.is_empty() {
        stem.to_owned()
    } else {
        format!("{stem}.{suffix}")
    })
}

/// The result of an upload in JSON. The field names are a public interface.
#[derive(Serialize)]
pub(super) struct Added<'a> {
    pub(super) id: String,
    pub(super) outcome: &'static str,
    pub(super) copies: u8,
    pub(super) title: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }

    /// Uploads that take every place, the last of which brings a good number of bytes a second.
    fn full() -> Uploads {
        let mut uploads = Uploads::default();
        for n in 0..=UPLOADS_MAX as u64 {
            uploads.line.push_back(Waiting {
                exchange: Exchange::of_test(n, 1),
                name: String::new(),
                bytes: 0,
            });
        }
        while uploads.begin(at(0)).is_some() {}
        for (number, upload) in &mut uploads.all {
            let bytes = if *number == 1 { 1 << 20 } else { 1 };
            upload.on_bytes(bytes).expect("few bytes");
            upload.on_written(bytes);
        }
        uploads
    }

    /// Bytes now and then do not keep a place that others wait for.
    #[test]
    fn a_slow_upload_gives_way() {
        let mut uploads = full();
        assert_eq!(uploads.all.len(), UPLOADS_MAX);
        assert_eq!(uploads.too_slow(at(1)), None);
        assert_eq!(uploads.too_slow(at(2)), Some(2));
        uploads.all.remove(&2);
        assert!(uploads.begin(at(2)).is_some());
        assert_eq!((uploads.too_slow(at(3)), uploads.deadline()), (None, None));
    }

    /// Neither a fast upload, nor one that waits for this end, is slow.
    #[test]
    fn only_the_peer_can_be_slow() {
        let mut uploads = full();
        uploads.all.retain(|number, _| *number < 3);
        let [fast, other] = [1, 2].map(|n| uploads.all.remove(&n).expect("there"));
        let (mut fast, mut other) = (fast, other);
        assert_eq!(fast.slow_rate(at(3)), None);
        assert_eq!(other.slow_rate(at(3)), Some(1));
        other.on_bytes(WAITING_BYTES_MAX).expect("few bytes");
        assert_eq!(other.slow_rate(at(9)), None);
    }

    /// No name leaves the folder of its upload, hides, or is too long for a disk.
    #[test]
    fn names_stay_where_they_are() {
        let cases = [
            ("a%20b.mp3", "a b.mp3"),
            ("..%2F..%2Fetc%2Fpasswd", "passwd"),
            ("C%3A%5Cmusic%5Cx.flac", "x.flac"),
            ("..", "untitled"),
            (".hidden", "hidden"),
            ("", "untitled"),
            ("a%00b%0A.wav", "a_b_.wav"),
            ("%C3%B1.ogg", "ñ.ogg"),
        ];
        for (encoded, plain) in cases {
            assert_eq!(name(encoded).as_deref(), Some(plain), "{encoded}");
        }
        let long = name(&format!("{}.flac", "x".repeat(400))).expect("a name");
        assert!(long.len() == 205 && long.ends_with(".flac"));
        assert_eq!(name("%zz"), None);
    }
}
