//! Configuration files: what a machine is always told, under flags and environment.
//!
//! A file gives defaults to the command line, so that each value is read, checked and explained in one
//! place. What is wrong in a file is told with its line. The user's file wins over the machine's.

mod keys;
mod rows;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::builder::OsStr;
use clap::{ArgAction, ArgMatches, Command as Line, CommandFactory, FromArgMatches, Parser as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::args::{Args, Command, ConfigAction};
use crate::failure::Failure;
use crate::settings::{self, Settings};
use keys::Key;

pub(crate) use keys::setting_like;
pub(crate) use rows::Row;

/// The machine's file.
const MACHINE: &str = "/etc/dispotify/config.toml";

/// A file is a few lines; what is longer is none.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// One value of a file.
#[derive(Debug)]
pub(crate) struct Entry {
    key: Key,
    name: String,
    values: Vec<String>,
    at: At,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
}

/// What is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    at: At,
    why: String,
}

/// The values of all files that count, the weaker ones first.
#[derive(Debug, Default)]
pub(crate) struct Config {
    entries: Vec<Entry>,
}

/// The command line, with the values of the files where it says nothing.
pub(crate) struct Loaded {
    pub(crate) args: Args,
    pub(crate) config: Config,
    pub(crate) matches: ArgMatches,
}

/// Reads the command line and the files. What is wrong on the command line ends the process.
pub(crate) fn load() -> Result<Loaded, Failure> {
    let matches = Args::command().get_matches();
    let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let config = match needs_config(&args.command) {
        true => Config::read(&paths(&args)).map_err(|faults| first(&faults))?,
        false => Config::default(),
    };
    if config.entries.is_empty() {
        return Ok(Loaded {
            args,
            config,
            matches,
        });
    }
    let line = config.as_defaults(Args::command(), &args.command);
    let matches = line.get_matches();
    let mut args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // A later one wins: flags stand behind those of the files.
    let of_files = config.sets().map(|(set, _)| set);
    args.common.set = of_files.chain(args.common.set).collect();
    Ok(Loaded {
        args,
        config,
        matches,
    })
}

/// Whether a command can be told anything by a file. A broken file must not stop what looks at it.
fn needs_config(command: &Command) -> bool {
    !matches!(
        command,
        Command::Config(crate::args::Config {
            action: ConfigAction::Check { .. },
        }) | Command::Completions(_)
            | Command::Man(_)
            | Command::FindCover(_)
    )
}

/// The files that count: the one that is named, or that of the machine and that of the user.
pub(crate) fn paths(args: &Args) -> Vec<PathBuf> {
    match &args.common.config {
        Some(none) if none.is_empty() => Vec::new(),
        Some(file) => vec![PathBuf::from(file)],
        None => {
            let own = settings::config_dir().map(|folder| folder.join("config.toml"));
            let both = [Some(PathBuf::from(MACHINE)), own].into_iter().flatten();
            both.filter(|file| file.exists()).collect()
        }
    }
}

fn first(faults: &[Fault]) -> Failure {
    let more = match faults.len() {
        0 | 1 => "",
        _ => " (there is more: see `dispotify config check`)",
    };
    let first = faults.first().map(Fault::to_string).unwrap_or_default();
    Failure::Usage(format!("{first}{more}"))
}

impl Config {
    /// Reads files; gives all that is wrong with them.
    pub(crate) fn read(files: &[PathBuf]) -> Result<Self, Vec<Fault>> {
        let (mut config, mut faults) = (Config::default(), Vec::new());
        for file in files {
            match read(file) {
                Ok(text) => config.take(file, &text, &mut faults),
                Err(error) => faults.push(Fault {
                    at: At {
                        file: file.clone(),
                        line: 0,
                    },
                    why: error.to_string(),
                }),
            }
        }
        if faults.is_empty() {
            faults.extend(config.wrong_relation());
        }
        match faults.is_empty() {
            true => Ok(config),
            false => Err(faults),
        }
    }

