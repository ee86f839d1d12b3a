//! The loop: sockets, time and jobs to events, actions to bytes and jobs.
//!
//! One thread, several nodes. A turn waits until something happens or the earliest deadline comes
//! (there is no periodic poll), reads the clock once, and does a bounded piece of everything:
//! finished jobs, commands, newcomers, readable sockets by budget, events to nodes, deadlines, then
//! one flush of each connection that was touched. Traffic therefore never starves a deadline.

mod ingest;
mod jobs;
mod meeting;
mod web;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use log::{debug, error};
use mio::{Events, Interest, Poll, Token};
use roles::contract::chance::Chance;
use roles::contract::message::{Kind, Letter, Message, Refusal};
use roles::contract::node::{Action, Event, Lost, Outbox, Peer};
use roles::contract::record::{Address, Features};
use roles::contract::time::Time;
use roles::contract::timers::earlier;
use roles::contract::user::Notice;

use crate::bell::Bell;
use crate::clock::Clock;
use crate::conn::{Buffers, READ_BYTES};
use crate::conns::{ConnId, Conns};
use crate::dial::{Backoffs, Listener, SocketBuffers};
use crate::host::{Host, HostHandle, Hosted, Ringer, StopHandle};
use crate::http::site::Site;
use crate::wire::hello::Farewell;
use crate::wire::link::{LinkEvent, SendError};
use crate::wire::seal::Security;

use web::Web;

pub use web::WEB_CONNECTIONS_MAX;

/// What may be tuned about a reactor. The defaults are what was measured to be right.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Connections of all nodes together: well below the process's limit of open files.
    pub connections_max: usize,
    /// Strangers whose handshake is under way; the oldest makes room for the next.
    pub handshakes_max: usize,
    /// Bytes read from one socket per turn: fairness against system calls.
    pub read_budget_bytes: usize,
    /// Events fetched at once, at first; it grows by itself.
    pub events: usize,
    /// Sizes of the kernel's buffers; left alone unless something is measured to be better.
    pub buffers: SocketBuffers,
    /// Called on the loop a second after the last job has ended: the moment to give memory back
    /// that only work needs. A loop without jobs never calls it, and is not woken for it.
    pub on_quiet: Option<fn()>,
    /// How long nodes may take to end when they are told to. Told twice, they have two seconds.
    pub stop_within: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            connections_max: 200,
            handshakes_max: 64,
            read_budget_bytes: READ_BYTES,
            events: 128,
            buffers: SocketBuffers::default(),
            on_quiet: None,
            stop_within: STOP_TIMEOUT,
        }
    }
}

/// Hosts nodes on one thread.
pub struct Reactor {
    poll: Poll,
    events: Events,
    fired: Vec<Fired>,
    clock: Clock,
    now: Time,
    security: Arc<Security>,
    settings: Settings,
    bell: Arc<Bell>,
    stop_asked: Arc<AtomicBool>,
    phase: Phase,
    hosts: Vec<Hosted>,
    conns: Conns,
    buffers: Buffers,
    link_events: Vec<LinkEvent>,
    chance: Chance,
    /// Features of peers, from records or their last hello.
    met: BTreeMap<Address, Features>,
    backoffs: Backoffs,
    guests: u64,
    /// Events on their way to nodes, in order.
    pending: VecDeque<(usize, Event)>,
    /// Connections to be flushed at the end of the turn.
    touched: BTreeSet<ConnId>,
    /// Connections that may have more to read.
    ready: Vec<ConnId>,
    /// Peers with parked jobs.
    parked: BTreeSet<(usize, Peer)>,
    /// Bytes that wait in this process for peers to take them, promised ones included.
    outbox_bytes: usize,
    /// Newcomers wait until then: the process has no file descriptor for them.
    accept_again_at: Option<Time>,
    refusals: Refusals,
    /// When the jobs will have been over for long enough.
    quiet_at: Option<Time>,
    /// The site that browsers look at.
    web: Option<Web>,
}

/// How long no job must end before a loop counts as quiet.
const QUIET_AFTER: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
enum Phase {
    Running,
    /// The nodes have been asked to end.
    Stopping {
        until: Time,
    },
    /// Last bytes go out.
    Ending {
        until: Time,
    },
}

