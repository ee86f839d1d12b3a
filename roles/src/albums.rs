//! Songs to albums and artists: a pure function of their tags.
//!
//! Owns the rules by which songs make one album, and the ids of albums and artists. Every router
//! that knows the same songs and tags comes to the same albums, and no order of arrival matters.
//! Keeping groups up to date while songs come and go is the business of `router::groups`.
//!
//! An album is what has one id at MusicBrainz; without one, what has one title and one artist. The
//! title is compared folded and without its disc (`Wagner (Disc 2)`). The artist is, in this order:
//!
//! 1. the album artist, or `Various Artists` where the tags name something of this meaning;
//! 2. `Various Artists`, where the song is marked as part of a compilation;
//! 3. `Various Artists`, where the songs of this title that fall under neither are by at least three
//!    artists, their places on the discs differ, and they fill at least half of the discs: an
//!    untagged compilation;
//! 4. the song's own artist without guests.

mod titles;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use crate::contract::browse::Album;
use crate::contract::id::{AlbumId, ArtistId, SongId};
use crate::contract::song::Song;
use crate::contract::tags::MoreTags;
use crate::router::folding::fold;

pub use titles::{main_artist, title_and_disc};

/// A song with what is known of its further tags.
#[derive(Clone, Copy, Debug)]
pub struct Tagged<'a> {
    /// The song's entry.
    pub song: &'a Song,
    /// Its further tags, once they are known.
    pub more: Option<&'a MoreTags>,
    /// When it was added, in seconds since 1970; 0 if that is not known.
    pub added: u32,
}

/// An album and the songs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The album.
    pub album: Album,
    /// The artist's name for sorting, if the tags have one.
    pub artist_sort: String,
    /// The title for sorting, if the tags have one.
    pub album_sort: String,
    /// When the last of its songs was added, in seconds since 1970; 0 if that is not known.
    pub added: u32,
    /// The songs by disc, track and title.
    pub songs: Vec<SongId>,
    /// Everybody who performs on it, and whose album it is.
    pub performers: BTreeSet<ArtistId>,
}

impl<'a> Tagged<'a> {
    /// Songs are grouped within one bucket: those of one folded title, or of one id at
    /// MusicBrainz. None for a song without album.
    pub fn bucket(&self) -> Option<String> {
        if let Some(id) = self.more.and_then(|more| more.album_at_musicbrainz) {
            return Some(alloc::format!("{MUSICBRAINZ}{id:032x}"));
        }
        let title = fold(title_and_disc(&self.song.album).0);
        (!title.is_empty()).then_some(title)
    }

    /// The names of the performers: those in the list, else the song's artist without guests.
    pub fn artists(&self) -> Vec<&'a str> {
        let listed = self.more.map_or(&[][..], |more| &more.artists);
        if !listed.is_empty() {
            return listed.iter().map(String::as_str).collect();
        }
        let main = main_artist(&self.song.artist);
        (!main.is_empty()).then_some(main).into_iter().collect()
    }

    /// The genres: those in the list, else that of the entry, split at its commas.
    pub fn genres(&self) -> Vec<&'a str> {
        let listed = self.more.map_or(&[][..], |more| &more.genres);
        if !listed.is_empty() {
            return listed.iter().map(String::as_str).collect();
        }
        let parts = self.song.genre.split(", ").map(str::trim);
        parts.filter(|part| !part.is_empty()).collect()
    }

    /// Disc, track and folded title: the song's place on its album.
    fn place(&self) -> (u16, u16, String, SongId) {
        let track = match self.song.track {
            0 => u16::MAX,
            track => track,
        };
        (self.disc(), track, fold(&self.song.title), self.song.id)
    }

    /// The disc by the song's tag, else by the album's title; 1 if neither tells.
    fn disc(&self) -> u16 {
        let by_title = || title_and_disc(&self.song.album).1;
        match self.song.disc {
            0 => by_title().unwrap_or(1),
            disc => disc,
        }
    }

    /// The year of the first release.
    fn year(&self) -> u16 {
        match self.more.map_or(0, |more| more.original_year) {
            0 => self.song.year,
            year => year,
        }
    }
}

