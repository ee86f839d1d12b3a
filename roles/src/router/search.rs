//! The grammar of searches: words, phrases, fields, and what is left out.
//!
//! Every text is a search. What follows no rule below is words, and each word has to occur, as part
//! of a word or as several whole words joined ([`super::folding`]).
//!
//! - `"dark side"`: these whole words, one behind the other, in one tag.
//! - `artist:`, `album:`, `title:`, `genre:`, `composer:` before a word or a phrase: in this tag.
//! - `year:1990`, `year:1990..1999`, `year:1990..`, `year:..1999`: years, the ends included.
//! - `albumid:` and `artistid:` before hexadecimal digits: of this album, by this artist.
//! - `-` before any of these: not that.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::folding::{Words, fold, is_in_phrase};
use super::slot_set::SlotSet;
use super::word_index::WordIndex;
use crate::contract::id::SongPrefix;

/// What is searched for.
pub(super) struct Search {
    /// Words that have to occur anywhere.
    words: Words,
    terms: Vec<Term>,
}

/// A part of a search that is more than a word.
struct Term {
    /// What the part names must not be found.
    negative: bool,
    wants: Wants,
}

enum Wants {
    /// In the tag on this line of the text, or in any.
    Words(Option<usize>, Words),
    Phrase(Option<usize>, String),
    Years(RangeInclusive<u16>),
    Group(GroupTerm),
}

/// An album or an artist, by the leading digits of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupTerm {
    Album(SongPrefix),
    Artist(SongPrefix),
}

/// What a search looks at.
pub(super) struct Target<'a> {
    /// The folded tags, one on each line in the order of [`LINES`].
    pub(super) text: &'a str,
    /// Years that count; 0 is none.
    pub(super) years: [u16; 2],
}

impl Search {
    pub(super) fn of(query: &str) -> Self {
        let mut plain = String::new();
        let mut terms = Vec::new();
        for token in tokens(query) {
            match Term::of(&token) {
                Some(term) => terms.push(term),
                None => {
                    plain.push_str(token.text);
                    plain.push(' ');
                }
            }
        }
        Search {
            words: Words::of(&plain),
            terms,
        }
    }

    /// Words and other parts. Without any, a search finds everything.
    pub(super) fn count(&self) -> usize {
        self.words.count() + self.terms.len()
    }

    /// The albums and artists that are named; true: what is found must be one of theirs.
    pub(super) fn groups(&self) -> impl Iterator<Item = (bool, GroupTerm)> {
        self.terms.iter().filter_map(|term| match term.wants {
            Wants::Group(group) => Some((!term.negative, group)),
            Wants::Words(..) | Wants::Phrase(..) | Wants::Years(_) => None,
        })
    }

    /// The songs that are as the search wants them, but for albums and artists by their ids. Words and
    /// years are read off the index; fields and phrases are looked for in the texts that have the words.
    pub(super) fn find_in(&self, index: &WordIndex) -> SlotSet {
        let mut found = index.having_all(&self.words);
        for term in &self.terms {
            term.narrow(index, &mut found);
        }
        let looks: Vec<&Term> = self.terms.iter().filter(|term| term.looks()).collect();
        if looks.is_empty() {
            return found;
        }
        let mut others = SlotSet::default();
        for slot in found.iter() {
            let target = Target {
                text: index.text(slot),
                years: [index.year(slot), 0],
            };
            if !looks.iter().all(|term| term.finds(&target)) {
                others.insert(slot);
            }
        }
        found.take_out(&others);
        found
    }

    /// Whether everything but albums and artists by their ids is as the search wants it.
    pub(super) fn finds(&self, target: &Target<'_>) -> bool {
        self.words.are_in(target.text) && self.terms.iter().all(|term| term.finds(target))
    }
}

impl Term {
    /// The term that a token is; none for plain words.
    fn of(token: &Token<'_>) -> Option<Term> {
        let wants = token.wants()?;
        let negative = token.negative;
        Some(Term { negative, wants })
    }

    /// Leaves of the songs found those of which the index knows that they may have it.
    fn narrow(&self, index: &WordIndex, found: &mut SlotSet) {
        let theirs = match &self.wants {
            Wants::Words(field, _) if self.negative && field.is_some() => return,
            Wants::Words(_, words) => index.having_all(words),
            Wants::Phrase(..) if self.negative => return,
            Wants::Phrase(_, phrase) => index.with_pieces(phrase),
            Wants::Years(years) => index.of_years(years),
            Wants::Group(_) => return,
        };
        match self.negative {
            true => found.take_out(&theirs),
            false => found.keep(&theirs),
        }
    }

    /// Whether only the texts tell.
    fn looks(&self) -> bool {
        match &self.wants {
            Wants::Words(field, _) => field.is_some(),
            Wants::Phrase(..) => true,
            Wants::Years(_) | Wants::Group(_) => false,
        }
    }

    fn finds(&self, target: &Target<'_>) -> bool {
        let line = |line: &Option<usize>| match line {
            Some(number) => target.text.split('\n').nth(*number).unwrap_or_default(),
            None => target.text,
        };
        let found = match &self.wants {
            Wants::Words(field, words) => words.are_in(line(field)),
            Wants::Phrase(field, phrase) => is_in_phrase(phrase, line(field)),
            Wants::Years(years) => target.years.iter().any(|y| *y > 0 && years.contains(y)),
            Wants::Group(_) => return true,
        };
        found != self.negative
    }
}

