//! What comes from elsewhere: where it comes from, under which licences, how often, and who keeps it.
//!
//! The database of advisories cannot be reached where these tests run, so a person looks the packages
//! up. The list in the workspace's `Cargo.toml` says when that was done, and for which versions: it
//! ends to be true with the next update. See the page of these tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Only the registry of Rust, and this repository: neither another registry nor somebody's git.
#[test]
fn every_package_comes_from_the_registry() {
    for package in packages() {
        let source = package["source"].as_str();
        let own = source.is_none() && path(&package).starts_with(root());
        assert!(own || source == Some(REGISTRY), "{package:?}");
    }
}

/// Of what a package offers, one choice is on the list.
#[test]
fn every_licence_is_on_the_list() {
    let allowed = texts(&policy()["licences"]);
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or_default();
        let name = &package["name"];
        assert!(
            is_allowed(licence, &allowed),
            "{name}: {licence:?} is not on the list"
        );
    }
}

/// Each package in two versions has a reason, and no reason outlives its package.
#[test]
fn every_duplicate_has_a_reason() {
    let mut versions: BTreeMap<String, usize> = BTreeMap::new();
    for package in packages() {
        *versions.entry(text(&package["name"])).or_default() += 1;
    }
    let twice = versions.into_iter().filter(|(_, count)| *count > 1);
    let twice: BTreeSet<String> = twice.map(|(name, _)| name).collect();
    let known: BTreeSet<String> = entries(&policy()["duplicates"]).into_keys().collect();
    assert_eq!(
        twice, known,
        "the list in Cargo.toml, [workspace.metadata.dependencies.duplicates]"
    );
}

/// What nobody keeps any more is in the tree in the version that is listed, and explained to readers.
#[test]
fn what_is_unmaintained_is_named() {
    let all: BTreeSet<(String, String)> = packages()
        .iter()
        .map(|package| (text(&package["name"]), text(&package["version"])))
        .collect();
    let readme = fs::read_to_string(root().join("README.md")).expect("a README");
    for (name, version) in entries(&policy()["unmaintained"]) {
        assert!(
            readme.contains(&format!("`{name}`")),
            "the README is silent on {name}"
        );
        assert!(
            all.contains(&(name.clone(), version.clone())),
            "{name} {version} is not used"
        );
    }
}

/// The packages are those that were looked through.
#[test]
fn every_package_was_looked_up() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("a lock file");
    let named = lock.lines().filter(|line| {
        let of = |key| line.starts_with(&format!("{key} = "));
        of("name") || of("version") || of("checksum")
    });
    let named: String = named.flat_map(|line| [line, "\n"]).collect();
    let hash = blake3::hash(named.as_bytes()).to_hex();
    let known = &policy()["packages"];
    assert!(
        known == hash.as_str(),
        "Cargo.lock has changed: look its new versions up at rustsec.org, then write the day and \
         packages = \"{hash}\" into Cargo.toml, [workspace.metadata.dependencies]"
    );
}

/// Whether some choice of an expression like `MIT OR (Apache-2.0 AND ISC)` is allowed. An exception
/// (`WITH`) only adds rights.
fn is_allowed(licence: &str, allowed: &BTreeSet<String>) -> bool {
    let choices = licence.replace('/', " OR ");
    // `(A OR B) AND C`: every part must have a choice.
    let parts = choices.split(" AND ");
    let mut parts = parts.map(|part| part.trim_matches(['(', ')', ' ']));
    !licence.is_empty()
        && parts.all(|part| {
            let mut choices = part.split(" OR ");
            choices.any(|choice| {
                let name = choice.split(" WITH ").next().unwrap_or_default();
                allowed.contains(name.trim())
            })
        })
}

#[test]
fn a_choice_of_licences_is_read_rightly() {
    let allowed: BTreeSet<String> = ["MIT", "ISC"].map(String::from).into();
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "Apache-2.0/MIT",
        "(GPL-3.0 OR MIT) AND ISC",
    ] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(GPL-3.0 OR MIT) AND Apache-2.0",
    ] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}

/// The packages of this platform, as cargo resolves them without a network.
fn packages() -> Vec<Value> {
    metadata()["packages"]
        .as_array()
        .cloned()
        .expect("a list of packages")
}

fn policy() -> Value {
    metadata()["metadata"]["dependencies"].clone()
}

fn metadata() -> Value {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let told = Command::new(rustc).arg("-vV").output().expect("rustc runs");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--offline"]);
    cargo.args(["--filter-platform", host.expect("a platform")]);
    let output = cargo.current_dir(root()).output().expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn entries(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().expect("a table in Cargo.toml");
    entries
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

fn texts(value: &Value) -> BTreeSet<String> {
    value
        .as_array()
        .expect("a list in Cargo.toml")
        .iter()
        .map(text)
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn path(package: &Value) -> PathBuf {
    PathBuf::from(text(&package["manifest_path"]))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
}

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
