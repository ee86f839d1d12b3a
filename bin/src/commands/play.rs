//! `dispotify play`: plays a song before it has arrived completely.

mod feed;

use std::env;
use std::io::{self, IsTerminal, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use roles::contract::message::Sort;
use roles::contract::song::Manifest;
use roles::contract::user;

use super::{chosen, listener};
use crate::args::Play;
use crate::failure::{Failure, output};
use crate::session::{Opened, Session};
use crate::settings::Settings;
use crate::text;

/// Players that read any format from standard input, best first.
const PLAYERS: [(&str, &[&str]); 4] = [
    ("mpv", &["--no-video", "--really-quiet", "-"]),
    (
        "ffplay",
        &["-nodisp", "-autoexit", "-loglevel", "error", "-i", "-"],
    ),
    ("cvlc", &["--quiet", "--play-and-exit", "-"]),
    ("play", &["-q", "-"]),
];

/// Streams a song into a player, or to standard output; or several songs, one after the other.
pub(crate) fn run(settings: &Settings, play: &Play) -> Result<(), Failure> {
    if !play.stdout {
        command(play)?;
    }
    let session = Session::start(settings)?;
    let queue = queue(&session, play)?;
    for (number, id) in queue.iter().enumerate() {
        let from = play.from.filter(|_| number == 0);
        let attempt = format!("play {id}");
        let song = session.open(&attempt, id)?;
        if play.stdout {
            // Nobody knows what is heard of it.
            to_stdout(&session, &song, from, &attempt)?;
        } else {
            let begun = Instant::now();
            let played = to_player(&session, &song, from, &attempt, command(play)?);
            if begun.elapsed() >= counts_after(song.manifest.song.duration_ms) {
                listener::count(&session, song.manifest.song.id);
            }
            played?;
        }
        session.give(user::Command::Close {
            operation: song.operation,
        })?;
    }
    Ok(())
}

/// How much of a song must be heard for it to count as played: half of it, or four minutes.
fn counts_after(duration_ms: u32) -> Duration {
    let half = Duration::from_millis(u64::from(duration_ms / 2));
    half.min(Duration::from_secs(240))
}

/// The ids of the songs to play, in order.
fn queue(session: &Session, play: &Play) -> Result<Vec<String>, Failure> {
    let songs = if let Some(named) = &play.album {
        chosen::album(session, named)?.1
    } else if let Some(named) = &play.artist {
        chosen::artist(session, named)?
    } else if let Some(words) = &play.search {
        chosen::search(session, words, Sort::Artist)?
    } else {
        return Ok(play.id.iter().cloned().collect());
    };
    Ok(songs.iter().map(|song| song.id.to_string()).collect())
}

fn to_stdout(
    session: &Session,
    song: &Opened,
    from: Option<u32>,
    attempt: &str,
) -> Result<(), Failure> {
    let first = feed::first(&song.manifest, from, attempt)?;
    let mut out = io::stdout().lock();
    let give = |_, bytes: &[u8]| out.write_all(bytes).map_err(output);
    match first {
        Some(first) => feed::stream(session, song, first, attempt, give)?,
        None => feed::whole(session, song, attempt, give)?,
    }
    out.flush().map_err(output)
}

fn to_player(
    session: &Session,
    song: &Opened,
    from: Option<u32>,
    attempt: &str,
    command: Command,
) -> Result<(), Failure> {
    let first = feed::first(&song.manifest, from, attempt)?;
    let mut player = Player::start(command)?;
    let from_ms = first.map_or(0, |first| start_ms(&song.manifest, first));
    let show = Show::of(&song.manifest, from_ms);
    let give = |index, bytes: &[u8]| {
        show.buffered(index);
        player.feed(bytes)
    };
    let result = match first.or(feed::first_behind_index(&song.manifest)) {
        Some(first) => feed::stream(session, song, first, attempt, give),
        None => feed::whole(session, song, attempt, give),
    };
    // The player plays the bytes that it has, even after a failure, and then frees the terminal.
    let played = player.wait();
    show.end();
    match result {
        // The player may end early: the user has quit it, or it has read enough.
        Ok(()) | Err(Failure::OutputClosed) => played,
        Err(failure) => Err(failure),
    }
}

/// The playing time at which a fragment's sound begins, in milliseconds.
fn start_ms(manifest: &Manifest, index: u32) -> u32 {
    let fragment = manifest.fragments.get(index as usize);
    fragment.map_or(0, |fragment| fragment.start_ms)
}

/// The configured player, or the first one installed.
fn command(play: &Play) -> Result<Command, Failure> {
    if let Some(named) = &play.player {
        let mut words = named.split_whitespace();
        let program = words
            .next()
            .ok_or_else(|| Failure::Usage("--player: name a command".into()))?;
        let mut command = Command::new(program);
        command.args(words);
        return Ok(command);
    }
    let (program, options) = (PLAYERS.iter())
        .find(|(program, _)| is_installed(program))
        .ok_or_else(|| {
            let names = PLAYERS.map(|(name, _)| name).join(", ");
            Failure::Failed(format!(
                "find a player: none of {names} is installed (give --player, or --stdout)"
            ))
        })?;
    let mut command = Command::new(program);
    command.args(*options);
    Ok(command)
}

fn is_installed(program: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// Keeps the key and all else that is said to dispotify alone from a program that parses files of
/// strangers.
fn forget_cluster(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"DISPOTIFY_") {
            command.env_remove(name);
        }
    }
}

