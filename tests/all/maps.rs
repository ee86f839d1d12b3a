//! The maps are true: each crate's page names files that exist, and every source file of the
//! libraries.
//!
//! A name is a word in backticks that ends in `/` or in the suffix of a file. It is looked for in
//! the folder named before it on the same line, in the sources of the crate, in the crate, and in
//! the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The crates with a page.
const PAGES: [&str; 6] = ["roles", "net", "storage", "bin", "tools", "tests"];

/// The crates whose pages name every source file.
const COMPLETE: [&str; 3] = ["roles", "net", "storage"];

/// What a word must end in to be the name of a file.
const SUFFIXES: [&str; 7] = [".rs", ".toml", ".md", ".html", ".css", ".js", "/"];

/// A reader who follows a name finds a file.
#[test]
fn every_file_that_a_page_names_exists() {
    let lost: Vec<String> = PAGES
        .into_iter()
        .flat_map(|krate| named(krate).into_iter().map(move |name| (krate, name)))
        .filter(|(_, (_, found))| found.is_none())
        .map(|(krate, (name, _))| format!("{krate}/README.md: {name}"))
        .collect();
    assert!(lost.is_empty(), "there is no such file: {lost:#?}");
}

/// A file that nobody has described does not land.
#[test]
fn every_source_file_of_the_libraries_is_named() {
    for krate in COMPLETE {
        let named: BTreeSet<PathBuf> = named(krate).into_iter().filter_map(|(_, f)| f).collect();
        let missing: Vec<PathBuf> = sources(&root().join(krate).join("src"))
            .into_iter()
            .filter(|file| !named.contains(file) && !file.ends_with("src/lib.rs"))
            .collect();
        assert!(
            missing.is_empty(),
            "{krate}/README.md does not name: {missing:#?}"
        );
    }
}

/// The README of the repository leads to every page.
#[test]
fn every_page_is_linked() {
    let readme = read(&root().join("README.md"));
    for krate in PAGES {
        let link = format!("]({krate}/README.md)");
        assert!(readme.contains(&link), "the README has no link {link}");
    }
}

/// The page is what `cargo doc` shows.
#[test]
fn every_page_is_the_documentation_of_its_crate() {
    let roots = [
        "roles/src/lib.rs",
        "net/src/lib.rs",
        "storage/src/lib.rs",
        "bin/src/main.rs",
        "tools/src/simulate.rs",
        "tests/src/lib.rs",
    ];
    for file in roots {
        let source = read(&root().join(file));
        assert!(
            source.starts_with("#![doc = include_str!(\"../README.md\")]"),
            "{file} does not include its page"
        );
    }
}

/// Each name on a crate's page, and the file or folder that it leads to.
fn named(krate: &str) -> Vec<(String, Option<PathBuf>)> {
    let home = root().join(krate);
    let mut names = Vec::new();
    for line in outside_of_code(&read(&home.join("README.md"))) {
        let mut folder = None;
        for name in words_in_backticks(line).filter(|word| is_a_name(word)) {
            let places = [
                folder.clone(),
                Some(home.join("src")),
                Some(home.clone()),
                Some(root()),
            ];
            let found = (places.into_iter().flatten())
                .map(|place| place.join(name))
                .find(|path| path.exists());
            if name.ends_with('/') {
                folder = found.clone();
            }
            names.push((name.to_owned(), found));
        }
    }
    names
}

/// The lines of a page that are not in a block of code.
fn outside_of_code(page: &str) -> Vec<&str> {
    let mut code = false;
    let mut lines = Vec::new();
    for line in page.lines() {
        if line.starts_with("```") {
            code = !code;
        } else if !code {
            lines.push(line);
        }
    }
    lines
}

fn words_in_backticks(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Whether a word is a path below the repository: no blanks, no web path, a suffix of a file.
fn is_a_name(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    word.chars().all(plain)
        && !word.starts_with('/')
        && !word.starts_with('.')
        && SUFFIXES.iter().any(|suffix| word.ends_with(suffix))
}

/// The source files below a folder, without tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of sources");
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry of a folder of sources").path();
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() && !is_test {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|suffix| suffix == "rs") && !is_test {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The repository: this package is one folder below it.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("a package in a workspace").to_owned()
}
