//! What must be true of the copies, whatever happens to nodes and disks.
//!
//! | rule | where it is looked at |
//! |---|---|
//! | S2 acknowledged songs stand | `World::on_loss`, after each loss of a disk or a fragment |
//! | S2 nothing is let go that others lack | `World::on_ordered`, when it is ordered |
//! | S2 what is owed is written down | `World::on_ordered`, when a commit is ordered |
//! | S3 no wrong byte leaves a data node | `check_chunk`, with each fragment that is sent |
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

use roles::contract::id::{RequestId, SongId};
use roles::contract::job::{Job, JobReply};
use roles::contract::limits::COPIES;
use roles::contract::member::MemberState;
use roles::contract::message::{Audio, Kind, Letter, Message};
use roles::contract::node::{Event, Peer, Sender};
use roles::contract::record::Role;
use roles::contract::time::Time;
use roles::contract::upkeep::Upkeep;
use roles::members::takes_songs;
use roles::server::Server;

use crate::disk::DiskId;
use crate::resident::{Place, State};
use crate::world::World;

/// What has been lost so lately excuses a count that is one too low.
const LATELY: Duration = Duration::from_secs(60);

/// A comparison of all holdings, from its beginning to what it leads to.
const ROUND: Duration = Duration::from_secs(20);

/// L6: a question of a user to the cluster has ended by then.
const ASKED_MAX: Duration = Duration::from_secs(60);

/// Questions remembered until they are answered; those of nodes that died are forgotten so.
const ASKED_KEPT: usize = 512;

/// What the world knows of the copies.
#[derive(Debug, Default)]
pub struct Keeping {
    /// When disks were lost.
    pub lost: Vec<Time>,
    /// When a copy of which song was lost, or a fragment of it.
    losses: BTreeMap<SongId, Vec<Time>>,
    /// Songs that somebody wanted to remove, whatever came of it.
    unwanted: BTreeSet<SongId>,
    /// Songs that were removed, as users have been told.
    removed: BTreeSet<SongId>,
    /// Songs that are whole nowhere any longer, and with good reason.
    given_up: BTreeSet<SongId>,
    /// On which disks a removal is durable.
    buried: BTreeMap<SongId, BTreeSet<DiskId>>,
    /// Who hands over before it stops, in which start.
    draining: BTreeSet<(Place, u64)>,
    asked: BTreeMap<(Place, Peer, RequestId), Asked>,
    /// An upload's commit that is being handled.
    committing: Option<(Place, SongId)>,
}

#[derive(Debug)]
enum Asked {
    Bury(Vec<SongId>),
    Fetch(SongId),
}

/// What a job is about.
#[derive(Debug)]
pub enum Touched {
    /// A fragment is read.
    Read(SongId),
    /// A song is committed.
    Commit(SongId),
    /// Songs are removed for good.
    Remove(Vec<SongId>),
    /// A bad fragment is replaced.
    Replace,
    /// Nothing that matters here.
    Nothing,
}

impl Keeping {
    /// A disk has forgotten that songs were removed.
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

    fn lost_lately(&self, now: Time, song: SongId) -> bool {
        let losses = self.losses.get(&song).into_iter().flatten();
        losses.copied().any(|at| now.since(at) < LATELY)
    }
}

impl World {
    /// Songs that were acknowledged and that nobody wanted to remove.
    pub fn promised(&self) -> impl Iterator<Item = SongId> {
        let songs = self.checks.promised.keys().copied();
        songs.filter(|song| !self.keeping.unwanted.contains(song))
    }

    fn server_at(&self, place: Place) -> Option<&Server> {
        self.nodes[place].resident.as_ref()?.server()
    }

    /// Data nodes that take songs, but for this one, and whether a dead one is waited for, as it
    /// sees it.
    fn others_seen(&self, place: Place) -> (usize, bool) {
        let me = self.nodes[place].identity.node;
        let Some(ring) = self.server_at(place).and_then(Server::ring) else {
            return (0, false);
        };
        let members = ring.members();
        let takes = members
            .living()
            .filter(|m| m.node != me && m.role == Role::Data && takes_songs(m));
        // The round that led to an order began a moment ago.
        let grace = self.climate.upkeep.keeper.grace + ROUND;
        let mut dead = members.dead();
        let waits = dead.any(|(m, at)| m.role == Role::Data && self.now.since(at) < grace);
        (takes.count(), waits)
    }

