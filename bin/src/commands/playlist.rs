//! `dispotify playlist`: lists of songs, in an order that listeners choose.

mod m3u;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use rand::random;
use roles::annotations::playlist::{Playlist, PlaylistId, names, rename};
use roles::contract::document::Kind;
use roles::contract::id::SongId;
use roles::contract::rng::Rng;
use roles::contract::song::Song;
use serde::Serialize;

use super::listener::{OWNER, library, noted, read, songs, write};
use super::{json_line, line, list, write_all};
use crate::args::{PlaylistAction, Playlists};
use crate::failure::Failure;
use crate::session::Session;
use crate::settings::Settings;
use crate::text;

/// Lists playlists, shows one, or changes it.
pub(crate) fn run(settings: &Settings, playlists: &Playlists) -> Result<(), Failure> {
    let lists = Lists {
        session: Session::start(settings)?,
        json: playlists.json,
    };
    match &playlists.action {
        None | Some(PlaylistAction::Ls) => lists.ls(),
        Some(PlaylistAction::New { name, ids }) => lists.begin(name, ids),
        Some(PlaylistAction::Add { name, ids, at }) => lists.add(name, ids, *at),
        Some(PlaylistAction::Rm { name, ids, at }) => lists.rm(name, ids, at),
        Some(PlaylistAction::Move { name, from, to }) => lists.reorder(name, *from, *to),
        Some(PlaylistAction::Show { name }) => lists.show(name),
        Some(PlaylistAction::Rename { name, to }) => lists.rename(name, to),
        Some(PlaylistAction::Delete { name }) => lists.delete(name),
        Some(PlaylistAction::Export { name, file }) => lists.export(name, file),
        Some(PlaylistAction::Import { file, name }) => lists.import(file, name.as_deref()),
    }
}

/// A command about playlists.
struct Lists {
    session: Session,
    json: bool,
}

impl Lists {
    fn ls(&self) -> Result<(), Failure> {
        let named = self.named()?;
        if named.is_empty() && !self.json {
            return line("no playlists");
        }
        let mut lists = Vec::new();
        for (id, name) in named {
            lists.push((id, name, self.open(id)?.songs().len()));
        }
        lists.sort_by(|a, b| (&a.1, a.0).cmp(&(&b.1, b.0)));
        if self.json {
            let line = |(id, name, songs): &(PlaylistId, String, usize)| {
                json_line(&Summary {
                    id: id_text(*id),
                    name,
                    songs: *songs,
                })
            };
            return lists.iter().try_for_each(line);
        }
        let mut table = text::table(["ID", "NAME", "SONGS"], &[2]);
        for (id, name, songs) in lists {
            table.add_row([short(id), text::cell(&name), songs.to_string()]);
        }
        write_all(format!("{table}\n").as_bytes())
    }

    fn begin(&self, name: &str, ids: &[String]) -> Result<(), Failure> {
        let songs = songs(&self.session, "make a playlist of", ids)?;
        self.make(name, &songs)
    }

    fn make(&self, name: &str, songs: &[SongId]) -> Result<(), Failure> {
        let attempt = format!("make playlist {name}");
        let known = self.named()?;
        if known.iter().any(|(_, other)| other == name.trim()) {
            return Err(Failure::failed(attempt, "there is one of this name"));
        }
        let id = PlaylistId(random());
        let head = rename(OWNER, id, name).map_err(|why| Failure::failed(&attempt, why))?;
        let list = Playlist::of(OWNER, id, &[]);
        let mut drafts = list.insert(0, songs, &mut Rng::from_seed(random()));
        let drafts = drafts
            .as_mut()
            .map_err(|why| Failure::failed(&attempt, *why))?;
        // The name comes last: a list that is there is whole.
        drafts.push(head);
        let copies = write(&self.session, &attempt, std::mem::take(drafts))?;
        self.say((id, name), songs.len(), "made", copies)
    }

    fn add(&self, name: &str, ids: &[String], at: Option<usize>) -> Result<(), Failure> {
        let attempt = format!("add to playlist {name}");
        let (id, name) = self.find(&attempt, name)?;
        let songs = songs(&self.session, &attempt, ids)?;
        let list = self.open(id)?;
        let at = at.map_or(usize::MAX, |at| at - 1);
        let drafts = list
            .insert(at, &songs, &mut Rng::from_seed(random()))
            .map_err(|why| Failure::failed(&attempt, why))?;
        let copies = write(&self.session, &attempt, drafts)?;
        self.say(
            (id, &name),
            list.songs().len() + songs.len(),
            "added to",
            copies,
        )
    }

