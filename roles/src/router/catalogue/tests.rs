//! Tests of search and of the order of lists.

use alloc::string::ToString;
use alloc::vec;

use super::*;
use crate::contract::browse::{Album, AlbumSort, Mark, PageOf};
use crate::contract::limits::TAG_BYTES_MAX;
use crate::contract::song::Format;

const NODE: NodeId = NodeId(7);

fn song(n: u128, title: &str, artist: &str, album: &str) -> Song {
    Song {
        title: title.into(),
        artist: artist.into(),
        album: album.into(),
        bytes: 10,
        format: Format::Mp3,
        fragments: 1,
        ..Song::of(SongId(n))
    }
}

fn catalogue(songs: &[Song]) -> Catalogue {
    let mut catalogue = Catalogue::default();
    songs.iter().for_each(|song| {
        catalogue.add(NODE, song.clone());
    });
    catalogue
}

fn page(catalogue: &mut Catalogue, query: &Query) -> (Vec<Song>, u64, Option<Cursor>) {
    match catalogue.page(query, |nodes| nodes.len()) {
        CatalogueMessage::Songs { songs, total, next } => {
            let songs = songs.into_iter().map(|listed| listed.song);
            (songs.collect(), total, next)
        }
        other => panic!("no page but {other:?}"),
    }
}

fn finds(title: &str, words: &str) -> bool {
    let query = Query {
        words: words.into(),
        ..Query::all(1)
    };
    check(&query).expect("a query within its bounds");
    page(&mut catalogue(&[song(1, title, "", "")]), &query).1 == 1
}

/// All songs, one page after the other.
fn listed(catalogue: &mut Catalogue, mut query: Query) -> Vec<Song> {
    let mut all = vec![];
    loop {
        let (songs, _, next) = page(catalogue, &query);
        all.extend(songs);
        assert!(all.len() as u64 <= catalogue.len(), "a song comes twice");
        query.after = next;
        if query.after.is_none() {
            return all;
        }
        assert_eq!(check(&query), Ok(()));
    }
}

fn in_order(sort: Sort, descending: bool) -> Query {
    Query {
        sort,
        descending,
        ..Query::all(2)
    }
}

