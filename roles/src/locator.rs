//! Finds a song by the data nodes alone, without a catalogue.
//!
//! A router needs it for a song that its catalogue does not have: it has just started, or has not
//! yet heard of an upload. A client needs it where no router answers. The circle leads from node to
//! node to the one that is responsible ([`crate::chord`]). That node names the owners, and each
//! owner says whether it keeps the song. So what is found was confirmed by a node that has it, and
//! "there is no such song" by an owner.
//!
//! All ids of one partition have the same owners. A prefix that leaves the partition open cannot be
//! looked up; see [`Partition::containing`].

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::chord::{Search, Table, toward};
use crate::contract::chord::Chord as ChordMessage;
use crate::contract::id::{NodeId, SongId, SongPrefix};
use crate::contract::limits::COPIES;
use crate::contract::message::{Audio, Holder, Message};
use crate::contract::node::Peer;
use crate::contract::partition::Partition;
use crate::contract::record::{Address, Record, Role};
use crate::contract::song::Song;
use crate::contract::time::Time;
use crate::cx::Cx;
use crate::mutants::ChordMutants;
use crate::purpose::Asked;
use crate::purpose::locator::Step;
use crate::requests::{Policy, Reply};

/// Bound on the look-ups under way at once; a further one fails at once.
pub const LOOKUPS_MAX: usize = 64;

/// Songs asked for with one prefix: more than one is ambiguous, and a person is told up to five.
pub const SONGS_LISTED: u32 = 5;

/// One step of a look-up. A node that is silent for so long is passed over.
const STEP: Policy = Policy {
    deadline: Duration::from_millis(700),
    attempt: Duration::from_millis(700),
    rounds: 1,
};

/// How a look-up has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// This song, on this node, which has said so.
    Found(Song, Holder),
    /// Several songs begin with the digits: at most [`SONGS_LISTED`] of them.
    Ambiguous(Vec<SongId>),
    /// At least one owner has answered, and none of those that did keeps such a song.
    Unknown,
    /// No owner could be asked.
    Failed,
}

/// The look-ups of one node. `A` says for whom each is made.
#[derive(Debug)]
pub struct Locator<A> {
    lookups: BTreeMap<u64, Lookup<A>>,
    count: u64,
}

#[derive(Debug)]
struct Lookup<A> {
    asker: A,
    prefix: SongPrefix,
    /// No further step begins after this.
    until: Time,
    search: Search,
    /// Owners that have been asked and have not answered.
    open: usize,
    /// An owner has answered that it keeps no such song.
    denied: bool,
}

impl<A> Default for Locator<A> {
    fn default() -> Self {
        Locator {
            lookups: BTreeMap::new(),
            count: 0,
        }
    }
}

impl<A: Copy> Locator<A> {
    /// Gives up all look-ups and returns who waits for them.
    pub fn give_up(&mut self) -> Vec<A> {
        let lookups = core::mem::take(&mut self.lookups);
        lookups.into_values().map(|lookup| lookup.asker).collect()
    }

    /// Begins a look-up among the data nodes of `table`. Returns its ending if it fails at once. The prefix must lie in one partition.
    pub fn start(
        &mut self,
        cx: &mut Cx<'_>,
        (asker, until): (A, Time),
        prefix: SongPrefix,
        table: &DataNodes<'_>,
    ) -> Option<(A, Ending)> {
        if self.lookups.len() >= LOOKUPS_MAX {
            return Some((asker, Ending::Failed));
        }
        let song = prefix.first();
        let known = table.records.iter().map(|record| record.node);
        let first = toward(NodeId(song.0), known);
        self.count += 1;
        let lookup = Lookup {
            asker,
            prefix,
            until,
            search: Search::new(song, first, ChordMutants::default()),
            open: 0,
            denied: false,
        };
        self.lookups.insert(self.count, lookup);
        self.go_on(cx, self.count, table)
    }

    /// Takes the end of a question. Returns the look-up that it has ended.
    pub(crate) fn conclude(
        &mut self,
        cx: &mut Cx<'_>,
        step: Step,
        reply: Reply,
        table: &DataNodes<'_>,
    ) -> Option<(A, Ending)> {
        match (step, reply.message()) {
            (Step::Find(number), Some(Message::Chord(ChordMessage::Closer { nodes }))) => {
                self.lookups.get_mut(&number)?.search.go_on(nodes);
                self.go_on(cx, number, table)
            }
            (Step::Find(number), Some(Message::Chord(ChordMessage::Found { owners }))) => {
                self.ask_owners(cx, number, owners, table)
            }
            // Silent, not on the circle yet, or no data node any longer: the next node is asked.
            (Step::Find(number), _) => self.go_on(cx, number, table),
            (Step::List(number, owner), message) => self.on_listed(number, owner, message),
        }
    }