    /// How many others must have a song before this node may be without it. Where anything can
    /// happen, one may have lost it since it was asked.
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

    /// The first song this node has and too few others have.
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

    /// S2: copies of songs are lost, or fragments of them. As long as fewer than three go within
    /// one repair window, whatever was acknowledged is still somewhere, whole and right.
    pub fn on_loss(&mut self, songs: &[SongId], disk: bool) {
        let now = self.now;
        if disk {
            self.keeping.lost.push(now);
        }
        for song in songs {
            let losses = self.keeping.losses.entry(*song).or_default();
            losses.push(now);
            if let Some(text) = self.loss_of(*song) {
                self.violated("S2 acknowledged songs stand", text);
            }
            if !self.is_whole_somewhere(*song) {
                self.keeping.given_up.insert(*song);
            }
        }
    }

    fn loss_of(&self, song: SongId) -> Option<String> {
        let (since, copies) = *self.checks.promised.get(&song)?;
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
        let lately = losses.filter(|at| self.now.since(**at) < window).count();
        let young = !upkeep.spaced || self.now.since(since) < window;
        let allowed = if young { usize::from(copies) } else { COPIES };
        (lately < allowed).then(|| format!("{song:?} is gone after {lately} losses"))
    }

    fn is_whole_somewhere(&self, song: SongId) -> bool {
        self.is_whole_among(0..self.nodes.len(), song)
    }

    /// Whether each fragment of a song is good on one disk of these at least.
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

