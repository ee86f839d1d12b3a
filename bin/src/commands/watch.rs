//! `dispotify watch`: adds what comes into folders, for as long as it runs.
//!
//! Everything that is there at the start is added, then each file as soon as it is whole. What is
//! deleted or changed in a folder stays in the library: a folder is a door into it, no mirror of it.

mod memory;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use roles::contract::user;
use storage::import::{
    self, Change, Event, Events, Folders, Looks, STILL, STILL_FOUND, Settling, Walked,
};

use super::add::{End, Report, Supply, add_supplied};
use crate::args::Watch;
use crate::failure::Failure;
use crate::session::Session;
use crate::settings::{self, Settings};
use memory::Memory;

/// Events that wait while files are added. When they are more, the kernel keeps some thousands, then
/// says that it has lost some.
const EVENTS_MAX: usize = 1024;

/// Pause before the cluster is tried again; it doubles up to the longest.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LONGEST: Duration = Duration::from_secs(300);

/// How often folders are looked through that the kernel does not watch, and those that are gone are
/// looked for.
const WITHOUT_KERNEL: Duration = Duration::from_secs(600);
const GONE_AGAIN: Duration = Duration::from_secs(60);

/// Watches the folders until the process is ended.
pub(crate) fn run(settings: &Settings, watch: &Watch) -> Result<(), Failure> {
    let mut plan = Plan::of(&watch.folders)?;
    plan.rescan_every = watch.rescan;
    plan.forget = watch.again;
    // What was added to one cluster is not in another.
    let scope = blake3::hash(settings.scope.as_bytes()).to_hex();
    plan.memory = settings::data_dir("watched")?.join(&scope[..16]);
    let session = Session::start(settings)?;
    let report = Report {
        json: watch.json,
        ..Report::default()
    };
    watch_with(&session, plan, report)
}

/// What is watched, and how.
pub(crate) struct Plan {
    folders: Vec<PathBuf>,
    /// The folders are also looked through so often.
    rescan_every: Option<Duration>,
    /// The file that says what was added already.
    pub(crate) memory: PathBuf,
    /// What that file says does not count.
    forget: bool,
}

impl Plan {
    /// A plan for these folders; what is no folder is refused.
    pub(crate) fn of(folders: &[PathBuf]) -> Result<Self, Failure> {
        let whole = |folder: &PathBuf| {
            let attempt = format!("watch {}", folder.display());
            match fs::canonicalize(folder) {
                Err(error) => Err(Failure::failed(attempt, error)),
                Ok(whole) if !whole.is_dir() => {
                    let why = "it is not a folder (`dispotify add` takes files)";
                    Err(Failure::failed(attempt, why))
                }
                Ok(whole) => Ok(whole),
            }
        };
        Ok(Plan {
            folders: folders.iter().map(whole).collect::<Result<_, _>>()?,
            rescan_every: None,
            memory: PathBuf::new(),
            forget: false,
        })
    }
}

/// Watches through a running client. Ends when the key is refused, or with the kernel's events.
pub(crate) fn watch_with(session: &Session, plan: Plan, report: Report) -> Result<(), Failure> {
    let attempt = "watch folders";
    let (folders, events) = import::watch().map_err(|error| {
        let cure = "sysctl fs.inotify.max_user_instances says how many may watch";
        Failure::failed(attempt, format!("{error} ({cure})"))
    })?;
    let (mut watcher, ended) = (
        Watcher::new(plan, folders, queue(events)?),
        "no more events",
    );
    watcher.look_through_all();
    let report = Report {
        only_new: true,
        ..report
    };
    loop {
        match add_supplied(session, report, &mut watcher)? {
            Some(user::Failure::KeyRefused) => {
                return Err(Failure::of(attempt, &user::Failure::KeyRefused));
            }
            Some(failure) => watcher.warn_once(&failure.to_string()),
            None => watcher.on_cluster_well(),
        }
        if !watcher.wait() {
            return Err(Failure::failed(attempt, ended));
        }
    }
}