/// The id of the artist with this name; none if the name is empty.
pub fn artist_id(name: &str) -> Option<ArtistId> {
    let folded = fold(name);
    (!folded.is_empty()).then(|| ArtistId(hash(&["artist", &folded])))
}

/// The albums of one bucket.
pub fn group(bucket: &[Tagged<'_>]) -> Vec<Group> {
    let various = are_various(bucket);
    let mut albums: BTreeMap<String, Vec<Tagged<'_>>> = BTreeMap::new();
    for piece in bucket {
        let key = match piece.more.and_then(|more| more.album_at_musicbrainz) {
            Some(_) => String::new(),
            None => Credit::of(piece, various).key(),
        };
        albums.entry(key).or_default().push(*piece);
    }
    let made = albums.iter().map(|(key, pieces)| album(key, pieces));
    made.collect()
}

/// Whose album a song claims to be on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Credit {
    Various,
    Artist(String),
}

impl Credit {
    fn of(piece: &Tagged<'_>, various: bool) -> Self {
        if let Some(claimed) = Credit::claimed(piece) {
            return claimed;
        }
        if various {
            return Credit::Various;
        }
        Credit::Artist(main_artist(&piece.song.artist).into())
    }

    /// What the tags say of the album's artist; none if they are silent.
    fn claimed(piece: &Tagged<'_>) -> Option<Self> {
        let more = piece.more?;
        let names = more.album_artists.join(", ");
        if !names.is_empty() {
            let folded = fold(&names);
            let various = VARIOUS_NAMES.contains(&folded.as_str());
            return Some(match various {
                true => Credit::Various,
                false => Credit::Artist(names),
            });
        }
        more.compilation.then_some(Credit::Various)
    }

    /// The same for two credits of one album.
    fn key(&self) -> String {
        match self {
            Credit::Various => VARIOUS_KEY.into(),
            Credit::Artist(name) => fold(name),
        }
    }

    fn name(&self) -> &str {
        match self {
            Credit::Various => VARIOUS,
            Credit::Artist(name) => name,
        }
    }
}

