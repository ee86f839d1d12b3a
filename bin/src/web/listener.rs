//! What a browser asks about stars, plays and playlists: which documents are read, what is written, and
//! the answer.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::vec::IntoIter;

use net::http::percent;
use net::http::request::{Method, Request};
use rand::random;
use roles::annotations::playlist::{Playlist, PlaylistId, names, rename};
use roles::annotations::{self, Subject, stars_of};
use roles::contract::document::{Document, Documents, Kind, Reading};
use roles::contract::id::{AlbumId, ArtistId, OperationId, SongId};
use roles::contract::limits::DOCUMENTS_PAGE_MAX;
use roles::contract::rng::Rng;
use roles::contract::user::{Command, Draft};
use serde_json::{Value, json};

use super::api::Route;
use crate::commands::listener::{OWNER, batch, heard, sum};
use crate::commands::playlist::id_text;

/// Most songs that one request adds to a playlist: its address has room for no more.
const ADDED_MAX: usize = 1000;

/// One request under way: first documents are read, then others are written.
#[derive(Debug)]
pub(super) struct Work {
    want: Want,
    /// The kinds still to be read, the next one last.
    kinds: Vec<(Kind, Vec<u8>)>,
    read: Vec<Document>,
    drafts: Peekable<IntoIter<Draft>>,
}

/// How the work goes on.
pub(super) enum Step {
    /// The client does this first, as part of the work.
    Ask(Command),
    /// The answer, with its status; without a value it has no body.
    Done(u16, Option<Value>),
}

#[derive(Debug)]
enum Want {
    Stars,
    Ratings,
    Plays,
    Playlists,
    Playlist(PlaylistId),
    /// A playlist is made.
    New(PlaylistId, String),
    Edit(PlaylistId, Edit),
    Delete(PlaylistId),
    /// What was to be written is written.
    Written,
}

/// A change of a playlist.
#[derive(Debug, Default)]
struct Edit {
    name: Option<String>,
    add: Vec<SongId>,
    /// Where songs are put in, from 0; at the end without.
    at: Option<usize>,
    remove: BTreeSet<usize>,
    moves: Option<(usize, usize)>,
}

impl Work {
    /// Begins what a request wants; the error says what is wrong with it.
    pub(super) fn begin(
        route: &Route,
        request: &Request,
        operation: OperationId,
    ) -> Result<(Work, Step), String> {
        let fields = percent::fields(&request.query).ok_or("the query cannot be decoded")?;
        let field = |name: &str| fields.iter().find(|(field, _)| field == name);
        let value = |name: &str| field(name).map(|(_, value)| value.as_str());
        let writes = request.method == Method::Post;
        let list = |id: PlaylistId| {
            let within = id.0.to_be_bytes().to_vec();
            let kinds = [Kind::LEFT, Kind::ENTRIES, Kind::PLAYLIST];
            kinds.map(|kind| (kind, within.clone())).to_vec()
        };
        let (want, kinds, drafts) = match route {
            Route::Stars => (Want::Stars, vec![(Kind::STAR, vec![])], vec![]),
            Route::Ratings => (Want::Ratings, vec![(Kind::RATING, vec![])], vec![]),
            Route::Plays => (Want::Plays, vec![(Kind::PLAYS, vec![])], vec![]),
            Route::Star(id) => {
                let starred = !matches!(value("starred"), Some("0" | "false"));
                let key = annotations::star(OWNER, subject(*id, value("of"))?);
                let body = starred.then(Vec::new);
                (Want::Written, vec![], vec![Draft { key, body }])
            }
            Route::Rating(id) => {
                let stars = value("stars").and_then(|stars| stars.parse().ok());
                let stars = stars.filter(|stars: &u8| *stars <= 5);
                let stars = stars.ok_or("stars: a number from 0 to 5")?;
                let key = annotations::rating(OWNER, subject(*id, value("of"))?);
                let body = (stars > 0).then(|| vec![stars]);
                (Want::Written, vec![], vec![Draft { key, body }])
            }
            Route::Play(song) => {
                let work = Work::of(Want::Written, vec![], vec![]);
                let plays = vec![heard(SongId(*song))];
                let drafts = Vec::new();
                let command = Command::WriteDocuments {
                    operation,
                    drafts,
                    plays,
                };
                return Ok((work, Step::Ask(command)));
            }
            Route::Playlists if writes => {
                let name = value("name").ok_or("name: a playlist has a name")?;
                let new = Want::New(PlaylistId(random()), name.to_owned());
                (new, vec![(Kind::PLAYLIST, vec![])], vec![])
            }
            Route::Playlists => (Want::Playlists, vec![(Kind::PLAYLIST, vec![])], vec![]),
            Route::Playlist(id) => {
                let id = PlaylistId(*id);
                let want = match request.method {
                    Method::Post => Want::Edit(id, Edit::of(&fields)?),
                    Method::Delete => Want::Delete(id),
                    Method::Get | Method::Head | Method::Other => Want::Playlist(id),
                };
                (want, list(id), vec![])
            }
            Route::Songs
            | Route::Song(_)
            | Route::Tags(_)
            | Route::Albums
            | Route::Album(_)
            | Route::Artists
            | Route::Genres
            | Route::Years
            | Route::Trash
            | Route::Trashed(_)
            | Route::Status
            | Route::Metrics
            | Route::Events
            | Route::Stream(_)
            | Route::Download(_)
            | Route::Cover(_)
            | Route::File(_) => return Err("it is not about listeners".into()),
        };
        let mut work = Work::of(want, kinds, drafts);
        let step = work.go_on(operation, None);
        Ok((work, step))
    }

