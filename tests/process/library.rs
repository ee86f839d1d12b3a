//! The main job: what is added comes back, byte for byte.

use std::fs;

use super::lab::Lab;
use super::sound;

/// Every format through DNS, router and data, each its own process; then once more from the cache.
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

/// What was heard is not fetched again; what was altered on disk is noticed and fetched again.
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

/// From a later moment on, the head comes first: a decoder needs it.
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

/// Three nodes in one process: the shortest way to a library, kept over a restart.
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
