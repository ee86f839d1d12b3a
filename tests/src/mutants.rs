//! Mutants: nodes that do one thing wrong. A check that no mutant fails checks nothing.
//!
//! Each wraps a real node and changes its input or output; the roles do not know of it. Helpers for
//! the mutants inside the roles are here as well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use roles::chord;
use roles::client::Client;
use roles::contract::id::{JobId, RequestId, SongId};
use roles::contract::job::Job;
use roles::contract::message::{Audio, Catalogue, Kind, Letter, Message, Names};
use roles::contract::node::{Action, Event, Node, Outbox, Peer};
use roles::contract::record::Record;
use roles::contract::time::Time;
use roles::contract::user::Notice;
use roles::flaws::{Flaw as Planted, Flaws};
use roles::requests::Desk;
use roles::server::Server;

use crate::resident::{Place, Resident};
use crate::run::{self, Length};
use crate::world::World;

/// A mutant of one kind of node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
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

impl Flaw {
    /// Every mutant.
    pub const ALL: [Flaw; 13] = [
        Flaw::AnswersBeforeCommit,
        Flaw::ForgetsCopies,
        Flaw::GivesAnotherFragment,
        Flaw::ServesTheDead,
        Flaw::ServesTooFew,
        Flaw::DoesTwice,
        Flaw::OffersOneHolder,
        Flaw::ListsNothing,
        Flaw::DeliversOutOfOrder,
        Flaw::EndsTwice,
        Flaw::NeverEnds,
        Flaw::LeavesDeadlinesBehind,
        Flaw::AsksWithoutEnd,
    ];

    /// Whether the node with this name gets the mutant.
    fn strikes(self, name: &str) -> bool {
        let kind = match self {
            Flaw::AnswersBeforeCommit | Flaw::ForgetsCopies | Flaw::GivesAnotherFragment => "data",
            Flaw::ServesTheDead | Flaw::ServesTooFew => "dns",
            Flaw::DoesTwice => return !name.starts_with("client"),
            Flaw::OffersOneHolder | Flaw::ListsNothing | Flaw::LeavesDeadlinesBehind => "router",
            Flaw::DeliversOutOfOrder | Flaw::EndsTwice | Flaw::NeverEnds | Flaw::AsksWithoutEnd => {
                "client"
            }
        };
        name.starts_with(kind) || (name.starts_with("auto") && kind != "client" && kind != "dns")
    }
}

