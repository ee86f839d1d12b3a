//! Mutants: nodes that do one thing wrong. A check that no mutant fails checks nothing.
//!
//! Each wraps a real node and changes its input or output; the roles do not know of it. Helpers for
//! the mutants inside the roles are here as well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use roles::client::Client;
use roles::contract::id::{RequestId, SongId};
use roles::contract::job::{Job, LibraryJob};
use roles::contract::message::{Audio, Catalogue, Envelope, Kind, Message, Names};
use roles::contract::node::{Action, Event, Node, Outbox, Peer};
use roles::contract::record::Record;
use roles::contract::time::Time;
use roles::contract::user::Notice;
use roles::mutants::{ChordMutant, ChordMutants, RingMutant as Planted, RingMutants};
use roles::server::Server;

use crate::resident::{Place, Resident};
use crate::run::{self, Length};
use crate::world::World;

/// A mutant of one kind of node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A data node says that a song stands in two copies before it has committed it.
    AnswersBeforeCommit,
    /// A data node drops the list of copies still to be made, and makes none.
    ForgetsCopies,
    /// A data node serves the fragment before the one that was asked for.
    GivesAnotherFragment,
    /// A DNS node goes on serving every node that ever registered.
    ServesTheDead,
    /// A DNS node leaves the last record out of its answers.
    ServesTooFew,
    /// A node acts on a question as often as it arrives, because every question gets a fresh id.
    DoesTwice,
    /// A router offers only the first data node that it ever offered.
    OffersOneHolder,
    /// A router lists no songs.
    ListsNothing,
    /// A router confirms the tags of songs and forgets them.
    ForgetsTags,
    /// A client delivers every second fragment before the first.
    DeliversOutOfOrder,
    /// A client ends every operation twice.
    EndsTwice,
    /// A client ignores the answers that data nodes give to its uploads.
    NeverEnds,
    /// A node gives a deadline in the past after each tick.
    LeavesDeadlinesBehind,
    /// A client asks for each fragment five hundred times more.
    AsksWithoutEnd,
}

impl Mutant {
    /// Every mutant.
    pub const ALL: [Mutant; 14] = [
        Mutant::AnswersBeforeCommit,
        Mutant::ForgetsCopies,
        Mutant::GivesAnotherFragment,
        Mutant::ServesTheDead,
        Mutant::ServesTooFew,
        Mutant::DoesTwice,
        Mutant::OffersOneHolder,
        Mutant::ListsNothing,
        Mutant::ForgetsTags,
        Mutant::DeliversOutOfOrder,
        Mutant::EndsTwice,
        Mutant::NeverEnds,
        Mutant::LeavesDeadlinesBehind,
        Mutant::AsksWithoutEnd,
    ];

    /// Whether the node with this name gets the mutant.
    fn strikes(self, name: &str) -> bool {
        let kind = match self {
            Mutant::AnswersBeforeCommit | Mutant::ForgetsCopies | Mutant::GivesAnotherFragment => {
                "data"
            }
            Mutant::ServesTheDead | Mutant::ServesTooFew => "dns",
            Mutant::DoesTwice => return !name.starts_with("client"),
            Mutant::OffersOneHolder
            | Mutant::ListsNothing
            | Mutant::ForgetsTags
            | Mutant::LeavesDeadlinesBehind => "router",
            Mutant::DeliversOutOfOrder
            | Mutant::EndsTwice
            | Mutant::NeverEnds
            | Mutant::AsksWithoutEnd => "client",
        };
        name.starts_with(kind) || (name.starts_with("auto") && kind != "client" && kind != "dns")
    }
}

impl World {
    /// Gives this mutant to every node of the kind concerned.
    pub fn plant(&mut self, mutant: Mutant) {
        let struck = |place: &Place| mutant.strikes(&self.nodes[*place].name);
        let places: Vec<Place> = (0..self.nodes.len()).filter(struck).collect();
        for place in places {
            self.wrap(
                place,
                Box::new(move |inner| Box::new(MutantNode::new(inner, mutant))),
            );
        }
    }
}

/// Long enough for several deaths, and for the pauses between the role changes that follow.
pub const RING_LENGTH: Length = Length {
    events: 9_000,
    longest: Duration::from_secs(200),
};

