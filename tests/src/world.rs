//! The second host of the roles: virtual time, one event queue, every effect performed in memory.

use std::fmt;

use roles::contract::id::JobId;
use roles::contract::message::Envelope;
use roles::contract::node::{Action, Event, Lost, Outbox};
use roles::contract::rng::Rng;
use roles::contract::time::Time;
use roles::contract::user::{Command, Notice};

use crate::checks::Checks;
use crate::climate::Climate;
use crate::copy_invariants::CopyInvariants;
use crate::coverage::Coverage;
use crate::event_queue::EventQueue;
use crate::faults::{Fault, Faults};
use crate::figures::Figures;
use crate::jobs::Pools;
use crate::lies::Lies;
use crate::music::Music;
use crate::network::{ConnId, Network};
use crate::resident::{Place, Resident, Slot, State};
use crate::ring::RingBook;
use crate::spawn::Spawner;
use crate::steering::Tap;
use crate::strangers::Strangers;
use crate::trace::Trace;
use crate::workload::Workload;

/// An event that can be planned.
#[derive(Debug)]
pub enum What {
    /// A node's deadline may have come; the deadline may also have moved since this was planned.
    Wake {
        /// The node.
        place: Place,
        /// The start of the node for which this was planned; in a later start it does nothing.
        start: u64,
    },
    /// A node is handed an event.
    Event {
        /// The node.
        place: Place,
        /// The start of the node for which this was planned; in a later start it does nothing.
        start: u64,
        /// The event.
        event: Box<Event>,
    },
    /// A dial succeeds, fails, or waits on until its timeout.
    DialEnds {
        /// The connection that is dialled.
        conn: ConnId,
    },
    /// The hellos of an accepted connection have travelled, in a world with strangers.
    Greets {
        /// The node that accepted.
        place: Place,
        /// The start of that node.
        start: u64,
        /// The connection.
        conn: ConnId,
    },
    /// The time of a newcomer is over, in a world with strangers.
    NewcomerEnds {
        /// The node that accepted.
        place: Place,
        /// The start of that node.
        start: u64,
        /// The connection.
        conn: ConnId,
    },
    /// An envelope arrives.
    Arrive {
        /// The connection it travels on.
        conn: ConnId,
        /// Index of the receiving end.
        end: usize,
        /// The envelope.
        envelope: Box<Envelope>,
    },
    /// An end learns that its connection is over.
    EndConn {
        /// The connection.
        conn: ConnId,
        /// Index of the end that learns.
        end: usize,
        /// The reason the node is given.
        why: Lost,
    },
    /// The keepalive of an end looks whether the connection has been silent for too long.
    Silence {
        /// The connection.
        conn: ConnId,
        /// Index of the end whose keepalive looks.
        end: usize,
    },
    /// The peer of a parked job has room for the reply, so the job begins.
    JobBegins {
        /// The node that ordered the job.
        place: Place,
        /// The start in which the job was ordered.
        start: u64,
        /// The job.
        job: JobId,
    },
    /// A job ends.
    JobEnds {
        /// The node that ordered the job.
        place: Place,
        /// The start in which the job was ordered.
        start: u64,
        /// The job.
        job: JobId,
    },
    /// Something breaks, or is mended.
    Fault(Fault),
    /// A user begins something.
    Act {
        /// The client.
        place: Place,
    },
    /// A user goes on with an operation, if that operation is still open.
    Command {
        /// The client.
        place: Place,
        /// The start in which the operation was begun.
        start: u64,
        /// The command for the client.
        command: Command,
    },
}

/// An invariant that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The moment at which the check failed.
    pub at: Time,
    /// The name of the invariant.
    pub rule: &'static str,
    /// What the check found, cut to 400 bytes.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { at, rule, text } = self;
        write!(f, "{:.3} s: {rule}: {text}", at.as_nanos() as f64 / 1e9)
    }
}

/// Wraps a node whenever it starts; mutants and liars get in this way.
pub type Wrap = Box<dyn Fn(Box<dyn Resident>) -> Box<dyn Resident>>;

/// A cluster, its users, its network and its disks. Each part owns what it knows; the world holds
/// the parts together and hands each event to the part that it concerns.
pub struct World {
    /// The present moment.
    pub now: Time,
    /// Sizes, delays and fault rates of this world.
    pub climate: Climate,
    /// Every node; a [`Place`] is an index into this list.
    pub nodes: Vec<Slot>,
    /// What is planned.
    pub(crate) agenda: EventQueue<What>,
    /// How nodes enter.
    pub spawner: Spawner,
    /// Connections, and the ways between nodes.
    pub network: Network,
    /// The handler threads.
    pub(crate) pools: Pools,
    /// What breaks.
    pub faults: Faults,
    /// The member that lies, if there is one.
    pub lies: Lies,
    /// The strangers that connect, in a world with borders.
    pub strangers: Strangers,
    /// Every file that clients can upload.
    pub music: Music,
    /// What users do, and what they are told.
    pub workload: Workload,
    /// State of the checks on questions, names and acknowledged songs.
    pub checks: Checks,
    /// State of the checks on the ring.
    pub ring: RingBook,
    /// State of the checks on copies.
    pub keeping: CopyInvariants,
    /// The first invariant that was broken; the world stops there.
    pub violation: Option<Violation>,
    /// How often each fault happened and each check ran.
    pub seen: Coverage,
    /// Measured durations.
    pub figures: Figures,
    /// The events so far, as a hash and on request as text.
    pub trace: Trace,
    /// What a test hears of the traffic.
    pub tap: Tap,
    outbox: Outbox,
    stopped: Vec<Place>,
}

