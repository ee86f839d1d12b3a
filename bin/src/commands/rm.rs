//! `dispotify rm`.

use roles::contract::id::{SongId, SongPrefix};
use roles::contract::user::{Command, Notice};
use serde::Serialize;

use super::{json_line, line};
use crate::args::Rm;
use crate::failure::Failure;
use crate::session::Session;
use crate::settings::Settings;

/// Removes songs one after the other; stops at the first failure.
pub(crate) fn run(settings: &Settings, rm: &Rm) -> Result<(), Failure> {
    let prefixes: Vec<(&String, SongPrefix)> = rm
        .ids
        .iter()
        .map(|id| Ok((id, parse(id)?)))
        .collect::<Result<_, Failure>>()?;
    let session = Session::start(settings)?;
    prefixes.iter().try_for_each(|(id, prefix)| {
        let (song, copies) = remove(&session, id, *prefix)?;
        if rm.json {
            return json_line(&Removed {
                id: song.to_string(),
                copies,
            });
        }
        let noted = match copies {
            1 => "noted by one data node: the others hear of it when they are reached",
            _ => "noted by two data nodes and on its way to the others",
        };
        line(&format!("removed {song} for good, {noted}"))
    })
}

fn parse(id: &str) -> Result<SongPrefix, Failure> {
    SongPrefix::parse(id).ok_or_else(|| {
        let why = "write 1 to 32 hexadecimal digits, as ls shows them";
        Failure::Usage(format!("remove {id}: {why}"))
    })
}

fn remove(session: &Session, id: &str, song: SongPrefix) -> Result<(SongId, u8), Failure> {
    let operation = session.operation();
    let command = Command::Remove { operation, song };
    session.answer(&format!("remove {id}"), command, |notice| {
        if let Notice::Removed { song, copies, .. } = notice {
            return Some((song, copies));
        }
        None
    })
}

/// A removal in JSON. The field names are a public interface.
#[derive(Serialize)]
struct Removed {
    id: String,
    copies: u8,
}