/// Reads the kernel's events on a thread of its own.
fn queue(events: Events) -> Result<Receiver<Event>, Failure> {
    let (sender, receiver) = bounded(EVENTS_MAX);
    let work = move || {
        if let Err(error) = events.read(|event| sender.send(event).is_ok()) {
            log::error!("watch folders: {error}");
        }
    };
    thread::Builder::new()
        .name("watch".into())
        .stack_size(128 * 1024)
        .spawn(work)
        .map_err(|error| Failure::failed("watch folders", error))?;
    Ok(receiver)
}

struct Watcher {
    plan: Plan,
    folders: Folders,
    events: Receiver<Event>,
    settling: Settling,
    /// Files that are whole and wait for their turn: at most all music in the folders.
    ready: VecDeque<PathBuf>,
    /// Their looks, and those of the files that are being added.
    looks: BTreeMap<PathBuf, Looks>,
    memory: Memory,
    /// The cluster takes nothing before this moment.
    retry_at: Option<Instant>,
    retry_pause: Duration,
    rescan_at: Option<Instant>,
    /// What was told last of a cluster that takes nothing.
    told: String,
    told_short: bool,
}

impl Watcher {
    fn new(plan: Plan, folders: Folders, events: Receiver<Event>) -> Self {
        let memory = Memory::open(plan.memory.clone(), plan.forget);
        Watcher {
            plan,
            folders,
            events,
            settling: Settling::default(),
            ready: VecDeque::new(),
            looks: BTreeMap::new(),
            memory,
            retry_at: None,
            retry_pause: RETRY_FIRST,
            rescan_at: None,
            told: String::new(),
            told_short: false,
        }
    }

    fn look_through_all(&mut self) {
        let roots = self.plan.folders.clone();
        let there: Vec<PathBuf> = roots.into_iter().filter(|root| root.is_dir()).collect();
        let walked = self.folders.look_through(&there);
        let files = walked.files.iter();
        let files = files.filter_map(|path| Some((path.as_path(), look(path)?)));
        self.memory.keep_only(files);
        self.take_found(walked);
        self.plan_rescan();
    }

    /// When everything is looked through again: as often as the user wants, and where the kernel does
    /// not tell what happens.
    fn plan_rescan(&mut self) {
        let is_gone = |root: &PathBuf| !self.folders.has(root);
        let gone = self.plan.folders.iter().any(is_gone).then_some(GONE_AGAIN);
        let short = self.folders.is_short().then_some(WITHOUT_KERNEL);
        let pauses = [self.plan.rescan_every, gone, short];
        let pause = pauses.into_iter().flatten().min();
        self.rescan_at = pause.map(|pause| Instant::now() + pause);
        if self.folders.is_short() && !self.told_short {
            self.told_short = true;
            let limit = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches");
            let limit = limit.unwrap_or_default();
            warn(&format!(
                "watch: the system watches {} folders at most, and these are more: they are looked through every {} \
                 minutes (raise it by sysctl fs.inotify.max_user_watches=)",
                limit.trim(),
                WITHOUT_KERNEL.as_secs() / 60
            ));
        }
    }

    /// Takes the files that a look has found, but for those that were added, and those that a writer
    /// has open.
    fn take_found(&mut self, walked: Walked) {
        for (path, fault) in walked.faults {
            warn(&format!("watch {}: {fault}", path.display()));
        }
        let now = Instant::now();
        for path in walked.files {
            let Some(looks) = look(&path).filter(|_| !self.settling.is_open(&path)) else {
                continue;
            };
            if self.memory.has(&path, looks) || self.looks.contains_key(&path) {
                continue;
            }
            if is_still(looks) {
                self.looks.insert(path.clone(), looks);
                self.ready.push_back(path);
            } else {
                self.settling.touched(now, path, looks, STILL_FOUND);
            }
        }
    }

