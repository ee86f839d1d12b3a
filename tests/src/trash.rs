//! What users throw away and take back, and what must be true of it.
//!
//! | rule | where it is checked |
//! |---|---|
//! | T1 nothing leaves the trash before its time | `World::on_emptied`, after each job that empties it |
//! | T2 an acknowledged restore stands | the same; `World::check_trash`, at the end |
//! | T3 a change's answer is true | `World::check_changed`, when it is given |
//! | T4 routers agree on what is in the trash | `World::check_trash` |
//! | T5 data nodes have the same marks | `World::check_trash` |
//! | T6 what is over is gone, with its bytes | `World::check_trash` |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use roles::contract::id::{OperationId, SongId};
use roles::contract::message::{Catalogue, Message};
use roles::contract::record::Role;
use roles::contract::time::Time;
use roles::contract::trash::{Fate, Mark};

use crate::disk::{Disk, DiskId};
use crate::resident::Place;
use crate::world::World;

/// An operation whose end no user has heard may still change a song for so long.
const LATE_MAX: Duration = Duration::from_secs(60);

/// Data nodes have compared their marks, and routers have heard of them, within this time beyond one
/// period of comparison.
const HEARD_WITHIN: Duration = Duration::from_secs(30);

/// What users have asked of the trash.
#[derive(Debug, Default)]
pub struct TrashBook {
    songs: BTreeMap<SongId, Story>,
    open: BTreeMap<(Place, OperationId), (SongId, Fate)>,
    /// Until when uploads of a song may still take it out of the trash, and how many have not ended.
    uploads: BTreeMap<SongId, (Time, u32)>,
    /// When a disk last took a mark of a song on each side.
    noted: BTreeMap<(SongId, bool, DiskId), Time>,
}

/// What became of one song, as its users know it.
#[derive(Debug, Default)]
struct Story {
    /// The last acknowledged change, if nothing else may have come between.
    known: Option<Known>,
    /// Changes whose end no user has heard.
    open: usize,
    /// Until then an earlier change may still take effect.
    unsure_until: Time,
    /// When a user asked to throw it away, for the first time since it was last known to be here.
    thrown_at: Option<Time>,
    /// A user asked to remove it for good.
    for_good: bool,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    to: Fate,
    copies: u8,
    at: Time,
}

impl TrashBook {
    /// A user asks for a change.
    pub fn on_asked(
        &mut self,
        now: Time,
        operation: (Place, OperationId),
        (song, to): (SongId, Fate),
    ) {
        self.open.insert(operation, (song, to));
        let story = self.songs.entry(song).or_default();
        if story.open > 0 {
            story.unsure_until = now + LATE_MAX;
        }
        // What may be in the trash already is not thrown away again.
        let here = story.known.is_some_and(|known| known.to == Fate::Here);
        if to == Fate::Trash && (here || story.thrown_at.is_none()) {
            story.thrown_at = Some(now);
        }
        story.known = None;
        story.open += 1;
        match to {
            Fate::Gone | Fate::Emptied => story.for_good = true,
            Fate::Trash | Fate::Here => (),
        }
    }

    /// A change has ended: acknowledged on so many disks, or not.
    pub fn on_ended(&mut self, now: Time, operation: (Place, OperationId), copies: Option<u8>) {
        let Some((song, to)) = self.open.remove(&operation) else {
            return;
        };
        let story = self.songs.entry(song).or_default();
        story.open = story.open.saturating_sub(1);
        // The first throw may come while the song is still uploaded again.
        let uploaded = self
            .uploads
            .get(&song)
            .is_none_or(|(until, _)| *until <= now);
        let sure = story.open == 0 && story.unsure_until <= now && uploaded;
        match copies {
            Some(copies) if sure => {
                let at = now;
                story.known = Some(Known { to, copies, at });
            }
            Some(_) => story.known = None,
            None => {
                story.known = None;
                story.unsure_until = now + LATE_MAX;
            }
        }
    }

