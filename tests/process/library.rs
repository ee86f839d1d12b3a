//! The main purpose: a song that is added is fetched byte for byte.

use std::fs;
use std::path::PathBuf;

use super::lab::Lab;
use super::sound;
use super::web::http::{get, web};

/// Each format goes through a DNS node, a router and a data node, each its own process; then it
/// comes from the cache.
#[test]
fn every_format_comes_back_identical() {
    let mut lab = Lab::new("formats");
    let _cluster = lab.cluster(2, 3);
    let music = lab.dir.join("music");
    fs::create_dir_all(music.join("inner")).expect("a folder");
    sound::wav(&music.join("inner/tone.wav"), 31, 440.0);
    let mut files = sound::transcode(&music.join("inner/tone.wav"), &music);
    files.push(music.join("inner/tone.wav"));
    fs::write(music.join("cover.jpg"), "not music").expect("a file");
    sound::noise(&lab.dir.join("noise.bin"), 2_500_000, 7);
    files.push(lab.dir.join("noise.bin"));

    let folder = music.to_str().expect("a plain path");
    let noise = lab.dir.join("noise.bin");
    let noise = noise.to_str().expect("a plain path");
    let added = lab.json(&["add", folder, noise]);
    assert_eq!(added.len(), files.len());
    for line in &added {
        assert_eq!(line["outcome"], "added", "{line}");
        assert!(line["copies"].as_u64() >= Some(2), "{line}");
    }
    lab.await_copies(files.len() as u64);
    for line in &added {
        let (id, file) = (line["id"].as_str(), line["file"].as_str());
        let (id, file) = (id.expect("an id"), file.expect("a file"));
        let original = fs::read(file).expect("what was added");
        assert!(lab.ok(&["get", id, "-o", "-"]) == original, "{file}");
        assert!(lab.ok(&["play", id, "--stdout"]) == original, "{file}");
    }
    let again = lab.json(&["add", folder]);
    assert!(again.iter().all(|line| line["outcome"] == "known"));
}

#[test]
fn songs_are_listed_searched_and_shown() {
    let mut lab = Lab::new("list");
    let _cluster = lab.cluster(1, 2);
    for (name, tone) in [("Uno", 300.0), ("Dos", 500.0)] {
        sound::wav(&lab.dir.join(format!("{name}.wav")), 1, tone);
    }
    let path = |name: &str| lab.dir.join(name).to_str().expect("a path").to_owned();
    lab.ok(&["add", &path("Uno.wav"), &path("Dos.wav")]);
    lab.await_copies(2);

    let titles = |words: &[&str]| -> Vec<String> {
        let songs = lab.json(words);
        let title = |song: &serde_json::Value| song["title"].as_str().expect("text").to_owned();
        songs.iter().map(title).collect()
    };
    assert_eq!(titles(&["ls", "--sort", "title"]), ["Dos", "Uno"]);
    assert_eq!(
        titles(&["ls", "--sort", "title", "--reverse"]),
        ["Uno", "Dos"]
    );
    assert_eq!(titles(&["search", "uNO"]), ["Uno"]);
    for nothing in [&["search", "tres"][..], &["search", "tres", "--json"]] {
        let said = lab.fails(nothing, 1);
        assert!(said.contains("no song"), "{said}");
    }
    let song = &lab.json(&["search", "uno"])[0];
    for name in [
        "id",
        "title",
        "artist",
        "album",
        "genre",
        "year",
        "track",
        "duration_ms",
        "bytes",
        "format",
        "fragments",
    ] {
        assert!(!song[name].is_null(), "{name} is missing in {song}");
    }
    let table = String::from_utf8(lab.ok(&["ls"])).expect("text");
    assert!(
        table.contains("2 songs") && table.contains("0:01"),
        "{table}"
    );
    let answer = String::from_utf8(lab.ok(&["resolve", "dispotify.data"])).expect("text");
    assert_eq!(answer.lines().count(), 2, "{answer}");
}

/// Without any router a song is found through the data nodes, and a router plays it in the moment
/// in which it has started.
#[test]
fn a_song_plays_without_a_router_and_with_a_new_one() {
    let mut lab = Lab::new("new-router");
    let (mut servers, _data) = lab.cluster(1, 2);
    let file = lab.dir.join("tone.wav");
    sound::wav(&file, 20, 440.0);
    lab.ok(&["add", file.to_str().expect("a path")]);
    lab.await_copies(1);
    let id = lab.id_of("tone");
    let original = fs::read(&file).expect("added");
    servers.pop().expect("a router").kill();
    fs::remove_dir_all(lab.dir.join("cache")).expect("what was heard");
    assert!(lab.ok(&["play", &id, "--stdout"]) == original);
    // Eight digits are enough, because all songs that begin so have the same owners.
    fs::remove_dir_all(lab.dir.join("cache")).expect("what was heard");
    assert!(lab.ok(&["play", &id[..8], "--stdout"]) == original);

    fs::remove_dir_all(lab.dir.join("cache")).expect("what was heard");
    let _router = lab.start("router", "router-9", &[]);
    assert!(lab.ok(&["play", &id, "--stdout"]) == original);
}

