//! The connections between nodes: dials, duplicates, replacement and loss.
//!
//! The rules stand in [`peering`](crate::peering); here they are applied to sockets, links and
//! nodes.

use log::{debug, warn};
use roles::contract::job::JobFault;
use roles::contract::node::{Event, Lost, Peer};
use roles::contract::record::Address;
use socket2::SockRef;
use std::time::Duration;

use super::Reactor;
use crate::conn::{Conn, Side};
use crate::conns::ConnId;
use crate::dial;
use crate::dial::why_not_connected;
use crate::peering::backoff;
use crate::peering::connections::Start;
use crate::wire::hello::{Farewell, Hello};
use crate::wire::link::Link;

/// Refused handshakes are logged at most this often.
const REFUSALS_EVERY: Duration = Duration::from_secs(10);

impl Reactor {
    /// Starts a dial to a peer. When the dial cannot start, the peer is reported lost at once.
    pub(super) fn dial(&mut self, host: usize, peer: Peer) -> Option<ConnId> {
        // A guest has no address, so a guest that is gone cannot be dialled: the envelope is
        // dropped.
        let Peer::Node(address) = peer else {
            return None;
        };
        match self.try_dial(host, address) {
            Ok(id) => Some(id),
            Err(why) => {
                let lost = (host, Event::Lost { peer, why });
                match peer {
                    Peer::Node(_) => self.pending.push_back(lost),
                    // Behind what the client has said: nothing comes from it after its loss.
                    Peer::Guest(_) => self.from_clients.push_back(lost),
                }
                None
            }
        }
    }

    fn try_dial(&mut self, host: usize, address: Address) -> Result<ConnId, Lost> {
        if self.backoffs.holds(address, self.now) {
            return Err(Lost::Backoff);
        }
        if !self.make_room() {
            return Err(Lost::Full);
        }
        let hosted = &self.hosts[host];
        let identity = hosted.identity;
        let connected = dial::connect(address, hosted.bind_from, self.settings.buffers);
        let stream = connected.map_err(|error| {
            debug!("dial failed to={address}: {error}");
            self.backoffs.failed(address, self.now, &mut self.rng);
            why_not_connected(&error)
        })?;
        let theirs = self.met.get(&address).copied();
        let suite = self.security.suite(identity.features, theirs);
        let link = Link::dial(self.now, &self.security, identity, suite);
        let conn = Conn::new(host, Side::Dialled(address), stream, link, self.now);
        let id = self.enter(conn).ok_or(Lost::Full)?;
        debug!("dial to={address} suite={suite:?}");
        self.hosts[host].peers.dialled(Peer::Node(address), id);
        Ok(id)
    }

