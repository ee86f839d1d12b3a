//! `dispotify albums`, `artists`, `genres` and `years`.

use roles::contract::browse::{
    Album, AlbumSort, Artist, Browse, Browsed, Mark, PageOf, Value, ValueOf,
};
use roles::contract::limits::PAGE_SONGS_MAX;
use serde::Serialize;

use super::{json_line, line, write_all};
use crate::args::{Albums, Groups};
use crate::failure::Failure;
use crate::session::Session;
use crate::settings::Settings;
use crate::text;

/// Lists the albums.
pub(crate) fn albums(settings: &Settings, albums: &Albums) -> Result<(), Failure> {
    let session = Session::start(settings)?;
    let mut words = albums.list.words.join(" ");
    if let Some(artist) = &albums.artist {
        words = format!("{words} {}", super::list::artist_term(artist));
    }
    let sort: AlbumSort = albums.sort.into();
    let ask = |page| Browse::Albums {
        page,
        artist: None,
        sort,
    };
    let all = every(&session, &albums.list, &words, ask)?;
    let found: Vec<&Album> = all.iter().filter_map(Entry::album).collect();
    if let Some(told) = told(&albums.list, found.iter().map(|album| AlbumLine::of(album))) {
        return told;
    }
    if found.is_empty() {
        return nothing("albums", &words);
    }
    let header = ["ID", "ALBUM", "ARTIST", "YEAR", "SONGS", "LENGTH"];
    let mut table = text::table(header, &[3, 4, 5]);
    for album in &found {
        table.add_row([
            short(album.id.0),
            text::cell(&album.title),
            text::cell(&album.artist),
            year(album.year),
            album.songs.to_string(),
            text::long_length(album.duration_ms),
        ]);
    }
    let sum = text::count(found.len() as u64, "album");
    write_all(format!("{table}\n{sum}\n").as_bytes())
}

/// Lists the artists.
pub(crate) fn artists(settings: &Settings, list: &Groups) -> Result<(), Failure> {
    let session = Session::start(settings)?;
    let words = list.words.join(" ");
    let all = every(&session, list, &words, |page| Browse::Artists { page })?;
    let found: Vec<&Artist> = all.iter().filter_map(Entry::artist).collect();
    if let Some(told) = told(list, found.iter().map(|artist| ArtistLine::of(artist))) {
        return told;
    }
    if found.is_empty() {
        return nothing("artists", &words);
    }
    let mut table = text::table(["ID", "ARTIST", "ALBUMS", "SONGS"], &[2, 3]);
    for artist in &found {
        table.add_row([
            short(artist.id.0),
            text::cell(&artist.name),
            artist.albums.to_string(),
            artist.songs.to_string(),
        ]);
    }
    let sum = text::count(found.len() as u64, "artist");
    write_all(format!("{table}\n{sum}\n").as_bytes())
}

/// Lists the genres or the years.
pub(crate) fn values(settings: &Settings, list: &Groups, of: ValueOf) -> Result<(), Failure> {
    let session = Session::start(settings)?;
    let words = list.words.join(" ");
    let all = every(&session, list, &words, |page| Browse::Values { of, page })?;
    let found: Vec<&Value> = all.iter().filter_map(Entry::value).collect();
    if let Some(told) = told(list, found.iter().map(|value| ValueLine::of(value))) {
        return told;
    }
    let (title, noun) = match of {
        ValueOf::Genre => ("GENRE", "genres"),
        ValueOf::Year => ("YEAR", "years"),
    };
    if found.is_empty() {
        return nothing(noun, &words);
    }
    let mut table = text::table([title, "SONGS"], &[1]);
    for value in found {
        table.add_row([text::cell(&value.name), value.songs.to_string()]);
    }
    write_all(format!("{table}\n").as_bytes())
}

/// Writes the lines that scripts want, if that is what was asked for.
fn told<T: Serialize>(
    list: &Groups,
    mut lines: impl Iterator<Item = T>,
) -> Option<Result<(), Failure>> {
    if let Some(form) = &list.format {
        return Some(lines.try_for_each(|one| line(&form.line(&one)?)));
    }
    list.json.then(|| lines.try_for_each(|one| json_line(&one)))
}

/// An entry of any list.
enum Entry {
    Album(Album),
    Artist(Artist),
    Value(Value),
}

