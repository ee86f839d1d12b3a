//! A client with a blocking interface: the base of every subcommand of the command line.
//!
//! The client runs on the event loop; callers wait here for its notices. Fragments arrive only as
//! fast as they are taken: the front grants a number of them, and its queue has space for all
//! granted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use net::{Host, HostHandle, Reactor, StopHandle, Worker, Workers, own_features};
use rand::random;
use roles::client::{self, Client};
use roles::contract::browse::{Browse, Browsed};
use roles::contract::id::{Incarnation, NodeId, OperationId, SongId, SongPrefix};
use roles::contract::job::{ClientJob, JobReply};
use roles::contract::message::{Cursor, Listed, Query};
use roles::contract::node::{Identity, Lost};
use roles::contract::rng::Rng;
use roles::contract::user::{self, Command, Notice};
use storage::cache::Cache;
use storage::client::{ClientStore, ClientWorker};
use storage::disk_space;
use storage::import::Sources;

use crate::failure::Failure;
use crate::log_lines;
use crate::patience::Patience;
use crate::server;
use crate::settings::Settings;

/// Notices that may be queued: more than all grants together.
const NOTICES_MAX: usize = 4096;

/// A client that is ready to be hosted; its notices are not read yet.
pub(crate) struct Prepared {
    notices: Receiver<Notice>,
    sources: Sources,
    /// The fragment cache, if one is used.
    pub(crate) cache: Option<Cache>,
    uploads_kept_for: Duration,
}

/// A hosted client and the queue of its notices.
pub(crate) struct Session {
    handle: HostHandle,
    notices: Receiver<Notice>,
    /// The files to upload that the user has named.
    pub(crate) sources: Sources,
    /// How long data nodes keep what has arrived of an upload that was cut short, as far as this
    /// process has been told (`data.upload`).
    pub(crate) uploads_kept_for: Duration,
    count: AtomicU64,
    running: Option<Running>,
}

/// The loop of a process that is only a client.
struct Running {
    stop: StopHandle,
    thread: JoinHandle<()>,
}

impl Prepared {
    /// The front of a client that has been added to a loop.
    pub(crate) fn attached(self, handle: HostHandle) -> Session {
        Session {
            handle,
            notices: self.notices,
            sources: self.sources,
            uploads_kept_for: self.uploads_kept_for,
            count: AtomicU64::new(0),
            running: None,
        }
    }
}

impl Session {
    /// Builds a client and the host for a loop.
    pub(crate) fn prepare(
        settings: &Settings,
        config: client::Config,
    ) -> Result<(Prepared, Host), Failure> {
        let sources = Sources::default();
        let store = ClientStore {
            cache: open_cache(settings, config.cache_bytes),
            sources: sources.clone(),
        };
        let identity = guest();
        let (sender, notices) = bounded(NOTICES_MAX);
        let worker = || Workers {
            client: Some(Box::new(Local(store.worker()))),
            ..Workers::default()
        };
        let host = Host {
            node: Box::new(Client::new(config, Rng::from_seed(random()))),
            identity,
            listener: None,
            bind_from: None,
            readers: vec![worker(), worker()],
            writer: Some(worker()),
            tell: Box::new(move |notice| tell(&sender, notice)),
        };
        let cache = store.cache.clone();
        let prepared = Prepared {
            notices,
            sources,
            cache,
            uploads_kept_for: settings.server.data.upload_untouched,
        };
        Ok((prepared, host))
    }

    /// Starts a client on a loop and thread of its own.
    pub(crate) fn start(settings: &Settings) -> Result<Self, Failure> {
        let security = settings.security()?;
        let (prepared, host) = Session::prepare(settings, settings.client.clone())?;
        let mut reactor: Reactor = server::reactor(
            settings,
            security,
            server::Places::for_nodes(settings, false),
            None,
        )?;
        let failed = |error| Failure::failed("start the client", error);
        let handle = reactor.add(host).map_err(failed)?;
        let stop = reactor.stop_handle();
        let work = move || {
            if let Err(error) = reactor.run() {
                log::error!("client: {error}");
            }
        };
        let thread = thread::Builder::new()
            .name("client".into())
            .spawn(work)
            .map_err(failed)?;
        let mut session = prepared.attached(handle);
        session.running = Some(Running { stop, thread });
        Ok(session)
    }

    /// A fresh id for the next operation.
    pub(crate) fn operation(&self) -> OperationId {
        OperationId(self.count.fetch_add(1, Ordering::Relaxed))
    }

