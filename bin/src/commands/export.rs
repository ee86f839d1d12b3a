//! `dispotify export`: the whole library as files, so that nobody is locked in.
//!
//! What is there and whole is not fetched again, and no file is ever replaced: a name that another
//! file has is passed by. A song is fetched into one hidden file, which gets its name when it is
//! complete and verified.

mod names;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::ProgressBar;
use roles::contract::browse::{AlbumSort, Browse, Browsed, PageOf};
use roles::contract::id::SongId;
use roles::contract::limits::PAGE_SONGS_MAX;
use roles::contract::message::{Listed, Sort};
use roles::contract::song::{Format, Song};
use serde::Serialize;
use storage::disk_space;
use storage::import::suffix;

use super::whole::{bar, fetch, is_at, on_interrupt};
use super::{FileFields, chosen, json_line, line};
use crate::args::{Export, NamesBy};
use crate::failure::Failure;
use crate::session::{Opened, Session};
use crate::settings::Settings;
use crate::text;
use names::{OnAlbum, Taken};

/// Fetches every song that is not in the folder yet.
pub(crate) fn run(mut settings: Settings, export: &Export) -> Result<(), Failure> {
    // The whole library would push what is listened to out of the cache, and write everything twice.
    settings.cache_dir = None;
    let session = Session::start(&settings)?;
    let words = export.search.as_deref().unwrap_or_default();
    let songs = chosen::listed(&session, words, Sort::Album)?;
    if songs.is_empty() && export.search.is_some() {
        return Err(chosen::nothing(words));
    }
    let albums = match export.by {
        NamesBy::Tags => albums(&session, words)?,
        NamesBy::Id => BTreeMap::new(),
    };
    let mut work = Work::new(&session, export, &albums)?;
    let planned = work.plan(songs)?;
    work.check_room(&planned)?;
    if export.dry_run {
        planned.iter().try_for_each(|one| work.would_fetch(one))?;
    } else {
        work.fetch_all(planned)?;
    }
    work.end()
}

/// The album of each song that is on one.
fn albums(session: &Session, words: &str) -> Result<BTreeMap<SongId, OnAlbum>, Failure> {
    let mut of_song = BTreeMap::new();
    let mut page = PageOf {
        words: words.to_owned(),
        ..PageOf::all(PAGE_SONGS_MAX as u32)
    };
    loop {
        let browse = Browse::Albums {
            page: page.clone(),
            artist: None,
            sort: AlbumSort::Artist,
        };
        let Browsed::Albums { albums, next, .. } = session.browse(browse)? else {
            return Err(Failure::failed("list albums", "the router gave none"));
        };
        for album in albums {
            let on = OnAlbum {
                artist: album.artist.clone(),
                title: album.title.clone(),
                discs: album.discs,
            };
            let songs = match chosen::songs_of(session, &album) {
                // Its last song has been removed meanwhile.
                Err(Failure::Failed(_)) => continue,
                songs => songs?,
            };
            of_song.extend(songs.into_iter().map(|song| (song.id, on.clone())));
        }
        page.after = next;
        if page.after.is_none() {
            return Ok(of_song);
        }
    }
}

/// A song that is not in the folder.
struct Planned {
    song: Song,
    /// Below the folder.
    name: PathBuf,
    /// Copies on live data nodes when the songs were listed.
    copies: u8,
}

/// An export, and what has come of it so far.
struct Work<'a> {
    session: &'a Session,
    export: &'a Export,
    albums: &'a BTreeMap<SongId, OnAlbum>,
    spool: Option<Spool>,
    taken: Taken,
    bar: ProgressBar,
    fetched: u64,
    fetched_bytes: u64,
    there: u64,
    missing: u64,
    /// Songs one after the other for which nobody could be reached.
    unreachable: u32,
}

/// After so many songs one behind the other for which nobody could be reached, the export ends: each
/// of them has been tried for some seconds.
const UNREACHABLE_MAX: u32 = 3;

impl<'a> Work<'a> {
    fn new(
        session: &'a Session,
        export: &'a Export,
        albums: &'a BTreeMap<SongId, OnAlbum>,
    ) -> Result<Self, Failure> {
        let spool = match export.dry_run {
            true => None,
            false => Some(Spool::open(&export.folder)?),
        };
        Ok(Work {
            session,
            export,
            albums,
            spool,
            taken: Taken::default(),
            bar: ProgressBar::hidden(),
            fetched: 0,
            fetched_bytes: 0,
            there: 0,
            missing: 0,
            unreachable: 0,
        })
    }