    fn of(want: Want, kinds: Vec<(Kind, Vec<u8>)>, drafts: Vec<Draft>) -> Work {
        Work {
            want,
            kinds,
            read: Vec::new(),
            drafts: drafts.into_iter().peekable(),
        }
    }

    /// Takes a page of documents.
    pub(super) fn on_read(&mut self, operation: OperationId, page: Documents) -> Step {
        self.read.extend(page.documents);
        if page.next.is_none() {
            self.kinds.pop();
        }
        self.go_on(operation, page.next)
    }

    /// What was written is durable.
    pub(super) fn on_written(&mut self, operation: OperationId) -> Step {
        self.go_on(operation, None)
    }

    fn go_on(&mut self, operation: OperationId, after: Option<Vec<u8>>) -> Step {
        if self.drafts.peek().is_some() {
            return self.write_next(operation);
        }
        if let Some((kind, within)) = self.kinds.last() {
            let reading = Reading {
                owner: OWNER,
                kind: *kind,
                within: within.clone(),
                after,
                limit: DOCUMENTS_PAGE_MAX as u32,
            };
            return Step::Ask(Command::ReadDocuments { operation, reading });
        }
        match std::mem::replace(&mut self.want, Want::Written) {
            Want::Stars => Step::Done(200, Some(self.stars())),
            Want::Ratings => Step::Done(200, Some(self.ratings())),
            Want::Plays => Step::Done(200, Some(self.plays())),
            Want::Playlists => Step::Done(200, Some(self.playlists())),
            Want::Playlist(id) => self.playlist(id),
            Want::New(id, name) => self.make(operation, id, &name),
            Want::Edit(id, edit) => self.edit(operation, id, &edit),
            Want::Delete(id) => {
                let list = Playlist::of(OWNER, id, &self.read);
                match self.name(id) {
                    Some(_) => self.write(operation, list.delete()),
                    None => none(),
                }
            }
            Want::Written => self.write_next(operation),
        }
    }

    fn write(&mut self, operation: OperationId, drafts: Vec<Draft>) -> Step {
        self.drafts = drafts.into_iter().peekable();
        self.write_next(operation)
    }

    fn write_next(&mut self, operation: OperationId) -> Step {
        if self.drafts.peek().is_none() {
            return Step::Done(204, None);
        }
        let (drafts, plays) = (batch(&mut self.drafts), Vec::new());
        Step::Ask(Command::WriteDocuments {
            operation,
            drafts,
            plays,
        })
    }

    fn subjects(&self) -> impl Iterator<Item = (Subject, &Document)> {
        let subject = |one: &'_ Document| Subject::decode(&one.key.subject);
        (self.read.iter()).filter_map(move |one| Some((subject(one)?, one)))
    }

    fn stars(&self) -> Value {
        let of = |wanted: fn(Subject) -> Option<String>| -> Vec<String> {
            self.subjects()
                .filter_map(|(subject, _)| wanted(subject))
                .collect()
        };
        json!({
            "songs": of(|one| matches!(one, Subject::Song(_)).then(|| text_of(one))),
            "albums": of(|one| matches!(one, Subject::Album(_)).then(|| text_of(one))),
            "artists": of(|one| matches!(one, Subject::Artist(_)).then(|| text_of(one))),
        })
    }

    fn ratings(&self) -> Value {
        let rating = |(subject, one): (Subject, &Document)| {
            let stars = stars_of(one.body.as_ref()?)?;
            Some(json!({"id": text_of(subject), "of": name_of(subject), "stars": stars}))
        };
        json!({ "ratings": self.subjects().filter_map(rating).collect::<Vec<_>>() })
    }

    fn plays(&self) -> Value {
        let plays = sum(&self.read).into_iter().map(|(song, plays)| {
            json!({
                "id": song.to_string(),
                "plays": plays.count,
                "last_played_ms": plays.last >> 16,
            })
        });
        json!({ "plays": plays.collect::<Vec<_>>() })
    }

