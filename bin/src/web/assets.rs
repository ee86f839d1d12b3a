//! The files of the page, as they lie in the binary.

use net::http::site::Head;

use super::answer;

/// One file.
struct File {
    path: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

/// Every file of the page; the first one stands for `/`.
const FILES: [File; 1] = [File {
    path: "/index.html",
    media_type: HTML,
    bytes: include_bytes!("page/index.html"),
}];

const HTML: &str = "text/html; charset=utf-8";

/// The files, and what identifies their contents.
pub(super) struct Assets(Vec<(File, String)>);

/// A file to be given.
pub(super) struct Asset {
    pub(super) head: Head,
    pub(super) tag: String,
    pub(super) bytes: &'static [u8],
}

impl Assets {
    pub(super) fn new() -> Self {
        let tagged = FILES.into_iter().map(|file| {
            let hash = blake3::hash(file.bytes).to_hex();
            (file, format!("\"{}\"", &hash[..32]))
        });
        Assets(tagged.collect())
    }

    /// The file at a path. A browser may keep it, and asks each time whether it is still the same.
    pub(super) fn find(&self, path: &str) -> Option<Asset> {
        let named = |(file, _): &&(File, String)| file.path == path;
        let (file, tag) = match path {
            "/" => self.0.first()?,
            _ => self.0.iter().find(named)?,
        };
        let mut head = answer::head(200, file.media_type, file.bytes.len() as u64);
        head.fields.push(("ETag", tag.clone()));
        head.fields.push(("Cache-Control", "no-cache".into()));
        Some(Asset {
            head,
            tag: tag.clone(),
            bytes: file.bytes,
        })
    }
}
