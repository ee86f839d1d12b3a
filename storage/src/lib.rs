//! Storage of songs on disk.
//!
//! Owns a node's data directory, a data node's library in SQLite, and the model that stands in for
//! the library in the simulated world. For a client, it cuts files, reads tags and owns the cache
//! of fragments. Answers the [`Job`](roles::contract::job::Job)s of `roles`. The caller decides
//! when a job runs and where its answer goes. This crate uses no sockets.
#![forbid(unsafe_code)]
// A test matches the answer it expects and fails at any other, so a wildcard is safe there.
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm))]

pub mod disk_space;

pub mod data_dir;
pub mod memory;

pub mod library;

pub mod model;

pub mod audio;
mod ebml;
pub mod tags;

pub mod import;

pub mod cache;

pub mod client;

#[cfg(test)]
mod testing;
