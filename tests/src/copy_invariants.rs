//! Invariants of the copies of songs, whatever happens to nodes and disks.
//!
//! | rule | where it is checked |
//! |---|---|
//! | S2 acknowledged songs stand | `World::on_loss`, after each loss of a disk or a fragment |
//! | S2 nothing is let go that others lack | `World::on_ordered`, when it is ordered |
//! | S2 what is owed is written down | `World::on_ordered`, when a commit is ordered |
//! | S3 no wrong byte leaves a data node | `check_chunk`, with each fragment that is sent |
//! | S3 no altered manifest leaves a data node | `check_manifest`, with each one that is sent |
//! | S3 the whole is what its id says | `World::check_done`, after each commit |
//! | S5 a removal's answer is true | `check_buried`, when it is given |
//! | S5 what is removed is not read | `World::check_done`, with each fragment that is read |
//! | S5 what is removed does not return | `World::check_removed`, at the end |
//! | S7 who hands over leaves with nothing | `World::check_farewell` |
//! | S8 queues have bounds | `World::check_upkeep` |
//! | L4 every song is where it belongs | `World::check_placement`, a minute after the rest |
//! | L6 questions end in time | `World::check_upkeep` |

mod after;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use roles::contract::document::Document;
use roles::contract::id::{RequestId, SongId};
use roles::contract::job::{Job, JobReply, LibraryJob};
use roles::contract::limits::{COPIES, GROUP_BYTES};
use roles::contract::member::MemberState;
use roles::contract::message::{Audio, Envelope, Kind, Message};
use roles::contract::node::{Event, Peer, Sender};
use roles::contract::record::Role;
use roles::contract::song::Manifest;
use roles::contract::time::Time;
use roles::contract::trash::{Fate, Mark};
use roles::contract::upkeep::Upkeep;
use roles::members::takes_songs;
use roles::server::Server;

use crate::disk::{Disk, DiskId};
use crate::documents::DocumentBook;
use crate::resident::{Place, State};
use crate::trash::TrashBook;
use crate::world::World;

/// A loss within this time excuses a count of copies that is too low.
const LATELY: Duration = Duration::from_secs(60);

/// Longest round of anti-entropy, from its first question to the jobs it leads to.
const ROUND: Duration = Duration::from_secs(20);

/// L6: a user's question to the cluster has ended within this time.
const ASKED_MAX: Duration = Duration::from_secs(60);

/// Questions remembered until their answer; the bound removes those of nodes that died.
const ASKED_KEPT: usize = 512;

/// What the checks know of the copies.
#[derive(Debug, Default)]
pub struct CopyInvariants {
    /// When a disk was lost or went back in time.
    pub lost: Vec<Time>,
    /// When a copy of each song was lost, or a fragment of one.
    losses: BTreeMap<SongId, Vec<Time>>,
    /// When each node was dead or frozen, and until when; none: it still is.
    outages: BTreeMap<Place, Vec<(Time, Option<Time>)>>,
    /// Songs that a user asked to remove, whether or not the removal succeeded.
    unwanted: BTreeSet<SongId>,
    /// Songs whose removal was confirmed to a user.
    removed: BTreeSet<SongId>,
    /// Songs that are whole nowhere, after so many losses that this is no violation.
    given_up: BTreeSet<SongId>,
    /// The disks on which the removal of a song is durable.
    buried: BTreeMap<SongId, BTreeSet<DiskId>>,
    /// Data nodes that hand over before they stop, and in which start.
    draining: BTreeSet<(Place, u64)>,
    /// Questions to servers whose answer will be checked.
    asked: BTreeMap<(Place, Peer, RequestId), Asked>,
    /// The upload that is committed by the envelope being handled.
    committing: Option<(Place, SongId)>,
    /// What users have asked of the trash.
    pub trash: TrashBook,
    /// What listeners have written.
    pub documents: DocumentBook,
}

#[derive(Debug)]
enum Asked {
    Bury(Vec<SongId>),
    /// With the time at which it arrived.
    Change(SongId, Fate, Time),
    Fetch(SongId),
}

