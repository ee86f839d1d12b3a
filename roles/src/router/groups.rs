//! The albums, artists, genres and years of the catalogue, kept up while songs come and go.
//!
//! Owns the indexes over the groups that [`crate::albums`] makes. A song that comes or goes marks
//! its bucket; [`Groups::settle`] groups the songs of marked buckets again. Answers are read from the
//! indexes, and every answer follows from the songs alone, not from the order in which they came.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::{Bound, RangeInclusive};

use super::folding::fold;
use super::order::{Order, album_key, name_key};
use super::search::{GroupTerm, Search, Target};
use crate::albums::{Group, Tagged, artist_id, group};
use crate::contract::browse::{Album, AlbumSort, Artist, Browsed, Mark, PageOf, Value, ValueOf};
use crate::contract::id::{AlbumId, ArtistId, SongId, SongPrefix};
use crate::contract::limits::PAGE_BYTES_MAX;

/// The groups of all visible songs.
#[derive(Debug, Default)]
pub(super) struct Groups {
    buckets: BTreeMap<String, Bucket>,
    /// Buckets in which a song has come or gone.
    changed: BTreeSet<String>,
    albums: BTreeMap<AlbumId, Shelf>,
    artists: BTreeMap<ArtistId, Performer>,
    artist_order: Order,
    /// By the key of the folded name.
    genres: BTreeMap<String, Named>,
    years: BTreeMap<u16, BTreeSet<SongId>>,
    /// One index for each order of albums that has been asked for.
    orders: BTreeMap<AlbumSort, Order>,
}

/// Songs among which albums are made.
#[derive(Debug, Default)]
struct Bucket {
    songs: BTreeSet<SongId>,
    albums: Vec<AlbumId>,
}

/// An album, with the folded text that a search looks at.
#[derive(Debug)]
struct Shelf {
    group: Group,
    text: String,
}

/// An artist.
#[derive(Debug, Default)]
struct Performer {
    names: Spellings,
    songs: BTreeSet<SongId>,
    albums: BTreeSet<AlbumId>,
    key: String,
}

/// The spellings of one name, each with how often it occurs.
#[derive(Debug, Default)]
struct Spellings(BTreeMap<String, u32>);

/// The songs of one genre.
#[derive(Debug, Default)]
struct Named {
    names: Spellings,
    songs: BTreeSet<SongId>,
}

impl Spellings {
    fn add(&mut self, name: &str) {
        match self.0.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                self.0.insert(name.into(), 1);
            }
        }
    }

    fn remove(&mut self, name: &str) {
        if let Some(count) = self.0.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(name);
            }
        }
    }

    /// The most common spelling; of several, the smallest.
    fn best(&self) -> &str {
        let best = self.0.iter().rev().max_by_key(|(_, count)| **count);
        best.map_or("", |(name, _)| name)
    }
}

impl Groups {
    /// Takes a song that has become visible.
    pub(super) fn add(&mut self, piece: Tagged<'_>) {
        let song = piece.song.id;
        if let Some(name) = piece.bucket() {
            let bucket = self.buckets.entry(name.clone()).or_default();
            bucket.songs.insert(song);
            self.changed.insert(name);
        }
        for name in distinct_artists(piece) {
            self.with_artist(name, |performer| {
                performer.songs.insert(song);
                performer.names.add(name);
            });
        }
        for genre in piece.genres() {
            let named = self.genres.entry(name_key(&fold(genre))).or_default();
            if named.songs.insert(song) {
                named.names.add(genre);
            }
        }
        if piece.song.year > 0 {
            self.years.entry(piece.song.year).or_default().insert(song);
        }
    }

    /// Notes that something of a song has changed that only its album shows.
    pub(super) fn touch(&mut self, piece: Tagged<'_>) {
        self.changed.extend(piece.bucket());
    }

    /// Takes a song out, given with the tags with which it came.
    pub(super) fn remove(&mut self, piece: Tagged<'_>) {
        let song = piece.song.id;
        if let Some(name) = piece.bucket() {
            if let Some(bucket) = self.buckets.get_mut(&name) {
                bucket.songs.remove(&song);
            }
            self.changed.insert(name);
        }
        for name in distinct_artists(piece) {
            self.with_artist(name, |performer| {
                performer.songs.remove(&song);
                performer.names.remove(name);
            });
        }
        for genre in piece.genres() {
            let key = name_key(&fold(genre));
            if let Some(named) = self.genres.get_mut(&key)
                && named.songs.remove(&song)
            {
                named.names.remove(genre);
                if named.songs.is_empty() {
                    self.genres.remove(&key);
                }
            }
        }
        if let Some(songs) = self.years.get_mut(&piece.song.year) {
            songs.remove(&song);
            if songs.is_empty() {
                self.years.remove(&piece.song.year);
            }
        }
    }

