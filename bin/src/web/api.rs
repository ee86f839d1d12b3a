//! The page's API: routes, queries and JSON objects.

use std::ops::Range;

use net::http::percent;
use net::http::request::{Method, Request};
use roles::contract::id::{AlbumId, SongId};
use roles::contract::limits::{SEARCH_BYTES_MAX, SONG_BYTES_MAX};
use roles::contract::message::{Cursor, Holder, Listed, Query, Sort};
use roles::contract::song::Manifest;
use roles::contract::trash::Trashed;
use serde::Serialize;

use crate::commands::list::Line;
use crate::commands::trash::Entry;

/// Most songs in one page of a list, and the default.
pub(super) const LIMIT_MAX: u32 = 100;
pub(super) const LIMIT: u32 = 50;

/// The resource that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Songs,
    Song(SongId),
    /// What the tags of a song say beside its entry.
    Tags(SongId),
    Albums,
    Album(AlbumId),
    Artists,
    Genres,
    Years,
    Trash,
    Trashed(SongId),
    Stars,
    /// A song, an album or an artist.
    Star(u128),
    Ratings,
    /// The same.
    Rating(u128),
    Plays,
    /// A song that was heard.
    Play(u128),
    Playlists,
    Playlist(u128),
    Status,
    Metrics,
    Events,
    Stream(SongId),
    Download(SongId),
    Cover(SongId),
    /// An embedded file of this name, if there is one.
    File(String),
}

impl Route {
    /// The route of a path; `None` when the path cannot be decoded or a song id in it is malformed.
    pub(super) fn of(path: &str) -> Option<Route> {
        let path = percent::decode(path)?;
        let song = |route: fn(SongId) -> Route, id: &str| SongId::parse(id).map(route);
        let any = |route: fn(u128) -> Route, id: &str| SongId::parse(id).map(|id| route(id.0));
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match parts.as_slice() {
            ["api", "songs"] => Some(Route::Songs),
            ["api", "songs", id] => song(Route::Song, id),
            ["api", "songs", id, "tags"] => song(Route::Tags, id),
            ["api", "albums"] => Some(Route::Albums),
            ["api", "albums", id] => AlbumId::parse(id).map(Route::Album),
            ["api", "artists"] => Some(Route::Artists),
            ["api", "genres"] => Some(Route::Genres),
            ["api", "years"] => Some(Route::Years),
            ["api", "trash"] => Some(Route::Trash),
            ["api", "trash", id] => song(Route::Trashed, id),
            ["api", "stars"] => Some(Route::Stars),
            ["api", "stars", id] => any(Route::Star, id),
            ["api", "ratings"] => Some(Route::Ratings),
            ["api", "ratings", id] => any(Route::Rating, id),
            ["api", "plays"] => Some(Route::Plays),
            ["api", "plays", id] => any(Route::Play, id),
            ["api", "playlists"] => Some(Route::Playlists),
            ["api", "playlists", id] => any(Route::Playlist, id),
            ["api", "status"] => Some(Route::Status),
            ["metrics"] => Some(Route::Metrics),
            ["api", "events"] => Some(Route::Events),
            ["stream", id] => song(Route::Stream, id),
            ["download", id] => song(Route::Download, id),
            ["cover", id] => song(Route::Cover, id),
            _ => Some(Route::File(path)),
        }
    }

    /// The route's name in `/metrics`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Route::Songs => "songs",
            Route::Song(_) => "song",
            Route::Tags(_) => "tags",
            Route::Albums | Route::Album(_) => "albums",
            Route::Artists => "artists",
            Route::Genres => "genres",
            Route::Years => "years",
            Route::Trash | Route::Trashed(_) => "trash",
            Route::Stars | Route::Star(_) => "stars",
            Route::Ratings | Route::Rating(_) => "ratings",
            Route::Plays | Route::Play(_) => "plays",
            Route::Playlists | Route::Playlist(_) => "playlists",
            Route::Status => "status",
            Route::Metrics => "metrics",
            Route::Events => "events",
            Route::Stream(_) => "stream",
            Route::Download(_) => "download",
            Route::Cover(_) => "cover",
            Route::File(_) => "file",
        }
    }

    /// The allowed methods of the route, as `Allow` lists them.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Route::Songs => "GET, HEAD, POST",
            Route::Song(_) => "GET, HEAD, DELETE",
            Route::Trashed(_) => "POST, DELETE",
            Route::Star(_) | Route::Rating(_) | Route::Play(_) => "POST",
            Route::Playlists => "GET, HEAD, POST",
            Route::Playlist(_) => "GET, HEAD, POST, DELETE",
            Route::Tags(_)
            | Route::Albums
            | Route::Album(_)
            | Route::Artists
            | Route::Genres
            | Route::Years
            | Route::Stars
            | Route::Ratings
            | Route::Plays
            | Route::Status
            | Route::Metrics
            | Route::Trash
            | Route::Events
            | Route::Stream(_)
            | Route::Download(_)
            | Route::Cover(_)
            | Route::File(_) => "GET, HEAD",
        }
    }

    pub(super) fn allows(&self, method: Method) -> bool {
        match method {
            Method::Get | Method::Head => !matches!(
                self,
                Route::Trashed(_) | Route::Star(_) | Route::Rating(_) | Route::Play(_)
            ),
            Method::Post => matches!(
                self,
                Route::Songs
                    | Route::Trashed(_)
                    | Route::Star(_)
                    | Route::Rating(_)
                    | Route::Play(_)
                    | Route::Playlists
                    | Route::Playlist(_)
            ),
            Method::Delete => matches!(
                self,
                Route::Song(_) | Route::Trashed(_) | Route::Playlist(_)
            ),
            Method::Other => false,
        }
    }
}