impl World {
    /// Gives this mutant to every node of the kind concerned.
    pub fn plant(&mut self, flaw: Flaw) {
        let struck = |place: &Place| flaw.strikes(&self.nodes[*place].name);
        let places: Vec<Place> = (0..self.nodes.len()).filter(struck).collect();
        for place in places {
            self.wrap(
                place,
                Box::new(move |inner| Box::new(Flawed::new(inner, flaw))),
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
pub fn found_in_rings(flaw: Planted, worlds: u64) -> Option<(u64, &'static str)> {
    (0..worlds).find_map(|seed| {
        let mut world = World::of_ring(seed);
        world.flaws = Flaws::only(flaw);
        let outcome = run::run_world(seed, world, RING_LENGTH);
        Some((seed, outcome.violation?.rule))
    })
}

/// The first world about the circle in which a mutant of Chord breaks an invariant, and which.
pub fn found_in_circles(flaw: chord::flaws::Flaw, worlds: u64) -> Option<(u64, &'static str)> {
    (0..worlds).find_map(|seed| {
        let mut world = World::of_circle(seed);
        world.circle_flaws = chord::flaws::Flaws::only(flaw);
        let outcome = run::run_world(seed, world, RING_LENGTH);
        Some((seed, outcome.violation?.rule))
    })
}

struct Flawed {
    inner: Box<dyn Resident>,
    flaw: Flaw,
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

impl Flawed {
    fn new(inner: Box<dyn Resident>, flaw: Flaw) -> Self {
        Flawed {
            inner,
            flaw,
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
        let Event::Message { from, letter } = &mut event else {
            return Some(event);
        };
        match (self.flaw, &letter.message) {
            (Flaw::AnswersBeforeCommit, Message::Audio(Audio::Commit { copy: false, .. })) => {
                let message = Message::Audio(Audio::Stored { copies: 2 });
                out.push(answer(from.peer, letter.id, message));
                self.early.insert(letter.id);
            }
            (Flaw::ServesTheDead, Message::Names(Names::Register { record })) => {
                self.records.insert(record.node, *record);
            }
            (Flaw::NeverEnds, Message::Audio(Audio::Stored { .. } | Audio::Taken)) => return None,
            (Flaw::DoesTwice, _) if matches!(letter.kind, Kind::Question { .. }) => {
                self.count += 1;
                let number = RequestId(0xff << 56 | self.count);
                self.renamed.insert(number, letter.id);
                letter.id = number;
            }
            _ => (),
        }
        Some(event)
    }

    /// Changes the output of the node.
    fn act(&mut self, action: Action, out: &mut Outbox) {
        match action {
            // The asker already has an answer, so the true one is dropped.
            Action::Send { letter, .. } if self.early.contains(&letter.id) => (),
            Action::Send { to, letter } => {
                let letter = self.speak(letter);
                let fetch = matches!(letter.message, Message::Audio(Audio::Fetch { .. }));
                let more = if fetch && self.flaw == Flaw::AsksWithoutEnd {
                    500
                } else {
                    0
                };
                for _ in 0..more {
                    self.count += 1;
                    let mut letter = letter.clone();
                    letter.id = RequestId(0xff << 56 | self.count);
                    out.push(Action::Send { to, letter });
                }
                out.push(Action::Send { to, letter });
            }
            Action::Run { job, work, toward } => {
                let work = self.work(work, job);
                out.push(Action::Run { job, work, toward });
            }
            Action::Tell(notice) => self.tell(notice, out),
            Action::Hang { .. } | Action::Meet { .. } => out.push(action),
        }
    }

    fn speak(&mut self, mut letter: Letter) -> Letter {
        if let Some(id) = self.renamed.get(&letter.id) {
            letter.id = *id;
        }
        match (self.flaw, &mut letter.message) {
            (Flaw::ServesTheDead, Message::Names(Names::Records { records, .. })) => {
                let role = records.first().map(|record| record.role);
                let missing = self.records.values().filter(|r| Some(r.role) == role);
                let missing: Vec<Record> = missing
                    .filter(|r| records.iter().all(|known| known.node != r.node))
                    .copied()
                    .collect();
                records.extend(missing);
            }
            (Flaw::ServesTooFew, Message::Names(Names::Records { records, .. })) => {
                records.pop();
            }
            (Flaw::OffersOneHolder, Message::Catalogue(Catalogue::Located { holders, .. })) => {
                let first = self.holder.or(holders.first().copied());
                self.holder = first;
                *holders = first.into_iter().collect();
            }
            (Flaw::ListsNothing, Message::Catalogue(Catalogue::Songs { songs, next, .. })) => {
                songs.clear();
                *next = None;
            }
            _ => (),
        }
        letter
    }

    fn work(&self, mut work: Job, job: JobId) -> Job {
        match (self.flaw, &mut work) {
            (Flaw::ForgetsCopies, Job::CommitUpload { copies_due, .. }) => copies_due.clear(),
            (Flaw::ForgetsCopies, Job::Describe { song })
                if Desk::of(job.0) == Some(Desk::Copies) =>
            {
                *song = SongId(0);
            }
            (Flaw::GivesAnotherFragment, Job::ReadFragment { at, .. }) => {
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
        if self.flaw == Flaw::EndsTwice && ends {
            out.tell(notice.clone());
        }
        if self.flaw == Flaw::DeliversOutOfOrder && matches!(notice, Notice::Fragment { .. }) {
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

impl Node for Flawed {
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

    fn deadline(&self) -> Option<Time> {
        if self.flaw == Flaw::LeavesDeadlinesBehind && self.woken {
            return Some(Time::ZERO);
        }
        self.inner.deadline()
    }
}

impl Resident for Flawed {
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
        letter: Letter {
            id,
            kind: Kind::Answer { more: false },
            message,
            body: Vec::new(),
        },
    }
}
