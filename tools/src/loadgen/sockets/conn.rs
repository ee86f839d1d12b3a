//! One connection: moves bytes between the kernel and its protocol.
//!
//! The socket is edge-triggered and registered once for both directions, so reads and writes go on
//! until the kernel has no more or takes no more.

use std::io::{self, Read};

use mio::net::TcpStream;
use net::wire::link::Link;
use net::{why_not_connected, write_some};
use roles::contract::node::Lost;
use roles::contract::time::Time;

use super::super::answers::Answers;
use super::{Buffers, READ_BYTES};

/// Bytes prepared for one write.
const WRITE_BYTES: usize = 256 * 1024;

/// What a connection speaks.
pub(super) enum Protocol {
    /// The node protocol.
    Node(Box<Link>),
    /// HTTP: the answers' parser.
    Page(Answers),
}

/// One connection.
pub(super) struct Conn {
    pub(super) owner: usize,
    pub(super) stream: TcpStream,
    pub(super) protocol: Protocol,
    /// The connection's entry in the timer set.
    pub(super) armed: Option<Time>,
    /// Whether the driver wants no bytes at present.
    pub(super) paused: bool,
    connecting_until: Option<Time>,
    unsent: Vec<u8>,
    /// Why a page's connection has ended.
    ended: Option<Lost>,
}

/// Why reading stopped.
pub(super) enum ReadEnd {
    /// The kernel has no more bytes.
    Drained,
    /// Others have their turn first.
    Budget,
    /// The connection has ended.
    Over(Lost),
}

impl Protocol {
    /// HTTP, before the first answer.
    pub(super) fn page() -> Self {
        Protocol::Page(Answers::new())
    }
}

impl Conn {
    pub(super) fn new(owner: usize, stream: TcpStream, protocol: Protocol, until: Time) -> Self {
        Conn {
            owner,
            stream,
            protocol,
            armed: None,
            paused: false,
            connecting_until: Some(until),
            unsent: Vec::new(),
            ended: None,
        }
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.connecting_until.is_some()
    }

    /// True when the TCP connection has just been made.
    pub(super) fn check_connected(&mut self, now: Time) -> Result<bool, Lost> {
        if self.connecting_until.is_none() {
            return Ok(false);
        }
        match self.stream.take_error() {
            Ok(None) => (),
            Ok(Some(error)) | Err(error) => return Err(why_not_connected(&error)),
        }
        match self.stream.peer_addr() {
            Ok(_) => (),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
            Err(error) => return Err(why_not_connected(&error)),
        }
        self.connecting_until = None;
        // Small messages must not wait for each other; a failure only costs time.
        let _ = self.stream.set_nodelay(true);
        if let Protocol::Node(link) = &mut self.protocol {
            link.connected(now);
        }
        Ok(true)
    }

    pub(super) fn queue(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    /// Notes that bytes of the peer lie unread.
    pub(super) fn unread(&mut self, now: Time) {
        if let Protocol::Node(link) = &mut self.protocol {
            link.unread(now);
        }
    }

    /// Reads into the buffers' events until the kernel has no more or the budget is used up.
    pub(super) fn read(&mut self, now: Time, buffers: &mut Buffers) -> ReadEnd {
        let mut left = READ_BYTES;
        while left > 0 {
            if let Some(why) = self.over() {
                return ReadEnd::Over(why);
            }
            match self.stream.read(&mut buffers.read[..left]) {
                Ok(0) => return ReadEnd::Over(self.closed(false)),
                Ok(n) => {
                    self.take(now, n, buffers);
                    left -= n;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return ReadEnd::Drained;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(_) => return ReadEnd::Over(self.closed(true)),
            }
        }
        self.over().map_or(ReadEnd::Budget, ReadEnd::Over)
    }

    fn take(&mut self, now: Time, n: usize, buffers: &mut Buffers) {
        let bytes = &buffers.read[..n];
        match &mut self.protocol {
            Protocol::Node(link) => {
                link.receive(now, bytes, &mut buffers.scratch, &mut buffers.links);
            }
            Protocol::Page(answers) => {
                if answers.receive(bytes, &mut buffers.pieces).is_err() {
                    self.ended = Some(Lost::Misbehaved);
                }
            }
        }
    }

    /// Writes until everything is sent or the kernel takes no more.
    pub(super) fn flush(&mut self, now: Time, buffers: &mut Buffers) {
        if self.is_connecting() {
            return;
        }
        loop {
            if !self.unsent.is_empty() {
                match write_some(&mut self.stream, &self.unsent) {
                    Ok(n) => drop(self.unsent.drain(..n)),
                    Err(_) => {
                        self.closed(true);
                        return;
                    }
                }
                if !self.unsent.is_empty() {
                    return;
                }
            }
            let Protocol::Node(link) = &mut self.protocol else {
                return;
            };
            let out = &mut buffers.write;
            out.clear();
            link.fill(now, &mut buffers.scratch, out, WRITE_BYTES);
            if out.is_empty() {
                return;
            }
            match write_some(&mut self.stream, out) {
                Ok(n) => self.unsent.extend_from_slice(&out[n..]),
                Err(_) => {
                    self.closed(true);
                    return;
                }
            }
        }
    }

    fn closed(&mut self, reset: bool) -> Lost {
        match &mut self.protocol {
            Protocol::Node(link) => link.on_closed(reset),
            Protocol::Page(_) => {
                let why = if reset { Lost::Reset } else { Lost::Closed };
                self.ended.get_or_insert(why);
            }
        }
        self.over().unwrap_or(Lost::Closed)
    }

    /// Why the connection has ended; none before.
    pub(super) fn over(&self) -> Option<Lost> {
        match &self.protocol {
            Protocol::Node(link) => link.over(),
            Protocol::Page(_) => self.ended,
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        if self.connecting_until.is_some() {
            return self.connecting_until;
        }
        match &self.protocol {
            Protocol::Node(link) if self.unsent.is_empty() => link.deadline(),
            Protocol::Node(link) => link.deadline_while_blocked(),
            Protocol::Page(_) => None,
        }
    }

    /// Handles timeouts; the reason if the connection has ended by one.
    pub(super) fn on_tick(&mut self, now: Time) -> Option<Lost> {
        if let Some(until) = self.connecting_until {
            return (until <= now).then_some(Lost::ConnectTimeout);
        }
        if let Protocol::Node(link) = &mut self.protocol {
            link.on_tick(now);
        }
        self.over()
    }
}
