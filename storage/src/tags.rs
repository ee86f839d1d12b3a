//! Reads the tags and the cover of a file, cleaned for the catalogue.
//!
//! Whatever a file holds, reading its tags neither fails nor panics: what cannot be read is empty,
//! and one bad value costs no other. Of several tags, each word comes from the first that has it.
//! Words come out without control characters, trimmed, and within the catalogue's bound; a
//! picture's type is what its bytes are, not what the file claims. At most one tag of
//! 48 MiB is in memory.

mod asf;
mod container;
mod decode;
mod edges;
mod file;
mod found;
mod genres;
mod id3v2;
mod inflate;
mod matroska;
mod more;
mod mp4;
mod riff;
mod tail;
mod vorbis;

use std::collections::BTreeSet;
use std::io::{Read, Seek};

use roles::contract::limits::TAG_BYTES_MAX;
use roles::contract::song::Format;

use container::tags_of;
pub(crate) use edges::Edges;
use found::{Field, Found, Want};
pub(crate) use more::READER;
pub use more::{Details, details, more};

/// The words of a song; what is unknown is empty or 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// Title.
    pub title: String,
    /// Performers, separated by commas.
    pub artist: String,
    /// Album.
    pub album: String,
    /// Genres, separated by commas.
    pub genre: String,
    /// Year of the recording.
    pub year: u16,
    /// Disc within the album.
    pub disc: u16,
    /// Track within the disc.
    pub track: u16,
    /// Whether there is a cover that [`picture`] can give.
    pub picture: bool,
}

/// A cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The media type of the bytes, for a browser.
    pub media_type: &'static str,
    /// The image file.
    pub bytes: Vec<u8>,
}

/// The words in a file, or in its first and last fragments. `format` is what the file was found to
/// be; where the tags lie is found in the bytes.
pub fn read(source: &mut (impl Read + Seek), format: Format) -> Tags {
    let tags = tags_of(source, format, Want::Words);
    Tags {
        title: text(&tags, Field::Title),
        artist: text(&tags, Field::Artist),
        album: text(&tags, Field::Album),
        genre: text(&tags, Field::Genre),
        year: year(&tags),
        disc: number(&tags, Field::Disc),
        track: number(&tags, Field::Track),
        picture: tags.iter().any(|tag| tag.picture().is_some()),
    }
}

/// The cover in a file, or in its first and last fragments: the front if there are several. Covers
/// above [`PICTURE_BYTES_MAX`] are left out.
pub fn picture(source: &mut (impl Read + Seek), format: Format) -> Option<Picture> {
    let tags = tags_of(source, format, Want::Picture);
    let images = tags.into_iter().filter_map(Found::into_picture);
    // The first of the best: `max_by_key` would take the last.
    let image = images.rev().max_by_key(|image| image.front)?;
    Some(Picture {
        media_type: image.media_type,
        bytes: image.bytes,
    })
}

/// The values of a field in the first tag that has any, each once, separated by commas.
fn text(tags: &[Found], field: Field) -> String {
    let all = |tag: &Found| {
        let mut seen = BTreeSet::new();
        let values: Vec<String> = tag
            .values(field)
            .map(clean)
            .filter(|value| !value.is_empty() && seen.insert(value.clone()))
            .collect();
        clean(&values.join(", "))
    };
    let found = tags.iter().map(all).find(|text| !text.is_empty());
    found.unwrap_or_default()
}

fn number(tags: &[Found], field: Field) -> u16 {
    let numbers = |tag: &Found| tag.values(field).find_map(leading_number);
    tags.iter().find_map(numbers).unwrap_or(0)
}

/// The 3 of "3/12", as some formats keep it; 0 is no number.
fn leading_number(text: &str) -> Option<u16> {
    let text: String = text
        .trim()
        .chars()
        .take(NUMBER_CHARS_MAX)
        .map(ascii_digit)
        .collect();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    numbers.next()?.parse().ok().filter(|number| *number > 0)
}

/// The year of the best date that holds one.
fn year(tags: &[Found]) -> u16 {
    let fields = [
        Field::RecordingDate,
        Field::Year,
        Field::ReleaseDate,
        Field::OriginalDate,
    ];
    let years = |tag: &Found| fields.iter().find_map(|f| tag.values(*f).find_map(year_in));
    tags.iter().find_map(years).unwrap_or(0)
}

/// The first four digits in a row that make sense as a year, wherever people put them. Of eight in
/// a row, they are the first four or the last.
fn year_in(date: &str) -> Option<u16> {
    let date: String = date
        .chars()
        .take(NUMBER_CHARS_MAX)
        .map(ascii_digit)
        .collect();
    let runs = date.split(|c: char| !c.is_ascii_digit());
    let years = runs.flat_map(|run| match run.len() {
        8 => [run.get(..4), run.get(4..)],
        4 | 6 | 10.. => [run.get(..4), None],
        _ => [None, None],
    });
    let sensible = |year: &u16| (1000..3000).contains(year);
    years
        .flatten()
        .filter_map(|year| year.parse().ok())
        .find(sensible)
}

/// A digit of full width as the plain one.
fn ascii_digit(c: char) -> char {
    match c {
        '\u{ff10}'..='\u{ff19}' => char::from_digit(u32::from(c) - 0xff10, 10).unwrap_or(c),
        c => c,
    }
}

/// The media type by the first bytes, if a page may show it. With the file's own claim, a file
/// could serve a script as its cover.
pub fn image_type(bytes: &[u8]) -> Option<&'static str> {
    let webp = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'B', b'M', ..] => Some("image/bmp"),
        _ => webp.then_some("image/webp"),
    }
}

/// One line, without characters that move a terminal's cursor or reverse the direction of text.
/// Nothing at all if no character of it shows.
pub(crate) fn clean(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\r' | '\t' => Some(' '),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => None,
        c if c.is_control() => None,
        c => Some(c),
    };
    let mut line: String = text.trim().chars().filter_map(shown).collect();
    line.truncate(line.floor_char_boundary(TAG_BYTES_MAX));
    if line
        .chars()
        .all(|c| c.is_whitespace() || INVISIBLE.contains(&c))
    {
        return String::new();
    }
    line.trim().to_owned()
}

/// Characters without a shape that join, divide or fill others.
const INVISIBLE: [char; 12] = [
    '\u{ad}', '\u{34f}', '\u{115f}', '\u{1160}', '\u{180e}', '\u{200b}', '\u{200c}', '\u{200d}',
    '\u{200e}', '\u{200f}', '\u{2060}', '\u{3164}',
];

/// Largest cover that is found.
pub const PICTURE_BYTES_MAX: usize = 32 << 20;

/// Most of one tag that is read: the largest cover in base 64, and as much again as words need.
const TAG_IN_MEMORY_BYTES_MAX: u64 = 48 << 20;

/// Characters of a date or a number that are looked at.
const NUMBER_CHARS_MAX: usize = 256;

#[cfg(test)]
mod tests;
