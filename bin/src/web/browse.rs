//! The page's API for albums, artists, genres, years and the tags of a song: queries and JSON objects.

use net::http::percent;
use net::http::request::Request;
use roles::contract::browse::{AlbumSort, Browse, Browsed, Mark, PageOf, ValueOf};
use roles::contract::id::{AlbumId, ArtistId};
use serde::Serialize;
use storage::tags::Details;

use super::api::{self, LIMIT, LIMIT_MAX, Route, Songs};
use crate::commands::albums::{AlbumLine, ArtistLine, ValueLine};
use crate::commands::list::Line;

/// The question to a router that a request stands for; the error says what is wrong with it.
pub(super) fn question(route: &Route, request: &Request) -> Result<Browse, String> {
    let fields = percent::fields(&request.query).ok_or("the query cannot be decoded")?;
    if let Route::Album(album) = route {
        return of_album(*album, &fields);
    }
    let (page, artist, sort) = (page(&fields)?, artist(&fields)?, sort(&fields)?);
    let of = match route {
        Route::Albums => return Ok(Browse::Albums { page, artist, sort }),
        Route::Artists => return Ok(Browse::Artists { page }),
        Route::Years => ValueOf::Year,
        Route::Genres => ValueOf::Genre,
        Route::Songs
        | Route::Song(_)
        | Route::Tags(_)
        | Route::Album(_)
        | Route::Trash
        | Route::Trashed(_)
        | Route::Stars
        | Route::Star(_)
        | Route::Ratings
        | Route::Rating(_)
        | Route::Plays
        | Route::Play(_)
        | Route::Playlists
        | Route::Playlist(_)
        | Route::Status
        | Route::Metrics
        | Route::Events
        | Route::Stream(_)
        | Route::Download(_)
        | Route::Cover(_)
        | Route::File(_) => return Err("this is no list".into()),
    };
    Ok(Browse::Values { of, page })
}

type Fields = Vec<(String, String)>;

/// The last value of a field.
fn value<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    let mut values = fields.iter().rev().filter(|(other, _)| other == name);
    values.next().map(|(_, value)| value.as_str())
}

fn page(fields: &Fields) -> Result<PageOf, String> {
    let after = match value(fields, "after") {
        Some(text) => Some(mark(text).ok_or("after: no such place")?),
        None => None,
    };
    let backwards = value(fields, "desc").unwrap_or_default();
    Ok(PageOf {
        words: api::words(value(fields, "q").unwrap_or_default().to_owned())?,
        descending: !matches!(backwards, "" | "0" | "false"),
        after,
        limit: limit(fields, LIMIT)?,
    })
}

fn of_album(album: AlbumId, fields: &Fields) -> Result<Browse, String> {
    let from = value(fields, "from").unwrap_or("0");
    let from = from.parse().map_err(|_| "from: a number from 0 on")?;
    let limit = limit(fields, LIMIT_MAX)?;
    Ok(Browse::Album { album, from, limit })
}

fn limit(fields: &Fields, otherwise: u32) -> Result<u32, String> {
    match value(fields, "limit") {
        Some(text) => api::limit(text).ok_or("limit: a number from 1 to 100".into()),
        None => Ok(otherwise),
    }
}

fn artist(fields: &Fields) -> Result<Option<ArtistId>, String> {
    match value(fields, "artist") {
        Some(text) => match ArtistId::parse(text) {
            Some(id) => Ok(Some(id)),
            None => Err("artist: no artist's id".into()),
        },
        None => Ok(None),
    }
}

fn sort(fields: &Fields) -> Result<AlbumSort, String> {
    match value(fields, "sort") {
        None | Some("artist") => Ok(AlbumSort::Artist),
        Some("title") => Ok(AlbumSort::Title),
        Some("year") => Ok(AlbumSort::Year),
        Some("added") => Ok(AlbumSort::Added),
        Some(other) => Err(format!("sort={other}: no such order")),
    }
}

fn mark(text: &str) -> Option<Mark> {
    let (id, key) = api::parse_place(text)?;
    Some(Mark { key, id })
}

