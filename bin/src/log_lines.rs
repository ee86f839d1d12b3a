//! Log lines: seconds since the start, then the fact, one write each.

use std::io::{self, LineWriter, Write};
use std::time::Instant;

use log::LevelFilter;
use roles::contract::user::Level;
use simplelog::{ConfigBuilder, WriteLogger};

/// Sends the log to standard error.
pub(crate) fn to_stderr(level: LevelFilter) {
    let config = ConfigBuilder::new()
        .set_time_level(LevelFilter::Off)
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .add_filter_ignore_str("lofty")
        .build();
    let lines = LineWriter::new(Stamped {
        since: Instant::now(),
        into: io::stderr(),
    });
    // A second logger is refused: the first one goes on, and nothing is lost.
    let _ = WriteLogger::init(level, config, lines);
}

/// What a node tells, in the log.
pub(crate) fn fact(level: Level, name: &str, text: &str) {
    match level {
        Level::Error => log::error!("{name} {text}"),
        Level::Warn => log::warn!("{name} {text}"),
        Level::Info => log::info!("{name} {text}"),
        Level::Debug => log::debug!("{name} {text}"),
    }
}

/// Puts the seconds since the start before each line. Gets whole lines from its `LineWriter`.
struct Stamped<W> {
    since: Instant,
    into: W,
}

impl<W: Write> Write for Stamped<W> {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut stamped = Vec::with_capacity(lines.len() + 16);
        let seconds = self.since.elapsed().as_secs_f64();
        write!(stamped, "{seconds:.3} ")?;
        stamped.extend_from_slice(lines);
        self.into.write_all(&stamped)?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}
