//! Playlists as M3U8 files: what other players write is read as far as the library has the songs.

use std::collections::BTreeMap;

use roles::contract::id::SongId;
use roles::contract::song::Song;

use super::Library;

/// Most bytes of a file: some hundred thousand songs.
const BYTES_MAX: usize = 32 << 20;

/// The mark of a song's id in a file of ours.
const ID: &str = "#DISPOTIFY-ID:";

/// What a file holds.
pub(super) struct Read {
    /// Its own name for itself.
    pub(super) name: Option<String>,
    /// In order.
    pub(super) songs: Vec<SongId>,
    /// What the library lacks.
    pub(super) missing: Vec<String>,
}

/// Writes a list. Other players read the artist and title; a library of this program finds the very
/// same song again.
pub(super) fn write<'a>(
    name: &str,
    songs: impl Iterator<Item = (SongId, Option<&'a Song>)>,
) -> String {
    let mut text = format!("#EXTM3U\n#PLAYLIST:{}\n", plain(name));
    for (id, song) in songs {
        text.push_str(&format!("{ID}{id}\n"));
        let Some(song) = song else {
            text.push_str(&format!("{id}\n"));
            continue;
        };
        let (name, seconds) = (plain(&name_of(song)), song.duration_ms.div_ceil(1000));
        text.push_str(&format!("#EXTINF:{seconds},{name}\n"));
        let file = format!("{name}.{}", song.format.name());
        text.push_str(&format!("{}\n", file.replace('/', "_")));
    }
    text
}

/// Artist and title, or the title alone.
fn name_of(song: &Song) -> String {
    if song.artist.is_empty() {
        return song.title.clone();
    }
    format!("{} - {}", song.artist, song.title)
}

fn plain(tag: &str) -> String {
    tag.replace(|letter: char| letter.is_control(), " ")
}

/// Reads a file. A song is found by the id that this program has written; otherwise by artist and title
/// of its line `#EXTINF`, or by the name of its file.
pub(super) fn read(bytes: &[u8], library: &Library) -> Result<Read, &'static str> {
    if bytes.len() > BYTES_MAX {
        return Err("a playlist has at most 32 MB");
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let by_name = by_name(library);
    let mut read = Read {
        name: None,
        songs: Vec::new(),
        missing: Vec::new(),
    };
    let (mut id, mut said) = (None, None);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(digits) = line.strip_prefix(ID) {
            id = SongId::parse(digits.trim());
        } else if let Some(info) = line.strip_prefix("#EXTINF:") {
            said = info.split_once(',').map(|(_, said)| said.trim());
        } else if let Some(name) = line.strip_prefix("#PLAYLIST:") {
            read.name = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
        } else if !line.starts_with('#') {
            let known = id.take().filter(|id| library.contains_key(id));
            let found = known.or_else(|| find(&by_name, said, line));
            match found {
                Some(song) => read.songs.push(song),
                None => read.missing.push(said.unwrap_or(line).to_owned()),
            }
            said = None;
        }
    }
    Ok(read)
}

/// Songs by artist and title, as files name them; of several with one name, the first by id.
fn by_name(library: &Library) -> BTreeMap<String, SongId> {
    let mut names = BTreeMap::new();
    for (id, song) in library {
        names.entry(folded(&name_of(song))).or_insert(*id);
    }
    names
}

fn find(by_name: &BTreeMap<String, SongId>, said: Option<&str>, path: &str) -> Option<SongId> {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let names = said.into_iter().chain([stem]);
    names
        .map(folded)
        .find_map(|name| by_name.get(&name).copied())
}

/// A name without case, and with one space where there are several.
fn folded(name: &str) -> String {
    let words: Vec<String> = name.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use roles::contract::song::Format;

    fn song(id: u128, artist: &str, title: &str) -> (SongId, Song) {
        let song = Song {
            id: SongId(id),
            title: title.into(),
            artist: artist.into(),
            album: String::new(),
            genre: String::new(),
            year: 0,
            disc: 0,
            track: 0,
            duration_ms: 1500,
            bytes: 1,
            format: Format::Mp3,
            fragments: 1,
        };
        (song.id, song)
    }

    /// What was written comes back, song by song, also one that the library has lost meanwhile.
    #[test]
    fn list_comes_back() {
        let library: Library = [song(1, "AC/DC", "T.N.T."), song(2, "Ñu", "A\nB")].into();
        let songs = [SongId(2), SongId(1), SongId(2), SongId(9)];
        let text = write(
            "Fin de\nsemana",
            songs.iter().map(|id| (*id, library.get(id))),
        );
        let read = read(text.as_bytes(), &library).expect("a list");
        assert_eq!(read.name.as_deref(), Some("Fin de semana"));
        assert_eq!(read.songs, songs[..3]);
        assert_eq!(read.missing, [SongId(9).to_string()]);
    }

    /// A file of another player is read by what it says of the songs.
    #[test]
    fn foreign_list_is_read() {
        let library: Library =
            [song(1, "Nina", "Feeling Good"), song(2, "Can", "Vitamin C")].into();
        let text = "\u{feff}#EXTM3U\r\n#EXTINF:123,nina -  feeling good\r\nC:\\m\\01.mp3\r\n\r\n\
                    /music/Can - Vitamin C.flac\r\nother.mp3\r\n";
        let read = read(text.as_bytes(), &library).expect("a list");
        assert_eq!(read.songs, [SongId(1), SongId(2)]);
        assert_eq!(read.missing, ["other.mp3"]);
        assert_eq!(read.name, None);
    }

    /// Bytes of anything are no reason to fail.
    #[test]
    fn nonsense_is_no_song() {
        let read = read(b"\xff\xfe\x00#EXTINF:\n#EXTINF:1\n\n\0", &Library::new());
        assert_eq!(read.map(|read| read.songs).ok(), Some(vec![]));
    }
}
