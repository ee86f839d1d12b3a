//! `dispotify get`: a song as a file, byte for byte.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use roles::contract::song::Manifest;
use serde::Serialize;
use storage::disk_space;
use storage::import::suffix;
use storage::private;

use super::whole::{Sources, bar, fetch, is_at, on_interrupt};
use super::{FileFields, chosen, json_line, line};
use crate::args::Get;
use crate::failure::{Failure, output};
use crate::session::{Opened, Session};
use crate::settings::Settings;
use crate::text;

/// Fetches a song into a file, which appears only when it is complete and verified; or all songs of an
/// album into a folder.
pub(crate) fn run(settings: &Settings, get: &Get) -> Result<(), Failure> {
    let session = Session::start(settings)?;
    if let Some(named) = &get.album {
        return album(&session, get, named);
    }
    let id = get.id.as_deref().unwrap_or_default();
    let attempt = format!("get {id}");
    let song = session.open(&attempt, id)?;
    if get.output.as_deref() == Some(Path::new("-")) {
        let mut out = io::stdout().lock();
        let bar = bar(song.manifest.song.bytes);
        fetch(&session, &song, &attempt, &bar, |bytes| {
            out.write_all(bytes).map_err(output)
        })?;
        bar.finish_and_clear();
        return out.flush().map_err(output);
    }
    let path = place(get, &song.manifest)?;
    let interrupted = on_interrupt()?;
    to_file(&session, get, &song, &path, &interrupted)
}

/// Fetches the songs of an album, one after the other. What is in the folder already is not fetched
/// again.
fn album(session: &Session, get: &Get, named: &str) -> Result<(), Failure> {
    let (album, songs) = chosen::album(session, named)?;
    let folder = match &get.output {
        Some(folder) => folder.clone(),
        None => PathBuf::from(text::folder_name(&album.artist, &album.title)),
    };
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
    let interrupted = on_interrupt()?;
    for song in songs {
        let id = song.id.to_string();
        let opened = session.open(&format!("get {id}"), &id)?;
        match place_on_album(&folder, album.discs, &opened.manifest)? {
            Some(path) => to_file(session, get, &opened, &path, &interrupted)?,
            None if get.json => (),
            None => line(&format!("{} is there already", song.title))?,
        }
        opened.close(session)?;
    }
    Ok(())
}

/// The path of a song of an album; none if the file is there. Another file of that name makes the name
/// longer.
fn place_on_album(
    folder: &Path,
    discs: u16,
    manifest: &Manifest,
) -> Result<Option<PathBuf>, Failure> {
    let song = &manifest.song;
    let number = match (discs, song.track) {
        (_, 0) => String::new(),
        (0 | 1, track) => format!("{track:02}"),
        (_, track) => format!("{}-{track:02}", song.disc.max(1)),
    };
    let named = |title: &str| folder.join(text::file_name(&number, title, suffix(manifest)));
    let longer = format!("{} {}", song.title, song.id);
    for path in [named(&song.title), named(&longer)] {
        if !path.exists() {
            return Ok(Some(path));
        }
        if is_at(&path, &manifest.song).map_err(|error| failed(&path, error))? {
            return Ok(None);
        }
    }
    let cure = "other files of this song's name are there (choose another folder with -o)";
    Err(Failure::failed(
        format!("write into {}", folder.display()),
        cure,
    ))
}

fn to_file(
    session: &Session,
    get: &Get,
    song: &Opened,
    path: &Path,
    interrupted: &AtomicBool,
) -> Result<(), Failure> {
    let attempt = format!("get {}", song.manifest.song.id);
    let mut part = Part::create(path)?;
    let bar = bar(song.manifest.song.bytes);
    let sources = fetch(session, song, &attempt, &bar, |bytes| {
        if interrupted.load(Ordering::Relaxed) {
            let resume = "interrupted (the same command goes on where it stood)";
            return Err(Failure::failed(&attempt, resume));
        }
        part.write(bytes)
    })?;
    bar.finish_and_clear();
    part.finish()?;
    if get.json {
        return json_line(&Object::of(&song.manifest, path, &sources));
    }
    let size = text::bytes(song.manifest.song.bytes);
    line(&format!(
        "{} ({size}, from {})",
        path.display(),
        sources.text()
    ))
}

/// The path of the file. A name made from tags never replaces a file; a given name does.
fn place(get: &Get, manifest: &Manifest) -> Result<PathBuf, Failure> {
    let song = &manifest.song;
    let name = text::file_name(&song.artist, &song.title, suffix(manifest));
    let path = match &get.output {
        Some(folder) if folder.is_dir() => folder.join(name),
        Some(path) => return Ok(path.clone()),
        None => PathBuf::from(name),
    };
    if path.exists() {
        let cure = "it is there already (choose a name with -o)";
        return Err(Failure::failed(format!("write {}", path.display()), cure));
    }
    Ok(path)
}

/// An output file that has a temporary name until it is complete and is removed otherwise. A file that
/// it replaces gives it its mode: while it is written, too, nobody reads it who may not. A target that
/// is no regular file (a device, a pipe) is written in place, and a link is followed.
struct Part {
    file: File,
    /// The temporary name; `None` when the target is written in place.
    part: Option<PathBuf>,
    path: PathBuf,
}

impl Part {
    fn create(path: &Path) -> Result<Self, Failure> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let target = fs::metadata(&path).ok();
        let in_place = target.as_ref().is_some_and(|meta| !meta.is_file());
        let part = (!in_place).then(|| {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{}.part", std::process::id()));
            PathBuf::from(name)
        });
        let opened = match &part {
            Some(part) => create_like(part, target.as_ref()),
            None => File::options().write(true).open(&path),
        };
        let file = opened.map_err(|error| failed(&path, error))?;
        Ok(Part { file, part, path })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        (self.file.write_all(bytes)).map_err(|error| failed(&self.path, error))
    }

    fn finish(mut self) -> Result<(), Failure> {
        if let Some(part) = &self.part {
            fs::rename(part, &self.path).map_err(|error| failed(&self.path, error))?;
            self.part = None;
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            // A leftover keeps the suffix .part, and the failure itself is already being reported.
            let _ = fs::remove_file(part);
        }
    }
}

/// Creates a file with the mode of the one that it will replace.
fn create_like(path: &Path, target: Option<&Metadata>) -> io::Result<File> {
    let Some(target) = target else {
        return File::create_new(path);
    };
    let file = private::create_new(path)?;
    // A set-user-id bit would give away rights of whoever runs this command.
    let mode = target.permissions().mode() & 0o777;
    if file.metadata()?.permissions().mode() & 0o777 != mode {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(file)
}

fn failed(path: &Path, error: io::Error) -> Failure {
    let dir = path.parent().unwrap_or(path);
    let reason = disk_space::in_words(dir, &error);
    Failure::failed(format!("write {}", path.display()), reason)
}

/// The result in JSON. The field names are a public interface.
#[derive(Serialize)]
struct Object {
    id: String,
    #[serde(flatten)]
    file: FileFields,
    bytes: u64,
    fragments_fetched: u64,
    fragments_cached: u64,
    from: Vec<String>,
}

impl Object {
    fn of(manifest: &Manifest, path: &Path, sources: &Sources) -> Self {
        Object {
            id: manifest.song.id.to_string(),
            file: FileFields::of(path),
            bytes: manifest.song.bytes,
            fragments_fetched: sources.fetched,
            fragments_cached: sources.cached,
            from: sources.nodes.iter().cloned().collect(),
        }
    }
}
