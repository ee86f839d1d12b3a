//! A hosted node: its listener, its handler threads, and the handles that reach it from outside.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use roles::contract::id::JobId;
use roles::contract::node::{Identity, Node};
use roles::contract::user::{Command, Notice};

use crate::conns::ConnId;
use crate::dial::Listener;
use crate::peering::Connections;
use crate::pool::{Pool, Workers};
use crate::waker::LoopWaker;

/// Commands that may be queued for one node: far more than a user gives.
const COMMANDS_QUEUED_MAX: usize = 1024;

/// A node with everything a reactor needs to run it.
pub struct Host {
    /// The node itself.
    pub node: Box<dyn Node + Send>,
    /// The identity in the node's hello.
    pub identity: Identity,
    /// The socket that accepts peers; `None` for clients.
    pub listener: Option<Listener>,
    /// The local address for dials; `None` lets the system choose.
    pub bind_from: Option<IpAddr>,
    /// Workers for read jobs, one thread each.
    pub readers: Vec<Workers>,
    /// The worker for write jobs.
    pub writer: Option<Workers>,
    /// Receives the node's notices for its user. Called on the loop: the function must not block,
    /// and a queue behind it must have space or drop the notice.
    pub tell: Box<dyn FnMut(Notice) + Send>,
}

/// Gives a hosted node commands, from any thread.
#[derive(Clone, Debug)]
pub struct HostHandle {
    commands: Sender<Box<Command>>,
    loop_waker: Arc<LoopWaker>,
}

/// Why a command is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The loop has ended.
    Ended,
    /// The command queue is full.
    Busy,
}

/// Tells every node of a reactor to stop, from any thread.
#[derive(Clone, Debug)]
pub struct StopHandle {
    pub(crate) asked: Arc<AtomicBool>,
    pub(crate) loop_waker: Arc<LoopWaker>,
}

/// Shows whether a loop turns, from any thread.
#[derive(Clone, Debug)]
pub struct PulseHandle {
    pub(crate) turns: Arc<AtomicU64>,
    pub(crate) loop_waker: Arc<LoopWaker>,
}

impl PulseHandle {
    /// How many turns the loop has done.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Makes the loop turn soon.
    pub fn ring(&self) {
        self.loop_waker.ring();
    }
}

/// Wakes a loop, from any thread.
#[derive(Clone, Debug)]
pub struct WakeHandle(pub(crate) Arc<LoopWaker>);

impl WakeHandle {
    /// Makes the loop run a turn soon. Call after queueing the item that the loop is to find.
    pub fn ring(&self) {
        self.0.ring();
    }
}

/// A host while it runs.
pub(crate) struct Hosted {
    pub(crate) node: Box<dyn Node + Send>,
    pub(crate) identity: Identity,
    pub(crate) listener: Option<Listener>,
    /// Whether the listener may hold connections to accept.
    pub(crate) knocked: bool,
    pub(crate) bind_from: Option<IpAddr>,
    pub(crate) pool: Pool,
    pub(crate) commands: Receiver<Box<Command>>,
    pub(crate) tell: Box<dyn FnMut(Notice) + Send>,
    pub(crate) stopped: bool,
    pub(crate) peers: Connections<ConnId>,
    /// Running jobs whose replies go to a peer, with the connection that reserved space for the
    /// reply.
    pub(crate) toward: BTreeMap<JobId, ConnId>,
}

impl Host {
    pub(crate) fn start(self, loop_waker: &Arc<LoopWaker>) -> io::Result<(Hosted, HostHandle)> {
        let (sender, commands) = bounded(COMMANDS_QUEUED_MAX);
        let pool = Pool::start(self.writer, self.readers, loop_waker)?;
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
            peers: Connections::default(),
            toward: BTreeMap::new(),
        };
        let handle = HostHandle {
            commands: sender,
            loop_waker: Arc::clone(loop_waker),
        };
        Ok((hosted, handle))
    }
}

impl HostHandle {
    /// Queues a command for the node. Never blocks.
    pub fn command(&self, command: Command) -> Result<(), Gone> {
        self.commands
            .try_send(Box::new(command))
            .map_err(|error| match error {
                TrySendError::Full(_) => Gone::Busy,
                TrySendError::Disconnected(_) => Gone::Ended,
            })?;
        self.loop_waker.ring();
        Ok(())
    }
}

impl StopHandle {
    /// Every node soon receives [`Event::Stop`](roles::contract::node::Event::Stop).
    pub fn stop(&self) {
        self.asked.store(true, Ordering::Release);
        self.loop_waker.ring();
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
