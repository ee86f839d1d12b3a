//! The names that a configuration file may have, each the long name of an option of the command line.

use clap::{Arg, Command};

use crate::settings;

/// Options of every command; they stand at the beginning of a file.
pub(super) const COMMON: [&str; 8] = [
    "dns",
    "mdns",
    "key-file",
    "cluster",
    "preset",
    "log",
    "log-file",
    "cache-dir",
];

/// The section of `--set`.
pub(super) const SET: &str = "set";

/// Sections, each of which is a command, with the options that make sense for a machine.
const SECTIONS: [(&str, &[&str]); 4] = [
    ("node", &NODE),
    (
        "serve",
        &[
            "paths",
            "watch",
            "host",
            "port",
            "dns-port",
            "data-dir",
            "weight",
            "web",
            "allow-host",
            "allow-delete",
        ],
    ),
    ("web", &["listen", "allow-host", "allow-delete"]),
    ("play", &["player"]),
];

const NODE: [&str; 9] = [
    "host",
    "port",
    "dns-port",
    "data-dir",
    "weight",
    "web",
    "allow-host",
    "allow-delete",
    "drain",
];

/// Roles with a section of their own below `node`: several nodes on a machine need several ports.
const ROLES: [&str; 4] = ["auto", "data", "dns", "router"];

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// An option of every command.
    Common(String),
    /// An option of a command; of `node`, perhaps for one role.
    Of {
        command: &'static str,
        role: Option<&'static str>,
        option: String,
    },
    /// A setting.
    Set(String),
}

impl Key {
    /// The meaning of a name; none if no file has it.
    pub(super) fn of(name: &str) -> Option<Key> {
        if COMMON.contains(&name) {
            return Some(Key::Common(name.to_owned()));
        }
        let (section, rest) = name.split_once('.')?;
        if section == SET {
            return settings::names()
                .any(|known| known == rest)
                .then(|| Key::Set(rest.to_owned()));
        }
        let (command, options) = SECTIONS.iter().find(|(known, _)| *known == section)?;
        let (role, option) = match rest.split_once('.') {
            None => (None, rest),
            Some((role, option)) if *command == "node" => {
                (Some(*ROLES.iter().find(|known| **known == role)?), option)
            }
            Some(_) => return None,
        };
        options.contains(&option).then(|| Key::Of {
            command,
            role,
            option: option.to_owned(),
        })
    }

    /// The option on the command line that a name stands for; none for a setting.
    pub(super) fn arg<'c>(&self, line: &'c Command) -> Option<&'c Arg> {
        let (command, option) = match self {
            Key::Common(option) => (line, option),
            Key::Of {
                command, option, ..
            } => (line.find_subcommand(command)?, option),
            Key::Set(_) => return None,
        };
        let is_it = |arg: &&Arg| match arg.get_long() {
            Some(long) => long == option,
            None => arg.get_id() == option,
        };
        command.get_arguments().find(is_it)
    }
}

/// The known name that is most like this one, if any is. A name in the wrong section is like it, too.
pub(super) fn most_like(name: &str) -> Option<String> {
    let likeness = |known: &String| (alike(last(known), last(name)), alike(known, name));
    // Of those that are as like, the first: what every command has stands before its namesakes.
    let fits = |known: &String| name.starts_with("node.") || !is_of_role(known);
    let closest = (all().filter(fits)).min_by_key(|known| std::cmp::Reverse(likeness(known)));
    closest.filter(|known| {
        let (of_last, of_whole) = likeness(known);
        of_last.max(of_whole) > LIKE
    })
}

fn is_of_role(name: &str) -> bool {
    name.starts_with("node.") && name.matches('.').count() == 2
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// How like two names are, in thousandths.
fn alike(a: &str, b: &str) -> u32 {
    (strsim::jaro(a, b) * 1000.0) as u32
}

/// The setting whose name is most like this one, if any is.
pub(crate) fn setting_like(name: &str) -> Option<&'static str> {
    let closest = settings::names().max_by_key(|known| alike(known, name));
    closest.filter(|known| alike(known, name) > LIKE)
}

/// Thousandths of likeness from which on a name is proposed; clap uses the same.
const LIKE: u32 = 700;

fn all() -> impl Iterator<Item = String> {
    let common = COMMON.iter().map(|name| (*name).to_owned());
    let of_sections = (SECTIONS.iter())
        .flat_map(|(section, options)| options.iter().map(move |name| format!("{section}.{name}")));
    let of_roles =
        (ROLES.iter()).flat_map(|role| NODE.iter().map(move |name| format!("node.{role}.{name}")));
    let set = settings::names().map(|name| format!("{SET}.{name}"));
    common.chain(of_sections).chain(of_roles).chain(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// Each name stands for an option that the command line has.
    #[test]
    fn every_name_has_its_option() {
        let line = crate::args::Args::command();
        for name in all() {
            let key = Key::of(&name).unwrap_or_else(|| panic!("{name}"));
            let is_set = matches!(key, Key::Set(_));
            assert!(is_set || key.arg(&line).is_some(), "{name}");
        }
    }

    #[test]
    fn a_wrong_name_has_a_proposal() {
        let like = |name| most_like(name).unwrap_or_default();
        assert_eq!(like("keyfile"), "key-file");
        assert_eq!(like("port"), "node.port");
        assert_eq!(like("set.repair.grave"), "set.repair.grace");
        assert_eq!(like("node.wieght"), "node.weight");
        assert_eq!(like("qqqq"), "");
    }
}
