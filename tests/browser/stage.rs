//! A cluster, its web player, and a browser on its page.

use std::fs;
use std::path::PathBuf;

use super::browser::Browser;
use super::lab::{Lab, Server};
use super::sound;

/// Fields in the order in which they are dropped: browser, player, nodes, folder.
pub(super) struct Stage {
    pub(super) browser: Browser,
    pub(super) web: Server,
    pub(super) names: Vec<Server>,
    pub(super) data: Vec<Server>,
    pub(super) lab: Lab,
    url: String,
}

impl Stage {
    /// Starts a cluster of one DNS node and so many routers and data nodes, adds these songs, and
    /// opens the page's list of songs in the browser. None: there is no browser.
    pub(super) fn set(
        name: &str,
        language: &str,
        nodes: (usize, usize),
        songs: &[Song],
    ) -> Option<Self> {
        let mut lab = Lab::new(name);
        let browser = Browser::open(&lab.dir, language)?;
        let (names, data) = lab.cluster(nodes.0, nodes.1);
        for song in songs {
            let path = song.make(&lab);
            lab.ok(&["add", path.to_str().expect("a plain path")]);
        }
        lab.await_status("every copy is in place", |status| {
            status["songs"] == songs.len() && status["copies_missing"] == 0
        });
        let web = lab.spawn(lab.command(&["web", "--listen", "127.0.0.1:0"]));
        // In its ready line the player gives the page's URL where a node gives its address.
        let url = web.address.clone();
        browser.go(&format!("{url}#/songs"));
        let stage = Stage {
            browser,
            web,
            names,
            data,
            lab,
            url,
        };
        stage.is_listed(songs.len());
        Some(stage)
    }

    /// Waits until the list shows so many songs and the page knows the nodes.
    pub(super) fn is_listed(&self, songs: usize) {
        let rows = format!("document.querySelectorAll('#songs .row').length === {songs}");
        self.browser.until(&rows);
        self.browser.until("document.querySelector('#nodes li')");
    }

    /// Waits until a song has played past so many seconds.
    pub(super) fn plays_past(&self, seconds: f64) {
        self.browser
            .until(&format!("{AUDIO}.currentTime > {seconds}"));
    }

    /// Starts the player again at the same address.
    pub(super) fn restart_web(&mut self) {
        let place = self.url.trim_start_matches("http://").trim_end_matches('/');
        self.web = self
            .lab
            .spawn(self.lab.command(&["web", "--listen", place]));
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub(super) fn errors(&self) -> Vec<String> {
        self.browser.errors()
    }
}

/// The media element that is playing.
pub(super) const AUDIO: &str = "document.querySelector('audio[data-current]')";

/// A WAV file to add.
pub(super) struct Song {
    pub(super) name: &'static str,
    pub(super) seconds: u32,
    pub(super) tone: f32,
    /// Samples per second: a high rate makes a song of many bytes.
    pub(super) rate: u32,
    /// Title and artist in the file's own tags, if it has any.
    pub(super) tags: Option<(&'static str, &'static str)>,
    /// Album and track, if the tags have them.
    pub(super) album: Option<(&'static str, &'static str)>,
}

impl Song {
    pub(super) const fn new(name: &'static str, seconds: u32, tone: f32) -> Self {
        Song {
            name,
            seconds,
            tone,
            rate: 44_100,
            tags: None,
            album: None,
        }
    }

    pub(super) const fn tagged(mut self, title: &'static str, artist: &'static str) -> Self {
        self.tags = Some((title, artist));
        self
    }

    pub(super) const fn on(mut self, album: &'static str, track: &'static str) -> Self {
        self.album = Some((album, track));
        self
    }

    pub(super) const fn at(mut self, rate: u32) -> Self {
        self.rate = rate;
        self
    }

    pub(super) fn make(&self, lab: &Lab) -> PathBuf {
        let path = lab.dir.join(format!("{}.wav", self.name));
        sound::wav_at(self.rate, &path, self.seconds, self.tone);
        if let Some((title, artist)) = self.tags {
            let (album, track) = self.album.unwrap_or_default();
            let fields: [(&[u8; 4], &str); 4] = [
                (b"INAM", title),
                (b"IART", artist),
                (b"IPRD", album),
                (b"ITRK", track),
            ];
            let info = info(&fields);
            let mut bytes = fs::read(&path).expect("just written");
            bytes.extend(info);
            let length = u32::try_from(bytes.len() - 8).expect("a small file");
            bytes[4..8].copy_from_slice(&length.to_le_bytes());
            fs::write(&path, bytes).expect("room for it");
        }
        path
    }
}

/// A RIFF `LIST INFO` chunk.
fn info(fields: &[(&[u8; 4], &str)]) -> Vec<u8> {
    let mut body = b"INFO".to_vec();
    for (name, text) in fields {
        // With its terminating zero, padded to an even length.
        let mut text = [text.as_bytes(), &[0]].concat();
        let length = u32::try_from(text.len()).expect("a short text");
        text.resize(text.len().next_multiple_of(2), 0);
        body.extend([&name[..], &length.to_le_bytes(), &text].concat());
    }
    let length = u32::try_from(body.len()).expect("a short list");
    [b"LIST", &length.to_le_bytes()[..], &body].concat()
}
