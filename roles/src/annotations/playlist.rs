//! Playlists: a name, runs of songs, and the songs that have left them.
//!
//! | kind | subject | body |
//! |---|---|---|
//! | playlist | id of the playlist | its name |
//! | entries | playlist; id of the run | length of the place, the place, ids of songs |
//! | left | playlist; run; number of the song in it (two bytes) | empty |
//!
//! Songs that are added together are one run, of up to [`RUN_SONGS_MAX`]: a list of a thousand songs is
//! one document of 16 kB. Each song has a *place* all the same: that of its run, and behind it its
//! number in the run as two bytes. Places are ordered as texts of bytes, and between any two there is
//! another one, so a song that is put between two of a run is a run of its own at a place between them.
//! A song that leaves is a document of its own, too. So listeners who change one list at the same moment
//! do not meet, wherever in it they are: neither of them writes what the other has written.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::contract::document::{AccountId, Document, Key, Kind};
use crate::contract::id::SongId;
use crate::contract::limits::NAME_BYTES_MAX;
use crate::contract::rng::Rng;
use crate::contract::user::Draft;

/// Most songs in one run: 16 kB.
pub const RUN_SONGS_MAX: usize = 1000;

/// Longest place, in bytes. Songs that are put in at one place again and again need one byte more for
/// each eight of them; at the end of a list places do not grow.
const PLACE_BYTES_MAX: usize = 200;

/// The id of a playlist, drawn when it is made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PlaylistId(pub u128);

/// The id of a run, drawn likewise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct RunId(u128);

/// The playlists of one listener, each with its name, by id.
pub fn names(documents: &[Document]) -> Vec<(PlaylistId, String)> {
    let name = |document: &Document| {
        let id = PlaylistId(number(&document.key.subject)?);
        let body = document.body.as_deref()?;
        Some((id, core::str::from_utf8(body).ok()?.to_string()))
    };
    documents.iter().filter_map(name).collect()
}

/// The name of the document that names a playlist.
pub fn head(owner: AccountId, list: PlaylistId) -> Key {
    Key {
        owner,
        kind: Kind::PLAYLIST,
        subject: list.0.to_be_bytes().to_vec(),
    }
}

/// Gives a playlist its name, at its beginning and later.
pub fn rename(owner: AccountId, list: PlaylistId, name: &str) -> Result<Draft, &'static str> {
    let name = name.trim();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err("the name of a playlist has 1 to 256 bytes, and no control characters");
    }
    Ok(Draft {
        key: head(owner, list),
        body: Some(name.as_bytes().to_vec()),
    })
}

/// The songs of a playlist.
#[derive(Debug)]
pub struct Playlist {
    owner: AccountId,
    id: PlaylistId,
    runs: BTreeMap<RunId, Run>,
    /// In their order.
    songs: Vec<Entry>,
}

#[derive(Debug)]
struct Run {
    place: Vec<u8>,
    songs: Vec<SongId>,
    left: BTreeSet<u16>,
}

#[derive(Debug)]
struct Entry {
    place: Vec<u8>,
    run: RunId,
    number: u16,
    song: SongId,
}

impl Playlist {
    /// Reads a playlist from its documents of the kinds entries and left.
    pub fn of(owner: AccountId, id: PlaylistId, documents: &[Document]) -> Playlist {
        let of_kind = |kind| documents.iter().filter(move |one| one.key.kind == kind);
        let mut runs: BTreeMap<RunId, Run> =
            of_kind(Kind::ENTRIES).filter_map(Run::decode).collect();
        for document in of_kind(Kind::LEFT).filter(|one| one.body.is_some()) {
            if let Some((run, left)) = left_of(&document.key.subject)
                && let Some(run) = runs.get_mut(&run)
            {
                run.left.insert(left);
            }
        }
        let mut songs: Vec<Entry> = (runs.iter())
            .flat_map(|(id, run)| run.entries(*id))
            .collect();
        songs.sort_by(|a, b| (&a.place, a.run).cmp(&(&b.place, b.run)));
        Playlist {
            owner,
            id,
            runs,
            songs,
        }
    }

