//! `dispotify ls` and `dispotify search`.

use std::collections::{BTreeMap, BTreeSet};

use roles::annotations::{Plays, Subject};
use roles::contract::id::SongId;
use roles::contract::limits::PAGE_SONGS_MAX;
use roles::contract::message::{Listed, Query, Sort};
use roles::contract::song::Song;
use serde::Serialize;

use super::{json_line, line, listener, write_all};
use crate::args::{List, Search, SortChoice};
use crate::failure::Failure;
use crate::session::Session;
use crate::settings::Settings;
use crate::text;

/// Lists the songs in which all words occur. A search that finds no song fails, as `grep` does.
pub(crate) fn search(settings: &Settings, search: &Search) -> Result<(), Failure> {
    match list_songs(settings, &search.list, &search.words.join(" "))? {
        0 => Err(Failure::Failed(
            "search: no song has all these words".into(),
        )),
        _ => Ok(()),
    }
}

/// Lists all songs. A library may be empty.
pub(crate) fn run(settings: &Settings, list: &List) -> Result<(), Failure> {
    let chosen = list.album.is_some() || list.artist.is_some();
    match list_songs(settings, list, "")? {
        0 if chosen => Err(Failure::Failed("ls: there is no such song".into())),
        0 if !list.json && list.format.is_none() => line("no songs"),
        _ => Ok(()),
    }
}

/// Lists every song in which all words occur, page after page; returns their number.
fn list_songs(settings: &Settings, list: &List, words: &str) -> Result<u64, Failure> {
    let session = Session::start(settings)?;
    let played = list.sort.is_some_and(|sort| sort.of_routers().is_none());
    if list.starred || played {
        return list_heard(&session, list, words);
    }
    let mut left = list.limit.map_or(usize::MAX, |limit| limit as usize);
    let page = |left: usize| PAGE_SONGS_MAX.min(left) as u32;
    let mut query = Query {
        words: in_words(list, words),
        sort: order(list),
        descending: list.reverse,
        after: None,
        limit: page(left),
    };
    let mut all = Vec::new();
    loop {
        let (songs, total, next) = session.page(query.clone())?;
        left -= songs.len().min(left);
        if let Some(form) = &list.format {
            songs
                .iter()
                .try_for_each(|one| line(&form.line(&Line::of(one))?))?;
        } else if list.json {
            songs.iter().try_for_each(|one| json_line(&Line::of(one)))?;
        } else {
            all.extend(songs);
        }
        (query.after, query.limit) = (next, page(left));
        if query.after.is_none() || left == 0 {
            if !all.is_empty() {
                show(&all, total)?;
            }
            return Ok(total);
        }
    }
}

/// The same for what a listener has starred or heard: the routers know the songs and the documents
/// apart, and they are brought together here.
fn list_heard(session: &Session, list: &List, words: &str) -> Result<u64, Failure> {
    let mut query = Query {
        words: in_words(list, words),
        sort: order(list),
        descending: list.reverse,
        after: None,
        limit: PAGE_SONGS_MAX as u32,
    };
    let mut songs = Vec::new();
    loop {
        let (page, _, next) = session.page(query.clone())?;
        songs.extend(page);
        query.after = next;
        if query.after.is_none() {
            break;
        }
    }
    if list.starred {
        let stars: BTreeSet<Subject> = listener::stars(session)?.into_iter().collect();
        songs.retain(|one| stars.contains(&Subject::Song(one.song.id)));
    }
    let of: Option<fn(&Plays) -> u64> = match list.sort {
        Some(SortChoice::Played) => Some(|plays| plays.count),
        Some(SortChoice::LastPlayed) => Some(|plays| plays.last),
        Some(
            SortChoice::Artist
            | SortChoice::Title
            | SortChoice::Album
            | SortChoice::Genre
            | SortChoice::Year
            | SortChoice::Duration
            | SortChoice::Added,
        )
        | None => None,
    };
    let mut plays = BTreeMap::new();
    if let Some(of) = of {
        plays = listener::plays(session)?;
        by_plays(&mut songs, list.reverse, &plays, of);
    }
    let ratings = listener::ratings(session)?;
    let total = songs.len() as u64;
    songs.truncate(list.limit.map_or(usize::MAX, |limit| limit as usize));
    if list.json {
        let line = |one: &Listed| {
            json_line(&Heard {
                line: Line::of(one),
                rating: ratings.get(&one.song.id).copied(),
                plays: plays.get(&one.song.id).map(|plays| plays.count),
                last_played_ms: plays.get(&one.song.id).map(|plays| plays.last >> 16),
            })
        };
        songs.iter().try_for_each(line)?;
    } else if !songs.is_empty() {
        for one in &mut songs {
            let stars = ratings.get(&one.song.id).copied().unwrap_or(0);
            if stars > 0 {
                one.song.title.push(' ');
                one.song.title.push_str(&"★".repeat(usize::from(stars)));
            }
        }
        show(&songs, total)?;
    }
    Ok(total)
}

