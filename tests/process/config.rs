//! Configuration files, by the real program: what they say counts, and what is wrong in them is told.

use std::fs;

use super::lab::Lab;

/// A node is told by a file where it runs; a flag wins over the environment, that over the file.
#[test]
fn a_node_runs_by_its_file() {
    let mut lab = Lab::new("config");
    let _cluster = lab.cluster(1, 1);
    let data = lab.dir.join("by-file");
    let folder = lab.dir.join("config/dispotify");
    fs::create_dir_all(&folder).expect("a folder");
    let text = format!(
        "cluster = \"other\"\nlog = \"warn\"\n[node]\nhost = \"127.0.0.1\"\n[node.data]\nport = 0\ndata-dir = {:?}\n\
         [set]\nresolve.refresh = \"700ms\"\nring.beat = \"2s\"\n",
        data.display().to_string()
    );
    fs::write(folder.join("config.toml"), text).expect("a file");
    let mut command = lab.command(&["node", "data", "--cluster", "dispotify"]);
    command.env("DISPOTIFY_LOG", "error");
    let node = lab.spawn(command);
    assert!(node.address.starts_with("127.0.0.1:") && data.join("library.db").exists());

    let mut command = lab.command(&["config", "show", "--json", "--set", "ring.beat=3s"]);
    command
        .env("DISPOTIFY_LOG", "error")
        .env("DISPOTIFY_PRESET", "wan");
    let shown = command.output().expect("it runs");
    let shown = String::from_utf8(shown.stdout).expect("text");
    let file = folder.join("config.toml").display().to_string();
    for (name, value, from) in [
        ("cluster", "other", format!("{file}:1")),
        ("log", "error", "DISPOTIFY_LOG".to_owned()),
        ("preset", "wan", "DISPOTIFY_PRESET".to_owned()),
        ("set.resolve.refresh", "700ms", format!("{file}:9")),
        ("set.ring.beat", "3s", "--set".to_owned()),
        ("set.ring.alone", "12s", "preset wan".to_owned()),
        ("set.repair.grace", "5m", "default".to_owned()),
        ("node.data.port", "0", format!("{file}:6")),
    ] {
        let line = format!("{{\"name\":\"{name}\",\"value\":\"{value}\",\"from\":\"{from}\"}}");
        assert!(shown.contains(&line), "{line}\n{shown}");
    }
}

/// A broken file stops every command with its first fault; `config check` tells all of them.
#[test]
fn a_broken_file_is_told_with_its_lines() {
    let lab = Lab::new("config-broken");
    let file = lab.dir.join("c.toml");
    fs::write(&file, "wieght = 2\n[node]\nport = \"x\"\n").expect("a file");
    let path = file.to_str().expect("a path");
    let said = lab.fails(&["--config", path, "ls"], 2);
    assert!(
        said.contains("c.toml:1: there is no wieght: is node.weight meant?"),
        "{said}"
    );
    assert!(said.contains("see `dispotify config check`"), "{said}");
    let checked = lab.run(&["config", "check", path]);
    assert_eq!(checked.status.code(), Some(1));
    let lines = String::from_utf8(checked.stdout).expect("text");
    assert!(
        lines.contains("c.toml:3: node.port: invalid value 'x'"),
        "{lines}"
    );
    fs::write(&file, "[node]\nweight = 2\n").expect("a file");
    let checked = lab.ok(&["config", "check", path]);
    assert!(String::from_utf8_lossy(&checked).ends_with("c.toml: fine\n"));
    let said = lab.fails(&["ls", "--config", "/nowhere/c.toml"], 2);
    assert!(said.contains("/nowhere/c.toml: No such file"), "{said}");
    // An empty name is no file, not even that of the user.
    lab.ok(&["config", "show", "--config", ""]);
    let said = lab.fails(&["ls", "--set", "ring.biet=1s"], 2);
    assert!(said.contains("is ring.beat meant?"), "{said}");
}
