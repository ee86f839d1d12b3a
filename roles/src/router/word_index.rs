//! Which songs have which words: a search looks through the vocabulary once, not through every song.
//!
//! Owns the folded text of each song by its slot, every word of all texts once, and for each word the
//! songs that have it. What it finds is what [`super::folding`] finds in each text alone: as part of
//! a word it is read off the vocabulary; what several words joined may make is looked at in the texts
//! of the few songs that have both its first and its last word.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::folding::{BREAK, Words, is_word_in};
use super::slot_set::{Slot, SlotSet};

/// The index.
#[derive(Debug)]
pub(super) struct WordIndex {
    /// The text of each slot; empty where no song is.
    texts: Vec<Box<str>>,
    years: Vec<u16>,
    by_year: BTreeMap<u16, Postings>,
    free: Vec<Slot>,
    songs: SlotSet,
    /// The number of each word.
    numbers: BTreeMap<Box<str>, u32>,
    /// All words, each between two [`END`]s, in the order of their numbers: what a search looks through.
    vocabulary: String,
    /// Where each word begins in the vocabulary.
    begins: Vec<u32>,
    postings: Vec<Postings>,
    /// Words that no song has any more.
    unused: usize,
}

/// The songs that have a word.
#[derive(Debug)]
enum Postings {
    /// In ascending order, at most [`LIST_MAX`].
    Few(Vec<Slot>),
    /// The songs, and their number.
    Many(SlotSet, u32),
}

impl Default for WordIndex {
    fn default() -> Self {
        WordIndex {
            texts: Vec::new(),
            years: Vec::new(),
            by_year: BTreeMap::new(),
            free: Vec::new(),
            songs: SlotSet::default(),
            numbers: BTreeMap::new(),
            vocabulary: String::from(END),
            begins: Vec::new(),
            postings: Vec::new(),
            unused: 0,
        }
    }
}

