//! The cluster key: finds and reads it, and creates the first one for `serve`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rand::TryRng;
use rand::rngs::SysRng;

use crate::failure::Failure;

/// A secret of 256 bits that all nodes and clients of a cluster share.
pub(crate) type Key = [u8; 32];

/// Reads 64 hexadecimal digits; a key file may end in a newline.
pub(crate) fn parse(text: &str) -> Option<Key> {
    let digits = text.trim_end_matches(['\n', '\r']);
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

/// Reads a key file. A file that others than its owner may read is refused.
pub(crate) fn load(path: &Path) -> Result<Key, Failure> {
    let attempt = format!("read key file {}", path.display());
    let text = fs::read_to_string(path).map_err(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            return Failure::failed(&attempt, error);
        }
        Failure::Failed(format!(
            "{attempt}: not there (copy it from a machine of the cluster, or give --key-file; \
             `dispotify serve` makes the first one)"
        ))
    })?;
    let mode = fs::metadata(path).map_or(0, |meta| meta.permissions().mode());
    if mode & 0o077 != 0 {
        let cure = format!("others may read it (chmod 600 {})", path.display());
        return Err(Failure::failed(attempt, cure));
    }
    parse(&text).ok_or_else(|| Failure::failed(attempt, "it is not 64 hexadecimal digits"))
}

/// Reads a key file; creates it with a random key when it is missing.
pub(crate) fn load_or_make(path: &Path) -> Result<Key, Failure> {
    if path.exists() {
        return load(path);
    }
    make(path).map_err(|error| Failure::failed(format!("make key file {}", path.display()), error))
}

fn make(path: &Path) -> io::Result<Key> {
    let mut key = Key::default();
    SysRng.try_fill_bytes(&mut key).map_err(io::Error::other)?;
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{digits}")?;
    file.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_digits_and_perhaps_a_newline() {
        let digits = "0f".repeat(32);
        assert_eq!(parse(&digits), Some([15; 32]));
        assert_eq!(parse(&format!("{digits}\n")), Some([15; 32]));
        assert_eq!(parse(&format!(" {digits}")), None);
        assert_eq!(parse(&digits[1..]), None);
        assert_eq!(parse(&"é".repeat(32)), None);
    }
}
