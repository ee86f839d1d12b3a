//! Invariants of the Chord circle in a world of real servers. At any time: bounds. Once everything
//! is mended: the ideal state, and every server that looks a song up is led to the same living
//! owners, by the way on which a router finds a song that its catalogue lacks.
//!
//! While faults happen, the ring invariant is counted and not demanded: a member may die, or member
//! tables may differ, while a list that names the member is under way. The schedules demand it
//! where it is sound.

use std::collections::BTreeSet;
use std::time::Duration;

use roles::chord::arc::{around, distance};
use roles::chord::{Ask, Chord, Config, HOPS_MAX, Neighbours, Search, Standing, toward};
use roles::contract::chord::Chord as ChordMessage;
use roles::contract::id::{NodeId, SongId};
use roles::contract::limits::NEIGHBOURS_MAX;
use roles::contract::message::Message;
use roles::contract::record::Role;
use roles::mutants::ChordMutants;

use crate::resident::Place;
use crate::schedules::fault;
use crate::world::World;

/// Longest round of the circle, with its waits. The circle gets twelve rounds to become ideal.
const ROUND: Duration = Duration::from_secs(3);

/// L3: most nodes that a look-up asks: the node where it begins, the one before the song, and the
/// responsible one.
const HOPS: usize = 3;

/// The same where the fingers stand at powers of two among at most eleven nodes.
const HOPS_IF_THIN: usize = 6;

/// The same for an asker that sees every data node and begins at the responsible one.
const HOPS_OF_ROUTERS: usize = 1;

/// Most questions that one node holds back, and most that it waits for.
const OPEN_MAX: usize = 64;

/// The result of a look-up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Searched {
    /// The owners of the song; none if no node named them.
    pub owners: Option<Vec<NodeId>>,
    /// Number of nodes asked.
    pub asked: usize,
    /// The node asked last.
    pub last: Option<NodeId>,
}

impl World {
    fn chord_of(&self, place: Place) -> Option<&Chord> {
        self.server_at(place)?.chord()
    }

    /// S8 for one node. With five data nodes or more, also counts whether the circle is whole.
    pub(crate) fn check_circle(&mut self, place: Place) {
        let Some(chord) = self.chord_of(place) else {
            return;
        };
        let held = chord.held();
        let Neighbours { successors, .. } = chord.beside();
        if held > OPEN_MAX || successors.len() > NEIGHBOURS_MAX {
            let name = &self.nodes[place].name;
            let text = format!("{name}: {held} held, {successors:?}");
            self.violated("S8 bounds", text);
        }
        self.sample_circle();
    }

    fn sample_circle(&mut self) {
        let data = self.servers(Role::Data);
        if data.len() <= NEIGHBOURS_MAX {
            return;
        }
        let living: BTreeSet<NodeId> = data.iter().map(|p| self.nodes[*p].identity.node).collect();
        let list = |place: &Place| {
            let chord = self.chord_of(*place)?;
            let me = self.nodes[*place].identity.node;
            let joined = chord.standing() == Standing::Joined;
            joined.then(|| [&[me], chord.beside().successors.as_slice()].concat())
        };
        let lists: Vec<Vec<NodeId>> = data.iter().filter_map(list).collect();
        self.seen.circles_checked += 1;
        self.seen.circles_broken += u64::from(fault(&lists, &living).is_some());
    }

    /// L1: twelve rounds after the ring is one, every data node has its ideal neighbours.
    pub(crate) fn await_circle(&mut self) {
        let begun = self.now;
        match self.await_none(ROUND * 12, World::circle_fault) {
            Some(text) => self.violated("L1 ideal circle", text),
            None => self.figures.circle.push(self.now.since(begun)),
        }
    }

    /// L1 and L3 once nothing has changed for a while. A role may still change, so both get time.
    pub(crate) fn check_circle_at_rest(&mut self) {
        if let Some(text) = self.await_none(ROUND * 12, World::circle_fault) {
            return self.violated("L1 ideal circle", text);
        }
        let until = self.now + ROUND * 2;
        while let Some(text) = self.look_up_everywhere() {
            if self.now >= until || self.violation.is_some() {
                return self.violated("L3 look-ups", text);
            }
            self.run_for(ROUND / 2);
        }
    }