impl World {
    /// The general world of a seed.
    pub fn of_seed(seed: u64) -> World {
        let mut rng = Rng::from_seed(seed);
        let climate = Climate::of(seed, &mut rng);
        World::new(rng.bits(), climate)
    }

    /// The small world of a seed that is about the ring alone.
    pub fn of_ring(seed: u64) -> World {
        let mut rng = Rng::from_seed(seed);
        let climate = Climate::of_ring(seed, &mut rng);
        World::new(rng.bits(), climate)
    }

    /// A world without deaths, where connections break, envelopes are late and nodes freeze
    /// briefly.
    pub fn ruffled(seed: u64) -> World {
        let mut rng = Rng::from_seed(seed);
        let climate = Climate::ruffled(seed, &mut rng);
        World::new(rng.bits(), climate)
    }

    /// The small world of a seed that is about the circle of data nodes.
    pub fn of_circle(seed: u64) -> World {
        let mut rng = Rng::from_seed(seed);
        let climate = Climate::of_circle(seed, &mut rng);
        let mut world = World::new(rng.bits(), climate);
        if !seed.is_multiple_of(2) {
            world.spawner.thin_fingers_out();
        }
        world
    }

    /// A world of this climate in which no node has started.
    pub fn new(seed: u64, climate: Climate) -> World {
        let mut rng = Rng::from_seed(seed);
        // One random stream per part, so that a change in one part does not shift the draws of
        // another. Each seed is known by the order in which the streams are made.
        let mut stream = || Rng::from_seed(rng.bits());
        let music = Music::compose(&mut stream(), climate.tunes, climate.fragments_max);
        let network = Network::new(stream());
        let faults = Faults::new(stream(), &climate);
        let workload = Workload::new(stream());
        let pools = Pools::new(stream());
        let spawner = Spawner::new(stream());
        let mut world = World {
            now: Time::ZERO,
            nodes: Vec::new(),
            agenda: EventQueue::default(),
            spawner,
            network,
            pools,
            faults,
            lies: Lies::default(),
            strangers: Strangers::default(),
            music,
            workload,
            checks: Checks::default(),
            ring: RingBook::new(&climate),
            keeping: CopyInvariants::default(),
            violation: None,
            seen: Coverage::default(),
            figures: Figures::default(),
            trace: Trace::default(),
            tap: Tap::default(),
            outbox: Outbox::new(),
            stopped: Vec::new(),
            climate,
        };
        world.populate();
        world
    }