    fn playlists(&self) -> Value {
        let mut named = names(&self.read);
        named.sort_by(|a, b| (&a.1, a.0).cmp(&(&b.1, b.0)));
        let list = |(id, name): (PlaylistId, String)| json!({"id": id_text(id), "name": name});
        json!({ "playlists": named.into_iter().map(list).collect::<Vec<_>>() })
    }

    fn name(&self, id: PlaylistId) -> Option<String> {
        let heads: Vec<Document> = (self.read.iter())
            .filter(|one| one.key.kind == Kind::PLAYLIST)
            .cloned()
            .collect();
        let named = names(&heads).into_iter().find(|(other, _)| *other == id);
        named.map(|(_, name)| name)
    }

    fn playlist(&self, id: PlaylistId) -> Step {
        let Some(name) = self.name(id) else {
            return none();
        };
        let list = Playlist::of(OWNER, id, &self.read);
        let songs: Vec<String> = list.songs().map(|song| song.to_string()).collect();
        let list = json!({"id": id_text(id), "name": name, "songs": songs});
        Step::Done(200, Some(list))
    }

    fn make(&mut self, operation: OperationId, id: PlaylistId, name: &str) -> Step {
        if names(&self.read)
            .iter()
            .any(|(_, other)| other == name.trim())
        {
            return error(409, "there is a playlist of this name");
        }
        match rename(OWNER, id, name) {
            Ok(head) => {
                self.want = Want::Playlist(id);
                // It is read back once it is written: the answer has its id.
                self.kinds = vec![(Kind::PLAYLIST, id.0.to_be_bytes().to_vec())];
                self.read.clear();
                self.write(operation, vec![head])
            }
            Err(why) => error(400, why),
        }
    }

    fn edit(&mut self, operation: OperationId, id: PlaylistId, edit: &Edit) -> Step {
        if self.name(id).is_none() {
            return none();
        }
        let list = Playlist::of(OWNER, id, &self.read);
        match edit.drafts(id, &list) {
            Ok(drafts) => self.write(operation, drafts),
            Err(why) => error(400, why),
        }
    }
}

impl Edit {
    fn of(fields: &[(String, String)]) -> Result<Edit, String> {
        let mut edit = Edit::default();
        let place = |text: &str| {
            text.parse()
                .map_err(|_| "write the number of a song, from 0")
        };
        for (name, value) in fields {
            match name.as_str() {
                "name" => edit.name = Some(value.clone()),
                "add" => edit
                    .add
                    .push(SongId::parse(value).ok_or("add: no song's id")?),
                "at" => edit.at = Some(place(value)?),
                "remove" => {
                    edit.remove.insert(place(value)?);
                }
                "from" => edit.moves = Some((place(value)?, edit.moves.map_or(0, |(_, to)| to))),
                "to" => edit.moves = Some((edit.moves.map_or(0, |(from, _)| from), place(value)?)),
                _ => (), // A newer page may send fields unknown here.
            }
        }
        if edit.add.len() > ADDED_MAX {
            return Err(format!("at most {ADDED_MAX} songs are added at once"));
        }
        Ok(edit)
    }

    fn drafts(&self, id: PlaylistId, list: &Playlist) -> Result<Vec<Draft>, &'static str> {
        let count = list.songs().len();
        if self.remove.iter().any(|at| *at >= count) {
            return Err("remove: the playlist has no such song");
        }
        let mut rng = Rng::from_seed(random());
        let mut drafts = list.insert(self.at.unwrap_or(usize::MAX), &self.add, &mut rng)?;
        drafts.extend(list.remove(&self.remove));
        if let Some((from, to)) = self.moves {
            drafts.extend(list.reorder(from, to.min(count.saturating_sub(1)), &mut rng)?);
        }
        if let Some(name) = &self.name {
            drafts.push(rename(OWNER, id, name)?);
        }
        Ok(drafts)
    }
}

fn none() -> Step {
    error(404, "there is no such playlist")
}

fn error(status: u16, why: &str) -> Step {
    Step::Done(status, Some(json!({ "error": why })))
}

/// What an id is of: a song, unless `of` says otherwise.
fn subject(id: u128, of: Option<&str>) -> Result<Subject, String> {
    match of {
        None | Some("song") => Ok(Subject::Song(SongId(id))),
        Some("album") => Ok(Subject::Album(AlbumId(id))),
        Some("artist") => Ok(Subject::Artist(ArtistId(id))),
        Some(_) => Err("of: song, album or artist".into()),
    }
}

fn name_of(subject: Subject) -> &'static str {
    match subject {
        Subject::Song(_) => "song",
        Subject::Album(_) => "album",
        Subject::Artist(_) => "artist",
    }
}

fn text_of(subject: Subject) -> String {
    match subject {
        Subject::Song(id) => id.to_string(),
        Subject::Album(id) => id.to_string(),
        Subject::Artist(id) => id.to_string(),
    }
}
