//! How songs lie on disk.
//!
//! Owns a node's data directory, and a data node's library in SQLite. Answers
//! the [`Job`](roles::contract::job::Job)s of
//! `roles`; when a job is due, and who hears the answer, is not its business. Knows no sockets.
#![forbid(unsafe_code)]

pub mod home;

pub mod library;

#[cfg(test)]
mod testing;
