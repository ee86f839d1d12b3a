//! Numbers and words for people.

use std::env;
use std::fmt::{self, Display, Write};
use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::time::Duration;

use unicode_width::UnicodeWidthStr;

/// Most columns of a terminal that a tag takes in a table.
const CELL_COLUMNS_MAX: usize = 40;

/// Most bytes of a tag that are looked at for a table: what takes no column is bounded as well.
const CELL_BYTES_MAX: usize = 512;

/// A length as `3:05` or `1:02:03`.
pub(crate) fn length(ms: u32) -> String {
    let seconds = (u64::from(ms) + 500) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        return format!("{hours}:{minutes:02}:{seconds:02}");
    }
    format!("{minutes}:{seconds:02}")
}

/// The length of an album as `3:05` or `1:02:03`.
pub(crate) fn long_length(ms: u64) -> String {
    // A day and more: 2^32 milliseconds are 49 days, which no album reaches.
    length(u32::try_from(ms).unwrap_or(u32::MAX))
}

/// How long ago something was, in one unit.
pub(crate) fn ago(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5999 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// A span of time in one unit, for spans of days and months.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..86_400 => ago(seconds.saturating_mul(1000)),
        86_400..172_800 => "1 day".to_owned(),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Bytes with a unit, three digits.
pub(crate) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            let digits = usize::from(value < 9.95 && unit != "B");
            return format!("{value:.digits$} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// A moment as people type it, `M:SS`, `H:M:SS` or seconds, in milliseconds.
pub(crate) fn parse_moment(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is no moment: write 90, 1:30 or 1:02:03");
    let mut seconds: u64 = 0;
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 {
        return Err(wrong());
    }
    for (place, part) in parts.iter().enumerate() {
        let digits =
            !part.is_empty() && part.len() <= 6 && part.bytes().all(|b| b.is_ascii_digit());
        let value: u64 = part.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
        if place > 0 && value > 59 {
            return Err(wrong());
        }
        seconds = seconds * 60 + value;
    }
    u32::try_from(seconds * 1000).map_err(|_| wrong())
}

/// A tag in a table: one line, no control characters, not too long.
pub(crate) fn cell(tag: &str) -> String {
    let mut shown: String = tag.chars().filter(|c| !c.is_control()).collect();
    // A character beyond these is beyond the columns as well, unless it takes none.
    shown.truncate(shown.floor_char_boundary(CELL_BYTES_MAX));
    if shown.width() <= CELL_COLUMNS_MAX {
        return shown;
    }
    while shown.width() >= CELL_COLUMNS_MAX {
        shown.pop();
    }
    shown.push('…');
    shown
}

/// How a word stands out on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Heading,
    Good,
    Bad,
    Dim,
}

/// A word in its style, where standard output is a terminal that shows it and nobody forbids it
/// (`NO_COLOR`, no-color.org).
pub(crate) fn styled(style: Style, word: &str) -> String {
    if !are_styles_shown() {
        return word.to_owned();
    }
    let code = match style {
        Style::Heading => 1,
        Style::Good => 32,
        Style::Bad => 31,
        Style::Dim => 2,
    };
    format!("\x1b[{code}m{word}\x1b[0m")
}

fn are_styles_shown() -> bool {
    static SHOWN: OnceLock<bool> = OnceLock::new();
    *SHOWN.get_or_init(|| {
        let forbidden = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        !forbidden && !dumb && io::stdout().is_terminal()
    })
}

/// A table without lines, its numbers to the right. Thousands of rows are written at once.
pub(crate) struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
    /// Columns that are aligned to the right.
    numbers: &'static [usize],
    /// The columns of the terminal that each column takes.
    widths: [usize; COLUMNS],
}

/// A table with this header, and with numbers in these columns.
pub(crate) fn table<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    numbers: &'static [usize],
) -> Table<COLUMNS> {
    let mut table = Table {
        rows: Vec::new(),
        numbers,
        widths: [0; COLUMNS],
    };
    table.add_row(header.map(str::to_owned));
    table
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// Adds a row of cells of one line each.
    pub(crate) fn add_row(&mut self, cells: [String; COLUMNS]) {
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.width());
        }
        self.rows.push(cells);
    }
}

