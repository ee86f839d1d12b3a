//! The songs that a command is about: one by its id, or those of an album, an artist or a search.

use roles::contract::browse::{Album, AlbumSort, Browse, Browsed, PageOf};
use roles::contract::limits::PAGE_SONGS_MAX;
use roles::contract::message::{Listed, Query, Sort};
use roles::contract::song::Song;

use super::list::{album_term, artist_term};
use crate::failure::Failure;
use crate::session::Session;

/// The songs of the one album that `named` means: an id, its leading digits, or a title.
pub(crate) fn album(session: &Session, named: &str) -> Result<(Album, Vec<Song>), Failure> {
    let attempt = format!("find album {named}");
    let page = PageOf {
        words: album_term(named),
        ..PageOf::all(2)
    };
    let browse = Browse::Albums {
        page,
        artist: None,
        sort: AlbumSort::Title,
    };
    let Browsed::Albums { albums, total, .. } = session.browse(browse)? else {
        return Err(Failure::failed(attempt, "the router gave no albums"));
    };
    let [found] = &albums[..] else {
        let why = match total {
            0 => "there is none (see `dispotify albums`)".to_owned(),
            _ => format!("{total} fit: name one by its id (see `dispotify albums`)"),
        };
        return Err(Failure::failed(attempt, why));
    };
    let songs = songs_of(session, found)?;
    Ok((found.clone(), songs))
}

/// The songs of an album, in its order.
pub(super) fn songs_of(session: &Session, album: &Album) -> Result<Vec<Song>, Failure> {
    let mut songs = Vec::new();
    loop {
        let browse = Browse::Album {
            album: album.id,
            from: songs.len() as u32,
            limit: PAGE_SONGS_MAX as u32,
        };
        let Browsed::Album { album, songs: page } = session.browse(browse)? else {
            let attempt = format!("find album {}", album.id);
            return Err(Failure::failed(attempt, "the router gave no album"));
        };
        let end = page.is_empty();
        songs.extend(page.into_iter().map(|listed| listed.song));
        if end || songs.len() >= album.songs as usize {
            return Ok(songs);
        }
    }
}

/// The songs of an artist, album by album.
pub(crate) fn artist(session: &Session, named: &str) -> Result<Vec<Song>, Failure> {
    search(session, &artist_term(named), Sort::Album)
}

/// All songs that a search finds; it fails if there are none.
pub(crate) fn search(session: &Session, words: &str, sort: Sort) -> Result<Vec<Song>, Failure> {
    let listed = listed(session, words, sort)?;
    if listed.is_empty() {
        return Err(nothing(words));
    }
    Ok(listed.into_iter().map(|listed| listed.song).collect())
}

/// All songs that a search finds, with their copies.
pub(super) fn listed(session: &Session, words: &str, sort: Sort) -> Result<Vec<Listed>, Failure> {
    let mut query = Query {
        words: words.to_owned(),
        sort,
        ..Query::all(PAGE_SONGS_MAX as u32)
    };
    let mut songs = Vec::new();
    loop {
        let (page, _, next) = session.page(query.clone())?;
        songs.extend(page);
        query.after = next;
        if query.after.is_none() {
            return Ok(songs);
        }
    }
}

/// A search that finds no song.
pub(super) fn nothing(words: &str) -> Failure {
    Failure::failed(format!("find {words}"), "there is no such song")
}
