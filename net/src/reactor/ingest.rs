//! Input of the loop: commands, new connections and bytes.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::time::Duration;

use log::{debug, warn};
use mio::Interest;
use mio::net::TcpStream;
use roles::contract::node::{Event, Lost, Peer, Sender};
use socket2::SockRef;

use super::accept_errors::{is_about_descriptors, is_about_newcomer};
use super::dns::Dns;
use super::mdns::Links;
use super::web::Web;
use super::{BELL, Fired, Reactor};
use crate::conn::{Conn, ReadEnd, Side};
use crate::conns::ConnId;
use crate::dial;
use crate::dial::why_not_connected;
use crate::wire::hello::Farewell;
use crate::wire::link::{Link, LinkEvent};

/// Connections accepted per turn and listener.
const ACCEPTS_PER_TURN: usize = 64;

/// Commands taken per turn and host.
const COMMANDS_PER_TURN: usize = 256;

/// How long a turn reads clients. A thousand that all send are read in many short turns, between
/// which servers are heard and deadlines are kept.
const CLIENTS_READ_MOST: Duration = Duration::from_millis(5);

/// Questions of clients that may wait on the loop while more are read. What one read brings comes
/// on top: some thousands.
const FROM_CLIENTS_MAX: usize = 1024;

/// How long accepting pauses when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Reactor {
    /// Takes queued commands of all hosts, a bounded number of each.
    pub(super) fn collect_commands(&mut self) {
        let mut more = false;
        for (number, host) in self.hosts.iter().enumerate() {
            let commands = host.commands.try_iter().take(COMMANDS_PER_TURN);
            let before = self.pending.len();
            self.pending
                .extend(commands.map(|c| (number, Event::User(*c))));
            more |= self.pending.len() - before == COMMANDS_PER_TURN;
        }
        if more {
            self.loop_waker.ring();
        }
    }

    /// Handles every socket that is ready or has bytes left from an earlier turn: those of servers
    /// and newcomers all, then those of clients as far as there is time.
    pub(super) fn collect_sockets(&mut self) {
        let ready = mem::take(&mut self.ready);
        let fired = mem::take(&mut self.fired);
        for event in &fired {
            self.on_fired(*event);
        }
        for id in ready {
            self.read(id);
        }
        self.fired = fired;
        self.accept_newcomers();
        self.read_clients();
    }

    /// Reads clients in turn. While their questions wait to be handled no more are read, and no
    /// client is read twice, so that the rest of the turn comes soon.
    fn read_clients(&mut self) {
        let until = self.clock.now() + CLIENTS_READ_MOST;
        for _ in 0..self.clients_ready.len() {
            if self.from_clients.len() >= FROM_CLIENTS_MAX || self.clock.now() >= until {
                return;
            }
            if let Some(id) = self.clients_ready.pop_front() {
                self.read(id);
            }
        }
    }

    /// Puts a connection on the list of those that are still to be read.
    pub(super) fn read_later(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id).filter(|conn| !conn.unread) else {
            return;
        };
        conn.unread = true;
        if conn.is_client() {
            self.clients_ready.push_back(id);
        } else {
            self.ready.push(id);
        }
    }

    fn on_fired(&mut self, event: Fired) {
        if event.token == BELL {
            return;
        }
        if Web::owns(event.token) {
            return self.web.iter_mut().for_each(|web| web.on_fired(event));
        }
        if Links::owns(event.token) {
            return self.links.on_fired(event);
        }
        if Dns::owns(event.token) {
            return self.dns.iter_mut().for_each(|dns| dns.on_fired(event));
        }
        if let Some(host) = self.hosts.get_mut(event.token.0) {
            host.knocked = host.listener.is_some();
            return;
        }
        let id = ConnId::from_token(event.token);
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if conn.link.is_connecting() {
            match conn.check_connected(self.now) {
                Ok(true) => (),
                Ok(false) => return,
                Err(error) => return self.lose(id, why_not_connected(&error)),
            }
        }
        conn.read_closed |= event.read_closed;
        if event.writable {
            self.touched.insert(id);
        }
        if !event.readable && !event.read_closed {
            return;
        }
        if conn.is_client() {
            self.read_later(id);
        } else {
            self.read(id);
        }
    }

    fn read(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        conn.unread = false;
        if conn.is_full() {
            conn.stalled = true;
            return;
        }
        let mut events = mem::take(&mut self.link_events);
        let budget = self.settings.read_budget_bytes;
        let end = conn.read(self.now, &mut self.buffers, &mut events, budget);
        let over = conn.link.over();
        if conn.link.is_greeting() && conn.link.is_proven() {
            self.newcomers.proved(id);
        }
        if end == ReadEnd::Budget && over.is_none() {
            self.read_later(id);
        }
        self.touched.insert(id);
        for event in events.drain(..) {
            self.on_link_event(id, event);
        }
        self.link_events = events;
        if let Some(why) = over {
            self.lose(id, why);
        }
    }

    fn on_link_event(&mut self, id: ConnId, event: LinkEvent) {
        match event {
            LinkEvent::Opened(hello) => self.on_opened(id, &hello),
            LinkEvent::Envelope(envelope) => {
                // Without a peer, the connection was refused after these bytes had arrived.
                let Some((host, from)) = self.sender(id) else {
                    return;
                };
                let event = Event::Message { from, envelope };
                match from.peer {
                    Peer::Node(_) => self.pending.push_back((host, event)),
                    Peer::Guest(_) => self.from_clients.push_back((host, event)),
                }
            }
        }
    }

    fn sender(&self, id: ConnId) -> Option<(usize, Sender)> {
        let conn = self.conns.get(id)?;
        let from = Sender {
            peer: conn.peer?,
            node: conn.who?.node,
            incarnation: conn.who?.incarnation,
        };
        Some((conn.host, from))
    }

    fn accept_newcomers(&mut self) {
        if self.accept_again_at.is_some_and(|at| at > self.now) {
            return;
        }
        self.accept_again_at = None;
        for host in 0..self.hosts.len() {
            let mut left = ACCEPTS_PER_TURN;
            while left > 0 && self.hosts[host].knocked && self.accept_again_at.is_none() {
                self.accept_one(host);
                left -= 1;
            }
        }
    }

    fn accept_one(&mut self, host: usize) {
        let hosted = &mut self.hosts[host];
        let Some(listener) = &hosted.listener else {
            hosted.knocked = false;
            return;
        };
        match listener.socket.accept() {
            Ok((stream, from)) => self.welcome(host, stream, from),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => hosted.knocked = false,
            Err(error) if is_about_newcomer(&error) => (),
            Err(error) if is_about_descriptors(&error) && self.free_descriptor() => (),
            Err(error) => {
                // The refused connection is still in the kernel's queue, so an immediate retry
                // would spin.
                if let Some(times) = self.accept_faults.note(self.now) {
                    warn!("accept paused times={times}: {error}");
                }
                self.accept_again_at = Some(self.now + ACCEPT_PAUSE);
            }
        }
    }

    fn welcome(&mut self, host: usize, stream: TcpStream, from: SocketAddr) {
        if let Some(other) = self.newcomers.in_the_way_of(from.ip()) {
            debug!("handshake given up for a newcomer from={from}");
            self.give_up(other);
        }
        if let Err(error) = dial::tune(&SockRef::from(&stream), self.settings.buffers) {
            debug!("newcomer dropped from={from}: {error}");
            return;
        }
        let link = Link::accept(self.now, &self.security, self.hosts[host].identity);
        let conn = Conn::new(host, Side::Accepted(from), stream, link, self.now);
        if !self.make_room() {
            debug!("newcomer refused, all connections are in use from={from}");
            return self.refuse(conn);
        }
        if let Some(id) = self.enter(conn) {
            self.newcomers.arrived(id, from.ip());
            // An honest opening has usually arrived already. Then no later newcomer displaces it.
            self.read(id);
        }
    }

    /// Whether one more connection fits, after closing the least useful one if need be.
    pub(super) fn make_room(&mut self) -> bool {
        if self.conns.len() < self.settings.connections_max {
            return true;
        }
        let newcomer = self.newcomers.first_to_go();
        let Some(id) = newcomer.or_else(|| self.conns.idlest_guest()) else {
            return false;
        };
        debug!("connection given up for another");
        self.give_up(id);
        true
    }

    /// Closes a connection for another. A peer that holds the key is told why, so that it does not
    /// take the close for a refusal of its key.
    fn give_up(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id)
            && conn.link.is_proven()
        {
            conn.link.leave(self.now, Farewell::Full);
            conn.flush(self.now, &mut self.buffers);
        }
        self.lose(id, Lost::Full);
    }

    /// Tells a newcomer for which there is no place why it is refused, if its opening is there and was
    /// made under the key. Another gets no byte.
    fn refuse(&mut self, mut conn: Conn) {
        let mut events = mem::take(&mut self.link_events);
        let budget = self.settings.read_budget_bytes;
        conn.read(self.now, &mut self.buffers, &mut events, budget);
        events.clear();
        self.link_events = events;
        if conn.is_stranger() {
            return dial::reset_on_close(&SockRef::from(&conn.stream));
        }
        conn.link.leave(self.now, Farewell::Full);
        conn.flush(self.now, &mut self.buffers);
    }

    /// Closes a connection so that its file descriptor can be used for another: a newcomer that has
    /// proven nothing, then one that asks for names, then a browser, then a guest that is idle.
    fn free_descriptor(&mut self) -> bool {
        if let Some(id) = self.newcomers.first_to_go() {
            self.give_up(id);
            return true;
        }
        let (now, registry) = (self.now, self.poll.registry());
        let dns = self.dns.as_mut();
        if dns.is_some_and(|dns| dns.make_room(None, registry)) {
            return true;
        }
        let web = self.web.as_mut();
        if web.is_some_and(|web| web.make_room(now, None, registry)) {
            return true;
        }
        let Some(id) = self.conns.idlest_guest() else {
            return false;
        };
        self.give_up(id);
        true
    }

    /// Registers a connection with the poll, once for both directions.
    pub(super) fn enter(&mut self, mut conn: Conn) -> Option<ConnId> {
        let id = self.conns.next_id();
        let interests = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        if let Err(error) = registry.register(&mut conn.stream, id.token(), interests) {
            warn!("connection cannot be watched: {error}");
            return None;
        }
        self.conns.insert(conn);
        self.touched.insert(id);
        Some(id)
    }
}
