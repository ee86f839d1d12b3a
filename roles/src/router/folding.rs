//! The folding of text, for searches and for sort orders.
//!
//! Owns the one rule by which two spellings count as the same, for the tags of a song and for the
//! words of a query alike. The rule: Unicode NFKD, lower case, no diacritics, a small table of
//! letters that have no decomposition, no apostrophes; other punctuation only separates. Which tags
//! are searched, and what an order consists of, is the business of `order`.
//!
//! A folded text consists of words with one space between. Inside a word, [`BREAK`] stands where
//! the text has punctuation: `AC/DC` folds to `ac`, break, `dc`. A search may skip a break, so that
//! `acdc` and `ac dc` both find this text.

use alloc::string::String;

use unicode_normalization::char::decompose_compatible;

use crate::contract::limits::TAG_BYTES_MAX;

/// Punctuation inside a word. No folded text holds this character for another reason.
pub(super) const BREAK: char = '\u{1}';

/// Longest folded text, in bytes: a tag of Hangul takes three times its length. The longest
/// decompositions (one Arabic sign of 3 bytes becomes 33) are cut.
const FOLDED_BYTES_MAX: usize = 3 * TAG_BYTES_MAX;

/// Most digits of a number that the natural order counts; longer numbers compare digit by digit.
const DIGITS_MAX: usize = 48;

// The character that tells the number of digits sorts before every letter.
const _: () = assert!(b'0' as usize + DIGITS_MAX < b'a' as usize);

/// The folded form of a text, at most [`FOLDED_BYTES_MAX`] bytes. A text of punctuation alone
/// (`!!!`) keeps its punctuation, because the name consists of nothing else.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = Folded::new(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            folded.push_folded(c);
        } else {
            decompose_compatible(plain_sign(c), |part| folded.push_folded(part));
        }
    }
    if folded.text.is_empty() {
        fold_punctuation(text)
    } else {
        folded.text
    }
}

/// Appends a folded text in the form that sorts numbers by value: each run of digits follows a
/// character that tells its length. Leading zeros do not count.
pub(super) fn push_natural(key: &mut String, folded: &str) {
    let mut rest = folded;
    while let Some(start) = rest.find(is_digit) {
        push_spaced(key, &rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c| !is_digit(c)).unwrap_or(rest.len());
        push_number(key, &rest[..end]);
        rest = &rest[end..];
    }
    push_spaced(key, rest);
}

/// Appends a number, given as ASCII digits, so that keys compare by its value.
pub(super) fn push_number(key: &mut String, digits: &str) {
    let digits = digits.trim_start_matches('0');
    key.push(char::from(b'0' + digits.len().min(DIGITS_MAX) as u8));
    key.push_str(digits);
}

/// The words of a search, folded as the texts are.
pub(super) struct Words(String);

impl Words {
    /// Splits a query at its spaces. Words of punctuation alone count only if there are no others.
    pub(super) fn of(query: &str) -> Self {
        Words(fold(query))
    }

    /// The number of words. Without words, a search finds every text.
    pub(super) fn count(&self) -> usize {
        self.iter().count()
    }

    /// Whether each word stands somewhere in a folded text.
    pub(super) fn are_in(&self, folded: &str) -> bool {
        self.iter()
            .all(|word| is_in(word.as_bytes(), folded.as_bytes()))
    }

    /// The words.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|word| !word.is_empty())
    }
}

/// Whether a folded word stands in a folded text.
pub(super) fn is_word_in(word: &str, text: &str) -> bool {
    is_in(word.as_bytes(), text.as_bytes())
}

/// Whether a word stands in a text: as part of a word, or as several whole words joined.
fn is_in(word: &[u8], text: &[u8]) -> bool {
    // The first byte begins a character, so a match never begins inside one.
    let mut starts = (0..text.len()).filter(|at| text[*at] == word[0]);
    starts.any(|start| is_at(word, text, start))
}