    /// A user begins to add a song: if it is in the trash, it comes out of it at some time.
    pub fn on_upload(&mut self, now: Time, song: SongId) {
        let (until, open) = self.uploads.entry(song).or_default();
        (*until, *open) = (now + LATE_MAX * 2, *open + 1);
        if let Some(story) = self.songs.get_mut(&song) {
            story.known = None;
        }
    }

    /// A user is told that a song has been added: nothing of this upload is on its way any more.
    pub fn on_uploaded(&mut self, song: SongId) {
        if let Some((_, open)) = self.uploads.get_mut(&song) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.uploads.remove(&song);
            }
        }
    }

    /// A client's process has ended, with its operations.
    pub fn forget(&mut self, now: Time, place: Place) {
        let ended = self.open.keys().filter(|(at, _)| *at == place);
        for operation in ended.copied().collect::<Vec<_>>() {
            self.on_ended(now, operation, None);
        }
    }

    /// Whether a song may be in the trash, as far as its users know.
    pub fn may_be_thrown(&self, song: SongId) -> bool {
        let story = self.songs.get(&song);
        story.is_some_and(|story| story.known.is_none_or(|known| known.to != Fate::Here))
    }

    fn is_known(&self, song: SongId, to: Fate) -> bool {
        let known = self.songs.get(&song).and_then(|story| story.known);
        known.is_some_and(|known| known.to == to)
    }

    fn with(&self, to: Fate) -> impl Iterator<Item = (SongId, Known)> {
        let known = |(song, story): (&SongId, &Story)| Some((*song, story.known?));
        let known = self.songs.iter().filter_map(known);
        known.filter(move |(_, known)| known.to == to)
    }

    /// Songs that were thrown away, whether or not a user was told so.
    fn thrown(&self) -> Vec<SongId> {
        let thrown = |(_, story): &(&SongId, &Story)| story.thrown_at.is_some();
        self.songs
            .iter()
            .filter(thrown)
            .map(|(song, _)| *song)
            .collect()
    }
}

impl World {
    /// Whether users of this world have a trash.
    pub fn has_trash(&self) -> bool {
        !self.climate.upkeep.trash.is_zero()
    }

    /// A user throws something away, or tends the trash.
    pub(crate) fn tend_trash(&mut self, place: Place) {
        let thrown = self.keeping.trash.thrown();
        let known = self.workload.draw(|rng| rng.pick(&thrown).copied());
        let choice = self.workload.draw(|rng| rng.below(20));
        let change = match (known, choice) {
            (Some(song), 0..8) => (song, Fate::Here),
            (Some(song), 8) => (song, Fate::Emptied),
            (Some(song), 9) => (song, Fate::Gone),
            (Some(song), 10..12) => {
                if let Some(source) = self.music.source_of(song) {
                    self.upload(place, source);
                }
                return;
            }
            _ => {
                let promised: Vec<SongId> = self.promised().collect();
                match self.workload.draw(|rng| rng.pick(&promised).copied()) {
                    Some(song) => (song, Fate::Trash),
                    None => return,
                }
            }
        };
        self.change(place, change.0, change.1);
    }

    /// How many losses of disks came after a moment.
    fn losses_since(&self, at: Time) -> usize {
        self.keeping.lost.iter().filter(|lost| **lost >= at).count()
    }

    fn stands(&self, known: Known) -> bool {
        self.losses_since(known.at) < usize::from(known.copies).max(1)
    }

    /// T1, T2: a node has removed a song for good because it was in the trash. `twice`: its time was
    /// over twice, so the node waited for nobody.
    pub(crate) fn on_emptied(&mut self, place: Place, mark: Mark, twice: bool) {
        let (now, song) = (self.now, mark.song);
        self.keeping.on_removal_asked(song);
        let Some(story) = self.keeping.trash.songs.get(&song) else {
            return;
        };
        if story.for_good {
            return;
        }
        self.seen.expired += 1;
        let name = &self.nodes[place].name;
        let keep = self.climate.upkeep.trash;
        let early = story.thrown_at.is_none_or(|at| now.since(at) < keep);
        if early {
            let text = format!("{name}: {song:?}, thrown away at {:?}", story.thrown_at);
            return self.violated("T1 nothing leaves the trash before its time", text);
        }
        if let Some(known) = story.known.filter(|known| known.to == Fate::Here)
            && self.stands(known)
            && !twice
        {
            let text = format!("{name}: {song:?}, {known:?}");
            self.violated("T2 an acknowledged restore stands", text);
        }
    }