    /// Asks the next node on the way to the owners.
    fn go_on(
        &mut self,
        cx: &mut Cx<'_>,
        number: u64,
        table: &DataNodes<'_>,
    ) -> Option<(A, Ending)> {
        let lookup = self.lookups.get_mut(&number)?;
        while cx.now < lookup.until
            && let Some(ask) = lookup.search.next_asked()
        {
            let Some(address) = table.address(ask.node) else {
                continue; // It has died since it was named.
            };
            let question = Message::Chord(ChordMessage::Find {
                song: lookup.prefix.first(),
                before: ask.before,
            });
            let (step, to) = (Step::Find(number), [Peer::Node(address)]);
            let asked = cx.ask(Asked::Locator(step), to.into(), question, STEP);
            if asked.is_some() {
                return None;
            }
        }
        self.end(number, Ending::Failed)
    }

    /// Asks every owner at once. The first that has the song ends the look-up.
    fn ask_owners(
        &mut self,
        cx: &mut Cx<'_>,
        number: u64,
        mut owners: Vec<NodeId>,
        table: &DataNodes<'_>,
    ) -> Option<(A, Ending)> {
        let lookup = self.lookups.get_mut(&number)?;
        owners.truncate(COPIES);
        owners.sort_unstable();
        owners.dedup();
        // The page that begins with the smallest id of the prefix.
        let after = lookup.prefix.first().0.checked_sub(1).map(SongId);
        for node in owners {
            let Some(owner) = table.get(node) else {
                continue;
            };
            let question = Message::Audio(Audio::ListSongs {
                after,
                limit: SONGS_LISTED,
            });
            let step = Step::List(number, Holder::of(owner, 0));
            let to = [Peer::Node(owner.address)];
            let asked = cx.ask(Asked::Locator(step), to.into(), question, STEP);
            lookup.open += usize::from(asked.is_some());
        }
        match lookup.open {
            0 => self.end(number, Ending::Failed),
            _ => None,
        }
    }

    fn on_listed(
        &mut self,
        number: u64,
        owner: Holder,
        message: Option<Message>,
    ) -> Option<(A, Ending)> {
        // The look-up may have ended with another owner's answer.
        let lookup = self.lookups.get_mut(&number)?;
        lookup.open = lookup.open.saturating_sub(1);
        if let Some(Message::Audio(Audio::SongPage { songs, .. })) = message {
            let mut songs: Vec<Song> = (songs.into_iter())
                .filter(|song| lookup.prefix.matches(song.id))
                .collect();
            if songs.len() > 1 {
                let mut ids: Vec<SongId> = songs.iter().map(|song| song.id).collect();
                ids.truncate(SONGS_LISTED as usize);
                return self.end(number, Ending::Ambiguous(ids));
            }
            if let Some(song) = songs.pop() {
                return self.end(number, Ending::Found(song, owner));
            }
            lookup.denied = true;
        }
        match (lookup.open, lookup.denied) {
            (0, true) => self.end(number, Ending::Unknown),
            (0, false) => self.end(number, Ending::Failed),
            _ => None,
        }
    }

    fn end(&mut self, number: u64, ending: Ending) -> Option<(A, Ending)> {
        let lookup = self.lookups.remove(&number)?;
        Some((lookup.asker, ending))
    }
}

/// The data nodes that a look-up can reach, each once.
#[derive(Clone, Debug)]
pub struct DataNodes<'a> {
    records: Vec<&'a Record>,
}

impl<'a> DataNodes<'a> {
    /// The data nodes among these records.
    pub fn among(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let data = records.into_iter().filter(|r| r.role == Role::Data);
        DataNodes {
            records: data.collect(),
        }
    }

    /// The record of a data node.
    pub fn get(&self, node: NodeId) -> Option<&'a Record> {
        self.records
            .iter()
            .copied()
            .find(|record| record.node == node)
    }
}

impl Table for DataNodes<'_> {
    fn address(&self, node: NodeId) -> Option<Address> {
        self.get(node).map(|record| record.address)
    }
}

/// Whether a prefix can be looked up: all its songs have the same owners.
pub fn can_find(prefix: SongPrefix) -> bool {
    Partition::containing(prefix).is_some()
}