/// What a router found, in JSON. The field names are a public interface.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Page<'a> {
    Albums {
        albums: Vec<AlbumLine<'a>>,
        total: u64,
        next: Option<String>,
    },
    Artists {
        artists: Vec<ArtistLine<'a>>,
        total: u64,
        next: Option<String>,
    },
    Songs(Songs<'a>),
    Album {
        album: AlbumLine<'a>,
        songs: Vec<Line<'a>>,
    },
    Values {
        values: Vec<ValueLine<'a>>,
        total: u64,
        next: Option<String>,
    },
}

impl<'a> Page<'a> {
    pub(super) fn of(found: &'a Browsed) -> Self {
        let place = |next: &Option<Mark>| next.as_ref().map(|mark| api::place(mark.id, &mark.key));
        match found {
            Browsed::Albums {
                albums,
                total,
                next,
            } => Page::Albums {
                albums: albums.iter().map(AlbumLine::of).collect(),
                total: *total,
                next: place(next),
            },
            Browsed::Artists {
                artists,
                total,
                next,
            } => Page::Artists {
                artists: artists.iter().map(ArtistLine::of).collect(),
                total: *total,
                next: place(next),
            },
            Browsed::Songs { songs, total, next } => {
                Page::Songs(Songs::of(songs, *total, next.as_ref()))
            }
            Browsed::Album { album, songs } => Page::Album {
                album: AlbumLine::of(album),
                songs: songs.iter().map(Line::of).collect(),
            },
            Browsed::Values {
                values,
                total,
                next,
            } => Page::Values {
                values: values.iter().map(ValueLine::of).collect(),
                total: *total,
                next: place(next),
            },
        }
    }
}

/// The tags of a song beside its entry, in JSON. The field names are a public interface.
#[derive(Serialize)]
pub(super) struct SongTags<'a> {
    artists: &'a [String],
    album_artists: &'a [String],
    genres: &'a [String],
    composers: &'a [String],
    original_year: u16,
    discs: u16,
    tracks: u16,
    tags: serde_json::Map<String, serde_json::Value>,
    lyrics: &'a str,
}

impl<'a> SongTags<'a> {
    pub(super) fn of(details: &'a Details) -> Self {
        let others = details.others.iter();
        let tags = others.map(|(name, value)| ((*name).to_owned(), value.clone().into()));
        let lyrics = &details.lyrics;
        SongTags {
            artists: &details.more.artists,
            album_artists: &details.more.album_artists,
            genres: &details.more.genres,
            composers: &details.more.composers,
            original_year: details.more.original_year,
            discs: details.more.discs,
            tracks: details.more.tracks,
            tags: tags.collect(),
            lyrics: &lyrics[..lyrics.floor_char_boundary(LYRICS_BYTES_MAX)],
        }
    }
}

/// Longest lyrics that the page is given: a novel's chapter, and no more than an answer may hold in
/// memory while a browser takes it.
const LYRICS_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(query: &str) -> Fields {
        percent::fields(query).expect("a query")
    }

    /// Each field of a query is read, and one that cannot be is an error that names it.
    #[test]
    fn queries_of_lists_are_read() {
        let place = api::place(7, "ñ");
        let read = page(&fields(&format!("q=a+b&desc=1&after={place}&limit=7")));
        let after = Some(Mark {
            key: "ñ".into(),
            id: 7,
        });
        let wanted = PageOf {
            words: "a b".into(),
            descending: true,
            after,
            limit: 7,
        };
        assert_eq!(read, Ok(wanted));
        assert_eq!(sort(&fields("sort=year")), Ok(AlbumSort::Year));
        for wrong in ["after=x", "limit=0", "limit=x"] {
            assert!(page(&fields(wrong)).is_err(), "{wrong}");
        }
        assert!(sort(&fields("sort=x")).is_err() && artist(&fields("artist=x")).is_err());
        assert!(of_album(AlbumId(1), &fields("from=-1")).is_err());
    }
}
