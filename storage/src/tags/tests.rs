//! Tags as people's files hold them: each case is a recipe and the value that it must give.

mod fuzz;
mod more;
mod places;
mod recipes;

use std::io::Cursor;

use roles::contract::song::Format;

use super::*;
use recipes::*;

fn of(bytes: &[u8]) -> Tags {
    read(&mut Cursor::new(bytes), Format::Opaque)
}

/// The words of an MP3 file whose ID3v2 tag is `tag`.
fn mp3(tag: &[u8]) -> Tags {
    read(&mut Cursor::new([tag, &mp3_frames()].concat()), Format::Mp3)
}

/// Asserts the value of every case, and names all cases that fail.
fn assert_all<T: PartialEq + std::fmt::Debug>(cases: Vec<(String, T, T)>) {
    let wrong: Vec<String> = cases
        .iter()
        .filter(|(_, found, expected)| found != expected)
        .map(|(name, found, expected)| format!("{name}: {found:?} instead of {expected:?}"))
        .collect();
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
}

/// A year is the first four digits that make sense, in the tags of every format.
#[test]
fn years_are_found_however_they_are_written() {
    let dates = [
        ("1959", 1959),
        (" 1959 ", 1959),
        ("1959-08", 1959),
        ("1959-08-17T10:00:00Z", 1959),
        ("03/05/2004", 2004),
        ("2004/05/03", 2004),
        ("3.5.2004", 2004),
        ("20040503", 2004),
        ("03052004", 2004),
        ("c. 1999", 1999),
        ("(1999)", 1999),
        ("\u{a9}1999 Label", 1999),
        ("2004\u{5e74}", 2004),
        ("\u{ff12}\u{ff10}\u{ff10}\u{ff14}", 2004),
        ("1999;2004", 1999),
        ("May 2004", 2004),
        ("2004-13-45", 2004),
        ("0000-00-00; 1999", 1999),
        ("0000", 0),
        ("99", 0),
        ("", 0),
        ("unknown", 0),
        ("99999", 0),
    ];
    let mut cases = Vec::new();
    for (date, year) in dates {
        for (version, id) in [(3, "TYER"), (4, "TDRC"), (4, "TYER"), (3, "TDRC")] {
            let tag = id3(version, &[frame(id, &utf16(date)), utf8("TIT2", "t")]);
            let found = mp3(&tag);
            let name = format!("{id} in ID3v2.{version} {date:?}");
            cases.push((name, (found.year, found.title), (year, "t".into())));
        }
        let old = id3v22(&[("TT2", b"\0t"), ("TYE", &utf16(date))]);
        cases.push((
            format!("ID3v2.2 {date:?}"),
            (mp3(&old).year, "t".into()),
            (year, "t".into()),
        ));
        let comments = [&*format!("DATE={date}"), "TITLE=t"];
        for (format, file) in [
            ("FLAC", flac(&[(4, &comment(&comments))])),
            (
                "Vorbis",
                ogg(b"\x01vorbis", b"\x03vorbis", &comment(&comments)),
            ),
            ("Opus", ogg(b"OpusHead", b"OpusTags", &comment(&comments))),
            (
                "M4A",
                mp4(&[text_item(b"\xa9day", date), text_item(b"\xa9nam", "t")]),
            ),
            ("APE", ape(&[("Year", date.as_bytes()), ("Title", b"t")])),
            ("WAV", wave(&[("ICRD", date.as_bytes()), ("INAM", b"t")])),
        ] {
            let found = of(&file);
            cases.push((
                format!("{format} {date:?}"),
                (found.year, found.title),
                (year, "t".into()),
            ));
        }
    }
    assert_all(cases);
}

