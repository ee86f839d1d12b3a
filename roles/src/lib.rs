#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm))]

extern crate alloc;

pub mod annotations;
pub mod contract;

pub mod server;

pub mod members;
pub mod ring;

pub mod balance;

pub mod dns;
pub mod mdns;

pub mod router;

pub mod data;

pub mod client;

pub mod registrar;
pub mod resolver;
pub mod role_assignment;

pub mod cx;
mod purpose;
pub mod requests;

pub mod albums;
pub mod anomalies;
pub mod dedup;
pub mod jobs;
mod transfer;

pub mod chord;
pub mod hash_ring;
pub mod locator;
pub mod ownership;

pub mod mutants;

#[cfg(test)]
mod test_support;
