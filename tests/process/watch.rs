//! Folders that are watched: what comes into them is in the library, whole, and once.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use super::lab::Lab;
use super::sound;

/// A watcher; killed when dropped.
struct Watcher(Child);

impl Watcher {
    fn start(lab: &Lab, folder: &Path) -> Self {
        let mut command = lab.command(&["watch", folder.to_str().expect("a path")]);
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        thread::spawn(move || out.lines().for_each(drop));
        Watcher(child)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes a song that looks as if it had been there for long.
fn old(path: &Path, tone: f32) {
    sound::wav(path, 1, tone);
    let file = File::options().append(true).open(path).expect("a song");
    let hour = Duration::from_secs(3600);
    file.set_modified(SystemTime::now() - hour).expect("a time");
}

fn await_titles(lab: &Lab, mut titles: Vec<&str>) {
    titles.sort_unstable();
    lab.await_lines(&["ls"], |songs| {
        let mut there: Vec<&str> = songs.iter().filter_map(|s| s["title"].as_str()).collect();
        there.sort_unstable();
        there == titles
    });
}

/// What is there, what is moved in, what is written into a folder that came later; a file that grows
/// is added once, when its writer is done. What was removed does not come back with the next start.
#[test]
fn what_comes_into_a_watched_folder_is_added_whole() {
    let mut lab = Lab::new("watch");
    let _cluster = lab.cluster(1, 2);
    let music = lab.dir.join("music");
    fs::create_dir_all(&music).expect("a folder");
    old(&music.join("there.wav"), 300.0);
    let watcher = Watcher::start(&lab, &music);
    await_titles(&lab, vec!["there"]);

    sound::wav(&lab.dir.join("moved.wav"), 1, 400.0);
    fs::rename(lab.dir.join("moved.wav"), music.join("moved.wav")).expect("movable");
    sound::wav(&lab.dir.join("whole.wav"), 2, 500.0);
    let whole = fs::read(lab.dir.join("whole.wav")).expect("a song");
    let mut grows = File::create(music.join("grows.wav")).expect("a file");
    grows.write_all(&whole[..100_000]).expect("a part");
    let later = music.join("later/disc 1");
    fs::create_dir_all(&later).expect("folders");
    old(&later.join("written.wav"), 600.0);
    await_titles(&lab, vec!["there", "moved", "written"]);
    grows.write_all(&whole[100_000..]).expect("the rest");
    drop(grows);
    await_titles(&lab, vec!["there", "moved", "written", "grows"]);
    let id = lab.id_of("grows");
    assert!(lab.ok(&["play", &id, "--stdout"]) == whole);

    // A file is no mirror of a song: deleted here, it stays there; removed there, it stays removed.
    drop(watcher);
    fs::remove_file(music.join("moved.wav")).expect("removable");
    lab.ok(&["rm", &lab.id_of("there")]);
    let _watcher = Watcher::start(&lab, &music);
    old(&music.join("next.wav"), 700.0);
    await_titles(&lab, vec!["moved", "written", "grows", "next"]);
    assert_eq!(lab.json(&["trash"]).len(), 1);
}

/// A watcher outlives the cluster: what came meanwhile is added when it is back. `serve` watches, too.
#[test]
fn a_watcher_waits_for_its_cluster() {
    let mut lab = Lab::new("watch-wait");
    let (mut names, _data) = lab.cluster(1, 1);
    let music = lab.dir.join("music");
    fs::create_dir_all(&music).expect("a folder");
    let _watcher = Watcher::start(&lab, &music);
    old(&music.join("first.wav"), 300.0);
    await_titles(&lab, vec!["first"]);
    names[1].kill();
    old(&music.join("second.wav"), 400.0);
    lab.fails(&["ls"], 3);
    let _router = lab.restart(&names[1], "router0");
    await_titles(&lab, vec!["first", "second"]);

    let said = lab.fails(&["watch", "/nowhere"], 1);
    assert!(said.contains("watch /nowhere: No such file"), "{said}");
    let file = music.join("first.wav");
    let said = lab.fails(&["watch", file.to_str().expect("a path")], 1);
    assert!(said.contains("it is not a folder"), "{said}");
}