    fn take(&mut self, file: &Path, text: &str, faults: &mut Vec<Fault>) {
        let at = |start: usize| At {
            file: file.to_owned(),
            line: 1 + text[..start].matches('\n').count(),
        };
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let start = error.span().map_or(0, |span| span.start);
                let why = error.message().replace('\n', " ");
                return faults.push(Fault { at: at(start), why });
            }
        };
        let mut found = Vec::new();
        flatten("", table.get_ref(), &mut found);
        found.sort_by_key(|(_, start, _)| *start);
        let line = Args::command();
        for (name, start, value) in found {
            match entry(&line, name, value, at(start)) {
                Ok(entry) => self.entries.push(entry),
                Err(why) => faults.push(Fault { at: at(start), why }),
            }
        }
    }

    /// Two values of the files that cannot both be.
    fn wrong_relation(&self) -> Option<Fault> {
        let mut common = Args::parse_from(["dispotify", "ls"]).common;
        common.preset = self.preset().unwrap_or_default();
        common.set = self.sets().map(|(set, _)| set).collect();
        let (names, why) = Settings::unchecked(&common).ok()?.wrong_relation()?;
        let concerned = self.entries.iter().rev().find(|entry| match &entry.key {
            Key::Set(name) => names.contains(&name.as_str()),
            Key::Common(_) | Key::Of { .. } => false,
        });
        Some(Fault {
            at: concerned?.at.clone(),
            why: why.to_owned(),
        })
    }

    fn preset(&self) -> Option<crate::args::Preset> {
        let value = self.common("preset")?.values.first()?;
        clap::ValueEnum::from_str(value, true).ok()
    }

    /// The settings, as `--set` takes them, and where each stands.
    fn sets(&self) -> impl Iterator<Item = (String, &At)> {
        self.entries.iter().filter_map(|entry| match &entry.key {
            Key::Set(name) => Some((format!("{name}={}", entry.values.join("")), &entry.at)),
            Key::Common(_) | Key::Of { .. } => None,
        })
    }

    /// The last value of an option of every command.
    fn common(&self, option: &str) -> Option<&Entry> {
        let is_it = |entry: &&Entry| entry.key == Key::Common(option.to_owned());
        self.entries.iter().rev().find(is_it)
    }

    /// The command line with the values of the files as defaults.
    fn as_defaults(&self, line: Line, command: &Command) -> Line {
        let own = (self.entries.iter()).filter(|entry| concerns(entry, command));
        // What is said of one role wins over what is said of all nodes, wherever it stands.
        let is_narrow = |entry: &&Entry| matches!(entry.key, Key::Of { role: Some(_), .. });
        let (narrow, wide): (Vec<&Entry>, Vec<&Entry>) = own.partition(is_narrow);
        wide.into_iter().chain(narrow).fold(line, |line, entry| {
            let Some(id) = entry.key.arg(&line).map(|arg| arg.get_id().clone()) else {
                return line;
            };
            // Once in the life of a process, and a few bytes.
            let values = (entry.values.iter()).map(|value| OsStr::from(&*value.clone().leak()));
            let values: Vec<OsStr> = values.collect();
            match &entry.key {
                Key::Of { command, .. } => line.mut_subcommand(command, |command| {
                    command.mut_arg(id, |arg| arg.default_values(values))
                }),
                Key::Common(_) | Key::Set(_) => line.mut_arg(id, |arg| arg.default_values(values)),
            }
        })
    }
}

/// Whether a value is meant for this command.
fn concerns(entry: &Entry, command: &Command) -> bool {
    let mut own_role = None;
    if let Command::Node(node) = command {
        own_role = Some(node.role.name());
    }
    match &entry.key {
        Key::Set(_) => false,
        Key::Common(_) => true,
        Key::Of { role, .. } => role.is_none() || *role == own_role,
    }
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut opened = File::open(file)?;
    if fs::metadata(file)?.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    let read = opened
        .by_ref()
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    match read as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::other("it is longer than 64 KiB")),
        false => Ok(text),
    }
}

/// The values of a table with their whole names, and where each begins.
fn flatten<'v>(
    above: &str,
    table: &'v DeTable<'v>,
    found: &mut Vec<(String, usize, &'v Spanned<DeValue<'v>>)>,
) {
    for (key, value) in table {
        let name = match above {
            "" => key.get_ref().to_string(),
            above => format!("{above}.{}", key.get_ref()),
        };
        match value.get_ref().as_table() {
            // A deeper one has no known name, and one message is enough.
            Some(below) if name.matches('.').count() < 3 => flatten(&name, below, found),
            Some(_) | None => found.push((name, key.span().start, value)),
        }
    }
}

/// A value with a known name, if it is one that the command line would take.
fn entry(line: &Line, name: String, value: &Spanned<DeValue<'_>>, at: At) -> Result<Entry, String> {
    let Some(key) = Key::of(&name) else {
        let like = keys::most_like(&name).map(|like| format!(": is {like} meant?"));
        let like = like.unwrap_or_else(|| " (see `dispotify config --help`)".into());
        return Err(format!("there is no {name}{like}"));
    };
    let values = texts(value.get_ref()).ok_or_else(|| {
        let kind = value.get_ref().type_str();
        format!("{name}: write a text, a number, true, false, or a list of texts, not a {kind}")
    })?;
    let checked = match (&key, key.arg(line)) {
        (Key::Set(set), _) => settings::check_set(set, &values.join(",")),
        (_, Some(arg)) => check(arg, &values),
        (_, None) => Ok(()),
    };
    checked.map_err(|why| format!("{name}: {why}"))?;
    if name == "dns" {
        settings::addresses("dns", &values).map_err(|failure| failure.to_string())?;
    }
    Ok(Entry {
        key,
        name,
        values,
        at,
    })
}

/// A value as texts; none for what no option is.
fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::String(text) => Some(vec![text.to_string()]),
        DeValue::Integer(number) => {
            let plain = number.radix() == 10;
            plain.then(|| vec![number.as_str().replace('_', "")])
        }
        DeValue::Boolean(flag) => Some(vec![flag.to_string()]),
        DeValue::Array(all) => {
            let text = |one: &Spanned<DeValue<'_>>| one.get_ref().as_str().map(str::to_owned);
            all.iter().map(text).collect()
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// Has an option's own parser read the values.
fn check(arg: &clap::Arg, values: &[String]) -> Result<(), String> {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return match values {
            [one] if one == "true" || one == "false" => Ok(()),
            _ => Err("write true or false".into()),
        };
    }
    let many = matches!(arg.get_action(), ArgAction::Append) || arg.get_value_delimiter().is_some();
    if values.len() != 1 && !many {
        return Err("write one value".into());
    }
    let line = Line::new("dispotify").no_binary_name(true).arg(arg.clone());
    let words: Vec<String> = match arg.get_long() {
        Some(long) => values
            .iter()
            .map(|value| format!("--{long}={value}"))
            .collect(),
        None => [&["--".to_owned()], values].concat(),
    };
    let read = line.try_get_matches_from(words);
    read.map(drop).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        first.trim_start_matches("error: ").to_owned()
    })
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}", self.file.display()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.why)
    }
}

#[cfg(test)]
mod tests;