/// The best date counts, and a bad one never hides a good one.
#[test]
fn a_bad_date_costs_only_itself() {
    let mut cases = Vec::new();
    for (frames, year) in [
        (vec![("TDOR", "bad"), ("TDRC", "2004")], 2004),
        (vec![("TDRC", "2004"), ("TDOR", "03/05/1969")], 2004),
        (vec![("TDRC", "2004"), ("TDOR", "1969")], 2004),
        (vec![("TDOR", "1969")], 1969),
        (vec![("TDRC", "?"), ("TDOR", "1969")], 1969),
        (vec![("TDRL", "1971-02")], 1971),
        (vec![("TORY", "1969"), ("TYER", "2004")], 2004),
        (vec![("TYER", "2004"), ("TDAT", "x"), ("TIME", "y")], 2004),
        (vec![("TDRC", ""), ("TDRC", "2004")], 2004),
    ] {
        for version in [3, 4] {
            let list: Vec<_> = frames.iter().map(|(id, text)| utf8(id, text)).collect();
            let name = format!("{frames:?} in ID3v2.{version}");
            cases.push((name, mp3(&id3(version, &list)).year, year));
        }
    }
    assert_all(cases);
}

/// A bad frame, in front of, between or behind good ones, costs nothing but itself.
#[test]
fn a_bad_frame_costs_only_itself() {
    let bad: Vec<(&str, Vec<u8>)> = vec![
        (
            "USLT that is no UTF-8",
            frame("USLT", b"\x03engd\0\xe9\xff"),
        ),
        ("USLT without a language", frame("USLT", b"\x03")),
        ("TXXX that is no UTF-8", frame("TXXX", b"\x03k\xe9\0v\xe9")),
        ("TXXX without an end", frame("TXXX", b"\x01\xff\xfek")),
        ("COMM of three bytes", frame("COMM", b"\0en")),
        ("COMM of nothing", frame("COMM", b"")),
        (
            "COMM with a language of zeros",
            frame("COMM", b"\0\0\0\0x\0y"),
        ),
        ("APIC of one byte", frame("APIC", b"\0")),
        (
            "APIC without a picture",
            frame("APIC", b"\0image/png\0\x03"),
        ),
        (
            "APIC with an unknown encoding",
            frame("APIC", b"\x09image/png\0\x03\0abc"),
        ),
        ("unknown encoding", frame("TCOM", b"\x09x")),
        ("no encoding", frame("TCOM", b"x")),
        ("UTF-16 without a mark", frame("TCOM", b"\x01a\0b\0")),
        ("UTF-16 of odd length", frame("TCOM", b"\x01\xff\xfea\0b")),
        (
            "UTF-16 with half a pair",
            frame("TCOM", b"\x01\xff\xfe\x00\xd8"),
        ),
        ("text of nothing", frame("TCOM", b"")),
        ("UFID without an owner", frame("UFID", b"\0")),
        ("POPM without an end", frame("POPM", b"nobody")),
        ("PRIV without an end", frame("PRIV", b"nobody")),
        ("RVA2 cut off", frame("RVA2", b"x\0\x01")),
        ("SYLT cut off", frame("SYLT", b"\x01en")),
        ("ETCO of a bad kind", frame("ETCO", b"\x09\xff")),
        ("OWNE cut off", frame("OWNE", b"\0EUR")),
        (
            "WXXX that is no UTF-8",
            frame("WXXX", b"\x03\xe9\0http://\xe9"),
        ),
        ("TLEN that is no number", frame("TLEN", b"\0abc")),
        ("TKEY too long", frame("TKEY", b"\0abcdefgh")),
        ("CHAP cut off", frame("CHAP", b"c\0\0\0")),
        ("GEOB cut off", frame("GEOB", b"\x01\xff")),
        ("TDAT that is no date", frame("TDAT", b"\x03\xff\xff")),
        ("an id of no frame", frame("ab\0c", b"xyz")),
        ("an id of signs", frame("T!T2", b"\0xyz")),
        ("an ID3v2.2 id", frame("TT1\0", b"\0xyz")),
        ("a size too large", sized("COMM", 16, b"\0engx")),
        ("a size too small", sized("COMM", 3, b"\0eng\0some words")),
        ("an endless size", sized("COMM", 0x0fff_ffff, b"\0engx")),
        (
            "compressed nonsense",
            flagged("TCOM", 0x88, b"\0\0\0\x09garbage"),
        ),
        ("encrypted nonsense", flagged("TCOM", 0x44, b"\x01garbage")),
        ("unknown flags", flagged("TCOM", 0x00b0, b"x")),
    ];
    let mut cases = Vec::new();
    for (name, bad) in &bad {
        for version in [3, 4] {
            let good = [
                utf8("TIT2", "T\u{e9}"),
                utf8("TPE1", "A"),
                utf8("TDRC", "1959"),
            ];
            for place in 0..=good.len() {
                let mut frames = good.to_vec();
                frames.insert(place, bad.clone());
                let found = mp3(&id3(version, &frames));
                let words = (found.title, found.artist, found.year);
                let expected = ("T\u{e9}".to_owned(), "A".to_owned(), 1959);
                cases.push((
                    format!("{name} at {place} in ID3v2.{version}"),
                    words,
                    expected,
                ));
            }
        }
    }
    assert_all(cases);
}