/// Whether the songs whose tags are silent about the album's artist look like a compilation.
fn are_various(bucket: &[Tagged<'_>]) -> bool {
    let silent = |piece: &&Tagged<'_>| Credit::claimed(piece).is_none();
    let mut artists = BTreeSet::new();
    let mut places = BTreeMap::new();
    for piece in bucket.iter().filter(silent) {
        let artist = fold(main_artist(&piece.song.artist));
        if piece.song.track == 0 || artist.is_empty() {
            return false;
        }
        artists.insert(artist.clone());
        let place = (piece.disc(), piece.song.track);
        // The same song in two files stands twice in one place.
        if places
            .insert(place, artist.clone())
            .is_some_and(|other| other != artist)
        {
            return false;
        }
    }
    let mut lengths: BTreeMap<u16, u16> = BTreeMap::new();
    for (disc, track) in places.keys() {
        let last = lengths.entry(*disc).or_default();
        *last = (*last).max(*track);
    }
    let tracks: usize = lengths.values().map(|last| usize::from(*last)).sum();
    artists.len() >= ARTISTS_OF_VARIOUS && places.len() * 2 >= tracks
}

/// The album of these songs, of which there is at least one.
fn album(key: &str, pieces: &[Tagged<'_>]) -> Group {
    let mut order: Vec<_> = pieces.iter().map(|piece| (piece.place(), *piece)).collect();
    order.sort_by(|a, b| a.0.cmp(&b.0));
    let songs: Vec<SongId> = order.iter().map(|(_, piece)| piece.song.id).collect();
    let credit = common_credit(key, pieces);
    let mut performers: BTreeSet<ArtistId> = (pieces.iter())
        .flat_map(|piece| piece.artists())
        .filter_map(artist_id)
        .collect();
    performers.extend(artist_id(credit.name()));
    let bucket = pieces.first().and_then(Tagged::bucket).unwrap_or_default();
    let more = |value: fn(&MoreTags) -> &str| {
        let values = pieces.iter().filter_map(move |piece| piece.more.map(value));
        most_common(values.filter(|value| !value.is_empty())).unwrap_or_default()
    };
    Group {
        album: Album {
            id: AlbumId(hash(&["album", key, &bucket])),
            title: most_common(pieces.iter().map(|p| title_and_disc(&p.song.album).0))
                .unwrap_or_default()
                .into(),
            artist_id: artist_id(credit.name()).unwrap_or(ArtistId(0)),
            artist: credit.name().into(),
            year: most_common(pieces.iter().map(Tagged::year).filter(|year| *year > 0))
                .unwrap_or(0),
            songs: songs.len() as u32,
            discs: pieces
                .iter()
                .map(Tagged::disc)
                .collect::<BTreeSet<_>>()
                .len() as u16,
            duration_ms: pieces.iter().map(|p| u64::from(p.song.duration_ms)).sum(),
            bytes: pieces
                .iter()
                .fold(0, |sum: u64, p| sum.saturating_add(p.song.bytes)),
            first: songs.first().copied().unwrap_or(SongId(0)),
        },
        artist_sort: more(|more| &more.artist_sort).into(),
        album_sort: more(|more| &more.album_sort).into(),
        added: pieces.iter().map(|p| p.added).max().unwrap_or(0),
        songs,
        performers,
    }
}

/// How most of the songs write the album's artist. Songs of one id at MusicBrainz may say different
/// things: several artists are various ones.
fn common_credit(key: &str, pieces: &[Tagged<'_>]) -> Credit {
    if key == VARIOUS_KEY {
        return Credit::Various;
    }
    let credits: Vec<Credit> = pieces.iter().map(|p| Credit::of(p, false)).collect();
    let keys: BTreeSet<String> = credits.iter().map(Credit::key).collect();
    let names = credits.iter().map(Credit::name);
    match most_common(names) {
        Some(name) if keys.len() == 1 && name != VARIOUS => Credit::Artist(name.into()),
        Some(_) => Credit::Various,
        None => Credit::Artist(String::new()),
    }
}

/// The value that occurs most often; of several, the smallest.
pub fn most_common<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    let best = counts.iter().rev().max_by_key(|(_, count)| **count);
    best.map(|(value, _)| *value)
}

/// A hash of texts in 128 bits: FNV-1a, then mixed, so that the leading digits differ as well. Two
/// texts of equal hash would only share one entry of a list.
fn hash(texts: &[&str]) -> u128 {
    let mut state: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for text in texts {
        for byte in text.bytes().chain([0xff]) {
            state ^= u128::from(byte);
            state = state.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
    for _ in 0..2 {
        state ^= state >> 67;
        state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    }
    state ^ state >> 71
}

/// The artist of an album that is nobody's.
pub const VARIOUS: &str = "Various Artists";

/// What tags write instead, folded.
const VARIOUS_NAMES: [&str; 8] = [
    "various artists",
    "various artist",
    "various",
    "va",
    "v\u{1}a",
    "varios artistas",
    "varios",
    "verschiedene interpreten",
];

/// No folded name is this one: a folded name has no control character but breaks within it.
const VARIOUS_KEY: &str = "\u{2}";

/// Begins the bucket of an id; no folded title begins so.
const MUSICBRAINZ: char = '\u{2}';

/// Artists from which on songs of one title may be a compilation. Two may have made one song each
/// for albums of the same name.
const ARTISTS_OF_VARIOUS: usize = 3;

#[cfg(test)]
mod tests;