/// What a job concerns, as far as these checks care.
#[derive(Debug)]
pub enum Touched {
    /// A fragment is read.
    Read(SongId),
    /// A song is committed.
    Commit(SongId),
    /// Songs are removed for good.
    Remove(Vec<SongId>),
    /// A song in the trash is removed for good. True: its time is over twice.
    Empty(Mark, bool),
    /// Marks of songs are noted.
    Note(Vec<Mark>),
    /// Documents of listeners are noted.
    Documents(Vec<Document>),
    /// A bad fragment is replaced.
    Replace,
    /// Songs with damaged tables are withdrawn.
    Mend,
    /// A library that cannot be read is set aside.
    Rebuild,
    /// Nothing that these checks look at.
    Nothing,
}

impl CopyInvariants {
    /// A disk has lost the tombstones of these songs.
    pub fn on_forgotten(&mut self, disk: DiskId, songs: &[SongId]) {
        for song in songs {
            if let Some(disks) = self.buried.get_mut(song) {
                disks.remove(&disk);
            }
        }
    }

    /// A user wants to remove a song.
    pub fn on_removal_asked(&mut self, song: SongId) {
        self.unwanted.insert(song);
    }

    /// A node dies or is frozen.
    pub fn on_outage(&mut self, now: Time, place: Place) {
        let outages = self.outages.entry(place).or_default();
        if outages.last().is_none_or(|(_, until)| until.is_some()) {
            outages.push((now, None));
        }
    }

    /// A node runs again.
    pub fn on_running(&mut self, now: Time, place: Place) {
        let last = self.outages.get_mut(&place).and_then(|all| all.last_mut());
        if let Some((_, until)) = last {
            until.get_or_insert(now);
        }
    }

    /// How long a node has run since a moment.
    fn ran(&self, now: Time, place: Place, since: Time) -> Duration {
        let outages = self.outages.get(&place).into_iter().flatten();
        let lost = outages.map(|(from, until)| until.unwrap_or(now).since(since.max(*from)));
        now.since(since).saturating_sub(lost.sum())
    }

    /// Whether a fault has taken a copy of the song, or a fragment of one.
    pub fn has_lost(&self, song: SongId) -> bool {
        self.losses.contains_key(&song)
    }

    fn lost_lately(&self, now: Time, song: SongId) -> bool {
        let losses = self.losses.get(&song).into_iter().flatten();
        losses.copied().any(|at| now.since(at) < LATELY)
    }
}

impl World {
    /// Songs that were acknowledged and that no user asked to remove.
    pub fn promised(&self) -> impl Iterator<Item = SongId> {
        let songs = self.checks.promised();
        songs.filter(|song| !self.keeping.unwanted.contains(song))
    }

    pub(crate) fn server_at(&self, place: Place) -> Option<&Server> {
        self.nodes[place].resident.as_ref()?.server()
    }

    /// How many other data nodes take songs, and whether a dead one is still waited for: both as
    /// the member table of `place` has them.
    fn others_seen(&self, place: Place) -> (usize, bool) {
        let me = self.nodes[place].identity.node;
        let Some(ring) = self.server_at(place).and_then(Server::ring) else {
            return (0, false);
        };
        let members = ring.members();
        let takes = members
            .living()
            .filter(|m| m.node != me && m.role == Role::Data && takes_songs(m));
        // The anti-entropy round that led to an order may have begun when the node was still waited
        // for.
        let grace = self.climate.upkeep.anti_entropy.grace + ROUND;
        let mut dead = members.dead();
        let waits = dead.any(|(m, at)| m.role == Role::Data && self.now.since(at) < grace);
        (takes.count(), waits)
    }

    /// How many other nodes must have a song before this node may drop it. Where losses are not
    /// spaced, a node may have lost its copy since it was asked, so one less is enough.
    fn needed_elsewhere(&self, place: Place) -> usize {
        let (others, waits) = self.others_seen(place);
        let all = others.min(if waits { COPIES - 1 } else { COPIES });
        if self.climate.upkeep.spaced {
            return all;
        }
        all.min(all.saturating_sub(1).max(1))
    }

    fn elsewhere(&self, place: Place, song: SongId) -> usize {
        let others = self.nodes.iter().enumerate().filter(|(p, _)| *p != place);
        let has = |slot: &crate::resident::Slot| slot.disk.as_ref().is_some_and(|d| d.has(song));
        others.filter(|(_, slot)| has(slot)).count()
    }

