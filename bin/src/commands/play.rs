//! `dispotify play`: music before the file has arrived.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use roles::contract::song::{Manifest, Part};

use crate::args::Play;
use crate::failure::{Failure, output};
use crate::front::{Front, Opened};
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

/// Streams a song into a player, or to standard output.
pub(crate) fn run(settings: &Settings, play: &Play) -> Result<(), Failure> {
    let player = if play.stdout {
        None
    } else {
        Some(command(play)?)
    };
    let front = Front::start(settings)?;
    let attempt = format!("play {}", play.id);
    let song = front.open(&attempt, &play.id)?;
    match player {
        None => to_stdout(&front, &song, play, &attempt),
        Some(command) => to_player(&front, &song, play, &attempt, command),
    }
}

fn to_stdout(front: &Front, song: &Opened, play: &Play, attempt: &str) -> Result<(), Failure> {
    let ranges = ranges(&song.manifest, play, attempt)?;
    let mut out = io::stdout().lock();
    stream(front, song, ranges, attempt, |_, bytes| {
        out.write_all(bytes).map_err(output)
    })?;
    out.flush().map_err(output)
}

fn to_player(
    front: &Front,
    song: &Opened,
    play: &Play,
    attempt: &str,
    command: Command,
) -> Result<(), Failure> {
    let ranges = ranges(&song.manifest, play, attempt)?;
    let mut player = Player::start(command)?;
    let show = Show::of(&song.manifest);
    let result = stream(front, song, ranges, attempt, |index, bytes| {
        show.buffered(index);
        player.feed(bytes)
    });
    show.end();
    // It plays what it has, whatever became of the rest, and gives the terminal back.
    let played = player.wait();
    match result {
        // The player ends when it likes: the user pressed q, or it has read enough.
        Ok(()) | Err(Failure::OutputClosed) => played,
        Err(failure) => Err(failure),
    }
}

/// What is played: all of it, or from a later moment on; its head comes first in any case,
/// because a decoder needs it.
fn ranges(manifest: &Manifest, play: &Play, attempt: &str) -> Result<Vec<(u32, u32)>, Failure> {
    let end = manifest.song.fragments;
    let Some(from) = play.from else {
        return Ok(vec![(0, end)]);
    };
    if manifest.song.duration_ms == 0 {
        let why = "--from: how long it plays is not known, it plays only as a whole";
        return Err(Failure::failed(attempt, why));
    }
    if from > manifest.song.duration_ms {
        let length = text::length(manifest.song.duration_ms);
        let why = format!("--from lies behind its end ({length})");
        return Err(Failure::failed(attempt, why));
    }
    let first = manifest.index_at(from);
    Ok(vec![(0, head(manifest).min(first)), (first, end)])
}

/// Gives the song's bytes in order.
fn stream(
    front: &Front,
    song: &Opened,
    ranges: Vec<(u32, u32)>,
    attempt: &str,
    mut give: impl FnMut(u32, &[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for range in ranges.into_iter().filter(|(first, end)| first < end) {
        song.read(front, range, attempt, |index, bytes, _| give(index, bytes))?;
    }
    Ok(())
}

/// How many fragments stand before the sound.
fn head(manifest: &Manifest) -> u32 {
    let before = |f: &&roles::contract::song::Fragment| f.part == Part::Head;
    manifest.fragments.iter().take_while(before).count() as u32
}

/// The player that was named, or the first one installed.
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

/// A player reading from us.
struct Player {
    child: Child,
    input: Option<ChildStdin>,
    program: String,
}

impl Player {
    fn start(mut command: Command) -> Result<Self, Failure> {
        let program = command.get_program().to_string_lossy().into_owned();
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

/// Title and progress on standard error, for a person in front of it.
struct Show {
    starts: Vec<u32>,
    length_ms: u32,
    visible: bool,
}

impl Show {
    fn of(manifest: &Manifest) -> Self {
        let song = &manifest.song;
        let show = Show {
            starts: manifest.fragments.iter().map(|f| f.start_ms).collect(),
            length_ms: song.duration_ms,
            visible: io::stderr().is_terminal(),
        };
        let length = text::length(song.duration_ms);
        let (title, artist) = (text::cell(&song.title), text::cell(&song.artist));
        show.print(&format!("♪ {title} – {artist} ({length})\n"));
        show
    }

    fn buffered(&self, index: u32) {
        let next = self.starts.get(index as usize + 1).copied();
        let until = text::length(next.unwrap_or(self.length_ms));
        let length = text::length(self.length_ms);
        self.print(&format!("\r  buffered {until} of {length} "));
    }

    fn end(&self) {
        self.print("\n");
    }

    fn print(&self, text: &str) {
        if self.visible {
            // Progress is for whoever watches; the music goes on without.
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }
}
