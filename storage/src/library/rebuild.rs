//! The file of a library with all connections to it, and its replacement by an empty one.
//!
//! A library that cannot be mended is set aside under the name `library.db.mending`, and an empty one
//! begins. While there is a file of that name, `salvage` takes out of it what can be read. Afterwards
//! the file is removed if all of it is in the new library, and else kept as `library.db.kept` for a
//! person to look at; there is at most one of each. SQLite finds a log by the name of its file, and
//! removes the log with the last connection: therefore all connections are closed before a name
//! changes, and a log changes its name with its file.
//!
//! The segments keep their names: a library never gives a number that any file there has, so the new
//! one neither writes nor removes what the rows of an old one name, and a crash between any two steps
//! leaves nothing to put right. They go with the library that names them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::{fs, io};

use roles::contract::id::NodeId;
use roles::contract::job::{JobFault, JobReply, LibraryJob};
use roles::contract::message::StoreId;
use rusqlite::{Connection, OpenFlags};

use super::change::{begin_change, finish};
use super::fault::Stop;
use super::jobs::Durable;
use super::open::{self, Part, connect, found};
use super::open_fault::{OpenError, OpenFault};
use super::salvage::Salvage;
use super::segments::{Segments, lost, places};
use super::store::Store;
use super::{LibraryWorker, reached, room, schema};
use crate::private;

/// A connection that its worker shares with this module. None: it was closed, and the next job opens
/// another.
pub(super) type Slot = Arc<Mutex<Option<Connection>>>;

/// The files of one library.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    node: NodeId,
    slots: Mutex<Vec<Weak<Mutex<Option<Connection>>>>>,
}

impl Files {
    /// Opens the library in this directory, or makes it. A damaged file is set aside first.
    pub(super) fn open(dir: &Path, node: NodeId, fresh: StoreId) -> Result<Files, OpenError> {
        let files = Files {
            dir: dir.to_path_buf(),
            node,
            slots: Mutex::default(),
        };
        let opened = match files.found(fresh) {
            Err(why @ (OpenFault::Corrupt(_) | OpenFault::NotALibrary))
                if files.is_damaged(&why) =>
            {
                log::error!("library set aside dir={} reason={why}", dir.display());
                let renamed = files.set_aside().map_err(|why| OpenFault::from(&why));
                renamed.and_then(|()| files.found(fresh))
            }
            opened => opened,
        };
        opened.map_err(|why| files.at(why))?;
        Ok(files)
    }

    fn found(&self, fresh: StoreId) -> Result<(), OpenFault> {
        room::open_with_reserve(&self.dir, || {
            let path = self.library();
            // The file is made here, because SQLite asks the umask for its mode; the log gets the
            // mode of the file. One that is there must not be opened here: closing it would drop the
            // locks that SQLite holds on it in this process. Why none can be made, SQLite says below.
            let _ = private::create_new(&path);
            let mut db = open::reach(&path, OpenFlags::SQLITE_OPEN_CREATE)?;
            found(&mut db, self.node, fresh)?;
            // What this fails to find, the inspection finds: no reason to refuse the library.
            if let Err(stop) = lost::set_aside(&db, &self.dir) {
                let reason = stop.into_fault("look for lost segments");
                log::warn!("segments not looked at reason={reason:?}");
            }
            Ok(())
        })
    }

