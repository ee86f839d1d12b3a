//! What names of albums and artists say beside the name: a disc, guests.

/// The artist without guests: `A feat. B` is `A`.
pub fn main_artist(artist: &str) -> &str {
    let is_guest_word = |word: &str| {
        let word = word.trim_start_matches(['(', '[']).trim_end_matches('.');
        GUEST_WORDS
            .iter()
            .any(|guest| word.eq_ignore_ascii_case(guest))
    };
    let mut from = 0;
    for word in artist.split(' ') {
        if from > 0 && is_guest_word(word) {
            return artist[..from].trim();
        }
        from += word.len() + 1;
    }
    artist.trim()
}

/// An album's title without its disc, and the disc: `Ring (Disc 2)` is `Ring`, 2. A title that is
/// nothing but a disc stays as it is.
pub fn title_and_disc(title: &str) -> (&str, Option<u16>) {
    let whole = title.trim();
    split_disc(whole).map_or((whole, None), |(title, disc)| (title, Some(disc)))
}

fn split_disc(whole: &str) -> Option<(&str, u16)> {
    let inner = whole.strip_suffix([')', ']']);
    let rest = inner.unwrap_or(whole).trim_end();
    let digits = rest.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (rest, number) = rest.split_at(rest.len() - digits);
    let disc = number.parse().ok().filter(|disc| (1..=99).contains(disc))?;
    let rest = rest.trim_end_matches(['.', '#', ' ']);
    let word = DISC_WORDS.iter().find(|word| {
        let tail = rest
            .len()
            .checked_sub(word.len())
            .and_then(|at| rest.get(at..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(word))
    })?;
    let before = &rest[..rest.len() - word.len()];
    let title = match inner {
        Some(_) => before.trim_end().strip_suffix(['(', '['])?,
        // Without brackets, the word must stand alone.
        None => before.strip_suffix([' ', ',', '-', ':'])?,
    };
    let title = title.trim_end_matches([' ', ',', '-', ':', '–']);
    (!title.is_empty()).then_some((title, disc))
}

/// Words behind which guests are named.
const GUEST_WORDS: [&str; 3] = ["feat", "ft", "featuring"];

/// Words that stand before the number of a disc; a longer one before a shorter one that it ends in.
const DISC_WORDS: [&str; 4] = ["disco", "disc", "disk", "cd"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_left_out() {
        for artist in [
            "A feat. B",
            "A ft B",
            "A (feat. B)",
            "A Featuring B & C",
            "A",
        ] {
            assert_eq!(main_artist(artist), "A", "{artist}");
        }
        assert_eq!(main_artist("Feat. X"), "Feat. X");
        assert_eq!(main_artist("Daft Punk"), "Daft Punk");
        assert_eq!(main_artist("  "), "");
    }

    #[test]
    fn a_disc_is_told_from_a_title() {
        for title in [
            "Ring (Disc 2)",
            "Ring [CD2]",
            "Ring CD 2",
            "Ring - Disc 2",
            "Ring, Disk #2",
            "Ring: disc 02",
            "Ring (disco 2)",
        ] {
            assert_eq!(title_and_disc(title), ("Ring", Some(2)), "{title}");
        }
        for title in [
            "1984",
            "Disc 2",
            "ABCD 2",
            "Vol. 2",
            "Ring (Disc 0)",
            "Ring 2)",
            "",
        ] {
            assert_eq!(title_and_disc(title), (title, None), "{title}");
        }
    }
}