    /// Sends a command to the client. Never blocks.
    pub(crate) fn give(&self, command: Command) -> Result<(), Failure> {
        let ended = |error| Failure::failed("speak with the client", error);
        self.handle.command(command).map_err(ended)
    }

    /// Waits for the client's next notice.
    pub(crate) fn hear(&self) -> Result<Notice, Failure> {
        let ended = || Failure::Failed("the client has ended".into());
        self.notices.recv().map_err(|_| ended())
    }

    /// The client's next notice; `None` when the time is over before it comes.
    pub(crate) fn hear_until(&self, until: Option<Instant>) -> Result<Option<Notice>, Failure> {
        let Some(until) = until else {
            return self.hear().map(Some);
        };
        match self.notices.recv_deadline(until) {
            Ok(notice) => Ok(Some(notice)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => self.hear().map(Some),
        }
    }

    /// The next queued notice, if any. Never blocks.
    pub(crate) fn heard(&self) -> Option<Notice> {
        self.notices.try_recv().ok()
    }

    /// Sends a command and waits until `take` accepts a notice as its answer. A failure that may be
    /// over soon has the command sent again; another one ends the wait with an error.
    pub(crate) fn answer<T>(
        &self,
        attempt: &str,
        command: Command,
        mut take: impl FnMut(Notice) -> Option<T>,
    ) -> Result<T, Failure> {
        let mut patience = Patience::default();
        self.give(command.clone())?;
        loop {
            let Some(notice) = self.hear_until(patience.deadline())? else {
                return Err(Failure::of(attempt, &user::Failure::KeyRefused));
            };
            if let Notice::Failed { failure, .. } = &notice {
                if !may_repeat(&command, failure) || !patience.again(failure) {
                    return Err(Failure::of(attempt, failure));
                }
                self.give(command.clone())?;
                continue;
            }
            if let Some(taken) = take(notice) {
                return Ok(taken);
            }
        }
    }

    /// Fetches one page of the catalogue: its songs, the total and the position of the next page.
    pub(crate) fn page(&self, query: Query) -> Result<(Vec<Listed>, u64, Option<Cursor>), Failure> {
        let operation = self.operation();
        let command = Command::List { operation, query };
        self.answer("list songs", command, |notice| {
            if let Notice::Songs {
                songs, total, next, ..
            } = notice
            {
                return Some((songs, total, next));
            }
            None
        })
    }

    /// Asks about albums, artists, genres or years.
    pub(crate) fn browse(&self, browse: Browse) -> Result<Browsed, Failure> {
        let operation = self.operation();
        let command = Command::Browse { operation, browse };
        self.answer("ask for albums", command, |notice| {
            if let Notice::Browsed { found, .. } = notice {
                return Some(found);
            }
            None
        })
    }

    /// Asks whether the library has a song, whatever the cache has.
    pub(crate) fn standing(&self, attempt: &str, song: SongId) -> Result<Standing, Failure> {
        let mut patience = Patience::default();
        loop {
            let operation = self.operation();
            self.give(Command::Open {
                operation,
                song: song.into(),
                holders: true,
            })?;
            let answer = loop {
                match self.hear_until(patience.deadline())? {
                    None => return Err(Failure::of(attempt, &user::Failure::KeyRefused)),
                    Some(Notice::Opened { .. }) => break None,
                    Some(Notice::Failed { failure, .. }) => break Some(failure),
                    Some(_) => (), // Told of other things meanwhile.
                }
            };
            match answer {
                None => {
                    self.give(Command::Close { operation })?;
                    return Ok(Standing::Known);
                }
                Some(user::Failure::NotFound) => return Ok(Standing::New),
                Some(user::Failure::Trashed(_)) => return Ok(Standing::Trashed),
                Some(failure) if patience.again(&failure) => (),
                Some(failure) => return Err(Failure::of(attempt, &failure)),
            }
        }
    }

    /// Opens the song whose id begins with these digits.
    pub(crate) fn open(&self, attempt: &str, id: &str) -> Result<Opened, Failure> {
        let song = SongPrefix::parse(id).ok_or_else(|| {
            let cure = "an id is 1 to 32 hexadecimal digits (see `dispotify ls`)";
            Failure::Usage(format!("{attempt}: {cure}"))
        })?;
        let operation = self.operation();
        let command = Command::Open {
            operation,
            song,
            holders: false,
        };
        self.answer(attempt, command, |notice| {
            if let Notice::Opened { manifest, .. } = notice {
                return Some(Opened {
                    operation,
                    manifest,
                });
            }
            None
        })
    }
}

/// Whether the library has a song.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It does not, or no longer remembers the song.
    New,
    Known,
    /// It lies in the trash.
    Trashed,
}

