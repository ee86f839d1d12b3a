//! The subcommands of the command line, and their output helpers.

pub(crate) mod add;
mod add_preview;
pub(crate) mod albums;
mod chosen;
pub(crate) mod config;
pub(crate) mod export;
pub(crate) mod find_cover;
pub(crate) mod get;
pub(crate) mod health;
pub(crate) mod info;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod listener;
pub(crate) mod manual;
pub(crate) mod play;
pub(crate) mod playlist;
pub(crate) mod resolve;
pub(crate) mod rm;
pub(crate) mod star;
pub(crate) mod status;
pub(crate) mod trash;
pub(crate) mod verify;
pub(crate) mod watch;
mod whole;

use std::io::{self, Write};
use std::path::Path;

use net::http::percent;
use serde::Serialize;

use crate::failure::{Failure, output};

/// Writes one JSON object on a line of its own.
fn json_line(value: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_vec(value).map_err(|error| output(error.into()))?;
    line.push(b'\n');
    write_all(&line)
}

/// Writes to standard output.
fn write_all(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(output)
}

/// A path in JSON. The field names are a public interface.
#[derive(Serialize)]
struct FileFields {
    file: String,
    /// The bytes of the path, percent-encoded; only where `file` cannot show them.
    #[serde(skip_serializing_if = "Option::is_none")]
    file_bytes: Option<String>,
}

impl FileFields {
    fn of(path: &Path) -> Self {
        let bytes = path.as_os_str().as_encoded_bytes();
        FileFields {
            file: path.display().to_string(),
            file_bytes: path
                .to_str()
                .is_none()
                .then(|| percent::encode_bytes(bytes)),
        }
    }
}

/// Writes a line to standard output.
fn line(text: &str) -> Result<(), Failure> {
    write_all(format!("{text}\n").as_bytes())
}
