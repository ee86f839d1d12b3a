//! Folders and files that only their owner may read.
//!
//! What is made here has the mode 0700 or 0600, whatever the umask of the process is. Where a file
//! system has no modes, or the folder belongs to somebody else, nobody is stopped: the mode then
//! stays as it is, and a log line says so for a folder.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Makes a folder and its missing parents, each with the mode 0700. A folder that is there keeps its
/// mode.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        make_dir(parent)?;
    }
    match create_dir(dir) {
        // Another process that starts at the same moment may have been quicker.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        made => made,
    }
}

/// Makes a folder with the mode 0700 where nothing is yet: nobody else has put anything into it.
pub fn create_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIR).create(dir)?;
    // A umask may have taken rights of the owner, who could then put nothing into the folder. Where a
    // file system has no modes, this fails and is not needed.
    let _ = fs::set_permissions(dir, Permissions::from_mode(DIR));
    Ok(())
}

/// Makes a folder like [`make_dir`], and takes all rights in one that is there from other users. A
/// folder like `/tmp`, which many users share on purpose, keeps its mode.
pub fn claim_dir(dir: &Path) -> io::Result<()> {
    make_dir(dir)?;
    let mode = fs::metadata(dir)?.permissions().mode();
    if mode & 0o7777 == DIR || mode & STICKY != 0 {
        return Ok(());
    }
    if let Err(error) = fs::set_permissions(dir, Permissions::from_mode(DIR)) {
        log::warn!("folder open to others dir={} error={error}", dir.display());
    }
    Ok(())
}

/// Takes the rights of other users from the files that lie directly in a folder. Files in a folder
/// that many users share keep theirs.
pub(crate) fn claim_files(dir: &Path) {
    let shared = fs::metadata(dir).map_or(true, |meta| meta.permissions().mode() & STICKY != 0);
    if shared {
        return;
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        // This look does not follow a link: what lies elsewhere is not touched.
        let Ok(meta) = entry.metadata() else { continue };
        let mode = meta.permissions().mode() & 0o7777;
        if meta.is_file() && mode & OTHERS != 0 {
            // The folder is closed to others, so a file that stays open to them is out of reach.
            let _ = fs::set_permissions(entry.path(), Permissions::from_mode(mode & !OTHERS));
        }
    }
}

/// Creates a file with the mode 0600, or empties the one that is there and gives it that mode.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    open(path, options.write(true).create(true).truncate(true))
}

/// Creates a file with the mode 0600 where there is none yet.
pub fn create_new(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().write(true).create_new(true))
}

/// Opens a file; gives it the mode 0600, whether it is made by these options or was there.
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.mode(FILE).open(path)?;
    let meta = file.metadata()?;
    if meta.is_file() && meta.permissions().mode() & 0o7777 != FILE {
        // Where a file system has no modes, every file would be refused.
        let _ = file.set_permissions(Permissions::from_mode(FILE));
    }
    Ok(file)
}

const DIR: u32 = 0o700;
const FILE: u32 = 0o600;

/// The rights of the group and of all others.
const OTHERS: u32 = 0o077;

/// The mode bit of a folder in which each user removes only the user's own files.
const STICKY: u32 = 0o1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TempDir, mode, set_mode};

    /// A folder that many users share is not taken from them, nor are the files in it.
    #[test]
    fn a_shared_folder_stays_shared() {
        let dir = TempDir::new();
        let file = dir.path().join("theirs");
        fs::write(&file, "").expect("our own directory");
        set_mode(&file, 0o644);
        set_mode(dir.path(), 0o1777);

        claim_dir(dir.path()).expect("it is there");
        claim_files(dir.path());

        assert_eq!((mode(dir.path()), mode(&file)), (0o1777, 0o644));
    }

    /// The owner's own rights stay, so a program that lies in the folder can still be run.
    #[test]
    fn files_of_a_folder_are_closed_to_others_only() {
        let dir = TempDir::new();
        let file = dir.path().join("program");
        fs::write(&file, "").expect("our own directory");
        set_mode(&file, 0o755);

        claim_files(dir.path());

        assert_eq!(mode(&file), 0o700);
    }

    #[test]
    fn missing_parents_are_private_too() {
        let dir = TempDir::new();
        let deep = dir.path().join("a/b/c");

        make_dir(&deep).expect("our own directory");

        for made in ["a", "a/b", "a/b/c"] {
            assert_eq!(mode(&dir.path().join(made)), 0o700, "{made}");
        }
    }
}
