//! What lies on the disk, and what other programs are given, is for the owner alone.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::lab::{Lab, dispotify, failure, within, write_key};
use super::sound;

/// A node and a client start with the most generous umask, in folders and files that all may read:
/// afterwards nobody but the owner reads anything.
#[test]
fn data_and_cache_are_private() {
    let mut lab = Lab::new("private");
    let cache = lab.dir.join("cache/dispotify");
    for folder in [lab.dir.join("data0"), cache.clone()] {
        fs::create_dir_all(&folder).expect("a folder");
        set_mode(&folder, 0o777);
    }
    let library = lab.dir.join("data0/library.db");
    fs::write(&library, "").expect("a file");
    set_mode(&library, 0o666);
    let dns = lab.start("dns", "dns", &[]);
    lab.use_dns(&dns.address);
    let _router = lab.start("router", "router0", &[]);
    let mut node = with_umask_0(&lab, &["node", "data", "--host", "127.0.0.1"]);
    node.args(["--port", "0", "--data-dir"])
        .arg(lab.dir.join("data0"));
    let _data = lab.spawn(node);
    let file = lab.dir.join("tone.wav");
    sound::wav(&file, 3, 440.0);
    lab.await_status("all are there", |status| {
        status["nodes"]
            .as_array()
            .is_some_and(|nodes| nodes.len() == 3)
    });
    lab.ok(&["add", file.to_str().expect("a path")]);
    let got = with_umask_0(&lab, &["get", &lab.id_of("tone"), "-o", "-"]).output();
    assert!(got.expect("it runs").status.success());

    let open: Vec<PathBuf> = [lab.dir.join("data0"), cache]
        .iter()
        .flat_map(|folder| below(folder))
        .filter(|path| mode(path) != if path.is_dir() { 0o700 } else { 0o600 })
        .collect();
    assert!(open.is_empty(), "{open:?}");
}

/// `get -o` replaces a file in one step and keeps its rights; a file that is made has those that the
/// umask gives.
#[test]
fn a_replaced_file_keeps_its_mode() {
    let mut lab = Lab::new("get-mode");
    let _cluster = lab.cluster(1, 1);
    let file = lab.dir.join("tone.wav");
    sound::wav(&file, 3, 440.0);
    lab.ok(&["add", file.to_str().expect("a path")]);
    let id = lab.id_of("tone");
    for before in [0o600, 0o640, 0o444, 0o666] {
        let target = lab.dir.join(format!("{before:o}.wav"));
        fs::write(&target, "another song").expect("a file");
        set_mode(&target, before);
        let inode = fs::metadata(&target).expect("it is there").ino();
        lab.ok(&["get", &id, "-o", target.to_str().expect("a path")]);
        assert_eq!(mode(&target), before);
        assert_ne!(fs::metadata(&target).expect("it is there").ino(), inode);
    }
    let made = lab.dir.join("made.wav");
    let made = made.to_str().expect("a path");
    let got = with_umask_0(&lab, &["get", &id, "-o", made]).output();
    assert!(got.expect("it runs").status.success());
    assert_eq!(mode(Path::new(made)), 0o666);
}

/// The player is another program: it learns neither the key nor anything else of the cluster.
#[test]
fn a_player_gets_no_key() {
    let mut lab = Lab::new("player-key");
    let _cluster = lab.cluster(1, 1);
    let file = lab.dir.join("tone.wav");
    sound::wav(&file, 3, 440.0);
    lab.ok(&["add", file.to_str().expect("a path")]);
    let (script, told) = (lab.dir.join("player.sh"), lab.dir.join("told"));
    let text = format!("env > {}; cat > /dev/null", told.display());
    fs::write(&script, text).expect("a script");
    let player = format!("sh {}", script.display());
    let mut play = lab.command(&["play", &lab.id_of("tone")]);
    play.env("DISPOTIFY_KEY", "5e".repeat(32))
        .env("DISPOTIFY_PLAYER", player);
    let played = play.output().expect("it runs");
    assert!(played.status.success(), "{played:?}");

    let told = fs::read_to_string(told).expect("the player has run");
    assert!(told.contains("PATH="), "{told}");
    assert!(!told.contains("DISPOTIFY_"), "{told}");
}

/// A key of zeros is a mistake of a script, and a pipe or a device would be waited for: each is
/// refused at once, by a node, by `serve` and by a command.
#[test]
fn what_is_no_key_is_refused_at_once() {
    let lab = Lab::new("no-key");
    let (zeros, pipe) = (lab.dir.join("zeros"), lab.dir.join("pipe"));
    write_key(&zeros, "00");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo runs").success());
    set_mode(&pipe, 0o600);
    let cases = [
        (zeros, "all zeros"),
        (pipe, "not a regular file"),
        ("/dev/zero".into(), "not a regular file"),
        (lab.dir.clone(), "not a regular file"),
    ];
    for (file, why) in cases {
        for words in [
            &["ls", "--dns", "127.0.0.1:1"][..],
            &[
                "serve",
                "--port",
                "0",
                "--web",
                "off",
                "--data-dir",
                "never",
            ],
        ] {
            let mut command = lab.command(words);
            command.current_dir(&lab.dir).arg("--key-file").arg(&file);
            let said = failure(ends(command), 1);
            assert!(said.contains(why), "{}: {said}", file.display());
        }
    }
    let mut ls = Command::new(dispotify());
    ls.args(["ls", "--dns", "127.0.0.1:1"]);
    ls.env("HOME", &lab.dir)
        .env("DISPOTIFY_KEY", "0".repeat(64));
    let said = failure(ends(ls), 2);
    assert!(said.contains("all zeros"), "{said}");
}

/// The output of a command that ends by itself.
fn ends(mut command: Command) -> Output {
    let output = within(super::lab::PATIENCE, move || command.output());
    output.expect("it ends").expect("it runs")
}

/// A command of the lab whose umask takes nothing away.
fn with_umask_0(lab: &Lab, words: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0; exec \"$@\"", "sh"]);
    command.arg(dispotify());
    lab.dress(&mut command);
    command.args(words);
    command
}

/// A folder and all that lies in it, however deep.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            found.extend(below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    let meta = fs::metadata(path).expect("it is there");
    meta.permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is our own");
}
