//! The tags beyond those of the catalogue's entry: what albums are made of, and what `info` shows.

use std::collections::BTreeSet;
use std::io::{Read, Seek};

use roles::contract::song::Format;
use roles::contract::tags::MoreTags;

use super::container::tags_of;
use super::found::{Field, Found, Want};
use super::{clean, leading_number, number, text, year_in};

/// All that the tags of a file say beside the catalogue's entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// What albums are made of.
    pub more: MoreTags,
    /// The rest, each value under a name that never changes.
    pub others: Vec<(&'static str, String)>,
    /// The lyrics, line by line; empty if there are none.
    pub lyrics: String,
}

/// What albums are made of, from a file or from its first and last fragments.
pub fn more(source: &mut (impl Read + Seek), format: Format) -> MoreTags {
    more_of(&tags_of(source, format, Want::Words))
}

/// Everything that the tags of a file say beside the catalogue's entry.
pub fn details(source: &mut (impl Read + Seek), format: Format) -> Details {
    let tags = tags_of(source, format, Want::Words);
    let others = OTHERS.iter().filter_map(|(name, field)| {
        let value = text(&tags, *field);
        (!value.is_empty()).then_some((*name, value))
    });
    Details {
        more: more_of(&tags),
        others: others.collect(),
        lyrics: lyrics(&tags),
    }
}

fn more_of(tags: &[Found]) -> MoreTags {
    let artists = match names(tags, Field::Artists) {
        listed if listed.is_empty() => names(tags, Field::Artist),
        listed => listed,
    };
    let album_artists = names(tags, Field::AlbumArtist);
    let sort = match album_artists.is_empty() {
        true => Field::ArtistSort,
        false => Field::AlbumArtistSort,
    };
    let mut more = MoreTags {
        // A single name is that of the entry.
        artists: if artists.len() > 1 {
            artists
        } else {
            Vec::new()
        },
        album_artists,
        genres: match names(tags, Field::Genre) {
            genres if genres.len() > 1 => genres,
            _ => Vec::new(),
        },
        composers: names(tags, Field::Composer),
        artist_sort: text(tags, sort),
        album_sort: text(tags, Field::AlbumSort),
        compilation: is_set(tags, Field::Compilation),
        discs: total(tags, Field::Discs, Field::Disc),
        tracks: total(tags, Field::Tracks, Field::Track),
        original_year: original_year(tags),
        album_at_musicbrainz: uuid(&text(tags, Field::AlbumAtMusicBrainz)),
    };
    more.bound();
    more
}

/// The names in the first tag that has any, each once. Some programs write several into one value.
fn names(tags: &[Found], field: Field) -> Vec<String> {
    let all = |tag: &Found| {
        let mut seen = BTreeSet::new();
        let values = tag.values(field).flat_map(|value| value.split("; "));
        let names = values.map(clean);
        let fresh = names.filter(|name| !name.is_empty() && seen.insert(name.clone()));
        fresh.collect::<Vec<String>>()
    };
    let found = tags.iter().map(all).find(|names| !names.is_empty());
    found.unwrap_or_default()
}

fn is_set(tags: &[Found], field: Field) -> bool {
    let yes = |value: &str| matches!(value.trim(), "1" | "true" | "True" | "yes");
    tags.iter().any(|tag| tag.values(field).any(yes))
}

/// A total of its own, or that behind the number: the 12 of "3/12".
fn total(tags: &[Found], field: Field, numbered: Field) -> u16 {
    let behind = |value: &str| leading_number(value.split_once('/')?.1);
    match number(tags, field) {
        0 => tags
            .iter()
            .find_map(|tag| tag.values(numbered).find_map(behind))
            .unwrap_or(0),
        total => total,
    }
}

fn original_year(tags: &[Found]) -> u16 {
    let year = |tag: &Found| tag.values(Field::OriginalDate).find_map(year_in);
    tags.iter().find_map(year).unwrap_or(0)
}

/// An id as MusicBrainz writes it: 32 hexadecimal digits in five groups.
fn uuid(text: &str) -> Option<u128> {
    let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
    let whole = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let id = u128::from_str_radix(&digits, 16).ok().filter(|_| whole)?;
    (id != 0).then_some(id)
}

/// Lyrics keep their lines, and lose what moves a terminal's cursor.
fn lyrics(tags: &[Found]) -> String {
    let whole = |tag: &Found| {
        let text = tag
            .values(Field::Lyrics)
            .find(|text| !text.trim().is_empty())?;
        let lines = text.split(['\n', '\r']).map(clean);
        Some(lines.collect::<Vec<_>>().join("\n").trim().to_owned())
    };
    tags.iter().find_map(whole).unwrap_or_default()
}

/// The version of what this module reads. A later one has the tags of all songs read again.
pub(crate) const READER: i64 = 1;

/// What `info` shows beside the tags of the catalogue. The names are an interface.
const OTHERS: [(&str, Field); 7] = [
    ("replaygain_track_gain", Field::TrackGain),
    ("replaygain_track_peak", Field::TrackPeak),
    ("replaygain_album_gain", Field::AlbumGain),
    ("replaygain_album_peak", Field::AlbumPeak),
    ("bpm", Field::Bpm),
    ("comment", Field::Comment),
    ("musicbrainz_recording", Field::RecordingAtMusicBrainz),
];