/// A cached fragment is not fetched again; one that was altered on disk is noticed and fetched
/// again.
#[test]
fn a_cached_song_is_not_fetched_again() {
    let mut lab = Lab::new("cache");
    let _cluster = lab.cluster(1, 2);
    let file = lab.dir.join("tone.wav");
    sound::wav(&file, 20, 440.0);
    lab.ok(&["add", file.to_str().expect("a path")]);
    let id = lab.id_of("tone");
    let out = lab.dir.join("out");
    let out = out.to_str().expect("a path");
    let get = || lab.json(&["get", &id, "-o", out]).remove(0);

    let first = get();
    assert_eq!(first["fragments_cached"], 0);
    let second = get();
    assert_eq!(second["fragments_fetched"], 0, "{second}");

    let songs = lab.dir.join("cache/dispotify/songs").join(&id[..2]);
    let fragment = songs.join(&id).join("1");
    let mut bytes = fs::read(&fragment).expect("a cached fragment");
    bytes[7] ^= 1;
    fs::write(&fragment, bytes).expect("altered");
    let third = get();
    assert_eq!(third["fragments_fetched"], 1, "{third}");
    assert!(fs::read(out).expect("fetched") == fs::read(&file).expect("added"));
}

/// A song that is played from a later moment begins with its head, because a decoder needs it.
#[test]
fn a_song_plays_from_a_moment() {
    let mut lab = Lab::new("moment");
    let _cluster = lab.cluster(1, 1);
    let file = lab.dir.join("tone.wav");
    sound::wav(&file, 20, 440.0);
    lab.ok(&["add", file.to_str().expect("a path")]);
    let id = lab.id_of("tone");
    let whole = fs::read(&file).expect("added");
    let played = lab.ok(&["play", &id, "--stdout", "--from", "0:15"]);
    assert!(played.starts_with(b"RIFF"));
    assert!(whole.ends_with(&played[44..]));
    let seconds = (played.len() - 44) / (44_100 * 4);
    assert!((5..=11).contains(&seconds), "{seconds}");
    let late = lab.fails(&["play", &id, "--stdout", "--from", "1:00"], 1);
    assert!(late.contains("behind its end"), "{late}");
}

/// In a chain of Ogg streams, each stream has headers of its own: those of the moment's stream come
/// first.
#[test]
fn a_chain_plays_from_a_moment() {
    let mut lab = Lab::new("chain");
    let _cluster = lab.cluster(1, 1);
    let (one, two) = (sound::vorbis(1, 40), sound::vorbis(2, 60));
    let file = lab.dir.join("chain.ogg");
    fs::write(&file, [&one[..], &two].concat()).expect("a file");
    lab.ok(&["add", file.to_str().expect("a path")]);
    let id = lab.id_of("chain");
    let from = |moment| lab.ok(&["play", &id, "--stdout", "--from", moment]);
    // The last page of the headers is made anew, as sound may lie in it.
    let heads = |file: &[u8]| file[..sound::VORBIS_HEAD_BYTES / 3 * 2].to_vec();
    let played = from("0:15");
    assert!(played.starts_with(&heads(&one)) && played.ends_with(&two));
    assert!(from("0:21") == two);
    let played = from("0:45");
    assert!(played.starts_with(&heads(&two)));
    assert!(two.ends_with(&played[sound::VORBIS_HEAD_BYTES..]));
}

/// `serve` runs three nodes in one process and keeps its library over a restart.
#[test]
fn serve_keeps_its_library() {
    let mut lab = Lab::new("serve");
    let file = lab.dir.join("tone.wav");
    sound::wav(&file, 3, 440.0);
    let serve = |lab: &Lab| {
        let mut command = lab.command(&["serve", "--port", "0", "--web", "off"]);
        command.arg(&file);
        lab.spawn(command)
    };
    for _ in 0..2 {
        let mut server = serve(&lab);
        assert_eq!(server.role, "dns");
        lab.use_dns(&server.address);
        lab.await_status("the song is there", |status| status["songs"] == 1);
        let id = lab.id_of("tone");
        assert!(lab.ok(&["get", &id, "-o", "-"]) == fs::read(&file).expect("added"));
        server.signal("TERM");
        assert!(server.wait().success());
    }
}

