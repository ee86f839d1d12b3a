//! `dispotify demo`: a whole cluster on this machine that survives killed nodes.
//!
//! Owns six child processes, a folder that is removed with them, and the web player. The page
//! answers once the cluster is ready. Each child reads from a pipe that this process holds open.
//! However this process ends, the pipe closes and the children end.

mod children;
mod samples;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use log::LevelFilter;
use net::{Listener, StopHandle};
use roles::contract::id::SongId;
use roles::contract::message::{NodeState, Query, Sort, Status};
use roles::contract::record::Role;
use roles::contract::user::{Command, Notice};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use storage::private;

use crate::args::{Common, Demo};
use crate::commands::add::{self, Report};
use crate::failure::{Failure, output};
use crate::log_lines;
use crate::session::Session;
use crate::settings::Settings;
use crate::stale_dirs;
use crate::web;

use children::Children;

/// Limit for each step of the start: many times what a healthy machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the demo waits for the third copies.
const COPY_PATIENCE: Duration = Duration::from_secs(15);

/// Pause between two checks of a condition.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// An event during the demo.
enum Moment {
    /// A child, named by its number, is ready at this address.
    Ready(usize, String),
    /// A child has ended.
    Gone(usize),
    /// All songs are added, or adding them failed.
    Added(Result<(), Failure>),
    /// The player's loop has ended.
    Over(io::Result<()>),
    /// The user has asked the demo to stop.
    Interrupted,
}

/// Runs the demo until told to stop.
pub(crate) fn run(mut settings: Settings, common: &Common, demo: &Demo) -> Result<(), Failure> {
    // The six nodes write their own logs; here only warnings and errors matter.
    log_lines::to_stderr(settings.log.min(LevelFilter::Warn));
    settings.security_or_make()?;
    let listener = web::listen(demo.web)?;
    let (sender, moments) = unbounded();
    on_signals(sender.clone())?;
    let folder = Folder::make()?;
    settings.cache_dir = Some(folder.0.join("cache"));
    say("starting 1 DNS node, 2 routers and 3 data nodes")?;
    let mut children = Children::new(common, &settings, folder.0.clone(), demo.port)?;
    let dns = children.start_all(&sender, &moments)?;
    settings.use_dns(vec![dns]);
    let paths = if demo.paths.is_empty() {
        say("making music")?;
        vec![samples::write(&folder.0.join("music"))?]
    } else {
        demo.paths.clone()
    };
    let session = Session::start(&settings)?;
    add_in_background(session, paths, sender.clone())?;
    await_added(&moments, &mut children)?;
    let address = listener.address();
    let stop = serve(&settings, demo, listener, sender)?;
    guide(address, &children).map_err(output)?;
    let ended = live(&moments, &mut children);
    stop.stop();
    ended
}

fn say(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(output)
}

/// A private folder, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self, Failure> {
        let base = std::env::temp_dir();
        stale_dirs::remove(&base, PREFIX);
        let path = base.join(format!("{PREFIX}{}", std::process::id()));
        let made = private::create_dir(&path);
        made.map_err(|error| Failure::failed(format!("make {}", path.display()), error))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The children have ended by now. A file that cannot be removed stays in the temporary
        // folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Prefix of a demo's folder.
const PREFIX: &str = "dispotify-demo-";

fn on_signals(sender: Sender<Moment>) -> Result<(), Failure> {
    let failed = |error| Failure::failed("listen for signals", error);
    let signals = [SIGINT, SIGTERM, SIGHUP];
    let mut signals = signal_hook::iterator::Signals::new(signals).map_err(failed)?;
    let forward = move || {
        for _ in signals.forever() {
            // When the receiver is gone, the demo is ending already.
            let _ = sender.send(Moment::Interrupted);
        }
    };
    spawn("signals", forward)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let spawned = thread::Builder::new().name(name.into()).spawn(work);
    spawned
        .map(drop)
        .map_err(|error| Failure::failed(format!("start {name}"), error))
}

fn add_in_background(
    session: Session,
    paths: Vec<PathBuf>,
    sender: Sender<Moment>,
) -> Result<(), Failure> {
    spawn("add", move || {
        let added = add_when_up(&session, &paths);
        let _ = sender.send(Moment::Added(added));
    })
}

/// Adds the songs once all nodes know each other, and waits until all songs are listed.
fn add_when_up(session: &Session, paths: &[PathBuf]) -> Result<(), Failure> {
    until("six nodes stand in the list", PATIENCE, || {
        Ok(all_stand(&status(session)?))
    })?;
    let mut songs = BTreeSet::new();
    let added = add::add_and_note(session, paths, Report::default(), &mut songs);
    if songs.is_empty() {
        added?;
        return Err(Failure::Failed("demo: there is no music to play".into()));
    }
    until("every song stands in the list", PATIENCE, || {
        is_listed(session, &songs)
    })?;
    // The page need not wait long for third copies: the demo works without them.
    let copied = until("every song has three copies", COPY_PATIENCE, || {
        Ok(status(session)?.copies_missing == 0)
    });
    copied.or_else(|_| say("some copies are still on their way"))
}