/// Pairs of spellings of one text. Each is found by the other.
const SAME: &[(&str, &str)] = &[
    // Case and diacritics.
    ("Canción ÑANDÚ", "cancion nandu"),
    ("Ångström", "angstrom"),
    ("Tiếng Việt", "tieng viet"),
    ("İstanbul", "istanbul"),
    ("ISPARTA", "ısparta"),
    ("Z\u{351}\u{36b}a\u{343}l\u{30d}g\u{311}o", "zalgo"),
    // Letters that Unicode does not decompose.
    ("Mø", "mo"),
    ("Łódź", "lodz"),
    ("Đorđe", "dorde"),
    ("Straße", "STRASSE"),
    ("GROẞ", "groß"),
    ("Ænima", "aenima"),
    ("Œuvre", "oeuvre"),
    ("Þórr", "thorr"),
    ("Sigur Rós: Hljóð", "hljod"),
    ("Ħamrun", "hamrun"),
    // Greek: accents, and sigma at the end of a word.
    ("Μίκης Θεοδωράκης", "ΜΙΚΗΣ ΘΕΟΔΩΡΑΚΗΣ"),
    ("Οδυσσέας", "οδυσσεασ"),
    // Composed and decomposed letters.
    ("\u{439}", "\u{438}\u{306}"),
    ("Цой", "ЦОИ\u{306}"),
    ("\u{30ac}", "\u{30ab}\u{3099}"),
    (
        "\u{30d1}\u{30fc}\u{30c6}\u{30a3}",
        "\u{30cf}\u{309a}\u{30fc}\u{30c6}\u{30a3}",
    ),
    (
        "\u{d55c}\u{ae00}",
        "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}",
    ),
    ("\u{e9}t\u{e9}", "e\u{301}te\u{301}"),
    // Full width and half width, ligatures, other compatible forms.
    ("Ｐｅｒｆｕｍｅ", "perfume"),
    ("ｶﾞｰﾙ", "ガール"),
    ("ﾊﾟｰﾃｨ", "パーティ"),
    ("\u{ffa1}", "\u{3131}"),
    ("ﬁnal ﬂight", "final flight"),
    ("Ⅳ", "iv"),
    ("x²", "x2"),
    ("№ 5", "no 5"),
    ("Ǆ", "dž"),
    // Digits.
    ("１９８４", "1984"),
    ("٢٠٠٤", "2004"),
    // Typographic punctuation.
    ("Don’t Look Back", "don't look"),
    ("Don't Look Back", "don’t look"),
    ("Don’t Look Back", "dont look"),
    ("Don´t Look", "don`t look"),
    ("L’été indien", "l'été"),
    ("L’été indien", "lete"),
    ("L’été indien", "ete"),
    ("“Heroes”", "\"heroes\""),
    ("\"Heroes\"", "“heroes”"),
    ("„Heroes“", "«Heroes»"),
    ("‘Heroes’", "'heroes'"),
    ("Wait… What", "wait... what"),
    ("Björk – Jóga", "bjork - joga"),
    ("Björk – Jóga", "björk joga"),
    ("JAY‐Z", "jay-z"),
    ("JAY‐Z", "jay z"),
    ("JAY‐Z", "jayz"),
    ("Jay Z", "jay-z"),
    ("Jay Z", "jayz"),
    ("JayZ", "jay-z"),
    ("JayZ", "jay z"),
    ("Jay\u{2011}Z", "jay−z"),
    ("AC/DC", "acdc"),
    ("AC/DC", "ac dc"),
    ("AC⁄DC", "ac/dc"),
    ("AC DC", "acdc"),
    ("ACDC", "ac/dc"),
    ("R.E.M.", "rem"),
    ("REM", "r.e.m."),
    ("P!nk", "p!nk"),
    ("Simon & Garfunkel", "simon&garfunkel"),
    ("Anti‐Hero", "antihe"),
    ("Anti Hero", "anti-he"),
    ("¿Dónde?", "donde"),
    ("モーニング娘。", "モーニング娘"),
    ("ヴァン・ヘイレン", "ヴァンヘイレン"),
    ("…And So On", "...and so on"),
    // Names of punctuation alone, and symbols.
    ("!!!", "!!!"),
    ("( )", "()"),
    ("÷", "÷"),
    ("“”", "\"\""),
    ("—", "-"),
    ("I ♥ NY", "♥"),
    ("I \u{2764}\u{fe0f} You", "\u{2764}"),
    // Invisible characters.
    ("co\u{ad}operate", "cooperate"),
    ("\u{202e}abc\u{200b}def", "abcdef"),
    ("Dark\u{a0}Side", "dark side"),
    ("قـــمر", "قمر"),
    ("قَمَر", "قمر"),
    ("שָׁלוֹם", "שלום"),
];

/// Texts that a search keeps apart.
const APART: &[(&str, &str)] = &[
    ("The Art of Noise", "heart"),
    ("It’s in my heart", "sin"),
    ("A Town Called Malice", "at"),
    ("Jay Zed", "jayz"),
    ("カール", "ガール"),
    ("हिन्दू", "हिन्दी"),
    ("Heroes", "!!!"),
    ("Two Words", "two three"),
];

#[test]
fn a_search_finds_what_is_written_otherwise() {
    let missed: Vec<_> = (SAME.iter())
        .filter(|(title, words)| !finds(title, words))
        .collect();
    assert!(missed.is_empty(), "{} missed: {missed:#?}", missed.len());
}

