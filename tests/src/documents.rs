//! What listeners write, and what must be true of it.
//!
//! | rule | where it is checked |
//! |---|---|
//! | D1 a write gives way to none that ended before it began | `World::check_documents`, at the end; `World::on_documents_read` |
//! | D2 data nodes have the same documents | `World::check_documents` |
//! | D3 routers have what the data nodes have | `World::check_documents` |
//! | D4 an answer to a write is true | `World::on_written`, when it is given |
//! | D5 a write is read through any router at once | `World::on_documents_read`, in worlds without faults |
//! | D6 plays add up | `World::check_documents` |
//! | D7 no clock is far ahead | `World::on_documents_noted`, after each job |
//!
//! That what is deleted stays deleted is a part of D1: a deletion is a write. Tombstones stay for good, so
//! the rule knows no time after which a deleted document may return.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use roles::annotations::Plays;
use roles::contract::document::{
    AccountId, Document, Documents, Key, Kind, Reading, clock_at, is_ahead,
};
use roles::contract::id::{OperationId, SongId};
use roles::contract::limits::CLOCK_AHEAD_MS_MAX;
use roles::contract::message::{Catalogue, Message};
use roles::contract::record::Role;
use roles::contract::rng::Rng;
use roles::contract::time::Time;
use roles::contract::user::{Draft, Heard};
use roles::mutants::{DocumentMutant, DocumentMutants};

use crate::climate::{Climate, Faults};
use crate::data_mutants::LENGTH;
use crate::disk::{Disk, DiskId};
use crate::disk_faults::DiskFaults;
use crate::resident::Place;
use crate::run;
use crate::world::World;

/// The clock of the machines at the beginning of a world, in milliseconds since 1970.
const BEGIN_MS: u64 = 1_790_000_000_000;

/// Data nodes have compared their documents, and routers have heard of them, within this time beyond one
/// period of comparison.
const HEARD_WITHIN: Duration = Duration::from_secs(30);

/// A data node that has been away, or has not begun, makes a write wait or answers it alone: routers are
/// expected to keep up when nothing has started for so long.
const SETTLED_AFTER: Duration = Duration::from_secs(20);

/// Names that users write: few, so that they meet.
const SUBJECTS: u64 = 12;

/// How listeners write in a world.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listening {
    /// So many of a hundred user actions write or read documents.
    pub share: u64,
    /// The clocks of machines differ by up to this, in milliseconds.
    pub skew_ms: u64,
    /// The clock of the first router is so far ahead.
    pub router_ahead_ms: u64,
    /// The planted mistake.
    pub mutants: DocumentMutants,
}

/// What users have written.
#[derive(Debug, Default)]
pub struct DocumentBook {
    writes: BTreeMap<Key, Vec<Write>>,
    open: BTreeMap<(Place, OperationId), Doing>,
    plays: BTreeMap<SongId, Counted>,
    /// When a disk last had a content under a key, or a later one after it.
    noted: BTreeMap<(Key, Option<Vec<u8>>, DiskId), Time>,
    /// Contents given out.
    count: u64,
    last_start: Time,
}

#[derive(Debug)]
enum Doing {
    Write {
        begun: Time,
        keys: Vec<Key>,
        plays: Vec<SongId>,
    },
    /// A read of everything after a write: with what it must find.
    Read { after: Vec<(Key, Time)> },
}

/// One write of one key.
#[derive(Clone, Debug)]
struct Write {
    by: (Place, OperationId),
    body: Option<Vec<u8>>,
    begun: Time,
    /// When it ended, and on how many disks; none: in vain.
    ended: Option<(Time, Option<u8>)>,
}

/// The plays of one song.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    asked: u64,
    /// Acknowledged on two disks at least, and when the first one was.
    certain: u64,
    since: Option<Time>,
}

impl DocumentBook {
    /// A server has started.
    pub fn on_start(&mut self, now: Time) {
        self.last_start = now;
    }

