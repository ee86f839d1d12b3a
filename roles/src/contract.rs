//! The words that nodes, their host and the disk have in common.

pub mod chord;
pub mod id;
pub mod job;
pub mod limits;
pub mod member;
pub mod message;
pub mod node;
pub mod partition;
pub mod record;
pub mod ring;
pub mod rng;
pub mod song;
pub mod time;
pub mod timers;
pub mod upkeep;
pub mod user;