/// Nobody's identity, for a process that asks single nodes: the node asked must not take the asker for a
/// start of itself.
pub(crate) fn guest() -> Identity {
    Identity {
        node: NodeId(random()),
        incarnation: Incarnation(1),
        address: None,
        features: own_features(),
    }
}

/// An open song.
pub(crate) struct Opened {
    pub(crate) operation: OperationId,
    pub(crate) manifest: roles::contract::song::Manifest,
}

/// Fragments granted at once.
const FRAGMENTS_AHEAD: u32 = 8;

impl Opened {
    /// Reads fragments `first..end` and passes each to `take`, in order.
    pub(crate) fn read(
        &self,
        session: &Session,
        (first, end): (u32, u32),
        attempt: &str,
        mut take: impl FnMut(u32, &[u8], user::Origin) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let operation = self.operation;
        let (mut first, mut patience) = (first, Patience::default());
        session.give(Command::Read {
            operation,
            first,
            end,
            bytes: user::ALL_BYTES,
        })?;
        let mut count = FRAGMENTS_AHEAD;
        loop {
            if count > 0 {
                session.give(Command::Take { operation, count })?;
            }
            count = 0;
            let notice = session.hear()?;
            if let Notice::Fragment {
                index,
                bytes,
                origin,
                ..
            } = notice
            {
                take(index, &bytes, origin)?;
                (first, count) = (index + 1, 1);
                patience.got_on();
            } else if let Notice::Failed { failure, .. } = notice {
                if !patience.again(&failure) {
                    return Err(Failure::of(attempt, &failure));
                }
                self.open_again(session, attempt)?;
                session.give(Command::Read {
                    operation,
                    first,
                    end,
                    bytes: user::ALL_BYTES,
                })?;
                count = FRAGMENTS_AHEAD;
            } else if let Notice::ReadDone { .. } = notice {
                return Ok(());
            }
        }
    }
}

impl Opened {
    /// Ends the reading. A client has only so many songs open at once.
    pub(crate) fn close(self, session: &Session) -> Result<(), Failure> {
        let operation = self.operation;
        session.give(Command::Close { operation })
    }

    /// Opens the song once more: a failure has ended the operation.
    fn open_again(&self, session: &Session, attempt: &str) -> Result<(), Failure> {
        let command = Command::Open {
            operation: self.operation,
            song: self.manifest.song.id.into(),
            holders: false,
        };
        session.answer(attempt, command, |notice| {
            matches!(notice, Notice::Opened { .. }).then_some(())
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(Running { stop, thread }) = self.running.take() {
            stop.stop();
            // When the loop ended with an error, it has logged the reason.
            let _ = thread.join();
        }
    }
}

/// Whether a command may be sent once more. A removal whose answer was lost may have happened: sent
/// again, it would say that there is no such song.
fn may_repeat(command: &Command, failure: &user::Failure) -> bool {
    let user::Failure::Unreachable {
        last: Some(last), ..
    } = failure
    else {
        return true;
    };
    let answer_lost = matches!(
        last,
        Lost::Closed | Lost::Reset | Lost::Silent | Lost::Unacknowledged
    );
    !(answer_lost && matches!(command, Command::Change { .. }))
}

/// Opens the cache. When that fails, the client runs without, because a cache only saves traffic.
fn open_cache(settings: &Settings, bytes_max: u64) -> Option<Cache> {
    let dir = settings.cache_dir.as_ref()?;
    let opened = Cache::open(dir, bytes_max).map(|cache| cache.scoped(&settings.scope));
    opened
        .inspect_err(|error| {
            let reason = disk_space::in_words(dir, error);
            log::warn!("cache {} is not used: {reason}", dir.display());
        })
        .ok()
}

fn tell(sender: &Sender<Notice>, notice: Notice) {
    if let Notice::Fact { level, text } = &notice {
        return log_lines::fact(*level, "client", text);
    }
    // When the front lags, progress is dropped, so that the other notices find space in the queue.
    if matches!(notice, Notice::Progress { .. }) && sender.len() > NOTICES_MAX / 2 {
        return;
    }
    // The send fails when the front is gone, or when it lags behind despite its own grants.
    let _ = sender.try_send(notice);
}

struct Local(ClientWorker);

impl Worker<ClientJob> for Local {
    fn run(&mut self, job: ClientJob) -> JobReply {
        self.0.run(job)
    }

    fn finish(&mut self) {
        self.0.finish();
    }
}