    /// Whether a file that could not be opened is a library whose first page is damaged. A file that
    /// does not consist of a library's pages was never one, and is left alone.
    fn is_damaged(&self, why: &OpenFault) -> bool {
        if let OpenFault::Corrupt(_) = why {
            return true;
        }
        let length = fs::metadata(self.library()).map_or(0, |file| file.len());
        let pages = length > room::PAGE_BYTES && length.is_multiple_of(room::PAGE_BYTES);
        // The database of another program says whose it is.
        let owner = |db: Connection| schema::application(&db).map_err(OpenFault::from);
        pages && open::look(&self.library()).and_then(owner).is_err()
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn at(&self, why: OpenFault) -> OpenError {
        OpenError::at(&self.library(), why)
    }

    fn library(&self) -> PathBuf {
        self.dir.join("library.db")
    }

    /// The library that was set aside.
    pub(super) fn aside(&self) -> PathBuf {
        self.dir.join("library.db.mending")
    }

    fn kept(&self) -> PathBuf {
        self.dir.join("library.db.kept")
    }

    /// Whether a library that was set aside is still to be salvaged.
    pub(super) fn is_salvaging(&self) -> bool {
        self.aside().exists()
    }

    /// A further connection to the library.
    pub(super) fn connect(&self, part: Part) -> Result<Connection, OpenFault> {
        connect(&self.library(), part)
    }

    /// A connection for a worker, which is closed when the library is rebuilt.
    pub(super) fn slot(&self, part: Part) -> Result<Slot, OpenFault> {
        let slot = Arc::new(Mutex::new(Some(self.connect(part)?)));
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        Ok(slot)
    }

    /// Sets the library aside and begins an empty one. Waits for the jobs of the other workers, which
    /// find the new library with their next job.
    pub(super) fn begin_anew(&self, fresh: StoreId) -> Result<(), OpenFault> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slots: Vec<Slot> = slots.iter().filter_map(Weak::upgrade).collect();
        // All are held until the new library is there: none is opened on the old one meanwhile.
        let mut held: Vec<_> = slots
            .iter()
            .map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner))
            .collect();
        held.iter_mut()
            .for_each(|connection| drop(connection.take()));
        // An attempt that failed may have left an empty library: the one that was set aside stays.
        if !(self.is_salvaging() && self.is_bare()) {
            self.set_aside().map_err(|why| OpenFault::from(&why))?;
        }
        self.found(fresh)
    }

    /// Whether there is no library, or one without a song.
    fn is_bare(&self) -> bool {
        let path = self.library();
        if fs::metadata(&path).map_or(0, |file| file.len()) == 0 {
            return true;
        }
        let sql = "SELECT count(*) FROM songs";
        let count = |db: Connection| Ok(db.query_row(sql, [], |row| row.get::<_, i64>(0))?);
        open::look(&path)
            .and_then(count)
            .is_ok_and(|songs| songs == 0)
    }

    /// Gives the library its name while it is salvaged. One that is being salvaged already is kept:
    /// what could be read of it has its chance no more.
    fn set_aside(&self) -> io::Result<()> {
        if self.is_salvaging() {
            self.keep()?;
        }
        rename(&self.library(), &self.aside())
    }

    /// Puts the library that was set aside in the place of the one that was kept, whose sound goes.
    fn keep(&self) -> io::Result<()> {
        match self.sound_of_kept() {
            Ok(numbers) => {
                let segments = Segments::around(&self.dir);
                numbers
                    .into_iter()
                    .try_for_each(|number| segments.remove(number))?;
            }
            Err(why) => log::warn!("segments of a library that was kept stay reason={why}"),
        }
        rename(&self.aside(), &self.kept())
    }

    /// The segments of the library that was kept. Numbers only grow: those from the first one of the
    /// library after it on are others', whatever its damaged tables say.
    fn sound_of_kept(&self) -> Result<Vec<u32>, OpenFault> {
        if !self.kept().exists() {
            return Ok(Vec::new());
        }
        let numbers = |path: &Path| Ok(places::numbers(&open::look(path)?)?);
        let later: Result<Vec<u32>, OpenFault> = numbers(&self.aside());
        let first = later?.into_iter().min();
        let mut kept: Vec<u32> = numbers(&self.kept())?;
        kept.retain(|number| first.is_some_and(|first| *number < first));
        Ok(kept)
    }

    /// The salvage is over. `whole`: all of the library that was set aside is in the new one.
    pub(super) fn end_salvage(&self, whole: bool) -> io::Result<()> {
        let aside = self.aside();
        if whole {
            for path in [&aside, &log_of(&aside)] {
                remove(path)?;
            }
            return Ok(());
        }
        self.keep()?;
        log::warn!("library kept aside file={}", self.kept().display());
        Ok(())
    }
}

