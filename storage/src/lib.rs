#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
// A test matches the answer it expects and fails at any other, so a wildcard is safe there.
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm))]

pub mod disk_space;
pub mod private;

pub mod data_dir;
pub mod memory;

mod documents;
pub mod library;

pub mod model;

pub mod audio;
mod ebml;
pub mod tags;
mod trailing;

pub mod import;

pub mod cache;
mod groups;

pub mod client;

#[cfg(test)]
mod testing;