/// Text of every encoding, right or wrong, says what it can say.
#[test]
fn text_is_read_in_any_encoding() {
    let cases = [
        ("Latin-1", &b"\0caf\xe9"[..], "caf\u{e9}"),
        ("Latin-1 of Windows", b"\0it\x92s", "it\u{2019}s"),
        ("UTF-16", b"\x01\xff\xfec\0\xe9\0", "c\u{e9}"),
        ("UTF-16 the other way", b"\x01\xfe\xff\0c\0\xe9", "c\u{e9}"),
        ("UTF-16 without a mark", b"\x01c\0\xe9\0", "c\u{e9}"),
        (
            "UTF-16 without a mark, the other way",
            b"\x01\0c\0\xe9",
            "c\u{e9}",
        ),
        ("UTF-16 of odd length", b"\x01\xff\xfec\0\xe9\0x", "c\u{e9}"),
        (
            "UTF-16 with a mark per value",
            b"\x01\xff\xfea\0\0\0\xff\xfeb\0",
            "a, b",
        ),
        ("UTF-16 big end", b"\x02\0c\0\xe9", "c\u{e9}"),
        (
            "UTF-16 big end with a mark",
            b"\x02\xfe\xff\0c\0\xe9",
            "c\u{e9}",
        ),
        ("UTF-8", "\x03caf\u{e9}".as_bytes(), "caf\u{e9}"),
        ("UTF-8 with a mark", b"\x03\xef\xbb\xbfcaf", "caf"),
        ("Latin-1 called UTF-8", b"\x03caf\xe9", "caf\u{e9}"),
        ("an unknown encoding", b"\x07caf\xe9", "caf\u{e9}"),
        ("no encoding", b"Cafe", "Cafe"),
        ("zeros at the end", b"\0cafe\0\0\0", "cafe"),
        ("two values", b"\x03a\0b", "a, b"),
        ("a value twice", b"\x03Rock\0Rock", "Rock"),
        ("an empty value", b"\x03a\0\0 \0b", "a, b"),
    ];
    let found = |body| mp3(&id3(4, &[frame("TPE1", body)])).artist;
    assert_all(
        cases
            .iter()
            .map(|(name, body, text)| ((*name).to_owned(), found(body), (*text).to_owned()))
            .collect(),
    );
}

/// A value stands once however often the file repeats it, and empty values do not stand at all.
#[test]
fn repeated_values_stand_once() {
    let frames = [
        utf8("TCON", "Rock"),
        utf8("TCON", "Rock"),
        utf8("TPE1", "A\0B\0A\0"),
    ];
    let vorbis = comment(&[
        "GENRE=Rock",
        "genre=Rock",
        "ARTIST=A",
        "ARTIST=",
        "Artist=B",
        "ARTIST= A",
    ]);
    let items = [
        text_item(b"\xa9gen", "Rock"),
        text_item(b"\xa9gen", "Rock"),
        atom(
            b"\xa9ART",
            &[data(1, b"A"), data(1, b""), data(1, b"B")].concat(),
        ),
    ];
    let mut cases = Vec::new();
    for (name, found) in [
        ("ID3v2", mp3(&id3(4, &frames))),
        ("FLAC", of(&flac(&[(4, &vorbis)]))),
        ("M4A", of(&mp4(&items))),
        (
            "APE",
            of(&ape(&[("Genre", b"Rock\0Rock"), ("Artist", b"A\0\0B")])),
        ),
    ] {
        let words = (found.genre, found.artist);
        cases.push((
            name.to_owned(),
            words,
            ("Rock".to_owned(), "A, B".to_owned()),
        ));
    }
    assert_all(cases);
}