/// The first world about the ring in which a mutant of the roles breaks an invariant, and which.
pub fn found_in_rings(mutant: Planted, worlds: u64) -> Option<(u64, &'static str)> {
    (0..worlds).find_map(|seed| {
        let mut world = World::of_ring(seed);
        world.spawner.plant_in_ring(RingMutants::only(mutant));
        let outcome = run::run_world(seed, world, RING_LENGTH);
        Some((seed, outcome.violation?.rule))
    })
}

/// The first world with a liar in which a mutant of the roles breaks an invariant, and which.
pub fn found_in_liars(mutant: Planted, worlds: u64) -> Option<(u64, &'static str)> {
    (0..worlds).find_map(|seed| {
        let mut world = World::of_liars(seed);
        world.spawner.plant_in_ring(RingMutants::only(mutant));
        let outcome = run::run_world(seed, world, RING_LENGTH);
        Some((seed, outcome.violation?.rule))
    })
}

/// The mutants that do harm only where a member lies.
pub const CREDULOUS: [Planted; 2] = [Planted::BelievesHearsay, Planted::EndsAtOneWord];

/// The first world about the circle in which a mutant of Chord breaks an invariant, and which.
pub fn found_in_circles(mutant: ChordMutant, worlds: u64) -> Option<(u64, &'static str)> {
    (0..worlds).find_map(|seed| {
        let mut world = World::of_circle(seed);
        world.spawner.plant_in_chord(ChordMutants::only(mutant));
        let outcome = run::run_world(seed, world, RING_LENGTH);
        Some((seed, outcome.violation?.rule))
    })
}

struct MutantNode {
    inner: Box<dyn Resident>,
    mutant: Mutant,
    /// Every record that was registered.
    records: BTreeMap<roles::contract::id::NodeId, Record>,
    holder: Option<roles::contract::message::Holder>,
    fragment: Option<Notice>,
    /// The true ids of questions that were given fresh ones.
    renamed: BTreeMap<RequestId, RequestId>,
    /// Questions that were answered too early.
    early: BTreeSet<RequestId>,
    count: u64,
    woken: bool,
}

impl MutantNode {
    fn new(inner: Box<dyn Resident>, mutant: Mutant) -> Self {
        MutantNode {
            inner,
            mutant,
            records: BTreeMap::new(),
            holder: None,
            fragment: None,
            renamed: BTreeMap::new(),
            early: BTreeSet::new(),
            count: 0,
            woken: false,
        }
    }

    /// Changes the input of the node. None: the node does not get the event.
    fn hear(&mut self, mut event: Event, out: &mut Outbox) -> Option<Event> {
        self.woken = event == Event::Tick;
        let Event::Message { from, envelope } = &mut event else {
            return Some(event);
        };
        if let (
            Mutant::ForgetsTags,
            Message::Catalogue(Catalogue::Tag(news) | Catalogue::TagAdded(news, _)),
        ) = (self.mutant, &mut envelope.message)
        {
            news.songs.clear();
        }
        match (self.mutant, &envelope.message) {
            (Mutant::AnswersBeforeCommit, Message::Audio(Audio::Commit { copy: false, .. })) => {
                let message = Message::Audio(Audio::Stored { copies: 2 });
                out.push(answer(from.peer, envelope.id, message));
                self.early.insert(envelope.id);
            }
            (Mutant::ServesTheDead, Message::Names(Names::Register { record })) => {
                self.records.insert(record.node, *record);
            }
            (Mutant::NeverEnds, Message::Audio(Audio::Stored { .. } | Audio::Taken)) => {
                return None;
            }
            (Mutant::DoesTwice, _) if matches!(envelope.kind, Kind::Question { .. }) => {
                self.count += 1;
                let number = RequestId(0xff << 56 | self.count);
                self.renamed.insert(number, envelope.id);
                envelope.id = number;
            }
            _ => (),
        }
        Some(event)
    }