/// Whether a word stands in a text at `start`. Breaks count for nothing on either side. The break
/// of a query may also be a space of the text: `jay-z` finds `Jay Z`. A word without break may
/// pass a space only if it consists of whole words: `acdc` finds `AC DC`, but `heart` does not
/// find `The Art`.
fn is_at(word: &[u8], text: &[u8], start: usize) -> bool {
    let mut at = start;
    let mut joins = false;
    let mut may_be_space = false;
    for byte in word {
        if *byte == BREAK as u8 {
            may_be_space = true;
            continue;
        }
        while text.get(at) != Some(byte) {
            match text.get(at) {
                Some(&SPACE) if may_be_space => may_be_space = false,
                Some(&SPACE) if is_edge(text, start.wrapping_sub(1)) => joins = true,
                Some(passed) if *passed == BREAK as u8 => (),
                _ => return false,
            }
            at += 1;
        }
        at += 1;
        may_be_space = false;
    }
    !joins || is_edge(text, at)
}

const SPACE: u8 = b' ';

/// Whether no word goes on at this position: it is outside the text, or holds no letter.
fn is_edge(text: &[u8], at: usize) -> bool {
    text.get(at).is_none_or(|byte| *byte <= SPACE)
}

/// Whether a folded phrase stands in a folded text as whole words, one behind the other. A break is
/// the end of a word, or nothing at all.
pub(super) fn is_in_phrase(phrase: &str, text: &str) -> bool {
    let spaced = |text: &str| text.replace(BREAK, " ");
    let joined = |text: &str| text.replace(BREAK, "");
    let stands = |form: &dyn Fn(&str) -> String| {
        let (phrase, text) = (form(phrase), form(text));
        let (bytes, length) = (text.as_bytes(), phrase.len());
        let mut places = text.match_indices(&phrase).map(|(at, _)| at);
        places.any(|at| is_edge(bytes, at.wrapping_sub(1)) && is_edge(bytes, at + length))
    };
    stands(&spaced) || stands(&joined)
}

/// A folded text under construction.
struct Folded {
    text: String,
    gap: Gap,
}

/// What separates the next letter from the last one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    None,
    Break,
    Space,
}

impl Folded {
    fn new(bytes: usize) -> Self {
        Folded {
            text: String::with_capacity(bytes.min(FOLDED_BYTES_MAX)),
            gap: Gap::None,
        }
    }

    /// Folds a character of a decomposed text.
    fn push_folded(&mut self, c: char) {
        if c.is_ascii_alphanumeric() {
            self.push(c.to_ascii_lowercase());
        } else if c.is_whitespace() || c.is_control() {
            self.gap = Gap::Space;
        } else if is_apostrophe(c) || is_diacritic(c) || is_invisible(c) {
            // These characters are dropped without a gap.
        } else if is_punctuation(c) {
            self.gap = self.gap.max(Gap::Break);
        } else {
            for lower in c.to_lowercase() {
                self.push_letter(lower);
            }
        }
    }

    fn push_letter(&mut self, c: char) {
        match plain_letters(c) {
            Some(plain) => plain.chars().for_each(|c| self.push(c)),
            None => self.push(digit(c).unwrap_or(c)),
        }
    }

    fn push(&mut self, c: char) {
        let gap = match self.gap {
            Gap::Break if !self.text.is_empty() => Some(BREAK),
            Gap::Space if !self.text.is_empty() => Some(' '),
            Gap::None | Gap::Break | Gap::Space => None,
        };
        let bytes = gap.map_or(0, char::len_utf8) + c.len_utf8();
        if self.text.len() + bytes <= FOLDED_BYTES_MAX {
            self.text.extend(gap);
            self.text.push(c);
            self.gap = Gap::None;
        }
    }
}

/// The folded form of a text without letters: one form for all quotes, and one for all dashes.
fn fold_punctuation(text: &str) -> String {
    let mut folded = Folded::new(text.len());
    for c in text.chars().map(plain_sign) {
        decompose_compatible(c, |part| {
            if part.is_whitespace() || part.is_control() {
                folded.gap = Gap::Space;
            } else if !is_diacritic(part) && !is_invisible(part) {
                folded.push(plain_sign(part));
            }
        });
    }
    folded.text
}

fn push_spaced(key: &mut String, folded: &str) {
    key.extend(folded.chars().map(|c| if c == BREAK { ' ' } else { c }));
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

/// The ASCII form of quotes and dashes. The acute accent is the only sign for which this must
/// happen before the decomposition, which makes it a space and a mark.
fn plain_sign(c: char) -> char {
    match c {
        '\u{b4}' => '\'',
        _ if is_apostrophe(c) => '\'',
        '«' | '»' | '\u{201c}'..='\u{201f}' | '\u{2033}' | '\u{2036}' | '\u{301d}'..='\u{301f}' => {
            '"'
        }
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2e3a}' | '\u{2e3b}' | '\u{301c}' => '-',
        other => other,
    }
}

