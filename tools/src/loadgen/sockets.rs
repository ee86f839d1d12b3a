//! All connections of a run on one event loop: bytes, timeouts, and what happened.
//!
//! A connection speaks the node protocol or HTTP. It belongs to an owner, a number that comes back
//! with everything that happens on it. What the events mean is the business of the driver.

mod alarm;
mod conn;
mod slots;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll};
use net::wire::hello::{Farewell, Hello};
use net::wire::link::{Link, LinkEvent};
use net::wire::seal::Scratch;
use net::{Clock, Security};
use roles::contract::message::Envelope;
use roles::contract::node::{Identity, Lost};
use roles::contract::record::Features;
use roles::contract::time::Time;

use super::answers::Piece;
use alarm::Alarm;
use conn::{Conn, Protocol, ReadEnd};
use slots::Slots;

pub(crate) use slots::ConnId;

/// What happened on a connection.
#[derive(Debug)]
pub(crate) enum Happened {
    /// The TCP connection of a page stands.
    Connected,
    /// A node has accepted the key and said who it is.
    Opened(Hello),
    /// A node has sent a whole envelope.
    Envelope(Envelope),
    /// A part of a page's answer.
    Answer(Piece),
    /// The connection is gone; its id means nothing from here on.
    Lost(Lost),
}

/// Something that happened, with the connection and its owner.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) conn: ConnId,
    pub(crate) owner: usize,
    pub(crate) happened: Happened,
}

/// The connections and their event loop.
pub(crate) struct Sockets {
    poll: Poll,
    events: Events,
    alarm: Alarm,
    clock: Clock,
    security: Arc<Security>,
    slots: Slots,
    /// The earliest deadline of each connection that has one.
    timers: BTreeSet<(Time, ConnId)>,
    /// Connections with bytes to send.
    touched: Vec<ConnId>,
    /// Connections that may hold unread bytes although no new edge will say so.
    ready: Vec<ConnId>,
    buffers: Buffers,
}

/// Buffers that all connections share.
struct Buffers {
    scratch: Scratch,
    read: Vec<u8>,
    write: Vec<u8>,
    links: Vec<LinkEvent>,
    pieces: Vec<Piece>,
}

/// How long a TCP connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a turn may read. A thousand full sockets are read in many short turns, between which
/// timers and answers are seen to.
const TURN_MOST: Duration = Duration::from_millis(5);

/// Bytes read from one connection before the others have their turn.
const READ_BYTES: usize = 256 * 1024;

impl Sockets {
    /// An empty loop. Connections to nodes are sealed as `security` says.
    pub(crate) fn new(security: Security) -> io::Result<Self> {
        let poll = Poll::new()?;
        Ok(Sockets {
            alarm: Alarm::new(poll.registry())?,
            poll,
            events: Events::with_capacity(4096),
            clock: Clock::start(),
            security: Arc::new(security),
            slots: Slots::default(),
            timers: BTreeSet::new(),
            touched: Vec::new(),
            ready: Vec::new(),
            buffers: Buffers {
                scratch: Scratch::new(),
                read: vec![0; READ_BYTES],
                write: Vec::new(),
                links: Vec::new(),
                pieces: Vec::new(),
            },
        })
    }

    /// The time of this loop.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Dials a node. `theirs` are its processor's features, as far as they are known.
    pub(crate) fn dial_node(
        &mut self,
        owner: usize,
        address: SocketAddr,
        identity: Identity,
        theirs: Option<Features>,
    ) -> io::Result<ConnId> {
        let suite = self.security.suite(identity.features, theirs);
        let link = Link::dial(self.now(), &self.security, identity, suite);
        self.dial(owner, address, Protocol::Node(Box::new(link)))
    }

    /// Dials a page.
    pub(crate) fn dial_page(&mut self, owner: usize, address: SocketAddr) -> io::Result<ConnId> {
        self.dial(owner, address, Protocol::page())
    }

