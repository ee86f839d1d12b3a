//! What a node decides.
//!
//! Pure state machines: no clock, socket, thread, file or hash map. Time and chance come in as
//! arguments, every effect leaves as an [`Action`](contract::node::Action). The event loop in
//! `net` and the simulated world in `tests` host the same machines.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod contract;

pub mod assign;
pub mod circle;
pub mod dns;
pub mod jobs;
pub mod registrar;
pub mod requests;
pub mod resolver;
pub mod router;
pub mod window;
