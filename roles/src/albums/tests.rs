//! Tests of the rules by which songs make albums.

use alloc::vec;

use super::*;

fn song(n: u128, artist: &str, album: &str, track: u16) -> Song {
    Song {
        title: alloc::format!("Song {n}"),
        artist: artist.into(),
        album: album.into(),
        track,
        bytes: 10,
        duration_ms: 1_000,
        ..Song::of(SongId(n))
    }
}

fn silent(song: &Song) -> Tagged<'_> {
    Tagged {
        song,
        more: None,
        added: 0,
    }
}

/// Artist, title and number of songs of each album, in order.
fn albums(songs: &[(Song, Option<MoreTags>)]) -> Vec<(String, String, u32)> {
    let mut buckets: BTreeMap<String, Vec<Tagged<'_>>> = BTreeMap::new();
    for (song, more) in songs {
        let more = more.as_ref();
        let added = 0;
        let piece = Tagged { song, more, added };
        if let Some(bucket) = piece.bucket() {
            buckets.entry(bucket).or_default().push(piece);
        }
    }
    let groups = buckets.values().flat_map(|bucket| group(bucket));
    let mut all: Vec<_> = groups
        .map(|group| (group.album.artist, group.album.title, group.album.songs))
        .collect();
    all.sort();
    all
}

fn one(artist: &str, title: &str, songs: u32) -> (String, String, u32) {
    (artist.into(), title.into(), songs)
}

/// Two albums of one name by two artists are two albums, whatever the case and the guests.
#[test]
fn two_albums_of_one_name_stay_apart() {
    let songs = [
        (song(1, "Björk", "Greatest Hits", 1), None),
        (song(2, "BJORK feat. Tricky", "greatest hits", 2), None),
        (song(3, "Queen", "Greatest Hits", 1), None),
    ];
    let found = albums(&songs);
    assert_eq!(found.len(), 2);
    assert_eq!(found[1], one("Queen", "Greatest Hits", 1));
    assert_eq!(found[0].2, 2);
}

/// Three artists on different tracks of one title are a compilation without a mark; three hits of
/// albums of one name are not.
#[test]
fn an_unmarked_compilation_is_one_album() {
    let hits = |tracks: [u16; 3]| {
        let artists = ["A", "B", "C"];
        let songs = (1..).zip(artists).zip(tracks);
        let songs = songs.map(|((n, artist), track)| (song(n, artist, "Hits", track), None));
        songs.collect::<Vec<_>>()
    };
    assert_eq!(albums(&hits([1, 2, 3])), [one(VARIOUS, "Hits", 3)]);
    assert_eq!(albums(&hits([1, 1, 2])).len(), 3);
    assert_eq!(albums(&hits([9, 12, 17])).len(), 3);
    assert_eq!(albums(&hits([0, 0, 0])).len(), 3);
}

/// The tags of the album count more than those of its songs.
#[test]
fn album_artist_and_compilation_mark_count_first() {
    let by = |artists: &[&str], compilation| {
        Some(MoreTags {
            album_artists: artists.iter().map(|name| String::from(*name)).collect(),
            compilation,
            ..MoreTags::default()
        })
    };
    let songs = |more: Option<MoreTags>| {
        [
            (song(1, "A", "X", 1), more.clone()),
            (song(2, "B", "X", 1), more),
        ]
    };
    assert_eq!(albums(&songs(by(&["Z"], false))), [one("Z", "X", 2)]);
    assert_eq!(albums(&songs(by(&[], true))), [one(VARIOUS, "X", 2)]);
    assert_eq!(albums(&songs(by(&["V/A"], false))), [one(VARIOUS, "X", 2)]);
    assert_eq!(albums(&songs(by(&[], false))).len(), 2);
}

/// Discs named in the title are discs of one album, in their order.
#[test]
fn a_box_is_one_album() {
    let songs = [
        song(1, "A", "Box (Disc 2)", 1),
        song(2, "A", "Box [CD1]", 2),
        song(3, "A", "Box CD 1", 1),
    ];
    let pieces: Vec<Tagged<'_>> = songs.iter().map(silent).collect();
    let found = group(&pieces);
    assert_eq!(found.len(), 1);
    let album = &found[0].album;
    assert_eq!((album.title.as_str(), album.discs), ("Box", 2));
    assert_eq!(found[0].songs, [SongId(3), SongId(2), SongId(1)]);
    assert_eq!((album.first, album.duration_ms), (SongId(3), 3_000));
}

/// An id at MusicBrainz makes one album of different titles, and two of one title.
#[test]
fn an_id_at_musicbrainz_decides() {
    let with = |id| {
        Some(MoreTags {
            album_at_musicbrainz: Some(id),
            ..MoreTags::default()
        })
    };
    let songs = [
        (song(1, "A", "X", 1), with(1)),
        (song(2, "A", "X (deluxe)", 2), with(1)),
        (song(3, "A", "X", 1), with(2)),
    ];
    assert_eq!(albums(&songs).len(), 2);
}

/// No order of the songs changes anything of the albums.
#[test]
fn the_order_of_songs_does_not_matter() {
    let songs = [
        song(1, "A", "Hits", 1),
        song(2, "B", "hits", 2),
        song(3, "C", "HITS", 3),
        song(4, "C", "Hits", 3),
    ];
    let pieces: Vec<Tagged<'_>> = songs.iter().map(silent).collect();
    let backwards: Vec<Tagged<'_>> = songs.iter().rev().map(silent).collect();
    assert_eq!(group(&pieces), group(&backwards));
}

/// The ids are for ever: clients keep them.
#[test]
fn ids_are_stable() {
    let lone = song(1, "Björk", "Début", 1);
    let found = group(&[silent(&lone)]);
    assert_eq!(found[0].album.id.0 >> 64, album_id_head());
    assert_eq!(artist_id("BJÖRK"), artist_id("bjork"));
    assert_eq!(artist_id(" "), None);
    assert_eq!(
        vec![found[0].album.artist_id],
        found[0].performers.iter().copied().collect::<Vec<_>>()
    );
}

fn album_id_head() -> u128 {
    hash(&["album", "bjork", "debut"]) >> 64
}
