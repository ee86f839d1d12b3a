//! The tags of albums, in the tags of every format.

use super::*;

fn more_of(bytes: &[u8]) -> roles::contract::tags::MoreTags {
    more(&mut Cursor::new(bytes), Format::Opaque)
}

fn user_text(name: &str, value: &str) -> Vec<u8> {
    frame("TXXX", format!("\x03{name}\0{value}").as_bytes())
}

const ALBUM: &str = "2b34c1e0-3c6a-4a6f-8b6e-6f1d8f1a9b0c";

/// Each format has its own way to say whose album it is.
#[test]
fn every_format_tells_whose_album_it_is() {
    let id3 = id3(
        4,
        &[
            utf8("TPE1", "A\0B"),
            utf8("TPE2", "Z"),
            utf8("TCMP", "1"),
            utf8("TRCK", "3/12"),
            utf8("TPOS", "1/2"),
            utf8("TDOR", "1969-01"),
            utf8("TCON", "Rock\0Pop"),
            utf8("TSO2", "Zed"),
            utf8("TCOM", "C"),
            user_text("MusicBrainz Album Id", ALBUM),
        ],
    );
    let comments = [
        "ARTIST=A",
        "ARTIST=B",
        "ALBUM ARTIST=Z",
        "COMPILATION=1",
        "TRACKTOTAL=12",
        "DISCTOTAL=2",
        "ORIGINALDATE=1969",
        "GENRE=Rock",
        "GENRE=Pop",
        "ALBUMARTISTSORT=Zed",
        "COMPOSER=C",
        &format!("MUSICBRAINZ_ALBUMID={ALBUM}"),
    ];
    let items = [
        ("Artists", "A\0B"),
        ("Album Artist", "Z"),
        ("Compilation", "1"),
        ("Track", "3/12"),
        ("Disc", "1/2"),
        ("Genre", "Rock\0Pop"),
        ("ALBUMARTISTSORT", "Zed"),
        ("Composer", "C"),
        ("MUSICBRAINZ_ALBUMID", ALBUM),
    ];
    let items = items.map(|(name, value)| (name, value.as_bytes()));
    let files = [
        ("ID3v2.4", [id3, mp3_frames()].concat(), 1969),
        ("FLAC", flac(&[(4, &comment(&comments))]), 1969),
        (
            "Opus",
            ogg(b"OpusHead", b"OpusTags", &comment(&comments)),
            1969,
        ),
        ("APE", ape(&items), 0),
    ];
    for (name, file, original_year) in files {
        let found = more_of(&file);
        assert_eq!(found.artists, ["A", "B"], "{name}");
        assert_eq!(found.album_artists, ["Z"], "{name}");
        assert_eq!(found.genres, ["Rock", "Pop"], "{name}");
        assert_eq!(found.composers, ["C"], "{name}");
        assert_eq!(found.artist_sort, "Zed", "{name}");
        assert!(found.compilation, "{name}");
        assert_eq!((found.tracks, found.discs), (12, 2), "{name}");
        assert_eq!(found.original_year, original_year, "{name}");
        let id = ALBUM.replace('-', "");
        let id = u128::from_str_radix(&id, 16).ok();
        assert_eq!(found.album_at_musicbrainz, id, "{name}");
    }
}

/// What is wrong is as if it were not there.
#[test]
fn bad_values_are_none() {
    let comments = [
        "ALBUMARTIST= \u{202e} ",
        "COMPILATION=0",
        "TRACKTOTAL=99999999",
        "MUSICBRAINZ_ALBUMID=zz34c1e0-3c6a-4a6f-8b6e-6f1d8f1a9b0c",
        "ARTIST=only one",
        "TRACKNUMBER=3/0",
        "ORIGINALDATE=0000",
    ];
    let found = more_of(&flac(&[(4, &comment(&comments))]));
    assert_eq!(found, roles::contract::tags::MoreTags::default());
}

/// Lyrics keep their lines; gains keep their text.
#[test]
fn details_are_shown_as_they_stand() {
    let lyrics = "one\r\ntwo\u{1b}[31m";
    let long = frame("USLT", format!("\x03engabout\0{lyrics}").as_bytes());
    let note = frame("COMM", b"\x03engiTunNORM\0 0000");
    let gain = user_text("replaygain_track_gain", "-7.25 dB");
    let file = [id3(4, &[long, note, gain]), mp3_frames()].concat();
    let found = details(&mut Cursor::new(file), Format::Mp3);
    assert_eq!(found.lyrics.lines().next(), Some("one"));
    assert!(found.lyrics.ends_with("two[31m"));
    let gain = ("replaygain_track_gain", "-7.25 dB".to_owned());
    assert_eq!(found.others, [gain]);
}