    /// The songs in their order; one that was added twice is there twice.
    pub fn songs(&self) -> impl ExactSizeIterator<Item = SongId> {
        self.songs.iter().map(|entry| entry.song)
    }

    /// Puts songs in before the one with this index, or behind the last one.
    pub fn insert(
        &self,
        at: usize,
        songs: &[SongId],
        rng: &mut Rng,
    ) -> Result<Vec<Draft>, &'static str> {
        let at = at.min(self.songs.len());
        let behind = self.songs.get(at).map(|entry| entry.place.clone());
        let mut before = match at.checked_sub(1).and_then(|n| self.songs.get(n)) {
            Some(entry) => entry.place.clone(),
            None => Vec::new(),
        };
        let mut drafts = Vec::new();
        for songs in songs.chunks(RUN_SONGS_MAX) {
            let place = between(&before, behind.as_deref(), rng);
            if place.len() > PLACE_BYTES_MAX {
                return Err(
                    "too many songs were put in at one place of this list: export it, and \
                            import it as another one",
                );
            }
            // The next run stands behind all songs of this one.
            before = place_of(&place, u16::MAX);
            let run = RunId(u128::from(rng.bits()) << 64 | u128::from(rng.bits()));
            drafts.push(Draft {
                key: self.key(Kind::ENTRIES, run, None),
                body: Some(encode(&place, songs)),
            });
        }
        Ok(drafts)
    }

    /// Takes out the songs with these indexes. A run whose last song leaves is deleted with all that is
    /// said of it.
    pub fn remove(&self, at: &BTreeSet<usize>) -> Vec<Draft> {
        let mut leaving: BTreeMap<RunId, BTreeSet<u16>> = BTreeMap::new();
        for entry in at.iter().filter_map(|at| self.songs.get(*at)) {
            leaving.entry(entry.run).or_default().insert(entry.number);
        }
        let mut drafts = Vec::new();
        for (id, numbers) in leaving {
            let Some(run) = self.runs.get(&id) else {
                continue;
            };
            if run.left.len() + numbers.len() >= run.songs.len() {
                drafts.extend(self.drop_run(id, run));
                continue;
            }
            drafts.extend(numbers.into_iter().map(|number| Draft {
                key: self.key(Kind::LEFT, id, Some(number)),
                body: Some(Vec::new()),
            }));
        }
        drafts
    }

    /// Moves the song with index `from` to index `to`.
    pub fn reorder(
        &self,
        from: usize,
        to: usize,
        rng: &mut Rng,
    ) -> Result<Vec<Draft>, &'static str> {
        let moved = self.songs.get(from).ok_or("the list has no such song")?;
        // It still stands in the list while its new place is chosen.
        let before = if to >= from { to + 1 } else { to };
        let mut drafts = self.insert(before, &[moved.song], rng)?;
        drafts.extend(self.remove(&BTreeSet::from([from])));
        Ok(drafts)
    }

    /// Deletes the playlist with all its songs.
    pub fn delete(&self) -> Vec<Draft> {
        let runs = self.runs.iter();
        let mut drafts: Vec<Draft> = runs.flat_map(|(id, run)| self.drop_run(*id, run)).collect();
        drafts.push(Draft {
            key: head(self.owner, self.id),
            body: None,
        });
        drafts
    }

    fn drop_run(&self, id: RunId, run: &Run) -> Vec<Draft> {
        let left = run.left.iter();
        let keys = left.map(|number| self.key(Kind::LEFT, id, Some(*number)));
        let keys = keys.chain([self.key(Kind::ENTRIES, id, None)]);
        keys.map(|key| Draft { key, body: None }).collect()
    }

    fn key(&self, kind: Kind, run: RunId, number: Option<u16>) -> Key {
        let mut subject = self.id.0.to_be_bytes().to_vec();
        subject.extend(run.0.to_be_bytes());
        subject.extend(number.into_iter().flat_map(u16::to_be_bytes));
        Key {
            owner: self.owner,
            kind,
            subject,
        }
    }
}