    /// Looks one song up from every server; the text says where the results differ or fail.
    fn look_up_everywhere(&mut self) -> Option<String> {
        let data = self.servers(Role::Data);
        if data.iter().any(|place| self.is_leaving(*place)) {
            return None; // It leaves the circle at a moment of its own.
        }
        // The song is derived from a node id: drawing it would shift the random choices that
        // follow.
        let id = self.nodes[*data.first()?].identity.node;
        let song = SongId(id.0.rotate_left(61) ^ (u128::MAX / 3));
        let mut found = None;
        for place in data.into_iter().chain(self.servers(Role::Router)) {
            let owners = match self.look_up_once(place, song) {
                Ok(owners) => owners,
                Err(text) => return Some(text),
            };
            let one = found.get_or_insert_with(|| owners.clone());
            if *one != owners {
                return Some(format!("{song:?} is kept by {one:?} and by {owners:?}"));
            }
        }
        None
    }

    /// A data node whose neighbours are not the ideal ones; none if all are right.
    pub fn circle_fault(&self) -> Option<String> {
        let data = self.servers(Role::Data);
        let mut all: Vec<NodeId> = data.iter().map(|p| self.nodes[*p].identity.node).collect();
        all.sort_unstable();
        data.into_iter().find_map(|place| {
            let me = self.nodes[place].identity.node;
            let others: Vec<NodeId> = all.iter().copied().filter(|n| *n != me).collect();
            let ideal = around(me, &others, Config::default().successors);
            let chord = self.chord_of(place);
            let placed = chord.filter(|chord| chord.standing() != Standing::Apart);
            let beside = placed.map(Chord::beside);
            let name = &self.nodes[place].name;
            (beside != Some(&ideal)).then(|| format!("{name} has {beside:?}, not {ideal:?}"))
        })
    }

    /// Looks a song up from one server and gives its owners. The look-up must end at the living data
    /// node that is responsible.
    pub fn look_up(&mut self, place: Place, song: SongId) -> Option<Vec<NodeId>> {
        match self.look_up_once(place, song) {
            Ok(owners) => Some(owners),
            Err(text) => {
                self.violated("L3 look-ups", text);
                None
            }
        }
    }

    /// As [`World::look_up`], but an error says what was wrong: a node may be leaving the circle.
    fn look_up_once(&mut self, place: Place, song: SongId) -> Result<Vec<NodeId>, String> {
        let searched = self.search(place, song, ChordMutants::default());
        self.seen.look_ups += 1;
        let hops = match self.nodes[place].role() {
            Some(Role::Router) => HOPS_OF_ROUTERS,
            _ if self.spawner.are_fingers_thin() => HOPS_IF_THIN,
            _ => HOPS,
        };
        let data = self.servers(Role::Data).into_iter();
        let ids = data.map(|place| self.nodes[place].identity.node);
        let responsible = ids.min_by_key(|node| distance(NodeId(song.0), *node));
        let text = format!("{}: {song:?}: {searched:?}", self.nodes[place].name);
        match searched.owners {
            Some(owners)
                if searched.asked <= hops && !owners.is_empty() && searched.last == responsible =>
            {
                Ok(owners)
            }
            Some(_) | None => Err(text),
        }
    }

    /// Looks a song up from one server, with these mutants in the search itself. A router begins
    /// among the data nodes that it sees. A data node stands for a client that knows this node alone.
    pub fn search(&mut self, place: Place, song: SongId, mutants: ChordMutants) -> Searched {
        let first = match self.nodes[place].role() {
            Some(Role::Router) => toward(NodeId(song.0), self.data_seen_by(place)),
            _ => vec![self.nodes[place].identity.node],
        };
        let mut search = Search::new(song, first, mutants);
        let mut searched = Searched::default();
        while let Some(Ask { node, before }) = search.next_asked() {
            let at = (self.servers(Role::Data).into_iter())
                .find(|place| self.nodes[*place].identity.node == node);
            let question = Message::Chord(ChordMessage::Find { song, before });
            let answer = at.and_then(|at| self.answer(at, question));
            searched.asked = search.hops();
            searched.last = Some(node);
            if searched.asked > HOPS_MAX {
                break; // Only under a mutant.
            }
            match answer {
                Some(Message::Chord(ChordMessage::Closer { nodes })) => search.go_on(nodes),
                Some(Message::Chord(ChordMessage::Found { owners })) => {
                    searched.owners = Some(owners);
                    return searched;
                }
                Some(_) | None => (),
            }
        }
        searched
    }

    /// The living data nodes in the member table of a server.
    fn data_seen_by(&self, place: Place) -> Vec<NodeId> {
        let ring = self.server_at(place).and_then(|server| server.ring());
        let living = ring.into_iter().flat_map(|ring| ring.members().living());
        let data = living.filter(|member| member.role == Role::Data);
        data.map(|member| member.node).collect()
    }
}
