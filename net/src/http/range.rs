//! Range and conditional requests: the part of a file to send, and whether the client has it.
//!
//! A single range is answered with that part. Several ranges, or an unreadable one, are answered
//! with the whole file, as RFC 9110 (section 14.2) allows.

use super::request::without_blanks;

/// The part of the file to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The whole file: 200.
    Whole,
    /// Bytes `first..end`: 206. Never empty.
    Part {
        /// The first byte.
        first: u64,
        /// The byte after the last.
        end: u64,
    },
    /// The file ends before the range begins: 416.
    Nothing,
}

/// What `Range` and `If-Range` ask of a file of `length` bytes with this strong tag.
pub fn wanted(range: Option<&str>, if_range: Option<&str>, tag: &str, length: u64) -> Wanted {
    let Some(range) = range else {
        return Wanted::Whole;
    };
    // A date in `If-Range` never equals the tag, so it means the whole file: files here have no
    // date.
    if if_range.is_some_and(|theirs| without_blanks(theirs) != tag) {
        return Wanted::Whole;
    }
    parse(range, length).unwrap_or(Wanted::Whole)
}

fn parse(range: &str, length: u64) -> Option<Wanted> {
    let (unit, one) = range.split_once('=')?;
    if !without_blanks(unit).eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = without_blanks(one).split_once('-')?;
    match (first, last) {
        ("", suffix) => Some(part(length.saturating_sub(number(suffix)?), length, length)),
        (first, "") => Some(part(number(first)?, length, length)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| part(first, last.saturating_add(1), length))
        }
    }
}

fn part(first: u64, end: u64, length: u64) -> Wanted {
    let end = end.min(length);
    if first >= end {
        return Wanted::Nothing;
    }
    Wanted::Part { first, end }
}

/// Parses decimal digits; a number too large for `u64` becomes `u64::MAX`.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Whether `If-None-Match` names this tag, so the client already has the file.
pub fn is_known(if_none_match: Option<&str>, tag: &str) -> bool {
    let theirs = if_none_match.unwrap_or_default();
    let mut tags = theirs.split(',').map(str::trim);
    tags.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "\"t\"";

    fn of_100(range: &str) -> Wanted {
        wanted(Some(range), None, TAG, 100)
    }

    #[test]
    fn one_range_is_one_part() {
        let cases = [
            ("bytes=0-", 0, 100),
            ("bytes=0-0", 0, 1),
            ("bytes=99-99", 99, 100),
            ("bytes=10-1000", 10, 100),
            ("bytes=-1", 99, 100),
            ("bytes=-1000", 0, 100),
            ("BYTES= 5-6", 5, 7),
            ("bytes=5-99999999999999999999999", 5, 100),
        ];
        for (range, first, end) in cases {
            assert_eq!(of_100(range), Wanted::Part { first, end }, "{range}");
        }
    }

    #[test]
    fn what_lies_behind_the_end_cannot_be_had() {
        for range in [
            "bytes=100-",
            "bytes=100-200",
            "bytes=-0",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(of_100(range), Wanted::Nothing, "{range}");
        }
    }

    #[test]
    fn several_ranges_and_nonsense_are_the_whole() {
        let odd = [
            "bytes=0-1,3-4",
            "bytes=",
            "bytes=-",
            "bytes",
            "0-1",
            "items=0-1",
            "bytes=5-4",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=--1",
            "bytes=0x1-2",
            "bytes=1 -2",
        ];
        for range in odd {
            assert_eq!(of_100(range), Wanted::Whole, "{range}");
        }
        assert_eq!(wanted(None, Some(TAG), TAG, 100), Wanted::Whole);
    }

    /// A part of another file is worth nothing to somebody who has the beginning of this one.
    #[test]
    fn a_range_counts_only_for_the_file_it_was_meant_for() {
        let part = Wanted::Part { first: 1, end: 100 };
        let asked = |if_range| wanted(Some("bytes=1-"), Some(if_range), TAG, 100);
        assert_eq!(asked(TAG), part);
        for other in ["\"x\"", "W/\"t\"", "t", "Mon, 23 Nov 2026 17:00:00 GMT", ""] {
            assert_eq!(asked(other), Wanted::Whole, "{other}");
        }
    }

    #[test]
    fn a_known_tag_is_found_in_a_list() {
        for known in ["\"t\"", "*", "W/\"t\"", "\"a\", \"t\"", "\"a\",W/\"t\""] {
            assert!(is_known(Some(known), TAG), "{known}");
        }
        assert!(!is_known(Some("\"a\", t"), TAG) && !is_known(None, TAG));
    }
}
