//! The wire protocol: from bytes to envelopes and back.
//!
//! Reading order: [`frame`] defines a frame's header; [`codec`] turns messages into bytes; [`seal`]
//! admits only peers that hold the cluster key and encrypts the rest; [`link`] combines them into
//! the protocol of one connection, without I/O or clock.

pub mod codec;
pub mod frame;
pub mod hello;
mod incoming;
pub mod link;
mod outgoing;
mod receipts;
mod record;
pub mod seal;

pub use outgoing::CREDIT_WINDOW_BYTES;