    /// Finds a name for each song; what is in the folder already is only counted. Names that are in
    /// use are taken first, so that no new song gets one of them.
    fn plan(&mut self, songs: Vec<Listed>) -> Result<Vec<Planned>, Failure> {
        let mut absent = Vec::new();
        for Listed { song, copies } in songs {
            match self.place_of(&song) {
                Ok(Place::There(name)) => {
                    self.taken.take(&name);
                    self.there += 1;
                    self.tell(&song, Some(&name), Outcome::There)?;
                }
                Ok(Place::Absent(names)) => absent.push((song, copies, names)),
                Err(failure) => self.on_failed(&song, None, failure)?,
            }
        }
        let mut planned = Vec::new();
        for (song, copies, names) in absent {
            match self.free_name(names) {
                Some(name) => planned.push(Planned { song, name, copies }),
                None => {
                    let why = Failure::Failed("other files have all its names".into());
                    self.on_failed(&song, None, why)?;
                }
            }
        }
        Ok(planned)
    }

    /// Whether a song is in the folder, and under which names it may be.
    fn place_of(&self, song: &Song) -> Result<Place, Failure> {
        let suffix = match suffix_of(song.format) {
            Some(suffix) => suffix.to_owned(),
            None => self.suffix_from_manifest(song)?,
        };
        let names = match self.export.by {
            NamesBy::Tags => names::by_tags(song, self.albums.get(&song.id), &suffix).to_vec(),
            NamesBy::Id => names::by_id(song, &suffix).to_vec(),
        };
        for name in &names {
            if !self.taken.has(name) && self.is_there(name, song)? {
                return Ok(Place::There(name.clone()));
            }
        }
        Ok(Place::Absent(names))
    }

    fn suffix_from_manifest(&self, song: &Song) -> Result<String, Failure> {
        let id = song.id.to_string();
        let opened = self.session.open(&format!("export {id}"), &id)?;
        let suffix = suffix(&opened.manifest).to_owned();
        opened.close(self.session)?;
        Ok(suffix)
    }

    /// Whether the file of this name is the song: by its size, and unless the user wants it quick, by
    /// its hash.
    fn is_there(&self, name: &Path, song: &Song) -> Result<bool, Failure> {
        let path = self.export.folder.join(name);
        let Ok(found) = fs::symlink_metadata(&path) else {
            return Ok(false);
        };
        if !found.is_file() || found.len() != song.bytes {
            return Ok(false);
        }
        let is_it = self.export.quick || is_at(&path, song).map_err(|e| unreadable(&path, &e))?;
        Ok(is_it)
    }

    /// The first of these names that nothing has, on disk or in this run.
    fn free_name(&mut self, names: Vec<PathBuf>) -> Option<PathBuf> {
        let folder = &self.export.folder;
        let is_free = |name: &PathBuf| fs::symlink_metadata(folder.join(name)).is_err();
        let free = names.into_iter().filter(is_free);
        free.into_iter().find(|name| self.taken.take(name))
    }

    /// Refuses to begin what cannot end: the songs need more room than there is.
    fn check_room(&self, planned: &[Planned]) -> Result<(), Failure> {
        let needed: u64 = planned.iter().map(|one| one.song.bytes).sum();
        let folder = existing(&self.export.folder);
        let available = disk_space::available(folder);
        if needed <= available || self.export.dry_run {
            return Ok(());
        }
        let (needed, available) = (text::bytes(needed), text::bytes(available));
        let why = format!(
            "the songs take {needed}, and {available} are free (choose another folder, or some of the songs by --search)"
        );
        Err(Failure::failed(self.attempt(), why))
    }

    fn attempt(&self) -> String {
        format!("export to {}", self.export.folder.display())
    }

    fn would_fetch(&mut self, one: &Planned) -> Result<(), Failure> {
        if one.copies == 0 {
            return self.on_failed(&one.song, Some(&one.name), no_copy());
        }
        self.fetched += 1;
        self.fetched_bytes += one.song.bytes;
        self.tell(&one.song, Some(&one.name), Outcome::WouldFetch)
    }