    /// The first of these songs that this node has and too few other nodes have.
    fn lacking_elsewhere(&self, place: Place, songs: &[SongId]) -> Option<String> {
        let disk = self.nodes[place].disk.as_ref()?;
        let needed = self.needed_elsewhere(place);
        let excused = |song: SongId| {
            self.keeping.unwanted.contains(&song) || self.keeping.lost_lately(self.now, song)
        };
        let held = songs.iter().filter(|song| disk.has(**song));
        let mut lacking =
            held.filter(|song| !excused(**song) && self.elsewhere(place, **song) < needed);
        lacking.next().map(|song| {
            let there = self.elsewhere(place, *song);
            let name = &self.nodes[place].name;
            format!("{name}: {song:?} is at {there} others of {needed}")
        })
    }

    /// S2: a node has lost its copies of these songs, or fragments of them. While fewer than three
    /// copies are lost within one repair window, every acknowledged song is still whole among the
    /// disks that are left. Only the time in which the node ran counts: a dead holder copies
    /// nothing.
    pub fn on_loss(&mut self, place: Place, songs: &[SongId], disk: bool) {
        let now = self.now;
        if disk {
            self.keeping.lost.push(now);
        }
        for song in songs {
            let losses = self.keeping.losses.entry(*song).or_default();
            losses.push(now);
            if let Some(text) = self.loss_of(place, *song) {
                self.violated("S2 acknowledged songs stand", text);
            }
            if !self.is_whole_somewhere(*song) {
                self.keeping.given_up.insert(*song);
            }
        }
    }

    fn loss_of(&self, place: Place, song: SongId) -> Option<String> {
        let (since, copies) = self.checks.promise(song)?;
        let excused = |songs: &BTreeSet<SongId>| songs.contains(&song);
        if excused(&self.keeping.unwanted) || excused(&self.keeping.given_up) {
            return None;
        }
        if self.is_whole_somewhere(song) {
            return None;
        }
        let upkeep = &self.climate.upkeep;
        let window = if upkeep.spaced {
            upkeep.window()
        } else {
            Duration::MAX
        };
        let losses = self.keeping.losses.get(&song).into_iter().flatten();
        let ran = |since: Time| self.keeping.ran(self.now, place, since);
        let lately = losses.filter(|at| ran(**at) < window).count();
        // A young song may not have all its copies yet: it survives only what its acknowledgement
        // promised.
        let young = !upkeep.spaced || ran(since) < window;
        let allowed = if young { usize::from(copies) } else { COPIES };
        (lately < allowed).then(|| format!("{song:?} is gone after {lately} losses"))
    }

    fn is_whole_somewhere(&self, song: SongId) -> bool {
        self.is_whole_among(0..self.nodes.len(), song)
    }

    /// Whether each fragment of a song is good on at least one disk of these nodes.
    pub(crate) fn is_whole_among(
        &self,
        places: impl IntoIterator<Item = Place>,
        song: SongId,
    ) -> bool {
        let Some(tune) = self.music.by_id(song) else {
            return false;
        };
        let disks = (places.into_iter()).filter_map(|place| self.nodes[place].disk.as_ref());
        let unsound: Vec<Vec<u32>> = disks.filter_map(|disk| disk.unsound(song)).collect();
        let good = |index: &u32| unsound.iter().any(|bad| !bad.contains(index));
        (0..tune.manifest.song.fragments).all(|index| good(&index))
    }

    /// A server receives an envelope.
    pub(crate) fn on_upkeep_heard(&mut self, place: Place, from: Sender, envelope: &Envelope) {
        self.keeping.committing = None;
        let asked = match &envelope.message {
            Message::Upkeep(Upkeep::Bury { songs, .. }) => Asked::Bury(songs.clone()),
            Message::Upkeep(Upkeep::Change { song, to, .. }) => Asked::Change(*song, *to, self.now),
            Message::Audio(Audio::Fetch { song, .. } | Audio::FetchPart { song, .. }) => {
                Asked::Fetch(*song)
            }
            Message::Audio(Audio::Commit { song, copy: false }) => {
                self.keeping.committing = Some((place, *song));
                return;
            }
            Message::Audio(_)
            | Message::Upkeep(_)
            | Message::Names(_)
            | Message::Catalogue(_)
            | Message::Ring(_)
            | Message::Chord(_)
            | Message::Refused(_) => return,
        };
        let all = &mut self.keeping.asked;
        all.insert((place, from.peer, envelope.id), asked);
        while all.len() > ASKED_KEPT {
            all.pop_first();
        }
    }