/// Genres by number are named.
#[test]
fn genres_are_named() {
    let cases = [
        ("17", "Rock"),
        ("(17)", "Rock"),
        ("(17)(8)", "Rock, Jazz"),
        ("(17)Rock", "Rock"),
        ("(17)Slow", "Rock, Slow"),
        ("(RX)", "Remix"),
        ("((Noise)", "(Noise)"),
        ("17\08", "Rock, Jazz"),
        ("Rock/Jazz", "Rock/Jazz"),
        ("1980s", "1980s"),
        ("(255)", ""),
        ("999", "999"),
    ];
    let found = |text| mp3(&id3(4, &[utf8("TCON", text)])).genre;
    assert_all(
        cases
            .iter()
            .map(|(text, genre)| (format!("{text:?}"), found(text), (*genre).to_owned()))
            .collect(),
    );
}

/// The first of two tags counts, and the second gives what the first has not.
#[test]
fn the_first_of_several_tags_counts() {
    let first = id3(4, &[utf8("TIT2", "one"), utf8("TYER", "2001")]);
    let second = id3(3, &[utf8("TIT2", "two"), utf8("TPE1", "A")]);
    let empty = id3(4, &[]);
    let ape = ape(&[("Title", b"three"), ("Album", b"B")]);
    let v1 = id3v1("four", "Z", "Y", "1999", 17);
    let words = |tags: Tags| (tags.title, tags.artist, tags.album, tags.year, tags.genre);
    let row = |a: &str, b: &str, c: &str, year, e: &str| {
        (a.to_owned(), b.to_owned(), c.to_owned(), year, e.to_owned())
    };
    let frames = mp3_frames();
    let file = |parts: &[&[u8]]| words(read(&mut Cursor::new(parts.concat()), Format::Mp3));
    let all = row("one", "A", "B", 2001, "Rock");
    assert_all(vec![
        (
            "both".into(),
            words(mp3(&[&first[..], &second].concat())),
            row("one", "A", "", 2001, ""),
        ),
        (
            "empty behind".into(),
            words(mp3(&[&first[..], &empty].concat())),
            row("one", "", "", 2001, ""),
        ),
        (
            "empty before".into(),
            words(mp3(&[&empty[..], &second].concat())),
            row("two", "A", "", 0, ""),
        ),
        (
            "all kinds".into(),
            file(&[&first, &second, &frames, &ape, &v1]),
            all,
        ),
        (
            "ID3v1".into(),
            file(&[&frames, &v1]),
            row("four", "Z", "Y", 1999, "Rock"),
        ),
        (
            "APE in front of ID3v1".into(),
            file(&[&frames, &ape, &v1]),
            row("three", "Z", "B", 1999, "Rock"),
        ),
    ]);
}

