//! What is seen while a run goes on: a line per second, or on a terminal a table in place.
//!
//! Everything goes to standard error; standard output belongs to the report.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};

use super::course::Row;
use super::latencies::in_words;
use crate::units::bytes_in_words;

/// Rows that the table on a terminal shows.
const TABLE_ROWS: usize = 12;

/// The course of a run on standard error.
pub(crate) struct Screen {
    quiet: bool,
    /// The last rows, if they are drawn in place.
    table: Option<VecDeque<String>>,
    drawn: usize,
}

impl Screen {
    /// A screen; a quiet one shows nothing.
    pub(crate) fn new(quiet: bool) -> Self {
        Screen {
            quiet,
            table: io::stderr().is_terminal().then(VecDeque::new),
            drawn: 0,
        }
    }

    /// Shows what the columns mean.
    pub(crate) fn begin(&mut self) {
        if let Some(table) = &mut self.table {
            table.clear();
            self.drawn = 0;
        }
        self.tell(&[HEAD.to_owned()]);
    }

    /// Shows a second.
    pub(crate) fn row(&mut self, row: &Row) {
        let line = line(row);
        let Some(table) = &mut self.table else {
            return self.tell(&[line]);
        };
        table.push_back(line);
        if table.len() > TABLE_ROWS {
            table.pop_front();
        }
        // Back to the table's first line; each line is cleared to its end before it is written.
        let up = match self.drawn {
            0 => String::new(),
            lines => format!("\x1b[{lines}A"),
        };
        let lines: Vec<String> = table.iter().map(|line| format!("\x1b[2K{line}")).collect();
        self.drawn = lines.len();
        self.tell(&[format!("{up}{}", lines.join("\n"))]);
    }

    /// Shows a line between two runs.
    pub(crate) fn say(&mut self, line: &str) {
        self.drawn = 0;
        self.tell(&[line.to_owned()]);
    }

    fn tell(&self, lines: &[String]) {
        if self.quiet {
            return;
        }
        let mut err = io::stderr().lock();
        for line in lines {
            // Without standard error the run goes on; its report is what counts.
            let _ = writeln!(err, "{line}");
        }
    }
}

const HEAD: &str = "second     done  failed    open waiting  stalls switches      bytes       p50       p99       max  busy";

fn line(row: &Row) -> String {
    format!(
        "{:>6} {:>8} {:>7} {:>7} {:>7} {:>7} {:>8} {:>10} {:>9} {:>9} {:>9} {:>4.0}%{}",
        row.second,
        row.done,
        row.failed,
        row.open,
        row.waiting,
        row.stalls,
        row.switches,
        bytes_in_words(row.bytes as f64),
        in_words(row.p50),
        in_words(row.p99),
        in_words(row.max),
        row.busy * 100.0,
        if row.is_late() {
            "  loadgen is late"
        } else {
            ""
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers stand below their names, and a late generator is named.
    #[test]
    fn a_row_fits_below_its_head() {
        let mut row = Row::default();
        assert_eq!(line(&row).chars().count(), HEAD.chars().count());
        row.busy = 0.95;
        assert!(line(&row).ends_with("loadgen is late"));
    }
}