    /// A disk has been told of marks, and has taken those that outrank its own.
    pub(crate) fn on_noted(&mut self, place: Place, marks: &[Mark]) {
        let Some(disk) = &self.nodes[place].disk else {
            return;
        };
        for mark in marks.iter().filter(|mark| mark.version > 0) {
            let own = disk.mark_of(mark.song);
            if !own.outranks(mark) {
                let key = (mark.song, mark.thrown, disk.id);
                self.keeping.trash.noted.insert(key, self.now);
            }
        }
    }

    /// T3: as many disks as an answer promises have the mark, or had it since the change was asked for:
    /// another change may have followed.
    pub(crate) fn check_changed(
        &mut self,
        place: Place,
        (song, to, asked_at): (SongId, Fate, Time),
        copies: u8,
    ) {
        let now = self.now;
        if self.keeping.lost.iter().any(|at| now.since(*at) < LATE_MAX) {
            return;
        }
        let marks = self.marks_of(song);
        let best = marks.iter().fold(Mark::none(song), |best, mark| {
            if mark.outranks(&best) { *mark } else { best }
        });
        let thrown = to == Fate::Trash;
        // A song that was never in the trash has no mark, wherever it is.
        let without = best.version == 0 && !thrown;
        let disks = || self.nodes.iter().filter_map(|slot| slot.disk.as_ref());
        let count = disks().filter(|disk| {
            let mark = disk.mark_of(song);
            let noted_at = self.keeping.trash.noted.get(&(song, thrown, disk.id));
            let lately = noted_at.is_some_and(|at| *at >= asked_at);
            lately || mark.version > 0 && mark.thrown == thrown
        });
        let count = count.count();
        let buried = disks().filter(|disk| disk.is_buried(song)).count();
        if !without && buried == 0 && count < usize::from(copies) {
            let name = &self.nodes[place].name;
            let text =
                format!("{name}: {song:?} {to:?} on {copies}, in truth on {count}: {marks:?}");
            self.violated("T3 a change's answer is true", text);
        }
    }

    fn marks_of(&self, song: SongId) -> Vec<Mark> {
        let disks = self.nodes.iter().filter_map(|slot| slot.disk.as_ref());
        disks.map(|disk| disk.mark_of(song)).collect()
    }

    /// T2, T4, T5, T6: everything is mended, and users rest.
    pub(crate) fn check_trash(&mut self) {
        if self.violation.is_some() || !self.has_trash() {
            return;
        }
        self.seen.trash_checked += 1;
        let within = self.climate.upkeep.anti_entropy.every * 2 + HEARD_WITHIN;
        if let Some(text) = self.await_none(within, World::marks_fault) {
            return self.violated("T5 data nodes have the same marks", text);
        }
        let until = self.now + HEARD_WITHIN;
        while let Some(text) = self.routers_fault() {
            if self.now >= until || self.violation.is_some() {
                return self.violated("T4 routers agree on what is in the trash", text);
            }
            self.run_for(HEARD_WITHIN / 10);
        }
        if let Some(text) = self.undone_fault() {
            return self.violated("T2 an acknowledged restore stands", text);
        }
        // A disk that was lost left a dead node behind: the others wait for it once more.
        let within = self.climate.upkeep.trash * 3 + within;
        if let Some(text) = self.await_none(within, World::expiry_fault) {
            self.violated("T6 what is over is gone, with its bytes", text);
        }
    }

    /// A song whose mark differs between two running data nodes, and is removed at neither.
    fn marks_fault(&self) -> Option<String> {
        let data = self.servers(Role::Data);
        let disks: Vec<_> = data
            .iter()
            .filter_map(|p| self.nodes[*p].disk.as_ref())
            .collect();
        let marked: BTreeSet<SongId> = (disks.iter())
            .flat_map(|disk| disk.marks())
            .map(|mark| mark.song)
            .collect();
        marked.into_iter().find_map(|song| {
            let holders = disks.iter().filter(|disk| !disk.is_buried(song));
            let mut marks = holders.map(|disk| disk.mark_of(song));
            let first = marks.next()?;
            let differs = |mark: &Mark| mark.outranks(&first) || first.outranks(mark);
            let other = marks.find(differs)?;
            Some(format!("{first:?} and {other:?}"))
        })
    }