    /// A client's process has ended, with its operations.
    pub fn forget(&mut self, now: Time, place: Place) {
        let ended: Vec<_> = self
            .open
            .keys()
            .filter(|(at, _)| *at == place)
            .copied()
            .collect();
        for by in ended {
            self.end(now, by, None);
        }
    }

    fn end(&mut self, now: Time, by: (Place, OperationId), copies: Option<u8>) -> Option<Doing> {
        let doing = self.open.remove(&by)?;
        if let Doing::Write { keys, plays, .. } = &doing {
            for key in keys {
                let writes = self.writes.entry(key.clone()).or_default();
                for write in writes.iter_mut().filter(|write| write.by == by) {
                    write.ended = Some((now, copies));
                }
            }
            for song in plays {
                let counted = self.plays.entry(*song).or_default();
                if copies.is_some_and(|copies| copies > 1) {
                    counted.certain += 1;
                    counted.since.get_or_insert(now);
                }
            }
        }
        Some(doing)
    }

    /// Why a content cannot be what stands under a key, seen by somebody who asks at `asked`: an
    /// acknowledged write that stands began after every write of this content had ended. `stands`: the
    /// disks that have it are not all lost. `sure`: a write that ended in vain gives way, too.
    fn is_stale(
        &self,
        (key, found): (&Key, &Option<Vec<u8>>),
        asked: Time,
        stands: impl Fn(Time, u8) -> bool,
        sure: bool,
    ) -> Option<String> {
        let writes = self.writes.get(key)?;
        let known = writes.iter().filter(|write| match write.ended {
            Some((at, Some(copies))) => at <= asked && stands(at, copies),
            Some((_, None)) | None => false,
        });
        let last = known.max_by_key(|write| write.begun)?;
        let may_be = |write: &Write| {
            write.body == *found
                && match write.ended {
                    None => true,
                    Some((_, None)) if !sure => true,
                    Some((at, _)) => at >= last.begun,
                }
        };
        if writes.iter().any(may_be) {
            return None;
        }
        Some(format!("{key:?} is {found:?}, written last {last:?}"))
    }
}

impl Climate {
    /// A small world about what listeners write. Every third has no faults; in the others servers die
    /// and come back, and disks are lost; in some, clocks differ.
    pub fn of_documents(seed: u64, rng: &mut Rng) -> Climate {
        let mut climate = Climate::of_copies(seed, rng);
        climate.routers = 2 + (seed % 2) as usize;
        climate.clients = 3;
        climate.tunes = 6;
        climate.fragments_max = 2;
        climate.act_every = Duration::from_millis(200 + rng.below(600));
        climate.start_spread = Duration::ZERO;
        climate.upkeep.removals = 0;
        climate.upkeep.trash = Duration::ZERO;
        climate.power_cuts = true;
        climate.faults = if seed.is_multiple_of(3) {
            Faults::default()
        } else {
            let every = Duration::from_secs(15 + rng.below(30));
            Faults {
                crash: Some(every),
                stop: rng.happens(1, 2).then_some(every * 2),
                client_crash: rng.happens(1, 2).then_some(every * 2),
                decay: DiskFaults {
                    lose: rng.happens(1, 2).then_some(every * 2),
                    wreck: rng.happens(1, 3).then_some(every * 3),
                    ..DiskFaults::default()
                },
                ..Faults::default()
            }
        };
        let skewed = seed % 4 == 1;
        climate.listening = Listening {
            share: 80,
            skew_ms: if skewed { CLOCK_AHEAD_MS_MAX / 3 } else { 0 },
            router_ahead_ms: if seed % 8 == 2 {
                2 * CLOCK_AHEAD_MS_MAX
            } else {
                0
            },
            mutants: DocumentMutants::default(),
        };
        climate
    }
}

/// The first world about documents in which a mutant breaks an invariant, and which invariant.
pub fn found_in_documents(mutant: DocumentMutant, worlds: u64) -> Option<(u64, &'static str)> {
    (0..worlds).find_map(|seed| {
        let mut world = World::of_documents(seed);
        world.climate.listening.mutants = DocumentMutants::only(mutant);
        let outcome = run::run_world(seed, world, LENGTH);
        Some((seed, outcome.violation?.rule))
    })
}

