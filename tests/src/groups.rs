//! Checks at rest: every router shows the albums and artists that its songs and their tags make.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use roles::albums::{self, Group, Tagged};
use roles::contract::browse::{Album, AlbumSort, Artist, Browse, Browsed, Mark, PageOf};
use roles::contract::id::{ArtistId, SongId};
use roles::contract::message::{Catalogue, Listed, Message};
use roles::contract::tags::MoreTags;
use storage::tags;

use crate::resident::Place;
use crate::world::World;

/// Entries on a page: few, so that lists have several.
const PAGE: u32 = 3;

impl World {
    /// What a router shows otherwise than the songs that it lists make it; none if all is right.
    /// Two routers that list the same songs therefore show the same albums, pages and counts.
    pub fn group_fault(&mut self, router: Place) -> Option<String> {
        if self.lies.are_told() {
            return None; // A liar gives a copy with false tags: a song's id covers its bytes alone.
        }
        let name = self.nodes[router].name.clone();
        let Some(listed) = self.list_of(router) else {
            return Some(format!("{name} does not answer"));
        };
        let tags = self.true_tags(&listed);
        let tagged = |listed| tagged(listed, &tags);
        let pieces: Vec<Tagged<'_>> = listed.iter().map(tagged).collect();
        let expected = groups_of(&pieces);
        let Some(albums) = self.albums_of(router) else {
            return Some(format!("{name} shows no albums, or too few"));
        };
        let mut right: Vec<Album> = expected.iter().map(|group| group.album.clone()).collect();
        right.sort_by_key(|album| album.id);
        if albums != right {
            return Some(format!("{name} shows {albums:?} where {right:?} are"));
        }
        let Some(artists) = self.artists_of(router) else {
            return Some(format!("{name} shows no artists, or too few"));
        };
        let right = counts_of(&pieces, &expected);
        (artists != right).then(|| format!("{name} counts {artists:?} where {right:?} are"))
    }

    /// The tags that are in the files.
    fn true_tags(&self, listed: &[Listed]) -> BTreeMap<SongId, MoreTags> {
        let of = |listed: &Listed| {
            let tune = self.music.by_id(listed.song.id)?;
            let more = tags::more(&mut Cursor::new(&tune.bytes), listed.song.format);
            Some((listed.song.id, more))
        };
        listed.iter().filter_map(of).collect()
    }

    /// All albums of a router by id; none if pages and total differ.
    fn albums_of(&mut self, router: Place) -> Option<Vec<Album>> {
        let mut all = Vec::new();
        let mut after: Option<Mark> = None;
        loop {
            let browse = Browse::Albums {
                page: PageOf {
                    after,
                    ..PageOf::all(PAGE)
                },
                artist: None,
                sort: AlbumSort::Artist,
            };
            let Some(Browsed::Albums {
                albums,
                total,
                next,
            }) = self.browse(router, browse)
            else {
                return None;
            };
            all.extend(albums);
            after = next;
            if after.is_none() {
                all.sort_by_key(|album| album.id);
                return (all.len() as u64 == total).then_some(all);
            }
        }
    }

    /// Songs and albums of each artist of a router; none if pages and total differ.
    fn artists_of(&mut self, router: Place) -> Option<BTreeMap<ArtistId, (u32, u32)>> {
        let mut all: Vec<Artist> = Vec::new();
        let mut after: Option<Mark> = None;
        loop {
            let page = PageOf {
                after,
                ..PageOf::all(PAGE)
            };
            let Some(Browsed::Artists {
                artists,
                total,
                next,
            }) = self.browse(router, Browse::Artists { page })
            else {
                return None;
            };
            all.extend(artists);
            after = next;
            if after.is_none() {
                let whole = all.len() as u64 == total;
                let counts = all.iter().map(|one| (one.id, (one.songs, one.albums)));
                return whole.then(|| counts.collect());
            }
        }
    }

    fn browse(&mut self, router: Place, browse: Browse) -> Option<Browsed> {
        let question = Message::Catalogue(Catalogue::Browse(browse));
        let answer = self.answer(router, question)?;
        let Message::Catalogue(Catalogue::Browsed(found)) = answer else {
            return None;
        };
        Some(found)
    }
}

fn tagged<'a>(listed: &'a Listed, tags: &'a BTreeMap<SongId, MoreTags>) -> Tagged<'a> {
    Tagged {
        song: &listed.song,
        more: tags.get(&listed.song.id),
        added: 0,
    }
}

fn groups_of(pieces: &[Tagged<'_>]) -> Vec<Group> {
    let mut buckets: BTreeMap<String, Vec<Tagged<'_>>> = BTreeMap::new();
    for piece in pieces {
        if let Some(bucket) = piece.bucket() {
            buckets.entry(bucket).or_default().push(*piece);
        }
    }
    buckets
        .values()
        .flat_map(|bucket| albums::group(bucket))
        .collect()
}

/// How many songs and albums each artist has.
fn counts_of(pieces: &[Tagged<'_>], groups: &[Group]) -> BTreeMap<ArtistId, (u32, u32)> {
    let mut counts: BTreeMap<ArtistId, (u32, u32)> = BTreeMap::new();
    for piece in pieces {
        let artists = piece.artists().into_iter().filter_map(albums::artist_id);
        for artist in artists.collect::<BTreeSet<_>>() {
            counts.entry(artist).or_default().0 += 1;
        }
    }
    for artist in groups.iter().flat_map(|group| &group.performers) {
        counts.entry(*artist).or_default().1 += 1;
    }
    counts
}
