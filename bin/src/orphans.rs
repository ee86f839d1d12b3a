//! Folders that killed processes left behind.

use std::fs;
use std::path::Path;

/// Removes the folders in `base` named `prefix` and the number of a process that lives no longer.
/// Where it cannot be told who lives, nothing is removed.
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
            // Somebody else's folder stays, and that is right.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