/// A tag that says it is shorter or longer than it is still gives its words.
#[test]
fn a_size_that_lies_costs_nothing() {
    let frames = [
        utf8("TIT2", "t"),
        utf8("TPE1", "A"),
        utf8("TALB", &"b".repeat(300)),
    ];
    let tag = id3(4, &frames);
    let with_size = |size: [u8; 4]| {
        let mut tag = tag.clone();
        tag[6..10].copy_from_slice(&size);
        let found = mp3(&tag);
        (found.title, found.artist, found.album.len())
    };
    let expected = ("t".to_owned(), "A".to_owned(), 300);
    let plain = (tag.len() as u32 - 10).to_be_bytes();
    let mut cases = Vec::new();
    for (name, size) in [
        ("nothing", [0, 0, 0, 0]),
        ("less", syncsafe(30)),
        ("more", syncsafe(tag.len() + 5)),
        ("past the end", syncsafe(1 << 24)),
        ("not in sevens", plain),
    ] {
        cases.push((name.to_owned(), with_size(size), expected.clone()));
    }
    let long = "x".repeat(200);
    let mut plain = frame("TIT2", &[b"\x03", long.as_bytes()].concat());
    plain[4..8].copy_from_slice(&201u32.to_be_bytes());
    let plain = mp3(&id3(4, &[plain, utf8("TPE1", "A")]));
    cases.push((
        "a frame not in sevens".into(),
        (plain.title[..1].into(), plain.artist, 300),
        ("x".into(), "A".into(), 300),
    ));
    let mut sevens = frame("TIT2", &[b"\x03", long.as_bytes()].concat());
    sevens[4..8].copy_from_slice(&syncsafe(201));
    let mut tag = id3(4, &[sevens, utf8("TPE1", "A")]);
    tag[3] = 3;
    let sevens = mp3(&tag);
    cases.push((
        "an ID3v2.3 frame in sevens".into(),
        (sevens.title[..1].into(), sevens.artist, 300),
        ("x".into(), "A".into(), 300),
    ));
    assert_all(cases);
}

/// Bytes that stand for others, for a tag or for a frame, are put back.
#[test]
fn unsynchronised_tags_are_read() {
    let picture = [&b"\xff\xd8\xff\xe0"[..], &[0xff, 0, 0xff, 0xe1, 0xff]].concat();
    let body = [&b"\0image/jpeg\0\x03\0"[..], &picture].concat();
    let plain = [utf16_frame("TIT2", "\u{ff}t"), frame("APIC", &body)];
    let old = unsynchronised(3, &plain);
    let new: Vec<Vec<u8>> = [utf16("\u{ff}t"), body.clone()]
        .iter()
        .zip(["TIT2", "APIC"])
        .map(|(body, id)| flagged(id, 0x02, &stuffed(body)))
        .collect();
    for tag in [old, id3(4, &new)] {
        let found = mp3(&tag);
        assert_eq!((found.title.as_str(), found.picture), ("\u{ff}t", true));
        let found = picture_of(&[&tag[..], &mp3_frames()].concat());
        assert_eq!(found, Some(picture.clone()));
    }
}

/// Frames that were compressed for the file are read; nonsense in them costs only itself.
#[test]
fn compressed_frames_are_read() {
    let words = "Compressed ".repeat(20);
    for (version, flag, packed) in [(3, 0x80, false), (3, 0x80, true), (4, 0x09, true)] {
        let body = [&b"\x03"[..], words.as_bytes()].concat();
        let zlib = if packed {
            FIXED_CODES.to_vec()
        } else {
            stored(&body)
        };
        let counted = [&(body.len() as u32).to_be_bytes()[..], &zlib].concat();
        let tag = id3(
            version,
            &[flagged("TIT2", flag, &counted), utf8("TPE1", "A")],
        );
        let found = mp3(&tag);
        assert_eq!(
            (found.title.as_str(), found.artist.as_str()),
            (words.trim(), "A")
        );
    }
    let counted = [&[0, 0, 2, 0][..], OWN_CODES].concat();
    let found = mp3(&id3(3, &[flagged("TIT2", 0x80, &counted)])).title;
    assert_eq!(found.len(), 599);
    assert!(
        found.starts_with("idrliueo in nlihir h") && found.ends_with("in hnsldtdo uhnn ldh"),
        "{found}"
    );
}

