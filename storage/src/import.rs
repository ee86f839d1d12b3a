//! From a file somewhere to a manifest, and to the slices the manifest speaks of.
//!
//! Reads each file in bounded memory: a scan holds one fragment, whatever the file's length. A file
//! that changes while it is read, or between the scan and the upload, is noticed and refused: what
//! has been announced under a hash is what is sent.

mod folders;
mod settling;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, DirEntry, File, FileType, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use roles::contract::id::{ContentHash, SourceId};
use roles::contract::job::JobFault;
use roles::contract::limits::FRAGMENT_BYTES_MAX;
use roles::contract::song::{DecoderPrefix, Format, Fragment, Manifest, Song};

use crate::audio::{self, Cutting};
use crate::tags::{self, Tags};

pub use folders::{Change, Event, Events, Folders, watch};
pub use settling::{Looks, STILL, STILL_FOUND, Settling};

/// The files a front has named, by the numbers their jobs carry. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    paths: Arc<Mutex<Paths>>,
}

#[derive(Debug, Default)]
struct Paths {
    by_id: BTreeMap<SourceId, Source>,
    next: u64,
}

#[derive(Debug)]
struct Source {
    path: PathBuf,
    /// What the file looked like when it was scanned, if a change cannot hide behind it.
    seen: Option<Seen>,
}

impl Sources {
    /// Registers a file; its number is never given to another.
    pub fn add(&self, path: impl Into<PathBuf>) -> SourceId {
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let id = SourceId(paths.next);
        paths.next += 1;
        let (path, seen) = (path.into(), None);
        paths.by_id.insert(id, Source { path, seen });
        id
    }

    /// The file registered under this number.
    pub fn path(&self, id: SourceId) -> Option<PathBuf> {
        let paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        paths.by_id.get(&id).map(|source| source.path.clone())
    }

    /// Scans the file with this number.
    pub(crate) fn scan(&self, id: SourceId) -> Result<Manifest, JobFault> {
        let path = self.known(id)?;
        let (manifest, seen) = scan_while(&path, || ())?;
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = paths.by_id.get_mut(&id) {
            source.seen = seen;
        }
        Ok(manifest)
    }

    /// A slice of the file with this number, if it is as it was scanned.
    pub(crate) fn read(
        &self,
        id: SourceId,
        (offset, length): (u64, u32),
        hash: ContentHash,
    ) -> Result<Vec<u8>, JobFault> {
        let path = self.known(id)?;
        let paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = paths.by_id.get(&id).and_then(|source| source.seen);
        drop(paths);
        slice(&path, offset, length, hash, seen.as_ref())
    }

    fn known(&self, id: SourceId) -> Result<PathBuf, JobFault> {
        let unknown = || JobFault::Invalid("no file has been named under this number".into());
        self.path(id).ok_or_else(unknown)
    }

    /// Forgets a file whose upload is over.
    pub fn forget(&self, id: SourceId) {
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        paths.by_id.remove(&id);
    }
}

/// Reads a file through: where to cut it, its tags, its hashes.
pub fn scan(path: &Path) -> Result<Manifest, JobFault> {
    let (manifest, _) = scan_while(path, || ())?;
    Ok(manifest)
}

/// Scans; `meanwhile` happens between the cutting and the hashing.
fn scan_while(path: &Path, meanwhile: impl FnOnce()) -> Result<(Manifest, Option<Seen>), JobFault> {
    let begun = SystemTime::now();
    let (mut file, before) = open(path).map_err(|e| broken(path, &e))?;
    let cutting = audio::cut(&mut file, before.len()).map_err(|e| broken(path, &e))?;
    let tags = tags::read(&mut file, cutting.format);
    meanwhile();
    let hashed = hash(&mut file, &cutting).map_err(|e| broken(path, &e))?;
    let after = fs::metadata(path).map_err(|e| broken(path, &e))?;
    let Some((hash, fragments)) = hashed.filter(|_| is_same(&before, &after)) else {
        return Err(invalid(path, "it changed while it was read"));
    };
    let manifest = describe(path, tags, cutting, hash, fragments);
    match manifest.check() {
        Ok(()) => Ok((manifest, Seen::at(begun, &after))),
        Err(fault) => Err(invalid(path, &fault.to_string())),
    }
}

