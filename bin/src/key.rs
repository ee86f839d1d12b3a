//! The cluster key, and those for one purpose derived from it: reads them, refuses what is none,
//! creates the first one for `serve`, and changes the file of one that takes the place of another.
//!
//! A refusal comes at once and says what is wrong with the file. Nothing is read from a pipe or a
//! device, because that could take for ever.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use net::DerivedKey;
use rand::TryRng;
use rand::rngs::SysRng;
use roles::contract::rights::Right;
use storage::private;

use crate::failure::Failure;

/// A secret of 256 bits that all nodes of a cluster share.
pub(crate) type ClusterKey = [u8; 32];

/// The cluster keys that count while one takes the place of another: at least one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeyRing {
    /// The one by which this process dials.
    pub(crate) first: ClusterKey,
    /// Those that it accepts as well.
    pub(crate) others: Vec<ClusterKey>,
}

/// Most keys that count at once: each costs the listener a few hashes for every connection.
pub(crate) const KEYS_MAX: usize = 4;

impl KeyRing {
    /// A single key.
    pub(crate) fn of(first: ClusterKey) -> Self {
        KeyRing {
            first,
            others: Vec::new(),
        }
    }

    /// All keys, the one by which this process dials in front.
    pub(crate) fn all(&self) -> impl Iterator<Item = &ClusterKey> {
        [&self.first].into_iter().chain(&self.others)
    }
}

/// What a key file holds.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Key {
    Cluster(KeyRing),
    Derived(DerivedKey),
}

/// Reads the keys of a file, a line each; it may end in a newline. In a variable of the environment
/// commas part them as well. The error says why a text is no key.
pub(crate) fn parse(text: &str) -> Result<Key, &'static str> {
    let text = text.trim_end_matches(['\n', '\r']);
    if let Some((purpose, rest)) = text.split_once(':') {
        return derived(purpose, rest).map(Key::Derived).ok_or(NO_DERIVED);
    }
    let lines = text.split(['\n', ',']);
    let keys: Vec<ClusterKey> = lines.map(cluster_key).collect::<Result<_, _>>()?;
    if keys.len() > KEYS_MAX {
        return Err("it has more than four keys: remove those that nobody uses any more");
    }
    match keys.split_first() {
        Some((first, others)) if !others.contains(first) => Ok(Key::Cluster(KeyRing {
            first: *first,
            others: others.to_vec(),
        })),
        Some(_) | None => Err("it has the same key twice"),
    }
}

fn cluster_key(line: &str) -> Result<ClusterKey, &'static str> {
    let key = digits(line.trim_end_matches('\r')).ok_or("it is not 64 hexadecimal digits")?;
    if key == ClusterKey::default() {
        return Err("it is all zeros, which everybody can guess: take a random key");
    }
    Ok(key)
}

/// What tells keys apart and reveals nothing else about them: `3f2a-91bc-07de`.
pub(crate) fn fingerprint(secret: &[u8; 32]) -> String {
    let hash = blake3::derive_key("dispotify 2026-11 fingerprint of a key", secret);
    let parts: Vec<String> = (hash[..6].chunks(2))
        .map(|pair| format!("{:02x}{:02x}", pair[0], pair[1]))
        .collect();
    parts.join("-")
}

/// A derived key as its file has it: purpose, secret, and the public key of the nodes.
pub(crate) fn derived_text(key: &DerivedKey) -> String {
    format!("{}:{}:{}", key.right, hex(&key.secret), hex(&key.nodes))
}

fn derived(purpose: &str, rest: &str) -> Option<DerivedKey> {
    let (secret, nodes) = rest.split_once(':')?;
    Some(DerivedKey {
        right: Right::from_name(purpose)?,
        secret: digits(secret)?,
        nodes: digits(nodes)?,
    })
}

const NO_DERIVED: &str =
    "it is not a line of `dispotify key derive`: a purpose and twice 64 hexadecimal digits";

