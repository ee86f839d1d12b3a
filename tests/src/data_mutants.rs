//! Mutants in keeping copies: worlds about copies find each of them.
//!
//! Some are in the roles ([`CopyMutant`]). The others wrap a data node and change its orders, its input
//! or its output, or are in its disk.

use std::collections::BTreeMap;

use roles::client::Client;
use roles::contract::id::JobId;
use roles::contract::job::{Job, JobFault, JobReply, LibraryJob};
use roles::contract::message::{Audio, Envelope, Kind, Message, Position};
use roles::contract::node::{Action, Event, Node, Outbox, Peer};
use roles::contract::time::Time;
use roles::contract::upkeep::Upkeep;
use roles::mutants::{CopyMutant, CopyMutants};
use roles::server::Server;

use crate::resident::{Kind as Nature, Place, Resident};
use crate::run::{self, Length};
use crate::world::World;

/// A mutant of every node that keeps copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataMutant {
    /// A mutant in the roles themselves.
    Planted(CopyMutant),
    /// A song that is removed leaves no tombstone.
    BuriesNothing,
    /// A removal is answered before it is durable.
    AnswersRemovalEarly,
    /// A removal is not synced: a power cut takes it back.
    ForgetsRemovals,
    /// The copies still to be made are remembered in memory only.
    OwesInMemoryOnly,
    /// A fragment that is damaged or in quarantine is served, with false bytes.
    ServesRotten,
    /// A commit does not verify the hash of the whole.
    CommitsUnchecked,
    /// A client that resumes an upload is told to begin one fragment too late.
    ResumesTooLate,
    /// Tables that say something else than was stored are believed.
    BelievesItsTables,
}

impl DataMutant {
    /// Every mutant.
    pub fn all() -> Vec<DataMutant> {
        let planted = CopyMutant::ALL.into_iter().map(DataMutant::Planted);
        let others = [
            DataMutant::BuriesNothing,
            DataMutant::AnswersRemovalEarly,
            DataMutant::ForgetsRemovals,
            DataMutant::OwesInMemoryOnly,
            DataMutant::ServesRotten,
            DataMutant::CommitsUnchecked,
            DataMutant::ResumesTooLate,
            DataMutant::BelievesItsTables,
        ];
        planted.chain(others).collect()
    }
}

/// Long enough for several losses, and for the repair between them.
pub const LENGTH: Length = Length {
    events: 12_000,
    longest: std::time::Duration::from_secs(500),
};

/// The first world about copies in which a mutant breaks an invariant, and which invariant.
pub fn found_in_copies(mutant: DataMutant, worlds: u64) -> Option<(u64, &'static str)> {
    (0..worlds).find_map(|seed| {
        let mut world = World::of_copies(seed);
        world.let_slip(mutant);
        let outcome = run::run_world(seed, world, LENGTH);
        Some((seed, outcome.violation?.rule))
    })
}

impl World {
    /// Gives every server this mutant, from its next start on.
    pub fn let_slip(&mut self, mutant: DataMutant) {
        self.spawner.plant_in_disks(mutant);
        let places: Vec<Place> = (0..self.nodes.len())
            .filter(|place| matches!(self.nodes[*place].kind, Nature::Server(_)))
            .collect();
        if let DataMutant::Planted(mutant) = mutant {
            self.climate.upkeep.anti_entropy.mutants = CopyMutants::only(mutant);
            return;
        }
        for place in places {
            if let Some(disk) = &mut self.nodes[place].disk {
                disk.mutant(mutant);
            }
            let wrap =
                move |inner| Box::new(MutantDataNode::new(inner, mutant)) as Box<dyn Resident>;
            self.wrap(place, Box::new(wrap));
        }
    }
}

struct MutantDataNode {
    inner: Box<dyn Resident>,
    mutant: DataMutant,
    /// The index of each fragment that is being read.
    reads: BTreeMap<JobId, u32>,
}

impl MutantDataNode {
    fn new(inner: Box<dyn Resident>, mutant: DataMutant) -> Self {
        MutantDataNode {
            inner,
            mutant,
            reads: BTreeMap::new(),
        }
    }

    /// Changes the input of the node.
    fn hear(&mut self, event: &mut Event, out: &mut Outbox) {
        match (self.mutant, event) {
            (DataMutant::AnswersRemovalEarly, Event::Message { from, envelope }) => {
                if let Message::Upkeep(Upkeep::Bury { .. } | Upkeep::Change { .. }) =
                    envelope.message
                {
                    out.push(buried(from.peer, envelope));
                }
            }
            (DataMutant::ServesRotten, Event::Done { job, reply }) => {
                let index = self.reads.remove(job);
                let bad = JobReply::Failed(JobFault::Damaged);
                let aside = JobReply::Failed(JobFault::Quarantined);
                if let Some(index) = index.filter(|_| *reply == bad || *reply == aside) {
                    let bytes = vec![0; 8];
                    *reply = JobReply::Fragment { index, bytes };
                }
            }
            _ => (),
        }
    }

    /// Changes the output of the node.
    fn act(&mut self, action: &mut Action) {
        match action {
            Action::Run { job, work, .. } => self.order(*job, work),
            Action::Send { envelope, .. } => {
                if let (DataMutant::ResumesTooLate, Message::Audio(Audio::Wanted { missing })) =
                    (self.mutant, &mut envelope.message)
                    && let Some(first) = missing.first_mut()
                {
                    first.0 += 1;
                    missing.retain(|(from, to)| from < to);
                }
            }
            Action::Hang { .. } | Action::Meet { .. } | Action::Tell(_) => (),
        }
    }

    fn order(&mut self, job: JobId, work: &mut Job) {
        let Job::Library(work) = work else {
            return;
        };
        match (self.mutant, work) {
            (DataMutant::BuriesNothing, work @ LibraryJob::RemoveSongs { .. }) => {
                if let LibraryJob::RemoveSongs { songs } = work {
                    let songs = std::mem::take(songs);
                    let until = u64::MAX;
                    *work = LibraryJob::DropSongs { songs, until };
                }
            }
            (DataMutant::OwesInMemoryOnly, LibraryJob::CommitUpload { copies_due, .. }) => {
                copies_due.clear()
            }
            (
                DataMutant::ServesRotten,
                LibraryJob::ReadFragment {
                    at: Position::Index(index),
                    ..
                },
            ) => {
                self.reads.insert(job, *index);
            }
            _ => (),
        }
    }
}

impl Node for MutantDataNode {
    fn handle(&mut self, now: Time, mut event: Event, out: &mut Outbox) {
        self.hear(&mut event, out);
        let mut own = Outbox::new();
        self.inner.handle(now, event, &mut own);
        while let Some(mut action) = own.pop() {
            self.act(&mut action);
            out.push(action);
        }
    }

    fn set_clock(&mut self, unix_ms: u64) {
        self.inner.set_clock(unix_ms);
    }

    fn deadline(&self) -> Option<Time> {
        self.inner.deadline()
    }
}

impl Resident for MutantDataNode {
    fn server(&self) -> Option<&Server> {
        self.inner.server()
    }

    fn client(&self) -> Option<&Client> {
        self.inner.client()
    }
}

fn buried(to: Peer, envelope: &Envelope) -> Action {
    Action::Send {
        to,
        envelope: Envelope {
            id: envelope.id,
            kind: Kind::Answer { more: false },
            message: Message::Upkeep(Upkeep::Buried { copies: 1 }),
            body: Vec::new(),
        },
    }
}