fn until(
    wish: &str,
    patience: Duration,
    mut holds: impl FnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let begun = Instant::now();
    // Two routers answer in turn, so several answers in a row are needed to hear both.
    let mut times = 0;
    while times < 4 {
        // A node that has just started may not answer yet.
        times = if holds().unwrap_or(false) {
            times + 1
        } else {
            0
        };
        if begun.elapsed() > patience {
            let seconds = patience.as_secs();
            return Err(Failure::Failed(format!(
                "demo: not after {seconds} s: {wish}"
            )));
        }
        if times == 0 {
            thread::sleep(LOOK_EVERY);
        }
    }
    Ok(())
}

fn status(session: &Session) -> Result<Status, Failure> {
    let operation = session.operation();
    let command = Command::Status { operation };
    session.answer("ask for the status", command, |notice| {
        if let Notice::Status { status, .. } = notice {
            return Some(status);
        }
        None
    })
}

fn all_stand(status: &Status) -> bool {
    let count = |role| {
        let alive = status
            .nodes
            .iter()
            .filter(|n| [NodeState::Alive, NodeState::Full].contains(&n.state));
        alive.filter(|node| node.role == role).count()
    };
    count(Role::Data) >= 3 && count(Role::Router) >= 2 && count(Role::Dns) >= 1
}

fn is_listed(session: &Session, songs: &BTreeSet<SongId>) -> Result<bool, Failure> {
    let query = Query {
        words: String::new(),
        sort: Sort::Artist,
        descending: false,
        after: None,
        limit: 1,
    };
    let (_, total, _) = session.page(query)?;
    Ok(total >= songs.len() as u64)
}

/// Waits until the songs are added. A child that ends meanwhile ends the demo.
fn await_added(moments: &Receiver<Moment>, children: &mut Children) -> Result<(), Failure> {
    loop {
        match moments.recv() {
            Ok(Moment::Added(added)) => return added,
            Ok(Moment::Gone(number)) => return Err(children.early_end(number)),
            Ok(Moment::Ready(..)) => (),
            Ok(Moment::Over(_) | Moment::Interrupted) | Err(_) => {
                return Err(Failure::Failed("demo: interrupted".into()));
            }
        }
    }
}

/// Runs the player on a thread of its own.
fn serve(
    settings: &Settings,
    demo: &Demo,
    listener: Listener,
    sender: Sender<Moment>,
) -> Result<StopHandle, Failure> {
    let mut reactor = web::reactor(settings, settings.security()?)?;
    let guard = web::OriginGuard::new(&demo.allow_host, listener.address(), demo.allow_delete);
    web::attach(
        &mut reactor,
        settings,
        settings.client.clone(),
        listener,
        guard,
    )?;
    let stop = reactor.stop_handle();
    spawn("web", move || {
        let _ = sender.send(Moment::Over(reactor.run()));
    })?;
    Ok(stop)
}

/// Prints the nodes and what the user can try.
fn guide(page: SocketAddr, children: &Children) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "\nready web http://{page}/\n")?;
    writeln!(out, "  {:<8} {:<8} ADDRESS", "PID", "ROLE")?;
    for child in children.iter() {
        writeln!(
            out,
            "  {:<8} {:<8} {}",
            child.pid(),
            child.role,
            child.address
        )?;
    }
    let pid = |role| {
        children
            .iter()
            .find(|c| c.role == role)
            .map_or(0, |c| c.pid())
    };
    writeln!(
        out,
        "\nOpen the page, play a song, and pull a plug in another terminal:\n\n  \
         kill -9 {}    a data node: every song has two more copies\n  \
         kill -9 {}    a router: the other one knows as much\n\n\
         The music goes on. Ctrl-C ends everything and leaves nothing behind.",
        pid("data"),
        pid("router"),
    )?;
    out.flush()
}

/// Reports every node that dies, until the user stops the demo.
fn live(moments: &Receiver<Moment>, children: &mut Children) -> Result<(), Failure> {
    loop {
        match moments.recv() {
            Ok(Moment::Gone(number)) => children.mourn(number)?,
            Ok(Moment::Over(ended)) => {
                return ended.map_err(|error| Failure::failed("run the web player", error));
            }
            Ok(Moment::Interrupted) | Err(_) => return Ok(()),
            Ok(Moment::Ready(..) | Moment::Added(_)) => (),
        }
    }
}

/// The data directory of a child.
fn child_dir(folder: &Path, host: &str) -> PathBuf {
    folder.join(host)
}

/// The log of a child. The suffix is appended: the last number of an address would pass for a suffix
/// and be replaced.
fn child_log(folder: &Path, host: &str) -> PathBuf {
    folder.join(format!("{host}.log"))
}
