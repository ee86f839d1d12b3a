//! The page's files, embedded in the binary.

use net::http::site::Head;

use super::answer;

/// One file.
struct File {
    path: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

/// An embedded file by its name.
macro_rules! file {
    ($name:literal, $media_type:expr) => {
        File {
            path: concat!("/", $name),
            media_type: $media_type,
            bytes: include_bytes!(concat!("page/", $name)),
        }
    };
}

/// Every embedded file; the first one is served at `/`.
const FILES: [File; 48] = [
    file!("index.html", HTML),
    file!("base.css", CSS),
    file!("main.css", CSS),
    file!("places.css", CSS),
    file!("player.css", CSS),
    file!("main.js", SCRIPT),
    file!("worker.js", SCRIPT),
    file!("offline.js", SCRIPT),
    file!("address.js", SCRIPT),
    file!("album.js", SCRIPT),
    file!("api.js", SCRIPT),
    file!("bar.js", SCRIPT),
    file!("cards.js", SCRIPT),
    file!("cluster.js", SCRIPT),
    file!("covers.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("formats.js", SCRIPT),
    file!("home.js", SCRIPT),
    file!("keep.js", SCRIPT),
    file!("keys.js", SCRIPT),
    file!("list.js", SCRIPT),
    file!("lyrics.js", SCRIPT),
    file!("menu.js", SCRIPT),
    file!("pages.js", SCRIPT),
    file!("pick-bar.js", SCRIPT),
    file!("picks.js", SCRIPT),
    file!("player.js", SCRIPT),
    file!("queue-view.js", SCRIPT),
    file!("queue.js", SCRIPT),
    file!("ring.js", SCRIPT),
    file!("rows.js", SCRIPT),
    file!("search.js", SCRIPT),
    file!("session.js", SCRIPT),
    file!("side.js", SCRIPT),
    file!("sound.js", SCRIPT),
    file!("sources.js", SCRIPT),
    file!("strip.js", SCRIPT),
    file!("tags.js", SCRIPT),
    file!("timer.js", SCRIPT),
    file!("trail.js", SCRIPT),
    file!("trash.js", SCRIPT),
    file!("upload.js", SCRIPT),
    file!("views.js", SCRIPT),
    file!("windowed.js", SCRIPT),
    file!("words.js", SCRIPT),
    file!("icon.svg", PICTURE),
    file!("manifest.webmanifest", MANIFEST),
    file!("face.woff2", FACE),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";
const MANIFEST: &str = "application/manifest+json";
const FACE: &str = "font/woff2";

/// The files, each with its entity tag.
pub(super) struct Assets(Vec<(File, String)>);

/// A file ready to be sent.
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

    /// The file at a path. A browser may cache it and revalidates it each time.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A browser that meets each module only in another one asks for them one after the other.
    #[test]
    fn every_module_is_loaded_from_the_beginning() {
        let page = str::from_utf8(FILES[0].bytes).expect("a page");
        let scripts = FILES.iter().filter(|file| file.media_type == SCRIPT);
        for file in scripts {
            let name = file.path.trim_start_matches('/');
            // The service worker is no part of the page.
            let named = page.contains(&format!("\"{name}\""));
            assert_eq!(named, name != "worker.js", "{name}");
        }
    }
}
