//! How songs lie on disk.
//!
//! Owns a node's data directory. Answers the [`Job`](roles::contract::job::Job)s of
//! `roles`; when a job is due, and who hears the answer, is not its business. Knows no sockets.
#![forbid(unsafe_code)]

pub mod home;

#[cfg(test)]
mod testing;
