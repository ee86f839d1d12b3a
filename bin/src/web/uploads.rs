//! Uploads from a browser: each file is spooled to disk, then added to the library as `add` does
//! it.

use std::collections::BTreeMap;

use net::http::request::{Length, Request};
use net::http::site::Exchange;
use roles::contract::id::{OperationId, SourceId};
use serde::Serialize;

/// Largest file that is accepted.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// Most uploads at once.
const UPLOADS_MAX: usize = 8;

/// Bytes of one file that may be queued for the disk.
const WAITING_BYTES_MAX: usize = 512 * 1024;

/// The least that a queued piece counts as, so that tiny pieces cannot fill the queue.
const PIECE_BYTES_MIN: usize = 4096;

/// Spool commands that may be queued: every piece of every file, plus its beginning and end.
pub(super) const ERRANDS_MAX: usize = UPLOADS_MAX * (WAITING_BYTES_MAX / PIECE_BYTES_MIN + 32);

#[derive(Debug, Default)]
pub(super) struct Uploads {
    pub(super) all: BTreeMap<u64, Upload>,
    latest: u64,
}

/// One upload.
#[derive(Debug)]
pub(super) struct Upload {
    /// The exchange that waits for the result; `None` once the browser is gone.
    pub(super) exchange: Option<Exchange>,
    /// Bytes queued for the disk, each piece counted as [`cost`] says.
    waiting: usize,
    total: u64,
    /// The operation that adds the complete file to the library, once it has begun.
    pub(super) adding: Option<(OperationId, SourceId)>,
    pub(super) title: String,
    /// A data node has a part of the file.
    pub(super) arrived: bool,
}

/// Why an upload is refused: status and text.
pub(super) type Refusal = (u16, &'static str);

impl Uploads {
    /// Begins an upload; returns its number and its file name on disk.
    pub(super) fn begin(
        &mut self,
        exchange: Exchange,
        request: &Request,
    ) -> Result<(u64, String), Refusal> {
        match request.length {
            Length::Known(0) => return Err(EMPTY),
            Length::Known(bytes) if bytes > FILE_BYTES_MAX => return Err(TOO_LARGE),
            Length::Known(_) | Length::Chunked => (),
        }
        let name = name(request.field("x-filename").unwrap_or_default())
            .ok_or((400, "X-Filename is not percent-encoded"))?;
        if self.all.len() >= UPLOADS_MAX {
            return Err((503, "too many files are on their way: try again soon"));
        }
        self.latest += 1;
        let upload = Upload {
            exchange: Some(exchange),
            waiting: 0,
            total: 0,
            adding: None,
            title: String::new(),
            arrived: false,
        };
        self.all.insert(self.latest, upload);
        Ok((self.latest, name))
    }
}

impl Upload {
    /// Counts bytes received from the browser; an error above the largest size.
    pub(super) fn on_bytes(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.waiting += cost(bytes);
        self.total += bytes as u64;
        if self.total > FILE_BYTES_MAX {
            return Err(TOO_LARGE);
        }
        Ok(())
    }

    /// Counts bytes written to disk or discarded.
    pub(super) fn on_written(&mut self, bytes: usize) {
        self.waiting -= cost(bytes);
    }

    /// Checks the end of the body: an empty file is refused.
    pub(super) fn on_end(&self) -> Result<(), Refusal> {
        if self.total == 0 { Err(EMPTY) } else { Ok(()) }
    }

    pub(super) fn wants_body(&self) -> bool {
        self.waiting < WAITING_BYTES_MAX
    }
}

fn cost(bytes: usize) -> usize {
    bytes.max(PIECE_BYTES_MIN)
}

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
