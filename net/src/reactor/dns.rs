//! DNS on the loop: moves packets between the sockets of one DNS node and the node.
//!
//! Owns the sockets. A turn answers a bounded number of datagrams, and the connections have places of
//! their own, so that no flood of questions holds up the nodes or the browsers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::{debug, warn};
use mio::net::{TcpStream, UdpSocket};
use mio::{Interest, Registry, Token};
use roles::contract::node::{DnsTransport, Node};
use roles::contract::repeats::Repeats;
use roles::contract::time::Time;
use roles::contract::timers::earlier;
use roles::dns::come_back_over_tcp;

use super::Fired;
use super::accept_errors::{is_about_descriptors, is_about_newcomer};
use crate::dial::Listener;
use crate::dns::DnsListener;
use crate::dns::rate::{Admission, Rates};
use crate::dns::stream::{Next, QUESTION_BYTES_MAX, Stream};
use crate::http::places::{self, Use};

/// Datagrams answered per turn: about a millisecond of work.
const DATAGRAMS_PER_TURN: usize = 128;

/// Connections accepted per turn.
const ACCEPTS_PER_TURN: usize = 32;

/// Questions answered per connection and turn.
const QUESTIONS_PER_TURN: usize = 32;

/// How long accepting pauses when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Tokens of these sockets have the second highest bit set and the highest not. A node's connection
/// never has it, because no slot is reused a billion times.
const DNS: usize = 1 << 62;
const UDP: Token = Token(DNS);
const TCP: Token = Token(DNS + 1);

/// The numbers of connections come after those of the two listening sockets.
const FIRST: u64 = 2;

/// The sockets of a DNS node.
pub(super) struct Dns {
    /// The number of the node's host.
    pub(super) host: usize,
    udp: UdpSocket,
    tcp: Listener,
    /// The sockets may hold datagrams, and newcomers.
    heard: bool,
    knocked: bool,
    accept_again_at: Option<Time>,
    rates: Rates,
    refusals: Repeats,
    faults: Repeats,
    /// Questions that were answered, and that were refused as too many.
    answered: u64,
    refused: u64,
    /// Most connections.
    places: usize,
    conns: BTreeMap<u64, Conn>,
    latest: u64,
    /// Connections that need work in this turn.
    ready: BTreeSet<u64>,
    question: Box<[u8]>,
    answer: Vec<u8>,
}

struct Conn {
    socket: TcpStream,
    from: IpAddr,
    stream: Stream,
    readable: bool,
    writable: bool,
}

impl Dns {
    pub(super) fn new(
        host: usize,
        listener: DnsListener,
        (places, per_second): (usize, usize),
        seed: u64,
        registry: &Registry,
    ) -> io::Result<Self> {
        let DnsListener {
            mut udp, mut tcp, ..
        } = listener;
        registry.register(&mut udp, UDP, Interest::READABLE)?;
        registry.register(&mut tcp.socket, TCP, Interest::READABLE)?;
        Ok(Dns {
            host,
            udp,
            tcp,
            heard: true,
            knocked: true,
            accept_again_at: None,
            rates: Rates::new(per_second, seed),
            refusals: Repeats::default(),
            faults: Repeats::default(),
            answered: 0,
            refused: 0,
            places: places.max(1),
            conns: BTreeMap::new(),
            latest: FIRST,
            ready: BTreeSet::new(),
            question: vec![0; QUESTION_BYTES_MAX].into(),
            answer: Vec::new(),
        })
    }

    /// Whether a token belongs to these sockets.
    pub(super) fn owns(token: Token) -> bool {
        token.0 >> 62 == 1
    }

    pub(super) fn on_fired(&mut self, event: Fired) {
        match event.token {
            UDP => self.heard = true,
            TCP => self.knocked = true,
            Token(token) => {
                let number = (token & !DNS) as u64;
                if let Some(conn) = self.conns.get_mut(&number) {
                    conn.readable |= event.readable || event.read_closed;
                    conn.writable |= event.writable;
                    self.ready.insert(number);
                }
            }
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.conns.len()
    }

    /// How many questions were answered, and how many refused as too many.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.answered, self.refused)
    }

    /// Whether the next turn must start without a wait.
    pub(super) fn is_busy(&self) -> bool {
        let knocked = self.knocked && self.accept_again_at.is_none();
        self.heard || knocked || !self.ready.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let conns = self.conns.values().map(|conn| conn.stream.deadline());
        earlier(conns.min(), self.accept_again_at)
    }

    /// Does a bounded share of all pending work.
    pub(super) fn turn(&mut self, now: Time, node: &mut dyn Node, registry: &Registry) {
        self.answer_datagrams(now, node);
        self.accept(now, registry);
        let due =
            |(number, conn): (&u64, &Conn)| (conn.stream.deadline() <= now).then_some(*number);
        let due: Vec<u64> = self.conns.iter().filter_map(due).collect();
        for number in due {
            self.close(number, registry);
        }
        for number in std::mem::take(&mut self.ready) {
            if !self.work(now, number, node) {
                self.close(number, registry);
            }
        }
    }

    fn answer_datagrams(&mut self, now: Time, node: &mut dyn Node) {
        let mut left = DATAGRAMS_PER_TURN;
        while self.heard && left > 0 {
            left -= 1;
            match self.udp.recv_from(&mut self.question) {
                Ok((length, from)) => self.answer_datagram(now, (length, from), node),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.heard = false,
                // The error of an earlier answer: its asker is gone.
                Err(error) => debug!("dns datagram lost: {error}"),
            }
        }
    }