impl World {
    /// The small world of a seed that is about what listeners write.
    pub fn of_documents(seed: u64) -> World {
        let mut rng = Rng::from_seed(seed);
        let climate = Climate::of_documents(seed, &mut rng);
        World::new(rng.bits(), climate)
    }

    /// The clock of a node's machine.
    pub(crate) fn clock_of(&self, place: Place) -> u64 {
        let Listening {
            skew_ms,
            router_ahead_ms,
            ..
        } = self.climate.listening;
        let ahead = self.nodes[place].role() == Some(Role::Router)
            && Some(&place) == self.servers(Role::Router).first();
        let skew = if skew_ms == 0 {
            0
        } else {
            place as u64 * 7919 % skew_ms
        };
        let extra = if ahead { router_ahead_ms } else { 0 };
        BEGIN_MS + self.now.as_millis() + skew + extra
    }

    /// A listener writes or reads something.
    pub(crate) fn write_something(&mut self, place: Place) {
        match self.workload.draw(|rng| rng.below(10)) {
            0..6 => {
                let count = 1 + self.workload.draw(|rng| rng.below(3));
                let keys: BTreeSet<Key> = (0..count).map(|_| self.some_key()).collect();
                let drafts = keys.into_iter().map(|key| self.some_draft(key)).collect();
                self.write_documents(place, drafts, Vec::new());
            }
            6..9 => {
                let song = SongId(u128::from(self.workload.draw(|rng| rng.below(5))));
                self.write_documents(place, Vec::new(), vec![song]);
            }
            _ => self.read_documents(place, Vec::new()),
        }
    }

    fn some_key(&mut self) -> Key {
        let number = self.workload.draw(|rng| rng.below(SUBJECTS));
        Key {
            owner: AccountId::LISTENER,
            kind: Kind::STAR,
            subject: number.to_be_bytes().to_vec(),
        }
    }

    /// Every content is written once, so that it tells which write it is of.
    fn some_draft(&mut self, key: Key) -> Draft {
        self.keeping.documents.count += 1;
        let content = self.keeping.documents.count.to_be_bytes().to_vec();
        let body = self
            .workload
            .draw(|rng| rng.happens(3, 4))
            .then_some(content);
        Draft { key, body }
    }

    /// Begins to write documents and to count plays.
    pub fn write_documents(
        &mut self,
        place: Place,
        drafts: Vec<Draft>,
        plays: Vec<SongId>,
    ) -> OperationId {
        let (now, written) = (self.now, drafts.clone());
        let mut heard = Vec::new();
        for song in &plays {
            heard.push(Heard {
                owner: AccountId::LISTENER,
                song: *song,
                token: self.workload.draw(Rng::bits),
            });
        }
        let operation = self.begin_write(place, drafts, heard);
        let by = (place, operation);
        let book = &mut self.keeping.documents;
        for Draft { key, body } in &written {
            book.writes.entry(key.clone()).or_default().push(Write {
                by,
                body: body.clone(),
                begun: now,
                ended: None,
            });
        }
        for song in &plays {
            book.plays.entry(*song).or_default().asked += 1;
        }
        let doing = Doing::Write {
            begun: now,
            keys: written.into_iter().map(|draft| draft.key).collect(),
            plays,
        };
        book.open.insert(by, doing);
        operation
    }

    fn read_documents(&mut self, place: Place, after: Vec<(Key, Time)>) {
        let operation = self.begin_read(place, reading(None));
        let doing = Doing::Read { after };
        let by = (place, operation);
        self.keeping.documents.open.insert(by, doing);
    }

