//! The sort keys and the search text of songs. Keys compare as people expect.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Bound;

use super::folding::{fold, push_natural, push_number};
use crate::albums::Group;
use crate::contract::browse::AlbumSort;
use crate::contract::limits::{SONG_BYTES_MAX, TAG_BYTES_MAX};
use crate::contract::message::Sort;
use crate::contract::song::Song;
use crate::contract::tags::MoreTags;

/// The sorted index of all songs, albums or artists in one order.
#[derive(Debug, Default)]
pub(super) struct Order(BTreeSet<Entry>);

impl FromIterator<Entry> for Order {
    fn from_iter<I: IntoIterator<Item = Entry>>(keys: I) -> Self {
        Order(keys.into_iter().collect())
    }
}

impl Order {
    pub(super) fn insert(&mut self, key: String, id: u128) {
        self.0.insert((key, id));
    }

    pub(super) fn remove(&mut self, key: &str, id: u128) {
        self.0.remove(&(key.into(), id));
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ids after a place, in either direction, or all if there is no place. What has no value
    /// comes last in both directions.
    pub(super) fn from(
        &self,
        place: Option<(&str, u128)>,
        descending: bool,
    ) -> Box<dyn Iterator<Item = (&str, u128)> + '_> {
        let place = place.map(|(key, id)| (String::from(key), id));
        let entries = if descending {
            self.descending(place)
        } else {
            let after = place.map_or(Bound::Unbounded, Bound::Excluded);
            Box::new(self.0.range((after, Bound::Unbounded)))
        };
        Box::new(entries.map(|(key, id)| (key.as_str(), *id)))
    }

    fn descending(&self, place: Option<(String, u128)>) -> Box<dyn Iterator<Item = &Entry> + '_> {
        let missing: Entry = (MISSING.into(), 0);
        match place {
            Some(place) if place >= missing => Box::new(self.0.range(missing..place).rev()),
            place => {
                let last = self.0.range(missing.clone()..).rev();
                let present = self.0.range(..place.unwrap_or(missing)).rev();
                Box::new(present.chain(last))
            }
        }
    }
}

/// The key of a song, album or artist, and its id to order equal keys.
type Entry = (String, u128);

/// First character of a key whose song has a value to be sorted by.
const PRESENT: char = '0';

/// First character of the key of a song without a value. It places these songs at the end of an
/// ascending order.
const MISSING: char = '1';

/// Longest part of a key, in bytes; a longer text is cut.
const PART_BYTES_MAX: usize = TAG_BYTES_MAX;

// A key has at most four texts, a few numbers and separators, so it fits in a cursor.
const _: () = assert!(4 * PART_BYTES_MAX + 64 <= SONG_BYTES_MAX);

/// The tags of a song in folded form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Folded<'t> {
    title: &'t str,
    artist: &'t str,
    album: &'t str,
    genre: &'t str,
}

impl<'t> Folded<'t> {
    /// Those that stand in a song's [`search_text`]: to fold them anew takes ten times as long.
    pub(super) fn in_text(text: &'t str) -> Self {
        let mut lines = text.split('\n').map(|line| line.split(NAME_END).next());
        let mut next = || lines.next().flatten().unwrap_or_default();
        let (title, artist, album, genre) = (next(), next(), next(), next());
        Folded {
            title,
            artist,
            album,
            genre,
        }
    }
}

/// The key of a song in an order; `added` is when it was, 0 if that is not known. Texts compare in
/// their folded form, and numbers inside them by value. Of two songs with equal values, the song that
/// lacks a further value comes last.
pub(super) fn sort_key(song: &Song, folded: Folded<'_>, added: u32, sort: Sort) -> String {
    let key = match sort {
        Sort::Artist => Key::of_text(folded.artist).album(song, folded),
        Sort::Title => Key::of_text(folded.title).text(folded.artist),
        Sort::Album => Key::of_text(folded.album)
            .text(main_artist(folded.artist))
            .place(song, folded),
        Sort::Genre => Key::of_text(folded.genre).artist(song, folded),
        Sort::Year => Key::of_number(song.year.into()).artist(song, folded),
        Sort::Duration => Key::of_number(song.duration_ms).text(folded.title),
        Sort::Added => Key::of_number(added).text(folded.album).place(song, folded),
    };
    key.0
}

