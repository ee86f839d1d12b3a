//! Questions about albums, artists, genres and years, and their answers.
//!
//! A client asks a router. The routers group the songs ([`crate::albums`]); every router that knows
//! the same songs gives the same answer.

use alloc::string::String;
use alloc::vec::Vec;

use bincode::{Decode, Encode};

use super::id::{AlbumId, ArtistId, SongId};
use super::message::{Cursor, Listed, Query};

/// A question about groups of songs. New ones are added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Browse {
    /// Asks for a page of the albums. Answered by [`Browsed::Albums`].
    Albums {
        /// The search and the place of the page.
        page: PageOf,
        /// Only albums of this artist, or on which this artist performs.
        artist: Option<ArtistId>,
        /// The order.
        sort: AlbumSort,
    },
    /// Asks for a page of the artists, by name. Answered by [`Browsed::Artists`].
    Artists {
        /// The search and the place of the page.
        page: PageOf,
    },
    /// Asks for an album with its songs. Answered by [`Browsed::Album`], or `NotFound`.
    Album {
        /// The album.
        album: AlbumId,
        /// The page begins at the song of this number, from 0 on.
        from: u32,
        /// Songs on the page; at most [`PAGE_SONGS_MAX`](super::limits::PAGE_SONGS_MAX).
        limit: u32,
    },
    /// Asks for a page of the genres or years. Answered by [`Browsed::Values`].
    Values {
        /// What is listed.
        of: ValueOf,
        /// The search and the place of the page.
        page: PageOf,
    },
    /// Asks for a page of the songs that begins at a number instead of behind a song. Answered by
    /// [`Browsed::Songs`]. Only sent to routers with
    /// [`Features::LISTS`](super::record::Features::LISTS).
    Songs {
        /// The search, the order and the length of the page; `after` is not heeded.
        query: Query,
        /// The page begins at the song of this number, from 0 on.
        from: u32,
    },
}

/// The answer to a [`Browse`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Browsed {
    /// One page of the albums.
    Albums {
        /// In the order asked for.
        albums: Vec<Album>,
        /// Albums on all pages together.
        total: u64,
        /// Where the next page begins; none on the last page.
        next: Option<Mark>,
    },
    /// One page of the artists.
    Artists {
        /// In the order of their names.
        artists: Vec<Artist>,
        /// Artists on all pages together.
        total: u64,
        /// Where the next page begins; none on the last page.
        next: Option<Mark>,
    },
    /// An album with some of its songs.
    Album {
        /// The album.
        album: Album,
        /// By disc, track and title; the number of all is the album's.
        songs: Vec<Listed>,
    },
    /// One page of the genres or years.
    Values {
        /// Genres by name, years from the last to the first.
        values: Vec<Value>,
        /// Values on all pages together.
        total: u64,
        /// Where the next page begins; none on the last page.
        next: Option<Mark>,
    },
    /// One page of the songs.
    Songs {
        /// In the order asked for.
        songs: Vec<Listed>,
        /// Songs on all pages together.
        total: u64,
        /// Where the next page begins; none on the last page.
        next: Option<Cursor>,
    },
}

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PageOf {
    /// A search as for songs; an empty text finds everything.
    pub words: String,
    /// Whether the order is reversed.
    pub descending: bool,
    /// Where the page begins: the previous page's `next`.
    pub after: Option<Mark>,
    /// Entries on the page; at most [`PAGE_SONGS_MAX`](super::limits::PAGE_SONGS_MAX).
    pub limit: u32,
}

/// The order of a list of albums. An album without a value for the sort key stands last in both
/// directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum AlbumSort {
    /// Artist, year, title.
    #[default]
    Artist,
    /// Title, artist.
    Title,
    /// Year, artist, title.
    Year,
    /// When the last of its songs was added, title. Only sent to routers with
    /// [`Features::LISTS`](super::record::Features::LISTS).
    Added,
}

/// What a list of values is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum ValueOf {
    /// Genres.
    Genre,
    /// Years of release.
    Year,
}

/// A place in an ordered list. It stays valid when entries come and go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Mark {
    /// The sort key of the last entry on the page; at most
    /// [`SONG_BYTES_MAX`](super::limits::SONG_BYTES_MAX) bytes.
    pub key: String,
    /// The same entry's id, which orders entries with equal keys.
    pub id: u128,
}

/// An album.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Album {
    /// The album's id.
    pub id: AlbumId,
    /// Its title.
    pub title: String,
    /// Whose album it is; `Various Artists` if it is nobody's.
    pub artist: String,
    /// The id of this artist.
    pub artist_id: ArtistId,
    /// Year of the first release; 0 if unknown.
    pub year: u16,
    /// Songs.
    pub songs: u32,
    /// Discs on which there is a song.
    pub discs: u16,
    /// Length of all songs in milliseconds.
    pub duration_ms: u64,
    /// Bytes of all songs.
    pub bytes: u64,
    /// The first song, whose cover is the album's.
    pub first: SongId,
}

/// An artist.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Artist {
    /// The artist's id.
    pub id: ArtistId,
    /// The name, as most songs spell it.
    pub name: String,
    /// Songs by this artist.
    pub songs: u32,
    /// Albums that are this artist's, or on which this artist performs.
    pub albums: u32,
}

/// A genre or a year.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Value {
    /// The name, as most songs spell it.
    pub name: String,
    /// Songs that have it.
    pub songs: u32,
}

impl PageOf {
    /// The first page of everything.
    pub fn all(limit: u32) -> Self {
        PageOf {
            words: String::new(),
            descending: false,
            after: None,
            limit,
        }
    }
}