    /// Groups the songs of changed buckets again, of those alone that have at most `songs_max`
    /// songs.
    pub(super) fn settle<'s>(
        &mut self,
        songs_max: usize,
        find: impl Fn(SongId) -> Option<Tagged<'s>>,
    ) {
        let mut later = BTreeSet::new();
        for name in core::mem::take(&mut self.changed) {
            let Some(bucket) = self.buckets.get_mut(&name) else {
                continue;
            };
            if bucket.songs.len() > songs_max {
                later.insert(name);
                continue;
            }
            let pieces: Vec<Tagged<'_>> = bucket.songs.iter().filter_map(|id| find(*id)).collect();
            let groups = group(&pieces);
            let new = groups.iter().map(|group| group.album.id).collect();
            let old = core::mem::replace(&mut bucket.albums, new);
            if bucket.songs.is_empty() {
                self.buckets.remove(&name);
            }
            old.into_iter().for_each(|id| self.take_down(id));
            groups.into_iter().for_each(|group| self.put_up(group));
        }
        self.changed = later;
    }

    fn put_up(&mut self, group: Group) {
        let id = group.album.id;
        for artist in &group.performers {
            self.artists.entry(*artist).or_default().albums.insert(id);
        }
        let credit = group.album.artist.clone();
        self.with_artist(&credit, |performer| performer.names.add(&credit));
        for (sort, order) in &mut self.orders {
            order.insert(album_key(&group, *sort), id.0);
        }
        let performers = group.performers.iter();
        let named = performers.filter_map(|id| Some(self.artists.get(id)?.names.best()));
        let text = album_text(&group.album, named);
        self.albums.insert(id, Shelf { group, text });
    }

    fn take_down(&mut self, id: AlbumId) {
        let Some(Shelf { group, .. }) = self.albums.remove(&id) else {
            return;
        };
        for (sort, order) in &mut self.orders {
            order.remove(&album_key(&group, *sort), id.0);
        }
        for artist in &group.performers {
            if let Some(performer) = self.artists.get_mut(artist) {
                performer.albums.remove(&id);
            }
        }
        let credit = &group.album.artist;
        self.with_artist(credit, |performer| performer.names.remove(credit));
        for artist in &group.performers {
            self.forget_if_empty(*artist);
        }
    }

    /// Changes an artist, and the artist's place in the order.
    fn with_artist(&mut self, name: &str, change: impl FnOnce(&mut Performer)) {
        let Some(id) = artist_id(name) else {
            return;
        };
        let performer = self.artists.entry(id).or_default();
        let before = String::from(performer.names.best());
        change(performer);
        if performer.key.is_empty() || performer.names.best() != before {
            let key = name_key(&fold(performer.names.best()));
            let old = core::mem::replace(&mut performer.key, key.clone());
            self.artist_order.remove(&old, id.0);
            self.artist_order.insert(key, id.0);
        }
        self.forget_if_empty(id);
    }

    fn forget_if_empty(&mut self, id: ArtistId) {
        let empty = |one: &Performer| one.songs.is_empty() && one.albums.is_empty();
        if let Some(performer) = self.artists.get(&id).filter(|one| empty(one))
            && performer.names.0.is_empty()
        {
            self.artist_order.remove(&performer.key, id.0);
            self.artists.remove(&id);
        }
    }

    /// The songs that belong to the albums or artists that a search names.
    pub(super) fn songs_of(&self, term: GroupTerm) -> BTreeSet<SongId> {
        match term {
            GroupTerm::Album(prefix) => {
                let albums = self.albums.range(album_range(prefix));
                albums
                    .flat_map(|(_, shelf)| &shelf.group.songs)
                    .copied()
                    .collect()
            }
            GroupTerm::Artist(prefix) => {
                let artists = self.artists.range(artist_range(prefix));
                artists.flat_map(|(_, one)| &one.songs).copied().collect()
            }
        }
    }

    /// An album with all its songs, in order.
    pub(super) fn album(&self, id: AlbumId) -> Option<(&Album, &[SongId])> {
        let group = &self.albums.get(&id)?.group;
        Some((&group.album, &group.songs))
    }

    /// A page of the albums.
    pub(super) fn albums_page(
        &mut self,
        page: &PageOf,
        artist: Option<ArtistId>,
        sort: AlbumSort,
    ) -> Browsed {
        let (shelves, artists) = (&self.albums, &self.artists);
        let order = self.orders.entry(sort).or_insert_with(|| {
            let keys = shelves
                .iter()
                .map(|(id, shelf)| (album_key(&shelf.group, sort), id.0));
            keys.collect()
        });
        let search = Search::of(&page.words);
        let of_artist = artist.map(|id| artists.get(&id));
        let wanted = |id: u128| {
            let shelf = shelves.get(&AlbumId(id))?;
            let theirs = of_artist
                .is_none_or(|one| one.is_some_and(|one| one.albums.contains(&AlbumId(id))));
            (theirs && shelf.is_wanted(&search)).then_some(&shelf.group.album)
        };
        let total = match (search.count(), &of_artist) {
            (0, None) => shelves.len(),
            (0, Some(one)) => one.map_or(0, |one| one.albums.len()),
            _ => shelves.keys().filter(|id| wanted(id.0).is_some()).count(),
        };
        let (albums, next) = walk(order, page, wanted, album_bytes);
        Browsed::Albums {
            albums: albums.into_iter().cloned().collect(),
            total: total as u64,
            next,
        }
    }

    /// A page of the artists.
    pub(super) fn artists_page(&self, page: &PageOf) -> Browsed {
        let search = Search::of(&page.words);
        let wanted = |id: u128| {
            let one = self.artists.get(&ArtistId(id))?;
            one.is_wanted(ArtistId(id), &search).then_some((id, one))
        };
        let total = match search.count() {
            0 => self.artists.len(),
            _ => self
                .artists
                .keys()
                .filter(|id| wanted(id.0).is_some())
                .count(),
        };
        let bytes = |(_, one): &(u128, &Performer)| ENTRY_BYTES + one.names.best().len();
        let (artists, next) = walk(&self.artist_order, page, wanted, bytes);
        let entry = |(id, one): (u128, &Performer)| Artist {
            id: ArtistId(id),
            name: one.names.best().into(),
            songs: one.songs.len() as u32,
            albums: one.albums.len() as u32,
        };
        Browsed::Artists {
            artists: artists.into_iter().map(entry).collect(),
            total: total as u64,
            next,
        }
    }

    /// A page of the genres or years.
    pub(super) fn values_page(&self, of: ValueOf, page: &PageOf) -> Browsed {
        let search = Search::of(&page.words);
        let wanted = |(_, value): &(String, Value)| is_named(&value.name, &search);
        let total = match (search.count(), of) {
            (0, ValueOf::Genre) => self.genres.len(),
            (0, ValueOf::Year) => self.years.len(),
            _ => self.values(of, None, false).filter(wanted).count(),
        };
        let after = page.after.as_ref().map(|mark| mark.key.as_str());
        let mut entries = self.values(of, after, page.descending).filter(wanted);
        let (mut values, mut last) = (Vec::new(), None);
        for (key, value) in entries.by_ref().take(page.limit as usize) {
            values.push(value);
            last = Some(Mark { key, id: 0 });
        }
        let next = last.filter(|_| entries.next().is_some());
        let total = total as u64;
        Browsed::Values {
            values,
            total,
            next,
        }
    }

    /// The values behind a key, each with its key, in order.
    fn values(
        &self,
        of: ValueOf,
        after: Option<&str>,
        descending: bool,
    ) -> Box<dyn Iterator<Item = (String, Value)> + '_> {
        let (from, to) = match (after, descending) {
            (None, _) => (Bound::Unbounded, Bound::Unbounded),
            (Some(key), false) => (Bound::Excluded(key), Bound::Unbounded),
            (Some(key), true) => (Bound::Unbounded, Bound::Excluded(key)),
        };
        match of {
            ValueOf::Genre => {
                let genres = self.genres.range::<str, _>((from, to));
                let genres = genres.map(|(key, named)| (key.clone(), named.value()));
                turned(genres, descending)
            }
            ValueOf::Year => {
                // The key of a year grows from the last year to the first.
                let inside = move |(key, _): &(String, Value)| match (after, descending) {
                    (None, _) => true,
                    (Some(after), false) => key.as_str() > after,
                    (Some(after), true) => key.as_str() < after,
                };
                let keyed = |(year, songs): (&u16, &BTreeSet<SongId>)| {
                    let key = alloc::format!("{:05}", u16::MAX - year);
                    (key, value(year.to_string(), songs))
                };
                let years: Vec<_> = self.years.iter().rev().map(keyed).collect();
                let kept: Vec<_> = years.into_iter().filter(inside).collect();
                turned(kept.into_iter(), descending)
            }
        }
    }
}

