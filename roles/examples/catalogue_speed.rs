//! Speed and memory of a router's catalogue with 100 000 songs in about 9 000 albums.
//!
//! `cargo run --release -p roles --example catalogue_speed` prints the time to add the songs and
//! their further tags, the first page of an order (it builds the order), pages of albums, artists, genres
//! and years, a few searches, the 99th percentile of a thousand others, and the resident memory per
//! song.
#![allow(clippy::print_stdout)]

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use roles::contract::browse::{AlbumSort, Browse, Browsed, PageOf, ValueOf};
use roles::contract::id::{NodeId, SongId};
use roles::contract::limits::PAGE_SONGS_MAX;
use roles::contract::message::{Catalogue as Answer, Query, Sort};
use roles::contract::song::{Format, Song};
use roles::contract::tags::MoreTags;
use roles::router::catalogue::Catalogue;

const SONGS: u32 = 100_000;

/// How often a search is repeated: the fastest run counts.
const RUNS: usize = 9;

fn main() {
    let songs: Vec<Song> = (0..SONGS).map(song).collect();
    let tags: usize = songs.iter().map(tag_bytes).sum();
    println!("{SONGS} songs, {} bytes of tags each", tags / songs.len());
    let before = resident_bytes();
    let begun = Instant::now();
    let mut catalogue = Catalogue::default();
    for page in songs.chunks(PAGE_SONGS_MAX) {
        for song in page {
            catalogue.add(NodeId(7), song.clone());
        }
        catalogue.settle();
    }
    println!("add                    {:>10.1?}", begun.elapsed());
    report_memory("songs, albums and search text", before);
    let begun = Instant::now();
    for page in songs.chunks(PAGE_SONGS_MAX) {
        for song in page {
            catalogue.tag(song.id, more(song));
        }
        catalogue.settle();
    }
    println!("further tags           {:>10.1?}", begun.elapsed());
    report_memory("with further tags", before);
    groups(&mut catalogue);
    for sort in [Sort::Artist, Sort::Album] {
        let before = resident_bytes();
        let (first, _) = timed(&mut catalogue, &query("", sort));
        println!("first page by {sort:<8?} {first:>10.1?}");
        report_memory("one order", before);
    }
    for words in [
        "",
        "love",
        "lovers rock 1984",
        "jay-z",
        "dont look",
        "zzzz",
        "e a i o",
        "artist:love year:1980..1989",
        "\"love night\" -genre:rock",
    ] {
        let runs = (0..RUNS).map(|_| timed(&mut catalogue, &query(words, Sort::Artist)));
        let (time, total) = runs.min().unwrap_or_default();
        println!("search {words:<18} {time:>8.1?}, {total} found");
    }
    println!(
        "search, 99 of 100      {:>8.1?}",
        percentile(&mut catalogue)
    );
}

/// Pages of albums, artists, genres and years: the first time of each builds an order.
fn groups(catalogue: &mut Catalogue) {
    let page = PageOf::all(100);
    let albums = |sort| Browse::Albums {
        page: PageOf::all(100),
        artist: None,
        sort,
    };
    let mut ask = |what: &str, browse: Browse| -> Option<Browsed> {
        let once = |catalogue: &mut Catalogue| {
            let begun = Instant::now();
            let found = black_box(catalogue.browse(&browse, |_| 1));
            (begun.elapsed(), found)
        };
        let first = once(catalogue);
        let runs = (0..RUNS).map(|_| once(catalogue).0);
        let again = runs.min().unwrap_or_default();
        println!("{what:<22} {:>8.1?}, then {again:.1?}", first.0);
        first.1.ok()
    };
    let found = ask("albums by artist", albums(AlbumSort::Artist));
    ask("albums by year", albums(AlbumSort::Year));
    if let Some(Browsed::Albums { albums, total, .. }) = found
        && let Some(album) = albums.first()
    {
        println!("  {total} albums");
        let (album, artist) = (album.id, Some(album.artist_id));
        let (from, limit) = (0, 500);
        ask("an album", Browse::Album { album, from, limit });
        let (page, sort) = (PageOf::all(100), AlbumSort::Year);
        ask("albums of an artist", Browse::Albums { page, artist, sort });
    }
    let words = "love".into();
    let searched = PageOf {
        words,
        ..page.clone()
    };
    let (artist, sort) = (None, AlbumSort::Artist);
    let page_of = |page| Browse::Albums { page, artist, sort };
    ask("albums: love", page_of(searched));
    ask("artists", Browse::Artists { page: page.clone() });
    let of = ValueOf::Genre;
    let (genres, years) = (page.clone(), page);
    ask("genres", Browse::Values { of, page: genres });
    let of = ValueOf::Year;
    ask("years", Browse::Values { of, page: years });
}

