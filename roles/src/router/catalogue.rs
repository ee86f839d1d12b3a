//! The songs and their holders, searchable, in pages.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::folding::Words;
use super::order::{Order, search_text, sort_key};
use crate::contract::id::{NodeId, SongId, SongPrefix};
use crate::contract::limits::{PAGE_BYTES_MAX, PAGE_SONGS_MAX, SEARCH_BYTES_MAX, SONG_BYTES_MAX};
use crate::contract::message::{
    Catalogue as CatalogueMessage, Cursor, Listed, Query, Refusal, Sort,
};
use crate::contract::song::Song;

/// Most words of a search: each is looked for in every song, on the loop.
const WORDS_MAX: usize = 16;

/// Songs removed for good that are remembered here: their data nodes remember all.
const BURIED_MAX: usize = 100_000;

/// Every song any known data node has announced.
#[derive(Debug, Default)]
pub struct Catalogue {
    entries: BTreeMap<SongId, Entry>,
    /// Orders that have been asked for, kept up to date by every change.
    orders: BTreeMap<Sort, Order>,
    /// Songs removed for good.
    buried: BTreeSet<SongId>,
    /// Those of them that somebody still has who has not heard of it. Nobody is told of these.
    hidden: BTreeMap<SongId, Entry>,
}

#[derive(Debug)]
struct Entry {
    song: Song,
    /// What a search looks at.
    text: String,
    holders: Vec<NodeId>,
}

/// Whether a query is within its bounds; says what is not.
pub fn check(query: &Query) -> Result<(), String> {
    let cursor = query.after.as_ref().map_or(0, |cursor| cursor.key.len());
    if query.words.len() > SEARCH_BYTES_MAX {
        return Err(alloc::format!(
            "a search is at most {SEARCH_BYTES_MAX} bytes"
        ));
    }
    if Words::of(&query.words).count() > WORDS_MAX {
        return Err(alloc::format!("a search is at most {WORDS_MAX} words"));
    }
    if query.limit == 0 || query.limit as usize > PAGE_SONGS_MAX {
        return Err(alloc::format!("a page is 1 to {PAGE_SONGS_MAX} songs"));
    }
    if cursor > SONG_BYTES_MAX {
        return Err("the page begins at an impossible place".into());
    }
    Ok(())
}

impl Catalogue {
    /// How many songs.
    pub fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// `node` has the song. False: that was known.
    pub fn add(&mut self, node: NodeId, mut song: Song) -> bool {
        song.bound_tags();
        let id = song.id;
        let known = match self.entries.get_mut(&id) {
            Some(entry) => Some(entry),
            None => self.hidden.get_mut(&id),
        };
        if let Some(entry) = known {
            let fresh = !entry.holders.contains(&node);
            if fresh {
                entry.holders.push(node);
            }
            return fresh;
        }
        let entry = Entry {
            text: search_text(&song),
            song,
            holders: alloc::vec![node],
        };
        if self.buried.contains(&id) {
            self.hidden.insert(id, entry);
            return true;
        }
        for (sort, order) in &mut self.orders {
            order.insert(sort_key(&entry.song, *sort), id);
        }
        self.entries.insert(id, entry);
        true
    }