fn turned<'a, T>(
    values: impl DoubleEndedIterator<Item = T> + 'a,
    descending: bool,
) -> Box<dyn Iterator<Item = T> + 'a> {
    match descending {
        true => Box::new(values.rev()),
        false => Box::new(values),
    }
}

impl Shelf {
    fn is_wanted(&self, search: &Search) -> bool {
        let target = Target {
            text: &self.text,
            years: [self.group.album.year, 0],
        };
        let is_there = |term| match term {
            GroupTerm::Album(prefix) => album_range(prefix).contains(&self.group.album.id),
            GroupTerm::Artist(prefix) => {
                let mut range = self.group.performers.range(artist_range(prefix));
                range.next().is_some()
            }
        };
        search.finds(&target)
            && search
                .groups()
                .all(|(wanted, term)| is_there(term) == wanted)
    }
}

impl Performer {
    fn is_wanted(&self, id: ArtistId, search: &Search) -> bool {
        let is_there = |term| match term {
            GroupTerm::Album(prefix) => self.albums.range(album_range(prefix)).next().is_some(),
            GroupTerm::Artist(prefix) => artist_range(prefix).contains(&id),
        };
        is_named(self.names.best(), search)
            && search
                .groups()
                .all(|(wanted, term)| is_there(term) == wanted)
    }
}

