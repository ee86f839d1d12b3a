#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
// A test says what it expects and fails at anything else.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm))]

pub mod dns;
pub mod http;
pub mod mdns;
pub mod peering;
pub mod wire;

mod reactor;

mod backlog;

mod host;

mod pool;

mod conns;

mod conn;

mod dial;

mod probe;

mod waker;

mod clock;

pub use clock::Clock;
pub use conn::write_some;
pub use dial::{Listener, SocketBuffers, why_not_connected};
pub use dns::DnsListener;
pub use host::{Gone, Host, HostHandle, PulseHandle, StopHandle, WakeHandle};
pub use mdns::{Link, MdnsSocket};
pub use pool::{JOBS_QUEUED_MAX, Worker, Workers};
pub use probe::{ask_at, node_at};
pub use reactor::{Reactor, Settings};
pub use wire::seal::{ClusterNameTooLong, DerivedKey, Security, own_features};