/// A piece of a search between spaces, or one with a phrase in it.
struct Token<'q> {
    /// The piece as it was typed.
    text: &'q str,
    negative: bool,
    field: Option<&'q str>,
    value: &'q str,
    quoted: bool,
}

impl Token<'_> {
    fn wants(&self) -> Option<Wants> {
        let line = match self.field {
            Some("year") if !self.quoted => return years(self.value).map(Wants::Years),
            Some("albumid") => return self.group(GroupTerm::Album),
            Some("artistid") => return self.group(GroupTerm::Artist),
            Some(name) => Some(LINES.iter().position(|line| *line == name)?),
            None => None,
        };
        if self.quoted {
            let phrase = fold(self.value);
            return (!phrase.is_empty()).then_some(Wants::Phrase(line, phrase));
        }
        let words = Words::of(self.value);
        let is_more = self.negative || line.is_some();
        (is_more && words.count() > 0).then_some(Wants::Words(line, words))
    }

    fn group(&self, term: fn(SongPrefix) -> GroupTerm) -> Option<Wants> {
        Some(Wants::Group(term(SongPrefix::parse(self.value)?)))
    }
}

/// The pieces of a query. A quote without its end is text, as is a field without a value.
fn tokens(query: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = query;
    core::iter::from_fn(move || {
        rest = rest.trim_start();
        let length = token_length(rest)?;
        let (text, behind) = rest.split_at(length);
        rest = behind;
        Some(token(text))
    })
}

/// Where the first piece ends: at a space outside of quotes.
fn token_length(text: &str) -> Option<usize> {
    if text.is_empty() {
        return None;
    }
    let plain = text.find(char::is_whitespace).unwrap_or(text.len());
    let begin = text[..plain].find(is_quote).filter(|at| {
        let before = text[..*at].trim_start_matches('-');
        before.is_empty() || before.ends_with(':')
    });
    let phrase = begin.and_then(|begin| {
        let quote = text[begin..].chars().next()?;
        let inner = begin + quote.len_utf8();
        let length = text[inner..].find(is_quote)?;
        let end = text[inner + length..].chars().next()?;
        Some(inner + length + end.len_utf8())
    });
    Some(phrase.unwrap_or(plain))
}

fn token(text: &str) -> Token<'_> {
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) if !body.is_empty() => (true, body),
        _ => (false, text),
    };
    let named = body.split_once(':').filter(|(name, value)| {
        let known = LINES.contains(name) || ["year", "albumid", "artistid"].contains(name);
        known && !value.is_empty()
    });
    let (field, value) = named.map_or((None, body), |(name, value)| (Some(name), value));
    let inner = value
        .strip_prefix(is_quote)
        .and_then(|inner| inner.strip_suffix(is_quote));
    Token {
        text,
        negative,
        field,
        value: inner.unwrap_or(value),
        quoted: inner.is_some(),
    }
}

/// `1990`, `1990..1999`, `1990..` or `..1999`.
fn years(text: &str) -> Option<RangeInclusive<u16>> {
    let year = |text: &str, open: u16| match text {
        "" => Some(open),
        text => text.parse().ok(),
    };
    match text.split_once("..") {
        Some(("", "")) => None,
        Some((from, to)) => Some(year(from, 0)?..=year(to, u16::MAX)?),
        None => text.parse().ok().map(|year| year..=year),
    }
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\u{201c}'..='\u{201f}' | '«' | '»')
}

/// The lines of a text that is searched, by the names of their fields. The year has a field of its
/// own, because its line is a text.
pub(super) const LINES: [&str; 6] = ["title", "artist", "album", "genre", "", "composer"];

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "the dark side of the moon\npink floyd\u{2}guest\ndark star\nrock\n1973\nwaters";

    fn finds(query: &str) -> bool {
        let target = Target {
            text: TEXT,
            years: [1973, 0],
        };
        Search::of(query).finds(&target)
    }

    /// Each rule of the grammar, by what it finds and what it does not.
    #[test]
    fn the_grammar_finds_what_it_says() {
        for query in [
            "",
            "dark moo",
            "\"dark side\"",
            "“Dark Side”",
            "title:\"side of\"",
            "artist:floyd",
            "artist:\"Pink Floyd\" -artist:queen",
            "album:dark -album:moon",
            "genre:rock year:1973",
            "year:1970..1979",
            "year:1970..",
            "year:..1979 -year:1980..",
            "composer:waters",
            "-\"dark moon\"",
        ] {
            assert!(finds(query), "{query}");
        }
        for query in [
            "\"side dark\"",
            "\"dark sid\"",
            "\"floyd dark\"",
            "artist:dark",
            "-dark",
            "-artist:floyd",
            "-\"dark side\"",
            "year:1974",
            "year:1980..1990",
            "title:floyd",
        ] {
            assert!(!finds(query), "{query}");
        }
    }

    /// What follows no rule is text, never an error.
    #[test]
    fn odd_queries_are_text() {
        for query in [
            "\"",
            "\"\"",
            "-",
            "--",
            ":",
            "artist:",
            "artist:\"",
            "year:",
            "year:x",
            "year:..",
            "albumid:zz",
            "-\"",
            "\"a",
            "foo:bar",
            "''",
            "-:",
            "«",
            "artist:\"\"",
            "\"\" \"\"",
        ] {
            let search = Search::of(query);
            assert_eq!(search.groups().count(), 0, "{query}");
            finds(query);
        }
        assert!(finds("rock \"dark") && !finds("dork\""));
        assert_eq!(
            Search::of("albumid:3f artistid:a -albumid:4")
                .groups()
                .count(),
            3
        );
    }
}