/// A slice of a scanned file, if it still has the hash it had.
pub fn read_source(
    path: &Path,
    offset: u64,
    length: u32,
    hash: ContentHash,
) -> Result<Vec<u8>, JobFault> {
    slice(path, offset, length, hash, None)
}

/// The same. A file that is what was `seen` is not hashed again; whoever gets the slice does so, too.
fn slice(
    path: &Path,
    offset: u64,
    length: u32,
    hash: ContentHash,
    seen: Option<&Seen>,
) -> Result<Vec<u8>, JobFault> {
    if length as usize > FRAGMENT_BYTES_MAX {
        return Err(invalid(path, "no fragment is so long"));
    }
    let mut bytes = vec![0; length as usize];
    match read_slice(path, offset, &mut bytes) {
        Ok(after) if seen.is_some_and(|seen| seen.is(&after)) => Ok(bytes),
        Ok(_) if blake3::hash(&bytes) == hash.0 => Ok(bytes),
        Ok(_) => Err(invalid(path, CHANGED)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(invalid(path, CHANGED)),
        Err(error) => Err(broken(path, &error)),
    }
}

/// The suffix for the file of a song, without the dot. An opaque one keeps that of the file that was
/// added, if that was at most eight small letters or digits.
pub fn suffix(manifest: &Manifest) -> &str {
    match (manifest.song.format, &manifest.prefix) {
        (Format::Opaque, DecoderPrefix::Bytes(suffix)) if is_suffix(suffix) => {
            std::str::from_utf8(suffix).unwrap_or_default()
        }
        (Format::Flac, DecoderPrefix::Head) => "oga",
        (format, _) => format.suffix(),
    }
}

/// The media type for a browser. Of an opaque song it follows the suffix, and is always one of
/// sound, or that of bytes of which nothing is known.
pub fn media_type(manifest: &Manifest) -> &'static str {
    let format = manifest.song.format;
    if format == Format::Flac && manifest.prefix == DecoderPrefix::Head {
        return Format::Vorbis.media_type();
    }
    let known = MEDIA_TYPES
        .iter()
        .find(|(known, _)| format == Format::Opaque && *known == suffix(manifest));
    known.map_or(format.media_type(), |(_, media_type)| media_type)
}

fn is_suffix(bytes: &[u8]) -> bool {
    let sign = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=SUFFIX_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(sign)
}

/// What a decoder needs before a fragment, and nothing else. `head` is the song's head fragments,
/// which only a manifest of [`DecoderPrefix::Head`] uses: sound in them is left out.
pub fn decoder_prefix(manifest: &Manifest, head: &[u8]) -> Vec<u8> {
    match &manifest.prefix {
        DecoderPrefix::None => Vec::new(),
        // No decoder gets an opaque song in pieces: its suffix stands here.
        DecoderPrefix::Bytes(_) if manifest.song.format == Format::Opaque => Vec::new(),
        DecoderPrefix::Bytes(bytes) => bytes.clone(),
        DecoderPrefix::Head => audio::headers_alone(head),
    }
}

/// Whether the head of an Ogg file is the right prefix for this fragment. It is not for the later
/// streams of a chain, which need [`stream_headers`].
pub fn is_of_head(head: &[u8], fragment: &[u8]) -> bool {
    audio::is_of_streams(head, fragment)
}

/// The prefix for the fragments of the stream that begins where this fragment does; none if no
/// stream begins there.
pub fn stream_headers(fragment: &[u8]) -> Option<Vec<u8>> {
    audio::stream_headers(fragment)
}

