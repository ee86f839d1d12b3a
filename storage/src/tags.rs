//! Reads the tags and the cover of a file, cleaned for the catalogue.
//!
//! Only this module uses lofty. Reading tags neither fails nor panics, whatever the file holds: a
//! tag that cannot be read is empty. Texts come out trimmed, without control characters, and within
//! the catalogue's bound. A picture's type comes from its bytes, not from the file's claim.

use std::io::{BufReader, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

use lofty::config::ParseOptions;
use lofty::file::{FileType, TaggedFile, TaggedFileExt};
use lofty::picture::PictureType;
use lofty::probe::Probe;
use lofty::tag::{ItemKey, Tag};

use roles::contract::limits::TAG_BYTES_MAX;
use roles::contract::song::Format;

/// The tags of a song. An unknown tag is empty or 0.
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

/// The tags of a file, or of its first fragments. A cover is in memory only during this call.
pub fn read(source: &mut (impl Read + Seek), format: Format) -> Tags {
    let Some(file) = parse(source, format) else {
        return Tags::default();
    };
    Tags {
        title: text(&file, ItemKey::TrackTitle),
        artist: text(&file, ItemKey::TrackArtist),
        album: text(&file, ItemKey::AlbumTitle),
        genre: text(&file, ItemKey::Genre),
        year: year(&file),
        disc: number(&file, ItemKey::DiscNumber),
        track: number(&file, ItemKey::TrackNumber),
        picture: front_cover(&file).is_some(),
    }
}

/// The cover in a file, or in its head: the front if there are several.
pub fn picture(source: &mut (impl Read + Seek), format: Format) -> Option<Picture> {
    let file = parse(source, format)?;
    let (media_type, bytes) = front_cover(&file)?;
    Some(Picture {
        media_type,
        bytes: bytes.to_vec(),
    })
}

fn parse(source: &mut (impl Read + Seek), format: Format) -> Option<TaggedFile> {
    let parse = || {
        source.rewind().ok()?;
        let options = ParseOptions::new().read_properties(false);
        let probe = Probe::new(BufReader::new(source)).options(options);
        match file_type(format) {
            Some(known) => probe.set_file_type(known).read().ok(),
            None => probe.guess_file_type().ok()?.read().ok(),
        }
    };
    // A file may come from anywhere, and lofty is large. A panic of lofty costs the tags, not the
    // import.
    catch_unwind(AssertUnwindSafe(parse)).ok().flatten()
}

fn file_type(format: Format) -> Option<FileType> {
    match format {
        Format::Wav => Some(FileType::Wav),
        Format::Mp3 => Some(FileType::Mpeg),
        Format::Flac => Some(FileType::Flac),
        Format::Vorbis => Some(FileType::Vorbis),
        Format::Opus => Some(FileType::Opus),
        Format::M4a => Some(FileType::Mp4),
        Format::Opaque => None,
    }
}

/// The format's own kind of tag first, then the others in the order of the file.
fn tags(file: &TaggedFile) -> impl Iterator<Item = &Tag> {
    file.primary_tag().into_iter().chain(file.tags())
}

fn text(file: &TaggedFile, key: ItemKey) -> String {
    let all = |tag: &Tag| {
        let values: Vec<String> = tag.get_strings(key).map(clean).collect();
        clean(&values.join(", "))
    };
    let found = tags(file).map(all).find(|text| !text.is_empty());
    found.unwrap_or_default()
}

fn number(file: &TaggedFile, key: ItemKey) -> u16 {
    let numbers = |tag| Tag::get_string(tag, key).and_then(leading_number);
    tags(file).find_map(numbers).unwrap_or(0)
}

/// The number before the slash: 3 for "3/12", which some formats store.
fn leading_number(text: &str) -> Option<u16> {
    let mut numbers = text.trim().split(|c: char| !c.is_ascii_digit());
    numbers.next()?.parse().ok()
}

fn year(file: &TaggedFile) -> u16 {
    let keys = [
        ItemKey::RecordingDate,
        ItemKey::Year,
        ItemKey::ReleaseDate,
        ItemKey::OriginalReleaseDate,
    ];
    let dates = |tag| keys.map(|key| Tag::get_string(tag, key).and_then(year_in));
    tags(file).flat_map(dates).flatten().next().unwrap_or(0)
}

/// The first four consecutive digits of a date.
fn year_in(date: &str) -> Option<u16> {
    date.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.get(..4)?.parse().ok())
        .find(|year| *year > 0)
}

fn front_cover(file: &TaggedFile) -> Option<(&'static str, &[u8])> {
    let pictures = || tags(file).flat_map(|tag| tag.pictures());
    let front = pictures().filter(|p| p.pic_type() == PictureType::CoverFront);
    let known = |bytes| image_type(bytes).map(|media_type| (media_type, bytes));
    front
        .chain(pictures())
        .find_map(|picture| known(picture.data()))
}

/// The media type by the first bytes, if a page may show it. With the file's own claim, a file
/// could serve a script as its cover.
fn image_type(bytes: &[u8]) -> Option<&'static str> {
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
pub(crate) fn clean(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\r' | '\t' => Some(' '),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => None,
        c if c.is_control() => None,
        c => Some(c),
    };
    let mut line: String = text.trim().chars().filter_map(shown).collect();
    line.truncate(line.floor_char_boundary(TAG_BYTES_MAX));
    line.trim().to_owned()
}
