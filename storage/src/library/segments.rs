//! The files that hold the sound: `segment.1`, `segment.2` and so on, beside `library.db`.
//!
//! Sound goes to the end of the last segment, in blocks of its own, and is never written over: a
//! row of `fragments` names its place. SQLite's log would write each byte of it twice. A segment is
//! synced before the transaction that makes its fragments count, so a crash leaves at most an end
//! that no row names; that is cut off or written over. A file is made only once its number is
//! written down, so every file has an owner (`segments/begin.rs`). Room of fragments that have left is given
//! back by holes in the file, where the file system knows holes, and with the file otherwise.
//! Which places are taken says `segments/places.rs`.

pub(super) mod begin;
pub(super) mod lost;
pub(super) mod places;
pub(super) mod tables;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use roles::contract::job::JobFault;
use rusqlite::Row;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use rustix::io::Errno;

use super::row::number;
use super::whole::Wholes;
use crate::private;

/// Where the bytes of a fragment lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the segment.
    pub(super) segment: u32,
    /// The offset of the first byte; a multiple of [`BLOCK_BYTES`].
    pub(super) begin: u64,
}

impl Place {
    /// The place of the bytes that lie so far behind these.
    pub(super) fn at(self, offset: u32) -> Place {
        let begin = self.begin.saturating_add(u64::from(offset));
        Place { begin, ..self }
    }
}

/// Reads a segment's number and the end of its named part.
fn place(row: &Row<'_>) -> rusqlite::Result<Place> {
    let (segment, begin) = (row.get(0)?, number(row, 1)?);
    Ok(Place { segment, begin })
}

/// The segments of one library, as one worker sees them.
#[derive(Debug)]
pub(super) struct Segments {
    /// None: the library lies in memory, and its sound in its tables.
    dir: Option<PathBuf>,
    /// The files that were read last, the latest at the end.
    reading: RefCell<Vec<(u32, File)>>,
    /// The file that sound is added to.
    writing: RefCell<Option<(u32, File)>>,
    /// Sound was written since the last sync.
    unsynced: Cell<bool>,
    /// Where sound begins and ends that was written and that the disk has not begun with.
    unadvised: Cell<Option<(u64, u64)>>,
    /// What the open transaction changes names sound that must be on the disk before it.
    sync_first: Cell<bool>,
    /// A sync has failed: what was written before it may be lost, though it can still be read.
    doubtful: Cell<bool>,
    /// The open or the last transaction has freed places.
    freed: Cell<bool>,
    /// The file system knows holes, as far as it has been asked.
    makes_holes: Cell<bool>,
    /// Steps of a move out of the tables; none: nothing is being moved.
    steps: Cell<Option<u32>>,
    /// The uploads that come to this worker.
    pub(super) wholes: Wholes,
    /// A transaction has begun and has not been committed.
    open: Cell<bool>,
    /// The segments whose loss was told.
    told: RefCell<BTreeSet<u32>>,
    /// Another segment is wanted unless the last one has room for so many bytes.
    wanted: Cell<Option<u64>>,
    /// Most bytes of a segment: [`SEGMENT_BYTES_MAX`], but where a test sets less.
    bytes_max: u64,
}

impl Segments {
    /// The segments in this directory.
    pub(super) fn around(dir: &Path) -> Segments {
        Segments {
            dir: Some(dir.to_owned()),
            ..Segments::none()
        }
    }

    /// No segments: all sound lies in the tables.
    pub(super) fn none() -> Segments {
        Segments {
            dir: None,
            reading: RefCell::default(),
            writing: RefCell::default(),
            unsynced: Cell::new(false),
            unadvised: Cell::new(None),
            sync_first: Cell::new(false),
            doubtful: Cell::new(false),
            freed: Cell::new(false),
            makes_holes: Cell::new(true),
            steps: Cell::new(None),
            wholes: Wholes::default(),
            open: Cell::new(false),
            told: RefCell::default(),
            wanted: Cell::new(Some(begin::FIRST_BYTES)),
            bytes_max: SEGMENT_BYTES_MAX,
        }
    }

    /// From here on segments are so small, and the file system seems not to know holes.
    #[cfg(test)]
    pub(super) fn limit(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
        self.makes_holes.set(false);
    }

    /// As if the last sync had failed.
    #[cfg(test)]
    pub(super) fn doubt(&self) {
        self.doubtful.set(true);
    }

    /// Whether sound of this length lies in a segment; shorter sound stays in its row.
    pub(super) fn take(&self, length: usize) -> bool {
        self.dir.is_some() && length > INSIDE_BYTES_MAX
    }

    /// How much room the next transaction needs in the last segment, if that is to be seen to first.
    fn wanted(&self) -> Option<u64> {
        self.wanted.get().filter(|_| self.dir.is_some())
    }

    fn want(&self, length: Option<u64>) {
        self.wanted.set(length);
    }

    /// To be called when the library is another one.
    pub(super) fn start_over(&self) {
        self.reading.borrow_mut().clear();
        *self.writing.borrow_mut() = None;
        self.unsynced.set(false);
        self.wholes.clear();
        self.want(Some(begin::FIRST_BYTES));
    }