/// The bytes to put before the bytes `from..to` of an MP4 file of `bytes` bytes, so that a player
/// reads both out of a pipe: an index of its own for the samples that lie there. Of the source only
/// what lies around the sound is read. None if there are no tables of samples.
pub fn playable_head(
    source: &mut (impl Read + Seek),
    bytes: u64,
    (from, to): (u64, u64),
) -> Option<Vec<u8>> {
    audio::playable_head(source, bytes, (from, to))
}

/// One fragment, playable alone: what a decoder needs first, then the fragment.
pub fn decodable(manifest: &Manifest, head: &[u8], fragment: &[u8]) -> Vec<u8> {
    [decoder_prefix(manifest, head).as_slice(), fragment].concat()
}

/// The songs among `paths`: files as they are named, folders with all that lies below them, in
/// order of names.
///
/// In folders only files whose names look like sound count, and nothing hidden. A folder is read
/// once, by whatever links it is reached. A path that was named and cannot be read is a fault; so
/// is a folder below it that cannot be read, because it may hold songs.
pub fn walk(paths: &[PathBuf]) -> Walked {
    let mut walk = Walk::default();
    for path in paths {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => walk.folder(path),
            Ok(_) => walk.found.files.push(path.clone()),
            Err(error) => walk.fault(path, &error),
        }
    }
    walk.found.skipped.sort();
    walk.found
}

/// What a walk has found.
#[derive(Debug, Default)]
pub struct Walked {
    /// Files to import.
    pub files: Vec<PathBuf>,
    /// What could not be read, and why.
    pub faults: Vec<(PathBuf, JobFault)>,
    /// What was left out in folders, in order of names. A hidden folder counts once.
    pub skipped: Vec<(PathBuf, Skipped)>,
    /// The folders that were read, those that were named among them.
    pub folders: Vec<PathBuf>,
}

/// Why a walk leaves out what lies in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skipped {
    /// Its name begins with one dot.
    Hidden,
    /// Its name has no suffix of music.
    Name,
    /// It is a link to nothing.
    DeadLink,
    /// It is neither file nor folder.
    Special,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Skipped::Hidden => "hidden",
            Skipped::Name => "no name of music",
            Skipped::DeadLink => "a link to nothing",
            Skipped::Special => "not a regular file",
        })
    }
}

#[derive(Default)]
struct Walk {
    found: Walked,
    /// Folders by their real paths: a link to a folder above would never end.
    seen: BTreeSet<PathBuf>,
}

impl Walk {
    fn fault(&mut self, path: &Path, error: &io::Error) {
        (self.found.faults).push((path.to_owned(), broken(path, error)));
    }

    fn folder(&mut self, folder: &Path) {
        let mut waiting = vec![folder.to_owned()];
        while let Some(path) = waiting.pop() {
            match self.entry(&path) {
                Ok(inside) => waiting.extend(inside.into_iter().rev()),
                Err(error) => self.fault(&path, &error),
            }
        }
    }

    /// Takes a file; gives the entries of a folder, in order.
    fn entry(&mut self, path: &Path) -> io::Result<BTreeSet<PathBuf>> {
        if !fs::metadata(path)?.is_dir() {
            self.found.files.push(path.to_owned());
            return Ok(BTreeSet::new());
        }
        if !self.seen.insert(fs::canonicalize(path)?) {
            return Ok(BTreeSet::new());
        }
        self.found.folders.push(path.to_owned());
        let mut inside = BTreeSet::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let path = entry.path();
            match skipped(&entry) {
                Some(why) => self.found.skipped.push((path, why)),
                None => _ = inside.insert(path),
            }
        }
        Ok(inside)
    }
}