fn more(song: &Song) -> MoreTags {
    MoreTags {
        album_artists: vec![song.artist.clone()],
        tracks: 12,
        discs: 1,
        ..MoreTags::default()
    }
}

/// The time below which 99 of 100 searches of one to three words stay.
fn percentile(catalogue: &mut Catalogue) -> Duration {
    let mut times: Vec<Duration> = (0..1000)
        .map(|n| {
            let word = |salt: u32| WORDS[mixed(n ^ salt) as usize % WORDS.len()];
            let words = match n % 3 {
                0 => word(1).to_owned(),
                1 => format!("{} {}", word(1), word(2)),
                _ => format!("{} {} year:{}", word(1), word(3), 1960 + n % 60),
            };
            timed(catalogue, &query(&words, Sort::Artist)).0
        })
        .collect();
    times.sort_unstable();
    times[989]
}

fn query(words: &str, sort: Sort) -> Query {
    Query {
        words: words.into(),
        sort,
        ..Query::all(100)
    }
}

/// One page: how long it takes, and how many songs are found in all.
fn timed(catalogue: &mut Catalogue, query: &Query) -> (Duration, u64) {
    let begun = Instant::now();
    let page = black_box(catalogue.page(query, |_| 1));
    let took = begun.elapsed();
    let Answer::Songs { total, .. } = page else {
        panic!("no page but {page:?}");
    };
    (took, total)
}

fn song(n: u32) -> Song {
    let word = |salt: u32| WORDS[(mixed(n ^ salt) as usize) % WORDS.len()];
    let artist = mixed(n / 120);
    let name = |salt: u32| WORDS[(mixed(artist ^ salt) as usize) % WORDS.len()];
    Song {
        id: SongId(u128::from(mixed(n)) << 96 | u128::from(n)),
        title: format!("{} {} {}", word(1), word(2), word(3)),
        artist: format!("{} {}", name(4), name(5)),
        album: format!("{} {} Part {}", name(6), name(n / 12), n / 12 % 10),
        genre: ["Rock", "Pop", "Jazz", "Électro", "Hip-Hop"][artist as usize % 5].into(),
        year: 1960 + (artist % 60) as u16,
        disc: 1,
        track: (n % 12) as u16 + 1,
        duration_ms: 120_000 + mixed(n) % 200_000,
        bytes: 5_000_000,
        format: Format::Mp3,
        fragments: 20,
    }
}

fn tag_bytes(song: &Song) -> usize {
    song.title.len() + song.artist.len() + song.album.len() + song.genre.len()
}

/// A fixed permutation of numbers that look random.
fn mixed(n: u32) -> u32 {
    let n = (n ^ n >> 16).wrapping_mul(0x45d9_f3b5);
    let n = (n ^ n >> 15).wrapping_mul(0x2c1b_3c6d);
    n ^ n >> 16
}

fn report_memory(what: &str, before: u64) {
    let grown = resident_bytes().saturating_sub(before);
    println!("  {what}: {} bytes per song", grown / u64::from(SONGS));
}

/// Memory of this process in RAM; 0 where `/proc` does not say.
fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<u64> = statm.split(' ').nth(1).and_then(|n| n.parse().ok());
    pages.unwrap_or(0) * 4096
}

const WORDS: &[&str] = &[
    "Love",
    "Night",
    "Don’t",
    "Look",
    "River",
    "Été",
    "Señor",
    "Blue",
    "Heart",
    "Lovers",
    "Rock",
    "Jay‐Z",
    "AC/DC",
    "Björk",
    "Machine",
    "Tears",
    "Dancing",
    "Summer",
    "Águas",
    "Winter",
    "Road",
    "Highway",
    "Home",
    "Girl",
    "Boy",
    "Fire",
    "Rain",
    "Über",
    "Sun",
    "Moon",
    "Star",
    "Sky",
    "Dream",
    "Run",
    "Stay",
    "Away",
    "Never",
    "Always",
    "Forever",
    "Young",
    "Old",
    "Wild",
    "Free",
    "Soul",
    "Music",
    "Song",
    "Ballad",
    "Waltz",
    "Тишина",
    "東京",
    "Midnight",
    "City",
    "Street",
    "Light",
    "Dark",
    "Shadow",
    "Gold",
    "Silver",
    "Queen",
    "King",
    "World",
    "Time",
    "Day",
    "Rock’n’Roll",
];