impl Entry {
    fn album(&self) -> Option<&Album> {
        match self {
            Entry::Album(album) => Some(album),
            Entry::Artist(_) | Entry::Value(_) => None,
        }
    }

    fn artist(&self) -> Option<&Artist> {
        match self {
            Entry::Artist(artist) => Some(artist),
            Entry::Album(_) | Entry::Value(_) => None,
        }
    }

    fn value(&self) -> Option<&Value> {
        match self {
            Entry::Value(value) => Some(value),
            Entry::Album(_) | Entry::Artist(_) => None,
        }
    }
}

/// All entries of a list, page after page, up to the limit that was asked for.
fn every(
    session: &Session,
    list: &Groups,
    words: &str,
    ask: impl Fn(PageOf) -> Browse,
) -> Result<Vec<Entry>, Failure> {
    let most = list.limit.map_or(usize::MAX, |limit| limit as usize);
    let mut all: Vec<Entry> = Vec::new();
    let mut after: Option<Mark> = None;
    loop {
        let page = PageOf {
            words: words.into(),
            descending: list.reverse,
            after,
            limit: PAGE_SONGS_MAX.min(most - all.len()) as u32,
        };
        let (entries, next) = taken_apart(session.browse(ask(page))?);
        all.extend(entries);
        after = next;
        if after.is_none() || all.len() >= most {
            return Ok(all);
        }
    }
}

fn taken_apart(found: Browsed) -> (Vec<Entry>, Option<Mark>) {
    match found {
        Browsed::Albums { albums, next, .. } => {
            (albums.into_iter().map(Entry::Album).collect(), next)
        }
        Browsed::Artists { artists, next, .. } => {
            (artists.into_iter().map(Entry::Artist).collect(), next)
        }
        Browsed::Values { values, next, .. } => {
            (values.into_iter().map(Entry::Value).collect(), next)
        }
        Browsed::Album { .. } | Browsed::Songs { .. } => (Vec::new(), None),
    }
}

/// A library may be empty; a search that finds nothing fails, as `grep` does.
fn nothing(noun: &str, words: &str) -> Result<(), Failure> {
    if words.trim().is_empty() {
        return line(&format!("no {noun}"));
    }
    let why = format!("{noun}: none has all these words");
    Err(Failure::Failed(why))
}

/// The leading digits of an id: with eight of them, two of a hundred thousand are rarely alike, and
/// a command that meets both says so.
fn short(id: u128) -> String {
    let mut digits = format!("{id:032x}");
    digits.truncate(ID_DIGITS);
    digits
}

/// Digits of an id in tables.
pub(super) const ID_DIGITS: usize = 10;

pub(super) fn year(year: u16) -> String {
    match year {
        0 => String::new(),
        year => year.to_string(),
    }
}

/// An album as JSON shows it. The names are an interface.
#[derive(Serialize)]
pub(crate) struct AlbumLine<'a> {
    id: String,
    title: &'a str,
    artist: &'a str,
    artist_id: String,
    year: u16,
    songs: u32,
    discs: u16,
    duration_ms: u64,
    bytes: u64,
    first: String,
}

impl<'a> AlbumLine<'a> {
    pub(crate) fn of(album: &'a Album) -> Self {
        AlbumLine {
            id: album.id.to_string(),
            title: &album.title,
            artist: &album.artist,
            artist_id: album.artist_id.to_string(),
            year: album.year,
            songs: album.songs,
            discs: album.discs,
            duration_ms: album.duration_ms,
            bytes: album.bytes,
            first: album.first.to_string(),
        }
    }
}

/// An artist as JSON shows it. The names are an interface.
#[derive(Serialize)]
pub(crate) struct ArtistLine<'a> {
    id: String,
    name: &'a str,
    songs: u32,
    albums: u32,
}

impl<'a> ArtistLine<'a> {
    pub(crate) fn of(artist: &'a Artist) -> Self {
        ArtistLine {
            id: artist.id.to_string(),
            name: &artist.name,
            songs: artist.songs,
            albums: artist.albums,
        }
    }
}

/// A genre or a year as JSON shows it. The names are an interface.
#[derive(Serialize)]
pub(crate) struct ValueLine<'a> {
    name: &'a str,
    songs: u32,
}

impl<'a> ValueLine<'a> {
    pub(crate) fn of(value: &'a Value) -> Self {
        ValueLine {
            name: &value.name,
            songs: value.songs,
        }
    }
}
