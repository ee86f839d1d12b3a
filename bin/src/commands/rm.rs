//! `dispotify rm`.

use roles::contract::trash::Fate;
use serde::Serialize;

use super::trash::{Changed, Done, change, parse_all};
use super::{json_line, line};
use crate::args::Rm;
use crate::failure::Failure;
use crate::session::Session;
use crate::settings::Settings;

/// Removes songs one after the other; stops at the first failure.
pub(crate) fn run(settings: &Settings, rm: &Rm) -> Result<(), Failure> {
    let prefixes = parse_all("remove", &rm.ids)?;
    let to = if rm.for_good { Fate::Gone } else { Fate::Trash };
    let session = Session::start(settings)?;
    prefixes.iter().try_for_each(|(id, prefix)| {
        let Changed { song, done, copies } = change(&session, "remove", id, *prefix, to)?;
        if rm.json {
            return json_line(&Removed {
                id: song.to_string(),
                outcome: match done {
                    Done::Gone => "removed",
                    Done::Changed => "trash",
                },
                copies,
            });
        }
        let noted = match copies {
            1 => "noted by one data node: the others hear of it when they are reached",
            _ => "noted by two data nodes and on its way to the others",
        };
        line(&match done {
            Done::Gone => format!("removed {song} for good, {noted}"),
            Done::Changed => format!(
                "put {song} into the trash, {noted}; `dispotify trash restore {song}` takes it back"
            ),
        })
    })
}

/// A removal in JSON. The field names are a public interface.
#[derive(Serialize)]
struct Removed {
    id: String,
    outcome: &'static str,
    copies: u8,
}