    /// D4: a user is told that a write is durable. Somebody reads it at once.
    pub(crate) fn on_written(&mut self, place: Place, operation: OperationId, copies: u8) {
        self.seen.writes += 1;
        let now = self.now;
        let by = (place, operation);
        let bodies: BTreeMap<Key, Option<Vec<u8>>> = (self.keeping.documents.writes.iter())
            .filter_map(|(key, writes)| {
                let write = writes.iter().rev().find(|write| write.by == by)?;
                Some((key.clone(), write.body.clone()))
            })
            .collect();
        let Some(Doing::Write { begun, keys, .. }) =
            self.keeping.documents.end(now, by, Some(copies))
        else {
            return;
        };
        let lately = self.keeping.lost.iter().any(|at| *at >= begun);
        let noted = &self.keeping.documents.noted;
        let disks = |key: &Key| {
            let here = |((of, body, _), at): &(&(Key, Option<Vec<u8>>, DiskId), &Time)| {
                of == key && Some(body) == bodies.get(key) && **at >= begun
            };
            noted.iter().filter(here).count()
        };
        let short = keys.iter().find(|key| disks(key) < usize::from(copies));
        if let Some(key) = short.filter(|_| !lately) {
            let truth = disks(key);
            let text = format!("{key:?} on {copies}, in truth on {truth}");
            return self.violated("D4 an answer to a write is true", text);
        }
        let settled = now.since(self.keeping.documents.last_start) > SETTLED_AFTER;
        if self.faults.is_calm() && settled {
            let clients = self.clients();
            let reader = self.workload.draw(|rng| rng.pick(&clients).copied());
            let after = keys.into_iter().map(|key| (key, now)).collect();
            self.read_documents(reader.unwrap_or(place), after);
        }
    }

    /// A write or a read has failed.
    pub(crate) fn on_documents_failed(&mut self, place: Place, operation: OperationId) {
        let (now, by) = (self.now, (place, operation));
        if let Some(Doing::Write { .. }) = self.keeping.documents.end(now, by, None) {
            self.seen.writes_failed += 1;
        }
    }

    /// D1, D5: a user reads documents.
    pub(crate) fn on_documents_read(
        &mut self,
        place: Place,
        operation: OperationId,
        page: &Documents,
    ) {
        let (now, by) = (self.now, (place, operation));
        let Some(Doing::Read { after }) = self.keeping.documents.end(now, by, None) else {
            return;
        };
        self.seen.documents_read += after.len() as u64;
        for (key, asked) in after {
            let found = page.documents.iter().find(|document| document.key == key);
            let found = found.and_then(|document| document.body.clone());
            let stale = (self.keeping.documents).is_stale((&key, &found), asked, |_, _| true, true);
            if let Some(text) = stale {
                self.violated("D5 a write is read through any router at once", text);
            }
        }
    }

    /// D7: a disk has been told of documents, and has taken those that outrank its own.
    pub(crate) fn on_documents_noted(&mut self, place: Place, documents: &[Document]) {
        let now = self.now;
        let Some(disk) = &self.nodes[place].disk else {
            return;
        };
        let latest = BEGIN_MS + now.as_millis() + self.climate.listening.skew_ms;
        for document in documents {
            let Some(own) = disk.document(&document.key) else {
                continue;
            };
            if is_ahead(own.version.clock, latest) {
                let name = &self.nodes[place].name;
                let text = format!("{name}: {:?} at {}", own.version, clock_at(latest));
                return self.violated("D7 no clock is far ahead", text);
            }
            if !document.outranks(own) {
                let noted = (document.key.clone(), document.body.clone(), disk.id);
                self.keeping.documents.noted.insert(noted, now);
            }
        }
    }

    /// D1, D2, D3, D6: everything is mended, and users rest.
    pub(crate) fn check_documents(&mut self) {
        if self.violation.is_some() || self.climate.listening.share == 0 {
            return;
        }
        self.seen.documents_checked += 1;
        let within = self.climate.upkeep.anti_entropy.every * 2 + HEARD_WITHIN;
        if let Some(text) = self.await_none(within, World::documents_fault) {
            return self.violated("D2 data nodes have the same documents", text);
        }
        if let Some(text) = self.lost_fault() {
            return self.violated(
                "D1 a write gives way to none that ended before it began",
                text,
            );
        }
        if let Some(text) = self.plays_fault() {
            return self.violated("D6 plays add up", text);
        }
        let until = self.now + HEARD_WITHIN;
        while let Some(text) = self.unserved_fault() {
            if self.now >= until || self.violation.is_some() {
                return self.violated("D3 routers have what the data nodes have", text);
            }
            self.run_for(HEARD_WITHIN / 10);
        }
    }