    /// Changes the output of the node.
    fn act(&mut self, action: Action, out: &mut Outbox) {
        match action {
            // The asker already has an answer, so the true one is dropped.
            Action::Send { envelope, .. } if self.early.contains(&envelope.id) => (),
            Action::Send { to, envelope } => {
                let envelope = self.speak(envelope);
                let fetch = matches!(envelope.message, Message::Audio(Audio::Fetch { .. }));
                let more = if fetch && self.mutant == Mutant::AsksWithoutEnd {
                    500
                } else {
                    0
                };
                for _ in 0..more {
                    self.count += 1;
                    let mut envelope = envelope.clone();
                    envelope.id = RequestId(0xff << 56 | self.count);
                    out.push(Action::Send { to, envelope });
                }
                out.push(Action::Send { to, envelope });
            }
            Action::Run { job, work, toward } => {
                let work = self.work(work);
                out.push(Action::Run { job, work, toward });
            }
            Action::Tell(notice) => self.tell(notice, out),
            Action::Hang { .. } | Action::Meet { .. } => out.push(action),
        }
    }

    fn speak(&mut self, mut envelope: Envelope) -> Envelope {
        if let Some(id) = self.renamed.get(&envelope.id) {
            envelope.id = *id;
        }
        match (self.mutant, &mut envelope.message) {
            (Mutant::ServesTheDead, Message::Names(Names::Records { records, .. })) => {
                let role = records.first().map(|record| record.role);
                let missing = self.records.values().filter(|r| Some(r.role) == role);
                let missing: Vec<Record> = missing
                    .filter(|r| records.iter().all(|known| known.node != r.node))
                    .copied()
                    .collect();
                records.extend(missing);
            }
            (Mutant::ServesTooFew, Message::Names(Names::Records { records, .. })) => {
                records.pop();
            }
            (Mutant::OffersOneHolder, Message::Catalogue(Catalogue::Located { holders, .. })) => {
                let first = self.holder.or(holders.first().copied());
                self.holder = first;
                *holders = first.into_iter().collect();
            }
            // The new holder cannot describe that song, so the copy is not made.
            (Mutant::ForgetsCopies, Message::Audio(offer @ Audio::Offer { copy: true, .. })) => {
                *offer = Audio::Describe { song: SongId(0) };
            }
            (Mutant::ListsNothing, Message::Catalogue(Catalogue::Songs { songs, next, .. })) => {
                songs.clear();
                *next = None;
            }
            _ => (),
        }
        envelope
    }

    fn work(&self, mut work: Job) -> Job {
        let Job::Library(library) = &mut work else {
            return work;
        };
        match (self.mutant, library) {
            (Mutant::ForgetsCopies, LibraryJob::CommitUpload { copies_due, .. }) => {
                copies_due.clear()
            }
            (Mutant::GivesAnotherFragment, LibraryJob::ReadFragment { at, .. }) => {
                use roles::contract::message::Position;
                if let Position::Index(index) = at {
                    *index = index.saturating_sub(1);
                }
            }
            _ => (),
        }
        work
    }

    fn tell(&mut self, notice: Notice, out: &mut Outbox) {
        let ends = matches!(notice, Notice::Songs { .. } | Notice::Uploaded { .. });
        if self.mutant == Mutant::EndsTwice && ends {
            out.tell(notice.clone());
        }
        if self.mutant == Mutant::DeliversOutOfOrder && matches!(notice, Notice::Fragment { .. }) {
            match self.fragment.take() {
                None => self.fragment = Some(notice),
                Some(before) => {
                    out.tell(notice);
                    out.tell(before);
                }
            }
            return;
        }
        out.tell(notice);
    }
}

impl Node for MutantNode {
    fn handle(&mut self, now: Time, event: Event, out: &mut Outbox) {
        let Some(event) = self.hear(event, out) else {
            return;
        };
        let mut own = Outbox::new();
        self.inner.handle(now, event, &mut own);
        while let Some(action) = own.pop() {
            self.act(action, out);
        }
    }

    fn set_clock(&mut self, unix_ms: u64) {
        self.inner.set_clock(unix_ms);
    }

    fn deadline(&self) -> Option<Time> {
        if self.mutant == Mutant::LeavesDeadlinesBehind && self.woken {
            return Some(Time::ZERO);
        }
        self.inner.deadline()
    }
}

impl Resident for MutantNode {
    fn server(&self) -> Option<&Server> {
        self.inner.server()
    }

    fn client(&self) -> Option<&Client> {
        self.inner.client()
    }
}

fn answer(to: Peer, id: RequestId, message: Message) -> Action {
    Action::Send {
        to,
        envelope: Envelope {
            id,
            kind: Kind::Answer { more: false },
            message,
            body: Vec::new(),
        },
    }
}