/// What the poll said of one token.
#[derive(Clone, Copy)]
struct Fired {
    token: Token,
    readable: bool,
    writable: bool,
    read_closed: bool,
    /// Nothing more can be read or written.
    broken: bool,
}

/// Refused handshakes, told at most every so often.
#[derive(Default)]
struct Refusals {
    count: u64,
    quiet_until: Time,
}

impl Reactor {
    /// A loop without nodes. `seed` drives the jitter of dials.
    pub fn new(security: Security, settings: Settings, seed: u64) -> io::Result<Reactor> {
        let poll = Poll::new()?;
        let bell = Arc::new(Bell::new(poll.registry(), BELL)?);
        Ok(Reactor {
            poll,
            events: Events::with_capacity(settings.events.max(1)),
            fired: Vec::new(),
            clock: Clock::start(),
            now: Time::ZERO,
            security: Arc::new(security),
            settings,
            bell,
            stop_asked: Arc::default(),
            phase: Phase::Running,
            hosts: Vec::new(),
            conns: Conns::default(),
            buffers: Buffers::new(),
            link_events: Vec::new(),
            chance: Chance::from_seed(seed),
            met: BTreeMap::new(),
            backoffs: Backoffs::default(),
            guests: 0,
            pending: VecDeque::new(),
            touched: BTreeSet::new(),
            ready: Vec::new(),
            parked: BTreeSet::new(),
            outbox_bytes: 0,
            accept_again_at: None,
            refusals: Refusals::default(),
            quiet_at: None,
            web: None,
        })
    }

    /// Adds a node and starts its handler threads. It hears its first event once the loop runs.
    pub fn add(&mut self, host: Host) -> io::Result<HostHandle> {
        let (mut hosted, handle) = host.start(&self.bell)?;
        let number = self.hosts.len();
        if let Some(listener) = &mut hosted.listener {
            let registry = self.poll.registry();
            registry.register(&mut listener.socket, Token(number), Interest::READABLE)?;
            hosted.knocked = true;
        }
        self.hosts.push(hosted);
        self.pending.push_back((number, Event::Start));
        Ok(handle)
    }

    /// Serves a site to browsers that come to this socket, in place of an earlier one.
    pub fn serve(&mut self, listener: Listener, site: Box<dyn Site>) -> io::Result<()> {
        self.web = Some(Web::new(listener, site, self.poll.registry())?);
        Ok(())
    }

    /// Wakes the loop, from any thread.
    pub fn ringer(&self) -> Ringer {
        Ringer(Arc::clone(&self.bell))
    }

