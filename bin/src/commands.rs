//! The subcommands of the command line, and their output helpers.

pub(crate) mod add;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod play;
pub(crate) mod resolve;
pub(crate) mod rm;
pub(crate) mod status;
pub(crate) mod verify;

use std::io::{self, Write};

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

/// Writes a line to standard output.
fn line(text: &str) -> Result<(), Failure> {
    write_all(format!("{text}\n").as_bytes())
}