pub(crate) fn hex(key: &[u8; 32]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digits(digits: &str) -> Option<[u8; 32]> {
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(key)
}

/// Reads a key file. A file that others than its owner may read is refused, and so is what is no
/// file.
pub(crate) fn load(path: &Path) -> Result<Key, Failure> {
    let attempt = format!("read key file {}", path.display());
    let meta = fs::metadata(path).map_err(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            return Failure::failed(&attempt, error);
        }
        Failure::Failed(format!(
            "{attempt}: not there (copy it from a machine of the cluster, or give --key-file; \
             `dispotify serve` makes the first one)"
        ))
    })?;
    // Even the opening of a pipe would wait until somebody writes to it.
    if !meta.is_file() {
        let why = "it is not a regular file (a pipe, a device and a folder hold no key)";
        return Err(Failure::failed(attempt, why));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        let cure = format!("others may read it (chmod 600 {})", path.display());
        return Err(Failure::failed(attempt, cure));
    }
    let text = read(path).map_err(|error| Failure::failed(&attempt, error))?;
    parse(&text).map_err(|why| Failure::failed(attempt, why))
}

/// The beginning of a file as text. What is longer than a key is none, however long it is.
fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads a key file; creates it with a random key when it is missing.
pub(crate) fn load_or_make(path: &Path) -> Result<Key, Failure> {
    if path.exists() {
        return load(path);
    }
    make(path)
        .map(|key| Key::Cluster(KeyRing::of(key)))
        .map_err(|error| Failure::failed(format!("make key file {}", path.display()), error))
}

/// A key that nobody has yet.
pub(crate) fn random() -> io::Result<ClusterKey> {
    let mut key = ClusterKey::default();
    SysRng.try_fill_bytes(&mut key).map_err(io::Error::other)?;
    Ok(key)
}

/// Replaces the keys of a file, all at once. Who reads it meanwhile gets the old ones or the new ones.
pub(crate) fn replace(path: &Path, ring: &KeyRing) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let mut part = path.clone().into_os_string();
    part.push(".part");
    let part = std::path::PathBuf::from(part);
    let mut file = private::create(&part)?;
    let written = ring
        .all()
        .try_for_each(|key| writeln!(file, "{}", hex(key)))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&part, &path));
    if written.is_err() {
        // The error that is told is the first one.
        let _ = fs::remove_file(&part);
    }
    written
}

fn make(path: &Path) -> io::Result<ClusterKey> {
    let key = random()?;
    if let Some(folder) = path.parent() {
        private::make_dir(folder)?;
    }
    let mut file = private::create_new(path)?;
    writeln!(file, "{}", hex(&key))?;
    file.sync_all()?;
    Ok(key)
}

/// More than the most keys and their newlines.
const FILE_BYTES_MAX: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_digits_and_perhaps_a_newline() {
        let digits = "0f".repeat(32);
        let key = Key::Cluster(KeyRing::of([15; 32]));
        assert!(parse(&digits) == Ok(key.clone()));
        assert!(parse(&format!("{digits}\n")) == Ok(key));
        for wrong in [&format!(" {digits}"), &digits[1..], &"é".repeat(32)] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    /// While one key takes the place of another, a file has both.
    #[test]
    fn a_file_has_several_keys() {
        let (old, new) = ("0f".repeat(32), "a1".repeat(32));
        let both = Key::Cluster(KeyRing {
            first: [15; 32],
            others: vec![[0xa1; 32]],
        });
        for text in [
            format!("{old}\n{new}\n"),
            format!("{old}\r\n{new}"),
            format!("{old},{new}"),
        ] {
            assert!(parse(&text) == Ok(both.clone()), "{text}");
        }
        for wrong in [
            format!("{old}\n\n{new}"),
            format!("{old}\n{old}"),
            format!("{old}\nx"),
        ] {
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
        let many: Vec<String> = (1..=5).map(|n| format!("{n:02x}").repeat(32)).collect();
        assert!(parse(&many[..4].join("\n")).is_ok() && parse(&many.join("\n")).is_err());
    }

    #[test]
    fn a_derived_key_names_its_purpose() {
        let key = DerivedKey::of(&[1; 32], Right::Upload).expect("a purpose of its own");
        let text = derived_text(&key);
        assert!(text.starts_with("upload:") && text.len() < FILE_BYTES_MAX as usize);
        assert!(parse(&format!("{text}\n")) == Ok(Key::Derived(key)));
        for wrong in [&text[..70], &text.replace("upload", "node"), "listen:"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
