//! The library as files again: whole, once, and where the tags say.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::lab::Lab;
use super::sound;

/// Every song comes out byte for byte below a name from its tags; the second run fetches nothing but
/// what was damaged, and replaces no file that is not its own.
#[test]
fn the_whole_library_comes_out_once() {
    let mut lab = Lab::new("export");
    let _cluster = lab.cluster(1, 2);
    let music = lab.dir.join("music");
    fs::create_dir_all(&music).expect("a folder");
    corpus(&music);
    lab.ok(&["add", music.to_str().expect("a path")]);
    // The mark of a compilation is read from the song a moment after its upload.
    lab.await_lines(&["albums"], |albums| {
        let various = |album: &Value| album["artist"] == "Various Artists";
        albums.len() == 3 && albums.iter().any(various)
    });
    let out = lab.dir.join("out");
    let to = out.to_str().expect("a path");

    let planned = lab.json(&["export", to, "--dry-run"]);
    assert_eq!(outcomes(&planned), ["would_fetch"; 7], "{planned:?}");
    assert!(!out.exists(), "a dry run makes nothing");

    // A stranger's file has the name of a song.
    let taken = out.join("Queen/Hits/01 hit.mp3");
    fs::create_dir_all(taken.parent().expect("a folder")).expect("folders");
    fs::write(&taken, "mine").expect("a file");
    assert_eq!(outcomes(&lab.json(&["export", to])), ["fetched"; 7]);
    assert_eq!(fs::read(&taken).expect("it"), b"mine");
    let files = files(&out);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let hit = names
        .iter()
        .find(|name| name.starts_with("Queen/Hits/01 hit ("));
    let hit = (*hit.expect("a name with digits of the id")).to_owned();
    let twin = names.iter().find(|name| name.starts_with("Twins/twin ("));
    let twin = *twin.expect("a name with digits of the id");
    let expected = [
        &hit,
        "Queen/Hits/01 hit.mp3",
        "Twins/TWIN.mp3",
        twin,
        "Unknown Artist/_._.._etc_passwd.mp3",
        "Various Artists/Bach/fugue.mp3",
        "Wagner/Ring/1-01 one.mp3",
        "Wagner/Ring/2-01 two.mp3",
    ];
    assert_eq!(names, expected);
    assert_same_bytes(&music, &files, &["Queen/Hits/01 hit.mp3"]);

    // One file is cut short, one is changed; both names stay theirs.
    fs::write(out.join(&hit), "cut").expect("a file");
    let fugue = out.join("Various Artists/Bach/fugue.mp3");
    let mut bytes = fs::read(&fugue).expect("a song");
    bytes[500] ^= 1;
    fs::write(&fugue, bytes).expect("a file");
    let quick = lab.json(&["export", to, "--quick", "--dry-run"]);
    assert_eq!(count(&quick, "there"), 6, "{quick:?}");
    let again = lab.json(&["export", to]);
    assert_eq!((count(&again, "there"), count(&again, "fetched")), (5, 2));
    assert_eq!(fs::read(out.join(&hit)).expect("it"), b"cut");
    let said = String::from_utf8(lab.ok(&["export", to])).expect("text");
    assert_eq!(said, "0 fetched (0 B), 7 there already, 0 missing\n");
}

/// A link never leads a song out of the folder; what cannot be written is missing, and the rest comes.
#[test]
fn a_link_leads_nowhere() {
    let mut lab = Lab::new("export-link");
    let (_names, mut data) = lab.cluster(1, 1);
    let music = lab.dir.join("music");
    fs::create_dir_all(&music).expect("a folder");
    corpus(&music);
    lab.ok(&["add", music.to_str().expect("a path")]);
    lab.await_lines(&["albums"], |albums| albums.len() == 3);
    let (out, elsewhere) = (lab.dir.join("out"), lab.dir.join("elsewhere"));
    fs::create_dir_all(&out).expect("a folder");
    fs::create_dir_all(&elsewhere).expect("a folder");
    symlink(&elsewhere, out.join("Queen")).expect("a link");
    let to = out.to_str().expect("a path");
    let said = lab.fails(&["export", to, "--json"], 1);
    assert!(said.contains("1 song missing"), "{said}");
    assert!(files(&elsewhere).is_empty());
    assert_eq!(files(&out).len(), 6);
    assert!(!out.join(".dispotify-export.part").exists());

    let by_id = lab.dir.join("by-id");
    let to = by_id.to_str().expect("a path");
    lab.ok(&["export", to, "--by", "id", "--search", "artist:wagner"]);
    let found = files(&by_id);
    assert_eq!(found.len(), 2, "{:?}", found.keys());
    let song = lab.json(&["search", "artist:wagner"]).remove(0);
    let id = song["id"].as_str().expect("an id");
    assert!(found.contains_key(&format!("{}/{id}.mp3", &id[..2])));
    let said = lab.fails(&["export", to, "--search", "nobody"], 1);
    assert!(said.contains("there is no such song"), "{said}");

    // The only copies are gone with their node: each song is named, and the command does not hang.
    data.remove(0).kill();
    let lost = lab.dir.join("lost");
    let output = lab.run(&["export", lost.to_str().expect("a path")]);
    assert!(!output.status.success());
}

fn outcomes(lines: &[Value]) -> Vec<&str> {
    (lines.iter().map(|line| &line["outcome"]))
        .filter_map(Value::as_str)
        .collect()
}

fn count(lines: &[Value], outcome: &str) -> usize {
    outcomes(lines).iter().filter(|o| **o == outcome).count()
}

/// The files below a folder, by their names below it.
fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("it is below");
            found.insert(name.display().to_string(), path.clone());
        }
    }
    found
}

/// The exported files are those that were added, but for those that were there before.
fn assert_same_bytes(music: &Path, files: &BTreeMap<String, PathBuf>, but: &[&str]) {
    let read = |path: &PathBuf| fs::read(path).expect("a file");
    let exported = files
        .iter()
        .filter(|(name, _)| !but.contains(&name.as_str()));
    let mut exported: Vec<Vec<u8>> = exported.map(|(_, path)| read(path)).collect();
    let mut added: Vec<Vec<u8>> = self::files(music).values().map(read).collect();
    exported.sort();
    added.sort();
    assert!(exported == added);
}

/// Seven songs: a box, a compilation, two whose names differ in case only, one with a name that
/// would like to be elsewhere.
fn corpus(music: &Path) {
    let mut number = 0;
    let mut file = |tags: &[(&[u8; 4], &str)]| {
        number += 1;
        sound::mp3_tagged(&music.join(format!("{number}.mp3")), tags, number);
    };
    for (disc, title) in [("1", "one"), ("2", "two")] {
        file(&[
            (b"TIT2", title),
            (b"TPE1", "Wagner"),
            (b"TALB", "Ring"),
            (b"TPOS", disc),
            (b"TRCK", "1"),
        ]);
    }
    file(&[
        (b"TIT2", "hit"),
        (b"TPE1", "Queen"),
        (b"TALB", "Hits"),
        (b"TRCK", "1"),
    ]);
    file(&[
        (b"TIT2", "fugue"),
        (b"TPE1", "Gould"),
        (b"TALB", "Bach"),
        (b"TCMP", "1"),
    ]);
    for title in ["twin", "TWIN"] {
        file(&[(b"TIT2", title), (b"TPE1", "Twins")]);
    }
    file(&[(b"TIT2", "../../etc/passwd")]);
}
