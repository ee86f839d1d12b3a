//! One TCP connection: moves bytes between the kernel and its link.
//!
//! The socket is edge-triggered and registered once for both directions. Reads and writes are tried
//! first and stop at `WouldBlock`; the next edge resumes them. The loop owns the shared buffers; a
//! connection keeps only the bytes that the kernel has not accepted.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use roles::contract::node::{Identity, Lost, Peer};
use roles::contract::record::Address;
use roles::contract::time::Time;

use crate::wire::link::{Link, LinkEvent};
use crate::wire::seal::Scratch;

/// Bytes sealed for one write: enough to amortise the system call.
pub(crate) const WRITE_BYTES: usize = 256 * 1024;

/// Bytes read by one call.
pub(crate) const READ_BYTES: usize = 256 * 1024;

/// While a link queues more control than this, its peer is not read.
const CONTROL_BYTES_HIGH: usize = 8 << 20;

/// The side that opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// This node dialled the address.
    Dialled(Address),
    /// A peer at this address dialled this node.
    Accepted(SocketAddr),
}

/// One connection.
pub(crate) struct Conn {
    pub(crate) host: usize,
    pub(crate) side: Side,
    pub(crate) stream: TcpStream,
    pub(crate) link: Link,
    /// The peer: known from the start for a dialled connection, after the hello for an accepted
    /// one.
    pub(crate) peer: Option<Peer>,
    /// The identity from the peer's hello.
    pub(crate) who: Option<Identity>,
    /// When the connection was opened or last received bytes.
    pub(crate) active_at: Time,
    /// The connection's entry in the timer set.
    pub(crate) armed: Option<Time>,
    /// The bytes that this connection contributes to the reactor's total.
    pub(crate) counted: usize,
    /// Space reserved for the replies of running jobs.
    pub(crate) promised: usize,
    /// The peer has closed its side: reads continue until they return the end.
    pub(crate) read_closed: bool,
    /// A read was skipped because too much is queued for the peer.
    pub(crate) stalled: bool,
    /// The socket may hold bytes, and is in the loop's list of those that are still to be read.
    pub(crate) unread: bool,
    /// Sealed bytes that the kernel has not accepted, starting at `unsent_from`.
    unsent: Vec<u8>,
    unsent_from: usize,
}

/// Buffers that all connections of a loop share.
pub(crate) struct Buffers {
    pub(crate) scratch: Scratch,
    read: Box<[u8]>,
    write: Vec<u8>,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Buffers {
            scratch: Scratch::new(),
            read: vec![0; READ_BYTES].into(),
            write: Vec::new(),
        }
    }
}

/// Why reading a socket stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    /// The socket has no more bytes, or has ended.
    Drained,
    /// The budget is used up or the link has ended; the socket may hold more bytes.
    Budget,
}

impl Conn {
    pub(crate) fn new(host: usize, side: Side, stream: TcpStream, link: Link, now: Time) -> Self {
        let peer = match side {
            Side::Dialled(address) => Some(Peer::Node(address)),
            Side::Accepted(_) => None,
        };
        Conn {
            host,
            side,
            stream,
            link,
            peer,
            who: None,
            active_at: now,
            armed: None,
            counted: 0,
            promised: 0,
            read_closed: false,
            stalled: false,
            unread: false,
            unsent: Vec::new(),
            unsent_from: 0,
        }
    }