impl WordIndex {
    /// Takes a song's folded text and year; gives the song's slot.
    pub(super) fn add(&mut self, text: String, year: u16) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.texts.push("".into());
            self.years.push(0);
            self.texts.len() as Slot - 1
        });
        for word in words(&text) {
            let number = self.number(&word);
            if self.postings[number].is_empty() {
                self.unused -= 1;
            }
            self.postings[number].insert(slot);
        }
        if year > 0 {
            self.by_year.entry(year).or_default().insert(slot);
        }
        self.songs.insert(slot);
        self.texts[slot as usize] = text.into();
        self.years[slot as usize] = year;
        slot
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        let text = core::mem::take(&mut self.texts[slot as usize]);
        let year = core::mem::take(&mut self.years[slot as usize]);
        for word in words(&text) {
            let Some(number) = self.numbers.get(word.as_str()) else {
                continue;
            };
            let postings = &mut self.postings[*number as usize];
            postings.remove(slot);
            if postings.is_empty() {
                self.unused += 1;
            }
        }
        if let Some(postings) = self.by_year.get_mut(&year) {
            postings.remove(slot);
        }
        self.songs.remove(slot);
        self.free.push(slot);
        if self.unused > UNUSED_MAX && 2 * self.unused > self.postings.len() {
            self.forget_unused();
        }
    }

    pub(super) fn text(&self, slot: Slot) -> &str {
        self.texts.get(slot as usize).map_or("", |text| text)
    }

    pub(super) fn year(&self, slot: Slot) -> u16 {
        self.years.get(slot as usize).copied().unwrap_or(0)
    }

    /// The songs that have this folded word, as part of a word or as several whole words joined.
    pub(super) fn having(&self, word: &str) -> SlotSet {
        let bare: String = word.chars().filter(|c| *c != BREAK).collect();
        let mut found = self.containing(&bare);
        let mut joined = self.ending_in_the_beginning_of(word, &bare);
        joined.keep(&self.beginning_with_the_end_of(word, &bare));
        joined.take_out(&found);
        for slot in joined.iter() {
            if is_word_in(word, self.text(slot)) {
                found.insert(slot);
            }
        }
        found
    }

    /// The songs that have each of these words: all songs, if there are none.
    pub(super) fn having_all(&self, words: &Words) -> SlotSet {
        let mut found = self.songs.clone();
        words.iter().for_each(|word| found.keep(&self.having(word)));
        found
    }

    /// The songs of which every piece of this phrase is part of a word. They are all that may have the
    /// phrase.
    pub(super) fn with_pieces(&self, phrase: &str) -> SlotSet {
        let mut found = self.songs.clone();
        for piece in phrase.split([' ', BREAK]).filter(|piece| !piece.is_empty()) {
            found.keep(&self.containing(piece));
        }
        found
    }

    /// The songs of these years.
    pub(super) fn of_years(&self, years: &RangeInclusive<u16>) -> SlotSet {
        let mut found = SlotSet::default();
        if !years.is_empty() {
            let theirs = self.by_year.range(years.clone());
            theirs.for_each(|(_, postings)| postings.add_to(&mut found));
        }
        found
    }

    /// The songs with a word that this is a part of.
    fn containing(&self, part: &str) -> SlotSet {
        let mut found = SlotSet::default();
        self.look(part, &mut found);
        found
    }

    /// Adds the songs of all words in whose spelling, ends included, this occurs.
    fn look(&self, part: &str, found: &mut SlotSet) {
        if part.is_empty() {
            return;
        }
        let mut last = None;
        for (at, _) in self.vocabulary.match_indices(part) {
            // A part that begins with the end of a word belongs to the next word.
            let inside = at as u32 + u32::from(part.starts_with(END));
            let number = self.begins.partition_point(|begin| *begin <= inside) - 1;
            if last.replace(number) != Some(number) {
                self.postings[number].add_to(found);
            }
        }
    }

    /// The songs with a word in which a space-crossing `word` may begin: a whole word that is its
    /// beginning, or one that ends where `word` has a break.
    fn ending_in_the_beginning_of(&self, word: &str, bare: &str) -> SlotSet {
        let mut found = SlotSet::default();
        for (at, _) in bare.char_indices().skip(1) {
            self.of_word(&bare[..at], &mut found);
        }
        for at in breaks(word) {
            self.look(&[&bare[..at], END].concat(), &mut found);
        }
        found
    }

    fn beginning_with_the_end_of(&self, word: &str, bare: &str) -> SlotSet {
        let mut found = SlotSet::default();
        for (at, _) in bare.char_indices().skip(1) {
            self.of_word(&bare[at..], &mut found);
        }
        for at in breaks(word) {
            self.look(&[END, &bare[at..]].concat(), &mut found);
        }
        found
    }

    fn of_word(&self, word: &str, found: &mut SlotSet) {
        if let Some(number) = self.numbers.get(word) {
            self.postings[*number as usize].add_to(found);
        }
    }

    fn number(&mut self, word: &str) -> usize {
        if let Some(number) = self.numbers.get(word) {
            return *number as usize;
        }
        let number = self.postings.len();
        self.numbers.insert(word.into(), number as u32);
        self.begins.push(self.vocabulary.len() as u32);
        self.vocabulary.push_str(word);
        self.vocabulary.push_str(END);
        self.postings.push(Postings::default());
        self.unused += 1;
        number
    }

    /// Numbers the words that are used anew, and forgets the others.
    fn forget_unused(&mut self) {
        let numbers = core::mem::take(&mut self.numbers);
        let mut old = core::mem::take(&mut self.postings);
        (self.vocabulary, self.unused) = (END.into(), 0);
        self.begins.clear();
        for (word, number) in numbers {
            let postings = core::mem::take(&mut old[number as usize]);
            if !postings.is_empty() {
                let number = self.number(&word);
                self.postings[number] = postings;
                self.unused -= 1;
            }
        }
    }
}

impl Default for Postings {
    fn default() -> Self {
        Postings::Few(Vec::new())
    }
}

impl Postings {
    fn is_empty(&self) -> bool {
        match self {
            Postings::Few(slots) => slots.is_empty(),
            Postings::Many(_, number) => *number == 0,
        }
    }

    fn insert(&mut self, slot: Slot) {
        match self {
            Postings::Few(slots) => {
                if let Err(at) = slots.binary_search(&slot) {
                    slots.insert(at, slot);
                }
                if slots.len() > LIST_MAX {
                    let mut set = SlotSet::default();
                    slots.iter().for_each(|slot| set.insert(*slot));
                    let number = slots.len() as u32;
                    *self = Postings::Many(set, number);
                }
            }
            Postings::Many(set, number) => {
                *number += u32::from(!set.has(slot));
                set.insert(slot);
            }
        }
    }

