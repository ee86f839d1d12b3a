//! `dispotify completions` and `dispotify man`: what shells and `man` know of the command line, made
//! from the command line itself.

use std::fs;

use clap::CommandFactory;

use super::write_all;
use crate::args::{Args, Completions, Man};
use crate::failure::Failure;

const NAME: &str = "dispotify";

/// Writes the completions of a shell to standard output.
pub(crate) fn completions(completions: &Completions) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(completions.shell, &mut Args::command(), NAME, &mut text);
    write_all(&text)
}

/// Writes a page for the program and one for each of its commands.
pub(crate) fn pages(man: &Man) -> Result<(), Failure> {
    let folder = man.folder.display();
    let failed = |error| Failure::failed(format!("write the manual into {folder}"), error);
    fs::create_dir_all(&man.folder).map_err(failed)?;
    let command = Args::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, &man.folder).map_err(failed)
}
