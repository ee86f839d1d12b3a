//! Albums and artists, from the tags of real files to the command line.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::lab::Lab;
use super::sound;

/// A compilation with a mark, a box of three discs, and two albums of one name come out as their
/// owner expects, although what tells them apart travels in no upload.
#[test]
fn albums_are_what_their_owner_expects() {
    let mut lab = Lab::new("albums");
    let _cluster = lab.cluster(1, 2);
    let music = lab.dir.join("music");
    fs::create_dir_all(&music).expect("a folder");
    let cover = corpus(&music);
    lab.ok(&["add", music.to_str().expect("a path")]);
    let albums = lab.await_lines(&["albums", "--sort", "title"], |albums| {
        albums.len() == 5 && of(albums, "artist").contains(&"Various Artists".to_owned())
    });
    let titles = ["Bach", "Greatest Hits", "Greatest Hits", "Ring", "東京"];
    assert_eq!(of(&albums, "title"), titles, "{albums:?}");
    let ring = &albums[3];
    assert_eq!(
        (&ring["songs"], &ring["discs"]),
        (&6.into(), &3.into()),
        "{ring}"
    );
    assert_eq!(ring["artist"], "Wagner", "{ring}");
    let id = ring["id"].as_str().expect("an id");

    // The songs of a box stand in the order of its discs, by id and by title alike.
    let songs = lab.json(&["ls", "--album", &id[..12]]);
    let order = ["1-1", "1-2", "2-1", "2-2", "3-1", "3-2"];
    assert_eq!(of(&songs, "title"), order);
    assert_eq!(of(&lab.json(&["ls", "--album", "ring"]), "title"), order);
    let first = lab.json(&["ls", "--artist", "wagner", "--limit", "1"]);
    assert_eq!(first.len(), 1, "{first:?}");

    // An artist has the albums on which the artist performs.
    let artists = lab.json(&["artists"]);
    let queen = artists.iter().find(|artist| artist["name"] == "Queen");
    let queen = queen.expect("an artist");
    assert_eq!(
        (&queen["albums"], &queen["songs"]),
        (&2.into(), &2.into()),
        "{queen}"
    );
    let by_queen = lab.json(&["albums", "--artist", "queen"]);
    assert_eq!(by_queen.len(), 2, "{by_queen:?}");
    assert_eq!(of(&lab.json(&["years"]), "name"), ["1999", "1981"]);
    assert_eq!(of(&lab.json(&["genres"]), "name"), ["Opera", "Rock"]);

    // The grammar is the same everywhere; words with a minus stand behind the options.
    let found = lab.json(&["search", "artist:queen", "year:1980..1989"]);
    assert_eq!(of(&found, "title"), ["hit"]);
    let found = lab.ok(&[
        "search",
        "--json",
        "--",
        "\"greatest hits\"",
        "-artist:queen",
    ]);
    let found: Vec<Value> = (serde_json::Deserializer::from_slice(&found).into_iter())
        .map(|song| song.expect("JSON"))
        .collect();
    assert_eq!(of(&found, "artist"), ["ABBA"]);
    let said = lab.fails(&["albums", "nothing at all"], 1);
    assert!(said.contains("none has"), "{said}");
    let said = lab.fails(&["get", "--album", "greatest"], 1);
    assert!(said.contains("2 fit"), "{said}");

    // A list in a form of one's own, by the time of adding as well.
    let lines = lab.ok(&[
        "ls",
        "--album",
        "ring",
        "--format",
        "{disc}/{track} {title:4}|",
    ]);
    let lines = String::from_utf8(lines).expect("text");
    assert!(lines.starts_with("1/1 1-1 |\n1/2 1-2 |\n"), "{lines}");
    let said = lab.fails(&["albums", "--format", "{name}"], 2);
    assert!(said.contains("artist_id"), "{said}");
    assert_eq!(
        lab.json(&["ls", "--sort", "added"]).len(),
        lab.json(&["ls"]).len()
    );
    assert_eq!(lab.json(&["albums", "--sort", "added"]).len(), 5);

    // What add would do: nothing, for everything is there.
    let would = lab.json(&["add", "-n", music.to_str().expect("a path")]);
    assert!(
        would.iter().all(|file| file["outcome"] == "known"),
        "{would:?}"
    );

    // An album is fetched into a folder, and once.
    let out = lab.dir.join("out");
    let to = out.to_str().expect("a path");
    lab.ok(&["get", "--album", id, "-o", to]);
    let mut names: Vec<String> = (fs::read_dir(&out).expect("a folder"))
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("text")
        })
        .collect();
    names.sort();
    assert_eq!(names.len(), 6, "{names:?}");
    assert_eq!(names[0], "1-01 - 1-1.mp3");
    let again = String::from_utf8(lab.ok(&["get", "--album", id, "-o", to])).expect("text");
    assert_eq!(again.matches("already").count(), 6, "{again}");
    let played = lab.ok(&["play", "--album", id, "--stdout"]);
    let whole: Vec<u8> = names
        .iter()
        .flat_map(|name| fs::read(out.join(name)).expect("fetched"))
        .collect();
    assert!(
        played == whole,
        "{} instead of {}",
        played.len(),
        whole.len()
    );

    // What no list shows is read from the song itself.
    let tokyo = lab.id_of("歌");
    let info = lab.json(&["info", &tokyo]).remove(0);
    assert_eq!(info["tracks"], 12, "{info}");
    assert_eq!(info["composers"][0], "作曲", "{info}");
    assert_eq!(info["tags"]["replaygain_track_gain"], "-7.1 dB", "{info}");
    assert_eq!(info["holders"].as_array().map(Vec::len), Some(2), "{info}");
    let lines = String::from_utf8(lab.ok(&["info", &tokyo])).expect("text");
    assert!(lines.contains("track  3 of 12"), "{lines}");
    let file = lab.dir.join("cover.jpg");
    let path = file.to_str().expect("a path");
    lab.ok(&["cover", &tokyo, "-o", path]);
    assert!(fs::read(&file).expect("a cover") == cover);
    assert!(lab.ok(&["cover", &tokyo, "-o", "-"]) == cover);
    let said = lab.fails(&["cover", &lab.id_of("1-1"), "-o", "-"], 1);
    assert!(said.contains("the file has none"), "{said}");

    // Columns stand one below the other, whatever their characters take.
    let table = String::from_utf8(lab.ok(&["albums"])).expect("text");
    assert!(
        table.contains("5 albums") && table.contains("東京"),
        "{table}"
    );
}