    /// Handles the earliest planned event. False: none is planned.
    pub fn step(&mut self) -> bool {
        let Some((at, what)) = self.agenda.pop() else {
            return false;
        };
        debug_assert!(at >= self.now, "time went back");
        self.now = at;
        self.happen(what);
        true
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Wake { place, start } => self.on_wake(place, start),
            What::Event {
                place,
                start,
                event,
            } => {
                if self.nodes[place].start == start {
                    self.hand(place, *event);
                }
            }
            What::DialEnds { conn } => self.on_dial_ends(conn),
            What::Greets { place, start, conn } => self.on_greets(place, start, conn),
            What::NewcomerEnds { place, start, conn } => {
                self.on_newcomer_ends(place, start, conn);
            }
            What::Arrive {
                conn,
                end,
                envelope,
            } => self.on_arrive(conn, end, envelope),
            What::EndConn { conn, end, why } => self.on_end_conn(conn, end, why),
            What::Silence { conn, end } => self.on_silence(conn, end),
            What::JobBegins { place, start, job } => self.on_job_begins(place, start, job),
            What::JobEnds { place, start, job } => self.on_job_ends(place, start, job),
            What::Fault(fault) => self.on_fault(fault),
            What::Act { place } => self.on_act(place),
            What::Command {
                place,
                start,
                command,
            } => self.on_command(place, start, command),
        }
    }

    fn on_wake(&mut self, place: Place, start: u64) {
        let slot = &mut self.nodes[place];
        if slot.start != start || slot.armed != Some(self.now) {
            return; // The deadline has moved since.
        }
        slot.armed = None;
        if slot.state == State::Frozen {
            return; // Rearmed when it goes on.
        }
        let deadline = slot.resident.as_ref().and_then(|node| node.deadline());
        if deadline.is_some_and(|at| at <= self.now) {
            self.hand(place, Event::Tick);
        } else {
            self.rearm(place);
        }
    }

    /// Hands a node an event at this same moment, after everything that is already planned for it.
    pub(crate) fn soon(&mut self, place: Place, event: Event) {
        let start = self.nodes[place].start;
        let event = Box::new(event);
        let what = What::Event {
            place,
            start,
            event,
        };
        self.agenda.plan(self.now, what);
    }

    /// Hands an event to a node, performs the node's actions and runs the checks. A frozen node
    /// gets the event when it thaws; a dead node never gets it.
    pub(crate) fn hand(&mut self, place: Place, event: Event) {
        match self.nodes[place].state {
            State::Up => (),
            State::Down | State::Dark => return,
            State::Frozen => {
                let start = self.nodes[place].start;
                let event = Box::new(event);
                let what = What::Event {
                    place,
                    start,
                    event,
                };
                return self.nodes[place].backlog.push(what);
            }
        }
        self.trace.event(self.now, place, &event);
        if self.trace.lines.is_some() {
            self.trace.line(self.now, &self.nodes[place].name, &event);
        }
        self.observe_event(place, &event);
        let clock = self.clock_of(place);
        let Some(mut resident) = self.nodes[place].resident.take() else {
            return;
        };
        let tick = event == Event::Tick;
        let mut out = std::mem::take(&mut self.outbox);
        resident.set_clock(clock);
        resident.handle(self.now, event, &mut out);
        let deadline = resident.deadline();
        // A deadline that is still due after its own tick would make the host's loop spin.
        if tick && deadline.is_some_and(|at| at <= self.now) {
            self.violated(
                "deadlines advance",
                format!("{} asks for the same moment again", self.nodes[place].name),
            );
        }
        self.nodes[place].resident = Some(resident);
        while let Some(action) = out.pop() {
            self.observe_action(place, &action);
            self.perform(place, action);
        }
        self.checks.handled();
        self.check_ring(place);
        self.outbox = out;
        self.rearm(place);
        self.retire_stopped();
    }

    fn perform(&mut self, place: Place, action: Action) {
        match action {
            Action::Send { to, envelope } => {
                self.tap.on_sent(self.now, place, to, &envelope);
                self.send(place, to, envelope);
            }
            Action::Run { job, work, toward } => self.run_job(place, job, work, toward),
            Action::Hang { peer } => self.hang(place, peer),
            Action::Meet { .. } => (), // Ciphers are not simulated.
            Action::Tell(notice) => self.on_notice(place, notice),
        }
    }

    /// Handles a notice that a node gives to its host or its user.
    fn on_notice(&mut self, place: Place, notice: Notice) {
        if self.trace.lines.is_some() {
            let name = format!("{} >", self.nodes[place].name);
            self.trace.line(self.now, &name, &notice);
        }
        if notice == Notice::Outdated && self.lies.are_told() && !self.lies.are_of(place) {
            let text = format!("{} ends by itself", self.nodes[place].name);
            self.violated("a liar stops nobody", text);
        }
        if notice == Notice::Stopped {
            self.stopped.push(place);
            return;
        }
        self.on_told(place, notice);
    }

    /// Ends the processes of the nodes that have announced that they stopped.
    fn retire_stopped(&mut self) {
        while let Some(place) = self.stopped.pop() {
            self.check_farewell(place, false);
            self.end_process(place, State::Down, true);
        }
    }

    /// Ends a process in whatever state it is. `heard`: its peers learn that their connections
    /// closed.
    pub(crate) fn end_process(&mut self, place: Place, state: State, heard: bool) {
        let slot = &mut self.nodes[place];
        slot.resident = None;
        slot.state = state;
        slot.armed = None;
        slot.jobs.clear();
        slot.backlog.clear();
        self.ring.on_end(self.now);
        self.keeping.on_outage(self.now, place);
        self.workload.forget(place);
        self.keeping.trash.forget(self.now, place);
        self.keeping.documents.forget(self.now, place);
        self.cut_off(place, heard);
    }

    pub(crate) fn rearm(&mut self, place: Place) {
        let slot = &mut self.nodes[place];
        let Some(resident) = &slot.resident else {
            return;
        };
        let Some(at) = resident.deadline() else {
            return;
        };
        let at = at.max(self.now);
        if slot.armed.is_none_or(|armed| at < armed) {
            slot.armed = Some(at);
            let start = slot.start;
            self.agenda.plan(at, What::Wake { place, start });
        }
    }

    /// Records a broken invariant, if it is the first.
    pub(crate) fn violated(&mut self, rule: &'static str, mut text: String) {
        if self.violation.is_none() {
            let at = self.now;
            text.truncate(text.floor_char_boundary(400));
            self.violation = Some(Violation { at, rule, text });
        }
    }

    /// Adds something that is no event of a node to the trace's hash.
    pub(crate) fn note(&mut self, what: u64, which: u64) {
        self.trace.note(self.now, what << 32 ^ which);
    }
}
