//! The songs and their holders, with search and sorted pages.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::groups::Groups;
use super::order::{Folded, Order, search_text, sort_key};
use super::search::Search;
use super::slot_set::{Slot, SlotSet};
use super::word_index::WordIndex;
use crate::albums::Tagged;
use crate::contract::browse::{Browse, Browsed};
use crate::contract::id::{NodeId, SongId, SongPrefix};
use crate::contract::limits::{PAGE_BYTES_MAX, PAGE_SONGS_MAX, SEARCH_BYTES_MAX, SONG_BYTES_MAX};
use crate::contract::message::{
    Catalogue as CatalogueMessage, Cursor, Listed, Query, Refusal, Sort,
};
use crate::contract::song::Song;
use crate::contract::tags::MoreTags;
use crate::contract::time::Time;
use crate::contract::trash::{Mark, Trashed};

/// Most words of a search. It bounds the time of a search, which looks for each word in the whole
/// vocabulary on the event loop.
const WORDS_MAX: usize = 16;

/// Most removed songs that the catalogue remembers. The data nodes remember all of them.
const BURIED_MAX: usize = 100_000;

/// Most marks that the catalogue remembers: some 20 MB. The data nodes remember all of them.
const MARKS_KEPT_MAX: usize = 200_000;

/// The songs that the known data nodes have announced.
#[derive(Debug, Default)]
pub struct Catalogue {
    entries: BTreeMap<SongId, Entry>,
    /// One sorted index for each order that has been asked for. Every change updates them.
    orders: BTreeMap<Sort, Order>,
    /// Songs removed for good.
    buried: BTreeSet<SongId>,
    /// Removed songs that a data node still announces, because it has not received the removal.
    /// They are neither listed nor found, but their holders are counted so that digests add up.
    hidden: BTreeMap<SongId, Entry>,
    /// Songs in the trash. They are neither listed nor found outside it.
    thrown: BTreeMap<SongId, Entry>,
    /// The marks of songs, each with the time at which it came.
    marks: BTreeMap<SongId, (Mark, Time)>,
    /// The albums, artists, genres and years of the songs that are not hidden.
    groups: Groups,
    /// The words of the same songs.
    words: WordIndex,
    /// The song in each slot of the index.
    ids: Vec<SongId>,
    /// Further tags that came last: the songs of an album share theirs.
    shared: VecDeque<Arc<MoreTags>>,
}

#[derive(Debug)]
struct Entry {
    song: Song,
    /// Its further tags, once a holder has told them.
    more: Option<Arc<MoreTags>>,
    /// When the first holder that told it got the song, in seconds since 1970; 0 if unknown.
    added: u32,
    /// Its place in the index of words, while it is in the lists.
    slot: Slot,
    holders: Vec<NodeId>,
}

/// Checks that a query is within its bounds. The error says which bound is broken.
pub fn check(query: &Query) -> Result<(), String> {
    let cursor = query.after.as_ref().map_or(0, |cursor| cursor.key.len());
    check_page(&query.words, cursor, query.limit)
}

/// The same for a question about albums, artists, genres or years.
pub fn check_browse(browse: &Browse) -> Result<(), String> {
    match browse {
        Browse::Albums { page, .. } | Browse::Artists { page } | Browse::Values { page, .. } => {
            let mark = page.after.as_ref().map_or(0, |mark| mark.key.len());
            check_page(&page.words, mark, page.limit)
        }
        Browse::Album { limit, .. } => check_page("", 0, *limit),
        Browse::Songs { query, .. } => check(query),
    }
}

fn check_page(words: &str, key_bytes: usize, limit: u32) -> Result<(), String> {
    if words.len() > SEARCH_BYTES_MAX {
        return Err(alloc::format!(
            "a search is at most {SEARCH_BYTES_MAX} bytes"
        ));
    }
    if Search::of(words).count() > WORDS_MAX {
        return Err(alloc::format!("a search is at most {WORDS_MAX} words"));
    }
    if limit == 0 || limit as usize > PAGE_SONGS_MAX {
        return Err(alloc::format!("a page is 1 to {PAGE_SONGS_MAX} songs"));
    }
    if key_bytes > SONG_BYTES_MAX {
        return Err("the page begins at an impossible place".into());
    }
    Ok(())
}