    /// Handles the peer's hello: names the peer and decides whether the connection is used.
    pub(super) fn on_opened(&mut self, id: ConnId, hello: &Hello) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        self.newcomers.left(id);
        let (host, side) = (conn.host, conn.side);
        conn.who = Some(hello.identity);
        if hello.identity.node == self.hosts[host].identity.node {
            debug!("connection to oneself refused");
            return self.leave(id, Farewell::Oneself, Some(Lost::Misbehaved));
        }
        let start = (hello.identity.node, hello.identity.incarnation);
        if self.hosts[host].peers.is_outdated(start) {
            debug!("old start of {} refused", hello.identity.node);
            return self.leave(id, Farewell::Outdated, Some(Lost::Closed));
        }
        for outdated in self.hosts[host].peers.outdated_by(start) {
            self.leave(outdated, Farewell::Outdated, Some(Lost::Closed));
        }
        if let Some(address) = hello.identity.address {
            self.meet(address, hello.identity.features);
        }
        let peer = self.name(side, hello);
        debug!("connection open peer={peer} node={:?}", hello.identity.node);
        self.choose(id, host, peer, start);
    }

    fn name(&mut self, side: Side, hello: &Hello) -> Peer {
        match (side, hello.identity.address) {
            (Side::Dialled(address), _) => {
                self.meet(address, hello.identity.features);
                self.backoffs.succeeded(address);
                Peer::Node(address)
            }
            (Side::Accepted(_), Some(address)) => {
                self.backoffs.succeeded(address);
                Peer::Node(address)
            }
            (Side::Accepted(_), None) => {
                self.guests += 1;
                Peer::Guest(self.guests)
            }
        }
    }

    /// Names the peer of an open connection and retires the connections that it does not use.
    fn choose(&mut self, id: ConnId, host: usize, peer: Peer, who: Start) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        conn.peer = Some(peer);
        let dialled_by = match conn.side {
            Side::Dialled(_) => self.hosts[host].identity.node,
            Side::Accepted(_) => who.0,
        };
        for other in self.hosts[host].peers.opened(peer, id, who, dialled_by) {
            self.retire(other);
        }
    }

    fn retire(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.link.retire();
            self.touched.insert(id);
        }
    }

    /// Closes all connections with a peer in order and reports no loss to the node.
    pub(super) fn hang(&mut self, host: usize, peer: Peer) {
        for id in self.hosts[host].peers.with(peer) {
            self.leave(id, Farewell::Closing, None);
        }
    }

    /// Says goodbye and detaches the connection from its peer. When the connection was the peer's
    /// last in use, the node is told `lost`.
    pub(super) fn leave(&mut self, id: ConnId, farewell: Farewell, lost: Option<Lost>) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let connecting = conn.link.is_connecting();
        if let (Side::Dialled(address), Some(_)) = (conn.side, lost) {
            self.backoffs.failed(address, self.now, &mut self.rng);
        }
        conn.link.leave(self.now, farewell);
        self.detach(id, lost);
        if connecting {
            return self.lose(id, Lost::Closed);
        }
        self.touched.insert(id);
    }

    /// Detaches a connection from its peer. With its last connection in use, the peer is forgotten.
    fn detach(&mut self, id: ConnId, lost: Option<Lost>) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let (host, Some(peer)) = (conn.host, conn.peer.take()) else {
            return;
        };
        if let Some(retired) = self.hosts[host].peers.closed(peer, id) {
            self.forget(host, peer, retired, lost);
        }
    }

    fn forget(&mut self, host: usize, peer: Peer, retired: Vec<ConnId>, lost: Option<Lost>) {
        let parked = self.backlog.remove((host, peer));
        // Replaced connections end together with the connection that replaced them.
        for id in retired {
            self.leave(id, Farewell::Closing, None);
        }
        for (job, _) in parked {
            self.fail(host, job, JobFault::Abandoned);
        }
        if let Some(why) = lost {
            debug!("peer lost peer={peer} why={why:?}");
            let lost = (host, Event::Lost { peer, why });
            match peer {
                Peer::Node(_) => self.pending.push_back(lost),
                // Behind what the client has said: nothing comes from it after its loss.
                Peer::Guest(_) => self.from_clients.push_back(lost),
            }
        }
    }

    /// Removes a connection that has ended, and sends its unsent envelopes over another one.
    pub(super) fn lose(&mut self, id: ConnId, why: Lost) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let (host, peer, greeting) = (conn.host, conn.peer, conn.who.is_none());
        let waiting = if greeting {
            conn.link.take_waiting()
        } else {
            Vec::new()
        };
        match conn.side {
            // Without a peer, this node has ended the connection itself, so no backoff is due.
            Side::Dialled(address) if peer.is_some() && backoff::is_failed_dial(!greeting, why) => {
                self.backoffs.failed(address, self.now, &mut self.rng);
            }
            Side::Accepted(from) if why == Lost::HandshakeRefused => self.note_refusal(from),
            Side::Dialled(_) | Side::Accepted(_) => (),
        }
        self.detach(id, Some(why));
        self.touched.remove(&id);
        self.newcomers.left(id);
        if let Some(mut conn) = self.conns.remove(id) {
            self.outbox_bytes -= conn.counted;
            if conn.is_stranger() {
                dial::reset_on_close(&SockRef::from(&conn.stream));
            }
            // Closing the socket also ends its registration; the explicit call is only tidier.
            let _ = self.poll.registry().deregister(&mut conn.stream);
        }
        // The peer has another connection, so the envelopes queued on this one are sent there.
        if let Some(peer) = peer.filter(|peer| self.hosts[host].peers.knows(*peer)) {
            for envelope in waiting {
                self.send(host, peer, envelope);
            }
        }
    }

    fn note_refusal(&mut self, from: std::net::SocketAddr) {
        self.refusals.count += 1;
        if self.refusals.quiet_until > self.now {
            return;
        }
        let count = std::mem::take(&mut self.refusals.count);
        warn!("handshake refused from={from} count={count}: another key, cluster or version");
        self.refusals.quiet_until = self.now + REFUSALS_EVERY;
    }
}
