//! What users do, and what they are told: every notice is compared with what the user asked for.

mod notices;

use std::collections::BTreeMap;
use std::time::Duration;

use roles::contract::document::Documents;
use roles::contract::id::{OperationId, SongId, SongPrefix, SourceId};
use roles::contract::message::{Listed, Query};
use roles::contract::record::Role;
use roles::contract::rng::Rng;
use roles::contract::time::Time;
use roles::contract::trash::{Fate, Trashed};
use roles::contract::user::{ALL_BYTES, Command, Draft, Failure, Heard};

use crate::music::Tune;
use crate::resident::{Place, State};
use crate::world::{What, World};

/// What all users do, and what nodes have told them.
#[derive(Debug)]
pub struct Workload {
    /// What users do.
    rng: Rng,
    /// Operations that have not ended.
    open: BTreeMap<(Place, OperationId), Operation>,
    /// Results of ended operations, for a caller that waits for one by its id.
    ended: BTreeMap<(Place, OperationId), Ended>,
    /// Whether results are kept in `ended`.
    keep: bool,
    /// Whether users begin anything by themselves.
    active: bool,
    /// Facts above debug level that were logged, if results are kept.
    facts: Vec<(Place, String)>,
    /// Servers that have announced that they are registered, and when.
    ready: Vec<(Time, Place)>,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The read is complete.
    Read {
        /// Fragments from the cache.
        cached: u32,
        /// Fragments from data nodes.
        fetched: u32,
        /// The longest wait between two fragments.
        longest_wait: Duration,
    },
    /// The song is stored.
    Uploaded {
        /// The song.
        song: SongId,
        /// Durable copies that the acknowledgement promises.
        copies: u8,
        /// Whether the cluster had the song before.
        known: bool,
    },
    /// The first page of the list of songs.
    Songs(Vec<Listed>),
    /// A page of albums, artists, genres or years.
    Browsed(Box<roles::contract::browse::Browsed>),
    /// The state of the cluster.
    Status(Box<roles::contract::message::Status>),
    /// Number of records of a role.
    Records(usize),
    /// The song is removed; so many data nodes have its tombstone.
    Removed(u8),
    /// The song is where it was to be; so many data nodes have stored that.
    Changed(u8),
    /// The first page of the trash.
    Trash(Vec<Trashed>),
    /// A page of documents.
    Documents(Box<Documents>),
    /// What was written is on so many data nodes.
    Written(u8),
    /// The operation failed.
    Failed(Failure),
}

/// An operation for whose end a user waits.
#[derive(Debug)]
pub struct Operation {
    /// When the operation began.
    pub begun: Time,
    doing: Doing,
}

#[derive(Debug)]
enum Doing {
    Ask,
    Read(Reading),
    Upload { song: Option<SongId>, bytes: u64 },
    Remove,
    Write,
}

#[derive(Debug)]
struct Reading {
    song: SongId,
    /// Fragments that may still be delivered before the user asks for more.
    credit: u32,
    next: u32,
    end: u32,
    /// The bytes of the file that the user needs.
    needed: (u64, u64),
    /// The user closes the song after so many fragments.
    close_after: Option<u32>,
    cached: u32,
    fetched: u32,
    opened: bool,
    asked_at: Time,
    longest_wait: Duration,
    /// The user asks for one fragment at a time.
    slow: bool,
}

impl Operation {
    /// Whether the operation is a single question to the cluster, not a read or an upload.
    pub fn is_short(&self) -> bool {
        matches!(self.doing, Doing::Ask | Doing::Remove | Doing::Write)
    }
}

impl Workload {
    /// A workload in which no user has begun anything.
    pub(crate) fn new(rng: Rng) -> Workload {
        Workload {
            rng,
            open: BTreeMap::new(),
            ended: BTreeMap::new(),
            keep: false,
            active: false,
            facts: Vec::new(),
            ready: Vec::new(),
        }
    }

    /// Draws from the generator of what users do.
    pub(crate) fn draw<R>(&mut self, draw: impl FnOnce(&mut Rng) -> R) -> R {
        draw(&mut self.rng)
    }

    /// Keeps results and facts from here on, for a test that asks for them.
    pub fn keep_results(&mut self) {
        self.keep = true;
    }

    /// Users begin nothing more by themselves.
    pub fn rest(&mut self) {
        self.active = false;
    }

    /// Whether every operation has ended.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// The operations that have not ended.
    pub fn open(&self) -> impl Iterator<Item = (&(Place, OperationId), &Operation)> {
        self.open.iter()
    }