/// Writes the files, and gives the cover of the one that has one.
fn corpus(music: &Path) -> Vec<u8> {
    let mut number = 0;
    let mut file = |tags: &[(&[u8; 4], &str)]| {
        number += 1;
        sound::mp3_tagged(&music.join(format!("{number}.mp3")), tags, number);
    };
    for disc in 1..=3 {
        for track in 1..=2 {
            file(&[
                (b"TIT2", &format!("{disc}-{track}")),
                (b"TPE1", "Wagner"),
                (b"TALB", &format!("Ring (Disc {disc})")),
                (b"TPOS", &disc.to_string()),
                (b"TRCK", &track.to_string()),
                (b"TCON", "Opera"),
            ]);
        }
    }
    for (artist, year) in [("Queen", "1981"), ("ABBA", "1999")] {
        file(&[
            (b"TIT2", "hit"),
            (b"TPE1", artist),
            (b"TALB", "Greatest Hits"),
            (b"TRCK", "1"),
            (b"TDRC", year),
            (b"TCON", "Rock"),
        ]);
    }
    for artist in ["Queen", "Gould"] {
        file(&[
            (b"TIT2", "fugue"),
            (b"TPE1", artist),
            (b"TALB", "Bach"),
            (b"TCMP", "1"),
        ]);
    }
    let cover = b"\xff\xd8\xff\xe0 a cover".to_vec();
    let picture = [b"\0image/jpeg\0\x03\0", &cover[..]].concat();
    let frames: [(&[u8; 4], &[u8]); 7] = [
        (b"TIT2", "\u{3}歌".as_bytes()),
        (b"TPE1", "\u{3}歌手".as_bytes()),
        (b"TALB", "\u{3}東京".as_bytes()),
        (b"TRCK", b"\x033/12"),
        (b"TCOM", "\u{3}作曲".as_bytes()),
        (b"TXXX", b"\x03replaygain_track_gain\0-7.1 dB"),
        (b"APIC", &picture),
    ];
    sound::mp3_of_frames(&music.join("tokyo.mp3"), &frames, 99);
    cover
}

fn of(lines: &[Value], name: &str) -> Vec<String> {
    let text = |line: &Value| line[name].as_str().expect("text").to_owned();
    lines.iter().map(text).collect()
}
