//! The connections between nodes: dials, duplicates, replacement and loss.
//!
//! Two nodes that dial each other at the same moment have two connections. Both ends keep the one
//! that the node with the lower [`NodeId`] dialled. They ask nothing more on the other and close it
//! when nothing is open on it. A peer counts as lost when its last connection in use is gone.

use log::{debug, warn};
use roles::contract::id::NodeId;
use roles::contract::job::JobFault;
use roles::contract::node::{Event, Lost, Peer};
use roles::contract::record::Address;
use std::time::Duration;

use super::{Reactor, why_not_connected};
use crate::conn::{Conn, Side};
use crate::conns::ConnId;
use crate::dial::{self, CONNECT_TIMEOUT};
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
                self.pending.push_back((host, Event::Lost { peer, why }));
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
        let mut conn = Conn::new(host, Side::Dialled(address), stream, link, self.now);
        conn.connecting_until = Some(self.now + CONNECT_TIMEOUT);
        let id = self.enter(conn).ok_or(Lost::Full)?;
        debug!("dial to={address} suite={suite:?}");
        let peers = &mut self.hosts[host].peers;
        peers.entry(Peer::Node(address)).or_default().conns.push(id);
        Ok(id)
    }

    /// Handles the peer's hello: names the peer and decides whether the connection is used.
    pub(super) fn on_opened(&mut self, id: ConnId, hello: &Hello) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let (host, side) = (conn.host, conn.side);
        conn.who = Some(hello.identity);
        if hello.identity.node == self.hosts[host].identity.node {
            debug!("connection to oneself refused");
            return self.leave(id, Farewell::Oneself, Some(Lost::Misbehaved));
        }
        if self.is_outdated(id, host, hello) {
            debug!("old start of {} refused", hello.identity.node);
            return self.leave(id, Farewell::Outdated, Some(Lost::Closed));
        }
        if let Some(address) = hello.identity.address {
            self.meet(address, hello.identity.features);
        }
        let peer = self.name(side, hello);
        debug!("connection open peer={peer} node={:?}", hello.identity.node);
        self.choose(id, host, peer);
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

    /// Whether a later incarnation of the same node is connected. Connections of earlier
    /// incarnations are closed.
    fn is_outdated(&mut self, id: ConnId, host: usize, hello: &Hello) -> bool {
        let start = hello.identity.incarnation;
        let others = self.conns.iter().filter(|(other, _)| *other != id);
        let same = others.filter_map(|(other, conn)| {
            let who = conn
                .who
                .filter(|_| conn.host == host && conn.peer.is_some())?;
            (who.node == hello.identity.node).then_some((other, who.incarnation))
        });
        let same: Vec<_> = same.collect();
        if same.iter().any(|(_, theirs)| *theirs > start) {
            return true;
        }
        for (other, theirs) in same {
            if theirs < start {
                self.leave(other, Farewell::Outdated, Some(Lost::Closed));
            }
        }
        false
    }

    /// Adds `id` to the connections of `peer`, selects the one in use and retires the others.
    fn choose(&mut self, id: ConnId, host: usize, peer: Peer) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.peer = Some(peer);
        }
        let state = self.hosts[host].peers.entry(peer).or_default();
        state.conns.retain(|other| *other != id);
        // When one side has dialled twice, the later connection wins, because the dialer has
        // probably lost the earlier one. The new connection stands first, so the minimum finds it
        // first.
        state.conns.insert(0, id);
        let all = state.conns.clone();
        let open = all
            .into_iter()
            .filter_map(|id| Some((self.dialer(host, id)?, id)));
        let open: Vec<(NodeId, ConnId)> = open.collect();
        let Some(used) = used(&open) else {
            return;
        };
        if let Some(state) = self.hosts[host].peers.get_mut(&peer) {
            state.conns.retain(|other| *other != used);
            state.conns.insert(0, used);
        }
        for (_, other) in open.into_iter().filter(|(_, other)| *other != used) {
            self.retire(other);
        }
    }

    fn retire(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.retired = true;
            conn.link.retire();
            self.touched.insert(id);
        }
    }

    /// The node that dialled a connection; `None` for one that is retired or not open.
    fn dialer(&self, host: usize, id: ConnId) -> Option<NodeId> {
        let conn = self.conns.get(id)?;
        let who = conn.who.filter(|_| !conn.retired)?;
        Some(match conn.side {
            Side::Dialled(_) => self.hosts[host].identity.node,
            Side::Accepted(_) => who.node,
        })
    }

    /// Closes all connections with a peer in order and reports no loss to the node.
    pub(super) fn hang(&mut self, host: usize, peer: Peer) {
        let Some(state) = self.hosts[host].peers.get(&peer) else {
            return;
        };
        for id in state.conns.clone() {
            self.leave(id, Farewell::Closing, None);
        }
    }

    /// Says goodbye and detaches the connection from its peer. When the connection was the peer's
    /// last in use, the node is told `lost`.
    pub(super) fn leave(&mut self, id: ConnId, farewell: Farewell, lost: Option<Lost>) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let connecting = conn.connecting_until.is_some();
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
        let Some(state) = self.hosts[host].peers.get_mut(&peer) else {
            return;
        };
        state.conns.retain(|other| *other != id);
        let conns = &self.conns;
        let in_use = |other: &ConnId| conns.get(*other).is_some_and(|conn| !conn.retired);
        if state.conns.iter().any(in_use) {
            return;
        }
        self.forget(host, peer, lost);
    }

    fn forget(&mut self, host: usize, peer: Peer, lost: Option<Lost>) {
        let Some(state) = self.hosts[host].peers.remove(&peer) else {
            return;
        };
        self.parked.remove(&(host, peer));
        // Replaced connections end together with the connection that replaced them.
        for id in state.conns {
            self.leave(id, Farewell::Closing, None);
        }
        for (job, _) in state.parked {
            self.fail(host, job, JobFault::Abandoned);
        }
        if let Some(why) = lost {
            debug!("peer lost peer={peer} why={why:?}");
            self.pending.push_back((host, Event::Lost { peer, why }));
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
            Side::Dialled(address) if peer.is_some() && (greeting || is_refusal(why)) => {
                self.backoffs.failed(address, self.now, &mut self.rng);
            }
            Side::Accepted(from) if why == Lost::HandshakeRefused => self.note_refusal(from),
            Side::Dialled(_) | Side::Accepted(_) => (),
        }
        self.detach(id, Some(why));
        self.touched.remove(&id);
        if let Some(mut conn) = self.conns.remove(id) {
            self.outbox_bytes -= conn.counted;
            // Closing the socket also ends its registration; the explicit call is only tidier.
            let _ = self.poll.registry().deregister(&mut conn.stream);
        }
        // The peer has another connection, so the envelopes queued on this one are sent there.
        if let Some(peer) = peer.filter(|peer| self.hosts[host].peers.contains_key(peer)) {
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

/// Selects the connection in use from a peer's open ones, given latest first with their dialers.
pub(super) fn used<C: Copy>(open: &[(NodeId, C)]) -> Option<C> {
    let first = open.iter().min_by_key(|(dialer, _)| *dialer)?;
    Some(first.1)
}

/// Whether the peer answered only to refuse this node. Then a dial counts as failed.
fn is_refusal(why: Lost) -> bool {
    matches!(
        why,
        Lost::Full | Lost::Outdated | Lost::Version | Lost::Misbehaved
    )
}
