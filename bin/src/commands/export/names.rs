//! The names of exported files: what the tags say, made so that every file system takes them.
//!
//! A name is one path below the export's folder: its parts hold no separator, so none of them leads
//! out of it. Two songs never get names that differ in case only, because some file systems see one
//! name there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use roles::contract::song::Song;
use unicode_normalization::UnicodeNormalization;

/// The album on which a song is, as far as names need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OnAlbum {
    /// Whose album it is.
    pub(super) artist: String,
    pub(super) title: String,
    /// Discs on which there is a song.
    pub(super) discs: u16,
}

/// The names that a song may have, the best one first: the plain one, then two with digits of its id,
/// for songs whose tags are alike.
pub(super) fn by_tags(song: &Song, album: Option<&OnAlbum>, suffix: &str) -> [PathBuf; 3] {
    let artist = album.map_or(&song.artist, |album| &album.artist);
    let mut folder = PathBuf::from(part(artist, "Unknown Artist"));
    if let Some(album) = album.filter(|album| !album.title.is_empty()) {
        folder.push(part(&album.title, "Unknown Album"));
    }
    let stem = match number(song, album.map_or(0, |album| album.discs)) {
        Some(number) => format!("{number} {}", song.title),
        None => song.title.clone(),
    };
    let (stem, id) = (part(&stem, "song"), song.id.to_string());
    [
        folder.join(format!("{stem}.{suffix}")),
        folder.join(format!("{stem} ({}).{suffix}", &id[..8])),
        folder.join(format!("{stem} ({id}).{suffix}")),
    ]
}

/// The one name by the id of a song; its first digits are a folder, so that none has too many files.
pub(super) fn by_id(song: &Song, suffix: &str) -> [PathBuf; 1] {
    let id = song.id.to_string();
    [PathBuf::from(&id[..2]).join(format!("{id}.{suffix}"))]
}

/// Disc and track as they stand before a title.
fn number(song: &Song, discs: u16) -> Option<String> {
    match (discs, song.track) {
        (_, 0) => None,
        (0 | 1, track) => Some(format!("{track:02}")),
        (_, track) => Some(format!("{}-{track:02}", song.disc.max(1))),
    }
}

/// One part of a path, from a tag.
fn part(tag: &str, otherwise: &str) -> String {
    let kept: String = tag.nfc().map(safe).collect();
    let kept = kept.trim();
    let cut = kept[..kept.floor_char_boundary(PART_BYTES_MAX)].trim_end_matches(['.', ' ']);
    let part = match cut.strip_prefix('.') {
        // A name with a dot in front is hidden.
        Some(rest) => format!("_{rest}"),
        None => cut.to_owned(),
    };
    if part.is_empty() {
        return otherwise.to_owned();
    }
    // `CON.flac` is a device, too: what stands before the first dot decides.
    let device = part.split('.').next().unwrap_or_default().trim_end();
    if DEVICES.contains(&device.to_ascii_uppercase().as_str()) {
        return format!("_{part}");
    }
    part
}

fn safe(c: char) -> char {
    match c {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
        c if c.is_control() => '_',
        c => c,
    }
}

/// Longest part of a path, so that with an id and a suffix it is shorter than the 255 bytes that file
/// systems take.
const PART_BYTES_MAX: usize = 150;

/// Names that Windows gives to devices, in every folder.
const DEVICES: [&str; 22] = [
    "CON", "PRN", "AUX", "NUL", "COM1", "COM2", "COM3", "COM4", "COM5", "COM6", "COM7", "COM8",
    "COM9", "LPT1", "LPT2", "LPT3", "LPT4", "LPT5", "LPT6", "LPT7", "LPT8", "LPT9",
];

/// The names given away in this run.
#[derive(Debug, Default)]
pub(super) struct Taken {
    folded: BTreeSet<String>,
}

impl Taken {
    /// Takes a name; false if a song has it already, perhaps in other letters.
    pub(super) fn take(&mut self, name: &std::path::Path) -> bool {
        self.folded.insert(name.to_string_lossy().to_lowercase())
    }

    /// Whether a song has this name.
    pub(super) fn has(&self, name: &std::path::Path) -> bool {
        (self.folded).contains(&name.to_string_lossy().to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use roles::contract::id::SongId;
    use roles::contract::song::Format;
    use std::path::{Component, Path};

    fn song(artist: &str, title: &str, track: u16) -> Song {
        Song {
            id: SongId(0x3f2a_0000_0000_0000_0000_0000_0000_0001),
            title: title.into(),
            artist: artist.into(),
            album: String::new(),
            genre: String::new(),
            year: 0,
            disc: 0,
            track,
            duration_ms: 0,
            bytes: 1,
            format: Format::Flac,
            fragments: 1,
        }
    }

    fn album(artist: &str, title: &str, discs: u16) -> OnAlbum {
        OnAlbum {
            artist: artist.into(),
            title: title.into(),
            discs,
        }
    }

    fn plain(song: &Song, album: Option<&OnAlbum>) -> String {
        by_tags(song, album, "flac")[0].display().to_string()
    }

    #[test]
    fn a_song_lies_where_its_album_is() {
        let one = song("Ella", "Summertime", 3);
        let porgy = album("Various Artists", "Porgy", 1);
        assert_eq!(
            plain(&one, Some(&porgy)),
            "Various Artists/Porgy/03 Summertime.flac"
        );
        let boxed = album("Ella", "Box", 3);
        assert_eq!(plain(&one, Some(&boxed)), "Ella/Box/1-03 Summertime.flac");
        assert_eq!(plain(&one, None), "Ella/03 Summertime.flac");
        assert_eq!(plain(&song("", "x", 0), None), "Unknown Artist/x.flac");
        let [_, short, long] = by_tags(&one, None, "flac");
        assert_eq!(short, Path::new("Ella/03 Summertime (3f2a0000).flac"));
        assert!(
            long.to_string_lossy()
                .contains("(3f2a0000000000000000000000000001)")
        );
    }

    /// Whatever the tags say, a file lies below the folder, and every file system takes its name.
    #[test]
    fn no_tag_leads_out_of_the_folder() {
        let cases = [
            ("..", "..", "Unknown Artist/song.flac"),
            ("/etc", "../../passwd", "_etc/_._.._passwd.flac"),
            ("AC/DC", "T.N.T.", "AC_DC/T.N.T.flac"),
            ("con", "AUX", "_con/_AUX.flac"),
            ("nul.x", "a\0b\nc", "_nul.x/a_b_c.flac"),
            ("Why?", "\"So\": <what>|*", "Why_/_So__ _what___.flac"),
            (" . ", "...And So On ", "Unknown Artist/_..And So On.flac"),
            ("e\u{301}", "x ", "\u{e9}/x.flac"),
        ];
        for (artist, title, expected) in cases {
            assert_eq!(plain(&song(artist, title, 0), None), expected);
        }
        let long = "é".repeat(4000);
        for name in by_tags(
            &song(&long, &long, 1),
            Some(&album(&long, &long, 9)),
            "flac",
        ) {
            for part in name.components() {
                let Component::Normal(part) = part else {
                    panic!("{part:?}");
                };
                assert!(part.len() <= 200, "{part:?}");
            }
        }
    }

    #[test]
    fn names_that_differ_in_case_are_one() {
        let mut taken = Taken::default();
        assert!(taken.take(Path::new("ABBA/SOS.flac")));
        assert!(taken.has(Path::new("Abba/sos.flac")) && !taken.take(Path::new("Abba/sos.flac")));
    }
}