    /// A node sends an envelope.
    pub(crate) fn on_upkeep_said(&mut self, place: Place, to: Peer, envelope: &Envelope) {
        let Kind::Answer { more } = envelope.kind else {
            return;
        };
        if self.lies.are_of(place) {
            return;
        }
        let key = (place, to, envelope.id);
        match (&envelope.message, self.keeping.asked.get(&key)) {
            (Message::Audio(Audio::Chunk { index, .. }), Some(Asked::Fetch(song))) => {
                self.check_chunk(place, (*song, *index), &envelope.body);
            }
            (Message::Audio(Audio::ChunkPart { index, .. }), Some(Asked::Fetch(song))) => {
                self.check_part(place, (*song, *index), &envelope.body);
            }
            (Message::Audio(Audio::Described { manifest }), _) => {
                self.check_manifest(place, manifest);
            }
            (Message::Upkeep(Upkeep::Buried { copies }), Some(Asked::Bury(songs))) => {
                let songs = songs.clone();
                self.check_buried(place, &songs, *copies);
            }
            (Message::Upkeep(Upkeep::Buried { copies }), Some(Asked::Change(song, ..))) => {
                let song = *song;
                self.check_buried(place, &[song], *copies);
            }
            (Message::Upkeep(Upkeep::Changed { copies }), Some(Asked::Change(song, to, at))) => {
                let change = (*song, *to, *at);
                self.check_changed(place, change, *copies);
            }
            _ => (),
        }
        if !more {
            self.keeping.asked.remove(&key);
        }
    }

    fn check_chunk(&mut self, place: Place, (song, index): (SongId, u32), bytes: &[u8]) {
        let right = self.music.fragment(song, index);
        if right.is_some_and(|right| right != bytes) {
            let name = &self.nodes[place].name;
            let text = format!("{name} sends {song:?} {index} as it is not");
            self.violated("S3 no wrong byte leaves a data node", text);
        }
    }

    /// The groups of a part are those of the true fragment.
    fn check_part(&mut self, place: Place, (song, index): (SongId, u32), bytes: &[u8]) {
        let right = self.music.fragment(song, index);
        let mut groups = right.into_iter().flat_map(|right| {
            let begins = (0..right.len()).step_by(GROUP_BYTES);
            begins.filter_map(|begin| right.get(begin..))
        });
        if right.is_some() && !groups.any(|from_here| from_here.starts_with(bytes)) {
            let name = &self.nodes[place].name;
            let text = format!("{name} sends a part of {song:?} {index} as it is not");
            self.violated("S3 no wrong byte leaves a data node", text);
        }
    }

    fn check_manifest(&mut self, place: Place, manifest: &Manifest) {
        let right = self.music.by_id(manifest.song.id);
        // Whoever passes a song on may lie about its tags. Nothing but its sound is proved.
        let same = |right: &Manifest| match self.lies.are_told() {
            true => is_same_sound(right, manifest),
            false => right == manifest,
        };
        if right.is_some_and(|right| !same(&right.manifest)) {
            let name = &self.nodes[place].name;
            let text = format!("{name} describes {:?} as it is not", manifest.song.id);
            self.violated("S3 no altered manifest leaves a data node", text);
        }
    }

    fn check_buried(&mut self, place: Place, songs: &[SongId], copies: u8) {
        let now = self.now;
        let lately = self.keeping.lost.iter().any(|at| now.since(*at) < LATELY);
        // A node counts a tombstone that a liar says it has.
        let lately = lately || self.lies.are_told();
        let disk = self.nodes[place].disk.as_ref();
        // What a client of an earlier version removes goes into the trash.
        let buried = |disk: &Disk, song: SongId| disk.is_buried(song) || disk.mark_of(song).thrown;
        let here = |song: &SongId| disk.is_some_and(|disk| buried(disk, *song));
        let count = |song: &SongId| {
            let disks = self.nodes.iter().filter_map(|slot| slot.disk.as_ref());
            disks.filter(|disk| buried(disk, *song)).count()
        };
        let untrue =
            (songs.iter()).find(|song| !here(song) || !lately && count(song) < usize::from(copies));
        if let Some(song) = untrue {
            let name = &self.nodes[place].name;
            let text = format!(
                "{name}: {song:?} is removed on {copies}, in truth on {}",
                count(song)
            );
            self.violated("S5 a removal's answer is true", text);
        }
    }