    /// A user no longer waits for an operation; the client is not told.
    pub fn give_up(&mut self, place: Place, operation: OperationId) {
        self.open.remove(&(place, operation));
    }

    /// The facts above debug level that were logged while results were kept.
    pub fn facts(&self) -> &[(Place, String)] {
        &self.facts
    }

    /// When which server has announced that it is registered.
    pub fn ready(&self) -> &[(Time, Place)] {
        &self.ready
    }

    /// A client's process has ended: its operations will get no notices.
    pub(crate) fn forget(&mut self, place: Place) {
        self.open.retain(|(at, _), _| *at != place);
    }
}

impl World {
    pub(crate) fn plan_work(&mut self) {
        if self.climate.act_every.is_zero() {
            return;
        }
        self.workload.active = true;
        for place in self.clients() {
            let wait = self.workload.rng.within(Duration::from_secs(2));
            self.agenda.plan(self.now + wait, What::Act { place });
        }
    }

    /// A user begins something random.
    pub(crate) fn on_act(&mut self, place: Place) {
        if !self.workload.active {
            return;
        }
        let mean = self.climate.act_every;
        let wait = mean / 4 + self.workload.rng.within(mean * 3 / 2);
        self.agenda.plan(self.now + wait, What::Act { place });
        if self.nodes[place].state != State::Up || self.workload.open.len() > 200 {
            return;
        }
        let share = self.climate.listening.share;
        if share > 0 && self.workload.rng.happens(share, 100) {
            return self.write_something(place);
        }
        if self.workload.rng.happens(self.climate.upkeep.removals, 100) {
            return if self.has_trash() {
                self.tend_trash(place)
            } else {
                self.remove_something(place)
            };
        }
        match self.workload.rng.below(100) {
            0..30 => {
                let source = self.something_to_upload();
                self.upload(place, source);
            }
            30..80 => self.read_something(place),
            80..90 => {
                self.list(place);
            }
            90..95 => {
                self.status(place);
            }
            _ => {
                self.resolve(place, Role::Data);
            }
        }
    }

    /// Mostly a file that no acknowledged upload has brought yet.
    fn something_to_upload(&mut self) -> u64 {
        let count = self.music.len() as u64;
        let any = self.workload.rng.below(count);
        let rest = (any..count).chain(0..any);
        let mut fresh = rest.filter(|source| {
            let tune = self.music.tune(*source);
            tune.is_some_and(|tune| self.checks.promise(tune.id()).is_none())
        });
        let fresh = fresh.next().unwrap_or(any);
        if self.workload.rng.happens(3, 4) {
            return fresh;
        }
        any
    }

    fn read_something(&mut self, place: Place) {
        let promised: Vec<SongId> = self.checks.promised().collect();
        let known = self.workload.rng.pick(&promised).copied();
        let song = match known {
            Some(song) if self.workload.rng.happens(19, 20) => song,
            Some(_) | None => {
                let source = self.workload.rng.below(self.music.len() as u64);
                self.music.tune(source).expect("it exists").id()
            }
        };
        let operation = self.open(place, song);
        let rng = &mut self.workload.rng;
        let close = rng.happens(15, 100).then(|| rng.below(6) as u32);
        let slow = rng.happens(1, 4);
        self.reading(place, operation, |reading| {
            reading.close_after = close;
            reading.slow = slow;
        });
    }

    fn reading(&mut self, place: Place, operation: OperationId, change: impl FnOnce(&mut Reading)) {
        if let Some(Operation {
            doing: Doing::Read(reading),
            ..
        }) = self.workload.open.get_mut(&(place, operation))
        {
            change(reading);
        }
    }

    /// Begins to read a song.
    pub fn open(&mut self, place: Place, song: SongId) -> OperationId {
        let reading = Reading {
            song,
            credit: 0,
            next: 0,
            end: 0,
            needed: ALL_BYTES,
            close_after: None,
            cached: 0,
            fetched: 0,
            opened: false,
            asked_at: self.now,
            longest_wait: Duration::ZERO,
            slow: false,
        };
        let song = SongPrefix::from(song);
        self.begin(place, Doing::Read(reading), |operation| Command::Open {
            operation,
            song,
            holders: false,
        })
    }

    /// Begins to upload a file.
    pub fn upload(&mut self, place: Place, source: u64) -> OperationId {
        let doing = Doing::Upload {
            song: None,
            bytes: 0,
        };
        if let Some(song) = self.music.tune(source).map(Tune::id) {
            self.keeping.trash.on_upload(self.now, song);
        }
        let source = SourceId(source);
        self.begin(place, doing, |operation| Command::Upload {
            operation,
            source,
        })
    }

