//! The rules of connections between nodes, without sockets and clock.
//!
//! When an address may be dialled again, which newcomer makes room for another, how long a handshake
//! may take, when a silent peer is lost, and which of several connections to one peer is used. The reactor and the simulated world both
//! follow these rules by calling this module, so the world tests what the servers do. How a
//! connection is made and what travels on it is the business of its two users.
//!
//! Reading order: [`backoff`], [`newcomers`] and [`handshake`] until a connection is open, then [`connections`],
//! [`questions`] and [`keepalive`].

pub mod backoff;
pub mod connections;
pub mod handshake;
pub mod keepalive;
pub mod newcomers;
pub mod questions;

pub use backoff::Backoffs;
pub use connections::Connections;
pub use handshake::Handshake;
pub use keepalive::Keepalive;
pub use newcomers::Newcomers;
pub use questions::Questions;