    /// A node orders a job.
    pub(crate) fn on_ordered(&mut self, place: Place, work: &Job) {
        let Job::Library(work) = work else {
            return;
        };
        if let LibraryJob::DropSongs { songs, until } = work {
            // The job drops only what stood at revision `until`: a song that came later stays.
            let disk = self.nodes[place].disk.as_ref();
            let goes = |song: &&SongId| disk.is_some_and(|disk| disk.has_since(**song, *until));
            let songs: Vec<SongId> = songs.iter().filter(goes).copied().collect();
            self.seen.let_go += songs.len() as u64;
            if let Some(text) = self.lacking_elsewhere(place, &songs) {
                self.violated("S2 nothing is let go that others lack", text);
            }
        }
        if let LibraryJob::CommitUpload { song, copies_due } = work
            && self.keeping.committing == Some((place, *song))
        {
            let owed = self.others_seen(place).0.min(COPIES - 1);
            if copies_due.len() < owed {
                let text = format!("{song:?}: {} of {owed} copies", copies_due.len());
                self.violated("S2 what is owed is written down", text);
            }
        }
    }

    /// What a job concerns; asked before the job is done, because doing it consumes it.
    pub(crate) fn touched(&self, place: Place, work: &LibraryJob) -> Touched {
        if let LibraryJob::ReadFragment { song, .. } = work {
            return Touched::Read(*song);
        }
        if let LibraryJob::ReadPart { fragment, .. } = work {
            return Touched::Read(fragment.song);
        }
        if let LibraryJob::CommitUpload { song, .. } = work {
            return Touched::Commit(*song);
        }
        if let LibraryJob::RemoveSongs { songs } = work {
            return Touched::Remove(songs.clone());
        }
        if let LibraryJob::EmptyTrash { mark } = work {
            let disk = self.nodes[place].disk.as_ref();
            let twice = disk.is_some_and(|disk| disk.is_over_twice(mark.song));
            return Touched::Empty(*mark, twice);
        }
        if let LibraryJob::NoteMarks { marks, .. } = work {
            return Touched::Note(marks.clone());
        }
        if let LibraryJob::NoteDocuments { documents, .. } = work {
            return Touched::Documents(documents.clone());
        }
        if let LibraryJob::ReplaceFragment { .. } = work {
            return Touched::Replace;
        }
        if let LibraryJob::Mend { .. } = work {
            return Touched::Mend;
        }
        if let LibraryJob::Rebuild { .. } = work {
            return Touched::Rebuild;
        }
        Touched::Nothing
    }

    /// S3, S5: checks what a job has led to.
    pub(crate) fn check_done(&mut self, place: Place, touched: &Touched, reply: &JobReply) {
        let Some(disk) = self.nodes[place].disk.as_ref().map(|disk| disk.id) else {
            return;
        };
        match (touched, reply) {
            (Touched::Read(song), JobReply::Fragment { .. }) => {
                let buried = self.keeping.buried.get(song);
                if buried.is_some_and(|disks| disks.contains(&disk)) {
                    let text = format!("{}: {song:?}", self.nodes[place].name);
                    self.violated("S5 what is removed is not read", text);
                }
            }
            (Touched::Commit(song), JobReply::Stored { .. })
                if self.music.by_id(*song).is_none() =>
            {
                let text = format!("{}: {song:?}", self.nodes[place].name);
                self.violated("S3 the whole is what its id says", text);
            }
            (Touched::Remove(songs), JobReply::Removed { .. }) => {
                for song in songs {
                    self.keeping.buried.entry(*song).or_default().insert(disk);
                }
            }
            (Touched::Empty(mark, twice), JobReply::Removed { .. }) => {
                let song = mark.song;
                self.keeping.buried.entry(song).or_default().insert(disk);
                self.on_emptied(place, *mark, *twice);
            }
            (Touched::Note(marks), JobReply::Noted { .. }) => self.on_noted(place, marks),
            (Touched::Documents(documents), JobReply::DocumentsNoted { .. }) => {
                self.on_documents_noted(place, documents);
            }
            (Touched::Replace, JobReply::FragmentStored) => self.seen.rots_healed += 1,
            (Touched::Mend, JobReply::Removed { count, .. }) => {
                self.seen.songs_withdrawn += u64::from(*count);
            }
            (Touched::Rebuild, JobReply::Overview(_)) => self.seen.libraries_rebuilt += 1,
            _ => (),
        }
    }

    /// A user is told that a song has been removed.
    pub(crate) fn on_removed(&mut self, song: SongId, copies: u8) {
        self.seen.removals += 1;
        self.keeping.removed.insert(song);
        if copies == 0 {
            let text = format!("{song:?} is removed nowhere");
            self.violated("S5 a removal's answer is true", text);
        }
    }