    fn data_disks(&self) -> Vec<&Disk> {
        let data = self.servers(Role::Data);
        let disks = data.into_iter().filter_map(|p| self.nodes[p].disk.as_ref());
        disks.collect()
    }

    fn documents_fault(&self) -> Option<String> {
        let disks = self.data_disks();
        let first: Vec<&Document> = disks.first()?.documents().collect();
        disks.iter().skip(1).find_map(|disk| {
            let theirs: Vec<&Document> = disk.documents().collect();
            let differs =
                |(a, b): (&&Document, &&Document)| (a != b).then(|| format!("{a:?} and {b:?}"));
            let one = first.iter().zip(&theirs).find_map(differs);
            let lengths = || format!("{} and {}", first.len(), theirs.len());
            one.or_else(|| (first.len() != theirs.len()).then(lengths))
        })
    }

    fn still_stands(&self, at: Time, copies: u8) -> bool {
        let lost = self.keeping.lost.iter().filter(|lost| **lost >= at).count();
        lost < usize::from(copies)
    }

    fn lost_fault(&self) -> Option<String> {
        let disks = self.data_disks();
        let disk = disks.first()?;
        let sure = self.climate.listening.skew_ms == 0;
        let book = &self.keeping.documents;
        book.writes.keys().find_map(|key| {
            let found = disk
                .document(key)
                .and_then(|document| document.body.clone());
            let stands = |at, copies| self.still_stands(at, copies);
            book.is_stale((key, &found), self.now, stands, sure)
        })
    }

    fn plays_fault(&self) -> Option<String> {
        let disks = self.data_disks();
        let mut sums: BTreeMap<SongId, Plays> = BTreeMap::new();
        for (song, plays) in disks.first()?.documents().filter_map(Plays::of) {
            sums.entry(song).or_default().add(&plays);
        }
        self.keeping
            .documents
            .plays
            .iter()
            .find_map(|(song, counted)| {
                let sum = sums.get(song).map_or(0, |plays| plays.count);
                let stands = counted.since.is_none_or(|at| self.still_stands(at, 2));
                let least = if stands { counted.certain } else { 0 };
                let right = (least..=counted.asked).contains(&sum);
                (!right).then(|| format!("{song:?} is {sum}, {counted:?}"))
            })
    }

    /// A router that does not list what the data nodes have.
    fn unserved_fault(&mut self) -> Option<String> {
        for router in self.servers(Role::Router) {
            let name = self.nodes[router].name.clone();
            let mut listed = Vec::new();
            let mut after = None;
            loop {
                let question = Message::Catalogue(Catalogue::Read(reading(after)));
                let Some(Message::Catalogue(Catalogue::Documents(page))) =
                    self.answer(router, question)
                else {
                    return Some(format!("{name} does not answer"));
                };
                listed.extend(page.documents);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let disks = self.data_disks();
            let there = disks.first()?.documents();
            let stars = there.filter(|one| one.key.kind == Kind::STAR && one.body.is_some());
            let expected: Vec<Document> = stars.cloned().collect();
            // A router remembers what lost disks alone knew.
            let lost = !self.keeping.lost.is_empty();
            let lacks = expected.iter().find(|one| !listed.contains(one));
            if let Some(one) = lacks.filter(|_| !lost || disks.len() < 2) {
                return Some(format!("{name} lacks {one:?}"));
            }
            if listed.len() > expected.len() && !lost {
                return Some(format!("{name} lists {listed:?}, there are {expected:?}"));
            }
        }
        None
    }
}

fn reading(after: Option<Vec<u8>>) -> Reading {
    Reading {
        owner: AccountId::LISTENER,
        kind: Kind::STAR,
        within: Vec::new(),
        after,
        limit: 7 + SUBJECTS as u32,
    }
}