#[test]
fn a_search_keeps_words_apart() {
    let found: Vec<_> = (APART.iter())
        .filter(|(title, words)| finds(title, words))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// A word is looked for in one tag, not across two of them.
#[test]
fn a_search_does_not_join_two_tags() {
    let mut catalogue = catalogue(&[song(1, "Jay", "Z", "")]);
    let with = |words: &str| Query {
        words: words.into(),
        ..Query::all(1)
    };
    assert_eq!(page(&mut catalogue, &with("jay z")).1, 1);
    assert_eq!(page(&mut catalogue, &with("jayz")).1, 0);
}

/// A letter that decomposes to several words cannot carry a search beyond its bound.
#[test]
fn words_are_counted_after_the_decomposition() {
    let query = Query {
        words: "\u{fdfa}".repeat(6),
        ..Query::all(1)
    };
    assert!(check(&query).is_err());
}

/// Titles in the order in which a list shows them.
const ORDERED: &[&[&str]] = &[
    &["Part 1", "Part 2", "Part 10", "Part 100"],
    &["1 Thing", "2 Become 1", "10 Days", "99 Luftballons", "Aaa"],
    &["Symphony No. 2", "Symphony No. 9", "Symphony No. 10"],
    &["a", "a 1", "a 1 b", "a 2", "ab"],
    &["Track 9", "Track 010", "Track 11"],
    &["Take 5", "Take ６", "Take ٧"],
    &["0", "1", "18446744073709551616", "18446744073709551617"],
    &["Été", "Eternal", "Everest"],
    &["“Heroes”", "Hero’s Song", "Héros Z"],
    &["The 5th", "The 10th", "The Ænima", "The Bird"],
    &["Наутилус", "Цой"],
];

#[test]
fn titles_are_listed_as_people_order_them() {
    for titles in ORDERED {
        // Ids fall, so that equal keys would come in the wrong order.
        let songs: Vec<Song> = (titles.iter().zip(0..))
            .map(|(title, n)| song(99 - n, title, "", ""))
            .collect();
        let titles_of = |songs: Vec<Song>| -> Vec<String> {
            songs.into_iter().map(|song| song.title).collect()
        };
        let mut catalogue = catalogue(&songs);
        let all = listed(&mut catalogue, in_order(Sort::Title, false));
        assert_eq!(titles_of(all), *titles);
        let mut reversed = listed(&mut catalogue, in_order(Sort::Title, true));
        reversed.reverse();
        assert_eq!(titles_of(reversed), *titles);
    }
}

/// Two bands have an album of the same name: one band comes after the other, each by disc and
/// track. A guest does not tear an album apart.
#[test]
fn albums_of_one_name_are_not_interleaved() {
    let track = |n, artist: &str, disc, track| Song {
        disc,
        track,
        ..song(n, &n.to_string(), artist, "Greatest Hits")
    };
    let songs = [
        track(1, "Queen", 0, 10),
        track(2, "Queen", 1, 2),
        track(3, "Queen feat. David Bowie", 1, 9),
        track(4, "ABBA", 1, 2),
        track(5, "ABBA", 2, 1),
        track(6, "ABBA", 1, 10),
        track(7, "Queen (ft. X)", 0, 1),
        track(8, "ABBA", 1, 0),
        Song {
            track: 1,
            ..song(9, "9", "Queen", "")
        },
    ];
    let all = listed(&mut catalogue(&songs), in_order(Sort::Album, false));
    let ids: Vec<u128> = all.iter().map(|song| song.id.0).collect();
    assert_eq!(ids, [4, 6, 8, 5, 7, 2, 3, 1, 9]);
}

/// Songs without artist, album, genre, year or length stand behind the others, whichever way a
/// list runs.
#[test]
fn missing_values_stand_last_in_both_directions() {
    let full = |n: u128, value: &str| Song {
        genre: value.into(),
        year: 1990 + n as u16,
        duration_ms: n as u32,
        ..song(n, value, value, value)
    };
    let songs = [
        full(1, "a"),
        song(2, "", "", ""),
        full(3, "\u{10ffff}"),
        song(4, "", "", ""),
        full(5, "z"),
    ];
    let mut catalogue = catalogue(&songs);
    for sort in SORTS {
        for descending in [false, true] {
            let all = listed(&mut catalogue, in_order(sort, descending));
            let missing: Vec<bool> = all.iter().map(|song| song.title.is_empty()).collect();
            let expected = [false, false, false, true, true];
            assert_eq!(missing, expected, "{sort:?}, descending: {descending}");
        }
    }
}

const SORTS: [Sort; 6] = [
    Sort::Artist,
    Sort::Title,
    Sort::Album,
    Sort::Genre,
    Sort::Year,
    Sort::Duration,
];

/// Songs with few values, so that many are equal and many are missing.
fn mixed_songs() -> Vec<Song> {
    let texts = ["", "Part 2", "part 10", "!!!", "Don’t", "ガ", "한글"];
    let text = |n: u128| texts[(n % 7) as usize];
    let mixed = |n: u128| Song {
        genre: text(n / 3).into(),
        year: (n % 4) as u16,
        disc: (n % 3) as u16,
        track: (n % 5) as u16,
        duration_ms: (n % 6) as u32,
        ..song(n, text(n), text(n / 7), text(n / 2))
    };
    (1..200).map(mixed).collect()
}

/// Pages of every size, one after the other, are the whole list, in every order and direction.
#[test]
fn pages_are_the_list() {
    let songs = mixed_songs();
    let mut catalogue = catalogue(&songs);
    for sort in SORTS {
        for descending in [false, true] {
            for words in ["", "part"] {
                let query = |limit| Query {
                    words: words.into(),
                    sort,
                    descending,
                    ..Query::all(limit)
                };
                let (whole, total, next) = page(&mut catalogue, &query(500));
                assert_eq!((whole.len() as u64, next), (total, None));
                for limit in [1, 3, 64] {
                    assert_eq!(listed(&mut catalogue, query(limit)), whole, "{sort:?}");
                }
            }
        }
    }
}

/// Half of the songs leave, and others come, between the pages: the songs that stay are each
/// listed once, even if the song at the cursor has left.
#[test]
fn pages_join_while_songs_come_and_go() {
    let songs = mixed_songs();
    for sort in SORTS {
        for descending in [false, true] {
            let mut catalogue = catalogue(&songs);
            let mut query = in_order(sort, descending);
            let mut seen = BTreeMap::<SongId, u32>::new();
            let mut changes = songs.iter().filter(|song| song.id.0 % 2 == 0);
            loop {
                let (page, _, next) = page(&mut catalogue, &query);
                for song in &page {
                    *seen.entry(song.id).or_default() += 1;
                    assert_eq!(seen[&song.id], 1, "{sort:?}: a song comes twice");
                }
                for song in page.iter().filter(|song| song.id.0 % 2 == 0) {
                    catalogue.remove(NODE, song.id);
                }
                if let Some(song) = changes.next() {
                    let id = SongId(song.id.0 + 1000);
                    catalogue.add(NODE, Song { id, ..song.clone() });
                }
                query.after = next;
                if query.after.is_none() {
                    break;
                }
            }
            let stayed = songs.iter().filter(|song| song.id.0 % 2 == 1);
            assert!(
                stayed.into_iter().all(|song| seen[&song.id] == 1),
                "{sort:?}"
            );
        }
    }
}

/// The tags that fold to the most bytes still give keys that a cursor may carry, and a song that
/// leaves takes its keys with it.
#[test]
fn the_longest_tags_fit_a_cursor() {
    for text in ["\u{fdfa}", "1 ", "한", "é", "ß"] {
        let tag = text.repeat(TAG_BYTES_MAX / text.len());
        let long = |n| Song {
            genre: tag.clone(),
            ..song(n, &tag, &tag, &tag)
        };
        let mut catalogue = catalogue(&[long(1), long(2), long(3)]);
        for sort in SORTS {
            for descending in [false, true] {
                assert_eq!(listed(&mut catalogue, in_order(sort, descending)).len(), 3);
            }
        }
        for n in [1, 2, 3] {
            assert!(catalogue.remove(NODE, SongId(n)));
        }
        assert!(catalogue.orders.values().all(Order::is_empty));
    }
}

/// A cursor of any content is answered.
#[test]
fn a_foreign_cursor_does_no_harm() {
    let mut catalogue = catalogue(&mixed_songs());
    for key in ["", "0", "1", "2", "\0", "\u{10ffff}", "beatles\0help"] {
        for id in [SongId(0), SongId(u128::MAX)] {
            for descending in [false, true] {
                let after = Some(Cursor {
                    key: key.into(),
                    id,
                });
                let query = Query {
                    after,
                    ..in_order(Sort::Artist, descending)
                };
                assert!(page(&mut catalogue, &query).0.len() <= 2);
            }
        }
    }
}

fn albums(catalogue: &mut Catalogue, page: PageOf) -> (Vec<Album>, u64, Option<Mark>) {
    let browse = Browse::Albums {
        page,
        artist: None,
        sort: AlbumSort::Title,
    };
    check_browse(&browse).expect("a question within its bounds");
    match catalogue.browse(&browse, |nodes| nodes.len()) {
        Ok(Browsed::Albums {
            albums,
            total,
            next,
        }) => (albums, total, next),
        other => panic!("no albums but {other:?}"),
    }
}

/// The pages of a list of albums are the list, forwards and backwards.
#[test]
fn pages_of_albums_are_the_list() {
    let titles = ["Part 10", "Part 2", "Ende", "Anfang", "Mitte"];
    let songs: Vec<Song> = (1..)
        .zip(titles)
        .map(|(n, title)| song(n, "x", "A", title))
        .collect();
    let mut catalogue = catalogue(&songs);
    let sorted = ["Anfang", "Ende", "Mitte", "Part 2", "Part 10"];
    for descending in [false, true] {
        let (mut all, mut after) = (vec![], None);
        loop {
            let page = PageOf {
                descending,
                after,
                ..PageOf::all(2)
            };
            let (found, total, next) = albums(&mut catalogue, page);
            assert_eq!(total, 5);
            all.extend(found.into_iter().map(|album| album.title));
            after = next;
            if after.is_none() {
                break;
            }
        }
        if descending {
            all.reverse();
        }
        assert_eq!(all, sorted);
    }
}

/// Tags that arrive later, and songs that go, change the albums; an id in a search finds the songs.
#[test]
fn albums_follow_tags_and_songs() {
    let songs = [song(1, "x", "A", "Hits"), song(2, "y", "B", "Hits")];
    let mut catalogue = catalogue(&songs);
    assert_eq!(albums(&mut catalogue, PageOf::all(9)).1, 2);
    let more = MoreTags {
        compilation: true,
        ..MoreTags::default()
    };
    catalogue.tag(SongId(1), more.clone());
    catalogue.tag(SongId(2), more);
    let (found, total, _) = albums(&mut catalogue, PageOf::all(9));
    assert_eq!((total, found[0].songs), (1, 2));

    let words = alloc::format!("albumid:{}", &found[0].id.to_string()[..9]);
    let query = Query {
        words,
        ..Query::all(9)
    };
    assert_eq!(page(&mut catalogue, &query).1, 2);
    catalogue.remove(NODE, SongId(1));
    assert_eq!(page(&mut catalogue, &query).1, 1);
    catalogue.bury(SongId(2));
    assert_eq!(albums(&mut catalogue, PageOf::all(9)).1, 0);
    let page = PageOf::all(9);
    let artists = catalogue.browse(&Browse::Artists { page }, |nodes| nodes.len());
    assert!(
        matches!(artists, Ok(Browsed::Artists { total: 0, .. })),
        "{artists:?}"
    );
}

/// A page that begins at a number is the part of the list from there on, also of a search and
/// backwards, and leads on to the rest.
#[test]
fn a_page_may_begin_at_a_number() {
    let songs: Vec<Song> = (1..=30)
        .map(|n| song(n, &alloc::format!("t{n:02}"), "A", "x"))
        .collect();
    let mut catalogue = catalogue(&songs);
    for (words, descending) in [("", false), ("", true), ("t1", false)] {
        let mut query = in_order(Sort::Title, descending);
        (query.words, query.limit) = (words.into(), 100);
        let (all, total, _) = page(&mut catalogue, &query);
        query.limit = 3;
        for from in [0, 1, 7, 9, 29, 30, 1000] {
            let browse = Browse::Songs {
                query: query.clone(),
                from,
            };
            let found = catalogue.browse(&browse, |nodes| nodes.len());
            let Ok(Browsed::Songs {
                songs: part,
                total: known,
                next,
            }) = found
            else {
                panic!("{found:?}");
            };
            let rest = &all[all.len().min(from as usize)..];
            let part: Vec<Song> = part.into_iter().map(|one| one.song).collect();
            assert_eq!(part, rest[..rest.len().min(3)], "{words} from {from}");
            assert_eq!((known, next.is_some()), (total, rest.len() > 3));
        }
    }
}

/// The earliest of the times at which holders got a song counts, and an album came when its last
/// song did. What came at an unknown time stands last.
#[test]
fn what_was_added_last_comes_first() {
    let songs = [
        song(1, "a", "A", "Old"),
        song(2, "b", "A", "New"),
        song(3, "c", "A", "Old"),
        song(4, "d", "A", "Unknown"),
    ];
    let mut catalogue = catalogue(&songs);
    let by_time = in_order(Sort::Added, true);
    page(&mut catalogue, &by_time);
    for (id, added) in [(1, 100), (2, 500), (3, 900), (3, 200), (3, 300), (4, 0)] {
        catalogue.note_added(SongId(id), added);
    }
    catalogue.settle();
    let found = page(
        &mut catalogue,
        &Query {
            limit: 9,
            ..by_time
        },
    )
    .0;
    let ids: Vec<SongId> = found.iter().map(|song| song.id).collect();
    assert_eq!(ids, [2, 3, 1, 4].map(SongId));
    let browse = Browse::Albums {
        page: PageOf {
            descending: true,
            ..PageOf::all(9)
        },
        artist: None,
        sort: AlbumSort::Added,
    };
    let Ok(Browsed::Albums { albums, .. }) = catalogue.browse(&browse, |nodes| nodes.len()) else {
        panic!("no albums");
    };
    let titles: Vec<&str> = albums.iter().map(|album| album.title.as_str()).collect();
    assert_eq!(titles, ["New", "Old", "Unknown"]);
}
