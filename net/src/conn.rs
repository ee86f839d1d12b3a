//! One socket: moves bytes between the kernel and its link.
//!
//! Edge-triggered and registered once for both directions: reads and writes are tried first and
//! stop at `WouldBlock`; the next edge says when to go on. Buffers are the loop's; a connection
//! itself keeps only what the kernel did not take.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use roles::contract::node::{Identity, Lost, Peer};
use roles::contract::record::Address;
use roles::contract::time::Time;

use crate::wire::link::{Link, LinkEvent};
use crate::wire::seal::Scratch;

/// Bytes sealed for one write: enough to make the system call cheap.
pub(crate) const WRITE_BYTES: usize = 256 * 1024;

/// Bytes read by one call.
pub(crate) const READ_BYTES: usize = 256 * 1024;

/// A link that holds more control than this leaves its peer unread until it drains.
const CONTROL_BYTES_HIGH: usize = 8 << 20;

/// Where a connection came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// We dialled this address.
    Dialled(Address),
    /// Somebody at this address dialled us.
    Accepted(SocketAddr),
}

/// One connection.
pub(crate) struct Conn {
    pub(crate) host: usize,
    pub(crate) side: Side,
    pub(crate) stream: TcpStream,
    pub(crate) link: Link,
    /// Until when a dial may take; none once the connection stands.
    pub(crate) connecting_until: Option<Time>,
    /// Who is at the other end; of a dialled connection from the start.
    pub(crate) peer: Option<Peer>,
    /// What the other end said of itself, once it has.
    pub(crate) who: Option<Identity>,
    /// When it was opened or last said something.
    pub(crate) active_at: Time,
    /// The deadline under which the connection stands among the timers.
    pub(crate) armed: Option<Time>,
    /// What this connection adds to the process's outbox.
    pub(crate) counted: usize,
    /// Bytes of jobs that were begun for this peer and have not ended.
    pub(crate) promised: usize,
    /// Another connection to the same peer is used instead; this one ends when it is done.
    pub(crate) retired: bool,
    /// The peer has closed its end: reads go on until the end is seen.
    pub(crate) read_closed: bool,
    /// A read was put off because too much waits for the peer.
    pub(crate) stalled: bool,
    /// Sealed bytes the kernel has not taken, from `unsent_from` on.
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

/// How a turn of reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    /// Nothing more is there.
    Drained,
    /// The budget is used up; more may be there.
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
            connecting_until: None,
            peer,
            who: None,
            active_at: now,
            armed: None,
            counted: 0,
            promised: 0,
            retired: false,
            read_closed: false,
            stalled: false,
            unsent: Vec::new(),
            unsent_from: 0,
        }
    }

    /// Whether the dial has come to an end: the error, or nothing if the connection stands.
    pub(crate) fn check_connected(&mut self, now: Time) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => {
                self.connecting_until = None;
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
                    // With edges, a short read is the last: what comes later rings again. Only
                    // an end that was announced together with the bytes does not.
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

    /// Writes what the link has to say until the kernel takes no more.
    pub(crate) fn flush(&mut self, now: Time, buffers: &mut Buffers) {
        if self.connecting_until.is_some() {
            return;
        }
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

    /// Bytes that this connection holds for its peer, jobs under way included.
    pub(crate) fn outbox_bytes(&self) -> usize {
        self.link.queued_bytes() + self.unsent.len() - self.unsent_from + self.promised
    }

    /// Whether its peer is left unread until it has taken what waits.
    ///
    /// Bulk does not count: it may wait for a grant, which is read from this very peer. Two ends
    /// that both waited for the other to read first would wait for ever.
    pub(crate) fn is_full(&self) -> bool {
        !self.unsent.is_empty() && self.link.control_bytes() > CONTROL_BYTES_HIGH
    }

    /// Whether a job may be begun whose reply goes to this peer.
    pub(crate) fn has_room(&self) -> bool {
        self.link.room() && self.outbox_bytes() < ROOM_BYTES
    }

    /// Whether everything said has left this process.
    pub(crate) fn is_flushed(&self) -> bool {
        self.unsent.is_empty() && self.link.queued_bytes() == 0
    }

    /// When something must be done about this connection.
    pub(crate) fn deadline(&self) -> Option<Time> {
        if self.connecting_until.is_some() {
            return self.connecting_until;
        }
        if self.unsent.is_empty() {
            return self.link.deadline();
        }
        self.link.deadline_while_blocked()
    }

    /// Whether it may be given up for a newcomer: a guest with nothing under way.
    pub(crate) fn is_idle_guest(&self) -> bool {
        matches!(self.peer, Some(Peer::Guest(_))) && self.link.is_idle() && self.is_flushed()
    }

    /// Whether a stranger has not finished its handshake.
    pub(crate) fn is_unfinished(&self) -> bool {
        matches!(self.side, Side::Accepted(_)) && self.link.is_greeting()
    }

    /// Why the dial is over once its time is.
    pub(crate) fn on_tick(&mut self, now: Time) -> Option<Lost> {
        if let Some(until) = self.connecting_until {
            return (until <= now).then_some(Lost::ConnectTimeout);
        }
        self.link.on_tick(now);
        None
    }
}

/// A peer with less than this before it may be sent more fragments: two of them.
const ROOM_BYTES: usize = 2 << 20;

fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
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