/// Keeps the songs that were played, the most or the latest first.
fn by_plays(
    songs: &mut Vec<Listed>,
    reverse: bool,
    plays: &BTreeMap<SongId, Plays>,
    of: fn(&Plays) -> u64,
) {
    let value = |one: &Listed| plays.get(&one.song.id).map_or(0, of);
    songs.retain(|one| value(one) > 0);
    songs.sort_by_key(|one| std::cmp::Reverse(value(one)));
    if reverse {
        songs.reverse();
    }
}

/// The search that the options of a list come to.
fn in_words(list: &List, words: &str) -> String {
    let album = list.album.as_deref().map(album_term);
    let artist = list.artist.as_deref().map(artist_term);
    let terms = [Some(words.to_owned()), album, artist];
    terms.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The order of a list; of an album's songs, that on the album.
fn order(list: &List) -> Sort {
    match (list.sort, &list.album) {
        (Some(sort), _) => sort.of_routers().unwrap_or(Sort::Artist),
        (None, Some(_)) => Sort::Album,
        (None, None) => Sort::Artist,
    }
}

/// The part of a search that means an album, given by its id or by its title.
pub(super) fn album_term(named: &str) -> String {
    term("album", named)
}

/// The same for an artist, given by the id or the name.
pub(super) fn artist_term(named: &str) -> String {
    term("artist", named)
}

/// Eight digits and more are an id: tables show no fewer.
fn term(field: &str, named: &str) -> String {
    let digits = named.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits && (8..=32).contains(&named.len()) {
        return format!("{field}id:{named}");
    }
    let name = named.replace(['"', '“', '”', '«', '»'], " ");
    format!("{field}:\"{}\"", name.trim())
}

fn show(songs: &[Listed], total: u64) -> Result<(), Failure> {
    let header = [
        "ID", "TITLE", "ARTIST", "ALBUM", "YEAR", "LENGTH", "FORMAT", "SIZE",
    ];
    let mut table = text::table(header, &[4, 5, 7]);
    let digits = digits_needed(songs.iter().map(|one| one.song.id));
    for Listed { song, copies } in songs {
        let mut id = song.id.to_string();
        id.truncate(digits);
        let lost = if *copies == 0 { " (no copy)" } else { "" };
        table.add_row([
            id,
            format!("{}{lost}", text::cell(&song.title)),
            text::cell(&song.artist),
            text::cell(&song.album),
            year(song),
            text::length(song.duration_ms),
            song.format.to_string(),
            text::bytes(song.bytes),
        ]);
    }
    let bytes = songs.iter().map(|one| one.song.bytes).sum();
    let sum = format!("{}, {}\n", text::count(total, "song"), text::bytes(bytes));
    write_all(format!("{table}\n{sum}").as_bytes())
}

fn year(song: &Song) -> String {
    if song.year == 0 {
        return String::new();
    }
    song.year.to_string()
}

/// How many leading digits tell all these songs apart, at least eight.
pub(super) fn digits_needed(songs: impl Iterator<Item = SongId>) -> usize {
    let mut ids: Vec<u128> = songs.map(|id| id.0).collect();
    ids.sort_unstable();
    let shared = ids
        .windows(2)
        .map(|pair| (pair[0] ^ pair[1]).leading_zeros() / 4);
    shared
        .max()
        .map_or(8, |digits| (digits as usize + 1).clamp(8, 32))
}

/// A song in a list by plays, as JSON shows it. The names are an interface.
#[derive(Serialize)]
struct Heard<'a> {
    #[serde(flatten)]
    line: Line<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rating: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plays: Option<u64>,
    /// Milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_played_ms: Option<u64>,
}

/// A song as JSON shows it. The names are an interface.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    id: String,
    title: &'a str,
    artist: &'a str,
    album: &'a str,
    genre: &'a str,
    year: u16,
    disc: u16,
    track: u16,
    duration_ms: u32,
    bytes: u64,
    format: &'static str,
    fragments: u32,
    copies: u8,
}

impl<'a> Line<'a> {
    pub(crate) fn of(listed: &'a Listed) -> Self {
        Line::of_song(&listed.song, listed.copies)
    }

    pub(crate) fn of_song(song: &'a Song, copies: u8) -> Self {
        Line {
            id: song.id.to_string(),
            title: &song.title,
            artist: &song.artist,
            album: &song.album,
            genre: &song.genre,
            year: song.year,
            disc: song.disc,
            track: song.track,
            duration_ms: song.duration_ms,
            bytes: song.bytes,
            format: song.format.name(),
            fragments: song.fragments,
            copies,
        }
    }
}