/// Bytes that are no UTF-8 where UTF-8 must stand are Latin-1; INFO of WAV is either.
#[test]
fn bytes_that_are_no_utf8_are_latin1() {
    let latin: &[u8] = b"caf\xe9";
    let mut comments = comment(&["TITLE=t"]);
    comments[11..15].copy_from_slice(&2u32.to_le_bytes());
    comments.extend([11, 0, 0, 0]);
    comments.extend([&b"ARTIST="[..], latin].concat());
    let mut cases = Vec::new();
    for (name, found) in [
        ("FLAC", of(&flac(&[(4, &comments)]))),
        ("Vorbis", of(&ogg(b"\x01vorbis", b"\x03vorbis", &comments))),
        ("Opus", of(&ogg(b"OpusHead", b"OpusTags", &comments))),
        (
            "M4A",
            of(&mp4(&[
                text_item(b"\xa9nam", "t"),
                atom(b"\xa9ART", &data(1, latin)),
            ])),
        ),
        ("APE", of(&ape(&[("Title", b"t"), ("Artist", latin)]))),
        ("WAV", of(&wave(&[("INAM", b"t"), ("IART", latin)]))),
        (
            "WAV in UTF-8",
            of(&wave(&[("INAM", b"t"), ("IART", "caf\u{e9}".as_bytes())])),
        ),
        (
            "ID3v1",
            of(&[&mp3_frames()[..], &id3v1("t", "caf\u{e9}", "", "", 255)].concat()),
        ),
    ] {
        let expected = ("t".to_owned(), "caf\u{e9}".to_owned());
        cases.push((name.to_owned(), (found.title, found.artist), expected));
    }
    assert_all(cases);
}

/// What is bad in the tags of other formats costs only itself.
#[test]
fn other_tags_lose_only_what_is_bad() {
    let base = comment(&["TITLE=t", "no sign of equality", "=x", "ARTIST=A"]);
    let mut cut = base.clone();
    cut.extend([0xff, 0xff, 0xff, 0x7f, b'x']);
    cut[11..15].copy_from_slice(&9u32.to_le_bytes());
    let mut few = base.clone();
    few[11..15].copy_from_slice(&u32::MAX.to_le_bytes());
    let bad_picture = comment(&[
        "METADATA_BLOCK_PICTURE=!!!",
        "TITLE=t",
        "COVERART=x",
        "ARTIST=A",
    ]);
    let items = |bad: Vec<u8>| mp4(&[text_item(b"\xa9nam", "t"), bad, text_item(b"\xa9ART", "A")]);
    let mut cases = Vec::new();
    for (name, found) in [
        ("comments without a value", of(&flac(&[(4, &base)]))),
        ("a comment that is cut", of(&flac(&[(4, &cut)]))),
        ("a number of comments that lies", of(&flac(&[(4, &few)]))),
        (
            "pictures that are none",
            of(&flac(&[(4, &bad_picture), (6, b"xyz")])),
        ),
        ("an item of nothing", of(&items(atom(b"\xa9gen", b"")))),
        (
            "an item without a kind",
            of(&items(atom(b"trkn", &data(0, b"\0")))),
        ),
        (
            "an item of odd UTF-16",
            of(&items(atom(b"\xa9gen", &data(2, b"\0x\0")))),
        ),
        (
            "an item cut off",
            of(&items(atom(b"covr", b"\0\0\x10\0data\0\0\0\x0d"))),
        ),
        (
            "a free item cut off",
            of(&items(atom(b"----", b"\0\0\0\x20mean"))),
        ),
        (
            "an APE item without a name",
            of(&ape(&[("Title", b"t"), ("", b"x"), ("Artist", b"A")])),
        ),
        (
            "an INFO item of nothing",
            of(&wave(&[("INAM", b"t"), ("IGNR", b""), ("IART", b"A\0\0")])),
        ),
    ] {
        let expected = ("t".to_owned(), "A".to_owned());
        cases.push((name.to_owned(), (found.title, found.artist), expected));
    }
    assert_all(cases);
}

/// Track and disc, as each format writes them.
#[test]
fn numbers_are_read() {
    let vorbis = ["TRACKNUMBER=03/12", "DISCNUMBER=2"];
    let items = [
        atom(b"trkn", &data(0, &[0, 0, 0, 3, 0, 12, 0, 0])),
        atom(b"disk", &data(0, &[0, 0, 0, 2, 0, 2])),
    ];
    let mut cases = Vec::new();
    for (name, found) in [
        (
            "ID3v2",
            mp3(&id3(3, &[utf8("TRCK", " 3/12"), utf8("TPOS", "2/2")])),
        ),
        (
            "ID3v2.2",
            mp3(&id3v22(&[("TRK", b"\x003"), ("TPA", b"\x002")])),
        ),
        ("FLAC", of(&flac(&[(4, &comment(&vorbis))]))),
        ("M4A", of(&mp4(&items))),
        ("APE", of(&ape(&[("Track", b"3/12"), ("Disc", b"2")]))),
    ] {
        cases.push((name.to_owned(), (found.track, found.disc), (3, 2)));
    }
    cases.push((
        "WAV".into(),
        (of(&wave(&[("ITRK", b"3")])).track, 0),
        (3, 0),
    ));
    cases.push((
        "ID3v1".into(),
        (
            of(&[&mp3_frames()[..], &id3v1("t", "", "", "", 0)].concat()).track,
            0,
        ),
        (7, 0),
    ));
    assert_all(cases);
}