impl Catalogue {
    /// The number of songs. Songs that are removed or in the trash do not count.
    pub fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Whether there are no songs.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Notes that `node` has the song. Returns false if that was known. The song stays hidden if it
    /// has been removed for good.
    pub fn add(&mut self, node: NodeId, mut song: Song) -> bool {
        song.bound_tags();
        let id = song.id;
        let places = [&mut self.entries, &mut self.hidden, &mut self.thrown];
        let known = places.into_iter().find_map(|place| place.get_mut(&id));
        if let Some(entry) = known {
            let fresh = !entry.holders.contains(&node);
            if fresh {
                entry.holders.push(node);
            }
            return fresh;
        }
        let entry = Entry {
            slot: 0,
            song,
            more: None,
            added: 0,
            holders: alloc::vec![node],
        };
        if self.buried.contains(&id) {
            self.hidden.insert(id, entry);
            return true;
        }
        if self.is_thrown(id) {
            self.thrown.insert(id, entry);
            return true;
        }
        self.show(id, entry);
        true
    }

    /// Puts a song into the lists.
    fn show(&mut self, id: SongId, mut entry: Entry) {
        entry.slot = self.index(&entry);
        for (sort, order) in &mut self.orders {
            order.insert(entry.sort_key(&self.words, *sort), id.0);
        }
        self.groups.add(entry.tagged());
        self.entries.insert(id, entry);
    }

    /// Has the words of a song found; gives its slot.
    fn index(&mut self, entry: &Entry) -> Slot {
        let text = search_text(&entry.song, entry.more.as_deref());
        let slot = self.words.add(text, entry.song.year);
        let at = slot as usize;
        if at >= self.ids.len() {
            self.ids.resize(at + 1, SongId(0));
        }
        self.ids[at] = entry.song.id;
        slot
    }

    /// Takes a song out of the lists, or out of the trash.
    fn take(&mut self, id: SongId) -> Option<Entry> {
        let Some(entry) = self.entries.remove(&id) else {
            return self.thrown.remove(&id);
        };
        for (sort, order) in &mut self.orders {
            order.remove(&entry.sort_key(&self.words, *sort), id.0);
        }
        self.groups.remove(entry.tagged());
        self.words.remove(entry.slot);
        Some(entry)
    }

    /// Takes the further tags of a song. Those of a song that is not here are dropped.
    pub fn tag(&mut self, id: SongId, mut more: MoreTags) {
        more.bound();
        let more = self.share(more);
        let visible = self.entries.contains_key(&id);
        let Some(entry) = self.entry_mut(id) else {
            return;
        };
        if entry.more.as_ref() == Some(&more) {
            return;
        }
        if !visible {
            entry.more = Some(more);
        } else if let Some(mut entry) = self.entries.remove(&id) {
            self.groups.remove(entry.tagged());
            self.words.remove(entry.slot);
            entry.more = Some(more);
            entry.slot = self.index(&entry);
            self.groups.add(entry.tagged());
            self.entries.insert(id, entry);
        }
    }

    /// A song, wherever it is.
    fn entry_mut(&mut self, id: SongId) -> Option<&mut Entry> {
        let places = [&mut self.entries, &mut self.hidden, &mut self.thrown];
        places.into_iter().find_map(|place| place.get_mut(&id))
    }

    /// These tags, in the place of equal ones that came shortly before.
    fn share(&mut self, more: MoreTags) -> Arc<MoreTags> {
        if let Some(same) = self.shared.iter().find(|known| ***known == more) {
            return Arc::clone(same);
        }
        let more = Arc::new(more);
        self.shared.push_front(Arc::clone(&more));
        self.shared.truncate(SHARED_MAX);
        more
    }

