//! HTTP on the loop: moves bytes between sockets, HTTP connections and the site.
//!
//! Owns the sockets of browsers. They have their own bound, separate from the nodes' connections,
//! so neither can starve the other. A socket is read while its connection has space and written
//! while the site has bytes, in bounded pieces per turn.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::time::Duration;

use log::{debug, warn};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use roles::contract::repeats::Repeats;
use roles::contract::time::Time;
use roles::contract::timers::earlier;
use socket2::SockRef;

use super::Fired;
use super::accept_errors::{is_about_descriptors, is_about_newcomer};
use crate::dial::{self, Listener, SocketBuffers};
use crate::http::connection::{Connection, Ending, Event};
use crate::http::places::{self, Use};
use crate::http::site::{Act, Body, Exchange, Heard, LoopFigures, Site};

/// Connections accepted per turn.
const ACCEPTS_PER_TURN: usize = 32;

/// Pieces of 64 kB moved per socket and turn: fairness against system calls.
const STEPS_PER_TURN: usize = 16;

/// Bytes read or written by one call.
const PIECE_BYTES: usize = 64 * 1024;

/// The kernel's send buffer for one browser. By default the kernel takes megabytes for each paused
/// listener; this is enough for any home network, and two hundred of them are small.
const SEND_BYTES: usize = 128 * 1024;

/// How long accepting pauses when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a new connection is not taken for an idle one.
const FIRST_REQUEST_TIME: Duration = Duration::from_secs(2);

/// Tokens of browsers' sockets have the highest bit set. A node's connection never has it, because
/// no slot is reused two billion times.
const WEB: usize = 1 << 63;

/// Token of the listener for browsers.
const KNOCK: Token = Token(WEB);

/// A site, its listener and its connections.
pub(super) struct Web {
    site: Box<dyn Site>,
    /// Most connections of browsers.
    places: usize,
    listener: Option<Listener>,
    knocked: bool,
    accept_again_at: Option<Time>,
    accept_faults: Repeats,
    sockets: BTreeMap<u64, Socket>,
    /// The number of the latest connection. Numbers are not reused.
    latest: u64,
    timers: BTreeSet<(Time, u64)>,
    /// Connections that need work in this turn.
    ready: BTreeSet<u64>,
    acts: Vec<Act>,
    buffer: Box<[u8]>,
}

struct Socket {
    stream: TcpStream,
    from: IpAddr,
    http: Connection,
    /// The number of the latest request on this connection.
    requests: u64,
    armed: Option<Time>,
    readable: bool,
    writable: bool,
    /// Whether the write side has been closed.
    shut: bool,
}

impl Socket {
    fn does(&self, now: Time) -> Use {
        let moved_at = self.http.moved_at();
        if self.http.is_idle() {
            // The first request of a newcomer is on its way: older stalls go before it.
            let newcomer = self.requests == 0 && now < moved_at + FIRST_REQUEST_TIME;
            return match newcomer {
                true => Use::Stalled(moved_at),
                false => Use::Idle(moved_at),
            };
        }
        let stall = self.http.stalled_since().map(Use::Stalled);
        stall.unwrap_or(Use::Moves(moved_at))
    }
}

impl Web {
    pub(super) fn new(
        mut listener: Listener,
        site: Box<dyn Site>,
        places: usize,
        registry: &Registry,
    ) -> io::Result<Self> {
        registry.register(&mut listener.socket, KNOCK, Interest::READABLE)?;
        Ok(Web {
            site,
            places,
            listener: Some(listener),
            knocked: true,
            accept_again_at: None,
            accept_faults: Repeats::default(),
            sockets: BTreeMap::new(),
            latest: 0,
            timers: BTreeSet::new(),
            ready: BTreeSet::new(),
            acts: Vec::new(),
            buffer: vec![0; PIECE_BYTES].into(),
        })
    }

    /// Whether a token belongs to this module's sockets.
    pub(super) fn owns(token: Token) -> bool {
        token.0 & WEB != 0
    }

    pub(super) fn on_fired(&mut self, event: Fired) {
        if event.token == KNOCK {
            self.knocked = true;
            return;
        }
        let number = (event.token.0 & !WEB) as u64;
        if let Some(socket) = self.sockets.get_mut(&number) {
            socket.readable |= event.readable || event.read_closed;
            socket.writable |= event.writable;
            if event.broken {
                socket.http.abort();
            }
            self.ready.insert(number);
        }
    }

