//! How songs lie on disk.
//!
//! Owns a node's data directory, a data node's library in SQLite, and the model that stands in
//! for the library in the simulated world; on a client's side, where to cut a file, its tags, and
//! the cache of fragments. Answers the [`Job`](roles::contract::job::Job)s of
//! `roles`; when a job is due, and who hears the answer, is not its business. Knows no sockets.
#![forbid(unsafe_code)]
// A test says what it expects and fails at anything else.
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm))]

pub mod data_dir;
pub mod memory;

pub mod library;

pub mod model;

pub mod audio;
pub mod tags;

pub mod import;

pub mod cache;

pub mod client;

#[cfg(test)]
mod testing;
