//! Removes folders that killed processes have left behind.

use std::fs;
use std::path::Path;

/// Removes each folder in `base` whose name is `prefix` plus the id of a dead process. Where
/// liveness cannot be told, removes nothing.
pub(crate) fn remove(base: &Path, prefix: &str) {
    let processes = Path::new("/proc");
    if !processes.join("self").exists() {
        return;
    }
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(prefix));
        let number = process.and_then(|digits| digits.parse::<u32>().ok());
        if number.is_some_and(|number| !processes.join(number.to_string()).exists()) {
            // Another user's folder cannot be removed, and should not be.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
