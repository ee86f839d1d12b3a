//! The hidden command that finds a large cover for the page: its memory ends with it.

use std::io;

use roles::contract::song::Format;

use crate::args::FindCover;
use crate::failure::Failure;
use crate::web;

/// Writes the cover to standard output; nothing if the file has none.
pub(crate) fn run(find: &FindCover) -> Result<(), Failure> {
    let format = Format::from_name(&find.format).unwrap_or(Format::Opaque);
    web::write_cover(&find.file, format, io::stdout().lock())
        .map_err(|error| Failure::failed(format!("read {}", find.file.display()), error))
}