    fn rm(&self, name: &str, ids: &[String], at: &[usize]) -> Result<(), Failure> {
        let attempt = format!("remove from playlist {name}");
        if ids.is_empty() && at.is_empty() {
            let cure = "name songs by their ids or with --at; `playlist delete` removes the list";
            return Err(Failure::Usage(format!("{attempt}: {cure}")));
        }
        let (id, name) = self.find(&attempt, name)?;
        let list = self.open(id)?;
        let there: Vec<SongId> = list.songs().collect();
        let mut leaving: BTreeSet<usize> = at.iter().map(|at| at - 1).collect();
        for wanted in ids {
            let fits = |song: &SongId| song.to_string().starts_with(&wanted.to_ascii_lowercase());
            let found: Vec<usize> = (0..there.len()).filter(|at| fits(&there[*at])).collect();
            let different: BTreeSet<SongId> = found.iter().map(|at| there[*at]).collect();
            match different.len() {
                0 => return Err(Failure::failed(&attempt, format!("{wanted} is not in it"))),
                1 => leaving.extend(found),
                _ => {
                    let why =
                        format!("several of its songs begin with {wanted} (give more digits)");
                    return Err(Failure::failed(&attempt, why));
                }
            }
        }
        if let Some(beyond) = leaving.iter().find(|at| **at >= there.len()) {
            let why = format!(
                "it has {}, not {}",
                text::count(there.len() as u64, "song"),
                beyond + 1
            );
            return Err(Failure::failed(&attempt, why));
        }
        let copies = write(&self.session, &attempt, list.remove(&leaving))?;
        self.say(
            (id, &name),
            there.len() - leaving.len(),
            "removed from",
            copies,
        )
    }

    fn reorder(&self, name: &str, from: usize, to: usize) -> Result<(), Failure> {
        let attempt = format!("move within playlist {name}");
        let (id, name) = self.find(&attempt, name)?;
        let list = self.open(id)?;
        let count = list.songs().len();
        if from > count || to > count {
            let why = format!("it has {}", text::count(count as u64, "song"));
            return Err(Failure::failed(&attempt, why));
        }
        let drafts = list
            .reorder(from - 1, to - 1, &mut Rng::from_seed(random()))
            .map_err(|why| Failure::failed(&attempt, why))?;
        let copies = write(&self.session, &attempt, drafts)?;
        self.say((id, &name), count, "reordered", copies)
    }

    fn show(&self, name: &str) -> Result<(), Failure> {
        let (id, _) = self.find(&format!("show playlist {name}"), name)?;
        let songs: Vec<SongId> = self.open(id)?.songs().collect();
        let library = library(&self.session)?;
        if self.json {
            return songs.iter().zip(1..).try_for_each(|(song, at)| {
                let known = library.get(song);
                json_line(&Entry {
                    at,
                    id: song.to_string(),
                    title: known.map(|song| song.title.as_str()),
                    artist: known.map(|song| song.artist.as_str()),
                    album: known.map(|song| song.album.as_str()),
                    duration_ms: known.map(|song| song.duration_ms),
                })
            });
        }
        if songs.is_empty() {
            return line("no songs");
        }
        let mut table = text::table(["", "ID", "TITLE", "ARTIST", "ALBUM", "LENGTH"], &[0, 5]);
        let digits =
            list::digits_needed(songs.iter().copied().collect::<BTreeSet<_>>().into_iter());
        let mut length_ms = 0;
        for (song, at) in songs.iter().zip(1..) {
            let known = library.get(song);
            let field =
                |of: fn(&Song) -> &String| known.map_or(String::new(), |song| text::cell(of(song)));
            let title = match known {
                Some(song) => text::cell(&song.title),
                None => "(not in the library)".to_owned(),
            };
            let duration_ms = known.map_or(0, |song| song.duration_ms);
            length_ms += u64::from(duration_ms);
            let mut id = song.to_string();
            id.truncate(digits);
            table.add_row([
                at.to_string(),
                id,
                title,
                field(|song| &song.artist),
                field(|song| &song.album),
                text::length(duration_ms),
            ]);
        }
        let sum = format!(
            "{}, {}\n",
            text::count(songs.len() as u64, "song"),
            text::long_length(length_ms)
        );
        write_all(format!("{table}\n{sum}").as_bytes())
    }

    fn rename(&self, name: &str, to: &str) -> Result<(), Failure> {
        let attempt = format!("rename playlist {name}");
        let (id, _) = self.find(&attempt, name)?;
        let head = rename(OWNER, id, to).map_err(|why| Failure::failed(&attempt, why))?;
        let copies = write(&self.session, &attempt, vec![head])?;
        let songs = self.open(id)?.songs().len();
        self.say((id, to), songs, "renamed to", copies)
    }

    fn delete(&self, name: &str) -> Result<(), Failure> {
        let attempt = format!("delete playlist {name}");
        let (id, name) = self.find(&attempt, name)?;
        let copies = write(&self.session, &attempt, self.open(id)?.delete())?;
        self.say((id, &name), 0, "deleted", copies)
    }

