//! The event loop: turns sockets, time and finished jobs into events, and actions into bytes and
//! jobs.
//!
//! One thread runs several nodes. A turn waits until something happens or the earliest deadline
//! comes; there is no periodic poll. Then the turn reads the clock once and does a bounded share of
//! each kind of work: finished jobs, commands, socket input by budget, new connections, events to
//! nodes, deadlines, then one flush of each touched connection. So traffic never starves a
//! deadline.

mod accept_errors;
mod dns;
mod ingest;
mod jobs;
mod mdns;
mod peers;
mod web;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::{debug, error};
use mio::{Events, Interest, Poll, Token};
use roles::contract::id::JobId;
use roles::contract::job::Job;
use roles::contract::message::{Envelope, Kind, Message, Refusal};
use roles::contract::node::{Action, Event, Outbox, Peer};
use roles::contract::record::{Address, Features};
use roles::contract::repeats::Repeats;
use roles::contract::rng::Rng;
use roles::contract::time::Time;
use roles::contract::timers::earlier;
use roles::contract::user::Notice;

use crate::backlog::Backlog;
use crate::clock::Clock;
use crate::conn::{Buffers, READ_BYTES};
use crate::conns::{ConnId, Conns};
use crate::dial::{Listener, SocketBuffers};
use crate::dns::DnsListener;
use crate::host::{Host, HostHandle, Hosted, PulseHandle, StopHandle, WakeHandle};
use crate::http::site::{LoopFigures, Site};
use crate::mdns::MdnsSocket;
use crate::peering::{Backoffs, Newcomers};
use crate::waker::LoopWaker;
use crate::wire::hello::Farewell;
use crate::wire::link::{LinkEvent, SendError};
use crate::wire::seal::Security;

use dns::Dns;
use mdns::Links;
use web::Web;

/// Tuning of a reactor. The defaults are the values that measured best.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most connections of all nodes together; keep it well below the process's limit of open
    /// files.
    pub connections_max: usize,
    /// Most connections of browsers; they are counted apart. For one more, the one goes that is used
    /// least.
    pub web_connections_max: usize,
    /// Most connections of those who ask for names over TCP; they are counted apart, as well.
    pub dns_connections_max: usize,
    /// Most DNS questions of one network (/24, or /56 of IPv6) a second, and at once.
    pub dns_questions_per_second: usize,
    /// Most accepted connections with unfinished handshakes, and at most half of `connections_max`.
    /// For one more, the oldest of those is closed whose peer has not proven that it has the key.
    pub handshakes_max: usize,
    /// Bytes read from one socket per turn: less is fairer, more saves system calls.
    pub read_budget_bytes: usize,
    /// Initial capacity of the event buffer; it grows by itself.
    pub events: usize,
    /// Sizes of the kernel's socket buffers; the kernel's own tuning by default.
    pub buffers: SocketBuffers,
    /// Called on the loop a second after the last job has ended, so that memory needed only for
    /// work can be freed. A loop without jobs never calls the hook and is not woken for it.
    pub on_quiet: Option<fn()>,
    /// How long nodes may take to stop. A second stop request shortens this to two seconds.
    pub stop_within: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            connections_max: 200,
            web_connections_max: 256,
            dns_connections_max: 100,
            dns_questions_per_second: 1000,
            handshakes_max: 256,
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
    loop_waker: Arc<LoopWaker>,
    stop_asked: Arc<AtomicBool>,
    /// How many turns are done.
    turns: Arc<AtomicU64>,
    phase: Phase,
    hosts: Vec<Hosted>,
    conns: Conns,
    newcomers: Newcomers<ConnId>,
    buffers: Buffers,
    link_events: Vec<LinkEvent>,
    rng: Rng,
    /// Processor features of peers, from address records or their latest hello.
    met: BTreeMap<Address, Features>,
    backoffs: Backoffs,
    guests: u64,
    /// Events not yet delivered to their nodes, in order; each with its host's number.
    pending: VecDeque<(usize, Event)>,
    /// The same of clients. They come after all others, as far as a turn has time.
    from_clients: VecDeque<(usize, Event)>,
    /// Connections that the end of the turn flushes.
    touched: BTreeSet<ConnId>,
    /// Connections whose socket may hold more unread bytes.
    ready: Vec<ConnId>,
    /// The same of clients, which are read last.
    clients_ready: VecDeque<ConnId>,
    /// Jobs that begin when the peer, which has a connection, has room for their replies.
    backlog: Backlog<(usize, Peer), (JobId, Job)>,
    /// Bytes queued in this process for all peers, including the space reserved for running jobs.
    outbox_bytes: usize,
    /// Accepting resumes at this time: file descriptors had run out.
    accept_again_at: Option<Time>,
    accept_faults: Repeats,
    refusals: Refusals,
    /// When the loop counts as quiet; `None` before the first job ends and after the hook has run.
    quiet_at: Option<Time>,
    /// The HTTP site, if this loop serves one.
    web: Option<Web>,
    /// The sockets for DNS packets, if a node here answers them.
    dns: Option<Dns>,
    /// Multicast DNS on the links of this machine.
    links: Links,
}