    fn fetch_all(&mut self, planned: Vec<Planned>) -> Result<(), Failure> {
        let interrupted = on_interrupt()?;
        self.bar = bar(planned.iter().map(|one| one.song.bytes).sum());
        for one in planned {
            match self.fetch_one(&one, &interrupted) {
                Ok(()) => {
                    self.unreachable = 0;
                    self.fetched += 1;
                    self.fetched_bytes += one.song.bytes;
                    self.tell(&one.song, Some(&one.name), Outcome::Fetched)?;
                }
                Err(Stop::All(failure)) => return Err(failure),
                Err(Stop::Song(failure)) => {
                    self.on_failed(&one.song, Some(&one.name), failure)?;
                }
            }
        }
        self.bar.finish_and_clear();
        Ok(())
    }

    fn fetch_one(&mut self, one: &Planned, interrupted: &AtomicBool) -> Result<(), Stop> {
        let (session, id) = (self.session, one.song.id.to_string());
        let attempt = format!("export {id}");
        let song = session.open(&attempt, &id).map_err(Stop::Song)?;
        let read = self.read_into_spool(&song, &attempt, interrupted);
        song.close(session).map_err(Stop::All)?;
        read?;
        match &mut self.spool {
            Some(spool) => spool.name(&one.name).map_err(Stop::Song),
            None => Ok(()),
        }
    }

    /// Reads a song whole. What stops it here, a full disk or Ctrl-C, stops all.
    fn read_into_spool(
        &mut self,
        song: &Opened,
        attempt: &str,
        interrupted: &AtomicBool,
    ) -> Result<(), Stop> {
        let Some(spool) = &mut self.spool else {
            return Ok(());
        };
        let mut broken = None;
        spool.empty().map_err(Stop::All)?;
        let read = fetch(self.session, song, attempt, &self.bar, |bytes| {
            if interrupted.load(Ordering::Relaxed) {
                broken = Some(INTERRUPTED.to_owned());
            } else if let Err(error) = spool.file.write_all(bytes) {
                broken = Some(disk_space::in_words(&self.export.folder, &error));
            }
            match &broken {
                None => Ok(()),
                Some(why) => Err(Failure::failed(attempt, why)),
            }
        });
        match read {
            Err(failure) if broken.is_some() => Err(Stop::All(failure)),
            Err(failure) => Err(Stop::Song(failure)),
            Ok(_) => Ok(()),
        }
    }

    /// Counts a song that is not in the folder. The others go on, unless nobody can be reached.
    fn on_failed(
        &mut self,
        song: &Song,
        name: Option<&Path>,
        failure: Failure,
    ) -> Result<(), Failure> {
        let is_unreachable = matches!(failure, Failure::Unreachable(_));
        self.unreachable = match is_unreachable {
            true => self.unreachable + 1,
            false => 0,
        };
        if self.unreachable >= UNREACHABLE_MAX {
            return Err(failure);
        }
        self.missing += 1;
        self.tell(song, name, Outcome::Missing(&failure.to_string()))
    }

    fn tell(&self, song: &Song, name: Option<&Path>, outcome: Outcome<'_>) -> Result<(), Failure> {
        let path = name.map(|name| self.export.folder.join(name));
        self.bar.suspend(|| {
            if self.export.json {
                return json_line(&Line::of(song, path.as_deref(), outcome));
            }
            let title = text::cell(&song.title);
            let at = path.map_or(title, |path| path.display().to_string());
            match outcome {
                Outcome::There => Ok(()),
                Outcome::Fetched | Outcome::WouldFetch => {
                    line(&format!("{at} ({})", text::bytes(song.bytes)))
                }
                Outcome::Missing(why) => line(&format!("missing  {at}: {why}")),
            }
        })
    }

    fn end(self) -> Result<(), Failure> {
        let verb = if self.export.dry_run {
            "to fetch"
        } else {
            "fetched"
        };
        let (songs, bytes) = (self.fetched, text::bytes(self.fetched_bytes));
        let (there, missing) = (self.there, self.missing);
        if !self.export.json {
            line(&format!(
                "{songs} {verb} ({bytes}), {there} there already, {missing} missing"
            ))?;
        }
        if missing == 0 {
            return Ok(());
        }
        let songs = text::count(missing, "song");
        let why = format!("{songs} missing (the same command fetches only what is not there)");
        Err(Failure::failed(self.attempt(), why))
    }
}

/// Why a song is not fetched.
enum Stop {
    /// The others may be.
    Song(Failure),
    /// The others would fail, too.
    All(Failure),
}