    /// Takes the time at which a holder got a song. The earliest counts: a copy that was made later is
    /// the same song.
    pub fn note_added(&mut self, id: SongId, added: u32) {
        let (entry, visible) = match self.entries.get_mut(&id) {
            Some(entry) => (entry, true),
            None => match self.hidden.get_mut(&id).or(self.thrown.get_mut(&id)) {
                Some(entry) => (entry, false),
                None => return,
            },
        };
        if added == 0 || (entry.added > 0 && entry.added <= added) {
            return;
        }
        let order = self.orders.get_mut(&Sort::Added).filter(|_| visible);
        if let Some(order) = order {
            order.remove(&entry.sort_key(&self.words, Sort::Added), id.0);
            entry.added = added;
            order.insert(entry.sort_key(&self.words, Sort::Added), id.0);
        }
        entry.added = added;
        if visible {
            self.groups.touch(entry.tagged());
        }
    }

    /// Brings the albums up to date with the songs. After each announcement, so that no question has
    /// to wait for many of them; buckets of very many songs only when somebody asks.
    pub fn settle(&mut self) {
        self.settle_up_to(SETTLED_AT_ONCE_MAX);
    }

    fn settle_up_to(&mut self, songs_max: usize) {
        let entries = &self.entries;
        let find = |id| entries.get(&id).map(Entry::tagged);
        self.groups.settle(songs_max, find);
    }

    /// Answers a question about albums, artists, genres or years.
    pub fn browse(
        &mut self,
        browse: &Browse,
        alive: impl Fn(&[NodeId]) -> usize,
    ) -> Result<Browsed, Refusal> {
        self.settle_up_to(usize::MAX);
        Ok(match browse {
            Browse::Albums { page, artist, sort } => self.groups.albums_page(page, *artist, *sort),
            Browse::Artists { page } => self.groups.artists_page(page),
            Browse::Values { of, page } => self.groups.values_page(*of, page),
            Browse::Songs { query, from } => {
                let (songs, total, next) = self.songs(query, *from, alive);
                Browsed::Songs { songs, total, next }
            }
            Browse::Album { album, from, limit } => {
                let (album, songs) = self.groups.album(*album).ok_or(Refusal::NotFound)?;
                let mut page = Page::default();
                for id in songs.iter().skip(*from as usize) {
                    if let Some(entry) = self.entries.get(id).filter(|_| page.has_room(*limit)) {
                        page.push(&entry.song, alive(&entry.holders));
                    }
                }
                let (album, songs) = (album.clone(), page.songs);
                Browsed::Album { album, songs }
            }
        })
    }