    /// Whether the TCP connect has succeeded; an error if it has failed.
    pub(crate) fn check_connected(&mut self, now: Time) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => {
                self.link.connected(now);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads up to `budget` bytes into the link.
    pub(crate) fn read(
        &mut self,
        now: Time,
        buffers: &mut Buffers,
        events: &mut Vec<LinkEvent>,
        budget: usize,
    ) -> ReadEnd {
        let mut left = budget;
        while left > 0 && self.link.over().is_none() {
            let room = left.min(buffers.read.len());
            match self.stream.read(&mut buffers.read[..room]) {
                Ok(0) => {
                    self.link.on_closed(false);
                    return ReadEnd::Drained;
                }
                Ok(n) => {
                    self.active_at = now;
                    let bytes = &buffers.read[..n];
                    self.link.receive(now, bytes, &mut buffers.scratch, events);
                    // After a short read nothing is left, and the next bytes raise a new edge. Only
                    // an end of stream announced together with these bytes raises none, so then
                    // reading goes on.
                    if n < room && !self.read_closed {
                        return ReadEnd::Drained;
                    }
                    left -= n;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return ReadEnd::Drained,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(_) => {
                    self.link.on_closed(true);
                    return ReadEnd::Drained;
                }
            }
        }
        ReadEnd::Budget
    }

    /// Writes the link's bytes until the kernel accepts no more.
    pub(crate) fn flush(&mut self, now: Time, buffers: &mut Buffers) {
        if self.link.is_connecting() {
            return;
        }
        // A full connection is not read, so its peer cannot prove that it lives. That the peer's
        // kernel accepts bytes must count instead.
        let full = self.is_full();
        loop {
            match self.write_unsent() {
                Ok(0) => (),
                Ok(_) if full => self.link.heard(now),
                Ok(_) => (),
                Err(_) => return self.link.on_closed(true),
            }
            if !self.unsent.is_empty() {
                return;
            }
            let out = &mut buffers.write;
            out.clear();
            self.link.fill(now, &mut buffers.scratch, out, WRITE_BYTES);
            if out.is_empty() {
                return;
            }
            match write_some(&mut self.stream, out) {
                Ok(n) => self.unsent.extend_from_slice(&out[n..]),
                Err(_) => return self.link.on_closed(true),
            }
        }
    }

    fn write_unsent(&mut self) -> io::Result<usize> {
        if self.unsent.is_empty() {
            return Ok(0);
        }
        let n = write_some(&mut self.stream, &self.unsent[self.unsent_from..])?;
        self.unsent_from += n;
        if self.unsent_from == self.unsent.len() {
            self.unsent = Vec::new();
            self.unsent_from = 0;
        }
        Ok(n)
    }

    /// Bytes queued for the peer, including the space reserved for running jobs.
    pub(crate) fn outbox_bytes(&self) -> usize {
        self.link.queued_bytes() + self.unsent.len() - self.unsent_from + self.promised
    }

    /// Whether the peer is left unread until it has accepted queued bytes.
    ///
    /// Bulk does not count: bulk may wait for a grant, and the grant is read from this very peer.
    /// Two ends that each wait for the other to read first would wait for ever.
    pub(crate) fn is_full(&self) -> bool {
        !self.unsent.is_empty() && self.link.control_bytes() > CONTROL_BYTES_HIGH
    }

    /// Whether a job may start whose reply goes to this peer.
    pub(crate) fn has_room(&self) -> bool {
        self.link.room() && self.outbox_bytes() < ROOM_BYTES
    }

    /// Whether no byte is queued here for the peer.
    pub(crate) fn is_flushed(&self) -> bool {
        self.unsent.is_empty() && self.link.queued_bytes() == 0
    }

    /// When this connection needs [`Conn::on_tick`].
    pub(crate) fn deadline(&self) -> Option<Time> {
        if self.unsent.is_empty() {
            return self.link.deadline();
        }
        self.link.deadline_while_blocked()
    }

    /// Whether the peer is a client, for which servers do not wait.
    pub(crate) fn is_client(&self) -> bool {
        matches!(self.peer, Some(Peer::Guest(_)))
    }

    /// Whether the connection may be closed to make room: a guest with nothing open.
    pub(crate) fn is_idle_guest(&self) -> bool {
        matches!(self.peer, Some(Peer::Guest(_))) && self.link.is_idle() && self.is_flushed()
    }

    /// Whether the peer has dialled this node and has proven nothing. It has received no byte.
    pub(crate) fn is_stranger(&self) -> bool {
        matches!(self.side, Side::Accepted(_)) && !self.link.is_proven()
    }

    /// Handles timeouts; returns the loss when the TCP connect has timed out.
    pub(crate) fn on_tick(&mut self, now: Time) -> Option<Lost> {
        if self.unread {
            self.link.unread(now);
        }
        self.link.on_tick(now);
        // No flush may follow: the bytes of the handshake have no connection to go to.
        self.link.over().filter(|_| self.link.is_connecting())
    }
}

/// Jobs for a peer start while fewer bytes than this are queued for it: about two fragments.
const ROOM_BYTES: usize = 2 << 20;

/// Writes until the socket takes no more bytes for now. Returns how many it took.
pub fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
