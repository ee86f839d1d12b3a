//! Everything that is in force, and where each value comes from.

use clap::parser::ValueSource;
use clap::{Command as Line, CommandFactory};

use super::Loaded;
use super::keys::{self, Key};
use crate::args::Args;
use crate::settings::Settings;

/// A value that is in force, and where it comes from.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) from: String,
}

impl Loaded {
    /// Everything that is in force for this command line: options of every command, settings, and what the
    /// files say to single commands.
    pub(crate) fn rows(&self, settings: &mut Settings) -> Vec<Row> {
        let line = Args::command();
        let mut rows: Vec<Row> = keys::COMMON
            .iter()
            .filter_map(|name| self.common_row(&line, name))
            .collect();
        let set = settings.values().into_iter();
        rows.extend(set.map(|(name, value)| self.set_row(name, value)));
        let others = self.config.entries.iter();
        rows.extend(others.filter_map(|entry| {
            let is_of = matches!(entry.key, Key::Of { .. });
            is_of.then(|| Row {
                name: entry.name.clone(),
                value: entry.values.join(","),
                from: entry.at.to_string(),
            })
        }));
        rows
    }

    fn common_row(&self, line: &Line, name: &str) -> Option<Row> {
        let arg = Key::Common(name.to_owned()).arg(line)?.clone();
        let id = arg.get_id().as_str();
        let values = self.matches.get_raw(id).into_iter().flatten();
        let values: Vec<String> = values
            .map(|value| value.to_string_lossy().into_owned())
            .collect();
        let variable = arg.get_env().unwrap_or_default().to_string_lossy();
        let from = match self.matches.value_source(id) {
            Some(ValueSource::CommandLine) => format!("--{name}"),
            Some(ValueSource::EnvVariable) => variable.into_owned(),
            Some(_) | None => match self.config.common(name) {
                Some(entry) => entry.at.to_string(),
                None => "default".into(),
            },
        };
        Some(Row {
            name: name.to_owned(),
            value: values.join(","),
            from,
        })
    }

    fn set_row(&self, name: &str, value: String) -> Row {
        let of = |set: &str| {
            set.split_once('=')
                .is_some_and(|(known, _)| known.trim() == name)
        };
        let of_files = self.config.sets().count();
        let of_flags = self
            .args
            .common
            .set
            .iter()
            .skip(of_files)
            .any(|set| of(set));
        let in_file = self.config.sets().filter(|(set, _)| of(set)).last();
        let from = match in_file {
            _ if of_flags => "--set".into(),
            Some((_, at)) => at.to_string(),
            None if self.args.common.preset.sets(name) => {
                format!("preset {}", self.args.common.preset.name())
            }
            None => "default".into(),
        };
        Row {
            name: format!("{}.{name}", keys::SET),
            value,
            from,
        }
    }
}
