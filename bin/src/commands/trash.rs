//! `dispotify trash`: what was removed and can still be taken back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roles::contract::id::{SongId, SongPrefix};
use roles::contract::limits::PAGE_SONGS_MAX;
use roles::contract::trash::{Fate, Trashed};
use roles::contract::user::{Command, Notice};
use serde::Serialize;

use super::list::{self, Line};
use super::{json_line, line, write_all};
use crate::args::{Trash, TrashAction};
use crate::failure::Failure;
use crate::session::Session;
use crate::settings::Settings;
use crate::text;

/// Lists the trash, takes songs back, or removes them for good.
pub(crate) fn run(settings: &Settings, trash: &Trash) -> Result<(), Failure> {
    match &trash.action {
        None => show(settings, trash.json),
        Some(TrashAction::Ls { json }) => show(settings, trash.json || *json),
        Some(TrashAction::Restore { ids, json }) => {
            let prefixes = parse_all("restore", ids)?;
            let session = Session::start(settings)?;
            change_all(
                &session,
                "restore",
                &prefixes,
                (Fate::Here, trash.json || *json),
            )
        }
        Some(TrashAction::Empty { ids, json }) => {
            let mut prefixes = parse_all("empty the trash of", ids)?;
            let session = Session::start(settings)?;
            if prefixes.is_empty() {
                let all = everything(&session)?;
                let prefix = |one: &Trashed| (one.song.id.to_string(), one.song.id.into());
                prefixes = all.iter().map(prefix).collect();
            }
            if prefixes.is_empty() && !trash.json && !*json {
                return line("the trash is empty");
            }
            let json = trash.json || *json;
            change_all(
                &session,
                "empty the trash of",
                &prefixes,
                (Fate::Emptied, json),
            )
        }
    }
}

/// The trash as a router sees it, without its songs: how many there are, and the bytes of one copy of
/// each. None if no router knows the trash.
pub(crate) fn totals(session: &Session) -> Option<(u64, u64)> {
    let page = page(session, None, 1).ok()?;
    Some((page.total, page.bytes))
}

/// Parses ids, each with what was typed.
pub(super) fn parse_all(
    attempt: &str,
    ids: &[String],
) -> Result<Vec<(String, SongPrefix)>, Failure> {
    let parse = |id: &String| {
        let prefix = SongPrefix::parse(id).ok_or_else(|| {
            let why = "write 1 to 32 hexadecimal digits, as ls shows them";
            Failure::Usage(format!("{attempt} {id}: {why}"))
        })?;
        Ok((id.clone(), prefix))
    };
    ids.iter().map(parse).collect()
}

/// How a change has ended.
pub(super) enum Done {
    /// The song is removed for good.
    Gone,
    /// The song is where it was to be.
    Changed,
}

/// A change that was made.
pub(super) struct Changed {
    pub(super) song: SongId,
    pub(super) done: Done,
    pub(super) copies: u8,
}

/// Changes one song and waits for the answer.
pub(super) fn change(
    session: &Session,
    attempt: &str,
    id: &str,
    song: SongPrefix,
    to: Fate,
) -> Result<Changed, Failure> {
    let operation = session.operation();
    let command = Command::Change {
        operation,
        song,
        to,
    };
    session.answer(&format!("{attempt} {id}"), command, |notice| {
        let (song, copies, done) = if let Notice::Removed { song, copies, .. } = notice {
            (song, copies, Done::Gone)
        } else if let Notice::Changed { song, copies, .. } = notice {
            (song, copies, Done::Changed)
        } else {
            return None;
        };
        Some(Changed { song, done, copies })
    })
}

fn change_all(
    session: &Session,
    attempt: &str,
    prefixes: &[(String, SongPrefix)],
    (to, json): (Fate, bool),
) -> Result<(), Failure> {
    prefixes.iter().try_for_each(|(id, prefix)| {
        let Changed { song, done, copies } = change(session, attempt, id, *prefix, to)?;
        let id = song.to_string();
        let (outcome, said) = match done {
            Done::Gone => ("removed", format!("removed {song} for good")),
            Done::Changed => ("restored", format!("took {song} back")),
        };
        if json {
            return json_line(&Outcome {
                id,
                outcome,
                copies,
            });
        }
        line(&said)
    })
}

struct Page {
    songs: Vec<Trashed>,
    total: u64,
    bytes: u64,
    next: Option<SongId>,
}

fn page(session: &Session, after: Option<SongId>, limit: u32) -> Result<Page, Failure> {
    let operation = session.operation();
    let command = Command::ListTrash {
        operation,
        after,
        limit,
    };
    session.answer("list the trash", command, |notice| {
        let Notice::Trash {
            songs,
            total,
            bytes,
            next,
            ..
        } = notice
        else {
            return None;
        };
        Some(Page {
            songs,
            total,
            bytes,
            next,
        })
    })
}

/// Every song in the trash, the latest first.
fn everything(session: &Session) -> Result<Vec<Trashed>, Failure> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = page(session, after, PAGE_SONGS_MAX as u32)?;
        all.extend(page.songs);
        after = page.next;
        if after.is_none() {
            all.sort_by_key(|one| (one.age_s, one.song.id));
            return Ok(all);
        }
    }
}

fn show(settings: &Settings, json: bool) -> Result<(), Failure> {
    let session = Session::start(settings)?;
    let all = everything(&session)?;
    if json {
        return all.iter().try_for_each(|one| json_line(&Entry::of(one)));
    }
    if all.is_empty() {
        return line("the trash is empty");
    }
    let header = [
        "ID",
        "TITLE",
        "ARTIST",
        "ALBUM",
        "SIZE",
        "REMOVED",
        "GOES FOR GOOD",
    ];
    let mut table = text::table(header, &[4]);
    let digits = list::digits_needed(all.iter().map(|one| one.song.id));
    for Trashed {
        song,
        age_s,
        left_s,
        ..
    } in &all
    {
        let mut id = song.id.to_string();
        id.truncate(digits);
        table.add_row([
            id,
            text::cell(&song.title),
            text::cell(&song.artist),
            text::cell(&song.album),
            text::bytes(song.bytes),
            format!("{} ago", text::span(*age_s)),
            format!("in {}", text::span(*left_s)),
        ]);
    }
    let bytes = all.iter().map(|one| one.song.bytes).sum();
    let count = text::count(all.len() as u64, "song");
    let sum = format!("{count}, {} in each copy\n", text::bytes(bytes));
    write_all(format!("{table}\n{sum}").as_bytes())
}

/// A song in the trash in JSON. The field names are a public interface.
#[derive(Serialize)]
pub(crate) struct Entry<'a> {
    #[serde(flatten)]
    line: Line<'a>,
    /// When it came into the trash and when it is removed for good, in seconds since 1970 by the
    /// clock of this machine. The nodes count the time that they run, so both are estimates.
    trashed_at: u64,
    goes_at: u64,
    age_s: u64,
    left_s: u64,
}

impl<'a> Entry<'a> {
    pub(crate) fn of(trashed: &'a Trashed) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_s = now.as_ref().map_or(0, Duration::as_secs);
        Entry {
            line: Line::of_song(&trashed.song, trashed.copies),
            trashed_at: now_s.saturating_sub(trashed.age_s),
            goes_at: now_s.saturating_add(trashed.left_s),
            age_s: trashed.age_s,
            left_s: trashed.left_s,
        }
    }
}

/// What became of a song in the trash, in JSON. The field names are a public interface.
#[derive(Serialize)]
struct Outcome {
    id: String,
    outcome: &'static str,
    copies: u8,
}
