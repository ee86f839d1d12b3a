//! The wire: from bytes to letters and back.
//!
//! Reading order: a [`frame`] has a header; the [`codec`] turns letters into messages; `seal`
//! says who may speak; [`link`] puts it all together for one connection, without IO or clock.

pub mod codec;
pub mod frame;
pub mod hello;
mod incoming;
pub mod link;
mod outgoing;
mod pulse;
mod record;
pub mod seal;

pub use outgoing::CREDIT_WINDOW_BYTES;