/// A player process that reads the song from a pipe.
struct Player {
    child: Child,
    input: Option<ChildStdin>,
    program: String,
}

impl Player {
    fn start(mut command: Command) -> Result<Self, Failure> {
        let program = command.get_program().to_string_lossy().into_owned();
        forget_cluster(&mut command);
        let mut child = (command.stdin(Stdio::piped()).spawn())
            .map_err(|error| Failure::failed(format!("start {program}"), error))?;
        let input = child.stdin.take();
        Ok(Player {
            child,
            input,
            program,
        })
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match &mut self.input {
            Some(input) => input.write_all(bytes).map_err(output),
            None => Err(Failure::OutputClosed),
        }
    }

    fn wait(mut self) -> Result<(), Failure> {
        drop(self.input.take());
        let attempt = format!("play with {}", self.program);
        let status = self.child.wait();
        let status = status.map_err(|error| Failure::failed(&attempt, error))?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::failed(attempt, status))
    }
}

/// Title and progress on standard error, on a line that is rewritten while the player plays.
/// Nothing is shown when standard error is not a terminal.
struct Show {
    starts: Vec<u32>,
    length_ms: u32,
    /// The progress line, and the thread that rewrites it.
    line: Option<(Arc<Line>, JoinHandle<()>)>,
}

/// The content of the progress line.
struct Line {
    begun: Instant,
    /// The moment at which playback began, in milliseconds.
    from_ms: u32,
    length_ms: u32,
    buffered_ms: AtomicU32,
    over: AtomicBool,
}

/// How often the line is rewritten.
const LINE_EVERY: Duration = Duration::from_millis(500);

impl Show {
    fn of(manifest: &Manifest, from_ms: u32) -> Self {
        let song = &manifest.song;
        let mut show = Show {
            starts: manifest.fragments.iter().map(|f| f.start_ms).collect(),
            length_ms: song.duration_ms,
            line: None,
        };
        if io::stderr().is_terminal() {
            let length = text::length(song.duration_ms);
            let (title, artist) = (text::cell(&song.title), text::cell(&song.artist));
            print(&format!("♪ {title} – {artist} ({length})\n"));
            show.line = Line::start(from_ms, song.duration_ms);
        }
        show
    }

    fn buffered(&self, index: u32) {
        if let Some((line, _)) = &self.line {
            let next = self.starts.get(index as usize + 1).copied();
            let until = next.unwrap_or(self.length_ms);
            line.buffered_ms.fetch_max(until, Ordering::Relaxed);
        }
    }

    fn end(self) {
        if let Some((line, thread)) = self.line {
            line.over.store(true, Ordering::Relaxed);
            thread.thread().unpark();
            // The thread only prints, so its panic would lose nothing.
            let _ = thread.join();
            print("\n");
        }
    }
}

impl Line {
    fn start(from_ms: u32, length_ms: u32) -> Option<(Arc<Line>, JoinHandle<()>)> {
        let line = Arc::new(Line {
            begun: Instant::now(),
            from_ms,
            length_ms,
            buffered_ms: AtomicU32::new(0),
            over: AtomicBool::new(false),
        });
        let shown = Arc::clone(&line);
        let work = move || {
            while !shown.over.load(Ordering::Relaxed) {
                print(&shown.text());
                thread::park_timeout(LINE_EVERY);
            }
        };
        let thread = thread::Builder::new().name("show".into()).spawn(work);
        thread.ok().map(|thread| (line, thread))
    }

    /// The text of the line. The player does not report its position, so a pause is not seen.
    fn text(&self) -> String {
        let buffered = self.buffered_ms.load(Ordering::Relaxed);
        let elapsed = u32::try_from(self.begun.elapsed().as_millis()).unwrap_or(u32::MAX);
        let at = self.from_ms.saturating_add(elapsed).min(buffered);
        let [at, length, buffered] = [at, self.length_ms, buffered].map(text::length);
        format!("\r  {at} of {length}, buffered to {buffered}   ")
    }
}

fn print(text: &str) {
    // Progress is only for people: the music continues when standard error is closed.
    let _ = io::stderr().write_all(text.as_bytes());
}