    fn on_event(&mut self, event: &Event) {
        match self.folders.change(event) {
            None => (),
            Some(Change::Begun(path)) => self.settling.begun(path),
            Some(Change::Ended(path)) => {
                if let Some(looks) = look(&path) {
                    self.settling.touched(Instant::now(), path, looks, STILL);
                }
            }
            Some(Change::Folder(path)) => {
                let walked = self.folders.look_through(&[path]);
                self.take_found(walked);
                self.plan_rescan();
            }
            Some(Change::Gone(folder)) => self.on_gone(&folder),
            Some(Change::Lost) => {
                self.settling.on_lost();
                self.look_through_all();
            }
        }
    }

    fn on_gone(&mut self, folder: &PathBuf) {
        if self.plan.folders.contains(folder) {
            let folder = folder.display();
            warn(&format!(
                "watch {folder}: it is gone; it is looked for every minute"
            ));
            self.plan_rescan();
        }
    }

    /// Takes what the kernel and the clock have brought so far.
    fn catch_up(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.on_event(&event);
        }
        let now = Instant::now();
        if self.rescan_at.is_some_and(|at| at <= now) {
            self.look_through_all();
        }
        for (path, looks) in self.settling.whole(now, look) {
            if self.memory.has(&path, looks) {
                continue;
            }
            if self.looks.contains_key(&path) {
                // What is being added is what it was before: this is another song.
                self.settling.touched(now, path, looks, STILL);
                continue;
            }
            self.looks.insert(path.clone(), looks);
            // Somebody has just put it there, and may want to hear it.
            self.ready.push_front(path);
        }
    }

    /// Waits for an event or for the next moment at which there is something to do. False: there will
    /// be no more events.
    fn wait(&mut self) -> bool {
        let retry_at = self.retry_at.filter(|_| !self.ready.is_empty());
        let moments = [self.settling.next_at(), retry_at, self.rescan_at];
        let received = match moments.into_iter().flatten().min() {
            Some(at) => self.events.recv_deadline(at),
            None => self
                .events
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(event) => self.on_event(&event),
            Err(RecvTimeoutError::Timeout) => (),
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    fn warn_once(&mut self, why: &str) {
        if self.told != why {
            why.clone_into(&mut self.told);
            warn(&format!("watch: {why} (it is tried again)"));
        }
    }

    fn on_cluster_well(&mut self) {
        if self.ready.is_empty() {
            self.told.clear();
        }
    }
}

impl Supply for Watcher {
    fn next(&mut self) -> Option<PathBuf> {
        self.catch_up();
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return None;
        }
        self.retry_at = None;
        self.ready.pop_front()
    }

    fn ended(&mut self, path: &Path, end: End) {
        let Some(looks) = self.looks.get(path).copied() else {
            return;
        };
        if end == End::Later {
            // One that fails now and one that failed before it wait for the same cluster.
            if self.retry_at.is_none() {
                self.retry_at = Some(Instant::now() + self.retry_pause);
                self.retry_pause = (self.retry_pause * 2).min(RETRY_LONGEST);
            }
            self.ready.push_back(path.to_owned());
            return;
        }
        self.looks.remove(path);
        if end == End::Held {
            self.retry_pause = RETRY_FIRST;
        }
        if end == End::Held || end == End::Refused {
            self.memory.add(path, looks);
        }
    }
}

fn look(path: &Path) -> Option<Looks> {
    let found = fs::metadata(path).ok()?;
    found.is_file().then(|| Looks::of(&found))
}

/// Whether a file was written so long ago that its writer is done with it.
fn is_still(looks: Looks) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    let written = u64::try_from(looks.written.0).unwrap_or_default();
    // One second more, for what the clock of a file system leaves out.
    now.checked_sub(written)
        .is_some_and(|age| age > STILL_FOUND.as_secs() + 1)
}

fn warn(line: &str) {
    // Nobody may read it; the watcher goes on.
    let _ = writeln!(io::stderr(), "dispotify: {line}");
}