impl LibraryWorker {
    /// Sets the library aside and begins an empty one.
    pub(super) fn rebuild(&mut self, store: StoreId) -> JobReply {
        let Some(files) = &self.files else {
            return invalid("a library in memory is not rebuilt");
        };
        self.salvage = None;
        if let Err(why) = files.begin_anew(store) {
            return JobReply::Failed(why.into_fault("rebuild the library"));
        }
        self.segments.start_over();
        self.run_in_place(&LibraryJob::Overview)
    }

    /// Takes over a part of the library that was set aside.
    pub(super) fn salvage(&mut self) -> JobReply {
        let Some(files) = self.files.clone() else {
            return invalid("a library in memory is not salvaged");
        };
        let more = match self.salvaged(&files) {
            Ok(more) => more,
            Err(stop) => {
                return JobReply::Failed(self.room.fault_of(stop, "salvage the library"));
            }
        };
        let reply = self.run_in_place(&LibraryJob::Overview);
        let JobReply::Overview(overview) = reply else {
            return reply;
        };
        JobReply::Salvaged { more, overview }
    }

    /// Whether there is more to be had.
    fn salvaged(&mut self, files: &Files) -> Result<bool, Stop> {
        if self.salvage.is_none() && files.is_salvaging() {
            match Salvage::begin(&files.aside(), files.dir()) {
                Ok(begun) => self.salvage = Some(begun),
                Err(why) => log::warn!("library not salvaged reason={why}"),
            }
        }
        if let Some(salvage) = &mut self.salvage {
            let slot = &mut *self.db.lock().unwrap_or_else(PoisonError::into_inner);
            let db = reached(slot, Some(files), self.part)?;
            let segments = &self.segments;
            let change = begin_change(db, segments, Durable::Now)?;
            let db = &change;
            let more = salvage.step(&Store { db, segments }, &self.room)?;
            finish(change, segments, Durable::Now)?;
            if more {
                return Ok(true);
            }
        }
        if files.is_salvaging() {
            let unmade = self.salvage.as_ref().map(Salvage::unmade);
            let spent = self.salvage.take().and_then(Salvage::end);
            self.remove_spent(files, spent.as_deref(), &unmade.unwrap_or_default())?;
            let ended = files.end_salvage(spent.is_some());
            ended.map_err(|why| JobFault::Broken(format!("end the salvage: {why}")))?;
        }
        Ok(false)
    }

    /// Removes segments of a library that is in the new one as a whole. They go before its file: what
    /// names them is then still there when the process dies in between.
    /// Of numbers that it has only written down, empty files may be left.
    fn remove_spent(
        &mut self,
        files: &Files,
        spent: Option<&[u32]>,
        unmade: &[u32],
    ) -> Result<(), Stop> {
        let slot = &mut *self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let own = places::numbers(reached(slot, Some(files), self.part)?)?;
        let others = |numbers: &[u32]| {
            let numbers = numbers.iter().copied();
            let others: Vec<u32> = numbers.filter(|number| !own.contains(number)).collect();
            others
        };
        for number in others(spent.unwrap_or_default()) {
            self.segments.remove(number)?;
        }
        for number in others(unmade) {
            self.segments.remove_empty(number)?;
        }
        Ok(())
    }
}

fn invalid(why: &str) -> JobReply {
    JobReply::Failed(JobFault::Invalid(why.to_owned()))
}

/// Renames a library with its log. The name of the file changes last: the new name tells that all
/// is done.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    remove(&log_of(to))?;
    remove(&index_of(from))?;
    match fs::rename(log_of(from), log_of(to)) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => (),
    }
    fs::rename(from, to)?;
    let dir = from.parent().unwrap_or(Path::new("."));
    fs::File::open(dir)?.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

fn log_of(path: &Path) -> PathBuf {
    with_suffix(path, "-wal")
}

/// The index of the log, which SQLite makes anew.
fn index_of(path: &Path) -> PathBuf {
    with_suffix(path, "-shm")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl From<&io::Error> for OpenFault {
    fn from(why: &io::Error) -> Self {
        OpenFault::Broken(format!("set a damaged library aside: {why}"))
    }
}
