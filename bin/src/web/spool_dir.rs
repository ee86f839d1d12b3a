//! A folder of this process below a folder that others share; made when it is first needed, and
//! removed with this value.

use std::fs;
use std::io;
use std::path::PathBuf;

use storage::{disk_space, private};

use crate::stale_dirs;

#[derive(Debug)]
pub(super) struct SpoolDir {
    base: PathBuf,
    prefix: &'static str,
    own: Option<PathBuf>,
}

impl SpoolDir {
    pub(super) fn new(base: PathBuf, prefix: &'static str) -> Self {
        SpoolDir {
            base,
            prefix,
            own: None,
        }
    }

    /// The folder, which is there.
    pub(super) fn path(&mut self) -> io::Result<PathBuf> {
        if let Some(own) = &self.own {
            return Ok(own.clone());
        }
        private::make_dir(&self.base)?;
        stale_dirs::remove(&self.base, self.prefix);
        let own = format!("{}{}", self.prefix, std::process::id());
        let own = self.base.join(own);
        // A leftover folder with this process id belongs to an earlier, dead process.
        let _ = fs::remove_dir_all(&own);
        private::create_dir(&own)?;
        self.own = Some(own.clone());
        Ok(own)
    }

    /// An error of a write here in words that say what to do.
    pub(super) fn in_words(&self, error: io::Error) -> io::Error {
        let words = disk_space::in_words(&self.base, &error);
        io::Error::new(error.kind(), words)
    }
}

impl Drop for SpoolDir {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            let _ = fs::remove_dir_all(own);
        }
    }
}