impl Run {
    fn entries(&self, run: RunId) -> impl Iterator<Item = Entry> {
        let songs = (0..=u16::MAX).zip(&self.songs);
        let there = songs.filter(|(number, _)| !self.left.contains(number));
        there.map(move |(number, song)| Entry {
            place: place_of(&self.place, number),
            run,
            number,
            song: *song,
        })
    }

    fn decode(document: &Document) -> Option<(RunId, Run)> {
        let run = document.key.subject.get(16..32)?;
        let (length, rest) = document.body.as_deref()?.split_first()?;
        let (place, songs) = rest.split_at_checked(usize::from(*length))?;
        let mut songs = songs.chunks_exact(16);
        let read = Run {
            place: place.to_vec(),
            songs: songs.by_ref().filter_map(number).map(SongId).collect(),
            left: BTreeSet::new(),
        };
        let whole = songs.remainder().is_empty() && read.songs.len() <= usize::from(u16::MAX);
        whole.then_some((RunId(number(run)?), read))
    }
}

fn encode(place: &[u8], songs: &[SongId]) -> Vec<u8> {
    let mut body = Vec::with_capacity(1 + place.len() + 16 * songs.len());
    // `insert` refuses longer places.
    body.push(place.len() as u8);
    body.extend(place);
    body.extend(songs.iter().flat_map(|song| song.0.to_be_bytes()));
    body
}

fn left_of(subject: &[u8]) -> Option<(RunId, u16)> {
    let run = number(subject.get(16..32)?)?;
    let left = u16::from_be_bytes(subject.get(32..)?.try_into().ok()?);
    Some((RunId(run), left))
}

fn number(bytes: &[u8]) -> Option<u128> {
    Some(u128::from_be_bytes(bytes.try_into().ok()?))
}

/// The place of a song in a run.
fn place_of(run: &[u8], number: u16) -> Vec<u8> {
    let mut place = run.to_vec();
    place.extend(number.to_be_bytes());
    place
}

/// A place behind `before` and ahead of `behind`. Its last two bytes are drawn, so that what two
/// listeners add at one place at the same moment does not mix; the last one is never 0, below which
/// there would be no further place.
fn between(before: &[u8], behind: Option<&[u8]>, rng: &mut Rng) -> Vec<u8> {
    let mut place = match behind {
        Some(behind) => middle(before, behind),
        None => next(before),
    };
    place.push(rng.bits() as u8);
    place.push(1 + rng.below(255) as u8);
    place
}

/// The shortest text in the middle of two.
fn middle(before: &[u8], behind: &[u8]) -> Vec<u8> {
    let mut place = Vec::new();
    let mut bounded = true;
    loop {
        let at = place.len();
        let low = u16::from(before.get(at).copied().unwrap_or(0));
        let bound = behind.get(at).filter(|_| bounded);
        let high = bound.map_or(256, |byte| u16::from(*byte));
        if high > low + 1 {
            place.push(((low + high) / 2) as u8);
            return place;
        }
        place.push(low as u8);
        // Below the upper bound from here on, only the lower one counts.
        bounded &= high == low;
    }
}

