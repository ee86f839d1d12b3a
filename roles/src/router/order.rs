//! How songs are ordered and found: keys that compare as people expect.

use alloc::collections::BTreeSet;
use alloc::string::String;
use core::ops::Bound;

use crate::contract::id::SongId;
use crate::contract::message::Sort;
use crate::contract::song::Song;

/// All songs in one order.
#[derive(Debug, Default)]
pub(super) struct Order(BTreeSet<(String, SongId)>);

impl FromIterator<(String, SongId)> for Order {
    fn from_iter<I: IntoIterator<Item = (String, SongId)>>(keys: I) -> Self {
        Order(keys.into_iter().collect())
    }
}

impl Order {
    pub(super) fn insert(&mut self, key: String, id: SongId) {
        self.0.insert((key, id));
    }

    pub(super) fn remove(&mut self, key: &str, id: SongId) {
        self.0.remove(&(key.into(), id));
    }

    /// The songs after a place, in either direction; all of them without one.
    pub(super) fn from(
        &self,
        place: Option<(&str, SongId)>,
        descending: bool,
    ) -> alloc::boxed::Box<dyn Iterator<Item = (&str, SongId)> + '_> {
        let place = place.map(|(key, id)| (String::from(key), id));
        let at = place.map_or(Bound::Unbounded, Bound::Excluded);
        if descending {
            let range = self.0.range((Bound::Unbounded, at));
            alloc::boxed::Box::new(range.rev().map(|(key, id)| (key.as_str(), *id)))
        } else {
            let range = self.0.range((at, Bound::Unbounded));
            alloc::boxed::Box::new(range.map(|(key, id)| (key.as_str(), *id)))
        }
    }
}

/// The key by which a song stands in an order. A tag that is missing stands last.
pub(super) fn sort_key(song: &Song, sort: Sort) -> String {
    let title = tag(&song.title);
    let artist = tag(&song.artist);
    let album = tag(&song.album);
    let place = alloc::format!("{:05}{:05}", song.disc, song.track);
    let by_artist = || alloc::format!("{artist}\0{album}\0{place}\0{title}");
    match sort {
        Sort::Artist => by_artist(),
        Sort::Title => alloc::format!("{title}\0{artist}"),
        Sort::Album => alloc::format!("{album}\0{place}\0{title}"),
        Sort::Genre => alloc::format!("{}\0{}", tag(&song.genre), by_artist()),
        Sort::Year => alloc::format!("{:05}\0{}", song.year, by_artist()),
        Sort::Duration => alloc::format!("{:010}\0{title}", song.duration_ms),
    }
}

fn tag(text: &str) -> String {
    if text.is_empty() {
        return "\u{10ffff}".into();
    }
    fold(text)
}

/// What a search looks at: every tag, folded, apart from each other.
pub(super) fn search_text(song: &Song) -> String {
    let tags = [&song.title, &song.artist, &song.album, &song.genre];
    let mut text = String::new();
    for tag in tags {
        text.push_str(&fold(tag));
        text.push('\n');
    }
    if song.year > 0 {
        text.push_str(&alloc::format!("{}", song.year));
    }
    text.shrink_to_fit();
    text
}

/// Lower case without the accents of the Latin letters, so that `cancion` finds `Canción`.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            folded.push(c.to_ascii_lowercase());
            continue;
        }
        // A combining accent (U+0300 to U+036F) stands behind its letter and is dropped.
        let lower = c
            .to_lowercase()
            .filter(|c| !('\u{300}'..='\u{36f}').contains(c));
        lower.for_each(|c| push_bare(&mut folded, c));
    }
    folded
}

fn push_bare(text: &mut String, c: char) {
    let bare = match c {
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'ǎ' => "a",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
        'ł' | 'ĺ' | 'ļ' | 'ľ' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'ŕ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ţ' | 'ť' | 'ț' => "t",
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        'æ' => "ae",
        'œ' => "oe",
        'ß' => "ss",
        'þ' => "th",
        other => return text.push(other),
    };
    text.push_str(bare);
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn folding_lets_people_type_plainly() {
        assert_eq!(fold("Canción ÑANDÚ"), "cancion nandu");
        assert_eq!(fold("Björk – Jóga"), "bjork – joga");
        assert_eq!(fold("e\u{301}"), "e");
        assert_eq!(fold("日本"), "日本");
    }
}