/// Why an entry of a folder is left out, if it is. What cannot be looked at stays, and becomes a
/// fault when it is read, if it may be music.
fn skipped(entry: &DirEntry) -> Option<Skipped> {
    let path = entry.path();
    if is_hidden(&path) {
        return Some(Skipped::Hidden);
    }
    let is = |kind: fn(&FileType) -> bool| entry.file_type().is_ok_and(|found| kind(&found));
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => None,
        Err(error) if is(FileType::is_symlink) && error.kind() != ErrorKind::PermissionDenied => {
            Some(Skipped::DeadLink)
        }
        Err(_) if is(FileType::is_dir) => None,
        Ok(_) | Err(_) if !sounds(&path) => Some(Skipped::Name),
        Ok(metadata) if !metadata.is_file() => Some(Skipped::Special),
        Ok(_) | Err(_) => None,
    }
}

/// One leading dot hides a file. Titles begin with more: `...And So On.flac`.
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".") && !name.starts_with(b"..")
}

fn sounds(path: &Path) -> bool {
    let suffix = path.extension().unwrap_or_default().to_ascii_lowercase();
    SUFFIXES.iter().any(|known| suffix == *known)
}

/// Opens a regular file that holds something. Looks before it opens: to open a pipe is to wait.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let found = fs::metadata(path)?;
    if found.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

fn is_same(before: &Metadata, after: &Metadata) -> bool {
    before.len() == after.len() && before.modified().ok() == after.modified().ok()
}

/// A file that had not been changed for a while when its scan began: whatever changes it afterwards
/// gives it another time, which no program can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds since 1970.
    changed: (i64, i64),
}

impl Seen {
    fn at(begun: SystemTime, file: &Metadata) -> Option<Seen> {
        let begun = begun.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let begun = i64::try_from(begun.as_secs()).ok()?;
        let seen = Seen::of(file);
        (begun.saturating_sub(seen.changed.0) >= STILL_S).then_some(seen)
    }