/// The text behind another one where nothing follows: the head of a list's places counts by one.
fn next(before: &[u8]) -> Vec<u8> {
    let mut head = [0; 4];
    for (byte, known) in head.iter_mut().zip(before) {
        *byte = *known;
    }
    match u32::from_be_bytes(head).checked_add(1) {
        Some(next) => next.to_be_bytes().to_vec(),
        None => middle(before, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    use crate::contract::document::Version;

    const LIST: PlaylistId = PlaylistId(5);
    const OWNER: AccountId = AccountId::LISTENER;

    /// What listeners have written, as a store keeps it.
    #[derive(Clone, Default)]
    struct Written(BTreeMap<Key, Document>);

    impl Written {
        fn write(&mut self, drafts: Vec<Draft>) {
            for Draft { key, body } in drafts {
                let version = Version {
                    clock: 1,
                    writer: 1,
                };
                let named = key.clone();
                self.0.insert(named, Document { key, version, body });
            }
        }

        fn list(&self) -> Playlist {
            let there = self.0.values().filter(|one| one.body.is_some());
            let documents: Vec<Document> = there.cloned().collect();
            Playlist::of(OWNER, LIST, &documents)
        }

        fn songs(&self) -> Vec<u128> {
            self.list().songs().map(|song| song.0).collect()
        }

        fn longest(&self) -> Option<usize> {
            self.list().runs.values().map(|run| run.place.len()).max()
        }

        fn add(&mut self, at: usize, ids: &[u128], rng: &mut Rng) {
            let drafts = self.list().insert(at, &songs(ids), rng);
            self.write(drafts.expect("a place"));
        }
    }

    fn songs(ids: &[u128]) -> Vec<SongId> {
        ids.iter().map(|id| SongId(*id)).collect()
    }

    /// A list under random changes is the list that a plain vector becomes.
    #[test]
    fn list_is_a_list() {
        let mut rng = Rng::from_seed(7);
        let mut written = Written::default();
        let mut plain: Vec<u128> = Vec::new();
        for n in 0..400_u128 {
            let list = written.list();
            let at = rng.below(plain.len() as u64 + 1) as usize;
            match rng.below(4) {
                0 | 1 => {
                    let ids = [n, n + 1000, n + 2000];
                    written.add(at, &ids, &mut rng);
                    plain.splice(at..at, ids);
                }
                2 if at < plain.len() => {
                    written.write(list.remove(&BTreeSet::from([at])));
                    plain.remove(at);
                }
                3 if at < plain.len() => {
                    let to = rng.below(plain.len() as u64) as usize;
                    written.write(list.reorder(at, to, &mut rng).expect("a place"));
                    let song = plain.remove(at);
                    plain.insert(to, song);
                }
                _ => (),
            }
            assert_eq!(written.songs(), plain, "step {n}");
        }
        written.write(written.list().delete());
        assert_eq!(written.songs(), []);
    }

    /// Songs that are added one by one at the end, or at the beginning, do not make places grow much.
    #[test]
    fn places_stay_short() {
        let mut rng = Rng::from_seed(8);
        let mut written = Written::default();
        for n in 0..600 {
            written.add(usize::MAX, &[n], &mut rng);
        }
        assert_eq!(written.longest(), Some(6));
        for n in 0..200 {
            written.add(0, &[n], &mut rng);
        }
        assert!(written.longest() <= Some(40), "{:?}", written.longest());
    }

    /// Two listeners change one list at the same moment: neither change undoes the other, and what they
    /// add stays together.
    #[test]
    fn concurrent_changes_all_stand() {
        let mut rng = Rng::from_seed(9);
        let mut written = Written::default();
        written.add(0, &[1, 2, 3], &mut rng);
        let seen = written.list();
        let added = seen.insert(1, &songs(&[9]), &mut rng).expect("a place");
        let end = |ids: &[u128], rng: &mut Rng| seen.insert(9, &songs(ids), rng).expect("a place");
        let (album, other) = (end(&[20, 21], &mut rng), end(&[30, 31], &mut rng));
        let gone = seen.remove(&BTreeSet::from([0]));
        let others = seen.remove(&BTreeSet::from([2]));
        for drafts in [added, gone, others, album, other] {
            written.write(drafts);
        }
        let songs = written.songs();
        let either = [[9, 2, 20, 21, 30, 31], [9, 2, 30, 31, 20, 21]];
        assert!(either.iter().any(|order| songs == order), "{songs:?}");
    }

    /// Ten thousand songs become runs that fit into documents.
    #[test]
    fn long_list_is_a_few_documents() {
        let mut rng = Rng::from_seed(10);
        let mut written = Written::default();
        let ids: Vec<u128> = (0..10_000).collect();
        written.add(0, &ids, &mut rng);
        assert_eq!(written.0.len(), 10);
        assert_eq!(written.songs(), ids);
    }

    #[test]
    fn names_are_checked() {
        let draft = rename(OWNER, LIST, " Evening ").expect("a name");
        assert_eq!(draft.body, Some(b"Evening".to_vec()));
        for name in ["", "  ", "a\nb", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert!(rename(OWNER, LIST, name).is_err());
        }
        let document = Document {
            key: draft.key,
            version: Version::default(),
            body: draft.body,
        };
        assert_eq!(names(&[document]), vec![(LIST, "Evening".to_string())]);
    }
}
