//! Planted faults: nodes that do one thing wrong. A check that never fails checks nothing.
//!
//! Each wraps a real node and spoils what goes in or comes out; the roles know nothing of it.

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

/// What is wrong with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A data node says that a song stands in two copies before it has committed it.
    AnswersBeforeCommit,
    /// A data node tells its disk of no copies that are still to be made, and makes none.
    ForgetsCopies,
    /// A data node gives the fragment before the one that was asked for.
    GivesAnotherFragment,
    /// A DNS node goes on serving everybody who ever registered.
    ServesTheDead,
    /// A DNS node forgets one of those who registered.
    ServesTooFew,
    /// A node does whatever it is asked as often as it is asked.
    DoesTwice,
    /// A router offers nobody but the first node it ever heard of.
    OffersOneHolder,
    /// A router lists no songs.
    ListsNothing,
    /// A client delivers every second fragment before the first.
    DeliversOutOfOrder,
    /// A client ends every operation twice.
    EndsTwice,
    /// A client drops the answers that data nodes give to its uploads.
    NeverEnds,
    /// A node wants to be woken for a moment that has passed.
    LeavesDeadlinesBehind,
    /// A client asks for each fragment five hundred times.
    AsksWithoutEnd,
}

impl Flaw {
    /// Every flaw.
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

    /// The names of the nodes that have it.
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
    /// Gives every node of the kind concerned this flaw.
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

/// Enough for several deaths, and the pauses between what they lead to.
pub const RING_LENGTH: Length = Length {
    events: 9_000,
    longest: Duration::from_secs(200),
};

/// The first world about the ring in which a flaw of the roles breaks a rule, and which rule.
pub fn found_in_rings(flaw: Planted, worlds: u64) -> Option<(u64, &'static str)> {
    (0..worlds).find_map(|seed| {
        let mut world = World::of_ring(seed);
        world.flaws = Flaws::only(flaw);
        let outcome = run::run_world(seed, world, RING_LENGTH);
        Some((seed, outcome.violation?.rule))
    })
}

/// The first world about the circle in which a flaw of the circle breaks a rule, and which rule.
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
    /// Records ever seen.
    records: BTreeMap<roles::contract::id::NodeId, Record>,
    holder: Option<roles::contract::message::Holder>,
    fragment: Option<Notice>,
    /// True numbers of the questions that were given other ones.
    renamed: BTreeMap<RequestId, RequestId>,
    /// Questions answered before their time.
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

    /// Spoils what comes in. None: it is not heard at all.
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

    /// Spoils what goes out.
    fn act(&mut self, action: Action, out: &mut Outbox) {
        match action {
            // It has been answered before it was done.
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