/// Parses the query of the trash: the song after which the page begins, and the most songs on it.
pub(super) fn trash_query(request: &Request) -> Result<(Option<SongId>, u32), String> {
    let fields = percent::fields(&request.query).ok_or("the query cannot be decoded")?;
    let mut query = (None, LIMIT);
    for (name, value) in fields {
        match name.as_str() {
            "after" => query.0 = Some(SongId::parse(&value).ok_or("after: no song's id")?),
            "limit" => query.1 = limit(&value).ok_or("limit: a number from 1 to 100")?,
            _ => (), // A newer page may send fields unknown here.
        }
    }
    Ok(query)
}

/// The number at which a list is to begin, if the query names one.
pub(super) fn from(request: &Request) -> Result<Option<u32>, String> {
    let fields = percent::fields(&request.query).ok_or("the query cannot be decoded")?;
    let given = fields.iter().rev().find(|(name, _)| name == "from");
    let number = given.map(|(_, value)| value.parse());
    number
        .transpose()
        .map_err(|_| "from: a number from 0 on".into())
}

/// Parses the query of a list; the error says what is wrong with it.
pub(super) fn query(request: &Request) -> Result<Query, String> {
    let fields = percent::fields(&request.query).ok_or("the query cannot be decoded")?;
    let mut query = Query {
        words: String::new(),
        sort: Sort::Artist,
        descending: false,
        after: None,
        limit: LIMIT,
    };
    for (name, value) in fields {
        match name.as_str() {
            "q" => query.words = words(value)?,
            "sort" => query.sort = sort(&value).ok_or(format!("sort={value}: no such order"))?,
            "desc" => query.descending = !matches!(value.as_str(), "" | "0" | "false"),
            "after" => query.after = Some(parse_cursor(&value).ok_or("after: no such place")?),
            "limit" => query.limit = limit(&value).ok_or("limit: a number from 1 to 100")?,
            _ => (), // A newer page may send fields unknown here.
        }
    }
    Ok(query)
}

/// The words of a search, if no router refuses them for their length: its refusal would look like a
/// fault of the cluster.
pub(super) fn words(text: String) -> Result<String, String> {
    if text.len() > SEARCH_BYTES_MAX {
        return Err(format!("q: a search is at most {SEARCH_BYTES_MAX} bytes"));
    }
    Ok(text)
}

pub(super) fn limit(text: &str) -> Option<u32> {
    let limit: u32 = text.parse().ok()?;
    (limit > 0).then_some(limit.min(LIMIT_MAX))
}

fn sort(name: &str) -> Option<Sort> {
    Some(match name {
        "artist" => Sort::Artist,
        "title" => Sort::Title,
        "album" => Sort::Album,
        "genre" => Sort::Genre,
        "year" => Sort::Year,
        "duration" => Sort::Duration,
        "added" => Sort::Added,
        _ => return None,
    })
}

/// A place in a list, by an entry's id and sort key, encoded as one word.
pub(super) fn place(id: u128, key: &str) -> String {
    let key: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{id:032x}{key}")
}

/// The id and the sort key in a place.
pub(super) fn parse_place(text: &str) -> Option<(u128, String)> {
    let (id, key) = text.split_at_checked(32)?;
    let fits = key.len() <= 2 * SONG_BYTES_MAX && key.len().is_multiple_of(2);
    if !fits || !key.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = key.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
    let key = String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()?;
    Some((SongId::parse(id)?.0, key))
}

fn cursor(cursor: &Cursor) -> String {
    place(cursor.id.0, &cursor.key)
}

fn parse_cursor(text: &str) -> Option<Cursor> {
    let (id, key) = parse_place(text)?;
    let id = SongId(id);
    Some(Cursor { key, id })
}

/// A page of songs in JSON. The field names are a public interface.
#[derive(Serialize)]
pub(super) struct Songs<'a> {
    songs: Vec<Line<'a>>,
    total: u64,
    next: Option<String>,
}

impl<'a> Songs<'a> {
    pub(super) fn of(songs: &'a [Listed], total: u64, next: Option<&Cursor>) -> Self {
        Songs {
            songs: songs.iter().map(Line::of).collect(),
            total,
            next: next.map(cursor),
        }
    }
}

