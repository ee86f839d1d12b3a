//! What listeners say, for the commands about stars, plays and playlists: documents are read page after
//! page, and written in as few messages as hold them.
//!
//! As long as a cluster has no accounts, all of it belongs to one listener.

use std::collections::BTreeMap;

use rand::random;
use roles::annotations::{Plays, Subject, stars_of};
use roles::contract::document::{AccountId, Document, Kind, Reading};
use roles::contract::id::{SongId, SongPrefix};
use roles::contract::limits::{
    DOCUMENTS_AT_ONCE_MAX, DOCUMENTS_PAGE_MAX, PAGE_BYTES_MAX, PAGE_SONGS_MAX,
};
use roles::contract::message::Query;
use roles::contract::song::Song;
use roles::contract::user::{self, Command, Draft, Heard, Notice};

use crate::failure::Failure;
use crate::session::Session;

/// Whose stars, plays and playlists these are.
pub(crate) const OWNER: AccountId = AccountId::LISTENER;

/// Ids that are looked up one by one; for more of them, the whole list is read once.
const LOOKED_UP_MAX: usize = 8;

/// Reads all documents of a kind whose subjects begin with these bytes.
pub(super) fn read(
    session: &Session,
    attempt: &str,
    kind: Kind,
    within: &[u8],
) -> Result<Vec<Document>, Failure> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let operation = session.operation();
        let reading = Reading {
            owner: OWNER,
            kind,
            within: within.to_vec(),
            after,
            limit: DOCUMENTS_PAGE_MAX as u32,
        };
        let command = Command::ReadDocuments { operation, reading };
        let page = session.answer(attempt, command, |notice| {
            if let Notice::Documents { page, .. } = notice {
                return Some(page);
            }
            None
        })?;
        all.extend(page.documents);
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// Writes documents. Returns on how many data nodes all of them are known to be.
pub(super) fn write(session: &Session, attempt: &str, drafts: Vec<Draft>) -> Result<u8, Failure> {
    let mut copies = u8::MAX;
    let mut drafts = drafts.into_iter().peekable();
    while drafts.peek().is_some() {
        let command = Command::WriteDocuments {
            operation: session.operation(),
            drafts: batch(&mut drafts),
            plays: Vec::new(),
        };
        copies = copies.min(written(session, attempt, command)?);
    }
    Ok(copies)
}

/// Counts a song that was heard. A cluster that cannot be written to right now takes nothing from the
/// music: the log says so.
pub(super) fn count(session: &Session, song: SongId) {
    let command = Command::WriteDocuments {
        operation: session.operation(),
        drafts: Vec::new(),
        plays: vec![heard(song)],
    };
    if let Err(why) = written(session, "count the play", command) {
        log::warn!("a play is not counted: {why:?}");
    }
}

fn written(session: &Session, attempt: &str, command: Command) -> Result<u8, Failure> {
    session.answer(attempt, command, |notice| {
        if let Notice::Written { copies, .. } = notice {
            return Some(copies);
        }
        None
    })
}

/// A play of the one listener.
pub(crate) fn heard(song: SongId) -> Heard {
    Heard {
        owner: OWNER,
        song,
        token: random(),
    }
}

/// The next drafts that fit into one message.
pub(crate) fn batch(drafts: &mut std::iter::Peekable<impl Iterator<Item = Draft>>) -> Vec<Draft> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(draft) =
        drafts.next_if(|_| batch.len() < DOCUMENTS_AT_ONCE_MAX && bytes < PAGE_BYTES_MAX / 2)
    {
        bytes += 256 + draft.body.as_ref().map_or(0, Vec::len);
        batch.push(draft);
    }
    batch
}

/// The stars of songs, albums and artists.
pub(super) fn stars(session: &Session) -> Result<Vec<Subject>, Failure> {
    let documents = read(session, "read the stars", Kind::STAR, &[])?;
    let subjects = documents.iter();
    Ok(subjects
        .filter_map(|one| Subject::decode(&one.key.subject))
        .collect())
}

/// The ratings of songs.
pub(super) fn ratings(session: &Session) -> Result<BTreeMap<SongId, u8>, Failure> {
    let documents = read(session, "read the ratings", Kind::RATING, &[0])?;
    let rating = |one: &Document| {
        let Some(Subject::Song(song)) = Subject::decode(&one.key.subject) else {
            return None;
        };
        Some((song, stars_of(one.body.as_ref()?)?))
    };
    Ok(documents.iter().filter_map(rating).collect())
}

/// How often each song was played, and when last.
pub(super) fn plays(session: &Session) -> Result<BTreeMap<SongId, Plays>, Failure> {
    let documents = read(session, "read the plays", Kind::PLAYS, &[])?;
    Ok(sum(&documents))
}

/// Adds up what the libraries have counted.
pub(crate) fn sum(documents: &[Document]) -> BTreeMap<SongId, Plays> {
    let mut sums: BTreeMap<SongId, Plays> = BTreeMap::new();
    for (song, plays) in documents.iter().filter_map(Plays::of) {
        sums.entry(song).or_default().add(&plays);
    }
    sums
}

/// Finds the songs that ids or their leading digits mean, in their order.
pub(super) fn songs(
    session: &Session,
    attempt: &str,
    ids: &[String],
) -> Result<Vec<SongId>, Failure> {
    if ids.len() > LOOKED_UP_MAX {
        let library = library(session)?;
        return ids.iter().map(|id| among(&library, attempt, id)).collect();
    }
    let find = |id: &String| {
        let opened = session.open(&format!("{attempt} {id}"), id)?;
        let operation = opened.operation;
        session.give(Command::Close { operation })?;
        Ok(opened.manifest.song.id)
    };
    ids.iter().map(find).collect()
}

fn among(library: &BTreeMap<SongId, Song>, attempt: &str, id: &str) -> Result<SongId, Failure> {
    let prefix = SongPrefix::parse(id).ok_or_else(|| {
        let cure = "an id is 1 to 32 hexadecimal digits (see `dispotify ls`)";
        Failure::Usage(format!("{attempt} {id}: {cure}"))
    })?;
    let mut fitting = library
        .range(prefix.first()..=prefix.last())
        .map(|(song, _)| *song);
    let failure = match (fitting.next(), fitting.next()) {
        (Some(song), None) => return Ok(song),
        (None, _) => user::Failure::NotFound,
        (Some(one), Some(two)) => user::Failure::Ambiguous(vec![one, two]),
    };
    Err(Failure::of(format!("{attempt} {id}"), &failure))
}

/// All songs of the library.
pub(super) fn library(session: &Session) -> Result<BTreeMap<SongId, Song>, Failure> {
    let mut query = Query::all(PAGE_SONGS_MAX as u32);
    let mut all = BTreeMap::new();
    loop {
        let (songs, _, next) = session.page(query.clone())?;
        all.extend(
            songs
                .into_iter()
                .map(|listed| (listed.song.id, listed.song)),
        );
        query.after = next;
        if query.after.is_none() {
            return Ok(all);
        }
    }
}

/// What is said beside a write: that one disk alone has it.
pub(super) fn noted(copies: u8) -> &'static str {
    if copies < 2 {
        " (on one data node alone)"
    } else {
        ""
    }
}