    /// A server hears a question.
    pub(crate) fn on_upkeep_heard(&mut self, place: Place, from: Sender, letter: &Letter) {
        self.keeping.committing = None;
        let asked = match &letter.message {
            Message::Upkeep(Upkeep::Bury { songs, .. }) => Asked::Bury(songs.clone()),
            Message::Audio(Audio::Fetch { song, .. }) => Asked::Fetch(*song),
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
        all.insert((place, from.peer, letter.id), asked);
        while all.len() > ASKED_KEPT {
            all.pop_first();
        }
    }

    /// A node says something.
    pub(crate) fn on_upkeep_said(&mut self, place: Place, to: Peer, letter: &Letter) {
        let Kind::Answer { more } = letter.kind else {
            return;
        };
        let key = (place, to, letter.id);
        match (&letter.message, self.keeping.asked.get(&key)) {
            (Message::Audio(Audio::Chunk { index, .. }), Some(Asked::Fetch(song))) => {
                self.check_chunk(place, (*song, *index), &letter.body);
            }
            (Message::Upkeep(Upkeep::Buried { copies }), Some(Asked::Bury(songs))) => {
                let songs = songs.clone();
                self.check_buried(place, &songs, *copies);
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

    fn check_buried(&mut self, place: Place, songs: &[SongId], copies: u8) {
        let now = self.now;
        let lately = self.keeping.lost.iter().any(|at| now.since(*at) < LATELY);
        let disk = self.nodes[place].disk.as_ref();
        let here = |song: &SongId| disk.is_some_and(|disk| disk.is_buried(*song));
        let count = |song: &SongId| {
            let disks = self.nodes.iter().filter_map(|slot| slot.disk.as_ref());
            disks.filter(|disk| disk.is_buried(*song)).count()
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
        if let Job::DropSongs { songs, until } = work {
            // What has come since stays, whatever is ordered.
            let disk = self.nodes[place].disk.as_ref();
            let goes = |song: &&SongId| disk.is_some_and(|disk| disk.has_since(**song, *until));
            let songs: Vec<SongId> = songs.iter().filter(goes).copied().collect();
            self.seen.let_go += songs.len() as u64;
            if let Some(text) = self.lacking_elsewhere(place, &songs) {
                self.violated("S2 nothing is let go that others lack", text);
            }
        }
        if let Job::CommitUpload { song, copies_due } = work
            && self.keeping.committing == Some((place, *song))
        {
            let owed = self.others_seen(place).0.min(COPIES - 1);
            if copies_due.len() < owed {
                let text = format!("{song:?}: {} of {owed} copies", copies_due.len());
                self.violated("S2 what is owed is written down", text);
            }
        }
    }

    /// What a job is about, before it is done.
    pub(crate) fn touched(&self, work: &Job) -> Touched {
        if let Job::ReadFragment { song, .. } = work {
            return Touched::Read(*song);
        }
        if let Job::CommitUpload { song, .. } = work {
            return Touched::Commit(*song);
        }
        if let Job::RemoveSongs { songs } = work {
            return Touched::Remove(songs.clone());
        }
        if let Job::ReplaceFragment { .. } = work {
            return Touched::Replace;
        }
        Touched::Nothing
    }

    /// S3, S5: looks at what a job has led to.
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
            (Touched::Replace, JobReply::Kept) => self.seen.rots_healed += 1,
            _ => (),
        }
    }

    /// A user is told that a song is gone.
    pub(crate) fn on_removed(&mut self, song: SongId, copies: u8) {
        self.seen.removals += 1;
        self.keeping.removed.insert(song);
        if copies == 0 {
            let text = format!("{song:?} is removed nowhere");
            self.violated("S5 a removal's answer is true", text);
        }
    }

    /// S8, L6: looks at the queues of a node, and at what users wait for.
    pub(crate) fn check_upkeep(&mut self, place: Place) {
        let queues = self.server_at(place).map_or(Vec::new(), Server::queues);
        if let Some(queue) = queues.iter().find(|queue| queue.length > queue.most) {
            let text = format!("{}: {queue:?}", self.nodes[place].name);
            self.violated("S8 bounds", text);
        }
        let (now, open) = (self.now, &self.fronts.open);
        let late = |begun: Time| now.since(begun) > ASKED_MAX;
        let late =
            (open.iter()).find(|(_, operation)| operation.is_short() && late(operation.begun));
        if let Some((key, operation)) = late {
            let text = format!("{key:?}: {operation:?}");
            self.violated("L6 questions end in time", text);
        }
    }

    /// A server is told to stop: a data node may hand over first. Told twice, it stops at once.
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

    /// Whether it was told to stop and has not ended.
    pub(crate) fn is_ending(&self, place: Place) -> bool {
        let key = (place, self.nodes[place].start);
        self.keeping.draining.contains(&key) || self.has_left(place)
    }

    /// Everything is mended: nobody is waited for who hands over to nobody.
    pub(crate) fn hurry_out(&mut self, place: Place) {
        let key = (place, self.nodes[place].start);
        if self.keeping.draining.remove(&key) && self.nodes[place].state == State::Up {
            self.hand(place, Event::Stop);
        }
    }

    /// S7: a data node that says goodbye having handed over, or has changed its role, leaves with
    /// nothing that is not elsewhere as often as can be. Who comes later finds it gone.
    pub(crate) fn check_farewell(&mut self, place: Place, changed: bool) {
        let key = (place, self.nodes[place].start);
        let drained = self.keeping.draining.remove(&key);
        // Whoever must end because of a later start, or of a twin, hands nothing over first.
        let outdated = self.server_at(place).is_some_and(Server::is_outdated);
        if !drained && !changed || outdated {
            return;
        }
        let disk = self.nodes[place].disk.as_ref();
        let songs: Vec<SongId> = disk.into_iter().flat_map(|disk| disk.songs()).collect();
        if let Some(text) = self.lacking_elsewhere(place, &songs) {
            self.violated("S7 who hands over leaves with nothing", text);
        }
    }

    /// A question of somebody who has the key and is nobody's member.
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
        let letter = Letter {
            id: RequestId(0xfd << 56 | self.nodes[probe].question),
            kind: Kind::Question { patience },
            message,
            body,
        };
        Event::Message { from, letter }
    }
}