/// A page of the trash in JSON. The field names are a public interface.
#[derive(Serialize)]
pub(super) struct Trash<'a> {
    songs: Vec<Entry<'a>>,
    total: u64,
    bytes: u64,
    next: Option<String>,
    /// Whether this page may remove songs and take them back.
    allowed: bool,
}

impl<'a> Trash<'a> {
    pub(super) fn of(
        songs: &'a [Trashed],
        (total, bytes): (u64, u64),
        next: Option<SongId>,
        allowed: bool,
    ) -> Self {
        Trash {
            songs: songs.iter().map(Entry::of).collect(),
            total,
            bytes,
            next: next.map(|song| song.to_string()),
            allowed,
        }
    }
}

/// A song and its location in JSON. The field names are a public interface.
#[derive(Serialize)]
pub(super) struct Details<'a> {
    #[serde(flatten)]
    line: Line<'a>,
    holders: Vec<String>,
    /// The file offset of each fragment, then the length of the file.
    offsets: Vec<u64>,
    starts_ms: Vec<u32>,
    /// Ranges of cached fragments: the first index and the index after the last.
    cached: Vec<[u32; 2]>,
}

/// The parts of [`Details`] that are known before the cache is read.
pub(super) struct Known {
    listed: Listed,
    holders: Vec<String>,
    offsets: Vec<u64>,
    starts_ms: Vec<u32>,
}

impl Known {
    pub(super) fn of(manifest: &Manifest, holders: &[Holder]) -> Self {
        let lengths = manifest.fragments.iter().map(|f| u64::from(f.length));
        let ends = lengths.scan(0, |sum, length| {
            *sum += length;
            Some(*sum)
        });
        Known {
            listed: Listed {
                song: manifest.song.clone(),
                copies: holders.len() as u8,
            },
            holders: holders.iter().map(|h| h.address.to_string()).collect(),
            offsets: [0].into_iter().chain(ends).collect(),
            starts_ms: manifest.fragments.iter().map(|f| f.start_ms).collect(),
        }
    }

    /// The complete details, with the ranges of cached fragments.
    pub(super) fn details(&self, cached: &[Range<u32>]) -> Details<'_> {
        Details {
            line: Line::of(&self.listed),
            holders: self.holders.clone(),
            offsets: self.offsets.clone(),
            starts_ms: self.starts_ms.clone(),
            cached: cached.iter().map(|run| [run.start, run.end]).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_never_climb() {
        let id = "0123456789abcdef0123456789abcdef";
        let song = SongId::parse(id).expect("an id");
        assert_eq!(Route::of("/api/songs"), Some(Route::Songs));
        assert_eq!(
            Route::of(&format!("/stream/{id}")),
            Some(Route::Stream(song))
        );
        let album = AlbumId(song.0);
        for (path, route) in [
            ("/api/albums", Route::Albums),
            ("/api/artists", Route::Artists),
            (&format!("/api/albums/{id}"), Route::Album(album)),
            (&format!("/api/songs/{id}/tags"), Route::Tags(song)),
        ] {
            assert_eq!(Route::of(path), Some(route), "{path}");
        }
        assert_eq!(
            Route::of(&format!("/%73tream/{id}")),
            Some(Route::Stream(song))
        );
        for nothing in [
            "/stream/0123",
            "/api/songs/xyz",
            "/api/songs/xyz/tags",
            "/api/albums/01",
            "/cover/",
            "/%",
            "/%ff",
            "/a%2",
        ] {
            assert_eq!(Route::of(nothing), None, "{nothing}");
        }
        // A path with `..` is an ordinary name, and no embedded file has that name.
        let climbs = Route::of("/%2e%2e/..%2fetc/passwd");
        assert_eq!(climbs, Some(Route::File("/../../etc/passwd".into())));
    }

    #[test]
    fn a_place_in_a_list_finds_its_way_back() {
        let place = Cursor {
            key: "ñandú\u{0}x".into(),
            id: SongId(7),
        };
        assert_eq!(parse_cursor(&cursor(&place)), Some(place));
        let odd = format!("{}1", SongId(7));
        let foreign = format!("{}ff", SongId(7));
        let huge = format!("{}{}", SongId(7), "61".repeat(SONG_BYTES_MAX + 1));
        for wrong in ["", "x", &odd, &foreign, &huge, "é"] {
            assert_eq!(parse_cursor(wrong), None, "{wrong}");
        }
    }

    /// A search that the routers would refuse is refused here, as the mistake of who asks.
    #[test]
    fn a_search_has_a_longest() {
        let longest = "é".repeat(512);
        assert_eq!(words(longest.clone()), Ok(longest.clone()));
        let why = "q: a search is at most 1024 bytes";
        assert_eq!(words(longest + "x"), Err(why.into()));
    }

    #[test]
    fn limits_are_bounded() {
        assert_eq!((limit("1"), limit("1000")), (Some(1), Some(100)));
        assert_eq!((limit("0"), limit("-1"), limit("")), (None, None, None));
    }
}