    /// S8, L6: checks the queues of a node, and how long users have waited.
    pub(crate) fn check_upkeep(&mut self, place: Place) {
        let queues = self.server_at(place).map_or(Vec::new(), Server::queues);
        if let Some(queue) = queues.iter().find(|queue| queue.length > queue.most) {
            let text = format!("{}: {queue:?}", self.nodes[place].name);
            self.violated("S8 bounds", text);
        }
        let now = self.now;
        let late = |begun: Time| now.since(begun) > ASKED_MAX;
        let late = (self.workload.open())
            .find(|(_, operation)| operation.is_short() && late(operation.begun));
        if let Some((key, operation)) = late {
            let text = format!("{key:?}: {operation:?}");
            self.violated("L6 questions end in time", text);
        }
    }

    /// A server is told to stop. A data node may hand its songs over first; told a second time, it
    /// stops at once.
    pub(crate) fn note_stop(&mut self, place: Place) {
        if self.has_left(place) {
            return;
        }
        let key = (place, self.nodes[place].start);
        let twice = self.keeping.draining.remove(&key);
        let hands_over = self.climate.upkeep.drain && self.is_member(place);
        if !twice && hands_over && self.nodes[place].role() == Some(Role::Data) {
            self.seen.drains += 1;
            self.keeping.draining.insert(key);
        }
    }

    fn has_left(&self, place: Place) -> bool {
        let ring = self.server_at(place).and_then(Server::ring);
        ring.is_some_and(|ring| ring.members().me().state == MemberState::Left)
    }

    /// Whether the node was told to stop and has not ended yet.
    pub(crate) fn is_ending(&self, place: Place) -> bool {
        let key = (place, self.nodes[place].start);
        self.keeping.draining.contains(&key) || self.has_left(place)
    }

    /// Everything is mended: a node that still hands over is told to stop a second time, because
    /// there may be nobody to hand over to.
    pub(crate) fn hurry_out(&mut self, place: Place) {
        let key = (place, self.nodes[place].start);
        if self.keeping.draining.remove(&key) && self.nodes[place].state == State::Up {
            self.hand(place, Event::Stop);
        }
    }

    /// S7: a data node that leaves after it handed over, or after it changed its role, has no song
    /// that too few others have. A node that joins later finds it gone. A song that the nodes that
    /// run do not have whole keeps nobody from ending: nobody could copy it.
    pub(crate) fn check_farewell(&mut self, place: Place, changed: bool) {
        let key = (place, self.nodes[place].start);
        let drained = self.keeping.draining.remove(&key);
        // A node that ends because of a later start of itself, or of a twin, hands nothing over
        // first.
        let outdated = self.server_at(place).is_some_and(Server::is_outdated);
        if !drained && !changed || outdated {
            return;
        }
        let disk = self.nodes[place].disk.as_ref();
        let mut songs: Vec<SongId> = disk.into_iter().flat_map(|disk| disk.songs()).collect();
        let up = |at: &Place| self.nodes[*at].state == State::Up;
        let up: Vec<Place> = (0..self.nodes.len()).filter(up).collect();
        songs.retain(|song| changed || self.is_whole_among(up.iter().copied(), *song));
        if let Some(text) = self.lacking_elsewhere(place, &songs) {
            self.violated("S7 who hands over leaves with nothing", text);
        }
    }

    /// An event with a question from a sender that has the cluster key and is no member.
    pub(crate) fn stranger_says(&mut self, message: Message, body: Vec<u8>) -> Event {
        let probe = self.place("probe");
        self.nodes[probe].question += 1;
        let identity = self.nodes[probe].identity;
        let from = Sender {
            peer: Peer::Guest(u64::MAX),
            node: identity.node,
            incarnation: identity.incarnation,
        };
        let patience = Duration::from_secs(30);
        let envelope = Envelope {
            id: RequestId(0xfd << 56 | self.nodes[probe].question),
            kind: Kind::Question { patience },
            message,
            body,
        };
        Event::Message { from, envelope }
    }
}

/// Whether two manifests describe the same bytes.
pub(crate) fn is_same_sound(a: &Manifest, b: &Manifest) -> bool {
    let slices = |manifest: &Manifest| {
        let fragments = manifest.fragments.iter();
        fragments.map(|f| (f.length, f.hash)).collect::<Vec<_>>()
    };
    a.song.id == b.song.id && a.hash == b.hash && slices(a) == slices(b)
}
