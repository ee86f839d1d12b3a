//! Log lines: seconds since the start, then the fact, one write each.

use std::fs::{File, OpenOptions};
use std::io::{self, LineWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use log::LevelFilter;
use roles::contract::user::Level;
use simplelog::{ConfigBuilder, WriteLogger};

use crate::failure::Failure;
use crate::settings::Settings;

/// How long the end of a process waits for its last lines.
const LAST_LINES: Duration = Duration::from_millis(200);

/// Lines that may wait for a slow reader of standard error.
const LINES_MAX: usize = 1024;

/// Sends the log to its file, or to standard error if none is named.
pub(crate) fn start(settings: &Settings) -> Result<(), Failure> {
    let Some(path) = settings.log_file.clone() else {
        begin(settings.log, |line| {
            // The reader of standard error may be gone; the node continues regardless.
            let _ = io::stderr().write_all(line);
        });
        return Ok(());
    };
    let mut file = open(&path)
        .map_err(|error| Failure::failed(format!("open the log {}", path.display()), error))?;
    begin(settings.log, move |line| {
        if REOPEN.swap(false, Ordering::AcqRel) {
            match open(&path) {
                Ok(new) => file = new,
                Err(error) => {
                    let _ = writeln!(file, "log {} not reopened: {error}", path.display());
                }
            }
        }
        // On a full disk lines are lost; the node continues regardless.
        let _ = file.write_all(line);
    });
    Ok(())
}

/// Opens the log file anew, for the next line and those after it: its name may now be that of another
/// file.
pub(crate) fn reopen() {
    REOPEN.store(true, Ordering::Release);
    log::info!("log reopened");
}

static REOPEN: AtomicBool = AtomicBool::new(false);

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)
}

/// Sends the log to standard error.
pub(crate) fn to_stderr(level: LevelFilter) {
    begin(level, |line| {
        let _ = io::stderr().write_all(line);
    });
}

fn begin(level: LevelFilter, mut write: impl FnMut(&[u8]) + Send + 'static) {
    let config = ConfigBuilder::new()
        .set_time_level(LevelFilter::Off)
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .build();
    let (sender, lines) = bounded(LINES_MAX);
    thread::Builder::new()
        .name("log".into())
        .stack_size(128 * 1024)
        .spawn(move || lines.iter().for_each(|line: Vec<u8>| write(&line)))
        .map(drop)
        .unwrap_or_default();
    let lines = LineWriter::new(Stamped {
        since: Instant::now(),
        lines: sender,
        lost: 0,
    });
    // A second logger is refused, and the first one stays in use.
    let _ = WriteLogger::init(level, config, lines);
}

/// Logs a fact that a node reports.
pub(crate) fn fact(level: Level, name: &str, text: &str) {
    match level {
        Level::Error => log::error!("{name} {text}"),
        Level::Warn => log::warn!("{name} {text}"),
        Level::Info => log::info!("{name} {text}"),
        Level::Debug => log::debug!("{name} {text}"),
    }
}

/// Puts the seconds since the start before each line and queues it for the writer thread, so that
/// the loop never waits for the reader of the log. Receives whole lines from its `LineWriter`.
struct Stamped {
    since: Instant,
    lines: Sender<Vec<u8>>,
    /// Lines dropped because the queue was full.
    lost: u64,
}

impl Write for Stamped {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut stamped = Vec::with_capacity(lines.len() + 16);
        let seconds = self.since.elapsed().as_secs_f64();
        if self.lost > 0 {
            writeln!(
                stamped,
                "{seconds:.3} {} lines of this log are lost",
                self.lost
            )?;
        }
        write!(stamped, "{seconds:.3} ")?;
        stamped.extend_from_slice(lines);
        match self.lines.try_send(stamped) {
            Ok(()) => self.lost = 0,
            Err(_) => self.lost += 1,
        }
        Ok(lines.len())
    }

    /// Waits at most [`LAST_LINES`] until the writer thread has taken all lines.
    fn flush(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        while !self.lines.is_empty() && begun.elapsed() < LAST_LINES {
            thread::yield_now();
        }
        Ok(())
    }
}