/// The key of an album in an order. The names for sorting count where the tags have them.
pub(super) fn album_key(group: &Group, sort: AlbumSort) -> String {
    let named = |sort: &str, name: &str| fold(if sort.is_empty() { name } else { sort });
    let album = &group.album;
    let artist = named(&group.artist_sort, &album.artist);
    let title = named(&group.album_sort, &album.title);
    let key = match sort {
        AlbumSort::Artist => Key::of_text(&artist).number(album.year.into()).text(&title),
        AlbumSort::Title => Key::of_text(&title).text(&artist),
        AlbumSort::Year => Key::of_number(album.year.into()).text(&artist).text(&title),
        AlbumSort::Added => Key::of_number(group.added).text(&title),
    };
    key.0
}

/// The key of a name in a list of artists or genres.
pub(super) fn name_key(folded: &str) -> String {
    Key::of_text(folded).0
}

/// The artist without guests, so that an album stays together although guests perform in some of
/// its songs.
fn main_artist(folded: &str) -> &str {
    let guests = [" feat ", " ft ", " featuring "];
    let ends = guests.iter().filter_map(|word| folded.find(word));
    &folded[..ends.min().unwrap_or(folded.len())]
}

/// A sort key under construction: one part for each value, the most important first.
struct Key(String);

impl Key {
    fn of_text(folded: &str) -> Self {
        Key::present(!folded.is_empty()).text(folded)
    }

    fn of_number(value: u32) -> Self {
        Key::present(value > 0).number(value)
    }

    fn present(present: bool) -> Self {
        Key(String::from(if present { PRESENT } else { MISSING }))
    }

    /// Adds artist, album, disc, track and title.
    fn artist(self, song: &Song, folded: Folded<'_>) -> Self {
        self.text(folded.artist).album(song, folded)
    }

    fn album(self, song: &Song, folded: Folded<'_>) -> Self {
        self.text(folded.album).place(song, folded)
    }

    /// Adds disc, track and title. A song without a disc number counts as disc 1, because people
    /// number discs only where there is a second one.
    fn place(self, song: &Song, folded: Folded<'_>) -> Self {
        let disc = song.disc.max(1);
        self.number(disc.into())
            .number(song.track.into())
            .text(folded.title)
    }

    fn text(mut self, folded: &str) -> Self {
        if folded.is_empty() {
            return self.missing();
        }
        let start = self.0.len();
        push_natural(&mut self.0, folded);
        let end = self.0.len().min(start + PART_BYTES_MAX);
        self.0.truncate(self.0.floor_char_boundary(end));
        self.end()
    }

    fn number(mut self, value: u32) -> Self {
        if value == 0 {
            return self.missing();
        }
        push_number(&mut self.0, &value.to_string());
        self.end()
    }

    fn missing(mut self) -> Self {
        self.0.push(char::MAX);
        self.end()
    }

    /// Ends a part with the lowest character, so that a text comes before every text that continues
    /// it.
    fn end(mut self) -> Self {
        self.0.push('\0');
        self
    }
}

/// The text that a search looks at: every tag in folded form, on a line of its own, so that no word
/// matches across two tags.
/// Further names stand on the line of the tag that they complete, and no word matches across two
/// of them.
pub(super) fn search_text(song: &Song, more: Option<&MoreTags>) -> String {
    let none = MoreTags::default();
    let more = more.unwrap_or(&none);
    let names = |lists: &[&[String]]| -> Vec<String> {
        lists
            .iter()
            .copied()
            .flatten()
            .map(|name| fold(name))
            .collect()
    };
    let mut text = String::new();
    push_line(&mut text, &song.title, &[]);
    push_line(
        &mut text,
        &song.artist,
        &names(&[&more.artists, &more.album_artists]),
    );
    push_line(&mut text, &song.album, &[]);
    push_line(&mut text, &song.genre, &names(&[&more.genres]));
    if song.year > 0 {
        text.push_str(&song.year.to_string());
    }
    if !more.composers.is_empty() {
        text.push('\n');
        push_line(&mut text, "", &names(&[&more.composers]));
    }
    text.shrink_to_fit();
    text
}

/// Adds a line with a tag, and with the folded names that the tag does not contain.
fn push_line(text: &mut String, tag: &str, names: &[String]) {
    let start = text.len();
    text.push_str(&fold(tag));
    for name in names {
        if !text[start..].contains(name.as_str()) {
            text.push(NAME_END);
            text.push_str(name);
        }
    }
    text.push('\n');
}

/// Stands between two names on a line. It is the end of a word, and no folded text holds it.
const NAME_END: char = '\u{2}';