    fn export(&self, name: &str, file: &Path) -> Result<(), Failure> {
        let attempt = format!("export playlist {name} to {}", file.display());
        let (id, name) = self.find(&attempt, name)?;
        let songs: Vec<SongId> = self.open(id)?.songs().collect();
        let library = library(&self.session)?;
        let written = m3u::write(&name, songs.iter().map(|song| (*song, library.get(song))));
        if file == Path::new("-") {
            return write_all(written.as_bytes());
        }
        fs::write(file, written).map_err(|why| Failure::failed(&attempt, why))?;
        self.say((id, &name), songs.len(), "exported", 2)
    }

    fn import(&self, file: &Path, name: Option<&str>) -> Result<(), Failure> {
        let attempt = format!("import {}", file.display());
        let bytes = fs::read(file).map_err(|why| Failure::failed(&attempt, why))?;
        let library = library(&self.session)?;
        let read = m3u::read(&bytes, &library).map_err(|why| Failure::failed(&attempt, why))?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let name = name.map(str::to_owned).or(read.name);
        if read.songs.is_empty() {
            let why = "none of its songs is in the library: `dispotify add` them first";
            return Err(Failure::failed(attempt, why));
        }
        for missing in &read.missing {
            // Nothing is lost where nobody reads it.
            let _ = writeln!(io::stderr(), "not in the library: {}", text::cell(missing));
        }
        self.make(&name.unwrap_or_else(|| stem.into_owned()), &read.songs)
    }

    /// All playlists with their names.
    fn named(&self) -> Result<Vec<(PlaylistId, String)>, Failure> {
        let heads = read(&self.session, "list the playlists", Kind::PLAYLIST, &[])?;
        Ok(names(&heads))
    }

    /// The one playlist of this name, or whose id begins with these eight digits or more.
    fn find(&self, attempt: &str, name: &str) -> Result<(PlaylistId, String), Failure> {
        let all = self.named()?;
        let digits = name.len() >= 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let by_id = |id: PlaylistId| digits && id_text(id).starts_with(&name.to_ascii_lowercase());
        let mut found: Vec<_> = all
            .iter()
            .filter(|(_, other)| other == name.trim())
            .collect();
        if found.is_empty() {
            found = all.iter().filter(|(id, _)| by_id(*id)).collect();
        }
        match &found[..] {
            [one] => Ok((*one).clone()),
            [] => Err(Failure::failed(
                attempt,
                "there is none (see `dispotify playlist ls`)",
            )),
            several => {
                let ids: Vec<String> = several.iter().map(|(id, _)| id_text(*id)).collect();
                let why = format!(
                    "several have this name, name one by its id: {}",
                    ids.join(" ")
                );
                Err(Failure::failed(attempt, why))
            }
        }
    }

    fn open(&self, id: PlaylistId) -> Result<Playlist, Failure> {
        let within = id.0.to_be_bytes();
        let attempt = "read the playlist";
        let mut documents = read(&self.session, attempt, Kind::ENTRIES, &within)?;
        documents.extend(read(&self.session, attempt, Kind::LEFT, &within)?);
        Ok(Playlist::of(OWNER, id, &documents))
    }

    fn say(
        &self,
        (id, name): (PlaylistId, &str),
        songs: usize,
        outcome: &'static str,
        copies: u8,
    ) -> Result<(), Failure> {
        if self.json {
            return json_line(&Outcome {
                id: id_text(id),
                name: name.trim(),
                songs,
                copies,
            });
        }
        let count = text::count(songs as u64, "song");
        line(&format!(
            "{outcome} {} ({count}){}",
            text::cell(name.trim()),
            noted(copies)
        ))
    }
}

/// The id of a playlist as it is shown and typed.
pub(crate) fn id_text(id: PlaylistId) -> String {
    format!("{:032x}", id.0)
}

fn short(id: PlaylistId) -> String {
    let mut text = id_text(id);
    text.truncate(8);
    text
}

/// A playlist in JSON. The field names are a public interface.
#[derive(Serialize)]
struct Summary<'a> {
    id: String,
    name: &'a str,
    songs: usize,
}

/// A song of a playlist in JSON, likewise; what the library lacks has no more than its id.
#[derive(Serialize)]
struct Entry<'a> {
    at: usize,
    id: String,
    title: Option<&'a str>,
    artist: Option<&'a str>,
    album: Option<&'a str>,
    duration_ms: Option<u32>,
}

/// What became of a playlist, likewise.
#[derive(Serialize)]
struct Outcome<'a> {
    id: String,
    name: &'a str,
    songs: usize,
    copies: u8,
}

/// Songs of a file, each by its number in the library.
type Library = BTreeMap<SongId, Song>;