/// How long no job must end before the loop counts as quiet.
const QUIET_AFTER: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
enum Phase {
    Running,
    /// The nodes have been told to stop.
    Stopping {
        until: Time,
    },
    /// All nodes have stopped; the last bytes are sent.
    Ending {
        until: Time,
    },
}

/// The readiness that one poll reported for one token.
#[derive(Clone, Copy)]
struct Fired {
    token: Token,
    readable: bool,
    writable: bool,
    read_closed: bool,
    /// The socket has an error, or its write side is closed.
    broken: bool,
}

/// Refused handshakes since the last log line, and the time before which no line is logged.
#[derive(Default)]
struct Refusals {
    count: u64,
    quiet_until: Time,
}

impl Reactor {
    /// Builds a loop without nodes. `seed` drives the jitter of the dial backoff.
    pub fn new(security: Security, settings: Settings, seed: u64) -> io::Result<Reactor> {
        let poll = Poll::new()?;
        let places = settings.handshakes_max.min(settings.connections_max / 2);
        let loop_waker = Arc::new(LoopWaker::new(poll.registry(), BELL)?);
        Ok(Reactor {
            poll,
            events: Events::with_capacity(settings.events.max(1)),
            fired: Vec::new(),
            clock: Clock::start(),
            now: Time::ZERO,
            security: Arc::new(security),
            settings,
            loop_waker,
            stop_asked: Arc::default(),
            turns: Arc::default(),
            phase: Phase::Running,
            hosts: Vec::new(),
            conns: Conns::default(),
            newcomers: Newcomers::new(places),
            buffers: Buffers::new(),
            link_events: Vec::new(),
            rng: Rng::from_seed(seed),
            met: BTreeMap::new(),
            backoffs: Backoffs::default(),
            guests: 0,
            pending: VecDeque::new(),
            from_clients: VecDeque::new(),
            touched: BTreeSet::new(),
            ready: Vec::new(),
            clients_ready: VecDeque::new(),
            backlog: Backlog::default(),
            outbox_bytes: 0,
            accept_again_at: None,
            accept_faults: Repeats::default(),
            refusals: Refusals::default(),
            quiet_at: None,
            web: None,
            dns: None,
            links: Links::default(),
        })
    }