    /// Makes the file of a segment, which must not be there yet.
    pub(super) fn create(&self, segment: u32) -> io::Result<()> {
        let path = self.path(segment)?;
        private::create_new(&path)?;
        // The name must be on the disk before a row relies on it.
        let dir = path.parent().unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    }

    /// Removes a segment if it is empty.
    pub(super) fn remove_empty(&self, segment: u32) -> io::Result<()> {
        let empty = fs::metadata(self.path(segment)?).is_ok_and(|file| file.len() == 0);
        if empty { self.remove(segment) } else { Ok(()) }
    }

    /// Whether room is given back by holes. If not, a segment has to be emptied for its room.
    pub(super) fn make_holes(&self) -> bool {
        self.makes_holes.get()
    }

    /// Reads the bytes at a place into `bytes`, which gets their length. A file that is missing or
    /// too short is damage.
    pub(super) fn read(
        &self,
        place: Place,
        length: u32,
        bytes: &mut Vec<u8>,
    ) -> Result<(), JobFault> {
        let read = self.with_reading(place.segment, |file| {
            let length = length as usize;
            // The end is looked at first: no row decides how much is allocated.
            if file.metadata()?.len() < place.begin.saturating_add(length as u64) {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if bytes.capacity() < length {
                *bytes = vec![0; length]; // Zeroed pages of the system need no second zeroing.
            }
            bytes.resize(length, 0);
            file.read_exact_at(bytes, place.begin)
        });
        let gone = [ErrorKind::NotFound, ErrorKind::UnexpectedEof];
        read.map_err(|error| match gone.contains(&error.kind()) {
            true => JobFault::Damaged,
            false => JobFault::Broken(format!("read a fragment: {error}")),
        })
    }

    /// The length of the file of this name, whatever files this worker holds open. 0: there is none.
    fn length_by_name(&self, segment: u32) -> u64 {
        let file = self.path(segment).and_then(fs::metadata);
        file.map_or(0, |file| file.len())
    }

    /// Whether there is a file of this name with bytes up to `end`.
    fn reach_by_name(&self, segment: u32, end: u64) -> bool {
        let file = self.path(segment).and_then(fs::metadata);
        file.is_ok_and(|file| file.len() >= end)
    }

    /// What is read next at this place is read from the file of this name. Nothing is added to a file
    /// that has lost its name.
    pub(super) fn look_anew(&self, place: Place) {
        self.reading
            .borrow_mut()
            .retain(|(number, _)| *number != place.segment);
        if !self.reach_by_name(place.segment, place.begin) {
            (self.writing.borrow_mut()).take_if(|(number, _)| *number == place.segment);
            self.want(Some(begin::FIRST_BYTES));
        }
    }

    /// Tells of a segment without its end, once.
    fn tell_lost(&self, segment: u32) {
        if self.told.borrow_mut().insert(segment) {
            log::error!("segment lost number={segment}: what was in it is fetched again");
        }
    }

    /// Whether a segment has bytes up to `end`.
    pub(super) fn reach(&self, segment: u32, end: u64) -> bool {
        let length = self.with_reading(segment, |file| Ok(file.metadata()?.len()));
        length.is_ok_and(|length| length >= end)
    }

    fn with_reading<T>(
        &self,
        segment: u32,
        work: impl FnOnce(&File) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut open = self.reading.borrow_mut();
        let known = open.iter().position(|(number, _)| *number == segment);
        let entry = match known {
            Some(at) => open.remove(at),
            None => (segment, File::open(self.path(segment)?)?),
        };
        if open.len() >= OPEN_MAX {
            open.remove(0);
        }
        open.push(entry);
        open.last()
            .map_or_else(|| Err(ErrorKind::NotFound.into()), |(_, file)| work(file))
    }

    /// Adds bytes behind the first `begin` bytes of a segment. What lies behind those belongs to no
    /// row: a transaction that was not committed has left it.
    fn write(&self, place: Place, bytes: &[u8]) -> io::Result<()> {
        let mut writing = self.writing.borrow_mut();
        let opened = match writing.take() {
            Some((number, file)) if number == place.segment => file,
            before => {
                if let Some((_, full)) = before.filter(|_| self.unsynced.get()) {
                    self.note(full.sync_data())?;
                }
                self.open_to_write(place)?
            }
        };
        self.unsynced.set(true);
        let (_, file) = writing.insert((place.segment, opened));
        file.write_all_at(bytes, place.begin)?;
        self.begin_to_write_out(file, place.begin, bytes.len() as u64);
        Ok(())
    }

    /// Lets the disk begin with what was written, so that the sync before the commit finds little left
    /// to do. On Linux this advice about pages that are not on the disk yet writes them out without a
    /// wait, and keeps them. Elsewhere, and where it fails, the sync does all.
    fn begin_to_write_out(&self, file: &File, begin: u64, length: u64) {
        let (from, end) = self.unadvised.get().unwrap_or((begin, begin));
        let from = if end == begin { from } else { begin };
        let end = (begin + length).next_multiple_of(BLOCK_BYTES);
        self.unadvised.set(Some((from, end)));
        if let Some(bytes) = NonZeroU64::new(end - from).filter(|n| n.get() >= WRITE_OUT_BYTES) {
            let _ = fadvise(file, from, Some(bytes), Advice::DontNeed);
            self.unadvised.set(None);
        }
    }

    fn open_to_write(&self, place: Place) -> io::Result<File> {
        let path = self.path(place.segment)?;
        let file = private::open(&path, OpenOptions::new().write(true))?;
        if file.metadata()?.len() > place.begin {
            file.set_len(place.begin)?;
        }
        Ok(file)
    }

    /// The open transaction is committed only with its sound on the disk.
    pub(super) fn sync_before_commit(&self) {
        self.sync_first.set(true);
    }

    /// Whether places were freed since this was asked last.
    pub(super) fn take_freed(&self) -> bool {
        self.freed.replace(false)
    }

    /// To be called when a transaction begins.
    pub(super) fn begin(&self) {
        self.sync_first.set(false);
        if self.open.replace(true) {
            self.wholes.clear(); // The one before was rolled back.
        }
    }

    /// Syncs the sound written so far, if the commit that follows relies on it: because the change
    /// must be durable, or because it takes sound from where it lies safely.
    pub(super) fn sync(&self, durable: bool) -> io::Result<()> {
        if !self.unsynced.get() || !(durable || self.sync_first.get()) {
            return Ok(());
        }
        let writing = self.writing.borrow();
        self.note(
            writing
                .as_ref()
                .map_or(Ok(()), |(_, file)| file.sync_data()),
        )
    }

    fn note(&self, synced: io::Result<()>) -> io::Result<()> {
        // The system forgets what it could not write: a later sync succeeds without it.
        self.unsynced.set(false);
        self.doubtful.set(self.doubtful.get() || synced.is_err());
        synced
    }

    /// Whether sound may be lost that rows name.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful.get()
    }