/// A cover of any size up to the bound is found and never costs the words.
#[test]
fn covers_are_found_in_every_format() {
    for bytes in [100, 20 << 20] {
        let image = image(bytes);
        let apic = [&b"\0image/png\0\x03\0"[..], &image].concat();
        let block = picture_block(3, &image);
        let mut comments = vec!["TITLE=t".to_owned()];
        comments.push(format!("METADATA_BLOCK_PICTURE={}", base64(&block)));
        let comments: Vec<&str> = comments.iter().map(String::as_str).collect();
        let comments = comment(&comments);
        let front = [&b"cover.png\0"[..], &image].concat();
        let mut files = vec![
            (
                "ID3v2",
                [
                    id3(4, &[frame("APIC", &apic), utf8("TIT2", "t")]),
                    mp3_frames(),
                ]
                .concat(),
            ),
            (
                "M4A",
                mp4(&[atom(b"covr", &data(14, &image)), text_item(b"\xa9nam", "t")]),
            ),
            ("Vorbis", ogg(b"\x01vorbis", b"\x03vorbis", &comments)),
            ("Opus", ogg(b"OpusHead", b"OpusTags", &comments)),
            (
                "APE",
                ape(&[("Cover Art (Front)", &front), ("Title", b"t")]),
            ),
        ];
        if bytes < 1 << 24 {
            files.push(("FLAC", flac(&[(6, &block), (4, &comment(&["TITLE=t"]))])));
            files.push(("FLAC comment", flac(&[(4, &comments)])));
        }
        for (name, file) in files {
            let tags = of(&file);
            assert_eq!(
                (tags.title.as_str(), tags.picture),
                ("t", true),
                "{name} {bytes}"
            );
            assert!(picture_of(&file) == Some(image.clone()), "{name} {bytes}");
        }
    }
}

/// A picture above the bound is not promised; the front counts if there are several.
#[test]
fn a_cover_that_cannot_be_served_is_not_promised() {
    let apic = |kind: u8, image: &[u8]| {
        frame("APIC", &[&b"\0image/png\0"[..], &[kind, 0], image].concat())
    };
    let large = image(PICTURE_BYTES_MAX + 1);
    let tag = id3(4, &[apic(3, &large), utf8("TIT2", "t")]);
    assert_eq!((mp3(&tag).picture, mp3(&tag).title), (false, "t".into()));
    let tag = id3(
        3,
        &[
            apic(0, &image(50)),
            apic(3, &image(60)),
            apic(3, &image(70)),
        ],
    );
    assert_eq!(picture_of(&tag).map(|image| image.len()), Some(60));
    let script = id3(3, &[apic(3, b"<script>"), apic(4, &image(50))]);
    assert_eq!(picture_of(&script).map(|image| image.len()), Some(50));
}

/// Frames whose sizes all lie are passed over once: a walk back at each would never end here.
#[test]
fn a_tag_of_nothing_but_lies_is_read_once() {
    for frame in [
        sized("AAAA", u32::MAX, b""),
        sized("TIT2", 3, b""),
        sized("TIT2", 1 << 20, b"x"),
    ] {
        let tag = id3(3, &[frame.repeat(200_000)]);
        mp3(&tag);
    }
}

fn picture_of(bytes: &[u8]) -> Option<Vec<u8>> {
    picture(&mut Cursor::new(bytes), Format::Opaque).map(|picture| picture.bytes)
}