    /// Adds a node and starts its handler threads. The node gets its first event once the loop
    /// runs.
    pub fn add(&mut self, host: Host) -> io::Result<HostHandle> {
        let (mut hosted, handle) = host.start(&self.loop_waker)?;
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

    /// Adds a DNS node that also answers the packets which arrive at `listener`. One node of a loop
    /// can do so.
    pub fn add_dns(&mut self, host: Host, listener: DnsListener) -> io::Result<HostHandle> {
        let number = self.hosts.len();
        let handle = self.add(host)?;
        let bounds = (
            self.settings.dns_connections_max,
            self.settings.dns_questions_per_second,
        );
        let seed = self.rng.bits();
        self.dns = Some(Dns::new(
            number,
            listener,
            bounds,
            seed,
            self.poll.registry(),
        )?);
        Ok(handle)
    }

    /// Speaks multicast DNS on a link: says there what `config` has, and looks for DNS nodes while a node
    /// of this loop seeks some.
    pub fn add_link(&mut self, socket: MdnsSocket, config: roles::mdns::Config) -> io::Result<()> {
        let begun = (config, self.clock.now(), self.rng.bits());
        self.links.add(socket, begun, self.poll.registry())
    }

    /// Serves a site to browsers that connect to `listener`. Replaces any earlier site.
    pub fn serve(&mut self, listener: Listener, site: Box<dyn Site>) -> io::Result<()> {
        let places = self.settings.web_connections_max.max(1);
        self.web = Some(Web::new(listener, site, places, self.poll.registry())?);
        Ok(())
    }

    /// A handle that wakes the loop from any thread.
    pub fn wake_handle(&self) -> WakeHandle {
        WakeHandle(Arc::clone(&self.loop_waker))
    }

    /// A handle that tells all nodes to stop, from any thread.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle {
            asked: Arc::clone(&self.stop_asked),
            loop_waker: Arc::clone(&self.loop_waker),
        }
    }

    /// A handle that shows whether the loop turns, from any thread.
    pub fn pulse_handle(&self) -> PulseHandle {
        PulseHandle {
            turns: Arc::clone(&self.turns),
            loop_waker: Arc::clone(&self.loop_waker),
        }
    }

    /// The clock that gives the nodes their time.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Runs until every node has sent [`Notice::Stopped`], or the time to stop is over.
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
        self.deliver_from_clients();
        self.answer_dns();
        self.speak_mdns();
        self.serve_web();
        self.flush();
        self.release_parked();
        self.rest();
        self.turns.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Answers DNS packets after the nodes' own messages, so that a registration of this turn counts.
    fn answer_dns(&mut self) {
        let Some(dns) = &mut self.dns else {
            return;
        };
        let hosted = &mut self.hosts[dns.host];
        dns.turn(self.now, hosted.node.as_mut(), self.poll.registry());
    }

    /// Hears and speaks on the links; what may be DNS nodes is told to every node.
    fn speak_mdns(&mut self) {
        let mut running = self.hosts.iter().filter(|host| !host.stopped);
        let seeks = running.any(|host| host.node.seeks_dns());
        let dns = self.links.turn(self.now, seeks);
        if dns.is_empty() {
            return;
        }
        let found = |host| (host, Event::Found { dns: dns.clone() });
        self.pending.extend((0..self.hosts.len()).map(found));
    }

    /// Serves browsers after the nodes, so that a node's notices reach browsers in the same turn.
    fn serve_web(&mut self) {
        let wanted = self.web.as_ref().is_some_and(Web::wants_figures);
        let figures = wanted.then(|| self.figures());
        if let Some(web) = &mut self.web {
            figures
                .into_iter()
                .for_each(|figures| web.take_figures(figures));
            web.turn(self.now, self.poll.registry(), self.settings.buffers);
        }
    }

    fn figures(&self) -> LoopFigures {
        let servers = self
            .hosts
            .iter()
            .filter(|host| host.identity.address.is_some());
        let mut figures = LoopFigures {
            nodes: self.conns.len(),
            outbox_bytes: self.outbox_bytes,
            of_nodes: servers
                .map(|host| (host.identity.node, host.node.figures()))
                .collect(),
            ..LoopFigures::default()
        };
        if let Some(web) = &self.web {
            figures.browsers = web.connections();
        }
        if let Some(dns) = &self.dns {
            figures.names = dns.connections();
            (figures.names_answered, figures.names_refused) = dns.counts();
        }
        figures
    }

    /// Calls the hook for a quiet loop when it is due.
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
        // When the buffer is full, further events come with the next poll. Doubling the buffer
        // fetches them at once from then on.
        if self.fired.len() == self.events.capacity() && self.fired.len() < EVENTS_MAX {
            self.events = Events::with_capacity(2 * self.fired.len());
        }
        Ok(())
    }

    /// How long the loop may sleep; `None` is without limit.
    fn timeout(&self) -> Option<Duration> {
        let accepting = self.accept_again_at.is_none() && self.hosts.iter().any(|h| h.knocked);
        let web = self.web.as_ref();
        let dns = self.dns.as_ref();
        let busy =
            web.is_some_and(Web::is_busy) || dns.is_some_and(Dns::is_busy) || self.links.is_busy();
        let events = !self.pending.is_empty() || !self.from_clients.is_empty();
        let unread = !self.ready.is_empty() || !self.clients_ready.is_empty();
        if accepting || busy || events || unread {
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
        let deadline = earlier(deadline, self.backlog.deadline());
        let deadline = earlier(deadline, web.and_then(Web::deadline));
        let deadline = earlier(deadline, dns.and_then(Dns::deadline));
        let deadline = earlier(deadline, self.links.deadline());
        let deadline = earlier(deadline, self.accept_again_at)?;
        Some(deadline.since(self.clock.now()))
    }

    /// Delivers the pending events. Events that arise meanwhile wait for the next call, so that a
    /// node that answers every loss with an envelope cannot hold up the loop.
    fn deliver(&mut self) {
        let mut outbox = Outbox::new();
        for _ in 0..self.pending.len() {
            let Some((host, event)) = self.pending.pop_front() else {
                return;
            };
            self.handle(host, event, &mut outbox);
        }
    }

    /// Delivers what clients say for some milliseconds. However much that is, servers are heard and
    /// deadlines are kept in between.
    fn deliver_from_clients(&mut self) {
        let mut outbox = Outbox::new();
        let until = self.clock.now() + CLIENTS_HANDLED_MOST;
        for _ in 0..self.from_clients.len() {
            let Some((host, event)) = self.from_clients.pop_front() else {
                return;
            };
            self.handle(host, event, &mut outbox);
            if self.clock.now() >= until {
                return;
            }
        }
    }

    fn handle(&mut self, host: usize, event: Event, outbox: &mut Outbox) {
        if self.hosts[host].stopped {
            return;
        }
        let node = &mut self.hosts[host].node;
        node.set_clock(unix_ms());
        node.handle(self.now, event, outbox);
        while let Some(action) = outbox.pop() {
            self.perform(host, action);
        }
    }

    fn perform(&mut self, host: usize, action: Action) {
        match action {
            Action::Send { to, envelope } => self.send(host, to, envelope),
            Action::Run { job, work, toward } => self.run_job(host, job, work, toward),
            Action::Hang { peer } => self.hang(host, peer),
            Action::Meet { address, features } => self.meet(address, features),
            Action::Tell(notice) => self.tell(host, notice),
        }
    }

    fn send(&mut self, host: usize, to: Peer, envelope: Envelope) {
        let used = self.connection_for(host, to, &envelope);
        let Some(id) = used.or_else(|| self.dial(host, to)) else {
            return;
        };
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let (number, kind) = (envelope.id, envelope.kind);
        let sent = conn.link.send(self.now, envelope);
        self.touched.insert(id);
        match sent {
            // The flush at the end of the turn finds an ended link and reports its loss.
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

    /// The connection that carries an envelope to a peer, if there is one.
    fn connection_for(&self, host: usize, to: Peer, envelope: &Envelope) -> Option<ConnId> {
        let owes = |id| {
            let conn = self.conns.get(id);
            conn.is_some_and(|conn| conn.link.owes(envelope.id))
        };
        self.hosts[host].peers.carrier(to, envelope, owes)
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

    /// Retires a stopped node: queued envelopes are still sent, and the node gets no more events.
    fn retire_host(&mut self, host: usize) {
        let hosted = &mut self.hosts[host];
        hosted.stopped = true;
        hosted.knocked = false;
        hosted.listener = None;
        self.dns = self.dns.take().filter(|dns| dns.host != host);
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

    /// Writes queued bytes, once per touched connection, and drops connections that have ended.
    fn flush(&mut self) {
        for id in mem::take(&mut self.touched) {
            let Some(conn) = self.conns.get_mut(id) else {
                continue;
            };
            conn.flush(self.now, &mut self.buffers);
            let resumes = conn.stalled && !conn.is_full();
            conn.stalled &= !resumes;
            if let Some(why) = conn.link.over() {
                self.lose(id, why);
                continue;
            }
            if resumes {
                self.read_later(id);
            }
            self.recount(id);
            self.conns.arm(id);
        }
    }

    /// Updates the total of queued bytes after the connection's share has changed.
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
            Phase::Stopping { .. } => STOP_TIMEOUT, // A second request shortens the wait.
            Phase::Ending { .. } => return,
        };
        let until = self.clock.now() + within;
        self.phase = Phase::Stopping { until };
        self.links.say_goodbye(self.now);
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

/// The clock of this machine, in milliseconds since 1970. It is read anew for each event, because it
/// may be set while the loop runs.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

fn due_at(hosted: &Hosted, now: Time) -> bool {
    hosted.node.deadline().is_some_and(|at| at <= now)
}

fn refusal_letter(id: roles::contract::id::RequestId, message: Message) -> Envelope {
    Envelope {
        id,
        kind: Kind::Answer { more: false },
        message,
        body: Vec::new(),
    }
}

/// Token of the waker. A listener's token is its host's number; a connection's token has a
/// generation above 0 in its upper half. So the three kinds never collide. Sockets of browsers and of
/// DNS have one of the two highest bits set.
const BELL: Token = Token(u32::MAX as usize);

/// How long a turn handles what clients say. A control message waits for a turn at most.
const CLIENTS_HANDLED_MOST: Duration = Duration::from_millis(10);

/// Most events fetched at once.
const EVENTS_MAX: usize = 16 * 1024;

/// Most addresses whose features are remembered.
const MET_MAX: usize = 8192;

/// How long nodes may take to stop, unless the settings give more time.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the last bytes may take to be sent.
const END_TIMEOUT: Duration = Duration::from_millis(500);