    /// Asks all nodes to end, from any thread.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle {
            asked: Arc::clone(&self.stop_asked),
            bell: Arc::clone(&self.bell),
        }
    }

    /// The clock whose time the nodes are given.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Runs until every node has told [`Notice::Stopped`], or the time to stop is over.
    pub fn run(mut self) -> io::Result<()> {
        while !self.is_over() {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> io::Result<()> {
        self.wait()?;
        self.now = self.clock.now();
        self.collect_jobs();
        self.collect_commands();
        self.collect_sockets();
        self.deliver();
        self.tick();
        self.deliver();
        self.release_parked();
        self.serve_web();
        self.flush();
        self.rest();
        Ok(())
    }

    /// Serves browsers, after the nodes: what was told in this turn goes out in this turn.
    fn serve_web(&mut self) {
        if let Some(web) = &mut self.web {
            web.turn(self.now, self.poll.registry(), self.settings.buffers);
        }
    }

    /// Tells that the loop has become quiet, once each time.
    fn rest(&mut self) {
        if self.quiet_at.is_some_and(|at| at <= self.now) {
            self.quiet_at = None;
            if let Some(hook) = self.settings.on_quiet {
                hook();
            }
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        let timeout = self.timeout();
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => (),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(error) => return Err(error),
        }
        self.fired.clear();
        self.fired.extend(self.events.iter().map(|event| Fired {
            token: event.token(),
            readable: event.is_readable() || event.is_error(),
            writable: event.is_writable() || event.is_error(),
            read_closed: event.is_read_closed() || event.is_error(),
            broken: event.is_error() || event.is_write_closed(),
        }));
        // A full buffer leaves events behind: they come with the next poll, and soon all at once.
        if self.fired.len() == self.events.capacity() && self.fired.len() < EVENTS_MAX {
            self.events = Events::with_capacity(2 * self.fired.len());
        }
        Ok(())
    }

    /// How long nothing need be done; none is for ever.
    fn timeout(&self) -> Option<Duration> {
        let accepting = self.accept_again_at.is_none() && self.hosts.iter().any(|h| h.knocked);
        let web = self.web.as_ref();
        let busy = web.is_some_and(Web::is_busy);
        if accepting || busy || !self.pending.is_empty() || !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let running = self.hosts.iter().filter(|host| !host.stopped);
        let nodes = running.filter_map(|host| host.node.deadline()).min();
        let phase = match self.phase {
            Phase::Running => None,
            Phase::Stopping { until } | Phase::Ending { until } => Some(until),
        };
        let deadline = earlier(earlier(nodes, self.conns.deadline()), phase);
        let deadline = earlier(deadline, self.quiet_at);
        let deadline = earlier(deadline, web.and_then(Web::deadline));
        let deadline = earlier(deadline, self.accept_again_at)?;
        Some(deadline.since(self.clock.now()))
    }

    /// Hands events to their nodes. Events that arise meanwhile wait for the next call, so that a
    /// node which answers every loss with a letter cannot hold up the loop.
    fn deliver(&mut self) {
        let mut outbox = Outbox::new();
        for _ in 0..self.pending.len() {
            let Some((host, event)) = self.pending.pop_front() else {
                return;
            };
            self.handle(host, event, &mut outbox);
        }
    }

    fn handle(&mut self, host: usize, event: Event, outbox: &mut Outbox) {
        if self.hosts[host].stopped {
            return;
        }
        self.hosts[host].node.handle(self.now, event, outbox);
        while let Some(action) = outbox.pop() {
            self.perform(host, action);
        }
    }

    fn perform(&mut self, host: usize, action: Action) {
        match action {
            Action::Send { to, letter } => self.send(host, to, letter),
            Action::Run { job, work, toward } => self.run_job(host, job, work, toward),
            Action::Hang { peer } => self.hang(host, peer),
            Action::Meet { address, features } => self.meet(address, features),
            Action::Tell(notice) => self.tell(host, notice),
        }
    }

    fn send(&mut self, host: usize, to: Peer, letter: Letter) {
        let used = self.connection_for(host, to, &letter);
        let Some(id) = used.or_else(|| self.dial(host, to)) else {
            return;
        };
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let (number, kind) = (letter.id, letter.kind);
        let sent = conn.link.send(self.now, letter);
        self.touched.insert(id);
        match sent {
            // An ended link is told as lost at the end of the turn.
            Ok(()) | Err(SendError::Full | SendError::Ended) => (),
            Err(SendError::Codec(why)) => {
                error!("letter to {to} cannot be written: {why}");
                if let Kind::Answer { .. } = kind {
                    let refusal = Message::Refused(Refusal::Broken(why.to_string()));
                    self.send(host, to, refusal_letter(number, refusal));
                }
            }
        }
    }

    /// An answer goes where its question came from; everything else over the one in use.
    fn connection_for(&self, host: usize, to: Peer, letter: &Letter) -> Option<ConnId> {
        let conns = &self.hosts[host].peers.get(&to)?.conns;
        let owes = |id: &ConnId| self.conns.get(*id).is_some_and(|c| c.link.owes(letter.id));
        let asked_on = match letter.kind {
            Kind::Answer { .. } if conns.len() > 1 => conns.iter().copied().find(owes),
            Kind::Answer { .. } | Kind::Question { .. } | Kind::Word => None,
        };
        asked_on.or_else(|| conns.first().copied())
    }

    fn meet(&mut self, address: Address, features: Features) {
        if self.met.len() >= MET_MAX && !self.met.contains_key(&address) {
            self.met.pop_first();
        }
        self.met.insert(address, features);
    }

    fn tell(&mut self, host: usize, notice: Notice) {
        let ends = notice == Notice::Stopped;
        (self.hosts[host].tell)(notice);
        if ends {
            self.retire_host(host);
        }
    }

    /// The node has ended: what waits is still sent, nothing more is heard.
    fn retire_host(&mut self, host: usize) {
        let hosted = &mut self.hosts[host];
        hosted.stopped = true;
        hosted.knocked = false;
        hosted.listener = None;
        let of_host = |(id, conn): (ConnId, &crate::conn::Conn)| (conn.host == host).then_some(id);
        let ids: Vec<ConnId> = self.conns.iter().filter_map(of_host).collect();
        for id in ids {
            self.leave(id, Farewell::Closing, None);
        }
    }

    fn tick(&mut self) {
        while let Some(id) = self.conns.pop_due(self.now) {
            self.tick_conn(id);
        }
        let mut outbox = Outbox::new();
        for host in 0..self.hosts.len() {
            if self.hosts[host].stopped || !due_at(&self.hosts[host], self.now) {
                continue;
            }
            self.handle(host, Event::Tick, &mut outbox);
            debug_assert!(
                self.hosts[host].stopped || !due_at(&self.hosts[host], self.now),
                "a tick leaves its deadline behind"
            );
        }
    }

    fn tick_conn(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if let Some(why) = conn.on_tick(self.now) {
            return self.lose(id, why);
        }
        self.touched.insert(id);
    }

    /// Sends what there is to send, once per connection that was touched.
    fn flush(&mut self) {
        for id in mem::take(&mut self.touched) {
            let Some(conn) = self.conns.get_mut(id) else {
                continue;
            };
            conn.flush(self.now, &mut self.buffers);
            if conn.stalled && !conn.is_full() {
                conn.stalled = false;
                self.ready.push(id);
            }
            if let Some(why) = conn.link.over() {
                self.lose(id, why);
                continue;
            }
            self.recount(id);
            self.conns.arm(id);
        }
    }

    /// Keeps the sum of all outboxes right.
    fn recount(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            let bytes = conn.outbox_bytes();
            self.outbox_bytes = self.outbox_bytes + bytes - conn.counted;
            conn.counted = bytes;
        }
    }

    fn is_over(&mut self) -> bool {
        if self.stop_asked.swap(false, Ordering::AcqRel) {
            self.begin_stop();
        }
        let all_stopped = self.hosts.iter().all(|host| host.stopped);
        let ends = match self.phase {
            Phase::Running => all_stopped,
            Phase::Stopping { until } => all_stopped || until <= self.now,
            Phase::Ending { .. } => false,
        };
        if ends {
            self.begin_end();
        }
        match self.phase {
            Phase::Running | Phase::Stopping { .. } => false,
            Phase::Ending { until } => self.conns.len() == 0 || until <= self.now,
        }
    }

    fn begin_stop(&mut self) {
        let within = match self.phase {
            Phase::Running => self.settings.stop_within,
            Phase::Stopping { .. } => STOP_TIMEOUT, // Asked twice: at once.
            Phase::Ending { .. } => return,
        };
        let until = self.clock.now() + within;
        self.phase = Phase::Stopping { until };
        let hosts = 0..self.hosts.len();
        self.pending.extend(hosts.map(|host| (host, Event::Stop)));
    }

    fn begin_end(&mut self) {
        debug!("loop ends connections={}", self.conns.len());
        let until = self.clock.now() + END_TIMEOUT;
        self.phase = Phase::Ending { until };
        self.web = None;
        for host in 0..self.hosts.len() {
            self.retire_host(host);
        }
        self.flush();
    }
}

fn due_at(hosted: &Hosted, now: Time) -> bool {
    hosted.node.deadline().is_some_and(|at| at <= now)
}

fn refusal_letter(id: roles::contract::id::RequestId, message: Message) -> Letter {
    Letter {
        id,
        kind: Kind::Answer { more: false },
        message,
        body: Vec::new(),
    }
}

/// How a socket's error while dialling is told.
fn why_not_connected(error: &io::Error) -> Lost {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return Lost::ConnectRefused;
    }
    Lost::ConnectTimeout
}

/// Token of the bell; those of listeners are the numbers of their hosts, those of connections
/// have a generation above 0.
const BELL: Token = Token(u32::MAX as usize);

/// Most events fetched at once.
const EVENTS_MAX: usize = 16 * 1024;

/// Addresses whose features are remembered.
const MET_MAX: usize = 8192;

/// How long nodes may take to end, unless they are given more time.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// How long last bytes may take to leave.
const END_TIMEOUT: Duration = Duration::from_millis(500);