    fn remove(&mut self, slot: Slot) {
        match self {
            Postings::Few(slots) => {
                if let Ok(at) = slots.binary_search(&slot) {
                    slots.remove(at);
                }
            }
            Postings::Many(set, number) => {
                *number -= u32::from(set.has(slot));
                set.remove(slot);
            }
        }
    }

    fn add_to(&self, found: &mut SlotSet) {
        match self {
            Postings::Few(slots) => slots.iter().for_each(|slot| found.insert(*slot)),
            Postings::Many(set, _) => found.add(set),
        }
    }
}

/// The words of a text, each once. A word with breaks stands as a whole, and from and up to
/// each of its breaks: a word of a search may begin or end there.
fn words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for token in text.split(|c: char| c <= ' ' && c != BREAK) {
        let parts: Vec<&str> = token.split(BREAK).filter(|part| !part.is_empty()).collect();
        for at in 0..parts.len() {
            words.insert(parts[at..].concat());
            words.insert(parts[..=at].concat());
        }
    }
    words
}

/// Where a word has breaks, counted without them.
fn breaks(word: &str) -> impl Iterator<Item = usize> {
    let places = word.match_indices(BREAK).enumerate();
    let bare_length = word.len() - word.matches(BREAK).count() * BREAK.len_utf8();
    places
        .map(|(before, (at, _))| at - before * BREAK.len_utf8())
        .filter(move |at| (1..bare_length).contains(at))
}

/// Stands between two words of the vocabulary.
const END: &str = "\n";

/// Songs of a word from which on they are kept as a bitmap, which has no costs for each song.
const LIST_MAX: usize = 1024;

/// Unused words that are kept in any case.
const UNUSED_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::rng::Rng;

    /// Texts with spaces, breaks, names and lines, of so few letters that words meet in every way.
    fn text(rng: &mut Rng) -> String {
        let signs = ['a', 'b', 'c', 'é', ' ', ' ', BREAK, '\u{2}', '\n'];
        let length = rng.below(14) as usize;
        (0..length)
            .map(|_| signs[rng.below(signs.len() as u64) as usize])
            .collect()
    }

    fn query(rng: &mut Rng) -> String {
        let signs = ['a', 'b', 'c', 'é', BREAK];
        let length = 1 + rng.below(5) as usize;
        let word: String = (0..length)
            .map(|_| signs[rng.below(signs.len() as u64) as usize])
            .collect();
        word.trim_matches(BREAK).into()
    }

    /// Whatever comes and goes, the index finds a word where a look at every text finds it.
    #[test]
    fn the_index_finds_what_the_texts_have() {
        let mut rng = Rng::from_seed(7);
        let mut index = WordIndex::default();
        let mut there: BTreeMap<Slot, String> = BTreeMap::new();
        for round in 0..3000 {
            let text = text(&mut rng);
            let slot = index.add(text.clone(), 0);
            assert!(there.insert(slot, text).is_none(), "a slot is given twice");
            if there.len() > 40 {
                let at = rng.below(there.len() as u64) as usize;
                let slot = *there.keys().nth(at).expect("one of them");
                there.remove(&slot);
                index.remove(slot);
            }
            let word = query(&mut rng);
            if word.is_empty() {
                continue;
            }
            let found: Vec<Slot> = index.having(&word).iter().collect();
            let wanted: Vec<Slot> = (there.iter())
                .filter(|(_, text)| is_word_in(&word, text))
                .map(|(slot, _)| *slot)
                .collect();
            assert_eq!(found, wanted, "round {round}: {word:?} in {there:?}");
        }
        assert!(index.postings.len() < 3 * UNUSED_MAX, "words are forgotten");
    }

    /// Years are found by their ranges, and are no words.
    #[test]
    fn years_are_no_words() {
        let mut index = WordIndex::default();
        let slots: Vec<Slot> = [0, 1973, 1984, 2001]
            .map(|year| index.add("a".into(), year))
            .into();
        let of = |years| index.of_years(&years).iter().collect::<Vec<_>>();
        assert_eq!(of(1970..=1984), slots[1..3]);
        assert_eq!(of(0..=u16::MAX), slots[1..]);
        assert_eq!(of(RangeInclusive::new(1985, 1970)), []);
        assert_eq!(index.having("1973").len(), 0);
        assert_eq!(index.having("0").len(), 0);
    }
}