impl Named {
    fn value(&self) -> Value {
        value(self.names.best().into(), &self.songs)
    }
}

fn value(name: String, songs: &BTreeSet<SongId>) -> Value {
    Value {
        name,
        songs: songs.len() as u32,
    }
}

/// Whether a search finds this name, which may stand for an artist or a genre.
fn is_named(name: &str, search: &Search) -> bool {
    if search.count() == 0 {
        return true;
    }
    let folded = fold(name);
    let text = alloc::format!("\n{folded}\n\n{folded}");
    search.finds(&Target {
        text: &text,
        years: [0; 2],
    })
}

/// The entries on a page, and where the next page begins.
fn walk<T>(
    order: &Order,
    page: &PageOf,
    wanted: impl Fn(u128) -> Option<T>,
    bytes_of: impl Fn(&T) -> usize,
) -> (Vec<T>, Option<Mark>) {
    let place = page.after.as_ref().map(|mark| (mark.key.as_str(), mark.id));
    let (mut found, mut bytes, mut last) = (Vec::new(), 0, None);
    for (key, id) in order.from(place, page.descending) {
        let Some(entry) = wanted(id) else {
            continue;
        };
        if found.len() >= page.limit as usize || bytes >= PAGE_BYTES_MAX {
            return (found, last);
        }
        bytes += bytes_of(&entry);
        found.push(entry);
        last = Some(Mark {
            key: key.into(),
            id,
        });
    }
    (found, None)
}

/// The performers of a song, each once.
fn distinct_artists(piece: Tagged<'_>) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let mut artists = piece.artists();
    artists.retain(|name| artist_id(name).is_some_and(|id| seen.insert(id)));
    artists
}

/// The folded text of an album, by the lines of [`super::search::LINES`]. Everybody who performs on
/// it is one of its artists.
fn album_text<'a>(album: &Album, performers: impl Iterator<Item = &'a str>) -> String {
    let (title, mut artists) = (fold(&album.title), fold(&album.artist));
    for performer in performers {
        artists.push(' ');
        artists.push_str(&fold(performer));
    }
    alloc::format!(
        "\n{artists}\n{title}\n\n{}",
        match album.year {
            0 => String::new(),
            year => year.to_string(),
        }
    )
}

fn album_bytes(album: &&Album) -> usize {
    ENTRY_BYTES + album.title.len() + album.artist.len()
}

fn album_range(prefix: SongPrefix) -> RangeInclusive<AlbumId> {
    AlbumId(prefix.first().0)..=AlbumId(prefix.last().0)
}

fn artist_range(prefix: SongPrefix) -> RangeInclusive<ArtistId> {
    ArtistId(prefix.first().0)..=ArtistId(prefix.last().0)
}

/// Bytes of the numbers and ids of an entry on a page.
const ENTRY_BYTES: usize = 128;
