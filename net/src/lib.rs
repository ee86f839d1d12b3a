//! The event loop, the wire protocol and HTTP: moves bytes and time, and knows no songs.
//!
//! ```text
//!   any thread            loop thread                              handler threads
//!  ┌────────────┐  queue  ┌─────────────────────────────┐  queues  ┌──────────────┐
//!  │ HostHandle ├────────►│ Reactor                     ├─────────►│ writer (1)   │
//!  │ StopHandle │  waker  │   hosts: Node, peers        │          │ readers (n)  │
//!  └────────────┘ ───────►│   conns: socket ── wire::Link│◄─────────┤  run(Job)    │
//!        ▲                │   timers, dials, listeners  │  replies │              │
//!        └── tell(Notice) ┤                             │ + waker  └──────────────┘
//!                         └──────────▲──────────────────┘
//!                                    │ epoll, edge-triggered, registered once
//!                                 sockets
//! ```
//!
//! The loop owns every socket, every link and every node, and never blocks. A handler thread owns
//! its worker (a database connection, buffers) and nothing else. The queues between them are
//! bounded. Several wake-ups before the loop runs count as one.
//!
//! [`wire`] does no I/O and handles one connection; [`Reactor`] handles all connections.
#![forbid(unsafe_code)]
// A test says what it expects and fails at anything else.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm))]

pub mod http;
pub mod wire;

mod reactor;

mod host;

mod pool;

mod conns;

mod conn;

mod dial;

mod waker;

mod clock;

pub use clock::Clock;
pub use dial::{Listener, SocketBuffers};
pub use host::{Gone, Host, HostHandle, StopHandle, WakeHandle};
pub use pool::{JOBS_QUEUED_MAX, Worker, Workers};
pub use reactor::{Reactor, Settings, WEB_CONNECTIONS_MAX};
pub use wire::seal::{ClusterNameTooLong, Security, own_features};