/// Signs that people write, or leave out, inside a word: `don’t`, `l’été`, `Qur’an`.
fn is_apostrophe(c: char) -> bool {
    matches!(
        c,
        '\'' | '`'
            | '\u{2b9}'..='\u{2bf}'
            | '\u{2c8}'
            | '\u{55a}'
            | '\u{5f3}'
            | '\u{2018}'..='\u{201b}'
            | '\u{2032}'
            | '\u{2035}'
            | '\u{a78b}'
            | '\u{a78c}'
    )
}

/// Combining marks that a reader may leave out: those of Latin, Greek, Cyrillic, Hebrew and
/// Arabic. The marks of kana, and the vowels of Indic scripts and Thai, tell words apart and stay.
fn is_diacritic(c: char) -> bool {
    matches!(
        c,
        '\u{300}'..='\u{36f}'
            | '\u{483}'..='\u{489}'
            | '\u{591}'..='\u{5bd}'
            | '\u{5bf}'
            | '\u{5c1}'
            | '\u{5c2}'
            | '\u{5c4}'
            | '\u{5c5}'
            | '\u{5c7}'
            | '\u{610}'..='\u{61a}'
            | '\u{64b}'..='\u{65f}'
            | '\u{670}'
            | '\u{6d6}'..='\u{6dc}'
            | '\u{6df}'..='\u{6e4}'
            | '\u{6e7}'
            | '\u{6e8}'
            | '\u{6ea}'..='\u{6ed}'
            | '\u{1ab0}'..='\u{1aff}'
            | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}'
            | '\u{fe20}'..='\u{fe2f}'
    )
}

/// Characters without a shape of their own: soft hyphen, joiners, directions, variation selectors,
/// and the Arabic stroke that stretches a word.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{640}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
    )
}

/// Punctuation, and the ASCII signs that names use like punctuation. Other symbols (♥, ★) are
/// searched like letters.
fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation()
        || matches!(
            c,
            '\u{a1}'..='\u{a9}'
                | '\u{ab}'..='\u{b1}'
                | '\u{b4}'
                | '\u{b6}'..='\u{b8}'
                | '\u{bb}'
                | '\u{bf}'
                | '×'
                | '÷'
                | '\u{55b}'..='\u{55f}'
                | '\u{589}'
                | '\u{58a}'
                | '\u{5be}'
                | '\u{5c0}'
                | '\u{5c3}'
                | '\u{5c6}'
                | '\u{5f4}'
                | '\u{60c}'
                | '\u{60d}'
                | '\u{61b}'
                | '\u{61e}'
                | '\u{61f}'
                | '\u{66a}'..='\u{66d}'
                | '\u{6d4}'
                | '\u{964}'
                | '\u{965}'
                | '\u{e4f}'
                | '\u{e5a}'
                | '\u{e5b}'
                | '\u{2010}'..='\u{2029}'
                | '\u{2030}'..='\u{205e}'
                | '\u{2212}'
                | '\u{2215}'
                | '\u{2219}'
                | '\u{22c5}'
                | '\u{2e00}'..='\u{2e7f}'
                | '\u{3001}'..='\u{3003}'
                | '\u{3008}'..='\u{301f}'
                | '\u{3030}'
                | '\u{303d}'
                | '\u{30a0}'
                | '\u{30fb}'
        )
}

/// Letters that Unicode does not decompose, in the spelling of people whose keyboards lack the
/// letter.
fn plain_letters(c: char) -> Option<&'static str> {
    Some(match c {
        'æ' => "ae",
        'œ' => "oe",
        'ß' => "ss",
        'þ' => "th",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ł' => "l",
        'ħ' => "h",
        'ŧ' => "t",
        'ı' => "i",
        'ŋ' => "n",
        'ς' => "σ",
        _ => return None,
    })
}

/// The ASCII digit for a decimal digit of Arabic, Persian, Indic scripts or Thai.
fn digit(c: char) -> Option<char> {
    const ZEROS: [u32; 14] = [
        0x660, 0x6f0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xed0,
        0x17e0,
    ];
    let value = |zero: &u32| u32::from(c).checked_sub(*zero).filter(|value| *value < 10);
    let value = ZEROS.iter().find_map(value)?;
    char::from_digit(value, 10)
}