    /// Notes that `node` no longer has the song. A song without holders leaves the catalogue.
    /// Returns false if the node was not a holder.
    pub fn remove(&mut self, node: NodeId, id: SongId) -> bool {
        let places = [&mut self.entries, &mut self.thrown];
        let Some(entry) = places.into_iter().find_map(|place| place.get_mut(&id)) else {
            return self.remove_hidden(node, id);
        };
        let held = entry.holders.contains(&node);
        entry.holders.retain(|holder| *holder != node);
        if entry.holders.is_empty() {
            self.take(id);
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

    /// Removes a song for good: it is no longer listed or found, even if data nodes still announce
    /// it. Beyond `BURIED_MAX` removed songs, nothing happens.
    pub fn bury(&mut self, id: SongId) {
        if self.buried.len() >= BURIED_MAX || !self.buried.insert(id) {
            return;
        }
        self.marks.remove(&id);
        if let Some(entry) = self.take(id) {
            self.hidden.insert(id, entry);
        }
    }

    /// Takes a data node's mark of a song, unless a mark that it does not outrank is known. Beyond
    /// `MARKS_KEPT_MAX` marks, nothing happens.
    pub fn mark(&mut self, now: Time, mark: Mark) {
        let id = mark.song;
        let known = self.marks.get(&id).map(|(known, _)| *known);
        let newer = mark.outranks(&known.unwrap_or(Mark::none(id)));
        let room = known.is_some() || self.marks.len() < MARKS_KEPT_MAX;
        if !newer || !room || self.buried.contains(&id) {
            return;
        }
        self.marks.insert(id, (mark, now));
        let Some(entry) = self.take(id) else {
            return;
        };
        if mark.thrown {
            self.thrown.insert(id, entry);
        } else {
            self.show(id, entry);
        }
    }

    /// Whether a song is in the trash, as far as the catalogue has heard.
    pub fn is_thrown(&self, song: SongId) -> bool {
        let mark = self.marks.get(&song);
        mark.is_some_and(|(mark, _)| mark.thrown)
    }

    /// Whether a song in the trash begins with these digits.
    pub fn has_thrown(&self, prefix: SongPrefix) -> bool {
        let mut found = self.thrown.range(prefix.first()..=prefix.last());
        found.next().is_some()
    }

    /// One page of the trash: the songs that begin with `prefix`, after a place, at most `limit`.
    pub fn trash(
        &self,
        now: Time,
        prefix: Option<SongPrefix>,
        (after, limit): (Option<SongId>, u32),
        alive: impl Fn(&[NodeId]) -> usize,
    ) -> CatalogueMessage {
        let fits = |song: SongId| prefix.is_none_or(|prefix| prefix.matches(song));
        let beyond = |song: SongId| after.is_none_or(|after| song > after);
        let mut found = self
            .thrown
            .iter()
            .filter(|(id, _)| fits(**id) && beyond(**id))
            .peekable();
        let (mut songs, mut bytes) = (Vec::new(), 0);
        while songs.len() < limit as usize
            && bytes < PAGE_BYTES_MAX
            && let Some((id, entry)) = found.next()
        {
            bytes += entry.song.page_bytes();
            let (mark, at) = self
                .marks
                .get(id)
                .copied()
                .unwrap_or((Mark::none(*id), now));
            let since_s = now.since(at).as_secs();
            songs.push(Trashed {
                song: entry.song.clone(),
                version: mark.version,
                age_s: mark.age_s.saturating_add(since_s),
                left_s: mark.left_s.saturating_sub(since_s),
                copies: u8::try_from(alive(&entry.holders)).unwrap_or(u8::MAX),
            });
        }
        let more = found.peek().is_some();
        CatalogueMessage::Trash {
            next: songs.last().map(|last| last.song.id).filter(|_| more),
            songs,
            total: self.thrown.len() as u64,
            bytes: self.thrown.values().map(|entry| entry.song.bytes).sum(),
        }
    }

    /// Removes `node` from the holders of all songs.
    pub fn forget(&mut self, node: NodeId) {
        let held = |(_, entry): &(&SongId, &Entry)| entry.holders.contains(&node);
        let songs: Vec<SongId> = (self.entries.iter())
            .chain(&self.hidden)
            .chain(&self.thrown)
            .filter(held)
            .map(|(id, _)| *id)
            .collect();
        for song in songs {
            self.remove(node, song);
        }
    }

    /// The song whose id begins with these digits, and its holders. If several songs match, the
    /// refusal names up to five.
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

    /// Whether a song has been removed for good, as far as the catalogue has heard and remembers.
    pub fn is_buried(&self, song: SongId) -> bool {
        self.buried.contains(&song)
    }

    /// The number of copies that are missing over all songs, if each is to have `wanted`. `alive`
    /// counts the living nodes among a song's holders.
    pub fn missing(&self, wanted: usize, alive: impl Fn(&[NodeId]) -> usize) -> u64 {
        let missing = |entry: &Entry| wanted.saturating_sub(alive(&entry.holders)) as u64;
        let kept = self.entries.values().chain(self.thrown.values());
        kept.map(missing).sum()
    }

    /// One page of a list, after the query's place.
    pub fn page(&mut self, query: &Query, alive: impl Fn(&[NodeId]) -> usize) -> CatalogueMessage {
        let (songs, total, next) = self.songs(query, 0, alive);
        CatalogueMessage::Songs { songs, total, next }
    }

    /// The songs of a page, the number of all, and where the next page begins. The page begins `skipped`
    /// songs behind the query's place. The index of its order is built when the order is first asked for.
    fn songs(
        &mut self,
        query: &Query,
        skipped: u32,
        alive: impl Fn(&[NodeId]) -> usize,
    ) -> (Vec<Listed>, u64, Option<Cursor>) {
        let search = Search::of(&query.words);
        if search.groups().next().is_some() {
            self.settle_up_to(usize::MAX);
        }
        let entries = &self.entries;
        let order = self.orders.entry(query.sort).or_insert_with(|| {
            let keys = entries
                .values()
                .map(|entry| (entry.sort_key(&self.words, query.sort), entry.song.id.0));
            keys.collect()
        });
        let found =
            (search.count() > 0).then(|| found(&search, (&self.words, &self.groups, entries)));
        let total = found.as_ref().map_or(entries.len(), SlotSet::len);
        // Few songs are ordered by themselves: they may lie anywhere in the order of all.
        let few: Option<Order> = found.as_ref().filter(|_| total <= FEW_MAX).map(|found| {
            let ids = found.iter().map(|slot| self.ids[slot as usize]);
            let theirs = ids.filter_map(|id| entries.get(&id));
            theirs
                .map(|entry| (entry.sort_key(&self.words, query.sort), entry.song.id.0))
                .collect()
        });
        let order = few.as_ref().unwrap_or(order);
        let finds = |id: SongId| {
            let entry = entries.get(&id)?;
            let theirs = found.as_ref().is_none_or(|found| found.has(entry.slot));
            theirs.then_some(entry)
        };
        let place = query.after.as_ref().map(|c| (c.key.as_str(), c.id.0));
        let mut page = Page::default();
        let from = order.from(place, query.descending);
        // A first page that has every song found needs no look at the rest of the order.
        let first = place.is_none() && skipped == 0;
        let songs_max = if first { total } else { usize::MAX };
        let mut skipped = skipped;
        for (key, id) in from {
            if page.songs.len() == songs_max {
                break;
            }
            let Some(entry) = finds(SongId(id)) else {
                continue;
            };
            if skipped > 0 {
                skipped -= 1;
                continue;
            }
            if !page.has_room(query.limit) {
                page.next = page.last.take();
                break;
            }
            page.last = Some(Cursor {
                key: key.into(),
                id: SongId(id),
            });
            page.push(&entry.song, alive(&entry.holders));
        }
        (page.songs, total as u64, page.next)
    }
}

/// The songs that a search finds.
fn found(
    search: &Search,
    (words, groups, entries): (&WordIndex, &Groups, &BTreeMap<SongId, Entry>),
) -> SlotSet {
    let mut found = search.find_in(words);
    for (wanted, term) in search.groups() {
        let mut theirs = SlotSet::default();
        let entries = groups
            .songs_of(term)
            .into_iter()
            .filter_map(|id| entries.get(&id));
        entries.for_each(|entry| theirs.insert(entry.slot));
        match wanted {
            true => found.keep(&theirs),
            false => found.take_out(&theirs),
        }
    }
    found
}

impl Entry {
    fn tagged(&self) -> Tagged<'_> {
        Tagged {
            song: &self.song,
            more: self.more.as_deref(),
            added: self.added,
        }
    }

    /// The key of a song in the lists, whose words the index has.
    fn sort_key(&self, words: &WordIndex, sort: Sort) -> String {
        let folded = Folded::in_text(words.text(self.slot));
        sort_key(&self.song, folded, self.added, sort)
    }
}

/// Most songs of one bucket that are grouped again with each announcement.
const SETTLED_AT_ONCE_MAX: usize = 256;

/// Songs found of which the order is made anew. Of more, the songs of a page lie so close together in the
/// order of all that it takes less to walk there.
const FEW_MAX: usize = 4096;

/// Further tags among which equal ones are looked for.
const SHARED_MAX: usize = 8;

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