    /// Does a bounded share of all pending work.
    pub(super) fn turn(&mut self, now: Time, registry: &Registry, buffers: SocketBuffers) {
        self.accept(now, registry, buffers);
        self.site.attend(now, &mut self.acts);
        self.act(now);
        self.tick(now);
        for number in std::mem::take(&mut self.ready) {
            self.work(now, number, registry);
        }
    }

    /// Whether the site waits for the figures of the loop.
    pub(super) fn wants_figures(&self) -> bool {
        self.site.wants_figures()
    }

    pub(super) fn take_figures(&mut self, figures: LoopFigures) {
        self.site.take_figures(figures);
    }

    pub(super) fn connections(&self) -> usize {
        self.sockets.len()
    }

    /// Whether the next turn must start without a wait.
    pub(super) fn is_busy(&self) -> bool {
        !self.ready.is_empty() || (self.knocked && self.accept_again_at.is_none())
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let timer = self.timers.first().map(|(at, _)| *at);
        earlier(earlier(timer, self.site.deadline()), self.accept_again_at)
    }

    fn accept(&mut self, now: Time, registry: &Registry, buffers: SocketBuffers) {
        if self.accept_again_at.is_some_and(|at| at > now) {
            return;
        }
        self.accept_again_at = None;
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = self.listener.as_ref().filter(|_| self.knocked) else {
                return;
            };
            match listener.socket.accept() {
                Ok((stream, from)) => {
                    if let Err(error) = self.welcome(now, stream, from.ip(), registry, buffers) {
                        debug!("browser dropped from={from}: {error}");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.knocked = false,
                Err(error) if is_about_newcomer(&error) => (),
                Err(error)
                    if is_about_descriptors(&error) && self.make_room(now, None, registry) => {}
                Err(error) => {
                    if let Some(times) = self.accept_faults.note(now) {
                        warn!("web accept paused times={times}: {error}");
                    }
                    self.accept_again_at = Some(now + ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    fn welcome(
        &mut self,
        now: Time,
        mut stream: TcpStream,
        from: IpAddr,
        registry: &Registry,
        buffers: SocketBuffers,
    ) -> io::Result<()> {
        let full = self.sockets.len() >= self.places;
        if full && !self.make_room(now, Some(from), registry) {
            return Err(io::Error::other("all connections are in use"));
        }
        let buffers = SocketBuffers {
            send: buffers.send.or(Some(SEND_BYTES)),
            ..buffers
        };
        dial::tune(&SockRef::from(&stream), buffers)?;
        self.latest += 1;
        let token = Token(WEB | self.latest as usize);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let socket = Socket {
            stream,
            from,
            http: Connection::new(now),
            requests: 0,
            armed: None,
            readable: true,
            writable: true,
            shut: false,
        };
        self.sockets.insert(self.latest, socket);
        self.ready.insert(self.latest);
        Ok(())
    }

    /// Closes the connection that is worth least; false when none is worth less than another. `from`
    /// is the address of the newcomer, if it is a browser.
    pub(super) fn make_room(
        &mut self,
        now: Time,
        from: Option<IpAddr>,
        registry: &Registry,
    ) -> bool {
        let browser = |(number, socket): (&u64, &Socket)| (*number, socket.from, socket.does(now));
        let browsers: Vec<_> = self.sockets.iter().map(browser).collect();
        let Some(number) = places::first_to_go(&browsers, self.places, from) else {
            return false;
        };
        self.close(now, number, registry);
        true
    }

    /// Carries out the site's orders. An order for an exchange that is over is dropped.
    fn act(&mut self, now: Time) {
        while let Some(act) = self.acts.pop() {
            let (Act::Answer { exchange, .. } | Act::Wake { exchange } | Act::Cut { exchange }) =
                act;
            let socket = self.sockets.get_mut(&exchange.connection);
            let Some(socket) = socket.filter(|socket| socket.requests == exchange.number) else {
                continue;
            };
            match act {
                Act::Answer { head, .. } => socket.http.answer(now, &head),
                Act::Wake { .. } => (),
                Act::Cut { .. } => socket.http.abort(),
            }
            self.ready.insert(exchange.connection);
        }
    }

    fn tick(&mut self, now: Time) {
        while let Some((at, number)) = self.timers.first().copied() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            if let Some(socket) = self.sockets.get_mut(&number) {
                socket.armed = None;
                socket.http.on_tick(now);
                self.ready.insert(number);
            }
        }
    }

    /// Reads, passes on and writes until nothing is left, or until the turn's share is used up.
    fn work(&mut self, now: Time, number: u64, registry: &Registry) {
        for step in 0..=STEPS_PER_TURN {
            let moved = self.read(now, number) | self.tell(now, number) | self.write(now, number);
            if !moved {
                break;
            }
            if step == STEPS_PER_TURN {
                self.ready.insert(number);
            }
        }
        let Some(socket) = self.sockets.get_mut(&number) else {
            return;
        };
        match socket.http.ending() {
            Ending::None => self.arm(number),
            Ending::Over => self.close(now, number, registry),
            Ending::Lingers => {
                if !std::mem::replace(&mut socket.shut, true) {
                    // A peer that is gone makes the shutdown fail; nothing depends on it.
                    let _ = socket.stream.shutdown(Shutdown::Write);
                }
                self.arm(number);
            }
        }
    }

    fn arm(&mut self, number: u64) {
        let Some(socket) = self.sockets.get_mut(&number) else {
            return;
        };
        let due = socket.http.deadline();
        if due == socket.armed {
            return;
        }
        if let Some(at) = std::mem::replace(&mut socket.armed, due) {
            self.timers.remove(&(at, number));
        }
        self.timers.extend(due.map(|at| (at, number)));
    }

    fn close(&mut self, now: Time, number: u64, registry: &Registry) {
        if let Some(socket) = self.sockets.get_mut(&number) {
            socket.http.abort();
        }
        self.tell(now, number);
        self.ready.remove(&number);
        if let Some(mut socket) = self.sockets.remove(&number) {
            if let Some(at) = socket.armed {
                self.timers.remove(&(at, number));
            }
            // Closing the socket also ends its registration; the explicit call is only tidier.
            let _ = registry.deregister(&mut socket.stream);
        }
    }

    fn read(&mut self, now: Time, number: u64) -> bool {
        let Some(socket) = self.sockets.get_mut(&number) else {
            return false;
        };
        let room = socket.http.room().min(self.buffer.len());
        if !socket.readable || room == 0 {
            return false;
        }
        match socket.stream.read(&mut self.buffer[..room]) {
            Ok(0) => {
                socket.readable = false;
                socket.http.on_input_end();
            }
            Ok(n) => socket.http.receive(now, &self.buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.readable = false;
                return false;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(_) => {
                socket.readable = false;
                socket.http.abort();
            }
        }
        true
    }

    /// Passes the connection's events to the site; returns whether there were any.
    fn tell(&mut self, now: Time, number: u64) -> bool {
        let mut told = false;
        while let Some(socket) = self.sockets.get_mut(&number) {
            let mut exchange = Exchange {
                connection: number,
                number: socket.requests,
            };
            let wants_body = self.site.wants_body(exchange);
            let Some(event) = socket.http.next(now, wants_body) else {
                break;
            };
            let heard = match event {
                Event::Request(request) => {
                    socket.requests += 1;
                    exchange.number += 1;
                    Heard::Request(request)
                }
                Event::Body(bytes) => Heard::Body(bytes),
                Event::BodyEnd => Heard::BodyEnd,
                Event::Answered => Heard::Answered,
                Event::Aborted => Heard::Aborted,
            };
            self.site.hear(now, exchange, heard, &mut self.acts);
            self.act(now);
            told = true;
        }
        told
    }

    fn write(&mut self, now: Time, number: u64) -> bool {
        let Some(socket) = self.sockets.get_mut(&number) else {
            return false;
        };
        if !socket.writable {
            return false;
        }
        let exchange = Exchange {
            connection: number,
            number: socket.requests,
        };
        let wanted = socket.http.body_wanted().min(PIECE_BYTES as u64) as usize;
        let body: &[u8] = match wanted {
            0 => &[],
            _ => match self.site.body(exchange) {
                Body::Bytes(bytes) => &bytes[..bytes.len().min(wanted)],
                Body::Later => &[],
                Body::End => {
                    socket.http.end_body();
                    &[]
                }
            },
        };
        let out = socket.http.out();
        if out.is_empty() && body.is_empty() {
            socket.http.on_all_taken();
            return false;
        }
        let head = out.len();
        let slices = [IoSlice::new(out), IoSlice::new(body)];
        match socket.stream.write_vectored(&slices) {
            Ok(written) => {
                let taken = written.saturating_sub(head);
                socket.http.on_written(now, written.min(head), taken);
                if taken > 0 {
                    let heard = Heard::Taken(taken);
                    self.site.hear(now, exchange, heard, &mut self.acts);
                    self.act(now);
                }
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.writable = false;
                socket.http.on_blocked(now);
                false
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(_) => {
                socket.http.abort();
                true
            }
        }
    }
}
