//! `dispotify config`: what is wrong in a configuration, and what is in force.

use serde::Serialize;

use super::{json_line, line, write_all};
use crate::args::{self, ConfigAction};
use crate::config::{Config, Loaded, Row, paths};
use crate::failure::Failure;
use crate::settings::Settings;
use crate::text;

pub(crate) fn run(loaded: &Loaded, config: &args::Config) -> Result<(), Failure> {
    match &config.action {
        ConfigAction::Check { file: Some(file) } => check(std::slice::from_ref(file)),
        ConfigAction::Check { file: None } => check(&paths(&loaded.args)),
        ConfigAction::Show { json } => show(loaded, *json),
    }
}

/// Prints all that is wrong, a line each.
fn check(files: &[std::path::PathBuf]) -> Result<(), Failure> {
    let Err(faults) = Config::read(files) else {
        if files.is_empty() {
            return line("there is no configuration file");
        }
        return (files.iter()).try_for_each(|file| line(&format!("{}: fine", file.display())));
    };
    for fault in &faults {
        line(&fault.to_string())?;
    }
    let faults = text::count(faults.len() as u64, "fault");
    Err(Failure::Failed(format!(
        "check the configuration: {faults}"
    )))
}

fn show(loaded: &Loaded, json: bool) -> Result<(), Failure> {
    let mut settings = Settings::of(&loaded.args.common)?;
    let rows = loaded.rows(&mut settings);
    if json {
        return rows.iter().try_for_each(|row| json_line(&Line::of(row)));
    }
    let mut table = text::table(["NAME", "VALUE", "FROM"], &[]);
    for Row { name, value, from } in rows {
        table.add_row([name, value, from]);
    }
    write_all(format!("{table}\n").as_bytes())
}

/// A value in JSON. The field names are a public interface.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    value: &'a str,
    from: &'a str,
}

impl<'a> Line<'a> {
    fn of(row: &'a Row) -> Self {
        Line {
            name: &row.name,
            value: &row.value,
            from: &row.from,
        }
    }
}
