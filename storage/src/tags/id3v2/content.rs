//! What the frames hold that the catalogue wants.

use crate::tags::decode::{latin1, seems_big_endian, utf8_or_latin1, utf16};
use crate::tags::found::{Field, Found};
use crate::tags::genres;

/// A frame that the catalogue wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Text(Field),
    /// A text whose field is named in front of it.
    Named,
    /// A text behind a language and words about it.
    Long(Field),
    Picture,
    OldPicture,
}

impl Known {
    pub(super) fn of(id: &[u8]) -> Option<Self> {
        Some(match id {
            b"TIT2" | b"TT2" => Known::Text(Field::Title),
            b"TPE1" | b"TP1" => Known::Text(Field::Artist),
            b"TALB" | b"TAL" => Known::Text(Field::Album),
            b"TCON" | b"TCO" => Known::Text(Field::Genre),
            b"TRCK" | b"TRK" => Known::Text(Field::Track),
            b"TPOS" | b"TPA" => Known::Text(Field::Disc),
            b"TDRC" => Known::Text(Field::RecordingDate),
            b"TYER" | b"TYE" => Known::Text(Field::Year),
            b"TDRL" => Known::Text(Field::ReleaseDate),
            b"TDOR" | b"TORY" | b"TOR" => Known::Text(Field::OriginalDate),
            b"TPE2" | b"TP2" => Known::Text(Field::AlbumArtist),
            b"TCOM" | b"TCM" => Known::Text(Field::Composer),
            b"TCMP" | b"TCP" => Known::Text(Field::Compilation),
            b"TSO2" | b"TS2" => Known::Text(Field::AlbumArtistSort),
            b"TSOP" | b"TSP" => Known::Text(Field::ArtistSort),
            b"TSOA" | b"TSA" => Known::Text(Field::AlbumSort),
            b"TBPM" | b"TBP" => Known::Text(Field::Bpm),
            b"TXXX" | b"TXX" => Known::Named,
            b"USLT" | b"ULT" => Known::Long(Field::Lyrics),
            b"COMM" | b"COM" => Known::Long(Field::Comment),
            b"APIC" => Known::Picture,
            b"PIC" => Known::OldPicture,
            // A tag that was raised from ID3v2.2 by its version alone.
            [a, b, c, 0 | b' '] if id != b"PIC\0" => return Known::of(&[*a, *b, *c]),
            _ => return None,
        })
    }
}

/// Takes the content of a frame.
pub(super) fn take(found: &mut Found, known: Known, body: &[u8]) {
    match known {
        Known::Text(Field::Genre) => {
            for value in text(body).split('\0') {
                genres::split(value, |genre| found.add(Field::Genre, genre));
            }
        }
        Known::Text(field) => found.add(field, &text(body)),
        Known::Named => {
            let text = text(body);
            if let Some((name, value)) = text.split_once('\0')
                && let Some(field) = Field::named(name.as_bytes())
            {
                found.add(field, value);
            }
        }
        Known::Long(field) => take_long(found, field, body),
        Known::Picture => take_picture(found, body, true),
        Known::OldPicture => take_picture(found, body, false),
    }
}

/// Encoding, language, words about the text, the text. Words that say what a program noted for
/// itself are no comment.
fn take_long(found: &mut Found, field: Field, body: &[u8]) {
    let [encoding, _, _, _, rest @ ..] = body else {
        return;
    };
    let text = text(&[&[*encoding], rest].concat());
    if let Some((about, text)) = text.split_once('\0')
        && (field != Field::Comment || about.is_empty())
    {
        found.add(field, text);
    }
}

/// Encoding, type of the image, what it shows, words about it, the image. The type is a text up to
/// a zero, or three letters.
fn take_picture(found: &mut Found, body: &[u8], named: bool) {
    let picture = || {
        let (encoding, rest) = body.split_first()?;
        let type_bytes = match named {
            true => rest.iter().position(|byte| *byte == 0)? + 1,
            false => 3,
        };
        let (kind, rest) = rest.get(type_bytes..)?.split_first()?;
        let wide = matches!(encoding, 1 | 2);
        let words = match wide {
            true => rest.chunks_exact(2).position(|pair| pair == [0, 0])? * 2 + 2,
            false => rest.iter().position(|byte| *byte == 0)? + 1,
        };
        Some((*kind, rest.get(words..)?))
    };
    if let Some((kind, image)) = picture() {
        found.add_picture(kind == 3, image);
    }
}

/// The text of a frame; zeros separate values.
fn text(body: &[u8]) -> String {
    let (encoding, bytes) = match body {
        [0, bytes @ ..] => return latin1(bytes),
        [encoding, bytes @ ..] if *encoding < b' ' => (*encoding, bytes),
        bytes => (3, bytes),
    };
    match encoding {
        1 => utf16(bytes, seems_big_endian(bytes)),
        2 => utf16(bytes, true),
        _ => utf8_or_latin1(bytes),
    }
}