/// Where a song is or may be.
enum Place {
    There(PathBuf),
    /// It may have one of these names.
    Absent(Vec<PathBuf>),
}

/// The suffix of a song's file, where the list of songs tells it.
fn suffix_of(format: Format) -> Option<&'static str> {
    match format {
        // The first may lie in an Ogg file, the second keeps the suffix of the file that was added.
        Format::Flac | Format::Opaque => None,
        Format::Wav | Format::Mp3 | Format::Vorbis | Format::Opus | Format::M4a => {
            Some(format.suffix())
        }
    }
}

/// The folder, or the nearest one above that is there.
fn existing(folder: &Path) -> &Path {
    let there = folder.ancestors().find(|above| above.is_dir());
    there.unwrap_or(Path::new("."))
}

fn no_copy() -> Failure {
    Failure::Failed("no live node has it".into())
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("read {}", path.display()), error)
}

const INTERRUPTED: &str = "interrupted (the same command goes on where it stood)";

/// The file into which songs are fetched, one after the other, and the folder in which it lies. While
/// it is locked, no other export writes into this folder.
struct Spool {
    folder: PathBuf,
    path: PathBuf,
    file: File,
}

impl Spool {
    fn open(folder: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(folder)
            .map_err(|error| Failure::failed(format!("make {}", folder.display()), error))?;
        let path = folder.join(SPOOL);
        let file = Spool::file_at(&path)?;
        Ok(Spool {
            folder: folder.to_owned(),
            path,
            file,
        })
    }

    fn file_at(path: &Path) -> Result<File, Failure> {
        let attempt = || format!("write {}", path.display());
        let mut options = File::options();
        let opened = options.write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(|error| Failure::failed(attempt(), error))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                let why = "another export writes into this folder (wait until it ends)";
                Err(Failure::failed(attempt(), why))
            }
            // A file system without locks: two exports at once are the user's affair there.
            Err(TryLockError::Error(_)) => Ok(file),
        }
    }

    /// Makes it ready for the next song.
    fn empty(&mut self) -> Result<(), Failure> {
        if !self.path.exists() {
            self.file = Spool::file_at(&self.path)?;
        }
        let emptied = io::Seek::rewind(&mut self.file).and_then(|()| self.file.set_len(0));
        emptied.map_err(|error| Failure::failed(format!("write {}", self.path.display()), error))
    }

    /// Gives the song its name. Nothing that is there is replaced, and no link is followed.
    fn name(&mut self, name: &Path) -> Result<(), Failure> {
        let path = self.folder.join(name);
        let failed =
            |why: &dyn std::fmt::Display| Failure::failed(format!("write {}", path.display()), why);
        let mut folder = self.folder.clone();
        for part in name.parent().into_iter().flat_map(Path::components) {
            folder.push(part);
            match fs::symlink_metadata(&folder) {
                Ok(found) if found.is_dir() => (),
                Ok(_) => {
                    let why = format!("{} is no folder", folder.display());
                    return Err(failed(&why));
                }
                Err(_) => fs::create_dir(&folder).map_err(|error| failed(&error))?,
            }
        }
        if fs::symlink_metadata(&path).is_ok() {
            return Err(failed(&"a file of this name has come meanwhile"));
        }
        fs::rename(&self.path, &path).map_err(|error| failed(&error))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // It is there when a song was begun and not ended; a leftover is used by the next export.
        let _ = fs::remove_file(&self.path);
    }
}

/// The name of the spool: hidden, so that `add` and players pass it by.
const SPOOL: &str = ".dispotify-export.part";

#[derive(Clone, Copy)]
enum Outcome<'a> {
    Fetched,
    There,
    WouldFetch,
    Missing(&'a str),
}

/// A song in JSON. The field names are a public interface.
#[derive(Serialize)]
struct Line<'a> {
    id: String,
    #[serde(flatten)]
    file: Option<FileFields>,
    bytes: u64,
    outcome: &'static str,
    error: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn of(song: &Song, path: Option<&Path>, outcome: Outcome<'a>) -> Self {
        let (outcome, error) = match outcome {
            Outcome::Fetched => ("fetched", None),
            Outcome::There => ("there", None),
            Outcome::WouldFetch => ("would_fetch", None),
            Outcome::Missing(why) => ("missing", Some(why)),
        };
        Line {
            id: song.id.to_string(),
            file: path.map(FileFields::of),
            bytes: song.bytes,
            outcome,
            error,
        }
    }
}
