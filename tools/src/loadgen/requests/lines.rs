//! The connections of a run of requests: so many to each node, redialled when they are lost.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use roles::contract::id::RequestId;
use roles::contract::limits::QUESTIONS_PER_PEER_MAX;
use roles::contract::node::Identity;
use roles::contract::record::Features;
use roles::contract::rng::Rng;
use roles::contract::time::Time;

use super::super::cluster;
use super::super::sockets::{ConnId, Sockets};

/// The pause before a lost connection is dialled again.
const AGAIN: Duration = Duration::from_millis(250);

/// Dials under way at once: a node drops the oldest of more than 64 unfinished handshakes.
const DIALLING_MAX: usize = 32;

/// One place for a connection to a node.
pub(crate) struct Line {
    pub(crate) address: SocketAddr,
    identity: Identity,
    conn: Option<ConnId>,
    open: bool,
    /// Requests in flight.
    pub(crate) flying: Vec<RequestId>,
}

/// All lines of a run; a line's number is the owner of its connection.
pub(crate) struct Lines {
    all: Vec<Line>,
    of: BTreeMap<SocketAddr, Vec<usize>>,
    /// Lines without a connection, and when each is dialled.
    again: BTreeSet<(Time, usize)>,
    /// Dials that are neither open nor lost.
    dialling: usize,
    open: usize,
    each: u32,
    /// Requests that a line may have in flight.
    pipeline: usize,
    rng: Rng,
    features: BTreeMap<SocketAddr, Features>,
}

impl Lines {
    /// `each` lines to every node that is asked; on each at most `pipeline` requests.
    ///
    /// `features` decide the cipher of each connection. A node without an entry, such as a DNS node,
    /// gets the one that every processor can do.
    pub(crate) fn new(
        each: u32,
        pipeline: u32,
        features: BTreeMap<SocketAddr, Features>,
        rng: Rng,
    ) -> Self {
        Lines {
            all: Vec::new(),
            of: BTreeMap::new(),
            again: BTreeSet::new(),
            dialling: 0,
            open: 0,
            each,
            pipeline: (pipeline as usize).min(QUESTIONS_PER_PEER_MAX),
            rng,
            features,
        }
    }

    /// Adds the lines to a node; they are dialled by [`Lines::on_tick`].
    pub(crate) fn meet(&mut self, now: Time, address: SocketAddr) {
        if self.of.contains_key(&address) {
            return;
        }
        let first = self.all.len();
        let numbers: Vec<usize> = (first..first + self.each as usize).collect();
        for number in &numbers {
            self.all.push(Line {
                address,
                identity: cluster::identity(&mut self.rng),
                conn: None,
                open: false,
                flying: Vec::new(),
            });
            self.again.insert((now, *number));
        }
        self.of.insert(address, numbers);
    }

    fn dial(&mut self, now: Time, number: usize, sockets: &mut Sockets) {
        let line = &mut self.all[number];
        let theirs = self.features.get(&line.address).copied();
        let dialled = sockets.dial_node(number, line.address, line.identity, theirs);
        match dialled {
            Ok(conn) => {
                line.conn = Some(conn);
                self.dialling += 1;
            }
            Err(_) => drop(self.again.insert((now + AGAIN, number))),
        }
    }

    /// Dials what is due, a few at a time.
    pub(crate) fn on_tick(&mut self, now: Time, sockets: &mut Sockets) {
        while self.dialling < DIALLING_MAX
            && let Some((at, number)) = self.again.first().copied()
            && at <= now
        {
            self.again.pop_first();
            self.dial(now, number, sockets);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let due = self.again.first().map(|(at, _)| *at);
        due.filter(|_| self.dialling < DIALLING_MAX)
    }

    /// The node has accepted the connection of a line.
    pub(crate) fn on_opened(&mut self, number: usize) {
        self.all[number].open = true;
        self.open += 1;
        self.dialling -= 1;
    }

    /// The connection of a line is lost; gives the requests that were on it.
    pub(crate) fn on_lost(&mut self, now: Time, number: usize) -> Vec<RequestId> {
        let line = &mut self.all[number];
        self.open -= usize::from(line.open);
        self.dialling -= usize::from(!line.open);
        (line.conn, line.open) = (None, false);
        self.again.insert((now + AGAIN, number));
        std::mem::take(&mut line.flying)
    }

    /// Whether this connection is the one that its line uses.
    pub(crate) fn uses(&self, number: usize, conn: ConnId) -> bool {
        self.all
            .get(number)
            .is_some_and(|line| line.conn == Some(conn))
    }

    /// Whether every line is open.
    pub(crate) fn are_open(&self) -> bool {
        self.open == self.all.len()
    }

    /// The open line to a node with the fewest requests in flight, if it may have one more.
    pub(crate) fn free(&self, address: SocketAddr) -> Option<(usize, ConnId)> {
        let numbers = self.of.get(&address)?;
        let open = numbers.iter().filter(|number| self.all[**number].open);
        let least = open.min_by_key(|number| self.all[**number].flying.len())?;
        let line = &self.all[*least];
        let room = line.flying.len() < self.pipeline;
        line.conn.filter(|_| room).map(|conn| (*least, conn))
    }

    /// Whether any line to the node is open.
    pub(crate) fn reaches(&self, address: SocketAddr) -> bool {
        let numbers = self.of.get(&address);
        numbers.is_some_and(|all| all.iter().any(|number| self.all[*number].open))
    }

    pub(crate) fn line(&mut self, number: usize) -> &mut Line {
        &mut self.all[number]
    }

    /// Number of lines.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }
}