/// S34: two nodes with songs of their own become one library, which has all songs of both
/// unaltered.
#[test]
fn two_libraries_become_one() {
    let (mut lab, mut other) = (Lab::new("union"), Lab::new("other"));
    let all: Vec<PathBuf> = (0..12).map(|n| lab.dir.join(format!("{n}.mp3"))).collect();
    for (n, file) in (0..).zip(&all) {
        sound::noise(file, 150_000, n);
    }
    let alone = |lab: &mut Lab, songs: &[PathBuf]| {
        let cluster = lab.cluster(1, 1);
        for file in songs {
            lab.ok(&["add", file.to_str().expect("a plain path")]);
        }
        lab.await_copies(songs.len() as u64);
        cluster
    };
    // Two songs are in both libraries.
    let (_names, mut first) = alone(&mut lab, &all[..7]);
    let (names, mut second) = alone(&mut other, &all[5..]);
    second[0].kill();
    drop(names);

    let place = other.dir.join("data0");
    let place = place.to_str().expect("a plain path");
    second[0] = lab.restart(&second[0], place);
    lab.await_status("both have all songs", |status| {
        let nodes = status["nodes"].as_array().into_iter().flatten();
        let full = nodes.filter(|node| node["role"] == "data" && node["songs"] == 12);
        status["songs"] == 12 && status["copies_missing"] == 0 && full.count() == 2
    });
    for file in &all {
        let title = file.file_stem().expect("a name").to_string_lossy();
        let id = lab.id_of(&title);
        assert!(lab.ok(&["get", &id, "-o", "-"]) == fs::read(file).expect("added"));
    }
    for (node, lab) in [(&mut first[0], &lab), (&mut second[0], &other)] {
        node.kill();
        let dir = lab.dir.join("data0");
        let dir = dir.to_str().expect("a plain path");
        let report = lab.json(&["verify", "--data-dir", dir]).remove(0);
        assert_eq!(report["songs"], 12, "{report}");
    }
}

/// S43: titles are text, whatever they contain: each is listed on one line, can be searched and
/// played, and means nothing special to the library or to a program that reads the output.
#[test]
fn odd_titles_are_text() {
    let mut lab = Lab::new("odd");
    let (_names, mut data) = lab.cluster(1, 1);
    let music = lab.dir.join("music");
    fs::create_dir(&music).expect("a folder");
    let long = "longest, ".repeat(1_200);
    // The title in the file, and the title in the output if it differs.
    let titles = [
        ("it's \"quoted\", twice", None),
        ("'); DROP TABLE songs; --", None),
        ("two\nlines\r\nand\ta tab", Some("two lines  and a tab")),
        ("100 %, %s %n %00 %2e _ * ?", None),
        ("<script>alert(1)</script> &amp; \\", None),
        ("\u{1f3b5} \u{97f3}\u{697d} e\u{301}", None),
        (
            "esc \u{1b}[31m red \u{202e}turned",
            Some("esc [31m red turned"),
        ),
        (&*long, Some(long[..1024].trim_end())),
    ];
    let told = titles.map(|(title, told)| told.unwrap_or(title));
    for (n, (title, _)) in (0..).zip(titles) {
        sound::mp3_titled(&music.join(format!("{n}.mp3")), title, n);
    }
    lab.ok(&["add", music.to_str().expect("a plain path")]);

    let listed = lab.json(&["ls"]);
    let mut names: Vec<&str> = listed.iter().filter_map(|s| s["title"].as_str()).collect();
    names.sort_unstable();
    let mut wanted = told;
    wanted.sort_unstable();
    assert_eq!(names, wanted);
    let table = String::from_utf8(lab.ok(&["ls"])).expect("text");
    let is_plain = |c: char| c == '\n' || !c.is_control();
    assert!(table.chars().all(is_plain), "{table:?}");
    assert!(table.contains("8 songs"), "{table}");
    let (_web, at) = web(&lab, &[]);
    for (n, title) in told.into_iter().enumerate() {
        let original = fs::read(music.join(format!("{n}.mp3"))).expect("added");
        let words: Vec<&str> = title.split(' ').take(16).collect();
        let words = words.join(" ");
        let found = lab.json(&["search", &words]);
        assert_eq!(found.len(), 1, "{title}");
        let id = found[0]["id"].as_str().expect("an id");
        assert!(lab.ok(&["play", id, "--stdout"]) == original, "{title}");
        let page = get(&at, &format!("/api/songs?q={}", percent(&words)));
        let json = Some("application/json");
        assert_eq!(page.field("Content-Type"), json, "{title}");
        assert_eq!(page.field("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(page.json()["songs"], serde_json::json!([found[0]]));
        let file = get(&at, &format!("/download/{id}"));
        assert!(file.status == 200 && file.body == original, "{title}");
        let named = file.field("Content-Disposition").expect("a name");
        assert!(named.starts_with("attachment; filename"), "{named}");
    }
    data[0].kill();
    let dir = lab.dir.join("data0");
    lab.ok(&["verify", "--data-dir", dir.to_str().expect("a plain path")]);
}

/// Every byte of the text as `%XX`.
fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}
