//! What a reactor hosts: a node, its socket, its handler threads, and how others reach it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use roles::contract::id::JobId;
use roles::contract::job::Job;
use roles::contract::node::{Identity, Node, Peer};
use roles::contract::user::{Command, Notice};

use crate::bell::Bell;
use crate::conns::ConnId;
use crate::dial::Listener;
use crate::pool::{Pool, Worker};

/// Commands that may wait for the loop: far more than a user gives.
const COMMANDS_QUEUED_MAX: usize = 1024;

/// A node and all it needs.
pub struct Host {
    /// The node itself.
    pub node: Box<dyn Node + Send>,
    /// What it says of itself when a connection opens.
    pub identity: Identity,
    /// Where it is reached; clients have none.
    pub listener: Option<Listener>,
    /// The address it dials from; none lets the system choose.
    pub bind_from: Option<IpAddr>,
    /// Workers that read, one thread each.
    pub readers: Vec<Box<dyn Worker>>,
    /// The worker that writes.
    pub writer: Option<Box<dyn Worker>>,
    /// Hears what the node tells its user. Called on the loop: it must not block, and whatever it
    /// hands the notice to must have room or drop.
    pub tell: Box<dyn FnMut(Notice) + Send>,
}

/// Gives a hosted node commands, from any thread.
#[derive(Clone, Debug)]
pub struct HostHandle {
    commands: Sender<Box<Command>>,
    bell: Arc<Bell>,
}

/// Why a command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The loop has ended.
    Ended,
    /// A thousand commands wait already.
    Busy,
}

/// Asks every node of a reactor to end, from any thread.
#[derive(Clone, Debug)]
pub struct StopHandle {
    pub(crate) asked: Arc<AtomicBool>,
    pub(crate) bell: Arc<Bell>,
}

/// Wakes a loop, from any thread.
#[derive(Clone, Debug)]
pub struct Ringer(pub(crate) Arc<Bell>);

impl Ringer {
    /// The loop looks at everything soon. Call after the thing to be seen is in its place.
    pub fn ring(&self) {
        self.0.ring();
    }
}

/// A host while it runs.
pub(crate) struct Hosted {
    pub(crate) node: Box<dyn Node + Send>,
    pub(crate) identity: Identity,
    pub(crate) listener: Option<Listener>,
    /// Whether somebody may be waiting to be accepted.
    pub(crate) knocked: bool,
    pub(crate) bind_from: Option<IpAddr>,
    pub(crate) pool: Pool,
    pub(crate) commands: Receiver<Box<Command>>,
    pub(crate) tell: Box<dyn FnMut(Notice) + Send>,
    pub(crate) stopped: bool,
    pub(crate) peers: BTreeMap<Peer, PeerState>,
    /// Jobs under way whose replies go to a peer, and the connection they were promised on.
    pub(crate) toward: BTreeMap<JobId, ConnId>,
}

/// What is known of a peer that has a connection.
#[derive(Default)]
pub(crate) struct PeerState {
    /// The connection that is used, then others: a dial under way, or one that is replaced.
    pub(crate) conns: Vec<ConnId>,
    /// Jobs that begin when the peer has room.
    pub(crate) parked: VecDeque<(JobId, Job)>,
}

impl Host {
    pub(crate) fn start(self, bell: &Arc<Bell>) -> io::Result<(Hosted, HostHandle)> {
        let (sender, commands) = bounded(COMMANDS_QUEUED_MAX);
        let pool = Pool::start(self.writer, self.readers, bell)?;
        let hosted = Hosted {
            node: self.node,
            identity: self.identity,
            listener: self.listener,
            knocked: false,
            bind_from: self.bind_from,
            pool,
            commands,
            tell: self.tell,
            stopped: false,
            peers: BTreeMap::new(),
            toward: BTreeMap::new(),
        };
        let handle = HostHandle {
            commands: sender,
            bell: Arc::clone(bell),
        };
        Ok((hosted, handle))
    }
}

impl HostHandle {
    /// Hands a command to the node. Never waits.
    pub fn command(&self, command: Command) -> Result<(), Gone> {
        self.commands
            .try_send(Box::new(command))
            .map_err(|error| match error {
                TrySendError::Full(_) => Gone::Busy,
                TrySendError::Disconnected(_) => Gone::Ended,
            })?;
        self.bell.ring();
        Ok(())
    }
}

impl StopHandle {
    /// Every node hears [`Event::Stop`](roles::contract::node::Event::Stop) soon.
    pub fn stop(&self) {
        self.asked.store(true, Ordering::Release);
        self.bell.ring();
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Gone::Ended => "the node has ended",
            Gone::Busy => "too many commands wait",
        })
    }
}

impl std::error::Error for Gone {}
