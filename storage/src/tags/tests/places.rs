//! Tags where few writers put them, and values that show nothing: each is a recipe and its words.

use super::*;

fn words(file: &[u8], format: Format) -> (String, String) {
    let tags = read(&mut Cursor::new(file), format);
    (tags.title, tags.artist)
}

/// An index with these boxes of user data and these items, as QuickTime and phones write them.
pub(super) fn movie(user_data: &[Vec<u8>], meta: &[u8]) -> Vec<u8> {
    let udta = atom(b"udta", &user_data.concat());
    let moov = atom(b"moov", &[&udta[..], meta].concat());
    [atom(b"ftyp", b"qt  \0\0\0\0"), moov].concat()
}

/// A list of keys and the items that count from 1 in it.
pub(super) fn keyed(keys: &[(&[u8], &str)]) -> Vec<u8> {
    let names: Vec<u8> = keys
        .iter()
        .flat_map(|(key, _)| atom(b"mdta", key))
        .collect();
    let items = keys.iter().zip(1u32..);
    let items: Vec<u8> = items
        .flat_map(|((_, value), number)| text_item(&number.to_be_bytes(), value))
        .collect();
    let count = [&[0; 4][..], &(keys.len() as u32).to_be_bytes()].concat();
    let meta = [
        atom(b"hdlr", b"\0\0\0\0\0\0\0\0mdta\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        atom(b"keys", &[count, names].concat()),
        atom(b"ilst", &items),
    ];
    atom(b"meta", &meta.concat())
}

/// Length and language before the text.
pub(super) fn quick_text(kind: &[u8; 4], text: &str) -> Vec<u8> {
    let length = (text.len() as u16).to_be_bytes();
    atom(
        kind,
        &[&length[..], &[0x55, 0xc4], text.as_bytes()].concat(),
    )
}

/// Version and language before the text, a zero behind it.
fn phone_text(kind: &[u8; 4], text: &[u8]) -> Vec<u8> {
    atom(kind, &[&[0, 0, 0, 0, 0x55, 0xc4][..], text, &[0]].concat())
}

/// A WAV file of one odd chunk before its words, without the byte of padding.
fn unpadded_wave() -> Vec<u8> {
    let file = wave(&[("INAM", b"T"), ("IART", b"A")]);
    let data = file
        .windows(4)
        .position(|four| four == b"data")
        .expect("it");
    let mut file = file;
    file[data + 4] = 7;
    file.remove(data + 15);
    file
}

/// A FLAC file whose comments are longer than their block says; a cover lies behind them.
fn short_block() -> Vec<u8> {
    let comments = comment(&["TITLE=T", "ARTIST=A"]);
    let mut file = flac(&[(4, &comments), (6, &picture_block(3, &image(300)))]);
    file[45] -= 9;
    file
}

/// A cover whose length has no room in that of its block.
fn endless_cover() -> Vec<u8> {
    let cover = picture_block(3, &image((1 << 24) + 100));
    // The recipe keeps the low bytes of a length, as writers do.
    flac(&[(6, &cover), (4, &comment(&["TITLE=T", "ARTIST=A"]))])
}

#[test]
fn tags_are_found_where_they_lie() {
    let v2 = |version| id3(version, &[utf8("TIT2", "T"), utf8("TPE1", "A")]);
    let frames = mp3_frames();
    let ape = ape(&[("Title", b"T"), ("Artist", b"A")]);
    let old = id3v1("old", "old", "", "", 0);
    let lyrics = [&b"LYRICSBEGIN"[..], &[b'x'; 300], b"LYRICSEND"].concat();
    let enhanced = [&b"TAG+"[..], &[0; 223]].concat();
    let mut appended = v2(4);
    appended[5] = 0x10;
    let footer = [&b"3DI"[..], &appended[3..10]].concat();
    let vorbis = ogg(
        b"\x01vorbis",
        b"\x03vorbis",
        &comment(&["title=T", "Artist=A"]),
    );
    let native = flac(&[(4, &comment(&["noise", "=", "TITLE=T", "ARTIST=A"]))]);
    let junk = [7; 90];
    let wide: Vec<u8> = [0xfeffu16, 84]
        .iter()
        .flat_map(|n| n.to_be_bytes())
        .collect();
    let keys: [(&[u8], &str); 3] = [(b"comment", "x"), (b"artist", "A"), (b"title", "T")];
    let quick: [(&[u8], &str); 2] = [
        (b"com.apple.quicktime.title", "T"),
        (b"com.apple.quicktime.artist", "A"),
    ];
    let quick_texts = [quick_text(b"\xa9nam", "T"), quick_text(b"\xa9ART", "A")];
    let phone = |title: &[u8]| [phone_text(b"titl", title), phone_text(b"perf", b"A")];
    let files: Vec<(&str, Format, Vec<u8>)> = vec![
        ("APE in front", Format::Mp3, [&ape[..], &frames].concat()),
        (
            "APE before Lyrics3 and ID3v1",
            Format::Mp3,
            [&frames[..], &ape, &lyrics, &old].concat(),
        ),
        (
            "APE before longer fields",
            Format::Mp3,
            [&frames[..], &ape, &enhanced, &old].concat(),
        ),
        (
            "ID3v2 behind",
            Format::Mp3,
            [&frames[..], &appended, &footer, &old].concat(),
        ),
        (
            "ID3v2 before FLAC",
            Format::Flac,
            [&v2(3)[..], &flac(&[(4, &comment(&[]))])].concat(),
        ),
        (
            "FLAC behind junk",
            Format::Flac,
            [&junk[..], &native].concat(),
        ),
        (
            "Vorbis behind junk",
            Format::Vorbis,
            [&junk[..], &vorbis].concat(),
        ),
        ("a short block", Format::Flac, short_block()),
        ("a cover without room", Format::Flac, endless_cover()),
        ("WAV without padding", Format::Wav, unpadded_wave()),
        ("keys", Format::M4a, movie(&[], &keyed(&keys))),
        (
            "keys of QuickTime",
            Format::M4a,
            movie(&[keyed(&quick)], b""),
        ),
        ("texts of QuickTime", Format::M4a, movie(&quick_texts, b"")),
        ("texts of a phone", Format::M4a, movie(&phone(b"T"), b"")),
        (
            "wide texts of a phone",
            Format::M4a,
            movie(&phone(&wide), b""),
        ),
        ("no type", Format::M4a, {
            let mut file = mp4(&[text_item(b"\xa9nam", "T"), text_item(b"\xa9ART", "A")]);
            file[4..8].copy_from_slice(b"free");
            file
        }),
    ];
    let expected = || ("T".to_owned(), "A".to_owned());
    assert_all(
        files
            .iter()
            .map(|(name, format, file)| ((*name).to_owned(), words(file, *format), expected()))
            .collect(),
    );
    for (name, file) in [
        ("a short block", short_block()),
        ("a cover", endless_cover()),
    ] {
        assert!(of(&file).picture, "{name}");
    }
}

/// A title of nothing that shows is none, so that the name of the file can stand for it.
#[test]
fn values_that_show_nothing_are_none() {
    let title = |text: &str| mp3(&id3(4, &[utf8("TIT2", text)])).title;
    for text in [
        "\u{200b}\u{200b}",
        " \u{3164} ",
        "\u{feff}",
        "\u{202e}\u{202c}",
        "\u{ad}",
    ] {
        assert_eq!(title(text), "", "{text:?}");
    }
    for text in [
        "\u{200b}x",
        "\u{928}\u{94d}\u{200d}",
        "\u{1f469}\u{200d}\u{1f467}",
    ] {
        assert_eq!(title(text), text);
    }
}

/// Numbers are read as people write them.
#[test]
fn numbers_are_read_however_they_are_written() {
    let cases = [
        ("3/12", 3),
        ("03", 3),
        (" 3 ", 3),
        ("3 of 12", 3),
        ("3.0", 3),
        ("\u{ff13}", 3),
        ("\u{ff11}\u{ff12}/20", 12),
        ("0/12", 0),
        ("/12", 0),
        ("-3", 0),
        ("A3", 0),
        ("99999", 0),
    ];
    let found = |text| {
        let tags = mp3(&id3(4, &[utf8("TRCK", text), utf8("TPOS", text)]));
        (tags.track, tags.disc)
    };
    assert_all(
        cases
            .iter()
            .map(|(text, number)| (format!("{text:?}"), found(text), (*number, *number)))
            .collect(),
    );
}