    fn remove_something(&mut self, place: Place) {
        let promised: Vec<SongId> = self.promised().collect();
        if let Some(song) = self.workload.rng.pick(&promised).copied() {
            self.remove(place, song);
        }
    }

    /// Begins to remove a song: for good, if this world has no trash.
    pub fn remove(&mut self, place: Place, song: SongId) -> OperationId {
        self.change(place, song, Fate::Trash)
    }

    /// Begins to change where a song is.
    pub fn change(&mut self, place: Place, song: SongId, to: Fate) -> OperationId {
        let for_good = to == Fate::Trash && !self.has_trash();
        if for_good || matches!(to, Fate::Gone | Fate::Emptied) {
            self.keeping.on_removal_asked(song);
        }
        let prefix = SongPrefix::from(song);
        let operation = self.begin(place, Doing::Remove, |operation| Command::Change {
            operation,
            song: prefix,
            to,
        });
        let key = (place, operation);
        self.keeping.trash.on_asked(self.now, key, (song, to));
        operation
    }

    /// Asks for the first page of the trash.
    pub fn list_trash(&mut self, place: Place) -> OperationId {
        self.begin(place, Doing::Ask, |operation| Command::ListTrash {
            operation,
            after: None,
            limit: 500,
        })
    }

    pub(crate) fn begin_write(
        &mut self,
        place: Place,
        drafts: Vec<Draft>,
        plays: Vec<Heard>,
    ) -> OperationId {
        self.begin(place, Doing::Write, |operation| Command::WriteDocuments {
            operation,
            drafts,
            plays,
        })
    }

    pub(crate) fn begin_read(
        &mut self,
        place: Place,
        reading: roles::contract::document::Reading,
    ) -> OperationId {
        self.begin(place, Doing::Ask, |operation| Command::ReadDocuments {
            operation,
            reading,
        })
    }

    /// Asks for the first page of all songs, five hundred at most.
    pub fn list(&mut self, place: Place) -> OperationId {
        let query = Query::all(500);
        self.begin(place, Doing::Ask, |operation| Command::List {
            operation,
            query,
        })
    }

    /// Asks for the state of the cluster.
    pub fn status(&mut self, place: Place) -> OperationId {
        self.begin(place, Doing::Ask, |operation| Command::Status { operation })
    }

    /// Asks a DNS node for the records of a role.
    pub fn resolve(&mut self, place: Place, role: Role) -> OperationId {
        self.begin(place, Doing::Ask, |operation| Command::Resolve {
            operation,
            role,
        })
    }

    fn begin(
        &mut self,
        place: Place,
        doing: Doing,
        command: impl FnOnce(OperationId) -> Command,
    ) -> OperationId {
        let operation = self.nodes[place].next_operation();
        let begun = self.now;
        (self.workload.open).insert((place, operation), Operation { begun, doing });
        self.command_soon(place, command(operation), Duration::ZERO);
        operation
    }

    fn command_soon(&mut self, place: Place, command: Command, after: Duration) {
        let start = self.nodes[place].start;
        let what = What::Command {
            place,
            start,
            command,
        };
        self.agenda.plan(self.now + after, what);
    }

    pub(crate) fn on_command(&mut self, place: Place, start: u64, command: Command) {
        if self.nodes[place].start != start {
            return;
        }
        let stands = |operation| self.workload.open.contains_key(&(place, operation));
        match command {
            Command::Read { operation, .. } | Command::Take { operation, .. } => {
                if !stands(operation) {
                    return;
                }
                if let Command::Take { count, .. } = command {
                    self.reading(place, operation, |reading| reading.credit += count);
                }
            }
            Command::Close { operation } => {
                if self.workload.open.remove(&(place, operation)).is_none() {
                    return;
                }
            }
            Command::List { .. }
            | Command::Browse { .. }
            | Command::Status { .. }
            | Command::Resolve { .. }
            | Command::Open { .. }
            | Command::Change { .. }
            | Command::ListTrash { .. }
            | Command::ReadDocuments { .. }
            | Command::WriteDocuments { .. }
            | Command::Upload { .. } => (),
        }
        self.hand(place, roles::contract::node::Event::User(command));
    }

    /// Waits at most `span` for the result of an operation; needs [`Workload::keep_results`].
    pub fn end_of(
        &mut self,
        place: Place,
        operation: OperationId,
        span: Duration,
    ) -> Option<Ended> {
        let key = (place, operation);
        self.run_till(span, |world| world.workload.ended.contains_key(&key));
        self.workload.ended.remove(&key)
    }
}