    /// `node` does not have the song any longer; a song nobody has leaves the catalogue. False:
    /// it did not have it before.
    pub fn remove(&mut self, node: NodeId, id: SongId) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return self.remove_hidden(node, id);
        };
        let held = entry.holders.contains(&node);
        entry.holders.retain(|holder| *holder != node);
        if entry.holders.is_empty() {
            for (sort, order) in &mut self.orders {
                order.remove(&sort_key(&entry.song, *sort), id);
            }
            self.entries.remove(&id);
        }
        held
    }

    fn remove_hidden(&mut self, node: NodeId, id: SongId) -> bool {
        let Some(entry) = self.hidden.get_mut(&id) else {
            return false;
        };
        let held = entry.holders.contains(&node);
        entry.holders.retain(|holder| *holder != node);
        if entry.holders.is_empty() {
            self.hidden.remove(&id);
        }
        held
    }

    /// The song is removed for good: nobody hears of it any longer, whoever still has it.
    pub fn bury(&mut self, id: SongId) {
        if self.buried.len() >= BURIED_MAX || !self.buried.insert(id) {
            return;
        }
        if let Some(entry) = self.entries.remove(&id) {
            for (sort, order) in &mut self.orders {
                order.remove(&sort_key(&entry.song, *sort), id);
            }
            self.hidden.insert(id, entry);
        }
    }

    /// `node` has none of its songs any longer.
    pub fn forget(&mut self, node: NodeId) {
        let held = |(_, entry): &(&SongId, &Entry)| entry.holders.contains(&node);
        let songs: Vec<SongId> = (self.entries.iter())
            .chain(&self.hidden)
            .filter(held)
            .map(|(id, _)| *id)
            .collect();
        for song in songs {
            self.remove(node, song);
        }
    }

    /// The song that begins with these digits, and who has it.
    pub fn find(&self, prefix: SongPrefix) -> Result<(&Song, &[NodeId]), Refusal> {
        let mut found = self.entries.range(prefix.first()..=prefix.last());
        let (_, entry) = found.next().ok_or(Refusal::NotFound)?;
        let others: Vec<SongId> = found.take(4).map(|(id, _)| *id).collect();
        if others.is_empty() {
            return Ok((&entry.song, &entry.holders));
        }
        let mut all = alloc::vec![entry.song.id];
        all.extend(others);
        Err(Refusal::Ambiguous(all))
    }

    /// Copies missing over all songs, where each should have `wanted`.
    pub fn missing(&self, wanted: usize, alive: impl Fn(&[NodeId]) -> usize) -> u64 {
        let missing = |entry: &Entry| wanted.saturating_sub(alive(&entry.holders)) as u64;
        self.entries.values().map(missing).sum()
    }

    /// One page of a list.
    pub fn page(&mut self, query: &Query, alive: impl Fn(&[NodeId]) -> usize) -> CatalogueMessage {
        let entries = &self.entries;
        let order = self.orders.entry(query.sort).or_insert_with(|| {
            let keys = entries
                .values()
                .map(|entry| (sort_key(&entry.song, query.sort), entry.song.id));
            keys.collect()
        });
        let words = Words::of(&query.words);
        let finds = |id: &SongId| {
            let found = entries.get(id)?;
            words.are_in(&found.text).then_some(found)
        };
        let total = if words.count() == 0 {
            entries.len()
        } else {
            let texts = entries.values().map(|entry| &entry.text);
            texts.filter(|text| words.are_in(text)).count()
        };
        let place = query.after.as_ref().map(|c| (c.key.as_str(), c.id));
        let mut page = Page::default();
        let from = order.from(place, query.descending);
        // A first page that has every song found needs no look at the rest of the order.
        let songs_max = if place.is_none() { total } else { usize::MAX };
        for (key, id) in from {
            if page.songs.len() == songs_max {
                break;
            }
            let Some(entry) = finds(&id) else {
                continue;
            };
            if !page.has_room(query.limit) {
                page.next = page.last.take();
                break;
            }
            page.last = Some(Cursor {
                key: key.into(),
                id,
            });
            page.push(&entry.song, alive(&entry.holders));
        }
        CatalogueMessage::Songs {
            songs: page.songs,
            total: total as u64,
            next: page.next,
        }
    }
}

#[derive(Default)]
struct Page {
    songs: Vec<Listed>,
    bytes: usize,
    last: Option<Cursor>,
    next: Option<Cursor>,
}

impl Page {
    fn has_room(&self, limit: u32) -> bool {
        self.songs.len() < limit as usize && self.bytes < PAGE_BYTES_MAX
    }

    fn push(&mut self, song: &Song, copies: usize) {
        self.bytes += song.page_bytes();
        self.songs.push(Listed {
            song: song.clone(),
            copies: u8::try_from(copies).unwrap_or(u8::MAX),
        });
    }
}

#[cfg(test)]
mod tests;