    fn answer_datagram(
        &mut self,
        now: Time,
        (length, from): (usize, SocketAddr),
        node: &mut dyn Node,
    ) {
        let question = &self.question[..length];
        let answer = &mut self.answer;
        // Nobody listens at port 0: the sender is forged.
        if from.port() == 0 {
            return;
        }
        let admission = self.rates.admit(now, from.ip());
        self.refused += u64::from(admission != Admission::Answer);
        match admission {
            Admission::Answer => {
                self.answered += 1;
                node.answer_dns(now, question, DnsTransport::Udp, answer);
            }
            Admission::ComeOverTcp if come_back_over_tcp(question, answer) => {}
            Admission::ComeOverTcp | Admission::Drop => {
                if let Some(times) = self.refusals.note(now) {
                    warn!(
                        "dns questions refused, too many times={times} from={}",
                        from.ip()
                    );
                }
                return;
            }
        }
        if !answer.is_empty()
            && let Err(error) = self.udp.send_to(answer, from)
        {
            // The asker asks again.
            debug!("dns answer lost to={from}: {error}");
        }
    }

    fn accept(&mut self, now: Time, registry: &Registry) {
        if self.accept_again_at.is_some_and(|at| at > now) {
            return;
        }
        self.accept_again_at = None;
        for _ in 0..ACCEPTS_PER_TURN {
            if !self.knocked {
                return;
            }
            match self.tcp.socket.accept() {
                Ok((socket, from)) => self.welcome(now, socket, from.ip(), registry),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.knocked = false,
                Err(error) if is_about_newcomer(&error) => (),
                Err(error) if is_about_descriptors(&error) && self.make_room(None, registry) => {}
                Err(error) => {
                    if let Some(times) = self.faults.note(now) {
                        warn!("dns accept paused times={times}: {error}");
                    }
                    self.accept_again_at = Some(now + ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, now: Time, mut socket: TcpStream, from: IpAddr, registry: &Registry) {
        if self.conns.len() >= self.places && !self.make_room(Some(from), registry) {
            return debug!("dns newcomer dropped, all places are in use from={from}");
        }
        self.latest += 1;
        let token = Token(DNS | self.latest as usize);
        let interests = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = registry.register(&mut socket, token, interests) {
            return warn!("dns connection cannot be watched: {error}");
        }
        let conn = Conn {
            socket,
            from,
            stream: Stream::new(now),
            readable: true,
            writable: true,
        };
        self.conns.insert(self.latest, conn);
        self.ready.insert(self.latest);
    }

    /// Closes the connection that is worth least; false when there is none.
    pub(super) fn make_room(&mut self, from: Option<IpAddr>, registry: &Registry) -> bool {
        let does = |(number, conn): (&u64, &Conn)| match conn.stream.rests_since() {
            (since, true) => (*number, conn.from, Use::Idle(since)),
            (since, false) => (*number, conn.from, Use::Stalled(since)),
        };
        let conns: Vec<_> = self.conns.iter().map(does).collect();
        let first = places::first_to_go(&conns, self.places, from);
        first.is_some_and(|number| self.close(number, registry))
    }

    fn close(&mut self, number: u64, registry: &Registry) -> bool {
        self.ready.remove(&number);
        let Some(mut conn) = self.conns.remove(&number) else {
            return false;
        };
        // Closing the socket also ends its registration; the explicit call is only tidier.
        let _ = registry.deregister(&mut conn.socket);
        true
    }

    /// Reads, answers and writes; false when the connection is over.
    fn work(&mut self, now: Time, number: u64, node: &mut dyn Node) -> bool {
        let Some(conn) = self.conns.get_mut(&number) else {
            return true;
        };
        for _ in 0..QUESTIONS_PER_TURN {
            match conn.stream.next() {
                Next::Over => return false,
                Next::Question(question) => {
                    if self.rates.admit(now, conn.from) != Admission::Answer {
                        self.refused += 1;
                        return false;
                    }
                    self.answered += 1;
                    node.answer_dns(now, question, DnsTransport::Tcp, &mut self.answer);
                    conn.stream.answered(now, &self.answer);
                }
                Next::Wait => {
                    let moved = conn.write(now) | conn.read(&mut self.question);
                    match moved {
                        Moved::Bytes => (),
                        Moved::Nothing => return true,
                        Moved::Broken => return false,
                    }
                }
            }
        }
        self.ready.insert(number);
        true
    }
}

/// What a read or a write has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moved {
    Nothing,
    Bytes,
    /// The connection is gone.
    Broken,
}

impl std::ops::BitOr for Moved {
    type Output = Moved;

    fn bitor(self, other: Moved) -> Moved {
        self.max(other)
    }
}

impl Conn {
    fn read(&mut self, buffer: &mut [u8]) -> Moved {
        let room = self.stream.room().min(buffer.len());
        if !self.readable || room == 0 {
            return Moved::Nothing;
        }
        match self.socket.read(&mut buffer[..room]) {
            Ok(0) => {
                self.readable = false;
                self.stream.on_input_end();
                Moved::Bytes
            }
            Ok(n) => {
                self.stream.receive(&buffer[..n]);
                Moved::Bytes
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Moved::Nothing
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Moved::Bytes,
            Err(_) => Moved::Broken,
        }
    }

    fn write(&mut self, now: Time) -> Moved {
        if !self.writable || self.stream.out().is_empty() {
            return Moved::Nothing;
        }
        match self.socket.write(self.stream.out()) {
            Ok(written) => {
                self.stream.on_written(now, written);
                Moved::Bytes
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                Moved::Nothing
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Moved::Bytes,
            Err(_) => Moved::Broken,
        }
    }
}
