//! How bytes and time move.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod wire;

mod bell;
mod clock;
mod conn;
mod conns;
mod dial;
mod pool;