impl<const COLUMNS: usize> Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, row) in self.rows.iter().enumerate() {
            if number > 0 {
                f.write_char('\n')?;
            }
            for (column, (cell, width)) in row.iter().zip(self.widths).enumerate() {
                // Not by the formatter, which counts characters: some take two columns, some none.
                let space = width - cell.width();
                let heading = (number == 0).then(|| styled(Style::Heading, cell));
                let cell = heading.as_ref().unwrap_or(cell);
                if self.numbers.contains(&column) {
                    write!(f, " {:space$}{cell} ", "")?;
                } else {
                    write!(f, " {cell}{:space$} ", "")?;
                }
            }
        }
        Ok(())
    }
}

/// `1 song`, `2 songs`, `2 copies`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 {
        return format!("1 {noun}");
    }
    match noun.strip_suffix('y') {
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {noun}s"),
    }
}

/// A time in its largest whole unit: `1 day`, `90 minutes`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let whole = |(unit, _): &(u64, &str)| seconds >= *unit && seconds.is_multiple_of(*unit);
    let (unit, noun) = units.into_iter().find(whole).unwrap_or((1, "second"));
    match (noun, seconds / unit) {
        ("day", number) if number != 1 => format!("{number} days"),
        (noun, number) => count(number, noun),
    }
}

/// A file name from tags: nothing a shell or another system trips over, at most 200 bytes.
pub(crate) fn file_name(artist: &str, title: &str, suffix: impl Display) -> String {
    let name = if artist.is_empty() {
        title.to_owned()
    } else {
        format!("{artist} - {title}")
    };
    let safe = |c: char| !c.is_control() && !r#"/\:*?"<>|"#.contains(c);
    let kept: String = (name.chars().map(|c| if safe(c) { c } else { '_' })).collect();
    let trimmed = kept.trim().trim_matches('.');
    let stem = &trimmed[..trimmed.floor_char_boundary(200)];
    let stem = if stem.is_empty() { "song" } else { stem };
    format!("{stem}.{suffix}")
}

/// A folder's name from tags, under the rules of a file's name.
pub(crate) fn folder_name(artist: &str, title: &str) -> String {
    let name = file_name(artist, title, "");
    name.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_sizes_read_well() {
        assert_eq!(length(185_400), "3:05");
        assert_eq!(length(3_723_000), "1:02:03");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_000), "1.0 kB");
        assert_eq!(bytes(240_000), "240 kB");
        assert_eq!(bytes(9_960_000), "10 MB");
        assert_eq!(bytes(2_340_000_000), "2.3 GB");
    }

    /// Columns stand one below the other, whatever the width of their characters is.
    #[test]
    fn a_table_has_straight_columns() {
        let mut rows = table(["NAME", "N"], &[1]);
        rows.add_row(["日本".into(), "7".into()]);
        rows.add_row(["e\u{301}clair".into(), "1234".into()]);
        let expected = " NAME       N \n 日本       7 \n e\u{301}clair  1234 ";
        assert_eq!(rows.to_string(), expected);
    }

    #[test]
    fn times_are_told_in_whole_units() {
        let cases = [
            (86_400, "1 day"),
            (172_800, "2 days"),
            (3_600, "1 hour"),
            (5_400, "90 minutes"),
            (61, "61 seconds"),
        ];
        for (seconds, told) in cases {
            assert_eq!(duration(Duration::from_secs(seconds)), told);
        }
    }

    #[test]
    fn moments_are_read_as_people_type_them() {
        assert_eq!(parse_moment("90"), Ok(90_000));
        assert_eq!(parse_moment("1:30"), Ok(90_000));
        assert_eq!(parse_moment("1:02:03"), Ok(3_723_000));
        for wrong in ["", ":", "1:60", "1:2:3:4", "-1", "x", "+5"] {
            assert!(parse_moment(wrong).is_err(), "{wrong}");
        }
    }

    /// A title cannot climb out of the folder or hide the file.
    #[test]
    fn file_names_stay_in_their_folder() {
        assert_eq!(file_name("AC/DC", "T.N.T.", "mp3"), "AC_DC - T.N.T.mp3");
        assert_eq!(
            file_name("", "../../etc/passwd", "wav"),
            "_.._etc_passwd.wav"
        );
        assert_eq!(file_name("", "...", "wav"), "song.wav");
        assert!(file_name("", &"é".repeat(300), "wav").len() <= 204);
    }

    #[test]
    fn a_cell_is_one_line() {
        assert_eq!(cell("a\nb\u{1b}[31m"), "ab[31m");
        assert_eq!(cell(&"x".repeat(50)).chars().count(), 40);
        assert_eq!(cell(&"日".repeat(50)).width(), 39);
        assert!(cell(&"👩‍👩‍👧".repeat(50)).width() <= 40);
        assert!(cell(&"e\u{301}".repeat(10_000)).len() <= 515);
    }
}