    fn dial(&mut self, owner: usize, to: SocketAddr, protocol: Protocol) -> io::Result<ConnId> {
        let mut stream = TcpStream::connect(to)?;
        let id = self.slots.reserve();
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut stream, id.token(), both) {
            self.slots.remove(id);
            return Err(error);
        }
        let until = self.clock.now() + CONNECT_TIMEOUT;
        self.slots
            .put(id, Conn::new(owner, stream, protocol, until));
        self.arm(id);
        Ok(id)
    }

    /// Queues an envelope for a node. A connection that cannot take it is lost soon.
    pub(crate) fn send(&mut self, id: ConnId, envelope: Envelope) {
        let now = self.now();
        if let Some(Protocol::Node(link)) = self.slots.get(id).map(|conn| &mut conn.protocol) {
            // A full or ended link reports its own end.
            let _ = link.send(now, envelope);
            self.touched.push(id);
        }
    }

    /// Queues a request for a page.
    pub(crate) fn request(&mut self, id: ConnId, head: &str) {
        if let Some(conn) = self.slots.get(id) {
            conn.queue(head.as_bytes());
            self.touched.push(id);
        }
    }

    /// Stops reading a connection, as a browser does whose buffer is full.
    pub(crate) fn pause(&mut self, id: ConnId) {
        if let Some(conn) = self.slots.get(id) {
            conn.paused = true;
        }
    }

    /// Reads a connection again.
    pub(crate) fn resume(&mut self, id: ConnId) {
        if let Some(conn) = self.slots.get(id).filter(|conn| conn.paused) {
            conn.paused = false;
            self.ready.push(id);
        }
    }

    /// Says goodbye to a node; nothing more is reported of the connection.
    pub(crate) fn leave(&mut self, id: ConnId) {
        let now = self.now();
        if let Some(conn) = self.slots.get(id)
            && let Protocol::Node(link) = &mut conn.protocol
        {
            link.leave(now, Farewell::Closing);
        }
        self.flush_one(id);
        self.remove(id);
    }

    /// Closes a connection; nothing more is reported of it.
    pub(crate) fn close(&mut self, id: ConnId) {
        self.remove(id);
    }

    /// Sends what is queued, waits until something happens or `until` comes, and appends what
    /// happened to `out`. Returns how long it waited.
    pub(crate) fn turn(&mut self, until: Time, out: &mut Vec<Report>) -> io::Result<Duration> {
        self.flush();
        self.collect_ended(out);
        let before = self.now();
        let first = self.timers.first().map_or(until, |(at, _)| until.min(*at));
        let wait = first - before;
        let busy = !self.ready.is_empty() || !out.is_empty() || wait.is_zero();
        let timeout = if busy {
            Some(Duration::ZERO)
        } else {
            self.alarm.set(wait)?;
            None
        };
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => (),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(error) => return Err(error),
        }
        let waited = self.now() - before;
        self.collect_sockets(out);
        self.collect_timers(out);
        Ok(waited)
    }

    fn collect_sockets(&mut self, out: &mut Vec<Report>) {
        let mut fired = std::mem::take(&mut self.ready);
        let mut writable = Vec::new();
        for event in &self.events {
            let id = ConnId::of(event.token());
            if event.is_writable() || event.is_error() {
                writable.push(id);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                fired.push(id);
            }
        }
        for id in writable {
            self.on_writable(id, out);
        }
        let until = self.now() + TURN_MOST;
        for (n, id) in fired.iter().enumerate() {
            if n % 8 == 7 && self.now() >= until {
                // The others have their turn after what came so far is dealt with. Their nodes are
                // not silent meanwhile: this loop is.
                let now = self.now();
                for id in &fired[n..] {
                    if let Some(conn) = self.slots.get(*id) {
                        conn.unread(now);
                    }
                }
                return self.ready.extend(&fired[n..]);
            }
            self.read(*id, out);
        }
    }

    fn on_writable(&mut self, id: ConnId, out: &mut Vec<Report>) {
        let now = self.now();
        let Some(conn) = self.slots.get(id) else {
            return;
        };
        match conn.check_connected(now) {
            Ok(true) => {
                if matches!(conn.protocol, Protocol::Page(_)) {
                    let owner = conn.owner;
                    out.push(Report {
                        conn: id,
                        owner,
                        happened: Happened::Connected,
                    });
                }
            }
            Ok(false) => (),
            Err(why) => return self.lose(id, why, out),
        }
        self.touched.push(id);
    }

    fn read(&mut self, id: ConnId, out: &mut Vec<Report>) {
        let now = self.now();
        let Some(conn) = self.slots.get(id) else {
            return;
        };
        if conn.is_connecting() || conn.paused {
            return;
        }
        let owner = conn.owner;
        let end = conn.read(now, &mut self.buffers);
        let report = |happened| Report {
            conn: id,
            owner,
            happened,
        };
        let links = self.buffers.links.drain(..).map(|event| match event {
            LinkEvent::Opened(hello) => Happened::Opened(hello),
            LinkEvent::Envelope(envelope) => Happened::Envelope(envelope),
        });
        out.extend(links.map(report));
        let pieces = self.buffers.pieces.drain(..).map(Happened::Answer);
        out.extend(pieces.map(report));
        match end {
            ReadEnd::Drained => (),
            ReadEnd::Budget => self.ready.push(id),
            ReadEnd::Over(why) => return self.lose(id, why, out),
        }
        self.touched.push(id); // An acknowledgement or a grant may be due.
    }

    fn collect_timers(&mut self, out: &mut Vec<Report>) {
        let now = self.now();
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            let Some(conn) = self.slots.get(id) else {
                continue;
            };
            conn.armed = None;
            match conn.on_tick(now) {
                Some(why) => self.lose(id, why, out),
                None => self.touched.push(id),
            }
        }
    }

    /// Flushes every touched connection and arms its timer again.
    fn flush(&mut self) {
        let touched = std::mem::take(&mut self.touched);
        for id in &touched {
            self.flush_one(*id);
            self.arm(*id);
        }
        if self.touched.is_empty() {
            self.touched = touched;
            self.touched.clear();
        }
    }

    fn flush_one(&mut self, id: ConnId) {
        let now = self.now();
        if let Some(conn) = self.slots.get(id) {
            conn.flush(now, &mut self.buffers);
            if conn.over().is_some() {
                // Picked up before the loop waits: the driver may be in the middle of its work.
                self.ready.push(id);
            }
        }
    }

    /// Reports connections that ended while they were written to.
    fn collect_ended(&mut self, out: &mut Vec<Report>) {
        let ready = std::mem::take(&mut self.ready);
        for id in ready {
            match self.slots.get(id).map(|conn| conn.over()) {
                Some(Some(why)) => self.lose(id, why, out),
                Some(None) => self.ready.push(id),
                None => (),
            }
        }
    }

    fn lose(&mut self, id: ConnId, why: Lost, out: &mut Vec<Report>) {
        let Some(conn) = self.slots.get(id) else {
            return;
        };
        let owner = conn.owner;
        self.remove(id);
        out.push(Report {
            conn: id,
            owner,
            happened: Happened::Lost(why),
        });
    }

    fn remove(&mut self, id: ConnId) {
        let Some(mut conn) = self.slots.remove(id) else {
            return;
        };
        if let Some(at) = conn.armed {
            self.timers.remove(&(at, id));
        }
        // Closing the socket also ends its registration; the explicit call is only tidier.
        let _ = self.poll.registry().deregister(&mut conn.stream);
    }

    fn arm(&mut self, id: ConnId) {
        let Some(conn) = self.slots.get(id) else {
            return;
        };
        let due = conn.deadline();
        if due == conn.armed {
            return;
        }
        if let Some(at) = conn.armed.take() {
            self.timers.remove(&(at, id));
        }
        conn.armed = due;
        if let Some(at) = due {
            self.timers.insert((at, id));
        }
    }
}