    /// To be called when a transaction has been committed: one that began in doubt has ended the doubt.
    pub(super) fn end(&self) {
        self.open.set(false);
        self.doubtful.set(false);
    }

    /// Counts a step of a move, or its end. Returns the steps before; none if none is under way.
    pub(super) fn count_step(&self, done: bool) -> Option<u32> {
        let before = self.steps.get();
        let next = before.map_or(0, |steps| steps.wrapping_add(1));
        self.steps.set((!done).then_some(next));
        if done { before } else { Some(next) }
    }

    /// Gives the blocks of a fragment that has left back to the file system.
    fn make_hole(&self, place: Place, length: u64) -> io::Result<()> {
        if !self.makes_holes.get() {
            return Ok(());
        }
        let file = match OpenOptions::new()
            .write(true)
            .open(self.path(place.segment)?)
        {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let length = length.next_multiple_of(BLOCK_BYTES);
        match fallocate(&file, flags, place.begin, length) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                log::info!("segments without holes: room is given back a file at a time");
                self.makes_holes.set(false);
                Ok(())
            }
            made => Ok(made?),
        }
    }

    /// Removes a segment that no row names.
    pub(super) fn remove(&self, segment: u32) -> io::Result<()> {
        self.reading
            .borrow_mut()
            .retain(|(number, _)| *number != segment);
        match fs::remove_file(self.path(segment)?) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// The highest number among the files; 0 if there is none.
    fn highest(&self) -> u32 {
        let entries = self.dir.iter().flat_map(fs::read_dir).flatten().flatten();
        let number = |entry: fs::DirEntry| {
            let name = entry.file_name();
            name.to_str()?.strip_prefix(PREFIX)?.parse().ok()
        };
        entries.filter_map(number).max().unwrap_or(0)
    }

    /// Alters the first byte at a place, as a faulty disk would.
    pub(super) fn rot(&self, place: Place) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .open(self.path(place.segment)?)?;
        let mut first = [0];
        file.read_exact_at(&mut first, place.begin)?;
        file.write_all_at(&[first[0] ^ 1], place.begin)
    }

    fn path(&self, segment: u32) -> io::Result<PathBuf> {
        let dir = self.dir.as_ref().ok_or(ErrorKind::NotFound)?;
        Ok(dir.join(format!("{PREFIX}{segment}")))
    }
}

const PREFIX: &str = "segment.";

/// Fragments begin at multiples of it, so that the blocks of one belong to no other. No file
/// system in use has larger blocks; where they are smaller, nothing is lost.
pub(super) const BLOCK_BYTES: u64 = 4096;

/// Sound of so many bytes lies in its row: a block of its own would be nearly empty.
pub(super) const INSIDE_BYTES_MAX: usize = 1024;

/// A segment takes no further transaction beyond these bytes: few files for a large library, and a
/// small part of it to rewrite where there are no holes. The transaction that reaches them, of a few
/// megabytes, ends in it.
const SEGMENT_BYTES_MAX: u64 = 256 << 20;

/// The disk begins with what was written when it is so much: as fast as in one piece, and the advice
/// costs nothing that could be measured.
const WRITE_OUT_BYTES: u64 = 1 << 20;

/// Most files that a worker keeps open to read.
const OPEN_MAX: usize = 8;