    fn of(file: &Metadata) -> Seen {
        Seen {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.len(),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    fn is(&self, file: &Metadata) -> bool {
        Seen::of(file) == *self
    }
}

/// File systems note the time of a change in steps of up to two seconds.
const STILL_S: i64 = 4;

/// The hash of the file and its fragments, or none if the file ends before the last of them.
fn hash(file: &mut File, cutting: &Cutting) -> io::Result<Option<(ContentHash, Vec<Fragment>)>> {
    let mut whole = blake3::Hasher::new();
    let mut fragments = Vec::with_capacity(cutting.cuts.len());
    let mut buffer = Vec::new();
    file.rewind()?;
    for cut in &cutting.cuts {
        buffer.resize(cut.length as usize, 0);
        match file.read_exact(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        whole.update(&buffer);
        fragments.push(Fragment {
            length: cut.length,
            start_ms: cut.start_ms,
            part: cut.part,
            hash: ContentHash(blake3::hash(&buffer).into()),
        });
    }
    Ok(Some((ContentHash(whole.finalize().into()), fragments)))
}

/// The suffix of an opaque file, where manifests keep it; the prefix of any other.
fn prefix(path: &Path, cutting: &mut Cutting) -> DecoderPrefix {
    let suffix = path.extension().unwrap_or_default().to_ascii_lowercase();
    let suffix = suffix.as_encoded_bytes();
    if cutting.format == Format::Opaque && is_suffix(suffix) {
        return DecoderPrefix::Bytes(suffix.to_vec());
    }
    std::mem::replace(&mut cutting.prefix, DecoderPrefix::None)
}

fn describe(
    path: &Path,
    tags: Tags,
    mut cutting: Cutting,
    hash: ContentHash,
    fragments: Vec<Fragment>,
) -> Manifest {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let title = Some(tags.title).filter(|title| !title.is_empty());
    let manifest = Manifest::of(hash, fragments);
    let mut song = Song {
        title: title.unwrap_or_else(|| tags::clean(&stem)),
        artist: tags.artist,
        album: tags.album,
        genre: tags.genre,
        year: tags.year,
        disc: tags.disc,
        track: tags.track,
        duration_ms: cutting.duration_ms,
        format: cutting.format,
        ..manifest.song
    };
    song.bound_tags();
    Manifest {
        song,
        sample_rate: cutting.sample_rate,
        channels: cutting.channels,
        picture: tags.picture,
        prefix: prefix(path, &mut cutting),
        ..manifest
    }
}

/// Reads a slice; says what the file looked like afterwards.
fn read_slice(path: &Path, offset: u64, bytes: &mut [u8]) -> io::Result<Metadata> {
    let (mut file, _) = open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(bytes)?;
    file.metadata()
}

/// A fault of the disk, or of what stands where the file should; names the file.
fn broken(path: &Path, error: &io::Error) -> JobFault {
    let why = reason(error);
    if error.kind() == io::ErrorKind::InvalidData {
        return invalid(path, &why);
    }
    JobFault::Broken(format!("read {}: {why}", path.display()))
}

fn invalid(path: &Path, why: &str) -> JobFault {
    JobFault::Invalid(format!("read {}: {why}", path.display()))
}

/// Why the system refused, in words that chain.
fn reason(error: &io::Error) -> String {
    let kind = error.kind();
    if kind == io::ErrorKind::NotFound {
        "there is no such file".to_owned()
    } else if error.get_ref().is_some() {
        error.to_string()
    } else {
        kind.to_string()
    }
}

const CHANGED: &str = "it has changed since it was looked at";

/// Longest suffix that an opaque song keeps.
const SUFFIX_BYTES_MAX: usize = 8;

/// Suffixes that songs have; what the files are is found in their bytes.
const SUFFIXES: [&str; 53] = [
    "wav", "wave", "bwf", "rf64", "w64", "mp3", "mp2", "mp1", "mpga", "flac", "ogg", "oga", "ogx",
    "opus", "spx", "m4a", "m4b", "m4p", "m4r", "mp4", "3ga", "aac", "adts", "aif", "aiff", "aifc",
    "wv", "ape", "wma", "mka", "webm", "weba", "mpc", "ac3", "eac3", "dts", "dsf", "dff", "tta",
    "tak", "ofr", "shn", "caf", "au", "snd", "amr", "voc", "ra", "oma", "aa3", "gsm", "qcp", "sln",
];

/// Media types of sound that is not understood here.
const MEDIA_TYPES: [(&str, &str); 36] = [
    ("wav", "audio/wav"),
    ("wave", "audio/wav"),
    ("w64", "audio/x-w64"),
    ("mp3", "audio/mpeg"),
    ("mp2", "audio/mpeg"),
    ("mp1", "audio/mpeg"),
    ("mpga", "audio/mpeg"),
    ("flac", "audio/flac"),
    ("ogg", "audio/ogg"),
    ("oga", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("spx", "audio/ogg"),
    ("m4a", "audio/mp4"),
    ("m4b", "audio/mp4"),
    ("m4r", "audio/mp4"),
    ("mp4", "audio/mp4"),
    ("aac", "audio/aac"),
    ("adts", "audio/aac"),
    ("aif", "audio/aiff"),
    ("aiff", "audio/aiff"),
    ("aifc", "audio/aiff"),
    ("wv", "audio/x-wavpack"),
    ("ape", "audio/x-ape"),
    ("wma", "audio/x-ms-wma"),
    ("mka", "audio/x-matroska"),
    ("webm", "audio/webm"),
    ("weba", "audio/webm"),
    ("mpc", "audio/x-musepack"),
    ("ac3", "audio/ac3"),
    ("eac3", "audio/eac3"),
    ("dsf", "audio/x-dsf"),
    ("tta", "audio/x-tta"),
    ("caf", "audio/x-caf"),
    ("au", "audio/basic"),
    ("snd", "audio/basic"),
    ("amr", "audio/amr"),
];

#[cfg(test)]
mod tests;