    /// A router whose trash differs from that of the data nodes. Songs that are nowhere any more are
    /// in no router's list.
    fn routers_fault(&mut self) -> Option<String> {
        for router in self.servers(Role::Router) {
            let name = self.nodes[router].name.clone();
            let Some(mut listed) = self.trash_of(router) else {
                return Some(format!("{name} does not answer"));
            };
            let data = self.servers(Role::Data);
            let disks = || data.iter().filter_map(|p| self.nodes[*p].disk.as_ref());
            let marks = disks().flat_map(|disk| disk.marks());
            let thrown: BTreeSet<SongId> = marks
                .filter(|mark| mark.thrown)
                .map(|mark| mark.song)
                .filter(|song| disks().any(|disk| disk.has(*song)))
                .filter(|song| !disks().any(|disk| disk.is_buried(*song)))
                .collect();
            // A router remembers what lost disks alone knew: songs; and marks, until a user restores
            // the song.
            listed.retain(|song| {
                let marked = |disk: &Disk| disk.mark_of(*song).version > 0;
                let restored = || self.keeping.trash.is_known(*song, Fate::Here);
                disks().any(|disk| disk.has(*song)) && (disks().any(marked) || restored())
            });
            if listed != thrown {
                return Some(format!(
                    "{name} lists {listed:?}, in truth it is {thrown:?}"
                ));
            }
        }
        None
    }

    fn trash_of(&mut self, router: Place) -> Option<BTreeSet<SongId>> {
        let mut listed = BTreeSet::new();
        let mut after = None;
        loop {
            let question = Message::Catalogue(Catalogue::ListTrash {
                prefix: None,
                after,
                limit: 7,
            });
            let Some(Message::Catalogue(Catalogue::Trash { songs, next, .. })) =
                self.answer(router, question)
            else {
                return None;
            };
            listed.extend(songs.iter().map(|trashed| trashed.song.id));
            after = next;
            if after.is_none() {
                return Some(listed);
            }
        }
    }

    /// A restored song that is in the trash, or one that was thrown away and is not.
    fn undone_fault(&self) -> Option<String> {
        let data = self.servers(Role::Data);
        let disks = || data.iter().filter_map(|p| self.nodes[*p].disk.as_ref());
        let thrown = |song: SongId| disks().any(|disk| disk.mark_of(song).thrown);
        let buried = |song: SongId| disks().any(|disk| disk.is_buried(song));
        let known = |to| {
            let known = self.keeping.trash.with(to);
            known.filter(|(song, known)| self.stands(*known) && !buried(*song))
        };
        let mut back = known(Fate::Here).filter(|(song, _)| thrown(*song));
        if let Some((song, known)) = back.next() {
            return Some(format!("{song:?} is in the trash, {known:?}"));
        }
        let mut away = known(Fate::Trash).filter(|(song, _)| !thrown(*song));
        let (song, known) = away.next()?;
        Some(format!("{song:?} is not in the trash, {known:?}"))
    }

    /// A song still in the trash, or one removed for good that is still on a disk.
    fn expiry_fault(&self) -> Option<String> {
        let data = self.servers(Role::Data);
        let disks = || data.iter().filter_map(|p| self.nodes[*p].disk.as_ref());
        let held = |song: SongId| disks().any(|disk| disk.has(song));
        let thrown = disks().flat_map(|disk| disk.marks());
        let mut thrown = thrown.filter(|mark| mark.thrown && held(mark.song));
        if let Some(mark) = thrown.next() {
            return Some(format!("{mark:?} is still in the trash"));
        }
        let mut buried = disks().flat_map(|disk| disk.buried());
        let song = buried.find(|song| held(*song))?;
        Some(format!("{song:?} is removed and on a disk"))
    }
}
