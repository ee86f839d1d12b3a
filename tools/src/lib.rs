#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
// A test says what it expects and fails at anything else.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm))]

pub mod bench;
pub mod loadgen;

mod corpus;
mod units;
mod zipf;
